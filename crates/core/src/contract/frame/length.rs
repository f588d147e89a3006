//! `length`: a frame says ahead how long it is.

use super::{Frame, too_large};
use crate::audit::{named, shown};
use crate::rejection::{Reason, Violation};

/// A length above this is refused whatever the contract says.
const LARGEST: u64 = (1 << 31) - 1;

/// How the length of a frame is written, and what it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Length {
    kind: LengthType,
    /// Bytes before the length field.
    at: usize,
    /// Whether the length counts the bytes before the payload too.
    includes_header: bool,
    /// Added to the length.
    adjust: i64,
    /// Fixed bytes that every frame begins with.
    magic: Box<[u8]>,
    /// The shortest payload, in bytes.
    min: u64,
}

/// How a length field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthType {
    /// An unsigned integer of so many bytes, most significant first.
    Big(u8),
    /// An unsigned integer of so many bytes, least significant first.
    Little(u8),
    /// Unsigned LEB128 in its shortest form, of at most so many bytes.
    Varint(u8),
    /// Exactly so many ASCII digits.
    AsciiDec(u8),
}

impl LengthType {
    /// The type of this name; `digits` and `max_bytes` are the keys of the contract.
    ///
    /// # Errors
    /// A sentence, if there is no such type or its keys do not fit.
    pub fn new(name: &str, digits: Option<u8>, max_bytes: Option<u8>) -> Result<Self, String> {
        let kind = match name {
            "u8" => Self::Big(1),
            "u16be" => Self::Big(2),
            "u24be" => Self::Big(3),
            "u32be" => Self::Big(4),
            "u64be" => Self::Big(8),
            "u16le" => Self::Little(2),
            "u24le" => Self::Little(3),
            "u32le" => Self::Little(4),
            "u64le" => Self::Little(8),
            "varint" => Self::Varint(max_bytes.unwrap_or(5)),
            "ascii-dec" => Self::AsciiDec(
                digits.ok_or_else(|| "`ascii-dec` needs `digits`, 1 to 9".to_owned())?,
            ),
            _ => return Err(format!("there is no length type `{name}`")),
        };
        match kind {
            Self::Varint(n) if !(1..=5).contains(&n) => Err("`max_bytes` is 1 to 5".to_owned()),
            Self::AsciiDec(n) if !(1..=9).contains(&n) => Err("`digits` is 1 to 9".to_owned()),
            _ if digits.is_some() && name != "ascii-dec" => {
                Err("`digits` belongs to `ascii-dec`".to_owned())
            }
            _ if max_bytes.is_some() && name != "varint" => {
                Err("`max_bytes` belongs to `varint`".to_owned())
            }
            kind => Ok(kind),
        }
    }

    /// How it is written, for people.
    pub(super) fn told(self) -> String {
        match self {
            Self::Big(1) | Self::Little(1) => "an unsigned integer of 1 byte".to_owned(),
            Self::Big(n) => format!("an unsigned integer of {n} bytes, most significant first"),
            Self::Little(n) => format!("an unsigned integer of {n} bytes, least significant first"),
            Self::Varint(n) => format!("a shortest LEB128 of at most {n} bytes"),
            Self::AsciiDec(n) => format!("exactly {n} ASCII digits"),
        }
    }

    /// Every name of a type.
    pub const NAMES: [&'static str; 11] = [
        "u8",
        "u16be",
        "u16le",
        "u24be",
        "u24le",
        "u32be",
        "u32le",
        "u64be",
        "u64le",
        "varint",
        "ascii-dec",
    ];
}

