//! Patterns of a schema: whole, and read alike by the check and by what judges.

use super::*;
use crate::contract::pattern::Pattern;
use proptest::collection::vec;
use proptest::prelude::*;

fn member(pattern: &str) -> Json {
    json!({ "type": "string", "maxLength": 16, "pattern": pattern })
}

fn key(pattern: &str) -> Json {
    json!({ "type": "object", "additionalProperties": false, "maxProperties": 1,
            "patternProperties": { pattern: { "type": "null" } } })
}

// K-41, K-37: what JSON Schema reads in another way than the check before it forwards what nobody
// meant. Each of these is refused, as a pattern and as a pattern of names.
#[test]
fn a_pattern_of_two_meanings_is_refused() {
    for pattern in [
        // Alternatives outside a class there, which no anchor holds.
        "^[[a]|b]$",
        "^[a-z[0-9]|_]{1,8}$",
        "^[a&&[b]|c]$",
        "^[[:alpha:]]$",
        "^[a-z--b]$",
        "^[--a]$",
        "^[^--a]$",
        "^[+--a]$",
        "^[a&&b]$",
        "^[a~~b]$",
        "^[a-z&&x]$",
        "^[]a]$",
        "^[Z-[]$",
        "^[a-]]$",
        "^a]$",
        "^a}$",
        // Letters that are commands in one of the two alone.
        r"\Aa\z",
        r"^a\z$",
        r"^\a$",
        r"^\x{41}$",
        r"^\u{41}$",
        r"^\U00000041$",
        r"^\pL$",
        r"^\p{gc!=L}$",
        // Groups, flags and counts.
        "^(?<n>a)$",
        "^(?P<n>a)$",
        "^(?s)a.b$",
        "^(?-i:a)$",
        "^(?x: a )$",
        "^a{,3}$",
        "^a{ 3 }$",
        "^a**$",
        "^a$*$",
    ] {
        for schema in [member(pattern), key(pattern)] {
            let errors = Schema::compile(&schema).map(|_| ()).expect_err(pattern);
            // K-34 is what does not parse here at all.
            let good = |e: &SchemaFinding| e.check == "K-34" || e.hint.is_some();
            assert!(errors.iter().all(good), "{errors:?}");
            let checks = ["K-34", "K-37", "K-41"];
            assert!(errors.iter().all(|e| checks.contains(&e.check)), "{errors:?}");
        }
    }
    for pattern in [
        "^[A-Za-z0-9_-]{1,8}$",
        "^[a-z-_]$",
        r"^[\[\]\-\-&~^]+$",
        "^[^{}()|.*+?$]$",
        r"^\{\/\.\x41\u0042\t\}$",
        r"^\p{Hangul}{2,}[\p{Script=Latin} ]??$",
        "^(?:a|(b|c)+|)$",
        "^a$|^b.$",
    ] {
        for schema in [member(pattern), key(pattern)] {
            assert_eq!(checks(&schema), [""; 0], "{pattern}");
        }
    }
}

/// A pattern of pieces that mean something, or another thing in another dialect.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "_",
        "A",
        "-",
        "--",
        "&",
        "&&",
        "~~",
        "[",
        "]",
        "[a",
        "[^",
        "[]",
        "[[:alpha:]]",
        "a-b",
        "|",
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?s:",
        "(?P<n>",
        "?",
        "*",
        "+",
        "{2}",
        "{,2}",
        "{1,}",
        "^",
        "$",
        ".",
        "\\",
        r"\-",
        r"\[",
        r"\]",
        r"\.",
        r"\x2d",
        r"\u0061",
        r"\x{61}",
        r"\p{L}",
        r"\pL",
        r"\A",
        r"\z",
        r"\a",
        r"\n",
        "가",
    ];
    let body = prop_oneof![
        vec(prop::sample::select(pieces.to_vec()), 0..7).prop_map(|all| all.concat()),
        vec(prop::sample::select(pieces.to_vec()), 0..5)
            .prop_map(|all| format!("[{}]", all.concat())),
    ];
    prop_oneof![
        6 => body.clone().prop_map(|body| format!("^{body}$")),
        2 => body.clone().prop_map(|body| format!("^(?:{body})+$")),
        1 => body,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // K-37, K-41: whatever loads takes the same texts by the check and by what judges messages, as a
    // value and as the name of a member.
    #[test]
    fn a_pattern_that_loads_means_the_same_to_all(
        pattern in hostile(),
        texts in vec("[ab_A\\-&~\\[\\]|^.{}\\\\\n,:lphC가]{0,4}", 24),
    ) {
        let (Ok((value, _)), Ok((name, _))) =
            (Schema::compile(&member(&pattern)), Schema::compile(&key(&pattern)))
        else {
            return Ok(());
        };
        let ours = Pattern::compile(&pattern, false).unwrap();
        for text in &texts {
            let takes = ours.matches(text);
            let by_value = value.check(&Value::Text(text.as_str().into())).is_ok();
            let by_name = name.check(&Value::Map(vec![(text.as_str().into(), Value::Null)])).is_ok();
            prop_assert_eq!((takes, takes), (by_value, by_name), "{} on {:?}", pattern, text);
        }
    }
}
