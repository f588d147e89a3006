//! The judgement of one message, step by step.
//!
//! `Framed -> Decoded -> Selected -> Valid -> Authorized`: each step takes the one before by value,
//! so none can be left out or reordered.

use super::kept::Remembered;
use super::open::Key;
use super::refuse::{Denied, Refusal};
use super::{Asked, Kept, Outbox, Session, Warrant};
use crate::contract::codec::resp::subscriptions::Heard;
use crate::contract::decode::DecodeRule;
use crate::contract::field::{FieldRule, unknown_field};
use crate::contract::quota::{Amount, Quota};
use crate::contract::rule::{Look, Root, Scope};
use crate::contract::secret::wipe;
use crate::contract::select::Unselected;
use crate::contract::value::{Pointer, Value};
use crate::contract::{Asking, Contract, Direction, MessageRule, Pairing, Request, Role, Side};
use crate::now::Now;
use crate::policy::{Ask, Ids, Policy};
use crate::rejection::{Class, Reason, Violation};
use std::sync::Arc;

/// A value that a policy sees, by its name.
type Shown<'v> = (&'v str, &'v Value<'v>);

/// One whole frame, as it came.
#[derive(Clone, Copy)]
pub(super) struct Framed<'a> {
    /// All of its bytes.
    pub(super) whole: &'a [u8],
    /// What the decoder gets.
    pub(super) payload: &'a [u8],
}

/// A payload that was decoded into acceptable text.
struct Decoded<'a> {
    tree: Value<'a>,
    /// The bytes that were decoded.
    input: &'a [u8],
}

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
pub(super) struct Authorized<'a> {
    pub(super) message: usize,
    pub(super) tree: Value<'a>,
    pub(super) key: Option<Key>,
    pub(super) resources: Vec<String>,
    pub(super) policies: Option<Ids>,
    /// What stays of it while it is open.
    pub(super) kept: Kept,
}

impl<'a> Decoded<'a> {
    fn read(
        direction: &Direction,
        contract: &Contract,
        frame: Framed<'a>,
    ) -> Result<Self, Refusal<'a>> {
        let input = direction.decode.input(frame.whole, frame.payload);
        let tree = direction.decode.read(input, &contract.limits.wire).map_err(|violation| {
            let class = (violation.reason == Reason::Undeclared).then_some(Class::Undeclared);
            let tree = direction.decode.salvage(input);
            Refusal { tree, class, ..Refusal::frame(violation) }
        })?;
        let checked = direction.text.check(&tree).and_then(|()| match &contract.codec {
            Some(codec) => codec.check_envelope(&tree),
            None => Ok(()),
        });
        match checked {
            Ok(()) => Ok(Self { tree, input }),
            Err(violation) => {
                let class = (violation.reason == Reason::Undeclared).then_some(Class::Undeclared);
                Err(Refusal { tree: Some(tree), class, ..Refusal::frame(violation) })
            }
        }
    }

    fn select(
        self,
        direction: &Direction,
        contract: &Contract,
        candidates: impl Fn(&MessageRule) -> bool,
    ) -> Result<Selected<'a>, Refusal<'a>> {
        let (message, mut tree) = match direction.select(self.tree, candidates) {
            Ok(selected) => selected,
            Err(Unselected { violation, tree }) => {
                let class = (violation.reason == Reason::Undeclared).then_some(Class::Undeclared);
                // A text that a grammar would have read has no values of its own for a reply.
                let tree = tree.filter(|_| !matches!(direction.decode, DecodeRule::Text { .. }));
                return Err(Refusal { tree, class, ..Refusal::frame(violation) });
            }
        };
        let Some(rule) = direction.messages.get(message) else {
            let violation = Violation::new(Reason::NoMessage, "no such message");
            return Err(Refusal::frame(violation));
        };
        match direction.completed(rule, self.input, &contract.limits.wire) {
            Ok(None) => Ok(Selected { message, tree }),
            Ok(Some(whole)) => {
                if direction.has_secrets() {
                    wipe(&mut tree);
                }
                Ok(Selected { message, tree: whole })
            }
            Err(violation) => Err(Refusal::of(violation, message, tree)),
        }
    }
}

