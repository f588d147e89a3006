//! JSON numbers: read where every parser agrees, written in one spelling.

use super::json::Numbers;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};

/// The largest integer that a double holds exactly together with its neighbours (RFC 7493).
const SAFE: i64 = (1 << 53) - 1;
/// A literal with fraction or exponent may be so long, in bytes.
const LONGEST: usize = 40;

/// Digits of the longest integer that every rule takes.
const SHORT: usize = 15;

/// A short integer at the start of `text`, as most numbers are, and its length; nothing for all that
/// has to be looked at.
#[inline]
pub(super) fn short(text: &[u8]) -> Option<(i64, usize)> {
    let mut sum = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at < SHORT => sum = sum * 10 + i64::from(byte - b'0'),
            b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' => return None,
            _ if at > 1 && text.first() == Some(&b'0') => return None,
            _ => return Some((sum, at)).filter(|_| at > 0),
        }
    }
    None
}

/// Reads the number at the start of `text`; gives it and its length (rules J4 to J7).
pub(super) fn read(text: &[u8], numbers: Numbers) -> Result<(Value<'static>, usize), Violation> {
    let negative = text.first() == Some(&b'-');
    let first = usize::from(negative);
    let (mut at, mut sum) = (first, 0_i64);
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        sum = sum.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        at += 1;
    }
    let value = match at - first {
        0..=18 if negative => Some(-sum),
        0..=18 => Some(sum),
        // The sum may have gone round.
        _ => text.get(..at).and_then(|t| std::str::from_utf8(t).ok()?.parse().ok()),
    };
    if at == first || (at - first > 1 && text.get(first) == Some(&b'0')) {
        return Err(syntax("a number is not written as JSON writes it"));
    }
    if matches!(text.get(at), Some(b'.' | b'e' | b'E')) {
        return float(text, at, numbers);
    }
    let bound = if numbers == Numbers::I64 { i64::MAX } else { SAFE };
    match value {
        Some(0) if negative => Err(refused("negative zero")),
        Some(value) if value >= -bound && value <= bound => Ok((Value::Int(value), at)),
        Some(i64::MIN) if numbers == Numbers::I64 => Ok((Value::Int(i64::MIN), at)),
        _ => Err(refused(format!("integer of {} digits is beyond ±{bound}", at - first))),
    }
}

fn float(text: &[u8], from: usize, numbers: Numbers) -> Result<(Value<'static>, usize), Violation> {
    let mut at = from;
    let digits = |at: &mut usize| {
        let start = *at;
        while text.get(*at).is_some_and(u8::is_ascii_digit) {
            *at += 1;
        }
        *at > start
    };
    if text.get(at) == Some(&b'.') {
        at += 1;
        if !digits(&mut at) {
            return Err(syntax("a number has no digit after its point"));
        }
    }
    let mantissa = at;
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        if !digits(&mut at) {
            return Err(syntax("a number has no digit in its exponent"));
        }
    }
    if numbers == Numbers::Integers {
        return Err(refused("a number with fraction or exponent where integers are expected"));
    }
    if at > LONGEST {
        return Err(refused(format!("number of {at} bytes is over {LONGEST}")));
    }
    let literal = text.get(..at).and_then(|t| std::str::from_utf8(t).ok()).unwrap_or_default();
    let value: f64 = literal.parse().map_err(|_| syntax("a number cannot be read"))?;
    let zero = !text.get(..mantissa).unwrap_or_default().iter().any(|b| matches!(b, b'1'..=b'9'));
    if !value.is_finite() {
        return Err(refused("a number beyond what a double holds"));
    }
    if value == 0.0 && (!zero || text.first() == Some(&b'-')) {
        return Err(refused(if zero { "negative zero" } else { "a number that reads as zero" }));
    }
    Ok((Value::Float(value), at))
}

