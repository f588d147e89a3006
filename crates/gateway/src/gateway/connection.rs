//! One connection, from arrival to its record.

use super::account::Account;
use super::end::{End, Leave};
use super::live::{Arriving, Established, Live, Order, unix_ms};
use super::relay::{Checked, Early, Passage, Raw, Relay};
use super::setting::{Setting, Tenure};
use super::shadow::{Arrived, Tap};
use super::upstream::{Socket, dial_any};
use super::{Gate, Inspection, Mode};
use segwan::{Acceptor, Connector, HandshakeError, Secured};
use segwan_core::audit::{Event, EventKind, Totals};
use segwan_core::contract::{Contract, Side};
use segwan_core::identity::Peer;
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::{ConnectionFacts, Permit};
use segwan_core::rejection::Reason;
use segwan_core::session::{Session, Shadow, Warrant};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Serves one accepted connection of `gate` to its end.
pub(super) async fn serve(gate: Arc<Gate>, stream: TcpStream, arriving: Arriving) {
    // What is needed until both ends stand is boxed: a connection at work does not carry it.
    let Some(opened) = Box::pin(open(gate.clone(), stream, arriving)).await else { return };
    let Opened { account, slot, client, server, passage, limits, tap, early, trust_ends } = opened;

    let mut relay = Relay::new(client, server, passage, &limits, &account, trust_ends);
    if let Some(tap) = tap {
        relay = relay.tapped(tap);
    }
    let outcome = relay.run(early).await;
    slot.over();

    let totals = relay.totals();
    let (client, server) = relay.into_ends();
    account.close(outcome.reason, outcome.sentence, totals);
    let wait = limits.close_timeout;
    Box::pin(async {
        tokio::join!(client.leave(outcome.client, wait), server.leave(outcome.server, wait))
    })
    .await;
    drop(slot);
}

/// An admitted connection, both ends reached.
struct Opened {
    account: Account,
    slot: Established,
    client: End,
    server: End,
    passage: Passage,
    limits: Arc<Limits>,
    tap: Option<Box<Tap>>,
    early: Early,
    trust_ends: Instant,
}

/// Everything before the first byte passes; `None` if it ended there, which has been told.
async fn open(gate: Arc<Gate>, stream: TcpStream, arriving: Arriving) -> Option<Opened> {
    let account = Account::open(gate.clone(), arriving.live.clone());
    match &gate.mode {
        Mode::Service { acceptor, .. } => protect(&gate, acceptor, stream, arriving, account).await,
        Mode::Client { connector, connect } => {
            reach(&gate, connector, connect, stream, arriving, account).await
        }
    }
}

/// Service mode: TLS handshake, registration, admission, and only then the service is dialled.
async fn protect(
    gate: &Gate,
    acceptor: &Acceptor,
    mut stream: TcpStream,
    arriving: Arriving,
    mut account: Account,
) -> Option<Opened> {
    let live = arriving.live.clone();
    let Limits { handshake_timeout, close_timeout, .. } = *gate.setting.load().limits.clone();
    let deadline = live.began + handshake_timeout;
    let handshake = acceptor.accept(&mut stream, deadline.into());
    let Secured { records, peer, early, closed } =
        match unless_ordered(&live, handshake).await.map_err(ordered).and_then(|done| done) {
            Ok(secured) => secured,
            Err(error) => {
                if error.reason == Reason::HandshakeTimeout
                    || error.reason == Reason::HandshakeLimit
                {
                    reset(&stream);
                }
                account.refuse_presented(error.reason, error.sentence, error.presented);
                return None;
            }
        };
    account.name(&peer);
    let facts = ConnectionFacts {
        address: live.address.ip(),
        started_unix_ms: live.began_unix_ms,
        tls: if records.version() == "TLSv1.2" { "1.2" } else { "1.3" },
    };
    let client = End::new(Socket::Tcp(stream), Some(Box::new(records)));

    // A denial shows the peer a finished handshake, then close_notify and 0 bytes.
    let (slot, setting) = match arriving.establish(&peer, Some(facts.clone()), || gate.pinned()) {
        Ok(established) => established,
        Err(none) => {
            account.refuse(none.reason, none.sentence);
            client.leave(Leave::Close, close_timeout).await;
            return None;
        }
    };
    drop(arriving);
    // Registered first, judged second: what ended trust since the handshake is seen here, or its
    // sweep sees this connection (ADV-12).
    if let Some((reason, sentence)) = withdrawn(gate, &peer) {
        account.refuse(reason, sentence);
        slot.over();
        client.leave(Leave::Close, close_timeout).await;
        return None;
    }
    // Decided after every handshake, outside of TLS (F8).
    let Some(policy) = &setting.policy else { return None };
    let permit = match policy.admit(peer.clone(), facts.clone(), now()) {
        Ok(permit) => permit,
        Err(denial) => {
            account.deny(denial);
            client.leave(Leave::Close, close_timeout).await;
            return None;
        }
    };
    account.admit(setting.inspection.contract());
    // The Authority knows of its own certificates alone.
    if let Some(seen) = gate.seen.as_ref().filter(|_| !peer.identity().is_foreign()) {
        seen.saw(peer.certificate(), live.address.ip());
    }

    let dialled = unless_ordered(&live, gate.dial(&permit, &setting.limits)).await;
    let server = match dialled.unwrap_or_else(|_| Err(told(&live))) {
        Ok(server) => End::new(server, None),
        Err((reason, sentence)) => {
            account.close(reason, sentence, Totals::default());
            slot.over();
            client.leave(Leave::Close, close_timeout).await;
            return None;
        }
    };
    let (passage, tap) = gate.passage(Warrant::Permit(permit), &setting, &account);
    let tap = tap.or_else(|| gate.tap_beside(&setting, &peer, facts, &account));
    let early = Early { side: Side::Client, plain: early, closed };
    let limits = setting.limits.clone();
    let trust_ends = trust_ends(gate, &peer, &limits);
    Some(Opened { account, slot, client, server, passage, limits, tap, early, trust_ends })
}

