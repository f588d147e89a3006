//! Issuing keys through their lives: asked for, signed where the root is, imported, distrusted.
//!
//! The root's key never comes here. Whoever holds it signs a request of this Authority, and what
//! comes back is held to the same rules as a certificate of its own making (`pki.md` section 6).

mod adopt;
mod state;

pub use adopt::Adopted;
pub use state::{CustodyState, IssuingView};

use super::changing::Change;
use super::founding::add_issuing;
use super::keys::IssuingKey;
use super::{Authority, AuthorityError};
use crate::certificate::Certificate;
use crate::custody::{self, CustodyError, Passphrase, Permitted};
use crate::directory::{DirectoryError, make_private, sync, write_private};
use crate::key::{PrivateKey, from_hex, hex};
use crate::ledger::Entry;
use crate::lint::{self, MeantAuthority, Standing};
use crate::revocation::{Crl, RevocationReason};
use crate::store::{IssuingState, StoredCrl};
use crate::x509;
use std::path::PathBuf;
use std::sync::Arc;

/// In how long everybody renews after an issuing key was distrusted, milliseconds; who stands on it
/// does not wait for that.
const AT_ONCE: i64 = 5 * 60_000;
/// An active certificate that ends so soon cannot issue any more, milliseconds.
const SHORTEST: i64 = 5 * 60_000;
/// Fewest characters of the beginning of a key id that name it.
const NAMED: usize = 8;

/// Wishes about keys, when an Authority is opened or made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Custody {
    /// Seals the issuing keys on the disk. Default none: they are protected by file mode only.
    pub key_passphrase: Option<Passphrase>,
    /// What the first issuing certificates may speak for.
    pub permitted: Permitted,
    /// Where the root's key goes at first start.
    pub root_key: RootKeyPlace,
}

/// Where the root's key goes at first start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RootKeyPlace {
    /// Onto this host, until `segwan ca root export`.
    #[default]
    Here,
    /// To a medium, never onto this host.
    Exported {
        /// The directory.
        to: PathBuf,
        /// What seals it there.
        passphrase: Passphrase,
    },
}

fn refused(why: impl Into<String>) -> AuthorityError {
    AuthorityError::Custody(CustodyError::Refused(why.into()))
}

/// What to take to where the root is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuingRequest {
    /// The request, DER.
    pub request: Vec<u8>,
    /// The extension file with which plain OpenSSL signs it.
    pub extensions: String,
    /// What it shall speak for.
    pub permitted: Permitted,
}

/// An issuing certificate that came from where the root is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its key id.
    pub id: String,
    /// `spare`; `active`, if the one before could issue no more.
    pub state: &'static str,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
}

/// An issuing key that is believed nowhere any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distrusted {
    /// Its key id.
    pub id: String,
    /// The key id of the one that signs from now on, if that changed.
    pub successor: Option<String>,
    /// Certificates in force under it, which nobody believes now.
    pub certificates: i64,
    /// Whether no spare is left.
    pub last: bool,
}

/// What the root's own list has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootList {
    /// The number that it has to have at least.
    pub number: i64,
    /// Revoked issuing certificates: serial in hex, and when, Unix milliseconds.
    pub revoked: Vec<(String, i64)>,
}

impl RootList {
    /// The entries of the list.
    #[must_use]
    pub fn entries(&self) -> Vec<crate::revocation::Entry> {
        let entry = |(serial, at_ms): &(String, i64)| {
            let reason = RevocationReason::KeyCompromise;
            Some(crate::revocation::Entry { serial: from_hex(serial)?, at_ms: *at_ms, reason })
        };
        self.revoked.iter().filter_map(entry).collect()
    }
}

