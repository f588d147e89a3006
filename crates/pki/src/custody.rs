//! `Root`: the root with its key, in memory alone, and what only it can sign (`pki.md` section 6).
//!
//! Nothing here touches the Authority's store: the holder of the root may stand behind an air gap.

mod export;
#[cfg(test)]
mod tests;

pub use export::{Exported, remove_local};

use crate::certificate::Certificate;
use crate::directory::{DirectoryError, pem_of};
use crate::key::{KeyError, PEM_BYTES, PrivateKey, hex, random};
use crate::revocation::{self, Entry};
use crate::x509::{self, Authority, Cidr, Constraints, IssuingTerms, SerialDraw, X509Error};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde::{Deserialize, Serialize};
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// Life of a spare issuing certificate, days.
pub const SPARE_DAYS: i64 = 548;
/// Life of the root's revocation list, milliseconds: 18 months.
const ROOT_LIST: i64 = 548 * 86_400_000;
/// Lists begin so long before they are made, milliseconds.
const BACKDATED: i64 = 5 * 60_000;
/// Fewest characters of a passphrase that a person chose: scrypt's cost here is modest.
const TYPED: usize = 16;
/// Largest request or chain that is read, in bytes.
const TEXT_BYTES: usize = 64 * 1024;

/// Why something about the keys was not done. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A key cannot be used.
    #[error("`{path}`: {error}")]
    Key {
        /// Its file.
        path: String,
        /// Why.
        error: KeyError,
    },
    /// A certificate cannot be made, or is not acceptable.
    #[error(transparent)]
    X509(#[from] X509Error),
    /// What was written is not what is read back.
    #[error("the copy in `{0}` cannot be trusted: {1}; the key on this host was left as it is")]
    ReadBack(String, String),
    /// Something else, in a sentence.
    #[error("{0}")]
    Refused(String),
}

impl CustodyError {
    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Directory(error) => error.hint(),
            Self::Key { error: KeyError::WrongCipher, .. } => Some(
                "`openssl pkcs8 -topk8 -v2 aes-256-cbc -scrypt -scrypt_N 16384 -scrypt_r 8 \
                 -scrypt_p 1` writes it in the form that is read here"
                    .to_owned(),
            ),
            Self::Key { error: KeyError::Unreadable, .. } => {
                Some("`openssl pkcs8 -topk8` writes a key in PKCS#8 form".to_owned())
            }
            _ => None,
        }
    }
}

/// What an issuing certificate may speak for beside SPIFFE identities, as the operator says it.
/// Nothing said is the default: the trust domain and `localhost` as DNS names, no address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permitted {
    /// DNS names, with everything below them.
    pub dns: Vec<String>,
    /// Ranges of addresses, such as `10.0.0.0/8`.
    pub ips: Vec<String>,
}

impl Permitted {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ips.is_empty()
    }

    /// The same as name constraints of a trust domain.
    ///
    /// # Errors
    /// If a name or range is none.
    pub fn constraints(&self, trust_domain: &str) -> Result<Constraints, CustodyError> {
        let ips: Result<Vec<Cidr>, _> = self.ips.iter().map(|text| text.parse()).collect();
        ips.and_then(|ips| Constraints::new(trust_domain, &self.dns, &ips))
            .map_err(CustodyError::Refused)
    }
}

