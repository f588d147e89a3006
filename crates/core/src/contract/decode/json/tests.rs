use super::*;
use proptest::prelude::*;

const ANY: JsonRule = JsonRule { numbers: Numbers::IJson, top_any: true, nul_allowed: false };

fn read(text: &[u8]) -> Result<Value<'_>, Reason> {
    ANY.read(text, &WireLimits::default()).map_err(|violation| violation.reason)
}

fn written(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(value, &mut out);
    out
}

// CON-11, TRAP-02, TRAP-03, TRAP-04
#[test]
fn what_parsers_read_differently_has_its_reason() {
    let deep = format!("{}{}", "[".repeat(17), "]".repeat(17));
    let below = |depth: usize, twice: &str| {
        format!("{}{twice}{}", "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    let (plain, escaped) = (r#"{"won":1,"won":2}"#, r#"{"won":1,"w\u006fn":2}"#);
    let twice = [(1, plain), (1, escaped), (16, plain), (16, escaped)];
    for text in twice.map(|(depth, twice)| below(depth, twice)) {
        assert_eq!(read(text.as_bytes()), Err(Reason::DuplicateKey), "{text}");
    }
    assert!(read(below(16, r#"{"won":1,"w\u006f":2}"#).as_bytes()).is_ok());
    let runs = (17..=400).flat_map(|n| ["1", "9", "-1"].map(|digit| digit.repeat(n)));
    for run in runs.filter(|run| !run[1..].contains('-')) {
        assert_eq!(read(run.as_bytes()), Err(Reason::JsonNumber), "{run}");
    }
    let rows: [(&[u8], Reason); 45] = [
        (b"", Reason::JsonSyntax),
        (b" ", Reason::JsonSyntax),
        (b"\xef\xbb\xbf{}", Reason::JsonBom),
        (b"\"\xff\"", Reason::Charset),
        (b"\"\xc0\xaf\"", Reason::Charset),
        (b"\"\xed\xa0\x80\"", Reason::Charset),
        (b"{} {}", Reason::JsonTrailing),
        (b"1 x", Reason::JsonTrailing),
        (b"{}\0", Reason::JsonTrailing),
        (br#"{"a":1,"a":2}"#, Reason::DuplicateKey),
        (br#"{"won":1,"w\u006fn":2}"#, Reason::DuplicateKey),
        (br#"[[{"x":{"k":1,"k":1}}]]"#, Reason::DuplicateKey),
        (b"01", Reason::JsonSyntax),
        (b"+1", Reason::JsonSyntax),
        (b".5", Reason::JsonSyntax),
        (b"5.", Reason::JsonSyntax),
        (b"0x10", Reason::JsonTrailing),
        (b"NaN", Reason::JsonSyntax),
        (b"Infinity", Reason::JsonSyntax),
        (b"[1,]", Reason::JsonSyntax),
        (b"{,}", Reason::JsonSyntax),
        (b"{\"a\":1,}", Reason::JsonSyntax),
        (b"[1 2]", Reason::JsonSyntax),
        (b"{'a':1}", Reason::JsonSyntax),
        (b"// x\n1", Reason::JsonSyntax),
        (b"\"\n\"", Reason::JsonSyntax),
        (br#""\x41""#, Reason::JsonSyntax),
        (br#""\u12g4""#, Reason::JsonSyntax),
        (br#""abc"#, Reason::JsonSyntax),
        (br#""\ud800""#, Reason::JsonSurrogate),
        (br#""\udc00\ud800""#, Reason::JsonSurrogate),
        (br#""\ud800\u0041""#, Reason::JsonSurrogate),
        (br#""\u0000""#, Reason::TextDenied),
        ("\"\u{ffff}\"".as_bytes(), Reason::TextDenied),
        (br#""\ufdd0""#, Reason::TextDenied),
        (br#"{"\u0000":1}"#, Reason::TextDenied),
        (b"\"\0\"", Reason::JsonSyntax),
        ("\u{feff}1".as_bytes(), Reason::JsonBom),
        (br#""\ud83d\ud83d\ude00""#, Reason::JsonSurrogate),
        (br#""\ude00\ud83d""#, Reason::JsonSurrogate),
        (b"\"\xe0\x80\xaf\"", Reason::Charset),
        (b"\"\xf0\x80\x80\xaf\"", Reason::Charset),
        (b"\"\xf4\x90\x80\x80\"", Reason::Charset),
        (b"1e400", Reason::JsonNumber),
        (deep.as_bytes(), Reason::JsonDepth),
    ];
    for (text, reason) in rows {
        assert_eq!(read(text), Err(reason), "{}", shown(text));
    }
}

#[test]
fn what_is_plain_is_read() {
    let text = br#" { "a" : [ 1 , -2.5e1, true, null, "\u00e9\ud83d\ude00\n" ] , "b" : { } } "#;
    let value = read(text).unwrap();
    assert_eq!(
        String::from_utf8(written(&value)).unwrap(),
        "{\"a\":[1,-25,true,null,\"é😀\\n\"],\"b\":{}}"
    );
    let object = JsonRule { top_any: false, ..ANY };
    let refused = object.read(b"[]", &WireLimits::default()).unwrap_err();
    assert_eq!(refused.reason, Reason::JsonTop);
}

// CON-23
#[test]
fn each_limit_holds_at_its_bound() {
    let limits = WireLimits { message: 1000, depth: 2, nodes: 5, string: 3, key: 2 };
    let read = |text: &'static [u8]| ANY.read(text, &limits).map_err(|v| v.reason);
    assert!(read(b"[[1,2,3]]").is_ok());
    assert_eq!(read(b"[[1,2,3,4]]"), Err(Reason::JsonNodes));
    assert_eq!(read(b"[[[]]]"), Err(Reason::JsonDepth));
    assert!(read(b"\"abc\"").is_ok());
    assert_eq!(read(b"\"abcd\""), Err(Reason::JsonString));
    assert_eq!(read(b"{\"abc\":1}"), Err(Reason::JsonKey));
}

#[test]
fn a_wide_object_is_searched_for_duplicates_too() {
    let members: Vec<String> = (0..500).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = format!("{{{}}}", members.join(","));
    assert!(read(wide.as_bytes()).is_ok());
    let twice = format!("{{{},\"k7\":0}}", members.join(","));
    assert_eq!(read(twice.as_bytes()), Err(Reason::DuplicateKey));
}

/// The same tree as serde_json has it.
fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Value::Int(a), serde_json::Value::Number(b)) => {
            b.as_i64().map_or_else(|| b.as_f64() == Some(*a as f64), |b| b == *a)
        }
        // serde_json may be off by one in the last place, as it says itself.
        (Value::Float(a), serde_json::Value::Number(b)) => {
            b.as_f64().is_some_and(|b| (a - b).abs() <= a.abs() * f64::EPSILON)
        }
        (Value::Text(a), serde_json::Value::String(b)) => a == b,
        (Value::List(a), serde_json::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), serde_json::Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(&**k).is_some_and(|b| same(v, b)))
        }
        _ => false,
    }
}

fn jsonish() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[-+]?[0-9]{1,18}(\\.[0-9]{1,4})?([eE][-+]?[0-9]{1,3})?",
        "\"([a-z ]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|é|한|\u{1f600}){0,6}\"",
        Just("true".to_owned()),
        Just("null".to_owned()),
        ".{0,4}",
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|v| format!("[{}]", v.join(","))),
            proptest::collection::vec(("\"[a-c]{1,2}\"", inner), 0..4).prop_map(|members| {
                let members: Vec<String> =
                    members.iter().map(|(k, v)| format!("{k} : {v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    // CON-11, DEP-43: what is cleared, serde_json reads as the same value.
    #[test]
    fn whatever_is_read_another_parser_reads_alike(text in jsonish()) {
        if let Ok(ours) = read(text.as_bytes()) {
            let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert!(same(&ours, &theirs), "{text}");
            // CON-04: the canonical form says the same and is its own canonical form.
            let canonical = written(&ours);
            let again = read(&canonical);
            prop_assert!(again.as_ref().is_ok_and(|again| same(again, &theirs)), "{text}");
            prop_assert_eq!(written(&again.unwrap()), canonical);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&bytes);
    }
}
