//! `decode` as written: one kind, and its own keys.

mod binary;
mod columns;
mod separated;

pub(super) use binary::layout;

use super::direction::Draft;
use super::fields;
use crate::contract::ContractLimits;
use crate::contract::charset::Charset;
use crate::contract::decode::{DecodeRule, JsonRule, Numbers};
use crate::contract::frame::FrameRule;
use crate::contract::pattern::Pattern;
use crate::document::Table;

const KINDS: &str = "`bytes`, `text`, `struct`, `json`, `words`, `delimited`, `kv` or `columns`";

pub(super) fn decode(direction: &Table<'_, '_>) -> Option<(DecodeRule, Option<Pattern>)> {
    let Some(table) = direction.table("decode") else {
        if !direction.has("decode") {
            direction.missing("K-10", "decode", "`decode = { kind = \"json\" }`");
        }
        return None;
    };
    let kind = table.text("kind");
    let made = match kind.as_ref().map(|kind| kind.value) {
        Some("bytes") => {
            let name = table.text("name").map_or("data", |name| name.value);
            Some((DecodeRule::Bytes { name: name.into() }, None))
        }
        Some("text") => text(&table),
        Some("json") => Some((DecodeRule::Json(json(&table)), None)),
        Some("struct") => binary::structure(&table).map(|rule| (rule, None)),
        Some("columns") => columns::columns(&table).map(|rule| (rule, None)),
        Some("words") => separated::words(&table).map(|rule| (rule, None)),
        Some("delimited") => separated::delimited(&table).map(|rule| (rule, None)),
        Some("kv") => separated::pairs(&table).map(|rule| (rule, None)),
        Some(later @ ("cbor" | "msgpack" | "protobuf")) => {
            let span = kind.as_ref().map_or(0..0, |kind| kind.span.clone());
            let text = format!("decoder `{later}` needs contract level 3, this build has level 2");
            table.error("K-03", span, text);
            return None;
        }
        Some(other) => {
            let span = kind.as_ref().map_or(0..0, |kind| kind.span.clone());
            table.error_with_hint("K-10", span, format!("there is no decoder `{other}`"), KINDS);
            return None;
        }
        None => {
            if !table.has("kind") {
                table.missing("K-10", "kind", KINDS);
            }
            return None;
        }
    };
    table.finish();
    made
}

fn text(table: &Table<'_, '_>) -> Option<(DecodeRule, Option<Pattern>)> {
    let grammar = table.text("grammar");
    let charset = charset(table)?;
    let grammar = grammar.and_then(|g| fields::pattern(table, &g, charset == Charset::Ascii));
    Some((DecodeRule::Text { charset }, grammar))
}

/// The declared charset; none is guessed.
fn charset(table: &Table<'_, '_>) -> Option<Charset> {
    let Some(name) = table.text("charset") else {
        if !table.has("charset") {
            table.missing(
                "K-10",
                "charset",
                format!("nothing is guessed: {}", Charset::NAMES.join(", ")),
            );
        }
        return None;
    };
    let charset = Charset::named(name.value);
    if charset.is_none() {
        let message = format!("there is no charset `{}`", name.value);
        table.error_with_hint("K-10", name.span, message, Charset::NAMES.join(", "));
    }
    charset
}

/// `from = "payload"`, or `"frame"` for a message of which the frame's header is a part.
fn from_frame(table: &Table<'_, '_>) -> bool {
    word(table, "from", &["payload", "frame"]) == 1
}

/// The place of a word among those there are; the first, if the key is absent or wrong.
fn word(table: &Table<'_, '_>, key: &'static str, known: &[&str]) -> usize {
    let Some(text) = table.text(key) else { return 0 };
    known.iter().position(|k| *k == text.value).unwrap_or_else(|| {
        let message = format!("`{key}` is `{}`", text.value);
        table.error_with_hint("K-02", text.span, message, known.join(", "));
        0
    })
}

/// K-11: the shortest message of a direction fits into a frame. K-12: no letter ends a frame where
/// it may be half of a character, and what parts a payload may stand in one.
pub(super) fn fit(top: &Table<'_, '_>, client: &Draft, server: &Draft, limits: &ContractLimits) {
    let sides =
        [("client", client, limits.wire.message), ("server", server, limits.server_message)];
    for (side, draft, limit) in sides {
        let at = top.key_span(side);
        let least = match &draft.rule.decode {
            DecodeRule::Columns(columns) => columns.size(),
            DecodeRule::Struct(_) => {
                let layouts = draft.rule.messages.iter().filter_map(|m| m.layout.as_ref());
                layouts.map(crate::contract::decode::Layout::least).max().unwrap_or(0)
            }
            _ => 0,
        };
        let binary = matches!(draft.rule.decode, DecodeRule::Columns(_) | DecodeRule::Struct(_));
        if draft.rule.frame == FrameRule::Eof && binary {
            let message =
                format!("what the {side} says has a size, and no frame that says where it ends");
            let hint = "`length`, `fixed`, or another frame with an end of its own";
            top.error_with_hint("K-10", at.clone(), message, hint);
        }
        let size = draft.rule.frame.least();
        if size > limit as u64 {
            let message =
                format!("a frame of the {side} has {size} bytes, over the limit of {limit}");
            top.error("K-11", at.clone(), message);
            continue;
        }
        let mut frame = Vec::new();
        let framed = least > 0 && least <= limit && !draft.rule.decode.reads_frames();
        if framed && draft.rule.frame.put(&vec![0; least], &mut frame).is_err() {
            frame.clear();
        }
        let size = frame.len().max(least);
        if size > limit {
            let message =
                format!("a frame of the {side} has {size} bytes, over the limit of {limit}");
            top.error("K-11", at.clone(), message);
        }
        let parted = draft.rule.decode.separators().into_iter();
        for (key, _) in parted.filter(|(_, text)| draft.rule.frame.ends_in(text.as_bytes())) {
            let message =
                format!("`{key}` holds what ends a frame of the {side}, so it is never within one");
            let hint = format!("another `{key}`, or a frame that says its length ahead");
            top.error_with_hint("K-12", at.clone(), message, hint);
        }
        if let FrameRule::Delimiter(delimiter) = &draft.rule.frame
            && draft.rule.decode.charset().is_some_and(|of| of.may_split(delimiter.bytes()))
        {
            let message = "the delimiter holds bytes that may be part of a character";
            top.error_with_hint(
                "K-12",
                at,
                message,
                "a control character, or punctuation of ASCII",
            );
        }
    }
}

fn json(table: &Table<'_, '_>) -> JsonRule {
    let word = |key, known: &[&str]| word(table, key, known);
    let numbers = match word("numbers", &["i-json", "i64", "integers"]) {
        1 => Numbers::I64,
        2 => Numbers::Integers,
        _ => Numbers::IJson,
    };
    let top_any = word("top", &["object", "any"]) == 1;
    let nul_allowed = word("nul", &["reject", "allow"]) == 1;
    JsonRule { numbers, top_any, nul_allowed }
}
