//! `Setting`: what a reload can change of a table, as one value that is never changed itself.
//!
//! Whatever decides reads it once. A contract is pinned to a connection when it opens, because
//! framing state cannot move to another one; the policy is read again for every message.

use super::shadow::Desk;
use super::{Inspection, Tried};
use segwan_core::contract::Contract;
use segwan_core::contract::units::shown;
use segwan_core::limits::Limits;
use segwan_core::policy::Policy;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a connection under a contract that was replaced may go on, where nothing else is said.
pub const CONTRACT_GRACE: Duration = Duration::from_secs(5 * 60);

/// What is to be in force at a table that runs.
#[derive(Clone)]
pub struct Change {
    /// Name of the table.
    pub table: String,
    /// What is looked at.
    pub inspection: Inspection,
    /// What is tried beside it.
    pub beside: Option<Tried>,
    /// Who may connect, and who may do what; none for a client half.
    pub policy: Option<Arc<Policy>>,
    /// Also record every message that is let through.
    pub record_cleared: bool,
    /// Waits and numbers.
    pub limits: Limits,
    /// How long connections under a contract that is replaced go on. Default 5 min.
    pub contract_grace: Duration,
}

/// What is in force at a table.
pub(super) struct Setting {
    pub(super) inspection: Inspection,
    pub(super) beside: Option<Tried>,
    /// None in client mode: the far gateway decides what may be done.
    pub(super) policy: Option<Arc<Policy>>,
    pub(super) record_cleared: bool,
    pub(super) limits: Arc<Limits>,
    pub(super) contract_grace: Duration,
    /// Where copies of what is said are looked at, if a contract is only tried.
    pub(super) desk: Option<Desk>,
    /// The time in which its contract is in force.
    pub(super) tenure: Arc<Tenure>,
}

impl Setting {
    pub(super) fn new(change: Change, share: usize, desk: Option<Desk>) -> Self {
        let Change { inspection, beside, policy, record_cleared, mut limits, .. } = change;
        limits.max_connections = limits.max_connections.min(share);
        Self {
            inspection,
            beside,
            policy,
            record_cleared,
            limits: Arc::new(limits),
            contract_grace: change.contract_grace,
            desk,
            tenure: Arc::default(),
        }
    }

    /// Whether connections that were opened under the other are held to the same.
    pub(super) fn enforces_the_same(&self, other: &Self) -> bool {
        match (self.inspection.enforced(), other.inspection.enforced()) {
            (None, None) => true,
            (Some(one), Some(two)) => one.is_same_as(two),
            _ => false,
        }
    }

    /// Has `next` in its place: those who were opened under it go on for a while.
    pub(super) fn give_way_to(&self, next: &Self, now: Instant) {
        let named = |setting: &Self| match setting.inspection.enforced() {
            Some(contract) => format!("the contract `{}`", contract.name()),
            None => "no contract".to_owned(),
        };
        let grace = next.contract_grace;
        let sentence =
            format!("{} took the place of {} {} ago", named(next), named(self), shown(grace));
        let (until, cut) = (now + grace, now + grace + next.limits.drain_timeout);
        let contract = self.inspection.enforced().map(|contract| contract.name().to_owned());
        self.tenure.end(Over { until, cut, sentence, contract });
    }
}

impl Inspection {
    /// The contract that nothing passes without, if there is one.
    #[must_use]
    pub fn enforced(&self) -> Option<&Arc<Contract>> {
        match self {
            Self::Contract(contract) => Some(contract),
            Self::Raw | Self::Recorded(_) | Self::Shadow(_) => None,
        }
    }

    /// Whether both look at the same, in the same manner.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Raw, Self::Raw) => true,
            (Self::Recorded(one), Self::Recorded(two)) => one.masks_as(two),
            (Self::Contract(one), Self::Contract(two)) | (Self::Shadow(one), Self::Shadow(two)) => {
                one.is_same_as(two)
            }
            _ => false,
        }
    }
}

/// The time in which a contract is in force at a table, as the connections under it know it.
#[derive(Debug, Default)]
pub(super) struct Tenure(OnceLock<Over>);

/// Another contract is in force.
#[derive(Debug)]
pub(super) struct Over {
    /// Until when connections go on as before; then they end at a quiet moment.
    pub(super) until: Instant,
    /// When those are cut that had none.
    pub(super) cut: Instant,
    /// What took the place of what.
    pub(super) sentence: String,
    /// The contract that was in force; none: nothing was enforced.
    pub(super) contract: Option<String>,
}

impl Tenure {
    /// It is over; only the first time counts.
    fn end(&self, over: Over) {
        let _ = self.0.set(over);
    }

    /// Whether it is, and what follows.
    pub(super) fn over(&self) -> Option<&Over> {
        self.0.get()
    }
}
