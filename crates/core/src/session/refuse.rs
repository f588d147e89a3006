//! What follows a refusal: the record, the answer that the contract gives, and the end.

use super::open::Key;
use super::{Closing, Manner, Outbox, Session, Warrant};
use crate::audit::{Event, EventKind, shown};
use crate::contract::codec::Codec;
use crate::contract::reject::{Reply, Then};
use crate::contract::secret::{touches, wipe};
use crate::contract::value::{Pointer, Value};
use crate::contract::{Contract, MessageRule, Pairing, Role, Side, doc};
use crate::now::Now;
use crate::rejection::{Class, Reason, Violation};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// A refusal on its way: the violation, and what is known of the message.
pub(super) struct Refusal<'a> {
    pub(super) violation: Violation,
    /// Index of the declared message, once it was selected.
    pub(super) message: Option<usize>,
    /// The decoded tree, for values of a reply.
    pub(super) tree: Option<Value<'a>>,
    /// What a policy was asked, where one was.
    pub(super) denied: Option<Box<Denied>>,
    /// Class, where the step is not the one that names it.
    pub(super) class: Option<Class>,
}

/// What a policy was asked, and which policies decided.
#[derive(Default)]
pub(super) struct Denied {
    pub(super) resources: Vec<String>,
    pub(super) policies: Vec<String>,
}

impl<'a> Refusal<'a> {
    pub(super) fn frame(violation: Violation) -> Self {
        Self { violation, message: None, tree: None, denied: None, class: None }
    }

    pub(super) fn of(violation: Violation, message: usize, tree: Value<'a>) -> Self {
        Self { message: Some(message), tree: Some(tree), ..Self::frame(violation) }
    }

    pub(super) fn class(self, class: Class) -> Self {
        Self { class: Some(class), ..self }
    }
}

