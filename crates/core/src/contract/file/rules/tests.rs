use crate::contract::Contract;

const NUMBERS: &str = r#"contract = "sums/1"
[limits]
rate = { messages = "20/s" }
[client]
frame  = { kind = "lines", ends = ["\n"] }
decode = { kind = "text", charset = "ascii" }
[[client.message]]
name     = "add"
grammar  = '(?P<n>[0-9]{1,9})(?: (?P<m>[0-9]{1,9}))?'
fields.n = { int = [0, 999999999] }
fields.m = { int = [0, 999999999], optional = true }
action   = "add"
[server]
frame  = { kind = "lines", ends = ["\n"] }
decode = { kind = "text", charset = "ascii" }
[[server.message]]
name     = "sum"
answers  = ["add"]
grammar  = '(?P<n>[0-9]{1,10})'
fields.n = { int = [0, 1999999998] }
"#;

fn with(rule: &str, tests: &str) -> Result<Vec<String>, Vec<String>> {
    let text = format!("{NUMBERS}{rule}\n{tests}");
    let loaded = Contract::load("sums.toml", &text, &|_| Err("no file".to_owned()));
    let told = |all: Vec<crate::finding::Finding>| all.iter().map(ToString::to_string).collect();
    loaded.map(|(_, warnings)| told(warnings)).map_err(told)
}

// K-40: line and column inside the text, whatever quotes it has
#[test]
fn an_error_in_a_rule_has_its_place_in_the_file() {
    let refused = |rule| with(rule, "").unwrap_err();
    assert_eq!(
        refused("rules = [\"this.n > 0\", \"this.m == 1\"]"),
        [
            "sums.toml:21:30: error[K-40]: rule 2: no field `m` in message `sum`\n  hint: its only field is n"
        ]
    );
    assert_eq!(
        refused("rules = [\n  'this.n == request.k',\n]"),
        [
            "sums.toml:22:22: error[K-40]: rule 1: no field `k` in request `add`\n  hint: fields are n, m"
        ]
    );
    assert_eq!(
        refused("rules = [\"\\\"a\\\" == 'a' && this.n\"]"),
        ["sums.toml:21:27: error[K-40]: rule 1: this is an integer, not true or false"]
    );
    assert_eq!(
        refused("rules = [\"true\", 5]"),
        ["sums.toml:21:18: error[K-01]: `rules` is a whole number, not a text in quotes"]
    );
    let many = format!("rules = [{}]", "\"true\", ".repeat(17));
    assert_eq!(refused(&many), ["sums.toml:21:1: error[K-40]: `sum` has 17 rules; at most 16"]);
    let long = format!("rules = [\"true{}\"]", " ".repeat(600));
    assert!(refused(&long)[0].contains("rule 1: the rule has 604 bytes; at most 512"));
}

// CON-15: an absent value that no `has` guards refuses, and so does a false rule
#[test]
fn a_reply_is_held_to_its_request() {
    let guarded = "rules = ['this.n == (has(request.m) ? request.n + request.m : request.n)']";
    let tests = r#"
[[test]]
name   = "with and without a second number"
after  = ["5 6\n"]
server = ["11\n"]
expect = "forward"
[[test]]
after  = ["5\n"]
server = ["5\n"]
expect = "forward"
[[test]]
after  = ["5 6\n"]
server = ["12\n", "5\n"]
expect = "server"
reason = "rule"
[[test]]
client = ["5\n", "5 6\n"]
expect = "forward"
[[test]]
client = ["x\n"]
expect = "invalid"
"#;
    assert_eq!(with(guarded, tests), Ok(Vec::new()));
    let bare = "rules = ['this.n == request.n + request.m']";
    let absent = "[[test]]\nafter = [\"5\\n\"]\nserver = [\"5\\n\"]\nexpect = \"server\"\nreason = \"rule_error\"\n";
    assert!(with(bare, absent).is_ok());
}

// K-60
#[test]
fn a_secret_is_not_compared() {
    let text = NUMBERS.replace("optional = true", "optional = true, secret = true");
    let text = format!("{text}rules = [\"this.n != request.m\"]\n");
    let refused = Contract::load("s.toml", &text, &|_| Err(String::new())).unwrap_err();
    assert_eq!(
        refused.first().map(ToString::to_string).as_deref(),
        Some("s.toml:21:29: error[K-60]: rule 1: `m` is secret, so no rule reads it")
    );
}

#[test]
fn a_rule_may_ask_who_speaks() {
    let text = NUMBERS.replace(
        "action   = \"add\"",
        "action   = \"add\"\nrules = ['this.n < 10 || peer.last == \"big\" || \"Adder\" in peer.roles']",
    );
    let tests = r#"
[[test]]
identity = "spiffe://shop.example/team/big"
client   = ["11\n"]
expect   = "forward"
[[test]]
identity = "spiffe://shop.example/app"
roles    = ["Adder"]
client   = ["11\n"]
expect   = "forward"
[[test]]
identity = "spiffe://shop.example/app"
client   = ["11\n"]
expect   = "invalid"
reason   = "rule"
[[test]]
client   = ["11\n"]
expect   = "invalid"
reason   = "rule_error"
"#;
    let loaded = Contract::load("s.toml", &format!("{text}{tests}"), &|_| Err(String::new()));
    assert!(loaded.is_ok(), "{loaded:?}");
}

