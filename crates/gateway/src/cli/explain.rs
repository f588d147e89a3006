//! `segwan explain`: why a peer or a message is allowed or refused, by the engine that decides.
//!
//! Without files the running process is asked, so the answer is the one of its policies and
//! contracts now; with `--config` or `--contract` nothing needs to run.

use super::report::Look;
use super::{Exit, Failure, Global};
use crate::admin::client;
use crate::config::contract::load_contract;
use crate::config::{Config, read};
use crate::explain::{Explanation, LONGEST, Question, Rules, Step, explain, find, unspoken};
use crate::gateway::{Inspection, NOT_ENFORCED};
use segwan_core::identity::{Identity, IdentityError, TrustDomain};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::{Policy, PolicySource};
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  segwan explain --service orders --peer app --text '5\\n'
      ask the running process what `app` would get for the line 5
  segwan explain --service orders --peer app
      only whether `app` may connect
  segwan explain --service orders --peer app --allow app --contract orders.toml --message input.bin
      nothing needs to run
  segwan explain --config segwan.toml --service orders --peer app --hex '0a ff'
      by the files of a configuration, before it is started

Exit codes: 0 accepted; 1 not accepted; 2 cannot be asked.";

/// Say why a peer or a message is allowed or refused
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The service
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Who is supposed to connect: a name in the trust domain, or an identity (`spiffe://…`, `dns:…`)
    #[arg(long, value_name = "ID")]
    peer: String,
    /// The role that its certificate would say, where the contract reads roles
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// What it says: a file, or `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "hex"])]
    message: Option<PathBuf>,
    /// What it says, with the escapes \n \r \t \0 \\ \xHH; no line end is added
    #[arg(long, value_name = "TEXT", conflicts_with = "hex", allow_hyphen_values = true)]
    text: Option<String>,
    /// What it says, in hex; blanks do not count
    #[arg(long, value_name = "HEX")]
    hex: Option<String>,
    /// Where it comes from
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    address: IpAddr,
    /// Trust domain of short names; default: the configuration's, else segwan.internal
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: Option<TrustDomain>,
    /// Ask the files of this configuration, not the running process
    #[arg(long, value_name = "FILE", conflicts_with_all = ["contract", "policy", "allow"])]
    config: Option<PathBuf>,
    /// Ask this contract (`raw`: none), not the running process
    #[arg(long, value_name = "FILE")]
    contract: Option<PathBuf>,
    /// With these policies
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Names or identities that may do everything
    #[arg(long, value_name = "NAME")]
    allow: Vec<String>,
    /// Print the explanation as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If it cannot be asked: no such service, no identity, files with faults, nobody who answers.
pub fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let message = args.message()?;
    let explanation = match args.rules()? {
        Some((rules, domain)) => {
            let question = args.question(&domain, message.as_deref())?;
            let rules = find(&rules, &args.service).map_err(failed)?;
            explain(rules, &question, now()).map_err(failed)?
        }
        None => {
            let question = args.question(&args.domain(None)?, message.as_deref())?;
            let socket = global.state_dir(None)?.join("run/admin.sock");
            client::post(&socket, "/v1/explain", &question).map_err(Failure::unanswered)?
        }
    };
    if args.json {
        let text = serde_json::to_string_pretty(&explanation).map_err(failed)?;
        global.report.line(format_args!("{text}"));
    } else {
        show(&explanation, args, global);
    }
    Ok(if explanation.is_accepted() { Exit::Done } else { Exit::Refused })
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::cannot_start(error.to_string())
}

impl Args {
    fn question(&self, domain: &TrustDomain, message: Option<&[u8]>) -> Result<Question, Failure> {
        let peer = identity(&self.peer, domain).map_err(failed)?;
        let address = Some(self.address);
        let role = self.role.clone();
        Ok(Question { address, role, ..Question::new(&self.service, &peer, message) })
    }

    fn domain(&self, configured: Option<TrustDomain>) -> Result<TrustDomain, Failure> {
        match self.trust_domain.clone().or(configured) {
            Some(domain) => Ok(domain),
            None => "segwan.internal".parse().map_err(failed),
        }
    }

    /// The bytes that the peer says, exactly.
    fn message(&self) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(text) = &self.text {
            return unspoken(text).map(Some).map_err(failed);
        }
        if let Some(hex) = &self.hex {
            let digits: String = hex.to_ascii_lowercase().split_ascii_whitespace().collect();
            return segwan_pki::key::from_hex(&digits).map(Some).ok_or_else(|| {
                Failure::cannot_start(format!("`{hex}` is not hex"))
                    .hint("two digits for each byte, `aa 55 01`, without `0x`")
            });
        }
        let Some(file) = &self.message else { return Ok(None) };
        if file.as_os_str() != "-" {
            return read::at_most(file, LONGEST as u64).map(Some).map_err(Failure::cannot_start);
        }
        let mut bytes = Vec::new();
        let said = std::io::stdin().lock().take(LONGEST as u64 + 1).read_to_end(&mut bytes);
        said.map_err(|error| {
            Failure::cannot_start(format!("standard input cannot be read: {error}"))
        })?;
        if bytes.len() > LONGEST {
            let sentence = format!("standard input is over {} MiB", LONGEST >> 20);
            return Err(Failure::cannot_start(sentence));
        }
        Ok(Some(bytes))
    }

    /// The rules that the files say, and the trust domain of short names; none where the running
    /// process is to be asked.
    fn rules(&self) -> Result<Option<(Vec<Rules>, TrustDomain)>, Failure> {
        if let Some(file) = &self.config {
            let (config, _) = Config::load(file)?;
            let domain = self.domain(Some(config.trust_domain.clone()))?;
            let mut rules = Vec::new();
            for service in config.services {
                let (name, inspection) = (service.name, service.inspection);
                let policy = compile(&name, &inspection, &service.allow, &service.policies)?;
                let (beside, limits) = (service.beside, service.limits);
                rules.push(Rules { service: name, inspection, beside, policy, limits });
            }
            return Ok(Some((rules, domain)));
        }
        if self.contract.is_none() && self.policy.is_empty() && self.allow.is_empty() {
            return Ok(None);
        }
        let domain = self.domain(None)?;
        let inspection = match &self.contract {
            Some(file) if file.as_os_str() != "raw" => Inspection::by(load_contract(file)?.0),
            _ => Inspection::Raw,
        };
        let allow: Result<Vec<_>, _> =
            self.allow.iter().map(|name| identity(name, &domain)).collect();
        let sources: Result<Vec<_>, _> = self.policy.iter().map(|file| source(file)).collect();
        let policy = compile(&self.service, &inspection, &allow.map_err(failed)?, &sources?)?;
        let (service, limits) = (self.service.clone(), Limits::default());
        let rules = Rules { service, inspection, beside: None, policy, limits };
        Ok(Some((vec![rules], domain)))
    }
}

