//! Certificates: from intent to issued or void, who holds which key, and where they were seen.

use super::{Store, StoreError, Writing, every};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A certificate as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Name of its registration.
    pub name: String,
    /// Profile of its registration.
    pub profile: String,
    /// Key id of its issuer, lower-case hex.
    pub issuer: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Chain of renewals that it belongs to.
    pub lineage: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// `intent`, `issued`, `revoked` or `void`.
    pub state: String,
    /// Why it was revoked.
    pub reason: Option<String>,
    /// When it was first seen in a handshake, Unix milliseconds.
    pub first_seen_ms: Option<i64>,
    /// When last.
    pub last_seen_ms: Option<i64>,
    /// Which service saw it last.
    pub seen_by: Option<String>,
    /// From which address.
    pub seen_from: Option<String>,
    /// Whether a newer certificate of its lineage exists.
    pub superseded: bool,
}

/// Which certificates are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    /// All that have not ended.
    #[default]
    Live,
    /// Issued a day ago or more, and in no handshake yet.
    NeverUsed,
    /// A newer one of the lineage was seen, and this one after it.
    SupersededStillUsed,
    /// Seen at two addresses within five minutes, by a name that is not shared.
    TwoPlaces,
    /// Revoked and not ended.
    Revoked,
}

/// What is listed, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Which view.
    pub view: View,
    /// Only of this name.
    pub name: Option<String>,
    /// Only what ends before, Unix milliseconds.
    pub ends_before_ms: Option<i64>,
    /// Most rows; 0: ten thousand.
    pub most: u32,
}

/// A certificate that was seen under our issuing keys and that the store does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnrecordedRow {
    /// Key id of its issuer.
    pub issuer: String,
    /// Its serial number.
    pub serial: String,
    /// When it was first seen, Unix milliseconds.
    pub first_ms: i64,
    /// When last.
    pub last_ms: i64,
    /// Which service saw it.
    pub seen_by: String,
}

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

macro_rules! list {
    ($rest:literal) => {
        list!("($2 IS NULL OR c.name = $2)", $rest)
    };
    ($name:literal, $rest:literal) => {
        concat!(
            "SELECT c.name, r.profile, c.issuer, c.serial, c.lineage, c.made_ms, c.not_after_ms, \
             c.state, v.reason, c.first_seen_ms, c.last_seen_ms, c.seen_by, c.seen_from, \
             EXISTS (SELECT 1 FROM certificate n WHERE n.lineage = c.lineage AND n.seq > c.seq \
             AND n.state = 'issued') \
             FROM certificate c JOIN registration r ON r.name = c.name \
             LEFT JOIN revocation v ON v.issuer = c.issuer AND v.serial = c.serial \
             WHERE c.not_after_ms > $1 AND ($3 IS NULL OR c.not_after_ms < $3) AND ",
            $name,
            " ",
            $rest,
            " ORDER BY c.not_after_ms, c.name, c.seq LIMIT $4"
        )
    };
}

const LIVE: &str = list!("");
/// What one name has is found by the name, not by looking at everything that has not ended.
const LIVE_OF_NAME: &str = list!("c.name = $2", "");
const REVOKED: &str = list!("AND v.reason IS NOT NULL AND $5 = $5");
const NEVER_USED: &str = list!(
    "AND c.state = 'issued' AND v.reason IS NULL AND c.first_seen_ms IS NULL AND c.made_ms < $5"
);
const SUPERSEDED: &str = list!(
    "AND c.last_seen_ms IS NOT NULL AND $5 = $5 AND EXISTS (SELECT 1 FROM certificate n \
     WHERE n.lineage = c.lineage AND n.seq > c.seq AND n.first_seen_ms < c.last_seen_ms)"
);
const TWO_PLACES: &str = list!("AND c.two_places_ms > $5 AND r.shared = 0");

/// A certificate that nobody has used so long after its issue is told of, in milliseconds.
const UNUSED: i64 = 24 * 3_600_000;
/// Being in two places is told of for so long.
const REMEMBERED: i64 = 24 * 3_600_000;
/// Two addresses within this time are two places.
const TOGETHER: i64 = 5 * 60_000;

