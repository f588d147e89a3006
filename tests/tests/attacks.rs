//! What happens before anybody is let in: wrong certificates, no TLS, handshakes that stall.

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error};
use segwan_core::audit::EventKind;
use segwan_core::rejection::Reason;
use segwan_tests::peer::{Peer, plain, read_all, reset};
use segwan_tests::pki::{Leaf, Pki, expired, not_yet_valid, uri};
use segwan_tests::server::TlsServer;
use segwan_tests::service::Service;
use segwan_tests::world::{Plan, World, says_nothing_of_the_inside};
use segwan_tests::{SLACK, pause};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

/// Every certificate that must not be believed, and the word on record.
fn wrong(pki: &Pki) -> Vec<(&'static str, Leaf, Reason)> {
    let long = "x".repeat(30 * 1024);
    vec![
        ("another authority", Pki::new().client("app"), Reason::UnknownIssuer),
        ("expired", pki.leaf("app", expired), Reason::CertificateExpired),
        ("not yet valid", pki.leaf("app", not_yet_valid), Reason::CertificateNotYetValid),
        ("made for a server", pki.service("app"), Reason::WrongUsage),
        (
            "made for nothing",
            pki.leaf("app", |params| params.extended_key_usages.clear()),
            Reason::WrongUsage,
        ),
        (
            "two names",
            pki.leaf("app", |p| p.subject_alt_names.push(uri("spiffe://shop.test/guest"))),
            Reason::IdentityInvalid,
        ),
        ("no name", pki.leaf("app", |p| p.subject_alt_names.clear()), Reason::IdentityInvalid),
        (
            "another trust domain",
            pki.leaf("app", |p| p.subject_alt_names = vec![uri("spiffe://other.test/app")]),
            Reason::WrongTrustDomain,
        ),
        (
            "the trust domain as a beginning",
            pki.leaf("app", |p| p.subject_alt_names = vec![uri("spiffe://shop.test.evil/app")]),
            Reason::WrongTrustDomain,
        ),
        (
            "a name that climbs",
            pki.leaf("app", |p| p.subject_alt_names = vec![uri("spiffe://shop.test/x/../app")]),
            Reason::IdentityInvalid,
        ),
        (
            "a NUL in the name",
            pki.leaf("app", |p| p.subject_alt_names = vec![uri("spiffe://shop.test/app\0x")]),
            Reason::IdentityInvalid,
        ),
        (
            "a line end in the name",
            pki.leaf("app", |p| p.subject_alt_names = vec![uri("spiffe://shop.test/a\nb")]),
            Reason::IdentityInvalid,
        ),
        (
            "an authority as a leaf",
            pki.leaf("app", |p| p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
            Reason::CertificateInvalid,
        ),
        ("below one that is no authority", pki.below_a_leaf("app"), Reason::CertificateInvalid),
        (
            "30 KiB of a certificate",
            pki.leaf("app", |p| p.subject_alt_names.push(uri(&format!("spiffe://x/{long}")))),
            Reason::CertificateInvalid,
        ),
    ]
}

fn denied(error: Option<&Error>) -> bool {
    matches!(error, Some(Error::AlertReceived(AlertDescription::AccessDenied)))
}

// S1b, S2b, S2d, ADV-07, F6
#[test]
fn each_wrong_certificate_gets_the_same_alert_and_no_byte() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let mut count = 0;
    for (what, leaf, reason) in wrong(&world.pki) {
        let mut peer = Peer::connect(world.address, Some(&leaf));
        let heard = peer.say(b"5\n").hear_all();
        assert!(denied(heard.fault.as_ref()), "{what}: {:?}", heard.fault);
        assert_eq!(heard.text(), "", "{what}");
        says_nothing_of_the_inside(&heard.wire);
        // On record when the peer has gone, or a second later.
        drop(peer);
        count += 1;
        let ended = world.ended(count);
        let last = ended.last().unwrap();
        assert_eq!(
            (last.event, last.reason),
            (EventKind::Refused, Some(reason)),
            "{what}: {last:?}"
        );
        assert!(!last.sentence.contains(['\n', '\0']), "{what}: {:?}", last.sentence);
    }
    assert_eq!((service.accepts(), service.heard()), (0, Vec::new()));
    world.serves();
}

