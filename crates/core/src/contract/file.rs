//! A contract as written becomes a contract as meant.
//!
//! The only way across: every key is read with its place, what is wrong becomes a finding, and a
//! contract exists only if nothing was. Keys and kinds of later levels are refused by name.

mod actions;
mod bundle;
mod codec;
mod cost;
mod decoders;
mod direction;
mod exclusive;
mod fields;
mod frames;
mod limits;
mod messages;
mod quotas;
mod rejects;
mod roles;
mod rules;
mod secrets;
mod states;
mod tests;

use super::codec::Codec;
use super::fingerprint::{Beside, Fingerprint};
use super::{Contract, Pairing, Reuse, Side, accounts::Held};
use crate::document::{Document, Placed, Table};
use crate::finding::Finding;
use direction::Draft;

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
        let beside = Beside::new(read);
        let fingerprint = || beside.fingerprint(text);
        let contract = contract(&top, &|name| beside.read(name), &fingerprint);
        top.finish();
        contract
    })?;
    let failed = document.has_errors();
    let findings = document.into_findings();
    match contract {
        Some(contract) if !failed => Ok((contract, findings)),
        _ => Err(findings),
    }
}

fn contract(
    top: &Table<'_, '_>,
    read: ReadFile<'_>,
    fingerprint: &dyn Fn() -> Fingerprint,
) -> Option<Contract> {
    let name = name(top);
    let title = title(top);
    let audit_bytes = audit_bytes(top);
    let shadow = mode(top);
    let codec = codec::codec(top);
    let unread = codec.is_none() && top.has("codec");
    let role = roles::role(top);
    let limits = limits::limits(top, codec.as_ref().map(Codec::limits).unwrap_or_default());
    let codec = codec.map(|codec| codec.within(&limits));
    let (pairing, reuse) = match &codec {
        Some(codec) => {
            codec::refuse_fixed(top, &["pair"]);
            codec::bound(top, codec, &limits);
            if codec.usual_state().is_some() {
                codec::refuse_fixed(top, &["initial_state"]);
            }
            (codec.pairing(), codec.reuse())
        }
        None => pairing(top),
    };
    let codec = codec.as_ref();
    let states = states::Names::new(top);
    if unread {
        // What a direction needs depends on the codec.
        let _ = (top.table("client"), top.table("server"), top.table("reject"), top.tables("test"));
        return None;
    }
    let paired = (&pairing, reuse);
    let client = direction::direction(top, Side::Client, paired, codec, &states, read);
    let server = direction::direction(top, Side::Server, paired, codec, &states, read);
    let (Some(client), Some(server)) = (client, server) else {
        top.table("reject");
        top.tables("test");
        return None;
    };
    decoders::fit(top, &client, &server, &limits);
    if client.rule.frame.uninspected().is_some() && !limits.rate.is_empty() {
        let text = "a rate counts the client's messages, and what it says is not inspected";
        top.error("K-14", top.key_span("limits"), text);
    }
    uninspected(top, &client, &server);
    let (mut client, mut server) = (client, server);
    if let Some(codec) = codec {
        codec::add_profile(top, Side::Client, paired, codec, &states, &mut client);
        codec::add_profile(top, Side::Server, paired, codec, &states, &mut server);
        codec::complete(top, codec, &mut client, &mut server);
    }
    exclusive::tell_apart(&mut client);
    exclusive::tell_apart(&mut server);
    exclusive::check(top, &client, &server, &pairing, codec);
    actions::show_remembered(&mut client, &mut server);
    let states = states.check(top, &client, &server);
    let (mut rejects, reply_values) =
        rejects::rejects(top, &client, &server, &limits, &pairing, codec);
    codec::default_rejects(codec, &client, &mut rejects);
    rules::rules(top, codec, &mut client, &mut server, &limits);
    rejects::of_messages(top, &mut client, &server, &limits, &pairing, codec, &reply_values);
    secrets::check(top, &client, &server, &pairing, &reply_values);
    cost::check(top, Side::Client, &client, &limits, &pairing);
    cost::check(top, Side::Server, &server, &limits, &pairing);
    let tests = tests::vectors(top, &states, &client, &server);
    Some(Contract {
        name: name?,
        fingerprint: fingerprint(),
        title,
        shadow,
        codec: codec.cloned(),
        role,
        audit_bytes,
        pairing,
        reuse,
        states,
        accounts: Held::new(&limits.rate),
        limits,
        client: client.rule,
        server: server.rule,
        rejects,
        reply_values,
        tests,
        source: Vec::new(),
    })
}

