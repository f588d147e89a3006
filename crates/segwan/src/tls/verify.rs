//! `Trust` and its verifier: path, usage, identity. The only maker of a [`Peer`].
//!
//! Path validation is webpki's; V1 to V10 of `pki.md` section 4 are ours, on both sides of every
//! handshake. A peer hears the same alert for every fault; the operator reads which it was.

use crate::tls::config::provider;
use crate::tls::trust::{Roots, Rule};
use crate::tls::words::in_words;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use segwan_core::audit::shown;
use segwan_core::identity::{CertificateFacts, Identity, Peer, TrustDomain};
use segwan_core::rejection::Reason;
use segwan_pki::certificate::{Certificate, KeyKind, Name};
use std::cell::RefCell;
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage};

/// Most certificates that a peer may show (V9).
const CHAIN: usize = 5;
/// Most bytes of them.
const CHAIN_BYTES: usize = 24 * 1024;

/// Whom a client means to reach: one identity, or a list of which any will do.
///
/// There is no default and no empty one: a client half that knows no name would hand its bytes to
/// whoever holds any certificate of the same Authority (F1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(Vec<Identity>);

impl Expected {
    /// Exactly this identity.
    #[must_use]
    pub fn one(identity: Identity) -> Self {
        Self(vec![identity])
    }

    /// Any of these; `None` if there are none.
    #[must_use]
    pub fn any_of(identities: Vec<Identity>) -> Option<Self> {
        (!identities.is_empty()).then_some(Self(identities))
    }

    /// The identities.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.0
    }

    /// The identities as an operator reads them.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(Identity::to_string).collect::<Vec<_>>().join(" or ")
    }
}

/// What was found about a peer's certificate.
pub(crate) type Verdict = Result<Peer, Fault>;

/// Why a certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) sentence: String,
    pub(crate) presented: Option<Presented>,
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
    roots: Arc<Roots>,
    rule: Rule,
    purpose: Purpose,
    expected: Option<Expected>,
}

/// What the certificate has to be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
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

thread_local! {
    /// The verdict of the handshake step that runs on this thread now.
    static VERDICT: RefCell<Option<Verdict>> = const { RefCell::new(None) };
}

impl Verifier {
    pub(crate) fn of_clients(roots: Arc<Roots>, rule: Rule) -> Self {
        Self { roots, rule, purpose: Purpose::Dialling, expected: None }
    }

    pub(crate) fn of_servers(roots: Arc<Roots>, rule: Rule, expected: Expected) -> Self {
        Self { roots, rule, purpose: Purpose::Listening, expected: Some(expected) }
    }

    /// For holders of any certificate of `domain`, whatever it is made for.
    pub(crate) fn of_holders(roots: Arc<Roots>, domain: TrustDomain) -> Self {
        Self { roots, rule: Rule::Authority(domain), purpose: Purpose::Either, expected: None }
    }

    /// Runs one step of a handshake, and says what a verifier found in it. rustls has no place
    /// for more than an alert; the step is synchronous, so the verdict cannot be another's.
    pub(crate) fn overheard<R>(step: impl FnOnce() -> R) -> (R, Option<Verdict>) {
        VERDICT.with_borrow_mut(Option::take);
        let result = step();
        (result, VERDICT.with_borrow_mut(Option::take))
    }

    pub(crate) fn conclude(verdict: Verdict) -> Result<(), Error> {
        let result = match &verdict {
            Ok(_) => Ok(()),
            // Sent as `access_denied`, whatever it was (T-19).
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        };
        VERDICT.set(Some(verdict));
        result
    }

