//! Enrollment and renewal: who gets a certificate; how it is made says `issuing.rs`.

use super::issuing::{Replaces, instant};
use super::{Authority, AuthorityError, Issued, Registration, registering};
use crate::bundle::AUTHORITY_NAME;
use crate::certificate::Certificate;
use crate::enrollment::Token;
use crate::key::{PrivateKey, hex, random};
use crate::profile::Profile;
use crate::renewal;
use crate::store::{RegistrationRow, Spent};
use crate::x509::{RequestedKey, certificate_request};

/// What signs bundles: a certificate of the Authority's own, whose key is in memory alone.
pub(super) struct Speaker {
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: PrivateKey,
    /// When another takes its place, Unix milliseconds.
    renew_ms: i64,
    made_ms: i64,
}

impl Authority {
    /// Enrolls the holder of a token: its key gets a certificate, once. The same key gets the same
    /// certificate again until the token ends, so a lost answer costs nothing.
    ///
    /// # Errors
    /// If the token is not good (one answer for the peer, whichever reason), or the request is not.
    pub async fn enroll(
        &self,
        secret: &str,
        csr: &[u8],
        from: &str,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let result = self.enroll_once(secret, csr, from, now_ms).await;
        self.noting_full(result)
    }

    async fn enroll_once(
        &self,
        secret: &str,
        csr: &[u8],
        from: &str,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let none = || AuthorityError::Token("what was sent is no token".to_owned());
        let secret = Token::sent_secret_sha256(secret).ok_or_else(none)?;
        let key = RequestedKey::read(csr)?;
        let spki = key.sha256();
        let lineage = hex(&random::<16>()?);
        let _granting = self.0.granting.lock().await;
        let mut writing = self.0.store.write().await?;
        match writing.spend(&secret, &spki, &lineage, from, now_ms).await? {
            Spent::Now(name) => {
                let registration = self.allowed(&name).await?;
                // Without a commit the token stays good.
                self.usable(&spki, &lineage).await?;
                registering::room_for_one(&mut writing, &registration).await?;
                writing.open_lineage(&lineage, &name, now_ms).await?;
                let intended =
                    self.intend(&mut writing, &registration, &lineage, None, &key, now_ms).await?;
                writing.commit().await?;
                let older = Replaces::OlderLineages;
                let granted = self.complete(&registration, intended, &key, older, now_ms).await?;
                // The token is spent; its file would only mislead.
                let _ = self.forget_token(&name);
                self.issued(&registration, granted, now_ms).await
            }
            Spent::Before { name, lineage } => {
                let registration = self.allowed(&name).await?;
                match self.0.store.with_key(&lineage, &spki).await? {
                    Some(known) if known.revoked.is_none() => {
                        drop(writing);
                        self.answer(&registration, &known, now_ms).await
                    }
                    Some(_) => {
                        Err(AuthorityError::Token(format!("what `{name}` got for it was revoked")))
                    }
                    // A crash came between intent and signature: it is done now.
                    None => {
                        if !self.0.store.lineage_is_open(&lineage).await? {
                            let why = format!("`{name}` was enrolled by another token since");
                            return Err(AuthorityError::Token(why));
                        }
                        self.usable(&spki, &lineage).await?;
                        let intended = self
                            .intend(&mut writing, &registration, &lineage, None, &key, now_ms)
                            .await?;
                        writing.commit().await?;
                        let older = Replaces::OlderLineages;
                        let granted =
                            self.complete(&registration, intended, &key, older, now_ms).await?;
                        self.issued(&registration, granted, now_ms).await
                    }
                }
            }
            Spent::ByAnotherKey { name, from: first, lineage } => {
                Err(AuthorityError::TokenReused { name, first, second: from.to_owned(), lineage })
            }
            Spent::Expired { name, at_ms } => {
                let at = instant(at_ms);
                Err(AuthorityError::Token(format!("the token of `{name}` ended at {at}")))
            }
            Spent::Revoked { name } => {
                Err(AuthorityError::Token(format!("the token of `{name}` was revoked")))
            }
            Spent::Unknown => Err(AuthorityError::Token("it is unknown".to_owned())),
        }
    }

