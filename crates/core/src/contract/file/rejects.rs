//! `[reject]` as written, with K-70 to K-74.

use super::direction::Draft;
use super::{fields, rule_error};
use crate::contract::codec::Codec;
use crate::contract::frame::FrameRule;
use crate::contract::reject::{Reject, Reply, ReplyTemplate, ReplyValue, Then};
use crate::contract::{ContractLimits, MessageRule, Pairing, Role};
use crate::document::{Placed, Table};
use crate::rejection::Class;
use std::time::Duration;

type Values = Vec<(String, ReplyValue)>;

/// What every reply is checked against.
struct Scope<'s> {
    server: &'s Draft,
    limits: &'s ContractLimits,
    pairing: &'s Pairing,
    codec: Option<&'s Codec>,
    values: &'s Values,
    /// Whether some message of the client expects no reply.
    silent: bool,
    /// Whether the client's messages may belong together, so that none may be left out.
    together: bool,
}

pub(super) fn rejects(
    top: &Table<'_, '_>,
    client: &Draft,
    server: &Draft,
    limits: &ContractLimits,
    pairing: &Pairing,
    codec: Option<&Codec>,
) -> (Vec<(Class, Reject)>, Values) {
    let Some(table) = top.table("reject") else { return (Vec::new(), Vec::new()) };
    let values = values(&table);
    let mut requests = client.rule.messages.iter().filter_map(|m| m.request());
    let silent = requests.clone().any(|request| !request.expects);
    let together = together(codec, client);
    let scope = Scope { server, limits, pairing, codec, values: &values, silent, together };
    let expects = requests.any(|request| request.expects);
    let rejects = classes(&table, &scope, expects);
    table.finish();
    (rejects, values)
}

/// The overrides that single messages have, read from the file a second time.
pub(super) fn of_messages(
    top: &Table<'_, '_>,
    client: &mut Draft,
    server: &Draft,
    limits: &ContractLimits,
    pairing: &Pairing,
    codec: Option<&Codec>,
    values: &Values,
) {
    let Some(table) = top.table("client") else { return };
    let together = together(codec, client);
    let scope = Scope { server, limits, pairing, codec, values, silent: false, together };
    for message in table.tables("message") {
        let Some(reject) = message.table("reject") else { continue };
        let name = message.text("name").map_or("", |name| name.value);
        let Some(rule) = client.rule.messages.iter_mut().find(|m| m.name == name) else { continue };
        let Role::Request(request) = &mut rule.role else { continue };
        for class in [Class::Frame, Class::Undeclared, Class::Server] {
            if reject.has(class.as_str()) {
                let text = format!("no fault of `{name}` is of the class `{class}`");
                let hint = "`[reject]` of the contract answers it";
                reject.error_with_hint("K-70", reject.key_span(class.as_str()), text, hint);
            }
        }
        request.rejects = classes(&reject, &scope, request.expects);
        if let Some((_, with_reply)) = request.rejects.iter().find(|(_, r)| r.reply.is_some())
            && !request.expects
        {
            let _ = with_reply;
            let text = format!("`{name}` expects no reply, so no refusal of it is answered");
            reject.error("K-73", reject.span(), text);
        }
        reject.finish();
    }
}

fn together(codec: Option<&Codec>, client: &Draft) -> bool {
    let messages: Vec<&MessageRule> = client.rule.messages.iter().collect();
    codec.is_some_and(|codec| codec.has_transactions(&messages))
}

fn values(reject: &Table<'_, '_>) -> Values {
    let Some(table) = reject.table("values") else { return Vec::new() };
    let mut values = Vec::new();
    for (name, value) in table.entries() {
        let Some(entry) = table.named(&name, value) else { continue };
        let at = entry.text("at").and_then(|at| fields::pointer(&entry, &at));
        let or = entry.text("or").and_then(|or| {
            let bytes = crate::contract::units::bytes(or.value);
            bytes.map_err(|sentence| entry.error("K-74", or.span, sentence)).ok()
        });
        if !entry.has("at") {
            entry.missing("K-74", "at", "`at = \"/id\"`");
        }
        if !entry.has("or") {
            entry.missing(
                "K-74",
                "or",
                "what is written when the value does not hold: `or = \"null\"`",
            );
        }
        let Some(rule) = fields::rule(&entry, false) else { continue };
        if rule == Default::default() {
            entry.error_with_hint(
                "K-74",
                name.span.clone(),
                format!("`{}` has no rule that it must hold", name.value),
                "`int = [1, 1000]`, `regex = '…'` or `enum = […]`",
            );
        }
        if let (Some(at), Some(or)) = (at, or) {
            values.push((name.value.to_owned(), ReplyValue { at, rule, or }));
        }
    }
    values
}

fn classes(table: &Table<'_, '_>, scope: &Scope<'_>, expects: bool) -> Vec<(Class, Reject)> {
    let class = |class: Class| {
        let entry = table.table(class.as_str())?;
        let reject = reject(&entry, class, scope, expects);
        entry.finish();
        Some((class, reject))
    };
    Class::ALL.into_iter().filter_map(class).collect()
}

