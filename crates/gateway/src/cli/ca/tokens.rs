//! `segwan ca tokens`: which tokens can still be used.

use super::{ask, now_ms};
use crate::admin::ca;
use crate::admin::wire::{self, TokenView};
use crate::cli::columns::{Columns, plain};
use crate::cli::report::Look;
use crate::cli::status::{ends, json};
use crate::cli::{Exit, Failure, Global};
use crate::status::when::distance;
use std::path::Path;

/// List join tokens that can still be used, without their secrets
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let now_ms = now_ms();
    let itself = async |authority: &_| ca::tokens(authority, now_ms).await;
    let all: Vec<TokenView> = ask(state, wire::TOKENS, &[], itself)?;
    if args.json {
        global.report.text(&json(&all)?);
        return Ok(Exit::Done);
    }
    let mut columns = Columns::headed(&["NAME", "TOKEN", "MADE", "ENDS"]);
    for one in &all {
        columns.row([
            (Look::Bold, one.name.clone()),
            plain(format!("token:{}", one.id)),
            plain(distance(one.made_ms, now_ms)),
            ends(one.expires_ms, now_ms),
        ]);
    }
    if !all.is_empty() {
        columns.print(&global.report, 0);
    }
    let count = match all.len() {
        0 => "no token is open".to_owned(),
        1 => "1 token is open; `segwan revoke token:…` takes one back".to_owned(),
        many => format!("{many} tokens are open; `segwan revoke token:…` takes one back"),
    };
    global.report.line(format_args!("{count}"));
    Ok(Exit::Done)
}
