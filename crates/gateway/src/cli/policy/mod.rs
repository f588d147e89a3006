//! `segwan policy`: checks and tests policies, without a service, by the engine that decides.

mod test;

use super::report::Look;
use super::{Exit, Failure, Global};
use crate::config::contract::load_contract;
use crate::config::{Config, DEFAULT_TRUST_DOMAIN, policy, read};
use segwan_core::finding::Finding;
use segwan_core::identity::Identity;
use segwan_core::policy::schema::ActionShape;
use segwan_core::policy::{Policy, PolicySource};
use std::path::{Path, PathBuf};

/// Check and test policies
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan policy check --config segwan.toml
  segwan policy check orders.cedar --contract orders.toml --service orders
  segwan policy test orders.policy-test.toml")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(CheckArgs),
    Test(TestArgs),
}

/// Check policies against the actions and fields of a contract
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan policy check --config segwan.toml
      the policies of every service in it
  segwan policy check orders.cedar --contract orders.toml --service orders

Exit codes: 0 ok; 2 errors; 3 warnings with --strict.")]
struct CheckArgs {
    /// Policy files, in Cedar
    #[arg(required_unless_present = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The contract of their service: a file, or `raw`
    #[arg(long, value_name = "FILE|raw", required_unless_present = "config")]
    contract: Option<PathBuf>,
    /// The service that they are for
    #[arg(long, value_name = "NAME", required_unless_present = "config")]
    service: Option<String>,
    /// A configuration, in place of the files
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "contract", "service"])]
    config: Option<PathBuf>,
    /// End with exit code 3 if there are warnings
    #[arg(long)]
    strict: bool,
}

/// Run a file of questions: who asks for what, and whether it is allowed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan policy test orders.policy-test.toml

The file says once which policies decide, and in each `[[test]]` a question and its answer:

  service  = \"orders\"
  contract = \"orders.toml\"       # files are named from where the test file is
  policy   = \"orders.cedar\"

  [[test]]
  name      = \"the app may read\"
  principal = \"app\"              # or a whole identity; `role = \"Operator\"` supposes a role
  action    = \"part.read\"        # `connect` without one
  resource  = \"part/bolt-m4\"     # the service itself without one
  context   = { count = 3 }      # what the message shows
  session   = { user = \"kim\" }  # what earlier messages left, as `remember` keeps it
  now       = \"2026-01-01T12:00:00Z\"  # and `address`: what the gateway knows
  expect    = \"allow\"            # or `deny`
  by        = \"app-reads\"        # the @id of the policy that decides; may be left out

Exit codes: 0 all hold; 1 some fail; 2 a file cannot be read.")]
struct TestArgs {
    /// Files of questions
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If a policy, a contract or a file of questions cannot be used.
pub fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check(args) => check(args, global),
        Command::Test(args) => test::run(&args.files, global),
    }
}

fn check(args: &CheckArgs, global: &Global) -> Result<Exit, Failure> {
    let mut warnings = Vec::new();
    let mut checked = Vec::new();
    if let Some(file) = &args.config {
        let (config, _) = Config::load(file)?;
        for service in &config.services {
            let (_, more) = policy(service)?;
            warnings.extend(more);
            let files: Vec<&str> = service.policies.iter().map(|p| p.file.as_str()).collect();
            let files = if files.is_empty() { "allow".to_owned() } else { files.join(", ") };
            checked.push((service.name.clone(), files));
        }
    } else if let (Some(contract), Some(service)) = (&args.contract, &args.service) {
        let files: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
        let (_, _, more) = compile(service, contract, &files, &[])?;
        warnings.extend(more);
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        checked.push((service.clone(), files.join(", ")));
    }
    global.report.findings(&warnings);
    for (service, files) in checked {
        let ok = global.report.style(Look::Good, "ok");
        global.report.line(format_args!("{service}: {files} {ok}"));
    }
    Ok(if args.strict && !warnings.is_empty() { Exit::Warnings } else { Exit::Done })
}

/// The policies of a service against its contract, the actions that it has, and warnings.
fn compile(
    service: &str,
    contract: &Path,
    files: &[&Path],
    allow: &[Identity],
) -> Result<(Policy, Vec<ActionShape>, Vec<Finding>), Failure> {
    let contract = match contract {
        raw if raw == Path::new("raw") => None,
        file => Some(load_contract(file)?.0),
    };
    let mut sources = Vec::new();
    for file in files {
        let text = read::text(file).map_err(Failure::cannot_start)?;
        sources.push(PolicySource { file: file.display().to_string(), text });
    }
    let actions = contract.as_ref().map(|contract| contract.actions()).unwrap_or_default();
    let (policy, warnings) = Policy::compile(service, &actions, allow, &sources)?;
    let role = contract.as_ref().and_then(|contract| contract.role());
    Ok((policy.with_roles(role), actions, warnings))
}

/// A name as an operator writes it: an identity, or short for one of the default trust domain.
fn identity(text: &str, domain: Option<&str>) -> Result<Identity, String> {
    let domain = domain.unwrap_or(DEFAULT_TRUST_DOMAIN).parse::<segwan::TrustDomain>();
    let domain = domain.map_err(|error| error.to_string())?;
    super::serve::meant(text, &domain).map_err(|failure| {
        failure.sentence().map(|(sentence, _)| sentence.to_owned()).unwrap_or_default()
    })
}
