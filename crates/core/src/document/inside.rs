//! Places inside a text of a document: what stands there was unescaped, so its bytes are not the
//! file's.

use super::Document;
use std::ops::Range;

impl Document<'_> {
    /// Where in the file the byte `offset` of a text stands, whose literal, quotes included, stands
    /// at `span`.
    #[must_use]
    pub fn inside(&self, span: &Range<usize>, offset: usize) -> usize {
        let literal = self.text.get(span.clone()).unwrap_or_default();
        span.start + within(literal, offset)
    }
}

fn within(literal: &str, offset: usize) -> usize {
    let long = literal.starts_with("\"\"\"") || literal.starts_with("'''");
    let quotes = if long { 3 } else { 1 };
    let mut at = quotes;
    let body = literal.get(quotes..).unwrap_or_default();
    if long {
        // The first line feed of a long text is not part of it.
        at += if body.starts_with("\r\n") { 2 } else { usize::from(body.starts_with('\n')) };
    }
    let escapes = literal.starts_with('"');
    let mut read = 0;
    while read < offset {
        let rest = literal.get(at..).unwrap_or_default();
        let Some(first) = rest.chars().next() else { break };
        let (source, text) = if escapes && first == '\\' {
            escape(rest)
        } else {
            (first.len_utf8(), first.len_utf8())
        };
        at += source;
        read += text;
    }
    at.min(literal.len())
}

/// Bytes of an escape in the file, and of what it means.
fn escape(rest: &str) -> (usize, usize) {
    let digits = match rest.as_bytes().get(1) {
        Some(b'u') => 4,
        Some(b'U') => 8,
        Some(b' ' | b'\t' | b'\r' | b'\n') => {
            let blank = rest.bytes().skip(1).take_while(u8::is_ascii_whitespace).count();
            return (1 + blank, 0);
        }
        _ => return (2, 1),
    };
    let hex = rest.get(2..2 + digits).unwrap_or_default();
    let meant = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
    (2 + digits, meant.map_or(1, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_text_is_a_place_in_the_file() {
        for (literal, offset, at) in [
            ("'abc'", 0, 1),
            ("'a\\c'", 2, 3),
            ("\"a\\\"bc\"", 2, 4),
            ("\"\\u00e9x\"", 2, 7),
            ("'''\nab'''", 1, 5),
            ("\"\"\"a\\\n   b\"\"\"", 1, 4),
            ("'가x'", 3, 4),
            ("'ab'", 9, 4),
        ] {
            let (text, start) = (format!("k = {literal}"), 4);
            let document = Document::new("a.toml", &text);
            assert_eq!(document.inside(&(start..text.len()), offset), start + at, "{literal}");
        }
    }
}
