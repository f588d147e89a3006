//! What a peer may say, and what the service may: the article's contract, over real TLS.

use segwan_core::rejection::{Class, Reason};
use segwan_tests::SLACK;
use segwan_tests::naughty;
use segwan_tests::peer::{End, Peer};
use segwan_tests::service::Service;
use segwan_tests::world::{Plan, World, says_nothing_of_the_inside};
use std::time::Instant;

fn patient(service: &Service) -> World {
    Plan::patient_add_ten().before(service.address)
}

/// Lines that must be refused, each without its end, and the class of the fault.
fn refused() -> Vec<(Vec<u8>, Class)> {
    let mut cases: Vec<(Vec<u8>, Class)> = [
        "²",
        "٣",
        "５",
        "½",
        "一",
        "Ⅷ",
        "+5",
        "007",
        "-0",
        "5_0",
        " 5",
        "5 ",
        "1e3",
        "five",
        "",
        "\r",
        "5\0",
        "\0",
        "5\t",
        "0x5",
        "5.0",
        "9999999999",
        "\u{feff}5",
        "5\u{200b}",
        "--5",
    ]
    .iter()
    .map(|text| (text.as_bytes().to_vec(), Class::Invalid))
    .collect();
    cases.push((vec![0xff], Class::Invalid));
    cases.push((vec![b'5', 0xff], Class::Invalid));
    cases.push((vec![0xed, 0x95], Class::Invalid));
    cases.push((vec![b'9'; 4301], Class::Frame));
    cases.push((vec![b'9'; 65_536], Class::Frame));
    cases.push((b"5\r6".to_vec(), Class::Frame));
    cases
}

// S3d, S3e, S3f, S3h, TRAP-18, TRAP-19, CON-13
#[test]
fn what_is_no_number_is_refused_and_never_reaches_the_service() {
    let service = Service::numbers();
    let world = patient(&service);
    let mut count = 0;
    for (line, class) in refused() {
        let mut peer = world.app();
        let shown = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
        peer.say(&line).say(b"\n");
        let heard = match class {
            Class::Frame => peer.hear_all(),
            _ => peer.say(b"7\n").hear(16),
        };
        let expected = if class == Class::Frame { "" } else { "Invalid data\n17\n" };
        assert_eq!(heard.text(), expected, "{shown:?}");
        says_nothing_of_the_inside(&heard.wire);
        peer.close_notify().hear_all();
        count += 1;
    }
    let _ = world.ended(count);
    let invalid = refused().iter().filter(|(_, class)| *class == Class::Invalid).count();
    assert_eq!(service.heard(), "7\n".repeat(invalid).into_bytes());
    let classes: Vec<_> = world.events().iter().filter_map(|event| event.class).collect();
    let expected: Vec<_> = refused().iter().map(|(_, class)| *class).collect();
    assert_eq!(classes, expected);
    world.serves();
}

// S1e, S3c, TRAP-01, TRAP-25, CON-02
#[test]
fn split_or_joined_the_verdicts_are_the_same() {
    let said: Vec<u8> = {
        let mut said = Vec::new();
        for (line, class) in refused() {
            if class == Class::Invalid {
                said.extend_from_slice(&line);
                said.extend_from_slice(b"\n-7\r\n5\n");
            }
        }
        said
    };
    type Say = fn(&mut Peer, &[u8]);
    let ways: [(&str, Say); 4] = [
        ("whole", |peer, said| {
            peer.say(said);
        }),
        ("byte by byte", |peer, said| {
            peer.say_bytewise(said);
        }),
        ("in threes", |peer, said| {
            for three in said.chunks(3) {
                peer.say(three);
            }
        }),
        ("line by line", |peer, said| {
            for line in said.split_inclusive(|byte| *byte == b'\n') {
                peer.say(line);
            }
        }),
    ];
    let mut results = Vec::new();
    for (how, say) in ways {
        let service = Service::numbers();
        let world = patient(&service);
        let mut peer = world.app();
        say(&mut peer, &said);
        let heard = peer.close_notify().hear_all().clone();
        assert!(heard.close_notify, "{how}");
        let _ = world.ended(1);
        results.push((how, heard.text(), service.heard(), world.rejections()));
    }
    let (_, text, seen, reasons) = results[0].clone();
    assert!(text.starts_with("Invalid data\n3\n15\nInvalid data\n3\n15\n"), "{text}");
    assert!(seen.starts_with(b"-7\n5\n-7\n5\n"));
    for (how, other_text, other_seen, other_reasons) in &results[1..] {
        assert_eq!((&text, &seen, &reasons), (other_text, other_seen, other_reasons), "{how}");
    }
}

