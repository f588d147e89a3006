//! `TlsServer`: the far side of a client half, scripted: whoever it says it is, it remembers each
//! plain byte that it was trusted with.

use crate::PATIENCE;
use crate::pki::Leaf;
use crate::service::{Conversation, Service};
use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A TLS server that echoes.
pub struct TlsServer {
    /// Where it listens.
    pub address: SocketAddr,
    trusted_with: Arc<Mutex<Vec<u8>>>,
    service: Service,
}

impl TlsServer {
    /// Starts one that shows `leaf`, asks for no certificate, and echoes.
    ///
    /// # Panics
    /// If rustls refuses the settings.
    #[must_use]
    pub fn start(leaf: &Leaf, version: &'static SupportedProtocolVersion) -> Self {
        let (chain, key) = leaf.parts();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let (config, trusted_with) = (Arc::new(config), Arc::new(Mutex::new(Vec::new())));
        let service = {
            let trusted_with = trusted_with.clone();
            Service::start(move |conversation| {
                let tls = ServerConnection::new(config.clone()).expect("a server");
                serve(conversation, tls, &trusted_with);
            })
        };
        Self { address: service.address, trusted_with, service }
    }

    /// Every plain byte that it got.
    ///
    /// # Panics
    /// If a connection's thread did.
    #[must_use]
    pub fn trusted_with(&self) -> Vec<u8> {
        self.trusted_with.lock().expect("bytes").clone()
    }

    /// Every byte on the wire.
    #[must_use]
    pub fn wire(&self) -> Vec<u8> {
        self.service.heard()
    }
}

fn serve(conversation: &mut Conversation, mut tls: ServerConnection, got: &Mutex<Vec<u8>>) {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let wire = conversation.hear();
        let mut left = wire.as_slice();
        while !left.is_empty() {
            if tls.read_tls(&mut left).is_err() || tls.process_new_packets().is_err() {
                flush(conversation, &mut tls);
                return;
            }
            let mut plain = Vec::new();
            let _ = tls.reader().read_to_end(&mut plain);
            got.lock().expect("bytes").extend_from_slice(&plain);
            let _ = tls.writer().write_all(&plain);
        }
        flush(conversation, &mut tls);
        if wire.is_empty() {
            return;
        }
    }
}

fn flush(conversation: &mut Conversation, tls: &mut ServerConnection) {
    let mut sealed = Vec::new();
    while tls.wants_write() && tls.write_tls(&mut sealed).is_ok() {}
    let _ = conversation.say(&sealed);
}
