//! Where a text uses what TOML 1.1 has and 1.0 has not.

/// The first place that only TOML 1.1 takes, and what it is (DEP-61): a byte order mark, a line
/// break or trailing comma in an inline table, the escapes `\e` and `\x41`.
pub(super) fn beyond_toml_1_0(text: &str) -> Option<(usize, &'static str)> {
    if text.starts_with('\u{feff}') {
        return Some((0, "the file begins with a byte order mark"));
    }
    let bytes = text.as_bytes();
    let mut brackets: Vec<u8> = Vec::new();
    let mut last = b'\n';
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'#' => at = line_end(bytes, at),
            b'"' | b'\'' => {
                let (end, escape) = string_end(bytes, at);
                if let Some(place) = escape {
                    return Some((place, "`\\e` and `\\x` are no escapes of TOML 1.0"));
                }
                at = end;
            }
            b'{' | b'[' => brackets.push(byte),
            b'\n' if brackets.last() == Some(&b'{') => {
                return Some((at, "an inline table stands on one line in TOML 1.0"));
            }
            b'}' if last == b',' => {
                return Some((at, "an inline table has no trailing comma in TOML 1.0"));
            }
            b'}' | b']' => {
                brackets.pop();
            }
            _ => {}
        }
        if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'#') {
            last = byte;
        }
        at += 1;
    }
    None
}

/// The last byte before the line ends.
fn line_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()).saturating_sub(1)
}

/// The last byte of the string that begins at `from`, and the place of an escape that 1.0 lacks.
fn string_end(bytes: &[u8], from: usize) -> (usize, Option<usize>) {
    let rest = bytes.get(from..).unwrap_or_default();
    let quote = rest.first().copied().unwrap_or(b'"');
    let fence = if rest.starts_with(&[quote; 3]) { 3 } else { 1 };
    if fence == 1 && rest.get(1) == Some(&quote) {
        return (from + 1, None);
    }
    let mut at = fence;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' if quote == b'"' => {
                if matches!(rest.get(at + 1), Some(b'e' | b'x')) {
                    return (from + at, Some(from + at));
                }
                at += 1;
            }
            b'\n' if fence == 1 => return (from + at, None),
            byte if *byte == quote
                && rest.get(at..).is_some_and(|r| r.starts_with(&[quote; 3])) =>
            {
                // Up to two more quotes may belong to the text.
                let more = rest.get(at..).unwrap_or_default().iter().take_while(|b| **b == quote);
                return (from + at + more.count().min(5) - 1, None);
            }
            byte if *byte == quote && fence == 1 => return (from + at, None),
            _ => {}
        }
        at += 1;
    }
    (bytes.len(), None)
}
