//! How streams end, row by row of `trust.md` section 8: what each side sees, and the one event.

use segwan_core::rejection::Reason;
use segwan_tests::pause;
use segwan_tests::peer::{self, End, Peer};
use segwan_tests::service::{End as Seen, Service};
use segwan_tests::world::{Plan, World};
use std::time::Duration;

const QUARTER: usize = 256 * 1024;

/// What one connection came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    heard: String,
    close_notify: bool,
    end: End,
    service: Seen,
    reached: String,
    reason: Option<Reason>,
}

fn outcome(world: &World, service: &Service, peer: &Peer) -> Outcome {
    let heard = peer.heard();
    Outcome {
        heard: heard.text(),
        close_notify: heard.close_notify,
        end: heard.end.unwrap(),
        service: service.ends(1)[0],
        reached: String::from_utf8(service.heard()).unwrap(),
        reason: world.ending().0,
    }
}

fn play(plan: Plan, service: &Service, act: impl FnOnce(&mut Peer)) -> Outcome {
    let world = plan.before(service.address);
    let mut peer = world.app();
    act(&mut peer);
    peer.hear_all();
    outcome(&world, service, &peer)
}

fn clean(heard: &str, reached: &str, reason: Reason) -> Outcome {
    Outcome {
        heard: heard.to_owned(),
        close_notify: true,
        end: End::Fin,
        service: Seen::Fin,
        reached: reached.to_owned(),
        reason: Some(reason),
    }
}

fn cut(heard: &str, reached: &str, reason: Reason) -> Outcome {
    Outcome {
        close_notify: false,
        end: End::Reset,
        service: Seen::Reset,
        ..clean(heard, reached, reason)
    }
}

/// Answers no line before all are said: the answer is still due when the peer ends.
fn late_numbers() -> Service {
    Service::start(|conversation| {
        let mut lines = Vec::new();
        while let Some(line) = conversation.line() {
            lines.push(line);
        }
        pause(Duration::from_millis(100));
        for line in lines {
            let number: i64 = String::from_utf8_lossy(&line).trim_end().parse().unwrap_or(0);
            let _ = conversation.say(format!("{}\n", number + 10).as_bytes());
        }
    })
}

// S1d, ADV-32, H8
#[test]
fn close_notify_between_messages_is_a_fin_and_answers_still_come() {
    let expected = clean("15\n16\n", "5\n6\n", Reason::Closed);
    let say = |peer: &mut Peer| {
        peer.say(b"5\n6\n").close_notify();
    };
    assert_eq!(play(Plan::add_ten(), &late_numbers(), say), expected);
    assert_eq!(play(Plan::raw(), &late_numbers(), say), expected);
}

// S1d, TRAP-17, H8
#[test]
fn close_notify_inside_a_message_is_a_reset_and_the_half_is_not_delivered() {
    let outcome = play(Plan::add_ten(), &Service::numbers(), |peer| {
        peer.say(b"5\n").hear(3);
        peer.say(b"66").close_notify();
    });
    assert_eq!(outcome, cut("15\n", "5\n", Reason::TruncatedFrame));
}

// ADV-30, TRAP-17
#[test]
fn a_fin_without_close_notify_between_messages_is_borne() {
    let outcome = play(Plan::add_ten(), &Service::numbers(), |peer| {
        peer.say(b"5\n").hear(3);
        peer.fin();
    });
    assert_eq!(outcome, clean("15\n", "5\n", Reason::UncleanClose));
}

// F9, ADV-30, S1d: anybody on the wire can forge a FIN
#[test]
fn a_fin_without_close_notify_inside_a_message_is_a_reset() {
    let outcome = play(Plan::add_ten(), &Service::numbers(), |peer| {
        peer.say(b"5\n").hear(3);
        peer.say(b"66").fin();
    });
    assert_eq!(outcome, cut("15\n", "5\n", Reason::TruncatedStream));
}

// F9, ADV-30
#[test]
fn a_fin_without_close_notify_where_nothing_is_inspected_is_a_reset() {
    let outcome = play(Plan::raw(), &Service::echo(), |peer| {
        peer.say(b"5\n").hear(2);
        peer.fin();
    });
    assert_eq!(outcome, cut("5\n", "5\n", Reason::TruncatedStream));
}

