use super::*;
use segwan_core::identity::CertificateFacts;

const ADD_TEN: &str = include_str!("../../../../../examples/article/add-ten.toml");

/// A tap on a connection of nobody, the copies that it hands in, and what is told of it.
fn tapped(copies: usize) -> (Tap, Receiver<Copied>, Receiver<Event>) {
    let (contract, _) = Contract::load("add-ten.toml", ADD_TEN, &|_| Err(String::new())).unwrap();
    let now = Now { instant: Instant::now(), unix_ms: 0 };
    let shadow = Shadow::open(Warrant::Rehearsed(true), contract, &Limits::default(), now);
    let (recorder, events) = Recorder::new(4096);
    let mut whose = Event::new(EventKind::WouldReject);
    whose.service = "calculator".to_owned();
    let (desk, receiver) = Desk::new(copies);
    (desk.tap(shadow, None, whose, recorder), receiver, events)
}

fn kinds(events: &Receiver<Event>) -> Vec<EventKind> {
    events.try_iter().map(|event| event.event).collect()
}

// TRAP-24, ADV-45: a judge that never comes holds nothing up, and is missed on the record.
#[test]
fn where_no_copy_has_room_nothing_waits_and_the_loss_is_told_once() {
    let (mut tap, copies, events) = tapped(2);
    for _ in 0..1000 {
        tap.said(Side::Client, b"five\n");
    }
    tap.ended(Side::Client, true);
    assert_eq!(kinds(&events), [EventKind::ShadowLost]);
    // What was handed in is looked at, and is all that is.
    assert_eq!(copies.try_iter().map(|copied| copied.look()).count(), 2);
    assert_eq!(kinds(&events), [EventKind::WouldReject; 2]);
    assert_eq!(tap.desk.waiting.load(Ordering::Relaxed), 0);
}

// TRAP-24
#[test]
fn copies_of_one_connection_have_a_bound() {
    let (mut tap, copies, events) = tapped(COPIES);
    let piece = vec![b'7'; BYTES_OF_ONE / 4];
    for _ in 0..5 {
        tap.said(Side::Server, &piece);
    }
    assert_eq!(kinds(&events), [EventKind::ShadowLost]);
    assert_eq!(tap.desk.waiting.load(Ordering::Relaxed), BYTES_OF_ONE);
    assert_eq!(copies.try_iter().count(), 4);
    assert_eq!(tap.desk.waiting.load(Ordering::Relaxed), 0);
    // A desk that is gone is a judge that never comes.
    let (mut tap, copies, events) = tapped(2);
    drop(copies);
    tap.said(Side::Client, b"5\n");
    assert_eq!(kinds(&events), [EventKind::ShadowLost]);
}

// Section 20: the counts of what was not listed come with the end of the connection.
#[test]
fn what_was_only_counted_is_told_when_the_connection_is_over() {
    let (mut tap, copies, events) = tapped(COPIES);
    tap.said(Side::Client, "five\n".repeat(30).as_bytes());
    copies.try_iter().for_each(|copied| copied.look());
    assert_eq!(kinds(&events), [EventKind::WouldReject; 10]);
    drop(tap);
    let told: Vec<_> = events.try_iter().collect();
    assert_eq!((told.len(), told[0].count), (1, Some(20)));
    assert_eq!((told[0].service.as_str(), told[0].direction), ("calculator", Some("client")));
}

/// A tap beside a contract in force on a connection of `app`, where `allowed` may do everything.
fn tapped_beside(allowed: &str, secrets: [bool; 2]) -> (Tap, Receiver<Copied>, Receiver<Event>) {
    let (contract, _) = Contract::load("add-ten.toml", ADD_TEN, &|_| Err(String::new())).unwrap();
    let allowed = [allowed.parse().unwrap()];
    let (policy, _) = Policy::compile("calculator", &contract.actions(), &allowed, &[]).unwrap();
    let certificate = CertificateFacts {
        serial: "01".to_owned(),
        issuer: "aa".to_owned(),
        issuer_key: "aa".to_owned(),
        keys: Vec::new(),
        not_before: 0,
        not_after: 4_000_000_000,
    };
    let identity = "spiffe://shop.test/app".parse().unwrap();
    let arrived = Arrived {
        tried: Tried { contract, policy: Arc::new(policy) },
        peer: Arc::new(Peer::authenticated(identity, certificate)),
        facts: ConnectionFacts { address: [127, 0, 0, 1].into(), started_unix_ms: 0, tls: "1.3" },
        limits: Limits::default(),
        secrets,
    };
    let (recorder, events) = Recorder::new(4096);
    let (desk, receiver) = Desk::new(COPIES);
    let mut whose = Event::new(EventKind::WouldReject);
    whose.contract = Some("add-ten/1".to_owned());
    (desk.tap_beside(arrived, whose, recorder), receiver, events)
}

// trust.md section 13: also admission by the tried policy happens where no connection waits.
#[test]
fn who_would_not_be_let_in_is_told_once_and_looked_at_no_more() {
    let (mut tap, copies, events) = tapped_beside("spiffe://shop.test/other", [false; 2]);
    tap.said(Side::Client, b"five\n");
    tap.said(Side::Client, b"six\n");
    assert_eq!(kinds(&events), []);
    copies.try_iter().for_each(|copied| copied.look());
    let told: Vec<_> = events.try_iter().collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((told[0].event, told[0].class), (EventKind::WouldReject, Some(Class::Denied)));
    assert_eq!(told[0].contract.as_deref(), Some("add-ten/1"));
    assert!(told[0].sentence.contains("on `calculator`"), "{}", told[0].sentence);
    tap.said(Side::Client, b"seven\n");
    assert_eq!(copies.try_iter().count(), 0);
    drop(tap);
    assert_eq!(kinds(&events), []);
}

// Section 20: no verdict rather than a wrong one.
#[test]
fn behind_a_refusal_nothing_is_looked_at() {
    let app = "spiffe://shop.test/app";
    let (mut tap, copies, events) = tapped_beside(app, [false; 2]);
    tap.said(Side::Client, b"five\n");
    tap.refused();
    // What was said before is; and the end of the connection is no loss.
    tap.ended(Side::Client, true);
    copies.try_iter().for_each(|copied| copied.look());
    assert_eq!(kinds(&events), [EventKind::WouldReject]);
    tap.said(Side::Client, b"5\n");
    tap.said(Side::Server, b"15\n");
    assert_eq!(kinds(&events), [EventKind::ShadowLost]);
    assert_eq!(copies.try_iter().count(), 0);
}

// TRAP-20: a new contract may not know yet what is secret.
#[test]
fn what_the_contract_in_force_keeps_secret_is_in_no_verdict() {
    let app = "spiffe://shop.test/app";
    for (secrets, hidden) in [([true, false], true), ([false, true], false)] {
        let (mut tap, copies, events) = tapped_beside(app, secrets);
        assert_eq!([tap.has_secrets(Side::Client), tap.has_secrets(Side::Server)], secrets);
        tap.said(Side::Client, b"hunter2\n");
        copies.try_iter().for_each(|copied| copied.look());
        let told = events.try_recv().unwrap();
        assert_eq!((told.event, told.reason.is_some()), (EventKind::WouldReject, true));
        assert_eq!(told.sentence == HIDDEN, hidden, "{}", told.sentence);
        let rest = (told.pointer.is_none(), told.resources.is_empty(), told.bytes.is_none());
        assert!(!hidden || rest == (true, true, true), "{told:#?}");
    }
}
