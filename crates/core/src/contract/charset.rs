//! `Charset`: which bytes are text.

use crate::rejection::{Reason, Violation};
use std::borrow::Cow;

/// A charset that a contract declares; none is ever guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// 0x00 to 0x7F.
    Ascii,
    /// UTF-8 without overlong forms and surrogates.
    Utf8,
    /// ISO 8859-1: each byte is the code point of its number.
    Latin1,
}

impl Charset {
    /// The charset of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "ascii" => Some(Self::Ascii),
            "utf-8" => Some(Self::Utf8),
            "latin1" => Some(Self::Latin1),
            _ => None,
        }
    }

    /// Every name.
    pub const NAMES: [&'static str; 3] = ["ascii", "utf-8", "latin1"];

    /// The text of these bytes, without a copy where the charset allows.
    ///
    /// # Errors
    /// `charset`, if the bytes do not decode completely.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, Violation> {
        match self {
            Self::Ascii => match bytes.iter().position(|b| !b.is_ascii()) {
                None => {
                    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| not("ascii", 0, 0))
                }
                Some(at) => Err(not("ascii", bytes.get(at).copied().unwrap_or_default(), at)),
            },
            Self::Utf8 => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
                let at = error.valid_up_to();
                not("utf-8", bytes.get(at).copied().unwrap_or_default(), at)
            }),
            Self::Latin1 => Ok(match std::str::from_utf8(bytes) {
                Ok(text) if bytes.is_ascii() => Cow::Borrowed(text),
                _ => Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()),
            }),
        }
    }

    /// The bytes of a text, if this charset has all of its characters.
    #[must_use]
    pub fn encode(self, text: &str) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Utf8 => Some(Cow::Borrowed(text.as_bytes())),
            Self::Ascii => text.is_ascii().then_some(Cow::Borrowed(text.as_bytes())),
            Self::Latin1 => {
                let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
                bytes.ok().map(Cow::Owned)
            }
        }
    }
}

fn not(charset: &str, byte: u8, at: usize) -> Violation {
    Violation::new(
        Reason::Charset,
        format!("byte \\x{byte:02x} at {at} is not text in the charset `{charset}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // TRAP-04, S3e
    #[test]
    fn bytes_outside_the_charset_are_refused_with_their_place() {
        let refused = Charset::Utf8.decode(b"5\xff").unwrap_err();
        assert_eq!(refused.reason, Reason::Charset);
        assert_eq!(refused.sentence, "byte \\xff at 1 is not text in the charset `utf-8`");
        for overlong in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\xaf"] {
            assert!(Charset::Utf8.decode(overlong).is_err());
        }
        assert!(Charset::Ascii.decode("²".as_bytes()).is_err());
    }

    #[test]
    fn latin1_reads_and_writes_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let text = Charset::Latin1.decode(&all).unwrap();
        assert_eq!(Charset::Latin1.encode(&text).unwrap(), all);
        assert_eq!(Charset::Latin1.encode("한"), None);
    }
}
