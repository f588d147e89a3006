//! `segwan ca backup`: all of the Authority but its root's key, in one file.

use super::asking::ask;
use super::now_ms;
use super::passphrase::PassphraseArgs;
use crate::admin::custody::{BACKUP, BACKUP_MOVED, Nothing, Sealing, backup, backup_moved};
use crate::cli::{Exit, Failure, Global};
use crate::status::when::instant;
use segwan_pki::authority::verify;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Write a backup of the Authority, while it serves or not
///
/// One archive, which `tar` reads: a copy of the store, the issuing keys encrypted with the
/// passphrase, certificates and revocation lists. The root's key is never in it. For the rest to
/// be confidential too, pipe it through a tool of your own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca backup /backup/segwan.tar --passphrase-file phrase.txt
  segwan ca backup - --passphrase-file phrase.txt | age -r RECIPIENT > segwan.tar.age
  segwan ca backup --verify /backup/segwan.tar --passphrase-file phrase.txt
      restore it into a directory that is removed again, and issue a throw-away certificate

Exit codes: 0 done; 1 refused, or the file cannot be written, or it does not prove; 2 there is no
Authority, or no passphrase.")]
pub(super) struct Args {
    /// The new file; `-` writes to standard output
    file: PathBuf,
    /// Prove a backup that was made, instead of making one
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    if args.verify {
        return rehearse(args, global);
    }
    let to_stdout = args.file == Path::new("-");
    if !to_stdout && args.file.symlink_metadata().is_ok() {
        return Err(Failure::cannot_start(format!("`{}` exists already", args.file.display())));
    }
    let passphrase = args.passphrase.for_sealing("the issuing keys in the backup")?;
    let sealing = Sealing { passphrase: passphrase.reveal().to_owned() };
    let made = ask(state, BACKUP, sealing, backup)?;
    let moved = if to_stdout {
        copied(&made.path, &mut std::io::stdout().lock())
    } else {
        to_file(&made.path, &args.file)
    };
    moved.map_err(|error| {
        Failure::refused(format!("`{}` cannot be written: {error}", args.file.display()))
            .hint("the archive stays beside the store until the next backup or start")
    })?;
    ask(state, BACKUP_MOVED, Nothing {}, backup_moved)?;
    let report = &global.report;
    report.note(format_args!(
        "wrote {} bytes: the store with its ledger up to line {}, and {} issuing keys, encrypted",
        made.bytes, made.ledger, made.keys
    ));
    if !to_stdout {
        report.note(format_args!(
            "`segwan ca backup --verify {}` proves it; `segwan ca restore` needs the passphrase",
            args.file.display()
        ));
    }
    Ok(Exit::Done)
}

/// Copies into a new file that only its owner may read; a part of it does not stay.
fn to_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let done = copied(from, &mut file).and_then(|()| file.sync_all());
    if done.is_err() {
        let _ = std::fs::remove_file(to);
    }
    done
}

fn copied(from: &Path, to: &mut impl Write) -> std::io::Result<()> {
    std::io::copy(&mut File::open(from)?, to)?;
    to.flush()
}

fn rehearse(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let passphrase = args.passphrase.for_opening("the backup")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::cannot_start(format!("no runtime: {error}")))?;
    let proved = runtime.block_on(verify(&args.file, &passphrase, now_ms()));
    let proved = proved.map_err(|error| {
        let hint = error.hint();
        Failure::refused(error.to_string()).hint_if(hint)
    })?;
    let manifest = &proved.manifest;
    global.report.line(format_args!(
        "the backup of {} of {} is good: each file is as its manifest says, each key opens and \
         belongs to its certificate, {} lines of the ledger are chained, and a throw-away \
         certificate was issued",
        manifest.trust_domain,
        instant(manifest.made_ms),
        proved.lines
    ));
    Ok(Exit::Done)
}
