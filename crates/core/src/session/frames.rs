//! From bytes to frames, each judged in its turn: what is whole, what waits, and how a stream ends.

use super::judge::Framed;
use super::refuse::Refusal;
use super::{Manner, Outbox, Session, Warrant};
use crate::contract::Side;
use crate::now::Now;
use crate::policy::Policy;
use crate::rejection::{Class, Reason, Violation};
use std::sync::Arc;

/// Whether a request may be taken.
enum Room {
    Free,
    /// It waits, and is looked at again.
    Later,
    /// It is refused, once and for all.
    Refused,
}

impl Session {
    /// Judges what a side's buffer holds, after more bytes, more room, or the end.
    pub(super) fn go_on(
        &mut self,
        side: Side,
        policy: Option<&Policy>,
        now: Now,
        out: &mut Outbox,
    ) {
        let mut rest = self.inbound(side).rest.take();
        if !rest.is_empty() {
            let used = self.process(side, rest.as_slice(), policy, now, out);
            rest.forget(used);
        }
        if self.ended {
            return;
        }
        self.inbound(side).rest = rest;
        self.finish(side, policy, now, out);
    }

    /// Judges every whole frame at the start of `bytes`; gives how many bytes were used.
    pub(super) fn process(
        &mut self,
        side: Side,
        bytes: &[u8],
        policy: Option<&Policy>,
        now: Now,
        out: &mut Outbox,
    ) -> usize {
        let contract = Arc::clone(&self.contract);
        let direction = contract.direction(side);
        if direction.frame.uninspected().is_some() {
            self.pass(side, bytes, out);
            return bytes.len();
        }
        let limit = contract.frame_limit(side);
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() || self.ended || (side == Side::Client && self.closing.is_some()) {
                break;
            }
            self.spoke = true;
            if side == Side::Client {
                self.client_spoke = true;
                if !self.judges() {
                    break;
                }
            }
            let mut scanned = std::mem::take(&mut self.inbound(side).scanned);
            let cut = direction.frame.cut(rest, &mut scanned, limit);
            self.inbound(side).scanned = scanned;
            match cut {
                Ok(Some(frame)) => {
                    if side == Side::Client {
                        match self.room(frame.size, now) {
                            Room::Free => {}
                            Room::Later => {
                                // It is whole, so it is not late, whenever it passes.
                                self.client.begun = None;
                                break;
                            }
                            Room::Refused => {
                                self.inbound(side).begun = None;
                                self.inbound(side).frames += 1;
                                let whole = rest.get(..frame.size).unwrap_or_default();
                                self.refuse_rate(whole, now, out);
                                self.settle(now, out);
                                used += frame.size;
                                self.inbound(side).before += frame.size as u64;
                                continue;
                            }
                        }
                    }
                    let payload = rest.get(frame.payload).unwrap_or_default();
                    let whole = rest.get(..frame.size).unwrap_or_default();
                    self.inbound(side).begun = None;
                    self.inbound(side).frames += 1;
                    if !frame.skipped {
                        self.message(&contract, side, Framed { whole, payload }, policy, now, out);
                    }
                    used += frame.size;
                    self.inbound(side).before += frame.size as u64;
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
                    // It is judged, so its time is not up later.
                    self.inbound(side).begun = None;
                    self.inbound(side).frames += 1;
                    self.refuse(side, Class::Frame, Refusal::frame(violation), rest, now, out);
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

    /// Passes on what a side says where the contract lets it pass uninspected.
    fn pass(&mut self, side: Side, bytes: &[u8], out: &mut Outbox) {
        if self.ended || (side == Side::Client && self.closing.is_some()) {
            return;
        }
        self.spoke = true;
        let size = bytes.len() as u64;
        match side {
            Side::Client => {
                self.client_spoke = true;
                self.totals.bytes_to_server += size;
                out.to_server.0.extend_from_slice(bytes);
            }
            Side::Server => {
                self.totals.bytes_to_client += size;
                out.to_client.0.extend_from_slice(bytes);
            }
        }
    }

    /// Whether a request of this size has room in its rate now.
    fn room(&mut self, size: usize, now: Now) -> Room {
        let rates_epoch = self.accounts.rates.epoch();
        if rates_epoch != self.rates_epoch
            && let (Warrant::Permit(permit), false) = (&self.warrant, self.shadow)
        {
            let identity = permit.peer().identity();
            self.meter = self.accounts.rates.meter(identity, self.meter.take());
            self.rates_epoch = rates_epoch;
        }
        let Some(meter) = &self.meter else { return Room::Free };
        match self.accounts.rates.take(meter, size, now.instant) {
            Ok(()) => {
                self.paused_until = None;
                Room::Free
            }
            Err((rate, _)) if rate.refuse => Room::Refused,
            Err((_, wait)) => {
                let until = now.instant + wait;
                self.paused_until = Some(until);
                // A wait of our own is no silence of the peer.
                self.active = self.active.max(until);
                Room::Later
            }
        }
    }

    fn refuse_rate(&mut self, frame: &[u8], now: Now, out: &mut Outbox) {
        let sentence = "messages come faster than the contract's rate";
        let violation = Violation::new(Reason::Rate, sentence);
        let contract = Arc::clone(&self.contract);
        let direction = contract.direction(Side::Client);
        // A known protocol says whether it is answered at all, and under which id.
        let payload = frame.get(direction.payload_of(frame)).unwrap_or_default();
        let read = || direction.decode.read(payload, &contract.limits.wire).ok();
        let tree = contract.codec.as_ref().and_then(|_| read());
        let refusal = Refusal { tree, ..Refusal::frame(violation) };
        self.refuse(Side::Client, Class::Limit, refusal, frame, now, out);
    }

    /// After a side's stream ended: judges what is left, then passes the end on.
    fn finish(&mut self, side: Side, policy: Option<&Policy>, now: Now, out: &mut Outbox) {
        let Some(clean) = self.inbound(side).end else { return };
        if self.ended || self.inbound(side).finished {
            return;
        }
        // What waits for a slot, for its rate or behind a delay is not at its end yet.
        let waiting = side == Side::Client && (!self.judges() || self.paused_until.is_some());
        if waiting && !self.client.rest.is_empty() {
            return;
        }
        if side == Side::Client && self.closing.is_some() {
            self.client.finished = true;
            return;
        }
        let contract = Arc::clone(&self.contract);
        let rest = self.inbound(side).rest.take();
        let direction = contract.direction(side);
        match direction.frame.end(rest.as_slice(), clean, contract.frame_limit(side)) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                self.inbound(side).begun = None;
                let room =
                    if side == Side::Client { self.room(frame.size, now) } else { Room::Free };
                if matches!(room, Room::Later) {
                    self.client.rest = rest;
                    return;
                }
                self.inbound(side).frames += 1;
                let whole = rest.as_slice();
                let payload = whole.get(frame.payload).unwrap_or_default();
                if matches!(room, Room::Refused) {
                    self.refuse_rate(whole, now, out);
                } else {
                    self.message(&contract, side, Framed { whole, payload }, policy, now, out);
                }
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
        let violation = self.contract.direction(side).discreet(None, violation);
        let sentence = violation.sentence.clone();
        self.inbound(side).frames += 1;
        self.record_refusal(side, class, &Refusal::frame(violation), now, out);
        let before = self.inbound(side).before;
        if let Some(event) = out.events.last_mut() {
            event.offset = Some(before);
        }
        self.stop(reason, sentence, Manner::Reset, Manner::Reset, out);
    }
}
