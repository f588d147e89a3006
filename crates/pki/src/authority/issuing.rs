//! A certificate from intent to answer: on the record before it is signed, out only once the record
//! says that it was issued. Who may have one is decided before (`granting.rs`).

use super::founding::serial_bytes;
use super::keys::IssuingKey;
use super::{Authority, AuthorityError, Issued, Registration, registering, revoking};
use crate::directory::ServiceHint;
use crate::key::{hex, sha256};
use crate::ledger::Entry;
use crate::renewal;
use crate::revocation::RevocationReason;
use crate::store::{Intent, Recalled, RegistrationRow, Which, Writing};
use crate::x509::{Leaf, Release, RequestedKey, SerialDraw};
use std::sync::Arc;

/// A leaf shorter than this is not issued, in milliseconds.
const SHORTEST: i64 = 5 * 60_000;
/// Certificates begin so long before they are made, in milliseconds.
const BACKDATED: i64 = 5 * 60_000;

/// A leaf that was recorded and may be signed.
pub(super) struct Intended {
    leaf: Leaf,
    issuer: Arc<IssuingKey>,
    serial: String,
    lineage: String,
    tbs: [u8; 32],
    made_ms: i64,
}

/// What a certificate takes the place of: it ends in the transaction that issues its successor, so
/// that no crash leaves both in force.
pub(super) enum Replaces<'a> {
    Nothing,
    /// Other machines that hold the name, as the registration says.
    OlderLineages,
    /// The certificate with this serial number, whose answer was lost.
    Lost(&'a str),
}

/// A certificate that is on the record as issued.
pub(super) struct Granted {
    pub(super) chain: Vec<Vec<u8>>,
    lineage: String,
    pub(super) made_ms: i64,
    pub(super) not_after_ms: i64,
}

impl Authority {
    /// Transaction 1: what will be signed is on the record before it is signed.
    pub(super) async fn intend(
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
    pub(super) async fn complete(
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
        let signed = self.timing(|| issuer.authority.release(&leaf, key, &release));
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
    pub(super) async fn answer(
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

    /// What its holder is told with a certificate.
    pub(super) async fn issued(
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

/// A moment as a sentence says it.
pub(super) fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
