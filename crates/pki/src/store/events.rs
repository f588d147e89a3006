//! Events: what agents are told, numbered without gaps, kept for a week.

use super::{Store, StoreError, Writing, every};
use sqlx::Row;

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) seq: i64,
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) at_ms: i64,
}

impl Store {
    /// The number of the last event; 0: none yet.
    pub(crate) async fn last_event(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT value FROM counter WHERE name = 'event'")
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get(0)?)
    }

    /// The event after this one, if it is kept.
    pub(crate) async fn event(&self, seq: i64) -> Result<Option<Stored>, StoreError> {
        let row = sqlx::query("SELECT seq, kind, body, at_ms FROM event WHERE seq = $1")
            .bind(seq)
            .fetch_optional(&self.pool)
            .await?;
        let stored = |row: sqlx::sqlite::SqliteRow| {
            Ok(Stored {
                seq: row.try_get(0)?,
                kind: row.try_get(1)?,
                body: row.try_get(2)?,
                at_ms: row.try_get(3)?,
            })
        };
        row.map(stored).transpose()
    }

    /// The numbers of the last events, newest first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn recent_revocations(&self, most: i64) -> Result<Vec<i64>, StoreError> {
        let rows =
            sqlx::query("SELECT seq FROM event WHERE kind = 'revoked' ORDER BY seq DESC LIMIT $1")
                .bind(most)
                .fetch_all(&self.pool)
                .await?;
        every(&rows, |row| row.try_get(0))
    }
}

impl Writing {
    /// The number of the next event.
    pub(crate) async fn next_event(&mut self) -> Result<i64, StoreError> {
        self.count("event").await
    }

    pub(crate) async fn add_event(&mut self, event: &Stored) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO event (seq, kind, body, at_ms) VALUES ($1, $2, $3, $4)")
            .bind(event.seq)
            .bind(&event.kind)
            .bind(&event.body)
            .bind(event.at_ms)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    pub(crate) async fn forget_events(&mut self, before_ms: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM event WHERE at_ms < $1")
            .bind(before_ms)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}
