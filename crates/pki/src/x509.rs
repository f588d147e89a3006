//! The one door to making certificates: root, issuing certificate, leaf, request.
//!
//! Of a request only the public key is taken (`pki.md` section 10); every field of a certificate
//! is set here, and what was signed is read back and compared before it leaves (section 14).

use crate::certificate::{Certificate, KeyKind, Name};
use crate::key::{PrivateKey, hex, sha256};
use crate::profile::Profile;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CidrSubnet,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer as Signer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SanType, SerialNumber,
    SigningKey,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, UnixTime};
use segwan_core::identity::Identity;
use std::cell::RefCell;
use std::time::Duration;

/// Largest request, in bytes of DER.
pub const REQUEST_BYTES: usize = 8 * 1024;
/// Certificates begin so long before they are made, for skewed clocks.
const BACKDATED: i64 = 300;
const DAY: i64 = 86_400;

/// Why no certificate was made. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum X509Error {
    /// The request is not acceptable.
    #[error("the certificate request is refused: {0}")]
    Request(String),
    /// The certificate could not be signed.
    #[error("no certificate could be signed: {0}")]
    Signing(String),
    /// What was signed is not what was meant; it is not released.
    #[error("self-check failed: {0}")]
    SelfCheck(String),
}

/// A certificate that may sign others, with its key.
pub struct Authority {
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// Its key.
    pub key: PrivateKey,
}

/// What a leaf holds. Every name comes from the registration, none from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The one URI name.
    pub identity: Identity,
    /// Its uses.
    pub profile: Profile,
    /// 16 bytes, positive.
    pub serial: [u8; 16],
    /// First second, Unix seconds.
    pub not_before: i64,
    /// Last second, Unix seconds.
    pub not_after: i64,
}

/// A public key whose holder proved that the private one is theirs.
pub struct RequestedKey(rcgen::PublicKey);

/// A request in DER that holds the public key and nothing else.
///
/// # Errors
/// If the library cannot write it.
pub fn certificate_request(key: &PrivateKey) -> Result<Vec<u8>, X509Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(key.pair());
    request.map(|request| request.der().to_vec()).map_err(|e| X509Error::Signing(e.to_string()))
}

impl RequestedKey {
    /// Takes the public key of a request, after checking the request's own signature.
    ///
    /// # Errors
    /// If it is too large, malformed, wrongly signed, or its key is of a kind that is not taken.
    pub fn read(der: &[u8]) -> Result<Self, X509Error> {
        let refused = |what: &str| X509Error::Request(what.to_owned());
        if der.len() > REQUEST_BYTES {
            return Err(refused("it is over 8 KiB"));
        }
        let request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
                .map_err(|_| refused("it is not well-formed, or not signed by its own key"))?;
        let key = request.public_key;
        let known = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384];
        if !known.contains(&key.algorithm()) {
            return Err(refused("its key is not ECDSA on P-256 or P-384"));
        }
        // The kind of key is read from the signature; the request itself must say the same.
        let spki = key.subject_public_key_info();
        if !der.windows(spki.len()).any(|window| window == spki) {
            return Err(refused("its key and its signature are of different kinds"));
        }
        Ok(Self(key))
    }

    /// SHA-256 of the key as a `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.0.subject_public_key_info())
    }
}

impl Authority {
    /// A root for a trust domain: ECDSA P-384, ten years.
    ///
    /// # Errors
    /// If the library cannot sign it.
    pub fn root(
        trust_domain: &str,
        key: PrivateKey,
        serial: [u8; 16],
        now: i64,
    ) -> Result<Self, X509Error> {
        let mut params = authority_params(trust_domain, "root", &key, serial, now, 3652 * DAY);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = params.self_signed(key.pair()).map_err(|e| X509Error::Signing(e.to_string()))?;
        Ok(Self { der: made.der().to_vec(), key })
    }

