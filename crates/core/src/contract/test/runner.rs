//! `Runner`: one vector on sessions of its own, whole and byte by byte, and what it should have given
//! beside what it gave.

use super::quoted::quoted;
use super::rehearsal::{Rehearsal, Seen, start, told, verdict};
use super::{Expect, Source, Step, Vector, joined};
use crate::audit::Event;
use crate::contract::frame::FrameRule;
use crate::contract::value::Value;
use crate::contract::{Contract, Side};
use crate::limits::Limits;
use crate::now::Now;
use crate::rejection::Reason;
use crate::session::{Session, Warrant};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Runner<'c> {
    pub(super) contract: &'c Arc<Contract>,
    pub(super) vector: &'c Vector,
}

/// What the vectors of a contract have shown.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) cleared: Vec<(Side, String)>,
    pub(super) refused: Vec<Side>,
    /// Whether something fitted two messages.
    pub(super) ambiguous: bool,
}

impl Runner<'_> {
    pub(super) fn run(&self) -> Result<(), String> {
        self.run_noting(&mut Shown::default())
    }

    pub(super) fn run_noting(&self, shown: &mut Shown) -> Result<(), String> {
        self.before()?;
        match &self.vector.source {
            Source::Vectors(side, inputs, expect) => {
                for (at, input) in inputs.iter().enumerate() {
                    self.alone(*side, input, *expect, shown).map_err(|failure| {
                        format!("vector {} {failure}\n  at: {}", at + 1, quoted(input))
                    })?;
                }
                Ok(())
            }
            Source::Dialogue(steps) => self.dialogue(steps, shown),
        }
    }

    /// What comes before is cleared; else the vector would not show what it says.
    fn before(&self) -> Result<(), String> {
        if self.vector.after.is_empty() {
            return Ok(());
        }
        let mut rehearsal = self.begin();
        self.go_before(&mut rehearsal);
        let refused = rehearsal.seen.verdicts.iter().find(|e| verdict(e) != Expect::Forward);
        match refused {
            Some(event) => Err(format!("`after` should be cleared, but is {}", told(event))),
            None if !rehearsal.session.between_frames(Side::Client) => {
                Err("`after` should be cleared, but is no whole frame".to_owned())
            }
            None => Ok(()),
        }
    }

    /// One vector on a fresh session: whole, then byte by byte.
    fn alone(
        &self,
        side: Side,
        input: &[u8],
        expect: Expect,
        shown: &mut Shown,
    ) -> Result<(), String> {
        let whole = self.rehearse(side, input, usize::MAX);
        note(shown, &whole.verdicts);
        self.compare(side, &whole, expect)?;
        if self.rehearse(side, input, 1) != whole {
            return Err("gets another verdict byte by byte".to_owned());
        }
        Ok(())
    }

    pub(super) fn rehearse(&self, side: Side, input: &[u8], piece: usize) -> Seen {
        let mut rehearsal = self.begin();
        self.go_before(&mut rehearsal);
        rehearsal.seen = Seen::default();
        rehearsal.say(side, input, piece);
        rehearsal.end(side);
        rehearsal.seen
    }

    /// Says what comes before. Where the whole direction is one frame, that is whole at its end.
    fn go_before(&self, rehearsal: &mut Rehearsal) {
        for after in &self.vector.after {
            rehearsal.say(Side::Client, after, usize::MAX);
        }
        let whole_at_end = self.contract.direction(Side::Client).frame == FrameRule::Eof;
        if whole_at_end && !self.vector.after.is_empty() {
            rehearsal.end(Side::Client);
        }
    }

    pub(super) fn begin(&self) -> Rehearsal {
        let now = Now { instant: start(), unix_ms: 0 };
        let warrant = Warrant::Rehearsed(self.vector.allow);
        let contract = Arc::clone(self.contract);
        let mut session =
            Session::open(warrant, contract, &Limits::default(), now).recording_cleared();
        if let Some(identity) = &self.vector.identity {
            session = session.rehearsed_as(identity, &self.vector.roles);
        }
        let state = self.vector.state.unwrap_or(self.contract.states.initial);
        let session = session.beginning_in(state).remembering(&self.vector.remembered);
        Rehearsal::of(session, now)
    }

    fn compare(&self, side: Side, seen: &Seen, expect: Expect) -> Result<(), String> {
        if seen.verdicts.is_empty() {
            return Err(format!("should be `{}`, but is no whole frame", expect.word()));
        }
        for event in &seen.verdicts {
            if verdict(event) != expect {
                return Err(format!("should be `{}`, but is {}", expect.word(), told(event)));
            }
            self.details(event)?;
        }
        let (passed, answered) = match side {
            Side::Client => (&seen.service, &seen.peer),
            Side::Server => (&seen.peer, &seen.service),
        };
        same_bytes("forwards", self.vector.forwards.as_deref(), passed)?;
        same_bytes("is answered", self.vector.reply.as_deref(), answered)
    }

    fn details(&self, event: &Event) -> Result<(), String> {
        let same = |what: &str, wanted: &Option<String>, is: Option<&str>| match wanted {
            Some(wanted) if Some(wanted.as_str()) != is => {
                Err(format!("should have {what} `{wanted}`, but has `{}`", is.unwrap_or("none")))
            }
            _ => Ok(()),
        };
        same("reason", &self.vector.reason, event.reason.map(|reason| reason.as_str()))?;
        same("message", &self.vector.message, event.message.as_deref())?;
        same("action", &self.vector.action, event.action.as_deref())?;
        let resources = event.resources.join(" ");
        let resource = Some(resources.as_str()).filter(|r| !r.is_empty());
        same("resource", &self.vector.resource, resource)?;
        if let Some(wanted) = &self.vector.context {
            self.context(event, wanted)?;
        }
        Ok(())
    }

    /// What a policy would see: the declared fields of the very message.
    fn context(&self, event: &Event, wanted: &[(String, Value<'static>)]) -> Result<(), String> {
        let name = event.message.as_deref();
        let Source::Vectors(side, inputs, _) = &self.vector.source else { return Ok(()) };
        let messages = &self.contract.direction(*side).messages;
        let rule = messages.iter().find(|m| Some(m.name.as_str()) == name);
        let declared =
            rule.and_then(|m| m.asking()).map(|a| a.context.as_slice()).unwrap_or_default();
        for input in inputs {
            let tree = self.contract.decoded(*side, input)?;
            for (name, value) in wanted {
                let at = declared.iter().find(|(known, _)| known == name).map(|(_, at)| at);
                let is = at.and_then(|at| at.get(&tree));
                if is != Some(value) {
                    let is = is.map_or_else(|| "nothing".to_owned(), Value::shown);
                    return Err(format!(
                        "should show `{name}` as {}, but shows {is}",
                        value.shown()
                    ));
                }
            }
            let extra = declared.iter().find(|(name, at)| {
                at.get(&tree).is_some() && !wanted.iter().any(|(known, _)| known == name)
            });
            if let Some((name, _)) = extra {
                return Err(format!("shows `{name}` too"));
            }
        }
        Ok(())
    }

    fn dialogue(&self, steps: &[(Step, Vec<Expect>)], shown: &mut Shown) -> Result<(), String> {
        let whole = self.walk(steps, usize::MAX)?;
        note(shown, &whole.verdicts);
        if self.walk(steps, 1)? != whole {
            return Err("gets other verdicts byte by byte".to_owned());
        }
        let joined = joined::steps(steps);
        let together = || self.walk(&joined, usize::MAX).is_ok_and(|seen| seen == whole);
        if joined.len() < steps.len() && !together() {
            return Err("gets other verdicts where steps of one side come together".to_owned());
        }
        same_bytes("service sees", self.vector.service_sees.as_deref(), &whole.service)?;
        same_bytes("peer sees", self.vector.peer_sees.as_deref(), &whole.peer)?;
        match self.vector.closed {
            Some(closed) if closed != whole.closed => {
                Err(format!("should end with closed = {closed}"))
            }
            _ => Ok(()),
        }
    }

    fn walk(&self, steps: &[(Step, Vec<Expect>)], piece: usize) -> Result<Seen, String> {
        let mut rehearsal = self.begin();
        self.go_before(&mut rehearsal);
        for (at, (step, expect)) in steps.iter().enumerate() {
            let before = rehearsal.seen.verdicts.len();
            match step {
                Step::Say(side, bytes) => rehearsal.say(*side, bytes, piece),
                Step::Wait(wait) => rehearsal.wait(*wait),
                Step::End(side) => rehearsal.end(*side),
            }
            let new = rehearsal.seen.verdicts.get(before..).unwrap_or_default();
            let is: Vec<&str> = new.iter().map(|event| verdict(event).word()).collect();
            let wanted: Vec<&str> = expect.iter().map(|e| e.word()).collect();
            if is != wanted {
                let told = new.iter().map(told).collect::<Vec<_>>().join("; ");
                return Err(format!(
                    "step {} should give {wanted:?}, but gives {is:?}: {told}",
                    at + 1
                ));
            }
        }
        if rehearsal.session.closing().is_some() {
            // Answers that are due have their time; then it has ended.
            rehearsal.wait(Limits::default().close_timeout + Duration::from_secs(5));
        }
        Ok(rehearsal.seen)
    }
}

fn note(shown: &mut Shown, verdicts: &[Event]) {
    for event in verdicts {
        shown.ambiguous |= event.reason == Some(Reason::Ambiguous);
        let side = if event.direction == Some("server") { Side::Server } else { Side::Client };
        match verdict(event) {
            Expect::Forward => shown.cleared.extend(event.message.clone().map(|name| (side, name))),
            Expect::Refuse(_) => shown.refused.push(side),
        }
    }
}

fn same_bytes(what: &str, wanted: Option<&[u8]>, is: &[u8]) -> Result<(), String> {
    match wanted {
        Some(wanted) if wanted != is => {
            Err(format!("{what} {}, not {}", quoted(is), quoted(wanted)))
        }
        _ => Ok(()),
    }
}
