//! CON-06: the world of a contract is closed. What would leave it open, or could never hold, does
//! not load.

use super::*;

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
        let request = contract.client.messages[0].request().unwrap();
        let asking = request.asking.as_ref().unwrap();
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
    let wanted = "error[K-31]: `/n` has no bounds, and resources are named by it";
    refused(&schema(int, "resource = \"a/${n}\""), wanted);
    refused(&schema(&list(int), "resource = \"a/${n[*]}\""), wanted);
    taken(&schema(&list(bound), "resource = \"a/${n[*]}\""));
    refused(
        &schema(&list(&object(bound)), "resource = \"a/${n[*]}\""),
        "error[K-44]: the elements of `/n` are no scalars",
    );
}
