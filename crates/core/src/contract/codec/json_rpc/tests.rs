use super::*;
use crate::audit::EventKind;
use crate::contract::Contract;
use crate::limits::Limits;
use crate::now::Now;
use crate::policy::{Policy, PolicySource};
use crate::rejection::Reason;
use crate::session::{Outbox, Session, Warrant};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// Two methods, a notification, a question and a push; no states.
const BOOKS: &str = include_str!("../../../../../../fuzz/contracts/json-rpc.toml");
const TOOLS: &str = include_str!("../../../../../../examples/mcp/tools.toml");

fn load(text: &str) -> Result<Arc<Contract>, String> {
    let loaded = Contract::load("books.toml", text, &|_| Err("no file".to_owned()));
    loaded
        .map(|(contract, _)| contract)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn contract(text: &str) -> Arc<Contract> {
    load(text).unwrap_or_else(|findings| panic!("{findings}"))
}

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn start() -> Now {
    Now { instant: Instant::now(), unix_ms: 0 }
}

/// What came out of a session: what both sides are sent, and why messages were refused.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    service: String,
    peer: String,
    reasons: Vec<Reason>,
    ended: Option<Reason>,
}

struct Run {
    session: Session,
    now: Now,
    seen: Seen,
}

impl Run {
    fn new(contract: Arc<Contract>) -> Self {
        let now = start();
        let warrant = Warrant::Rehearsed(true);
        let session = Session::open(warrant, contract, &Limits::default(), now);
        Self { session, now, seen: Seen::default() }
    }

    fn pieces(&mut self, side: Side, said: &[u8], piece: usize) {
        for piece in said.chunks(piece) {
            let mut out = Outbox::default();
            self.session.receive(side, piece, None, self.now, &mut out);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            self.seen.service += &text(out.to_server.as_slice());
            self.seen.peer += &text(out.to_client.as_slice());
            let refused = out.events.iter().filter(|event| event.event == EventKind::Rejected);
            self.seen.reasons.extend(refused.filter_map(|event| event.reason));
            self.seen.ended = self.seen.ended.or_else(|| out.end.map(|end| end.reason));
        }
    }

    /// Says one line; gives what came of it alone.
    fn say(&mut self, side: Side, line: &str) -> Seen {
        self.pieces(side, format!("{line}\n").as_bytes(), usize::MAX);
        std::mem::take(&mut self.seen)
    }
}

fn forwarded(line: &str) -> Seen {
    Seen { service: format!("{line}\n"), ..Seen::default() }
}

fn error(id: &str, code: i32, message: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}{}"#,
        "\n"
    )
}

const FIND: &str = r#"{"jsonrpc":"2.0","id":1,"method":"books.find","params":{"title":"sea"}}"#;

