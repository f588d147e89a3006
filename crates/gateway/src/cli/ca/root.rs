//! `segwan ca root`: the root, where its key is, and how it is taken off this host.

mod export;

use super::exists;
use crate::cli::columns::{Columns, plain};
use crate::cli::report::Look;
use crate::cli::{Exit, Failure, Global};
use segwan_pki::custody::certificates;
use segwan_pki::directory::StateDir;
use segwan_pki::key::{hex, sha256};
use std::path::Path;

/// Show the root, and take its key off this host
#[derive(Debug, Default, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  segwan ca root
  segwan ca root export --to /media/usb
      copy the key, try the copy, ask, and remove it here

Exit codes: 0 done; 1 refused, or the medium cannot be written; 2 there is no Authority, or its
root's key is not on this host."
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show the root, and where its key is
    Show,
    Export(export::Args),
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        None | Some(What::Show) => show(state, global),
        Some(What::Export(args)) => export::run(args, state, global),
    }
}

/// The certificate of the root, DER.
pub(super) fn certificate(state: &Path) -> Result<Vec<u8>, Failure> {
    exists(state)?;
    let path = StateDir::open_shared(state)?.authority().join("root.pem");
    let unreadable =
        |why: String| Failure::cannot_start(format!("`{}` cannot be read: {why}", path.display()));
    let pem = std::fs::read_to_string(&path).map_err(|e| unreadable(e.kind().to_string()))?;
    let all = certificates(&pem).map_err(|error| unreadable(error.to_string()))?;
    all.into_iter().next().ok_or_else(|| unreadable("it holds no certificate".to_owned()))
}

fn show(state: &Path, global: &Global) -> Result<Exit, Failure> {
    let der = certificate(state)?;
    let directory = StateDir::open_shared(state)?.authority();
    let report = &global.report;
    let mut columns = Columns::default();
    let mut fact = |name: &str, cell| columns.row([(Look::Dim, name.to_owned()), cell]);
    fact("fingerprint", plain(hex(&sha256(&der))));
    fact("certificate", plain(directory.join("root.pem").display().to_string()));
    let place = directory.join("root");
    let is_here = place.join("root.key.pem").exists();
    let key = place.join("root.key.pem").display().to_string();
    fact(
        "key",
        if is_here { (Look::Warning, key) } else { (Look::Good, "not on this host".to_owned()) },
    );
    columns.print(report, 0);
    if is_here {
        report.text(&advice(place.join("passphrase").exists()));
    }
    Ok(Exit::Done)
}

/// What follows from a root key on this host, and what to do about it.
fn advice(passphrase_beside: bool) -> String {
    let passphrase = if passphrase_beside {
        "The key is encrypted, but its passphrase lies beside it: that protects nothing.\n"
    } else {
        ""
    };
    format!(
        "
Whoever takes this host takes the root, and with it the Authority. {passphrase}\
It is needed about once in 18 months, to make a new issuing certificate. `segwan ca root export
--to DIR` copies it to a medium, tries the copy, and removes it here. Serving, enrolling, renewing
and revoking go on without it.
"
    )
}
