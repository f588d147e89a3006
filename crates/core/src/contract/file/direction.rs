//! `[client]` and `[server]` as written: frame, decoder, messages.

use super::decoders::decode;
use super::frames::frame;
use super::messages::Reader;
use super::states::Names;
use super::{ReadFile, fields};
use crate::contract::charset::Charset;
use crate::contract::codec::Codec;
use crate::contract::decode::DecodeRule;
use crate::contract::frame::FrameRule;
use crate::contract::text::TextRule;
use crate::contract::value::Pointer;
use crate::contract::{Direction, MessageRule, Pairing, Reuse, Side};
use crate::document::Table;
use std::ops::Range;

/// A direction as meant, with the places of its messages.
pub(super) struct Draft {
    pub(super) rule: Direction,
    pub(super) spans: Vec<Range<usize>>,
    /// Whether every message that is written could be read.
    pub(super) whole: bool,
    /// The names of all that are written; empty for one without a name, which may be any.
    pub(super) names: Vec<String>,
}

/// One direction; `None` if its frame or decoder could not be read.
pub(super) fn direction(
    top: &Table<'_, '_>,
    of: Side,
    (pairing, reuse): (&Pairing, Reuse),
    codec: Option<&Codec>,
    states: &Names,
    read: ReadFile<'_>,
) -> Option<Draft> {
    let side = of.as_str();
    let Some(table) = top.table(side) else {
        if let Some(codec) = codec.filter(|_| of == Side::Server && !top.has(side)) {
            return Some(undeclared(codec, of));
        }
        if !top.has(side) {
            let hint =
                format!("say what the {side} may say, or use `contract = \"raw\"` for the service");
            top.missing("K-10", side, hint);
        }
        return None;
    };
    let (frame, decode) = match codec {
        Some(codec) => {
            super::codec::refuse_fixed(&table, &["frame", "decode"]);
            (Some(codec.frame(of)), Some((codec.decode(of), None)))
        }
        None if is_raw(&table) => return uninspected(&table),
        None => (frame(&table), decode(&table)),
    };
    let tag = tag(&table, codec.and_then(|codec| codec.tag(of)));
    let text = fields::text_rule(&table);
    let forward = table.text("forward").map(|forward| (forward.value, forward.span));
    let (decode, grammar) = decode?;
    let frame = frame.map(|frame| fitted(&table, frame, &decode));
    let ascii = !matches!(decode, DecodeRule::Json(_)) && decode.charset() == Some(Charset::Ascii);
    let (decoder, grammar_of_all) = (&decode, grammar.as_ref());
    let reader = Reader {
        side,
        decode: decoder,
        grammar: grammar_of_all,
        ascii,
        tag: tag.as_ref(),
        pairing,
        codec,
        reuse,
        states,
        read,
    };
    if let Some(tag) = &tag
        && decode.knows_its_fields()
        && decode.field_type(None, tag).is_none()
    {
        let message = format!("the tag `{tag}` is not among what all messages begin with");
        table.error("K-30", table.key_span("tag"), message);
    }
    let drafts: Vec<_> =
        table.tables("message").iter().map(|m| (reader.message(m), m.span())).collect();
    if drafts.is_empty() && (of == Side::Client || codec.is_none()) {
        table.missing(
            "K-10",
            "message",
            format!("`[[{side}.message]]`, one for each thing the {side} may say"),
        );
    }
    if let Some(own) = drafts.iter().filter_map(|(m, _)| m.as_ref()).find(|m| m.grammar.is_some())
        && table.has("tag")
    {
        let text = format!("`{}` has a grammar of its own, so no `tag` tells it", own.name);
        let hint = "give `decode` the grammar, which yields the tag, or leave the tag out";
        table.error_with_hint("K-20", table.key_span("tag"), text, hint);
    }
    let has_floats = |message: &MessageRule| {
        message.layout.as_ref().is_some_and(crate::contract::decode::Layout::has_floats)
    };
    let floats = drafts.iter().filter_map(|(message, _)| message.as_ref()).any(has_floats);
    let resized = matches!(decode, DecodeRule::Json(_) | DecodeRule::Delimited(_));
    let can_rewrite =
        decode.reads_frames() || frame.as_ref().is_none_or(|frame| frame.can_rewrite(!resized));
    let canonical = match forward {
        None => match &decode {
            DecodeRule::Json(_) => can_rewrite,
            DecodeRule::Resp(rule) => rule.is_command(),
            _ => false,
        },
        Some(("verbatim", _)) => false,
        Some(("canonical", span)) => {
            if matches!(decode, DecodeRule::Bytes { .. }) {
                table.error("K-13", span, "bytes have no canonical form");
            } else if floats {
                table.error("K-13", span, "a layout with floats has no canonical form");
            } else if !can_rewrite {
                let text = "a frame of this kind cannot be written anew";
                table.error_with_hint("K-13", span, text, "`forward = \"verbatim\"`");
            }
            true
        }
        Some((other, span)) => {
            table.error(
                "K-02",
                span,
                format!("`forward` is `{other}`, not `verbatim` or `canonical`"),
            );
            false
        }
    };
    table.finish();
    let written = table.tables("message");
    let name = |m: &Table<'_, '_>| m.text("name").map_or_else(String::new, |n| n.value.to_owned());
    let names = written.iter().map(name).collect();
    let whole = drafts.iter().all(|(message, _)| message.is_some());
    let (messages, spans): (Vec<_>, Vec<_>) =
        drafts.into_iter().filter_map(|(message, span)| Some((message?, span))).unzip();
    let text = text.unwrap_or_else(TextRule::plain);
    if let DecodeRule::Json(rule) = &decode
        && rule.nul_allowed
        && text.text("\0", "").is_err()
    {
        let message = "`nul` is allowed, and the text rule denies control characters";
        let finding = table.document().error("K-15", table.key_span("decode"), message.to_owned());
        let hint = "`text = { deny = [..] }` without `control`";
        table.document().find(finding.hint(hint).warning());
    }
    Some(Draft {
        rule: Direction { frame: frame?, decode, grammar, canonical, tag, text, messages },
        spans,
        whole,
        names,
    })
}

