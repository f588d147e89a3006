//! Agents: who was heard of, what each has in force, and when.

use super::{Store, StoreError, Writing, every};
use sqlx::Row;

/// An agent as it is listed: one identity at one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// The installation.
    pub instance: String,
    /// Name of the registration.
    pub name: String,
    /// `gateway`, `client` or `library`.
    pub kind: String,
    /// Its version of Segwan.
    pub version: String,
    /// What its host calls itself.
    pub host: String,
    /// From where it was heard last.
    pub address: String,
    /// When it was heard last, Unix milliseconds.
    pub heard_ms: i64,
    /// Version of the bundle that it has in force.
    pub bundle_version: i64,
    /// Number of the last event that it acknowledged.
    pub acked: i64,
    /// How far its clock is ahead of ours, milliseconds.
    pub skew_ms: i64,
}

/// Who is heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent<'a> {
    pub(crate) instance: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) version: &'a str,
    pub(crate) host: &'a str,
    pub(crate) address: &'a str,
}

impl Store {
    /// Agents that were heard of since, the latest first.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn agents(&self, since_ms: i64) -> Result<Vec<AgentRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT instance, name, kind, version, host, address, heard_ms, bundle_version, acked, \
             skew_ms FROM agent WHERE heard_ms >= $1 ORDER BY heard_ms DESC, name LIMIT 100000",
        )
        .bind(since_ms)
        .fetch_all(&self.pool)
        .await?;
        every(&rows, |row| {
            Ok(AgentRow {
                instance: row.try_get(0)?,
                name: row.try_get(1)?,
                kind: row.try_get(2)?,
                version: row.try_get(3)?,
                host: row.try_get(4)?,
                address: row.try_get(5)?,
                heard_ms: row.try_get(6)?,
                bundle_version: row.try_get(7)?,
                acked: row.try_get(8)?,
                skew_ms: row.try_get(9)?,
            })
        })
    }
}

impl Writing {
    /// Notes that an agent's stream began, and the event that it has in force already.
    pub(crate) async fn heard(
        &mut self,
        agent: &Agent<'_>,
        acked: i64,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO agent (instance, name, kind, version, host, address, heard_ms, \
             bundle_version, acked, skew_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, 0) \
             ON CONFLICT (instance, name) DO UPDATE SET kind = excluded.kind, \
             version = excluded.version, host = excluded.host, address = excluded.address, \
             heard_ms = excluded.heard_ms, acked = excluded.acked",
        )
        .bind(agent.instance)
        .bind(agent.name)
        .bind(agent.kind)
        .bind(agent.version)
        .bind(agent.host)
        .bind(agent.address)
        .bind(now_ms)
        .bind(acked)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Keeps so many installations of a name, those that were heard last: whoever holds one
    /// certificate does not invent hosts that everybody waits for.
    pub(crate) async fn keep_agents(&mut self, name: &str, most: i64) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM agent WHERE name = $1 AND instance NOT IN (SELECT instance FROM agent \
             WHERE name = $1 ORDER BY heard_ms DESC, instance LIMIT $2)",
        )
        .bind(name)
        .bind(most)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Notes what an agent has in force.
    pub(crate) async fn acknowledged(
        &mut self,
        (instance, name): (&str, &str),
        acked: i64,
        bundle_version: i64,
        skew_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE agent SET heard_ms = $1, acked = max(acked, $2), bundle_version = $3, \
             skew_ms = ifnull($4, skew_ms) WHERE instance = $5 AND name = $6",
        )
        .bind(now_ms)
        .bind(acked)
        .bind(bundle_version)
        .bind(skew_ms)
        .bind(instance)
        .bind(name)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Forgets agents that were not heard of for long.
    pub(crate) async fn forget_agents(&mut self, before_ms: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM agent WHERE heard_ms < $1")
            .bind(before_ms)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}
