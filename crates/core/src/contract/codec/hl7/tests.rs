use super::*;
use crate::contract::Contract;
use crate::contract::test;
use crate::limits::Limits;
use crate::now::Now;
use crate::rejection::Reason;
use crate::session::{Outbox, Session, Warrant};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

const ADMIT: &str = include_str!("../../../../../../examples/hl7/admit.toml");

const KOREAN: &str = r#"
contract = "korean/1"
codec    = { kind = "hl7", charsets = ["ASCII", "KS X 1001"], segment_end = "crlf" }

[[client.message]]
name     = "admit"
match    = ["ADT^A01"]
segments = ["MSH", "PID+", "NTE*"]
action   = "hl7.admit"
"#;

fn load(text: &str) -> Result<Arc<Contract>, String> {
    let read = |_: &str| Err("no file".to_owned());
    match Contract::load("admit.toml", text, &read) {
        Ok((contract, _)) => Ok(contract),
        Err(findings) => Err(findings.iter().map(|finding| format!("{finding}\n")).collect()),
    }
}

fn block(segments: &[&[u8]]) -> Vec<u8> {
    let mut block = vec![0x0b];
    for segment in segments {
        block.extend_from_slice(segment);
        block.extend_from_slice(b"\r\n");
    }
    block.extend_from_slice(b"\x1c\r");
    block
}

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn start() -> Now {
    Now { instant: Instant::now(), unix_ms: 0 }
}

/// What comes out when a client says these bytes in pieces of one size.
fn said(contract: &Arc<Contract>, bytes: &[u8], piece: usize) -> Outbox {
    let now = start();
    let warrant = Warrant::Rehearsed(true);
    let mut session =
        Session::open(warrant, Arc::clone(contract), &Limits::default(), now).recording_cleared();
    let mut out = Outbox::default();
    for piece in bytes.chunks(piece.max(1)) {
        session.receive(Side::Client, piece, None, now, &mut out);
    }
    out
}

fn reason(out: &Outbox) -> Option<Reason> {
    out.events.iter().find_map(|event| event.reason)
}

// CON-01, CON-33: with every vector that the file carries, and no warning.
#[test]
fn the_example_loads_without_a_warning_and_its_vectors_hold() {
    let read = |_: &str| Err("no file".to_owned());
    let (contract, warnings) = Contract::load("admit.toml", ADMIT, &read).unwrap_or_else(|f| {
        panic!("{}", f.iter().map(|finding| format!("{finding}\n")).collect::<String>())
    });
    assert!(warnings.is_empty(), "{warnings:?}");
    for outcome in test::run(&contract) {
        assert_eq!(outcome.failure, None, "{}", outcome.name);
    }
}

// A reviewer reads what the codec holds too (P12).
#[test]
fn the_document_shows_segments_charsets_and_whose_refusals_are() {
    let document = load(ADMIT).unwrap().document();
    for says in [
        "segments `MSH EVN PID NK1* PV1 OBX*`",
        "all segments but `MSH` are secrets",
        "Segments end with CR",
        "`ASCII` or `UNICODE UTF-8` (ASCII where it names none)",
        "is from `SEGWAN` at `WARD1`",
        "acknowledgement `AE`",
    ] {
        assert!(document.contains(says), "{says}\n{document}");
    }
    assert!(load(KOREAN).unwrap().document().contains("Segments end with CR LF"));
}

// TRAP-25: the charset is the one that MSH-18 names, or the message does not pass.
#[test]
fn the_charset_is_the_one_that_the_header_names() {
    let contract = load(KOREAN).unwrap();
    let msh = |charset: &str| format!("MSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.5||||||{charset}");
    let pid = |name: &[u8]| [b"PID|1||1||", name].concat();
    let hong = b"\xc8\xab\xb1\xe6\xb5\xbf";
    let say = |charset: &str, name: &[u8]| {
        reason(&said(&contract, &block(&[msh(charset).as_bytes(), &pid(name)]), usize::MAX))
    };
    assert_eq!(say("KS X 1001", hong), None);
    assert_eq!(say("", b"Hong"), None, "none is ASCII");
    assert_eq!(say("", hong), Some(Reason::Charset));
    assert_eq!(say("KS X 1001", "홍".as_bytes()), Some(Reason::Charset));
    assert_eq!(say("UNICODE UTF-8", "홍".as_bytes()), Some(Reason::Charset), "not declared");
    assert_eq!(say("KS X 1001~ASCII", b"Hong"), Some(Reason::Charset), "one, not several");
    let named = load(&KOREAN.replace("\"ASCII\", ", "")).unwrap();
    let without = block(&[msh("").as_bytes(), b"PID|1||1||Hong"]);
    let out = said(&named, &without, usize::MAX);
    assert_eq!(reason(&out), Some(Reason::Charset), "the contract has no ASCII");
}

