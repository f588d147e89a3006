//! Subscriptions: what is pushed and to whom, and what may be said meanwhile.

mod model;

use super::{NOW, Seen, command, load, message, talk, words};
use crate::contract::{Contract, Side};
use crate::limits::Limits;
use crate::now::Now;
use crate::rejection::{Class, Reason};
use crate::session::{Outbox, Session, Warrant};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const PUSHES: &str = r#"
[[server.message]]
name   = "news"
match  = ["message", "pmessage", "smessage"]
pushes = true
fields.channel = { bytes = [1, 20] }
fields.payload = { bytes = [0, 20] }
"#;

static NEWS: LazyLock<Arc<Contract>> = LazyLock::new(|| {
    let text = r#"
[[client.message]]
name     = "subscribe"
match    = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"]
action   = "redis.subscribe"
resource = "channel/${channels[*]}"

[[client.message]]
name   = "session"
match  = ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "PING", "QUIT", "RESET", "HELLO"]
action = "redis.session"

[[client.message]]
name   = "range"
match  = ["LRANGE", "GET"]
action = "redis.read"

[reject]
state = { reply = "error:ERR not now", then = "continue", max = 10000 }
limit = { reply = "error:ERR too much", then = "continue", max = 10000 }
"#;
    load(&format!("{text}{PUSHES}")).unwrap()
});

/// `*3`, or `>3` in RESP3: words in capitals are counts, `-` is nothing.
fn list(mark: &str, words: &str) -> Vec<u8> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut bytes = format!("{mark}{}\r\n", words.len()).into_bytes();
    for word in words {
        let part = match word.parse::<i64>() {
            Ok(count) => format!(":{count}\r\n"),
            Err(_) if word == "-" && mark == ">" => "_\r\n".to_owned(),
            Err(_) if word == "-" => "$-1\r\n".to_owned(),
            Err(_) => format!("${}\r\n{word}\r\n", word.len()),
        };
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// One line for each thing that is said: `c` and a command, `*` or `>` and a list of the server's,
/// `+` and whatever else the server says, `|` for its line ends.
fn dialogue(script: &str) -> Seen {
    let said: Vec<(Side, Vec<u8>)> = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| match line.split_at(1) {
            ("c", rest) => (Side::Client, words(rest.trim())),
            (mark @ ("*" | ">"), rest) => (Side::Server, list(mark, rest.trim())),
            (_, rest) => (Side::Server, format!("{}\r\n", rest.replace('|', "\r\n")).into_bytes()),
        })
        .collect();
    let said: Vec<(Side, &[u8])> = said.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
    let seen = talk(&NEWS, &said, usize::MAX);
    assert_eq!(talk(&NEWS, &said, 1), seen, "byte by byte");
    seen
}

/// The server's lines of a script all pass, and nothing is refused.
fn passes(script: &str) {
    let seen = dialogue(script);
    assert_eq!(seen.refused, [], "{}", seen.sentences);
    assert_eq!(seen.end, None);
}

/// The last line of a script is refused, and is the first that is.
fn refused(script: &str) -> (Reason, Class) {
    let before = script.trim_end().rsplit_once('\n').map_or("", |(before, _)| before);
    passes(before);
    let seen = dialogue(script);
    assert_eq!(seen.refused.len(), 1, "{}", seen.sentences);
    let alone = dialogue(before);
    assert_eq!((seen.service, seen.peer), (alone.service, alone.peer), "{script}");
    (seen.refused[0].0.unwrap(), seen.refused[0].1.unwrap())
}

