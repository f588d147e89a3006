//! Which messages are of one kind: by a tag, or by the members that they have.

use super::Manner;
use crate::contract::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Names by which protocols call what a message is.
const USUAL: [&str; 14] = [
    "op",
    "cmd",
    "command",
    "method",
    "type",
    "action",
    "kind",
    "verb",
    "event",
    "msg",
    "message",
    "request",
    "operation",
    "t",
];
/// Most values of a tag, and most groups without one.
const TAGS: usize = 64;
const GROUPS: usize = 8;
/// Most sets of members that are compared with each other on the way to groups.
const SETS: usize = 256;

/// The kinds of message of one direction.
pub(super) struct Groups {
    /// The member that tells them apart.
    pub(super) tag: Option<Tag>,
    pub(super) groups: Vec<Group>,
}

pub(super) struct Tag {
    pub(super) name: String,
    /// Why it is believed to be one.
    pub(super) evidence: String,
}

/// Messages of one kind.
#[derive(Debug, Default, Clone)]
pub(super) struct Group {
    pub(super) name: String,
    /// The value of the tag.
    pub(super) matches: Option<String>,
    pub(super) has: BTreeSet<String>,
    pub(super) lacks: BTreeSet<String>,
    /// Which messages of the direction, by their places.
    pub(super) members: Vec<usize>,
}

