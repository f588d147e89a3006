//! `segwan check`: says what a configuration would run, and what is wrong with it, and starts
//! nothing.

use super::report::Look;
use super::{Exit, Failure, Global};
use crate::config::{AuthorityConfig, Client, Config, IdentitySource, Service};
use crate::gateway::{Inspection, NOT_ENFORCED, and_beside};
use segwan_core::contract::{Contract, units};
use segwan_core::finding::Finding;
use segwan_core::identity::Identity;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Read everything, start nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan check
  segwan check --config /etc/segwan/segwan.toml --strict
  segwan check --json | jq '.findings[]'

Everything that the file names is read too: contracts with their tests, policies, certificates.
No connection is opened.

Exit codes: 0 ok; 2 errors; 3 warnings with --strict.")]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "segwan.toml")]
    config: PathBuf,
    /// End with exit code 3 if there are warnings
    #[arg(long)]
    strict: bool,
    /// Print one JSON object, findings included
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let Args { config: file, strict, json } = args;
    let (config, findings) = examine(&file, global);
    let failed = findings.iter().any(Finding::is_error);
    if json {
        global.report.line(format_args!("{:#}", as_json(config.as_ref(), &findings)));
    }
    let config = match config {
        Some(config) if !failed => config,
        _ if json => return Ok(Exit::CannotStart),
        _ => return Err(Failure::findings(findings)),
    };
    if !json {
        global.report.findings(&findings);
        summary(&config, global);
        let ok = global.report.style(Look::Good, "ok");
        match findings.len() {
            0 => global.report.line(format_args!("{ok}")),
            1 => global.report.line(format_args!("{ok}, with 1 warning")),
            n => global.report.line(format_args!("{ok}, with {n} warnings")),
        }
    }
    Ok(if strict && !findings.is_empty() { Exit::Warnings } else { Exit::Done })
}

/// Loads the configuration, and looks at what loading does not see.
fn examine(file: &Path, global: &Global) -> (Option<Config>, Vec<Finding>) {
    match Config::load(file) {
        Err(findings) => (None, findings),
        Ok((mut config, mut findings)) => {
            // Where the state would be: whoever has no home has none.
            config.state_dir = global.state_dir(config.state_dir.as_deref()).ok();
            findings.extend(crate::check::findings(&config, &file.display().to_string()));
            (Some(config), findings)
        }
    }
}

/// What would run, one table after the other.
fn summary(config: &Config, global: &Global) {
    if let Some(authority) = &config.authority {
        table(global, "authority", "", &authority_rows(authority, config));
    }
    for service in &config.services {
        table(global, "service", &service.name, &service_rows(service));
    }
    for client in &config.clients {
        table(global, "client", &client.name, &client_rows(client));
    }
}

/// A heading, and below it words with what they stand for, aligned.
fn table(global: &Global, kind: &str, name: &str, rows: &[(&str, String)]) {
    let report = &global.report;
    let title = if name.is_empty() { kind.to_owned() } else { format!("{kind} {name}") };
    report.line(format_args!("{}", report.style(Look::Bold, title)));
    for (word, value) in rows {
        let mut lines = value.lines();
        let first = lines.next().unwrap_or_default();
        report.line(format_args!("  {:<9} {first}", report.style(Look::Dim, *word)));
        for line in lines {
            report.line(format_args!("  {:<9} {line}", ""));
        }
    }
    report.line(format_args!(""));
}

fn authority_rows(authority: &AuthorityConfig, config: &Config) -> Vec<(&'static str, String)> {
    let mut rows = vec![("listens", authority.listen.to_string())];
    if !authority.advertise.is_empty() {
        rows.push(("reached", authority.advertise.join(", ")));
    }
    rows.push(("domain", config.trust_domain.to_string()));
    let (life, grace) =
        (units::shown(authority.leaf_lifetime), units::shown(authority.renewal_grace));
    rows.push(("leaves", format!("{life}, renewable for {grace} after")));
    let registered: Vec<String> = authority
        .registrations
        .iter()
        .map(|said| format!("{} ({})", said.name, said.profile))
        .collect();
    if !registered.is_empty() {
        rows.push(("names", registered.join(", ")));
    }
    rows
}

