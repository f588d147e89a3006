//! Every contract of the repository: what its own tests say is judged alike however it arrives,
//! one message after the other, byte by byte, in any pieces, and all that one side says in one.

use proptest::prelude::*;
use proptest::sample::Index;
use segwan_core::contract::test::exchanges;
use segwan_core::contract::{Contract, Side};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::rejection::Reason;
use segwan_core::session::{Ending, Outbox, Session, Warrant};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// What is said by one side, message by message, until the other side speaks.
type Said = (Side, Vec<Vec<u8>>);

struct Known {
    file: String,
    contract: Arc<Contract>,
    exchanges: Vec<Vec<(Side, Vec<u8>)>>,
}

static CONTRACTS: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for below in ["examples", "fuzz/contracts", "bench", "crates"] {
        contracts_below(&root.join(below), &mut files);
    }
    files.sort();
    files.iter().map(|file| load(file)).collect()
});

fn contracts_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && !entry.ends_with("target") {
            contracts_below(&entry, files);
        } else if entry.extension().is_some_and(|of| of == "toml") {
            let text = std::fs::read_to_string(&entry).unwrap();
            let number =
                |text: &str| text.strip_suffix('"').is_some_and(|n| n.parse::<u16>().is_ok());
            let named = |line: &str| {
                let name = line.strip_prefix("contract").and_then(|rest| rest.rsplit_once('/'));
                name.is_some_and(|(_, version)| number(version))
            };
            if text.lines().any(named) {
                files.push(entry);
            }
        }
    }
}

fn load(file: &Path) -> Known {
    let text = std::fs::read_to_string(file).unwrap();
    let beside = file.parent().unwrap();
    let read =
        |name: &str| std::fs::read_to_string(beside.join(name)).map_err(|error| error.to_string());
    let name = file.display().to_string();
    match Contract::load(&name, &text, &read) {
        Ok((contract, _)) => {
            let exchanges = exchanges(&contract);
            Known { file: name, contract, exchanges }
        }
        Err(findings) => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            panic!("{}", findings.join("\n"))
        }
    }
}

/// All that came out of a session.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    verdicts: Vec<(Option<Reason>, Option<u64>, Option<String>)>,
    end: Option<Ending>,
}

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says everything and then the ends, in pieces of the size that `cut` gives.
fn run(
    contract: &Arc<Contract>,
    said: &[Said],
    whole: bool,
    cut: &mut dyn FnMut() -> usize,
) -> Outcome {
    let now = Now { instant: *START, unix_ms: 0 };
    let warrant = Warrant::Rehearsed(true);
    let session = Session::open(warrant, Arc::clone(contract), &Limits::default(), now);
    let (mut session, mut outcome) = (session.recording_cleared(), Outcome::default());
    let mut took = |out: &Outbox| {
        outcome.to_server.extend_from_slice(out.to_server.as_slice());
        outcome.to_client.extend_from_slice(out.to_client.as_slice());
        let verdict =
            |event: &segwan_core::audit::Event| (event.reason, event.frame, event.message.clone());
        outcome.verdicts.extend(out.events.iter().map(verdict));
        outcome.end = outcome.end.take().or_else(|| out.end.clone());
    };
    for (side, messages) in said {
        let joined = [messages.concat()];
        for message in if whole { &joined[..] } else { messages } {
            let mut rest = message.as_slice();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(cut().clamp(1, rest.len()));
                let mut out = Outbox::default();
                session.receive(*side, piece, None, now, &mut out);
                session.delivered(None, now, &mut out);
                took(&out);
                rest = behind;
            }
        }
    }
    for side in [Side::Client, Side::Server] {
        let mut out = Outbox::default();
        session.end(side, true, None, now, &mut out);
        took(&out);
    }
    outcome
}

