//! MBAP: transaction u16, protocol u16 that is 0, length u16, unit u8, function code u8, data.
//!
//! The whole frame is the payload. Each byte of the header is judged as soon as it is there, so
//! that HTTP or TLS spoken to this port ends at its third byte.

use super::ADU;
use crate::contract::frame::Frame;
use crate::rejection::{Reason, Violation};

/// Bytes before those that the length counts.
const HEADER: usize = 6;

/// Looks for one whole frame at the start of `buffer`.
pub(crate) fn cut(buffer: &[u8], limit: usize) -> Result<Option<Frame>, Violation> {
    for byte in buffer.iter().skip(2).take(2) {
        if *byte != 0 {
            let sentence = "the protocol identifier is not 0, so this is not Modbus/TCP";
            return Err(Violation::new(Reason::ProtocolId, sentence));
        }
    }
    let size = match buffer.get(4..) {
        None | Some([]) => return Ok(None),
        Some([0]) => return Ok(None),
        Some([high, rest @ ..]) => {
            let length = u16::from_be_bytes([*high, rest.first().copied().unwrap_or(0)]);
            if *high != 0 || !(2..=254).contains(&length) {
                // One byte alone already decides, and gives the same sentence as both.
                let sentence = "the length is not 2 to 254: unit, function code and data";
                return Err(Violation::new(Reason::LengthRange, sentence));
            }
            HEADER + usize::from(length)
        }
    };
    if size > limit {
        let sentence = format!("frame of {size} bytes is over the contract's limit of {limit}");
        return Err(Violation::new(Reason::FrameTooLarge, sentence));
    }
    let whole = buffer.len() >= size;
    Ok(whole.then_some(Frame { size, payload: 0..size, skipped: false }))
}

/// Writes a payload, which is a whole frame already.
pub(crate) fn put(payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
    match cut(payload, ADU)? {
        Some(frame) if frame.size == payload.len() => {
            out.extend_from_slice(payload);
            Ok(())
        }
        _ => Err(Violation::new(Reason::LengthRange, "the bytes are not one Modbus frame")),
    }
}