// CON-32
#[test]
fn a_subscriber_hears_what_comes_in_on_its_channels() {
    passes(
        "c SUBSCRIBE a b
         * subscribe a 1
         * subscribe b 2
         * message a hello
         * message b hello
         c PSUBSCRIBE n*
         * message a once
         * psubscribe n* 3
         * pmessage n* news hello
         c SSUBSCRIBE s
         * ssubscribe s 1
         * smessage s hello
         c PING
         * message a first
         * pong x
         c UNSUBSCRIBE a
         * message a last
         * unsubscribe a 2
         c UNSUBSCRIBE
         * unsubscribe b 1
         c PUNSUBSCRIBE
         * punsubscribe n* 0
         c SUNSUBSCRIBE
         * sunsubscribe s 0
         c PING
         +$4|PONG
         c GET a
         +$1|1",
    );
}

// CON-32
#[test]
fn the_same_in_resp3_where_pushes_have_a_type_of_their_own() {
    passes(
        "c HELLO 3
         +%1|+proto|:3
         c SUBSCRIBE a
         > subscribe a 1
         > message a hello
         c PING
         > message a again
         ++PONG
         c RESET
         > message a last
         ++RESET
         c SUBSCRIBE a
         * subscribe a 1
         * message a hello",
    );
    let hello = "c HELLO 3\n+%1|+proto|:3\nc SUBSCRIBE a\n";
    let confirmed = format!("{hello}> subscribe a 1\n");
    // An array would be the answer to PING at the client, and a push here.
    let array = format!("{confirmed}c PING\nc PING\n* message a x");
    passes(&array);
    assert_eq!(dialogue(&array).peer, dialogue(&array.replace("c PING\nc PING", "c PING")).peer);
    assert_eq!(refused(&format!("{hello}* subscribe a 1")), (Reason::ReplyMismatch, Class::Server));
    assert_eq!(refused(&format!("{confirmed}* message a x")), (Reason::Unasked, Class::Server));
    assert_eq!(
        refused(&format!("{confirmed}> invalidate a 1")),
        (Reason::NoMessage, Class::Server)
    );
    // Before HELLO, and after RESET, there is no type for pushes.
    let two = "c SUBSCRIBE a\n* subscribe a 1\n> message a x";
    assert_eq!(refused(two), (Reason::NoMessage, Class::Server));
    let reset =
        format!("{confirmed}c RESET\n++RESET\nc SUBSCRIBE a\n* subscribe a 1\n> message a x");
    assert_eq!(refused(&reset), (Reason::NoMessage, Class::Server));
}

// CON-32: client, server and Segwan speak one protocol.
#[test]
fn a_hello_is_answered_in_the_protocol_that_it_asks_for() {
    let mismatch = (Reason::ReplyMismatch, Class::Server);
    let three = "+%1|+proto|:3";
    let two = "+*2|+proto|:2";
    passes(&format!("c HELLO 3\n{three}\nc HELLO\n{three}\nc HELLO 2\n{two}\nc HELLO\n{two}"));
    passes(&format!("c HELLO 3\nc HELLO 2\nc HELLO 3\n{three}\n+-NOPROTO no\n{three}"));
    assert_eq!(refused(&format!("c HELLO 2\n{three}")), mismatch);
    assert_eq!(refused(&format!("c HELLO\n{three}")), mismatch);
    assert_eq!(refused(&format!("c HELLO 3\n{two}")), mismatch);
    assert_eq!(refused(&format!("c HELLO 3\n{three}\nc HELLO\n{two}")), mismatch);
}

// TRAP-14: it is a push at the client, wherever it stands.
#[test]
fn no_push_stands_inside_of_an_answer() {
    let inside = "+*1|>3|$7|message|$1|a|$1|x";
    let hello = "c HELLO 3\n+%1|+proto|:3\nc PING\n";
    assert_eq!(refused(&format!("{hello}{inside}")), (Reason::LengthForm, Class::Server));
}

