//! The audit log: JSON lines, hash-chained, written by a thread of its own (`trust.md` 10.3).
//!
//! The data path puts events into a bounded queue and never waits. While the disk takes nothing
//! this thread keeps what it has and tries again, so the queue fills, the [`Recorder`] is blocked
//! and nobody is let in: what cannot be recorded does not happen.

mod chain;
mod file;
mod told;
mod verify;

use crate::metrics::Metrics;
use crate::record::{Recorder, Room};
use chain::Link;
pub(crate) use file::LONGEST_LINE;
use file::{LogFile, Medium, Opened};
use jiff::Timestamp;
use segwan_core::audit::{Event, EventKind};
use segwan_core::rejection::Reason;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
pub(crate) use told::OVER;
use told::Teller;

pub use verify::{Broken, Verified, list, verify};

/// Most events that wait to be written.
pub const QUEUE: usize = 8192;
/// A batch ends when its lines have this many bytes.
const BATCH: usize = 1 << 20;
/// What was written is on the disk after this long.
const SYNC: Duration = Duration::from_secs(1);
/// Between two tries to write to a disk that takes nothing.
const RETRY: Duration = Duration::from_millis(200);
/// How often the human log hears that nothing can be written.
const COMPLAINT: Duration = Duration::from_secs(60);
/// How long a closing log tries to write what waits.
const LAST: Duration = Duration::from_secs(5);

/// The thread that writes.
#[derive(Debug)]
pub struct AuditLog {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AuditLog {
    /// Opens the log in `directory`, continues its chain, and starts the thread that writes it;
    /// every event is also counted in `metrics` and told in the human log.
    ///
    /// What a crash left of a last line is cut off, and an alarm says so.
    ///
    /// # Errors
    /// If the log cannot be written, another process writes it, or its last line is whole but no
    /// line of a log.
    pub fn open(directory: &Path, metrics: Arc<Metrics>) -> Result<(Recorder, Self), AuditError> {
        let Opened { file, link, torn } = LogFile::open(directory)?;
        let (recorder, log) = Self::start(file, link, metrics, QUEUE)
            .map_err(|error| AuditError::Io { path: directory.to_owned(), error })?;
        if torn > 0 {
            let mut event = Event::new(EventKind::Alarm);
            event.sentence =
                format!("the last line of the audit log had no end: its {torn} bytes were cut off");
            recorder.record(event);
        }
        Ok((recorder, log))
    }

    fn start(
        medium: impl Medium,
        link: Link,
        metrics: Arc<Metrics>,
        size: usize,
    ) -> io::Result<(Recorder, Self)> {
        let (recorder, events) = Recorder::new(size);
        let stopping = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            medium,
            link,
            metrics,
            teller: Teller::default(),
            room: recorder.room(),
            stopping: Arc::clone(&stopping),
            lines: Vec::new(),
            urgent: false,
            unsynced: None,
            complained: None,
        };
        let thread = std::thread::Builder::new()
            .name("segwan-audit".to_owned())
            .spawn(move || writer.run(&events))?;
        Ok((recorder, Self { stopping, thread: Some(thread) }))
    }

    /// Writes what waits, and ends the thread, within some seconds whatever the disk does. Every
    /// recorder should be dropped before: what one records later is lost, and blocks it.
    pub fn close(self) {}
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Why there is no audit log. `Display` is the operator's sentence.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The operating system refuses.
    #[error("the audit log cannot be written: {}: {error}", path.display())]
    Io {
        /// What it refuses.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Somebody else writes it.
    #[error("the audit log is in use: another process writes {}", .0.display())]
    InUse(PathBuf),
    /// The chain cannot be continued.
    #[error(
        "{}:{line}: the last line is no line of the audit log, so it cannot be continued; \
         move the file away to begin a new one",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Its last line, from 1.
        line: usize,
    },
}

/// The thread's state.
struct Writer<M> {
    medium: M,
    link: Link,
    metrics: Arc<Metrics>,
    teller: Teller,
    room: Arc<Room>,
    stopping: Arc<AtomicBool>,
    /// Lines that are in the chain and not written yet.
    lines: Vec<u8>,
    /// Whether one of them must be on the disk at once.
    urgent: bool,
    /// Since when something written may not be on the disk.
    unsynced: Option<Instant>,
    complained: Option<Instant>,
}

/// The disk took nothing until the log had to close.
struct GaveUp;

impl<M: Medium> Writer<M> {
    fn run(mut self, events: &Receiver<Event>) {
        loop {
            let first = match events.recv_timeout(SYNC) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if self.round(first, events).is_err() {
                self.give_up(events);
                return;
            }
            if self.stopping.load(Ordering::Acquire) {
                break;
            }
        }
        while let Ok(event) = events.try_recv() {
            if self.round(Some(event), events).is_err() {
                self.give_up(events);
                return;
            }
        }
        if let Err(error) = self.medium.sync() {
            tracing::error!("the end of the audit log may not be on the disk: {error}");
        }
    }

