//! `lines`: a frame ends with a line feed, with or without a carriage return before it.

use super::{Frame, endless};
use crate::rejection::{Reason, Violation};

/// The line ends that a direction takes, and what it does at the end of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// `"\n"` is a line end.
    pub lf: bool,
    /// `"\r\n"` is a line end.
    pub crlf: bool,
    /// What is written where Segwan writes a line end: the first of the contract's `ends`.
    pub writes_crlf: bool,
    /// What the last line without an end is.
    pub at_eof: AtEof,
    /// Whether empty lines are dropped, as keep-alives.
    pub skip_empty: bool,
}

/// What a line without an end is when the stream ends in an orderly way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEof {
    /// A truncated frame.
    Reject,
    /// The last frame.
    Accept,
}

impl Lines {
    pub(super) fn cut(
        &self,
        buffer: &[u8],
        scanned: &mut usize,
        limit: usize,
    ) -> Result<Option<Frame>, Violation> {
        let window = buffer.get(..limit).unwrap_or(buffer);
        let unseen = window.get(*scanned..).unwrap_or_default();
        let Some(found) = find(unseen, b'\n') else {
            *scanned = window.len();
            return if buffer.len() >= limit { Err(endless(limit)) } else { Ok(None) };
        };
        let size = *scanned + found + 1;
        let line = buffer.get(..size - 1).unwrap_or_default();
        self.line(line, size).map(Some)
    }

    /// The last line of a stream, which has no end.
    pub(super) fn last(&self, rest: &[u8], limit: usize) -> Result<Frame, Violation> {
        if rest.len() > limit {
            return Err(endless(limit));
        }
        refuse_stray_cr(rest)?;
        Ok(Frame { size: rest.len(), payload: 0..rest.len(), skipped: false })
    }

    fn line(&self, line: &[u8], size: usize) -> Result<Frame, Violation> {
        let (payload, cr) = match line.split_last() {
            Some((b'\r', payload)) if self.crlf => (payload, true),
            _ => (line, false),
        };
        if !cr && !self.lf {
            return Err(Violation::new(
                Reason::LineEnd,
                "a line ends with LF; the contract takes CR LF",
            ));
        }
        refuse_stray_cr(payload)?;
        let skipped = payload.is_empty() && self.skip_empty;
        Ok(Frame { size, payload: 0..payload.len(), skipped })
    }

    pub(super) fn put(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        if find(payload, b'\n').is_some() {
            return Err(Violation::new(Reason::LineEnd, "a line cannot hold a line feed"));
        }
        refuse_stray_cr(payload)?;
        out.extend_from_slice(payload);
        out.extend_from_slice(if self.writes_crlf { b"\r\n" } else { b"\n" });
        Ok(())
    }
}

/// Two parsers may disagree whether a lone carriage return ends a line (TRAP-05).
fn refuse_stray_cr(payload: &[u8]) -> Result<(), Violation> {
    match find(payload, b'\r') {
        Some(at) => Err(Violation::new(
            Reason::LineEnd,
            format!("a carriage return inside a line, at byte {at}"),
        )),
        None => Ok(()),
    }
}

/// Where a byte stands first. Blocks without it are passed as a whole: without an early way out
/// inside of a block the compiler compares all of its bytes at once.
fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks::<32>();
    let holds = |block: &[u8; 32]| block.iter().fold(false, |found, b| found | (*b == wanted));
    let clean = blocks.iter().take_while(|block| !holds(block)).count() * 32;
    let rest = bytes.get(clean..).unwrap_or_default();
    Some(clean + rest.iter().position(|b| *b == wanted)?)
}
