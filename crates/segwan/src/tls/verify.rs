//! `Trust` and its verifier: path, usage, identity. The only maker of a [`Peer`].
//!
//! Path validation is webpki's; V1 to V10 of `pki.md` section 4 are ours, on both sides of every
//! handshake. A peer hears the same alert for every fault; the operator reads which it was.

mod identity;
mod judged;
mod jury;
mod leaf;
mod mapping;
mod path;
mod reached;

pub use identity::Expected;
pub(crate) use judged::{Judge, Judged, overheard};
pub(crate) use jury::Jury;
pub use mapping::{MapError, Mapping, RULES, RulePart};
use path::Walk;
pub(crate) use path::fault_of_issuer;

use crate::tls::trust::{Rule, State};
use rustls::DistinguishedName;
use rustls::pki_types::{CertificateDer, UnixTime};
use segwan_core::audit::shown;
use segwan_core::identity::{CertificateFacts, Claims, Extension, Peer, TrustDomain};
use segwan_core::rejection::Reason;
use segwan_pki::certificate::{Certificate, Name, Purposes};
use std::sync::Arc;

/// Most certificates that a peer may show (V9).
const CHAIN: usize = 5;
/// Most bytes of them.
const CHAIN_BYTES: usize = 24 * 1024;

/// Why one rule refuses, before it is known of whom.
pub(crate) type Refusal = (Reason, String);

/// What was found about a peer's certificate.
pub(crate) type Verdict = Result<Peer, Fault>;

/// Why a certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) sentence: String,
    pub(crate) presented: Option<Presented>,
    /// Whether its path leads to one of the judge's roots, so that nobody else is asked.
    pub(crate) leads_here: bool,
}

/// What could be read of a certificate that was not believed; all of it is text of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The first name it holds.
    pub identity: Option<String>,
    /// Its serial number in lower-case hex.
    pub serial: String,
    /// Key identifier of its issuer, or the issuer's name.
    pub issuer: String,
}

impl Presented {
    fn of(certificate: &Certificate) -> Self {
        let text = |name: &Name| match name {
            Name::Uri(uri) => Some(shown(uri.as_bytes())),
            Name::Dns(dns) => Some(format!("dns:{}", shown(dns.as_bytes()))),
            Name::Other => None,
        };
        Self {
            identity: certificate.names.iter().find_map(text),
            serial: shown(certificate.serial_hex().as_bytes()),
            issuer: shown(certificate.issuer_key_or_name().as_bytes()),
        }
    }

    fn title(&self) -> String {
        match &self.identity {
            Some(identity) => format!("certificate of `{identity}` (serial {})", self.serial),
            None => format!("certificate without a name (serial {})", self.serial),
        }
    }
}

/// Judges the certificates of the other side under one state of trust.
///
/// With [`Expected`] it judges servers, and compares the identity after everything else holds.
#[derive(Debug)]
pub(crate) struct Verifier {
    state: Arc<State>,
    rule: Rule,
    purpose: Purpose,
    expected: Option<Expected>,
}

/// What the certificate has to be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `serverAuth`.
    Listening,
    /// `clientAuth`.
    Dialling,
    /// Either: at the Authority's own port (`pki.md` section 9.5).
    Either,
}

impl Purpose {
    fn needed(self) -> &'static str {
        match self {
            Self::Listening => "serverAuth",
            Self::Dialling => "clientAuth",
            Self::Either => "serverAuth or clientAuth",
        }
    }
}

impl Verifier {
    pub(crate) fn of_servers(state: Arc<State>, rule: Rule, expected: Expected) -> Self {
        Self { state, rule, purpose: Purpose::Listening, expected: Some(expected) }
    }

    /// For holders of any certificate of `domain`, whatever it is made for.
    pub(crate) fn of_holders(state: Arc<State>, domain: TrustDomain) -> Self {
        Self { state, rule: Rule::Authority(domain), purpose: Purpose::Either, expected: None }
    }

