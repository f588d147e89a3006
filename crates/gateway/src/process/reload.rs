//! A changed configuration comes into force whole, or not at all (`trust.md` section 6).
//!
//! Everything is read and checked first, by the same code as `segwan check` and a start. A
//! [`Reload`] that exists was found good, and putting it in force cannot fail; what is not good is
//! told with every finding, and what was in force stays.

mod again;
mod fixed;
mod turns;

pub(crate) use turns::Reloads;

use super::{Running, now_ms, upkeep};
use crate::admin::wire::{ContractReloaded, ReloadAnswer, TableReloaded};
use crate::capture::{self, Capture};
use crate::config::places::Places;
use crate::config::{self, Client, Config, IdentitySource, Service, Source};
use crate::explain::Rules;
use crate::gateway::{Change, Inspection, Prepared, Swept, Tried};
use crate::quotas;
use segwan_core::audit::{Event, EventKind};
use segwan_core::contract::{Contract, journal};
use segwan_core::finding::Finding;
use segwan_core::identity::Identity;
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::Policy;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The alarm while what is written is not what is in force.
const REFUSED: &str = "reload_refused";
/// Most bytes of findings in one event.
const SENTENCE: usize = 8 << 10;

/// A configuration that was found good, ready to be put in force.
#[must_use = "it is not in force before it is installed"]
struct Reload {
    config: Config,
    rules: Vec<Rules>,
    provided: Vec<Provided>,
    prepared: Prepared,
    tables: Vec<TableReloaded>,
    warnings: Vec<Finding>,
}

