//! CON-06: checks of frames, limits, refusals and vectors, each by a file that fails with it.

use super::*;

/// A small exchange to be spoilt.
const SMALL: &str = r#"
contract = "small/1"

[limits]
message = 256
rate    = { per = "identity", messages = "20/s" }

[client]
frame  = { kind = "length", type = "u8" }
decode = { kind = "json" }

[[client.message]]
name     = "ask"
action   = "ask"
context  = { n = "/n" }
fields.n = { int = [0, 9] }

[server]
frame  = { kind = "lines", ends = ["\n"] }
decode = { kind = "json" }

[[server.message]]
name     = "told"
answers  = ["ask"]
fields.n = { int = [0, 9] }

[reject]
invalid = { reply = "{}", then = "continue" }

[[test]]
name    = "asked"
client  = ["hex: 07 7b226e223a377d"]
expect  = "forward"
context = { n = 7 }

[[test]]
name   = "not asked"
client = ["hex: 02 7b7d"]
expect = "invalid"

[[test]]
name   = "told"
after  = ["hex: 07 7b226e223a377d"]
server = ["{\"n\":7}\n"]
expect = "forward"

[[test]]
name   = "told something else"
after  = ["hex: 07 7b226e223a377d"]
server = ["{\"n\":10}\n"]
expect = "server"
"#;

