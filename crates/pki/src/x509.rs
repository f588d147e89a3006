//! The one door to making certificates: root, issuing certificate, leaf, request.
//!
//! Of a request only the public key is taken (`pki.md` section 10); every field of a certificate
//! is set here, and what was signed is read back and compared before it leaves (section 14).

mod authorities;
mod constraints;
mod leaf;
mod path;
mod request;
mod serial;
#[cfg(test)]
pub(crate) mod tests;

use crate::key::PrivateKey;
use crate::profile::Profile;
use segwan_core::identity::Identity;
use std::net::IpAddr;

pub use authorities::{IssuingTerms, issuing_extensions, issuing_request, requested_trust_domain};
pub(crate) use constraints::octets;
pub use constraints::{Cidr, Constraints, within_constraints};
#[cfg(test)]
pub(crate) use leaf::spoiling;
pub use leaf::{ROLE_OID, Release};
pub use path::verify_chain;
pub use request::{RequestedKey, certificate_request};
pub use serial::SerialDraw;

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
    /// Three serial numbers in a row were taken already (`rng_suspect`).
    #[error("three random serial numbers in a row were taken already: the generator is suspect")]
    RngSuspect,
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
    /// DNS names beside the identity, in lower case. Default: none.
    pub dns: Vec<String>,
    /// Addresses beside the identity. Default: none.
    pub ips: Vec<IpAddr>,
    /// The registration's name as common name, for humans; it never decides. Default: none, and
    /// the subject is empty.
    pub display_name: Option<String>,
    /// The role, as an extension ([`ROLE_OID`]). Default: none; more than one is refused.
    pub roles: Vec<String>,
}

impl Leaf {
    /// A leaf with its identity alone.
    #[must_use]
    pub fn new(
        identity: Identity,
        profile: Profile,
        serial: [u8; 16],
        not_before: i64,
        not_after: i64,
    ) -> Self {
        Self {
            identity,
            profile,
            serial,
            not_before,
            not_after,
            dns: Vec::new(),
            ips: Vec::new(),
            display_name: None,
            roles: Vec::new(),
        }
    }
}

/// Unix seconds as rcgen's time.
macro_rules! instant {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs(u64::try_from($seconds).unwrap_or_default())
    };
}
use instant;
