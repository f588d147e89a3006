//! `DecodeRule`: a frame's payload becomes a tree of values.

mod checksum;
mod columns;
mod delimited;
mod json;
mod layout;
mod number;
mod pairs;
mod words;

pub use super::codec::hl7::decode::Hl7Rule;
pub use super::codec::resp::decode::RespDecode;
pub use checksum::Checksum;
pub use columns::{Column, ColumnType, Columns, Sign};
pub use delimited::Delimited;
pub use json::{JsonRule, Numbers, write_json};
pub use layout::{Layout, StructRule, Writing};
pub use pairs::Pairs;
pub use words::Words;

use super::Side;
use super::charset::Charset;
use super::codec::modbus;
use super::value::{Pointer, Value};
use super::{Direction, MessageRule};
use crate::policy::schema::AttributeKind;
use crate::rejection::Violation;
use std::borrow::Cow;

/// How one direction reads its payloads.
#[derive(Debug, Clone, PartialEq)]
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
    /// Modbus frames of a side.
    Modbus(Side),
    /// Commands of RESP, or replies.
    Resp(RespDecode),
    /// HL7 messages of a side.
    Hl7(Hl7Rule),
    /// Binary items. The head is common to all messages; each has its own tail.
    Struct(StructRule),
    /// Fixed columns.
    Columns(Columns),
    /// A verb and its arguments.
    Words(Words),
    /// Fields between separators.
    Delimited(Delimited),
    /// Keys and their values.
    Pairs(Pairs),
}

/// What a decoder gives at a place of its trees, where it knows that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// An integer within these bounds.
    Int(i64, i64),
    /// A finite number.
    Float,
    /// True or false.
    Bool,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A list of one type.
    List(Box<Self>),
}

impl FieldType {
    /// The type that a policy sees, if it has one.
    #[must_use]
    pub fn kind(&self) -> Option<AttributeKind> {
        match self {
            Self::Int(..) => Some(AttributeKind::Long),
            Self::Bool => Some(AttributeKind::Bool),
            Self::Text => Some(AttributeKind::String),
            Self::List(of) => of.kind().map(|of| AttributeKind::Set(Box::new(of))),
            Self::Float | Self::Bytes => None,
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Int(lo, hi) => format!("{lo} to {hi}"),
            Self::Float => "a finite number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::List(of) => format!("a list, each {}", of.told()),
        }
    }

