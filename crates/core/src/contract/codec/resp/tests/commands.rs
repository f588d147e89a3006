//! Which commands pass, in which spelling, with which keys, and which never do.

use super::{CACHE, Seen, command, load, message, reason, say, talk, words};
use crate::contract::Side;
use crate::contract::codec::resp::commands::{self, Keys};
use crate::contract::codec::resp::subscriptions::SUBSCRIBING;
use crate::rejection::{Class, Reason};

// CON-32
#[test]
fn a_command_passes_with_its_name_in_upper_case_and_its_arguments_as_they_came() {
    assert_eq!(say(words("gEt aPp:x")).service, words("GET aPp:x"));
    let binary = command(&[b"mget", b"\xff\r\n\0", b"", b"$3\r\n"]);
    // An empty key has no name that a policy could be asked for.
    assert_eq!(reason(&binary), Some(Reason::ResourceEmpty));
    let binary = command(&[b"mget", b"\xff\r\n\0", b"$3\r\n"]);
    let spelled = command(&[b"MGET", b"\xff\r\n\0", b"$3\r\n"]);
    assert_eq!(say(binary).service, spelled);
}

// CON-32
#[test]
fn a_frame_that_is_no_array_of_bulk_strings_ends_the_connection() {
    use Reason::{FrameTooLarge, InlineCommand, LengthForm, LengthRange};
    let rows: [(&[u8], Reason); 27] = [
        (b"GET / HTTP/1.1\r\n\r\n", InlineCommand),
        (b"PING\r\n", InlineCommand),
        (b"\r\n", InlineCommand),
        (b"\x16\x03\x01", InlineCommand),
        (b" *1\r\n", InlineCommand),
        (b"$4\r\nPING\r\n", LengthForm),
        (b"+PING\r\n", LengthForm),
        (b"*0\r\n", LengthForm),
        (b"*-1\r\n", LengthForm),
        (b"*+1\r\n", LengthForm),
        (b"*01\r\n", LengthForm),
        (b"*00", LengthForm),
        (b"* 1\r\n", LengthForm),
        (b"*1 \r\n", LengthForm),
        (b"*\r\n", LengthForm),
        (b"*1\n", LengthForm),
        (b"*1\r$", LengthForm),
        (b"*1025", LengthRange),
        (b"*99999999999999999999999999", LengthRange),
        (b"*1024\r\n", FrameTooLarge),
        (b"*1\r\n:1\r\n", LengthForm),
        (b"*1\r\n*1\r\n", LengthForm),
        (b"*1\r\n$-1\r\n", LengthForm),
        (b"*1\r\n$4\r\nPINGX", LengthForm),
        (b"*1\r\n$4\r\nPING\n", LengthForm),
        (b"*2\r\n$4096\r\n", FrameTooLarge),
        (b"*2\r\n$4097", LengthRange),
    ];
    for (bytes, expected) in rows {
        for piece in [1, usize::MAX] {
            let seen = talk(&CACHE, &[(Side::Client, bytes)], piece);
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(seen.refused, [(Some(expected), Some(Class::Frame))], "{shown}");
            assert!(seen.service.is_empty() && seen.peer.is_empty(), "{shown}");
            assert!(seen.end.is_some(), "{shown}");
        }
    }
}

// CON-32: a header that waits for what it announced is not refused, nor is anything forwarded
#[test]
fn a_frame_that_is_not_whole_waits() {
    let whole = words("GET app:x");
    for end in 0..whole.len() {
        let seen = say(&whole[..end]);
        assert_eq!(seen, Seen::default(), "{end}");
    }
}

// K-80
#[test]
fn a_command_with_another_number_of_words_is_refused() {
    for bad in ["GET", "GET a b", "MGET", "AUTH", "CLIENT"] {
        assert_eq!(reason(words(bad)), Some(Reason::Size), "{bad}");
    }
}

