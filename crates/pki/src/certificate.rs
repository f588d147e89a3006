//! `Certificate`: what a certificate says, as far as a decision about trust reads it.
//!
//! Reading decides nothing: path and signatures are webpki's, the rules are the verifier's
//! (`segwan/tls/verify.rs`).

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::key::hex;

/// The readable part of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number, its content octets as encoded.
    pub serial: Vec<u8>,
    /// Issuer's name as text.
    pub issuer: String,
    /// Whether the subject has no name.
    pub subject_is_empty: bool,
    /// First second of validity, Unix seconds.
    pub not_before: i64,
    /// Last second of validity, Unix seconds.
    pub not_after: i64,
    /// Key identifier of the issuer.
    pub authority_key: Option<Vec<u8>>,
    /// Key identifier of its own key.
    pub subject_key: Option<Vec<u8>>,
    /// Names in the subject alternative name, in their order.
    pub names: Vec<Name>,
    /// Whether that extension is critical.
    pub names_are_critical: bool,
    /// The extended key usages, if the extension is there.
    pub purposes: Option<Purposes>,
    /// `CA:TRUE`.
    pub is_ca: bool,
    /// Whether the basic constraints are critical.
    pub constraints_are_critical: bool,
    /// `keyCertSign`, if there is a key usage at all.
    pub may_sign_certificates: Option<bool>,
    /// Whether name constraints are there, and critical.
    pub name_constraints: Option<bool>,
    /// A critical extension that nobody here understands, as dotted OID.
    pub unknown_critical: Option<String>,
    /// Kind and size of the public key.
    pub key: KeyKind,
    /// The public key as a `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
    /// Whether the key usage is critical and says `digitalSignature` and nothing else.
    pub only_signs_data: bool,
}

/// One alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A URI.
    Uri(String),
    /// A DNS name.
    Dns(String),
    /// Anything else: addresses, mail boxes, malformed names.
    Other,
}

/// What the extended key usage allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purposes {
    /// `serverAuth`.
    pub server: bool,
    /// `clientAuth`.
    pub client: bool,
    /// `anyExtendedKeyUsage`.
    pub any: bool,
}

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

impl Certificate {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// If it is not exactly one well-formed certificate, or has one extension twice.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| "it is not well-formed DER".to_owned())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow it", rest.len()));
        }
        certificate.extensions_map().map_err(|_| "it has one extension twice".to_owned())?;
        let mut read = Self {
            serial: certificate.raw_serial().to_vec(),
            issuer: certificate.issuer().to_string(),
            subject_is_empty: certificate.subject().iter_rdn().next().is_none(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            authority_key: None,
            subject_key: None,
            names: Vec::new(),
            names_are_critical: false,
            purposes: None,
            is_ca: false,
            constraints_are_critical: false,
            may_sign_certificates: None,
            name_constraints: None,
            unknown_critical: None,
            key: key_kind(&certificate),
            public_key: certificate.public_key().raw.to_vec(),
            only_signs_data: false,
        };
        for extension in certificate.iter_extensions() {
            read.take(extension)?;
        }
        Ok(read)
    }

    /// The serial number in lower-case hex.
    #[must_use]
    pub fn serial_hex(&self) -> String {
        hex(&self.serial)
    }

    /// The issuer's key identifier in lower-case hex, or its name where there is none.
    #[must_use]
    pub fn issuer_key_or_name(&self) -> String {
        self.authority_key.as_deref().map_or_else(|| self.issuer.clone(), hex)
    }

    fn take(
        &mut self,
        extension: &x509_parser::extensions::X509Extension<'_>,
    ) -> Result<(), String> {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                self.names_are_critical = extension.critical;
                self.names = san.general_names.iter().map(name).collect();
            }
            ParsedExtension::ExtendedKeyUsage(eku) => {
                self.purposes = Some(Purposes {
                    server: eku.server_auth,
                    client: eku.client_auth,
                    any: eku.any,
                });
            }
            ParsedExtension::BasicConstraints(constraints) => {
                self.is_ca = constraints.ca;
                self.constraints_are_critical = extension.critical;
            }
            ParsedExtension::KeyUsage(usage) => {
                self.may_sign_certificates = Some(usage.key_cert_sign());
                // Bit 0 of the extension is the lowest bit here.
                self.only_signs_data = extension.critical && usage.flags == 1;
            }
            ParsedExtension::AuthorityKeyIdentifier(aki) => {
                self.authority_key = aki.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key = Some(id.0.to_vec()),
            ParsedExtension::NameConstraints(_) => self.name_constraints = Some(extension.critical),
            ParsedExtension::ParseError { .. } => {
                return Err(format!("its extension {} is malformed", extension.oid));
            }
            _ if extension.critical => {
                self.unknown_critical = Some(extension.oid.to_id_string());
            }
            _ => {}
        }
        Ok(())
    }
}

fn name(general: &GeneralName<'_>) -> Name {
    match general {
        GeneralName::URI(uri) => Name::Uri((*uri).to_owned()),
        GeneralName::DNSName(dns) => Name::Dns((*dns).to_owned()),
        _ => Name::Other,
    }
}

fn key_kind(certificate: &X509Certificate<'_>) -> KeyKind {
    let spki = certificate.public_key();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn made(edit: impl FnOnce(&mut rcgen::CertificateParams)) -> Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = vec![rcgen::SanType::URI("spiffe://td/app".try_into().unwrap())];
        edit(&mut params);
        Certificate::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn names_purposes_and_key_are_read() {
        let read = made(|params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        });
        assert_eq!(read.names, [Name::Uri("spiffe://td/app".to_owned())]);
        assert_eq!(read.purposes, Some(Purposes { server: false, client: true, any: false }));
        assert_eq!(read.key, KeyKind::P256);
        assert!(!read.is_ca && read.not_before < read.not_after);
    }

    // PKI-16
    #[test]
    fn an_absent_key_usage_is_told_from_an_empty_one() {
        assert_eq!(made(|_| {}).purposes, None);
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        assert!(Certificate::read(b"").is_err());
        assert!(Certificate::read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
