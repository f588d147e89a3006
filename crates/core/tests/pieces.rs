//! TCP keeps no borders: whatever parses a peer's bytes gives the same verdicts however they
//! arrive, for every kind of frame, each charset, strict JSON, both sides and each end.

use proptest::prelude::*;
use segwan_core::contract::frame::LengthType;
use segwan_core::contract::{Contract, Side};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::rejection::Reason;
use segwan_core::session::{Ending, Outbox, Session, Warrant};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// One contract for each way to write frames, with each way to read payloads.
static CONTRACTS: LazyLock<Vec<Arc<Contract>>> = LazyLock::new(|| {
    let mut frames: Vec<String> = [
        r#"kind = "lines", ends = ["\n"]"#,
        r#"kind = "lines", ends = ["\r\n"]"#,
        r#"kind = "lines", ends = ["\n", "\r\n"], empty = "skip""#,
        r#"kind = "lines", ends = ["\r\n", "\n"], at_eof = "accept""#,
        r#"kind = "delimiter", bytes = "\u0000""#,
        r#"kind = "delimiter", bytes = "\r\n.""#,
        r#"kind = "length", type = "u16be", at = 2, includes_header = true, magic = "hex:0300""#,
    ]
    .map(str::to_owned)
    .to_vec();
    frames.extend(LengthType::NAMES.map(|name| match name {
        "ascii-dec" => r#"kind = "length", type = "ascii-dec", digits = 3"#.to_owned(),
        name => format!(r#"kind = "length", type = "{name}""#),
    }));
    let text = |charset| format!(r#"kind = "text", charset = "{charset}""#);
    let decodes = [text("ascii"), text("utf-8"), text("latin1"), r#"kind = "json""#.to_owned()];
    let pairs = frames.iter().flat_map(|frame| decodes.iter().map(move |decode| (frame, decode)));
    pairs.map(|(frame, decode)| load(&contract(frame, decode))).collect()
});

fn contract(frame: &str, decode: &str) -> String {
    let rule = if decode.contains("json") {
        r#"fields.w = { regex = "[a-zé가-힣]{1,4}" }"#
    } else if decode.contains("utf-8") {
        "grammar = '(?P<w>[a-zé가-힣]{1,4})'\nfields.w = { len = [1, 4] }"
    } else if decode.contains("latin1") {
        "grammar = '(?P<w>[a-zé]{1,4})'\nfields.w = { len = [1, 4] }"
    } else {
        "grammar = '(?P<w>[a-z]{1,4})'\nfields.w = { len = [1, 4] }"
    };
    format!(
        r#"
contract = "pieces/1"
title = "words"
[limits]
message = 40
in_flight = 3
[client]
frame = {{ {frame} }}
decode = {{ {decode} }}
[[client.message]]
name = "ask"
{rule}
action = "ask"
[server]
frame = {{ {frame} }}
decode = {{ {decode} }}
[[server.message]]
name = "tell"
answers = ["ask"]
{rule}
[reject]
invalid = {{ then = "continue", max = 3 }}
server = {{ then = "close" }}
"#
    )
}

fn load(text: &str) -> Arc<Contract> {
    match Contract::load("pieces.toml", text, &|_| Err("no file".to_owned())) {
        Ok((contract, _)) => contract,
        Err(findings) => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            panic!("{}\n{text}", findings.join("\n"))
        }
    }
}

/// What one side does.
#[derive(Debug, Clone)]
enum Step {
    /// Says a payload in its frame, or what no frame holds as it is.
    Say(Side, Vec<u8>),
    /// Says bytes that nobody framed.
    Raw(Side, Vec<u8>),
    End(Side, bool),
}

/// All that came out of a session.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    refused: Vec<(Option<Reason>, Option<u64>)>,
    passed: Vec<(Side, Vec<u8>)>,
    fins: (bool, bool),
    end: Option<Ending>,
}

impl Outcome {
    fn take(&mut self, out: Outbox) {
        for passed in &out.passed {
            let bytes = match passed.by {
                Side::Client => &out.to_server,
                Side::Server => &out.to_client,
            };
            self.passed.push((passed.by, bytes.as_slice()[passed.payload.clone()].to_vec()));
        }
        self.to_server.extend_from_slice(out.to_server.as_slice());
        self.to_client.extend_from_slice(out.to_client.as_slice());
        self.refused.extend(out.events.iter().map(|event| (event.reason, event.frame)));
        self.fins.0 |= out.fin_to_server;
        self.fins.1 |= out.fin_to_client;
        self.end = self.end.take().or(out.end);
    }
}

/// What each side says until the other speaks or it ends, as one stream.
fn joined(contract: &Contract, steps: &[Step]) -> Vec<Step> {
    let mut streams: Vec<Step> = Vec::new();
    let mut over = Vec::new();
    for step in steps {
        let (side, bytes) = match step {
            Step::End(side, _) => {
                over.push(*side);
                streams.push(step.clone());
                continue;
            }
            Step::Say(side, payload) => {
                (*side, contract.framed(*side, payload).unwrap_or_else(|_| payload.clone()))
            }
            Step::Raw(side, bytes) => (*side, bytes.clone()),
        };
        if over.contains(&side) {
            continue;
        }
        match streams.last_mut() {
            Some(Step::Raw(last, said)) if *last == side => said.extend(bytes),
            _ => streams.push(Step::Raw(side, bytes)),
        }
    }
    streams
}

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn run(contract: &Arc<Contract>, streams: &[Step], pieces: &mut dyn FnMut() -> usize) -> Outcome {
    let now = Now { instant: *START, unix_ms: 0 };
    let limits = Limits::default();
    let session = Session::open(Warrant::NotJudged, Arc::clone(contract), &limits, now);
    let (mut session, mut outcome) = (session.listing_passed(), Outcome::default());
    for step in streams {
        match step {
            Step::End(side, clean) => {
                let mut out = Outbox::default();
                session.end(*side, *clean, None, now, &mut out);
                outcome.take(out);
            }
            Step::Say(side, bytes) | Step::Raw(side, bytes) => {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (piece, behind) = rest.split_at(pieces().clamp(1, rest.len()));
                    let mut out = Outbox::default();
                    session.receive(*side, piece, None, now, &mut out);
                    outcome.take(out);
                    rest = behind;
                }
            }
        }
    }
    outcome
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let side = || prop_oneof![3 => Just(Side::Client), 2 => Just(Side::Server)];
    let payload = prop_oneof![
        4 => "[a-z]{1,4}".prop_map(String::into_bytes),
        4 => "\\{\"w\":\"([a-z]|é|한|\\\\u00e9){1,4}\"\\}".prop_map(String::into_bytes),
        2 => "([a-z]|é|한|\u{1f600}|²){0,5}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => proptest::collection::vec(any::<u8>(), 30..50),
    ];
    let hostile = prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..8),
        2 => proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(0), Just(b'.'), Just(b'a'), Just(b'3'), Just(0x80)],
            0..8
        ),
    ];
    let step = prop_oneof![
        12 => (side(), payload).prop_map(|(side, payload)| Step::Say(side, payload)),
        2 => (side(), hostile).prop_map(|(side, bytes)| Step::Raw(side, bytes)),
        1 => (side(), any::<bool>()).prop_map(|(side, clean)| Step::End(side, clean)),
    ];
    proptest::collection::vec(step, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    // TRAP-01, P6, S1b, S1d
    #[test]
    fn both_sides_get_the_same_verdicts_in_any_pieces(
        which in any::<proptest::sample::Index>(),
        steps in steps(),
        cuts in proptest::collection::vec(1_usize..9, 1..9),
    ) {
        let contract = which.get(&CONTRACTS);
        let streams = joined(contract, &steps);
        let whole = run(contract, &streams, &mut || usize::MAX);
        prop_assert_eq!(&run(contract, &streams, &mut || 1), &whole);
        let mut cuts = cuts.iter().cycle();
        prop_assert_eq!(&run(contract, &streams, &mut || cuts.next().copied().unwrap_or(1)), &whole);
        // No byte of what was refused or incomplete reached the service: its stream is the
        // messages that passed and nothing else.
        for (_, payload) in whole.passed.iter().filter(|(by, _)| *by == Side::Client) {
            let alone = [Step::Say(Side::Client, payload.clone()), Step::End(Side::Client, true)];
            let alone = run(contract, &joined(contract, &alone), &mut || usize::MAX);
            prop_assert_eq!(&alone.passed, &[(Side::Client, payload.clone())]);
        }
        let mut sent = whole.to_server.as_slice();
        for (_, payload) in whole.passed.iter().filter(|(by, _)| *by == Side::Client) {
            let at = sent.windows(payload.len()).position(|at| at == payload);
            let at = at.expect("what passed was sent");
            prop_assert!(at <= 8, "bytes that belong to no message");
            sent = &sent[at + payload.len()..];
        }
        prop_assert!(sent.len() <= 3, "bytes behind the last message");
    }
}

