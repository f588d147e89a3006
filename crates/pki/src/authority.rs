//! `Authority`: registers, mints tokens, issues and renews.
//!
//! A certificate is recorded as an intent before it is signed and as issued before it leaves
//! (`pki.md` section 13.2), so a crash leaves no certificate that the ledger does not know. Names
//! come from the registration, the public key from the request, and nothing else.

mod founding;
mod granting;
mod tokens;

use crate::directory::{DirectoryError, ServiceHint, StateDir};
use crate::enrollment::Token;
use crate::key::{KeyError, hex, random, sha256};
use crate::ledger::{self, Entry};
use crate::profile::Profile;
use crate::store::{CertificateRow, RegistrationRow, Store, StoreError};
use crate::x509::{self, X509Error};
use segwan_core::identity::{Identity, IdentityError, TrustDomain};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How an Authority is made, and how long its leaves live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityOptions {
    /// The trust domain; fixed when the Authority is made.
    pub trust_domain: TrustDomain,
    /// Life of a leaf. Default 96 h.
    pub leaf_lifetime: Duration,
    /// How long after its end a certificate may still renew. Default 7 d.
    pub renewal_grace: Duration,
}

/// Life of a leaf, and the grace for its renewal (`pki.md` section 2).
pub const LEAF_LIFETIME: Duration = Duration::from_secs(96 * 3600);
/// How long an expired certificate may still renew.
pub const RENEWAL_GRACE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Most tokens that may be open.
const OPEN_TOKENS: i64 = 1000;

/// Why the Authority could not do what was asked. `Display` is the operator's sentence; what the
/// peer hears is [`refusal`](Self::refusal).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A certificate or request is not acceptable.
    #[error(transparent)]
    X509(#[from] X509Error),
    /// A key cannot be made or read.
    #[error("the Authority's key: {0}")]
    Key(#[from] KeyError),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] IdentityError),
    /// Part of the Authority's state is missing.
    #[error("the Authority's state is not whole: {0}")]
    Broken(String),
    /// The trust domain was fixed when the Authority was made.
    #[error("the Authority's trust domain is `{is}`, not `{asked}`; it was fixed at first start")]
    TrustDomain {
        /// What it is.
        is: String,
        /// What was asked for.
        asked: String,
    },
    /// A name is registered for another use.
    #[error("`{name}` is registered as a {is}, not as a {asked}")]
    OtherProfile {
        /// The name.
        name: String,
        /// What it is.
        is: String,
        /// What was asked for.
        asked: String,
    },
    /// Nobody of that name is registered.
    #[error("no registration is called `{0}`")]
    NotRegistered(String),
    /// Too many tokens are open.
    #[error("{0} tokens are open, which is the most there may be")]
    TooManyTokens(i64),
    /// A token is not good.
    #[error("token refused: {0}")]
    Token(String),
    /// A token was used before, by another key.
    #[error(
        "a token of `{name}` was used a second time, with another key: first from {first}, now from {second}"
    )]
    TokenReused {
        /// The registration.
        name: String,
        /// Where it was used first.
        first: String,
        /// Where it came from now.
        second: String,
    },
    /// A renewal is not granted.
    #[error("renewal refused: {0}")]
    Renewal(String),
    /// The issuer's own life is nearly over.
    #[error("the issuing certificate ends too soon to issue under it")]
    IssuerExpiring,
}

impl AuthorityError {
    /// What the peer hears: an HTTP status and one word, the same for every bad token.
    #[must_use]
    pub fn refusal(&self) -> (u16, &'static str) {
        match self {
            Self::Token(_) | Self::TokenReused { .. } => (403, "token_refused"),
            Self::Renewal(_) | Self::NotRegistered(_) => (403, "renewal_refused"),
            Self::X509(X509Error::Request(_)) => (422, "request_refused"),
            Self::Store(_) | Self::Directory(_) | Self::IssuerExpiring => (503, "unavailable"),
            _ => (500, "internal"),
        }
    }
}

/// The Authority's permission for one identity to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name: `app` is `spiffe://DOMAIN/app`.
    pub name: String,
    /// What its certificates are for.
    pub profile: Profile,
    /// `host:port` at which a service is reached.
    pub addresses: Vec<String>,
    /// Services that a client is meant for.
    pub services: Vec<String>,
}

/// A certificate, and what its holder needs with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Whose it is.
    pub identity: Identity,
    /// Leaf and issuing certificate, DER.
    pub chain: Vec<Vec<u8>>,
    /// The roots, DER.
    pub roots: Vec<Vec<u8>>,
    /// The trust domain.
    pub trust_domain: String,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// The window in which to renew, Unix milliseconds.
    pub renew_after_ms: i64,
    /// Its end.
    pub renew_before_ms: i64,
    /// The services that a client is meant for.
    pub services: Vec<ServiceHint>,
    /// The Authority's clock, Unix milliseconds.
    pub now_ms: i64,
}

/// An Authority that is open. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    store: Store,
    trust_domain: TrustDomain,
    root: Vec<u8>,
    issuing: x509::Authority,
    leaf_lifetime: Duration,
    renewal_grace: Duration,
    tokens: PathBuf,
    /// Held from intent to signature: whoever asks twice at once gets what the first one got.
    granting: tokio::sync::Mutex<()>,
}

