//! `Capture`: what passes uninspected, recorded so that a contract can be drafted from it.
//!
//! It is asked for by `record = "frames"` and nothing records by default. A connection is kept in
//! memory and written when it ends, so that a secret that was cut by a packet is masked all the
//! same; what is too much is left out, and the record says so.

mod mask;
mod read;

pub use read::read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mask::mask;
use segwan_core::contract::Side;
use serde_json::json;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Largest file, in bytes; what comes after is not recorded.
const LARGEST: u64 = 64 << 20;
/// Most bytes of one connection.
const CONNECTION: usize = 1 << 20;
/// Most bytes of all connections that have not ended.
const HELD: usize = 64 << 20;
/// Pieces of one connection.
const PIECES: usize = 100_000;
/// The version of the format.
const VERSION: u32 = 1;

/// The record of one service.
#[derive(Debug, Default)]
pub struct Capture {
    /// Members whose values are masked, beside those that are secrets by their names.
    masked: Vec<String>,
    out: Mutex<Out>,
    held: AtomicUsize,
    connections: AtomicU64,
}

#[derive(Debug, Default)]
enum Out {
    #[default]
    Closed,
    Open {
        file: File,
        path: PathBuf,
        size: u64,
    },
    /// Full, or the disk failed; it was told once.
    Over,
}

/// A file of a record, before anything is recorded.
#[derive(Debug)]
pub(crate) struct Ready {
    file: File,
    path: PathBuf,
    service: String,
}

impl Capture {
    /// A record that masks the values of these members too.
    #[must_use]
    pub fn masking(masked: Vec<String>) -> Arc<Self> {
        Arc::new(Self { masked, ..Self::default() })
    }

    /// Begins to write to `captures/SERVICE.jsonl` below `state`, behind what is there. A file that
    /// others could read is closed to them first; one that is full is left as it is.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(&self, state: &Path, service: &str) -> io::Result<()> {
        self.start(Self::ready(state, service)?)
    }

    /// A file that [`start`](Self::start) can write to; nothing is written to it yet.
    ///
    /// # Errors
    /// If it cannot be made, or closed to others.
    pub(crate) fn ready(state: &Path, service: &str) -> io::Result<Ready> {
        let path = state.join("captures").join(file_name(service));
        if let Some(directory) = path.parent() {
            segwan_pki::directory::make_private(directory).map_err(io::Error::other)?;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(Ready { file, path, service: service.to_owned() })
    }

    /// Begins to write; after an error nothing is recorded.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn start(&self, ready: Ready) -> io::Result<()> {
        let Ready { mut file, path, service } = ready;
        *self.out.lock().unwrap_or_else(PoisonError::into_inner) = Out::Over;
        let head = format!("{}\n", json!({ "capture": VERSION, "service": service }));
        let size = file.metadata()?.len().saturating_add(head.len() as u64);
        if size > LARGEST {
            tracing::warn!("{} is full, so nothing more is recorded", path.display());
            return Ok(());
        }
        file.write_all(head.as_bytes())?;
        tracing::warn!("what passes through `{service}` is recorded in {}", path.display());
        *self.out.lock().unwrap_or_else(PoisonError::into_inner) = Out::Open { file, path, size };
        Ok(())
    }

    /// Whether it has a file that it writes to, or has filled.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(*self.out.lock().unwrap_or_else(PoisonError::into_inner), Out::Closed)
    }

    /// Whether both mask the same.
    #[must_use]
    pub fn masks_as(&self, other: &Self) -> bool {
        self.masked == other.masked
    }

    /// The record of a new connection.
    pub(crate) fn begin(self: &Arc<Self>) -> Tape {
        Tape {
            capture: self.clone(),
            connection: self.connections.fetch_add(1, Ordering::Relaxed) + 1,
            began: Instant::now(),
            pieces: Vec::new(),
            bytes: [Vec::new(), Vec::new()],
            ends: [None, None],
            cut: false,
        }
    }

    fn write(&self, lines: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Out::Open { file, path, size } = &mut *out else { return };
        let more = lines.len() as u64;
        if *size + more > LARGEST {
            tracing::warn!("{} is full, so nothing more is recorded", path.display());
            *out = Out::Over;
            return;
        }
        *size += more;
        if let Err(error) = file.write_all(lines.as_bytes()) {
            tracing::error!("{} cannot be written: {error}", path.display());
            *out = Out::Over;
        }
    }
}

/// What one connection says, until it is written at its end.
#[derive(Debug)]
pub(crate) struct Tape {
    capture: Arc<Capture>,
    connection: u64,
    began: Instant,
    /// Milliseconds since the beginning, who spoke, and how many bytes.
    pieces: Vec<(u64, Side, usize)>,
    bytes: [Vec<u8>; 2],
    ends: [Option<u64>; 2],
    cut: bool,
}

impl Tape {
    /// Bytes that one side said.
    pub(crate) fn said(&mut self, side: Side, said: &[u8]) {
        let full = self.bytes.iter().map(Vec::len).sum::<usize>() + said.len() > CONNECTION;
        if self.cut || full || self.pieces.len() >= PIECES {
            self.cut = true;
            return;
        }
        let held = self.capture.held.fetch_add(said.len(), Ordering::Relaxed);
        self.pieces.push((self.elapsed(), side, said.len()));
        self.bytes[index(side)].extend_from_slice(said);
        self.cut = held + said.len() > HELD;
    }

