//! First start: root, issuing certificate and store, made unattended, visible at once or not at
//! all. Every later start: the same files, read and compared.

use super::{AuthorityError, AuthorityOptions, Inner};
use crate::certificate::Certificate;
use crate::directory::{DirectoryError, StateDir, make_private, sync, write_private};
use crate::key::{PrivateKey, hex, random};
use crate::ledger::Entry;
use crate::store::Store;
use crate::x509::Authority;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use segwan_core::identity::TrustDomain;
use std::path::Path;

/// Life of the active issuing certificate and of the spare, in days.
const ACTIVE_DAYS: i64 = 365;
const SPARE_DAYS: i64 = 548;

pub(super) async fn open(
    directory: &StateDir,
    options: &AuthorityOptions,
    now_ms: i64,
) -> Result<Inner, AuthorityError> {
    let place = directory.authority();
    if !place.exists() {
        found(directory.path(), &place, options, now_ms).await?;
    }
    let inner = read(&place, options).await?;
    let mut writing = inner.store.write().await?;
    for (issuer, serial) in writing.void_intents().await? {
        let entry = Entry { issuer: &issuer, serial: &serial, ..Entry::new("void", now_ms, "") };
        writing.record(&entry).await?;
    }
    writing.commit().await?;
    Ok(inner)
}

/// Builds everything in `authority.init/`; one rename makes it exist.
async fn found(
    state: &Path,
    place: &Path,
    options: &AuthorityOptions,
    now_ms: i64,
) -> Result<(), AuthorityError> {
    let building = state.join("authority.init");
    let _ = std::fs::remove_dir_all(&building);
    for part in ["", "root", "issuing", "store", "tokens"] {
        make_private(&building.join(part))?;
    }
    let now = now_ms / 1000;
    let domain = options.trust_domain.as_str();
    let root = Authority::root(domain, PrivateKey::generate_root()?, serial()?, now)?;
    write_private(&building.join("root.pem"), crate::directory::pem_of(&root.der).as_bytes())?;
    // The passphrase lies beside the key until the operator takes both away; it exists so that
    // export and OpenSSL always meet the same format (`pki.md` section 6).
    let passphrase = hex(&random::<16>()?);
    write_private(&building.join("root/root.key.pem"), root.key.seal(&passphrase)?.as_bytes())?;
    write_private(&building.join("root/passphrase"), passphrase.as_bytes())?;
    let active = issuing(&building, &root, domain, now, ACTIVE_DAYS)?;
    let spare = issuing(&building, &root, domain, now, SPARE_DAYS)?;
    let store = Store::open(&building.join("store/authority.db"), true).await?;
    let mut writing = store.write().await?;
    writing.set_meta("trust_domain", domain).await?;
    writing.set_meta("active", &active).await?;
    writing.set_meta("spare", &spare).await?;
    writing
        .record(&Entry { detail: domain, issuer: &active, ..Entry::new("init", now_ms, "") })
        .await?;
    writing.commit().await?;
    store.close().await;
    sync(&building)?;
    std::fs::rename(&building, place).map_err(|e| DirectoryError::io(place, &e))?;
    sync(state)?;
    Ok(())
}

fn issuing(
    building: &Path,
    root: &Authority,
    domain: &str,
    now: i64,
    days: i64,
) -> Result<String, AuthorityError> {
    let made = root.issuing(domain, PrivateKey::generate()?, serial()?, now, days)?;
    let id = made.key_id();
    let folder = building.join("issuing").join(&id);
    make_private(&folder)?;
    write_private(&folder.join("key.pem"), made.key.to_pem()?.as_bytes())?;
    write_private(&folder.join("cert.pem"), crate::directory::pem_of(&made.der).as_bytes())?;
    Ok(id)
}

async fn read(place: &Path, options: &AuthorityOptions) -> Result<Inner, AuthorityError> {
    let broken = |what: String| AuthorityError::Broken(what);
    let database = place.join("store/authority.db");
    if !database.exists() {
        return Err(broken(format!("`{}` is missing", database.display())));
    }
    let root = certificate(&place.join("root.pem"))?;
    let store = Store::open(&database, false).await?;
    let domain = store.meta("trust_domain").await?.unwrap_or_default();
    if domain != options.trust_domain.as_str() {
        let asked = options.trust_domain.to_string();
        return Err(AuthorityError::TrustDomain { is: domain, asked });
    }
    let trust_domain: TrustDomain = domain.parse()?;
    let active = store.meta("active").await?.unwrap_or_default();
    if active.is_empty() || !active.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(broken("the store names no issuing key".to_owned()));
    }
    let folder = place.join("issuing").join(&active);
    let path = folder.join("key.pem");
    let pem = std::fs::read_to_string(&path).map_err(|e| DirectoryError::io(&path, &e))?;
    let key = PrivateKey::from_pem(&pem).map_err(|e| broken(format!("{}: {e}", path.display())))?;
    let der = certificate(&folder.join("cert.pem"))?;
    let read =
        Certificate::read(&der).map_err(|e| broken(format!("the issuing certificate: {e}")))?;
    if read.public_key != key.public_key() {
        return Err(broken(format!("{} is not the key of its certificate", path.display())));
    }
    Ok(Inner {
        store,
        trust_domain,
        root,
        issuing: Authority { der, key },
        leaf_lifetime: options.leaf_lifetime,
        renewal_grace: options.renewal_grace,
        tokens: place.join("tokens"),
        granting: tokio::sync::Mutex::new(()),
    })
}

fn certificate(path: &Path) -> Result<Vec<u8>, AuthorityError> {
    let text = std::fs::read(path).map_err(|e| DirectoryError::io(path, &e))?;
    let der = CertificateDer::from_pem_slice(&text);
    let der = der
        .map_err(|_| AuthorityError::Broken(format!("{} holds no certificate", path.display())))?;
    Ok(der.to_vec())
}

/// Sixteen random bytes, positive and not zero.
pub(super) fn serial() -> Result<[u8; 16], AuthorityError> {
    let mut serial = random::<16>()?;
    // The top bit clear makes it positive, the next one set keeps its length.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(serial)
}
