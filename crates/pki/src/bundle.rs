//! `Bundle`: whom to believe, signed by the Authority's own certificate (`pki.md` section 12).
//!
//! A node takes a bundle only under a root that it believes already, of its own trust domain, and
//! never an older one: the bytes that the signature covers are the bytes that are read.

use crate::api::{self, SignedBundle};
use crate::certificate::{Certificate, Name};
use crate::key::{PrivateKey, hex, sha256};
use crate::x509;
use rustls_pki_types::CertificateDer;
use segwan_core::identity::TrustDomain;
use serde::{Deserialize, Serialize};

/// The name of the Authority's own identity in its trust domain; only it signs bundles.
pub const AUTHORITY_NAME: &str = "segwan/authority";
/// What a signature covers before the body.
const CONTEXT: &[u8] = b"segwan bundle v1\n";
/// Largest body, in bytes.
const LARGEST: usize = 256 * 1024;
/// Most roots, and most issuing certificates.
const ROOTS: usize = 4;
const ISSUING: usize = 32;
/// Most bytes of one certificate.
const CERTIFICATE: usize = 8 * 1024;

/// Whom to believe, as one numbered whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The trust domain that it is for.
    pub trust_domain: String,
    /// The store's epoch: it rises with a restore, and versions begin anew with it.
    pub epoch: i64,
    /// Its number within the epoch.
    pub version: i64,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// The roots, DER.
    pub roots: Vec<Vec<u8>>,
    /// The issuing certificates under them, DER.
    pub issuing: Vec<Vec<u8>>,
    /// Certificates of newer roots by older ones, for agents that slept, DER.
    pub cross: Vec<Vec<u8>>,
    /// SHA-256 of keys that are believed nowhere, lower-case hex.
    pub distrusted: Vec<String>,
    /// `host:port` of the Authority.
    pub authority: Vec<String>,
}

/// A bundle as JSON. Its bytes are made from this struct and signed as they are.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    trust_domain: String,
    epoch: i64,
    version: i64,
    made_ms: i64,
    roots: Vec<String>,
    issuing: Vec<String>,
    cross: Vec<String>,
    distrusted: Vec<String>,
    authority: Vec<String>,
}

/// Why a bundle is not taken. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It cannot be read.
    #[error("the trust bundle cannot be read: {0}")]
    Unreadable(String),
    /// Nobody who is believed signed it.
    #[error("the trust bundle is not signed by the Authority: {0}")]
    Signer(String),
    /// It is of somebody else.
    #[error("the trust bundle is of the trust domain `{is}`, not of `{own}`")]
    TrustDomain {
        /// What it says.
        is: String,
        /// Ours.
        own: String,
    },
    /// It is older than the one in force.
    #[error(
        "the trust bundle {epoch}/{version} is older than the one in force, {own_epoch}/{own_version}"
    )]
    Rollback {
        /// Its epoch.
        epoch: i64,
        /// Its version.
        version: i64,
        /// Epoch in force.
        own_epoch: i64,
        /// Version in force.
        own_version: i64,
    },
    /// One of its roots is none.
    #[error("root {0} of the trust bundle {1}")]
    Root(usize, String),
}

impl Bundle {
    /// The bytes that are signed, kept and sent.
    #[must_use]
    pub fn body(&self) -> String {
        let body = Body {
            trust_domain: self.trust_domain.clone(),
            epoch: self.epoch,
            version: self.version,
            made_ms: self.made_ms,
            roots: api::texts(&self.roots),
            issuing: api::texts(&self.issuing),
            cross: api::texts(&self.cross),
            distrusted: self.distrusted.clone(),
            authority: self.authority.clone(),
        };
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// Whether two bundles say the same, whatever their numbers.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let bare = |bundle: &Self| Self { version: 0, made_ms: 0, ..bundle.clone() };
        bare(self) == bare(other)
    }

