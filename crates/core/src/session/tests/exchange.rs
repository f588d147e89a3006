//! States, pairing, quotas, secrets and refusals over whole conversations, on the virtual clock.

use super::*;
use crate::contract::value::Value;
use crate::rejection::Class;

const TALK: &str = include_str!("talk.toml");
const ASKS: &str = include_str!("asks.toml");

/// A conversation that is logged in.
fn ready() -> Pair {
    let mut pair = Pair::open(TALK);
    pair.server(b"hello\n").client(b"user kim\n").server(b"welcome\n");
    assert_eq!(pair.reasons.len(), 0);
    pair.service.clear();
    pair.peer.clear();
    pair
}

#[test]
fn the_conversations_hold() {
    for text in [TALK, ASKS] {
        for outcome in test::run(&contract(text)) {
            assert_eq!(outcome.failure, None, "{}", outcome.name);
        }
    }
}

// TRAP-13
#[test]
fn a_client_that_talks_before_the_banner_is_refused_and_the_banner_is_a_push() {
    let mut pair = Pair::open(TALK);
    pair.client(b"user kim\n");
    assert_eq!((&pair.service[..], &pair.reasons[..]), (&b""[..], &[Reason::State][..]));
    let mut greeted = Pair::open(TALK);
    greeted.server(b"hello\n").client(b"user kim\n");
    assert_eq!((&greeted.service[..], &greeted.peer[..]), (&b"user kim\n"[..], &b"hello\n"[..]));
    // A second banner, and one that is no line of the contract.
    for said in [&b"hello\n"[..], b"HELLO\n"] {
        let mut twice = Pair::open(TALK);
        twice.server(b"hello\n").server(said);
        assert_eq!(twice.peer, b"hello\n");
        assert!(twice.ended().is_some());
    }
}

// TRAP-13: the clock of the client begins when it may speak.
#[test]
fn who_is_silent_at_the_start_is_told_by_the_state() {
    let limits = Limits::default();
    let wait = limits.first_message_timeout;
    let mut service = Pair::open(TALK);
    service.wait(wait + Duration::from_millis(1));
    let end = service.end.as_ref().unwrap();
    assert_eq!((end.reason, end.client), (Reason::FirstMessageTimeout, Manner::Reset));
    let mut client = Pair::open(TALK);
    client.wait(wait - Duration::from_secs(1)).server(b"hello\n");
    client.wait(wait - Duration::from_millis(1));
    assert_eq!(client.ended(), None);
    client.wait(Duration::from_millis(2));
    let end = client.end.as_ref().unwrap();
    assert_eq!((end.reason, end.client), (Reason::FirstMessageTimeout, Manner::Orderly));
}

// Section 13: what was remembered names a resource.
#[test]
fn a_remembered_name_is_part_of_the_resource() {
    let mut session =
        Session::open(Warrant::Rehearsed(true), contract(TALK), &Limits::default(), start())
            .recording_cleared();
    let mut out = Outbox::default();
    let said = [
        (Side::Server, "hello\n"),
        (Side::Client, "user kim\n"),
        (Side::Server, "unknown\n"),
        (Side::Client, "user lee\n"),
        (Side::Server, "welcome\n"),
        (Side::Client, "get a\n"),
    ];
    for (side, bytes) in said {
        session.receive(side, bytes.as_bytes(), None, start(), &mut out);
    }
    let last = out.events.last().unwrap();
    assert_eq!(
        (&last.resources[..], last.action.as_deref()),
        (&["of/lee/a".to_owned()][..], Some("get"))
    );
    // `setup` asks no policy, so it has no action on the record.
    let login = out.events.iter().find(|event| event.message.as_deref() == Some("user")).unwrap();
    assert_eq!((login.action.as_deref(), login.policies.len()), (None, 0));
}

// `setup` is covered by the Permit, all else is asked for.
#[test]
fn a_denied_peer_may_still_open_the_exchange() {
    let mut pair = Pair::open(TALK);
    pair.session.warrant = Warrant::Rehearsed(false);
    pair.server(b"hello\n").client(b"user kim\n").server(b"welcome\n").client(b"get a\n");
    assert_eq!(
        (&pair.service[..], &pair.reasons[..]),
        (&b"user kim\n"[..], &[Reason::PolicyDenied][..])
    );
    assert!(pair.peer.ends_with(b"no\n"));
}

/// What the talk allows, in forty lines: the reference of CON-16 and CON-17.
#[derive(Default)]
struct Model {
    state: &'static str,
    open: VecDeque<Option<&'static str>>,
}

