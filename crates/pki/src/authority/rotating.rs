//! Rotation of the root: two roots side by side, one step at a time, each gated on what every
//! known agent has acknowledged (`pki.md` section 12.1).
//!
//! The state is in the store, so it survives a restart and is in every backup. The keys of both
//! roots stay with the operator: what they signed is brought here.

use super::changing::Change;
use super::custody::root_id;
use super::keys::{IssuingKey, Keys, certificate};
use super::roots::{Roots, Step};
use super::rotation::Rotation;
use super::{Authority, AuthorityError};
use crate::api;
use crate::bundle::AUTHORITY_NAME;
use crate::certificate::Certificate;
use crate::custody::{CustodyError, remove_local};
use crate::directory::{DirectoryError, pem_of, sync, write_private};
use crate::key::{hex, sha256};
use crate::ledger::Entry;
use crate::lint::{self, MeantAuthority, Standing};
use crate::store::{AgentRow, IssuingState};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// In how long everybody renews under the new root, milliseconds (`rotation_window`).
pub const ROTATION_WINDOW: i64 = 3_600_000;
/// The same where the old root is in somebody else's hands.
pub const EXPULSION_WINDOW: i64 = 5 * 60_000;
/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stepped {
    /// It is made.
    Done(Rotation),
    /// It waits, for whom the rotation names.
    Blocked(Rotation),
}

fn refused(why: impl Into<String>) -> AuthorityError {
    AuthorityError::Custody(CustodyError::Refused(why.into()))
}

impl Authority {
    /// Takes a new root beside the present one: it is believed from now on, and signs nothing yet.
    /// `cross` is the new root by the present one, for agents that sleep; without it they need a
    /// new token, as after a compromise.
    ///
    /// # Errors
    /// If a rotation is under way in which something was signed under the new root, or one of the
    /// certificates breaks a rule.
    pub async fn prepare_root(
        &self,
        new: &[u8],
        cross: Option<&[u8]>,
        now_ms: i64,
    ) -> Result<Rotation, AuthorityError> {
        let granting = self.0.granting.lock().await;
        let mut roots = self.roots().await?;
        let begun = self.rotation(now_ms).await?;
        // A root whose key was lost before anything was signed under it is given up for another:
        // there would be no way out of the rotation, not even for a stolen key.
        let gives_up = begun.step == Step::Prepared && begun.issuing == 0;
        if roots.step != Step::Steady && !gives_up {
            return Err(refused(format!("a rotation is under way: {}", roots.step.as_str())));
        }
        let present = self.root();
        let read = Certificate::read(new).map_err(refused)?;
        let meant = MeantAuthority {
            standing: Standing::Root,
            issuer: new,
            public_key: None,
            constraints: None,
            now: now_ms / 1000,
        };
        let mut findings = lint::authority(new, &meant);
        if let Some(cross) = cross {
            let meant = MeantAuthority {
                standing: Standing::Cross,
                issuer: &present,
                public_key: Some(&read.public_key),
                ..meant
            };
            findings.extend(lint::authority(cross, &meant));
        }
        if !findings.is_empty() {
            return Err(refused(format!("the new root is refused: {}", lint::sentence(&findings))));
        }
        if root_id(new)? == root_id(&present)? {
            return Err(refused("the new root has the key of the present one"));
        }
        if self.is_withdrawn(&roots, &read.public_key)? {
            return Err(refused("the new root has a key that is believed no more"));
        }
        roots.roots = vec![api::text(&present), api::text(new)];
        // What joins a root of earlier is of no use to anybody who slept through two rotations.
        roots.cross = cross.map(api::text).into_iter().collect();
        let mut change = stepped(roots, Step::Prepared, &[], now_ms);
        if gives_up {
            change.entries.push(Entry { detail: "given up", ..Entry::new("rotation", now_ms, "") });
        }
        self.change(change, &granting, now_ms).await?;
        self.rotation(now_ms).await
    }

    /// Makes the next step, if everybody has acknowledged the one before. Whoever is named in
    /// `without` is not waited for; that is recorded.
    ///
    /// # Errors
    /// If no rotation is under way, or the store cannot be written.
    pub async fn next_step(
        &self,
        to: Step,
        without: &[String],
        window_ms: i64,
        now_ms: i64,
    ) -> Result<Stepped, AuthorityError> {
        let granting = self.0.granting.lock().await;
        let mut rotation = self.rotation(now_ms).await?;
        let follows = matches!(
            (rotation.step, to),
            (Step::Prepared, Step::Active)
                | (Step::Active, Step::Tainted)
                | (Step::Tainted, Step::Steady)
        );
        if !follows {
            let is = rotation.step.as_str();
            return Err(refused(format!(
                "the rotation is {is}; this is not the step that follows"
            )));
        }
        rotation.missing.retain(|agent| !without.contains(&agent.name));
        if !rotation.missing.is_empty() || rotation.waits.is_some() {
            return Ok(Stepped::Blocked(rotation));
        }
        let mut roots = self.roots().await?;
        match to {
            Step::Active => {
                let states = self.under_the_new_root(&mut roots)?;
                let step = stepped(roots, Step::Active, without, now_ms);
                let change = Change { states, speaks_anew: true, ..step };
                self.change(change, &granting, now_ms).await?;
            }
            Step::Tainted => {
                let step = stepped(roots, Step::Tainted, without, now_ms);
                let change = Change { renew_within: Some(window_ms), ..step };
                self.change(change, &granting, now_ms).await?;
            }
            Step::Steady | Step::Prepared => {
                let change = self.retired(roots, without, now_ms)?;
                self.change(change, &granting, now_ms).await?;
                self.root_is_another();
            }
        }
        Ok(Stepped::Done(self.rotation(now_ms).await?))
    }

