//! `segwan.toml` as written becomes a [`Config`] as meant.
//!
//! The only way across: every key is asked for by its name, what is wrong becomes a finding at
//! its place, and a `Config` exists only if nothing was. Checks carry the ids of `trust.md`
//! section 14; `C22` also stands for a value that its key cannot have.

mod authority;
mod client;
mod foreign;
mod half;
mod limits;
mod listeners;
mod service;
mod slot;
mod trust;
mod values;

use super::{Config, Source, read};
use listeners::Listener;
use segwan::Caution;
use segwan_core::document::{Document, Placed, Table};
use segwan_core::finding::{Finding, first};
use segwan_core::identity::TrustDomain;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A value that its key cannot have, or a key that is missing.
const VALUE: &str = "C22";
/// Most findings of one run.
const MOST: usize = 100;

/// What reading the tables of one file shares.
struct Reading<'f> {
    /// The file's directory: relative paths begin there.
    base: &'f Path,
    trust_domain: TrustDomain,
    drain: Duration,
    listeners: RefCell<Vec<Listener>>,
    /// What is wrong in other files.
    elsewhere: RefCell<Vec<Finding>>,
}

impl Reading<'_> {
    fn path(&self, written: &str) -> PathBuf {
        self.base.join(written)
    }

    /// Notes that something listens.
    fn listens(&self, who: impl Into<String>, at: &Placed<SocketAddr>) {
        let listener = Listener { who: who.into(), address: at.value, span: at.span.clone() };
        self.listeners.borrow_mut().push(listener);
    }
}

/// Reads a configuration and everything that it names; gives it with its warnings.
pub(super) fn load(path: &Path) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    let file = path.display().to_string();
    let plain = |finding: Finding| Finding { check: None, ..finding };
    let text = read::document(path).map_err(|fault| vec![plain(fault)])?;
    let document = Document::new(&file, &text);
    let table =
        document.parse().map_err(|errors| errors.into_iter().map(plain).collect::<Vec<_>>())?;
    let top = Table::top(&document, &table, "C22");
    let read = config(&top, path.parent().unwrap_or_else(|| Path::new("")));
    top.finish();
    let (config, elsewhere) = read.unzip();
    let source = Source::File { path: path.to_owned(), admin: None };
    let config = config.flatten().map(|config| Config { source, ..config });
    let mut findings = document.into_findings();
    for finding in elsewhere.unwrap_or_default() {
        // Two services of one contract have its warnings once.
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    let findings = first(&file, findings, MOST);
    match config {
        Some(config) if !findings.iter().any(Finding::is_error) => Ok((config, findings)),
        _ => Err(findings),
    }
}

/// The configuration, and what was found in other files.
fn config(top: &Table<'_, '_>, base: &Path) -> Option<(Option<Config>, Vec<Finding>)> {
    let authority = top.table("authority");
    let day = Duration::from_secs(24 * 3600);
    let drain = values::wait(top, "drain_timeout", Duration::ZERO, day / 24);
    let reading = Reading {
        base,
        trust_domain: authority::trust_domain(top, authority.as_ref())?,
        drain: drain.map_or(Duration::from_secs(30), |drain| drain.value),
        listeners: RefCell::default(),
        elsewhere: RefCell::default(),
    };
    let config = whole(top, authority.as_ref(), &reading);
    listeners::check(top, &reading.listeners.borrow());
    Some((config, reading.elsewhere.into_inner()))
}

fn whole(
    top: &Table<'_, '_>,
    authority: Option<&Table<'_, '_>>,
    reading: &Reading<'_>,
) -> Option<Config> {
    let state_dir = top.text("state_dir").map(|text| reading.path(text.value));
    let threads = values::count(top, VALUE, "threads", 1024).map(|n| n.value);
    let admin = top.table("admin").and_then(|table| admin(&table, reading));
    let authority = match authority {
        Some(table) => {
            let read = authority::authority(table, reading);
            table.finish();
            Some(read)
        }
        None => None,
    };
    let (caution, foreign) = match top.table("trust") {
        Some(table) => {
            let read = (trust::trust(&table), foreign::foreign(&table, reading));
            table.finish();
            read
        }
        None => {
            let absent = !top.has("trust");
            (absent.then(Caution::default), absent.then(Vec::new))
        }
    };
    let services = named(top, "service", |table, name| service::service(table, name, reading));
    let clients = named(top, "client", |table, name| client::client(table, name, reading));
    if !["authority", "service", "client"].iter().any(|key| top.has(key)) {
        let nothing = top.document().error(VALUE, 0..0, "the file names nothing to run");
        top.document().find(nothing.hint("`[service.NAME]`, `[client.NAME]` or `[authority]`"));
    }
    if let (Some(services), Some(clients)) = (top.table("service"), top.table("client")) {
        for (name, _) in clients.entries() {
            if services.entries().any(|(other, _)| other.value == name.value) {
                let message = format!("a service and a client are both called `{}`", name.value);
                let hint = "logs and metrics tell them apart by their names";
                top.error_with_hint("C11", name.span, message, hint);
            }
        }
    }
    Some(Config {
        state_dir,
        threads,
        admin,
        trust_domain: reading.trust_domain.clone(),
        caution: caution?,
        authority: authority.map_or(Some(None), |read| read.map(Some))?,
        foreign: foreign?,
        services: services?,
        clients: clients?,
        drain_timeout: reading.drain,
        source: Source::Nowhere,
    })
}

/// `[admin]`: whoever reaches it learns who is connected, so only this host does.
fn admin(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<SocketAddr> {
    let listen = values::needed_address(table, "listen", "127.0.0.1:9443");
    table.finish();
    let listen = listen?;
    reading.listens("`[admin]`", &listen);
    if !listen.value.ip().is_loopback() {
        let message = format!("`[admin]` listens on `{}`, which is not loopback", listen.value);
        let hint = "`listen = \"127.0.0.1:9443\"`; it asks nobody for a certificate";
        table.error_with_hint(VALUE, listen.span, message, hint);
        return None;
    }
    Some(listen.value)
}

/// The tables below `key`, in the order of the file. All are read, also if one is wrong.
fn named<T>(
    top: &Table<'_, '_>,
    key: &'static str,
    read: impl Fn(&Table<'_, '_>, &str) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(tables) = top.table(key) else { return Some(Vec::new()) };
    let mut entries: Vec<_> = tables.entries().collect();
    entries.sort_by_key(|(name, _)| name.span.start);
    let each = |(name, value)| {
        let table = tables.named(&name, value)?;
        let read = read(&table, name.value);
        table.finish();
        read
    };
    let read: Vec<Option<T>> = entries.into_iter().map(each).collect();
    read.into_iter().collect()
}
