//! `segwan ca root export`: the key leaves this host once a copy of it has been tried.

use super::super::asking::ask;
use super::super::issuing::{renew, sign_root_list};
use super::super::passphrase::{PassphraseArgs, RootKeyArgs};
use crate::admin::custody::{ISSUING, Nothing, ROOT_EXPORTED, issuing, root_exported};
use crate::cli::{Exit, Failure, Global};
use segwan_pki::custody::{Permitted, remove_local};
use segwan_pki::directory::StateDir;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

/// A spare that lasts so long needs no fresh one, milliseconds.
const LONG: i64 = 365 * 86_400_000;

/// Copy the root's key to a medium, try the copy, and remove the key from this host
///
/// First everything is signed that only the root can sign, so that the next visit is far away: a
/// fresh spare issuing certificate, if the present one has less than 12 months, and the root's
/// revocation list for 18 months. Until the copy was read back, decrypted and had signed something,
/// nothing is removed here.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca root export --to /media/usb
  segwan ca root export --to /media/usb --passphrase-file phrase.txt --remove

Exit codes: 0 done; 1 the medium cannot be written, or the copy is not good: the key here is as it
was; 2 there is no Authority, or its root's key is not on this host.")]
pub(super) struct Args {
    /// An existing directory on the medium
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Remove the key from this host without asking
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let certificate = super::certificate(state)?;
    let root = RootKeyArgs::default().open(state, &certificate)?;
    let directory = StateDir::open_shared(state)?;
    let unusable = |why: String| Failure::refused(format!("`{}` {why}", args.to.display()));
    let to =
        args.to.canonicalize().map_err(|error| unusable(format!("cannot be used: {error}")))?;
    if to.starts_with(directory.path()) {
        return Err(unusable("is in the state directory, which the key shall leave".to_owned()));
    }
    let passphrase = args.passphrase.for_sealing("the root's key on the medium")?;
    let report = &global.report;
    let keys = ask(state, ISSUING, Nothing {}, issuing)?;
    let now_ms = super::super::now_ms();
    let lasts = |key: &&_| is_spare(key) && ends(key) - now_ms >= LONG;
    if keys.keys.iter().find(lasts).is_none() {
        let made = renew(state, &root, &Permitted::default())?;
        report.line(format_args!("signed a fresh spare issuing certificate, {}", made.id));
    }
    sign_root_list(state, &root)?;
    report.line(format_args!("signed the root's revocation list for 18 months"));
    let exported = root.export(&to, &passphrase)?;
    ask(state, ROOT_EXPORTED, Nothing {}, root_exported)?;
    report.line(format_args!(
        "wrote {}; the copy was read back, decrypted, and signs under {}",
        exported.key.display(),
        exported.certificate.display()
    ));
    if !args.remove && !said_remove(global) {
        report.line(format_args!(
            "the key on this host was left as it is; the same command with another directory and \
             `--remove` takes it away"
        ));
        return Ok(Exit::Done);
    }
    remove_local(&directory.authority())?;
    report.line(format_args!(
        "removed the key and its passphrase from this host; keep a second copy of the medium \
         elsewhere, and read {}",
        exported.readme.display()
    ));
    Ok(Exit::Done)
}

fn is_spare(key: &crate::admin::custody::IssuingKey) -> bool {
    key.state == "spare"
}

fn ends(key: &crate::admin::custody::IssuingKey) -> i64 {
    key.not_after_ms
}

/// Whether somebody at a terminal typed the word.
fn said_remove(global: &Global) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    global.report.line(format_args!("type `remove` to remove the key from this host:"));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok() && line.trim() == "remove"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ca::root::{self, What};
    use crate::cli::ca::tests::{at_rest, global};
    use segwan_pki::custody::{Passphrase, Root};

    fn export(state: &Path, to: &Path, remove: bool) -> Result<Exit, Failure> {
        let file = state.with_file_name("phrase.txt");
        std::fs::write(&file, "correct horse battery\n").unwrap();
        let passphrase = PassphraseArgs::from_file(&file);
        let what = What::Export(Args { to: to.to_owned(), remove, passphrase });
        root::run(&root::Args { what: Some(what) }, state, &global(state))
    }

    fn files(place: &Path, all: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(place).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path(), all);
            } else {
                all.push(entry.path());
            }
        }
    }

    // PKI-07
    #[test]
    fn after_an_export_no_byte_of_the_roots_key_is_under_the_state() {
        let parent = tempfile::tempdir().unwrap();
        let (state, medium) = (parent.path().join("state"), parent.path().join("medium"));
        at_rest(&state);
        std::fs::create_dir(&medium).unwrap();
        let place = state.join("authority/root");
        let passphrase = std::fs::read(place.join("passphrase")).unwrap();
        let sealed = std::fs::read_to_string(place.join("root.key.pem")).unwrap();
        // Left where it is until somebody says so.
        assert_eq!(export(&state, &medium, false), Ok(Exit::Done));
        assert!(place.exists());
        let refused = export(&state, &medium, true).unwrap_err();
        assert_eq!(refused.exit(), Exit::Refused);
        assert!(place.exists());
        let second = parent.path().join("second");
        std::fs::create_dir(&second).unwrap();
        assert_eq!(export(&state, &second, true), Ok(Exit::Done));
        assert!(!place.exists());
        let mut all = Vec::new();
        files(&state, &mut all);
        assert!(all.len() > 5);
        for file in all {
            let bytes = std::fs::read(&file).unwrap();
            let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
            assert!(!holds(&passphrase), "{}", file.display());
            for line in sealed.lines().filter(|line| line.len() == 64) {
                assert!(!holds(line.as_bytes()), "{}", file.display());
            }
        }
        let words = Passphrase::new("correct horse battery".to_owned()).unwrap();
        let certificate = super::super::certificate(&state).unwrap();
        assert!(Root::open(&second.join("root.key.pem"), Some(&words), &certificate).is_ok());
        let refused = export(&state, &second, true).unwrap_err();
        assert_eq!(refused.sentence().unwrap().0, "the root's key is not on this host");
    }

    // PKI-08
    #[test]
    fn a_medium_that_cannot_be_written_changes_nothing_here() {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        at_rest(&state);
        let before = std::fs::read(state.join("authority/root/root.key.pem")).unwrap();
        for medium in ["/nonexistent", "/proc/self", "/dev/full"] {
            let refused = export(&state, Path::new(medium), true).unwrap_err();
            assert_eq!(refused.exit(), Exit::Refused, "{medium}: {refused}");
        }
        let inside = state.join("audit");
        let refused = export(&state, &inside, true).unwrap_err();
        assert!(refused.to_string().contains("is in the state directory"), "{refused}");
        assert_eq!(std::fs::read(state.join("authority/root/root.key.pem")).unwrap(), before);
    }
}