// The request is typed by its schema, and what is read of it is kept.
#[test]
fn a_rule_reads_nested_members_of_json() {
    let text = r##"contract = "j/1"
pair = { by = "key", key = "/id" }
[client]
frame = { kind = "lines" }
decode = { kind = "json" }
[[client.message]]
name = "move"
action = "move"
rules = ["this.params.from != this.params.to", "this.params.items.all(i, i.n <= this.params.most)"]
schema = '{ "type": "object", "additionalProperties": false, "required": ["id", "params"], "properties": { "id": { "type": "integer" }, "params": { "$ref": "#/$defs/params" } }, "$defs": { "params": { "type": "object", "additionalProperties": false, "required": ["from", "to", "most", "items"], "properties": { "from": { "type": "string", "maxLength": 9 }, "to": { "type": "string", "maxLength": 9 }, "most": { "type": "integer" }, "items": { "type": "array", "maxItems": 4, "items": { "type": "object", "additionalProperties": false, "required": ["n"], "properties": { "n": { "type": "integer" } } } } } } } }'
[server]
frame = { kind = "lines" }
decode = { kind = "json" }
[[server.message]]
name = "moved"
answers = ["move"]
fields.id = { int = [0, 99] }
fields.to = { regex = "[a-z]+" }
rules = ["this.to == request.params.to", "size(request.params.items) > 0"]
[[test]]
append = "\n"
client = ['{"id":1,"params":{"from":"a","to":"b","most":2,"items":[{"n":2},{"n":1.0}]}}']
expect = "forward"
[[test]]
append = "\n"
client = ['{"id":1,"params":{"from":"a","to":"a","most":2,"items":[]}}', '{"id":1,"params":{"from":"a","to":"b","most":2,"items":[{"n":3}]}}']
expect = "invalid"
reason = "rule"
[[test]]
append = "\n"
after = ['{"id":1,"params":{"from":"a","to":"b","most":2,"items":[{"n":2}]}}']
server = ['{"id":1,"to":"b"}']
expect = "forward"
[[test]]
append = "\n"
after = ['{"id":1,"params":{"from":"a","to":"b","most":2,"items":[{"n":2}]}}']
server = ['{"id":1,"to":"c"}']
expect = "server"
reason = "rule"
"##;
    let loaded = Contract::load("j.toml", text, &|_| Err(String::new()));
    assert!(loaded.is_ok(), "{loaded:?}");
}

#[test]
fn a_rule_reads_what_the_connection_remembers() {
    let text = r#"contract = "t/1"
pair = { by = "none" }
[client]
frame = { kind = "lines" }
decode = { kind = "text", charset = "ascii" }
[[client.message]]
name = "hello"
grammar = 'HELLO (?P<user>[a-z]{1,8}) (?P<most>[0-9]{1,3})'
fields.user = { len = [1, 8] }
fields.most = { int = [0, 999] }
action = "hello"
state = { from = ["new"], to = "known" }
remember = { user = "/user", most = "/most" }
[[client.message]]
name = "take"
grammar = 'TAKE (?P<n>[0-9]{1,3})(?: FOR (?P<by>[a-z]{1,8}))?'
fields.n = { int = [0, 999] }
fields.by = { len = [1, 8], optional = true }
action = "take"
state = { from = ["*"] }
rules = ["this.n <= session.most", "!has(this.by) || this.by == session.user"]
[server]
frame = { kind = "lines" }
decode = { kind = "bytes" }
[[server.message]]
name = "any"
pushes = true
state = { from = ["*"] }
[[test]]
steps = [
  { client = "TAKE 1\n", expect = ["invalid"] },
]
[[test]]
steps = [
  { client = "HELLO ann 5\nTAKE 5\nTAKE 5 FOR ann\n", expect = ["forward", "forward", "forward"] },
  { client = "TAKE 5 FOR bob\n", expect = ["invalid"] },
]
"#;
    let loaded = Contract::load("t.toml", text, &|_| Err(String::new()));
    assert!(loaded.is_ok(), "{loaded:?}");
    let wrong = text.replace("session.most", "session.least");
    let refused = Contract::load("t.toml", &wrong, &|_| Err(String::new())).unwrap_err();
    assert_eq!(
        refused.first().map(ToString::to_string).as_deref(),
        Some(
            "t.toml:21:29: error[K-40]: rule 1: no field `least` in `session`\n  hint: fields are \
             most, user"
        )
    );
}

// The items of a layout are known without being listed.
#[test]
fn a_rule_reads_binary_items() {
    let text = r#"contract = "b/1"
pair = { by = "none" }
[client]
frame = { kind = "length", type = "u8" }
decode = { kind = "struct", layout = ["op:u8", "offset:u32", "count:u32", "values:u16[*]"] }
[[client.message]]
name = "write"
action = "write"
rules = ["this.offset + this.count <= 200", "size(this.values) == this.count", "this.values.all(v, v != 7)"]
[server]
frame = { kind = "lines" }
decode = { kind = "bytes" }
[[server.message]]
name = "any"
pushes = true
[[test]]
client = ["hex:0d 01 000000c6 00000002 0001 0002"]
expect = "forward"
[[test]]
client = ["hex:0d 01 000000c7 00000002 0001 0002", "hex:0d 01 00000001 00000003 0001 0002", "hex:0d 01 00000001 00000002 0001 0007"]
expect = "invalid"
reason = "rule"
"#;
    let loaded = Contract::load("b.toml", text, &|_| Err(String::new()));
    assert!(loaded.is_ok(), "{loaded:?}");
}
