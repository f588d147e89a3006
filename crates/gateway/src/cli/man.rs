//! `segwan man`: manual pages, made from the definition of the command line.

use super::{Exit, Failure, Global};
use clap_mangen::Man;
use std::path::PathBuf;

/// Print the manual page, or write those of all commands to a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan man | man -l -
  segwan man /usr/local/share/man/man1")]
pub(super) struct Args {
    /// Directory to which `segwan.1`, `segwan-serve.1` and the others are written
    directory: Option<PathBuf>,
}

pub(super) fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| Failure::refused(format!("no manual page: {error}"));
    let Some(directory) = args.directory else {
        let mut page = Vec::new();
        Man::new(super::definition()).render(&mut page).map_err(failed)?;
        global.report.text(&String::from_utf8_lossy(&page));
        return Ok(Exit::Done);
    };
    let unwritable = |error: std::io::Error| {
        Failure::refused(format!("`{}` cannot be written: {error}", directory.display()))
    };
    std::fs::create_dir_all(&directory).map_err(unwritable)?;
    clap_mangen::generate_to(super::definition(), &directory).map_err(unwritable)?;
    Ok(Exit::Done)
}