/// A short name is meant in the trust domain.
fn identity(name: &str, domain: &TrustDomain) -> Result<Identity, IdentityError> {
    if name.contains(':') { name.parse() } else { domain.identity(name) }
}

fn compile(
    service: &str,
    inspection: &Inspection,
    allow: &[Identity],
    sources: &[PolicySource],
) -> Result<Arc<Policy>, Failure> {
    let actions = inspection.contract().map(|contract| contract.actions()).unwrap_or_default();
    let (policy, _) = Policy::compile(service, &actions, allow, sources)?;
    let role = inspection.contract().and_then(|contract| contract.role());
    Ok(Arc::new(policy.with_roles(role)))
}

fn source(file: &Path) -> Result<PolicySource, Failure> {
    let text = read::text(file).map_err(Failure::cannot_start)?;
    Ok(PolicySource { file: file.display().to_string(), text })
}

fn now() -> Now {
    Now { instant: Instant::now(), unix_ms: jiff::Timestamp::now().as_millisecond() }
}

fn show(told: &Explanation, args: &Args, global: &Global) {
    let report = &global.report;
    let heading = format!(
        "{} on `{}`, supposing a valid certificate, {} and TLS 1.3",
        told.peer, args.service, args.address
    );
    report.line(format_args!("{}", report.style(Look::Dim, heading)));
    let mut frame = None;
    for step in &told.steps {
        // A message's number stands where the message begins.
        let number = step.frame.filter(|_| step.frame != frame);
        frame = step.frame.or(frame);
        line(step, number, global);
    }
    let (look, reason) = match &told.reason {
        None => (Look::Good, String::new()),
        Some(reason) => (Look::Bad, format!(" ({reason})")),
    };
    let verdict = report.style(look, told.verdict.as_str());
    report.line(format_args!("{verdict}{reason}: {}", told.sentence));
    let also = |what: &str, text: Option<&str>| {
        if let Some(text) = text {
            let what = report.style(Look::Dim, what);
            report.line(format_args!("{what:22}{text}"));
        }
    };
    if args.message.is_some() || args.text.is_some() || args.hex.is_some() {
        let said = |text: &Option<String>| match text {
            None => "nothing".to_owned(),
            Some(text) if args.hex.is_some() => as_hex(text),
            Some(text) => text.clone(),
        };
        also("the service would see", Some(&said(&told.service_sees)));
        also("the peer would hear", Some(&said(&told.peer_hears)));
    }
    also("the connection ends", told.ends.as_deref());
    let beside = told.beside.as_ref().map(|one| {
        let reason = one.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{} ({NOT_ENFORCED}): {}{reason}: {}", one.contract, one.verdict, one.sentence)
    });
    also("beside it", beside.as_deref());
}

/// Bytes in the form in which they were asked about; a text that was cut stays as it is.
fn as_hex(text: &str) -> String {
    match unspoken(text) {
        Ok(bytes) if !text.contains('…') => {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            digits.join(" ")
        }
        _ => text.to_owned(),
    }
}

fn line(step: &Step, number: Option<u64>, global: &Global) {
    let report = &global.report;
    let mark = if step.passes {
        report.style(Look::Good, "\u{2713}")
    } else {
        report.style(Look::Bad, "\u{2717}")
    };
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    let pointer = match &step.pointer {
        Some(pointer) if !pointer.is_empty() && !step.sentence.contains(pointer.as_str()) => {
            format!(" (at `{pointer}`)")
        }
        _ => String::new(),
    };
    let name = report.style(Look::Bold, step.step.as_str());
    report.line(format_args!("{number:>3} {mark} {name:8} {}{pointer}", step.sentence));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    // A file that nobody writes to would be waited for without an end.
    #[test]
    fn a_message_is_a_regular_file_of_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let message = |file: &Path| {
            let words = ["explain", "--service", "a", "--peer", "b", "--message"];
            let words = words.map(Into::into).into_iter().chain([file.as_os_str().to_owned()]);
            Line::parse_from(words).args.message()
        };
        let fault = |file: &Path| {
            let failure = message(file).unwrap_err();
            failure.sentence().map(|(sentence, _)| sentence.to_owned()).unwrap()
        };
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(fault(&pipe), format!("`{}` is no regular file", pipe.display()));
        let none = folder.path().join("none");
        assert_eq!(fault(&none), format!("there is no file `{}`", none.display()));
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b'a'; LONGEST + 1]).unwrap();
        assert_eq!(fault(&large), format!("`{}` is over 4 MiB", large.display()));
        std::fs::write(&large, "5\n").unwrap();
        assert_eq!(message(&large).unwrap().unwrap(), b"5\n");
    }
}
