//! The judgement of one message, step by step.
//!
//! `Framed -> Decoded -> Selected -> Valid -> Authorized`: each step takes the one before by value,
//! so none can be left out or reordered.

mod fields;
mod pairing;
mod permits;

use super::kept::Remembered;
use super::open::Key;
use super::refuse::Refusal;
use super::{Kept, Outbox, Session, Warrant};
use crate::contract::codec::resp::subscriptions::Heard;
use crate::contract::decode::DecodeRule;
use crate::contract::rule::{Look, Root, Scope};
use crate::contract::secret::wipe;
use crate::contract::select::Unselected;
use crate::contract::value::Value;
use crate::contract::{Contract, Direction, MessageRule, Pairing, Role, Side};
use crate::now::Now;
use crate::policy::{Ids, Policy};
use crate::rejection::{Class, Reason, Violation};

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
        let text = if direction.decode.gives_text() { direction.text.check(&tree) } else { Ok(()) };
        let checked = text.and_then(|()| match &contract.codec {
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
        match fields::check(rule, &mut self.tree, direction) {
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

impl Session {
    /// Judges one whole frame, and lets it through or refuses it.
    pub(super) fn message(
        &mut self,
        contract: &Contract,
        side: Side,
        frame: Framed<'_>,
        policy: Option<&Policy>,
        now: Now,
        out: &mut Outbox,
    ) {
        let direction = contract.direction(side);
        let judged = match side {
            Side::Client => self.judge_request(contract, frame, policy, now),
            Side::Server => self.judge_reply(contract, frame, policy, now),
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
        let selected = selected.map_err(|refusal| pairing::unasked(direction, refusal))?;
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
}

/// Whether a frame is a declared message of any request.
fn declared(direction: &Direction, contract: &Contract, frame: Framed<'_>) -> bool {
    let decoded = Decoded::read(direction, contract, frame);
    decoded.is_ok_and(|decoded| decoded.select(direction, contract, |_| true).is_ok())
}