impl Length {
    /// A rule of these keys (`contracts.md` section 5).
    ///
    /// # Errors
    /// A sentence, if a key is out of its range.
    pub fn new(
        kind: LengthType,
        at: usize,
        includes_header: bool,
        adjust: i64,
        magic: &[u8],
        min: u64,
    ) -> Result<Self, String> {
        if at > 64 {
            return Err("`at` is 0 to 64".to_owned());
        }
        if !(-64..=64).contains(&adjust) {
            return Err("`adjust` is -64 to 64".to_owned());
        }
        if magic.len() > 16 || magic.len() > at {
            return Err("`magic` has at most 16 bytes and ends before the length field".to_owned());
        }
        Ok(Self { kind, at, includes_header, adjust, magic: magic.into(), min })
    }

    /// How frames of it are cut, for people.
    pub(in crate::contract) fn told(&self) -> String {
        let mut says = vec![self.kind.told()];
        if self.at > 0 {
            says.push(format!("behind {} bytes", self.at));
        }
        if !self.magic.is_empty() {
            says.push(format!("each begins with the bytes `{}`", named(&self.magic)));
        }
        if self.includes_header {
            says.push("which counts the bytes ahead of the payload too".to_owned());
        }
        if self.adjust != 0 {
            says.push(format!("to which {} is added", self.adjust));
        }
        if self.min > 0 {
            says.push(format!("a payload of at least {} bytes", self.min));
        }
        says.join(", ")
    }

    /// Bytes of the shortest frame: those ahead of the payload, and the least payload.
    pub(super) fn least(&self) -> u64 {
        (self.at as u64 + *self.kind.widths().start() as u64).saturating_add(self.min)
    }

    /// Whether all bytes ahead of the payload are known.
    pub(super) fn can_rewrite(&self) -> bool {
        self.at == self.magic.len()
    }

    pub(super) fn cut(&self, buffer: &[u8], limit: usize) -> Result<Option<Frame>, Violation> {
        // A header that is not whole within the limit is not looked at beyond it, so the verdict is
        // the same when more has come.
        let window = buffer.get(..limit).unwrap_or(buffer);
        self.check_magic(window)?;
        let field = window.get(self.at..).unwrap_or_default();
        let Some((value, width)) = self.kind.read(field)? else {
            return if buffer.len() >= limit { Err(super::endless(limit)) } else { Ok(None) };
        };
        let header = self.at + width;
        let size = self.size(value, header)?;
        if size > limit as u64 {
            return Err(too_large(size, limit));
        }
        let size = usize::try_from(size).map_err(|_| too_large(size, limit))?;
        if size - header < usize::try_from(self.min).unwrap_or(usize::MAX) {
            return Err(Violation::new(
                Reason::LengthRange,
                format!("payload of {} bytes is under the least of {}", size - header, self.min),
            ));
        }
        let whole = buffer.len() >= size;
        Ok(whole.then_some(Frame { size, payload: header..size, skipped: false }))
    }

    /// Refuses another protocol at its first wrong byte.
    fn check_magic(&self, buffer: &[u8]) -> Result<(), Violation> {
        let Some(wrong) = self.magic.iter().zip(buffer).position(|(magic, byte)| magic != byte)
        else {
            return Ok(());
        };
        // Up to the first wrong byte, so that the sentence too is the same however they came.
        let seen = buffer.get(..=wrong).unwrap_or(buffer);
        Err(Violation::new(
            Reason::Magic,
            format!(
                "the frame begins with `{}`, not with the magic bytes `{}`",
                shown(seen),
                named(&self.magic)
            ),
        ))
    }

    /// All bytes of a frame whose length field says `value`.
    fn size(&self, value: u64, header: usize) -> Result<u64, Violation> {
        let range =
            || Violation::new(Reason::LengthRange, format!("no frame can have the length {value}"));
        if value > LARGEST {
            return Err(range());
        }
        let counted = if self.includes_header { 0 } else { header as u64 };
        let size = (value + counted).checked_add_signed(self.adjust).ok_or_else(range)?;
        if size < header as u64 { Err(range()) } else { Ok(size) }
    }

