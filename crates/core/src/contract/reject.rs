//! `Reject`: what a peer is told, and what happens next, for each class of fault.

pub use super::codec::hl7::ack::Verdict as AckVerdict;

use super::decode::{DecodeRule, Delimited, Pairs, Words, write_json};
use super::field::FieldRule;
use super::pattern::RuleError;
use super::value::{Pointer, Value};
use std::time::Duration;

/// The answer to one class of faults (`contracts.md` section 18).
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// What the peer is told: a payload, which the server direction frames.
    pub reply: Option<Reply>,
    /// What happens next.
    pub then: Then,
    /// So many refusals of this class may pass; the next one closes.
    pub max: u32,
    /// So long the reply waits, at most 5 s; the peer is not read meanwhile. Default 0.
    pub delay: Duration,
    /// Whether the event is an alarm.
    pub alert: bool,
}

impl Reject {
    /// The bare closing that every class has by default.
    pub(crate) const CLOSE: Self =
        Self { reply: None, then: Then::Close, max: 10, delay: Duration::ZERO, alert: false };
    /// The same for `server`: a service that breaks its contract is an alarm.
    pub(crate) const SERVER: Self = Self { alert: true, ..Self::CLOSE };
}

/// What happens after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next frame is read.
    Continue,
    /// The next frame is read, and nothing is said.
    Drop,
    /// Answers already due are delivered, then the connection ends in an orderly way.
    Close,
    /// The connection is reset at once.
    Reset,
}

impl Then {
    /// The word in a contract.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("continue", Self::Continue),
        ("drop", Self::Drop),
        ("close", Self::Close),
        ("reset", Self::Reset),
    ];
}

/// What the peer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A text of the contract's own.
    Template(ReplyTemplate),
    /// A refusal in the form of the contract's codec.
    Codec(Form),
}

/// A refusal in the protocol's own form, as `[reject]` asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `exception:N` of `modbus`.
    Exception(u8),
    /// `error:TEXT` of `resp`.
    Error(Box<str>),
    /// `error:CODE` of `json-rpc`; `error` is the code of what was wrong.
    Code(Option<i32>),
    /// `ack:AR` or `ack:AE` of `hl7`.
    Ack(AckVerdict),
}

/// Fixed text with placeholders of `[reject.values]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Fixed(Vec<u8>),
    Value(String),
}

/// A value of the refused message that may be given back, and what stands in for it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplyValue {
    /// Where it stands in the message.
    pub at: Pointer,
    /// What it must hold to be given back.
    pub rule: FieldRule,
    /// What is written in every other case.
    pub or: String,
}

impl ReplyTemplate {
    /// Parses a reply: text, `hex:` bytes, `${name}`.
    ///
    /// # Errors
    /// K-74 for a placeholder without its entry in `[reject.values]`.
    pub fn parse(text: &str, values: &[(String, ReplyValue)]) -> Result<Self, RuleError> {
        if text.starts_with("hex:") {
            let bytes = super::units::bytes(text).map_err(|e| RuleError::new("K-74", e))?;
            return Ok(Self(vec![Part::Fixed(bytes)]));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((fixed, after)) = rest.split_once("${") {
            parts.push(Part::Fixed(fixed.as_bytes().to_vec()));
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| RuleError::new("K-74", "a placeholder `${` is not closed"))?;
            if !values.iter().any(|(known, _)| known == name) {
                let message = format!("placeholder `${{{name}}}` is not in `[reject.values]`");
                return Err(RuleError::new("K-74", message));
            }
            parts.push(Part::Value(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Fixed(rest.as_bytes().to_vec()));
        Ok(Self(parts))
    }

    /// The reply as a reader of the contract sees it, with `${name}` where a value is repeated.
    #[must_use]
    pub fn shown(&self) -> String {
        let part = |part: &Part| match part {
            Part::Fixed(bytes) => crate::audit::shown(bytes),
            Part::Value(name) => format!("${{{name}}}"),
        };
        self.0.iter().map(part).collect()
    }

    /// The payload for one refused message: nothing of the peer's is in it but values that hold
    /// their rule, in the spelling of the server direction's decoder.
    #[must_use]
    pub fn render(
        &self,
        tree: Option<&Value<'_>>,
        values: &[(String, ReplyValue)],
        decode: &DecodeRule,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Fixed(bytes) => out.extend_from_slice(bytes),
                Part::Value(name) => {
                    let value = values.iter().find(|(known, _)| known == name).map(|(_, v)| v);
                    if let Some(value) = value {
                        value.write(name, tree, decode, &mut out);
                    }
                }
            }
        }
        out
    }
}

impl ReplyValue {
    fn write(&self, name: &str, tree: Option<&Value<'_>>, decode: &DecodeRule, out: &mut Vec<u8>) {
        let found = tree.and_then(|tree| self.at.get(tree)).cloned();
        let fits = found.and_then(|mut value| {
            let from_text = decode.integers_in_text();
            self.rule.check("", &mut value, from_text).ok().map(|()| value)
        });
        let written = fits.and_then(|value| spelled(name, &value, decode));
        out.extend_from_slice(written.as_deref().unwrap_or(self.or.as_bytes()));
    }
}

/// A value as the server direction would write it. Of columns it is the one that has the name of
/// the placeholder, in its full width.
fn spelled(name: &str, value: &Value<'_>, decode: &DecodeRule) -> Option<Vec<u8>> {
    match (decode, value) {
        (DecodeRule::Columns(columns), value) => columns.spelled(name, value),
        (DecodeRule::Json(_), value) => {
            let mut out = Vec::new();
            write_json(value, &mut out);
            Some(out)
        }
        (_, Value::Int(number)) => Some(number.to_string().into_bytes()),
        (
            DecodeRule::Text { charset }
            | DecodeRule::Words(Words { charset, .. })
            | DecodeRule::Delimited(Delimited { charset, .. })
            | DecodeRule::Pairs(Pairs { charset, .. }),
            Value::Text(text),
        ) => charset.encode(text).map(|bytes| bytes.into_owned()),
        (DecodeRule::Bytes { .. }, Value::Bytes(bytes)) => Some(bytes.clone().into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::decode::{JsonRule, Numbers};

    // TRAP-26
    #[test]
    fn only_a_value_that_holds_its_rule_is_given_back() {
        let json = DecodeRule::Json(JsonRule {
            numbers: Numbers::IJson,
            top_any: false,
            nul_allowed: false,
        });
        let rule = FieldRule { int: Some((1, 99)), ..FieldRule::default() };
        let id = ReplyValue { at: Pointer::name("id"), rule, or: "null".to_owned() };
        let values = vec![("id".to_owned(), id)];
        let template = ReplyTemplate::parse(r#"{"id":${id}}"#, &values).unwrap();
        let rendered = |value: Option<Value<'_>>| {
            let tree = value.map(|value| Value::Map(vec![("id".into(), value)]));
            String::from_utf8(template.render(tree.as_ref(), &values, &json)).unwrap()
        };
        assert_eq!(rendered(Some(Value::Int(7))), r#"{"id":7}"#);
        for bad in [
            Some(Value::Int(100)),
            Some(Value::Int(-1)),
            Some(Value::Text("7\"}\n".into())),
            Some(Value::Map(Vec::new())),
            None,
        ] {
            assert_eq!(rendered(bad), r#"{"id":null}"#);
        }
        assert_eq!(ReplyTemplate::parse("${x}", &values).unwrap_err().check, "K-74");
    }
}