// TRAP-14: what looks like a push and answers a request is an answer, and the other way round.
#[test]
fn a_push_named_like_a_reply_never_closes_a_request() {
    passes("c LRANGE l 0 -1\n* message a x\nc GET k\n+$1|1");
    passes(
        "c LRANGE l 0 -1
         c SUBSCRIBE a
         * message a x
         * subscribe a 1
         c PING
         * message a x
         * pong -",
    );
    // The pushes before the answer to PING did not close it.
    let open = "c SUBSCRIBE a\n* subscribe a 1\nc PING\n* message a x\n* message a y\n";
    passes(&format!("{open}* pong x"));
    assert_eq!(refused(&format!("{open}* pong x\n* pong x")), (Reason::Unasked, Class::Server));
    // Nor does a push pass that is named like what confirms.
    let script = "c SUBSCRIBE a\n* subscribe a 1\n* subscribe b 2";
    assert_eq!(refused(script), (Reason::Unasked, Class::Server));
}

// TRAP-14, TRAP-16
#[test]
fn what_comes_in_on_nothing_that_is_subscribed_to_leaves_nothing_at_the_peer() {
    use Reason::{Length, NoMessage, ReplyMismatch, Size, Unasked};
    let rows = [
        ("* message a x", Unasked),
        ("> message a x", NoMessage),
        ("c SUBSCRIBE a\n* message a x", ReplyMismatch),
        ("c SUBSCRIBE a\n* subscribe a 1\n* message b x", Unasked),
        ("c SUBSCRIBE a\n* subscribe a 1\n* pmessage a a x", Unasked),
        ("c SUBSCRIBE a\n* subscribe a 1\n* smessage a x", Unasked),
        ("c PSUBSCRIBE a*\n* psubscribe a* 1\n* message a* x", Unasked),
        ("c SUBSCRIBE a\n* subscribe a 1\n* message a", Size),
        ("c SUBSCRIBE a\n* subscribe a 1\n* message a x y", Size),
        ("c SUBSCRIBE a\n* subscribe a 1\n* message a 1", Size),
        ("c SUBSCRIBE a\n* subscribe a 1\n* message a 123456789.123456789.123", Length),
        (
            "c SUBSCRIBE a\n* subscribe a 1\nc UNSUBSCRIBE a\n* unsubscribe a 0\n* message a x",
            Unasked,
        ),
        ("c SUBSCRIBE a\n* subscribe a 1\nc RESET\n++RESET\n* message a x", Unasked),
    ];
    for (script, reason) in rows {
        assert_eq!(refused(script), (reason, Class::Server), "{script}");
        assert!(dialogue(script).end.is_some(), "{script}");
    }
}

// CON-32: client, server and Segwan agree after each answer.
#[test]
fn what_confirms_must_confirm_what_is_next_and_count_as_the_client_does() {
    let rows = [
        "c SUBSCRIBE a\n* subscribe b 1",
        "c SUBSCRIBE a\n* subscribe a 2",
        "c SUBSCRIBE a\n* subscribe a 0",
        "c SUBSCRIBE a\n* subscribe a x",
        "c SUBSCRIBE a\n* psubscribe a 1",
        "c SUBSCRIBE a\n* subscribe a",
        "c SUBSCRIBE a\n++OK",
        "c SUBSCRIBE a b\n* subscribe a 1\n+-ERR half",
        "c SUBSCRIBE a b\n* subscribe a 1\n* subscribe a 1",
        "c SUBSCRIBE a\n* subscribe a 1\nc UNSUBSCRIBE\n* unsubscribe - 0",
        "c SUBSCRIBE a\n* subscribe a 1\nc UNSUBSCRIBE\n* unsubscribe b 0",
        "c SUBSCRIBE a\n* subscribe a 1\nc UNSUBSCRIBE b\n* unsubscribe b 0",
        "c UNSUBSCRIBE\n* unsubscribe a 0",
        "c SUBSCRIBE a\n* subscribe a 1\nc SSUBSCRIBE a\n* ssubscribe a 2",
        "c SUBSCRIBE a\n* subscribe a 1\nc PING\n++PONG",
    ];
    for script in rows {
        assert_eq!(refused(script), (Reason::ReplyMismatch, Class::Server), "{script}");
    }
    passes(
        "c SUBSCRIBE a a\n* subscribe a 1\n* subscribe a 1\nc UNSUBSCRIBE a a\n* unsubscribe a 0\n* unsubscribe a 0",
    );
    passes("c UNSUBSCRIBE\n* unsubscribe - 0\nc GET a\n+$1|1");
    passes("c PSUBSCRIBE a\n* psubscribe a 1\nc UNSUBSCRIBE\n* unsubscribe - 1\n* pmessage a a x");
    passes("c SUBSCRIBE a b\n+-NOPERM no\nc GET a\n+$1|1");
    passes("c SUBSCRIBE a\n* subscribe a 1\nc PING\n+-ERR busy");
}

