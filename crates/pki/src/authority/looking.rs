//! What is asked of the Authority and changes nothing: inventory, ledger, windows of renewal.

use super::{Authority, AuthorityError};
use crate::ledger::Walk;
use crate::renewal;
use crate::store::{
    AgentRow, CertificateRow, Filter, IssuingRow, RegistrationRow, Store, TokenRow, UnrecordedRow,
};
use std::collections::HashSet;

impl Authority {
    /// Every registration, by name.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn registrations(&self) -> Result<Vec<RegistrationRow>, AuthorityError> {
        Ok(self.0.store.registrations().await?)
    }

    /// One registration.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn registration(
        &self,
        name: &str,
    ) -> Result<Option<RegistrationRow>, AuthorityError> {
        Ok(self.0.store.registration(name).await?)
    }

    /// How many registrations there are.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn count_registrations(&self) -> Result<i64, AuthorityError> {
        Ok(self.0.store.count_registrations().await?)
    }

    /// Certificates that have not ended, those that end first first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn list(
        &self,
        filter: &Filter,
        now_ms: i64,
    ) -> Result<Vec<CertificateRow>, AuthorityError> {
        Ok(self.0.store.certificates(filter, now_ms).await?)
    }

    /// Certificates that gateways saw under our keys and that the store does not know.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn unrecorded(&self) -> Result<Vec<UnrecordedRow>, AuthorityError> {
        Ok(self.0.store.unrecorded().await?)
    }

    /// Whether a name ever got a certificate.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn has_enrolled(&self, name: &str) -> Result<bool, AuthorityError> {
        Ok(self.0.store.has_certificate(name).await?)
    }

    /// How many tokens can still be used.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn open_tokens(&self, now_ms: i64) -> Result<i64, AuthorityError> {
        Ok(self.0.store.open_tokens(now_ms).await?)
    }

    /// The tokens that can still be used, without their secrets.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn tokens(&self, now_ms: i64) -> Result<Vec<TokenRow>, AuthorityError> {
        Ok(self.0.store.tokens(now_ms).await?)
    }

    /// Agents that were heard of since.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn agents(&self, since_ms: i64) -> Result<Vec<AgentRow>, AuthorityError> {
        Ok(self.0.store.agents(since_ms).await?)
    }

    /// Every issuing key, the newest first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn issuing_keys(&self) -> Result<Vec<IssuingRow>, AuthorityError> {
        Ok(self.0.store.issuing_keys().await?)
    }

    /// How many lineages hold a certificate in force, and how long the Authority may stay down
    /// before the first of them has none: the smallest remaining life, in milliseconds.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn outage_budget(&self, now_ms: i64) -> Result<(i64, Option<i64>), AuthorityError> {
        let (live, first_end) = self.0.store.in_force(now_ms).await?;
        Ok((live, first_end.map(|end| (end - now_ms).max(0))))
    }

    /// When the certificate `AKI.SERIAL` should be renewed (RFC 9773), from and to in Unix
    /// milliseconds; `None` if it is not known. What was revoked should be renewed at once.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn renewal_window(
        &self,
        issuer: &str,
        serial: &str,
        now_ms: i64,
    ) -> Result<Option<(i64, i64)>, AuthorityError> {
        let recalled = self.0.store.recall(issuer, serial).await?;
        Ok(recalled.map(|known| match known.revoked {
            Some(_) => (now_ms - 60_000, now_ms),
            None => renewal::window(known.made_ms, known.not_after_ms),
        }))
    }

    /// Looks the ledger over: the chain, and a line for every issued certificate.
    ///
    /// # Errors
    /// With the number of the first broken line, or the certificate that it does not know.
    pub async fn verify_ledger(&self) -> Result<usize, AuthorityError> {
        verify_ledger(&self.0.store).await
    }

    /// Number and hash of the last line of the ledger.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn ledger_head(&self) -> Result<(i64, Vec<u8>), AuthorityError> {
        Ok(self.0.store.ledger_head().await?)
    }
}

/// Looks the ledger of a store over.
pub(super) async fn verify_ledger(store: &Store) -> Result<usize, AuthorityError> {
    let broken = |what: String| AuthorityError::Broken(what);
    // First, so that what is issued meanwhile has its line by the time it is looked for.
    let (certificates, revoked) = (store.issued().await?, store.all_revoked().await?);
    let noted = store.noted_head().await?;
    let (mut walk, mut issued) = (Walk::default(), HashSet::new());
    let mut told_revoked = HashSet::new();
    loop {
        let lines = store.ledger_after(walk.seq()).await?;
        if lines.is_empty() {
            break;
        }
        walk.over(&lines)
            .map_err(|line| broken(format!("line {line} of the ledger does not fit its chain")))?;
        if let Some((seq, hash)) = &noted
            && lines.iter().any(|line| line.seq == *seq && crate::key::hex(&line.hash) != *hash)
        {
            return Err(broken(format!(
                "line {seq} of the ledger is not the one that was written"
            )));
        }
        for said in lines.iter().filter_map(crate::ledger::Line::said) {
            match said.kind.as_str() {
                "issued" | "adopted" => issued.insert((said.issuer, said.serial)),
                "revoked" => told_revoked.insert((said.issuer, said.serial)),
                _ => false,
            };
        }
    }
    if let Some((seq, _)) = noted.filter(|(seq, _)| *seq > walk.seq()) {
        let (last, missing) = (walk.seq(), seq - walk.seq());
        return Err(broken(format!(
            "the ledger ends with line {last}; {missing} that were written after it are gone"
        )));
    }
    for certificate in revoked {
        if !told_revoked.remove(&certificate) {
            let (_, serial) = certificate;
            return Err(broken(format!("the ledger does not know the revocation of {serial}")));
        }
    }
    for certificate in certificates {
        if !issued.contains(&certificate) {
            let (_, serial) = certificate;
            return Err(broken(format!("the ledger does not know the certificate {serial}")));
        }
    }
    Ok(usize::try_from(walk.seq()).unwrap_or(usize::MAX))
}
