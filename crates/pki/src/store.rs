//! `Store`: the Authority's memory, in SQLite.
//!
//! The one door to SQL. Every statement is a constant, takes `$1` placeholders and plain types
//! only (text, bytes, whole numbers; times are Unix milliseconds that the caller passes), so the
//! same ones run on another engine later (`crates.md` section 5.3).

use crate::ledger::{self, Entry};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, Sqlite, SqlitePool, Transaction};
use std::path::Path;
use std::time::Duration;

const SCHEMA: &str = include_str!("store/0001.sqlite.sql");

/// Why the store could not do what was asked. `Display` is the operator's sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is no database, or a damaged one.
    #[error("the Authority's store `{path}` is damaged: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What its check says.
        what: String,
    },
    /// The file was written by a newer build.
    #[error("the Authority's store has the schema {0}; this build knows 1")]
    Schema(i64),
    /// The database could not be read or written now.
    #[error("the Authority's store is not available: {0}")]
    Unavailable(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A registration as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRow {
    /// Its name, unique.
    pub name: String,
    /// Its profile's word.
    pub profile: String,
    /// Addresses of a service, one a line.
    pub addresses: String,
    /// Services that a client is meant for, one a line.
    pub services: String,
    /// Whether it may enroll and renew.
    pub enabled: bool,
}

/// A certificate as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Name of its registration.
    pub name: String,
    /// Profile of its registration.
    pub profile: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Chain of renewals that it belongs to.
    pub lineage: String,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When it ends, Unix milliseconds.
    pub not_after_ms: i64,
    /// `intent`, `issued` or `void`.
    pub state: String,
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
    pub(crate) serial: String,
    pub(crate) name: String,
    pub(crate) lineage: String,
    pub(crate) spki: Vec<u8>,
    pub(crate) der: Option<Vec<u8>>,
    pub(crate) made_ms: i64,
    pub(crate) not_after_ms: i64,
    pub(crate) state: String,
}

/// What came of presenting a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spent {
    /// It was good, and is used up now: the name it is for.
    Now(String),
    /// It was used before by the same key: name and lineage of then.
    Before { name: String, lineage: String },
    /// It was used before by another key.
    ByAnotherKey { name: String, from: String },
    /// It is unknown or expired.
    Refused,
}

/// One open database. Writers wait for each other; readers do not wait.
#[derive(Debug, Clone)]
pub struct Store {
    /// For reading.
    pool: SqlitePool,
    /// The one connection that writes: who waits for it holds no other.
    writer: SqlitePool,
}

/// One transaction that writes: all of it, or nothing.
pub(crate) struct Writing<'s>(Transaction<'s, Sqlite>);

