use super::tally::{LISTED, MINUTE};
use super::*;
use crate::session::Outbox;
use proptest::prelude::*;
use std::sync::LazyLock;

const INVENTORY: &str = include_str!("../../../../../examples/jsonl/inventory.toml");
const ASKS: &str = include_str!("../tests/asks.toml");
const TALK: &str = include_str!("../tests/talk.toml");

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn start() -> Now {
    Now { instant: std::time::Instant::now(), unix_ms: 0 }
}

fn contract(text: &str) -> Arc<Contract> {
    let loaded = Contract::load("test.toml", text, &|_| Err("no file".to_owned()));
    loaded.unwrap_or_else(|findings| panic!("{findings:?}")).0
}

/// The inventory's contract with as many refusals and messages as one likes.
fn patient() -> Arc<Contract> {
    static ONCE: LazyLock<Arc<Contract>> = LazyLock::new(|| contract(&patient_text()));
    ONCE.clone()
}

fn patient_text() -> String {
    let rate = INVENTORY.lines().find(|line| line.starts_with("rate")).unwrap();
    let text = INVENTORY.replace(rate, "refusals = 10000").replace("max = 5 }", "max = 10000 }");
    text[..text.find("[[test]]").unwrap()].to_owned()
}

/// What a verdict says, without what it is called.
type Said = (Option<Reason>, Option<Class>, String, Option<String>, Option<u64>, Option<String>);

fn said(event: Event) -> Said {
    let Event { reason, class, sentence, pointer, frame, message, .. } = event;
    (reason, class, sentence, pointer, frame, message)
}

/// A shadow, and all that it told.
struct Watch {
    shadow: Shadow,
    now: Now,
    told: Vec<ShadowVerdict>,
}

impl Watch {
    fn with(contract: Arc<Contract>, allowed: bool) -> Self {
        let now = start();
        let warrant = Warrant::Rehearsed(allowed);
        let shadow = Shadow::open(warrant, contract, &Limits::default(), now);
        Self { shadow, now, told: Vec::new() }
    }

    fn say(&mut self, side: Side, bytes: &[u8]) -> &mut Self {
        self.shadow.receive(side, bytes, None, self.now, &mut self.told);
        self
    }

    fn client(&mut self, bytes: &[u8]) -> &mut Self {
        self.say(Side::Client, bytes)
    }

    fn server(&mut self, bytes: &[u8]) -> &mut Self {
        self.say(Side::Server, bytes)
    }

    fn events(&mut self) -> Vec<Event> {
        self.told.drain(..).map(ShadowVerdict::into_event).collect()
    }

    fn reasons(&mut self) -> Vec<Reason> {
        self.events().into_iter().filter_map(|event| event.reason).collect()
    }
}

/// What a session that enforces the contract refuses of the same.
fn enforced(contract: Arc<Contract>, allowed: bool, pieces: &[(Side, &[u8])]) -> Vec<Said> {
    let now = start();
    let mut session = Session::open(Warrant::Rehearsed(allowed), contract, &Limits::default(), now);
    let mut out = Outbox::default();
    for (side, bytes) in pieces {
        session.receive(*side, bytes, None, now, &mut out);
    }
    let refused = out.events.into_iter().filter(|event| event.event == EventKind::Rejected);
    refused.map(said).collect()
}

/// Messages that hold and messages that do not, each with an id of its own.
fn line(at: usize, kind: usize) -> String {
    let id = at + 1;
    match kind {
        0 => format!("{{\"id\":{id},\"op\":\"get\",\"part\":\"bolt-m4\"}}\n"),
        1 => format!("{{\"id\":{id},\"op\":\"put\",\"part\":\"nut-m4\",\"count\":3}}\n"),
        2 => format!("{{\"id\":{id},\"op\":\"list\"}}\n"),
        3 => format!("{{\"id\":{id},\"op\":\"get\",\"part\":\"../etc\"}}\n"),
        4 => format!("{{\"id\":{id},\"op\":\"put\",\"part\":\"nut-m4\",\"count\":-1}}\n"),
        5 => format!("{{\"id\":{id},\"op\":\"debug\"}}\n"),
        6 => format!("{{\"id\":{id},\"op\":\"list\",\"op\":\"get\"}}\n"),
        7 => "\u{feff}[]\n".to_owned(),
        _ => format!("{{\"id\":{id},\"op\":\"list\"}} {{}}\n"),
    }
}