    /// Renews the certificate that an agent presented, for a new key. The checks are those of
    /// `pki.md` section 10; renewal is bound to the lineage.
    ///
    /// # Errors
    /// With the check that failed; the peer hears one word.
    pub async fn renew(
        &self,
        presented: &[u8],
        csr: &[u8],
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let result = self.renew_once(presented, csr, now_ms).await;
        self.noting_full(result)
    }

    async fn renew_once(
        &self,
        presented: &[u8],
        csr: &[u8],
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let refused = |what: &str| AuthorityError::Renewal(what.to_owned());
        let _granting = self.0.granting.lock().await;
        let read =
            Certificate::read(presented).map_err(|_| refused("the certificate cannot be read"))?;
        let issuer = hex(read.authority_key.as_deref().unwrap_or_default());
        let serial = hex(&read.serial);
        // Check 1: byte for byte one that was recorded.
        let mut recalled = self.0.store.recall(&issuer, &serial).await?;
        if recalled.is_none()
            && self.adopt_if_awaited(presented, (&issuer, &serial), now_ms).await?
        {
            recalled = self.0.store.recall(&issuer, &serial).await?;
        }
        let Some(own) =
            recalled.filter(|r| r.state == "issued" && r.der.as_deref() == Some(presented))
        else {
            return Err(AuthorityError::Unrecorded { serial });
        };
        // Check 2.
        if let Some(reason) = &own.revoked {
            let name = &own.name;
            let why = format!("the certificate {serial} of `{name}` was revoked ({reason})");
            return Err(AuthorityError::Renewal(why));
        }
        if self.0.store.key_is_denied(&own.spki).await? {
            let name = &own.name;
            let why = format!("the key of the certificate {serial} of `{name}` is denied");
            return Err(AuthorityError::Renewal(why));
        }
        let registration = self.allowed(&own.name).await?;
        if !self.0.store.lineage_is_open(&own.lineage).await? {
            return Err(refused(
                "its lineage has ended: it was revoked, or a newer enrollment took its place",
            ));
        }
        let grace = i64::try_from(self.0.renewal_grace.as_millis()).unwrap_or(0);
        if now_ms > own.not_after_ms.saturating_add(grace) {
            let end = instant(own.not_after_ms);
            let why = format!(
                "it ended at {end}, longer ago than the grace of {} h allows",
                grace / 3_600_000
            );
            return Err(AuthorityError::Renewal(why));
        }
        let key = RequestedKey::read(csr)?;
        let spki = key.sha256();
        // Check 3: the same key again gets the same certificate.
        if spki.as_slice() != own.spki
            && let Some(known) = self.0.store.with_key(&own.lineage, &spki).await?
            && known.revoked.is_none()
            && known.not_after_ms > now_ms
        {
            return self.answer(&registration, &known, now_ms).await;
        }
        // Check 4: the head of the lineage, or the one that the head was issued from.
        let head = self
            .0
            .store
            .head(&own.lineage)
            .await?
            .ok_or_else(|| refused("its lineage has no head"))?;
        let lost = head.serial != own.serial;
        if lost
            && (head.predecessor.as_deref() != Some(own.serial.as_str()) || head.used_ms.is_some())
        {
            let (name, lineage) = (own.name, own.lineage);
            return Err(AuthorityError::Forked { name, serial, lineage });
        }
        // Check 5.
        if spki.as_slice() == own.spki {
            return Err(other_key("its key is not a new one"));
        }
        self.usable(&spki, &own.lineage).await?;
        let mut writing = self.0.store.write().await?;
        let intended = self
            .intend(&mut writing, &registration, &own.lineage, Some(&own.serial), &key, now_ms)
            .await?;
        writing.commit().await?;
        // The answer that carried the head was lost: the head ends with its successor's issue.
        let before = if lost { Replaces::Lost(&head.serial) } else { Replaces::Nothing };
        let granted = self.complete(&registration, intended, &key, before, now_ms).await?;
        self.issued(&registration, granted, now_ms).await
    }

