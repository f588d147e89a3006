//! Of a request: its size, its bounds, and the byte that ends what is not Modbus.

use super::*;

fn asked(request: &[u8]) -> Result<(), Reason> {
    let mut run = Run::allowed(contract(EVERYTHING));
    run.say(Side::Client, request, usize::MAX);
    match run.seen.reasons.first() {
        Some(reason) => {
            assert_eq!(run.seen.service, Vec::<u8>::new(), "nothing of it is written");
            Err(*reason)
        }
        None => {
            assert_eq!(run.seen.service, request);
            Ok(())
        }
    }
}

#[test]
fn a_request_has_the_size_and_the_bounds_of_its_function() {
    use Reason::{Filler, Range, Size, Undeclared};
    let coils = |count: u16, bytes: &[u8]| {
        let size = u8::try_from(bytes.len()).unwrap();
        [&[0, 0][..], &count.to_be_bytes(), &[size], bytes].concat()
    };
    let cases: Vec<(u8, Vec<u8>, Result<(), Reason>)> = vec![
        (1, hex("0000 07d0"), Ok(())),
        (1, hex("0000 07d1"), Err(Range)),
        (2, hex("0000 0000"), Err(Range)),
        (3, hex("0000 007d"), Ok(())),
        (3, hex("0000 007e"), Err(Range)),
        (4, hex("ffff 0001"), Ok(())),
        (4, hex("ffff 0002"), Err(Range)),
        (4, hex("0000 0001 00"), Err(Size)),
        (4, hex("0000 00"), Err(Size)),
        (4, hex(""), Err(Size)),
        (5, hex("0001 ff00"), Ok(())),
        (5, hex("0001 0000"), Ok(())),
        (5, hex("0001 0001"), Err(Range)),
        (5, hex("0001 ff"), Err(Size)),
        (6, hex("ffff ffff"), Ok(())),
        (6, hex("ffff ffff 00"), Err(Size)),
        (15, coils(9, &[0xff, 0x01]), Ok(())),
        (15, coils(9, &[0xff, 0x03]), Err(Filler)),
        (15, coils(9, &[0xff]), Err(Size)),
        (15, coils(9, &[0xff, 1, 0]), Err(Size)),
        (15, coils(1968, &[0; 246]), Ok(())),
        (15, coils(1969, &[0; 247]), Err(Range)),
        (15, coils(0, &[]), Err(Range)),
        (16, coils(2, &[0, 1, 0, 2]), Ok(())),
        (16, coils(3, &[0, 1, 0, 2]), Err(Size)),
        (16, coils(123, &[0; 246]), Ok(())),
        (16, coils(124, &[0; 246]), Err(Range)),
        (22, hex("0004 00f2 0025"), Ok(())),
        (22, hex("0004 00f2"), Err(Size)),
        (23, hex("0003 0006 000e 0001 02 00ff"), Ok(())),
        (23, hex("0003 0006 000e 0001 04 00ff 00ff"), Err(Size)),
        (23, hex("0003 007e 000e 0001 02 00ff"), Err(Range)),
        (23, [hex("0000 0001 0000 0079 f2"), vec![0; 242]].concat(), Ok(())),
        (23, [hex("0000 0001 0000 007a f2"), vec![0; 242]].concat(), Err(Range)),
        (23, hex("0000 0001 ffff 0002 04 0000 0000"), Err(Range)),
        (43, hex("0e 01 00"), Ok(())),
        (43, hex(""), Ok(())),
        (8, hex("0000 1234"), Err(Undeclared)),
        (0, hex(""), Err(Undeclared)),
        (0x81, hex("01"), Err(Undeclared)),
    ];
    for (code, data, wanted) in cases {
        assert_eq!(asked(&adu(1, code, &data)), wanted, "{code} {data:02x?}");
    }
}

#[test]
fn what_is_not_modbus_ends_at_the_byte_that_says_so() {
    for (said, reason) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Reason::ProtocolId),
        (hex("1603 0100 c8"), Reason::ProtocolId),
        (hex("0001 0001"), Reason::ProtocolId),
        (hex("0001 0000 0001"), Reason::LengthRange),
        (hex("0001 0000 0000"), Reason::LengthRange),
        (hex("0001 0000 00ff"), Reason::LengthRange),
        (hex("0001 0000 01"), Reason::LengthRange),
    ] {
        for piece in [1, usize::MAX] {
            let mut run = Run::allowed(contract(UNITS));
            run.say(Side::Client, &said, piece);
            assert_eq!(
                (run.seen.reasons.as_slice(), run.seen.ended),
                (&[reason][..], Some(reason))
            );
            assert!(run.seen.service.is_empty() && run.seen.peer.is_empty(), "{said:02x?}");
        }
    }
    // The third byte decides; two say nothing yet.
    let mut run = Run::allowed(contract(UNITS));
    run.say(Side::Client, b"GE", 1);
    assert_eq!(run.seen.ended, None);
    run.say(Side::Client, b"T", 1);
    assert_eq!(run.seen.ended, Some(Reason::ProtocolId));
}

