//! `[[test]]` as written.

use super::direction::Draft;
use crate::contract::Side;
use crate::contract::state::{Remember, States};
use crate::contract::test::{Expect, Source, Step, Vector};
use crate::contract::units;
use crate::contract::value::Value;
use crate::document::{Placed, Table, integer};
use crate::finding::nearest;
use crate::identity::Identity;
use crate::policy::schema::AttributeKind;
use crate::rejection::Class;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

pub(super) fn vectors(
    top: &Table<'_, '_>,
    states: &States,
    client: &Draft,
    server: &Draft,
) -> Vec<Vector> {
    let tests = top.tables("test");
    let messages = client.rule.messages.iter().chain(&server.rule.messages);
    let known: Vec<&Remember> = messages.flat_map(|message| &message.remember).collect();
    tests.iter().enumerate().filter_map(|(at, table)| vector(table, at, states, &known)).collect()
}

fn vector(
    table: &Table<'_, '_>,
    at: usize,
    states: &States,
    known: &[&Remember],
) -> Option<Vector> {
    let state = table.text("state").and_then(|name| {
        let known = states.named(name.value);
        if known.is_none() {
            let text = format!("the contract has no state `{}`", name.value);
            let near = nearest(name.value, states.names.iter().map(String::as_str));
            let finding = table.document().error("K-90", name.span, text);
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            table.document().find(finding.hint_if(hint));
        }
        known
    });
    let name =
        table.text("name").map_or_else(|| format!("test {}", at + 1), |name| name.value.to_owned());
    let append = table.text("append").and_then(|text| raw(table, &text)).unwrap_or_default();
    let after = inputs(table, "after", &append);
    let allow = match table.text("policy").map(|policy| (policy.value, policy.span)) {
        None | Some(("allow", _)) => true,
        Some(("deny", _)) => false,
        Some((other, span)) => {
            table.error("K-90", span, format!("`policy` is `{other}`, not `allow` or `deny`"));
            true
        }
    };
    let identity = identity(table);
    let roles = table.texts("roles").unwrap_or_default();
    if let (Some(first), None) = (roles.first(), &identity) {
        table.error("K-90", first.span.clone(), "`roles` belong to an `identity`");
    }
    let source = source(table, &append)?;
    unread(table, &source);
    let bytes = |key| table.text(key).and_then(|text| raw(table, &text));
    let vector = Vector {
        name,
        span: table.span(),
        allow,
        state,
        remembered: remembered(table, known),
        identity,
        roles: roles.into_iter().map(|role| role.value.to_owned()).collect(),
        after,
        source,
        reason: table.text("reason").map(|text| text.value.to_owned()),
        message: table.text("message").map(|text| text.value.to_owned()),
        action: table.text("action").map(|text| text.value.to_owned()),
        resource: table.text("resource").map(|text| text.value.to_owned()),
        context: context(table),
        forwards: bytes("forwards"),
        reply: bytes("reply"),
        service_sees: bytes("service_sees"),
        peer_sees: bytes("peer_sees"),
        closed: table.boolean("closed").map(|flag| flag.value),
    };
    table.finish();
    Some(vector)
}

/// What the connection is supposed to remember.
fn remembered(table: &Table<'_, '_>, known: &[&Remember]) -> Vec<(String, Value<'static>)> {
    let Some(session) = table.table("session") else { return Vec::new() };
    let mut all = Vec::new();
    for (name, value) in session.entries() {
        let Some(of) = known.iter().find(|one| one.name == name.value) else {
            let text = format!("no message has `{}` remembered", name.value);
            let near = nearest(name.value, known.iter().map(|one| one.name.as_str()));
            let finding = table.document().error("K-90", name.span, text);
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            table.document().find(finding.hint_if(hint));
            continue;
        };
        let fits = |value: &Value<'_>| match (&of.kind, value) {
            (Some(AttributeKind::Long), value) => matches!(value, Value::Int(_)),
            (Some(AttributeKind::Bool), value) => matches!(value, Value::Bool(_)),
            (_, value) => matches!(value, Value::Text(_)),
        };
        match value_of(value.get_ref()).filter(fits) {
            Some(value) => all.push((name.value.to_owned(), value)),
            None => {
                let text = format!("`{}` is remembered as another type", name.value);
                table.error("K-90", value.span(), text);
            }
        }
    }
    all
}

/// Who speaks.
fn identity(table: &Table<'_, '_>) -> Option<Identity> {
    let text = table.text("identity")?;
    let parsed = text.value.parse::<Identity>();
    parsed.map_err(|error| table.error("K-90", text.span, error.to_string())).ok()
}

/// What would be read and never compared is no test.
fn unread(table: &Table<'_, '_>, source: &Source) {
    const OF_VECTORS: [&str; 8] =
        ["expect", "reason", "message", "action", "resource", "context", "forwards", "reply"];
    const OF_DIALOGUES: [&str; 3] = ["service_sees", "peer_sees", "closed"];
    let (keys, what, hint) = match source {
        Source::Vectors(..) => (
            &OF_DIALOGUES[..],
            "belongs to `steps`",
            "`forwards` and `reply` are those of a vector",
        ),
        Source::Dialogue(_) => {
            let hint =
                "each step has its `expect`; `service_sees`, `peer_sees` and `closed` are of all";
            (&OF_VECTORS[..], "belongs to `client` or `server`", hint)
        }
    };
    for key in keys.iter().filter(|key| table.has(key)) {
        table.error_with_hint("K-90", table.key_span(key), format!("`{key}` {what}"), hint);
        let _ = table.value(key);
    }
    let empty = match source {
        Source::Vectors(_, inputs, _) => inputs.is_empty(),
        Source::Dialogue(steps) => steps.is_empty(),
    };
    if empty && !table.document().has_errors() {
        table.error("K-90", table.span(), "a test that says nothing shows nothing");
    }
}

