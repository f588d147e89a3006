//! Backup: everything of an Authority but its root's key, in one file (`pki.md` section 15).
//!
//! The file is an archive that `tar` reads. Its only secrets are the issuing keys, encrypted with
//! the operator's passphrase. What a restore gets is proved before anything of it is written.

mod read;
mod restore;
mod tar;
#[cfg(test)]
mod tests;

pub use read::Proved;
pub use restore::{Restored, restore, verify};

use super::{Authority, AuthorityError};
use crate::custody::{CustodyError, Passphrase};
use crate::directory::{DirectoryError, make_private, pem_of, write_private};
use crate::key::{hex, sha256};
use crate::ledger::Entry;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tar::Archive;

/// The form of the archive.
const FORMAT: u32 = 1;
/// Names in the archive.
const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "authority.db";
const ROOT: &str = "root.pem";

/// What an archive says of itself: it is compared with what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the archive.
    format: u32,
    /// The trust domain.
    pub trust_domain: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// Schema of the store.
    schema: String,
    /// Epoch of the store.
    pub epoch: i64,
    /// Number and hash of the last line of the ledger.
    pub ledger: (i64, String),
    /// Number of the revocation list of each issuer.
    crls: BTreeMap<String, i64>,
    /// SHA-256 of each other file.
    files: BTreeMap<String, String>,
}

/// A backup that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The file, in the state directory: to be moved where it shall be kept.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of the last line of the ledger in it.
    pub ledger: i64,
    /// How many issuing keys are in it.
    pub keys: usize,
}

impl Authority {
    /// Writes a backup beside the store; serving goes on meanwhile. Whoever moved it away says so
    /// with [`note_backup`](Self::note_backup).
    ///
    /// # Errors
    /// If the passphrase is too short, or the disk is full.
    pub async fn backup(
        &self,
        passphrase: &Passphrase,
        now_ms: i64,
    ) -> Result<Backup, AuthorityError> {
        passphrase.is_long_enough()?;
        let folder = backup_folder(&self.0.place);
        clear(&folder)?;
        let made = self.backup_into(&folder, passphrase, now_ms).await;
        if made.is_err() {
            let _ = clear(&folder);
        }
        made
    }

    async fn backup_into(
        &self,
        folder: &Path,
        passphrase: &Passphrase,
        now_ms: i64,
    ) -> Result<Backup, AuthorityError> {
        make_private(folder)?;
        let (database, path) = (folder.join(DATABASE), folder.join("backup.tar"));
        write_private(&database, b"")?;
        let keys = {
            // Keys and copy are of one instant.
            let _granting = self.0.granting.lock().await;
            self.noting_full(self.0.store.copy_to(&database).await.map_err(Into::into))?;
            self.keys()
        };
        let mut files = BTreeMap::from([(ROOT.to_owned(), pem_of(&self.root()).into_bytes())]);
        for key in &keys.issuing {
            let sealed = key.authority.key.seal(passphrase.reveal())?;
            files.insert(format!("issuing/{}/key.pem", key.id), sealed.into_bytes());
            let certificate = pem_of(&key.authority.der).into_bytes();
            files.insert(format!("issuing/{}/cert.pem", key.id), certificate);
        }
        let copy = Store::open(&database, false).await?;
        let read = of_copy(&copy, &mut files).await;
        copy.close().await;
        let mut manifest = Manifest { made_ms: now_ms, ..read? };
        manifest.trust_domain = self.0.trust_domain.to_string();
        manifest.files = files.iter().map(|(n, bytes)| (n.clone(), hex(&sha256(bytes)))).collect();
        let hash = read::hash_of(&database)?;
        manifest.files.insert(DATABASE.to_owned(), hash);
        let mut archive = Archive::new(&path, now_ms)?;
        archive.add(MANIFEST, serde_json::to_string(&manifest).unwrap_or_default().as_bytes())?;
        for (name, bytes) in &files {
            archive.add(name, bytes)?;
        }
        archive.add_file(DATABASE, &database)?;
        let bytes = archive.finish()?;
        std::fs::remove_file(&database).map_err(|e| DirectoryError::io(&database, &e))?;
        Ok(Backup { path, bytes, ledger: manifest.ledger.0, keys: keys.issuing.len() })
    }

    /// Records that a backup was moved to where it is kept, and forgets the one beside the store.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn note_backup(&self, now_ms: i64) -> Result<(), AuthorityError> {
        clear(&backup_folder(&self.0.place))?;
        let mut writing = self.0.store.write().await?;
        writing.set_meta("backup_ms", &now_ms.to_string()).await?;
        writing.record(&Entry::new("backup", now_ms, "")).await?;
        Ok(writing.commit().await?)
    }
}

/// What the copy of the store says of itself; its lists join the files.
async fn of_copy(
    copy: &Store,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Manifest, AuthorityError> {
    let mut crls = BTreeMap::new();
    for list in copy.crls().await? {
        crls.insert(list.issuer.clone(), list.number);
        files.insert(format!("crl/{}.der", list.issuer), list.der);
    }
    let (seq, hash) = copy.ledger_head().await?;
    Ok(Manifest {
        format: FORMAT,
        trust_domain: copy.meta("trust_domain").await?.unwrap_or_default(),
        made_ms: 0,
        schema: copy.meta("schema").await?.unwrap_or_default(),
        epoch: copy.meta("epoch").await?.and_then(|text| text.parse().ok()).unwrap_or(1),
        ledger: (seq, hex(&hash)),
        crls,
        files: BTreeMap::new(),
    })
}

/// Where a backup is made, beside the store: what a crash leaves there, the next start removes.
pub(super) fn backup_folder(place: &Path) -> PathBuf {
    place.join("store/backup.tmp")
}

/// Removes a folder and what is in it, if it is there.
pub(super) fn clear(folder: &Path) -> Result<(), AuthorityError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DirectoryError::io(folder, &error).into())
        }
        _ => Ok(()),
    }
}

fn refused(why: impl Into<String>) -> AuthorityError {
    AuthorityError::Custody(CustodyError::Refused(why.into()))
}
