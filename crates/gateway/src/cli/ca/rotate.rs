//! `segwan ca rotate`: from one root to the next, one step at a time.

use super::asking::ask;
use super::issuing::renew;
use super::passphrase::{PassphraseArgs, RootKeyArgs};
use super::{now_ms, root};
use crate::admin::custody::Nothing;
use crate::admin::rotation::{
    EXPEL, Grace, NEXT, NewRoot, Next, PREPARE, ROTATION, RotationAnswer, Waited, expel, next,
    prepare, rotation,
};
use crate::cli::columns::{Columns, plain};
use crate::cli::report::Look;
use crate::cli::status::json;
use crate::cli::{Exit, Failure, Global};
use crate::status::when::{distance, instant};
use segwan_core::contract::units;
use segwan_pki::authority::{EXPULSION_WINDOW, ROTATION_WINDOW};
use segwan_pki::custody::{Permitted, Root, certificates, needs_passphrase, remove_local};
use segwan_pki::key::hex;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Move to another root, step by step
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan ca rotate root --prepare --root-key /media/a/root.key.pem --root-key-out /media/b
      the new root is believed beside the old one; its key goes to the second medium
  segwan ca rotate root --activate
      the new one signs
  segwan ca rotate root --taint
      everybody renews within an hour
  segwan ca rotate root --retire
      the old one is believed nowhere
  segwan ca rotate status
  segwan ca rotate root --compromised --root-key-out /media/b
      all in one, without waiting: the old root's key was stolen; it may be repeated, and it ends
      a rotation that is under way

Exit codes: 0 done; 1 refused; 2 there is no Authority, or a key or passphrase is missing; 4 the
step waits for agents, which are listed.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a step
    Root(StepArgs),
    /// Show how far a rotation is, and who it waits for
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("step").required(true))]
struct StepArgs {
    /// Make a new root; it is believed beside the present one, and signs nothing yet
    #[arg(long, group = "step", requires = "root_key_out")]
    prepare: bool,
    /// Let the new root's issuing certificate sign
    #[arg(long, group = "step")]
    activate: bool,
    /// Let everybody renew under the new root
    #[arg(long, group = "step")]
    taint: bool,
    /// End belief in the old root
    #[arg(long, group = "step")]
    retire: bool,
    /// Make all steps at once, because the old root's key is in somebody else's hands
    #[arg(long, group = "step", requires = "root_key_out")]
    compromised: bool,
    /// With --compromised: believe the old root for so long
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = units::duration)]
    grace: Duration,
    /// In how long everybody renews; default: 1h with --taint, 5m with --compromised
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    window: Option<Duration>,
    /// Do not wait for the agents of this registration; it is recorded
    #[arg(long, value_name = "NAME")]
    force: Vec<String>,
    /// Write the new root's key to this directory, and never onto this host
    #[arg(long, value_name = "DIR")]
    root_key_out: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    #[command(flatten)]
    root: RootKeyArgs,
}

pub(super) fn run(args: &Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        What::Status { json: as_json } => status(state, *as_json, global),
        What::Root(step) if step.prepare => prepare_root(step, state, global),
        What::Root(step) if step.compromised => expel_root(step, state, global),
        What::Root(step) => next_step(step, state, global),
    }
}

fn status(state: &Path, as_json: bool, global: &Global) -> Result<Exit, Failure> {
    let at = ask(state, ROTATION, Nothing {}, rotation)?;
    if as_json {
        global.report.text(&json(&at)?);
        return Ok(Exit::Done);
    }
    let since = match at.since_ms {
        0 => String::new(),
        since => format!(" since {}", instant(since)),
    };
    global.report.line(format_args!("the rotation is {}{since}", at.step));
    for (place, root) in (1..).zip(&at.roots) {
        global.report.line(format_args!("root {place}: sha256:{root}"));
    }
    said(&at, global);
    Ok(Exit::Done)
}

/// Who and what the next step waits for.
fn said(at: &RotationAnswer, global: &Global) {
    if let Some(waits) = &at.waits {
        global.report.line(format_args!("the next step waits: {waits}"));
    }
    if !at.missing.is_empty() {
        global.report.line(format_args!("\nthe next step waits for:"));
        agents(&at.missing, global);
    }
    if !at.stale.is_empty() {
        global.report.line(format_args!(
            "\nnot heard of for a week, so nothing waits for them; they may need a new token:"
        ));
        agents(&at.stale, global);
    }
}

