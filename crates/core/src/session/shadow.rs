//! `Shadow`: a contract that is tried beside a connection, and cannot touch it.
//!
//! It drives the steps of a [`Session`] by itself and keeps none of what a session gives to a
//! connection: no [`Cleared`](super::Cleared) bytes, no answer, no end, no wait. What comes out is a
//! [`ShadowVerdict`], which is good for a line of the record and nothing else.
//!
//! A message that would be refused passed all the same, so the exchange is taken on as if it had
//! been cleared, and what is answered to it is not judged: under the contract it would not exist.
//! Where nobody can know any more which reply is whose, the replies are not judged: better no
//! verdict than a wrong one. Rates and waits are not judged, since they would have changed what
//! came; a quota is counted for the connection alone.

mod tally;

use super::clear::put;
use super::judge::{Authorized, Framed};
use super::kept::Remembered;
use super::open::{Key, Open, Waiting};
use super::refuse::Refusal;
use super::{Asked, Kept, Session, Warrant};
use crate::audit::{Event, EventKind};
use crate::contract::codec::resp::subscriptions::Subscriptions;
use crate::contract::secret::wipe;
use crate::contract::value::Value;
use crate::contract::{Contract, Direction, MessageRule, Pairing, Role, Side};
use crate::limits::Limits;
use crate::now::Now;
use crate::policy::Policy;
use crate::rejection::{Class, Reason, Violation};
use std::sync::Arc;
use tally::Tally;
use zeroize::Zeroize;

/// Most requests, and most questions of the service, that are followed at once: nothing holds
/// them back here, and what is followed must have a bound.
const FOLLOWED: usize = 1024;

/// What a contract would have done, for the record.
///
/// It holds no handle of a connection and turns into nothing that one obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowVerdict(Event);

impl ShadowVerdict {
    /// The line of the record: `would_reject`, or `shadow_lost`. Service, peer and connection are
    /// filled in by the gateway.
    #[must_use]
    pub fn into_event(self) -> Event {
        self.0
    }
}

/// One connection, looked at under a contract that is not enforced.
#[derive(Debug)]
pub struct Shadow {
    session: Session,
    /// Whether the direction is not looked at any more.
    client_lost: bool,
    server_lost: bool,
    /// Messages of the client that may have an answer which belongs to no request we know.
    strays: usize,
    tally: Tally,
}

impl Shadow {
    /// Looks at a connection that was let in, from its first byte.
    #[must_use]
    pub fn open(warrant: Warrant, contract: Arc<Contract>, limits: &Limits, now: Now) -> Self {
        let mut session = Session::open(warrant, contract, limits, now).counting_alone();
        session.shadow = true;
        session.meter = None;
        let tally = Tally::default();
        Self { session, client_lost: false, server_lost: false, strays: 0, tally }
    }

    /// The contract that is tried.
    #[must_use]
    pub fn contract(&self) -> &Arc<Contract> {
        &self.session.contract
    }

    /// Whether what a side says may hold secrets, so that a copy of it has to be overwritten.
    #[must_use]
    pub fn has_secrets(&self, side: Side) -> bool {
        self.session.has_secrets(side)
    }

