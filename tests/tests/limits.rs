//! Nothing waits for ever and nothing grows without a bound: deadlines, numbers, back-pressure,
//! and the end of the gateway itself.

use segwan_core::audit::EventKind;
use segwan_core::limits::Limits;
use segwan_core::rejection::Reason;
use segwan_tests::peer::{End, Peer, plain, read_all};
use segwan_tests::service::{End as Seen, Service};
use segwan_tests::world::{ADD_TEN, Plan, World};
use segwan_tests::{PATIENCE, pause};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(400);

/// Shows that what `act` begins ends by itself when [`SHORT`] has passed, and why.
fn ends_in_time(world: &World, peer: &mut Peer, act: impl FnOnce(&mut Peer)) -> Option<Reason> {
    act(peer);
    let began = Instant::now();
    peer.hear_all();
    let took = began.elapsed();
    assert!(took > SHORT.mul_f64(0.5) && took < SHORT + Duration::from_secs(2), "{took:?}");
    world.ending().0
}

// S3g, ADV-01
#[test]
fn whoever_says_nothing_after_the_handshake_is_let_go() {
    for plan in [Plan::raw(), Plan::add_ten()] {
        let service = Service::silent();
        let world = plan.limits(|l| l.first_message_timeout = SHORT).before(service.address);
        let reason = ends_in_time(&world, &mut world.app(), |_| {});
        assert_eq!(reason, Some(Reason::FirstMessageTimeout));
    }
}

// S3g, ADV-21, H1
#[test]
fn a_byte_now_and_then_does_not_lengthen_a_message() {
    let service = Service::numbers();
    let world = Plan::add_ten().limits(|l| l.message_timeout = SHORT).before(service.address);
    let mut peer = world.app();
    let began = Instant::now();
    while peer.heard().end.is_none() && began.elapsed() < SHORT * 5 {
        peer.say(b"1").hear_for(Duration::from_millis(100));
    }
    assert!(began.elapsed() < SHORT * 3, "{:?}", began.elapsed());
    world.serves();
    assert_eq!(world.ended(2)[0].reason, Some(Reason::MessageTimeout));
    assert_eq!(service.heard(), b"5\n");
}

// S3g, ADV-26
#[test]
fn silence_in_both_directions_ends_a_connection() {
    for plan in [Plan::raw(), Plan::patient_add_ten()] {
        let service = Service::numbers();
        let world = plan.limits(|l| l.idle_timeout = SHORT).before(service.address);
        let reason = ends_in_time(&world, &mut world.app(), |peer| {
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
        while peer.heard().end.is_none() && began.elapsed() < SHORT * 5 {
            peer.say(b"5\n").hear_for(Duration::from_millis(20));
        }
        assert!(began.elapsed() < SHORT * 3, "{:?}", began.elapsed());
        assert_eq!(world.ending().0, Some(Reason::SessionLifetime));
    }
}

// ADV-32
#[test]
fn silence_after_one_side_closed_ends_the_connection() {
    for plan in [Plan::raw(), Plan::patient_add_ten()] {
        let service = Service::start(|conversation| {
            while !conversation.hear().is_empty() {}
            pause(Duration::from_secs(4));
        });
        let limits = |l: &mut Limits| l.half_close_idle_timeout = SHORT;
        let world = plan.limits(limits).before(service.address);
        let mut peer = world.app();
        let reason = ends_in_time(&world, &mut peer, |peer| {
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
    let reason = ends_in_time(&world, &mut world.app(), |peer| {
        peer.say(b"5\n");
    });
    assert_eq!(reason, Some(Reason::ReplyTimeout));
}

// ADV-28
#[test]
fn a_service_that_is_not_there_is_dialled_once_and_told_of() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
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
    assert!(began.elapsed() < SHORT * 8, "{:?}", began.elapsed());
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
    while world.events().is_empty() && began.elapsed() < SHORT * 10 {
        let _ = std::io::Read::read(&mut peer.tcp(), &mut byte);
        pause(Duration::from_millis(25));
    }
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
    segwan_tests::eventually("room for one more", || {
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
    let world = Plan::add_ten().limits(|l| l.max_handshakes = 8).before(service.address);
    let mut silent: Vec<TcpStream> = (0..8).map(|_| plain(world.address)).collect();
    pause(Duration::from_millis(700));
    for _ in 0..8 {
        world.serves();
    }
    assert_eq!(service.accepts(), 8);
    // One of the oldest had to go, and its room was enough.
    let refused = segwan_tests::eventually("an eviction", || {
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

/// A service that answers a number when it is told to, or after a while.
fn thinking(wait: Duration) -> Service {
    Service::start(move |conversation| {
        while conversation.line().is_some() {
            pause(wait);
            let _ = conversation.say(b"15\n");
        }
    })
}

// S3g: drain
#[test]
fn a_drain_ends_the_idle_at_once_and_lets_a_request_be_answered() {
    let service = thinking(Duration::from_millis(600));
    let world = Plan::add_ten().before(service.address);
    let (mut idle, mut busy) = (world.app(), world.app());
    assert_eq!(idle.say(b"5\n").hear(3).text(), "15\n");
    busy.say(b"5\n");
    segwan_tests::eventually("two questions", || (service.heard().len() == 4).then_some(()));
    let began = Instant::now();
    let waiting = std::thread::spawn(move || {
        let heard = idle.hear_all().clone();
        (began.elapsed(), heard)
    });
    assert!(world.drain(Duration::from_secs(5)));
    let took = began.elapsed();
    let (idle_took, idle) = waiting.join().unwrap();
    assert!(idle.close_notify && idle_took < Duration::from_millis(300), "{idle_took:?}");
    let busy = busy.hear_all();
    assert_eq!((busy.text().as_str(), busy.close_notify), ("15\n", true));
    assert!(took > Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
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
    segwan_tests::eventually("a question", || (service.heard().len() == 4).then_some(()));
    for world in [&world, &raw] {
        let began = Instant::now();
        assert!(!world.drain(Duration::from_millis(300)));
        assert!(began.elapsed() < Duration::from_secs(1));
        world.cut();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
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
