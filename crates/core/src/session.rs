//! `Session`: one inspected connection, and the only maker of [`Cleared`] bytes.
//!
//! Bytes and the time go in; what may be written, what is recorded and how the connection ends
//! come out. Frames are parsed in the caller's buffer: a session owns only the beginning of a
//! frame that is not whole yet, or what waits for a reply or for its rate. Each message goes
//! through the steps of `contracts.md` section 4.1 in their order and stops at the first refusal;
//! nothing before the last step changes the session but counters.

mod buffer;
mod clear;
mod deadline;
mod frames;
mod judge;
mod kept;
mod open;
mod refuse;
mod shadow;
mod speaker;
mod used;

pub use deadline::Waits;
pub use shadow::{Shadow, ShadowVerdict};

use crate::audit::{Event, Totals};
use crate::contract::accounts::Accounts;
use crate::contract::codec::resp::subscriptions::Subscriptions;
use crate::contract::limit::Meter;
use crate::contract::quota::Quotas;
use crate::contract::{Contract, Side};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::now::Now;
use crate::policy::{DecisionCache, Permit, Policy};
use crate::rejection::Reason;
use buffer::Buffer;
pub(crate) use kept::Kept;
use kept::Remembered;
use open::{Key, Open};
use speaker::{Speaker, speaker};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use used::Used;
use zeroize::Zeroize;

/// Bytes that met their contract and were authorized, or that the contract answers.
///
/// Only a [`Session`] adds to it, and the writers take nothing else, so a message that skipped a
/// check is not written. It belongs to the thread and is reused; whoever writes clears it. Where a
/// message declares secrets (the flag), it is overwritten then.
#[derive(Debug, Default)]
pub struct Cleared(Vec<u8>, bool);

impl Cleared {
    /// The bytes, in the order in which they are due.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets the bytes once they were written or kept elsewhere.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.1) {
            self.0.zeroize();
        }
        self.0.clear();
        self.0.shrink_to(256 << 10);
    }
}

/// What a session gives to its caller: the thread's, reused for all its connections.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What the service is sent.
    pub to_server: Cleared,
    /// What the client is sent.
    pub to_client: Cleared,
    /// What goes on the record; service, peer and connection are filled in by the gateway.
    pub events: Vec<Event>,
    /// The client has closed and all that it said was judged: the service gets its FIN after
    /// `to_server`.
    pub fin_to_server: bool,
    /// The service has closed and all that it said was judged: the client gets close_notify and
    /// FIN after `to_client`.
    pub fin_to_client: bool,
    /// How the connection ends, after what stands above.
    pub end: Option<Ending>,
    /// The messages in `to_server` and `to_client`, of a session that is
    /// [`listing_passed`](Session::listing_passed).
    pub passed: Vec<Passed>,
}

/// One message that was let through, and where it stands in the outbox.
///
/// Places are counted from the start of the [`Cleared`] bytes that it stands in, so they hold until
/// those are cleared. What a contract answers by itself is not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Who said it; it stands in the bytes for the other side.
    pub by: Side,
    /// Which message of that side's direction it is.
    pub message: usize,
    /// Where the whole frame stands.
    pub frame: Range<usize>,
    /// Where its payload stands.
    pub payload: Range<usize>,
}

/// How a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub reason: Reason,
    /// The operator's sentence, empty where the reason says it all.
    pub sentence: String,
    /// What the client sees.
    pub client: Manner,
    /// What the service sees.
    pub server: Manner,
}

/// What one side sees at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// What is due is delivered, then close_notify (on the TLS side) and FIN.
    Orderly,
    /// A reset without close_notify, so that what was cut does not look whole.
    Reset,
}

/// By what right messages are authorized.
#[derive(Debug)]
pub enum Warrant {
    /// The peer was admitted to the protected service; every message is authorized.
    Permit(Permit),
    /// Client mode: the far gateway decides what the local program may do.
    NotJudged,
    /// A rehearsal without a policy: what every authorization answers. Only the contract's own
    /// vectors use it, which reach no service.
    #[doc(hidden)]
    Rehearsed(bool),
}