    pub(crate) fn judge(
        &self,
        leaf_der: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verdict {
        let bytes = leaf_der.len() + others.iter().map(|der| der.len()).sum::<usize>();
        if others.len() >= CHAIN || bytes > CHAIN_BYTES {
            let sentence = format!(
                "the peer showed {} certificates of {bytes} bytes; {CHAIN} of {CHAIN_BYTES} bytes are the most",
                others.len() + 1
            );
            let reason = Reason::CertificateInvalid;
            return Err(Fault { reason, sentence, presented: None });
        }
        let leaf = Certificate::read(leaf_der).map_err(|why| Fault {
            reason: Reason::CertificateInvalid,
            sentence: format!("the peer's certificate cannot be read: {why}"),
            presented: None,
        })?;
        self.judge_read(&leaf, leaf_der, others, now).map_err(|(reason, why)| {
            let presented = Presented::of(&leaf);
            let sentence = format!("{} {why}", presented.title());
            Fault { reason, sentence, presented: Some(presented) }
        })
    }

    fn judge_read(
        &self,
        leaf: &Certificate,
        leaf_der: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Peer, (Reason, String)> {
        let dials = leaf.purposes.is_some_and(|purposes| purposes.client);
        let usage = match self.purpose {
            Purpose::Listening => KeyUsage::server_auth(),
            Purpose::Either if !dials => KeyUsage::server_auth(),
            Purpose::Dialling | Purpose::Either => KeyUsage::client_auth(),
        };
        let walked = self.walk_path(leaf_der, others, now, usage);
        let walked = walked.map_err(|fault| self.blame_a_namesake(leaf, others, fault));
        let not_after = walked?.min(leaf.not_after);
        self.check_usage(leaf)?;
        self.check_leaf(leaf)?;
        let identity = self.identify(leaf)?;
        let certificate = CertificateFacts {
            serial: leaf.serial_hex(),
            issuer: shown(leaf.issuer_key_or_name().as_bytes()),
            not_before: leaf.not_before,
            not_after,
        };
        Ok(Peer::authenticated(identity, certificate))
    }

    /// webpki's path to a root, and the rules for what lies on it. Returns the earliest end of
    /// validity above the leaf.
    fn walk_path(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<i64, (Reason, String)> {
        let algorithms = provider().signature_verification_algorithms.all;
        let leaf = EndEntityCert::try_from(leaf).map_err(|e| path_fault(&e))?;
        let path = leaf
            .verify_for_usage(algorithms, &self.roots.anchors, others, now, usage, None, None)
            .map_err(|e| path_fault(&e))?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let root = self
            .roots
            .anchors
            .iter()
            .position(|anchor| std::ptr::eq(anchor, path.anchor()))
            .and_then(|index| self.roots.certificates.get(index));
        let Some(root) = root else {
            return Err((Reason::UnknownIssuer, "leads to no trusted root".to_owned()));
        };
        // V6: webpki takes roots as given.
        if seconds < root.not_before || seconds > root.not_after {
            let why = "leads to a root that is outside its own validity".to_owned();
            return Err((Reason::UnknownIssuer, why));
        }
        let mut earliest = root.not_after;
        for issuing in path.intermediate_certificates() {
            let issuing = Certificate::read(&issuing.der()).map_err(|why| {
                let why = format!("was issued by a certificate that cannot be read: {why}");
                (Reason::CertificateInvalid, why)
            })?;
            self.check_issuing(&issuing)?;
            earliest = earliest.min(issuing.not_after);
        }
        Ok(earliest)
    }

    /// A signature that does not hold means another thing if no root has the key that is named: an
    /// authority of the same name, and not ours.
    fn blame_a_namesake(
        &self,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        fault: (Reason, String),
    ) -> (Reason, String) {
        if fault.1 != BAD_SIGNATURE {
            return fault;
        }
        let ours = |key: &Option<Vec<u8>>| {
            key.is_some() && self.roots.certificates.iter().any(|root| root.subject_key == *key)
        };
        let other = |der: &CertificateDer<'_>| {
            Certificate::read(der).is_ok_and(|other| ours(&other.authority_key))
        };
        if ours(&leaf.authority_key) || others.iter().any(other) {
            return fault;
        }
        let why = "leads to no trusted root, only to a name that one of them has".to_owned();
        (Reason::UnknownIssuer, why)
    }

    /// V5 and V7 for an issuing certificate. Foreign ones may be older than our rules.
    fn check_issuing(&self, issuing: &Certificate) -> Result<(), (Reason, String)> {
        let fault = |why: &str| {
            let why = format!("was issued by a certificate {why}");
            Err((Reason::CertificateInvalid, why))
        };
        if !is_strong(issuing.key) {
            return fault("whose key is too weak or of an unknown kind");
        }
        if !issuing.is_ca || issuing.may_sign_certificates == Some(false) {
            return fault("that may not issue certificates");
        }
        if matches!(self.rule, Rule::Files) {
            return Ok(());
        }
        if !issuing.constraints_are_critical || issuing.may_sign_certificates.is_none() {
            return fault("without critical basic constraints and keyCertSign");
        }
        if issuing.subject_key.is_none() || issuing.subject_is_empty {
            return fault("without a key identifier or a subject");
        }
        if issuing.name_constraints == Some(false) {
            return fault("whose name constraints are not critical");
        }
        Ok(())
    }

    /// V1: the key usage has to be there and name the purpose; webpki lets an absent one pass.
    fn check_usage(&self, leaf: &Certificate) -> Result<(), (Reason, String)> {
        let needed = self.purpose.needed();
        let fault = |why: String| Err((Reason::WrongUsage, why));
        match leaf.purposes {
            None => fault(format!("has no extended key usage; it needs {needed}")),
            Some(purposes) if purposes.any => fault("may be used for anything".to_owned()),
            Some(purposes) => {
                let fits = match self.purpose {
                    Purpose::Listening => purposes.server,
                    Purpose::Dialling => purposes.client,
                    Purpose::Either => purposes.server || purposes.client,
                };
                if fits { Ok(()) } else { fault(format!("is not made for {needed}")) }
            }
        }
    }

    /// V4 and V7 for the leaf.
    fn check_leaf(&self, leaf: &Certificate) -> Result<(), (Reason, String)> {
        let fault = |why: &str| Err((Reason::CertificateInvalid, why.to_owned()));
        if leaf.is_ca || leaf.may_sign_certificates == Some(true) {
            return fault("may issue certificates, so it speaks for nobody");
        }
        if leaf.name_constraints.is_some() {
            return fault("has name constraints, which belong to issuers");
        }
        let serial = leaf.serial.as_slice();
        let positive = serial.first().is_some_and(|first| *first < 0x80)
            && serial.iter().any(|byte| *byte != 0);
        if !positive || serial.len() > 20 {
            return fault("has no positive serial number of at most 20 octets");
        }
        if leaf.subject_is_empty && !leaf.names_are_critical {
            return fault("has neither a subject nor critical alternative names");
        }
        if leaf.authority_key.is_none() && !matches!(self.rule, Rule::Files) {
            return fault("does not name its issuer's key");
        }
        if !is_strong(leaf.key) {
            return fault("has a key that is too weak or of an unknown kind");
        }
        Ok(())
    }

    /// V2 and V10: exactly one identity, in our trust domain, and the expected one.
    fn identify(&self, leaf: &Certificate) -> Result<Identity, (Reason, String)> {
        let invalid = |why: String| (Reason::IdentityInvalid, why);
        let uris: Vec<&str> = leaf.names.iter().filter_map(as_uri).collect();
        let dns: Vec<&str> = leaf.names.iter().filter_map(as_dns).collect();
        if let (Rule::Files, Some(expected)) = (&self.rule, &self.expected) {
            let named = |identity: &&Identity| matches!(identity, Identity::Dns(name) if dns.contains(&name.as_ref()));
            if let Some(identity) = expected.0.iter().find(named) {
                return Ok(identity.clone());
            }
        }
        let identity = match (&self.rule, uris.as_slice(), dns.as_slice()) {
            (_, [uri], _) => Identity::spiffe(uri).map_err(|_| {
                invalid(format!("holds `{}`, which is no identity", shown(uri.as_bytes())))
            })?,
            (Rule::Files, [], [name]) => Identity::dns(name).map_err(|_| {
                invalid(format!("holds `{}`, which is no identity", shown(name.as_bytes())))
            })?,
            (Rule::Files, [], several) if self.expected.is_some() && !several.is_empty() => {
                let names = shown(several.join(", ").as_bytes());
                return Err((Reason::PeerNameMismatch, format!("holds the names `{names}`")));
            }
            (_, uris, dns) => {
                let (uris, dns) = (uris.len(), dns.len());
                return Err(invalid(format!(
                    "holds {uris} URI names and {dns} DNS names, not exactly one identity"
                )));
            }
        };
        if let Rule::Authority(domain) = &self.rule
            && identity.trust_domain() != Some(domain.as_str())
        {
            let why = format!("belongs to another trust domain than `{domain}`");
            return Err((Reason::WrongTrustDomain, why));
        }
        match &self.expected {
            Some(expected) if !expected.0.contains(&identity) => {
                Err((Reason::PeerNameMismatch, "is not the expected one".to_owned()))
            }
            _ => Ok(identity),
        }
    }

    /// The peer holds the key of its certificate (DEP-13).
    fn proven(
        result: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        result.map_err(|_| {
            let reason = Reason::CertificateInvalid;
            let sentence = "the peer did not prove that it holds its certificate's key".to_owned();
            VERDICT.set(Some(Err(Fault { reason, sentence, presented: None })));
            CertificateError::ApplicationVerificationFailure.into()
        })
    }

    fn tls12(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        Self::proven(verify_tls12_signature(message, certificate, signed, &algorithms))
    }

    pub(crate) fn tls13(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        Self::proven(verify_tls13_signature(message, certificate, signed, &algorithms))
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.roots.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Self::conclude(self.judge(end_entity, intermediates, now))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Self::conclude(self.judge(end_entity, intermediates, now))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn as_uri(name: &Name) -> Option<&str> {
    match name {
        Name::Uri(uri) => Some(uri),
        _ => None,
    }
}

fn as_dns(name: &Name) -> Option<&str> {
    match name {
        Name::Dns(dns) => Some(dns),
        _ => None,
    }
}

/// V7: the kinds of keys that are believed.
fn is_strong(key: KeyKind) -> bool {
    match key {
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => true,
        KeyKind::Rsa(bits) => (2048..=8192).contains(&bits) && bits.is_multiple_of(8),
        KeyKind::Other => false,
    }
}

/// What is said of a signature in the path that its issuer did not make.
const BAD_SIGNATURE: &str = "has a signature in its path that its issuer did not make";

/// What webpki found, in our words.
fn path_fault(error: &webpki::Error) -> (Reason, String) {
    use webpki::Error as E;
    match error {
        E::CertExpired { not_after, .. } => {
            (Reason::CertificateExpired, format!("expired on {}", date(*not_after)))
        }
        E::CertNotValidYet { not_before, .. } => {
            (Reason::CertificateNotYetValid, format!("is not valid before {}", date(*not_before)))
        }
        E::UnknownIssuer => (Reason::UnknownIssuer, "leads to no trusted root".to_owned()),
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            (Reason::WrongUsage, "is not made for this use".to_owned())
        }
        E::InvalidSignatureForPublicKey => (Reason::CertificateInvalid, BAD_SIGNATURE.to_owned()),
        other => {
            let rule = in_words(&other.to_string());
            (Reason::CertificateInvalid, format!("breaks a rule of its path: {rule}"))
        }
    }
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}
