//! What a message asks of a policy: action, resource, context, as written.

use super::direction::Draft;
use super::messages::Reader;
use super::{fields, limits, rule_error};
use crate::contract::codec::Known;
use crate::contract::decode::{DecodeRule, FieldType, Layout, Numbers};
use crate::contract::field::FieldRule;
use crate::contract::pattern::Pattern;
use crate::contract::schema::Schema;
use crate::contract::secret::touches;
use crate::contract::template::Template;
use crate::contract::value::{Pointer, Value};
use crate::contract::{Asking, Pairing, Request, Reuse, Role, state};
use crate::document::{Placed, Table};
use crate::finding::nearest;
use crate::policy::schema::{ActionShape, Attribute, AttributeKind};
use std::ops::Range;
use std::time::Duration;
use toml::de::DeValue;

/// What bounds an integer (K-31).
const BOUNDS: &str = "give it `int = [lo, hi]`, or `minimum` and `maximum` in the schema";

pub(super) type Rules = [(Pointer, FieldRule, Range<usize>)];

/// What a message shows at one place: its type, whether its integers are bounded, whether it is
/// always there.
pub(super) struct Shown {
    pub(super) kind: Option<AttributeKind>,
    pub(super) unbounded: bool,
    /// The least that an integer may be, where that is known.
    pub(super) lower: Option<i64>,
    pub(super) required: bool,
    /// Whether it is secret, or has something secret in it.
    pub(super) secret: bool,
}

pub(super) fn request(table: &Table<'_, '_>, view: &View<'_>) -> Option<Role> {
    for key in ["pushes", "asks"] {
        if table.has(key) {
            table.error(
                "K-21",
                table.key_span(key),
                format!("`{key}` belongs to a server's message"),
            );
        }
    }
    let reader = view.reader;
    let setup = table.boolean("setup").is_some_and(|flag| flag.value);
    let asking = if setup {
        setup_asks_nothing(table);
        Some(None)
    } else {
        asking(table, view).map(Some)
    };
    let quota = super::quotas::quota(table, view);
    let answers = table.texts("answers").unwrap_or_default();
    let answers: Vec<String> = answers.into_iter().map(|name| name.value.to_owned()).collect();
    let (expects, many) = expects(table, reader, !answers.is_empty());
    if let Pairing::Key(key) = reader.pairing
        && (expects || !answers.is_empty())
    {
        let shown = view.shown(key);
        if !shown.as_ref().is_some_and(|shown| shown.required) {
            let message = format!("the pair key `{key}` is not required by this message");
            table.error("K-23", table.span(), message);
        } else if reader.reuse == Reuse::Increasing
            && shown.is_some_and(|shown| shown.kind != Some(AttributeKind::Long))
        {
            let message = format!("the pair key `{key}` increases, but is no integer here");
            table.error("K-23", table.span(), message);
        }
    }
    let wait = limits::wait(
        table,
        "reply_timeout",
        Duration::from_millis(100),
        Duration::from_secs(86_400),
    );
    Some(Role::Request(Box::new(Request {
        asking: asking?,
        expects,
        many,
        answers,
        keeps: [].into(),
        quota,
        reply_timeout: wait,
        rejects: Vec::new(),
    })))
}

/// What the service says unasked; with an action it is a question of who may have it.
pub(super) fn push(table: &Table<'_, '_>, view: &View<'_>) -> Option<Role> {
    if table.has("action") {
        return asking(table, view).map(|asking| Role::Push(Some(Box::new(asking))));
    }
    for key in ["resource", "context"] {
        if table.has(key) {
            let text = format!("this push has no action, so no policy is asked about a `{key}`");
            let hint = "`action = \"topic.receive\"`: what the peer must be permitted";
            table.error_with_hint("K-18", table.key_span(key), text, hint);
        }
    }
    Some(Role::Push(None))
}

/// What a policy is asked: action, resource and what it sees.
fn asking(table: &Table<'_, '_>, view: &View<'_>) -> Option<Asking> {
    let action = action(table);
    let resource = table.text("resource").and_then(|text| view.resource(table, &text));
    let shown = view.context(table);
    let action = action?;
    let (context, attributes) =
        shown.into_iter().map(|(pointer, of)| ((of.name.clone(), pointer), of)).unzip();
    let shape = ActionShape {
        name: action.clone(),
        on_resource: resource.is_some(),
        context: attributes,
        // Known once all messages are, in `show_remembered`.
        session: Vec::new(),
    };
    Some(Asking { action, resource, context, shape })
}

