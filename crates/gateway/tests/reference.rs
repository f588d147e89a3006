//! The reference pages say what the code says: every reason, metric, command, wait and check of
//! keys has its place in them. `SEGWAN_UPDATE=1` writes the meanings of reasons anew.

use segwan_core::audit::{Event, EventKind, Totals};
use segwan_core::contract::units::shown;
use segwan_core::limits::WAITS;
use segwan_core::rejection::{Class, Reason};
use segwan_gateway::gateway::{Counts, GateStatus};
use segwan_gateway::metrics::Metrics;
use std::collections::BTreeSet;
use std::path::PathBuf;
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
    for kind in [EventKind::Closed, EventKind::Refused, EventKind::Rejected, EventKind::Alarm] {
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
        counts: Counts::default(),
    };
    let identity = segwan::agent::AgentStatus {
        identity: "spiffe://segwan.internal/calculator".parse().unwrap(),
        not_after_ms: 0,
        renew_at_ms: 0,
        failures: 0,
        last_error: None,
    };
    let rendered = metrics.render(&[gate], &[identity], Some(true));
    let series = |line: &str| line.split(['{', ' ']).next().map(str::to_owned);
    let names: BTreeSet<String> =
        rendered.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect();
    assert!(names.len() >= 12, "{names:?}");
    let text = page("metrics.md");
    for name in names {
        assert!(text.contains(&format!("| `{name}` |")), "metrics.md has no row of `{name}`");
    }
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
