//! `DecodeRule`: a frame's payload becomes a tree of values.

mod json;
mod number;

pub use json::{JsonRule, Numbers, write_json};

use super::charset::Charset;
use super::value::Value;
use crate::rejection::Violation;
use std::borrow::Cow;

/// How one direction reads its payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeRule {
    /// One member that holds all bytes.
    Bytes {
        /// The member's name.
        name: Box<str>,
    },
    /// Text, which the grammars of the messages then take apart.
    Text {
        /// The declared charset.
        charset: Charset,
    },
    /// One JSON value, read strictly.
    Json(JsonRule),
}

/// The sizes that a decoder holds to (`contracts.md` section 16.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLimits {
    /// A frame on the wire, in bytes.
    pub message: usize,
    /// Lists and objects inside each other.
    pub depth: usize,
    /// Values and keys together.
    pub nodes: usize,
    /// A text, in bytes of UTF-8.
    pub string: usize,
    /// A key, in bytes of UTF-8.
    pub key: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self { message: 64 << 10, depth: 16, nodes: 10_000, string: 64 << 10, key: 256 }
    }
}

impl DecodeRule {
    /// The tree that a payload holds; a plain text is one value.
    ///
    /// # Errors
    /// The first rule of the decoder that the payload breaks.
    pub fn read<'a>(&self, payload: &'a [u8], limits: &WireLimits) -> Result<Value<'a>, Violation> {
        match self {
            Self::Bytes { name } => {
                let data = Value::Bytes(Cow::Borrowed(payload));
                Ok(Value::Map(vec![(Cow::Owned(name.to_string()), data)]))
            }
            Self::Text { charset } => charset.decode(payload).map(Value::Text),
            Self::Json(rule) => rule.read(payload, limits),
        }
    }
}
