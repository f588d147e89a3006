//! DER read strictly: every length minimal and definite, every value in its one canonical form
//! (X.690 section 10 and 11). A certificate that passes is the same bytes when encoded again (K24).

/// How deep values may hold values. A certificate needs 9.
const DEPTH: u8 = 24;

/// One value: its tag, its content, and both with the length between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) raw: &'a [u8],
}

/// Tags that are asked for by name.
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The first value of `bytes`, and what follows it.
///
/// # Errors
/// With a sentence, if its tag or length is not in canonical form, or it is cut short.
pub(crate) fn first(bytes: &[u8]) -> Result<(Element<'_>, &[u8]), String> {
    let cut = || "it is cut short".to_owned();
    let (&tag, rest) = bytes.split_first().ok_or_else(cut)?;
    if tag & 0x1f == 0x1f {
        return Err(format!("tag {tag:#04x} is of more than one byte"));
    }
    let (&head, mut rest) = rest.split_first().ok_or_else(cut)?;
    let length = match head {
        0..=0x7f => usize::from(head),
        0x81..=0x84 => {
            let (digits, after) =
                rest.split_at_checked(usize::from(head & 0x7f)).ok_or_else(cut)?;
            rest = after;
            let length = digits.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            if digits.first() == Some(&0) || length < 0x80 {
                return Err(format!("a length of {length} is not written in its shortest form"));
            }
            length
        }
        _ => return Err(format!("length byte {head:#04x} is not definite")),
    };
    let (content, after) = rest.split_at_checked(length).ok_or_else(cut)?;
    let raw = bytes.get(..bytes.len() - after.len()).ok_or_else(cut)?;
    Ok((Element { tag, content, raw }, after))
}

/// The one value that `bytes` is.
///
/// # Errors
/// As [`first`], or if something follows it.
pub(crate) fn only(bytes: &[u8]) -> Result<Element<'_>, String> {
    match first(bytes)? {
        (element, []) => Ok(element),
        (_, rest) => Err(format!("{} bytes follow it", rest.len())),
    }
}

impl<'a> Element<'a> {
    /// The values inside this one.
    ///
    /// # Errors
    /// As [`first`].
    pub(crate) fn children(&self) -> Result<Vec<Self>, String> {
        let mut rest = self.content;
        let mut children = Vec::new();
        while !rest.is_empty() {
            let (child, after) = first(rest)?;
            children.push(child);
            rest = after;
        }
        Ok(children)
    }
}

/// Whether `bytes` are one value in canonical form, all the way down.
///
/// # Errors
/// With the first value that is not.
pub(crate) fn canonical(bytes: &[u8]) -> Result<(), String> {
    only(bytes).and_then(|element| walk(&element, DEPTH))
}

fn walk(element: &Element<'_>, depth: u8) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or_else(|| format!("it is nested over {DEPTH} deep"))?;
    let tag = element.tag;
    let is_container = tag & 0x20 != 0;
    let is_universal = tag & 0xc0 == 0;
    if is_container && (!is_universal || matches!(tag, SEQUENCE | 0x31)) {
        let children = element.children()?;
        extension(&children, depth)?;
        if tag == 0x31 && !children.is_sorted_by(|a, b| a.raw < b.raw) {
            return Err("a set is not in ascending order".to_owned());
        }
        return children.iter().try_for_each(|child| walk(child, depth));
    }
    // What a context tag holds is known to the extension alone.
    if !is_universal || primitive(tag, element.content) {
        return Ok(());
    }
    Err(format!("tag {tag:#04x} holds {} bytes in no canonical form", element.content.len()))
}

