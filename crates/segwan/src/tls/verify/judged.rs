//! `Judged`: the one place where a verdict meets rustls' verifier traits.
//!
//! rustls has no place for more than an alert, so the verdict itself is overheard by whoever runs
//! the handshake step.

use super::{Verdict, fault};
use crate::tls::config::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use segwan_core::rejection::Reason;
use std::cell::RefCell;
use std::fmt::Debug;

/// Who gives the verdict about the certificates that the other side shows.
pub(crate) trait Judge: Debug + Send + Sync {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verdict;

    /// Names of roots, told to a client that it may choose its certificate.
    fn subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// Whether a client has to show a certificate at all.
    fn is_mandatory(&self) -> bool {
        true
    }
}

/// A judge in the place where rustls asks, as client and as server.
#[derive(Debug)]
pub(crate) struct Judged<J>(pub(crate) J);

thread_local! {
    /// The verdict of the handshake step that runs on this thread now.
    static VERDICT: RefCell<Option<Verdict>> = const { RefCell::new(None) };
}

/// Runs one step of a handshake, and says what a judge found in it. The step is synchronous, so
/// the verdict cannot be another's.
pub(crate) fn overheard<R>(step: impl FnOnce() -> R) -> (R, Option<Verdict>) {
    VERDICT.with_borrow_mut(Option::take);
    let result = step();
    (result, VERDICT.with_borrow_mut(Option::take))
}

impl<J: Judge> Judged<J> {
    fn conclude(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let verdict = self.0.judge(leaf, others, now);
        let result = match &verdict {
            Ok(_) => Ok(()),
            // Sent as `access_denied`, whatever it was (T-19).
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        };
        VERDICT.set(Some(verdict));
        result
    }
}

/// The peer holds the key of its certificate (DEP-13).
fn proven(
    result: Result<HandshakeSignatureValid, Error>,
) -> Result<HandshakeSignatureValid, Error> {
    result.map_err(|_| {
        let reason = Reason::CertificateInvalid;
        let sentence = "the peer did not prove that it holds its certificate's key".to_owned();
        VERDICT.set(Some(Err(fault(reason, sentence))));
        CertificateError::ApplicationVerificationFailure.into()
    })
}

/// What the two traits have in common; they are written out once.
macro_rules! proofs {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = provider().signature_verification_algorithms;
            proven(verify_tls12_signature(message, cert, dss, &algorithms))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = provider().signature_verification_algorithms;
            proven(verify_tls13_signature(message, cert, dss, &algorithms))
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

impl<J: Judge> ClientCertVerifier for Judged<J> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.is_mandatory()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.conclude(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    proofs!();
}

impl<J: Judge> ServerCertVerifier for Judged<J> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.conclude(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    proofs!();
}
