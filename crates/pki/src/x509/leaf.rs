//! Leaves: from what a registration says to what was signed and checked.

use super::{Authority, Leaf, RequestedKey, X509Error, instant};
use crate::key::sha256;
use crate::lint::{self, Meant, der};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SigningKey,
};
use std::cell::RefCell;

/// Arcs of the extension that names a role, when nothing else is configured (`contracts.md` 15.4).
pub const ROLE_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 50_316, 802, 1];
/// Longest common name (RFC 5280 appendix A.1, `ub-common-name`), in characters.
const COMMON_NAME: usize = 64;

/// What a leaf is held to before it leaves.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// SHA-256 of the bytes to be signed, as recorded before.
    pub intent: [u8; 32],
    /// The root in DER.
    pub root: &'a [u8],
    /// The present, Unix seconds.
    pub now: i64,
    /// Keys that nobody may have any more, each as SHA-256 of its `SubjectPublicKeyInfo`.
    pub denied: &'a [[u8; 32]],
}

impl Authority {
    /// SHA-256 of what a leaf's signature will cover: recorded as the intent before it is signed.
    ///
    /// # Errors
    /// If the library cannot write it.
    pub fn intent(&self, leaf: &Leaf, key: &RequestedKey) -> Result<[u8; 32], X509Error> {
        let recorder = Recorder { pair: self.key.pair(), expected: None, seen: RefCell::default() };
        leaf_params(leaf)?
            .signed_by(key, &self.signer(&recorder)?)
            .map_err(|e| X509Error::Signing(e.to_string()))?;
        Ok(sha256(&recorder.seen.borrow()))
    }

    /// Signs a leaf as [`release`](Self::release) does, at its first second and with no key denied.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    pub fn sign(
        &self,
        leaf: &Leaf,
        key: &RequestedKey,
        intent: [u8; 32],
        root: &[u8],
    ) -> Result<Vec<u8>, X509Error> {
        self.release(leaf, key, &Release { intent, root, now: leaf.not_before, denied: &[] })
    }

    /// Signs a leaf whose bytes are those of its intent, and checks what was signed (K1 to K26).
    ///
    /// # Errors
    /// If the bytes are others, or the self-check finds anything; nothing is released then.
    pub fn release(
        &self,
        leaf: &Leaf,
        key: &RequestedKey,
        release: &Release<'_>,
    ) -> Result<Vec<u8>, X509Error> {
        let Release { intent, root, now, denied } = *release;
        let recorder =
            Recorder { pair: self.key.pair(), expected: Some(intent), seen: RefCell::default() };
        let made = leaf_params(leaf)?
            .signed_by(key, &self.signer(&recorder)?)
            .map_err(|e| X509Error::Signing(e.to_string()))?;
        let der = made.der().to_vec();
        #[cfg(test)]
        let der = spoiling::apply(der);
        let meant = Meant {
            leaf,
            public_key: key.public_key(),
            intent,
            issuer: &self.der,
            root,
            now,
            denied,
        };
        match lint::leaf(&der, &meant).as_slice() {
            [] => Ok(der),
            findings => Err(X509Error::SelfCheck(lint::sentence(findings))),
        }
    }
}

fn leaf_params(leaf: &Leaf) -> Result<CertificateParams, X509Error> {
    let no = |what: String| X509Error::Signing(what);
    let ascii =
        |text: &str| text.try_into().map_err(|_| no(format!("the name `{text}` is not ASCII")));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = &leaf.display_name {
        if name.is_empty() || name.chars().count() > COMMON_NAME {
            let long = name.chars().count();
            return Err(no(format!(
                "a display name has 1 to {COMMON_NAME} characters, not {long}"
            )));
        }
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    params.serial_number = Some(SerialNumber::from_slice(&leaf.serial));
    params.not_before = instant!(leaf.not_before);
    params.not_after = instant!(leaf.not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.subject_alt_names = vec![SanType::URI(ascii(&leaf.identity.to_string())?)];
    for name in &leaf.dns {
        params.subject_alt_names.push(SanType::DnsName(ascii(name)?));
    }
    params.subject_alt_names.extend(leaf.ips.iter().copied().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = [
        leaf.profile.listens().then_some(ExtendedKeyUsagePurpose::ServerAuth),
        leaf.profile.dials().then_some(ExtendedKeyUsagePurpose::ClientAuth),
    ]
    .into_iter()
    .flatten()
    .collect();
    match leaf.roles.as_slice() {
        [] => {}
        [role] => params.custom_extensions.push(CustomExtension::from_oid_content(
            ROLE_OID,
            der::write(der::UTF8_STRING, role.as_bytes()),
        )),
        roles => {
            let many = roles.len();
            return Err(no(format!("{many} roles need an extension each; one is supported")));
        }
    }
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = KeyIdMethod::Sha256;
    Ok(params)
}

/// A signer that notes what it is given; with an intent it signs nothing else (K26).
struct Recorder<'k> {
    pair: &'k KeyPair,
    expected: Option<[u8; 32]>,
    seen: RefCell<Vec<u8>>,
}

impl PublicKeyData for Recorder<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.pair.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.pair.algorithm()
    }
}

impl SigningKey for Recorder<'_> {
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self.expected {
            None => {
                *self.seen.borrow_mut() = bytes.to_vec();
                Ok(vec![0; 64])
            }
            Some(intent) if sha256(bytes) == intent => self.pair.sign(bytes),
            Some(_) => Err(rcgen::Error::RemoteKeyError),
        }
    }
}

/// The hook of PKI-64: the next certificate signed on this thread is another when it is checked.
#[cfg(test)]
pub(crate) mod spoiling {
    use std::cell::Cell;

    thread_local! {
        static NEXT: Cell<bool> = const { Cell::new(false) };
    }

    /// Makes the next self-check on this thread fail, as if the signer had erred.
    pub(crate) fn next() {
        NEXT.set(true);
    }

    pub(super) fn apply(mut der: Vec<u8>) -> Vec<u8> {
        if NEXT.take() {
            // The last byte of the signature.
            if let Some(last) = der.last_mut() {
                *last ^= 1;
            }
        }
        der
    }
}