/// The frame for bodies that are read so: no header says that they are to be read otherwise (K-10).
fn fitted(table: &Table<'_, '_>, frame: FrameRule, decode: &DecodeRule) -> FrameRule {
    let FrameRule::Headers(headers) = frame else { return frame };
    if !matches!(decode, DecodeRule::Bytes { .. })
        && let Some(name) = headers.recodes()
    {
        let text = format!("`{name}` says that a body is another than the one that is read");
        let hint = "leave it out of `allow`, or read bodies as `bytes`";
        table.error_with_hint("K-10", table.key_span("frame"), text, hint);
    }
    FrameRule::Headers(headers.read_in(decode.charset()))
}

fn is_raw(table: &Table<'_, '_>) -> bool {
    let frame = table.table("frame");
    frame.and_then(|frame| frame.text("kind")).is_some_and(|kind| kind.value == "raw")
}

/// A direction that is not inspected has no other keys (K-14).
fn uninspected(table: &Table<'_, '_>) -> Option<Draft> {
    let frame = frame(table);
    let others = ["decode", "forward", "tag", "text", "message"];
    for key in others.into_iter().filter(|key| table.has(key)) {
        let text = format!("nothing is known of what passes uninspected, so there is no `{key}`");
        table.error("K-14", table.key_span(key), text);
        let _ = table.value(key);
    }
    table.finish();
    let rule = Direction {
        frame: frame?,
        decode: DecodeRule::Bytes { name: "data".into() },
        grammar: None,
        canonical: false,
        tag: None,
        text: TextRule::plain(),
        messages: Vec::new(),
    };
    Some(Draft { rule, spans: Vec::new(), whole: true, names: Vec::new() })
}

/// A direction of which the contract says nothing, because its codec says it all.
fn undeclared(codec: &Codec, side: Side) -> Draft {
    let decode = codec.decode(side);
    let canonical = matches!(decode, DecodeRule::Json(_));
    let rule = Direction {
        frame: codec.frame(side),
        decode,
        grammar: None,
        canonical,
        tag: codec.tag(side),
        text: TextRule::plain(),
        messages: Vec::new(),
    };
    Draft { rule, spans: Vec::new(), whole: true, names: Vec::new() }
}

/// Where the kind of a message stands: as a codec fixes it, or as written.
fn tag(table: &Table<'_, '_>, fixed: Option<Pointer>) -> Option<Pointer> {
    let Some(text) = table.text("tag") else { return fixed };
    let written = fields::pointer(table, &text)?;
    match fixed {
        Some(fixed) if fixed != written => {
            table.error("K-80", text.span, format!("the codec's tag is `{fixed}`"));
            Some(fixed)
        }
        _ => Some(written),
    }
}
