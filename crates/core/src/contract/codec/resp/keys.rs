//! Where the keys of a command are: in fixed places, counted, or by the rules of a few commands.
//!
//! What cannot be read as the command demands is refused, so that no key hides behind an option that
//! this build does not know.

use super::commands::{Keys, Positions};
use crate::contract::field::canonical_integer;
use crate::rejection::{Reason, Violation};

impl Positions {
    /// The keys in these places of a command.
    pub(super) fn of<'a>(&self, words: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let last = if self.last < 0 {
            words.len().saturating_sub(usize::from(self.last.unsigned_abs()))
        } else {
            usize::from(self.last.unsigned_abs())
        };
        let (first, step) = (usize::from(self.first), usize::from(self.step).max(1));
        let within = words.iter().take(last.saturating_add(1)).skip(first);
        within.step_by(step).copied().collect()
    }
}

/// The keys of a command; `None` for one that never has any.
pub(super) fn of<'a>(keys: Keys, words: &[&'a [u8]]) -> Result<Option<Vec<&'a [u8]>>, Violation> {
    let found = match keys {
        Keys::None => return Ok(None),
        Keys::At(positions) => positions.of(words),
        Keys::Sub(subs) => of_subcommand(subs, words)?,
        Keys::Counted { at, into } => counted(at, into, words)?,
        Keys::Streams => streams(words)?,
        Keys::Sort => sort(words)?,
        Keys::Radius => radius(words)?,
        Keys::Migrate => migrate(words)?,
    };
    Ok(Some(found))
}

/// The key behind a subcommand that has one.
fn of_subcommand<'a>(subs: &[&str], words: &[&'a [u8]]) -> Result<Vec<&'a [u8]>, Violation> {
    let sub = words.get(1).copied().unwrap_or_default();
    if subs.iter().any(|known| is(sub, known)) {
        return words.get(2).map(|key| vec![*key]).ok_or_else(|| size("the key is missing"));
    }
    Ok(Vec::new())
}

/// How many keys follow is itself an argument; some commands have a key to write to before it.
fn counted<'a>(
    at: usize,
    into: Option<usize>,
    words: &[&'a [u8]],
) -> Result<Vec<&'a [u8]>, Violation> {
    let text = words.get(at).and_then(|word| std::str::from_utf8(word).ok());
    let count = text.and_then(canonical_integer).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(|| {
        Violation::at(Reason::IntegerForm, place(at), "the number of keys is not an integer")
    })?;
    let end = at.saturating_add(1).saturating_add(count);
    let follow = words.get(at + 1..end);
    let follow = follow.ok_or_else(|| size("fewer keys follow than the command says"))?;
    let into = into.and_then(|at| words.get(at));
    Ok(into.into_iter().chain(follow).copied().collect())
}

/// `STREAMS key.. id..`, behind options.
fn streams<'a>(words: &[&'a [u8]]) -> Result<Vec<&'a [u8]>, Violation> {
    let options = [("COUNT", 1), ("BLOCK", 1), ("GROUP", 2), ("NOACK", 0), ("CLAIM", 1)];
    let at = skip(words, 1, &options, |word| is(word, "STREAMS"))?;
    let at = at.ok_or_else(|| size("the streams are missing"))?;
    let rest = words.get(at + 1..).unwrap_or_default();
    if rest.is_empty() || !rest.len().is_multiple_of(2) {
        return Err(size("each stream needs an identifier"));
    }
    Ok(rest.get(..rest.len() / 2).unwrap_or_default().to_vec())
}

/// The list, and what `STORE` writes to.
fn sort<'a>(words: &[&'a [u8]]) -> Result<Vec<&'a [u8]>, Violation> {
    let options = [("ASC", 0), ("DESC", 0), ("ALPHA", 0), ("LIMIT", 2), ("GET", 1), ("BY", 1)];
    let mut keys: Vec<&[u8]> = words.get(1).into_iter().copied().collect();
    let mut at = 2;
    while let Some(store) = skip(words, at, &options, |word| is(word, "STORE"))? {
        keys.push(words.get(store + 1).ok_or_else(|| size("`STORE` names no key"))?);
        at = store + 2;
    }
    Ok(keys)
}

/// The set, and what `STORE` and `STOREDIST` write to.
fn radius<'a>(words: &[&'a [u8]]) -> Result<Vec<&'a [u8]>, Violation> {
    let mut keys: Vec<&[u8]> = words.get(1).into_iter().copied().collect();
    for (at, word) in words.iter().enumerate().skip(5) {
        if is(word, "STORE") || is(word, "STOREDIST") {
            keys.push(words.get(at + 1).ok_or_else(|| size("`STORE` names no key"))?);
        }
    }
    Ok(keys)
}

/// One key in its place, or many behind `KEYS`.
fn migrate<'a>(words: &[&'a [u8]]) -> Result<Vec<&'a [u8]>, Violation> {
    let options = [("COPY", 0), ("REPLACE", 0), ("AUTH", 1), ("AUTH2", 2)];
    let key = words.get(3).copied().unwrap_or_default();
    match skip(words, 6, &options, |word| is(word, "KEYS"))? {
        None => Ok(vec![key]),
        Some(at) if key.is_empty() => Ok(words.get(at + 1..).unwrap_or_default().to_vec()),
        Some(_) => Err(size("`KEYS` with a key beside it")),
    }
}

/// Passes known options with their values; gives where `end` is, or nothing at the end.
fn skip(
    words: &[&[u8]],
    from: usize,
    options: &[(&str, usize)],
    end: impl Fn(&[u8]) -> bool,
) -> Result<Option<usize>, Violation> {
    let mut at = from;
    while let Some(word) = words.get(at) {
        if end(word) {
            return Ok(Some(at));
        }
        let known = options.iter().find(|(name, _)| is(word, name));
        let (_, values) = known.ok_or_else(|| {
            let sentence = "an option of the command is not known, so its keys are not";
            Violation::at(Reason::Enum, place(at), sentence)
        })?;
        at += 1 + values;
    }
    Ok(None)
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// An argument's place in the tree, where the command's name is not among them.
fn place(at: usize) -> String {
    format!("/args/{}", at.saturating_sub(1))
}

fn size(sentence: &str) -> Violation {
    Violation::new(Reason::Size, sentence)
}
