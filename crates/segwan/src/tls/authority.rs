//! Both ends of a connection to the Authority: an agent that believes one pinned root, and a port
//! that offers client authentication without demanding it (`pki.md` sections 9.3 and 9.5).

use super::config;
use super::trust::{Roots, Rule};
use super::verify::{Expected, Fault, Verdict, Verifier};
use super::{HandshakeError, SettingsError};
use crate::credentials::Credentials;
use crate::tls::config::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use segwan_core::audit::shown;
use segwan_core::identity::{Identity, TrustDomain};
use segwan_core::rejection::Reason;
use segwan_pki::certificate::Certificate;
use segwan_pki::key::{from_hex, sha256};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name of the Authority's own identity in its trust domain.
pub const AUTHORITY_NAME: &str = "segwan/authority";

/// Who calls the Authority, as far as the handshake proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody without a certificate.
    Anonymous,
    /// The holder of a certificate in force.
    Agent(Holder),
    /// The holder of a certificate that ended less than the grace ago: it may renew, and nothing
    /// else.
    ExpiredAgent(Holder),
}

/// Who holds a certificate, and the certificate in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Whose it is.
    pub identity: Identity,
    /// The certificate as it was shown.
    pub certificate: Vec<u8>,
}

/// The Authority's side.
pub struct AuthorityAcceptor(Arc<ServerConfig>);

impl AuthorityAcceptor {
    /// A port that shows `credentials` and knows certificates under `root`, in DER; those that
    /// ended up to `grace` ago are known as expired.
    ///
    /// # Errors
    /// If `root` is no root, or TLS refuses the settings.
    pub fn new(
        credentials: &Credentials,
        root: &[u8],
        domain: TrustDomain,
        grace: Duration,
    ) -> Result<Self, SettingsError> {
        let roots = Roots::from_der(&[CertificateDer::from(root)]);
        let roots = Arc::new(roots.map_err(|error| SettingsError(error.to_string()))?);
        let verifier = Holders {
            subjects: roots.subjects.clone(),
            rule: Verifier::of_holders(roots, domain),
            grace,
        };
        config::authority_server(credentials, Arc::new(verifier))
            .map(Self)
            .map_err(|error| SettingsError(error.to_string()))
    }

    /// Takes the handshake of one caller, until `deadline` in all.
    ///
    /// # Errors
    /// If there is none in time, or a certificate was shown that is not believed.
    pub async fn accept<S>(
        &self,
        stream: S,
        deadline: Instant,
    ) -> Result<(tokio_rustls::server::TlsStream<S>, Caller), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepting = TlsAcceptor::from(self.0.clone()).accept(stream);
        let (stream, verdict) = overheard(accepting, deadline).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let caller = match (shown, verdict) {
            (None, None) => Caller::Anonymous,
            (Some(leaf), Some(Ok(peer))) => {
                let identity = peer.identity().clone();
                let holder = Holder { identity, certificate: leaf.to_vec() };
                if peer.certificate().not_after < seconds(UnixTime::now()) {
                    Caller::ExpiredAgent(holder)
                } else {
                    Caller::Agent(holder)
                }
            }
            _ => return Err(failed(Reason::Internal, "the handshake ended without a verdict")),
        };
        Ok((stream, caller))
    }
}

/// An agent's side: it believes the one root whose SHA-256 it was given, and that root's
/// Authority. There is no first-use trust, and no switch that turns this off (PKI-25).
pub struct AuthorityConnector(Arc<ClientConfig>);

impl AuthorityConnector {
    /// Calls the Authority of `domain` under the root with this SHA-256 in hex, and shows
    /// `credentials` if there are any.
    ///
    /// # Errors
    /// If the fingerprint is none, or TLS refuses the settings.
    pub fn new(
        fingerprint: &str,
        domain: TrustDomain,
        credentials: Option<&Credentials>,
    ) -> Result<Self, SettingsError> {
        let settings = |error: String| SettingsError(error);
        let pin = from_hex(fingerprint).and_then(|hash| <[u8; 32]>::try_from(hash).ok());
        let pin = pin.ok_or_else(|| settings("the root's fingerprint is no SHA-256".to_owned()))?;
        let authority = domain.identity(AUTHORITY_NAME).map_err(|e| settings(e.to_string()))?;
        let verifier = Pinned { pin, domain, authority: Expected::one(authority) };
        config::authority_client(credentials, Arc::new(verifier))
            .map(Self)
            .map_err(|error| settings(error.to_string()))
    }

