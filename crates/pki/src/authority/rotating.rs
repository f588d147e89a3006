//! Rotation of the root: two roots side by side, one step at a time, each gated on what every
//! known agent has acknowledged (`pki.md` section 12.1).
//!
//! The state is in the store, so it survives a restart and is in every backup. The keys of both
//! roots stay with the operator: what they signed is brought here.

use super::custody::root_id;
use super::keys::Keys;
use super::maintenance::STALE_AFTER;
use super::{Authority, AuthorityError};
use crate::api;
use crate::bundle::AUTHORITY_NAME;
use crate::certificate::Certificate;
use crate::custody::CustodyError;
use crate::directory::{DirectoryError, pem_of, sync, write_private};
use crate::key::{hex, sha256};
use crate::ledger::Entry;
use crate::lint::{self, MeantAuthority, Standing};
use crate::store::{AgentRow, IssuingState, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// In how long everybody renews under the new root, milliseconds (`rotation_window`).
pub const ROTATION_WINDOW: i64 = 3_600_000;
/// The same where the old root is in somebody else's hands.
pub const EXPULSION_WINDOW: i64 = 5 * 60_000;
/// Where the store keeps it.
const ROOTS: &str = "roots";

/// How far a rotation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// One root.
    #[default]
    Steady,
    /// The new root is believed beside the old one, which still signs.
    Prepared,
    /// The new root's issuing key signs.
    Active,
    /// Everybody renews under the new root.
    Tainted,
}

impl Step {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Tainted => "tainted",
        }
    }
}

/// The roots of an Authority, and how far a rotation of them is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roots {
    /// Base64 of DER. The first one is the Authority's; a second one comes or goes.
    roots: Vec<String>,
    /// Roots that are believed no more, and under which recorded certificates may still renew.
    former: Vec<String>,
    /// The new root by the old one. It is shown on after the rotation, as long as the old one lives:
    /// whoever slept through all of it believes the new one by it.
    cross: Vec<String>,
    /// SHA-256 of keys of roots that are believed nowhere, and when that may be forgotten.
    distrusted: Vec<(String, i64)>,
    step: Step,
    since_ms: i64,
    /// When a former root stops being believed after `--compromised --grace`.
    until_ms: Option<i64>,
}

/// What [`Keys`] are read with.
pub(super) struct Believed {
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) former: Vec<Vec<u8>>,
    pub(super) cross: Vec<Vec<u8>>,
    pub(super) distrusted: Vec<String>,
}

impl Roots {
    /// As the store has it; before the first rotation that is the one root of the directory.
    pub(super) async fn read(store: &Store, first: &[u8]) -> Result<Self, AuthorityError> {
        match store.meta(ROOTS).await? {
            Some(text) => serde_json::from_str(&text).map_err(|_| {
                AuthorityError::Broken("the roots in the store cannot be read".to_owned())
            }),
            None => Ok(Self { roots: vec![api::text(first)], ..Self::default() }),
        }
    }

    pub(super) fn believed(&self) -> Result<Believed, AuthorityError> {
        let ders = |all: &[String]| {
            let read = all.iter().map(|text| api::der(text, 8 * 1024)).collect::<Option<Vec<_>>>();
            read.ok_or_else(|| {
                AuthorityError::Broken("a root in the store cannot be read".to_owned())
            })
        };
        Ok(Believed {
            roots: ders(&self.roots)?,
            former: ders(&self.former)?,
            cross: ders(&self.cross)?,
            distrusted: self.distrusted.iter().map(|(spki, _)| spki.clone()).collect(),
        })
    }
}

