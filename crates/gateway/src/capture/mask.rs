//! Masks: the value behind a member's name, byte for byte, so that lengths and frames stay.

use segwan_core::contract::learn::SECRETS;

/// A name that is a secret's only if it is all of the name: `pin`, and not `shipping`.
const WHOLE: &str = "pin";
/// A name behind which a scheme and a blank may stand before the secret.
const SCHEME: &str = "authorization";

/// Overwrites the values of members that are secrets by their names, or named in `more`, or whose
/// names are written with escapes: what they mean is whatever the two programs make of them.
///
/// A value is what stands behind `name` and `:` or `=`: a quoted text, a list or an object with all
/// that they hold but its names, or all up to the next blank, comma, bracket, `&` or `;`. Each byte
/// becomes `*`, and where all are digits each becomes `1`.
pub(super) fn mask(bytes: &mut [u8], more: &[String]) {
    let names = SECRETS.iter().copied().chain(more.iter().map(String::as_str));
    for name in names.chain([WHOLE]).filter(|name| !name.is_empty()) {
        let mut from = 0;
        while let Some(at) = find(bytes, name.as_bytes(), from) {
            from = at + name.len();
            let whole = name != WHOLE || more.iter().any(|of| of == name);
            if (whole || !is_within_a_word(bytes, at, from))
                && let Some(start) = value(bytes, from)
            {
                from = hide_at(bytes, start, name == SCHEME);
            }
        }
    }
    mask_escaped(bytes);
}

/// Overwrites the values behind quoted names in which a backslash stands.
fn mask_escaped(bytes: &mut [u8]) {
    let (mut at, mut before, mut escaped) = (0, 0, false);
    while let Some(byte) = bytes.get(at).copied() {
        if byte == b'"'
            && escaped
            && let Some(start) = value(bytes, at)
        {
            at = hide_at(bytes, start, false);
            (before, escaped) = (0, false);
            continue;
        }
        // An escaped quote does not begin another text.
        escaped = byte == b'\\' || (escaped && (byte != b'"' || before == b'\\'));
        (before, at) = (byte, at + 1);
    }
}

/// The next place of a name, whatever the case of its letters, and whether with `-` or `_`.
fn find(bytes: &[u8], name: &[u8], from: usize) -> Option<usize> {
    let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || (a == b'-' && b == b'_');
    let rest = bytes.get(from..)?;
    rest.windows(name.len())
        .position(|window| window.iter().zip(name).all(|(a, b)| same(*a, *b)))
        .map(|at| from + at)
}

fn is_within_a_word(bytes: &[u8], start: usize, end: usize) -> bool {
    let word =
        |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || b"_-".contains(b));
    word(end) || start.checked_sub(1).is_some_and(word)
}

/// Where the value of a name that ends at `at` begins.
fn value(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = skip(bytes, at, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let quoted = bytes.get(at) == Some(&b'"');
    let blank = |b: u8| if quoted { b.is_ascii_whitespace() } else { matches!(b, b' ' | b'\t') };
    at = skip(bytes, at + usize::from(quoted), blank);
    let tells = matches!(bytes.get(at), Some(b':' | b'='));
    tells.then(|| skip(bytes, at + 1, blank))
}

/// Overwrites the value that begins at `at`; gives where it ends.
fn hide_at(bytes: &mut [u8], at: usize, with_blanks: bool) -> usize {
    match bytes.get(at) {
        Some(b'"') => hide_text(bytes, at),
        Some(b'[' | b'{') => hide_all(bytes, at),
        _ => {
            let ends = |b: u8| b",&;}]{[\r\n".contains(&b) || (b == b' ' && !with_blanks);
            let end = skip(bytes, at, |b| !ends(b));
            hide_plain(bytes, at..end);
            end
        }
    }
}

/// A text in quotes.
fn hide_text(bytes: &mut [u8], at: usize) -> usize {
    let end = text_end(bytes, at);
    hide(bytes.get_mut(at + 1..end).unwrap_or_default());
    (end + 1).min(bytes.len())
}

/// Where the text that begins with the quote at `at` is closed, or the bytes end.
fn text_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    // An escape covers the byte behind it.
    while let Some(byte) = bytes.get(end).filter(|byte| **byte != b'"') {
        end += if *byte == b'\\' { 2 } else { 1 };
    }
    end.min(bytes.len())
}

