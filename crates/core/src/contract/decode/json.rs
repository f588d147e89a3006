//! Strict JSON: one value, read as every other parser would read it, or not at all.
//!
//! The rules are J1 to J13 of `contracts.md` section 7. The decoder is iterative, so depth costs
//! no stack; texts without escapes are borrowed from the payload.

use super::{WireLimits, number};
use crate::audit::shown;
use crate::contract::scan::Odd;
use crate::contract::text::is_noncharacter;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;

/// What a direction takes as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonRule {
    /// Which numbers.
    pub numbers: Numbers,
    /// Whether the top value may be other than an object.
    pub top_any: bool,
    /// Whether U+0000 may stand in texts.
    pub nul_allowed: bool,
}

/// Which numbers a direction takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Integers within ±(2^53−1), and finite doubles (RFC 7493).
    IJson,
    /// Integers of 64 bit too.
    I64,
    /// Integers within ±(2^53−1) and nothing else.
    Integers,
}

impl JsonRule {
    /// The value that a payload holds.
    ///
    /// # Errors
    /// The first of the rules J1 to J13 that it breaks.
    pub fn read<'a>(&self, payload: &'a [u8], limits: &WireLimits) -> Result<Value<'a>, Violation> {
        if payload.starts_with(b"\xef\xbb\xbf") {
            return Err(Violation::new(Reason::JsonBom, "the JSON begins with a byte order mark"));
        }
        let text = crate::contract::charset::Charset::Utf8.decode(payload)?;
        let Cow::Borrowed(text) = text else {
            return Err(Violation::new(Reason::Charset, "the JSON is not UTF-8"));
        };
        let mut reader = Reader { text, at: 0, nodes: 0, rule: *self, limits };
        let value = reader.value()?;
        reader.skip_space();
        if reader.at < text.len() {
            return Err(reader.refused(Reason::JsonTrailing, "bytes follow the JSON value"));
        }
        if !self.top_any && !matches!(value, Value::Map(_)) {
            let sentence = format!("the top value is {}, not an object", value.kind());
            return Err(Violation::new(Reason::JsonTop, sentence));
        }
        Ok(value)
    }
}

/// What was read so far. Values and keys are written where they stay, without a stop between.
struct Tree<'a> {
    root: Value<'a>,
    open: Vec<Open<'a>>,
}

/// An object or list that is not closed yet; the last member of an object waits for its value.
enum Open<'a> {
    List(Vec<Value<'a>>),
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Tree<'a> {
    /// Puts a finished value into what is open around it.
    #[inline]
    fn put(&mut self, value: Value<'a>) {
        match self.open.last_mut() {
            None => self.root = value,
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(members)) => {
                if let Some((_, waiting)) = members.last_mut() {
                    *waiting = value;
                }
            }
        }
    }

    /// Closes the innermost object or list.
    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::List(list)) => self.put(Value::List(list)),
            Some(Open::Map(members)) => self.put(Value::Map(members)),
            None => {}
        }
    }
}

struct Reader<'a, 'l> {
    text: &'a str,
    at: usize,
    nodes: usize,
    rule: JsonRule,
    limits: &'l WireLimits,
}

