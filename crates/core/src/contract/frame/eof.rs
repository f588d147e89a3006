//! `eof`: the whole direction is one frame, complete at its clean end.
//!
//! Without close_notify the receiver cannot know that all of it arrived, so a cut stream holds no
//! frame (RFC 9846, closure alerts).

use super::{Frame, too_large};
use crate::rejection::{Reason, Violation};

/// No frame is whole before the end; what is over the limit is refused at once.
pub(super) fn cut(buffer: &[u8], limit: usize) -> Result<Option<Frame>, Violation> {
    // The sentence does not say how much came together, which is chance.
    if buffer.len() > limit { Err(too_large(limit as u64 + 1, limit)) } else { Ok(None) }
}

pub(super) fn last(rest: &[u8], clean: bool, limit: usize) -> Result<Option<Frame>, Violation> {
    if !clean {
        let sentence = format!(
            "the stream ended without close_notify after {} bytes, so it may have been cut",
            rest.len()
        );
        return Err(Violation::new(Reason::TruncatedStream, sentence));
    }
    cut(rest, limit)?;
    Ok(Some(Frame { size: rest.len(), payload: 0..rest.len(), skipped: false }))
}
