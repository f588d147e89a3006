//! Revocations and denied keys: what must be refused, until it would be refused anyway.

use super::{Store, StoreError, Writing, every};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A certificate that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedRow {
    /// Key id of its issuer, lower-case hex.
    pub issuer: String,
    /// Its serial number, lower-case hex.
    pub serial: String,
    /// SHA-256 of its key.
    pub spki: Vec<u8>,
    /// Whose it was.
    pub name: String,
    /// Why.
    pub reason: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// The event that told of it.
    pub event: i64,
}

/// What is revoked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewRevocation {
    pub(crate) issuer: String,
    pub(crate) serial: String,
    pub(crate) spki: Vec<u8>,
    pub(crate) name: String,
    pub(crate) not_after_ms: i64,
    pub(crate) lineage: String,
    /// Whether no newer certificate of the lineage was issued, so that the lineage ends with it.
    pub(crate) is_head: bool,
}

/// A row stays on the list so long after the certificate's end, in milliseconds.
pub(crate) const KEPT: i64 = 24 * 3_600_000;

/// The longest that a leaf may live, in milliseconds.
const LONGEST: i64 = 90 * 24 * 3_600_000;

macro_rules! revoked {
    ($rest:literal) => {
        concat!(
            "SELECT issuer, serial, spki, name, reason, at_ms, not_after_ms, event \
             FROM revocation ",
            $rest
        )
    };
}

impl Store {
    /// The revocations that one event told of.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn revoked_by_event(&self, seq: i64) -> Result<Vec<RevokedRow>, StoreError> {
        let rows = sqlx::query(revoked!("WHERE event = $1 ORDER BY name, serial"))
            .bind(seq)
            .fetch_all(&self.pool)
            .await?;
        every(&rows, row)
    }

    /// How many certificates were revoked, by reason.
    pub(crate) async fn count_revoked(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows =
            sqlx::query("SELECT reason, count(*) FROM revocation GROUP BY reason ORDER BY reason")
                .fetch_all(&self.pool)
                .await?;
        every(&rows, |row| Ok((row.try_get(0)?, row.try_get(1)?)))
    }

    pub(crate) async fn key_is_denied(&self, spki: &[u8]) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM key_denied WHERE spki = $1")
            .bind(spki)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// The keys that are denied.
    pub(crate) async fn denied_keys(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = sqlx::query("SELECT spki FROM key_denied ORDER BY at_ms LIMIT 200000")
            .fetch_all(&self.pool)
            .await?;
        every(&rows, |row| row.try_get(0))
    }
}