// ADV-07, S2d
#[test]
fn over_tls_1_2_each_wrong_certificate_fails_the_handshake() {
    let service = Service::numbers();
    let world = Plan::add_ten().tls_12().before(service.address);
    for (what, leaf, _) in wrong(&world.pki) {
        let error = Peer::connect_12(world.address, Some(&leaf)).err();
        assert!(denied(error.as_ref()), "{what}: {error:?}");
    }
    assert!(Peer::connect_12(world.address, None).is_err());
    assert_eq!(service.accepts(), 0);
    let mut good = Peer::connect_12(world.address, Some(&world.app)).ok().unwrap();
    assert_eq!(good.say(b"5\n").hear(3).text(), "15\n");
}

// S2d, ADV-07, F6
#[test]
fn whoever_shows_no_certificate_is_refused() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let mut peer = Peer::connect(world.address, None);
    let heard = peer.say(b"5\n").hear_all();
    let expected = Error::AlertReceived(AlertDescription::CertificateRequired);
    assert_eq!((heard.fault.clone(), heard.text()), (Some(expected), String::new()));
    says_nothing_of_the_inside(&heard.wire);
    assert_eq!(world.ending().0, Some(Reason::CertificateRequired));
    assert_eq!(service.accepts(), 0);
}

// S2e, F6: a denial looks like a service that has nothing to say
#[test]
fn whoever_is_not_admitted_sees_a_handshake_and_an_end() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let mut peer = Peer::connect(world.address, Some(&world.pki.client("stranger")));
    let heard = peer.say(b"5\n").hear_all();
    assert!(heard.close_notify && heard.fault.is_none(), "{heard:?}");
    assert_eq!(heard.text(), "");
    says_nothing_of_the_inside(&heard.wire);
    let ended = world.ended(1);
    assert_eq!(ended[0].reason, Some(Reason::PolicyDenied));
    assert_eq!(ended[0].peer.as_deref(), Some("spiffe://shop.test/stranger"));
    assert_eq!(service.accepts(), 0);
}

// ADV-03, S1c, S3b
#[test]
fn what_is_not_tls_is_turned_away_and_learns_nothing() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let huge = {
        // A handshake message of 16 MiB, begun in records of the largest size.
        let mut bytes = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
        bytes.resize(5 + 0x4000, 0);
        let record = [&[0x16, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
        for _ in 0..8 {
            bytes.extend_from_slice(&record);
        }
        bytes
    };
    let cases: Vec<Vec<u8>> = vec![
        b"5\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"SSH-2.0-x\r\n".to_vec(),
        vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80],
        vec![0x16, 3, 1, 0xff, 0xff, 1, 0, 0, 0],
        vec![0x17, 3, 3, 0, 1, 0],
        vec![0x15, 3, 3, 0, 2, 2, 40],
        vec![0x14, 3, 3, 0, 1, 1],
        vec![0x16, 3, 1, 0, 0],
        vec![0; 100_000],
        (0..=255).cycle().take(100_000).collect(),
        huge,
    ];
    let mut count = 0;
    for round in 0..6 {
        for bytes in &cases {
            let mut stream = plain(world.address);
            let _ = stream.write_all(bytes);
            if round % 2 == 1 {
                reset(&stream);
                drop(stream);
            } else {
                let _ = stream.shutdown(Shutdown::Write);
                let (heard, _) = read_all(&mut stream);
                assert!(
                    heard.is_empty() || heard[0] == 0x15,
                    "{heard:?} to {:?}",
                    &bytes[..9.min(bytes.len())]
                );
                assert!(heard.len() <= 7, "{heard:?}");
                says_nothing_of_the_inside(&heard);
            }
            count += 1;
        }
        world.serves();
        count += 1;
    }
    let ended = world.ended(count);
    assert_eq!(ended.iter().filter(|event| event.event == EventKind::Closed).count(), 6);
    let words = [Reason::TlsError, Reason::TlsVersion, Reason::ResetByPeer];
    for event in ended.iter().filter(|event| event.event == EventKind::Refused) {
        assert!(event.reason.is_some_and(|reason| words.contains(&reason)), "{event:?}");
    }
    assert_eq!(service.accepts(), 6);
    world.empty();
}

// S1c, T-01: no way down
#[test]
fn tls_1_2_does_not_reach_a_listener_that_needs_1_3() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let error = Peer::connect_12(world.address, Some(&world.app)).err();
    assert_eq!(error, Some(Error::AlertReceived(AlertDescription::ProtocolVersion)));
    assert_eq!(world.ending().0, Some(Reason::TlsVersion));
    assert_eq!(service.accepts(), 0);
}

