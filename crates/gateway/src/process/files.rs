//! Certificates from files that somebody else looks after, those of foreign authorities among them:
//! read, watched, and put in force as a whole or not at all (F7).
//!
//! Whoever renews them replaces several files, one after the other: a half of that is a pair that
//! does not fit, which is refused and changes nothing.

use super::now_ms;
use crate::alarms::Alarms;
use crate::config::{Foreign, TrustFiles, read};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use segwan::tls::trust::{TrustError, stale_list};
use segwan::{Credentials, ForeignTrust, Mapping, StaleCrl, Trust, TrustState};
use segwan_core::identity::FOREIGN;
use segwan_pki::revocation::{Accepted, CRL_BYTES, Crl, CrlError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is looked; what has not changed between two looks is whole.
const LOOK: Duration = Duration::from_millis(500);
/// How soon what was refused is tried again although nothing changed: not all reasons lie in the
/// files, such as a clock or a file system that was not there.
const AGAIN: Duration = Duration::from_secs(30);

/// The files of one table, or of one foreign authority.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// What they are called in sentences.
    pub(super) of: String,
    /// Chain and key; a foreign authority has none.
    pub(super) pair: Option<Pair>,
    pub(super) trust: TrustFiles,
}

/// What a table shows.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

/// What was read of them, and fits together.
struct Read {
    /// Chain and key in PEM.
    pair: Option<(Vec<u8>, Vec<u8>)>,
    trust: TrustState,
}

/// By what a changed file is known: size, inode, and the time of its last change in nanoseconds.
/// A file behind a link is the file itself.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Files, and what is made of them.
pub(super) struct Watched {
    files: Files,
    made: Made,
    /// The files as they were read last, whether they were good or not.
    tried: Vec<Stamp>,
    /// The files at the last look.
    seen: Vec<Stamp>,
    /// When they were refused, if they were.
    refused: Option<Instant>,
}

/// Where files are in force.
enum Made {
    /// One table has them for itself.
    Table { credentials: Arc<Credentials>, trust: Arc<Trust> },
    /// They are believed beside the Authority, by everybody who believes that.
    Foreign { in_force: ForeignTrust, beside: Vec<Arc<Trust>> },
}

impl Watched {
    /// Reads those of a table for the first time; with a mapping, peers have the names that it
    /// gives them.
    ///
    /// # Errors
    /// If they are not good, with a sentence for the operator.
    pub(super) fn begin(
        of: String,
        pair: &Pair,
        trust: TrustFiles,
        mapping: Option<Mapping>,
        stale_crl: StaleCrl,
    ) -> Result<Self, String> {
        let tolerate = trust.danger_tolerate;
        let at_chain = |error| format!("`{}`: {error}", pair.chain.display());
        let files = Files { of, pair: Some(pair.clone()), trust };
        let tried = files.stamps();
        let Read { pair: shown, trust: state } = files.read(&[])?;
        let (chain, key) = shown.unwrap_or_default();
        let credentials = Credentials::from_pem(&chain, &key).map_err(at_chain)?;
        let trust = match mapping {
            Some(mapping) => Trust::mapped(ForeignTrust { mapping, tolerate, state }),
            None => Trust::files_of(state, tolerate),
        };
        let trust = Arc::new(trust.map_err(|error| files.at_roots(&error))?);
        trust.set_stale_crl(stale_crl);
        let made = Made::Table { credentials: Arc::new(credentials), trust };
        Ok(Self { files, made, seen: tried.clone(), tried, refused: None })
    }

