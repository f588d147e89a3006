//! `segwan ca issuing`: the certificates that sign, renewed with the root's key wherever it is.

use super::asking::ask;
use super::passphrase::RootKeyArgs;
use super::{now_ms, root};
use crate::admin::custody::{
    Chain, DISTRUST, Der, IMPORT, ISSUING, Imported, IssuingKey, KeyId, Nothing, REQUEST,
    ROOT_LIST, ROOT_LIST_IMPORT, distrust, import, import_root_list, issuing, request, root_list,
};
use crate::cli::columns::{Columns, plain};
use crate::cli::report::Look;
use crate::cli::status::{ends, json};
use crate::cli::{Exit, Failure, Global};
use crate::status::when::instant;
use segwan_pki::authority::RootList;
use segwan_pki::custody::{Permitted, Root, SPARE_DAYS, chain_text, request_text};
use segwan_pki::directory::write_private;
use segwan_pki::key::{from_hex, hex};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes of a chain that is read.
const LARGEST: u64 = 64 * 1024;

/// Look after the issuing certificates
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca issuing list
  segwan ca issuing renew --root-key /media/usb/root.key.pem
      a new spare, and the root's list; the root's key is only in memory
  segwan ca issuing request --extensions issuing.ext > req.pem
  segwan ca issuing import chain.pem
      the same with an air gap between; `segwan ca sign-issuing` signs on the other side
  segwan ca issuing distrust 3f9a21c0
      its key was stolen: the spare signs at once, and everybody renews

Exit codes: 0 done; 1 refused, with the rule that decided; 2 there is no Authority, or a key or
passphrase is missing.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List issuing certificates, and how their keys are kept
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new spare, signed with the root's key at this host
    Renew {
        #[command(flatten)]
        root: RootKeyArgs,
        #[command(flatten)]
        permit: PermitArgs,
    },
    /// Print a request for the root to sign elsewhere
    Request {
        #[command(flatten)]
        permit: PermitArgs,
        /// Also write the extension file with which plain OpenSSL signs the request
        #[arg(long, value_name = "FILE")]
        extensions: Option<PathBuf>,
    },
    /// Take what was signed elsewhere
    Import {
        /// The issuing certificate in PEM, with or without the root behind it; `-` reads it from
        /// standard input
        chain: PathBuf,
    },
    /// End belief in an issuing key everywhere
    Distrust {
        /// Its key id, or at least 8 characters of its beginning
        key: String,
    },
}

/// What an issuing certificate may speak for beside SPIFFE identities.
#[derive(Debug, Default, clap::Args)]
pub(super) struct PermitArgs {
    /// A DNS name that registrations may have, with everything below it; default: as before
    #[arg(long = "permit-dns", value_name = "NAME")]
    dns: Vec<String>,
    /// A range of addresses that registrations may have, such as 10.0.0.0/8
    #[arg(long = "permit-ip", value_name = "CIDR")]
    ips: Vec<String>,
}

impl PermitArgs {
    pub(super) fn permitted(&self) -> Permitted {
        Permitted { dns: self.dns.clone(), ips: self.ips.clone() }
    }
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        What::List { json } => list(state, *json, global),
        What::Renew { root, permit } => renew_here(root, permit, state, global),
        What::Request { permit, extensions } => {
            request_elsewhere(permit, extensions.as_deref(), state, global)
        }
        What::Import { chain } => import_chain(chain, state, global),
        What::Distrust { key } => distrust_key(key, state, global),
    }
}

fn list(state: &Path, as_json: bool, global: &Global) -> Result<Exit, Failure> {
    let all = ask(state, ISSUING, Nothing {}, issuing)?;
    if as_json {
        global.report.text(&json(&all)?);
        return Ok(Exit::Done);
    }
    let now_ms = now_ms();
    let mut columns = Columns::headed(&["KEY", "STATE", "MADE", "ENDS", "CERTIFICATES"]);
    for key in &all.keys {
        columns.row([
            plain(&key.id),
            (look(key), key.state.clone()),
            plain(instant(key.made_ms)),
            ends(key.not_after_ms, now_ms),
            plain(key.certificates.to_string()),
        ]);
    }
    columns.print(&global.report, 0);
    let kept = if all.sealed { "encrypted" } else { "protected by file mode only" };
    global.report.line(format_args!("\nissuing keys: {kept}"));
    if all.request_is_open {
        global.report.line(format_args!(
            "a request is open: `segwan ca issuing import FILE` takes what the root signed"
        ));
    }
    Ok(Exit::Done)
}

fn look(key: &IssuingKey) -> Look {
    match key.state.as_str() {
        "active" => Look::Good,
        "distrusted" => Look::Bad,
        _ => Look::Plain,
    }
}