// ADV-02, ADV-06, F5, F6
#[test]
fn whoever_stalls_in_the_handshake_is_reset_when_its_time_is_over() {
    let service = Service::numbers();
    let short = Duration::from_secs(1);
    let world = Plan::add_ten().limits(|l| l.handshake_timeout = short).before(service.address);
    let hello = Peer::begin(world.address, None, &TLS13).pending();
    let _gone = world.ended(1);
    let began = Instant::now();
    // Nothing; half a ClientHello; a whole one, and never the certificate.
    let mut stalled: Vec<TcpStream> = Vec::new();
    for size in [0, 1, 5, hello.len() / 2, hello.len() - 1, hello.len()] {
        let mut stream = plain(world.address);
        stream.write_all(&hello[..size]).unwrap();
        stalled.push(stream);
    }
    // A byte now and then does not lengthen it.
    let mut slow = plain(world.address);
    for byte in &hello {
        pause(Duration::from_millis(100));
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        if began.elapsed() > short + SLACK {
            panic!("a byte now and then lengthens the handshake");
        }
    }
    world.serves();
    for stream in &mut stalled {
        let _ = read_all(stream);
    }
    let took = began.elapsed();
    assert!(took > short.mul_f64(0.9) && took < short + SLACK, "{took:?}");
    let ended = world.ended(9);
    let late = ended.iter().filter(|e| e.reason == Some(Reason::HandshakeTimeout)).count();
    assert_eq!(late, 7, "{ended:#?}");
    assert_eq!(service.accepts(), 1);
}

// ADV-02, TRAP-01
#[test]
fn a_handshake_byte_by_byte_is_a_handshake() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let mut peer = Peer::begin(world.address, Some(&world.app), &TLS13);
    peer.shake_hands_bytewise().unwrap();
    assert_eq!(peer.say_bytewise(b"5\n").hear(3).text(), "15\n");
}

// ADV-02 (RUSTSEC-2024-0399, RUSTSEC-2024-0336)
#[test]
fn a_client_hello_followed_by_close_notify_neither_spins_nor_panics() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    for fin in [true, false] {
        let mut peer = Peer::begin(world.address, None, &TLS13);
        let hello = peer.pending();
        peer.send_raw(&[&hello[..], &[0x15, 3, 3, 0, 2, 1, 0]].concat()).unwrap();
        if fin {
            peer.fin();
        }
        let began = Instant::now();
        peer.hear_all();
        assert!(began.elapsed() < SLACK || !fin, "{:?}", began.elapsed());
    }
    assert_eq!(service.accepts(), 0);
    world.serves();
}

// ADV-04
#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let hello = Peer::begin(world.address, None, &TLS13).pending();
    let sizes = (0..hello.len()).step_by(hello.len() / 100);
    let mut count = 1;
    for size in sizes {
        let mut stream = plain(world.address);
        stream.write_all(&hello[..size]).unwrap();
        reset(&stream);
        count += 1;
    }
    for _ in 0..30 {
        world.app().reset();
        count += 1;
    }
    for _ in 0..30 {
        let mut peer = world.app();
        peer.say(b"5");
        peer.reset();
        count += 1;
    }
    let ended = world.ended(count);
    assert!(ended.iter().all(|event| event.reason.is_some()), "{ended:#?}");
    world.empty();
    world.serves();
    assert!(!service.heard().starts_with(b"55"));
}

// F6, ADV-01, S2d
#[test]
fn three_hundred_who_are_not_let_in_do_not_touch_the_service() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let silent: Vec<_> = (0..100).map(|_| plain(world.address)).collect();
    let (stranger, foreign) = (world.pki.client("stranger"), Pki::new().client("app"));
    for _ in 0..100 {
        let mut failed = Peer::connect(world.address, Some(&foreign));
        assert!(denied(failed.say(b"5\n").hear_all().fault.as_ref()));
        let mut denied = Peer::connect(world.address, Some(&stranger));
        assert_eq!(denied.say(b"5\n").hear_all().text(), "");
    }
    assert_eq!((service.accepts(), service.heard()), (0, Vec::new()));
    world.serves();
    assert_eq!(service.accepts(), 1);
    drop(silent);
    let _ = world.ended(301);
    world.empty();
}

// ADV-27
#[test]
fn a_flood_of_key_updates_from_one_who_does_not_read_harms_nobody() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let mut peer = world.app();
    peer.tcp().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    peer.update_keys(3_000);
    world.serves();
    drop(peer);
    world.serves();
    let _ = world.ended(3);
}

