//! `Session`: one inspected connection, and the only maker of [`Cleared`] bytes.
//!
//! Bytes and the time go in; what may be written, what is recorded and how the connection ends
//! come out. Frames are parsed in the caller's buffer: a session owns only the beginning of a
//! frame that is not whole yet, or what waits for a reply or for its rate. Each message goes
//! through the steps of `contracts.md` section 4.1 in their order and stops at the first refusal;
//! nothing before the last step changes the session but counters.

mod deadline;
mod judge;
mod open;

pub use deadline::Waits;

use crate::audit::{Event, Totals};
use crate::contract::limit::Meter;
use crate::contract::{Contract, Side};
use crate::limits::Limits;
use crate::now::Now;
use crate::policy::{DecisionCache, Permit, Policy};
use crate::rejection::{Class, Reason, Violation};
use open::Open;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that met their contract and were authorized, or that the contract answers.
///
/// Only a [`Session`] adds to it, and the writers take nothing else, so a message that skipped a
/// check is not written. It belongs to the thread and is reused; whoever writes clears it.
#[derive(Debug, Default)]
pub struct Cleared(Vec<u8>);

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
    meter: Option<Meter>,
    /// The client is read again at this instant, when its rate has room.
    paused_until: Option<Instant>,
    refused: [u32; 7],
    closing: Option<Closing>,
    totals: Totals,
    record_cleared: bool,
    list_passed: bool,
    started: Instant,
    active: Instant,
    spoke: bool,
    ended: bool,
}

/// One direction of arriving bytes.
#[derive(Debug, Default)]
struct Inbound {
    /// What came and was not judged yet; owns nothing while the connection is idle.
    rest: Vec<u8>,
    scanned: usize,
    frames: u64,
    /// When the frame that is not whole yet began.
    begun: Option<Instant>,
    /// Whether the stream ended, and in an orderly way.
    end: Option<bool>,
    finished: bool,
}

