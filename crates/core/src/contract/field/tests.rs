use super::*;

fn reason(rule: &FieldRule, value: Value<'_>) -> Option<Reason> {
    rule.check("/n", &mut value.into_owned(), true).err().map(|v| v.reason)
}

// CON-13, TRAP-18, S3d, KR-11
#[test]
fn an_integer_in_text_has_one_spelling() {
    let rule = FieldRule { int: Some((-10, 5_000)), ..FieldRule::default() };
    for good in ["0", "5", "-7", "4999"] {
        assert_eq!(reason(&rule, Value::Text(good.into())), None, "{good}");
    }
    for bad in [
        "",
        "-",
        "+5",
        "007",
        "-0",
        "00",
        "5_0",
        "1e3",
        " 5",
        "5 ",
        "²",
        "٣",
        "５",
        "½",
        "一",
        "Ⅷ",
        "0x5",
        "5\0",
        "--5",
        "1234567890123456789",
        "५",
        "1,000",
        "5.0",
    ] {
        assert_eq!(reason(&rule, Value::Text(bad.into())), Some(Reason::IntegerForm), "{bad}");
    }
    assert_eq!(reason(&rule, Value::Text("5001".into())), Some(Reason::Range));
    assert_eq!(reason(&rule, Value::Text("-11".into())), Some(Reason::Range));
    let mut value = Value::Text("42".into());
    rule.check("/n", &mut value, true).unwrap();
    assert_eq!(value, Value::Int(42));
}

#[test]
fn outside_text_an_integer_is_an_integer() {
    let rule = FieldRule { int: Some((0, 9)), ..FieldRule::default() };
    let mut text = Value::Text("5".into());
    assert_eq!(rule.check("/n", &mut text, false).unwrap_err().reason, Reason::IntegerForm);
    assert_eq!(reason(&rule, Value::Float(5.0)), Some(Reason::IntegerForm));
    assert_eq!(reason(&rule, Value::Bool(true)), Some(Reason::IntegerForm));
}

// CON-13: one row per key and bound
#[test]
fn each_rule_refuses_with_its_own_reason() {
    let text = |s: &str| Value::Text(s.to_owned().into());
    let base = FieldRule::default();
    let rows = [
        (FieldRule { constant: Some(Value::Int(1)), ..base.clone() }, text("1"), Reason::Constant),
        (FieldRule { one_of: Some(vec![text("a")]), ..base.clone() }, text("b"), Reason::Enum),
        (FieldRule { len: Some((1, 2)), ..base.clone() }, text("한국어"), Reason::Length),
        (FieldRule { bytes: Some((0, 5)), ..base.clone() }, text("한국"), Reason::Length),
        (
            FieldRule { regex: Some(Pattern::compile("[a-z]", true).unwrap()), ..base.clone() },
            text("ab"),
            Reason::Regex,
        ),
        (
            FieldRule { text: Some(TextRule::strict()), ..base.clone() },
            text("\u{202e}"),
            Reason::TextDenied,
        ),
    ];
    for (rule, value, expected) in rows {
        assert_eq!(reason(&rule, value), Some(expected));
    }
    let each = FieldRule { int: Some((0, 9)), ..base.clone() };
    let rule = FieldRule { len: Some((0, 2)), each: Some(each.into()), ..base };
    let list = |n: i64| Value::List(vec![Value::Int(1), Value::Int(n)]);
    assert_eq!(reason(&rule, list(9)), None);
    assert_eq!(reason(&rule, list(10)), Some(Reason::Each));
}

