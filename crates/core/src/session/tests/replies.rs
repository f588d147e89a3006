//! TRAP-26: a value that a reply gives back stays one value, whatever the server direction is.

use super::*;

/// A service that answers with `decode`, and refuses what is denied with `reply`. The client says
/// JSON, so its texts hold anything.
fn answering(decode: &str, message: &str, reply: &str, values: &str) -> Arc<Contract> {
    contract(&format!(
        r#"
contract = "replies/1"
[limits]
server_message = 40
[client]
frame  = {{ kind = "lines", ends = ["\n"] }}
decode = {{ kind = "json" }}
[[client.message]]
name     = "ask"
action   = "ask"
fields.v = {{ len = [0, 60] }}
fields.n = {{ int = [0, 70000], optional = true }}
[server]
frame  = {{ kind = "lines", ends = ["\n"] }}
decode = {decode}
[[server.message]]
name    = "told"
answers = ["ask"]
{message}
[reject]
denied = {{ reply = {reply}, then = "continue", max = 100 }}
[reject.values]
{values}
"#
    ))
}

/// What a client is told whose request, with this `v`, is denied.
fn told(contract: &Arc<Contract>, said: &str) -> Vec<u8> {
    let (warrant, limits) = (Warrant::Rehearsed(false), Limits::default());
    let mut session = Session::open(warrant, Arc::clone(contract), &limits, start());
    let mut out = Outbox::default();
    session.receive(Side::Client, said.as_bytes(), None, start(), &mut out);
    out.to_client.as_slice().to_vec()
}

fn of(contract: &Arc<Contract>, v: &str) -> String {
    let said = serde_json::json!({ "v": v }).to_string() + "\n";
    String::from_utf8(told(contract, &said)).unwrap()
}

const V: &str = r#"v = { at = "/v", regex = '(?s).*', or = "none" }"#;

#[test]
fn a_value_adds_no_pair() {
    let contract = answering(
        r#"{ kind = "kv", charset = "utf-8", sep = ";|", eq = "=", names = ["ok", "of"] }"#,
        "fields.ok = { enum = [\"no\", \"yes\"] }\nfields.of = { len = [0, 99] }",
        r#""of=${v};|ok=no""#,
        V,
    );
    assert_eq!(of(&contract, "pump 7"), "of=pump 7;|ok=no\n");
    for bad in ["a;|ok=yes", "a=b", "a|", "a\nok=yes", "\r"] {
        assert_eq!(of(&contract, bad), "of=none;|ok=no\n", "{bad:?}");
    }
    // Over the limit of a frame.
    assert_eq!(of(&contract, &"x".repeat(40)), "of=none;|ok=no\n");
}

#[test]
fn a_value_adds_no_word() {
    let contract = answering(
        r#"{ kind = "words", charset = "utf-8" }"#,
        "fields.verb = { enum = [\"NO\"] }\nfields.args = { len = [0, 3], each = { len = [1, 60] } }",
        r#""NO ${v} ${v}""#,
        V,
    );
    assert_eq!(of(&contract, "가"), "NO 가 가\n");
    for bad in ["a b", "", " ", "a\tb", "a\u{3000}b", "a\n"] {
        assert_eq!(of(&contract, bad), "NO none none\n", "{bad:?}");
    }
}

#[test]
fn a_value_adds_no_field() {
    let contract = answering(
        r#"{ kind = "delimited", charset = "utf-8", sep = ",", quote = '"' }"#,
        "fields.\"/0\" = { len = [0, 60] }\nfields.\"/1\" = { len = [0, 60] }",
        r#""no,${v}""#,
        V,
    );
    assert_eq!(of(&contract, "a b"), "no,a b\n");
    for bad in ["a,b", "\"", "a\"b", ",", "a\n"] {
        assert_eq!(of(&contract, bad), "no,none\n", "{bad:?}");
    }
}

#[test]
fn a_value_within_quotes_of_the_template_adds_no_element() {
    let contract = answering(
        r#"{ kind = "json", top = "any" }"#,
        "schema = { type = \"array\", maxItems = 3, items = { type = \"string\", maxLength = 60 } }",
        r#"'["${v}"]'"#,
        r#"v = { at = "/v", regex = '(?s).*', or = "none" }"#,
    );
    for bad in ["x", ",", "\",\"a\",\""] {
        assert_eq!(of(&contract, bad), "[\"none\"]\n", "{bad:?}");
    }
}

#[test]
fn a_binary_value_has_the_width_of_its_item() {
    let contract = answering(
        r#"{ kind = "struct", layout = ["code: u8", "n: u16"] }"#,
        "",
        r#""hex: 07 ${n}""#,
        r#"n = { at = "/n", int = [0, 70000], or = "hex: ffff" }"#,
    );
    let of = |n: u32| told(&contract, &format!("{{\"v\":\"\",\"n\":{n}}}\n"));
    assert_eq!(of(258), b"\x07\x01\x02\n");
    // It does not fit, or would end the line.
    assert_eq!(of(65536), b"\x07\xff\xff\n");
    assert_eq!(of(10), b"\x07\xff\xff\n");
}
