//! `struct` as written: a head of items, and the tail of each message.

use super::{charset, from_frame, word};
use crate::contract::decode::{Checksum, DecodeRule, Layout, StructRule, Writing};
use crate::contract::file::rule_error;
use crate::document::Table;

pub(super) fn structure(table: &Table<'_, '_>) -> Option<DecodeRule> {
    let little = word(table, "order", &["be", "le"]) == 1;
    let charset = if table.has("charset") { Some(charset(table)?) } else { None };
    let from_frame = from_frame(table);
    let writing = Writing { little, charset };
    let items = table.texts("layout");
    if items.is_none() && !table.has("layout") {
        let hint = "`layout = [\"type: u8\", \"id: u32\"]`: what all messages begin with";
        table.missing("K-10", "layout", hint);
    }
    let head = parse(table, &Layout::default(), writing)?;
    let check = table.table("check");
    let check = match &check {
        Some(check) => Some(checksum(check, from_frame)?),
        None => None,
    };
    Some(DecodeRule::Struct(StructRule { head, from_frame, check, writing }))
}

fn parse(table: &Table<'_, '_>, head: &Layout, writing: Writing) -> Option<Layout> {
    let items = table.texts("layout")?;
    let texts: Vec<&str> = items.iter().map(|item| item.value).collect();
    // One item more at a time, so that the error stands at the item that has it.
    for (at, item) in items.iter().enumerate() {
        let so_far = texts.get(..=at).unwrap_or_default();
        if let Err(error) = Layout::parse(so_far, head, writing) {
            rule_error(table, item.span.clone(), error);
            return None;
        }
    }
    Layout::parse(&texts, head, writing).ok()
}

fn checksum(check: &Table<'_, '_>, from_frame: bool) -> Option<(Box<str>, Checksum)> {
    let item = check.text("item");
    if item.is_none() && !check.has("item") {
        check.missing("K-02", "item", "`item = \"crc\"`, the last item of every message");
    }
    let kind = check.text("kind");
    let known = kind.as_ref().and_then(|kind| {
        Checksum::NAMES.iter().find(|(name, _)| *name == kind.value).map(|(_, kind)| *kind)
    });
    if known.is_none() {
        let all: Vec<&str> = Checksum::NAMES.iter().map(|(name, _)| *name).collect();
        let span = kind.map_or_else(|| check.span(), |kind| kind.span);
        check.error_with_hint("K-02", span, "there is no such checksum", all.join(", "));
    }
    if let Some(over) = check.text("over") {
        let read = if from_frame { "frame" } else { "payload" };
        if over.value != read {
            let message = format!("`over` is `{}`, and `from` is `{read}`", over.value);
            let hint = "a checksum is of the bytes that are read before it";
            check.error_with_hint("K-02", over.span, message, hint);
        }
    }
    check.finish();
    Some((item?.value.into(), known?))
}

/// All items of a message: the head's, and those of its own `layout`.
pub(in crate::contract::file) fn layout(
    message: &Table<'_, '_>,
    decode: &DecodeRule,
) -> Option<Layout> {
    let DecodeRule::Struct(rule) = decode else {
        if message.has("layout") {
            message.error("K-10", message.key_span("layout"), "a layout describes a `struct` only");
        }
        return None;
    };
    let layout = if message.has("layout") {
        parse(message, &rule.head, rule.writing)?
    } else {
        rule.head.clone()
    };
    if let Err(error) = rule.checked(&layout) {
        rule_error(message, message.key_span("layout"), error);
    }
    Some(layout)
}
