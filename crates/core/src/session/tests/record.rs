//! What the record says of a message (`contracts.md` section 17): what decided, and no secret.

use super::*;

fn told(text: &str, allow: bool, pieces: &[(Side, &[u8])]) -> Vec<Event> {
    let warrant = Warrant::Rehearsed(allow);
    let session = Session::open(warrant, contract(text), &Limits::default(), start());
    let (mut session, mut out) = (session.recording_cleared(), Outbox::default());
    for (side, bytes) in pieces {
        session.receive(*side, bytes, None, start(), &mut out);
    }
    out.events
}

fn of_client(text: &str, said: &str) -> Event {
    let head = text.split("[[test]]").next().unwrap();
    told(head, true, &[(Side::Client, said.as_bytes())]).pop().unwrap()
}

// Section 3.1, section 17
#[test]
fn a_message_is_recorded_with_what_decided() {
    let said = "{\"id\":7,\"op\":\"put\",\"part\":\"m8\",\"count\":100001}\n";
    let event = of_client(INVENTORY, said);
    let head = INVENTORY.split("[[test]]").next().unwrap();
    let hash = contract(head).hash().to_owned();
    assert_eq!(event.contract_hash.as_deref(), hash.get(..16));
    assert_eq!((event.mode, event.decision, event.state), (Some("enforce"), None, None));
    assert_eq!(event.bound.as_deref(), Some("0 to 100000"));
    assert_eq!(event.value.as_deref(), Some("100001"));
    assert_eq!((event.size, event.offset), (Some(said.len() as u64), None));
    let event = of_client(INVENTORY, "{\"id\":7,\"op\":\"get\",\"part\":\"M8\\u001b\"}\n");
    assert_eq!(event.value.as_deref(), Some("M8\\u{1b}"));
    let event = of_client(INVENTORY, "{\"id\":7,\"op\":\"get\",\"part\":\"M 8\"}\n");
    assert_eq!(event.value.as_deref(), Some("M 8"));
    let passed = of_client(INVENTORY, "{\"id\":7,\"op\":\"get\",\"part\":\"m8\"}\n");
    assert_eq!((passed.decision, passed.value), (Some("allow"), None));
    let denied = "{\"id\":7,\"op\":\"get\",\"part\":\"m8\"}\n";
    let denied = told(head, false, &[(Side::Client, denied.as_bytes())]).pop().unwrap();
    assert_eq!((denied.decision, denied.class), (Some("deny"), Some(Class::Denied)));
}

// Section 4.2
#[test]
fn a_frame_that_cannot_be_cut_has_its_place_in_the_stream() {
    let said = format!("5\n{}", "x".repeat(70));
    let event = of_client(ADD_TEN, &said);
    assert_eq!((event.reason, event.offset), (Some(Reason::FrameTooLarge), Some(2)));
    assert_eq!((event.size, event.bound.as_deref()), (None, Some("16 bytes")));
}

// Section 13
#[test]
fn a_state_is_that_in_which_the_message_came() {
    let talk = include_str!("talk.toml").split("[[test]]").next().unwrap();
    let greeting: (Side, &[u8]) = (Side::Server, b"hello\n");
    let events =
        told(talk, true, &[greeting, (Side::Client, b"user kim\n"), (Side::Client, b"get a\n")]);
    let seen: Vec<_> = events.iter().map(|e| (e.state.as_deref(), e.decision)).collect();
    let states = [(Some("new"), None), (Some("greeted"), Some("setup")), (Some("asked"), None)];
    assert_eq!(seen, states, "{events:?}");
}

// TRAP-20, P10
#[test]
fn a_secret_has_no_value_on_record() {
    let asks = include_str!("asks.toml");
    for said in [
        "{\"id\":1,\"op\":\"get\",\"what\":\"pin\",\"pin\":\"hunter2\"}\n",
        "{\"id\":1,\"op\":\"get\",\"what\":\"pin\",\"pin\":[\"hunter2\"]}\n",
        "{\"id\":1,\"op\":\"hunter2\",\"pin\":\"hunter2\\u0000\"}\n",
    ] {
        let event = of_client(asks, said);
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(event.value, None, "{line}");
        assert!(event.reason == Some(Reason::Undeclared) || !line.contains("hunter2"), "{line}");
    }
}