    /// Reads those of a foreign authority for the first time; nobody believes it yet.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) fn foreign(foreign: &Foreign) -> Result<Self, String> {
        let Foreign { trust, mapping } = foreign.clone();
        let files = Files { of: format!("{FOREIGN}/{}", foreign.name()), pair: None, trust };
        let tried = files.stamps();
        let (tolerate, state) = (files.trust.danger_tolerate, files.read(&[])?.trust);
        let in_force = ForeignTrust { mapping, tolerate, state };
        let made = Made::Foreign { in_force, beside: Vec::new() };
        Ok(Self { files, made, seen: tried.clone(), tried, refused: None })
    }

    /// Believes the foreign authority beside this Authority, from now on.
    ///
    /// # Errors
    /// If that cannot be.
    pub(super) fn stand_beside(&mut self, trust: Arc<Trust>) -> Result<(), String> {
        if let Made::Foreign { in_force, beside } = &mut self.made {
            trust.believe(in_force.clone()).map_err(|error| self.files.at_roots(&error))?;
            beside.push(trust);
        }
        Ok(())
    }

    /// What a table shows, and whom it believes.
    pub(super) fn of_table(&self) -> Option<(Arc<Credentials>, Arc<Trust>)> {
        match &self.made {
            Made::Table { credentials, trust } => Some((credentials.clone(), trust.clone())),
            Made::Foreign { .. } => None,
        }
    }

    /// Looks again and again until cancelled. What changed is put in force, then `sweep` judges
    /// live connections again.
    pub(super) async fn watch<F: Future<Output = u64>>(
        mut self,
        alarms: Arc<Alarms>,
        until: CancellationToken,
        sweep: impl Fn(Arc<Trust>) -> F,
    ) {
        loop {
            tokio::select! {
                () = until.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            // A network file system may take its time; nobody else waits for it.
            let Ok((next, changed)) = tokio::task::spawn_blocking(move || {
                let changed = self.look(Instant::now());
                (self, changed)
            })
            .await
            else {
                return;
            };
            self = next;
            let table = &self.files.of;
            self.tell_of_old_lists(&alarms, now_ms());
            match changed {
                None => {}
                Some(Ok(())) => {
                    alarms.clear("credentials_rejected", table);
                    let mut closed = 0;
                    for trust in self.made.believers() {
                        closed += sweep(trust).await;
                    }
                    let shown = self.made.shown();
                    tracing::info!(
                        "`{table}`: changed files are in force{shown}; {closed} connections ended"
                    );
                }
                Some(Err(why)) => {
                    let sentence = format!("`{table}` keeps what it had: {why}");
                    if alarms.raise("credentials_rejected", table, &sentence, now_ms()) {
                        tracing::warn!(alarm = "credentials_rejected", "{sentence}");
                    }
                }
            }
        }
    }

    /// Raises `crl_stale` while a list has half of its age behind it, or all of it: nobody is
    /// locked out in silence.
    fn tell_of_old_lists(&self, alarms: &Alarms, now_ms: i64) {
        let table = &self.files.of;
        match stale_list(&self.made.state().crls, self.made.stale_crl(), now_ms) {
            Some(why) => {
                let sentence = format!("`{table}`: {why}");
                if alarms.raise("crl_stale", table, &sentence, now_ms) {
                    tracing::warn!(alarm = "crl_stale", "{sentence}");
                }
            }
            None => {
                alarms.clear("crl_stale", table);
            }
        }
    }

    /// `None`: nothing changed, or something is changing still. What was refused is tried again.
    fn look(&mut self, at: Instant) -> Option<Result<(), String>> {
        let now = self.files.stamps();
        let steady = now == self.seen;
        self.seen = now;
        let again = self.refused.is_some_and(|refused| at.duration_since(refused) >= AGAIN);
        if !steady || (self.seen == self.tried && !again) {
            return None;
        }
        let read = self.files.read(&self.made.state().crls);
        if self.files.stamps() != self.seen {
            return None;
        }
        self.tried.clone_from(&self.seen);
        let done = read.and_then(|read| self.put_in_force(read));
        self.refused = done.is_err().then_some(at);
        Some(done)
    }

    fn put_in_force(&mut self, read: Read) -> Result<(), String> {
        let files = &self.files;
        match (&mut self.made, files.pair.as_ref().zip(read.pair)) {
            (Made::Table { credentials, trust }, Some((at, (chain, key)))) => {
                let at_chain = |why: String| format!("`{}`: {why}", at.chain.display());
                let pair =
                    Credentials::from_pem(&chain, &key).map_err(|e| at_chain(e.to_string()))?;
                if pair.not_after() <= now_ms() / 1000 {
                    return Err(at_chain("the certificate has ended".to_owned()));
                }
                trust.install(read.trust).map_err(|error| files.at_roots(&error))?;
                credentials.replace(&chain, &key).map_err(|e| at_chain(e.to_string()))
            }
            (Made::Foreign { in_force, beside }, _) => {
                let next = ForeignTrust { state: read.trust, ..in_force.clone() };
                // What one refuses all do: the reasons lie in the files and in their likes.
                for trust in beside {
                    trust.believe(next.clone()).map_err(|error| files.at_roots(&error))?;
                }
                *in_force = next;
                Ok(())
            }
            (Made::Table { .. }, None) => Err("there is no certificate to show".to_owned()),
        }
    }
}