fn renew_here(
    key: &RootKeyArgs,
    permit: &PermitArgs,
    state: &Path,
    global: &Global,
) -> Result<Exit, Failure> {
    let root = key.open(state, &root::certificate(state)?)?;
    let made = renew(state, &root, &permit.permitted())?;
    sign_root_list(state, &root)?;
    told(&made, global);
    global.report.line(format_args!("signed the root's revocation list for 18 months"));
    Ok(Exit::Done)
}

/// Asks for an issuing certificate, signs it, and hands it over.
pub(super) fn renew(state: &Path, root: &Root, permit: &Permitted) -> Result<Imported, Failure> {
    let asked = ask(state, REQUEST, permit.clone(), request)?;
    let der =
        from_hex(&asked.request).ok_or_else(|| Failure::refused("the process gave no request"))?;
    let signed = root.sign_issuing(&der, &asked.permitted, SPARE_DAYS, now_ms())?;
    let pem = chain_text(&[signed, root.certificate().to_vec()]);
    ask(state, IMPORT, Chain { pem }, import)
}

/// Signs the root's own list anew, and hands it over.
pub(super) fn sign_root_list(state: &Path, root: &Root) -> Result<(), Failure> {
    let wanted = ask(state, ROOT_LIST, Nothing {}, root_list)?;
    let list = RootList { number: wanted.number, revoked: wanted.revoked };
    let der = root.sign_list(list.number, &list.entries(), now_ms())?;
    ask(state, ROOT_LIST_IMPORT, Der { der: hex(&der) }, import_root_list)?;
    Ok(())
}

fn told(made: &Imported, global: &Global) {
    let (id, end) = (&made.id, instant(made.not_after_ms));
    let follows = match made.state.as_str() {
        "active" => "it signs at once, because the one before it has ended",
        _ => "it signs when the active one is two thirds through its life, and every agent has it",
    };
    global.report.line(format_args!("the issuing certificate {id} is good until {end}; {follows}"));
}

fn request_elsewhere(
    permit: &PermitArgs,
    extensions: Option<&Path>,
    state: &Path,
    global: &Global,
) -> Result<Exit, Failure> {
    let asked = ask(state, REQUEST, permit.permitted(), request)?;
    let der =
        from_hex(&asked.request).ok_or_else(|| Failure::refused("the process gave no request"))?;
    let file = match extensions {
        Some(path) => {
            write_private(path, asked.extensions.as_bytes())?;
            path.display().to_string()
        }
        None => "issuing.ext".to_owned(),
    };
    let report = &global.report;
    report.text(&request_text(&der));
    let flags: String = [("dns", &asked.permitted.dns), ("ip", &asked.permitted.ips)]
        .iter()
        .flat_map(|(kind, all)| all.iter().map(move |one| format!(" --permit-{kind} {one}")))
        .collect();
    report.note(format_args!(
        "sign the request where the root is, then `segwan ca issuing import chain.pem`:
  segwan ca sign-issuing --root-key root.key.pem --root-cert root.pem{flags} req.pem > chain.pem
or with OpenSSL alone:
  openssl x509 -req -in req.pem -CA root.pem -CAkey root.key.pem -sha384 -days {SPARE_DAYS} \\
    -set_serial 0x4$(openssl rand -hex 15) -extfile {file} -out chain.pem"
    ));
    if extensions.is_none() {
        report.note(format_args!("where {file} holds:\n{}", asked.extensions));
    }
    Ok(Exit::Done)
}

fn import_chain(path: &Path, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let pem = text(path)?;
    let made = ask(state, IMPORT, Chain { pem }, import)?;
    told(&made, global);
    Ok(Exit::Done)
}

/// A small text file, or standard input.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let unreadable =
        |error: std::io::Error| Failure::cannot_start(format!("`{shown}` cannot be read: {error}"));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(LARGEST + 1).read_to_string(&mut text)
    };
    read.map_err(unreadable)?;
    if text.len() as u64 > LARGEST {
        return Err(Failure::cannot_start(format!("`{shown}` is over {LARGEST} bytes")));
    }
    Ok(text)
}

fn distrust_key(key: &str, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let done = ask(state, DISTRUST, KeyId { id: key.to_owned() }, distrust)?;
    let report = &global.report;
    let signs = match &done.successor {
        Some(successor) => format!("; {successor} signs from now on"),
        None => String::new(),
    };
    report.line(format_args!("the issuing key {} is believed nowhere any more{signs}", done.id));
    report.line(format_args!(
        "{} certificates under it are refused as soon as a node hears of it; all agents are told \
         to renew within 5 minutes",
        done.certificates
    ));
    let spare = if done.last { "There is no spare any more. " } else { "" };
    report.line(format_args!(
        "\n{spare}What is left for the root to do, with its key from its medium:
  segwan ca issuing renew --root-key /media/usb/root.key.pem
makes a new spare, and puts the certificate onto the root's revocation list. Find out how the key \
         was lost before you do."
    ));
    Ok(Exit::Done)
}
