//! What is listed: registrations, certificates, and certificates that nobody recorded.

use segwan_pki::store::{CertificateRow, RegistrationRow, UnrecordedRow};
use serde::{Deserialize, Serialize};

/// One registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationView {
    /// Its name.
    pub name: String,
    /// Its profile.
    pub profile: String,
    /// `host:port` at which a service is reached.
    pub addresses: Vec<String>,
    /// Services that a client is meant for.
    pub services: Vec<String>,
    /// DNS names of its certificates.
    pub dns: Vec<String>,
    /// IP addresses of its certificates.
    pub ips: Vec<String>,
    /// Life of its certificates, milliseconds, if not the Authority's.
    pub leaf_lifetime_ms: Option<i64>,
    /// How many machines may hold it at once.
    pub max_lineages: i64,
    /// `replace` or `add`.
    pub on_reenroll: String,
    /// Whether certificates carry the name for humans as well.
    pub display_name: bool,
    /// Whether one certificate may be used in several places.
    pub shared: bool,
    /// Whether it may enroll and renew.
    pub enabled: bool,
}

impl From<RegistrationRow> for RegistrationView {
    fn from(row: RegistrationRow) -> Self {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self {
            addresses: lines(&row.addresses),
            services: lines(&row.services),
            dns: lines(&row.dns),
            ips: lines(&row.ips),
            leaf_lifetime_ms: row.life_ms,
            max_lineages: row.max_lineages,
            on_reenroll: row.on_reenroll,
            display_name: row.display_name,
            shared: row.shared,
            name: row.name,
            profile: row.profile,
            enabled: row.enabled,
        }
    }
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// Whose it is.
    pub name: String,
    /// What it may be used for.
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
    /// Whether a newer one of its lineage exists.
    pub superseded: bool,
}

impl From<CertificateRow> for CertificateView {
    fn from(row: CertificateRow) -> Self {
        Self {
            name: row.name,
            profile: row.profile,
            issuer: row.issuer,
            serial: row.serial,
            lineage: row.lineage,
            made_ms: row.made_ms,
            not_after_ms: row.not_after_ms,
            state: row.reason.as_ref().map_or(row.state, |_| "revoked".to_owned()),
            reason: row.reason,
            first_seen_ms: row.first_seen_ms,
            last_seen_ms: row.last_seen_ms,
            seen_by: row.seen_by,
            seen_from: row.seen_from,
            superseded: row.superseded,
        }
    }
}

/// A certificate that was seen under our issuing keys and is not on the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnrecordedView {
    /// Key id of its issuer, lower-case hex.
    pub issuer: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// When it was first seen, Unix milliseconds.
    pub first_ms: i64,
    /// When last.
    pub last_ms: i64,
    /// Which service saw it.
    pub seen_by: String,
}

impl From<UnrecordedRow> for UnrecordedView {
    fn from(row: UnrecordedRow) -> Self {
        let UnrecordedRow { issuer, serial, first_ms, last_ms, seen_by } = row;
        Self { issuer, serial, first_ms, last_ms, seen_by }
    }
}
