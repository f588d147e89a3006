//! Checks across messages: exclusive, answered, of one type (K-02, K-20 to K-23, K-45, K-46).

use super::direction::Draft;
use crate::contract::codec::Codec;
use crate::contract::decode::DecodeRule;
use crate::contract::field::FieldRule;
use crate::contract::state::Remember;
use crate::contract::value::Pointer;
use crate::contract::{Asking, Direction, MessageRule, Pairing, Role};
use crate::document::Table;
use crate::policy::schema::Attribute;
use std::ops::Range;

/// Most names that one connection remembers.
const REMEMBERED: usize = 16;

/// Marks the fields that tell apart what nothing else does: required ones whose integers, or whose
/// values, have nothing in common. They are then judged when a message is chosen.
pub(super) fn tell_apart(draft: &mut Draft) {
    let Direction { messages, tag, decode, .. } = &mut draft.rule;
    let mut told: Vec<(usize, Pointer)> = Vec::new();
    for (at, a) in messages.iter().enumerate() {
        for (other, b) in messages.iter().enumerate().skip(at + 1) {
            if exclusive(a, b, tag.as_ref(), decode.integers_in_text()) {
                continue;
            }
            // What a message has behind the head of all is not read before it is chosen.
            let early = |at: &Pointer| {
                !matches!(decode, DecodeRule::Struct(_)) || decode.field_type(None, at).is_some()
            };
            let may =
                |at: &Pointer, a: &FieldRule, b: &FieldRule| early(at) && !a.secret && !b.secret;
            if let Some(place) = told_at(a, b, decode.integers_in_text(), may) {
                told.extend([(at, place.clone()), (other, place.clone())]);
            }
        }
    }
    for (of, place) in told {
        let fields = messages.get_mut(of).into_iter().flat_map(|message| &mut message.fields);
        fields.filter(|(at, ..)| *at == place).for_each(|(_, _, rule)| rule.tells = true);
    }
}

/// The first place that both messages need, and at which no value is of both.
fn told_at<'m>(
    a: &'m MessageRule,
    b: &MessageRule,
    from_text: bool,
    may: impl Fn(&Pointer, &FieldRule, &FieldRule) -> bool,
) -> Option<&'m Pointer> {
    let needed = a.fields.iter().filter(|(.., rule)| !rule.optional);
    let mut apart = needed.filter(|(at, _, rule)| {
        let of_other = b.fields.iter().find(|(other, ..)| other == at);
        of_other.is_some_and(|(.., other)| {
            !other.optional && may(at, rule, other) && rule.is_apart(other, from_text)
        })
    });
    apart.next().map(|(at, ..)| at)
}

