//! Subscriptions against a model of the server, true and false.

use super::super::{NOW, Seen, talk, words};
use super::{NEWS, list};
use crate::contract::Side;
use crate::limits::Limits;
use crate::rejection::Reason;
use crate::session::{Outbox, Session, Warrant};
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// A server in forty lines: what Redis answers to these commands, in RESP2.
#[derive(Default)]
struct Redis {
    kinds: [BTreeSet<String>; 3],
}

impl Redis {
    fn count(&self, kind: usize) -> usize {
        if kind == 2 { self.kinds[2].len() } else { self.kinds[0].len() + self.kinds[1].len() }
    }

    fn listens(&self) -> bool {
        self.kinds.iter().any(|kind| !kind.is_empty())
    }

    fn answer(&mut self, line: &str) -> Vec<u8> {
        let mut words = line.split(' ');
        let (command, mut names) = (words.next().unwrap(), words.collect::<Vec<_>>());
        let kind = match command.as_bytes()[0] {
            b'P' if command != "PING" => 1,
            b'S' if command != "SUBSCRIBE" => 2,
            _ => 0,
        };
        match command {
            "PING" if self.listens() => return list("*", "pong x"),
            "PING" => return b"+PONG\r\n".to_vec(),
            "LRANGE" => return list("*", "message a x"),
            "RESET" => {
                self.kinds = Default::default();
                return b"+RESET\r\n".to_vec();
            }
            _ => {}
        }
        let word = command.to_lowercase();
        let all = self.kinds[kind].clone();
        if names.is_empty() && all.is_empty() {
            return list("*", &format!("{word} - {}", self.count(kind)));
        }
        if names.is_empty() {
            names = all.iter().map(String::as_str).collect();
        }
        let mut bytes = Vec::new();
        for name in names {
            if command.contains("UNSUB") {
                self.kinds[kind].remove(name);
            } else {
                self.kinds[kind].insert(name.to_owned());
            }
            bytes.extend(list("*", &format!("{word} {name} {}", self.count(kind))));
        }
        bytes
    }

    /// All that may be pushed now.
    fn pushes(&self) -> Vec<u8> {
        let forms = ["message {} x", "pmessage {} c x", "smessage {} x"];
        let each = self.kinds.iter().zip(forms);
        each.flat_map(|(names, form)| names.iter().map(move |n| form.replace("{}", n)))
            .flat_map(|push| list("*", &push))
            .collect()
    }
}

fn a_line() -> impl Strategy<Value = String> {
    let names = prop::collection::vec("[ab]", 1..4).prop_map(|names| names.join(" "));
    let adds = prop::sample::select(vec!["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"]);
    let removes = prop::sample::select(vec!["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"]);
    prop_oneof![
        3 => (adds, names.clone()).prop_map(|(command, names)| format!("{command} {names}")),
        2 => (removes.clone(), names).prop_map(|(command, names)| format!("{command} {names}")),
        2 => removes.prop_map(str::to_owned),
        3 => prop::sample::select(vec!["PING", "RESET", "LRANGE l 0 9"]).prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // CON-17, TRAP-14: whatever is asked for, and however far the server is behind, all that a true
    // server says passes, no request stays open, and a refusal has its place.
    #[test]
    fn all_that_a_true_server_says_passes(
        lines in prop::collection::vec((a_line(), any::<bool>()), 1..24),
        piece in 1..40_usize,
    ) {
        let contract = Arc::clone(&NEWS);
        let mut session = Session::open(Warrant::NotJudged, contract, &Limits::default(), *NOW);
        let (mut redis, mut behind, mut seen) = (Redis::default(), VecDeque::new(), Seen::default());
        let mut expected = Vec::new();
        let mut script = lines;
        script.push(("RESET".to_owned(), true));
        script.push(("LRANGE l 0 9".to_owned(), true));
        for (line, answers) in script {
            let mut out = Outbox::default();
            let before = seen.service.len();
            session.receive(Side::Client, &words(&line), None, *NOW, &mut out);
            seen.take(out);
            if seen.service.len() > before {
                behind.push_back(line);
            } else {
                prop_assert_eq!(&line, "LRANGE l 0 9");
                behind.push_back(String::new());
            }
            while answers && let Some(line) = behind.pop_front() {
                if line.is_empty() {
                    expected.extend_from_slice(b"-ERR not now\r\n");
                    continue;
                }
                // No request that was let through is one that Redis refuses to a subscriber.
                prop_assert!(!line.starts_with("LRANGE") || !redis.listens());
                let said = [redis.pushes(), redis.answer(&line), redis.pushes()].concat();
                for piece in said.chunks(piece) {
                    let mut out = Outbox::default();
                    session.receive(Side::Server, piece, None, *NOW, &mut out);
                    seen.take(out);
                }
                expected.extend(said);
            }
        }
        prop_assert_eq!(&seen.end, &None, "{}", seen.sentences);
        prop_assert_eq!(session.in_flight(), 0);
        prop_assert!(seen.refused.iter().all(|refused| refused.0 == Some(Reason::State)));
        // A refusal that waits for nothing comes before the pushes that follow.
        let sort = |bytes: &[u8]| {
            let mut lines: Vec<String> =
                String::from_utf8_lossy(bytes).split('\n').map(str::to_owned).collect();
            lines.sort();
            lines
        };
        prop_assert_eq!(sort(&seen.peer), sort(&expected));
    }

    // CON-32: one byte of a server's stream changed, in any pieces.
    #[test]
    fn a_false_server_gets_one_verdict_in_any_pieces(
        lines in prop::collection::vec(a_line(), 1..10),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        piece in 1..40_usize,
    ) {
        let mut redis = Redis::default();
        let mut said: Vec<(Side, Vec<u8>)> = Vec::new();
        for line in lines {
            if line.starts_with("LRANGE") && redis.listens() {
                continue;
            }
            said.push((Side::Client, words(&line)));
            said.push((Side::Server, [redis.answer(&line), redis.pushes()].concat()));
        }
        let at = at.index(said.len());
        if let (Side::Server, bytes) = &mut said[at] {
            let within = usize::from(byte) % bytes.len();
            bytes[within] = byte;
        }
        let said: Vec<(Side, &[u8])> = said.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
        let whole = talk(&NEWS, &said, usize::MAX);
        for piece in [1, piece] {
            prop_assert_eq!(&talk(&NEWS, &said, piece), &whole);
        }
        let stream: Vec<u8> =
            said.iter().filter(|(side, _)| *side == Side::Server).flat_map(|(_, b)| b.to_vec()).collect();
        let own = whole.peer.ends_with(b"-ERR not now\r\n");
        prop_assert!(own || stream.starts_with(&whole.peer));
    }
}
