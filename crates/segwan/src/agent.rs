//! `Agent`: gets credentials for one identity, and keeps them fresh while the process runs.
//!
//! The key is made here and never leaves; what the Authority answers is believed only after it was
//! checked under the pinned root (`pki.md` sections 9.3 and 10).

mod api;

use crate::credentials::{Credentials, CredentialsError};
use crate::tls::authority::{AUTHORITY_NAME, judge_issued};
use crate::tls::trust::{Trust, TrustError};
use api::Endpoint;
use segwan_core::audit::shown;
use segwan_core::identity::{Identity, TrustDomain};
use segwan_pki::api::{
    self as wire, ENROLL, EnrollRequest, IssuedAnswer, RENEW, RenewRequest, Secret,
};
use segwan_pki::authority::{Authority, AuthorityError};
use segwan_pki::certificate::Certificate;
use segwan_pki::directory::{
    CredentialStore, DirectoryError, Meta, ServiceHint, StoredCredentials,
};
use segwan_pki::enrollment::Token;
use segwan_pki::key::{KeyError, PrivateKey, hex, random, sha256};
use segwan_pki::renewal;
use segwan_pki::x509::{X509Error, certificate_request};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// Most certificates of an answered chain, and most bytes of one.
const CHAIN: usize = 5;
const CERTIFICATE: usize = 8 * 1024;
/// Clocks further apart than this are told of, in milliseconds.
const SKEW: u64 = 5 * 60_000;

/// One identity's credentials, and who renews them.
///
/// An `Agent` that exists has credentials that were checked; [`credentials`](Self::credentials)
/// and [`trust`](Self::trust) change in place at each renewal.
pub struct Agent {
    store: CredentialStore,
    reach: Reach,
    identity: Identity,
    domain: TrustDomain,
    credentials: Arc<Credentials>,
    trust: Arc<Trust>,
    known: Mutex<Known>,
}

/// How the Authority is reached.
enum Reach {
    /// Over its HTTPS port.
    Network,
    /// In this very process.
    Process(Box<Authority>),
}

/// What changes with each renewal.
#[derive(Debug, Clone)]
struct Known {
    meta: Meta,
    failures: u32,
    last_error: Option<String>,
}

/// What `segwan status` shows of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// Whose credentials.
    pub identity: Identity,
    /// When they end, Unix milliseconds.
    pub not_after_ms: i64,
    /// When they will be renewed, Unix milliseconds.
    pub renew_at_ms: i64,
    /// Renewals that failed one after the other.
    pub failures: u32,
    /// Why the last one did.
    pub last_error: Option<String>,
}