impl Model {
    /// Whether the service, or the client, may say this now; and what follows if so.
    fn says(&mut self, side: Side, line: &str) -> bool {
        let asked = self.open.iter().flatten().next().copied();
        let word = line.split(' ').next().unwrap();
        let (may, to, opens, closes) = match (side, word, self.state, asked) {
            (Side::Server, "hello", "new", _) => (true, "greeted", None, false),
            (Side::Client, "user", "greeted", _) => (true, "asked", Some("user"), false),
            (Side::Server, "welcome", "asked", Some("user")) => (true, "ready", None, true),
            (Side::Server, "unknown", "asked", Some("user")) => (true, "greeted", None, true),
            (Side::Client, "get", "ready", _) => (true, "ready", Some("get"), false),
            (Side::Client, "list", "ready", _) => (true, "ready", Some("list"), false),
            (Side::Client, "note", "ready", _) => (true, "ready", None, false),
            (Side::Client, "quit", "ready", _) => (true, "over", None, false),
            (Side::Server, "value", state, Some("get")) => (true, state, None, true),
            (Side::Server, "item", state, Some("list")) => (true, state, None, false),
            (Side::Server, "end", state, Some("list")) => (true, state, None, true),
            (Side::Server, "news", state, _) => (true, state, None, false),
            (_, _, state, _) => (false, state, None, false),
        };
        self.state = to;
        if closes {
            let at = self.open.iter().position(Option::is_some).unwrap();
            self.open.remove(at);
        }
        if let Some(name) = opens {
            self.open.push_back(Some(name));
        } else if !may && side == Side::Client && word != "note" && word != "quit" {
            self.open.push_back(None);
        }
        while self.open.front().is_some_and(Option::is_none) {
            self.open.pop_front();
        }
        may
    }
}

fn lines() -> impl Strategy<Value = Vec<(Side, &'static str)>> {
    let client = ["user kim", "get a", "list", "note", "quit", "what"];
    let server = ["hello", "welcome", "unknown", "value 1", "item 1", "end", "news"];
    // Few of them are wrong, so that conversations get on.
    let any = prop_oneof![
        prop::sample::select(client.to_vec()).prop_map(|line| (Side::Client, line)),
        prop::sample::select(server.to_vec()).prop_map(|line| (Side::Server, line)),
    ];
    let opening = [(Side::Server, "hello"), (Side::Client, "user kim"), (Side::Server, "welcome")];
    (0_usize..4, prop::collection::vec(any, 0..24))
        .prop_map(move |(opened, said)| opening.iter().copied().take(opened).chain(said).collect())
}

proptest! {
    // CON-16, CON-17: nothing outside its state, nothing that answers nothing; a refused message
    // changes nothing, and its answer has its place.
    #[test]
    fn a_conversation_is_what_its_model_allows(said in lines()) {
        let mut pair = Pair::open(TALK);
        let mut model = Model { state: "new", open: VecDeque::new() };
        let (mut service, mut peer_news) = (String::new(), 0);
        for (side, line) in said {
            if pair.session.open.len() >= 4 && side == Side::Client {
                continue;
            }
            let before = pair.reasons.len();
            let bytes = format!("{line}\n");
            let may = model.says(side, line);
            match side {
                Side::Client => pair.client(bytes.as_bytes()),
                Side::Server => pair.server(bytes.as_bytes()),
            };
            prop_assert_eq!(pair.reasons.len() == before, may, "{:?} {}", side, line);
            if side == Side::Server && !may {
                prop_assert!(pair.ended().is_some());
                break;
            }
            if line == "what" {
                prop_assert!(pair.ended().is_some() || pair.session.closing().is_some());
                break;
            }
            service += if may && side == Side::Client { &bytes } else { "" };
            peer_news += usize::from(may && side == Side::Server && line == "news");
            prop_assert_eq!(pair.session.contract.states.name(pair.session.state), model.state);
            prop_assert_eq!(pair.session.open.len(), model.open.len());
        }
        prop_assert_eq!(String::from_utf8(pair.service.clone()).unwrap(), service);
        let heard = String::from_utf8(pair.peer.clone()).unwrap();
        prop_assert_eq!(heard.matches("news\n").count(), peer_news);
    }
}

