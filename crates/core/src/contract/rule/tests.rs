use super::*;
use proptest::prelude::*;

fn member(name: &str, kind: Type) -> Member {
    Member { name: name.into(), kind, secret: false }
}

const INT: Type = Type::Int { bounded: true };

/// The message that most tests read.
fn order() -> Type {
    let item = Type::Map(vec![
        member("count", INT),
        member("code", Type::Text(Some(16))),
        member("tags", Type::List(Type::Text(Some(8)).into(), Some(4))),
    ]);
    Type::Map(vec![
        member("a", INT),
        member("b", INT),
        member("flag", Type::Bool),
        member("name", Type::Text(Some(64))),
        member("raw", Type::Bytes(Some(8))),
        member("gone", INT),
        member("wide", Type::Int { bounded: false }),
        member("ratio", Type::Other("a number that may have a fraction")),
        member("items", Type::List(item.into(), Some(10))),
        Member { name: "pin".into(), kind: Type::Text(None), secret: true },
        member("odd-name", INT),
    ])
}

fn value() -> Value<'static> {
    let text = |text: &'static str| Value::Text(text.into());
    let item = |count, code| {
        Value::Map(vec![
            ("count".into(), Value::Int(count)),
            ("code".into(), text(code)),
            ("tags".into(), Value::List(vec![text("red")])),
        ])
    };
    Value::Map(vec![
        ("a".into(), Value::Int(7)),
        ("b".into(), Value::Int(-2)),
        ("flag".into(), Value::Bool(true)),
        ("name".into(), text("한국 bolt")),
        ("raw".into(), Value::Bytes(b"\x01\xff".as_slice().into())),
        ("items".into(), Value::List(vec![item(1, "x"), item(2, "y"), item(2, "z")])),
        ("odd-name".into(), Value::Float(5.0)),
    ])
}

