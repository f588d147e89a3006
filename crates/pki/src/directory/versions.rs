//! `Versions`: a folder whose numbered versions are written whole, and switched by one link.
//!
//! `v1`, `v2`, …, and `current`, which names one of them: a reader never sees half of a version,
//! whatever was interrupted (`pki.md` section 8).

use super::{DirectoryError, make_private, sync, write_private};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One such folder.
#[derive(Debug, Clone)]
pub(super) struct Versions {
    path: PathBuf,
}

/// The version in force. If the one that the link names could not be used, another one is.
#[derive(Debug)]
pub struct Found<T> {
    /// What was read.
    pub stored: T,
    /// Why it is not the version that was published last: a sentence for the operator
    /// (`credentials_fell_back`).
    pub fell_back: Option<String>,
}

impl Versions {
    /// The versions of `name` below `parent`.
    pub(super) fn new(parent: &Path, name: &str) -> Self {
        // `~` is in no name, so two names never share a directory.
        Self { path: parent.join(name.replace('/', "~")) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the current version; if that is broken, the newest one that is not. `None` if there
    /// never was one.
    ///
    /// # Errors
    /// If there are versions and none can be used, with the reason for each.
    pub(super) fn current<T>(
        &self,
        read: impl Fn(&Path) -> Result<T, String>,
    ) -> Result<Option<Found<T>>, String> {
        let mut versions = self.all();
        if versions.is_empty() && !self.path.join("current").is_symlink() {
            return Ok(None);
        }
        versions.sort_by(|a, b| b.cmp(a));
        let link = std::fs::read_link(self.path.join("current")).ok();
        let named = link.as_ref().and_then(|l| number(&l.to_string_lossy()));
        let order = named.into_iter().chain(versions.into_iter().filter(|v| Some(*v) != named));
        let mut why = Vec::new();
        for version in order {
            match read(&self.path.join(format!("v{version}"))) {
                Ok(stored) => {
                    let place = self.path.display();
                    let fell_back = (!why.is_empty()).then(|| {
                        format!("{place}: v{version} is used, because {}", why.join("; "))
                    });
                    return Ok(Some(Found { stored, fell_back }));
                }
                Err(reason) => why.push(format!("v{version}: {reason}")),
            }
        }
        Err(why.join("; "))
    }

    /// Makes a new version the current one: each file written and on the disk, then one link
    /// renamed. A name may hold one folder: `crls/a1b2.der`. The version before is kept.
    ///
    /// # Errors
    /// If it cannot be written; then the current version stays.
    pub(super) fn publish(&self, files: &[(&str, &[u8])]) -> Result<(), DirectoryError> {
        make_private(&self.path)?;
        let version = self.all().into_iter().max().unwrap_or(0) + 1;
        let whole = self.path.join(format!("v{version}"));
        let part = self.path.join(format!("v{version}.tmp"));
        let _ = std::fs::remove_dir_all(&part);
        let written = write(&part, files);
        if written.is_err() {
            // What a full disk left of it is in nobody's way, and makes room.
            let _ = std::fs::remove_dir_all(&part);
        }
        written?;
        std::fs::rename(&part, &whole).map_err(|e| DirectoryError::io(&whole, &e))?;
        sync(&self.path)?;
        let link = self.path.join("current.tmp");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(format!("v{version}"), &link)
            .map_err(|e| DirectoryError::io(&link, &e))?;
        let current = self.path.join("current");
        std::fs::rename(&link, &current).map_err(|e| DirectoryError::io(&current, &e))?;
        sync(&self.path)?;
        for old in self.all().into_iter().filter(|v| v + 1 < version) {
            let _ = std::fs::remove_dir_all(self.path.join(format!("v{old}")));
        }
        Ok(())
    }

    fn all(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| number(&entry.file_name().to_string_lossy())).collect()
    }
}

fn write(part: &Path, files: &[(&str, &[u8])]) -> Result<(), DirectoryError> {
    make_private(part)?;
    let folders: BTreeSet<_> = files
        .iter()
        .filter_map(|(name, _)| name.split_once('/'))
        .map(|(folder, _)| folder)
        .collect();
    for folder in &folders {
        make_private(&part.join(folder))?;
    }
    for (name, bytes) in files {
        write_private(&part.join(name), bytes)?;
    }
    for folder in folders {
        sync(&part.join(folder))?;
    }
    sync(part)
}

/// A file of a version, if it is there and of at most `most` bytes.
pub(super) fn bytes(folder: &Path, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let path = folder.join(name);
    match path.metadata() {
        Ok(metadata) if metadata.len() > most => Err(format!("{name} is over {most} bytes")),
        _ => std::fs::read(&path).map_err(|e| format!("{name} cannot be read ({})", e.kind())),
    }
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix('v')?.parse().ok()
}
