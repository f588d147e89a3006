//! `Belief`: whom one identity believes, as the Authority said it, checked before it is used.
//!
//! Each change makes a whole new value, or none: a bundle under roots that are believed already, a
//! list under an issuing certificate of the bundle, and the pushed set (`pki.md` sections 11 and 12).

use crate::tls::trust::TrustState;
use segwan_core::identity::TrustDomain;
use segwan_pki::api::{self as wire, RevokedCertificate, SignedBundle, TrustAnswer};
use segwan_pki::bundle::{Bundle, BundleError};
use segwan_pki::certificate::Certificate;
use segwan_pki::directory::{StoredTrust, TrustMeta};
use segwan_pki::key::{from_hex, hex};
use segwan_pki::revocation::{Accepted, CRL_BYTES, Crl, CrlError, REVOKED, RevokedSet};
use std::collections::HashSet;
use std::sync::Arc;

/// What is believed, and the set of it in the form that is looked up.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    pub(super) stored: StoredTrust,
    set: Arc<RevokedSet>,
}

/// Why something that the Authority said is not believed. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Crl(#[from] CrlError),
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the Authority's trust bundle cannot be put in force: {0}")]
    Roots(String),
    #[error(
        "the Authority revoked more than {REVOKED} certificates, which is the most that is kept; \
         this gateway does not follow it any more"
    )]
    Full,
}

impl Refused {
    /// The alarm that it is.
    pub(super) fn alarm(&self) -> &'static str {
        match self {
            Self::Bundle(BundleError::Rollback { .. }) => "bundle_rollback",
            Self::Crl(CrlError::Fork(_) | CrlError::Older { .. }) => "crl_fork",
            _ => "trust_refused",
        }
    }
}

/// Who is asked whether something of the Authority may be believed.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) domain: &'a TrustDomain,
    /// Roots that are believed where there is no bundle yet.
    pub(super) pinned: &'a [Vec<u8>],
    pub(super) now_ms: i64,
}

impl Judge<'_> {
    fn bundle(&self, signed: &SignedBundle, known: Option<&Belief>) -> Result<Bundle, Refused> {
        let roots = known.map_or(self.pinned, |known| known.roots());
        let in_force = known.map(Belief::version);
        let distrusted = known.map_or(&[][..], |known| &known.stored.bundle.distrusted);
        Ok(Bundle::accept(signed, roots, self.domain, (in_force, distrusted), self.now_ms)?)
    }

    /// Everything anew: what is known only says what would be older.
    ///
    /// A serial that a list has and the set has not is added to the set, and counted
    /// (`pki.md` section 11.3).
    pub(super) fn snapshot(
        &self,
        answer: &TrustAnswer,
        known: Option<&Belief>,
    ) -> Result<(Belief, usize), Refused> {
        let bundle = self.bundle(&answer.bundle, known)?;
        let installed = known.map_or(&[][..], |known| &known.stored.crls);
        let crls = self.lists(&answer.crls, &bundle, installed)?;
        let meta = TrustMeta {
            epoch: answer.epoch,
            seq: answer.seq,
            version: bundle.version,
            renew_at_ms: known.and_then(|known| known.stored.meta.renew_at_ms),
        };
        let signed = answer.bundle.clone();
        let stored = StoredTrust { signed, bundle, crls, revoked: Vec::new(), meta };
        let mut belief = Belief { stored, set: Arc::default() };
        belief.revoke(&answer.revoked)?;
        let added = belief.take_from_lists()?;
        // An Authority that was restored has lost what it revoked since its backup; this host has
        // not.
        if let Some(known) = known.filter(|known| known.stored.meta.epoch < answer.epoch) {
            belief.revoke(&known.stored.revoked)?;
            belief.revoke(&known.on_lists())?;
        }
        Ok((belief, added))
    }

    /// What came with a renewal: nothing that an event said meanwhile is unsaid by it, and which
    /// events are in force stays as it is.
    pub(super) fn renewal(
        &self,
        answer: &TrustAnswer,
        known: Option<&Belief>,
    ) -> Result<Belief, Refused> {
        let Some(known) = known.filter(|known| known.stored.meta.epoch == answer.epoch) else {
            return self.snapshot(answer, known).map(|(belief, _)| belief);
        };
        let mut next = self.rebundled(&answer.bundle, &answer.crls, known)?;
        next.revoke(&answer.revoked)?;
        next.stored.meta.renew_at_ms = None;
        Ok(next)
    }

    /// Another bundle, with lists.
    pub(super) fn rebundled(
        &self,
        signed: &SignedBundle,
        crls: &[String],
        known: &Belief,
    ) -> Result<Belief, Refused> {
        let bundle = self.bundle(signed, Some(known))?;
        let mut next = known.clone();
        next.stored.crls = self.lists(crls, &bundle, &known.stored.crls)?;
        next.stored.signed = signed.clone();
        next.stored.meta.version = bundle.version;
        next.stored.bundle = bundle;
        Ok(next)
    }

    /// Revoked certificates, with the lists that changed.
    pub(super) fn revoked(
        &self,
        certificates: &[RevokedCertificate],
        crls: &[String],
        known: &Belief,
    ) -> Result<Belief, Refused> {
        let mut next = known.clone();
        next.revoke(certificates)?;
        next.stored.crls = self.lists(crls, &known.stored.bundle, &known.stored.crls)?;
        Ok(next)
    }

    /// One list that was fetched.
    pub(super) fn list(&self, der: &[u8], known: &Belief) -> Result<Belief, Refused> {
        let mut next = known.clone();
        next.stored.crls = known.stored.crls.clone();
        self.take(der, &known.stored.bundle, &mut next.stored.crls)?;
        Ok(next)
    }

    /// The lists in force once these came: of each issuing key of the bundle at most one.
    fn lists(
        &self,
        texts: &[String],
        bundle: &Bundle,
        installed: &[Arc<Crl>],
    ) -> Result<Vec<Arc<Crl>>, Refused> {
        let keys: HashSet<_> = issuing_keys(bundle).collect();
        let mut all: Vec<_> =
            installed.iter().filter(|crl| keys.contains(&crl.issuer_key)).cloned().collect();
        for text in texts {
            let der = wire::der(text, CRL_BYTES);
            let der =
                der.ok_or(Refused::Malformed("a revocation list of the Authority is no base64"))?;
            if all.iter().any(|crl| crl.der == der) {
                continue;
            }
            // Of a key that only a later bundle names: the list comes again with that bundle.
            if !keys.contains(&Crl::read(&der)?.issuer_key) {
                continue;
            }
            self.take(&der, bundle, &mut all)?;
        }
        Ok(all)
    }

    fn take(&self, der: &[u8], bundle: &Bundle, all: &mut Vec<Arc<Crl>>) -> Result<(), Refused> {
        // Most lists that come are in force already; these are not read again.
        if all.iter().any(|crl| crl.der == der) {
            return Ok(());
        }
        let issuer = Crl::read(der)?.issuer_key;
        let place = all.iter().position(|crl| crl.issuer_key == issuer);
        let installed = place.and_then(|at| all.get(at)).map(|crl| &**crl);
        let Accepted::Newer(crl) = Crl::accept(der, &bundle.issuing, installed, self.now_ms)?
        else {
            return Ok(());
        };
        all.retain(|crl| crl.issuer_key != issuer);
        all.push(crl);
        Ok(())
    }
}

