//! Enrollment and renewal: who gets a certificate, and in which order it is recorded.

use super::founding::serial_bytes;
use super::keys::IssuingKey;
use super::{Authority, AuthorityError, Issued, Registration, registering, revoking};
use crate::bundle::AUTHORITY_NAME;
use crate::certificate::Certificate;
use crate::directory::ServiceHint;
use crate::enrollment::Token;
use crate::key::{PrivateKey, hex, random, sha256};
use crate::ledger::Entry;
use crate::profile::Profile;
use crate::renewal;
use crate::revocation::RevocationReason;
use crate::store::{Intent, Recalled, RegistrationRow, Spent, Which, Writing};
use crate::x509::{Leaf, Release, RequestedKey, SerialDraw, certificate_request};
use std::sync::Arc;

/// A leaf shorter than this is not issued, in milliseconds.
const SHORTEST: i64 = 5 * 60_000;
/// Certificates begin so long before they are made, in milliseconds.
const BACKDATED: i64 = 5 * 60_000;

/// A leaf that was recorded and may be signed.
struct Intended {
    leaf: Leaf,
    issuer: Arc<IssuingKey>,
    serial: String,
    lineage: String,
    tbs: [u8; 32],
    made_ms: i64,
}

/// What a certificate takes the place of: it ends in the transaction that issues its successor, so
/// that no crash leaves both in force.
enum Replaces<'a> {
    Nothing,
    /// Other machines that hold the name, as the registration says.
    OlderLineages,
    /// The certificate with this serial number, whose answer was lost.
    Lost(&'a str),
}