proptest! {
    // CON-28: what is enforced elsewhere is what is told here, the first and all that follow.
    #[test]
    fn a_verdict_is_what_the_contract_would_have_done(
        kinds in prop::collection::vec(0..9_usize, 1..10),
        cuts in prop::collection::vec(1..40_usize, 1..20),
        allowed: bool,
    ) {
        let stream: String = kinds.iter().enumerate().map(|(at, kind)| line(at, *kind)).collect();
        let expected = enforced(patient(), allowed, &[(Side::Client, stream.as_bytes())]);
        let mut watch = Watch::with(patient(), allowed);
        let (mut rest, mut cuts) = (stream.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            watch.client(piece);
            rest = behind;
        }
        let told: Vec<_> = watch.events().into_iter().map(said).collect();
        prop_assert_eq!(told, expected);
    }

    // TRAP-24: whatever comes from whom, in whatever pieces: the verdicts are the same, and the
    // first is that of a session.
    #[test]
    fn anything_in_any_pieces_has_one_verdict(
        said_by in prop::collection::vec(
            (any::<bool>(), "[a-z{}\":,\\[\\]0-9\n\u{0}é]{0,60}"), 0..8),
        size in 1..9_usize,
    ) {
        let side = |client: &bool| if *client { Side::Client } else { Side::Server };
        let pieces: Vec<_> =
            said_by.iter().map(|(client, text)| (side(client), text.as_bytes())).collect();
        let mut whole = Watch::with(patient(), true);
        let mut small = Watch::with(patient(), true);
        for (side, bytes) in &pieces {
            whole.say(*side, bytes);
            for piece in bytes.chunks(size) {
                small.say(*side, piece);
            }
        }
        prop_assert_eq!(&whole.told, &small.told);
        let first = whole.events().into_iter().next().map(said);
        prop_assert_eq!(first, enforced(patient(), true, &pieces).into_iter().next());
    }
}

// Section 20: an answer to what would not have come is nobody's fault; any other is.
#[test]
fn what_is_answered_to_a_refused_message_is_not_judged() {
    let mut watch = Watch::with(patient(), true);
    watch.client(line(0, 4).as_bytes()).client(line(1, 0).as_bytes());
    assert_eq!(watch.reasons().len(), 1);
    watch.server(b"{\"id\":1,\"ok\":false,\"error\":\"a count is no less than 0\"}\n");
    watch.server(b"{\"id\":2,\"ok\":true,\"count\":40}\n");
    assert_eq!(watch.reasons(), []);
    // Both are answered now.
    watch.server(b"{\"id\":1,\"ok\":true,\"count\":40}\n");
    assert_eq!(watch.reasons(), [Reason::Unasked]);
    // A message without a key has an answer without one.
    watch.client(b"what?\n").server(b"Traceback\n");
    assert_eq!(watch.reasons().len(), 1);
    watch.server(b"Traceback\n");
    assert_eq!(watch.reasons().len(), 1);
}

// Section 20
#[test]
fn nothing_waits_for_a_slot_and_what_is_followed_has_a_bound() {
    let mut watch = Watch::with(patient(), true);
    for at in 0..FOLLOWED {
        watch.client(line(at, 0).as_bytes());
    }
    assert_eq!(watch.events(), []);
    watch.client(line(FOLLOWED, 0).as_bytes());
    let lost = watch.events();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!((lost[0].event, lost[0].direction), (EventKind::ShadowLost, Some("server")));
    assert_eq!(watch.shadow.session.open.len(), 0);
    // The client is still judged, and the service is not.
    watch.server(b"Traceback\n").client(line(1, 3).as_bytes());
    assert_eq!(watch.reasons().len(), 1);
    assert!(!watch.shadow.is_over());
}

