//! `delimiter`: a frame ends with fixed bytes.

use super::{Frame, endless};
use crate::rejection::{Reason, Violation};

/// One to eight bytes that end a frame and cannot overlap themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delimiter(Box<[u8]>);

impl Delimiter {
    /// A delimiter of these bytes.
    ///
    /// # Errors
    /// If there are none or more than eight, or if the bytes overlap themselves: two parsers may
    /// then disagree where a frame ends (K-12).
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() || bytes.len() > 8 {
            return Err("a delimiter has 1 to 8 bytes".to_owned());
        }
        if overlaps_itself(bytes) {
            return Err(
                "the delimiter overlaps itself, so two parsers may disagree where a frame \
                        ends"
                    .to_owned(),
            );
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn cut(
        &self,
        buffer: &[u8],
        scanned: &mut usize,
        limit: usize,
    ) -> Result<Option<Frame>, Violation> {
        let window = buffer.get(..limit).unwrap_or(buffer);
        let unseen = window.get(*scanned..).unwrap_or_default();
        let Some(found) = unseen.windows(self.0.len()).position(|at| at == &*self.0) else {
            // The delimiter may have begun in the last bytes.
            *scanned = (window.len() + 1).saturating_sub(self.0.len());
            return if buffer.len() >= limit { Err(endless(limit)) } else { Ok(None) };
        };
        let end = *scanned + found;
        Ok(Some(Frame { size: end + self.0.len(), payload: 0..end, skipped: false }))
    }

    pub(super) fn put(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let start = out.len();
        out.extend_from_slice(payload);
        out.extend_from_slice(&self.0);
        let written = out.get(start..).unwrap_or_default();
        let first = written.windows(self.0.len()).position(|at| at == &*self.0);
        if first != Some(payload.len()) {
            out.truncate(start);
            return Err(Violation::new(Reason::LineEnd, "the payload holds its own delimiter"));
        }
        Ok(())
    }
}

/// Whether an end of these bytes is their beginning too. Then what stands before them may move
/// them: `a:` and `::` are read as `a` and `::`, with a colon left over.
pub(in crate::contract) fn overlaps_itself(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|n| bytes.get(n..).is_some_and(|tail| bytes.starts_with(tail)))
}
