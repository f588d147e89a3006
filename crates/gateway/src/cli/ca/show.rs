//! `segwan ca show`: everything about one name.

use super::list::{enabled, seen, state};
use super::{agents, ask, now_ms};
use crate::admin::ca;
use crate::admin::wire::{self, CertificateView, History, RegistrationView};
use crate::cli::columns::{Cell, Columns, plain};
use crate::cli::report::{Look, Report};
use crate::cli::status::{ends, json};
use crate::cli::{Exit, Failure, Global};
use crate::status::when::instant;
use segwan_core::contract::units;
use std::path::Path;
use std::time::Duration;

/// Show a registration with its lineages, certificates and agents
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A name, an identity, or `serial:…`
    what: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let itself = async |authority: &_| ca::history(authority, &args.what).await;
    let history: History = ask(state, wire::SHOW, &[("what", args.what.clone())], itself)?;
    if args.json {
        global.report.text(&json(&history)?);
    } else {
        show(&global.report, &history, now_ms());
    }
    Ok(Exit::Done)
}

fn show(report: &Report, history: &History, now_ms: i64) {
    let History { trust_domain, registration, certificates, agents } = history;
    facts(trust_domain, registration).print(report, 0);
    for (lineage, members) in lineages(certificates) {
        report.line(format_args!("\n{} {lineage}", report.style(Look::Bold, "lineage")));
        let mut columns = Columns::headed(&["SERIAL", "MADE", "ENDS", "STATE", "LAST SEEN"]);
        for one in members {
            columns.row([
                plain(&one.serial),
                plain(instant(one.made_ms)),
                ends(one.not_after_ms, now_ms),
                state(one),
                plain(seen(one, now_ms)),
            ]);
        }
        columns.print(report, 2);
    }
    if certificates.is_empty() {
        report.line(format_args!("\nno certificate was issued"));
    }
    if !agents.is_empty() {
        report.line(format_args!("\n{}", report.style(Look::Bold, "agents")));
        agents::table(agents, None, now_ms).print(report, 2);
    }
}

fn facts(domain: &str, one: &RegistrationView) -> Columns {
    let mut columns = Columns::default();
    let mut fact = |name: &str, cell: Cell| columns.row([(Look::Dim, name.to_owned()), cell]);
    fact("identity", (Look::Bold, format!("spiffe://{domain}/{}", one.name)));
    fact("profile", plain(&one.profile));
    fact("state", enabled(one));
    for (name, values) in [
        ("addresses", &one.addresses),
        ("services", &one.services),
        ("DNS names", &one.dns),
        ("IP addresses", &one.ips),
    ] {
        if !values.is_empty() {
            fact(name, plain(values.join(", ")));
        }
    }
    let life = one.leaf_lifetime_ms.and_then(|ms| u64::try_from(ms).ok());
    let life = life.map(|ms| units::shown(Duration::from_millis(ms)));
    fact("lifetime", plain(life.unwrap_or_else(|| "the Authority's".to_owned())));
    let again = match (one.on_reenroll.as_str(), one.max_lineages) {
        ("add", most) => format!("adds a machine, up to {most}"),
        _ => "takes the place of the machine before".to_owned(),
    };
    fact("enrolling again", plain(again));
    if one.shared {
        fact("shared", plain("one certificate may be used in several places"));
    }
    if one.display_name {
        fact("display name", plain("in its certificates"));
    }
    columns
}

/// Certificates by lineage, in the order in which the lineages began.
fn lineages(all: &[CertificateView]) -> Vec<(&str, Vec<&CertificateView>)> {
    let mut sorted: Vec<_> = all.iter().collect();
    sorted.sort_by_key(|one| one.made_ms);
    let mut lineages: Vec<(&str, Vec<&CertificateView>)> = Vec::new();
    for one in sorted {
        match lineages.iter_mut().find(|(id, _)| *id == one.lineage) {
            Some((_, members)) => members.push(one),
            None => lineages.push((&one.lineage, vec![one])),
        }
    }
    lineages
}
