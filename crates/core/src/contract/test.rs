//! The runner of `[[test]]`: a contract is loaded only if all its vectors hold.
//!
//! Every vector runs whole, byte by byte and in one stream with its like, with the same verdicts,
//! replies and forwarded bytes (`contracts.md` section 21). Whoever asks for a report on each test
//! also has those that are cleared cut short and broken; a start does not wait for that.

mod broken;
mod joined;

use super::frame::FrameRule;
use super::value::Value;
use super::{Contract, Side};
use crate::audit::{Event, EventKind, shown};
use crate::document::Document;
use crate::finding::Finding;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::now::Now;
use crate::rejection::{Class, Reason};
use crate::session::{Outbox, Session, Warrant};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// The failures of a contract's vectors as findings (K-90), and what they leave unshown (K-91).
pub(super) fn check(contract: &Arc<Contract>, file: &str, text: &str) -> Vec<Finding> {
    let document = Document::new(file, text);
    let mut shown = Shown::default();
    for vector in &contract.tests {
        let result = Runner { contract, vector }.run_noting(&mut shown);
        if std::mem::take(&mut shown.ambiguous) {
            let message = format!("what test `{}` says fits two messages", vector.name);
            document.find(document.error("K-20", vector.span.clone(), message));
        }
        if let Err(failure) = result {
            let message = format!("test `{}`: {failure}", vector.name);
            document.find(document.error("K-90", vector.span.clone(), message));
        }
    }
    let failed = document.has_errors();
    for (vector, failure) in joined::failures(contract).into_iter().filter(|_| !failed) {
        let message = format!("test `{}`: {failure}", vector.name);
        document.find(document.error("K-90", vector.span.clone(), message));
    }
    look_at(contract, file, &document);
    let inspected = |side: &Side| contract.direction(*side).frame.uninspected().is_none();
    // What a test that failed would have shown is not unshown.
    let failed = document.has_errors();
    for side in [Side::Client, Side::Server].into_iter().filter(inspected).filter(|_| !failed) {
        for message in &contract.direction(side).messages {
            if !shown.cleared.iter().any(|(of, name)| *of == side && *name == message.name) {
                let what =
                    format!("no test clears the {}'s message `{}`", side.as_str(), message.name);
                document.find(Finding::whole(file, what).check("K-91").warning());
            }
        }
        if !shown.refused.contains(&side) {
            let what = format!("no test shows what the {} may not say", side.as_str());
            document.find(Finding::whole(file, what).check("K-91").warning());
        }
    }
    if contract.limits.rate.is_empty() && inspected(&Side::Client) {
        let finding = Finding::whole(file, "the contract has no `limits.rate`");
        let hint = "`rate = { per = \"identity\", messages = \"50/s\" }`";
        document.find(finding.check("K-92").hint(hint).warning());
    }
    document.into_findings()
}

/// K-92: what is allowed, and should be seen.
fn look_at(contract: &Contract, file: &str, document: &Document<'_>) {
    let warn = |text| document.find(Finding::whole(file, text).check("K-92").warning());
    let largest = contract.limits.wire.message.max(contract.limits.server_message);
    if largest > 1 << 20 {
        warn(format!(
            "messages may have {largest} bytes, over 1 MiB, and each connection may keep one of either side"
        ));
    }
    if let Some(what) = contract.uninspected() {
        warn(what);
    }
}

/// What the vectors of a contract have shown.
#[derive(Default)]
struct Shown {
    cleared: Vec<(Side, String)>,
    refused: Vec<Side>,
    /// Whether something fitted two messages.
    ambiguous: bool,
}

/// What a session gave for some input.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    verdicts: Vec<Event>,
    service: Vec<u8>,
    peer: Vec<u8>,
    closed: bool,
}

struct Runner<'c> {
    contract: &'c Arc<Contract>,
    vector: &'c Vector,
}

/// A session with its virtual clock.
struct Rehearsal {
    session: Session,
    now: Now,
    out: Outbox,
    seen: Seen,
}