// CON-16: the state lasts from the command until the server says that nothing is left.
#[test]
fn a_subscriber_may_say_little_else() {
    let state = (Reason::State, Class::State);
    for now in [
        "c SUBSCRIBE a\nc GET k",
        "c SUBSCRIBE a\n* subscribe a 1\nc GET k",
        "c SUBSCRIBE a\n* subscribe a 1\nc HELLO 3",
        "c SUBSCRIBE a\n* subscribe a 1\nc UNSUBSCRIBE a\nc GET k",
        "c SUBSCRIBE a\n* subscribe a 1\nc RESET\nc GET k",
        "c SUBSCRIBE a\nc UNSUBSCRIBE\n* subscribe a 1\nc GET k",
        "c SUBSCRIBE a b\n* subscribe a 1\n* subscribe b 2\nc UNSUBSCRIBE\n* unsubscribe b 1\nc GET k",
    ] {
        let before = now.rsplit_once('\n').unwrap().0;
        let seen = dialogue(now);
        assert_eq!(seen.refused, [(Some(state.0), Some(state.1))], "{now}");
        assert_eq!(seen.service, dialogue(before).service, "{now}");
    }
    // The refusal has its place behind the answers that are due, and beside the pushes.
    let seen = dialogue(
        "c SUBSCRIBE a b\nc GET k\n* subscribe a 1\n* message a x\n* subscribe b 2\n* message b y",
    );
    let answers = [
        list("*", "subscribe a 1"),
        list("*", "message a x"),
        list("*", "subscribe b 2"),
        b"-ERR not now\r\n".to_vec(),
        list("*", "message b y"),
    ];
    assert_eq!(String::from_utf8(seen.peer), String::from_utf8(answers.concat()));
}

#[test]
fn a_connection_subscribes_to_no_more_than_its_bound() {
    let long = "x".repeat(900);
    let mut said = Vec::new();
    for at in 0..80 {
        said.extend(words(&format!("SUBSCRIBE {at}{long}")));
    }
    let seen = talk(&NEWS, &[(Side::Client, &said)], usize::MAX);
    assert_eq!(seen.refused.len(), 80 - (64 << 10) / 902);
    assert!(seen.refused.iter().all(|r| *r == (Some(Reason::Resources), Some(Class::Limit))));
    // What was given up makes room again.
    let mut script = String::new();
    for _ in 0..1100 {
        script.push_str("c SUBSCRIBE a a\n* subscribe a 1\n* subscribe a 1\n");
        script.push_str("c SUBSCRIBE b\n+-NOPERM no\nc UNSUBSCRIBE a b\n* unsubscribe a 0\n");
        script.push_str("* unsubscribe b 0\nc SUBSCRIBE c\n* subscribe c 1\nc RESET\n++RESET\n");
        script.push_str("c SUBSCRIBE d\n* subscribe d 1\nc UNSUBSCRIBE\n* unsubscribe d 0\n");
    }
    passes(&script);
}