impl Authority {
    /// Makes a key for the next issuing certificate, or takes the one that waits already, and a
    /// request to be signed where the root is. Where nothing is permitted, what the certificates
    /// before it may speak for is meant.
    ///
    /// # Errors
    /// If a name or range is none, or the key cannot be kept.
    pub async fn request_issuing(
        &self,
        permitted: Permitted,
    ) -> Result<IssuingRequest, AuthorityError> {
        let _granting = self.0.granting.lock().await;
        let before = || async { self.0.store.meta(PERMITTED).await };
        let permitted = match permitted.is_empty() {
            true => said(before().await?.as_deref())?,
            false => permitted,
        };
        let constraints = permitted.constraints(self.0.trust_domain.as_str())?;
        let key = match self.pending()? {
            Some((key, _)) => key,
            None => PrivateKey::generate()?,
        };
        self.keep_pending(&key, &permitted)?;
        Ok(IssuingRequest {
            request: x509::issuing_request(&key, self.0.trust_domain.as_str(), &constraints)?,
            extensions: x509::issuing_extensions(&key, &constraints),
            permitted,
        })
    }

    /// Takes what was signed where the root is: the issuing certificate, and the root behind it or
    /// nothing. It becomes a spare, with its first list and in the next bundle.
    ///
    /// # Errors
    /// With every rule that it breaks; then nothing is changed and the key waits on.
    pub async fn import_issuing(
        &self,
        chain: &[Vec<u8>],
        now_ms: i64,
    ) -> Result<Imported, AuthorityError> {
        let key = {
            let _granting = self.0.granting.lock().await;
            let (key, permitted) = self.checked(chain, now_ms)?;
            key.write(&self.0.place, self.0.key_passphrase.as_ref())?;
            let mut writing = self.0.store.write().await?;
            add_issuing(&mut writing, &key, now_ms).await?;
            writing.set_meta(PERMITTED, &text_of(&permitted)).await?;
            writing.commit().await?;
            let place = self.pending_place();
            std::fs::remove_dir_all(&place).map_err(|e| DirectoryError::io(&place, &e))?;
            self.read_keys().await?;
            key
        };
        let now_active = self.replace_what_has_ended(&key.id, now_ms).await?;
        if !now_active {
            self.renew_bundle(now_ms).await?;
        }
        let state = if now_active { IssuingState::Active } else { key.state };
        let not_after_ms = key.not_after * 1000;
        Ok(Imported { id: key.id, state: state.as_str(), not_after_ms })
    }

    /// Holds a chain to section 14, with the key, constraints and roots that it was meant for.
    fn checked(
        &self,
        chain: &[Vec<u8>],
        now_ms: i64,
    ) -> Result<(IssuingKey, Permitted), AuthorityError> {
        let Some((key, permitted)) = self.pending()? else {
            return Err(refused("no request for an issuing certificate is open".to_owned()));
        };
        let (der, behind) = chain.split_first().ok_or_else(|| refused("it is empty".to_owned()))?;
        let keys = self.keys();
        if behind.len() > 1 || behind.iter().any(|root| !keys.roots.contains(root)) {
            return Err(refused(
                "the certificate behind the issuing certificate is no root of this Authority"
                    .to_owned(),
            ));
        }
        let read = Certificate::read(der).map_err(refused)?;
        let under = |root: &&Vec<u8>| {
            Certificate::read(root).is_ok_and(|root| root.subject_key == read.authority_key)
        };
        // Under none of them it breaks the rules for the first.
        let own = self.root();
        let root = keys.roots.iter().find(under).unwrap_or(&own);
        let (spki, now) = (key.public_key(), now_ms / 1000);
        let constraints = permitted.constraints(self.0.trust_domain.as_str())?;
        let meant = MeantAuthority {
            standing: Standing::Issuing,
            issuer: root,
            public_key: Some(&spki),
            constraints: Some(&constraints),
            now,
        };
        let findings = lint::authority(der, &meant);
        if !findings.is_empty() {
            let rules = lint::sentence(&findings);
            return Err(refused(format!("the issuing certificate is refused: {rules}")));
        }
        let made = x509::Authority { der: der.clone(), key };
        made.trial(&self.0.trust_domain, root, now)?;
        let key = IssuingKey::of(made, IssuingState::Spare, &keys.roots);
        let key = key.map_err(AuthorityError::Broken)?;
        // Others begin where they are made, and not five minutes before.
        let made_ms = key.made_ms.min(now_ms);
        Ok((IssuingKey { made_ms, ..key }, permitted))
    }

