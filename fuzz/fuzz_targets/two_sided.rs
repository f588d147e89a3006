//! Both sides of a real protocol say anything, in any pieces, and die at any moment; what reaches
//! the other side is exactly the messages that were let through, in their order.
//!
//! What a message is, is read here again by small readers that share no code with the contracts: a
//! message that was let through is the n-th that this side's bytes hold, and it is compared with
//! the bytes that the other side got. So no byte of a refused message, or of one that its side did
//! not live to finish, can be among them; the rest must be answers that the contract gives itself.
//!
//! Input: one byte chooses the contract (its high bit denies all actions), one how the bytes are
//! cut; then steps, each ended by 0x1e: `c` or `s` and what that side says; `C` or `S`, its orderly
//! end; `X` or `Y`, its cut end; `t`, until the next deadline; `w` and a byte, so many times 100 ms.
#![no_main]

#[path = "two_sided/subscriber.rs"]
mod subscriber;

use libfuzzer_sys::fuzz_target;
use segwan_core::audit::EventKind;
use segwan_core::contract::{Contract, Side};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::rejection::Reason;
use segwan_core::session::{Ending, Outbox, Session, Warrant};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// How a side's bytes are messages.
#[derive(Clone, Copy)]
enum Wire {
    Line,
    /// The whole stream, at its orderly end.
    Stream,
    /// Modbus: six bytes, of which the last two say how many follow.
    Mbap,
    /// 0x0b, no 0x1c, then 0x1c and a carriage return.
    Block,
    /// Four digits, then as many bytes.
    Digits,
    Resp,
    /// Headers, an empty line, then as many bytes as `Content-Length` says.
    Headers,
    /// No messages: what is said passes as it is.
    Raw,
}

/// How a message that is let through is written.
#[derive(Clone, Copy)]
enum Spelling {
    /// As it came.
    Same,
    /// Its line with a bare line feed.
    Newline,
    /// The same JSON value.
    Json,
    /// The same behind headers.
    Body,
    /// The same words, the command in capitals.
    Command,
}

/// One contract of the examples or of `contracts`, and what is known of it here.
struct Protocol {
    contract: Arc<Contract>,
    client: (Wire, Spelling),
    server: (Wire, Spelling),
    /// Whether these bytes are an answer that the contract gives by itself.
    own: fn(&[u8]) -> bool,
}

macro_rules! protocol {
    ($file:literal, $client:expr, $server:expr, $own:expr) => {
        Protocol {
            contract: load(include_str!(concat!("../../", $file))),
            client: $client,
            server: $server,
            own: $own,
        }
    };
}

static PROTOCOLS: LazyLock<Vec<Protocol>> = LazyLock::new(|| {
    use Spelling::{Body, Command, Json, Newline, Same};
    use Wire::{Block, Digits, Headers, Line, Mbap, Raw, Resp, Stream};
    vec![
        protocol!("examples/article/add-ten.toml", (Line, Newline), (Line, Same), |a| {
            a == b"Invalid data\n" || a == b"Not allowed\n"
        }),
        protocol!("examples/article/add-ten-once.toml", (Stream, Same), (Stream, Same), |a| {
            a == b"Invalid data"
        }),
        protocol!("examples/jsonl/inventory.toml", (Line, Json), (Line, Json), |a| {
            json(a).is_some_and(|a| a["ok"] == Value::Bool(false) && a["error"].is_string())
        }),
        protocol!("examples/modbus/plc1.toml", (Mbap, Same), (Mbap, Same), |a| {
            matches!(a, [_, _, 0, 0, 0, 3, _, 0x80..=0xff, 1 | 3 | 6])
        }),
        protocol!("examples/redis/cache.toml", (Resp, Command), (Resp, Same), |a| a
            .starts_with(b"-")),
        protocol!("examples/hl7/admit.toml", (Block, Same), (Block, Same), |a| {
            a.starts_with(b"\x0bMSH|^~\\&|SEGWAN|WARD1|")
        }),
        protocol!("examples/mcp/tools.toml", (Line, Json), (Line, Json), is_error),
        protocol!("examples/transfer-ko/transfer-ko.toml", (Digits, Same), (Digits, Same), |a| {
            a.starts_with(b"00160210") && (a.ends_with(b"9001") || a.ends_with(b"9002"))
        }),
        protocol!("examples/ledger/ledger.toml", (Line, Json), (Line, Json), is_error),
        protocol!("examples/redis/news.toml", (Resp, Command), (Resp, Same), |a| a
            .starts_with(b"-")),
        protocol!("fuzz/contracts/json-rpc-headers.toml", (Headers, Body), (Headers, Body), |a| {
            body(a).is_some_and(is_error)
        }),
        protocol!("fuzz/contracts/printer.toml", (Line, Same), (Raw, Same), |_| false),
    ]
});

