//! The reference pages say what the code says: every reason, metric, command, wait and check of
//! keys has its place in them. `SEGWAN_UPDATE=1` writes the meanings of reasons anew.

use segwan_core::audit::{Event, EventKind, Totals};
use segwan_core::contract::units::shown;
use segwan_core::limits::WAITS;
use segwan_core::rejection::{Class, Reason};
use segwan_gateway::alarms::{Raised, WORDS};
use segwan_gateway::gateway::{Counts, GateStatus};
use segwan_gateway::metrics::{AuthorityNumbers, Metrics, Standing};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
}

fn page(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn headings<'p>(page: &'p str, mark: &str) -> Vec<&'p str> {
    page.lines().filter_map(|line| line.strip_prefix(mark)?.strip_prefix(' ')).collect()
}

#[test]
fn every_reason_has_one_heading_with_its_meaning() {
    let mut text = page("reasons.md");
    if std::env::var_os("SEGWAN_UPDATE").is_some() {
        text = updated(&text);
        std::fs::write(path("reasons.md"), &text).unwrap();
    }
    let mut headings = headings(&text, "###");
    headings.sort_unstable();
    let mut words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    words.sort_unstable();
    assert_eq!(headings, words, "`SEGWAN_UPDATE=1` adds what is missing");
    for reason in Reason::ALL {
        let section = format!("\n### {reason}\n\n{}\n", reason.meaning());
        assert!(text.contains(&section), "{section}`SEGWAN_UPDATE=1` writes it");
    }
}

/// The page with the meaning of each reason below its heading, and new reasons at its end.
fn updated(page: &str) -> String {
    let mut text = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let word = line.strip_prefix("### ");
        if let Some(reason) = Reason::ALL.iter().find(|reason| Some(reason.as_str()) == word) {
            let _ = (lines.next(), lines.next());
            text.push_str(&format!("\n{}\n", reason.meaning()));
        }
    }
    for reason in Reason::ALL {
        if !page.contains(&format!("\n### {reason}\n")) {
            text.push_str(&format!("\n### {reason}\n\n{}\n", reason.meaning()));
        }
    }
    text
}

#[test]
fn every_metric_stands_in_its_page() {
    let metrics = Metrics::for_services(["calculator".to_owned()]);
    for kind in [
        EventKind::Closed,
        EventKind::Refused,
        EventKind::Rejected,
        EventKind::WouldReject,
        EventKind::ShadowLost,
        EventKind::Alarm,
    ] {
        let mut event = Event::new(kind);
        event.service = "calculator".to_owned();
        event.reason = Some(Reason::Grammar);
        event.class = Some(Class::Invalid);
        event.totals = Some(Totals::default());
        metrics.observe(&event);
    }
    let gate = GateStatus {
        name: "calculator".to_owned(),
        mode: "service",
        listen: ([127, 0, 0, 1], 7443).into(),
        to: "127.0.0.1:8000".to_owned(),
        contract: None,
        contract_hash: None,
        recorded: false,
        shadow: false,
        beside: None,
        uninspected: None,
        counts: Counts::default(),
    };
    let identity = segwan::agent::AgentStatus {
        identity: "spiffe://segwan.internal/calculator".parse().unwrap(),
        not_after_ms: 0,
        renew_at_ms: 0,
        failures: 0,
        last_error: None,
        following: segwan::agent::Following::default(),
        alarms: Vec::new(),
    };
    metrics.enrolled("issued");
    metrics.renewed("issued");
    let one = || vec![("a".to_owned(), 1)];
    let authority = AuthorityNumbers {
        issuing: one(),
        outage_budget: Some(1),
        crls: one(),
        revoked: vec![("superseded".to_owned(), 1)],
        ..AuthorityNumbers::default()
    };
    let raised = Raised { alarm: "no_spare".to_owned(), sentence: String::new(), since_ms: 0 };
    let rendered = metrics.render(Standing {
        gates: &[gate],
        identities: &[identity],
        authority: Some(&authority),
        alarms: &[raised],
    });
    let series = |line: &str| line.split(['{', ' ']).next().map(str::to_owned);
    let names: BTreeSet<String> =
        rendered.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect();
    assert!(names.len() >= 26, "{names:?}");
    let text = page("metrics.md");
    for name in names {
        assert!(text.contains(&format!("| `{name}` |")), "metrics.md has no row of `{name}`");
    }
}

