//! Bytes as a contract writes them, so that what is told of a vector can be found in its file.

use crate::audit::shown;

/// Longest vector that is shown whole, in bytes.
const LONGEST: usize = 256;

/// Bytes as a contract writes them: text with `\n`, or `hex:` and digits.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let head = bytes.get(..LONGEST).unwrap_or(bytes);
    // What was cut within a character is text all the same.
    let cut = |error: std::str::Utf8Error| error.error_len().is_none() && head.len() < bytes.len();
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if cut(error) => {
            head.get(..error.valid_up_to()).and_then(|head| std::str::from_utf8(head).ok())
        }
        Err(_) => None,
    };
    let is_line = |c: char| matches!(c, '\n' | '\r' | '\t') || !c.is_control();
    let said = match text.filter(|text| text.chars().all(is_line)) {
        Some(text) => {
            let mut line = String::with_capacity(text.len());
            let mut buffer = [0; 4];
            for character in text.chars() {
                match character {
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    '\t' => line.push_str("\\t"),
                    '\\' => line.push_str("\\\\"),
                    '`' => line.push('`'),
                    other => line.push_str(&shown(other.encode_utf8(&mut buffer).as_bytes())),
                }
            }
            format!("`{line}`")
        }
        None => {
            let digits: Vec<String> = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("`hex: {}`", digits.join(" "))
        }
    };
    if head.len() < bytes.len() { format!("{said}… ({} bytes)", bytes.len()) } else { said }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn vectors_are_shown_as_contracts_write_them() {
        assert_eq!(quoted(b"5\n"), "`5\\n`");
        assert_eq!(quoted("가`".as_bytes()), "`가``");
        assert_eq!(quoted(&[1, 2, 0, 0x64]), "`hex: 01 02 00 64`");
        assert_eq!(quoted(&[0xb0, 0xa1]), "`hex: b0 a1`");
        let long = format!("{}가{}", "a".repeat(255), "b".repeat(9));
        assert_eq!(quoted(long.as_bytes()), format!("`{}`… (267 bytes)", "a".repeat(255)));
    }
}
