//! `segwan ca crl`: a revocation list, for verifiers that are not Segwan.

use super::ask;
use crate::admin::ca;
use crate::admin::wire::{self, List};
use crate::cli::{Exit, Failure, Global};
use segwan_pki::api::der;
use std::path::{Path, PathBuf};

/// Largest list, in bytes.
const LARGEST: usize = 8 << 20;

/// Write the revocation list of an issuing key
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its key id [default: the active key's]
    #[arg(value_name = "KEYID")]
    key: Option<String>,
    /// Write it to this file, in DER if its name ends in `.der` or `.crl`; else PEM is printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let key = args.key.clone().unwrap_or_default();
    let itself = async |authority: &_| ca::revocation_list(authority, &key).await;
    let list: List = ask(state, wire::CRL, &[("what", key.clone())], itself)?;
    let Some(out) = &args.out else {
        global.report.text(&pem(&list.der));
        return Ok(Exit::Done);
    };
    let is_der = out.extension().is_some_and(|kind| kind == "der" || kind == "crl");
    let bytes = if is_der {
        der(&list.der, LARGEST).ok_or_else(|| Failure::refused("the list is not well-formed"))?
    } else {
        pem(&list.der).into_bytes()
    };
    std::fs::write(out, bytes).map_err(|error| {
        Failure::refused(format!("`{}` cannot be written: {}", out.display(), error.kind()))
    })?;
    global.report.note(format_args!("list {} of issuing key {}", list.number, list.issuer));
    Ok(Exit::Done)
}

/// RFC 7468: 64 characters a line.
fn pem(base64: &str) -> String {
    let mut text = "-----BEGIN X509 CRL-----\n".to_owned();
    let mut rest = base64;
    while !rest.is_empty() {
        let (line, others) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = others;
    }
    text + "-----END X509 CRL-----\n"
}
