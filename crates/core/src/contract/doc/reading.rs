//! How the bytes of a direction become messages: frames with their parameters, decoders with their
//! charsets and layouts, and what texts may hold.

use super::{cell, plain};
use crate::audit::{named, shown};
use crate::contract::Direction;
use crate::contract::decode::{DecodeRule, Numbers, StructRule};
use crate::contract::frame::{AtEof, FrameRule};
use std::fmt::Write;

/// A sentence on frames and payloads, and one on texts where there are any.
pub(super) fn told(direction: &Direction) -> String {
    if let Some(reason) = direction.frame.uninspected() {
        return format!("**Not inspected**, whatever is said: {}.", plain(reason));
    }
    let canonical = if direction.canonical { ", sent on in one spelling" } else { "" };
    let (frame, payload) = (frame(&direction.frame), payload(&direction.decode));
    let whole = if direction.decode.reads_frames() {
        " (the whole frame, what stands around its payload included)"
    } else {
        ""
    };
    let mut told = format!("{frame}; each holds {payload}{whole}{canonical}.");
    let texts = match &direction.decode {
        DecodeRule::Bytes { .. } => false,
        DecodeRule::Struct(rule) => rule.writing.charset.is_some(),
        decode => decode.gives_text(),
    };
    if texts {
        // A string of RESP is bytes.
        let bytes = matches!(direction.decode, DecodeRule::Resp(_));
        let what = if bytes { "Texts (strings are bytes, and none)" } else { "Texts" };
        let _ = write!(told, "\n\n{what}: {}.", direction.text.told());
    }
    told
}

/// The items or columns of a direction in the order of the wire, as a table; nothing elsewhere.
pub(super) fn layout(direction: &Direction) -> String {
    match &direction.decode {
        DecodeRule::Columns(columns) => {
            let mut table = "| column | bytes | holds |\n|---|---|---|\n".to_owned();
            for (name, bytes, holds) in columns.told() {
                let _ = writeln!(table, "| `{name}` | {bytes} | {} |", cell(&holds));
            }
            table.push('\n');
            table
        }
        DecodeRule::Struct(rule) => items(rule, direction),
        _ => String::new(),
    }
}

fn items(rule: &StructRule, direction: &Direction) -> String {
    let mut table = String::new();
    let head = rule.head.names().count();
    if head > 0 {
        table.push_str("| what all begin with | holds |\n|---|---|\n");
        for (name, told) in rule.head.told() {
            let _ = writeln!(table, "| `{name}` | {} |", cell(&told));
        }
        table.push('\n');
    }
    let behind = if head > 0 { "then" } else { "items" };
    let _ = writeln!(table, "| message | {behind}, one behind the other |\n|---|---|");
    for message in &direction.messages {
        let layout = message.layout.as_ref().unwrap_or(&rule.head);
        let items = layout.told().skip(head);
        let items = items.map(|(name, told)| format!("`{name}` {}", cell(&told)));
        let items: Vec<String> = items.collect();
        let items = if items.is_empty() { "nothing".to_owned() } else { items.join("<br>") };
        let _ = writeln!(table, "| `{}` | {items} |", message.name);
    }
    if let Some((name, checksum)) = &rule.check {
        let _ = writeln!(table, "\n`{name}` is the {} of all bytes before it.", checksum.name());
    }
    table.push('\n');
    table
}

fn frame(rule: &FrameRule) -> String {
    match rule {
        FrameRule::Lines(lines) => {
            let end = match (lines.lf, lines.crlf) {
                (true, true) => "LF or CR LF",
                (false, true) => "CR LF",
                _ => "LF",
            };
            let last =
                if lines.at_eof == AtEof::Accept { "; the last may have no end" } else { "" };
            let empty = if lines.skip_empty { "; empty ones are dropped" } else { "" };
            format!("Lines that end with {end}{last}{empty}")
        }
        FrameRule::Delimiter(rule) => {
            let bytes = if rule.bytes().len() == 1 { "byte" } else { "bytes" };
            format!("Frames that end with the {bytes} `{}`", named(rule.bytes()))
        }
        FrameRule::Length(rule) => format!("Frames that say their length ahead ({})", rule.told()),
        FrameRule::Mbap => "Frames of Modbus/TCP".to_owned(),
        FrameRule::Netstring => "Netstrings".to_owned(),
        FrameRule::Fixed(rule) => format!("Frames of {} bytes", rule.size()),
        FrameRule::Eof => "The whole stream, if its end is clean".to_owned(),
        FrameRule::Headers(rule) => {
            format!("Headers, an empty line, then so many bytes ({})", rule.told())
        }
        FrameRule::OctetCount(rule) => format!(
            "Frames with their length ahead (at most {} ASCII digits, then a space)",
            rule.most_digits()
        ),
        FrameRule::Switch(rule) => {
            format!("Frames of several kinds, told apart by one field ({})", rule.told())
        }
        FrameRule::Mllp => "Blocks of MLLP".to_owned(),
        FrameRule::Resp(_) => "Commands and replies of RESP".to_owned(),
        FrameRule::Raw(_) => "No frames".to_owned(),
    }
}

fn payload(rule: &DecodeRule) -> String {
    let charset = rule.charset().map(|charset| format!(" in `{}`", charset.name()));
    let charset = charset.unwrap_or_default();
    match rule {
        DecodeRule::Bytes { .. } => "bytes that are **not inspected**".to_owned(),
        DecodeRule::Text { .. } => format!("text{charset}"),
        DecodeRule::Json(rule) => {
            let top = if rule.top_any { "value" } else { "object" };
            let numbers = match rule.numbers {
                Numbers::IJson => "integers within ±(2^53−1) and finite doubles",
                Numbers::I64 => "integers of 64 bit and finite doubles",
                Numbers::Integers => "integers within ±(2^53−1) alone",
            };
            let nul = if rule.nul_allowed { "; U+0000 may stand in texts" } else { "" };
            format!("one JSON {top}, read strictly (numbers: {numbers}{nul})")
        }
        DecodeRule::Struct(_) => "binary items".to_owned(),
        DecodeRule::Columns(_) => format!("fixed columns{charset}"),
        DecodeRule::Words(rule) => format!(
            "a verb and its arguments{charset} (`{}` between them, at most {} words)",
            shown(rule.sep.as_bytes()),
            rule.max
        ),
        DecodeRule::Delimited(rule) => {
            let quote = rule.quote.map(|quote| format!(", `{quote}` around one that needs it"));
            let quote = quote.unwrap_or_default();
            let sep = shown(rule.sep.as_bytes());
            format!("fields between separators{charset} (`{sep}`{quote}{})", listed(&rule.names))
        }
        DecodeRule::Pairs(rule) => {
            let (sep, eq) = (shown(rule.sep.as_bytes()), shown(rule.eq.as_bytes()));
            let order = if rule.ordered { ", in this order" } else { "" };
            format!(
                "keys, `{eq}` and their values{charset} (`{sep}` between{}{order})",
                listed(&rule.names)
            )
        }
        DecodeRule::Modbus(_) => "one Modbus message".to_owned(),
        DecodeRule::Hl7(_) => "one HL7 message".to_owned(),
        DecodeRule::Resp(_) => "one command or one reply".to_owned(),
    }
}

fn listed(names: &[Box<str>]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!("; {}", names.join(", ")) }
}
