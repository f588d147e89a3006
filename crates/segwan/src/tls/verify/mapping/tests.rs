use super::*;
use proptest::prelude::*;

fn realm() -> ForeignRealm {
    ForeignRealm::new(&"shop.test".parse().unwrap(), "plant").unwrap()
}

fn refused(from: &str, matches: &str, identity: &str) -> (RulePart, String) {
    let error = Mapping::new(realm()).add(from, matches, identity).unwrap_err();
    (error.part, error.to_string())
}

fn stars<'v>(pattern: &str, separator: char, value: &'v str) -> Option<Vec<&'v str>> {
    Pattern::read(pattern, separator).unwrap().matches(value)
}

#[test]
fn a_star_stands_for_one_part_and_never_for_none() {
    let dns = |pattern, value| stars(pattern, '.', value);
    assert_eq!(dns("*.plant.example", "press-7.plant.example"), Some(vec!["press-7"]));
    assert_eq!(dns("press-*.*.example", "press-7.hall.example"), Some(vec!["7", "hall"]));
    assert_eq!(dns("a*z.example", "aaz.example"), Some(vec!["a"]));
    assert_eq!(dns("plant.example", "plant.example"), Some(vec![]));
    for value in [
        "plant.example",
        ".plant.example",
        "a.b.plant.example",
        "press-7.plant.example.evil",
        "press-7.plant.examples",
        "press-7.plantxexample",
        "",
    ] {
        assert_eq!(dns("*.plant.example", value), None, "{value}");
    }
    // What stands before and behind a star does not overlap.
    assert_eq!(dns("aa*aa", "aaa"), None);
    assert_eq!(dns("aa*aa", "aaaa"), None);
    let uri = |pattern, value| stars(pattern, '/', value);
    assert_eq!(uri("urn:dev:*", "urn:dev:press.7"), Some(vec!["press.7"]));
    assert_eq!(uri("spiffe://plant.test/*", "spiffe://plant.test/press"), Some(vec!["press"]));
    assert_eq!(uri("spiffe://plant.test/*", "spiffe://plant.test/a/b"), None);
    assert_eq!(uri("spiffe://plant.test/*", "spiffe://shop.test/app"), None);
}

#[test]
fn a_rule_that_is_none_is_refused_where_it_is_written() {
    let good = ("dns_san", "*.plant.example", "foreign/plant/{1}");
    assert_eq!(Mapping::new(realm()).add(good.0, good.1, good.2), Ok(()));
    for from in ["", "cn", "subject", "dns", "DNS_SAN", "dns_san ", "extension", "email_san"] {
        let (part, why) = refused(from, good.1, good.2);
        assert_eq!(part, RulePart::From, "{why}");
        assert!(why.contains("is not `dns_san`, `uri_san` or `extension:OID`"), "{why}");
    }
    for oid in ["", "1", "1.2", "3.1.2", "1.40.1", "1.2.03", "1.2.", "1..2", "1.2.x", "01.2.3"] {
        let (part, why) = refused(&format!("extension:{oid}"), good.1, good.2);
        assert_eq!((part, why.contains("is no OID")), (RulePart::From, true), "{why}");
    }
    for pattern in ["", "**.example", "*-*.example", "a\0", &"a".repeat(256)] {
        assert_eq!(refused(good.0, pattern, good.2).0, RulePart::Match, "{pattern}");
    }
    assert_eq!(refused("uri_san", "urn:*.*", good.2).0, RulePart::Match);
    for identity in [
        "",
        "app",
        "foreign/plant",
        "foreign/plant/",
        "foreign/other/{1}",
        "foreign/plant2/{1}",
        "spiffe://shop.test/foreign/plant/{1}",
        "/foreign/plant/{1}",
        "foreign/plant/../{1}",
        "foreign/plant/{0}",
        "foreign/plant/{2}",
        "foreign/plant/{01}",
        "foreign/plant/{}",
        "foreign/plant/{1",
        "foreign/plant/1}",
        "foreign/plant//{1}",
        "foreign/plant/a b",
        "foreign/{1}/{1}",
    ] {
        assert_eq!(refused(good.0, good.1, identity).0, RulePart::Identity, "{identity}");
    }
    let mut twice = Mapping::new(realm());
    twice.add(good.0, good.1, good.2).unwrap();
    assert_eq!(twice.add(good.0, good.1, good.2).unwrap_err().part, RulePart::Match);
}

