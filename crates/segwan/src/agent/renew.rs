//! Renewal: in time, spread over a window, tried again with growing waits, and told when it is
//! late (`pki.md` section 10).

use super::answer::{Asked, are_apart, not_believed, was_overtaken};
use super::belief::Belief;
use super::{Agent, AgentError, Reach, both, draw, instant, lock, now_ms, shown_pair};
use crate::credentials::CredentialsError;
use segwan_pki::api::{self as wire, IssuedAnswer, RENEW, RenewRequest};
use segwan_pki::authority::{Authority, AuthorityError};
use segwan_pki::directory::Meta;
use segwan_pki::renewal;
use segwan_pki::x509::certificate_request;
use std::collections::VecDeque;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const HOUR: i64 = 3_600_000;
/// Who has to renew without having been told does it within so long, milliseconds.
const UNASKED: i64 = 60_000;
/// Whom nobody believes any more, because the key that signed its certificate is distrusted, renews
/// after so long at least, milliseconds: the Authority's own certificate may be under the same key.
const DISTRUSTED: i64 = 2_000;
/// And within so long from then, so that a fleet does not come in one instant.
const DISTRUSTED_SPREAD: i64 = 5_000;
/// Most failed tries in an hour, whatever the clocks say (PKI-36).
const TRIES: usize = 6;

/// What changes with each renewal.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) meta: Meta,
    /// When to try next, Unix milliseconds.
    pub(super) due_ms: i64,
    pub(super) failures: u32,
    pub(super) last_error: Option<String>,
    /// When the last tries failed, Unix milliseconds.
    tried: VecDeque<i64>,
}

impl Known {
    /// `wanted` is when the Authority said to renew, if it did.
    pub(super) fn of(meta: Meta, wanted: Option<i64>) -> Self {
        let due_ms = wanted.map_or(meta.renew_at_ms, |wanted| wanted.min(meta.renew_at_ms));
        Self { meta, due_ms, failures: 0, last_error: None, tried: VecDeque::new() }
    }

    /// Notes a failure; gives the wait before another try, in milliseconds.
    pub(super) fn failed(&mut self, error: &AgentError, now: i64) -> i64 {
        let mut wait = renewal::retry_after(self.failures, draw());
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(error.to_string());
        self.tried.push_back(now);
        if self.tried.len() > TRIES {
            self.tried.pop_front();
        }
        if let (true, Some(first)) = (self.tried.len() == TRIES, self.tried.front()) {
            wait = wait.max(first.saturating_add(HOUR) - now);
        }
        self.due_ms = now.saturating_add(wait);
        wait
    }
}

impl Agent {
    /// Gets a new certificate for a new key, and puts it in force.
    ///
    /// # Errors
    /// If it cannot; then nothing has changed, and the next try sends the same key.
    pub async fn renew(&self) -> Result<(), AgentError> {
        self.renew_at(now_ms()).await
    }

    async fn renew_at(&self, now: i64) -> Result<(), AgentError> {
        self.renew_by(now, now).await
    }

