//! `Envelope`: what stands around params, result and error in every message.
//!
//! It is judged before a message is chosen, so that what is chosen is a request, a notification or
//! an answer, and one of these only.

use super::is_method;
use crate::audit::shown;
use crate::contract::codec::mismatch;
use crate::contract::field::unknown_field;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};

/// Longest `message` of an error, in bytes.
const MESSAGE: usize = 1024;
/// Largest id without its sign (RFC 7493).
pub(crate) const SAFE: i64 = (1 << 53) - 1;
/// Longest id that is a text, in bytes.
pub(crate) const ID: usize = 64;

/// What a contract chooses of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// What an id is.
    pub(crate) ids: Ids,
    /// Whether an error may have `data`: it is where stack traces travel.
    pub(crate) error_data: bool,
}

/// What an id is; never null, and never a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// An integer within ±(2^53−1).
    Integer,
    /// 1 to 64 of letters, digits and `_ . : -`.
    Text,
    /// One of both.
    Any,
}

impl Ids {
    /// The words in a contract.
    pub(crate) const NAMES: [(&'static str, Self); 3] =
        [("integer", Self::Integer), ("string", Self::Text), ("any", Self::Any)];

    /// Whether a value is an id.
    pub(crate) fn holds(self, value: &Value<'_>) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
        match value {
            Value::Int(id) => self != Self::Text && (-SAFE..=SAFE).contains(id),
            Value::Text(id) => {
                self != Self::Integer && (1..=ID).contains(&id.len()) && id.bytes().all(plain)
            }
            _ => false,
        }
    }
}

impl Envelope {
    /// What a member holds that no rule of a contract describes, for people.
    pub(crate) fn told(&self, member: &str) -> Option<String> {
        let number = format!("an integer within ±{SAFE}");
        let text = format!("1 to {ID} of letters, digits and `_ . : -`");
        match (member, self.ids) {
            ("jsonrpc", _) => Some("always `2.0`".to_owned()),
            ("id", Ids::Integer) => Some(number),
            ("id", Ids::Text) => Some(text),
            ("id", Ids::Any) => Some(format!("{number}, or {text}")),
            ("error", _) => {
                let data = if self.error_data {
                    "`data` may be any value, **not inspected**"
                } else {
                    "`data` is refused"
                };
                Some(format!(
                    "`code`, any integer, and `message`, any text of up to {MESSAGE} bytes; {data}"
                ))
            }
            _ => None,
        }
    }

    /// Whether a tree is one request, notification or answer.
    ///
    /// # Errors
    /// `schema` and `field_unknown` for its members, `pair_key` for its id, `undeclared` for its
    /// method, `reply_mismatch` for an answer that is not exactly one of result and error.
    pub(crate) fn check(&self, tree: &Value<'_>) -> Result<(), Violation> {
        let version = tree.member("jsonrpc");
        if version.and_then(Value::as_text) != Some("2.0") {
            let is = version.map_or_else(|| "missing".to_owned(), Value::shown);
            let sentence = format!("`jsonrpc` is {is}, not `2.0`");
            return Err(Violation::at(Reason::Schema, "/jsonrpc", sentence));
        }
        let method = tree.member("method");
        let members: &[&str] = match method {
            Some(_) => &["jsonrpc", "id", "method", "params"],
            None => &["jsonrpc", "id", "result", "error"],
        };
        if let Value::Map(all) = tree
            && let Some((name, _)) = all.iter().find(|(name, _)| !members.contains(&&**name))
        {
            return Err(unknown_field(name));
        }
        let id = tree.member("id");
        if let Some(id) = id.filter(|id| !self.ids.holds(id)) {
            let sentence = format!("the id is {}, which cannot pair", id.shown());
            return Err(Violation::at(Reason::PairKey, "/id", sentence));
        }
        match method {
            Some(method) if method.as_text().is_some_and(is_method) => Ok(()),
            Some(method) => {
                let sentence = format!("{} is not the name of a method", method.shown());
                Err(Violation::at(Reason::Undeclared, "/method", sentence))
            }
            None => self.answer(tree, id.is_some()),
        }
    }

    fn answer(&self, tree: &Value<'_>, has_id: bool) -> Result<(), Violation> {
        let error = match (tree.member("result"), tree.member("error")) {
            (Some(_), None) => None,
            (None, Some(error)) => Some(error),
            (Some(_), Some(_)) => return Err(mismatch("the answer is a result and an error")),
            (None, None) => {
                let sentence = "the message is neither a request nor an answer";
                return Err(Violation::at(Reason::TagMissing, "/method", sentence));
            }
        };
        if !has_id {
            let sentence = "the answer has no id, so it answers nothing";
            return Err(Violation::at(Reason::PairKey, "/id", sentence));
        }
        error.map_or(Ok(()), |error| self.error(error))
    }

    fn error(&self, error: &Value<'_>) -> Result<(), Violation> {
        let fault = |sentence: String| Err(mismatch(sentence));
        let Value::Map(members) = error else {
            return fault(format!("the error is {}, not an object", error.kind()));
        };
        let known =
            |name: &str| matches!(name, "code" | "message") || (name == "data" && self.error_data);
        if let Some((name, _)) = members.iter().find(|(name, _)| !known(name)) {
            return fault(format!("the error has `{}`", shown(name.as_bytes())));
        }
        if !matches!(error.member("code"), Some(Value::Int(_))) {
            return fault("the error has no code that is an integer".to_owned());
        }
        match error.member("message").and_then(Value::as_text) {
            None => fault("the error has no message that is a text".to_owned()),
            Some(text) if text.len() > MESSAGE => {
                let size = text.len();
                fault(format!("the error's message has {size} bytes, over {MESSAGE}"))
            }
            Some(_) => Ok(()),
        }
    }
}
