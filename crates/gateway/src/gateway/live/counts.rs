//! The numbers of one listener, and its first connections, as `segwan status` shows them.

use super::{Over, Registry, lock, unix_ms};
use segwan_core::rejection::Reason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

/// One live connection, as `segwan status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveStatus {
    /// Id of the connection.
    pub connection: String,
    /// Identity of the peer.
    pub peer: String,
    /// Serial number of its certificate.
    pub serial: String,
    /// Earliest end of its certificates, Unix seconds.
    pub not_after: i64,
    /// Its address.
    pub address: SocketAddr,
    /// When it began, Unix milliseconds.
    pub began_unix_ms: i64,
}

/// The numbers of one listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Handshakes in progress.
    pub handshakes: usize,
    /// Connections at work.
    pub connections: usize,
    /// Connections turned away before they were admitted, by reason.
    pub refused: BTreeMap<Reason, u64>,
    /// Connections at work under a contract that another took the place of.
    pub replaced: Vec<Replaced>,
    /// The first connections at work, up to the number asked for.
    pub live: Vec<LiveStatus>,
}

/// Connections that go on for a while under a contract that is not in force any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// That contract; none: nothing was enforced.
    pub contract: Option<String>,
    /// How many.
    pub connections: usize,
    /// Until when they go on, Unix milliseconds; then they end at a quiet moment.
    pub until_ms: i64,
}

impl Registry {
    /// The numbers, and at most `list` of the live connections.
    pub(in crate::gateway) fn counts(&self, list: usize) -> Counts {
        let state = lock(&self.state);
        let live = state.connections.values().take(list).filter_map(|live| {
            let peer = live.peer.get()?;
            Some(LiveStatus {
                connection: live.name(),
                peer: peer.identity().to_string(),
                serial: peer.certificate().serial.clone(),
                not_after: peer.certificate().not_after,
                address: live.address,
                began_unix_ms: live.began_unix_ms,
            })
        });
        let mut replaced = Vec::new();
        for over in state.connections.values().filter_map(|live| live.replaced()) {
            count_replaced(&mut replaced, over);
        }
        Counts {
            replaced,
            accepted: state.accepted,
            handshakes: state.handshakes.len(),
            connections: state.connections.len(),
            refused: state.refused.clone(),
            live: live.collect(),
        }
    }
}

/// Counts one more connection; those of one contract are counted together, until the last end.
fn count_replaced(all: &mut Vec<Replaced>, over: &Over) {
    let now = Instant::now();
    let left = over.until.saturating_duration_since(now).as_millis();
    let past = now.saturating_duration_since(over.until).as_millis();
    let ms = |span: u128| i64::try_from(span).unwrap_or(i64::MAX);
    let until_ms = unix_ms().saturating_add(ms(left)).saturating_sub(ms(past));
    match all.iter_mut().find(|it| it.contract == over.contract) {
        Some(known) => {
            known.connections += 1;
            known.until_ms = known.until_ms.max(until_ms);
        }
        None => {
            let contract = over.contract.clone();
            all.push(Replaced { contract, connections: 1, until_ms });
        }
    }
}