fn load(text: &str) -> Arc<Contract> {
    let files = |name: &str| match name {
        "error.schema.json" => {
            Ok(include_str!("../../examples/ledger/error.schema.json").to_owned())
        }
        _ => Err("no file".to_owned()),
    };
    match Contract::load("fuzz.toml", text, &files) {
        Ok((contract, _)) => contract,
        Err(findings) => {
            panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>())
        }
    }
}

fn json(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

fn is_error(answer: &[u8]) -> bool {
    json(answer).is_some_and(|answer| answer["error"]["code"].is_i64())
}

fuzz_target!(|data: &[u8]| {
    let [which, cuts, script @ ..] = data else { return };
    let protocol = &PROTOCOLS[usize::from(which & 0x7f) % PROTOCOLS.len()];
    let deny = which & 0x80 != 0;
    let steps = steps(script);
    let whole = run(protocol, deny, &steps, Cuts::None, false);
    whole.holds(protocol);
    if protocol.contract.name() == "news/1" {
        subscriber::hears(&whole.to_server, &whole.accepted(Side::Server, Wire::Resp));
    }
    let whole = whole.heard();
    for cuts in [Cuts::Bytes, Cuts::Random(u32::from(*cuts) + 1)] {
        assert_eq!(run(protocol, deny, &steps, cuts, false).heard(), whole, "in other pieces");
    }
    // As the gateway does: a side is read only while it is wanted.
    run(protocol, deny, &steps, Cuts::Random(u32::from(*cuts) + 7), true).holds(protocol);
});

enum Step {
    Say(Side, Vec<u8>),
    End(Side, bool),
    Deadline,
    Wait(Duration),
}

/// The steps of a script; what one side says in adjacent steps is one.
fn steps(script: &[u8]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for step in script.split(|byte| *byte == 0x1e) {
        let Some((op, bytes)) = step.split_first() else { continue };
        let side = match op {
            b'c' => Side::Client,
            b's' => Side::Server,
            b'C' | b'S' | b'X' | b'Y' => {
                let side = if matches!(op, b'C' | b'X') { Side::Client } else { Side::Server };
                steps.push(Step::End(side, matches!(op, b'C' | b'S')));
                continue;
            }
            b't' => {
                steps.push(Step::Deadline);
                continue;
            }
            b'w' => {
                let tenths = bytes.first().copied().unwrap_or_default();
                steps.push(Step::Wait(Duration::from_millis(100) * u32::from(tenths)));
                continue;
            }
            _ => continue,
        };
        match steps.last_mut() {
            Some(Step::Say(last, said)) if *last == side => said.extend_from_slice(bytes),
            _ => steps.push(Step::Say(side, bytes.to_vec())),
        }
    }
    steps
}

/// How the bytes that a side says arrive.
#[derive(Clone, Copy)]
enum Cuts {
    None,
    Bytes,
    Random(u32),
}

impl Cuts {
    fn next(&mut self) -> usize {
        match self {
            Self::None => usize::MAX,
            Self::Bytes => 1,
            Self::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 17;
                *state ^= *state << 5;
                // Mostly small, at times more than a message.
                1 + *state as usize % if *state & 0x700 == 0 { 200 } else { 9 }
            }
        }
    }
}

