//! `Reserve`: room on the disk that is kept for revocations (`pki.md` section 13.1).

use super::Store;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How much is kept, in bytes.
const KEPT: u64 = 16 << 20;
/// Issuing goes on only while so much more is free.
const LOW: u64 = 64 << 20;

/// A file that takes up room until the room is needed.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    spent: AtomicBool,
}

impl Reserve {
    /// The file stands beside the database.
    pub(super) fn beside(database: &Path) -> Self {
        Self { path: database.with_file_name("reserve"), spent: AtomicBool::new(false) }
    }

    /// Whether the room was given up, so that nothing may be issued.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Acquire)
    }
}

impl Store {
    /// Whether nothing is issued because the disk is full.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.reserve.is_spent()
    }

    /// Free bytes where the database is.
    fn free(&self) -> Option<u64> {
        let folder = self.reserve.path.parent()?;
        let stat = rustix::fs::statvfs(folder).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Looks at the disk: keeps room where there is enough, and ends the read-only state with it.
    /// Gives what the operator should know, if anything.
    pub(crate) fn look_at_the_disk(&self) -> Option<String> {
        let free = self.free()?;
        let kept = self.reserve.path.metadata().is_ok_and(|file| file.len() >= KEPT);
        if free < LOW {
            let mib = free >> 20;
            return Some(format!(
                "{mib} MiB are free where the Authority's store is; 64 are the least"
            ));
        }
        if kept || self.keep().is_ok() {
            self.reserve.spent.store(false, Ordering::Release);
        }
        None
    }

    /// Takes up the room; not a sparse file, so the blocks are there.
    fn keep(&self) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = &self.reserve.path;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        let kept = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, KEPT);
        if kept.is_err() {
            drop(file);
            std::fs::remove_file(path)?;
        }
        Ok(kept?)
    }

    /// Gives the room up, for what cannot wait.
    pub(crate) fn give_up_reserve(&self) {
        self.reserve.spent.store(true, Ordering::Release);
        let _ = std::fs::remove_file(&self.reserve.path);
    }
}

#[cfg(test)]
impl Store {
    /// Lets the database grow no more, as a full disk would: SQLite's own limit of pages gives the
    /// same error. A new connection, as after that error, has no limit, as after making room.
    pub(crate) async fn fill_the_disk(&self) -> Result<(), super::StoreError> {
        sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&self.writer).await?;
        Ok(())
    }
}
