//! `Registry`: the live connections of one listener, their slots, and a way to end each.
//!
//! Handshakes and connections are counted apart, so whoever connects and stays silent takes no
//! room from those at work (`trust.md` section 7). Nothing here is larger than the limits.

mod counts;
mod slots;
mod sweep;

pub use counts::{Counts, LiveStatus, Replaced};
pub(super) use slots::{Arriving, Established};
pub(super) use sweep::Examined;

use super::setting::{Over, Tenure};
use segwan_core::identity::{Identity, Peer};
use segwan_core::limits::Limits;
use segwan_core::policy::ConnectionFacts;
use segwan_core::rejection::Reason;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

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
}

impl State {
    fn is_empty(&self) -> bool {
        self.handshakes.is_empty() && self.connections.is_empty()
    }
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