    /// Judges everything but whom the certificate names and how much was shown; gives how many
    /// issuing certificates there are below the root.
    pub(crate) fn judge_path(
        state: Arc<State>,
        rule: Rule,
        purpose: Purpose,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<usize, Fault> {
        let verifier = Self { state, rule, purpose, expected: None };
        let empty = || fault(Reason::CertificateInvalid, "the chain is empty".to_owned());
        let (leaf, others) = chain.split_first().ok_or_else(empty)?;
        verifier.judge_shown(leaf, others, now, |_, _, path| Ok(path.depth))
    }

    /// V9: a peer may make us look at so much, and no more.
    fn check_amount(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Fault> {
        let bytes = leaf.len() + others.iter().map(|der| der.len()).sum::<usize>();
        if others.len() < CHAIN && bytes <= CHAIN_BYTES {
            return Ok(());
        }
        let sentence = format!(
            "the peer showed {} certificates of {bytes} bytes; {CHAIN} of {CHAIN_BYTES} bytes are the most",
            others.len() + 1
        );
        Err(fault(Reason::CertificateInvalid, sentence))
    }

    /// Reads the leaf, asks every rule, and gives what `then` makes of it. A refusal says of whom.
    fn judge_shown<T>(
        &self,
        leaf_der: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        then: impl FnOnce(&Self, &Certificate, path::Path) -> Result<T, Refusal>,
    ) -> Result<T, Fault> {
        let leaf = Certificate::read(leaf_der).map_err(|why| {
            let sentence = format!("the peer's certificate cannot be read: {why}");
            fault(Reason::CertificateInvalid, sentence)
        })?;
        let Walk { path, leads_here } = self.walk_path(&leaf, leaf_der, others, now);
        let judged = path.and_then(|path| {
            self.check_usage(&leaf)?;
            self.check_leaf(&leaf)?;
            then(self, &leaf, path)
        });
        judged.map_err(|(reason, why)| {
            let presented = Presented::of(&leaf);
            let sentence = format!("{} {why}", presented.title());
            Fault { reason, sentence, presented: Some(presented), leads_here }
        })
    }

    /// Last of all, so that whoever is refused anyway is told the better reason.
    fn check_open(&self) -> Result<(), Refusal> {
        let Some(why) = &self.state.shut else { return Ok(()) };
        Err((Reason::AuthorityUnreachable, format!("holds, yet nobody new is let in: {why}")))
    }

    /// Whom a certificate on a path that holds proves.
    fn prove(&self, leaf: &Certificate, path: path::Path) -> Result<Peer, Refusal> {
        let certificate = CertificateFacts {
            serial: leaf.serial_hex(),
            issuer: shown(leaf.issuer_key_or_name().as_bytes()),
            issuer_key: path.issuer_key.unwrap_or_default(),
            keys: path.keys,
            not_before: leaf.not_before,
            not_after: path.not_after,
        };
        let others = leaf.others.iter();
        let extensions = others
            .map(|other| Extension { oid: other.oid.clone(), value: other.value.clone() })
            .collect();
        let peer = Peer::authenticated(self.identify(leaf)?, certificate);
        let profile = leaf.purposes.and_then(Purposes::profile);
        let claims = Claims { units: leaf.units.clone(), profile };
        let peer = peer.with_issued_under(path.issued_under).with_extensions(extensions);
        Ok(peer.with_claims(claims))
    }
}

impl Judge for Verifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verdict {
        Self::check_amount(leaf, others)?;
        self.judge_shown(leaf, others, now, |verifier, leaf, path| {
            let peer = verifier.prove(leaf, path)?;
            verifier.check_open()?;
            Ok(peer)
        })
    }

    fn subjects(&self) -> &[DistinguishedName] {
        &self.state.subjects
    }
}

/// A fault of which no certificate, and so no authority, can be named.
pub(crate) fn fault(reason: Reason, sentence: String) -> Fault {
    Fault { reason, sentence, presented: None, leads_here: false }
}
