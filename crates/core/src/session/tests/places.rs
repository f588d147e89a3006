//! Whose answer an answer is: a refusal never stands where another reply is due.

use crate::contract::Contract;
use crate::contract::test;

/// Loads a contract with its dialogues; gives what did not hold.
fn faults(text: &str) -> Vec<String> {
    let alone = |_: &str| Err("no other file".to_owned());
    match Contract::read("places.toml", text, &alone) {
        Ok((contract, _)) => {
            test::run(&contract).into_iter().filter_map(|outcome| outcome.failure).collect()
        }
        Err(findings) => findings.iter().map(ToString::to_string).collect(),
    }
}

const LINES: &str = r#"
contract = "order/1"
[client]
frame = { kind = "lines" }
decode = { kind = "text", charset = "ascii" }
[[client.message]]
name = "slow"
grammar = 'SLOW (?P<n>[0-9]{1,3})'
fields.n = { int = [0, 999] }
action = "slow"
[[client.message]]
name = "buy"
grammar = 'BUY (?P<n>[0-9]{1,3})'
fields.n = { int = [0, 9] }
action = "buy"
[server]
frame = { kind = "lines" }
decode = { kind = "text", charset = "ascii" }
[[server.message]]
name = "ok"
grammar = 'OK (?P<n>[0-9]{1,3})'
fields.n = { int = [0, 99] }
answers = ["slow", "buy"]
[[server.message]]
name = "note"
grammar = 'NOTE (?P<n>[0-9]{1,3})'
fields.n = { int = [0, 9] }
pushes = true
"#;

// TRAP-09: the peer would take a refusal for the answer to what the service may have done.
#[test]
fn a_refusal_behind_an_open_request_is_not_said_at_the_end() {
    let tail = r#"
[reject]
invalid = { reply = "ERR refused", then = "continue" }
[[test]]
steps = [{ client = "SLOW 1\nBUY 99\n", expect = ["forward", "invalid"] }, { wait = "31s", expect = ["server"] }]
peer_sees = ""
[[test]]
steps = [{ client = "SLOW 1\nBUY 99\n", expect = ["forward", "invalid"] }, { eof = "server", expect = [] }]
peer_sees = ""
[[test]]
steps = [{ client = "BUY 99\nSLOW 1\n", expect = ["invalid", "forward"] }, { eof = "server", expect = [] }]
peer_sees = "ERR refused\n"
"#;
    assert_eq!(faults(&format!("{LINES}{tail}")), Vec::<String>::new());
}

// TRAP-16: the contract's answer stands where the bad one stood.
#[test]
fn a_bad_answer_is_replaced_in_its_own_place() {
    let tail = r#"
[reject]
invalid = { reply = "ERR refused", then = "continue" }
server = { reply = "ERR server", then = "close" }
[[test]]
steps = [{ client = "SLOW 1\nBUY 99\n", expect = ["forward", "invalid"] }, { server = "OK 999\n", expect = ["server"] }]
peer_sees = "ERR server\nERR refused\n"
closed = true
"#;
    assert_eq!(faults(&format!("{LINES}{tail}")), Vec::<String>::new());
}

// TRAP-14
#[test]
fn a_bad_push_answers_nobody() {
    let tail = r#"
[reject]
server = { reply = "ERR server", then = "continue" }
[[test]]
steps = [
  { client = "SLOW 1\nSLOW 2\n", expect = ["forward", "forward"] },
  { server = "NOTE 77\nOK 1\nOK 2\n", expect = ["server", "forward", "forward"] },
]
peer_sees = "OK 1\nOK 2\n"
[[test]]
steps = [
  { client = "SLOW 1\nSLOW 2\n", expect = ["forward", "forward"] },
  { server = "garbage\nOK 1\n", expect = ["server"] },
]
closed = true
"#;
    assert_eq!(faults(&format!("{LINES}{tail}")), Vec::<String>::new());
}

// CON-17: ids of both sides are of separate tables.
#[test]
fn a_bad_question_of_the_service_closes_no_request() {
    let text = r#"
contract = "asks/1"
pair = { by = "key", key = "/id" }
[client]
frame = { kind = "lines" }
decode = { kind = "json" }
tag = "/op"
[[client.message]]
name = "get"
match = ["get"]
action = "get"
fields.op = { const = "get" }
fields.id = { int = [1, 9] }
[[client.message]]
name = "yes"
match = ["yes"]
answers = ["sure"]
expects = "none"
setup = true
fields.op = { const = "yes" }
fields.id = { int = [1, 9] }
[server]
frame = { kind = "lines" }
decode = { kind = "json" }
tag = "/op"
[[server.message]]
name = "got"
match = ["got"]
answers = ["get"]
fields.op = { const = "got" }
fields.id = { int = [1, 9] }
[[server.message]]
name = "sure"
match = ["sure"]
asks = true
fields.op = { const = "sure" }
fields.id = { int = [1, 9] }
fields.n = { int = [0, 9] }
[reject]
server = { reply = '{"op":"err"}', then = "continue" }
[[test]]
steps = [
  { client = "{\"op\":\"get\",\"id\":1}\n", expect = ["forward"] },
  { server = "{\"op\":\"sure\",\"id\":1,\"n\":77}\n", expect = ["server"] },
  { server = "{\"op\":\"got\",\"id\":1}\n", expect = ["forward"] },
]
"#;
    assert_eq!(faults(text), Vec::<String>::new());
}

// K-30: what is not described would be open.
#[test]
fn a_field_that_may_be_all_does_not_load_and_a_list_is_described_by_its_elements() {
    let text = |rule: &str| {
        let open = r#"
contract = "open/1"
[client]
frame = { kind = "lines" }
decode = { kind = "json" }
[[client.message]]
name = "put"
action = "put"
expects = "none"
fields.x = "#;
        let server = r#"
[server]
frame = { kind = "lines" }
decode = { kind = "json" }
[[server.message]]
name = "news"
pushes = true
fields.n = { int = [0, 9] }
[[test]]
client = ['{"x":[[1,{"y":2}]]}']
append = "\n"
expect = "invalid"
"#;
        format!("{open}{rule}{server}")
    };
    let open = faults(&text("{ optional = true }"));
    assert!(open.iter().any(|fault| fault.contains("error[K-30]")), "{open:?}");
    assert_eq!(faults(&text("{ len = [0, 5] }")), Vec::<String>::new());
}
