//! `TrustStore`: whom one identity believes, as the Authority last said, switched as one.
//!
//! A gateway that starts without the Authority knows by this who was revoked. What is read back is
//! not judged by its signer again, whose certificate lives for days: the files are private, and
//! were judged before they were written.

use super::versions::{Found, Versions, bytes};
use super::{DirectoryError, make_private, write_private};
use crate::api::{self, RevokedCertificate, SignedBundle};
use crate::bundle::Bundle;
use crate::revocation::{CRL_BYTES, Crl};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Largest file of a revocation set: 200,000 entries of at most 200 bytes.
const REVOKED_BYTES: u64 = 40 * 1024 * 1024;
/// Largest body of a bundle.
const BUNDLE_BYTES: usize = 512 * 1024;
/// Most lists, one of each issuing key.
const LISTS: usize = 32;
/// Beside the versions: when the Authority was heard last.
const HEARD: &str = "heard";

/// What is known of a version of trust beside what is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustMeta {
    /// The Authority's epoch.
    pub epoch: i64,
    /// The last event that is in force.
    pub seq: i64,
    /// Version of the bundle.
    pub version: i64,
    /// When the Authority wants the certificate renewed, Unix milliseconds, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at_ms: Option<i64>,
}

/// A version that was read, or is to be written.
#[derive(Debug, Clone)]
pub struct StoredTrust {
    /// The bundle as it was signed.
    pub signed: SignedBundle,
    /// The bundle.
    pub bundle: Bundle,
    /// A list of each issuing key.
    pub crls: Vec<Arc<Crl>>,
    /// What was pushed as revoked.
    pub revoked: Vec<RevokedCertificate>,
    /// What else is known.
    pub meta: TrustMeta,
}

/// What one identity believes, on the disk.
#[derive(Debug, Clone)]
pub struct TrustStore {
    versions: Versions,
}

impl TrustStore {
    /// The trust of `name` in a state directory.
    pub(super) fn new(state: &Path, name: &str) -> Self {
        Self { versions: Versions::new(&state.join("trust"), name) }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.versions.path()
    }

    /// The current version; if that is broken, the newest one that is not. `None` if there never
    /// was one.
    ///
    /// # Errors
    /// If there are versions and none can be used, with the reason for each.
    pub fn current(&self) -> Result<Option<Found<StoredTrust>>, String> {
        self.versions.current(read)
    }

    /// Makes a new version the current one.
    ///
    /// # Errors
    /// If it cannot be written; the current version stays.
    pub fn publish(&self, new: &StoredTrust) -> Result<(), DirectoryError> {
        let bad = |what: &str| DirectoryError::Io {
            path: self.path().display().to_string(),
            what: what.to_owned(),
        };
        let body = api::der(&new.signed.body, BUNDLE_BYTES);
        let body = body.ok_or_else(|| bad("the bundle cannot be written"))?;
        let json = |what: serde_json::Result<Vec<u8>>| what.map_err(|_| bad("it has no JSON"));
        let signed = json(serde_json::to_vec(&new.signed))?;
        let revoked = json(serde_json::to_vec(&new.revoked))?;
        let meta = json(serde_json::to_vec_pretty(&new.meta))?;
        let lists: Vec<_> =
            new.crls.iter().map(|crl| (format!("crls/{}.der", crl.issuer_key), crl)).collect();
        let mut files = vec![
            ("bundle.json", body.as_slice()),
            ("bundle.sig.json", &signed),
            ("revoked.json", &revoked),
            ("meta.json", &meta),
        ];
        files.extend(lists.iter().map(|(name, crl)| (name.as_str(), crl.der.as_slice())));
        self.versions.publish(&files)
    }
}

impl TrustStore {
    /// When the Authority was heard last, Unix milliseconds, as far as was noted; `None` if nothing
    /// that can be read is there.
    #[must_use]
    pub fn heard_ms(&self) -> Option<i64> {
        let text = String::from_utf8(bytes(self.path(), HEARD, 32).ok()?).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    }

    /// Notes when the Authority was heard last, Unix milliseconds.
    ///
    /// # Errors
    /// If it cannot be written; what was noted before stays.
    pub fn note_heard(&self, at_ms: i64) -> Result<(), DirectoryError> {
        make_private(self.path())?;
        let (part, place) = (self.path().join("heard.tmp"), self.path().join(HEARD));
        let _ = std::fs::remove_file(&part);
        write_private(&part, format!("{at_ms}\n").as_bytes())?;
        std::fs::rename(&part, &place).map_err(|e| DirectoryError::io(&place, &e))
    }
}

/// Reads one version.
fn read(folder: &Path) -> Result<StoredTrust, String> {
    fn json<T: serde::de::DeserializeOwned>(
        folder: &Path,
        name: &str,
        most: u64,
    ) -> Result<T, String> {
        serde_json::from_slice(&bytes(folder, name, most)?)
            .map_err(|_| format!("{name} is not well-formed"))
    }
    let signed: SignedBundle = json(folder, "bundle.sig.json", 1024 * 1024)?;
    let body = bytes(folder, "bundle.json", BUNDLE_BYTES as u64)?;
    if api::text(&body) != signed.body {
        return Err("bundle.json is not the bundle of bundle.sig.json".to_owned());
    }
    let bundle = Bundle::read(&body).map_err(|error| format!("bundle.json: {error}"))?;
    let meta: TrustMeta = json(folder, "meta.json", 4096)?;
    if meta.version != bundle.version {
        return Err("meta.json is of another bundle".to_owned());
    }
    let revoked = json(folder, "revoked.json", REVOKED_BYTES)?;
    let mut crls = Vec::new();
    let lists = std::fs::read_dir(folder.join("crls")).into_iter().flatten().flatten();
    for entry in lists.take(LISTS) {
        let name = format!("crls/{}", entry.file_name().to_string_lossy());
        let der = bytes(folder, &name, CRL_BYTES as u64)?;
        // Judged by the clock when it came; a clock that was set back since does not unmake it.
        match Crl::accept(&der, &bundle.issuing, None, i64::MAX) {
            Ok(crate::revocation::Accepted::Newer(crl)) => crls.push(crl),
            Ok(crate::revocation::Accepted::Same) => {}
            Err(error) => return Err(format!("{name}: {error}")),
        }
    }
    Ok(StoredTrust { signed, bundle, crls, revoked, meta })
}
