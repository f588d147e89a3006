//! What travels over the admin socket.

use segwan_pki::store::{CertificateRow, RegistrationRow};
use serde::{Deserialize, Serialize};

/// The path of health, also on the loopback address.
pub const HEALTH: &str = "/health";
/// The path of metrics, also on the loopback address.
pub const METRICS: &str = "/metrics";
/// The path of [`crate::status::Status`].
pub const STATUS: &str = "/v1/status";
/// The path of [`TokenRequest`].
pub const TOKEN: &str = "/v1/token";
/// The path of [`Inventory`].
pub const LIST: &str = "/v1/ca/list";
/// The path of [`LedgerAnswer`].
pub const LEDGER: &str = "/v1/ca/ledger";
/// The path of [`crate::explain::Question`].
pub const EXPLAIN: &str = "/v1/explain";

/// Asks for a join token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Who is to join: a name in the Authority's trust domain.
    pub name: String,
    /// `client`, `service` or `peer`; for a name that is known, what it is. Default `client`.
    pub profile: Option<String>,
    /// How long it can be used, 5 min to 24 h. Default 30 min.
    pub ttl_seconds: Option<u64>,
    /// Services that the client is meant for. Default: what is known, or all that there are.
    pub services: Option<Vec<String>>,
    /// `host:port` of the Authority, 1 to 4. Default: where the process makes it known.
    pub addresses: Option<Vec<String>>,
}

/// A join token. It can be used once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenAnswer {
    /// The whole token, secret included.
    pub token: String,
    /// Who may join with it.
    pub name: String,
    /// The profile of that name.
    pub profile: String,
    /// When it ends, Unix seconds.
    pub expires: i64,
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the Authority knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Its trust domain.
    pub trust_domain: String,
    /// Who may have certificates.
    pub registrations: Vec<RegistrationView>,
    /// Certificates that have not ended, newest first.
    pub certificates: Vec<CertificateView>,
}

/// One registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationView {
    /// Its name.
    pub name: String,
    /// Its profile.
    pub profile: String,
    /// `host:port` at which a service is reached.
    pub addresses: Vec<String>,
    /// Services that a client is meant for.
    pub services: Vec<String>,
    /// Whether it may enroll and renew.
    pub enabled: bool,
}

impl From<RegistrationRow> for RegistrationView {
    fn from(row: RegistrationRow) -> Self {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self {
            addresses: lines(&row.addresses),
            services: lines(&row.services),
            name: row.name,
            profile: row.profile,
            enabled: row.enabled,
        }
    }
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// Whose it is.
    pub name: String,
    /// What it may be used for.
    pub profile: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Chain of renewals that it belongs to.
    pub lineage: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// `intent`, `issued` or `void`.
    pub state: String,
}

impl From<CertificateRow> for CertificateView {
    fn from(row: CertificateRow) -> Self {
        let CertificateRow { name, profile, serial, lineage, made_ms, not_after_ms, state } = row;
        Self { name, profile, serial, lineage, made_ms, not_after_ms, state }
    }
}

/// A ledger that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAnswer {
    /// How many lines it has.
    pub lines: usize,
}

/// What could not be done: a sentence, and the next step where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// The sentence.
    pub error: String,
    /// The next step.
    pub hint: Option<String>,
}