/// Writes a finite double as ECMAScript does (RFC 8785 section 3.2.2.3), but for whole numbers beyond
/// ±(2^53−1): those keep an exponent, since written out they would be integers that readers with
/// exact ones take for another number, and that rule J5 refuses.
pub(super) fn write(value: f64, out: &mut Vec<u8>) {
    if value == 0.0 {
        out.push(b'0');
        return;
    }
    if value < 0.0 {
        out.push(b'-');
    }
    // The shortest digits that read back as this value, and the place of the point.
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let point = exponent.parse::<i32>().unwrap_or_default() + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or_default());
    let cut = usize::try_from(point).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a double holds it")]
    let exact = value.abs() <= SAFE as f64;
    let spelled = if count <= point && exact {
        format!("{digits}{}", zeros(point - count))
    } else if 0 < point && exact {
        let (whole, fraction) = digits.split_at_checked(cut).unwrap_or((&digits, ""));
        format!("{whole}.{fraction}")
    } else if -6 < point && point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at_checked(1).unwrap_or((&digits, ""));
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{:+}", point - 1)
    };
    out.extend_from_slice(spelled.as_bytes());
}

fn syntax(sentence: &str) -> Violation {
    Violation::new(Reason::JsonSyntax, sentence)
}

fn refused(sentence: impl Into<String>) -> Violation {
    Violation::new(Reason::JsonNumber, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str, numbers: Numbers) -> Result<String, Reason> {
        match read(text.as_bytes(), numbers) {
            Ok((value, size)) if size == text.len() => Ok(value.shown()),
            Ok(_) => Err(Reason::JsonTrailing),
            Err(violation) => Err(violation.reason),
        }
    }

    // TRAP-03, CON-11: J4 to J7
    #[test]
    fn numbers_that_parsers_read_differently_are_refused() {
        let bad = |text: &str| reason(text, Numbers::IJson).unwrap_err();
        for text in
            ["9007199254740992", "-9007199254740992", "-0", "-0.0", "-0e5", "1e400", "1e-400"]
        {
            assert_eq!(bad(text), Reason::JsonNumber, "{text}");
        }
        assert_eq!(bad(&"1".repeat(400)), Reason::JsonNumber);
        assert_eq!(bad(&format!("1.{}", "0".repeat(40))), Reason::JsonNumber);
        for text in ["01", "-", "1.", "1e", "1e+", "-01", "00"] {
            assert_eq!(bad(text), Reason::JsonSyntax, "{text}");
        }
        assert_eq!(reason("1.0", Numbers::Integers), Err(Reason::JsonNumber));
        assert_eq!(reason("9223372036854775807", Numbers::I64), Ok("9223372036854775807".into()));
        assert_eq!(reason("-9223372036854775808", Numbers::I64).unwrap(), "-9223372036854775808");
        assert_eq!(reason("9223372036854775808", Numbers::I64), Err(Reason::JsonNumber));
        assert_eq!(reason("0e5", Numbers::IJson), Ok("0".into()));
    }

    // CON-11
    #[test]
    fn a_short_integer_is_read_as_any_other() {
        for text in [
            "0,",
            "7]",
            "00,",
            "01,",
            "10}",
            "12 ",
            "999999999999999,",
            "1000000000000000,",
            "1.0,",
            "1e3,",
            "-1,",
            "-,",
            "-0,",
            ",",
            "5-",
            "1x",
            "5",
            "",
        ] {
            if let Some((number, size)) = short(text.as_bytes()) {
                for numbers in [Numbers::IJson, Numbers::I64, Numbers::Integers] {
                    let read = read(text.as_bytes(), numbers);
                    assert_eq!(read.ok(), Some((Value::Int(number), size)), "{text}");
                }
            }
        }
        assert_eq!(short(b"999999999999999,"), Some((999_999_999_999_999, 15)));
        assert_eq!(short(b"0}"), Some((0, 1)));
    }

    #[test]
    fn a_double_has_one_spelling() {
        let rows = [
            (1000.0, "1000"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1e21, "1e+21"),
            // TRAP-03: none is an integer that J5 refuses.
            (9_007_199_254_740_991.0, "9007199254740991"),
            (-9_007_199_254_740_992.0, "-9.007199254740992e+15"),
            (1e20, "1e+20"),
            (72_978_571_852_519_680_000.0, "7.297857185251968e+19"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (123_456_789.125, "123456789.125"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
        ];
        for (value, spelling) in rows {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), spelling);
        }
    }
}
