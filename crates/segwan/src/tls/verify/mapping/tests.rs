use super::*;

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