/// A client half towards `leaf`, and what came of one line.
fn towards(world: &World, far: &TlsServer) -> (Vec<u8>, Option<Reason>) {
    let mut local = plain(world.address);
    let _ = local.write_all(b"secret\n");
    let (heard, _) = read_all(&mut local);
    assert_eq!(far.trusted_with(), b"");
    let on_the_wire = far.wire();
    assert!(!on_the_wire.windows(6).any(|six| six == b"secret"));
    (heard, world.ending().0)
}

// F1, S1b, S2a, ADV-48
#[test]
fn a_client_half_trusts_no_server_but_the_one_it_means() {
    let plans = || {
        let plan = Plan::raw();
        let pki = plan.pki();
        (plan, pki)
    };
    type Make = fn(&Pki) -> Leaf;
    let cases: [(&str, Make, Reason); 7] = [
        ("another of its authority", |pki| pki.service("mail"), Reason::PeerNameMismatch),
        ("its name as a beginning", |pki| pki.service("calculator2"), Reason::PeerNameMismatch),
        ("another authority", |_| Pki::new().service("calculator"), Reason::UnknownIssuer),
        ("made for a client", |pki| pki.client("calculator"), Reason::WrongUsage),
        (
            "expired",
            |pki| {
                pki.leaf("calculator", |params| {
                    params.extended_key_usages = vec![ServerAuth];
                    expired(params);
                })
            },
            Reason::CertificateExpired,
        ),
        (
            "another trust domain",
            |pki| {
                pki.leaf("calculator", |params| {
                    params.extended_key_usages = vec![ServerAuth, ClientAuth];
                    params.subject_alt_names = vec![uri("spiffe://other.test/calculator")];
                })
            },
            Reason::WrongTrustDomain,
        ),
        (
            "two names",
            |pki| {
                pki.leaf("calculator", |params| {
                    params.extended_key_usages = vec![ServerAuth];
                    params.subject_alt_names.push(uri("spiffe://shop.test/mail"));
                })
            },
            Reason::IdentityInvalid,
        ),
    ];
    for (what, make, expected) in cases {
        let (plan, pki) = plans();
        let rogue = TlsServer::start(&make(&pki), &TLS13);
        let (heard, reason) = towards(&plan.towards(rogue.address), &rogue);
        assert_eq!((heard, reason), (Vec::new(), Some(expected)), "{what}");
    }
    let (plan, pki) = plans();
    let old = TlsServer::start(&pki.service("calculator"), &TLS12);
    let (heard, reason) = towards(&plan.towards(old.address), &old);
    assert!(
        heard.is_empty() && matches!(reason, Some(Reason::TlsVersion | Reason::TlsError)),
        "{reason:?}"
    );
}

// F1: the same with the server that is meant, so that the cases above fail for their reason
#[test]
fn a_client_half_reaches_the_server_that_it_means() {
    let plan = Plan::raw();
    let far = TlsServer::start(&plan.pki().service("calculator"), &TLS13);
    let world = plan.towards(far.address);
    let mut local = plain(world.address);
    local.write_all(b"secret\n").unwrap();
    let mut heard = [0; 7];
    std::io::Read::read_exact(&mut local, &mut heard).unwrap();
    assert_eq!((&heard[..], far.trusted_with()), (&b"secret\n"[..], b"secret\n".to_vec()));
    assert!(!far.wire().windows(6).any(|six| six == b"secret"));
}

// ADV-48
#[test]
fn a_far_side_that_speaks_plaintext_gets_and_gives_nothing() {
    let plain_far = Service::answering(b"welcome\n");
    let shouting = Service::start(|conversation| {
        let _ = conversation.say(b"welcome\n");
        while !conversation.hear().is_empty() {}
    });
    for far in [&plain_far, &shouting] {
        let world = Plan::raw()
            .limits(|l| l.handshake_timeout = Duration::from_secs(1))
            .towards(far.address);
        let mut local = plain(world.address);
        let _ = local.write_all(b"secret\n");
        let (heard, _) = read_all(&mut local);
        assert_eq!(heard, b"");
        let reason = world.ending().0;
        assert!(matches!(reason, Some(Reason::TlsError | Reason::HandshakeTimeout)), "{reason:?}");
        assert!(!far.heard().windows(6).any(|six| six == b"secret"));
    }
}
