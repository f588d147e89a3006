//! What travels between an agent and its Authority: bodies and reasons (`pki.md` section 9.5).

use crate::authority::Issued;
use crate::directory::ServiceHint;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The path of enrollment.
pub const ENROLL: &str = "/v1/enroll";
/// The path of renewal.
pub const RENEW: &str = "/v1/renew";
/// The path of health.
pub const HEALTH: &str = "/v1/health";

/// `POST /v1/enroll`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// The token's secret.
    pub token: Secret,
    /// The request, DER in base64.
    pub csr: String,
}

/// `POST /v1/renew`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The request, DER in base64.
    pub csr: String,
}

/// A text that is not shown.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// A certificate and what its holder needs with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedAnswer {
    /// Leaf and issuing certificate, DER in base64.
    pub certificate: Vec<String>,
    /// The roots, DER in base64.
    pub roots: Vec<String>,
    /// The trust domain.
    pub trust_domain: String,
    /// The window in which to renew, Unix milliseconds.
    pub renew_after_ms: i64,
    /// Its end.
    pub renew_before_ms: i64,
    /// The services that a client is meant for.
    pub services: Vec<ServiceHint>,
    /// The Authority's clock, Unix milliseconds.
    pub now_ms: i64,
}

impl From<&Issued> for IssuedAnswer {
    fn from(issued: &Issued) -> Self {
        let text = |all: &[Vec<u8>]| all.iter().map(|der| STANDARD.encode(der)).collect();
        Self {
            certificate: text(&issued.chain),
            roots: text(&issued.roots),
            trust_domain: issued.trust_domain.clone(),
            renew_after_ms: issued.renew_after_ms,
            renew_before_ms: issued.renew_before_ms,
            services: issued.services.clone(),
            now_ms: issued.now_ms,
        }
    }
}

/// DER that travelled as base64, at most `most` bytes.
#[must_use]
pub fn der(text: &str, most: usize) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    (bytes.len() <= most).then_some(bytes)
}

/// DER as base64.
#[must_use]
pub fn text(der: &[u8]) -> String {
    STANDARD.encode(der)
}

/// `{"error": {"reason": …, "request": …}}`: the request id leads the operator to the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// The only member.
    pub error: ErrorBody,
}

/// What went wrong, for the peer: one word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The word.
    pub reason: String,
    /// The id under which the operator finds the whole sentence.
    pub request: String,
}
