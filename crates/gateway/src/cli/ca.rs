//! `segwan ca`: what the Authority has issued, and where its root key is.
//!
//! Where a process serves the state it is asked; else the state directory is opened, under its
//! lock, so nobody changes it meanwhile.

use super::columns::{Columns, plain};
use super::report::Look;
use super::status::{ends, json, socket};
use super::{Exit, Failure, Global};
use crate::admin::wire::{self, CertificateView, Inventory, LedgerAnswer, RegistrationView};
use crate::admin::{Fault, client, inventory};
use crate::status::when::instant;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use segwan_core::identity::TrustDomain;
use segwan_pki::authority::{
    Authority, AuthorityError, AuthorityOptions, LEAF_LIFETIME, RENEWAL_GRACE,
};
use segwan_pki::directory::StateDir;
use segwan_pki::key::{hex, sha256};
use std::path::Path;

/// Look after the Authority
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca list
  segwan ca list --json | jq '.certificates[] | select(.name == \"app\")'
  segwan ca ledger verify
  segwan ca root

Exit codes: 0 all is well; 1 the ledger is broken, or the Authority cannot answer; 2 there is no
Authority, or its state cannot be used.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List registrations, and certificates that have not ended
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The record of everything that the Authority did
    Ledger {
        #[command(subcommand)]
        what: Ledger,
    },
    /// Show the root, and where its key is
    Root,
}

#[derive(Debug, clap::Subcommand)]
enum Ledger {
    /// Check the chain of the ledger, and that it knows every certificate
    Verify,
}

/// Runs the command.
///
/// # Errors
/// If there is no Authority, or it cannot answer.
#[allow(clippy::needless_pass_by_value, reason = "every command is called alike")]
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let state = global.state_dir(None)?;
    match args.what {
        What::List { json } => list(&state, json, global),
        What::Ledger { what: Ledger::Verify } => verify(&state, global),
        What::Root => root(&state, global),
    }
}

fn list(state: &Path, as_json: bool, global: &Global) -> Result<Exit, Failure> {
    let now_ms = now_ms();
    let all: Inventory = if client::is_served(&socket(state)) {
        client::get(&socket(state), wire::LIST)?
    } else {
        with_authority(state, async |authority| inventory(authority, now_ms).await)?
    };
    if as_json {
        global.report.text(&json(&all)?);
        return Ok(Exit::Done);
    }
    let report = &global.report;
    report.line(format_args!("{}", report.style(Look::Bold, "registrations")));
    registrations(&all.registrations).print(report, 2);
    if all.certificates.is_empty() {
        report.line(format_args!("\nno certificate is in force"));
    } else {
        report.line(format_args!("\n{}", report.style(Look::Bold, "certificates")));
        certificates(&all.trust_domain, &all.certificates, now_ms).print(report, 2);
    }
    Ok(Exit::Done)
}

fn registrations(all: &[RegistrationView]) -> Columns {
    let mut columns = Columns::headed(&["NAME", "PROFILE", "STATE", "SERVICES OR ADDRESSES"]);
    for one in all {
        let places = if one.services.is_empty() { &one.addresses } else { &one.services };
        let state =
            if one.enabled { plain("enabled") } else { (Look::Warning, "disabled".to_owned()) };
        columns.row([
            (Look::Bold, one.name.clone()),
            plain(&one.profile),
            state,
            plain(places.join(", ")),
        ]);
    }
    columns
}

fn certificates(domain: &str, all: &[CertificateView], now_ms: i64) -> Columns {
    let heading = ["IDENTITY", "PROFILE", "MADE", "ENDS", "STATE", "SERIAL"];
    let mut columns = Columns::headed(&heading);
    for one in all {
        let look = if one.state == "issued" { Look::Good } else { Look::Dim };
        columns.row([
            plain(format!("spiffe://{domain}/{}", one.name)),
            plain(&one.profile),
            plain(instant(one.made_ms)),
            ends(one.not_after_ms, now_ms),
            (look, one.state.clone()),
            plain(&one.serial),
        ]);
    }
    columns
}

fn verify(state: &Path, global: &Global) -> Result<Exit, Failure> {
    let LedgerAnswer { lines } = if client::is_served(&socket(state)) {
        client::get(&socket(state), wire::LEDGER)?
    } else {
        with_authority(state, async |authority| {
            Ok(LedgerAnswer { lines: authority.verify_ledger().await? })
        })?
    };
    let good = global.report.style(Look::Good, "good");
    global.report.line(format_args!(
        "{good}: each line is chained to the one before, and every certificate is on record \
         (lines: {lines})"
    ));
    Ok(Exit::Done)
}

