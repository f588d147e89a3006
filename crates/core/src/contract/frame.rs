//! `FrameRule`: how bytes become frames.
//!
//! Frames are looked for in place, in whatever buffer the bytes already stand in; nothing is
//! copied, and what is announced too large is refused on its header alone. The verdict does not
//! depend on how the bytes arrived (`contracts.md` section 5).

mod delimiter;
mod digits;
mod eof;
mod fixed;
mod headers;
mod length;
mod lines;
mod mllp;
mod netstring;
mod octet_count;
mod switch;

pub use super::codec::resp::frame::RespFrame;
pub use delimiter::Delimiter;
pub(super) use delimiter::overlaps_itself;
pub use fixed::Fixed;
pub use headers::Headers;
pub use length::{Length, LengthType};
pub use lines::{AtEof, Lines};
pub use octet_count::OctetCount;
pub use switch::{Case, Switch};

use super::codec::modbus::frame as mbap;
use crate::rejection::{Reason, Violation};
use std::ops::Range;

/// How one direction cuts its bytes into frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameRule {
    /// Frames end with a line feed.
    Lines(Lines),
    /// Frames end with fixed bytes.
    Delimiter(Delimiter),
    /// Frames say their length ahead.
    Length(Length),
    /// Frames are netstrings.
    Netstring,
    /// Frames have one size.
    Fixed(Fixed),
    /// The whole direction is one frame.
    Eof,
    /// Frames are blocks of the minimal lower layer protocol.
    Mllp,
    /// Frames have headers, one of which says their length.
    Headers(Headers),
    /// Frames have their length in digits ahead.
    OctetCount(OctetCount),
    /// Frames say by a field how they are cut.
    Switch(Switch),
    /// The header of Modbus/TCP, which stays in the payload.
    Mbap,
    /// Values of RESP, whose types stay in the payload.
    Resp(RespFrame),
    /// No frames: the direction passes uninspected, for this reason. It has no messages.
    Raw(Box<str>),
}

/// One whole frame at the start of a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// All bytes of the frame on the wire, header and terminator included.
    pub size: usize,
    /// Where its payload stands, counted from the start of the buffer.
    pub payload: Range<usize>,
    /// Whether it is an empty line that the contract skips.
    pub skipped: bool,
}

impl FrameRule {
    /// Why the direction passes uninspected, if it does.
    #[must_use]
    pub fn uninspected(&self) -> Option<&str> {
        match self {
            Self::Raw(reason) => Some(reason),
            _ => None,
        }
    }

    /// The size of the shortest frame, in bytes, as far as the rule implies one; of several kinds the
    /// largest of them.
    pub(crate) fn least(&self) -> u64 {
        match self {
            Self::Fixed(rule) => rule.size() as u64,
            Self::Length(rule) => rule.least(),
            Self::Switch(rule) => rule.least(),
            _ => 0,
        }
    }

