//! `Crl`: a certificate revocation list, read under a bound and accepted only whole (`pki.md` 11.4).
//!
//! A list is parsed before its signature can be checked, and a parser of a linked crate has
//! panicked on one before (RUSTSEC-2026-0104): a panic is a refusal here, and the list in force
//! stays.

mod read;
mod signature;

use self::read::parse;
use self::signature::is_signed_by;
use super::set::significant;
use super::{CRL_BYTES, REVOKED};
use crate::certificate::Certificate;
use crate::key::hex;
use segwan_core::audit::shown;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// How far a list may lie in the future, for skewed clocks.
const SKEW_MS: i64 = 5 * 60 * 1000;

/// A well-formed list of what one issuing key has revoked.
#[derive(Debug)]
pub struct Crl {
    /// Key identifier of its issuer in lower-case hex.
    pub issuer_key: String,
    /// The issuer's name in DER.
    pub issuer_name: Vec<u8>,
    /// Its number: a later list has a higher one.
    pub number: u64,
    /// When it was made, Unix milliseconds.
    pub this_update_ms: i64,
    /// When the next one is due, Unix milliseconds.
    pub next_update_ms: i64,
    /// The list as it was signed.
    pub der: Vec<u8>,
    revoked: HashSet<Vec<u8>>,
    list: webpki::CertRevocationList<'static>,
}

/// What became of a list that holds.
#[derive(Debug)]
pub enum Accepted {
    /// It is newer than the one in force.
    Newer(Arc<Crl>),
    /// It is the one in force, byte for byte.
    Same,
}

/// Why a list is refused; the one in force stays. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// It is over 8 MiB.
    #[error("the revocation list has {0} bytes; {CRL_BYTES} are the most")]
    TooLarge(usize),
    /// It has over 200,000 entries.
    #[error("the revocation list has {0} entries; {REVOKED} are the most")]
    TooMany(usize),
    /// It is no list.
    #[error("the revocation list is not readable: {0}")]
    Malformed(String),
    /// The parser panicked.
    #[error("the revocation list broke the parser, so it is refused")]
    Panicked,
    /// It extends another list.
    #[error("the revocation list is a delta list; only complete lists are taken")]
    Delta,
    /// It answers for other issuers too.
    #[error("the revocation list is indirect: it answers for other issuers")]
    Indirect,
    /// It covers a part of what its issuer made.
    #[error("the revocation list has an issuing distribution point, so it may not be complete")]
    Partial,
    /// A critical extension that is not understood.
    #[error("the revocation list has the critical extension {0}, which is not understood")]
    UnknownCritical(String),
    /// It has no number.
    #[error("the revocation list has no number")]
    NoNumber,
    /// Its number is critical.
    #[error("the number of the revocation list is a critical extension")]
    CriticalNumber,
    /// It does not say when the next one is due.
    #[error("the revocation list does not say when the next one is due")]
    NoNextUpdate,
    /// It does not name its issuer's key.
    #[error("the revocation list does not name its issuer's key")]
    NoIssuerKey,
    /// Nobody who is trusted has this name.
    #[error("the revocation list is of `{0}`, who is no trusted issuer")]
    UnknownIssuer(String),
    /// Somebody of this name is trusted, with another key.
    #[error("the revocation list is of the key {0}, which no trusted issuer of its name has")]
    OtherKey(String),
    /// Its issuer's certificate does not say `cRLSign`.
    #[error("the issuer of the revocation list (key {0}) may not sign revocation lists")]
    NotAllowed(String),
    /// The signature is not its issuer's.
    #[error("the signature of the revocation list is not of its issuer (key {0})")]
    Signature(String),
    /// It is from the future.
    #[error("the revocation list begins {} s in the future; is the clock right?", .0 / 1000)]
    Future(i64),
    /// A newer one is in force.
    #[error("the revocation list has the number {number}, and {installed} is in force")]
    Older {
        /// Its number.
        number: u64,
        /// That of the list in force.
        installed: u64,
    },
    /// Two lists of one number: the issuer's key signs in two places. An alarm, `crl_fork`.
    #[error("another revocation list with the number {0} is in force (crl_fork)")]
    Fork(u64),
}

