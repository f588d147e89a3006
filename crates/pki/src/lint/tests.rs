//! One mutant for each rule, and each caught by exactly that rule.

mod authorities;
mod lists;
mod tree;

use super::*;
use crate::key::{PrivateKey, sha256};
use crate::profile::Profile;
use crate::x509::tests::{NOW, hierarchy, requested};
use crate::x509::{Authority, Release};
use tree::{Node, bytes, oid_bytes, resigned};

/// A hierarchy and a leaf with one name of each kind, all of which holds.
struct World {
    root: Authority,
    issuing: Authority,
    leaf: Leaf,
    public_key: Vec<u8>,
    der: Vec<u8>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(edit: impl FnOnce(&mut Leaf)) -> Self {
        let (root, issuing) = hierarchy();
        let identity = "spiffe://td.example/app".parse().unwrap();
        let mut leaf = Leaf::new(identity, Profile::Client, [3; 16], NOW - 300, NOW + 96 * 3600);
        leaf.dns = vec!["app.td.example".to_owned()];
        edit(&mut leaf);
        let key = requested(&PrivateKey::generate().unwrap());
        let intent = issuing.intent(&leaf, &key).unwrap();
        let release = Release { intent, root: &root.der, now: NOW, denied: &[] };
        let der = issuing.release(&leaf, &key, &release).unwrap();
        Self { root, issuing, leaf, public_key: key.public_key().to_vec(), der }
    }

    /// What was meant, with the intent of whatever `der` holds.
    fn meant<'w>(&'w self, der: &[u8]) -> Meant<'w> {
        let whole = tree::read(der).remove(0);
        Meant {
            leaf: &self.leaf,
            public_key: &self.public_key,
            intent: sha256(&bytes(&whole.children()[0])),
            issuer: &self.issuing.der,
            root: &self.root.der,
            now: NOW,
            denied: &[],
        }
    }

    /// What the rules say of a mutant.
    fn rules(&self, der: &[u8]) -> Vec<&'static str> {
        found(der, &self.meant(der))
    }

    /// A mutant of the leaf, signed like the leaf.
    fn mutant(&self, edit: impl FnOnce(&mut Vec<Node>)) -> Vec<u8> {
        resigned(&self.der, &self.issuing.key, edit)
    }
}

fn found(der: &[u8], meant: &Meant<'_>) -> Vec<&'static str> {
    leaf(der, meant).iter().map(|finding| finding.rule).collect()
}

/// Children of the extensions' sequence.
fn extensions(fields: &mut [Node]) -> &mut Vec<Node> {
    fields.last_mut().unwrap().children_mut()[0].children_mut()
}

/// The parts of one extension: identifier, `critical` if it is, value.
fn extension<'t>(fields: &'t mut [Node], arcs: &str) -> &'t mut Vec<Node> {
    let id = oid_bytes(arcs);
    let mut all = extensions(fields).iter_mut();
    all.find(|e| e.children()[0].content() == id).unwrap().children_mut()
}

fn new_extension(arcs: &str, critical: bool, value: &[u8]) -> Node {
    let mut parts = vec![Node::Value(der::OID, oid_bytes(arcs))];
    if critical {
        parts.push(Node::Value(der::BOOLEAN, vec![0xff]));
    }
    parts.push(Node::Value(der::OCTET_STRING, value.to_vec()));
    Node::Parts(der::SEQUENCE, parts)
}

fn set_value(fields: &mut [Node], arcs: &str, value: &[u8]) {
    *extension(fields, arcs).last_mut().unwrap() = Node::Value(der::OCTET_STRING, value.to_vec());
}

fn set_critical(fields: &mut [Node], arcs: &str, critical: bool) {
    let parts = extension(fields, arcs);
    parts.retain(|part| part.tag() != der::BOOLEAN);
    if critical {
        parts.insert(1, Node::Value(der::BOOLEAN, vec![0xff]));
    }
}

/// Appends one general name to the alternative names.
fn add_name(fields: &mut [Node], tag: u8, text: &[u8]) {
    let value = extension(fields, NAMES).last().unwrap().content().to_vec();
    let mut names = tree::read(&value);
    names[0].children_mut().push(Node::Value(tag, text.to_vec()));
    set_value(fields, NAMES, &bytes(&names[0]));
}

const NAMES: &str = "2.5.29.17";
const USAGE: &str = "2.5.29.15";
const BASIC: &str = "2.5.29.19";
const PURPOSES: &str = "2.5.29.37";
const AUTHORITY_KEY: &str = "2.5.29.35";
const SUBJECT_KEY: &str = "2.5.29.14";

