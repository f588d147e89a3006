//! Checks across messages: exclusive, answered, of one type (K-02, K-20 to K-23, K-45, K-46).

use super::direction::Draft;
use crate::contract::value::Pointer;
use crate::contract::{MessageRule, Pairing, Role};
use crate::document::Table;
use std::ops::Range;

pub(super) fn check(top: &Table<'_, '_>, client: &Draft, server: &Draft, pairing: &Pairing) {
    for draft in [client, server] {
        pairs(draft, |a, b, span| {
            if a.name == b.name {
                top.error("K-02", span, format!("two messages are called `{}`", a.name));
            } else if !exclusive(a, b, draft.rule.tag.as_ref()) {
                let message =
                    format!("messages `{}` and `{}` may both fit one message", a.name, b.name);
                let hint = "give them different `match`, or one `has` what the other `lacks`";
                top.error_with_hint("K-20", span, message, hint);
            }
        });
    }
    answers(top, client, server);
    reply_keys(top, server, pairing);
    shapes(top, client);
    tags(top, client);
    tags(top, server);
}

fn pairs(draft: &Draft, mut each: impl FnMut(&MessageRule, &MessageRule, Range<usize>)) {
    for (at, a) in draft.rule.messages.iter().enumerate() {
        for (b, span) in draft.rule.messages.iter().zip(&draft.spans).skip(at + 1) {
            each(a, b, span.clone());
        }
    }
}

/// Whether no message can fit both. For grammars without a tag the vectors are the proof, and
/// what fits two at run time is refused.
fn exclusive(a: &MessageRule, b: &MessageRule, tag: Option<&Pointer>) -> bool {
    let disjoint = tag.is_some()
        && !a.matches.is_empty()
        && !b.matches.is_empty()
        && !a.matches.iter().any(|x| b.matches.iter().any(|y| x.same_scalar(y)));
    // A message that matches the tag has it.
    let has = |m: &MessageRule, at: &Pointer| {
        m.has.contains(at) || (!m.matches.is_empty() && tag == Some(at))
    };
    let shut = |a: &MessageRule, b: &MessageRule| a.lacks.iter().any(|at| has(b, at));
    let answers = match (&a.role, &b.role) {
        (Role::Reply(x), Role::Reply(y)) => !x.iter().any(|name| y.contains(name)),
        _ => false,
    };
    let grammars = a.grammar.is_some() && b.grammar.is_some();
    disjoint || shut(a, b) || shut(b, a) || answers || grammars
}

/// K-21: what is answered exists. K-22: what expects a reply gets one.
fn answers(top: &Table<'_, '_>, client: &Draft, server: &Draft) {
    let known: Vec<&str> = client.rule.messages.iter().map(|m| m.name.as_str()).collect();
    for (message, span) in server.rule.messages.iter().zip(&server.spans) {
        let Role::Reply(names) = &message.role else { continue };
        for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
            let text = format!("`{}` answers `{name}`, which the client cannot say", message.name);
            let near = crate::finding::nearest(name, known.iter().copied());
            let finding = top.document().error("K-21", span.clone(), text);
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            top.document().find(finding.hint_if(hint));
        }
    }
    for (message, span) in client.rule.messages.iter().zip(&client.spans) {
        let expects = message.request().is_some_and(|request| request.expects);
        let answered = server.rule.messages.iter().any(|reply| match &reply.role {
            Role::Reply(names) => names.contains(&message.name),
            _ => false,
        });
        if expects && !answered {
            let text = format!("nothing answers `{}`", message.name);
            let hint = "a `[[server.message]]` with `answers`, or `expects = \"none\"`";
            top.error_with_hint("K-22", span.clone(), text, hint);
        }
    }
}

/// K-23: a reply is paired by a key that it has.
fn reply_keys(top: &Table<'_, '_>, server: &Draft, pairing: &Pairing) {
    let Pairing::Key(key) = pairing else { return };
    for (message, span) in server.rule.messages.iter().zip(&server.spans) {
        let in_schema =
            message.schema.as_ref().and_then(|s| s.shape(key)).is_some_and(|s| s.required);
        let in_fields = message.fields.iter().any(|(at, _, rule)| at == key && !rule.optional);
        let reply = matches!(message.role, Role::Reply(_));
        if reply && !in_schema && !in_fields {
            let text =
                format!("the reply `{}` does not require the pair key `{key}`", message.name);
            top.error("K-23", span.clone(), text);
        }
        if !reply && (in_schema || in_fields) {
            let text =
                format!("the push `{}` has the pair key `{key}`, as a reply would", message.name);
            top.error("K-23", span.clone(), text);
        }
    }
}

/// K-45 and K-46: an action has one kind of resource, an attribute one type.
fn shapes(top: &Table<'_, '_>, client: &Draft) {
    pairs(client, |a, b, span| {
        let (Some(a), Some(b)) = (a.request(), b.request()) else { return };
        if a.action != b.action {
            return;
        }
        if a.resource.is_some() != b.resource.is_some() {
            let text =
                format!("action `{}` has a resource in one message and none in another", a.action);
            top.error("K-45", span.clone(), text);
        }
        for one in &a.shape.context {
            if b.shape.context.iter().any(|other| other.name == one.name && other.kind != one.kind)
            {
                let text =
                    format!("attribute `{}` of action `{}` has two types", one.name, a.action);
                top.error("K-46", span.clone(), text);
            }
        }
    });
}

/// A `match` without a tag would match nothing.
fn tags(top: &Table<'_, '_>, draft: &Draft) {
    for (message, span) in draft.rule.messages.iter().zip(&draft.spans) {
        if !message.matches.is_empty() && draft.rule.tag.is_none() {
            let text = format!("`{}` has `match`, but the direction has no `tag`", message.name);
            top.error_with_hint("K-20", span.clone(), text, "`tag = \"/method\"`");
        }
    }
}
