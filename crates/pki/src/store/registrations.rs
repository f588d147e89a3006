//! Registrations and lineages: who may have certificates, and which chain of renewals is theirs.

use super::{Store, StoreError, Writing, every};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A registration as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrationRow {
    /// Its name, unique.
    pub name: String,
    /// Its profile's word.
    pub profile: String,
    /// Addresses of a service, one a line.
    pub addresses: String,
    /// Services that a client is meant for, one a line.
    pub services: String,
    /// DNS names of its certificates, one a line.
    pub dns: String,
    /// IP addresses of its certificates, one a line.
    pub ips: String,
    /// Life of its certificates in milliseconds, if not the Authority's.
    pub life_ms: Option<i64>,
    /// How many lineages may be open at once.
    pub max_lineages: i64,
    /// `replace` or `add`: what a further enrollment does to the lineages that are open.
    pub on_reenroll: String,
    /// Whether certificates carry the name for humans as well.
    pub display_name: bool,
    /// Whether one certificate may be seen in several places.
    pub shared: bool,
    /// Whether it may enroll and renew.
    pub enabled: bool,
}

macro_rules! registrations {
    ($rest:literal) => {
        concat!(
            "SELECT name, profile, addresses, services, dns, ips, life_ms, max_lineages, \
             on_reenroll, display_name, shared, enabled FROM registration ",
            $rest
        )
    };
}

impl Store {
    /// Every registration, by name.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn registrations(&self) -> Result<Vec<RegistrationRow>, StoreError> {
        let rows = sqlx::query(registrations!("ORDER BY name")).fetch_all(&self.pool).await?;
        every(&rows, registration)
    }

    pub(crate) async fn registration(
        &self,
        name: &str,
    ) -> Result<Option<RegistrationRow>, StoreError> {
        let row = sqlx::query(registrations!("WHERE name = $1"))
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(registration).transpose().map_err(Into::into)
    }

    /// How many registrations there are.
    pub(crate) async fn count_registrations(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM registration").fetch_one(&self.pool).await?;
        Ok(row.try_get(0)?)
    }

    /// The lineages of a name that are open.
    pub(crate) async fn lineages_of(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT id FROM lineage WHERE name = $1 AND closed_ms IS NULL")
            .bind(name)
            .fetch_all(&self.pool)
            .await?;
        every(&rows, |row| row.try_get(0))
    }

    /// Whether a lineage may still renew.
    pub(crate) async fn lineage_is_open(&self, lineage: &str) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM lineage WHERE id = $1 AND closed_ms IS NULL")
            .bind(lineage)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }
}

impl Writing {
    /// Writes what is known of a registration; whether it is enabled stays as it is.
    pub(crate) async fn register(
        &mut self,
        row: &RegistrationRow,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO registration (name, profile, addresses, services, dns, ips, life_ms, \
             max_lineages, on_reenroll, display_name, shared, enabled, made_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12) \
             ON CONFLICT (name) DO UPDATE SET addresses = excluded.addresses, \
             services = excluded.services, dns = excluded.dns, ips = excluded.ips, \
             life_ms = excluded.life_ms, max_lineages = excluded.max_lineages, \
             on_reenroll = excluded.on_reenroll, display_name = excluded.display_name, \
             shared = excluded.shared",
        )
        .bind(&row.name)
        .bind(&row.profile)
        .bind(&row.addresses)
        .bind(&row.services)
        .bind(&row.dns)
        .bind(&row.ips)
        .bind(row.life_ms)
        .bind(row.max_lineages)
        .bind(&row.on_reenroll)
        .bind(i64::from(row.display_name))
        .bind(i64::from(row.shared))
        .bind(now_ms)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Lets a registration enroll and renew, or not; whether that changed anything.
    pub(crate) async fn enable(&mut self, name: &str, enabled: bool) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE registration SET enabled = $1 WHERE name = $2 AND enabled <> $1")
                .bind(i64::from(enabled))
                .bind(name)
                .execute(&mut *self.0)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The lineages of a name that are open, oldest first.
    pub(crate) async fn open_lineages(&mut self, name: &str) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT id FROM lineage WHERE name = $1 AND closed_ms IS NULL ORDER BY opened_ms, id",
        )
        .bind(name)
        .fetch_all(&mut *self.0)
        .await?;
        every(&rows, |row| row.try_get(0))
    }

    pub(crate) async fn open_lineage(
        &mut self,
        id: &str,
        name: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO lineage (id, name, opened_ms) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(name)
            .bind(now_ms)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    pub(crate) async fn close_lineage(&mut self, id: &str, now_ms: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE lineage SET closed_ms = $1 WHERE id = $2 AND closed_ms IS NULL")
            .bind(now_ms)
            .bind(id)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

fn registration(row: &SqliteRow) -> Result<RegistrationRow, sqlx::Error> {
    Ok(RegistrationRow {
        name: row.try_get(0)?,
        profile: row.try_get(1)?,
        addresses: row.try_get(2)?,
        services: row.try_get(3)?,
        dns: row.try_get(4)?,
        ips: row.try_get(5)?,
        life_ms: row.try_get(6)?,
        max_lineages: row.try_get(7)?,
        on_reenroll: row.try_get(8)?,
        display_name: row.try_get::<i64, _>(9)? != 0,
        shared: row.try_get::<i64, _>(10)? != 0,
        enabled: row.try_get::<i64, _>(11)? != 0,
    })
}
