//! `fixed`: every frame has the same size.

use super::{Frame, too_large};
use crate::rejection::{Reason, Violation};

/// The size of every frame, in bytes; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed(usize);

impl Fixed {
    /// Frames of so many bytes.
    ///
    /// # Errors
    /// A sentence, if that is none or more than 16 MiB.
    pub fn new(size: usize) -> Result<Self, String> {
        if (1..=16 << 20).contains(&size) {
            Ok(Self(size))
        } else {
            Err("`size` is 1 to 16777216 bytes".to_owned())
        }
    }

    /// The size, in bytes.
    #[must_use]
    pub fn size(self) -> usize {
        self.0
    }

    pub(super) fn cut(self, buffer: &[u8], limit: usize) -> Result<Option<Frame>, Violation> {
        // A contract of which this holds is not loaded (K-11).
        if self.0 > limit {
            return Err(too_large(self.0 as u64, limit));
        }
        let frame = Frame { size: self.0, payload: 0..self.0, skipped: false };
        Ok((buffer.len() >= self.0).then_some(frame))
    }

    pub(super) fn put(self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        if payload.len() != self.0 {
            let sentence =
                format!("a frame has {} bytes, and the payload {}", self.0, payload.len());
            return Err(Violation::new(Reason::LengthRange, sentence));
        }
        out.extend_from_slice(payload);
        Ok(())
    }
}
