//! `Acceptor`, `Connector`: a stream becomes records and a [`Peer`].

pub mod authority;
pub mod buffers;
pub mod config;
mod handshake;
pub mod record;
pub mod trust;
pub mod verify;
mod words;

use crate::credentials::Credentials;
use arc_swap::ArcSwapOption;
use config::TlsFloor;
use record::Records;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use segwan_core::identity::{Identity, Peer};
use segwan_core::rejection::Reason;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use trust::{InForce, Trust};
use verify::{Expected, Jury, Presented};

/// The listening side: shows its credentials and demands a certificate of everybody.
pub struct Acceptor {
    credentials: Arc<Credentials>,
    trust: Arc<Trust>,
    floor: TlsFloor,
    made: Made<ServerConfig>,
}

/// The connecting side: knows whom it means to reach.
pub struct Connector {
    credentials: Arc<Credentials>,
    trust: Arc<Trust>,
    expected: Expected,
    floor: TlsFloor,
    made: Made<ClientConfig>,
}

/// A finished handshake.
pub struct Secured {
    /// Opens and seals what follows.
    pub records: Records,
    /// Who is at the other end.
    pub peer: Arc<Peer>,
    /// Plain bytes that came together with the end of the handshake.
    pub early: Vec<u8>,
    /// Whether the peer's close_notify came with them.
    pub closed: bool,
}

/// Why there is no connection. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct HandshakeError {
    /// The word for machines.
    pub reason: Reason,
    /// The operator's sentence.
    pub sentence: String,
    /// What could be read of the certificate that was not believed.
    pub presented: Option<Presented>,
}

/// Settings that TLS refused; a fault of the build, not of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TLS settings cannot be used: {0}")]
pub struct SettingsError(String);

/// A configuration with the state of trust for which it was made.
type Made<C> = ArcSwapOption<(Arc<InForce>, Arc<C>)>;

impl Acceptor {
    /// A listener's side with `credentials` to show, for peers that `trust` believes.
    ///
    /// # Errors
    /// If TLS refuses the settings.
    pub fn new(
        credentials: Arc<Credentials>,
        trust: Arc<Trust>,
        floor: TlsFloor,
    ) -> Result<Self, SettingsError> {
        let acceptor = Self { credentials, trust, floor, made: ArcSwapOption::empty() };
        acceptor.config().map_err(|error| SettingsError(error.to_string()))?;
        Ok(acceptor)
    }

    /// Takes the handshake of one peer, until `deadline` in all (DEP-04, F5).
    ///
    /// On an error the alert has been sent and the stream may be dropped; after
    /// [`Reason::HandshakeTimeout`] it should be reset.
    ///
    /// # Errors
    /// If no believed peer is there in time.
    pub async fn accept<S>(
        &self,
        stream: &mut S,
        deadline: Instant,
    ) -> Result<Secured, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let records =
            self.config().and_then(Records::accept).map_err(|e| HandshakeError::ours(&e))?;
        handshake::run(stream, records, deadline, self.floor).await
    }

    fn config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        current(&self.made, &self.trust, |in_force| {
            let jury = Jury::of_clients(in_force, self.trust.rule());
            config::server(&self.credentials, jury, self.floor)
        })
    }
}

impl Connector {
    /// A client's side with `credentials` to show, for the server `expected` that `trust` believes.
    ///
    /// # Errors
    /// If TLS refuses the settings.
    pub fn new(
        credentials: Arc<Credentials>,
        trust: Arc<Trust>,
        expected: Expected,
        floor: TlsFloor,
    ) -> Result<Self, SettingsError> {
        let connector = Self { credentials, trust, expected, floor, made: ArcSwapOption::empty() };
        connector.config().map_err(|error| SettingsError(error.to_string()))?;
        Ok(connector)
    }

    /// Makes the handshake with the server at `address`, until `deadline` in all. No byte of
    /// application data is sent before its identity is proved (F1).
    ///
    /// # Errors
    /// If the server is not believed, not the expected one, or does not answer in time.
    pub async fn connect<S>(
        &self,
        stream: &mut S,
        address: &str,
        deadline: Instant,
    ) -> Result<Secured, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let records = self
            .config()
            .and_then(|config| Records::connect(config, self.server_name()))
            .map_err(|e| HandshakeError::ours(&e))?;
        handshake::run(stream, records, deadline, self.floor).await.map_err(|mut error| {
            error.sentence = match (&error.presented, error.reason) {
                (Some(Presented { identity: Some(found), .. }), Reason::PeerNameMismatch) => {
                    format!("server at {address} is {found}; expected {}", self.expected.text())
                }
                _ => format!("server at {address}: {}", error.sentence),
            };
            error
        })
    }

    fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        current(&self.made, &self.trust, |in_force| {
            let jury = Jury::of_servers(in_force, self.trust.rule(), &self.expected);
            config::client(&self.credentials, jury, self.floor)
        })
    }

    /// The name for SNI, which decides nothing: a DNS name if that is whom we expect, else none
    /// (an address is not sent).
    fn server_name(&self) -> ServerName<'static> {
        let none = || ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED));
        match self.expected.identities() {
            [Identity::Dns(name)] => {
                ServerName::try_from(name.to_string()).unwrap_or_else(|_| none())
            }
            _ => none(),
        }
    }
}

impl HandshakeError {
    fn ours(error: &rustls::Error) -> Self {
        let sentence = format!("TLS could not begin: {error}");
        Self { reason: Reason::Internal, sentence, presented: None }
    }
}

/// The configuration for the state in force: made when it changed, never edited (DEP-02).
fn current<C>(
    made: &Made<C>,
    trust: &Trust,
    make: impl FnOnce(&InForce) -> Result<Arc<C>, rustls::Error>,
) -> Result<Arc<C>, rustls::Error> {
    let in_force = trust.whole();
    if let Some(made) = made.load().as_deref()
        && Arc::ptr_eq(&made.0, &in_force)
    {
        return Ok(made.1.clone());
    }
    let config = make(&in_force)?;
    made.store(Some(Arc::new((in_force, config.clone()))));
    Ok(config)
}