fn agents(all: &[Waited], global: &Global) {
    let mut columns = Columns::headed(&["NAME", "HOST", "LAST HEARD"]);
    for one in all {
        let heard = distance(one.heard_ms, now_ms());
        columns.row([(Look::Bold, one.name.clone()), plain(&one.host), plain(heard)]);
    }
    columns.print(&global.report, 2);
}

/// The directory that the new root's key goes to. A host that is meant to lose it is none.
fn medium(step: &StepArgs, state: &Path) -> Result<PathBuf, Failure> {
    let to = step.root_key_out.as_deref().unwrap_or_else(|| Path::new("."));
    let unusable = |error| Failure::refused(format!("`{}` cannot be used: {error}", to.display()));
    let to = to.canonicalize().map_err(unusable)?;
    if state.canonicalize().is_ok_and(|state| to.starts_with(state)) {
        return Err(Failure::refused(format!("`{}` is inside the state", to.display()))
            .hint("the new root's key goes to a medium that leaves this host"));
    }
    Ok(to)
}

/// A new root, whose key is on its medium before anybody hears of it.
fn made(step: &StepArgs, state: &Path, domain: &str) -> Result<Root, Failure> {
    let to = medium(step, state)?;
    let passphrase = step.passphrase.for_sealing("the new root's key")?;
    let new = Root::generate(domain, now_ms())?;
    new.export(&to, &passphrase).map_err(|error| {
        let failure = Failure::from(error);
        match to.join("root.key.pem").exists() {
            true => failure.hint(
                "a command that broke off may have left it, or it is the key of another root: \
                 `--root-key-out` names a directory without one",
            ),
            false => failure,
        }
    })?;
    Ok(new)
}

/// The new root of a command that broke off, from the medium that its key was written to; none if
/// it is not there.
fn begun(step: &StepArgs, state: &Path, at: &RotationAnswer) -> Result<Option<Root>, Failure> {
    let key = medium(step, state)?.join("root.key.pem");
    if !key.exists() {
        let root = at.roots.last().map_or("", String::as_str);
        let why =
            format!("`{}` is not there; a rotation to sha256:{root} was begun", key.display());
        return match at.issuing {
            0 => Ok(None),
            _ => Err(Failure::refused(why).hint(
                "`--root-key-out` names the directory that the command before wrote the key to",
            )),
        };
    }
    let pem = at.certificates.last().map_or("", String::as_str);
    let certificate = certificates(pem)?.into_iter().next().unwrap_or_default();
    let passphrase = match needs_passphrase(&key)? {
        true => Some(step.passphrase.for_opening(&key.display().to_string())?),
        false => None,
    };
    Ok(Some(Root::open(&key, passphrase.as_ref(), &certificate)?))
}

/// The new root beside the present one: that of a command which broke off, or one that is made now.
/// One whose key is nowhere, and under which nothing was signed, is given up for another.
fn incoming(
    step: &StepArgs,
    state: &Path,
    at: &RotationAnswer,
    cross: impl FnOnce(&Root) -> Result<Option<String>, Failure>,
    global: &Global,
) -> Result<Root, Failure> {
    if at.step == "prepared" {
        if let Some(root) = begun(step, state, at)? {
            return Ok(root);
        }
        global.report.line(format_args!(
            "a rotation to sha256:{} was begun, and its key is not there; it is given up for another",
            at.roots.last().map_or("", String::as_str)
        ));
    }
    let new = made(step, state, &at.trust_domain)?;
    let question = NewRoot { root: hex(new.certificate()), cross: cross(&new)? };
    ask(state, PREPARE, question, prepare)?;
    Ok(new)
}

fn prepare_root(step: &StepArgs, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let at = ask(state, ROTATION, Nothing {}, rotation)?;
    let begins = match at.step.as_str() {
        "steady" => true,
        "prepared" if at.issuing < ISSUING => false,
        under_way => {
            return Err(Failure::refused(format!("a rotation is under way: {under_way}"))
                .hint("`segwan ca rotate status` shows what it waits for"));
        }
    };
    // Before anything is written: without the present root's key nothing is begun.
    let present = match begins {
        true => Some(step.root.open(state, &root::certificate(state)?)?),
        false => None,
    };
    let cross = |new: &Root| {
        let present = match present {
            Some(present) => present,
            None => step.root.open(state, &root::certificate(state)?)?,
        };
        Ok(Some(hex(&present.cross_sign(new.certificate(), now_ms())?)))
    };
    let new = incoming(step, state, &at, cross, global)?;
    let there = if begins { 0 } else { at.issuing };
    issuing_under(&new, state, ISSUING.saturating_sub(there))?;
    global.report.line(format_args!(
        "the new root is believed beside the present one, which still signs; its key is in {} and \
         was never on this host",
        step.root_key_out.as_deref().unwrap_or_else(|| Path::new(".")).display()
    ));
    global.report.line(format_args!(
        "`segwan ca rotate status` shows who has it; then `segwan ca rotate root --activate`"
    ));
    Ok(Exit::Done)
}

