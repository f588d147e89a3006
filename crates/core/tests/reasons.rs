//! For each reason an input that gives exactly it, with what the operator is told and what goes on
//! record.

use segwan_core::audit::EventKind;
use segwan_core::contract::{Contract, Side};
use segwan_core::identity::{CertificateFacts, Peer};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::{ConnectionFacts, Policy, PolicySource};
use segwan_core::rejection::{Class, Reason};
use segwan_core::session::{Outbox, Session, Warrant};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What happens on a connection.
#[derive(Debug, Clone)]
enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    End(Side, bool),
    Wait(u64),
}

use Step::{End, Wait};

fn c(bytes: impl AsRef<[u8]>) -> Step {
    Step::Client(bytes.as_ref().to_vec())
}

fn s(bytes: impl AsRef<[u8]>) -> Step {
    Step::Server(bytes.as_ref().to_vec())
}

/// A reason, who allows what, the contract, what is said, and what the sentence has.
struct Row {
    reason: Reason,
    class: Class,
    contract: String,
    policy: &'static str,
    said: Vec<Step>,
    sentence: &'static str,
}

/// A contract of one message of the client that expects no answer.
fn one(frame: &str, decode: &str, direction: &str, message: &str) -> String {
    format!(
        "contract = \"t/1\"\n[limits]\nmessage = 400\ndepth = 4\nnodes = 20\nstring = 30\nkey = 8\n\
         first_message_timeout = \"5s\"\nmessage_timeout = \"2s\"\nidle_timeout = \"10s\"\n\
         session_lifetime = \"1m\"\n\
         [client]\nframe = {{ {frame} }}\ndecode = {{ {decode} }}\n{direction}\n\
         [[client.message]]\nname = \"m\"\naction = \"say\"\nexpects = \"none\"\n{message}\n\
         [server]\nframe = {{ kind = \"raw\", danger_uninspected = \"it says nothing of use\" }}\n"
    )
}

const LINES: &str = "kind = \"lines\"";
const ASCII: &str = "kind = \"text\", charset = \"ascii\"";
const UTF8: &str = "kind = \"text\", charset = \"utf-8\"";
const JSON: &str = "kind = \"json\"";
const WORD: &str = "grammar = '(?P<w>.*)'\nfields.w = { len = [0, 300] }";

fn framed(frame: &str) -> String {
    one(frame, ASCII, "", WORD)
}

/// Lines of text with a rule for their one field `w`.
fn lines(decode: &str, direction: &str, field: &str) -> String {
    one(LINES, decode, direction, &format!("grammar = '(?P<w>.*)'\nfields.w = {{ {field} }}"))
}

/// Lines of JSON, and what the message says of `n`.
fn json(fields: &str) -> String {
    one(LINES, JSON, "", fields)
}

const N: &str = "fields.n = { int = [0, 9] }";
const ADD_TEN: &str = include_str!("../../../examples/article/add-ten.toml");
const ASKS: &str = include_str!("../src/session/tests/asks.toml");
const TALK: &str = include_str!("../src/session/tests/talk.toml");
const PLC: &str = include_str!("../../../examples/modbus/plc1.toml");
const CACHE: &str = include_str!("../../../examples/redis/cache.toml");
const TRANSFER: &str = include_str!("../../../examples/transfer-ko/transfer-ko.toml");
const VALVE: &str = include_str!("decoders/valve.toml");
const SWITCH: &str = include_str!("frames/switch.toml");

