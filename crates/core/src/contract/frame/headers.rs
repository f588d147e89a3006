//! `headers`: lines of `Name: value`, an empty line, then as many bytes as one of them says.
//!
//! Read as strictly as can be, because two readers that disagree about a header disagree where
//! the next frame begins: one spelling of a line, no name twice, none that is not allowed. For the
//! same reason none says that the body is to be read in another way than the contract reads it.

use super::{Frame, digits, endless, too_large};
use crate::audit::shown;
use crate::contract::charset::Charset;
use crate::rejection::{Reason, Violation};

/// Headers that say that the bytes of a body are not those that were meant.
const RECODE: [&str; 2] = ["Content-Encoding", "Content-Transfer-Encoding"];

/// Which headers there may be, and which one says the length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// The header that says how many bytes follow the empty line.
    length: Box<str>,
    /// The headers that may stand there.
    allow: Vec<Box<str>>,
    /// Most headers of a frame.
    max_headers: usize,
    /// Most bytes up to and with the empty line.
    max_header_bytes: usize,
    /// What the text of a body is read in; none where it is bytes.
    charset: Option<Charset>,
}

impl Default for Headers {
    /// `Content-Length`, and `Content-Type` beside it, as the Language Server Protocol has them.
    fn default() -> Self {
        Self {
            length: "Content-Length".into(),
            allow: vec!["Content-Length".into(), "Content-Type".into()],
            max_headers: 16,
            max_header_bytes: 4096,
            charset: None,
        }
    }
}

impl Headers {
    /// A rule of these keys (`contracts.md` section 5).
    ///
    /// # Errors
    /// A sentence, if a name is none, the length is not among those allowed, or a bound is out of
    /// its range.
    pub fn new(
        length: &str,
        allow: &[&str],
        max_headers: usize,
        max_header_bytes: usize,
    ) -> Result<Self, String> {
        if let Some(name) = allow.iter().find(|name| !is_token(name.as_bytes())) {
            return Err(format!("`{name}` is not a header's name"));
        }
        if allow.iter().any(|name| name.eq_ignore_ascii_case("Transfer-Encoding")) {
            let why = "says where a frame ends in another way than its length does";
            return Err(format!("`Transfer-Encoding` {why}, so it is never allowed"));
        }
        if !allow.iter().any(|name| name.eq_ignore_ascii_case(length)) {
            return Err(format!("`allow` lacks `{length}`, which says the length"));
        }
        let twice = |at: usize, name: &str| {
            allow.iter().take(at).any(|other| other.eq_ignore_ascii_case(name))
        };
        if let Some((_, name)) = allow.iter().enumerate().find(|(at, name)| twice(*at, name)) {
            return Err(format!("`{name}` is allowed twice"));
        }
        if !(1..=64).contains(&max_headers) {
            return Err("`max_headers` is 1 to 64".to_owned());
        }
        if !(16..=65_536).contains(&max_header_bytes) {
            return Err("`max_header_bytes` is 16 to 65536".to_owned());
        }
        let allow = allow.iter().map(|name| Box::from(*name)).collect();
        let length = length.into();
        Ok(Self { length, allow, max_headers, max_header_bytes, charset: None })
    }

    /// The same rule for bodies that are read in this charset, so that no `Content-Type` may name
    /// another one.
    pub(in crate::contract) fn read_in(self, charset: Option<Charset>) -> Self {
        Self { charset, ..self }
    }

    /// The first header that may stand there and says that the body is not what it looks like.
    pub(in crate::contract) fn recodes(&self) -> Option<&str> {
        let recodes = |name: &&str| RECODE.iter().any(|other| other.eq_ignore_ascii_case(name));
        self.allow.iter().map(|name| &**name).find(recodes)
    }

    /// Which headers there are, for people.
    pub(in crate::contract) fn told(&self) -> String {
        let allow: Vec<String> = self.allow.iter().map(|name| format!("`{name}`")).collect();
        format!(
            "`{}` says how many; of {} each once, at most {} in {} bytes",
            self.length,
            allow.join(", "),
            self.max_headers,
            self.max_header_bytes
        )
    }

    /// `scanned` holds the size of the frame once its headers were read, so that they are read
    /// once for a body that comes in many pieces.
    pub(super) fn cut(
        &self,
        buffer: &[u8],
        scanned: &mut usize,
        limit: usize,
    ) -> Result<Option<Frame>, Violation> {
        if buffer.len() < *scanned {
            return Ok(None);
        }
        let most = self.max_header_bytes.min(limit);
        let Some((length, header)) = self.read(buffer.get(..most).unwrap_or(buffer))? else {
            return if buffer.len() >= most { Err(endless(most)) } else { Ok(None) };
        };
        let size = length + header as u64;
        let whole = usize::try_from(size).ok().filter(|size| *size <= limit);
        let size = whole.ok_or_else(|| too_large(size, limit))?;
        if buffer.len() < size {
            *scanned = size;
            return Ok(None);
        }
        Ok(Some(Frame { size, payload: header..size, skipped: false }))
    }

