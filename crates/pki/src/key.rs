//! `PrivateKey`: private keys, made, read, sealed and forgotten; SHA-256, random bytes, hex.
//!
//! Nothing here shows what a key holds: no `Debug`, no `Display`, no `Serialize`.

use aws_lc_rs::{digest, rand};
use pkcs8::pkcs5::pbes2::{EncryptionScheme as Cipher, Parameters};
use pkcs8::pkcs5::{EncryptionScheme, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoOwned, LineEnding, PrivateKeyInfoRef, SecretDocument};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::{Zeroize, Zeroizing};

/// Largest PEM file that is looked into.
pub const PEM_BYTES: usize = 64 * 1024;

/// A private key: ECDSA on P-256, or on P-384 for a root. Its bytes are wiped when it goes.
pub struct PrivateKey(KeyPair);

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system or the library gave none.
    #[error("no key could be made")]
    NotMade,
    /// The file is larger than any key.
    #[error("{0} bytes are more than a key file may have ({PEM_BYTES})")]
    TooLarge(usize),
    /// No PKCS#8 key, or of a kind that is not used here.
    #[error("it holds no ECDSA key on P-256 or P-384 in PKCS#8 form")]
    Unreadable,
    /// Another form of encryption than ours.
    #[error("it is not encrypted with PBES2, scrypt (N=16384, r=8, p=1) and AES-256-CBC")]
    WrongCipher,
    /// The passphrase does not open it.
    #[error("its passphrase does not fit")]
    WrongPassphrase,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandom,
}

impl PrivateKey {
    /// A new key on P-256, for leaves and issuing certificates.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(|_| KeyError::NotMade)
    }

    /// A new key on P-384, for a root.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate_root() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map(Self).map_err(|_| KeyError::NotMade)
    }

    /// Reads a plain PKCS#8 key in PEM.
    ///
    /// # Errors
    /// If it is no ECDSA key in that form.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Self::from_der(document(pem, "PRIVATE KEY")?.as_bytes())
    }

    /// Reads a plain PKCS#8 key in DER.
    ///
    /// # Errors
    /// If it is no ECDSA key in that form.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > PEM_BYTES {
            return Err(KeyError::TooLarge(der.len()));
        }
        let der = PrivatePkcs8KeyDer::from(der);
        [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384]
            .into_iter()
            .find_map(|kind| KeyPair::from_pkcs8_der_and_sign_algo(&der, kind).ok())
            .map(Self)
            .ok_or(KeyError::Unreadable)
    }

    /// The key as plain PKCS#8 in PEM.
    ///
    /// # Errors
    /// If the library cannot write it.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let document =
            SecretDocument::try_from(self.0.serialized_der()).map_err(|_| KeyError::Unreadable)?;
        document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| KeyError::Unreadable)
    }

    /// The key as plain PKCS#8 in DER.
    #[must_use]
    pub fn to_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialized_der().to_vec())
    }

    /// The public half, as a `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// SHA-256 of [`public_key`](Self::public_key): by which keys are compared and recorded.
    #[must_use]
    pub fn public_key_sha256(&self) -> [u8; 32] {
        sha256(&self.public_key())
    }

    /// A signature over a message: ECDSA with the hash of its curve, DER.
    ///
    /// # Errors
    /// If the library cannot sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        rcgen::SigningKey::sign(&self.0, message).map_err(|_| KeyError::Unreadable)
    }

    /// The key as encrypted PKCS#8 in PEM, in the form that `openssl pkcs8` reads.
    ///
    /// What was written is read back and its parameters are compared before it is given out.
    ///
    /// # Errors
    /// If there are no random bytes, or what was written is not what was meant.
    pub fn seal(&self, passphrase: &str) -> Result<String, KeyError> {
        let cost = scrypt::Params::new(LOG_N, R, P).map_err(|_| KeyError::WrongCipher)?;
        let how = Parameters::generate_scrypt_aes256cbc(cost, &random::<16>()?, random::<16>()?)
            .map_err(|_| KeyError::WrongCipher)?;
        let plain = PrivateKeyInfoRef::try_from(self.0.serialized_der())
            .map_err(|_| KeyError::Unreadable)?;
        let sealed =
            plain.encrypt_with_params(how, passphrase).map_err(|_| KeyError::WrongCipher)?;
        let pem = sealed
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(|_| KeyError::WrongCipher)?;
        let read = Self::unseal(&pem, passphrase)?;
        if read.public_key() == self.public_key() {
            Ok(pem.as_str().to_owned())
        } else {
            Err(KeyError::Unreadable)
        }
    }

    /// Reads what [`seal`](Self::seal) wrote, and nothing that was encrypted another way.
    ///
    /// # Errors
    /// If the form, the parameters or the passphrase are others.
    pub fn unseal(pem: &str, passphrase: &str) -> Result<Self, KeyError> {
        let document = document(pem, "ENCRYPTED PRIVATE KEY")?;
        let sealed = EncryptedPrivateKeyInfoOwned::try_from(document.as_bytes())
            .map_err(|_| KeyError::Unreadable)?;
        if !is_ours(&sealed.encryption_algorithm) {
            return Err(KeyError::WrongCipher);
        }
        let plain = sealed.decrypt(passphrase).map_err(|_| KeyError::WrongPassphrase)?;
        Self::from_der(plain.as_bytes())
    }

    /// What rcgen signs with.
    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// `N` bytes from the operating system's generator.
