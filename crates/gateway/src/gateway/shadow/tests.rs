use super::*;
use segwan_core::contract::Contract;
use segwan_core::limits::Limits;
use segwan_core::session::Warrant;

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
