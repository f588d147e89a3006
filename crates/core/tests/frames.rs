//! Contracts of each kind of frame, with their vectors, and what their keys may not say.

use segwan_core::contract::{Contract, Side};
use segwan_core::finding::Finding;
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::rejection::Reason;
use segwan_core::session::{Ending, Manner, Outbox, Session, Warrant};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ONCE: &str = include_str!("../../../examples/article/add-ten-once.toml");
const FIXED: &str = include_str!("frames/fixed.toml");
const ALL: [(&str, &str); 8] = [
    ("add-ten-once.toml", ONCE),
    ("netstring.toml", include_str!("frames/netstring.toml")),
    ("fixed.toml", FIXED),
    ("eof.toml", include_str!("frames/eof.toml")),
    ("mllp.toml", include_str!("frames/mllp.toml")),
    ("headers.toml", include_str!("frames/headers.toml")),
    ("octet-count.toml", include_str!("frames/octet-count.toml")),
    ("switch.toml", include_str!("frames/switch.toml")),
];

fn load(file: &str, text: &str) -> Result<Arc<Contract>, Vec<Finding>> {
    Contract::load(file, text, &|_| Err("no file".to_owned())).map(|(contract, _)| contract)
}

// CON-01: contracts.md 26.1 with `eof`, as it stands there, and one contract of each kind of frame.
#[test]
fn the_contracts_load_and_all_their_vectors_hold() {
    for (file, text) in ALL {
        let contract = load(file, text).unwrap_or_else(|findings| {
            panic!("{}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        assert_eq!(contract.tests().len(), text.matches("[[test]]").count());
    }
}

/// A client and a service of the number service that reads until the end.
struct Once {
    session: Session,
    now: Now,
    out: Outbox,
}

impl Once {
    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
    fn open(text: &str) -> Self {
        let now = Now { instant: Instant::now(), unix_ms: 0 };
        let contract = load("once.toml", text).unwrap();
        let session = Session::open(Warrant::Rehearsed(true), contract, &Limits::default(), now);
        Self { session, now, out: Outbox::default() }
    }

    fn say(&mut self, side: Side, bytes: &[u8], clean: bool) {
        self.session.receive(side, bytes, None, self.now, &mut self.out);
        self.session.end(side, clean, None, self.now, &mut self.out);
    }

    fn wait(&mut self, wait: Duration) {
        let until = self.now.after(wait);
        while let Some(at) = self.session.deadline().filter(|at| *at <= until.instant) {
            self.now = self.now.after(at.saturating_duration_since(self.now.instant));
            self.session.tick(None, self.now, &mut self.out);
        }
        self.now = until;
    }

    fn seen(&self) -> (&[u8], &[u8]) {
        (self.out.to_server.as_slice(), self.out.to_client.as_slice())
    }
}

// TRAP-05, TRAP-07, contracts.md 4.4
#[test]
fn a_number_is_whole_at_the_end_of_its_stream_and_its_answer_too() {
    let mut once = Once::open(ONCE);
    once.say(Side::Client, b"5", true);
    assert_eq!((once.seen(), once.out.fin_to_server), ((&b"5"[..], &b""[..]), true));
    // The wait for the answer is no unfinished message of the client's.
    once.wait(Duration::from_secs(4));
    assert_eq!(once.out.end, None);
    once.say(Side::Server, b"15", true);
    assert_eq!((once.seen(), once.out.fin_to_client), ((&b"5"[..], &b"15"[..]), true));
}

// TRAP-07, TRAP-17
#[test]
fn a_stream_that_was_cut_holds_no_number() {
    let mut once = Once::open(ONCE);
    once.say(Side::Client, b"5", false);
    assert_eq!(once.seen(), (&b""[..], &b""[..]));
    let Some(Ending { reason, client, server, .. }) = once.out.end else { panic!("goes on") };
    assert_eq!(reason, Reason::TruncatedStream);
    assert_eq!((client, server), (Manner::Reset, Manner::Reset));

    let mut once = Once::open(ONCE);
    once.say(Side::Client, b"5", true);
    once.say(Side::Server, b"15", false);
    assert_eq!(once.seen(), (&b"5"[..], &b""[..]));
    assert_eq!(once.out.end.map(|end| end.reason), Some(Reason::TruncatedAnswer));
}

#[test]
fn keys_out_of_their_range_are_refused_with_their_place() {
    for (frame, says) in [
        ("{ kind = \"fixed\" }", "`size`"),
        ("{ kind = \"fixed\", size = 0 }", "`size` is 1 to 16777216 bytes"),
        (
            "{ kind = \"fixed\", size = 65 }",
            "a frame of the client has 65 bytes, over the limit of 64",
        ),
        ("{ kind = \"octet-count\", max_digits = 10 }", "`max_digits` is 1 to 9"),
        ("{ kind = \"headers\", allow = [\"X\"] }", "`allow` lacks `Content-Length`"),
        ("{ kind = \"headers\", max_headers = 0 }", "`max_headers` is 1 to 64"),
        ("{ kind = \"switch\" }", "`cases`"),
        (
            "{ kind = \"switch\", cases = { x = { kind = \"fixed\", size = 2 } } }",
            "`x` is not a value",
        ),
        ("{ kind = \"switch\", cases = { 1 = { kind = \"eof\" } } }", "`fixed` or `length`"),
        (
            "{ kind = \"switch\", cases = { 1 = { kind = \"fixed\", size = 2 }, 0x1 = { kind = \"fixed\", size = 2 } } }",
            "two cases have one value",
        ),
        ("{ kind = \"mllp\", size = 2 }", "size"),
        ("{ kind = \"netstrin\" }", "did you mean `netstring`?"),
        ("{ kind = \"raw\" }", "has no `danger_uninspected`"),
    ] {
        let text = FIXED.replacen("{ kind = \"fixed\", size = 2 }", frame, 1);
        let findings = load("frame.toml", &text).expect_err(frame);
        let told: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        assert!(told.contains(says), "{frame}: {told}");
    }
}
