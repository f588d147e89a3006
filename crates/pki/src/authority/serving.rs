//! What the Authority's port and its operator ask beside the great requests: who may call, what a
//! revocation would meet, and how far one has got.

use super::maintenance::STALE_AFTER;
use super::{Authority, AuthorityError, Selector};
use crate::certificate::Certificate;
use crate::key::{from_hex, hex, sha256};
use crate::store::{AgentRow, CertificateRow, RevokedRow, Which};

/// What the store says of a certificate that was shown to the Authority's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is on the record as issued, byte for byte, and in force.
    Granted(Known),
    /// It was revoked, or its key is denied; the sentence says which.
    Revoked(String),
    /// It carries our signature and is not on the record.
    Unrecorded {
        /// Its serial number.
        serial: String,
    },
}

/// A certificate that the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Name of the registration.
    pub name: String,
    /// Key id of its issuer.
    pub issuer: String,
    /// Its serial number.
    pub serial: String,
    /// The chain of renewals that it belongs to.
    pub lineage: String,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// Whether it may answer connections, so that it is believed about the peers it saw.
    pub listens: bool,
}

/// A revocation list, as far as its age goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListState {
    /// Key id of its issuer.
    pub issuer: String,
    /// Its number.
    pub number: i64,
    /// When it was made, Unix milliseconds.
    pub at_ms: i64,
}

/// How far a revocation has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// The event that told of it.
    pub seq: i64,
    /// What was revoked.
    pub certificates: Vec<RevokedRow>,
    /// Agents that have it in force.
    pub in_force: Vec<AgentRow>,
    /// Agents that were heard of within a week and have not.
    pub missing: Vec<AgentRow>,
}

impl Authority {
    /// What the store says of a certificate that was shown; a revocation list is never asked, so
    /// its age decides nothing (PKI-44).
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn admit(&self, certificate: &[u8]) -> Result<Admission, AuthorityError> {
        let read = Certificate::read(certificate);
        let Ok(read) = read else {
            return Ok(Admission::Revoked("the certificate cannot be read".to_owned()));
        };
        let issuer = hex(read.authority_key.as_deref().unwrap_or_default());
        let serial = read.serial_hex();
        let recalled = self.0.store.recall(&issuer, &serial).await?;
        let recorded = |der: Option<&[u8]>| der == Some(certificate);
        let Some(own) =
            recalled.filter(|own| own.state == "issued" && recorded(own.der.as_deref()))
        else {
            return Ok(Admission::Unrecorded { serial });
        };
        let name = &own.name;
        if let Some(reason) = &own.revoked {
            let why = format!("the certificate {serial} of `{name}` was revoked ({reason})");
            return Ok(Admission::Revoked(why));
        }
        if self.0.store.key_is_denied(&sha256(&read.public_key)).await? {
            let why = format!("the key of the certificate {serial} of `{name}` is denied");
            return Ok(Admission::Revoked(why));
        }
        Ok(Admission::Granted(Known {
            name: own.name,
            issuer,
            serial,
            lineage: own.lineage,
            not_after_ms: own.not_after_ms,
            listens: read.purposes.is_some_and(|purposes| purposes.server),
        }))
    }

    /// The revocation list of each issuer.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn lists(&self) -> Result<Vec<ListState>, AuthorityError> {
        let all = self.0.store.crls().await?;
        let state = |list: crate::store::StoredCrl| ListState {
            issuer: list.issuer,
            number: list.number,
            at_ms: list.at_ms,
        };
        Ok(all.into_iter().map(state).collect())
    }

    /// Version of the bundle in force.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn bundle_version(&self) -> Result<i64, AuthorityError> {
        Ok(self.0.store.bundle().await?.map_or(0, |(version, _)| version))
    }

    /// How many certificates were revoked so far, by reason.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn count_revoked(&self) -> Result<Vec<(String, i64)>, AuthorityError> {
        Ok(self.0.store.count_revoked().await?)
    }

    /// How many certificates a revocation of this kind would meet now.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn would_revoke(
        &self,
        selector: &Selector,
        now_ms: i64,
    ) -> Result<usize, AuthorityError> {
        // It is never committed.
        let mut looking = self.0.store.write_at_once().await?;
        let key;
        let which = match selector {
            Selector::Name(name) => Which::Name(name),
            Selector::Serial(serial) => Which::Serial(serial),
            Selector::Lineage(id) => Which::Lineage(id),
            Selector::Before(at_ms) => Which::Before(*at_ms),
            Selector::Key(digits) => {
                key = from_hex(digits).unwrap_or_default();
                Which::Key(&key)
            }
            Selector::Token(_) => return Ok(0),
        };
        Ok(looking.victims(which, now_ms).await?.len())
    }

    /// How far the revocation has got that this event told of; `None` asks for the last one.
    ///
    /// # Errors
    /// If there is no such revocation, or the store is not available.
    pub async fn spread(&self, seq: Option<i64>, now_ms: i64) -> Result<Spread, AuthorityError> {
        let none = |what: String| AuthorityError::Selector(what);
        let seq = match seq {
            Some(seq) => seq,
            None => {
                let last = self.0.store.recent_revocations(1).await?;
                let last = last.first().copied();
                last.ok_or_else(|| none("nothing was revoked in the last week".to_owned()))?
            }
        };
        let certificates = self.0.store.revoked_by_event(seq).await?;
        // A key alone may have been denied; its event is kept for a week.
        let told = self.0.store.event(seq).await?.is_some_and(|event| event.kind == "revoked");
        if certificates.is_empty() && !told {
            return Err(none(format!("no revocation has the number {seq}")));
        }
        let (in_force, missing) =
            self.expected(now_ms).await?.into_iter().partition(|agent| agent.acked >= seq);
        Ok(Spread { seq, certificates, in_force, missing })
    }

    /// Agents that a revocation is expected to reach: heard of within a week, and still allowed to
    /// be there.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn expected(&self, now_ms: i64) -> Result<Vec<AgentRow>, AuthorityError> {
        let mut known = self.0.store.agents(now_ms - STALE_AFTER).await?;
        let registered = self.0.store.registrations().await?;
        known.retain(|agent| registered.iter().any(|row| row.enabled && row.name == agent.name));
        Ok(known)
    }

    /// The certificates of a name, or the one of a serial number, also those that have ended.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn history(&self, name: &str) -> Result<Vec<CertificateRow>, AuthorityError> {
        let filter =
            crate::store::Filter { name: Some(name.to_owned()), ..crate::store::Filter::default() };
        Ok(self.0.store.certificates(&filter, 0).await?)
    }

    /// The name of the registration that a serial number belongs to.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn name_of(&self, serial: &str) -> Result<Option<String>, AuthorityError> {
        Ok(self.0.store.name_of(serial).await?)
    }
}