// ADV-30: a record that was cut is no end either
#[test]
fn a_fin_inside_a_record_is_a_reset() {
    for (plan, service) in [(Plan::raw(), Service::echo()), (Plan::add_ten(), Service::numbers())] {
        let world = plan.before(service.address);
        let mut peer = world.app();
        peer.say(b"5\n").hear(2);
        peer.send_raw(&[0x17, 3, 3, 0, 0x20, 1, 2, 3]).unwrap();
        peer.fin();
        let heard = peer.hear_all().clone();
        let seen = (heard.close_notify, heard.end, service.ends(1)[0], world.ending().0);
        let cut = Some(Reason::TruncatedStream);
        assert_eq!(seen, (false, Some(End::Reset), Seen::Reset, cut));
    }
}

// ADV-30
#[test]
fn a_reset_by_the_peer_is_a_reset_towards_the_service() {
    for (plan, service) in [(Plan::raw(), Service::echo()), (Plan::add_ten(), Service::numbers())] {
        let world = plan.before(service.address);
        let mut peer = world.app();
        peer.say(b"5\n").hear(2);
        peer.reset();
        assert_eq!(service.ends(1), [Seen::Reset]);
        assert_eq!(world.ending().0, Some(Reason::ResetByPeer));
        assert_eq!(service.heard(), b"5\n");
    }
}

// F9, ADV-30: bytes on the wire that nobody with the keys wrote
#[test]
fn a_forged_record_ends_both_sides_at_once() {
    for (plan, service) in [(Plan::raw(), Service::echo()), (Plan::add_ten(), Service::numbers())] {
        let world = plan.before(service.address);
        let mut peer = world.app();
        peer.say(b"5\n").hear(2);
        let forged = [&[0x17, 3, 3, 0, 0x20][..], &[0; 0x20]].concat();
        peer.send_raw(&forged).unwrap();
        let heard = peer.hear_all().clone();
        assert!(!heard.close_notify, "{heard:?}");
        assert_eq!(service.ends(1), [Seen::Reset]);
        assert_eq!(world.ending().0, Some(Reason::TlsError));
        assert_eq!(service.heard(), b"5\n");
    }
}

// S1d
#[test]
fn the_end_of_the_service_is_close_notify_and_then_a_fin() {
    let service = || {
        Service::start(|conversation| {
            let line = conversation.line().unwrap_or_default();
            let _ = conversation.say(if line.is_empty() { b"" } else { b"15\n" });
            conversation.half_close();
            while !conversation.hear().is_empty() {}
        })
    };
    for plan in [Plan::raw(), Plan::add_ten()] {
        let service = service();
        let world = plan.before(service.address);
        let mut peer = world.app();
        let heard = peer.say(b"5\n").hear_close_notify().clone();
        assert_eq!((heard.text().as_str(), heard.close_notify), ("15\n", true), "{heard:?}");
        assert_eq!(world.events().len(), 0, "the peer has not ended yet");
        peer.close_notify().hear_all();
        assert_eq!(outcome(&world, &service, &peer), clean("15\n", "5\n", Reason::Closed));
    }
}

/// A peer's view of a service that said less than it owes: never a whole answer.
fn cut_short(
    plan: Plan,
    service: &Service,
    said: &[u8],
    heard_first: usize,
) -> (String, Option<Reason>) {
    let world = plan.before(service.address);
    let mut peer = world.app();
    peer.say(said).hear(heard_first);
    let heard = peer.hear_all().clone();
    assert!(!heard.close_notify && heard.end == Some(End::Reset), "{:?}", heard.text());
    (heard.text(), world.ending().0)
}

// F9, ADV-31, S1d
#[test]
fn an_answer_that_the_service_cut_does_not_look_whole() {
    let half_said = Service::start(|conversation| {
        conversation.line();
        let _ = conversation.say(b"1");
    });
    let (heard, reason) = cut_short(Plan::add_ten(), &half_said, b"5\n", 0);
    assert_eq!((heard.as_str(), reason), ("", Some(Reason::TruncatedAnswer)));
    for plan in [Plan::add_ten(), Plan::raw()] {
        let service = Service::resetting_after(b"15\n16");
        let (_, reason) = cut_short(plan, &service, b"5\n6\n", 0);
        assert_eq!(reason, Some(Reason::TruncatedAnswer));
    }
}

// F9, ADV-31: also where the reset comes between two messages
#[test]
fn a_reset_of_the_service_between_answers_is_no_clean_end() {
    let service = Service::resetting_after(b"15\n");
    let (heard, reason) = cut_short(Plan::add_ten(), &service, b"5\n", 3);
    assert_eq!((heard.as_str(), reason), ("15\n", Some(Reason::TruncatedAnswer)));
}

