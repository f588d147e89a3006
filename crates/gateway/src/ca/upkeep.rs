//! What is due by itself at an Authority that serves: its maintenance each minute, and the words
//! about a root key that lies on this host (`pki.md` section 6).

use super::Told;
use segwan_core::audit::{Event, EventKind};
use segwan_pki::authority::{Alarm, Authority};
use segwan_pki::store::{Filter, View};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 3_600_000;
/// While this is raised, the line about the root key is an error and no more a warning.
const TOO_LONG: &str = "root_online_30d";
/// After so many days.
const PATIENCE: i64 = 30;
/// The alarms that one look decides about.
const DECIDED: [&str; 9] = [
    "disk_low",
    "store_read_only",
    "root_file",
    "rotation_blocked",
    "issuing_expiring",
    "no_spare",
    TOO_LONG,
    "no_backup",
    "identity_two_places",
];

/// What is said of a root key on this host, beside the start line, the status line and the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootNag {
    /// A line in the log once a day, and an alarm after 30 days.
    Daily,
    /// Nothing: `danger_root_online`.
    Silent,
}

/// The duties of one Authority.
pub(super) struct Upkeep {
    authority: Authority,
    told: Told,
    nag: RootNag,
    nagged_ms: i64,
}

impl Upkeep {
    pub(super) fn of(authority: Authority, told: Told, nag: RootNag) -> Self {
        Self { authority, told, nag, nagged_ms: 0 }
    }

    /// Does what is due until the stop; a look that has begun is finished.
    pub(super) async fn until(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.look(now_ms()).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// One look.
    pub(super) async fn look(&mut self, now_ms: i64) {
        let mut alarms = match self.authority.maintain(now_ms).await {
            Ok(alarms) => alarms,
            Err(error) => {
                tracing::error!("the Authority's maintenance did not come to its end: {error}");
                return;
            }
        };
        self.nag(&mut alarms, now_ms);
        alarms.extend(self.two_places(now_ms).await);
        for Alarm { word, sentence } in self.told.alarms.replace(&DECIDED, &alarms, now_ms) {
            tracing::error!("{sentence} ({word})");
            let mut event = Event::new(EventKind::Alarm);
            event.sentence = format!("{sentence} ({word})");
            self.told.recorder.record(event);
        }
    }

    /// Says once a day what a root key on this host means, and raises an alarm after a month;
    /// `danger_root_online` silences both.
    fn nag(&mut self, alarms: &mut Vec<Alarm>, now_ms: i64) {
        if self.nag == RootNag::Silent {
            return;
        }
        let Some(since_ms) = root_key_since(self.authority.place()) else { return };
        let days = (now_ms - since_ms) / DAY;
        let since = match days {
            ..1 => String::new(),
            1 => " for a day".to_owned(),
            _ => format!(" for {days} days"),
        };
        let sentence = format!(
            "the root key lies on this host{since}: whoever takes the host takes the Authority; \
             `segwan ca root export --to DIR` moves it away"
        );
        let is_due = now_ms - self.nagged_ms >= DAY;
        if is_due {
            self.nagged_ms = now_ms;
        }
        if days >= PATIENCE {
            if is_due {
                tracing::error!("{sentence}");
            }
            alarms.push(Alarm { word: TOO_LONG, sentence });
        } else if is_due {
            tracing::warn!("{sentence}");
        }
    }

    async fn two_places(&self, now_ms: i64) -> Option<Alarm> {
        let filter = Filter { view: View::TwoPlaces, most: 10, ..Filter::default() };
        let seen = self.authority.list(&filter, now_ms).await.ok()?;
        let first = seen.first()?;
        let more = match seen.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} others"),
        };
        let sentence = format!(
            "the certificate {} of `{}` was used from two addresses within 5 min{more}; `segwan ca \
             list --view two-places` lists them, `segwan ca register {} --profile {} --shared` \
             allows it",
            first.serial, first.name, first.name, first.profile
        );
        Some(Alarm { word: "identity_two_places", sentence })
    }
}

/// Since when the root's key lies on this host, Unix milliseconds; `None`: it does not. Only the
/// directory entry is looked at: the key itself is not for the serving process.
pub(crate) fn root_key_since(place: &Path) -> Option<i64> {
    let modified = place.join("root/root.key.pem").symlink_metadata().ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::record::Recorder;
    use segwan_pki::authority::{AuthorityOptions, LEAF_LIFETIME, RENEWAL_GRACE};
    use segwan_pki::directory::StateDir;
    use std::sync::Arc;

    async fn upkeep(state: &StateDir, nag: RootNag) -> Upkeep {
        let options = AuthorityOptions {
            trust_domain: "segwan.internal".parse().unwrap(),
            leaf_lifetime: LEAF_LIFETIME,
            renewal_grace: RENEWAL_GRACE,
        };
        let authority = Authority::open(state, &options, now_ms()).await.unwrap();
        let (recorder, _) = Recorder::new(64);
        let metrics = Arc::new(Metrics::for_services(Vec::new()));
        Upkeep::of(authority, Told { recorder, metrics, alarms: Arc::default() }, nag)
    }

    async fn raised(upkeep: &mut Upkeep, now_ms: i64) -> Vec<String> {
        upkeep.look(now_ms).await;
        upkeep.told.alarms.list(now_ms).into_iter().map(|one| one.alarm).collect()
    }

    // PKI-07
    #[tokio::test]
    async fn a_root_key_here_is_an_alarm_after_a_month_until_it_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(&parent.path().join("state")).unwrap();
        let mut upkeep = upkeep(&state, RootNag::Daily).await;
        let (now, long) = (now_ms(), "root_online_30d".to_owned());
        assert!(raised(&mut upkeep, now).await.is_empty());
        assert_eq!(upkeep.nagged_ms, now);
        // Once a day is enough.
        raised(&mut upkeep, now + DAY / 2).await;
        assert_eq!(upkeep.nagged_ms, now);
        assert!(!raised(&mut upkeep, now + 29 * DAY).await.contains(&long));
        assert!(raised(&mut upkeep, now + 31 * DAY).await.contains(&long));
        std::fs::remove_dir_all(state.authority().join("root")).unwrap();
        assert!(!raised(&mut upkeep, now + 32 * DAY).await.contains(&long));
        assert_eq!(upkeep.nagged_ms, now + 31 * DAY);
    }

    #[tokio::test]
    async fn a_danger_that_was_chosen_is_not_nagged_about() {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(&parent.path().join("state")).unwrap();
        let mut upkeep = upkeep(&state, RootNag::Silent).await;
        let raised = raised(&mut upkeep, now_ms() + 31 * DAY).await;
        assert!(!raised.contains(&"root_online_30d".to_owned()), "{raised:?}");
        assert_eq!(upkeep.nagged_ms, 0);
        // What has nothing to do with it is told all the same.
        assert!(raised.contains(&"no_backup".to_owned()), "{raised:?}");
    }
}