    /// One side has ended in an orderly way.
    pub(crate) fn ended(&mut self, side: Side) {
        self.ends[index(side)] = Some(self.elapsed());
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lines(&mut self) -> String {
        let mut lines = String::new();
        let connection = self.connection;
        let mut at = [0, 0];
        for side in &mut self.bytes {
            mask(side, &self.capture.masked);
        }
        for (ms, side, size) in &self.pieces {
            let which = index(*side);
            let piece = self.bytes[which].get(at[which]..at[which] + size).unwrap_or_default();
            at[which] += size;
            let bytes = STANDARD.encode(piece);
            let side = side.as_str();
            let line = json!({ "connection": connection, "ms": ms, "side": side, "bytes": bytes });
            lines.push_str(&format!("{line}\n"));
        }
        for side in [Side::Client, Side::Server] {
            if let Some(ms) = self.ends[index(side)]
                && !self.cut
            {
                let side = side.as_str();
                let line = json!({ "connection": connection, "ms": ms, "side": side, "end": true });
                lines.push_str(&format!("{line}\n"));
            }
        }
        lines
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        let held: usize = self.pieces.iter().map(|(.., size)| size).sum();
        if !self.pieces.is_empty() {
            let lines = self.lines();
            self.capture.write(&lines);
        }
        self.capture.held.fetch_sub(held, Ordering::Relaxed);
    }
}

/// The file of a service; no other service has the same.
fn file_name(service: &str) -> String {
    format!("{}.jsonl", service.replace('%', "%25").replace('/', "%2F"))
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Server)
}

#[cfg(test)]
mod tests {
    use super::*;

    // TRAP-20
    #[test]
    fn what_was_recorded_is_read_back_without_its_secrets() {
        let state = tempfile::tempdir().unwrap();
        let capture = Capture::masking(vec!["account".to_owned()]);
        capture.open(state.path(), "bank").unwrap();
        let mut tape = capture.begin();
        tape.said(Side::Client, b"{\"password\":\"hun");
        tape.said(Side::Client, b"ter2\",\"account\":8842,\"n\":1}\n");
        tape.said(Side::Server, b"{\"ok\":true}\n");
        tape.ended(Side::Client);
        tape.ended(Side::Server);
        drop(tape);
        let path = state.path().join("captures/bank.jsonl");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 6, "{text}");
        let (service, conversations) = read(&path).unwrap();
        assert_eq!(service.as_deref(), Some("bank"));
        let [one] = conversations.as_slice() else { panic!("{conversations:?}") };
        assert!(one.whole);
        let client: Vec<u8> = one.said.iter().take(2).flat_map(|(_, said)| said.clone()).collect();
        assert_eq!(
            String::from_utf8(client).unwrap(),
            "{\"password\":\"*******\",\"account\":1111,\"n\":1}\n"
        );
        assert_eq!(capture.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_connection_that_says_too_much_is_recorded_up_to_a_bound() {
        let state = tempfile::tempdir().unwrap();
        let capture = Capture::masking(Vec::new());
        capture.open(state.path(), "x").unwrap();
        let mut tape = capture.begin();
        (0..40).for_each(|_| tape.said(Side::Client, &[b'x'; 32 << 10]));
        tape.ended(Side::Client);
        tape.ended(Side::Server);
        drop(tape);
        let (_, conversations) = read(&state.path().join("captures/x.jsonl")).unwrap();
        assert!(!conversations[0].whole);
        let size: usize = conversations[0].said.iter().map(|(_, said)| said.len()).sum();
        assert_eq!(size, CONNECTION);
    }

    #[test]
    fn a_record_that_others_could_read_is_closed_to_them() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("captures");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        let path = folder.join("bank.jsonl");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
        Capture::masking(Vec::new()).open(state.path(), "bank").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    // A reload that is refused
    #[test]
    fn a_record_that_is_only_made_ready_is_not_written() {
        let state = tempfile::tempdir().unwrap();
        let capture = Capture::masking(Vec::new());
        let ready = Capture::ready(state.path(), "bank").unwrap();
        let path = state.path().join("captures/bank.jsonl");
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        assert!(!capture.is_open());
        capture.start(ready).unwrap();
        assert!(capture.is_open() && !std::fs::read(&path).unwrap().is_empty());
    }

    #[test]
    fn a_full_record_does_not_grow_when_it_is_opened_again() {
        let state = tempfile::tempdir().unwrap();
        let capture = Capture::masking(Vec::new());
        capture.open(state.path(), "bank").unwrap();
        let path = state.path().join("captures/bank.jsonl");
        OpenOptions::new().write(true).open(&path).unwrap().set_len(LARGEST).unwrap();
        let again = Capture::masking(Vec::new());
        again.open(state.path(), "bank").unwrap();
        let mut tape = again.begin();
        tape.said(Side::Client, b"hello");
        drop(tape);
        assert_eq!(path.metadata().unwrap().len(), LARGEST);
    }

    #[test]
    fn two_services_never_share_a_record() {
        let names = ["a/b", "a_b", "a%2Fb", "a%b", "a%25b", "a//b", "a__b"];
        let files: std::collections::BTreeSet<String> =
            names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len());
        assert!(files.iter().all(|file| !file.contains('/')), "{files:?}");
        assert_eq!(file_name("orders-2"), "orders-2.jsonl");
    }

    #[test]
    fn a_broken_record_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        for (text, wanted) in [
            ("", "no record"),
            ("{\"capture\":9,\"service\":\"x\"}\n", ":1: the record has version 9"),
            ("{\"capture\":1,\"service\":\"x\"}\nhello\n", ":2: "),
            (
                "{\"capture\":1,\"service\":\"x\"}\n{\"connection\":1,\"ms\":0,\"side\":\"client\",\"bytes\":\"!\"}\n",
                ":2: the bytes are not base64",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