impl Store {
    /// Opens the database; makes it, with its schema, only if `create` says so.
    ///
    /// # Errors
    /// If it is damaged, newer than this build, or cannot be opened.
    pub async fn open(path: &Path, create: bool) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let damaged = |what: String| StoreError::Damaged { path: shown.clone(), what };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("trusted_schema", "OFF");
        if create {
            // SQLite gives its journal the mode of the file, so that is made first.
            crate::directory::write_private(path, b"").map_err(|e| damaged(e.to_string()))?;
        }
        let connect = async |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(5))
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_with(options.clone())
                .await
                .map_err(|e| damaged(e.to_string()))
        };
        let store = Self { writer: connect(1).await?, pool: connect(4).await? };
        if create {
            sqlx::raw_sql(SCHEMA).execute(&store.writer).await?;
        }
        store.check().await.map_err(|e| match e {
            StoreError::Unavailable(what) => damaged(what),
            other => other,
        })?;
        Ok(store)
    }

    /// Reads the settings back, looks over the pages, and compares the schema (DEP-54).
    async fn check(&self) -> Result<(), StoreError> {
        let text = |row: sqlx::sqlite::SqliteRow| row.try_get::<String, _>(0);
        let check = sqlx::query("PRAGMA quick_check").fetch_one(&self.pool).await.and_then(text)?;
        if check != "ok" {
            return Err(StoreError::Unavailable(check));
        }
        let mode = sqlx::query("PRAGMA journal_mode").fetch_one(&self.pool).await.and_then(text)?;
        let number = |row: sqlx::sqlite::SqliteRow| row.try_get::<i64, _>(0);
        let full =
            sqlx::query("PRAGMA synchronous").fetch_one(&self.pool).await.and_then(number)?;
        let keys =
            sqlx::query("PRAGMA foreign_keys").fetch_one(&self.pool).await.and_then(number)?;
        if mode != "wal" || full != 2 || keys != 1 {
            let what = format!("journal {mode}, synchronous {full}, foreign keys {keys}");
            return Err(StoreError::Unavailable(format!("its settings do not hold: {what}")));
        }
        let schema =
            sqlx::query("SELECT value FROM meta WHERE key = 'schema'").fetch_one(&self.pool).await;
        let schema = schema.and_then(|row| row.try_get::<String, _>(0))?;
        match schema.parse() {
            Ok(1) => Ok(()),
            Ok(other) => Err(StoreError::Schema(other)),
            Err(_) => Err(StoreError::Unavailable("its schema has no number".to_owned())),
        }
    }

    pub(crate) async fn close(self) {
        self.pool.close().await;
        self.writer.close().await;
    }

    pub(crate) async fn write(&self) -> Result<Writing<'_>, StoreError> {
        Ok(Writing(self.writer.begin_with("BEGIN IMMEDIATE").await?))
    }

    pub(crate) async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE key = $1")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| row.try_get(0)).transpose().map_err(Into::into)
    }

    /// Every registration, by name.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn registrations(&self) -> Result<Vec<RegistrationRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, profile, addresses, services, enabled FROM registration ORDER BY name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(registration).collect::<Result<_, _>>().map_err(Into::into)
    }

    pub(crate) async fn registration(
        &self,
        name: &str,
    ) -> Result<Option<RegistrationRow>, StoreError> {
        let row = sqlx::query(
            "SELECT name, profile, addresses, services, enabled FROM registration WHERE name = $1",
        )
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(registration).transpose().map_err(Into::into)
    }

    /// Every certificate that was issued and has not ended, newest first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn certificates(&self, now_ms: i64) -> Result<Vec<CertificateRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT c.name, r.profile, c.serial, c.lineage, c.made_ms, c.not_after_ms, c.state \
             FROM certificate c JOIN registration r ON r.name = c.name \
             WHERE c.not_after_ms > $1 ORDER BY c.made_ms DESC, c.serial LIMIT 10000",
        )
        .bind(now_ms)
        .fetch_all(&self.pool)
        .await?;
        let row = |row: &sqlx::sqlite::SqliteRow| {
            Ok(CertificateRow {
                name: row.try_get(0)?,
                profile: row.try_get(1)?,
                serial: row.try_get(2)?,
                lineage: row.try_get(3)?,
                made_ms: row.try_get(4)?,
                not_after_ms: row.try_get(5)?,
                state: row.try_get(6)?,
            })
        };
        rows.iter().map(row).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
    }

    pub(crate) async fn has_certificate(&self, name: &str) -> Result<bool, StoreError> {
        let row =
            sqlx::query("SELECT 1 FROM certificate WHERE name = $1 AND state = 'issued' LIMIT 1")
                .bind(name)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.is_some())
    }

    /// Tokens that can still be used.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn open_tokens(&self, now_ms: i64) -> Result<i64, StoreError> {
        let row =
            sqlx::query("SELECT count(*) FROM token WHERE used_ms IS NULL AND expires_ms > $1")
                .bind(now_ms)
                .fetch_one(&self.pool)
                .await?;
        Ok(row.try_get(0)?)
    }

    pub(crate) async fn ledger(&self) -> Result<Vec<ledger::Line>, StoreError> {
        let rows = sqlx::query("SELECT seq, entry, prev, hash FROM ledger ORDER BY seq")
            .fetch_all(&self.pool)
            .await?;
        let line = |row: &sqlx::sqlite::SqliteRow| {
            Ok(ledger::Line {
                seq: row.try_get(0)?,
                entry: row.try_get(1)?,
                prev: row.try_get(2)?,
                hash: row.try_get(3)?,
            })
        };
        rows.iter().map(line).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
    }

    pub(crate) async fn issued(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query("SELECT issuer, serial FROM certificate WHERE state = 'issued'")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, sqlx::Error>>()
            .map_err(Into::into)
    }

    pub(crate) async fn recall(
        &self,
        issuer: &str,
        serial: &str,
    ) -> Result<Option<Recalled>, StoreError> {
        let row = sqlx::query(
            "SELECT serial, name, lineage, spki, der, made_ms, not_after_ms, state \
             FROM certificate WHERE issuer = $1 AND serial = $2",
        )
        .bind(issuer)
        .bind(serial)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(recalled).transpose().map_err(Into::into)
    }

    /// The newest issued certificate of a lineage.
    pub(crate) async fn head(&self, lineage: &str) -> Result<Option<Recalled>, StoreError> {
        let row = sqlx::query(
            "SELECT serial, name, lineage, spki, der, made_ms, not_after_ms, state FROM certificate \
             WHERE lineage = $1 AND state = 'issued' ORDER BY seq DESC LIMIT 1",
        )
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
        let row = sqlx::query(
            "SELECT serial, name, lineage, spki, der, made_ms, not_after_ms, state FROM certificate \
             WHERE lineage = $1 AND spki = $2 AND state = 'issued' ORDER BY seq DESC LIMIT 1",
        )
        .bind(lineage)
        .bind(spki)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(recalled).transpose().map_err(Into::into)
    }

    /// Who issued from this certificate: the predecessor of the head of its lineage.
    pub(crate) async fn predecessor(
        &self,
        issuer: &str,
        serial: &str,
    ) -> Result<Option<String>, StoreError> {
        let row =
            sqlx::query("SELECT predecessor FROM certificate WHERE issuer = $1 AND serial = $2")
                .bind(issuer)
                .bind(serial)
                .fetch_optional(&self.pool)
                .await?;
        match row {
            Some(row) => Ok(row.try_get(0)?),
            None => Ok(None),
        }
    }

    /// Whether a lineage may still renew.
    pub(crate) async fn lineage_is_open(&self, lineage: &str) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM lineage WHERE id = $1 AND closed_ms IS NULL")
            .bind(lineage)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// Whether another lineage uses this key.
    pub(crate) async fn key_is_elsewhere(
        &self,
        spki: &[u8],
        lineage: &str,
    ) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM certificate WHERE spki = $1 AND lineage <> $2 AND state <> 'void' LIMIT 1")
            .bind(spki)
            .bind(lineage)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }
}

