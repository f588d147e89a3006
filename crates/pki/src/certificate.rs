//! `Certificate`: what a certificate says, as far as a decision about trust reads it.
//!
//! Reading decides nothing: path and signatures are webpki's, the rules are the verifier's
//! (`segwan/tls/verify.rs`).

mod key;

pub use key::KeyKind;
pub(crate) use key::{Allowed, allowed};

use crate::key::hex;
use crate::profile::Profile;
use key::kind_of;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// Most bytes kept of an extension that nobody here understands.
const OTHER_BYTES: usize = 128;

/// The readable part of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number, its content octets as encoded.
    pub serial: Vec<u8>,
    /// Issuer's name as text.
    pub issuer: String,
    /// Subject's name in DER.
    pub subject: Vec<u8>,
    /// Whether the subject has no name.
    pub subject_is_empty: bool,
    /// Organizational units of the subject, in their order; `None` is one whose value is no text.
    pub units: Vec<Option<String>>,
    /// First second of validity, Unix seconds.
    pub not_before: i64,
    /// Last second of validity, Unix seconds.
    pub not_after: i64,
    /// Whether subject and issuer are one name.
    pub is_self_issued: bool,
    /// Key identifier of the issuer.
    pub authority_key: Option<Vec<u8>>,
    /// Whether the issuer's key is named at all, if only by name and serial.
    pub names_issuer_key: bool,
    /// Whether a key identifier is critical, which RFC 5280 section 4.2.1 forbids.
    pub key_identifiers_are_critical: bool,
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
    /// `cRLSign`, if there is a key usage at all.
    pub may_sign_lists: Option<bool>,
    /// Whether name constraints are there, and critical.
    pub name_constraints: Option<bool>,
    /// Whether it limits the certificate policies below it, which nobody here evaluates.
    pub limits_policies: bool,
    /// A critical extension that nobody here understands, as dotted OID.
    pub unknown_critical: Option<String>,
    /// Extensions that nobody here understands and that are not critical, in their order. One may
    /// be there twice: what that means is for who reads it.
    pub others: Vec<Other>,
    /// Kind and size of the public key.
    pub key: KeyKind,
    /// The public key as a `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
    /// Extensions that nobody here understands and whose value is one text, as dotted OID and text.
    pub texts: Vec<(String, String)>,
    /// Whether the key usage is critical and says `digitalSignature` and nothing else.
    pub only_signs_data: bool,
}

/// An extension that is carried and not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Object identifier, as numbers joined by dots.
    pub oid: String,
    /// The first 128 bytes of its value.
    pub value: Vec<u8>,
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

fn units(subject: &X509Name<'_>) -> Vec<Option<String>> {
    subject.iter_organizational_unit().map(|unit| unit.as_str().ok().map(str::to_owned)).collect()
}

impl Purposes {
    /// The word of the profile whose usages these are.
    #[must_use]
    pub fn profile(self) -> Option<&'static str> {
        let profile = match (self.server, self.client, self.any) {
            (true, false, false) => Profile::Service,
            (false, true, false) => Profile::Client,
            (true, true, false) => Profile::Peer,
            (false, false, _) | (_, _, true) => return None,
        };
        Some(profile.as_str())
    }
}

