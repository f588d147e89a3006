//! `QuotaFile`: the bookings of a service's quotas with `persist`, on the disk.
//!
//! A line is added and synced before its message passes, so whatever a kill leaves, at most the
//! last line is torn, and the message of that one never passed. After a line that failed nothing is
//! added: the file is written anew beside itself and renamed, as it is once it has grown.

use crate::failure::Failure;
use segwan_core::audit::shown;
use segwan_core::contract::Contract;
use segwan_core::contract::journal::{Booked, Journal, Ready};
use segwan_core::now::Now;
use segwan_pki::directory::make_private;
use segwan_pki::key::{hex, sha256};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first line; the version of the format.
const HEAD: &str = "segwan quotas 1";
/// What stands before everything that is hashed, so that no other hash of ours is one of these.
const DOMAIN: &str = "segwan quota v1 ";
/// A file that has grown to this many bytes, and to twice what it was written with, is written anew.
const LARGE: u64 = 4 << 20;
/// Most bytes that it is written anew with; so no file is over twice of it.
const LARGEST: u64 = 64 << 20;
/// A file that could not be written is not tried again before.
const AGAIN: Duration = Duration::from_secs(1);

/// Journals that cannot be written now. One that is asked for again and fails stays here, so that an
/// operator hears of it by an alarm and not only by refused messages.
#[derive(Debug, Clone, Default)]
pub struct Unwritten(Arc<Mutex<BTreeMap<String, String>>>);

