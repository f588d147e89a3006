//! What travels over the admin socket.

mod ca;
mod reload;

pub use ca::*;
pub use reload::*;

use serde::{Deserialize, Serialize};

/// The path of health, also on the loopback address.
pub const HEALTH: &str = "/health";
/// The path of metrics, also on the loopback address.
pub const METRICS: &str = "/metrics";
/// The path of [`crate::status::Status`].
pub const STATUS: &str = "/v1/status";
/// The path of [`TokenRequest`].
pub const TOKEN: &str = "/v1/token";
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

/// What could not be done: a sentence, and the next step where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// The sentence.
    pub error: String,
    /// The next step.
    pub hint: Option<String>,
}
