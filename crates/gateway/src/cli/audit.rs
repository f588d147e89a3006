//! `segwan audit`: looks the audit log over.

use super::report::{Look, Report};
use super::{Exit, Failure, Global};
use crate::audit::{Broken, LONGEST_LINE, list, verify};
use segwan_core::audit::shown;
use segwan_core::finding::nearest;
use segwan_core::rejection::Reason;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  segwan audit verify
      walk the hash chain through all files; names the first broken line
  segwan audit show --last 20
      the newest events
  segwan audit show --reason policy_denied --peer app
      whom no policy permitted what
  segwan audit show --json --service orders | jq .sentence
      the lines themselves, for programs

A chain that was cut at its end still holds: keep the last number and hash that `verify` prints
where the gateway cannot write, and compare.";

/// Look the audit log over
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Check that no line was edited, removed or moved
    Verify {
        /// Directory of the log; default: `audit` in the state directory
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Print events, oldest first
    Show(Show),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Directory of the log; default: `audit` in the state directory
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Only events with this reason
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Only events of this peer: its identity, or the last part of it
    #[arg(long, value_name = "ID")]
    peer: Option<String>,
    /// Only events of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only the last so many of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    last: Option<u32>,
    /// Print the lines of the log as they are
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If there is no log, or its chain is broken.
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let directory = |given: Option<PathBuf>| match given {
        Some(directory) => Ok(directory),
        None => global.state_dir(None).map(|state| state.join("audit")),
    };
    match args.what {
        What::Verify { directory: given } => check(&directory(given)?, global),
        What::Show(mut show) => {
            let directory = directory(show.directory.take())?;
            show.run(&directory, global)
        }
    }
}

fn check(directory: &Path, global: &Global) -> Result<Exit, Failure> {
    let report = &global.report;
    let found = verify(directory).map_err(|broken| failed(&broken))?;
    let ok = report.style(Look::Good, "ok");
    let (Some((first, began)), Some((last, ended))) = (&found.first, &found.last) else {
        report.line(format_args!("{ok}: no events in {}", files(found.files)));
        return Ok(Exit::Done);
    };
    let events = if found.events == 1 { "event" } else { "events" };
    report.line(format_args!(
        "{ok}: {} {events} in {}, first {first} at {began}, last {last} at {ended}",
        found.events,
        files(found.files)
    ));
    report.line(format_args!("{} {}", report.style(Look::Dim, "hash"), found.hash));
    if *first > 1 {
        report.note(format_args!(
            "events 1 to {} were removed after 90 d, as the log records",
            first - 1
        ));
    }
    Ok(Exit::Done)
}

fn files(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

/// A line that breaks the chain is what was asked about; a log that is not there cannot be asked.
fn failed(broken: &Broken) -> Failure {
    if broken.line == 0 {
        Failure::cannot_start(broken.to_string())
            .hint("name the log's directory, or with `--state DIR` the state that holds it")
    } else {
        Failure::refused(broken.to_string())
    }
}

/// Whether this version puts such a word on record.
fn is_reason(word: &str) -> bool {
    Reason::ALL.iter().any(|reason| reason.as_str() == word)
}

impl Show {
    fn run(&self, directory: &Path, global: &Global) -> Result<Exit, Failure> {
        if let Some(word) = self.reason.as_deref().filter(|word| !is_reason(word)) {
            let near = nearest(word, Reason::ALL.iter().map(|reason| reason.as_str()));
            let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            global
                .report
                .warning(&format!("no event has the reason `{}`{near}", shown(word.as_bytes())));
        }
        let mut last: VecDeque<String> = VecDeque::new();
        let most = self.last.map(|last| last as usize);
        for path in list(directory).map_err(|broken| failed(&broken))? {
            let unreadable = |error: std::io::Error| {
                Failure::cannot_start(format!("{} cannot be read: {error}", path.display()))
            };
            let mut reader = BufReader::new(File::open(&path).map_err(unreadable)?);
            let mut line = Vec::new();
            while read(&mut reader, &mut line).map_err(unreadable)? {
                // What is no event is for `verify` to name.
                let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
                if !self.wants(&event) {
                    continue;
                }
                let said = match self.json {
                    true => String::from_utf8_lossy(&line).trim_end().to_owned(),
                    false => told(&event, &global.report),
                };
                let Some(most) = most else {
                    global.report.line(format_args!("{said}"));
                    continue;
                };
                if last.len() == most {
                    last.pop_front();
                }
                last.push_back(said);
            }
        }
        for said in &last {
            global.report.line(format_args!("{said}"));
        }
        Ok(Exit::Done)
    }

    fn wants(&self, event: &Value) -> bool {
        let is = |wanted: &Option<String>, key: &str| {
            wanted.as_ref().is_none_or(|wanted| text(event, key) == wanted)
        };
        let peer = text(event, "peer");
        let named = |wanted: &String| {
            peer == wanted || peer.strip_suffix(wanted.as_str()).is_some_and(|p| p.ends_with('/'))
        };
        is(&self.reason, "reason")
            && is(&self.service, "service")
            && self.peer.as_ref().is_none_or(named)
    }
}

/// The next line, or as much of it as a line of the log may have; whether there is one.
fn read(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    Ok(reader.take(LONGEST_LINE).read_until(b'\n', line)? > 0)
}

fn text<'e>(event: &'e Value, key: &str) -> &'e str {
    event.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// One event as one line: time, event, reason, service, peer, sentence; what says nothing is `-`.
