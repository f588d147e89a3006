//! CON-06: for each static check of the exchange a file that fails with it, at its place.

use super::*;

const TALK: &str = include_str!("talk.toml");
const ASKS: &str = include_str!("asks.toml");

/// What loading a contract finds, each with its line.
fn findings(text: &str) -> Vec<String> {
    let none = |_: &str| Err("no file".to_owned());
    let found = match Contract::load("t.toml", text, &none) {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    };
    found.iter().map(ToString::to_string).collect()
}

/// Asserts that the change of a contract gives the finding, in the line of the changed place's
/// table or key.
#[track_caller]
fn refused(text: &str, from: &str, to: &str, wanted: &str) {
    assert!(text.contains(from), "{from}");
    let head = text.split("[[test]]").next().unwrap();
    let all = findings(&head.replacen(from, to, 1));
    assert!(all.iter().any(|one| one.contains(wanted)), "{wanted}:\n{}", all.join("\n"));
}

// K-50, K-51, K-52
#[test]
fn states_hold_together() {
    refused(
        TALK,
        "state   = { from = [\"ready\"] }\n\n[[client.message]]\nname    = \"quit\"",
        "\n[[client.message]]\nname    = \"quit\"",
        "error[K-50]: `note` does not say in which state",
    );
    refused(TALK, "from = [\"ready\"]", "from = []", "error[K-50]");
    refused(
        TALK,
        "from = [\"ready\"]",
        "from = [\"*\", \"ready\"]",
        "error[K-50]: `*` is every state",
    );
    refused(
        TALK,
        "from = [\"ready\"]",
        "from = [\"redy\"]",
        "error[K-51]: no message leads to the state `redy`",
    );
    refused(
        TALK,
        "from = [\"new\"], to = \"greeted\"",
        "from = [\"new\"]",
        "error[K-51]: no message leads to the state `greeted`",
    );
    refused(
        TALK,
        "title",
        "initial_state = \"other\"\ntitle",
        "error[K-51]: no message leads to the state `new`",
    );
    let silent = TALK.replace("from = [\"*\"]", "from = [\"ready\"]");
    refused(&silent, "title", "title", "error[K-51]: in the state `over` nothing may be said");
    refused(
        ASKS,
        "title",
        "initial_state = \"new\"\ntitle",
        "error[K-51]: there is an initial state",
    );
    refused(
        TALK,
        "from = [\"greeted\"], to = \"asked\"",
        "from = [\"*\"], to = \"asked\"",
        "warning[K-52]: `user` asks no policy",
    );
    refused(
        TALK,
        "to = \"asked\"",
        "to = \"As ked\"",
        "error[K-02]: `As ked` is not a state's name",
    );
    let vector =
        format!("{TALK}\n[[test]]\nstate = \"nowhere\"\nclient = [\"x\"]\nexpect = \"invalid\"\n");
    assert!(
        findings(&vector)
            .iter()
            .any(|one| one.contains("error[K-90]: the contract has no state `nowhere`"))
    );
}

// K-18
#[test]
fn a_setup_asks_no_policy() {
    refused(
        TALK,
        "setup       = true",
        "setup = true\naction = \"log-in\"",
        "error[K-18]: a `setup` message asks no policy, so it has no `action`",
    );
    refused(TALK, "setup       = true", "", "error[K-18]");
}

// K-20
#[test]
fn messages_are_told_apart_by_where_alone() {
    // By their fields alone they would be told apart too.
    let both = ASKS.replace("what = { const = \"pin\" }", "what = { enum = [\"pin\", \"box\"] }");
    refused(
        &both,
        "[\"pin\"] }",
        "[\"pin\", \"box\"] }",
        "error[K-20]: messages `get` and `put` may both fit",
    );
    refused(&both, "where     = { \"/what\" = [\"pin\"] }", "", "error[K-20]");
    refused(
        ASKS,
        "{ \"/what\" = [\"pin\"] }",
        "{ \"/what\" = [] }",
        "error[K-02]: `/what` is empty",
    );
}

