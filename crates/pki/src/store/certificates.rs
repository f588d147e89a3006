//! Certificates: from intent to issued or void, and who holds which key.

use super::{Store, StoreError, Writing, every};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A certificate that is about to be signed.
pub(crate) struct Intent<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) serial: &'a str,
    pub(crate) name: &'a str,
    pub(crate) lineage: &'a str,
    pub(crate) predecessor: Option<&'a str>,
    pub(crate) spki: &'a [u8],
    pub(crate) tbs: &'a [u8],
    pub(crate) made_ms: i64,
    pub(crate) not_after_ms: i64,
}

/// A certificate as the Authority recalls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recalled {
    pub(crate) issuer: String,
    pub(crate) serial: String,
    pub(crate) name: String,
    pub(crate) lineage: String,
    pub(crate) predecessor: Option<String>,
    pub(crate) spki: Vec<u8>,
    pub(crate) der: Option<Vec<u8>>,
    pub(crate) made_ms: i64,
    pub(crate) not_after_ms: i64,
    pub(crate) state: String,
    /// Why it was revoked, if it was.
    pub(crate) revoked: Option<String>,
    /// When it was first seen in use, by the Authority or by a gateway.
    pub(crate) used_ms: Option<i64>,
}

macro_rules! recall {
    ($rest:literal) => {
        concat!(
            "SELECT c.issuer, c.serial, c.name, c.lineage, c.predecessor, c.spki, c.der, \
             c.made_ms, c.not_after_ms, c.state, v.reason, ifnull(c.arrived_ms, c.first_seen_ms) FROM certificate c \
             LEFT JOIN revocation v ON v.issuer = c.issuer AND v.serial = c.serial ",
            $rest
        )
    };
}

impl Store {
    pub(crate) async fn has_certificate(&self, name: &str) -> Result<bool, StoreError> {
        let row =
            sqlx::query("SELECT 1 FROM certificate WHERE name = $1 AND state = 'issued' LIMIT 1")
                .bind(name)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.is_some())
    }

    /// The registration that a serial number belongs to.
    pub(crate) async fn name_of(&self, serial: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT name FROM certificate WHERE serial = $1 LIMIT 1")
            .bind(serial)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    pub(crate) async fn issued(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query("SELECT issuer, serial FROM certificate WHERE state = 'issued'")
            .fetch_all(&self.pool)
            .await?;
        every(&rows, |row| Ok((row.try_get(0)?, row.try_get(1)?)))
    }

    pub(crate) async fn recall(
        &self,
        issuer: &str,
        serial: &str,
    ) -> Result<Option<Recalled>, StoreError> {
        let row = sqlx::query(recall!("WHERE c.issuer = $1 AND c.serial = $2"))
            .bind(issuer)
            .bind(serial)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(recalled).transpose().map_err(Into::into)
    }

    /// The newest issued certificate of a lineage.
    pub(crate) async fn head(&self, lineage: &str) -> Result<Option<Recalled>, StoreError> {
        let row = sqlx::query(recall!(
            "WHERE c.lineage = $1 AND c.state = 'issued' ORDER BY c.seq DESC LIMIT 1"
        ))
        .bind(lineage)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(recalled).transpose().map_err(Into::into)
    }

    /// The issued certificate of a lineage that holds this key.
    pub(crate) async fn with_key(
        &self,
        lineage: &str,
        spki: &[u8],
    ) -> Result<Option<Recalled>, StoreError> {
        let row = sqlx::query(recall!(
            "WHERE c.lineage = $1 AND c.spki = $2 AND c.state = 'issued' ORDER BY c.seq DESC LIMIT 1"
        ))
        .bind(lineage)
        .bind(spki)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(recalled).transpose().map_err(Into::into)
    }

    /// Whether another lineage uses this key.
    pub(crate) async fn key_is_elsewhere(
        &self,
        spki: &[u8],
        lineage: &str,
    ) -> Result<bool, StoreError> {
        let row = sqlx::query(
            "SELECT 1 FROM certificate WHERE spki = $1 AND lineage <> $2 AND state <> 'void' LIMIT 1",
        )
        .bind(spki)
        .bind(lineage)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }
}

