//! `segwan ca`: what the Authority has issued, and where its root key is.
//!
//! Where a process serves the state it is asked; else the state directory is opened, under its
//! lock, so nobody changes it meanwhile.

mod adopt;
mod agents;
mod asking;
mod backup;
mod calendar;
mod crl;
mod init;
mod issuing;
mod ledger;
mod list;
mod passphrase;
mod register;
mod restore;
mod root;
mod rotate;
mod show;
mod sign_issuing;
mod tokens;

use super::status::socket;
use super::{Exit, Failure, Global};
use crate::admin::{Fault, client};
use segwan_core::identity::TrustDomain;
use segwan_pki::authority::{
    Authority, AuthorityError, AuthorityOptions, Custody, LEAF_LIFETIME, RENEWAL_GRACE,
};
use segwan_pki::custody::Passphrase;
use segwan_pki::directory::StateDir;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Look after the Authority
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca list
  segwan ca list --view never-used --json | jq '.certificates[].name'
  segwan ca show app
  segwan ca register edge --profile service --dns edge.shop.example --max-lineages 50 --on-reenroll add
  segwan ca crl --out segwan.crl
  segwan ca ledger verify
  segwan ca root
  segwan ca root export --to /media/usb
  segwan ca issuing list
  segwan ca backup segwan.tar --passphrase-file phrase.txt

Exit codes: 0 all is well; 1 the ledger is broken, or the Authority cannot answer; 2 there is no
Authority, or its state cannot be used.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    List(list::Args),
    Show(show::Args),
    Agents(agents::Args),
    Expiring(calendar::Args),
    Tokens(tokens::Args),
    Crl(crl::Args),
    Register(register::Args),
    Enable(register::Enable),
    Ledger(ledger::Args),
    Init(init::Args),
    Root(root::Args),
    Issuing(issuing::Args),
    SignIssuing(sign_issuing::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Adopt(adopt::Args),
    Rotate(rotate::Args),
}

/// Runs the command.
///
/// # Errors
/// If there is no Authority, or it cannot answer.
#[allow(clippy::needless_pass_by_value, reason = "every command is called alike")]
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let state = global.state_dir(None)?;
    match args.what {
        What::List(args) => list::run(&args, &state, global),
        What::Show(args) => show::run(&args, &state, global),
        What::Agents(args) => agents::run(&args, &state, global),
        What::Expiring(args) => calendar::run(&args, &state, global),
        What::Tokens(args) => tokens::run(&args, &state, global),
        What::Crl(args) => crl::run(&args, &state, global),
        What::Register(args) => register::run(args, &state, global),
        What::Enable(args) => register::enable(args, &state, global),
        What::Ledger(args) => ledger::run(&args, &state, global),
        What::Init(args) => init::run(&args, &state, global),
        What::Root(args) => root::run(&args, &state, global),
        What::Issuing(args) => issuing::run(&args, &state, global),
        What::SignIssuing(args) => sign_issuing::run(&args, &state, global),
        What::Backup(args) => backup::run(&args, &state, global),
        What::Restore(args) => restore::run(&args, &state, global),
        What::Adopt(args) => adopt::run(&args, &state, global),
        What::Rotate(args) => rotate::run(&args, &state, global),
    }
}

/// Asks the process that serves the state at `path`, or else the Authority in the state itself.
pub(super) fn ask<T: DeserializeOwned>(
    state: &Path,
    path: &str,
    query: &[(&str, String)],
    itself: impl AsyncFnOnce(&Authority) -> Result<T, Fault>,
) -> Result<T, Failure> {
    let socket = socket(state);
    if client::is_served(&socket) {
        return client::find(&socket, path, query);
    }
    with_authority(state, itself)
}

/// The same for what changes something.
pub(super) fn tell<T: DeserializeOwned>(
    state: &Path,
    path: &str,
    body: &impl Serialize,
    patience: Duration,
    itself: impl AsyncFnOnce(&Authority) -> Result<T, Fault>,
) -> Result<T, Failure> {
    let socket = socket(state);
    if client::is_served(&socket) {
        return client::post_within(&socket, path, body, client::PATIENCE + patience);
    }
    with_authority(state, itself)
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
    let custody = Custody { key_passphrase: key_passphrase()?, ..Custody::default() };
    let open = async |domain: &str| {
        Authority::open_with(directory, &options(domain)?, &custody, now_ms()).await
    };
    match open("segwan.internal").await {
        Err(AuthorityError::TrustDomain { is, .. }) => Ok(open(&is).await?),
        opened => Ok(opened?),
    }
}

/// What opens issuing keys that are encrypted: the systemd credential `segwan.authority`, or a file
/// that the environment names.
fn key_passphrase() -> Result<Option<Passphrase>, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let credential =
        set("CREDENTIALS_DIRECTORY").map(|place| Path::new(&place).join("segwan.authority"));
    let file = set("SEGWAN_KEY_PASSPHRASE_FILE").map(PathBuf::from);
    match file.or_else(|| credential.filter(|path| path.exists())) {
        Some(path) => Ok(Some(Passphrase::read(&path)?)),
        None => Ok(None),
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
    use crate::admin::wire::ListRequest;
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
        let asked = ListRequest::default();
        let inventory = async |a: &Authority| crate::admin::ca::list(a, &asked, now_ms()).await;
        let all = with_authority(&state, inventory).unwrap();
        assert_eq!(all.trust_domain, "shop.example");
        let verify = || What::Ledger(ledger::Args { what: ledger::What::Verify });
        let list = || What::List(list::Args { json: true, ..list::Args::default() });
        for what in [list(), verify(), What::Root(root::Args::default())] {
            assert_eq!(run(Args { what }, &global(&state)), Ok(Exit::Done));
        }
        // Who serves it holds its lock.
        let served = StateDir::open(&state).unwrap();
        let refused = run(Args { what: verify() }, &global(&state)).unwrap_err();
        assert!(refused.sentence().unwrap().0.contains("is in use by another process"));
        assert_eq!(root::run(&root::Args::default(), &state, &global(&state)), Ok(Exit::Done));
        drop(served);
        std::fs::remove_file(state.join("authority/root.pem")).unwrap();
        let refused = root::run(&root::Args::default(), &state, &global(&state)).unwrap_err();
        assert!(refused.sentence().unwrap().0.contains("root.pem` cannot be read"), "{refused:?}");
    }

    #[test]
    fn looking_at_an_authority_that_is_not_there_makes_none() {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        let verify = What::Ledger(ledger::Args { what: ledger::What::Verify });
        for what in [What::List(list::Args::default()), verify, What::Root(root::Args::default())] {
            let refused = run(Args { what }, &global(&state)).unwrap_err();
            assert_eq!(refused.exit(), Exit::CannotStart);
            assert!(refused.sentence().unwrap().0.starts_with("there is no Authority in"));
        }
        assert!(!state.exists());
    }
}