/// A passphrase. It is shown nowhere, and wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// What a person, a file or a descriptor gave; the end of the line is not part of it.
    ///
    /// # Errors
    /// If nothing is left.
    pub fn new(mut text: String) -> Result<Self, CustodyError> {
        let kept = text.trim_end_matches(['\n', '\r']).len();
        let inner = Zeroizing::new(text.get(..kept).unwrap_or_default().to_owned());
        text.zeroize();
        if inner.is_empty() {
            return Err(CustodyError::Refused("the passphrase is empty".to_owned()));
        }
        Ok(Self(inner))
    }

    /// Reads the first lines of a file.
    ///
    /// # Errors
    /// If it cannot be read, is too large, or is empty.
    pub fn read(path: &Path) -> Result<Self, CustodyError> {
        Self::new(text(path)?.to_string())
            .map_err(|_| CustodyError::Refused(format!("`{}` holds no passphrase", path.display())))
    }

    /// 128 random bits.
    ///
    /// # Errors
    /// If the operating system gives none.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(Zeroizing::new(hex(&random::<16>()?))))
    }

    /// Whether something may be sealed with it.
    ///
    /// # Errors
    /// If it is too short.
    pub fn is_long_enough(&self) -> Result<(), CustodyError> {
        let has = self.0.chars().count();
        if has >= TYPED {
            return Ok(());
        }
        Err(CustodyError::Refused(format!(
            "the passphrase has {has} characters; {TYPED} are the fewest that protect a key"
        )))
    }

    /// The words themselves.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// The root with its key. The key is wiped when this goes.
pub struct Root(Authority);

impl Root {
    /// Reads a root's key, sealed or plain, and its certificate.
    ///
    /// # Errors
    /// If one of them cannot be read, or they do not belong together.
    pub fn open(
        key: &Path,
        passphrase: Option<&Passphrase>,
        certificate: &[u8],
    ) -> Result<Self, CustodyError> {
        let pem = text(key)?;
        let shown = key.display().to_string();
        let bad = |error| CustodyError::Key { path: shown.clone(), error };
        let opened = if is_sealed(&pem) {
            let passphrase = passphrase.ok_or_else(|| {
                CustodyError::Refused(format!("`{shown}` is encrypted and needs its passphrase"))
            })?;
            PrivateKey::unseal(&pem, passphrase.reveal()).map_err(bad)?
        } else {
            PrivateKey::from_pem(&pem).map_err(bad)?
        };
        Self::of(opened, certificate)
            .map_err(|why| CustodyError::Refused(format!("`{shown}`: {why}")))
    }

    fn of(key: PrivateKey, certificate: &[u8]) -> Result<Self, String> {
        let read = Certificate::read(certificate)?;
        if read.public_key != key.public_key() {
            return Err("the key is not the one of the root certificate".to_owned());
        }
        Ok(Self(Authority { der: certificate.to_vec(), key }))
    }

    /// A root that was just made.
    pub(crate) fn made(authority: Authority) -> Self {
        Self(authority)
    }

    /// A new root for a trust domain: ECDSA P-384, ten years.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn generate(trust_domain: &str, now_ms: i64) -> Result<Self, CustodyError> {
        let key = PrivateKey::generate_root()
            .map_err(|error| CustodyError::Refused(error.to_string()))?;
        let serial = SerialDraw::new().draw()?;
        Ok(Self(Authority::root(trust_domain, key, serial, now_ms / 1000)?))
    }

    /// The certificate of another root, by this one; gives it in DER.
    ///
    /// # Errors
    /// If the other one is none, or what was signed does not pass its self-check.
    pub fn cross_sign(&self, other: &[u8], now_ms: i64) -> Result<Vec<u8>, CustodyError> {
        Ok(self.0.cross_sign(other, SerialDraw::new().draw()?, now_ms / 1000)?)
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0
    }

    /// Its certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.0.der
    }

    /// Signs the issuing certificate that a request in DER asks for; gives the certificate in DER.
    /// What it may speak for is said here, whatever the request says.
    ///
    /// # Errors
    /// If the request is not acceptable, or what was signed does not pass its self-check.
    pub fn sign_issuing(
        &self,
        request: &[u8],
        permitted: &Permitted,
        days: i64,
        now_ms: i64,
    ) -> Result<Vec<u8>, CustodyError> {
        let constraints = permitted.constraints(&x509::requested_trust_domain(request)?)?;
        let constraints = &constraints;
        let serial = SerialDraw::new().draw()?;
        let terms = IssuingTerms { serial, now: now_ms / 1000, days, constraints };
        Ok(self.0.sign_issuing_request(request, &terms)?)
    }

    /// Signs the root's own list: the issuing certificates that are revoked. It is good for 18
    /// months.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn sign_list(
        &self,
        number: i64,
        entries: &[Entry],
        now_ms: i64,
    ) -> Result<Vec<u8>, CustodyError> {
        let number = u64::try_from(number).unwrap_or(1);
        let (begin, end) = (now_ms - BACKDATED, now_ms + ROOT_LIST);
        Ok(revocation::sign(&self.0, number, begin, end, entries)?)
    }
}