/// The state of one connection under a contract.
#[derive(Debug)]
pub struct Session {
    contract: Arc<Contract>,
    warrant: Warrant,
    waits: Waits,
    client: Inbound,
    server: Inbound,
    open: Open,
    cache: DecisionCache,
    accounts: Arc<Accounts>,
    meter: Option<Meter>,
    /// Of which rules the meter is.
    rates_epoch: u64,
    /// Where the exchange stands in the contract's states.
    state: usize,
    remembered: Remembered,
    /// What the client listens to, where its protocol has subscriptions and some message subscribes.
    subscriptions: Option<Box<Subscriptions>>,
    used: Used,
    /// Questions of the service that the client has not answered, oldest first.
    asked: VecDeque<Asked>,
    /// Counts of this connection alone, and whether it uses no others.
    own_quotas: Quotas,
    counts_alone: bool,
    /// The client is not judged before this instant: a refusal is delayed.
    held_until: Option<Instant>,
    /// Bytes of refusals given out since the client had taken all.
    untaken: usize,
    /// When the client may first speak, in a protocol where the service speaks first.
    may_speak_since: Option<Instant>,
    client_spoke: bool,
    /// What rules read as `peer`; nothing where none does.
    speaker: Option<Speaker>,
    /// The client is read again at this instant, when its rate has room.
    paused_until: Option<Instant>,
    refused: [u32; 7],
    closing: Option<Closing>,
    totals: Totals,
    record_cleared: bool,
    list_passed: bool,
    /// It is judged beside a connection, by a [`Shadow`].
    shadow: bool,
    started: Instant,
    active: Instant,
    spoke: bool,
    ended: bool,
}

/// A question of the service that waits for the client's answer.
#[derive(Debug)]
struct Asked {
    /// Index of its message in the server direction.
    message: usize,
    key: Option<Key>,
}

/// Most bytes of refusals that wait for a client which does not take them; then it is not read.
const REFUSALS_WAITING: usize = 64 << 10;

/// One direction of arriving bytes.
#[derive(Debug, Default)]
struct Inbound {
    /// What came and was not judged yet; owns nothing while the connection is idle.
    rest: Buffer,
    scanned: usize,
    frames: u64,
    /// Bytes of all frames before the one that is judged.
    before: u64,
    /// When the frame that is not whole yet began.
    begun: Option<Instant>,
    /// Whether the stream ended, and in an orderly way.
    end: Option<bool>,
    finished: bool,
}

/// The client is not read any more; answers already due are delivered, then the end.
#[derive(Debug, Clone)]
struct Closing {
    reason: Reason,
    sentence: String,
    until: Instant,
}

impl Session {
    /// A session for a connection that was let in.
    #[must_use]
    pub fn open(warrant: Warrant, contract: Arc<Contract>, limits: &Limits, now: Now) -> Self {
        let waits = Waits::new(limits, contract.limits());
        let accounts = contract.accounts();
        // First the number: rules that change meanwhile make it out of date, not the meter.
        let rates_epoch = accounts.rates.epoch();
        let meter = match &warrant {
            Warrant::Permit(permit) => accounts.rates.meter(permit.peer().identity(), None),
            _ => None,
        };
        let inbound = |side| {
            let rest = Buffer::new(contract.direction(side).has_secrets());
            Inbound { rest, ..Inbound::default() }
        };
        let state = contract.states.initial;
        let client_speaks = contract.states.client_speaks(state);
        let (client, server) = (inbound(Side::Client), inbound(Side::Server));
        let speaker = match &warrant {
            Warrant::Permit(permit) if contract.reads_peer() => {
                let roles: Vec<String> = permit.role().map(str::to_owned).into_iter().collect();
                Some(speaker(permit.peer().identity(), &roles))
            }
            _ => None,
        };
        let codec = contract.codec.as_ref();
        let subscriptions = codec.and_then(|codec| codec.subscriptions(&contract.client.messages));
        Self {
            contract,
            warrant,
            subscriptions: subscriptions.map(Box::new),
            waits,
            client,
            server,
            state,
            remembered: Remembered::default(),
            used: Used::default(),
            asked: VecDeque::new(),
            own_quotas: Quotas::default(),
            counts_alone: false,
            held_until: None,
            untaken: 0,
            may_speak_since: client_speaks.then_some(now.instant),
            client_spoke: false,
            open: Open::default(),
            cache: DecisionCache::default(),
            accounts,
            meter,
            rates_epoch,
            speaker,
            paused_until: None,
            refused: [0; 7],
            closing: None,
            totals: Totals::default(),
            record_cleared: false,
            list_passed: false,
            shadow: false,
            started: now.instant,
            active: now.instant,
            spoke: false,
            ended: false,
        }
    }

