#![allow(clippy::cast_possible_truncation, reason = "dice are small")]

use super::*;
use crate::contract::value::Value;

/// Numbers that are the same at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const PARTS: [&str; 12] = [
    "bolt-m4", "bolt-m5", "bolt-m6", "nut-m4", "nut-m5", "nut-m6", "washer-4", "washer-5",
    "rod-10", "pin-3", "gear-18", "spring-2",
];

/// What `examples/jsonl/inventory_service.py` and a client of it say: 1,000 requests on 20
/// connections, in pieces as TCP gives them.
fn inventory() -> Vec<Conversation> {
    let mut dice = Dice(4);
    let mut stock = std::collections::BTreeMap::from([("bolt-m4", 12), ("nut-m4", 40)]);
    let mut conversations = Vec::new();
    for _ in 0..20 {
        let mut said = Vec::new();
        for id in 1..=50 {
            let part = PARTS[dice.roll(12) as usize];
            let (request, reply) = match dice.roll(10) {
                0 => {
                    let parts: Vec<String> =
                        stock.keys().map(|part| format!("\"{part}\"")).collect();
                    (
                        format!("{{\"id\":{id},\"op\":\"list\"}}\n"),
                        format!("\"parts\": [{}]", parts.join(", ")),
                    )
                }
                1..=4 => {
                    let count = dice.roll(900);
                    stock.insert(part, count);
                    (
                        format!(
                            "{{\"id\":{id},\"op\":\"put\",\"part\":\"{part}\",\"count\":{count}}}\n"
                        ),
                        format!("\"count\": {count}"),
                    )
                }
                _ => (
                    format!("{{\"id\":{id},\"op\":\"get\",\"part\":\"{part}\"}}\n"),
                    format!("\"count\": {}", stock.get(part).copied().unwrap_or(0)),
                ),
            };
            let reply = format!("{{\"id\": {id}, \"ok\": true, {reply}}}\n");
            let (head, tail) = request.split_at(dice.roll(request.len() as u64) as usize);
            said.push((Side::Client, head.as_bytes().to_vec()));
            said.push((Side::Client, tail.as_bytes().to_vec()));
            said.push((Side::Server, reply.into_bytes()));
        }
        conversations.push(Conversation { said, whole: true });
    }
    conversations
}

/// What a controller with two units and its client say.
fn device() -> Vec<Conversation> {
    let mut dice = Dice(7);
    let mut conversations = Vec::new();
    let mut tid = 0_u16;
    for _ in 0..10 {
        let mut said = Vec::new();
        for _ in 0..100 {
            tid += 1;
            let unit = 1 + dice.roll(2) as u8;
            let (request, reply) = match dice.roll(4) {
                0 => {
                    let addr = 100 + dice.roll(90) as u16;
                    let value = dice.roll(950) as u16;
                    let pdu = [&[6][..], &addr.to_be_bytes(), &value.to_be_bytes()].concat();
                    (pdu.clone(), pdu)
                }
                1 => {
                    let addr = 100 + dice.roll(80) as u16;
                    let count = 1 + dice.roll(10) as u8;
                    let head = [&[16][..], &addr.to_be_bytes(), &[0, count]].concat();
                    let mut pdu = [&head[..], &[2 * count]].concat();
                    (0..count).for_each(|_| pdu.extend((dice.roll(950) as u16).to_be_bytes()));
                    (pdu, head)
                }
                _ => {
                    let addr = dice.roll(400) as u16;
                    let count = 1 + dice.roll(60) as u8;
                    let mut reply = vec![3, 2 * count];
                    (0..count).for_each(|_| reply.extend((dice.roll(60_000) as u16).to_be_bytes()));
                    ([&[3][..], &addr.to_be_bytes(), &[0, count]].concat(), reply)
                }
            };
            said.push((Side::Client, adu(tid, unit, &request)));
            said.push((Side::Server, adu(tid, unit, &reply)));
        }
        conversations.push(Conversation { said, whole: true });
    }
    conversations
}

fn adu(tid: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = (pdu.len() + 1) as u16;
    [&tid.to_be_bytes()[..], &[0, 0], &length.to_be_bytes(), &[unit], pdu].concat()
}

