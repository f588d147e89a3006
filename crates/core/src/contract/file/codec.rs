//! `codec` as written, and what it adds to a contract: its K-80 rules and its replies.

mod json_rpc;

pub(super) use json_rpc::{Wrapping, add_profile};

use super::direction::Draft;
use super::rule_error;
use crate::contract::codec::hl7::{Hl7, SegmentEnd, Segments};
use crate::contract::codec::resp::{Resp, commands::Positions};
use crate::contract::codec::{Codec, modbus::Modbus};
use crate::contract::decode::{DecodeRule, RespDecode};
use crate::contract::reject::Reject;
use crate::contract::state::StateRule;
use crate::contract::value::Value;
use crate::contract::{ContractLimits, MessageRule, Role, Side};
use crate::document::{Placed, Table, kind};
use crate::finding::nearest;
use crate::rejection::Class;
use std::ops::Range;
use toml::de::DeValue;

/// `codec = "modbus"`, or `codec = { kind = "modbus", .. }` for a kind that has keys.
pub(super) fn codec(top: &Table<'_, '_>) -> Option<Codec> {
    let value = top.value("codec")?;
    match value.get_ref() {
        DeValue::String(name) => {
            made(top, &Placed { value: name.as_ref(), span: value.span() }, None)
        }
        DeValue::Table(_) => {
            let table = top.table("codec")?;
            let Some(kind) = table.text("kind") else {
                if !table.has("kind") {
                    table.missing("K-10", "kind", Codec::NAMES.join(", "));
                }
                return None;
            };
            let codec = made(top, &kind, Some(&table));
            table.finish();
            codec
        }
        other => {
            let message = format!("`codec` is {}, not a name or a table", kind(other));
            top.error_with_hint("K-02", value.span(), message, "`codec = \"modbus\"`");
            None
        }
    }
}

fn made(top: &Table<'_, '_>, name: &Placed<&str>, keys: Option<&Table<'_, '_>>) -> Option<Codec> {
    match name.value {
        "modbus" => Some(Codec::Modbus(Modbus)),
        "resp" => Some(Codec::Resp(Resp::new(args(keys)))),
        "json-rpc" => json_rpc::json_rpc(keys).map(Codec::JsonRpc),
        "hl7" => hl7(top, name, keys).map(Codec::Hl7),
        later @ ("mqtt" | "syslog" | "dicom" | "fix") => {
            let message = format!("codec `{later}` needs contract level 3, this build has level 2");
            top.error("K-03", name.span.clone(), message);
            None
        }
        other => {
            let near = nearest(other, Codec::NAMES).map(|near| format!("did you mean `{near}`?"));
            let message = format!("there is no codec `{other}`");
            let finding = top.document().error("K-10", name.span.clone(), message);
            let hint = near.unwrap_or_else(|| Codec::NAMES.join(", "));
            top.document().find(finding.hint(hint));
            None
        }
    }
}

/// `args` of `resp`: the most words of a command.
fn args(keys: Option<&Table<'_, '_>>) -> usize {
    let Some((table, args)) = keys.and_then(|table| Some((table, table.integer("args")?))) else {
        return Resp::DEFAULT_ARGS;
    };
    let most = Resp::MOST_ARGS;
    match usize::try_from(args.value).ok().filter(|args| (1..=most).contains(args)) {
        Some(args) => args,
        None => {
            let message = format!("`args` is {}, outside 1 to {most}", args.value);
            table.error("K-02", args.span, message);
            Resp::DEFAULT_ARGS
        }
    }
}