/// What a side said that was not taken yet.
#[derive(Default)]
struct Queue {
    bytes: VecDeque<u8>,
    /// Its end, orderly or not.
    end: Option<bool>,
    over: bool,
}

/// All that went into a session and came out of it.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// What each side said before its end or the session's.
    said: [Vec<u8>; 2],
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// Which messages of which side were let through, in their order.
    cleared: [Vec<u64>; 2],
    refused: Vec<(Option<Reason>, Option<u64>)>,
    fins: (bool, bool),
    end: Option<Ending>,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

struct Run {
    session: Session,
    now: Now,
    cuts: Cuts,
    heeds: bool,
    queues: [Queue; 2],
    outcome: Outcome,
}

fn run(protocol: &Protocol, deny: bool, steps: &[Step], cuts: Cuts, heeds: bool) -> Outcome {
    let now = Now { instant: *START, unix_ms: 1_700_000_000_000 };
    let contract = Arc::clone(&protocol.contract);
    let session = Session::open(Warrant::Rehearsed(!deny), contract, &Limits::default(), now);
    let session = session.recording_cleared();
    let (queues, outcome) = Default::default();
    let mut run = Run { session, now, cuts, heeds, queues, outcome };
    for step in steps {
        match step {
            Step::Say(side, said) => {
                let queue = &mut run.queues[*side as usize];
                if queue.end.is_none() {
                    queue.bytes.extend(said);
                }
            }
            Step::End(side, clean) => {
                run.queues[*side as usize].end.get_or_insert(*clean);
            }
            Step::Deadline => {
                if let Some(at) = run.session.deadline() {
                    run.wait(at.saturating_duration_since(run.now.instant));
                }
            }
            Step::Wait(wait) => run.wait(*wait),
        }
        run.feed();
    }
    run.outcome
}

impl Run {
    /// Gives the session what waits, side by side while one of them is taken from.
    fn feed(&mut self) {
        loop {
            let sides = [Side::Client, Side::Server];
            if sides.map(|side| self.feed_side(side)) == [false, false] {
                return;
            }
        }
    }

    fn feed_side(&mut self, side: Side) -> bool {
        let mut fed = false;
        loop {
            let at = side as usize;
            if self.outcome.end.is_some() || self.heeds && !self.session.wants(side) {
                return fed;
            }
            let queue = &mut self.queues[at];
            let mut out = Outbox::default();
            if !queue.bytes.is_empty() {
                let size = self.cuts.next().min(queue.bytes.len());
                let piece: Vec<u8> = queue.bytes.drain(..size).collect();
                self.outcome.said[at].extend_from_slice(&piece);
                self.session.receive(side, &piece, None, self.now, &mut out);
            } else if let Some(clean) = queue.end.filter(|_| !queue.over) {
                queue.over = true;
                self.session.end(side, clean, None, self.now, &mut out);
            } else {
                return fed;
            }
            fed = true;
            self.outcome.take(out);
            self.delivered();
        }
    }

    fn wait(&mut self, wait: Duration) {
        self.now = self.now.after(wait);
        let now = self.now.instant;
        // Each tick does what is due; a session that always wanted another would hang its thread.
        for _ in 0..100 {
            if self.session.deadline().is_none_or(|due| due > now) {
                return;
            }
            let mut out = Outbox::default();
            self.session.tick(None, self.now, &mut out);
            self.outcome.take(out);
            self.delivered();
        }
        panic!("a deadline that stays due");
    }

    fn delivered(&mut self) {
        let mut out = Outbox::default();
        self.session.delivered(None, self.now, &mut out);
        self.outcome.take(out);
    }
}