#[test]
fn a_tree_has_the_fields_of_each_segment_by_their_numbers() {
    let contract = load(KOREAN).unwrap();
    let message = block(&[
        b"MSH|^~\\&|A|B|C|D|||ADT^A01^ADT_A01|1|P|2.5",
        b"PID|1||7^^^W~8",
        b"NTE|a",
        b"NTE|b",
    ]);
    let tree = contract.decoded(Side::Client, &message).unwrap();
    let at = |text: &str| {
        let pointer: Pointer = text.parse().unwrap();
        pointer.get(&tree).and_then(Value::as_text).map(str::to_owned)
    };
    for (place, holds) in [
        ("event", "ADT^A01"),
        ("type", "ADT"),
        ("trigger", "A01"),
        ("control_id", "1"),
        ("pair_id", "1"),
        ("version", "2.5"),
        ("sending_app", "A"),
        ("sending_facility", "B"),
        ("receiving_app", "C"),
        ("receiving_facility", "D"),
        ("/MSH/0/1", "|"),
        ("/MSH/0/2", "^~\\&"),
        ("/MSH/0/9", "ADT^A01^ADT_A01"),
        ("/PID/0/0", "PID"),
        ("/PID/0/3", "7^^^W~8"),
        ("/NTE/1/1", "b"),
        ("/segments/3", "NTE"),
    ] {
        assert_eq!(at(place).as_deref(), Some(holds), "{place}");
    }
}

#[test]
fn what_the_header_says_must_be_usable() {
    let contract = load(KOREAN).unwrap();
    let long = "x".repeat(200);
    for (header, expected) in [
        ("MSH|^~\\&|A|B|C|D|||ADT^A01||P|2.5", Reason::FieldMissing),
        ("MSH|^~\\&|A|B|C|D|||ADT^A01|a b|P|2.5", Reason::Regex),
        (&*format!("MSH|^~\\&|A|B|C|D|||ADT^A01|{long}|P|2.5"), Reason::Regex),
        ("MSH|^~\\&|A|B|C|D|||ADT^A01^ORU_R01|1|P|2.5", Reason::Constant),
        ("MSH|^~\\&|A|B|C|D|||ADT^A01^ADTA01|1|P|2.5", Reason::Constant),
        ("MSH|^~\\&|A|B|C|D|||ADT^A01^|1|P|2.5", Reason::Constant),
        ("MSH|^~\\&|A|B|C|D|||ADT^A01^ADT_A01^x|1|P|2.5", Reason::Constant),
        ("MSH|^~\\&|A|B|C|D|||ADT^A01^ADT_A01~ORU^R01|1|P|2.5", Reason::Constant),
        ("MSH|^~\\&|A|B|C|D|||adt^A01|1|P|2.5", Reason::TagMissing),
        ("MSH|^~\\&|A|B|C|D|||ADT^A1|1|P|2.5", Reason::TagMissing),
        ("MSH|^~\\&|A|B|C|D", Reason::TagMissing),
        ("MSH|^~\\&#|A|B|C|D|||ADT^A01|1|P|2.7", Reason::Constant),
        ("MSH#^~\\&#A", Reason::Constant),
        ("FHS|^~\\&|A", Reason::FieldUnknown),
        ("BHS|^~\\&|A", Reason::FieldUnknown),
        ("PID|1", Reason::Grammar),
        ("MSH|^~\\&|\u{d64d}", Reason::Charset),
    ] {
        let out = said(&contract, &block(&[header.as_bytes(), b"PID|1"]), usize::MAX);
        assert_eq!(reason(&out), Some(expected), "{header}");
        assert!(out.to_server.is_empty());
    }
}

// CON-33: a control id of the standard's greatest length opens a request, and its answer finds it.
#[test]
fn a_long_control_id_pairs_as_any_other() {
    let contract = load(KOREAN).unwrap();
    let id = "x".repeat(199);
    let request =
        block(&[format!("MSH|^~\\&|A|B|C|D|||ADT^A01^ADT_A04|{id}|P|2.5").as_bytes(), b"PID|1"]);
    let answer = |id: &str| {
        block(&[b"MSH|^~\\&|C|D|A|B|||ACK^A01^ACK|9|P|2.5", format!("MSA|AA|{id}").as_bytes()])
    };
    for (repeated, passes) in [(id.as_str(), true), (&id[..198], false)] {
        let now = start();
        let (limits, warrant) = (Limits::default(), Warrant::Rehearsed(true));
        let mut session =
            Session::open(warrant, Arc::clone(&contract), &limits, now).recording_cleared();
        let mut out = Outbox::default();
        session.receive(Side::Client, &request, None, now, &mut out);
        assert_eq!(out.to_server.as_slice(), request);
        let answer = answer(repeated);
        session.receive(Side::Server, &answer, None, now, &mut out);
        assert_eq!(out.to_client.as_slice() == answer, passes, "{:?}", out.events);
    }
}

