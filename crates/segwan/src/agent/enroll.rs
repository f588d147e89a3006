//! Enrollment: a token becomes credentials, and whom to believe comes with them.

use super::answer::{Asked, not_believed};
use super::api::Endpoint;
use super::belief::{Belief, Judge};
use super::{Agent, AgentError, Reach, instant, now_ms};
use crate::tls::trust::TrustState;
use segwan_core::identity::{Identity, TrustDomain};
use segwan_pki::api::{self as wire, ENROLL, EnrollRequest, IssuedAnswer, Secret};
use segwan_pki::authority::{Authority, AuthorityError};
use segwan_pki::bundle::Bundle;
use segwan_pki::directory::{CredentialStore, Found};
use segwan_pki::enrollment::Token;
use segwan_pki::key::PrivateKey;
use segwan_pki::x509::certificate_request;
use std::time::Duration;

impl Agent {
    /// Enrolls with a token. The key is on the disk before anything is sent, so a lost answer is
    /// asked for again with the same key; where the credentials are there already, they are used.
    ///
    /// `addresses` replaces those of the token; that is safe, because the root is pinned.
    ///
    /// # Errors
    /// If the token has ended, nobody under the pinned root answers, or it refuses.
    pub async fn enroll(
        store: CredentialStore,
        token: &Token,
        addresses: Option<Vec<String>>,
    ) -> Result<Self, AgentError> {
        let identity = token.identity().map_err(|e| AgentError::Answer(e.to_string()))?;
        let now = now_ms();
        if let Some(found) = in_force(&store, &identity, &token.roots(), now)? {
            return Self::of(store, Reach::Network, found);
        }
        if token.expires.saturating_mul(1000) <= now {
            return Err(AgentError::TokenExpired(instant(token.expires.saturating_mul(1000))));
        }
        let key = store.pending()?;
        let addresses = addresses.unwrap_or_else(|| token.addresses.clone());
        let endpoint = Endpoint {
            addresses: &addresses,
            roots: token.roots(),
            domain: &token.trust_domain,
            credentials: None,
            known: TrustState::default(),
        };
        let request = EnrollRequest {
            token: Secret(token.secret().to_string()),
            csr: wire::text(&certificate_request(&key)?),
        };
        let answer = persistent(&endpoint, &request).await?;
        let (domain, roots) = (&token.trust_domain, token.roots());
        // Of two that rotate, the one that the Authority still has.
        let said = known_roots(&answer);
        let root = roots.iter().find(|pin| said.contains(pin)).unwrap_or(&token.root);
        let asked = Asked { identity: &identity, domain, root, authority: addresses };
        let now = now_ms();
        let found = publish(&store, asked, &answer, key, now)?;
        let agent = Self::of(store, Reach::Network, found)?;
        agent.heard(now);
        Ok(agent)
    }

    /// Credentials for an identity whose Authority runs in this process: those that are there, or
    /// new ones. Whom to believe is asked anew at each start.
    ///
    /// # Errors
    /// If those that are there are damaged, or the Authority cannot issue.
    pub async fn within(
        store: CredentialStore,
        authority: Authority,
        name: &str,
    ) -> Result<Self, AgentError> {
        let domain = authority.trust_domain().clone();
        let identity = domain.identity(name).map_err(AuthorityError::from)?;
        let root = authority.root_fingerprint();
        let now = now_ms();
        if let Some(found) = in_force(&store, &identity, std::slice::from_ref(&root), now)? {
            let trust = authority.trust(now).await?;
            let agent = Self::of(store, Reach::Process(Box::new(authority)), found)?;
            agent
                .install(now, |judge, known| judge.snapshot(&trust, known).map(|(next, _)| next))
                .map_err(|refused| not_believed(&refused, now, now))?;
            agent.remember();
            agent.heard(now);
            return Ok(agent);
        }
        let key = store.pending()?;
        let issued = authority.issue_local(name, &certificate_request(&key)?, now).await?;
        let asked =
            Asked { identity: &identity, domain: &domain, root: &root, authority: Vec::new() };
        let found = publish(&store, asked, &IssuedAnswer::from(&issued), key, now)?;
        let agent = Self::of(store, Reach::Process(Box::new(authority)), found)?;
        agent.heard(now);
        Ok(agent)
    }
}

/// SHA-256 of the roots that an answer speaks of; nothing is believed by that.
fn known_roots(answer: &IssuedAnswer) -> Vec<String> {
    let body = wire::der(&answer.trust.bundle.body, 256 * 1024);
    let said = body.and_then(|body| Bundle::read(&body).ok());
    said.map(|bundle| bundle.fingerprints()).unwrap_or_default()
}

/// The credentials of this identity under this root, if there are some that have not ended.
fn in_force(
    store: &CredentialStore,
    identity: &Identity,
    roots: &[String],
    now: i64,
) -> Result<Option<Found<segwan_pki::directory::StoredCredentials>>, AgentError> {
    let found = store.found()?;
    Ok(found.filter(|Found { stored, .. }| {
        let same =
            stored.meta.identity == identity.to_string() && roots.contains(&stored.meta.root);
        same && stored.meta.not_after_ms > now
    }))
}

/// Checks an answer under the pinned root, and writes it down: whom to believe first, so that no
/// credentials are there without it.
fn publish(
    store: &CredentialStore,
    asked: Asked<'_>,
    answer: &IssuedAnswer,
    key: PrivateKey,
    now: i64,
) -> Result<Found<segwan_pki::directory::StoredCredentials>, AgentError> {
    let belief = first_belief(&asked, asked.domain, answer, now)?;
    let stored = asked.check(answer, &belief, key, now)?;
    store.trust().publish(&belief.stored)?;
    store.publish(&stored)?;
    Ok(Found { stored, fell_back: None })
}

fn first_belief(
    asked: &Asked<'_>,
    domain: &TrustDomain,
    answer: &IssuedAnswer,
    now: i64,
) -> Result<Belief, AgentError> {
    let root = asked.pinned(answer)?;
    let judge = Judge { domain, pinned: std::slice::from_ref(&root), now_ms: now };
    let (belief, _) = judge
        .snapshot(&answer.trust, None)
        .map_err(|refused| not_believed(&refused, answer.now_ms, now))?;
    Ok(belief)
}

/// Enrollment is tried a few times: an Authority that is just starting is worth a moment.
async fn persistent(
    endpoint: &Endpoint<'_>,
    request: &EnrollRequest,
) -> Result<IssuedAnswer, AgentError> {
    const TRIES: u32 = 4;
    let mut tried = 1;
    loop {
        match endpoint.post(ENROLL, request).await {
            Err(error) if error.is_passing() && tried < TRIES => {
                let asked = match error {
                    AgentError::Refused { retry: Some(seconds), .. } => seconds.min(10),
                    _ => 0,
                };
                let wait = Duration::from_secs(asked).max(Duration::from_millis(500));
                tokio::time::sleep(wait).await;
                tried += 1;
            }
            other => return other,
        }
    }
}
