//! First start: root, issuing certificates and store, made unattended, visible at once or not at
//! all. Every later start: the same files, read and compared.

use super::custody::{Custody, PERMITTED, RootKeyPlace, text_of};
use super::events::Hearers;
use super::keys::{IssuingKey, Keys, certificate};
use super::roots::Roots;
use super::{Authority as Opened, AuthorityError, AuthorityOptions, Inner, revoking};
use crate::custody::{Passphrase, Root, SPARE_DAYS, key_text, read_key};
use crate::directory::{DirectoryError, StateDir, make_private, pem_of, sync, write_private};
use crate::key::{KeyError, PrivateKey, random};
use crate::ledger::Entry;
use crate::revocation;
use crate::store::{IssuingState, Store, StoredCrl, Writing};
use crate::x509::{Authority, SerialDraw};
use segwan_core::identity::TrustDomain;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use tokio::sync::watch;

/// Life of the first active issuing certificate, in days.
const ACTIVE_DAYS: i64 = 365;
/// The program is not older than this, Unix milliseconds: the date that the build was given
/// (`SOURCE_DATE_EPOCH`, seconds), else the beginning of 2026.
const BUILT_MS: i64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(seconds) => match i64::from_str_radix(seconds, 10) {
        Ok(seconds) => seconds * 1000,
        Err(_) => 1_767_225_600_000,
    },
    None => 1_767_225_600_000,
};
/// Life of the root's revocation list, milliseconds.
const ROOT_CRL: i64 = SPARE_DAYS * 86_400_000;

pub(super) async fn open(
    directory: &StateDir,
    options: &AuthorityOptions,
    custody: &Custody,
    now_ms: i64,
) -> Result<Inner, AuthorityError> {
    let place = directory.authority();
    if !place.exists() {
        refuse_a_clock_before(BUILT_MS, now_ms)?;
        found(directory.path(), &place, options, custody, now_ms).await?;
    }
    read(&place, options, custody, now_ms).await
}

/// Voids what a crash left between intent and signature, and puts it on the list.
pub(super) async fn mend(authority: &Opened, now_ms: i64) -> Result<(), AuthorityError> {
    let mut writing = authority.0.store.write().await?;
    let voided = writing.void_intents().await?;
    if voided.is_empty() {
        return Ok(());
    }
    let mut victims = Vec::new();
    for (issuer, serial) in &voided {
        let entry = Entry { issuer, serial, ..Entry::new("void", now_ms, "") };
        writing.record(&entry).await?;
        victims.extend(writing.victims(crate::store::Which::Serial(serial), now_ms).await?);
    }
    revoking::revoke(
        authority,
        writing,
        &victims,
        revocation::RevocationReason::Unspecified,
        now_ms,
    )
    .await?;
    Ok(())
}

/// Certificates of a clock that is behind would be of no use anywhere (PKI-06).
fn refuse_a_clock_before(built_ms: i64, now_ms: i64) -> Result<(), AuthorityError> {
    if now_ms >= built_ms {
        return Ok(());
    }
    let shown = |ms| {
        jiff::Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |t| t.to_string())
    };
    Err(AuthorityError::ClockBeforeBuild { now: shown(now_ms), built: shown(built_ms) })
}

/// Builds everything in `authority.init/`; one rename makes it exist.
async fn found(
    state: &Path,
    place: &Path,
    options: &AuthorityOptions,
    custody: &Custody,
    now_ms: i64,
) -> Result<(), AuthorityError> {
    let building = state.join("authority.init");
    let _ = std::fs::remove_dir_all(&building);
    for part in ["", "issuing", "store", "tokens"] {
        make_private(&building.join(part))?;
    }
    let now = now_ms / 1000;
    let domain = options.trust_domain.as_str();
    let root = Authority::root(domain, PrivateKey::generate_root()?, serial()?, now)?;
    write_private(&building.join("root.pem"), pem_of(&root.der).as_bytes())?;
    let root = Root::made(root);
    if custody.root_key == RootKeyPlace::Here {
        keep_root(&building, &root)?;
    }
    let store = Store::open(&building.join("store/authority.db"), true).await?;
    let filled = fill(&store, &building, root.authority(), options, custody, now_ms).await;
    store.close().await;
    filled?;
    if let RootKeyPlace::Exported { to, passphrase } = &custody.root_key {
        root.export(to, passphrase)?;
    }
    sync(&building)?;
    std::fs::rename(&building, place).map_err(|e| DirectoryError::io(place, &e))?;
    sync(state)?;
    Ok(())
}

