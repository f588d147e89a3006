//! Contracts of each decoder, with their vectors; and the same verdicts for each however its bytes
//! arrive.

use proptest::prelude::*;
use segwan_core::contract::{Contract, Side};
use segwan_core::finding::Finding;
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::rejection::Reason;
use segwan_core::session::{Outbox, Session, Warrant};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

const TRANSFER: &str = include_str!("../../../examples/transfer-ko/transfer-ko.toml");
const VALVE: &str = include_str!("decoders/valve.toml");
const WORDS: &str = include_str!("decoders/words.toml");
const TABLE: &str = include_str!("decoders/table.toml");
const PAIRS: &str = include_str!("decoders/pairs.toml");
const HEADER: &str = include_str!("decoders/header.toml");
const ALL: [(&str, &str); 6] = [
    ("transfer-ko.toml", TRANSFER),
    ("valve.toml", VALVE),
    ("words.toml", WORDS),
    ("table.toml", TABLE),
    ("pairs.toml", PAIRS),
    ("header.toml", HEADER),
];

static CONTRACTS: LazyLock<Vec<Arc<Contract>>> = LazyLock::new(|| {
    let load = |(file, text): &(&str, &str)| match load(file, text) {
        Ok(contract) => contract,
        Err(findings) => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            panic!("{}", findings.join("\n"))
        }
    };
    ALL.iter().map(load).collect()
});

fn load(file: &str, text: &str) -> Result<Arc<Contract>, Vec<Finding>> {
    Contract::load(file, text, &|_| Err("no file".to_owned())).map(|(contract, _)| contract)
}

// CON-01, CON-04, CON-13, CON-14, TRAP-08, TRAP-18, TRAP-25
#[test]
fn the_contracts_load_and_all_their_vectors_hold() {
    for (contract, (_, text)) in CONTRACTS.iter().zip(ALL) {
        assert_eq!(contract.tests().len(), text.matches("[[test]]").count());
    }
}

/// The first error of a contract that is changed in one place.
fn refused(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old}");
    let findings = load("c.toml", &text.replacen(old, new, 1)).expect_err(new);
    findings.iter().find(|f| f.is_error()).map(ToString::to_string).unwrap_or_default()
}

