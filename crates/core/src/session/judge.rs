//! The judgement of one message, step by step, and what follows a refusal.
//!
//! `Decoded -> Selected -> Valid -> Authorized`: each step takes the one before by value, so none
//! can be left out or reordered.

use super::open::{Key, Waiting};
use super::{Closing, Manner, Outbox, Passed, Session, Warrant};
use crate::audit::{Event, EventKind};
use crate::contract::decode::{DecodeRule, write_json};
use crate::contract::field::unknown_field;
use crate::contract::reject::Then;
use crate::contract::value::Value;
use crate::contract::{Contract, Direction, MessageRule, Pairing, Request, Role, Side};
use crate::now::Now;
use crate::policy::{Ask, Ids, Policy};
use crate::rejection::{Class, Reason, Violation};
use std::sync::Arc;

/// A refusal on its way: the violation, and what is known of the message.
pub(super) struct Refusal<'a> {
    pub(super) violation: Violation,
    /// Index of the declared message, once it was selected.
    message: Option<usize>,
    /// The decoded tree, for values of a reply.
    tree: Option<Value<'a>>,
    /// What a policy was asked, where one was.
    denied: Option<Box<Denied>>,
    /// Class, where the step is not the one that names it.
    class: Option<Class>,
}

/// What a policy was asked when it said no.
#[derive(Default)]
struct Denied {
    resources: Vec<String>,
    policies: Vec<String>,
}

impl<'a> Refusal<'a> {
    pub(super) fn frame(violation: Violation) -> Self {
        Self { violation, message: None, tree: None, denied: None, class: None }
    }

    fn of(violation: Violation, message: usize, tree: Value<'a>) -> Self {
        Self { message: Some(message), tree: Some(tree), ..Self::frame(violation) }
    }

    fn class(self, class: Class) -> Self {
        Self { class: Some(class), ..self }
    }
}

/// A payload that was decoded into acceptable text.
struct Decoded<'a>(Value<'a>);

/// A tree and the one declared message that it is.
struct Selected<'a> {
    message: usize,
    tree: Value<'a>,
}

/// A message whose every field holds.
struct Valid<'a> {
    message: usize,
    tree: Value<'a>,
}

/// A message that may be said now, by this peer.
struct Authorized<'a> {
    message: usize,
    tree: Value<'a>,
    key: Option<Key>,
    resources: Vec<String>,
    policies: Option<Ids>,
}

impl<'a> Decoded<'a> {
    fn read(
        direction: &Direction,
        contract: &Contract,
        payload: &'a [u8],
    ) -> Result<Self, Refusal<'a>> {
        let tree = direction.decode.read(payload, &contract.limits.wire).map_err(Refusal::frame)?;
        match direction.text.check(&tree) {
            Ok(()) => Ok(Self(tree)),
            Err(violation) => Err(Refusal { tree: Some(tree), ..Refusal::frame(violation) }),
        }
    }

    fn select(
        self,
        direction: &Direction,
        candidates: impl Fn(&MessageRule) -> bool,
    ) -> Result<Selected<'a>, Refusal<'a>> {
        // The tree of a message that fits nothing is still read for the values of a reply.
        let kept = matches!(direction.decode, DecodeRule::Json(_)).then(|| self.0.clone());
        match direction.select(self.0, candidates) {
            Ok((message, tree)) => Ok(Selected { message, tree }),
            Err(violation) => {
                let class = (violation.reason == Reason::Undeclared).then_some(Class::Undeclared);
                Err(Refusal { tree: kept, class, ..Refusal::frame(violation) })
            }
        }
    }
}

impl<'a> Selected<'a> {
    fn validate(mut self, direction: &Direction) -> Result<Valid<'a>, Refusal<'a>> {
        let Some(rule) = direction.messages.get(self.message) else {
            return Err(Refusal::frame(Violation::new(Reason::NoMessage, "no such message")));
        };
        match check(rule, &mut self.tree, &direction.decode) {
            Ok(()) => Ok(Valid { message: self.message, tree: self.tree }),
            Err(violation) => Err(Refusal::of(violation, self.message, self.tree)),
        }
    }
}

/// Holds every field to its rule, and the whole to its schema.
fn check(rule: &MessageRule, tree: &mut Value<'_>, decode: &DecodeRule) -> Result<(), Violation> {
    let from_text = matches!(decode, DecodeRule::Text { .. });
    if let Some(schema) = &rule.schema {
        schema.check(tree)?;
    } else if matches!(decode, DecodeRule::Json(_))
        && let Value::Map(members) = &*tree
        && let Some((name, _)) = members
            .iter()
            .find(|(name, _)| !rule.fields.iter().any(|(at, ..)| at.top() == Some(name)))
    {
        return Err(unknown_field(name));
    }
    for (pointer, place, field) in &rule.fields {
        match at_mut(tree, pointer) {
            Some(value) => field.check(place, value, from_text)?,
            None if field.optional => {}
            None => {
                let sentence = format!("`{place}` is missing");
                return Err(Violation::at(Reason::FieldMissing, place, sentence));
            }
        }
    }
    Ok(())
}

