//! One table, as `segwan status` shows it: plain values, taken at one look.

use super::gate::{Gate, Mode};
use super::setting::Setting;
use super::{Counts, Gateway};
use std::net::SocketAddr;
use std::sync::Arc;

/// One table, as `segwan status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateStatus {
    /// Name of the table.
    pub name: String,
    /// `service` or `client`.
    pub mode: &'static str,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it leads.
    pub to: String,
    /// Name of the contract; none for `contract = "raw"`.
    pub contract: Option<String>,
    /// The first 16 digits of its hash.
    pub contract_hash: Option<String>,
    /// Whether what passes is recorded.
    pub recorded: bool,
    /// The contract is tried, and not enforced.
    pub shadow: bool,
    /// Name of the contract that is tried beside what is in force.
    pub beside: Option<String>,
    /// What the contract lets pass uninspected, and why.
    pub uninspected: Option<String>,
    /// Its numbers.
    pub counts: Counts,
}

impl Gateway {
    /// A look at every table, with at most `list` live connections of each.
    #[must_use]
    pub fn status(&self, list: usize) -> Vec<GateStatus> {
        let status = |(gate, address): &(Arc<Gate>, SocketAddr)| {
            let (mode, to) = match &gate.mode {
                Mode::Service { upstream, .. } => ("service", upstream.to_string()),
                Mode::Client { connect, .. } => ("client", connect.join(", ")),
            };
            let setting = gate.setting.load();
            let Setting { inspection, beside, .. } = &**setting;
            GateStatus {
                name: gate.name.clone(),
                mode,
                listen: *address,
                to,
                contract: inspection.contract().map(|contract| contract.name().to_owned()),
                contract_hash: inspection.contract().map(|of| of.short_hash().to_owned()),
                recorded: inspection.capture().is_some(),
                shadow: inspection.is_shadow(),
                beside: beside.as_ref().map(|tried| tried.contract.name().to_owned()),
                uninspected: inspection.contract().and_then(|of| of.uninspected()),
                counts: gate.registry.counts(list),
            }
        };
        self.gates.iter().map(status).collect()
    }
}

#[cfg(test)]
impl GateStatus {
    /// A service that nothing is inspected at, with these numbers.
    pub(crate) fn of_numbers(name: &str, counts: Counts) -> Self {
        Self {
            name: name.to_owned(),
            mode: "service",
            listen: ([127, 0, 0, 1], 7443).into(),
            to: "127.0.0.1:8000".to_owned(),
            contract: None,
            contract_hash: None,
            recorded: false,
            shadow: false,
            beside: None,
            uninspected: None,
            counts,
        }
    }
}