// TRAP-14
#[test]
fn pushes_for_hours_close_no_request_and_are_no_silence() {
    let mut pair = ready();
    for _ in 0..200 {
        pair.wait(Limits::default().idle_timeout / 2).server(b"news\n");
        assert_eq!((pair.ended(), pair.session.in_flight()), (None, 0));
    }
    pair.client(b"get a\n").server(b"news\nnews\n");
    assert_eq!(pair.session.in_flight(), 1);
    pair.server(b"value 7\n");
    assert_eq!((pair.session.in_flight(), pair.ended()), (0, None));
    pair.wait(Limits::default().idle_timeout + Duration::from_secs(1));
    assert_eq!(pair.ended(), Some(Reason::IdleTimeout));
}

// TRAP-30
#[test]
fn a_refused_notification_is_never_answered_and_is_counted() {
    let mut pair = ready();
    pair.session.warrant = Warrant::Rehearsed(false);
    pair.client(b"note\nnote\nget a\n");
    assert_eq!((&pair.service[..], &pair.peer[..]), (&b""[..], &b"no\n"[..]));
    assert_eq!(
        (pair.session.refused[Class::Denied as usize], pair.session.totals().refused),
        (3, 3)
    );
}

// CON-17
#[test]
fn many_replies_come_until_the_last() {
    let mut pair = ready();
    pair.client(b"list\nget a\n").server(b"item 1\nitem 2\n");
    assert_eq!(pair.session.in_flight(), 2);
    pair.server(b"end\nvalue 3\n");
    assert_eq!(
        (pair.session.in_flight(), &pair.peer[..]),
        (0, &b"item 1\nitem 2\nend\nvalue 3\n"[..])
    );
    let mut early = ready();
    early.client(b"list\nget a\n").server(b"value 3\n");
    assert_eq!((early.ended(), &early.peer[..]), (Some(Reason::Unasked), &b""[..]));
}

// CON-17, CON-18: where the service asks too, nothing waits for a slot.
#[test]
fn a_full_pipeline_is_refused_where_the_service_asks() {
    let mut pair = Pair::open(ASKS);
    let get = |id: u32| format!("{{\"id\":{id},\"op\":\"get\",\"what\":\"box\"}}\n");
    for id in 1..=3 {
        pair.client(get(id).as_bytes());
    }
    assert_eq!(
        (&pair.reasons[..], &pair.peer[..]),
        (&[Reason::InFlight][..], &b"{\"id\":3,\"busy\":true}\n"[..])
    );
    pair.server(b"{\"id\":9,\"may\":\"send\"}\n").client(b"{\"id\":9,\"yes\":false}\n");
    assert!(pair.session.asked.is_empty() && pair.service.ends_with(b"{\"id\":9,\"yes\":false}\n"));
    // The service has a bound too.
    pair.server(
        b"{\"id\":1,\"may\":\"send\"}\n{\"id\":2,\"may\":\"send\"}\n{\"id\":3,\"may\":\"send\"}\n",
    );
    assert_eq!((pair.session.asked.len(), pair.reasons.last()), (2, Some(&Reason::InFlight)));
}

// TRAP-16, CON-26: a bad answer is not heard, the contract's stands in, and the next one passes.
#[test]
fn what_the_service_may_not_say_is_replaced_and_the_rest_goes_on() {
    let mut pair = Pair::open(ASKS);
    for id in [1, 2] {
        pair.client(format!("{{\"id\":{id},\"op\":\"get\",\"what\":\"box\"}}\n").as_bytes());
    }
    pair.server(b"{\"id\":1,\"got\":\"x\",\"trace\":\"File ledger.py\"}\nTraceback\n{\"id\":7,\"got\":\"y\"}\n");
    assert_eq!(pair.peer, b"{\"id\":1,\"error\":true}\n");
    pair.server(b"{\"id\":2,\"got\":\"z\"}\n");
    assert_eq!((pair.session.in_flight(), pair.ended()), (0, None));
    assert!(pair.peer.ends_with(b"{\"id\":2,\"got\":\"z\"}\n"));
    // Of `max = 3` all are used.
    pair.server(b"Traceback\n");
    assert_eq!(pair.ended(), Some(Reason::JsonSyntax));
    assert!(!String::from_utf8_lossy(&pair.peer).contains("ledger.py"));
}