#[test]
fn there_is_a_bound_on_rules() {
    let mut mapping = Mapping::new(realm());
    for at in 0..RULES {
        mapping.add("dns_san", &format!("{at}.*"), "foreign/plant/{1}").unwrap();
    }
    assert!(mapping.add("dns_san", "more.*", "foreign/plant/{1}").is_err());
}

/// Whether this is a rule for names of three or four labels, or for a URI with as many segments.
fn is_rule(from: &str, stars: usize, identity: &str) -> bool {
    let separator = if from == "dns_san" { "." } else { "/" };
    let pattern = vec!["*"; stars].join(separator);
    Mapping::new(realm()).add(from, &pattern, identity).is_ok()
}

// PKI-72
#[test]
fn two_placeholders_have_something_between_them_that_no_value_holds() {
    for (dns, uri, rest) in [
        (true, true, "{1}/{2}"),
        (true, true, "{2}/of-{1}/{3}"),
        (true, true, "a-{1}-b/{2}"),
        (true, true, "{1}/{1}"),
        (true, false, "{1}.{2}"),
        (true, false, "{1}-.-{2}"),
        (false, false, "{1}{2}"),
        (false, false, "{1}{1}"),
        (false, false, "{1}-{2}"),
        (false, false, "{1}_x_{2}"),
        (false, false, "{1}/{2}{3}"),
        (false, false, "{1}-{2}/{3}"),
    ] {
        let identity = format!("foreign/plant/{rest}");
        assert_eq!(is_rule("dns_san", 3, &identity), dns, "{rest}");
        assert_eq!(is_rule("uri_san", 3, &identity), uri, "{rest}");
    }
    let error = Mapping::new(realm()).add("uri_san", "*/*", "foreign/plant/{1}-{2}").unwrap_err();
    assert_eq!(error.part, RulePart::Identity);
    assert_eq!(error.hint, Some("put `/` between them, as in `{1}/{2}`"));
}

/// Three values, and the same text in which the first ends elsewhere: what a template would have to
/// tell apart that has just this glue between its first two.
fn cut_otherwise() -> impl Strategy<Value = [[String; 3]; 2]> {
    let cut = |(text, glue, third): (String, String, String)| {
        let cuts: Vec<_> = text
            .match_indices(&*glue)
            .map(|(at, _)| (&text[..at], &text[at + glue.len()..]))
            .filter(|(first, second)| !first.is_empty() && !second.is_empty())
            .map(|(first, second)| [first, second, &third].map(str::to_owned))
            .collect();
        (!cuts.is_empty()).then_some(cuts)
    };
    let texts = ("[-.a]{2,8}", "[-.]?", "[-.a]{1,2}");
    let cuts = texts.prop_filter_map("no cut", cut);
    cuts.prop_flat_map(|cuts| {
        let one = prop::sample::select(cuts);
        (one.clone(), one).prop_map(|(one, other)| [one, other])
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        max_global_rejects: 100_000,
        ..ProptestConfig::default()
    })]

    // PKI-72: of any template that is taken, and of the values that it uses.
    #[test]
    fn who_differs_in_a_value_that_is_used_has_another_name(
        is_dns: bool,
        pieces in prop::collection::vec(("[-./]?a?", 0..3_usize), 1..4),
        end in "[-./]?a?",
        values in cut_otherwise(),
    ) {
        // No label of a DNS name holds a `.`.
        let [one, other] = values.map(|all| all.map(|value| {
            if is_dns { value.replace('.', "b") } else { value }
        }));
        let placeholder = |(text, at): &(String, usize)| format!("{text}{{{}}}", at + 1);
        let rest: String = pieces.iter().map(placeholder).collect();
        let identity = format!("foreign/plant/{rest}{end}");
        let (from, pattern) = if is_dns { ("dns_san", "*.*.*") } else { ("uri_san", "*/*/*") };
        let mut mapping = Mapping::new(realm());
        prop_assume!(mapping.add(from, pattern, &identity).is_ok());
        let rule = &mapping.rules[0];
        let name = |values: &[String; 3]| {
            let whole = values.join(if is_dns { "." } else { "/" });
            rule.fill(&rule.pattern.matches(&whole).unwrap())
        };
        let differ = pieces.iter().any(|(_, at)| one[*at] != other[*at]);
        prop_assert_eq!(name(&one) != name(&other), differ, "{}", identity);
    }
}
