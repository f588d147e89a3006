//! `[client]` and `[server]` as written: frame, decoder, messages.

use super::{ReadFile, actions, fields, refuse_later};
use crate::contract::charset::Charset;
use crate::contract::decode::{DecodeRule, JsonRule, Numbers};
use crate::contract::field::FieldRule;
use crate::contract::frame::{AtEof, Delimiter, FrameRule, Length, LengthType, Lines};
use crate::contract::pattern::Pattern;
use crate::contract::text::TextRule;
use crate::contract::value::Pointer;
use crate::contract::{Direction, MessageRule, Pairing, Role, units};
use crate::document::Table;
use crate::finding::nearest;
use std::ops::Range;

/// A direction as meant, with the places of its messages.
pub(super) struct Draft {
    pub(super) rule: Direction,
    pub(super) spans: Vec<Range<usize>>,
}

/// One direction; `None` if its frame or decoder could not be read.
pub(super) fn direction(
    top: &Table<'_, '_>,
    side: &'static str,
    pairing: &Pairing,
    read: ReadFile<'_>,
) -> Option<Draft> {
    let Some(table) = top.table(side) else {
        if !top.has(side) {
            let hint =
                format!("say what the {side} may say, or use `contract = \"raw\"` for the service");
            top.missing("K-10", side, hint);
        }
        return None;
    };
    let frame = frame(&table);
    let decode = decode(&table);
    let tag = table.text("tag").and_then(|tag| fields::pointer(&table, &tag));
    let text = fields::text_rule(&table);
    let forward = table.text("forward").map(|forward| (forward.value, forward.span));
    let (decode, grammar) = decode?;
    let ascii = matches!(decode, DecodeRule::Text { charset: Charset::Ascii });
    let reader = Reader { side, decode: &decode, grammar: grammar.as_ref(), ascii, pairing, read };
    let drafts: Vec<_> =
        table.tables("message").iter().map(|m| (reader.message(m), m.span())).collect();
    if drafts.is_empty() {
        table.missing(
            "K-10",
            "message",
            format!("`[[{side}.message]]`, one for each thing the {side} may say"),
        );
    }
    let canonical = match forward {
        None => matches!(decode, DecodeRule::Json(_)),
        Some(("verbatim", _)) => false,
        Some(("canonical", span)) => {
            if matches!(decode, DecodeRule::Bytes { .. }) {
                table.error("K-13", span, "bytes have no canonical form");
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
    let (messages, spans): (Vec<_>, Vec<_>) =
        drafts.into_iter().filter_map(|(message, span)| Some((message?, span))).unzip();
    let text = text.unwrap_or_else(TextRule::plain);
    Some(Draft {
        rule: Direction { frame: frame?, decode, grammar, canonical, tag, text, messages },
        spans,
    })
}

fn frame(direction: &Table<'_, '_>) -> Option<FrameRule> {
    let Some(table) = direction.table("frame") else {
        if !direction.has("frame") {
            direction.missing("K-10", "frame", "`frame = { kind = \"lines\" }`");
        }
        return None;
    };
    let kind = table.text("kind");
    let frame = match kind.as_ref().map(|kind| kind.value) {
        Some("lines") => Some(FrameRule::Lines(lines(&table))),
        Some("delimiter") => delimiter(&table),
        Some("length") => length(&table),
        Some(
            later @ ("netstring" | "fixed" | "eof" | "raw" | "headers" | "switch" | "octet-count"
            | "mllp"),
        ) => {
            let span = kind.as_ref().map_or(0..0, |kind| kind.span.clone());
            table.error("K-03", span, format!("frame kind `{later}` is not in this build yet"));
            return None;
        }
        Some(other) => {
            let span = kind.as_ref().map_or(0..0, |kind| kind.span.clone());
            let message = format!("there is no frame kind `{other}`");
            table.error_with_hint("K-10", span, message, "`lines`, `delimiter` or `length`");
            return None;
        }
        None => {
            if !table.has("kind") {
                table.missing("K-10", "kind", "`lines`, `delimiter` or `length`");
            }
            return None;
        }
    };
    table.finish();
    frame
}

fn lines(table: &Table<'_, '_>) -> Lines {
    let mut lines = Lines {
        lf: true,
        crlf: false,
        writes_crlf: false,
        at_eof: AtEof::Reject,
        skip_empty: false,
    };
    if let Some(ends) = table.texts("ends") {
        lines.lf = false;
        for end in &ends {
            match end.value {
                "\n" => lines.lf = true,
                "\r\n" => lines.crlf = true,
                _ => table.error("K-02", end.span.clone(), "a line ends with `\\n` or `\\r\\n`"),
            }
        }
        lines.writes_crlf = ends.first().is_some_and(|end| end.value == "\r\n");
        if ends.is_empty() {
            table.error("K-02", table.key_span("ends"), "`ends` is empty");
        }
    }
    let word = |key: &'static str, on: &str, off: &str| -> bool {
        let Some(text) = table.text(key) else { return false };
        if text.value != on && text.value != off {
            table.error(
                "K-02",
                text.span,
                format!("`{key}` is `{}`, not `{off}` or `{on}`", text.value),
            );
        }
        text.value == on
    };
    if word("at_eof", "accept", "reject") {
        lines.at_eof = AtEof::Accept;
    }
    lines.skip_empty = word("empty", "skip", "frame");
    lines
}

fn delimiter(table: &Table<'_, '_>) -> Option<FrameRule> {
    let Some(text) = table.text("bytes") else {
        if !table.has("bytes") {
            table.missing("K-02", "bytes", "`bytes = \"\\u0000\"`, or `hex:` and digits");
        }
        return None;
    };
    let made = units::bytes(text.value).and_then(|bytes| Delimiter::new(&bytes));
    made.map_err(|sentence| table.error("K-12", text.span, sentence)).ok().map(FrameRule::Delimiter)
}

fn length(table: &Table<'_, '_>) -> Option<FrameRule> {
    let number = |key: &'static str| table.integer(key);
    let byte = |key| number(key).map(|n| u8::try_from(n.value).unwrap_or(u8::MAX));
    let (digits, max_bytes) = (byte("digits"), byte("max_bytes"));
    let at = number("at").map_or(0, |at| usize::try_from(at.value).unwrap_or(usize::MAX));
    let adjust = number("adjust").map_or(0, |adjust| adjust.value);
    let min = number("min").map_or(0, |min| u64::try_from(min.value).unwrap_or(u64::MAX));
    let includes_header = table.boolean("includes_header").is_some_and(|flag| flag.value);
    let magic = table.text("magic").map(|text| (units::bytes(text.value), text.span));
    let magic = match magic {
        Some((Err(sentence), span)) => {
            table.error("K-02", span, sentence);
            return None;
        }
        Some((Ok(magic), _)) => magic,
        None => Vec::new(),
    };
    let Some(kind) = table.text("type") else {
        if !table.has("type") {
            table.missing("K-02", "type", LengthType::NAMES.join(", "));
        }
        return None;
    };
    let made = LengthType::new(kind.value, digits, max_bytes)
        .and_then(|kind| Length::new(kind, at, includes_header, adjust, &magic, min));
    match made {
        Ok(length) => Some(FrameRule::Length(length)),
        Err(sentence) => {
            let hint = nearest(kind.value, LengthType::NAMES)
                .map(|near| format!("did you mean `{near}`?"));
            let hint = hint.filter(|_| !LengthType::NAMES.contains(&kind.value));
            let finding = table.document().error("K-02", kind.span, sentence);
            table.document().find(finding.hint_if(hint));
            None
        }
    }
}

fn decode(direction: &Table<'_, '_>) -> Option<(DecodeRule, Option<Pattern>)> {
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
        Some(
            later @ ("struct" | "words" | "delimited" | "kv" | "columns" | "cbor" | "msgpack"
            | "protobuf"),
        ) => {
            let span = kind.as_ref().map_or(0..0, |kind| kind.span.clone());
            table.error("K-03", span, format!("decoder `{later}` is not in this build yet"));
            return None;
        }
        Some(other) => {
            let span = kind.as_ref().map_or(0..0, |kind| kind.span.clone());
            table.error_with_hint(
                "K-10",
                span,
                format!("there is no decoder `{other}`"),
                "`bytes`, `text` or `json`",
            );
            return None;
        }
        None => {
            if !table.has("kind") {
                table.missing("K-10", "kind", "`bytes`, `text` or `json`");
            }
            return None;
        }
    };
    table.finish();
    made
}

fn text(table: &Table<'_, '_>) -> Option<(DecodeRule, Option<Pattern>)> {
    let grammar = table.text("grammar");
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
    let Some(charset) = Charset::named(name.value) else {
        let message = format!("there is no charset `{}`", name.value);
        table.error_with_hint("K-10", name.span, message, Charset::NAMES.join(", "));
        return None;
    };
    let grammar = grammar.and_then(|g| fields::pattern(table, &g, charset == Charset::Ascii));
    Some((DecodeRule::Text { charset }, grammar))
}

fn json(table: &Table<'_, '_>) -> JsonRule {
    let word = |key: &'static str, known: &[&str]| -> usize {
        let Some(text) = table.text(key) else { return 0 };
        known.iter().position(|k| *k == text.value).unwrap_or_else(|| {
            let message = format!("`{key}` is `{}`", text.value);
            table.error_with_hint("K-02", text.span, message, known.join(", "));
            0
        })
    };
    let numbers = match word("numbers", &["i-json", "i64", "integers"]) {
        1 => Numbers::I64,
        2 => Numbers::Integers,
        _ => Numbers::IJson,
    };
    let top_any = word("top", &["object", "any"]) == 1;
    let nul_allowed = word("nul", &["reject", "allow"]) == 1;
    JsonRule { numbers, top_any, nul_allowed }
}

