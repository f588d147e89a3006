//! `segwan revoke` and `segwan revocations`: from a command to closed connections, with the count.

use super::ca::{ask, tell};
use super::columns::{Columns, plain};
use super::report::{Look, Report};
use super::status::json;
use super::{Exit, Failure, Global};
use crate::admin::ca;
use crate::admin::wire::{
    self, AgentView, Met, NotHeard, RevokeAnswer, RevokeRequest, SpreadAnswer,
};
use crate::status::when::{distance, instant};
use segwan_core::audit::shown;
use segwan_core::contract::units;
use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

/// Who was heard within this time is at work, in milliseconds.
const AT_WORK: i64 = 90_000;
/// Agents of one line that are named; the rest is counted.
const NAMED: usize = 10;

/// Take back a name, certificates, a key or a token, and end the connections
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan revoke app
      every certificate of `app` and its tokens; it cannot renew or enroll until `segwan ca enable app`
  segwan revoke serial:40c3… --reason superseded
  segwan revoke key:9f… --reason key_compromise
      every certificate of that key; the key is denied for good
  segwan revoke before:2026-03-01T02:00:00Z
      everything issued before; asks for the number of certificates

Exit codes: 0 revoked, and every connected gateway has confirmed; 1 refused; 2 there is no
Authority, or its state cannot be used; 3 revoked, but not every connected gateway has confirmed.")]
pub struct Args {
    /// A name, an identity, `serial:…`, `key:SHA256`, `lineage:…`, `token:…` or `before:TIME`
    #[arg(required_unless_present_any = ["serial", "key"])]
    what: Option<String>,
    /// The serial number of one certificate; short for `serial:HEX`
    #[arg(long, value_name = "HEX", conflicts_with = "what")]
    serial: Option<String>,
    /// The SHA-256 of a key; short for `key:SHA256`
    #[arg(long, value_name = "SHA256", conflicts_with_all = ["what", "serial"])]
    key: Option<String>,
    /// Why: key_compromise, superseded, cessation, privilege_withdrawn or unspecified
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    #[arg(value_parser = REASONS)]
    reason: String,
    /// How long to wait for gateways, up to 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    wait: Duration,
    /// Do not ask for the number of certificates
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const REASONS: [&str; 5] =
    ["key_compromise", "superseded", "cessation", "privilege_withdrawn", "unspecified"];

/// Show how far a revocation has got
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan revocations show last
  segwan revocations show 57 --json

Exit codes: 0 every agent has it in force; 1 there is no such revocation; 2 there is no Authority, or
its state cannot be used; 3 some agent has not.")]
pub struct Revocations {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show one revocation: what it met, and which agents have it in force
    Show {
        /// Its number, as `segwan revoke` told it, or `last`
        which: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `segwan revoke`.
///
/// # Errors
/// If there is nothing of that kind, or no Authority that could revoke it.
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let state = global.state_dir(None)?;
    let Args { what, serial, key, reason, wait, yes, json: as_json } = args;
    let serial = serial.map(|digits| format!("serial:{digits}"));
    let key = key.map(|digits| format!("key:{digits}"));
    // The parser asks for exactly one of them.
    let what = what.or(serial).or(key).unwrap_or_default();
    let count = match what.starts_with("before:") {
        true => Some(counted(&what, yes, &state, global)?),
        false => None,
    };
    let wait_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    let asked = RevokeRequest { what, reason: Some(reason), wait_ms, count };
    let itself = async |authority: &_| ca::revoke(authority, &asked, now_ms()).await;
    let answer: RevokeAnswer = tell(&state, wire::REVOKE, &asked, wait, itself)?;
    if as_json {
        global.report.text(&json(&answer)?);
    } else {
        let now_ms = now_ms();
        global.report.line(format_args!("{}", sentence(&answer, now_ms)));
        for line in details(&answer) {
            global.report.note(format_args!("{line}"));
        }
    }
    Ok(if is_confirmed(&answer, now_ms()) { Exit::Done } else { Exit::Unconfirmed })
}

/// Whether everybody who is at work has it in force. One whose stream broke off a moment ago is at
/// work.
fn is_confirmed(answer: &RevokeAnswer, now_ms: i64) -> bool {
    let at_work = |one: &NotHeard| now_ms - one.heard_ms < AT_WORK;
    answer.confirmed == answer.live && !answer.not_heard.iter().any(at_work)
}

/// The number of certificates, as the operator types it.
fn counted(what: &str, yes: bool, state: &Path, global: &Global) -> Result<usize, Failure> {
    let query = [("what", what.to_owned())];
    let itself = async |authority: &_| ca::would_revoke(authority, what, now_ms()).await;
    let Met { certificates } = ask(state, wire::WOULD_REVOKE, &query, itself)?;
    if yes {
        return Ok(certificates);
    }
    global.report.note(format_args!(
        "{certificates} certificates were issued before; their holders need new tokens. Type the \
         number to revoke them:"
    ));
    let mut line = String::new();
    let read = std::io::stdin().lock().take(64).read_line(&mut line);
    if read.is_ok() && line.trim() == certificates.to_string() {
        return Ok(certificates);
    }
    let hint =
        if std::io::stdin().is_terminal() { "nothing was changed" } else { "`--yes` says it" };
    Err(Failure::refused("the number was not typed").hint(hint))
}

/// The one line of the result.
fn sentence(answer: &RevokeAnswer, now_ms: i64) -> String {
    if answer.seq == 0 {
        return match answer.tokens {
            0 => "revoked; no certificate of it was in force".to_owned(),
            1 => "revoked; the token cannot be used any more".to_owned(),
            many => format!("revoked; {many} tokens cannot be used any more"),
        };
    }
    if answer.live == 0 {
        return "revoked; no gateway is connected; each will learn it when it next connects"
            .to_owned();
    }
    let away = answer.not_heard.iter().filter(|one| !one.live).count();
    let mut sentence = format!(
        "revoked; {} of {} gateways confirmed; {} closed in {} ms",
        answer.confirmed,
        answer.live + away,
        connections(answer.closed),
        answer.took_ms
    );
    if !answer.not_heard.is_empty() {
        let named: Vec<_> =
            answer.not_heard.iter().take(NAMED).map(|one| not_heard(one, now_ms)).collect();
        sentence += &format!("; not heard: {}", named.join(", "));
        match answer.not_heard.len().saturating_sub(NAMED) {
            0 => {}
            more => sentence += &format!(" and {more} more"),
        }
    }
    sentence
}

fn connections(closed: u64) -> String {
    match closed {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    }
}

fn not_heard(one: &NotHeard, now_ms: i64) -> String {
    format!("{} (last seen {})", one.name, distance(one.heard_ms, now_ms))
}

/// What else happened, for the person who typed it.
fn details(answer: &RevokeAnswer) -> Vec<String> {
    let mut lines = Vec::new();
    if answer.seq != 0 && answer.certificates == 0 {
        lines.push(format!(
            "no certificate of that key was in force; the key is denied, and `segwan revocations \
             show {}` shows who knows it",
            answer.seq
        ));
    } else if answer.seq != 0 {
        let certificates = match answer.certificates {
            1 => "1 certificate".to_owned(),
            many => format!("{many} certificates"),
        };
        let mut names: Vec<_> = answer.names.iter().take(NAMED).map(String::as_str).collect();
        if answer.names.len() > NAMED {
            names.push("…");
        }
        lines.push(format!(
            "{certificates} of {}; `segwan revocations show {}` shows later how far it has got",
            names.join(", "),
            answer.seq
        ));
    }
    if let Some(name) = &answer.disabled {
        lines
            .push(format!("`{name}` can neither renew nor enroll until `segwan ca enable {name}`"));
    }
    lines
}

/// Runs `segwan revocations`.
///
/// # Errors
/// If there is no such revocation, or no Authority.
pub fn revocations(args: &Revocations, global: &Global) -> Result<Exit, Failure> {
    let What::Show { which, json: as_json } = &args.what;
    let seq = match which.as_str() {
        "last" => None,
        number => Some(number.parse::<i64>().map_err(|_| {
            Failure::cannot_start(format!("`{number}` is neither a number nor `last`"))
        })?),
    };
    let state = global.state_dir(None)?;
    let query: Vec<_> = seq.iter().map(|seq| ("seq", seq.to_string())).collect();
    let itself = async |authority: &_| ca::spread(authority, seq, now_ms()).await;
    let spread: SpreadAnswer = ask(&state, wire::REVOCATION, &query, itself)?;
    if *as_json {
        global.report.text(&json(&spread)?);
    } else {
        show(&global.report, &spread, now_ms());
    }
    Ok(if spread.missing.is_empty() { Exit::Done } else { Exit::Unconfirmed })
}

fn show(report: &Report, spread: &SpreadAnswer, now_ms: i64) {
    let mut columns = Columns::headed(&["NAME", "SERIAL", "REASON", "REVOKED"]);
    for one in &spread.certificates {
        columns.row([
            (Look::Bold, one.name.clone()),
            plain(&one.serial),
            plain(&one.reason),
            plain(instant(one.at_ms)),
        ]);
    }
    columns.print(report, 0);
    let all = spread.in_force.len() + spread.missing.len();
    report.line(format_args!(
        "in force at {} of {all} agents heard of within a week",
        spread.in_force.len()
    ));
    let missing = |one: &AgentView| {
        let heard = match one.listening {
            true => "connected".to_owned(),
            false => format!("last seen {}", distance(one.heard_ms, now_ms)),
        };
        format!("  not yet: {} at {} ({heard})", one.name, shown(one.host.as_bytes()))
    };
    for one in spread.missing.iter().take(NAMED) {
        report.line(format_args!("{}", missing(one)));
    }
    if spread.missing.len() > NAMED {
        report.line(format_args!("  and {} more", spread.missing.len() - NAMED));
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn answer() -> RevokeAnswer {
        RevokeAnswer {
            seq: 57,
            certificates: 1,
            names: vec!["app".to_owned()],
            tokens: 0,
            disabled: Some("app".to_owned()),
            live: 3,
            confirmed: 3,
            closed: 7,
            took_ms: 84,
            not_heard: Vec::new(),
        }
    }

    // The forms of pki.md 11.1.
    #[test]
    fn a_revocation_says_who_confirmed_and_who_was_not_heard() {
        let all = answer();
        let text = "revoked; 3 of 3 gateways confirmed; 7 connections closed in 84 ms";
        assert_eq!(sentence(&all, NOW), text);
        let edge = |live| NotHeard {
            name: "edge-2".to_owned(),
            host: "db1".to_owned(),
            heard_ms: NOW - 14 * 60_000,
            live,
        };
        for (live, away) in [(3, true), (2, false)] {
            let some = RevokeAnswer {
                live,
                confirmed: 2,
                closed: 5,
                took_ms: 91,
                not_heard: vec![edge(away)],
                ..answer()
            };
            assert_eq!(
                sentence(&some, NOW),
                "revoked; 2 of 3 gateways confirmed; 5 connections closed in 91 ms; not heard: \
                 edge-2 (last seen 14 min ago)"
            );
        }
        let none = RevokeAnswer { live: 0, confirmed: 0, closed: 0, ..answer() };
        assert_eq!(
            sentence(&none, NOW),
            "revoked; no gateway is connected; each will learn it when it next connects"
        );
        let many = RevokeAnswer { not_heard: vec![edge(true); 12], ..answer() };
        assert!(sentence(&many, NOW).ends_with("edge-2 (last seen 14 min ago) and 2 more"));
    }

    #[test]
    fn what_met_no_certificate_says_so() {
        let token = RevokeAnswer { seq: 0, tokens: 1, live: 0, confirmed: 0, ..answer() };
        assert_eq!(sentence(&token, NOW), "revoked; the token cannot be used any more");
        let none = RevokeAnswer { tokens: 0, ..token };
        assert_eq!(sentence(&none, NOW), "revoked; no certificate of it was in force");
        assert_eq!(details(&none).len(), 1);
    }
}
