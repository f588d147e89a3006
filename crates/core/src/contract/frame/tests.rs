use super::*;
use proptest::prelude::*;

mod kinds;

fn lines(ends: &str) -> FrameRule {
    FrameRule::Lines(Lines {
        lf: ends != "crlf",
        crlf: ends != "lf",
        writes_crlf: ends == "crlf",
        at_eof: AtEof::Reject,
        skip_empty: false,
    })
}

fn length(kind: LengthType) -> FrameRule {
    FrameRule::Length(Length::new(kind, 0, false, 0, b"", 0).unwrap())
}

/// All frames of a stream that arrives in pieces, and how it ended.
fn frames(rule: &FrameRule, pieces: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, Option<Reason>) {
    let (mut buffer, mut scanned, mut found) = (Vec::new(), 0, Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match rule.cut(&buffer, &mut scanned, limit) {
                Ok(Some(frame)) => {
                    found.push(buffer[frame.payload].to_vec());
                    buffer.drain(..frame.size);
                }
                Ok(None) => break,
                Err(violation) => return (found, Some(violation.reason)),
            }
        }
    }
    match rule.end(&buffer, true, limit) {
        Ok(last) => found.extend(last.map(|frame| buffer[frame.payload].to_vec())),
        Err(violation) => return (found, Some(violation.reason)),
    }
    (found, None)
}

// CON-02: at limit - 1, limit and limit + 1, in one piece.
#[test]
fn a_line_may_be_as_long_as_the_limit_with_its_end() {
    let rule = lines("lf");
    assert_eq!(frames(&rule, &[b"123\n"], 4), (vec![b"123".to_vec()], None));
    assert_eq!(frames(&rule, &[b"1234\n"], 4).1, Some(Reason::FrameTooLarge));
    assert_eq!(frames(&rule, &[b"12\n"], 4).1, None);
    assert_eq!(frames(&rule, &[b"1234"], 4).1, Some(Reason::FrameTooLarge));
}

// TRAP-05
#[test]
fn a_line_end_that_only_one_side_knows_is_refused() {
    assert_eq!(frames(&lines("lf"), &[b"5\r\n"], 16).1, Some(Reason::LineEnd));
    assert_eq!(frames(&lines("crlf"), &[b"5\n"], 16).1, Some(Reason::LineEnd));
    assert_eq!(frames(&lines("both"), &[b"5\r6\n"], 16).1, Some(Reason::LineEnd));
    assert_eq!(frames(&lines("both"), &[b"5\r\r\n"], 16).1, Some(Reason::LineEnd));
    assert_eq!(frames(&lines("both"), &[b"5\r", b"\n6\n"], 16).0, [b"5".to_vec(), b"6".to_vec()]);
}

// TRAP-17, contracts.md 4.4
#[test]
fn an_end_inside_a_line_is_a_frame_only_where_the_contract_accepts_it() {
    let rule = lines("lf");
    assert_eq!(rule.end(b"5", true, 16).unwrap_err().reason, Reason::TruncatedFrame);
    assert_eq!(rule.end(b"5", false, 16).unwrap_err().reason, Reason::TruncatedStream);
    assert_eq!(rule.end(b"", false, 16).unwrap(), None);
    let FrameRule::Lines(strict) = rule else { unreachable!() };
    let accepts = FrameRule::Lines(Lines { at_eof: AtEof::Accept, ..strict });
    assert_eq!(accepts.end(b"5", true, 16).unwrap().unwrap().payload, 0..1);
    assert_eq!(accepts.end(b"5", false, 16).unwrap_err().reason, Reason::TruncatedStream);
}

// K-12
#[test]
fn a_delimiter_that_overlaps_itself_is_none() {
    for bad in [&b"aa"[..], b"\r\n.\r\n", b"\r\n\r\n", b"", b"123456789"] {
        assert!(Delimiter::new(bad).is_err());
    }
    let rule = FrameRule::Delimiter(Delimiter::new(b"\r\n").unwrap());
    assert_eq!(frames(&rule, &[b"a\r", b"\n\nb\r\n"], 8).0, [b"a".to_vec(), b"\nb".to_vec()]);
    assert_eq!(frames(&rule, &[b"12345678"], 8).1, Some(Reason::FrameTooLarge));
}

// TRAP-08, TRAP-15, ADV-22
#[test]
fn an_oversized_frame_is_refused_on_its_header_alone() {
    let rule = length(LengthType::Big(4));
    let (mut scanned, limit) = (0, 64);
    let refused = rule.cut(&65_u32.to_be_bytes(), &mut scanned, limit).unwrap_err();
    assert_eq!(refused.reason, Reason::FrameTooLarge);
    assert_eq!(refused.sentence, "frame of 69 bytes is over the contract's limit of 64");
    let two_gigabytes = 0x7fff_ffff_u32.to_be_bytes();
    assert_eq!(frames(&rule, &[&two_gigabytes], limit).1, Some(Reason::FrameTooLarge));
    assert_eq!(frames(&rule, &[&[0xff; 4]], limit).1, Some(Reason::LengthRange));
    assert_eq!(
        frames(&length(LengthType::Big(8)), &[&[0xff; 8]], limit).1,
        Some(Reason::LengthRange)
    );
}

