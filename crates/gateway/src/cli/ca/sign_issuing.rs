//! `segwan ca sign-issuing`: the root's side of an air gap. It needs no state, and keeps none.

use super::issuing::{PermitArgs, text};
use super::now_ms;
use super::passphrase::RootKeyArgs;
use crate::cli::{Exit, Failure, Global};
use crate::status::when::instant;
use segwan_pki::certificate::Certificate;
use segwan_pki::custody::{SPARE_DAYS, certificates, chain_text, request};
use std::path::{Path, PathBuf};

/// Sign a request for an issuing certificate, where the root's key is
///
/// The chain goes to standard output. Of the request the key and the trust domain are taken; what
/// the certificate may speak for is said here.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca sign-issuing --root-key root.key.pem --root-cert root.pem req.pem > chain.pem

Exit codes: 0 done; 1 the request is refused; 2 a file or the passphrase is missing.")]
pub(super) struct Args {
    #[command(flatten)]
    root: RootKeyArgs,
    /// The root's certificate
    #[arg(long, value_name = "FILE")]
    root_cert: PathBuf,
    #[command(flatten)]
    permit: PermitArgs,
    /// Life of the certificate in days
    #[arg(long, default_value_t = SPARE_DAYS, value_parser = clap::value_parser!(i64).range(30..=1096))]
    days: i64,
    /// What `segwan ca issuing request` printed; `-` reads it from standard input
    request: PathBuf,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let shown = args.root_cert.display();
    let certificate = certificates(&text(&args.root_cert)?)?;
    let [certificate] = certificate.as_slice() else {
        return Err(Failure::cannot_start(format!("`{shown}` holds not one certificate")));
    };
    let request = request(&text(&args.request)?)?;
    let root = args.root.open(state, certificate)?;
    let signed = root.sign_issuing(&request, &args.permit.permitted(), args.days, now_ms())?;
    let end = Certificate::read(&signed).map_or(0, |read| read.not_after) * 1000;
    global.report.text(&chain_text(&[signed, certificate.clone()]));
    global.report.note(format_args!("signed an issuing certificate until {}", instant(end)));
    Ok(Exit::Done)
}
