//! `segwan ca adopt`: a certificate that a restore does not know may renew again.

use super::asking::ask;
use super::issuing::text;
use crate::admin::custody::{ADOPT, Adopting, adopt};
use crate::cli::{Exit, Failure, Global};
use crate::status::when::instant;
use std::path::Path;

/// Let a certificate renew that was issued after the backup that was restored
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca adopt 4f2a9c
      a serial number that a gateway reported as unrecorded; taken when its holder renews
  segwan ca adopt chain.pem

Exit codes: 0 done; 1 refused: it is not ours, or nobody of its name is registered; 2 there is no
Authority, or the file cannot be read.")]
pub(super) struct Args {
    /// A serial number in hex, or a file with the certificate in PEM
    certificate: String,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let said = &args.certificate;
    let is_serial = said.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    let adopting = if is_serial && !Path::new(said).exists() {
        Adopting { serial: Some(said.clone()), pem: None }
    } else {
        Adopting { serial: None, pem: Some(text(Path::new(said))?) }
    };
    let done = ask(state, ADOPT, adopting, adopt)?;
    match (done.name, done.not_after_ms) {
        (Some(name), Some(end)) => global.report.line(format_args!(
            "the certificate {} of `{name}` is on record again, until {}",
            done.serial,
            instant(end)
        )),
        _ => global.report.line(format_args!(
            "the certificate {} is taken into the record when its holder comes to renew it",
            done.serial
        )),
    }
    Ok(Exit::Done)
}
