//! `Pki`: a root and whatever stands below it, right or wrong, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use segwan::{Credentials, Trust};
use segwan_pki::certificate::Certificate;
use std::sync::Arc;
use std::time::Duration;

/// The trust domain of all tests.
pub const DOMAIN: &str = "shop.test";

/// A root.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    pub root: String,
}

/// A certificate with its chain and its key, in PEM.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate, and what stands between it and the root.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Pki {
    /// A new root.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a root of one test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root").pem();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// A client of the trust domain.
    #[must_use]
    pub fn client(&self, name: &str) -> Leaf {
        self.leaf(name, |_| {})
    }

    /// A service of the trust domain.
    #[must_use]
    pub fn service(&self, name: &str) -> Leaf {
        self.leaf(name, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A client's certificate that `change` made wrong in one way.
    ///
    /// # Panics
    /// If rcgen cannot make it.
    #[must_use]
    pub fn leaf(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![uri(&format!("spiffe://{DOMAIN}/{name}"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let chain = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Leaf { chain, key: key.serialize_pem() }
    }

    /// A client below an intermediate that is no CA.
    ///
    /// # Panics
    /// If rcgen cannot make it.
    #[must_use]
    pub fn below_a_leaf(&self, name: &str) -> Leaf {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "no authority");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let between = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let leaf = Self { issuer: Issuer::new(params, key), root: String::new() }.client(name);
        Leaf { chain: leaf.chain + &between, key: leaf.key }
    }

    /// The revocation list of this root with a number, in PEM.
    ///
    /// # Panics
    /// If rcgen cannot make it.
    #[must_use]
    pub fn list(&self, number: u64, revoked: &[&Leaf]) -> String {
        self.list_until(2190, number, revoked)
    }

    /// As [`list`](Self::list), of which a newer one is due with a year.
    ///
    /// # Panics
    /// If rcgen cannot make it.
    #[must_use]
    pub fn list_until(&self, year: i32, number: u64, revoked: &[&Leaf]) -> String {
        let entry = |leaf: &&Leaf| {
            let (chain, _) = leaf.parts();
            let read = Certificate::read(&chain[0]).expect("a certificate");
            RevokedCertParams {
                serial_number: SerialNumber::from_slice(&read.serial),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }

    /// Trust in this root.
    ///
    /// # Panics
    /// Never: the root is one.
    #[must_use]
    pub fn trust(&self) -> Arc<Trust> {
        let domain = DOMAIN.parse().expect("a trust domain");
        Arc::new(Trust::authority(self.root.as_bytes(), domain).expect("a root"))
    }
}

/// A URI name.
///
/// # Panics
/// If it is not ASCII.
#[must_use]
pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

/// A DNS name.
///
/// # Panics
/// If it is not ASCII.
#[must_use]
pub fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().expect("ASCII"))
}

/// A life that is over.
pub fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
}

/// A life that is over in so many seconds, or up to one more.
pub fn ending_in(seconds: u64) -> impl FnOnce(&mut CertificateParams) {
    let now = u64::try_from(crate::installation::now_ms() / 1000).unwrap_or_default();
    let last = Duration::from_secs(now + seconds);
    move |params| params.not_after = date_time_ymd(1970, 1, 1) + last
}

/// A life that has not begun.
pub fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2190, 1, 1);
    params.not_after = date_time_ymd(2191, 1, 1);
}

impl Leaf {
    /// As the gateway shows it.
    ///
    /// # Panics
    /// If certificate and key are no pair.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        let credentials = Credentials::from_pem(self.chain.as_bytes(), self.key.as_bytes());
        Arc::new(credentials.expect("a pair"))
    }

    /// As rustls takes it.
    ///
    /// # Panics
    /// If it is no PEM.
    #[must_use]
    pub fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("PEM");
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM"))
    }
}
