//! The command line: what can be said to `segwan`, and what follows from it.
//!
//! One file per command. A command gives an [`Exit`] or a [`Failure`]; only [`report`] turns
//! either into text, so all errors look alike.

mod columns;
mod completions;
mod man;
pub mod report;

pub mod audit;
pub mod ca;
pub mod check;
pub mod contract;
pub mod demo;
pub mod explain;
pub mod join;
pub mod policy;
pub mod reload;
pub mod revoke;
pub mod serve;
pub mod status;
pub mod token;

pub use crate::failure::{Exit, Failure};

use clap::{CommandFactory, Parser, Subcommand};
use report::{ColorChoice, Report};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "segwan",
    version,
    about = "Puts TLS, identity, authorization and a contract around any plain TCP service",
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Line {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  segwan demo
      the whole story in one process; it stays up for you to try
  segwan serve orders --to 127.0.0.1:8000 --listen 0.0.0.0:7443 --allow app --contract orders.toml
      protect a plain service; prints one join token for `app`
  segwan join TOKEN --as app --listen 127.0.0.1:8000
      elsewhere: enroll, then let any plain client use 127.0.0.1:8000
  segwan check --config segwan.toml
      read everything, start nothing

Exit codes: 0 done; 1 refused or failed; 2 cannot start (arguments, configuration, contract,
policy, token or state); 3 warnings with --strict, or not confirmed by all; 4 stopped, but some connections were cut.";

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
struct GlobalArgs {
    /// State directory: credentials, trust, audit log, the Authority.
    /// Default: $STATE_DIRECTORY, /var/lib/segwan for root, else $XDG_STATE_HOME/segwan
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// When to use color; NO_COLOR counts as never
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: ColorChoice,
    /// Say more in the log; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Everything that `segwan` can be told to do.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Join(join::Args),
    Reload(reload::Args),
    Status(status::Args),
    Explain(explain::Args),
    Check(check::Args),
    Contract(contract::Args),
    Policy(policy::Args),
    Token(token::Args),
    Revoke(revoke::Args),
    Revocations(revoke::Revocations),
    Ca(ca::Args),
    Audit(audit::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
    /// Print the version
    Version,
}

/// What holds for every command.
#[derive(Debug)]
pub struct Global {
    /// `--state`, if it was given.
    state: Option<PathBuf>,
    /// Where output and errors go, and how they look.
    pub report: Report,
    /// How often `-v` was given.
    pub verbose: u8,
}

impl Global {
    /// The state directory: the flag, then what a configuration says, then the environment's
    /// (`pki.md` section 8).
    ///
    /// # Errors
    /// If nothing names one and the user has no home.
    pub fn state_dir(&self, configured: Option<&Path>) -> Result<PathBuf, Failure> {
        if let Some(state) = self.state.as_deref().or(configured) {
            return Ok(state.to_owned());
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(state) = set("STATE_DIRECTORY") {
            return Ok(state.into());
        }
        if rustix::process::geteuid().is_root() {
            return Ok("/var/lib/segwan".into());
        }
        if let Some(home) = set("XDG_STATE_HOME") {
            return Ok(PathBuf::from(home).join("segwan"));
        }
        if let Some(home) = set("HOME") {
            return Ok(PathBuf::from(home).join(".local/state/segwan"));
        }
        Err(Failure::cannot_start("there is no state directory, because the user has no home")
            .hint("`--state DIR`"))
    }
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => return report::usage(&error),
    };
    let GlobalArgs { state, color, verbose } = line.global;
    let report = Report::new(color);
    log(verbose, matches!(line.command, Command::Demo(_)), &report);
    let global = Global { state, report, verbose };
    let exit = match run(line.command, &global) {
        Ok(exit) => exit,
        Err(failure) => {
            global.report.failure(&failure);
            failure.exit()
        }
    };
    ExitCode::from(exit.code())
}

fn run(command: Command, global: &Global) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(args, global),
        Command::Join(args) => join::run(&args, global),
        Command::Reload(args) => reload::run(&args, global),
        Command::Status(args) => status::run(args, global),
        Command::Explain(args) => explain::run(&args, global),
        Command::Check(args) => check::run(args, global),
        Command::Contract(args) => contract::run(args, global),
        Command::Policy(args) => policy::run(&args, global),
        Command::Token(args) => token::run(args, global),
        Command::Revoke(args) => revoke::run(args, global),
        Command::Revocations(args) => revoke::revocations(&args, global),
        Command::Ca(args) => ca::run(args, global),
        Command::Audit(args) => audit::run(args, global),
        Command::Demo(args) => demo::run(&args, global),
        Command::Completions(args) => completions::run(&args, global),
        Command::Man(args) => man::run(args, global),
        Command::Version => {
            global.report.line(format_args!("segwan {}", env!("CARGO_PKG_VERSION")));
            Ok(Exit::Done)
        }
    }
}

/// What a command that serves runs on; connections have threads of their own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("segwan-control")
        .enable_all()
        .build()
        .map_err(|error| Failure::cannot_start(format!("threads cannot be started: {error}")))
}

/// The definition of the command line, for completions and manual pages.
fn definition() -> clap::Command {
    Line::command()
}

/// The log for people goes to stderr; libraries are heard only when they warn. A demo tells its
/// story itself.
fn log(verbose: u8, quiet: bool, report: &Report) {
    let level = match verbose {
        0 if quiet => "error",
        0 => "warn,segwan=info,segwan_gateway=info,segwan_pki=info",
        1 => "info,segwan=debug,segwan_gateway=debug,segwan_pki=debug",
        _ => "trace",
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_target(verbose > 1)
        .with_ansi(report.colors_errors());
    // People at a terminal know the time; a file does not.
    let _ = if std::io::stderr().is_terminal() {
        log.without_time().try_init()
    } else {
        log.try_init()
    };
}
