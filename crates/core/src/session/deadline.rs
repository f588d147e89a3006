//! The waits of a session: first message, whole message, silence, life, replies, rate.

use super::refuse::Refusal;
use super::{Manner, Outbox, Session};
use crate::contract::units::shown;
use crate::contract::{ContractLimits, Side};
use crate::limits::Limits;
use crate::now::Now;
use crate::policy::Policy;
use crate::rejection::{Class, Reason, Violation};
use std::time::{Duration, Instant};

/// The deadlines of a connection: the service's own, tightened by its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Start to the first byte of a first message, from either side.
    pub first_message: Duration,
    /// First byte of a message to its last.
    pub message: Duration,
    /// Silence with nothing in flight.
    pub idle: Duration,
    /// The whole session.
    pub lifetime: Duration,
    /// Delivering what is due at the end.
    pub close: Duration,
}

impl Waits {
    /// The tighter of both.
    #[must_use]
    pub fn new(limits: &Limits, contract: &ContractLimits) -> Self {
        let tighter = |own: Duration, of: Option<Duration>| of.map_or(own, |of| of.min(own));
        Self {
            first_message: tighter(limits.first_message_timeout, contract.first_message_timeout),
            message: tighter(limits.message_timeout, contract.message_timeout),
            idle: tighter(limits.idle_timeout, contract.idle_timeout),
            lifetime: tighter(limits.session_lifetime, contract.session_lifetime),
            close: limits.close_timeout,
        }
    }
}

impl Session {
    /// The instant at which [`tick`](Self::tick) is due, unless bytes come before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let begun = |begun: Option<Instant>| begun.map(|at| at + self.waits.message);
        let idle = (self.open.requests() == 0).then(|| self.active + self.waits.idle);
        let first = self.first_due();
        let closing = self.closing.as_ref().map(|closing| closing.until);
        let all = [
            Some(self.started + self.waits.lifetime),
            begun(self.client.begun),
            begun(self.server.begun),
            idle,
            first,
            closing,
            self.paused_until,
            self.held_until,
            self.open.due(),
        ];
        all.into_iter().flatten().min()
    }

    /// Looks at the clock. Call it when [`deadline`](Self::deadline) has come.
    pub fn tick(&mut self, policy: Option<&Policy>, now: Now, out: &mut Outbox) {
        if self.ended {
            return;
        }
        let over = |until: Option<Instant>| until.is_some_and(|until| now.instant >= until);
        let (paused, held) = (over(self.paused_until), over(self.held_until));
        self.paused_until = self.paused_until.filter(|_| !paused);
        self.held_until = self.held_until.filter(|_| !held);
        if held {
            // The answer that was delayed comes before what waits behind it.
            self.settle(now, out);
        }
        if (paused || held) && !self.ended {
            self.go_on(Side::Client, policy, now, out);
        }
        if self.ended {
            return;
        }
        if let Some((side, class, reason, sentence)) = self.late(now) {
            let refusal = Refusal::frame(Violation::new(reason, sentence.clone()));
            self.record_refusal(side, class, &refusal, now, out);
            let client = if class == Class::Server { Manner::Reset } else { Manner::Orderly };
            self.open.flush_all(&self.contract, &mut out.to_client.0);
            self.stop(reason, sentence, client, Manner::Orderly, out);
            return;
        }
        self.settle(now, out);
    }

    /// When the first message is late: from the start, or, where the service speaks first, from the
    /// moment at which the client may.
    fn first_due(&self) -> Option<Instant> {
        let wait = self.waits.first_message;
        match self.may_speak_since {
            Some(since) if since == self.started => (!self.spoke).then(|| since + wait),
            Some(since) => (!self.client_spoke).then(|| since + wait),
            None => (!self.spoke).then(|| self.started + wait),
        }
    }

    /// The first wait that is over. Timeouts close without a word.
    fn late(&self, now: Now) -> Option<(Side, Class, Reason, String)> {
        let over = |from: Instant, wait: Duration| now.instant >= from + wait;
        let waits = &self.waits;
        let limit = |reason, sentence: String| Some((Side::Client, Class::Limit, reason, sentence));
        if self.open.due().is_some_and(|due| now.instant >= due) {
            let sentence = "the service did not answer a request in time".to_owned();
            return Some((Side::Server, Class::Server, Reason::ReplyTimeout, sentence));
        }
        if self.server.begun.is_some_and(|at| over(at, waits.message)) {
            let sentence = format!("an answer was not whole within {}", shown(waits.message));
            return Some((Side::Server, Class::Server, Reason::MessageTimeout, sentence));
        }
        if self.client.begun.is_some_and(|at| over(at, waits.message)) {
            return limit(
                Reason::MessageTimeout,
                format!("a message was not whole within {}", shown(waits.message)),
            );
        }
        if self.first_due().is_some_and(|due| now.instant >= due) {
            let sentence = format!("no message within {}", shown(waits.first_message));
            if self.may_speak_since.is_none() {
                // It was the service's turn to begin.
                let reason = Reason::FirstMessageTimeout;
                return Some((Side::Server, Class::Server, reason, sentence));
            }
            return limit(Reason::FirstMessageTimeout, sentence);
        }
        if over(self.started, waits.lifetime) {
            return limit(
                Reason::SessionLifetime,
                format!("the session lasted {}", shown(waits.lifetime)),
            );
        }
        if self.open.requests() == 0 && over(self.active, waits.idle) {
            return limit(
                Reason::IdleTimeout,
                format!("nothing was said for {}", shown(waits.idle)),
            );
        }
        None
    }
}
