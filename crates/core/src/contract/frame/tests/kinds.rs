use super::*;
use crate::contract::Side;
use crate::contract::charset::Charset;

fn headers() -> FrameRule {
    let allow = ["Content-Length", "Content-Type"];
    FrameRule::Headers(Headers::new("Content-Length", &allow, 3, 64).unwrap())
}

fn octet_count() -> FrameRule {
    FrameRule::OctetCount(OctetCount::new(3).unwrap())
}

fn fixed(size: usize) -> FrameRule {
    FrameRule::Fixed(Fixed::new(size).unwrap())
}

/// 0x01: four bytes in all. 0x02: a length follows the type. 0x03: the same, the type fixed.
fn switch() -> FrameRule {
    let tlv = |magic: &[u8]| {
        Case::Length(Length::new(LengthType::Big(1), 1, false, 0, magic, 0).unwrap())
    };
    let cases = vec![(1, Case::Fixed(Fixed::new(4).unwrap())), (2, tlv(b"")), (3, tlv(b"\x03"))];
    FrameRule::Switch(Switch::new(0, LengthType::Big(1), cases).unwrap())
}

/// Every kind beside the ones that say their length in binary or end with fixed bytes.
pub(super) fn all() -> Vec<FrameRule> {
    vec![
        FrameRule::Netstring,
        FrameRule::Eof,
        FrameRule::Mllp,
        fixed(7),
        headers(),
        octet_count(),
        switch(),
    ]
}

/// The frame of four bytes of payload, its kind, and how it says that it is too large.
fn of_four() -> Vec<(FrameRule, &'static [u8])> {
    vec![
        (FrameRule::Netstring, b"4:abcd,"),
        (FrameRule::Mllp, b"\x0babcd\x1c\x0d"),
        (headers(), b"Content-Length: 4\r\n\r\nabcd"),
        (octet_count(), b"4 abcd"),
        (switch(), b"\x03\x04abcd"),
        (fixed(4), b"abcd"),
        (lines("lf"), b"abcd\n"),
        (lines("crlf"), b"abcd\r\n"),
        (lines("both"), b"abcd\n"),
        (FrameRule::Delimiter(Delimiter::new(b"\0").unwrap()), b"abcd\0"),
        (FrameRule::Delimiter(Delimiter::new(b"\0;").unwrap()), b"abcd\0;"),
        (length(LengthType::Big(1)), b"\x04abcd"),
        (length(LengthType::Big(2)), b"\0\x04abcd"),
        (length(LengthType::Little(2)), b"\x04\0abcd"),
        (length(LengthType::Big(3)), b"\0\0\x04abcd"),
        (length(LengthType::Little(3)), b"\x04\0\0abcd"),
        (length(LengthType::Big(4)), b"\0\0\0\x04abcd"),
        (length(LengthType::Little(4)), b"\x04\0\0\0abcd"),
        (length(LengthType::Big(8)), b"\0\0\0\0\0\0\0\x04abcd"),
        (length(LengthType::Little(8)), b"\x04\0\0\0\0\0\0\0abcd"),
        (length(LengthType::Varint(5)), b"\x04abcd"),
        (length(LengthType::AsciiDec(4)), b"0004abcd"),
        (
            FrameRule::Length(Length::new(LengthType::Big(2), 2, true, 0, b"\x03\0", 0).unwrap()),
            b"\x03\0\0\x08abcd",
        ),
    ]
}

// CON-02: at limit - 1, limit and limit + 1, whole and byte by byte.
#[test]
fn a_frame_may_be_as_large_as_the_limit_with_all_its_bytes() {
    for (rule, frame) in of_four() {
        let bytes: Vec<&[u8]> = frame.chunks(1).collect();
        for (limit, fits) in
            [(frame.len() - 1, false), (frame.len(), true), (frame.len() + 1, true)]
        {
            let expected = if fits {
                (vec![b"abcd".to_vec()], None)
            } else {
                (Vec::new(), Some(Reason::FrameTooLarge))
            };
            assert_eq!(frames(&rule, &[frame], limit), expected, "{rule:?}");
            assert_eq!(frames(&rule, &bytes, limit), expected, "{rule:?}");
        }
        let mut put = Vec::new();
        rule.put(b"abcd", &mut put).unwrap();
        assert_eq!(put, frame);
        // TRAP-17: of what was cut nothing is a frame.
        for cut in 1..frame.len() {
            assert_eq!(frames(&rule, &[&frame[..cut]], 64), (vec![], Some(Reason::TruncatedFrame)));
            let reset = rule.end(&frame[..cut], false, 64).unwrap_err();
            assert_eq!(reset.reason, Reason::TruncatedStream);
        }
    }
}