    /// Where the active certificate can issue no more, nobody can acknowledge anything either: the
    /// new one signs at once. Agents believe its root already.
    async fn replace_what_has_ended(&self, id: &str, now_ms: i64) -> Result<bool, AuthorityError> {
        let end_ms = self.keys().active()?.not_after * 1000;
        if end_ms - now_ms >= SHORTEST {
            return Ok(false);
        }
        self.activate(id, IssuingState::Retiring, now_ms).await?;
        Ok(true)
    }

    /// Ends belief in an issuing key: the spare signs at once, the key goes into every bundle as
    /// distrusted, and everybody renews within five minutes. `id` is a key id or its beginning.
    ///
    /// # Errors
    /// If there is no such key, or it signs and there is no spare to take over.
    pub async fn distrust_issuing(
        &self,
        id: &str,
        now_ms: i64,
    ) -> Result<Distrusted, AuthorityError> {
        let granting = self.0.granting.lock().await;
        let keys = self.keys();
        let id = id.to_ascii_lowercase().replace(':', "");
        let mut named =
            keys.issuing.iter().filter(|key| id.len() >= NAMED && key.id.starts_with(&id));
        let (Some(key), None) = (named.next(), named.next()) else {
            return Err(refused(format!("`{id}` names no issuing key, or not only one")));
        };
        let own = self.root();
        let ready = |spare: &&Arc<IssuingKey>| {
            spare.id != key.id && spare.not_after * 1000 - now_ms >= SHORTEST
        };
        // Under the root that signs. The one that is to come is believed already by whoever has the
        // bundle; the one that goes would take with it what it signs.
        let is_prepared = self.is_prepared().await?;
        let spare = keys
            .in_state(IssuingState::Spare)
            .filter(ready)
            .find(|spare| spare.root == own)
            .or_else(|| keys.in_state(IssuingState::Spare).filter(ready).find(|_| is_prepared));
        let certificates = self.0.store.live_of(&key.id, now_ms).await?;
        let mut states = vec![(key.id.clone(), IssuingState::Distrusted)];
        let successor = match (key.state, spare) {
            (IssuingState::Distrusted, _) => {
                return Err(refused(format!("the issuing key {} is distrusted already", key.id)));
            }
            (IssuingState::Active, None) => {
                return Err(refused(
                    "this key signs, and there is no spare to take over; `segwan ca issuing renew \
                 --root-key FILE` makes one"
                        .to_owned(),
                ));
            }
            (IssuingState::Active, Some(spare)) => {
                states.push((spare.id.clone(), IssuingState::Active));
                Some(spare.id.clone())
            }
            _ => None,
        };
        let change = Change {
            states,
            meta: Some((format!("distrusted.{}", key.id), now_ms.to_string())),
            renew_within: (certificates > 0).then_some(AT_ONCE),
            speaks_anew: successor.is_some(),
            ..Change::default()
        };
        self.change(change, &granting, now_ms).await?;
        let last = self.keys().in_state(IssuingState::Spare).next().is_none();
        Ok(Distrusted { id: key.id.clone(), successor, certificates, last })
    }

