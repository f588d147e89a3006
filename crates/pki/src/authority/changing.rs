//! `Change`: what is believed and who signs, changed in one transaction with the ledger's lines, the
//! bundle that says so, and the events that tell of it (`pki.md` section 12).
//!
//! A half of it would be believed by half of the agents, so there is none: the keys are read as they
//! will be before anything is written, and nothing that can fail follows the commit.

use super::keys::Keys;
use super::roots::Roots;
use super::{Authority, AuthorityError};
use crate::api::AgentEvent;
use crate::bundle::Bundle;
use crate::ledger::Entry;
use crate::store::{IssuingState, Stored, Writing};
use std::sync::{Arc, PoisonError};
use tokio::sync::MutexGuard;

/// Held while certificates are granted and while that changes under which key: who changes it
/// shows it.
pub(super) type Granting<'a> = MutexGuard<'a, ()>;

/// What changes.
#[derive(Default)]
pub(super) struct Change<'a> {
    /// Issuing keys, and what they are for from now on.
    pub(super) states: Vec<(String, IssuingState)>,
    /// The roots as they will be.
    pub(super) roots: Option<Roots>,
    /// What else the store knows of the Authority as a whole.
    pub(super) meta: Option<(String, String)>,
    /// Further lines of the ledger.
    pub(super) entries: Vec<Entry<'a>>,
    /// Everybody renews within so long, milliseconds.
    pub(super) renew_within: Option<i64>,
    /// Whatever signs bundles has to be under the new key.
    pub(super) speaks_anew: bool,
}

impl Authority {
    /// Makes a change durable, all of it or nothing, and tells of it.
    pub(super) async fn change(
        &self,
        change: Change<'_>,
        _granting: &Granting<'_>,
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        // Nobody hears a new bundle by the key of before. It is locked before the store, as
        // everywhere.
        let mut speaker = self.0.speaker.lock().await;
        let keys = self.keys_after(&change).await?;
        let bundle = self.next_bundle(&keys, now_ms).await?;
        let mut writing = self.0.store.write_at_once().await?;
        for (id, state) in &change.states {
            writing.set_issuing_state(id, *state).await?;
            let entry =
                Entry { issuer: id, detail: state.as_str(), ..Entry::new("issuing", now_ms, "") };
            writing.record(&entry).await?;
        }
        if let Some(roots) = &change.roots {
            roots.keep(&mut writing).await?;
        }
        if let Some((key, value)) = &change.meta {
            writing.set_meta(key, value).await?;
        }
        for entry in &change.entries {
            writing.record(entry).await?;
        }
        let mut seq = None;
        if let Some(bundle) = bundle {
            seq = Some(add_bundle(&mut writing, bundle, now_ms).await?);
        }
        if let Some(window_ms) = change.renew_within {
            seq = Some(add_renewal(&mut writing, window_ms, now_ms).await?);
        }
        writing.commit().await?;
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        if change.speaks_anew {
            *speaker = None;
        }
        drop(speaker);
        if let Some(seq) = seq {
            self.tell(seq);
        }
        Ok(())
    }

    /// The keys as they will be. What cannot be read then is refused now.
    async fn keys_after(&self, change: &Change<'_>) -> Result<Keys, AuthorityError> {
        let roots = match &change.roots {
            Some(roots) => roots.believed()?,
            None => Roots::read(&self.0.store, &self.0.root).await?.believed()?,
        };
        let mut rows = self.0.store.issuing_keys().await?;
        for (id, state) in &change.states {
            for row in rows.iter_mut().filter(|row| row.id == *id) {
                row.state = *state;
            }
        }
        let keys = Keys::read(&self.0.place, roots, &rows, self.0.key_passphrase.as_ref())?;
        keys.active()?;
        Ok(keys)
    }

    /// Makes the next bundle if what it has to say has changed, and tells of it.
    pub(super) async fn renew_bundle(&self, now_ms: i64) -> Result<(), AuthorityError> {
        // A change between reading the keys and writing would be undone by what was read.
        let _granting = self.0.granting.lock().await;
        let Some(bundle) = self.next_bundle(&self.keys(), now_ms).await? else { return Ok(()) };
        let mut writing = self.0.store.write().await?;
        let seq = add_bundle(&mut writing, bundle, now_ms).await?;
        writing.commit().await?;
        self.tell(seq);
        Ok(())
    }

    /// What the next bundle says of these keys; none if the one in force says the same.
    async fn next_bundle(
        &self,
        keys: &Keys,
        now_ms: i64,
    ) -> Result<Option<Bundle>, AuthorityError> {
        let believed = keys.issuing.iter().filter(|key| key.state != IssuingState::Distrusted);
        let distrusted = keys.in_state(IssuingState::Distrusted);
        let mut bundle = Bundle {
            trust_domain: self.0.trust_domain.to_string(),
            epoch: self.0.epoch,
            version: 0,
            made_ms: now_ms,
            roots: keys.roots.clone(),
            issuing: believed.map(|key| key.authority.der.clone()).collect(),
            cross: keys.cross.clone(),
            distrusted: distrusted
                .map(|key| key.spki_hex())
                .chain(keys.distrusted.iter().cloned())
                .collect(),
            authority: self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let Some((_, body)) = self.0.store.bundle().await? else { return Ok(Some(bundle)) };
        let before = Bundle::read(body.as_bytes())
            .map_err(|error| AuthorityError::Broken(error.to_string()))?;
        // Without a port of its own, as when a command looks in, addresses stay what they were.
        if bundle.authority.is_empty() {
            bundle.authority.clone_from(&before.authority);
        }
        Ok((!bundle.says_the_same(&before)).then_some(bundle))
    }
}

/// Numbers a bundle, and adds it with its event and its line; gives the number of the event.
async fn add_bundle(
    writing: &mut Writing,
    mut bundle: Bundle,
    now_ms: i64,
) -> Result<i64, AuthorityError> {
    bundle.version = writing.next_bundle().await?;
    writing.add_bundle(bundle.version, &bundle.body(), now_ms).await?;
    let seq = writing.next_event().await?;
    let (kind, body) = ("bundle".to_owned(), bundle.version.to_string());
    writing.add_event(&Stored { seq, kind, body, at_ms: now_ms }).await?;
    let detail = bundle.version.to_string();
    writing.record(&Entry { detail: &detail, ..Entry::new("bundle", now_ms, "") }).await?;
    Ok(seq)
}

/// Tells every agent to renew, spread over a window; gives the number of the event.
async fn add_renewal(
    writing: &mut Writing,
    window_ms: i64,
    now_ms: i64,
) -> Result<i64, AuthorityError> {
    let event = AgentEvent::RenewNow { window_ms, lineages: Vec::new() };
    let body = serde_json::to_string(&event).unwrap_or_default();
    let seq = writing.next_event().await?;
    let kind = "renew_now".to_owned();
    writing.add_event(&Stored { seq, kind, body, at_ms: now_ms }).await?;
    Ok(seq)
}
