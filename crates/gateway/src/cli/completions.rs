//! `segwan completions`: what a shell needs to complete the command line.

use super::{Exit, Failure, Global};
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan completions bash > /etc/bash_completion.d/segwan
  segwan completions zsh > ~/.zfunc/_segwan
  segwan completions fish > ~/.config/fish/completions/segwan.fish")]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::definition(), "segwan", &mut text);
    global.report.text(&String::from_utf8_lossy(&text));
    Ok(Exit::Done)
}
