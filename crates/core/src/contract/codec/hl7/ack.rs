//! The acknowledgement that refuses a message, made of the contract's own names.
//!
//! Of the refused message it repeats the control id, and only one that is well formed.

use super::Hl7;
use super::decode::{DELIMITERS, field, is_id};

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// AR, or CR where MSH-15 asks for enhanced mode.
    Reject,
    /// AE, or CE.
    Error,
}

impl Hl7 {
    /// The payload that refuses the frame; always there, for its sender waits for one.
    pub(in super::super) fn ack(&self, verdict: Verdict, frame: &[u8]) -> Vec<u8> {
        let header = header(frame);
        let of = |number| header.and_then(|header| field(header, number)).unwrap_or_default();
        let id = Some(of(10)).filter(|id| is_id(id)).unwrap_or_default();
        let version = match of(12).as_bytes() {
            [b'2', b'.', b'1'..=b'9'] | [b'2', b'.', b'1'..=b'9', b'.', b'1'..=b'9'] => of(12),
            _ => "2.5",
        };
        let mode = if matches!(of(15), "AL" | "NE" | "ER" | "SU") { 'C' } else { 'A' };
        let verdict = match verdict {
            Verdict::Reject => 'R',
            Verdict::Error => 'E',
        };
        let (app, facility, end) = (&self.ack_app, &self.ack_facility, self.segment_end.as_str());
        // Its own id differs from every one of the sender's by its first letter, and is as long as
        // one may be.
        let own: String = format!("S{id}").chars().take(199).collect();
        format!(
            "{DELIMITERS}|{app}|{facility}|||||ACK|{own}|P|{version}{end}MSA|{mode}{verdict}|{id}{end}"
        )
        .into_bytes()
    }
}

/// MSH of a frame, if it can be read at all.
fn header(frame: &[u8]) -> Option<&str> {
    let payload = frame.strip_prefix(&[0x0b])?;
    let end = payload.iter().position(|byte| matches!(*byte, b'\r' | b'\n'))?;
    let header = std::str::from_utf8(payload.get(..end)?).ok()?;
    header.strip_prefix(DELIMITERS)?.starts_with('|').then_some(header)
}
