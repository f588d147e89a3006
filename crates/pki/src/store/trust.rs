//! Issuing keys, their revocation lists, and trust bundles.

use super::{Store, StoreError, Writing, every};
use sqlx::Row;

/// What an issuing key is for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuingState {
    /// Ready to take over.
    Spare,
    /// Signs certificates.
    Active,
    /// Signs its revocation list until its last certificate has ended.
    Retiring,
    /// Believed nowhere.
    Distrusted,
}

impl IssuingState {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spare => "spare",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Distrusted => "distrusted",
        }
    }

    fn named(word: &str) -> Option<Self> {
        [Self::Spare, Self::Active, Self::Retiring, Self::Distrusted]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// An issuing key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuingRow {
    /// Its key id, lower-case hex.
    pub id: String,
    /// What it is for.
    pub state: IssuingState,
    /// SHA-256 of its key.
    pub spki: Vec<u8>,
    /// When its certificate was made, Unix milliseconds.
    pub made_ms: i64,
    /// When that ends.
    pub not_after_ms: i64,
}

/// A revocation list as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredCrl {
    pub(crate) issuer: String,
    pub(crate) number: i64,
    pub(crate) der: Vec<u8>,
    pub(crate) at_ms: i64,
    pub(crate) next_ms: i64,
}

const CRLS: &str = "SELECT issuer, number, der, at_ms, next_ms FROM crl ORDER BY issuer";

impl Store {
    /// Every issuing key, the newest first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn issuing_keys(&self) -> Result<Vec<IssuingRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, state, spki, made_ms, not_after_ms FROM issuing_key \
             ORDER BY made_ms DESC, not_after_ms DESC, id",
        )
        .fetch_all(&self.pool)
        .await?;
        every(&rows, |row| {
            let word: String = row.try_get(1)?;
            let state = IssuingState::named(&word)
                .ok_or_else(|| sqlx::Error::Decode(format!("no state `{word}`").into()))?;
            Ok(IssuingRow {
                id: row.try_get(0)?,
                state,
                spki: row.try_get(2)?,
                made_ms: row.try_get(3)?,
                not_after_ms: row.try_get(4)?,
            })
        })
    }

    /// The revocation list of each issuing key.
    pub(crate) async fn crls(&self) -> Result<Vec<StoredCrl>, StoreError> {
        let rows = sqlx::query(CRLS).fetch_all(&self.pool).await?;
        every(&rows, crl)
    }

    /// The newest bundle: its version and body.
    pub(crate) async fn bundle(&self) -> Result<Option<(i64, String)>, StoreError> {
        let row = sqlx::query("SELECT version, body FROM bundle ORDER BY version DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// How many certificates of an issuing key have not ended.
    pub(crate) async fn live_of(&self, issuer: &str, now_ms: i64) -> Result<i64, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) FROM certificate WHERE issuer = $1 AND not_after_ms > $2 AND state = 'issued'",
        )
        .bind(issuer)
        .bind(now_ms)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }
}

impl Writing {
    pub(crate) async fn add_issuing_key(&mut self, key: &IssuingRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO issuing_key (id, state, spki, made_ms, not_after_ms) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
        )
        .bind(&key.id)
        .bind(key.state.as_str())
        .bind(&key.spki)
        .bind(key.made_ms)
        .bind(key.not_after_ms)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    pub(crate) async fn set_issuing_state(
        &mut self,
        id: &str,
        state: IssuingState,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE issuing_key SET state = $1 WHERE id = $2")
            .bind(state.as_str())
            .bind(id)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Forgets an issuing key and its list.
    pub(crate) async fn forget_issuing_key(&mut self, id: &str) -> Result<(), StoreError> {
        for statement in
            ["DELETE FROM crl WHERE issuer = $1", "DELETE FROM issuing_key WHERE id = $1"]
        {
            sqlx::query(statement).bind(id).execute(&mut *self.0).await?;
        }
        Ok(())
    }

    /// The number of the list in force, of one issuer; 0: none yet.
    pub(crate) async fn crl_number(&mut self, issuer: &str) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT number FROM crl WHERE issuer = $1")
            .bind(issuer)
            .fetch_optional(&mut *self.0)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
    }

    pub(crate) async fn set_crl(&mut self, crl: &StoredCrl) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO crl (issuer, number, der, at_ms, next_ms) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (issuer) DO UPDATE SET number = excluded.number, der = excluded.der, \
             at_ms = excluded.at_ms, next_ms = excluded.next_ms",
        )
        .bind(&crl.issuer)
        .bind(crl.number)
        .bind(&crl.der)
        .bind(crl.at_ms)
        .bind(crl.next_ms)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// The number of the next bundle.
    pub(crate) async fn next_bundle(&mut self) -> Result<i64, StoreError> {
        self.count("bundle").await
    }

    pub(crate) async fn add_bundle(
        &mut self,
        version: i64,
        body: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO bundle (version, body, made_ms) VALUES ($1, $2, $3)")
            .bind(version)
            .bind(body)
            .bind(now_ms)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

fn crl(row: &sqlx::sqlite::SqliteRow) -> Result<StoredCrl, sqlx::Error> {
    Ok(StoredCrl {
        issuer: row.try_get(0)?,
        number: row.try_get(1)?,
        der: row.try_get(2)?,
        at_ms: row.try_get(3)?,
        next_ms: row.try_get(4)?,
    })
}
