//! RESP on the wire: a client's arrays of bulk strings, a server's values of RESP2 and RESP3.
//!
//! Every byte of a header is judged in its order as soon as it is there, and what a header announces
//! is refused on the header, so the verdict does not depend on how the bytes arrived. A frame that is
//! not whole leaves its place behind, so nothing before it is read again.

use crate::contract::Side;
use crate::contract::frame::Frame;
use crate::rejection::{Reason, Violation};

/// Longest simple string, error or number of a server, in bytes.
const LINE: usize = 16 << 10;
/// Fewest bytes of one argument: `$0`, an empty string, two line ends.
const LEAST_ARGUMENT: usize = 6;
/// Fewest bytes of one value: `_` and a line end.
const LEAST_VALUE: usize = 3;

/// How one side's values are cut from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RespFrame {
    /// Who speaks: a client only in arrays of bulk strings.
    pub side: Side,
    /// Most arguments of a command, its name included.
    pub args: usize,
    /// Longest string, in bytes.
    pub string: usize,
    /// Most values of a reply.
    pub nodes: usize,
}

/// How far a frame was read: kept between calls in the one number that a framer has.
#[derive(Clone, Copy)]
struct Progress {
    /// Where the next value begins.
    at: usize,
    /// Values that are still due; at least one while the frame is not whole.
    left: usize,
}

impl Progress {
    /// A number of 64 bits holds both. Where a number has fewer, a frame is read from its start.
    fn load(scanned: usize) -> Self {
        let word = scanned as u64;
        let part = |word: u64| usize::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
        let (at, left) = (part(word), part(word >> 32));
        if left == 0 { Self { at: 0, left: 1 } } else { Self { at, left } }
    }

    fn store(self) -> usize {
        let (at, left) = (u32::try_from(self.at), u32::try_from(self.left));
        let word = at.ok().zip(left.ok()).map(|(at, left)| u64::from(left) << 32 | u64::from(at));
        word.and_then(|word| usize::try_from(word).ok()).unwrap_or(0)
    }
}

/// One value, or the header of one that holds others.
pub(super) struct Element<'a> {
    /// The byte that names its type.
    pub(super) kind: u8,
    /// Its content; of one that holds others, nothing.
    pub(super) content: Option<&'a [u8]>,
    /// How many values follow that belong to it.
    pub(super) holds: usize,
    /// Where the next value begins.
    pub(super) next: usize,
}

impl RespFrame {
    /// Looks for one whole frame at the start of `buffer`.
    pub(crate) fn cut(
        &self,
        buffer: &[u8],
        scanned: &mut usize,
        limit: usize,
    ) -> Result<Option<Frame>, Violation> {
        let mut progress = Progress::load(*scanned);
        while progress.left > 0 {
            let Some(element) = self.element(buffer, progress, limit)? else {
                *scanned = progress.store();
                return Ok(None);
            };
            progress.at = element.next;
            // An attribute stands before its value, and takes no place of one.
            let taken = usize::from(element.kind != b'|');
            progress.left = progress.left - taken + element.holds;
        }
        let size = progress.at;
        Ok(Some(Frame { size, payload: 0..size, skipped: false }))
    }

    /// Most values of a frame.
    pub(crate) fn values(&self) -> usize {
        match self.side {
            Side::Client => self.args,
            Side::Server => self.nodes,
        }
    }

    /// Writes a payload, which is a whole frame already.
    pub(crate) fn put(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        match self.cut(payload, &mut 0, payload.len())? {
            Some(frame) if frame.size == payload.len() => {
                out.extend_from_slice(payload);
                Ok(())
            }
            _ => Err(form("the bytes are not one value of RESP")),
        }
    }