fn root(state: &Path, global: &Global) -> Result<Exit, Failure> {
    exists(state)?;
    let directory = StateDir::open_shared(state)?.authority();
    let path = directory.join("root.pem");
    let unreadable = |why: &dyn std::fmt::Display| {
        Failure::cannot_start(format!("`{}` cannot be read: {why}", path.display()))
    };
    let pem = std::fs::read(&path).map_err(|error| unreadable(&error.kind()))?;
    let der = CertificateDer::from_pem_slice(&pem);
    let der = der.map_err(|_| unreadable(&"it holds no certificate"))?;

    let report = &global.report;
    let mut columns = Columns::default();
    let mut fact = |name: &str, cell| columns.row([(Look::Dim, name.to_owned()), cell]);
    fact("fingerprint", plain(hex(&sha256(&der))));
    fact("certificate", plain(path.display().to_string()));
    let place = directory.join("root");
    let is_here = place.join("root.key.pem").exists();
    let key = place.join("root.key.pem").display().to_string();
    fact(
        "key",
        if is_here { (Look::Warning, key) } else { (Look::Good, "not on this host".to_owned()) },
    );
    columns.print(report, 0);
    if is_here {
        let beside = place.join("passphrase").exists();
        report.text(&advice(&place.display().to_string(), beside));
    }
    Ok(Exit::Done)
}

/// What follows from a root key on this host, and what to do about it.
fn advice(place: &str, passphrase_beside: bool) -> String {
    let passphrase = if passphrase_beside {
        "The key is encrypted, but its passphrase lies beside it: that protects nothing.\n"
    } else {
        ""
    };
    format!(
        "
Whoever takes this host takes the root, and with it the Authority. {passphrase}\
The root key is needed only to make new issuing certificates; the one in use is made for a year.
Until then:
  1. copy the directory {place}
     to two offline media, and compare the copies
  2. remove the directory from this host
Serving, enrolling and renewing go on without it. There is no command for this yet, and none yet
that makes a new issuing certificate, so keep the copies.
Without any copy the Authority ends with its issuing certificates.
"
    )
}

/// Opens the Authority of a state that no process serves, asks it, and closes it.
pub(super) fn with_authority<T>(
    state: &Path,
    ask: impl AsyncFnOnce(&Authority) -> Result<T, Fault>,
) -> Result<T, Failure> {
    exists(state)?;
    let directory = StateDir::open(state)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::cannot_start(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let authority = open(&directory).await?;
        let asked = ask(&authority).await;
        authority.close().await;
        Ok(asked?)
    })
}

/// Its trust domain was fixed when it was made; the Authority itself says which one.
async fn open(directory: &StateDir) -> Result<Authority, Failure> {
    let options = |domain: &str| {
        let trust_domain: TrustDomain = domain.parse().map_err(AuthorityError::from)?;
        Ok::<_, AuthorityError>(AuthorityOptions {
            trust_domain,
            leaf_lifetime: LEAF_LIFETIME,
            renewal_grace: RENEWAL_GRACE,
        })
    };
    match Authority::open(directory, &options("segwan.internal")?, now_ms()).await {
        Err(AuthorityError::TrustDomain { is, .. }) => {
            Ok(Authority::open(directory, &options(&is)?, now_ms()).await?)
        }
        opened => Ok(opened?),
    }
}

/// A command that looks makes no Authority.
fn exists(state: &Path) -> Result<(), Failure> {
    if state.join("authority").is_dir() {
        return Ok(());
    }
    Err(Failure::cannot_start(format!("there is no Authority in `{}`", state.display()))
        .hint("`segwan serve` makes one at its first start; `--state DIR` names another directory"))
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::report::{ColorChoice, Report};

    /// An Authority that was made under another trust domain than the default, and is at rest.
    pub(in crate::cli) fn at_rest(state: &Path) {
        let directory = StateDir::open(state).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = AuthorityOptions {
                trust_domain: "shop.example".parse().unwrap(),
                leaf_lifetime: LEAF_LIFETIME,
                renewal_grace: RENEWAL_GRACE,
            };
            let authority = Authority::open(&directory, &options, now_ms()).await.unwrap();
            authority.close().await;
        });
    }

    pub(in crate::cli) fn global(state: &Path) -> Global {
        Global {
            state: Some(state.to_owned()),
            report: Report::new(ColorChoice::Never),
            verbose: 0,
        }
    }

    #[test]
    fn an_authority_at_rest_is_looked_at_whatever_its_trust_domain() {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        at_rest(&state);
        let all = with_authority(&state, async |a| inventory(a, now_ms()).await).unwrap();
        assert_eq!(all.trust_domain, "shop.example");
        for what in [What::List { json: true }, What::Ledger { what: Ledger::Verify }, What::Root] {
            assert_eq!(run(Args { what }, &global(&state)), Ok(Exit::Done));
        }
        // Who serves it holds its lock.
        let served = StateDir::open(&state).unwrap();
        let refused = verify(&state, &global(&state)).unwrap_err();
        assert!(refused.sentence().unwrap().0.contains("is in use by another process"));
        assert_eq!(root(&state, &global(&state)), Ok(Exit::Done));
        drop(served);
        std::fs::remove_file(state.join("authority/root.pem")).unwrap();
        let refused = root(&state, &global(&state)).unwrap_err();
        assert!(refused.sentence().unwrap().0.contains("root.pem` cannot be read"), "{refused:?}");
    }

    #[test]
    fn looking_at_an_authority_that_is_not_there_makes_none() {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        for what in [What::List { json: false }, What::Ledger { what: Ledger::Verify }, What::Root]
        {
            let refused = run(Args { what }, &global(&state)).unwrap_err();
            assert_eq!(refused.exit(), Exit::CannotStart);
            assert!(refused.sentence().unwrap().0.starts_with("there is no Authority in"));
        }
        assert!(!state.exists());
    }
}
