//! What is asked of an Authority, and what it knows.

use segwan_pki::authority::Spread;
use segwan_pki::store::{
    AgentRow, CertificateRow, IssuingRow, RegistrationRow, RevokedRow, TokenRow, UnrecordedRow,
};
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
    /// DNS names of its certificates.
    pub dns: Vec<String>,
    /// IP addresses of its certificates.
    pub ips: Vec<String>,
    /// Life of its certificates, milliseconds, if not the Authority's.
    pub leaf_lifetime_ms: Option<i64>,
    /// How many machines may hold it at once.
    pub max_lineages: i64,
    /// `replace` or `add`.
    pub on_reenroll: String,
    /// Whether certificates carry the name for humans as well.
    pub display_name: bool,
    /// Whether one certificate may be used in several places.
    pub shared: bool,
    /// Whether it may enroll and renew.
    pub enabled: bool,
}

impl From<RegistrationRow> for RegistrationView {
    fn from(row: RegistrationRow) -> Self {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self {
            addresses: lines(&row.addresses),
            services: lines(&row.services),
            dns: lines(&row.dns),
            ips: lines(&row.ips),
            leaf_lifetime_ms: row.life_ms,
            max_lineages: row.max_lineages,
            on_reenroll: row.on_reenroll,
            display_name: row.display_name,
            shared: row.shared,
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
    /// Key id of its issuer, lower-case hex.
    pub issuer: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Chain of renewals that it belongs to.
    pub lineage: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// `intent`, `issued`, `revoked` or `void`.
    pub state: String,
    /// Why it was revoked.
    pub reason: Option<String>,
    /// When it was first seen in a handshake, Unix milliseconds.
    pub first_seen_ms: Option<i64>,
    /// When last.
    pub last_seen_ms: Option<i64>,
    /// Which service saw it last.
    pub seen_by: Option<String>,
    /// From which address.
    pub seen_from: Option<String>,
    /// Whether a newer one of its lineage exists.
    pub superseded: bool,
}

impl From<CertificateRow> for CertificateView {
    fn from(row: CertificateRow) -> Self {
        Self {
            name: row.name,
            profile: row.profile,
            issuer: row.issuer,
            serial: row.serial,
            lineage: row.lineage,
            made_ms: row.made_ms,
            not_after_ms: row.not_after_ms,
            state: row.reason.as_ref().map_or(row.state, |_| "revoked".to_owned()),
            reason: row.reason,
            first_seen_ms: row.first_seen_ms,
            last_seen_ms: row.last_seen_ms,
            seen_by: row.seen_by,
            seen_from: row.seen_from,
            superseded: row.superseded,
        }
    }
}

/// A certificate that was seen under our issuing keys and is not on the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnrecordedView {
    /// Key id of its issuer, lower-case hex.
    pub issuer: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// When it was first seen, Unix milliseconds.
    pub first_ms: i64,
    /// When last.
    pub last_ms: i64,
    /// Which service saw it.
    pub seen_by: String,
}

impl From<UnrecordedRow> for UnrecordedView {
    fn from(row: UnrecordedRow) -> Self {
        let UnrecordedRow { issuer, serial, first_ms, last_ms, seen_by } = row;
        Self { issuer, serial, first_ms, last_ms, seen_by }
    }
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
