//! What values were seen at one place, and the rule that they suggest.
//!
//! Ranges are rounded outward to 1, 2 or 5 times a power of ten, lengths up to a power of two: a
//! record is a sample, and the next one will be a little larger.

mod rounding;
mod rule;
mod schema;

use crate::contract::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Distinct values that are remembered.
const REMEMBERED: usize = 33;
/// Most values of an `enum`, and how often each must have been seen.
const LISTED: usize = 8;
const TIMES: usize = 10;
/// Samples for a guess at a pattern.
const PATTERN: usize = 8;
/// An object with more names than this, none of them always there, is a map.
const NAMES: usize = 32;
/// The largest integer that every JSON reader reads alike.
const SAFE: i64 = (1 << 53) - 1;

/// A class as a pattern writes it, and whether a character is in it.
type Class = (&'static str, fn(char) -> bool);

/// Classes of characters, the narrowest first.
const CLASSES: [Class; 10] = [
    ("[0-9]", |c| c.is_ascii_digit()),
    ("[a-z]", |c| c.is_ascii_lowercase()),
    ("[A-Z]", |c| c.is_ascii_uppercase()),
    ("[a-z0-9]", |c| c.is_ascii_lowercase() || c.is_ascii_digit()),
    ("[A-Z0-9]", |c| c.is_ascii_uppercase() || c.is_ascii_digit()),
    ("[a-z0-9-]", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
    ("[a-z0-9_.-]", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c)),
    ("[A-Za-z0-9]", |c| c.is_ascii_alphanumeric()),
    ("[A-Za-z0-9_.-]", |c| c.is_ascii_alphanumeric() || "_.-".contains(c)),
    ("[A-Za-z0-9_.:/@+-]", |c| c.is_ascii_alphanumeric() || "_.:/@+-".contains(c)),
];

/// Parts of names whose values are nobody's business (P10).
pub(super) const SECRETS: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "passphrase",
    "api_key",
    "apikey",
    "credential",
    "authorization",
];

/// Whether a name says that its value is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    name == "pin" || SECRETS.iter().any(|secret| name.contains(secret))
}

/// Whether the first word of a line says that what follows is a secret.
pub(super) fn opens_secret(word: &str) -> bool {
    is_secret(word)
        || ["pass", "pwd", "auth"].iter().any(|secret| word.eq_ignore_ascii_case(secret))
}

/// All values at one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub(super) samples: usize,
    nulls: usize,
    bools: BTreeSet<bool>,
    ints: usize,
    int_range: Option<(i64, i64)>,
    int_values: BTreeSet<i64>,
    floats: Option<(f64, f64)>,
    texts: usize,
    lengths: Option<(usize, usize)>,
    values: BTreeSet<String>,
    /// One bit for each class that some character is not in.
    outside: u16,
    bytes: Option<(usize, usize)>,
    lists: usize,
    elements: usize,
    each: Option<Box<Self>>,
    maps: usize,
    members: BTreeMap<String, Self>,
    order: Vec<String>,
}