    pub(super) fn put(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let cannot = || {
            Violation::new(
                Reason::LengthRange,
                format!("no frame of this rule holds a payload of {} bytes", payload.len()),
            )
        };
        if self.at > self.magic.len() {
            return Err(Violation::new(Reason::Magic, "bytes before the length are not known"));
        }
        // The width of a varint depends on its value, which may count the header.
        for width in self.kind.widths() {
            let header = (self.at + width) as u64;
            let counted = if self.includes_header { header } else { 0 };
            let value = (payload.len() as u64 + counted).checked_add_signed(-self.adjust);
            let Some(field) = value.and_then(|v| self.kind.write(v)) else { continue };
            if field.len() == width {
                out.extend_from_slice(&self.magic);
                out.extend_from_slice(&field);
                out.extend_from_slice(payload);
                return Ok(());
            }
        }
        Err(cannot())
    }
}

impl LengthType {
    /// The value of a length field and its width, once all of it is there.
    pub(super) fn read(self, field: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
        match self {
            Self::Big(width) => {
                let width = usize::from(width);
                let Some(bytes) = field.get(..width) else { return Ok(None) };
                Ok(Some((bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)), width)))
            }
            Self::Little(width) => {
                let width = usize::from(width);
                let Some(bytes) = field.get(..width) else { return Ok(None) };
                Ok(Some((bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)), width)))
            }
            Self::Varint(most) => read_varint(field, usize::from(most)),
            Self::AsciiDec(digits) => read_digits(field, usize::from(digits)),
        }
    }

    fn widths(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Big(n) | Self::Little(n) | Self::AsciiDec(n) => usize::from(n)..=usize::from(n),
            Self::Varint(most) => 1..=usize::from(most),
        }
    }

    fn write(self, value: u64) -> Option<Vec<u8>> {
        if value > LARGEST {
            return None;
        }
        match self {
            Self::Big(width) => {
                let bytes = value.to_be_bytes();
                let (high, low) = bytes.split_at_checked(8 - usize::from(width))?;
                high.iter().all(|b| *b == 0).then(|| low.to_vec())
            }
            Self::Little(width) => {
                let bytes = value.to_le_bytes();
                let (low, high) = bytes.split_at_checked(usize::from(width))?;
                high.iter().all(|b| *b == 0).then(|| low.to_vec())
            }
            Self::Varint(most) => {
                let mut bytes = Vec::new();
                let mut rest = value;
                loop {
                    let group = u8::try_from(rest & 0x7f).ok()?;
                    rest >>= 7;
                    bytes.push(if rest == 0 { group } else { group | 0x80 });
                    if rest == 0 {
                        return (bytes.len() <= usize::from(most)).then_some(bytes);
                    }
                }
            }
            Self::AsciiDec(digits) => {
                let digits = usize::from(digits);
                let text = format!("{value:0digits$}");
                (text.len() == digits).then(|| text.into_bytes())
            }
        }
    }
}

fn read_varint(field: &[u8], most: usize) -> Result<Option<(u64, usize)>, Violation> {
    let mut value = 0_u64;
    for (at, byte) in field.iter().take(most).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if *byte == 0 && at > 0 {
                return Err(form("a varint is not in its shortest form"));
            }
            return Ok(Some((value, at + 1)));
        }
    }
    if field.len() >= most { Err(form(format!("a varint is over {most} bytes"))) } else { Ok(None) }
}

fn read_digits(field: &[u8], digits: usize) -> Result<Option<(u64, usize)>, Violation> {
    let seen = field.get(..digits).unwrap_or(field);
    if let Some(bad) = seen.iter().find(|b| !b.is_ascii_digit()) {
        return Err(form(format!("`{}` in a length of {digits} digits", shown(&[*bad]))));
    }
    if seen.len() < digits {
        return Ok(None);
    }
    Ok(Some((seen.iter().fold(0, |n, b| n * 10 + u64::from(b - b'0')), digits)))
}

fn form(sentence: impl Into<String>) -> Violation {
    Violation::new(Reason::LengthForm, sentence)
}