#[test]
fn what_changes_the_meaning_of_replies_is_refused_whoever_declares_it() {
    let refused = |bytes| {
        let seen = say(bytes);
        assert_eq!(seen.service, b"");
        seen.refused
    };
    let undeclared = [(Some(Reason::Undeclared), Some(Class::Undeclared))];
    for bad in
        ["MONITOR", "CLIENT REPLY OFF", "client tracking on", "NOSUCH a", "EVAL x 0", "g\u{e9}t a"]
    {
        assert_eq!(refused(words(bad)), undeclared, "{bad}");
    }
    assert_eq!(refused(words("HELLO 4")), [(Some(Reason::Enum), Some(Class::Invalid))]);
    assert_eq!(say(words("HELLO 3 AUTH u p")).service, words("HELLO 3 AUTH u p"));
    for name in ["MONITOR", "PSYNC", "REPLCONF", "SYNC"] {
        let errors = load(&message(&format!("\"{name}\""), "")).unwrap_err();
        assert!(errors.iter().any(|error| error.contains("K-80")), "{name}: {errors:?}");
    }
    let errors =
        load(&message("\"CLIENT\"", "fields.sub = { enum = [\"TRACKING\"] }")).unwrap_err();
    assert!(errors.iter().any(|error| error.contains("K-80")), "{errors:?}");
}

// K-80
#[test]
fn a_declared_command_says_what_the_codec_asks_for() {
    let rows = [
        ("\"EVAL\"", "", "`hazard`"),
        ("\"KEYS\"", "", "`hazard`"),
        ("\"COPY\"", "", "`hazard`"),
        ("\"CLIENT\"", "fields.sub = { enum = [\"ID\", \"KILL\"] }", "`hazard`"),
        ("\"CLIENT\"", "fields.sub = { const = \"PAUSE\" }", "`hazard`"),
        ("\"CLIENT\"", "fields.sub = { enum = [\"UNBLOCK\"] }", "`hazard`"),
        ("\"CLIENT\"", "fields.sub = { enum = [\"NO-EVICT\"] }", "`hazard`"),
        ("\"get\"", "", "upper case"),
        ("\"BLPOP\"", "", "`reply_timeout"),
        ("\"CLIENT\"", "", "`fields.sub"),
        ("\"CLIENT\"", "fields.sub = { enum = [\"id\"] }", "`fields.sub"),
        ("\"JSON.GET\"", "", "`keys = {"),
        ("\"GET\"", "keys = { first = 1 }", "leave `keys` out"),
        ("\"GET\"", "expects = \"none\"", "leave `expects` out"),
        ("\"SUBSCRIBE\"", "expects = \"many\"", "how many answers `SUBSCRIBE` has is known"),
        ("\"SUBSCRIBE\"", "", "leads to `message`"),
        ("\"PSUBSCRIBE\", \"UNSUBSCRIBE\"", "", "leads to `pmessage`"),
        ("\"SSUBSCRIBE\"", "", "leads to `smessage`"),
        ("\"SUBSCRIBE\", \"MULTI\"", "", "cannot be counted"),
        ("\"GET\"", "fields.sub = { enum = [\"X\"] }", "cmd, args, keys"),
        ("\"PING\"", "resource = \"key/${keys[*]}\"", "does not have"),
        ("\"GET\"", "context = { a = \"/args\" }", "no type that a policy has"),
        ("\"JSON.GET\"", "keys = { first = 0 }", "outside 1 to 64"),
    ];
    for (commands, more, hint) in rows {
        let errors = load(&message(commands, more)).unwrap_err().join("\n");
        assert!(errors.contains(hint), "{commands} {more}: {errors}");
    }
    load(&message("\"EVAL\"", "hazard = \"counters that no command has\"")).unwrap();
    let kill = "hazard = \"ends stuck workers\"\nfields.sub = { enum = [\"KILL\"] }";
    load(&message("\"CLIENT\"", kill)).unwrap();
    load(&message("\"CLIENT\"", "fields.sub = { enum = [\"ID\", \"SETNAME\"] }")).unwrap();
    load(&message("\"BLPOP\"", "reply_timeout = \"60s\"")).unwrap();
    for bad in [
        "reply = \"no\"",
        "reply = \"error:\"",
        "reply = \"error:lower x\"",
        "reply = \"error:ERR \\r\\n+OK\"",
    ] {
        let text = format!("{}[reject]\ndenied = {{ {bad} }}\n", message("\"GET\"", ""));
        assert!(load(&text).unwrap_err().join("\n").contains("K-74"), "{bad}");
    }
}