/// What a policy sees of earlier messages is the same for all actions, once all are known.
pub(super) fn show_remembered(client: &mut Draft, server: &mut Draft) {
    let all = client.rule.messages.iter().chain(&server.rule.messages);
    let session = state::remembered(all);
    for message in client.rule.messages.iter_mut().chain(&mut server.rule.messages) {
        let asking = match &mut message.role {
            Role::Request(request) => request.asking.as_mut(),
            Role::Push(asking) => asking.as_deref_mut(),
            Role::Reply(_) | Role::Ask => None,
        };
        if let Some(asking) = asking {
            asking.shape.session.clone_from(&session);
        }
    }
}

/// K-18: the Permit of the connection covers a `setup` message, so no policy is asked about it.
fn setup_asks_nothing(table: &Table<'_, '_>) {
    for key in ["action", "resource", "context"] {
        if table.has(key) {
            let text = format!("a `setup` message asks no policy, so it has no `{key}`");
            table.error("K-18", table.key_span(key), text);
        }
    }
}

/// Whether a message expects a reply, and whether many. An answer expects none.
fn expects(table: &Table<'_, '_>, reader: &Reader<'_>, is_answer: bool) -> (bool, bool) {
    let expects = match table.text("expects").map(|text| (text.value, text.span)) {
        None => (*reader.pairing != Pairing::None && !is_answer, false),
        Some(("one", _)) => (true, false),
        Some(("many", _)) => (true, true),
        Some(("none", _)) => (false, false),
        Some((other, span)) => {
            let text = format!("`expects` is `{other}`, not `one`, `many` or `none`");
            table.error("K-02", span, text);
            (true, false)
        }
    };
    if expects.0 && *reader.pairing == Pairing::None {
        table.error(
            "K-22",
            table.span(),
            "with `pair = { by = \"none\" }` no message expects a reply",
        );
    }
    if expects.0 && is_answer {
        table.error("K-22", table.span(), "what answers the service expects no reply itself");
    }
    expects
}

/// Segments joined by dots; `connect` is the gateway's own (K-18, K-02).
fn action(table: &Table<'_, '_>) -> Option<String> {
    let Some(action) = table.text("action") else {
        if !table.has("action") {
            table.missing("K-18", "action", "what the policy is asked: `action = \"add\"`");
        }
        return None;
    };
    let segment = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let text = action.value;
    if text == "connect" {
        table.error("K-18", action.span, "the action `connect` is the connection's own");
        return None;
    }
    if text.len() > 128 || !text.split('.').all(segment) {
        table.error(
            "K-02",
            action.span,
            format!("`{text}` is not an action: words joined by dots"),
        );
        return None;
    }
    Some(text.to_owned())
}

/// A message as far as it is read: what it shows, and of which kind.
pub(super) struct View<'v> {
    pub(super) reader: &'v Reader<'v>,
    pub(super) rules: &'v Rules,
    /// What every such message has by its codec.
    pub(super) of_codec: Option<Vec<Known>>,
    pub(super) layout: Option<&'v Layout>,
    pub(super) schema: Option<&'v Schema>,
    pub(super) grammar: Option<&'v Pattern>,
    pub(super) secrets: &'v [Pointer],
}