impl Made {
    /// What a list past its time means to those who believe the files.
    fn stale_crl(&self) -> StaleCrl {
        match self {
            Self::Table { trust, .. } => trust.stale_crl(),
            Self::Foreign { beside, .. } => {
                beside.first().map_or_else(StaleCrl::default, |trust| trust.stale_crl())
            }
        }
    }

    fn state(&self) -> TrustState {
        match self {
            Self::Table { trust, .. } => trust.in_force(),
            Self::Foreign { in_force, .. } => in_force.state.clone(),
        }
    }

    /// Whoever judges by them.
    fn believers(&self) -> Vec<Arc<Trust>> {
        match self {
            Self::Table { trust, .. } => vec![trust.clone()],
            Self::Foreign { beside, .. } => beside.clone(),
        }
    }

    /// Which certificate is shown, as a part of a sentence.
    fn shown(&self) -> String {
        match self {
            Self::Table { credentials, .. } => format!(" (serial {})", credentials.serial()),
            Self::Foreign { .. } => String::new(),
        }
    }
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Path> {
        let pair = self.pair.iter().flat_map(|pair| [&pair.chain, &pair.key]);
        pair.chain([&self.trust.roots]).chain(&self.trust.crls).map(PathBuf::as_path)
    }

    fn at_roots(&self, error: &TrustError) -> String {
        format!("`{}`: {error}", self.trust.roots.display())
    }

    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &Path| {
            let file = path.metadata().ok()?;
            Some((file.size(), file.ino(), file.mtime(), file.mtime_nsec()))
        };
        self.all().map(stamp).collect()
    }

    fn read(&self, installed: &[Arc<Crl>]) -> Result<Read, String> {
        let read_pair =
            |pair: &Pair| Ok::<_, String>((read::bytes(&pair.chain)?, read::bytes(&pair.key)?));
        let pair = self.pair.as_ref().map(read_pair).transpose()?;
        let mut trust = TrustState::of_roots(&read::bytes(&self.trust.roots)?)
            .map_err(|error| self.at_roots(&error))?;
        let mut issuers = trust.roots.clone();
        let chain = pair.as_ref().map(|(chain, _)| chain.as_slice()).unwrap_or_default();
        issuers.extend(CertificateDer::pem_slice_iter(chain).flatten().map(|der| der.to_vec()));
        for path in &self.trust.crls {
            let bytes = read::at_most(path, 2 * CRL_BYTES as u64)?;
            let crl = list(bytes, &issuers, installed);
            trust.crls.push(crl.map_err(|why| format!("`{}`: {why}", path.display()))?);
        }
        Ok(Read { pair, trust })
    }
}

/// A revocation list, PEM or DER. One of an issuer that is not at hand is taken without a look at
/// its signature, if it is newer than the one in force: each handshake checks that by the issuer's
/// certificate, which the peer shows.
fn list(bytes: Vec<u8>, issuers: &[Vec<u8>], installed: &[Arc<Crl>]) -> Result<Arc<Crl>, String> {
    let der = if bytes.starts_with(b"-----BEGIN") {
        CertificateRevocationListDer::from_pem_slice(&bytes)
            .map_err(|error| format!("it is no PEM of a revocation list: {error}"))?
            .to_vec()
    } else {
        bytes
    };
    let read = Crl::read(&der).map_err(|error| error.to_string())?;
    let known = installed.iter().find(|crl| crl.issuer_key == read.issuer_key);
    let (installed, now) = (known.map(|crl| &**crl), now_ms());
    let accepted = match Crl::accept(&der, issuers, installed, now) {
        Err(CrlError::UnknownIssuer(_) | CrlError::OtherKey(_)) => read.follow(installed, now),
        judged => judged,
    };
    match accepted.map_err(|error| error.to_string())? {
        Accepted::Newer(crl) => Ok(crl),
        Accepted::Same => known.cloned().ok_or_else(|| "it is the same as none".to_owned()),
    }
}

#[cfg(test)]
mod tests;
