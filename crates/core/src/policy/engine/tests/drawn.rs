//! Policies and questions, drawn so that they meet often: few resources, few numbers, and what lies
//! beside them.

use super::{Asked, Named};
use crate::contract::value::Value;
use proptest::prelude::*;

/// Resources that policies name; asked for are these, and what lies below and beside them.
const LITERALS: [&str; 6] = [
    "Resource::\"plc/unit\"",
    "Resource::\"plc/unit/1\"",
    "Resource::\"plc/unit/2\"",
    "Resource::\"plc/unit/1/x\"",
    "Resource::\"plc/un\"",
    "Resource::\"other/unit\"",
];

fn literal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(LITERALS.to_vec())
}

fn what() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("resource".to_owned()),
        Just("resource is Resource".to_owned()),
        Just("resource in Service::\"plc\"".to_owned()),
        literal().prop_map(|one| format!("resource == {one}")),
        literal().prop_map(|one| format!("resource in {one}")),
        literal().prop_map(|one| format!("resource is Resource in {one}")),
    ]
}

fn scopes() -> impl Strategy<Value = String> {
    let principals = [
        "principal",
        "principal is Peer",
        "principal == Peer::\"spiffe://a.example/hmi\"",
        "principal in TrustDomain::\"a.example\"",
        "principal is Peer in TrustDomain::\"b.example\"",
    ];
    let who = prop::sample::select(principals.to_vec());
    (who, what()).prop_map(|(who, what)| format!("{who}, ACTION, {what}"))
}

/// Numbers that policies compare with.
const NUMBERS: [i64; 7] = [i64::MIN, -3, 0, 7, 8, 150, i64::MAX];

fn number() -> impl Strategy<Value = i64> {
    prop::sample::select(NUMBERS.to_vec())
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["addr", "count"])
}

fn operator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="])
}

/// A comparison with literals: values that they do not tell apart have one decision.
fn with_literals() -> impl Strategy<Value = String> {
    let text = || prop::sample::select(vec!["x1", "y", ""]);
    let equality = || prop::sample::select(vec!["==", "!="]);
    let list = prop::collection::vec(number().prop_map(|n| n.to_string()), 1..4);
    prop_oneof![
        6 => (name(), operator(), number())
            .prop_map(|(name, op, n)| format!("context.message.{name} {op} {n}")),
        3 => (name(), operator(), number())
            .prop_map(|(name, op, n)| format!("{n} {op} context.message[\"{name}\"]")),
        2 => (list, name())
            .prop_map(|(list, name)| format!("[{}].contains(context.message.{name})", list.join(", "))),
        2 => (equality(), text())
            .prop_map(|(op, t)| format!("context.message has note && context.message.note {op} \"{t}\"")),
        1 => text().prop_map(|t| format!(
            "context.message has note && [\"x2\", \"{t}\"].contains(context.message.note)"
        )),
        1 => Just("context.message has note".to_owned()),
        1 => (literal(), equality()).prop_map(|(one, op)| format!("resource {op} {one}")),
        1 => literal().prop_map(|one| format!("resource in [{one}, Resource::\"plc/unit/2\"]")),
        1 => literal().prop_map(|one| format!("resource is Resource in {one}")),
    ]
}

/// A comparison that looks like it, and tells each value from each.
fn with_more() -> impl Strategy<Value = String> {
    prop_oneof![
        literal().prop_map(|one| format!("{one} in Resource::\"plc/unit\"")),
        (name(), operator(), name())
            .prop_map(|(a, op, b)| format!("context.message.{a} {op} context.message.{b}")),
        (name(), operator(), number())
            .prop_map(|(name, op, n)| format!("context.message.{name} * 1 {op} {n}")),
        (name(), name(), number()).prop_map(|(a, b, n)| format!(
            "[context.message.{a}, {n}].contains(context.message.{b})"
        )),
        (name(), name(), operator(), number()).prop_map(|(a, b, op, n)| format!(
            "(if context.message.{a} == {n} then context.message.{b} else 7) {op} {n}"
        )),
    ]
}

