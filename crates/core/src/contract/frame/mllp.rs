//! `mllp`: the minimal lower layer protocol of HL7, 0x0B payload 0x1C 0x0D.
//!
//! Neither control byte may stand in a payload: a receiver that looks for them elsewhere would
//! see other blocks (CON-33).

use super::{Frame, endless};
use crate::rejection::{Reason, Violation};

const START: u8 = 0x0b;
const END: u8 = 0x1c;
const CR: u8 = 0x0d;

pub(super) fn cut(
    buffer: &[u8],
    scanned: &mut usize,
    limit: usize,
) -> Result<Option<Frame>, Violation> {
    let window = buffer.get(..limit).unwrap_or(buffer);
    match window.first() {
        None => return Ok(None),
        Some(&START) => {}
        Some(_) => return Err(form("bytes stand between the blocks")),
    }
    let from = (*scanned).max(1);
    let unseen = window.get(from..).unwrap_or_default();
    let Some(found) = unseen.iter().position(|byte| matches!(*byte, START | END)) else {
        *scanned = window.len();
        return if buffer.len() >= limit { Err(endless(limit)) } else { Ok(None) };
    };
    let end = from + found;
    if window.get(end) == Some(&START) {
        return Err(form("a block begins inside another"));
    }
    *scanned = end;
    match window.get(end + 1) {
        Some(&CR) => Ok(Some(Frame { size: end + 2, payload: 1..end, skipped: false })),
        Some(_) => Err(form("the byte 0x1c is not followed by 0x0d")),
        None if buffer.len() >= limit => Err(endless(limit)),
        None => Ok(None),
    }
}

pub(super) fn put(payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
    if payload.iter().any(|byte| matches!(*byte, START | END)) {
        return Err(form("the payload holds a byte that begins or ends a block"));
    }
    out.push(START);
    out.extend_from_slice(payload);
    out.extend_from_slice(&[END, CR]);
    Ok(())
}

fn form(sentence: &str) -> Violation {
    Violation::new(Reason::BlockForm, sentence)
}
