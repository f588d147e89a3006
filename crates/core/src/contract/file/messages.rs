//! `[[client.message]]` and `[[server.message]]` as written.

use super::actions::{Shown, View};
use super::codec::Wrapping;
use super::states::Names;
use super::{ReadFile, actions, decoders, fields, frames, secrets};
use crate::contract::codec::{Codec, Known};
use crate::contract::decode::{DecodeRule, FieldType, Layout};
use crate::contract::field::FieldRule;
use crate::contract::pattern::Pattern;
use crate::contract::state::{Remember, StateRule};
use crate::contract::value::{Pointer, Value};
use crate::contract::{MessageRule, Pairing, Reuse, Role, Side};
use crate::document::{Placed, Table};
use crate::finding::nearest;
use crate::policy::schema::AttributeKind;
use std::ops::Range;
use toml::de::DeValue;

/// The keys of a message that are read once it is known what it holds.
const KEYS: [&str; 20] = [
    "hazard",
    "action",
    "resource",
    "context",
    "setup",
    "expects",
    "quota",
    "reply_timeout",
    "reject",
    "answers",
    "last",
    "pushes",
    "asks",
    "state",
    "remember",
    "rules",
    "where",
    "keys",
    "secret",
    "segments",
];

/// What every message of a direction is read with.
pub(super) struct Reader<'r> {
    pub(super) side: &'static str,
    pub(super) decode: &'r DecodeRule,
    pub(super) grammar: Option<&'r Pattern>,
    pub(super) ascii: bool,
    pub(super) tag: Option<&'r Pointer>,
    pub(super) pairing: &'r Pairing,
    pub(super) codec: Option<&'r Codec>,
    pub(super) reuse: Reuse,
    pub(super) states: &'r Names,
    pub(super) read: ReadFile<'r>,
}