// TRAP-16: in order, too.
#[test]
fn in_order_a_reply_stands_in_for_a_bad_answer() {
    let text =
        TALK.replace("[reject]", "[reject]\nserver = { reply = \"broken\", then = \"continue\" }");
    let mut pair = Pair::with(contract(&text), &Limits::default());
    pair.session.state = pair.session.contract.states.named("ready").unwrap();
    pair.session.remembered = Remembered::supposed(&[("user".to_owned(), Value::Int(1))]);
    pair.client(b"get a\nget b\n").server(b"value 007\nvalue 2\n");
    assert_eq!((&pair.peer[..], pair.ended()), (&b"broken\nvalue 2\n"[..], None));
    // Nobody asked, so nobody is answered.
    pair.server(b"value 3\n");
    assert_eq!((&pair.peer[..], pair.ended()), (&b"broken\nvalue 2\n"[..], None));
    // More of many may follow, and would be taken for the next request's.
    pair.client(b"list\nget c\n").server(b"item 1\nTraceback\n");
    assert!(pair.ended().is_some());
    // A frame that is too large has no border to go on from.
    let mut large = Pair::with(contract(&text), &Limits::default());
    large.server(&[b'x'; 70_000]);
    assert_eq!(large.ended(), Some(Reason::FrameTooLarge));
}

// CON-25, TRAP-27
#[test]
fn a_quota_slides_and_what_is_refused_uses_none_of_it() {
    let mut pair = Pair::open(ASKS);
    let mut id = 0;
    let mut put = |pair: &mut Pair, pin: &str| {
        id += 1;
        let before = pair.reasons.len();
        pair.client(
            format!("{{\"id\":{id},\"op\":\"get\",\"what\":\"pin\",\"pin\":\"{pin}\"}}\n")
                .as_bytes(),
        );
        pair.server(format!("{{\"id\":{id},\"got\":\"\"}}\n").as_bytes());
        pair.reasons.get(before).copied()
    };
    assert_eq!(put(&mut pair, "12345"), Some(Reason::Regex));
    assert_eq!(put(&mut pair, "123456"), None);
    pair.wait(Duration::from_secs(12));
    assert_eq!([put(&mut pair, "123456"), put(&mut pair, "123456")], [None, None]);
    pair.wait(Duration::from_millis(11_900));
    assert_eq!(put(&mut pair, "123456"), Some(Reason::Quota));
}

/// A peer that was let in, and a policy that allows it all.
fn admitted(contract: &Contract, identity: &str) -> (Policy, Warrant) {
    use crate::identity::Peer;
    use crate::policy::ConnectionFacts;
    let actions = contract.actions();
    let (policy, _) =
        Policy::compile("ledger", &actions, &["spiffe://a.example/app".parse().unwrap()], &[])
            .unwrap();
    let peer = Peer::called(identity);
    let facts = ConnectionFacts { address: [127, 0, 0, 1].into(), started_unix_ms: 0, tls: "1.3" };
    let permit = policy.admit(peer, facts, start()).unwrap();
    (policy, Warrant::Permit(permit))
}

// TRAP-27
#[test]
fn connections_of_one_identity_share_its_quota() {
    let contract =
        contract(&ASKS.replace("per = \"connection\", count", "per = \"identity\", count"));
    let mut passed = 0;
    for id in 1..=5 {
        let (policy, warrant) = admitted(&contract, "spiffe://a.example/app");
        let mut session =
            Session::open(warrant, Arc::clone(&contract), &Limits::default(), start());
        let mut out = Outbox::default();
        let put = format!("{{\"id\":{id},\"op\":\"get\",\"what\":\"pin\",\"pin\":\"123456\"}}\n");
        session.receive(Side::Client, put.as_bytes(), Some(&policy), start(), &mut out);
        passed += usize::from(!out.to_server.is_empty());
    }
    assert_eq!(passed, 3);
}

// CON-25
#[test]
fn a_message_whose_booking_is_not_durable_is_refused() {
    use crate::contract::journal::{Booked, Journal, keep};
    #[derive(Debug)]
    struct Broken;
    impl Journal for Broken {
        fn append(&mut self, _: &Booked) -> Result<(), String> {
            Err("no space left on device".to_owned())
        }
        fn is_due(&self) -> bool {
            false
        }
        fn replace(&mut self, _: &mut dyn Iterator<Item = Booked>) -> Result<(), String> {
            Ok(())
        }
    }
    let text =
        ASKS.replace("per = \"connection\", count", "per = \"identity\", persist = true, count");
    let (kept, unkept) = (contract(&text), contract(&text));
    keep(&kept, Box::new(Broken), &[], start()).unwrap();
    for (contract, why) in [(kept, "no space left on device"), (unkept, "keeps its journal")] {
        let (policy, warrant) = admitted(&contract, "spiffe://a.example/app");
        let mut session = Session::open(warrant, contract, &Limits::default(), start());
        let mut out = Outbox::default();
        let put = b"{\"id\":1,\"op\":\"get\",\"what\":\"pin\",\"pin\":\"123456\"}\n";
        session.receive(Side::Client, put, Some(&policy), start(), &mut out);
        assert!(out.to_server.is_empty());
        let told = format!("{:?}", out.events);
        assert!(told.contains(why) && told.contains("Quota"), "{told}");
    }
}

