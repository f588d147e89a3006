use super::*;
use crate::identity::{Claims, Extension};

const OID: &str = "1.3.6.1.4.1.50316.802.1";

fn peer(identity: &str, values: &[&[u8]]) -> Peer {
    let own = values.iter().map(|v| Extension { oid: OID.to_owned(), value: v.to_vec() });
    let other = Extension { oid: "1.2.3".to_owned(), value: b"\x0c\x05Other".to_vec() };
    Peer::clone(&Peer::called(identity)).with_extensions(own.chain([other]).collect())
}

// Section 15.4: a foreign authority vouches for names below its own, and for no rights.
#[test]
fn a_foreign_authority_gives_no_role() {
    let rule = RoleRule {
        source: RoleSource::Extension { oid: OID.to_owned(), of: StringType::Utf8 },
        refuse: false,
        allow: None,
        issuers: None,
    };
    let operator: &[&[u8]] = &[b"\x0c\x08Operator"];
    assert_eq!(rule.of(&peer("spiffe://shop.example/hmi", operator)).as_deref(), Ok("Operator"));
    let foreign = rule.of(&peer("spiffe://shop.example/foreign/plant/hmi", operator)).unwrap_err();
    assert!(foreign.contains("a foreign authority vouches for none"), "{foreign}");
}

// CON-21
#[test]
fn only_exactly_one_string_of_the_stated_type_is_a_role() {
    let source = RoleSource::Extension { oid: OID.to_owned(), of: StringType::Utf8 };
    let allow = Some(vec!["Operator".to_owned(), "Viewer".to_owned()]);
    let rule = RoleRule { source, refuse: false, allow, issuers: None };
    let any = RoleRule { allow: None, ..rule.clone() };
    let role = |rule: &RoleRule, values: &[&[u8]]| rule.of(&peer("spiffe://td/hmi", values));
    assert_eq!(role(&rule, &[b"\x0c\x08Operator"]).unwrap(), "Operator");
    let (long, longer) =
        ([&[0x0c, 64][..], &[b'x'; 64]].concat(), { [&[0x0c, 65][..], &[b'x'; 65]].concat() });
    assert_eq!(role(&any, &[&long]).unwrap().len(), 64);
    let missing: [(&[&[u8]], &str); 11] = [
        (&[], "there is no extension"),
        (&[b"\x0c\x08Operator", b"\x0c\x08Operator"], "is there twice"),
        (&[b"\x0c\x08Operator\x0c\x06Viewer"], "is not that of its content"),
        (&[b"\x04\x08Operator"], "holds type 0x04, not a UTF8String"),
        (&[b"\x16\x08Operator"], "holds type 0x16"),
        (&[b"\x0c\x00"], "is empty"),
        (&[b""], "holds no UTF8String"),
        (&[&longer], "65 bytes are over 64"),
        (&[b"\x0c\x08Operator\x00"], "is not that of its content"),
        (&[b"\x0c\x03a b"], "other than visible ASCII"),
        (&[b"\x0c\x03\xed\x95\x9c"], "other than visible ASCII"),
    ];
    for (values, sentence) in missing {
        let why = role(&any, values).unwrap_err();
        assert!(why.contains(sentence), "{why}");
    }
    assert!(role(&any, &[b"\x0c\x81\x08Operator"]).unwrap_err().contains("over 64"));
    assert!(role(&rule, &[b"\x0c\x05Admin"]).unwrap_err().contains("`Admin` is not allowed"));
}

#[test]
fn a_path_names_a_role_only_as_a_whole() {
    let (before, behind) = (vec!["role".to_owned()], vec!["*".to_owned()]);
    let rule = RoleRule {
        source: RoleSource::Path { before, behind },
        refuse: true,
        allow: None,
        issuers: None,
    };
    let role = |identity: &str| rule.of(&peer(identity, &[]));
    assert_eq!(role("spiffe://td/role/Operator/hmi").unwrap(), "Operator");
    for other in ["spiffe://td/role/Operator", "spiffe://td/rolf/x/hmi", "dns:role.example"] {
        assert!(role(other).is_err(), "{other}");
    }
}

fn rule(source: RoleSource, issuers: Option<&[&str]>) -> RoleRule {
    let issuers = issuers.map(|all| all.iter().map(|name| (*name).to_owned()).collect());
    RoleRule { source, refuse: false, allow: None, issuers }
}