impl Crl {
    /// Reads one list in DER; whether to believe it is [`accept`](Self::accept)'s to say.
    ///
    /// # Errors
    /// If it is too large, not one well-formed complete list, or has what is not understood.
    pub fn read(der: &[u8]) -> Result<Self, CrlError> {
        if der.len() > CRL_BYTES {
            return Err(CrlError::TooLarge(der.len()));
        }
        catch_unwind(AssertUnwindSafe(|| parse(der))).unwrap_or(Err(CrlError::Panicked))
    }

    /// Accepts a list in place of the one `installed`, if it is of one of these issuing
    /// certificates (DER) and newer. 20,000 entries take some 50 ms, so this belongs on a worker.
    ///
    /// # Errors
    /// At the first rule that it breaks; then the installed one stays in force.
    pub fn accept<D: AsRef<[u8]>>(
        der: &[u8],
        issuers: &[D],
        installed: Option<&Self>,
        now_ms: i64,
    ) -> Result<Accepted, CrlError> {
        let crl = Self::read(der)?;
        crl.check_issuer(issuers)?;
        crl.follow(installed, now_ms)
    }

    /// Takes the place of the one `installed`, if it is newer and not from the future; who signed it
    /// is not asked. For a list whose issuer is known by what a peer shows, and by nothing before.
    ///
    /// # Errors
    /// At the first rule that it breaks; then the installed one stays in force.
    pub fn follow(self, installed: Option<&Self>, now_ms: i64) -> Result<Accepted, CrlError> {
        let crl = self;
        let ahead = crl.this_update_ms.saturating_sub(now_ms);
        if ahead > SKEW_MS {
            return Err(CrlError::Future(ahead));
        }
        match installed.filter(|installed| installed.issuer_key == crl.issuer_key) {
            Some(installed) if installed.number == crl.number => {
                if installed.der == crl.der {
                    Ok(Accepted::Same)
                } else {
                    Err(CrlError::Fork(crl.number))
                }
            }
            Some(installed) if installed.number > crl.number => {
                Err(CrlError::Older { number: crl.number, installed: installed.number })
            }
            _ => Ok(Accepted::Newer(Arc::new(crl))),
        }
    }

    /// Whether it names this serial.
    #[must_use]
    pub fn revokes(&self, serial: &[u8]) -> bool {
        self.revoked.contains(significant(serial))
    }

    /// The serials that it names, in no order, without zeros in front.
    pub fn serials(&self) -> impl Iterator<Item = &[u8]> {
        self.revoked.iter().map(Vec::as_slice)
    }

    /// How many certificates it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether it names none, which is normal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// Whether the next one is overdue.
    #[must_use]
    pub fn is_stale(&self, now_ms: i64) -> bool {
        now_ms >= self.next_update_ms
    }

    /// The list as path validation takes it.
    #[must_use]
    pub fn list(&self) -> &webpki::CertRevocationList<'static> {
        &self.list
    }

    /// Somebody who is trusted has this name and this key, may sign lists, and signed this one.
    fn check_issuer<D: AsRef<[u8]>>(&self, issuers: &[D]) -> Result<(), CrlError> {
        let read = issuers.iter().filter_map(|der| Certificate::read(der.as_ref()).ok());
        let namesakes: Vec<_> = read.filter(|it| it.subject == self.issuer_name).collect();
        if namesakes.is_empty() {
            return Err(CrlError::UnknownIssuer(name_text(&self.issuer_name)));
        }
        let has_key = |it: &&Certificate| {
            it.subject_key.as_deref().is_some_and(|key| hex(key) == self.issuer_key)
        };
        let issuer = namesakes.iter().find(has_key);
        let issuer = issuer.ok_or_else(|| CrlError::OtherKey(shown_key(&self.issuer_key)))?;
        if !issuer.is_ca || issuer.may_sign_lists != Some(true) {
            return Err(CrlError::NotAllowed(shown_key(&self.issuer_key)));
        }
        if !is_signed_by(&self.der, &issuer.public_key) {
            return Err(CrlError::Signature(shown_key(&self.issuer_key)));
        }
        Ok(())
    }
}

fn shown_key(key: &str) -> String {
    shown(key.as_bytes())
}

fn name_text(der: &[u8]) -> String {
    let name = X509Name::from_der(der);
    name.map_or_else(|_| hex(der), |(_, name)| shown(name.to_string().as_bytes()))
}