/// How far a rotation is, and what the next step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The step.
    pub step: Step,
    /// When it was made, Unix milliseconds; 0: never.
    pub since_ms: i64,
    /// SHA-256 of each root that is believed, lower-case hex; the Authority's own first.
    pub roots: Vec<String>,
    /// Agents that the next step waits for.
    pub missing: Vec<AgentRow>,
    /// What else it waits for, in a sentence.
    pub waits: Option<String>,
    /// Agents that were not heard of for so long that nothing waits for them.
    pub stale: Vec<AgentRow>,
}

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
    /// How far a rotation of the root is.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn rotation(&self, now_ms: i64) -> Result<Rotation, AuthorityError> {
        let roots = self.roots().await?;
        let version = self.0.store.bundle().await?.map_or(0, |(version, _)| version);
        let all = self.0.store.agents(0).await?;
        let (known, stale): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|agent| agent.heard_ms >= now_ms - STALE_AFTER);
        let keys = self.keys();
        let newest = keys.roots.first().cloned().unwrap_or_default();
        let (mut missing, mut waits) = (Vec::new(), None);
        match roots.step {
            Step::Steady => {}
            Step::Prepared | Step::Active => {
                missing = known.into_iter().filter(|one| one.bundle_version < version).collect();
            }
            Step::Tainted => {
                for agent in known {
                    if !self.is_under(&agent.name, &newest).await? {
                        missing.push(agent);
                    }
                }
            }
        }
        let incoming = keys.roots.last().cloned().unwrap_or_default();
        if roots.step == Step::Prepared
            && !keys.in_state(IssuingState::Spare).any(|key| key.root == incoming)
        {
            waits = Some("there is no issuing certificate under the new root".to_owned());
        }
        if roots.step == Step::Active && !self.is_under(AUTHORITY_NAME, &newest).await? {
            waits =
                Some("the Authority's own certificate is not under the new root yet".to_owned());
        }
        let fingerprints = keys.roots.iter().map(|root| hex(&sha256(root))).collect();
        let (step, since_ms) = (roots.step, roots.since_ms);
        Ok(Rotation { step, since_ms, roots: fingerprints, missing, waits, stale })
    }

    /// Takes a new root beside the present one: it is believed from now on, and signs nothing yet.
    /// `cross` is the new root by the present one, for agents that sleep; without it they need a
    /// new token, as after a compromise.
    ///
    /// # Errors
    /// If a rotation is under way, or one of the certificates breaks a rule.
    pub async fn prepare_root(
        &self,
        new: &[u8],
        cross: Option<&[u8]>,
        now_ms: i64,
    ) -> Result<Rotation, AuthorityError> {
        let mut roots = self.roots().await?;
        if roots.step != Step::Steady {
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
        roots.roots = vec![api::text(&present), api::text(new)];
        // What joins a root of earlier is of no use to anybody who slept through two rotations.
        roots.cross = cross.map(api::text).into_iter().collect();
        self.step(roots, Step::Prepared, &[], now_ms).await?;
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
            Step::Active => self.sign_under_the_new_root(&mut roots, without, now_ms).await?,
            Step::Tainted => {
                self.step(roots, Step::Tainted, without, now_ms).await?;
                self.tell_to_renew(window_ms, now_ms).await?;
            }
            Step::Steady | Step::Prepared => self.retire(roots, without, None, now_ms).await?,
        }
        Ok(Stepped::Done(self.rotation(now_ms).await?))
    }

    /// Ends belief in the present root, whose key somebody else may have: the new one, which was
    /// prepared, signs at once, everybody renews within the window, and nobody is waited for.
    /// Gives the agents that do not have the bundle with the new root: they need new tokens.
    ///
    /// # Errors
    /// If no new root was prepared, with an issuing certificate under it.
    pub async fn expel_root(
        &self,
        grace_ms: i64,
        window_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<AgentRow>, AuthorityError> {
        let rotation = self.rotation(now_ms).await?;
        if rotation.step != Step::Prepared {
            return Err(refused("no new root was prepared"));
        }
        if let Some(waits) = rotation.waits {
            return Err(refused(waits));
        }
        let mut roots = self.roots().await?;
        // Nothing by the lost root is believed, its word for the new one least of all.
        roots.cross.clear();
        self.sign_under_the_new_root(&mut roots, &[], now_ms).await?;
        let until = (grace_ms > 0).then_some(now_ms + grace_ms);
        self.retire(self.roots().await?, &[], until, now_ms).await?;
        self.tell_to_renew(window_ms, now_ms).await?;
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
        let roots = self.roots().await?;
        match roots.until_ms {
            Some(until) if until <= now_ms => self.retire(roots, &[], None, now_ms).await,
            _ => Ok(()),
        }
    }

    /// The issuing key under the new root takes over, and the new root stands first.
    async fn sign_under_the_new_root(
        &self,
        roots: &mut Roots,
        without: &[String],
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        let keys = self.keys();
        let incoming = keys.roots.last().cloned().unwrap_or_default();
        // The key first: both roots are believed already, so a crash in between leaves an Authority
        // that works, and the same command goes on from there.
        if keys.active()?.root != incoming {
            let spare = keys.in_state(IssuingState::Spare).find(|key| key.root == incoming);
            let spare =
                spare.ok_or_else(|| refused("no issuing certificate is under the new root"))?;
            self.activate(&spare.id, IssuingState::Retiring, now_ms).await?;
        }
        roots.roots.reverse();
        self.step(roots.clone(), Step::Active, without, now_ms).await?;
        *self.0.speaker.lock().await = None;
        Ok(())
    }

    /// The old root is believed no more, nor is anything under it. With `until` that waits.
    async fn retire(
        &self,
        mut roots: Roots,
        without: &[String],
        until: Option<i64>,
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        roots.until_ms = until;
        if until.is_some() {
            return self.step(roots, Step::Tainted, without, now_ms).await;
        }
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
        let under_others = keys.issuing.iter().filter(|key| key.root != own);
        let mut writing = self.0.store.write_at_once().await?;
        for key in under_others {
            writing.set_issuing_state(&key.id, IssuingState::Distrusted).await?;
        }
        writing.commit().await?;
        replace(&self.0.place.join("root.pem"), &own)?;
        self.step(roots, Step::Steady, without, now_ms).await
    }

    /// Makes a step durable, and tells of it.
    async fn step(
        &self,
        mut roots: Roots,
        step: Step,
        without: &[String],
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        (roots.step, roots.since_ms) = (step, now_ms);
        let text = serde_json::to_string(&roots).unwrap_or_default();
        let mut writing = self.0.store.write_at_once().await?;
        writing.set_meta(ROOTS, &text).await?;
        let detail = step.as_str();
        writing.record(&Entry { detail, ..Entry::new("rotation", now_ms, "") }).await?;
        for name in without {
            let entry = Entry { detail: "forced", ..Entry::new("rotation", now_ms, name) };
            writing.record(&entry).await?;
        }
        writing.commit().await?;
        self.read_keys().await?;
        self.renew_bundle(now_ms).await
    }

    async fn roots(&self) -> Result<Roots, AuthorityError> {
        Roots::read(&self.0.store, &self.0.root).await
    }

    /// Whether every lineage of a name that is open holds a certificate under this root.
    async fn is_under(&self, name: &str, root: &[u8]) -> Result<bool, AuthorityError> {
        let keys = self.keys();
        for lineage in self.0.store.lineages_of(name).await? {
            if let Some(head) = self.0.store.head(&lineage).await?
                && keys.get(&head.issuer).is_none_or(|key| key.root != root)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
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