/// Why there are no credentials, or no new ones. `Display` is the operator's sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A key cannot be made.
    #[error("a key cannot be made: {0}")]
    Key(#[from] KeyError),
    /// A request cannot be made.
    #[error("a certificate request cannot be made: {0}")]
    Request(#[from] X509Error),
    /// The stored credentials are none.
    #[error("the credentials of `{name}` cannot be used: {why}")]
    Stored {
        /// Whose.
        name: String,
        /// Why not.
        why: String,
    },
    /// The token's time is over.
    #[error("the token ended at {0}, by this host's clock")]
    TokenExpired(String),
    /// Nobody answers.
    #[error("the Authority cannot be reached: {0}")]
    Unreachable(String),
    /// Somebody else answers.
    #[error("{0}")]
    NotTheAuthority(String),
    /// The Authority says no.
    #[error("the Authority refused: {reason}{}", request_text(.request))]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its word for it.
        reason: String,
        /// Under which its operator finds more.
        request: String,
        /// Seconds after which another try may help.
        retry: Option<u64>,
    },
    /// The Authority's answer is not believed.
    #[error("the Authority's answer is not acceptable: {0}")]
    Answer(String),
    /// The Authority in this process could not.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

fn request_text(request: &str) -> String {
    if request.is_empty() { String::new() } else { format!(" (request {request})") }
}

impl AgentError {
    /// Whether the same request may do better in a while.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 409 | 429 | 500..=599),
            _ => false,
        }
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Directory(error) => error.hint(),
            Self::TokenExpired(_) => Some(
                "`segwan token new NAME` where the Authority runs makes a new one; if it should \
                 not have ended, compare the clocks"
                    .to_owned(),
            ),
            Self::Refused { reason, .. } if reason == "token_refused" => Some(
                "a token is good once and for half an hour; `segwan token new NAME` where the \
                 Authority runs makes a new one"
                    .to_owned(),
            ),
            Self::Unreachable(_) => Some(
                "is `segwan serve` running there, and its Authority's port open? `--authority \
                 HOST:PORT` names another address"
                    .to_owned(),
            ),
            Self::NotTheAuthority(_) => Some(
                "nothing of the token was sent; somebody else answers at that address, or the \
                 token is of another Authority"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

impl Agent {
    /// The credentials that are there from earlier, renewed over the network; `None` if there are
    /// none.
    ///
    /// # Errors
    /// If there are some and they cannot be used.
    pub fn resume(store: CredentialStore) -> Result<Option<Self>, AgentError> {
        match store.current()? {
            Some(stored) => Self::of(store, Reach::Network, &stored).map(Some),
            None => Ok(None),
        }
    }

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
        if let Some(stored) = store.current()? {
            let same =
                stored.meta.identity == identity.to_string() && stored.meta.root == token.root;
            if same && stored.meta.not_after_ms > now {
                return Self::of(store, Reach::Network, &stored);
            }
        }
        if token.expires.saturating_mul(1000) <= now {
            return Err(AgentError::TokenExpired(instant(token.expires.saturating_mul(1000))));
        }
        let key = store.pending()?;
        let addresses = addresses.unwrap_or_else(|| token.addresses.clone());
        let endpoint = Endpoint {
            addresses: &addresses,
            root: &token.root,
            domain: &token.trust_domain,
            credentials: None,
        };
        let request = EnrollRequest {
            token: Secret(token.secret().to_string()),
            csr: wire::text(&certificate_request(&key)?),
        };
        let answer = persistent(&endpoint, &request).await?;
        let asked = Asked {
            identity: &identity,
            domain: &token.trust_domain,
            root: &token.root,
            authority: addresses,
        };
        let stored = asked.check(&answer, key, now_ms())?;
        store.publish(&stored)?;
        Self::of(store, Reach::Network, &stored)
    }

    /// Credentials for an identity whose Authority runs in this process: those that are there, or
    /// new ones.
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
        if let Some(stored) = store.current()? {
            let same = stored.meta.identity == identity.to_string() && stored.meta.root == root;
            if same && stored.meta.not_after_ms > now {
                return Self::of(store, Reach::Process(Box::new(authority)), &stored);
            }
        }
        let key = store.pending()?;
        let issued = authority.issue_local(name, &certificate_request(&key)?, now).await?;
        let asked =
            Asked { identity: &identity, domain: &domain, root: &root, authority: Vec::new() };
        let stored = asked.check(&IssuedAnswer::from(&issued), key, now)?;
        store.publish(&stored)?;
        Self::of(store, Reach::Process(Box::new(authority)), &stored)
    }

    fn of(
        store: CredentialStore,
        reach: Reach,
        stored: &StoredCredentials,
    ) -> Result<Self, AgentError> {
        let bad = |why: String| AgentError::Stored { name: stored.meta.identity.clone(), why };
        let identity: Identity =
            stored.meta.identity.parse().map_err(|_| bad("they are of no identity".to_owned()))?;
        let domain: TrustDomain = stored
            .meta
            .trust_domain
            .parse()
            .map_err(|_| bad("they are of no trust domain".to_owned()))?;
        let root = stored.roots.iter().find(|der| hex(&sha256(der)) == stored.meta.root);
        let root = root.ok_or_else(|| bad("their root is not the pinned one".to_owned()))?;
        // One that has ended is kept: it may still renew. Anything else must hold at once.
        let at = now_ms().min(stored.meta.not_after_ms) / 1000 - 1;
        judge_issued(&stored.chain, root, &identity, &domain, at).map_err(bad)?;
        let (chain, key) = shown_pair(&identity, stored)?;
        let credentials = Credentials::from_pem(chain.as_bytes(), key.as_bytes());
        let trust = Trust::authority(stored.roots_pem().as_bytes(), domain.clone());
        Ok(Self {
            credentials: Arc::new(credentials.map_err(|e| bad(e.to_string()))?),
            trust: Arc::new(trust.map_err(|e| bad(e.to_string()))?),
            store,
            reach,
            identity,
            domain,
            known: Mutex::new(Known { meta: stored.meta.clone(), failures: 0, last_error: None }),
        })
    }

    /// Whose credentials these are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What this identity shows in handshakes; changes in place.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.clone()
    }

    /// Whom it believes; changes in place.
    #[must_use]
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.clone()
    }

    /// The services that it is meant for, as the Authority last said.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceHint> {
        self.known().meta.services
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        let Known { meta, failures, last_error } = self.known();
        AgentStatus {
            identity: self.identity.clone(),
            not_after_ms: meta.not_after_ms,
            renew_at_ms: meta.renew_at_ms,
            failures,
            last_error,
        }
    }

    /// Gets a new certificate for a new key, and puts it in force.
    ///
    /// # Errors
    /// If it cannot; then nothing has changed, and the next try sends the same key.
    pub async fn renew(&self) -> Result<(), AgentError> {
        let meta = self.known().meta;
        let key = self.store.pending()?;
        let request = certificate_request(&key)?;
        let answer = match &self.reach {
            Reach::Process(authority) => self.renew_here(authority, &request).await?,
            Reach::Network => {
                let endpoint = Endpoint {
                    addresses: &meta.authority,
                    root: &meta.root,
                    domain: &self.domain,
                    credentials: Some(&self.credentials),
                };
                endpoint.post(RENEW, &RenewRequest { csr: wire::text(&request) }).await?
            }
        };
        let asked = Asked {
            identity: &self.identity,
            domain: &self.domain,
            root: &meta.root,
            authority: meta.authority.clone(),
        };
        let stored = asked.check(&answer, key, now_ms())?;
        let (chain, key) = shown_pair(&self.identity, &stored)?;
        self.store.publish(&stored)?;
        let refused = |e: CredentialsError| AgentError::Answer(e.to_string());
        self.credentials.replace(chain.as_bytes(), key.as_bytes()).map_err(refused)?;
        let refused = |e: TrustError| AgentError::Answer(e.to_string());
        self.trust.replace(stored.roots_pem().as_bytes()).map_err(refused)?;
        *self.lock() = Known { meta: stored.meta, failures: 0, last_error: None };
        Ok(())
    }

    /// As an agent elsewhere would; one whose lineage is over begins another, because whoever
    /// holds this state directory holds the Authority.
    async fn renew_here(
        &self,
        authority: &Authority,
        request: &[u8],
    ) -> Result<IssuedAnswer, AgentError> {
        let stored = self.store.current()?;
        let leaf = stored.as_ref().and_then(|stored| stored.chain.first());
        let now = now_ms();
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
        let mut next = self.known().meta.renew_at_ms;
        loop {
            // The wall clock decides, also after a host has slept.
            let wait = (next - now_ms()).clamp(0, 60_000);
            let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
            tokio::select! {
                () = until.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            if now_ms() < next {
                continue;
            }
            let tried = tokio::select! {
                () = until.cancelled() => return,
                tried = self.renew() => tried,
            };
            next = match tried {
                Ok(()) => {
                    let meta = self.known().meta;
                    let end = instant(meta.not_after_ms);
                    tracing::info!("{} is renewed until {end}", self.identity);
                    meta.renew_at_ms.max(now_ms() + pause(meta.not_after_ms))
                }
                Err(error) => now_ms() + self.failed(&error),
            };
        }
    }

    /// Notes a failure; gives the wait before another try, in milliseconds.
    fn failed(&self, error: &AgentError) -> i64 {
        let mut known = self.lock();
        let wait = renewal::retry_after(known.failures, draw());
        known.failures = known.failures.saturating_add(1);
        known.last_error = Some(error.to_string());
        let left = known.meta.not_after_ms - now_ms();
        drop(known);
        let identity = &self.identity;
        let minutes = (wait + 59_999) / 60_000;
        if left <= 0 {
            tracing::error!(
                alarm = "credentials_expired",
                "{identity} has ended and is not renewed: {error}; next try in {minutes} min"
            );
        } else {
            let hours = left / 3_600_000;
            tracing::warn!(
                alarm = "renewal_late",
                "{identity} is not renewed yet ({hours} h left): {error}; next try in {minutes} min"
            );
        }
        wait
    }

    fn known(&self) -> Known {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// What an answer has to be about.
struct Asked<'a> {
    identity: &'a Identity,
    domain: &'a TrustDomain,
    /// SHA-256 of the pinned root, hex.
    root: &'a str,
    authority: Vec<String>,
}

impl Asked<'_> {
    /// Believes an answer, or says why not (`pki.md` section 8): the key is ours, the chain leads
    /// to the pinned root now and one second before its end, the identity is the expected one.
    fn check(
        self,
        answer: &IssuedAnswer,
        key: PrivateKey,
        now: i64,
    ) -> Result<StoredCredentials, AgentError> {
        let refused = |why: String| AgentError::Answer(why);
        let chain = ders(&answer.certificate, "certificate chain")?;
        let roots = ders(&answer.roots, "list of roots")?;
        let root = roots.into_iter().find(|der| hex(&sha256(der)) == self.root);
        let root = root.ok_or_else(|| refused("it lacks the pinned root".to_owned()))?;
        let leaf = chain.first().ok_or_else(|| refused("it holds no certificate".to_owned()))?;
        let leaf = Certificate::read(leaf).map_err(refused)?;
        if leaf.public_key != key.public_key() {
            return Err(refused("its certificate is for another key".to_owned()));
        }
        if answer.trust_domain != self.domain.as_str() {
            let domain = shown(answer.trust_domain.as_bytes());
            return Err(refused(format!("it is of the trust domain `{domain}`")));
        }
        for at in [now / 1000, leaf.not_after - 1] {
            judge_issued(&chain, &root, self.identity, self.domain, at)
                .map_err(|why| refused(clocks(why, answer.now_ms, now)))?;
        }
        if answer.now_ms.abs_diff(now) > SKEW {
            tracing::warn!(alarm = "clock_skew", "{}", clocks(String::new(), answer.now_ms, now));
        }
        let not_after_ms = leaf.not_after.saturating_mul(1000);
        let draw = draw();
        // The Authority's window may only move the renewal earlier.
        let (after, before) = (answer.renew_after_ms, answer.renew_before_ms);
        let spread = before.saturating_sub(after).max(0) / i64::from(u16::MAX) * i64::from(draw);
        let told = after.saturating_add(spread);
        let meta = Meta {
            identity: self.identity.to_string(),
            not_after_ms,
            renew_at_ms: renewal::renew_at(now, not_after_ms, draw).min(told),
            trust_domain: self.domain.to_string(),
            authority: self.authority,
            root: self.root.to_owned(),
            services: answer
                .services
                .iter()
                .take(64)
                .filter(|hint| is_sound(hint))
                .cloned()
                .collect(),
        };
        Ok(StoredCredentials { chain, roots: vec![root], key, meta })
    }
}