type Edit = fn(&mut Vec<Node>);

/// Mutants of the signed fields: the rule that must speak, what is done, and how.
const FIELDS: [(&str, &str, Edit); 41] = [
    ("K1", "an issuer's unique id", |t| {
        t.insert(7, Node::Value(0x81, vec![0, 1]));
    }),
    ("K2", "another serial number", |t| t[1] = Node::Value(2, vec![4; 16])),
    ("K2", "a negative serial number", |t| t[1] = Node::Value(2, vec![0x83; 16])),
    ("K2", "a serial number of 17 bytes", |t| t[1] = Node::Value(2, vec![3; 17])),
    ("K3", "another algorithm inside", |t| {
        t[2].children_mut()[0] = Node::Value(der::OID, oid_bytes("1.2.840.10045.4.3.3"));
    }),
    ("K4", "another issuer", |t| {
        t[3].children_mut().pop();
    }),
    ("K5", "an end one second later", |t| {
        t[4].children_mut()[1] = Node::Value(der::UTC_TIME, b"260925141321Z".to_vec());
    }),
    ("K6", "a time in the long form", |t| {
        let short = t[4].children()[1].content().to_vec();
        let long = [b"20", short.as_slice()].concat();
        t[4].children_mut()[1] = Node::Value(der::GENERALIZED_TIME, long);
    }),
    ("K8", "no URI name", |t| {
        set_value(t, NAMES, &der::write(der::SEQUENCE, &der::write(0x82, b"app.td.example")));
    }),
    ("K8", "two URI names", |t| add_name(t, 0x86, b"spiffe://td.example/admin")),
    ("K9", "a DNS name that is not registered", |t| add_name(t, 0x82, b"localhost")),
    ("K9", "a wildcard", |t| add_name(t, 0x82, b"*.td.example")),
    ("K9", "a mail box", |t| add_name(t, 0x81, b"app@td.example")),
    ("K10", "key agreement beside the signature", |t| set_value(t, USAGE, &[3, 2, 3, 0x88])),
    ("K10", "a key usage that is not critical", |t| set_critical(t, USAGE, false)),
    ("K10", "no key usage", |t| {
        extensions(t).retain(|e| e.children()[0].content() != oid_bytes(USAGE))
    }),
    ("K11", "a critical extended key usage", |t| set_critical(t, PURPOSES, true)),
    ("K11", "serverAuth for a client", |t| {
        set_value(
            t,
            PURPOSES,
            &der::write(der::SEQUENCE, &der::write(der::OID, &oid_bytes("1.3.6.1.5.5.7.3.1"))),
        );
    }),
    ("K11", "any use beside the profile's", |t| {
        let ids =
            ["1.3.6.1.5.5.7.3.2", "2.5.29.37.0"].map(|arcs| der::write(der::OID, &oid_bytes(arcs)));
        set_value(t, PURPOSES, &der::write(der::SEQUENCE, &ids.concat()));
    }),
    ("K11", "no extended key usage", |t| {
        extensions(t).retain(|e| e.children()[0].content() != oid_bytes(PURPOSES));
    }),
    ("K12", "CA:TRUE", |t| set_value(t, BASIC, &[0x30, 6, 1, 1, 0xff, 2, 1, 0])),
    ("K14", "names that are not critical", |t| set_critical(t, NAMES, false)),
    ("K14", "a subject", |t| {
        let name = tree::common_name("app");
        t[5] = name;
    }),
    ("K15", "an extension twice", |t| {
        let again = extensions(t)[0].clone();
        extensions(t).push(again);
    }),
    ("K15", "an unknown extension", |t| {
        extensions(t).push(new_extension("1.2.3.4", false, &[5, 0]))
    }),
    ("K15", "a role that is not registered", |t| {
        extensions(t).push(new_extension("1.3.6.1.4.1.50316.802.1", false, b"\x0c\x05admin"));
    }),
    ("K16", "name constraints", |t| {
        let none = Constraints::of("td.example").der();
        extensions(t).push(new_extension("2.5.29.30", true, &none));
    }),
    ("K17", "basic constraints that are not critical", |t| set_critical(t, BASIC, false)),
    ("K17", "no basic constraints", |t| {
        extensions(t).retain(|e| e.children()[0].content() != oid_bytes(BASIC));
    }),
    ("K20", "another key's identifier", |t| {
        let id = der::write(0x80, &[7; 20]);
        set_value(t, AUTHORITY_KEY, &der::write(der::SEQUENCE, &id));
    }),
    ("K20", "an issuer beside the key identifier", |t| {
        let mut value = tree::read(extension(t, AUTHORITY_KEY).last().unwrap().content());
        let issuer = Node::Parts(0xa1, vec![Node::Parts(0xa4, vec![t[3].clone()])]);
        value[0].children_mut().extend([issuer, Node::Value(0x82, vec![2])]);
        set_value(t, AUTHORITY_KEY, &bytes(&value[0]));
    }),
    ("K20", "no identifier of its own key", |t| {
        extensions(t).retain(|e| e.children()[0].content() != oid_bytes(SUBJECT_KEY));
    }),
    ("K20", "a critical key identifier", |t| set_critical(t, SUBJECT_KEY, true)),
    ("K21", "a place to fetch lists", |t| {
        let uri = der::write(0x86, b"http://td.example/crl");
        let point = [0xa0, 0xa0].iter().fold(uri, |inner, tag| der::write(*tag, &inner));
        let points = der::write(der::SEQUENCE, &der::write(der::SEQUENCE, &point));
        extensions(t).push(new_extension("2.5.29.31", false, &points));
    }),
    ("K21", "a policy", |t| {
        let policy = der::write(der::SEQUENCE, &der::write(der::OID, &oid_bytes("2.5.29.32.0")));
        extensions(t).push(new_extension("2.5.29.32", false, &der::write(der::SEQUENCE, &policy)));
    }),
    ("K24", "a default that is written out", |t| set_value(t, BASIC, &[0x30, 3, 1, 1, 0])),
    ("K24", "an extension that says that it is not critical", |t| {
        extension(t, SUBJECT_KEY).insert(1, Node::Value(der::BOOLEAN, vec![0]));
    }),
    ("K24", "a truth value of 1", |t| {
        extension(t, BASIC)[1] = Node::Value(der::BOOLEAN, vec![1]);
    }),
    ("K24", "named bits with zeros at the end", |t| set_value(t, USAGE, &[3, 2, 0, 0x80])),
    ("K24", "a serial number with a zero before it", |t| {
        t[1] = Node::Value(2, [vec![0], vec![3; 15]].concat());
    }),
    ("K24", "bytes behind an extension's value", |t| set_value(t, BASIC, &[0x30, 0, 5, 0])),
];