// CON-31, TRAP-29
#[test]
fn an_envelope_is_a_request_a_notification_or_an_answer() {
    use Reason::{
        DuplicateKey, FieldMissing, FieldUnknown, IntegerForm, JsonSyntax, JsonTop, PairKey,
        ReplyMismatch, Schema, TagMissing, Undeclared,
    };
    let request = |rest: &str| format!(r#"{{"jsonrpc":"2.0",{rest}}}"#);
    let find = r#""method":"books.find","params":{"title":"sea"}"#;
    let (parse, invalid) = ((PARSE, "parse error"), (INVALID, "invalid request"));
    let (params, unknown) = ((PARAMS, "invalid params"), (-32601, "method not found"));
    for (line, reason, id, (code, message)) in [
        (format!("[{FIND}]"), JsonTop, "null", parse),
        ("[]".to_owned(), JsonTop, "null", parse),
        ("{".to_owned(), JsonSyntax, "null", parse),
        (request(&format!(r#""id":1,"id":2,{find}"#)), DuplicateKey, "null", parse),
        (request(&format!(r#""id":1,{find},"method":"x""#)), DuplicateKey, "null", parse),
        (format!(r#"{{"id":1,{find}}}"#), Schema, "1", invalid),
        (format!(r#"{{"jsonrpc":"1.0","id":1,{find}}}"#), Schema, "1", invalid),
        (format!(r#"{{"jsonrpc":2.0,"id":1,{find}}}"#), Schema, "1", invalid),
        (request(&format!(r#""id":1,{find},"auth":"x""#)), FieldUnknown, "1", invalid),
        (request(&format!(r#""id":1,{find},"result":1"#)), FieldUnknown, "1", invalid),
        (request(&format!(r#""id":null,{find}"#)), PairKey, "null", invalid),
        (request(&format!(r#""id":1.0,{find}"#)), PairKey, "null", invalid),
        (request(&format!(r#""id":true,{find}"#)), PairKey, "null", invalid),
        (request(&format!(r#""id":[1],{find}"#)), PairKey, "null", invalid),
        (request(&format!(r#""id":"a\nb",{find}"#)), PairKey, "null", invalid),
        (request(&format!(r#""id":"{}",{find}"#, "x".repeat(65))), PairKey, "null", invalid),
        (request(r#""id":1"#), TagMissing, "1", invalid),
        (request(r#""id":1,"method":"""#), Undeclared, "1", unknown),
        (request(r#""id":1,"method":7"#), Undeclared, "1", unknown),
        (request(r#""id":1,"method":"books\u0000find""#), Reason::TextDenied, "null", parse),
        (request(r#""id":1,"method":"books find""#), Undeclared, "1", unknown),
        (request(r#""id":1,"method":"books.burn""#), Undeclared, "1", unknown),
        (request(r#""id":1,"method":"rpc.discover""#), Undeclared, "1", unknown),
        (request(r#""id":"a-1","method":"books.find""#), FieldMissing, "\"a-1\"", params),
        (request(r#""id":1,"method":"books.find","params":["sea"]"#), Schema, "1", params),
        (request(r#""id":1,"method":"books.find","params":{}"#), FieldMissing, "1", params),
        (
            request(r#""id":1,"method":"books.find","params":{"title":"sea","x":1}"#),
            FieldUnknown,
            "1",
            params,
        ),
        (request(r#""id":1,"method":"books.lend","params":{"book":1.5}"#), Schema, "1", params),
        (
            request(r#""id":1,"method":"books.list","params":{"page":"1"}"#),
            IntegerForm,
            "1",
            params,
        ),
    ] {
        let seen = Run::new(contract(BOOKS)).say(Side::Client, &line);
        let peer = error(id, code, message);
        assert_eq!(seen, Seen { peer, reasons: vec![reason], ..Seen::default() }, "{line}");
    }
    // What is an answer itself is not answered.
    let both = request(r#""id":1,"result":1,"error":{"code":1,"message":"x"}"#);
    let seen = Run::new(contract(BOOKS)).say(Side::Client, &both);
    assert_eq!(seen, Seen { reasons: vec![ReplyMismatch], ..Seen::default() });
}

#[test]
fn what_is_declared_is_forwarded_in_one_spelling() {
    for (line, spelled) in [
        (FIND, FIND),
        (
            r#"{ "method": "books\u002efind", "params": {"title":"s\u0065a"}, "id": "x:1", "jsonrpc": "2.0" }"#,
            r#"{"method":"books.find","params":{"title":"sea"},"id":"x:1","jsonrpc":"2.0"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":-7,"method":"books.lend","params":{"book":7}}"#,
            r#"{"jsonrpc":"2.0","id":-7,"method":"books.lend","params":{"book":7}}"#,
        ),
        // Nothing of its params is required.
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"books.list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"books.list"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"books.seen"}"#,
            r#"{"jsonrpc":"2.0","method":"books.seen"}"#,
        ),
    ] {
        assert_eq!(Run::new(contract(BOOKS)).say(Side::Client, line), forwarded(spelled));
    }
}

// JSON-RPC 2.0 section 4.1
#[test]
fn a_notification_is_never_answered() {
    for (line, reason) in [
        (r#"{"jsonrpc":"2.0","method":"books.seen","params":{"x":1}}"#, Reason::FieldUnknown),
        (r#"{"jsonrpc":"2.0","method":"books.burn"}"#, Reason::Undeclared),
        (r#"{"jsonrpc":"2.0","method":"books.find","params":{"title":"sea"}}"#, Reason::NoMessage),
        (r#"{"jsonrpc":"1.0","method":"books.seen"}"#, Reason::Schema),
    ] {
        let seen = Run::new(contract(BOOKS)).say(Side::Client, line);
        assert_eq!(seen, Seen { reasons: vec![reason], ..Seen::default() }, "{line}");
    }
    let with_id = r#"{"jsonrpc":"2.0","id":1,"method":"books.seen"}"#;
    let seen = Run::new(contract(BOOKS)).say(Side::Client, with_id);
    assert_eq!((seen.reasons, seen.service.as_str()), (vec![Reason::NoMessage], ""));
}

// CON-31
#[test]
fn a_bad_answer_is_an_internal_error_to_whoever_asked() {
    for (line, reason) in [
        (r#"{"jsonrpc":"2.0","id":1,"result":{"found":"no"}}"#, Reason::IntegerForm),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"found":1,"trace":"x"}}"#, Reason::FieldUnknown),
        (r#"{"jsonrpc":"2.0","id":1}"#, Reason::TagMissing),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"found":1},"error":{"code":1,"message":"x"}}"#,
            Reason::ReplyMismatch,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x","data":{"trace":"books.py"}}}"#,
            Reason::ReplyMismatch,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"x"}}"#, Reason::ReplyMismatch),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, Reason::ReplyMismatch),
        (r#"{"jsonrpc":"2.0","id":1,"error":"books.py, line 7"}"#, Reason::ReplyMismatch),
    ] {
        let mut run = Run::new(contract(BOOKS));
        run.say(Side::Client, FIND);
        let seen = run.say(Side::Server, line);
        let peer = error("1", -32603, "internal error");
        assert_eq!(seen, Seen { peer, reasons: vec![reason], ..Seen::default() }, "{line}");
        assert_eq!(run.session.in_flight(), 0);
    }
    let long = "x".repeat(1025);
    let mut run = Run::new(contract(BOOKS));
    run.say(Side::Client, FIND);
    let line = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":1,"message":"{long}"}}}}"#);
    assert_eq!(run.say(Side::Server, &line).reasons, [Reason::ReplyMismatch]);
}

#[test]
fn an_error_has_data_only_where_the_contract_allows_it() {
    let allowed = BOOKS.replace("error_data = \"reject\"", "error_data = \"allow\"");
    assert_ne!(allowed, BOOKS);
    let mut run = Run::new(contract(&allowed));
    run.say(Side::Client, FIND);
    let line = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x","data":[1]}}"#;
    let seen = run.say(Side::Server, line);
    assert_eq!(seen, Seen { peer: format!("{line}\n"), ..Seen::default() });
}

#[test]
fn ids_of_both_sides_are_of_separate_tables() {
    let mut run = Run::new(contract(BOOKS));
    run.say(Side::Client, FIND);
    // A question that is refused has the id of an open request, and leaves it open.
    let bad = r#"{"jsonrpc":"2.0","id":1,"method":"reader.name","params":{"x":1}}"#;
    let seen = run.say(Side::Server, bad);
    assert_eq!(seen, Seen { reasons: vec![Reason::FieldUnknown], ..Seen::default() });
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"reader.name"}"#;
    assert_eq!(run.say(Side::Server, ask).peer, format!("{ask}\n"));
    let reply = r#"{"jsonrpc":"2.0","id":1,"result":{"found":1}}"#;
    assert_eq!(run.say(Side::Server, reply).peer, format!("{reply}\n"));
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"name":"kim"}}"#;
    assert_eq!(run.say(Side::Client, answer), forwarded(answer));
    // Now nothing is asked.
    let seen = run.say(Side::Client, answer);
    assert_eq!((seen.reasons, seen.service.as_str()), (vec![Reason::Unasked], ""));
}

#[test]
fn a_question_may_be_answered_with_an_error() {
    let mut run = Run::new(contract(BOOKS));
    run.say(Side::Server, r#"{"jsonrpc":"2.0","id":"q","method":"reader.name"}"#);
    let answer = r#"{"jsonrpc":"2.0","id":"q","error":{"code":-32601,"message":"no"}}"#;
    assert_eq!(run.say(Side::Client, answer), forwarded(answer));
}

// CON-31: id reuse
#[test]
fn an_open_id_is_refused_and_mcp_takes_none_twice() {
    let mut run = Run::new(contract(BOOKS));
    run.say(Side::Client, FIND);
    assert_eq!(run.say(Side::Client, FIND).reasons, [Reason::PairOpen]);
    let mut run = Run::new(contract(BOOKS));
    for _ in 0..2 {
        assert_eq!(run.say(Side::Client, FIND), forwarded(FIND));
        run.say(Side::Server, r#"{"jsonrpc":"2.0","id":1,"result":{"found":1}}"#);
    }
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let mut run = Run::new(contract(TOOLS));
    assert_eq!(run.say(Side::Client, ping), forwarded(ping));
    run.say(Side::Server, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(run.say(Side::Client, ping).reasons, [Reason::PairReuse]);
}

#[test]
fn ids_are_of_the_kind_that_the_contract_says() {
    for (ids, good, bad) in [("integer", "7", "\"7\""), ("string", "\"7\"", "7")] {
        let text = BOOKS.replace("ids = \"any\"", &format!("ids = \"{ids}\""));
        let contract = contract(&text);
        let line = |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"books.list"}}"#);
        let seen = Run::new(Arc::clone(&contract)).say(Side::Client, &line(good));
        assert_eq!(seen, forwarded(&line(good)));
        let seen = Run::new(contract).say(Side::Client, &line(bad));
        assert_eq!(seen.reasons, [Reason::PairKey]);
        assert_eq!(seen.peer, error("null", INVALID, "invalid request"));
    }
}

const EDITOR: &str = include_str!("../../../../../../fuzz/contracts/json-rpc-headers.toml");
const HOVER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"textDocument/hover","params":{"line":3}}"#;

fn framed(payload: &str) -> String {
    format!("Content-Length: {}\r\n\r\n{payload}", payload.len())
}

fn behind(headers: &str) -> Seen {
    let mut run = Run::new(contract(EDITOR));
    run.pieces(Side::Client, format!("{headers}\r\n\r\n{HOVER}").as_bytes(), usize::MAX);
    run.seen
}

#[test]
fn an_object_behind_headers_is_forwarded_and_refused_behind_headers() {
    let mut run = Run::new(contract(EDITOR));
    let spaced = HOVER.replace(":3", ": 3");
    let typed = "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n";
    run.pieces(Side::Client, format!("{typed}{}", framed(&spaced)).as_bytes(), 1);
    assert_eq!((&run.seen.service, &run.seen.reasons[..]), (&framed(HOVER), &[][..]));
    let other = HOVER.replace("hover", "rename").replace("\"id\":1", "\"id\":2");
    run.pieces(Side::Client, framed(&other).as_bytes(), usize::MAX);
    let refusal = error("2", -32601, "method not found");
    assert_eq!(run.seen.peer, framed(refusal.trim_end()));
}

// TRAP-06
#[test]
fn two_lengths_before_an_object_end_the_connection_and_none_is_believed() {
    let length = HOVER.len();
    assert_eq!(behind(&format!("Content-Length: {length}")).reasons, []);
    for (headers, reason) in [
        (format!("Content-Length: {length}\r\nContent-Length: {length}"), Reason::HeaderDuplicate),
        (format!("Content-Length: {length}\r\nContent-Length: 5"), Reason::HeaderDuplicate),
        (format!("Content-Length: 5\r\ncontent-length: {length}"), Reason::HeaderDuplicate),
        (format!("Content-Length: {length}\r\n 5"), Reason::HeaderForm),
        (format!("Content-Length : {length}"), Reason::HeaderForm),
        (format!("Content-Length: +{length}"), Reason::LengthForm),
        (format!("Content-Length: {length}, {length}"), Reason::LengthForm),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), Reason::HeaderUnknown),
        ("Content-Type: text/plain".to_owned(), Reason::HeaderMissing),
        (
            format!("Content-Type: a/b; charset=utf-16\r\nContent-Length: {length}"),
            Reason::HeaderForm,
        ),
        ("Content-Length: 999999".to_owned(), Reason::FrameTooLarge),
    ] {
        let seen = behind(&headers);
        assert_eq!((&seen.reasons[..], seen.service.as_str()), (&[reason][..], ""), "{headers}");
        assert_eq!(seen.peer, "", "{headers}");
        assert!(seen.ended.is_some(), "{headers}");
    }
}

// K-02, K-10, K-30, K-74, K-80
#[test]
fn what_a_contract_may_not_say_of_json_rpc_is_found() {
    let edit = |from: &str, to: &str| {
        assert!(BOOKS.contains(from), "{from}");
        load(&BOOKS.replacen(from, to, 1)).unwrap_err()
    };
    let codec = r#"kind = "json-rpc""#;
    let with = |keys: &str| format!("{codec}, {keys}");
    for (from, to, check, told) in [
        (codec, with("framing = \"http\""), "K-02", "`framing` is `http`"),
        (codec, with("profile = \"lsp\""), "K-10", "no profile `lsp`"),
        (codec, with("profile = \"mcp\""), "K-80", "has no `versions`"),
        (codec, with("profile = \"mcp\", versions = [\"1\"]"), "K-80", "`1` is no revision"),
        (codec, with("versions = [\"2025-11-25\"]"), "K-80", "are those of a profile"),
        (codec, with("batch = true"), "K-01", "unknown key `batch`"),
        ("ids = \"any\"", "ids = \"null\"".to_owned(), "K-02", "`ids` is `null`"),
        ("match  = [\"books.find\"]", String::new(), "K-80", "which methods it is"),
        ("\"books.find\"]", "\"books find\"]".to_owned(), "K-80", "which methods it is"),
        (
            "answers = [\"find\"]",
            "answers = [\"find\"]\nmatch = [\"x\"]".to_owned(),
            "K-80",
            "is an answer",
        ),
        ("fields.found = { int = [0, 99] }", String::new(), "K-30", "what its result holds"),
        ("fields.title", "fields.\"/title/first\"".to_owned(), "K-30", "only a schema"),
        (
            "[limits]",
            "[reject]\ndenied = { reply = \"error:-1\" }\n[limits]".to_owned(),
            "K-74",
            "`error:-1`",
        ),
        ("[limits]", "pair = { by = \"order\" }\n[limits]".to_owned(), "K-10", "fixes `pair`"),
    ] {
        let findings = edit(from, &to);
        assert!(findings.contains(check) && findings.contains(told), "{to}: {findings}");
    }
    let mcp = TOOLS.replacen("[limits]", "initial_state = \"ready\"\n[limits]", 1);
    assert!(load(&mcp).unwrap_err().contains("fixes `initial_state`"));
}

#[test]
fn a_contract_may_say_its_own_greeting_and_its_own_errors() {
    let own = r#"
[[client.message]]
name   = "initialize"
match  = ["initialize"]
setup  = true
state  = { from = ["new"], to = "initialize" }
schema = { type = "object", additionalProperties = false, required = ["protocolVersion"], properties = { protocolVersion = { const = "2025-11-25" } } }

[server]
"#;
    let text = TOOLS.split("[[test]]").next().unwrap().replacen("[server]\n", own, 1);
    let mut run = Run::new(contract(&text));
    let line = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    assert_eq!(run.say(Side::Client, line), forwarded(line));
    let error = r#"
[[server.message]]
name    = "not-found"
answers = ["find"]
has     = ["/error"]
fields.code    = { const = 404 }
fields.message = { const = "not found" }
"#;
    let text = BOOKS.split("[[test]]").next().unwrap().to_owned() + error;
    for (code, passes) in [(404, true), (405, false)] {
        let mut run = Run::new(contract(&text));
        run.say(Side::Client, FIND);
        let error = format!(r#"{{"code":{code},"message":"not found"}}"#);
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
        assert_eq!(run.say(Side::Server, &line).peer == format!("{line}\n"), passes, "{code}");
    }
}

// CON-31: the example's own files; every message has a vector (K-91).
#[test]
fn the_example_loads_without_a_warning_and_its_policy_too() {
    let loaded = Contract::load("tools.toml", TOOLS, &|_| Err("no file".to_owned()));
    let (contract, warnings) = loaded.unwrap();
    assert_eq!(warnings, []);
    let text = include_str!("../../../../../../examples/mcp/tools.cedar").to_owned();
    let source = PolicySource { file: "tools.cedar".to_owned(), text };
    let (_, warnings) = Policy::compile("tools", &contract.actions(), &[], &[source]).unwrap();
    assert_eq!(warnings, []);
}

// ---- however the bytes come ----

fn line() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![
        6 => (0..40i64).prop_map(|id| id.to_string()),
        2 => "\"[a-z]{1,3}\"",
        1 => Just("null".to_owned()),
        1 => Just("1.0".to_owned()),
    ];
    let rest = prop_oneof![
        Just(r#""method":"books.find","params":{"title":"sea"}"#),
        Just(r#""method":"books.find","params":{"title":"바다"}"#),
        Just(r#""method":"books.find","params":{}"#),
        Just(r#""method":"books.lend","params":{"book":7}"#),
        Just(r#""method":"books.list""#),
        Just(r#""method":"books.burn""#),
        Just(r#""result":{"name":"kim"}"#),
        Just(r#""error":{"code":1,"message":"x"}"#),
    ];
    let request =
        (id, rest).prop_map(|(id, rest)| format!(r#"{{"jsonrpc":"2.0","id":{id},{rest}}}"#));
    let any = prop_oneof![
        8 => request.clone(),
        1 => Just(r#"{"jsonrpc":"2.0","method":"books.seen"}"#.to_owned()),
        1 => request.prop_map(|request| format!("[{request}]")),
        1 => "[ -~]{0,20}",
    ];
    any.prop_map(|line| format!("{line}\n").into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    // CON-08
    #[test]
    fn the_verdict_does_not_depend_on_how_bytes_arrive(
        lines in prop::collection::vec(line(), 1..8),
        piece in 1..40usize,
    ) {
        let contract = contract(BOOKS);
        let run = |said: &[Vec<u8>], piece: usize| {
            let mut run = Run::new(Arc::clone(&contract));
            run.say(Side::Server, r#"{"jsonrpc":"2.0","id":1,"method":"reader.name"}"#);
            said.iter().for_each(|said| run.pieces(Side::Client, said, piece));
            run.seen
        };
        let joined = [lines.concat()];
        let whole = run(&joined, usize::MAX);
        prop_assert_eq!(&run(&joined, 1), &whole);
        prop_assert_eq!(&run(&joined, piece), &whole);
        prop_assert_eq!(&run(&lines, usize::MAX), &whole);
    }

    #[test]
    fn a_refusal_is_json_rpc_whatever_was_refused(tree in "\\PC{0,40}", id in "\\PC{0,12}") {
        let codec = JsonRpc {
            framing: Framing::Lines,
            envelope: Envelope { ids: envelope::Ids::Any, error_data: false },
            profile: None,
        };
        let tree = Value::Map(vec![("id".into(), Value::Text(id.into())), ("x".into(), Value::Text(tree.into()))]);
        let payload = codec.refusal(None, Some(&tree));
        let read = decode().read(&payload, &crate::contract::decode::WireLimits::default());
        let read = read.unwrap();
        let null = read.member("id") == Some(&Value::Null);
        prop_assert!(null || codec.envelope.check(&read).is_ok());
    }
}
