//! Which values a rule leaves, without one at hand: that tells one message from another, and bounds
//! what rules and policies compute with.

use super::{FieldRule, canonical_integer};
use crate::contract::value::Value;

impl FieldRule {
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
