//! Every kind of frame, cut from bytes that nobody framed: the same frames and the same end whole,
//! byte by byte and in pieces; what is put is cut again.
//!
//! Input: the rule, the limit, the size of a piece, then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::contract::frame::{
    AtEof, Case, Delimiter, Fixed, FrameRule, Headers, Length, LengthType, Lines, OctetCount, Switch,
};
use segwan_core::rejection::Reason;

fuzz_target!(|data: &[u8]| {
    let [rule, limit, piece, stream @ ..] = data else { return };
    let rule = self::rule(*rule);
    let limit = usize::from(*limit).max(1);
    let whole = frames(&rule, stream, stream.len().max(1), limit);
    assert_eq!(frames(&rule, stream, 1, limit), whole);
    assert_eq!(frames(&rule, stream, usize::from(*piece).max(1), limit), whole);

    let mut framed = Vec::new();
    if rule.put(stream, &mut framed).is_ok() {
        // What was put is one frame, unless the rule wants a longer payload than it got.
        match rule.cut(&framed, &mut 0, framed.len()) {
            Ok(Some(frame)) => {
                assert_eq!(frame.size, framed.len());
                assert_eq!(&framed[frame.payload], stream);
            }
            // The whole stream is a frame at its end, unless there is none of it.
            Ok(None) if rule == FrameRule::Eof => {
                let last = rule.end(&framed, true, framed.len()).expect("a clean end");
                assert_eq!(last.map_or(0, |last| last.size), stream.len());
            }
            Ok(None) => panic!("what was put is no whole frame"),
            Err(violation) => assert_eq!(violation.reason, Reason::LengthRange),
        }
    } else {
        assert!(framed.is_empty(), "a refused payload leaves nothing behind");
    }
});

/// All frames of a stream that arrives in pieces of one size, and how it ended.
fn frames(
    rule: &FrameRule,
    stream: &[u8],
    piece: usize,
    limit: usize,
) -> (Vec<Vec<u8>>, Option<Reason>) {
    let (mut buffer, mut scanned, mut found) = (Vec::new(), 0, Vec::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match rule.cut(&buffer, &mut scanned, limit) {
                Ok(Some(frame)) => {
                    assert!(frame.size <= limit && frame.payload.end <= frame.size);
                    found.push(buffer[frame.payload].to_vec());
                    buffer.drain(..frame.size);
                }
                Ok(None) => break,
                Err(violation) => return (found, Some(violation.reason)),
            }
        }
    }
    match rule.end(&buffer, true, limit) {
        Ok(Some(last)) => found.push(buffer[last.payload].to_vec()),
        Ok(None) => {}
        Err(violation) => return (found, Some(violation.reason)),
    }
    (found, None)
}

fn rule(byte: u8) -> FrameRule {
    let (kind, variant) = (byte & 0x1f, byte >> 5);
    let lines = |lf, crlf| {
        let at_eof = if variant & 1 == 0 { AtEof::Reject } else { AtEof::Accept };
        FrameRule::Lines(Lines { lf, crlf, writes_crlf: !lf, at_eof, skip_empty: variant & 2 != 0 })
    };
    match kind {
        0 => lines(true, false),
        1 => lines(false, true),
        2 => lines(true, true),
        3 => FrameRule::Delimiter(Delimiter::new(b"\0").expect("a delimiter")),
        4 => FrameRule::Delimiter(Delimiter::new(b"\0;").expect("a delimiter")),
        5 => FrameRule::Delimiter(Delimiter::new(b"\r\n.").expect("a delimiter")),
        25 => FrameRule::Netstring,
        26 => FrameRule::Eof,
        27 => FrameRule::Mllp,
        28 => FrameRule::Fixed(Fixed::new(usize::from(variant) + 1).expect("a size")),
        29 => FrameRule::OctetCount(OctetCount::new(variant + 1).expect("digits")),
        30 => {
            let headers = Headers::new("A", &["A", "B"], 2, 16 << variant);
            FrameRule::Headers(headers.expect("keys within their range"))
        }
        31 => switch(usize::from(variant)),
        kind => {
            let name = LengthType::NAMES[usize::from(kind - 6) % LengthType::NAMES.len()];
            let digits = (name == "ascii-dec").then_some(3);
            let kind = LengthType::new(name, digits, None).expect("a type");
            let (at, header, adjust, magic, min): (_, _, _, &[u8], _) = match variant {
                0 | 1 => (0, false, 0, b"", 0),
                2 => (2, true, 0, b"\x03\0", 0),
                3 => (1, false, -4, b"", 0),
                4 => (0, true, 3, b"", 1),
                5 => (4, false, 64, b"MAGI", 2),
                6 => (64, true, -64, b"", 0),
                _ => (0, false, -64, b"", 3),
            };
            let length = Length::new(kind, at, header, adjust, magic, min);
            FrameRule::Length(length.expect("keys within their range"))
        }
    }
}

/// Types 0x30 and 0x31, one of a fixed size and one with a length behind it.
fn switch(at: usize) -> FrameRule {
    let magic: &[u8] = if at == 0 { b"1" } else { b"" };
    let length = Length::new(LengthType::Big(1), at + 1, false, 0, magic, 0).expect("a length");
    let fixed = Fixed::new(at + 3).expect("a size");
    let cases = vec![(0x30, Case::Fixed(fixed)), (0x31, Case::Length(length))];
    FrameRule::Switch(Switch::new(at, LengthType::Big(1), cases).expect("keys within their range"))
}
