//! Shadow mode: a contract is tried on a copy of what a connection says.
//!
//! The relay passes bytes as it does for `raw`; behind that it hands a copy to a bounded queue and
//! goes on, whatever became of it. One thread of the process looks at the copies. It has no handle
//! of a connection, and a [`ShadowVerdict`] leads nowhere but to the record, so nothing that a tried
//! contract is, or does, can block: not a refusal, not a fault, not a judge that is too slow.
//! Beside a contract in force it is the same: a copy of what each side said, before that judges it.

use crate::record::Recorder;
use segwan_core::audit::{Event, EventKind};
use segwan_core::contract::{Contract, Side};
use segwan_core::identity::Peer;
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::{ConnectionFacts, Denial, Policy};
use segwan_core::rejection::Class;
use segwan_core::session::{Shadow, ShadowVerdict, Warrant};
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

/// What follows a refusal is no exchange of which a contract knows anything.
const FULL: &str = "copies wait for the judge, and no more have room";
const REFUSED: &str = "the contract in force refused a message, so what follows is not what would \
                       have been said without it";
/// What a verdict says where it could give away what the contract in force keeps secret.
pub(crate) const HIDDEN: &str = "the contract in force has secrets here, so no more is told";

/// A contract that is tried beside what is in force, and the policy by which it would authorize.
///
/// Nothing is let in, or reached, by either.
#[derive(Clone)]
pub struct Tried {
    /// The contract; its own `mode` does not matter.
    pub contract: Arc<Contract>,
    /// The policy, compiled against the actions of that contract.
    pub policy: Arc<Policy>,
}

/// A connection that the policy in force let in, and the tried one has not judged yet.
pub(super) struct Arrived {
    pub(super) tried: Tried,
    pub(super) peer: Arc<Peer>,
    pub(super) facts: ConnectionFacts,
    pub(super) limits: Limits,
    /// Sides that say secrets, by the contract in force.
    pub(super) secrets: [bool; 2],
}

impl Arrived {
    /// What the tried policy makes of it.
    fn open(&self, now: Now) -> Result<Shadow, Denial> {
        let Self { tried, peer, facts, limits, .. } = self;
        let permit = tried.policy.admit(peer.clone(), facts.clone(), now)?;
        Ok(Shadow::open(Warrant::Permit(permit), tried.contract.clone(), limits, now))
    }
}

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
            looking: Mutex::new(Looking::Open(Box::new(shadow))),
            policy,
            whose,
            recorder,
            hidden: [false; 2],
            waiting: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        };
        self.tapping(watched, secrets)
    }

    /// Taps a connection under what is in force. Whether the tried policy would have let it in is
    /// found out where copies are looked at, too.
    pub(super) fn tap_beside(&self, arrived: Arrived, whose: Event, recorder: Recorder) -> Tap {
        let hidden = arrived.secrets;
        let [client, server] = hidden;
        let contract = &arrived.tried.contract;
        let secrets = [
            client || contract.has_secrets(Side::Client),
            server || contract.has_secrets(Side::Server),
        ];
        let watched = Watched {
            policy: Some(arrived.tried.policy.clone()),
            looking: Mutex::new(Looking::Arrived(Box::new(arrived))),
            whose,
            recorder,
            hidden,
            waiting: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        };
        self.tapping(watched, secrets)
    }

    fn tapping(&self, watched: Watched, secrets: [bool; 2]) -> Tap {
        Tap { desk: self.clone(), watched: Arc::new(watched), secrets, refused: false }
    }
}

/// Hands copies of what one connection says to the desk, and never waits.
pub(super) struct Tap {
    desk: Desk,
    watched: Arc<Watched>,
    secrets: [bool; 2],
    /// The contract in force refused a message.
    refused: bool,
}

impl Tap {
    /// A side said these bytes.
    pub(super) fn said(&mut self, side: Side, bytes: &[u8]) {
        if self.is_over() {
            return;
        }
        if self.refused {
            return self.lose(REFUSED);
        }
        let Some(share) = self.share(bytes.len()) else { return self.lose(FULL) };
        let secret = self.has_secrets(side);
        self.hand_in(What::Said { side, bytes: bytes.to_vec(), secret }, share);
    }

