//! `segwan ca init`: an Authority without a service, with the root offline from the first second
//! if that is wanted.

use super::issuing::PermitArgs;
use super::now_ms;
use super::passphrase::PassphraseArgs;
use crate::cli::{Exit, Failure, Global};
use segwan_core::identity::TrustDomain;
use segwan_pki::authority::{
    Authority, AuthorityError, AuthorityOptions, Custody, LEAF_LIFETIME, RENEWAL_GRACE,
    RootKeyPlace,
};
use segwan_pki::directory::StateDir;
use std::path::{Path, PathBuf};

/// Make an Authority, and start nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca init --trust-domain shop.example --root-key-out /media/usb
      the root's key goes to the medium and never onto this host
  segwan ca init --permit-dns shop.example --permit-ip 10.0.0.0/8

Exit codes: 0 done; 1 the medium cannot be written; 2 there is an Authority already, or none can be
made here.")]
pub(super) struct Args {
    /// The trust domain; it is fixed for good
    #[arg(long, value_name = "NAME", default_value = "segwan.internal")]
    trust_domain: String,
    #[command(flatten)]
    permit: PermitArgs,
    /// Write the root's key to this directory, and never onto this host
    #[arg(long, value_name = "DIR")]
    root_key_out: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let trust_domain: TrustDomain = args.trust_domain.parse().map_err(AuthorityError::from)?;
    if state.join("authority").exists() {
        return Err(Failure::cannot_start(format!(
            "there is an Authority in `{}`",
            state.display()
        ))
        .hint("`segwan ca root` shows it; `--state DIR` names another directory"));
    }
    let directory = StateDir::open(state)?;
    let root_key = match &args.root_key_out {
        None => RootKeyPlace::Here,
        Some(to) => {
            let unusable = |why: &dyn std::fmt::Display| {
                Failure::refused(format!("`{}` cannot be used: {why}", to.display()))
            };
            let to = to.canonicalize().map_err(|error| unusable(&error))?;
            if to.starts_with(directory.path()) {
                return Err(unusable(&"it is in the state directory"));
            }
            RootKeyPlace::Exported {
                to,
                passphrase: args.passphrase.for_sealing("the root's key")?,
            }
        }
    };
    let key_passphrase = super::key_passphrase()?;
    let custody = Custody { key_passphrase, permitted: args.permit.permitted(), root_key };
    let options = AuthorityOptions {
        trust_domain,
        leaf_lifetime: LEAF_LIFETIME,
        renewal_grace: RENEWAL_GRACE,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::cannot_start(format!("no runtime: {error}")))?;
    let fingerprint = runtime.block_on(async {
        let made = Authority::open_with(&directory, &options, &custody, now_ms()).await;
        let made = made.map_err(|error| match error {
            AuthorityError::Custody(error) => Failure::from(error),
            error => error.into(),
        })?;
        made.close().await;
        Ok::<_, Failure>(made.root_fingerprint())
    })?;
    let report = &global.report;
    report.line(format_args!(
        "made the Authority of {} in {}; its root is sha256:{fingerprint}",
        args.trust_domain,
        state.display()
    ));
    match &args.root_key_out {
        Some(to) => report.line(format_args!(
            "the root's key is in {} and was never on this host; keep a second copy elsewhere",
            to.display()
        )),
        None => report.line(format_args!(
            "the root's key is on this host; `segwan ca root export --to DIR` takes it away"
        )),
    }
    Ok(Exit::Done)
}
