//! `FieldRule`: what one field of a message may hold, in the short form.

mod form;
mod values;

pub use form::{Decimal, Form};

use super::pattern::{Pattern, RuleError};
use super::text::TextRule;
use super::value::Value;
use crate::audit::shown;
use crate::rejection::{Reason, Violation};

/// The short rules of one field (`contracts.md` section 10.1). A rule that is `None` asks nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldRule {
    /// Bounds of an integer, both inclusive. In text it must be written canonically.
    pub int: Option<(i64, i64)>,
    /// The scalars that the field may equal.
    pub one_of: Option<Vec<Value<'static>>>,
    /// The scalar that the field must equal.
    pub constant: Option<Value<'static>>,
    /// Unicode scalar values of a text, or elements of a list.
    pub len: Option<(usize, usize)>,
    /// Bytes of a byte string, or of a text as UTF-8.
    pub bytes: Option<(usize, usize)>,
    /// What a whole text matches.
    pub regex: Option<Pattern>,
    /// What a text is written as: a decimal number, a date, bytes.
    pub form: Option<Form>,
    /// What every element of a list holds.
    pub each: Option<Box<Self>>,
    /// Whether the field may be absent.
    pub optional: bool,
    /// What its text may hold, beside the rule of the direction.
    pub text: Option<TextRule>,
    /// Whether its value appears nowhere.
    pub secret: bool,
    /// Whether its integers, or its values, tell the message from another one, so that it is judged
    /// when the message is chosen.
    pub tells: bool,
}

impl FieldRule {
    /// Whether the rule says of what type a value is; a list by each of its elements.
    #[must_use]
    pub fn has_type(&self) -> bool {
        let scalar = self.int.is_some()
            || self.one_of.is_some()
            || self.constant.is_some()
            || self.len.is_some()
            || self.bytes.is_some()
            || self.regex.is_some()
            || self.text.is_some()
            || self.form.is_some();
        self.each.as_ref().map_or(scalar, |each| each.has_type())
    }

    /// Whether the rule is consistent in itself.
    ///
    /// # Errors
    /// K-02 for empty bounds, K-32 for `each` without `len`.
    pub fn consistent(self) -> Result<Self, RuleError> {
        let empty = self.int.is_some_and(|(lo, hi)| lo > hi)
            || self.len.is_some_and(|(lo, hi)| lo > hi)
            || self.bytes.is_some_and(|(lo, hi)| lo > hi)
            || matches!(self.form, Some(Form::Hex(lo, hi) | Form::Base64(lo, hi)) if lo > hi);
        if empty {
            return Err(RuleError::new("K-02", "the lower bound is above the upper one"));
        }
        if self.each.is_some() && self.len.is_none() {
            return Err(RuleError::new(
                "K-32",
                "`each` without `len`: how many elements may come?",
            )
            .hint("`len = [0, 100]`"));
        }
        Ok(self)
    }