fn loaded(draft: &Draft) -> Arc<Contract> {
    let loaded = Contract::load("draft", &draft.text, &|_| Err("no file".to_owned()));
    loaded.unwrap_or_else(|findings| panic!("{findings:?}\n{}", draft.text)).0
}

/// Whether a contract lets a message of the client pass, alone on a connection.
fn passes(contract: &Arc<Contract>, frame: &[u8]) -> bool {
    let mut replay = Replay::new(contract);
    replay.say(Side::Client, frame);
    replay.end();
    !replay.passed.0.is_empty()
}

/// Whether a contract lets a reply pass to its request.
fn answers(contract: &Arc<Contract>, request: &[u8], reply: &[u8]) -> bool {
    let mut replay = Replay::new(contract);
    replay.say(Side::Client, request);
    replay.say(Side::Server, reply);
    replay.end();
    !replay.passed.1.is_empty()
}

/// A JSON line with one thing wrong; `None` where the kind does not apply to it.
fn mutated(line: &str, kind: u64, dice: &mut Dice) -> Option<Vec<u8>> {
    let body = line.trim_end();
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    let members = json.as_object().unwrap();
    let at = dice.roll(members.len() as u64) as usize;
    let (name, value) = members.iter().nth(at).unwrap();
    let changed = |value: serde_json::Value| {
        let mut json = json.clone();
        json[name.as_str()] = value;
        Some(format!("{json}\n").into_bytes())
    };
    match kind {
        // Another type.
        0 if value.is_string() => changed(7.into()),
        0 => changed("seven".into()),
        // A member that nobody declared.
        1 => Some(format!("{},\"admin\":true}}\n", body.strip_suffix('}')?).into_bytes()),
        // A member is missing.
        2 => {
            let mut json = json.clone();
            json.as_object_mut().unwrap().remove(name);
            Some(format!("{json}\n").into_bytes())
        }
        // Out of range.
        3 if value.is_number() => changed((-1).into()),
        3 if value.is_string() => changed("x".repeat(300).into()),
        3 if value.is_boolean() => changed(false.into()),
        3 => changed((0..900).collect::<Vec<i32>>().into()),
        // Bytes that are no text.
        4 => Some([&body.as_bytes()[..body.len() - 2], b"\xff\xfe\"}\n"].concat()),
        // A key twice.
        5 => Some(format!("{{\"{name}\":{value},{}\n", body.strip_prefix('{')?).into_bytes()),
        // Cut.
        6 => Some(format!("{}\n", &body[..body.len() - 1 - dice.roll(8) as usize]).into_bytes()),
        // Two values in one line.
        _ => Some(format!("{body}{body}\n").into_bytes()),
    }
}

// CON-29
#[test]
fn a_contract_learned_from_json_lines_takes_all_of_them_and_little_else() {
    let record = inventory();
    let draft = learn("inventory", &record).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(draft.messages, (1000, 1000));
    let contract = loaded(&draft);
    assert_eq!(refused(&contract, &record), []);
    for expected in [
        "pair     = { by = \"key\", key = \"/id\" }",
        "tag    = \"/op\"",
        "fields.part  = { regex = '[a-z0-9-]{1,8}' }",
        "fields.count = { int = [0, 1000] }",
        "answers = [\"get\", \"put\"]",
    ] {
        assert!(draft.text.contains(expected), "{expected}\n{}", draft.text);
    }

    let found = framing::find(&record).unwrap();
    let texts: Vec<(Side, String)> = found
        .messages
        .iter()
        .map(|m| (m.side, String::from_utf8(m.frame.clone()).unwrap()))
        .collect();
    let mut dice = Dice(29);
    let mut let_pass = Vec::new();
    let mut tried = 0;
    while tried < 100 {
        let at = 2 * dice.roll(1000) as usize;
        let ((_, request), (_, reply)) = (&texts[at], &texts[at + 1]);
        let kind = tried % 8;
        if tried % 4 == 3 {
            let Some(wrong) = mutated(reply, kind, &mut dice) else { continue };
            if answers(&contract, request.as_bytes(), &wrong) {
                let_pass.push(String::from_utf8_lossy(&wrong).into_owned());
            }
        } else {
            let Some(wrong) = mutated(request, kind, &mut dice) else { continue };
            if passes(&contract, &wrong) {
                let_pass.push(String::from_utf8_lossy(&wrong).into_owned());
            }
        }
        tried += 1;
    }
    println!(
        "JSON lines: 1000 of 1000 messages accepted, {} of 100 changed ones refused",
        100 - let_pass.len()
    );
    assert!(let_pass.len() <= 5, "{let_pass:#?}\n{}", draft.text);
}

