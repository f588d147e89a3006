//! `Authority`: registers, mints tokens, issues and renews.
//!
//! A certificate is recorded as an intent before it is signed and as issued before it leaves
//! (`pki.md` section 13.2), so a crash leaves no certificate that the ledger does not know. Names
//! come from the registration, the public key from the request, and nothing else.

mod backup;
mod changing;
mod custody;
mod error;
mod events;
mod founding;
mod granting;
mod issuing;
mod keys;
mod looking;
mod maintenance;
mod registering;
mod revoking;
mod roots;
mod rotating;
mod rotation;
mod serving;
mod tokens;

pub use backup::{Backup, Manifest, Proved, Restored, restore, verify};
pub use custody::{
    Adopted, Custody, CustodyState, Distrusted, Imported, IssuingRequest, IssuingView,
    RootKeyPlace, RootList,
};
pub use error::AuthorityError;
pub use events::{Agent, Confirmation, Silent, Subscription};
pub use maintenance::Alarm;
pub use registering::{OnReenroll, Registration};
pub use revoking::{Revocation, Selector};
pub use roots::Step;
pub use rotating::{EXPULSION_WINDOW, ROTATION_WINDOW, Stepped};
pub use rotation::Rotation;
pub use serving::{Admission, Known, ListState, Spread};

use crate::api::TrustAnswer;
use crate::custody::Passphrase;
use crate::directory::{ServiceHint, StateDir};
use crate::enrollment::Token;
use crate::key::{hex, random, sha256};
use crate::ledger::Entry;
use crate::store::{IssuingState, Store, StoreError};
use events::Hearers;
use granting::Speaker;
use keys::Keys;
use segwan_core::identity::{Identity, TrustDomain};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

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

/// A certificate, and what its holder needs with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Whose it is.
    pub identity: Identity,
    /// Leaf and issuing certificate, DER.
    pub chain: Vec<Vec<u8>>,
    /// Whom to believe from now on.
    pub trust: TrustAnswer,
    /// The chain of renewals that it belongs to.
    pub lineage: String,
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

/// Under what the Authority's own port knows certificates. What was believed before leads to a
/// renewal, because that one asks the store, byte for byte; it leads nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anchors {
    /// Roots that are believed, DER; the Authority's own first.
    pub believed: Vec<Vec<u8>>,
    /// Roots that were believed before, DER.
    pub former: Vec<Vec<u8>>,
    /// SHA-256 of issuing keys that are believed no more.
    pub distrusted: BTreeSet<[u8; 32]>,
}

/// An Authority that is open. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    store: Store,
    trust_domain: TrustDomain,
    /// The root that the directory had at start; others came by rotation.
    root: Vec<u8>,
    /// The store's epoch: it rises with a restore.
    epoch: i64,
    keys: RwLock<Arc<Keys>>,
    /// What seals issuing keys on the disk.
    key_passphrase: Option<Passphrase>,
    leaf_lifetime: Duration,
    renewal_grace: Duration,
    /// The directory `authority/`.
    place: PathBuf,
    tokens: PathBuf,
    /// `host:port` of the Authority's port, for bundles.
    addresses: Mutex<Vec<String>>,
    /// The Authority's own certificate and key, which sign bundles.
    speaker: tokio::sync::Mutex<Option<Speaker>>,
    /// The number of the last event; whoever waits for events waits here.
    head: watch::Sender<i64>,
    hearers: Mutex<Hearers>,
    /// Held from intent to signature: whoever asks twice at once gets what the first one got.
    granting: tokio::sync::Mutex<()>,
    signing: Mutex<Signing>,
}

