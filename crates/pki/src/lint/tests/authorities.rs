//! Mutants of authorities: what an operator must not import.

use super::tree::{self, Node, bytes, oid_bytes, resigned};
use super::{
    AUTHORITY_KEY, BASIC, Edit, PURPOSES, SUBJECT_KEY, USAGE, extensions, new_extension,
    set_critical, set_value,
};
use crate::key::PrivateKey;
use crate::lint::{Constraints, check_issuing, der};
use crate::x509::tests::{NOW, hierarchy, root};

fn constraint(tag: u8, base: &[u8]) -> Vec<u8> {
    let subtree = der::write(der::SEQUENCE, &der::write(tag, base));
    der::write(der::SEQUENCE, &der::write(0xa0, &subtree))
}

const ISSUING: [(&str, &str, Edit); 22] = [
    ("K1", "a subject's unique id", |t| t.insert(7, Node::Value(0x82, vec![0, 1]))),
    ("K2", "a serial number of 21 bytes", |t| t[1] = Node::Value(2, vec![1; 21])),
    ("K3", "another algorithm inside", |t| {
        t[2].children_mut()[0] = Node::Value(der::OID, oid_bytes("1.2.840.10045.4.3.2"));
    }),
    ("K4", "another issuer", |t| t[3] = tree::common_name("Other root")),
    ("K5", "an end before now", |t| {
        t[4].children_mut()[1] = Node::Value(der::UTC_TIME, b"260920000000Z".to_vec());
        t[4].children_mut()[0] = Node::Value(der::UTC_TIME, b"260820000000Z".to_vec());
    }),
    ("K6", "a life of six years", |t| {
        t[4].children_mut()[1] = Node::Value(der::UTC_TIME, b"320920000000Z".to_vec());
    }),
    ("K10", "no list signing", |t| set_value(t, USAGE, &[3, 2, 2, 4])),
    ("K11", "an extended key usage", |t| {
        let any = der::write(der::OID, &oid_bytes("2.5.29.37.0"));
        extensions(t).push(new_extension(PURPOSES, false, &der::write(der::SEQUENCE, &any)));
    }),
    ("K14", "an alternative name", |t| {
        let name = der::write(der::SEQUENCE, &der::write(0x82, b"td.example"));
        extensions(t).push(new_extension("2.5.29.17", false, &name));
    }),
    ("K15", "an unknown extension", |t| {
        extensions(t).push(new_extension("1.2.3.4", true, &[5, 0]));
    }),
    ("K16", "no constraints", |t| {
        extensions(t).retain(|e| e.children()[0].content() != oid_bytes("2.5.29.30"));
    }),
    ("K16", "a constraint that is not critical", |t| set_critical(t, "2.5.29.30", false)),
    ("K16", "a URI constraint", |t| set_value(t, "2.5.29.30", &constraint(0x86, b"td.example"))),
    ("K16", "addresses left free", |t| set_value(t, "2.5.29.30", &constraint(0x82, b"td.example"))),
    ("K17", "a path length of one", |t| set_value(t, BASIC, &[0x30, 6, 1, 1, 0xff, 2, 1, 1])),
    ("K17", "no path length", |t| set_value(t, BASIC, &[0x30, 3, 1, 1, 0xff])),
    ("K17", "CA:FALSE", |t| set_value(t, BASIC, &[0x30, 0])),
    ("K20", "another root's key identifier", |t| {
        let id = der::write(0x80, &[7; 20]);
        set_value(t, AUTHORITY_KEY, &der::write(der::SEQUENCE, &id));
    }),
    ("K20", "a key identifier by another hash", |t| {
        set_value(t, SUBJECT_KEY, &der::write(der::OCTET_STRING, &[7; 20]));
    }),
    ("K21", "a policy", |t| {
        let any = der::write(der::SEQUENCE, &der::write(der::OID, &oid_bytes("2.5.29.32.0")));
        extensions(t).push(new_extension("2.5.29.32", false, &der::write(der::SEQUENCE, &any)));
    }),
    ("K22", "a subject that is not of its key", |t| t[5] = tree::common_name("Segwan issuing")),
    ("K24", "a default that is written out", |t| {
        extensions(t)[0].children_mut().retain(|part| part.tag() != der::BOOLEAN);
        extensions(t)[0].children_mut().insert(1, Node::Value(der::BOOLEAN, vec![0]));
    }),
];

fn rules(issuing: &[u8], root: &[u8], key: &[u8]) -> Vec<&'static str> {
    let findings = check_issuing(issuing, root, key, NOW).err().unwrap_or_default();
    findings.iter().map(|finding| finding.rule).collect()
}

// PKI-62, PKI-12
#[test]
fn each_mutant_of_an_issuing_certificate_is_caught_by_its_rule_alone() {
    let (root, issuing) = hierarchy();
    let key = issuing.key.public_key();
    assert_eq!(rules(&issuing.der, &root.der, &key), [""; 0]);
    for (rule, what, edit) in ISSUING {
        let mutant = resigned(&issuing.der, &root.key, edit);
        assert_eq!(rules(&mutant, &root.der, &key), [rule], "{what}");
    }
    let mut whole = tree::read(&issuing.der).remove(0);
    let mut bits = whole.children()[2].content().to_vec();
    *bits.last_mut().unwrap() ^= 1;
    whole.children_mut()[2] = Node::Value(der::BIT_STRING, bits);
    assert_eq!(rules(&bytes(&whole), &root.der, &key), ["K13"]);
}

// PKI-12, PKI-14
#[test]
fn a_chain_for_another_key_or_under_another_root_is_refused_by_its_rule() {
    let (root_here, issuing) = hierarchy();
    let other = PrivateKey::generate().unwrap().public_key();
    assert_eq!(rules(&issuing.der, &root_here.der, &other), ["K7"]);
    let key = issuing.key.public_key();
    assert_eq!(rules(&issuing.der, &root().der, &key), ["K4", "K13", "K20"]);
    assert_eq!(rules(&root_here.der, &root_here.der, &root_here.key.public_key()).len(), 6);
    // Constraints of our own making never hold a URI.
    let constraints = Constraints::of("td.example").der();
    assert!(!constraints.windows(2).any(|w| w[0] == 0x86));
}

// PKI-62
#[test]
fn an_issuing_certificate_for_the_roots_own_key_is_caught_by_k19() {
    let (root, issuing) = hierarchy();
    let own = root.key.public_key();
    let mutant = resigned(&issuing.der, &root.key, |t| t[6] = tree::read(&own).remove(0));
    assert_eq!(rules(&mutant, &root.der, &own), ["K19", "K20", "K22"]);
    let mut off = issuing.key.public_key();
    *off.last_mut().unwrap() ^= 1;
    let mutant = resigned(&issuing.der, &root.key, |t| t[6] = tree::read(&off).remove(0));
    // Another key is another identifier and another subject: three rules cannot but speak.
    assert_eq!(rules(&mutant, &root.der, &off), ["K18", "K20", "K22"]);
}