/// Which certificates are revoked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    Name(&'a str),
    Serial(&'a str),
    Key(&'a [u8]),
    Lineage(&'a str),
    /// All that were made before, Unix milliseconds, but for the Authority's own.
    Before(i64),
}

macro_rules! victims {
    ($rest:literal) => {
        concat!(
            "SELECT * FROM (SELECT c.issuer, c.serial, c.spki, c.name, c.not_after_ms, c.lineage, \
             NOT EXISTS (SELECT 1 FROM certificate n WHERE n.lineage = c.lineage AND n.seq > c.seq \
             AND n.state = 'issued') AS head FROM certificate c \
             LEFT JOIN revocation v ON v.issuer = c.issuer AND v.serial = c.serial \
             WHERE v.serial IS NULL AND c.not_after_ms > $1 - 2592000000 AND ",
            $rest,
            ") WHERE not_after_ms > $1 OR head"
        )
    };
}

impl Writing {
    /// Certificates of one kind that are not revoked yet and have not ended; and those that ended
    /// within 30 days, the longest grace, and could still renew. What may still be signed is among
    /// them, so a revocation in the middle of an issue is not lost.
    pub(crate) async fn victims(
        &mut self,
        which: Which<'_>,
        now_ms: i64,
    ) -> Result<Vec<NewRevocation>, StoreError> {
        let query = match which {
            Which::Name(name) => sqlx::query(victims!("c.name = $2")).bind(now_ms).bind(name),
            Which::Serial(serial) => {
                sqlx::query(victims!("c.serial = $2")).bind(now_ms).bind(serial)
            }
            Which::Key(spki) => sqlx::query(victims!("c.spki = $2")).bind(now_ms).bind(spki),
            Which::Lineage(id) => sqlx::query(victims!("c.lineage = $2")).bind(now_ms).bind(id),
            Which::Before(at_ms) => {
                sqlx::query(victims!("c.made_ms < $2 AND c.name <> 'segwan/authority'"))
                    .bind(now_ms)
                    .bind(at_ms)
            }
        };
        let rows = query.fetch_all(&mut *self.0).await?;
        every(&rows, |row| {
            Ok(NewRevocation {
                issuer: row.try_get(0)?,
                serial: row.try_get(1)?,
                spki: row.try_get(2)?,
                name: row.try_get(3)?,
                not_after_ms: row.try_get(4)?,
                lineage: row.try_get(5)?,
                is_head: row.try_get::<i64, _>(6)? != 0,
            })
        })
    }

    /// A certificate that was seen and is not on record, by its serial number.
    pub(crate) async fn unrecorded_victims(
        &mut self,
        serial: &str,
        now_ms: i64,
    ) -> Result<Vec<NewRevocation>, StoreError> {
        let rows = sqlx::query(
            "SELECT u.issuer, u.serial FROM unrecorded u LEFT JOIN revocation v \
             ON v.issuer = u.issuer AND v.serial = u.serial \
             WHERE u.serial = $1 AND v.serial IS NULL",
        )
        .bind(serial)
        .fetch_all(&mut *self.0)
        .await?;
        every(&rows, |row| {
            Ok(NewRevocation {
                issuer: row.try_get(0)?,
                serial: row.try_get(1)?,
                spki: Vec::new(),
                name: String::new(),
                // Nobody knows its end; no leaf lives longer.
                not_after_ms: now_ms + LONGEST,
                lineage: String::new(),
                is_head: false,
            })
        })
    }

    pub(crate) async fn revoke(
        &mut self,
        victim: &NewRevocation,
        reason: &str,
        event: i64,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO revocation (issuer, serial, spki, name, reason, at_ms, not_after_ms, event) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (issuer, serial) DO NOTHING",
        )
        .bind(&victim.issuer)
        .bind(&victim.serial)
        .bind(&victim.spki)
        .bind(&victim.name)
        .bind(reason)
        .bind(now_ms)
        .bind(victim.not_after_ms)
        .bind(event)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    pub(crate) async fn deny_key(
        &mut self,
        spki: &[u8],
        reason: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO key_denied (spki, reason, at_ms) VALUES ($1, $2, $3) \
             ON CONFLICT (spki) DO NOTHING",
        )
        .bind(spki)
        .bind(reason)
        .bind(now_ms)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// What the list of an issuer has to hold, as this transaction will leave it.
    pub(crate) async fn revoked_of(
        &mut self,
        issuer: &str,
        now_ms: i64,
    ) -> Result<Vec<RevokedRow>, StoreError> {
        let rows = sqlx::query(revoked!("WHERE issuer = $1 AND not_after_ms > $2 ORDER BY serial"))
            .bind(issuer)
            .bind(now_ms - KEPT)
            .fetch_all(&mut *self.0)
            .await?;
        every(&rows, row)
    }
}

fn row(row: &SqliteRow) -> Result<RevokedRow, sqlx::Error> {
    Ok(RevokedRow {
        issuer: row.try_get(0)?,
        serial: row.try_get(1)?,
        spki: row.try_get(2)?,
        name: row.try_get(3)?,
        reason: row.try_get(4)?,
        at_ms: row.try_get(5)?,
        not_after_ms: row.try_get(6)?,
        event: row.try_get(7)?,
    })
}
