//! `FieldRule`: what one field of a message may hold, in the short form.

mod form;

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

    /// Whether a scalar is among the integers and the values that the rule lists; all, if it lists
    /// none.
    pub(crate) fn admits(&self, value: &Value<'_>, from_text: bool) -> bool {
        let number = match value {
            Value::Int(number) => Some(*number),
            Value::Text(text) if from_text && self.int.is_some() => canonical_integer(text),
            _ => None,
        };
        let same = |one: &Value<'static>| match number {
            Some(number) => Value::Int(number).same_scalar(one),
            None => value.same_scalar(one),
        };
        self.int.is_none_or(|(lo, hi)| number.is_some_and(|n| (lo..=hi).contains(&n)))
            && self.one_of.as_ref().is_none_or(|listed| listed.iter().any(same))
            && self.constant.as_ref().is_none_or(same)
    }

    /// Whether no scalar is admitted by both rules.
    pub(crate) fn is_apart(&self, other: &Self, from_text: bool) -> bool {
        // In a text, an integer is one by its rule alone.
        if from_text && self.int.is_some() != other.int.is_some() {
            return false;
        }
        let ranges = self.int.zip(other.int).is_some_and(|((a, b), (c, d))| b < c || d < a);
        let listed = |rule: &Self| {
            rule.one_of.clone().or_else(|| rule.constant.clone().map(|one| vec![one]))
        };
        let (ours, theirs) = (listed(self), listed(other));
        let outside = |values: &Option<Vec<Value<'static>>>, rule: &Self| {
            values
                .as_ref()
                .is_some_and(|values| !values.iter().any(|value| rule.admits(value, false)))
        };
        ranges || outside(&ours, other) || outside(&theirs, self)
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
                    let sentence = format!("`{pointer}` is {}, not an integer", self.seen(value));
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

    /// The integer bounds of this field, where it has some.
    #[must_use]
    pub fn int_bounds(&self) -> Option<(i64, i64)> {
        let ints = |values: &[Value<'static>]| {
            let mut bounds: Option<(i64, i64)> = None;
            for value in values {
                let Value::Int(n) = value else { return None };
                let (lo, hi) = bounds.unwrap_or((*n, *n));
                bounds = Some((lo.min(*n), hi.max(*n)));
            }
            bounds
        };
        self.int
            .or_else(|| ints(self.one_of.as_deref()?))
            .or_else(|| ints(std::slice::from_ref(self.constant.as_ref()?)))
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
mod tests {
    use super::*;

    fn reason(rule: &FieldRule, value: Value<'_>) -> Option<Reason> {
        rule.check("/n", &mut value.into_owned(), true).err().map(|v| v.reason)
    }

    // CON-13, TRAP-18, S3d, KR-11
    #[test]
    fn an_integer_in_text_has_one_spelling() {
        let rule = FieldRule { int: Some((-10, 5_000)), ..FieldRule::default() };
        for good in ["0", "5", "-7", "4999"] {
            assert_eq!(reason(&rule, Value::Text(good.into())), None, "{good}");
        }
        for bad in [
            "",
            "-",
            "+5",
            "007",
            "-0",
            "00",
            "5_0",
            "1e3",
            " 5",
            "5 ",
            "²",
            "٣",
            "５",
            "½",
            "一",
            "Ⅷ",
            "0x5",
            "5\0",
            "--5",
            "1234567890123456789",
            "५",
            "1,000",
            "5.0",
        ] {
            assert_eq!(reason(&rule, Value::Text(bad.into())), Some(Reason::IntegerForm), "{bad}");
        }
        assert_eq!(reason(&rule, Value::Text("5001".into())), Some(Reason::Range));
        assert_eq!(reason(&rule, Value::Text("-11".into())), Some(Reason::Range));
        let mut value = Value::Text("42".into());
        rule.check("/n", &mut value, true).unwrap();
        assert_eq!(value, Value::Int(42));
    }

    #[test]
    fn outside_text_an_integer_is_an_integer() {
        let rule = FieldRule { int: Some((0, 9)), ..FieldRule::default() };
        let mut text = Value::Text("5".into());
        assert_eq!(rule.check("/n", &mut text, false).unwrap_err().reason, Reason::IntegerForm);
        assert_eq!(reason(&rule, Value::Float(5.0)), Some(Reason::IntegerForm));
        assert_eq!(reason(&rule, Value::Bool(true)), Some(Reason::IntegerForm));
    }

    // CON-13: one row per key and bound
    #[test]
    fn each_rule_refuses_with_its_own_reason() {
        let text = |s: &str| Value::Text(s.to_owned().into());
        let base = FieldRule::default();
        let rows = [
            (
                FieldRule { constant: Some(Value::Int(1)), ..base.clone() },
                text("1"),
                Reason::Constant,
            ),
            (FieldRule { one_of: Some(vec![text("a")]), ..base.clone() }, text("b"), Reason::Enum),
            (FieldRule { len: Some((1, 2)), ..base.clone() }, text("한국어"), Reason::Length),
            (FieldRule { bytes: Some((0, 5)), ..base.clone() }, text("한국"), Reason::Length),
            (
                FieldRule { regex: Some(Pattern::compile("[a-z]", true).unwrap()), ..base.clone() },
                text("ab"),
                Reason::Regex,
            ),
            (
                FieldRule { text: Some(TextRule::strict()), ..base.clone() },
                text("\u{202e}"),
                Reason::TextDenied,
            ),
        ];
        for (rule, value, expected) in rows {
            assert_eq!(reason(&rule, value), Some(expected));
        }
        let each = FieldRule { int: Some((0, 9)), ..base.clone() };
        let rule = FieldRule { len: Some((0, 2)), each: Some(each.into()), ..base };
        let list = |n: i64| Value::List(vec![Value::Int(1), Value::Int(n)]);
        assert_eq!(reason(&rule, list(9)), None);
        assert_eq!(reason(&rule, list(10)), Some(Reason::Each));
    }

    // CON-13: at both bounds of each key and one beyond them.
    #[test]
    fn each_bound_holds_at_it_and_not_beyond_it() {
        let text = |n: usize| Value::Text("한".repeat(n).into());
        let ascii = |text: &str| Value::Text(text.to_owned().into());
        let list = |n: usize| Value::List(vec![Value::Int(1); n]);
        let bytes = |n: usize| Value::Bytes(vec![0xff; n].into());
        let base = FieldRule::default;
        let int = FieldRule { int: Some((-2, 3)), ..base() };
        let len = FieldRule { len: Some((1, 3)), ..base() };
        let size = FieldRule { bytes: Some((3, 6)), ..base() };
        let each = FieldRule { each: Some(Box::new(int.clone())), len: Some((1, 3)), ..base() };
        let form = |form: Form| FieldRule { form: Some(form), ..base() };
        let decimal =
            || form(Form::Decimal(Decimal::new(3, 2, Some("-1.50"), Some("500.00")).unwrap()));
        let elements = |n: i64| Value::List(vec![Value::Int(n)]);
        // The rule, what stands at its bounds, what stands beyond them, and the reason.
        let rows = [
            (
                int.clone(),
                vec![Value::Int(-2), Value::Int(3)],
                vec![Value::Int(-3), Value::Int(4), Value::Int(i64::MIN), Value::Int(i64::MAX)],
                Reason::Range,
            ),
            (
                int,
                vec![ascii("-2"), ascii("3")],
                vec![ascii("-3"), ascii("4"), ascii("999999999999999999")],
                Reason::Range,
            ),
            (len.clone(), vec![text(1), text(3)], vec![text(0), text(4)], Reason::Length),
            (len, vec![list(1), list(3)], vec![list(0), list(4)], Reason::Length),
            (size.clone(), vec![text(1), text(2)], vec![text(0), text(3)], Reason::Length),
            (size, vec![bytes(3), bytes(6)], vec![bytes(2), bytes(7)], Reason::Length),
            (each, vec![elements(-2), elements(3)], vec![elements(-3), elements(4)], Reason::Each),
            (
                decimal(),
                vec![ascii("-1.50"), ascii("-1.5"), ascii("500.00"), ascii("500"), ascii("0.01")],
                vec![ascii("-1.51"), ascii("500.01"), ascii("1000"), ascii("0.001")],
                Reason::Decimal,
            ),
            (
                form(Form::Hex(1, 2)),
                vec![ascii("00"), ascii("00ff")],
                vec![ascii(""), ascii("00ff00")],
                Reason::Encoding,
            ),
            (
                form(Form::Base64(1, 3)),
                vec![ascii("YQ=="), ascii("YWJj")],
                vec![ascii(""), ascii("YWJjZA==")],
                Reason::Encoding,
            ),
        ];
        for (rule, good, bad, expected) in rows {
            for value in good {
                assert_eq!(reason(&rule, value.clone()), None, "{value:?}");
            }
            for value in bad {
                assert_eq!(reason(&rule, value.clone()), Some(expected), "{value:?}");
            }
        }
    }

    // TRAP-20, section 17
    #[test]
    fn a_secret_is_in_no_sentence() {
        let rule = FieldRule {
            regex: Some(Pattern::compile("[0-9]{6}", true).unwrap()),
            secret: true,
            ..FieldRule::default()
        };
        let refused = rule.check("/pin", &mut Value::Text("hunter2".into()), false).unwrap_err();
        assert!(!refused.sentence.contains("hunter2"), "{refused}");
    }

    // K-20
    #[test]
    fn two_rules_are_apart_if_no_value_is_of_both() {
        let int = |lo, hi| FieldRule { int: Some((lo, hi)), ..FieldRule::default() };
        let of = |values: Vec<Value<'static>>| FieldRule {
            one_of: Some(values),
            ..FieldRule::default()
        };
        let text = |text: &'static str| Value::Text(text.into());
        for (a, b, apart, in_text) in [
            (int(0, 9), int(10, 19), true, true),
            (int(0, 10), int(10, 19), false, false),
            (int(0, 9), FieldRule::default(), false, false),
            (of(vec![text("a")]), of(vec![text("b"), text("c")]), true, true),
            (of(vec![text("a"), text("b")]), of(vec![text("b")]), false, false),
            // What is text in a text may be the other's integer.
            (int(0, 9), of(vec![text("5")]), true, false),
            (int(0, 9), of(vec![Value::Int(10)]), true, false),
            (int(0, 9), of(vec![Value::Int(9)]), false, false),
        ] {
            assert_eq!(
                (a.is_apart(&b, false), a.is_apart(&b, true)),
                (apart, in_text),
                "{a:?} {b:?}"
            );
            assert_eq!((b.is_apart(&a, false), b.is_apart(&a, true)), (apart, in_text));
        }
    }

    // K-32
    #[test]
    fn each_needs_a_length() {
        let rule = FieldRule { each: Some(Box::default()), ..FieldRule::default() };
        assert_eq!(rule.consistent().unwrap_err().check, "K-32");
    }
}
