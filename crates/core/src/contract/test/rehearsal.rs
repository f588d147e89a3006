//! `Rehearsal`: a session with a virtual clock, and all that came out of it.

use super::Expect;
use crate::audit::{Event, EventKind};
use crate::contract::Side;
use crate::now::Now;
use crate::session::{Outbox, Session};
use std::time::{Duration, Instant};

/// A session with its virtual clock.
pub(super) struct Rehearsal {
    pub(super) session: Session,
    now: Now,
    out: Outbox,
    pub(super) seen: Seen,
}

/// What a session gave for some input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) verdicts: Vec<Event>,
    pub(super) service: Vec<u8>,
    pub(super) peer: Vec<u8>,
    pub(super) closed: bool,
}

impl Rehearsal {
    pub(super) fn of(session: Session, now: Now) -> Self {
        Self { session, now, out: Outbox::default(), seen: Seen::default() }
    }

    pub(super) fn say(&mut self, side: Side, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece.min(bytes.len().max(1))) {
            self.session.receive(side, piece, None, self.now, &mut self.out);
            self.take();
            self.session.delivered(None, self.now, &mut self.out);
            self.take();
        }
    }

    pub(super) fn end(&mut self, side: Side) {
        self.session.end(side, true, None, self.now, &mut self.out);
        self.take();
    }

    pub(super) fn wait(&mut self, wait: Duration) {
        let until = self.now.after(wait);
        while let Some(at) = self.session.deadline().filter(|at| *at <= until.instant) {
            let passed = at.saturating_duration_since(self.now.instant);
            self.now = self.now.after(passed.max(Duration::from_millis(1)));
            self.session.tick(None, self.now, &mut self.out);
            self.take();
        }
        self.now = until;
    }

    fn take(&mut self) {
        self.seen.service.extend_from_slice(self.out.to_server.as_slice());
        self.seen.peer.extend_from_slice(self.out.to_client.as_slice());
        self.out.to_server.clear();
        self.out.to_client.clear();
        // How much of a frame had come when it was refused is no part of the verdict.
        self.out.events.iter_mut().for_each(|event| event.bytes = None);
        self.seen.verdicts.append(&mut self.out.events);
        self.seen.closed |= self.out.end.take().is_some();
    }
}

pub(super) fn verdict(event: &Event) -> Expect {
    match (event.event, event.class) {
        (EventKind::Rejected, Some(class)) => Expect::Refuse(class),
        _ => Expect::Forward,
    }
}

pub(super) fn told(event: &Event) -> String {
    match event.reason {
        Some(reason) => format!("`{}` ({reason}): {}", verdict(event).word(), event.sentence),
        None => "forwarded".to_owned(),
    }
}

/// The virtual clock counts from here; nothing depends on which instant it is.
#[expect(clippy::disallowed_methods, reason = "a rehearsal needs one instant to count from")]
pub(in crate::contract) fn start() -> Instant {
    Instant::now()
}
