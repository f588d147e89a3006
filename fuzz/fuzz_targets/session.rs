//! Both sides of a session say random messages in random pieces and end at random places.
//!
//! The verdicts and the bytes for both sides are the same byte by byte, in pieces and joined; no
//! byte of a refused or incomplete message reaches the other side.
//!
//! Input: one byte chooses the contract, one the size of a piece; then steps, each ended by 0x1e:
//! `c` or `s` and what that side says; `C` or `S`, its orderly end; `X` or `Y`, its cut end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::contract::{Contract, Side};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::rejection::Reason;
use segwan_core::session::{Ending, Outbox, Session, Warrant};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

static CONTRACTS: LazyLock<Vec<Arc<Contract>>> = LazyLock::new(|| {
    let texts = [
        include_str!("../../examples/article/add-ten.toml"),
        include_str!("../../examples/jsonl/inventory.toml"),
        include_str!("../contracts/binary.toml"),
        include_str!("../contracts/words.toml"),
        include_str!("../../examples/transfer-ko/transfer-ko.toml"),
        include_str!("../../crates/core/tests/decoders/valve.toml"),
        include_str!("../../crates/core/tests/decoders/words.toml"),
        include_str!("../../crates/core/tests/decoders/table.toml"),
        include_str!("../../crates/core/tests/decoders/pairs.toml"),
        include_str!("../contracts/json-rpc.toml"),
        include_str!("../../examples/hl7/admit.toml"),
        include_str!("../../crates/core/tests/frames/headers.toml"),
        include_str!("../../crates/core/tests/frames/netstring.toml"),
        include_str!("../../crates/core/tests/frames/switch.toml"),
        include_str!("../contracts/json-rpc-headers.toml"),
    ];
    texts.iter().map(|text| load(text)).collect()
});

fn load(text: &str) -> Arc<Contract> {
    let none = |_: &str| Err("no file".to_owned());
    match Contract::load("fuzz.toml", text, &none) {
        Ok((contract, _)) => contract,
        Err(findings) => {
            panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>())
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [contract, piece, script @ ..] = data else { return };
    let contract = &CONTRACTS[usize::from(*contract) % CONTRACTS.len()];
    let steps = joined(script);
    let whole = run(contract, &steps, usize::MAX);
    assert_eq!(run(contract, &steps, 1), whole, "byte by byte");
    assert_eq!(run(contract, &steps, usize::from(*piece).max(1)), whole, "in pieces");
    for passed in &whole.passed {
        passes_alone(contract, passed);
    }
    // Nothing but whole messages reached the service.
    let messages: Vec<u8> = whole
        .passed
        .iter()
        .filter(|(by, _)| *by == Side::Client)
        .flat_map(|(_, m)| m.clone())
        .collect();
    assert_eq!(messages, whole.to_server);
});

enum Step<'a> {
    Say(Side, Vec<&'a [u8]>),
    End(Side, bool),
}

/// The steps of a script; what one side says in adjacent steps is one.
fn joined(script: &[u8]) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
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
            _ => continue,
        };
        match steps.last_mut() {
            Some(Step::Say(last, said)) if *last == side => said.push(bytes),
            _ => steps.push(Step::Say(side, vec![bytes])),
        }
    }
    steps
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

fn run(contract: &Arc<Contract>, steps: &[Step<'_>], piece: usize) -> Outcome {
    let now = Now { instant: *START, unix_ms: 0 };
    let limits = Limits::default();
    let session = Session::open(Warrant::NotJudged, Arc::clone(contract), &limits, now);
    let mut session = session.listing_passed();
    let mut outcome = Outcome::default();
    let mut over = (false, false);
    for step in steps {
        match step {
            Step::Say(side, _) if over_of(*side, over) => {}
            Step::Say(side, said) => {
                let said = said.concat();
                for piece in said.chunks(piece.min(said.len()).max(1)) {
                    let mut out = Outbox::default();
                    session.receive(*side, piece, None, now, &mut out);
                    outcome.take(out);
                }
            }
            Step::End(side, clean) => {
                match side {
                    Side::Client => over.0 = true,
                    Side::Server => over.1 = true,
                }
                let mut out = Outbox::default();
                session.end(*side, *clean, None, now, &mut out);
                outcome.take(out);
            }
        }
    }
    outcome
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn over_of(side: Side, over: (bool, bool)) -> bool {
    match side {
        Side::Client => over.0,
        Side::Server => over.1,
    }
}

impl Outcome {
    fn take(&mut self, out: Outbox) {
        for passed in &out.passed {
            let bytes = match passed.by {
                Side::Client => &out.to_server,
                Side::Server => &out.to_client,
            };
            self.passed.push((passed.by, bytes.as_slice()[passed.frame.clone()].to_vec()));
        }
        self.to_server.extend_from_slice(out.to_server.as_slice());
        self.to_client.extend_from_slice(out.to_client.as_slice());
        self.refused.extend(out.events.iter().map(|event| (event.reason, event.frame)));
        assert!(out.end.is_none() || self.end.is_none(), "a session ends once");
        self.fins.0 |= out.fin_to_server;
        self.fins.1 |= out.fin_to_client;
        self.end = self.end.take().or(out.end);
    }
}

/// A message of the client that passed is a whole message: alone, in a new session, it passes as
/// the same bytes. What answers a question of the service passes only where that was asked.
fn passes_alone(contract: &Arc<Contract>, (by, frame): &(Side, Vec<u8>)) {
    let method = br#""method""#;
    let is_answer =
        contract.name() == "books/1" && !frame.windows(method.len()).any(|part| part == method);
    if *by == Side::Client && !is_answer {
        let again = run(contract, &[Step::Say(Side::Client, vec![frame])], usize::MAX);
        assert_eq!(again.to_server, *frame, "what passed is no message");
    }
}
