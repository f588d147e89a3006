use super::*;
use crate::contract::test;
use crate::rejection::Class;
use proptest::prelude::*;
use std::time::Duration;

mod checks;
mod claims;
mod closed;
mod exchange;
mod held;
mod load;
mod places;
mod policies;
mod record;
mod replies;

/// `examples/article/add-ten.toml` and `examples/jsonl/inventory.toml`.
const ADD_TEN: &str = include_str!("../../../../examples/article/add-ten.toml");
const INVENTORY: &str = include_str!("../../../../examples/jsonl/inventory.toml");

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn start() -> Now {
    Now { instant: Instant::now(), unix_ms: 0 }
}

fn contract(text: &str) -> Arc<Contract> {
    let none = |_: &str| Err("no file".to_owned());
    match Contract::load("test.toml", text, &none) {
        Ok((contract, _)) => contract,
        Err(findings) => {
            panic!("{}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Client, gateway and service in one: a session with its clock and all that came out of it.
struct Pair {
    session: Session,
    now: Now,
    out: Outbox,
    service: Vec<u8>,
    peer: Vec<u8>,
    reasons: Vec<Reason>,
    end: Option<Ending>,
    fins: (bool, bool),
}

impl Pair {
    fn open(text: &str) -> Self {
        Self::with(contract(text), &Limits::default())
    }

    fn with(contract: Arc<Contract>, limits: &Limits) -> Self {
        let now = start();
        let session = Session::open(Warrant::Rehearsed(true), contract, limits, now);
        let (service, peer, reasons) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            session,
            now,
            out: Outbox::default(),
            service,
            peer,
            reasons,
            end: None,
            fins: (false, false),
        }
    }

    fn client(&mut self, bytes: &[u8]) -> &mut Self {
        self.session.receive(Side::Client, bytes, None, self.now, &mut self.out);
        self.take()
    }

    fn server(&mut self, bytes: &[u8]) -> &mut Self {
        self.session.receive(Side::Server, bytes, None, self.now, &mut self.out);
        self.take()
    }

    fn end(&mut self, side: Side, clean: bool) -> &mut Self {
        self.session.end(side, clean, None, self.now, &mut self.out);
        self.take()
    }

    fn wait(&mut self, wait: Duration) -> &mut Self {
        let until = self.now.after(wait);
        while let Some(at) = self.session.deadline().filter(|at| *at <= until.instant) {
            self.now = self.now.after(at.saturating_duration_since(self.now.instant));
            self.session.tick(None, self.now, &mut self.out);
            self.take();
        }
        self.now = until;
        self
    }

    fn take(&mut self) -> &mut Self {
        self.service.extend_from_slice(self.out.to_server.as_slice());
        self.peer.extend_from_slice(self.out.to_client.as_slice());
        self.out.to_server.clear();
        self.out.to_client.clear();
        self.reasons.extend(self.out.events.drain(..).filter_map(|event| event.reason));
        self.fins.0 |= std::mem::take(&mut self.out.fin_to_server);
        self.fins.1 |= std::mem::take(&mut self.out.fin_to_client);
        self.end = self.end.take().or_else(|| self.out.end.take());
        self
    }

    fn ended(&self) -> Option<Reason> {
        self.end.as_ref().map(|end| end.reason)
    }
}

// CON-01
#[test]
fn the_examples_load_and_their_vectors_hold() {
    for text in [ADD_TEN, INVENTORY] {
        for outcome in test::run(&contract(text)) {
            assert_eq!(outcome.failure, None, "{}", outcome.name);
        }
    }
}

// CON-01: contracts.md 26.2, in whole.
#[test]
fn the_ledger_loads_and_its_vectors_hold() {
    let read = |name: &str| match name {
        "error.schema.json" => {
            Ok(include_str!("../../../../examples/ledger/error.schema.json").to_owned())
        }
        _ => Err("no file".to_owned()),
    };
    let text = include_str!("../../../../examples/ledger/ledger.toml");
    let (contract, warnings) =
        Contract::load("ledger.toml", text, &read).unwrap_or_else(|findings| {
            panic!("{}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
    assert!(!warnings.iter().any(|one| one.check == Some("K-52")), "{warnings:?}");
    for outcome in test::run(&contract) {
        assert_eq!(outcome.failure, None, "{}", outcome.name);
    }
    // A setup asks no policy; the PIN is shown to none.
    let actions = contract.actions();
    let shown: Vec<_> =
        actions.iter().map(|action| (action.name.as_str(), action.context.len())).collect();
    assert_eq!(shown, [("account.transfer", 2)]);
}

// S1e, S3c, TRAP-09, ADV-29
#[test]
fn refusals_keep_their_place_in_a_pipeline() {
    let mut pair = Pair::open(ADD_TEN);
    pair.client(b"5\nfive\n6\n");
    assert_eq!((&pair.service[..], &pair.peer[..]), (&b"5\n6\n"[..], &b""[..]));
    pair.server(b"15\n");
    assert_eq!(&pair.peer[..], b"15\nInvalid data\n");
    pair.server(b"16\n");
    assert_eq!(&pair.peer[..], b"15\nInvalid data\n16\n");
}

// S4: a thousand messages, every second one refused.
#[test]
fn a_thousand_messages_are_answered_in_order() {
    let text = ADD_TEN
        .replace("max = 3", "max = 10000")
        .replace("in_flight             = 8", "in_flight = 64\nrefusals = 10000");
    let text = text
        .split("[[test]]")
        .next()
        .unwrap()
        .lines()
        .filter(|l| !l.starts_with("rate"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut pair = Pair::open(&text);
    let mut expected = String::new();
    for n in 0..500 {
        pair.client(format!("{n}\nx{n}\n").as_bytes());
        pair.server(format!("{}\n", n + 10).as_bytes());
        expected += &format!("{}\nInvalid data\n", n + 10);
    }
    assert_eq!(String::from_utf8(pair.peer.clone()).unwrap(), expected);
    assert_eq!(pair.reasons.len(), 500);
}

// S3f, TRAP-17: an end is an event, not data.
#[test]
fn an_end_between_frames_is_passed_on_each_way() {
    let mut pair = Pair::open(ADD_TEN);
    pair.client(b"5\n").end(Side::Client, true);
    assert_eq!((pair.fins, pair.ended()), ((true, false), None));
    pair.server(b"15\n").end(Side::Server, true);
    assert_eq!((pair.fins, &pair.peer[..]), ((true, true), &b"15\n"[..]));
}

// S1d, F9, ADV-30, ADV-31, TRAP-17
#[test]
fn an_end_inside_a_frame_resets_both_sides() {
    for (side, clean, reason) in [
        (Side::Client, true, Reason::TruncatedFrame),
        (Side::Client, false, Reason::TruncatedStream),
        (Side::Server, true, Reason::TruncatedAnswer),
        (Side::Server, false, Reason::TruncatedAnswer),
    ] {
        let mut pair = Pair::open(ADD_TEN);
        pair.client(b"5\n");
        match side {
            Side::Client => pair.client(b"6"),
            Side::Server => pair.server(b"1"),
        };
        pair.end(side, clean);
        assert_eq!(pair.ended(), Some(reason), "{side:?} {clean}");
        assert_eq!(pair.end.as_ref().unwrap().client, Manner::Reset);
        assert_eq!((&pair.service[..], &pair.peer[..]), (&b"5\n"[..], &b""[..]));
    }
}

// TRAP-16, S3a
#[test]
fn a_service_that_breaks_its_contract_is_not_heard() {
    for said in [&b"Traceback (most recent call last):\n"[..], b"15\n15\n", b"015\n", b"\xff\n"] {
        let mut pair = Pair::open(ADD_TEN);
        pair.client(b"5\n").server(said);
        assert!(matches!(pair.peer.as_slice(), b"" | b"15\n"), "{said:?}");
        assert_eq!(pair.end.as_ref().unwrap().client, Manner::Reset);
    }
    let mut unasked = Pair::open(ADD_TEN);
    unasked.server(b"15\n");
    assert_eq!(unasked.ended(), Some(Reason::Unasked));
}

// CON-18, H11: no refusal, no growth; the reply makes room.
#[test]
fn a_full_pipeline_stops_the_reading() {
    let mut pair = Pair::open(ADD_TEN);
    pair.client(b"1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    assert_eq!(&pair.service[..], b"1\n2\n3\n4\n5\n6\n7\n8\n");
    assert!(!pair.session.wants(Side::Client));
    pair.server(b"11\n");
    assert!(pair.service.ends_with(b"9\n"));
}

// TRAP-27, CON-24: `wait` never refuses.
#[test]
fn what_comes_too_fast_waits_for_its_rate() {
    let text = ADD_TEN.replace(
        r#"{ per = "identity", messages = "20/s", burst = 40 }"#,
        r#"{ per = "connection", messages = "2/s", burst = 2 }"#,
    );
    let contract = contract(&text);
    let mut pair = Pair::with(Arc::clone(&contract), &Limits::default());
    pair.session.meter = contract.accounts().rates.meter(&"app", None);
    pair.client(b"1\n2\n3\n");
    assert_eq!(&pair.service[..], b"1\n2\n");
    assert!(!pair.session.wants(Side::Client));
    pair.server(b"11\n12\n").wait(Duration::from_millis(600));
    assert_eq!((&pair.service[..], pair.reasons.len()), (&b"1\n2\n3\n"[..], 0));
}

// TRAP-27, CON-24, TRAP-01: a message that waits for its rate is whole, however it came, and the wait
// is no silence of the peer.
#[test]
fn what_waits_for_its_rate_is_neither_late_nor_idle() {
    let text = ADD_TEN.replace(
        r#"{ per = "identity", messages = "20/s", burst = 40 }"#,
        r#"{ per = "connection", messages = "1/m", burst = 1 }"#,
    );
    let contract = contract(&text);
    for pieces in [&[&b"1\n2\n"[..]][..], &[b"1\n", b"2", b"\n"]] {
        let mut pair = Pair::with(Arc::clone(&contract), &Limits::default());
        pair.session.meter = contract.accounts().rates.meter(&"app", None);
        for piece in pieces {
            pair.client(piece);
        }
        pair.server(b"11\n");
        assert_eq!((&pair.service[..], pair.session.wants(Side::Client)), (&b"1\n"[..], false));
        for _ in 0..61 {
            pair.wait(Duration::from_secs(1));
        }
        assert_eq!((&pair.service[..], pair.ended()), (&b"1\n2\n"[..], None), "{pieces:?}");
    }
}

// CON-24: what was refused is not let through later, neither by what follows nor by the end.
#[test]
fn what_was_refused_for_its_rate_never_reaches_the_service() {
    let text = ADD_TEN
        .replace(
            r#"{ per = "identity", messages = "20/s", burst = 40 }"#,
            r#"{ per = "connection", messages = "2/s", burst = 2, over = "refuse" }"#,
        )
        .replace("[reject]", "[reject]\nlimit = { reply = \"Too fast\", then = \"continue\" }");
    let contract = contract(&text);
    let open = || {
        let mut pair = Pair::with(Arc::clone(&contract), &Limits::default());
        pair.session.meter = contract.accounts().rates.meter(&"app", None);
        pair.client(b"1\n2\n3\n").server(b"11\n12\n");
        assert_eq!(
            (&pair.service[..], &pair.peer[..]),
            (&b"1\n2\n"[..], &b"11\n12\nToo fast\n"[..])
        );
        pair
    };
    let mut later = open();
    later.wait(Duration::from_secs(1)).client(b"4\n").server(b"14\n");
    assert_eq!((&later.service[..], later.reasons.len()), (&b"1\n2\n4\n"[..], 1));
    assert_eq!(&later.peer[..], b"11\n12\nToo fast\n14\n");
    let mut ending = open();
    ending.wait(Duration::from_secs(1)).end(Side::Client, true);
    assert_eq!((ending.fins.0, &ending.service[..], ending.ended()), (true, &b"1\n2\n"[..], None));
}

// CON-23, ADV-21, S3g: each wait at its bound, on the virtual clock.
#[test]
fn each_wait_ends_the_session_at_its_bound() {
    let mut silent = Pair::open(ADD_TEN);
    silent.wait(Duration::from_millis(4_999));
    assert_eq!(silent.ended(), None);
    silent.wait(Duration::from_millis(2));
    assert_eq!(silent.ended(), Some(Reason::FirstMessageTimeout));

    let mut slow = Pair::open(ADD_TEN);
    slow.client(b"1")
        .wait(Duration::from_millis(1_900))
        .client(b"2")
        .wait(Duration::from_millis(200));
    assert_eq!(slow.ended(), Some(Reason::MessageTimeout));

    let mut idle = Pair::open(ADD_TEN);
    idle.client(b"1\n").server(b"11\n").wait(Duration::from_millis(29_999));
    assert_eq!(idle.ended(), None);
    idle.wait(Duration::from_millis(2));
    assert_eq!(
        (idle.ended(), idle.end.as_ref().unwrap().client),
        (Some(Reason::IdleTimeout), Manner::Orderly)
    );

    let mut mute = Pair::open(ADD_TEN);
    mute.client(b"1\n").wait(Duration::from_secs(31));
    assert_eq!(
        (mute.ended(), mute.end.as_ref().unwrap().client),
        (Some(Reason::ReplyTimeout), Manner::Reset)
    );
    assert_eq!(mute.session.deadline(), None);
}

// CON-26: answers already due are delivered, then the reply, then the end.
#[test]
fn a_closing_session_delivers_what_is_due() {
    let mut pair = Pair::open(ADD_TEN);
    pair.client(b"5\na\nb\nc\nd\n6\n");
    assert_eq!((pair.ended(), &pair.service[..]), (None, &b"5\n"[..]));
    pair.server(b"15\n");
    assert_eq!(pair.ended(), Some(Reason::Grammar));
    assert_eq!(&pair.peer[..], b"15\nInvalid data\nInvalid data\nInvalid data\nInvalid data\n");
    let mut never = Pair::open(ADD_TEN);
    never.client(b"5\na\nb\nc\nd\n").wait(Duration::from_secs(6));
    assert_eq!(never.ended(), Some(Reason::Grammar));
}

// CON-27, T-19: for each class the peer sees the contract's answer or nothing.
#[test]
fn a_peer_hears_nothing_of_the_inside() {
    let mut pair = Pair::open(ADD_TEN);
    pair.client("²\n".as_bytes()).client(b"99999999999999999999\n");
    let heard = String::from_utf8(pair.peer.clone()).unwrap();
    assert_eq!(heard, "Invalid data\n");
    assert_eq!(pair.reasons, [Reason::Charset, Reason::FrameTooLarge]);
}

// TRAP-23: the authorized message is the forwarded one, in one spelling.
#[test]
fn what_was_checked_is_what_is_sent() {
    let mut pair = Pair::open(INVENTORY);
    pair.client(b"{\"op\":\"g\\u0065t\" , \"id\":1,\"part\":\"bolt\"}\n");
    assert_eq!(&pair.service[..], b"{\"op\":\"get\",\"id\":1,\"part\":\"bolt\"}\n");
}

// CON-17: by key, in any order.
#[test]
fn replies_are_paired_by_their_key() {
    let mut pair = Pair::open(INVENTORY);
    pair.client(b"{\"id\":1,\"op\":\"get\",\"part\":\"a\"}\n{\"id\":2,\"op\":\"list\"}\n{\"id\":1,\"op\":\"list\"}\n");
    assert_eq!(pair.reasons, [Reason::PairOpen]);
    let mut pair = Pair::open(INVENTORY);
    pair.client(b"{\"id\":1,\"op\":\"get\",\"part\":\"a\"}\n{\"id\":2,\"op\":\"list\"}\n");
    pair.server(b"{\"id\":2,\"ok\":true,\"parts\":[]}\n{\"id\":1,\"ok\":true,\"count\":3}\n");
    assert_eq!((pair.reasons.len(), pair.session.in_flight()), (0, 0));
    pair.server(b"{\"id\":1,\"ok\":true,\"count\":3}\n");
    assert_eq!(pair.ended(), Some(Reason::Unasked));
}

// SCP-MM, the idle budget: nothing is kept while nothing is said.
#[test]
fn an_idle_session_owns_no_buffer() {
    let mut pair = Pair::open(INVENTORY);
    pair.client(b"{\"id\":1,\"op\":\"list\"}\n").server(b"{\"id\":1,\"ok\":true,\"parts\":[]}\n");
    assert_eq!(pair.session.client.rest.capacity() + pair.session.server.rest.capacity(), 0);
    assert!(size_of::<Session>() < 1024, "{}", size_of::<Session>());
}

/// Everything that a stream gave, whatever its pieces.
fn run(
    text: &Arc<Contract>,
    stream: &[u8],
    cuts: &[usize],
) -> (Vec<u8>, Vec<u8>, Vec<Reason>, Option<Reason>) {
    let mut pair = Pair::with(Arc::clone(text), &Limits::default());
    let mut at = 0;
    for cut in cuts.iter().chain([&stream.len()]) {
        let to = (*cut).clamp(at, stream.len());
        pair.client(&stream[at..to]);
        at = to;
    }
    pair.end(Side::Client, true);
    let ended = pair.ended();
    (pair.service, pair.peer, pair.reasons, ended)
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "(0|-?[1-9][0-9]{0,8})\n".prop_map(String::into_bytes),
        "[0-9²٣a-z+ ]{0,6}\r?\n".prop_map(String::into_bytes),
        "\\{\"id\":[0-9]{1,3},\"op\":\"(get|list|put|x)\"(,\"part\":\"[a-z]{0,3}\")?(,\"count\":[0-9]{1,4})?\\}\n".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..24),
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    // TRAP-01, P6: the verdict does not depend on how TCP cut the bytes.
    #[test]
    fn a_stream_gets_the_same_verdicts_in_any_pieces(
        stream in said(),
        mut cuts in proptest::collection::vec(0_usize..300, 0..10),
        json in any::<bool>(),
    ) {
        let text = contract(if json { INVENTORY } else { ADD_TEN });
        let whole = run(&text, &stream, &[]);
        let each: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(&run(&text, &stream, &each), &whole);
        cuts.sort_unstable();
        prop_assert_eq!(&run(&text, &stream, &cuts), &whole);
    }
}

// contracts.md 18: `alert`
#[test]
fn a_service_that_breaks_its_contract_is_an_alarm_and_a_client_is_one_where_asked_for() {
    let alarms = |text: &str, side: Side, bytes: &[u8]| {
        let mut session =
            Session::open(Warrant::Rehearsed(true), contract(text), &Limits::default(), start());
        let mut out = Outbox::default();
        session.receive(side, bytes, None, start(), &mut out);
        out.events.iter().map(|event| event.alarm).collect::<Vec<_>>()
    };
    assert_eq!(alarms(ADD_TEN, Side::Client, b"five\n"), [false]);
    assert_eq!(alarms(ADD_TEN, Side::Server, b"15\n"), [true]);
    let wanted =
        ADD_TEN.replacen("\"continue\", max = 3 }", "\"continue\", max = 3, alert = true }", 1);
    assert_eq!(alarms(&wanted, Side::Client, b"five\n"), [true]);
    let unsaid = ADD_TEN.replace("server  = { then = \"close\", alert = true }", "");
    assert_eq!(alarms(&unsaid, Side::Server, b"15\n"), [true]);
    let quiet = ADD_TEN.replace("alert = true", "alert = false");
    assert_eq!(alarms(&quiet, Side::Server, b"15\n"), [false]);
}