pub(super) fn check(
    top: &Table<'_, '_>,
    client: &Draft,
    server: &Draft,
    pairing: &Pairing,
    codec: Option<&Codec>,
) {
    for draft in [client, server] {
        let from_text = draft.rule.decode.integers_in_text();
        pairs(draft, |a, b, span| {
            if a.name == b.name {
                top.error("K-02", span, format!("two messages are called `{}`", a.name));
            } else if !exclusive(a, b, draft.rule.tag.as_ref(), from_text) {
                let message =
                    format!("messages `{}` and `{}` may both fit one message", a.name, b.name);
                let hint = "give them different `match` or `where`, integers of one field in ranges apart, or one `has` what the other `lacks`";
                top.error_with_hint("K-20", span, message, hint);
            }
        });
    }
    answers(top, client, server);
    questions(top, client, server);
    // What a message that could not be read remembers would be missed elsewhere.
    if client.whole && server.whole {
        remembered(top, client, server);
    }
    if *pairing == Pairing::None {
        one_way(top, server);
    }
    // A codec's own replies all have the key by which it pairs.
    if codec.is_none() {
        reply_keys(top, server, pairing);
    }
    shapes(top, client, server);
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
fn exclusive(a: &MessageRule, b: &MessageRule, tag: Option<&Pointer>, from_text: bool) -> bool {
    let disjoint = tag.is_some()
        && !a.matches.is_empty()
        && !b.matches.is_empty()
        && !a.matches.iter().any(|x| b.matches.iter().any(|y| x.same_scalar(y)));
    // A message that matches the tag has it.
    let has = |m: &MessageRule, at: &Pointer| {
        m.has.contains(at)
            || (!m.matches.is_empty() && tag == Some(at))
            || m.wheres.iter().any(|(place, _)| place == at)
    };
    let shut = |a: &MessageRule, b: &MessageRule| a.lacks.iter().any(|at| has(b, at));
    let apart = |x: &[String], y: &[String]| !x.iter().any(|name| y.contains(name));
    let answers = match (&a.role, &b.role) {
        (Role::Reply(x), Role::Reply(y)) => apart(x, y),
        (Role::Request(x), Role::Request(y)) => {
            !x.answers.is_empty() && !y.answers.is_empty() && apart(&x.answers, &y.answers)
        }
        _ => false,
    };
    let wheres = a.wheres.iter().any(|(at, x)| {
        b.wheres.iter().any(|(other, y)| {
            at == other && !x.iter().any(|one| y.iter().any(|two| one.same_scalar(two)))
        })
    });
    let grammars = a.grammar.is_some() && b.grammar.is_some();
    let told = || told_at(a, b, from_text, |_, a, b| a.tells && b.tells).is_some();
    disjoint || wheres || shut(a, b) || shut(b, a) || answers || grammars || told()
}

/// K-21: where no reply belongs to a request, the service only pushes.
fn one_way(top: &Table<'_, '_>, server: &Draft) {
    for (message, span) in server.rule.messages.iter().zip(&server.spans) {
        let key = match message.role {
            Role::Reply(_) => "answers",
            Role::Ask => "asks",
            Role::Push(_) | Role::Request(_) => continue,
        };
        let text = format!(
            "`{}` has `{key}`, and with `pair = {{ by = \"none\" }}` nothing does",
            message.name
        );
        top.error_with_hint("K-21", span.clone(), text, "`pushes = true`, or another `pair`");
    }
}

/// K-21: what is answered exists. K-22: what expects a reply gets one.
fn answers(top: &Table<'_, '_>, client: &Draft, server: &Draft) {
    let read = client.rule.messages.iter().map(|m| &m.name);
    let known: Vec<&str> = read.chain(&client.names).map(String::as_str).collect();
    for (message, span) in server.rule.messages.iter().zip(&server.spans) {
        let Role::Reply(names) = &message.role else { continue };
        let unknown = |name: &&String| !known.contains(&name.as_str()) && !known.contains(&"");
        for name in names.iter().filter(unknown) {
            let text = format!("`{}` answers `{name}`, which the client cannot say", message.name);
            let near = crate::finding::nearest(name, known.iter().copied());
            let finding = top.document().error("K-21", span.clone(), text);
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            top.document().find(finding.hint_if(hint));
        }
    }
    // What answers it may be what could not be read.
    if !server.whole {
        return;
    }
    for (message, span) in client.rule.messages.iter().zip(&client.spans) {
        let request = message.request();
        let expects = request.is_some_and(|request| request.expects);
        if request.is_some_and(|request| request.many) {
            let ends = server.rule.messages.iter().any(|reply| match &reply.role {
                Role::Reply(names) => reply.last && names.contains(&message.name),
                _ => false,
            });
            if !ends {
                let text = format!("no answer to `{}` is its last one", message.name);
                top.error_with_hint("K-22", span.clone(), text, "`last = true`");
            }
        }
        let answered = server.rule.messages.iter().any(|reply| match &reply.role {
            Role::Reply(names) => names.contains(&message.name),
            _ => false,
        });
        let by_name = |reply: &MessageRule| match &reply.role {
            Role::Reply(names) => names.contains(&message.name) && !reply.name.contains("error"),
            _ => false,
        };
        if expects && answered && !server.rule.messages.iter().any(by_name) {
            let text = format!("only an error answers `{}`", message.name);
            let finding = top.document().error("K-22", span.clone(), text).warning();
            top.document().find(finding.hint("what is answered if all goes well?"));
        }
        if expects && !answered {
            let text = format!("nothing answers `{}`", message.name);
            let hint = "a `[[server.message]]` with `answers`, or `expects = \"none\"`";
            top.error_with_hint("K-22", span.clone(), text, hint);
        }
    }
}

/// K-21, K-22: what the client answers is asked, and what is asked is answered.
fn questions(top: &Table<'_, '_>, client: &Draft, server: &Draft) {
    let is_asked = |name: &String| {
        let written = |one: &String| one == name || one.is_empty();
        !server.whole && server.names.iter().any(written)
            || server.rule.messages.iter().any(|m| m.name == *name && matches!(m.role, Role::Ask))
    };
    for (message, span) in client.rule.messages.iter().zip(&client.spans) {
        let answers = message.request().map_or(&[][..], |request| &request.answers);
        for name in answers.iter().filter(|name| !is_asked(name)) {
            let text =
                format!("`{}` answers `{name}`, which the service does not ask", message.name);
            top.error("K-21", span.clone(), text);
        }
    }
    for (question, span) in server.rule.messages.iter().zip(&server.spans) {
        let answered = client
            .rule
            .messages
            .iter()
            .filter_map(MessageRule::request)
            .any(|request| request.answers.contains(&question.name));
        if matches!(question.role, Role::Ask) && !answered && client.whole {
            let text = format!("nothing answers `{}`, which the service asks", question.name);
            let hint = "a `[[client.message]]` with `answers`, or `pushes = true`";
            top.error_with_hint("K-22", span.clone(), text, hint);
        }
    }
}

/// K-44: a resource is named by what some message remembers.
fn remembered(top: &Table<'_, '_>, client: &Draft, server: &Draft) {
    let known =
        |name: &str| all(client, server).any(|(m, _)| m.remember.iter().any(|of| of.name == name));
    let mut names: Vec<&str> =
        all(client, server).flat_map(|(m, _)| &m.remember).map(|of| &*of.name).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > REMEMBERED {
        let text = format!("{} names are remembered; the most is {REMEMBERED}", names.len());
        let last = all(client, server).filter(|(message, _)| !message.remember.is_empty()).last();
        top.error("K-02", last.map_or_else(|| top.span(), |(_, span)| span.clone()), text);
    }
    for (message, span) in all(client, server) {
        let Some(template) = message.asking().and_then(|a| a.resource.as_ref()) else { continue };
        for name in template.session_names().filter(|name| !known(name)) {
            let text = format!("the resource names `session.{name}`, which nothing remembers");
            top.error_with_hint(
                "K-44",
                span.clone(),
                text,
                "`remember = { .. }` in a message before",
            );
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
        // A question is paired by its key too.
        let reply = matches!(message.role, Role::Reply(_) | Role::Ask);
        let decode = &server.rule.decode;
        let implied =
            decode.knows_its_fields() && decode.field_type(message.layout.as_ref(), key).is_some();
        if reply && !in_schema && !in_fields && !implied {
            let text = format!("`{}` does not require the pair key `{key}`", message.name);
            top.error("K-23", span.clone(), text);
        }
        // It is told from every reply by what it has beside the key.
        let told = message.has.iter().any(|at| {
            let others = server.rule.messages.iter().filter(|m| !matches!(m.role, Role::Push(_)));
            others.into_iter().all(|other| other.lacks.contains(at))
        });
        if !reply && !told && (in_schema || in_fields) {
            let text =
                format!("the push `{}` has the pair key `{key}`, as a reply would", message.name);
            let hint = "it may, if it `has` what every reply `lacks`";
            top.error_with_hint("K-23", span.clone(), text, hint);
        }
    }
}

/// K-45 and K-46: an action has one kind of resource, an attribute one type.
fn shapes(top: &Table<'_, '_>, client: &Draft, server: &Draft) {
    let mut seen: Vec<&Asking> = Vec::new();
    for (message, span) in all(client, server) {
        let Some(asking) = message.asking() else { continue };
        for other in seen.iter().filter(|other| other.action == asking.action) {
            same_shape(top, other, asking, span);
        }
        seen.push(asking);
    }
    let mut kept: Vec<&Remember> = Vec::new();
    for (message, span) in all(client, server) {
        for one in &message.remember {
            if kept.iter().any(|other| other.name == one.name && other.kind != one.kind) {
                let text = format!("`{}` is remembered with two types", one.name);
                top.error("K-46", span.clone(), text);
            }
            kept.push(one);
        }
    }
}

fn same_shape(top: &Table<'_, '_>, a: &Asking, b: &Asking, span: &Range<usize>) {
    let action = &a.action;
    if a.resource.is_some() != b.resource.is_some() {
        let text = format!("action `{action}` has a resource in one message and none in another");
        top.error("K-45", span.clone(), text);
    }
    for one in &a.shape.context {
        let unlike = |other: &Attribute| other.name == one.name && other.kind != one.kind;
        if b.shape.context.iter().any(unlike) {
            let text = format!("attribute `{}` of action `{action}` has two types", one.name);
            top.error("K-46", span.clone(), text);
        }
    }
}

/// The messages of both directions, with their places.
fn all<'d>(
    client: &'d Draft,
    server: &'d Draft,
) -> impl Iterator<Item = (&'d MessageRule, &'d Range<usize>)> {
    [client, server].into_iter().flat_map(|draft| draft.rule.messages.iter().zip(&draft.spans))
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