/// A certificate that is on the record as issued.
struct Granted {
    chain: Vec<Vec<u8>>,
    lineage: String,
    made_ms: i64,
    not_after_ms: i64,
}

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

    /// Transaction 1: what will be signed is on the record before it is signed.
    async fn intend(
        &self,
        writing: &mut Writing,
        registration: &RegistrationRow,
        lineage: &str,
        predecessor: Option<&str>,
        key: &RequestedKey,
        now_ms: i64,
    ) -> Result<Intended, AuthorityError> {
        let keys = self.keys();
        let issuer = keys.active()?.clone();
        let mut leaf = self.leaf(registration, &issuer, now_ms)?;
        leaf.serial = self.fresh_serial(writing, &issuer.id).await?;
        let tbs = issuer.authority.intent(&leaf, key)?;
        let (serial, spki) = (hex(&leaf.serial), key.sha256());
        writing
            .intend(&Intent {
                issuer: &issuer.id,
                serial: &serial,
                name: &registration.name,
                lineage,
                predecessor,
                spki: &spki,
                tbs: &tbs,
                made_ms: now_ms,
                not_after_ms: leaf.not_after * 1000,
            })
            .await?;
        let detail = hex(&tbs);
        let entry = Entry {
            issuer: &issuer.id,
            serial: &serial,
            detail: &detail,
            ..Entry::new("intent", now_ms, &registration.name)
        };
        writing.record(&entry).await?;
        let lineage = lineage.to_owned();
        Ok(Intended { leaf, issuer, serial, lineage, tbs, made_ms: now_ms })
    }

    /// A serial number that this issuer never used. A collision draws again; three in a row mean
    /// that the random numbers are none (PKI-27).
    async fn fresh_serial(
        &self,
        writing: &mut Writing,
        issuer: &str,
    ) -> Result<[u8; 16], AuthorityError> {
        let mut draw = SerialDraw::from_source(serial_bytes);
        loop {
            let drawn = draw.draw()?;
            if !writing.serial_is_used(issuer, &hex(&drawn)).await? {
                return Ok(drawn);
            }
        }
    }

    fn leaf(
        &self,
        registration: &RegistrationRow,
        issuer: &IssuingKey,
        now_ms: i64,
    ) -> Result<Leaf, AuthorityError> {
        let Some(meant) = Registration::of(registration) else {
            let profile = &registration.profile;
            return Err(AuthorityError::Broken(format!("there is no profile `{profile}`")));
        };
        let life = meant.leaf_lifetime.unwrap_or(self.0.leaf_lifetime);
        let life = i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 4);
        // Never past the issuer.
        let end_ms = (now_ms + life).min((issuer.not_after - 1) * 1000);
        if end_ms - now_ms < SHORTEST {
            return Err(AuthorityError::IssuerExpiring(instant(issuer.not_after * 1000)));
        }
        let identity = self.0.trust_domain.identity(&registration.name)?;
        let not_before = ((now_ms - BACKDATED) / 1000).max(issuer.not_before);
        let leaf = Leaf::new(identity, meant.profile, [0; 16], not_before, end_ms / 1000);
        let display_name = meant.display_name.then(|| registration.name.clone());
        Ok(Leaf { dns: meant.dns, ips: meant.ips, display_name, ..leaf })
    }

    /// Signs, checks, and transaction 2: only what is on the record as issued leaves, and what it
    /// takes the place of is revoked with it.
    async fn complete(
        &self,
        registration: &RegistrationRow,
        intended: Intended,
        key: &RequestedKey,
        replaces: Replaces<'_>,
        now_ms: i64,
    ) -> Result<Granted, AuthorityError> {
        let Intended { leaf, issuer, serial, lineage, tbs, made_ms } = intended;
        let denied: Vec<_> = self.0.store.denied_keys().await?;
        let denied: Vec<_> = denied.into_iter().filter_map(|spki| spki.try_into().ok()).collect();
        let now = now_ms / 1000;
        let release = Release { intent: tbs, root: &issuer.root, now, denied: &denied };
        let signed = issuer.authority.release(&leaf, key, &release);
        let mut writing = self.0.store.write().await?;
        match signed {
            Ok(der) => {
                writing.issue(&issuer.id, &serial, &der).await?;
                let detail = hex(&sha256(&der));
                let entry = Entry {
                    issuer: &issuer.id,
                    serial: &serial,
                    detail: &detail,
                    ..Entry::new("issued", now_ms, &registration.name)
                };
                writing.record(&entry).await?;
                let victims = match replaces {
                    Replaces::Nothing => Vec::new(),
                    Replaces::OlderLineages => {
                        registering::older_lineages(&mut writing, registration, &lineage, now_ms)
                            .await?
                    }
                    Replaces::Lost(serial) => {
                        writing.victims(Which::Serial(serial), now_ms).await?
                    }
                };
                let reason = RevocationReason::Superseded;
                revoking::revoke(self, writing, &victims, reason, now_ms).await?;
                let chain = self.chain(der, &issuer);
                Ok(Granted { chain, lineage, made_ms, not_after_ms: leaf.not_after * 1000 })
            }
            Err(error) => {
                // Nobody gets it; should it exist all the same, it is on the list (PKI-64).
                writing.void(&issuer.id, &serial).await?;
                let entry = Entry {
                    issuer: &issuer.id,
                    serial: &serial,
                    detail: "self_check_failed",
                    ..Entry::new("void", now_ms, &registration.name)
                };
                writing.record(&entry).await?;
                let victims = writing.victims(Which::Serial(&serial), now_ms).await?;
                let reason = RevocationReason::Unspecified;
                revoking::revoke(self, writing, &victims, reason, now_ms).await?;
                Err(error.into())
            }
        }
    }

    /// A leaf with what leads from it to a root that its verifier believes.
    fn chain(&self, leaf: Vec<u8>, issuer: &IssuingKey) -> Vec<Vec<u8>> {
        let mut chain = vec![leaf, issuer.authority.der.clone()];
        chain.extend(self.keys().cross_of(&issuer.root));
        chain
    }

    /// The answer that was given before, for the same key.
    async fn answer(
        &self,
        registration: &RegistrationRow,
        recalled: &Recalled,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let broken = |what: &str| AuthorityError::Broken(what.to_owned());
        let der = recalled.der.clone();
        let der = der.ok_or_else(|| broken("an issued certificate is not there"))?;
        let keys = self.keys();
        let issuer = keys.get(&recalled.issuer);
        let issuer = issuer.ok_or_else(|| broken("the issuer of a certificate is not there"))?;
        let granted = Granted {
            chain: self.chain(der, issuer),
            lineage: recalled.lineage.clone(),
            made_ms: recalled.made_ms,
            not_after_ms: recalled.not_after_ms,
        };
        self.issued(registration, granted, now_ms).await
    }

    async fn issued(
        &self,
        registration: &RegistrationRow,
        granted: Granted,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let Granted { chain, lineage, made_ms, not_after_ms } = granted;
        let (renew_after_ms, renew_before_ms) = renewal::window(made_ms, not_after_ms);
        Ok(Issued {
            identity: self.0.trust_domain.identity(&registration.name)?,
            trust: self.trust(now_ms).await?,
            chain,
            lineage,
            not_after_ms,
            renew_after_ms,
            renew_before_ms,
            services: self.hints(registration).await?,
            now_ms,
        })
    }

    /// Where the services of a client are, and whom to expect there.
    async fn hints(
        &self,
        registration: &RegistrationRow,
    ) -> Result<Vec<ServiceHint>, AuthorityError> {
        let mut hints = Vec::new();
        for name in registration.services.lines() {
            if let Some(service) = self.0.store.registration(name).await? {
                hints.push(ServiceHint {
                    name: name.to_owned(),
                    identity: self.0.trust_domain.identity(name)?.to_string(),
                    addresses: service.addresses.lines().map(str::to_owned).collect(),
                });
            }
        }
        Ok(hints)
    }
}

fn other_key(what: &str) -> AuthorityError {
    AuthorityError::X509(crate::x509::X509Error::Request(what.to_owned()))
}

fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
