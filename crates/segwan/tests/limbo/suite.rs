//! Cases of x509-limbo, judged by Segwan's verifier.

#[path = "data.rs"]
mod data;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use segwan::Trust;
use segwan::tls::trust::{Tolerate, TrustState};
use segwan_pki::revocation::{Accepted, Crl};
use serde_json::Value;
use std::time::Duration;

/// One case.
pub(crate) struct Case {
    pub(crate) id: String,
    /// Whether the certificate is to be believed.
    pub(crate) good: bool,
    pub(crate) listens: bool,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// The peer's certificate, and what was sent with it.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(crate) name: Option<ServerName<'static>>,
    pub(crate) at: UnixTime,
    /// Most issuing certificates, where the case sets a bound.
    depth: Option<usize>,
}

/// The cases of a file whose id begins so, if it is here.
pub(crate) fn cases(file: &str, begins: &str) -> Option<Vec<Case>> {
    let packed = data::suite(file)?;
    let mut text = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut text).unwrap();
    let all: Value = serde_json::from_slice(&text).unwrap();
    let all = all["testcases"].as_array().unwrap();
    let id = |case: &Value| case["id"].as_str().unwrap().starts_with(begins);
    Some(all.iter().filter(|case| id(case)).map(Case::read).collect())
}

impl Case {
    fn read(case: &Value) -> Self {
        let list = |key: &str| case[key].as_array().into_iter().flatten();
        let pem = |text: &Value| {
            CertificateDer::from_pem_slice(text.as_str().unwrap().as_bytes()).unwrap()
        };
        let crl = |text: &Value| {
            let text = text.as_str().unwrap().as_bytes();
            CertificateRevocationListDer::from_pem_slice(text).unwrap()
        };
        let name = case["expected_peer_name"]["value"].as_str();
        Self {
            id: case["id"].as_str().unwrap().to_owned(),
            good: case["expected_result"] == "SUCCESS",
            listens: case["validation_kind"] == "SERVER",
            roots: list("trusted_certs").map(pem).collect(),
            chain: [&case["peer_certificate"]]
                .into_iter()
                .chain(list("untrusted_intermediates"))
                .map(pem)
                .collect(),
            lists: list("crls").map(crl).collect(),
            name: name.map(|name| ServerName::try_from(name.to_owned()).unwrap()),
            depth: case["max_chain_depth"].as_u64().map(|most| usize::try_from(most).unwrap()),
            at: case["validation_time"].as_str().map_or_else(UnixTime::now, |time| {
                let time: jiff::Timestamp = time.parse().unwrap();
                UnixTime::since_unix_epoch(Duration::from_secs(
                    u64::try_from(time.as_second()).unwrap(),
                ))
            }),
        }
    }

    /// What Segwan's verifier says (V1 to V8), and whether the name is in the certificate. A trust
    /// state that cannot be made believes nobody.
    pub(crate) fn segwan(&self) -> Result<(), String> {
        let at = i64::try_from(self.at.as_secs()).unwrap();
        let roots = || self.roots.iter().map(|der| der.to_vec()).collect();
        let state = TrustState { roots: roots(), ..self.lists(at)? };
        let trust =
            Trust::files_of(state, Tolerate::default()).map_err(|error| error.to_string())?;
        let chain: Vec<_> = self.chain.iter().map(|der| der.to_vec()).collect();
        let judged = trust.judge_path(&chain, self.listens, at);
        let depth = judged.map_err(|error| error.to_string())?;
        if let Some(most) = self.depth.filter(|most| depth > *most) {
            return Err(format!("the path has {depth} issuing certificates; {most} are the most"));
        }
        let leaf = self.chain.first().ok_or("no certificate")?;
        let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|error| error.to_string())?;
        self.name.as_ref().map_or(Ok(()), |name| {
            leaf.verify_is_valid_for_subject_name(name).map_err(|error| error.to_string())
        })
    }

    /// The lists of the case as a node would install them: one that is refused is not there.
    fn lists(&self, at: i64) -> Result<TrustState, String> {
        let issuers: Vec<_> = self.roots.iter().chain(self.chain.iter().skip(1)).collect();
        let accept = |der: &CertificateRevocationListDer<'_>| match Crl::accept(
            der,
            &issuers,
            None,
            at * 1000,
        ) {
            Ok(Accepted::Newer(crl)) => Some(crl),
            Ok(Accepted::Same) | Err(_) => None,
        };
        Ok(TrustState {
            crls: self.lists.iter().filter_map(accept).collect(),
            needs_crl: !self.lists.is_empty(),
            ..TrustState::default()
        })
    }
}