    /// The bounds of its integers.
    #[must_use]
    pub fn bounds(&self) -> Option<(i64, i64)> {
        match self {
            Self::Int(lo, hi) => Some((*lo, *hi)),
            Self::List(of) => of.bounds(),
            _ => None,
        }
    }
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
            Self::Modbus(side) => modbus::decode::read(*side, payload),
            Self::Resp(rule) => rule.read(payload, limits),
            Self::Hl7(rule) => rule.read(payload, limits.nodes),
            Self::Struct(rule) => rule.read_head(payload, limits.nodes),
            Self::Columns(rule) => rule.read(payload),
            Self::Words(rule) => rule.read(payload),
            Self::Delimited(rule) => rule.read(payload, limits.nodes),
            Self::Pairs(rule) => rule.read(payload),
        }
    }

    /// What of a payload that was refused still holds, for the values of a reply. Only columns
    /// stand each for itself.
    #[must_use]
    pub fn salvage<'a>(&self, payload: &'a [u8]) -> Option<Value<'a>> {
        match self {
            Self::Columns(rule) => rule.salvage(payload),
            _ => None,
        }
    }

    /// The bytes that are read: the payload of a frame, or all of it.
    #[must_use]
    pub fn input<'a>(&self, whole: &'a [u8], payload: &'a [u8]) -> &'a [u8] {
        if self.reads_frames() { whole } else { payload }
    }

    /// Whether it reads whole frames, so that their header and end are part of the message.
    #[must_use]
    pub fn reads_frames(&self) -> bool {
        match self {
            Self::Struct(rule) => rule.from_frame,
            Self::Columns(rule) => rule.from_frame,
            _ => false,
        }
    }

    /// The type of a place in the messages of a layout, or of none. `None` where there is no such
    /// place, or only a grammar or schema tells.
    #[must_use]
    pub fn field_type(&self, layout: Option<&Layout>, pointer: &Pointer) -> Option<FieldType> {
        let name = pointer.top()?;
        match self {
            Self::Bytes { name: own } => (**own == *name).then_some(FieldType::Bytes),
            // A codec says what its messages have, by their kind.
            Self::Text { .. } | Self::Json(_) | Self::Modbus(_) | Self::Resp(_) | Self::Hl7(_) => {
                None
            }
            Self::Struct(rule) => layout.unwrap_or(&rule.head).field_type(name),
            Self::Columns(rule) => rule.field_type(name),
            Self::Words(_) => match name {
                "verb" => Some(FieldType::Text),
                "args" => Some(FieldType::List(Box::new(FieldType::Text))),
                _ => None,
            },
            Self::Delimited(rule) if rule.names.is_empty() => {
                let index = name.bytes().all(|b| b.is_ascii_digit());
                index.then_some(FieldType::Text)
            }
            Self::Delimited(Delimited { names, .. }) | Self::Pairs(Pairs { names, .. }) => {
                names.iter().any(|known| **known == *name).then_some(FieldType::Text)
            }
        }
    }

    /// The names that every message has, whether `fields` lists them or not, and whose values vary.
    #[must_use]
    pub fn implied<'d>(&'d self, layout: Option<&'d Layout>) -> Vec<&'d str> {
        match self {
            Self::Struct(rule) => layout.unwrap_or(&rule.head).variable().collect(),
            Self::Columns(rule) => rule.variable().collect(),
            _ => Vec::new(),
        }
    }

    /// Every name that the decoder gives.
    #[must_use]
    pub fn names<'d>(&'d self, layout: Option<&'d Layout>) -> Vec<&'d str> {
        match self {
            Self::Struct(rule) => layout.unwrap_or(&rule.head).names().collect(),
            Self::Columns(rule) => rule.variable().collect(),
            Self::Words(_) => vec!["verb", "args"],
            Self::Delimited(Delimited { names, .. }) | Self::Pairs(Pairs { names, .. }) => {
                names.iter().map(|name| &**name).collect()
            }
            Self::Bytes { .. }
            | Self::Text { .. }
            | Self::Json(_)
            | Self::Modbus(_)
            | Self::Resp(_)
            | Self::Hl7(_) => Vec::new(),
        }
    }

    /// Whether it gives texts, or names that a peer chose.
    #[must_use]
    pub fn gives_text(&self) -> bool {
        !matches!(self, Self::Modbus(_))
    }

    /// Whether every place that the decoder knows is in every message.
    #[must_use]
    pub fn knows_its_fields(&self) -> bool {
        matches!(self, Self::Struct(_) | Self::Columns(_))
    }

    /// Whether integers come as text, to be written canonically.
    #[must_use]
    pub fn integers_in_text(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Words(_) | Self::Delimited(_) | Self::Pairs(_))
    }

    /// Whether a message is refused that has a member which its `fields` do not list.
    #[must_use]
    pub fn lists_its_fields(&self) -> bool {
        matches!(
            self,
            Self::Json(_)
                | Self::Text { .. }
                | Self::Words(_)
                | Self::Delimited(_)
                | Self::Pairs(_)
        )
    }

    /// The charset of its texts, where one is declared.
    #[must_use]
    pub fn charset(&self) -> Option<Charset> {
        match self {
            Self::Bytes { .. } | Self::Modbus(_) | Self::Resp(_) | Self::Hl7(_) => None,
            Self::Json(_) => Some(Charset::Utf8),
            Self::Text { charset }
            | Self::Columns(Columns { charset, .. })
            | Self::Words(Words { charset, .. })
            | Self::Delimited(Delimited { charset, .. })
            | Self::Pairs(Pairs { charset, .. }) => Some(*charset),
            Self::Struct(rule) => rule.writing.charset,
        }
    }

    /// What stands between the parts of a payload, by the key that says so.
    pub(crate) fn separators(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Words(Words { sep, .. }) | Self::Delimited(Delimited { sep, .. }) => {
                vec![("sep", sep)]
            }
            Self::Pairs(Pairs { sep, eq, .. }) => vec![("sep", sep), ("eq", eq)],
            _ => Vec::new(),
        }
    }

    /// The payload written anew from its tree, where a tree could have come in several spellings.
    /// It had `size` bytes as it came.
    #[must_use]
    pub fn respelled(&self, tree: &Value<'_>, size: usize) -> Option<Vec<u8>> {
        match self {
            Self::Columns(rule) => rule.write(tree),
            Self::Delimited(rule) => rule.write(tree),
            Self::Resp(rule) => rule.write(tree),
            Self::Json(_) => {
                let mut spelled = Vec::with_capacity(size);
                write_json(tree, &mut spelled);
                Some(spelled)
            }
            _ => None,
        }
    }
}

impl Direction {
    /// The tree of a message that was selected by what all messages begin with: where its own
    /// layout goes on, all of it is read, and its texts are judged; nothing elsewhere.
    ///
    /// # Errors
    /// What the layout, or the text rule, does not take.
    pub(crate) fn completed<'a>(
        &self,
        message: &MessageRule,
        input: &'a [u8],
        limits: &WireLimits,
    ) -> Result<Option<Value<'a>>, Violation> {
        let (DecodeRule::Struct(rule), Some(layout)) = (&self.decode, &message.layout) else {
            return Ok(None);
        };
        let tree = rule.read(layout, input, limits.nodes)?;
        self.text.check(&tree)?;
        Ok(Some(tree))
    }
}
