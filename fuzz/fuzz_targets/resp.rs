//! RESP from both sides, in pieces of any size: one verdict, and nothing for the service but whole
//! commands that a reader of its own understands.
//!
//! Input: one byte for the size of a piece, one for how much is the client's, then what the client
//! says and what the service answers.
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
    match Contract::load("resp.toml", include_str!("../contracts/resp.toml"), &none) {
        Ok((contract, _)) => contract,
        Err(findings) => {
            panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>())
        }
    }
});

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fuzz_target!(|data: &[u8]| {
    let [piece, share, said @ ..] = data else { return };
    let (client, server) = said.split_at(said.len() * usize::from(*share) / 255);
    let whole = run(client, server, usize::MAX);
    assert_eq!(run(client, server, 1), whole, "byte by byte");
    assert_eq!(run(client, server, usize::from(*piece).max(1)), whole, "in pieces");

    let passed = read(&whole.to_server);
    let spelled: Vec<u8> = passed.iter().flat_map(|words| spell(words)).collect();
    assert_eq!(spelled, whole.to_server, "what passed has another spelling");
    for words in &passed {
        let name = String::from_utf8(words[0].clone()).expect("a name is text");
        assert!(!name.is_empty() && name == name.to_uppercase(), "{name}");
        let again = run(&spell(words), b"", usize::MAX);
        assert_eq!(again.to_server, spell(words), "what passed does not pass alone");
    }
});

/// All that came out of a session.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    refused: Vec<(Option<Reason>, Option<u64>)>,
    end: Option<Ending>,
}

impl Outcome {
    /// Adds what a session gave; says whether that was anything.
    fn take(&mut self, out: Outbox) -> bool {
        let before = (self.to_server.len(), self.to_client.len(), self.refused.len());
        self.to_server.extend_from_slice(out.to_server.as_slice());
        self.to_client.extend_from_slice(out.to_client.as_slice());
        self.refused.extend(out.events.iter().map(|event| (event.reason, event.frame)));
        self.end = self.end.take().or(out.end);
        before != (self.to_server.len(), self.to_client.len(), self.refused.len())
    }
}

fn run(client: &[u8], server: &[u8], piece: usize) -> Outcome {
    let now = Now { instant: *START, unix_ms: 0 };
    let limits = Limits::default();
    let mut session = Session::open(Warrant::NotJudged, Arc::clone(&CONTRACT), &limits, now);
    let mut outcome = Outcome::default();
    for (side, said) in [(Side::Client, client), (Side::Server, server)] {
        for piece in said.chunks(piece.min(said.len()).max(1)) {
            let mut out = Outbox::default();
            session.receive(side, piece, None, now, &mut out);
            // The client takes all that it is given.
            while outcome.take(std::mem::take(&mut out)) {
                session.delivered(None, now, &mut out);
            }
        }
    }
    outcome
}

/// The words of commands, their lengths taken on trust.
fn read(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    fn number(bytes: &mut &[u8], mark: u8) -> usize {
        assert_eq!(bytes[0], mark);
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a line end");
        let text = std::str::from_utf8(&bytes[1..end]).expect("a number is text");
        *bytes = &bytes[end + 2..];
        text.parse().expect("a number")
    }
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let count = number(&mut bytes, b'*');
        let mut words = Vec::new();
        for _ in 0..count {
            let length = number(&mut bytes, b'$');
            words.push(bytes[..length].to_vec());
            assert_eq!(&bytes[length..length + 2], b"\r\n");
            bytes = &bytes[length + 2..];
        }
        commands.push(words);
    }
    commands
}

fn spell(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
