//! Masks: the value behind a member's name, byte for byte, so that lengths and frames stay.

use segwan_core::contract::learn::SECRETS;

/// Overwrites the values of members that are secrets by their names, or named in `more`.
///
/// A value is what stands behind `name` and `:` or `=`: a quoted text, or all up to the next
/// blank, comma, bracket, `&` or `;`. Each byte becomes `*`, and where all are digits each becomes `1`.
pub(super) fn mask(bytes: &mut [u8], more: &[String]) {
    let names = SECRETS.iter().copied().chain(more.iter().map(String::as_str));
    for name in names.filter(|name| !name.is_empty()) {
        let mut from = 0;
        while let Some(at) = find(bytes, name.as_bytes(), from) {
            from = at + name.len();
            if let Some(value) = value(bytes, from) {
                from = value.end;
                hide(bytes.get_mut(value).unwrap_or_default());
            }
        }
    }
}

/// The next place of a name, whatever the case of its letters.
fn find(bytes: &[u8], name: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(name.len())
        .position(|window| window.eq_ignore_ascii_case(name))
        .map(|at| from + at)
}

/// Where the value of a name that ends at `at` stands.
fn value(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let skip = |at: usize, what: fn(u8) -> bool| {
        at + bytes.get(at..).unwrap_or_default().iter().take_while(|b| what(**b)).count()
    };
    let mut at = skip(at, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bytes.get(at) == Some(&b'"') {
        at += 1;
    }
    at = skip(at, |b| b == b' ' || b == b'\t');
    if !matches!(bytes.get(at), Some(b':' | b'=')) {
        return None;
    }
    at = skip(at + 1, |b| b == b' ' || b == b'\t');
    if bytes.get(at) == Some(&b'"') {
        let start = at + 1;
        let mut end = start;
        // An escape covers the byte behind it.
        while let Some(byte) = bytes.get(end).filter(|byte| **byte != b'"') {
            end += if *byte == b'\\' { 2 } else { 1 };
        }
        return Some(start..end.min(bytes.len()));
    }
    let end = skip(at, |b| {
        !matches!(b, b' ' | b',' | b'&' | b';' | b'}' | b']' | b'{' | b'[' | b'\r' | b'\n')
    });
    let literal = matches!(bytes.get(at..end), Some(b"true" | b"false" | b"null"));
    (end > at && !literal).then_some(at..end)
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
        ] {
            let mut bytes = said.as_bytes().to_vec();
            mask(&mut bytes, &["pin".to_owned()]);
            assert_eq!(String::from_utf8(bytes).unwrap(), masked);
        }
    }
}