fn now() -> Now {
    Now { instant: Instant::now(), unix_ms: unix_ms() }
}

/// Why a connection ends that was told to before its peer was known.
const STOPPING: &str = "the gateway is stopping";

/// Client mode: the far side is reached and proved before a byte of the local client is read.
async fn reach(
    gate: &Gate,
    connector: &Connector,
    connect: &[String],
    stream: TcpStream,
    arriving: Arriving,
    mut account: Account,
) -> Option<Opened> {
    let live = arriving.live.clone();
    let secured = unless_ordered(&live, far_side(gate, connector, connect)).await;
    let (far, Secured { records, peer, early, closed }) =
        match secured.map_err(ordered).and_then(|done| done) {
            Ok(secured) => secured,
            Err(error) => {
                account.refuse_presented(error.reason, error.sentence, error.presented);
                return None;
            }
        };
    account.name(&peer);
    let (slot, setting) = match arriving.establish(&peer, None, || gate.pinned()) {
        Ok(established) => established,
        Err(none) => {
            account.refuse(none.reason, none.sentence);
            return None;
        }
    };
    drop(arriving);
    if let Some((reason, sentence)) = withdrawn(gate, &peer) {
        account.refuse(reason, sentence);
        return None;
    }
    account.admit(setting.inspection.contract());
    let client = End::new(Socket::Tcp(stream), None);
    let server = End::new(Socket::Tcp(far), Some(Box::new(records)));
    let (passage, tap) = gate.passage(Warrant::NotJudged, &setting, &account);
    let early = Early { side: Side::Server, plain: early, closed };
    let limits = setting.limits.clone();
    let trust_ends = trust_ends(gate, &peer, &limits);
    Some(Opened { account, slot, client, server, passage, limits, tap, early, trust_ends })
}

async fn far_side(
    gate: &Gate,
    connector: &Connector,
    connect: &[String],
) -> Result<(TcpStream, Secured), HandshakeError> {
    let unreachable = |sentence: String| HandshakeError {
        reason: Reason::UpstreamUnreachable,
        sentence,
        presented: None,
    };
    let Limits { connect_timeout: wait, handshake_timeout, .. } =
        *gate.setting.load().limits.clone();
    let (mut stream, address) = match timeout(wait, dial_any(connect)).await {
        Ok(Ok(reached)) => reached,
        Ok(Err(error)) => return Err(unreachable(plainly(&error))),
        Err(_) => {
            let sentence = format!("{} did not answer within {wait:?}", connect.join(", "));
            return Err(unreachable(sentence));
        }
    };
    let deadline = tokio::time::Instant::now() + handshake_timeout;
    let secured = connector.connect(&mut stream, &address, deadline).await?;
    Ok((stream, secured))
}

impl Gate {
    /// What a connection is opened under that is registered now.
    fn pinned(&self) -> (Arc<Tenure>, Arc<Setting>) {
        let setting = self.setting.load_full();
        (setting.tenure.clone(), setting)
    }

    /// Reaches the protected service, or says why not.
    async fn dial(&self, permit: &Permit, limits: &Limits) -> Result<Socket, (Reason, String)> {
        let Mode::Service { upstream, .. } = &self.mode else {
            return Err((Reason::Internal, "a client has no service to dial".to_owned()));
        };
        let wait = limits.connect_timeout;
        let why = match timeout(wait, upstream.dial(permit)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => plainly(&error),
            Err(_) => format!("no answer within {wait:?}"),
        };
        Err((Reason::UpstreamUnreachable, format!("upstream {upstream}: {why}")))
    }

