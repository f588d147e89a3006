//! `Recorder`: takes events from the data path without ever making it wait.

use segwan_core::audit::{Event, EventKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// A full queue this old stops the gateway from letting anything in.
const BLOCKED: Duration = Duration::from_secs(1);
/// Most events of tried contracts that wait at once.
const ASIDE: u64 = 1024;

/// The sending end of the bounded queue of events.
#[derive(Clone)]
pub struct Recorder {
    queue: SyncSender<Event>,
    room: Arc<Room>,
}

/// Whether the queue has room, as both of its ends know it.
#[derive(Debug)]
pub(crate) struct Room {
    base: Instant,
    /// Milliseconds from the base, plus one, since the queue takes nothing; 0 while it does.
    full_since: AtomicU64,
    lost: AtomicU64,
    /// Events of tried contracts that wait, and those that found no room.
    aside: AtomicU64,
    untold: AtomicU64,
}

impl Recorder {
    /// A recorder and the end from which its events are written; at most `size` wait.
    #[must_use]
    pub fn new(size: usize) -> (Self, Receiver<Event>) {
        let (queue, events) = sync_channel(size);
        let none = || AtomicU64::new(0);
        let room = Room {
            base: Instant::now(),
            full_since: none(),
            lost: none(),
            aside: none(),
            untold: none(),
        };
        (Self { queue, room: Arc::new(room) }, events)
    }

    /// Puts `event` on the record. If the queue is full, or nobody reads it, the event is counted
    /// as lost, and soon the record is [`blocked`](Self::blocked).
    pub fn record(&self, event: Event) {
        match self.queue.try_send(event) {
            Ok(()) => self.room.made(),
            Err(_) => self.room.missed(),
        }
    }

    /// Puts `event` on the record if that keeps most of its room for what does decide something:
    /// what a tried contract has to say blocks nothing. If not, it is counted.
    pub(crate) fn record_aside(&self, event: Event) {
        let room = &self.room;
        let free = room.aside.fetch_add(1, Ordering::Relaxed) < ASIDE;
        if !free || self.queue.try_send(event).is_err() {
            room.aside.fetch_sub(1, Ordering::Relaxed);
            room.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the record cannot be written, so that nothing may be let in. It ends by itself
    /// when events are written again.
    #[must_use]
    pub fn blocked(&self) -> bool {
        let since = self.room.full_since.load(Ordering::Relaxed);
        let blocked = u64::try_from(BLOCKED.as_millis()).unwrap_or(u64::MAX);
        since != 0 && self.room.now().saturating_sub(since) >= blocked
    }

    /// What the end that writes has to tell: that there is room again.
    pub(crate) fn room(&self) -> Arc<Room> {
        Arc::clone(&self.room)
    }
}

impl Room {
    /// There is room.
    pub(crate) fn made(&self) {
        if self.full_since.load(Ordering::Relaxed) != 0 {
            self.full_since.store(0, Ordering::Relaxed);
        }
    }

    /// Events that found no room since this was last asked.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// An event was taken out of the queue.
    pub(crate) fn took(&self, event: &Event) {
        if matches!(event.event, EventKind::WouldReject | EventKind::ShadowLost) {
            self.aside.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Events of tried contracts that found no room since this was last asked.
    pub(crate) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    fn missed(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        let _ =
            self.full_since.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue that has been full for longer than is borne.
    fn full() -> (Recorder, Receiver<Event>) {
        let (recorder, events) = Recorder::new(2);
        for _ in 0..5 {
            recorder.record(Event::new(EventKind::Cleared));
        }
        std::thread::park_timeout(BLOCKED + Duration::from_millis(100));
        (recorder, events)
    }

    // ADV-38, TRAP-24
    #[test]
    fn a_queue_that_stays_full_blocks_and_opens_again_without_a_new_event() {
        let (recorder, events) = full();
        assert!(recorder.blocked());
        assert_eq!(recorder.room().take_lost(), 3);
        assert_eq!(events.try_iter().count(), 2);
        recorder.room().made();
        assert!(!recorder.blocked());
    }

    #[test]
    fn a_record_that_nobody_writes_is_blocked() {
        let (recorder, events) = full();
        drop(events);
        recorder.room().made();
        recorder.record(Event::new(EventKind::Cleared));
        std::thread::park_timeout(BLOCKED + Duration::from_millis(100));
        assert!(recorder.blocked());
    }

    // TRAP-24, ADV-45
    #[test]
    fn what_a_tried_contract_says_leaves_room_and_blocks_nothing() {
        let (recorder, events) = Recorder::new(usize::try_from(2 * ASIDE).unwrap());
        for _ in 0..3 * ASIDE {
            recorder.record_aside(Event::new(EventKind::WouldReject));
        }
        assert_eq!(recorder.room().take_untold(), 2 * ASIDE);
        for _ in 0..ASIDE {
            recorder.record(Event::new(EventKind::Closed));
        }
        assert_eq!(recorder.room().take_lost(), 0);
        let waiting: Vec<_> = events.try_iter().inspect(|e| recorder.room().took(e)).collect();
        assert_eq!(waiting.len() as u64, 2 * ASIDE);
        recorder.record_aside(Event::new(EventKind::WouldReject));
        assert_eq!(events.try_iter().count(), 1);
        // A queue that is full is nothing that it blocks.
        let (recorder, _events) = Recorder::new(0);
        recorder.record_aside(Event::new(EventKind::WouldReject));
        std::thread::park_timeout(BLOCKED + Duration::from_millis(100));
        assert!(!recorder.blocked());
    }
}