// CON-21 (wrong issuer): whoever is not listed hands out no role, however it is written.
#[test]
fn only_whoever_is_listed_vouches_for_a_role() {
    let operator: &[&[u8]] = &[b"\x0c\x08Operator"];
    let of = |identity: &str, issuers: Option<&[&str]>| {
        let source = RoleSource::Extension { oid: OID.to_owned(), of: StringType::Utf8 };
        rule(source, issuers).of(&peer(identity, operator)).is_ok()
    };
    let (own, plant) = ("spiffe://shop.example/hmi", "spiffe://shop.example/foreign/plant/hmi");
    for (identity, issuers, has) in [
        (own, None, true),
        (plant, None, false),
        (own, Some(&["shop.example"][..]), true),
        (plant, Some(&["shop.example"]), false),
        (plant, Some(&["plant"]), true),
        (own, Some(&["plant"]), false),
        (plant, Some(&["plan"]), false),
        ("spiffe://shop.example/plant/hmi", Some(&["plant"]), false),
        ("spiffe://plant/hmi", Some(&["shop.example"]), false),
        ("dns:hmi.shop.example", None, true),
        ("dns:hmi.shop.example", Some(&["hmi.shop.example"]), false),
    ] {
        assert_eq!(of(identity, issuers), has, "{identity} {issuers:?}");
    }
}

// CON-21: a unit and a profile are a role where there is exactly one.
#[test]
fn an_organizational_unit_or_a_profile_is_a_role() {
    let said = |units: &[Option<&str>], profile| {
        let units = units.iter().map(|unit| unit.map(str::to_owned)).collect();
        peer("spiffe://td/hmi", &[]).with_claims(Claims { units, profile })
    };
    let unit = rule(RoleSource::Unit, None);
    assert_eq!(unit.of(&said(&[Some("Operator")], None)).unwrap(), "Operator");
    for (units, sentence) in [
        (&[][..], "no organizational unit"),
        (&[Some("Operator"), Some("Operator")], "more than one"),
        (&[None], "is no text"),
        (&[Some("")], "is empty"),
        (&[Some("Plant 7")], "other than visible ASCII"),
    ] {
        let why = unit.of(&said(units, Some("client"))).unwrap_err();
        assert!(why.contains(sentence), "{why}");
    }
    let profile = rule(RoleSource::Profile, None);
    assert_eq!(profile.of(&said(&[], Some("client"))).unwrap(), "client");
    assert!(profile.of(&said(&[Some("client")], None)).unwrap_err().contains("of no profile"));
}

// K-02
#[test]
fn a_role_has_one_source_and_known_issuers() {
    let load = |role: &str| {
        let text = format!(
            "contract = \"a/1\"\ncodec = \"modbus\"\n[identity]\nrole = {{ {role} }}\n\
             [[client.message]]\nname = \"read\"\nmatch = [3]\nfields.unit = {{ enum = [1] }}\n\
             action = \"modbus.read\"\n"
        );
        match crate::contract::Contract::load("a.toml", &text, &|_| Err(String::new())) {
            Ok((contract, _)) => Ok(contract.role.clone().unwrap().source),
            Err(findings) => Err(findings.iter().map(ToString::to_string).collect::<String>()),
        }
    };
    assert_eq!(load("organizational_unit = true"), Ok(RoleSource::Unit));
    assert_eq!(
        load("profile = true, issuers = [\"shop.example\", \"Plant-7\"]"),
        Ok(RoleSource::Profile)
    );
    for (role, sentence) in [
        ("missing = \"refuse\"", "exactly one source"),
        ("profile = true, organizational_unit = true", "exactly one source"),
        ("profile = true, path = \"/role/{role}\"", "exactly one source"),
        ("profile = true, type = \"utf8\"", "exactly one source"),
        (
            "x509_extension = \"1.2.3\", type = \"utf8\", organizational_unit = true",
            "exactly one source",
        ),
        ("x509_extension = \"1.2.3\", type = \"utf8\", path = \"/{role}\"", "exactly one source"),
        ("profile = false", "`profile` is `true`, or left out"),
        ("profile = true, issuers = []", "`issuers` is empty"),
        ("profile = true, issuers = [\"a/b\"]", "no trust domain"),
    ] {
        let told = load(role).expect_err(role);
        assert!(told.contains(sentence), "{role}: {told}");
    }
}
