//! `Link`: the place of an event in the hash chain, and the one spelling of a line.
//!
//! A line is the event's own JSON with `seq` and `at` before it and `prev` and `hash` behind it.
//! `hash` is SHA-256 over `segwan audit v1`, the 64 hex digits of `prev`, and the line without
//! `prev` and `hash`. The bytes come from the event's struct, never from a JSON value, whose order
//! depends on what else is linked into the binary; and a line is checked byte for byte.

use jiff::Timestamp;
use segwan_core::audit::{Event, shown};
use segwan_pki::key::{hex, sha256};
use serde::Serialize;
use std::io::{self, Write};

/// What stands before everything that is hashed, so that no other hash of ours is one of these.
const DOMAIN: &[u8] = b"segwan audit v1";
/// `prev` of the first line there ever was.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// `,"prev":"…","hash":"…"}`
const TAIL: usize = 9 + 64 + 10 + 64 + 2;

/// The last event that is in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Its number; 0 before the first.
    pub(super) seq: u64,
    /// Its hash, lower-case hex.
    pub(super) hash: String,
}

impl Default for Link {
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned() }
    }
}

impl Link {
    /// Adds `event` to the chain and its line to `to`.
    pub(super) fn add(&mut self, event: &Event, at: Timestamp, to: &mut Vec<u8>) {
        let start = to.len();
        let seq = self.seq + 1;
        // To a vector of bytes, writing does not fail.
        let _ = write!(to, "{{\"seq\":{seq},\"at\":\"{at:.3}\",");
        let json = spell(event);
        let fields = json.strip_prefix(b"{").and_then(|json| json.strip_suffix(b"}"));
        to.extend_from_slice(fields.unwrap_or_default());
        let hash = hash_of(&self.hash, to.get(start..).unwrap_or_default());
        let _ = writeln!(to, ",\"prev\":\"{}\",\"hash\":\"{hash}\"}}", self.hash);
        *self = Self { seq, hash };
    }
}

/// A line of the log, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) seq: u64,
    pub(super) at: &'a str,
    pub(super) prev: &'a str,
    pub(super) hash: &'a str,
    /// What is hashed, but for its closing brace.
    body: &'a str,
}

impl<'a> Entry<'a> {
    /// Takes apart a line without its line end; none if it is no line of the log.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
        let tail = tail.strip_prefix(",\"prev\":\"")?.strip_suffix("\"}")?;
        let (prev, hash) = tail.split_once("\",\"hash\":\"")?;
        let (seq, rest) = body.strip_prefix("{\"seq\":")?.split_once(",\"at\":\"")?;
        let (at, _) = rest.split_once("\",\"event\":\"")?;
        let is_hash = |text: &str| {
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let known = is_hash(prev) && is_hash(hash);
        known.then_some(Self { seq: seq.parse().ok()?, at, prev, hash, body })
    }

    /// Whether its hash is the one of its content.
    pub(super) fn is_intact(&self) -> bool {
        hash_of(self.prev, self.body.as_bytes()) == self.hash
    }

    /// Its place in the chain.
    pub(super) fn link(&self) -> Link {
        Link { seq: self.seq, hash: self.hash.to_owned() }
    }
}

fn hash_of(prev: &str, body: &[u8]) -> String {
    hex(&sha256(&[DOMAIN, prev.as_bytes(), body, b"}"].concat()))
}

fn spell(event: &Event) -> Vec<u8> {
    let mut json = Vec::with_capacity(512);
    match event.serialize(&mut serde_json::Serializer::with_formatter(&mut json, Harmless)) {
        Ok(()) => json,
        // A struct of texts and numbers is always spelled; were one not, the line says so.
        Err(_) => br#"{"event":"alarm","sentence":"an event could not be spelled"}"#.to_vec(),
    }
}

/// JSON without any character that moves a cursor, ends a line or reorders what is read: they are
/// escaped, so a viewer of the file is safe with what the path of an event did not pass through
/// [`shown`] (ADV-36).
struct Harmless;

impl serde_json::ser::Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Controls below U+0020 do not come here: JSON itself escapes them.
        if fragment.is_ascii() && !fragment.contains('\u{7f}') {
            return writer.write_all(fragment.as_bytes());
        }
        let mut bytes = [0; 4];
        let mut units = [0; 2];
        for character in fragment.chars() {
            let text = character.encode_utf8(&mut bytes);
            if character == '`' || shown(text.as_bytes()) == *text {
                writer.write_all(text.as_bytes())?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
