//! Looking for bytes that do not stand for themselves, eight and more at a time.
//!
//! Most texts of a message are short names, so a word of eight bytes is compared as one number
//! (Mycroft's test for a zero byte); long ones go by blocks without an early way out, of which the
//! compiler compares all bytes at once. All of it is written out where it is called, since there it
//! is known which bytes are looked for: asked anew for each word, that costs more than the looking.

/// One in every byte, and the highest bit of every byte.
const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// Bytes of a block.
const BLOCK: usize = 32;

/// Which bytes are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Odd {
    /// What ends a run of plain ASCII in a JSON string: control characters, `"`, `\`, non-ASCII.
    InJson,
    /// What is escaped in a JSON string: control characters, `"`, `\`.
    Escaped,
    /// What is not printable ASCII.
    Unprintable,
}

impl Odd {
    /// A mark in the highest bit of each byte that is looked for. The lowest mark is right; one
    /// above it may be wrong, for what is taken away below may have been lent from there.
    #[inline(always)]
    fn marks(self, word: u64) -> u64 {
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let equal = |byte: u8| {
            let other = word ^ (ONES * u64::from(byte));
            other.wrapping_sub(ONES) & !other
        };
        HIGH & match self {
            Self::InJson => control | equal(b'"') | equal(b'\\') | word,
            Self::Escaped => control | equal(b'"') | equal(b'\\'),
            Self::Unprintable => control | equal(0x7f) | word,
        }
    }

    #[inline(always)]
    fn is(self, byte: u8) -> bool {
        let escaped = (byte < 0x20) | (byte == b'"') | (byte == b'\\');
        match self {
            Self::InJson => escaped | (byte >= 0x80),
            Self::Escaped => escaped,
            Self::Unprintable => !(0x20..0x7f).contains(&byte),
        }
    }

    #[inline(always)]
    fn in_block(self, block: &[u8; BLOCK]) -> bool {
        block.iter().fold(false, |found, byte| found | self.is(*byte))
    }

    /// Where the first of them stands.
    #[inline(always)]
    pub(crate) fn first(self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            let marks = self.marks(u64::from_le_bytes(*word));
            if marks != 0 {
                return Some(at + marks.trailing_zeros() as usize / 8);
            }
            at += 8;
            if at == 16 {
                at += self.clean_blocks(bytes.get(at..).unwrap_or_default());
            }
        }
        let rest = bytes.get(at..).unwrap_or_default();
        Some(at + rest.iter().position(|byte| self.is(*byte))?)
    }

    /// Whether any of them is there.
    #[inline(always)]
    pub(crate) fn any(self, bytes: &[u8]) -> bool {
        let marked = |word: [u8; 8]| self.marks(u64::from_le_bytes(word)) != 0;
        if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
            // The last word is looked at where the blocks end, whatever overlaps.
            return marked(*head) || marked(*tail) || self.inside(bytes);
        }
        if let (Some([a, b, c, d]), Some([e, f, g, h])) = (bytes.first_chunk(), bytes.last_chunk())
        {
            return marked([*a, *b, *c, *d, *e, *f, *g, *h]);
        }
        bytes.iter().any(|byte| self.is(*byte))
    }

    /// Whether any of them is between the first and the last word.
    #[inline(always)]
    fn inside(self, bytes: &[u8]) -> bool {
        let inner = bytes.get(8..bytes.len().saturating_sub(8)).unwrap_or_default();
        let (blocks, rest) = inner.as_chunks::<BLOCK>();
        let (words, rest) = rest.as_chunks::<8>();
        blocks.iter().any(|block| self.in_block(block))
            || words.iter().any(|word| self.marks(u64::from_le_bytes(*word)) != 0)
            || rest.iter().any(|byte| self.is(*byte))
    }

    /// How many bytes at the start, in whole blocks, hold none.
    #[inline(always)]
    fn clean_blocks(self, bytes: &[u8]) -> usize {
        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        blocks.iter().take_while(|block| !self.in_block(block)).count() * BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Odd; 3] = [Odd::InJson, Odd::Escaped, Odd::Unprintable];

    fn agree(bytes: &[u8]) {
        for odd in ALL {
            let first = bytes.iter().position(|byte| odd.is(*byte));
            assert_eq!(odd.first(bytes), first, "{odd:?} {bytes:?}");
            assert_eq!(odd.any(bytes), first.is_some(), "{odd:?} {bytes:?}");
        }
    }

    #[test]
    fn each_byte_is_found_at_each_place_of_texts_of_each_length() {
        for length in 1..=90 {
            for at in 0..length {
                for byte in
                    [0, 9, 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', 0x7e, 0x7f, 0x80]
                {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    agree(&bytes);
                }
            }
        }
        for byte in 0..=255 {
            agree(&[byte; 9]);
        }
        agree(&[]);
    }

    proptest! {
        #[test]
        fn words_and_bytes_agree(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            agree(&bytes);
        }

        #[test]
        fn words_and_bytes_agree_about_text(text in "[ -~]{0,40}[\\x1f-\\x23\\x5b-\\x5d\\x7e-\\x81]{0,2}[ -~]{0,40}") {
            agree(text.as_bytes());
        }
    }
}