// K-80: where a request may begin is where it must end, too.
#[test]
fn a_request_touches_no_address_that_its_message_does_not_have() {
    use Reason::Rule;
    let bits = |addr: u16, count: u16| {
        let bytes = vec![0; usize::from(count.div_ceil(8))];
        let size = u8::try_from(bytes.len()).unwrap();
        [&addr.to_be_bytes()[..], &count.to_be_bytes(), &[size], &bytes].concat()
    };
    let words = |addr: u16, count: u16| {
        let size = u8::try_from(2 * count).unwrap();
        let bytes = vec![0; 2 * usize::from(count)];
        [&addr.to_be_bytes()[..], &count.to_be_bytes(), &[size], &bytes].concat()
    };
    let read = |addr: u16, count: u16| [addr.to_be_bytes(), count.to_be_bytes()].concat();
    let both =
        |addr: u16, count: u16, at: u16, many: u16| [read(addr, count), words(at, many)].concat();
    let say = |fields: &str, code: u8, data: &[u8]| {
        let addr = "fields.addr   = { int = [0, 65535] }\n";
        let text = EVERYTHING
            .replace("match       = [1, 2, 3, 4]\n", &format!("match = [1, 2, 3, 4]\n{fields}\n"))
            .replace(addr, &format!("{fields}\n"))
            .replace("fields.addr       = { int = [0, 65535] }\n", &format!("{fields}\n"))
            .replace(
                "fields.write_addr = { int = [0, 65535] }\n",
                "fields.write_addr = { int = [5, 8] }\n",
            );
        let mut run = Run::allowed(contract(&text));
        run.say(Side::Client, &adu(1, code, data), usize::MAX);
        assert_eq!(run.seen.reasons.is_empty(), !run.seen.service.is_empty());
        run.seen.reasons.first().copied().map_or(Ok(()), Err)
    };
    let range = "fields.addr = { int = [0, 10] }";
    let listed = "fields.addr = { enum = [0, 20, 2, 1, 40] }";
    let one = "fields.addr = { const = 7 }";
    for (fields, code, data, wanted) in [
        (range, 16, words(10, 1), Ok(())),
        (range, 16, words(8, 3), Ok(())),
        (range, 16, words(10, 4), Err(Rule)),
        (range, 16, words(0, 12), Err(Rule)),
        (range, 15, bits(0, 11), Ok(())),
        (range, 15, bits(10, 2), Err(Rule)),
        (range, 6, read(10, 0), Ok(())),
        (range, 3, read(0, 11), Ok(())),
        (range, 3, read(0, 12), Err(Rule)),
        (range, 1, read(10, 2000), Err(Rule)),
        (range, 23, both(0, 11, 5, 4), Ok(())),
        (range, 23, both(0, 12, 5, 4), Err(Rule)),
        (range, 23, both(0, 11, 5, 5), Err(Rule)),
        (range, 23, both(0, 11, 8, 1), Ok(())),
        (listed, 16, words(0, 3), Ok(())),
        (listed, 16, words(0, 4), Err(Rule)),
        (listed, 16, words(20, 1), Ok(())),
        (listed, 16, words(20, 2), Err(Rule)),
        (listed, 16, words(40, 2), Err(Rule)),
        (listed, 4, read(2, 1), Ok(())),
        (listed, 4, read(1, 3), Err(Rule)),
        (one, 3, read(7, 1), Ok(())),
        (one, 3, read(7, 2), Err(Rule)),
        (one, 16, words(7, 2), Err(Rule)),
    ] {
        assert_eq!(say(fields, code, &data), wanted, "{fields}: {code} {data:02x?}");
    }
}

// CON-30: a master that may not ask is told so each time, and stays.
#[test]
fn a_refused_master_is_not_cut_off() {
    let mut run = Run::new(contract(UNITS), Warrant::Rehearsed(false), None);
    let read = adu(1, 3, &hex("0000 0001"));
    for _ in 0..200 {
        run.say(Side::Client, &read, usize::MAX);
    }
    assert_eq!((run.seen.service.len(), run.seen.ended), (0, None));
    assert_eq!(run.seen.peer, hex("0007 0000 0003 01 83 01").repeat(200));
}
