//! Adopting: a certificate that a lost part of the record had, taken into the store again.
//!
//! After a restore, what was issued since the backup is unknown: it works until it ends, and does
//! not renew until somebody who is responsible says that it is no forgery.

use super::super::keys::IssuingKey;
use super::super::{Authority, AuthorityError};
use super::refused;
use crate::certificate::{Certificate, Name};
use crate::key::{hex, random, sha256};
use crate::ledger::Entry;
use crate::lint::der;
use crate::profile::Profile;
use crate::store::Intent;
use crate::x509;
use segwan_core::identity::Identity;
use std::sync::Arc;

/// What became of a certificate that is adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// It is in the store, and may renew.
    Now {
        /// The registration that it is of.
        name: String,
        /// Its serial number in hex.
        serial: String,
        /// When it ends, Unix milliseconds.
        not_after_ms: i64,
    },
    /// Only its serial is known: it is taken when its holder comes to renew it.
    When {
        /// Its serial number in hex.
        serial: String,
    },
}

impl Authority {
    /// Adopts a certificate in DER: it has to carry our signature, and be of a registration that
    /// may enroll.
    ///
    /// # Errors
    /// If it is not ours, is known already, or nobody of its name is registered.
    pub async fn adopt(&self, leaf: &[u8], now_ms: i64) -> Result<Adopted, AuthorityError> {
        let _granting = self.0.granting.lock().await;
        self.adopt_now(leaf, now_ms).await
    }

    /// Adopts a certificate that gateways saw and of which only the serial number is known: its
    /// holder brings it along when it renews.
    ///
    /// # Errors
    /// If nobody saw one with this serial number.
    pub async fn adopt_serial(&self, serial: &str, now_ms: i64) -> Result<Adopted, AuthorityError> {
        let serial = serial.to_ascii_lowercase().replace(':', "");
        let seen = self.0.store.unrecorded().await?;
        let mut named = seen.iter().filter(|row| row.serial == serial);
        let (Some(row), None) = (named.next(), named.next()) else {
            return Err(refused(format!(
                "no gateway saw an unrecorded certificate with the serial number `{serial}`"
            )));
        };
        let mut writing = self.0.store.write().await?;
        writing.set_meta(&awaited(&row.issuer, &serial), &now_ms.to_string()).await?;
        let detail = "awaited";
        let entry = Entry {
            issuer: &row.issuer,
            serial: &serial,
            detail,
            ..Entry::new("adopting", now_ms, "")
        };
        writing.record(&entry).await?;
        writing.commit().await?;
        Ok(Adopted::When { serial })
    }

    /// Takes a certificate that is presented for renewal, if its serial number was adopted. The
    /// caller holds the lock of granting.
    pub(in super::super) async fn adopt_if_awaited(
        &self,
        leaf: &[u8],
        (issuer, serial): (&str, &str),
        now_ms: i64,
    ) -> Result<bool, AuthorityError> {
        let said = self.0.store.meta(&awaited(issuer, serial)).await?;
        if said.is_none_or(|said| said == DONE) {
            return Ok(false);
        }
        self.adopt_now(leaf, now_ms).await?;
        let mut writing = self.0.store.write().await?;
        writing.set_meta(&awaited(issuer, serial), DONE).await?;
        writing.commit().await?;
        Ok(true)
    }

    async fn adopt_now(&self, leaf: &[u8], now_ms: i64) -> Result<Adopted, AuthorityError> {
        let read = Certificate::read(leaf).map_err(refused)?;
        let (issuer, serial) =
            (hex(read.authority_key.as_deref().unwrap_or_default()), hex(&read.serial));
        if self.0.store.recall(&issuer, &serial).await?.is_some() {
            return Err(refused(format!("the certificate {serial} is on record already")));
        }
        let keys = self.keys();
        let ours = keys.get(&issuer).ok_or_else(|| {
            refused(format!(
                "the certificate {serial} carries the signature of no issuing key here"
            ))
        })?;
        let name = self.named(&read, leaf, ours)?;
        let registration = self.allowed(&name).await?;
        let profile = Profile::named(&registration.profile);
        let purposes = read.purposes.map(|purposes| (purposes.server, purposes.client));
        if profile.is_none_or(|p| purposes != Some((p.listens(), p.dials()))) {
            return Err(refused(format!(
                "the certificate {serial} is not of the profile that `{name}` is registered with"
            )));
        }
        let spki = sha256(&read.public_key);
        let tbs = sha256(&signed_part(leaf).map_err(refused)?);
        let mut writing = self.0.store.write().await?;
        let lineages = writing.open_lineages(&name).await?;
        let (lineage, predecessor) = match lineages.as_slice() {
            [one] => (one.clone(), self.0.store.head(one).await?.map(|head| head.serial)),
            _ => {
                let lineage = hex(&random::<16>()?);
                writing.open_lineage(&lineage, &name, now_ms).await?;
                (lineage, None)
            }
        };
        let not_after_ms = read.not_after * 1000;
        let intent = Intent {
            issuer: &issuer,
            serial: &serial,
            name: &name,
            lineage: &lineage,
            predecessor: predecessor.as_deref(),
            spki: &spki,
            tbs: &tbs,
            made_ms: (read.not_before + 300) * 1000,
            not_after_ms,
        };
        writing.adopt(&intent, leaf).await?;
        let detail = hex(&sha256(leaf));
        let entry = Entry {
            issuer: &issuer,
            serial: &serial,
            detail: &detail,
            ..Entry::new("adopted", now_ms, &name)
        };
        writing.record(&entry).await?;
        writing.commit().await?;
        Ok(Adopted::Now { name, serial, not_after_ms })
    }

    /// The name in a certificate that our key really signed.
    fn named(
        &self,
        read: &Certificate,
        leaf: &[u8],
        issuer: &Arc<IssuingKey>,
    ) -> Result<String, AuthorityError> {
        let listens = read.purposes.is_some_and(|purposes| purposes.server);
        // One second at which both are valid: adopting says nothing of the present.
        let at = read.not_before.max(issuer.not_before) + 1;
        let chain = [leaf.to_vec(), issuer.authority.der.clone()];
        x509::verify_chain(&chain, &issuer.root, listens, at)
            .map_err(|why| refused(format!("the certificate does not lead to our root: {why}")))?;
        let identity = match read.names.iter().find(|name| matches!(name, Name::Uri(_))) {
            Some(Name::Uri(uri)) => uri.parse::<Identity>()?,
            _ => return Err(refused("the certificate has no identity".to_owned())),
        };
        let ours = identity.trust_domain() == Some(self.0.trust_domain.as_str());
        match identity.path().filter(|_| ours) {
            Some(name) => Ok(name.to_owned()),
            None => Err(refused("the certificate is of another trust domain".to_owned())),
        }
    }
}

/// What a signature covers: the first part of a certificate.
fn signed_part(leaf: &[u8]) -> Result<Vec<u8>, String> {
    let parts = der::only(leaf)?.children()?;
    parts.first().map(|part| part.raw.to_vec()).ok_or_else(|| "it is empty".to_owned())
}

const DONE: &str = "done";

fn awaited(issuer: &str, serial: &str) -> String {
    format!("adopt.{issuer}.{serial}")
}
