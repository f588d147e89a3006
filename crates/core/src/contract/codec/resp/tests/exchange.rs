//! Refusals in their places among replies, transactions, and what is a secret.

use super::{CACHE, load, message, say, talk, words};
use crate::contract::Side;

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
