//! What is written now, read as it is at a start: the configuration file, or the files that flags
//! name.

use crate::check;
use crate::config::{Config, Source, contract, read};
use crate::gateway::Inspection;
use segwan_core::finding::Finding;
use segwan_core::policy::PolicySource;
use std::path::{Path, PathBuf};

/// The configuration as it is written now, with its warnings.
///
/// # Errors
/// Every finding, each with its place.
pub(super) fn read(
    in_force: &Config,
    state: &Path,
) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    match &in_force.source {
        Source::Nowhere => {
            let nothing = Finding::whole("segwan", "this process has no files to read again");
            Err(vec![nothing])
        }
        Source::File { path, admin } => file(path, state).map(|(config, warnings)| {
            let admin = admin.or(config.admin);
            (Config { admin, source: in_force.source.clone(), ..config }, warnings)
        }),
        Source::Flags { contract, policies } => flags(in_force, contract.as_deref(), policies),
    }
}

fn file(path: &Path, state: &Path) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    let (config, mut findings) = Config::load(path)?;
    let looked_at = Config { state_dir: Some(state.to_owned()), ..config.clone() };
    findings.extend(check::findings(&looked_at, &path.display().to_string()));
    good(config, findings)
}

/// The configuration, if nothing is wrong. Beside errors no warning is told: those that have long
/// been known would hide what is new.
fn good(config: Config, findings: Vec<Finding>) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    if findings.iter().any(Finding::is_error) {
        return Err(findings.into_iter().filter(Finding::is_error).collect());
    }
    Ok((config, findings))
}

fn flags(
    in_force: &Config,
    file: Option<&Path>,
    policies: &[PathBuf],
) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    let (mut config, mut findings) = (in_force.clone(), Vec::new());
    let inspection = match file.map(contract::load_contract) {
        Some(Ok((contract, warnings))) => {
            findings.extend(warnings);
            Some(Inspection::by(contract))
        }
        Some(Err(wrong)) => {
            findings.extend(wrong);
            None
        }
        None => None,
    };
    let mut sources = Vec::new();
    for path in policies {
        let file = path.display().to_string();
        match read::text(path) {
            Ok(text) => sources.push(PolicySource { file, text }),
            Err(why) => findings.push(Finding::whole(&file, why)),
        }
    }
    for service in &mut config.services {
        service.inspection = inspection.clone().unwrap_or_else(|| service.inspection.clone());
        service.policies.clone_from(&sources);
    }
    for client in &mut config.clients {
        client.inspection = inspection.clone().unwrap_or_else(|| client.inspection.clone());
    }
    good(config, findings)
}