impl Authority {
    /// Opens the Authority of a state directory; makes it, unattended, if there is none.
    ///
    /// # Errors
    /// If part of it is missing, damaged, or of another trust domain; nothing is changed then.
    pub async fn open(
        directory: &StateDir,
        options: &AuthorityOptions,
        now_ms: i64,
    ) -> Result<Self, AuthorityError> {
        let inner = founding::open(directory, options, now_ms).await?;
        let authority = Self(Arc::new(inner));
        authority.forget_ended_tokens(now_ms);
        Ok(authority)
    }

    /// Registers a name, or renews what is known of it. Its profile stays what it was.
    ///
    /// # Errors
    /// If the name is none, or is registered for another use.
    pub async fn register(
        &self,
        registration: &Registration,
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        let name = &registration.name;
        self.0.trust_domain.identity(name)?;
        let reserved =
            name.split('/').next().is_some_and(|first| matches!(first, "segwan" | "foreign"));
        if reserved && registration.profile != Profile::Authority {
            return Err(IdentityError::Name(name.clone()).into());
        }
        let row = RegistrationRow {
            name: name.clone(),
            profile: registration.profile.as_str().to_owned(),
            addresses: registration.addresses.join("\n"),
            services: registration.services.join("\n"),
            enabled: true,
        };
        match self.0.store.registration(name).await? {
            Some(known) if known.profile != row.profile => {
                return Err(AuthorityError::OtherProfile {
                    name: name.clone(),
                    is: known.profile,
                    asked: row.profile,
                });
            }
            Some(known) if known == row => return Ok(()),
            _ => {}
        }
        let mut writing = self.0.store.write().await?;
        writing.register(&row, now_ms).await?;
        writing
            .record(&Entry { detail: &row.profile, ..Entry::new("registration", now_ms, name) })
            .await?;
        writing.commit().await?;
        Ok(())
    }

    /// A one-time token for a registered name. Only its hash is kept.
    ///
    /// # Errors
    /// If nobody of that name is registered, or too many tokens are open.
    pub async fn mint_token(
        &self,
        name: &str,
        addresses: Vec<String>,
        ttl: Duration,
        now_ms: i64,
    ) -> Result<Token, AuthorityError> {
        if self.0.store.registration(name).await?.is_none() {
            return Err(AuthorityError::NotRegistered(name.to_owned()));
        }
        let open = self.0.store.open_tokens(now_ms).await?;
        if open >= OPEN_TOKENS {
            return Err(AuthorityError::TooManyTokens(open));
        }
        let expires_ms = now_ms + i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 2);
        let domain = self.0.trust_domain.clone();
        let token = Token::new(
            addresses,
            domain,
            name.to_owned(),
            &self.0.root,
            expires_ms / 1000,
            random()?,
        );
        let mut writing = self.0.store.write().await?;
        writing.add_token(&token.secret_sha256(), name, expires_ms, now_ms).await?;
        writing.record(&Entry::new("token", now_ms, name)).await?;
        writing.commit().await?;
        Ok(token)
    }

    /// Every registration, by name.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn registrations(&self) -> Result<Vec<RegistrationRow>, AuthorityError> {
        Ok(self.0.store.registrations().await?)
    }

    /// Every certificate that has not ended, newest first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn list(&self, now_ms: i64) -> Result<Vec<CertificateRow>, AuthorityError> {
        Ok(self.0.store.certificates(now_ms).await?)
    }

    /// Whether a name ever got a certificate.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn has_enrolled(&self, name: &str) -> Result<bool, AuthorityError> {
        Ok(self.0.store.has_certificate(name).await?)
    }

    /// Tokens that can still be used.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn open_tokens(&self, now_ms: i64) -> Result<i64, AuthorityError> {
        Ok(self.0.store.open_tokens(now_ms).await?)
    }

    /// Looks the ledger over: the chain, and a line for every issued certificate.
    ///
    /// # Errors
    /// With the number of the first broken line, or the certificate that it does not know.
    pub async fn verify_ledger(&self) -> Result<usize, AuthorityError> {
        let lines = self.0.store.ledger().await?;
        if let Some(line) = ledger::broken(&lines) {
            return Err(AuthorityError::Broken(format!(
                "line {line} of the ledger does not fit its chain"
            )));
        }
        for (issuer, serial) in self.0.store.issued().await? {
            let known = lines.iter().any(|line| {
                line.entry.contains("\"kind\":\"issued\"")
                    && line.entry.contains(&issuer)
                    && line.entry.contains(&serial)
            });
            if !known {
                return Err(AuthorityError::Broken(format!(
                    "the ledger does not know the certificate {serial}"
                )));
            }
        }
        Ok(lines.len())
    }

    /// Closes the store, so that all of it stands in one file.
    pub async fn close(&self) {
        self.0.store.clone().close().await;
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.0.trust_domain
    }

    /// The root certificate in DER.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        &self.0.root
    }

    /// SHA-256 of the root certificate, lower-case hex.
    #[must_use]
    pub fn root_fingerprint(&self) -> String {
        hex(&sha256(&self.0.root))
    }

    /// How long an expired certificate may still renew.
    #[must_use]
    pub fn renewal_grace(&self) -> Duration {
        self.0.renewal_grace
    }
}

#[cfg(test)]
mod tests;
