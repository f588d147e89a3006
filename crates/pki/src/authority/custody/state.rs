//! What the operator sees of the keys: which there are, how they lie on the disk, the last backup.

use super::super::{Authority, AuthorityError};
use crate::key::{hex, sha256};

/// An issuing key as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuingView {
    /// Its key id, lower-case hex.
    pub id: String,
    /// `spare`, `active`, `retiring` or `distrusted`.
    pub state: &'static str,
    /// When its certificate was made, Unix milliseconds.
    pub made_ms: i64,
    /// When that ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// SHA-256 of the root that it is under, lower-case hex.
    pub root: String,
    /// Certificates in force under it.
    pub certificates: i64,
    /// The certificate, DER.
    pub der: Vec<u8>,
}

/// How the keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodyState {
    /// Whether the root's key lies on this host.
    pub root_key_online: bool,
    /// Whether the issuing keys are encrypted on the disk; else file mode alone protects them.
    pub issuing_keys_sealed: bool,
    /// Whether a request for an issuing certificate waits for its answer.
    pub request_is_open: bool,
    /// When the last backup was made, Unix milliseconds.
    pub backup_ms: Option<i64>,
    /// When this Authority was made, Unix milliseconds, if that is on record.
    pub founded_ms: Option<i64>,
}

impl Authority {
    /// Key id of the issuing key that signs, lower-case hex; `None` if none does.
    #[must_use]
    pub fn signing_key(&self) -> Option<String> {
        self.keys().active().ok().map(|key| key.id.clone())
    }

    /// Every issuing key, the newest first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn issuing(&self, now_ms: i64) -> Result<Vec<IssuingView>, AuthorityError> {
        let mut all = Vec::new();
        for key in &self.keys().issuing {
            all.push(IssuingView {
                id: key.id.clone(),
                state: key.state.as_str(),
                made_ms: key.made_ms,
                not_after_ms: key.not_after * 1000,
                root: hex(&sha256(&key.root)),
                certificates: self.0.store.live_of(&key.id, now_ms).await?,
                der: key.authority.der.clone(),
            });
        }
        Ok(all)
    }

    /// How the keys are kept.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn custody(&self) -> Result<CustodyState, AuthorityError> {
        let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok(CustodyState {
            root_key_online: self.0.place.join("root/root.key.pem").exists(),
            issuing_keys_sealed: self.0.key_passphrase.is_some(),
            request_is_open: self.pending_place().exists(),
            backup_ms: time(self.0.store.meta("backup_ms").await?),
            founded_ms: time(self.0.store.meta("founded_ms").await?),
        })
    }
}