// F10, ADV-32, H8
#[test]
fn a_half_closed_peer_gets_the_whole_answer_and_then_close_notify() {
    let service = Service::after_the_question(QUARTER, 8, Duration::from_millis(500));
    // The wait for a half-closed side is for silence: it is shorter here than the answer.
    let plan = Plan::raw().limits(|l| l.half_close_idle_timeout = Duration::from_secs(3));
    let outcome = play(plan, &service, |peer| {
        peer.say(b"question").close_notify();
    });
    assert_eq!(outcome.heard.len(), QUARTER);
    assert_eq!(outcome, clean(&"x".repeat(QUARTER), "question", Reason::Closed));
}

// F10, ADV-32, H8: the mirror
#[test]
fn a_half_closed_service_gets_the_whole_question() {
    let service = Service::start(|conversation| {
        conversation.half_close();
        while !conversation.hear().is_empty() {}
    });
    let world = Plan::raw().before(service.address);
    let mut peer = world.app();
    assert!(peer.hear_close_notify().close_notify);
    for _ in 0..8 {
        pause(Duration::from_millis(30));
        peer.say(&[b'q'; QUARTER / 8]);
    }
    peer.close_notify().hear_all();
    assert_eq!(service.ends(1), [Seen::Fin]);
    assert_eq!(service.heard().len(), QUARTER);
    assert_eq!(world.ending().0, Some(Reason::Closed));
}

// H8: through both halves, plain client to plain service
#[test]
fn half_close_passes_through_a_client_half_and_a_service_half() {
    let service = Service::after_the_question(QUARTER, 4, Duration::from_millis(30));
    let plan = Plan::raw();
    let client = Plan::raw().believing(plan.pki());
    let world = plan.before(service.address);
    let half = client.towards(world.address);
    let mut local = peer::plain(half.address);
    std::io::Write::write_all(&mut local, b"question").unwrap();
    local.shutdown(std::net::Shutdown::Write).unwrap();
    let (heard, end) = peer::read_all(&mut local);
    assert_eq!((heard.len(), end), (QUARTER, End::Fin));
    assert_eq!(service.heard(), b"question");
    assert_eq!((world.ending().0, half.ending().0), (Some(Reason::Closed), Some(Reason::Closed)));
}

// F9: through both halves, a cut answer is a reset for the plain client
#[test]
fn a_cut_answer_is_a_reset_for_a_plain_client_behind_a_client_half() {
    let service = Service::resetting_after(b"half an ans");
    let plan = Plan::raw();
    let client = Plan::raw().believing(plan.pki());
    let world = plan.before(service.address);
    let half = client.towards(world.address);
    let mut local = peer::plain(half.address);
    std::io::Write::write_all(&mut local, b"question").unwrap();
    let (_, end) = peer::read_all(&mut local);
    assert_eq!(end, End::Reset);
    assert_eq!(half.ending().0, Some(Reason::TruncatedAnswer));
}

// ADV-33
#[test]
fn both_sides_at_once_leave_one_event_for_each_connection() {
    let service = Service::start(|conversation| {
        conversation.hear();
    });
    for plan in [Plan::raw(), Plan::add_ten()] {
        let world = plan.before(service.address);
        let count = 150;
        for number in 0..count {
            let mut peer = world.app();
            match number % 3 {
                0 => {
                    peer.say(b"5\n").close_notify().fin();
                }
                1 => {
                    peer.close_notify();
                }
                _ => {
                    peer.say(b"5\n").fin();
                }
            }
            if number % 2 == 0 {
                peer.hear_all();
            } else {
                peer.reset();
            }
        }
        let _ = world.ended(count);
        world.empty();
    }
}

// ADV-33: with the handshake, before the service was dialled
#[test]
fn a_question_and_its_end_in_one_segment_with_the_handshake_are_answered() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    for _ in 0..20 {
        let mut peer = Peer::begin(world.address, Some(&world.app), &rustls::version::TLS13);
        let heard = peer.all_at_once(b"5\n").hear_all();
        assert_eq!((heard.text().as_str(), heard.close_notify), ("15\n", true));
    }
    assert_eq!(world.ended(20).iter().filter(|e| e.reason == Some(Reason::Closed)).count(), 20);
}