impl<'a> Selected<'a> {
    fn validate(mut self, direction: &Direction) -> Result<Valid<'a>, Refusal<'a>> {
        let Some(rule) = direction.messages.get(self.message) else {
            return Err(Refusal::frame(Violation::new(Reason::NoMessage, "no such message")));
        };
        match check(rule, &mut self.tree, direction) {
            Ok(()) => Ok(Valid { message: self.message, tree: self.tree }),
            Err(violation) => Err(Refusal::of(violation, self.message, self.tree)),
        }
    }
}

impl<'a> Valid<'a> {
    /// Holds the message to the rules across its fields. A rule that reads `peer` is a question of
    /// who may: in client mode the far gateway asks it, as it asks the policy.
    fn holds(
        self,
        direction: &Direction,
        session: &Session,
        request: Option<&Kept>,
    ) -> Result<Self, Refusal<'a>> {
        let rules = direction.messages.get(self.message).map_or(&[][..], |rule| &rule.rules);
        let far = matches!(session.warrant, Warrant::NotJudged);
        let scope = Scope {
            this: &self.tree,
            request: request.map(|kept| kept as &dyn Look),
            session: Some(session.remembered.as_value()),
            peer: session.speaker.as_ref().map(|speaker| speaker as &dyn Look),
        };
        let mut judged = rules.iter().filter(|rule| !(far && rule.reads(Root::Peer)));
        match judged.try_for_each(|rule| rule.check(&scope)) {
            Ok(()) => Ok(self),
            Err(violation) => Err(Refusal::of(violation, self.message, self.tree)),
        }
    }
}

/// Holds every field to its rule, and the whole to its schema.
fn check(rule: &MessageRule, tree: &mut Value<'_>, direction: &Direction) -> Result<(), Violation> {
    let from_text = direction.decode.integers_in_text();
    if let Some(segments) = &rule.segments {
        segments.check(tree)?;
    }
    if let Some(schema) = &rule.schema {
        schema.check(tree)?;
        whole_numbers(rule, tree);
    } else if direction.decode.lists_its_fields() {
        closed(rule, tree, direction)?;
    }
    let plain = rule.schema.is_none() && matches!(direction.decode, DecodeRule::Json(_));
    for (pointer, place, field) in &rule.fields {
        match at_mut(tree, pointer) {
            Some(value) => {
                if plain {
                    described(place, value, field)?;
                }
                field.check(place, value, from_text)?;
            }
            None if field.optional => {}
            None => {
                let sentence = format!("`{place}` is missing");
                return Err(Violation::at(Reason::FieldMissing, place, sentence));
            }
        }
    }
    Ok(())
}

/// What is named by an integer, counted, shown or kept is one, however JSON wrote it.
fn whole_numbers(rule: &MessageRule, tree: &mut Value<'_>) {
    let asking = rule.asking();
    let shown = asking.into_iter().flat_map(|asking| &asking.context).map(|(_, at)| at);
    let named = asking.and_then(|asking| asking.resource.as_ref());
    let named = named.into_iter().flat_map(|template| template.pointers()).map(|(at, _)| at);
    let summed = match rule.request().and_then(|request| request.quota.as_ref()) {
        Some(Quota { amount: Amount::Sum(at), .. }) => Some(at),
        _ => None,
    };
    let kept = rule.remember.iter().map(|of| &of.at);
    for at in shown.chain(named).chain(summed).chain(kept) {
        if let Some(value) = at_mut(tree, at) {
            value.make_whole();
        }
    }
}

/// A list whose length alone is bounded would hold anything.
fn described(place: &str, value: &Value<'_>, field: &FieldRule) -> Result<(), Violation> {
    match value {
        Value::List(_) if field.len.is_some() && field.each.is_none() => {
            let sentence = format!("`{place}` is a list, whose elements no rule describes");
            Err(Violation::at(Reason::FieldUnknown, place, sentence))
        }
        _ => Ok(()),
    }
}

