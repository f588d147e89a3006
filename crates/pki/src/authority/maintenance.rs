//! What an Authority does by itself: lists made anew, the issuing key rolled over, old events and
//! agents forgotten, and what the operator should know (`pki.md` sections 2, 11.4, 12, 16).

use super::changing::Change;
use super::keys::Keys;
use super::roots::Roots;
use super::{Authority, AuthorityError, revoking};
use crate::ledger::Entry;
use crate::store::IssuingState;
use std::sync::{Arc, PoisonError};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// A list is made anew so long after it was made.
const CRL_AGE: i64 = HOUR;
/// Events are kept so long; who missed more gets everything anew.
const EVENTS: i64 = 7 * DAY;
/// Agents and tokens are remembered so long.
const REMEMBERED: i64 = 30 * DAY;
/// An agent that was heard of within this time holds a rollover up until it acknowledges.
pub(super) const STALE_AFTER: i64 = 7 * DAY;
/// Who administers this should do something so long before an issuing certificate ends.
const WARNED: i64 = 120 * DAY;

/// A certificate that ends so soon cannot issue any more.
const SHORTEST: i64 = 5 * 60_000;
/// Without a backup for so long the operator is reminded.
const BACKUP: i64 = 7 * DAY;

/// Something that the operator should know, raised as long as it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Its word, as in `pki.md` section 19.
    pub word: &'static str,
    /// The sentence, with the values that decided and the command that helps.
    pub sentence: String,
}

impl Authority {
    /// Does what is due; gives what is not as it should be. Called every minute.
    ///
    /// # Errors
    /// If the store cannot be read or written; what is due is done at the next call then.
    pub async fn maintain(&self, now_ms: i64) -> Result<Vec<Alarm>, AuthorityError> {
        let mut alarms = Vec::new();
        let mut raise = |word, sentence: String| alarms.push(Alarm { word, sentence });
        if let Some(low) = self.0.store.look_at_the_disk() {
            raise("disk_low", low);
        }
        if self.0.store.is_read_only() {
            let sentence = "the disk is full: nothing is issued, revoking works; make room";
            raise("store_read_only", sentence.to_owned());
        } else {
            self.noting_full(self.renew_crls(now_ms).await)?;
            self.noting_full(self.forget(now_ms).await)?;
            self.noting_full(self.end_grace(now_ms).await)?;
            // What follows matters more than a file that the store can make anew.
            if let Err(error) = self.keep_root_file() {
                let sentence = format!("the file of the root cannot be kept: {error}");
                raise("root_file", sentence);
            }
            match self.noting_full(self.roll_over(now_ms).await)? {
                Some(waits) => raise("rotation_blocked", waits),
                None => self.noting_full(self.renew_bundle(now_ms).await)?,
            }
        }
        self.forget_ended_tokens(now_ms);
        alarms.extend(self.life_of_keys(now_ms)?);
        alarms.extend(self.habits(now_ms).await?);
        Ok(alarms)
    }

    /// Signs each list anew that is an hour old.
    pub(super) async fn renew_crls(&self, now_ms: i64) -> Result<(), AuthorityError> {
        let keys = self.keys();
        for list in self.0.store.crls().await? {
            // One of the future comes from a clock that was set back since: nobody would take it.
            if (0..CRL_AGE).contains(&(now_ms - list.at_ms)) {
                continue;
            }
            // The root's own list waits for the root's key.
            let Some(key) = keys.get(&list.issuer) else { continue };
            let mut writing = self.0.store.write().await?;
            revoking::renew_crl(&mut writing, key, now_ms).await?;
            writing.commit().await?;
        }
        Ok(())
    }

    async fn forget(&self, now_ms: i64) -> Result<(), AuthorityError> {
        let mut writing = self.0.store.write().await?;
        writing.forget_events(now_ms - EVENTS).await?;
        writing.forget_tokens(now_ms - REMEMBERED).await?;
        writing.forget_agents(now_ms - REMEMBERED).await?;
        writing.commit().await?;
        self.forget_keys(now_ms).await
    }

    /// Forgets issuing keys that ended so long ago that nobody can even renew under them.
    async fn forget_keys(&self, now_ms: i64) -> Result<(), AuthorityError> {
        let grace = i64::try_from(self.0.renewal_grace.as_millis()).unwrap_or(i64::MAX / 4);
        let keys = self.keys();
        // The clock alone, which may have run ahead for a minute, takes no key away: the root has
        // certified another since.
        let known_ms = now_ms.min(keys.active()?.made_ms);
        let ended = |key: &&Arc<super::keys::IssuingKey>| {
            key.state != IssuingState::Active && key.not_after * 1000 + grace + DAY < known_ms
        };
        let ended: Vec<_> = keys.issuing.iter().filter(ended).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let _granting = self.0.granting.lock().await;
        for key in ended {
            let mut writing = self.0.store.write().await?;
            writing.forget_issuing_key(&key.id).await?;
            let entry =
                Entry { issuer: &key.id, detail: "forgotten", ..Entry::new("issuing", now_ms, "") };
            writing.record(&entry).await?;
            writing.commit().await?;
            // Its folder means nothing any more; one that stays is in nobody's way.
            let _ = std::fs::remove_dir_all(self.0.place.join("issuing").join(&key.id));
        }
        self.read_keys().await
    }

