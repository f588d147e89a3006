//! Nothing waits for ever and nothing grows without a bound: deadlines, numbers, back-pressure,
//! and the end of the gateway itself.

use segwan_core::audit::EventKind;
use segwan_core::limits::Limits;
use segwan_core::rejection::Reason;
use segwan_tests::peer::{End, Peer, plain, read_all};
use segwan_tests::service::{End as Seen, Service};
use segwan_tests::world::{ADD_TEN, Plan, World, loopback};
use segwan_tests::{PATIENCE, SLACK, eventually, pause};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(400);

/// Shows that what `act` begins on a new connection ends by itself when [`SHORT`] has passed, and why.
fn ends_in_time(world: &World, act: impl FnOnce(&mut Peer)) -> (Peer, Option<Reason>) {
    let began = Instant::now();
    let mut peer = world.app();
    act(&mut peer);
    peer.hear_all();
    let took = began.elapsed();
    assert!(took >= SHORT && took < SHORT + SLACK, "{took:?}");
    (peer, world.ending().0)
}

// S3g, ADV-01
#[test]
fn whoever_says_nothing_after_the_handshake_is_let_go() {
    for plan in [Plan::raw(), Plan::add_ten()] {
        let service = Service::silent();
        let world = plan.limits(|l| l.first_message_timeout = SHORT).before(service.address);
        assert_eq!(ends_in_time(&world, |_| {}).1, Some(Reason::FirstMessageTimeout));
    }
}

// S3g, ADV-21, H1
#[test]
fn a_byte_now_and_then_does_not_lengthen_a_message() {
    let service = Service::numbers();
    let world = Plan::add_ten().limits(|l| l.message_timeout = SHORT).before(service.address);
    let mut peer = world.app();
    // More than one byte within the time of a message, and no more than a message may have.
    for _ in 0..14 {
        if peer.heard().end.is_none() {
            peer.say(b"1").hear_for(SHORT * 3 / 4);
        }
    }
    assert!(peer.heard().end.is_some(), "a byte now and then lengthens a message");
    world.serves();
    let late = world.ended(2).remove(0);
    assert_eq!(late.reason, Some(Reason::MessageTimeout));
    assert!(late.sentence.contains("400 ms"), "{}", late.sentence);
    assert_eq!(service.heard(), b"5\n");
}

// S3g, ADV-26
#[test]
fn silence_in_both_directions_ends_a_connection() {
    for plan in [Plan::raw(), Plan::patient_add_ten()] {
        let service = Service::numbers();
        let world = plan.limits(|l| l.idle_timeout = SHORT).before(service.address);
        let (_, reason) = ends_in_time(&world, |peer| {
            peer.say(b"5\n").hear(3);
        });
        assert_eq!(reason, Some(Reason::IdleTimeout));
    }
}

// S3g
#[test]
fn the_longest_life_of_a_session_ends_it_however_busy() {
    for plan in [Plan::raw(), Plan::patient_add_ten()] {
        let service = Service::numbers();
        let world = plan.limits(|l| l.session_lifetime = SHORT).before(service.address);
        let mut peer = world.app();
        let began = Instant::now();
        while peer.heard().end.is_none() && began.elapsed() < SHORT + SLACK {
            peer.say(b"5\n").hear_for(Duration::from_millis(20));
        }
        assert!(peer.heard().end.is_some(), "no end within {:?}", began.elapsed());
        assert_eq!(world.ending().0, Some(Reason::SessionLifetime));
    }
}

// ADV-32
#[test]
fn silence_after_one_side_closed_ends_the_connection() {
    for plan in [Plan::raw(), Plan::patient_add_ten()] {
        let service = Service::start(|conversation| {
            while !conversation.hear().is_empty() {}
            pause(PATIENCE);
        });
        let limits = |l: &mut Limits| l.half_close_idle_timeout = SHORT;
        let world = plan.limits(limits).before(service.address);
        let (peer, reason) = ends_in_time(&world, |peer| {
            peer.say(b"5\n").close_notify();
        });
        assert_eq!(reason, Some(Reason::HalfCloseTimeout));
        assert_eq!((peer.heard().close_notify, peer.heard().end), (false, Some(End::Reset)));
    }
}

