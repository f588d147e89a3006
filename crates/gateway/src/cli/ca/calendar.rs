//! `segwan ca expiring`: what ends when, the Authority's own certificates included.

use super::{ask, now_ms};
use crate::admin::ca;
use crate::admin::wire::{self, Calendar};
use crate::cli::columns::{Columns, plain};
use crate::cli::report::Look;
use crate::cli::status::{ends, json};
use crate::cli::{Exit, Failure, Global};
use crate::status::when::instant;
use std::path::Path;

/// Show what ends in the next 30 days, day by day, and when root and issuing certificates end
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let now_ms = now_ms();
    let itself = async |authority: &_| ca::calendar(authority, now_ms).await;
    let calendar: Calendar = ask(state, wire::CALENDAR, &[], itself)?;
    let report = &global.report;
    if args.json {
        report.text(&json(&calendar)?);
        return Ok(Exit::Done);
    }
    let mut columns = Columns::headed(&["DAY", "CERTIFICATES", "OF"]);
    for day in &calendar.days {
        let more = day.holders.saturating_sub(day.names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        columns.row([
            plain(date(day.begins_ms)),
            plain(day.certificates.to_string()),
            plain(format!("{}{more}", day.names.join(", "))),
        ]);
    }
    if !calendar.days.is_empty() {
        columns.print(report, 0);
    }
    let total: usize = calendar.days.iter().map(|day| day.certificates).sum();
    report.line(format_args!(
        "certificates that end within 30 days, unless their holders renew them: {total}"
    ));
    report.line(format_args!("\n{}", report.style(Look::Bold, "the Authority's own")));
    let mut own = Columns::headed(&["WHAT", "STATE", "ENDS", ""]);
    own.row([
        plain("root"),
        plain(""),
        ends(calendar.root_ends_ms, now_ms),
        plain(date(calendar.root_ends_ms)),
    ]);
    for key in &calendar.issuing {
        own.row([
            plain(format!("issuing {}", key.id)),
            plain(&key.state),
            ends(key.not_after_ms, now_ms),
            plain(date(key.not_after_ms)),
        ]);
    }
    own.print(report, 2);
    Ok(Exit::Done)
}

fn date(ms: i64) -> String {
    instant(ms).chars().take(10).collect()
}
