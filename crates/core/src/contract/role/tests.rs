use super::*;
use crate::identity::{CertificateFacts, Extension};

const OID: &str = "1.3.6.1.4.1.50316.802.1";

fn peer(identity: &str, values: &[&[u8]]) -> Peer {
    let certificate = CertificateFacts {
        serial: "01".to_owned(),
        issuer: "aa".to_owned(),
        issuer_key: "aa".to_owned(),
        keys: vec![],
        not_before: 0,
        not_after: 1,
    };
    let own = values.iter().map(|v| Extension { oid: OID.to_owned(), value: v.to_vec() });
    let other = Extension { oid: "1.2.3".to_owned(), value: b"\x0c\x05Other".to_vec() };
    Peer::authenticated(identity.parse().unwrap(), certificate)
        .with_extensions(own.chain([other]).collect())
}

// Section 15.4: a foreign authority vouches for names below its own, and for no rights.
#[test]
fn a_foreign_authority_gives_no_role() {
    let rule = RoleRule {
        source: RoleSource::Extension { oid: OID.to_owned(), of: StringType::Utf8 },
        refuse: false,
        allow: None,
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
    let rule = RoleRule { source, refuse: false, allow };
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
    let rule = RoleRule { source: RoleSource::Path { before, behind }, refuse: true, allow: None };
    let role = |identity: &str| rule.of(&peer(identity, &[]));
    assert_eq!(role("spiffe://td/role/Operator/hmi").unwrap(), "Operator");
    for other in ["spiffe://td/role/Operator", "spiffe://td/rolf/x/hmi", "dns:role.example"] {
        assert!(role(other).is_err(), "{other}");
    }
}
