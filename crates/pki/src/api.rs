//! What travels between an agent and its Authority: paths, bodies, events (`pki.md` section 9.5).
//!
//! Times are Unix milliseconds, DER is base64, hashes and serial numbers are lower-case hex.

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
/// The path of the trust bundle; its `ETag` is the version.
pub const BUNDLE: &str = "/v1/bundle";
/// The path of a revocation list, less the key id of its issuer; its `ETag` is the number.
pub const CRL: &str = "/v1/crl/";
/// The path of a certificate's renewal window (RFC 9773), less `AKI.SERIAL`.
pub const RENEWAL: &str = "/v1/renewal/";
/// The path of the event stream: `?epoch=E&after=SEQ&instance=ID&kind=KIND&version=V&host=H`.
pub const EVENTS: &str = "/v1/events";
/// The path of an acknowledgement.
pub const ACK: &str = "/v1/ack";
/// The path of an agent's report.
pub const REPORT: &str = "/v1/report";

/// Most certificates of one report; the rest waits for the next.
pub const SIGHTINGS: usize = 1000;

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
    /// Whom to believe from now on.
    pub trust: TrustAnswer,
    /// The window in which to renew, Unix milliseconds.
    pub renew_after_ms: i64,
    /// Its end.
    pub renew_before_ms: i64,
    /// The chain of renewals that the certificate belongs to.
    pub lineage: String,
    /// The services that a client is meant for.
    pub services: Vec<ServiceHint>,
    /// The Authority's clock, Unix milliseconds.
    pub now_ms: i64,
}

/// Everything that decides who is believed: what an enrollment, a renewal and a `snapshot` carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustAnswer {
    /// The signed bundle.
    pub bundle: SignedBundle,
    /// The revocation list of each issuing key, DER in base64.
    pub crls: Vec<String>,
    /// Keys that are denied, which no list can say; the certificates are those of the lists.
    pub revoked: Vec<RevokedCertificate>,
    /// The store's epoch: it rises with a restore.
    pub epoch: i64,
    /// The number of the last event that is contained in this.
    pub seq: i64,
}

/// A trust bundle as it travels: the bytes that the signature covers, and who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedBundle {
    /// The bundle's JSON in base64.
    pub body: String,
    /// The signature over `segwan bundle v1\n` and the body's bytes, base64.
    pub sig: String,
    /// The chain of the Authority's own certificate that signed, DER in base64.
    pub chain: Vec<String>,
}

/// A certificate that is not believed any more. It names no identity: one client does not learn
/// who else was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedCertificate {
    /// Key id of its issuer; empty where only a key is denied.
    pub issuer: String,
    /// Its serial number; empty where only a key is denied.
    pub serial: String,
    /// SHA-256 of its key, if the key itself is not believed any more (`key_compromise`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// One line of the event stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// The store's epoch.
    pub epoch: i64,
    /// Its number; of `hello` and `keepalive`, the number of the last event.
    pub seq: i64,
    /// When, by the Authority's clock.
    pub at_ms: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: AgentEvent,
}

/// What an agent is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The stream begins; `at_ms` of the line tells the Authority's clock.
    Hello,
    /// Certificates were revoked: install, end their connections, acknowledge.
    Revoked {
        /// Which.
        certificates: Vec<RevokedCertificate>,
        /// The lists that changed, DER in base64.
        crls: Vec<String>,
    },
    /// Another bundle: check, install, acknowledge.
    Bundle {
        /// It.
        bundle: SignedBundle,
        /// The list of each issuing key in it, DER in base64.
        crls: Vec<String>,
    },
    /// Renew earlier than planned, spread over a window.
    RenewNow {
        /// Its length, milliseconds.
        window_ms: i64,
        /// Which lineages; empty: all.
        lineages: Vec<String>,
    },
    /// Everything anew, in place of what is known: check, install, end what it ends, acknowledge.
    Snapshot {
        /// Everything.
        trust: TrustAnswer,
    },
    /// Nothing; the stream lives.
    Keepalive,
}

/// `POST /v1/ack`: an event was installed, and so many connections were ended by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckRequest {
    /// Which installation acknowledges.
    pub instance: String,
    /// The event's number; everything up to it is installed.
    pub seq: i64,
    /// Version of the bundle in force.
    pub bundle_version: i64,
    /// Connections that this event ended.
    pub closed: u64,
}

/// `POST /v1/report`: what an agent has seen since the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// Which installation reports.
    pub instance: String,
    /// Its clock, Unix milliseconds.
    pub now_ms: i64,
    /// Version of the bundle in force.
    pub bundle_version: i64,
    /// Certificates of peers in handshakes, at most [`SIGHTINGS`].
    pub seen: Vec<Sighting>,
}

/// A certificate that was seen in handshakes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// Key id of its issuer.
    pub issuer: String,
    /// Its serial number.
    pub serial: String,
    /// When first, Unix milliseconds.
    pub first_ms: i64,
    /// When last.
    pub last_ms: i64,
    /// How often.
    pub count: u64,
    /// From which address last.
    pub from: String,
}

/// RFC 9773 section 4.2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewalInfo {
    /// When to renew.
    pub suggested_window: SuggestedWindow,
}

/// From when to when, RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuggestedWindow {
    /// From.
    pub start: String,
    /// To.
    pub end: String,
}

impl From<&Issued> for IssuedAnswer {
    fn from(issued: &Issued) -> Self {
        Self {
            certificate: texts(&issued.chain),
            trust: issued.trust.clone(),
            renew_after_ms: issued.renew_after_ms,
            renew_before_ms: issued.renew_before_ms,
            lineage: issued.lineage.clone(),
            services: issued.services.clone(),
            now_ms: issued.now_ms,
        }
    }
}

/// DER that travelled as base64, at most `most` bytes.
#[must_use]
pub fn der(text: &str, most: usize) -> Option<Vec<u8>> {
    // Four characters are three bytes: what is too long is not decoded.
    if text.len() > most.div_ceil(3).saturating_mul(4) {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    (bytes.len() <= most).then_some(bytes)
}

/// DER as base64.
#[must_use]
pub fn text(der: &[u8]) -> String {
    STANDARD.encode(der)
}

/// Each DER as base64.
#[must_use]
pub fn texts(all: &[Vec<u8>]) -> Vec<String> {
    all.iter().map(|der| text(der)).collect()
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