// S2e, ADV-29, CON-26, CON-27, TRAP-11
#[test]
fn of_a_thousand_at_once_every_second_is_refused_in_its_place() {
    let service = Service::numbers();
    let world = patient(&service);
    let mut peer = world.app();
    let (mut said, mut expected, mut seen) = (String::new(), String::new(), String::new());
    for number in 0..500 {
        said += &format!("{number}\nx{number}\n");
        expected += &format!("{}\nInvalid data\n", number + 10);
        seen += &format!("{number}\n");
    }
    let heard = peer.say(said.as_bytes()).close_notify().hear_all().clone();
    assert!(heard.text() == expected, "{} of {} bytes", heard.plain.len(), expected.len());
    assert!(heard.close_notify);
    assert_eq!(String::from_utf8(service.heard()).unwrap(), seen);
    let totals = world.ended(1)[0].totals.unwrap();
    assert_eq!(
        (totals.messages_to_server, totals.messages_to_client, totals.refused),
        (500, 500, 500)
    );
}

// S2e, CON-19, CON-20, F6
#[test]
fn who_may_connect_and_not_add_is_told_so_and_the_service_sees_nothing() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let mut guest = world.guest();
    guest.say(b"5\n6\n7\n");
    let heard = guest.hear(36).clone();
    assert_eq!(heard.text(), "Not allowed\n".repeat(3));
    says_nothing_of_the_inside(&heard.wire);
    // The fourth ends it, as the contract says.
    let heard = guest.say(b"8\n9\n").hear_all().clone();
    assert_eq!(heard.text(), "Not allowed\n".repeat(4));
    assert!(heard.close_notify);
    assert_eq!(world.ended(1)[0].peer.as_deref(), Some("spiffe://shop.test/guest"));
    assert_eq!(service.heard(), b"");
    let rejected: Vec<_> = world.events().into_iter().filter(|e| e.class.is_some()).collect();
    assert_eq!(rejected.len(), 4);
    assert!(rejected.iter().all(|event| event.action.as_deref() == Some("add")), "{rejected:#?}");
}

// S3a, S4, TRAP-16, CON-01
#[test]
fn of_a_reply_that_breaks_the_contract_the_peer_sees_no_byte() {
    let leaks: [&'static [u8]; 7] = [
        b"Traceback (most recent call last):\n  File \"/srv/number_service.py\", line 19\n",
        b"15\r\n",
        b"015\n",
        b"15\n16\n",
        b"\xff\n",
        b"15 \n",
        b"1234567890123456789012345678901234567890",
    ];
    for leak in leaks {
        let service = Service::answering(leak);
        let world = Plan::add_ten().before(service.address);
        let mut peer = world.app();
        let heard = peer.say(b"5\n").hear_all().clone();
        let whole = if leak == b"15\n16\n" { "15\n" } else { "" };
        let shown = String::from_utf8_lossy(leak);
        assert_eq!(heard.text(), whole, "{shown:?}");
        assert!(!heard.close_notify && heard.end == Some(End::Reset), "{shown:?}: {heard:?}");
        let _ = world.ended(1);
        assert_eq!(world.rejections().len(), 1, "{shown:?}");
    }
}

// S3a: what stands before the leak was whole and is heard; what stands behind it is not
#[test]
fn a_service_that_speaks_unasked_is_not_heard() {
    let service = Service::start(|conversation| {
        let _ = conversation.say(b"15\n");
        while !conversation.hear().is_empty() {}
    });
    let world = Plan::add_ten().before(service.address);
    let heard = world.app().hear_all().clone();
    assert_eq!((heard.text(), heard.close_notify), (String::new(), false));
    let _ = world.ended(1);
    assert_eq!(world.rejections(), [Reason::Unasked]);
}

