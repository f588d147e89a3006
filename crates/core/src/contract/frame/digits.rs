//! Lengths in decimal digits, written in one way only: no leading zero, no sign, no space.

use crate::rejection::{Reason, Violation};

/// A length at the start of `bytes` and the byte that ends it; gives the width of both. `None`
/// while they are not whole.
pub(super) fn read(bytes: &[u8], most: usize, end: u8) -> Result<Option<(u64, usize)>, Violation> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == end && at > 0 {
            return Ok(Some((value, at + 1)));
        }
        let leading_zero = at == 1 && value == 0;
        if !byte.is_ascii_digit() || at >= most || leading_zero {
            return Err(form(most));
        }
        value = value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    }
    Ok(None)
}

/// A whole text as a length.
pub(super) fn whole(text: &[u8], most: usize) -> Result<u64, Violation> {
    let canonical = text == b"0" || text.first().is_some_and(|first| *first != b'0');
    if !canonical || text.len() > most || !text.iter().all(u8::is_ascii_digit) {
        return Err(form(most));
    }
    Ok(text
        .iter()
        .fold(0, |n: u64, byte| n.saturating_mul(10).saturating_add(u64::from(byte - b'0'))))
}

fn form(most: usize) -> Violation {
    let sentence =
        format!("the length is not written as 1 to {most} digits without a leading zero");
    Violation::new(Reason::LengthForm, sentence)
}
