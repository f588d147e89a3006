//! CON-06: the world of a contract is closed. What would leave it open, or could never hold, does
//! not load.

use super::*;
use crate::contract::value::Value;

/// What loading finds, without the vectors that the words leave out.
fn findings(text: &str) -> Vec<String> {
    let none = |_: &str| Err("no file".to_owned());
    let found = match Contract::load("t.toml", text, &none) {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    };
    let told = found.iter().map(ToString::to_string);
    told.filter(|one| !one.contains("K-91") && !one.contains("K-92")).collect()
}

#[track_caller]
fn refused(text: &str, wanted: &str) {
    let all = findings(text);
    assert!(all.iter().any(|one| one.contains(wanted)), "{wanted}:\n{}", all.join("\n"));
}

#[track_caller]
fn taken(text: &str) {
    assert_eq!(findings(text), Vec::<String>::new());
}

/// A contract of lines: what the client says, and in which encoding.
fn lines(decode: &str, client: &str, messages: &str) -> String {
    format!(
        r#"contract = "closed/1"
[client]
frame = {{ kind = "lines" }}
decode = {decode}
{client}
{messages}
[server]
frame = {{ kind = "lines" }}
decode = {{ kind = "text", charset = "ascii" }}
[[server.message]]
name = "ok"
grammar = "ok"
answers = ["one"]
"#
    )
}

const ASCII: &str = r#"{ kind = "text", charset = "ascii" }"#;

// K-20, P2: what a message declares is never passed over.
#[test]
fn a_message_with_a_grammar_of_its_own_declares_nothing_else() {
    for key in ["has = [\"v\"]", "lacks = [\"w\"]", "match = [\"a\"]", "where = { v = [\"a\"] }"] {
        let message = format!(
            "[[client.message]]\nname = \"one\"\naction = \"one\"\ngrammar = '(?P<v>[a-z])'\nfields.v = {{ len = [1, 1] }}\n{key}\n"
        );
        let name = key.split(' ').next().unwrap();
        let wanted = format!("is told by that alone, so `{name}` has no use");
        refused(&lines(ASCII, "", &message), &wanted);
        taken(&lines(ASCII, "", &message.replace(key, "")));
        let tagged = lines(ASCII, "tag = \"v\"", &message.replace(key, ""));
        refused(&tagged, "error[K-20]: `one` has a grammar of its own, so no `tag` tells it");
    }
}

// K-30: a group of the grammar that all messages share is the tag, a field, or not there.
#[test]
fn a_group_that_no_rule_describes_does_not_load() {
    let decode =
        r#"{ kind = "text", charset = "ascii", grammar = '(?P<verb>[A-Z]+)(?: (?P<n>.*))?' }"#;
    let message = |more: &str| {
        format!("[[client.message]]\nname = \"one\"\naction = \"one\"\nmatch = [\"ADD\"]\n{more}\n")
    };
    let text = |more: &str| lines(decode, "tag = \"verb\"", &message(more));
    refused(&text(""), "error[K-30]: group `n` of the grammar is not in `fields`");
    refused(&text(""), "or `lacks = [\"n\"]` where it may not be");
    taken(&text("fields.n = { int = [1, 9] }"));
    taken(&text("lacks = [\"n\"]"));
    refused(
        &lines(decode, "", &message("fields.n = { int = [1, 9] }"))
            .replace("match = [\"ADD\"]\n", ""),
        "error[K-30]: group `verb` of the grammar is not in `fields`",
    );
}