    /// An issuing certificate under this root: P-256, no further authority below it, DNS and IP
    /// constraints only (a URI constraint would make rustls refuse every leaf, DEP-09).
    ///
    /// # Errors
    /// If the library cannot sign it.
    pub fn issuing(
        &self,
        trust_domain: &str,
        key: PrivateKey,
        serial: [u8; 16],
        now: i64,
        days: i64,
    ) -> Result<Self, X509Error> {
        let mut params = authority_params(trust_domain, "issuing", &key, serial, now, days * DAY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.use_authority_key_identifier_extension = true;
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![
                GeneralSubtree::DnsName(trust_domain.to_owned()),
                GeneralSubtree::DnsName("localhost".to_owned()),
            ],
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        });
        let made = params
            .signed_by(key.pair(), &self.signer(self.key.pair())?)
            .map_err(|e| X509Error::Signing(e.to_string()))?;
        Ok(Self { der: made.der().to_vec(), key })
    }

    /// SHA-256 of what a leaf's signature will cover: recorded as the intent before it is signed.
    ///
    /// # Errors
    /// If the library cannot write it.
    pub fn intent(&self, leaf: &Leaf, key: &RequestedKey) -> Result<[u8; 32], X509Error> {
        let recorder = Recorder { pair: self.key.pair(), expected: None, seen: RefCell::default() };
        leaf_params(leaf)?
            .signed_by(&key.0, &self.signer(&recorder)?)
            .map_err(|e| X509Error::Signing(e.to_string()))?;
        Ok(sha256(&recorder.seen.borrow()))
    }

    /// Signs a leaf whose bytes are those of its intent, and checks what was signed (K1 to K26).
    ///
    /// # Errors
    /// If the bytes are others, or the self-check finds anything; nothing is released then.
    pub fn sign(
        &self,
        leaf: &Leaf,
        key: &RequestedKey,
        intent: [u8; 32],
        root: &[u8],
    ) -> Result<Vec<u8>, X509Error> {
        let recorder =
            Recorder { pair: self.key.pair(), expected: Some(intent), seen: RefCell::default() };
        let made = leaf_params(leaf)?
            .signed_by(&key.0, &self.signer(&recorder)?)
            .map_err(|e| X509Error::Signing(e.to_string()))?;
        let der = made.der().to_vec();
        self.check(leaf, &key.0.subject_public_key_info(), &der, root)
            .map_err(X509Error::SelfCheck)?;
        Ok(der)
    }

    /// The key identifier of this authority in lower-case hex.
    #[must_use]
    pub fn key_id(&self) -> String {
        key_id(&self.key)
    }

    fn signer<'k, K: SigningKey>(&self, key: &'k K) -> Result<Signer<'static, &'k K>, X509Error> {
        let der = CertificateDer::from(self.der.as_slice()).into_owned();
        Signer::from_ca_cert_der(&der, key).map_err(|e| X509Error::Signing(e.to_string()))
    }

    /// Reads the certificate back and compares it, field by field, with what was meant.
    fn check(&self, leaf: &Leaf, spki: &[u8], der: &[u8], root: &[u8]) -> Result<(), String> {
        let read = Certificate::read(der)?;
        let issuer = Certificate::read(&self.der)?;
        let listens = leaf.profile.listens();
        let dials = leaf.profile.dials();
        let purposes =
            read.purposes.is_some_and(|p| p.server == listens && p.client == dials && !p.any);
        let rules = [
            ("K2 serial", read.serial == leaf.serial),
            ("K5 validity", read.not_before == leaf.not_before && read.not_after == leaf.not_after),
            (
                "K5 issuer's life",
                read.not_after < issuer.not_after && read.not_before < read.not_after,
            ),
            ("K7 public key", read.public_key == spki),
            ("K8 identity", read.names == [Name::Uri(leaf.identity.to_string())]),
            ("K10 key usage", read.only_signs_data && read.may_sign_certificates == Some(false)),
            ("K11 purposes", purposes),
            ("K12 no authority", !read.is_ca && read.constraints_are_critical),
            ("K14 names", read.subject_is_empty && read.names_are_critical),
            ("K15 extensions", read.unknown_critical.is_none()),
            ("K16 constraints", read.name_constraints.is_none()),
            ("K18 key", matches!(read.key, KeyKind::P256 | KeyKind::P384)),
            ("K19 own key", read.public_key != issuer.public_key),
            (
                "K20 key identifiers",
                read.authority_key == issuer.subject_key && read.subject_key.is_some(),
            ),
        ];
        if let Some((rule, _)) = rules.iter().find(|(_, holds)| !holds) {
            return Err(format!("rule {rule} does not hold"));
        }
        let usage =
            if listens { webpki::KeyUsage::server_auth() } else { webpki::KeyUsage::client_auth() };
        for at in [leaf.not_before.max(issuer.not_before), leaf.not_after - 1] {
            verify(der, &self.der, root, usage, at).map_err(|e| format!("rule K13 path: {e}"))?;
        }
        Ok(())
    }
}