// TRAP-08
#[test]
fn a_length_is_written_in_one_way_only() {
    let varint = length(LengthType::Varint(5));
    assert_eq!(frames(&varint, &[&[0x80, 0x00]], 64).1, Some(Reason::LengthForm));
    assert_eq!(frames(&varint, &[&[0x80; 5]], 64).1, Some(Reason::LengthForm));
    assert_eq!(frames(&varint, &[&[0x00, 0x01, 7]], 64).0, [vec![], vec![7]]);
    let digits = length(LengthType::AsciiDec(4));
    for bad in [&b"+064"[..], b" 064", b"0x40", b"\xa3\xb0\xa3\xb0", b"-001"] {
        assert_eq!(frames(&digits, &[bad], 64).1, Some(Reason::LengthForm));
    }
    assert_eq!(frames(&digits, &[b"0002hi"], 64).0, [b"hi".to_vec()]);
}

#[test]
fn a_length_counts_what_the_rule_says() {
    let postgres = Length::new(LengthType::Big(4), 1, false, -4, b"", 0).unwrap();
    let rule = FrameRule::Length(postgres);
    assert_eq!(frames(&rule, &[b"Q\0\0\0\x06hi"], 64).0, [b"hi".to_vec()]);
    assert_eq!(frames(&rule, &[b"Q\0\0\0\x03"], 64).1, Some(Reason::LengthRange));
    let tpkt = Length::new(LengthType::Big(2), 2, true, 0, b"\x03\0", 0).unwrap();
    let rule = FrameRule::Length(tpkt);
    assert_eq!(frames(&rule, &[b"\x03\0\0\x06hi"], 64).0, [b"hi".to_vec()]);
    assert_eq!(frames(&rule, &[b"G"], 64).1, Some(Reason::Magic));
    assert_eq!(frames(&rule, &[b"\x03\0\0\x03"], 64).1, Some(Reason::LengthRange));
}

// TRAP-01: found by fuzzing; a header longer than the limit.
#[test]
fn a_header_over_the_limit_gets_one_verdict_however_it_arrives() {
    let at_8 = FrameRule::Length(Length::new(LengthType::Big(2), 8, false, 0, b"", 0).unwrap());
    for rule in [length(LengthType::Big(4)), length(LengthType::AsciiDec(5)), at_8] {
        let stream = b"\xff\x7f\xff\xff0123456789";
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        for limit in 1..stream.len() {
            assert_eq!(frames(&rule, &bytes, limit), frames(&rule, &[stream], limit), "{limit}");
        }
    }
    assert_eq!(frames(&length(LengthType::Big(4)), &[&[0xff]], 1).1, Some(Reason::FrameTooLarge));
}

fn rules() -> impl Strategy<Value = FrameRule> {
    let kinds = LengthType::NAMES
        .map(|name| LengthType::new(name, (name == "ascii-dec").then_some(5), None).unwrap());
    prop_oneof![
        Just(lines("lf")),
        Just(lines("crlf")),
        Just(FrameRule::Delimiter(Delimiter::new(b"\0;").unwrap())),
        proptest::sample::select(kinds.to_vec()).prop_map(length),
        proptest::sample::select(kinds.to_vec()).prop_map(|kind| FrameRule::Length(
            Length::new(kind, 2, true, 0, b"\x03\0", 0).unwrap()
        )),
        proptest::sample::select(kinds::all()),
    ]
}

proptest! {
    // CON-02, TRAP-01, H1, H5, H6: what is put is cut again, however the bytes arrive.
    #[test]
    fn frames_are_the_same_whole_byte_by_byte_and_in_pieces(
        rule in rules(),
        mut payloads in proptest::collection::vec(proptest::collection::vec(0x20_u8..0x3a, 0..60), 0..6),
        cuts in proptest::collection::vec(0_usize..400, 0..8),
    ) {
        match rule {
            FrameRule::Eof => payloads = Vec::from_iter(payloads.pop().filter(|p| !p.is_empty())),
            FrameRule::Fixed(fixed) => payloads.iter_mut().for_each(|p| p.resize(fixed.size(), b'5')),
            FrameRule::OctetCount(_) => payloads.retain(|payload| !payload.is_empty()),
            _ => {}
        }
        let mut stream = Vec::new();
        for payload in &payloads {
            rule.put(payload, &mut stream).unwrap();
        }
        let whole = frames(&rule, &[&stream], 100);
        prop_assert_eq!(&whole, &(payloads, None));
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&frames(&rule, &bytes, 100), &whole);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
        prop_assert_eq!(&frames(&rule, &pieces, 100), &whole);
    }

    // The same for bytes that nobody framed.
    #[test]
    fn hostile_bytes_get_one_verdict_however_they_arrive(
        rule in rules(),
        stream in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(frames(&rule, &[&stream], 50), frames(&rule, &bytes, 50));
    }
}