fn registration(row: &sqlx::sqlite::SqliteRow) -> Result<RegistrationRow, sqlx::Error> {
    Ok(RegistrationRow {
        name: row.try_get(0)?,
        profile: row.try_get(1)?,
        addresses: row.try_get(2)?,
        services: row.try_get(3)?,
        enabled: row.try_get::<i64, _>(4)? != 0,
    })
}

fn recalled(row: &sqlx::sqlite::SqliteRow) -> Result<Recalled, sqlx::Error> {
    Ok(Recalled {
        serial: row.try_get(0)?,
        name: row.try_get(1)?,
        lineage: row.try_get(2)?,
        spki: row.try_get(3)?,
        der: row.try_get(4)?,
        made_ms: row.try_get(5)?,
        not_after_ms: row.try_get(6)?,
        state: row.try_get(7)?,
    })
}

impl Writing<'_> {
    /// Makes all of it durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.0.commit().await.map_err(Into::into)
    }

    pub(crate) async fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
            .bind(key)
            .bind(value)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    pub(crate) async fn register(
        &mut self,
        row: &RegistrationRow,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO registration (name, profile, addresses, services, enabled, made_ms) VALUES ($1, $2, $3, $4, 1, $5) \
             ON CONFLICT (name) DO UPDATE SET addresses = excluded.addresses, services = excluded.services",
        )
        .bind(&row.name)
        .bind(&row.profile)
        .bind(&row.addresses)
        .bind(&row.services)
        .bind(now_ms)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

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
             WHERE secret_hash = $5 AND used_ms IS NULL AND expires_ms > $1",
        )
        .bind(now_ms)
        .bind(spki)
        .bind(lineage)
        .bind(from)
        .bind(secret)
        .execute(&mut *self.0)
        .await?;
        let row = sqlx::query("SELECT name, spki, lineage, from_address, expires_ms FROM token WHERE secret_hash = $1")
            .bind(secret)
            .fetch_optional(&mut *self.0)
            .await?;
        let Some(row) = row else { return Ok(Spent::Refused) };
        let name: String = row.try_get(0)?;
        if used.rows_affected() == 1 {
            return Ok(Spent::Now(name));
        }
        let (by, lineage): (Option<Vec<u8>>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
        let expired = row.try_get::<i64, _>(4)? <= now_ms;
        Ok(match (by, lineage) {
            (Some(by), Some(lineage)) if by == spki && !expired => Spent::Before { name, lineage },
            (Some(by), _) if by != spki => Spent::ByAnotherKey {
                name,
                from: row.try_get::<Option<String>, _>(3)?.unwrap_or_default(),
            },
            _ => Spent::Refused,
        })
    }

    /// Opens a lineage; the older ones of the name end with it.
    pub(crate) async fn open_lineage(
        &mut self,
        id: &str,
        name: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE lineage SET closed_ms = $1 WHERE name = $2 AND closed_ms IS NULL")
            .bind(now_ms)
            .bind(name)
            .execute(&mut *self.0)
            .await?;
        sqlx::query("INSERT INTO lineage (id, name, opened_ms) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(name)
            .bind(now_ms)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Records what is about to be signed. A serial that was used before is refused here.
    pub(crate) async fn intend(&mut self, intent: &Intent<'_>) -> Result<(), StoreError> {
        let row = sqlx::query(
            "UPDATE counter SET value = value + 1 WHERE name = 'certificate' RETURNING value",
        )
        .fetch_one(&mut *self.0)
        .await?;
        let seq: i64 = row.try_get(0)?;
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

    /// Intents that a crash left: nobody holds a certificate of theirs that the store knows.
    pub(crate) async fn void_intents(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query(
            "UPDATE certificate SET state = 'void' WHERE state = 'intent' RETURNING issuer, serial",
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, sqlx::Error>>()
            .map_err(Into::into)
    }

    /// Appends to the ledger, in the same transaction as what it records.
    pub(crate) async fn record(&mut self, entry: &Entry<'_>) -> Result<(), StoreError> {
        let last = sqlx::query("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *self.0)
            .await?;
        let (seq, prev): (i64, Vec<u8>) = match last {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (0, vec![0; 32]),
        };
        let line = ledger::Line::after(seq, prev, entry);
        sqlx::query("INSERT INTO ledger (seq, entry, prev, hash) VALUES ($1, $2, $3, $4)")
            .bind(line.seq)
            .bind(&line.entry)
            .bind(&line.prev)
            .bind(&line.hash)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
impl Writing<'_> {
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