    /// A side ended what it says.
    pub(super) fn ended(&mut self, side: Side, clean: bool) {
        if self.is_over() || self.refused {
            return;
        }
        let Some(share) = self.share(0) else { return self.lose(FULL) };
        self.hand_in(What::Ended { side, clean }, share);
    }

    /// The contract in force refused a message, which its receiver therefore never saw: what is
    /// said from here on cannot be judged. If nothing is, nothing was lost.
    pub(super) fn refused(&mut self) {
        self.refused = true;
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
            self.lose(FULL);
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

    /// There is no copy of something, so what follows cannot be judged.
    fn lose(&self, sentence: &str) {
        if !self.watched.over.swap(true, Ordering::Relaxed) {
            self.watched.tell_lost(sentence);
        }
    }
}

/// How far looking at a connection came.
enum Looking {
    Arrived(Box<Arrived>),
    Open(Box<Shadow>),
    /// A fault ended it, or the tried policy would not have let the connection in.
    Over,
}

/// One tapped connection, as the thread that looks at copies has it.
struct Watched {
    looking: Mutex<Looking>,
    policy: Option<Arc<Policy>>,
    whose: Event,
    recorder: Recorder,
    /// Sides of which a verdict gives class and reason alone.
    hidden: [bool; 2],
    /// Bytes of copies that wait.
    waiting: AtomicUsize,
    /// No more copies are needed.
    over: AtomicBool,
}

impl Watched {
    fn tell(&self, told: Vec<ShadowVerdict>) {
        for verdict in told {
            self.record(self.discreet(verdict.into_event()));
        }
    }

    /// Takes out of a verdict what the tried contract does not know to be a secret.
    fn discreet(&self, event: Event) -> Event {
        let [client, server] = self.hidden;
        let hidden = match event.direction {
            Some("client") => client,
            Some("server") => server,
            _ => client || server,
        };
        if !hidden || event.event != EventKind::WouldReject {
            return event;
        }
        let sentence = HIDDEN.to_owned();
        let event = Event { pointer: None, bound: None, value: None, bytes: None, ..event };
        Event { sentence, resources: Vec::new(), ..event }
    }

    /// The tried policy would not have let the connection in.
    fn tell_denied(&self, denial: Denial) {
        let Denial { reason, sentence, policies } = denial;
        let mut event = Event::new(EventKind::WouldReject);
        event.class = Some(Class::Denied);
        event.reason = Some(reason);
        event.direction = Some("client");
        (event.sentence, event.policies) = (sentence, policies);
        self.record(event);
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
        if event.contract.is_none() {
            event.contract.clone_from(&whose.contract);
            event.contract_hash.clone_from(&whose.contract_hash);
            event.mode = Some("shadow");
        }
        self.recorder.record_aside(event);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let looking = self.looking.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Looking::Open(shadow) = looking else { return };
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

impl Looking {
    /// What looks at the connection, if anything does any more; it begins with the first copy.
    fn shadow(&mut self, now: Now) -> Result<Option<&mut Shadow>, Denial> {
        if let Self::Arrived(arrived) = self {
            *self = Self::Open(Box::new(arrived.open(now)?));
        }
        Ok(match self {
            Self::Open(shadow) => Some(shadow),
            Self::Arrived(_) | Self::Over => None,
        })
    }
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
        let mut looking = lock(&of.looking);
        let mut told = Vec::new();
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let Some(shadow) = looking.shadow(now)? else { return Ok(true) };
            match &self.what {
                What::Said { side, bytes, .. } => {
                    shadow.receive(*side, bytes, policy, now, &mut told);
                }
                What::Ended { side, clean } => {
                    shadow.end(*side, *clean, policy, now, &mut told);
                }
            }
            Ok(shadow.is_over())
        }));
        let over = !matches!(looked, Ok(Ok(false)));
        if !matches!(looked, Ok(Ok(_))) {
            *looking = Looking::Over;
        }
        drop(looking);
        of.tell(told);
        if over {
            of.over.store(true, Ordering::Relaxed);
        }
        match looked {
            Ok(Ok(_)) => {}
            Ok(Err(denial)) => of.tell_denied(denial),
            Err(_) => of.tell_lost("the judge met a fault of its own"),
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
