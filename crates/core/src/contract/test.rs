//! The runner of `[[test]]`: a contract is loaded only if all its vectors hold.
//!
//! Every vector runs whole, byte by byte and in one stream with its like, with the same verdicts,
//! replies and forwarded bytes (`contracts.md` section 21). Whoever asks for a report on each test
//! also has those that are cleared cut short and broken; a start does not wait for that.

mod broken;
mod findings;
mod joined;
mod quoted;
mod rehearsal;
mod runner;

pub(super) use findings::check;
pub(super) use rehearsal::start;

use super::value::Value;
use super::{Contract, Side};
use crate::identity::Identity;
use crate::rejection::Class;
use runner::Runner;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// One `[[test]]` of a contract.
#[derive(Debug, Clone)]
pub struct Vector {
    /// What it shows.
    pub name: String,
    pub(super) span: Range<usize>,
    pub(super) allow: bool,
    /// Where it begins, if not in the contract's initial state.
    pub(super) state: Option<usize>,
    /// What earlier messages are supposed to have left.
    pub(super) remembered: Vec<(String, Value<'static>)>,
    /// Who speaks, for rules that read `peer`, with its roles.
    pub(super) identity: Option<Identity>,
    pub(super) roles: Vec<String>,
    pub(super) after: Vec<Vec<u8>>,
    pub(super) source: Source,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) action: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) context: Option<Vec<(String, Value<'static>)>>,
    pub(super) forwards: Option<Vec<u8>>,
    pub(super) reply: Option<Vec<u8>>,
    pub(super) service_sees: Option<Vec<u8>>,
    pub(super) peer_sees: Option<Vec<u8>>,
    pub(super) closed: Option<bool>,
}

/// What a test says on the session.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Each alone on a fresh session, followed by a clean end.
    Vectors(Side, Vec<Vec<u8>>, Expect),
    /// One after the other on one session.
    Dialogue(Vec<(Step, Vec<Expect>)>),
}

/// One step of a dialogue.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Say(Side, Vec<u8>),
    Wait(Duration),
    End(Side),
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Forward,
    Refuse(Class),
}

impl Expect {
    fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Refuse(class) => class.as_str(),
        }
    }
}

/// How one vector went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The test's name.
    pub name: String,
    /// What went otherwise than expected; nothing if it held.
    pub failure: Option<String>,
}

/// Runs every test of a contract, its cleared vectors also cut short and with bits turned.
#[must_use]
pub fn run(contract: &Arc<Contract>) -> Vec<Outcome> {
    let outcome = |vector: &Vector| {
        let runner = Runner { contract, vector };
        let failure = runner.run().and_then(|()| runner.broken()).err();
        Outcome { name: vector.name.clone(), failure }
    };
    let mut outcomes: Vec<Outcome> = contract.tests.iter().map(outcome).collect();
    if outcomes.iter().any(|outcome| outcome.failure.is_some()) {
        // A wrong vector would also fail what it is joined with.
        return outcomes;
    }
    for (vector, failure) in joined::failures(contract) {
        let mut of = contract.tests.iter().zip(&mut outcomes);
        if let Some((_, outcome)) = of.find(|(known, _)| std::ptr::eq(*known, vector)) {
            outcome.failure = Some(failure);
        }
    }
    outcomes
}

/// What the tests of a contract say, one exchange for each vector and each dialogue: for tests that
/// say it in another way.
#[doc(hidden)]
#[must_use]
pub fn exchanges(contract: &Contract) -> Vec<Vec<(Side, Vec<u8>)>> {
    let mut exchanges = Vec::new();
    for vector in &contract.tests {
        let before = vector.after.iter().map(|said| (Side::Client, said.clone()));
        match &vector.source {
            Source::Vectors(side, inputs, _) => {
                for input in inputs {
                    exchanges.push(before.clone().chain([(*side, input.clone())]).collect());
                }
            }
            Source::Dialogue(steps) => {
                let said = steps.iter().filter_map(|(step, _)| match step {
                    Step::Say(side, bytes) => Some((*side, bytes.clone())),
                    Step::Wait(_) | Step::End(_) => None,
                });
                exchanges.push(before.chain(said).collect());
            }
        }
    }
    exchanges
}