impl Writing {
    /// Records what is about to be signed. A serial that was used before is refused here.
    pub(crate) async fn intend(&mut self, intent: &Intent<'_>) -> Result<(), StoreError> {
        let seq = self.count("certificate").await?;
        sqlx::query(
            "INSERT INTO certificate (seq, issuer, serial, name, lineage, predecessor, spki, tbs_hash, made_ms, not_after_ms, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'intent')",
        )
        .bind(seq)
        .bind(intent.issuer)
        .bind(intent.serial)
        .bind(intent.name)
        .bind(intent.lineage)
        .bind(intent.predecessor)
        .bind(intent.spki)
        .bind(intent.tbs)
        .bind(intent.made_ms)
        .bind(intent.not_after_ms)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Whether a serial number was used before by this issuer.
    pub(crate) async fn serial_is_used(
        &mut self,
        issuer: &str,
        serial: &str,
    ) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM certificate WHERE issuer = $1 AND serial = $2")
            .bind(issuer)
            .bind(serial)
            .fetch_optional(&mut *self.0)
            .await?;
        Ok(row.is_some())
    }

    pub(crate) async fn issue(
        &mut self,
        issuer: &str,
        serial: &str,
        der: &[u8],
    ) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE certificate SET der = $1, state = 'issued' WHERE issuer = $2 AND serial = $3 AND state = 'intent'")
            .bind(der)
            .bind(issuer)
            .bind(serial)
            .execute(&mut *self.0)
            .await?;
        if done.rows_affected() == 1 {
            Ok(())
        } else {
            Err(StoreError::Unavailable("the intent of a certificate is gone".to_owned()))
        }
    }

    pub(crate) async fn void(&mut self, issuer: &str, serial: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE certificate SET state = 'void' WHERE issuer = $1 AND serial = $2 AND state <> 'void'")
            .bind(issuer)
            .bind(serial)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Intents that a crash left, issuer and serial: nobody holds a certificate of theirs that the
    /// store knows.
    pub(crate) async fn void_intents(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query(
            "UPDATE certificate SET state = 'void' WHERE state = 'intent' RETURNING issuer, serial",
        )
        .fetch_all(&mut *self.0)
        .await?;
        every(&rows, |row| Ok((row.try_get(0)?, row.try_get(1)?)))
    }

    /// Notes that the holder of a certificate came to the Authority with it.
    pub(crate) async fn arrived(
        &mut self,
        issuer: &str,
        serial: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE certificate SET arrived_ms = $1 \
             WHERE issuer = $2 AND serial = $3 AND arrived_ms IS NULL",
        )
        .bind(now_ms)
        .bind(issuer)
        .bind(serial)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Takes a certificate of a lost part of the record into the store.
    pub(crate) async fn adopt(
        &mut self,
        intent: &Intent<'_>,
        der: &[u8],
    ) -> Result<(), StoreError> {
        self.intend(intent).await?;
        self.issue(intent.issuer, intent.serial, der).await?;
        sqlx::query("DELETE FROM unrecorded WHERE issuer = $1 AND serial = $2")
            .bind(intent.issuer)
            .bind(intent.serial)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

fn recalled(row: &SqliteRow) -> Result<Recalled, sqlx::Error> {
    Ok(Recalled {
        issuer: row.try_get(0)?,
        serial: row.try_get(1)?,
        name: row.try_get(2)?,
        lineage: row.try_get(3)?,
        predecessor: row.try_get(4)?,
        spki: row.try_get(5)?,
        der: row.try_get(6)?,
        made_ms: row.try_get(7)?,
        not_after_ms: row.try_get(8)?,
        state: row.try_get(9)?,
        revoked: row.try_get(10)?,
        used_ms: row.try_get(11)?,
    })
}

#[cfg(test)]
impl Writing {
    /// What a crash before the second transaction would have left.
    pub(crate) async fn unissue(&mut self, issuer: &str, serial: &str) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE certificate SET der = NULL, state = 'intent' WHERE issuer = $1 AND serial = $2",
        )
        .bind(issuer)
        .bind(serial)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}
