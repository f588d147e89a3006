//! A Modbus client says anything in random pieces, then its device does.
//!
//! The verdicts and the bytes for both sides are the same byte by byte, in pieces and joined; what
//! reaches a side is whole frames; what the gateway says by itself is exceptions of nine bytes.
//!
//! Input: one byte is the size of a piece, one how many bytes the client says; the rest are both.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::contract::{Contract, Side};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::rejection::Reason;
use segwan_core::session::{Ending, Outbox, Session, Warrant};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

static CONTRACT: LazyLock<Arc<Contract>> = LazyLock::new(|| {
    let none = |_: &str| Err("no file".to_owned());
    let text = include_str!("../contracts/units.toml");
    match Contract::load("units.toml", text, &none) {
        Ok((contract, _)) => contract,
        Err(findings) => {
            panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>())
        }
    }
});

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    reasons: Vec<Option<Reason>>,
    end: Option<Ending>,
}

fuzz_target!(|data: &[u8]| {
    let [piece, asked, said @ ..] = data else { return };
    let (client, server) = said.split_at(usize::from(*asked).min(said.len()));
    let whole = run(client, server, usize::MAX);
    assert_eq!(run(client, server, 1), whole, "byte by byte");
    assert_eq!(run(client, server, usize::from(*piece).max(1)), whole, "in pieces");
    frames(Side::Client, &whole.to_server);
    frames(Side::Server, &whole.to_client);
});

fn run(client: &[u8], server: &[u8], piece: usize) -> Outcome {
    let now = Now { instant: *START, unix_ms: 0 };
    let contract = Arc::clone(&CONTRACT);
    let mut session = Session::open(Warrant::NotJudged, contract, &Limits::default(), now);
    let mut outcome = Outcome::default();
    for (side, said) in [(Side::Client, client), (Side::Server, server)] {
        for piece in said.chunks(piece) {
            let mut out = Outbox::default();
            session.receive(side, piece, None, now, &mut out);
            outcome.to_server.extend_from_slice(out.to_server.as_slice());
            outcome.to_client.extend_from_slice(out.to_client.as_slice());
            outcome.reasons.extend(out.events.iter().map(|event| event.reason));
            outcome.end = outcome.end.take().or(out.end);
        }
    }
    outcome
}

/// What reached a side is whole frames and nothing else.
fn frames(side: Side, mut bytes: &[u8]) {
    while let [_, _, _, _, high, low, ..] = bytes {
        let size = 6 + usize::from(u16::from_be_bytes([*high, *low]));
        let (frame, rest) = bytes.split_at(size.min(bytes.len()));
        CONTRACT.one_frame(side, frame).expect("a whole frame");
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a part of a frame");
}
