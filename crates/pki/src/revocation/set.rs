//! `RevokedSet`: what the Authority pushes at each revocation, looked up at each handshake and
//! again for each live connection.

use super::REVOKED;
use std::collections::{HashMap, HashSet};

/// Revoked serials under their issuing keys, and revoked keys. Bounded; share it behind an `Arc`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedSet {
    serials: HashMap<String, HashSet<String>>,
    keys: HashSet<[u8; 32]>,
    /// How many serials there are under all issuers.
    count: usize,
}

/// A set that holds as much as it may. A revocation must not be lost silently, so whoever inserts
/// decides what is refused instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the set of revoked certificates holds {REVOKED} entries, the most there may be")]
pub struct SetFull;

impl RevokedSet {
    /// Revokes the certificate with this serial (hex) under the issuing key with this identifier
    /// (hex); says whether it was not there before.
    ///
    /// # Errors
    /// If the set is full.
    pub fn insert(&mut self, issuer: &str, serial: &str) -> Result<bool, SetFull> {
        let (issuer, serial) = (issuer.to_ascii_lowercase(), folded(serial));
        if self.names(&issuer, &serial) {
            return Ok(false);
        }
        if self.count >= REVOKED {
            return Err(SetFull);
        }
        self.count += 1;
        Ok(self.serials.entry(issuer).or_default().insert(serial))
    }

    /// Revokes every certificate of the key whose `SubjectPublicKeyInfo` has this SHA-256; says
    /// whether it was not there before.
    ///
    /// # Errors
    /// If the set is full.
    pub fn insert_key(&mut self, spki: [u8; 32]) -> Result<bool, SetFull> {
        if self.keys.len() >= REVOKED && !self.keys.contains(&spki) {
            return Err(SetFull);
        }
        Ok(self.keys.insert(spki))
    }

    /// Whether this serial (hex) under this issuing key (hex identifier) is revoked, or this key.
    #[must_use]
    pub fn is_revoked(&self, issuer: &str, serial: &str, spki: &[u8; 32]) -> bool {
        self.has_key(spki) || self.has_serial(issuer, serial)
    }

    /// Whether this serial (hex) under this issuing key (hex identifier) is revoked.
    #[must_use]
    pub fn has_serial(&self, issuer: &str, serial: &str) -> bool {
        self.names(&issuer.to_ascii_lowercase(), &folded(serial))
    }

    /// Whether this key is revoked.
    #[must_use]
    pub fn has_key(&self, spki: &[u8; 32]) -> bool {
        self.keys.contains(spki)
    }

    /// How many serials and keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count + self.keys.len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn names(&self, issuer: &str, serial: &str) -> bool {
        self.serials.get(issuer).is_some_and(|serials| serials.contains(serial))
    }
}

/// A serial in hex as its number alone: DER may put zeros in front, and people do.
fn folded(serial: &str) -> String {
    let digits = serial.trim_start_matches('0').to_ascii_lowercase();
    if digits.is_empty() { "0".to_owned() } else { digits }
}

/// The octets of a serial without the zeros in front.
pub(super) fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|octet| **octet == 0).count();
    serial.get(zeros..).unwrap_or_default()
}