/// The passphrase lies beside the key until the operator takes both away; it exists so that export
/// and OpenSSL always meet the same format (`pki.md` section 6).
pub(super) fn keep_root(place: &Path, root: &Root) -> Result<(), AuthorityError> {
    let (folder, passphrase) = (place.join("root"), Passphrase::generate()?);
    make_private(&folder)?;
    let sealed = root.authority().key.seal(passphrase.reveal())?;
    write_private(&folder.join("root.key.pem"), sealed.as_bytes())?;
    write_private(&folder.join("passphrase"), passphrase.reveal().as_bytes())?;
    Ok(sync(&folder)?)
}

/// Issuing certificates, their first lists, and the first line of the ledger.
async fn fill(
    store: &Store,
    building: &Path,
    root: &Authority,
    options: &AuthorityOptions,
    custody: &Custody,
    now_ms: i64,
) -> Result<(), AuthorityError> {
    let domain = options.trust_domain.as_str();
    let roots = [root.der.clone()];
    let mut writing = store.write().await?;
    writing.set_meta("trust_domain", domain).await?;
    writing.set_meta("founded_ms", &now_ms.to_string()).await?;
    writing.set_meta(PERMITTED, &text_of(&custody.permitted)).await?;
    let constraints = custody.permitted.constraints(domain)?;
    let entry = Entry { detail: domain, ..Entry::new("init", now_ms, "") };
    writing.record(&entry).await?;
    for (state, days) in [(IssuingState::Active, ACTIVE_DAYS), (IssuingState::Spare, SPARE_DAYS)] {
        let (key, now) = (PrivateKey::generate()?, now_ms / 1000);
        let made = root.issuing_within(domain, key, serial()?, now, days, &constraints)?;
        let key = IssuingKey::of(made, state, &roots).map_err(AuthorityError::Broken)?;
        if state == IssuingState::Active {
            // A throw-away certificate is issued and verified before anything is shown to anybody.
            key.authority.trial(&options.trust_domain, &root.der, now_ms / 1000)?;
        }
        key.write(building, custody.key_passphrase.as_ref())?;
        add_issuing(&mut writing, &key, now_ms).await?;
    }
    let number = u64::try_from(now_ms).unwrap_or(1);
    let next_ms = now_ms + ROOT_CRL;
    let der = revocation::sign(root, number, now_ms - 300_000, next_ms, &[])?;
    let list = StoredCrl { issuer: root.key_id(), number: now_ms, der, at_ms: now_ms, next_ms };
    writing.set_crl(&list).await?;
    writing.commit().await?;
    Ok(())
}

/// Records an issuing key together with its first, empty list: without one, a verifier that
/// denies unknown status would refuse every certificate of its (PKI-42).
pub(super) async fn add_issuing(
    writing: &mut Writing,
    key: &IssuingKey,
    now_ms: i64,
) -> Result<(), AuthorityError> {
    writing.add_issuing_key(&key.row()).await?;
    let entry =
        Entry { issuer: &key.id, detail: key.state.as_str(), ..Entry::new("issuing", now_ms, "") };
    writing.record(&entry).await?;
    revoking::renew_crl(writing, key, now_ms).await
}

