//! The ledger's rows: appended in the same transaction as what they record, read in pages.

use super::{Store, StoreError, Writing, every};
use crate::ledger::{Entry, Line};
use sqlx::Row;

/// Where number and hash of the last line stand beside the ledger.
const HEAD: &str = "ledger_head";
/// Rows of one page.
const PAGE: i64 = 4096;

impl Store {
    /// A page of lines after this one.
    pub(crate) async fn ledger_after(&self, seq: i64) -> Result<Vec<Line>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, entry, prev, hash FROM ledger WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(seq)
        .bind(PAGE)
        .fetch_all(&self.pool)
        .await?;
        every(&rows, |row| {
            Ok(Line {
                seq: row.try_get(0)?,
                entry: row.try_get(1)?,
                prev: row.try_get(2)?,
                hash: row.try_get(3)?,
            })
        })
    }

    /// Number and hash of the line that was written last, if that was noted.
    pub(crate) async fn noted_head(&self) -> Result<Option<(i64, String)>, StoreError> {
        let noted = self.meta(HEAD).await?;
        Ok(noted.and_then(|text| {
            let (seq, hash) = text.split_once(' ')?;
            Some((seq.parse().ok()?, hash.to_owned()))
        }))
    }

    /// Every revocation, issuer and serial.
    pub(crate) async fn all_revoked(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows =
            sqlx::query("SELECT issuer, serial FROM revocation").fetch_all(&self.pool).await?;
        every(&rows, |row| Ok((row.try_get(0)?, row.try_get(1)?)))
    }

    /// Number and hash of the last line.
    pub(crate) async fn ledger_head(&self) -> Result<(i64, Vec<u8>), StoreError> {
        let row = sqlx::query("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        match row {
            Some(row) => Ok((row.try_get(0)?, row.try_get(1)?)),
            None => Ok((0, vec![0; 32])),
        }
    }
}

impl Writing {
    /// Appends to the ledger, in the same transaction as what it records.
    pub(crate) async fn record(&mut self, entry: &Entry<'_>) -> Result<(), StoreError> {
        self.record_all(std::slice::from_ref(entry)).await
    }

    /// As [`record`](Self::record), several in their order, with one look at the end of the ledger.
    pub(crate) async fn record_all(&mut self, entries: &[Entry<'_>]) -> Result<(), StoreError> {
        let last = sqlx::query("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *self.0)
            .await?;
        let (mut seq, mut last): (i64, Vec<u8>) = match last {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (0, vec![0; 32]),
        };
        for entry in entries {
            let line = Line::after(seq, last, entry);
            sqlx::query("INSERT INTO ledger (seq, entry, prev, hash) VALUES ($1, $2, $3, $4)")
                .bind(line.seq)
                .bind(&line.entry)
                .bind(&line.prev)
                .bind(&line.hash)
                .execute(&mut *self.0)
                .await?;
            (seq, last) = (line.seq, line.hash);
        }
        // By it a ledger is known whose end was cut off.
        let head = format!("{seq} {}", crate::key::hex(&last));
        self.set_meta(HEAD, &head).await
    }
}

#[cfg(test)]
impl Store {
    /// What somebody would do who has something to hide.
    pub(crate) async fn cut_ledger(&self, after: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM ledger WHERE seq > $1").bind(after).execute(&self.writer).await?;
        Ok(())
    }
}