// Section 20
#[test]
fn after_a_broken_frame_a_direction_is_not_looked_at() {
    let mut watch = Watch::with(patient(), true);
    watch.client(&[b'x'; 5000]).client(b"\n{}\n").server(b"Traceback\n");
    let told = watch.events();
    let kinds: Vec<_> = told.iter().map(|event| (event.event, event.direction)).collect();
    let lost = EventKind::ShadowLost;
    assert_eq!(
        kinds,
        [(EventKind::WouldReject, Some("client")), (lost, Some("client")), (lost, Some("server")),]
    );
    assert_eq!(told[0].class, Some(Class::Frame));
    assert!(watch.shadow.is_over());
    // The service's own broken frame leaves the client under judgement.
    let mut watch = Watch::with(patient(), true);
    watch.server(&[b'x'; 5000]).client(line(0, 3).as_bytes());
    let told = watch.events();
    assert_eq!(told.last().unwrap().direction, Some("client"));
    assert_eq!(told.len(), 3);
}

// Section 20: the state goes on as the exchange did.
#[test]
fn the_exchange_goes_on_past_a_refused_message() {
    let mut watch = Watch::with(contract(TALK), true);
    watch.client(b"list\n");
    assert_eq!(watch.reasons(), [Reason::State]);
    // Nobody may do anything, and it is done all the same: each is told of.
    let mut watch = Watch::with(contract(TALK), false);
    watch.server(b"hello\n").client(b"user ann\n").server(b"welcome\n");
    assert_eq!(watch.reasons(), []);
    watch.client(b"get key\nnote\nquit\nnote\n");
    let expected =
        [Reason::PolicyDenied, Reason::PolicyDenied, Reason::PolicyDenied, Reason::State];
    assert_eq!(watch.reasons(), expected);
}

// TRAP-20
#[test]
fn a_secret_is_in_no_verdict() {
    let pin = "870612";
    for allowed in [true, false] {
        for text in [
            format!("\"{pin}7\""),
            pin.to_owned(),
            format!("{pin}.50"),
            format!("[\"{pin}\"]"),
            format!("\"{pin}\",\"pin\":\"{pin}\""),
            format!("\"{pin}\u{7}\""),
            format!("\"{pin}"),
        ] {
            let mut watch = Watch::with(contract(ASKS), allowed);
            let line = format!("{{\"id\":1,\"op\":\"get\",\"what\":\"pin\",\"pin\":{text}}}\n");
            watch.client(line.as_bytes());
            watch.shadow.end(Side::Client, false, None, watch.now, &mut watch.told);
            assert!(!watch.told.is_empty(), "{line}");
            let told = format!("{:?} {:?}", watch.told, watch.shadow);
            assert!(!told.contains(pin), "{line}: {told}");
        }
    }
}

// Section 20: samples, and counts of the rest.
#[test]
fn the_first_of_each_reason_are_listed_and_the_others_counted() {
    let mut watch = Watch::with(patient(), false);
    for at in 0..100 {
        watch.client(line(at, 0).as_bytes());
    }
    watch.client(line(100, 3).as_bytes());
    let told = watch.events();
    assert_eq!(told.len(), LISTED as usize + 1);
    watch.now = watch.now.after(MINUTE);
    watch.client(line(101, 0).as_bytes());
    let told = watch.events();
    let counts: Vec<_> = told.iter().map(|event| (event.reason, event.count)).collect();
    let denied = Some(Reason::PolicyDenied);
    assert_eq!(counts, [(denied, Some(90)), (denied, None)]);
    assert_eq!(told[0].class, Some(Class::Denied));
    for at in 102..112 {
        watch.client(line(at, 0).as_bytes());
    }
    watch.events();
    watch.shadow.close(&mut watch.told);
    let told = watch.events();
    assert_eq!((told.len(), told[0].count), (1, Some(1)));
}

