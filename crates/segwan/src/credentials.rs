//! `Credentials`: a certificate chain with its key, swapped while connections run.

use crate::tls::config::provider;
use arc_swap::ArcSwap;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};
use segwan_pki::certificate::{Certificate, Name};
use segwan_pki::key::sha256;
use std::fmt;
use std::sync::Arc;

/// What this side shows in a handshake: a chain, leaf first, and the leaf's key.
///
/// A [`replace`](Self::replace) is seen by the next handshake; connections at work keep what they
/// began with. A pair that does not fit is refused and the old one stays, so a half-written file
/// cannot take a listener down.
pub struct Credentials {
    current: Arc<Current>,
}

struct Current {
    pair: ArcSwap<Pair>,
}

struct Pair {
    certified: Arc<CertifiedKey>,
    leaf: Certificate,
    /// SHA-256 of the key of the certificate that issued it, if that is shown along.
    issuing_key: Option<[u8; 32]>,
}

/// Why a chain and a key are no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The chain is no PEM of certificates.
    #[error("the certificate chain is not readable: {0}")]
    Chain(String),
    /// There is no certificate.
    #[error("the certificate chain is empty")]
    Empty,
    /// The key is no PEM of a private key.
    #[error("the private key is not readable: it must be one unencrypted PEM key")]
    Key,
    /// The key is of a kind that TLS cannot use.
    #[error("the private key is of a kind that cannot be used")]
    KeyKind,
    /// Both are fine and do not belong together.
    #[error("the private key does not belong to the first certificate of the chain")]
    Mismatch,
}

impl Credentials {
    /// Credentials from PEM text: the chain, leaf first, and the key.
    ///
    /// # Errors
    /// If either cannot be read, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CredentialsError> {
        let pair = ArcSwap::from_pointee(Pair::from_pem(chain, key)?);
        Ok(Self { current: Arc::new(Current { pair }) })
    }

    /// Puts another pair in force for all handshakes that begin from now on.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem); then nothing has changed.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), CredentialsError> {
        self.current.pair.store(Arc::new(Pair::from_pem(chain, key)?));
        Ok(())
    }

    /// Last second of the leaf's validity, Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.current.pair.load().leaf.not_after
    }

    /// First second of the leaf's validity, Unix seconds.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.current.pair.load().leaf.not_before
    }

    /// Serial number of the leaf in lower-case hex.
    #[must_use]
    pub fn serial(&self) -> String {
        self.current.pair.load().leaf.serial_hex()
    }

    /// Key identifier of the leaf's issuer in lower-case hex, or the issuer's name.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.current.pair.load().leaf.issuer_key_or_name()
    }

    /// SHA-256 of the key that signed the leaf, if its certificate is shown along.
    pub(crate) fn issuing_key(&self) -> Option<[u8; 32]> {
        self.current.pair.load().issuing_key
    }

    /// The names that the leaf carries, as text of identities.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let pair = self.current.pair.load();
        let text = |name: &Name| match name {
            Name::Uri(uri) => Some(uri.clone()),
            Name::Dns(dns) => Some(format!("dns:{dns}")),
            Name::Other => None,
        };
        pair.leaf.names.iter().filter_map(text).collect()
    }

    pub(crate) fn resolver(&self) -> Arc<Resolver> {
        Arc::new(Resolver(self.current.clone()))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("serial", &self.serial()).finish_non_exhaustive()
    }
}

impl Pair {
    fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CredentialsError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CredentialsError::Chain(error.to_string()))?;
        let leaf = chain.first().ok_or(CredentialsError::Empty)?;
        let leaf = Certificate::read(leaf).map_err(CredentialsError::Chain)?;
        let issuing = chain.get(1).and_then(|der| Certificate::read(der).ok());
        let issuing_key = issuing.map(|issuing| sha256(&issuing.public_key));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CredentialsError::Key)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|e| match e {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CredentialsError::Mismatch
            }
            _ => CredentialsError::KeyKind,
        })?;
        Ok(Self { certified: Arc::new(certified), leaf, issuing_key })
    }
}

/// Shows the pair in force; asked once by each handshake.
pub(crate) struct Resolver(Arc<Current>);

impl Resolver {
    fn pair(&self) -> Arc<CertifiedKey> {
        self.0.pair.load().certified.clone()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.pair())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
