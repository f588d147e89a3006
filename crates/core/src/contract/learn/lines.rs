//! Grammars of text, guessed word by word.
//!
//! A line is cut at single spaces. Where the first words are few they name the messages; the rest
//! of a line is read in parts where all lines of its kind have as many, and as one text otherwise.

use super::Manner;
use super::grouping::{Group, named};
use super::shape::{Shape, opens_secret};
use crate::contract::field::canonical_integer;
use crate::contract::value::Value;
use std::collections::BTreeMap;

/// Most first words that name messages.
const WORDS: usize = 24;
/// Most parts of a line that are read one by one.
const PARTS: usize = 8;

/// A kind of line and what is written in the contract for it.
pub(super) struct Lines {
    pub(super) group: Group,
    pub(super) grammar: String,
    /// Field, rule, and what the rule rests on.
    pub(super) fields: Vec<(String, Vec<String>, String)>,
}

/// The kinds of line of one direction.
pub(super) fn lines(
    texts: &[Value<'static>],
    ascii: bool,
    default: &str,
    manner: Manner,
) -> Vec<Lines> {
    let texts: Vec<&str> = texts.iter().map(|text| text.as_text().unwrap_or_default()).collect();
    if manner.coarse {
        let group = Group {
            name: default.to_owned(),
            members: (0..texts.len()).collect(),
            ..Group::default()
        };
        return vec![whole(group, &texts, "", ascii, false)];
    }
    let mut kinds: BTreeMap<(u8, String), Vec<usize>> = BTreeMap::new();
    let worded = has_words(&texts);
    for (at, text) in texts.iter().enumerate() {
        let first = text.split(' ').next().unwrap_or_default();
        let kind = if worded && is_word(first) {
            (1, first.to_owned())
        } else if canonical_integer(text).is_some() {
            (0, "number".to_owned())
        } else {
            (2, default.to_owned())
        };
        kinds.entry(kind).or_default().push(at);
    }
    let numbers = kinds.keys().any(|(kind, _)| *kind == 0);
    let kinds: Vec<((u8, String), Vec<usize>)> = kinds.into_iter().collect();
    let groups = kinds.iter().map(|((_, name), members)| Group {
        name: name.clone(),
        members: members.clone(),
        ..Group::default()
    });
    let groups = named(groups.collect());
    let line = |(group, ((kind, word), _)): (Group, &((u8, String), Vec<usize>))| {
        let own: Vec<&str> =
            group.members.iter().filter_map(|at| texts.get(*at).copied()).collect();
        match kind {
            0 => parts(group, &own, ""),
            1 => parts_or_rest(group, &own, word, ascii),
            _ => whole(group, &own, "", ascii, numbers),
        }
    };
    groups.into_iter().zip(&kinds).map(line).collect()
}

/// Whether the first words are few enough to be names of messages, and every line begins so or
/// is a number.
fn has_words(texts: &[&str]) -> bool {
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts.iter().filter(|text| canonical_integer(text).is_none()) {
        let first = text.split(' ').next().unwrap_or_default();
        if !is_word(first) {
            return false;
        }
        *words.entry(first).or_default() += 1;
    }
    let lines: usize = words.values().sum();
    !words.is_empty() && words.len() <= WORDS && (lines >= 2 * words.len() || words.len() == 1)
}

fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic())
}

fn parts_or_rest(group: Group, texts: &[&str], word: &str, ascii: bool) -> Lines {
    let rests: Vec<Option<&str>> =
        texts.iter().map(|text| text.strip_prefix(word)?.strip_prefix(' ')).collect();
    if rests.iter().all(Option::is_none) {
        return Lines { group, grammar: word.to_owned(), fields: Vec::new() };
    }
    let rests: Option<Vec<&str>> = rests.into_iter().collect();
    match rests {
        // Of a secret no value stands in a rule, only how long it may be.
        Some(rests) if even(&rests) && !opens_secret(word) => {
            parts(group, &rests, &format!("{word} "))
        }
        Some(rests) => whole(group, &rests, &format!("{word} "), ascii, false),
        // Alone and with a rest: the blank belongs to the rest.
        None => {
            let rests: Vec<&str> =
                texts.iter().map(|text| text.strip_prefix(word).unwrap_or_default()).collect();
            whole(group, &rests, word, ascii, false)
        }
    }
}

