//! `resp` as a session sees it: what passes, in which spelling, and what never reaches a service.

use super::commands::{self, Keys};
use crate::contract::{Contract, Side};
use crate::limits::Limits;
use crate::now::Now;
use crate::rejection::{Class, Reason};
use crate::session::{Ending, Outbox, Session, Warrant};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

const HEAD: &str = r#"
contract = "cache/1"
codec    = "resp"

[limits]
message        = 4096
server_message = 4096
nodes          = 64
depth          = 3
refusals       = 10000
"#;

/// A contract of these messages.
fn load(messages: &str) -> Result<Arc<Contract>, Vec<String>> {
    let text = format!("{HEAD}\n{messages}");
    let loaded = Contract::load("cache.toml", &text, &|_| Err("no file".to_owned()));
    let told = |findings: Vec<crate::finding::Finding>| {
        findings.into_iter().map(|finding| finding.to_string()).collect()
    };
    loaded.map(|(contract, _)| contract).map_err(told)
}

/// One message for these commands, and what else is said of it.
fn message(commands: &str, more: &str) -> String {
    format!("[[client.message]]\nname = \"m\"\nmatch = [{commands}]\naction = \"do\"\n{more}\n")
}

static CACHE: LazyLock<Arc<Contract>> = LazyLock::new(|| {
    let text = r#"
[[client.message]]
name     = "get"
match    = ["GET", "MGET"]
action   = "redis.read"
resource = "key/${keys[*]}"

[[client.message]]
name   = "ping"
match  = ["PING"]
action = "redis.session"

[[client.message]]
name       = "client"
match      = ["CLIENT"]
action     = "redis.session"
fields.sub = { enum = ["ID", "SETNAME"] }

[[client.message]]
name   = "log-in"
match  = ["AUTH", "HELLO"]
action = "redis.session"

[reject]
denied     = { reply = "error:NOPERM not allowed", then = "continue", max = 10000 }
undeclared = { reply = "error:ERR not accepted", then = "continue", max = 10000 }
invalid    = { reply = "error:ERR not accepted", then = "continue", max = 10000 }
"#;
    load(text).unwrap()
});

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
static NOW: LazyLock<Now> = LazyLock::new(|| Now { instant: Instant::now(), unix_ms: 0 });

/// All that came out of a session.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    service: Vec<u8>,
    peer: Vec<u8>,
    refused: Vec<(Option<Reason>, Option<Class>)>,
    sentences: String,
    end: Option<Ending>,
}

impl Seen {
    /// Adds what a session gave; says whether that was anything.
    fn take(&mut self, out: Outbox) -> bool {
        let before = (self.service.len(), self.peer.len(), self.refused.len());
        self.service.extend_from_slice(out.to_server.as_slice());
        self.peer.extend_from_slice(out.to_client.as_slice());
        self.refused.extend(out.events.iter().map(|event| (event.reason, event.class)));
        self.sentences.extend(out.events.iter().map(|event| event.sentence.as_str()));
        self.end = self.end.take().or(out.end);
        before != (self.service.len(), self.peer.len(), self.refused.len())
    }
}

/// What both sides say, in this order and in pieces of this size.
fn talk(contract: &Arc<Contract>, said: &[(Side, &[u8])], piece: usize) -> Seen {
    let warrant = Warrant::NotJudged;
    let mut session = Session::open(warrant, Arc::clone(contract), &Limits::default(), *NOW);
    let mut seen = Seen::default();
    for (side, bytes) in said {
        for piece in bytes.chunks(piece.clamp(1, bytes.len().max(1))) {
            let mut out = Outbox::default();
            session.receive(*side, piece, None, *NOW, &mut out);
            // The peer takes all that it is given.
            while seen.take(std::mem::take(&mut out)) {
                session.delivered(None, *NOW, &mut out);
            }
        }
    }
    seen
}

/// What a client says alone.
fn say(bytes: impl AsRef<[u8]>) -> Seen {
    talk(&CACHE, &[(Side::Client, bytes.as_ref())], usize::MAX)
}

