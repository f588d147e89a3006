//! A secured, checked channel for Rust programs: TLS with mutual identity, a contract for every
//! message. It is what the gateway itself is built from.
//!
//! A program that stands behind the gateway needs nothing of this. Use the library where a program
//! should be its own gateway: one process less, no plain socket at all, and the peer's identity at
//! hand.
//!
//! # A service
//!
//! ```no_run
//! use segwan::{Acceptor, Channel, Contract, Credentials, Limits, Policy, TlsFloor, Trust};
//! use std::sync::Arc;
//! use tokio::net::TcpListener;
//! use tokio::time::Instant;
//!
//! # async fn example(text: &str, chain: &[u8], key: &[u8], roots: &[u8])
//! # -> Result<(), Box<dyn std::error::Error>> {
//! // What may be said, and who may say it.
//! let (contract, _warnings) = Contract::load("add-ten.toml", text, &|_| Err("no file".into()))
//!     .map_err(|findings| segwan::report(&findings))?;
//! let allowed = ["spiffe://shop.example/app".parse()?];
//! let (policy, _warnings) = Policy::compile("add-ten", &contract.actions(), &allowed, &[])
//!     .map_err(|findings| segwan::report(&findings))?;
//! let policy = Arc::new(policy);
//!
//! // Who we are, and whose certificates we believe.
//! let credentials = Arc::new(Credentials::from_pem(chain, key)?);
//! let trust = Arc::new(Trust::authority(roots, "shop.example".parse()?)?);
//! let acceptor = Acceptor::new(credentials, trust, TlsFloor::default())?;
//!
//! let limits = Limits::default();
//! let listener = TcpListener::bind("127.0.0.1:7000").await?;
//! let (mut stream, from) = listener.accept().await?;
//! let secured = acceptor.accept(&mut stream, Instant::now() + limits.handshake_timeout).await?;
//! let mut channel =
//!     Channel::service(stream, secured, from.ip(), contract, policy, &limits).await?;
//! while let Some(message) = channel.recv().await? {
//!     let number: i64 = message.text().unwrap_or_default().parse()?;
//!     channel.send((number + 10).to_string().as_bytes()).await?;
//! }
//! channel.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A client
//!
//! ```no_run
//! use segwan::{Channel, Connector, Contract, Expected, Limits, TlsFloor};
//! # use segwan::{Credentials, Trust};
//! # use std::sync::Arc;
//! use tokio::net::TcpStream;
//! use tokio::time::Instant;
//!
//! # async fn example(contract: Arc<Contract>, credentials: Arc<Credentials>, trust: Arc<Trust>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let expected = Expected::one("spiffe://shop.example/add-ten".parse()?);
//! let connector = Connector::new(credentials, trust, expected, TlsFloor::default())?;
//!
//! let limits = Limits::default();
//! let mut stream = TcpStream::connect("127.0.0.1:7000").await?;
//! let deadline = Instant::now() + limits.handshake_timeout;
//! let secured = connector.connect(&mut stream, "127.0.0.1:7000", deadline).await?;
//! let mut channel = Channel::client(stream, secured, contract, &limits);
//! channel.send(b"5").await?;
//! let answer = channel.recv().await?;
//! assert_eq!(answer.as_ref().and_then(|message| message.text()), Some("15"));
//! channel.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a program decides
//!
//! | decision | default, and why |
//! |---|---|
//! | whose certificates it believes | none: [`Trust::authority`] for a Segwan Authority, [`Trust::files`] for existing certificates; the system's roots vouch for the whole internet, not for a peer |
//! | whom a client means to reach | none: [`Expected`] is one identity or a list; a certificate that is merely valid may be anybody's |
//! | who may connect and do what | nobody: a [`Policy`] with an allow list, Cedar policies, or both; an error while deciding is a denial |
//! | what may be said | nothing: a [`Contract`]; one that exists has passed its own test vectors |
//! | the TLS version | 1.3 alone; [`TlsFloor::V12`] for old devices. Client certificates are always demanded, resumption and early data are off, because both would skip the verifier |
//! | how long anything may wait | [`Limits`]: 10 s for a handshake, 30 s for a first or a whole message, 10 min of silence, 60 s for a write, 24 h in all; a contract may tighten them. None can be switched off |
//!
//! # What a program need not do
//!
//! A [`Message`] that [`Channel::recv`] gives is whole, met the contract and was permitted; what
//! broke a rule was answered by the contract's `[reject]` table. A payload given to
//! [`Channel::send`] is judged like a peer's before a byte of it leaves. A stream that was cut is
//! an error and never a last message.
//!
//! Refusals go to `tracing`, or to whatever [`Channel::record`] is given. Renewed certificates and
//! changed roots are put in force with [`Credentials::replace`] and [`Trust::replace`], which an
//! [`Agent`] does by itself.

pub mod agent;
pub mod channel;
pub mod credentials;
pub mod tls;

pub use agent::{Agent, AgentError};
pub use channel::{Channel, ChannelError, Message};
pub use credentials::Credentials;
pub use tls::config::TlsFloor;
pub use tls::trust::{
    Caution, ForeignTrust, StaleCrl, Tolerate, Trust, TrustState, WhenUnreachable,
};
pub use tls::verify::{Expected, Mapping};
pub use tls::{Acceptor, Connector, HandshakeError, Secured};

// The ground's nouns that a program meets here.
pub use segwan_core::contract::Contract;
pub use segwan_core::finding::Finding;
pub use segwan_core::identity::{ForeignRealm, Identity, Peer, TrustDomain};
pub use segwan_core::limits::Limits;
pub use segwan_core::policy::{Policy, PolicySource};
pub use segwan_core::rejection::Reason;

/// Findings as one text, a line or two for each: what a program prints when its contract or policy
/// is refused.
#[must_use]
pub fn report(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}