/// At most 200 characters, for people (K-02).
fn title(top: &Table<'_, '_>) -> String {
    let Some(title) = top.text("title") else { return String::new() };
    let count = title.value.chars().count();
    if count > 200 {
        top.error("K-02", title.span, format!("`title` has {count} characters; the most is 200"));
    }
    title.value.to_owned()
}

/// How much of a refused frame is on record: 0 to 64 bytes.
fn audit_bytes(top: &Table<'_, '_>) -> usize {
    let Some(bytes) = top.integer("audit_bytes") else { return 0 };
    match usize::try_from(bytes.value) {
        Ok(count) if count <= 64 => count,
        _ => {
            top.error("K-02", bytes.span, "`audit_bytes` is 0 to 64");
            0
        }
    }
}

/// Whether the contract is only tried (K-92).
fn mode(top: &Table<'_, '_>) -> bool {
    let Some(mode) = top.text("mode") else { return false };
    match mode.value {
        "enforce" => false,
        "shadow" => {
            let message = "the contract is in shadow mode: what it would refuse passes";
            let finding = top.document().error("K-92", mode.span, message.to_owned()).warning();
            top.document()
                .find(finding.hint("`mode = \"enforce\"`, or no `mode`, holds both sides to it"));
            true
        }
        other => {
            let message = format!("`mode` is `{other}`, not `enforce` or `shadow`");
            top.error("K-02", mode.span, message);
            false
        }
    }
}

/// What passes uninspected is said whenever the contract is loaded (K-92).
fn uninspected(top: &Table<'_, '_>, client: &Draft, server: &Draft) {
    let raw = |draft: &Draft| draft.rule.frame.uninspected().is_some();
    let (side, message, hint) = match (raw(client), raw(server)) {
        (false, false) => return,
        (true, false) => ("client", "what the client says is not inspected", None),
        (false, true) => ("server", "what the server says is not inspected", None),
        (true, true) => (
            "client",
            "nothing is inspected, whoever says it: the contract holds nobody to anything",
            Some("`contract = \"raw\"` for the service says the same"),
        ),
    };
    let finding = top.document().error("K-92", top.key_span(side), message).warning();
    top.document().find(finding.hint_if(hint.map(str::to_owned)));
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

fn pairing(top: &Table<'_, '_>) -> (Pairing, Reuse) {
    let Some(table) = top.table("pair") else { return (Pairing::Order, Reuse::default()) };
    let by = table.text("by").map_or("order", |by| by.value);
    let key = table.text("key");
    let reuse = table.text("reuse").map(|reuse| (reuse.value, reuse.span));
    let reuse = match reuse {
        Some((_, span)) if by != "key" => {
            table.error("K-02", span, format!("`reuse` has no meaning with `by = \"{by}\"`"));
            Reuse::default()
        }
        None | Some(("after-reply", _)) => Reuse::AfterReply,
        Some(("recent", _)) => Reuse::Recent,
        Some(("increasing", _)) => Reuse::Increasing,
        Some((other, span)) => {
            let text = format!("`reuse` is `{other}`, not `after-reply`, `recent` or `increasing`");
            table.error("K-02", span, text);
            Reuse::default()
        }
    };
    table.finish();
    (paired(&table, by, key), reuse)
}

fn paired(table: &Table<'_, '_>, by: &str, key: Option<Placed<&str>>) -> Pairing {
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
