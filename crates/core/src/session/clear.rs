//! The last step of a message that may be said: state changes, and its bytes are cleared.

use super::judge::{Authorized, Framed};
use super::open::{Key, Waiting};
use super::refuse::{Denied, Refusal};
use super::{Asked, Cleared, Outbox, Passed, Session, Warrant};
use crate::audit::{Event, EventKind};
use crate::contract::limit::Per;
use crate::contract::quota::Full;
use crate::contract::secret::wipe;
use crate::contract::value::Value;
use crate::contract::{Direction, MessageRule, Role, Side, units};
use crate::now::Now;
use crate::policy::Ids;
use crate::rejection::{Class, Reason, Violation};
use zeroize::Zeroize;

impl Session {
    /// The last step: state changes, and the bytes are cleared.
    pub(super) fn clear(
        &mut self,
        side: Side,
        direction: &Direction,
        mut message: Authorized<'_>,
        frame: Framed<'_>,
        now: Now,
        out: &mut Outbox,
    ) {
        let Cleared(to, secret) = match side {
            Side::Client => &mut out.to_server,
            Side::Server => &mut out.to_client,
        };
        *secret |= direction.has_secrets();
        let before = to.len();
        let Some(rule) = direction.messages.get(message.message) else { return };
        let written =
            put(direction, &message.tree, frame, to).map_err(|fault| (Class::Invalid, fault));
        if let Err((class, violation)) = written.and_then(|()| self.book(rule, &message, now)) {
            to.truncate(before);
            // A policy had permitted it; the record says what was asked for.
            let Authorized { message, tree, resources, policies, .. } = message;
            let policies = policies.iter().flat_map(|ids| ids.iter()).map(|id| id.to_string());
            let asked = Denied { resources, policies: policies.collect() };
            let refusal = Refusal::of(violation, message, tree);
            let refusal = Refusal { denied: Some(Box::new(asked)), ..refusal };
            self.refuse(side, class, refusal, frame.whole, now, out);
            return;
        }
        let size = (to.len() - before) as u64;
        let secret = direction.has_secrets();
        if self.list_passed {
            let written = to.get(before..).unwrap_or_default();
            let payload = direction.payload_of(written);
            let payload = before + payload.start..before + payload.end;
            let (by, message) = (side, message.message);
            out.passed.push(Passed { by, message, frame: before..to.len(), payload });
        }
        let state = self.state;
        self.advance(rule, &mut message, size, now);
        if matches!(rule.role, Role::Reply(_)) {
            let given = self.open.flush(&self.contract, now.instant, &mut out.to_client.0);
            self.untaken += given;
        }
        if self.record_cleared || rule.hazard.is_some() {
            let mut event =
                self.cleared_event(side, rule, &message.resources, message.policies.as_ref());
            event.state = self.named_state(state);
            event.size = Some(frame.whole.len() as u64);
            out.events.push(event);
        }
        if secret {
            wipe(&mut message.tree);
        }
    }

    /// What a message that passes changes: the state, what is open, what was carried.
    pub(super) fn advance(
        &mut self,
        rule: &MessageRule,
        message: &mut Authorized<'_>,
        size: u64,
        now: Now,
    ) {
        self.move_on(rule, &message.tree, now);
        match &rule.role {
            Role::Request(request) => {
                self.totals.messages_to_server += 1;
                self.totals.bytes_to_server += size;
                if let Some(subscriptions) = &mut self.subscriptions {
                    subscriptions.asked(&message.tree);
                }
                if !request.answers.is_empty() {
                    self.answered(message.key.as_ref());
                }
                if request.expects {
                    if let Some(key) = &message.key {
                        self.used.note(self.contract.reuse, key);
                    }
                    let wait = request.reply_timeout.unwrap_or(self.contract.limits.reply_timeout);
                    let due = now.instant + wait;
                    let (at, key) = (message.message, message.key.take());
                    let kept = std::mem::take(&mut message.kept);
                    self.open.push(Waiting { message: at, key, due, kept, undue: false });
                }
            }
            Role::Reply(_) => {
                self.totals.messages_to_client += 1;
                self.totals.bytes_to_client += size;
                let key = message.key.as_ref();
                let whole = match (&mut self.subscriptions, self.open.find(key)) {
                    (Some(subscriptions), Some(waiting)) => {
                        subscriptions.answered(&waiting.kept, &message.tree)
                    }
                    _ => true,
                };
                if whole && (rule.last || !self.expects_many(key)) {
                    self.open.close(message.key.as_ref());
                }
            }
            Role::Push(_) | Role::Ask => {
                self.totals.messages_to_client += 1;
                self.totals.bytes_to_client += size;
                if matches!(rule.role, Role::Ask) {
                    let key = message.key.take();
                    self.asked.push_back(Asked { message: message.message, key });
                }
            }
        }
    }