fn reason(bytes: impl AsRef<[u8]>) -> Option<Reason> {
    say(bytes).refused.first().and_then(|(reason, _)| *reason)
}

/// A command as clients write it.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn words(text: &str) -> Vec<u8> {
    command(&text.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

// CON-32
#[test]
fn a_command_passes_with_its_name_in_upper_case_and_its_arguments_as_they_came() {
    assert_eq!(say(words("gEt aPp:x")).service, words("GET aPp:x"));
    let binary = command(&[b"mget", b"\xff\r\n\0", b"", b"$3\r\n"]);
    // An empty key has no name that a policy could be asked for.
    assert_eq!(reason(&binary), Some(Reason::ResourceEmpty));
    let binary = command(&[b"mget", b"\xff\r\n\0", b"$3\r\n"]);
    let spelled = command(&[b"MGET", b"\xff\r\n\0", b"$3\r\n"]);
    assert_eq!(say(binary).service, spelled);
}

// CON-32
#[test]
fn a_frame_that_is_no_array_of_bulk_strings_ends_the_connection() {
    use Reason::{FrameTooLarge, InlineCommand, LengthForm, LengthRange};
    let rows: [(&[u8], Reason); 27] = [
        (b"GET / HTTP/1.1\r\n\r\n", InlineCommand),
        (b"PING\r\n", InlineCommand),
        (b"\r\n", InlineCommand),
        (b"\x16\x03\x01", InlineCommand),
        (b" *1\r\n", InlineCommand),
        (b"$4\r\nPING\r\n", LengthForm),
        (b"+PING\r\n", LengthForm),
        (b"*0\r\n", LengthForm),
        (b"*-1\r\n", LengthForm),
        (b"*+1\r\n", LengthForm),
        (b"*01\r\n", LengthForm),
        (b"*00", LengthForm),
        (b"* 1\r\n", LengthForm),
        (b"*1 \r\n", LengthForm),
        (b"*\r\n", LengthForm),
        (b"*1\n", LengthForm),
        (b"*1\r$", LengthForm),
        (b"*1025", LengthRange),
        (b"*99999999999999999999999999", LengthRange),
        (b"*1024\r\n", FrameTooLarge),
        (b"*1\r\n:1\r\n", LengthForm),
        (b"*1\r\n*1\r\n", LengthForm),
        (b"*1\r\n$-1\r\n", LengthForm),
        (b"*1\r\n$4\r\nPINGX", LengthForm),
        (b"*1\r\n$4\r\nPING\n", LengthForm),
        (b"*2\r\n$4096\r\n", FrameTooLarge),
        (b"*2\r\n$4097", LengthRange),
    ];
    for (bytes, expected) in rows {
        for piece in [1, usize::MAX] {
            let seen = talk(&CACHE, &[(Side::Client, bytes)], piece);
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(seen.refused, [(Some(expected), Some(Class::Frame))], "{shown}");
            assert!(seen.service.is_empty() && seen.peer.is_empty(), "{shown}");
            assert!(seen.end.is_some(), "{shown}");
        }
    }
}

// CON-32: a header that waits for what it announced is not refused, nor is anything forwarded
#[test]
fn a_frame_that_is_not_whole_waits() {
    let whole = words("GET app:x");
    for end in 0..whole.len() {
        let seen = say(&whole[..end]);
        assert_eq!(seen, Seen::default(), "{end}");
    }
}

// K-80
#[test]
fn a_command_with_another_number_of_words_is_refused() {
    for bad in ["GET", "GET a b", "MGET", "AUTH", "CLIENT"] {
        assert_eq!(reason(words(bad)), Some(Reason::Size), "{bad}");
    }
}

#[test]
fn what_changes_the_meaning_of_replies_is_refused_whoever_declares_it() {
    let refused = |bytes| {
        let seen = say(bytes);
        assert_eq!(seen.service, b"");
        seen.refused
    };
    let undeclared = [(Some(Reason::Undeclared), Some(Class::Undeclared))];
    for bad in
        ["MONITOR", "CLIENT REPLY OFF", "client tracking on", "NOSUCH a", "EVAL x 0", "g\u{e9}t a"]
    {
        assert_eq!(refused(words(bad)), undeclared, "{bad}");
    }
    assert_eq!(refused(words("HELLO 4")), [(Some(Reason::Enum), Some(Class::Invalid))]);
    assert_eq!(say(words("HELLO 3 AUTH u p")).service, words("HELLO 3 AUTH u p"));
    for name in ["MONITOR", "PSYNC", "REPLCONF", "SYNC", "SUBSCRIBE", "UNSUBSCRIBE"] {
        let errors = load(&message(&format!("\"{name}\""), "")).unwrap_err();
        assert!(errors.iter().any(|error| error.contains("K-80")), "{name}: {errors:?}");
    }
    let errors =
        load(&message("\"CLIENT\"", "fields.sub = { enum = [\"TRACKING\"] }")).unwrap_err();
    assert!(errors.iter().any(|error| error.contains("K-80")), "{errors:?}");
}

// K-80
#[test]
fn a_declared_command_says_what_the_codec_asks_for() {
    let rows = [
        ("\"EVAL\"", "", "`hazard`"),
        ("\"KEYS\"", "", "`hazard`"),
        ("\"COPY\"", "", "`hazard`"),
        ("\"CLIENT\"", "fields.sub = { enum = [\"ID\", \"KILL\"] }", "`hazard`"),
        ("\"CLIENT\"", "fields.sub = { const = \"PAUSE\" }", "`hazard`"),
        ("\"CLIENT\"", "fields.sub = { enum = [\"UNBLOCK\"] }", "`hazard`"),
        ("\"CLIENT\"", "fields.sub = { enum = [\"NO-EVICT\"] }", "`hazard`"),
        ("\"get\"", "", "upper case"),
        ("\"BLPOP\"", "", "`reply_timeout"),
        ("\"CLIENT\"", "", "`fields.sub"),
        ("\"CLIENT\"", "fields.sub = { enum = [\"id\"] }", "`fields.sub"),
        ("\"JSON.GET\"", "", "`keys = {"),
        ("\"GET\"", "keys = { first = 1 }", "leave `keys` out"),
        ("\"GET\"", "expects = \"none\"", "leave `expects` out"),
        ("\"GET\"", "fields.sub = { enum = [\"X\"] }", "cmd, args, keys"),
        ("\"PING\"", "resource = \"key/${keys[*]}\"", "does not have"),
        ("\"GET\"", "context = { a = \"/args\" }", "no type that a policy has"),
        ("\"JSON.GET\"", "keys = { first = 0 }", "outside 1 to 64"),
    ];
    for (commands, more, hint) in rows {
        let errors = load(&message(commands, more)).unwrap_err().join("\n");
        assert!(errors.contains(hint), "{commands} {more}: {errors}");
    }
    load(&message("\"EVAL\"", "hazard = \"counters that no command has\"")).unwrap();
    let kill = "hazard = \"ends stuck workers\"\nfields.sub = { enum = [\"KILL\"] }";
    load(&message("\"CLIENT\"", kill)).unwrap();
    load(&message("\"CLIENT\"", "fields.sub = { enum = [\"ID\", \"SETNAME\"] }")).unwrap();
    load(&message("\"BLPOP\"", "reply_timeout = \"60s\"")).unwrap();
    for bad in [
        "reply = \"no\"",
        "reply = \"error:\"",
        "reply = \"error:lower x\"",
        "reply = \"error:ERR \\r\\n+OK\"",
    ] {
        let text = format!("{}[reject]\ndenied = {{ {bad} }}\n", message("\"GET\"", ""));
        assert!(load(&text).unwrap_err().join("\n").contains("K-74"), "{bad}");
    }
}

/// What a policy would be asked for, of one command.
fn keys(line: &str, declared: &str) -> Result<Vec<String>, Reason> {
    let name = line.split(' ').next().unwrap();
    let hazard = "hazard = \"shown in a test\"\nreply_timeout = \"1s\"";
    let sub = commands::CONTAINERS.contains(&name);
    let sub =
        if sub { "fields.sub = { enum = [\"USAGE\", \"CREATE\", \"ENCODING\"] }" } else { "" };
    let text = message(&format!("\"{name}\""), &format!("{hazard}\n{sub}\n{declared}"));
    let contract = load(&text).unwrap();
    let line = words(line);
    let tree = contract.direction(Side::Client).decode.read(&line, &contract.limits.wire);
    let tree = tree.map_err(|violation| violation.reason)?.into_owned();
    let Some(crate::contract::value::Value::List(list)) = tree.member("keys").cloned() else {
        return Ok(vec!["-".to_owned()]);
    };
    let text = |value| match value {
        crate::contract::value::Value::Bytes(bytes) => {
            String::from_utf8(bytes.into_owned()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    Ok(list.into_iter().map(text).collect())
}

// CON-32, TRAP: a key behind an option
#[test]
fn every_key_of_a_command_is_found() {
    let rows = [
        ("GET k", "k"),
        ("MSET k v k2 v2", "k k2"),
        ("BITOP AND k k2 k3", "k k2 k3"),
        ("BLPOP k k2 0", "k k2"),
        ("RENAME k k2", "k k2"),
        ("PING", "-"),
        ("EVAL script 2 k k2 arg", "k k2"),
        ("EVAL script 0 arg", ""),
        ("ZUNIONSTORE k 2 k2 k3 WEIGHTS 1 2", "k k2 k3"),
        ("ZUNION 2 k k2 WITHSCORES", "k k2"),
        ("BLMPOP 0 2 k k2 LEFT", "k k2"),
        ("XREAD COUNT 2 BLOCK 0 STREAMS k k2 0 0", "k k2"),
        ("XREADGROUP GROUP STREAMS me STREAMS k >", "k"),
        ("SORT k BY STORE LIMIT 0 1 GET GET store k2", "k k2"),
        ("GEORADIUS k 1 1 1 m STORE k2 storedist k3", "k k2 k3"),
        ("MIGRATE h 1 k 0 1 COPY AUTH KEYS", "k"),
        ("MEMORY USAGE k", "k"),
        ("XGROUP CREATE k g 0", "k"),
    ];
    for (line, expected) in rows {
        assert_eq!(keys(line, "").map(|keys| keys.join(" ")), Ok(expected.to_owned()), "{line}");
    }
    assert_eq!(keys("JSON.MGET k k2 $", "keys = { first = 1, last = -2 }").unwrap(), ["k", "k2"]);
    let unread = [
        ("EVAL script 3 k k2", Reason::Size),
        ("EVAL script -1 k", Reason::IntegerForm),
        ("EVAL script 01 k", Reason::IntegerForm),
        ("ZUNIONSTORE k 9223372036854775807 k2", Reason::IntegerForm),
        ("ZUNIONSTORE k 922337203685477580 k2", Reason::Size),
        ("XREAD STREAMS k k2 0", Reason::Size),
        ("XREAD NEW 1 STREAMS k 0", Reason::Enum),
        ("SORT k NEW k2", Reason::Enum),
        ("MEMORY USAGE", Reason::Size),
    ];
    for (line, reason) in unread {
        assert_eq!(keys(line, ""), Err(reason), "{line}");
    }
}

#[test]
fn the_table_is_sorted_and_has_every_command_of_the_lists() {
    assert!(commands::COMMANDS.is_sorted_by(|a, b| a.name < b.name));
    let lists =
        [&commands::HAZARDS[..], &commands::CONTAINERS, &commands::BLOCKING, &commands::SECRET];
    for name in lists.concat() {
        assert!(commands::find(name).is_some(), "{name}");
    }
    for name in commands::ALWAYS_REFUSED.iter().chain(&commands::SUBSCRIBING) {
        assert!(commands::find(name).is_none(), "{name}");
    }
    for command in commands::COMMANDS.iter().filter(|c| matches!(c.keys, Keys::Sub(_))) {
        assert!(commands::CONTAINERS.contains(&command.name), "{}", command.name);
    }
}

// TRAP-09, CON-32
#[test]
fn refusals_keep_their_place_among_replies() {
    let pipeline =
        [words("GET a"), words("EVAL x 0"), words("GET"), words("GET b"), words("KEYS *")];
    let pipeline = pipeline.concat();
    let said: [(Side, &[u8]); 3] =
        [(Side::Client, &pipeline), (Side::Server, b"$1\r\n1\r\n"), (Side::Server, b"$-1\r\n")];
    let seen = talk(&CACHE, &said, usize::MAX);
    assert_eq!(seen.service, [words("GET a"), words("GET b")].concat());
    let error = b"-ERR not accepted\r\n";
    let expected = [b"$1\r\n1\r\n", &error[..], error, b"$-1\r\n", error].concat();
    assert_eq!(String::from_utf8(seen.peer).unwrap(), String::from_utf8(expected).unwrap());
}

// TRAP-09
#[test]
fn thousands_of_refusals_are_answered_in_order_and_wait_for_those_before() {
    let mut said = words("GET a");
    for _ in 0..5000 {
        said.extend(words("FLUSHALL"));
    }
    let seen = talk(&CACHE, &[(Side::Client, &said)], 4096);
    assert_eq!((seen.service, seen.peer.len()), (words("GET a"), 0));
    // Reading stops at `in_flight`; the reply lets the rest through.
    assert!(seen.refused.len() < 1024);
    let seen = talk(&CACHE, &[(Side::Client, &said), (Side::Server, b"_\r\n")], 4096);
    assert_eq!(seen.refused.len(), 5000);
    assert_eq!(seen.peer, [b"_\r\n", "-ERR not accepted\r\n".repeat(5000).as_bytes()].concat());
}

#[test]
fn where_there_are_transactions_a_refusal_ends_the_connection() {
    let text = message("\"MULTI\", \"EXEC\", \"PING\"", "");
    let contract = load(&text).unwrap();
    let said = [words("MULTI"), words("SET a 1"), words("EXEC")].concat();
    let said: [(Side, &[u8]); 2] = [(Side::Client, &said), (Side::Server, b"+OK\r\n")];
    let seen = talk(&contract, &said, usize::MAX);
    assert_eq!(seen.service, words("MULTI"));
    assert_eq!(seen.peer, b"+OK\r\n-ERR not accepted\r\n");
    assert!(seen.end.is_some());
}

// K-80: the others of a transaction must not be carried out without the refused one.
#[test]
fn a_contract_with_transactions_goes_on_past_no_refusal() {
    let with = |commands: &str, reject: &str| {
        load(&format!("{}\n{reject}", message(commands, ""))).err().unwrap_or_default()
    };
    for class in ["denied", "invalid", "undeclared", "limit"] {
        let goes_on =
            format!("[reject]\n{class} = {{ reply = \"error:ERR x\", then = \"continue\" }}");
        let faults = with("\"MULTI\", \"EXEC\"", &goes_on);
        assert!(
            faults.iter().any(|f| f.contains("error[K-80]: within a transaction")),
            "{faults:?}"
        );
        assert_eq!(with("\"PING\"", &goes_on), Vec::<String>::new());
        assert_eq!(with("\"MULTI\", \"EXEC\"", &goes_on.replace("continue", "close")), [""; 0]);
    }
    let own = "reject.denied = { reply = \"error:ERR x\", then = \"continue\" }";
    let faults = load(&message("\"MULTI\", \"EXEC\"", own)).err().unwrap_or_default();
    assert!(faults.iter().any(|fault| fault.contains("K-80")), "{faults:?}");
}

// section 17
#[test]
fn a_password_is_in_no_sentence() {
    for bad in ["AUTH hunter2 b c d e", "HELLO hunter2", "HELLO 9 AUTH u hunter2"] {
        let seen = say(words(bad));
        assert!(!seen.refused.is_empty() || bad.starts_with("AUTH"), "{bad}");
        assert!(!seen.sentences.contains("hunter2"), "{bad}: {}", seen.sentences);
    }
    let log_in = CACHE.direction(Side::Client).messages.iter().find(|m| m.name() == "log-in");
    assert_eq!(log_in.unwrap().secrets, [crate::contract::value::Pointer::name("args")]);
}

/// What a service answers to a `PING`.
fn answer(bytes: &[u8]) -> Seen {
    let ping = words("PING");
    talk(&CACHE, &[(Side::Client, &ping), (Side::Server, bytes)], usize::MAX)
}

// CON-32
#[test]
fn every_type_of_resp2_and_resp3_is_a_reply() {
    let good: [&[u8]; 24] = [
        b"+PONG\r\n",
        b"+\r\n",
        b"-ERR no\r\n",
        b":0\r\n",
        b":-12\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"$2\r\n-1\r\n",
        b"$0\r\n\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"*0\r\n",
        b"*2\r\n*1\r\n:1\r\n$-1\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5e3\r\n",
        b",-inf\r\n",
        b",nan\r\n",
        b"(-12345678901234567890123\r\n",
        b"!5\r\nERR x\r\n",
        b"=7\r\ntxt:a\r\n\r\n",
        b"%1\r\n+a\r\n:1\r\n",
        b"~2\r\n:1\r\n:2\r\n",
        b"|1\r\n+ttl\r\n:1\r\n$1\r\nv\r\n",
        b"*1\r\n|1\r\n+ttl\r\n:1\r\n$1\r\nv\r\n",
    ];
    for bytes in good {
        let seen = answer(bytes);
        assert_eq!(
            (seen.refused, seen.peer),
            (vec![], bytes.to_vec()),
            "{:?}",
            bytes.escape_ascii()
        );
    }
    let bad: [(&[u8], Reason); 22] = [
        (b"PONG\r\n", Reason::LengthForm),
        (b"+PO\nNG\r\n", Reason::LengthForm),
        (b"+PO\rNG\r\n", Reason::LengthForm),
        (b":+1\r\n", Reason::LengthForm),
        (b":01\r\n", Reason::LengthForm),
        (b":9223372036854775808\r\n", Reason::LengthForm),
        (b"$-2\r\n", Reason::LengthForm),
        (b"$?\r\n", Reason::LengthForm),
        (b"*?\r\n", Reason::LengthForm),
        (b"_x\r\n", Reason::LengthForm),
        (b"#y\r\n", Reason::LengthForm),
        (b",1.5.5\r\n", Reason::LengthForm),
        (b"(-\r\n", Reason::LengthForm),
        (b"=3\r\ntxt\r\n", Reason::LengthForm),
        (b"*65", Reason::LengthRange),
        (b"%33", Reason::LengthRange),
        (b"*64\r\n*64\r\n", Reason::LengthRange),
        (b"*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", Reason::LengthRange),
        (b"$4094\r\n", Reason::FrameTooLarge),
        (b"$4097\r\n", Reason::LengthRange),
        (b"+PONG\r\n+PONG\r\n", Reason::Unasked),
        (b">2\r\n+invalidate\r\n*0\r\n", Reason::NoMessage),
    ];
    for (bytes, reason) in bad {
        let seen = answer(bytes);
        let shown = bytes.escape_ascii();
        assert_eq!(seen.refused, [(Some(reason), Some(Class::Server))], "{shown}");
        assert!(seen.peer.is_empty() || reason == Reason::Unasked, "{shown}");
    }
    let long = [b"+", "x".repeat(5000).as_bytes()].concat();
    assert_eq!(answer(&long).refused, [(Some(Reason::FrameTooLarge), Some(Class::Server))]);
}

/// A reader of commands that shares nothing with the codec: lengths are taken on trust.
fn read(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    fn line<'a>(bytes: &mut &'a [u8]) -> &'a str {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let (line, rest) = bytes.split_at(end);
        *bytes = &rest[2..];
        std::str::from_utf8(line).unwrap()
    }
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let count: usize = line(&mut bytes).strip_prefix('*').unwrap().parse().unwrap();
        let mut words = Vec::new();
        for _ in 0..count {
            let length: usize = line(&mut bytes).strip_prefix('$').unwrap().parse().unwrap();
            words.push(bytes[..length].to_vec());
            assert_eq!(&bytes[length..length + 2], b"\r\n");
            bytes = &bytes[length + 2..];
        }
        commands.push(words);
    }
    commands
}

fn a_word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "(GET|get|MGET|PING|pInG|CLIENT|ID|SETNAME|EVAL|FLUSHALL|AUTH)".prop_map(String::into_bytes),
        2 => "[a-z:]{1,6}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => Just(b"\r\n$1\r\n*1\r\n".to_vec()),
    ]
}