// PKI-62
#[test]
fn each_mutant_of_a_field_is_caught_by_its_rule_alone() {
    let world = World::new();
    assert_eq!(world.rules(&world.der), [""; 0]);
    for (rule, what, edit) in FIELDS {
        assert_eq!(world.rules(&world.mutant(edit)), [rule], "{what}");
    }
}

// PKI-62: rules about what lies around the signed fields.
#[test]
fn each_mutant_beside_the_fields_is_caught_by_its_rule_alone() {
    let world = World::new();
    let outside = |edit: fn(&mut Vec<Node>)| {
        let mut whole = tree::read(&world.der);
        edit(whole[0].children_mut());
        bytes(&whole[0])
    };
    // Verified is with the issuer's own algorithm, so the name outside trips no second rule.
    let algorithm = outside(|parts| {
        parts[1].children_mut()[0] = Node::Value(der::OID, oid_bytes("1.2.840.10045.4.3.3"));
    });
    assert_eq!(world.rules(&algorithm), ["K3"]);
    let signature = outside(|parts| {
        let mut bits = parts[2].content().to_vec();
        *bits.last_mut().unwrap() ^= 1;
        parts[2] = Node::Value(der::BIT_STRING, bits);
    });
    assert_eq!(world.rules(&signature), ["K13"]);
    let length = [&[0x30, 0x83, 0], &world.der[2..]].concat();
    assert_eq!(world.der[..2], [0x30, 0x82]);
    assert_eq!(found(&length, &world.meant(&world.der)), ["K24"]);
    let trailing = [world.der.as_slice(), &[5, 0]].concat();
    assert_eq!(found(&trailing, &world.meant(&world.der)), ["K24"]);
    let s = outside(|parts| {
        let mut numbers = tree::read(&parts[2].content()[1..]);
        let s = numbers[0].children()[1].content().to_vec();
        numbers[0].children_mut()[1] = Node::Value(2, [vec![0, 0], s].concat());
        parts[2] = Node::Value(der::BIT_STRING, [vec![0], bytes(&numbers[0])].concat());
    });
    assert_eq!(world.rules(&s), ["K24"]);
    assert_eq!(found(&world.der, &Meant { intent: [0; 32], ..world.meant(&world.der) }), ["K26"]);
}

