//! What a user types and reads: each file of `transcripts/` is played against the binary.
//!
//! A line `$ …` is given to `sh` in a directory of its own that holds `examples/`; what follows is
//! what it prints, and `exit N` where that is not 0. `…` stands for anything within a line. With
//! `SEGWAN_TRANSCRIPTS=overwrite` the files are rewritten, except for lines that match already.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

// S2a, S4, F1, PKI-24, ADV-38
#[test]
fn what_the_manual_types_prints_what_the_manual_shows() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let played: Vec<_> = files.iter().map(|file| scope.spawn(|| play(file))).collect();
        played.into_iter().filter_map(|play| play.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Plays one file; what differs, if something does.
fn play(file: &Path) -> Option<String> {
    let stage = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    copy(&examples, &stage.path().join("examples"));
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().map(|address| (busy, address)).unwrap();
    let expected = std::fs::read_to_string(file).unwrap();
    let mut actual = String::new();
    for block in blocks(&expected) {
        let Some(command) = block.first().and_then(|line| line.strip_prefix("$ ")) else {
            block.iter().for_each(|line| actual += &format!("{line}\n"));
            continue;
        };
        let printed = run(command, stage.path(), &busy.1.to_string());
        actual += &format!("$ {command}\n");
        for (at, line) in printed.iter().enumerate() {
            let as_expected = block.get(at + 1).filter(|expected| matches(expected, line));
            actual += &format!("{}\n", as_expected.copied().unwrap_or(line));
        }
        let rest = block.iter().rev().take_while(|line| line.is_empty()).count();
        actual += &"\n".repeat(rest.min(block.len() - 1));
    }
    if actual == expected {
        return None;
    }
    if std::env::var("SEGWAN_TRANSCRIPTS").is_ok_and(|how| how == "overwrite") {
        std::fs::write(file, actual).unwrap();
        return None;
    }
    let differs = |(expected, actual): &(&str, &str)| expected != actual;
    let first = expected.lines().zip(actual.lines()).position(|pair| differs(&pair));
    let line = first.unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    let name = file.file_name().unwrap_or_default().display();
    Some(format!(
        "{name}:{}\n  expected {:?}\n  printed  {:?}",
        line + 1,
        expected.lines().nth(line).unwrap_or_default(),
        actual.lines().nth(line).unwrap_or_default(),
    ))
}

/// The lines of a file, cut before each command.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    let mut before = "";
    for line in text.lines() {
        if line.starts_with("$ ") || (line.starts_with("# ") && before.is_empty()) {
            blocks.push(Vec::new());
        }
        blocks.last_mut().unwrap().push(line);
        before = line;
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// What a command prints, its exit code behind it.
fn run(command: &str, stage: &Path, busy: &str) -> Vec<String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_segwan")).parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let child = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(stage)
        .env("PATH", format!("{}:{path}", binary.display()))
        .env("STATE_DIRECTORY", stage.join("state"))
        .env("TMPDIR", stage)
        .env("HOME", stage)
        .env("BUSY", busy)
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let Output { status, stdout, .. } = within_patience(child, command);
    let mut lines: Vec<String> =
        String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect();
    lines.iter_mut().for_each(|line| *line = line.replace(&stage.display().to_string(), "~"));
    match status.code() {
        Some(0) => {}
        Some(code) => lines.push(format!("exit {code}")),
        None => lines.push("ended by a signal".to_owned()),
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn within_patience(mut child: std::process::Child, command: &str) -> Output {
    let until = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("`{command}` did not end within {PATIENCE:?}");
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// Whether a line is as expected, where `…` stands for anything.
fn matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = true;
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || (open && expected.ends_with('…'))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
