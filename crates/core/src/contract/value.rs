//! `Value`, `Pointer`: the one tree that all decoders give, and the way to a place in it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Whole numbers that a double holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What a frame says, whatever its encoding.
///
/// Texts and keys borrow from the frame where they stand in it as they are, so a decoded message
/// costs little more than its lists and maps. Keys of a map are unique and keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// JSON's `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed 64-bit integer.
    Int(i64),
    /// A finite number with a fraction or exponent.
    Float(f64),
    /// Unicode text.
    Text(Cow<'a, str>),
    /// Bytes that are not text.
    Bytes(Cow<'a, [u8]>),
    /// Values in order.
    List(Vec<Self>),
    /// Named values in the order they came; no name twice.
    Map(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Value<'a> {
    /// The member of a map, if this is a map that has it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.iter().find(|(key, _)| key == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The member of a map, or the element of a list.
    fn inner(&self, segment: &str) -> Option<&Self> {
        match self {
            Self::Map(_) => self.member(segment),
            Self::List(list) => list.get(index(segment)?),
            _ => None,
        }
    }

    /// What stands below, by the names on the way.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, segment| value.inner(segment))
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value this is, as an operator reads it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }

    /// The value as an operator may read it: scalars shortened and escaped, the rest by kind.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => format!("`{}`", crate::audit::shown(text.as_bytes())),
            other => other.kind().to_owned(),
        }
    }

    /// What it takes in memory, roughly: bytes of texts and keys, and 16 for each value.
    #[must_use]
    pub fn size(&self) -> usize {
        16 + match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.iter().map(Self::size).sum(),
            Self::Map(members) => members.iter().map(|(key, value)| key.len() + value.size()).sum(),
            _ => 0,
        }
    }

    /// Whether two scalars are equal and of one kind: `1` is not `"1"`.
    #[must_use]
    pub fn same_scalar(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Int(a), Value::Int(b)) => a == b,
            (Self::Text(a), Value::Text(b)) => a == b,
            (Self::Bytes(a), Value::Bytes(b)) => a == b,
            _ => false,
        }
    }

    /// Makes integers of the numbers that JSON wrote with a fraction or exponent though they have
    /// none (`1.0`, `1e3`), in all of it: for places whose schema says that they are integers.
    pub(crate) fn make_whole(&mut self) {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            Self::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => {
                *self = Self::Int(*number as i64);
            }
            Self::List(list) => list.iter_mut().for_each(Self::make_whole),
            Self::Map(members) => members.iter_mut().for_each(|(_, value)| value.make_whole()),
            _ => {}
        }
    }

    /// The same value without a borrow.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Self::List(list) => Value::List(list.into_iter().map(Value::into_owned).collect()),
            Self::Map(map) => Value::Map(
                map.into_iter()
                    .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }
}

/// A place in a tree: a JSON Pointer (RFC 6901), or in flat trees the name alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer(Vec<Box<str>>);

/// Why a text is no pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pointer: `/name/name`, or the name alone in a flat message")]
pub struct PointerError(String);

impl Pointer {
    /// The value at this place.
    #[must_use]
    pub fn get<'v, 'a>(&self, tree: &'v Value<'a>) -> Option<&'v Value<'a>> {
        self.0.iter().try_fold(tree, |value, segment| value.inner(segment))
    }

    /// Whether these are its names.
    pub(crate) fn is(&self, path: &[&str]) -> bool {
        self.segments().eq(path.iter().copied())
    }

    /// The names on the way.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|segment| &**segment)
    }

    /// The name, where the pointer leads to a member of the top level.
    #[must_use]
    pub fn top(&self) -> Option<&str> {
        match self.0.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }

    /// Whether the other place is this one or lies below it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The whole tree.
    #[must_use]
    pub fn whole() -> Self {
        Self(Vec::new())
    }

    /// The member of this name below the place.
    #[must_use]
    pub fn below(mut self, name: &str) -> Self {
        self.0.push(name.into());
        self
    }

    /// A member of the top level, by its name.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self(vec![name.into()])
    }
}

/// A list index as RFC 6901 writes it: no sign, no leading zero.
fn index(segment: &str) -> Option<usize> {
    let canonical = segment == "0" || !segment.starts_with(['0', '+']);
    canonical.then(|| segment.parse().ok()).flatten()
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || PointerError(text.to_owned());
        if let Some(path) = text.strip_prefix('/') {
            let segments = path.split('/').map(|segment| unescape(segment).ok_or_else(bad));
            return segments.collect::<Result<_, _>>().map(Self);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if !text.is_empty() && text.bytes().all(plain) { Ok(Self::name(text)) } else { Err(bad()) }
    }
}

/// Undoes `~1` and `~0`.
fn unescape(segment: &str) -> Option<Box<str>> {
    let mut text = String::with_capacity(segment.len());
    let mut rest = segment.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(text.into())
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_through_maps_and_lists() {
        let list = Value::List(vec![Value::Int(1), Value::Int(2)]);
        let tree = Value::Map(vec![("a/b".into(), list), ("n".into(), Value::Null)]);
        let at = |text: &str| text.parse::<Pointer>().unwrap().get(&tree).cloned();
        assert_eq!(at("/a~1b/1"), Some(Value::Int(2)));
        assert_eq!(at("n"), Some(Value::Null));
        assert_eq!(at("/a~1b/01"), None);
        assert_eq!(at("/n/x"), None);
    }

    #[test]
    fn a_pointer_prints_as_it_was_read() {
        for text in ["/a", "/a~1b/~0", "/params/from"] {
            assert_eq!(text.parse::<Pointer>().unwrap().to_string(), text);
        }
        for bad in ["", "a b", "/a~2", "/~"] {
            assert!(bad.parse::<Pointer>().is_err(), "{bad}");
        }
    }
}