impl<'a> Reader<'a, '_> {
    fn value(&mut self) -> Result<Value<'a>, Violation> {
        let mut tree = Tree { root: Value::Null, open: Vec::new() };
        loop {
            if self.begin(&mut tree)? {
                continue;
            }
            // A finished value may finish what is open around it.
            loop {
                match tree.open.last_mut() {
                    None => return Ok(tree.root),
                    Some(Open::List(_)) => {
                        if self.more(b']')? {
                            break;
                        }
                    }
                    Some(Open::Map(members)) => {
                        if self.more(b'}')? {
                            self.key(members)?;
                            break;
                        }
                        self.refuse_duplicates(members)?;
                    }
                }
                tree.close();
            }
        }
    }

    /// Reads a scalar, an empty container, or the opening of a container; tells the last.
    fn begin(&mut self, tree: &mut Tree<'a>) -> Result<bool, Violation> {
        self.skip_space();
        self.count()?;
        match self.peek() {
            Some(b'{') => {
                self.enter(tree.open.len())?;
                if self.closes(b'}') {
                    tree.put(Value::Map(Vec::new()));
                    return Ok(false);
                }
                let mut members = Vec::with_capacity(4);
                self.key(&mut members)?;
                tree.open.push(Open::Map(members));
                return Ok(true);
            }
            Some(b'[') => {
                self.enter(tree.open.len())?;
                if self.closes(b']') {
                    tree.put(Value::List(Vec::new()));
                    return Ok(false);
                }
                tree.open.push(Open::List(Vec::with_capacity(4)));
                return Ok(true);
            }
            Some(b'"') => match self.plain(self.limits.string) {
                Some(text) => tree.put(Value::Text(Cow::Borrowed(text))),
                None => {
                    let text = self.string(self.limits.string, Reason::JsonString)?;
                    tree.put(Value::Text(text));
                }
            },
            Some(b'-' | b'0'..=b'9') => {
                let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
                if let Some((number, size)) = number::short(rest) {
                    self.at += size;
                    tree.put(Value::Int(number));
                } else {
                    let (value, size) = number::read(rest, self.rule.numbers)?;
                    self.at += size;
                    tree.put(value);
                }
            }
            Some(b't') => self.word("true", Value::Bool(true), tree)?,
            Some(b'f') => self.word("false", Value::Bool(false), tree)?,
            Some(b'n') => self.word("null", Value::Null, tree)?,
            _ => return Err(self.refused(Reason::JsonSyntax, "no JSON value")),
        }
        Ok(false)
    }

    /// Passes the opening bracket of the container that would be number `depth` + 1.
    fn enter(&mut self, depth: usize) -> Result<(), Violation> {
        if depth >= self.limits.depth {
            let sentence = format!("nested deeper than the limit of {}", self.limits.depth);
            return Err(Violation::new(Reason::JsonDepth, sentence));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// After an element: whether another follows, or the container closed.
    fn more(&mut self, bracket: u8) -> Result<bool, Violation> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == bracket => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.refused(Reason::JsonSyntax, "neither a comma nor the closing bracket")),
        }
    }

    /// Reads a key with its colon, as a member that waits for its value.
    fn key(&mut self, members: &mut Vec<(Cow<'a, str>, Value<'a>)>) -> Result<(), Violation> {
        self.count()?;
        if self.peek() != Some(b'"') {
            return Err(self.refused(Reason::JsonSyntax, "no key where one must stand"));
        }
        match self.plain(self.limits.key) {
            Some(key) => members.push((Cow::Borrowed(key), Value::Null)),
            None => members.push((self.string(self.limits.key, Reason::JsonKey)?, Value::Null)),
        }
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.refused(Reason::JsonSyntax, "no colon after a key"));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str, value: Value<'a>, tree: &mut Tree<'a>) -> Result<(), Violation> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.refused(Reason::JsonSyntax, "no JSON value"));
        }
        self.at += word.len();
        tree.put(value);
        Ok(())
    }

    /// A string of plain ASCII that is not too long, as most are.
    #[inline]
    fn plain(&mut self, limit: usize) -> Option<&'a str> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes().get(start..)?;
        let size = Odd::InJson.first(bytes)?;
        if bytes.get(size) != Some(&b'"') || size > limit {
            return None;
        }
        self.at = start + size + 1;
        self.text.get(start..start + size)
    }

    /// Any other string, byte by byte.
    fn string(&mut self, limit: usize, too_long: Reason) -> Result<Cow<'a, str>, Violation> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes().get(start..).unwrap_or_default();
        for (count, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' => {
                    let end = start + count;
                    let text = self.text.get(start..end).unwrap_or_default();
                    self.at = end + 1;
                    return self.bounded(Cow::Borrowed(text), limit, too_long);
                }
                b'\\' => {
                    self.at = start;
                    let text = self.escaped()?;
                    return self.bounded(Cow::Owned(text), limit, too_long);
                }
                0..0x20 => {
                    self.at = start + count;
                    return Err(self.refused(Reason::JsonSyntax, "a raw control character"));
                }
                _ => {}
            }
        }
        Err(Violation::new(Reason::JsonSyntax, "a string is not closed"))
    }

    /// A string that holds an escape, from its first character.
    fn escaped(&mut self) -> Result<String, Violation> {
        let mut text = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.bytes().position(|b| matches!(b, b'"' | b'\\' | 0..0x20));
            let Some(plain) = plain else {
                return Err(Violation::new(Reason::JsonSyntax, "a string is not closed"));
            };
            text.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                _ => return Err(self.refused(Reason::JsonSyntax, "a raw control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Violation> {
        self.at += 1;
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.refused(Reason::JsonSyntax, "an escape that JSON does not have")),
        })
    }

    fn unicode(&mut self) -> Result<char, Violation> {
        let high = self.hex()?;
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if high < 0xdc00 && rest.starts_with(b"\\u") {
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code)
                    .ok_or_else(|| self.refused(Reason::JsonSurrogate, "a lone surrogate"));
            }
        }
        Err(self.refused(Reason::JsonSurrogate, "a lone surrogate"))
    }

    fn hex(&mut self) -> Result<u32, Violation> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let value = digits.iter().try_fold(0, |n, b| Some(n * 16 + char::from(*b).to_digit(16)?));
        match value {
            Some(value) if digits.len() == 4 => {
                self.at += 4;
                Ok(value)
            }
            _ => Err(self.refused(Reason::JsonSyntax, "`\\u` without four hexadecimal digits")),
        }
    }

    fn bounded(
        &self,
        text: Cow<'a, str>,
        limit: usize,
        too_long: Reason,
    ) -> Result<Cow<'a, str>, Violation> {
        if text.len() > limit {
            let sentence = format!("text of {} bytes is over the limit of {limit}", text.len());
            return Err(Violation::new(too_long, sentence));
        }
        let nul = |c: char| c == '\0' && !self.rule.nul_allowed;
        if let Some(c) = text.chars().find(|c| is_noncharacter(*c) || nul(*c)) {
            let sentence = format!("text holds U+{:04X}", u32::from(c));
            return Err(Violation::new(Reason::TextDenied, sentence));
        }
        Ok(text)
    }

    /// J3, after unescaping. Large objects are sorted, so hostile ones cost n log n.
    fn refuse_duplicates(&self, members: &[(Cow<'a, str>, Value<'a>)]) -> Result<(), Violation> {
        let twice = if members.len() <= 12 {
            let mut rest = members.iter();
            std::iter::from_fn(|| rest.next().map(|(key, _)| (key, rest.clone())))
                .find(|(key, others)| others.clone().any(|(other, _)| other == *key))
                .map(|(key, _)| key.as_ref())
        } else {
            let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
            keys.sort_unstable();
            keys.windows(2).find_map(|pair| match pair {
                [a, b] if a == b => Some(*a),
                _ => None,
            })
        };
        match twice {
            None => Ok(()),
            Some(key) => Err(Violation::new(
                Reason::DuplicateKey,
                format!("an object has the key `{}` twice", shown(key.as_bytes())),
            )),
        }
    }

    fn count(&mut self) -> Result<(), Violation> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let sentence = format!("more values than the limit of {}", self.limits.nodes);
            return Err(Violation::new(Reason::JsonNodes, sentence));
        }
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn refused(&self, reason: Reason, what: &str) -> Violation {
        Violation::new(reason, format!("{what}, at byte {} of the JSON", self.at))
    }
}

