//! `segwan ca list`: who may have certificates, and which there are.

use super::{ask, now_ms};
use crate::admin::ca;
use crate::admin::wire::{
    self, CertificateView, Inventory, ListRequest, ListView, RegistrationView, UnrecordedView,
};
use crate::cli::columns::{Cell, Columns, plain};
use crate::cli::report::{Look, Report};
use crate::cli::status::{ends, json};
use crate::cli::{Exit, Failure, Global};
use crate::status::when::{distance, instant};
use segwan_core::contract::units;
use std::path::Path;
use std::time::Duration;

/// List registrations and certificates
#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Which certificates
    #[arg(long, value_enum, default_value_t, value_name = "VIEW")]
    pub(super) view: ListView,
    /// Only of this name
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Only what ends within this time
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(super) expiring: Option<Duration>,
    /// Most certificates [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) most: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let now_ms = now_ms();
    let asked = ListRequest {
        view: args.view,
        name: args.name.clone(),
        expiring_seconds: args.expiring.map(|time| time.as_secs()),
        most: args.most,
    };
    let itself = async |authority: &_| ca::list(authority, &asked, now_ms).await;
    let all: Inventory = ask(state, wire::LIST, &query(&asked), itself)?;
    if args.json {
        global.report.text(&json(&all)?);
    } else {
        show(&global.report, &all, &asked, now_ms);
    }
    Ok(Exit::Done)
}

fn query(asked: &ListRequest) -> Vec<(&'static str, String)> {
    let ListRequest { view, name, expiring_seconds, most } = asked;
    let mut query = vec![("view", word(*view))];
    query.extend(name.iter().map(|name| ("name", name.clone())));
    query.extend(expiring_seconds.map(|seconds| ("expiring_seconds", seconds.to_string())));
    query.extend(most.map(|most| ("most", most.to_string())));
    query
}

fn word(view: ListView) -> String {
    use clap::ValueEnum;
    view.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn show(report: &Report, all: &Inventory, asked: &ListRequest, now_ms: i64) {
    if asked.view == ListView::Live && asked.expiring_seconds.is_none() {
        report.line(format_args!("{}", report.style(Look::Bold, "registrations")));
        registrations(&all.registrations).print(report, 2);
        report.line(format_args!(""));
    }
    if asked.view == ListView::Unrecorded {
        if !all.unrecorded.is_empty() {
            unrecorded(&all.unrecorded, now_ms).print(report, 0);
        }
        let count = all.unrecorded.len();
        report.line(format_args!("certificates seen and not on the record: {count}"));
        return;
    }
    if !all.certificates.is_empty() {
        report.line(format_args!("{}", report.style(Look::Bold, "certificates")));
        certificates(&all.trust_domain, &all.certificates, now_ms).print(report, 2);
    }
    let which = match asked.view {
        ListView::Live => "that have not ended",
        ListView::NeverUsed => "issued a day ago or more and never used",
        ListView::Superseded => "used after their successor",
        ListView::TwoPlaces => "used from two addresses within 5 min",
        ListView::Revoked => "revoked and not ended",
        ListView::Unrecorded => "",
    };
    let within = match asked.expiring_seconds {
        Some(seconds) => format!(", ending within {}", units::shown(Duration::from_secs(seconds))),
        None => String::new(),
    };
    let more = if all.more { "; there are more, which `--most N` shows" } else { "" };
    let count = all.certificates.len();
    report.line(format_args!("certificates {which}{within}: {count}{more}"));
}

pub(super) fn registrations(all: &[RegistrationView]) -> Columns {
    let mut columns = Columns::headed(&["NAME", "PROFILE", "STATE", "SERVICES OR ADDRESSES"]);
    for one in all {
        let places = if one.services.is_empty() { &one.addresses } else { &one.services };
        columns.row([
            (Look::Bold, one.name.clone()),
            plain(&one.profile),
            enabled(one),
            plain(places.join(", ")),
        ]);
    }
    columns
}

pub(super) fn enabled(one: &RegistrationView) -> Cell {
    if one.enabled { plain("enabled") } else { (Look::Warning, "disabled".to_owned()) }
}

fn certificates(domain: &str, all: &[CertificateView], now_ms: i64) -> Columns {
    let heading = ["IDENTITY", "PROFILE", "MADE", "ENDS", "STATE", "LAST SEEN", "SERIAL"];
    let mut columns = Columns::headed(&heading);
    for one in all {
        columns.row([
            plain(format!("spiffe://{domain}/{}", one.name)),
            plain(&one.profile),
            plain(instant(one.made_ms)),
            ends(one.not_after_ms, now_ms),
            state(one),
            plain(seen(one, now_ms)),
            plain(&one.serial),
        ]);
    }
    columns
}

pub(super) fn state(one: &CertificateView) -> Cell {
    match (one.state.as_str(), &one.reason) {
        ("revoked", Some(reason)) => (Look::Bad, format!("revoked: {reason}")),
        ("issued", _) if one.superseded => (Look::Dim, "superseded".to_owned()),
        ("issued", _) => (Look::Good, "issued".to_owned()),
        (other, _) => (Look::Dim, other.to_owned()),
    }
}

pub(super) fn seen(one: &CertificateView, now_ms: i64) -> String {
    let Some(last) = one.last_seen_ms else { return "never".to_owned() };
    let place = match (&one.seen_by, &one.seen_from) {
        (Some(by), Some(from)) => format!(" at {by} from {from}"),
        (Some(by), None) => format!(" at {by}"),
        _ => String::new(),
    };
    format!("{}{place}", distance(last, now_ms))
}

fn unrecorded(all: &[UnrecordedView], now_ms: i64) -> Columns {
    let mut columns = Columns::headed(&["SERIAL", "ISSUER", "FIRST SEEN", "LAST SEEN", "AT"]);
    for one in all {
        columns.row([
            (Look::Bad, one.serial.clone()),
            plain(&one.issuer),
            plain(instant(one.first_ms)),
            plain(distance(one.last_ms, now_ms)),
            plain(&one.seen_by),
        ]);
    }
    columns
}
