//! Requests: what a node sends, and the one thing that is taken from what others send.

use super::{REQUEST_BYTES, X509Error};
use crate::certificate::{Allowed, KeyKind, allowed};
use crate::key::{PrivateKey, sha256};
use crate::lint::der;
use rcgen::{
    CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// A public key whose holder proved that the private one is theirs.
///
/// It is all that is taken from a request: names, extensions and attributes are not even looked at.
pub struct RequestedKey {
    /// The key as a `SubjectPublicKeyInfo`, as it was sent.
    info: Vec<u8>,
    /// The bits inside.
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

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
    /// Takes the public key of a request, after checking its kind and the request's own signature.
    ///
    /// Taken are ECDSA on P-256 and P-384 and RSA of 2048, 3072 or 4096 bits with the exponent
    /// 65537 (`pki.md` section 2).
    ///
    /// # Errors
    /// If it is over 8 KiB, malformed, followed by anything, wrongly signed, or of another kind.
    pub fn read(der: &[u8]) -> Result<Self, X509Error> {
        read(der).map_err(X509Error::Request)
    }

    /// SHA-256 of the key as a `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.info)
    }

    /// The key as a `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.info
    }

    /// A key that nobody proved to hold, for certificates that say so of somebody else.
    pub(super) fn of(info: &[u8]) -> Result<Self, String> {
        let Allowed { kind, bits } = allowed(info)?;
        let algorithm = match kind {
            KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
            _ => &PKCS_RSA_SHA256,
        };
        let key = Self { info: info.to_vec(), bits, algorithm };
        // The certificate will hold the key as it is written here; it must be as it was sent.
        if key.subject_public_key_info() != key.info {
            return Err("its key is not in the usual form".to_owned());
        }
        Ok(key)
    }
}

fn read(der: &[u8]) -> Result<RequestedKey, String> {
    if der.len() > REQUEST_BYTES {
        return Err(format!("it is of {} bytes, over {REQUEST_BYTES}", der.len()));
    }
    // Form first: what can be read in two ways has nothing inside that counts.
    der::canonical(der).map_err(|why| format!("it is not well-formed: {why}"))?;
    let malformed = |_| "it is not well-formed".to_owned();
    let (_, request) = X509CertificationRequest::from_der(der).map_err(malformed)?;
    let key = RequestedKey::of(request.certification_request_info.subject_pki.raw)?;
    request.verify_signature().map_err(|_| "it is not signed by its own key".to_owned())?;
    Ok(key)
}

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}
