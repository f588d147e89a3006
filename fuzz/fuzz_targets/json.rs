//! Strict JSON against another parser: whatever is accepted, serde_json accepts with the same
//! value, and its canonical form says the same and is its own canonical form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::contract::decode::{JsonRule, Numbers, WireLimits, write_json};
use segwan_core::contract::value::Value;
use segwan_core::rejection::Reason;

fuzz_target!(|data: &[u8]| {
    let limits = WireLimits::default();
    for numbers in [Numbers::IJson, Numbers::I64, Numbers::Integers] {
        let rule = JsonRule { numbers, top_any: true, nul_allowed: false };
        let Ok(ours) = rule.read(data, &limits) else { continue };
        let theirs: serde_json::Value =
            serde_json::from_slice(data).expect("what is accepted is JSON to others too");
        assert!(same(&ours, &theirs), "{ours:?} is not {theirs:?}");
        let mut canonical = Vec::new();
        write_json(&ours, &mut canonical);
        match rule.read(&canonical, &limits) {
            Ok(again) => {
                assert!(same(&again, &theirs), "{again:?} is not {theirs:?}");
                let mut twice = Vec::new();
                write_json(&again, &mut twice);
                assert_eq!(twice, canonical);
            }
            // 1e17 is written as an integer, which the rule for integers does not take again.
            Err(violation) => assert_eq!(violation.reason, Reason::JsonNumber),
        }
    }
});

/// The same tree as serde_json has it.
fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
    use serde_json::Value as Other;
    match (ours, theirs) {
        (Value::Null, Other::Null) => true,
        (Value::Bool(a), Other::Bool(b)) => a == b,
        (Value::Int(a), Other::Number(b)) => match b.as_i64() {
            Some(b) => b == *a,
            None => b.as_f64() == Some(*a as f64),
        },
        // serde_json may be off by one in the last place, as it says itself.
        (Value::Float(a), Other::Number(b)) => {
            b.as_f64().is_some_and(|b| (a - b).abs() <= (a.abs() * f64::EPSILON).max(5e-324))
        }
        (Value::Text(a), Other::String(b)) => a == b,
        (Value::List(a), Other::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Other::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(&**k).is_some_and(|b| same(v, b)))
        }
        _ => false,
    }
}
