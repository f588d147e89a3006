//! The one door to rustls settings: the TLS profile of `requirements.md` section 6.
//!
//! A configuration is built anew for each state of trust and never cloned and edited: a clone
//! shares its session storage with the original (DEP-02).

use crate::credentials::Credentials;
use crate::tls::verify::{Judged, Jury};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use std::sync::{Arc, LazyLock};

/// The least TLS version that is spoken. Default 1.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsFloor {
    /// TLS 1.3 and nothing else (T-01).
    #[default]
    V13,
    /// TLS 1.2 for old devices, with ECDHE, AEAD and extended master secret; 1.3 is preferred.
    V12,
}

impl TlsFloor {
    /// The version as written in a configuration file: `1.3` or `1.2`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V13 => "1.3",
            Self::V12 => "1.2",
        }
    }

    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        const BOTH: &[&SupportedProtocolVersion] =
            &[&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Self::V13 => &BOTH[..1],
            Self::V12 => BOTH,
        }
    }
}

/// The provider of all cryptography in TLS. Never the process default: two linked providers would
/// make that a surprise (DEP-03).
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// Settings of a listener: client authentication is on, there is no switch (T-16).
pub(crate) fn server(
    credentials: &Credentials,
    jury: Jury,
    floor: TlsFloor,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(floor.versions())?
        .with_client_cert_verifier(Arc::new(Judged(jury)))
        .with_cert_resolver(credentials.resolver());
    // A resumed session would skip the verifier (F2, F3, F8; DEP-01).
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.require_ems = true;
    Ok(Arc::new(config))
}

/// Settings of a connecting side: own roots only, an expected identity, a certificate to show.
pub(crate) fn client(
    credentials: &Credentials,
    jury: Jury,
    floor: TlsFloor,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(floor.versions())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Judged(jury)))
        .with_client_cert_resolver(credentials.resolver());
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.require_ems = true;
    Ok(Arc::new(config))
}

/// The only protocol of the Authority's port.
const HTTP: &[u8] = b"http/1.1";

/// Settings of the Authority's own port: TLS 1.3 and HTTP/1.1, and nothing else (`pki.md` 9.5).
pub(crate) fn authority_server(
    resolver: Arc<dyn ResolvesServerCert>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(TlsFloor::V13.versions())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![HTTP.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Settings of an agent that calls its Authority, with its certificate if it has one.
pub(crate) fn authority_client(
    credentials: Option<&Credentials>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(TlsFloor::V13.versions())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match credentials {
        Some(credentials) => config.with_client_cert_resolver(credentials.resolver()),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}
