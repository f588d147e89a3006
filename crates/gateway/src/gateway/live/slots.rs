//! Slots: one for a handshake, one for a connection, each given back when dropped, so that no way out
//! of a connection can keep one.

use super::{Live, Order, Registry, State, Tenure, lock, unix_ms};
use segwan_core::identity::Peer;
use segwan_core::policy::ConnectionFacts;
use segwan_core::rejection::Reason;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// A handshake that waits for its peer longer than this may be evicted for a newcomer.
const EVICTABLE: Duration = Duration::from_millis(500);

/// Why there is no slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct NoSlot {
    pub(in crate::gateway) reason: Reason,
    pub(in crate::gateway) sentence: String,
}

/// A slot for a handshake; given back when dropped.
pub(in crate::gateway) struct Arriving {
    registry: Arc<Registry>,
    pub(in crate::gateway) live: Arc<Live>,
}

/// A slot for a connection; given back when dropped.
pub(in crate::gateway) struct Established {
    registry: Arc<Registry>,
    pub(in crate::gateway) live: Arc<Live>,
    counts_identity: bool,
}

impl Registry {
    /// Takes a handshake slot for a newcomer.
    pub(in crate::gateway) fn arrive(
        self: &Arc<Self>,
        address: SocketAddr,
    ) -> Result<Arriving, NoSlot> {
        let network = network(address.ip());
        let mut state = lock(&self.state);
        state.accepted += 1;
        state.check_arrival(network)?;
        if state.handshakes.len() >= state.limits.max_handshakes {
            state.evict()?;
        }
        let live = Arc::new(Live {
            id: new_id(),
            address,
            began: Instant::now(),
            began_unix_ms: unix_ms(),
            peer: OnceLock::new(),
            facts: OnceLock::new(),
            tenure: OnceLock::new(),
            order: AtomicU8::new(state.order.map_or(0, |order| order as u8)),
            withdrawn: OnceLock::new(),
            over: AtomicBool::new(false),
            waker: Mutex::default(),
        });
        state.handshakes.insert(live.id, live.clone());
        *state.handshakes_by_network.entry(network).or_default() += 1;
        Ok(Arriving { registry: self.clone(), live })
    }
}

impl State {
    fn check_arrival(&self, network: IpAddr) -> Result<(), NoSlot> {
        let limits = &self.limits;
        if self.connections.len() >= limits.max_connections {
            let sentence =
                format!("the listener already has {} connections", limits.max_connections);
            return Err(NoSlot { reason: Reason::ConnectionLimit, sentence });
        }
        if network.is_loopback() {
            return Ok(());
        }
        let of = |map: &HashMap<IpAddr, usize>| map.get(&network).copied().unwrap_or_default();
        let sentence = if of(&self.handshakes_by_network) >= limits.max_handshakes_per_address {
            let limit = limits.max_handshakes_per_address;
            format!("address {network} already has {limit} handshakes in progress (limit {limit})")
        } else if of(&self.connections_by_network) >= limits.max_connections_per_address {
            let limit = limits.max_connections_per_address;
            format!("address {network} already has {limit} connections (limit {limit})")
        } else {
            return Ok(());
        };
        Err(NoSlot { reason: Reason::AddressLimit, sentence })
    }

    /// Ends the oldest handshake if it has waited long enough; else the newcomer has to go. The
    /// evicted one gives its slot back within moments, so the limit is kept on the average.
    fn evict(&self) -> Result<(), NoSlot> {
        let waits = |live: &&Arc<Live>| live.order().is_none() && live.began.elapsed() > EVICTABLE;
        let excess = self.handshakes.len() - self.limits.max_handshakes;
        match self.handshakes.values().find(waits) {
            Some(oldest) if excess < self.limits.max_handshakes => {
                oldest.tell(Order::Evict);
                Ok(())
            }
            _ => {
                let limit = self.limits.max_handshakes;
                let sentence = format!("the listener already has {limit} handshakes in progress");
                Err(NoSlot { reason: Reason::HandshakeLimit, sentence })
            }
        }
    }
}

impl Arriving {
    /// Registers a verified peer: first registered, then judged, so that nothing that ends trust
    /// in between can miss it (ADV-12). There are no `facts` where the peer is the one server that
    /// all connections go to; then it is not counted by its identity.
    ///
    /// The slot of the handshake is given back when this is dropped: at once for who is let in,
    /// after the last words for who is not, so that nobody is at hand without a slot.
    ///
    /// `pin` gives what it is opened under, and is called while nothing of that can change: who is
    /// registered is under what is in force, or is found by whoever replaces it.
    pub(in crate::gateway) fn establish<T>(
        &self,
        peer: &Arc<Peer>,
        facts: Option<ConnectionFacts>,
        pin: impl FnOnce() -> (Arc<Tenure>, T),
    ) -> Result<(Established, T), NoSlot> {
        let counts_identity = facts.is_some();
        let mut state = lock(&self.registry.state);
        let limits = &state.limits;
        if state.connections.len() >= limits.max_connections {
            let sentence =
                format!("the listener already has {} connections", limits.max_connections);
            return Err(NoSlot { reason: Reason::ConnectionLimit, sentence });
        }
        if counts_identity {
            let identity = peer.identity();
            let count = state.connections_by_identity.get(identity).copied().unwrap_or_default();
            let limit = limits.max_connections_per_identity;
            if count >= limit {
                let sentence =
                    format!("{identity} already has {limit} connections (limit {limit})");
                return Err(NoSlot { reason: Reason::IdentityLimit, sentence });
            }
            state.connections_by_identity.insert(identity.clone(), count + 1);
        }
        let (tenure, pinned) = pin();
        let _ = self.live.peer.set(peer.clone());
        let _ = self.live.tenure.set(tenure);
        if let Some(facts) = facts {
            let _ = self.live.facts.set(facts);
        }
        // No handshake any more, so no newcomer may evict it.
        state.handshakes.remove(&self.live.id);
        state.connections.insert(self.live.id, self.live.clone());
        *state.connections_by_network.entry(network(self.live.address.ip())).or_default() += 1;
        drop(state);
        let (registry, live) = (self.registry.clone(), self.live.clone());
        Ok((Established { registry, live, counts_identity }, pinned))
    }
}

impl Established {
    /// Nothing passes any more: whoever waits for that need not wait for farewells.
    pub(in crate::gateway) fn over(&self) {
        self.live.over.store(true, Ordering::Release);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut state = lock(&self.registry.state);
        state.handshakes.remove(&self.live.id);
        lower(&mut state.handshakes_by_network, &network(self.live.address.ip()));
        if state.is_empty() {
            self.registry.emptied.notify_waiters();
        }
    }
}

impl Drop for Established {
    fn drop(&mut self) {
        self.over();
        let mut state = lock(&self.registry.state);
        state.connections.remove(&self.live.id);
        lower(&mut state.connections_by_network, &network(self.live.address.ip()));
        if let Some(peer) = self.live.peer.get()
            && self.counts_identity
        {
            lower(&mut state.connections_by_identity, peer.identity());
        }
        if state.is_empty() {
            self.registry.emptied.notify_waiters();
        }
    }
}

/// One less; none is no entry, so a table is never larger than what is live.
fn lower<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address (ADV-10).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
        }
        other => other,
    }
}

/// An id that no other connection of this process has, and hardly one of another run.
fn new_id() -> u64 {
    static FIRST: LazyLock<u64> = LazyLock::new(|| unix_ms().unsigned_abs() << 20);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    FIRST.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}