impl Certificate {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// If it is not exactly one well-formed certificate, or has an extension twice that is read
    /// here or critical.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| "it is not well-formed DER".to_owned())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow it", rest.len()));
        }
        let mut read = Self {
            serial: certificate.raw_serial().to_vec(),
            issuer: certificate.issuer().to_string(),
            subject: certificate.subject().as_raw().to_vec(),
            subject_is_empty: certificate.subject().iter_rdn().next().is_none(),
            units: units(certificate.subject()),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            is_self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            authority_key: None,
            names_issuer_key: false,
            key_identifiers_are_critical: false,
            subject_key: None,
            names: Vec::new(),
            names_are_critical: false,
            purposes: None,
            is_ca: false,
            constraints_are_critical: false,
            may_sign_certificates: None,
            may_sign_lists: None,
            name_constraints: None,
            limits_policies: false,
            unknown_critical: None,
            others: Vec::new(),
            key: kind_of(certificate.public_key()),
            public_key: certificate.public_key().raw.to_vec(),
            texts: Vec::new(),
            only_signs_data: false,
        };
        let mut seen = Vec::new();
        for extension in certificate.iter_extensions() {
            let is_read = !matches!(
                extension.parsed_extension(),
                ParsedExtension::UnsupportedExtension { .. }
            );
            if (is_read || extension.critical) && seen.contains(&&extension.oid) {
                return Err("it has one extension twice".to_owned());
            }
            seen.push(&extension.oid);
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
                self.may_sign_lists = Some(usage.crl_sign());
                // Bit 0 of the extension is the lowest bit here.
                self.only_signs_data = extension.critical && usage.flags == 1;
            }
            ParsedExtension::AuthorityKeyIdentifier(aki) => {
                self.authority_key = aki.key_identifier.as_ref().map(|id| id.0.to_vec());
                self.names_issuer_key = true;
                self.key_identifiers_are_critical |= extension.critical;
            }
            ParsedExtension::SubjectKeyIdentifier(id) => {
                self.subject_key = Some(id.0.to_vec());
                self.key_identifiers_are_critical |= extension.critical;
            }
            ParsedExtension::NameConstraints(constraints) => {
                let none = |trees: &Option<Vec<_>>| trees.as_ref().is_none_or(Vec::is_empty);
                if none(&constraints.permitted_subtrees) && none(&constraints.excluded_subtrees) {
                    return Err("its name constraints are empty".to_owned());
                }
                self.name_constraints = Some(extension.critical);
            }
            ParsedExtension::PolicyConstraints(_) => self.limits_policies = true,
            ParsedExtension::ParseError { .. } => {
                return Err(format!("its extension {} is malformed", extension.oid));
            }
            ParsedExtension::UnsupportedExtension { .. } if !extension.critical => {
                if let Some(text) = one_text(extension.value) {
                    self.texts.push((extension.oid.to_id_string(), text.to_owned()));
                }
                let value = extension.value.iter().copied().take(OTHER_BYTES).collect();
                self.others.push(Other { oid: extension.oid.to_id_string(), value });
            }
            _ if extension.critical => {
                self.unknown_critical = Some(extension.oid.to_id_string());
            }
            _ => {}
        }
        Ok(())
    }
}

/// The text that a value in DER is, if it is one UTF8String, PrintableString or IA5String and
/// nothing else, with its length in its shortest form (X.690 section 10.1). One longer than 255
/// bytes is no name.
fn one_text(der: &[u8]) -> Option<&str> {
    let (tag, length, bytes) = match der {
        [tag, 0x81, length, bytes @ ..] if *length > 0x7f => (*tag, *length, bytes),
        [tag, length, bytes @ ..] if *length <= 0x7f => (*tag, *length, bytes),
        _ => return None,
    };
    let printable = |b: &u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(b);
    let good = match tag {
        0x0c => true,
        0x13 => bytes.iter().all(printable),
        0x16 => bytes.is_ascii(),
        _ => false,
    };
    let whole = bytes.len() == usize::from(length);
    std::str::from_utf8(bytes).ok().filter(|_| good && whole)
}

fn name(general: &GeneralName<'_>) -> Name {
    match general {
        GeneralName::URI(uri) => Name::Uri((*uri).to_owned()),
        GeneralName::DNSName(dns) => Name::Dns((*dns).to_owned()),
        _ => Name::Other,
    }
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

    #[test]
    fn an_extension_is_a_text_only_in_its_one_form() {
        let long = |length: &[u8], bytes: usize| [&[0x0c], length, &vec![b'a'; bytes]].concat();
        for (der, text) in [
            (b"\x0c\x05press".to_vec(), "press"),
            (b"\x13\x05press".to_vec(), "press"),
            (b"\x16\x03a@b".to_vec(), "a@b"),
            (b"\x0c\x02\xc3\xa9".to_vec(), "é"),
            (b"\x0c\x00".to_vec(), ""),
            (long(&[0x7f], 127), &"a".repeat(127)),
            (long(&[0x81, 0x80], 128), &"a".repeat(128)),
        ] {
            assert_eq!(one_text(&der), Some(text));
        }
        for der in [
            &b""[..],
            b"\x0c",
            b"press",
            b"\x0c\x04press",
            b"\x0c\x06press",
            b"\x0c\x81\x05press",
            b"\x0c\x82\x00\x05press",
            b"\x0c\x80press\0\0",
            b"\x13\x03a@b",
            b"\x16\x02\xc3\xa9",
            b"\x0c\x01\xff",
            b"\x04\x05press",
            b"\x14\x05press",
            b"\x1e\x02\0a",
            b"\x2c\x07\x0c\x05press",
            b"\x30\x07\x0c\x05press",
            &long(&[0x81, 0x7f], 127),
            &long(&[0x82, 0x01, 0x00], 256),
        ] {
            assert_eq!(one_text(der), None, "{der:?}");
        }
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
