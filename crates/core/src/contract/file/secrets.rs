//! `secret` as written, and K-60: where no secret may be used.

use super::direction::Draft;
use super::fields;
use crate::contract::Pairing;
use crate::contract::field::FieldRule;
use crate::contract::reject::ReplyValue;
use crate::contract::secret::touches;
use crate::contract::value::Pointer;
use crate::document::Table;
use std::ops::Range;

/// The secret places of a message, by its key `secret` and by its fields; the rules of what lies
/// there are made secret too.
pub(super) fn of_message(
    table: &Table<'_, '_>,
    rules: &mut [(Pointer, FieldRule, Range<usize>)],
) -> Vec<Pointer> {
    let mut secrets = fields::pointers(table, "secret");
    for (at, rule, _) in rules {
        let hidden = rule.secret || rule.each.as_ref().is_some_and(|each| each.secret);
        if hidden && !secrets.iter().any(|secret| secret.covers(at)) {
            secrets.push(at.clone());
        }
        if secrets.iter().any(|secret| secret.covers(at)) {
            rule.hide();
        }
    }
    secrets
}

/// Adds the places that are secret by the codec.
pub(super) fn add(
    places: Vec<Pointer>,
    secrets: &mut Vec<Pointer>,
    rules: &mut [(Pointer, FieldRule, Range<usize>)],
) {
    secrets.extend(places);
    for (_, rule, _) in rules.iter_mut().filter(|(at, ..)| secrets.iter().any(|s| s.covers(at))) {
        rule.hide();
    }
}

/// K-60 for what is not of one message: tag, pair key, values that are given back, raw bytes.
pub(super) fn check(
    top: &Table<'_, '_>,
    client: &Draft,
    server: &Draft,
    pairing: &Pairing,
    values: &[(String, ReplyValue)],
) {
    let mut any = false;
    for draft in [client, server] {
        for (message, span) in draft.rule.messages.iter().zip(&draft.spans) {
            let secrets = &message.secrets;
            any |= !secrets.is_empty();
            let used = |at: &Pointer, what: &str| {
                if touches(secrets, at) {
                    let text = format!("`{at}` of `{}` is secret, and {what}", message.name);
                    top.error("K-60", span.clone(), text);
                }
            };
            if let Some(tag) = &draft.rule.tag {
                used(tag, "the tag tells messages apart by it");
            }
            if let Pairing::Key(key) = pairing {
                used(key, "replies are paired by it");
            }
            for (at, _) in &message.wheres {
                used(at, "`where` tells messages apart by it");
            }
            for (name, value) in values {
                used(&value.at, &format!("`[reject.values]` gives it back as `{name}`"));
            }
        }
    }
    if any && top.has("audit_bytes") {
        let text = "`audit_bytes` would show secrets that messages declare";
        top.error("K-60", top.key_span("audit_bytes"), text);
    }
}
