//! `Delimited`: fields of one record between separators, quoted as in RFC 4180 if the contract says.

use crate::contract::charset::Charset;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;

/// How the fields of a record are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delimited {
    /// The charset of the record.
    pub charset: Charset,
    /// What stands between two fields.
    pub sep: Box<str>,
    /// What a field may be put between, so that it can hold a separator. Twice inside, it is itself.
    pub quote: Option<char>,
    /// The names of the fields, all of which are there; without them a record is a list.
    pub names: Vec<Box<str>>,
}

impl Delimited {
    /// The fields by name, or as a list.
    ///
    /// # Errors
    /// `charset`; `grammar` for another count of fields or a misplaced quote; `json_nodes` for more
    /// than `nodes` of them.
    pub fn read<'a>(&self, payload: &'a [u8], nodes: usize) -> Result<Value<'a>, Violation> {
        match self.charset.decode(payload)? {
            Cow::Borrowed(text) => self.tree(text, nodes),
            Cow::Owned(text) => self.tree(&text, nodes).map(Value::into_owned),
        }
    }

    fn tree<'a>(&self, text: &'a str, nodes: usize) -> Result<Value<'a>, Violation> {
        let most = if self.names.is_empty() { nodes } else { self.names.len() };
        let mut fields = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            if fields.len() >= most {
                return Err(self.too_many(most));
            }
            let (field, behind) = self.field(text)?;
            fields.push(Value::Text(field));
            rest = behind;
        }
        if self.names.is_empty() {
            return Ok(Value::List(fields));
        }
        if fields.len() < self.names.len() {
            let sentence = format!("{} fields, and {} have names", fields.len(), self.names.len());
            return Err(Violation::new(Reason::Grammar, sentence));
        }
        let named = self.names.iter().map(|name| Cow::Owned(name.to_string())).zip(fields);
        Ok(Value::Map(named.collect()))
    }

    /// One field, and what follows the separator behind it, if one does.
    fn field<'a>(&self, text: &'a str) -> Result<(Cow<'a, str>, Option<&'a str>), Violation> {
        let grammar = |what: &str| Violation::new(Reason::Grammar, what);
        let quoted = self.quote.and_then(|quote| Some((quote, text.strip_prefix(quote)?)));
        let Some((quote, mut rest)) = quoted else {
            let (field, behind) = match text.split_once(&*self.sep) {
                Some((field, behind)) => (field, Some(behind)),
                None => (text, None),
            };
            if self.quote.is_some_and(|quote| field.contains(quote)) {
                return Err(grammar("a quote stands inside a field that is not quoted"));
            }
            return Ok((Cow::Borrowed(field), behind));
        };
        let mut field = Cow::Borrowed("");
        loop {
            let (part, behind) =
                rest.split_once(quote).ok_or_else(|| grammar("a quoted field is not closed"))?;
            if field.is_empty() {
                field = Cow::Borrowed(part)
            } else {
                field.to_mut().push_str(part)
            }
            match behind.strip_prefix(quote) {
                Some(behind) => {
                    field.to_mut().push(quote);
                    rest = behind;
                }
                None if behind.is_empty() => return Ok((field, None)),
                None => match behind.strip_prefix(&*self.sep) {
                    Some(behind) => return Ok((field, Some(behind))),
                    None => return Err(grammar("a closing quote is followed by something else")),
                },
            }
        }
    }

    fn too_many(&self, most: usize) -> Violation {
        let sentence = format!("more fields than {most}");
        let named = !self.names.is_empty();
        Violation::new(if named { Reason::Grammar } else { Reason::JsonNodes }, sentence)
    }

    /// A tree as the record that is written for it: quotes only where they are needed.
    #[must_use]
    pub fn write(&self, tree: &Value<'_>) -> Option<Vec<u8>> {
        let values: Vec<&Value<'_>> = match tree {
            Value::List(list) => list.iter().collect(),
            Value::Map(_) => {
                self.names.iter().map(|name| tree.member(name)).collect::<Option<_>>()?
            }
            _ => return None,
        };
        let mut record = String::new();
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                record.push_str(&self.sep);
            }
            let text = match value {
                Value::Text(text) => Cow::Borrowed(&**text),
                Value::Int(number) => Cow::Owned(number.to_string()),
                _ => return None,
            };
            match self.quote {
                Some(quote) if text.contains(&*self.sep) || text.contains(quote) => {
                    let twice = format!("{quote}{quote}");
                    record.push(quote);
                    record.push_str(&text.replace(quote, &twice));
                    record.push(quote);
                }
                None if text.contains(&*self.sep) => return None,
                _ => record.push_str(&text),
            }
        }
        self.charset.encode(&record).map(Cow::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(quote: Option<char>, names: &[&str]) -> Delimited {
        let names = names.iter().map(|name| (*name).into()).collect();
        Delimited { charset: Charset::Utf8, sep: ",".into(), quote, names }
    }

    fn fields(rule: &Delimited, text: &str) -> Result<Vec<String>, Reason> {
        let tree = rule.read(text.as_bytes(), 8).map_err(|v| v.reason)?;
        let Value::List(list) = tree else { panic!("no list") };
        Ok(list.iter().map(|v| v.as_text().unwrap().to_owned()).collect())
    }

    // CON-04
    #[test]
    fn quotes_stand_around_a_whole_field_or_nowhere() {
        let rule = rule(Some('"'), &[]);
        assert_eq!(fields(&rule, r#"a,"b,c",,"""가""#).unwrap(), ["a", "b,c", "", "\"가"]);
        assert_eq!(fields(&rule, "").unwrap(), [""]);
        for bad in [r#"a"b"#, r#""a"b"#, r#""a"#, r#""a" ,b"#, r#"a,b""#, r#"""""#] {
            assert_eq!(fields(&rule, bad), Err(Reason::Grammar), "{bad}");
        }
        assert_eq!(fields(&rule, ",,,,,,,,"), Err(Reason::JsonNodes));
    }

    #[test]
    fn named_fields_are_all_there() {
        let rule = rule(None, &["a", "b"]);
        let tree = rule.read(b"1,\"2", 8).unwrap();
        assert_eq!(tree.member("b").and_then(Value::as_text), Some("\"2"));
        for bad in ["1", "1,2,3", ""] {
            assert_eq!(rule.read(bad.as_bytes(), 8).unwrap_err().reason, Reason::Grammar, "{bad}");
        }
    }

    proptest! {
        // CON-04
        #[test]
        fn what_is_written_is_read_again(
            values in proptest::collection::vec("[a,\"가 ]{0,4}", 1..6),
        ) {
            let rule = rule(Some('"'), &[]);
            let tree = Value::List(values.iter().map(|v| Value::Text(v.as_str().into())).collect());
            let written = rule.write(&tree).unwrap();
            let again = rule.read(&written, 8).unwrap();
            prop_assert_eq!(&again, &tree);
            prop_assert_eq!(rule.write(&again), Some(written.clone()));
        }
    }
}
