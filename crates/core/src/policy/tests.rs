use super::schema::{Attribute, AttributeKind};
use super::*;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn at(unix_ms: i64) -> Now {
    Now { instant: Instant::now(), unix_ms }
}

fn attribute(name: &str, kind: AttributeKind) -> Attribute {
    Attribute { name: name.to_owned(), kind, optional: false }
}

/// The actions of the Modbus example of `contracts.md` section 26.3.
fn actions() -> Vec<ActionShape> {
    let read = ["unit", "fc", "addr", "count"].map(|n| attribute(n, AttributeKind::Long)).to_vec();
    let mut write = read.clone();
    write.push(attribute("values", AttributeKind::Set(AttributeKind::Long.into())));
    vec![
        ActionShape {
            name: "modbus.read".to_owned(),
            on_resource: true,
            context: read,
            session: vec![],
        },
        ActionShape {
            name: "modbus.write".to_owned(),
            on_resource: true,
            context: write,
            session: vec![],
        },
    ]
}

const POLICIES: &str = r#"
@id("factory-may-connect")
permit (principal in TrustDomain::"factory.example", action == Action::"connect", resource == Service::"plc1");

// who looks
@id("viewer-reads")
permit (principal == Peer::"spiffe://factory.example/panel", action == Action::"modbus.read", resource in Service::"plc1");

@id("hmi-reads")
permit (principal == Peer::"spiffe://factory.example/hmi", action == Action::"modbus.read", resource in Service::"plc1");

@id("hmi-sets-the-mixer")
permit (principal == Peer::"spiffe://factory.example/hmi", action == Action::"modbus.write", resource == Resource::"plc1/unit/1")
when { context.message.addr + context.message.count <= 150 };

@id("no-writes-at-night")
forbid (principal, action == Action::"modbus.write", resource)
unless {
  context.now.offset(duration("9h")).toTime() >= duration("6h") &&
  context.now.offset(duration("9h")).toTime() <  duration("22h")
};
"#;

