//! `TrustState`: what is believed, as it is given; `State`: the same, read and checked once.

use super::super::verify::{Refusal, fault_of_issuer};
use crate::agent::instant;
use rustls::DistinguishedName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use segwan_core::audit::shown;
use segwan_core::identity::IssuedUnder;
use segwan_core::rejection::Reason;
use segwan_pki::certificate::Certificate;
use segwan_pki::key::{from_hex, hex, sha256};
use segwan_pki::revocation::{Crl, RevokedSet};
use std::collections::HashSet;
use std::sync::Arc;

/// Everything that decides whether a certificate is believed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustState {
    /// Root certificates in DER; there must be one.
    pub roots: Vec<Vec<u8>>,
    /// Revocation lists that were accepted, at most one of each issuing key.
    pub crls: Vec<Arc<Crl>>,
    /// What the Authority pushed as revoked.
    pub revoked: Arc<RevokedSet>,
    /// SHA-256 of the `SubjectPublicKeyInfo` of keys that no path may hold, root, issuing or leaf.
    pub distrusted: Arc<HashSet<[u8; 32]>>,
    /// Whether a peer whose issuer has no list here is refused. Default no: a root that publishes
    /// none can be believed.
    pub needs_crl: bool,
}

/// What the operator of this node wants where it knows less than it should. No bundle, list or
/// file that comes later changes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caution {
    /// What a list past its time means.
    pub stale_crl: StaleCrl,
    /// What an hour without a word of the Authority means.
    pub when_unreachable: WhenUnreachable,
}

/// What it means that the Authority was not heard for as long as raises the alarm
/// `authority_unreachable`: 1 h.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenUnreachable {
    /// What was believed stays in force. Default: an Authority that is down ends nobody's work.
    #[default]
    Keep,
    /// New handshakes are refused until it is heard again; live connections stay. Whoever can cut
    /// this node off its Authority then also stops newcomers, and hides no revocation from it.
    RefuseNew,
}

/// What an operator should know of the list that ends first: that half of its age is over, or all
/// of it, and what follows; at an instant in Unix milliseconds.
#[must_use]
pub fn stale_list(lists: &[Arc<Crl>], meaning: StaleCrl, now_ms: i64) -> Option<String> {
    let oldest = lists.iter().min_by_key(|crl| crl.next_update_ms)?;
    let half = oldest.this_update_ms + (oldest.next_update_ms - oldest.this_update_ms) / 2;
    let (issuer, next) = (shown(oldest.issuer_key.as_bytes()), instant(oldest.next_update_ms));
    if oldest.is_stale(now_ms) {
        let meaning = match meaning {
            StaleCrl::Keep => "the last one stays in force",
            StaleCrl::Refuse => "nobody new whose certificate is by that key is let in",
        };
        return Some(format!(
            "the revocation list of the issuing key {issuer} ended at {next}; {meaning}"
        ));
    }
    (now_ms >= half).then(|| {
        format!("the revocation list of the issuing key {issuer} is old; it ends at {next}")
    })
}

/// What a revocation list past its `next_update` means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StaleCrl {
    /// The last one stays in force. Default: a lapsed list that locks every client out is the
    /// commonest accident with lists.
    #[default]
    Keep,
    /// New handshakes of its issuer's certificates are refused.
    Refuse,
}

/// Why roots cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The text is no PEM of certificates.
    #[error("the roots are not readable: {0}")]
    Unreadable(String),
    /// There is none.
    #[error("there is no root certificate")]
    Empty,
    /// One of them may not issue certificates.
    #[error("certificate {0} of the roots may not issue certificates, so it is no root")]
    NotARoot(usize),
    /// One of them breaks a rule for roots.
    #[error("certificate {0} of the roots is one {1}")]
    Unfit(usize, String),
    /// A foreign authority can only be believed beside a Segwan Authority.
    #[error("a foreign authority is believed beside a Segwan Authority, and nowhere else")]
    NotBeside,
    /// Two foreign authorities have one root.
    #[error("certificate {0} of the roots is one of the foreign authority `{1}`, too")]
    Shared(usize, String),
    /// One of them is not valid now.
    #[error("certificate {0} of the roots is outside its own validity")]
    Outdated(usize),
}

impl TrustState {
    /// Roots in PEM, and nothing else.
    ///
    /// # Errors
    /// If they are not readable.
    pub fn of_roots(pem: &[u8]) -> Result<Self, TrustError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let all = all.map_err(|error| TrustError::Unreadable(error.to_string()))?;
        Ok(Self { roots: all.iter().map(|der| der.to_vec()).collect(), ..Self::default() })
    }
}

/// V6: what is wrong with a root alone. An issuing certificate can be trusted like one.
fn fault_of_root(root: &Certificate) -> Option<&'static str> {
    if root.is_self_issued && root.names_issuer_key && root.authority_key != root.subject_key {
        return Some("that names another key than its own as its issuer's");
    }
    // webpki would not honour the limit.
    root.purposes.is_some().then_some("with an extended key usage, which has no meaning in a root")
}

/// One state of trust with its roots read.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) given: TrustState,
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) subjects: Vec<DistinguishedName>,
    /// What a list past its time means: the operator's word, not the Authority's.
    pub(crate) stale_crl: StaleCrl,
    /// Why nobody new is let in, if so.
    pub(crate) shut: Option<String>,
    /// SHA-256 of the roots' keys.
    pub(super) root_keys: HashSet<[u8; 32]>,
}