/// One or two comparisons.
fn condition(
    comparison: impl Strategy<Value = String> + Clone + 'static,
) -> impl Strategy<Value = String> {
    let joined = prop::sample::select(vec!["&&", "||"]);
    let second = prop::option::of((joined, any::<bool>(), comparison.clone()));
    (comparison, second).prop_map(|(first, second)| match second {
        None => first,
        Some((joined, true, second)) => format!("({first}) {joined} !({second})"),
        Some((joined, false, second)) => format!("({first}) {joined} ({second})"),
    })
}

/// A file of few policies that compare, most of them with literals alone.
pub(super) fn comparing_file() -> impl Strategy<Value = String> {
    let policy = |comparison: BoxedStrategy<String>| {
        let effect = prop::sample::select(vec!["permit", "permit", "forbid"]);
        (effect, what(), condition(comparison)).prop_map(|(effect, what, condition)| {
            let action = "action in [Action::\"io.read\", Action::\"io.write\"]";
            format!("{effect} (principal, {action}, {what}) when {{ {condition} }};\n")
        })
    };
    let file = |comparison: BoxedStrategy<String>| {
        prop::collection::vec(policy(comparison), 1..4).prop_map(|all| named(&all))
    };
    let mixed = prop_oneof![2 => with_literals(), 1 => with_more()];
    prop_oneof![4 => file(with_literals().boxed()), 1 => file(mixed.boxed())]
}

/// A policy of an action, whose condition may read, overflow, or read what need not be there.
fn policies() -> impl Strategy<Value = String> {
    let io = [
        "context.message.addr + context.message.count <= 150",
        "context.message.addr * 3 > context.message.count || context.message.count == 7",
        "context.message has note && context.message.note like \"x*\"",
        "context.message has \"a.b\" && !context.message[\"a.b\"]",
        "context.message == context.message && context.message.addr < 5",
        "context has message && context.message.count != 1",
        "[context.message.addr, 7].contains(context.message.count)",
        "if principal.last == \"hmi\" then context.message.addr < 10 else context.message.count < 10",
        "context.connection.address.isLoopback() && context.message.addr == 1",
        "context.now >= datetime(\"2027-01-01\")",
        "context.now.toTime() < duration(\"12h\") && context.message.count > 0",
        "resource has name && resource.name like \"plc/unit/*\"",
        "-context.message.addr < 0",
        "context.session has user && context.session.user == \"kim\"",
        "context.session has addr && context.session.addr + context.message.addr < 9",
        "context.session == context.session && context.message.count > 1",
        "true",
    ];
    let write = [
        "context.message.values.contains(context.message.addr)",
        "context.message.values.containsAny([1, 7]) && context.message.values != [7]",
        "context.message has at && context.message.at.unit == \"u\"",
        "context.message.values == [7, 1]",
    ];
    let any =
        ["true", "context.connection.tls == \"1.3\"", "context.now > datetime(\"2001-01-01\")"];
    let of = |action: &'static str, all: Vec<&'static str>| {
        prop::sample::select(all).prop_map(move |condition| (action, condition.to_owned()))
    };
    let made = |action: &'static str| {
        let comparison = prop_oneof![3 => with_literals(), 1 => with_more()];
        condition(comparison.boxed()).prop_map(move |condition| (action, condition))
    };
    let condition = prop_oneof![
        8 => made("action == Action::\"io.read\""),
        2 => made("action in [Action::\"io.read\", Action::\"io.write\"]"),
        4 => of("action == Action::\"io.read\"", io.to_vec()),
        4 => of("action in [Action::\"io.read\", Action::\"io.write\"]", io.to_vec()),
        1 => of("action in Action::\"io\"", io.to_vec()),
        4 => of("action == Action::\"io.write\"", write.to_vec()),
        1 => of("action", any.to_vec()),
    ];
    let effect = prop::sample::select(vec!["permit", "permit", "permit", "forbid"]);
    (effect, scopes(), condition).prop_map(|(effect, scope, (action, condition))| {
        format!("{effect} ({}) when {{ {condition} }};\n", scope.replace("ACTION", action))
    })
}

