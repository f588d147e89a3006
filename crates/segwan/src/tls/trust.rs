//! `Trust`: the roots that are believed, and which identities they may speak for.

use super::HandshakeError;
use super::verify::{Expected, Verifier};
use arc_swap::ArcSwap;
use rustls::DistinguishedName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use segwan_core::identity::{Identity, TrustDomain};
use segwan_core::rejection::Reason;
use segwan_pki::certificate::{Certificate, Name};
use std::sync::Arc;
use std::time::Duration;

/// Roots, and the rule by which a certificate below them becomes an identity.
///
/// The roots can be replaced; the next handshake is judged by the new ones.
#[derive(Debug)]
pub struct Trust {
    rule: Rule,
    roots: ArcSwap<Roots>,
}

/// How the identity is read.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// Certificates of a Segwan Authority: one SPIFFE URI in its trust domain.
    Authority(TrustDomain),
    /// Existing certificates: one URI or one DNS name.
    Files,
}

/// One set of roots.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) anchors: Vec<TrustAnchor<'static>>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) subjects: Vec<DistinguishedName>,
}

/// Why roots cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
}

impl Trust {
    /// Trust in a Segwan Authority: identities are SPIFFE URIs of `domain`.
    ///
    /// # Errors
    /// If `roots`, in PEM, is not at least one root and nothing else.
    pub fn authority(roots: &[u8], domain: TrustDomain) -> Result<Self, TrustError> {
        Self::new(roots, Rule::Authority(domain))
    }

    /// Trust in existing certificates: the identity is the one URI name, or the one DNS name.
    ///
    /// # Errors
    /// As [`authority`](Self::authority).
    pub fn files(roots: &[u8]) -> Result<Self, TrustError> {
        Self::new(roots, Rule::Files)
    }

    fn new(roots: &[u8], rule: Rule) -> Result<Self, TrustError> {
        Ok(Self { rule, roots: ArcSwap::from_pointee(Roots::from_pem(roots)?) })
    }

    /// Puts other roots in force for all handshakes that begin from now on.
    ///
    /// # Errors
    /// As [`authority`](Self::authority); then nothing has changed.
    pub fn replace(&self, roots: &[u8]) -> Result<(), TrustError> {
        self.roots.store(Arc::new(Roots::from_pem(roots)?));
        Ok(())
    }

    /// Whether a peer that believes these roots would believe a chain (PEM, leaf first) for
    /// listening or for dialling, at one second (Unix): the handshake's own rules, before there is
    /// a handshake. Whom the peer expects is not asked.
    ///
    /// # Errors
    /// Why it would not.
    pub fn judge(&self, chain: &[u8], listens: bool, at: i64) -> Result<(), HandshakeError> {
        let unreadable = |sentence: String| HandshakeError {
            reason: Reason::CertificateInvalid,
            sentence,
            presented: None,
        };
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|e| unreadable(format!("the chain is not readable: {e}")))?;
        let empty = || unreadable("the chain is empty".to_owned());
        let (leaf, others) = chain.split_first().ok_or_else(empty)?;
        let verifier = if listens {
            let read = Certificate::read(leaf).map_err(unreadable)?;
            let own = read.names.iter().filter_map(identity).collect();
            let expected = Expected::any_of(own)
                .ok_or_else(|| unreadable("the certificate holds no identity".to_owned()))?;
            Verifier::of_servers(self.roots(), self.rule(), expected)
        } else {
            Verifier::of_clients(self.roots(), self.rule())
        };
        let at = Duration::from_secs(u64::try_from(at).unwrap_or_default());
        match verifier.judge(leaf, others, UnixTime::since_unix_epoch(at)) {
            Ok(_) => Ok(()),
            Err(fault) => Err(HandshakeError {
                reason: fault.reason,
                sentence: fault.sentence,
                presented: fault.presented,
            }),
        }
    }

    pub(crate) fn rule(&self) -> Rule {
        self.rule.clone()
    }

    pub(crate) fn roots(&self) -> Arc<Roots> {
        self.roots.load_full()
    }
}

/// The identity that a name of a certificate is.
fn identity(name: &Name) -> Option<Identity> {
    match name {
        Name::Uri(uri) => Identity::spiffe(uri).ok(),
        Name::Dns(name) => Identity::dns(name).ok(),
        Name::Other => None,
    }
}

impl Roots {
    fn from_pem(pem: &[u8]) -> Result<Self, TrustError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        Self::from_der(&all.map_err(|error| TrustError::Unreadable(error.to_string()))?)
    }

    pub(crate) fn from_der(all: &[CertificateDer<'_>]) -> Result<Self, TrustError> {
        let mut roots = Self { anchors: vec![], certificates: vec![], subjects: vec![] };
        for (index, der) in all.iter().enumerate() {
            let certificate = Certificate::read(der).map_err(TrustError::Unreadable)?;
            if !certificate.is_ca
                || certificate.may_sign_certificates == Some(false)
                || certificate.unknown_critical.is_some()
            {
                return Err(TrustError::NotARoot(index + 1));
            }
            let anchor = webpki::anchor_from_trusted_cert(der)
                .map_err(|error| TrustError::Unreadable(error.to_string()))?
                .to_owned();
            roots.subjects.push(DistinguishedName::in_sequence(&anchor.subject));
            roots.anchors.push(anchor);
            roots.certificates.push(certificate);
        }
        if roots.anchors.is_empty() { Err(TrustError::Empty) } else { Ok(roots) }
    }
}
