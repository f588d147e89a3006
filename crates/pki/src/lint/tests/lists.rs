//! Mutants of revocation lists.

use super::new_extension;
use super::tree::{self, Node, bytes, oid_bytes, resigned};
use crate::key::PrivateKey;
use crate::lint::{crl, der};
use crate::x509::Authority;
use crate::x509::tests::{NOW, hierarchy};

/// A good list of two entries, written by hand from RFC 5280 section 5.1.
fn list(issuing: &Authority) -> Vec<u8> {
    let certificate = tree::read(&issuing.der).remove(0);
    let fields = certificate.children()[0].children();
    let own = fields[7].children()[0].children();
    let own = own.iter().find(|e| e.children()[0].content() == oid_bytes("2.5.29.14")).unwrap();
    let id = tree::read(own.children().last().unwrap().content()).remove(0);
    let key = der::write(der::SEQUENCE, &der::write(0x80, id.content()));
    let algorithm = Node::Value(der::OID, oid_bytes("1.2.840.10045.4.3.2"));
    let algorithm = Node::Parts(der::SEQUENCE, vec![algorithm]);
    let time = |text: &[u8]| Node::Value(der::UTC_TIME, text.to_vec());
    let entry = |serial: u8| {
        let reason = new_extension("2.5.29.21", false, &[0x0a, 1, 1]);
        let reason = Node::Parts(der::SEQUENCE, vec![reason]);
        let serial = Node::Value(2, vec![serial; 16]);
        Node::Parts(der::SEQUENCE, vec![serial, time(b"260921000000Z"), reason])
    };
    let number = new_extension("2.5.29.20", false, &[2, 2, 1, 0]);
    let extensions = vec![new_extension("2.5.29.35", false, &key), number];
    let fields = Node::Parts(
        der::SEQUENCE,
        vec![
            Node::Value(2, vec![1]),
            algorithm.clone(),
            fields[5].clone(),
            time(b"260921000000Z"),
            time(b"260928000000Z"),
            Node::Parts(der::SEQUENCE, vec![entry(3), entry(4)]),
            Node::Parts(0xa0, vec![Node::Parts(der::SEQUENCE, extensions)]),
        ],
    );
    let whole = vec![fields, algorithm, Node::Value(der::BIT_STRING, vec![0])];
    resigned(&bytes(&Node::Parts(der::SEQUENCE, whole)), &issuing.key, |_| {})
}

fn extensions(fields: &mut [Node]) -> &mut Vec<Node> {
    fields[6].children_mut()[0].children_mut()
}

type Row = (&'static str, fn(&mut Vec<Node>));

const MUTANTS: [Row; 18] = [
    ("its version is not 2", |t| {
        t.remove(0);
        // Without a version there are no extensions.
        t.pop();
        t[4].children_mut().iter_mut().for_each(|entry| entry.children_mut().truncate(2));
    }),
    ("its algorithm inside is", |t| {
        t[1].children_mut()[0] = Node::Value(der::OID, oid_bytes("1.2.840.10045.4.3.3"));
    }),
    ("its issuer is `CN=other`", |t| t[2] = tree::common_name("other")),
    ("it is in force from second", |t| {
        t[3] = Node::Value(der::UTC_TIME, b"260922000000Z".to_vec())
    }),
    ("it is in force from second", |t| {
        t[4] = Node::Value(der::UTC_TIME, b"260921000001Z".to_vec())
    }),
    ("it does not say when the next one comes", |t| {
        t.remove(4);
    }),
    ("it has 0 numbers, not one", |t| {
        extensions(t).pop();
    }),
    ("it has 2 numbers, not one", |t| {
        let number = extensions(t)[1].clone();
        extensions(t).push(number);
    }),
    ("its extension 2.5.29.20 is critical", |t| {
        extensions(t)[1] = new_extension("2.5.29.20", true, &[2, 1, 1]);
    }),
    ("its extension 2.5.29.20 is malformed", |t| {
        extensions(t)[1] = new_extension("2.5.29.20", false, &[2, 1, 0xff]);
    }),
    ("is over 20 bytes", |t| {
        let number = der::write(2, &[1; 21]);
        extensions(t)[1] = new_extension("2.5.29.20", false, &number);
    }),
    ("it has 0 key identifiers of its issuer, not one", |t| {
        extensions(t).remove(0);
    }),
    ("its key identifier is 0707, and its issuer's", |t| {
        let id = der::write(der::SEQUENCE, &der::write(0x80, &[7, 7]));
        extensions(t)[0] = new_extension("2.5.29.35", false, &id);
    }),
    ("its extension 2.5.29.27 is critical", |t| {
        extensions(t).push(new_extension("2.5.29.27", true, &[2, 1, 1]));
    }),
    ("it has the unknown extension 2.5.29.28", |t| {
        extensions(t).push(new_extension("2.5.29.28", false, &[0x30, 3, 0x84, 1, 0xff]));
    }),
    ("is there twice or out of order", |t| t[5].children_mut().reverse()),
    ("is there twice or out of order", |t| {
        let again = t[5].children()[1].clone();
        t[5].children_mut().push(again);
    }),
    ("has a critical extension", |t| {
        let reason = new_extension("2.5.29.29", true, &[0x30, 0]);
        t[5].children_mut()[0].children_mut()[2] = Node::Parts(der::SEQUENCE, vec![reason]);
    }),
];

// PKI-62, PKI-43
#[test]
fn each_mutant_of_a_list_is_caught_by_k23() {
    let (root, issuing) = hierarchy();
    let good = list(&issuing);
    assert_eq!(crl(&good, &issuing.der, NOW), []);
    for (sentence, edit) in MUTANTS {
        let mutant = resigned(&good, &issuing.key, edit);
        let findings = crl(&mutant, &issuing.der, NOW);
        let [finding] = findings.as_slice() else { panic!("{sentence}: {findings:?}") };
        assert_eq!(finding.rule, "K23");
        assert!(finding.sentence.contains(sentence), "{} is not `{sentence}`", finding.sentence);
    }
    let foreign = resigned(&good, &PrivateKey::generate().unwrap(), |_| {});
    let said = crl(&foreign, &issuing.der, NOW).remove(0).sentence;
    assert_eq!(said, "its issuer's key did not sign it");
    assert_eq!(crl(&good, &root.der, NOW).len(), 1);
    assert_eq!(crl(&[good.as_slice(), &[0]].concat(), &issuing.der, NOW).len(), 1);
}

// PKI-15: the list of one issuing key says nothing about another's.
#[test]
fn a_list_of_one_issuing_key_is_none_of_another() {
    let (root, one) = hierarchy();
    let key = PrivateKey::generate().unwrap();
    let two = root.issuing("td.example", key, [5; 16], NOW, 365).unwrap();
    let findings = crl(&list(&one), &two.der, NOW);
    assert!(findings[0].sentence.starts_with("its issuer is `O=td.example, CN=Segwan issuing "));
}

// PKI-44: an empty list is a list.
#[test]
fn an_empty_list_is_good() {
    let (_, issuing) = hierarchy();
    let empty = resigned(&list(&issuing), &issuing.key, |t| {
        t.remove(5);
    });
    assert_eq!(crl(&empty, &issuing.der, NOW), []);
}