    /// Books what a request asks for, as the last thing that can refuse it.
    pub(super) fn book(
        &self,
        rule: &MessageRule,
        message: &Authorized<'_>,
        now: Now,
    ) -> Result<(), (Class, Violation)> {
        let Some(quota) = rule.request().and_then(|request| request.quota.as_ref()) else {
            return Ok(());
        };
        let refused = |sentence| Err((Class::Limit, Violation::new(Reason::Quota, sentence)));
        let Some(amount) = quota.amount.of(&message.tree) else {
            return refused("what the message asks for is no amount".to_owned());
        };
        let shared = |identity| self.accounts.book(&rule.name, identity, quota, amount, now);
        let booked = match (&self.warrant, quota.per) {
            // The far gateway counts.
            (Warrant::NotJudged, _) => return Ok(()),
            (Warrant::Permit(permit), Per::Identity) if !self.counts_alone => {
                let identity = permit.peer().identity().to_string();
                shared(Some(&identity))
            }
            (Warrant::Permit(_), Per::Service) if !self.counts_alone => shared(None),
            (Warrant::Permit(_) | Warrant::Rehearsed(_), _) => {
                let booked = self.own_quotas.book(&rule.name, None, quota, amount, now);
                booked.map_err(|full| (full, quota.clone()))
            }
        };
        let Err((full, quota)) = booked else { return Ok(()) };
        let (max, window) = (quota.max, units::shown(quota.window));
        match full {
            Full::Used(used) => refused(format!(
                "{amount} more than {used} is over the contract's quota of {max} in {window}"
            )),
            Full::Counts => refused("there are too many counts of this quota".to_owned()),
            Full::Unkept(why) => refused(format!("what is asked for cannot be kept: {why}")),
        }
    }

    /// The state after a message, and what is remembered of it.
    pub(super) fn move_on(&mut self, rule: &MessageRule, tree: &Value<'_>, now: Now) {
        self.remembered.remember(&rule.remember, tree);
        if let Some(to) = rule.state.as_ref().and_then(|state| state.to) {
            self.state = to;
            if self.contract.states.client_speaks(to) {
                self.may_speak_since.get_or_insert(now.instant);
            }
        }
    }

    /// The service's question has its answer.
    pub(super) fn answered(&mut self, key: Option<&Key>) {
        let at = self.asked.iter().position(|asked| key.is_none() || asked.key.as_ref() == key);
        if let Some(at) = at {
            self.asked.remove(at);
        }
    }

    /// Whether the request that a reply answers expects many.
    pub(super) fn expects_many(&self, key: Option<&Key>) -> bool {
        let request = self.open.find(key);
        let request =
            request.and_then(|waiting| self.contract.client.messages.get(waiting.message));
        request.and_then(MessageRule::request).is_some_and(|request| request.many)
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
        let asked = match &rule.role {
            Role::Request(request) => Some(request.asking.is_some()),
            Role::Push(asking) => asking.is_some().then_some(true),
            Role::Reply(_) | Role::Ask => None,
        };
        event.decision = asked.map(|asked| match &self.warrant {
            _ if !asked => "setup",
            Warrant::NotJudged => "not_judged",
            Warrant::Permit(_) | Warrant::Rehearsed(_) => "allow",
        });
        event
    }

    fn named_state(&self, state: usize) -> Option<String> {
        self.contract.states.names.get(state).cloned()
    }

    pub(super) fn place(&self, event: &mut Event, side: Side) {
        event.direction = Some(side.as_str());
        event.contract = Some(self.contract.name.clone());
        event.contract_hash = Some(self.contract.short_hash().to_owned());
        event.mode = Some(if self.shadow { "shadow" } else { "enforce" });
        event.state = self.named_state(self.state);
        if let Warrant::Permit(permit) = &self.warrant {
            event.roles = permit.role().map(str::to_owned).into_iter().collect();
        }
        event.frame = Some(match side {
            Side::Client => self.client.frames,
            Side::Server => self.server.frames,
        });
    }
}

/// Writes a message to the other side: its very bytes, or its one spelling.
pub(super) fn put(
    direction: &Direction,
    tree: &Value<'_>,
    frame: Framed<'_>,
    to: &mut Vec<u8>,
) -> Result<(), Violation> {
    if !direction.canonical {
        to.extend_from_slice(frame.whole);
        return Ok(());
    }
    match direction.decode.respelled(tree, frame.payload.len()) {
        Some(mut spelled) => {
            // A decoder of whole frames writes whole frames.
            let framed = if direction.decode.reads_frames() {
                to.extend_from_slice(&spelled);
                Ok(())
            } else {
                direction.frame.put(&spelled, to)
            };
            if direction.has_secrets() {
                spelled.zeroize();
            }
            framed
        }
        None if direction.decode.reads_frames() => {
            to.extend_from_slice(frame.whole);
            Ok(())
        }
        None => direction.frame.put(frame.payload, to),
    }
}