    /// Also records every message that is let through.
    #[must_use]
    pub fn recording_cleared(mut self) -> Self {
        self.record_cleared = true;
        self
    }

    /// Books no quota but its own: for a look at what would happen, which uses nothing up.
    #[must_use]
    pub fn counting_alone(mut self) -> Self {
        self.counts_alone = true;
        self
    }

    /// Rehearses as this peer, for rules that read `peer`.
    pub(crate) fn rehearsed_as(mut self, identity: &Identity, roles: &[String]) -> Self {
        self.speaker = Some(speaker(identity, roles));
        self
    }

    /// Also says where each message that is let through stands in the outbox: for whoever takes
    /// messages and not a stream of bytes. Its reader empties [`Outbox::passed`].
    #[must_use]
    pub fn listing_passed(mut self) -> Self {
        self.list_passed = true;
        self
    }

    /// Begins in another state than the contract's initial one: for vectors that show one message
    /// of a long exchange.
    #[must_use]
    #[doc(hidden)]
    pub fn beginning_in(mut self, state: usize) -> Self {
        self.state = state;
        if self.contract.states.client_speaks(state) {
            self.may_speak_since.get_or_insert(self.started);
        }
        self
    }

    /// Goes on by another permit of the same peer: the policy that admitted it was replaced, and the
    /// new one admits it too. Messages are authorized by the new one from now on.
    pub fn readmit(&mut self, permit: Permit) {
        if let Warrant::Permit(before) = &mut self.warrant {
            *before = permit;
        }
    }

    /// Begins with what earlier messages are supposed to have left, for vectors.
    #[must_use]
    pub(crate) fn remembering(
        mut self,
        values: &[(String, crate::contract::value::Value<'static>)],
    ) -> Self {
        self.remembered = Remembered::supposed(values);
        self
    }

    /// Takes bytes that a side sent. Call it whenever bytes came from a side that
    /// [`wants`](Self::wants) to be read; then write out what stands in `out`.
    ///
    /// `policy` is the one in force now; it is not asked in client mode.
    pub fn receive(
        &mut self,
        side: Side,
        bytes: &[u8],
        policy: Option<&Policy>,
        now: Now,
        out: &mut Outbox,
    ) {
        if self.ended || bytes.is_empty() {
            return;
        }
        self.active = self.active.max(now.instant);
        let inbound = self.inbound(side);
        if inbound.rest.is_empty() {
            // In place: only what is not whole is kept.
            let used = self.process(side, bytes, policy, now, out);
            let rest = bytes.get(used..).unwrap_or_default();
            if !self.ended {
                let frame = self.contract.frame_limit(side);
                self.inbound(side).rest.append(rest, frame);
            }
        } else {
            let frame = self.contract.frame_limit(side);
            self.inbound(side).rest.append(bytes, frame);
            self.go_on(side, policy, now, out);
        }
        self.settle(now, out);
    }

    /// Takes the end of a side's stream. `clean` tells an orderly end (close_notify, or FIN on a
    /// plain side) from a cut one (FIN without close_notify on the TLS side, or a reset).
    pub fn end(
        &mut self,
        side: Side,
        clean: bool,
        policy: Option<&Policy>,
        now: Now,
        out: &mut Outbox,
    ) {
        if self.ended || self.inbound(side).end.is_some() {
            return;
        }
        self.inbound(side).end = Some(clean);
        self.go_on(side, policy, now, out);
        self.settle(now, out);
    }

    /// Whether a side is to be read; `false` is back-pressure.
    #[must_use]
    pub fn wants(&self, side: Side) -> bool {
        if self.ended {
            return false;
        }
        match side {
            Side::Client => self.closing.is_none() && self.paused_until.is_none() && self.judges(),
            Side::Server => true,
        }
    }

    /// Whether the client is not judged because it does not take what it is answered. Once all was
    /// taken, [`delivered`](Self::delivered) goes on.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        !self.ended && self.untaken > 0 && self.is_choked()
    }

    /// Whether as many bytes of refusals wait as may: for the client to take them, or for their
    /// turn among the replies of the service.
    fn is_choked(&self) -> bool {
        self.untaken + self.open.answers() > REFUSALS_WAITING
    }

    /// The client has taken all that it was given: what was [held back](Self::is_held_back) is
    /// judged.
    pub fn delivered(&mut self, policy: Option<&Policy>, now: Now, out: &mut Outbox) {
        if self.ended || self.untaken == 0 {
            return;
        }
        self.untaken = 0;
        self.go_on(Side::Client, policy, now, out);
        self.settle(now, out);
    }

    /// Whether what a side says may hold secrets, so that who read it has to overwrite it.
    #[must_use]
    pub fn has_secrets(&self, side: Side) -> bool {
        self.contract.direction(side).has_secrets()
    }

    /// Whether a side stands between two frames.
    #[must_use]
    pub fn between_frames(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client.rest.is_empty(),
            Side::Server => self.server.rest.is_empty(),
        }
    }

