//! What a process cannot change while it runs: where it listens, where it leads, what it shows. A
//! file that asks for it is refused whole, so that nobody believes it is in force.

use crate::config::places::Places;
use crate::config::{Client, Config, Service, Source};
use segwan_core::finding::Finding;

/// What to do about it.
const HINT: &str = "restart the process; until then undo it, and the rest can be reloaded";

/// Each difference that needs a restart, at its place in the file.
pub(super) fn findings(in_force: &Config, next: &Config) -> Vec<Finding> {
    // Flags stay as they were given.
    if !matches!(next.source, Source::File { .. }) {
        return Vec::new();
    }
    let mut fixed = Fixed { places: Places::of(&next.source.file()), findings: Vec::new() };
    let differs = [
        ("state_dir", in_force.state_dir != next.state_dir),
        ("threads", in_force.threads != next.threads),
        ("admin", in_force.admin != next.admin),
        ("trust_domain", in_force.trust_domain != next.trust_domain),
        ("trust", in_force.caution != next.caution || in_force.foreign != next.foreign),
        ("authority", in_force.authority != next.authority),
        ("drain_timeout", in_force.drain_timeout != next.drain_timeout),
    ];
    for (key, _) in differs.into_iter().filter(|(_, differs)| *differs) {
        fixed.tell(&[key], format!("`{key}` is not what this process was started with"));
    }
    let name = |service: &Service| service.name.clone();
    fixed.names("service", in_force.services.iter().map(name), next.services.iter().map(name));
    let name = |client: &Client| client.name.clone();
    fixed.names("client", in_force.clients.iter().map(name), next.clients.iter().map(name));
    for now in &in_force.services {
        if let Some(next) = next.services.iter().find(|next| next.name == now.name) {
            fixed.service(now, next);
        }
    }
    for now in &in_force.clients {
        if let Some(next) = next.clients.iter().find(|next| next.name == now.name) {
            fixed.client(now, next);
        }
    }
    fixed.findings
}

struct Fixed {
    places: Places,
    findings: Vec<Finding>,
}

impl Fixed {
    fn tell(&mut self, path: &[&str], message: String) {
        self.findings.push(self.places.error(path, message).hint(HINT));
    }

    /// Tables that are new, and those that are missing.
    fn names(
        &mut self,
        kind: &str,
        now: impl Iterator<Item = String>,
        next: impl Iterator<Item = String>,
    ) {
        let (now, next): (Vec<_>, Vec<_>) = (now.collect(), next.collect());
        for name in next.iter().filter(|name| !now.contains(name)) {
            self.tell(&[kind, name], format!("`[{kind}.{name}]` does not run yet"));
        }
        for name in now.iter().filter(|name| !next.contains(name)) {
            self.tell(&[kind], format!("`[{kind}.{name}]` runs, and is not there any more"));
        }
    }

    fn service(&mut self, now: &Service, next: &Service) {
        let differs = [
            (&["listen"][..], now.listen != next.listen),
            (&["upstream"], now.upstream != next.upstream),
            (&["tls_min"], now.tls != next.tls),
            (&["identity", "credentials"], now.identity != next.identity),
        ];
        self.table("service", &now.name, differs);
    }

    fn client(&mut self, now: &Client, next: &Client) {
        let differs = [
            (&["listen"][..], now.listen != next.listen),
            (&["connect"], now.connect != next.connect),
            (&["peer"], now.peer != next.peer),
            (&["tls_min"], now.tls != next.tls),
            (&["identity", "credentials"], now.identity != next.identity),
        ];
        self.table("client", &now.name, differs);
    }

    /// The keys of one table that differ; of several that stand for one thing, the one that is there.
    fn table<const N: usize>(&mut self, kind: &str, name: &str, differs: [(&[&str], bool); N]) {
        for (keys, _) in differs.into_iter().filter(|(_, differs)| *differs) {
            let here = keys.iter().find(|key| self.places.has(&[kind, name, key]));
            let Some(key) = here.or_else(|| keys.first()) else { continue };
            let message = format!("`{key}` of `[{kind}.{name}]` is not what it was started with");
            self.tell(&[kind, name, key], message);
        }
    }
}
