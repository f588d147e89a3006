//! What is asked of an Authority, and what it knows.

mod inventory;
mod revoking;

pub use inventory::{CertificateView, RegistrationView, UnrecordedView};
pub use revoking::{Met, NotHeard, RevokeAnswer, RevokeRequest, RevokedView, SpreadAnswer};

use segwan_pki::store::{AgentRow, IssuingRow, TokenRow};
use serde::{Deserialize, Serialize};

/// The path of [`Inventory`], asked by [`ListRequest`] as a query.
pub const LIST: &str = "/v1/ca/list";
/// The path of [`History`], asked by [`Whose`] as a query.
pub const SHOW: &str = "/v1/ca/show";
/// The path of the [`AgentView`]s.
pub const AGENTS: &str = "/v1/ca/agents";
/// The path of [`Calendar`].
pub const CALENDAR: &str = "/v1/ca/calendar";
/// The path of the [`TokenView`]s.
pub const TOKENS: &str = "/v1/ca/tokens";
/// The path of [`List`], asked by [`Whose`] as a query.
pub const CRL: &str = "/v1/ca/crl";
/// The path of [`LedgerAnswer`].
pub const LEDGER: &str = "/v1/ca/ledger";
/// The path of [`crate::registering::Registering`]; the answer is a [`RegistrationView`].
pub const REGISTER: &str = "/v1/ca/register";
/// The path of [`Whose`]; the answer is a [`RegistrationView`].
pub const ENABLE: &str = "/v1/ca/enable";
/// The path of [`RevokeRequest`].
pub const REVOKE: &str = "/v1/ca/revoke";
/// The path of [`Met`], asked by [`Whose`] as a query.
pub const WOULD_REVOKE: &str = "/v1/ca/would-revoke";
/// The path of [`SpreadAnswer`], asked by [`Which`] as a query.
pub const REVOCATION: &str = "/v1/ca/revocation";

/// Which certificates are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ListView {
    /// All that have not ended
    #[default]
    Live,
    /// Issued a day ago or more, and in no handshake yet
    NeverUsed,
    /// A newer one of the lineage was seen, and this one after it
    Superseded,
    /// Seen at two addresses within five minutes
    TwoPlaces,
    /// Seen under our issuing keys, and not on the record
    Unrecorded,
    /// Revoked and not ended
    Revoked,
}

/// What is listed, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// Which view.
    #[serde(default)]
    pub view: ListView,
    /// Only of this name.
    #[serde(default)]
    pub name: Option<String>,
    /// Only what ends within so many seconds.
    #[serde(default)]
    pub expiring_seconds: Option<u64>,
    /// Most certificates. Default 1000, at most 10,000.
    #[serde(default)]
    pub most: Option<u32>,
}

/// A name, an identity, or `serial:…`; of a list, the key id of its issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    /// It.
    pub what: String,
}

/// Which revocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its number; none: the last one.
    #[serde(default)]
    pub seq: Option<i64>,
}

/// What the Authority knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Its trust domain.
    pub trust_domain: String,
    /// Who may have certificates.
    pub registrations: Vec<RegistrationView>,
    /// Certificates, those that end first first.
    pub certificates: Vec<CertificateView>,
    /// Certificates that were seen and are not on the record.
    pub unrecorded: Vec<UnrecordedView>,
    /// Whether there are more certificates than these.
    pub more: bool,
}

/// Everything about one registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The trust domain.
    pub trust_domain: String,
    /// It.
    pub registration: RegistrationView,
    /// Its certificates, also those that have ended.
    pub certificates: Vec<CertificateView>,
    /// Agents that were heard of under its name.
    pub agents: Vec<AgentView>,
}

/// One identity at one installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Name of the registration.
    pub name: String,
    /// What its host calls itself.
    pub host: String,
    /// `gateway`, `client` or `library`.
    pub kind: String,
    /// Its version of Segwan.
    pub version: String,
    /// From where it was heard last.
    pub address: String,
    /// The installation.
    pub instance: String,
    /// Whether it listens for events now.
    pub listening: bool,
    /// When it was heard last, Unix milliseconds.
    pub heard_ms: i64,
    /// Version of the bundle that it has in force.
    pub bundle_version: i64,
    /// Number of the last event that it has in force.
    pub acked: i64,
    /// How far its clock is ahead of the Authority's, milliseconds.
    pub skew_ms: i64,
}

impl AgentView {
    /// An agent as the store knows it.
    #[must_use]
    pub fn of(row: AgentRow, listening: bool) -> Self {
        Self {
            name: row.name,
            host: row.host,
            kind: row.kind,
            version: row.version,
            address: row.address,
            instance: row.instance,
            listening,
            heard_ms: row.heard_ms,
            bundle_version: row.bundle_version,
            acked: row.acked,
            skew_ms: row.skew_ms,
        }
    }
}

/// All agents, with what they should have in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agents {
    /// Version of the bundle in force.
    pub bundle_version: i64,
    /// Number of the last event.
    pub last_event: i64,
    /// Agents that were heard of within 30 days.
    pub agents: Vec<AgentView>,
}

/// What ends, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// When the root ends, Unix milliseconds.
    pub root_ends_ms: i64,
    /// Issuing keys.
    pub issuing: Vec<IssuingView>,
    /// Days of the next 30 on which a certificate ends.
    pub days: Vec<Day>,
}

/// One issuing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuingView {
    /// Its key id.
    pub id: String,
    /// `spare`, `incoming`, `active`, `retiring` or `distrusted`.
    pub state: String,
    /// When its certificate ends, Unix milliseconds.
    pub not_after_ms: i64,
}

impl From<IssuingRow> for IssuingView {
    fn from(row: IssuingRow) -> Self {
        let state = row.state.as_str().to_owned();
        Self { id: row.id, state, not_after_ms: row.not_after_ms }
    }
}

/// What ends on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Its beginning in UTC, Unix milliseconds.
    pub begins_ms: i64,
    /// How many certificates end.
    pub certificates: usize,
    /// Of how many names.
    pub holders: usize,
    /// A few of these names.
    pub names: Vec<String>,
}

/// A token that can still be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// By what it is revoked: `token:ID`.
    pub id: String,
    /// Who may join with it.
    pub name: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When it ends, Unix milliseconds.
    pub expires_ms: i64,
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        let TokenRow { id, name, made_ms, expires_ms, .. } = row;
        Self { id, name, made_ms, expires_ms }
    }
}

/// A revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Key id of its issuer.
    pub issuer: String,
    /// Its number.
    pub number: i64,
    /// It, DER in base64.
    pub der: String,
}

/// A ledger that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAnswer {
    /// How many lines it has.
    pub lines: usize,
    /// Hash of the last one, lower-case hex.
    pub head: String,
}