// K-21, K-22, K-23
#[test]
fn questions_and_answers_belong_together() {
    refused(
        ASKS,
        "answers   = [\"may\"]",
        "answers   = [\"must\"]",
        "error[K-21]: `told` answers `must`, which the service does not ask",
    );
    refused(
        ASKS,
        "answers   = [\"may\"]",
        "answers   = [\"must\"]",
        "error[K-22]: nothing answers `may`",
    );
    refused(
        ASKS,
        "asks       = true",
        "asks = true\npushes = true",
        "error[K-21]: a server's message needs exactly one",
    );
    refused(
        ASKS,
        "asks       = true",
        "asks = true\nlast = true",
        "error[K-21]: `last` belongs to a server's answer",
    );
    refused(
        ASKS,
        "action    = \"tell\"",
        "action = \"tell\"\nexpects = \"one\"",
        "error[K-22]: what answers the service expects no reply",
    );
    refused(TALK, "last    = true\n", "", "error[K-22]: no answer to `list` is its last one");
    let text = ASKS.replace("reuse = \"recent\"", "reuse = \"increasing\"");
    refused(
        &text,
        "fields.id = { int = [1, 1000000] }",
        "fields.id = { enum = [\"a\"] }",
        "error[K-23]: the pair key `/id` increases",
    );
    refused(ASKS, "reuse = \"recent\"", "reuse = \"never\"", "error[K-02]: `reuse` is `never`");
    refused(ASKS, "reuse = \"recent\"", "reuse = \"recent\", by = \"order\"", "K-01");
}

// K-30, K-31, K-44, K-47, K-48
#[test]
fn what_is_remembered_and_summed_is_there() {
    refused(TALK, "{ user = \"name\" }", "{ user = \"nam\" }", "error[K-30]: `/nam` is remembered");
    refused(
        TALK,
        "{ user = \"name\" }",
        "{ other = \"name\" }",
        "error[K-44]: the resource names `session.user`",
    );
    let sum = |from: &str, to: &str, wanted: &str| {
        let quota = "quota     = { per = \"connection\", count = true, max = 3, window = \"24s\" }";
        let text = ASKS.replace("fields.what = { const = \"pin\" }", "fields.what = { const = \"pin\" }\nfields.won = { int = [0, 9] }\nfields.text = { len = [0, 9], text = \"plain\" }");
        let text = text.replace(
            quota,
            "quota = { per = \"identity\", sum = \"/won\", max = 3, window = \"24h\" }",
        );
        refused(&text, from, to, wanted);
    };
    sum("int = [0, 9]", "int = [-1, 9]", "error[K-48]: `/won` may be negative");
    sum("int = [0, 9]", "int = [0, 9], optional = true", "error[K-48]: `/won` may be absent");
    sum("sum = \"/won\"", "sum = \"/text\"", "error[K-48]: `/text` is no integer");
    sum("sum = \"/won\"", "sum = \"/win\"", "error[K-30]: the quota sums `/win`");
    sum("sum = \"/won\"", "sum = \"/pin\"", "error[K-60]: `/pin` is secret");
    sum("max = 3", "max = 0", "error[K-02]: `max` is 0");
    sum(
        "per = \"identity\", sum = \"/won\"",
        "per = \"connection\", persist = true, sum = \"/won\"",
        "error[K-48]: a count of one connection ends with it",
    );
    sum("window = \"24h\"", "window = \"40d\"", "error[K-02]: `window`");
    sum("sum = \"/won\", ", "", "error[K-02]: a quota counts exactly one");
}