/// `codec = { kind = "hl7", charsets = [..], segment_end = "cr", ack_app = "..", .. }`.
fn hl7(top: &Table<'_, '_>, name: &Placed<&str>, keys: Option<&Table<'_, '_>>) -> Option<Hl7> {
    let hint = "`codec = { kind = \"hl7\", charsets = [\"UNICODE UTF-8\"] }`";
    let Some(keys) = keys else {
        let text = "codec `hl7` does not say which charsets messages are written in";
        top.error_with_hint("K-10", name.span.clone(), text, hint);
        return None;
    };
    let end = keys.text("segment_end");
    let app = keys.text("ack_app").map_or("SEGWAN", |app| app.value);
    let facility = keys.text("ack_facility").map_or("", |facility| facility.value);
    let Some(written) = keys.texts("charsets") else {
        if !keys.has("charsets") {
            keys.missing("K-10", "charsets", hint);
        }
        return None;
    };
    let mut charsets = Vec::new();
    for charset in written {
        match Hl7::CHARSETS.iter().find(|(name, _)| *name == charset.value) {
            Some((_, known)) => charsets.push(*known),
            None => {
                let names: Vec<&str> = Hl7::CHARSETS.iter().map(|(name, _)| *name).collect();
                let text = format!("`{}` is no charset of HL7's that is known here", charset.value);
                keys.error_with_hint("K-10", charset.span, text, names.join(", "));
            }
        }
    }
    let end = match end {
        None => SegmentEnd::Cr,
        Some(end) => match SegmentEnd::NAMES.iter().find(|(name, _)| *name == end.value) {
            Some((_, known)) => *known,
            None => {
                let text = format!("`segment_end` is `{}`, not `cr`, `lf` or `crlf`", end.value);
                keys.error("K-02", end.span, text);
                return None;
            }
        },
    };
    let made = Hl7::new(charsets, end, app, facility);
    made.map_err(|sentence| keys.error("K-02", keys.span(), sentence)).ok()
}

/// `segments` of a message, where the codec has segments.
pub(super) fn segments(table: &Table<'_, '_>, codec: Option<&Codec>) -> Option<Segments> {
    if !matches!(codec, Some(Codec::Hl7(_))) {
        return None;
    }
    let written = table.texts("segments")?;
    let entries: Vec<&str> = written.iter().map(|entry| entry.value).collect();
    let fault = |(at, sentence): (usize, String)| {
        let span = written.get(at).map(|entry| entry.span.clone());
        table.error("K-80", span.unwrap_or_else(|| table.key_span("segments")), sentence);
    };
    Segments::parse(&entries).map_err(fault).ok()
}

/// What a codec fixes cannot be said again.
pub(super) fn refuse_fixed(table: &Table<'_, '_>, keys: &[&'static str]) {
    for key in keys.iter().filter(|key| table.has(key)) {
        let message = format!("the codec fixes `{key}`");
        table.error_with_hint("K-10", table.key_span(key), message, format!("leave `{key}` out"));
    }
}

/// No message may be larger than the protocol's own.
pub(super) fn bound(top: &Table<'_, '_>, codec: &Codec, limits: &ContractLimits) {
    let largest = codec.largest();
    for (key, is) in [("message", limits.wire.message), ("server_message", limits.server_message)] {
        if is > largest {
            let message = format!("`{key}` is {is}; the codec has no message over {largest} bytes");
            top.error("K-80", top.key_span("limits"), message);
        }
    }
}

/// The codec's rules for what is declared, then the replies that need no declaration.
pub(super) fn complete(top: &Table<'_, '_>, codec: &Codec, client: &mut Draft, server: &mut Draft) {
    for (side, draft) in [(Side::Client, &*client), (Side::Server, &*server)] {
        for (message, span) in draft.rule.messages.iter().zip(&draft.spans) {
            for error in codec.lint(side, message) {
                // What is wrong with a command stands where the command does.
                let is_tag = |tag: &Value<'_>| {
                    tag.as_text().is_some_and(|tag| error.message.starts_with(&format!("`{tag}` ")))
                };
                let tags = message.matches.iter().any(is_tag).then(|| tags(top, side, message));
                rule_error(top, tags.flatten().unwrap_or_else(|| span.clone()), error);
            }
        }
    }
    if let Codec::Resp(resp) = codec {
        declared_keys(top, resp, client);
        subscriptions(top, client, server);
    }
    let requests = &client.rule.messages;
    let keeps: Vec<_> = requests.iter().map(|request| codec.keeps(requests, request)).collect();
    for (message, keeps) in client.rule.messages.iter_mut().zip(keeps) {
        if let Role::Request(request) = &mut message.role {
            request.keeps = keeps.into();
        }
    }
    for message in &mut client.rule.messages {
        let secrets = codec.secrets(message);
        message.secrets.extend(secrets);
    }
    let requests: Vec<_> = client.rule.messages.iter().collect();
    codec.complete(&requests, &mut server.rule.messages);
    server.spans.resize(server.rule.messages.len(), top.key_span("codec"));
    let all = || client.rule.messages.iter().chain(&server.rule.messages);
    let anywhere = StateRule { from: None, to: None };
    let state = all().any(|message| message.state.is_some()).then_some(anywhere);
    let answers = codec.answers(&client.rule.messages, &server.rule.messages);
    for answer in answers {
        client.rule.messages.push(MessageRule { state: state.clone(), ..answer });
    }
    client.spans.resize(client.rule.messages.len(), top.key_span("codec"));
}