    fn element<'a>(
        &self,
        buffer: &'a [u8],
        progress: Progress,
        limit: usize,
    ) -> Result<Option<Element<'a>>, Violation> {
        let Some(kind) = buffer.get(progress.at) else { return Ok(None) };
        let (header, room) = (progress.at + 1, Room { limit, others: progress.left - 1 });
        match self.side {
            Side::Client if progress.at == 0 => {
                first(*kind)?;
                let bounds = Bounds { least: 1, most: self.args, what: "arguments" };
                let Some((count, next)) = number(buffer, header, bounds)? else { return Ok(None) };
                room.hold(next + count * LEAST_ARGUMENT, LEAST_ARGUMENT)?;
                Ok(Some(Element { kind: *kind, content: None, holds: count, next }))
            }
            Side::Client if *kind != b'$' => Err(form("an argument is no bulk string")),
            Side::Client => self.bulk(buffer, *kind, header, room, LEAST_ARGUMENT),
            Side::Server => self.value(buffer, *kind, header, room),
        }
    }

    /// A counted string and its line end.
    fn bulk<'a>(
        &self,
        buffer: &'a [u8],
        kind: u8,
        header: usize,
        room: Room,
        least: usize,
    ) -> Result<Option<Element<'a>>, Violation> {
        let bounds = Bounds { least: 0, most: self.string, what: "bytes of one string" };
        let Some((length, start)) = number(buffer, header, bounds)? else { return Ok(None) };
        let end = start + length;
        room.hold(end + 2, least)?;
        let Some(next) = line_end(buffer, end)? else { return Ok(None) };
        Ok(Some(Element { kind, content: buffer.get(start..end), holds: 0, next }))
    }

    /// A value of a server.
    fn value<'a>(
        &self,
        buffer: &'a [u8],
        kind: u8,
        header: usize,
        room: Room,
    ) -> Result<Option<Element<'a>>, Violation> {
        let absent = matches!(kind, b'$' | b'*') && buffer.get(header) == Some(&b'-');
        match kind {
            b'$' | b'*' if absent => {
                let element = self.line(buffer, kind, header, room)?;
                Ok(element.map(|element| Element { kind: b'_', ..element }))
            }
            b'$' | b'!' | b'=' => self.bulk(buffer, kind, header, room, LEAST_VALUE),
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                let most = self.nodes / each;
                let bounds = Bounds { least: 0, most, what: "values of one reply" };
                let Some((count, next)) = number(buffer, header, bounds)? else { return Ok(None) };
                let holds = count * each;
                if room.others + holds > self.nodes {
                    return Err(over("values of one reply", self.nodes));
                }
                let due = holds + usize::from(kind == b'|');
                room.hold(next + due * LEAST_VALUE, LEAST_VALUE)?;
                Ok(Some(Element { kind, content: None, holds, next }))
            }
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => self.line(buffer, kind, header, room),
            _ => Err(form("the service's bytes begin no value of RESP")),
        }
    }

    /// A value that its line end closes.
    fn line<'a>(
        &self,
        buffer: &'a [u8],
        kind: u8,
        header: usize,
        room: Room,
    ) -> Result<Option<Element<'a>>, Violation> {
        let (most, left) = (LINE.min(self.string), room.left(header + 2));
        let rest = buffer.get(header..).unwrap_or_default();
        let seen = rest.get(..rest.len().min(most.min(left) + 1)).unwrap_or_default();
        let Some(length) = seen.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            if seen.len() <= most.min(left) {
                return Ok(None);
            }
            room.hold(header + seen.len() + 2, LEAST_VALUE)?;
            return Err(over("bytes of one line", most));
        };
        let end = header + length;
        let Some(next) = line_end(buffer, end)? else { return Ok(None) };
        let content = buffer.get(header..end).unwrap_or_default();
        well_formed(kind, content)?;
        Ok(Some(Element { kind, content: Some(content), holds: 0, next }))
    }
}

/// What the contract's limit leaves, beside the values that must follow.
#[derive(Clone, Copy)]
struct Room {
    limit: usize,
    others: usize,
}

impl Room {
    /// Bytes that a value may have beside `taken`, if the others are values at their least.
    fn left(self, taken: usize) -> usize {
        self.limit.saturating_sub(taken + self.others * LEAST_VALUE)
    }

    /// Whether a value that ends at `end`, and the others at their least, are within the limit.
    fn hold(self, end: usize, least: usize) -> Result<(), Violation> {
        let size = end.saturating_add(self.others.saturating_mul(least));
        if size > self.limit {
            let sentence =
                format!("frame of {size} bytes is over the contract's limit of {}", self.limit);
            return Err(Violation::new(Reason::FrameTooLarge, sentence));
        }
        Ok(())
    }
}

