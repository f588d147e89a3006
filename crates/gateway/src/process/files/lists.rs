//! Revocation lists in files.

use super::now_ms;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use segwan_pki::revocation::{Accepted, Crl, CrlError};
use std::sync::Arc;

/// A revocation list, PEM or DER. One of an issuer that is not at hand is taken without a look at
/// its signature, if it is newer than the one in force: each handshake checks that by the issuer's
/// certificate, which the peer shows.
pub(super) fn list(
    bytes: Vec<u8>,
    issuers: &[Vec<u8>],
    installed: &[Arc<Crl>],
) -> Result<Arc<Crl>, String> {
    let der = if bytes.starts_with(b"-----BEGIN") {
        CertificateRevocationListDer::from_pem_slice(&bytes)
            .map_err(|error| format!("it is no PEM of a revocation list: {error}"))?
            .to_vec()
    } else {
        bytes
    };
    let read = Crl::read(&der).map_err(|error| error.to_string())?;
    let known = installed.iter().find(|crl| crl.issuer_key == read.issuer_key);
    let (installed, now) = (known.map(|crl| &**crl), now_ms());
    let accepted = match Crl::accept(&der, issuers, installed, now) {
        Err(CrlError::UnknownIssuer(_) | CrlError::OtherKey(_)) => read.follow(installed, now),
        judged => judged,
    };
    match accepted.map_err(|error| error.to_string())? {
        Accepted::Newer(crl) => Ok(crl),
        Accepted::Same => known.cloned().ok_or_else(|| "it is the same as none".to_owned()),
    }
}
