//! The waits of a connection: those of its session where there is one, its own where nothing is
//! inspected, and for both the end of trust, slow writes and half-closed silence.

use super::{Leave, Outcome, Passage, Relay};
use segwan::tls::buffers::Buffers;
use segwan_core::rejection::Reason;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// How often a connection looks whether the record can be written again.
const RECORD: Duration = Duration::from_millis(250);

/// The nearest deadline and what it is.
pub(super) struct Due {
    pub(super) at: Instant,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// A wait of the connection itself.
    Own(Reason),
    /// The session looks at the clock.
    Session,
    /// Perhaps the record can be written again.
    Record,
    /// The contract was replaced, and its grace is over, or the time after that.
    Replaced,
}

impl Relay<'_> {
    /// Sleeps until something comes or the nearest deadline passes. The timer is not moved for
    /// each message: when it fires too early it is set again. Ready without an outcome: the
    /// session had its turn.
    pub(super) fn wait(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<Option<Outcome>> {
        let Due { at, what } = self.due();
        let now = Instant::now();
        if at <= now {
            return Poll::Ready(match what {
                What::Own(reason) => Some(self.late(reason)),
                What::Record | What::Replaced => None,
                What::Session => Buffers::with(|buffers| {
                    self.judge(cx, &mut buffers.sealed, |checked, now, out| checked.tick(now, out))
                        .err()
                }),
            });
        }
        if at < self.armed || self.armed <= now {
            timer.as_mut().reset(at.into());
            self.armed = at;
            // It is in the future; this asks to be woken.
            let _ = timer.poll(cx);
        }
        Poll::Pending
    }

    /// The nearest deadline.
    pub(super) fn due(&self) -> Due {
        let limits = self.limits;
        let mut due = Due { at: self.trust_ends, what: What::Own(Reason::CertificateExpired) };
        let mut sooner = |at: Instant, what| {
            if at < due.at {
                due = Due { at, what };
            }
        };
        if self.client.ended.is_some() || self.server.ended.is_some() {
            let at = self.active + limits.half_close_idle_timeout;
            sooner(at, What::Own(Reason::HalfCloseTimeout));
        }
        match &self.passage {
            Passage::Checked(checked) => {
                if let Some(at) = checked.deadline() {
                    sooner(at, What::Session);
                }
            }
            Passage::Raw(_) => {
                let (wait, reason) = if self.begun {
                    (limits.idle_timeout, Reason::IdleTimeout)
                } else {
                    (limits.first_message_timeout, Reason::FirstMessageTimeout)
                };
                sooner(self.active + wait, What::Own(reason));
                let at = self.live.began + limits.session_lifetime;
                sooner(at, What::Own(Reason::SessionLifetime));
            }
        }
        if let Some(over) = self.live.replaced() {
            let is_grace = Instant::now() < over.until;
            sooner(if is_grace { over.until } else { over.cut }, What::Replaced);
        }
        for end in [&self.client, &self.server] {
            if let Some(since) = end.stalled() {
                sooner(since + limits.write_timeout, What::Own(Reason::WriteTimeout));
            }
        }
        if let (true, Some(at)) = (self.blocked, Instant::now().checked_add(RECORD)) {
            sooner(at, What::Record);
        }
        due
    }

    fn late(&self, reason: Reason) -> Outcome {
        let secs = |wait: Duration| wait.as_secs_f64();
        let limits = self.limits;
        let sentence = match reason {
            Reason::CertificateExpired => {
                return self.cut(reason, "a certificate of this connection ended");
            }
            Reason::FirstMessageTimeout => {
                // Before the first byte an orderly end hides nothing.
                let wait = secs(limits.first_message_timeout);
                return Outcome::close(reason, &format!("nothing was said within {wait} s"));
            }
            Reason::IdleTimeout => format!("nothing was said for {} s", secs(limits.idle_timeout)),
            Reason::HalfCloseTimeout => format!(
                "one side had closed and the other was silent for {} s",
                secs(limits.half_close_idle_timeout)
            ),
            Reason::WriteTimeout => {
                format!("bytes were not taken within {} s", secs(limits.write_timeout))
            }
            _ => format!("the connection lasted {} s", secs(limits.session_lifetime)),
        };
        // An orderly end would make whatever was said look whole.
        Outcome { reason, sentence, client: Leave::Reset, server: Leave::Reset }
    }
}