/// Whether a request may be taken.
enum Room {
    Free,
    /// It waits, and is looked at again.
    Later,
    /// It is refused, once and for all.
    Refused,
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
        let meter = match &warrant {
            Warrant::Permit(permit) if !contract.limits.rate.is_empty() => {
                let identity = permit.peer().identity().to_string();
                Some(contract.rates.meter(&contract.limits.rate, &identity))
            }
            _ => None,
        };
        Self {
            contract,
            warrant,
            waits,
            client: Inbound::default(),
            server: Inbound::default(),
            open: Open::default(),
            cache: DecisionCache::default(),
            meter,
            paused_until: None,
            refused: [0; 7],
            closing: None,
            totals: Totals::default(),
            record_cleared: false,
            list_passed: false,
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

    /// Also says where each message that is let through stands in the outbox: for whoever takes
    /// messages and not a stream of bytes. Its reader empties [`Outbox::passed`].
    #[must_use]
    pub fn listing_passed(mut self) -> Self {
        self.list_passed = true;
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
        self.active = now.instant;
        let inbound = self.inbound(side);
        if inbound.rest.is_empty() {
            // In place: only what is not whole is kept.
            let used = self.process(side, bytes, policy, now, out);
            let rest = bytes.get(used..).unwrap_or_default();
            if !self.ended {
                self.inbound(side).rest.extend_from_slice(rest);
            }
        } else {
            inbound.rest.extend_from_slice(bytes);
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
            Side::Client => {
                self.closing.is_none() && self.paused_until.is_none() && !self.is_full()
            }
            Side::Server => true,
        }
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

    fn inbound(&mut self, side: Side) -> &mut Inbound {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Judges what a side's buffer holds, after more bytes, more room, or the end.
    fn go_on(&mut self, side: Side, policy: Option<&Policy>, now: Now, out: &mut Outbox) {
        let mut rest = std::mem::take(&mut self.inbound(side).rest);
        if !rest.is_empty() {
            let used = self.process(side, &rest, policy, now, out);
            rest.drain(..used.min(rest.len()));
        }
        if self.ended {
            return;
        }
        if rest.is_empty() {
            rest = Vec::new();
        }
        self.inbound(side).rest = rest;
        self.finish(side, policy, now, out);
    }

    /// Judges every whole frame at the start of `bytes`; gives how many bytes were used.
    fn process(
        &mut self,
        side: Side,
        bytes: &[u8],
        policy: Option<&Policy>,
        now: Now,
        out: &mut Outbox,
    ) -> usize {
        let contract = Arc::clone(&self.contract);
        let direction = contract.direction(side);
        let limit = contract.frame_limit(side);
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() || self.ended || (side == Side::Client && self.closing.is_some()) {
                break;
            }
            self.spoke = true;
            let mut scanned = std::mem::take(&mut self.inbound(side).scanned);
            let cut = direction.frame.cut(rest, &mut scanned, limit);
            self.inbound(side).scanned = scanned;
            match cut {
                Ok(Some(frame)) => {
                    if side == Side::Client {
                        match self.room(frame.size, now) {
                            Room::Free => {}
                            Room::Later => break,
                            Room::Refused => {
                                self.inbound(side).begun = None;
                                self.inbound(side).frames += 1;
                                self.refuse_rate(now, out);
                                self.settle(now, out);
                                used += frame.size;
                                continue;
                            }
                        }
                    }
                    let payload = rest.get(frame.payload).unwrap_or_default();
                    let whole = rest.get(..frame.size).unwrap_or_default();
                    self.inbound(side).begun = None;
                    self.inbound(side).frames += 1;
                    if !frame.skipped {
                        self.message(side, whole, payload, policy, now, out);
                    }
                    used += frame.size;
                    // What a reply leads to comes before what arrived together with it: a request
                    // that waited for room, and the end of what is closing (TRAP-01).
                    if side == Side::Server {
                        self.go_on(Side::Client, policy, now, out);
                    }
                    if self.closing.is_some() {
                        self.settle(now, out);
                    }
                }
                Ok(None) => {
                    self.inbound(side).begun.get_or_insert(now.instant);
                    break;
                }
                Err(violation) => {
                    self.inbound(side).frames += 1;
                    self.refuse(side, Class::Frame, judge::Refusal::frame(violation), now, out);
                    used = bytes.len();
                    break;
                }
            }
        }
        // What a refused stream still says is not kept.
        if self.ended || (side == Side::Client && self.closing.is_some()) {
            bytes.len()
        } else {
            used
        }
    }

    /// Whether a request of this size may be taken now: a free slot, and room in its rate.
    fn room(&mut self, size: usize, now: Now) -> Room {
        if self.is_full() {
            return Room::Later;
        }
        let Some(meter) = &self.meter else { return Room::Free };
        match self.contract.rates.take(&self.contract.limits.rate, meter, size, now.instant) {
            Ok(()) => {
                self.paused_until = None;
                Room::Free
            }
            Err((rate, _)) if rate.refuse => Room::Refused,
            Err((_, wait)) => {
                self.paused_until = Some(now.instant + wait);
                Room::Later
            }
        }
    }

    fn refuse_rate(&mut self, now: Now, out: &mut Outbox) {
        let sentence = "messages come faster than the contract's rate";
        let violation = Violation::new(Reason::Rate, sentence);
        self.refuse(Side::Client, Class::Limit, judge::Refusal::frame(violation), now, out);
    }

    /// After a side's stream ended: judges what is left, then passes the end on.
    fn finish(&mut self, side: Side, policy: Option<&Policy>, now: Now, out: &mut Outbox) {
        let Some(clean) = self.inbound(side).end else { return };
        if self.ended || self.inbound(side).finished {
            return;
        }
        // What waits for a slot or for its rate is not at its end yet.
        let waiting = side == Side::Client && (self.is_full() || self.paused_until.is_some());
        if waiting && !self.client.rest.is_empty() {
            return;
        }
        if side == Side::Client && self.closing.is_some() {
            self.client.finished = true;
            return;
        }
        let contract = Arc::clone(&self.contract);
        let rest = std::mem::take(&mut self.inbound(side).rest);
        let direction = contract.direction(side);
        match direction.frame.end(&rest, clean, contract.frame_limit(side)) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                self.inbound(side).frames += 1;
                let payload = rest.get(frame.payload).unwrap_or_default();
                self.message(side, &rest, payload, policy, now, out);
            }
            Err(violation) => {
                self.cut_inside_a_frame(side, violation, now, out);
                return;
            }
        }
        if self.ended {
            return;
        }
        self.inbound(side).finished = true;
        if side == Side::Server && !clean {
            // A service that resets may have meant to say more.
            let sentence = format!(
                "the service reset its stream; {} requests were open",
                self.open.requests()
            );
            self.stop(Reason::TruncatedAnswer, sentence, Manner::Reset, Manner::Reset, out);
            return;
        }
        match side {
            Side::Client => out.fin_to_server = true,
            Side::Server => out.fin_to_client = true,
        }
    }

    /// `trust.md` section 8: the partial frame is never delivered, and both sides see a reset.
    fn cut_inside_a_frame(&mut self, side: Side, violation: Violation, now: Now, out: &mut Outbox) {
        let (class, reason) = match side {
            Side::Client => (Class::Frame, violation.reason),
            Side::Server => (Class::Server, Reason::TruncatedAnswer),
        };
        let violation = Violation { reason, ..violation };
        let sentence = violation.sentence.clone();
        self.inbound(side).frames += 1;
        self.record_refusal(side, class, &judge::Refusal::frame(violation), now, out);
        self.stop(reason, sentence, Manner::Reset, Manner::Reset, out);
    }

    /// After each step: replies that are due, room for more, and the end of what is closing.
    fn settle(&mut self, now: Now, out: &mut Outbox) {
        if self.ended {
            return;
        }
        self.open.flush(&self.contract, &mut out.to_client.0);
        if let Some(closing) = &self.closing
            && (self.open.requests() == 0 || self.server.finished || now.instant >= closing.until)
        {
            let Closing { reason, sentence, .. } = closing.clone();
            self.open.flush_all(&self.contract, &mut out.to_client.0);
            self.stop(reason, sentence, Manner::Orderly, Manner::Orderly, out);
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
        self.client.rest = Vec::new();
        self.server.rest = Vec::new();
        out.end = Some(Ending { reason, sentence, client, server });
    }
}

#[cfg(test)]
mod tests;
