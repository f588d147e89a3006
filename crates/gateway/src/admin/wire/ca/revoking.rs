//! What is asked of a revocation, and how far it has got.

use super::AgentView;
use segwan_pki::authority::Spread;
use segwan_pki::store::{AgentRow, RevokedRow};
use serde::{Deserialize, Serialize};

/// Asks to revoke.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// `app`, an identity, `serial:…`, `key:…`, `lineage:…`, `token:…` or `before:TIME`.
    pub what: String,
    /// `key_compromise`, `superseded`, `cessation`, `privilege_withdrawn` or `unspecified`.
    /// Default `unspecified`.
    #[serde(default)]
    pub reason: Option<String>,
    /// How long to wait for gateways, milliseconds, up to a minute. Default 5 s.
    #[serde(default)]
    pub wait_ms: Option<u64>,
    /// For `before:`, how many certificates there will be.
    #[serde(default)]
    pub count: Option<usize>,
}

/// What was revoked, and who knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeAnswer {
    /// Number of the event that tells of it; 0: no certificate was revoked.
    pub seq: i64,
    /// How many certificates.
    pub certificates: usize,
    /// Whose they were.
    pub names: Vec<String>,
    /// Tokens that were taken back.
    pub tokens: usize,
    /// The registration that was disabled.
    pub disabled: Option<String>,
    /// Gateways that are connected.
    pub live: usize,
    /// Those of them that have it in force.
    pub confirmed: usize,
    /// Connections that they ended for it.
    pub closed: u64,
    /// From commit to the last answer, milliseconds.
    pub took_ms: u64,
    /// Who did not answer, connected or not.
    pub not_heard: Vec<NotHeard>,
}

/// A gateway that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotHeard {
    /// Name of the registration.
    pub name: String,
    /// What its host calls itself.
    pub host: String,
    /// When it was heard last, Unix milliseconds.
    pub heard_ms: i64,
    /// Whether it is connected.
    pub live: bool,
}

/// How many certificates a revocation would meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// So many.
    pub certificates: usize,
}

/// How far a revocation has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpreadAnswer {
    /// Number of the event that told of it.
    pub seq: i64,
    /// What was revoked.
    pub certificates: Vec<RevokedView>,
    /// Agents that have it in force.
    pub in_force: Vec<AgentView>,
    /// Agents that have not.
    pub missing: Vec<AgentView>,
}

impl SpreadAnswer {
    /// How far it has got, and who listens now.
    #[must_use]
    pub fn of(spread: Spread, listening: &[(String, String)]) -> Self {
        let Spread { seq, certificates, in_force, missing } = spread;
        let view = |row: AgentRow| {
            let is_there = listening
                .iter()
                .any(|(instance, name)| *instance == row.instance && *name == row.name);
            AgentView::of(row, is_there)
        };
        Self {
            seq,
            certificates: certificates.into_iter().map(Into::into).collect(),
            in_force: in_force.into_iter().map(&view).collect(),
            missing: missing.into_iter().map(&view).collect(),
        }
    }
}

/// A certificate that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedView {
    /// Whose it was.
    pub name: String,
    /// Its serial number.
    pub serial: String,
    /// Why.
    pub reason: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

impl From<RevokedRow> for RevokedView {
    fn from(row: RevokedRow) -> Self {
        let RevokedRow { name, serial, reason, at_ms, .. } = row;
        Self { name, serial, reason, at_ms }
    }
}