/// A Modbus request with one thing wrong.
fn damaged(frame: &[u8], kind: u64, dice: &mut Dice) -> Vec<u8> {
    let mut wrong = frame.to_vec();
    let set = |wrong: &mut Vec<u8>, at: usize, value: u16| {
        wrong[at..at + 2].copy_from_slice(&value.to_be_bytes());
    };
    match kind {
        // A unit that is not there.
        0 => wrong[6] = 3 + dice.roll(200) as u8,
        // A function that was not used.
        1 => wrong[7] = [1, 2, 4, 5, 8, 15, 22, 23, 43, 90][dice.roll(10) as usize],
        // An address beyond those used.
        2 => set(&mut wrong, 8, 1000 + dice.roll(60_000) as u16),
        // Another protocol.
        3 => wrong[2] = 1 + dice.roll(255) as u8,
        // A length that does not fit.
        4 => wrong[5] = wrong[5].wrapping_sub(1),
        // Cut, and never completed.
        5 => wrong.truncate(frame.len() - 1),
        // A byte more than there should be.
        6 => {
            wrong.push(0);
            wrong[5] += 1;
        }
        // A value, or a count, out of range.
        _ if frame[7] == 6 => set(&mut wrong, 10, 2000 + dice.roll(60_000) as u16),
        _ if frame[7] == 16 => set(&mut wrong, 13, 2000 + dice.roll(60_000) as u16),
        _ => set(&mut wrong, 10, 126 + dice.roll(60_000) as u16),
    }
    wrong
}

// CON-29
#[test]
fn a_contract_learned_from_modbus_takes_all_of_it_and_little_else() {
    let record = device();
    let draft = learn("plc", &record).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(draft.messages, (1000, 1000));
    let contract = loaded(&draft);
    assert_eq!(refused(&contract, &record), []);
    for expected in ["codec    = \"modbus\"", "match   = [3]", "fields.unit   = { enum = [1, 2] }"]
    {
        assert!(draft.text.contains(expected), "{expected}\n{}", draft.text);
    }
    let found = framing::find(&record).unwrap();
    let requests: Vec<&Message> =
        found.messages.iter().filter(|message| message.side == Side::Client).collect();
    let mut dice = Dice(31);
    let let_pass: Vec<Vec<u8>> = (0..100)
        .map(|tried| damaged(&requests[dice.roll(1000) as usize].frame, tried % 8, &mut dice))
        .filter(|wrong| passes(&contract, wrong))
        .collect();
    println!(
        "Modbus: 1000 of 1000 messages accepted, {} of 100 changed ones refused",
        100 - let_pass.len()
    );
    assert!(let_pass.len() <= 5, "{let_pass:x?}\n{}", draft.text);
}

fn said(turns: &[(Side, &str)]) -> Vec<Conversation> {
    let said = turns.iter().map(|(side, text)| (*side, text.as_bytes().to_vec())).collect();
    vec![Conversation { said, whole: true }]
}

#[test]
fn words_and_numbers_become_grammars() {
    let mut turns = Vec::new();
    for n in ["5", "7", "-3", "12", "40", "8", "9", "1"] {
        turns.push((Side::Client, format!("{n}\n")));
        turns.push((Side::Server, format!("{n}\n")));
        turns.push((Side::Client, format!("NAME part-{n}\n")));
        turns.push((Side::Server, "Invalid data\n".to_owned()));
    }
    let turns: Vec<(Side, &str)> =
        turns.iter().map(|(side, text)| (*side, text.as_str())).collect();
    let draft = learn("numbers", &said(&turns)).unwrap_or_else(|why| panic!("{why:?}"));
    let contract = loaded(&draft);
    assert!(passes(&contract, b"NAME part-17\n"), "{}", draft.text);
    assert!(passes(&contract, b"17\n"));
    for wrong in ["17 18\n", "DROP part-1\n", "NAME\n", "9999\n", "name part-1\n"] {
        assert!(!passes(&contract, wrong.as_bytes()), "{wrong}\n{}", draft.text);
    }
}