async fn read(
    place: &Path,
    options: &AuthorityOptions,
    custody: &Custody,
    now_ms: i64,
) -> Result<Inner, AuthorityError> {
    let broken = |what: String| AuthorityError::Broken(what);
    let database = place.join("store/authority.db");
    if !database.exists() {
        return Err(broken(format!("`{}` is missing", database.display())));
    }
    // What a backup that was broken off left behind.
    super::backup::clear(&super::backup::backup_folder(place))?;
    let root = certificate(&place.join("root.pem"))?;
    let store = Store::open(&database, false).await?;
    let domain = store.meta("trust_domain").await?.unwrap_or_default();
    if domain != options.trust_domain.as_str() {
        let asked = options.trust_domain.to_string();
        store.close().await;
        return Err(AuthorityError::TrustDomain { is: domain, asked });
    }
    let trust_domain: TrustDomain = domain.parse()?;
    adopt_keys_of_schema_1(&store, place, &root, now_ms).await?;
    let rows = store.issuing_keys().await?;
    let passphrase = custody.key_passphrase.as_ref();
    let believed = Roots::read(&store, &root).await?.believed()?;
    let keys = Keys::read(place, believed, &rows, passphrase)?;
    seal_what_is_plain(place, &keys, passphrase)?;
    keys.active()?;
    let epoch = store.meta("epoch").await?.and_then(|text| text.parse().ok()).unwrap_or(1);
    let (head, _) = watch::channel(store.last_event().await?);
    Ok(Inner {
        store,
        trust_domain,
        root,
        epoch,
        keys: RwLock::new(Arc::new(keys)),
        key_passphrase: custody.key_passphrase.clone(),
        leaf_lifetime: options.leaf_lifetime,
        renewal_grace: options.renewal_grace,
        place: place.to_owned(),
        tokens: place.join("tokens"),
        addresses: Mutex::default(),
        speaker: tokio::sync::Mutex::default(),
        head,
        hearers: Mutex::new(Hearers::default()),
        granting: tokio::sync::Mutex::new(()),
        signing: Mutex::default(),
    })
}

/// Where a passphrase is given, no issuing key stays on the disk without it.
fn seal_what_is_plain(
    place: &Path,
    keys: &Keys,
    passphrase: Option<&Passphrase>,
) -> Result<(), AuthorityError> {
    let Some(passphrase) = passphrase else { return Ok(()) };
    for key in &keys.issuing {
        let folder = place.join("issuing").join(&key.id);
        let (path, part) = (folder.join("key.pem"), folder.join("key.pem.tmp"));
        if crate::custody::is_sealed(&crate::custody::text(&path)?) {
            continue;
        }
        let _ = std::fs::remove_file(&part);
        write_private(&part, key_text(&key.authority.key, Some(passphrase))?.as_bytes())?;
        std::fs::rename(&part, &path).map_err(|e| DirectoryError::io(&path, &e))?;
        sync(&folder)?;
    }
    Ok(())
}

/// A store of the first schema named its two issuing keys elsewhere, and had no lists.
async fn adopt_keys_of_schema_1(
    store: &Store,
    place: &Path,
    root: &[u8],
    now_ms: i64,
) -> Result<(), AuthorityError> {
    if !store.issuing_keys().await?.is_empty() {
        return Ok(());
    }
    let roots = [root.to_vec()];
    let mut writing = store.write().await?;
    for (meta, state) in [("active", IssuingState::Active), ("spare", IssuingState::Spare)] {
        let Some(id) = store.meta(meta).await? else { continue };
        let folder = place.join("issuing").join(&id);
        let path = folder.join("key.pem");
        let der = certificate(&folder.join("cert.pem"))?;
        let key = read_key(&path, None)?;
        let key = IssuingKey::of(Authority { der, key }, state, &roots);
        add_issuing(&mut writing, &key.map_err(AuthorityError::Broken)?, now_ms).await?;
    }
    writing.commit().await?;
    Ok(())
}

/// Where the random bytes of serial numbers come from.
pub(super) fn serial_bytes() -> Result<[u8; 16], KeyError> {
    #[cfg(test)]
    if let Some(drawn) = drawing::next() {
        return Ok(drawn);
    }
    random::<16>()
}

/// A serial number for a certificate that is the first of its issuer.
pub(super) fn serial() -> Result<[u8; 16], AuthorityError> {
    Ok(SerialDraw::from_source(serial_bytes).draw()?)
}

/// Serial numbers that a test wants drawn on this thread, in place of random ones.
#[cfg(test)]
pub(super) mod drawing {
    use std::cell::RefCell;

    thread_local! {
        static NEXT: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
    }

    pub(in crate::authority) fn with(drawn: Vec<[u8; 16]>) {
        NEXT.set(drawn);
    }

    pub(super) fn next() -> Option<[u8; 16]> {
        NEXT.with_borrow_mut(Vec::pop)
    }
}
