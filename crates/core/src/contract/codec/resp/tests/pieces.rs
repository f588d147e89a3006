//! One verdict, however the bytes arrive.

use super::{CACHE, command, say, talk, words};
use crate::contract::Side;
use proptest::prelude::*;

/// A reader of commands that shares nothing with the codec: lengths are taken on trust.
fn read(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    fn line<'a>(bytes: &mut &'a [u8]) -> &'a str {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let (line, rest) = bytes.split_at(end);
        *bytes = &rest[2..];
        std::str::from_utf8(line).unwrap()
    }
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let count: usize = line(&mut bytes).strip_prefix('*').unwrap().parse().unwrap();
        let mut words = Vec::new();
        for _ in 0..count {
            let length: usize = line(&mut bytes).strip_prefix('$').unwrap().parse().unwrap();
            words.push(bytes[..length].to_vec());
            assert_eq!(&bytes[length..length + 2], b"\r\n");
            bytes = &bytes[length + 2..];
        }
        commands.push(words);
    }
    commands
}

fn a_word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "(GET|get|MGET|PING|pInG|CLIENT|ID|SETNAME|EVAL|FLUSHALL|AUTH)".prop_map(String::into_bytes),
        2 => "[a-z:]{1,6}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => Just(b"\r\n$1\r\n*1\r\n".to_vec()),
    ]
}

/// Commands, and now and then a byte that is another.
fn a_stream() -> impl Strategy<Value = Vec<u8>> {
    let commands = prop::collection::vec(prop::collection::vec(a_word(), 1..4), 1..8);
    let change = prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>()));
    (commands, change).prop_map(|(commands, change)| {
        let write =
            |words: &Vec<Vec<u8>>| command(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut stream: Vec<u8> = commands.iter().flat_map(write).collect();
        if let Some((at, byte)) = change {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}

fn a_reply() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(b"+OK\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"_\r\n".to_vec()),
        Just(b"#f\r\n".to_vec()),
        Just(b",-1e5\r\n".to_vec()),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| {
            [format!("${}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let kind = prop::sample::select(&b"*~%>|"[..]);
        (kind, prop::collection::vec(inner, 0..5)).prop_map(|(kind, mut values)| {
            let count = match kind {
                b'%' => values.len() / 2,
                b'|' => values.len().saturating_sub(1) / 2,
                _ => values.len(),
            };
            if kind == b'|' && values.is_empty() {
                values.push(b"_\r\n".to_vec());
            }
            let used = match kind {
                b'%' => count * 2,
                b'|' => count * 2 + 1,
                _ => count,
            };
            let header = [&[kind], format!("{count}\r\n").as_bytes()].concat();
            [header, values[..used].concat()].concat()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // CON-32
    #[test]
    fn a_client_gets_one_verdict_whole_in_pieces_and_byte_by_byte(stream in a_stream(), piece in 1..40_usize) {
        let whole = talk(&CACHE, &[(Side::Client, &stream)], usize::MAX);
        for piece in [1, piece] {
            prop_assert_eq!(&talk(&CACHE, &[(Side::Client, &stream)], piece), &whole);
        }
        // What passed is what a reader of its own understands, and its names are declared.
        let mut said = Vec::new();
        for words in read(&whole.service) {
            let name = String::from_utf8(words[0].clone()).unwrap();
            prop_assert!(["GET", "MGET", "PING", "CLIENT", "AUTH", "HELLO"].contains(&&*name));
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            said.extend(command(&words));
        }
        prop_assert_eq!(said, whole.service);
    }

    // CON-32
    #[test]
    fn a_command_that_passes_says_what_it_said(words in prop::collection::vec(a_word(), 1..5)) {
        let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let seen = say(command(&slices));
        if seen.refused.is_empty() {
            let mut expected = words;
            expected[0].make_ascii_uppercase();
            prop_assert_eq!(read(&seen.service), vec![expected]);
        } else {
            prop_assert!(seen.service.is_empty());
        }
    }

    // CON-32
    #[test]
    fn a_service_gets_one_verdict_whole_in_pieces_and_byte_by_byte(
        replies in prop::collection::vec(a_reply(), 1..5),
        change in prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>())),
        piece in 1..40_usize,
    ) {
        let mut stream = replies.concat();
        if let Some((at, byte)) = change {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let pings = words("PING").repeat(3);
        let said = [(Side::Client, &pings[..]), (Side::Server, &stream[..])];
        let whole = talk(&CACHE, &said, usize::MAX);
        for piece in [1, piece] {
            prop_assert_eq!(&talk(&CACHE, &said, piece), &whole);
        }
        // Replies pass as they came, and nothing behind the first that is refused.
        prop_assert!(stream.starts_with(&whole.peer));
    }
}
