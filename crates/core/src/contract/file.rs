//! A contract as written becomes a contract as meant.
//!
//! The only way across: every key is read with its place, what is wrong becomes a finding, and a
//! contract exists only if nothing was. Keys and kinds of later levels are refused by name.

mod actions;
mod direction;
mod exclusive;
mod fields;
mod limits;
mod rejects;
mod tests;

use super::{Contract, Pairing, limit::Rates};
use crate::document::{Document, Table};
use crate::finding::Finding;

/// What reading a contract needs: the schema files beside it.
pub(super) type ReadFile<'r> = &'r dyn Fn(&str) -> Result<String, String>;

/// Reads a contract; gives it with its warnings.
pub(super) fn read(
    file: &str,
    text: &str,
    read: ReadFile<'_>,
) -> Result<(Contract, Vec<Finding>), Vec<Finding>> {
    let document = Document::new(file, text);
    let contract = document.parse().map(|table| {
        let top = Table::top(&document, &table, "K-01");
        let contract = contract(&top, read);
        top.finish();
        contract
    })?;
    let failed = document.has_errors();
    let mut findings = document.into_findings();
    findings.truncate(20);
    match contract {
        Some(contract) if !failed => Ok((contract, findings)),
        _ => Err(findings),
    }
}

fn contract(top: &Table<'_, '_>, read: ReadFile<'_>) -> Option<Contract> {
    let name = name(top);
    let title = top.text("title").map(|title| title.value.to_owned()).unwrap_or_default();
    refuse_later(
        top,
        &[("codec", 2), ("initial_state", 2), ("identity", 2), ("audit_bytes", 1), ("mode", 1)],
    );
    let limits = limits::limits(top);
    let pairing = pairing(top);
    let client = direction::direction(top, "client", &pairing, read);
    let server = direction::direction(top, "server", &pairing, read);
    let (Some(client), Some(server)) = (client, server) else {
        top.table("reject");
        top.tables("test");
        return None;
    };
    exclusive::check(top, &client, &server, &pairing);
    let (rejects, reply_values) = rejects::rejects(top, &client, &server, &limits, &pairing);
    let mut client = client;
    rejects::of_messages(top, &mut client, &server, &limits, &pairing, &reply_values);
    let tests = tests::vectors(top);
    Some(Contract {
        name: name?,
        title,
        pairing,
        limits,
        client: client.rule,
        server: server.rule,
        rejects,
        reply_values,
        rates: Rates::default(),
        tests,
    })
}

/// `name/version` (K-02).
fn name(top: &Table<'_, '_>) -> Option<String> {
    let Some(name) = top.text("contract") else {
        if !top.has("contract") {
            top.missing("K-02", "contract", "`contract = \"name/1\"`");
        }
        return None;
    };
    let word = |w: &str| {
        w.len() <= 64
            && w.starts_with(|c: char| c.is_ascii_lowercase())
            && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let version = |v: &str| {
        (1..=5).contains(&v.len()) && !v.starts_with('0') && v.bytes().all(|b| b.is_ascii_digit())
    };
    if name.value.split_once('/').is_some_and(|(n, v)| word(n) && version(v)) {
        return Some(name.value.to_owned());
    }
    let message = format!("`{}` is not a contract's name", name.value);
    top.error_with_hint(
        "K-02",
        name.span,
        message,
        "small letters, digits, `-`, then `/` and a version: `orders/1`",
    );
    None
}

fn pairing(top: &Table<'_, '_>) -> Pairing {
    let Some(table) = top.table("pair") else { return Pairing::Order };
    let by = table.text("by").map_or("order", |by| by.value);
    let key = table.text("key");
    if let Some(reuse) = table.text("reuse")
        && reuse.value != "after-reply"
    {
        let message = format!("`reuse = \"{}\"` is not in this build yet", reuse.value);
        table.error_with_hint("K-03", reuse.span, message, "`reuse = \"after-reply\"`");
    }
    table.finish();
    match (by, key) {
        ("order", None) => Pairing::Order,
        ("none", None) => Pairing::None,
        ("key", Some(key)) => match key.value.parse() {
            Ok(pointer) => Pairing::Key(pointer),
            Err(error) => {
                table.error("K-02", key.span, format!("{error}"));
                Pairing::Order
            }
        },
        ("key", None) => {
            table.missing("K-23", "key", "`key = \"/id\"`");
            Pairing::Order
        }
        ("order" | "none", Some(key)) => {
            table.error("K-02", key.span, format!("`key` has no meaning with `by = \"{by}\"`"));
            Pairing::Order
        }
        _ => {
            let message = format!("`by` is `{by}`, not `order`, `key` or `none`");
            table.error("K-02", table.key_span("by"), message);
            Pairing::Order
        }
    }
}

/// Refuses keys that a build of this level does not have, by their names (K-03).
pub(super) fn refuse_later(table: &Table<'_, '_>, keys: &[(&'static str, u8)]) {
    for (key, level) in keys {
        if table.has(key) {
            let message = if *level == 1 {
                format!("key `{key}` is not in this build yet")
            } else {
                format!("key `{key}` needs contract level {level}, this build has level 1")
            };
            table.error("K-03", table.key_span(key), message);
        }
    }
}

/// Adds a rule's error at a place.
pub(super) fn rule_error(
    table: &Table<'_, '_>,
    at: std::ops::Range<usize>,
    error: super::pattern::RuleError,
) {
    let finding = table.document().error(error.check, at, error.message);
    table.document().find(match error.hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    });
}