/// The first byte of a client's frame: by inline commands an HTTP request becomes a command.
fn first(kind: u8) -> Result<(), Violation> {
    match kind {
        b'*' => Ok(()),
        b'$' | b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' | b'!' | b'=' | b'%' | b'~'
        | b'>' | b'|' => Err(form("a command is no array of bulk strings")),
        _ => {
            let sentence = "the bytes are an inline command, or another protocol";
            Err(Violation::new(Reason::InlineCommand, sentence))
        }
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    least: usize,
    most: usize,
    what: &'static str,
}

/// A canonical decimal with its line end; each byte is judged in its order.
fn number(buffer: &[u8], from: usize, bounds: Bounds) -> Result<Option<(usize, usize)>, Violation> {
    let (mut value, mut at) = (0_usize, from);
    loop {
        let Some(byte) = buffer.get(at) else { return Ok(None) };
        match byte {
            b'0'..=b'9' => {
                if at > from && value == 0 {
                    return Err(form("a number begins with a zero"));
                }
                let digit = usize::from(byte - b'0');
                value = value.saturating_mul(10).saturating_add(digit);
                if value > bounds.most {
                    return Err(over(bounds.what, bounds.most));
                }
            }
            b'\r' if at > from => break,
            _ => return Err(form("a number is not written in decimal")),
        }
        at += 1;
    }
    if value < bounds.least {
        return Err(form("a command has no name"));
    }
    Ok(line_end(buffer, at)?.map(|next| (value, next)))
}

/// What follows CR LF at this place.
fn line_end(buffer: &[u8], at: usize) -> Result<Option<usize>, Violation> {
    match (buffer.get(at), buffer.get(at + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        _ => Err(form("a line does not end with CR LF where it must")),
    }
}

/// The content of a value that its line end closes.
fn well_formed(kind: u8, content: &[u8]) -> Result<(), Violation> {
    let digits = |text: &[u8]| {
        let text = text.strip_prefix(b"-").unwrap_or(text);
        let canonical = text == b"0" || !text.starts_with(b"0");
        canonical && !text.is_empty() && text.iter().all(u8::is_ascii_digit)
    };
    let good = match kind {
        b'$' | b'*' => content == b"-1",
        b'_' => content.is_empty(),
        b'#' => matches!(content, b"t" | b"f"),
        b':' => digits(content) && parsed::<i64>(content).is_some(),
        b'(' => digits(content),
        b',' => content.len() <= 64 && parsed::<f64>(content).is_some(),
        _ => true,
    };
    if good { Ok(()) } else { Err(form("a value of the service is not written as its type is")) }
}

pub(super) fn parsed<T: std::str::FromStr>(content: &[u8]) -> Option<T> {
    std::str::from_utf8(content).ok()?.parse().ok()
}

fn form(sentence: &'static str) -> Violation {
    Violation::new(Reason::LengthForm, sentence)
}

fn over(what: &str, most: usize) -> Violation {
    Violation::new(Reason::LengthRange, format!("more than {most} {what} are announced"))
}

/// The values of a frame that was cut, one after the other.
pub(super) struct Elements<'a> {
    frame: &'a [u8],
    rule: RespFrame,
    at: usize,
}

impl<'a> Elements<'a> {
    pub(super) fn new(side: Side, frame: &'a [u8]) -> Self {
        let most = frame.len();
        Self { frame, rule: RespFrame { side, args: most, string: most, nodes: most }, at: 0 }
    }

    /// The next value; a frame that ends before it was not cut by this rule.
    pub(super) fn next(&mut self) -> Result<Element<'a>, Violation> {
        let progress = Progress { at: self.at, left: 1 };
        let element = self.rule.element(self.frame, progress, self.frame.len())?;
        let element = element.ok_or_else(|| form("the bytes are not one value of RESP"))?;
        self.at = element.next;
        Ok(element)
    }

    pub(super) fn end(&self) -> Result<(), Violation> {
        if self.at == self.frame.len() { Ok(()) } else { Err(form("bytes follow the value")) }
    }
}