    /// Requests that wait for their reply.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.open.requests()
    }

    /// The answers to refused requests that wait for those of the service before them: for whoever
    /// only asks what would be said.
    #[must_use]
    pub fn answers_in_line(&self) -> Vec<u8> {
        self.open.in_line()
    }

    /// Why the client is not heard any more, while answers that are due are still delivered.
    #[must_use]
    pub fn closing(&self) -> Option<(Reason, &str)> {
        self.closing.as_ref().map(|closing| (closing.reason, closing.sentence.as_str()))
    }

    /// What the session carried so far; the gateway adds the time.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The contract that it holds both sides to.
    #[must_use]
    pub fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    fn is_full(&self) -> bool {
        self.open.len() >= self.contract.limits.in_flight
    }

    /// Whether the client's next message may be judged: there is a slot for it, no refusal is
    /// delayed, and the client takes what it is answered. Where the service asks too, waiting for
    /// a slot could be for ever, so there the message is refused.
    fn judges(&self) -> bool {
        let waits_for_a_slot = self.is_full() && !self.contract.asks();
        self.held_until.is_none() && !waits_for_a_slot && !self.is_choked()
    }

    fn inbound(&mut self, side: Side) -> &mut Inbound {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// After each step: replies that are due, room for more, and the end of what is closing.
    fn settle(&mut self, now: Now, out: &mut Outbox) {
        if self.ended {
            return;
        }
        self.untaken += self.open.flush(&self.contract, now.instant, &mut out.to_client.0);
        if let Some(closing) = &self.closing
            && self.held_until.is_none()
            && (self.open.requests() == 0 || self.server.finished || now.instant >= closing.until)
        {
            let Closing { reason, sentence, .. } = closing.clone();
            self.open.flush_all(&self.contract, &mut out.to_client.0);
            // Nobody knows whether what passed uninspected was at an end of something.
            let whole = self.contract.server.frame.uninspected().is_none();
            let client = if whole { Manner::Orderly } else { Manner::Reset };
            self.stop(reason, sentence, client, Manner::Orderly, out);
        }
    }

    /// Ends the session; nothing is judged after it.
    fn stop(
        &mut self,
        reason: Reason,
        sentence: String,
        client: Manner,
        server: Manner,
        out: &mut Outbox,
    ) {
        self.ended = true;
        self.client.rest.clear();
        self.server.rest.clear();
        out.end = Some(Ending { reason, sentence, client, server });
    }
}

#[cfg(test)]
mod tests;