impl Outcome {
    fn take(&mut self, out: Outbox) {
        let (to_server, to_client) = (out.to_server.as_slice(), out.to_client.as_slice());
        let silent = to_server.is_empty() && to_client.is_empty() && out.events.is_empty();
        assert!(self.end.is_none() || silent && out.end.is_none(), "after its end");
        self.to_server.extend_from_slice(to_server);
        self.to_client.extend_from_slice(to_client);
        for event in &out.events {
            match (event.event, event.direction, event.frame) {
                (EventKind::Cleared, Some("client"), Some(frame)) => self.cleared[0].push(frame),
                (EventKind::Cleared, Some("server"), Some(frame)) => self.cleared[1].push(frame),
                (EventKind::Rejected, ..) => self.refused.push((event.reason, event.frame)),
                other => panic!("no such event: {other:?}"),
            }
        }
        self.fins.0 |= out.fin_to_server;
        self.fins.1 |= out.fin_to_client;
        self.end = self.end.take().or(out.end);
    }

    /// What came out alone: of what was said, nothing is taken behind the end.
    fn heard(self) -> Self {
        Self { said: Default::default(), ..self }
    }

    /// The messages of a side that were let through, as this reader finds them in its bytes.
    fn accepted(&self, side: Side, wire: Wire) -> VecDeque<&[u8]> {
        let messages = wire.messages(&self.said[side as usize]);
        let cleared = &self.cleared[side as usize];
        assert!(cleared.is_sorted_by(|a, b| a < b), "each at most once, in their order");
        let message = |frame: &u64| match messages.get(*frame as usize - 1) {
            Some(message) => *message,
            None => panic!("message {frame} of the {side:?} is not whole"),
        };
        cleared.iter().map(message).collect()
    }

    fn holds(&self, protocol: &Protocol) {
        let (wire, spelling) = protocol.client;
        let mut due = self.accepted(Side::Client, wire);
        for written in wire.all(&self.to_server) {
            let message = due.pop_front().expect("more than was let through");
            assert!(spelling.same(message, written), "{message:?} became {written:?}");
        }
        assert!(due.is_empty(), "the service did not get all that was let through");

        let (wire, spelling) = protocol.server;
        if matches!(wire, Wire::Raw) {
            assert_eq!(self.to_client, self.said[1], "what is not inspected passes as it is");
            return;
        }
        let mut due = self.accepted(Side::Server, wire);
        let mut own = 0;
        for written in wire.all(&self.to_client) {
            if due.front().is_some_and(|message| spelling.same(message, written)) {
                due.pop_front();
            } else {
                assert!((protocol.own)(written), "the client got {written:?}");
                own += 1;
            }
        }
        assert!(due.is_empty(), "the client did not get all that was let through");
        assert!(own <= self.refused.len(), "more answers than refusals");
    }
}

impl Wire {
    /// The whole messages at the start of what a side said.
    fn messages(self, mut said: &[u8]) -> Vec<&[u8]> {
        let mut messages = Vec::new();
        while let Some(size) = self.size(said).filter(|size| *size > 0 && *size <= said.len()) {
            let (message, rest) = said.split_at(size);
            messages.push(message);
            said = rest;
        }
        messages
    }

    /// The messages in what was written, which must be nothing but whole ones.
    fn all(self, written: &[u8]) -> Vec<&[u8]> {
        let messages = self.messages(written);
        let size: usize = messages.iter().map(|message| message.len()).sum();
        assert_eq!(size, written.len(), "part of a message was written: {written:?}");
        messages
    }

