//! Revocation: why, in which list, and in which set (`pki.md` section 11).
//!
//! Two carriers say the same. The [`RevokedSet`] is pushed and names serials and keys; the
//! [`Crl`] is signed by the issuing key itself, and any verifier understands it.

mod crl;
mod set;
#[cfg(test)]
mod tests;

pub use crl::{Accepted, Crl, CrlError};
pub use set::{RevokedSet, SetFull};

use crate::certificate::Certificate;
use crate::x509::{Authority, X509Error};
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevocationReason as Code,
    RevokedCertParams, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most bytes of one list that is read.
pub const CRL_BYTES: usize = 8 * 1024 * 1024;
/// Most entries of one list, and of each half of a [`RevokedSet`].
pub const REVOKED: usize = 200_000;

/// Why a certificate is revoked; the words of the command line and of the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// Somebody else may have the private key. The key is never certified again either.
    KeyCompromise,
    /// Another certificate took its place.
    Superseded,
    /// What it was made for is over.
    Cessation,
    /// Its holder may not any more.
    PrivilegeWithdrawn,
    /// Nothing was said.
    #[default]
    Unspecified,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::KeyCompromise,
        Self::Superseded,
        Self::Cessation,
        Self::PrivilegeWithdrawn,
        Self::Unspecified,
    ];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyCompromise => "key_compromise",
            Self::Superseded => "superseded",
            Self::Cessation => "cessation",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
            Self::Unspecified => "unspecified",
        }
    }

    /// The reason of this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Its number in a list (RFC 5280 section 5.3.1).
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::KeyCompromise => 1,
            Self::Superseded => 4,
            Self::Cessation => 5,
            Self::PrivilegeWithdrawn => 9,
            Self::Unspecified => 0,
        }
    }

    fn in_a_list(self) -> Code {
        match self {
            Self::KeyCompromise => Code::KeyCompromise,
            Self::Superseded => Code::Superseded,
            Self::Cessation => Code::CessationOfOperation,
            Self::PrivilegeWithdrawn => Code::PrivilegeWithdrawn,
            Self::Unspecified => Code::Unspecified,
        }
    }
}

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// When it was revoked, Unix milliseconds; a list says the second.
    pub at_ms: i64,
    /// Why.
    pub reason: RevocationReason,
}

/// Unix milliseconds as rcgen's time.
macro_rules! instant {
    ($ms:expr) => {
        rcgen::date_time_ymd(1970, 1, 1)
            + Duration::from_secs(u64::try_from($ms.div_euclid(1000)).unwrap_or_default())
    };
}

/// Signs the complete list of what `issuer` has revoked, in DER: no delta, no indirect entries, no
/// issuing distribution point, so that every verifier takes it as covering all of its issuer.
///
/// Of two entries with one serial the earlier stays. 20,000 entries take 20 to 35 ms.
///
/// # Errors
/// If the library cannot sign it, or the list would end before it begins.
pub fn sign(
    issuer: &Authority,
    number: u64,
    this_update_ms: i64,
    next_update_ms: i64,
    entries: &[Entry],
) -> Result<Vec<u8>, X509Error> {
    let failed = |why: String| X509Error::Signing(why);
    let own = Certificate::read(&issuer.der).map_err(failed)?;
    let key = own.subject_key.ok_or_else(|| failed("its issuer has no key identifier".into()))?;
    let mut unique: BTreeMap<&[u8], &Entry> = BTreeMap::new();
    for entry in entries {
        let kept = unique.entry(set::significant(&entry.serial)).or_insert(entry);
        if entry.at_ms < kept.at_ms {
            *kept = entry;
        }
    }
    let revoked = |(serial, entry): (&[u8], &Entry)| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: instant!(entry.at_ms),
        reason_code: Some(entry.reason.in_a_list()),
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: instant!(this_update_ms),
        next_update: instant!(next_update_ms),
        crl_number: SerialNumber::from_slice(&number.to_be_bytes()),
        issuing_distribution_point: None,
        revoked_certs: unique.into_iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::PreSpecified(key),
    };
    let der = CertificateDer::from(issuer.der.as_slice());
    let signer = Issuer::from_ca_cert_der(&der, issuer.key.pair());
    let signer = signer.map_err(|error| failed(error.to_string()))?;
    let signed = list.signed_by(&signer).map_err(|error| failed(error.to_string()))?;
    Ok(signed.der().to_vec())
}
