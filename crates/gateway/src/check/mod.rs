//! `check`: what would leak, lock out or surprise, found before anything starts (C3 to C20 of
//! `trust.md` section 14).
//!
//! A file that breaks a rule by what it says is refused when it is loaded; here is what depends
//! on the host and the day, and what is allowed but should be known. No connection is opened.

mod files;

use crate::config::places::Places;
use crate::config::{Config, IdentitySource};
use segwan::TlsFloor;
use segwan_core::finding::Finding;
use segwan_core::identity::{ForeignRealm, Identity};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Descriptors that are kept for the store, logs and the admin socket.
const KEPT: u64 = 128;

/// What is worth saying about a configuration that can be started. `file` is its file, for places;
/// where there is none, as with flags, findings are about the whole.
#[must_use]
pub fn findings(config: &Config, file: &str) -> Vec<Finding> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    let check = Check { config, places: Places::of(file), now };
    let mut findings = Vec::new();
    for service in &config.services {
        let table = ["service", service.name.as_str()];
        check.allowed(&table, &service.allow, &service.identity, &mut findings);
        check.files(&table, &service.identity, true, &mut findings);
        check.connections(&table, service.limits.max_connections, &mut findings);
        check.tls(&table, service.tls, &mut findings);
        if service.inspection.capture().is_some() {
            let message = format!(
                "all that passes through `{}` is recorded in the state directory, up to 64 MiB",
                service.name
            );
            let at = [table[0], table[1], "record"];
            let hint = "remove `record` once there is a contract";
            findings.push(check.places.error(&at, message).hint(hint).warning());
        }
        if !service.upstream.is_local() {
            let message = format!(
                "messages of `{}` cross the network to `{}` in the clear",
                service.name, service.upstream
            );
            let at = [table[0], table[1], "danger_plaintext_upstream"];
            findings.push(check.places.error(&at, message).check("C16").warning());
        }
    }
    for client in &config.clients {
        let table = ["client", client.name.as_str()];
        check.expected(&table, client.peer.identities(), &client.identity, &mut findings);
        check.files(&table, &client.identity, false, &mut findings);
        check.connections(&table, client.limits.max_connections, &mut findings);
        check.tls(&table, client.tls, &mut findings);
    }
    check.foreign(&mut findings);
    check.state(&mut findings);
    if rustix::process::geteuid().is_root() {
        let hint =
            "`User=segwan` in its unit; ports below 1024 need CAP_NET_BIND_SERVICE, not root";
        let finding = Finding::whole(file, "this is user root; segwan needs none of its rights");
        findings.push(finding.check("C20").hint(hint).warning());
    }
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings
}

/// One look at one configuration.
struct Check<'c> {
    config: &'c Config,
    places: Places,
    /// Unix seconds.
    now: i64,
}

