//! The same cases, judged by rustls' own verifiers: what Segwan's rules are measured against.

use crate::suite::Case;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;

impl Case {
    /// What rustls' own verifiers say.
    pub(crate) fn rustls(&self) -> Result<(), String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone()).map_err(|error| error.to_string())?;
        }
        let (leaf, others) = self.chain.split_first().ok_or("no certificate")?;
        let (roots, lists) = (Arc::new(roots), self.lists.clone());
        if self.listens {
            let built = WebPkiServerVerifier::builder_with_provider(roots, provider);
            let verifier = built.with_crls(lists).build().map_err(|error| error.to_string())?;
            let any = || ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]));
            let name = self.name.clone().unwrap_or_else(any);
            let verdict = verifier.verify_server_cert(leaf, others, &name, &[], self.at);
            verdict.map(|_| ()).map_err(|error| error.to_string())
        } else {
            let built = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = built.with_crls(lists).build().map_err(|error| error.to_string())?;
            let verdict = verifier.verify_client_cert(leaf, others, self.at);
            verdict.map(|_| ()).map_err(|error| error.to_string())
        }
    }
}
