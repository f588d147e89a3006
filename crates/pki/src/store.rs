//! `Store`: the Authority's memory, in SQLite.
//!
//! The one door to SQL. Every statement is a constant, takes `$1` placeholders and plain types
//! only (text, bytes, whole numbers; times are Unix milliseconds that the caller passes), so the
//! same ones run on another engine later (`crates.md` section 5.3).

mod agents;
mod certificates;
mod events;
mod inventory;
mod ledger;
mod migrations;
mod registrations;
mod reserve;
mod revocations;
mod tokens;
mod trust;

pub use agents::AgentRow;
pub use inventory::{CertificateRow, Filter, UnrecordedRow, View};
pub use registrations::RegistrationRow;
pub use revocations::RevokedRow;
pub use tokens::TokenRow;
pub use trust::{IssuingRow, IssuingState};

pub(crate) use agents::Agent;
pub(crate) use certificates::{Intent, Recalled};
pub(crate) use events::Stored;
pub(crate) use revocations::{NewRevocation, Which};
pub(crate) use tokens::Spent;
pub(crate) use trust::StoredCrl;

use reserve::Reserve;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, SqlitePool};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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
    #[error("the Authority's store has the schema {0}; this build knows {newest}", newest = migrations::NEWEST)]
    Schema(i64),
    /// The disk is full.
    #[error("the Authority's store cannot be written: the disk is full")]
    Full,
    /// The disk was full: nothing is issued until there is room again.
    #[error(
        "the Authority's store is read-only for issuing, because the disk is full; revoking works"
    )]
    ReadOnly,
    /// The database could not be read or written now.
    #[error("the Authority's store is not available: {0}")]
    Unavailable(String),
}

/// SQLite's own number for a full disk.
const SQLITE_FULL: &str = "13";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(fault) = &error
            && fault.code().as_deref() == Some(SQLITE_FULL)
        {
            return Self::Full;
        }
        Self::Unavailable(error.to_string())
    }
}

impl StoreError {
    /// What cannot be read while the database is opened is damaged.
    fn damaging(self, path: &Path) -> Self {
        match self {
            Self::Unavailable(what) => Self::Damaged { path: path.display().to_string(), what },
            other => other,
        }
    }
}

/// One open database. Writers wait for each other; readers do not wait.
#[derive(Debug, Clone)]
pub struct Store {
    /// For reading.
    pool: SqlitePool,
    /// The one connection that writes: who waits for it holds no other.
    writer: SqlitePool,
    reserve: Arc<Reserve>,
}

/// One transaction that writes: all of it, or nothing.
///
/// What is dropped without a commit takes its connection with it: closing it rolls back whatever
/// happened, also where SQLite has ended the transaction by itself, as on a full disk.
pub(crate) struct Writing(PoolConnection<Sqlite>, Ended);

/// Whether the transaction came to its end, so that its connection may serve another.
#[derive(PartialEq, Eq)]
struct Ended(bool);

impl Drop for Writing {
    fn drop(&mut self) {
        if self.1 != Ended(true) {
            self.0.close_on_drop();
        }
    }
}

impl Store {
    /// Opens the database; makes it, with its schema, only if `create` says so.
    ///
    /// # Errors
    /// If it is damaged, newer than this build, or cannot be opened.
    pub async fn open(path: &Path, create: bool) -> Result<Self, StoreError> {
        let store = Self::connect(path, create).await?;
        let opened = async {
            if !create {
                store.check().await?;
            }
            store.migrate().await
        };
        match opened.await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error.damaging(path))
            }
        }
    }

    async fn connect(path: &Path, create: bool) -> Result<Self, StoreError> {
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
            crate::directory::write_private(path, b"")
                .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        }
        let connect = async |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(5))
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_with(options.clone())
                .await
                .map_err(|e| StoreError::from(e).damaging(path))
        };
        Ok(Self {
            writer: connect(1).await?,
            pool: connect(4).await?,
            reserve: Arc::new(Reserve::beside(path)),
        })
    }

    /// Reads the settings back, and looks over the pages (DEP-54).
    async fn check(&self) -> Result<(), StoreError> {
        let text = |row: SqliteRow| row.try_get::<String, _>(0);
        let check = sqlx::query("PRAGMA quick_check").fetch_one(&self.pool).await.and_then(text)?;
        if check != "ok" {
            return Err(StoreError::Unavailable(check));
        }
        let mode = sqlx::query("PRAGMA journal_mode").fetch_one(&self.pool).await.and_then(text)?;
        let number = |row: SqliteRow| row.try_get::<i64, _>(0);
        let full =
            sqlx::query("PRAGMA synchronous").fetch_one(&self.pool).await.and_then(number)?;
        let keys =
            sqlx::query("PRAGMA foreign_keys").fetch_one(&self.pool).await.and_then(number)?;
        if mode != "wal" || full != 2 || keys != 1 {
            let what = format!("journal {mode}, synchronous {full}, foreign keys {keys}");
            return Err(StoreError::Unavailable(format!("its settings do not hold: {what}")));
        }
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.pool.close().await;
        self.writer.close().await;
    }

    /// Begins to write what can wait: issuing, registering, tokens. Refused while the disk is full.
    pub(crate) async fn write(&self) -> Result<Writing, StoreError> {
        if self.reserve.is_spent() {
            return Err(StoreError::ReadOnly);
        }
        self.begin().await
    }

    /// Begins to write what cannot wait: a revocation, also while the disk is full.
    pub(crate) async fn write_at_once(&self) -> Result<Writing, StoreError> {
        self.begin().await
    }

    async fn begin(&self) -> Result<Writing, StoreError> {
        let mut writing = Writing(self.writer.acquire().await?, Ended(false));
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *writing.0).await?;
        Ok(writing)
    }

    /// A copy of the whole database, at one instant, in a file of its own.
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        sqlx::query("VACUUM INTO $1")
            .bind(path.display().to_string())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Something that is known about the Authority as a whole.
    pub(crate) async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE key = $1")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| row.try_get(0)).transpose().map_err(Into::into)
    }
}

impl Writing {
    /// Makes all of it durable.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        #[cfg(test)]
        crate::watching::written();
        sqlx::query("COMMIT").execute(&mut *self.0).await?;
        #[cfg(test)]
        crate::watching::written();
        self.1 = Ended(true);
        Ok(())
    }

    pub(crate) async fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
            .bind(key)
            .bind(value)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// The next number of a counter.
    async fn count(&mut self, counter: &str) -> Result<i64, StoreError> {
        let row =
            sqlx::query("UPDATE counter SET value = value + 1 WHERE name = $1 RETURNING value")
                .bind(counter)
                .fetch_one(&mut *self.0)
                .await?;
        Ok(row.try_get(0)?)
    }
}

/// Each row as what it says.
fn every<T>(
    rows: &[SqliteRow],
    one: impl FnMut(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, StoreError> {
    rows.iter().map(one).collect::<Result<_, _>>().map_err(Into::into)
}
