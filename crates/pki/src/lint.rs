//! The self-check before anything leaves: what was just signed is read back and held to rules K1
//! to K26 (`pki.md` section 14).
//!
//! It may refuse, it never admits: who is believed is decided by the verifiers. Each rule is one
//! row with its id, so a finding names the rule and the values that decided.

mod authority;
mod common;
mod crl;
pub(crate) mod der;
mod leaf;
#[cfg(test)]
mod tests;

use crate::x509::{Constraints, Leaf};
use std::fmt;

/// What one rule found. Displays as `K5: sentence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule: `K1` to `K26`.
    pub rule: &'static str,
    /// What does not hold, with the values; lower case, no full stop.
    pub sentence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.sentence)
    }
}

/// All findings in one sentence.
#[must_use]
pub fn sentence(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; ")
}

/// What a leaf was meant to be.
#[derive(Debug, Clone, Copy)]
pub struct Meant<'a> {
    /// What the registration says.
    pub leaf: &'a Leaf,
    /// The key of the request, as a `SubjectPublicKeyInfo` in DER.
    pub public_key: &'a [u8],
    /// SHA-256 of the bytes that were to be signed.
    pub intent: [u8; 32],
    /// The issuing certificate in DER.
    pub issuer: &'a [u8],
    /// The root in DER.
    pub root: &'a [u8],
    /// The present, Unix seconds.
    pub now: i64,
    /// Keys that nobody may have any more, each as SHA-256 of its `SubjectPublicKeyInfo`.
    pub denied: &'a [[u8; 32]],
}

/// Which certificate of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An anchor: signed by itself, no path length, no name constraints.
    Root,
    /// Another root's key and name, signed by this root during a rotation: path length 1.
    Cross,
    /// Signs leaves: path length 0, name constraints.
    Issuing,
}

/// What a certificate of an authority was meant to be.
#[derive(Debug, Clone, Copy)]
pub struct MeantAuthority<'a> {
    /// Its place in the hierarchy.
    pub standing: Standing,
    /// The certificate of its issuer in DER; a root is its own.
    pub issuer: &'a [u8],
    /// Its key as a `SubjectPublicKeyInfo` in DER, where it is known beforehand.
    pub public_key: Option<&'a [u8]>,
    /// Its name constraints, where they are known beforehand.
    pub constraints: Option<&'a Constraints>,
    /// The present, Unix seconds.
    pub now: i64,
}

/// Holds a leaf in DER to K1 to K21 and K24 to K26. Nothing found: it may leave.
#[must_use]
pub fn leaf(der: &[u8], meant: &Meant<'_>) -> Vec<Finding> {
    leaf::findings(der, meant)
}

/// Holds a certificate of an authority in DER to the rules for one.
#[must_use]
pub fn authority(der: &[u8], meant: &MeantAuthority<'_>) -> Vec<Finding> {
    authority::findings(der, meant)
}

/// Holds a revocation list in DER to K23, at one second (Unix). `issuer` is the certificate of the
/// key that signed it, in DER.
#[must_use]
pub fn crl(der: &[u8], issuer: &[u8], now: i64) -> Vec<Finding> {
    crl::findings(der, issuer, now)
}

/// Holds an issuing certificate that was signed elsewhere to the same rules as one of our own,
/// before it is imported. `expected_key` is the key that waits for it, as a
/// `SubjectPublicKeyInfo` in DER; `now` is in Unix seconds.
///
/// # Errors
/// With all findings.
pub fn check_issuing(
    issuing: &[u8],
    root: &[u8],
    expected_key: &[u8],
    now: i64,
) -> Result<(), Vec<Finding>> {
    let findings = authority(
        issuing,
        &MeantAuthority {
            standing: Standing::Issuing,
            issuer: root,
            public_key: Some(expected_key),
            constraints: None,
            now,
        },
    );
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}