const BINARY: &str = r#"
contract = "binary/1"
pair     = { by = "none" }
[limits]
message = "1MiB"
[client]
frame  = { kind = "length", type = "u32be" }
decode = { kind = "bytes", name = "data" }
[[client.message]]
name        = "blob"
action      = "add"
fields.data = { bytes = [0, 1000000] }
[server]
frame  = { kind = "length", type = "u32be" }
decode = { kind = "bytes", name = "data" }
[[server.message]]
name        = "blob"
pushes      = true
fields.data = { bytes = [0, 1000000] }
"#;

// ADV-22, H4, TRAP-04
#[test]
fn two_gigabytes_are_refused_on_their_header() {
    let service = Service::echo();
    let world = Plan::under(BINARY).before(service.address);
    for size in [0x8000_0000_u32, u32::MAX, 0x7fff_ffff, 1 << 20] {
        let mut peer = world.app();
        let began = Instant::now();
        let heard = peer.say(&size.to_be_bytes()).hear_all();
        assert!(heard.plain.is_empty() && began.elapsed() < SLACK, "{size}");
    }
    let _ = world.ended(4);
    // From 2 GiB on no frame at all has that length.
    let (never, here) = (Reason::LengthRange, Reason::FrameTooLarge);
    assert_eq!(world.rejections(), [never, never, here, here]);
    assert_eq!(service.heard(), b"");
    let mut good = world.app();
    let whole = [&65_536_u32.to_be_bytes()[..], &[7; 65_536]].concat();
    assert_eq!(good.say(&whole).hear(whole.len()).plain, whole);
}

// S3d, TRAP-18, TRAP-19, ADV-46
#[test]
fn of_hundreds_of_naughty_lines_none_reaches_the_service() {
    let lines = naughty::lines();
    assert!(lines.len() >= 515, "{}", lines.len());
    let is_number = |line: &[u8]| {
        let digits = line.strip_prefix(b"-").unwrap_or(line);
        let first = digits.first().copied().unwrap_or_default();
        line == b"0"
            || (digits.len() <= 9
                && (b'1'..=b'9').contains(&first)
                && digits.iter().all(u8::is_ascii_digit))
    };
    assert!(!lines.iter().any(|line| is_number(line)));
    let service = Service::numbers();
    let world = patient(&service);
    let mut connections = 0;
    let mut peer = world.app();
    for line in &lines {
        let before = peer.heard().plain.len();
        peer.say(line).say(b"\n");
        let (fits, stray) = (line.len() < 16, line.contains(&b'\r'));
        if fits && !stray {
            let answer = &peer.hear(before + 13).plain[before..];
            assert_eq!(answer, b"Invalid data\n", "{:?}", String::from_utf8_lossy(line));
        } else {
            let heard = peer.hear_all();
            assert_eq!(heard.plain.len(), before, "{:?}", heard.text());
            connections += 1;
            peer = world.app();
        }
    }
    peer.close_notify().hear_all();
    let _ = world.ended(connections + 1);
    assert_eq!(service.heard(), b"", "the service saw something");
    assert_eq!(world.rejections().len(), lines.len());
    world.serves();
}

// ADV-36, TRAP-21
#[test]
fn what_peers_say_is_on_record_without_a_control_byte() {
    let service = Service::numbers();
    let world = patient(&service);
    let mut peer = world.app();
    for line in ["\u{1b}[31m", "\u{202e}5", "a\u{0}b", "`x`", "\u{2028}"] {
        peer.say(line.as_bytes()).say(b"\n");
    }
    peer.close_notify().hear_all();
    let _ = world.ended(1);
    for event in world.events() {
        let line = serde_json::to_string(&event).unwrap();
        let harmful = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
        assert!(!line.contains(harmful) && !line.contains("\\u001b"), "{line}");
    }
}
