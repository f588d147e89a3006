//! The path to a root: webpki walks it, and V3, V5 to V8 are asked of every one it finds.

use super::reached::Reached;
use super::{Purpose, Refusal, Verifier};
use crate::tls::config::provider;
use crate::tls::trust::StaleCrl;
use crate::tls::words::in_words;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use segwan_core::identity::IssuedUnder;
use segwan_core::rejection::Reason;
use segwan_pki::certificate::{Certificate, KeyKind};
use segwan_pki::key::{hex, sha256};
use std::cell::RefCell;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};

/// What is kept of a path that holds.
pub(super) struct Path {
    /// SHA-256 of each key on it, the leaf's first and the root's last.
    pub(super) keys: Vec<[u8; 32]>,
    /// How many issuing certificates it has below the root; self-issued ones do not count (RFC 5280
    /// section 4.2.1.9).
    pub(super) depth: usize,
    /// Key identifier in hex of the certificate that issued the leaf, if it has one.
    pub(super) issuer_key: Option<String>,
    /// The issuing certificates on it below the root.
    pub(super) issued_under: Vec<IssuedUnder>,
    /// Earliest end of validity on it.
    pub(super) not_after: i64,
}

/// What a walk to the roots came to.
pub(super) struct Walk {
    /// A path that breaks no rule, or why there is none.
    pub(super) path: Result<Path, Refusal>,
    /// Whether one of the roots was reached, or the walk was not to its end, so that one might have
    /// been. An expired certificate that was shown along is no path.
    pub(super) leads_here: bool,
}