// K-60: a secret without a rule of its own is one all the same.
#[test]
fn a_secret_without_a_rule_reaches_no_policy() {
    let text = r#"contract = "closed/1"
[client]
frame = { kind = "fixed", size = 4 }
decode = { kind = "struct", layout = ["op: u8 = 1", "pin: u16", "n: u8"] }
[[client.message]]
name = "one"
action = "one"
secret = ["pin"]
[server]
frame = { kind = "fixed", size = 1 }
decode = { kind = "struct", layout = ["ok: u8"] }
[[server.message]]
name = "ok"
answers = ["one"]
"#;
    let shown = |text: &str| {
        let contract = contract(text);
        let asking = contract.client.messages[0].asking().unwrap();
        asking.context.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(shown(text), ["n"]);
    for (more, wanted) in [
        ("context = { pin = \"pin\" }", "error[K-60]: `/pin` is secret; no policy sees it"),
        ("resource = \"a/${pin}\"", "error[K-60]: `/pin` is secret"),
        ("remember = { pin = \"pin\" }", "error[K-60]: `/pin` is secret, and is not kept"),
        (
            "quota = { per = \"identity\", sum = \"pin\", max = 9, window = \"1h\" }",
            "error[K-60]: `/pin` is secret, and is not summed",
        ),
        ("rules = [\"this.pin > 1\"]", "error[K-60]"),
    ] {
        refused(
            &text.replace("secret = [\"pin\"]", &format!("secret = [\"pin\"]\n{more}")),
            wanted,
        );
    }
    refused(
        &text.replace("[client]", "pair = { by = \"key\", key = \"pin\" }\n[client]"),
        "error[K-60]: `/pin` of `one` is secret, and replies are paired by it",
    );
    let modbus = r#"contract = "closed/1"
codec = "modbus"
[client]
[[client.message]]
name = "one"
action = "one"
match = [3]
secret = ["addr"]
fields.unit = { enum = [1] }
"#;
    assert_eq!(shown(modbus), ["unit", "fc", "count"]);
    refused(
        &modbus.replace("secret", "resource = \"a/${addr}\"\nsecret"),
        "error[K-60]: `/addr` is secret",
    );
}

// K-31, K-44: an integer has bounds wherever a policy meets it.
#[test]
fn an_integer_without_bounds_reaches_no_policy_in_a_list_or_an_object() {
    let decode = r#"{ kind = "json", numbers = "i64" }"#;
    let schema = |property: &str, more: &str| {
        let message = format!(
            "[[client.message]]\nname = \"one\"\naction = \"one\"\n{more}\nschema = '''{{ \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"n\"], \"properties\": {{ \"n\": {property} }} }}'''\n"
        );
        lines(decode, "", &message)
    };
    let int = r#"{ "type": "integer" }"#;
    let bound = r#"{ "type": "integer", "minimum": 0, "exclusiveMaximum": 9 }"#;
    let list = |of: &str| format!(r#"{{ "type": "array", "maxItems": 2, "items": {of} }}"#);
    let object = |of: &str| {
        format!(
            r#"{{ "type": "object", "additionalProperties": false, "required": ["m"], "properties": {{ "m": {of} }} }}"#
        )
    };
    let context = "context = { n = \"n\" }";
    for of in [int.to_owned(), list(int), object(int), list(&object(int))] {
        refused(&schema(&of, context), "error[K-31]: `/n` has no bounds, and policies read it");
    }
    for of in [bound.to_owned(), list(bound), object(bound), list(&object(bound))] {
        taken(&schema(&of, context));
    }
    refused(
        &schema(int, "remember = { n = \"n\" }"),
        "error[K-31]: `/n` has no bounds, and policies may read it",
    );
    let wanted = "error[K-31]: `/n` has no bounds, and resources are named by it";
    refused(&schema(int, "resource = \"a/${n}\""), wanted);
    refused(&schema(&list(int), "resource = \"a/${n[*]}\""), wanted);
    taken(&schema(&list(bound), "resource = \"a/${n[*]}\""));
    refused(
        &schema(&list(&object(bound)), "resource = \"a/${n[*]}\""),
        "error[K-44]: the elements of `/n` are no scalars",
    );
}

/// A contract of JSON lines, with replies by the key `id`.
fn json(client: &str, server: &str) -> String {
    format!(
        r#"contract = "closed/1"
pair = {{ by = "key", key = "id" }}
[client]
frame = {{ kind = "lines" }}
decode = {{ kind = "json" }}
tag = "op"
{client}
[server]
frame = {{ kind = "lines" }}
decode = {{ kind = "json" }}
{server}
"#
    )
}

const ID: &str = "fields.id = { int = [1, 99] }";
const OK: &str =
    "[[server.message]]\nname = \"ok\"\nanswers = [\"one\"]\nfields.id = { int = [1, 99] }\n";

fn message(name: &str, more: &str) -> String {
    format!(
        "[[client.message]]\nname = \"{name}\"\naction = \"{name}\"\nmatch = [\"set\"]\nfields.op = {{ enum = [\"set\"] }}\n{ID}\n{more}\n"
    )
}

/// The reason of one frame of a side, and the message that it is; after a client's frame, if any.
fn verdict(
    text: &str,
    before: &str,
    side: Side,
    said: &str,
) -> (Option<&'static str>, Option<String>) {
    let contract = contract(text);
    let warrant = Warrant::Rehearsed(true);
    let mut session =
        Session::open(warrant, contract, &Limits::default(), start()).recording_cleared();
    let mut out = Outbox::default();
    for (side, said) in [(Side::Client, before), (side, said)] {
        if !said.is_empty() {
            session.receive(side, format!("{said}\n").as_bytes(), None, start(), &mut out);
        }
    }
    let event = out.events.last().unwrap();
    (event.reason.map(|reason| reason.as_str()), event.message.as_deref().map(str::to_owned))
}

// K-20, CON-07: one `match`, and ranges of one field that have nothing in common.
#[test]
fn ranges_apart_tell_messages_apart() {
    let two = |a: &str, b: &str| {
        json(
            &format!("{}{}", message("one", a), message("two", b)),
            &OK.replace("[\"one\"]", "[\"one\", \"two\"]"),
        )
    };
    let int = |lo: i64, hi: i64| format!("fields.n = {{ int = [{lo}, {hi}] }}");
    let text = two(&int(0, 9), &int(20, 29));
    taken(&text);
    let told =
        |n: i64| verdict(&text, "", Side::Client, &format!(r#"{{"op":"set","id":1,"n":{n}}}"#));
    assert_eq!(told(9), (None, Some("one".into())));
    assert_eq!(told(20), (None, Some("two".into())));
    assert_eq!(told(10), (Some("no_message"), None));
    assert_eq!(verdict(&text, "", Side::Client, r#"{"op":"set","id":1}"#).0, Some("no_message"));
    taken(&two("fields.n = { enum = [1, 2] }", "fields.n = { const = 3 }"));
    for (a, b) in [
        (int(0, 9), int(9, 29)),
        (int(0, 9), "fields.n = { int = [20, 29], optional = true }".into()),
        (int(0, 9), "fields.m = { int = [20, 29] }".into()),
        (int(0, 9), "fields.n = { int = [20, 29], secret = true }".into()),
    ] {
        refused(&two(&a, &b), "error[K-20]: messages `one` and `two` may both fit");
    }
    // In a text: what is no integer there is of neither.
    let decode = r#"{ kind = "kv", charset = "ascii", sep = ";", eq = "=", names = ["n"] }"#;
    let named = |name: &str, lo: i64, hi: i64| {
        format!("[[client.message]]\nname = \"{name}\"\naction = \"{name}\"\n{}\n", int(lo, hi))
    };
    let text = lines(decode, "", &format!("{}{}", named("one", 0, 9), named("two", 10, 19)))
        .replace("answers = [\"one\"]", "answers = [\"one\", \"two\"]");
    taken(&text);
    assert_eq!(verdict(&text, "", Side::Client, "n=10").1, Some("two".into()));
    assert_eq!(verdict(&text, "", Side::Client, "n=010").0, Some("no_message"));
    // Behind the head that all messages have, nothing is read before the message is known.
    let tail =
        |name: &str, lo: i64, hi: i64| format!("{}layout = [\"n: u8\"]\n", named(name, lo, hi));
    let both = format!("{}{}", tail("one", 0, 9), tail("two", 10, 19));
    let binary = lines(r#"{ kind = "struct", layout = ["op: u8"] }"#, "", &both);
    refused(&binary, "error[K-20]");
    let head = lines(
        r#"{ kind = "struct", layout = ["n: u8"] }"#,
        "",
        &format!("{}{}", named("one", 0, 9), named("two", 11, 19)),
    );
    taken(&head.replace("answers = [\"one\"]", "answers = [\"one\", \"two\"]"));
}

// K-20: two grammars are told apart by what is said of them.
#[test]
fn a_vector_that_fits_two_grammars_is_an_error() {
    let message = |name: &str, grammar: &str| {
        format!(
            "[[client.message]]\nname = \"{name}\"\naction = \"{name}\"\ngrammar = '{grammar}'\n"
        )
    };
    let both = format!("{}{}", message("one", "[a-m]"), message("two", "[m-z]"));
    let test = "[[test]]\nname = \"m\"\nclient = [\"m\"]\nappend = \"\\n\"\nexpect = \"invalid\"\n";
    let text = lines(ASCII, "", &both).replace("[\"one\"]", "[\"one\", \"two\"]");
    taken(&text);
    refused(&format!("{text}{test}"), "error[K-20]: what test `m` says fits two messages");
    taken(&format!("{text}{}", test.replace("\"m\"]", "\"0\"]")));
}

// K-21, K-23
#[test]
fn a_push_may_have_the_pair_key_if_no_reply_has_what_it_has() {
    let push = |more: &str| {
        format!(
            "[[server.message]]\nname = \"news\"\npushes = true\n{ID}\nfields.news = {{ int = [1, 9] }}\n{more}\n"
        )
    };
    let one = message("one", "");
    let text = json(&one, &format!("{OK}lacks = [\"news\"]\n{}", push("has = [\"news\"]")));
    taken(&text);
    let asked = r#"{"op":"set","id":1}"#;
    let said = |said: &str| verdict(&text, asked, Side::Server, said);
    assert_eq!(said(r#"{"id":1,"news":1}"#), (None, Some("news".into())));
    assert_eq!(said(r#"{"id":1}"#), (None, Some("ok".into())));
    let wanted = "error[K-23]: the push `news` has the pair key `/id`";
    refused(&json(&one, &format!("{OK}{}", push("has = [\"news\"]"))), wanted);
    refused(&json(&one, &format!("{OK}lacks = [\"news\"]\n{}", push(""))), wanted);
    let none = json(&one, OK).replace("{ by = \"key\", key = \"id\" }", "{ by = \"none\" }");
    refused(
        &none,
        "error[K-21]: `ok` has `answers`, and with `pair = { by = \"none\" }` nothing does",
    );
}

// Section 9, section 14
#[test]
fn a_reason_says_which_step_it_was() {
    // A message without a tag is declared, but this is none.
    let untagged = format!(
        "{}[[client.message]]\nname = \"two\"\naction = \"two\"\nlacks = [\"op\"]\nhas = [\"x\"]\n{ID}\nfields.x = {{ int = [1, 9] }}\n",
        message("one", "")
    );
    let text = json(&untagged, &OK.replace("[\"one\"]", "[\"one\", \"two\"]"));
    assert_eq!(verdict(&text, "", Side::Client, r#"{"id":1}"#).0, Some("no_message"));
    let one = json(&message("one", ""), OK);
    assert_eq!(verdict(&one, "", Side::Client, r#"{"id":1}"#).0, Some("tag_missing"));
    // What answers another request than the open one was asked by nobody.
    let server = format!(
        "tag = \"re\"\n{OK}match = [1]\nfields.re = {{ const = 1 }}\n[[server.message]]\nname = \"done\"\nanswers = [\"two\"]\nmatch = [2]\nfields.re = {{ const = 2 }}\n{ID}\n"
    );
    let text = json(&untagged, &server);
    let asked = r#"{"op":"set","id":1}"#;
    let said = |said: &str| verdict(&text, asked, Side::Server, said).0;
    assert_eq!(said(r#"{"id":1,"re":1}"#), None);
    assert_eq!(said(r#"{"id":1,"re":2}"#), Some("unasked"));
    assert_eq!(said(r#"{"id":1,"re":3}"#), Some("undeclared"));
    assert_eq!(said(r#"{"id":2,"re":1}"#), Some("unasked"));
}

// TRAP-03: an integer is one however JSON writes it.
#[test]
fn what_a_schema_calls_an_integer_names_a_resource_and_is_counted() {
    let schema = "schema = '{ \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"op\", \"id\", \"n\"], \"properties\": { \"op\": { \"const\": \"set\" }, \"id\": { \"type\": \"integer\", \"minimum\": 1, \"maximum\": 99 }, \"n\": { \"type\": \"integer\", \"minimum\": 0, \"maximum\": 5000 } } }'";
    let more = format!(
        "{schema}\nresource = \"a/${{n}}\"\ncontext = {{ n = \"n\" }}\nquota = {{ per = \"connection\", sum = \"n\", max = 5000, window = \"1h\" }}"
    );
    let one = message("one", &more).replace("fields.op = { enum = [\"set\"] }\n", "");
    let text = json(&one, OK);
    let test = "[[test]]\nname = \"whole\"\nclient = ['{\"op\":\"set\",\"id\":1,\"n\":1e3}', '{\"op\":\"set\",\"id\":1,\"n\":1000.0}']\nappend = \"\\n\"\nexpect = \"forward\"\nresource = \"a/1000\"\nforwards = '''{\"op\":\"set\",\"id\":1,\"n\":1000}\n'''\n";
    taken(&format!("{text}{test}"));
    let (reason, _) = verdict(
        &text,
        r#"{"op":"set","id":1,"n":4e3}"#,
        Side::Client,
        r#"{"op":"set","id":2,"n":2e3}"#,
    );
    assert_eq!(reason, Some("quota"));
}

// Section 3.1: values of bytes are written as bytes are.
#[test]
fn bytes_are_compared_with_hex() {
    let text = |rule: &str| {
        let message = format!("[[client.message]]\nname = \"one\"\naction = \"one\"\n{rule}\n");
        lines(r#"{ kind = "struct", layout = ["op: u8", "mark: bytes[2]"] }"#, "", &message)
            + "[[test]]\nname = \"mark\"\nclient = [\"hex: 01 ff61 0a\"]\nexpect = \"forward\"\n[[test]]\nname = \"other\"\nclient = [\"hex: 01 ff62 0a\"]\nexpect = "
    };
    for (rule, expect) in [
        ("fields.mark = { const = \"hex: ff61\" }", "invalid"),
        ("fields.mark = { enum = [\"hex: ff61\", \"ab\"] }", "invalid"),
        ("where = { mark = [\"hex: ff61\"] }", "undeclared"),
    ] {
        taken(&format!("{}\"{expect}\"\n", text(rule)));
    }
    let odd = format!("{}\"invalid\"\n", text("fields.mark = { const = \"hex: f\" }"));
    refused(&odd, "error[K-02]");
}

// K-02, K-10, K-12, K-15, K-22
#[test]
fn what_can_never_work_does_not_load() {
    let names = |from: usize, count: usize| {
        let all: Vec<String> = (from..from + count).map(|n| format!("v{n} = \"id\"")).collect();
        format!("remember = {{ {} }}", all.join(", "))
    };
    let two = |a: String, b: String| {
        let second = message("two", &b).replace("set", "get");
        json(
            &format!("{}{second}", message("one", &a)),
            &OK.replace("[\"one\"]", "[\"one\", \"two\"]"),
        )
    };
    taken(&two(names(0, 16), names(0, 16)));
    refused(&two(names(0, 9), names(9, 8)), "error[K-02]: 17 names are remembered");
    let title = format!("title = \"{}\"\npair", "가".repeat(201));
    refused(
        &json(&message("one", ""), OK).replacen("pair", &title, 1),
        "error[K-02]: `title` has 201",
    );

    let one = "[[client.message]]\nname = \"one\"\naction = \"one\"\n";
    let eof = lines(r#"{ kind = "struct", layout = ["n: u8"] }"#, "", one).replacen(
        "\"lines\"",
        "\"eof\"",
        1,
    );
    refused(&eof, "error[K-10]: what the client says has a size");

    let grammar = format!("{one}grammar = 'a'\n");
    let cut = |charset: &str, bytes: &str| {
        let decode = format!(r#"{{ kind = "text", charset = "{charset}" }}"#);
        lines(&decode, "", &grammar).replacen(
            "kind = \"lines\"",
            &format!("kind = \"delimiter\", bytes = \"{bytes}\", at_eof = \"reject\""),
            1,
        )
    };
    for (charset, bytes) in
        [("utf-8", "hex: 80"), ("utf-8", "hex: c2"), ("euc-kr", "hex: b0a1"), ("cp949", "x")]
    {
        refused(&cut(charset, bytes), "error[K-12]: the delimiter holds bytes that may be part");
    }
    for (charset, bytes) in [
        ("utf-8", "·"),
        ("utf-8", "hex: ff"),
        ("euc-kr", "x"),
        ("latin1", "hex: 80"),
        ("cp949", ";"),
    ] {
        taken(&cut(charset, bytes));
    }
    refused(
        &cut("ascii", ";").replace("\"reject\"", "\"accept\""),
        "error[K-02]: `at_eof` is `accept`",
    );

    refused(
        &lines(ASCII, "", &format!("{one}grammar = '[a&&b]'\n")),
        "warning[K-15]: no text matches",
    );
    let field = |rule: &str| {
        lines(ASCII, "", &format!("{one}grammar = '(?P<v>.*)'\nfields.v = {{ {rule} }}\n"))
    };
    refused(
        &field("regex = '[a-z]{9}', len = [1, 2]"),
        "warning[K-15]: the pattern and the length",
    );
    refused(
        &field("regex = '[a-z]{1,4}', bytes = [5, 9]"),
        "warning[K-15]: the pattern and the length",
    );
    taken(&field("regex = '[a-z]{1,4}', len = [4, 9]"));
    let error = json(&message("one", ""), &OK.replace("\"ok\"", "\"error\""));
    refused(&error, "warning[K-22]: only an error answers `one`");
}

// Section 24: a fault is found where it is, and not elsewhere too.
#[test]
fn a_fault_in_one_message_is_no_fault_of_another() {
    let bad = json(&message("one", "fields.n = { int = [9, 1] }"), OK);
    let all = findings(&bad);
    assert!(all.iter().all(|one| one.contains("K-02")), "{all:?}");
    let bad = json(&message("one", ""), &OK.replace("99", "-99"));
    let all = findings(&bad);
    assert!(all.iter().all(|one| one.contains("K-02")), "{all:?}");
    // A name that nobody wrote is a fault of its own.
    let wrong = OK.replace("[\"one\"]", "[\"two\"]");
    let all = findings(&json(&message("one", "fields.n = { int = [9, 1] }"), &wrong));
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().any(|one| one.contains("error[K-21]: `ok` answers `two`")), "{all:?}");
    // Twenty at most, and no error behind a warning.
    let warned: String =
        (0..25).map(|n| format!("\"p{n}\": {{ \"type\": \"string\" }},")).collect();
    let schema = format!(
        "schema = '''{{ \"type\": \"object\", \"additionalProperties\": false, \"properties\": {{ {warned} \"z\": {{ \"type\": \"null\" }} }} }}'''"
    );
    let one = message("one", &schema);
    let all = findings(&json(&one, &OK.replace("99", "-99")));
    assert_eq!(all.len(), 21);
    assert!(all[20].ends_with("more, not listed"), "{all:?}");
    assert!(all[0].contains("error[K-02]"), "{all:?}");
}

// K-04, K-33: files beside the contract are one schema, and nothing leaves it.
#[test]
fn a_schema_may_be_made_of_files() {
    let order = r##"{ "type": "object", "additionalProperties": false, "required": ["n", "of"],
      "properties": { "n": { "$ref": "parts/number.json" }, "of": { "$ref": "parts/more.json#/$defs/word" },
                      "$ref": { "const": "REF" } } }"##;
    let number =
        r##"{ "type": "integer", "minimum": 1, "maximum": 9, "not": { "$ref": "more.json" } }"##;
    let more = r##"{ "const": 5, "$defs": { "word": { "enum": ["a"], "$ref": "#/$defs/short" }, "short": { "type": "string", "maxLength": 1 } } }"##;
    let load = |reference: &str| {
        let order = order.replace("REF", reference);
        let read = |name: &str| match name {
            "order.json" => Ok(order.clone()),
            "parts/number.json" => Ok(number.replace("more.json", reference)),
            "parts/more.json" => Ok(more.to_owned()),
            other => Err(format!("there is no `{other}`")),
        };
        let one = "[[client.message]]\nname = \"one\"\naction = \"one\"\nschema = \"order.json\"\n";
        let text = lines(r#"{ kind = "json" }"#, "", one);
        let loaded = Contract::load("t.toml", &text, &read);
        let told = |all: Vec<crate::finding::Finding>| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        loaded.map(|(contract, _)| contract).map_err(told)
    };
    let contract = load("more.json").unwrap();
    let schema = contract.client.messages[0].schema.as_ref().unwrap();
    let judge = |n: i64, of: &'static str| {
        let members = vec![("n".into(), Value::Int(n)), ("of".into(), Value::Text(of.into()))];
        schema.check(&Value::Map(members)).is_ok()
    };
    assert!(judge(1, "a") && !judge(5, "a") && !judge(10, "a") && !judge(1, "b"));
    for (reference, wanted) in [
        ("none.json", "error[K-04]: there is no `parts/none.json`"),
        ("../more.json", "error[K-33]: `$ref` to `../more.json` leads out of the schema"),
        ("https://example.com/more.json", "error[K-33]"),
        ("more.json#word", "error[K-33]"),
        ("number.json", "error[K-35]"),
    ] {
        let found = load(reference).unwrap_err();
        assert!(found.contains(wanted), "{reference}: {found}");
    }
}

/// A random message of JSON: what tells it from others, if anything does.
fn told() -> impl Strategy<Value = String> {
    let value = prop_oneof![Just("\"a\""), Just("\"b\""), Just("1"), Just("2")];
    let list = || proptest::collection::vec(value.clone(), 1..3).prop_map(|all| all.join(", "));
    let name = || prop_oneof![Just("t"), Just("x"), Just("y")];
    prop_oneof![
        list().prop_map(|all| format!("match = [{all}]")),
        (list(), name()).prop_map(|(all, at)| format!("where = {{ \"/{at}\" = [{all}] }}")),
        name().prop_map(|at| format!("has = [\"/{at}\"]")),
        name().prop_map(|at| format!("lacks = [\"/{at}\"]")),
        (name(), 0..4_i64, 0..3_i64)
            .prop_map(|(at, lo, more)| format!("fields.{at} = {{ int = [{lo}, {}] }}", lo + more)),
        (name(), list()).prop_map(|(at, all)| format!("fields.{at} = {{ enum = [{all}] }}")),
        (name(), list())
            .prop_map(|(at, all)| format!("fields.{at} = {{ enum = [{all}], optional = true }}")),
    ]
}

/// A contract of JSON whose messages are told apart by random keys, or are not.
fn random(all: &[Vec<String>], tagged: bool) -> String {
    let message = |(at, keys): (usize, &Vec<String>)| {
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        keys.sort_by_key(|key| key.split(' ').next());
        keys.dedup_by_key(|key| key.split(' ').next().map(str::to_owned));
        if !keys.iter().any(|key| key.starts_with("fields.t ")) {
            keys.push("fields.t = { optional = true, enum = [\"a\", \"b\", 1, 2] }");
        }
        let keys = keys.join("\n");
        format!(
            "[[client.message]]\nname = \"m{at}\"\naction = \"m\"\nexpects = \"none\"\n{keys}\n"
        )
    };
    let messages: String = all.iter().enumerate().map(message).collect();
    let tag = if tagged { "tag = \"t\"" } else { "" };
    lines(r#"{ kind = "json" }"#, tag, &messages).replace("answers = [\"one\"]", "pushes = true")
}

/// Every message of three members, each absent or one of a few values.
fn small_messages() -> Vec<Value<'static>> {
    let values = [None, Some("a"), Some("b"), Some("1"), Some("2"), Some("3"), Some("5")];
    let value = |text: &'static str| match text.parse() {
        Ok(number) => Value::Int(number),
        Err(_) => Value::Text(text.into()),
    };
    let mut all = Vec::new();
    for t in values {
        for x in values {
            for y in values {
                let members = [("t", t), ("x", x), ("y", y)].into_iter();
                let members = members.filter_map(|(name, of)| Some((name.into(), value(of?))));
                all.push(Value::Map(members.collect()));
            }
        }
    }
    all
}

// CON-07
#[test]
fn at_most_one_message_of_a_contract_that_loads_fits_any_input() {
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() };
    let contracts =
        (proptest::collection::vec(proptest::collection::vec(told(), 1..4), 2..4), any::<bool>());
    let (loaded, inputs) = (std::cell::Cell::new(0), small_messages());
    let found = proptest::test_runner::TestRunner::new(config).run(&contracts, |(all, tagged)| {
        let text = random(&all, tagged);
        let none = |_: &str| Err("no file".to_owned());
        let Ok((contract, _)) = Contract::load("t.toml", &text, &none) else { return Ok(()) };
        loaded.set(loaded.get() + 1);
        for tree in &inputs {
            let selected = contract.direction(Side::Client).select(tree.clone(), |_| true);
            let reason = selected.err().map(|fault| fault.violation.reason);
            prop_assert_ne!(reason, Some(Reason::Ambiguous), "{:?}\n{}", tree, text);
        }
        Ok(())
    });
    found.unwrap();
    assert!(loaded.get() >= 60, "only {} contracts load", loaded.get());
}