// PKI-62: rules about what was meant.
#[test]
fn each_mutant_of_the_meaning_is_caught_by_its_rule_alone() {
    let world = World::new();
    let der = world.der.as_slice();
    assert_eq!(found(der, &Meant { now: NOW - 301, ..world.meant(der) }), ["K5"]);
    assert_eq!(found(der, &Meant { now: NOW + 96 * 3600, ..world.meant(der) }), ["K5"]);
    let other = PrivateKey::generate().unwrap().public_key();
    assert_eq!(found(der, &Meant { public_key: &other, ..world.meant(der) }), ["K7"]);
    let denied = [sha256(&world.public_key)];
    assert_eq!(found(der, &Meant { denied: &denied, ..world.meant(der) }), ["K19"]);
    let own = world.issuing.key.public_key();
    let mutant = world.mutant(|t| t[6] = tree::read(&own).remove(0));
    assert_eq!(found(&mutant, &Meant { public_key: &own, ..world.meant(&mutant) }), ["K19"]);
    // A key off the curve, which the request would have had to hold too.
    let mut off = world.public_key.clone();
    *off.last_mut().unwrap() ^= 1;
    let mutant = world.mutant(|t| t[6] = tree::read(&off).remove(0));
    assert_eq!(found(&mutant, &Meant { public_key: &off, ..world.meant(&mutant) }), ["K18"]);
    // A foreign root of the same name and key identifier: no field differs, the path does.
    let foreign = crate::x509::tests::root();
    assert_eq!(found(der, &Meant { root: &foreign.der, ..world.meant(der) }), ["K13"]);
}

// PKI-62: the registration itself asks for what its issuer may not give.
#[test]
fn a_registered_name_outside_the_constraints_is_caught_by_k25_alone() {
    let world = World::new();
    for (tag, text) in [(0x82, b"shop.example".as_slice()), (0x87, &[10, 0, 0, 1])] {
        let mut asked = world.leaf.clone();
        match tag {
            0x82 => asked.dns.push("shop.example".to_owned()),
            _ => asked.ips.push([10, 0, 0, 1].into()),
        }
        let mutant = world.mutant(|t| add_name(t, tag, text));
        assert_eq!(world.rules(&mutant), ["K9", "K25"]);
        let meant = Meant { leaf: &asked, ..world.meant(&mutant) };
        assert_eq!(found(&mutant, &meant), ["K25"]);
    }
}

// PKI-62: each rule has its mutant.
#[test]
fn no_rule_is_without_a_mutant() {
    let here = include_str!("tests.rs");
    let all = [here, include_str!("tests/authorities.rs"), include_str!("tests/lists.rs")].concat();
    for rule in 1..=26 {
        assert!(all.contains(&format!("\"K{rule}\"")), "K{rule}");
    }
}

#[test]
fn lives_outside_the_bounds_are_named_in_seconds() {
    let (root, issuing) = hierarchy();
    let identity: segwan_core::identity::Identity = "spiffe://td.example/app".parse().unwrap();
    let key = requested(&PrivateKey::generate().unwrap());
    for (end, sentence) in [
        (NOW + 91 * 86_400, "K6: its life of 7862700 s is not within 300 s and 7776300 s"),
        (NOW - 1, "K6: its life of 299 s is not within 300 s and 7776300 s"),
    ] {
        let leaf = Leaf::new(identity.clone(), Profile::Peer, [3; 16], NOW - 300, end);
        let intent = issuing.intent(&leaf, &key).unwrap();
        let error = issuing.sign(&leaf, &key, intent, &root.der).unwrap_err();
        assert_eq!(error.to_string(), format!("self-check failed: {sentence}"));
    }
}

#[test]
fn a_display_name_and_a_role_are_held_to_the_registration() {
    let named = |leaf: &mut Leaf| {
        leaf.display_name = Some("app".to_owned());
        leaf.roles = vec!["operator".to_owned()];
    };
    let world = World::with(named);
    assert_eq!(world.rules(&world.der), [""; 0]);
    let other = world.mutant(|t| t[5] = tree::common_name("admin"));
    assert_eq!(world.rules(&other), ["K14"]);
    let role = world.mutant(|t| set_value(t, "1.3.6.1.4.1.50316.802.1", b"\x0c\x05admin"));
    assert_eq!(world.rules(&role), ["K15"]);
}
