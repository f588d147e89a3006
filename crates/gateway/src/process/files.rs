//! Certificates from files that somebody else looks after: read, watched, and put in force as a
//! whole or not at all (F7).
//!
//! Whoever renews them replaces several files, one after the other: a half of that is a pair that
//! does not fit, which is refused and changes nothing.

use super::now_ms;
use crate::alarms::Alarms;
use crate::config::read;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use segwan::tls::trust::TrustState;
use segwan::{Credentials, Trust};
use segwan_pki::revocation::{Accepted, CRL_BYTES, Crl, CrlError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked; what has not changed between two looks is whole.
const LOOK: Duration = Duration::from_millis(500);

/// The files of one table.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) table: String,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    pub(super) roots: PathBuf,
    pub(super) crls: Vec<PathBuf>,
}

/// What was read of them, and fits together.
struct Read {
    chain: Vec<u8>,
    key: Vec<u8>,
    trust: TrustState,
}

/// By what a changed file is known: size, inode, and the time of its last change in nanoseconds.
/// A file behind a link is the file itself.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Files, and what is made of them.
pub(super) struct Watched {
    files: Files,
    credentials: Arc<Credentials>,
    trust: Arc<Trust>,
    /// The files as they were read last, whether they were good or not.
    tried: Vec<Stamp>,
    /// The files at the last look.
    seen: Vec<Stamp>,
}

impl Watched {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// If they are not good, with a sentence for the operator.
    pub(super) fn begin(files: Files) -> Result<Self, String> {
        let tried = files.stamps();
        let read = files.read(&[])?;
        let credentials = Credentials::from_pem(&read.chain, &read.key)
            .map_err(|error| format!("`{}`: {error}", files.chain.display()))?;
        let at_roots = |error| format!("`{}`: {error}", files.roots.display());
        let trust = Trust::files(&read::bytes(&files.roots)?).map_err(at_roots)?;
        trust.install(read.trust).map_err(at_roots)?;
        let (credentials, trust) = (Arc::new(credentials), Arc::new(trust));
        Ok(Self { files, credentials, trust, seen: tried.clone(), tried })
    }

    pub(super) fn credentials(&self) -> Arc<Credentials> {
        self.credentials.clone()
    }

    pub(super) fn trust(&self) -> Arc<Trust> {
        self.trust.clone()
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
                let changed = self.look();
                (self, changed)
            })
            .await
            else {
                return;
            };
            self = next;
            let table = &self.files.table;
            match changed {
                None => {}
                Some(Ok(())) => {
                    alarms.clear("credentials_rejected", table);
                    let closed = sweep(self.trust.clone()).await;
                    let serial = self.credentials.serial();
                    tracing::info!(
                        "`{table}`: changed files are in force (serial {serial}); {closed} \
                         connections ended"
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

    /// `None`: nothing changed, or something is changing still.
    fn look(&mut self) -> Option<Result<(), String>> {
        let now = self.files.stamps();
        let steady = now == self.seen;
        self.seen = now;
        if !steady || self.seen == self.tried {
            return None;
        }
        let read = self.files.read(&self.trust.in_force().crls);
        if self.files.stamps() != self.seen {
            return None;
        }
        self.tried.clone_from(&self.seen);
        Some(read.and_then(|read| self.put_in_force(read)))
    }

    fn put_in_force(&self, read: Read) -> Result<(), String> {
        let Read { chain, key, trust } = read;
        let at_chain = |why: String| format!("`{}`: {why}", self.files.chain.display());
        let pair = Credentials::from_pem(&chain, &key).map_err(|e| at_chain(e.to_string()))?;
        if pair.not_after() <= now_ms() / 1000 {
            return Err(at_chain("the certificate has ended".to_owned()));
        }
        let at_roots = |error| format!("`{}`: {error}", self.files.roots.display());
        self.trust.install(trust).map_err(at_roots)?;
        self.credentials.replace(&chain, &key).map_err(|e| at_chain(e.to_string()))
    }
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Path> {
        [&self.chain, &self.key, &self.roots].into_iter().chain(&self.crls).map(PathBuf::as_path)
    }

    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &Path| {
            let file = path.metadata().ok()?;
            Some((file.size(), file.ino(), file.mtime(), file.mtime_nsec()))
        };
        self.all().map(stamp).collect()
    }

    fn read(&self, installed: &[Arc<Crl>]) -> Result<Read, String> {
        let (chain, key) = (read::bytes(&self.chain)?, read::bytes(&self.key)?);
        let at_roots = |error| format!("`{}`: {error}", self.roots.display());
        let mut trust = TrustState::of_roots(&read::bytes(&self.roots)?).map_err(at_roots)?;
        let mut issuers = trust.roots.clone();
        issuers.extend(CertificateDer::pem_slice_iter(&chain).flatten().map(|der| der.to_vec()));
        for path in &self.crls {
            let bytes = read::at_most(path, 2 * CRL_BYTES as u64)?;
            let crl = list(bytes, &issuers, installed);
            trust.crls.push(crl.map_err(|why| format!("`{}`: {why}", path.display()))?);
        }
        Ok(Read { chain, key, trust })
    }
}

/// A revocation list, PEM or DER. One of an issuer that is not at hand is taken as it is: each
/// handshake checks its signature by the issuer's certificate, which the peer shows.
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
    match Crl::accept(&der, issuers, known.map(|crl| &**crl), now_ms()) {
        Ok(Accepted::Newer(crl)) => Ok(crl),
        Ok(Accepted::Same) => Ok(known.cloned().unwrap_or_else(|| Arc::new(read))),
        Err(CrlError::UnknownIssuer(_) | CrlError::OtherKey(_)) => Ok(Arc::new(read)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