impl Shape {
    /// The shape of some values.
    pub(super) fn of<'v>(values: impl IntoIterator<Item = &'v Value<'static>>) -> Self {
        let mut shape = Self::default();
        values.into_iter().for_each(|value| shape.add(value));
        shape
    }

    fn add(&mut self, value: &Value<'_>) {
        self.samples += 1;
        match value {
            Value::Null => self.nulls += 1,
            Value::Bool(flag) => {
                self.bools.insert(*flag);
            }
            Value::Int(number) => {
                self.ints += 1;
                widen(&mut self.int_range, *number);
                if self.int_values.len() < REMEMBERED {
                    self.int_values.insert(*number);
                }
            }
            Value::Float(number) => {
                let (lo, hi) = self.floats.unwrap_or((*number, *number));
                self.floats = Some((lo.min(*number), hi.max(*number)));
            }
            Value::Text(text) => self.text(text),
            Value::Bytes(bytes) => widen(&mut self.bytes, bytes.len()),
            Value::List(list) => {
                self.lists += 1;
                self.elements = self.elements.max(list.len());
                let each = self.each.get_or_insert_default();
                list.iter().for_each(|element| each.add(element));
            }
            Value::Map(members) => {
                self.maps += 1;
                for (name, member) in members {
                    if !self.members.contains_key(&**name) {
                        self.order.push(name.to_string());
                    }
                    self.members.entry(name.to_string()).or_default().add(member);
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.texts += 1;
        widen(&mut self.lengths, text.chars().count());
        if self.values.len() < REMEMBERED {
            self.values.insert(text.to_owned());
        }
        for (bit, (_, is_in)) in CLASSES.iter().enumerate() {
            if !text.chars().all(is_in) {
                self.outside |= 1 << bit;
            }
        }
    }

    /// Names of members in the order in which they were first seen, with their shapes.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.members.get(name)?)))
    }

    /// Whether every one of these objects had a member of this name.
    pub(super) fn always_has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|member| member.samples == self.maps)
    }

    /// The kinds of value that were seen.
    fn kinds(&self) -> Vec<&'static str> {
        let seen = [
            ("null", self.nulls > 0),
            ("boolean", !self.bools.is_empty()),
            ("integer", self.ints > 0 && self.floats.is_none()),
            ("number", self.floats.is_some()),
            ("string", self.texts > 0),
            ("array", self.lists > 0),
            ("object", self.maps > 0),
        ];
        seen.into_iter().filter(|(_, seen)| *seen).map(|(kind, _)| kind).collect()
    }

    /// Whether the short form can describe these objects.
    pub(super) fn is_flat(&self) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        self.maps == self.samples
            && self.maps > 0
            && self.members.iter().all(|(name, member)| {
                !name.is_empty() && name.bytes().all(plain) && member.is_scalar_or_list()
            })
    }

    fn is_scalar_or_list(&self) -> bool {
        match self.kinds().as_slice() {
            ["boolean" | "integer" | "string"] => true,
            ["array"] => self.each.as_ref().is_some_and(|each| {
                each.samples == 0 || matches!(each.kinds().as_slice(), ["integer" | "string"])
            }),
            _ => false,
        }
    }

    /// The integers that were seen, at most 33 of them.
    pub(super) fn int_values(&self) -> &BTreeSet<i64> {
        &self.int_values
    }

    /// What the elements of lists were.
    pub(super) fn each(&self) -> Option<&Self> {
        self.each.as_deref()
    }

    /// Adds what was seen elsewhere.
    fn absorb(&mut self, other: &Self) {
        self.samples += other.samples;
        self.nulls += other.nulls;
        self.bools.extend(&other.bools);
        self.ints += other.ints;
        if let Some((lo, hi)) = other.int_range {
            widen(&mut self.int_range, lo);
            widen(&mut self.int_range, hi);
        }
        self.int_values.extend(&other.int_values);
        if let Some((lo, hi)) = other.floats {
            let (a, b) = self.floats.unwrap_or((lo, hi));
            self.floats = Some((a.min(lo), b.max(hi)));
        }
        self.texts += other.texts;
        if let Some((lo, hi)) = other.lengths {
            widen(&mut self.lengths, lo);
            widen(&mut self.lengths, hi);
        }
        self.values.extend(other.values.iter().cloned());
        self.outside |= other.outside;
        self.lists += other.lists;
        self.elements = self.elements.max(other.elements);
        if let Some(each) = &other.each {
            self.each.get_or_insert_default().absorb(each);
        }
        self.maps += other.maps;
        for (name, member) in other.members() {
            if !self.members.contains_key(name) {
                self.order.push(name.to_owned());
            }
            self.members.entry(name.to_owned()).or_default().absorb(member);
        }
    }
}

fn widen<T: Ord + Copy>(range: &mut Option<(T, T)>, value: T) {
    let (lo, hi) = range.unwrap_or((value, value));
    *range = Some((lo.min(value), hi.max(value)));
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