/// Verifies the path leaf, issuing, root at one second.
fn verify(
    leaf: &[u8],
    issuing: &[u8],
    root: &[u8],
    usage: webpki::KeyUsage,
    at: i64,
) -> Result<(), String> {
    let der = CertificateDer::from(leaf);
    let root = CertificateDer::from(root);
    let anchor = webpki::anchor_from_trusted_cert(&root).map_err(|e| e.to_string())?;
    let end = webpki::EndEntityCert::try_from(&der).map_err(|e| e.to_string())?;
    let seconds = u64::try_from(at).map_err(|_| "a time before 1970".to_owned())?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    end.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        &[CertificateDer::from(issuing)],
        time,
        usage,
        None,
        None,
    )
    .map(|_| ())
    .map_err(|e| e.to_string())
}

/// Verifies that a leaf leads to a root, for a use, at one second (Unix). `chain` is the leaf
/// and what was sent with it.
///
/// # Errors
/// A sentence, if it does not.
pub fn verify_chain(chain: &[Vec<u8>], root: &[u8], listens: bool, at: i64) -> Result<(), String> {
    let usage =
        if listens { webpki::KeyUsage::server_auth() } else { webpki::KeyUsage::client_auth() };
    match chain {
        [leaf, issuing, ..] => verify(leaf, issuing, root, usage, at),
        _ => Err("the chain has no issuing certificate".to_owned()),
    }
}

/// The key identifier of a key: the first 20 bytes of the SHA-256 of its public key, in hex.
fn key_id(key: &PrivateKey) -> String {
    hex(&CertificateParams::default().key_identifier(key.pair()))
}

/// Unix seconds as rcgen's time.
macro_rules! instant {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1)
            + Duration::from_secs(u64::try_from($seconds).unwrap_or_default())
    };
}

fn authority_params(
    trust_domain: &str,
    what: &str,
    key: &PrivateKey,
    serial: [u8; 16],
    now: i64,
    life: i64,
) -> CertificateParams {
    let mut name = DistinguishedName::new();
    let id = key_id(key);
    name.push(DnType::OrganizationName, trust_domain);
    // Two issuers of one name would answer for each other's revocations (PKI-15).
    name.push(DnType::CommonName, format!("Segwan {what} {}", id.get(..8).unwrap_or(&id)));
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = instant!(now - BACKDATED);
    params.not_after = instant!(now + life);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

fn leaf_params(leaf: &Leaf) -> Result<CertificateParams, X509Error> {
    let uri = leaf.identity.to_string().try_into();
    let uri = uri.map_err(|_| X509Error::Signing("the identity is no ASCII".to_owned()))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&leaf.serial));
    params.not_before = instant!(leaf.not_before);
    params.not_after = instant!(leaf.not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = [
        leaf.profile.listens().then_some(ExtendedKeyUsagePurpose::ServerAuth),
        leaf.profile.dials().then_some(ExtendedKeyUsagePurpose::ClientAuth),
    ]
    .into_iter()
    .flatten()
    .collect();
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = KeyIdMethod::Sha256;
    Ok(params)
}

