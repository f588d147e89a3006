//! A subscriber of Redis that trusts what it gets: every answer is the one to its oldest question,
//! and every push came in on a channel that it had asked for and was told that it has.

use std::collections::{BTreeSet, VecDeque};

/// One value: its mark, its text, and what it holds.
struct Part {
    mark: u8,
    text: Vec<u8>,
    parts: Vec<Part>,
}

/// Reads what the server was let say, as answers to what it was asked.
pub(crate) fn hears(asked: &[u8], said: &VecDeque<&[u8]>) {
    let mut rest = asked;
    let mut asked: VecDeque<Vec<Vec<u8>>> = VecDeque::new();
    while !rest.is_empty() {
        asked.push_back(part(&mut rest).parts.into_iter().map(|word| word.text).collect());
    }
    // Channels, patterns, and whether pushes have a type of their own.
    let mut has: [BTreeSet<Vec<u8>>; 2] = Default::default();
    let (mut three, mut nth) = (false, 0);
    for frame in said {
        let frame = part(&mut &frame[..]);
        let lists = frame.mark == if three { b'>' } else { b'*' };
        let word = |at: usize| frame.parts.get(at).map_or(&b""[..], |part| &part.text);
        let listens = has.iter().any(|names| !names.is_empty());
        let event = match word(0) {
            b"message" => Some(0),
            b"pmessage" => Some(1),
            _ => None,
        };
        if let Some(kind) = event.filter(|_| lists && (three || listens)) {
            assert!(has[kind].contains(word(1)), "a push on what nobody subscribed to");
            continue;
        }
        let words = asked.front().expect("an answer to nobody");
        let adds = words[0].ends_with(b"SUBSCRIBE") && !words[0].ends_with(b"UNSUBSCRIBE");
        let kind = usize::from(words[0].starts_with(b"PSUB") || words[0].starts_with(b"PUNSUB"));
        let refused = matches!(frame.mark, b'-' | b'!');
        if words[0].ends_with(b"SUBSCRIBE") && !refused {
            assert!(lists && word(0) == words[0].to_ascii_lowercase(), "no confirmation");
            if words.len() > 1 {
                assert_eq!(word(1), words[nth + 1], "another channel is confirmed");
            }
            if adds {
                has[kind].insert(word(1).to_vec());
            } else {
                has[kind].remove(word(1));
            }
            let count: usize = has.iter().map(BTreeSet::len).sum();
            assert_eq!(word(2), count.to_string().as_bytes(), "another number of channels");
            nth += 1;
            if if words.len() > 1 { nth + 1 < words.len() } else { !has[kind].is_empty() } {
                continue;
            }
        }
        match &words[0][..] {
            b"HELLO" if !refused => three = frame.mark == b'%',
            b"RESET" if !refused => (has, three) = Default::default(),
            _ => assert!(frame.mark != b'>' || words[0].ends_with(b"SUBSCRIBE"), "a lone push"),
        }
        asked.pop_front();
        nth = 0;
    }
}

/// The next value, past what only comments on it.
fn part(rest: &mut &[u8]) -> Part {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line");
    let (mark, line) = (rest[0], &rest[1..end]);
    *rest = &rest[end + 2..];
    let count = || std::str::from_utf8(line).ok().and_then(|text| text.parse::<usize>().ok());
    let mut many = |count: usize| (0..count).map(|_| part(rest)).collect::<Vec<_>>();
    match (mark, count()) {
        (b'|', Some(count)) => {
            many(2 * count);
            part(rest)
        }
        (b'%', Some(count)) => Part { mark, text: Vec::new(), parts: many(2 * count) },
        (b'*' | b'~' | b'>', Some(count)) => Part { mark, text: Vec::new(), parts: many(count) },
        (b'$' | b'=' | b'!', Some(size)) => {
            let text = rest[..size].to_vec();
            *rest = &rest[size + 2..];
            Part { mark, text, parts: Vec::new() }
        }
        _ => Part { mark, text: line.to_vec(), parts: Vec::new() },
    }
}