impl View<'_> {
    fn resource(&self, table: &Table<'_, '_>, text: &Placed<&str>) -> Option<Template> {
        let template = match Template::parse(text.value) {
            Ok(template) => template,
            Err(error) => {
                rule_error(table, text.span.clone(), error);
                return None;
            }
        };
        for (pointer, list) in template.pointers() {
            let fault = match self.shown(pointer) {
                None => {
                    Some(format!("the resource names `{pointer}`, which the message does not have"))
                }
                Some(shown) if shown.secret => {
                    table.error("K-60", text.span.clone(), format!("`{pointer}` is secret"));
                    None
                }
                Some(shown) if !shown.required => {
                    Some(format!("the resource names `{pointer}`, which may be absent"))
                }
                Some(shown) if shown.unbounded => {
                    let message =
                        format!("`{pointer}` has no bounds, and resources are named by it");
                    table.error_with_hint("K-31", text.span.clone(), message, BOUNDS);
                    None
                }
                Some(shown) => match (shown.kind, list) {
                    (Some(AttributeKind::Set(of)), true) => match *of {
                        AttributeKind::Set(_) | AttributeKind::Record(_) => {
                            Some(format!("the elements of `{pointer}` are no scalars"))
                        }
                        _ => None,
                    },
                    (Some(AttributeKind::Set(_)), false) => {
                        Some(format!("`{pointer}` is a list: write `${{{pointer}[*]}}`"))
                    }
                    (_, true) => Some(format!("`{pointer}` is no list")),
                    (Some(AttributeKind::Record(_)), _) => {
                        Some(format!("`{pointer}` is an object"))
                    }
                    (Some(_), _) => None,
                    (None, _) if self.known(pointer) == Some(FieldType::Bytes) => None,
                    (None, _) => Some(format!("`{pointer}` has no type that can name a resource")),
                },
            };
            if let Some(message) = fault {
                let finding = table.document().error("K-44", text.span.clone(), message);
                let near = self.shown(pointer).is_none().then(|| self.nearest(pointer)).flatten();
                table.document().find(finding.hint_if(near));
            }
        }
        Some(template)
    }

    /// The place of the message nearest to one that it does not have.
    fn nearest(&self, pointer: &Pointer) -> Option<String> {
        let ruled = self.rules.iter().map(|(at, ..)| at.to_string());
        let implied = self.reader.decode.implied(self.layout).into_iter();
        let grammars = [self.grammar, self.reader.grammar].into_iter().flatten();
        let of_codec = self.of_codec.iter().flatten().map(|(name, _)| *name);
        let named = implied.chain(grammars.flat_map(Pattern::groups)).chain(of_codec);
        let all: Vec<String> =
            ruled.chain(named.map(|name| Pointer::name(name).to_string())).collect();
        let near = nearest(&pointer.to_string(), all.iter().map(String::as_str))?;
        Some(format!("did you mean `{near}`?"))
    }

    fn context(&self, table: &Table<'_, '_>) -> Vec<(Pointer, Attribute)> {
        let Some(context) = table.table("context") else { return self.default_context() };
        let mut all = Vec::new();
        for (name, value) in context.entries() {
            let DeValue::String(text) = value.get_ref() else {
                context.error("K-02", value.span(), format!("`{}` is not a pointer", name.value));
                continue;
            };
            let placed = Placed { value: text.as_ref(), span: value.span() };
            let Some(pointer) = fields::pointer(&context, &placed) else { continue };
            match self.shown(&pointer) {
                None => {
                    let message =
                        format!("the context names `{pointer}`, which the message does not have");
                    context.error("K-30", placed.span, message);
                }
                Some(shown) if shown.secret => {
                    context.error(
                        "K-60",
                        placed.span,
                        format!("`{pointer}` is secret; no policy sees it"),
                    );
                }
                Some(Shown { unbounded: true, .. }) => {
                    let message = format!("`{pointer}` has no bounds, and policies read it");
                    context.error_with_hint("K-31", placed.span, message, BOUNDS);
                }
                Some(Shown { kind: None, .. }) => {
                    context.error(
                        "K-47",
                        placed.span,
                        format!("`{pointer}` has no type that a policy has"),
                    );
                }
                Some(Shown { kind: Some(kind), required, .. }) => {
                    let name = name.value.to_owned();
                    all.push((pointer, Attribute { name, kind, optional: !required }));
                }
            }
        }
        all
    }

    /// Flat messages show what is not secret, constant or the pair key; nested ones nothing.
    fn default_context(&self) -> Vec<(Pointer, Attribute)> {
        if let Some(known) = &self.of_codec {
            return self.known_context(known);
        }
        let decode = self.reader.decode;
        let places: Vec<Pointer> = if decode.knows_its_fields() {
            decode.implied(self.layout).into_iter().map(Pointer::name).collect()
        } else if decode.integers_in_text() {
            self.rules.iter().map(|(pointer, ..)| pointer.clone()).collect()
        } else {
            return Vec::new();
        };
        let shown = |pointer: Pointer| {
            let key = matches!(self.reader.pairing, Pairing::Key(key) if *key == pointer);
            let rule = self.rules.iter().find(|(at, ..)| *at == pointer).map(|(_, rule, _)| rule);
            if key || rule.is_some_and(|rule| rule.constant.is_some()) {
                return None;
            }
            let seen = self.shown(&pointer).filter(|shown| !shown.unbounded && !shown.secret)?;
            let name = pointer.top()?.to_owned();
            Some((pointer, Attribute { name, kind: seen.kind?, optional: !seen.required }))
        };
        places.into_iter().filter_map(shown).collect()
    }

    /// The type that the decoder gives at a place.
    fn known(&self, pointer: &Pointer) -> Option<FieldType> {
        self.reader.decode.field_type(self.layout, pointer)
    }

    fn known_context(&self, known: &[Known]) -> Vec<(Pointer, Attribute)> {
        let shown = |(name, kind): &Known| {
            let pointer = Pointer::name(name);
            let key = matches!(self.reader.pairing, Pairing::Key(key) if *key == pointer);
            let rule = self.rules.iter().find(|(at, ..)| *at == pointer).map(|(_, rule, _)| rule);
            let hidden = rule.is_some_and(|rule| rule.constant.is_some() || rule.secret)
                || touches(self.secrets, &pointer);
            let kind = kind.clone().filter(|_| !key && !hidden)?;
            Some((pointer, Attribute { name: (*name).to_owned(), kind, optional: false }))
        };
        known.iter().filter_map(shown).collect()
    }

    /// What the message shows at a place, by its field rules, its schema, its grammar.
    pub(super) fn shown(&self, pointer: &Pointer) -> Option<Shown> {
        let ruled = self.rules.iter().find(|(at, ..)| at == pointer).map(|(_, rule, _)| rule);
        if let Some(known) = &self.of_codec {
            let (_, kind) = known.iter().find(|(name, _)| *pointer == Pointer::name(name))?;
            let secret = ruled.is_some_and(|rule| rule.secret) || touches(self.secrets, pointer);
            // What is on the wire has no sign.
            let (lower, unbounded, required) = (Some(0), false, true);
            return Some(Shown { kind: kind.clone(), unbounded, lower, required, secret });
        }
        let shape = self.schema.and_then(|schema| schema.shape(pointer));
        let named = |grammar: &Pattern| grammar.groups().any(|group| Some(group) == pointer.top());
        let in_grammar = self.grammar.is_some_and(named) || self.reader.grammar.is_some_and(named);
        let known = self.known(pointer);
        let implied = known.is_some() && self.reader.decode.knows_its_fields();
        if ruled.is_none() && shape.is_none() && !in_grammar && !implied {
            return None;
        }
        let ruled_kind = ruled.and_then(|rule| kind(rule, self.reader.decode));
        let kind = match &known {
            // Text may turn out to be an integer; everything else is what the decoder says.
            None | Some(FieldType::Text) => ruled_kind
                .or_else(|| shape.as_ref()?.kind.clone())
                .or_else(|| known.as_ref()?.kind()),
            Some(FieldType::List(of)) if **of == FieldType::Text => {
                let each = ruled.and_then(|rule| rule.each.as_ref()).and(ruled_kind);
                each.or_else(|| known.as_ref()?.kind())
            }
            Some(known) => known.kind(),
        };
        let bounds = ruled
            .and_then(FieldRule::int_bounds)
            .or_else(|| {
                let (lo, hi) = shape.as_ref()?.bounds;
                lo.zip(hi)
            })
            .or_else(|| known.as_ref()?.bounds());
        // Only the widened numbers of JSON have no bound of their own.
        let wide =
            matches!(self.reader.decode, DecodeRule::Json(rule) if rule.numbers == Numbers::I64);
        let within = ruled.and_then(FieldRule::int_bounds).or_else(|| {
            ruled.and_then(|rule| rule.each.as_ref()).and_then(|each| each.int_bounds())
        });
        // All of a list or an object, where a schema alone says what is in it.
        let unbounded =
            wide && within.is_none() && self.schema.is_some_and(|schema| schema.unbounded(pointer));
        let required = match (&shape, ruled) {
            (Some(shape), _) => shape.required,
            (None, Some(rule)) => !rule.optional,
            (None, None) => true,
        };
        let lower = bounds.map(|(lo, _)| lo).or_else(|| shape.as_ref()?.bounds.0);
        let secret = ruled.is_some_and(|rule| rule.secret) || touches(self.secrets, pointer);
        Some(Shown { kind, unbounded, lower, required, secret })
    }
}

/// The type of a field by its short rules.
fn kind(rule: &FieldRule, decode: &DecodeRule) -> Option<AttributeKind> {
    let json = matches!(decode, DecodeRule::Json(_));
    let scalar = |value: &Value<'static>| match value {
        Value::Int(_) => Some(AttributeKind::Long),
        Value::Text(_) => Some(AttributeKind::String),
        Value::Bool(_) => Some(AttributeKind::Bool),
        _ => None,
    };
    if rule.int.is_some() {
        return Some(AttributeKind::Long);
    }
    if let Some(each) = &rule.each {
        return kind(each, decode).map(|kind| AttributeKind::Set(Box::new(kind)));
    }
    if let Some(value) = rule.constant.as_ref().or_else(|| rule.one_of.as_ref()?.first()) {
        return scalar(value);
    }
    if let Some(kind) = rule.form.as_ref().and_then(|form| form.attribute_kind(json)) {
        return kind;
    }
    let text = rule.regex.is_some()
        || rule.text.is_some()
        || rule.form.is_some()
        || decode.integers_in_text();
    (text && !matches!(decode, DecodeRule::Bytes { .. })).then_some(AttributeKind::String)
}
