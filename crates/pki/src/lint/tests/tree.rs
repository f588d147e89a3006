//! DER as a tree that can be edited, written out and signed again.

use crate::key::PrivateKey;
use crate::lint::der;
use crate::x509::tests::signature;

/// One value: with values inside, or with bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Value(u8, Vec<u8>),
    Parts(u8, Vec<Self>),
}

impl Node {
    pub(super) fn tag(&self) -> u8 {
        match self {
            Self::Value(tag, _) | Self::Parts(tag, _) => *tag,
        }
    }

    pub(super) fn content(&self) -> &[u8] {
        match self {
            Self::Value(_, content) => content,
            Self::Parts(..) => panic!("a node with parts"),
        }
    }

    pub(super) fn children(&self) -> &[Self] {
        match self {
            Self::Parts(_, parts) => parts,
            Self::Value(..) => panic!("a node without parts"),
        }
    }

    pub(super) fn children_mut(&mut self) -> &mut Vec<Self> {
        match self {
            Self::Parts(_, parts) => parts,
            Self::Value(..) => panic!("a node without parts"),
        }
    }
}

/// The values that `der` is.
pub(super) fn read(mut der: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    while !der.is_empty() {
        // Lengths are those of the maker, but values may be anything.
        let (element, rest) = der::first(der).unwrap();
        nodes.push(if element.tag & 0x20 == 0 {
            Node::Value(element.tag, element.content.to_vec())
        } else {
            Node::Parts(element.tag, read(element.content))
        });
        der = rest;
    }
    nodes
}

pub(super) fn bytes(node: &Node) -> Vec<u8> {
    match node {
        Node::Value(tag, content) => der::write(*tag, content),
        Node::Parts(tag, parts) => {
            der::write(*tag, &parts.iter().flat_map(bytes).collect::<Vec<_>>())
        }
    }
}

/// The same certificate or list with its signed fields edited, signed again.
pub(super) fn resigned(
    der: &[u8],
    signer: &PrivateKey,
    edit: impl FnOnce(&mut Vec<Node>),
) -> Vec<u8> {
    let mut whole = read(der).remove(0);
    edit(whole.children_mut()[0].children_mut());
    let signature = signature(signer, &bytes(&whole.children()[0]));
    whole.children_mut()[2] = Node::Value(der::BIT_STRING, [vec![0], signature].concat());
    bytes(&whole)
}

/// The content of an object identifier.
pub(super) fn oid_bytes(arcs: &str) -> Vec<u8> {
    let arcs: Vec<u64> = arcs.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut content = Vec::new();
    for arc in std::iter::once(arcs[0] * 40 + arcs[1]).chain(arcs[2..].iter().copied()) {
        let mut digits = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            digits.insert(0, (rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        content.extend(digits);
    }
    content
}

/// A name of one common name.
pub(super) fn common_name(text: &str) -> Node {
    let attribute = vec![
        Node::Value(der::OID, oid_bytes("2.5.4.3")),
        Node::Value(der::UTF8_STRING, text.as_bytes().to_vec()),
    ];
    let set = Node::Parts(0x31, vec![Node::Parts(der::SEQUENCE, attribute)]);
    Node::Parts(der::SEQUENCE, vec![set])
}
