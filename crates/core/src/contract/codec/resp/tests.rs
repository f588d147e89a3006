//! `resp` as a session sees it: what passes, in which spelling, and what never reaches a service.

mod commands;
mod exchange;
mod pieces;
mod replies;
mod subscriptions;

use crate::contract::{Contract, Side};
use crate::limits::Limits;
use crate::now::Now;
use crate::rejection::{Class, Reason};
use crate::session::{Ending, Outbox, Session, Warrant};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

const HEAD: &str = r#"
contract = "cache/1"
codec    = "resp"

[limits]
message        = 4096
server_message = 4096
nodes          = 64
depth          = 3
refusals       = 10000
"#;

/// A contract of these messages.
fn load(messages: &str) -> Result<Arc<Contract>, Vec<String>> {
    let text = format!("{HEAD}\n{messages}");
    let loaded = Contract::load("cache.toml", &text, &|_| Err("no file".to_owned()));
    let told = |findings: Vec<crate::finding::Finding>| {
        findings.into_iter().map(|finding| finding.to_string()).collect()
    };
    loaded.map(|(contract, _)| contract).map_err(told)
}

/// One message for these commands, and what else is said of it.
fn message(commands: &str, more: &str) -> String {
    format!("[[client.message]]\nname = \"m\"\nmatch = [{commands}]\naction = \"do\"\n{more}\n")
}

static CACHE: LazyLock<Arc<Contract>> = LazyLock::new(|| {
    let text = r#"
[[client.message]]
name     = "get"
match    = ["GET", "MGET"]
action   = "redis.read"
resource = "key/${keys[*]}"

[[client.message]]
name   = "ping"
match  = ["PING"]
action = "redis.session"

[[client.message]]
name       = "client"
match      = ["CLIENT"]
action     = "redis.session"
fields.sub = { enum = ["ID", "SETNAME"] }

[[client.message]]
name   = "log-in"
match  = ["AUTH", "HELLO"]
action = "redis.session"

[reject]
denied     = { reply = "error:NOPERM not allowed", then = "continue", max = 10000 }
undeclared = { reply = "error:ERR not accepted", then = "continue", max = 10000 }
invalid    = { reply = "error:ERR not accepted", then = "continue", max = 10000 }
"#;
    load(text).unwrap()
});

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
static NOW: LazyLock<Now> = LazyLock::new(|| Now { instant: Instant::now(), unix_ms: 0 });

/// All that came out of a session.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    service: Vec<u8>,
    peer: Vec<u8>,
    refused: Vec<(Option<Reason>, Option<Class>)>,
    sentences: String,
    end: Option<Ending>,
}

impl Seen {
    /// Adds what a session gave; says whether that was anything.
    fn take(&mut self, out: Outbox) -> bool {
        let before = (self.service.len(), self.peer.len(), self.refused.len());
        self.service.extend_from_slice(out.to_server.as_slice());
        self.peer.extend_from_slice(out.to_client.as_slice());
        self.refused.extend(out.events.iter().map(|event| (event.reason, event.class)));
        self.sentences.extend(out.events.iter().map(|event| event.sentence.as_str()));
        self.end = self.end.take().or(out.end);
        before != (self.service.len(), self.peer.len(), self.refused.len())
    }
}

/// What both sides say, in this order and in pieces of this size.
fn talk(contract: &Arc<Contract>, said: &[(Side, &[u8])], piece: usize) -> Seen {
    let warrant = Warrant::NotJudged;
    let mut session = Session::open(warrant, Arc::clone(contract), &Limits::default(), *NOW);
    let mut seen = Seen::default();
    for (side, bytes) in said {
        for piece in bytes.chunks(piece.clamp(1, bytes.len().max(1))) {
            let mut out = Outbox::default();
            session.receive(*side, piece, None, *NOW, &mut out);
            // The peer takes all that it is given.
            while seen.take(std::mem::take(&mut out)) {
                session.delivered(None, *NOW, &mut out);
            }
        }
    }
    seen
}

/// What a client says alone.
fn say(bytes: impl AsRef<[u8]>) -> Seen {
    talk(&CACHE, &[(Side::Client, bytes.as_ref())], usize::MAX)
}

fn reason(bytes: impl AsRef<[u8]>) -> Option<Reason> {
    say(bytes).refused.first().and_then(|(reason, _)| *reason)
}

/// A command as clients write it.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn words(text: &str) -> Vec<u8> {
    command(&text.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

// K-91
#[test]
fn the_example_is_accepted_and_shows_all_that_it_declares() {
    let text = include_str!("../../../../../../examples/redis/cache.toml");
    let (_, findings) = Contract::load("cache.toml", text, &|_| Err("no file".to_owned())).unwrap();
    assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
}