/// The protocols whose frame is their payload.
fn whole() -> Vec<(FrameRule, &'static [u8])> {
    let resp = |side| FrameRule::Resp(RespFrame { side, args: 9, string: 99, nodes: 9 });
    vec![
        (FrameRule::Mbap, b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x01"),
        (resp(Side::Client), b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"),
        (resp(Side::Server), b"+OK\r\n"),
        (resp(Side::Server), b"$4\r\nabcd\r\n"),
        (resp(Side::Server), b"*2\r\n:1\r\n$-1\r\n"),
    ]
}

// CON-02: the same of codecs, and of the direction that is one frame.
#[test]
fn a_frame_of_a_codec_may_be_as_large_as_the_limit() {
    for (rule, frame) in whole() {
        let bytes: Vec<&[u8]> = frame.chunks(1).collect();
        let size = frame.len();
        for (limit, fits) in [(size - 1, false), (size, true), (size + 1, true)] {
            for pieces in [&[frame][..], &bytes] {
                let (found, reason) = frames(&rule, pieces, limit);
                let expected = if fits {
                    (vec![frame.to_vec()], None)
                } else {
                    (vec![], Some(Reason::FrameTooLarge))
                };
                assert_eq!((found, reason), expected, "{rule:?} {limit}");
            }
        }
        for cut in 1..size {
            assert_eq!(frames(&rule, &[&frame[..cut]], 64), (vec![], Some(Reason::TruncatedFrame)));
        }
    }
    for (limit, fits) in [(3, false), (4, true), (5, true)] {
        let bytes: Vec<&[u8]> = b"abcd".chunks(1).collect();
        for pieces in [&[&b"abcd"[..]][..], &bytes] {
            let expected = if fits {
                (vec![b"abcd".to_vec()], None)
            } else {
                (vec![], Some(Reason::FrameTooLarge))
            };
            assert_eq!(frames(&FrameRule::Eof, pieces, limit), expected, "{limit}");
        }
    }
}

fn refused(rule: &FrameRule, bad: &[&[u8]], reason: Reason) {
    for bytes in bad {
        assert_eq!(frames(rule, &[bytes], 64).1, Some(reason), "{}", bytes.escape_ascii());
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(frames(rule, &pieces, 64).1, Some(reason), "{}", bytes.escape_ascii());
    }
}

// TRAP-08, TRAP-15
#[test]
fn a_netstring_has_one_spelling() {
    let rule = FrameRule::Netstring;
    let form: [&[u8]; 7] =
        [b"01:a,", b"+1:a,", b" 1:a,", b"1 :a,", b":a,", b"1234567890:", "１:a,".as_bytes()];
    refused(&rule, &form, Reason::LengthForm);
    refused(&rule, &[b"1:ab", b"0:,0:x"], Reason::FrameTerminator);
    // On its header alone, whatever it announces.
    refused(&rule, &[b"999999999:", b"62:"], Reason::FrameTooLarge);
    assert_eq!(frames(&rule, &[b"0:,3:a,b,"], 64), (vec![vec![], b"a,b".to_vec()], None));
}

// TRAP-08
#[test]
fn an_octet_count_has_one_spelling() {
    let rule = octet_count();
    let form: [&[u8]; 6] = [b"0 ", b"01 a", b"1234", b"+1 a", b"1\ta", b" 1 a"];
    refused(&rule, &form, Reason::LengthForm);
    refused(&rule, &[b"999 "], Reason::FrameTooLarge);
    // One space ends the length; what follows it is the message.
    assert_eq!(frames(&rule, &[b"2  a1 b"], 64), (vec![b" a".to_vec(), b"b".to_vec()], None));
    for none in [&b""[..], &[b'a'; 1000]] {
        assert_eq!(rule.put(none, &mut Vec::new()).unwrap_err().reason, Reason::LengthRange);
    }
}

#[test]
fn frames_of_fixed_size_are_cut_where_they_end() {
    let rule = fixed(3);
    assert_eq!(frames(&rule, &[b"abcd", b"ef"], 3), (vec![b"abc".to_vec(), b"def".to_vec()], None));
    assert_eq!(frames(&rule, &[b"abcd"], 3).1, Some(Reason::TruncatedFrame));
    assert_eq!(frames(&rule, &[b"abc"], 2).1, Some(Reason::FrameTooLarge));
    assert_eq!(rule.put(b"ab", &mut Vec::new()).unwrap_err().reason, Reason::LengthRange);
    assert!(Fixed::new(0).is_err());
}

// TRAP-07, TRAP-17, contracts.md 4.4
#[test]
fn a_whole_direction_is_one_frame_only_if_its_end_is_clean() {
    let rule = FrameRule::Eof;
    assert_eq!(rule.end(b"5", true, 2).unwrap().unwrap().payload, 0..1);
    assert_eq!(rule.end(b"55", true, 2).unwrap().unwrap().size, 2);
    assert_eq!(rule.end(b"5", false, 2).unwrap_err().reason, Reason::TruncatedStream);
    assert_eq!(rule.end(b"", true, 2).unwrap(), None);
    assert_eq!(rule.end(b"", false, 2).unwrap(), None);
    // Over the limit at once, not at its end, and the sentence does not tell how much came.
    let refused = rule.cut(b"555", &mut 0, 2).unwrap_err();
    assert_eq!(refused.sentence, "frame of 3 bytes is over the contract's limit of 2");
    assert_eq!(rule.cut(b"555555", &mut 0, 2).unwrap_err(), refused);
    assert_eq!(rule.cut(b"55", &mut 0, 2).unwrap(), None);
}

// CON-33: neither control byte is taken for data.
#[test]
fn a_block_holds_no_byte_that_begins_or_ends_one() {
    let rule = FrameRule::Mllp;
    let bad: [&[u8]; 6] = [
        b"MSH",
        b"\x0ba\x0bb\x1c\x0d",
        b"\x0ba\x1cb\x1c\x0d",
        b"\x0ba\x1c\x1c\x0d",
        b"\x0ba\x1c\x0a",
        b"\x0ba\x1c\x0d\x0d\x0bb\x1c\x0d",
    ];
    refused(&rule, &bad, Reason::BlockForm);
    assert_eq!(frames(&rule, &[b"\x0b\x1c", b"\x0d\x0ba\r\x1c\x0d"], 64).0, [&b""[..], b"a\r"]);
    refused(&rule, &[&[0x0b; 1], b"\x0ba\x1c"], Reason::TruncatedFrame);
    for bad in [&b"a\x0b"[..], b"\x1c"] {
        assert_eq!(rule.put(bad, &mut Vec::new()).unwrap_err().reason, Reason::BlockForm);
    }
}

// TRAP-06: what lets two readers disagree about the length of a body is refused.
#[test]
fn headers_are_read_in_one_way_only() {
    let rule = headers();
    let both = b"content-length: 2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhi";
    assert_eq!(frames(&rule, &[both], 90), (vec![b"hi".to_vec()], None));
    refused(
        &rule,
        &[
            b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
            b"Content-Length: 1\r\ncontent-length: 2\r\n\r\n",
        ],
        Reason::HeaderDuplicate,
    );
    refused(
        &rule,
        &[b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 1\r\nX: y\r\n\r\na"],
        Reason::HeaderUnknown,
    );
    refused(&rule, &[b"\r\n", b"Content-Type: a\r\n\r\n"], Reason::HeaderMissing);
    let form: [&[u8]; 12] = [
        b"Content-Length : 1\r\n\r\na",
        b"Content-Length:1\r\n\r\na",
        b"Content-Length:  1\r\n\r\na",
        b"Content-Length: 1 \r\n\r\na",
        b"Content-Length: \r\n\r\na",
        b"Content-Length: 1\n\na",
        b"Content-Type: a\rb\r\nContent-Length: 1\r\n\r\na",
        b"Content-Type: a\r\n b\r\nContent-Length: 1\r\n\r\na",
        b"Content-Type: a\tb\r\n\r\n",
        b"Content-Type: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b": 1\r\n\r\n",
    ];
    refused(&rule, &form, Reason::HeaderForm);
    let lengths: [&[u8]; 5] = [
        b"Content-Length: 01\r\n\r\na",
        b"Content-Length: +1\r\n\r\na",
        b"Content-Length: 1, 1\r\n\r\na",
        b"Content-Length: 0x1\r\n\r\na",
        b"Content-Length: 1234567890\r\n\r\n",
    ];
    refused(&rule, &lengths, Reason::LengthForm);
    refused(&rule, &[b"Content-Length: 999999999\r\n\r\n", &[b'a'; 64]], Reason::FrameTooLarge);
    let few = FrameRule::Headers(
        Headers::new("Content-Length", &["Content-Length", "Content-Type"], 1, 64).unwrap(),
    );
    refused(&few, &[b"Content-Type: a\r\nContent-Length: 0\r\n\r\n"], Reason::HeaderForm);
    for (length, allow) in [
        ("A", &["B"][..]),
        ("A", &["A", "a"]),
        ("A b", &["A b"]),
        ("A", &[]),
        ("A", &["A", "transfer-encoding"]),
    ] {
        assert!(Headers::new(length, allow, 16, 4096).is_err());
    }
}

// TRAP-06: what lets two readers disagree about what a body says is refused.
#[test]
fn a_content_type_names_no_charset_but_the_contracts() {
    let read_in = |charset| FrameRule::Headers(Headers::default().read_in(charset));
    let typed = |value: &str| format!("Content-Type: {value}\r\nContent-Length: 2\r\n\r\nhi");
    let reason =
        |charset, value: &str| frames(&read_in(charset), &[typed(value).as_bytes()], 256).1;
    for good in [
        "application/vscode-jsonrpc; charset=utf-8",
        "application/vscode-jsonrpc; charset=utf8",
        "application/vscode-jsonrpc;Charset=\"UTF-8\"; a=b",
        "application/json",
        "text/plain; a=utf-16",
    ] {
        assert_eq!(reason(Some(Charset::Utf8), good), None, "{good}");
    }
    for bad in [
        "application/json; charset=utf-16",
        "application/json; charset=utf-16le",
        "application/json; charset=utf-7",
        "application/json; charset=us-ascii",
        "application/json; CHARSET=UTF-16",
        "application/json; charset=\"utf-16\"",
        "application/json; charset = utf-8",
        "application/json; charset*=utf-16''a",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; a=\"; charset=utf-16\"",
        "application/json, a/b; charset=utf-16",
        "application/json,charset=utf-16",
        "application/json; charset=",
        "application/json; charset",
    ] {
        assert_eq!(reason(Some(Charset::Utf8), bad), Some(Reason::HeaderForm), "{bad}");
        assert_eq!(reason(None, bad), None, "bytes are bytes: {bad}");
    }
    let said = |charset, name: &str| reason(Some(charset), &format!("text/plain; charset={name}"));
    for (charset, own) in [
        (Charset::Ascii, "us-ascii"),
        (Charset::Ascii, "utf-8"),
        (Charset::Latin1, "ISO-8859-1"),
        (Charset::EucKr, "euc-kr"),
        (Charset::Cp949, "cp949"),
    ] {
        assert_eq!(said(charset, own), None, "{own}");
        assert_eq!(said(charset, "utf-16"), Some(Reason::HeaderForm));
    }
    assert_eq!(said(Charset::EucKr, "utf-8"), Some(Reason::HeaderForm));
}

#[test]
fn a_type_says_how_its_frame_is_cut() {
    let rule = switch();
    let stream = b"\x01abc\x02\x02hi\x03\x00\x01xyz";
    let payloads = [&b"\x01abc"[..], b"hi", b"", b"\x01xyz"];
    assert_eq!(frames(&rule, &[stream], 64), (payloads.map(<[u8]>::to_vec).to_vec(), None));
    refused(&rule, &[b"\x00", b"\x04abc"], Reason::FrameType);
    refused(&rule, &[b"\x02\xff"], Reason::FrameTooLarge);
    let mut out = Vec::new();
    rule.put(b"\x01abc", &mut out).unwrap();
    assert_eq!(out, b"\x01abc");
    // Four bytes of another type are no frame of the fixed size; the one with its type fixed holds.
    rule.put(b"abcd", &mut out).unwrap();
    assert_eq!(out, b"\x01abc\x03\x04abcd");
    let u8 = LengthType::Big(1);
    let case = |size| vec![(1, Case::Fixed(Fixed::new(size).unwrap()))];
    assert!(Switch::new(4, u8, case(4)).is_err(), "ends before its type");
    assert!(Switch::new(0, u8, vec![]).is_err());
    assert!(Switch::new(0, u8, vec![(256, case(4).remove(0).1)]).is_err());
    assert!(Switch::new(0, LengthType::Varint(5), case(4)).is_err());
}
