//! What the payloads of one direction are, guessed: the strictest reading that takes all of them.

use super::Message;
use crate::contract::charset::Charset;
use crate::contract::decode::{DecodeRule, JsonRule, Numbers, WireLimits};
use crate::contract::value::Value;

/// How the payloads of a direction are read, and what they then are.
pub(super) struct Reading {
    /// The table `decode`, with its comment.
    pub(super) decode: String,
    pub(super) kind: Kind,
    /// One for each message of the direction, in order.
    pub(super) trees: Vec<Value<'static>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Text { ascii: bool },
    Bytes,
}

/// Reads the payloads of a direction.
pub(super) fn read(messages: &[&Message]) -> Reading {
    let count = messages.len();
    for (numbers, word) in
        [(Numbers::Integers, "integers"), (Numbers::IJson, "i-json"), (Numbers::I64, "i64")]
    {
        for top_any in [false, true] {
            let rule = DecodeRule::Json(JsonRule { numbers, top_any, nul_allowed: false });
            // A number alone is JSON too, and more likely a text.
            let built = |trees: &[Value<'_>]| {
                trees.iter().any(|tree| matches!(tree, Value::Map(_) | Value::List(_)))
            };
            if let Some(trees) = all(&rule, messages).filter(|trees| built(trees)) {
                let top = if top_any { ", top = \"any\"" } else { "" };
                let decode = format!(
                    "{{ kind = \"json\", numbers = \"{word}\"{top} }}  # {count} of {count} messages are such JSON"
                );
                return Reading { decode, kind: Kind::Json, trees };
            }
        }
    }
    for name in ["ascii", "utf-8"] {
        let Some(charset) = Charset::named(name) else { continue };
        // Text that holds controls is no text.
        let readable = |tree: &Value<'_>| {
            tree.as_text().is_some_and(|text| !text.chars().any(char::is_control))
        };
        if let Some(trees) = all(&DecodeRule::Text { charset }, messages)
            && trees.iter().all(readable)
        {
            let decode = format!(
                "{{ kind = \"text\", charset = \"{name}\" }}  # {count} of {count} messages are such text"
            );
            return Reading { decode, kind: Kind::Text { ascii: name == "ascii" }, trees };
        }
    }
    let rule = DecodeRule::Bytes { name: "data".into() };
    let decode = "{ kind = \"bytes\" }  # neither JSON nor text".to_owned();
    Reading { decode, kind: Kind::Bytes, trees: all(&rule, messages).unwrap_or_default() }
}

fn all(rule: &DecodeRule, messages: &[&Message]) -> Option<Vec<Value<'static>>> {
    let limits =
        WireLimits { message: 1 << 20, depth: 64, nodes: 100_000, ..WireLimits::default() };
    let one = |message: &&Message| Some(rule.read(&message.payload, &limits).ok()?.into_owned());
    messages.iter().map(one).collect()
}
