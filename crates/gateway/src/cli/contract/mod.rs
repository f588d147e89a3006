//! `segwan contract`: begins, drafts, checks, tests and prints contracts, without a service.

mod cost;
mod learn;
mod new;

use crate::cli::check::finding;
use crate::cli::report::Look;
use crate::cli::{Exit, Failure, Global};
use crate::config::contract::{load_contract, read_contract};
use segwan_core::contract::Contract;
use segwan_core::contract::test::{self, Outcome};
use segwan_core::finding::{Finding, MOST, first};
use segwan_core::policy::schema::cedar_schema;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Begin, draft, check, test and print contracts
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan contract new lines-json -o orders.toml
  segwan contract check orders.toml
  segwan contract test orders.toml
  segwan contract doc orders.toml > orders.md")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(new::Args),
    Learn(learn::Args),
    Check(CheckArgs),
    Test(TestArgs),
    Doc(DocArgs),
    Schema(SchemaArgs),
    Cost(CostArgs),
}

/// Make every static check and run the tests
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan contract check orders.toml
  segwan contract check --strict --tests contracts/*.toml
  segwan contract check --format json orders.toml | jq '.findings[]'

Exit codes: 0 ok; 2 errors, failed tests included; 3 warnings with --strict.")]
struct CheckArgs {
    /// Contract files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// End with exit code 3 if there are warnings
    #[arg(long)]
    strict: bool,
    /// Also print each test by its name
    #[arg(long)]
    tests: bool,
    /// `json` prints one object: what was loaded, with its hash, and all findings
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        conflicts_with = "tests"
    )]
    format: Format,
}

/// How a check is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Run the tests of contracts, each by its name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan contract test orders.toml
  segwan contract test contracts/*.toml

Each vector runs whole and byte by byte, on a clock of its own: nothing listens, nothing waits.

Exit codes: 0 all hold; 1 some fail; 2 a contract cannot be read.")]
struct TestArgs {
    /// Contract files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Print a contract as tables, in Markdown
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan contract doc orders.toml
  segwan contract doc orders.toml > orders.md")]
struct DocArgs {
    /// Contract file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print the Cedar schema that policies are checked against
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan contract schema orders.toml
  segwan contract schema orders.toml > orders.cedarschema")]
struct SchemaArgs {
    /// Contract file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print what a message can cost at worst, step by step
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan contract cost orders.toml

A unit is about ten nanoseconds of one core. A message over 5,000,000 units does not load.")]
struct CostArgs {
    /// Contract file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If a contract is no contract.
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    match args.command {
        Command::New(args) => new::run(&args, global),
        Command::Learn(args) => learn::run(&args, global),
        Command::Check(args) => check(&args, global),
        Command::Test(args) => run_tests(&args.files, global),
        Command::Doc(args) => {
            let contract = load(&args.file)?;
            global.report.text(&contract.document());
            Ok(Exit::Done)
        }
        Command::Schema(args) => {
            let contract = load(&args.file)?;
            global.report.text(&cedar_schema(&contract.actions()));
            Ok(Exit::Done)
        }
        Command::Cost(args) => {
            let contract = load(&args.file)?;
            global.report.text(&cost::table(&contract.costs()));
            Ok(Exit::Done)
        }
    }
}

/// As [`check`], for machines.
fn check_as_json(args: &CheckArgs, global: &Global) -> Exit {
    let mut findings: Vec<Finding> = Vec::new();
    let mut contracts = Vec::new();
    for file in &args.files {
        match load_contract(file) {
            Err(found) => findings.extend(found),
            Ok((contract, warnings)) => {
                findings.extend(warnings);
                let shown = file.display().to_string();
                findings.extend(failures(file, &test::run(&contract)));
                contracts.push(json!({
                    "file": shown,
                    "contract": contract.name(),
                    "sha256": contract.hash(),
                    "tests": contract.tests().len(),
                }));
            }
        }
    }
    let all: Vec<_> = findings.iter().map(finding).collect();
    global.report.line(format_args!("{:#}", json!({ "contracts": contracts, "findings": all })));
    match findings.iter().any(Finding::is_error) {
        true => Exit::CannotStart,
        false if args.strict && !findings.is_empty() => Exit::Warnings,
        false => Exit::Done,
    }
}

/// What the tests of a contract show of it that is wrong.
fn failures(file: &Path, outcomes: &[Outcome]) -> Vec<Finding> {
    let file = file.display().to_string();
    let failed = outcomes.iter().filter_map(|outcome| {
        let message = format!("test `{}`: {}", outcome.name, outcome.failure.as_ref()?);
        Some(Finding::whole(&file, message).check("K-90"))
    });
    first(&file, failed.collect(), MOST)
}

/// Checks every file, also after one that is wrong.
fn check(args: &CheckArgs, global: &Global) -> Result<Exit, Failure> {
    if args.format == Format::Json {
        return Ok(check_as_json(args, global));
    }
    let mut errors = Vec::new();
    let mut warned = false;
    for file in &args.files {
        match load_contract(file) {
            Err(findings) => errors.extend(findings),
            Ok((contract, warnings)) => {
                warned |= !warnings.is_empty();
                global.report.findings(&warnings);
                let outcomes = test::run(&contract);
                if args.tests {
                    list(&outcomes, global);
                }
                let before = errors.len();
                errors.extend(failures(file, &outcomes));
                if errors.len() > before {
                    continue;
                }
                let note = match warnings.len() {
                    0 => String::new(),
                    1 => ", 1 warning".to_owned(),
                    n => format!(", {n} warnings"),
                };
                global.report.line(format_args!(
                    "{}: {} {}, {}{note}",
                    file.display(),
                    contract.name(),
                    global.report.style(Look::Good, "ok"),
                    tests(outcomes.len()),
                ));
            }
        }
    }
    if errors.is_empty() {
        Ok(if warned && args.strict { Exit::Warnings } else { Exit::Done })
    } else {
        Err(Failure::findings(errors))
    }
}

/// Runs the tests of every file that can be read, also after one that cannot.
fn run_tests(files: &[PathBuf], global: &Global) -> Result<Exit, Failure> {
    let mut errors = Vec::new();
    let (mut held, mut failed) = (0, 0);
    for file in files {
        match read_contract(file) {
            Err(findings) => errors.extend(findings),
            Ok((contract, _)) => {
                let outcomes = test::run(&contract);
                let title = format!("{} ({})", file.display(), contract.name());
                global.report.line(format_args!("{}", global.report.style(Look::Bold, title)));
                list(&outcomes, global);
                let fails = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
                failed += fails;
                held += outcomes.len() - fails;
            }
        }
    }
    if !errors.is_empty() {
        return Err(Failure::findings(errors));
    }
    global.report.line(format_args!(""));
    if failed == 0 {
        global.report.line(format_args!("{} passed", tests(held)));
        return Ok(Exit::Done);
    }
    global.report.line(format_args!("{} passed, {failed} failed", tests(held)));
    Ok(Exit::Refused)
}

/// Each test by its name, and of a failed one what was expected and what came.
fn list(outcomes: &[Outcome], global: &Global) {
    let report = &global.report;
    for outcome in outcomes {
        let Some(failure) = &outcome.failure else {
            let pass = report.style(Look::Good, "pass");
            report.line(format_args!("  {pass}  {}", outcome.name));
            continue;
        };
        report.line(format_args!("  {}  {}", report.style(Look::Bad, "fail"), outcome.name));
        for line in failure.lines() {
            report.line(format_args!("        {line}"));
        }
    }
}

fn tests(count: usize) -> String {
    if count == 1 { "1 test".to_owned() } else { format!("{count} tests") }
}

/// A contract that is printed; its warnings belong to `check`.
fn load(file: &Path) -> Result<Arc<Contract>, Failure> {
    let (contract, _) = load_contract(file)?;
    Ok(contract)
}