// Section 20: a stream that ends inside a message is told of, as its end is when it is judged.
#[test]
fn an_end_inside_a_message_is_a_verdict() {
    let mut watch = Watch::with(patient(), true);
    watch.client(line(0, 0).as_bytes()).server(b"{\"id\":1,");
    watch.shadow.end(Side::Server, true, None, watch.now, &mut watch.told);
    assert_eq!(watch.reasons(), [Reason::TruncatedAnswer]);
}

// Section 20, K-92
#[test]
fn a_mode_is_read_warned_of_and_shown_to_reviewers() {
    let load = |mode: &str| {
        let text = format!("mode = \"{mode}\"\n{}", patient_text());
        Contract::load("test.toml", &text, &|_| Err("no file".to_owned()))
    };
    let (tried, warnings) = load("shadow").unwrap();
    assert!(tried.is_shadow() && tried.document().contains("*Shadow, not enforced*"));
    let told: Vec<_> = warnings.iter().filter(|one| one.message.contains("shadow")).collect();
    assert_eq!((told.len(), told[0].check, told[0].line), (1, Some("K-92"), 1));
    let (enforced, warnings) = load("enforce").unwrap();
    assert!(!enforced.is_shadow() && !enforced.document().contains("Shadow"));
    assert!(warnings.iter().all(|one| !one.message.contains("shadow")));
    let findings = load("audit").unwrap_err();
    assert_eq!(findings[0].message, "`mode` is `audit`, not `enforce` or `shadow`");
}

// Section 20: questions of the service and their answers are followed past what is refused.
#[test]
fn a_denied_answer_still_answers_its_question() {
    let mut watch = Watch::with(contract(ASKS), false);
    assert_eq!(watch.shadow.session.asked.len(), 0);
    watch.server(b"{\"id\":1,\"may\":\"send\"}\n");
    assert_eq!((watch.reasons(), watch.shadow.session.asked.len()), (vec![], 1));
    watch.client(b"{\"id\":1,\"yes\":true}\n");
    assert_eq!(watch.reasons(), [Reason::PolicyDenied]);
    assert_eq!(watch.shadow.session.asked.len(), 0);
}

// CON-28, TRAP-24: subscriptions are followed as long as anybody can know what they are.
#[test]
fn what_is_pushed_is_followed_until_a_subscription_passes_that_would_not() {
    const NEWS: &str = include_str!("../../../../../examples/redis/news.toml");
    let subscribe = b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n";
    let confirmed = b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n";
    let push = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n";
    let mut watch = Watch::with(contract(NEWS), true);
    watch.client(subscribe).server(confirmed).server(push);
    assert_eq!(watch.reasons(), []);
    // One that may not be said passes, and has one answer, which is no fault of the service.
    watch
        .client(b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$1\r\nx\r\n")
        .server(push)
        .server(b"-ERR no\r\n");
    assert_eq!(watch.reasons(), [Reason::State]);
    watch.server(push).client(b"*1\r\n$4\r\nPING\r\n").server(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert_eq!(watch.reasons(), []);
    watch.server(&push.map(|byte| if byte == b'a' { b'b' } else { byte }));
    let events = watch.events();
    assert_eq!(events[0].reason, Some(Reason::Unasked));
    assert!(watch.shadow.is_over(), "{events:?}");

    let mut watch = Watch::with(contract(NEWS), false);
    watch.client(subscribe);
    let events: Vec<_> =
        watch.events().into_iter().map(|event| (event.event, event.reason)).collect();
    let lost = (EventKind::ShadowLost, None);
    assert_eq!(events, [(EventKind::WouldReject, Some(Reason::PolicyDenied)), lost, lost]);
    watch.server(confirmed).server(push).client(b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(watch.events(), []);
}