    /// Ends belief in the old root, whose key somebody else may have: the new one signs at once,
    /// everybody renews within the window, and nobody is waited for. It ends whatever rotation is
    /// under way, however far that is. Gives the agents that do not have the bundle with the new
    /// root: they need new tokens.
    ///
    /// # Errors
    /// If no new root was prepared, or no issuing certificate is under it.
    pub async fn expel_root(
        &self,
        grace_ms: i64,
        window_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<AgentRow>, AuthorityError> {
        let granting = self.0.granting.lock().await;
        let rotation = self.rotation(now_ms).await?;
        let mut roots = self.roots().await?;
        // Nothing by the lost root is believed, its word for the new one least of all.
        roots.cross.clear();
        let states = match (rotation.step, rotation.waits) {
            (Step::Steady, _) => return Err(refused("no new root was prepared")),
            (Step::Prepared, Some(waits)) => return Err(refused(waits)),
            (Step::Prepared, None) => self.under_the_new_root(&mut roots)?,
            // The new root stands first already, and what is under it signs, unless its key was lost.
            (Step::Active | Step::Tainted, _) => self.signing_under(&self.root())?,
        };
        let mut change = if grace_ms > 0 {
            roots.until_ms = Some(now_ms.saturating_add(grace_ms));
            stepped(roots, Step::Tainted, &[], now_ms)
        } else {
            self.retired(roots, &[], now_ms)?
        };
        // Of a key that is distrusted already it is not said again that it retires.
        let named: BTreeSet<_> = change.states.iter().map(|(id, _)| id.clone()).collect();
        change.states.extend(states.into_iter().filter(|(id, _)| !named.contains(id)));
        change.entries.push(Entry { detail: "compromised", ..Entry::new("rotation", now_ms, "") });
        (change.renew_within, change.speaks_anew) = (Some(window_ms), true);
        self.change(change, &granting, now_ms).await?;
        self.root_is_another();
        Ok(rotation.missing.into_iter().chain(rotation.stale).collect())
    }

    /// Whether the Authority's own port shows a certificate that was made since the last step: until
    /// then it does not know of it.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn port_has_followed(&self) -> Result<bool, AuthorityError> {
        let since_ms = self.roots().await?.since_ms;
        for lineage in self.0.store.lineages_of(AUTHORITY_NAME).await? {
            let head = self.0.store.head(&lineage).await?;
            if head.is_some_and(|head| head.made_ms < since_ms) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends what a grace has left of a root, once it is over.
    pub(super) async fn end_grace(&self, now_ms: i64) -> Result<(), AuthorityError> {
        let granting = self.0.granting.lock().await;
        let roots = self.roots().await?;
        if roots.until_ms.is_none_or(|until| until > now_ms) {
            return Ok(());
        }
        let change = self.retired(roots, &[], now_ms)?;
        self.change(change, &granting, now_ms).await?;
        self.root_is_another();
        Ok(())
    }

    /// The new root stands first, and the issuing key under it takes over: what becomes of which.
    fn under_the_new_root(
        &self,
        roots: &mut Roots,
    ) -> Result<Vec<(String, IssuingState)>, AuthorityError> {
        roots.roots.reverse();
        let incoming = self.keys().roots.last().cloned().unwrap_or_default();
        self.signing_under(&incoming)
    }

    /// What becomes of which issuing key where none but one under this root may sign.
    fn signing_under(&self, root: &[u8]) -> Result<Vec<(String, IssuingState)>, AuthorityError> {
        let keys = self.keys();
        let active = keys.active()?;
        // An Authority whose certificate had ended signs under the new root already.
        if active.root == root {
            return Ok(Vec::new());
        }
        let spare = keys.in_state(IssuingState::Spare).find(|key| key.root == root);
        let spare = spare.ok_or_else(|| refused("no issuing certificate is under the new root"))?;
        Ok(vec![
            (active.id.clone(), IssuingState::Retiring),
            (spare.id.clone(), IssuingState::Active),
        ])
    }

    /// The old root is believed no more, nor is anything under it.
    fn retired<'a>(
        &self,
        mut roots: Roots,
        without: &'a [String],
        now_ms: i64,
    ) -> Result<Change<'a>, AuthorityError> {
        roots.until_ms = None;
        let gone: Vec<_> = roots.roots.drain(1..).collect();
        for text in gone {
            let der = api::der(&text, 8 * 1024).unwrap_or_default();
            let read = Certificate::read(&der).map_err(AuthorityError::Broken)?;
            let entry = (hex(&sha256(&read.public_key)), read.not_after * 1000);
            roots.distrusted.push(entry);
            roots.former.push(text);
        }
        roots.distrusted.retain(|(_, end_ms)| *end_ms > now_ms);
        let own = roots.believed()?.roots.into_iter().next().unwrap_or_default();
        let keys = self.keys();
        let falls =
            |key: &&Arc<IssuingKey>| key.root != own && key.state != IssuingState::Distrusted;
        let fallen = keys.issuing.iter().filter(falls);
        let mut states: Vec<_> =
            fallen.map(|key| (key.id.clone(), IssuingState::Distrusted)).collect();
        // One of the old root may sign again since, where the new one's key was lost.
        let successor = self.signing_under(&own)?.into_iter();
        states.extend(successor.filter(|(_, state)| *state == IssuingState::Active));
        Ok(Change { states, ..stepped(roots, Step::Steady, without, now_ms) })
    }