fn findings(text: &str) -> String {
    let none = |_: &str| Err("no file".to_owned());
    let found = match Contract::load("t.toml", text, &none) {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    };
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn finds(from: &str, to: &str, wanted: &str) {
    assert!(SMALL.contains(from), "{from}");
    let all = findings(&SMALL.replacen(from, to, 1));
    assert!(all.contains(wanted), "{wanted}:\n{all}");
}

#[test]
fn it_loads_as_it_is() {
    assert_eq!(findings(SMALL), "");
}

// K-02, K-16
#[test]
fn limits_and_bursts_are_in_range() {
    finds("message = 256", "message = 256\nstring = 257", "error[K-02]: `string` is 257");
    let bytes = |burst| format!("bytes = \"1KiB/s\", burst = {burst} }}");
    finds("messages = \"20/s\" }", &bytes("100"), "error[K-16]: a burst of 100 is under");
    assert_eq!(findings(&SMALL.replace("messages = \"20/s\" }", &bytes("\"1KiB\""))), "");
}

// K-11
#[test]
fn every_length_that_is_implied_fits() {
    let length = "kind = \"length\", type = \"u8\"";
    finds(length, &format!("{length}, min = -1"), "error[K-02]: `min` is the least payload");
    finds(
        length,
        &format!("{length}, min = 256"),
        "error[K-11]: a frame of the client has 257 bytes",
    );
    let small = SMALL.replace("message = 256", "message = 8\nserver_message = 256");
    let small = small.replace(length, &format!("{length}, at = 9"));
    assert!(findings(&small).contains("error[K-11]"), "{}", findings(&small));
    let case = "kind = \"switch\", cases = { \"1\" = { kind = \"fixed\", size = 300 } }";
    finds(length, case, "error[K-11]: a frame of the client has 300 bytes");
}

// K-13
#[test]
fn what_cannot_be_framed_anew_has_no_canonical_form() {
    let length = "kind = \"length\", type = \"u8\"";
    let client = format!("{{ {length} }}");
    for frame in ["kind = \"length\", type = \"u8\", at = 1", "kind = \"fixed\", size = 9"] {
        let to = format!("{{ {frame} }}\nforward = \"canonical\"");
        finds(&client, &to, "error[K-13]: a frame of this kind cannot be written anew");
        // Where nothing is asked for the bytes go on as they came.
        let by_default = SMALL.replace(length, frame);
        let head = by_default.split("[[test]]").next().unwrap();
        let mut pair = Pair::open(head);
        let said: &[u8] =
            if frame.contains("fixed") { b"{\"n\": 7 }" } else { b"!\x09{\"n\": 7 }" };
        pair.client(said);
        assert_eq!(pair.service, said);
    }
}

// K-15, K-92
#[test]
fn what_is_allowed_and_surprises_is_told() {
    finds(
        "decode = { kind = \"json\" }",
        "decode = { kind = \"json\", nul = \"allow\" }",
        "warning[K-15]: `nul` is allowed, and the text rule denies control characters",
    );
    finds("message = 256", "message = \"2MiB\"", "warning[K-92]: messages may have 2097152 bytes");
    let server = SMALL.find("[server]").unwrap();
    let raw = "[server]\nframe = { kind = \"raw\", danger_uninspected = \"nobody knows it\" }\n";
    let silent = SMALL[..server].replace("action   =", "expects = \"none\"\naction   =");
    let text = silent + raw;
    let all = findings(&text);
    assert!(all.contains("warning[K-92]: what the server says is not inspected"), "{all}");
}

// K-02, K-70
#[test]
fn a_refusal_says_nothing_that_is_not_done() {
    let reply = "reply = \"{}\", then = \"continue\"";
    for max in ["-1", "0", "10001"] {
        finds(reply, &format!("{reply}, max = {max}"), "outside 1 to 10000");
    }
    finds(reply, "reply = \"{}\", then = \"reset\"", "error[K-02]: the peer hears nothing of this");
    for class in ["frame", "undeclared", "server"] {
        let own = format!("action   = \"ask\"\nreject.{class} = {{ then = \"close\" }}");
        finds("action   = \"ask\"", &own, &format!("no fault of `ask` is of the class `{class}`"));
    }
}

// K-90
#[test]
fn what_a_test_says_is_compared_or_refused() {
    let asked = "client  = [\"hex: 07 7b226e223a377d\"]\nexpect  = \"forward\"";
    let steps = "steps = [{ client = \"hex: 02 7b7d\", expect = [\"invalid\"] }]";
    for key in ["reason = \"range\"", "message = \"ask\"", "forwards = \"\"", "reply = \"\""] {
        finds(asked, &format!("{steps}\n{key}"), "belongs to `client` or `server`");
    }
    for key in ["service_sees = \"\"", "peer_sees = \"\"", "closed = true"] {
        finds(asked, &format!("{asked}\n{key}"), "belongs to `steps`");
    }
    finds("[\"hex: 02 7b7d\"]", "[]", "error[K-90]: a test that says nothing shows nothing");
    finds("{ n = 7 }", "{ n = 7.5 }", "error[K-90]: `n` is nothing that a policy sees");
}

// K-90
#[test]
fn what_comes_before_is_cleared() {
    let after = "after  = [\"hex: 07 7b226e223a377d\"]";
    finds(after, "after = [\"hex: 02 7b7d\"]", "`after` should be cleared, but is `invalid`");
    finds(after, "after = [\"hex: 09 7b\"]", "`after` should be cleared, but is no whole frame");
}

// K-90: the neighbour of a wrong vector holds.
#[test]
fn a_wrong_vector_fails_alone() {
    let text = SMALL.replacen(
        "[[test]]",
        "[[test]]\nname = \"wrong\"\nclient = [\"hex: 03 7b7d20\"]\nexpect = \"forward\"\n\n[[test]]",
        1,
    );
    let none = |_: &str| Err("no file".to_owned());
    let (contract, _) = Contract::read("t.toml", &text, &none).unwrap();
    let failed = test::run(&contract).into_iter().filter(|outcome| outcome.failure.is_some());
    assert_eq!(failed.map(|outcome| outcome.name).collect::<Vec<_>>(), ["wrong"]);
    assert_eq!(findings(&text).matches("K-90").count(), 1);
}

// Section 21.3
#[test]
fn cut_and_broken_vectors_hold_in_every_example() {
    for text in [SMALL, ADD_TEN, INVENTORY, include_str!("talk.toml"), include_str!("asks.toml")] {
        for outcome in test::run(&contract(text)) {
            assert_eq!(outcome.failure, None, "{}", outcome.name);
        }
    }
}
