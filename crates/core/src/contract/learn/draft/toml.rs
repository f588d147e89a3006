//! Parts of a draft as a contract's file spells them.

use super::Entry;
use crate::contract::learn::shape::quoted;
use serde_json::Value as Json;
use std::fmt::Write;

/// Field rules below each other, their comments too.
pub(super) fn aligned(fields: &[(String, Vec<String>, String)]) -> Vec<String> {
    let widest = fields.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let rules: Vec<String> = fields
        .iter()
        .map(|(name, rule, _)| {
            let blank = " ".repeat(widest - name.len());
            format!("fields.{name}{blank} = {{ {} }}", rule.join(", "))
        })
        .collect();
    let longest = rules.iter().map(|rule| rule.chars().count()).max().unwrap_or(0);
    rules
        .iter()
        .zip(fields)
        .map(|(rule, (.., words))| {
            let blank = " ".repeat(longest - rule.chars().count());
            format!("{rule}{blank}  # {words}")
        })
        .collect()
}

pub(super) fn message(text: &mut String, side: &str, entry: &Entry, role: &str, all: usize) {
    let Entry { group, body, .. } = entry;
    let _ = writeln!(
        text,
        "\n# {} of {all} messages.\n[[{side}.message]]\nname    = \"{}\"\n{role}\n{}",
        group.members.len(),
        group.name,
        body.join("\n")
    );
}

pub(super) fn test(
    text: &mut String,
    name: &str,
    side: &str,
    after: Option<&[u8]>,
    vectors: &[&[u8]],
    expect: &str,
) {
    if vectors.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n[[test]]\nname   = {}", quoted(name));
    if let Some(after) = after {
        let _ = writeln!(text, "after  = [{}]", vector(after));
    }
    match vectors {
        [one] => {
            let _ = writeln!(text, "{side} = [{}]", vector(one));
        }
        all => {
            let _ = writeln!(text, "{side} = [");
            for one in all {
                let _ = writeln!(text, "  {},", vector(one));
            }
            text.push_str("]\n");
        }
    }
    let _ = writeln!(text, "expect = \"{expect}\"");
}

/// Bytes as a contract writes them.
pub(super) fn vector(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("hex:") && is_written(text) => quoted(text),
        _ => {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\"hex: {}\"", digits.join(" "))
        }
    }
}

/// A comment that names what a peer named: nothing in it ends the line, or hides a part of it.
pub(super) fn comment(words: &str) -> String {
    let mut line = String::from("# ");
    for c in words.chars() {
        let hides = matches!(
            c,
            '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        );
        if c.is_control() || hides {
            let _ = write!(line, "\\u{{{:x}}}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line
}

/// Whether people read it as text: a NUL may end it, other controls but blanks are nowhere.
fn is_written(text: &str) -> bool {
    let text = text.strip_suffix('\0').filter(|text| !text.is_empty()).unwrap_or(text);
    !text.contains(|c: char| c.is_control() && !"\r\n\t".contains(c))
}

/// A name as a segment of a pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A schema with a line for each property.
pub(super) fn written(schema: &Json, indent: usize) -> String {
    let Json::Object(members) = schema else { return schema.to_string() };
    let pad = " ".repeat(indent + 2);
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in members {
        let name = Json::from(key.as_str());
        let nested = |value: &Json| match key.as_str() {
            "properties" => {
                let Json::Object(properties) = value else { return value.to_string() };
                let lines: Vec<String> = properties
                    .iter()
                    .map(|(name, below)| {
                        format!(
                            "\n{pad}  {}: {}",
                            Json::from(name.as_str()),
                            written(below, indent + 4)
                        )
                    })
                    .collect();
                format!("{{{} }}", lines.join(","))
            }
            "items" | "additionalProperties" => written(value, indent + 2),
            _ => value.to_string(),
        };
        parts.push(format!("{name}: {}", nested(value)));
    }
    format!("{{ {} }}", parts.join(", "))
}