/// Whether a key in PEM is encrypted.
pub(crate) fn is_sealed(pem: &str) -> bool {
    pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

/// A key in PEM, opened with a passphrase where it is sealed.
pub(crate) fn read_key(
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<PrivateKey, CustodyError> {
    let pem = text(path)?;
    let bad = |error| CustodyError::Key { path: path.display().to_string(), error };
    match passphrase {
        Some(passphrase) if is_sealed(&pem) => {
            PrivateKey::unseal(&pem, passphrase.reveal()).map_err(bad)
        }
        None if is_sealed(&pem) => Err(CustodyError::Refused(format!(
            "`{}` is encrypted, and no passphrase was given: `key_passphrase` in `[authority]`, or \
             SEGWAN_KEY_PASSPHRASE_FILE for a command, names its source",
            path.display()
        ))),
        _ => PrivateKey::from_pem(&pem).map_err(bad),
    }
}

/// A key as it lies on the disk: sealed where there is a passphrase.
pub(crate) fn key_text(
    key: &PrivateKey,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<String>, KeyError> {
    match passphrase {
        Some(passphrase) => key.seal(passphrase.reveal()).map(Zeroizing::new),
        None => key.to_pem(),
    }
}

/// Whether the key in a file needs a passphrase.
///
/// # Errors
/// If it cannot be read.
pub fn needs_passphrase(key: &Path) -> Result<bool, CustodyError> {
    Ok(is_sealed(&text(key)?))
}

/// The request of a PEM file, DER.
///
/// # Errors
/// If it holds none.
pub fn request(pem: &str) -> Result<Vec<u8>, CustodyError> {
    let none = || {
        let why = "there is no certificate request in PEM form in it";
        CustodyError::Refused(why.to_owned())
    };
    if pem.len() > TEXT_BYTES {
        return Err(none());
    }
    let request = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
    Ok(request.map_err(|_| none())?.to_vec())
}

/// A request as a PEM file.
#[must_use]
pub fn request_text(der: &[u8]) -> String {
    crate::directory::pem_labelled("CERTIFICATE REQUEST", der)
}

/// The certificates of a PEM file, DER.
///
/// # Errors
/// If it holds none.
pub fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, CustodyError> {
    let none = || CustodyError::Refused("there is no certificate in PEM form in it".to_owned());
    if pem.len() > TEXT_BYTES {
        return Err(none());
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all: Vec<_> = all.map_err(|_| none())?.into_iter().map(|der| der.to_vec()).collect();
    if all.is_empty() { Err(none()) } else { Ok(all) }
}

/// Certificates as a PEM file.
#[must_use]
pub fn chain_text(chain: &[Vec<u8>]) -> String {
    chain.iter().map(|der| pem_of(der)).collect()
}

/// A small text file, wiped after use: it may hold a secret.
pub(crate) fn text(path: &Path) -> Result<Zeroizing<String>, DirectoryError> {
    use std::io::Read;
    let io = |error: std::io::Error| DirectoryError::io(path, &error);
    let file = std::fs::File::open(path).map_err(io)?;
    let mut text = Zeroizing::new(String::with_capacity(4096));
    let most = u64::try_from(PEM_BYTES).unwrap_or(u64::MAX);
    file.take(most + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() > PEM_BYTES {
        let what = format!("it is over {PEM_BYTES} bytes");
        return Err(DirectoryError::Io { path: path.display().to_string(), what });
    }
    Ok(text)
}