/// Everybody may do everything.
const ALL: &str = "@id(\"all\") permit (principal, action, resource);";

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |reason, class, contract: String, said: Vec<Step>, sentence| {
        rows.push(Row { reason, class, contract, policy: ALL, said, sentence });
    };
    // Frames.
    let class = Class::Frame;
    let long = [b'a'; 401];
    add(Reason::FrameTooLarge, class, framed(LINES), vec![c(long)], "limit of 400");
    add(
        Reason::LengthForm,
        class,
        framed("kind = \"netstring\""),
        vec![c("01:a,")],
        "1 to 9 digits without a leading zero",
    );
    let u32 = framed("kind = \"length\", type = \"u32be\"");
    add(Reason::LengthRange, class, u32, vec![c([0xff; 4])], "4294967295");
    add(
        Reason::InlineCommand,
        class,
        CACHE.to_owned(),
        vec![c("PING\r\n")],
        "inline, not as an array",
    );
    add(Reason::LineEnd, class, framed(LINES), vec![c("a\r\n")], "at byte 1");
    let magic = "kind = \"length\", type = \"u16be\", at = 2, magic = \"hex:0300\"";
    add(Reason::Magic, class, framed(magic), vec![c("GET")], "begins with `G`");
    add(Reason::FrameType, class, SWITCH.to_owned(), vec![c([7])], "7");
    let netstring = framed("kind = \"netstring\"");
    add(Reason::FrameTerminator, class, netstring, vec![c("1:ab")], "does not end with a comma");
    add(Reason::BlockForm, class, framed("kind = \"mllp\""), vec![c("MSH")], "between the blocks");
    let headers = || framed("kind = \"headers\"");
    add(Reason::HeaderForm, class, headers(), vec![c("GET / HTTP/1.1\r\n\r\n")], "`Name: value`");
    let twice = "Content-Length: 1\r\nContent-Length: 1\r\n\r\na";
    add(
        Reason::HeaderDuplicate,
        class,
        headers(),
        vec![c(twice)],
        "`Content-Length` is there twice",
    );
    add(Reason::HeaderUnknown, class, headers(), vec![c("X-A: 1\r\n\r\n")], "X-A");
    let none = "Content-Type: a\r\n\r\n";
    add(Reason::HeaderMissing, class, headers(), vec![c(none)], "Content-Length");
    let other = [0, 1, 0, 7, 0, 6, 1, 3, 0, 0, 0, 1];
    add(Reason::ProtocolId, class, PLC.to_owned(), vec![c(other)], "is not 0");
    let cut = |clean| vec![c("ab"), End(Side::Client, clean)];
    add(Reason::TruncatedFrame, class, framed(LINES), cut(true), "after 2 bytes");
    add(
        Reason::TruncatedStream,
        class,
        framed(LINES),
        cut(false),
        "without close_notify inside a frame, after 2 bytes",
    );
    let half = vec![c("5\n"), s("1"), End(Side::Server, true)];
    add(Reason::TruncatedAnswer, Class::Server, ADD_TEN.to_owned(), half, "after 1 bytes");

    // Text and JSON.
    let class = Class::Invalid;
    add(
        Reason::Charset,
        class,
        lines(ASCII, "", "len = [0, 300]"),
        vec![c(b"\xff\n")],
        "byte \\xff at 0",
    );
    let text = |rule: &str| lines(UTF8, &format!("text = {rule}"), "len = [0, 300]");
    let decomposed = "\u{1112}\u{1161}\n";
    add(Reason::TextForm, class, text("{ form = \"nfc\" }"), vec![c(decomposed)], "NFC");
    add(Reason::TextDenied, class, text("{ deny = [\"bidi\"] }"), vec![c("\u{202e}\n")], "202");
    let hangul = text("{ scripts = [\"Hangul\"] }");
    add(Reason::TextScript, class, hangul, vec![c("\u{430}\n")], "U+0430 of the script `Cyrillic`");
    let single = text("{ confusables = \"single-script\" }");
    add(Reason::TextConfusable, class, single, vec![c("p\u{430}y\n")], "mixes scripts");
    let bad = [
        (Reason::JsonSyntax, "{\"n\":01}", "a number"),
        (Reason::JsonTrailing, "{\"n\":1} {}", "at byte 8"),
        (Reason::JsonTop, "[]", "a list"),
        (Reason::JsonBom, "\u{feff}{\"n\":1}", "byte order mark"),
        (Reason::DuplicateKey, "{\"n\":1,\"\\u006e\":2}", "`n`"),
        (Reason::JsonNumber, "{\"n\":9007199254740992}", "9007199254740991"),
        (Reason::JsonSurrogate, "{\"n\":\"\\ud800\"}", "at byte 12"),
        (Reason::JsonDepth, "{\"n\":[[[[1]]]]}", "4"),
        (Reason::JsonNodes, "{\"n\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0]}", "20"),
        (Reason::JsonString, "{\"n\":\"1234567890123456789012345678901\"}", "30"),
        (Reason::JsonKey, "{\"123456789\":1}", "8"),
        (Reason::FieldMissing, "{}", "/n"),
        (Reason::FieldUnknown, "{\"n\":1,\"m\":2}", "`m`"),
        (Reason::Range, "{\"n\":10}", "10"),
    ];
    for (reason, said, sentence) in bad {
        add(reason, class, json(N), vec![c(format!("{said}\n"))], sentence);
    }

    // Items and columns.
    let layout = |items: &str, fields: &str| {
        let decode = format!("kind = \"struct\", layout = [{items}]");
        one("kind = \"length\", type = \"u8\"", &decode, "", fields)
    };
    let a = || layout("\"a: u16\"", "");
    add(Reason::Size, class, a(), vec![c([1, 9])], "needs 2 bytes, and 1 are left");
    add(Reason::TrailingBytes, class, a(), vec![c([3, 0, 9, 9])], "1");
    add(Reason::Constant, class, layout("\"a: u8 = 7\"", ""), vec![c([1, 8])], "8");
    add(
        Reason::Checksum,
        class,
        VALVE.to_owned(),
        vec![c([0, 3, 1, 9, 0])],
        "is 0, and that of the bytes before is 8",
    );
    let record = |at: usize, with: u8| {
        let mut record =
            b"0064020000000001123456789012  Kim                 0000000500000     ".to_vec();
        record[at] = with;
        vec![c(record)]
    };
    add(Reason::Digits, class, TRANSFER.to_owned(), record(10, b'x'), "txid");
    add(Reason::Filler, class, TRANSFER.to_owned(), record(67, b'x'), "filler");

    // Fields.
    let field = [
        (Reason::IntegerForm, "int = [0, 9]", "007", "007"),
        (Reason::Enum, "enum = [\"a\"]", "b", "b"),
        (Reason::Length, "len = [0, 2]", "abc", "3"),
        (Reason::Regex, "regex = \"[a-z]{1,3}\"", "A", "A"),
        (
            Reason::Decimal,
            "decimal = { digits = 9, scale = 2, min = \"0.01\", max = \"500.00\" }",
            "501.00",
            "501.00",
        ),
        (Reason::Date, "date = \"YYYYMMDD\"", "20260230", "20260230"),
        (Reason::Encoding, "uuid = true", "x", "x"),
    ];
    for (reason, rule, said, sentence) in field {
        add(reason, class, lines(ASCII, "", rule), vec![c(format!("{said}\n"))], sentence);
    }
    let each = "fields.n = { each = { int = [0, 9] }, len = [0, 3] }";
    add(Reason::Each, class, json(each), vec![c("{\"n\":[1,10]}\n")], "10");
    let schema = "schema = '{ \"type\": \"object\", \"additionalProperties\": false, \"properties\": { \"n\": { \"const\": 1 } } }'";
    add(Reason::Schema, class, json(schema), vec![c("{\"n\":2}\n")], "/n");
    let digit = || one(LINES, ASCII, "", "grammar = '(?P<w>[0-9])'\nfields.w = { int = [0, 9] }");
    add(Reason::Grammar, class, digit(), vec![c("five\n")], "five");
    let tagged = |more: &str| {
        one(
            LINES,
            JSON,
            "tag = \"/n\"",
            &format!("match = [1]\nfields.n = {{ const = 1 }}\n{more}"),
        )
    };
    add(
        Reason::NoMessage,
        class,
        tagged("fields.x = { const = 1 }\nhas = [\"/x\"]"),
        vec![c("{\"n\":1}\n")],
        "fits none",
    );
    add(Reason::TagMissing, class, tagged(""), vec![c("{\"m\":1}\n")], "/n");
    add(Reason::Undeclared, Class::Undeclared, tagged(""), vec![c("{\"n\":2}\n")], "2");
    let two = one(LINES, ASCII, "", "grammar = '[a-z]'").replace(
        "[server]",
        "[[client.message]]\nname = \"other\"\naction = \"say\"\nexpects = \"none\"\ngrammar = '[a-c]'\n[server]",
    );
    add(Reason::Ambiguous, class, two, vec![c("a\n")], "two declared messages");
    let rule = |rule: &str| json(&format!("{N}\nrules = [\"{rule}\"]"));
    add(Reason::Rule, class, rule("this.n < 5"), vec![c("{\"n\":7}\n")], "7");
    add(Reason::RuleError, class, rule("5 / this.n == 1"), vec![c("{\"n\":0}\n")], "5 / this.n");
    let part = || format!("{WORD}\nresource = \"part/${{w}}\"").replace("300", "3000");
    add(
        Reason::ResourceEmpty,
        class,
        one(LINES, ASCII, "", &part()),
        vec![c("\n")],
        "`/w` is empty",
    );

    // The exchange.
    let class = Class::State;
    add(Reason::State, class, TALK.to_owned(), vec![c("list\n")], "new");
    let get = |id: u32| c(format!("{{\"id\":{id},\"op\":\"get\",\"what\":\"box\"}}\n"));
    let got = |id: u32| s(format!("{{\"id\":{id},\"got\":\"x\"}}\n"));
    add(Reason::PairOpen, class, ASKS.to_owned(), vec![get(1), get(1)], "1");
    add(Reason::PairReuse, class, ASKS.to_owned(), vec![get(1), got(1), get(1)], "1");
    add(
        Reason::Unasked,
        class,
        ASKS.to_owned(),
        vec![c("{\"id\":2,\"yes\":true}\n")],
        "no open question",
    );
    let long = ASKS.replace("int = [1, 1000000] }", "regex = \"[a-z]{1,99}\" }");
    let key = format!("{{\"id\":\"{}\",\"op\":\"get\",\"what\":\"box\"}}\n", "a".repeat(65));
    add(Reason::PairKey, class, long, vec![c(key)], "`/id` cannot pair");
    let class = Class::Server;
    let may = |id: u32| s(format!("{{\"id\":{id},\"may\":\"send\"}}\n"));
    add(Reason::InFlight, class, ASKS.to_owned(), vec![may(1), may(2), may(3)], "2 questions");
    let reply = s([0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 1]);
    let read = c([0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2]);
    add(
        Reason::ReplyMismatch,
        class,
        PLC.to_owned(),
        vec![read, reply],
        "holds 1 values, and 2 were due",
    );

    // Limits.
    let class = Class::Limit;
    let rated = framed(LINES).replace(
        "[limits]",
        "[limits]\nrate = { per = \"identity\", messages = \"1/s\", burst = 1, over = \"refuse\" }",
    );
    add(Reason::Rate, class, rated, vec![c("a\nb\n")], "the contract's rate");
    let put = |id: u32| {
        c(format!("{{\"id\":{id},\"op\":\"get\",\"what\":\"pin\",\"pin\":\"123456\"}}\n"))
    };
    let quota = vec![put(1), got(1), put(2), got(2), put(3), got(3), put(4)];
    add(Reason::Quota, class, ASKS.to_owned(), quota, "3");
    let many = "fields.n = { each = { regex = \"[a-z]{1,9}\" }, len = [0, 9] }\nresource = \"part/${n[*]}\"";
    let few = json(many).replace("[limits]", "[limits]\nresources = 2");
    add(Reason::Resources, class, few, vec![c("{\"n\":[\"a\",\"b\",\"c\"]}\n")], "2");
    let wide = one(LINES, ASCII, "", &part())
        .replace("message = 400", "message = 4000")
        .replace("string = 30", "string = 3000");
    let said = vec![c(format!("{}\n", "a".repeat(1100)))];
    add(Reason::ResourceLength, class, wide, said, "1024");
    let refusals = digit().replace(
        "[limits]",
        "[reject]\ninvalid = { then = \"continue\", max = 9 }\n[limits]\nrefusals = 1",
    );
    add(Reason::Refusals, class, refusals, vec![c("x\ny\n"), Wait(6000)], "1");
    add(Reason::FirstMessageTimeout, class, framed(LINES), vec![Wait(6000)], "5");
    add(Reason::MessageTimeout, class, framed(LINES), vec![c("a\nb"), Wait(3000)], "2");
    add(Reason::IdleTimeout, class, framed(LINES), vec![c("a\n"), Wait(11_000)], "10");
    let mut busy = Vec::new();
    (0..7).for_each(|_| busy.extend([c("a\n"), Wait(9000)]));
    add(Reason::SessionLifetime, class, framed(LINES), busy, "1 min");
    let mute = ADD_TEN.replace("idle_timeout          = \"30s\"", "idle_timeout = \"10m\"");
    add(Reason::ReplyTimeout, Class::Server, mute, vec![c("1\n"), Wait(60_000)], "in time");

    // Who may.
    let class = Class::Denied;
    let mut add = |policy, reason, contract, said, sentence| {
        rows.push(Row { reason, class, contract, policy, said, sentence });
    };
    add("", Reason::PolicyDenied, json(N), vec![c("{\"n\":1}\n")], "spiffe://a.example/app");
    let overflow = "@id(\"big\") permit (principal, action == Action::\"say\", resource) when { context.message.n * 9223372036854775807 > 1 };";
    let shown = || json(&format!("{N}\ncontext = {{ n = \"/n\" }}"));
    add(overflow, Reason::PolicyError, shown(), vec![c("{\"n\":9}\n")], "big");
    rows
}