/// Writes a tree in its one spelling: no space, members in the order they came, texts and numbers
/// as RFC 8785 sections 3.2.2.2 and 3.2.2.3 write them; a double beyond the integers of rule J5 keeps
/// its exponent.
pub fn write_json(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(value) => write_int(*value, out),
        Value::Float(value) => number::write(*value, out),
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => write_text(&String::from_utf8_lossy(bytes), out),
        Value::List(list) => {
            out.push(b'[');
            for (at, element) in list.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_json(element, out);
            }
            out.push(b']');
        }
        Value::Map(members) => {
            out.push(b'{');
            for (at, (key, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_text(key, out);
                out.push(b':');
                write_json(member, out);
            }
            out.push(b'}');
        }
    }
}

fn write_int(value: i64, out: &mut Vec<u8>) {
    let (mut digits, mut rest, mut used) = ([b'0'; 20], value.unsigned_abs(), 0);
    for slot in digits.iter_mut().rev() {
        *slot += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    if Odd::Escaped.any(text.as_bytes()) {
        text.bytes().for_each(|byte| write_byte(byte, out));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

fn write_byte(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        8 => out.extend_from_slice(b"\\b"),
        9 => out.extend_from_slice(b"\\t"),
        10 => out.extend_from_slice(b"\\n"),
        12 => out.extend_from_slice(b"\\f"),
        13 => out.extend_from_slice(b"\\r"),
        0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        byte => out.push(byte),
    }
}

#[cfg(test)]
mod tests;
