//! Certificates that may sign others: roots, issuing certificates, and the ones that join roots.

use super::request::RequestedKey;
use super::{Authority, BACKDATED, Constraints, DAY, Leaf, Release, X509Error, instant};
use crate::certificate::Certificate;
use crate::key::{PrivateKey, hex, sha256};
use crate::lint::{self, MeantAuthority, Standing, der};
use crate::profile::Profile;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, IsCa,
    Issuer as Signer, KeyIdMethod, KeyUsagePurpose, SerialNumber, SigningKey,
    string::PrintableString,
};
use rustls_pki_types::CertificateDer;
use segwan_core::identity::TrustDomain;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer, X509Certificate};

const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
const SUBJECT_KEY: &[u64] = &[2, 5, 29, 14];

/// What the holder of a root decides about an issuing certificate.
#[derive(Debug, Clone, Copy)]
pub struct IssuingTerms<'a> {
    /// 16 bytes, positive.
    pub serial: [u8; 16],
    /// The present, Unix seconds.
    pub now: i64,
    /// Life from now, in days; it is cut to end before the root does.
    pub days: i64,
    /// What it may speak for.
    pub constraints: &'a Constraints,
}

impl Authority {
    /// A root for a trust domain: ECDSA P-384, ten years, a subject of its own for each key.
    ///
    /// # Errors
    /// If the library cannot sign it, or the self-check finds anything.
    pub fn root(
        trust_domain: &str,
        key: PrivateKey,
        serial: [u8; 16],
        now: i64,
    ) -> Result<Self, X509Error> {
        let name = subject(trust_domain, "root", &key.public_key());
        let mut params = authority_params(name, serial, now, now + 3652 * DAY);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = params.self_signed(key.pair()).map_err(|e| X509Error::Signing(e.to_string()))?;
        let der = made.der().to_vec();
        checked(
            &der,
            &MeantAuthority {
                standing: Standing::Root,
                issuer: &der,
                public_key: Some(&key.public_key()),
                constraints: None,
                now,
            },
        )?;
        Ok(Self { der, key })
    }

    /// An issuing certificate under this root with the default name constraints.
    ///
    /// # Errors
    /// As [`issuing_within`](Self::issuing_within).
    pub fn issuing(
        &self,
        trust_domain: &str,
        key: PrivateKey,
        serial: [u8; 16],
        now: i64,
        days: i64,
    ) -> Result<Self, X509Error> {
        self.issuing_within(trust_domain, key, serial, now, days, &Constraints::of(trust_domain))
    }

    /// An issuing certificate under this root: no further authority below it, DNS and IP
    /// constraints only (a URI constraint would make rustls refuse every leaf, DEP-09), and a
    /// subject of its own for each key (PKI-15).
    ///
    /// # Errors
    /// If the library cannot sign it, or the self-check finds anything.
    pub fn issuing_within(
        &self,
        trust_domain: &str,
        key: PrivateKey,
        serial: [u8; 16],
        now: i64,
        days: i64,
        constraints: &Constraints,
    ) -> Result<Self, X509Error> {
        let info = key.public_key();
        let requested = RequestedKey::of(&info).map_err(X509Error::Signing)?;
        let terms = IssuingTerms { serial, now, days, constraints };
        Ok(Self { der: self.sign_issuing(trust_domain, &requested, &terms)?, key })
    }

    /// Signs the issuing certificate that a request from an air gap asks for
    /// ([`issuing_request`]). Taken are the key and the trust domain; the rest is the terms'.
    ///
    /// # Errors
    /// If the request is not acceptable, its subject is not the one for its key, or the
    /// self-check finds anything.
    pub fn sign_issuing_request(
        &self,
        request: &[u8],
        terms: &IssuingTerms<'_>,
    ) -> Result<Vec<u8>, X509Error> {
        let key = RequestedKey::read(request)?;
        let trust_domain = requested_domain(request, &key).map_err(X509Error::Request)?;
        self.sign_issuing(&trust_domain, &key, terms)
    }

    fn sign_issuing(
        &self,
        trust_domain: &str,
        key: &RequestedKey,
        terms: &IssuingTerms<'_>,
    ) -> Result<Vec<u8>, X509Error> {
        let end = (terms.now + terms.days * DAY).min(self.last_second()? - 1);
        let name = subject(trust_domain, "issuing", key.public_key());
        let mut params = authority_params(name, terms.serial, terms.now, end);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.use_authority_key_identifier_extension = true;
        params.custom_extensions = vec![name_constraints(terms.constraints)];
        let made = params
            .signed_by(key, &self.signer(self.key.pair())?)
            .map_err(|e| X509Error::Signing(e.to_string()))?;
        let der = made.der().to_vec();
        checked(
            &der,
            &MeantAuthority {
                standing: Standing::Issuing,
                issuer: &self.der,
                public_key: Some(key.public_key()),
                constraints: Some(terms.constraints),
                now: terms.now,
            },
        )?;
        Ok(der)
    }

