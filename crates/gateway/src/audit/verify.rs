//! `verify`: walks the chain through all files and names the first line that breaks it.
//!
//! What it cannot see is a cut tail: lines missing at the very end leave a chain that holds.
//! Whoever must see that keeps the last number and hash elsewhere.

use super::chain::{Entry, Link};
use super::file::{CURRENT, LONGEST_LINE, old_files};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// How often the walk begins anew because a running process put a file aside meanwhile.
const TRIES: usize = 3;

/// A chain that holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Events in it.
    pub events: u64,
    /// Files that hold them.
    pub files: usize,
    /// Number and time of the first one.
    pub first: Option<(u64, String)>,
    /// Number and time of the last one.
    pub last: Option<(u64, String)>,
    /// Hash of the last one, lower-case hex.
    pub hash: String,
}

/// Where a chain breaks first, and how. `Display` is the operator's sentence with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {sentence}", file.display(), if *line == 0 { String::new() } else { format!(":{line}") })]
pub struct Broken {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 where the file cannot be read.
    pub line: u64,
    /// What is wrong with it.
    pub sentence: String,
}

/// Checks every line of the log in `directory`: its form, its hash, its number, and that it
/// follows the line before.
///
/// # Errors
/// The first line that was edited, removed, moved, added or cut, or a file that cannot be read.
pub fn verify(directory: &Path) -> Result<Verified, Broken> {
    let mut tries = 1;
    loop {
        let before = list(directory)?;
        let found = Walk::default().all(&before);
        if found.is_ok() || tries == TRIES || list(directory)? == before {
            return found;
        }
        tries += 1;
    }
}

/// The files of a log in the order in which they were written.
///
/// # Errors
/// If the directory cannot be read.
pub fn list(directory: &Path) -> Result<Vec<PathBuf>, Broken> {
    let mut files: Vec<PathBuf> = old_files(directory)
        .map_err(|error| unreadable(directory, &error))?
        .into_iter()
        .map(|name| directory.join(name))
        .collect();
    let current = directory.join(CURRENT);
    if current.symlink_metadata().is_ok() {
        files.push(current);
    }
    Ok(files)
}

/// The walk so far.
#[derive(Default)]
struct Walk {
    found: Verified,
    link: Option<Link>,
    /// Where the chain begins, if not with event 1, until a later line says that what was before
    /// it was removed in its time.
    unexplained: Option<(PathBuf, u64)>,
}

impl Walk {
    fn all(mut self, files: &[PathBuf]) -> Result<Verified, Broken> {
        for file in files {
            self.file(file)?;
        }
        if let Some((file, first)) = self.unexplained {
            let sentence = format!(
                "the log begins with event {first}, and no line says that what was before it was \
                 removed"
            );
            return Err(Broken { file, line: 1, sentence });
        }
        self.found.hash = self.link.unwrap_or_default().hash;
        Ok(self.found)
    }

    fn file(&mut self, path: &Path) -> Result<(), Broken> {
        let mut reader =
            BufReader::new(File::open(path).map_err(|error| unreadable(path, &error))?);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line);
            if read.map_err(|error| unreadable(path, &error))? == 0 {
                break;
            }
            let broken =
                |sentence: String| Broken { file: path.to_owned(), line: number, sentence };
            let Some(line) = line.strip_suffix(b"\n") else {
                return Err(broken("the line is cut off".to_owned()));
            };
            self.line(path, line).map_err(broken)?;
        }
        self.found.files += 1;
        Ok(())
    }

    fn line(&mut self, path: &Path, line: &[u8]) -> Result<(), String> {
        let entry = Entry::parse(line).ok_or("this is no line of the audit log")?;
        if !entry.is_intact() {
            return Err("the line was edited: its hash is not the one of its content".to_owned());
        }
        match &self.link {
            Some(last) if entry.prev != last.hash || entry.seq != last.seq + 1 => {
                return Err(format!(
                    "event {} stands here where event {} is due: a line was removed, added or \
                     moved",
                    entry.seq,
                    last.seq + 1
                ));
            }
            None if entry.seq == 1 && entry.prev != Link::default().hash => {
                return Err("the first event does not begin the chain".to_owned());
            }
            None if entry.seq != 1 => self.unexplained = Some((path.to_owned(), entry.seq)),
            _ => {}
        }
        if let Some((_, first)) = &self.unexplained
            && explains(line, *first)
        {
            self.unexplained = None;
        }
        let place = (entry.seq, entry.at.to_owned());
        self.found.first.get_or_insert_with(|| place.clone());
        self.found.last = Some(place);
        self.found.events += 1;
        self.link = Some(entry.link());
        Ok(())
    }
}

/// Whether a line records that a file was removed which ended just before event `first`.
fn explains(line: &[u8], first: u64) -> bool {
    let Ok(event) = serde_json::from_slice::<serde_json::Value>(line) else { return false };
    let text = |key: &str| event.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    text("event") == "admin"
        && text("service").is_empty()
        && text("sentence").starts_with("audit file ")
        && text("sentence").ends_with(&super::ended_with(first - 1))
}

fn unreadable(path: &Path, error: &io::Error) -> Broken {
    let sentence = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    Broken { file: path.to_owned(), line: 0, sentence }
}
