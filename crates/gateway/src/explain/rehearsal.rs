//! `Rehearsal`: what is asked about, said in a session of its own that nobody hears; its steps are
//! read from what the session puts on the record.

use super::{ACCEPTED, Explanation, Rules, Step, listed, spoken, verdict};
use segwan_core::audit::{Event, EventKind, shown};
use segwan_core::contract::{Contract, Side};
use segwan_core::now::Now;
use segwan_core::policy::Permit;
use segwan_core::rejection::Class;
use segwan_core::session::{Outbox, Session, Warrant};
use std::sync::Arc;

/// Most messages of which the steps are told.
const MESSAGES: usize = 256;

/// One message, or several, said to nobody.
pub(super) struct Rehearsal<'a> {
    pub(super) rules: &'a Rules,
    pub(super) contract: &'a Arc<Contract>,
    pub(super) now: Now,
}

impl Rehearsal<'_> {
    pub(super) fn run(&self, permit: Permit, bytes: &[u8], told: &mut Explanation) {
        let policy = Some(&*self.rules.policy);
        let reader = permit.clone();
        let warrant = Warrant::Permit(permit);
        let contract = Arc::clone(self.contract);
        let mut session = Session::open(warrant, contract, &self.rules.limits, self.now)
            .recording_cleared()
            .counting_alone();
        let mut out = Outbox::default();
        session.receive(Side::Client, bytes, policy, self.now, &mut out);
        // Whole frames wait for an answer or for their rate; a part of one is judged as the last
        // that the peer said.
        let begun = out.end.is_none() && !session.between_frames(Side::Client);
        let waits = begun && !session.wants(Side::Client);
        if begun && !waits {
            session.end(Side::Client, true, policy, self.now, &mut out);
        }
        self.read(&out.events, &reader, told);
        told.service_sees = discreet(&session, Side::Client, out.to_server.as_slice());
        if waits {
            told.steps.push(Step::new(
                "limit",
                true,
                "what follows waits until earlier requests are answered, or until its rate has \
                 room; it was not judged",
            ));
        }
        if let Some(end) = &out.end {
            let words = if end.sentence.is_empty() { end.reason.meaning() } else { &end.sentence };
            told.ends = Some(format!("{}: {words}", end.reason));
        } else if !session.wants(Side::Client) && !waits {
            let words = "the peer is not read any more; answers that are due are delivered";
            told.ends = Some(words.to_owned());
        }
        // Answers to refused requests keep their place behind those of the service, of which none
        // comes here.
        let mut hears = out.to_client.as_slice().to_vec();
        hears.extend(session.answers_in_line());
        told.peer_hears = discreet(&session, Side::Server, &hears);
    }

    fn read(&self, events: &[Event], permit: &Permit, told: &mut Explanation) {
        told.decide(ACCEPTED, None, "nothing that was said is a message");
        let mut messages = 0;
        let mut refused = false;
        for event in events {
            messages += 1;
            let rejected = event.event == EventKind::Rejected;
            if messages <= MESSAGES || (rejected && !refused) {
                self.steps(event, permit, &mut told.steps);
            }
            if rejected && !refused {
                refused = true;
                told.decide(verdict(event.class), event.reason, &event.sentence);
            }
        }
        if messages > MESSAGES {
            let sentence = format!("{} messages are not shown here", messages - MESSAGES);
            told.steps.push(Step::new("message", !refused, sentence));
        }
        if !refused && messages > 0 {
            let what = if messages == 1 { "the message meets" } else { "all messages meet" };
            let name = self.contract.name();
            told.sentence = format!("{what} the contract `{name}` and may be said");
        }
    }

    /// The steps of one message, up to the one that refused it.
    fn steps(&self, event: &Event, permit: &Permit, steps: &mut Vec<Step>) {
        let mut push = |name: &str, passes: bool, sentence: String| {
            let reason = if passes { None } else { event.reason };
            let decided = name == "action";
            steps.push(Step {
                step: name.to_owned(),
                passes,
                sentence,
                reason: reason.map(|reason| reason.as_str().to_owned()),
                frame: event.frame,
                message: event.message.clone(),
                pointer: event.pointer.as_ref().filter(|_| !passes).map(|at| shown(at.as_bytes())),
                action: event.action.clone().filter(|_| decided),
                resources: if decided { harmless(&event.resources) } else { Vec::new() },
                policies: if decided { event.policies.clone() } else { Vec::new() },
            });
        };
        let rejected = event.event == EventKind::Rejected;
        let (at, fits) = match event.class.filter(|_| rejected) {
            None | Some(Class::Denied) => ("action", true),
            Some(Class::Frame) => return push("frame", false, event.sentence.clone()),
            Some(Class::State) => ("state", true),
            // A rate is looked at before the message.
            Some(Class::Limit) => ("limit", event.message.is_some()),
            Some(Class::Invalid | Class::Undeclared | Class::Server) => ("message", false),
        };
        push("frame", true, format!("frame {} is whole", event.frame.unwrap_or_default()));
        if fits {
            let name = event.message.as_deref().unwrap_or_default();
            push(
                "message",
                true,
                format!("`{name}` meets the contract `{}`", self.contract.name()),
            );
        }
        if rejected {
            let name = event.message.as_deref().filter(|_| at == "message");
            let name = name.map(|name| format!("`{name}`: ")).unwrap_or_default();
            push(at, false, format!("{name}{}", event.sentence));
        } else {
            push(at, true, self.permitted(event, permit));
        }
    }

    /// What was permitted, by which policies, and whether that holds for each such message.
    fn permitted(&self, event: &Event, permit: &Permit) -> String {
        let action = event.action.as_deref().unwrap_or_default();
        let service = &self.rules.service;
        let on = event.resources.iter().map(|name| format!("{service}/{name}"));
        let mut on: Vec<String> = on.collect();
        if on.is_empty() {
            on.push(service.clone());
        }
        let on = harmless(&on);
        let reads = self.rules.policy.reads(permit, action);
        let once = if reads.is_empty() {
            "the same for every message with this action and resource".to_owned()
        } else {
            format!("decided for each message: reads {}", listed(&reads))
        };
        let hazard = if event.sentence.is_empty() {
            String::new()
        } else {
            format!("; hazard: {}", event.sentence)
        };
        let policies = listed(&event.policies);
        format!("`{action}` on {} permitted by {policies} ({once}){hazard}", listed(&on))
    }
}

/// Texts of a message as an operator may read them.
fn harmless(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| shown(text.as_bytes())).collect()
}

/// Bytes that pass, unless what that side says may hold secrets.
fn discreet(session: &Session, side: Side, bytes: &[u8]) -> Option<String> {
    if session.has_secrets(side) && !bytes.is_empty() {
        let size = bytes.len();
        return Some(format!("{size} bytes, not shown: the contract declares secrets"));
    }
    said(bytes)
}

fn said(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| spoken(bytes))
}
