//! `Trust`: the one state of who is believed, and which identities may be spoken for.
//!
//! Roots, revocation lists, the pushed set and distrusted keys are one immutable value that is
//! swapped at once (`trust.md` section 3): no verdict ever mixes two of them.

mod state;

pub(crate) use state::State;
pub use state::{StaleCrl, TrustError, TrustState};

use super::HandshakeError;
use super::verify::{Expected, Fault, Judge, Purpose, Verifier};
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use segwan_core::identity::{CertificateFacts, Identity, TrustDomain};
use segwan_core::rejection::Reason;
use segwan_pki::certificate::{Certificate, Name};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Who is believed, and the rule by which a certificate becomes an identity.
///
/// The state can be replaced; the next handshake is judged by the new one, and live connections
/// are with [`judge_again`](Self::judge_again).
#[derive(Debug)]
pub struct Trust {
    rule: Rule,
    state: ArcSwap<State>,
    /// Held by whoever makes the next state, so that no change is lost.
    changing: Mutex<()>,
}

/// How the identity is read.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// Certificates of a Segwan Authority: one SPIFFE URI in its trust domain.
    Authority(TrustDomain),
    /// Existing certificates: one URI or one DNS name.
    Files(Tolerate),
}

impl Rule {
    /// What certificates may lack.
    pub(crate) fn tolerates(&self) -> Tolerate {
        match self {
            Self::Authority(_) => Tolerate::default(),
            Self::Files(tolerate) => *tolerate,
        }
    }
}

/// What existing certificates are let off, by the names of `danger_tolerate`. Default: nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tolerate {
    /// `missing_aki`: a certificate need not name its issuer's key. Revocation then goes by the
    /// issuer's name.
    pub missing_aki: bool,
    /// `missing_eku`: a certificate without extended key usage is good for any: what was made for
    /// a web page may then dial as a client.
    pub missing_eku: bool,
}

impl Trust {
    /// Trust in a Segwan Authority: identities are SPIFFE URIs of `domain`.
    ///
    /// # Errors
    /// If `roots`, in PEM, is not at least one root and nothing else.
    pub fn authority(roots: &[u8], domain: TrustDomain) -> Result<Self, TrustError> {
        Self::new(TrustState::of_roots(roots)?, Rule::Authority(domain))
    }

    /// Trust in existing certificates: the identity is the one URI name, or the one DNS name.
    ///
    /// # Errors
    /// As [`authority`](Self::authority).
    pub fn files(roots: &[u8]) -> Result<Self, TrustError> {
        Self::files_tolerating(roots, Tolerate::default())
    }

    /// As [`files`](Self::files), with certificates let off what is tolerated.
    ///
    /// # Errors
    /// As [`authority`](Self::authority).
    pub fn files_tolerating(roots: &[u8], tolerate: Tolerate) -> Result<Self, TrustError> {
        Self::new(TrustState::of_roots(roots)?, Rule::Files(tolerate))
    }

    /// As [`files_tolerating`](Self::files_tolerating), with a whole state in force from the
    /// beginning.
    ///
    /// # Errors
    /// If a root in it is none.
    pub fn files_of(state: TrustState, tolerate: Tolerate) -> Result<Self, TrustError> {
        Self::new(state, Rule::Files(tolerate))
    }

    fn new(state: TrustState, rule: Rule) -> Result<Self, TrustError> {
        let state = State::new(state)?;
        Ok(Self { rule, state: ArcSwap::from_pointee(state), changing: Mutex::new(()) })
    }

    /// Puts another state in force for all handshakes that begin from now on.
    ///
    /// # Errors
    /// If a root in it is none; or if the roots are others, and one is outside its own validity now
    /// (V6). Then nothing has changed.
    pub fn install(&self, state: TrustState) -> Result<(), TrustError> {
        self.change(|next| *next = state)
    }