    /// Writes one batch: everything that waits, up to a bound.
    fn round(&mut self, first: Option<Event>, events: &Receiver<Event>) -> Result<(), GaveUp> {
        let now = Timestamp::now();
        self.turn(now)?;
        let mut next = first;
        while let Some(event) = next {
            self.room.took(&event);
            self.add(&event, now);
            next = if self.lines.len() < BATCH { events.try_recv().ok() } else { None };
        }
        self.room.made();
        let lost = self.room.take_lost();
        if lost > 0 {
            self.alarm(format!("{lost} events found no room and are not in the audit log"), now);
        }
        let untold = self.room.take_untold();
        if untold > 0 {
            let mut event = Event::new(EventKind::ShadowLost);
            event.sentence = format!(
                "{untold} verdicts of contracts in shadow mode found no room on the record"
            );
            event.count = Some(untold);
            self.add(&event, now);
        }
        self.write(now)?;
        self.sync();
        self.teller.catch_up(Instant::now());
        Ok(())
    }

    fn add(&mut self, event: &Event, at: Timestamp) {
        self.metrics.observe(event);
        self.teller.tell(event, Instant::now());
        let urgent = matches!(event.event, EventKind::Admin | EventKind::Alarm);
        self.urgent |= urgent || event.alarm;
        self.link.add(event, at, &mut self.lines);
    }

    fn alarm(&mut self, sentence: String, at: Timestamp) {
        let mut event = Event::new(EventKind::Alarm);
        event.reason = Some(Reason::AuditBlocked);
        event.sentence = sentence;
        self.add(&event, at);
    }

    /// Writes all lines. While the disk takes nothing they are kept and tried again.
    fn write(&mut self, at: Timestamp) -> Result<(), GaveUp> {
        let mut failing: Option<(Instant, Option<Instant>)> = None;
        while !self.lines.is_empty() {
            let error = match self.medium.append(&self.lines, at) {
                Ok(0) => io::Error::from(io::ErrorKind::WriteZero),
                Ok(written) => {
                    self.lines.drain(..written.min(self.lines.len()));
                    self.unsynced.get_or_insert_with(Instant::now);
                    if let (Some((since, _)), true) = (failing, self.lines.is_empty()) {
                        failing = None;
                        let secs = since.elapsed().as_secs_f64();
                        let lost = self.room.take_lost();
                        self.alarm(
                            format!(
                                "the audit log could not be written for {secs:.1} s; {lost} events \
                                 found no room and are not in it"
                            ),
                            Timestamp::now(),
                        );
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.complain(&format!("the audit log cannot be written: {error}"));
            let (_, closing) = failing.get_or_insert_with(|| (Instant::now(), None));
            if self.stopping.load(Ordering::Acquire)
                && closing.get_or_insert_with(Instant::now).elapsed() >= LAST
            {
                return Err(GaveUp);
            }
            std::thread::park_timeout(RETRY);
        }
        self.lines.shrink_to(BATCH);
        Ok(())
    }

    fn sync(&mut self) {
        let Some(since) = self.unsynced else { return };
        if !self.urgent && since.elapsed() < SYNC {
            return;
        }
        match self.medium.sync() {
            Ok(()) => (self.unsynced, self.urgent) = (None, false),
            Err(error) => {
                self.complain(&format!("the audit log cannot be brought to the disk: {error}"));
            }
        }
    }

    /// Begins a new file when it is time, and removes those that are too old. Each removal is on
    /// the record before it happens, so that a log that begins late is told from one that lost
    /// its beginning.
    fn turn(&mut self, at: Timestamp) -> Result<(), GaveUp> {
        let expired = match self.medium.turn(at) {
            Ok(expired) => expired,
            Err(error) => {
                self.complain(&format!("the audit log cannot begin a new file: {error}"));
                return Ok(());
            }
        };
        for old in expired {
            let mut event = Event::new(EventKind::Admin);
            let end = ended_with(old.last);
            event.sentence = format!("audit file {} is removed after 90 d; {end}", old.name);
            self.add(&event, at);
            self.write(at)?;
            self.sync();
            if let Err(error) = self.medium.remove(&old) {
                self.complain(&format!("audit file {} cannot be removed: {error}", old.name));
            }
        }
        Ok(())
    }

    fn complain(&mut self, sentence: &str) {
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT) {
            self.complained = Some(Instant::now());
            tracing::error!("{sentence}");
        }
    }

    fn give_up(self, events: &Receiver<Event>) {
        let lines = self.lines.iter().filter(|b| **b == b'\n').count();
        let left = lines + events.try_iter().count();
        tracing::error!("the audit log could not be written to its end: {left} events are lost");
    }
}

/// The end of the sentence about a file that was removed; `verify` looks for it.
fn ended_with(last: u64) -> String {
    format!("it ended with event {last}")
}

#[cfg(test)]
mod tests;
