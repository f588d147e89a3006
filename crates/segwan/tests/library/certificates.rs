//! A root and leaves below it, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use segwan::Credentials;
use std::sync::Arc;

pub(crate) struct Root {
    issuer: Issuer<'static, KeyPair>,
    /// The root's certificate, in PEM.
    pub(crate) pem: String,
}

/// A certificate with its key, in PEM.
pub(crate) struct Leaf {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Root {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A service that shows `uri`.
    pub(crate) fn service(&self, uri: &str) -> Leaf {
        self.leaf(uri, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client that shows `uri`.
    pub(crate) fn client(&self, uri: &str) -> Leaf {
        self.leaf(uri, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(&self, uri: &str, usage: ExtendedKeyUsagePurpose) -> Leaf {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test leaf");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Leaf { chain, key: key.serialize_pem() }
    }
}

impl Leaf {
    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        Arc::new(Credentials::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap())
    }
}
