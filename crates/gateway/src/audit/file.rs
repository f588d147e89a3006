//! `LogFile`: `audit.jsonl` and the files that it was before.
//!
//! A file is only ever appended to, or renamed once it is full or its day is over. What a crash
//! left of a line is cut off when the log is opened, and told.

use super::AuditError;
use super::chain::{Entry, Link};
use jiff::Timestamp;
use jiff::fmt::strtime;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file that is written now.
pub(super) const CURRENT: &str = "audit.jsonl";
/// The next current file before it has its name.
const NEXT: &str = "audit.jsonl.next";
/// A file this large is put aside.
const LARGEST: u64 = 256 << 20;
/// Files older than this are removed, in seconds: 90 days.
const KEPT: i64 = 90 * DAY;
const DAY: i64 = 24 * 3600;
/// No line is longer: an event has at most 64 resources of 1 KiB and some sentences.
pub(crate) const LONGEST_LINE: u64 = 4 << 20;

/// Where lines go. The disk is one; a test has another.
pub(super) trait Medium: Send + 'static {
    /// Appends some of `bytes` and says how many.
    fn append(&mut self, bytes: &[u8], at: Timestamp) -> io::Result<usize>;
    /// Waits until what was appended is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Begins a new file if it is time; gives the old files whose time is over, oldest first.
    fn turn(&mut self, at: Timestamp) -> io::Result<Vec<Expired>>;
    /// Removes a file that [`turn`](Self::turn) gave.
    fn remove(&mut self, expired: &Expired) -> io::Result<()>;
}

/// A file that is older than files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expired {
    pub(super) name: String,
    /// Number of its last event.
    pub(super) last: u64,
}

/// The log on the disk.
#[derive(Debug)]
pub(super) struct LogFile {
    directory: PathBuf,
    file: File,
    size: u64,
    /// UTC day of its first event, counted from 1970; none while it is empty.
    day: Option<i64>,
}

/// A log that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: LogFile,
    /// Where the chain goes on.
    pub(super) link: Link,
    /// Bytes of a line without an end that were cut off.
    pub(super) torn: u64,
}

impl LogFile {
    pub(super) fn open(directory: &Path) -> Result<Opened, AuditError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| AuditError::Io { path, error }
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed(directory))?;
        let path = directory.join(CURRENT);
        let file = create(&path, false).map_err(failed(&path))?;
        lock(&file, &path)?;
        let tail = last_line(&path).map_err(failed(&path))?;
        if tail.torn > 0 {
            file.set_len(tail.end).map_err(failed(&path))?;
        }
        let (link, day) = match &tail.line {
            Some(line) => {
                let entry = parse_last(&path, line)?;
                (entry.link(), Some(day_of(entry.at)))
            }
            None => (last_of_the_old(directory)?, None),
        };
        let file = Self { directory: directory.to_owned(), file, size: tail.end, day };
        Ok(Opened { file, link, torn: tail.torn })
    }

    fn is_due(&self, at: Timestamp) -> bool {
        let over = self.day.is_some_and(|day| day < at.as_second().div_euclid(DAY));
        self.size > 0 && (self.size >= LARGEST || over)
    }

    fn expired(&self, at: Timestamp) -> io::Result<Vec<Expired>> {
        let mut expired = Vec::new();
        for name in old_files(&self.directory)? {
            let Some(ended) = time_of(&name) else { continue };
            if at.as_second() - ended.as_second() < KEPT {
                continue;
            }
            let tail = last_line(&self.directory.join(&name))?;
            let last = tail.line.as_deref().and_then(Entry::parse).map_or(0, |entry| entry.seq);
            expired.push(Expired { name, last });
        }
        Ok(expired)
    }
}

