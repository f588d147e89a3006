//! Certificates from files that somebody else looks after, those of foreign authorities among them:
//! read, watched, and put in force (F7).
//!
//! What is shown and whom to believe are two parts, each put in force as a whole or not at all: half
//! a pair is refused and changes nothing, and a list that revokes somebody waits for no pair.

mod lists;
mod part;

use super::now_ms;
use crate::alarms::Alarms;
use crate::config::{Foreign, TrustFiles, read};
use lists::list;
use part::Part;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use segwan::tls::trust::{TrustError, stale_list};
use segwan::{Credentials, ForeignTrust, Mapping, StaleCrl, Trust, TrustState};
use segwan_core::identity::FOREIGN;
use segwan_pki::revocation::{CRL_BYTES, Crl};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is looked; what has not changed between two looks is whole.
const LOOK: Duration = Duration::from_millis(500);

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

/// Files, and what is made of them.
pub(super) struct Watched {
    files: Files,
    made: Made,
    pair: Part,
    trust: Part,
}

/// What became of files that were tried.
#[derive(Debug)]
struct Tried {
    /// Whether some of them are in force now.
    changed: bool,
    /// Whether peers are judged by them.
    judges: bool,
    /// Why some that lie there are not in force.
    fault: Option<String>,
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
        let (shown, believed) = (Part::of(&files.of_pair()), Part::of(&files.of_trust()));
        let (chain, key) = pair.read()?;
        let state = files.read_trust(&[])?;
        let credentials = Credentials::from_pem(&chain, &key).map_err(at_chain)?;
        let trust = match mapping {
            Some(mapping) => Trust::mapped(ForeignTrust { mapping, tolerate, state }),
            None => Trust::files_of(state, tolerate),
        };
        let trust = Arc::new(trust.map_err(|error| files.at_roots(&error))?);
        trust.set_stale_crl(stale_crl);
        let made = Made::Table { credentials: Arc::new(credentials), trust };
        Ok(Self { files, made, pair: shown, trust: believed })
    }

    /// Reads those of a foreign authority for the first time; nobody believes it yet.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) fn foreign(foreign: &Foreign) -> Result<Self, String> {
        let Foreign { trust, mapping } = foreign.clone();
        let files = Files { of: format!("{FOREIGN}/{}", foreign.name()), pair: None, trust };
        let (pair, believed) = (Part::of(&files.of_pair()), Part::of(&files.of_trust()));
        let (tolerate, state) = (files.trust.danger_tolerate, files.read_trust(&[])?);
        let in_force = ForeignTrust { mapping, tolerate, state };
        let made = Made::Foreign { in_force, beside: Vec::new() };
        Ok(Self { files, made, pair, trust: believed })
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
            let Ok((next, tried)) = tokio::task::spawn_blocking(move || {
                let tried = self.look(Instant::now());
                (self, tried)
            })
            .await
            else {
                return;
            };
            self = next;
            self.tell_of_old_lists(&alarms, now_ms());
            let Some(Tried { changed, judges, fault }) = tried else { continue };
            self.tell_of_fault(&alarms, fault, now_ms());
            let mut closed = 0;
            for trust in self.made.believers().into_iter().filter(|_| judges) {
                closed += sweep(trust).await;
            }
            if changed {
                let (table, shown) = (&self.files.of, self.made.shown());
                tracing::info!(
                    "`{table}`: changed files are in force{shown}; {closed} connections ended"
                );
            }
        }
    }

    /// Raises `credentials_rejected` while something that lies there is not in force.
    fn tell_of_fault(&self, alarms: &Alarms, fault: Option<String>, now_ms: i64) {
        let table = &self.files.of;
        let Some(why) = fault else {
            alarms.clear("credentials_rejected", table);
            return;
        };
        let sentence = format!("`{table}` keeps what it had: {why}");
        if alarms.raise("credentials_rejected", table, &sentence, now_ms) {
            tracing::warn!(alarm = "credentials_rejected", "{sentence}");
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
    fn look(&mut self, at: Instant) -> Option<Tried> {
        let (believed, shown) = (self.look_at_trust(at), self.look_at_pair(at));
        let tried = believed.is_some() || shown.is_some();
        let judges = believed == Some(true);
        let faults = [&self.trust, &self.pair].map(|part| part.fault());
        let fault = faults.into_iter().flatten().collect::<Vec<_>>().join("; ");
        tried.then(|| Tried {
            changed: judges || shown == Some(true),
            judges,
            fault: Some(fault).filter(|fault| !fault.is_empty()),
        })
    }

    /// Whether roots and lists were put in force, if they were tried.
    fn look_at_trust(&mut self, at: Instant) -> Option<bool> {
        let Self { files, made, trust, .. } = self;
        let files = &*files;
        trust.look(&files.of_trust(), at, || {
            let state = files.read_trust(&made.state().crls);
            move || made.believe(state?).map_err(|error| files.at_roots(&error))
        })
    }

    /// Whether chain and key were put in force, if they were tried.
    fn look_at_pair(&mut self, at: Instant) -> Option<bool> {
        let (Some(files), Made::Table { credentials, .. }) = (&self.files.pair, &self.made) else {
            return None;
        };
        self.pair.look(&self.files.of_pair(), at, || {
            let read = files.read();
            move || {
                let (chain, key) = read?;
                let at_chain = |why: String| format!("`{}`: {why}", files.chain.display());
                let pair =
                    Credentials::from_pem(&chain, &key).map_err(|e| at_chain(e.to_string()))?;
                if pair.not_after() <= now_ms() / 1000 {
                    return Err(at_chain("the certificate has ended".to_owned()));
                }
                credentials.replace(&chain, &key).map_err(|e| at_chain(e.to_string()))
            }
        })
    }
}

impl Made {
    /// Puts a state in force for everybody who judges by it.
    fn believe(&mut self, state: TrustState) -> Result<(), TrustError> {
        match self {
            Self::Table { trust, .. } => trust.install(state),
            Self::Foreign { in_force, beside } => {
                let next = ForeignTrust { state, ..in_force.clone() };
                // What one refuses all do: the reasons lie in the files and in their likes.
                for trust in beside {
                    trust.believe(next.clone())?;
                }
                *in_force = next;
                Ok(())
            }
        }
    }

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

impl Pair {
    /// Chain and key in PEM.
    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), String> {
        Ok((read::bytes(&self.chain)?, read::bytes(&self.key)?))
    }
}

impl Files {
    fn of_pair(&self) -> Vec<&Path> {
        self.pair.iter().flat_map(|pair| [&*pair.chain, &*pair.key]).collect()
    }

    fn of_trust(&self) -> Vec<&Path> {
        [&self.trust.roots].into_iter().chain(&self.trust.crls).map(PathBuf::as_path).collect()
    }

    fn at_roots(&self, error: &TrustError) -> String {
        format!("`{}`: {error}", self.trust.roots.display())
    }

    fn read_trust(&self, installed: &[Arc<Crl>]) -> Result<TrustState, String> {
        let mut trust = TrustState::of_roots(&read::bytes(&self.trust.roots)?)
            .map_err(|error| self.at_roots(&error))?;
        let mut issuers = trust.roots.clone();
        // Issuers that are at hand; a chain that is not makes no list better or worse.
        let chain = self.pair.as_ref().and_then(|pair| read::bytes(&pair.chain).ok());
        let chain = chain.unwrap_or_default();
        issuers.extend(CertificateDer::pem_slice_iter(&chain).flatten().map(|der| der.to_vec()));
        for path in &self.trust.crls {
            let bytes = read::at_most(path, 2 * CRL_BYTES as u64)?;
            let crl = list(bytes, &issuers, installed);
            trust.crls.push(crl.map_err(|why| format!("`{}`: {why}", path.display()))?);
        }
        Ok(trust)
    }
}

#[cfg(test)]
mod tests;
