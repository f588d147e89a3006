//! `Registry`: the live connections of one listener, their slots, and a way to end each.
//!
//! Handshakes and connections are counted apart, so whoever connects and stays silent takes no
//! room from those at work (`trust.md` section 7). Nothing here is larger than the limits.

mod sweep;

pub(super) use sweep::Examined;

use super::setting::{Over, Tenure};
use segwan_core::identity::{Identity, Peer};
use segwan_core::limits::Limits;
use segwan_core::policy::ConnectionFacts;
use segwan_core::rejection::Reason;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// A handshake that waits for its peer longer than this may be evicted for a newcomer.
const EVICTABLE: Duration = Duration::from_millis(500);

/// What a connection is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// End at the next quiet moment.
    Drain = 1,
    /// End now.
    Cut = 2,
    /// Make room: the handshake took too long while others wait.
    Evict = 3,
    /// End now, and pass not one byte more: the peer is not believed any more.
    Withdraw = 4,
}

/// One connection, from accept to its end.
pub(super) struct Live {
    pub(super) id: u64,
    pub(super) address: SocketAddr,
    pub(super) began: Instant,
    pub(super) began_unix_ms: i64,
    peer: OnceLock<Arc<Peer>>,
    /// What a policy knows of it; nothing in client mode.
    facts: OnceLock<ConnectionFacts>,
    /// The time of the contract that it was opened under.
    tenure: OnceLock<Arc<Tenure>>,
    order: AtomicU8,
    /// Why its peer is not believed any more.
    withdrawn: OnceLock<(Reason, String)>,
    /// Nothing passes any more; what is left are farewells.
    over: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Live {
    /// The id as 16 hex digits.
    pub(super) fn name(&self) -> String {
        format!("{:016x}", self.id)
    }

    /// What it was told, if anything.
    pub(super) fn order(&self) -> Option<Order> {
        match self.order.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Order::Drain),
            2 => Some(Order::Cut),
            3 => Some(Order::Evict),
            _ => Some(Order::Withdraw),
        }
    }

    /// Its peer, once it is verified.
    pub(super) fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.get()
    }

    /// Its peer, and what else a policy has to know to admit it.
    pub(super) fn admitted(&self) -> Option<(&Arc<Peer>, &ConnectionFacts)> {
        self.peer.get().zip(self.facts.get())
    }

    /// Whether another contract is in force than the one that it was opened under.
    pub(super) fn replaced(&self) -> Option<&Over> {
        self.tenure.get()?.over()
    }

    /// Why its peer is not believed any more, if it is not. Asked before each write.
    pub(super) fn withdrawn(&self) -> Option<(Reason, String)> {
        if self.order.load(Ordering::Acquire) < Order::Withdraw as u8 {
            return None;
        }
        self.withdrawn.get().cloned()
    }

    /// Tells it that its peer is not believed any more; whether nobody had before.
    pub(super) fn withdraw(&self, reason: Reason, sentence: String) -> bool {
        let first = self.withdrawn.set((reason, sentence)).is_ok();
        self.tell(Order::Withdraw);
        first
    }

    /// Has `waker` called at every order from now on.
    pub(super) fn listen(&self, waker: &Waker) {
        *lock(&self.waker) = Some(waker.clone());
    }

    fn tell(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.wake();
    }

    fn wake(&self) {
        // The waker stays: a cut may follow a drain, and the task listens only once.
        let waker = lock(&self.waker).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// All connections of one listener.
pub(super) struct Registry {
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    limits: Limits,
    order: Option<Order>,
    /// By id, which grows: the first is the oldest.
    handshakes: BTreeMap<u64, Arc<Live>>,
    handshakes_by_network: HashMap<IpAddr, usize>,
    connections: HashMap<u64, Arc<Live>>,
    connections_by_network: HashMap<IpAddr, usize>,
    connections_by_identity: HashMap<Identity, usize>,
    accepted: u64,
    refused: BTreeMap<Reason, u64>,
}

/// Why there is no slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoSlot {
    pub(super) reason: Reason,
    pub(super) sentence: String,
}

/// A slot for a handshake; given back when dropped.
pub(super) struct Arriving {
    registry: Arc<Registry>,
    pub(super) live: Arc<Live>,
}

/// A slot for a connection; given back when dropped.
pub(super) struct Established {
    registry: Arc<Registry>,
    pub(super) live: Arc<Live>,
    counts_identity: bool,
}

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
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let state = Mutex::new(State { limits, ..State::default() });
        Arc::new(Self { state, emptied: Notify::new() })
    }

    /// Does `swap` while nobody is registered, for whoever comes from now on, and has those look who
    /// are under what it replaced.
    pub(super) fn change(&self, limits: &Limits, swap: impl FnOnce()) {
        let mut state = lock(&self.state);
        state.limits = limits.clone();
        swap();
        let replaced = state.connections.values().filter(|live| live.replaced().is_some());
        replaced.for_each(|live| live.wake());
    }

    /// Takes a handshake slot for a newcomer.
    pub(super) fn arrive(self: &Arc<Self>, address: SocketAddr) -> Result<Arriving, NoSlot> {
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

    /// Counts one that was turned away.
    pub(super) fn count_refused(&self, reason: Reason) {
        *lock(&self.state).refused.entry(reason).or_default() += 1;
    }

    /// Tells every connection, and every one that comes from now on.
    pub(super) fn tell_all(&self, order: Order) {
        let mut state = lock(&self.state);
        state.order = state.order.max(Some(order));
        for live in state.handshakes.values().chain(state.connections.values()) {
            live.tell(order);
        }
    }

    /// Waits until nothing is live.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if lock(&self.state).is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// The numbers, and at most `list` of the live connections.
    pub(super) fn counts(&self, list: usize) -> Counts {
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

    fn is_empty(&self) -> bool {
        self.handshakes.is_empty() && self.connections.is_empty()
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
    pub(super) fn establish<T>(
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
    pub(super) fn over(&self) {
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

pub(super) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The state is a set of counts: a panic while it was held leaves nothing half done that matters
/// more than going on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
