//! The public key of a certificate: what kind it is of, and which kinds may stand in one of ours.

use aws_lc_rs::signature::{self, ParsedPublicKey};
use std::fmt;
use x509_parser::oid_registry;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A public key, as far as its strength is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// Anything else.
    Other,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("ECDSA on P-256"),
            Self::P384 => f.write_str("ECDSA on P-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa(bits) => write!(f, "RSA of {bits} bits"),
            Self::Other => f.write_str("of another kind"),
        }
    }
}

pub(super) fn kind_of(spki: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let algorithm = &spki.algorithm.algorithm;
    if *algorithm == oid_registry::OID_SIG_ED25519 {
        return KeyKind::Ed25519;
    }
    if *algorithm == oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        return match curve {
            Some(oid) if oid == oid_registry::OID_EC_P256 => KeyKind::P256,
            Some(oid) if oid == oid_registry::OID_NIST_EC_P384 => KeyKind::P384,
            _ => KeyKind::Other,
        };
    }
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) => KeyKind::Rsa(rsa_bits(key.modulus)),
        _ => KeyKind::Other,
    }
}

/// Bits of a modulus, without leading zeros.
fn rsa_bits(modulus: &[u8]) -> usize {
    let significant = modulus.iter().position(|byte| *byte != 0).unwrap_or(modulus.len());
    let Some(first) = modulus.get(significant) else { return 0 };
    (modulus.len() - significant) * 8 - first.leading_zeros() as usize
}

/// A public key that may stand in a certificate of ours.
pub(crate) struct Allowed {
    /// Its kind and size.
    pub(crate) kind: KeyKind,
    /// The bits of the key: a point, or modulus and exponent.
    pub(crate) bits: Vec<u8>,
}

/// Reads a `SubjectPublicKeyInfo` and holds it to what may be certified: ECDSA on P-256 or P-384
/// with an uncompressed point on the curve, RSA of 2048, 3072 or 4096 bits with the exponent
/// 65537 (`pki.md` section 2).
///
/// # Errors
/// With its kind and size, and what is taken.
pub(crate) fn allowed(info: &[u8]) -> Result<Allowed, String> {
    let (_, spki) = SubjectPublicKeyInfo::from_der(info)
        .map_err(|_| "its key is not well-formed".to_owned())?;
    let bits = spki.subject_public_key.data.to_vec();
    let kind = kind_of(&spki);
    let parsed = match kind {
        KeyKind::P256 => ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, &bits),
        KeyKind::P384 => ParsedPublicKey::new(&signature::ECDSA_P384_SHA384_ASN1, &bits),
        KeyKind::Rsa(2048 | 3072 | 4096) => {
            ParsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &bits)
        }
        _ => {
            let name = kind_name(kind, &spki);
            return Err(format!(
                "its key is {name}; taken are ECDSA on P-256 or P-384 and RSA of 2048, 3072 or \
                 4096 bits"
            ));
        }
    };
    if parsed.is_err() {
        return Err(format!("its key of {kind} is not valid, such as a point off the curve"));
    }
    match (kind, spki.parsed()) {
        (KeyKind::Rsa(_), Ok(PublicKey::RSA(key))) if key.exponent != [1, 0, 1] => {
            let exponent =
                key.try_exponent().map_or_else(|_| "another".to_owned(), |e| e.to_string());
            Err(format!("its RSA key has the exponent {exponent}, not 65537"))
        }
        (KeyKind::P256 | KeyKind::P384, _) if bits.first() != Some(&4) => {
            Err(format!("its key of {kind} is a compressed point"))
        }
        _ => Ok(Allowed { kind, bits }),
    }
}

/// What people call a kind of key, also one that is not taken.
fn kind_name(kind: KeyKind, spki: &SubjectPublicKeyInfo<'_>) -> String {
    if kind != KeyKind::Other {
        return kind.to_string();
    }
    let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let oid = match curve {
        Some(curve) if spki.algorithm.algorithm == oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY => {
            curve
        }
        _ => spki.algorithm.algorithm.clone(),
    };
    match oid.to_id_string().as_str() {
        "1.2.840.10045.3.1.1" => "ECDSA on P-192".to_owned(),
        "1.3.132.0.33" => "ECDSA on P-224".to_owned(),
        "1.3.132.0.35" => "ECDSA on P-521".to_owned(),
        "1.3.132.0.10" => "ECDSA on secp256k1".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        other => format!("of the kind {other}"),
    }
}
