//! The inventory: what is in force, in which view, and where certificates were seen.

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
        // from walking an index of everything that was ever issued. A chain that was closed longer
        // ago than a leaf may live (90 days) has none in force, so only the others are looked up.
        let row = sqlx::query(
            "SELECT count(*), min(ends) FROM (SELECT max(c.not_after_ms) AS ends \
             FROM certificate c LEFT JOIN revocation v ON v.issuer = c.issuer AND v.serial = c.serial \
             WHERE c.not_after_ms > $1 AND c.state = 'issued' AND v.serial IS NULL \
             AND c.lineage NOT IN (SELECT id FROM lineage WHERE closed_ms > $1 - 7776000000) \
             GROUP BY +c.lineage)",
        )
        .bind(now_ms)
        .fetch_one(&self.pool)
        .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
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