impl Groups {
    /// Groups the trees of a direction. `default` names the kind where there is one only.
    pub(super) fn of(trees: &[Value<'static>], default: &str, manner: Manner) -> Self {
        if let Some(tag) = tag(trees) {
            let mut by_value: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (at, tree) in trees.iter().enumerate() {
                let value = tree.member(&tag.name).and_then(Value::as_text).unwrap_or_default();
                by_value.entry(value).or_default().push(at);
            }
            let group = |(value, members): (&str, Vec<usize>)| Group {
                name: value.to_owned(),
                matches: Some(value.to_owned()),
                members,
                ..Group::default()
            };
            let groups = by_value.into_iter().map(group).collect();
            return Self { tag: Some(tag), groups: named(groups) };
        }
        let all = || Group {
            name: default.to_owned(),
            members: (0..trees.len()).collect(),
            ..Group::default()
        };
        let groups = if manner.coarse { None } else { by_members(trees, default) };
        Self { tag: None, groups: named(groups.unwrap_or_else(|| vec![all()])) }
    }
}

/// The member that best tells kinds apart: always there, of few texts, and messages of one of
/// them are more alike than all are.
fn tag(trees: &[Value<'static>]) -> Option<Tag> {
    let Value::Map(first) = trees.first()? else { return None };
    let alike = |at: &mut dyn Iterator<Item = &Value<'static>>| {
        at.map(signature).collect::<BTreeSet<_>>().len()
    };
    let all = alike(&mut trees.iter());
    let mut best: Option<(usize, bool, Tag)> = None;
    for (name, _) in first {
        let mut by_value: BTreeMap<&str, Vec<&Value<'static>>> = BTreeMap::new();
        let always = trees.iter().all(|tree| match tree.member(name).and_then(Value::as_text) {
            Some(text) if (1..=64).contains(&text.len()) => {
                by_value.entry(text).or_default().push(tree);
                by_value.len() <= TAGS
            }
            _ => false,
        });
        if !always || by_value.len() * 2 > trees.len() {
            continue;
        }
        let most = by_value.values().map(|of| alike(&mut of.iter().copied())).max().unwrap_or(all);
        let usual = USUAL.contains(&&**name);
        if most >= all && !usual {
            continue;
        }
        let gain = all - most.min(all);
        if best.as_ref().is_none_or(|(known, of, _)| (gain, usual) > (*known, *of)) {
            let (values, count) = (by_value.len(), trees.len());
            let evidence = format!(
                "in all of {count} messages, {values} values; shapes in all {all}, of one value at most {most}"
            );
            best = Some((gain, usual, Tag { name: name.to_string(), evidence }));
        }
    }
    best.map(|(_, _, tag)| tag)
}

/// Names and kinds of the members of a message.
fn signature(tree: &Value<'static>) -> Vec<(String, &'static str)> {
    let Value::Map(members) = tree else { return vec![(String::new(), tree.kind())] };
    let mut all: Vec<_> =
        members.iter().map(|(name, value)| (name.to_string(), value.kind())).collect();
    all.sort();
    all
}

/// Members that all of a group have, and that any has.
struct Names {
    members: Vec<usize>,
    all: BTreeSet<String>,
    any: BTreeSet<String>,
}

/// Groups of which each has a member that the other lacks; what cannot be told apart is one. None
/// where there are too many.
fn by_members(trees: &[Value<'static>], default: &str) -> Option<Vec<Group>> {
    let mut by_names: BTreeMap<BTreeSet<String>, Vec<usize>> = BTreeMap::new();
    for (at, tree) in trees.iter().enumerate() {
        let names = match tree {
            Value::Map(members) => members.iter().map(|(name, _)| name.to_string()).collect(),
            _ => BTreeSet::new(),
        };
        by_names.entry(names).or_default().push(at);
    }
    let mut sets: Vec<Names> = Vec::new();
    for (names, members) in by_names {
        sets.push(Names { members, all: names.clone(), any: names });
        // What the new one cannot be told from goes into it.
        while let Some(last) = sets.len().checked_sub(1)
            && let Some(new) = sets.get(last)
            && let Some(at) = sets.iter().take(last).position(|one| !differ(one, new))
        {
            let one = sets.swap_remove(at);
            // The new one stands where the other was.
            if let Some(new) = sets.get_mut(at) {
                new.members.extend(one.members);
                new.all = new.all.intersection(&one.all).cloned().collect();
                new.any.extend(one.any);
            }
            let new = sets.remove(at);
            sets.push(new);
        }
        if sets.len() > SETS {
            return None;
        }
    }
    (sets.len() <= GROUPS).then(|| groups_of(&sets, default))
}

fn groups_of(sets: &[Names], default: &str) -> Vec<Group> {
    let mut groups: Vec<Group> =
        sets.iter().map(|set| Group { members: set.members.clone(), ..Group::default() }).collect();
    for (a, one) in sets.iter().enumerate() {
        for (b, other) in sets.iter().enumerate().filter(|(b, _)| *b != a) {
            if let Some(name) = one.all.iter().find(|name| !other.any.contains(*name)) {
                if let Some(group) = groups.get_mut(a) {
                    group.has.insert(name.clone());
                }
                if let Some(group) = groups.get_mut(b) {
                    group.lacks.insert(name.clone());
                }
            }
        }
    }
    for group in &mut groups {
        let own = group.has.iter().next().cloned();
        group.name = own.unwrap_or_else(|| default.to_owned());
    }
    groups
}

/// Whether one always has what the other never has.
fn differ(a: &Names, b: &Names) -> bool {
    a.all.iter().any(|name| !b.any.contains(name)) || b.all.iter().any(|name| !a.any.contains(name))
}

/// Groups with names as messages may have them, no name twice.
pub(super) fn named(mut groups: Vec<Group>) -> Vec<Group> {
    let mut taken = BTreeSet::new();
    for group in &mut groups {
        let plain = word(&group.name);
        let mut name = plain.clone();
        let mut number = 1;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{plain}-{number}");
        }
        group.name = name;
    }
    groups
}

/// A text as a message's name.
pub(super) fn word(text: &str) -> String {
    let mut word = String::new();
    for c in text.chars().take(48) {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '_') => word.push(c),
            _ if word.ends_with('-') || word.is_empty() => {}
            _ => word.push('-'),
        }
    }
    let word = word.trim_end_matches('-');
    if word.starts_with(|c: char| c.is_ascii_lowercase()) {
        word.to_owned()
    } else {
        format!("m{word}")
    }
}