// TRAP-20
#[test]
fn a_secret_is_in_no_event_sentence_or_answer() {
    let pin = "870612";
    let lines = [
        format!("{{\"id\":1,\"op\":\"get\",\"what\":\"pin\",\"pin\":\"{pin}\"}}"),
        format!("{{\"id\":2,\"op\":\"get\",\"what\":\"pin\",\"pin\":\"{pin}7\"}}"),
        format!("{{\"id\":3,\"op\":\"get\",\"what\":\"pin\",\"pin\":{pin}}}"),
        format!("{{\"id\":4,\"op\":\"get\",\"what\":\"pin\",\"pin\":{pin}.50}}"),
        format!("{{\"id\":5,\"op\":\"get\",\"what\":\"pin\",\"pin\":[\"{pin}\"]}}"),
        format!("{{\"id\":6,\"op\":\"get\",\"what\":\"pin\",\"pin\":\"{pin}\",\"pin\":\"{pin}\"}}"),
        format!("{{\"id\":7,\"op\":\"get\",\"what\":\"pin\",\"pin\":\"{pin}\u{7}\"}}"),
        format!("{{\"id\":8,\"op\":\"get\",\"what\":\"pin\",\"pin\":\"{pin}"),
    ];
    for allowed in [true, false] {
        for line in &lines {
            let warrant = Warrant::Rehearsed(allowed);
            let mut session = Session::open(warrant, contract(ASKS), &Limits::default(), start())
                .recording_cleared();
            let mut out = Outbox::default();
            session.receive(Side::Client, format!("{line}\n").as_bytes(), None, start(), &mut out);
            let told = format!("{:?} {:?} {:?}", out.events, out.end, session.closing());
            assert!(!told.contains(pin), "{line}: {told}");
            assert!(!String::from_utf8_lossy(out.to_client.as_slice()).contains(pin));
            assert!(!out.events.is_empty());
            // What was written is overwritten with the outbox.
            assert!(out.to_server.is_empty() || out.to_server.1);
            out.to_server.clear();
            assert!(out.to_server.is_empty() && !out.to_server.1);
        }
    }
}

// Section 3.2: bytes of a refused frame, as hexadecimal digits and never of one that passed.
#[test]
fn so_many_bytes_of_a_refused_frame_are_on_record_as_the_contract_says() {
    let shown = |count: &str, said: &[u8]| {
        let text = ADD_TEN.replacen("[limits]", &format!("audit_bytes = {count}\n\n[limits]"), 1);
        let warrant = Warrant::Rehearsed(true);
        let mut session = Session::open(warrant, contract(&text), &Limits::default(), start())
            .recording_cleared();
        let mut out = Outbox::default();
        session.receive(Side::Client, said, None, start(), &mut out);
        out.events.iter().map(|event| event.bytes.clone()).collect::<Vec<_>>()
    };
    let hex = |digits: &str| Some(digits.to_owned());
    assert_eq!(shown("4", b"5\nfive\n\xff\n"), [None, hex("66697665"), hex("ff0a")]);
    assert_eq!(shown("64", b"GET / HTTP/1.1\r\n"), [hex("474554202f20485454502f312e310d0a")]);
    assert_eq!(shown("0", b"five\n"), [None]);
    let text = ADD_TEN.replacen("[limits]", "audit_bytes = 65\n\n[limits]", 1);
    let none = |_: &str| Err("no file".to_owned());
    let findings = Contract::load("test.toml", &text, &none).unwrap_err();
    assert!(findings[0].to_string().contains("`audit_bytes` is 0 to 64"), "{}", findings[0]);
}