/// Refuses what no rule of the message lists. Outside JSON the tag is known without a rule, and
/// a list that may be left out may be empty.
fn closed(rule: &MessageRule, tree: &Value<'_>, direction: &Direction) -> Result<(), Violation> {
    let json = matches!(direction.decode, DecodeRule::Json(_));
    let tag = direction.tag.as_ref().filter(|_| !json).and_then(|tag| tag.top());
    let leads = |at: &Pointer, name: &str| at.segments().next() == Some(name);
    let listed = |name: &str| {
        tag == Some(name)
            || rule.fields.iter().any(|(at, ..)| at.top() == Some(name) || json && leads(at, name))
    };
    let empty = |value: &Value<'_>| !json && matches!(value, Value::List(l) if l.is_empty());
    let unknown = match tree {
        Value::Map(members) => members
            .iter()
            .find(|(name, value)| !listed(name) && !empty(value))
            .map(|(name, _)| unknown_field(name)),
        Value::List(list) if !json => (0..list.len())
            .map(|at| at.to_string())
            .find(|at| !listed(at))
            .map(|at| unknown_field(&at)),
        _ => None,
    };
    match (unknown, tree) {
        (Some(unknown), _) => Err(unknown),
        (None, Value::Map(members)) if json => {
            members.iter().try_for_each(|(name, member)| closed_inside(rule, name, member))
        }
        (None, _) => Ok(()),
    }
}

/// The same inside a member of which rules say what it holds, as those of a codec do.
fn closed_inside(rule: &MessageRule, name: &str, member: &Value<'_>) -> Result<(), Violation> {
    let leads = |at: &&Pointer| at.segments().next() == Some(name);
    let places = || rule.fields.iter().map(|(at, ..)| at).filter(leads);
    // A rule of the member itself says all of it.
    if places().any(|at| at.top().is_some()) {
        return Ok(());
    }
    let Value::Map(members) = member else {
        let sentence = format!("`/{name}` is {}, not an object", member.kind());
        return Err(Violation::at(Reason::Schema, format!("/{name}"), sentence));
    };
    let listed = |key: &str| places().any(|at| at.segments().nth(1) == Some(key));
    match members.iter().find(|(key, _)| !listed(key)) {
        Some((key, _)) => Err(unknown_field(&format!("{name}/{key}"))),
        None => Ok(()),
    }
}

