//! `Rotation`: how far a rotation of the root is, and what its next step waits for.

use super::keys::IssuingKey;
use super::maintenance::STALE_AFTER;
use super::roots::Step;
use super::{Authority, AuthorityError};
use crate::bundle::AUTHORITY_NAME;
use crate::store::{AgentRow, IssuingState};
use std::sync::Arc;

/// How far a rotation is, and what the next step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The step.
    pub step: Step,
    /// When it was made, Unix milliseconds; 0: never.
    pub since_ms: i64,
    /// Each root that is believed, DER; the Authority's own first.
    pub roots: Vec<Vec<u8>>,
    /// Agents that the next step waits for.
    pub missing: Vec<AgentRow>,
    /// Issuing certificates that sign under the new root, or will.
    pub issuing: usize,
    /// What else it waits for, in a sentence.
    pub waits: Option<String>,
    /// Agents that were not heard of for so long that nothing waits for them.
    pub stale: Vec<AgentRow>,
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
        // Where the old one's had ended, the new root's issuing key signs already.
        let takes_over = |key: &Arc<IssuingKey>| {
            key.root == incoming && matches!(key.state, IssuingState::Spare | IssuingState::Active)
        };
        let issuing = keys.issuing.iter().filter(|key| takes_over(key)).count();
        if roots.step == Step::Prepared && issuing == 0 {
            waits = Some("there is no issuing certificate under the new root".to_owned());
        }
        if roots.step == Step::Active && !self.is_under(AUTHORITY_NAME, &newest).await? {
            waits =
                Some("the Authority's own certificate is not under the new root yet".to_owned());
        }
        let (step, since_ms) = (roots.step, roots.since_ms);
        let roots = keys.roots.clone();
        Ok(Rotation { step, since_ms, roots, missing, issuing, waits, stale })
    }

    /// Whether every lineage of a name that is open holds a certificate under this root, and an agent
    /// came with it: one that was signed is in force only when it was taken. The Authority's own port
    /// has no agent, and takes what is signed for it at once.
    pub(super) async fn is_under(&self, name: &str, root: &[u8]) -> Result<bool, AuthorityError> {
        let keys = self.keys();
        for lineage in self.0.store.lineages_of(name).await? {
            if let Some(head) = self.0.store.head(&lineage).await?
                && (head.used_ms.is_none() && name != AUTHORITY_NAME
                    || keys.get(&head.issuer).is_none_or(|key| key.root != root))
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