fn source(table: &Table<'_, '_>, append: &[u8]) -> Option<Source> {
    let expect = table.text("expect");
    let expect = expect.and_then(|text| verdict(table, &text));
    let steps = table.has("steps").then(|| steps(table, append));
    match (table.has("client"), table.has("server"), steps) {
        (true, false, None) => Some(Source::Vectors(
            Side::Client,
            inputs(table, "client", append),
            expected(table, expect)?,
        )),
        (false, true, None) => Some(Source::Vectors(
            Side::Server,
            inputs(table, "server", append),
            expected(table, expect)?,
        )),
        (false, false, Some(steps)) => Some(Source::Dialogue(steps)),
        _ => {
            table.error(
                "K-90",
                table.span(),
                "a test has exactly one of `client`, `server` and `steps`",
            );
            None
        }
    }
}

fn expected(table: &Table<'_, '_>, expect: Option<Expect>) -> Option<Expect> {
    if expect.is_none() && !table.has("expect") {
        table.missing("K-90", "expect", "`forward`, or the class of the refusal");
    }
    expect
}

fn verdict(table: &Table<'_, '_>, text: &Placed<&str>) -> Option<Expect> {
    if text.value == "forward" {
        return Some(Expect::Forward);
    }
    let class = Class::ALL.into_iter().find(|class| class.as_str() == text.value);
    if class.is_none() {
        let all: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
        let message = format!("there is no verdict `{}`", text.value);
        table.error_with_hint(
            "K-90",
            text.span.clone(),
            message,
            format!("forward, {}", all.join(", ")),
        );
    }
    class.map(Expect::Refuse)
}

fn inputs(table: &Table<'_, '_>, key: &'static str, append: &[u8]) -> Vec<Vec<u8>> {
    let texts = table.texts(key).unwrap_or_default();
    let bytes = |text: &Placed<&str>| {
        let mut bytes = raw(table, text)?;
        bytes.extend_from_slice(append);
        Some(bytes)
    };
    texts.iter().filter_map(bytes).collect()
}

fn raw(table: &Table<'_, '_>, text: &Placed<&str>) -> Option<Vec<u8>> {
    units::bytes(text.value)
        .map_err(|sentence| table.error("K-90", text.span.clone(), sentence))
        .ok()
}

fn steps(table: &Table<'_, '_>, append: &[u8]) -> Vec<(Step, Vec<Expect>)> {
    let step = |table: &Table<'_, '_>| {
        let expect = table.texts("expect").unwrap_or_default();
        let expect: Vec<Expect> = expect.iter().filter_map(|text| verdict(table, text)).collect();
        let side = |key| {
            table.text(key).and_then(|text| raw(table, &text)).map(|mut bytes| {
                bytes.extend_from_slice(append);
                bytes
            })
        };
        let (client, server) = (side("client"), side("server"));
        let wait = table.text("wait").and_then(|text| {
            let wait = units::duration(text.value);
            wait.map_err(|sentence| table.error("K-90", text.span, sentence)).ok()
        });
        let eof = table.text("eof").map(|text| text.value);
        table.finish();
        let step = match (client, server, wait, eof) {
            (Some(bytes), None, None, None) => Step::Say(Side::Client, bytes),
            (None, Some(bytes), None, None) => Step::Say(Side::Server, bytes),
            (None, None, Some(wait), None) => Step::Wait(wait),
            (None, None, None, Some("client")) => Step::End(Side::Client),
            (None, None, None, Some("server")) => Step::End(Side::Server),
            _ => {
                let message = "a step has exactly one of `client`, `server`, `wait` and `eof`";
                table.error("K-90", table.span(), message);
                Step::Wait(Duration::ZERO)
            }
        };
        (step, expect)
    };
    table.tables("steps").iter().map(step).collect()
}

fn context(table: &Table<'_, '_>) -> Option<Vec<(String, Value<'static>)>> {
    let context = table.table("context")?;
    let member = |(name, value): (Placed<&str>, &Spanned<DeValue<'_>>)| {
        let is = value_of(value.get_ref());
        if is.is_none() {
            let text = format!("`{}` is nothing that a policy sees", name.value);
            let hint = "a text, an integer, `true`, `false`, or a list of these";
            context.error_with_hint("K-90", value.span(), text, hint);
        }
        Some((name.value.to_owned(), is?))
    };
    Some(context.entries().filter_map(member).collect())
}

fn value_of(value: &DeValue<'_>) -> Option<Value<'static>> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string().into())),
        DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
        DeValue::Array(list) => {
            list.iter().map(|v| value_of(v.get_ref())).collect::<Option<_>>().map(Value::List)
        }
        other => integer(other).map(Value::Int),
    }
}
