//! `Keys`: the issuing certificates of an Authority, which of them signs, and under which root.

use super::AuthorityError;
use super::roots::Believed;
use crate::certificate::Certificate;
use crate::custody::{self, Passphrase};
use crate::directory::{DirectoryError, pem_of, sync, write_private};
use crate::key::{hex, sha256};
use crate::store::{IssuingRow, IssuingState};
use crate::x509::Authority;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;

/// All issuing certificates that still matter, and the roots.
pub(super) struct Keys {
    /// The roots that are believed, DER; the Authority's own first.
    pub(super) roots: Vec<Vec<u8>>,
    /// Roots that were believed before.
    pub(super) former: Vec<Vec<u8>>,
    /// The new root by the old one.
    pub(super) cross: Vec<Vec<u8>>,
    /// SHA-256 of keys of roots that are believed nowhere, lower-case hex.
    pub(super) distrusted: Vec<String>,
    pub(super) issuing: Vec<Arc<IssuingKey>>,
}

/// One issuing certificate with its key.
pub(super) struct IssuingKey {
    pub(super) id: String,
    pub(super) state: IssuingState,
    pub(super) authority: Authority,
    pub(super) not_before: i64,
    /// Last second, Unix seconds.
    pub(super) not_after: i64,
    pub(super) made_ms: i64,
    /// The root that it leads to, DER.
    pub(super) root: Vec<u8>,
}

impl Keys {
    /// The one that signs certificates.
    pub(super) fn active(&self) -> Result<&Arc<IssuingKey>, AuthorityError> {
        self.in_state(IssuingState::Active)
            .next()
            .ok_or_else(|| AuthorityError::Broken("no issuing certificate is active".to_owned()))
    }

    pub(super) fn in_state(&self, state: IssuingState) -> impl Iterator<Item = &Arc<IssuingKey>> {
        self.issuing.iter().filter(move |key| key.state == state)
    }

    /// The issuing certificate with this key id.
    pub(super) fn get(&self, id: &str) -> Option<&Arc<IssuingKey>> {
        self.issuing.iter().find(|key| key.id == id)
    }

    /// Reads what the store names from `issuing/`.
    pub(super) fn read(
        place: &Path,
        believed: Believed,
        rows: &[IssuingRow],
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, AuthorityError> {
        let Believed { roots, former, cross, distrusted } = believed;
        let known: Vec<_> = roots.iter().chain(&former).cloned().collect();
        let read = |row| IssuingKey::read(place, row, &known, passphrase).map(Arc::new);
        let issuing = rows.iter().map(read);
        let issuing = issuing.collect::<Result<_, _>>()?;
        Ok(Self { issuing, roots, former, cross, distrusted })
    }
}

impl IssuingKey {
    fn read(
        place: &Path,
        row: &IssuingRow,
        roots: &[Vec<u8>],
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, AuthorityError> {
        let broken = |what: String| AuthorityError::Broken(what);
        if row.id.is_empty() || !row.id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(broken("the store names an issuing key that is none".to_owned()));
        }
        let folder = place.join("issuing").join(&row.id);
        let path = folder.join("key.pem");
        let key = custody::read_key(&path, passphrase)?;
        let der = certificate(&folder.join("cert.pem"))?;
        let read = Self::of(Authority { der, key }, row.state, roots)
            .map_err(|why| broken(format!("{}: {why}", folder.display())))?;
        Ok(Self { made_ms: row.made_ms, ..read })
    }

    /// An issuing certificate and its key, if they belong together.
    pub(super) fn of(
        authority: Authority,
        state: IssuingState,
        roots: &[Vec<u8>],
    ) -> Result<Self, String> {
        let read = Certificate::read(&authority.der)?;
        if read.public_key != authority.key.public_key() {
            return Err("the key is not the one of its certificate".to_owned());
        }
        let under = |root: &&Vec<u8>| {
            Certificate::read(root).is_ok_and(|root| root.subject_key == read.authority_key)
        };
        let root = roots.iter().find(under).cloned();
        Ok(Self {
            id: authority.key_id(),
            state,
            not_before: read.not_before,
            not_after: read.not_after,
            // Certificates begin five minutes before they are made.
            made_ms: (read.not_before + 300) * 1000,
            root: root.ok_or_else(|| "its root is not one of ours".to_owned())?,
            authority,
        })
    }

    /// As it is listed in the store.
    pub(super) fn row(&self) -> IssuingRow {
        IssuingRow {
            id: self.id.clone(),
            state: self.state,
            spki: self.spki_sha256().to_vec(),
            made_ms: self.made_ms,
            not_after_ms: self.not_after * 1000,
        }
    }

    /// Writes key and certificate below `issuing/`, whole or not at all.
    pub(super) fn write(
        &self,
        place: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), AuthorityError> {
        let parent = place.join("issuing");
        let (part, folder) = (parent.join(format!("{}.tmp", self.id)), parent.join(&self.id));
        let _ = std::fs::remove_dir_all(&part);
        crate::directory::make_private(&part)?;
        let key = custody::key_text(&self.authority.key, passphrase)?;
        write_private(&part.join("key.pem"), key.as_bytes())?;
        write_private(&part.join("cert.pem"), pem_of(&self.authority.der).as_bytes())?;
        sync(&part)?;
        std::fs::rename(&part, &folder).map_err(|e| DirectoryError::io(&folder, &e))?;
        sync(&parent)?;
        Ok(())
    }

    /// SHA-256 of the key: by which it is distrusted.
    pub(super) fn spki_sha256(&self) -> [u8; 32] {
        sha256(&self.authority.key.public_key())
    }

    /// The same, lower-case hex.
    pub(super) fn spki_hex(&self) -> String {
        hex(&self.spki_sha256())
    }
}

/// One certificate in PEM.
pub(super) fn certificate(path: &Path) -> Result<Vec<u8>, AuthorityError> {
    let text = std::fs::read(path).map_err(|e| DirectoryError::io(path, &e))?;
    let der = CertificateDer::from_pem_slice(&text);
    let der = der
        .map_err(|_| AuthorityError::Broken(format!("{} holds no certificate", path.display())))?;
    Ok(der.to_vec())
}
