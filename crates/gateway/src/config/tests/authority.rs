//! `[authority]` and `[trust]`: registrations, and authorities from elsewhere.

use super::*;

#[test]
fn the_authority_says_what_it_cannot_be() {
    let authority = |line: &str| format!("[authority]\nlisten = \"0.0.0.0:7444\"\n{line}\n");
    for (line, words) in [
        ("root_fingerprint = \"3f9a\"", "no fingerprint of a root"),
        ("leaf_lifetime = \"1s\"", "outside 5 min to 90 d"),
        ("advertise = [\"a:1\", \"b:1\", \"c:1\", \"d:1\", \"e:1\"]", "4 are the most"),
        ("init = \"always\"", "not `auto` or `never`"),
        ("trust_domain = \"Shop\"", "is not a trust domain"),
        ("[[authority.registration]]\nname = \"a\"\nprofile = \"authority\"", "not `client` or"),
        ("[[authority.registration]]\nname = \"a\"", "has no `profile`"),
    ] {
        only(&authority(line), "segwan.toml:", &[words]);
    }
    let twice =
        format!("trust_domain = \"a.example\"\n{}", authority("trust_domain = \"b.example\""));
    only(&twice, "segwan.toml:4:16: error[C22]: ", &["`b.example`", "`a.example`"]);
    only(
        "[admin]\nlisten = \"0.0.0.0:9443\"\n[authority]\nlisten = \"0.0.0.0:7444\"\n",
        "segwan.toml:2:10: ",
        &["not loopback"],
    );
}

#[test]
fn a_name_has_the_grammar_of_a_registration() {
    only(
        &SERVICE.replace("service.orders", "service.\"a b\""),
        "segwan.toml:1:10: error[C22]: `a b` is not a name",
        &[],
    );
    let config = loaded(&SERVICE.replace("service.orders", "service.\"team/orders\""));
    assert_eq!(config.services[0].name, "team/orders");
}

#[test]
fn each_wrong_key_of_a_registration_is_told_at_its_place() {
    let world = World::new();
    let text = r#"
[authority]
listen = "127.0.0.1:7444"
[[authority.registration]]
name = "edge"
profile = "service"
ips = ["10.0.0"]
[[authority.registration]]
name = "b"
profile = "service"
on_reenroll = "often"
leaf_lifetime = "1m"
max_lineages = 0
color = "red"
"#;
    let told = world.refused(text);
    for (at, expected) in [
        (":7:", "`10.0.0` is no IP address"),
        (":11:", "`on_reenroll` is `often`, not `replace` or `add`"),
        (":12:", "`leaf_lifetime` is 1 min, outside 5 min to 90 d"),
        (":13:", "`max_lineages` is 0, outside 1 to 10000"),
        (":14:", "color"),
    ] {
        let found = |line: &&String| line.contains(at) && line.contains(expected);
        assert!(told.iter().any(|line| found(&line)), "{at} {expected}: {told:#?}");
    }
}

const FOREIGN: &str = "\
[[trust.foreign]]
name  = \"plant\"
roots = \"plant.pem\"
map   = [{ from = \"dns_san\", match = \"*.plant.example\", identity = \"foreign/plant/{1}\" }]
";

#[test]
fn a_foreign_authority_is_read_with_its_rules() {
    let more = "crls = [\"a.crl\", \"b.crl\"]\ndanger_tolerate = [\"missing_aki\"]\n";
    let config = loaded(&format!("{FOREIGN}{more}{SERVICE}"));
    let [plant] = config.foreign.as_slice() else { panic!("one authority") };
    assert_eq!(plant.name(), "plant");
    assert_eq!(plant.trust.crls.len(), 2);
    let tolerate = plant.trust.danger_tolerate;
    assert!(tolerate.missing_aki && !tolerate.missing_eku);
    assert!(loaded(SERVICE).foreign.is_empty());

    let files = "credentials = { chain = \"c.pem\", key = \"k.pem\" }\n\
                 [service.orders.trust]\nroots = \"r.pem\"\ndanger_tolerate = \"missing_eku\"\n\
                 map = [{ from = \"uri_san\", match = \"urn:*\", identity = \"foreign/x/{1}\" }]";
    let config = loaded(&service(files));
    let IdentitySource::Files { trust, mapping: Some(mapping), .. } = &config.services[0].identity
    else {
        panic!("files with rules")
    };
    assert_eq!(mapping.realm().name(), "x");
    assert!(trust.danger_tolerate.missing_eku && !trust.danger_tolerate.missing_aki);
}

#[test]
fn a_rule_for_foreign_certificates_is_refused_at_its_place() {
    let with = |from: &str, to: &str| {
        let text = FOREIGN.replace(from, to);
        assert_ne!(text, FOREIGN);
        format!("{text}{SERVICE}")
    };
    for (from, to, begins, words) in [
        ("dns_san", "cn", "segwan.toml:4:19: error[C22]: ", "`cn` is not `dns_san`"),
        ("*.plant", "**.plant", "segwan.toml:4:38: error[C22]: ", "has two `*`"),
        ("foreign/plant/{1}", "app", "segwan.toml:4:68: error[C22]: ", "does not begin with"),
        (
            "foreign/plant/{1}",
            "foreign/x/{1}",
            "segwan.toml:4:68: error[C22]: ",
            "`foreign/plant/`",
        ),
        ("foreign/plant/{1}", "foreign/plant/{2}", "segwan.toml:4:68: error[C22]: ", "{1}"),
        (
            "*.plant.example\", identity = \"foreign/plant/{1}",
            "*.*.example\", identity = \"foreign/plant/{1}-{2}",
            "segwan.toml:4:64: error[C22]: ",
            "hint: put `/` between them",
        ),
        ("\"plant\"\n", "\"a/b\"\n", "segwan.toml:2:9: error[C22]: ", "no name of a foreign"),
        ("name  = \"plant\"\n", "", "segwan.toml:1:1: error[C22]: ", "has no `name`"),
        ("roots = \"plant.pem\"\n", "", "segwan.toml:1:1: error[C5]: ", "has no `roots`"),
    ] {
        only(&with(from, to), begins, &[words]);
    }
    let no_map = FOREIGN.lines().take(3).collect::<Vec<_>>().join("\n");
    only(&format!("{no_map}\n{SERVICE}"), "segwan.toml:1:1: error[C22]: ", &["has no `map`"]);
    only(&format!("{no_map}\nmap = []\n{SERVICE}"), "segwan.toml:4:1: ", &["an empty list"]);
    let twice = format!("{FOREIGN}{FOREIGN}{SERVICE}");
    only(&twice, "segwan.toml:6:1: error[C22]: ", &["are called `plant`"]);
    let unknown = format!("{FOREIGN}danger_tolerate = [\"expired\"]\n{SERVICE}");
    only(&unknown, "segwan.toml:5:20: error[C22]: ", &["`expired` is not `missing_aki`"]);
    let files = "credentials = { chain = \"c.pem\", key = \"k.pem\" }\n\
                 [service.orders.trust]\nroots = \"r.pem\"\n\
                 map = [{ from = \"uri_san\", match = \"urn:*\", identity = \"app\" }]";
    only(&service(files), "segwan.toml:9:", &["does not begin with `foreign/`"]);
}
