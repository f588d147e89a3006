//! Restoring: a new epoch of the same Authority, whole or not at all.

use super::super::revoking;
use super::read::{Proved, proved};
use super::{AuthorityError, DATABASE, clear, refused};
use crate::custody::{Passphrase, key_text};
use crate::directory::{DirectoryError, StateDir, make_private, pem_of, sync, write_private};
use crate::key::{hex, random};
use crate::ledger::Entry;
use crate::store::{IssuingState, Store};
use segwan_core::identity::TrustDomain;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What became of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The trust domain.
    pub trust_domain: String,
    /// SHA-256 of the root certificate, lower-case hex.
    pub root: String,
    /// The epoch from now on.
    pub epoch: i64,
    /// When the backup was made, Unix milliseconds.
    pub made_ms: i64,
    /// The last line of the ledger that the backup knew.
    pub ledger: i64,
    /// Tokens that were open in it, and are not any more.
    pub tokens: usize,
}

/// Restores a backup into a state directory without state. `key_passphrase` seals the issuing keys
/// on the disk, as it does for an Authority that is opened.
///
/// The store gets the next epoch, open tokens are void, and every revocation list a higher number.
///
/// # Errors
/// If there is state, or the backup does not prove; then the directory is as it was.
pub async fn restore(
    from: &Path,
    passphrase: &Passphrase,
    state: &Path,
    key_passphrase: Option<&Passphrase>,
    now_ms: i64,
) -> Result<Restored, AuthorityError> {
    let before = entries(state);
    let full = |name: &str| state.join(name).read_dir().is_ok_and(|mut all| all.next().is_some());
    if let Some(name) = ["authority", "trust", "credentials"].into_iter().find(|name| full(name)) {
        let place = state.join(name);
        return Err(refused(format!("`{}` holds state already", place.display())));
    }
    let directory = StateDir::open(state)?;
    let building = directory.path().join("authority.init");
    let done = build(from, passphrase, &building, key_passphrase, now_ms).await;
    let done = done.and_then(|restored| {
        let place = directory.authority();
        let _ = std::fs::remove_dir(&place);
        std::fs::rename(&building, &place).map_err(|e| DirectoryError::io(&place, &e))?;
        sync(directory.path())?;
        Ok(restored)
    });
    if done.is_err() {
        let _ = clear(&building);
        drop(directory);
        undo(state, before.as_ref());
    }
    done
}

/// Proves a backup without restoring it: everything that a restore does, in a folder that is
/// removed again, and a throw-away certificate.
///
/// # Errors
/// With what does not prove.
pub async fn verify(
    from: &Path,
    passphrase: &Passphrase,
    now_ms: i64,
) -> Result<Proved, AuthorityError> {
    let name = format!("segwan-verify-{}", hex(&random::<8>()?));
    let folder: PathBuf = std::env::temp_dir().join(name);
    make_private(&folder)?;
    let done = rehearse(from, passphrase, &folder, now_ms).await;
    clear(&folder)?;
    done
}

async fn rehearse(
    from: &Path,
    passphrase: &Passphrase,
    folder: &Path,
    now_ms: i64,
) -> Result<Proved, AuthorityError> {
    let proved = proved(from, passphrase, folder).await?;
    let domain: TrustDomain = proved.manifest.trust_domain.parse()?;
    let active = proved.keys.iter().find(|key| key.state == IssuingState::Active);
    let active = active.ok_or_else(|| refused("no issuing certificate of the backup is active"))?;
    active.authority.trial(&domain, &proved.root, now_ms / 1000)?;
    Ok(proved)
}

async fn build(
    from: &Path,
    passphrase: &Passphrase,
    building: &Path,
    key_passphrase: Option<&Passphrase>,
    now_ms: i64,
) -> Result<Restored, AuthorityError> {
    clear(building)?;
    for part in ["", "unpacked", "issuing", "store", "tokens"] {
        make_private(&building.join(part))?;
    }
    let unpacked = building.join("unpacked");
    let proved = proved(from, passphrase, &unpacked).await?;
    let database = building.join("store/authority.db");
    std::fs::rename(unpacked.join(DATABASE), &database)
        .map_err(|e| DirectoryError::io(&database, &e))?;
    clear(&unpacked)?;
    write_private(&building.join("root.pem"), pem_of(&proved.root).as_bytes())?;
    for key in &proved.keys {
        let folder = building.join("issuing").join(&key.id);
        make_private(&folder)?;
        let text = key_text(&key.authority.key, key_passphrase)?;
        write_private(&folder.join("key.pem"), text.as_bytes())?;
        write_private(&folder.join("cert.pem"), pem_of(&key.authority.der).as_bytes())?;
        sync(&folder)?;
    }
    let store = Store::open(&database, false).await?;
    let begun = begin_epoch(&store, &proved, now_ms).await;
    store.close().await;
    let (epoch, tokens) = begun?;
    for part in ["issuing", "store", ""] {
        sync(&building.join(part))?;
    }
    Ok(Restored {
        trust_domain: proved.manifest.trust_domain.clone(),
        root: hex(&crate::key::sha256(&proved.root)),
        epoch,
        made_ms: proved.manifest.made_ms,
        ledger: proved.manifest.ledger.0,
        tokens,
    })
}

/// What sets the restored Authority apart from the lost one, in one transaction.
async fn begin_epoch(
    store: &Store,
    proved: &Proved,
    now_ms: i64,
) -> Result<(i64, usize), AuthorityError> {
    let epoch = proved.manifest.epoch + 1;
    let mut writing = store.write().await?;
    writing.set_meta("epoch", &epoch.to_string()).await?;
    writing.set_meta("backup_ms", &proved.manifest.made_ms.to_string()).await?;
    // One that was used after the backup would otherwise be fresh again.
    let tokens = writing.revoke_tokens(None, None, now_ms).await?.len();
    for key in &proved.keys {
        revoking::renew_crl(&mut writing, key, now_ms).await?;
    }
    let (seq, hash) = &proved.manifest.ledger;
    let detail = format!("{seq}:{hash}");
    writing.record(&Entry { detail: &detail, ..Entry::new("restore", now_ms, "") }).await?;
    writing.commit().await?;
    Ok((epoch, tokens))
}

/// The names in a directory; `None` if there is none.
fn entries(directory: &Path) -> Option<BTreeSet<std::ffi::OsString>> {
    Some(directory.read_dir().ok()?.flatten().map(|entry| entry.file_name()).collect())
}

/// Removes what was not in the directory before.
fn undo(state: &Path, before: Option<&BTreeSet<std::ffi::OsString>>) {
    for name in entries(state).into_iter().flatten() {
        if before.is_some_and(|before| before.contains(&name)) {
            continue;
        }
        let path = state.join(&name);
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
    }
    if before.is_none() {
        let _ = std::fs::remove_dir(state);
    }
}