    /// A certificate for another root's key and name, signed by this one: what an agent that slept
    /// through a rotation needs to believe the other root's leaves (`pki.md` section 12.1).
    ///
    /// # Errors
    /// If the other root cannot be read or has another kind of key, or the self-check finds
    /// anything.
    pub fn cross_sign(
        &self,
        other_root: &[u8],
        serial: [u8; 16],
        now: i64,
    ) -> Result<Vec<u8>, X509Error> {
        let other = Certificate::read(other_root).map_err(X509Error::Request)?;
        let key = RequestedKey::of(&other.public_key).map_err(X509Error::Request)?;
        let id = other
            .subject_key
            .ok_or_else(|| X509Error::Request("the other root has no key identifier".to_owned()))?;
        let end = other.not_after.min(self.last_second()? - 1);
        let name = subject_of(other_root).map_err(X509Error::Request)?;
        let mut params = authority_params(name, serial, now, end);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = KeyIdMethod::PreSpecified(id);
        let made = params
            .signed_by(&key, &self.signer(self.key.pair())?)
            .map_err(|e| X509Error::Signing(e.to_string()))?;
        let der = made.der().to_vec();
        checked(
            &der,
            &MeantAuthority {
                standing: Standing::Cross,
                issuer: &self.der,
                public_key: Some(&other.public_key),
                constraints: None,
                now,
            },
        )?;
        same_subject(&der, other_root).map_err(X509Error::SelfCheck)?;
        Ok(der)
    }

    /// Issues a leaf that nobody gets, through the whole self-check: whether this issuing
    /// certificate works under that root at all.
    ///
    /// # Errors
    /// With what the self-check found.
    pub fn trial(
        &self,
        trust_domain: &TrustDomain,
        root: &[u8],
        now: i64,
    ) -> Result<(), X509Error> {
        let failed = |what: String| X509Error::Signing(what);
        let identity = trust_domain.identity("segwan/trial").map_err(|e| failed(e.to_string()))?;
        let key = PrivateKey::generate().map_err(|e| failed(e.to_string()))?;
        let key = RequestedKey::of(&key.public_key()).map_err(failed)?;
        let begin = Certificate::read(&self.der).map_err(failed)?.not_before;
        let serial = super::SerialDraw::new().draw()?;
        let leaf =
            Leaf::new(identity, Profile::Peer, serial, begin.max(now - BACKDATED), now + 600);
        let intent = self.intent(&leaf, &key)?;
        self.release(&leaf, &key, &Release { intent, root, now, denied: &[] }).map(|_| ())
    }

    /// The key identifier of this authority in lower-case hex.
    #[must_use]
    pub fn key_id(&self) -> String {
        key_id(&self.key.public_key())
    }

    pub(super) fn signer<'k, K: SigningKey>(
        &self,
        key: &'k K,
    ) -> Result<Signer<'static, &'k K>, X509Error> {
        let der = CertificateDer::from(self.der.as_slice()).into_owned();
        Signer::from_ca_cert_der(&der, key).map_err(|e| X509Error::Signing(e.to_string()))
    }

    fn last_second(&self) -> Result<i64, X509Error> {
        Certificate::read(&self.der).map(|read| read.not_after).map_err(X509Error::Signing)
    }
}

/// A request for an issuing certificate, to be signed where the root key is: its subject, and
/// the extensions that the certificate shall have, so that plain OpenSSL can copy them.
///
/// # Errors
/// If the library cannot write it.
pub fn issuing_request(
    key: &PrivateKey,
    trust_domain: &str,
    constraints: &Constraints,
) -> Result<Vec<u8>, X509Error> {
    let info = key.public_key();
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(trust_domain, "issuing", &info);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let id = sha256(&info);
    let id = der::write(der::OCTET_STRING, id.get(..20).unwrap_or_default());
    params.custom_extensions =
        vec![name_constraints(constraints), CustomExtension::from_oid_content(SUBJECT_KEY, id)];
    let request = params.serialize_request(key.pair());
    request.map(|request| request.der().to_vec()).map_err(|e| X509Error::Signing(e.to_string()))
}