    /// Whether bytes hold what ends a frame, so that they are in no payload.
    pub(crate) fn ends_in(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Lines(_) => bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')),
            Self::Delimiter(rule) => {
                let end = rule.bytes();
                bytes.windows(end.len()).any(|window| window == end)
            }
            Self::Mllp => bytes.iter().any(|byte| matches!(byte, 0x0b | 0x1c)),
            _ => false,
        }
    }

    /// Whether what was read can be written anew, also in another size.
    pub(crate) fn can_rewrite(&self, same_size: bool) -> bool {
        match self {
            Self::Fixed(_) => same_size,
            Self::Length(rule) => rule.can_rewrite(),
            Self::Switch(rule) => rule.can_rewrite(same_size),
            Self::Raw(_) => false,
            _ => true,
        }
    }

    /// Looks for one whole frame at the start of `buffer`.
    ///
    /// `scanned` says how many bytes were already searched in vain; it is kept between calls that
    /// extend the same buffer, and is 0 again after a frame. `limit` counts every byte on the wire.
    ///
    /// # Errors
    /// A frame that is larger than `limit`, or not written as the rule demands.
    pub fn cut(
        &self,
        buffer: &[u8],
        scanned: &mut usize,
        limit: usize,
    ) -> Result<Option<Frame>, Violation> {
        let frame = match self {
            Self::Lines(rule) => rule.cut(buffer, scanned, limit),
            Self::Delimiter(rule) => rule.cut(buffer, scanned, limit),
            Self::Length(rule) => rule.cut(buffer, limit),
            Self::Netstring => netstring::cut(buffer, limit),
            Self::Fixed(rule) => rule.cut(buffer, limit),
            Self::Eof => eof::cut(buffer, limit),
            Self::Mllp => mllp::cut(buffer, scanned, limit),
            Self::Headers(rule) => rule.cut(buffer, scanned, limit),
            Self::OctetCount(rule) => rule.cut(buffer, limit),
            Self::Switch(rule) => rule.cut(buffer, limit),
            Self::Mbap => mbap::cut(buffer, limit),
            Self::Resp(rule) => rule.cut(buffer, scanned, limit),
            // Nothing of it is judged.
            Self::Raw(_) => Ok(Some(Frame { size: buffer.len(), payload: 0..0, skipped: true })),
        }?;
        if frame.is_some() {
            *scanned = 0;
        }
        Ok(frame)
    }

    /// Judges the bytes that were left when the stream ended.
    ///
    /// `clean` tells an orderly end (close_notify, or FIN on a plain side) from a cut one.
    ///
    /// # Errors
    /// `truncated_frame` or `truncated_stream`, if the stream ended inside a frame.
    pub fn end(&self, rest: &[u8], clean: bool, limit: usize) -> Result<Option<Frame>, Violation> {
        if rest.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Eof => eof::last(rest, clean, limit),
            Self::Lines(rule) if clean && rule.at_eof == AtEof::Accept => {
                rule.last(rest, limit).map(Some)
            }
            _ if clean => Err(Violation::new(
                Reason::TruncatedFrame,
                format!("the stream ended inside a frame, after {} bytes of it", rest.len()),
            )),
            _ => Err(Violation::new(
                Reason::TruncatedStream,
                format!(
                    "the stream ended without close_notify inside a frame, after {} bytes of it",
                    rest.len()
                ),
            )),
        }
    }

    /// Writes a payload as a frame of this rule.
    ///
    /// # Errors
    /// A payload that no frame of this rule can hold; `out` is then unchanged.
    pub fn put(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        match self {
            Self::Lines(rule) => rule.put(payload, out),
            Self::Delimiter(rule) => rule.put(payload, out),
            Self::Length(rule) => rule.put(payload, out),
            Self::Netstring => netstring::put(payload, out),
            Self::Fixed(rule) => rule.put(payload, out),
            Self::Eof => {
                out.extend_from_slice(payload);
                Ok(())
            }
            Self::Mllp => mllp::put(payload, out),
            Self::Headers(rule) => rule.put(payload, out),
            Self::OctetCount(rule) => rule.put(payload, out),
            Self::Switch(rule) => rule.put(payload, out),
            Self::Mbap => mbap::put(payload, out),
            Self::Resp(rule) => rule.put(payload, out),
            Self::Raw(_) => {
                let sentence = "what passes uninspected has no frames";
                Err(Violation::new(Reason::LengthForm, sentence))
            }
        }
    }
}

/// The refusal of a frame that is larger than the contract allows.
fn too_large(size: u64, limit: usize) -> Violation {
    Violation::new(
        Reason::FrameTooLarge,
        format!("frame of {size} bytes is over the contract's limit of {limit}"),
    )
}

/// The refusal of a frame whose end is not in sight within the limit.
fn endless(limit: usize) -> Violation {
    Violation::new(
        Reason::FrameTooLarge,
        format!("no end of frame within the contract's limit of {limit} bytes"),
    )
}

#[cfg(test)]
mod tests;
