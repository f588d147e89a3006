//! `CredentialStore`: key and certificate of one identity, switched as one.

use super::trust::TrustStore;
use super::versions::{Found, Versions, bytes};
use super::{DirectoryError, make_private, sync, write_private};
use crate::certificate::Certificate;
use crate::key::PrivateKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is known of a version of credentials beside its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// The identity that the certificate holds.
    pub identity: String,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// When to renew it, Unix milliseconds; drawn once.
    pub renew_at_ms: i64,
    /// The trust domain.
    pub trust_domain: String,
    /// `host:port` of the Authority; empty where it runs in the same process.
    pub authority: Vec<String>,
    /// SHA-256 of the root, lower-case hex.
    pub root: String,
    /// The services that a client is meant for.
    pub services: Vec<ServiceHint>,
    /// The chain of renewals that the certificate belongs to; empty if nobody said.
    #[serde(default)]
    pub lineage: String,
}

/// Where a service is, and which identity to expect there: a hint for joining, no permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceHint {
    /// Its name.
    pub name: String,
    /// The identity that it shows.
    pub identity: String,
    /// `host:port`, in the order to try.
    pub addresses: Vec<String>,
}

/// A version that was read and whose parts belong together.
pub struct StoredCredentials {
    /// Leaf and issuing certificate, DER.
    pub chain: Vec<Vec<u8>>,
    /// The roots that are believed, DER.
    pub roots: Vec<Vec<u8>>,
    /// The key of the leaf.
    pub key: PrivateKey,
    /// What else is known.
    pub meta: Meta,
}

/// The credentials of one identity on the disk.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    name: String,
    versions: Versions,
    trust: TrustStore,
}

impl CredentialStore {
    /// The credentials of `name` in a state directory.
    pub(super) fn new(state: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            versions: Versions::new(&state.join("credentials"), name),
            trust: TrustStore::new(state, name),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.versions.path()
    }

    /// Whom this identity believes, beside its credentials.
    #[must_use]
    pub fn trust(&self) -> &TrustStore {
        &self.trust
    }

    /// The current version; if that is broken, the newest one that is not. `None` if there never
    /// was one.
    ///
    /// # Errors
    /// If there are versions and none can be used, with the reason for each.
    pub fn current(&self) -> Result<Option<StoredCredentials>, DirectoryError> {
        Ok(self.found()?.map(|found| found.stored))
    }

    /// As [`current`](Self::current), with the reason if it is not the version that was published
    /// last.
    ///
    /// # Errors
    /// As [`current`](Self::current).
    pub fn found(&self) -> Result<Option<Found<StoredCredentials>>, DirectoryError> {
        let bad = |why| DirectoryError::Credentials { name: self.name.clone(), why };
        self.versions.current(read).map_err(bad)
    }

    /// The key of a request on its way: the same one when the request is sent again. A new one is
    /// on the disk before it is used.
    ///
    /// # Errors
    /// If it cannot be made, read or written.
    pub fn pending(&self) -> Result<PrivateKey, DirectoryError> {
        let path = self.path().join("pending/key.pem");
        if let Ok(pem) = std::fs::read_to_string(&path)
            && let Ok(key) = PrivateKey::from_pem(&pem)
        {
            return Ok(key);
        }
        self.forget_pending()?;
        let failed = |e: crate::key::KeyError| DirectoryError::Io {
            path: path.display().to_string(),
            what: e.to_string(),
        };
        let key = PrivateKey::generate().map_err(failed)?;
        make_private(&self.path().join("pending"))?;
        write_private(&path, key.to_pem().map_err(failed)?.as_bytes())?;
        sync(&self.path().join("pending"))?;
        Ok(key)
    }

    /// Removes the key of a request that was answered or given up.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn forget_pending(&self) -> Result<(), DirectoryError> {
        let path = self.path().join("pending");
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(DirectoryError::io(&path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Makes a new version the current one: written whole, then one link renamed.
    ///
    /// # Errors
    /// If its parts do not belong together, or it cannot be written; the current version stays.
    pub fn publish(&self, new: &StoredCredentials) -> Result<(), DirectoryError> {
        let bad = |what: &str| DirectoryError::Credentials {
            name: self.name.clone(),
            why: what.to_owned(),
        };
        fits(new).map_err(|why| bad(&why))?;
        let key = new.key.to_pem().map_err(|_| bad("the key cannot be written"))?;
        let meta =
            serde_json::to_vec_pretty(&new.meta).map_err(|_| bad("the facts cannot be written"))?;
        self.versions.publish(&[
            ("key.pem", key.as_bytes()),
            ("chain.pem", pem(&new.chain).as_bytes()),
            ("roots.pem", pem(&new.roots).as_bytes()),
            ("meta.json", &meta),
        ])?;
        self.forget_pending()
    }
}

/// Reads one version.
fn read(folder: &Path) -> Result<StoredCredentials, String> {
    let text = |name: &str| {
        let bytes = bytes(folder, name, 64 * 1024)?;
        String::from_utf8(bytes).map_err(|_| format!("{name} is no text"))
    };
    let key = PrivateKey::from_pem(&text("key.pem")?).map_err(|e| format!("key.pem: {e}"))?;
    let meta = serde_json::from_str(&text("meta.json")?)
        .map_err(|_| "meta.json is not well-formed".to_owned())?;
    let chain = certificates(&text("chain.pem")?, "chain.pem")?;
    let roots = certificates(&text("roots.pem")?, "roots.pem")?;
    let stored = StoredCredentials { chain, roots, key, meta };
    fits(&stored)?;
    Ok(stored)
}

/// Whether key, certificate and facts belong together.
fn fits(stored: &StoredCredentials) -> Result<(), String> {
    let leaf = stored.chain.first().ok_or_else(|| "the chain is empty".to_owned())?;
    let read = Certificate::read(leaf)?;
    if read.public_key != stored.key.public_key() {
        return Err("key and certificate do not belong together".to_owned());
    }
    let named = crate::certificate::Name::Uri(stored.meta.identity.clone());
    if !read.names.contains(&named) {
        return Err(format!("the certificate is not of {}", stored.meta.identity));
    }
    Ok(())
}

fn certificates(text: &str, name: &str) -> Result<Vec<Vec<u8>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let all = all.map_err(|_| format!("{name} holds no certificates"))?;
    if all.is_empty() || all.len() > 5 {
        return Err(format!("{name} holds {} certificates", all.len()));
    }
    Ok(all.into_iter().map(|der| der.to_vec()).collect())
}

/// Certificates in PEM.
#[must_use]
pub(crate) fn pem(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| labelled("CERTIFICATE", der)).collect()
}

/// Bytes in PEM (RFC 7468).
pub(crate) fn labelled(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

impl StoredCredentials {
    /// The chain in PEM.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        pem(&self.chain)
    }

    /// The roots in PEM.
    #[must_use]
    pub fn roots_pem(&self) -> String {
        pem(&self.roots)
    }
}