fn with<T>(request: Option<&Type>, f: impl FnOnce(&Types<'_>) -> T) -> T {
    let (this, session) = (order(), Type::Map(vec![member("user", Type::Text(Some(16)))]));
    f(&Types {
        message: "order",
        this: &this,
        request: request.map(|request| ("ask", request)),
        session: &session,
        ascii: false,
        nodes: 100,
        string: 1000,
    })
}

fn compiled(text: &str) -> Result<Rule, RuleFault> {
    let request = Type::Map(vec![member("n", INT)]);
    with(Some(&request), |types| Rule::compile(text, types))
}

/// The answer over [`value`], with a request, a session and a peer beside it.
fn answer(text: &str) -> Result<bool, String> {
    let rule = compiled(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    let request = Value::Map(vec![("n".into(), Value::Int(40))]);
    let session = Value::Map(vec![("user".into(), Value::Text("ann".into()))]);
    let peer = Value::Map(vec![
        ("last".into(), Value::Text("app".into())),
        ("roles".into(), Value::List(vec![Value::Text("Reader".into())])),
    ]);
    let this = value();
    rule.holds(&Scope {
        this: &this,
        request: Some(&request),
        session: Some(&session),
        peer: Some(&peer),
    })
}

// CON-15: the truth table
#[test]
fn each_construct_gives_what_cel_gives() {
    for truth in [
        "true",
        "!false",
        "this.a == 7 && this.b == -2",
        "this.a + this.b * 3 == 1",
        "(this.a + this.b) * 3 == 15",
        "this.a - this.b - 1 == 8",
        "this.a / 2 == 3 && this.b / 2 == -1 && -7 / 2 == -3",
        "this.a % 4 == 3 && -7 % 4 == -3 && this.b % 2 == 0",
        "- -this.a == 7 && !!this.flag",
        "-9223372036854775808 < 0 && 0x10 == 16",
        "1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3 && 1 != 2",
        "\"a\" < \"b\" && 'ab' > 'a' && b'\\x01' < b'\\x02'",
        "this.flag ? this.a == 7 : this.gone == 1",
        "!this.flag ? this.gone == 1 : this.a == 7",
        "this.a in [1, 7] && !(this.a in [1, 2])",
        "this.name.contains('국') && this.name.startsWith(\"한\") && this.name.endsWith('bolt')",
        "size(this.name) == 7 && this.name.size() == 7 && size(this.raw) == 2",
        "this.raw == b'\\x01\\xff'",
        "this.name.matches('[가-힣]+ [a-z]{4}')",
        "!this.name.matches('[a-z]{4}')",
        "has(this.a) && !has(this.gone)",
        "!has(this.gone) || this.gone > 3",
        "this.items.all(i, i.count >= 1)",
        "this.items.exists(i, i.count == 1) && !this.items.exists(i, i.count == 9)",
        "this.items.exists_one(i, i.count == 1) && !this.items.exists_one(i, i.count == 2)",
        "this.items.all(i, i.tags.exists(t, t == 'red' && i.count < 3))",
        "size(this.items) == 3 && this.items[0].code == 'x' && this.items[this.a - 5].code == 'z'",
        "[1, 2].all(x, x < this.a)",
        "this['odd-name'] == 5",
        "request.n == 40 && session.user == 'ann' && peer.last == 'app' && 'Reader' in peer.roles",
        "r'\\n' == '\\\\n' && 'a\\u00e9\\x41' == \"aéA\"",
        "this.name != null",
    ] {
        assert_eq!(answer(truth), Ok(true), "{truth}");
        assert_eq!(answer(&format!("!({truth})")), Ok(false), "{truth}");
    }
}

// CON-15, TRAP-11: what has no answer is an error, and an error is never true
#[test]
fn what_has_no_answer_is_refused() {
    for (text, why) in [
        ("9223372036854775807 + this.a > 0", "an integer overflows 64 bits"),
        ("-9223372036854775807 - this.a < 0", "an integer overflows 64 bits"),
        ("9223372036854775807 * this.a > 0", "an integer overflows 64 bits"),
        ("-(-9223372036854775808) > 0", "an integer overflows 64 bits"),
        ("-9223372036854775808 / -1 > 0", "an integer overflows 64 bits"),
        ("-9223372036854775808 % -1 == 0", "an integer overflows 64 bits"),
        ("this.a / (this.b + 2) == 0", "7 is divided by zero"),
        ("this.a % (this.b + 2) == 0", "7 is divided by zero"),
        ("this.items[3].count == 1", "index 3 is outside a list of 3"),
        ("this.items[this.b].count == 1", "index -2 is outside a list of 3"),
        ("this.gone == 1", "this.gone is absent"),
        ("!(this.gone == 1)", "this.gone is absent"),
        ("this.gone == 1 || this.b > 0", "this.gone is absent"),
        ("this.b > 0 || this.gone == 1", "this.gone is absent"),
        ("this.flag && this.gone == 1", "this.gone is absent"),
        ("this.items.all(i, i.count / (i.count - 1) > 0)", "1 is divided by zero"),
        ("this.items.exists(i, i.count / (i.count - 1) > 5)", "1 is divided by zero"),
        ("this.items.exists_one(i, i.count / (i.count - 1) == 2)", "1 is divided by zero"),
    ] {
        assert_eq!(answer(text), Err(why.to_owned()), "{text}");
        let rule = compiled(text).unwrap();
        let refused = rule.check(&Scope::of(&value())).unwrap_err();
        assert_eq!(refused.reason, Reason::RuleError, "{text}");
    }
}

// CON-15: CEL's absorption, in both orders
#[test]
fn a_side_that_decides_alone_absorbs_the_error_of_the_other() {
    for (text, holds) in [
        ("this.gone == 1 || this.flag", true),
        ("this.flag || this.gone == 1", true),
        ("this.gone == 1 && !this.flag", false),
        ("!this.flag && this.gone == 1", false),
        ("this.items.all(i, 1 / (i.count - 1) > 5)", false),
        ("this.items.exists(i, i.count / (i.count - 1) == 2)", true),
    ] {
        assert_eq!(answer(text), Ok(holds), "{text}");
    }
}

#[test]
fn a_refusal_names_the_rule_and_the_values_that_decided() {
    let rule = compiled("this.a + this.b == request.n || this.gone == 1 || size(this.items) > 5");
    let rule = rule.unwrap();
    let request = Value::Map(vec![("n".into(), Value::Int(40))]);
    let mut tree = value();
    if let Value::Map(members) = &mut tree {
        members.push(("gone".into(), Value::Int(0)));
    }
    let scope = Scope { request: Some(&request), ..Scope::of(&tree) };
    let refused = rule.check(&scope).unwrap_err();
    assert_eq!(refused.reason, Reason::Rule);
    assert_eq!(refused.pointer.as_deref(), Some("/a"));
    assert_eq!(
        refused.sentence,
        "rule `this.a + this.b == request.n || this.gone == 1 || size(this.items) > 5` does not \
         hold: this.a is 7, this.b is -2, request.n is 40, this.gone is 0, this.items is a list"
    );
}

// K-40, K-31, K-41, K-60: each at its byte
#[test]
fn what_is_outside_the_subset_is_refused_at_its_place() {
    for (text, check, at, says) in [
        ("this.adr == 1", "K-40", 5, "no field `adr` in message `order`"),
        ("this.items[0].cnt == 1", "K-40", 14, "no field `cnt` in this object"),
        ("this.items.all(i, i.cnt == 1)", "K-40", 20, "no field `cnt` in this object"),
        ("request.m == 1", "K-40", 8, "no field `m` in request `ask`"),
        ("session.role == 'x'", "K-40", 8, "no field `role` in `session`"),
        ("peer.address == 'x'", "K-40", 5, "no field `address` in `peer`"),
        ("foo == 1", "K-40", 0, "there is no variable `foo`"),
        ("this.a", "K-40", 0, "this is an integer, not true or false"),
        ("this.a + this.name == 1", "K-40", 9, "this is a text, not an integer"),
        ("this.name + 'x' == 'y'", "K-40", 10, "`+` adds integers; texts and lists are not joined"),
        ("this.a == 'x'", "K-40", 7, "an integer and a text do not compare so"),
        ("this.flag < true", "K-40", 10, "true or false and true or false do not compare so"),
        ("this.items == this.items", "K-40", 11, "a list and a list do not compare so"),
        ("this.a > 1.5", "K-40", 9, "rules compute with whole numbers only"),
        ("this.a > 1u", "K-40", 9, "a number ends in a letter"),
        ("this.a = 1", "K-40", 7, "`=` is no operator"),
        ("this.a == 9223372036854775808", "K-40", 10, "the number does not fit 64 bits"),
        ("this.a ==", "K-40", 9, "the rule ends where a value should stand"),
        ("(this.a == 1", "K-40", 12, "`)` is missing here"),
        ("this.a == 1 this.b", "K-40", 12, "something follows the rule"),
        ("this.items.map(i, i.count) == 1", "K-40", 11, "`map` is not available in rules"),
        ("this.items.filter(i, true) == 1", "K-40", 11, "`filter` is not available in rules"),
        ("type(this.a) == 1", "K-40", 0, "`type` is not available in rules"),
        ("dyn(this.a) == 1", "K-40", 0, "`dyn` is not available in rules"),
        ("timestamp('x') == 1", "K-40", 0, "`timestamp` is not available in rules"),
        ("has(this)", "K-40", 0, "`has` asks for a field"),
        ("this.a.all(i, true)", "K-40", 0, "this is an integer, not a list"),
        ("this.all(i, true)", "K-40", 0, "this is an object, not a list"),
        ("this.name.matches(this.name)", "K-40", 18, "`matches` takes a pattern in quotes"),
        ("this.name.matches('[0-9')", "K-41", 18, "pattern does not parse"),
        ("this.name.matches('\\\\d')", "K-41", 18, "`\\d` matches digits of every script"),
        ("this.pin == 'x'", "K-60", 5, "`pin` is secret, so no rule reads it"),
        ("has(this.pin)", "K-60", 9, "`pin` is secret, so no rule reads it"),
        ("this.wide == 1", "K-31", 0, "this.wide has no bounds, and a rule reads it"),
        ("this.ratio == 1", "K-40", 11, "a number that may have a fraction and an integer"),
        ("this.a in []", "K-40", 10, "the list is empty"),
        ("this.a in [[1]]", "K-40", 11, "a list in a rule holds plain values, not a list"),
        ("this.items.all(this, true)", "K-40", 15, "the name `this` is taken"),
        (
            "this.items.all(i, i.tags.all(t, [1].all(x, true)))",
            "K-40",
            36,
            "`all`, `exists` and `exists_one` nest at most once",
        ),
        ("{} == 1", "K-40", 0, "a map is not available in rules"),
        ("this.name == '", "K-40", 13, "the text has no closing quote"),
        ("this.name == '\\q'", "K-40", 14, "there is no such escape in a rule"),
        ("this.name == '''x'''", "K-40", 13, "a text of several lines"),
        ("true // why", "K-40", 5, "a rule has no comment"),
        ("true # why", "K-40", 5, "`#` has no meaning here"),
    ] {
        let fault = compiled(text).expect_err(text);
        assert_eq!((fault.error.check, fault.at), (check, at), "{text}: {fault:?}");
        assert!(fault.error.message.starts_with(says), "{text}: {fault:?}");
    }
    let fault = with(None, |types| Rule::compile("request.n == 1", types)).unwrap_err();
    assert_eq!((fault.at, fault.error.message.as_str()), (0, "there is no `request`"));
    let hint = compiled("request.m == 1").unwrap_err().error.hint;
    assert_eq!(hint.as_deref(), Some("its only field is n"));
}

// TRAP-12: neither length nor depth of a rule can exhaust the walks over it
#[test]
fn a_rule_is_bounded_in_length_and_depth() {
    for text in [
        format!("{}true{}", "(".repeat(250), ")".repeat(250)),
        format!("{}true", "!".repeat(500)),
        format!("0{} == 0", "+0".repeat(250)),
        format!("this{} == 0", "[0]".repeat(160)),
        format!("{}true", "true?true:".repeat(50)),
        format!("true || {}", " ".repeat(600)),
    ] {
        assert_eq!(compiled(&text).unwrap_err().error.check, "K-40", "{text}");
    }
    assert!(compiled(&format!("{}true", "true && ".repeat(40))).is_ok());
}

// CON-15, TRAP-12: a quantifier multiplies what stands in it by the largest list
#[test]
fn the_cost_of_a_rule_is_known_when_it_is_loaded() {
    let units = |text: &str| compiled(text).unwrap().units();
    assert_eq!(units("this.a == 1"), 3);
    let one = units("this.items.all(i, i.count == 1)");
    assert_eq!(one, 2 + 10 * 4);
    let two = units("this.items.all(i, i.tags.all(t, t == 'red'))");
    assert!(two > 10 * 4 * 3, "{two}");
    let pattern = units("this.items.all(i, i.code.matches('[a-z]{1,16}'))");
    assert!(pattern > one + 10, "{pattern}");
}

/// A random expression over two integers, with its value computed directly in Rust.
#[derive(Debug, Clone)]
enum Sum {
    Literal(i64),
    A,
    B,
    Gone,
    Of(Arithmetic, Box<Self>, Box<Self>),
    Minus(Box<Self>),
}

#[derive(Debug, Clone)]
enum Truth {
    Of(Compare, Sum, Sum),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    If(Box<Self>, Box<Self>, Box<Self>),
}

impl Sum {
    fn text(&self) -> String {
        match self {
            Self::Literal(n) => format!("({n})"),
            Self::A => "this.a".to_owned(),
            Self::B => "this.b".to_owned(),
            Self::Gone => "this.gone".to_owned(),
            Self::Minus(a) => format!("-({})", a.text()),
            Self::Of(operator, a, b) => {
                let sign = match operator {
                    Arithmetic::Add => "+",
                    Arithmetic::Subtract => "-",
                    Arithmetic::Multiply => "*",
                    Arithmetic::Divide => "/",
                    Arithmetic::Remainder => "%",
                };
                format!("({} {sign} {})", a.text(), b.text())
            }
        }
    }

    /// In 128 bits, where nothing of two 64-bit numbers overflows; outside 64 there is no answer.
    fn value(&self, a: i64, b: i64) -> Option<i128> {
        let made = match self {
            Self::Literal(n) => i128::from(*n),
            Self::A => i128::from(a),
            Self::B => i128::from(b),
            Self::Gone => return None,
            Self::Minus(x) => -x.value(a, b)?,
            Self::Of(operator, x, y) => {
                let (x, y) = (x.value(a, b)?, y.value(a, b)?);
                match operator {
                    Arithmetic::Add => x + y,
                    Arithmetic::Subtract => x - y,
                    Arithmetic::Multiply => x * y,
                    Arithmetic::Divide => x.checked_div(y)?,
                    // The remainder of the least integer by -1 overflows like its quotient.
                    Arithmetic::Remainder if x == i128::from(i64::MIN) && y == -1 => return None,
                    Arithmetic::Remainder => x.checked_rem(y)?,
                }
            }
        };
        i64::try_from(made).is_ok().then_some(made)
    }
}

impl Truth {
    fn text(&self) -> String {
        match self {
            Self::Not(a) => format!("!({})", a.text()),
            Self::And(a, b) => format!("({}) && ({})", a.text(), b.text()),
            Self::Or(a, b) => format!("({}) || ({})", a.text(), b.text()),
            Self::If(a, b, c) => format!("({}) ? ({}) : ({})", a.text(), b.text(), c.text()),
            Self::Of(compare, a, b) => {
                let sign = match compare {
                    Compare::Equal => "==",
                    Compare::Unequal => "!=",
                    Compare::Less => "<",
                    Compare::LessOrEqual => "<=",
                    Compare::Greater => ">",
                    Compare::GreaterOrEqual => ">=",
                };
                format!("{} {sign} {}", a.text(), b.text())
            }
        }
    }

    /// Kleene's third value is the error.
    fn value(&self, a: i64, b: i64) -> Option<bool> {
        match self {
            Self::Not(x) => x.value(a, b).map(|x| !x),
            Self::And(x, y) => match (x.value(a, b), y.value(a, b)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(x, y) => match (x.value(a, b), y.value(a, b)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::If(x, y, z) => match x.value(a, b)? {
                true => y.value(a, b),
                false => z.value(a, b),
            },
            Self::Of(compare, x, y) => {
                let (x, y) = (x.value(a, b)?, y.value(a, b)?);
                Some(match compare {
                    Compare::Equal => x == y,
                    Compare::Unequal => x != y,
                    Compare::Less => x < y,
                    Compare::LessOrEqual => x <= y,
                    Compare::Greater => x > y,
                    Compare::GreaterOrEqual => x >= y,
                })
            }
        }
    }
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![-4_i64..4, any::<i64>(), Just(i64::MIN), Just(i64::MAX), Just(i64::MIN + 1)]
}

fn sums() -> impl Strategy<Value = Sum> {
    let leaf = prop_oneof![
        3 => numbers().prop_map(Sum::Literal),
        2 => Just(Sum::A),
        2 => Just(Sum::B),
        1 => Just(Sum::Gone),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let operators = [
            Arithmetic::Add,
            Arithmetic::Subtract,
            Arithmetic::Multiply,
            Arithmetic::Divide,
            Arithmetic::Remainder,
        ];
        prop_oneof![
            4 => (proptest::sample::select(operators.to_vec()), inner.clone(), inner.clone())
                .prop_map(|(operator, a, b)| Sum::Of(operator, a.into(), b.into())),
            1 => inner.prop_map(|a| Sum::Minus(a.into())),
        ]
    })
}

fn truths() -> impl Strategy<Value = Truth> {
    let compares = [
        Compare::Equal,
        Compare::Unequal,
        Compare::Less,
        Compare::LessOrEqual,
        Compare::Greater,
        Compare::GreaterOrEqual,
    ];
    let leaf = (proptest::sample::select(compares.to_vec()), sums(), sums())
        .prop_map(|(compare, a, b)| Truth::Of(compare, a, b));
    leaf.prop_recursive(3, 6, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| Truth::Not(a.into())),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Truth::And(a.into(), b.into())),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Truth::Or(a.into(), b.into())),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| Truth::If(
                a.into(),
                b.into(),
                c.into()
            )),
        ]
    })
}

proptest! {
    // CON-15: against the same expressions computed in 128 bits
    #[test]
    fn generated_rules_answer_as_arithmetic_does(
        truth in truths(), a in numbers(), b in numbers(),
    ) {
        let text = truth.text();
        prop_assume!(text.len() <= LONGEST);
        let rule = compiled(&text).map_err(|fault| TestCaseError::fail(format!("{fault:?}")))?;
        let tree = Value::Map(vec![("a".into(), Value::Int(a)), ("b".into(), Value::Int(b))]);
        let is = rule.holds(&Scope::of(&tree)).ok();
        prop_assert_eq!(is, truth.value(a, b), "{} with {} and {}", text, a, b);
    }

    #[test]
    fn any_text_is_a_rule_or_refused_inside_of_it(text in "[a-z0-9.()\\[\\]!&|=<>+*/%?:'\" ]{0,60}") {
        if let Err(fault) = compiled(&text) {
            prop_assert!(fault.at <= text.len());
        }
    }
}