fn service_rows(service: &Service) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("route", format!("{} → {}", service.listen, service.upstream)),
        ("contract", format!("{}{}", contract(&service.inspection), and_beside(beside(service)))),
    ];
    if !service.allow.is_empty() {
        rows.push(("allows", lines(&service.allow)));
    }
    if !service.policies.is_empty() {
        let files: Vec<&str> = service.policies.iter().map(|p| p.file.as_str()).collect();
        rows.push(("policy", files.join("\n")));
    }
    rows.push(("identity", source(&service.identity)));
    rows
}

fn client_rows(client: &Client) -> Vec<(&'static str, String)> {
    vec![
        ("route", format!("{} → {}", client.listen, client.connect.join(", else "))),
        ("contract", contract(&client.inspection)),
        ("peer", lines(client.peer.identities())),
        ("identity", source(&client.identity)),
    ]
}

fn contract(inspection: &Inspection) -> String {
    match inspection {
        Inspection::Raw => "uninspected".to_owned(),
        Inspection::Recorded(_) => "uninspected, recorded".to_owned(),
        Inspection::Contract(contract) => match contract.uninspected() {
            Some(what) => format!("{} ({what})", identified(contract)),
            None => identified(contract),
        },
        Inspection::Shadow(contract) => format!("{} ({NOT_ENFORCED})", identified(contract)),
    }
}

/// Name, version, and the digits of the hash that are on the record.
fn identified(contract: &Contract) -> String {
    format!("{}, sha256 {}", contract.name(), contract.short_hash())
}

/// Name of the contract that is tried beside what is in force.
fn beside(service: &Service) -> Option<&str> {
    service.beside.as_ref().map(|tried| tried.contract.name())
}

fn lines(identities: &[Identity]) -> String {
    identities.iter().map(Identity::to_string).collect::<Vec<_>>().join("\n")
}

fn source(identity: &IdentitySource) -> String {
    match identity {
        IdentitySource::State(name) => name.clone(),
        IdentitySource::Files { chain, .. } => chain.display().to_string(),
    }
}

/// A finding for machines (`contracts.md` section 24).
pub(super) fn finding(finding: &Finding) -> Value {
    json!({
        "severity": if finding.is_error() { "error" } else { "warning" },
        "check": finding.check,
        "file": finding.file,
        // None where the file as a whole is meant.
        "line": (finding.line > 0).then_some(finding.line),
        "column": (finding.column > 0).then_some(finding.column),
        "message": finding.message,
        "hint": finding.hint,
    })
}

fn as_json(config: Option<&Config>, findings: &[Finding]) -> Value {
    let texts = |identities: &[Identity]| -> Vec<String> {
        identities.iter().map(Identity::to_string).collect()
    };
    let name = |inspection: &Inspection| inspection.contract().map(|c| c.name().to_owned());
    let hash = |inspection: &Inspection| inspection.contract().map(|c| c.hash().to_owned());
    let service = |service: &Service| {
        let policies: Vec<&str> = service.policies.iter().map(|p| p.file.as_str()).collect();
        json!({
            "name": service.name,
            "listen": service.listen,
            "upstream": service.upstream.to_string(),
            "contract": name(&service.inspection),
            "contract_sha256": hash(&service.inspection),
            "recorded": service.inspection.capture().is_some(),
            "shadow": service.inspection.is_shadow(),
            "beside": beside(service),
            "allow": texts(&service.allow),
            "policies": policies,
            "tls_min": service.tls.as_str(),
            "identity": source(&service.identity),
        })
    };
    let client = |client: &Client| {
        json!({
            "name": client.name,
            "listen": client.listen,
            "connect": client.connect,
            "peer": texts(client.peer.identities()),
            "contract": name(&client.inspection),
            "contract_sha256": hash(&client.inspection),
            "shadow": client.inspection.is_shadow(),
            "tls_min": client.tls.as_str(),
            "identity": source(&client.identity),
        })
    };
    let authority = |config: &Config| {
        config.authority.as_ref().map(|authority| {
            json!({ "listen": authority.listen, "trust_domain": config.trust_domain.as_str() })
        })
    };
    json!({
        "ok": !findings.iter().any(Finding::is_error),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        "authority": config.and_then(authority),
        "services": config.map(|c| c.services.iter().map(service).collect::<Vec<_>>()),
        "clients": config.map(|c| c.clients.iter().map(client).collect::<Vec<_>>()),
    })
}