fn at_mut<'v, 'a>(tree: &'v mut Value<'a>, pointer: &Pointer) -> Option<&'v mut Value<'a>> {
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
        frame: Framed<'_>,
        policy: Option<&Policy>,
        now: Now,
        out: &mut Outbox,
    ) {
        let contract = Arc::clone(&self.contract);
        let direction = contract.direction(side);
        let judged = match side {
            Side::Client => self.judge_request(&contract, frame, policy, now),
            Side::Server => self.judge_reply(&contract, frame, policy, now),
        };
        match judged {
            Ok(message) => self.clear(side, direction, message, frame, now, out),
            Err(refusal) => {
                let class = match side {
                    Side::Server => Class::Server,
                    Side::Client => refusal.class.unwrap_or(Class::Invalid),
                };
                self.refuse(side, class, refusal, frame.whole, now, out);
            }
        }
    }

    pub(super) fn judge_request<'a>(
        &mut self,
        contract: &Contract,
        frame: Framed<'a>,
        policy: Option<&Policy>,
        now: Now,
    ) -> Result<Authorized<'a>, Refusal<'a>> {
        let direction = contract.direction(Side::Client);
        let decoded = Decoded::read(direction, contract, frame)?;
        let asked = self.asked_by(contract, &decoded.tree).map(|asked| asked.message);
        let question = asked.and_then(|at| contract.server.messages.get(at));
        let selected = decoded.select(direction, contract, |rule| {
            let answers = rule.request().map_or(&[][..], |request| &request.answers);
            answers.is_empty() || question.is_some_and(|asked| answers.contains(&asked.name))
        });
        let selected = selected.map_err(|refusal| unasked(direction, refusal))?;
        let valid = selected.validate(direction)?.holds(direction, self, None)?;
        let rule = direction.messages.get(valid.message);
        let Some((rule, request)) = rule.and_then(|rule| Some((rule, rule.request()?))) else {
            let violation = Violation::new(Reason::NoMessage, "no such message");
            return Err(Refusal::of(violation, valid.message, valid.tree));
        };
        if let Err(violation) = self.legal(contract, rule, &valid.tree) {
            let class = match violation.reason {
                Reason::State => Some(Class::State),
                Reason::Resources => Some(Class::Limit),
                _ => None,
            };
            let refusal = Refusal::of(violation, valid.message, valid.tree);
            return Err(Refusal { class, ..refusal });
        }
        let key = match self.free_key(contract, request, &valid.tree) {
            Ok(key) => key,
            Err(violation) => {
                return Err(Refusal::of(violation, valid.message, valid.tree).class(Class::State));
            }
        };
        // Beside a connection nothing waits for a slot, so a message that would is no fault.
        let beside = self.shadow && !contract.asks();
        if request.expects && !beside && self.open.len() >= contract.limits.in_flight {
            let sentence = format!("{} requests are open, the most", contract.limits.in_flight);
            let violation = Violation::new(Reason::InFlight, sentence);
            return Err(Refusal::of(violation, valid.message, valid.tree).class(Class::Limit));
        }
        match Kept::of(&request.keeps, &valid.tree) {
            Ok(kept) => {
                let asking = request.asking.as_ref();
                self.authorize(contract, asking, valid, (key, kept), policy, now)
            }
            Err(violation) => Err(Refusal::of(violation, valid.message, valid.tree)),
        }
    }

    /// Whether a message may be said in this state, and what it leaves can be kept.
    fn legal(
        &self,
        contract: &Contract,
        rule: &MessageRule,
        tree: &Value<'_>,
    ) -> Result<(), Violation> {
        contract.states.legal(rule.state.as_ref(), &rule.name, self.state)?;
        if let (Some(subscriptions), Role::Request(_)) = (&self.subscriptions, &rule.role) {
            subscriptions.allow(tree)?;
        }
        Remembered::takes(&rule.remember, tree)
    }

    /// The service's question that a client's message would answer: the one with its key, or the
    /// oldest.
    fn asked_by(&self, contract: &Contract, tree: &Value<'_>) -> Option<&Asked> {
        match &contract.pairing {
            Pairing::None => None,
            Pairing::Order => self.asked.front(),
            Pairing::Key(pointer) => {
                let key = pointer.get(tree).and_then(|key| Key::of(key, contract.longest_key()))?;
                self.asked.iter().find(|asked| asked.key.as_ref() == Some(&key))
            }
        }
    }

    /// The key under which a request opens, if that is free.
    fn free_key(
        &self,
        contract: &Contract,
        request: &Request,
        tree: &Value<'_>,
    ) -> Result<Option<Key>, Violation> {
        let Pairing::Key(pointer) = &contract.pairing else { return Ok(None) };
        if !request.expects && request.answers.is_empty() {
            return Ok(None);
        }
        let value = pointer.get(tree);
        let Some(key) = value.and_then(|key| Key::of(key, contract.longest_key())) else {
            let sentence = format!("`{pointer}` cannot pair a reply with this request");
            return Err(Violation::at(Reason::PairKey, pointer.to_string(), sentence));
        };
        // An answer has the key of its question.
        if !request.answers.is_empty() {
            return Ok(Some(key));
        }
        let shown = || value.map(Value::shown).unwrap_or_default();
        if self.open.has(&key) {
            let sentence = format!("a request with the key {} is open", shown());
            return Err(Violation::at(Reason::PairOpen, pointer.to_string(), sentence));
        }
        if let Err(why) = self.used.allows(contract.reuse, &key) {
            let sentence = format!("the key {} {why}", shown());
            return Err(Violation::at(Reason::PairReuse, pointer.to_string(), sentence));
        }
        Ok(Some(key))
    }

    /// Asks the policy in force about a message. A push is asked about as a request is: whether the
    /// peer may have it.
    fn authorize<'a>(
        &mut self,
        contract: &Contract,
        asking: Option<&Asking>,
        valid: Valid<'a>,
        (key, kept): (Option<Key>, Kept),
        policy: Option<&Policy>,
        now: Now,
    ) -> Result<Authorized<'a>, Refusal<'a>> {
        let Valid { message, tree } = valid;
        let mut resources = Vec::new();
        let Some(asking) = asking else {
            // The Permit of the connection covers it.
            return Ok(Authorized { message, tree, key, resources, policies: None, kept });
        };
        if let Some(template) = &asking.resource
            && let Err(violation) = template.names(
                &tree,
                self.remembered.as_value(),
                contract.limits.resources,
                &mut resources,
            )
        {
            let class = if violation.reason == Reason::ResourceEmpty {
                Class::Invalid
            } else {
                Class::Limit
            };
            return Err(Refusal::of(violation, message, tree).class(class));
        }
        let (violation, policies) = match self.permits(asking, &tree, &resources, policy, now) {
            Ok(policies) => {
                return Ok(Authorized { message, tree, key, resources, policies, kept });
            }
            Err(denial) => denial,
        };
        let refusal = Refusal::of(violation, message, tree).class(Class::Denied);
        Err(Refusal { denied: Some(Box::new(Denied { resources, policies })), ..refusal })
    }

    /// Whether the peer may have an action done, and the policies that decided.
    fn permits(
        &mut self,
        asking: &Asking,
        tree: &Value<'_>,
        resources: &[String],
        policy: Option<&Policy>,
        now: Now,
    ) -> Result<Option<Ids>, (Violation, Vec<String>)> {
        let denied = |reason, sentence| Err((Violation::new(reason, sentence), Vec::new()));
        let (permit, policy) = match (&self.warrant, policy) {
            (Warrant::NotJudged, _) | (Warrant::Rehearsed(true), _) => return Ok(None),
            (Warrant::Rehearsed(false), _) => {
                return denied(Reason::PolicyDenied, "no policy permits it");
            }
            (Warrant::Permit(_), None) => {
                return denied(Reason::PolicyError, "there is no policy in force");
            }
            (Warrant::Permit(permit), Some(policy)) => (permit, policy),
        };
        // A context is built only where a policy of this peer reads it.
        let (mut context, mut session): (Vec<Shown<'_>>, Vec<Shown<'_>>) = Default::default();
        if policy.needs_context(permit, &asking.action) {
            let shown = asking.context.iter();
            context.extend(shown.filter_map(|(name, at)| Some((name.as_str(), at.get(tree)?))));
            let (names, known) = (asking.shape.session.iter(), self.remembered.as_value());
            session.extend(names.filter_map(|of| Some((&*of.name, known.member(&of.name)?))));
        }
        let (action, context, session) = (&*asking.action, &*context, &*session);
        let ask = Ask { action, resources, context, session };
        match policy.authorize(permit, &mut self.cache, &ask, now) {
            Ok(grant) => Ok(Some(grant.policies)),
            Err(denial) => Err((Violation::new(denial.reason, denial.sentence), denial.policies)),
        }
    }

    /// A reply must answer an open request; a push is declared as such, and may be for those alone
    /// to whom a policy permits it.
    pub(super) fn judge_reply<'a>(
        &mut self,
        contract: &Contract,
        frame: Framed<'a>,
        policy: Option<&Policy>,
        now: Now,
    ) -> Result<Authorized<'a>, Refusal<'a>> {
        let direction = contract.direction(Side::Server);
        let mut decoded = Decoded::read(direction, contract, frame)?;
        let key = match &contract.pairing {
            Pairing::Key(pointer) => {
                pointer.get(&decoded.tree).and_then(|key| Key::of(key, contract.longest_key()))
            }
            Pairing::Order | Pairing::None => None,
        };
        let asked = match &contract.pairing {
            Pairing::Order => self.open.find(None),
            Pairing::Key(_) => key.as_ref().and_then(|key| self.open.find(Some(key))),
            Pairing::None => None,
        };
        let heard = match &self.subscriptions {
            Some(subscriptions) => {
                match subscriptions.hear(asked.map(|waiting| &waiting.kept), &decoded.tree) {
                    Ok(heard) => {
                        decoded.tree = heard.told(decoded.tree);
                        Some(heard)
                    }
                    Err(violation) => {
                        let tree = Some(decoded.tree);
                        return Err(Refusal { tree, ..Refusal::frame(violation) });
                    }
                }
            }
            None => None,
        };
        let request = asked.and_then(|waiting| contract.client.messages.get(waiting.message));
        let answers = |rule: &MessageRule| match &rule.role {
            Role::Reply(names) => {
                heard != Some(Heard::Push)
                    && request.is_some_and(|request| names.contains(&request.name))
            }
            Role::Push(_) | Role::Ask => heard != Some(Heard::Answer),
            Role::Request(_) => false,
        };
        let unasked = request.is_none() && heard != Some(Heard::Push);
        let valid = match decoded.select(direction, contract, answers) {
            Ok(selected) => {
                let kept = asked.map(|waiting| &waiting.kept);
                selected.validate(direction)?.holds(direction, self, kept)?
            }
            Err(refusal) if refusal.violation.reason == Reason::Ambiguous => return Err(refusal),
            // It is declared, but answers another request than the one that is open.
            Err(refusal) if unasked || declared(direction, contract, frame) => {
                let sentence = "the service said something that answers no open request";
                let violation = Violation::new(Reason::Unasked, sentence);
                return Err(Refusal { violation, ..refusal });
            }
            Err(refusal) => return Err(refusal),
        };
        let Valid { message, tree } = valid;
        let Some(rule) = direction.messages.get(message) else {
            let violation = Violation::new(Reason::NoMessage, "no such message");
            return Err(Refusal::of(violation, message, tree));
        };
        if let (Some(codec), Some(asked), Role::Reply(_)) = (&contract.codec, asked, &rule.role)
            && let Err(violation) = codec.check_reply(&asked.kept, &tree)
        {
            return Err(Refusal::of(violation, message, tree));
        }
        let may = self.legal(contract, rule, &tree).and_then(|()| match rule.role {
            Role::Ask => self.may_ask(contract, key.as_ref()),
            _ => Ok(()),
        });
        if let Err(violation) = may {
            return Err(Refusal::of(violation, message, tree));
        }
        let valid = Valid { message, tree };
        self.authorize(contract, rule.asking(), valid, (key, Kept::default()), policy, now)
    }

    /// Whether the service may ask one question more.
    fn may_ask(&self, contract: &Contract, key: Option<&Key>) -> Result<(), Violation> {
        if self.asked.len() >= contract.limits.in_flight {
            let sentence = format!("{} questions are open, the most", contract.limits.in_flight);
            return Err(Violation::new(Reason::InFlight, sentence));
        }
        let Pairing::Key(pointer) = &contract.pairing else { return Ok(()) };
        let at = pointer.to_string();
        match key {
            None => {
                let sentence = format!("`{at}` cannot pair an answer with this question");
                Err(Violation::at(Reason::PairKey, at, sentence))
            }
            Some(_) if self.asked.iter().any(|asked| asked.key.as_ref() == key) => {
                Err(Violation::at(Reason::PairOpen, at, "a question with this key is open"))
            }
            Some(_) => Ok(()),
        }
    }
}

/// Whether a frame is a declared message of any request.
fn declared(direction: &Direction, contract: &Contract, frame: Framed<'_>) -> bool {
    let decoded = Decoded::read(direction, contract, frame);
    decoded.is_ok_and(|decoded| decoded.select(direction, contract, |_| true).is_ok())
}

/// A message that fits none but as the answer to a question which nobody asked.
fn unasked<'a>(direction: &Direction, refusal: Refusal<'a>) -> Refusal<'a> {
    let answers =
        |rule: &MessageRule| rule.request().is_some_and(|request| !request.answers.is_empty());
    let Some(tree) = &refusal.tree else { return refusal };
    if direction.messages.iter().any(answers) && direction.select(tree.clone(), answers).is_ok() {
        let sentence = "the client said something that answers no open question";
        let violation = Violation::new(Reason::Unasked, sentence);
        return Refusal { violation, class: Some(Class::State), ..refusal };
    }
    refusal
}