    /// What lies between the two ends of a connection that was let in.
    fn passage(
        &self,
        warrant: Warrant,
        setting: &Setting,
        account: &Account,
    ) -> (Passage, Option<Box<Tap>>) {
        let (limits, policy) = (&*setting.limits, setting.policy.clone());
        let contract = match &setting.inspection {
            Inspection::Contract(contract) => contract,
            Inspection::Raw | Inspection::Recorded(_) => {
                return (Passage::Raw(Raw::new(setting.inspection.capture())), None);
            }
            Inspection::Shadow(contract) => {
                let tap = setting.desk.as_ref().map(|desk| {
                    let shadow = Shadow::open(warrant, contract.clone(), limits, now());
                    let whose = account.event(EventKind::WouldReject);
                    let whose = under(whose, contract);
                    Box::new(desk.tap(shadow, policy, whose, self.recorder.clone()))
                });
                return (Passage::Raw(Raw::new(None)), tap);
            }
        };
        let session = Session::open(warrant, contract.clone(), limits, now());
        let session = if setting.record_cleared { session.recording_cleared() } else { session };
        (Passage::Checked(Box::new(Checked::new(session, policy))), None)
    }

    /// Takes copies for the contract that is tried beside what is in force, if there is one.
    fn tap_beside(
        &self,
        setting: &Setting,
        peer: &Arc<Peer>,
        facts: ConnectionFacts,
        account: &Account,
    ) -> Option<Box<Tap>> {
        let (tried, desk) = setting.beside.as_ref().zip(setting.desk.as_ref())?;
        let of = setting.inspection.contract();
        let secrets = [Side::Client, Side::Server]
            .map(|side| of.is_some_and(|contract| contract.has_secrets(side)));
        let whose = account.event(EventKind::WouldReject);
        let whose = under(whose, &tried.contract);
        let (tried, peer, limits) = (tried.clone(), peer.clone(), Limits::clone(&setting.limits));
        let arrived = Arrived { tried, peer, facts, limits, secrets };
        Some(Box::new(desk.tap_beside(arrived, whose, self.recorder.clone())))
    }
}

/// An event with the contract that it belongs to.
pub(super) fn under(event: Event, contract: &Contract) -> Event {
    let (name, hash) = (contract.name().to_owned(), contract.short_hash().to_owned());
    Event { contract: Some(name), contract_hash: Some(hash), ..event }
}

/// `work`, unless the connection is told to end before.
async fn unless_ordered<T>(live: &Live, work: impl Future<Output = T>) -> Result<T, Order> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        live.listen(cx.waker());
        match live.order() {
            Some(order) => Poll::Ready(Err(order)),
            None => work.as_mut().poll(cx).map(Ok),
        }
    })
    .await
}

/// Why the peer is not believed any more, by the trust that is in force now.
fn withdrawn(gate: &Gate, peer: &Peer) -> Option<(Reason, String)> {
    gate.trust.judge_again(peer, unix_ms() / 1000)
}

/// Why a connection ends that was told to before the service was reached.
fn told(live: &Live) -> (Reason, String) {
    live.withdrawn().unwrap_or_else(|| (Reason::Drained, STOPPING.to_owned()))
}

/// An order that came before the peer was known.
fn ordered(order: Order) -> HandshakeError {
    let (reason, sentence) = match order {
        Order::Evict => {
            (Reason::HandshakeLimit, "the handshake was slow while newcomers waited for its slot")
        }
        Order::Drain | Order::Cut | Order::Withdraw => (Reason::Drained, STOPPING),
    };
    HandshakeError { reason, sentence: sentence.to_owned(), presented: None }
}

/// When trust in a certificate of either side ends, by the monotonic clock.
fn trust_ends(gate: &Gate, peer: &Peer, limits: &Limits) -> Instant {
    let not_after = peer.certificate().not_after.min(gate.credentials.not_after());
    let now = now();
    now.instant + now.until_over(not_after).min(limits.session_lifetime * 2)
}

/// Lets the coming drop send a reset.
pub(super) fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// What went wrong, without numbers of the operating system.
fn plainly(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused if error.get_ref().is_none() => {
            "connection refused".to_owned()
        }
        io::ErrorKind::NotFound if error.get_ref().is_none() => "no such socket".to_owned(),
        io::ErrorKind::PermissionDenied if error.get_ref().is_none() => {
            "permission denied".to_owned()
        }
        _ => error.to_string(),
    }
}