impl State {
    /// Reads the roots (V6, V7).
    pub(crate) fn new(given: TrustState) -> Result<Self, TrustError> {
        let mut state = Self {
            given: TrustState::default(),
            anchors: vec![],
            certificates: vec![],
            subjects: vec![],
            stale_crl: StaleCrl::default(),
            shut: None,
            root_keys: HashSet::new(),
        };
        for (index, der) in given.roots.iter().enumerate() {
            state.add(index + 1, &CertificateDer::from(der.as_slice()))?;
        }
        if state.anchors.is_empty() {
            return Err(TrustError::Empty);
        }
        state.given = given;
        Ok(state)
    }

    /// Reads the roots that take the place of those before; another root has to be valid now. One
    /// that ended meanwhile must not keep a revocation out.
    pub(super) fn after(before: &Self, given: TrustState, now: i64) -> Result<Self, TrustError> {
        let next = Self::new(given)?.under(before);
        if next.given.roots != before.given.roots {
            next.check_validity(now)?;
        }
        Ok(next)
    }

    /// The same under the operator's words that another state is under.
    pub(super) fn under(self, other: &Self) -> Self {
        Self { stale_crl: other.stale_crl, shut: other.shut.clone(), ..self }
    }

    /// The one root, in DER, and nothing else.
    pub(crate) fn of_root(der: &[u8]) -> Result<Self, TrustError> {
        Self::new(TrustState { roots: vec![der.to_vec()], ..TrustState::default() })
    }

    fn add(&mut self, place: usize, der: &CertificateDer<'_>) -> Result<(), TrustError> {
        let certificate = Certificate::read(der).map_err(TrustError::Unreadable)?;
        if !certificate.is_ca || certificate.may_sign_certificates == Some(false) {
            return Err(TrustError::NotARoot(place));
        }
        if let Some(why) = fault_of_issuer(&certificate).or_else(|| fault_of_root(&certificate)) {
            return Err(TrustError::Unfit(place, why.to_owned()));
        }
        if let Some(oid) = &certificate.unknown_critical {
            let why = format!("with the critical extension {oid}, which is not understood");
            return Err(TrustError::Unfit(place, why));
        }
        let anchor = webpki::anchor_from_trusted_cert(der)
            .map_err(|error| TrustError::Unreadable(error.to_string()))?
            .to_owned();
        self.subjects.push(DistinguishedName::in_sequence(&anchor.subject));
        self.anchors.push(anchor);
        self.root_keys.insert(sha256(&certificate.public_key));
        self.certificates.push(certificate);
        Ok(())
    }

    /// The place of the first root whose key is one of another state's roots, too.
    pub(super) fn root_of(&self, other: &Self) -> Option<usize> {
        let shared = |it: &Certificate| other.root_keys.contains(&sha256(&it.public_key));
        self.certificates.iter().position(shared)
    }

    /// V6: every root is inside its own validity at one second (Unix).
    pub(super) fn check_validity(&self, now: i64) -> Result<(), TrustError> {
        let outside = |it: &Certificate| now < it.not_before || now > it.not_after;
        match self.certificates.iter().position(outside) {
            Some(index) => Err(TrustError::Outdated(index + 1)),
            None => Ok(()),
        }
    }

    /// Whether a certificate with this serial (hex) under this issuing key (hex identifier), on a
    /// path with these keys, was revoked or distrusted: lookups, and no signature.
    pub(crate) fn withdrawn(
        &self,
        issuer: &str,
        serial: &str,
        keys: &[[u8; 32]],
    ) -> Option<Refusal> {
        let revoked = &self.given.revoked;
        let revoked_fault = |why: &str| Some((Reason::CertificateRevoked, why.to_owned()));
        if keys.first().is_some_and(|leaf| revoked.is_revoked(issuer, serial, leaf)) {
            return revoked_fault("was revoked");
        }
        if keys.iter().any(|key| revoked.has_key(key)) {
            return revoked_fault("leads over a key that was revoked");
        }
        if self.lists_name(issuer, &from_hex(serial).unwrap_or_default()) {
            return revoked_fault("is on its issuer's revocation list");
        }
        let distrusted = keys.iter().position(|key| self.given.distrusted.contains(key))?;
        let why =
            if distrusted == 0 { "has a distrusted key" } else { "leads over a distrusted key" };
        Some((Reason::TrustWithdrawn, why.to_owned()))
    }

    /// Whether one of these issuing certificates was revoked by whoever is above it.
    pub(crate) fn issuer_revoked(&self, issued_under: &[IssuedUnder]) -> Option<Refusal> {
        let revoked = |it: &IssuedUnder| self.is_revoked(&it.issuer_key, &it.serial);
        issued_under.iter().any(revoked).then(|| {
            let why = "was issued by a certificate that was revoked".to_owned();
            (Reason::CertificateRevoked, why)
        })
    }

    /// Whether the set or a list names this serial under this issuing key (hex identifier).
    pub(crate) fn is_revoked(&self, issuer: &str, serial: &[u8]) -> bool {
        self.given.revoked.has_serial(issuer, &hex(serial)) || self.lists_name(issuer, serial)
    }

    fn lists_name(&self, issuer: &str, serial: &[u8]) -> bool {
        let mut lists = self.given.crls.iter().filter(|crl| crl.issuer_key == issuer);
        lists.any(|crl| crl.revokes(serial))
    }
}
