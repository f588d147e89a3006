//! Passphrases: from a file, a descriptor or a terminal; never from the command line, which every
//! user of the host can read.

use crate::cli::Failure;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use segwan_pki::custody::{Passphrase, Root, needs_passphrase};
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Where a passphrase comes from.
#[derive(Debug, Default, clap::Args)]
pub(super) struct PassphraseArgs {
    /// Read the passphrase from this file; without it, it is asked for at the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase from this open descriptor
    #[arg(long, value_name = "N", conflicts_with = "passphrase_file")]
    passphrase_fd: Option<u16>,
}

impl PassphraseArgs {
    /// A passphrase that something is to be sealed with: long enough, and typed twice.
    pub(super) fn for_sealing(&self, what: &str) -> Result<Passphrase, Failure> {
        let passphrase = match self.given()? {
            Some(given) => given,
            None => typed(&format!("new passphrase for {what}"), true)?,
        };
        passphrase.is_long_enough()?;
        Ok(passphrase)
    }

    /// A passphrase that opens something.
    pub(super) fn for_opening(&self, what: &str) -> Result<Passphrase, Failure> {
        match self.given()? {
            Some(given) => Ok(given),
            None => typed(&format!("passphrase of {what}"), false),
        }
    }

    /// As if `--passphrase-file` was given.
    #[cfg(test)]
    pub(super) fn from_file(file: &Path) -> Self {
        Self { passphrase_file: Some(file.to_owned()), passphrase_fd: None }
    }

    fn given(&self) -> Result<Option<Passphrase>, Failure> {
        given(self.passphrase_file.as_deref(), self.passphrase_fd)
    }
}

/// Where the root's key is, for the commands that sign with it.
#[derive(Debug, Default, clap::Args)]
pub(super) struct RootKeyArgs {
    /// The root's key, such as `/media/usb/root.key.pem`; without it, the one on this host
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// Read its passphrase from this file; without it, it is asked for at the terminal
    #[arg(long, value_name = "FILE")]
    root_passphrase_file: Option<PathBuf>,
    /// Read its passphrase from this open descriptor
    #[arg(long, value_name = "N", conflicts_with = "root_passphrase_file")]
    root_passphrase_fd: Option<u16>,
}

impl RootKeyArgs {
    /// The root with its key, in memory until this process ends.
    pub(super) fn open(&self, state: &Path, certificate: &[u8]) -> Result<Root, Failure> {
        let place = state.join("authority/root");
        let (key, beside) = match &self.root_key {
            Some(key) => (key.clone(), None),
            None => (place.join("root.key.pem"), Some(place.join("passphrase"))),
        };
        if self.root_key.is_none() && !key.exists() {
            return Err(Failure::cannot_start("the root's key is not on this host")
                .hint("`--root-key FILE` names it on its medium"));
        }
        let given = given(self.root_passphrase_file.as_deref(), self.root_passphrase_fd)?;
        let passphrase = match (given, beside.filter(|path| path.exists())) {
            (Some(given), _) => Some(given),
            (None, Some(beside)) => Some(Passphrase::read(&beside)?),
            (None, None) if needs_passphrase(&key)? => {
                Some(typed(&format!("passphrase of {}", key.display()), false)?)
            }
            (None, None) => None,
        };
        Ok(Root::open(&key, passphrase.as_ref(), certificate)?)
    }
}

fn given(file: Option<&Path>, descriptor: Option<u16>) -> Result<Option<Passphrase>, Failure> {
    let descriptor = descriptor.map(|number| PathBuf::from(format!("/dev/fd/{number}")));
    match file.or(descriptor.as_deref()) {
        Some(path) => Ok(Some(Passphrase::read(path)?)),
        None => Ok(None),
    }
}

/// Asks at the terminal, without showing what is typed.
fn typed(prompt: &str, twice: bool) -> Result<Passphrase, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::cannot_start(format!(
            "the {prompt} cannot be asked for: there is no terminal"
        ))
        .hint("name a file or a descriptor; `--help` shows the flags"));
    }
    let passphrase = line(prompt)?;
    if twice && line("the same again")? != passphrase {
        return Err(Failure::refused("what was typed the second time is not the same"));
    }
    Ok(passphrase)
}

fn line(prompt: &str) -> Result<Passphrase, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::cannot_start(format!("the terminal cannot be used: {error}"))
    };
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(|error| failed(&error))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{prompt}: ").and_then(|()| stderr.flush());
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| failed(&error))?;
    let mut text = String::new();
    let read = stdin.lock().read_line(&mut text);
    let restored = tcsetattr(&stdin, OptionalActions::Now, &before);
    let _ = writeln!(stderr);
    read.map_err(|error| failed(&error))?;
    restored.map_err(|error| failed(&error))?;
    Ok(Passphrase::new(text)?)
}