// ADV-28
#[test]
fn a_service_that_does_not_answer_in_time_is_late() {
    let in_flight = "in_flight             = 8";
    let text = ADD_TEN.replace(in_flight, &format!("{in_flight}\nreply_timeout = \"400ms\""));
    let service = Service::silent();
    let world = Plan::under(&text).before(service.address);
    let (_, reason) = ends_in_time(&world, |peer| {
        peer.say(b"5\n");
    });
    assert_eq!(reason, Some(Reason::ReplyTimeout));
}

// ADV-28
#[test]
fn a_service_that_is_not_there_is_dialled_once_and_told_of() {
    // Held by a socket that does not listen, so that no other test gets the port.
    let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    held.bind(&loopback().into()).unwrap();
    let gone = held.local_addr().unwrap().as_socket().unwrap();
    let world = Plan::add_ten().before(gone);
    let heard = world.app().say(b"5\n").hear_all().clone();
    assert_eq!(heard.text(), "");
    let (reason, sentence) = world.ending();
    assert_eq!(reason, Some(Reason::UpstreamUnreachable));
    assert!(sentence.ends_with("connection refused"), "{sentence}");
}

// ADV-23, ADV-25
#[test]
fn whoever_does_not_read_its_answers_is_reset() {
    let service = Service::endless();
    let world = Plan::raw().limits(|l| l.write_timeout = SHORT).before(service.address);
    let mut peer = world.app();
    peer.say(b"go");
    let began = Instant::now();
    assert_eq!(world.ending().0, Some(Reason::WriteTimeout));
    assert!(began.elapsed() < SHORT + SLACK, "{:?}", began.elapsed());
    world.empty();
}

// ADV-25: reads of one byte now and then take none of the others' room, and do not lengthen a write
#[test]
fn whoever_reads_a_byte_now_and_then_is_reset_too() {
    let service = Service::endless();
    let world = Plan::raw().limits(|l| l.write_timeout = SHORT).before(service.address);
    let mut peer = world.app();
    peer.say(b"go");
    let began = Instant::now();
    let mut byte = [0];
    while world.events().is_empty() && began.elapsed() < SHORT + SLACK {
        let _ = std::io::Read::read(&mut peer.tcp(), &mut byte);
        pause(Duration::from_millis(25));
    }
    assert!(!world.events().is_empty(), "not within {:?}", began.elapsed());
    assert_eq!(world.ending().0, Some(Reason::WriteTimeout));
}

// H1, H2
#[test]
fn one_byte_at_a_time_is_whole_at_the_other_end() {
    let service = Service::echo();
    let world = Plan::raw().before(service.address);
    let mut peer = world.app();
    let said: Vec<u8> = (0..=255).cycle().take(1_000).collect();
    peer.say_bytewise(&said).close_notify();
    let heard = peer.hear_all();
    assert!(heard.plain == said && heard.close_notify);
}

// ADV-09
#[test]
fn one_identity_has_no_more_than_its_share() {
    let service = Service::numbers();
    let limits = |l: &mut Limits| l.max_connections_per_identity = 3;
    let world = Plan::add_ten().limits(limits).before(service.address);
    let mut held: Vec<_> = (0..3).map(|_| world.app()).collect();
    for peer in &mut held {
        assert_eq!(peer.say(b"5\n").hear(3).text(), "15\n");
    }
    let heard = world.app().say(b"5\n").hear_all().clone();
    assert_eq!((heard.text().as_str(), heard.close_notify), ("", true));
    assert_eq!(world.ended(1)[0].reason, Some(Reason::IdentityLimit));
    // Another identity is not touched.
    assert_eq!(world.guest().say(b"5\n").hear(12).text(), "Not allowed\n");
    held.pop().unwrap().close_notify().hear_all();
    eventually("room for one more", || {
        (world.app().say(b"5\n").hear(3).text() == "15\n").then_some(())
    });
    assert_eq!(held[0].say(b"6\n").hear(6).text(), "15\n16\n");
}

// S3g
#[test]
fn a_listener_has_no_more_connections_than_it_may() {
    let service = Service::numbers();
    let world = Plan::add_ten().limits(|l| l.max_connections = 2).before(service.address);
    let mut held = [world.app(), world.app()];
    for peer in &mut held {
        assert_eq!(peer.say(b"5\n").hear(3).text(), "15\n");
    }
    // The reset may come before the connect returns.
    if let Ok(mut late) = TcpStream::connect(world.address) {
        late.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(read_all(&mut late), (Vec::new(), End::Reset));
    }
    let ended = world.ended(1);
    assert_eq!(
        (ended[0].event, ended[0].reason),
        (EventKind::Refused, Some(Reason::ConnectionLimit))
    );
    assert_eq!(held[1].say(b"6\n").hear(6).text(), "15\n16\n");
}