/// Reasons that no session gives, and the tests that have them.
const ELSEWHERE: &[(&str, &[Reason])] = &[
    ("tests/tests/ends.rs", &[Reason::Closed, Reason::UncleanClose, Reason::ResetByPeer]),
    (
        "tests/tests/limits.rs",
        &[
            Reason::WriteTimeout,
            Reason::HalfCloseTimeout,
            Reason::Drained,
            Reason::DrainedLate,
            Reason::ConnectionLimit,
            Reason::HandshakeLimit,
            Reason::IdentityLimit,
            Reason::UpstreamUnreachable,
        ],
    ),
    ("crates/core/src/contract/codec/modbus/tests/roles.rs", &[Reason::RoleMissing]),
    ("crates/gateway/src/ca/slots.rs", &[Reason::AddressLimit]),
    ("crates/gateway/src/audit.rs", &[Reason::AuditBlocked]),
    (
        "tests/tests/attacks.rs",
        &[
            Reason::HandshakeTimeout,
            Reason::TlsError,
            Reason::TlsVersion,
            Reason::CertificateRequired,
            Reason::CertificateExpired,
            Reason::CertificateNotYetValid,
            Reason::UnknownIssuer,
            Reason::WrongUsage,
            Reason::IdentityInvalid,
            Reason::WrongTrustDomain,
            Reason::CertificateInvalid,
            Reason::PeerNameMismatch,
        ],
    ),
    (
        "tests/tests/revocation.rs",
        &[Reason::CertificateRevoked, Reason::TrustWithdrawn, Reason::ResumptionSeen],
    ),
    ("tests/tests/files.rs", &[Reason::CrlStale]),
    ("tests/tests/reload.rs", &[Reason::ContractReplaced]),
    ("crates/segwan/src/agent/tests/silence.rs", &[Reason::AuthorityUnreachable]),
    (
        "crates/segwan/tests/believed/foreign.rs",
        &[Reason::IdentityUnmapped, Reason::IdentityAmbiguous],
    ),
];
/// A fault of our own has no input.
const FAULTS: &[Reason] = &[Reason::Internal];
/// Words of the design that no code gives yet; whoever gives one gives it a row.
const UNUSED: &[Reason] = &[Reason::AdmitTimeout, Reason::MemoryBudget];