#[test]
fn long_lines_of_any_script_are_one_text() {
    let mut turns = Vec::new();
    for n in 1..12 {
        turns.push((Side::Client, format!("{}\n", "세관 신고서 ".repeat(n * 40))));
        turns.push((Side::Server, format!("{}\n", "ok, noted; ".repeat(n * 40))));
    }
    let turns: Vec<(Side, &str)> =
        turns.iter().map(|(side, text)| (*side, text.as_str())).collect();
    let draft = learn("forms", &said(&turns)).unwrap_or_else(|why| panic!("{why:?}"));
    let contract = loaded(&draft);
    assert!(passes(&contract, "신고서\n".as_bytes()), "{}", draft.text);
    assert!(!passes(&contract, "신고서\u{7}\n".as_bytes()));
    assert!(!passes(&contract, format!("{}\n", "가".repeat(9000)).as_bytes()));
}

#[test]
fn lengths_are_found_by_what_they_cut() {
    for (name, frame) in [
        (
            "u32be",
            (|payload: &[u8]| [&(payload.len() as u32).to_be_bytes()[..], payload].concat())
                as fn(&[u8]) -> Vec<u8>,
        ),
        ("u16le", |payload| [&(payload.len() as u16).to_le_bytes()[..], payload].concat()),
        ("varint", |payload| [&[payload.len() as u8][..], payload].concat()),
    ] {
        let mut conversation = Conversation { said: Vec::new(), whole: true };
        for size in [3_usize, 17, 60, 33, 4] {
            conversation.said.push((Side::Client, frame(&vec![0xa5; size])));
            conversation.said.push((Side::Server, frame(&vec![0x80; size + 1])));
        }
        let draft = learn("bytes", &[conversation]).unwrap_or_else(|why| panic!("{why:?}"));
        assert!(draft.text.contains(&format!("type = \"{name}\"")), "{name}\n{}", draft.text);
        assert!(draft.evidence.iter().any(|line| line.contains("cuts everything, 5 messages")));
    }
}

// P10, TRAP-20
#[test]
fn a_secret_does_not_come_into_a_draft() {
    let mut turns = Vec::new();
    for id in 1..=20 {
        turns.push((
            Side::Client,
            format!("{{\"id\":{id},\"user\":\"kim\",\"password\":\"hunter2\"}}\n"),
        ));
        turns.push((
            Side::Server,
            format!("{{\"id\":{id},\"session\":{{\"token\":\"tok-8842\"}}}}\n"),
        ));
    }
    let turns: Vec<(Side, &str)> =
        turns.iter().map(|(side, text)| (*side, text.as_str())).collect();
    let draft = learn("login", &said(&turns)).unwrap_or_else(|why| panic!("{why:?}"));
    assert!(draft.text.contains("secret = true"), "{}", draft.text);
    for secret in ["hunter2", "tok-8842"] {
        assert!(!draft.text.contains(secret), "{}", draft.text);
        assert!(!draft.evidence.iter().any(|line| line.contains(secret)));
    }
}

// P10, TRAP-20: nor as what an answer is the answer to.
#[test]
fn a_request_with_a_secret_is_shown_before_no_answer() {
    let turns = [
        (Side::Client, "{\"op\":\"login\",\"password\":\"hunter2\"}\n"),
        (Side::Server, "{\"ok\":1}\n"),
        (Side::Client, "{\"op\":\"count\",\"of\":7}\n"),
        (Side::Server, "{\"count\":5}\n"),
    ];
    let draft = learn("login", &said(&turns.repeat(20))).unwrap_or_else(|why| panic!("{why:?}"));
    assert!(!draft.text.contains("hunter2"), "{}", draft.text);
    assert!(draft.text.contains("after  = [\"{\\\"op\\\":\\\"count"), "{}", draft.text);
}