    /// Judges a value that stands at `pointer`. With `from_text` an integer is still text here,
    /// and becomes an integer in the tree.
    ///
    /// # Errors
    /// The first rule that the value breaks.
    pub fn check(
        &self,
        pointer: &str,
        value: &mut Value<'_>,
        from_text: bool,
    ) -> Result<(), Violation> {
        if let Some((lo, hi)) = self.int {
            self.check_int(pointer, value, from_text, lo, hi)?;
        }
        let fault = |reason, sentence: String| Err(Violation::at(reason, pointer, sentence));
        if let Some(constant) = &self.constant
            && !value.same_scalar(constant)
        {
            let (is, must) = (self.seen(value), constant.shown());
            return fault(Reason::Constant, format!("`{pointer}` is {is}, not {must}"));
        }
        if let Some(listed) = &self.one_of
            && !listed.iter().any(|one| value.same_scalar(one))
        {
            let is = self.seen(value);
            return fault(Reason::Enum, format!("`{pointer}` is {is}, which is not listed"));
        }
        if let Some(bounds) = self.len {
            let length = match value {
                Value::Text(text) => text.chars().count(),
                Value::List(list) => list.len(),
                _ => return fault(Reason::Length, wrong(pointer, value, "a text or list")),
            };
            self.within(Reason::Length, pointer, length, bounds, "long")?;
        }
        if let Some(bounds) = self.bytes {
            let size = match value {
                Value::Text(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                _ => return fault(Reason::Length, wrong(pointer, value, "a text or bytes")),
            };
            self.within(Reason::Length, pointer, size, bounds, "bytes long")?;
        }
        if let Some(pattern) = &self.regex {
            self.check_regex(pointer, value, pattern)?;
        }
        if let Some((reason, what)) = self.form.as_ref().and_then(|form| form.fault(value)) {
            let is = self.seen(value);
            return fault(reason, format!("`{pointer}` is {is}, not {what}"));
        }
        if let Some(rule) = &self.text {
            match value {
                Value::Text(text) => {
                    rule.text(text, pointer).map_err(|fault| self.hidden(fault))?
                }
                _ => return fault(Reason::TextDenied, wrong(pointer, value, "a text")),
            }
        }
        let Some(each) = &self.each else { return Ok(()) };
        let Value::List(list) = value else {
            return fault(Reason::Each, wrong(pointer, value, "a list"));
        };
        for (at, element) in list.iter_mut().enumerate() {
            each.check(&format!("{pointer}/{at}"), element, from_text)
                .map_err(|inner| Violation { reason: Reason::Each, ..inner })?;
        }
        Ok(())
    }

    fn check_int(
        &self,
        pointer: &str,
        value: &mut Value<'_>,
        from_text: bool,
        lo: i64,
        hi: i64,
    ) -> Result<(), Violation> {
        let number = match value {
            Value::Int(number) => *number,
            Value::Text(text) if from_text => match canonical_integer(text) {
                Some(number) => number,
                None => {
                    let is = self.seen(value);
                    let sentence =
                        format!("`{pointer}` is {is}, not an integer written canonically");
                    return Err(Violation::at(Reason::IntegerForm, pointer, sentence));
                }
            },
            _ => {
                let sentence = wrong(pointer, value, "an integer");
                return Err(Violation::at(Reason::IntegerForm, pointer, sentence));
            }
        };
        if number < lo || number > hi {
            let shown = if self.secret { "a secret".to_owned() } else { number.to_string() };
            let sentence = format!("`{pointer}` is {shown}, outside {lo} to {hi}");
            return Err(Violation::at(Reason::Range, pointer, sentence));
        }
        *value = Value::Int(number);
        Ok(())
    }

    fn check_regex(
        &self,
        pointer: &str,
        value: &Value<'_>,
        pattern: &Pattern,
    ) -> Result<(), Violation> {
        let matches = match value {
            Value::Text(text) => pattern.matches(text),
            Value::Bytes(bytes) => {
                bytes.is_ascii() && std::str::from_utf8(bytes).is_ok_and(|t| pattern.matches(t))
            }
            _ => false,
        };
        if matches {
            return Ok(());
        }
        let (is, source) = (self.seen(value), pattern.source());
        let sentence = format!("`{pointer}` is {is}, which does not match `{source}`");
        Err(Violation::at(Reason::Regex, pointer, sentence))
    }

    fn within(
        &self,
        reason: Reason,
        pointer: &str,
        is: usize,
        (lo, hi): (usize, usize),
        unit: &str,
    ) -> Result<(), Violation> {
        if (lo..=hi).contains(&is) {
            return Ok(());
        }
        // The length of a secret is a secret too.
        let is = if self.secret { "a secret length".to_owned() } else { format!("{is} {unit}") };
        Err(Violation::at(reason, pointer, format!("`{pointer}` is {is}, outside {lo} to {hi}")))
    }

    /// A violation without the text that broke it, where that is secret.
    fn hidden(&self, fault: Violation) -> Violation {
        if !self.secret {
            return fault;
        }
        let at = fault.pointer.clone().unwrap_or_default();
        Violation { sentence: format!("`{at}` is a secret, which breaks its text rule"), ..fault }
    }

    /// Makes the value secret, and all that lies below.
    pub(crate) fn hide(&mut self) {
        self.secret = true;
        if let Some(each) = &mut self.each {
            each.hide();
        }
    }

    /// The value as an operator may read it here.
    fn seen(&self, value: &Value<'_>) -> String {
        if self.secret { "a secret".to_owned() } else { value.shown() }
    }
}

fn wrong(pointer: &str, value: &Value<'_>, expected: &str) -> String {
    format!("`{pointer}` is {}, not {expected}", value.kind())
}

/// `0`, or an optional `-` and digits without a leading zero, all ASCII (`contracts.md` section 6).
#[must_use]
pub fn canonical_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits.bytes().all(|b| b.is_ascii_digit())
        && (1..=18).contains(&digits.len())
        && !digits.starts_with('0');
    if text == "0" || canonical { text.parse().ok() } else { None }
}

/// The refusal of a member that nobody declared.
#[must_use]
pub fn unknown_field(name: &str) -> Violation {
    let name = shown(name.as_bytes());
    Violation::at(
        Reason::FieldUnknown,
        format!("/{name}"),
        format!("the message has a field `{name}` that the contract does not list"),
    )
}

#[cfg(test)]
mod tests;