fn at_mut<'v, 'a>(
    tree: &'v mut Value<'a>,
    pointer: &crate::contract::value::Pointer,
) -> Option<&'v mut Value<'a>> {
    let mut at = tree;
    for segment in pointer.segments() {
        at = match at {
            Value::Map(members) => {
                members.iter_mut().find(|(key, _)| key == segment).map(|(_, value)| value)?
            }
            Value::List(list) => list.get_mut(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(at)
}

impl Session {
    /// Judges one whole frame, and lets it through or refuses it.
    pub(super) fn message(
        &mut self,
        side: Side,
        frame: &[u8],
        payload: &[u8],
        policy: Option<&Policy>,
        now: Now,
        out: &mut Outbox,
    ) {
        let contract = Arc::clone(&self.contract);
        let direction = contract.direction(side);
        let judged = match side {
            Side::Client => self.judge_request(&contract, payload, policy, now),
            Side::Server => self.judge_reply(&contract, payload),
        };
        match judged {
            Ok(message) => self.clear(side, direction, message, frame, payload, now, out),
            Err(refusal) => {
                let class = match side {
                    Side::Server => Class::Server,
                    Side::Client => refusal.class.unwrap_or(Class::Invalid),
                };
                self.refuse(side, class, refusal, now, out);
            }
        }
    }

    fn judge_request<'a>(
        &mut self,
        contract: &Contract,
        payload: &'a [u8],
        policy: Option<&Policy>,
        now: Now,
    ) -> Result<Authorized<'a>, Refusal<'a>> {
        let direction = contract.direction(Side::Client);
        let valid = Decoded::read(direction, contract, payload)?
            .select(direction, |_| true)?
            .validate(direction)?;
        let rule = direction.messages.get(valid.message);
        let Some(request) = rule.and_then(MessageRule::request) else {
            let violation = Violation::new(Reason::NoMessage, "no such message");
            return Err(Refusal::of(violation, valid.message, valid.tree));
        };
        let key = match self.free_key(contract, request, &valid.tree) {
            Ok(key) => key,
            Err(violation) => {
                return Err(Refusal::of(violation, valid.message, valid.tree).class(Class::State));
            }
        };
        self.authorize(contract, request, valid, key, policy, now)
    }

    /// The key under which a request opens, if that is free.
    fn free_key(
        &self,
        contract: &Contract,
        request: &Request,
        tree: &Value<'_>,
    ) -> Result<Option<Key>, Violation> {
        let Pairing::Key(pointer) = &contract.pairing else { return Ok(None) };
        if !request.expects {
            return Ok(None);
        }
        let value = pointer.get(tree);
        let Some(key) = value.and_then(Key::of) else {
            let sentence = format!("`{pointer}` cannot pair a reply with this request");
            return Err(Violation::at(Reason::PairKey, pointer.to_string(), sentence));
        };
        if self.open.has(&key) {
            let shown = value.map(Value::shown).unwrap_or_default();
            let sentence = format!("a request with the key {shown} is open");
            return Err(Violation::at(Reason::PairOpen, pointer.to_string(), sentence));
        }
        Ok(Some(key))
    }

    fn authorize<'a>(
        &mut self,
        contract: &Contract,
        request: &Request,
        valid: Valid<'a>,
        key: Option<Key>,
        policy: Option<&Policy>,
        now: Now,
    ) -> Result<Authorized<'a>, Refusal<'a>> {
        let Valid { message, tree } = valid;
        let mut resources = Vec::new();
        if let Some(template) = &request.resource
            && let Err(violation) = template.names(&tree, contract.limits.resources, &mut resources)
        {
            let class = if violation.reason == Reason::ResourceEmpty {
                Class::Invalid
            } else {
                Class::Limit
            };
            return Err(Refusal::of(violation, message, tree).class(class));
        }
        let denial = match (&self.warrant, policy) {
            (Warrant::NotJudged, _) | (Warrant::Rehearsed(true), _) => {
                return Ok(Authorized { message, tree, key, resources, policies: None });
            }
            (Warrant::Rehearsed(false), _) => {
                (Violation::new(Reason::PolicyDenied, "no policy permits it"), Vec::new())
            }
            (Warrant::Permit(_), None) => {
                (Violation::new(Reason::PolicyError, "there is no policy in force"), Vec::new())
            }
            (Warrant::Permit(permit), Some(policy)) => {
                // A context is built only where a policy of this peer reads it.
                let mut context: Vec<(&str, &Value<'_>)> = Vec::new();
                if policy.needs_context(permit, &request.action) {
                    let shown = request.context.iter();
                    context.extend(
                        shown.filter_map(|(name, at)| Some((name.as_str(), at.get(&tree)?))),
                    );
                }
                let ask = Ask { action: &request.action, resources: &resources, context: &context };
                match policy.authorize(permit, &mut self.cache, &ask, now) {
                    Ok(grant) => {
                        let policies = Some(grant.policies);
                        return Ok(Authorized { message, tree, key, resources, policies });
                    }
                    Err(denial) => {
                        (Violation::new(denial.reason, denial.sentence), denial.policies)
                    }
                }
            }
        };
        let (violation, policies) = denial;
        let refusal = Refusal::of(violation, message, tree).class(Class::Denied);
        Err(Refusal { denied: Some(Box::new(Denied { resources, policies })), ..refusal })
    }

    /// A reply must answer an open request; a push is declared as such.
    fn judge_reply<'a>(
        &self,
        contract: &Contract,
        payload: &'a [u8],
    ) -> Result<Authorized<'a>, Refusal<'a>> {
        let direction = contract.direction(Side::Server);
        let decoded = Decoded::read(direction, contract, payload)?;
        let key = match &contract.pairing {
            Pairing::Key(pointer) => pointer.get(&decoded.0).and_then(Key::of),
            Pairing::Order | Pairing::None => None,
        };
        let asked = match &contract.pairing {
            Pairing::Order => self.open.find(None),
            Pairing::Key(_) => key.as_ref().and_then(|key| self.open.find(Some(key))),
            Pairing::None => None,
        };
        let request = asked.and_then(|waiting| contract.client.messages.get(waiting.message));
        let answers = |rule: &MessageRule| match &rule.role {
            Role::Reply(names) => request.is_some_and(|request| names.contains(&request.name)),
            Role::Push => true,
            Role::Request(_) => false,
        };
        let unasked = request.is_none();
        let valid = match decoded.select(direction, answers) {
            Ok(selected) => selected.validate(direction)?,
            Err(refusal) if unasked => {
                let sentence = "the service said something that answers no open request";
                let violation = Violation::new(Reason::Unasked, sentence);
                return Err(Refusal { violation, ..refusal });
            }
            Err(refusal) => return Err(refusal),
        };
        let Valid { message, tree } = valid;
        Ok(Authorized { message, tree, key, resources: Vec::new(), policies: None })
    }

    /// The last step: state changes, and the bytes are cleared.
    #[expect(clippy::too_many_arguments, reason = "one step of a pipeline, called in one place")]
    fn clear(
        &mut self,
        side: Side,
        direction: &Direction,
        message: Authorized<'_>,
        frame: &[u8],
        payload: &[u8],
        now: Now,
        out: &mut Outbox,
    ) {
        let to = match side {
            Side::Client => &mut out.to_server.0,
            Side::Server => &mut out.to_client.0,
        };
        let before = to.len();
        if let Err(violation) = put(direction, &message.tree, frame, payload, to) {
            to.truncate(before);
            let class = if side == Side::Server { Class::Server } else { Class::Invalid };
            let refusal = Refusal::of(violation, message.message, message.tree);
            self.refuse(side, class, refusal, now, out);
            return;
        }
        let size = (to.len() - before) as u64;
        if self.list_passed {
            let written = to.get(before..).unwrap_or_default();
            let payload = direction.payload_of(written);
            let payload = before + payload.start..before + payload.end;
            let (by, message) = (side, message.message);
            out.passed.push(Passed { by, message, frame: before..to.len(), payload });
        }
        let Some(rule) = direction.messages.get(message.message) else { return };
        match &rule.role {
            Role::Request(request) => {
                self.totals.messages_to_server += 1;
                self.totals.bytes_to_server += size;
                if request.expects {
                    let wait = request.reply_timeout.unwrap_or(self.contract.limits.reply_timeout);
                    let due = now.instant + wait;
                    self.open.push(Waiting { message: message.message, key: message.key, due });
                }
            }
            Role::Reply(_) => {
                self.totals.messages_to_client += 1;
                self.totals.bytes_to_client += size;
                self.open.close(message.key.as_ref());
                self.open.flush(&self.contract, &mut out.to_client.0);
            }
            Role::Push => {
                self.totals.messages_to_client += 1;
                self.totals.bytes_to_client += size;
            }
        }
        if self.record_cleared || rule.hazard.is_some() {
            out.events.push(self.cleared_event(
                side,
                rule,
                &message.resources,
                message.policies.as_ref(),
            ));
        }
    }

    fn cleared_event(
        &self,
        side: Side,
        rule: &MessageRule,
        resources: &[String],
        policies: Option<&Ids>,
    ) -> Event {
        let mut event = Event::new(EventKind::Cleared);
        self.place(&mut event, side);
        event.message = Some(rule.name.clone());
        event.action = rule.action().map(str::to_owned);
        event.resources = resources.to_vec();
        let ids = policies.into_iter().flat_map(|ids| ids.iter());
        event.policies = ids.map(|id| id.to_string()).collect();
        event.sentence = rule.hazard.clone().unwrap_or_default();
        event
    }

    fn place(&self, event: &mut Event, side: Side) {
        event.direction = Some(side.as_str());
        event.contract = Some(self.contract.name.clone());
        event.frame = Some(match side {
            Side::Client => self.client.frames,
            Side::Server => self.server.frames,
        });
    }

    /// Records a refusal, answers it as the contract says, and does what comes next.
    pub(super) fn refuse(
        &mut self,
        side: Side,
        class: Class,
        refusal: Refusal<'_>,
        now: Now,
        out: &mut Outbox,
    ) {
        // A frame of the service that breaks the contract is of class `server`, whatever broke.
        let class = if side == Side::Server { Class::Server } else { class };
        self.record_refusal(side, class, &refusal, now, out);
        let contract = Arc::clone(&self.contract);
        let request = refusal.message.and_then(|at| contract.client.messages.get(at));
        let request =
            if side == Side::Client { request.and_then(MessageRule::request) } else { None };
        let reject = contract.reject(class, request);
        let count = self.refused.get_mut(class as usize).map_or(u32::MAX, |count| {
            *count += 1;
            *count
        });
        let all: u32 = self.refused.iter().sum();
        let answered = request.is_none_or(|request| request.expects) && reject.then != Then::Drop;
        if let Some(reply) = reject.reply.as_ref().filter(|_| answered) {
            let server = contract.direction(Side::Server);
            let payload =
                reply.render(refusal.tree.as_ref(), &contract.reply_values, &server.decode);
            self.open.answer(&contract, &payload, &mut out.to_client.0);
        }
        let reason = refusal.violation.reason;
        let sentence = refusal.violation.sentence;
        let goes_on = matches!(reject.then, Then::Continue | Then::Drop);
        if all > contract.limits.refusals {
            let sentence =
                format!("{all} messages were refused; the limit is {}", contract.limits.refusals);
            self.start_closing(Reason::Refusals, sentence, now);
        } else if goes_on && count <= reject.max && class != Class::Frame {
            // The next frame is read.
        } else if side == Side::Server {
            // With an answer of the contract's own the end is orderly; without one it must not
            // look like the service's.
            let manner = if reject.reply.is_some() { Manner::Orderly } else { Manner::Reset };
            self.open.flush_all(&contract, &mut out.to_client.0);
            self.stop(reason, sentence, manner, Manner::Reset, out);
        } else if reject.then == Then::Reset {
            self.stop(reason, sentence, Manner::Reset, Manner::Reset, out);
        } else {
            self.start_closing(reason, sentence, now);
        }
    }

    fn start_closing(&mut self, reason: Reason, sentence: String, now: Now) {
        if self.closing.is_none() {
            let until = now.instant + self.waits.close;
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
        let direction = self.contract.direction(side);
        let rule = refusal.message.and_then(|at| direction.messages.get(at));
        let mut event = Event::new(EventKind::Rejected);
        self.place(&mut event, side);
        event.reason = Some(refusal.violation.reason);
        event.class = Some(class);
        event.alarm = self.contract.reject(class, rule.and_then(MessageRule::request)).alert;
        event.sentence.clone_from(&refusal.violation.sentence);
        event.pointer.clone_from(&refusal.violation.pointer);
        event.message = rule.map(|rule| rule.name.clone());
        event.action = rule.and_then(MessageRule::action).map(str::to_owned);
        if let Some(denied) = &refusal.denied {
            event.resources.clone_from(&denied.resources);
            event.policies.clone_from(&denied.policies);
        }
        out.events.push(event);
    }
}

/// Writes a message to the other side: its very bytes, or its one spelling.
fn put(
    direction: &Direction,
    tree: &Value<'_>,
    frame: &[u8],
    payload: &[u8],
    to: &mut Vec<u8>,
) -> Result<(), Violation> {
    if !direction.canonical {
        to.extend_from_slice(frame);
        return Ok(());
    }
    if matches!(direction.decode, DecodeRule::Json(_)) {
        let mut spelled = Vec::with_capacity(payload.len());
        write_json(tree, &mut spelled);
        return direction.frame.put(&spelled, to);
    }
    direction.frame.put(payload, to)
}