    /// The length that the headers say, and the size of all of them. Only whole lines are judged,
    /// so that the verdict does not depend on how they came.
    fn read(&self, bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
        let mut seen: Vec<&[u8]> = Vec::new();
        let (mut length, mut at) = (None, 0);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
            let line = rest.get(..end).and_then(|line| line.strip_suffix(b"\r"));
            let line = line.ok_or_else(|| form("a header ends without a carriage return"))?;
            at += end + 1;
            if line.is_empty() {
                break;
            }
            let (name, value) = split(line)?;
            let known = self.allow.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
            if !known {
                let sentence = format!("header `{}` is not allowed", shown(name));
                return Err(Violation::new(Reason::HeaderUnknown, sentence));
            }
            if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                let sentence = format!("header `{}` is there twice", shown(name));
                return Err(Violation::new(Reason::HeaderDuplicate, sentence));
            }
            seen.push(name);
            if seen.len() > self.max_headers {
                return Err(form("there are more headers than the contract allows"));
            }
            if self.length.as_bytes().eq_ignore_ascii_case(name) {
                length = Some(digits::whole(value, 9)?);
            }
            if name.eq_ignore_ascii_case(b"Content-Type")
                && let Some(charset) = self.charset.filter(|charset| !agrees(value, *charset))
            {
                let (name, value, own) = (shown(name), shown(value), charset.name());
                return Err(form(format!(
                    "header `{name}` says `{value}`, and the contract reads the body in `{own}`"
                )));
            }
        }
        let missing = || {
            let sentence = format!("no header `{}` says how long the frame is", self.length);
            Violation::new(Reason::HeaderMissing, sentence)
        };
        Ok(Some((length.ok_or_else(missing)?, at)))
    }

    pub(super) fn put(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let length = payload.len().to_string();
        if length.len() > 9 {
            let sentence = format!("no frame of this rule holds a payload of {length} bytes");
            return Err(Violation::new(Reason::LengthRange, sentence));
        }
        for part in [self.length.as_bytes(), b": ", length.as_bytes(), b"\r\n\r\n", payload] {
            out.extend_from_slice(part);
        }
        Ok(())
    }
}

/// The name and the value of one line: `Name: value`, the value of visible ASCII and single
/// spaces. A folded line begins with a space, which is no name.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, rest) = colon.and_then(|at| line.split_at_checked(at)).unwrap_or((line, b""));
    let value = rest.strip_prefix(b": ").unwrap_or_default();
    let spaced = value.windows(2).any(|pair| pair == b"  ") || value.ends_with(b" ");
    let visible = value.iter().all(|byte| matches!(byte, 0x20..=0x7e));
    let begins = value.first().is_some_and(|byte| *byte != b' ');
    if !is_token(name) || !begins || spaced || !visible {
        return Err(form("a header is not written `Name: value`, in visible ASCII"));
    }
    Ok((name, value))
}

/// A token of RFC 9110 section 5.6.2.
fn is_token(name: &[u8]) -> bool {
    let other = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || other(byte))
}

/// Whether the value of a `Content-Type` names no charset but this one. Whatever has the word in it
/// and is no plain parameter of it may be read as one, so it is refused.
fn agrees(value: &[u8], charset: Charset) -> bool {
    let value = value.to_ascii_lowercase();
    value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).all(|part| {
        let Some(said) = part.strip_prefix(b"charset=") else {
            return !part.windows(7).any(|word| word == b"charset");
        };
        let bare = said.strip_prefix(b"\"").and_then(|said| said.strip_suffix(b"\""));
        names(charset).iter().any(|name| name.as_bytes() == bare.unwrap_or(said))
    })
}

/// What others call a charset, or one that reads its bytes alike. The Language Server Protocol has
/// `utf8` beside `utf-8`.
fn names(charset: Charset) -> &'static [&'static str] {
    match charset {
        Charset::Ascii => &["us-ascii", "ascii", "utf-8", "utf8"],
        Charset::Utf8 => &["utf-8", "utf8"],
        Charset::Latin1 => &["iso-8859-1", "latin1"],
        Charset::EucKr => &["euc-kr"],
        Charset::Cp949 => &["cp949", "ms949", "windows-949"],
    }
}

fn form(sentence: impl Into<String>) -> Violation {
    Violation::new(Reason::HeaderForm, sentence)
}
