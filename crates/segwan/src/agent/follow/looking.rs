//! What is late: a silent Authority, an old list.

use crate::agent::{Agent, Reach, instant, lock, now_ms};
use crate::tls::trust::{WhenUnreachable, stale_list};
use std::time::Duration;
use tokio::time::sleep;

/// No word of the Authority for so long is an alarm, milliseconds.
const SILENCE: i64 = 3_600_000;
/// How often it is looked whether something is late.
const LOOKS: Duration = Duration::from_secs(5);

impl Agent {
    /// Looks every few seconds whether something is late.
    pub(super) async fn watch(&self) {
        loop {
            self.look_around(now_ms());
            sleep(LOOKS).await;
        }
    }

    pub(in crate::agent) fn look_around(&self, now: i64) {
        self.look(now);
        if matches!(self.reach, Reach::Process(_)) {
            self.heard(now);
        }
        self.alarms.set("authority_unreachable", self.silence(now));
        let meaning = self.trust.stale_crl();
        let belief = lock(&self.belief);
        let lists = belief.as_ref().map_or(&[][..], |belief| &belief.stored.crls);
        let stale = stale_list(lists, meaning, now);
        drop(belief);
        self.alarms.set("crl_stale", stale);
    }

    /// Since when nothing was heard of the Authority, if that is too long; then nobody new is let
    /// in, where that is wanted.
    pub(in crate::agent) fn silence(&self, now: i64) -> Option<String> {
        // Held to the end, so that a word that comes meanwhile has the last one.
        let mut contact = lock(&self.contact);
        // After a clock that ran ahead was set back, it would be long until an hour has passed.
        contact.last_ms = contact.last_ms.map(|last| last.min(now));
        contact.began_ms = contact.began_ms.min(now);
        let refuses = contact.when_unreachable == WhenUnreachable::RefuseNew;
        // An alarm has an hour from the start; who is let in does not wait for a restart.
        let earliest = (!refuses).then_some(contact.began_ms);
        let last = contact.last_ms.max(earliest);
        let silent = last.is_none_or(|last| now - last >= SILENCE).then(|| {
            let identity = &self.identity;
            let since = last.map_or_else(|| "nobody knows when".to_owned(), instant);
            format!("{identity} has heard nothing of the Authority since {since}")
        });
        self.trust.shut(silent.as_deref().filter(|_| refuses));
        silent.map(|why| if refuses { format!("{why}; nobody new is let in") } else { why })
    }
}