    /// Reads a body without asking who signed it: for the Authority's own store.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(body: &[u8]) -> Result<Self, BundleError> {
        let unreadable = |what: &str| BundleError::Unreadable(what.to_owned());
        if body.len() > LARGEST {
            return Err(unreadable("it is over 256 KiB"));
        }
        let body: Body =
            serde_json::from_slice(body).map_err(|_| unreadable("it is no JSON of a bundle"))?;
        let ders = |all: &[String], most: usize, what: &str| {
            if all.len() > most {
                return Err(BundleError::Unreadable(format!("it holds {} {what}", all.len())));
            }
            all.iter()
                .map(|text| api::der(text, CERTIFICATE))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| BundleError::Unreadable(format!("its {what} are not base64")))
        };
        Ok(Self {
            roots: ders(&body.roots, ROOTS, "roots")?,
            issuing: ders(&body.issuing, ISSUING, "issuing certificates")?,
            cross: ders(&body.cross, ROOTS, "cross certificates")?,
            trust_domain: body.trust_domain,
            epoch: body.epoch,
            version: body.version,
            made_ms: body.made_ms,
            distrusted: body.distrusted,
            authority: body.authority,
        })
    }

    /// Signs the body of a bundle with the Authority's own certificate.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub fn sign(
        body: &str,
        chain: &[Vec<u8>],
        key: &PrivateKey,
    ) -> Result<SignedBundle, x509::X509Error> {
        let signature = key
            .sign(&covered(body.as_bytes()))
            .map_err(|error| x509::X509Error::Signing(error.to_string()))?;
        Ok(SignedBundle {
            body: api::text(body.as_bytes()),
            sig: api::text(&signature),
            chain: api::texts(chain),
        })
    }

    /// Believes a bundle, or says why not.
    ///
    /// `roots` are those believed already; `in_force` is epoch and version of the bundle in force,
    /// if there is one: an older one is refused, the same one is taken again. No chain over a key
    /// that is `distrusted` (SHA-256, hex) may say anything, least of all that it is trusted again.
    ///
    /// # Errors
    /// With the rule that does not hold; then nothing of it may be used.
    pub fn accept(
        signed: &SignedBundle,
        roots: &[Vec<u8>],
        domain: &TrustDomain,
        (in_force, distrusted): (Option<(i64, i64)>, &[String]),
        now_ms: i64,
    ) -> Result<Self, BundleError> {
        let unreadable = |what: &str| BundleError::Unreadable(what.to_owned());
        let body = api::der(&signed.body, LARGEST).ok_or_else(|| unreadable("it is no base64"))?;
        signed_by_authority(signed, &body, (roots, distrusted), domain, now_ms)
            .map_err(BundleError::Signer)?;
        let bundle = Self::read(&body)?;
        if bundle.trust_domain != domain.as_str() {
            let is = segwan_core::audit::shown(bundle.trust_domain.as_bytes());
            return Err(BundleError::TrustDomain { is, own: domain.to_string() });
        }
        if let Some((own_epoch, own_version)) = in_force
            && (bundle.epoch, bundle.version) < (own_epoch, own_version)
        {
            let Self { epoch, version, .. } = bundle;
            return Err(BundleError::Rollback { epoch, version, own_epoch, own_version });
        }
        bundle.check_roots(now_ms / 1000)?;
        Ok(bundle)
    }

    /// V6: what is believed from now on has to be fit for it.
    fn check_roots(&self, now: i64) -> Result<(), BundleError> {
        if self.roots.is_empty() {
            return Err(BundleError::Unreadable("it holds no root".to_owned()));
        }
        for (at, der) in (1..).zip(&self.roots) {
            let bad = |why: &str| BundleError::Root(at, why.to_owned());
            let root =
                Certificate::read(der).map_err(|why| bad(&format!("is unreadable: {why}")))?;
            if !root.is_ca || !root.constraints_are_critical {
                return Err(bad("is no certificate of an authority"));
            }
            if root.may_sign_certificates != Some(true) {
                return Err(bad("may not sign certificates"));
            }
            if let Some(oid) = root.unknown_critical {
                return Err(bad(&format!("has the unknown critical extension {oid}")));
            }
            if now < root.not_before || now > root.not_after {
                return Err(bad("is outside its own validity"));
            }
        }
        Ok(())
    }

    /// SHA-256 of each root, lower-case hex.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.roots.iter().map(|root| hex(&sha256(root))).collect()
    }
}

fn covered(body: &[u8]) -> Vec<u8> {
    [CONTEXT, body].concat()
}

/// Whether a certificate of the Authority under these roots signed this body.
fn signed_by_authority(
    signed: &SignedBundle,
    body: &[u8],
    (roots, distrusted): (&[Vec<u8>], &[String]),
    domain: &TrustDomain,
    now_ms: i64,
) -> Result<(), String> {
    if signed.chain.len() > 5 {
        return Err(format!("it comes with {} certificates", signed.chain.len()));
    }
    let chain: Option<Vec<_>> =
        signed.chain.iter().map(|text| api::der(text, CERTIFICATE)).collect();
    let chain = chain.ok_or_else(|| "its certificates are not base64".to_owned())?;
    let leaf = chain.first().ok_or_else(|| "it comes without a certificate".to_owned())?;
    let read = Certificate::read(leaf)?;
    let authority = domain.identity(AUTHORITY_NAME).map_err(|error| error.to_string())?;
    if read.names != [Name::Uri(authority.to_string())] {
        return Err(format!("the certificate of the signer is not of {authority}"));
    }
    for der in &chain {
        let key = hex(&sha256(&Certificate::read(der)?.public_key));
        if distrusted.contains(&key) {
            return Err(format!("its chain holds the distrusted key {key}"));
        }
    }
    let mut why = "no root is believed".to_owned();
    let led = roots.iter().any(|root| {
        x509::verify_chain(&chain, root, true, now_ms / 1000).map_err(|fault| why = fault).is_ok()
    });
    if !led {
        return Err(why);
    }
    let sig = api::der(&signed.sig, 1024).ok_or_else(|| "its signature is no base64".to_owned())?;
    let der = CertificateDer::from(leaf.as_slice());
    let end = webpki::EndEntityCert::try_from(&der).map_err(|error| error.to_string())?;
    end.verify_signature(webpki::aws_lc_rs::ECDSA_P256_SHA256, &covered(body), &sig)
        .map_err(|_| "the signature does not hold".to_owned())
}
