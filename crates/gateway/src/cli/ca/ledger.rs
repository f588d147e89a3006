//! `segwan ca ledger`: the record of everything that the Authority did.

use super::ask;
use crate::admin::ca;
use crate::admin::wire::{self, LedgerAnswer};
use crate::cli::report::Look;
use crate::cli::{Exit, Failure, Global};
use std::path::Path;

/// The record of everything that the Authority did
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum What {
    /// Check the chain of the ledger, and that it knows every certificate
    Verify,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    match args.what {
        What::Verify => verify(state, global),
    }
}

fn verify(state: &Path, global: &Global) -> Result<Exit, Failure> {
    let itself = async |authority: &_| Ok(ca::verify(authority).await?);
    let LedgerAnswer { lines, head } = ask(state, wire::LEDGER, &[], itself)?;
    let good = global.report.style(Look::Good, "good");
    global.report.line(format_args!(
        "{good}: each line is chained to the one before, and every certificate is on record \
         (lines: {lines}, head: {head})"
    ));
    Ok(Exit::Done)
}