// K-60
#[test]
fn a_secret_is_used_nowhere() {
    let secret = |at: &str| format!("name      = \"get\"\nsecret    = [\"{at}\"]");
    let name = "name      = \"get\"";
    refused(ASKS, name, &secret("/op"), "error[K-60]: `/op` of `get` is secret, and the tag");
    refused(
        ASKS,
        name,
        &secret("/id"),
        "error[K-60]: `/id` of `get` is secret, and replies are paired",
    );
    refused(ASKS, name, &secret("/id"), "gives it back as `id`");
    refused(ASKS, name, &secret("/what"), "error[K-60]: `/what` of `get` is secret, and `where`");
    refused(ASKS, name, &secret("/nothing"), "error[K-30]: `/nothing` is secret, but");
    refused(ASKS, "title", "audit_bytes = 16\ntitle", "error[K-60]: `audit_bytes`");
    let pin = "fields.pin  = { regex = \"[0-9]{6}\", secret = true }";
    refused(
        ASKS,
        pin,
        &format!("{pin}\nresource = \"pin/${{/pin}}\""),
        "error[K-60]: `/pin` is secret",
    );
    refused(
        ASKS,
        pin,
        &format!("{pin}\ncontext = {{ pin = \"/pin\" }}"),
        "error[K-60]: `/pin` is secret; no policy sees it",
    );
    refused(
        ASKS,
        pin,
        &format!("{pin}\nremember = {{ pin = \"/pin\" }}"),
        "error[K-60]: `/pin` is secret, and is not kept",
    );
    // What holds a secret is as secret.
    let nested = ASKS.replace(pin, "secret = [\"/pin/code\"]\ncontext = { pin = \"/pin\" }\nschema = '''{ \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"pin\"], \"properties\": { \"pin\": { \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"code\"], \"properties\": { \"code\": { \"type\": \"string\", \"maxLength\": 6 } } } } }'''");
    refused(&nested, "title", "title", "error[K-60]: `/pin` is secret; no policy sees it");
}

/// A service of which only what it is asked is held to a contract.
const PRINTER: &str = r#"
contract = "printer/1"

[client]
frame  = { kind = "lines", ends = ["\n"] }
decode = { kind = "text", charset = "ascii" }

[[client.message]]
name    = "page"
grammar = 'page (?P<n>[0-9]{1,3})'
fields.n = { int = [1, 100] }
expects = "none"
action  = "print"

[server]
frame = { kind = "raw", danger_uninspected = "the printer's own status pages are binary" }

[[test]]
client = ["page 7\n"]
expect = "forward"

[[test]]
client = ["page 0\n"]
expect = "invalid"
"#;

#[test]
fn one_direction_may_pass_uninspected_for_a_reason_and_the_other_is_still_judged() {
    let printer = contract(PRINTER);
    let told = printer.uninspected().unwrap();
    assert_eq!(
        told,
        "what the server says is not inspected: the printer's own status pages are binary"
    );
    let document = printer.document();
    let server = document.split("## What the server may say").nth(1).unwrap();
    let server = server.split("\n## ").next().unwrap();
    assert!(server.contains("**Not inspected**, whatever is said: the printer's own"), "{server}");
    assert!(!server.contains("refused") && !document.contains("message of the server"));
    assert!(!document.contains("in the order"), "{document}");
    let mut pair = Pair::open(PRINTER);
    pair.server(b"\x00\xffready").client(b"page 7\npa").server(b"\nTraceback").client(b"ge 0\n");
    assert_eq!(
        (&pair.service[..], &pair.peer[..]),
        (&b"page 7\n"[..], &b"\x00\xffready\nTraceback"[..])
    );
    assert_eq!(pair.reasons, [Reason::Range]);
    // What was cut off must not look whole.
    let manners = pair.end.take().map(|end| (end.client, end.server));
    assert_eq!(manners, Some((Manner::Reset, Manner::Orderly)));
    // The other way round, and nothing is answered within what nobody reads.
    let push = "[[server.message]]\nname = \"done\"\ngrammar = 'done'\npushes = true\n";
    let server = "[server]\nframe = { kind = \"lines\" }\ndecode = { kind = \"text\", charset = \"ascii\" }\n";
    let raw = "frame = { kind = \"raw\", danger_uninspected = \"a stream of scans\" }\n";
    let text = format!(
        "contract = \"scans/1\"\npair = {{ by = \"none\" }}\n[client]\n{raw}{server}{push}"
    );
    let mut pair = Pair::open(&text);
    pair.client(b"\x00\x01").server(b"done\n").client(b"\n").server(b"error\n");
    assert_eq!((&pair.service[..], &pair.peer[..]), (&b"\x00\x01\n"[..], &b"done\n"[..]));
    assert_eq!(pair.end.take().map(|end| end.server), Some(Manner::Reset));
}

