//! The words of a rule: CEL's tokens, without what the subset has no use for.

use super::RuleFault;

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Name(&'t str),
    /// Digits without their sign; 2^63 is whole only behind a minus.
    Int(u64),
    Text(String),
    Bytes(Vec<u8>),
    Sign(&'static str),
    End,
}

/// Every sign, the longer ones first.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", "(", ")",
    "[", "]", ".", ",", "{", "}",
];

/// All words of a rule, each with its first byte.
pub(super) fn words(text: &str) -> Result<Vec<(usize, Token<'_>)>, RuleFault> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or_default();
        if matches!(first, ' ' | '\t' | '\r' | '\n') {
            at += 1;
            continue;
        }
        if rest.starts_with("//") {
            return Err(RuleFault::new(at, "a rule has no comment").hint("use a `#` of TOML"));
        }
        let (token, size) = word(rest, at)?;
        words.push((at, token));
        at += size;
    }
    words.push((text.len(), Token::End));
    Ok(words)
}

fn word(rest: &str, at: usize) -> Result<(Token<'_>, usize), RuleFault> {
    let first = rest.chars().next().unwrap_or_default();
    if let Some((prefix, quoted)) = opening(rest) {
        return literal(prefix, quoted, at);
    }
    if first.is_ascii_digit() {
        return number(rest, at);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let size = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        return Ok((Token::Name(rest.get(..size).unwrap_or_default()), size));
    }
    match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None if matches!(first, '=' | '&' | '|') => {
            let message = format!("`{first}` is no operator");
            Err(RuleFault::new(at, message).hint(format!("did you mean `{first}{first}`?")))
        }
        None => {
            Err(RuleFault::new(at, format!("`{}` has no meaning here", first.escape_default())))
        }
    }
}

fn number(rest: &str, at: usize) -> Result<(Token<'_>, usize), RuleFault> {
    let hex = rest.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    let start = if hex { 2 } else { 0 };
    let body = rest.get(start..).unwrap_or_default();
    let digit = |b: &u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    let size = body.bytes().take_while(digit).count();
    let (digits, behind) = (body.get(..size).unwrap_or_default(), body.get(size..));
    let mut next = behind.unwrap_or_default().bytes();
    let fraction = match next.next() {
        Some(b'.') => next.next().is_some_and(|b| b.is_ascii_digit()),
        Some(b'e' | b'E') => true,
        _ => false,
    };
    if fraction {
        return Err(RuleFault::new(at, "rules compute with whole numbers only"));
    }
    if behind.is_some_and(|b| b.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')) {
        return Err(RuleFault::new(at, "a number ends in a letter").hint("`uint` is not available"));
    }
    match u64::from_str_radix(digits, if hex { 16 } else { 10 }) {
        Ok(number) if number <= 1 << 63 => Ok((Token::Int(number), start + size)),
        _ => Err(RuleFault::new(at, "the number does not fit 64 bits")),
    }
}

/// The prefix of a literal in quotes (`r`, `b`, both or none), if one begins here.
fn opening(rest: &str) -> Option<(&str, &str)> {
    let prefix = rest.bytes().take(2).take_while(|b| b"rRbB".contains(b)).count();
    let (prefix, quoted) = rest.split_at_checked(prefix)?;
    quoted.starts_with(['"', '\'']).then_some((prefix, quoted))
}

fn literal(prefix: &str, quoted: &str, at: usize) -> Result<(Token<'static>, usize), RuleFault> {
    let is = |letter| prefix.to_ascii_lowercase().contains(letter);
    let (raw, bytes) = (is('r'), is('b'));
    if prefix.len() == 2 && !(raw && bytes) {
        return Err(RuleFault::new(at, format!("`{prefix}` does not begin a text")));
    }
    if quoted.starts_with("\"\"\"") || quoted.starts_with("'''") {
        return Err(RuleFault::new(at, "a text of several lines is not available in rules"));
    }
    let begin = at + prefix.len();
    let mut chars = quoted.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    let mut made = Vec::new();
    while let Some((offset, c)) = chars.next() {
        if Some(c) == quote {
            let size = prefix.len() + offset + 1;
            return match (bytes, String::from_utf8(made)) {
                (true, Ok(text)) => Ok((Token::Bytes(text.into_bytes()), size)),
                (true, Err(error)) => Ok((Token::Bytes(error.into_bytes()), size)),
                (false, Ok(text)) => Ok((Token::Text(text), size)),
                (false, Err(_)) => Err(RuleFault::new(at, "the text is not UTF-8")),
            };
        }
        let c = if c == '\\' && !raw {
            let fault = || RuleFault::new(begin + offset, "there is no such escape in a rule");
            let escaped = chars.next().map(|(_, c)| c).ok_or_else(fault)?;
            let mut hex = |count| hex(&mut chars, count).ok_or_else(fault);
            match escaped {
                '\\' | '"' | '\'' | '`' | '?' => escaped,
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'x' | 'X' if bytes => {
                    made.push(u8::try_from(hex(2)?).map_err(|_| fault())?);
                    continue;
                }
                'x' | 'X' => char::from_u32(hex(2)?).ok_or_else(fault)?,
                'u' => char::from_u32(hex(4)?).ok_or_else(fault)?,
                'U' => char::from_u32(hex(8)?).ok_or_else(fault)?,
                _ => return Err(fault()),
            }
        } else {
            c
        };
        made.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Err(RuleFault::new(at, "the text has no closing quote"))
}

fn hex(chars: &mut std::str::CharIndices<'_>, count: usize) -> Option<u32> {
    (0..count).try_fold(0_u32, |number, _| {
        Some((number << 4) | chars.next().and_then(|(_, digit)| digit.to_digit(16))?)
    })
}
