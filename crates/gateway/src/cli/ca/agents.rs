//! `segwan ca agents`: who hears of revocations and trust, and what each has in force.

use super::{ask, now_ms};
use crate::admin::ca;
use crate::admin::wire::{self, AgentView, Agents};
use crate::cli::columns::{Cell, Columns, plain};
use crate::cli::report::Look;
use crate::cli::status::json;
use crate::cli::{Exit, Failure, Global};
use crate::status::when::distance;
use segwan_core::audit::shown;
use std::path::Path;

/// An agent's clock may be off by so much, in milliseconds.
const SKEW: i64 = 5 * 60_000;

/// List agents: who listens, and what each has in force
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let itself = async |authority: &_| ca::agents(authority, 0).await;
    let all: Agents = ask(state, wire::AGENTS, &[], itself)?;
    if args.json {
        global.report.text(&json(&all)?);
        return Ok(Exit::Done);
    }
    if all.agents.is_empty() {
        global.report.line(format_args!("no agent was heard of within 30 days"));
        return Ok(Exit::Done);
    }
    table(&all.agents, Some(&all), now_ms()).print(&global.report, 0);
    let listening = all.agents.iter().filter(|agent| agent.listening).count();
    let behind = all.agents.iter().filter(|one| one.bundle_version < all.bundle_version).count();
    global.report.line(format_args!(
        "agents: {}; listening: {listening}; without bundle {}: {behind}",
        all.agents.len(),
        all.bundle_version
    ));
    Ok(Exit::Done)
}

/// Agents as a table; `now` is what they should have in force.
pub(super) fn table(all: &[AgentView], now: Option<&Agents>, now_ms: i64) -> Columns {
    let heading = ["NAME", "HOST", "KIND", "VERSION", "HEARD", "BUNDLE", "EVENT", "CLOCK"];
    let mut columns = Columns::headed(&heading);
    for one in all {
        let heard = if one.listening {
            (Look::Good, "listens".to_owned())
        } else {
            (Look::Warning, distance(one.heard_ms, now_ms))
        };
        columns.row([
            (Look::Bold, one.name.clone()),
            plain(shown(one.host.as_bytes())),
            plain(&one.kind),
            plain(shown(one.version.as_bytes())),
            heard,
            number(one.bundle_version, now.map(|now| now.bundle_version)),
            number(one.acked, now.map(|now| now.last_event)),
            clock(one.skew_ms),
        ]);
    }
    columns
}

fn number(is: i64, should: Option<i64>) -> Cell {
    let look = if should.is_some_and(|should| is < should) { Look::Warning } else { Look::Plain };
    (look, is.to_string())
}

fn clock(skew_ms: i64) -> Cell {
    let look = if skew_ms.abs() > SKEW { Look::Warning } else { Look::Plain };
    let text = match skew_ms / 1000 {
        0 => "agrees".to_owned(),
        ahead @ 1.. => format!("{ahead} s ahead"),
        behind => format!("{} s behind", behind.unsigned_abs()),
    };
    (look, text)
}