// CON-05: every reason there is has its row, or its test elsewhere.
#[test]
fn no_reason_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut left: BTreeSet<Reason> = Reason::ALL.iter().copied().collect();
    rows().iter().map(|row| row.reason).chain(FAULTS.iter().copied()).for_each(|reason| {
        left.remove(&reason);
    });
    for (file, reasons) in ELSEWHERE {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        for reason in *reasons {
            assert!(text.contains(&format!("Reason::{reason:?}")), "{reason} is not in {file}");
            assert!(left.remove(reason), "{reason} has a row");
        }
    }
    let mut below = vec![root.join("crates")];
    while let Some(path) = below.pop() {
        if path.is_dir() {
            below.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|of| of == "rs") && !path.ends_with("reasons.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for reason in UNUSED {
                let used = text.contains(&format!("Reason::{reason:?}"));
                assert!(!used, "{reason} is given in {}", path.display());
                left.remove(reason);
            }
        }
    }
    assert!(left.is_empty(), "no row for {left:?}");
}

/// All that a session told: the last of it is why it ended, if it did.
type Told = (Reason, Option<Class>, String);

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn start() -> Now {
    Now { instant: Instant::now(), unix_ms: 0 }
}

fn told(row: &Row) -> (Vec<Told>, Vec<u8>) {
    // Their vectors say what they do with the values that are changed here.
    let text = row.contract.split("[[test]]").next().unwrap_or_default();
    let none = |_: &str| Err("no file".to_owned());
    let contract = Contract::load("t.toml", text, &none)
        .unwrap_or_else(|findings| panic!("{}: {findings:?}\n{text}", row.reason))
        .0;
    let policy = format!(
        "@id(\"in\") permit (principal, action == Action::\"connect\", resource);\n{}",
        row.policy
    );
    let source = PolicySource { file: "s.cedar".to_owned(), text: policy };
    let (policy, _) = Policy::compile("s", &contract.actions(), &[], &[source])
        .unwrap_or_else(|findings| panic!("{}: {findings:?}", row.reason));
    let certificate = CertificateFacts {
        serial: "01".to_owned(),
        issuer: "ca".to_owned(),
        issuer_key: "aa".to_owned(),
        keys: vec![],
        not_before: 0,
        not_after: 4_000_000_000,
    };
    let identity = "spiffe://a.example/app".parse().unwrap();
    let peer = Arc::new(Peer::authenticated(identity, certificate));
    let facts = ConnectionFacts { address: [127, 0, 0, 1].into(), started_unix_ms: 0, tls: "1.3" };
    let mut now = start();
    let permit = policy.admit(peer, facts, now).unwrap();
    let mut session = Session::open(Warrant::Permit(permit), contract, &Limits::default(), now);
    let mut out = Outbox::default();
    for step in &row.said {
        match step {
            Step::Client(bytes) => {
                session.receive(Side::Client, bytes, Some(&policy), now, &mut out);
            }
            Step::Server(bytes) => {
                session.receive(Side::Server, bytes, Some(&policy), now, &mut out);
            }
            End(side, clean) => session.end(*side, *clean, Some(&policy), now, &mut out),
            Wait(ms) => {
                let until = now.after(Duration::from_millis(*ms));
                while let Some(at) = session.deadline().filter(|at| *at <= until.instant) {
                    now = now.after(at.saturating_duration_since(now.instant));
                    session.tick(Some(&policy), now, &mut out);
                }
                now = until;
            }
        }
    }
    let mut told = Vec::new();
    for event in &out.events {
        assert_eq!(event.event, EventKind::Rejected, "{}", row.reason);
        assert!(event.contract.is_some() && event.direction.is_some() && event.frame.is_some());
        let sentence = format!("{} {}", event.pointer.as_deref().unwrap_or(""), event.sentence);
        told.push((event.reason.unwrap(), event.class, sentence));
    }
    told.extend(out.end.iter().map(|end| (end.reason, None, end.sentence.clone())));
    (told, out.to_client.as_slice().to_vec())
}

// CON-05: exactly it, once; the sentence has the values that decided; the record has its class, its
// place and its contract; what the peer hears names no reason.
#[test]
fn each_reason_has_an_input_that_gives_exactly_it() {
    let mut wrong = String::new();
    for row in rows() {
        let (told, heard) = told(&row);
        let reasons: BTreeSet<Reason> = told.iter().map(|(reason, ..)| *reason).collect();
        let last = told.last();
        let alone = reasons.len() == 1 || (row.reason == Reason::Refusals && reasons.len() == 2);
        let class =
            told.iter().find_map(|(reason, class, _)| class.filter(|_| *reason == row.reason));
        let right = last.is_some_and(|(reason, _, sentence)| {
            *reason == row.reason && sentence.contains(row.sentence)
        });
        if !alone || !right || class.is_some_and(|class| class != row.class) {
            wrong += &format!("{} {}: {told:?}\n", row.reason, row.class);
        }
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(!heard.contains(row.reason.as_str()), "{}: {heard}", row.reason);
    }
    assert!(wrong.is_empty(), "{wrong}");
}
