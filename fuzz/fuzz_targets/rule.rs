//! A rule of any text: it compiles or is refused at a place inside of it, and one that compiles
//! has an answer or a sentence over any of the trees, and costs no more than its bound allows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::contract::rule::{Member, Rule, Scope, Type, Types};
use segwan_core::contract::value::Value;
use std::sync::LazyLock;

fn member(name: &str, kind: Type) -> Member {
    Member { name: name.into(), kind, secret: name == "pin" }
}

/// One member of each type, by a name of one letter, so that a mutation finds it.
static MESSAGE: LazyLock<Type> = LazyLock::new(|| {
    let int = || Type::Int { bounded: true };
    let item = Type::Map(vec![
        member("n", int()),
        member("t", Type::Text(Some(16))),
        member("l", Type::List(int().into(), Some(4))),
    ]);
    Type::Map(vec![
        member("a", int()),
        member("b", int()),
        member("f", Type::Bool),
        member("t", Type::Text(Some(64))),
        member("r", Type::Bytes(Some(64))),
        member("l", Type::List(item.into(), Some(4))),
        member("pin", Type::Text(None)),
        member("wide", Type::Int { bounded: false }),
        member("other", Type::Other("a number that may have a fraction")),
    ])
});

static TREES: LazyLock<[Value<'static>; 3]> = LazyLock::new(|| {
    let tree = |a, b, text: &'static str| {
        let list = Value::List(vec![Value::Int(a), Value::Int(i64::MIN), Value::Int(0)]);
        let item = Value::Map(vec![
            ("n".into(), Value::Int(b)),
            ("t".into(), Value::Text(text.into())),
            ("l".into(), list),
        ]);
        Value::Map(vec![
            ("a".into(), Value::Int(a)),
            ("b".into(), Value::Int(b)),
            ("f".into(), Value::Bool(a > b)),
            ("t".into(), Value::Text(text.into())),
            ("r".into(), Value::Bytes(text.as_bytes().into())),
            ("l".into(), Value::List(vec![item.clone(), item])),
            ("pin".into(), Value::Text("4711".into())),
        ])
    };
    // The last tree is of other types than the rule was checked against.
    let other = Value::Map(vec![
        ("a".into(), Value::Text("x".into())),
        ("b".into(), Value::Float(1.5)),
        ("l".into(), Value::Null),
        ("t".into(), Value::List(Vec::new())),
    ]);
    [tree(i64::MAX, -1, "한국 bolt"), tree(0, 7, ""), other]
});

fuzz_target!(|text: &str| {
    let types = Types {
        message: "fuzz",
        this: &MESSAGE,
        request: Some(("ask", &MESSAGE)),
        session: &MESSAGE,
        ascii: false,
        nodes: 100,
        string: 1000,
    };
    match Rule::compile(text, &types) {
        Err(fault) => assert!(fault.at <= text.len(), "a place outside"),
        Ok(rule) => {
            assert!(rule.units() > 0);
            let [first, second, other] = &*TREES;
            for (this, beside) in [(first, second), (second, other), (other, first)] {
                let scope = Scope { request: Some(beside), session: Some(this), ..Scope::of(this) };
                let holds = rule.holds(&scope);
                let checked = rule.check(&scope);
                assert_eq!(holds == Ok(true), checked.is_ok(), "an error passes");
                let told = checked.err().map_or_else(String::new, |violation| violation.sentence);
                assert!(!told.contains("4711") || text.contains("4711"), "a secret is told");
            }
        }
    }
});
