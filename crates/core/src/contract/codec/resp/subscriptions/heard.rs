//! `Heard`: what a frame of the server is to a subscriber, and how messages are declared of it.

use crate::contract::value::Value;
use std::borrow::Cow;

/// What a server's frame is, where the client may subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An answer to the oldest open request.
    Answer,
    /// It came in on something that is subscribed to, and answers nobody.
    Push,
}

impl Heard {
    /// The frame as messages are declared: a push by what it is and where it came in.
    pub(crate) fn told<'a>(self, tree: Value<'a>) -> Value<'a> {
        let Value::Map(mut members) = tree else { return tree };
        match self {
            // A confirmation in RESP3 is an answer all the same.
            Self::Answer => members.retain(|(name, _)| name != "event"),
            Self::Push => {
                let value = members.into_iter().find(|(name, _)| name == "value");
                let Some((_, Value::List(list))) = value else { return Value::Null };
                let names: &[&str] = match list.len() {
                    4 => &["event", "pattern", "channel", "payload"],
                    _ => &["event", "channel", "payload"],
                };
                let named = names.iter().zip(list).map(|(name, value)| {
                    (Cow::Borrowed(*name), if *name == "event" { text(value) } else { value })
                });
                members = named.collect();
            }
        }
        Value::Map(members)
    }
}

/// A frame of the server, as far as it matters here.
pub(super) struct Told<'t, 'a> {
    pub(super) kind: &'t str,
    pub(super) list: Option<&'t [Value<'a>]>,
}

impl<'t, 'a> Told<'t, 'a> {
    pub(super) fn of(tree: &'t Value<'a>) -> Self {
        let list = match member(tree, "value") {
            Some(Value::List(list)) => Some(list.as_slice()),
            _ => None,
        };
        Self { kind: tree.member("kind").and_then(Value::as_text).unwrap_or_default(), list }
    }
}

/// The member of a tree, with the life of what it borrows.
fn member<'t, 'a>(tree: &'t Value<'a>, name: &str) -> Option<&'t Value<'a>> {
    match tree {
        Value::Map(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
        _ => None,
    }
}

/// The name of a push, which was found among those known.
fn text(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Bytes(bytes) => Value::Text(String::from_utf8_lossy(&bytes).into_owned().into()),
        other => other,
    }
}