// A frame that is whole at the end of its stream costs its rate as any other.
#[test]
fn what_the_end_makes_whole_waits_for_its_rate() {
    let once = include_str!("../../../../../examples/article/add-ten-once.toml");
    let vectors = once.find("[[test]]").unwrap();
    let rated = |over: &str| {
        let rate = format!(
            "rate = {{ per = \"identity\", messages = \"1/s\", burst = 1, over = \"{over}\" }}\n\n[client]"
        );
        contract(&once[..vectors].replacen("[client]", &rate, 1))
    };
    for (over, reasons, later) in
        [("wait", vec![], &b"6"[..]), ("refuse", vec![Reason::Rate], &b""[..])]
    {
        let contract = rated(over);
        let open = || {
            let (policy, warrant) = admitted(&contract, "spiffe://a.example/app");
            let session =
                Session::open(warrant, Arc::clone(&contract), &Limits::default(), start());
            (policy, session, Outbox::default())
        };
        let mut now = start();
        let (policy, mut first, mut out) = open();
        first.receive(Side::Client, b"5", Some(&policy), now, &mut out);
        first.end(Side::Client, true, Some(&policy), now, &mut out);
        assert_eq!((out.to_server.as_slice(), out.fin_to_server), (&b"5"[..], true));
        // A second connection of the identity, in the same second.
        let (policy, mut second, mut out) = open();
        second.receive(Side::Client, b"6", Some(&policy), now, &mut out);
        second.end(Side::Client, true, Some(&policy), now, &mut out);
        assert!(out.to_server.is_empty());
        assert_eq!(out.events.iter().filter_map(|e| e.reason).collect::<Vec<_>>(), reasons);
        now = now.after(Duration::from_millis(1100));
        second.tick(Some(&policy), now, &mut out);
        assert_eq!(out.to_server.as_slice(), later);
    }
}

// TRAP-20: a text that fits no grammar may be a password that was mistyped.
#[test]
fn a_line_that_fits_no_grammar_is_not_shown_where_secrets_are_declared() {
    let text = TALK
        .replace("fields.key = { regex", "fields.key = { secret = true, regex")
        .replace("/${key}", "");
    let mut session =
        Session::open(Warrant::Rehearsed(true), contract(&text), &Limits::default(), start());
    let mut out = Outbox::default();
    session.receive(Side::Client, b"get Hunter2\n", None, start(), &mut out);
    assert_eq!(out.events[0].reason, Some(Reason::Grammar));
    assert_eq!(out.events[0].sentence, "the text does not match the grammar");
}

// TRAP-01: what was refused before it was whole does not run out of time as well.
#[test]
fn a_frame_refused_in_pieces_ends_as_one_refused_at_once() {
    let text = include_str!("../../../../../examples/article/add-ten.toml");
    let seen = |pieces: &[&[u8]]| {
        let mut pair = Pair::open(text);
        for piece in pieces {
            pair.client(piece);
        }
        pair.wait(Duration::from_secs(3));
        (pair.reasons.clone(), pair.end.take())
    };
    let whole = seen(&[b"5\n12345678901234567"]);
    assert_eq!(whole.0, [Reason::FrameTooLarge]);
    assert_eq!(seen(&[b"5\n123456789", b"01234567"]), whole);
}

// TRAP-09, CON-18: 64 KiB of answers wait, then the client is not read.
#[test]
fn ten_thousand_refusals_wait_for_a_client_that_does_not_read() {
    let limits = "in_flight = 4\nrefusals = 10000";
    let text = TALK
        .replace("in_flight = 4", limits)
        .replace("\"not now", &format!("\"{}", "b".repeat(99)));
    let text = text.replace("max = 1000 }", "max = 10000 }");
    let contract = contract(&text);
    let mut session =
        Session::open(Warrant::Rehearsed(true), contract, &Limits::default(), start());
    let (mut out, flood) = (Outbox::default(), b"list\n".repeat(5_000));
    session.receive(Side::Client, &flood, None, start(), &mut out);
    let waiting = out.to_client.as_slice().len();
    assert!((65_537..65_700).contains(&waiting), "{waiting}");
    assert!(session.is_held_back() && !session.wants(Side::Client));
    // What came with it is kept, and nothing more is judged until the client took all.
    session.receive(Side::Client, &flood, None, start(), &mut out);
    assert_eq!(out.to_client.as_slice().len(), waiting);
    let mut answered = 0;
    while session.is_held_back() {
        answered += out.to_client.as_slice().len();
        out.to_client.clear();
        session.delivered(None, start(), &mut out);
        assert!(out.to_client.as_slice().len() < 65_700);
    }
    answered += out.to_client.as_slice().len();
    assert_eq!(answered, 10_000 * 100);
    assert_eq!((out.end, session.client.rest.capacity()), (None, 0));
}