/// Issuing certificates under the new root: one to sign, and one to spare.
const ISSUING: usize = 2;

fn issuing_under(new: &Root, state: &Path, missing: usize) -> Result<(), Failure> {
    for _ in 0..missing {
        renew(state, new, &Permitted::default())?;
    }
    Ok(())
}

fn window_ms(step: &StepArgs, default: i64) -> i64 {
    step.window.map_or(default, |window| i64::try_from(window.as_millis()).unwrap_or(i64::MAX))
}

fn next_step(step: &StepArgs, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let to = match step {
        StepArgs { activate: true, .. } => "active",
        StepArgs { taint: true, .. } => "tainted",
        _ => "steady",
    };
    let window_ms = window_ms(step, ROTATION_WINDOW);
    let key_was_here = local_key(state).exists();
    let question = Next { to: to.to_owned(), without: step.force.clone(), window_ms };
    let at = ask(state, NEXT, question, next)?;
    if !at.done {
        global.report.note(format_args!("the rotation stays {}", at.step));
        said(&at, global);
        return Ok(Exit::Waits);
    }
    let what = match to {
        "active" => "the new root's issuing certificate signs from now on",
        "tainted" => "every agent was told to renew under the new root",
        _ => "the old root is believed nowhere any more",
    };
    global.report.line(format_args!("{what}; the rotation is {}", at.step));
    if to == "steady" && key_was_here {
        forget_local(state, global)?;
    }
    said(&at, global);
    Ok(Exit::Done)
}

fn local_key(state: &Path) -> PathBuf {
    state.join("authority/root")
}

/// The old root's key is of no use to anybody who means well. The Authority removes it itself as the
/// root goes; with a grace, and where it could not, it goes here.
fn forget_local(state: &Path, global: &Global) -> Result<(), Failure> {
    remove_local(&state.join("authority"))?;
    global.report.line(format_args!("removed the old root's key from this host"));
    Ok(())
}

/// From wherever a rotation is: one command, which may be repeated.
fn expel_root(step: &StepArgs, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let at = ask(state, ROTATION, Nothing {}, rotation)?;
    let report = &global.report;
    match (at.step.as_str(), &at.waits) {
        ("steady", _) | ("prepared", Some(_)) => {
            let new = incoming(step, state, &at, |_| Ok(None), global)?;
            issuing_under(&new, state, ISSUING)?;
        }
        (under_way, _) => {
            let new = if under_way == "prepared" { at.roots.last() } else { at.roots.first() };
            report.line(format_args!(
                "a rotation was under way ({under_way}): its new root sha256:{} takes over, and no \
                 other one is made",
                new.map_or("", String::as_str)
            ));
        }
    }
    let grace_ms = i64::try_from(step.grace.as_millis()).unwrap_or(0);
    let window_ms = window_ms(step, EXPULSION_WINDOW);
    let key_was_here = local_key(state).exists();
    let left = ask(state, EXPEL, Grace { grace_ms, window_ms }, expel)?;
    if key_was_here {
        forget_local(state, global)?;
    }
    let when = match grace_ms {
        0 => "from now on".to_owned(),
        _ => format!("in {}", units::shown(step.grace)),
    };
    report.line(format_args!(
        "the old root is believed nowhere {when}; every agent renews within {}, and until it has, its \
         peers refuse it",
        units::shown(Duration::from_millis(window_ms.unsigned_abs()))
    ));
    report.line(format_args!(
        "A node that has not taken the new trust bundle still believes the old root: whoever holds \
         its key and sits on the path can keep it so."
    ));
    if !left.behind.is_empty() {
        report.line(format_args!("\nnot seen to have it; each needs a new token:"));
        agents(&left.behind, global);
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests;
