//! `Status`: how a process stands, as `segwan status` shows it and the admin socket gives it.

pub mod when;

use crate::alarms::Raised;
use crate::gateway::{GateStatus, Replaced};
use crate::process::{AuthorityAtWork, Running};
use segwan_pki::authority::{Authority, AuthorityError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most live connections that are listed of one table.
const LISTED: usize = 100;

/// Looks at everything that runs.
pub async fn of(running: &Running) -> Status {
    let (services, clients) =
        running.gateway.status(LISTED).into_iter().partition::<Vec<_>, _>(|g| g.mode == "service");
    let authority = match &running.authority {
        Some(at_work) => Some(authority(at_work).await),
        None => None,
    };
    let identity = |agent: &std::sync::Arc<segwan::Agent>| {
        let status = agent.status();
        IdentityStatus {
            identity: status.identity.to_string(),
            not_after_ms: status.not_after_ms,
            renew_at_ms: Some(status.renew_at_ms),
            failures: status.failures,
            last_error: status.last_error,
        }
    };
    let table = |gate: GateStatus| {
        let refused = running.metrics.refused(&gate.name);
        table(gate, refused)
    };
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_ms: running.started_ms,
        authority,
        services: services.into_iter().map(&table).collect(),
        clients: clients.into_iter().map(&table).collect(),
        identities: running.agents.iter().map(identity).collect(),
        alarms: running.alarms.list(jiff::Timestamp::now().as_millisecond()),
    }
}

async fn authority(at_work: &AuthorityAtWork) -> AuthorityStatus {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let mut status = AuthorityStatus {
        listen: at_work.listen.to_string(),
        trust_domain: at_work.authority.trust_domain().to_string(),
        root_fingerprint: at_work.authority.root_fingerprint(),
        root_key_online: at_work.root_key_online(),
        issuing_keys_sealed: false,
        backup_ms: None,
        read_only: at_work.authority.is_read_only(),
        listening: at_work.authority.listening().len(),
        registrations: 0,
        open_tokens: 0,
        agents: 0,
        bundle_version: 0,
        in_force: 0,
        outage_budget_ms: None,
        fault: None,
    };
    if let Err(error) = ask(&at_work.authority, &mut status, now_ms).await {
        status.fault = Some(error.to_string());
    }
    status
}

/// What only the store knows.
async fn ask(
    authority: &Authority,
    status: &mut AuthorityStatus,
    now_ms: i64,
) -> Result<(), AuthorityError> {
    let registrations = authority.count_registrations().await?;
    status.registrations = usize::try_from(registrations).unwrap_or_default();
    status.open_tokens = authority.open_tokens(now_ms).await?;
    status.agents = authority.expected(now_ms).await?.len();
    status.bundle_version = authority.bundle_version().await?;
    let custody = authority.custody().await?;
    (status.issuing_keys_sealed, status.backup_ms) =
        (custody.issuing_keys_sealed, custody.backup_ms);
    (status.in_force, status.outage_budget_ms) = authority.outage_budget(now_ms).await?;
    Ok(())
}

fn table(gate: GateStatus, refused: BTreeMap<String, u64>) -> TableStatus {
    let counts = gate.counts;
    let peer = |live: crate::gateway::LiveStatus| PeerStatus {
        connection: live.connection,
        peer: live.peer,
        serial: live.serial,
        not_after_ms: live.not_after.saturating_mul(1000),
        address: live.address.to_string(),
        began_ms: live.began_unix_ms,
    };
    TableStatus {
        name: gate.name,
        listen: gate.listen.to_string(),
        to: gate.to,
        contract: gate.contract,
        contract_hash: gate.contract_hash,
        recorded: gate.recorded,
        shadow: gate.shadow,
        beside: gate.beside,
        uninspected: gate.uninspected,
        accepted: counts.accepted,
        handshakes: counts.handshakes,
        connections: counts.connections,
        replaced: counts.replaced,
        refused,
        peers: counts.live.into_iter().map(peer).collect(),
    }
}

/// A whole process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the binary.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When it started, Unix milliseconds.
    pub started_ms: i64,
    /// The Authority, if it runs here.
    pub authority: Option<AuthorityStatus>,
    /// Protected services.
    pub services: Vec<TableStatus>,
    /// Client halves.
    pub clients: Vec<TableStatus>,
    /// Identities of this process.
    pub identities: Vec<IdentityStatus>,
    /// Alarms that are raised.
    pub alarms: Vec<Raised>,
}

/// The Authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityStatus {
    /// Where it listens.
    pub listen: String,
    /// Its trust domain.
    pub trust_domain: String,
    /// SHA-256 of its root, lower-case hex.
    pub root_fingerprint: String,
    /// Whether the root's key lies on this host.
    pub root_key_online: bool,
    /// Whether the issuing keys are encrypted on the disk; else file mode alone protects them.
    pub issuing_keys_sealed: bool,
    /// When the last backup was made, Unix milliseconds.
    pub backup_ms: Option<i64>,
    /// Whether nothing is issued because the disk is full.
    pub read_only: bool,
    /// Agents that listen for events now.
    pub listening: usize,
    /// Registrations.
    pub registrations: usize,
    /// Tokens that can still be used.
    pub open_tokens: i64,
    /// Agents that were heard of within a week.
    pub agents: usize,
    /// Version of the trust bundle in force.
    pub bundle_version: i64,
    /// Holders of a certificate in force.
    pub in_force: i64,
    /// How long the Authority may stay down before the first of them has none, milliseconds.
    pub outage_budget_ms: Option<i64>,
    /// Why the numbers before this could not be read, if so.
    pub fault: Option<String>,
}

/// One service or client table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub listen: String,
    /// Where it leads.
    pub to: String,
    /// Name of the contract; none: uninspected.
    pub contract: Option<String>,
    /// The first 16 digits of its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract_hash: Option<String>,
    /// Whether what passes is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
    /// The contract is tried, and not enforced.
    #[serde(default)]
    pub shadow: bool,
    /// Name of the contract that is tried beside what is in force, and not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// What the contract lets pass uninspected, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uninspected: Option<String>,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Handshakes in progress.
    pub handshakes: usize,
    /// Connections at work.
    pub connections: usize,
    /// How many of them are under a contract that another took the place of, and until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
    /// Connections and messages turned away since the start, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Some of the connections at work.
    pub peers: Vec<PeerStatus>,
}

/// One connection at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Id of the connection.
    pub connection: String,
    /// Identity of the peer.
    pub peer: String,
    /// Serial number of its certificate.
    pub serial: String,
    /// End of its certificate, Unix milliseconds.
    pub not_after_ms: i64,
    /// Its address.
    pub address: String,
    /// When it began, Unix milliseconds.
    pub began_ms: i64,
}

/// One identity of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityStatus {
    /// The identity.
    pub identity: String,
    /// When its certificate ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// When it will be renewed, Unix milliseconds; none: by whoever made it.
    pub renew_at_ms: Option<i64>,
    /// Renewals that failed one after the other.
    pub failures: u32,
    /// Why the last one did.
    pub last_error: Option<String>,
}