// CON-26: the answer waits, and so does all that follows.
#[test]
fn a_delayed_refusal_is_said_later_and_nothing_is_read_meanwhile() {
    let text =
        TALK.replace("denied  = { reply = \"no\",", "denied = { reply = \"no\", delay = \"3s\",");
    let contract = contract(&text);
    let mut pair = Pair::with(Arc::clone(&contract), &Limits::default());
    pair.server(b"hello\n").client(b"user kim\n").server(b"welcome\n");
    pair.peer.clear();
    pair.client(b"get a\n");
    pair.session.warrant = Warrant::Rehearsed(false);
    pair.client(b"get b\n");
    pair.session.warrant = Warrant::Rehearsed(true);
    pair.client(b"get c\n").server(b"value 1\n");
    assert_eq!((&pair.peer[..], pair.session.wants(Side::Client)), (&b"value 1\n"[..], false));
    pair.wait(Duration::from_millis(2_999));
    assert_eq!((&pair.peer[..], pair.service.ends_with(b"get c\n")), (&b"value 1\n"[..], false));
    pair.wait(Duration::from_millis(2));
    assert_eq!((&pair.peer[..], pair.service.ends_with(b"get c\n")), (&b"value 1\nno\n"[..], true));
    assert_eq!((pair.reasons.len(), pair.session.wants(Side::Client)), (1, true));
}

// CON-26: one delay closes, too, and by key the answer waits alike.
#[test]
fn a_delayed_answer_comes_before_the_end() {
    let text = ASKS.replace(
        "undeclared = { then = \"continue\", max = 1000 }",
        "undeclared = { reply = '{\"id\":${id}}', then = \"close\", delay = \"5s\" }",
    );
    let mut pair = Pair::open(&text);
    pair.client(b"{\"id\":4,\"op\":\"what\"}\n").wait(Duration::from_millis(4_999));
    assert_eq!((&pair.peer[..], pair.ended()), (&b""[..], None));
    pair.wait(Duration::from_millis(2));
    assert_eq!((&pair.peer[..], pair.ended()), (&b"{\"id\":4}\n"[..], Some(Reason::Undeclared)));
}

