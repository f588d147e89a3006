//! `octet-count`: `MSG-LEN SP MSG` of syslog over TLS (RFC 5425 section 4.3, RFC 6587 section
//! 3.4.1).

use super::{Frame, digits, endless, too_large};
use crate::rejection::{Reason, Violation};

/// Frames whose length in decimal digits stands before one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OctetCount(u8);

impl OctetCount {
    /// At most so many digits, 1 to 9.
    ///
    /// # Errors
    /// A sentence, if there are fewer or more.
    pub fn new(max_digits: u8) -> Result<Self, String> {
        if (1..=9).contains(&max_digits) {
            Ok(Self(max_digits))
        } else {
            Err("`max_digits` is 1 to 9".to_owned())
        }
    }

    /// Most digits of a length.
    pub(in crate::contract) fn most_digits(self) -> u8 {
        self.0
    }

    pub(super) fn cut(self, buffer: &[u8], limit: usize) -> Result<Option<Frame>, Violation> {
        let window = buffer.get(..limit).unwrap_or(buffer);
        let Some((value, header)) = digits::read(window, usize::from(self.0), b' ')? else {
            return if buffer.len() >= limit { Err(endless(limit)) } else { Ok(None) };
        };
        if value == 0 {
            return Err(Violation::new(Reason::LengthForm, "the length is zero"));
        }
        let size = value + header as u64;
        let size = usize::try_from(size).ok().filter(|size| *size <= limit);
        let size = size.ok_or_else(|| too_large(value + header as u64, limit))?;
        let whole = buffer.len() >= size;
        Ok(whole.then_some(Frame { size, payload: header..size, skipped: false }))
    }

    pub(super) fn put(self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let length = payload.len().to_string();
        if payload.is_empty() || length.len() > usize::from(self.0) {
            let sentence = format!("no frame of this rule holds a payload of {length} bytes");
            return Err(Violation::new(Reason::LengthRange, sentence));
        }
        out.extend_from_slice(length.as_bytes());
        out.push(b' ');
        out.extend_from_slice(payload);
        Ok(())
    }
}
