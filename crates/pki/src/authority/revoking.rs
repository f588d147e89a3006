//! Revocation: durable in one transaction, with the list that says so and the event that tells.

use super::keys::IssuingKey;
use super::{Authority, AuthorityError};
use crate::api::RevokedCertificate;
use crate::key::{from_hex, hex};
use crate::ledger::Entry;
use crate::revocation::{self, RevocationReason};
use crate::store::{NewRevocation, RevokedRow, Stored, StoredCrl, Which, Writing};
use segwan_core::identity::{Identity, TrustDomain};
use std::collections::BTreeSet;
use std::time::Instant;

/// A list is good for so long, in milliseconds; it is made anew every hour.
const CRL_LIFE: i64 = 7 * 86_400_000;
/// Lists begin so long before they are made.
const BACKDATED: i64 = 5 * 60_000;

/// What is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A registration, with every certificate of it; it is disabled.
    Name(String),
    /// One certificate, by its serial number in hex.
    Serial(String),
    /// Every certificate of a key, by its SHA-256 in hex; the key is denied for good.
    Key(String),
    /// Every certificate of one chain of renewals.
    Lineage(String),
    /// A token that was not used yet, by its id or the beginning of it.
    Token(String),
    /// Everything that was issued before, Unix milliseconds, but for the Authority's own
    /// certificates, which nobody else holds.
    Before(i64),
}

impl Selector {
    /// Reads `app`, an identity of `domain`, `serial:…`, `key:…`, `lineage:…`, `token:…` or
    /// `before:TIME` (RFC 3339).
    ///
    /// # Errors
    /// If it is none of these.
    pub fn parse(text: &str, domain: &TrustDomain) -> Result<Self, AuthorityError> {
        let bad = |why: String| AuthorityError::Selector(why);
        let hexadecimal = |what: &str, digits: &str, least: usize| {
            let digits = digits.to_ascii_lowercase().replace(':', "");
            let good = digits.len() >= least && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if good {
                return Ok(digits);
            }
            Err(bad(format!(
                "`{text}` names no {what}: at least {least} hexadecimal digits follow"
            )))
        };
        if text.starts_with("spiffe://") {
            let identity: Identity = text.parse()?;
            return match identity.path() {
                Some(name) if identity.trust_domain() == Some(domain.as_str()) => {
                    Ok(Self::Name(name.to_owned()))
                }
                _ => Err(bad(format!("`{text}` is not of the trust domain `{domain}`"))),
            };
        }
        match text.split_once(':') {
            Some(("serial", digits)) => hexadecimal("serial number", digits, 2).map(Self::Serial),
            Some(("key", digits)) => hexadecimal("SHA-256 of a key", digits, 64).map(Self::Key),
            Some(("lineage", digits)) => hexadecimal("lineage", digits, 32).map(Self::Lineage),
            Some(("token", digits)) => hexadecimal("token", digits, 4).map(Self::Token),
            Some(("before", time)) => {
                let at: jiff::Timestamp = time.parse().map_err(|_| {
                    bad(format!("`{time}` is no time; write it as `2026-03-01T02:00:00Z`"))
                })?;
                Ok(Self::Before(at.as_millisecond()))
            }
            Some((kind, _)) => Err(bad(format!(
                "`{kind}:` is unknown; there are `serial:`, `key:`, `lineage:`, `token:` and `before:`"
            ))),
            None => {
                domain.identity(text)?;
                Ok(Self::Name(text.to_owned()))
            }
        }
    }
}

/// What was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The event that tells of it; 0 if no certificate was revoked.
    pub seq: i64,
    /// The certificates, issuer and serial.
    pub certificates: Vec<(String, String)>,
    /// Whose they were.
    pub names: Vec<String>,
    /// Tokens that were taken back.
    pub tokens: usize,
    /// The registration that was disabled.
    pub disabled: Option<String>,
    /// When it was durable: what follows is measured from here.
    pub committed: Instant,
}