/// What an extension holds is a value of its own (RFC 5280 section 4.2), and a default is not
/// written out. Other sequences are none of its business.
fn extension(children: &[Element<'_>], depth: u8) -> Result<(), String> {
    let (id, value) = match children {
        [id, value] if id.tag == OID && value.tag == OCTET_STRING => (id, value),
        [id, critical, value]
            if id.tag == OID && critical.tag == BOOLEAN && value.tag == OCTET_STRING =>
        {
            if critical.content == [0] {
                return Err(
                    "an extension says that it is not critical, which is the default".into()
                );
            }
            (id, value)
        }
        _ => return Ok(()),
    };
    let value = only(value.content)?;
    walk(&value, depth)?;
    match (id.content, value.tag, value.content) {
        // Key usage: a list of named bits ends with one that is set.
        ([0x55, 0x1d, 0x0f], BIT_STRING, [unused, .., last]) if last >> unused & 1 == 0 => {
            Err("its key usage ends in bits that are not set".to_owned())
        }
        ([0x55, 0x1d, 0x13], SEQUENCE, [BOOLEAN, 1, 0, ..]) => {
            Err("its basic constraints say CA:FALSE, which is the default".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether `bytes` are a signed structure in canonical form, down to the numbers of an ECDSA
/// signature.
///
/// # Errors
/// With the first value that is not.
pub(crate) fn canonical_signed(bytes: &[u8]) -> Result<(), String> {
    canonical(bytes)?;
    let parts = only(bytes)?.children()?;
    match parts.as_slice() {
        [_, _, signature] => match signature.content {
            [0, numbers @ ..] if signature.tag == BIT_STRING => canonical(numbers),
            _ => Err("its signature is not a whole number of bytes".to_owned()),
        },
        parts => Err(format!("it has {} parts, not 3", parts.len())),
    }
}

/// Whether a universal value is the one way to write what it says.
fn primitive(tag: u8, content: &[u8]) -> bool {
    match (tag, content) {
        (BOOLEAN, [value]) => matches!(value, 0 | 0xff),
        // INTEGER, ENUMERATED: no byte of bare sign before another of that sign.
        (0x02 | 0x0a, [first, second, ..]) => {
            !matches!((first, second & 0x80), (0, 0) | (0xff, 0x80))
        }
        (0x02 | 0x0a, [_]) | (0x05, []) => true,
        (BIT_STRING, [unused @ 0..=7, bits @ ..]) => match bits.last() {
            Some(last) => last & ((1_u8 << unused) - 1) == 0,
            None => *unused == 0,
        },
        // OID: whole numbers of base 128, none with a leading zero digit.
        (OID, [.., last]) => {
            let starts = content.iter().zip(std::iter::once(&0).chain(content));
            last & 0x80 == 0
                && starts.into_iter().all(|(b, before)| before & 0x80 != 0 || *b != 0x80)
        }
        (UTF8_STRING, text) => std::str::from_utf8(text).is_ok(),
        // PrintableString, IA5String, UTCTime, GeneralizedTime.
        (0x13 | 0x16 | UTC_TIME | GENERALIZED_TIME, text) => text.is_ascii(),
        // OctetString, and the older kinds of text: T61String, UniversalString, BMPString.
        (OCTET_STRING | 0x14 | 0x1c | 0x1e, _) => true,
        _ => false,
    }
}

/// One value with this tag and content, written out.
pub(crate) fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len().to_be_bytes();
    let digits = length.iter().position(|byte| *byte != 0).and_then(|at| length.get(at..));
    match digits.unwrap_or_default() {
        [] => bytes.push(0),
        [short @ 0..=0x7f] => bytes.push(*short),
        digits => {
            bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(0x7f));
            bytes.extend_from_slice(digits);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whatever_its_length() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; length];
            let written = write(OCTET_STRING, &content);
            let read = only(&written).unwrap();
            assert_eq!(
                (read.tag, read.content, read.raw),
                (OCTET_STRING, &content[..], &written[..])
            );
            assert_eq!(canonical(&written), Ok(()));
        }
    }

    // K24
    #[test]
    fn each_way_to_write_a_value_otherwise_is_named() {
        let table: [(&[u8], &str); 16] = [
            (&[0x04, 0x81, 0x01, 0x00], "a length of 1 is not written in its shortest form"),
            (&[0x04, 0x82, 0x00, 0x80], "a length of 128 is not written in its shortest form"),
            (&[0x30, 0x80, 0x00, 0x00], "length byte 0x80 is not definite"),
            (&[0x04, 0x02, 0x00], "it is cut short"),
            (&[0x04, 0x00, 0x00], "1 bytes follow it"),
            (&[0x1f, 0x20, 0x00], "tag 0x1f is of more than one byte"),
            (&[0x01, 0x01, 0x01], "tag 0x01 holds 1 bytes in no canonical form"),
            (&[0x02, 0x02, 0x00, 0x7f], "tag 0x02 holds 2 bytes in no canonical form"),
            (&[0x02, 0x02, 0xff, 0x80], "tag 0x02 holds 2 bytes in no canonical form"),
            (&[0x02, 0x00], "tag 0x02 holds 0 bytes in no canonical form"),
            (&[0x03, 0x02, 0x01, 0x01], "tag 0x03 holds 2 bytes in no canonical form"),
            (&[0x06, 0x02, 0x55, 0x80], "tag 0x06 holds 2 bytes in no canonical form"),
            (&[0x06, 0x03, 0x55, 0x80, 0x01], "tag 0x06 holds 3 bytes in no canonical form"),
            (&[0x24, 0x00], "tag 0x24 holds 0 bytes in no canonical form"),
            (&[0x31, 0x04, 0x05, 0x00, 0x04, 0x00], "a set is not in ascending order"),
            (&[0x0c, 0x01, 0xff], "tag 0x0c holds 1 bytes in no canonical form"),
        ];
        for (bytes, sentence) in table {
            assert_eq!(canonical(bytes).unwrap_err(), sentence, "{bytes:02x?}");
        }
        let deep = (0..40).fold(vec![0x05, 0x00], |inner, _| write(SEQUENCE, &inner));
        assert_eq!(canonical(&deep).unwrap_err(), "it is nested over 24 deep");
    }
}
