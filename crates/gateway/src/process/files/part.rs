//! `Part`: files that are put in force together, and when they are tried.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How soon what was refused is tried again although nothing changed: not all reasons lie in the
/// files, such as a clock or a file system that was not there.
pub(super) const AGAIN: Duration = Duration::from_secs(30);

/// By what a changed file is known: size, inode, and the time of its last change in nanoseconds.
/// A file behind a link is the file itself.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Some files, by what is known of them without a look inside.
#[derive(Debug)]
pub(super) struct Part {
    /// The files as they were read last, whether they were good or not.
    tried: Vec<Stamp>,
    /// The files at the last look.
    seen: Vec<Stamp>,
    /// When they were refused and why, if they were.
    refused: Option<(Instant, String)>,
}

impl Part {
    /// Files that are read and put in force now.
    pub(super) fn of(files: &[&Path]) -> Self {
        let tried = stamps(files);
        Self { seen: tried.clone(), tried, refused: None }
    }

    /// Why those that lie there are not in force.
    pub(super) fn fault(&self) -> Option<&str> {
        self.refused.as_ref().map(|(_, why)| why.as_str())
    }

    /// Reads them, if that is due, and puts in force what was whole while it was read; gives
    /// whether it is in force. `None`: nothing changed, or something is changing still.
    pub(super) fn look<P>(
        &mut self,
        files: &[&Path],
        at: Instant,
        read: impl FnOnce() -> P,
    ) -> Option<bool>
    where
        P: FnOnce() -> Result<(), String>,
    {
        let now = stamps(files);
        let steady = now == self.seen;
        self.seen = now;
        let refused = self.refused.as_ref();
        let again = refused.is_some_and(|(refused, _)| at.duration_since(*refused) >= AGAIN);
        if !steady || (self.seen == self.tried && !again) {
            return None;
        }
        let put_in_force = read();
        if stamps(files) != self.seen {
            return None;
        }
        self.tried.clone_from(&self.seen);
        self.refused = put_in_force().err().map(|why| (at, why));
        Some(self.refused.is_none())
    }
}

fn stamps(files: &[&Path]) -> Vec<Stamp> {
    let stamp = |path: &&Path| {
        let file = path.metadata().ok()?;
        Some((file.size(), file.ino(), file.mtime(), file.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}