impl Belief {
    /// What was read back from the disk.
    pub(super) fn of(stored: StoredTrust) -> Result<Self, Refused> {
        let revoked = stored.revoked.clone();
        let mut belief =
            Self { stored: StoredTrust { revoked: Vec::new(), ..stored }, set: Arc::default() };
        belief.revoke(&revoked)?;
        Ok(belief)
    }

    /// As the handshakes take it.
    pub(super) fn state(&self) -> TrustState {
        let key = |text: &String| from_hex(text)?.try_into().ok();
        TrustState {
            roots: self.stored.bundle.roots.clone(),
            crls: self.stored.crls.clone(),
            revoked: self.set.clone(),
            distrusted: Arc::new(self.stored.bundle.distrusted.iter().filter_map(key).collect()),
            needs_crl: true,
        }
    }

    /// Whether a key is distrusted, by its SHA-256.
    pub(super) fn distrusts(&self, key: &[u8; 32]) -> bool {
        self.stored.bundle.distrusted.contains(&hex(key))
    }

    pub(super) fn roots(&self) -> &[Vec<u8>] {
        &self.stored.bundle.roots
    }

    /// Epoch and version of the bundle.
    pub(super) fn version(&self) -> (i64, i64) {
        (self.stored.bundle.epoch, self.stored.bundle.version)
    }

    /// Epoch and number of the last event that is in force.
    pub(super) fn after(&self) -> (i64, i64) {
        (self.stored.meta.epoch, self.stored.meta.seq)
    }

    /// Numbers of the lists in force.
    pub(super) fn number(&self, issuer: &str) -> u64 {
        let mut lists = self.stored.crls.iter().filter(|crl| crl.issuer_key == issuer);
        lists.next().map_or(0, |crl| crl.number)
    }

    /// Key ids of the issuing certificates, lower-case hex.
    pub(super) fn issuers(&self) -> Vec<String> {
        issuing_keys(&self.stored.bundle).collect()
    }

    /// Whether handshakes and connections are judged alike by both.
    pub(super) fn judges_like(&self, other: &Self) -> bool {
        let same_lists = self.stored.crls.len() == other.stored.crls.len()
            && self.stored.crls.iter().zip(&other.stored.crls).all(|(a, b)| Arc::ptr_eq(a, b));
        same_lists
            && self.version() == other.version()
            && self.stored.revoked.len() == other.stored.revoked.len()
    }

    fn revoke(&mut self, certificates: &[RevokedCertificate]) -> Result<(), Refused> {
        let set = Arc::make_mut(&mut self.set);
        for one in certificates {
            let mut fresh = false;
            if !one.serial.is_empty() {
                fresh |= set.insert(&one.issuer, &one.serial).map_err(|_| Refused::Full)?;
            }
            if let Some(key) = &one.key {
                let key = from_hex(key).and_then(|key| key.try_into().ok());
                let key = key.ok_or(Refused::Malformed("a revoked key is no SHA-256"))?;
                fresh |= set.insert_key(key).map_err(|_| Refused::Full)?;
            }
            if fresh {
                self.stored.revoked.push(one.clone());
            }
        }
        Ok(())
    }

    /// Adds what the lists name and the set does not; gives how many.
    fn take_from_lists(&mut self) -> Result<usize, Refused> {
        let mut missing = self.on_lists();
        missing.retain(|one| !self.set.is_revoked(&one.issuer, &one.serial, &[0; 32]));
        self.revoke(&missing)?;
        Ok(missing.len())
    }

    /// What the lists in force name.
    fn on_lists(&self) -> Vec<RevokedCertificate> {
        let named = self.stored.crls.iter().flat_map(|crl| {
            crl.serials().map(|serial| RevokedCertificate {
                issuer: crl.issuer_key.clone(),
                serial: hex(serial),
                key: None,
            })
        });
        named.collect()
    }
}

fn issuing_keys(bundle: &Bundle) -> impl Iterator<Item = String> {
    let read = bundle.issuing.iter().filter_map(|der| Certificate::read(der).ok());
    read.filter_map(|issuing| issuing.subject_key.map(|key| hex(&key)))
}