impl Verifier {
    /// Looks for a path to a root that breaks no rule.
    pub(super) fn walk_path(
        &self,
        leaf: &Certificate,
        leaf_der: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Walk {
        let reached = Reached::of(leaf_der);
        let path = self.find_path(leaf, leaf_der, others, now, &reached);
        // Whoever makes us stop early is not looked at by the next one as well (V9).
        let gave_up = path.as_ref().is_err_and(|(_, why)| why == GAVE_UP);
        Walk { leads_here: path.is_ok() || reached.yes() || gave_up, path }
    }

    fn find_path(
        &self,
        leaf: &Certificate,
        leaf_der: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        reached: &Reached<'_>,
    ) -> Result<Path, Refusal> {
        let end = EndEntityCert::try_from(leaf_der).map_err(|e| path_fault(&e))?;
        let lists = self.lists_of(leaf, &end);
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            let expiration = match self.state.stale_crl {
                StaleCrl::Keep => ExpirationPolicy::Ignore,
                StaleCrl::Refuse => ExpirationPolicy::Enforce,
            };
            options
                .with_depth(RevocationCheckDepth::EndEntity)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(expiration)
                .build()
        });
        // webpki goes on to another path when one is refused. The first word about them is kept: the
        // paths after it lead through a root that was shown along.
        let found = RefCell::new(None);
        let judged = |path: &VerifiedPath<'_>| {
            let checked = self.check_path(leaf, path, now);
            let result = checked.as_ref().map(|_| ()).map_err(|_| webpki::Error::CertDistrusted);
            let mut found = found.borrow_mut();
            if checked.is_ok() || found.is_none() {
                *found = Some(checked);
            }
            result
        };
        let heard = reached.heard(provider().signature_verification_algorithms.all);
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
            heard.iter().map(|it| it as _).collect();
        let walked = end.verify_for_usage(
            &algorithms,
            &self.state.anchors,
            others,
            now,
            self.usage(leaf),
            revocation,
            Some(&judged),
        );
        match (walked, found.take()) {
            // Only now: whom nobody trusts is told so, and not that a list of his is missing.
            (Ok(_), Some(Ok(_))) if lists.is_empty() && self.state.given.needs_crl => {
                let why = "is of an issuer whose revocation list is not here".to_owned();
                Err((Reason::CrlStale, why))
            }
            (Ok(_), Some(checked)) | (Err(_), Some(checked @ Err(_))) => checked,
            (Err(error), _) => Err(self.blame_a_namesake(leaf, others, path_fault(&error))),
            (Ok(_), None) => Err((Reason::Internal, "was believed without a look".to_owned())),
        }
    }

    fn usage(&self, leaf: &Certificate) -> KeyUsage {
        let dials = leaf.purposes.is_some_and(|purposes| purposes.client);
        match self.purpose {
            Purpose::Listening => KeyUsage::server_auth(),
            Purpose::Either if !dials => KeyUsage::server_auth(),
            Purpose::Dialling | Purpose::Either => KeyUsage::client_auth(),
        }
    }

    /// V8: the lists that answer for this certificate. With none, there is nothing to ask, and
    /// where one is needed no path is believed; webpki's way to let an unknown status pass is
    /// never taken (RUSTSEC-2026-0049).
    fn lists_of(
        &self,
        leaf: &Certificate,
        end: &EndEntityCert<'_>,
    ) -> Vec<&CertRevocationList<'static>> {
        let key = leaf.authority_key.as_deref().map(hex);
        self.state
            .given
            .crls
            .iter()
            .filter(|crl| key.as_ref().is_none_or(|key| *key == crl.issuer_key))
            .map(|crl| crl.list())
            .filter(|list| list.issuer() == end.issuer())
            .collect()
    }

    /// V3 and V5 to V8 for one path that webpki believes.
    fn check_path(
        &self,
        leaf: &Certificate,
        path: &VerifiedPath<'_>,
        now: UnixTime,
    ) -> Result<Path, Refusal> {
        let roots = self.state.anchors.iter().zip(&self.state.certificates);
        let mut at = roots.filter(|(anchor, _)| std::ptr::eq(*anchor, path.anchor()));
        let Some((_, root)) = at.next() else {
            return Err((Reason::UnknownIssuer, "leads to no trusted root".to_owned()));
        };
        // V6: webpki takes roots as given.
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if seconds < root.not_before || seconds > root.not_after {
            let why = "leads to a root that is outside its own validity".to_owned();
            return Err((Reason::UnknownIssuer, why));
        }
        let mut issuing = Vec::new();
        for der in path.intermediate_certificates() {
            let read = Certificate::read(&der.der()).map_err(|why| {
                let why = format!("was issued by a certificate that cannot be read: {why}");
                (Reason::CertificateInvalid, why)
            })?;
            self.check_issuing(&read)?;
            issuing.push(read);
        }
        let all = || std::iter::once(leaf).chain(&issuing).chain([root]);
        let issuer = issuing.first().unwrap_or(root).subject_key.as_ref();
        let above = issuing.iter().skip(1).chain([root]);
        let issued_under = issuing.iter().zip(above).map(|(it, above)| IssuedUnder {
            issuer_key: above.subject_key.as_deref().map(hex).unwrap_or_default(),
            serial: it.serial.clone(),
        });
        let path = Path {
            issued_under: issued_under.collect(),
            keys: all().map(|it| sha256(&it.public_key)).collect(),
            depth: issuing.iter().filter(|it| !it.is_self_issued).count(),
            issuer_key: issuer.or(leaf.authority_key.as_ref()).map(|key| hex(key)),
            not_after: all().map(|it| it.not_after).min().unwrap_or_default(),
        };
        self.check_withdrawn(leaf, &path)?;
        Ok(path)
    }

    /// V5 and V7 for an issuing certificate.
    fn check_issuing(&self, issuing: &Certificate) -> Result<(), Refusal> {
        let nameless = issuing.authority_key.is_none() && !self.rule.tolerates().missing_aki;
        let nameless = nameless.then_some("that does not name its own issuer's key");
        match fault_of_issuer(issuing).or(nameless) {
            None => Ok(()),
            Some(why) => {
                Err((Reason::CertificateInvalid, format!("was issued by a certificate {why}")))
            }
        }
    }

    /// V3 and the pushed half of V8: nothing on the path was distrusted or revoked. Of issuing
    /// certificates that is asked of the lists that are here, and none is needed.
    fn check_withdrawn(&self, leaf: &Certificate, path: &Path) -> Result<(), Refusal> {
        let issuer = path.issuer_key.as_deref().unwrap_or_default();
        self.state.withdrawn(issuer, &leaf.serial_hex(), &path.keys).map_or(Ok(()), Err)?;
        self.state.issuer_revoked(&path.issued_under).map_or(Ok(()), Err)
    }

    /// A signature that does not hold means another thing if no root has the key that is named: an
    /// authority of the same name, and not ours.
    fn blame_a_namesake(
        &self,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        fault: Refusal,
    ) -> Refusal {
        if fault.1 != BAD_SIGNATURE {
            return fault;
        }
        let ours = |key: &Option<Vec<u8>>| {
            let mut roots = self.state.certificates.iter();
            key.is_some() && roots.any(|root| root.subject_key == *key)
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
}

/// V5 to V7: what is wrong with a certificate that issues others, root or not.
pub(crate) fn fault_of_issuer(issuing: &Certificate) -> Option<&'static str> {
    if !is_strong(issuing.key) {
        return Some("whose key is too weak or of an unknown kind");
    }
    if !issuing.is_ca || issuing.may_sign_certificates == Some(false) {
        return Some("that may not issue certificates");
    }
    if !issuing.constraints_are_critical || issuing.may_sign_certificates.is_none() {
        return Some("without critical basic constraints and keyCertSign");
    }
    if issuing.subject_key.is_none() || issuing.subject_is_empty {
        return Some("without a key identifier or a subject");
    }
    if issuing.key_identifiers_are_critical {
        return Some("with a critical key identifier");
    }
    if issuing.limits_policies {
        return Some("that limits certificate policies, which are not evaluated here");
    }
    if issuing.name_constraints == Some(false) {
        return Some("whose name constraints are not critical");
    }
    None
}

