//! Both ends of a connection to the Authority: an agent that believes one pinned root, and a port
//! that offers client authentication without demanding it (`pki.md` sections 9.3 and 9.5).

use super::config;
use super::trust::{Rule, State, TrustState};
use super::verify::{
    Expected, Fault, Judge, Judged, Verdict, Verifier, fault, overheard as overhear,
};
use super::{HandshakeError, SettingsError};
use crate::credentials::Credentials;
use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::{ClientConfig, DistinguishedName, ServerConfig};
use segwan_core::audit::shown;
use segwan_core::identity::{Identity, TrustDomain};
use segwan_core::rejection::Reason;
use segwan_pki::authority::Anchors;
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
    /// The holder of a certificate whose root or issuing key is believed no more, so anybody may
    /// have made it: it may renew what the store has recorded, and nothing else.
    FormerAgent(Holder),
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
pub struct AuthorityAcceptor {
    resolver: Arc<dyn ResolvesServerCert>,
    domain: TrustDomain,
    grace: Duration,
    known: ArcSwap<Known>,
}

/// Under what certificates are known, and what follows from it.
struct Known {
    anchors: Anchors,
    /// They take whatever leads to a renewal.
    settings: Arc<ServerConfig>,
    /// It takes what is believed.
    believed: Holders,
}

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
        let resolver: Arc<dyn ResolvesServerCert> = credentials.resolver();
        let anchors = Anchors { believed: vec![root.to_vec()], ..Anchors::default() };
        let known = Known::of(anchors, &resolver, &domain, grace)?;
        Ok(Self { resolver, domain, grace, known: ArcSwap::from_pointee(known) })
    }

    /// Knows certificates under these from the next handshake on: while roots rotate there are two,
    /// and one that was given up still leads to a renewal.
    ///
    /// # Errors
    /// If a root is none; then those of before are known on.
    pub fn know(&self, anchors: Anchors) -> Result<(), SettingsError> {
        if self.known.load().anchors == anchors {
            return Ok(());
        }
        let known = Known::of(anchors, &self.resolver, &self.domain, self.grace)?;
        self.known.store(Arc::new(known));
        Ok(())
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
        // What is known may change meanwhile; a handshake is of one state.
        let known = self.known.load_full();
        let accepting = TlsAcceptor::from(known.settings.clone()).accept(stream);
        let (stream, verdict) = overheard(accepting, deadline).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::split_first);
        let caller = match (shown, verdict) {
            (None, None) => Caller::Anonymous,
            (Some((leaf, others)), Some(Ok(peer))) => {
                let (identity, now) = (peer.identity().clone(), UnixTime::now());
                let holder = Holder { identity, certificate: leaf.to_vec() };
                if known.is_of_before(leaf, others, now) {
                    Caller::FormerAgent(holder)
                } else if peer.certificate().not_after < seconds(now) {
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

impl Known {
    fn of(
        anchors: Anchors,
        resolver: &Arc<dyn ResolvesServerCert>,
        domain: &TrustDomain,
        grace: Duration,
    ) -> Result<Self, SettingsError> {
        let bad = |error: String| SettingsError(error);
        let holders = |state: TrustState| {
            let state = State::new(state).map_err(|error| bad(error.to_string()))?;
            let rule = Verifier::of_holders(Arc::new(state), domain.clone());
            Ok::<_, SettingsError>(Holders { rule, grace })
        };
        let roots = anchors.believed.iter().chain(&anchors.former).cloned().collect();
        let renewing = holders(TrustState { roots, ..TrustState::default() })?;
        let believed = holders(TrustState {
            roots: anchors.believed.clone(),
            distrusted: Arc::new(anchors.distrusted.iter().copied().collect()),
            ..TrustState::default()
        })?;
        let settings = config::authority_server(resolver.clone(), Arc::new(Judged(renewing)))
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self { anchors, settings, believed })
    }

    /// Whether a certificate that may renew is one that is believed no more.
    fn is_of_before(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let changed = !self.anchors.former.is_empty() || !self.anchors.distrusted.is_empty();
        changed && self.believed.judge(leaf, others, now).is_err()
    }
}

/// An agent's side: it believes the one root whose SHA-256 it was given, and that root's
/// Authority. There is no first-use trust, and no switch that turns this off (PKI-25).
pub struct AuthorityConnector(Arc<ClientConfig>);

impl AuthorityConnector {
    /// Calls the Authority of `domain` under a root with one of these SHA-256 in hex, and shows
    /// `credentials` if there are any. There are two while roots rotate. What `known` distrusts or
    /// revokes is refused here as everywhere; its roots are not used.
    ///
    /// # Errors
    /// If a fingerprint is none, or TLS refuses the settings.
    pub fn new(
        fingerprints: &[&str],
        domain: TrustDomain,
        credentials: Option<&Credentials>,
        known: TrustState,
    ) -> Result<Self, SettingsError> {
        let settings = |error: String| SettingsError(error);
        let pin = |text: &&str| from_hex(text).and_then(|hash| <[u8; 32]>::try_from(hash).ok());
        let pins: Option<Vec<_>> = fingerprints.iter().map(pin).collect();
        let pins = pins.filter(|pins| !pins.is_empty());
        let pins =
            pins.ok_or_else(|| settings("the root's fingerprint is no SHA-256".to_owned()))?;
        let authority = domain.identity(AUTHORITY_NAME).map_err(|e| settings(e.to_string()))?;
        // The Authority is asked before its lists are here.
        let known = TrustState { needs_crl: false, ..known };
        let pinned = Pinned { pins, domain, authority: Expected::one(authority), known };
        config::authority_client(credentials, Arc::new(Judged(pinned)))
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
        let (poll, said) = overhear(|| handshake.as_mut().poll(cx));
        verdict = said.or_else(|| verdict.take());
        poll
    });
    match timeout_at(deadline, step).await {
        Ok(Ok(done)) => Ok((done, verdict)),
        Ok(Err(error)) => Err(match verdict {
            Some(Err(Fault { reason, sentence, presented, .. })) => {
                HandshakeError { reason, sentence, presented }
            }
            // A process that ends cuts its handshakes: that says nothing of who it was.
            _ if is_cut(error.kind()) => {
                failed(Reason::ResetByPeer, "the connection was cut in the handshake")
            }
            _ => failed(Reason::TlsError, &shown(error.to_string().as_bytes())),
        }),
        Err(_) => Err(failed(Reason::HandshakeTimeout, "no complete handshake in time")),
    }
}

fn is_cut(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn failed(reason: Reason, sentence: &str) -> HandshakeError {
    HandshakeError { reason, sentence: sentence.to_owned(), presented: None }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Judges whoever shows a certificate at the Authority's port. It asks no revocation list: the
/// store behind the port knows better (`pki.md` section 9.5).
#[derive(Debug)]
struct Holders {
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

impl Judge for Holders {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verdict {
        self.rule.judge(leaf, others, self.instant(leaf, now))
    }

    fn subjects(&self) -> &[DistinguishedName] {
        self.rule.subjects()
    }

    fn is_mandatory(&self) -> bool {
        false
    }
}

/// Believes what leads to one root, known by its SHA-256 and sent along by the server.
#[derive(Debug)]
struct Pinned {
    pins: Vec<[u8; 32]>,
    domain: TrustDomain,
    authority: Expected,
    /// What is known of keys and certificates that are not believed any more.
    known: TrustState,
}

impl Judge for Pinned {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verdict {
        let mut verdict = None;
        for root in others.iter().filter(|der| self.pins.contains(&sha256(der))) {
            let state = TrustState { roots: vec![root.to_vec()], ..self.known.clone() };
            let Ok(state) = State::new(state) else { continue };
            let (rule, expected) = (Rule::Authority(self.domain.clone()), self.authority.clone());
            let judged =
                Verifier::of_servers(Arc::new(state), rule, expected).judge(leaf, others, now);
            if judged.is_ok() {
                return judged;
            }
            verdict.get_or_insert(judged);
        }
        verdict.unwrap_or_else(|| {
            let pins: Vec<_> = self.pins.iter().map(|pin| segwan_pki::key::hex(pin)).collect();
            let pins = pins.join(" or ");
            let sentence = format!("does not hold a certificate under the pinned root {pins}");
            Err(fault(Reason::UnknownIssuer, sentence))
        })
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
    let state = State::of_root(root).map_err(|e| e.to_string())?;
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let [leaf, others @ ..] = chain.as_slice() else { return Err("there is none".to_owned()) };
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
    let verdict = Verifier::of_holders(Arc::new(state), domain.clone()).judge(leaf, others, at);
    let peer = verdict.map_err(|fault| fault.sentence)?;
    if peer.identity() == identity {
        Ok(())
    } else {
        Err(format!("it is of {}, not of {identity}", peer.identity()))
    }
}