/// Where `match` of a message stands.
fn tags(top: &Table<'_, '_>, side: Side, message: &MessageRule) -> Option<Range<usize>> {
    let written = top.table(side.as_str())?.tables("message");
    let named =
        |table: &&Table<'_, '_>| table.text("name").is_some_and(|name| name.value == message.name);
    written.iter().find(named).map(|table| table.key_span("match"))
}

/// K-80 across the messages of both sides, where the client subscribes.
fn subscriptions(top: &Table<'_, '_>, client: &Draft, server: &Draft) {
    let (requests, replies) = (&client.rule.messages, &server.rule.messages);
    for (side, name, error) in Resp::lint_subscriptions(requests, replies) {
        let draft = if side == Side::Client { client } else { server };
        let at = draft.rule.messages.iter().position(|message| message.name == name);
        let span = at.and_then(|at| draft.spans.get(at).cloned());
        rule_error(top, span.unwrap_or_else(|| top.span()), error);
    }
}

/// `keys` of the messages, read from the file a second time: the decoder needs them.
fn declared_keys(top: &Table<'_, '_>, resp: &Resp, client: &mut Draft) {
    let Some(table) = top.table("client") else { return };
    let mut declared = Vec::new();
    for message in table.tables("message") {
        let name = message.text("name").map_or("", |name| name.value);
        let Some(rule) = client.rule.messages.iter().find(|m| m.name == name) else { continue };
        let positions = message.table("keys").map(|keys| positions(&keys));
        match resp.declared_keys(rule, positions) {
            Ok(more) => declared.extend(more),
            Err(error) => rule_error(top, message.span(), error),
        }
    }
    client.rule.decode = DecodeRule::Resp(RespDecode::new(Side::Client, declared));
}

/// `keys = { first, last, step }`, as `COMMAND INFO` gives them; the first argument alone is 1, 1, 1.
fn positions(keys: &Table<'_, '_>) -> Positions {
    let number = |key: &'static str, lo: i64, hi: i64| {
        let Some(number) = keys.integer(key) else { return 1 };
        if !(lo..=hi).contains(&number.value) {
            let message = format!("`{key}` is {}, outside {lo} to {hi}", number.value);
            keys.error("K-02", number.span, message);
        }
        number.value
    };
    let (first, last, step) =
        (number("first", 1, 64), number("last", -64, 64), number("step", 1, 8));
    keys.finish();
    let small = |number: i64| u8::try_from(number).unwrap_or(1);
    Positions { first: small(first), last: i8::try_from(last).unwrap_or(1), step: small(step) }
}

/// The codec's answers for the classes that `[reject]` does not list.
pub(super) fn default_rejects(
    codec: Option<&Codec>,
    client: &Draft,
    rejects: &mut Vec<(Class, Reject)>,
) {
    let requests: Vec<_> = client.rule.messages.iter().collect();
    let defaults = codec.map(|codec| codec.rejects(&requests)).unwrap_or_default();
    for (class, reject) in defaults {
        if !rejects.iter().any(|(listed, _)| *listed == class) {
            rejects.push((class, reject));
        }
    }
}