    /// Whether a key may be certified in a lineage: not denied, and nobody else's.
    async fn usable(&self, spki: &[u8], lineage: &str) -> Result<(), AuthorityError> {
        if self.0.store.key_is_denied(spki).await? {
            return Err(other_key("its key is denied: it was revoked as compromised"));
        }
        if self.0.store.key_is_elsewhere(spki, lineage).await? {
            return Err(other_key("its key belongs to another certificate"));
        }
        Ok(())
    }

    /// Issues to an identity of this very process, such as a service's own.
    ///
    /// # Errors
    /// If nobody of that name is registered, or the request is not acceptable.
    pub async fn issue_local(
        &self,
        name: &str,
        csr: &[u8],
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let result = self.issue_local_once(name, csr, now_ms).await;
        self.noting_full(result)
    }

    async fn issue_local_once(
        &self,
        name: &str,
        csr: &[u8],
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let registration = self.allowed(name).await?;
        let key = RequestedKey::read(csr)?;
        let lineage = hex(&random::<16>()?);
        let _granting = self.0.granting.lock().await;
        self.usable(&key.sha256(), &lineage).await?;
        let mut writing = self.0.store.write().await?;
        registering::room_for_one(&mut writing, &registration).await?;
        writing.open_lineage(&lineage, name, now_ms).await?;
        let intended =
            self.intend(&mut writing, &registration, &lineage, None, &key, now_ms).await?;
        writing.commit().await?;
        let older = Replaces::OlderLineages;
        let granted = self.complete(&registration, intended, &key, older, now_ms).await?;
        self.issued(&registration, granted, now_ms).await
    }

    /// Makes sure that something can sign bundles. Its lineage is closed at once, so nobody renews
    /// it; before half of its life another takes its place.
    pub(super) async fn speaking<'s>(
        &self,
        speaker: &'s mut Option<Speaker>,
        now_ms: i64,
    ) -> Result<&'s Speaker, AuthorityError> {
        // One of the future was made by a clock that was set back since.
        let in_time = |it: &Speaker| (it.made_ms..it.renew_ms).contains(&now_ms);
        if !speaker.as_ref().is_some_and(in_time) {
            *speaker = Some(self.new_speaker(now_ms).await?);
        }
        speaker.as_ref().ok_or_else(|| AuthorityError::Broken("nothing signs bundles".to_owned()))
    }

    async fn new_speaker(&self, now_ms: i64) -> Result<Speaker, AuthorityError> {
        self.register_if_new(&Registration::new(AUTHORITY_NAME, Profile::Authority), now_ms)
            .await?;
        let registration = self.allowed(AUTHORITY_NAME).await?;
        let key = PrivateKey::generate()?;
        let requested = RequestedKey::read(&certificate_request(&key)?)?;
        let lineage = hex(&random::<16>()?);
        let mut writing = self.0.store.write().await?;
        writing.open_lineage(&lineage, AUTHORITY_NAME, now_ms).await?;
        writing.close_lineage(&lineage, now_ms).await?;
        let intended =
            self.intend(&mut writing, &registration, &lineage, None, &requested, now_ms).await?;
        writing.commit().await?;
        let none = Replaces::Nothing;
        let granted = self.complete(&registration, intended, &requested, none, now_ms).await?;
        let (renew_ms, _) = renewal::window(granted.made_ms, granted.not_after_ms);
        Ok(Speaker { chain: granted.chain, key, made_ms: granted.made_ms, renew_ms })
    }

    pub(super) async fn allowed(&self, name: &str) -> Result<RegistrationRow, AuthorityError> {
        match self.0.store.registration(name).await? {
            Some(row) if row.enabled => Ok(row),
            Some(_) => {
                Err(AuthorityError::Renewal(format!("the registration `{name}` is disabled")))
            }
            None => Err(AuthorityError::NotRegistered(name.to_owned())),
        }
    }
}

fn other_key(what: &str) -> AuthorityError {
    AuthorityError::X509(crate::x509::X509Error::Request(what.to_owned()))
}