/// V7: the kinds of keys that are believed.
pub(super) fn is_strong(key: KeyKind) -> bool {
    match key {
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => true,
        KeyKind::Rsa(bits) => (2048..=8192).contains(&bits) && bits.is_multiple_of(8),
        KeyKind::Other => false,
    }
}

/// What is said of a signature in the path that its issuer did not make.
const BAD_SIGNATURE: &str = "has a signature in its path that its issuer did not make";

/// What is said of a path that takes more looking for than a peer may ask of us.
const GAVE_UP: &str = "has more possible paths than are looked at";

/// What webpki found, in our words.
fn path_fault(error: &webpki::Error) -> Refusal {
    use webpki::Error as E;
    match error {
        E::CertExpired { not_after, .. } => {
            (Reason::CertificateExpired, format!("expired on {}", date(*not_after)))
        }
        E::CertNotValidYet { not_before, .. } => {
            (Reason::CertificateNotYetValid, format!("is not valid before {}", date(*not_before)))
        }
        E::CertRevoked => {
            (Reason::CertificateRevoked, "is on its issuer's revocation list".to_owned())
        }
        E::CrlExpired { next_update, .. } => {
            let why =
                format!("is of an issuer whose revocation list ended on {}", date(*next_update));
            (Reason::CrlStale, why)
        }
        E::UnknownRevocationStatus => {
            let why = "is of an issuer whose revocation list is not here".to_owned();
            (Reason::CrlStale, why)
        }
        E::UnknownIssuer => (Reason::UnknownIssuer, "leads to no trusted root".to_owned()),
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            (Reason::WrongUsage, "is not made for this use".to_owned())
        }
        E::InvalidSignatureForPublicKey => (Reason::CertificateInvalid, BAD_SIGNATURE.to_owned()),
        E::MaximumSignatureChecksExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumNameConstraintComparisonsExceeded => {
            (Reason::CertificateInvalid, GAVE_UP.to_owned())
        }
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
