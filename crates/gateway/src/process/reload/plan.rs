//! `Plan`: what a reload changes, table by table. What is the same as before stays the very same
//! value, so that nobody is judged again for it.

use crate::admin::wire::{ContractReloaded, TableReloaded};
use crate::config::places::Places;
use crate::config::{self, Client, Config, IdentitySource, Service, Source};
use crate::explain::Rules;
use crate::gateway::{Change, Inspection, Tried};
use segwan_core::finding::Finding;
use segwan_core::identity::Identity;
use segwan_core::limits::Limits;
use segwan_core::policy::Policy;
use std::sync::Arc;
use std::time::Duration;

/// What changes, table by table.
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) rules: Vec<Rules>,
    pub(super) tables: Vec<TableReloaded>,
    /// Where the configuration says what.
    places: Places,
    /// What is looked at less than before.
    pub(super) warnings: Vec<Finding>,
    /// The trust domain of the Authority of this process, if it runs one.
    joins: Option<String>,
}

impl Plan {
    /// Nothing yet, of what `next` says. `joins` is the trust domain of the Authority that runs here.
    pub(super) fn of(next: &Config, joins: Option<String>) -> Self {
        let flags = matches!(next.source, Source::Flags { .. });
        Self {
            changes: Vec::new(),
            rules: Vec::new(),
            tables: Vec::new(),
            places: if flags { Places::of_nothing() } else { Places::of(&next.source.file()) },
            warnings: Vec::new(),
            joins,
        }
    }

    /// What is the same as before stays the very same: its decisions are kept, and nobody is judged
    /// again. Gives the warnings of its policies.
    pub(super) fn service(
        &mut self,
        next: &mut Service,
        now: &Service,
        rules: &Rules,
    ) -> Result<Vec<Finding>, Vec<Finding>> {
        let (policy, warnings) = config::policy(next)?;
        let mut changed = Vec::new();
        let is_same = policy.is_same_as(&rules.policy);
        let policy = if is_same { rules.policy.clone() } else { Arc::new(policy) };
        // What is told is what was written: that another contract has other actions is no news.
        if next.allow != now.allow {
            changed.push("allow");
        }
        if next.policies != now.policies {
            changed.push("policy");
        }
        if is_same_beside(next.beside.as_ref(), now.beside.as_ref()) {
            next.beside.clone_from(&now.beside);
        } else if is_slot_rewritten(
            (next.beside.as_ref(), &policy),
            (now.beside.as_ref(), &rules.policy),
        ) {
            changed.push("shadow");
        }
        // Whatever the reason, a policy that differs comes into force.
        if !is_same && changed.is_empty() && next.inspection.is_same_as(&now.inspection) {
            changed.push("policy");
        }
        let newcomers = self.newcomers(next, now);
        if next.audit_all != now.audit_all {
            changed.push("audit_messages");
        }
        self.rules.push(Rules {
            service: next.name.clone(),
            inspection: kept(&mut next.inspection, &now.inspection),
            beside: next.beside.clone(),
            policy: policy.clone(),
            limits: next.limits.clone(),
        });
        let change = Change {
            table: next.name.clone(),
            inspection: next.inspection.clone(),
            beside: next.beside.clone(),
            policy: Some(policy),
            record_cleared: next.audit_all,
            limits: next.limits.clone(),
            contract_grace: next.contract_grace,
        };
        let before = (&now.inspection, &now.limits, now.contract_grace);
        self.note("service", change, before, changed);
        if let Some(table) = self.tables.last_mut() {
            table.newcomers = newcomers;
        }
        Ok(warnings)
    }

    pub(super) fn client(&mut self, next: &mut Client, now: &Client) {
        kept(&mut next.inspection, &now.inspection);
        let change = Change {
            table: next.name.clone(),
            inspection: next.inspection.clone(),
            beside: None,
            policy: None,
            record_cleared: false,
            limits: next.limits.clone(),
            contract_grace: next.contract_grace,
        };
        let before = (&now.inspection, &now.limits, now.contract_grace);
        self.note("client", change, before, Vec::new());
    }