// The generator means something: messages pass, and are refused, for every contract.
#[test]
fn every_contract_lets_a_word_pass_and_refuses_a_number() {
    for contract in CONTRACTS.iter() {
        let said = |payload: &str| {
            let step = [Step::Say(Side::Client, payload.as_bytes().to_vec())];
            run(contract, &joined(contract, &step), &mut || usize::MAX)
        };
        let passed = said("abc").passed.len() + said("{\"w\":\"abc\"}").passed.len();
        assert_eq!(passed, 1);
        assert_eq!(said("123").refused.len(), 1);
    }
}

// TRAP-01: the operator's sentence as well.
#[test]
fn wrong_magic_bytes_are_told_alike_however_they_arrive() {
    let frame = r#"kind = "length", type = "u8", at = 2, magic = "hex:0300""#;
    let contract = load(&contract(frame, r#"kind = "text", charset = "ascii""#));
    let stream = [Step::Raw(Side::Client, b"GET / HTTP/1.1\r\n".to_vec())];
    let whole = run(&contract, &stream, &mut || usize::MAX);
    assert_eq!(run(&contract, &stream, &mut || 1), whole);
    let sentence = whole.end.map(|end| end.sentence);
    let told = "the frame begins with `G`, not with the magic bytes `03 00`";
    assert_eq!(sentence.as_deref(), Some(told));
}

// CON-26, TRAP-01: what follows the last answer that was due is not judged any more.
#[test]
fn a_closing_session_ends_with_the_last_answer_whatever_came_with_it() {
    let frame = r#"kind = "length", type = "u8""#;
    let contract = load(&contract(frame, r#"kind = "text", charset = "ascii""#));
    let streams = [
        Step::Raw(Side::Client, b"\x01a\xff".to_vec()),
        Step::Raw(Side::Server, b"\x01b\x01c".to_vec()),
    ];
    let whole = run(&contract, &streams, &mut || usize::MAX);
    assert_eq!(run(&contract, &streams, &mut || 1), whole);
    assert_eq!(whole.to_client, b"\x01b");
    assert_eq!(whole.end.map(|end| end.reason), Some(Reason::FrameTooLarge));
}

// TRAP-01, CON-18: a request that waits for room is judged before the next reply is.
#[test]
fn a_waiting_request_goes_on_with_the_first_reply_whatever_came_with_it() {
    let frame = r#"kind = "length", type = "u8""#;
    let contract = load(&contract(frame, r#"kind = "text", charset = "ascii""#));
    let streams = [
        Step::Raw(Side::Client, b"\x01a\x01b\x01c\x01d".to_vec()),
        Step::Raw(Side::Server, b"\x01a\x01b\x01c\x01d".to_vec()),
    ];
    let whole = run(&contract, &streams, &mut || usize::MAX);
    assert_eq!(run(&contract, &streams, &mut || 1), whole);
    assert_eq!((whole.to_client.len(), whole.end), (8, None));
}