/// What every message of a direction is read with.
pub(super) struct Reader<'r> {
    pub(super) side: &'static str,
    pub(super) decode: &'r DecodeRule,
    pub(super) grammar: Option<&'r Pattern>,
    pub(super) ascii: bool,
    pub(super) pairing: &'r Pairing,
    pub(super) read: ReadFile<'r>,
}

impl Reader<'_> {
    fn message(&self, table: &Table<'_, '_>) -> Option<MessageRule> {
        refuse_later(
            table,
            &[
                ("where", 2),
                ("rules", 2),
                ("state", 2),
                ("remember", 2),
                ("setup", 2),
                ("asks", 2),
                ("last", 2),
                ("quota", 2),
                ("layout", 1),
                ("secret", 1),
            ],
        );
        let name = self.name(table);
        let matches = fields::values(table, "match").unwrap_or_default();
        let has = fields::pointers(table, "has");
        let lacks = fields::pointers(table, "lacks");
        let grammar = table.text("grammar").and_then(|g| fields::pattern(table, &g, self.ascii));
        let rules = fields::fields(table, self.ascii);
        let schema = fields::schema(table, self.read);
        let hazard = table.text("hazard").map(|hazard| (hazard.value.to_owned(), hazard.span));
        if let Some((text, span)) = &hazard
            && !(10..=300).contains(&text.chars().count())
        {
            table.error(
                "K-02",
                span.clone(),
                "`hazard` says in 10 to 300 characters why it is needed",
            );
        }
        let described = self.described(table, grammar.as_ref(), &rules, schema.is_some());
        let role = match self.side {
            "client" => actions::request(self, table, &rules, schema.as_ref(), grammar.as_ref()),
            _ => role_of_reply(table),
        };
        // Read once all messages are known, in `rejects`.
        let _ = table.has("reject");
        table.finish();
        let fields =
            rules.into_iter().map(|(at, rule, _)| (at.clone(), at.to_string(), rule)).collect();
        let hazard = hazard.map(|(text, _)| text);
        let (name, role) = (name?, role?);
        described.then_some(MessageRule {
            name,
            matches,
            has,
            lacks,
            grammar,
            fields,
            schema,
            hazard,
            role,
        })
    }

    fn name(&self, table: &Table<'_, '_>) -> Option<String> {
        let Some(name) = table.text("name") else {
            if !table.has("name") {
                table.missing("K-02", "name", "`name = \"add\"`");
            }
            return None;
        };
        let good = name.value.len() <= 64
            && name.value.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .value
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        if !good {
            table.error(
                "K-02",
                name.span,
                format!(
                    "`{}` is not a message's name: small letters, digits, `_`, `-`",
                    name.value
                ),
            );
            return None;
        }
        Some(name.value.to_owned())
    }

    /// What a message does not describe would be open (K-30).
    fn described(
        &self,
        table: &Table<'_, '_>,
        grammar: Option<&Pattern>,
        rules: &[(Pointer, FieldRule, Range<usize>)],
        has_schema: bool,
    ) -> bool {
        let before = table.document().has_errors();
        let at = table.span();
        match self.decode {
            DecodeRule::Json(_) if !has_schema && rules.is_empty() && !table.has("schema") => {
                table.error_with_hint(
                    "K-30",
                    at,
                    "the message does not say what it holds",
                    "give it `fields` or a `schema`",
                );
            }
            DecodeRule::Json(_) if !has_schema => {
                for (pointer, _, span) in rules.iter().filter(|(p, ..)| p.top().is_none()) {
                    let message =
                        format!("`{pointer}` lies inside a member that only a schema can describe");
                    table.error("K-30", span.clone(), message);
                }
            }
            DecodeRule::Text { .. } => self.groups_and_fields(table, grammar, rules),
            DecodeRule::Bytes { name } => {
                for (pointer, _, span) in rules.iter().filter(|(p, ..)| p.top() != Some(name)) {
                    table.error(
                        "K-30",
                        span.clone(),
                        format!("there is no field `{pointer}`; the bytes are `{name}`"),
                    );
                }
            }
            DecodeRule::Json(_) => {}
        }
        if has_schema && !matches!(self.decode, DecodeRule::Json(_)) {
            table.error("K-10", table.key_span("schema"), "a schema describes JSON only");
        }
        if table.has("grammar") && !matches!(self.decode, DecodeRule::Text { .. }) {
            table.error("K-10", table.key_span("grammar"), "a grammar reads text only");
        }
        before || !table.document().has_errors()
    }

    fn groups_and_fields(
        &self,
        table: &Table<'_, '_>,
        own: Option<&Pattern>,
        rules: &[(Pointer, FieldRule, Range<usize>)],
    ) {
        if own.is_some() && self.grammar.is_some() {
            table.error("K-10", table.key_span("grammar"), "the direction has a grammar already");
        }
        let Some(grammar) = own.or(self.grammar) else {
            if !table.has("grammar") && self.grammar.is_none() {
                table.missing("K-10", "grammar", "`grammar = '(?P<n>[0-9]+)'`");
            }
            return;
        };
        let groups: Vec<&str> = grammar.groups().collect();
        let at = if own.is_some() { table.key_span("grammar") } else { table.span() };
        let tag = own.is_none();
        for group in &groups {
            if !tag && !rules.iter().any(|(p, ..)| p.top() == Some(group)) {
                let message = format!("group `{group}` of the grammar is not in `fields`");
                let hint =
                    format!("add `fields.{group} = {{ .. }}`, or make the group unnamed: `(?:..)`");
                table.error_with_hint("K-30", at.clone(), message, hint);
            }
        }
        for (pointer, _, span) in rules {
            if !pointer.top().is_some_and(|name| groups.contains(&name)) {
                let message = format!("the grammar has no group for the field `{pointer}`");
                table.error("K-30", span.clone(), message);
            }
        }
    }
}

/// A server message is exactly one of an answer and a push (K-21).
fn role_of_reply(table: &Table<'_, '_>) -> Option<Role> {
    for key in ["action", "resource", "context", "expects", "reply_timeout"] {
        if table.has(key) {
            table.error(
                "K-21",
                table.key_span(key),
                format!("`{key}` belongs to a client's message"),
            );
        }
    }
    let answers = table.texts("answers");
    let pushes = table.boolean("pushes").is_some_and(|flag| flag.value);
    match (answers, pushes) {
        (Some(names), false) if !names.is_empty() => {
            Some(Role::Reply(names.into_iter().map(|name| name.value.to_owned()).collect()))
        }
        (None, true) => Some(Role::Push),
        _ => {
            let message = "a server's message needs exactly one of `answers` and `pushes`";
            table.error_with_hint(
                "K-21",
                table.span(),
                message,
                "`answers = [\"add\"]`, or `pushes = true`",
            );
            None
        }
    }
}