impl Medium for LogFile {
    fn append(&mut self, bytes: &[u8], at: Timestamp) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        self.day.get_or_insert_with(|| at.as_second().div_euclid(DAY));
        Ok(written)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn turn(&mut self, at: Timestamp) -> io::Result<Vec<Expired>> {
        if !self.is_due(at) {
            return Ok(Vec::new());
        }
        let name = at.strftime("audit-%Y%m%dT%H%M%SZ.jsonl").to_string();
        let (current, old) = (self.directory.join(CURRENT), self.directory.join(&name));
        let next = self.directory.join(NEXT);
        // Names tell the order of files, and nothing is ever written over: while the clock stands
        // at or before the last turn, this one waits.
        if old_files(&self.directory)?.last().is_some_and(|newest| *newest >= name) {
            return Ok(Vec::new());
        }
        self.file.sync_data()?;
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = create(&next, true)?;
        file.try_lock().map_err(io::Error::from)?;
        // It is absent where an earlier turn came only this far.
        if current.symlink_metadata().is_ok() {
            std::fs::rename(&current, &old)?;
        }
        std::fs::rename(&next, &current)?;
        (self.file, self.size, self.day) = (file, 0, None);
        File::open(&self.directory)?.sync_all()?;
        self.expired(at)
    }

    fn remove(&mut self, expired: &Expired) -> io::Result<()> {
        std::fs::remove_file(self.directory.join(&expired.name))
    }
}

/// Names of the files that were put aside, oldest first.
pub(super) fn old_files(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().filter(|name| time_of(name).is_some()) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// When a file was put aside; none if it is not one of them.
fn time_of(name: &str) -> Option<Timestamp> {
    let time = name.strip_prefix("audit-")?.strip_suffix("Z.jsonl")?;
    let time = strtime::parse("%Y%m%dT%H%M%S", time).ok()?.to_datetime().ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(time).ok()
}

fn create(path: &Path, new: bool) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .create_new(new)
        .mode(0o600)
        .custom_flags(i32::try_from(no_follow).map_err(io::Error::other)?)
        .open(path)?;
    file.set_permissions(PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

fn lock(file: &File, path: &Path) -> Result<(), AuditError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(std::fs::TryLockError::WouldBlock) => Err(AuditError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(AuditError::Io { path: path.to_owned(), error })
        }
    }
}

/// The end of a file.
struct Tail {
    /// Its last whole line, without the line end.
    line: Option<Vec<u8>>,
    /// Where that line ends.
    end: u64,
    /// Bytes behind it.
    torn: u64,
}

fn last_line(path: &Path) -> io::Result<Tail> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut take = (64 << 10).min(size);
    loop {
        file.seek(SeekFrom::Start(size - take))?;
        let mut bytes = Vec::new();
        (&mut file).take(take).read_to_end(&mut bytes)?;
        let mut ends = bytes.iter().enumerate().rev().filter(|(_, b)| **b == b'\n');
        let (last, before) = (ends.next().map(|(at, _)| at), ends.next().map(|(at, _)| at));
        let whole = before.is_some() || take == size;
        if let (Some(last), true) = (last, whole) {
            let start = before.map_or(0, |before| before + 1);
            let line = bytes.get(start..last).map(<[u8]>::to_vec);
            let end = size - take + last as u64 + 1;
            return Ok(Tail { line, end, torn: size - end });
        }
        if take == size {
            return Ok(Tail { line: None, end: 0, torn: size });
        }
        take = take.saturating_mul(2).min(size);
    }
}

fn parse_last<'a>(path: &Path, line: &'a [u8]) -> Result<Entry<'a>, AuditError> {
    Entry::parse(line).ok_or_else(|| {
        let lines =
            std::fs::read(path).map_or(0, |all| all.iter().filter(|b| **b == b'\n').count());
        AuditError::Unreadable { path: path.to_owned(), line: lines }
    })
}

/// Where the chain stood when the newest of the old files was put aside.
fn last_of_the_old(directory: &Path) -> Result<Link, AuditError> {
    let io = |path: &Path, error| AuditError::Io { path: path.to_owned(), error };
    let names = old_files(directory).map_err(|error| io(directory, error))?;
    let mut newest = Link::default();
    for name in names.iter().rev() {
        let path = directory.join(name);
        let tail = last_line(&path).map_err(|error| io(&path, error))?;
        if let Some(line) = tail.line {
            newest = parse_last(&path, &line)?.link();
            break;
        }
    }
    Ok(newest)
}

fn day_of(at: &str) -> i64 {
    at.parse::<Timestamp>().map_or(0, |at| at.as_second().div_euclid(DAY))
}