// TRAP-21, P10: what a peer names is a name in the draft, and never a line of it.
#[test]
fn a_name_with_a_line_end_adds_no_line_to_a_draft() {
    let names =
        ["x\\n[limits]\\nmessage = 1 #", "a\\u0007", "a\u{7f}", "a\u{202e}b", "\u{2028}", "'''"];
    for name in names {
        let mut turns = Vec::new();
        for n in 0..20 {
            let kind = n % 2;
            turns.push((Side::Client, format!("{{\"{name}\":\"k{kind}\",\"n\":{n}}}\n")));
            turns.push((Side::Server, format!("{{\"{name}\":\"k{kind}\",\"s\":{{\"n\":{n}}}}}\n")));
        }
        let turns: Vec<(Side, &str)> =
            turns.iter().map(|(side, text)| (*side, text.as_str())).collect();
        match learn("named", &said(&turns)) {
            Ok(Draft { text, .. }) => {
                assert_eq!(text.matches("\n[limits]").count(), 1, "{name}\n{text}");
                let hidden = |line: &str| line.starts_with('#') && line.contains('\u{202e}');
                assert!(!text.lines().any(hidden), "{text}");
            }
            // A contract denies some of these characters; but what was written is a file.
            Err(why) => assert!(!format!("{why:?}").contains("K-01"), "{name}\n{why:?}"),
        }
    }
}

// P10
#[test]
fn what_follows_the_word_for_a_secret_comes_into_no_draft() {
    let turns = [
        (Side::Client, "PASS hunter\r\n"),
        (Side::Server, "OK\r\n"),
        (Side::Client, "LIST\r\n"),
        (Side::Server, "OK\r\n"),
        (Side::Client, "PASS other\r\n"),
        (Side::Server, "OK\r\n"),
    ];
    let draft = learn("ward", &[said(&turns), said(&turns)].concat()).unwrap();
    assert!(draft.text.contains("secret = true"), "{}", draft.text);
    assert!(!draft.text.contains("hunter") && !draft.text.contains("other"), "{}", draft.text);
    assert!(passes(&loaded(&draft), b"PASS hunter\r\n"));
}