impl Unwritten {
    /// Whose they are, by the name of the service, and why.
    #[must_use]
    pub fn list(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(service, why)| (service.clone(), why.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file of one service.
#[derive(Debug)]
struct QuotaFile {
    service: String,
    path: PathBuf,
    /// Where lines are added; none while it must be written anew.
    file: Option<File>,
    size: u64,
    /// Its size when it was last written anew.
    fresh: u64,
    failed: Option<(Instant, String)>,
    unwritten: Unwritten,
}

/// Goes on with what was booked under `contract` in `quota/SERVICE.journal` below `state`, and keeps
/// there what is booked from now on; as long as that fails, it stands in `unwritten`.
///
/// # Errors
/// If the file cannot be read or written, or holds what was not written to it.
pub fn keep(
    state: &Path,
    service: &str,
    contract: &Contract,
    now: Now,
    unwritten: &Unwritten,
) -> Result<(), Failure> {
    let ready = ready(state, service, contract, now, unwritten)?;
    contract
        .keep_quotas(ready, now)
        .map_err(|why| unusable(service, &path_of(state, service), &why))
}

/// As [`keep`], but only looks: nothing of the file changes before the contract keeps it.
///
/// # Errors
/// If the file cannot be read, or holds what was not written to it.
pub(crate) fn ready(
    state: &Path,
    service: &str,
    contract: &Contract,
    now: Now,
    unwritten: &Unwritten,
) -> Result<Ready, Failure> {
    let path = path_of(state, service);
    let unusable = |why: String| unusable(service, &path, &why);
    if let Some(directory) = path.parent() {
        make_private(directory).map_err(|error| unusable(error.to_string()))?;
        // Or a crash may take the folder, and with it what was synced in it.
        File::open(state)
            .and_then(|state| state.sync_all())
            .map_err(|error| unusable(error.to_string()))?;
    }
    let past = read(&path).map_err(|why| {
        let hint = "restore the file; or move it away, and what was asked for is forgotten";
        unusable(why).hint(hint)
    })?;
    let file = QuotaFile::new(service, path.clone(), unwritten.clone());
    contract.ready_quotas(Box::new(file), &past, now).map_err(unusable)
}

fn path_of(state: &Path, service: &str) -> PathBuf {
    state.join("quota").join(file_name(service))
}

fn unusable(service: &str, path: &Path, why: &str) -> Failure {
    let path = path.display();
    Failure::cannot_start(format!("the quotas of `{service}` cannot be kept: {path}: {why}"))
}

/// The file of a service; no other service has the same.
fn file_name(service: &str) -> String {
    format!("{}.journal", service.replace('%', "%25").replace('/', "%2F"))
}

impl QuotaFile {
    fn new(service: &str, path: PathBuf, unwritten: Unwritten) -> Self {
        let service = service.to_owned();
        Self { service, path, file: None, size: 0, fresh: 0, failed: None, unwritten }
    }

    fn add(&mut self, line: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("it must be written anew first"));
        };
        file.write_all(line.as_bytes())?;
        file.sync_data()?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn rewrite(&mut self, booked: &mut dyn Iterator<Item = Booked>) -> io::Result<()> {
        let next = self.next();
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut out =
            BufWriter::new(options.append(true).create_new(true).mode(0o600).open(&next)?);
        let mut size = 0;
        let lines = booked.map(|booked| line(&booked));
        for line in std::iter::once(Ok(format!("{HEAD}\n"))).chain(lines) {
            let line = line.map_err(io::Error::other)?;
            size += line.len() as u64;
            if size > LARGEST {
                return Err(io::Error::other(format!("it would be over {} MiB", LARGEST >> 20)));
            }
            out.write_all(line.as_bytes())?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        (self.file, self.size, self.fresh) = (Some(file), size, size);
        Ok(())
    }

    /// The next file before it has its name.
    fn next(&self) -> PathBuf {
        self.path.with_extension("journal.next")
    }

    /// What went wrong, told once.
    fn failed(&mut self, error: &io::Error) -> String {
        // A line may be there in part, and what a failed sync left is not known.
        self.file = None;
        let why = format!("{}: {error}", self.path.display());
        if self.failed.is_none() {
            tracing::error!(
                "what a quota counts cannot be written, and nothing of it passes: {why}"
            );
        }
        self.failed = Some((Instant::now(), why.clone()));
        self.unwritten.lock().insert(self.service.clone(), why.clone());
        why
    }
}

impl Journal for QuotaFile {
    fn append(&mut self, booked: &Booked) -> Result<(), String> {
        let line = line(booked)?;
        self.add(&line).map_err(|error| self.failed(&error))
    }

    fn is_due(&self) -> bool {
        self.file.is_none() || self.size >= LARGE.max(self.fresh.saturating_mul(2))
    }

    fn replace(&mut self, booked: &mut dyn Iterator<Item = Booked>) -> Result<(), String> {
        if let Some((at, why)) = &self.failed
            && at.elapsed() < AGAIN
        {
            return Err(why.clone());
        }
        if let Err(error) = self.rewrite(booked) {
            // It may be what fills the disk.
            let _ = std::fs::remove_file(self.next());
            return Err(self.failed(&error));
        }
        self.failed = None;
        if self.unwritten.lock().remove(&self.service).is_some() {
            tracing::info!("what quotas count can be written again: {}", self.path.display());
        }
        Ok(())
    }
}

/// `CHECK TIME AMOUNT MESSAGE IDENTITY`, or `-` in place of an identity.
fn line(booked: &Booked) -> Result<String, String> {
    let Booked { at_ms, message, identity, amount } = booked;
    let identity = identity.as_deref().unwrap_or("-");
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !plain(message) || !plain(identity) {
        return Err(format!("`{}` cannot be written down", shown(identity.as_bytes())));
    }
    let body = format!("{at_ms} {amount} {message} {identity}");
    Ok(format!("{} {body}\n", check(&body)))
}

/// The first 16 hex digits of SHA-256: against torn lines, not against whoever may write here.
fn check(body: &str) -> String {
    let hash = sha256(format!("{DOMAIN}{body}").as_bytes());
    hex(hash.get(..8).unwrap_or_default())
}

fn parse(line: &[u8]) -> Option<Booked> {
    let (is, body) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    if is != check(body) {
        return None;
    }
    let mut parts = body.split(' ');
    let booked = Booked {
        at_ms: parts.next()?.parse().ok()?,
        amount: parts.next()?.parse().ok()?,
        message: parts.next()?.to_owned(),
        identity: parts.next().filter(|identity| *identity != "-").map(str::to_owned),
    };
    parts.next().is_none().then_some(booked)
}

/// All that a file holds, but for a last line that a kill has torn. There may be no file.
fn read(path: &Path) -> Result<Vec<Booked>, String> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(no_follow.bits()).map_err(|error| error.to_string())?;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let most = LARGEST * 2 + LARGE;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!("it is over {} MiB", most >> 20));
    }
    let Some(rest) = bytes.strip_prefix(HEAD.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"))
    else {
        return Err(format!("line 1 is not `{HEAD}`"));
    };
    let mut lines = rest.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    let mut all = Vec::new();
    while let Some((number, line)) = lines.next() {
        match line.strip_suffix(b"\n").and_then(parse) {
            Some(booked) => all.push(booked),
            None if lines.peek().is_none() => {
                let torn = line.len();
                tracing::warn!(
                    "{}: a last line of {torn} bytes is torn, and dropped",
                    path.display()
                );
            }
            None => return Err(format!("line {} was changed", number + 2)),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