/// The extension file with which `openssl x509 -req -extfile` signs such a request. The key
/// identifier is written out, because OpenSSL's own would be another hash.
#[must_use]
pub fn issuing_extensions(key: &PrivateKey, constraints: &Constraints) -> String {
    format!(
        "basicConstraints=critical,CA:TRUE,pathlen:0\n\
         keyUsage=critical,keyCertSign,cRLSign\n\
         subjectKeyIdentifier={}\n\
         authorityKeyIdentifier=keyid:always\n\
         {}\n",
        key_id(&key.public_key()),
        constraints.openssl()
    )
}

/// The trust domain that a request for an issuing certificate (DER) names.
///
/// # Errors
/// If the request is not acceptable.
pub fn requested_trust_domain(request: &[u8]) -> Result<String, X509Error> {
    let key = RequestedKey::read(request)?;
    requested_domain(request, &key).map_err(X509Error::Request)
}

/// The trust domain of a request for an issuing certificate, whose subject must be exactly the
/// one that this key has in it.
fn requested_domain(request: &[u8], key: &RequestedKey) -> Result<String, String> {
    let (_, read) = X509CertificationRequest::from_der(request)
        .map_err(|_| "it is not well-formed".to_owned())?;
    let name = &read.certification_request_info.subject;
    let organization = name.iter_organization().next().and_then(|o| o.as_str().ok());
    let domain = organization
        .and_then(|text| text.parse::<TrustDomain>().ok())
        .ok_or("its subject names no trust domain")?
        .to_string();
    let expected = format!("O={domain}, CN={}", common_name("issuing", key.public_key()));
    if name.to_string() == expected {
        Ok(domain)
    } else {
        let found = segwan_core::audit::shown(name.to_string().as_bytes());
        Err(format!("its subject is `{found}`, and for its key it would be `{expected}`"))
    }
}

/// The subject of a certificate, attribute by attribute.
fn subject_of(der: &[u8]) -> Result<DistinguishedName, String> {
    let (_, read) = X509Certificate::from_der(der)
        .map_err(|_| "the other root is not well-formed".to_owned())?;
    let mut name = DistinguishedName::new();
    for attribute in read.subject().iter_attributes() {
        let arcs = attribute.attr_type().iter().map(Iterator::collect::<Vec<u64>>);
        let text = attribute.as_str().map_err(|_| "its subject holds no text".to_owned())?;
        let printable = attribute.attr_value().tag() == Tag::PrintableString;
        let value = match PrintableString::try_from(text) {
            Ok(value) if printable => DnValue::PrintableString(value),
            _ => DnValue::Utf8String(text.to_owned()),
        };
        name.push(DnType::from_oid(&arcs.unwrap_or_default()), value);
    }
    Ok(name)
}

/// Verifiers match names byte for byte.
fn same_subject(made: &[u8], other: &[u8]) -> Result<(), String> {
    let raw = |der| X509Certificate::from_der(der).map(|(_, c)| c.subject().as_raw().to_vec());
    match (raw(made), raw(other)) {
        (Ok(made), Ok(other)) if made == other => Ok(()),
        _ => Err("its subject is not written as the other root's".to_owned()),
    }
}

fn checked(der: &[u8], meant: &MeantAuthority<'_>) -> Result<(), X509Error> {
    match lint::authority(der, meant).as_slice() {
        [] => Ok(()),
        findings => Err(X509Error::SelfCheck(lint::sentence(findings))),
    }
}

/// The key identifier of a `SubjectPublicKeyInfo`: 20 bytes of its SHA-256 (RFC 7093), in hex.
fn key_id(info: &[u8]) -> String {
    hex(sha256(info).get(..20).unwrap_or_default())
}

fn common_name(what: &str, info: &[u8]) -> String {
    let id = key_id(info);
    format!("Segwan {what} {}", id.get(..8).unwrap_or(&id))
}

/// Two issuers of one name would answer for each other's revocations, so the key is in it.
fn subject(trust_domain: &str, what: &str, info: &[u8]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, trust_domain);
    name.push(DnType::CommonName, common_name(what, info));
    name
}

fn name_constraints(constraints: &Constraints) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(NAME_CONSTRAINTS, constraints.der());
    extension.set_criticality(true);
    extension
}

fn authority_params(
    name: DistinguishedName,
    serial: [u8; 16],
    now: i64,
    not_after: i64,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = instant!(now - BACKDATED);
    params.not_after = instant!(not_after);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}
