//! What a reload came to.

use segwan_core::contract::units::shown;
use segwan_core::finding::{Finding, Severity};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The path that reads the configuration again; it answers with a [`ReloadAnswer`].
pub const RELOAD: &str = "/v1/reload";
/// How long a reload may take that has to wait for another, contracts with many tests included.
pub const RELOAD_PATIENCE: Duration = Duration::from_secs(120);

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// Whether what is written is in force. If not, what was in force stays so.
    pub reloaded: bool,
    /// Each table, with what changed of it; none if it was refused.
    pub tables: Vec<TableReloaded>,
    /// Connections that were ended, because a policy does not admit them any more.
    pub ended: u64,
    /// Errors if it was refused, and warnings.
    pub findings: Vec<Found>,
}

/// What changed of one service or client half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReloaded {
    /// `service` or `client`.
    pub mode: String,
    /// Its name.
    pub name: String,
    /// Another contract, if it is another one.
    pub contract: Option<ContractReloaded>,
    /// What else changed: `allow`, `policy`, `shadow`, `limits`, `contract_grace`,
    /// `audit_messages`.
    pub changed: Vec<String>,
    /// Names that are new in `allow` and that the Authority of the process does not know: each needs
    /// a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newcomers: Vec<String>,
}

/// One contract took the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractReloaded {
    /// The one before, by its name; `raw` for none.
    pub before: String,
    /// The one that is in force.
    pub now: String,
    /// How long those who are connected go on under the one before, milliseconds; none: as long as
    /// they like, since nothing was and is enforced.
    pub grace_ms: Option<u64>,
}

impl TableReloaded {
    /// What changed, for people; empty if nothing did.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let arrow = |contract: &ContractReloaded| {
            let ContractReloaded { before, now, .. } = contract;
            // The author need not give it another name.
            match now.as_str() {
                _ if before == now => format!("contract {now}, changed"),
                "raw" | "raw, recorded" => format!("contract {before} → {now} (uninspected)"),
                _ => format!("contract {before} → {now}"),
            }
        };
        self.contract.iter().map(arrow).chain(self.changed.iter().cloned()).collect()
    }
}

impl ContractReloaded {
    /// What becomes of those who are connected.
    #[must_use]
    pub fn grace(&self) -> Option<String> {
        self.grace_ms.map(|ms| match ms {
            0 => "who is connected ends at the next quiet moment".to_owned(),
            ms => {
                let grace = shown(Duration::from_millis(ms));
                format!("who is connected goes on as before for {grace}")
            }
        })
    }
}

/// A finding, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// `error` or `warning`.
    pub severity: String,
    /// The check that found it.
    pub check: Option<String>,
    /// The file.
    pub file: String,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl Found {
    fn of(finding: &Finding) -> Self {
        Self {
            severity: if finding.is_error() { "error" } else { "warning" }.to_owned(),
            check: finding.check.map(str::to_owned),
            file: finding.file.clone(),
            line: finding.line,
            column: finding.column,
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        }
    }

    /// The finding, to be shown by a command, which ends with that.
    #[must_use]
    pub fn shown(self) -> Finding {
        let severity = if self.severity == "error" { Severity::Error } else { Severity::Warning };
        Finding {
            severity,
            check: self.check.map(|check| &*check.leak()),
            file: self.file,
            line: self.line,
            column: self.column,
            message: self.message,
            hint: self.hint,
        }
    }
}

impl ReloadAnswer {
    pub(crate) fn done(tables: Vec<TableReloaded>, ended: u64, warnings: &[Finding]) -> Self {
        let findings = warnings.iter().map(Found::of).collect();
        Self { reloaded: true, tables, ended, findings }
    }

    pub(crate) fn refused(findings: &[Finding]) -> Self {
        let findings = findings.iter().map(Found::of).collect();
        Self { reloaded: false, tables: Vec::new(), ended: 0, findings }
    }
}