fn compile(text: &str) -> Result<Policy, Vec<String>> {
    let source = PolicySource { file: "plc1.cedar".to_owned(), text: text.to_owned() };
    Policy::compile("plc1", &actions(), &[], &[source])
        .map(|(policy, _)| policy)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

fn facts() -> ConnectionFacts {
    ConnectionFacts { address: [127, 0, 0, 1].into(), started_unix_ms: 0, tls: "1.3" }
}

const TEN_IN_KOREA: i64 = 3_600_000;
const ELEVEN_AT_NIGHT_IN_KOREA: i64 = 14 * 3_600_000;
const HALF_PAST_SIX_IN_KOREA: i64 = 21 * 3_600_000 + 1_800_000;

fn ask(
    policy: &Policy,
    permit: &Permit,
    action: &str,
    unit: i64,
    addr: i64,
    count: i64,
    ms: i64,
) -> String {
    let values = [
        Value::Int(unit),
        Value::Int(16),
        Value::Int(addr),
        Value::Int(count),
        Value::List(vec![Value::Int(7)]),
    ];
    let names = ["unit", "fc", "addr", "count", "values"];
    let context: Vec<_> =
        names.into_iter().zip(&values).take(if action == "modbus.write" { 5 } else { 4 }).collect();
    let resources = [format!("unit/{unit}")];
    let ask = Ask { action, resources: &resources, context: &context, session: &[] };
    match policy.authorize(permit, &mut DecisionCache::default(), &ask, at(ms)) {
        Ok(grant) => grant.policies.join(","),
        Err(denial) => format!("{}: {}", denial.reason, denial.policies.join(",")),
    }
}

// CON-20: a policy may ask by which profile a certificate was issued; one of none is of no profile.
#[test]
fn a_policy_sees_the_profile_of_a_certificate() {
    use crate::identity::Claims;
    let text = r#"
@id("clients-connect")
permit (principal, action == Action::"connect", resource)
when { principal has profile && principal.profile == "client" };
"#;
    for (profile, connects) in [(Some("client"), true), (Some("peer"), false), (None, false)] {
        // A set of policies keeps what it knows of a certificate.
        let policy = compile(text).unwrap();
        let claims = Claims { units: vec![], profile };
        let peer = Peer::clone(&Peer::called("spiffe://factory.example/hmi")).with_claims(claims);
        let admitted = policy.admit(Arc::new(peer), facts(), at(TEN_IN_KOREA));
        assert_eq!(admitted.is_ok(), connects, "{profile:?}");
    }
    assert!(compile(&text.replace("principal has profile && ", "")).is_err());
}

// CON-20: the decision table of contracts.md 26.3
#[test]
fn decisions_are_those_of_the_written_table() {
    let policy = compile(POLICIES).unwrap();
    let admit = |who: &str| policy.admit(Peer::called(who), facts(), at(TEN_IN_KOREA));
    let hmi = admit("spiffe://factory.example/hmi").unwrap();
    assert_eq!(&*hmi.policies()[0], "factory-may-connect");
    let guest = admit("spiffe://other.example/guest").unwrap_err();
    assert_eq!(guest.sentence, "no policy permits spiffe://other.example/guest on `plc1`");
    let panel = admit("spiffe://factory.example/panel").unwrap();
    let nobody = "policy_denied: ";
    let rows = [
        (&panel, "modbus.read", 1, 0, 1, TEN_IN_KOREA, "viewer-reads"),
        (&panel, "modbus.read", 2, 0, 1, TEN_IN_KOREA, "viewer-reads"),
        (&panel, "modbus.write", 1, 100, 2, TEN_IN_KOREA, nobody),
        (&hmi, "modbus.read", 1, 0, 1, TEN_IN_KOREA, "hmi-reads"),
        (&hmi, "modbus.write", 1, 100, 50, TEN_IN_KOREA, "hmi-sets-the-mixer"),
        (&hmi, "modbus.write", 1, 148, 3, TEN_IN_KOREA, nobody),
        (&hmi, "modbus.write", 2, 100, 2, TEN_IN_KOREA, nobody),
        (
            &hmi,
            "modbus.write",
            1,
            100,
            2,
            ELEVEN_AT_NIGHT_IN_KOREA,
            "policy_denied: no-writes-at-night",
        ),
        (&hmi, "modbus.write", 1, 100, 2, HALF_PAST_SIX_IN_KOREA, "hmi-sets-the-mixer"),
        // DEP-30, TRAP-11, AZ-8: the overflow makes a permit err, which denies
        (&hmi, "modbus.write", 1, 100, i64::MAX, TEN_IN_KOREA, "policy_error: hmi-sets-the-mixer"),
    ];
    for (who, action, unit, addr, count, ms, expected) in rows {
        assert_eq!(
            ask(&policy, who, action, unit, addr, count, ms),
            expected,
            "{action} {unit} {addr} {count}"
        );
    }
}

// ADV-44, DEP-30: Cedar alone would skip the forbid and allow.
#[test]
fn a_forbid_that_errs_denies_even_beside_a_permit() {
    let text = r#"
@id("all") permit (principal, action, resource);
@id("night") forbid (principal, action == Action::"modbus.read", resource) when { context.message.addr + context.message.count > 200 };
"#;
    let policy = compile(text).unwrap();
    let permit = policy.admit(Peer::called("spiffe://a.example/x"), facts(), at(0)).unwrap();
    assert_eq!(ask(&policy, &permit, "modbus.read", 1, 1, 1, 0), "all");
    assert_eq!(ask(&policy, &permit, "modbus.read", 1, 1, i64::MAX, 0), "policy_error: night");
}

// CON-19, C13: the five rejections of section 15.5, each with its place.
#[test]
fn a_policy_that_names_what_the_contract_has_not_does_not_load() {
    let with = |action: &str, condition: &str| {
        format!(
            "@id(\"c\") permit (principal, action == Action::\"connect\", resource);\n@id(\"p\") permit (principal, action{action}, resource) when {{ {condition} }};"
        )
    };
    let rows = [
        with(" == Action::\"modbus.read\"", "context.message.adr == 1"),
        with(" == Action::\"modbus.read\"", "context.message.values.contains(1)"),
        with(" == Action::\"modbus.diag\"", "true"),
        with(" == Action::\"modbus.read\"", "context.message.addr == \"1\""),
        with("", "context.message.addr == 1"),
    ];
    for text in rows {
        let errors = compile(&text).unwrap_err();
        assert!(errors[0].starts_with("plc1.cedar:2:"), "{text}: {errors:?}");
    }
    let misspelt = compile(&with(" == Action::\"modbus.raed\"", "true")).unwrap_err();
    assert!(misspelt.join("\n").contains("did you mean"), "{misspelt:?}");
}

// DEP-34, DEP-35, DEP-31, C2
#[test]
fn a_policy_without_id_or_principal_is_refused_with_its_place() {
    let connect = "@id(\"c\") permit (principal, action == Action::\"connect\", resource);\n";
    let rows = [
        (
            format!("{connect}permit (principal, action, resource);"),
            "plc1.cedar:2:1: error: policy has no `@id`",
        ),
        (format!("{connect}{connect}"), "plc1.cedar:2:1: error: two policies have the id `c`"),
        (
            format!("{connect}@id(\"t\") permit (principal == ?principal, action, resource);"),
            "plc1.cedar:1:1: error: policy file holds a template",
        ),
        (
            "@id(\"f\") forbid (principal, action, resource);".to_owned(),
            "policy: error[C2]: service `plc1`: no policy permits anybody to connect",
        ),
        (String::new(), "policy: error[C2]"),
        (format!("{connect}@id(\"x\") permit (principal, action, resource"), "plc1.cedar:2:"),
        (
            format!(
                "@id(\"d\") permit (principal, action, resource) when {{ {}true{} }};",
                "(".repeat(1000),
                ")".repeat(1000)
            ),
            "plc1.cedar:1:",
        ),
    ];
    for (text, expected) in rows {
        let errors = compile(&text).unwrap_err();
        assert!(errors[0].starts_with(expected), "{errors:?}");
    }
}

// DEP-31: what would exhaust the stack of Cedar's parser would end the process, at a reload too.
#[test]
fn a_policy_of_endless_operators_is_refused_with_its_place() {
    let of = |condition: &str| {
        compile(&format!(
            "@id(\"c\") permit (principal, action, resource);\n@id(\"d\") forbid (principal, action, \
             resource) when {{ {condition} }};"
        ))
    };
    let n = 20_000;
    for condition in [
        vec!["true"; n].join(" && "),
        vec!["false"; n].join("||"),
        format!("1{} == 1", " + 1".repeat(n)),
        format!("context{} == 1", ".a".repeat(n)),
        format!("{}true{}", "if true then ".repeat(n), " else false".repeat(n)),
        format!("// a \" in a comment\n{}", vec!["true"; n].join(" && ")),
        format!("\"\\\"\" == \"\" || {}", vec!["true"; n].join(" && ")),
    ] {
        let errors = of(&condition).unwrap_err();
        assert!(errors[0].contains("a policy has over 1000 operators"), "{errors:?}");
        assert!(errors[0].starts_with("plc1.cedar:"), "{errors:?}");
    }
    let hidden = format!("// a \" in a comment\n{}true{}", "(".repeat(9000), ")".repeat(9000));
    assert!(of(&hidden).unwrap_err()[0].contains("deeper than 64"));
    // Each policy has its own; what is written in texts and comments is none.
    let many = vec!["true"; 900].join(" && ");
    let text = format!(
        "@id(\"a\") permit (principal, action, resource) when {{ {many} }}; // {many}\n@id(\"b\") permit \
         (principal, action, resource) when {{ {many} && \"{}\" != \"\" }};",
        "+".repeat(2000)
    );
    compile(&text).unwrap();
}

// A text with an escaped quote holds no end of a policy.
#[test]
fn a_place_is_found_behind_texts_with_quotes() {
    let text = "@id(\"c\") permit (principal, action, resource) when { \"\\\";\" != \"\" };\n\
                @id(\"d\") permit (principal, action, resource);\n\n\
                permit (principal, action, resource);\n";
    assert!(compile(text).unwrap_err()[0].starts_with("plc1.cedar:4:1: "));
}

#[test]
fn allow_is_a_policy_like_any_other() {
    let app = "spiffe://shop.example/app".parse().unwrap();
    let (policy, warnings) = Policy::compile("orders", &actions(), &[app], &[]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(policy.ids(), ["allow-app"]);
    let permit = policy.admit(Peer::called("spiffe://shop.example/app"), facts(), at(0)).unwrap();
    let (first, second) = (["unit/1".to_owned()], ["unit/2".to_owned()]);
    let ask = Ask { action: "modbus.read", resources: &first, context: &[], session: &[] };
    let mut cache = DecisionCache::default();
    assert!(!policy.authorize(&permit, &mut cache, &ask, at(0)).unwrap().cached);
    assert!(policy.authorize(&permit, &mut cache, &ask, at(0)).unwrap().cached);
    // It is the same to a policy that names the service alone.
    let other = Ask { resources: &second, ..ask };
    assert!(policy.authorize(&permit, &mut cache, &other, at(0)).unwrap().cached);
    assert!(policy.admit(Peer::called("spiffe://shop.example/mail"), facts(), at(0)).is_err());
    let unknown = Ask { action: "modbus.diag", ..ask };
    assert_eq!(
        policy.authorize(&permit, &mut cache, &unknown, at(0)).unwrap_err().reason,
        Reason::PolicyError
    );
}

// AZ-5, ADV-51: a permit of an older policy is judged by the one in force.
#[test]
fn a_replaced_policy_decides_at_once() {
    let connect = "@id(\"c\") permit (principal, action == Action::\"connect\", resource);\n";
    let open = compile("@id(\"all\") permit (principal, action, resource);").unwrap();
    let shut = compile(connect).unwrap();
    let permit = open.admit(Peer::called("spiffe://a.example/x"), facts(), at(0)).unwrap();
    let mut cache = DecisionCache::default();
    let resources = ["unit/1".to_owned()];
    let ask = Ask { action: "modbus.read", resources: &resources, context: &[], session: &[] };
    assert!(open.authorize(&permit, &mut cache, &ask, at(0)).is_ok());
    assert!(shut.authorize(&permit, &mut cache, &ask, at(0)).is_err());
    assert!(open.authorize(&permit, &mut cache, &ask, at(0)).is_ok());
}

// AZ-2, AZ-6
#[test]
fn only_what_reads_the_context_is_evaluated_for_every_message() {
    let policy = compile(POLICIES).unwrap();
    let permit =
        policy.admit(Peer::called("spiffe://factory.example/hmi"), facts(), at(0)).unwrap();
    assert!(!policy.needs_context(&permit, "modbus.read"));
    assert_eq!(policy.reads(&permit, "modbus.write"), ["message.addr", "message.count", "now"]);
}

/// The actions `get` and `pay`, of connections that remember `user`.
fn bank() -> Vec<ActionShape> {
    let optional = |name: &str, kind| Attribute { optional: true, ..attribute(name, kind) };
    let session = vec![optional("user", AttributeKind::String)];
    let paid = vec![
        attribute("won", AttributeKind::Decimal),
        attribute("on", AttributeKind::Datetime),
        optional("user", AttributeKind::String),
    ];
    let shape = |name: &str, context| ActionShape {
        name: name.to_owned(),
        on_resource: false,
        context,
        session: session.clone(),
    };
    vec![shape("get", vec![]), shape("pay", paid)]
}

fn bank_policy(conditions: &str) -> Result<Policy, Vec<String>> {
    let text = format!(
        "@id(\"in\") permit (principal, action == Action::\"connect\", resource);\n{conditions}"
    );
    let source = PolicySource { file: "bank.cedar".to_owned(), text };
    Policy::compile("bank", &bank(), &[], &[source])
        .map(|(policy, _)| policy)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

// Section 15.3, AZ-3: the claim of an earlier message is read under `session` alone, and a decision
// for one claim is not one for another.
#[test]
fn a_remembered_claim_is_held_against_the_certificate() {
    let policy = bank_policy(
        "@id(\"own\") permit (principal, action == Action::\"get\", resource)\n\
         when { context.session has user && context.session.user == principal.last };",
    )
    .unwrap();
    let permit = policy.admit(Peer::called("spiffe://bank.example/kim"), facts(), at(0)).unwrap();
    assert_eq!(policy.reads(&permit, "get"), ["session.user"]);
    let mut cache = DecisionCache::default();
    let mut get = |user: Option<&str>| {
        let user = user.map(|user| Value::Text(user.to_owned().into()));
        let session: Vec<_> = user.iter().map(|user| ("user", user)).collect();
        let ask = Ask { action: "get", resources: &[], context: &[], session: &session };
        policy.authorize(&permit, &mut cache, &ask, at(0)).map(|grant| grant.cached)
    };
    assert_eq!(get(None).unwrap_err().reason, Reason::PolicyDenied);
    assert_eq!(get(Some("kim")), Ok(false));
    assert_eq!(get(Some("kim")), Ok(true));
    assert_eq!(get(Some("lee")).unwrap_err().reason, Reason::PolicyDenied);
    assert_eq!(get(None).unwrap_err().reason, Reason::PolicyDenied);
    // What the message says is not what was said before, under one name or another.
    let (kim, more) = (Value::Text("kim".into()), [("user", &Value::Text("kim".into()))]);
    for (context, session) in
        [(&more[..], &[][..]), (&[][..], &[("name", &kim)][..]), (&[], &[("user", &Value::Int(1))])]
    {
        let ask = Ask { action: "get", resources: &[], context, session };
        let denial = policy.authorize(&permit, &mut cache, &ask, at(0)).unwrap_err();
        assert_eq!(denial.reason, Reason::PolicyError);
    }
}

// CON-19: what may not be there yet must be asked for with `has`; nothing is remembered of what
// only a message says, and when connecting nothing is remembered at all.
#[test]
fn a_policy_asks_first_whether_something_is_remembered() {
    for (action, condition, error) in [
        ("== Action::\"get\"", "context.session.user == \"kim\"", "unable to guarantee safety"),
        (
            "== Action::\"get\"",
            "context.session has won && context.session.won == \"1\"",
            "evaluates to false",
        ),
        ("== Action::\"connect\"", "context.session has user", "attribute `session`"),
        ("== Action::\"get\"", "context.session.usr == \"kim\"", "did you mean `user`?"),
        ("== Action::\"get\"", "context.message.user == \"kim\"", "not found"),
    ] {
        let text = format!(
            "@id(\"p\") permit (principal, action {action}, resource) when {{ {condition} }};"
        );
        let errors = bank_policy(&text).unwrap_err().join("\n");
        assert!(errors.contains(error), "{errors}");
    }
}

// Section 15.5: a decimal is compared as a number and a date as an instant; what is neither is a
// denial, beside a policy that would permit.
#[test]
fn decimals_and_dates_are_what_cedar_knows_of_them() {
    let policy = bank_policy(
        "@id(\"small\") permit (principal, action == Action::\"pay\", resource)\n\
         when { context.message.won.lessThanOrEqual(decimal(\"12.5\")) &&\n\
         context.message.on >= datetime(\"2026-01-01\") && context.message.on < datetime(\"2027-01-01\") };",
    )
    .unwrap();
    let permit = policy.admit(Peer::called("spiffe://bank.example/kim"), facts(), at(0)).unwrap();
    let pay = |won: Value<'_>, on: &str| {
        let on = Value::Text(on.to_owned().into());
        let context = [("won", &won), ("on", &on)];
        let ask = Ask { action: "pay", resources: &[], context: &context, session: &[] };
        let decided = policy.authorize(&permit, &mut DecisionCache::default(), &ask, at(0));
        decided.map_or_else(|denial| denial.reason.as_str(), |_| "permitted")
    };
    let text = |won: &'static str| Value::Text(won.into());
    for won in [
        text("12.5"),
        text("12.50"),
        text("12"),
        text("-3.0001"),
        Value::Int(7),
        Value::Float(12.25),
    ] {
        assert_eq!(pay(won.clone(), "20260229"), "policy_error", "{won:?}");
        assert_eq!(pay(won.clone(), "20261126"), "permitted", "{won:?}");
        assert_eq!(pay(won.clone(), "2026-01-01T00:00:00Z"), "permitted", "{won:?}");
        assert_eq!(pay(won.clone(), "2026-01-01T00:00:00+09:00"), "policy_denied", "{won:?}");
    }
    assert_eq!(pay(text("12.5001"), "20261126"), "policy_denied");
    for won in ["", "-", ".5", "5.", "1.00001", "922337203685477.5808", "1e1", "+1", "1.2.3", "５"]
    {
        assert_eq!(pay(text(won), "20261126"), "policy_error", "{won}");
    }
    assert_eq!(pay(text("-922337203685477.5808"), "20261126"), "permitted");
    assert_eq!(pay(Value::Float(f64::NAN), "20261126"), "policy_error");
}