    /// The step is made whatever becomes of the file: maintenance tries again, and says why it fails.
    fn root_is_another(&self) {
        let _ = self.keep_root_file();
    }

    /// Puts the Authority's own root into its file, where that holds one which is believed no more,
    /// and removes the key of the one before, if it lies on this host: it is of no use to anybody
    /// who means well. The store says which roots there are; a start after a power loss ends what
    /// is left to do, as the file is the last to change.
    pub(super) fn keep_root_file(&self) -> Result<(), AuthorityError> {
        let path = self.0.place.join("root.pem");
        let keys = self.keys();
        if keys.roots.contains(&certificate(&path)?) {
            return Ok(());
        }
        match keys.roots.first() {
            Some(own) => {
                remove_local(&self.0.place)?;
                replace(&path, own)
            }
            None => Err(AuthorityError::Broken("no root is believed".to_owned())),
        }
    }

    /// Whether a key was a root's or an issuing one's of which belief has ended. Agents would refuse
    /// whatever is under it.
    fn is_withdrawn(&self, roots: &Roots, public_key: &[u8]) -> Result<bool, AuthorityError> {
        let (spki, keys) = (hex(&sha256(public_key)), self.keys());
        let mut distrusted = keys.in_state(IssuingState::Distrusted);
        let former = roots.believed()?.former;
        let mut former = former.iter().filter_map(|der| Certificate::read(der).ok());
        Ok(roots.distrusted.iter().any(|(key, _)| *key == spki)
            || distrusted.any(|key| key.spki_hex() == spki)
            || former.any(|root| root.public_key == public_key))
    }

    /// Whether a new root is believed that signs nothing yet.
    pub(super) async fn is_prepared(&self) -> Result<bool, AuthorityError> {
        Ok(self.roots().await?.step == Step::Prepared)
    }

    pub(super) async fn roots(&self) -> Result<Roots, AuthorityError> {
        Roots::read(&self.0.store, &self.0.root).await
    }
}

/// The roots after a step, with its lines in the ledger.
fn stepped(mut roots: Roots, step: Step, without: &[String], now_ms: i64) -> Change<'_> {
    (roots.step, roots.since_ms) = (step, now_ms);
    let mut entries = vec![Entry { detail: step.as_str(), ..Entry::new("rotation", now_ms, "") }];
    let forced = |name| Entry { detail: "forced", ..Entry::new("rotation", now_ms, name) };
    entries.extend(without.iter().map(|name| forced(name.as_str())));
    Change { roots: Some(roots), entries, ..Change::default() }
}

impl Keys {
    /// Certificates that join an older root to the one of an issuing key, for agents that slept.
    pub(super) fn cross_of(&self, root: &[u8]) -> Vec<Vec<u8>> {
        let subject = |der: &[u8]| Certificate::read(der).ok().and_then(|read| read.subject_key);
        let wanted: BTreeSet<_> = subject(root).into_iter().collect();
        let joins = |der: &&Vec<u8>| subject(der).is_some_and(|id| wanted.contains(&id));
        self.cross.iter().filter(joins).cloned().collect()
    }
}

/// Writes the root's certificate in place of the one before, whole or not at all.
fn replace(path: &Path, der: &[u8]) -> Result<(), AuthorityError> {
    let part = path.with_extension("tmp");
    let _ = std::fs::remove_file(&part);
    write_private(&part, pem_of(der).as_bytes())?;
    std::fs::rename(&part, path).map_err(|e| DirectoryError::io(path, &e))?;
    match path.parent() {
        Some(parent) => Ok(sync(parent)?),
        None => Ok(()),
    }
}
