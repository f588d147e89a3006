//! What the Authority of this process says in numbers, read from its store at each scrape.

use super::{Counters, Gauges};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use segwan_pki::authority::{Authority, AuthorityError, Signing};
use segwan_pki::certificate::Certificate;
use std::sync::atomic::AtomicU64;

/// Agents that were heard of within so long are counted, in milliseconds.
const HEARD: i64 = 7 * 24 * 3_600_000;

/// How an Authority stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorityNumbers {
    /// Whether the key of the root lies on this host.
    pub root_key_online: bool,
    /// When the root ends, Unix seconds.
    pub root_ends: i64,
    /// Key id of each issuing key, and when its certificate ends, Unix seconds.
    pub issuing: Vec<(String, i64)>,
    /// How long the Authority may stay down, seconds; `None`: nobody holds a certificate.
    pub outage_budget: Option<i64>,
    /// Key id of each list's issuer, and how old the list is, seconds.
    pub crls: Vec<(String, i64)>,
    /// Certificates that were revoked, by reason.
    pub revoked: Vec<(String, u64)>,
    /// Version of the bundle in force.
    pub bundle_version: i64,
    /// Agents that have it in force, and agents that have not.
    pub bundle_agents: (usize, usize),
    /// Whether nothing is issued because the disk is full.
    pub read_only: bool,
    /// Lines of the ledger.
    pub ledger_size: i64,
    /// Certificates signed since the start, and how long that took.
    pub signing: Signing,
}

impl AuthorityNumbers {
    /// Reads them.
    ///
    /// # Errors
    /// If the store is not available.
    pub async fn of(authority: &Authority, now_ms: i64) -> Result<Self, AuthorityError> {
        let version = authority.bundle_version().await?;
        let agents = authority.agents(now_ms - HEARD).await?;
        let current = agents.iter().filter(|agent| agent.bundle_version >= version).count();
        let issuing = authority.issuing_keys().await?;
        let lists = authority.lists().await?;
        let age = |at_ms: i64| (now_ms - at_ms).max(0) / 1000;
        let revoked = authority.count_revoked().await?;
        let (_, budget) = authority.outage_budget(now_ms).await?;
        Ok(Self {
            root_key_online: crate::ca::root_key_since(authority.place()).is_some(),
            root_ends: Certificate::read(&authority.root()).map_or(0, |root| root.not_after),
            issuing: issuing.into_iter().map(|key| (key.id, key.not_after_ms / 1000)).collect(),
            outage_budget: budget.map(|ms| ms / 1000),
            crls: lists.into_iter().map(|list| (list.issuer, age(list.at_ms))).collect(),
            revoked: revoked
                .into_iter()
                .map(|(reason, count)| (reason, u64::try_from(count).unwrap_or(0)))
                .collect(),
            bundle_version: version,
            bundle_agents: (current, agents.len() - current),
            read_only: authority.is_read_only(),
            ledger_size: authority.ledger_head().await?.0,
            signing: authority.signing(),
        })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let mut one = |name: &str, help: &str, value: i64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        one(
            "segwan_root_key_online",
            "1 while the key of the root lies on this host",
            i64::from(self.root_key_online),
        );
        one("segwan_root_expires_timestamp_seconds", "When the root ends", self.root_ends);
        if let Some(budget) = self.outage_budget {
            one(
                "segwan_ca_outage_budget_seconds",
                "How long the Authority may stay down before somebody has no certificate",
                budget,
            );
        }
        one(
            "segwan_store_read_only",
            "1 while nothing is issued because the disk is full",
            i64::from(self.read_only),
        );
        one("segwan_ledger_size", "Lines of the ledger", self.ledger_size);
        one("segwan_bundle_version", "Version of the trust bundle in force", self.bundle_version);
        let gauges = |label: &'static str, values: &[(String, i64)]| {
            let family = Gauges::default();
            for (of, value) in values {
                family.get_or_create(&vec![(label, of.clone())]).set(*value);
            }
            family
        };
        registry.register(
            "segwan_issuing_expires_timestamp_seconds",
            "When the certificate of an issuing key ends, Unix seconds",
            gauges("key", &self.issuing),
        );
        registry.register(
            "segwan_crl_age_seconds",
            "How long ago the revocation list of a key was made",
            gauges("key", &self.crls),
        );
        let (current, behind) = self.bundle_agents;
        let agents = [
            ("current".to_owned(), super::size(current)),
            ("behind".to_owned(), super::size(behind)),
        ];
        registry.register(
            "segwan_bundle_agents",
            "Agents that were heard of within a week, by whether they have the bundle in force",
            gauges("state", &agents),
        );
        let revoked = Counters::default();
        for (reason, count) in &self.revoked {
            revoked.get_or_create(&vec![("reason", reason.clone())]).inc_by(*count);
        }
        registry.register("segwan_revocations", "Certificates revoked, by reason", revoked);
        let signed = Counter::<u64>::default();
        signed.inc_by(self.signing.count);
        registry.register("segwan_signatures", "Certificates signed since the start", signed);
        let took = Counter::<f64, AtomicU64>::default();
        took.inc_by(self.signing.took.as_secs_f64());
        registry.register(
            "segwan_signing_seconds",
            "How long it took to sign and check certificates since the start",
            took,
        );
    }
}
