//! `Reject`: what a peer is told, and what happens next, for each class of fault.

pub use super::codec::hl7::ack::Verdict as AckVerdict;

use super::decode::{DecodeRule, write_json};
use super::field::FieldRule;
use super::pattern::RuleError;
use super::value::{Pointer, Value};
use super::{Contract, Side};
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
    /// What is written in every other case, as it is.
    pub or: Vec<u8>,
}

impl ReplyTemplate {
    /// Parses a reply: text, `hex:` bytes, `${name}`.
    ///
    /// # Errors
    /// K-74 for a placeholder without its entry in `[reject.values]`.
    pub fn parse(text: &str, values: &[(String, ReplyValue)]) -> Result<Self, RuleError> {
        let (form, mut rest) = match text.strip_prefix("hex:") {
            Some(digits) => ("hex:", digits),
            None => ("", text),
        };
        let fixed = |part: &str| match form {
            "" => Ok(Part::Fixed(part.as_bytes().to_vec())),
            _ => super::units::bytes(&format!("{form}{part}"))
                .map(Part::Fixed)
                .map_err(|error| RuleError::new("K-74", error)),
        };
        let mut parts = Vec::new();
        while let Some((before, after)) = rest.split_once("${") {
            parts.push(fixed(before)?);
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
        parts.push(fixed(rest)?);
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

    /// The payload for one refused message. Where values of the peer's would make something else of
    /// it than what the contract's author wrote, it is the one with the fallbacks.
    #[must_use]
    pub(crate) fn answer(&self, tree: Option<&Value<'_>>, contract: &Contract) -> Vec<u8> {
        let direction = &contract.server;
        let render = |tree| self.render(tree, &contract.reply_values, &direction.decode);
        let fallback = render(None);
        let payload = render(tree);
        if payload == fallback || is_sound(contract, &payload, &fallback) {
            payload
        } else {
            fallback
        }
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
        out.extend_from_slice(written.as_deref().unwrap_or(&self.or));
    }
}

/// Whether a reply is one frame of the server within its limit, and reads as the one with the
/// fallbacks does but for its values: no field more, no pair more, no other key.
fn is_sound(contract: &Contract, payload: &[u8], fallback: &[u8]) -> bool {
    let direction = &contract.server;
    let framed = |payload: &[u8]| {
        let mut frame = Vec::new();
        let put = direction.frame.put(payload, &mut frame);
        put.is_ok().then_some(frame)
    };
    let (Some(frame), Some(plain)) = (framed(payload), framed(fallback)) else { return false };
    if contract.one_frame(Side::Server, &frame).is_err() {
        return false;
    }
    let wire = Contract::wire_of(&contract.limits, Side::Server);
    let decode = &direction.decode;
    match (
        decode.read(decode.input(&plain, fallback), &wire),
        decode.read(decode.input(&frame, payload), &wire),
    ) {
        (Ok(plain), Ok(is)) => is_alike(&plain, &is),
        (Ok(_), Err(_)) => false,
        // A text of the author's own, which no decoder reads.
        (Err(_), _) => true,
    }
}

fn is_alike(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|((a, one), (b, other))| a == b && is_alike(one, other))
        }
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_alike(a, b))
        }
        (Value::Map(_) | Value::List(_), _) | (_, Value::Map(_) | Value::List(_)) => false,
        _ => true,
    }
}

/// A single value as the server direction would write it, if it can hold it there: a text that
/// could be read as two is not written. Of columns and binary items it is the one that has the name
/// of the placeholder, in its full width.
fn spelled(name: &str, value: &Value<'_>, decode: &DecodeRule) -> Option<Vec<u8>> {
    match (decode, value) {
        (_, Value::List(_) | Value::Map(_)) => None,
        (DecodeRule::Columns(columns), value) => columns.spelled(name, value),
        (DecodeRule::Struct(rule), value) => rule.head.spelled(name, value),
        (DecodeRule::Json(_), value) => {
            let mut out = Vec::new();
            write_json(value, &mut out);
            Some(out)
        }
        (DecodeRule::Modbus(_) | DecodeRule::Resp(_) | DecodeRule::Hl7(_), _) => None,
        (_, Value::Int(number)) => Some(number.to_string().into_bytes()),
        (DecodeRule::Bytes { .. }, Value::Bytes(bytes)) => Some(bytes.clone().into_owned()),
        (decode, Value::Text(text)) => {
            let whole = match decode {
                DecodeRule::Words(words) => words.is_word(text),
                DecodeRule::Delimited(rule) => {
                    !text.contains(|c| rule.sep.contains(c) || rule.quote == Some(c))
                }
                DecodeRule::Pairs(rule) => {
                    !text.contains(|c| rule.sep.contains(c) || rule.eq.contains(c))
                }
                _ => true,
            };
            let charset = decode.charset().filter(|_| whole)?;
            charset.encode(text).map(|bytes| bytes.into_owned())
        }
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
        let id = ReplyValue { at: Pointer::name("id"), rule, or: b"null".to_vec() };
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
