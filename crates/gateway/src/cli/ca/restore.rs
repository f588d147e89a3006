//! `segwan ca restore`: an Authority from its backup, in an empty state directory.

use super::now_ms;
use super::passphrase::PassphraseArgs;
use crate::cli::{Exit, Failure, Global};
use crate::status::when::instant;
use segwan_pki::authority::{AuthorityError, restore};
use std::path::{Path, PathBuf};

/// Restore an Authority from a backup, into an empty state directory
///
/// Everything is proved before anything is written. The Authority begins a new epoch: tokens that
/// were open are void, and agents get everything anew. Certificates that were issued after the
/// backup work until they end, and renew once they are adopted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca restore /backup/segwan.tar --passphrase-file phrase.txt --state /var/lib/segwan

Exit codes: 0 done; 1 the backup does not prove: nothing was written; 2 there is state already, or
the directory or the passphrase cannot be used.")]
pub(super) struct Args {
    /// What `segwan ca backup` wrote
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    if state.join("authority").exists() {
        return Err(Failure::cannot_start(format!(
            "there is an Authority in `{}`",
            state.display()
        ))
        .hint("name an empty directory with `--state DIR`, or move the damaged one away first"));
    }
    let passphrase = args.passphrase.for_opening("the backup")?;
    let key_passphrase = super::key_passphrase()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::cannot_start(format!("no runtime: {error}")))?;
    let restoring = restore(&args.file, &passphrase, state, key_passphrase.as_ref(), now_ms());
    let done = runtime.block_on(restoring).map_err(|error| match error {
        AuthorityError::Directory(error) => Failure::from(error),
        error => {
            let hint = error.hint();
            Failure::refused(error.to_string()).hint_if(hint)
        }
    })?;
    let report = &global.report;
    report.line(format_args!(
        "restored the Authority of {} as it was on {}, in epoch {}; its root is sha256:{}",
        done.trust_domain,
        instant(done.made_ms),
        done.epoch,
        done.root
    ));
    report.line(format_args!(
        "what the ledger had after line {} is lost; open tokens that are void now: {}",
        done.ledger, done.tokens
    ));
    report.line(format_args!(
        "\nCertificates issued since then work until they end. To let one renew:
  segwan ca list --view unrecorded
  segwan ca adopt SERIAL
Revocations since then are lost too: `segwan revoke` them again."
    ));
    Ok(Exit::Done)
}