    /// Renews by two clocks: this host's, and for an Authority in this process its own.
    pub(super) async fn renew_by(&self, now: i64, theirs: i64) -> Result<(), AgentError> {
        let meta = self.known().meta.clone();
        let before = lock(&self.belief).as_ref().map(Belief::version);
        let key = self.store.pending()?;
        let request = certificate_request(&key)?;
        let answer = match &self.reach {
            Reach::Process(authority) => self.renew_here(authority, &request, theirs).await?,
            Reach::Network => {
                let body = RenewRequest { csr: wire::text(&request) };
                self.endpoint(&meta).post(RENEW, &body).await?
            }
        };
        self.heard(now);
        self.compare_clocks(answer.now_ms, now);
        match self.install(now, |judge, known| judge.renewal(&answer.trust, known)) {
            Ok(true) => self.changed.notify_one(),
            Ok(false) => {}
            Err(refused) if was_overtaken(&refused, before) => {}
            Err(refused) => {
                self.alarms.raise(refused.alarm(), refused.to_string());
                return Err(not_believed(&refused, answer.now_ms, now));
            }
        }
        let asked = Asked {
            identity: &self.identity,
            domain: &self.domain,
            root: &meta.root,
            authority: meta.authority.clone(),
        };
        let belief = lock(&self.belief).clone();
        let belief = belief.ok_or_else(|| AgentError::Answer("it says no trust".to_owned()))?;
        let stored = asked.check(&answer, &belief, key, now)?;
        let (chain, key) = shown_pair(&self.identity, &stored)?;
        self.store.publish(&stored)?;
        let refused = |e: CredentialsError| AgentError::Answer(e.to_string());
        self.credentials.replace(chain.as_bytes(), key.as_bytes()).map_err(refused)?;
        let soonest = now + pause(stored.meta.not_after_ms - now);
        let mut next = Known::of(stored.meta, None);
        next.due_ms = next.due_ms.max(soonest);
        *self.known() = next;
        self.alarms.end("credentials_fell_back");
        self.look(now);
        self.remember();
        self.renewed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// As an agent elsewhere would; one whose lineage is over begins another, because whoever
    /// holds this state directory holds the Authority.
    async fn renew_here(
        &self,
        authority: &Authority,
        request: &[u8],
        now: i64,
    ) -> Result<IssuedAnswer, AgentError> {
        let stored = self.store.current()?;
        let leaf = stored.as_ref().and_then(|stored| stored.chain.first());
        let renewed = match leaf {
            Some(leaf) => authority.renew(leaf, request, now).await,
            None => Err(AuthorityError::Renewal("there is nothing to renew".to_owned())),
        };
        let issued = match renewed {
            Err(AuthorityError::Renewal(_)) => {
                let name = self.identity.path().unwrap_or_default();
                authority.issue_local(name, request, now).await?
            }
            other => other?,
        };
        Ok(IssuedAnswer::from(&issued))
    }

    /// Renews in time, until cancelled. A failure is tried again after a minute, doubling to half
    /// an hour; the credentials in force stay meanwhile.
    pub async fn keep_fresh(&self, until: CancellationToken) {
        loop {
            let due = tokio::select! {
                () = until.cancelled() => return,
                due = self.tend(now_ms()) => due,
            };
            // The wall clock decides, also after a host has slept.
            let wait = (due - now_ms()).clamp(0, 60_000);
            let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
            tokio::select! {
                () = until.cancelled() => return,
                () = self.moved.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Does what is due at `now`; gives when something will be, Unix milliseconds.
    pub(super) async fn tend(&self, now: i64) -> i64 {
        {
            // A clock that ran ahead and was set back puts no try off for longer than any wait is.
            let mut known = self.known();
            if known.failures > 0 {
                known.due_ms = known.due_ms.min(now.saturating_add(HOUR));
            }
        }
        if now >= self.known().due_ms {
            match self.renew_at(now).await {
                Ok(()) => {
                    let end = instant(self.known().meta.not_after_ms);
                    tracing::info!("{} is renewed until {end}", self.identity);
                }
                Err(error) => {
                    let wait = self.known().failed(&error, now);
                    let minutes = (wait + 59_999) / 60_000;
                    let identity = &self.identity;
                    tracing::warn!("{identity} is not renewed: {error}; next try in {minutes} min");
                }
            }
        }
        self.look(now);
        self.known().due_ms
    }

    /// The Authority wants the certificate renewed within so long: at a random moment of it.
    pub(super) fn renew_within(&self, window_ms: i64, now: i64) -> i64 {
        let spread = window_ms.clamp(0, 30 * 24 * HOUR) * i64::from(draw()) / i64::from(u16::MAX);
        let at = now.saturating_add(spread);
        {
            let mut known = self.known();
            known.due_ms = known.due_ms.min(at);
        }
        self.moved.notify_one();
        at
    }

    /// The Authority takes the certificate for nothing but its renewal: its root is believed no more,
    /// which this agent did not hear, or it has ended. A renewal that failed keeps its waits.
    pub(super) fn renew_unasked(&self, now: i64) {
        if self.known().failures == 0 {
            self.renew_within(UNASKED, now);
        }
    }

    /// The key that signed the certificate was distrusted: peers refuse it until it is renewed. In
    /// the Authority's own process that is done first, because the others renew there.
    pub(super) fn renew_at_once(&self, now: i64) {
        match self.reach {
            Reach::Process(_) => self.renew_within(0, now),
            Reach::Network => self.renew_within(DISTRUSTED_SPREAD, now + DISTRUSTED),
        };
    }

    /// Raises and ends what the certificate's life says.
    pub(super) fn look(&self, now: i64) {
        let known = self.known().clone();
        let end = known.meta.not_after_ms;
        let made = self.credentials.not_before().saturating_mul(1000);
        let word = lateness(made, end, now);
        for known_word in ["renewal_late", "renewal_critical", "credentials_expired"] {
            let sentence = (word == Some(known_word)).then(|| {
                let why = known.last_error.as_deref().unwrap_or("it was not tried yet");
                let identity = &self.identity;
                if end <= now {
                    return format!(
                        "the certificate of {identity} ended at {}: {why}",
                        instant(end)
                    );
                }
                let left = (end - now) / 60_000;
                format!(
                    "the certificate of {identity} ends in {} h {} min and is not renewed: {why}",
                    left / 60,
                    left % 60
                )
            });
            self.alarms.set(known_word, sentence);
        }
    }

    /// Raises or ends `clock_skew`.
    pub(super) fn compare_clocks(&self, theirs: i64, ours: i64) {
        let apart = are_apart(theirs, ours).then(|| both(theirs, ours));
        self.alarms.set("clock_skew", apart);
    }
}

/// The alarm of a certificate that should have been renewed: with less than a third of its life
/// left, less than an eighth, and after its end.
fn lateness(made_ms: i64, end_ms: i64, now_ms: i64) -> Option<&'static str> {
    let (life, left) = (end_ms - made_ms, end_ms - now_ms);
    match left {
        left if left <= 0 => Some("credentials_expired"),
        left if left < life / 8 => Some("renewal_critical"),
        left if left < life / 3 => Some("renewal_late"),
        _ => None,
    }
}

/// The least time between two renewals, whatever the Authority proposes, in milliseconds.
fn pause(left_ms: i64) -> i64 {
    (left_ms / 4).clamp(1000, 600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_renewed_is_told_of_in_three_steps() {
        let life = 96 * HOUR;
        for (hour, word) in [
            (0, None),
            (63, None),
            (65, Some("renewal_late")),
            (83, Some("renewal_late")),
            (85, Some("renewal_critical")),
            (96, Some("credentials_expired")),
        ] {
            assert_eq!(lateness(0, life, hour * HOUR), word, "{hour}");
        }
    }
}