impl Reload {
    /// Makes ready what `next` changes of `in_force`.
    fn prepare(
        running: &Running,
        state: &Path,
        in_force: &Config,
        (mut next, mut warnings): (Config, Vec<Finding>),
    ) -> Result<Self, Vec<Finding>> {
        let known = running.rules.load();
        let flags = matches!(next.source, Source::Flags { .. });
        let mut plan = Plan {
            changes: Vec::new(),
            rules: Vec::new(),
            tables: Vec::new(),
            places: if flags { Places::of_nothing() } else { Places::of(&next.source.file()) },
            warnings: Vec::new(),
            joins: running.authority.as_ref().map(|it| it.authority.trust_domain().to_string()),
        };
        let mut wrong = fixed::findings(in_force, &next);
        for service in &mut next.services {
            let Some(now) = in_force.services.iter().find(|it| it.name == service.name) else {
                continue;
            };
            let Some(rules) = known.iter().find(|rules| rules.service == service.name) else {
                continue;
            };
            match plan.service(service, now, rules) {
                // Those of a file were told with their places when it was read.
                Ok(found) if flags => warnings.extend(found),
                Ok(_) => {}
                Err(findings) => wrong.extend(findings),
            }
        }
        for client in &mut next.clients {
            if let Some(now) = in_force.clients.iter().find(|it| it.name == client.name) {
                plan.client(client, now);
            }
        }
        let mut provided = Vec::new();
        if wrong.is_empty() {
            for change in &plan.changes {
                match provide(running, state, change) {
                    Ok(ready) => provided.extend(ready),
                    Err(finding) => wrong.push(finding),
                }
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let Plan { changes, rules, tables, warnings: weaker, .. } = plan;
        warnings.extend(weaker);
        let prepared = running.gateway.prepare(changes);
        let prepared =
            prepared.map_err(|error| vec![Finding::whole("segwan", error.to_string())])?;
        Ok(Self { config: next, rules, provided, prepared, tables, warnings })
    }

    /// Puts it in force: when this comes back, nothing is decided by what was before.
    async fn install(self, running: &Running) -> (Config, Vec<TableReloaded>, Vec<Finding>, Swept) {
        running.rules.store(Arc::new(self.rules));
        self.provided.into_iter().for_each(Provided::install);
        let swept = running.gateway.install(self.prepared).await;
        (self.config, self.tables, self.warnings, swept)
    }
}

/// What a table needs on the disk, looked at and not yet changed: another table may be refused.
enum Provided {
    Quotas(Arc<Contract>, journal::Ready),
    Record(Arc<Capture>, capture::Ready),
}

impl Provided {
    fn install(self) {
        match self {
            Self::Quotas(contract, ready) => {
                let now = Now { instant: Instant::now(), unix_ms: now_ms() };
                if let Err(why) = contract.keep_quotas(ready, now) {
                    // Its messages are refused until it can be written, and there is an alarm.
                    tracing::error!("`{}`: {why}", contract.name());
                }
            }
            Self::Record(capture, ready) => {
                if let Err(error) = capture.start(ready) {
                    tracing::error!("nothing is recorded: {error}");
                }
            }
        }
    }
}

/// What is needed on the disk before a table can change: a journal of its quotas, a record.
fn provide(running: &Running, state: &Path, change: &Change) -> Result<Option<Provided>, Finding> {
    let table = &change.table;
    match &change.inspection {
        Inspection::Contract(contract) if contract.persists_quotas() => {
            if let Some(accounts) = running.gateway.accounts(table) {
                contract.continue_with(&accounts);
            }
            if contract.keeps_quotas() {
                return Ok(None);
            }
            let now = Now { instant: Instant::now(), unix_ms: now_ms() };
            quotas::ready(state, table, contract, now, &running.unwritten)
                .map(|ready| Some(Provided::Quotas(contract.clone(), ready)))
                .map_err(|failure| Finding::whole(table, failure.to_string()))
        }
        Inspection::Recorded(capture) if !capture.is_open() => {
            let unwritable = |error| format!("the record of `{table}` cannot be written: {error}");
            let ready = Capture::ready(state, table);
            ready
                .map(|ready| Some(Provided::Record(capture.clone(), ready)))
                .map_err(|error| Finding::whole(table, unwritable(error)))
        }
        _ => Ok(None),
    }
}

/// What changes, table by table.
struct Plan {
    changes: Vec<Change>,
    rules: Vec<Rules>,
    tables: Vec<TableReloaded>,
    /// Where the configuration says what.
    places: Places,
    /// What is looked at less than before.
    warnings: Vec<Finding>,
    /// The trust domain of the Authority of this process, if it runs one.
    joins: Option<String>,
}

impl Plan {
    /// What is the same as before stays the very same: its decisions are kept, and nobody is judged
    /// again. Gives the warnings of its policies.
    fn service(
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

    fn client(&mut self, next: &mut Client, now: &Client) {
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

impl Running {
    /// One reload, while no other runs.
    async fn reload_now(&self, state: &Path, in_force: &mut Config) -> ReloadAnswer {
        if self.gateway.is_ending() {
            let stops = Finding::whole("segwan", "the process is stopping, and reloads nothing");
            return ReloadAnswer::refused(&[stops]);
        }
        let (before, at) = (in_force.clone(), state.to_owned());
        // Contracts run their tests; that takes a moment.
        let read = tokio::task::spawn_blocking(move || again::read(&before, &at)).await;
        let fault =
            |_| Err(vec![Finding::whole("segwan", "the files were not read: a fault of ours")]);
        let read = read.unwrap_or_else(fault);
        match read.and_then(|read| Reload::prepare(self, state, in_force, read)) {
            Ok(reload) => {
                let (config, tables, warnings, swept) = reload.install(self).await;
                *in_force = config;
                upkeep::tell_failed(self, &swept);
                self.tell_reloaded(&tables, swept.closed);
                let tables = self.without_the_known(tables).await;
                ReloadAnswer::done(tables, swept.closed, &warnings)
            }
            Err(findings) => {
                self.tell_refused(&findings);
                ReloadAnswer::refused(&findings)
            }
        }
    }

    /// The tables, with those newcomers alone who have no registration, and so no token.
    async fn without_the_known(&self, mut tables: Vec<TableReloaded>) -> Vec<TableReloaded> {
        let Some(at) = &self.authority else { return tables };
        for table in &mut tables {
            for name in std::mem::take(&mut table.newcomers) {
                // Where the store does not answer, the hint costs nothing.
                if !matches!(at.authority.registration(&name).await, Ok(Some(_))) {
                    table.newcomers.push(name);
                }
            }
        }
        tables
    }

    fn tell_reloaded(&self, tables: &[TableReloaded], ended: u64) {
        let changed = |table: &TableReloaded| {
            let changes = table.changes();
            (!changes.is_empty()).then(|| format!("`{}`: {}", table.name, changes.join(", ")))
        };
        let changed: Vec<String> = tables.iter().filter_map(changed).collect();
        let mut event = Event::new(EventKind::Reloaded);
        event.sentence = match (changed.is_empty(), ended) {
            (true, _) => "nothing had changed".to_owned(),
            (false, 0) => changed.join("; "),
            (false, 1) => format!("{}; 1 connection was ended", changed.join("; ")),
            (false, ended) => format!("{}; {ended} connections were ended", changed.join("; ")),
        };
        self.recorder.record(event);
        upkeep::end(self, REFUSED, "");
    }

    fn tell_refused(&self, findings: &[Finding]) {
        let one_line = |finding: &Finding| finding.to_string().replace("\n  hint: ", "; hint: ");
        let errors: Vec<_> = findings.iter().filter(|it| it.is_error()).map(one_line).collect();
        let mut sentence = errors.join("; ");
        if sentence.len() > SENTENCE {
            sentence.truncate(sentence.floor_char_boundary(SENTENCE));
            sentence.push('…');
        }
        let mut event = Event::new(EventKind::ReloadRefused);
        event.sentence = sentence;
        self.recorder.record(event);
        let first = errors.first().map(String::as_str).unwrap_or_default();
        let more = match errors.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let stays = "what was in force stays so";
        upkeep::raise(
            self,
            REFUSED,
            "",
            &format!("{stays}: {first}{more}; `segwan reload` says all"),
        );
    }
}