impl Authority {
    /// Revokes: certificates, tokens, the registration. It is durable when this returns, and every
    /// agent that listens is told at once; [`confirmed`](Self::confirmed) waits for their answers.
    ///
    /// # Errors
    /// If there is nothing of that kind, or the store cannot be written.
    pub async fn revoke(
        &self,
        selector: &Selector,
        reason: RevocationReason,
        now_ms: i64,
    ) -> Result<Revocation, AuthorityError> {
        let first = self.revoke_once(selector, reason, now_ms).await;
        if !matches!(&first, Err(AuthorityError::Store(crate::store::StoreError::Full))) {
            return first;
        }
        // The reserve was kept for this.
        self.0.store.give_up_reserve();
        self.revoke_once(selector, reason, now_ms).await
    }

    async fn revoke_once(
        &self,
        selector: &Selector,
        reason: RevocationReason,
        now_ms: i64,
    ) -> Result<Revocation, AuthorityError> {
        // No certificate comes into being between the look and the commit.
        let _granting = self.0.granting.lock().await;
        let unknown = |what: String| AuthorityError::Selector(what);
        let mut writing = self.0.store.write_at_once().await?;
        let (mut tokens, mut disabled, mut denied) = (0, None, Vec::new());
        let victims = match selector {
            Selector::Name(name) => {
                if name.starts_with("segwan/") {
                    return Err(unknown(format!(
                        "`{name}` is the Authority itself; `segwan ca issuing distrust KEYID` ends \
                         what a stolen key of its can do"
                    )));
                }
                if self.0.store.registration(name).await?.is_none() {
                    return Err(AuthorityError::NotRegistered(name.clone()));
                }
                if writing.enable(name, false).await? {
                    let entry =
                        Entry { detail: "disabled", ..Entry::new("registration", now_ms, name) };
                    writing.record(&entry).await?;
                    disabled = Some(name.clone());
                }
                tokens = writing.revoke_tokens(None, Some(name), now_ms).await?.len();
                for lineage in writing.open_lineages(name).await? {
                    writing.close_lineage(&lineage, now_ms).await?;
                }
                writing.keep_agents(name, 0).await?;
                writing.victims(Which::Name(name), now_ms).await?
            }
            Selector::Serial(serial) => {
                let mut found = writing.victims(Which::Serial(serial), now_ms).await?;
                if found.is_empty() {
                    found = writing.unrecorded_victims(serial, now_ms).await?;
                }
                if found.is_empty() {
                    return Err(unknown(format!(
                        "no certificate in force has the serial number `{serial}`"
                    )));
                }
                found
            }
            Selector::Key(digits) => {
                let spki = from_hex(digits).unwrap_or_default();
                writing.deny_key(&spki, reason.as_str(), now_ms).await?;
                let entry = Entry { detail: digits, ..Entry::new("key_denied", now_ms, "") };
                writing.record(&entry).await?;
                denied.push(spki.clone());
                writing.victims(Which::Key(&spki), now_ms).await?
            }
            Selector::Lineage(id) => {
                writing.close_lineage(id, now_ms).await?;
                let found = writing.victims(Which::Lineage(id), now_ms).await?;
                if found.is_empty() {
                    return Err(unknown(format!(
                        "no certificate in force is of the lineage `{id}`"
                    )));
                }
                found
            }
            Selector::Token(id) => {
                let names = writing.revoke_tokens(Some(id), None, now_ms).await?;
                let Some(name) = names.first() else {
                    return Err(unknown(format!("no open token is called `{id}`")));
                };
                let entry = Entry { detail: id, ..Entry::new("token_revoked", now_ms, name) };
                writing.record(&entry).await?;
                tokens = names.len();
                Vec::new()
            }
            Selector::Before(at_ms) => writing.victims(Which::Before(*at_ms), now_ms).await?,
        };
        let certificates =
            victims.iter().map(|one| (one.issuer.clone(), one.serial.clone())).collect();
        let names: BTreeSet<_> = victims.iter().map(|one| one.name.clone()).collect();
        if let Selector::Name(name) = selector {
            let _ = self.forget_token(name);
        }
        for victim in victims.iter().filter(|victim| victim.is_head) {
            // Its holder, and whoever holds the one before it, needs a new token.
            writing.close_lineage(&victim.lineage, now_ms).await?;
        }
        if reason == RevocationReason::KeyCompromise {
            denied.extend(victims.iter().map(|victim| victim.spki.clone()));
        }
        let seq = revoke_all(self, writing, (&victims, &denied), reason, now_ms).await?;
        Ok(Revocation {
            seq,
            certificates,
            names: names.into_iter().collect(),
            tokens,
            disabled,
            committed: tokio::time::Instant::now().into_std(),
        })
    }
}