/// Commands, and now and then a byte that is another.
fn a_stream() -> impl Strategy<Value = Vec<u8>> {
    let commands = prop::collection::vec(prop::collection::vec(a_word(), 1..4), 1..8);
    let change = prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>()));
    (commands, change).prop_map(|(commands, change)| {
        let write =
            |words: &Vec<Vec<u8>>| command(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut stream: Vec<u8> = commands.iter().flat_map(write).collect();
        if let Some((at, byte)) = change {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}

fn a_reply() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(b"+OK\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"_\r\n".to_vec()),
        Just(b"#f\r\n".to_vec()),
        Just(b",-1e5\r\n".to_vec()),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| {
            [format!("${}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let kind = prop::sample::select(&b"*~%>|"[..]);
        (kind, prop::collection::vec(inner, 0..5)).prop_map(|(kind, mut values)| {
            let count = match kind {
                b'%' => values.len() / 2,
                b'|' => values.len().saturating_sub(1) / 2,
                _ => values.len(),
            };
            if kind == b'|' && values.is_empty() {
                values.push(b"_\r\n".to_vec());
            }
            let used = match kind {
                b'%' => count * 2,
                b'|' => count * 2 + 1,
                _ => count,
            };
            let header = [&[kind], format!("{count}\r\n").as_bytes()].concat();
            [header, values[..used].concat()].concat()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // CON-32
    #[test]
    fn a_client_gets_one_verdict_whole_in_pieces_and_byte_by_byte(stream in a_stream(), piece in 1..40_usize) {
        let whole = talk(&CACHE, &[(Side::Client, &stream)], usize::MAX);
        for piece in [1, piece] {
            prop_assert_eq!(&talk(&CACHE, &[(Side::Client, &stream)], piece), &whole);
        }
        // What passed is what a reader of its own understands, and its names are declared.
        let mut said = Vec::new();
        for words in read(&whole.service) {
            let name = String::from_utf8(words[0].clone()).unwrap();
            prop_assert!(["GET", "MGET", "PING", "CLIENT", "AUTH", "HELLO"].contains(&&*name));
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            said.extend(command(&words));
        }
        prop_assert_eq!(said, whole.service);
    }

    // CON-32
    #[test]
    fn a_command_that_passes_says_what_it_said(words in prop::collection::vec(a_word(), 1..5)) {
        let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let seen = say(command(&slices));
        if seen.refused.is_empty() {
            let mut expected = words;
            expected[0].make_ascii_uppercase();
            prop_assert_eq!(read(&seen.service), vec![expected]);
        } else {
            prop_assert!(seen.service.is_empty());
        }
    }

    // CON-32
    #[test]
    fn a_service_gets_one_verdict_whole_in_pieces_and_byte_by_byte(
        replies in prop::collection::vec(a_reply(), 1..5),
        change in prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>())),
        piece in 1..40_usize,
    ) {
        let mut stream = replies.concat();
        if let Some((at, byte)) = change {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let pings = words("PING").repeat(3);
        let said = [(Side::Client, &pings[..]), (Side::Server, &stream[..])];
        let whole = talk(&CACHE, &said, usize::MAX);
        for piece in [1, piece] {
            prop_assert_eq!(&talk(&CACHE, &said, piece), &whole);
        }
        // Replies pass as they came, and nothing behind the first that is refused.
        prop_assert!(stream.starts_with(&whole.peer));
    }
}

// K-91
#[test]
fn the_example_is_accepted_and_shows_all_that_it_declares() {
    let text = include_str!("../../../../../../examples/redis/cache.toml");
    let (_, findings) = Contract::load("cache.toml", text, &|_| Err("no file".to_owned())).unwrap();
    assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
}
