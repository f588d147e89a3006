//! Vectors in one stream: whatever TCP puts together is judged as it was apart.
//!
//! All vectors of a direction that begin alike are said one after the other on one session: each in
//! a piece of its own, and all in one piece, with the same outcome. What passes alone passes there
//! too, unless the exchange itself stands against it: a key in use, a state that moved, a quota.

use super::rehearsal::{Seen, told, verdict};
use super::runner::Runner;
use super::{Expect, Source, Step, Vector};
use crate::audit::Event;
use crate::contract::frame::FrameRule;
use crate::contract::{Contract, Side};
use crate::rejection::{Class, Reason};
use std::sync::Arc;

/// Vectors that may be said on one session.
struct Stream<'c> {
    contract: &'c Arc<Contract>,
    side: Side,
    expect: Expect,
    /// The one that says how the session begins.
    first: &'c Vector,
    after: Vec<&'c [u8]>,
    said: Vec<&'c [u8]>,
}

/// A dialogue with what one side says in neighbouring steps put together.
pub(super) fn steps(steps: &[(Step, Vec<Expect>)]) -> Vec<(Step, Vec<Expect>)> {
    let mut joined: Vec<(Step, Vec<Expect>)> = Vec::new();
    for (step, expect) in steps {
        match (joined.last_mut(), step) {
            (Some((Step::Say(side, said), verdicts)), Step::Say(by, more)) if side == by => {
                said.extend_from_slice(more);
                verdicts.extend(expect);
            }
            _ => joined.push((step.clone(), expect.clone())),
        }
    }
    joined
}

/// The streams that are not judged as their parts are, by their first vectors, and why.
pub(super) fn failures(contract: &Arc<Contract>) -> Vec<(&Vector, String)> {
    let mut streams: Vec<Stream<'_>> = Vec::new();
    for vector in &contract.tests {
        let Source::Vectors(side, inputs, expect) = &vector.source else { continue };
        let (side, expect) = (*side, *expect);
        let alike = |stream: &&mut Stream<'_>| {
            (stream.side, stream.expect) == (side, expect) && begin_alike(stream.first, vector)
        };
        let after = inputs.iter().flat_map(|_| vector.after.iter().map(Vec::as_slice));
        let said = inputs.iter().map(Vec::as_slice);
        match streams.iter_mut().find(alike) {
            Some(stream) => {
                stream.after.extend(after);
                stream.said.extend(said);
            }
            None => {
                let (after, said) = (after.collect(), said.collect());
                streams.push(Stream { contract, side, expect, first: vector, after, said });
            }
        }
    }
    // Where a side's whole stream is one message there is nothing to join.
    streams.retain(|stream| contract.direction(stream.side).frame != FrameRule::Eof);
    let failures = streams.into_iter().map(|stream| (stream.first, stream.check()));
    failures.filter_map(|(first, checked)| Some((first, checked.err()?))).collect()
}

/// Whether the session is the same before both of them.
fn begin_alike(one: &Vector, other: &Vector) -> bool {
    (one.allow, one.state) == (other.allow, other.state)
        && one.identity == other.identity
        && one.roles == other.roles
        && one.remembered == other.remembered
}

impl Stream<'_> {
    fn check(&self) -> Result<(), String> {
        let apart = self.say(&self.said);
        if self.say(&[&self.said.concat()]) != apart {
            return Err("is judged otherwise in one piece with what follows it".to_owned());
        }
        let free = self.side == Side::Client && self.after.is_empty();
        if free && self.expect == Expect::Forward {
            return self.passes(&apart.verdicts);
        }
        Ok(())
    }

    /// Says what comes before, then each piece.
    fn say(&self, pieces: &[&[u8]]) -> Seen {
        let mut rehearsal = Runner { contract: self.contract, vector: self.first }.begin();
        for said in &self.after {
            rehearsal.say(Side::Client, said, usize::MAX);
        }
        for piece in pieces {
            rehearsal.say(self.side, piece, usize::MAX);
        }
        rehearsal.end(self.side);
        rehearsal.seen
    }

    /// What passes alone passes behind others, as far as the exchange lets it.
    fn passes(&self, verdicts: &[Event]) -> Result<(), String> {
        let refused = verdicts.iter().find(|event| verdict(event) != Expect::Forward);
        match refused {
            Some(event) if !depends(event) && self.said.iter().all(|said| self.is_whole(said)) => {
                Err(format!("passes alone, but behind others is {}", told(event)))
            }
            _ => Ok(()),
        }
    }

    /// Whether it is whole messages without the end of its stream.
    fn is_whole(&self, said: &[u8]) -> bool {
        let mut rehearsal = Runner { contract: self.contract, vector: self.first }.begin();
        rehearsal.say(self.side, said, usize::MAX);
        rehearsal.session.between_frames(self.side)
    }
}

/// Whether a refusal follows from what was said before.
fn depends(event: &Event) -> bool {
    matches!(event.class, Some(Class::State | Class::Limit))
        || matches!(event.reason, Some(Reason::Rule | Reason::RuleError))
}

#[cfg(test)]
mod tests {
    use super::*;

    // TRAP-01
    #[test]
    fn what_does_not_pass_behind_others_is_told() {
        let text = include_str!("../../../tests/frames/switch.toml");
        let loaded = Contract::load("switch.toml", text, &|_| Err("no file".to_owned()));
        let contract = loaded.map(|(contract, _)| contract).unwrap();
        assert_eq!(failures(&contract).len(), 0);
        let of = |said: Vec<&'static [u8]>| {
            let (side, expect, first) = (Side::Client, Expect::Forward, &contract.tests[0]);
            let stream =
                Stream { contract: &contract, side, expect, first, after: Vec::new(), said };
            stream.check()
        };
        assert_eq!(of(vec![b"hi", b"hi"]), Ok(()));
        let told = of(vec![b"hi", b"ho", b"hi"]).unwrap_err();
        assert!(told.starts_with("passes alone, but behind others is `invalid`"), "{told}");
    }
}
