//! `Tally`: samples of what would be refused, and counts of the rest.
//!
//! A contract that does not fit would refuse every message; the record of a connection gets the
//! first few of each reason in a minute, and one line with the number of the others.

use super::ShadowVerdict;
use crate::audit::{Event, EventKind};
use crate::now::Now;
use crate::rejection::Reason;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Of one reason, one direction and one class this many are listed in a minute.
pub(super) const LISTED: u32 = 10;
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// What one connection was told of; bounded, because reasons are words of the code.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kinds: BTreeMap<(bool, u8, Reason), Minute>,
    /// Whether something was counted and not told yet.
    owes: bool,
}

#[derive(Debug)]
struct Minute {
    since: Instant,
    listed: u32,
    more: u64,
    /// What all of its kind have in common.
    kind: Event,
}

impl Tally {
    /// Lists an event, or counts it.
    pub(super) fn count(&mut self, event: Event, now: Now, told: &mut Vec<ShadowVerdict>) {
        let Some(reason) = event.reason else { return };
        let of_server = event.direction == Some("server");
        let key = (of_server, event.class.map_or(u8::MAX, |class| class as u8), reason);
        let minute = self.kinds.entry(key).or_insert_with(|| Minute {
            since: now.instant,
            listed: 0,
            more: 0,
            kind: kind(&event),
        });
        if now.instant.saturating_duration_since(minute.since) >= MINUTE {
            told.extend(minute.rest());
            (minute.since, minute.listed) = (now.instant, 0);
        }
        if minute.listed < LISTED {
            minute.listed += 1;
            told.push(ShadowVerdict(event));
        } else {
            minute.more += 1;
            self.owes = true;
        }
    }

    /// Tells the counts of minutes that are over.
    pub(super) fn turn(&mut self, now: Now, told: &mut Vec<ShadowVerdict>) {
        if !self.owes {
            return;
        }
        for minute in self.kinds.values_mut() {
            if now.instant.saturating_duration_since(minute.since) >= MINUTE {
                told.extend(minute.rest());
            }
        }
        self.owes = self.kinds.values().any(|minute| minute.more > 0);
    }

    /// Tells all counts.
    pub(super) fn close(&mut self, told: &mut Vec<ShadowVerdict>) {
        told.extend(self.kinds.values_mut().filter_map(Minute::rest));
        self.owes = false;
    }
}

impl Minute {
    fn rest(&mut self) -> Option<ShadowVerdict> {
        let more = std::mem::take(&mut self.more);
        let sentence = format!("{more} more like it are not listed");
        let event = Event { count: Some(more), sentence, ..self.kind.clone() };
        (more > 0).then_some(ShadowVerdict(event))
    }
}

fn kind(event: &Event) -> Event {
    let mut kind = Event::new(EventKind::WouldReject);
    kind.reason = event.reason;
    kind.class = event.class;
    kind.direction = event.direction;
    kind.contract.clone_from(&event.contract);
    kind.contract_hash.clone_from(&event.contract_hash);
    kind.mode = event.mode;
    kind
}
