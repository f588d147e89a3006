//! Taking the root's key off this host: written, read back and tried before anything is removed.

use super::{CustodyError, Passphrase, Root, certificates, text};
use crate::certificate::Certificate;
use crate::directory::{DirectoryError, pem_of, sync, write_private};
use crate::key::{PrivateKey, hex, random, sha256};
use rustls_pki_types::CertificateDer;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The files of an export.
pub(super) const KEY: &str = "root.key.pem";
const CERTIFICATE: &str = "root.pem";
const README: &str = "README.txt";

/// A copy of the root that was read back and tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The encrypted key.
    pub key: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// How to use both.
    pub readme: PathBuf,
}

impl Root {
    /// Writes key, certificate and the commands for a bad day to `to`, and tries the copy: it is
    /// decrypted, signs, and the signature holds under the certificate that was written.
    ///
    /// # Errors
    /// If the passphrase is too short, the files exist or cannot be written, or the copy is not
    /// good; what was written is removed then.
    pub fn export(&self, to: &Path, passphrase: &Passphrase) -> Result<Exported, CustodyError> {
        passphrase.is_long_enough()?;
        let place = to.display().to_string();
        let sealed = self.authority().key.seal(passphrase.reveal());
        let sealed = sealed.map_err(|error| CustodyError::Key { path: place.clone(), error })?;
        let certificate = pem_of(self.certificate());
        let readme = readme(&hex(&sha256(self.certificate())));
        let files = [(KEY, &sealed), (CERTIFICATE, &certificate), (README, &readme)];
        let mut written = Vec::new();
        let copied = files.iter().try_for_each(|(name, text)| {
            let path = to.join(name);
            // A file that was there before is not ours to remove.
            if path.symlink_metadata().is_ok() {
                let why = format!("`{}` exists already", path.display());
                return Err(CustodyError::Refused(why));
            }
            written.push(path.clone());
            Ok(write_private(&path, text.as_bytes())?)
        });
        let tried = copied
            .and_then(|()| Ok(sync(to)?))
            .and_then(|()| tried(to, passphrase, self.certificate()));
        if let Err(error) = tried {
            for path in written {
                let _ = std::fs::remove_file(path);
            }
            return Err(error);
        }
        let at = |name: &str| to.join(name);
        Ok(Exported { key: at(KEY), certificate: at(CERTIFICATE), readme: at(README) })
    }
}

/// Reads a copy as somebody would who has nothing else, and lets it sign.
fn tried(to: &Path, passphrase: &Passphrase, meant: &[u8]) -> Result<(), CustodyError> {
    let bad = |why: String| CustodyError::ReadBack(to.display().to_string(), why);
    let read = |name: &str| text(&to.join(name)).map_err(|error| bad(error.to_string()));
    let key = PrivateKey::unseal(&read(KEY)?, passphrase.reveal());
    let key = key.map_err(|error| bad(error.to_string()))?;
    let found = certificates(&read(CERTIFICATE)?).map_err(|error| bad(error.to_string()))?;
    let [certificate] = found.as_slice() else {
        return Err(bad("it holds not one certificate".to_owned()));
    };
    if certificate != meant {
        return Err(bad("its certificate is another".to_owned()));
    }
    let challenge = random::<32>().map_err(|error| bad(error.to_string()))?;
    let signature = key.sign(&challenge).map_err(|error| bad(error.to_string()))?;
    let der = CertificateDer::from(certificate.as_slice());
    let end = webpki::EndEntityCert::try_from(&der).map_err(|error| bad(error.to_string()))?;
    let curve = match Certificate::read(certificate).map_err(&bad)?.key {
        crate::certificate::KeyKind::P256 => webpki::aws_lc_rs::ECDSA_P256_SHA256,
        _ => webpki::aws_lc_rs::ECDSA_P384_SHA384,
    };
    end.verify_signature(curve, &challenge, &signature)
        .map_err(|_| bad("its key is not the one of its certificate".to_owned()))
}

/// Removes the root's key and its passphrase from this host: overwritten, then removed. `authority`
/// is the directory of the Authority's files.
///
/// # Errors
/// If a file stays.
pub fn remove_local(authority: &Path) -> Result<(), CustodyError> {
    let place = authority.join("root");
    let io = |path: &Path, error: &std::io::Error| DirectoryError::io(path, error);
    let entries = match std::fs::read_dir(&place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| io(&place, &error))?,
    };
    for entry in entries {
        let path = entry.map_err(|error| io(&place, &error))?.path();
        wiped(&path).map_err(|error| io(&path, &error))?;
    }
    sync(&place)?;
    std::fs::remove_dir(&place).map_err(|error| io(&place, &error))?;
    Ok(sync(authority)?)
}

/// Overwrites a file in place and removes it. On a file system that writes elsewhere this does no
/// more than removing.
fn wiped(path: &Path) -> std::io::Result<()> {
    let length = path.symlink_metadata()?.len();
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&vec![0; usize::try_from(length).unwrap_or(0).min(1 << 20)])?;
    file.sync_all()?;
    std::fs::remove_file(path)
}

fn readme(fingerprint: &str) -> String {
    format!(
        "The root of a Segwan Authority
==============================
SHA-256 of the certificate: {fingerprint}

  root.key.pem   the private key: PKCS#8, encrypted (PBES2, scrypt N=16384 r=8 p=1, AES-256-CBC)
  root.pem       its certificate

Whoever has the key and its passphrase can make any identity of the trust domain. Keep two copies
offline, in two places, and the passphrase in a third.

It is needed once in about 18 months, and on a bad day, to make a new issuing certificate.

At the Authority's host (the key is only ever in memory):

  segwan ca issuing renew --root-key root.key.pem

With an air gap. At the Authority's host:

  segwan ca issuing request --extensions issuing.ext > req.pem

Where the root is:

  segwan ca sign-issuing --root-key root.key.pem --root-cert root.pem req.pem > chain.pem

or with OpenSSL alone:

  openssl x509 -req -in req.pem -CA root.pem -CAkey root.key.pem -sha384 -days 548 \\
    -set_serial 0x4$(openssl rand -hex 15) -extfile issuing.ext -out issuing.pem
  cat issuing.pem root.pem > chain.pem

And again at the Authority's host:

  segwan ca issuing import chain.pem

To see that a copy is good, with OpenSSL alone (both lines must be equal):

  openssl pkey -in root.key.pem -pubout
  openssl x509 -in root.pem -noout -pubkey
"
    )
}
