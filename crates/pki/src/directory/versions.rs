//! Versions of one identity's credentials: `v1`, `v2`, …, and the link that says which is current.

use super::{DirectoryError, make_private, sync, write_private};
use crate::certificate::Certificate;
use crate::key::PrivateKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
    path: PathBuf,
}

impl CredentialStore {
    pub(super) fn new(parent: &Path, name: &str) -> Self {
        // `~` is in no name, so two names never share a directory.
        Self { name: name.to_owned(), path: parent.join(name.replace('/', "~")) }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The current version; if that is broken, the newest one that is not. `None` if there never
    /// was one.
    ///
    /// # Errors
    /// If there are versions and none can be used, with the reason for each.
    pub fn current(&self) -> Result<Option<StoredCredentials>, DirectoryError> {
        let mut versions = self.versions();
        if versions.is_empty() && !self.path.join("current").is_symlink() {
            return Ok(None);
        }
        versions.sort_by(|a, b| b.cmp(a));
        let link = std::fs::read_link(self.path.join("current")).ok();
        let named = link.as_ref().and_then(|l| number(&l.to_string_lossy()));
        let order = named.into_iter().chain(versions.into_iter().filter(|v| Some(*v) != named));
        let mut why = Vec::new();
        for version in order {
            match self.read(version) {
                Ok(stored) => return Ok(Some(stored)),
                Err(reason) => why.push(format!("v{version}: {reason}")),
            }
        }
        Err(DirectoryError::Credentials { name: self.name.clone(), why: why.join("; ") })
    }

    /// The key of a request on its way: the same one when the request is sent again. A new one is
    /// on the disk before it is used.
    ///
    /// # Errors
    /// If it cannot be made, read or written.
    pub fn pending(&self) -> Result<PrivateKey, DirectoryError> {
        let path = self.path.join("pending/key.pem");
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
        make_private(&self.path.join("pending"))?;
        write_private(&path, key.to_pem().map_err(failed)?.as_bytes())?;
        sync(&self.path.join("pending"))?;
        Ok(key)
    }

    /// Removes the key of a request that was answered or given up.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn forget_pending(&self) -> Result<(), DirectoryError> {
        let path = self.path.join("pending");
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
        make_private(&self.path)?;
        let version = self.versions().into_iter().max().unwrap_or(0) + 1;
        let (part, whole) =
            (self.path.join(format!("v{version}.tmp")), self.path.join(format!("v{version}")));
        let _ = std::fs::remove_dir_all(&part);
        make_private(&part)?;
        let key = new.key.to_pem().map_err(|_| bad("the key cannot be written"))?;
        let meta =
            serde_json::to_vec_pretty(&new.meta).map_err(|_| bad("the facts cannot be written"))?;
        write_private(&part.join("key.pem"), key.as_bytes())?;
        write_private(&part.join("chain.pem"), pem(&new.chain).as_bytes())?;
        write_private(&part.join("roots.pem"), pem(&new.roots).as_bytes())?;
        write_private(&part.join("meta.json"), &meta)?;
        sync(&part)?;
        std::fs::rename(&part, &whole).map_err(|e| DirectoryError::io(&whole, &e))?;
        sync(&self.path)?;
        let link = self.path.join("current.tmp");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(format!("v{version}"), &link)
            .map_err(|e| DirectoryError::io(&link, &e))?;
        let current = self.path.join("current");
        std::fs::rename(&link, &current).map_err(|e| DirectoryError::io(&current, &e))?;
        sync(&self.path)?;
        self.forget_pending()?;
        self.remove_older_than(version.saturating_sub(1));
        Ok(())
    }

    fn versions(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| number(&entry.file_name().to_string_lossy())).collect()
    }

    fn read(&self, version: u64) -> Result<StoredCredentials, String> {
        let folder = self.path.join(format!("v{version}"));
        let text = |name: &str| {
            let path = folder.join(name);
            match path.metadata() {
                Ok(metadata) if metadata.len() > 64 * 1024 => Err(format!("{name} is over 64 KiB")),
                _ => std::fs::read_to_string(&path)
                    .map_err(|e| format!("{name} cannot be read ({})", e.kind())),
            }
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

    fn remove_older_than(&self, version: u64) {
        for old in self.versions().into_iter().filter(|v| *v < version) {
            let _ = std::fs::remove_dir_all(self.path.join(format!("v{old}")));
        }
    }
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

fn number(name: &str) -> Option<u64> {
    name.strip_prefix('v')?.parse().ok()
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
    let mut text = String::new();
    for der in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(der);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
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
