//! Which reply belongs to which request: by a value that it repeats, by order, or not at all.

use crate::contract::Side;
use crate::contract::value::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One message of a conversation, as pairing sees it.
pub(super) struct Turn<'t> {
    pub(super) conversation: usize,
    pub(super) side: Side,
    /// Its place among the messages of its side.
    pub(super) at: usize,
    /// Its kind among those of its side.
    pub(super) group: usize,
    pub(super) tree: &'t Value<'static>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Paired {
    pub(super) by: By,
    /// Requests that got a reply.
    pub(super) pairs: usize,
    /// Those of them that were what the client had said last.
    near: usize,
    /// Kinds of the client that expect no reply.
    pub(super) silent: BTreeSet<usize>,
    /// Kinds of the server, and the kinds of request that each answers; an empty set is a push.
    pub(super) answers: BTreeMap<usize, BTreeSet<usize>>,
    /// For a kind of the server: a message of it and the request that it answers.
    pub(super) example: BTreeMap<usize, (usize, Option<usize>)>,
    /// Most requests that were open at once.
    pub(super) open: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum By {
    Key(String),
    Order,
    #[default]
    None,
}

/// Finds the pairing of all conversations.
pub(super) fn find(turns: &[Turn<'_>], kinds: usize) -> Paired {
    let keys = candidates(turns);
    let by_key = keys.into_iter().filter_map(|key| by_key(turns, &key));
    if let Some(best) = by_key.max_by_key(|paired| paired.pairs) {
        return best;
    }
    // All expect a reply; or all but one kind, or but two. Of several ways the likeliest is the one
    // in which replies come right behind what they answer.
    let none = vec![BTreeSet::new()];
    let one = (0..kinds).map(|kind| BTreeSet::from([kind])).collect();
    let few = 0..if kinds <= 16 { kinds } else { 0 };
    let two = few.flat_map(|a| (a + 1..kinds).map(move |b| BTreeSet::from([a, b]))).collect();
    let ways: [Vec<BTreeSet<usize>>; 3] = [none, one, two];
    let by_order = ways.iter().find_map(|silent| {
        let fitting = silent.iter().filter_map(|silent| by_order(turns, silent));
        fitting.max_by_key(|paired| paired.near)
    });
    by_order.unwrap_or_else(|| {
        let mut none = Paired { silent: (0..kinds).collect(), ..Paired::default() };
        for turn in turns.iter().filter(|turn| turn.side == Side::Server) {
            none.answers.entry(turn.group).or_default();
            none.example.entry(turn.group).or_insert((turn.at, None));
        }
        none
    })
}

/// Members that a client's message and a server's have in common.
fn candidates(turns: &[Turn<'_>]) -> Vec<String> {
    let names = |side: Side| -> BTreeSet<String> {
        let first =
            turns.iter().find(|turn| turn.side == side && matches!(turn.tree, Value::Map(_)));
        match first.map(|turn| turn.tree) {
            Some(Value::Map(members)) => members.iter().map(|(name, _)| name.to_string()).collect(),
            _ => BTreeSet::new(),
        }
    };
    let server = names(Side::Server);
    names(Side::Client).into_iter().filter(|name| server.contains(name)).collect()
}

/// A key as it is looked up.
fn key(tree: &Value<'static>, name: &str) -> Option<String> {
    match tree.member(name)? {
        Value::Int(number) => Some(number.to_string()),
        Value::Text(text) if text.len() <= 64 => Some(format!("\"{text}")),
        _ => None,
    }
}

fn by_key(turns: &[Turn<'_>], name: &str) -> Option<Paired> {
    let mut paired = Paired { by: By::Key(name.to_owned()), ..Paired::default() };
    let mut open: BTreeMap<(usize, String), (usize, usize)> = BTreeMap::new();
    let mut waiting = BTreeMap::new();
    let mut values = BTreeSet::new();
    let (mut with, mut without) = (BTreeSet::new(), BTreeSet::new());
    let mut pushed = BTreeSet::new();
    for turn in turns {
        match (turn.side, key(turn.tree, name)) {
            (Side::Client, Some(key)) => {
                with.insert(turn.group);
                values.insert(key.clone());
                if open.insert((turn.conversation, key), (turn.group, turn.at)).is_some() {
                    return None;
                }
                let now = waiting.entry(turn.conversation).or_insert(0_usize);
                *now += 1;
                paired.open = paired.open.max(*now);
            }
            (Side::Client, None) => {
                without.insert(turn.group);
            }
            (Side::Server, Some(key)) => {
                let (group, at) = open.remove(&(turn.conversation, key))?;
                *waiting.entry(turn.conversation).or_insert(1) -= 1;
                paired.pairs += 1;
                paired.answers.entry(turn.group).or_default().insert(group);
                paired.example.entry(turn.group).or_insert((turn.at, Some(at)));
            }
            (Side::Server, None) => {
                pushed.insert(turn.group);
                paired.example.entry(turn.group).or_insert((turn.at, None));
            }
        }
    }
    let mixed = with.intersection(&without).next().is_some()
        || pushed.iter().any(|group| paired.answers.contains_key(group));
    if mixed || values.len() < 2 || paired.pairs == 0 {
        return None;
    }
    pushed.into_iter().for_each(|group| {
        paired.answers.entry(group).or_default();
    });
    silence(&mut paired, turns, without);
    Some(paired)
}

fn by_order(turns: &[Turn<'_>], silent: &BTreeSet<usize>) -> Option<Paired> {
    let mut paired = Paired { by: By::Order, ..Paired::default() };
    let mut open: BTreeMap<usize, VecDeque<(usize, usize)>> = BTreeMap::new();
    let mut last = None;
    let mut pushed = BTreeSet::new();
    for turn in turns {
        let waiting = open.entry(turn.conversation).or_default();
        match turn.side {
            Side::Client if silent.contains(&turn.group) => last = None,
            Side::Client => {
                last = Some(turn.at);
                waiting.push_back((turn.group, turn.at));
                paired.open = paired.open.max(waiting.len());
            }
            Side::Server => match waiting.pop_front() {
                Some((group, at)) => {
                    paired.pairs += 1;
                    paired.near += usize::from(last == Some(at));
                    paired.answers.entry(turn.group).or_default().insert(group);
                    paired.example.entry(turn.group).or_insert((turn.at, Some(at)));
                }
                None => {
                    pushed.insert(turn.group);
                    paired.example.entry(turn.group).or_insert((turn.at, None));
                }
            },
        }
    }
    let left: usize = open.values().map(VecDeque::len).sum();
    // One request of a connection may be cut off by its end.
    let many = left > open.len();
    if many || paired.pairs == 0 || pushed.iter().any(|g| paired.answers.contains_key(g)) {
        return None;
    }
    pushed.into_iter().for_each(|group| {
        paired.answers.entry(group).or_default();
    });
    silence(&mut paired, turns, silent.clone());
    Some(paired)
}

/// Kinds that nothing answered expect no reply.
fn silence(paired: &mut Paired, turns: &[Turn<'_>], mut silent: BTreeSet<usize>) {
    let answered: BTreeSet<usize> = paired.answers.values().flatten().copied().collect();
    let kinds = turns.iter().filter(|turn| turn.side == Side::Client).map(|turn| turn.group);
    silent.extend(kinds.filter(|kind| !answered.contains(kind)));
    paired.silent = silent;
}