    /// At two thirds of the active certificate's life signing moves to the spare, once every known
    /// agent has a bundle that holds it (PKI-42). Gives why it waits, if it does.
    async fn roll_over(&self, now_ms: i64) -> Result<Option<String>, AuthorityError> {
        let keys = self.keys();
        let active = keys.active()?;
        let end_ms = active.not_after * 1000;
        let due_ms = active.made_ms + (end_ms - active.made_ms) * 66 / 100;
        if now_ms < due_ms {
            return Ok(None);
        }
        let later = |spare: &&Arc<super::keys::IssuingKey>| {
            spare.not_after > active.not_after && spare.root == active.root
        };
        let Some(spare) = keys.in_state(IssuingState::Spare).find(later) else {
            return Ok(Some(
                "the active issuing certificate is due and there is no spare; `segwan ca issuing \
                 renew --root-key FILE` makes one"
                    .to_owned(),
            ));
        };
        let version = self.0.store.bundle().await?.map_or(0, |(version, _)| version);
        let known = self.0.store.agents(now_ms - STALE_AFTER).await?;
        // Where the active one can issue no more, nobody can be asked either, and waiting would be
        // for ever.
        let over = end_ms - now_ms < SHORTEST;
        let behind: Vec<_> = known
            .iter()
            .filter(|agent| agent.bundle_version < version)
            .map(|agent| format!("{} at {}", agent.name, agent.host))
            .collect();
        if !behind.is_empty() && !over {
            return Ok(Some(format!(
                "the issuing certificate is due to change; it waits for {} to acknowledge bundle \
                 {version}: {}",
                behind.len(),
                behind.join(", ")
            )));
        }
        self.activate(&spare.id.clone(), IssuingState::Retiring, now_ms).await?;
        Ok(None)
    }

    /// Moves signing to another issuing key; what becomes of the present one is `former`.
    pub(super) async fn activate(
        &self,
        id: &str,
        former: IssuingState,
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        let granting = self.0.granting.lock().await;
        let active = self.keys().active()?.id.clone();
        let change = Change {
            states: vec![(active, former), (id.to_owned(), IssuingState::Active)],
            ..Change::default()
        };
        self.change(change, &granting, now_ms).await
    }

    /// Reads the issuing keys anew, after their states or their number changed.
    pub(super) async fn read_keys(&self) -> Result<(), AuthorityError> {
        let roots = Roots::read(&self.0.store, &self.0.root).await?.believed()?;
        let rows = self.0.store.issuing_keys().await?;
        let keys = Keys::read(&self.0.place, roots, &rows, self.0.key_passphrase.as_ref())?;
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// Where agents reach this Authority, for bundles.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn advertise(
        &self,
        addresses: Vec<String>,
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        *self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
        if self.0.store.is_read_only() {
            return Ok(());
        }
        self.renew_bundle(now_ms).await
    }

    /// What the operator should have done by now.
    async fn habits(&self, now_ms: i64) -> Result<Vec<Alarm>, AuthorityError> {
        let custody = self.custody().await?;
        let oldest = self.keys().issuing.iter().map(|key| key.made_ms).min();
        let founded = custody.founded_ms.or(oldest).unwrap_or(now_ms);
        let mut alarms = Vec::new();
        if now_ms - custody.backup_ms.unwrap_or(founded) >= BACKUP {
            let last = custody.backup_ms.map_or_else(
                || "was never backed up".to_owned(),
                |at| format!("was backed up {} days ago", (now_ms - at) / DAY),
            );
            let sentence =
                format!("this Authority {last}; `segwan ca backup FILE` makes one file of it");
            alarms.push(Alarm { word: "no_backup", sentence });
        }
        Ok(alarms)
    }

    /// What of the keys' lives the operator should know.
    fn life_of_keys(&self, now_ms: i64) -> Result<Vec<Alarm>, AuthorityError> {
        let keys = self.keys();
        let active = keys.active()?;
        let days = |end: i64| (end * 1000 - now_ms) / DAY;
        let mut alarms = Vec::new();
        let last = keys
            .issuing
            .iter()
            .filter(|key| matches!(key.state, IssuingState::Active | IssuingState::Spare))
            .map(|key| key.not_after)
            .max()
            .unwrap_or(active.not_after);
        if last * 1000 - now_ms < WARNED {
            let sentence = format!(
                "the last issuing certificate ends in {} days; `segwan ca issuing renew --root-key \
                 FILE` makes another",
                days(last)
            );
            alarms.push(Alarm { word: "issuing_expiring", sentence });
        }
        let spares = keys.in_state(IssuingState::Spare);
        let spares = spares.filter(|spare| spare.not_after * 1000 > now_ms).count();
        if spares == 0 {
            let sentence = format!(
                "there is no spare issuing certificate; the active one ends in {} days; `segwan ca \
                 issuing renew --root-key FILE` makes one",
                days(active.not_after)
            );
            alarms.push(Alarm { word: "no_spare", sentence });
        }
        Ok(alarms)
    }
}