// CON-26: class × then × pairing
#[test]
fn each_class_is_answered_as_its_contract_says() {
    let provoke = |class: Class, by_key: bool| match (class, by_key) {
        (Class::Invalid, true) => {
            "{\"id\":1,\"op\":\"get\",\"what\":\"pin\",\"pin\":1}\n".to_owned()
        }
        (Class::Invalid, false) => "what\n".to_owned(),
        (Class::Undeclared, _) => "{\"id\":1,\"op\":\"what\"}\n".to_owned(),
        (Class::State, true) => "{\"id\":1,\"yes\":true}\n".to_owned(),
        (Class::State, false) => "user kim\n".to_owned(),
        (Class::Denied, true) => "{\"id\":1,\"op\":\"get\",\"what\":\"box\"}\n".to_owned(),
        (Class::Denied, false) => "get a\n".to_owned(),
        _ => "x".repeat(70_000),
    };
    for by_key in [true, false] {
        for class in [Class::Frame, Class::Invalid, Class::Undeclared, Class::State, Class::Denied]
        {
            for then in ["continue", "drop", "close", "reset"] {
                let impossible = class == Class::Undeclared && !by_key;
                // K-73: in order, an answer to what may expect none.
                let nobody = class == Class::Invalid && then == "continue" && !by_key;
                let refused = class == Class::Frame && matches!(then, "continue" | "drop")
                    || (then == "drop" && !by_key)
                    || nobody;
                if impossible || refused {
                    continue;
                }
                let text = if by_key { ASKS } else { TALK };
                let head = text.split("[reject]").next().unwrap();
                let reply = if by_key { r#"{\"said\":true}"# } else { "said" };
                let reply = match then {
                    "continue" | "close" => format!("reply = \"{reply}\", "),
                    _ => String::new(),
                };
                let text = format!(
                    "{head}[reject]\n{} = {{ {reply}then = \"{then}\", max = 1 }}\n",
                    class.as_str(),
                );
                let mut pair = Pair::open(&text);
                if !by_key {
                    pair.session.state = pair.session.contract.states.named("ready").unwrap();
                    pair.session.remembered =
                        Remembered::supposed(&[("user".to_owned(), Value::Int(1))]);
                }
                pair.session.warrant = Warrant::Rehearsed(class != Class::Denied);
                pair.client(provoke(class, by_key).as_bytes());
                let what = format!("{class} {then} by_key {by_key}");
                let heard = !pair.peer.is_empty();
                assert_eq!(heard, matches!(then, "continue" | "close"), "{what}");
                let manner = pair.end.as_ref().map(|end| end.client);
                let expected = match then {
                    "close" => Some(Manner::Orderly),
                    "reset" => Some(Manner::Reset),
                    _ => None,
                };
                assert_eq!(manner, expected, "{what}");
                assert!(pair.service.is_empty(), "{what}");
                // The second one is over `max`, is answered the same way, and closes.
                if expected.is_none() {
                    pair.client(provoke(class, by_key).as_bytes());
                    assert!(pair.ended().is_some(), "{what}");
                }
            }
        }
    }
}

// CON-26: class `limit`
#[test]
fn what_comes_too_fast_is_answered_as_its_contract_says() {
    for by_key in [true, false] {
        for then in ["continue", "drop", "close", "reset"] {
            // K-71 and K-73: in order some requests expect a reply, and some none.
            if !by_key && matches!(then, "continue" | "drop") {
                continue;
            }
            let (text, first, second, answer) = if by_key {
                let get = |id| format!("{{\"id\":{id},\"op\":\"get\",\"what\":\"box\"}}\n");
                (ASKS, get(1), get(2), &b"{\"id\":1,\"got\":\"x\"}\n"[..])
            } else {
                (TALK, "get a\n".to_owned(), "get b\n".to_owned(), &b"value 1\n"[..])
            };
            let head = text.split("[reject]").next().unwrap();
            let head = head.replacen("\"1000/s\"", "\"1/h\", over = \"refuse\"", 1);
            let reply = match then {
                "continue" | "close" if by_key => "reply = '{\"said\":true}', ",
                "continue" | "close" => "reply = \"said\", ",
                _ => "",
            };
            let mut pair =
                Pair::open(&format!("{head}[reject]\nlimit = {{ {reply}then = \"{then}\" }}\n"));
            let contract = Arc::clone(&pair.session.contract);
            pair.session.meter = contract.accounts().rates.meter(&"app", None);
            if !by_key {
                pair.session.state = contract.states.named("ready").unwrap();
                let user = ("user".to_owned(), Value::Int(1));
                pair.session.remembered = Remembered::supposed(&[user]);
            }
            pair.client(first.as_bytes()).client(second.as_bytes()).server(answer);
            let what = format!("{then} by_key {by_key}");
            assert_eq!(pair.service, first.as_bytes(), "{what}");
            assert_eq!(pair.reasons, [Reason::Rate], "{what}");
            let heard = String::from_utf8(pair.peer.clone()).unwrap().contains("said");
            assert_eq!(heard, !reply.is_empty(), "{what}");
            // What was asked before is answered, but to who is reset.
            assert_eq!(
                pair.peer.windows(answer.len()).any(|at| at == answer),
                then != "reset",
                "{what}"
            );
            let manner = pair.end.as_ref().map(|end| end.client);
            let expected = match then {
                "close" => Some(Manner::Orderly),
                "reset" => Some(Manner::Reset),
                _ => None,
            };
            assert_eq!(manner, expected, "{what}");
        }
    }
}

// CON-26: class `server`, with replies that have keys
#[test]
fn a_bad_answer_is_answered_as_its_contract_says() {
    for (then, reply) in [
        ("continue", true),
        ("continue", false),
        ("drop", false),
        ("close", true),
        ("close", false),
        ("reset", false),
    ] {
        let head = ASKS.split("[reject]").next().unwrap();
        let said = if reply { "reply = '{\"said\":true}', " } else { "" };
        let mut pair =
            Pair::open(&format!("{head}[reject]\nserver = {{ {said}then = \"{then}\" }}\n"));
        pair.client(b"{\"id\":1,\"op\":\"get\",\"what\":\"box\"}\n")
            .server(b"{\"id\":1,\"got\":7}\n");
        let what = format!("{then} reply {reply}");
        let heard: &[u8] = if reply { b"{\"said\":true}\n" } else { b"" };
        assert_eq!(pair.peer, heard, "{what}");
        let expected = match (then, reply) {
            ("close", true) => Some(Manner::Orderly),
            ("close", false) | ("reset", _) => Some(Manner::Reset),
            _ => None,
        };
        assert_eq!(pair.end.as_ref().map(|end| end.client), expected, "{what}");
    }
}