/// All that a list or an object holds, but the names of members.
fn hide_all(bytes: &mut [u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'[' | b'{' => (depth, at) = (depth + 1, at + 1),
            b']' | b'}' => (depth, at) = (depth - 1, at + 1),
            b'"' => {
                let end = (text_end(bytes, at) + 1).min(bytes.len());
                let behind = skip(bytes, end, |b| b.is_ascii_whitespace());
                let is_name = bytes.get(behind) == Some(&b':');
                at = if is_name { end } else { hide_text(bytes, at) };
            }
            b if b.is_ascii_whitespace() || matches!(b, b',' | b':') => at += 1,
            _ => {
                let end =
                    skip(bytes, at, |b| !(b.is_ascii_whitespace() || b",:[]{}\"".contains(&b)));
                hide_plain(bytes, at..end);
                at = end;
            }
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// A value without quotes; what every JSON has says nothing.
fn hide_plain(bytes: &mut [u8], at: std::ops::Range<usize>) {
    let value = bytes.get_mut(at).unwrap_or_default();
    if !matches!(&*value, b"true" | b"false" | b"null") {
        hide(value);
    }
}

fn skip(bytes: &[u8], at: usize, what: impl Fn(u8) -> bool) -> usize {
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|b| what(**b)).count()
}

fn hide(value: &mut [u8]) {
    let number = value.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    for byte in value.iter_mut() {
        match (number, *byte) {
            (true, b'-' | b'.') => {}
            (true, _) => *byte = b'1',
            (false, _) => *byte = b'*',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // TRAP-20: what `learn` knows for a secret is none in the record either.
    #[test]
    fn a_pin_is_masked_by_its_whole_name() {
        let mut bytes = br#"{"pin":"1234","shipping":"12","pin_code":7,"PIN" : 5}"#.to_vec();
        mask(&mut bytes, &[]);
        let masked = r#"{"pin":"1111","shipping":"12","pin_code":7,"PIN" : 1}"#;
        assert_eq!(String::from_utf8(bytes).unwrap(), masked);
    }

    // TRAP-20: a name means the same to the service however it is written.
    #[test]
    fn the_value_behind_a_name_with_escapes_is_masked() {
        for (said, masked) in [
            (r#"{"p\u0061ssword":"hunter2","n":1}"#, r#"{"p\u0061ssword":"*******","n":1}"#),
            (r#"{"\u0070in" : 1234,"n":1}"#, r#"{"\u0070in" : 1111,"n":1}"#),
            (r#"{"t\u006fken":{"a":["b"]}}"#, r#"{"t\u006fken":{"a":["*"]}}"#),
            (r#"{"a\"b":"c","d":"e"}"#, r#"{"a\"b":"*","d":"e"}"#),
            (r#"{"a\\":"c","d":"e"}"#, r#"{"a\\":"*","d":"e"}"#),
            (r#"{"a":"b\nc","d":"e\\","f":1}"#, r#"{"a":"b\nc","d":"e\\","f":1}"#),
        ] {
            let mut bytes = said.as_bytes().to_vec();
            mask(&mut bytes, &[]);
            assert_eq!(String::from_utf8(bytes).unwrap(), masked);
        }
    }

    // TRAP-20
    #[test]
    fn a_value_is_masked_in_its_length() {
        for (said, masked) in [
            (
                r#"{"user":"kim","Password" : "a\"b","n":1}"#,
                r#"{"user":"kim","Password" : "****","n":1}"#,
            ),
            (r#"{"access_token_id":77.5}"#, r#"{"access_token_id":11.1}"#),
            ("user=kim&password=hunter2&x=1", "user=kim&password=*******&x=1"),
            (r#"{"token":null,"secret":"cut"#, r#"{"token":null,"secret":"***"#),
            (r#"{"pin":"1234"}"#, r#"{"pin":"1111"}"#),
            ("the password is not named", "the password is not named"),
            (
                "{\"credentials\": {\"user\":\"kim\",\"n\":[7,{\"t\":\"x\\\"y\"},null]},\"n\":1}",
                "{\"credentials\": {\"user\":\"***\",\"n\":[1,{\"t\":\"****\"},null]},\"n\":1}",
            ),
            (r#"{"tokens":["ab","c"],"x":"d"}"#, r#"{"tokens":["**","*"],"x":"d"}"#),
            ("{\"password\":\r\n  \"hunter2\"}", "{\"password\":\r\n  \"*******\"}"),
            ("{\"secret\":[[\"cut", "{\"secret\":[[\"***"),
            ("Authorization: Bearer ab.c\r\nA: b", "Authorization: ***********\r\nA: b"),
            ("X-API-Key: k9\r\nHost: h", "X-API-Key: **\r\nHost: h"),
            ("password:\r\nHost: h", "password:\r\nHost: h"),
        ] {
            let mut bytes = said.as_bytes().to_vec();
            mask(&mut bytes, &["pin".to_owned()]);
            assert_eq!(String::from_utf8(bytes).unwrap(), masked);
        }
    }
}
