//! The schema, from one number to the next: each step is whole or has not happened (PKI-54).

use super::{Store, StoreError};
use crate::key::{hex, sha256};
use sqlx::Row;

const STEPS: [(i64, &str); 3] = [
    (1, include_str!("0001.sqlite.sql")),
    (2, include_str!("0002.sqlite.sql")),
    (3, include_str!("0003.sqlite.sql")),
];

/// The schema of this build.
pub(super) const NEWEST: i64 = 3;

impl Store {
    /// Brings the database to the schema of this build.
    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let has = self.schema().await?;
        if has > NEWEST {
            return Err(StoreError::Schema(has));
        }
        for (number, sql) in STEPS.iter().filter(|(number, _)| *number > has) {
            let mut writing = self.begin().await?;
            sqlx::raw_sql(*sql).execute(&mut *writing.0).await?;
            writing.set_meta("schema", &number.to_string()).await?;
            let hash = hex(&sha256(sql.as_bytes()));
            writing.set_meta(&format!("migration.{number}"), &hash).await?;
            writing.commit().await?;
        }
        Ok(())
    }

    /// The schema that the database has; 0: none yet.
    async fn schema(&self) -> Result<i64, StoreError> {
        let table = sqlx::query("SELECT 1 FROM sqlite_schema WHERE name = 'meta'")
            .fetch_optional(&self.pool)
            .await?;
        if table.is_none() {
            return Ok(0);
        }
        let row = sqlx::query("SELECT value FROM meta WHERE key = 'schema'")
            .fetch_optional(&self.pool)
            .await?;
        let text = row.map(|row| row.try_get::<String, _>(0)).transpose()?;
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| StoreError::Unavailable("its schema has no number".to_owned()))
    }
}

#[cfg(test)]
impl Store {
    /// A database as the first schema was, which names its issuing keys in `meta`.
    pub(crate) async fn of_first_schema(
        path: &std::path::Path,
        meta: &[(&str, &str)],
    ) -> Result<Self, StoreError> {
        let store = Self::connect(path, true).await?;
        let mut writing = store.begin().await?;
        for (_, sql) in &STEPS[..1] {
            sqlx::raw_sql(*sql).execute(&mut *writing.0).await?;
        }
        for (key, value) in meta {
            writing.set_meta(key, value).await?;
        }
        writing.commit().await?;
        Ok(store)
    }
}
