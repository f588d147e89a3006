//! Enrollment and renewal: who gets a certificate, and in which order it is recorded.

use super::founding::serial;
use super::{Authority, AuthorityError, Issued};
use crate::certificate::Certificate;
use crate::directory::ServiceHint;
use crate::enrollment::Token;
use crate::key::{hex, random, sha256};
use crate::ledger::Entry;
use crate::profile::Profile;
use crate::renewal;
use crate::store::{Intent, Recalled, RegistrationRow, Spent, Writing};
use crate::x509::{Leaf, RequestedKey};

/// A leaf shorter than this is not issued, in milliseconds.
const SHORTEST: i64 = 5 * 60_000;
/// Certificates begin so long before they are made, in milliseconds.
const BACKDATED: i64 = 5 * 60_000;

/// A leaf that was recorded and may be signed.
struct Intended {
    leaf: Leaf,
    serial: String,
    tbs: [u8; 32],
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
        let unknown = || AuthorityError::Token("it is unknown or expired".to_owned());
        let secret = Token::sent_secret_sha256(secret).ok_or_else(unknown)?;
        let key = RequestedKey::read(csr)?;
        let spki = key.sha256();
        let lineage = hex(&random::<16>()?);
        let _granting = self.0.granting.lock().await;
        let mut writing = self.0.store.write().await?;
        match writing.spend(&secret, &spki, &lineage, from, now_ms).await? {
            Spent::Now(name) => {
                let registration = self.allowed(&name).await?;
                // Without a commit the token stays good.
                if self.0.store.key_is_elsewhere(&spki, &lineage).await? {
                    return Err(other_key("its key belongs to another certificate"));
                }
                writing.open_lineage(&lineage, &name, now_ms).await?;
                let intended =
                    self.intend(&mut writing, &registration, &lineage, None, &key, now_ms).await?;
                writing.commit().await?;
                let issued = self.complete(&registration, intended, &key, "issued", now_ms).await?;
                // The token is spent; its file would only mislead.
                let _ = self.forget_token(&name);
                Ok(issued)
            }
            Spent::Before { name, lineage } => {
                let registration = self.allowed(&name).await?;
                match self.0.store.with_key(&lineage, &spki).await? {
                    Some(recalled) => self.answer(&registration, &recalled, now_ms).await,
                    // A crash came between intent and signature: it is done now.
                    None => {
                        let intended = self
                            .intend(&mut writing, &registration, &lineage, None, &key, now_ms)
                            .await?;
                        writing.commit().await?;
                        self.complete(&registration, intended, &key, "issued", now_ms).await
                    }
                }
            }
            Spent::ByAnotherKey { name, from: first } => {
                Err(AuthorityError::TokenReused { name, first, second: from.to_owned() })
            }
            Spent::Refused => Err(unknown()),
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
        let refused = |what: &str| AuthorityError::Renewal(what.to_owned());
        let _granting = self.0.granting.lock().await;
        let read =
            Certificate::read(presented).map_err(|_| refused("the certificate cannot be read"))?;
        let issuer = self.0.issuing.key_id();
        let recalled = self.0.store.recall(&issuer, &hex(&read.serial)).await?;
        // Check 1: byte for byte one that was recorded.
        let Some(own) =
            recalled.filter(|r| r.state == "issued" && r.der.as_deref() == Some(presented))
        else {
            return Err(refused("the certificate was never recorded here (unrecorded)"));
        };
        let registration = self.allowed(&own.name).await?;
        if !self.0.store.lineage_is_open(&own.lineage).await? {
            return Err(refused("its lineage was replaced by a newer enrollment (superseded)"));
        }
        let grace = i64::try_from(self.0.renewal_grace.as_millis()).unwrap_or(0);
        if now_ms > own.not_after_ms.saturating_add(grace) {
            return Err(refused("it ended longer ago than the grace allows"));
        }
        let key = RequestedKey::read(csr)?;
        let spki = key.sha256();
        // Check 3: the same key again gets the same certificate.
        if spki.as_slice() != own.spki
            && let Some(known) = self.0.store.with_key(&own.lineage, &spki).await?
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
            && self.0.store.predecessor(&issuer, &head.serial).await?.as_deref()
                != Some(own.serial.as_str())
        {
            return Err(refused("a newer certificate of its lineage is in use (superseded)"));
        }
        if spki.as_slice() == own.spki || self.0.store.key_is_elsewhere(&spki, &own.lineage).await?
        {
            return Err(other_key("its key is not a new one"));
        }
        let mut writing = self.0.store.write().await?;
        if lost {
            writing.void(&issuer, &head.serial).await?;
            let entry = Entry {
                issuer: &issuer,
                serial: &head.serial,
                detail: "superseded",
                ..Entry::new("void", now_ms, &own.name)
            };
            writing.record(&entry).await?;
        }
        let intended = self
            .intend(&mut writing, &registration, &own.lineage, Some(&own.serial), &key, now_ms)
            .await?;
        writing.commit().await?;
        self.complete(&registration, intended, &key, "issued", now_ms).await
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
        let registration = self.allowed(name).await?;
        let key = RequestedKey::read(csr)?;
        let lineage = hex(&random::<16>()?);
        let _granting = self.0.granting.lock().await;
        let mut writing = self.0.store.write().await?;
        writing.open_lineage(&lineage, name, now_ms).await?;
        let intended =
            self.intend(&mut writing, &registration, &lineage, None, &key, now_ms).await?;
        writing.commit().await?;
        self.complete(&registration, intended, &key, "issued", now_ms).await
    }