    /// What the list of the root has to say now.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn root_list(&self, now_ms: i64) -> Result<RootList, AuthorityError> {
        let root = root_id(&self.root())?;
        let own = self.root();
        let lists = self.0.store.crls().await?;
        let number = lists.iter().find(|list| list.issuer == root).map_or(0, |list| list.number);
        let keys = self.keys();
        let mut revoked = Vec::new();
        for key in keys.in_state(IssuingState::Distrusted).filter(|k| k.root == own) {
            let serial =
                Certificate::read(&key.authority.der).map_err(AuthorityError::Broken)?.serial;
            let at = self.0.store.meta(&format!("distrusted.{}", key.id)).await?;
            revoked.push((hex(&serial), at.and_then(|at| at.parse().ok()).unwrap_or(now_ms)));
        }
        Ok(RootList { number: (number + 1).max(now_ms), revoked })
    }

    /// Takes the root's list as it was signed where the root is.
    ///
    /// # Errors
    /// If it breaks a rule, is older than the one in force, or does not name every distrusted
    /// issuing certificate.
    pub async fn import_root_list(&self, der: &[u8], now_ms: i64) -> Result<(), AuthorityError> {
        let findings = lint::crl(der, &self.root(), now_ms / 1000);
        if !findings.is_empty() {
            let rules = lint::sentence(&findings);
            return Err(refused(format!("the root's revocation list is refused: {rules}")));
        }
        let read = Crl::read(der).map_err(|error| refused(error.to_string()))?;
        let wanted = self.root_list(now_ms).await?;
        let number = i64::try_from(read.number).unwrap_or(i64::MAX);
        let in_force = self.0.store.crls().await?;
        let issuer = root_id(&self.root())?;
        if in_force.iter().any(|list| list.issuer == issuer && list.number >= number) {
            return Err(refused("the root's revocation list is not newer".to_owned()));
        }
        for (serial, _) in &wanted.revoked {
            if !from_hex(serial).is_some_and(|serial| read.revokes(&serial)) {
                return Err(refused(format!(
                    "the root's revocation list does not name the distrusted issuing certificate \
                     {serial}"
                )));
            }
        }
        let list = StoredCrl {
            issuer,
            number,
            der: der.to_vec(),
            at_ms: now_ms,
            next_ms: read.next_update_ms,
        };
        let mut writing = self.0.store.write().await?;
        writing.set_crl(&list).await?;
        let entry = Entry { issuer: &list.issuer, ..Entry::new("crl", now_ms, "") };
        writing.record(&entry).await?;
        Ok(writing.commit().await?)
    }

    /// Records that the root's key was copied to a medium.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn note_root_exported(&self, now_ms: i64) -> Result<(), AuthorityError> {
        let id = root_id(&self.root())?;
        let mut writing = self.0.store.write().await?;
        let entry = Entry { issuer: &id, ..Entry::new("root_exported", now_ms, "") };
        writing.record(&entry).await?;
        Ok(writing.commit().await?)
    }

    /// The key that waits for its certificate, and what that shall speak for.
    fn pending(&self) -> Result<Option<(PrivateKey, Permitted)>, AuthorityError> {
        let place = self.pending_place();
        let (key, terms) = (place.join("key.pem"), place.join("terms.json"));
        if !key.exists() || !terms.exists() {
            return Ok(None);
        }
        let key = custody::read_key(&key, self.0.key_passphrase.as_ref())?;
        Ok(Some((key, said(Some(&custody::text(&terms)?))?)))
    }

    fn keep_pending(&self, key: &PrivateKey, permitted: &Permitted) -> Result<(), AuthorityError> {
        let place = self.pending_place();
        let part = place.with_extension("tmp");
        for old in [&part, &place] {
            match std::fs::remove_dir_all(old) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(DirectoryError::io(old, &error).into());
                }
                _ => {}
            }
        }
        make_private(&part)?;
        let text = custody::key_text(key, self.0.key_passphrase.as_ref())?;
        write_private(&part.join("key.pem"), text.as_bytes())?;
        write_private(&part.join("terms.json"), text_of(permitted).as_bytes())?;
        sync(&part)?;
        std::fs::rename(&part, &place).map_err(|e| DirectoryError::io(&place, &e))?;
        Ok(sync(&self.0.place.join("issuing"))?)
    }

    fn pending_place(&self) -> PathBuf {
        self.0.place.join("issuing").join("pending")
    }
}

/// Where the store keeps what issuing certificates may speak for.
pub(super) const PERMITTED: &str = "permitted";

/// What is permitted, as it is kept.
pub(super) fn text_of(permitted: &Permitted) -> String {
    serde_json::to_string(permitted).unwrap_or_default()
}

fn said(text: Option<&str>) -> Result<Permitted, AuthorityError> {
    let Some(text) = text else { return Ok(Permitted::default()) };
    serde_json::from_str(text)
        .map_err(|_| AuthorityError::Broken("what is permitted cannot be read".to_owned()))
}

/// The key id of a root, lower-case hex.
pub(super) fn root_id(der: &[u8]) -> Result<String, AuthorityError> {
    let read = Certificate::read(der).map_err(AuthorityError::Broken)?;
    let id = read
        .subject_key
        .ok_or_else(|| AuthorityError::Broken("the root has no key identifier".to_owned()))?;
    Ok(hex(&id))
}