/// Revokes these certificates in the transaction that found them, and commits it. Gives the number
/// of the event; 0 if there was nothing to revoke.
pub(super) async fn revoke(
    authority: &Authority,
    writing: Writing,
    victims: &[NewRevocation],
    reason: RevocationReason,
    now_ms: i64,
) -> Result<i64, AuthorityError> {
    revoke_all(authority, writing, (victims, &[]), reason, now_ms).await
}

/// As [`revoke`], with keys that are denied whatever certificate they come with.
async fn revoke_all(
    authority: &Authority,
    mut writing: Writing,
    (victims, denied): (&[NewRevocation], &[Vec<u8>]),
    reason: RevocationReason,
    now_ms: i64,
) -> Result<i64, AuthorityError> {
    if victims.is_empty() && denied.is_empty() {
        writing.commit().await?;
        return Ok(0);
    }
    let seq = writing.next_event().await?;
    for victim in victims {
        writing.revoke(victim, reason.as_str(), seq, now_ms).await?;
    }
    let entries = victims.iter().map(|victim| Entry {
        issuer: &victim.issuer,
        serial: &victim.serial,
        detail: reason.as_str(),
        ..Entry::new("revoked", now_ms, &victim.name)
    });
    writing.record_all(&entries.collect::<Vec<_>>()).await?;
    for spki in denied.iter().filter(|spki| !spki.is_empty()) {
        writing.deny_key(spki, reason.as_str(), now_ms).await?;
    }
    let told: Vec<_> =
        victims.iter().map(told).chain(denied.iter().map(|spki| told_key(spki))).collect();
    let body = serde_json::to_string(&told).unwrap_or_default();
    writing.add_event(&Stored { seq, kind: "revoked".to_owned(), body, at_ms: now_ms }).await?;
    let issuers: BTreeSet<_> = victims.iter().map(|victim| victim.issuer.as_str()).collect();
    for issuer in issuers {
        if let Some(key) = authority.keys().get(issuer) {
            renew_crl(&mut writing, key, now_ms).await?;
        }
    }
    writing.commit().await?;
    authority.tell(seq);
    Ok(seq)
}

fn told(victim: &NewRevocation) -> RevokedCertificate {
    let (issuer, serial) = (victim.issuer.clone(), victim.serial.clone());
    RevokedCertificate { issuer, serial, key: None }
}

fn told_key(spki: &[u8]) -> RevokedCertificate {
    let (issuer, serial) = (String::new(), String::new());
    RevokedCertificate { issuer, serial, key: Some(hex(spki)) }
}

/// Signs the list of an issuing key anew. Its number only rises, also after a restore.
pub(super) async fn renew_crl(
    writing: &mut Writing,
    key: &IssuingKey,
    now_ms: i64,
) -> Result<(), AuthorityError> {
    let rows = writing.revoked_of(&key.id, now_ms).await?;
    let entries: Option<Vec<_>> = rows.iter().map(entry).collect();
    let entries = entries.ok_or_else(|| {
        AuthorityError::Broken("a revocation in the store cannot be read".to_owned())
    })?;
    let number = (writing.crl_number(&key.id).await? + 1).max(now_ms);
    let next_ms = now_ms + CRL_LIFE;
    let (wide, this_ms) = (u64::try_from(number).unwrap_or(1), now_ms - BACKDATED);
    let der = revocation::sign(&key.authority, wide, this_ms, next_ms, &entries)?;
    let list = StoredCrl { issuer: key.id.clone(), number, der, at_ms: now_ms, next_ms };
    Ok(writing.set_crl(&list).await?)
}

fn entry(row: &RevokedRow) -> Option<revocation::Entry> {
    Some(revocation::Entry {
        serial: from_hex(&row.serial)?,
        at_ms: row.at_ms,
        reason: RevocationReason::named(&row.reason)?,
    })
}
