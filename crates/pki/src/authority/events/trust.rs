//! What decides who is believed: bundle, lists and denied keys, as an agent that begins anew gets them.

use crate::api::{self, RevokedCertificate, SignedBundle, TrustAnswer};
use crate::authority::{Authority, AuthorityError};
use crate::bundle::Bundle;
use crate::store;

impl Authority {
    /// Everything that decides who is believed.
    ///
    /// # Errors
    /// If the store cannot be read, or no certificate of the Authority can sign yet.
    pub async fn trust(&self, now_ms: i64) -> Result<TrustAnswer, AuthorityError> {
        // Read first: what happens meanwhile is told again by its event.
        let seq = *self.0.head.borrow();
        let (_, bundle) = self.bundle(now_ms).await?;
        // The lists say which certificates; a key that is denied stands in none.
        let denied = self.0.store.denied_keys().await?;
        let revoked = denied.iter().map(|spki| RevokedCertificate {
            issuer: String::new(),
            serial: String::new(),
            key: Some(crate::key::hex(spki)),
        });
        let revoked = revoked.collect();
        let crls = self.crls().await?;
        Ok(TrustAnswer { bundle, crls, revoked, epoch: self.0.epoch, seq })
    }

    /// The list of each issuing key that certificates may be under, DER in base64. One that is
    /// distrusted is in no bundle, so nobody could take its list.
    pub(super) async fn crls(&self) -> Result<Vec<String>, AuthorityError> {
        let keys = self.keys();
        let all = self.0.store.crls().await?;
        // Nobody takes the list of a key that is believed nowhere.
        let believed =
            |id: &str| keys.get(id).is_some_and(|key| key.state != store::IssuingState::Distrusted);
        let of_issuing = all.iter().filter(|list| believed(&list.issuer));
        Ok(of_issuing.map(|list| api::text(&list.der)).collect())
    }

    /// The list of one key, with its number.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn crl(&self, issuer: &str) -> Result<Option<(i64, Vec<u8>)>, AuthorityError> {
        let all = self.0.store.crls().await?;
        let found = all.into_iter().find(|list| list.issuer == issuer);
        Ok(found.map(|list| (list.number, list.der)))
    }

    /// The bundle in force and its version, signed.
    ///
    /// # Errors
    /// If there is none, or no certificate of the Authority can sign yet.
    pub async fn bundle(&self, now_ms: i64) -> Result<(i64, SignedBundle), AuthorityError> {
        let none = || AuthorityError::Broken("there is no trust bundle".to_owned());
        let (version, body) = self.0.store.bundle().await?.ok_or_else(none)?;
        let mut speaker = self.0.speaker.lock().await;
        let speaker = self.speaking(&mut speaker, now_ms).await?;
        Ok((version, Bundle::sign(&body, &speaker.chain, &speaker.key)?))
    }
}
