//! `segwan contract learn`: a draft from recorded traffic.

use crate::capture;
use crate::cli::report::Look;
use crate::cli::{Exit, Failure, Global};
use segwan_core::contract::learn::{Conversation, learn};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Draft a contract from recorded traffic
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan contract learn /var/lib/segwan/captures/orders.jsonl -o orders.toml
  segwan contract learn monday.jsonl tuesday.jsonl -o orders.toml --evidence

`record = \"frames\"` in the configuration, or `segwan serve --contract raw --record`, records what passes. The draft
accepts all of the record, which is tried before it is written, and says at each guess how many samples it rests on. What
was never heard is refused: read it before it is put in force.

Exit codes: 0 written; 1 no contract accepts all of it; 2 a record cannot be read, or FILE exists.")]
pub(super) struct Args {
    /// Records of the raw mode
    #[arg(required = true, value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    /// Where the draft is written; nothing is overwritten
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Name of the contract [default: that of the service]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Also say of every framing that was tried how far it got
    #[arg(long)]
    evidence: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let report = &global.report;
    if args.out.exists() {
        return Err(taken(&args.out));
    }
    let mut conversations: Vec<Conversation> = Vec::new();
    let mut name = args.name.clone();
    for file in &args.captures {
        let (service, more) = capture::read(file).map_err(Failure::cannot_start)?;
        conversations.extend(more);
        name = name.or(service);
    }
    let name = name.unwrap_or_else(|| "learned".to_owned());
    let draft = match learn(&name, &conversations) {
        Ok(draft) => draft,
        Err(why) => {
            let failure = Failure::refused(why.to_string());
            for line in &why.evidence {
                report.line(format_args!("  {line}"));
            }
            return Err(match why.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            });
        }
    };
    for line in
        draft.evidence.iter().filter(|line| args.evidence || line.contains("cuts everything"))
    {
        report.line(format_args!("  {line}"));
    }
    // It holds frames that were recorded.
    create(&args.out, &draft.text, 0o600)?;
    let (client, server) = draft.messages;
    report.line(format_args!(
        "{}: {} of {client} messages of the client and {server} of the server, on {} connections; it accepts all of them",
        args.out.display(),
        report.style(Look::Good, "drafted"),
        conversations.len(),
    ));
    Ok(Exit::Done)
}

/// Writes a file that is not there yet.
pub(super) fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    create(file, text, 0o666)
}

fn create(file: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let written = options.write(true).create_new(true).mode(mode).open(file);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        match error.kind() {
            ErrorKind::AlreadyExists => taken(file),
            _ => Failure::cannot_start(format!("`{}` cannot be written: {error}", file.display())),
        }
    })
}

fn taken(file: &Path) -> Failure {
    let sentence = format!("there is a file `{}` already", file.display());
    Failure::cannot_start(sentence)
        .hint("nothing is overwritten: name another file, or move that one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_holds_recorded_frames_is_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("learned.toml");
        create(&file, "contract = \"a/1\"\n", 0o600).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&file, "", 0o600).is_err());
    }
}
