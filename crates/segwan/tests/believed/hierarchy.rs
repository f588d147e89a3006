//! Roots, issuing certificates and leaves, right or wrong in one way, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use segwan_pki::certificate::Certificate;
use segwan_pki::key::{PrivateKey, sha256};
use segwan_pki::revocation::{Accepted, Crl, Entry, RevocationReason, sign};
use segwan_pki::x509::Authority;
use std::sync::Arc;

pub(crate) use rcgen::ExtendedKeyUsagePurpose as Use;

/// Somebody who issues certificates.
pub(crate) struct Ca {
    name: String,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: Vec<u8>,
}

/// A chain in DER, leaf first, and the leaf's key.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: String,
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Ca {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, |_| {})
    }

    pub(crate) fn root_with(name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (ca(name), KeyPair::generate().unwrap());
        edit(&mut params);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { name: name.to_owned(), issuer: Issuer::new(params, key), der }
    }

    pub(crate) fn issuing(&self, name: &str) -> Self {
        self.issuing_with(name, |_| {})
    }

    pub(crate) fn issuing_with(
        &self,
        name: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let (mut params, key) = (ca(name), KeyPair::generate().unwrap());
        params.use_authority_key_identifier_extension = true;
        edit(&mut params);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { name: name.to_owned(), issuer: Issuer::new(params, key), der }
    }

    /// The key and the name of somebody who issues, certified by this one too.
    pub(crate) fn cross(&self, other: &Self) -> Self {
        self.cross_with(other, |_| {})
    }

    pub(crate) fn cross_with(
        &self,
        other: &Self,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = ca(&other.name);
        let key = KeyPair::from_pem(&other.issuer.key().serialize_pem()).unwrap();
        params.use_authority_key_identifier_extension = true;
        edit(&mut params);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { name: other.name.clone(), issuer: Issuer::new(params, key), der }
    }

    /// A client `spiffe://shop.test/app`.
    pub(crate) fn leaf(&self) -> Shown {
        self.leaf_with(|_| {})
    }

    /// The same with a change.
    pub(crate) fn leaf_with(&self, edit: impl FnOnce(&mut CertificateParams)) -> Shown {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        params.distinguished_name.push(DnType::CommonName, "a leaf");
        params.serial_number = Some(SerialNumber::from_slice(&[5; 16]));
        params.is_ca = IsCa::ExplicitNoCa;
        params.subject_alt_names = vec![uri("spiffe://shop.test/app")];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        edit(&mut params);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Shown { chain: vec![der], key: key.serialize_pem() }
    }

    /// What it has revoked, as a list that was accepted at the time when it was made.
    pub(crate) fn list(&self, serials: &[&[u8]], made_ms: i64, next_ms: i64) -> Arc<Crl> {
        let key = PrivateKey::from_pem(&self.issuer.key().serialize_pem()).unwrap();
        let authority = Authority { der: self.der.clone(), key };
        let entry = |serial: &&[u8]| Entry {
            serial: serial.to_vec(),
            at_ms: made_ms,
            reason: RevocationReason::Superseded,
        };
        let entries: Vec<_> = serials.iter().map(entry).collect();
        let der = sign(&authority, 1, made_ms, next_ms, &entries).unwrap();
        match Crl::accept(&der, &[&self.der], None, made_ms).unwrap() {
            Accepted::Newer(crl) => crl,
            Accepted::Same => unreachable!("nothing was installed"),
        }
    }

    /// SHA-256 of its key.
    pub(crate) fn spki(&self) -> [u8; 32] {
        spki(&self.der)
    }
}

pub(crate) fn spki(der: &[u8]) -> [u8; 32] {
    sha256(&Certificate::read(der).unwrap().public_key)
}

impl Shown {
    /// With other certificates sent along.
    pub(crate) fn with(mut self, others: &[&Ca]) -> Self {
        self.chain.extend(others.iter().map(|ca| ca.der.clone()));
        self
    }

    pub(crate) fn spki(&self) -> [u8; 32] {
        spki(&self.chain[0])
    }

    pub(crate) fn pem(&self) -> String {
        self.chain.iter().map(|der| pem(der)).collect()
    }
}

pub(crate) fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