impl Reader<'_> {
    pub(super) fn message(&self, table: &Table<'_, '_>) -> Option<MessageRule> {
        let faults = table.document().errors();
        let name = self.name(table);
        let mut matches = fields::values(table, "match").unwrap_or_default();
        let tag = self.tag.and_then(|tag| self.decode.field_type(None, tag));
        if tag == Some(FieldType::Bytes) {
            fields::bytes_of(table, "match", &mut matches);
        }
        let mut has = fields::pointers(table, "has");
        let mut lacks = fields::pointers(table, "lacks");
        let side = if self.side == "client" { Side::Client } else { Side::Server };
        let wrapping = Wrapping::of(self.codec, side, table, &matches, &mut has, &mut lacks);
        let grammar = table.text("grammar").and_then(|g| fields::pattern(table, &g, self.ascii));
        told_by_grammar(table);
        let layout = decoders::layout(table, self.decode);
        let bound = self.codec.and_then(Codec::list_bound);
        let mut rules = fields::fields(table, self.ascii, bound);
        if let Some(wrapping) = &wrapping {
            wrapping.place(table, &mut rules);
        }
        fields::as_bytes(table, &mut rules, |at| {
            self.decode.field_type(layout.as_ref(), at) == Some(FieldType::Bytes)
        });
        let mut secrets = secrets::of_message(table, &mut rules);
        let segments = super::codec::segments(table, self.codec);
        let written = secrets.len();
        if let Some(segments) = &segments {
            secrets::add(segments.secrets(), &mut secrets, &mut rules);
        }
        let schema = fields::schema(table, self.read, |json| match &wrapping {
            Some(wrapping) => wrapping.schema(json),
            None => json,
        });
        if table.document().errors() > faults {
            // What the rest says of fields that could not be read would be no fault of its own.
            for key in KEYS {
                let _ = table.has(key);
            }
            table.finish();
            return None;
        }
        let hazard = table.text("hazard");
        let hazard = hazard.filter(|text| frames::is_reason(table, "K-02", "hazard", text));
        let (shape, patterns) = (layout.as_ref(), grammar.as_ref());
        let tells = (&*matches, &*lacks);
        let described = self.described(table, shape, patterns, tells, &rules, schema.is_some());
        let view = View {
            reader: self,
            rules: &rules,
            of_codec: self.known(side, &matches),
            layout: layout.as_ref(),
            schema: schema.as_ref(),
            grammar: grammar.as_ref(),
            secrets: &secrets,
        };
        let role = match self.side {
            "client" => actions::request(table, &view),
            _ => role_of_reply(table, &view),
        };
        let mut wheres = wheres(table);
        for (at, values) in &mut wheres {
            if self.decode.field_type(layout.as_ref(), at) == Some(FieldType::Bytes) {
                fields::bytes_of(table, "where", values);
            }
        }
        let state = self.states.rule(table).or_else(|| self.usual_state(role.as_ref()?));
        let remember = remember(table, &view);
        for secret in secrets.iter().take(written).filter(|secret| view.shown(secret).is_none()) {
            let text = format!("`{secret}` is secret, but the message does not have it");
            table.error("K-30", table.key_span("secret"), text);
        }
        let last = table.boolean("last");
        if let Some(flag) = last.as_ref().filter(|_| !matches!(role, Some(Role::Reply(_)))) {
            table.error("K-21", flag.span.clone(), "`last` belongs to a server's answer");
        }
        let last = last.is_some_and(|flag| flag.value);
        // Read once all messages are known, in `rejects` and `rules`.
        let _ = (table.has("reject"), table.has("rules"));
        // Read by the codec, which knows what it means.
        let _ = matches!(self.codec, Some(Codec::Resp(_))) && table.has("keys");
        table.finish();
        let fields =
            rules.into_iter().map(|(at, rule, _)| (at.clone(), at.to_string(), rule)).collect();
        let hazard = hazard.map(|text| text.value.to_owned());
        let (name, role) = (name?, role?);
        described.then_some(MessageRule {
            name,
            matches,
            has,
            lacks,
            grammar,
            layout,
            segments,
            fields,
            schema,
            hazard,
            wheres,
            secrets,
            rules: Vec::new(),
            state,
            remember,
            last,
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

    /// The state of a message that names none, where a profile has one. When a reply may be said
    /// is said by its request.
    fn usual_state(&self, role: &Role) -> Option<StateRule> {
        let state = self.codec.and_then(Codec::usual_state)?;
        (!matches!(role, Role::Reply(_))).then(|| self.states.only_in(state))
    }

    /// The fields that messages with these tags have by their codec.
    fn known(&self, side: Side, matches: &[Value<'static>]) -> Option<Vec<Known>> {
        self.codec.and_then(|codec| codec.fields(side, matches))
    }

    /// What a message does not describe would be open (K-30).
    fn described(
        &self,
        table: &Table<'_, '_>,
        layout: Option<&Layout>,
        grammar: Option<&Pattern>,
        (matches, lacks): (&[Value<'static>], &[Pointer]),
        rules: &[(Pointer, FieldRule, Range<usize>)],
        has_schema: bool,
    ) -> bool {
        let before = table.document().has_errors();
        let side = if self.side == "client" { Side::Client } else { Side::Server };
        if let Some(known) = self.known(side, matches) {
            for (pointer, _, span) in rules {
                let place = self.codec.is_some_and(|codec| codec.has_place(pointer));
                if !place && !known.iter().any(|(name, _)| pointer.top() == Some(name)) {
                    let text = format!("there is no field `{pointer}` in all of these messages");
                    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                    table.error_with_hint("K-30", span.clone(), text, names.join(", "));
                }
            }
            return before || !table.document().has_errors();
        }
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
                let wrapped = matches!(self.codec, Some(Codec::JsonRpc(_)));
                let deep = |at: &Pointer| at.segments().len() > 1 + usize::from(wrapped);
                for (pointer, _, span) in rules.iter().filter(|(p, ..)| deep(p)) {
                    let message =
                        format!("`{pointer}` lies inside a member that only a schema can describe");
                    table.error("K-30", span.clone(), message);
                }
                // A codec judges its envelope itself.
                let own = |at: &Pointer| !wrapped || at.top().is_none();
                for (pointer, _, span) in rules.iter().filter(|(p, r, _)| own(p) && !r.has_type()) {
                    let message = format!("no rule says what `{pointer}` holds, so it may be all");
                    let hint = "`int`, `enum`, `len`, `regex`; an object needs a `schema`";
                    table.error_with_hint("K-30", span.clone(), message, hint);
                }
            }
            DecodeRule::Text { .. } => self.groups_and_fields(table, grammar, rules, lacks),
            DecodeRule::Bytes { name } => {
                for (pointer, _, span) in rules.iter().filter(|(p, ..)| p.top() != Some(name)) {
                    table.error(
                        "K-30",
                        span.clone(),
                        format!("there is no field `{pointer}`; the bytes are `{name}`"),
                    );
                }
            }
            DecodeRule::Json(_)
            | DecodeRule::Modbus(_)
            | DecodeRule::Resp(_)
            | DecodeRule::Hl7(_) => {}
            DecodeRule::Struct(_)
            | DecodeRule::Columns(_)
            | DecodeRule::Words(_)
            | DecodeRule::Delimited(_)
            | DecodeRule::Pairs(_) => self.known_places(table, layout, rules),
        }
        if has_schema && !matches!(self.decode, DecodeRule::Json(_)) {
            table.error("K-10", table.key_span("schema"), "a schema describes JSON only");
        }
        if table.has("grammar") && !matches!(self.decode, DecodeRule::Text { .. }) {
            table.error("K-10", table.key_span("grammar"), "a grammar reads text only");
        }
        before || !table.document().has_errors()
    }

    /// A rule stands at a place that the decoder gives, and asks for what may stand there.
    fn known_places(
        &self,
        table: &Table<'_, '_>,
        layout: Option<&Layout>,
        rules: &[(Pointer, FieldRule, Range<usize>)],
    ) {
        if let DecodeRule::Delimited(record) = self.decode {
            let known = |name: &str| {
                self.tag.is_some_and(|tag| tag.top() == Some(name))
                    || rules.iter().any(|(at, ..)| at.top() == Some(name))
            };
            for name in record.names.iter().filter(|name| !known(name)) {
                let message = format!("`{name}` is in every message, and not in `fields`");
                let hint = format!("`fields.{name} = {{ .. }}`");
                table.error_with_hint("K-30", table.span(), message, hint);
            }
        }
        for (pointer, rule, span) in rules {
            let Some(kind) = self.decode.field_type(layout, pointer) else {
                let message = format!("the message has no field `{pointer}`");
                let all = self.decode.names(layout);
                let near = pointer.top().and_then(|name| nearest(name, all.iter().copied()));
                let finding = table.document().error("K-30", span.clone(), message);
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                table.document().find(finding.hint_if(hint));
                continue;
            };
            let text = kind == FieldType::Text && self.decode.integers_in_text();
            if rule.int.is_some() && !text && !matches!(kind, FieldType::Int(..)) {
                let message = format!("`{pointer}` is no integer, so no `int` holds");
                table.error("K-30", span.clone(), message);
            }
            if rule.optional && !matches!(self.decode, DecodeRule::Pairs(_)) {
                table.error("K-30", span.clone(), format!("`{pointer}` is in every message"));
            }
        }
    }

    fn groups_and_fields(
        &self,
        table: &Table<'_, '_>,
        own: Option<&Pattern>,
        rules: &[(Pointer, FieldRule, Range<usize>)],
        lacks: &[Pointer],
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
        // The grammar of all messages yields the tag, and a group that a message must not have.
        let tag = self.tag.filter(|_| own.is_none()).and_then(Pointer::top);
        let said = |group: &str| {
            let is = |at: &Pointer| at.top() == Some(group);
            tag == Some(group) || rules.iter().any(|(at, ..)| is(at)) || lacks.iter().any(is)
        };
        for group in &groups {
            if !said(group) {
                let message = format!("group `{group}` of the grammar is not in `fields`");
                let hint = if own.is_some() {
                    format!("add `fields.{group} = {{ .. }}`, or make the group unnamed: `(?:..)`")
                } else {
                    format!(
                        "add `fields.{group} = {{ .. }}`, or `lacks = [\"{group}\"]` where it may not be"
                    )
                };
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

/// K-20: two grammars make two trees of one text, so what stands in them tells no two messages
/// apart.
fn told_by_grammar(message: &Table<'_, '_>) {
    let others = ["match", "where", "has", "lacks"];
    for key in others.into_iter().filter(|key| message.has("grammar") && message.has(key)) {
        let text = format!(
            "a message that has a grammar of its own is told by that alone, so `{key}` has no use"
        );
        let hint = "say it in the grammar, or give `decode` the grammar and a `tag`";
        message.error_with_hint("K-20", message.key_span(key), text, hint);
    }
}

/// `where`: places and the values that each may have.
fn wheres(message: &Table<'_, '_>) -> Vec<(Pointer, Vec<Value<'static>>)> {
    let Some(table) = message.table("where") else { return Vec::new() };
    let mut wheres = Vec::new();
    for (key, value) in table.entries() {
        let at = fields::pointer(&table, &key);
        let values = fields::listed(&table, key.value, value);
        wheres.extend(at.zip(values));
    }
    wheres
}

/// `remember`: names, and the scalars that are kept under them.
fn remember(message: &Table<'_, '_>, view: &View<'_>) -> Vec<Remember> {
    let Some(table) = message.table("remember") else { return Vec::new() };
    let mut all = Vec::new();
    for (name, value) in table.entries() {
        let DeValue::String(text) = value.get_ref() else {
            table.error("K-02", value.span(), format!("`{}` is not a pointer", name.value));
            continue;
        };
        let placed = Placed { value: text.as_ref(), span: value.span() };
        let Some(at) = fields::pointer(&table, &placed) else { continue };
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let scalar = |kind: &Option<AttributeKind>| {
            !matches!(kind, Some(AttributeKind::Set(_) | AttributeKind::Record(_)))
        };
        let (check, fault) = match view.shown(&at) {
            _ if name.value.len() > 64 || !name.value.bytes().all(word) => {
                ("K-02", format!("`{}` is no name of a remembered value", name.value))
            }
            None => ("K-30", format!("`{at}` is remembered, but the message does not have it")),
            Some(shown) if shown.secret => ("K-60", format!("`{at}` is secret, and is not kept")),
            Some(shown) if !shown.required => ("K-30", format!("`{at}` may be absent")),
            Some(shown) if !scalar(&shown.kind) => ("K-47", format!("`{at}` is no scalar")),
            Some(Shown { unbounded: true, .. }) => {
                let text = format!("`{at}` has no bounds, and policies may read it");
                let hint = "give it `int = [lo, hi]`, or `minimum` and `maximum` in the schema";
                table.error_with_hint("K-31", placed.span, text, hint);
                continue;
            }
            Some(Shown { kind, .. }) => {
                all.push(Remember { name: name.value.to_owned(), at, kind });
                continue;
            }
        };
        table.error(check, placed.span, fault);
    }
    all
}

/// A server message is exactly one of an answer, a push and a question (K-21).
fn role_of_reply(table: &Table<'_, '_>, view: &View<'_>) -> Option<Role> {
    let pushes = table.boolean("pushes").is_some_and(|flag| flag.value);
    let of_client = ["expects", "reply_timeout", "setup", "quota"].into_iter();
    let of_pushes = ["action", "resource", "context"].into_iter().filter(|_| !pushes);
    let of_client = of_client.map(|key| (key, "a client's message"));
    for (key, whose) in
        of_client.chain(of_pushes.map(|key| (key, "a client's message or to a push")))
    {
        if table.has(key) {
            table.error("K-21", table.key_span(key), format!("`{key}` belongs to {whose}"));
        }
    }
    let answers = table.texts("answers");
    let asks = table.boolean("asks").is_some_and(|flag| flag.value);
    match (answers, pushes, asks) {
        (Some(names), false, false) if !names.is_empty() => {
            Some(Role::Reply(names.into_iter().map(|name| name.value.to_owned()).collect()))
        }
        (None, true, false) => actions::push(table, view),
        (None, false, true) => Some(Role::Ask),
        _ => {
            let message = "a server's message needs exactly one of `answers`, `pushes` and `asks`";
            table.error_with_hint(
                "K-21",
                table.span(),
                message,
                "`answers = [\"add\"]`, `pushes = true` or `asks = true`",
            );
            None
        }
    }
}