// K-02, K-10, K-11, K-12, K-13, K-23, K-30, K-31, K-60, K-74
#[test]
fn a_contract_that_cannot_hold_is_refused_at_load() {
    let rows = [
        (TRANSFER, "message      = 68", "message      = 67", "K-11"),
        (TRANSFER, "fields.from ", "fields.form ", "K-30"),
        (TRANSFER, "tag    = \"/code\"", "tag    = \"/filler\"", "K-30"),
        (TRANSFER, "key = \"/txid\"", "key = \"/tid\"", "K-23"),
        (TRANSFER, "charset = \"euc-kr\", columns", "columns", "K-10"),
        (TRANSFER, "\"digits\" },", "\"digit\" },", "K-02"),
        (TRANSFER, "reply = \"0210${txid}9001\"", "reply = \"0210${txid}901\"", "K-74"),
        (TRANSFER, "${from}", "${filler}", "K-44"),
        (TRANSFER, "\"Hangul\"", "\"Hangeul\"", "K-02"),
        (
            TRANSFER,
            "fields.from  = { regex = \"[0-9]{10,14}\" }",
            "fields.from = { int = [1, 2] }",
            "K-30",
        ),
        (TRANSFER, "[0-9]{10,14}\" }", "[0-9]{10,14}\", secret = true }", "K-60"),
        (VALVE, "\"op: u8\"", "\"op: u8\", \"op: u8\"", "K-02"),
        (VALVE, "tag    = \"/op\"", "tag    = \"/unit\"", "K-30"),
        (
            VALVE,
            "layout         = [\"unit: u8\"",
            "layout         = [\"sum: u8\", \"unit: u8\"",
            "K-02",
        ),
        (VALVE, "over = \"payload\"", "over = \"frame\"", "K-02"),
        (VALVE, "fields.steps", "fields.step", "K-30"),
        (VALVE, "frame  = { kind", "forward = \"canonical\"\nframe  = { kind", "K-13"),
        (WORDS, "sep = \" \"", "sep = \"x\"", "K-12"),
        (WORDS, "fields.args", "fields.arg", "K-30"),
        (TABLE, "quote = '\"'", "quote = ','", "K-02"),
        (TABLE, "\"name\", \"n\"]", "\"name\", \"n\", \"m\"]", "K-30"),
        (PAIRS, "eq = \"=\"", "eq = \";\"", "K-12"),
        (PAIRS, "names = ", "name = ", "K-10"),
    ];
    let mut wrong: Vec<String> = Vec::new();
    for (text, old, new, check) in rows {
        let sentence = refused(text, old, new);
        if !sentence.contains(check) {
            wrong.push(format!("{new}: not {check}: {sentence}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// CON-19
#[test]
fn policies_see_the_types_of_items_and_columns() {
    use segwan_core::policy::schema::AttributeKind::{Bool, Long, Set, String};
    let seen = |at: usize, action: &str| {
        let actions = CONTRACTS[at].actions();
        let action = actions.into_iter().find(|a| a.name == action).expect("an action");
        action.context.into_iter().map(|a| (a.name, a.kind, a.optional)).collect::<Vec<_>>()
    };
    let always = |name: &str, kind| (name.to_owned(), kind, false);
    let text = |name: &str| always(name, String);
    let transfer = [text("code"), text("from"), text("payee"), always("won", Long)];
    assert_eq!(seen(0, "transfer"), transfer);
    let (op, unit) = (always("op", Long), always("unit", Long));
    assert_eq!(seen(1, "valve.read"), [op.clone(), unit.clone()]);
    let steps = always("steps", Set(Box::new(Long)));
    let moves = [op, unit, always("fast", Bool), always("count", Long), steps, text("note")];
    assert_eq!(seen(1, "valve.move")[..5], moves[..5]);
    let pairs = [always("n", Long), ("note".to_owned(), String, true)];
    for attribute in pairs {
        assert!(seen(4, "set").contains(&attribute), "{attribute:?}");
    }
}

// P12
#[test]
fn a_reviewer_reads_which_items_and_columns_there_are() {
    let document = CONTRACTS[0].document();
    assert!(document.contains("`/txid` 8 bytes: ASCII digits"), "{document}");
    assert!(document.contains("`/won` 1 to 50000000"), "{document}");
    let document = CONTRACTS[1].document();
    assert!(document.contains("`/count` 0 to 255"), "{document}");
    assert!(document.contains("`/speed` a finite number"), "{document}");
}

type Outcome = (Vec<u8>, Vec<u8>, Vec<(Option<Reason>, String)>, bool);

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What comes out when both sides say these in turn, in pieces.
fn run(
    contract: &Arc<Contract>,
    said: &[(Side, Vec<u8>)],
    mut piece: impl FnMut() -> usize,
) -> Outcome {
    let now = Now { instant: *START, unix_ms: 0 };
    let limits = Limits::default();
    let mut session = Session::open(Warrant::NotJudged, Arc::clone(contract), &limits, now);
    let mut outcome = Outcome::default();
    let mut take = |out: Outbox| {
        outcome.0.extend_from_slice(out.to_server.as_slice());
        outcome.1.extend_from_slice(out.to_client.as_slice());
        outcome.2.extend(out.events.into_iter().map(|event| (event.reason, event.sentence)));
        outcome.3 |= out.end.is_some();
    };
    for (side, bytes) in said {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (now_said, behind) = rest.split_at(piece().clamp(1, rest.len()));
            let mut out = Outbox::default();
            session.receive(*side, now_said, None, now, &mut out);
            take(out);
            rest = behind;
        }
    }
    outcome
}

/// Whole messages of each contract's client and server, to be said as they are or damaged.
fn said(contract: usize) -> Vec<(Side, Vec<u8>)> {
    let frames = |side: Side, payloads: &[&[u8]]| {
        let framed =
            |payload: &&[u8]| (side, CONTRACTS[contract].framed(side, payload).expect("a frame"));
        payloads.iter().map(framed).collect::<Vec<_>>()
    };
    let (client, server): (Vec<&[u8]>, Vec<&[u8]>) = match contract {
        0 => (
            vec![
                b"0200000000011234567890    \xc8\xab\xb1\xe6\xb5\xbf              0000000500000     ",
                b"0200000000021234567890    \xb1\xe6                  0000000000000     ",
                b"0200000000031234567890    \x8c\x63                  0000000500000     ",
            ],
            vec![b"0210000000010000", b"0210000000020000", b"021000000001000 "],
        ),
        1 => (
            vec![
                b"\x01\x07\x06",
                b"\x01\x07\x07",
                b"\x02\x07\x01\x02\x00\x05\xff\xfe\x3f\x80\0\0\x03\xed\x95\x9c\xfc",
                b"\x02\x07\x02\x00\x3f\x80\0\0\x00\x00",
            ],
            vec![b"\x81\x3f\x80\0\0\x3e", b"\x81\x7f\x80\0\0\x7e", b"\x82\x82"],
        ),
        2 => (
            vec![b"SAY a \x8c\x63", b"PING", b"PING x", b"SAY ", b"ADD 5 07", b"ADD 5 7"],
            vec![b"OK", b"OK 5", b"NO"],
        ),
        3 => (
            vec![b"put,\"a,b\",5", b"put,a,05", b"put,a\"b,5", b"put,a,5,", b"put,\"a\"\"b\",5"],
            vec![b"5,6", b"5", b"5,6,7"],
        ),
        4 => (
            vec![b"op=set;n=5;note=x=y", b"n=5;op=set", b"op=set", b"op=get;n=5", b"n=5;n=6;op=set"],
            vec![b"ok=1", b"ok=01", b"no=1"],
        ),
        _ => (
            vec![b"TX+00005", b"TX-00005", b"TX-00000", b"TY000005", b"TX00005"],
            vec![b"\x7f\xfe\xff", b"\x7e\xfe\xff", b"\x7f\xfe"],
        ),
    };
    [frames(Side::Client, &client), frames(Side::Server, &server)].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    // TRAP-01, TRAP-25, P6
    #[test]
    fn every_decoder_gives_the_same_verdicts_in_any_pieces(
        contract in 0..ALL.len(),
        picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<Option<(u16, u8)>>()), 1..12),
        cuts in proptest::collection::vec(1_usize..9, 1..9),
    ) {
        let all = said(contract);
        let mut streams: Vec<(Side, Vec<u8>)> = Vec::new();
        for (pick, damage) in picks {
            let (side, mut frame) = pick.get(&all).clone();
            // One in four messages is damaged in one byte.
            if let Some((at, byte)) = damage.filter(|(_, byte)| byte % 2 == 0) {
                let at = usize::from(at) % frame.len();
                frame[at] ^= byte;
            }
            match streams.last_mut() {
                Some((last, stream)) if *last == side => stream.extend(frame),
                _ => streams.push((side, frame)),
            }
        }
        let contract = &CONTRACTS[contract];
        let whole = run(contract, &streams, || usize::MAX);
        prop_assert_eq!(&run(contract, &streams, || 1), &whole);
        let mut cuts = cuts.iter().cycle();
        prop_assert_eq!(&run(contract, &streams, || *cuts.next().unwrap_or(&1)), &whole);
    }
}

// The generator means something: of each contract some messages pass and some are refused.
#[test]
fn of_every_contract_a_message_passes_and_one_is_refused() {
    for (at, contract) in CONTRACTS.iter().enumerate() {
        let alone = |message: &(Side, Vec<u8>)| run(contract, std::slice::from_ref(message), || 3);
        let all: Vec<Outcome> =
            said(at).iter().filter(|(side, _)| *side == Side::Client).map(alone).collect();
        assert!(all.iter().any(|outcome| !outcome.0.is_empty()), "{}", contract.name());
        assert!(all.iter().any(|outcome| outcome.0.is_empty()), "{}", contract.name());
    }
}
