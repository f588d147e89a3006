//! `Channel`: whole, judged messages over TLS, for a Rust program that is itself the service or
//! the client.
//!
//! It drives the same [`Session`] as the gateway, with the program in place of one of its two
//! sockets. What the program says is judged like what it hears: a reply that breaks the contract
//! is refused before a byte of it leaves.

mod drive;
mod error;
mod message;
mod wire;

pub use error::ChannelError;
pub use message::Message;

use crate::tls::Secured;
use drive::{ends, now};
use segwan_core::audit::{Event, Totals};
use segwan_core::contract::{Contract, Side};
use segwan_core::identity::Peer;
use segwan_core::limits::Limits;
use segwan_core::policy::{ConnectionFacts, Policy};
use segwan_core::session::{Ending, Manner, Outbox, Session, Warrant};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use wire::{Heard, Wire};

/// Messages that wait for [`Channel::recv`] before the peer is read no more. One read may bring
/// more than that, but no second one is made.
const INBOX: usize = 64;

/// One checked connection.
///
/// Every deadline of the contract and of [`Limits`] is kept while the program is inside
/// [`recv`](Self::recv) or [`send`](Self::send), and looked at when it enters them; while it is
/// elsewhere none passes. A channel that is dropped without [`close`](Self::close) ends without close_notify, so that what was cut does not look
/// whole to the peer.
pub struct Channel<S> {
    wire: Wire<S>,
    session: Session,
    /// Which of the contract's two programs this one is.
    side: Side,
    peer: Arc<Peer>,
    /// The policy in force; a client has none.
    policy: Option<Arc<Policy>>,
    inbox: VecDeque<Message>,
    write_timeout: Duration,
    close_timeout: Duration,
    /// When the peer's certificate ends, by the monotonic clock.
    trust_ends: Instant,
    /// The peer has said all, and it was judged.
    heard_all: bool,
    /// This side has said all.
    said_all: bool,
    ended: Option<Ending>,
    recorder: Option<Recorder>,
}