#[test]
fn segments_come_in_their_order_and_number() {
    let list = ["MSH", "EVN", "PID+", "PV1?", "OBX*", "NTE*"];
    let segments = Segments::parse(&list).unwrap();
    let check = |names: &str| {
        let names = names.split(' ').map(|name| Value::Text(name.into())).collect();
        let tree = Value::Map(vec![("segments".into(), Value::List(names))]);
        segments.check(&tree).err().map(|violation| violation.reason)
    };
    for good in ["MSH EVN PID", "MSH EVN PID PID PV1 OBX OBX NTE", "MSH EVN PID NTE"] {
        assert_eq!(check(good), None, "{good}");
    }
    for missing in ["MSH PID", "MSH EVN", "MSH EVN PV1", "EVN PID"] {
        assert_eq!(check(missing), Some(Reason::FieldMissing), "{missing}");
    }
    let unknown = [
        "MSH EVN PID PV1 PV1",
        "MSH EVN PID NTE OBX",
        "MSH EVN PID ZPD",
        "MSH ZEV PID",
        "MSH EVN PID MSH",
        "MSH EVN EVN PID",
    ];
    for bad in unknown {
        let reason = check(bad);
        let known = [Some(Reason::FieldUnknown), Some(Reason::FieldMissing)];
        assert!(known.contains(&reason), "{bad}: {reason:?}");
    }
    let lists: [&[&str]; 9] = [
        &[],
        &["PID"],
        &["MSH?"],
        &["MSH", "MSH"],
        &["MSH", "pid"],
        &["MSH", "PID*?"],
        &["MSH", "OBX*", "OBX"],
        &["MSH", "BHS"],
        &["MSH", "PIDX"],
    ];
    // K-80: each at its entry.
    for bad in lists {
        let (at, _) = Segments::parse(bad).unwrap_err();
        assert_eq!(at, bad.len().saturating_sub(1), "{bad:?}");
    }
}

// K-74, K-80, K-10
#[test]
fn what_the_codec_cannot_hold_is_refused_with_its_place() {
    for (was, is, says) in [
        (
            "codec    = { kind = \"hl7\", charsets = [\"ASCII\", \"KS X 1001\"], segment_end = \"crlf\" }",
            "codec = \"hl7\"",
            "does not say which charsets",
        ),
        ("\"KS X 1001\"", "\"KS X 1002\"", "is no charset of HL7's that is known here"),
        ("[\"ASCII\", \"KS X 1001\"]", "[]", "`charsets` is empty"),
        ("\"crlf\"", "\"crcr\"", "not `cr`, `lf` or `crlf`"),
        ("segment_end = \"crlf\"", "ack_app = \"a|b\"", "`ack_app` is at most 180"),
        ("segments = [\"MSH\", \"PID+\", \"NTE*\"]", "", "does not say which segments it has"),
        ("match    = [\"ADT^A01\"]", "", "does not say which events it is"),
        ("\"PID+\"", "\"PIDS\"", "`PIDS` is no segment"),
        (
            "action ",
            "fields.\"/PV1/0/2\" = { regex = 'I' }\naction ",
            "which `admit` does not have",
        ),
        ("action ", "fields.\"/PID/0/3\" = { int = [1, 2] }\naction ", "`/PID/0/3` is a text"),
        ("action ", "fields.\"/PID/0/3/1\" = { regex = 'I' }\naction ", "there is no field"),
        ("action ", "resource = \"patient/${/PID/0/3}\"\naction ", "/PID/0/3"),
        ("action ", "context = { who = \"/PID/0/3\" }\naction ", "/PID/0/3"),
        ("action ", "reject.invalid = { reply = \"ack:AA\" }\naction ", "is no acknowledgement"),
        (
            "[[client",
            "[reject]\nframe = { reply = \"ack:AR\" }\n\n[[client",
            "class `frame` has not",
        ),
    ] {
        assert!(KOREAN.contains(was), "{was}");
        let told = load(&KOREAN.replacen(was, is, 1)).expect_err(is);
        assert!(told.contains(says), "{is}: {told}");
    }
}

