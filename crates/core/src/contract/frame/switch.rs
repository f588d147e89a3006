//! `switch`: a field at a fixed place says how the frame that it stands in is cut.

use super::{Fixed, Frame, Length, LengthType, endless};
use crate::rejection::{Reason, Violation};

/// Where the type of a frame stands, and how each type is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Bytes before the type field.
    at: usize,
    kind: LengthType,
    cases: Vec<(u64, Case)>,
}

/// How the frames of one type are cut, from their first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Case {
    /// All have one size.
    Fixed(Fixed),
    /// They say their length ahead.
    Length(Length),
}

impl Switch {
    /// How each type is cut, for people.
    pub(in crate::contract) fn told(&self) -> String {
        let case = |(value, case): &(u64, Case)| match case {
            Case::Fixed(fixed) => format!("{value}: {} bytes", fixed.size()),
            Case::Length(length) => format!("{value}: its length ahead, {}", length.told()),
        };
        let cases: Vec<String> = self.cases.iter().map(case).collect();
        format!("{} behind {} bytes; {}", self.kind.told(), self.at, cases.join("; "))
    }

    /// A rule of these cases, by the value of the type field.
    ///
    /// # Errors
    /// A sentence, if the field is no fixed-width integer, a value does not fit it, there is no
    /// case, or a frame of fixed size ends before its type.
    pub fn new(at: usize, kind: LengthType, cases: Vec<(u64, Case)>) -> Result<Self, String> {
        let (LengthType::Big(width) | LengthType::Little(width)) = kind else {
            return Err("the type field is an integer of fixed width, such as `u8`".to_owned());
        };
        if at > 64 {
            return Err("`at` is 0 to 64".to_owned());
        }
        if cases.is_empty() {
            return Err("`cases` is empty".to_owned());
        }
        let bits = u32::from(width) * 8;
        if let Some((value, _)) = cases.iter().find(|(v, _)| v.checked_shr(bits).unwrap_or(0) > 0) {
            return Err(format!("the case {value:#x} does not fit into {width} bytes"));
        }
        let end = at + usize::from(width);
        let short = |case: &Case| matches!(case, Case::Fixed(fixed) if fixed.size() < end);
        if let Some((value, _)) = cases.iter().find(|(_, case)| short(case)) {
            return Err(format!("a frame of the case {value:#x} ends before its type"));
        }
        Ok(Self { at, kind, cases })
    }

    /// The largest of the shortest frames of each kind.
    pub(super) fn least(&self) -> u64 {
        let least = |case: &Case| match case {
            Case::Fixed(fixed) => fixed.size() as u64,
            Case::Length(length) => length.least(),
        };
        self.cases.iter().map(|(_, case)| least(case)).max().unwrap_or(0)
    }

    pub(super) fn can_rewrite(&self, same_size: bool) -> bool {
        self.cases.iter().all(|(_, case)| match case {
            Case::Fixed(_) => same_size,
            Case::Length(length) => length.can_rewrite(),
        })
    }

    pub(super) fn cut(&self, buffer: &[u8], limit: usize) -> Result<Option<Frame>, Violation> {
        let window = buffer.get(..limit).unwrap_or(buffer);
        let field = window.get(self.at..).unwrap_or_default();
        let Some((value, width)) = self.kind.read(field)? else {
            return if buffer.len() >= limit { Err(endless(limit)) } else { Ok(None) };
        };
        let Some((_, case)) = self.cases.iter().find(|(of, _)| *of == value) else {
            let sentence = format!("no frame has the type {value:#x}");
            return Err(Violation::new(Reason::FrameType, sentence));
        };
        match case {
            Case::Fixed(fixed) => fixed.cut(buffer, limit),
            Case::Length(length) => match length.cut(buffer, limit)? {
                Some(frame) if frame.size < self.at + width => {
                    let sentence = "the frame ends before its type";
                    Err(Violation::new(Reason::LengthRange, sentence))
                }
                cut => Ok(cut),
            },
        }
    }

    /// A payload of fixed size holds its type; a frame of a stated length has it where the rule
    /// fixes those bytes (`magic`).
    pub(super) fn put(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let start = out.len();
        for (_, case) in &self.cases {
            let put = match case {
                Case::Fixed(fixed) => fixed.put(payload, out),
                Case::Length(length) => length.put(payload, out),
            };
            let written = out.get(start..).unwrap_or_default();
            let same = |frame: &Frame| {
                frame.size == written.len() && written.get(frame.payload.clone()) == Some(payload)
            };
            if put.is_ok()
                && self.cut(written, written.len()).is_ok_and(|cut| cut.is_some_and(|f| same(&f)))
            {
                return Ok(());
            }
            out.truncate(start);
        }
        Err(Violation::new(Reason::FrameType, "no type of frame holds this payload"))
    }
}
