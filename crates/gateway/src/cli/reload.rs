//! `segwan reload`: asks the process that serves a state to read its configuration again.

use super::report::Look;
use super::status::{json, socket};
use super::{Exit, Failure, Global};
use crate::admin::client;
use crate::admin::wire::{Found, RELOAD, RELOAD_PATIENCE, ReloadAnswer, TableReloaded};

/// Put changed contracts, policies and limits in force
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan reload
  segwan reload --state /var/lib/segwan
  segwan reload --json | jq '.tables[]'

The process that serves the state reads its configuration again, and every file that it names.
Connections go on. It is all or nothing: if anything is wrong, what was in force stays so.
SIGHUP to the process does the same. It waits for at most 135 s, since contracts run their tests, and
another reload may come first; if no process answers, it says so on standard error and prints no JSON.

Exit codes: 0 in force; 1 the process did not answer as it should; 2 refused, with every error, or
no process serves the state.")]
pub struct Args {
    /// Print what the process answers as one JSON object, findings included
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If nobody serves the state, or what is written is refused.
pub fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let state = global.state_dir(None)?;
    let answer: ReloadAnswer =
        client::post_within(&socket(&state), RELOAD, &(), client::PATIENCE + RELOAD_PATIENCE)?;
    let report = &global.report;
    if args.json {
        report.text(&json(&answer)?);
        return Ok(if answer.reloaded { Exit::Done } else { Exit::CannotStart });
    }
    let ReloadAnswer { reloaded, tables, ended, findings } = answer;
    let findings: Vec<_> = findings.into_iter().map(Found::shown).collect();
    if !reloaded {
        report.note(format_args!("nothing was reloaded: what was in force stays so"));
        return Err(Failure::findings(findings));
    }
    report.findings(&findings);
    for table in &tables {
        show(table, global);
    }
    if ended > 0 {
        let what = if ended == 1 {
            "1 connection was".to_owned()
        } else {
            format!("{ended} connections were")
        };
        report.line(format_args!("{what} ended: no policy admits them any more"));
    }
    report.line(format_args!("{}", report.style(Look::Good, "reloaded")));
    Ok(Exit::Done)
}

/// One table, and what changed of it.
fn show(table: &TableReloaded, global: &Global) {
    let report = &global.report;
    let name = report.style(Look::Bold, format!("{} {}", table.mode, table.name));
    let changes = table.changes();
    if changes.is_empty() {
        report.line(format_args!("{name}  unchanged"));
        return;
    }
    report.line(format_args!("{name}  {}", changes.join(", ")));
    if let Some(grace) = table.contract.as_ref().and_then(|contract| contract.grace()) {
        report.line(format_args!("  {grace}"));
    }
    for name in &table.newcomers {
        report.line(format_args!("  `{name}` joins with a token: `segwan token new {name}`"));
    }
}