#[test]
fn a_text_that_ends_with_nul_is_written_as_text() {
    let turns = [(Side::Client, "id=1\0"), (Side::Server, "id=1;v=2\0")];
    let draft = learn("sensor", &said(&turns)).unwrap();
    assert!(draft.text.contains(r#"["id=1\u0000"]"#), "{}", draft.text);
}

#[test]
fn what_cannot_be_cut_says_where_each_framing_stops() {
    let said = vec![(Side::Client, b"\x00\x01\xff\xff\xff\xff no frame of any kind".to_vec())];
    let why = learn("noise", &[Conversation { said, whole: true }]).unwrap_err();
    assert_eq!(why.to_string(), "no framing cuts all that was said");
    assert!(why.evidence.len() > 10, "{why:?}");
    assert!(why.evidence.iter().any(|line| line.starts_with("u8: ")), "{why:?}");
    assert!(why.hint.is_some_and(|hint| hint.contains("docs/reference/contract.md")));
    let silent = learn("silence", &[]).unwrap_err();
    assert!(silent.hint.is_some_and(|hint| hint.contains("recorded")), "{silent:?}");
}

#[test]
fn a_record_in_any_pieces_gives_the_same_draft() {
    let turns = ["{\"op\":\"get\",\"part\":\"a\"}\r\n", "{\"op\":\"list\"}\r\n"];
    let record = |size: usize| -> Vec<Conversation> {
        let said = (0..8).flat_map(|at| {
            let pieces =
                turns[at % 2].as_bytes().chunks(size).map(|bytes| (Side::Client, bytes.to_vec()));
            pieces.chain([(Side::Server, b"{\"ok\":true}\r\n".to_vec())]).collect::<Vec<_>>()
        });
        vec![Conversation { said: said.collect(), whole: true }]
    };
    let whole = learn("pieces", &record(1000)).unwrap();
    for size in 1..8 {
        assert_eq!(learn("pieces", &record(size)), Ok(whole.clone()), "{size}");
    }
}

#[test]
fn more_kinds_than_people_read_are_one() {
    let of = |kinds: u32| {
        let turns = (0..kinds * 2).flat_map(|at| {
            let request = format!("{{\"k{}\":{at}}}\n", at % kinds);
            [(Side::Client, request.into_bytes()), (Side::Server, b"{\"ok\":true}\n".to_vec())]
        });
        let said = turns.collect();
        let draft = learn("kinds", &[Conversation { said, whole: true }]).unwrap();
        loaded(&draft).client.messages.len()
    };
    assert_eq!([of(2), of(8), of(9), of(300)], [2, 8, 1, 1]);
}

#[test]
fn a_frame_that_the_end_of_the_record_cut_is_left_out() {
    let mut record = said(&[(Side::Client, "5\n"), (Side::Server, "15\n"), (Side::Client, "1")]);
    record[0].whole = false;
    let draft = learn("numbers", &record).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(draft.messages, (1, 1));
    assert!(draft.text.contains("kind = \"lines\", ends = [\"\\n\"]"), "{}", draft.text);
    assert!(draft.text.contains("kind = \"text\", charset = \"ascii\""), "{}", draft.text);
    assert!(draft.evidence.iter().any(|line| line.contains("but 1 bytes at cut ends")));
    assert!(draft.evidence.iter().any(|line| line.contains("gives no whole frame of the client")));
}

#[test]
fn a_service_that_says_nothing_may_say_nothing() {
    for line in ["note a b\n", "{\"note\":\"a\"}\n"] {
        let draft = learn("log", &said(&[(Side::Client, line), (Side::Client, line)]));
        let draft = draft.unwrap_or_else(|why| panic!("{why:?}"));
        let contract = loaded(&draft);
        assert!(passes(&contract, line.as_bytes()), "{}", draft.text);
        for reply in ["a\n", "{}\n", "\n"] {
            assert!(!answers(&contract, line.as_bytes(), reply.as_bytes()), "{}", draft.text);
        }
    }
}

#[test]
fn ranges_are_rounded_outward() {
    let shape = |values: &[i64]| {
        let values: Vec<Value<'static>> = values.iter().map(|n| Value::Int(*n)).collect();
        shape::Shape::of(&values).rounded_ints()
    };
    assert_eq!(shape(&[3, 93]), (0, 100));
    assert_eq!(shape(&[120, 180]), (100, 200));
    assert_eq!(shape(&[1, 1001]), (1, 2000));
    assert_eq!(shape(&[-7, -2]), (-10, -2));
}

#[test]
fn a_push_and_a_request_without_a_reply_are_found() {
    let mut turns = vec![(Side::Server, "{\"hello\":\"world\"}\n".to_owned())];
    for n in 0..30 {
        turns.push((Side::Client, "{\"op\":\"note\",\"text\":\"x\"}\n".to_owned()));
        turns.push((Side::Client, format!("{{\"op\":\"ask\",\"n\":{n}}}\n")));
        turns.push((Side::Server, format!("{{\"answer\":{n}}}\n")));
    }
    let turns: Vec<(Side, &str)> =
        turns.iter().map(|(side, text)| (*side, text.as_str())).collect();
    let draft = learn("mixed", &said(&turns)).unwrap_or_else(|why| panic!("{why:?}"));
    assert!(draft.text.contains("expects = \"none\""), "{}", draft.text);
    assert!(draft.text.contains("pushes  = true"), "{}", draft.text);
    assert!(draft.text.contains("answers = [\"ask\"]"), "{}", draft.text);
}

#[test]
fn a_draft_over_the_size_of_a_contract_says_so() {
    assert_eq!(oversized("a = 1"), None);
    let why = oversized(&"#".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(
        why.to_string(),
        "the draft has 1048577 bytes, and a contract at most 1048576: learn from fewer kinds of messages or \
         shorter ones"
    );
    assert_eq!(why.evidence.len(), 1);
}

#[test]
fn values_deeper_than_a_schema_describes_are_told() {
    let drafted = |depth: usize| {
        let (open, shut) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        let asked = format!("{{\"id\":1,\"a\":{open}{shut}}}\n").into_bytes();
        let answered = b"{\"id\":1,\"ok\":true}\n".to_vec();
        let said = vec![(Side::Client, asked), (Side::Server, answered)];
        learn("deep", &[Conversation { said, whole: true }])
    };
    assert!(drafted(30).is_ok());
    for depth in [40, 64] {
        let why = drafted(depth).unwrap_err().to_string();
        assert!(why.contains("deeper than 32"), "{depth}: {why}");
    }
}
