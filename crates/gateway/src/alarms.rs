//! `Alarms`: what an operator should know now, each by its word, for as long as it is so.
//!
//! A state stays until it is cleared; something that happened stays for a while, so that whoever
//! looks in the morning sees it. The words are those of `docs/reference/alarms.md`.

use segwan_pki::authority::Alarm;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The word of every alarm, each with an entry in the reference manual.
pub const WORDS: [&str; 34] = [
    "authority_restored",
    "authority_unreachable",
    "bundle_rollback",
    "clock_skew",
    "credentials_expired",
    "credentials_fell_back",
    "credentials_rejected",
    "crl_fork",
    "crl_stale",
    "disk_low",
    "enrollment_attack",
    "identity_two_places",
    "issuing_expiring",
    "ledger_broken",
    "lineage_forked",
    "no_backup",
    "no_spare",
    "quota_unwritten",
    "reload_refused",
    "renewal_critical",
    "renewal_late",
    "resumption_seen",
    "rng_suspect",
    "root_file",
    "root_online_30d",
    "rotation_blocked",
    "self_check_failed",
    "store_read_only",
    "sweep_failed",
    "token_reused",
    "trust_missing",
    "trust_not_saved",
    "trust_refused",
    "unrecorded_certificate",
];
/// Most alarms at once; beyond it the oldest gives way, so that nobody fills this by causing more.
const MOST: usize = 1000;
/// How long something that happened is told of, in milliseconds.
const REMEMBERED: i64 = 24 * 3_600_000;

/// The alarms of a process.
#[derive(Debug, Default)]
pub struct Alarms(Mutex<BTreeMap<(&'static str, String), Entry>>);

#[derive(Debug)]
struct Entry {
    sentence: String,
    since_ms: i64,
    /// When it ends by itself, Unix milliseconds.
    ends_ms: Option<i64>,
}

/// One alarm that is raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// Its word.
    pub alarm: String,
    /// The sentence, with the values that decided and the command that helps.
    pub sentence: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
}

impl Alarms {
    /// Raises an alarm about something, until it is cleared; whether it is a new one.
    pub fn raise(&self, word: &'static str, about: &str, sentence: &str, now_ms: i64) -> bool {
        self.enter(word, about, sentence, None, now_ms)
    }

    /// Raises an alarm about something that happened, for a day; whether it is a new one.
    pub fn happened(&self, word: &'static str, about: &str, sentence: &str, now_ms: i64) -> bool {
        self.enter(word, about, sentence, Some(now_ms + REMEMBERED), now_ms)
    }

    /// Raises an alarm that ends by itself; whether it is a new one.
    pub fn until(
        &self,
        ends_ms: i64,
        (word, about): (&'static str, &str),
        sentence: &str,
        now_ms: i64,
    ) -> bool {
        self.enter(word, about, sentence, Some(ends_ms), now_ms)
    }

    /// Clears an alarm about something; whether it was raised.
    pub fn clear(&self, word: &'static str, about: &str) -> bool {
        self.lock().remove(&(word, about.to_owned())).is_some()
    }

    /// Makes the alarms with these words those of `now` and no others; gives the new ones.
    pub fn replace(&self, words: &[&'static str], now: &[Alarm], now_ms: i64) -> Vec<Alarm> {
        self.lock().retain(|(word, about), _| {
            let is_theirs = about.is_empty() && words.contains(word);
            !is_theirs || now.iter().any(|alarm| alarm.word == *word)
        });
        let new = |alarm: &&Alarm| self.raise(alarm.word, "", &alarm.sentence, now_ms);
        now.iter().filter(new).cloned().collect()
    }

    /// What is raised, by its word.
    #[must_use]
    pub fn list(&self, now_ms: i64) -> Vec<Raised> {
        let mut raised = self.lock();
        raised.retain(|_, entry| entry.ends_ms.is_none_or(|ends| ends > now_ms));
        let one = |((word, _), entry): (&(&'static str, String), &Entry)| Raised {
            alarm: (*word).to_owned(),
            sentence: entry.sentence.clone(),
            since_ms: entry.since_ms,
        };
        raised.iter().map(one).collect()
    }

    fn enter(
        &self,
        word: &'static str,
        about: &str,
        sentence: &str,
        ends_ms: Option<i64>,
        now_ms: i64,
    ) -> bool {
        let mut raised = self.lock();
        let key = (word, about.to_owned());
        if let Some(known) = raised.get_mut(&key) {
            let is_over = known.ends_ms.is_some_and(|ends| ends <= now_ms);
            let since_ms = if is_over { now_ms } else { known.since_ms };
            *known = Entry { sentence: sentence.to_owned(), since_ms, ends_ms };
            return is_over;
        }
        if raised.len() >= MOST {
            let oldest = raised.iter().min_by_key(|(_, entry)| entry.since_ms);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                raised.remove(&oldest);
            }
        }
        let sentence = sentence.to_owned();
        raised.insert(key, Entry { sentence, since_ms: now_ms, ends_ms });
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_new_once_and_gone_when_cleared() {
        let alarms = Alarms::default();
        assert!(alarms.raise("crl_stale", "a", "it is old", 1));
        assert!(!alarms.raise("crl_stale", "a", "it is older", 2));
        assert!(alarms.raise("crl_stale", "b", "it is old", 3));
        let list = alarms.list(4);
        assert_eq!((list.len(), list[0].since_ms), (2, 1));
        assert_eq!(list[0].sentence, "it is older");
        assert!(alarms.clear("crl_stale", "a") && !alarms.clear("crl_stale", "a"));
        assert_eq!(alarms.list(4).len(), 1);
    }

    #[test]
    fn what_happened_is_told_of_for_a_day_and_is_new_after_that() {
        let alarms = Alarms::default();
        assert!(alarms.happened("token_reused", "app", "twice", 0));
        assert!(!alarms.happened("token_reused", "app", "thrice", REMEMBERED - 1));
        assert_eq!(alarms.list(2 * REMEMBERED - 2).len(), 1);
        assert!(alarms.happened("token_reused", "app", "again", 2 * REMEMBERED));
        assert!(alarms.list(3 * REMEMBERED).is_empty());
    }

    #[test]
    fn one_look_replaces_the_one_before_and_no_other_alarm() {
        let alarms = Alarms::default();
        let words = ["disk_low", "no_spare"];
        let low = Alarm { word: "disk_low", sentence: "5 MiB are free".to_owned() };
        alarms.raise("crl_stale", "", "it is old", 0);
        assert_eq!(
            alarms.replace(&words, std::slice::from_ref(&low), 1),
            std::slice::from_ref(&low)
        );
        assert!(alarms.replace(&words, &[low], 2).is_empty());
        assert_eq!(alarms.list(3).len(), 2);
        alarms.replace(&words, &[], 4);
        assert_eq!(alarms.list(5)[0].alarm, "crl_stale");
    }

    #[test]
    fn there_are_so_many_at_once_and_no_more() {
        let alarms = Alarms::default();
        for n in 0..2000 {
            alarms.raise("unrecorded_certificate", &n.to_string(), "seen", n);
        }
        let list = alarms.list(3000);
        assert_eq!(list.len(), MOST);
        assert!(list.iter().all(|one| one.since_ms >= 1000));
    }
}