///
/// # Errors
/// If it gives none.
pub fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| KeyError::NoRandom)?;
    Ok(bytes)
}

/// `bytes` in lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that `text` is the lower-case hex of.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn document(pem: &str, expected: &str) -> Result<SecretDocument, KeyError> {
    if pem.len() > PEM_BYTES {
        return Err(KeyError::TooLarge(pem.len()));
    }
    match SecretDocument::from_pem(pem) {
        Ok((label, document)) if label == expected => Ok(document),
        _ => Err(KeyError::Unreadable),
    }
}

fn is_ours(scheme: &EncryptionScheme) -> bool {
    let EncryptionScheme::Pbes2(parameters) = scheme else { return false };
    let cost = parameters.kdf.scrypt().is_some_and(|kdf| {
        kdf.cost_parameter == 1 << LOG_N
            && u32::from(kdf.block_size) == R
            && u32::from(kdf.parallelization) == P
            && u32::from(kdf.salt.len()) >= SALT
            && kdf.key_length.is_none_or(|bytes| bytes == 32)
    });
    cost && matches!(parameters.encryption, Cipher::Aes256Cbc { .. })
}

/// scrypt's cost: what OpenSSL's default memory limit still takes (DEP-22).
const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;
/// Shortest salt, in bytes (RFC 8018 section 4.1 asks for 8).
const SALT: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_read_back_is_the_same_key() {
        let key = PrivateKey::generate().unwrap();
        let pem = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
        let der = PrivateKey::from_der(&key.to_der()).unwrap();
        assert_eq!(pem.public_key_sha256(), key.public_key_sha256());
        assert_eq!(der.public_key(), key.public_key());
    }

    // PKI-10, DEP-22
    #[test]
    fn a_sealed_key_opens_with_its_passphrase_alone() {
        let key = PrivateKey::generate_root().unwrap();
        let sealed = key.seal("thirty-two characters, or so").unwrap();
        assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        let opened = PrivateKey::unseal(&sealed, "thirty-two characters, or so").unwrap();
        assert_eq!(opened.public_key(), key.public_key());
        let wrong = PrivateKey::unseal(&sealed, "another").err().unwrap();
        assert_eq!(wrong, KeyError::WrongPassphrase);
        assert!(PrivateKey::from_pem(&sealed).is_err());
    }

    // PKI-10: read from the file, not from what was asked for.
    #[test]
    fn a_sealed_file_says_how_it_is_sealed() {
        let sealed = PrivateKey::generate_root().unwrap().seal("sixteen letters.").unwrap();
        let document = document(&sealed, "ENCRYPTED PRIVATE KEY").unwrap();
        let read = EncryptedPrivateKeyInfoOwned::try_from(document.as_bytes()).unwrap();
        let EncryptionScheme::Pbes2(parameters) = &read.encryption_algorithm else {
            panic!("{:?}", read.encryption_algorithm)
        };
        let kdf = parameters.kdf.scrypt().unwrap();
        let cost =
            (kdf.cost_parameter, kdf.block_size, kdf.parallelization, u32::from(kdf.salt.len()));
        assert_eq!(cost, (16_384, 8, 1, 16));
        let cipher = parameters.encryption.oid().to_string();
        assert_eq!(cipher, "2.16.840.1.101.3.4.1.42", "AES-256-CBC");
    }

    // PKI-10
    #[test]
    fn a_key_that_is_sealed_another_way_is_not_opened() {
        let key = PrivateKey::generate_root().unwrap();
        let cost = |log_n, r, p| scrypt::Params::new(log_n, r, p).unwrap();
        let scrypt =
            |cost, salt: &[u8]| Parameters::generate_scrypt_aes256cbc(cost, salt, [2; 16]).unwrap();
        let usual = cost(14, 8, 1);
        for (how, opens) in [
            (scrypt(usual, &[1; 16]), true),
            (scrypt(usual, &[1; 8]), false),
            (scrypt(cost(13, 8, 1), &[1; 16]), false),
            (scrypt(cost(14, 4, 1), &[1; 16]), false),
            (scrypt(cost(14, 8, 2), &[1; 16]), false),
            (Parameters::generate_scrypt_aes128cbc(usual, &[1; 16], [2; 16]).unwrap(), false),
            (Parameters::generate_pbkdf2_sha256_aes256cbc(1000, &[1; 16], [2; 16]).unwrap(), false),
        ] {
            let shown = format!("{how:?}");
            let plain = PrivateKeyInfoRef::try_from(key.0.serialized_der()).unwrap();
            let sealed = plain.encrypt_with_params(how, "sixteen letters.").unwrap();
            let pem = sealed.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap();
            let opened = PrivateKey::unseal(&pem, "sixteen letters.").err();
            assert_eq!(opened, (!opens).then_some(KeyError::WrongCipher), "{shown}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_size_or_form() {
        for text in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(PrivateKey::from_pem(text).err().unwrap(), KeyError::Unreadable);
        }
        let large = " ".repeat(PEM_BYTES + 1);
        assert_eq!(PrivateKey::from_pem(&large).err().unwrap(), KeyError::TooLarge(PEM_BYTES + 1));
    }

    #[test]
    fn hex_is_lower_case_both_ways() {
        assert_eq!(hex(&[0, 0x9f, 0xff]), "009fff");
        assert_eq!(from_hex("009fff"), Some(vec![0, 0x9f, 0xff]));
        assert_eq!((from_hex("0"), from_hex("FF"), from_hex("+1")), (None, None, None));
    }
}