impl Check<'_> {
    /// C3: no certificate of the Authority holds a name outside its trust domain.
    fn allowed(
        &self,
        table: &[&str; 2],
        allow: &[Identity],
        source: &IdentitySource,
        findings: &mut Vec<Finding>,
    ) {
        for identity in self.outside(allow, source) {
            let message = format!(
                "`{identity}` can never connect: it is outside the trust domain `{}`",
                self.config.trust_domain
            );
            let at = [table[0], table[1], "allow"];
            let finding = self.places.element(&at, &identity.to_string(), message);
            let hint = "`trust_domain` names another one; `credentials` and `trust` take existing certificates";
            findings.push(finding.check("C3").hint(hint));
        }
        for identity in self.unknown_foreign(allow, source) {
            let message = format!("`{identity}` can never connect: no `map` gives that name");
            let at = [table[0], table[1], "allow"];
            let finding = self.places.element(&at, &identity.to_string(), message);
            let hint = "peers of `[[trust.foreign]]` are `foreign/NAME/..`, by its `name`";
            findings.push(finding.check("C3").hint(hint));
        }
    }

    /// C3: names of foreign authorities that are not there, or that give no such name.
    fn unknown_foreign<'i>(
        &self,
        identities: &'i [Identity],
        source: &IdentitySource,
    ) -> impl Iterator<Item = &'i Identity> {
        let realms: Option<Vec<_>> = match source {
            IdentitySource::State(_) => {
                Some(self.config.foreign.iter().map(|it| it.mapping.realm().clone()).collect())
            }
            IdentitySource::Files { mapping, .. } => {
                mapping.as_ref().map(|mapping| vec![mapping.realm().clone()])
            }
        };
        let native = matches!(source, IdentitySource::State(_));
        identities.iter().filter(move |identity| {
            let unknown = |realms: &Vec<ForeignRealm>| !realms.iter().any(|it| it.holds(identity));
            (identity.is_foreign() || !native) && realms.as_ref().is_some_and(unknown)
        })
    }

    /// C3 for a far side, which may belong to the Authority of whoever gave the token.
    fn expected(
        &self,
        table: &[&str; 2],
        peers: &[Identity],
        source: &IdentitySource,
        findings: &mut Vec<Finding>,
    ) {
        for identity in self.outside(peers, source) {
            let message = format!(
                "`{identity}` is outside the trust domain `{}`: only who joined another one reaches it",
                self.config.trust_domain
            );
            let at = [table[0], table[1], "peer"];
            let finding = self.places.element(&at, &identity.to_string(), message);
            findings.push(finding.check("C3").warning());
        }
    }

    fn outside<'i>(
        &self,
        identities: &'i [Identity],
        source: &IdentitySource,
    ) -> impl Iterator<Item = &'i Identity> {
        let state = matches!(source, IdentitySource::State(_));
        let domain = self.config.trust_domain.as_str().to_owned();
        identities.iter().filter(move |i| state && i.trust_domain() != Some(domain.as_str()))
    }

    /// C10: connections that were asked for and cannot be had. Each takes two descriptors.
    fn connections(&self, table: &[&str; 2], connections: usize, findings: &mut Vec<Finding>) {
        let at = [table[0], table[1], "limits", "max_connections"];
        let tables = (self.config.services.len() + self.config.clients.len()).max(1) as u64;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let Some(limit) = limit.maximum else { return };
        let share = limit.saturating_sub(KEPT) / 2 / tables;
        if connections as u64 > share && self.places.has(&at) {
            let message = format!(
                "`max_connections` is {connections}, but {limit} descriptors allow {share} for each of {tables}"
            );
            let hint = "`LimitNOFILE=` in its unit, or `ulimit -n`";
            findings.push(self.places.error(&at, message).check("C10").hint(hint));
        }
    }

    /// C20: an older TLS.
    fn tls(&self, table: &[&str; 2], floor: TlsFloor, findings: &mut Vec<Finding>) {
        if floor == TlsFloor::V12 {
            let message = format!("`{}` also speaks TLS 1.2", table[1]);
            let at = [table[0], table[1], "tls_min"];
            findings.push(self.places.error(&at, message).check("C20").warning());
        }
    }

    /// C7 and C19: the state directory, if there is one already.
    fn state(&self, findings: &mut Vec<Finding>) {
        let Some(state) = self.config.state_dir.as_deref() else { return };
        if let Some(open) = changeable_by_all(state) {
            let message = format!(
                "anybody can put another directory in the place of `{}`: `{}` is changeable by all",
                state.display(),
                open.display()
            );
            findings.push(self.places.error(&["state_dir"], message).check("C7"));
        }
        let key = state.join("authority/root/root.key.pem");
        let silenced =
            self.config.authority.as_ref().is_some_and(|authority| authority.danger_root_online);
        if key.exists() && !silenced {
            let message = format!("the root's key lies on this host, in `{}`", key.display());
            let hint = "it is needed once a year; `segwan ca root export --to DIR` moves it away";
            let finding = self.places.error(&["authority"], message).check("C19").hint(hint);
            findings.push(finding.warning());
        }
    }
}

/// A directory on the way to `path` in which anybody may rename it.
fn changeable_by_all(path: &Path) -> Option<&Path> {
    path.ancestors().find(|directory| {
        const ALL_WRITE: u32 = 0o002;
        const STICKY: u32 = 0o1000;
        let mode = directory.metadata().map_or(0, |metadata| metadata.mode());
        mode & ALL_WRITE != 0 && mode & STICKY == 0
    })
}

#[cfg(test)]
mod tests;