    async fn allowed(&self, name: &str) -> Result<RegistrationRow, AuthorityError> {
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
        writing: &mut Writing<'_>,
        registration: &RegistrationRow,
        lineage: &str,
        predecessor: Option<&str>,
        key: &RequestedKey,
        now_ms: i64,
    ) -> Result<Intended, AuthorityError> {
        let leaf = self.leaf(registration, now_ms)?;
        let tbs = self.0.issuing.intent(&leaf, key)?;
        let (issuer, serial, spki) = (self.0.issuing.key_id(), hex(&leaf.serial), key.sha256());
        let not_after_ms = leaf.not_after * 1000;
        writing
            .intend(&Intent {
                issuer: &issuer,
                serial: &serial,
                name: &registration.name,
                lineage,
                predecessor,
                spki: &spki,
                tbs: &tbs,
                made_ms: now_ms,
                not_after_ms,
            })
            .await?;
        let detail = hex(&tbs);
        let entry = Entry {
            issuer: &issuer,
            serial: &serial,
            detail: &detail,
            ..Entry::new("intent", now_ms, &registration.name)
        };
        writing.record(&entry).await?;
        Ok(Intended { leaf, serial, tbs, made_ms: now_ms })
    }

    fn leaf(&self, registration: &RegistrationRow, now_ms: i64) -> Result<Leaf, AuthorityError> {
        let profile = Profile::named(&registration.profile).ok_or_else(|| {
            AuthorityError::Broken(format!("there is no profile `{}`", registration.profile))
        })?;
        let issuer = Certificate::read(&self.0.issuing.der).map_err(AuthorityError::Broken)?;
        let life = i64::try_from(self.0.leaf_lifetime.as_millis()).unwrap_or(i64::MAX / 4);
        // Never past the issuer.
        let end_ms = (now_ms + life).min((issuer.not_after - 1) * 1000);
        if end_ms - now_ms < SHORTEST {
            return Err(AuthorityError::IssuerExpiring);
        }
        Ok(Leaf {
            identity: self.0.trust_domain.identity(&registration.name)?,
            profile,
            serial: serial()?,
            not_before: ((now_ms - BACKDATED) / 1000).max(issuer.not_before),
            not_after: end_ms / 1000,
        })
    }

    /// Signs, checks, and transaction 2: only what is on the record as issued leaves.
    async fn complete(
        &self,
        registration: &RegistrationRow,
        intended: Intended,
        key: &RequestedKey,
        kind: &str,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let Intended { leaf, serial, tbs, made_ms } = intended;
        let issuer = self.0.issuing.key_id();
        let signed = self.0.issuing.sign(&leaf, key, tbs, &self.0.root);
        let mut writing = self.0.store.write().await?;
        match signed {
            Ok(der) => {
                writing.issue(&issuer, &serial, &der).await?;
                let detail = hex(&sha256(&der));
                let entry = Entry {
                    issuer: &issuer,
                    serial: &serial,
                    detail: &detail,
                    ..Entry::new(kind, now_ms, &registration.name)
                };
                writing.record(&entry).await?;
                writing.commit().await?;
                self.issued(registration, der, made_ms, leaf.not_after * 1000, now_ms).await
            }
            Err(error) => {
                writing.void(&issuer, &serial).await?;
                let entry = Entry {
                    issuer: &issuer,
                    serial: &serial,
                    detail: "self_check_failed",
                    ..Entry::new("void", now_ms, &registration.name)
                };
                writing.record(&entry).await?;
                writing.commit().await?;
                Err(error.into())
            }
        }
    }

    /// The answer that was given before, for the same key.
    async fn answer(
        &self,
        registration: &RegistrationRow,
        recalled: &Recalled,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let der = recalled.der.clone();
        let der = der.ok_or_else(|| {
            AuthorityError::Broken("an issued certificate is not there".to_owned())
        })?;
        self.issued(registration, der, recalled.made_ms, recalled.not_after_ms, now_ms).await
    }

    async fn issued(
        &self,
        registration: &RegistrationRow,
        der: Vec<u8>,
        made_ms: i64,
        not_after_ms: i64,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let (renew_after_ms, renew_before_ms) = renewal::window(made_ms, not_after_ms);
        Ok(Issued {
            identity: self.0.trust_domain.identity(&registration.name)?,
            chain: vec![der, self.0.issuing.der.clone()],
            roots: vec![self.0.root.clone()],
            trust_domain: self.0.trust_domain.to_string(),
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
