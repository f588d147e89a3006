//! A changed configuration comes into force whole, or not at all (`trust.md` section 6).
//!
//! Everything is read and checked first, by the same code as `segwan check` and a start. A
//! [`Reload`] that exists was found good, and putting it in force cannot fail; what is not good is
//! told with every finding, and what was in force stays.

mod again;
mod fixed;
mod plan;
mod provided;
mod told;
mod turns;

pub(crate) use turns::Reloads;

use super::{Running, upkeep};
use crate::admin::wire::{ReloadAnswer, TableReloaded};
use crate::config::{Config, Source};
use crate::explain::Rules;
use crate::gateway::{Prepared, Swept};
use plan::Plan;
use provided::{Provided, provide};
use segwan_core::finding::Finding;
use std::path::Path;
use std::sync::Arc;

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
        let joins = running.authority.as_ref().map(|it| it.authority.trust_domain().to_string());
        let mut plan = Plan::of(&next, joins);
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
}