// TRAP-20: a patient's data is in no event, sentence or answer, however it is wrong.
#[test]
fn what_is_said_of_a_patient_is_on_no_record() {
    let contract = load(ADMIT).unwrap();
    let rest = "PID|1||12345||Hong^Gildong\rPV1|1|I\r";
    let good = format!("MSH|^~\\&|ADT1|WARD1|H|H|||ADT^A01|M1|P|2.5\rEVN|A01\r{rest}");
    let bad = [
        good.clone(),
        good.replace("|12345|", "|Gildong12345|"),
        good.replace("EVN|A01\r", ""),
        good.replace("Hong^", "홍^"),
        good.replace("PV1", "ZV1"),
        good.replace("Hong^", "Hong\n"),
        good.replace("Hong^", "Hong\t"),
        good.replace("ADT^A01", "ADT^A08"),
        good.replace("WARD1", "ward 1"),
        good.replace("Gildong\rPV1", "Gildong\rPVGildong"),
        format!("{good}Gildong"),
    ];
    for text in bad {
        let block = [b"\x0b", text.as_bytes(), b"\x1c\r"].concat();
        let out = said(&contract, &block, usize::MAX);
        assert!(!out.events.is_empty());
        let told = format!("{:?} {:?}", out.events, out.end);
        assert!(!told.contains("Gildong") && !told.contains("12345"), "{text}: {told}");
        let answer = String::from_utf8_lossy(out.to_client.as_slice()).into_owned();
        assert!(!answer.contains("Gildong") && !answer.contains("12345"), "{answer}");
    }
}

// TRAP-26
#[test]
fn an_acknowledgement_repeats_a_control_id_only_if_it_is_one() {
    let hl7 = Hl7::new(vec![Charset::Ascii], SegmentEnd::Cr, "GATE", "HOME").unwrap();
    let ack = |header: &str| {
        let frame = format!("\x0b{header}\rPID|secret\r\x1c\r");
        String::from_utf8(hl7.ack(Verdict::Error, frame.as_bytes())).unwrap()
    };
    let expected = |own: &str, version: &str, code: &str, id: &str| {
        format!("MSH|^~\\&|GATE|HOME|||||ACK|{own}|P|{version}\rMSA|{code}|{id}\r")
    };
    assert_eq!(ack("MSH|^~\\&|a|b|c|d|||ADT^A01|7|P|2.3.1"), expected("S7", "2.3.1", "AE", "7"));
    assert_eq!(ack("MSH|^~\\&|a|b|c|d|||ADT^A01|7|P|2.5|||NE"), expected("S7", "2.5", "CE", "7"));
    let none = expected("S", "2.5", "AE", "");
    for bad in ["MSH|^~\\&|a|b|c|d|||ADT^A01|a b|P|9", "MSH|^~\\#|||||||A|7|P|2.4", "PID|7", ""] {
        assert_eq!(ack(bad), none, "{bad}");
    }
    // What cannot be cut is answered alike, and one id of the greatest length still fits.
    assert_eq!(String::from_utf8(hl7.ack(Verdict::Error, b"\x0b\xff")).unwrap(), none);
    let long = "x".repeat(199);
    let told = ack(&format!("MSH|^~\\&|a|b|c|d|||ADT^A01|{long}|P|2.5"));
    assert_eq!(told, expected(&format!("S{}", &long[..198]), "2.5", "AE", &long));
}

proptest! {
    // TRAP-01, CON-02
    #[test]
    fn a_message_gets_one_verdict_however_it_arrives(
        bytes in proptest::collection::vec(
            proptest::sample::select(&b"MSHPID|^~\\&\r\n\x0b\x1cA01 2.5\xc8\xab"[..]), 0..120),
        piece in 1_usize..9,
        framed in any::<bool>(),
    ) {
        let contract = load(KOREAN).unwrap();
        let mut stream = block(&[b"MSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.5||||||KS X 1001", b"PID|1"]);
        if framed {
            stream = [b"\x0bMSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.5\r\n", &bytes[..], b"\x1c\r"].concat();
        } else {
            stream.extend_from_slice(&bytes);
        }
        let (whole, pieces) = (said(&contract, &stream, usize::MAX), said(&contract, &stream, piece));
        prop_assert_eq!(whole.to_server.as_slice(), pieces.to_server.as_slice());
        prop_assert_eq!(whole.to_client.as_slice(), pieces.to_client.as_slice());
        prop_assert_eq!(whole.events, pieces.events);
    }
}
