//! `Pairs`: keys and their values, as `kv` reads them.

use crate::audit::shown;
use crate::contract::charset::Charset;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;

/// How keys and values are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// The charset of the record.
    pub charset: Charset,
    /// What stands between two pairs.
    pub sep: Box<str>,
    /// What stands between a key and its value; the first one in a pair is meant.
    pub eq: Box<str>,
    /// Whether keys come in the order of `names`.
    pub ordered: bool,
    /// The keys there are.
    pub names: Vec<Box<str>>,
}

impl Pairs {
    /// The values by their keys, in the order they came.
    ///
    /// # Errors
    /// `charset`; `grammar` for a pair without `eq` or out of order; `field_unknown`;
    /// `duplicate_key`.
    pub fn read<'a>(&self, payload: &'a [u8]) -> Result<Value<'a>, Violation> {
        match self.charset.decode(payload)? {
            Cow::Borrowed(text) => self.tree(text),
            Cow::Owned(text) => self.tree(&text).map(Value::into_owned),
        }
    }

    fn tree<'a>(&self, text: &'a str) -> Result<Value<'a>, Violation> {
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        let mut last = None;
        for pair in text.split(&*self.sep) {
            let Some((key, value)) = pair.split_once(&*self.eq) else {
                let sentence = format!("a pair without `{}`", self.eq);
                return Err(Violation::new(Reason::Grammar, sentence));
            };
            let place = self.names.iter().position(|name| **name == *key);
            let Some(place) = place else {
                return Err(crate::contract::field::unknown_field(key));
            };
            // Each key is one of the names, so there are never more members than names.
            if members.iter().any(|(known, _)| known == key) {
                let sentence = format!("the key `{}` comes twice", shown(key.as_bytes()));
                return Err(Violation::at(Reason::DuplicateKey, format!("/{key}"), sentence));
            }
            if self.ordered && last > Some(place) {
                let sentence = format!("the key `{}` comes too late", shown(key.as_bytes()));
                return Err(Violation::at(Reason::Grammar, format!("/{key}"), sentence));
            }
            last = Some(place);
            members.push((Cow::Borrowed(key), Value::Text(Cow::Borrowed(value))));
        }
        Ok(Value::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(ordered: bool, text: &str) -> Option<Reason> {
        let names = ["a", "b", "c"].map(Into::into).to_vec();
        let (sep, eq) = (";".into(), "=".into());
        let rule = Pairs { charset: Charset::Utf8, sep, eq, ordered, names };
        rule.read(text.as_bytes()).err().map(|v| v.reason)
    }

    // CON-04, TRAP-02
    #[test]
    fn a_key_comes_once_and_is_one_of_the_names() {
        assert_eq!(reason(false, "b=1;a=x=y;c="), None);
        assert_eq!(reason(false, "a=1;a=2"), Some(Reason::DuplicateKey));
        assert_eq!(reason(false, "a=1;A=2"), Some(Reason::FieldUnknown));
        assert_eq!(reason(false, " a=1"), Some(Reason::FieldUnknown));
        for bad in ["", "a", "a=1;", ";a=1", "a=1;;b=2"] {
            assert_eq!(reason(false, bad), Some(Reason::Grammar), "{bad}");
        }
    }

    #[test]
    fn an_order_is_kept_where_one_is_declared() {
        assert_eq!(reason(true, "a=1;c=2"), None);
        assert_eq!(reason(true, "c=1;a=2"), Some(Reason::Grammar));
    }
}