    /// How long the first message is, if that can be told.
    fn size(self, said: &[u8]) -> Option<usize> {
        match self {
            Self::Line => Some(said.iter().position(|byte| *byte == b'\n')? + 1),
            Self::Stream => Some(said.len()),
            Self::Mbap => Some(6 + usize::from(u16::from_be_bytes(*said.get(4..)?.first_chunk()?))),
            Self::Block => Some(said.windows(2).position(|pair| pair == b"\x1c\r")? + 2),
            Self::Digits => {
                Some(4 + std::str::from_utf8(said.get(..4)?).ok()?.parse::<usize>().ok()?)
            }
            Self::Resp => resp(said),
            Self::Headers => {
                let end = said.windows(4).position(|end| end == b"\r\n\r\n")?;
                let headers = std::str::from_utf8(&said[..end]).ok()?.split("\r\n");
                let header = |line: &str| {
                    let (name, value) = line.split_once(':')?;
                    let length = name.eq_ignore_ascii_case("content-length");
                    length.then(|| value.trim().parse::<usize>().ok())?
                };
                Some(end + 4 + headers.filter_map(header).next()?)
            }
            Self::Raw => None,
        }
    }
}

/// What follows the headers.
fn body(message: &[u8]) -> Option<&[u8]> {
    let end = message.windows(4).position(|end| end == b"\r\n\r\n")?;
    message.get(end + 4..)
}

/// How long the first RESP value is; an attribute belongs to the value after it.
fn resp(said: &[u8]) -> Option<usize> {
    let (mut at, mut due) = (0, 1_usize);
    while due > 0 {
        let line = said.get(at..)?;
        let end = line.windows(2).position(|pair| pair == b"\r\n")?;
        let count = || std::str::from_utf8(&line[1..end]).ok()?.parse::<i64>().ok();
        at += end + 2;
        due -= 1;
        match line[0] {
            b'$' | b'=' | b'!' => at += usize::try_from(count()?).map_or(0, |size| size + 2),
            b'*' | b'~' | b'>' => due += usize::try_from(count()?).unwrap_or_default(),
            b'%' => due += 2 * usize::try_from(count()?).unwrap_or_default(),
            b'|' => due += 2 * usize::try_from(count()?).unwrap_or_default() + 1,
            _ => {}
        }
        if due > said.len() {
            return None;
        }
    }
    Some(at)
}

impl Spelling {
    fn same(self, message: &[u8], written: &[u8]) -> bool {
        match self {
            Self::Same => message == written,
            Self::Newline => {
                let line = message.strip_suffix(b"\n").unwrap_or(message);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                written.strip_suffix(b"\n") == Some(line)
            }
            Self::Json => match (json(message), json(written)) {
                (Some(message), Some(written)) => same_value(&message, &written),
                _ => false,
            },
            Self::Body => match (body(message), body(written)) {
                (Some(message), Some(written)) => Self::Json.same(message, written),
                _ => false,
            },
            Self::Command => match (words(message), words(written)) {
                (Some(mut message), Some(written)) => {
                    // Of some commands the second word is one of them too.
                    for (word, other) in message.iter_mut().zip(&written).take(2) {
                        if word.to_ascii_uppercase() == *other {
                            word.make_ascii_uppercase();
                        }
                    }
                    message == written
                }
                _ => false,
            },
        }
    }
}

/// Equal, where 1 and 1.0 are the same number.
fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_value(a, b)))
        }
        _ => a == b,
    }
}

/// The words of a command.
fn words(command: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = command;
    let count = number(&mut rest, b"*")?;
    let mut words = Vec::new();
    for _ in 0..count {
        let size = number(&mut rest, b"$")?;
        let (word, after) = rest.split_at_checked(size)?;
        words.push(word.to_vec());
        rest = after.strip_prefix(b"\r\n")?;
    }
    rest.is_empty().then_some(words)
}

/// Takes a line of this kind, which holds a number.
fn number(rest: &mut &[u8], kind: &[u8]) -> Option<usize> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let line = rest[..end].strip_prefix(kind)?;
    *rest = &rest[end + 2..];
    std::str::from_utf8(line).ok()?.parse().ok()
}