fn told(event: &Value, report: &Report) -> String {
    let field = |key: &str| match text(event, key) {
        "" => "-".to_owned(),
        text => harmless(text),
    };
    let kind = text(event, "event");
    let look = match kind {
        "alarm" | "refused" | "rejected" => Look::Bad,
        "admin" | "started" | "stopped" => Look::Bold,
        _ => Look::Plain,
    };
    let peer = if text(event, "peer").is_empty() { field("address") } else { field("peer") };
    let unverified = event.get("verified") == Some(&Value::Bool(false));
    format!(
        "{} {:8} {} {} {peer}{} {}",
        report.style(Look::Dim, field("at")),
        report.style(look, harmless(kind)),
        field("reason"),
        field("service"),
        if unverified { " (not verified)" } else { "" },
        field("sentence")
    )
}

/// A text of the log as it may be printed: the file may have been edited since it was written.
fn harmless(text: &str) -> String {
    // Sentences hold backticks of their own.
    text.split('`').map(|part| shown(part.as_bytes())).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::ColorChoice;

    // ADV-36, TRAP-21
    #[test]
    fn an_event_is_printed_on_one_line_without_control_bytes() {
        let event = serde_json::json!({
            "at": "2026-01-01T00:00:00.000Z", "event": "refused", "reason": "unknown_issuer",
            "service": "orders", "peer": "spiffe://td/a\u{1b}[31m\n", "verified": false,
            "sentence": "the name `a` is\u{202e} unknown",
        });
        let line = told(&event, &Report::new(ColorChoice::Never));
        assert_eq!(
            line,
            "2026-01-01T00:00:00.000Z refused  unknown_issuer orders \
             spiffe://td/a\\u{1b}[31m\\u{a} (not verified) the name `a` is\\u{202e} unknown"
        );
    }

    #[test]
    fn events_are_chosen_by_reason_service_and_peer() {
        let event = serde_json::json!({
            "reason": "grammar", "service": "orders", "peer": "spiffe://td/app",
        });
        let some = |text: &str| Some(text.to_owned());
        assert!(none_of().wants(&event));
        for peer in ["app", "spiffe://td/app"] {
            assert!(Show { peer: some(peer), reason: some("grammar"), ..none_of() }.wants(&event));
        }
        for peer in ["pp", "web", "spiffe://td/web"] {
            assert!(!Show { peer: some(peer), ..none_of() }.wants(&event), "{peer}");
        }
        assert!(!Show { reason: some("range"), ..none_of() }.wants(&event));
        assert!(!Show { service: some("stock"), ..none_of() }.wants(&event));
    }

    fn none_of() -> Show {
        Show { directory: None, reason: None, peer: None, service: None, last: None, json: false }
    }
}
