//! Tokens: each is used once, whoever comes at the same moment.

use super::{Store, StoreError, Writing, every};
use sqlx::Row;

/// A token as it is listed, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// The first eight bytes of its secret's hash, lower-case hex: by which it is named.
    pub id: String,
    /// The registration that it is for.
    pub name: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When it ends, Unix milliseconds.
    pub expires_ms: i64,
}

/// What came of presenting a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spent {
    /// It was good, and is used up now: the name it is for.
    Now(String),
    /// It was used before by the same key: name and lineage of then.
    Before { name: String, lineage: String },
    /// It was used before by another key: the name, from where, and the lineage of then.
    ByAnotherKey { name: String, from: String, lineage: String },
    /// It is not known.
    Unknown,
    /// Its time is over.
    Expired { name: String, at_ms: i64 },
    /// It was taken back.
    Revoked { name: String },
}

impl Store {
    /// How many tokens can still be used.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn open_tokens(&self, now_ms: i64) -> Result<i64, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) FROM token \
             WHERE used_ms IS NULL AND revoked_ms IS NULL AND expires_ms > $1",
        )
        .bind(now_ms)
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// The tokens that can still be used.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn tokens(&self, now_ms: i64) -> Result<Vec<TokenRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT lower(hex(substr(secret_hash, 1, 8))), name, made_ms, expires_ms FROM token \
             WHERE used_ms IS NULL AND revoked_ms IS NULL AND expires_ms > $1 \
             ORDER BY expires_ms, name LIMIT 1000",
        )
        .bind(now_ms)
        .fetch_all(&self.pool)
        .await?;
        every(&rows, |row| {
            Ok(TokenRow {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                made_ms: row.try_get(2)?,
                expires_ms: row.try_get(3)?,
            })
        })
    }
}

impl Writing {
    pub(crate) async fn add_token(
        &mut self,
        secret: &[u8],
        name: &str,
        expires_ms: i64,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO token (secret_hash, name, made_ms, expires_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(secret)
        .bind(name)
        .bind(now_ms)
        .bind(expires_ms)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Uses a token up, if it is good: the row count decides, so that of a hundred at once one wins.
    pub(crate) async fn spend(
        &mut self,
        secret: &[u8],
        spki: &[u8],
        lineage: &str,
        from: &str,
        now_ms: i64,
    ) -> Result<Spent, StoreError> {
        let used = sqlx::query(
            "UPDATE token SET used_ms = $1, spki = $2, lineage = $3, from_address = $4 \
             WHERE secret_hash = $5 AND used_ms IS NULL AND revoked_ms IS NULL AND expires_ms > $1",
        )
        .bind(now_ms)
        .bind(spki)
        .bind(lineage)
        .bind(from)
        .bind(secret)
        .execute(&mut *self.0)
        .await?;
        let row = sqlx::query(
            "SELECT name, spki, lineage, from_address, expires_ms, revoked_ms FROM token \
             WHERE secret_hash = $1",
        )
        .bind(secret)
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(row) = row else { return Ok(Spent::Unknown) };
        let name: String = row.try_get(0)?;
        if used.rows_affected() == 1 {
            return Ok(Spent::Now(name));
        }
        let (by, lineage): (Option<Vec<u8>>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
        let (expires_ms, revoked): (i64, Option<i64>) = (row.try_get(4)?, row.try_get(5)?);
        Ok(match (by, lineage) {
            _ if revoked.is_some() => Spent::Revoked { name },
            (Some(by), Some(lineage)) if by != spki => {
                let from = row.try_get::<Option<String>, _>(3)?.unwrap_or_default();
                Spent::ByAnotherKey { name, from, lineage }
            }
            (Some(_), Some(lineage)) if expires_ms > now_ms => Spent::Before { name, lineage },
            _ => Spent::Expired { name, at_ms: expires_ms },
        })
    }

    /// Takes back the open tokens whose id begins so, or those of a name; whose they were.
    pub(crate) async fn revoke_tokens(
        &mut self,
        id: Option<&str>,
        name: Option<&str>,
        now_ms: i64,
    ) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "UPDATE token SET revoked_ms = $1 \
             WHERE used_ms IS NULL AND revoked_ms IS NULL \
             AND ($2 IS NULL OR substr(lower(hex(secret_hash)), 1, length($2)) = $2) \
             AND ($3 IS NULL OR name = $3) RETURNING name",
        )
        .bind(now_ms)
        .bind(id)
        .bind(name)
        .fetch_all(&mut *self.0)
        .await?;
        every(&rows, |row| row.try_get(0))
    }

    /// Forgets tokens that ended long ago.
    pub(crate) async fn forget_tokens(&mut self, before_ms: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM token WHERE expires_ms < $1")
            .bind(before_ms)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}
