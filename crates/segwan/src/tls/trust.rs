//! `Trust`: the one state of who is believed, and which identities may be spoken for.
//!
//! Roots, revocation lists, the pushed set and distrusted keys are one immutable value that is
//! swapped at once (`trust.md` section 3): no verdict ever mixes two of them. Beside the own state
//! there may be one of each foreign authority, with its own roots, lists, tolerances and rules: a
//! certificate is judged under the one to whose roots its path leads, the own one first.

mod foreign;
mod state;

pub use foreign::ForeignTrust;
pub(crate) use foreign::InForce;
pub(crate) use state::State;
pub use state::{Caution, StaleCrl, TrustError, TrustState, WhenUnreachable, stale_list};

use super::HandshakeError;
use super::verify::{Expected, Fault, Judge, Jury, Mapping, Purpose, Verifier};
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use segwan_core::identity::{Identity, Peer, TrustDomain};
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
    in_force: ArcSwap<InForce>,
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
    /// Existing certificates, named by rules.
    Mapped(Arc<Mapping>, Tolerate),
}

impl Rule {
    /// What certificates may lack.
    pub(crate) fn tolerates(&self) -> Tolerate {
        match self {
            Self::Authority(_) => Tolerate::default(),
            Self::Files(tolerate) | Self::Mapped(_, tolerate) => *tolerate,
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

    /// Trust in existing certificates that are known by the names that rules give them, and by
    /// no other.
    ///
    /// # Errors
    /// If a root in it is none.
    pub fn mapped(trust: ForeignTrust) -> Result<Self, TrustError> {
        let ForeignTrust { mapping, tolerate, state } = trust;
        Self::new(state, Rule::Mapped(Arc::new(mapping), tolerate))
    }

    fn new(state: TrustState, rule: Rule) -> Result<Self, TrustError> {
        let own = Arc::new(State::new(state)?);
        let in_force = ArcSwap::from_pointee(InForce { own, foreign: Vec::new() });
        Ok(Self { rule, in_force, changing: Mutex::new(()) })
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
        let before = self.in_force.load_full();
        let mut next = before.own.given.clone();
        edit(&mut next);
        let own = Arc::new(State::after(&before.own, next, seconds(UnixTime::now()))?);
        self.in_force.store(Arc::new(InForce { own, foreign: before.foreign.clone() }));
        Ok(())
    }

    /// Believes a foreign authority too, by its rules and below its own names; in the place of
    /// what was known of one with the same name. Nobody sees a half of it.
    ///
    /// # Errors
    /// If this is no trust in a Segwan Authority; if a root in it is none, or is a root of another
    /// foreign authority, too; or if the roots are others than before, and one is outside its own
    /// validity now (V6). Then nothing has changed.
    pub fn believe(&self, trust: ForeignTrust) -> Result<(), TrustError> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.in_force.load_full();
        if !matches!(self.rule, Rule::Authority(_)) {
            return Err(TrustError::NotBeside);
        }
        let next = before.believing(trust, seconds(UnixTime::now()))?;
        self.in_force.store(Arc::new(next));
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

    /// Says what a revocation list past its time means to the handshakes that begin from now on.
    /// No state that is installed later changes it. Default [`StaleCrl::Keep`].
    pub fn set_stale_crl(&self, meaning: StaleCrl) {
        self.rejudge(|next| next.stale_crl = meaning);
    }

    /// What a revocation list past its time means here.
    #[must_use]
    pub fn stale_crl(&self) -> StaleCrl {
        self.in_force.load().own.stale_crl
    }

    /// Refuses every handshake that begins from now on, with this sentence after
    /// "nobody new is let in: "; live connections stay. `None` lets them in again. No state that is
    /// installed later changes it.
    pub(crate) fn shut(&self, why: Option<&str>) {
        if self.in_force.load().own.shut.as_deref() != why {
            self.rejudge(|next| next.shut = why.map(str::to_owned));
        }
    }

    /// The same beliefs, our own and foreign ones, under other words of the operator.
    fn rejudge(&self, edit: impl Fn(&mut State)) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = InForce::clone(&self.in_force.load());
        let states = next.foreign.iter_mut().map(|foreign| &mut foreign.state);
        states.chain([&mut next.own]).for_each(|state| edit(Arc::make_mut(state)));
        self.in_force.store(Arc::new(next));
    }

    /// The state in force.
    #[must_use]
    pub fn in_force(&self) -> TrustState {
        self.in_force.load().own.given.clone()
    }

    /// Whether each root is inside its own validity at one second (Unix): to be asked daily (V6).
    ///
    /// # Errors
    /// Which is not.
    pub fn check_roots(&self, now: i64) -> Result<(), TrustError> {
        self.in_force.load().own.check_validity(now)
    }

    /// Judges again, with lookups alone, a peer whose handshake was judged before, at one second
    /// (Unix). `None` is: still believed.
    #[must_use]
    pub fn judge_again(&self, peer: &Peer, now: i64) -> Option<(Reason, String)> {
        let (in_force, facts) = (self.in_force.load(), peer.certificate());
        let Some(state) = in_force.state_of(&self.rule, peer.identity()) else {
            let why = "is of a foreign authority that is not trusted any more".to_owned();
            return Some((Reason::TrustWithdrawn, why));
        };
        let of = |why: String| format!("certificate with the serial {} {why}", facts.serial);
        let withdrawn = state.withdrawn(&facts.issuer_key, &facts.serial, &facts.keys);
        let withdrawn = withdrawn.or_else(|| state.issuer_revoked(peer.issued_under()));
        if let Some((reason, why)) = withdrawn {
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
        let jury = if listens {
            let read = Certificate::read(leaf).map_err(unreadable)?;
            let own = read.names.iter().filter_map(identity).collect();
            let expected = Expected::any_of(own)
                .ok_or_else(|| unreadable("the certificate holds no identity".to_owned()))?;
            Jury::of_servers(&self.whole(), self.rule(), &expected)
        } else {
            Jury::of_clients(&self.whole(), self.rule())
        };
        jury.judge(leaf, others, instant(at)).map(|_| ()).map_err(refused)
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
        Verifier::judge_path(self.whole().own.clone(), self.rule(), purpose, &chain, instant(at))
            .map_err(refused)
    }

    pub(crate) fn rule(&self) -> Rule {
        self.rule.clone()
    }

    /// All that handshakes are judged by.
    pub(crate) fn whole(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }
}

fn unreadable(sentence: String) -> HandshakeError {
    HandshakeError { reason: Reason::CertificateInvalid, sentence, presented: None }
}

fn refused(fault: Fault) -> HandshakeError {
    let Fault { reason, sentence, presented, .. } = fault;
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