/// Where a program wants the record of its channel.
type Recorder = Box<dyn FnMut(&Event) + Send>;

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    /// The service's side, for a peer that [`Acceptor::accept`](crate::Acceptor::accept) proved.
    ///
    /// `policy` decides whether the peer may connect, and then about each of its messages.
    /// `address` is the peer's, for policies that ask for it.
    ///
    /// # Errors
    /// [`ChannelError::Denied`], if it may not connect.
    pub async fn service(
        stream: S,
        secured: Secured,
        address: IpAddr,
        contract: Arc<Contract>,
        policy: Arc<Policy>,
        limits: &Limits,
    ) -> Result<Self, ChannelError> {
        let now = now();
        let tls = secured.records.version().trim_start_matches("TLSv");
        let facts = ConnectionFacts { address, started_unix_ms: now.unix_ms, tls };
        match policy.admit(secured.peer.clone(), facts, now) {
            Ok(permit) => {
                let session = Session::open(Warrant::Permit(permit), contract, limits, now);
                Ok(Self::new(stream, secured, Side::Server, session, Some(policy), limits))
            }
            Err(denial) => {
                let mut wire = Wire::new(stream, secured.records);
                wire.finish();
                wire.leave(limits.close_timeout).await;
                Err(ChannelError::Denied(denial))
            }
        }
    }

    /// The client's side, with a service that [`Connector::connect`](crate::Connector::connect)
    /// proved: what the program sends is held to the contract's `[client]`, what it receives to
    /// `[server]`. Whether it may ask is for the service to judge.
    #[must_use]
    pub fn client(stream: S, secured: Secured, contract: Arc<Contract>, limits: &Limits) -> Self {
        let session = Session::open(Warrant::NotJudged, contract, limits, now());
        Self::new(stream, secured, Side::Client, session, None, limits)
    }

    fn new(
        stream: S,
        secured: Secured,
        side: Side,
        session: Session,
        policy: Option<Arc<Policy>>,
        limits: &Limits,
    ) -> Self {
        let Secured { records, peer, early, closed } = secured;
        let trust_ends = ends(peer.certificate().not_after, limits.session_lifetime);
        let mut channel = Self {
            wire: Wire::new(stream, records),
            session: session.listing_passed(),
            side,
            peer,
            policy,
            inbox: VecDeque::new(),
            write_timeout: limits.write_timeout,
            close_timeout: limits.close_timeout,
            trust_ends,
            heard_all: false,
            said_all: false,
            ended: None,
            recorder: None,
        };
        // What came together with the end of the handshake.
        channel.hear(&early, closed.then_some(Heard::Clean));
        channel
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// What the channel carried so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.session.totals()
    }

    /// Gives `recorder` every refusal and every message with a hazard from now on; without one
    /// they go to `tracing`. A refusal in here is the only trace of it for a program that
    /// receives, since its peer was answered by the contract.
    pub fn record(&mut self, recorder: impl FnMut(&Event) + Send + 'static) {
        self.recorder = Some(Box::new(recorder));
    }

    /// Puts another policy in force for the messages that come from now on. A client has none.
    pub fn replace_policy(&mut self, policy: Arc<Policy>) {
        if self.side == Side::Server {
            self.policy = Some(policy);
        }
    }

    /// The next whole message of the peer that met its contract, and of a client also the policy;
    /// `None` when the peer has ended in an orderly way. What breaks the contract is answered as
    /// the contract says and never comes out here.
    ///
    /// It may be dropped before it is done, as in `select!`: nothing is lost.
    ///
    /// # Errors
    /// [`ChannelError::Ended`] once the connection is over, after the messages that came before;
    /// a deadline is one way for that. What was due to the peer has then been sent.
    pub async fn recv(&mut self) -> Result<Option<Message>, ChannelError> {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(Some(message));
            }
            self.check_ended().await?;
            if self.heard_all {
                self.flush().await?;
                return Ok(None);
            }
            self.step(|channel, cx| channel.turn(cx)).await;
        }
    }

    /// Sends one message, given by its payload: the text of a line without its end, the bytes
    /// behind a length.
    ///
    /// It returns once the operating system has all of it. If it is dropped before, the message
    /// is sent with whatever is sent or received next.
    ///
    /// # Errors
    /// See [`ChannelError`]. The channel can be used on unless it is [`ChannelError::Ended`].
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), ChannelError> {
        let frame = self.session.contract().framed(self.side, payload);
        self.send_frame(&frame.map_err(ChannelError::Refused)?).await
    }

    /// Sends one message, given as the whole frame that stands on the wire: for frames that carry
    /// more than a length before their payload.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_frame(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        // What came meanwhile is judged first, so that a deadline is not held against a peer that
        // kept it.
        let _ = poll_fn(|cx| Poll::Ready(self.turn(cx).is_ready())).await;
        self.look_at_the_clock();
        self.check_ended().await?;
        if self.said_all {
            return Err(ChannelError::Finished);
        }
        self.session.contract().one_frame(self.side, frame).map_err(ChannelError::Refused)?;
        if self.side == Side::Client && !self.session.wants(Side::Client) {
            return Err(self.unheard());
        }
        let mut out = Outbox::default();
        self.session.receive(self.side, frame, self.policy.as_deref(), now(), &mut out);
        let refused = self.apply(out);
        if self.ended.is_some() {
            // The last that was due, or a fault that ends it: told by the next call.
            self.wire.leave(self.close_timeout).await;
        } else {
            self.flush().await?;
        }
        refused.map_or(Ok(()), |violation| Err(ChannelError::Refused(violation)))
    }

    /// Ends what this side says, with close_notify; the peer's messages can still be received.
    ///
    /// # Errors
    /// [`ChannelError::Ended`], if the connection is over.
    pub async fn finish(&mut self) -> Result<(), ChannelError> {
        self.check_ended().await?;
        if !self.said_all {
            self.said_all = true;
            let mut out = Outbox::default();
            self.session.end(self.side, true, self.policy.as_deref(), now(), &mut out);
            self.apply(out);
        }
        self.flush().await
    }

    /// Ends the connection: what was sent is delivered, then close_notify, within
    /// [`Limits::close_timeout`]. What the peer still says is not heard.
    ///
    /// # Errors
    /// [`ChannelError::Ended`], if it ended otherwise before.
    pub async fn close(mut self) -> Result<(), ChannelError> {
        self.finish().await?;
        self.wire.leave(self.close_timeout).await;
        Ok(())
    }

    /// The refusal of a request that the session would not take now.
    fn unheard(&self) -> ChannelError {
        match self.session.closing() {
            Some((reason, sentence)) => ChannelError::Ended(Ending {
                reason,
                sentence: sentence.to_owned(),
                client: Manner::Orderly,
                server: Manner::Orderly,
            }),
            None => ChannelError::Full(self.session.in_flight()),
        }
    }

    /// Whether the connection is over; then what is due to the peer is delivered first.
    async fn check_ended(&mut self) -> Result<(), ChannelError> {
        let Some(ending) = &self.ended else { return Ok(()) };
        let ending = ending.clone();
        self.wire.leave(self.close_timeout).await;
        Err(ChannelError::Ended(ending))
    }
}

impl<S> fmt::Debug for Channel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("peer", self.peer.identity()).finish_non_exhaustive()
    }
}