pub(super) fn policy_file() -> impl Strategy<Value = String> {
    prop::collection::vec(policies(), 1..8).prop_map(|all| named(&all))
}

fn named(policies: &[String]) -> String {
    let named = policies.iter().enumerate().map(|(at, text)| format!("@id(\"p{at}\") {text}"));
    let connect = "@id(\"c\") permit (principal, action == Action::\"connect\", resource);\n";
    named.chain([connect.to_owned()]).collect()
}

fn long() -> impl Strategy<Value = Value<'static>> {
    (prop::sample::select(NUMBERS.to_vec()), -1..=1_i64)
        .prop_map(|(number, beside)| Value::Int(number.saturating_add(beside)))
}

/// What a message shows, now and then not what the schema says of it.
pub(super) fn asks() -> impl Strategy<Value = Asked> {
    let text = |text: &'static str| Value::Text(text.into());
    let note = prop::option::of(prop::sample::select(vec![
        text("x1"),
        text("x2"),
        text("y"),
        text(""),
        text("z"),
    ]));
    let flag = prop::option::of(any::<bool>().prop_map(Value::Bool));
    let list = prop::collection::vec(long(), 0..3).prop_map(Value::List);
    let at = prop::option::of(prop::sample::select(vec![
        Value::Map(vec![("unit".into(), text("u"))]),
        Value::Map(vec![("unit".into(), text("v"))]),
        Value::Map(vec![("unit".into(), text("u")), ("more".into(), Value::Int(1))]),
    ]));
    let odd = prop_oneof![
        8 => Just(None),
        1 => Just(Some(("addr", text("1")))),
        1 => Just(Some(("more", Value::Int(1)))),
        1 => Just(Some(("count", Value::Null))),
        1 => Just(Some(("addr", Value::Float(1.0)))),
        1 => Just(Some(("", Value::Null))),
    ];
    let names = vec![
        vec![],
        vec!["unit/1"],
        vec!["unit/2"],
        vec!["unit/1", "other"],
        vec!["unit/1/x"],
        vec!["unit"],
        vec!["unit/11"],
        vec!["unit/1/y", "unit/1/x/z"],
        vec!["un"],
    ];
    let resources = prop::sample::select(names);
    let user = prop_oneof![
        3 => Just(None),
        3 => Just(Some(text("kim"))),
        3 => Just(Some(text("lee"))),
        1 => Just(Some(Value::Int(1))),
    ];
    let session = (user, prop::option::of(long()), prop::bool::weighted(0.05));
    let session = session.prop_map(|(user, addr, more)| {
        let more = more.then_some(("more", Value::Int(1)));
        let named = [user.map(|user| ("user", user)), addr.map(|addr| ("addr", addr)), more];
        named.into_iter().flatten().collect::<Named>()
    });
    ((0..3_usize, resources, long(), long()), note, flag, list, at, odd, session).prop_map(
        |((action, resources, addr, count), note, flag, list, at, odd, session)| {
            let mut context = Vec::new();
            if action < 2 {
                context.extend([("addr", addr), ("count", count)]);
                context.extend(note.map(|note| ("note", note)));
                context.extend(flag.map(|flag| ("a.b", flag)));
            }
            if action == 1 {
                context.push(("values", list));
                context.extend(at.map(|at| ("at", at)));
            }
            match odd {
                Some(("", _)) => drop(context.pop()),
                Some((name, value)) => {
                    context.retain(|(known, _)| *known != name);
                    context.push((name, value));
                }
                None => {}
            }
            // Most ask for what the action is about.
            let resources = if action == 2 && resources.len() == 1 { vec![] } else { resources };
            (action, resources, context, session)
        },
    )
}