// ADV-01
#[test]
fn silent_ones_take_no_room_from_those_who_speak() {
    let service = Service::numbers();
    let limits = |l: &mut Limits| (l.max_handshakes, l.handshake_timeout) = (8, PATIENCE * 2);
    let world = Plan::add_ten().limits(limits).before(service.address);
    let mut silent: Vec<TcpStream> = (0..8).map(|_| plain(world.address)).collect();
    eventually("all of them", || (world.status().counts.handshakes == 8).then_some(()));
    pause(Duration::from_millis(700));
    for _ in 0..8 {
        world.serves();
    }
    assert_eq!(service.accepts(), 8);
    // One of the oldest had to go, and its room was enough.
    let refused = eventually("an eviction", || {
        world.events().into_iter().find(|event| event.event == EventKind::Refused)
    });
    assert_eq!(refused.reason, Some(Reason::HandshakeLimit), "{refused:?}");
    let gone = silent.iter_mut().filter_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        std::io::Read::read(stream, &mut [0]).err()
    });
    assert_eq!(gone.filter(|e| e.kind() == std::io::ErrorKind::ConnectionReset).count(), 1);
    assert!(world.status().counts.handshakes <= 8);
}

/// A service that answers the first number at once, and each other one when it is told to.
fn thinking(told: &Arc<AtomicBool>) -> Service {
    let told = told.clone();
    Service::start(move |conversation| {
        while let Some(line) = conversation.line() {
            while line != b"1\n" && !told.load(Ordering::Acquire) {
                pause(Duration::from_millis(5));
            }
            let _ = conversation.say(if line == b"1\n" { b"11\n" } else { b"15\n" });
        }
    })
}

// S3g: drain
#[test]
fn a_drain_ends_the_idle_at_once_and_lets_a_request_be_answered() {
    let told = Arc::new(AtomicBool::new(false));
    let service = thinking(&told);
    let world = Plan::add_ten().before(service.address);
    let (mut idle, mut busy) = (world.app(), world.app());
    assert_eq!(idle.say(b"1\n").hear(3).text(), "11\n");
    busy.say(b"5\n");
    eventually("two questions", || (service.heard().len() == 4).then_some(()));
    let drained = std::thread::scope(|scope| {
        let draining = scope.spawn(|| world.drain(PATIENCE));
        // The idle one ends while the other still waits for its answer, and the drain for both.
        assert!(idle.hear_all().close_notify);
        assert!(!draining.is_finished() && busy.heard().plain.is_empty());
        told.store(true, Ordering::Release);
        draining.join().unwrap()
    });
    assert!(drained);
    let busy = busy.hear_all();
    assert_eq!((busy.text().as_str(), busy.close_notify), ("15\n", true));
    let reasons: Vec<_> = world.ended(2).iter().filter_map(|event| event.reason).collect();
    assert_eq!(reasons, [Reason::Drained; 2]);
    assert!(TcpStream::connect(world.address).is_err() || world.events().len() >= 2);
}

// S3g: what does not end in time is cut, and does not look whole
#[test]
fn what_outlasts_the_drain_is_cut() {
    let service = Service::start(|conversation| {
        conversation.line();
        let _ = conversation.say(b"1");
        while !conversation.hear().is_empty() {}
    });
    let world = Plan::add_ten().before(service.address);
    let raw = Plan::raw().before(service.address);
    let (mut checked, mut unchecked) = (world.app(), raw.app());
    checked.say(b"5\n");
    assert_eq!(unchecked.say(b"5\n").hear(1).text(), "1");
    eventually("a question", || (service.heard().len() == 4).then_some(()));
    for world in [&world, &raw] {
        let began = Instant::now();
        assert!(!world.drain(Duration::from_millis(300)));
        world.cut();
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    }
    for (world, peer) in [(&world, &mut checked), (&raw, &mut unchecked)] {
        let heard = peer.hear_all();
        assert_eq!(world.ending().0, Some(Reason::DrainedLate));
        assert!(heard.text().len() <= 1);
    }
    let heard = unchecked.heard();
    assert!(!heard.close_notify && heard.end == Some(End::Reset));
    assert!(service.ends(2).contains(&Seen::Reset));
}