// CON-13: at both bounds of each key and one beyond them.
#[test]
fn each_bound_holds_at_it_and_not_beyond_it() {
    let text = |n: usize| Value::Text("한".repeat(n).into());
    let ascii = |text: &str| Value::Text(text.to_owned().into());
    let list = |n: usize| Value::List(vec![Value::Int(1); n]);
    let bytes = |n: usize| Value::Bytes(vec![0xff; n].into());
    let base = FieldRule::default;
    let int = FieldRule { int: Some((-2, 3)), ..base() };
    let len = FieldRule { len: Some((1, 3)), ..base() };
    let size = FieldRule { bytes: Some((3, 6)), ..base() };
    let each = FieldRule { each: Some(Box::new(int.clone())), len: Some((1, 3)), ..base() };
    let form = |form: Form| FieldRule { form: Some(form), ..base() };
    let decimal =
        || form(Form::Decimal(Decimal::new(3, 2, Some("-1.50"), Some("500.00")).unwrap()));
    let elements = |n: i64| Value::List(vec![Value::Int(n)]);
    // The rule, what stands at its bounds, what stands beyond them, and the reason.
    let rows = [
        (
            int.clone(),
            vec![Value::Int(-2), Value::Int(3)],
            vec![Value::Int(-3), Value::Int(4), Value::Int(i64::MIN), Value::Int(i64::MAX)],
            Reason::Range,
        ),
        (
            int,
            vec![ascii("-2"), ascii("3")],
            vec![ascii("-3"), ascii("4"), ascii("999999999999999999")],
            Reason::Range,
        ),
        (len.clone(), vec![text(1), text(3)], vec![text(0), text(4)], Reason::Length),
        (len, vec![list(1), list(3)], vec![list(0), list(4)], Reason::Length),
        (size.clone(), vec![text(1), text(2)], vec![text(0), text(3)], Reason::Length),
        (size, vec![bytes(3), bytes(6)], vec![bytes(2), bytes(7)], Reason::Length),
        (each, vec![elements(-2), elements(3)], vec![elements(-3), elements(4)], Reason::Each),
        (
            decimal(),
            vec![ascii("-1.50"), ascii("-1.5"), ascii("500.00"), ascii("500"), ascii("0.01")],
            vec![ascii("-1.51"), ascii("500.01"), ascii("1000"), ascii("0.001")],
            Reason::Decimal,
        ),
        (
            form(Form::Hex(1, 2)),
            vec![ascii("00"), ascii("00ff")],
            vec![ascii(""), ascii("00ff00")],
            Reason::Encoding,
        ),
        (
            form(Form::Base64(1, 3)),
            vec![ascii("YQ=="), ascii("YWJj")],
            vec![ascii(""), ascii("YWJjZA==")],
            Reason::Encoding,
        ),
    ];
    for (rule, good, bad, expected) in rows {
        for value in good {
            assert_eq!(reason(&rule, value.clone()), None, "{value:?}");
        }
        for value in bad {
            assert_eq!(reason(&rule, value.clone()), Some(expected), "{value:?}");
        }
    }
}

// TRAP-20, section 17
#[test]
fn a_secret_is_in_no_sentence() {
    let rule = FieldRule {
        regex: Some(Pattern::compile("[0-9]{6}", true).unwrap()),
        secret: true,
        ..FieldRule::default()
    };
    let refused = rule.check("/pin", &mut Value::Text("hunter2".into()), false).unwrap_err();
    assert!(!refused.sentence.contains("hunter2"), "{refused}");
}

// K-20
#[test]
fn two_rules_are_apart_if_no_value_is_of_both() {
    let int = |lo, hi| FieldRule { int: Some((lo, hi)), ..FieldRule::default() };
    let of =
        |values: Vec<Value<'static>>| FieldRule { one_of: Some(values), ..FieldRule::default() };
    let text = |text: &'static str| Value::Text(text.into());
    for (a, b, apart, in_text) in [
        (int(0, 9), int(10, 19), true, true),
        (int(0, 10), int(10, 19), false, false),
        (int(0, 9), FieldRule::default(), false, false),
        (of(vec![text("a")]), of(vec![text("b"), text("c")]), true, true),
        (of(vec![text("a"), text("b")]), of(vec![text("b")]), false, false),
        // What is text in a text may be the other's integer.
        (int(0, 9), of(vec![text("5")]), true, false),
        (int(0, 9), of(vec![Value::Int(10)]), true, false),
        (int(0, 9), of(vec![Value::Int(9)]), false, false),
    ] {
        assert_eq!((a.is_apart(&b, false), a.is_apart(&b, true)), (apart, in_text), "{a:?} {b:?}");
        assert_eq!((b.is_apart(&a, false), b.is_apart(&a, true)), (apart, in_text));
    }
}

// K-32
#[test]
fn each_needs_a_length() {
    let rule = FieldRule { each: Some(Box::default()), ..FieldRule::default() };
    assert_eq!(rule.consistent().unwrap_err().check, "K-32");
}
