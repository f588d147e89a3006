//! `Status`: how a process stands, as `segwan status` shows it and the admin socket gives it.

pub mod when;

use crate::gateway::GateStatus;
use crate::process::{AuthorityAtWork, Running};
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
    }
}

async fn authority(at_work: &AuthorityAtWork) -> AuthorityStatus {
    let AuthorityAtWork { authority, listen, root_key_online, .. } = at_work;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let registrations = authority.registrations().await.map(|all| all.len());
    let open_tokens = authority.open_tokens(now_ms).await;
    let fault =
        registrations.as_ref().err().or_else(|| open_tokens.as_ref().err()).map(|e| e.to_string());
    AuthorityStatus {
        listen: listen.to_string(),
        trust_domain: authority.trust_domain().to_string(),
        root_fingerprint: authority.root_fingerprint(),
        root_key_online: *root_key_online,
        registrations: registrations.unwrap_or_default(),
        open_tokens: open_tokens.unwrap_or_default(),
        fault,
    }
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
        accepted: counts.accepted,
        handshakes: counts.handshakes,
        connections: counts.connections,
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
    /// Registrations.
    pub registrations: usize,
    /// Tokens that can still be used.
    pub open_tokens: i64,
    /// Why the two numbers before this could not be read, if so.
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
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Handshakes in progress.
    pub handshakes: usize,
    /// Connections at work.
    pub connections: usize,
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