/// What adjacent messages of one side are, in their order.
fn by_side(messages: Vec<(Side, Vec<u8>)>) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    for (side, message) in messages {
        match said.last_mut() {
            Some((last, messages)) if *last == side => messages.push(message),
            _ => said.push((side, vec![message])),
        }
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    // TRAP-01, P6: whole, byte by byte, in pieces and coalesced.
    #[test]
    fn every_contract_of_the_repository_gives_one_verdict_however_the_bytes_come(
        which in any::<Index>(),
        picks in proptest::collection::vec(any::<Index>(), 1..6),
        harm in proptest::option::of((any::<Index>(), any::<Index>(), any::<u8>())),
        cuts in proptest::collection::vec(1_usize..40, 1..9),
    ) {
        let known = which.get(&CONTRACTS);
        prop_assume!(!known.exchanges.is_empty());
        let picked = picks.iter().flat_map(|pick| pick.get(&known.exchanges).clone());
        let mut messages: Vec<(Side, Vec<u8>)> = picked.collect();
        if let Some((message, byte, value)) = harm {
            let at = message.index(messages.len());
            let message = &mut messages[at].1;
            if !message.is_empty() {
                let at = byte.index(message.len());
                message[at] = value;
            }
        }
        let said = by_side(messages);
        let contract = &known.contract;
        let apart = run(contract, &said, false, &mut || usize::MAX);
        let joined = run(contract, &said, true, &mut || usize::MAX);
        prop_assert_eq!(&joined, &apart, "{}: coalesced", known.file);
        let bytes = run(contract, &said, true, &mut || 1);
        prop_assert_eq!(&bytes, &apart, "{}: byte by byte", known.file);
        let mut cuts = cuts.iter().cycle();
        let pieces = run(contract, &said, true, &mut || cuts.next().copied().unwrap_or(1));
        prop_assert_eq!(&pieces, &apart, "{}: in pieces", known.file);
    }
}

// The property means something: each contract's own tests let messages pass and refuse others.
#[test]
fn the_contracts_of_the_repository_are_found_and_say_something() {
    assert!(CONTRACTS.len() >= 25, "{}", CONTRACTS.len());
    let example = |known: &&Known| known.file.contains("examples");
    for known in CONTRACTS.iter().filter(example) {
        let (mut passed, mut refused) = (0, 0);
        for exchange in &known.exchanges {
            let said = by_side(exchange.clone());
            let outcome = run(&known.contract, &said, false, &mut || usize::MAX);
            refused += outcome.verdicts.iter().filter(|(reason, ..)| reason.is_some()).count();
            passed += outcome.verdicts.iter().filter(|(reason, ..)| reason.is_none()).count();
        }
        assert!(passed > 0 && refused > 0, "{}: {passed} {refused}", known.file);
    }
}

/// What programs of other protocols say first.
const OTHERS: [(&str, &[u8]); 5] = [
    ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n\x00\x00\x05\x3c\x08\x14"),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    (
        "TLS",
        b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\
          \x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x00\x00\x02\
          \x13\x01\x01\x00\x00\x00",
    ),
    ("SMTP", b"EHLO localhost\r\nMAIL FROM:<a@b>\r\n"),
];

// TRAP-07: spoken to every text, binary and codec contract of the repository.
#[test]
fn who_speaks_another_protocol_reaches_no_service() {
    for known in CONTRACTS.iter() {
        for (protocol, said) in OTHERS {
            let said = [(Side::Client, vec![said.to_vec()])];
            let whole = run(&known.contract, &said, false, &mut || usize::MAX);
            let bytes = run(&known.contract, &said, false, &mut || 1);
            assert_eq!(whole, bytes, "{protocol} to {}", known.file);
            assert_eq!(whole.to_server, b"", "{protocol} to {}", known.file);
            let refused = whole.verdicts.iter().all(|(reason, ..)| reason.is_some());
            assert!(refused, "{protocol} to {}: {:?}", known.file, whole.verdicts);
            let told = whole.end.is_some() || !whole.verdicts.is_empty();
            assert!(told, "{protocol} to {} is not noticed", known.file);
        }
    }
}
