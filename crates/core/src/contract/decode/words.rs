//! `Words`: a verb and its arguments, in one line.

use crate::contract::charset::Charset;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;

/// How words are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The charset of the line.
    pub charset: Charset,
    /// What stands between two words, once.
    pub sep: Box<str>,
    /// Most words, the verb among them.
    pub max: usize,
}

impl Words {
    /// `{ verb, args }`.
    ///
    /// # Errors
    /// `charset`, or `grammar` for an empty word (two separators in a row, or one at either end) and
    /// for a word that a service may take for two.
    pub fn read<'a>(&self, payload: &'a [u8]) -> Result<Value<'a>, Violation> {
        match self.charset.decode(payload)? {
            Cow::Borrowed(text) => self.split(text),
            Cow::Owned(text) => self.split(&text).map(Value::into_owned),
        }
    }

    /// Whether a text is one word: not empty, and nothing in it at which it may be cut in two.
    #[must_use]
    pub(crate) fn is_word(&self, text: &str) -> bool {
        let spaced = self.sep.contains(char::is_whitespace);
        !text.is_empty() && !text.contains(|c| self.sep.contains(c) || splits(c, spaced))
    }

    fn split<'a>(&self, text: &'a str) -> Result<Value<'a>, Violation> {
        let mut words = text.split(&*self.sep);
        let verb = words.next().unwrap_or_default();
        let args: Vec<&str> = words.take(self.max).collect();
        if verb.is_empty() || args.iter().any(|word| word.is_empty()) {
            let sentence = "an empty word: two separators in a row, or one at an end";
            return Err(Violation::new(Reason::Grammar, sentence));
        }
        if args.len() >= self.max {
            let sentence = format!("more words than {}", self.max);
            return Err(Violation::new(Reason::Grammar, sentence));
        }
        let spaced = self.sep.contains(char::is_whitespace);
        if std::iter::once(&verb).chain(&args).any(|word| word.contains(|c| splits(c, spaced))) {
            let sentence = "a word holds white space, at which a service may cut it in two";
            return Err(Violation::new(Reason::Grammar, sentence));
        }
        let args = args.into_iter().map(|word| Value::Text(Cow::Borrowed(word))).collect();
        Ok(Value::Map(vec![
            (Cow::Borrowed("verb"), Value::Text(Cow::Borrowed(verb))),
            (Cow::Borrowed("args"), Value::List(args)),
        ]))
    }
}

/// What common libraries take for the end of a word: Unicode's `White_Space`, and the four
/// separators of ASCII, at which Python cuts too. A plain space is part of a word only where
/// something else than white space stands between words.
fn splits(c: char, spaced: bool) -> bool {
    match c {
        ' ' => spaced,
        '\u{1c}'..='\u{1f}' => true,
        _ => c.is_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<String>, Reason> {
        let rule = Words { charset: Charset::Utf8, sep: " ".into(), max: 3 };
        let tree = rule.read(line.as_bytes()).map_err(|v| v.reason)?;
        let Some(Value::List(args)) = tree.member("args") else { panic!("no args") };
        let texts = tree.member("verb").into_iter().chain(args);
        Ok(texts.map(|v| v.as_text().unwrap().to_owned()).collect())
    }

    // CON-04
    #[test]
    fn a_line_is_a_verb_and_its_arguments() {
        assert_eq!(read("GET 가 b").unwrap(), ["GET", "가", "b"]);
        assert_eq!(read("PING").unwrap(), ["PING"]);
        for bad in ["", " ", " GET", "GET ", "GET  a", "a b c d"] {
            assert_eq!(read(bad), Err(Reason::Grammar), "{bad}");
        }
        let rule = Words { charset: Charset::Ascii, sep: " ".into(), max: 3 };
        assert_eq!(rule.read("GET 가".as_bytes()).unwrap_err().reason, Reason::Charset);
    }

    #[test]
    fn what_was_decoded_into_a_copy_reads_alike() {
        let rule = Words { charset: Charset::Cp949, sep: " ".into(), max: 9 };
        let tree = rule.read(b"say \x8c\x63").unwrap();
        assert_eq!(tree.member("args"), Some(&Value::List(vec![Value::Text("똠".into())])));
    }

    #[test]
    fn a_word_holds_no_white_space_at_which_a_service_may_cut_it() {
        let comma = Words { charset: Charset::Utf8, sep: ",".into(), max: 3 };
        let tab = Words { charset: Charset::Utf8, sep: "\t".into(), max: 3 };
        let others = "\t\u{b}\u{c}\r\n\u{1c}\u{1f}\u{85}\u{a0}\u{1680}\u{2000}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
        for c in others.chars() {
            assert_eq!(read(&format!("GET a{c}b")), Err(Reason::Grammar), "{c:?}");
            assert_eq!(read(&format!("GET{c}x a")), Err(Reason::Grammar), "{c:?}");
            let line = format!("GET,a{c}b");
            assert_eq!(comma.read(line.as_bytes()).unwrap_err().reason, Reason::Grammar, "{c:?}");
        }
        assert_eq!(tab.read(b"GET\ta b").unwrap_err().reason, Reason::Grammar);
        comma.read(b"GET,a b").unwrap();
        assert_eq!(read("GET a\u{200b}b").unwrap().len(), 2);
    }
}