    /// Names that are new in `allow` and belong to the Authority that runs here.
    fn newcomers(&self, next: &Service, now: &Service) -> Vec<String> {
        if !matches!(next.identity, IdentitySource::State(_)) {
            return Vec::new();
        }
        let own = |it: &&Identity| it.trust_domain() == self.joins.as_deref() && !it.is_foreign();
        let new = next.allow.iter().filter(|it| !now.allow.contains(it)).filter(own);
        new.filter_map(|it| it.path()).map(str::to_owned).collect()
    }

    /// Notes what changes of a table, if anything does.
    fn note(
        &mut self,
        mode: &str,
        change: Change,
        (inspection, limits, grace): (&Inspection, &Limits, Duration),
        mut changed: Vec<&'static str>,
    ) {
        let contract = (!change.inspection.is_same_as(inspection)).then(|| ContractReloaded {
            before: said(inspection),
            now: said(&change.inspection),
            grace_ms: (inspection.enforced().is_some() || change.inspection.enforced().is_some())
                .then(|| u64::try_from(change.contract_grace.as_millis()).unwrap_or(u64::MAX)),
        });
        if change.limits != *limits {
            changed.push("limits");
        }
        if change.contract_grace != grace {
            changed.push("contract_grace");
        }
        let passes = passes_unseen(&change.inspection);
        if let Some(what) = passes.filter(|it| passes_unseen(inspection).as_ref() != Some(it)) {
            let message = format!("`{}` changes: {what}", change.table);
            let at = [mode, change.table.as_str(), "contract"];
            self.warnings.push(self.places.error(&at, message).warning());
        }
        let is_changed = contract.is_some() || !changed.is_empty();
        self.tables.push(TableReloaded {
            mode: mode.to_owned(),
            name: change.table.clone(),
            contract,
            changed: changed.into_iter().map(str::to_owned).collect(),
            newcomers: Vec::new(),
        });
        if is_changed {
            self.changes.push(change);
        }
    }
}

/// The inspection that is in force, where the next one is the same.
fn kept(next: &mut Inspection, now: &Inspection) -> Inspection {
    if next.is_same_as(now) {
        *next = now.clone();
    }
    next.clone()
}

fn is_same_beside(one: Option<&Tried>, two: Option<&Tried>) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => {
            one.contract.is_same_as(&two.contract) && one.policy.is_same_as(&two.policy)
        }
        _ => false,
    }
}

/// Whether the slot itself says something else, or only what it tries with is that of its service,
/// which changed.
fn is_slot_rewritten(
    (next, policy): (Option<&Tried>, &Policy),
    (now, before): (Option<&Tried>, &Policy),
) -> bool {
    let (Some(next), Some(now)) = (next, now) else { return true };
    let follow = next.policy.says_the_same(policy) && now.policy.says_the_same(before);
    !follow || !next.contract.is_same_as(&now.contract)
}

/// What passes without having been looked at, for a warning.
fn passes_unseen(inspection: &Inspection) -> Option<String> {
    match inspection {
        Inspection::Raw | Inspection::Recorded(_) => {
            Some("it is uninspected, and all bytes pass".to_owned())
        }
        Inspection::Shadow(contract) => {
            Some(format!("`{}` is tried, and refuses nothing", contract.name()))
        }
        Inspection::Contract(contract) => contract.uninspected(),
    }
}

/// What is looked at, in a word.
fn said(inspection: &Inspection) -> String {
    match inspection {
        Inspection::Raw => "raw".to_owned(),
        Inspection::Recorded(_) => "raw, recorded".to_owned(),
        Inspection::Contract(contract) => contract.name().to_owned(),
        Inspection::Shadow(contract) => {
            format!("{} ({})", contract.name(), crate::gateway::NOT_ENFORCED)
        }
    }
}