    /// Whether nothing of the connection is looked at any more, so that no copy is needed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.client_lost && self.server_lost
    }

    /// Looks at bytes that a side sent; what would be refused is added to `told`. `policy` is the
    /// one in force; it is not asked in client mode.
    pub fn receive(
        &mut self,
        side: Side,
        bytes: &[u8],
        policy: Option<&Policy>,
        now: Now,
        told: &mut Vec<ShadowVerdict>,
    ) {
        self.tally.turn(now, told);
        if self.is_lost(side) || bytes.is_empty() {
            return;
        }
        let frame = self.session.contract.frame_limit(side);
        let mut rest = self.session.inbound(side).rest.take();
        if rest.is_empty() {
            let used = self.process(side, bytes, policy, now, told);
            rest.append(bytes.get(used..).unwrap_or_default(), frame);
        } else {
            rest.append(bytes, frame);
            let used = self.process(side, rest.as_slice(), policy, now, told);
            rest.forget(used);
        }
        if !self.is_lost(side) {
            self.session.inbound(side).rest = rest;
        }
    }

    /// Looks at the end of a side's stream; `clean` tells an orderly one from one that was cut.
    pub fn end(
        &mut self,
        side: Side,
        clean: bool,
        policy: Option<&Policy>,
        now: Now,
        told: &mut Vec<ShadowVerdict>,
    ) {
        if self.is_lost(side) || self.session.inbound(side).end.is_some() {
            return;
        }
        self.session.inbound(side).end = Some(clean);
        let contract = Arc::clone(&self.session.contract);
        let rest = self.session.inbound(side).rest.take();
        let whole = rest.as_slice();
        let limit = contract.frame_limit(side);
        match contract.direction(side).frame.end(whole, clean, limit) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                self.session.inbound(side).frames += 1;
                let payload = whole.get(frame.payload).unwrap_or_default();
                self.message(side, Framed { whole, payload }, policy, now, told);
            }
            Err(violation) => {
                let reason = match side {
                    Side::Client => violation.reason,
                    Side::Server => Reason::TruncatedAnswer,
                };
                self.session.inbound(side).frames += 1;
                self.broken(side, Violation { reason, ..violation }, now, told);
            }
        }
    }

    /// The connection is over: what was only counted is told.
    pub fn close(&mut self, told: &mut Vec<ShadowVerdict>) {
        self.tally.close(told);
    }

    /// Stops looking, because not all of what was said could be looked at: without one piece of a
    /// stream nothing behind it can be judged.
    pub fn lose(&mut self, sentence: &str, told: &mut Vec<ShadowVerdict>) {
        self.lose_side(Side::Client, sentence, told);
        self.lose_side(Side::Server, sentence, told);
    }

    fn is_lost(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client_lost,
            Side::Server => self.server_lost,
        }
    }

    /// Judges every whole frame at the start of `bytes`; gives how many bytes were used.
    fn process(
        &mut self,
        side: Side,
        bytes: &[u8],
        policy: Option<&Policy>,
        now: Now,
        told: &mut Vec<ShadowVerdict>,
    ) -> usize {
        let contract = Arc::clone(&self.session.contract);
        let direction = contract.direction(side);
        let limit = contract.frame_limit(side);
        let mut used = 0;
        while !self.is_lost(side) {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return used;
            }
            let inbound = self.session.inbound(side);
            match direction.frame.cut(rest, &mut inbound.scanned, limit) {
                Ok(Some(frame)) => {
                    inbound.scanned = 0;
                    inbound.frames += 1;
                    let payload = rest.get(frame.payload).unwrap_or_default();
                    let whole = rest.get(..frame.size).unwrap_or_default();
                    if !frame.skipped {
                        self.message(side, Framed { whole, payload }, policy, now, told);
                    }
                    used += frame.size;
                }
                Ok(None) => return used,
                Err(violation) => {
                    inbound.frames += 1;
                    self.broken(side, violation, now, told);
                    let sentence = "nobody knows where the next message begins";
                    self.lose_side(side, sentence, told);
                }
            }
        }
        bytes.len()
    }

    /// Judges one whole frame, and takes the exchange on, whatever it is.
    fn message(
        &mut self,
        side: Side,
        frame: Framed<'_>,
        policy: Option<&Policy>,
        now: Now,
        told: &mut Vec<ShadowVerdict>,
    ) {
        let contract = Arc::clone(&self.session.contract);
        let direction = contract.direction(side);
        let judged = match side {
            Side::Client => self.session.judge_request(&contract, frame, policy, now),
            Side::Server => self.session.judge_reply(&contract, frame, policy, now),
        };
        match judged.and_then(|message| self.session.last_look(direction, message, frame, now)) {
            Ok(mut message) => {
                if let Some(rule) = direction.messages.get(message.message) {
                    let size = frame.whole.len() as u64;
                    self.session.advance(rule, &mut message, size, now);
                }
                if direction.has_secrets() {
                    wipe(&mut message.tree);
                }
            }
            Err(refusal) => self.refused(side, &contract, refusal, now, told),
        }
        if self.server_lost {
            // Nobody sees the replies that would close them.
            self.session.open = Open::default();
        }
        let most = FOLLOWED.max(contract.limits.in_flight);
        if self.session.open.len() > most || self.session.asked.len() > most {
            let sentence = format!("more than {most} messages wait for their answer");
            self.lose_side(Side::Server, &sentence, told);
        }
    }

    /// A message that would be refused, and has passed.
    fn refused(
        &mut self,
        side: Side,
        contract: &Contract,
        mut refusal: Refusal<'_>,
        now: Now,
        told: &mut Vec<ShadowVerdict>,
    ) {
        let direction = contract.direction(side);
        let (message, mut tree) = (refusal.message, refusal.tree.take());
        let key = match (&contract.pairing, &tree) {
            (Pairing::Key(pointer), Some(tree)) => {
                pointer.get(tree).and_then(|key| Key::of(key, contract.longest_key()))
            }
            _ => None,
        };
        let rule = message.and_then(|at| direction.messages.get(at));
        let answer = side == Side::Server
            && !rule.is_some_and(|rule| matches!(rule.role, Role::Push(_) | Role::Ask));
        if !(answer && self.is_forgiven(contract, rule, key.as_ref())) {
            let class = refusal.class.unwrap_or(Class::Invalid);
            self.tell(side, class, refusal, now, told);
        }
        // An answer that confirms something else, or a push that came in on nothing.
        let unfollowed = self.session.subscriptions.is_some()
            && match side {
                Side::Client => tree.as_ref().is_none_or(Subscriptions::is_moved_by),
                Side::Server => message.is_none(),
            };
        match (message, rule) {
            _ if unfollowed => {
                let sentence = "what the client is subscribed to is not known any more";
                self.lose_side(Side::Server, sentence, told);
            }
            (Some(at), Some(rule)) => self.go_on(at, rule, tree.as_ref(), key, now),
            _ if side == Side::Client => self.go_on_unplaced(contract, key, now, told),
            _ => {}
        }
        if let Some(tree) = tree.as_mut().filter(|_| direction.has_secrets()) {
            wipe(tree);
        }
    }

    /// Bytes that are no frame.
    fn broken(
        &mut self,
        side: Side,
        violation: Violation,
        now: Now,
        told: &mut Vec<ShadowVerdict>,
    ) {
        let contract = Arc::clone(&self.session.contract);
        if side == Side::Client || !self.is_forgiven(&contract, None, None) {
            self.tell(side, Class::Frame, Refusal::frame(violation), now, told);
        }
    }

    /// Closes what a bad answer of the service belongs to; says whether it answers a message that
    /// would not have come so far.
    fn is_forgiven(
        &mut self,
        contract: &Contract,
        rule: Option<&MessageRule>,
        key: Option<&Key>,
    ) -> bool {
        let open = &mut self.session.open;
        let waiting = match (&contract.pairing, key) {
            (Pairing::None, _) | (Pairing::Key(_), None) => None,
            (Pairing::Order, _) | (Pairing::Key(_), Some(_)) => open.find(key),
        };
        if let Some(waiting) = waiting {
            let undue = waiting.undue;
            let many = contract.client.messages.get(waiting.message);
            let many = many.and_then(MessageRule::request).is_some_and(|request| request.many);
            if !many || rule.is_some_and(|rule| rule.last) {
                open.close(key);
            }
            return undue;
        }
        if key.is_none() && open.close_undue() {
            return true;
        }
        let stray = self.strays > 0;
        self.strays = self.strays.saturating_sub(1);
        stray
    }

    /// The exchange after a message of a known kind that would be refused.
    fn go_on(
        &mut self,
        at: usize,
        rule: &MessageRule,
        tree: Option<&Value<'_>>,
        key: Option<Key>,
        now: Now,
    ) {
        let session = &mut self.session;
        match tree {
            Some(tree) if Remembered::takes(&rule.remember, tree).is_ok() => {
                session.move_on(rule, tree, now);
            }
            _ => session.state = rule.state.as_ref().and_then(|s| s.to).unwrap_or(session.state),
        }
        let by_key = matches!(session.contract.pairing, Pairing::Key(_));
        let places = key.is_some() || !by_key;
        match &rule.role {
            Role::Request(request) => {
                if !request.answers.is_empty() && places {
                    session.answered(key.as_ref());
                }
                if request.expects && places {
                    let kept = tree.and_then(|tree| Kept::of(&request.keeps, tree).ok());
                    let kept = kept.unwrap_or_default();
                    let due = now.instant;
                    session.open.push(Waiting { message: at, key, due, kept, undue: true });
                } else if request.expects {
                    self.strays = self.strays.saturating_add(1);
                }
            }
            Role::Ask => session.asked.push_back(Asked { message: at, key }),
            Role::Reply(_) | Role::Push(_) => {}
        }
    }

    /// The exchange after a message of the client of which nobody knows what it is. It is taken
    /// for one that is answered once, where all are.
    fn go_on_unplaced(
        &mut self,
        contract: &Contract,
        key: Option<Key>,
        now: Now,
        told: &mut Vec<ShadowVerdict>,
    ) {
        let requests = || contract.client.messages.iter().filter_map(MessageRule::request);
        let alike = requests().all(|request| request.expects && !request.many);
        match &contract.pairing {
            Pairing::None => {}
            Pairing::Key(_) if key.is_none() => self.strays = self.strays.saturating_add(1),
            Pairing::Order if !alike => {
                let sentence = "nobody knows whether a message that is not in the contract is answered, so \
                     replies cannot be told apart";
                self.lose_side(Side::Server, sentence, told);
            }
            Pairing::Key(_) | Pairing::Order => {
                let (message, kept, due) = (usize::MAX, Kept::default(), now.instant);
                self.session.open.push(Waiting { message, key, due, kept, undue: true });
            }
        }
    }

    fn tell(
        &mut self,
        side: Side,
        class: Class,
        mut refusal: Refusal<'_>,
        now: Now,
        told: &mut Vec<ShadowVerdict>,
    ) {
        let direction = self.session.contract.direction(side);
        let violation = Violation::new(refusal.violation.reason, "");
        let violation = std::mem::replace(&mut refusal.violation, violation);
        refusal.violation = direction.discreet(refusal.message, violation);
        let class = if side == Side::Server { Class::Server } else { class };
        let event = self.session.refusal_event(side, class, &refusal);
        // Nothing was refused, so nobody is called.
        let event = Event { event: EventKind::WouldReject, alarm: false, ..event };
        self.tally.count(event, now, told);
    }

    /// Looks at a direction no more; nor at the other, where that depends on it.
    fn lose_side(&mut self, side: Side, sentence: &str, told: &mut Vec<ShadowVerdict>) {
        if self.is_lost(side) {
            return;
        }
        let mut event = Event::new(EventKind::ShadowLost);
        self.session.place(&mut event, side);
        event.sentence = sentence.to_owned();
        told.push(ShadowVerdict(event));
        self.session.inbound(side).rest.clear();
        let contract = Arc::clone(&self.session.contract);
        match side {
            Side::Client => {
                self.client_lost = true;
                if contract.pairing != Pairing::None {
                    let sentence = "what the replies would answer is not seen any more";
                    self.lose_side(Side::Server, sentence, told);
                }
            }
            Side::Server => {
                self.server_lost = true;
                self.session.open = Open::default();
                let moves = |rule: &MessageRule| {
                    !rule.remember.is_empty() || rule.state.as_ref().is_some_and(|s| s.to.is_some())
                };
                let follows = contract.asks() || self.session.subscriptions.is_some();
                if follows || contract.server.messages.iter().any(moves) {
                    let sentence = "where the exchange stands is not seen any more";
                    self.lose_side(Side::Client, sentence, told);
                }
            }
        }
    }
}

impl Session {
    /// What the last step of a message could still refuse: that it has no spelling, or a quota.
    fn last_look<'a>(
        &self,
        direction: &Direction,
        message: Authorized<'a>,
        frame: Framed<'_>,
        now: Now,
    ) -> Result<Authorized<'a>, Refusal<'a>> {
        let Some(rule) = direction.messages.get(message.message) else { return Ok(message) };
        let mut written = Ok(());
        if direction.canonical {
            let mut spelled = Vec::new();
            written = put(direction, &message.tree, frame, &mut spelled);
            if direction.has_secrets() {
                spelled.zeroize();
            }
        }
        let written = written.map_err(|violation| (Class::Invalid, violation));
        match written.and_then(|()| self.book(rule, &message, now)) {
            Ok(()) => Ok(message),
            Err((class, violation)) => {
                Err(Refusal::of(violation, message.message, message.tree).class(class))
            }
        }
    }
}

#[cfg(test)]
mod tests;