/// A signer that notes what it is given; with an intent it signs nothing else (K26).
struct Recorder<'k> {
    pair: &'k KeyPair,
    expected: Option<[u8; 32]>,
    seen: RefCell<Vec<u8>>,
}

impl PublicKeyData for Recorder<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.pair.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.pair.algorithm()
    }
}

impl SigningKey for Recorder<'_> {
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self.expected {
            None => {
                *self.seen.borrow_mut() = bytes.to_vec();
                Ok(vec![0; 64])
            }
            Some(intent) if sha256(bytes) == intent => self.pair.sign(bytes),
            Some(_) => Err(rcgen::Error::RemoteKeyError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn hierarchy() -> (Authority, Authority) {
        let root =
            Authority::root("td.example", PrivateKey::generate_root().unwrap(), [1; 16], NOW)
                .unwrap();
        let issuing =
            root.issuing("td.example", PrivateKey::generate().unwrap(), [2; 16], NOW, 365).unwrap();
        (root, issuing)
    }

    fn leaf(profile: Profile) -> Leaf {
        Leaf {
            identity: "spiffe://td.example/app".parse().unwrap(),
            profile,
            serial: [3; 16],
            not_before: NOW - 300,
            not_after: NOW + 96 * 3600,
        }
    }

    fn requested(key: &PrivateKey) -> RequestedKey {
        RequestedKey::read(&certificate_request(key).unwrap()).unwrap()
    }

    // PKI-16, PKI-62, section 14
    #[test]
    fn a_leaf_of_each_profile_passes_its_self_check() {
        let (root, issuing) = hierarchy();
        let key = PrivateKey::generate().unwrap();
        for profile in [Profile::Service, Profile::Client, Profile::Peer, Profile::Authority] {
            let (leaf, key) = (leaf(profile), requested(&key));
            let intent = issuing.intent(&leaf, &key).unwrap();
            let der = issuing.sign(&leaf, &key, intent, &root.der).unwrap();
            let purposes = Certificate::read(&der).unwrap().purposes.unwrap();
            assert_eq!((purposes.server, purposes.client), (profile.listens(), profile.dials()));
        }
    }

    // K26: what is signed is what was recorded.
    #[test]
    fn a_leaf_that_differs_from_its_intent_is_not_signed() {
        let (root, issuing) = hierarchy();
        let key = requested(&PrivateKey::generate().unwrap());
        let intent = issuing.intent(&leaf(Profile::Client), &key).unwrap();
        let other = Leaf { serial: [4; 16], ..leaf(Profile::Client) };
        assert!(matches!(
            issuing.sign(&other, &key, intent, &root.der),
            Err(X509Error::Signing(_))
        ));
    }

    // DEP-20, PKI-19, PKI-26: nothing that a hostile request asks for is in the certificate.
    #[test]
    fn only_the_public_key_of_a_request_is_taken() {
        let (root, issuing) = hierarchy();
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["evil.example".to_owned()]).unwrap();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let hostile = params.serialize_request(&pair).unwrap();
        let key = RequestedKey::read(hostile.der()).unwrap();
        let leaf = leaf(Profile::Client);
        let intent = issuing.intent(&leaf, &key).unwrap();
        let read =
            Certificate::read(&issuing.sign(&leaf, &key, intent, &root.der).unwrap()).unwrap();
        assert_eq!(read.names, [Name::Uri("spiffe://td.example/app".to_owned())]);
        assert!(!read.is_ca && read.may_sign_certificates == Some(false));
    }

    // PKI-26
    #[test]
    fn a_request_that_is_not_its_keys_own_is_refused() {
        let mut bad = certificate_request(&PrivateKey::generate().unwrap()).unwrap();
        if let Some(last) = bad.last_mut() {
            *last ^= 1;
        }
        assert!(RequestedKey::read(&bad).is_err());
        assert!(RequestedKey::read(&[0; REQUEST_BYTES + 1]).is_err());
        assert!(RequestedKey::read(b"").is_err());
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let request = CertificateParams::default().serialize_request(&ed25519).unwrap();
        assert!(RequestedKey::read(request.der()).is_err());
    }
}