    /// Makes the handshake with the server at `address`, until `deadline` in all. Nothing else was
    /// sent before it is proved.
    ///
    /// # Errors
    /// If the server is not the Authority under the pinned root, or does not answer in time.
    pub async fn connect<S>(
        &self,
        stream: S,
        address: &str,
        deadline: Instant,
    ) -> Result<tokio_rustls::client::TlsStream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        // The name only says where to connect; the identity is the certificate's.
        let name = ServerName::try_from(host)
            .unwrap_or_else(|_| ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED)));
        let connecting = TlsConnector::from(self.0.clone()).connect(name, stream);
        let proved = overheard(connecting, deadline).await.map(|(stream, _)| stream);
        proved.map_err(|mut error| {
            error.sentence = format!("the server at {address}: {}", error.sentence);
            error
        })
    }
}

/// Runs a handshake to its end, and keeps what a verifier said on the way.
async fn overheard<T>(
    handshake: impl Future<Output = io::Result<T>>,
    deadline: Instant,
) -> Result<(T, Option<Verdict>), HandshakeError> {
    let mut handshake = pin!(handshake);
    let mut verdict = None;
    let step = poll_fn(|cx| {
        let (poll, said) = Verifier::overheard(|| handshake.as_mut().poll(cx));
        verdict = said.or_else(|| verdict.take());
        poll
    });
    match timeout_at(deadline, step).await {
        Ok(Ok(done)) => Ok((done, verdict)),
        Ok(Err(error)) => Err(match verdict {
            Some(Err(Fault { reason, sentence, presented })) => {
                HandshakeError { reason, sentence, presented }
            }
            _ => failed(Reason::TlsError, &shown(error.to_string().as_bytes())),
        }),
        Err(_) => Err(failed(Reason::HandshakeTimeout, "no complete handshake in time")),
    }
}

fn failed(reason: Reason, sentence: &str) -> HandshakeError {
    HandshakeError { reason, sentence: sentence.to_owned(), presented: None }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Judges whoever shows a certificate at the Authority's port.
#[derive(Debug)]
struct Holders {
    subjects: Vec<DistinguishedName>,
    rule: Verifier,
    grace: Duration,
}

impl Holders {
    /// The instant at which a certificate is judged: now, or its last second while the grace lasts.
    fn instant(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
        let Ok(leaf) = Certificate::read(leaf) else { return now };
        let grace = i64::try_from(self.grace.as_secs()).unwrap_or(0);
        let over = seconds(now).saturating_sub(leaf.not_after);
        match u64::try_from(leaf.not_after - 1) {
            Ok(last) if (1..=grace).contains(&over) => {
                UnixTime::since_unix_epoch(Duration::from_secs(last))
            }
            _ => now,
        }
    }
}

impl ClientCertVerifier for Holders {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let at = self.instant(end_entity, now);
        Verifier::conclude(self.rule.judge(end_entity, intermediates, at))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Verifier::tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Believes what leads to one root, known by its SHA-256 and sent along by the server.
#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
    domain: TrustDomain,
    authority: Expected,
}

impl Pinned {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verdict {
        let root = others.iter().find(|der| sha256(der) == self.pin);
        let roots = root.and_then(|der| Roots::from_der(std::slice::from_ref(der)).ok());
        let Some(roots) = roots else {
            let pin = segwan_pki::key::hex(&self.pin);
            let sentence = format!("does not hold a certificate under the pinned root {pin}");
            return Err(Fault { reason: Reason::UnknownIssuer, sentence, presented: None });
        };
        let rule = Rule::Authority(self.domain.clone());
        Verifier::of_servers(Arc::new(roots), rule, self.authority.clone()).judge(leaf, others, now)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Verifier::conclude(self.judge(end_entity, intermediates, now))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Verifier::tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a chain that was issued to `identity` is good at one second (Unix) under `root`: the
/// rules of every handshake, for any use.
pub(crate) fn judge_issued(
    chain: &[Vec<u8>],
    root: &[u8],
    identity: &Identity,
    domain: &TrustDomain,
    at: i64,
) -> Result<(), String> {
    let roots = Roots::from_der(&[CertificateDer::from(root)]).map_err(|e| e.to_string())?;
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let [leaf, others @ ..] = chain.as_slice() else { return Err("there is none".to_owned()) };
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
    let verdict = Verifier::of_holders(Arc::new(roots), domain.clone()).judge(leaf, others, at);
    let peer = verdict.map_err(|fault| fault.sentence)?;
    if peer.identity() == identity {
        Ok(())
    } else {
        Err(format!("it is of {}, not of {identity}", peer.identity()))
    }
}
