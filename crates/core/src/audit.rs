//! `Event`: what goes on the record, and the routine that makes text of peers harmless.

use crate::rejection::{Class, Reason};
use serde::Serialize;
use std::fmt::Write;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The gateway, or one listener of it, began to serve.
    Started,
    /// The gateway ended.
    Stopped,
    /// A connection came to its end; exactly one for each connection that was admitted.
    Closed,
    /// A connection was turned away before it was admitted; exactly one for each.
    Refused,
    /// A message was turned away.
    Rejected,
    /// A message was let through; written only where asked for.
    Cleared,
    /// A contract that is tried and not enforced would turn a message away, or a connection.
    WouldReject,
    /// A contract that is tried did not see, or does not see any more, what a connection says.
    ShadowLost,
    /// A changed configuration is in force.
    Reloaded,
    /// A changed configuration is not in force, because something of it is wrong.
    ReloadRefused,
    /// Something an operator did: a token made, a certificate issued.
    Admin,
    /// Something an operator has to look at.
    Alarm,
}

impl EventKind {
    /// The word in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Cleared => "cleared",
            Self::WouldReject => "would_reject",
            Self::ShadowLost => "shadow_lost",
            Self::Reloaded => "reloaded",
            Self::ReloadRefused => "reload_refused",
            Self::Admin => "admin",
            Self::Alarm => "alarm",
        }
    }
}

/// One line of the audit log, before its number, time and place in the chain are added.
///
/// Its serialized form is made from this struct, field by field in this order, so it is the same
/// bytes whatever else is linked into the binary. Fields that say nothing are left out. Text of a
/// peer enters through [`shown`] only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// What kind of thing.
    #[serde(serialize_with = "as_word")]
    pub event: EventKind,
    /// Why, in one word.
    #[serde(serialize_with = "as_reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Whether an operator has to look at it: the contract's `alert` for this class.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub alarm: bool,
    /// Kind of fault, for messages.
    #[serde(serialize_with = "as_class", skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The operator's sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sentence: String,
    /// Name of the service or client table.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Id of the connection, 16 hex digits; it authorizes nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub connection: String,
    /// Identity of the peer, if one was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Serial number of the peer's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Issuer key of the peer's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `false` where the certificate could be read but was not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Address of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `client` or `server`: who said the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    /// Name and version of the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The first 16 hex digits of the contract's hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_hash: Option<String>,
    /// `enforce` or `shadow`: whether the contract is held to, or tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<&'static str>,
    /// The contract's state in which the message came, where it has states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Name of the message in the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Action that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Resources that it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Roles of the peer, where the contract reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// What a policy said to it: `allow`, `deny`, `setup` where the permit of the connection covers
    /// it, `not_judged` where the far gateway decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<&'static str>,
    /// Ids of the policies that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Pointer of the value that broke a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What the contract allows there, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// The value that stood there, if it is one value and no secret, as [`shown`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Number of the frame in its direction, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    /// Bytes of the direction before a frame that could not be cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Bytes of the frame, if all of it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// First bytes of a refused frame in hexadecimal digits, where the contract shows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Of how many this one event tells, where they are not listed one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Totals of a connection, on `closed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
}

impl Event {
    /// An event of one kind that says nothing else yet.
    #[must_use]
    pub fn new(event: EventKind) -> Self {
        Self {
            event,
            reason: None,
            alarm: false,
            class: None,
            sentence: String::new(),
            service: String::new(),
            connection: String::new(),
            peer: None,
            serial: None,
            issuer: None,
            verified: None,
            address: None,
            direction: None,
            contract: None,
            contract_hash: None,
            mode: None,
            state: None,
            message: None,
            action: None,
            resources: Vec::new(),
            roles: Vec::new(),
            decision: None,
            policies: Vec::new(),
            pointer: None,
            bound: None,
            value: None,
            frame: None,
            offset: None,
            size: None,
            bytes: None,
            count: None,
            totals: None,
        }
    }
}

/// What a connection carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Plain bytes from the client to the service that were let through.
    pub bytes_to_server: u64,
    /// Plain bytes from the service to the client that were let through.
    pub bytes_to_client: u64,
    /// Messages of the client that were cleared; 0 where nothing is inspected.
    pub messages_to_server: u64,
    /// Messages of the service that were cleared; 0 where nothing is inspected.
    pub messages_to_client: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Milliseconds from accept to end.
    pub ms: u64,
}

fn as_word<S: serde::Serializer>(kind: &EventKind, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(kind.as_str())
}

fn as_reason<S: serde::Serializer>(reason: &Option<Reason>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(reason.map_or("", Reason::as_str))
}

fn as_class<S: serde::Serializer>(class: &Option<Class>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(class.map_or("", Class::as_str))
}

/// Longest text of a peer that is shown, in bytes.
const SHOWN: usize = 256;

/// What came from a peer, as an operator may read it (`trust.md` section 10.1).
///
/// At most 256 bytes (then `…` and the full length), control characters, line separators,
/// bidirectional controls and bytes that are not UTF-8 written as escapes. It is the only way by
/// which a peer's text enters a sentence, a log or the audit.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let (head, cut) = match bytes.get(..SHOWN) {
        Some(head) if bytes.len() > SHOWN => (head, true),
        _ => (bytes, false),
    };
    let mut text = String::with_capacity(head.len());
    for chunk in head.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_harmful(character) {
                let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if cut {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}

/// Bytes that a contract names, for people: `#` as itself, what cannot be seen as `aa 55`.
#[must_use]
pub(crate) fn named(bytes: &[u8]) -> String {
    if bytes.iter().all(u8::is_ascii_graphic) {
        return shown(bytes);
    }
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

/// Whether a character could end a line, move a cursor or reorder what is read.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e007f}' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    // ADV-36, TRAP-21, SCP-OE-2
    #[test]
    fn hostile_text_is_shown_on_one_line_without_control_bytes() {
        let text = shown("a\r\nb\u{1b}[31m\u{202e}\u{2028}\0`x".as_bytes());
        assert_eq!(text, "a\\u{d}\\u{a}b\\u{1b}[31m\\u{202e}\\u{2028}\\u{0}\\u{60}x");
        assert_eq!(shown(b"\xff5"), "\\xff5");
    }

    #[test]
    fn long_text_is_shortened_and_its_length_told() {
        let text = shown(&[b'x'; 70_000]);
        assert!(text.ends_with("… (70000 bytes)") && text.len() < 300, "{text}");
    }
}
