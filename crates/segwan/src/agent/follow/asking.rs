//! Lists and bundle, fetched beside the stream: one that lies still hides nothing for long.

use crate::agent::belief::{Belief, Refused};
use crate::agent::{Agent, AgentError, Judge, Reach, draw, lock, now_ms};
use segwan_pki::api::{BUNDLE, CRL, SignedBundle};
use segwan_pki::revocation::CRL_BYTES;
use std::time::Duration;
use tokio::time::sleep;

const MINUTE: i64 = 60_000;
/// How often lists are fetched, milliseconds.
const LISTS: i64 = 60 * MINUTE;
/// How often the bundle is.
const BUNDLES: i64 = 6 * LISTS;
/// Most bytes of a bundle that is fetched.
const BUNDLE_BYTES: usize = 1024 * 1024;

impl Agent {
    /// Fetches lists and bundle, whatever the stream says.
    pub(super) async fn fetch(&self) {
        // Somewhere in the first hour, so that a fleet that was started at once is spread.
        let begun = now_ms() - LISTS + LISTS * i64::from(draw()) / i64::from(u16::MAX);
        let (mut lists, mut bundle) = (begun, begun);
        loop {
            sleep(Duration::from_secs(60)).await;
            let now = now_ms();
            // Also after a clock that ran ahead was set back.
            if !(0..LISTS).contains(&(now - lists)) {
                lists = self.noting(self.fetch_lists(now).await, now, LISTS);
            }
            if !(0..BUNDLES).contains(&(now - bundle)) {
                bundle = self.noting(self.fetch_bundle(now).await, now, BUNDLES);
            }
        }
    }

    /// When something was fetched; if it was not, such that it is tried again in five minutes.
    pub(super) fn noting(&self, fetched: Result<(), AgentError>, now: i64, every: i64) -> i64 {
        match fetched {
            Ok(()) => now,
            Err(error) => {
                tracing::info!("{}: cannot ask the Authority: {error}", self.identity);
                now - every + 5 * MINUTE
            }
        }
    }

    /// Fetches the list of each issuing key.
    pub(in crate::agent) async fn fetch_lists(&self, now: i64) -> Result<(), AgentError> {
        let issuers = lock(&self.belief).as_ref().map_or_else(Vec::new, Belief::issuers);
        for issuer in issuers {
            let number = || lock(&self.belief).as_ref().map_or(0, |it| it.number(&issuer));
            let before = number();
            let der = match &self.reach {
                Reach::Process(authority) => {
                    authority.crl(&issuer).await?.map(|(_, der)| der).unwrap_or_default()
                }
                Reach::Network => {
                    let meta = self.known().meta.clone();
                    self.endpoint(&meta).get(&format!("{CRL}{issuer}"), CRL_BYTES).await?
                }
            };
            self.heard(now);
            let made = |judge: &Judge<'_>, known: Option<&Belief>| match known {
                Some(known) => judge.list(&der, known),
                None => Err(Refused::Malformed("a list came before anything is believed")),
            };
            let installed = self.install(now, made);
            let overtaken = number() != before;
            self.conclude(installed, "crl_fork", overtaken);
        }
        Ok(())
    }

    /// Fetches the bundle, with the lists of what is new in it.
    pub(in crate::agent) async fn fetch_bundle(&self, now: i64) -> Result<(), AgentError> {
        let before = lock(&self.belief).as_ref().map(Belief::version);
        let bundle = match &self.reach {
            Reach::Process(authority) => authority.bundle(now).await?.1,
            Reach::Network => {
                let meta = self.known().meta.clone();
                let body = self.endpoint(&meta).get(BUNDLE, BUNDLE_BYTES).await?;
                serde_json::from_slice::<SignedBundle>(&body)
                    .map_err(|_| AgentError::Answer("its bundle is not well-formed".to_owned()))?
            }
        };
        self.heard(now);
        let installed = self.install(now, |judge, known| match known {
            Some(known) => judge.rebundled(&bundle, &[], known),
            None => Err(Refused::Malformed("a bundle came before anything is believed")),
        });
        let after = lock(&self.belief).as_ref().map(Belief::version);
        let is_newer = installed.as_ref().is_ok_and(|changed| *changed);
        self.conclude(installed, "bundle_rollback", after != before);
        if is_newer { Box::pin(self.fetch_lists(now)).await } else { Ok(()) }
    }

    /// What follows from something that was fetched. What was overtaken by an event while it was
    /// on its way is no alarm.
    pub(super) fn conclude(
        &self,
        installed: Result<bool, Refused>,
        word: &'static str,
        overtaken: bool,
    ) {
        match installed {
            Ok(changed) => {
                self.alarms.end(word);
                if changed {
                    self.remember();
                    self.changed.notify_one();
                }
            }
            Err(refused) if overtaken && refused.alarm() == word => {}
            Err(refused) => self.alarms.raise(refused.alarm(), refused.to_string()),
        }
    }
}