/// What a policy would be asked for, of one command.
fn keys(line: &str, declared: &str) -> Result<Vec<String>, Reason> {
    let name = line.split(' ').next().unwrap();
    let hazard = "hazard = \"shown in a test\"\nreply_timeout = \"1s\"";
    let sub = commands::CONTAINERS.contains(&name);
    let sub =
        if sub { "fields.sub = { enum = [\"USAGE\", \"CREATE\", \"ENCODING\"] }" } else { "" };
    let text = message(&format!("\"{name}\""), &format!("{hazard}\n{sub}\n{declared}"));
    let contract = load(&text).unwrap();
    let line = words(line);
    let tree = contract.direction(Side::Client).decode.read(&line, &contract.limits.wire);
    let tree = tree.map_err(|violation| violation.reason)?.into_owned();
    let Some(crate::contract::value::Value::List(list)) = tree.member("keys").cloned() else {
        return Ok(vec!["-".to_owned()]);
    };
    let text = |value| match value {
        crate::contract::value::Value::Bytes(bytes) => {
            String::from_utf8(bytes.into_owned()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    Ok(list.into_iter().map(text).collect())
}

// CON-32, TRAP: a key behind an option
#[test]
fn every_key_of_a_command_is_found() {
    let rows = [
        ("GET k", "k"),
        ("MSET k v k2 v2", "k k2"),
        ("BITOP AND k k2 k3", "k k2 k3"),
        ("BLPOP k k2 0", "k k2"),
        ("RENAME k k2", "k k2"),
        ("PING", "-"),
        ("EVAL script 2 k k2 arg", "k k2"),
        ("EVAL script 0 arg", ""),
        ("ZUNIONSTORE k 2 k2 k3 WEIGHTS 1 2", "k k2 k3"),
        ("ZUNION 2 k k2 WITHSCORES", "k k2"),
        ("BLMPOP 0 2 k k2 LEFT", "k k2"),
        ("XREAD COUNT 2 BLOCK 0 STREAMS k k2 0 0", "k k2"),
        ("XREADGROUP GROUP STREAMS me STREAMS k >", "k"),
        ("SORT k BY STORE LIMIT 0 1 GET GET store k2", "k k2"),
        ("GEORADIUS k 1 1 1 m STORE k2 storedist k3", "k k2 k3"),
        ("MIGRATE h 1 k 0 1 COPY AUTH KEYS", "k"),
        ("MEMORY USAGE k", "k"),
        ("XGROUP CREATE k g 0", "k"),
    ];
    for (line, expected) in rows {
        assert_eq!(keys(line, "").map(|keys| keys.join(" ")), Ok(expected.to_owned()), "{line}");
    }
    assert_eq!(keys("JSON.MGET k k2 $", "keys = { first = 1, last = -2 }").unwrap(), ["k", "k2"]);
    let unread = [
        ("EVAL script 3 k k2", Reason::Size),
        ("EVAL script -1 k", Reason::IntegerForm),
        ("EVAL script 01 k", Reason::IntegerForm),
        ("ZUNIONSTORE k 9223372036854775807 k2", Reason::IntegerForm),
        ("ZUNIONSTORE k 922337203685477580 k2", Reason::Size),
        ("XREAD STREAMS k k2 0", Reason::Size),
        ("XREAD NEW 1 STREAMS k 0", Reason::Enum),
        ("SORT k NEW k2", Reason::Enum),
        ("MEMORY USAGE", Reason::Size),
    ];
    for (line, reason) in unread {
        assert_eq!(keys(line, ""), Err(reason), "{line}");
    }
}

#[test]
fn the_table_is_sorted_and_has_every_command_of_the_lists() {
    assert!(commands::COMMANDS.is_sorted_by(|a, b| a.name < b.name));
    let lists =
        [&commands::HAZARDS[..], &commands::CONTAINERS, &commands::BLOCKING, &commands::SECRET];
    for name in lists.concat() {
        assert!(commands::find(name).is_some(), "{name}");
    }
    for name in commands::ALWAYS_REFUSED {
        assert!(commands::find(name).is_none(), "{name}");
    }
    for (name, word, ..) in SUBSCRIBING {
        let command = commands::find(name).unwrap();
        assert_eq!((command.keys, name.to_lowercase().as_str()), (Keys::None, word));
    }
    for command in commands::COMMANDS.iter().filter(|c| matches!(c.keys, Keys::Sub(_))) {
        assert!(commands::CONTAINERS.contains(&command.name), "{}", command.name);
    }
}