/// What the peer is told, if anything can be made of what it sent.
fn payload(
    contract: &Contract,
    reply: &Reply,
    frame: &[u8],
    tree: Option<&Value<'_>>,
) -> Option<Vec<u8>> {
    match reply {
        Reply::Template(template) => Some(template.answer(tree, contract)),
        Reply::Codec(form) => contract.codec.as_ref()?.refusal(form, frame, tree),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Whether the service may say anything that answers no request.
fn speaks_unasked(contract: &Contract) -> bool {
    let unasked = |message: &MessageRule| matches!(message.role, Role::Push(_) | Role::Ask);
    contract.server.messages.iter().any(unasked)
}

impl Session {
    /// Records a refusal, answers it as the contract says, and does what comes next.
    pub(super) fn refuse(
        &mut self,
        side: Side,
        class: Class,
        mut refusal: Refusal<'_>,
        frame: &[u8],
        now: Now,
        out: &mut Outbox,
    ) {
        let framing_lost = class == Class::Frame;
        // A frame of the service that breaks the contract is of class `server`, whatever broke.
        let class = if side == Side::Server { Class::Server } else { class };
        let contract = Arc::clone(&self.contract);
        let direction = contract.direction(side);
        refusal.violation = direction.discreet(refusal.message, refusal.violation);
        self.record_refusal(side, class, &refusal, now, out);
        let before = self.inbound(side).before;
        if let Some(event) = out.events.last_mut() {
            event.offset = framing_lost.then_some(before);
            event.size = (!framing_lost).then_some(frame.len() as u64);
            let shown = frame.get(..contract.audit_bytes).unwrap_or(frame);
            event.bytes = (!shown.is_empty()).then(|| hexadecimal(shown));
        }
        let request = refusal.message.and_then(|at| contract.client.messages.get(at));
        let request =
            if side == Side::Client { request.and_then(MessageRule::request) } else { None };
        // Who has no role where roles decide is refused as who may not, whatever was wrong.
        let alike = side == Side::Client && !framing_lost && self.lacks_its_role();
        let reject = contract.reject(if alike { Class::Denied } else { class }, request);
        let count = self.refused.get_mut(class as usize).map_or(u32::MAX, |count| {
            *count += 1;
            *count
        });
        let all: u32 = self.refused.iter().sum();
        let goes_on = matches!(reject.then, Then::Continue | Then::Drop)
            && count <= reject.max
            && all <= contract.limits.refusals
            && !framing_lost;
        let reply =
            reject.reply.as_ref().filter(|_| !matches!(reject.then, Then::Drop | Then::Reset));
        let tree = refusal.tree.as_ref();
        let silent = tree.is_some_and(|tree| {
            contract.codec.as_ref().is_some_and(|codec| !codec.is_answered(side, tree))
        });
        let reply = reply.filter(|_| !silent);
        let payload = reply.and_then(|reply| payload(&contract, reply, frame, tree));
        let kept = side == Side::Server
            && goes_on
            && (silent || self.stand_in(&contract, &refusal, payload.as_deref()));
        let answered = request.is_none_or(|request| request.expects);
        let delay = (reject.delay > Duration::ZERO).then(|| now.instant + reject.delay);
        // What answers nobody gets no answer that somebody would take for theirs.
        let answers = side == Side::Client || self.answered_by(&contract, &refusal);
        let said = payload.filter(|_| answered && !kept && answers);
        let says = said.is_some();
        if let Some(payload) = said {
            if side == Side::Server
                && contract.pairing == Pairing::Order
                && self.open.requests() > 0
            {
                self.open.stand_in(&contract, None, &payload);
            } else {
                self.open.answer(&contract, &payload, delay);
            }
        }
        if let Some(tree) = refusal.tree.as_mut().filter(|_| direction.has_secrets()) {
            wipe(tree);
        }
        if let Some(until) = delay {
            self.held_until = self.held_until.max(Some(until));
            // A wait of our own is no silence of the peer.
            self.active = self.active.max(until);
        }
        self.untaken += self.open.flush(&contract, now.instant, &mut out.to_client.0);
        let Violation { reason, sentence, .. } = refusal.violation;
        if all > contract.limits.refusals {
            let sentence =
                format!("{all} messages were refused; the limit is {}", contract.limits.refusals);
            self.start_closing(Reason::Refusals, sentence, now);
        } else if goes_on && (side == Side::Client || kept) {
            // The next frame is read.
        } else if side == Side::Server {
            // With an answer of the contract's own the end is orderly; without one it must not
            // look like the service's.
            let manner = if says { Manner::Orderly } else { Manner::Reset };
            self.open.flush_all(&contract, &mut out.to_client.0);
            self.stop(reason, sentence, manner, Manner::Reset, out);
        } else if reject.then == Then::Reset {
            self.stop(reason, sentence, Manner::Reset, Manner::Reset, out);
        } else {
            self.start_closing(reason, sentence, now);
        }
    }

    /// Goes on after a bad answer of the service: the request that it answered is closed, with the
    /// contract's answer in its place if there is one. Says whether the exchange still holds: not
    /// where replies come in order and more of the same request may follow.
    fn stand_in(
        &mut self,
        contract: &Contract,
        refusal: &Refusal<'_>,
        payload: Option<&[u8]>,
    ) -> bool {
        if !self.answered_by(contract, refusal) {
            return true;
        }
        let key = match &contract.pairing {
            Pairing::Key(pointer) => {
                let key = refusal.tree.as_ref().and_then(|tree| pointer.get(tree));
                let Some(key) = key.and_then(|key| Key::of(key, contract.longest_key())) else {
                    // It names no request, so nobody waits for it; a late one ends the connection.
                    return true;
                };
                Some(key)
            }
            // Nobody asked, so nobody is answered.
            Pairing::Order if self.open.requests() == 0 => return true,
            // Whether it was an answer, or said unasked, cannot be told.
            Pairing::Order if refusal.message.is_none() && speaks_unasked(contract) => {
                return false;
            }
            Pairing::Order if self.expects_many(None) || self.subscriptions.is_some() => {
                return false;
            }
            Pairing::Order | Pairing::None => None,
        };
        match payload {
            Some(payload) => self.open.stand_in(contract, key.as_ref(), payload),
            None => self.open.close(key.as_ref()),
        }
        true
    }

    /// Whether what the service said badly was meant to answer a request.
    fn answered_by(&self, contract: &Contract, refusal: &Refusal<'_>) -> bool {
        let messages = &contract.server.messages;
        match refusal.message.and_then(|at| messages.get(at)).map(|message| &message.role) {
            Some(role) => matches!(role, Role::Reply(_)),
            // A codec knows its questions by their envelope, and was asked before.
            None => {
                contract.codec.is_some()
                    || contract.pairing == Pairing::Order
                    || !messages.iter().any(|message| matches!(message.role, Role::Ask))
            }
        }
    }

    /// Whether the protocol knows no peer without a role, and this one has none.
    fn lacks_its_role(&self) -> bool {
        let decides = self.contract.codec.as_ref().is_some_and(Codec::denies_without_role);
        match &self.warrant {
            Warrant::Permit(permit) => {
                decides && self.contract.role.is_some() && permit.role().is_none()
            }
            Warrant::NotJudged | Warrant::Rehearsed(_) => false,
        }
    }

    fn start_closing(&mut self, reason: Reason, sentence: String, now: Now) {
        if self.closing.is_none() {
            let from = self.held_until.map_or(now.instant, |held| held.max(now.instant));
            let until = from + self.waits.close;
            self.closing = Some(Closing { reason, sentence, until });
        }
    }

    pub(super) fn record_refusal(
        &mut self,
        side: Side,
        class: Class,
        refusal: &Refusal<'_>,
        _now: Now,
        out: &mut Outbox,
    ) {
        self.totals.refused += 1;
        let event = self.refusal_event(side, class, refusal);
        out.events.push(event);
    }

    pub(super) fn refusal_event(&self, side: Side, class: Class, refusal: &Refusal<'_>) -> Event {
        let direction = self.contract.direction(side);
        let rule = refusal.message.and_then(|at| direction.messages.get(at));
        let mut event = Event::new(EventKind::Rejected);
        self.place(&mut event, side);
        event.reason = Some(refusal.violation.reason);
        event.class = Some(class);
        event.alarm = self.contract.reject(class, rule.and_then(MessageRule::request)).alert;
        event.sentence.clone_from(&refusal.violation.sentence);
        event.pointer.clone_from(&refusal.violation.pointer);
        (event.bound, event.value) = self.deciding(side, rule, refusal);
        let denied = matches!(event.reason, Some(Reason::PolicyDenied | Reason::PolicyError));
        event.decision = denied.then_some("deny");
        event.message = rule.map(|rule| rule.name.clone());
        event.action = rule.and_then(MessageRule::action).map(str::to_owned);
        if let Some(denied) = &refusal.denied {
            event.resources.clone_from(&denied.resources);
            event.policies.clone_from(&denied.policies);
        }
        event
    }

    /// What the contract allows at the place that broke a rule, and the value that stood there: one
    /// value, and none that may be secret.
    fn deciding(
        &self,
        side: Side,
        rule: Option<&MessageRule>,
        refusal: &Refusal<'_>,
    ) -> (Option<String>, Option<String>) {
        let direction = self.contract.direction(side);
        if refusal.violation.reason == Reason::FrameTooLarge {
            return (Some(format!("{} bytes", self.contract.frame_limit(side))), None);
        }
        let at = refusal.violation.pointer.as_deref().and_then(|at| at.parse::<Pointer>().ok());
        let Some(at) = at else { return (None, None) };
        let field = rule.and_then(|rule| rule.fields.iter().find(|(place, ..)| place.covers(&at)));
        // The contract's own words: a backtick in them ends nothing.
        let bound = field.map(|(_, _, field)| shown(doc::field(field).as_bytes()));
        let bound = bound.map(|bound| bound.replace("\\u{60}", "`"));
        let hidden = match rule {
            Some(rule) => touches(&rule.secrets, &at),
            None => direction.has_secrets(),
        };
        let value = refusal.tree.as_ref().filter(|_| !hidden).and_then(|tree| at.get(tree));
        let value = value.and_then(|value| match value {
            Value::Text(text) => Some(shown(text.as_bytes())),
            Value::Bytes(_) | Value::List(_) | Value::Map(_) => None,
            value => Some(value.shown()),
        });
        (bound.filter(|bound| !bound.is_empty()), value)
    }
}