#[test]
fn every_alarm_that_the_code_raises_has_its_entry() {
    let text = page("alarms.md");
    let mut entries = headings(&text, "###");
    entries.sort_unstable();
    assert_eq!(entries, WORDS);
    for entry in text.split("\n### ").skip(1) {
        for part in ["\n\nCause: ", "\n\nEffect: ", "\n\nDo: "] {
            assert!(entry.contains(part), "{part:?} is missing: {entry}");
        }
    }
    let sources = sources(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."));
    assert!(sources.len() > 100, "{}", sources.len());
    for (file, source) in &sources {
        for word in raised_in(source) {
            assert!(WORDS.contains(&word), "{}: `{word}` is no known alarm", file.display());
        }
    }
    for word in WORDS {
        let quoted = format!("\"{word}\"");
        let raised = |(file, source): &(PathBuf, String)| {
            !file.ends_with("gateway/src/alarms.rs") && source.contains(&quoted)
        };
        assert!(sources.iter().any(raised), "nothing raises `{word}`");
    }
}

/// Every source file that is no test, without its tests at the bottom.
fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() && !["tests", "target", "benches"].contains(&name.as_str()) {
            found.extend(sources(&entry));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&entry).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            found.push((entry, text.to_owned()));
        }
    }
    found
}

/// The words that a source file raises as alarms.
fn raised_in(source: &str) -> Vec<&str> {
    let calls = ["larms.raise(", "larms.happened(", "larms.set(", " raise(", "Alarm { word: "];
    let mut words = Vec::new();
    for call in calls {
        for after in source.split(call).skip(1) {
            let literal = after.trim_start().strip_prefix('"');
            words.extend(literal.and_then(|literal| literal.split('"').next()));
        }
    }
    words
}

#[test]
fn every_command_has_its_section() {
    let help = Command::new(env!("CARGO_BIN_EXE_segwan")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("\nCommands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let text = page("commands.md");
    let sections: BTreeSet<String> = headings(&text, "##").into_iter().map(str::to_owned).collect();
    let mut seen = 0;
    for command in commands.lines().filter_map(|line| line.split_whitespace().next()) {
        assert!(sections.contains(&format!("segwan {command}")), "no section of `{command}`");
        every_flag_stands_in_it(&text, command);
        seen += 1;
    }
    assert!(seen >= 12, "{help}");
}

fn every_flag_stands_in_it(page: &str, command: &str) {
    let help = Command::new(env!("CARGO_BIN_EXE_segwan")).args([command, "--help"]).output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let section = page.split(&format!("\n## segwan {command}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let everywhere = ["--state", "--color", "--verbose", "--help"];
    for flag in help.lines().filter_map(|line| {
        let line = line.strip_prefix("      ").or_else(|| line.strip_prefix("  -v, "))?;
        line.starts_with("--").then(|| line.split_whitespace().next())?
    }) {
        let flag = flag.trim_end_matches("...");
        let known = everywhere.contains(&flag) || section.contains(&format!("`{flag}"));
        assert!(known, "the section of `{command}` does not name `{flag}`");
    }
}

// C9
#[test]
fn every_wait_stands_in_the_page_with_its_bounds() {
    let text = page("segwan.toml.md");
    for (key, lo, hi) in WAITS.into_iter().filter(|(key, ..)| *key != "drain_timeout") {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let bounds = format!("| {} to {} |", shown(lo), shown(hi));
        assert!(row.is_some_and(|row| row.contains(&bounds)), "`{key}` {bounds}: {row:?}");
    }
}