/// Whether all have as many words, none of them empty, each of a class that holds no blank.
fn even(texts: &[&str]) -> bool {
    let count = texts.first().map_or(0, |text| text.split(' ').count());
    let even = texts.iter().all(|text| text.split(' ').count() == count);
    let full = texts.iter().all(|text| text.split(' ').all(|part| !part.is_empty()));
    let classed = (0..count).all(|at| {
        let shape = column(texts, at);
        shape.is_integers() || shape.texts.pattern().is_some()
    });
    even && full && classed && (1..=PARTS).contains(&count)
}

struct Column {
    texts: Shape,
    ints: Option<Shape>,
}

impl Column {
    fn is_integers(&self) -> bool {
        self.ints.is_some()
    }
}

fn column(texts: &[&str], at: usize) -> Column {
    let parts: Vec<&str> =
        texts.iter().map(|text| text.split(' ').nth(at).unwrap_or_default()).collect();
    let ints: Option<Vec<Value<'static>>> =
        parts.iter().map(|part| canonical_integer(part).map(Value::Int)).collect();
    let values: Vec<Value<'static>> =
        parts.iter().map(|part| Value::Text((*part).to_owned().into())).collect();
    Column { texts: Shape::of(&values), ints: ints.map(|ints| Shape::of(&ints)) }
}

/// Words one by one.
fn parts(group: Group, texts: &[&str], prefix: &str) -> Lines {
    let count = texts.first().map_or(0, |text| text.split(' ').count());
    let mut grammar = prefix.to_owned();
    let mut fields = Vec::new();
    for at in 0..count {
        let column = column(texts, at);
        let name = format!("{}{}", if column.is_integers() { "n" } else { "w" }, at + 1);
        if at > 0 {
            grammar.push(' ');
        }
        match &column.ints {
            Some(ints) => {
                let (lo, hi) = ints.rounded_ints();
                let digits = lo.unsigned_abs().max(hi.unsigned_abs()).to_string().len();
                let sign = if lo < 0 { "-?" } else { "" };
                let many = if digits == 1 { String::new() } else { format!("{{1,{digits}}}") };
                grammar.push_str(&format!("(?P<{name}>{sign}[0-9]{many})"));
                let (_, words) = ints.rule("", false);
                fields.push((name, vec![format!("int = [{lo}, {hi}]")], words));
            }
            None => {
                let pattern = column.texts.pattern().unwrap_or_default();
                grammar.push_str(&format!("(?P<{name}>{pattern})"));
                let (rule, words) = column.texts.rule("", false);
                fields.push((name, rule, words));
            }
        }
    }
    Lines { group, grammar, fields }
}

/// A line as one text; `not_a_number` keeps it apart from lines that are numbers.
fn whole(group: Group, texts: &[&str], prefix: &str, ascii: bool, not_a_number: bool) -> Lines {
    let values: Vec<Value<'static>> =
        texts.iter().map(|text| Value::Text((*text).to_owned().into())).collect();
    let shape = Shape::of(&values);
    let (lo, hi) = shape.rounded_lengths();
    // Printable: controls are denied by the text rules too, and a grammar says so itself.
    let class = if ascii { "[ -~]" } else { "[^\\x00-\\x1f\\x7f]" };
    let digits_first =
        texts.iter().any(|text| text.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
    // How long it may be is for the field: a counted class of Unicode is a large program.
    let grammar = if not_a_number && lo > 0 && !digits_first {
        let first = if ascii { "[ -,./:-~]" } else { "[^\\x00-\\x1f\\x7f0-9-]" };
        format!("{prefix}(?P<text>{first}{class}*)")
    } else {
        format!("{prefix}(?P<text>{class}{})", if lo > 0 { "+" } else { "*" })
    };
    let words = format!("{} samples; read as one text", shape.samples);
    Lines {
        group,
        grammar,
        fields: vec![("text".to_owned(), vec![format!("len = [{lo}, {hi}]")], words)],
    }
}