// TRAP-29
#[test]
fn every_channel_is_named_and_a_pattern_is_its_own_name() {
    let names = |line: &str| {
        let line = words(line);
        let tree = NEWS.direction(Side::Client).decode.read(&line, &NEWS.limits.wire).unwrap();
        let message = NEWS.client.messages.iter().find(|m| m.name() == "subscribe").unwrap();
        let mut names = Vec::new();
        let template =
            message.request().unwrap().asking.as_ref().unwrap().resource.as_ref().unwrap();
        let nothing = crate::contract::value::Value::Null;
        template.names(&tree, &nothing, 16, &mut names).map(|()| names)
    };
    assert_eq!(names("SUBSCRIBE a b/c").unwrap(), ["channel/a", "channel/b%2Fc"]);
    assert_eq!(names("PSUBSCRIBE news.*").unwrap(), ["channel/news.%2A"]);
    assert_eq!(names("SSUBSCRIBE s").unwrap(), ["channel/s"]);
}

// TRAP-14
#[test]
fn pushes_keep_a_connection_alive_for_hours_and_silence_of_both_ends_it() {
    let limits = Limits { session_lifetime: Duration::from_secs(1 << 20), ..Limits::default() };
    let mut session = Session::open(Warrant::NotJudged, Arc::clone(&NEWS), &limits, *NOW);
    let mut now: Now = *NOW;
    let mut out = Outbox::default();
    session.receive(Side::Client, &words("SUBSCRIBE a"), None, now, &mut out);
    session.receive(Side::Server, &list("*", "subscribe a 1"), None, now, &mut out);
    let step = limits.idle_timeout.checked_sub(Duration::from_secs(1)).unwrap();
    let push = list("*", "message a x");
    for _ in 0..100 {
        now = now.after(step);
        session.tick(None, now, &mut out);
        assert_eq!(out.end, None);
        session.receive(Side::Server, &push, None, now, &mut out);
    }
    assert_eq!(out.to_client.as_slice().len(), list("*", "subscribe a 1").len() + 100 * push.len());
    now = now.after(limits.idle_timeout);
    session.tick(None, now, &mut out);
    assert_eq!(out.end.map(|end| end.reason), Some(Reason::IdleTimeout));
}

// K-80
#[test]
fn what_is_pushed_is_subscribed_to_and_says_what_it_is() {
    let told = |text: &str| load(text).err().unwrap_or_default().join("\n");
    let get = message("\"GET\"", "");
    assert!(told(&format!("{get}{PUSHES}")).contains("is pushed to nobody"));
    let subscribe = message("\"SUBSCRIBE\"", "");
    let push = |more: &str| {
        format!("{subscribe}[[server.message]]\nname = \"p\"\npushes = true\n{more}\n")
    };
    assert_eq!(told(&push("match = [\"message\"]")), "");
    assert!(told(&push("")).contains("does not say what comes in"));
    assert!(told(&push("match = [\"invalidate\"]")).contains("does not say what comes in"));
    assert!(
        told(&push("match = [\"message\"]\nfields.pattern = { bytes = [1, 9] }")).contains("K-30")
    );
    let answer = "[[server.message]]\nname = \"p\"\nanswers = [\"m\"]\nmatch = [\"message\"]";
    assert!(told(&format!("{get}{answer}")).contains("only pushes have a `match`"));
}

#[test]
fn a_binary_channel_is_a_channel_like_others() {
    let name = b"\xff\r\n\0";
    let confirms = |word: &str, more: &[u8]| {
        let head = format!("*3\r\n${}\r\n{word}\r\n$4\r\n", word.len());
        [head.as_bytes(), name, b"\r\n", more].concat()
    };
    let said = [
        (Side::Client, command(&[b"SUBSCRIBE", name])),
        (Side::Server, confirms("subscribe", b":1\r\n")),
        (Side::Server, confirms("message", b"$1\r\nx\r\n")),
    ];
    let said: Vec<(Side, &[u8])> = said.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
    let seen = talk(&NEWS, &said, 3);
    assert_eq!((seen.refused, seen.peer), (vec![], [said[1].1, said[2].1].concat()));
}