    /// Changes parts of the state in force; nobody sees a half of it, and no other change is lost.
    ///
    /// # Errors
    /// As [`install`](Self::install).
    pub fn change(&self, edit: impl FnOnce(&mut TrustState)) -> Result<(), TrustError> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state.load_full();
        let mut next = before.given.clone();
        edit(&mut next);
        let next = State::new(next)?;
        // A root that ended meanwhile must not keep a revocation out.
        if next.given.roots != before.given.roots {
            next.check_validity(seconds(UnixTime::now()))?;
        }
        self.state.store(Arc::new(next));
        Ok(())
    }

    /// Puts other roots in force; lists, revocations and distrusted keys stay.
    ///
    /// # Errors
    /// As [`install`](Self::install), or if they are not readable.
    pub fn replace(&self, roots: &[u8]) -> Result<(), TrustError> {
        let roots = TrustState::of_roots(roots)?.roots;
        self.change(|next| next.roots = roots)
    }

    /// The state in force.
    #[must_use]
    pub fn in_force(&self) -> TrustState {
        self.state.load().given.clone()
    }

    /// Whether each root is inside its own validity at one second (Unix): to be asked daily (V6).
    ///
    /// # Errors
    /// Which is not.
    pub fn check_roots(&self, now: i64) -> Result<(), TrustError> {
        self.state.load().check_validity(now)
    }

    /// Judges again, with lookups alone, a peer whose handshake was judged before, at one second
    /// (Unix). `None` is: still believed.
    #[must_use]
    pub fn judge_again(&self, facts: &CertificateFacts, now: i64) -> Option<(Reason, String)> {
        let state = self.state.load();
        let of = |why: String| format!("certificate with the serial {} {why}", facts.serial);
        if let Some((reason, why)) = state.withdrawn(&facts.issuer_key, &facts.serial, &facts.keys)
        {
            return Some((reason, of(why)));
        }
        if !facts.keys.last().is_some_and(|root| state.root_keys.contains(root)) {
            let why = "leads to a root that is not trusted any more".to_owned();
            return Some((Reason::TrustWithdrawn, of(why)));
        }
        (now > facts.not_after).then(|| {
            let over = now.saturating_sub(facts.not_after);
            (Reason::CertificateExpired, of(format!("is over, or its path is, since {over} s")))
        })
    }

    /// Whether a peer that believes these roots would believe a chain (PEM, leaf first) for
    /// listening or for dialling, at one second (Unix): the handshake's own rules, before there is
    /// a handshake. Whom the peer expects is not asked.
    ///
    /// # Errors
    /// Why it would not.
    pub fn judge(&self, chain: &[u8], listens: bool, at: i64) -> Result<(), HandshakeError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|e| unreadable(format!("the chain is not readable: {e}")))?;
        let empty = || unreadable("the chain is empty".to_owned());
        let (leaf, others) = chain.split_first().ok_or_else(empty)?;
        let verifier = if listens {
            let read = Certificate::read(leaf).map_err(unreadable)?;
            let own = read.names.iter().filter_map(identity).collect();
            let expected = Expected::any_of(own)
                .ok_or_else(|| unreadable("the certificate holds no identity".to_owned()))?;
            Verifier::of_servers(self.state(), self.rule(), expected)
        } else {
            Verifier::of_clients(self.state(), self.rule())
        };
        verifier.judge(leaf, others, instant(at)).map(|_| ()).map_err(refused)
    }

    /// As [`judge`](Self::judge) for a chain in DER, whomever it names and however much it is: V1 to
    /// V8 alone. For conformance suites, which bring names of their own and certificates in heaps.
    /// Gives how many issuing certificates the path has below its root.
    ///
    /// # Errors
    /// Why it would not be believed.
    pub fn judge_path(
        &self,
        chain: &[Vec<u8>],
        listens: bool,
        at: i64,
    ) -> Result<usize, HandshakeError> {
        let purpose = if listens { Purpose::Listening } else { Purpose::Dialling };
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        Verifier::judge_path(self.state(), self.rule(), purpose, &chain, instant(at))
            .map_err(refused)
    }

    pub(crate) fn rule(&self) -> Rule {
        self.rule.clone()
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }
}

fn unreadable(sentence: String) -> HandshakeError {
    HandshakeError { reason: Reason::CertificateInvalid, sentence, presented: None }
}

fn refused(fault: Fault) -> HandshakeError {
    let Fault { reason, sentence, presented } = fault;
    HandshakeError { reason, sentence, presented }
}

fn instant(at: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or_default()))
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// The identity that a name of a certificate is.
fn identity(name: &Name) -> Option<Identity> {
    match name {
        Name::Uri(uri) => Identity::spiffe(uri).ok(),
        Name::Dns(name) => Identity::dns(name).ok(),
        Name::Other => None,
    }
}