/// What a certificate of this identity looks like in a handshake. The Authority shows its root as
/// well: an agent that knows only its fingerprint has to find it there.
fn shown_pair(
    identity: &Identity,
    stored: &StoredCredentials,
) -> Result<(String, impl std::ops::Deref<Target = String> + use<>), AgentError> {
    let mut chain = stored.chain_pem();
    if identity.path() == Some(AUTHORITY_NAME) {
        chain.push_str(&stored.roots_pem());
    }
    Ok((chain, stored.key.to_pem()?))
}

/// A hint that names an identity and at least one place.
fn is_sound(hint: &ServiceHint) -> bool {
    hint.identity.parse::<Identity>().is_ok()
        && hint.name.len() <= 200
        && hint.addresses.len() <= 16
}

fn ders(texts: &[String], what: &str) -> Result<Vec<Vec<u8>>, AgentError> {
    let bad = || AgentError::Answer(format!("its {what} is not well-formed"));
    if texts.is_empty() || texts.len() > CHAIN {
        return Err(bad());
    }
    texts.iter().map(|text| wire::der(text, CERTIFICATE).ok_or_else(bad)).collect()
}

/// The two clocks, if they explain something.
fn clocks(why: String, theirs: i64, ours: i64) -> String {
    if theirs.abs_diff(ours) <= SKEW {
        return why;
    }
    let (theirs, ours) = (instant(theirs), instant(ours));
    let lead = if why.is_empty() { String::new() } else { format!("{why}; ") };
    format!("{lead}the Authority's clock says {theirs}, this host's {ours}")
}

fn instant(ms: i64) -> String {
    jiff::Timestamp::from_second(ms / 1000).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

/// The least time between two renewals, whatever the Authority proposes, in milliseconds.
fn pause(not_after_ms: i64) -> i64 {
    ((not_after_ms - now_ms()) / 4).clamp(1000, 600_000)
}

/// Sixteen random bits; the middle if there are none.
fn draw() -> u16 {
    random::<2>().map_or(u16::MAX / 2, u16::from_be_bytes)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
