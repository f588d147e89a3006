//! `Teller`: the log for people, told from the same events as the record.
//!
//! Whoever is refused a thousand times a second fills the record, not the terminal: one line for
//! each service and reason in a second, then how many more there were.

use segwan_core::audit::{Event, EventKind};
use segwan_core::rejection::Reason;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Refusals of one service and reason are told this often.
const PAUSE: Duration = Duration::from_secs(1);
/// Most services and reasons that are known at once; services are few, this is for the case that
/// one day they are not.
const MOST: usize = 4096;

/// How the sentence of an alarm ends that is over.
pub(crate) const OVER: &str = ": it is over";
/// How the alarm of a refused reload begins.
const AGAIN: &str = "reload_refused: ";

/// The text, if there is one.
fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Tells events to people.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told: HashMap<(String, Option<Reason>), Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    suppressed: u64,
}

impl Teller {
    pub(super) fn tell(&mut self, event: &Event, now: Instant) {
        let Event { service, connection, sentence, .. } = event;
        let kind = event.event.as_str();
        let reason = event.reason.map_or("", Reason::as_str);
        let peer = event.peer.as_deref().or(event.address.as_deref()).unwrap_or_default();
        match event.event {
            EventKind::Alarm if sentence.ends_with(OVER) => tracing::info!("{sentence}"),
            // Its `reload_refused` has just been told, with every error.
            EventKind::Alarm if sentence.starts_with(AGAIN) => tracing::debug!("{sentence}"),
            EventKind::Alarm | EventKind::ReloadRefused => {
                let (reason, service) = (filled(reason), filled(service));
                tracing::error!(reason, service, "{sentence}");
            }
            EventKind::Started | EventKind::Stopped | EventKind::Reloaded | EventKind::Admin => {
                tracing::info!(service = filled(service), "{kind}: {sentence}");
            }
            EventKind::Closed | EventKind::Cleared => {
                tracing::debug!(reason, peer, service, connection, "{kind}: {sentence}");
            }
            EventKind::Refused
            | EventKind::Rejected
            | EventKind::WouldReject
            | EventKind::ShadowLost => {
                let Some(suppressed) = self.turn(service, event.reason, now) else { return };
                if event.alarm {
                    tracing::error!(reason, peer, service, suppressed, "{kind}: {sentence}");
                } else if suppressed == 0 {
                    tracing::info!(reason, peer, service, connection, "{kind}: {sentence}");
                } else {
                    tracing::info!(
                        reason,
                        peer,
                        service,
                        connection,
                        suppressed,
                        "{kind}: {sentence}"
                    );
                }
            }
        }
    }

    /// Whether it is the turn of a refusal, and how many were not told since the last.
    fn turn(&mut self, service: &str, reason: Option<Reason>, now: Instant) -> Option<u64> {
        if self.told.len() >= MOST {
            self.told.clear();
        }
        let key = (service.to_owned(), reason);
        let Some(told) = self.told.get_mut(&key) else {
            self.told.insert(key, Told { at: now, suppressed: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(told.at) < PAUSE {
            told.suppressed += 1;
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.suppressed))
    }

    /// Tells what was suppressed and is not followed by another.
    pub(super) fn catch_up(&mut self, now: Instant) {
        for ((service, reason), count) in self.overdue(now) {
            let reason = reason.map_or("", Reason::as_str);
            tracing::info!(reason, service, "{count} more like it");
        }
    }

    fn overdue(&mut self, now: Instant) -> Vec<((String, Option<Reason>), u64)> {
        let mut overdue = Vec::new();
        self.told.retain(|key, told| {
            let over = now.saturating_duration_since(told.at) >= PAUSE;
            if over && told.suppressed > 0 {
                overdue.push((key.clone(), told.suppressed));
            }
            !over
        });
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_one_line_in_a_second_and_a_count() {
        let (mut teller, now) = (Teller::default(), Instant::now());
        let reason = Some(Reason::Grammar);
        assert_eq!(teller.turn("orders", reason, now), Some(0));
        for _ in 0..500 {
            assert_eq!(teller.turn("orders", reason, now), None);
        }
        assert_eq!(teller.turn("orders", Some(Reason::Range), now), Some(0));
        assert_eq!(teller.turn("orders", reason, now + PAUSE), Some(500));
        assert_eq!(teller.turn("orders", reason, now + PAUSE), None);
        assert_eq!(teller.overdue(now + PAUSE), []);
        let left = teller.overdue(now + 2 * PAUSE);
        assert_eq!(left, [(("orders".to_owned(), reason), 1)]);
        assert!(teller.told.is_empty());
    }
}
