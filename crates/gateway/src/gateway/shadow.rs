//! Shadow mode: a contract is tried on a copy of what a connection says.
//!
//! The relay passes bytes as it does for `raw`; behind that it hands a copy to a bounded queue and
//! goes on, whatever became of it. One thread of the process looks at the copies. It has no handle
//! of a connection, and a [`ShadowVerdict`] leads nowhere but to the record, so nothing that a tried
//! contract is, or does, can block: not a refusal, not a fault, not a judge that is too slow.

use crate::record::Recorder;
use segwan_core::audit::{Event, EventKind};
use segwan_core::contract::Side;
use segwan_core::now::Now;
use segwan_core::policy::Policy;
use segwan_core::session::{Shadow, ShadowVerdict};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// Most copies that wait to be looked at.
const COPIES: usize = 16 * 1024;
/// Most bytes of them in the process, and of one connection.
const BYTES: usize = 32 << 20;
const BYTES_OF_ONE: usize = 1 << 20;

/// Where copies are handed in.
#[derive(Clone)]
pub(super) struct Desk {
    queue: SyncSender<Copied>,
    waiting: Arc<AtomicUsize>,
}

impl Desk {
    /// Starts the thread that looks at copies. It ends when the last desk and the last tap are gone.
    pub(super) fn start() -> io::Result<(Self, JoinHandle<()>)> {
        let (desk, copies) = Self::new(COPIES);
        let look = move || copies.into_iter().for_each(|copied| copied.look());
        let thread = std::thread::Builder::new().name("segwan-shadow".to_owned()).spawn(look)?;
        Ok((desk, thread))
    }

    fn new(copies: usize) -> (Self, Receiver<Copied>) {
        let (queue, receiver) = sync_channel(copies);
        (Self { queue, waiting: Arc::default() }, receiver)
    }

    /// Taps a connection; `whose` is an event that says which it is.
    pub(super) fn tap(
        &self,
        shadow: Shadow,
        policy: Option<Arc<Policy>>,
        whose: Event,
        recorder: Recorder,
    ) -> Tap {
        let secrets = [Side::Client, Side::Server].map(|side| shadow.has_secrets(side));
        let watched = Watched {
            shadow: Mutex::new(Some(shadow)),
            policy,
            whose,
            recorder,
            waiting: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        };
        Tap { desk: self.clone(), watched: Arc::new(watched), secrets }
    }
}

/// Hands copies of what one connection says to the desk, and never waits.
pub(super) struct Tap {
    desk: Desk,
    watched: Arc<Watched>,
    secrets: [bool; 2],
}

impl Tap {
    /// A side said these bytes, which were passed on.
    pub(super) fn said(&mut self, side: Side, bytes: &[u8]) {
        if self.is_over() {
            return;
        }
        let Some(share) = self.share(bytes.len()) else { return self.lose() };
        let secret = self.has_secrets(side);
        self.hand_in(What::Said { side, bytes: bytes.to_vec(), secret }, share);
    }

    /// A side ended what it says.
    pub(super) fn ended(&mut self, side: Side, clean: bool) {
        if self.is_over() {
            return;
        }
        let Some(share) = self.share(0) else { return self.lose() };
        self.hand_in(What::Ended { side, clean }, share);
    }

    /// Whether what this side says may hold secrets.
    pub(super) fn has_secrets(&self, side: Side) -> bool {
        let [client, server] = self.secrets;
        if side == Side::Client { client } else { server }
    }

    fn is_over(&self) -> bool {
        self.watched.over.load(Ordering::Relaxed)
    }

    fn hand_in(&self, what: What, share: Share) {
        let copied = Copied { what, share };
        if self.desk.queue.try_send(copied).is_err() {
            self.lose();
        }
    }

    /// Room for so many bytes, if there is any.
    fn share(&self, size: usize) -> Option<Share> {
        let (of, all) = (self.watched.clone(), self.desk.waiting.clone());
        let own = of.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        let whole = all.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        // What was taken is given back when it is dropped.
        let share = Share { of, all, size };
        (own <= BYTES_OF_ONE && whole <= BYTES).then_some(share)
    }

    /// There is no room for a copy, so what follows cannot be judged.
    fn lose(&self) {
        if !self.watched.over.swap(true, Ordering::Relaxed) {
            self.watched.tell_lost("copies wait for the judge, and no more have room");
        }
    }
}

/// One tapped connection, as the thread that looks at copies has it.
struct Watched {
    /// None once a fault ended it.
    shadow: Mutex<Option<Shadow>>,
    policy: Option<Arc<Policy>>,
    whose: Event,
    recorder: Recorder,
    /// Bytes of copies that wait.
    waiting: AtomicUsize,
    /// No more copies are needed.
    over: AtomicBool,
}

impl Watched {
    fn tell(&self, told: Vec<ShadowVerdict>) {
        for verdict in told {
            self.record(verdict.into_event());
        }
    }

    fn tell_lost(&self, sentence: &str) {
        let mut event = Event::new(EventKind::ShadowLost);
        event.sentence = sentence.to_owned();
        self.record(event);
    }

    fn record(&self, mut event: Event) {
        let whose = &self.whose;
        event.service.clone_from(&whose.service);
        event.connection.clone_from(&whose.connection);
        event.address.clone_from(&whose.address);
        event.peer.clone_from(&whose.peer);
        event.serial.clone_from(&whose.serial);
        event.issuer.clone_from(&whose.issuer);
        event.contract = event.contract.or_else(|| whose.contract.clone());
        self.recorder.record_aside(event);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let shadow = self.shadow.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(mut shadow) = shadow.take() else { return };
        let mut told = Vec::new();
        shadow.close(&mut told);
        self.tell(told);
    }
}

/// Bytes that a copy takes of what may wait; given back when it is dropped.
struct Share {
    of: Arc<Watched>,
    all: Arc<AtomicUsize>,
    size: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.waiting.fetch_sub(self.size, Ordering::Relaxed);
        self.all.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// A copy of what a side said, on its way to be looked at.
struct Copied {
    what: What,
    share: Share,
}

enum What {
    Said { side: Side, bytes: Vec<u8>, secret: bool },
    Ended { side: Side, clean: bool },
}

impl Copied {
    fn look(&self) {
        let of = &self.share.of;
        let now = Now { instant: Instant::now(), unix_ms: super::live::unix_ms() };
        let policy = of.policy.as_deref();
        let mut slot = lock(&of.shadow);
        let Some(shadow) = slot.as_mut() else { return };
        let mut told = Vec::new();
        let looked = catch_unwind(AssertUnwindSafe(|| match &self.what {
            What::Said { side, bytes, .. } => shadow.receive(*side, bytes, policy, now, &mut told),
            What::Ended { side, clean } => shadow.end(*side, *clean, policy, now, &mut told),
        }));
        let over = looked.is_err() || shadow.is_over();
        if looked.is_err() {
            *slot = None;
        }
        drop(slot);
        of.tell(told);
        if over {
            of.over.store(true, Ordering::Relaxed);
        }
        if looked.is_err() {
            of.tell_lost("the judge met a fault of its own");
        }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let What::Said { bytes, secret: true, .. } = &mut self.what {
            zeroize::Zeroize::zeroize(bytes);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