impl Runner<'_> {
    fn run(&self) -> Result<(), String> {
        self.run_noting(&mut Shown::default())
    }

    fn run_noting(&self, shown: &mut Shown) -> Result<(), String> {
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

    fn rehearse(&self, side: Side, input: &[u8], piece: usize) -> Seen {
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

    fn begin(&self) -> Rehearsal {
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
        Rehearsal { session, now, out: Outbox::default(), seen: Seen::default() }
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

impl Rehearsal {
    fn say(&mut self, side: Side, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece.min(bytes.len().max(1))) {
            self.session.receive(side, piece, None, self.now, &mut self.out);
            self.take();
            self.session.delivered(None, self.now, &mut self.out);
            self.take();
        }
    }

    fn end(&mut self, side: Side) {
        self.session.end(side, true, None, self.now, &mut self.out);
        self.take();
    }

    fn wait(&mut self, wait: Duration) {
        let until = self.now.after(wait);
        while let Some(at) = self.session.deadline().filter(|at| *at <= until.instant) {
            let passed = at.saturating_duration_since(self.now.instant);
            self.now = self.now.after(passed.max(Duration::from_millis(1)));
            self.session.tick(None, self.now, &mut self.out);
            self.take();
        }
        self.now = until;
    }

    fn take(&mut self) {
        self.seen.service.extend_from_slice(self.out.to_server.as_slice());
        self.seen.peer.extend_from_slice(self.out.to_client.as_slice());
        self.out.to_server.clear();
        self.out.to_client.clear();
        // How much of a frame had come when it was refused is no part of the verdict.
        self.out.events.iter_mut().for_each(|event| event.bytes = None);
        self.seen.verdicts.append(&mut self.out.events);
        self.seen.closed |= self.out.end.take().is_some();
    }
}

fn verdict(event: &Event) -> Expect {
    match (event.event, event.class) {
        (EventKind::Rejected, Some(class)) => Expect::Refuse(class),
        _ => Expect::Forward,
    }
}

fn told(event: &Event) -> String {
    match event.reason {
        Some(reason) => format!("`{}` ({reason}): {}", verdict(event).word(), event.sentence),
        None => "forwarded".to_owned(),
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

/// Longest vector that is shown whole, in bytes.
const LONGEST: usize = 256;

/// Bytes as a contract writes them: text with `\n`, or `hex:` and digits.
fn quoted(bytes: &[u8]) -> String {
    let head = bytes.get(..LONGEST).unwrap_or(bytes);
    // What was cut within a character is text all the same.
    let cut = |error: std::str::Utf8Error| error.error_len().is_none() && head.len() < bytes.len();
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if cut(error) => {
            head.get(..error.valid_up_to()).and_then(|head| std::str::from_utf8(head).ok())
        }
        Err(_) => None,
    };
    let is_line = |c: char| matches!(c, '\n' | '\r' | '\t') || !c.is_control();
    let said = match text.filter(|text| text.chars().all(is_line)) {
        Some(text) => {
            let mut line = String::with_capacity(text.len());
            let mut buffer = [0; 4];
            for character in text.chars() {
                match character {
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    '\t' => line.push_str("\\t"),
                    '\\' => line.push_str("\\\\"),
                    '`' => line.push('`'),
                    other => line.push_str(&shown(other.encode_utf8(&mut buffer).as_bytes())),
                }
            }
            format!("`{line}`")
        }
        None => {
            let digits: Vec<String> = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("`hex: {}`", digits.join(" "))
        }
    };
    if head.len() < bytes.len() { format!("{said}… ({} bytes)", bytes.len()) } else { said }
}

/// The virtual clock counts from here; nothing depends on which instant it is.
#[expect(clippy::disallowed_methods, reason = "a rehearsal needs one instant to count from")]
pub(super) fn start() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn vectors_are_shown_as_contracts_write_them() {
        assert_eq!(quoted(b"5\n"), "`5\\n`");
        assert_eq!(quoted("가`".as_bytes()), "`가``");
        assert_eq!(quoted(&[1, 2, 0, 0x64]), "`hex: 01 02 00 64`");
        assert_eq!(quoted(&[0xb0, 0xa1]), "`hex: b0 a1`");
        let long = format!("{}가{}", "a".repeat(255), "b".repeat(9));
        assert_eq!(quoted(long.as_bytes()), format!("`{}`… (267 bytes)", "a".repeat(255)));
    }
}
