//! `netstring`: `LEN:payload,`, with the length in decimal digits.

use super::{Frame, digits, endless, too_large};
use crate::rejection::{Reason, Violation};

/// Most digits of a length.
const DIGITS: usize = 9;

pub(super) fn cut(buffer: &[u8], limit: usize) -> Result<Option<Frame>, Violation> {
    let window = buffer.get(..limit).unwrap_or(buffer);
    let Some((value, header)) = digits::read(window, DIGITS, b':')? else {
        return if buffer.len() >= limit { Err(endless(limit)) } else { Ok(None) };
    };
    let size = value + header as u64 + 1;
    let size = usize::try_from(size).ok().filter(|size| *size <= limit);
    let size = size.ok_or_else(|| too_large(value + header as u64 + 1, limit))?;
    match buffer.get(size - 1) {
        None => Ok(None),
        Some(b',') => Ok(Some(Frame { size, payload: header..size - 1, skipped: false })),
        Some(_) => {
            let sentence = "the frame does not end with a comma where its length says";
            Err(Violation::new(Reason::FrameTerminator, sentence))
        }
    }
}

pub(super) fn put(payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
    let length = payload.len().to_string();
    if length.len() > DIGITS {
        let sentence = format!("no netstring holds a payload of {length} bytes");
        return Err(Violation::new(Reason::LengthRange, sentence));
    }
    out.extend_from_slice(length.as_bytes());
    out.push(b':');
    out.extend_from_slice(payload);
    out.push(b',');
    Ok(())
}