/// How much was signed since the start, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signing {
    /// Certificates, whether they passed the check before they leave or not.
    pub count: u64,
    /// From the intent to the checked certificate, in all; the store's part is not in it.
    pub took: Duration,
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
        Self::open_with(directory, options, &Custody::default(), now_ms).await
    }

    /// As [`open`](Self::open), with wishes about the keys: a passphrase that seals the issuing
    /// keys, and for a first start the name constraints and a place for the root's key.
    ///
    /// # Errors
    /// As [`open`](Self::open); or if the passphrase does not open the keys.
    pub async fn open_with(
        directory: &StateDir,
        options: &AuthorityOptions,
        custody: &Custody,
        now_ms: i64,
    ) -> Result<Self, AuthorityError> {
        let inner = founding::open(directory, options, custody, now_ms).await?;
        let authority = Self(Arc::new(inner));
        authority.forget_ended_tokens(now_ms);
        match authority.begin(now_ms).await {
            // On a full disk it opens to revoke; what a crash left is mended when there is room.
            Ok(()) | Err(AuthorityError::Store(StoreError::Full | StoreError::ReadOnly)) => {
                Ok(authority)
            }
            Err(error) => {
                authority.close().await;
                Err(error)
            }
        }
    }

    /// What every start does: room on the disk, intents of a crash, a bundle that says how it is.
    async fn begin(&self, now_ms: i64) -> Result<(), AuthorityError> {
        self.0.store.look_at_the_disk();
        // Maintenance comes back to it: on a full disk revoking is what matters.
        let _ = self.keep_root_file();
        self.noting_full(founding::mend(self, now_ms).await)?;
        self.noting_full(self.renew_crls(now_ms).await)?;
        self.noting_full(self.renew_bundle(now_ms).await)
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
        match self.0.store.registration(name).await? {
            None => return Err(AuthorityError::NotRegistered(name.to_owned())),
            Some(row) if !row.enabled => {
                let why = "it is disabled; `segwan ca enable` lets it enroll again".to_owned();
                return Err(AuthorityError::Registration { name: name.to_owned(), why });
            }
            Some(_) => {}
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
            &self.root(),
            expires_ms / 1000,
            random()?,
        )
        .also_under(self.keys().roots.get(1).map(Vec::as_slice));
        let mut writing = self.0.store.write().await?;
        writing.add_token(&token.secret_sha256(), name, expires_ms, now_ms).await?;
        writing.record(&Entry::new("token", now_ms, name)).await?;
        writing.commit().await?;
        Ok(token)
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
    pub fn root(&self) -> Vec<u8> {
        self.keys().roots.first().unwrap_or(&self.0.root).clone()
    }

    /// Under what the Authority's own port knows certificates.
    #[must_use]
    pub fn anchors(&self) -> Anchors {
        let keys = self.keys();
        let fallen = keys.in_state(IssuingState::Distrusted);
        Anchors {
            believed: keys.roots.clone(),
            former: keys.former.clone(),
            distrusted: fallen.map(|key| key.spki_sha256()).collect(),
        }
    }

    /// SHA-256 of the root certificate, lower-case hex.
    #[must_use]
    pub fn root_fingerprint(&self) -> String {
        hex(&sha256(&self.root()))
    }

    /// How long an expired certificate may still renew.
    #[must_use]
    pub fn renewal_grace(&self) -> Duration {
        self.0.renewal_grace
    }

    /// The directory of the Authority's own files.
    #[must_use]
    pub fn place(&self) -> &std::path::Path {
        &self.0.place
    }

    /// How much was signed since the start, and how long it took.
    #[must_use]
    pub fn signing(&self) -> Signing {
        *self.0.signing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what signs one certificate, and counts it.
    fn timing<T>(&self, sign: impl FnOnce() -> T) -> T {
        let began = tokio::time::Instant::now();
        let signed = sign();
        let took = began.elapsed();
        let mut signing = self.0.signing.lock().unwrap_or_else(PoisonError::into_inner);
        signing.count = signing.count.saturating_add(1);
        signing.took = signing.took.saturating_add(took);
        signed
    }

    /// Whether nothing is issued because the disk is full.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.store.is_read_only()
    }

    fn keys(&self) -> Arc<Keys> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A full disk ends issuing; what met it is given back as it is.
    fn noting_full<T>(&self, result: Result<T, AuthorityError>) -> Result<T, AuthorityError> {
        if let Err(AuthorityError::Store(StoreError::Full)) = &result {
            self.0.store.give_up_reserve();
        }
        result
    }
}

#[cfg(test)]
pub(crate) mod tests;