// K-14, K-22, K-74
#[test]
fn what_is_not_inspected_has_a_reason_and_nothing_else() {
    let reason = ", danger_uninspected = \"the printer's own status pages are binary\"";
    refused(PRINTER, reason, "", "error[K-14]: `[server.frame]` has no `danger_uninspected`");
    refused(PRINTER, reason, ", danger_uninspected = \"because\"", "error[K-14]");
    for other in
        ["          ", " a stream of scans", "a stream\\nof scans", "a stream \\u001b[8m of scans"]
    {
        let other = format!(", danger_uninspected = \"{other}\"");
        refused(PRINTER, reason, &other, "error[K-14]: `danger_uninspected` is one line");
    }
    let more = "[server]\ndecode = { kind = \"json\" }";
    refused(PRINTER, "[server]", more, "error[K-14]: nothing is known of what passes uninspected");
    refused(PRINTER, "expects = \"none\"", "", "error[K-22]");
    let answer = "[reject]\ninvalid = { reply = \"no\", then = \"close\" }\n[client]";
    refused(PRINTER, "[client]", answer, "error[K-74]: the reply is no frame of the server");
}

// K-73: what may expect no answer gets none, so that nobody takes it for theirs.
#[test]
fn in_order_a_refusal_is_not_answered_and_gone_past_where_some_messages_expect_nothing() {
    let answer = "[reject]\nlimit = { reply = \"x\", then = \"continue\" }";
    refused(TALK, "[reject]", answer, "error[K-73]: some messages expect no reply");
    let close = "reply = \"bad\", then = \"close\"";
    refused(TALK, close, "reply = \"bad\", then = \"continue\"", "error[K-73]");
}

// K-70, K-71, K-72
#[test]
fn a_refusal_goes_on_only_where_the_exchange_holds() {
    let server = "[reject]\nserver = { then = \"continue\" }";
    refused(TALK, "[reject]", server, "error[K-72]: a bad answer that nothing stands in for");
    let reply = "[reject]\nserver = { reply = \"x\", then = \"drop\" }";
    refused(TALK, "[reject]", reply, "error[K-72]");
    let delayed = "[reject]\nserver = { reply = \"x\", then = \"close\", delay = \"1s\" }";
    refused(TALK, "[reject]", delayed, "error[K-02]: nothing of the peer's is answered here");
    refused(
        TALK,
        "reply = \"no\"",
        "reply = \"no\", delay = \"6s\"",
        "error[K-02]: `delay` is 6 s, outside 0 ms to 5 s",
    );
    refused(TALK, "[reject]", "[reject]\nframe = { then = \"continue\" }", "error[K-70]");
    refused(TALK, "reply = \"no\", then = \"continue\"", "then = \"drop\"", "error[K-71]");
}

// K-92
#[test]
fn what_is_not_inspected_is_said_whenever_a_contract_is_loaded() {
    let one = findings(PRINTER).join("\n");
    assert!(one.contains("warning[K-92]: what the server says is not inspected"), "{one}");
    let raw = "frame = { kind = \"raw\", danger_uninspected = \"nobody knows it yet\" }\n";
    let both = findings(&format!("contract = \"r/1\"\n[client]\n{raw}[server]\n{raw}")).join("\n");
    assert!(both.starts_with("t.toml:2:2: warning[K-92]: nothing is inspected"), "{both}");
    assert!(both.contains("hint: `contract = \"raw\"`"), "{both}");
    let large = findings(&TALK.replace("[limits]", "[limits]\nmessage = \"2MiB\"")).join("\n");
    assert!(large.contains("warning[K-92]: `message` is over 1 MiB"), "{large}");
}