fn reject(table: &Table<'_, '_>, class: Class, scope: &Scope<'_>, expects: bool) -> Reject {
    let reply = table.text("reply").and_then(|text| reply(table, &text, class, scope));
    let then = table.text("then").map(|text| (text.value, text.span));
    let (then, at) = match then {
        None => (Then::Close, table.span()),
        Some((word, span)) => match Then::NAMES.iter().find(|(name, _)| *name == word) {
            Some((_, then)) => (*then, span),
            None => {
                let message = format!("`then` is `{word}`");
                table.error_with_hint(
                    "K-02",
                    span.clone(),
                    message,
                    "`continue`, `drop`, `close` or `reset`",
                );
                (Then::Close, span)
            }
        },
    };
    let goes_on = matches!(then, Then::Continue | Then::Drop);
    let by_key = matches!(scope.pairing, Pairing::Key(_));
    let stands_in = by_key || (then == Then::Continue && table.has("reply"));
    let longest = Duration::from_secs(5);
    let delay = super::limits::wait(table, "delay", Duration::ZERO, longest).unwrap_or_default();
    if !delay.is_zero() && (class == Class::Server || then == Then::Reset) {
        let text = "nothing of the peer's is answered here, so there is no `delay`";
        table.error("K-02", table.key_span("delay"), text);
    }
    if class == Class::Frame && goes_on {
        table.error(
            "K-70",
            at,
            "after a bad frame nothing that follows can be trusted: `close` or `reset`",
        );
    } else if then == Then::Continue
        && reply.is_some()
        && scope.silent
        && *scope.pairing == Pairing::Order
        && matches!(class, Class::Invalid | Class::Undeclared | Class::Limit)
    {
        let message = "some messages expect no reply, and a refused one of them would get one that \
                       the next request's sender takes for theirs";
        table.error_with_hint("K-73", at, message, "`close`, or no `reply`");
    } else if goes_on && scope.together && class != Class::Server {
        let message = "within a transaction the other commands would be carried out without the \
                       refused one";
        table.error_with_hint("K-80", at, message, "`close` or `reset`");
    } else if class == Class::Server && goes_on && !stands_in {
        table.error_with_hint(
            "K-72",
            at,
            "a bad answer that nothing stands in for would leave the client with the next one",
            "`close` or `reset`, or with `continue` a `reply`",
        );
    } else if then == Then::Drop && expects && *scope.pairing == Pairing::Order {
        table.error(
            "K-71",
            at,
            "a dropped request would leave the client with the next answer for its own",
        );
    }
    let patience = scope.codec.map_or(10, Codec::patience);
    let max = table.integer("max").map_or(patience, |max| most(table, &max));
    if reply.is_some() && matches!(then, Then::Reset | Then::Drop) {
        let text = "the peer hears nothing of this, so there is no `reply`";
        table.error("K-02", table.key_span("reply"), text);
    }
    let alert = table.boolean("alert").map_or(class == Class::Server, |flag| flag.value);
    Reject { reply, then, max, delay, alert }
}

/// How many refusals pass: 1 to 10,000.
fn most(table: &Table<'_, '_>, max: &Placed<i64>) -> u32 {
    match u32::try_from(max.value) {
        Ok(most @ 1..=10_000) => most,
        _ => {
            let text = format!("`max` is {}, outside 1 to 10000", max.value);
            table.error_with_hint(
                "K-02",
                max.span.clone(),
                text,
                "`then = \"close\"` lets none pass",
            );
            1
        }
    }
}

/// A form of the codec where there is one, else a text that is one frame of the server.
fn reply(
    table: &Table<'_, '_>,
    text: &Placed<&str>,
    class: Class,
    scope: &Scope<'_>,
) -> Option<Reply> {
    let Some(codec) = scope.codec.filter(|_| !text.value.starts_with("hex:")) else {
        return template(table, text, scope).map(Reply::Template);
    };
    codec
        .parse_reply(class, text.value)
        .map(Reply::Codec)
        .map_err(|error| rule_error(table, text.span.clone(), error))
        .ok()
}

/// Columns and items have a size, so a reply that is not of it would be no message of the server's.
fn readable(scope: &Scope<'_>, frame: &[u8], payload: &[u8]) -> Result<(), String> {
    let decode = &scope.server.rule.decode;
    if !decode.knows_its_fields() {
        return Ok(());
    }
    let input = decode.input(frame, payload);
    decode.read(input, &scope.limits.wire).map(|_| ()).map_err(|v| v.sentence)
}

/// K-74: with its fallbacks the reply is one frame of the server direction, within its limit.
fn template(
    table: &Table<'_, '_>,
    text: &Placed<&str>,
    scope: &Scope<'_>,
) -> Option<ReplyTemplate> {
    let template = ReplyTemplate::parse(text.value, scope.values)
        .map_err(|error| rule_error(table, text.span.clone(), error))
        .ok()?;
    let payload = template.render(None, scope.values, &scope.server.rule.decode);
    let mut frame = Vec::new();
    let limit = scope.limits.server_message;
    let framed =
        scope.server.rule.frame.put(&payload, &mut frame).map_err(|v| v.sentence).and_then(|()| {
            let cut = scope.server.rule.frame.cut(&frame, &mut 0, limit).map_err(|v| v.sentence)?;
            match cut {
                Some(cut) if cut.size == frame.len() => readable(scope, &frame, &payload),
                None if scope.server.rule.frame == FrameRule::Eof && !frame.is_empty() => {
                    readable(scope, &frame, &payload)
                }
                _ => Err("it is not exactly one frame".to_owned()),
            }
        });
    if let Err(sentence) = framed {
        table.error(
            "K-74",
            text.span.clone(),
            format!("the reply is no frame of the server: {sentence}"),
        );
    }
    Some(template)
}
