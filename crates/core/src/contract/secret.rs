//! What is declared secret appears nowhere: the places, and what an operator reads instead.

use super::value::{Pointer, Value};
use super::{Contract, Direction, Side};
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;
use zeroize::Zeroize;

/// Whether a place is secret, lies in something secret, or holds something secret.
pub(crate) fn touches(secrets: &[Pointer], at: &Pointer) -> bool {
    secrets.iter().any(|secret| secret.covers(at) || at.covers(secret))
}

/// Overwrites what a tree owns of its texts; what it borrows is its frame's, and is wiped there.
pub(crate) fn wipe(tree: &mut Value<'_>) {
    match tree {
        Value::Text(Cow::Owned(text)) => text.zeroize(),
        Value::Bytes(Cow::Owned(bytes)) => bytes.zeroize(),
        Value::List(list) => list.iter_mut().for_each(wipe),
        Value::Map(members) => members.iter_mut().for_each(|(name, value)| {
            if let Cow::Owned(name) = name {
                name.zeroize();
            }
            wipe(value);
        }),
        Value::Int(number) => number.zeroize(),
        Value::Float(number) => number.zeroize(),
        _ => {}
    }
}

impl Contract {
    /// Whether what a side says may hold secrets.
    #[must_use]
    pub fn has_secrets(&self, side: Side) -> bool {
        self.direction(side).has_secrets()
    }
}

impl Direction {
    /// Whether any message of it declares a secret.
    pub(crate) fn has_secrets(&self) -> bool {
        self.messages.iter().any(|message| !message.secrets.is_empty())
    }

    /// A violation as an operator may read it: of a secret value the place and the rule alone, and
    /// of bytes that are no declared message yet nothing but what is wrong with them.
    pub(crate) fn discreet(&self, message: Option<usize>, mut violation: Violation) -> Violation {
        let Some(rule) = message.and_then(|at| self.messages.get(at)) else {
            if self.has_secrets() && !tells_no_value(violation.reason) {
                violation.sentence = plain(violation.reason);
            }
            return violation;
        };
        let at: Option<Pointer> = violation.pointer.as_deref().and_then(|at| at.parse().ok());
        let Some(at) = at else { return violation };
        let Some(secret) = rule.secrets.iter().find(|secret| secret.covers(&at)) else {
            return violation;
        };
        if *secret != at || !is_of_a_rule(violation.reason) {
            // Names below a secret are secret too.
            let secret = secret.to_string();
            violation.sentence = format!("`{secret}` is secret: {}", plain(violation.reason));
            violation.pointer = Some(secret);
        }
        violation
    }
}

/// The meaning of a reason as an operator's sentence.
fn plain(reason: Reason) -> String {
    let meaning = reason.meaning().trim_end_matches('.');
    let mut letters = meaning.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Reasons whose sentence holds sizes, or a tag, which is never secret.
fn tells_no_value(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::FrameTooLarge
            | Reason::TruncatedFrame
            | Reason::TruncatedStream
            | Reason::TruncatedAnswer
            | Reason::Undeclared
            | Reason::TagMissing
            | Reason::NoMessage
            | Reason::Unasked
            | Reason::Rate
            | Reason::ReplyTimeout
            | Reason::FirstMessageTimeout
            | Reason::MessageTimeout
            | Reason::IdleTimeout
            | Reason::SessionLifetime
    )
}

/// Reasons of field rules and schemas, which know what is secret.
fn is_of_a_rule(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Constant
            | Reason::IntegerForm
            | Reason::Range
            | Reason::Enum
            | Reason::Length
            | Reason::Regex
            | Reason::FieldMissing
            | Reason::Schema
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // Section 17
    #[test]
    fn a_secret_place_covers_what_lies_below_and_is_touched_from_above() {
        let at = |text: &str| text.parse::<Pointer>().unwrap();
        let secrets = [at("/params/pin")];
        for touched in ["/params/pin", "/params/pin/0", "/params"] {
            assert!(touches(&secrets, &at(touched)), "{touched}");
        }
        for free in ["/params/pins", "/id", "/params/to"] {
            assert!(!touches(&secrets, &at(free)), "{free}");
        }
    }

    // Section 17
    #[test]
    fn a_tree_is_wiped_where_it_owns() {
        let mut tree = Value::Map(vec![
            ("pin".into(), Value::Text("hunter2".to_owned().into())),
            ("all".into(), Value::List(vec![Value::Int(7), Value::Bytes(vec![1, 2].into())])),
        ]);
        wipe(&mut tree);
        assert_eq!(tree.member("pin"), Some(&Value::Text("".into())));
        let mut named = Value::Map(vec![("hunter2".to_owned().into(), Value::Null)]);
        wipe(&mut named);
        assert_eq!(named, Value::Map(vec![("".into(), Value::Null)]));
        let all = Value::List(vec![Value::Int(0), Value::Bytes(Vec::new().into())]);
        assert_eq!(tree.member("all"), Some(&all));
    }
}