impl Store {
    /// Certificates that have not ended, those that end first first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn certificates(
        &self,
        filter: &Filter,
        now_ms: i64,
    ) -> Result<Vec<CertificateRow>, StoreError> {
        let (sql, instant) = match filter.view {
            View::Live if filter.name.is_some() => (LIVE_OF_NAME, None),
            View::Live => (LIVE, None),
            View::Revoked => (REVOKED, Some(0)),
            View::NeverUsed => (NEVER_USED, Some(now_ms - UNUSED)),
            View::SupersededStillUsed => (SUPERSEDED, Some(0)),
            View::TwoPlaces => (TWO_PLACES, Some(now_ms - REMEMBERED)),
        };
        let most = if filter.most == 0 { 10_000 } else { filter.most };
        let query = sqlx::query(sql)
            .bind(now_ms)
            .bind(filter.name.as_deref())
            .bind(filter.ends_before_ms)
            .bind(i64::from(most));
        let query = match instant {
            Some(instant) => query.bind(instant),
            None => query,
        };
        let rows = query.fetch_all(&self.pool).await?;
        every(&rows, listed)
    }

    /// How many certificates are in force, and when the first of them ends.
    pub(crate) async fn in_force(&self, now_ms: i64) -> Result<(i64, Option<i64>), StoreError> {
        // The head of a lineage decides how long its holder can go on. The plus keeps the grouping
        // from walking an index of everything that was ever issued.
        let row = sqlx::query(
            "SELECT count(*), min(ends) FROM (SELECT max(c.not_after_ms) AS ends \
             FROM certificate c JOIN lineage l ON l.id = c.lineage \
             LEFT JOIN revocation v ON v.issuer = c.issuer AND v.serial = c.serial \
             WHERE c.not_after_ms > $1 AND c.state = 'issued' AND v.serial IS NULL \
             AND l.closed_ms IS NULL GROUP BY +c.lineage)",
        )
        .bind(now_ms)
        .fetch_one(&self.pool)
        .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

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

    /// Certificates that were seen and that the store does not know.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn unrecorded(&self) -> Result<Vec<UnrecordedRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT issuer, serial, first_ms, last_ms, seen_by FROM unrecorded \
             ORDER BY last_ms DESC LIMIT 1000",
        )
        .fetch_all(&self.pool)
        .await?;
        every(&rows, |row| {
            Ok(UnrecordedRow {
                issuer: row.try_get(0)?,
                serial: row.try_get(1)?,
                first_ms: row.try_get(2)?,
                last_ms: row.try_get(3)?,
                seen_by: row.try_get(4)?,
            })
        })
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

    /// Notes where a certificate was seen; whether the store knows it.
    pub(crate) async fn saw(
        &mut self,
        issuer: &str,
        serial: &str,
        (first_ms, last_ms): (i64, i64),
        by: &str,
        from: &str,
    ) -> Result<bool, StoreError> {
        let known = sqlx::query(
            "UPDATE certificate SET first_seen_ms = min(ifnull(first_seen_ms, $1), $1), \
             two_places_ms = CASE WHEN seen_from IS NOT NULL AND seen_from <> $4 \
             AND $1 - last_seen_ms < $5 THEN $2 ELSE two_places_ms END, \
             last_seen_ms = max(ifnull(last_seen_ms, $2), $2), seen_by = $3, seen_from = $4 \
             WHERE issuer = $6 AND serial = $7",
        )
        .bind(first_ms)
        .bind(last_ms)
        .bind(by)
        .bind(from)
        .bind(TOGETHER)
        .bind(issuer)
        .bind(serial)
        .execute(&mut *self.0)
        .await?;
        Ok(known.rows_affected() == 1)
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

    /// Notes a certificate that the store does not know; whether that is new. At most ten thousand
    /// are kept.
    pub(crate) async fn saw_unrecorded(
        &mut self,
        issuer: &str,
        serial: &str,
        (first_ms, last_ms): (i64, i64),
        by: &str,
    ) -> Result<bool, StoreError> {
        let before = sqlx::query("UPDATE unrecorded SET last_ms = max(last_ms, $1), seen_by = $2 WHERE issuer = $3 AND serial = $4")
            .bind(last_ms)
            .bind(by)
            .bind(issuer)
            .bind(serial)
            .execute(&mut *self.0)
            .await?;
        if before.rows_affected() == 1 {
            return Ok(false);
        }
        let new = sqlx::query(
            "INSERT INTO unrecorded (issuer, serial, first_ms, last_ms, seen_by) \
             SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM unrecorded) < 10000",
        )
        .bind(issuer)
        .bind(serial)
        .bind(first_ms)
        .bind(last_ms)
        .bind(by)
        .execute(&mut *self.0)
        .await?;
        Ok(new.rows_affected() == 1)
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

fn listed(row: &SqliteRow) -> Result<CertificateRow, sqlx::Error> {
    let (state, reason): (String, Option<String>) = (row.try_get(7)?, row.try_get(8)?);
    let state = if state == "issued" && reason.is_some() { "revoked".to_owned() } else { state };
    Ok(CertificateRow {
        name: row.try_get(0)?,
        profile: row.try_get(1)?,
        issuer: row.try_get(2)?,
        serial: row.try_get(3)?,
        lineage: row.try_get(4)?,
        made_ms: row.try_get(5)?,
        not_after_ms: row.try_get(6)?,
        state,
        reason,
        first_seen_ms: row.try_get(9)?,
        last_seen_ms: row.try_get(10)?,
        seen_by: row.try_get(11)?,
        seen_from: row.try_get(12)?,
        superseded: row.try_get::<i64, _>(13)? != 0,
    })
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
