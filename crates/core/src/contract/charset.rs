//! `Charset`: which bytes are text.
//!
//! The one door to encoding_rs: bytes decode completely and encode back to the same bytes, a byte
//! order mark chooses nothing, and nothing is replaced (DEP-48).

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
    /// ASCII, and the pairs that KS X 1001 assigns.
    EucKr,
    /// Code page 949: EUC-KR and the 8,822 syllables that KS X 1001 lacks. The second byte of
    /// such a pair may be an ASCII letter.
    Cp949,
}

impl Charset {
    /// The charset of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "ascii" => Some(Self::Ascii),
            "utf-8" => Some(Self::Utf8),
            "latin1" => Some(Self::Latin1),
            "euc-kr" => Some(Self::EucKr),
            "cp949" => Some(Self::Cp949),
            _ => None,
        }
    }

    /// Every name.
    pub const NAMES: [&'static str; 5] = ["ascii", "utf-8", "latin1", "euc-kr", "cp949"];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ascii => "ascii",
            Self::Utf8 => "utf-8",
            Self::Latin1 => "latin1",
            Self::EucKr => "euc-kr",
            Self::Cp949 => "cp949",
        }
    }

    /// Whether an ASCII letter may be the second half of a character, so that no letter can be
    /// looked for in the bytes (K-12).
    #[must_use]
    pub fn hides_letters(self) -> bool {
        self == Self::Cp949
    }

    /// Whether a text may hold these bytes otherwise than as characters of their own: inside one, or
    /// as the end of one and the beginning of the next.
    pub(crate) fn may_split(self, bytes: &[u8]) -> bool {
        match self {
            Self::Ascii | Self::Latin1 => false,
            // A character of UTF-8 is in no other; some bytes are in none.
            Self::Utf8 => {
                let used = |byte: &u8| !matches!(byte, 0xc0 | 0xc1 | 0xf5..=0xff);
                std::str::from_utf8(bytes).is_err() && bytes.iter().all(used)
            }
            Self::EucKr => bytes.iter().any(|byte| (0x81..=0xfe).contains(byte)),
            Self::Cp949 => {
                bytes.iter().any(|byte| (0x81..=0xfe).contains(byte) || byte.is_ascii_alphabetic())
            }
        }
    }

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
            Self::EucKr => korean(bytes, "euc-kr", is_ks_x_1001),
            Self::Cp949 => korean(bytes, "cp949", |_| true),
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
            Self::EucKr | Self::Cp949 => {
                let (bytes, _, unmappable) = encoding_rs::EUC_KR.encode(text);
                let holds = !unmappable && (self == Self::Cp949 || is_ks_x_1001(&bytes));
                holds.then_some(bytes)
            }
        }
    }
}

/// Text in the Encoding Standard's EUC-KR, which is code page 949, within the narrower `range`.
fn korean<'a>(
    bytes: &'a [u8],
    name: &str,
    range: impl Fn(&[u8]) -> bool,
) -> Result<Cow<'a, str>, Violation> {
    let text = encoding_rs::EUC_KR.decode_without_bom_handling_and_without_replacement(bytes);
    let same = |text: &str| {
        let (again, _, unmappable) = encoding_rs::EUC_KR.encode(text);
        !unmappable && *again == *bytes
    };
    match text {
        Some(text) if text.is_ascii() || (range(bytes) && same(&text)) => Ok(text),
        _ => {
            let sentence = format!("the bytes are not text in the charset `{name}`");
            Err(Violation::new(Reason::Charset, sentence))
        }
    }
}

/// Whether all bytes are ASCII, or pairs of 0xA1 to 0xFE. Within these the index that decoded them
/// holds what KS X 1001 assigns and nothing else.
fn is_ks_x_1001(bytes: &[u8]) -> bool {
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        let pair = |b: &u8| (0xa1..=0xfe).contains(b);
        let whole = byte.is_ascii() || (pair(byte) && rest.next().is_some_and(pair));
        if !whole {
            return false;
        }
    }
    true
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

    // TRAP-25, CON-14, DEP-48
    #[test]
    fn korean_text_is_what_its_charset_assigns_and_nothing_else() {
        let name = b"\xc8\xab\xb1\xe6\xb5\xbf";
        for charset in [Charset::EucKr, Charset::Cp949] {
            assert_eq!(charset.decode(name).unwrap(), "홍길동");
            assert_eq!(charset.encode("홍길동").unwrap(), &name[..]);
            // A lead byte at the end, a lone trail byte, a byte order mark's charset, the unassigned.
            for bad in [&b"\xc8"[..], b"\xc8\xab\xb1", b"\x80", b"\xff", b"\xc8\x20"] {
                assert_eq!(charset.decode(bad).unwrap_err().reason, Reason::Charset, "{bad:?}");
            }
            // The first three bytes are no byte order mark here: the peer chooses no charset.
            let marked = charset.decode(b"\xef\xbb\xbf\xed\x95\x9c");
            assert_ne!(marked.ok().as_deref(), Some("한"));
            assert!(charset.decode(b"\xc9\xa1").is_err(), "a user-defined pair");
            assert_eq!(charset.encode("\u{1f600}"), None);
        }
        // 똠 stands in code page 949 alone; its second byte is the letter c.
        assert_eq!(Charset::Cp949.decode(b"\x8c\x63").unwrap(), "똠");
        assert_eq!(Charset::EucKr.decode(b"\x8c\x63").unwrap_err().reason, Reason::Charset);
        assert_eq!(Charset::EucKr.encode("똠"), None);
    }

    #[test]
    fn every_korean_pair_is_read_as_it_is_written() {
        let (mut wide, mut narrow) = (0, 0);
        for lead in 0x80..=0xff {
            for trail in 0..=0xff {
                let pair = [lead, trail];
                let Ok(text) = Charset::Cp949.decode(&pair) else { continue };
                if text.chars().count() > 1 {
                    continue;
                }
                wide += 1;
                assert_eq!(Charset::Cp949.encode(&text).unwrap(), &pair[..]);
                narrow += usize::from(Charset::EucKr.decode(&pair).is_ok());
            }
        }
        assert_eq!(wide - narrow, 8_822);
        // KS X 1001:2004 with the euro, registered and postal signs, or without the last.
        assert!((8_226..=8_227).contains(&narrow), "{narrow}");
    }
}
