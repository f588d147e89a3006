//! Bytes of a message as text with escapes, and back: what `explain` shows can be given to it.

use segwan_core::audit::shown;
use std::fmt::Write;

/// Most bytes that are shown.
const SHOWN: usize = 4096;

/// Why a text with escapes is no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`\\{0}` is no escape: write `\\n`, `\\r`, `\\t`, `\\0`, `\\\\`, `\\xHH` or `\\u{{HEX}}`")]
pub struct WordsError(String);

/// Bytes as text: line ends, backslashes and whatever could disturb a terminal as escapes; at
/// most 4096 bytes.
#[must_use]
pub fn spoken(bytes: &[u8]) -> String {
    let head = bytes.get(..SHOWN).unwrap_or(bytes);
    let mut text = String::new();
    let mut buffer = [0; 4];
    for chunk in head.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                '`' => text.push('`'),
                other => text.push_str(&shown(other.encode_utf8(&mut buffer).as_bytes())),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if bytes.len() > SHOWN {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}

/// The bytes that a text with escapes means. Nothing is added: a line end is written `\n`.
///
/// # Errors
/// The escape that is none.
pub fn unspoken(text: &str) -> Result<Vec<u8>, WordsError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let mut after = escaped.chars();
        let byte = match after.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let (byte, left) = hex_byte(after.as_str())
                    .ok_or_else(|| WordsError(escaped.chars().take(3).collect()))?;
                after = left.chars();
                byte
            }
            Some('u') => {
                let (character, left) = scalar(after.as_str())
                    .ok_or_else(|| WordsError(escaped.chars().take(9).collect()))?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = left;
                continue;
            }
            other => return Err(WordsError(other.map(String::from).unwrap_or_default())),
        };
        bytes.push(byte);
        rest = after.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn hex_byte(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| Some((u8::from_str_radix(digits, 16).ok()?, rest)))?
}

fn scalar(text: &str) -> Option<(char, &str)> {
    let (digits, rest) = text.strip_prefix('{')?.split_once('}')?;
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, rest)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back_as_the_same_bytes() {
        for bytes in
            [&b"5\r\n\t\\n\x00\x1b[0m"[..], b"\xff\xfe`", "\u{202e}\u{2028}가".as_bytes(), b""]
        {
            let text = spoken(bytes);
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
            assert_eq!(unspoken(&text).unwrap(), bytes, "{text}");
        }
        assert_eq!(unspoken("\\x35\\u{35}5\\n").unwrap(), b"555\n");
    }

    #[test]
    fn an_escape_that_is_none_is_named() {
        for bad in ["\\q", "\\", "\\x5", "\\xg0", "\\u5", "\\u{110000}", "\\x+1", "\\u{+5}"] {
            assert!(unspoken(bad).is_err(), "{bad}");
        }
        assert!(unspoken("\\q").unwrap_err().to_string().starts_with("`\\q` is no escape: "));
    }
}
