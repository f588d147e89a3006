//! What a client's message asks for: action, resource, context, as written.

use super::direction::Reader;
use super::{fields, limits, rule_error};
use crate::contract::decode::{DecodeRule, Numbers};
use crate::contract::field::FieldRule;
use crate::contract::pattern::Pattern;
use crate::contract::schema::Schema;
use crate::contract::template::Template;
use crate::contract::value::{Pointer, Value};
use crate::contract::{Pairing, Request, Role};
use crate::document::{Placed, Table};
use crate::policy::schema::{ActionShape, Attribute, AttributeKind};
use std::ops::Range;
use std::time::Duration;
use toml::de::DeValue;

type Rules = [(Pointer, FieldRule, Range<usize>)];

/// What a message shows at one place: its type, whether its integers are bounded, whether it is
/// always there.
struct Shown {
    kind: Option<AttributeKind>,
    unbounded: bool,
    required: bool,
    secret: bool,
}

pub(super) fn request(
    reader: &Reader<'_>,
    table: &Table<'_, '_>,
    rules: &Rules,
    schema: Option<&Schema>,
    grammar: Option<&Pattern>,
) -> Option<Role> {
    for key in ["answers", "pushes"] {
        if table.has(key) {
            table.error(
                "K-21",
                table.key_span(key),
                format!("`{key}` belongs to a server's message"),
            );
        }
    }
    let view = View { reader, rules, schema, grammar };
    let action = action(table);
    let resource = table.text("resource").and_then(|text| view.resource(table, &text));
    let context = view.context(table);
    let expects = match table.text("expects").map(|text| (text.value, text.span)) {
        None => *reader.pairing != Pairing::None,
        Some(("one", _)) => true,
        Some(("none", _)) => false,
        Some(("many", span)) => {
            table.error(
                "K-03",
                span,
                "`expects = \"many\"` needs contract level 2, this build has level 1",
            );
            true
        }
        Some((other, span)) => {
            table.error("K-02", span, format!("`expects` is `{other}`, not `one` or `none`"));
            true
        }
    };
    if expects && *reader.pairing == Pairing::None {
        table.error(
            "K-22",
            table.span(),
            "with `pair = { by = \"none\" }` no message expects a reply",
        );
    }
    if let Pairing::Key(key) = reader.pairing
        && expects
        && !view.shown(key).is_some_and(|shown| shown.required)
    {
        let message = format!("the pair key `{key}` is not required by this message");
        table.error("K-23", table.span(), message);
    }
    let wait = limits::wait(
        table,
        "reply_timeout",
        Duration::from_millis(100),
        Duration::from_secs(86_400),
    );
    let action = action?;
    let attributes = context
        .iter()
        .map(|(name, _, attribute)| Attribute { name: name.clone(), ..attribute.clone() });
    let shape = ActionShape {
        name: action.clone(),
        on_resource: resource.is_some(),
        context: attributes.collect(),
    };
    let context = context.into_iter().map(|(name, pointer, _)| (name, pointer)).collect();
    let rejects = Vec::new();
    Some(Role::Request(Box::new(Request {
        action,
        resource,
        context,
        expects,
        reply_timeout: wait,
        rejects,
        shape,
    })))
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

struct View<'v> {
    reader: &'v Reader<'v>,
    rules: &'v Rules,
    schema: Option<&'v Schema>,
    grammar: Option<&'v Pattern>,
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
                Some(shown) => match (shown.kind, list) {
                    (Some(AttributeKind::Set(_)), true) => None,
                    (Some(AttributeKind::Set(_)), false) => {
                        Some(format!("`{pointer}` is a list: write `${{{pointer}[*]}}`"))
                    }
                    (_, true) => Some(format!("`{pointer}` is no list")),
                    (Some(AttributeKind::Record(_)), _) => {
                        Some(format!("`{pointer}` is an object"))
                    }
                    (Some(_), _) => None,
                    (None, _) if matches!(self.reader.decode, DecodeRule::Bytes { .. }) => None,
                    (None, _) => Some(format!("`{pointer}` has no type that can name a resource")),
                },
            };
            if let Some(message) = fault {
                table.error("K-44", text.span.clone(), message);
            }
        }
        Some(template)
    }

    fn context(&self, table: &Table<'_, '_>) -> Vec<(String, Pointer, Attribute)> {
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
                    let hint = "give it `int = [lo, hi]`, or `minimum` and `maximum` in the schema";
                    context.error_with_hint("K-31", placed.span, message, hint);
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
                    let attribute = Attribute { name: name.clone(), kind, optional: !required };
                    all.push((name, pointer, attribute));
                }
            }
        }
        all
    }

    /// Flat messages show what is not secret, constant or the pair key; nested ones nothing.
    fn default_context(&self) -> Vec<(String, Pointer, Attribute)> {
        if !matches!(self.reader.decode, DecodeRule::Text { .. }) {
            return Vec::new();
        }
        let shown = |(pointer, rule, _): &(Pointer, FieldRule, Range<usize>)| {
            let key = matches!(self.reader.pairing, Pairing::Key(key) if key == pointer);
            if key || rule.constant.is_some() || rule.secret {
                return None;
            }
            let seen = self.shown(pointer).filter(|shown| !shown.unbounded)?;
            let name = pointer.top()?.to_owned();
            let attribute =
                Attribute { name: name.clone(), kind: seen.kind?, optional: !seen.required };
            Some((name, pointer.clone(), attribute))
        };
        self.rules.iter().filter_map(shown).collect()
    }

    /// What the message shows at a place, by its field rules, its schema, its grammar.
    fn shown(&self, pointer: &Pointer) -> Option<Shown> {
        let ruled = self.rules.iter().find(|(at, ..)| at == pointer).map(|(_, rule, _)| rule);
        let shape = self.schema.and_then(|schema| schema.shape(pointer));
        let named = |grammar: &Pattern| grammar.groups().any(|group| Some(group) == pointer.top());
        let in_grammar = self.grammar.is_some_and(named) || self.reader.grammar.is_some_and(named);
        if ruled.is_none() && shape.is_none() && !in_grammar {
            return None;
        }
        let kind = ruled
            .and_then(|rule| kind(rule, self.reader.decode))
            .or_else(|| shape.as_ref()?.kind.clone());
        let bounds = ruled.and_then(FieldRule::int_bounds).or_else(|| {
            let (lo, hi) = shape.as_ref()?.bounds;
            lo.zip(hi)
        });
        // Only the widened numbers of JSON have no bound of their own.
        let wide =
            matches!(self.reader.decode, DecodeRule::Json(rule) if rule.numbers == Numbers::I64);
        let unbounded = kind == Some(AttributeKind::Long) && bounds.is_none() && wide;
        let required = match (&shape, ruled) {
            (Some(shape), _) => shape.required,
            (None, Some(rule)) => !rule.optional,
            (None, None) => true,
        };
        Some(Shown { kind, unbounded, required, secret: ruled.is_some_and(|rule| rule.secret) })
    }
}

/// The type of a field by its short rules.
fn kind(rule: &FieldRule, decode: &DecodeRule) -> Option<AttributeKind> {
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
    let text =
        rule.regex.is_some() || rule.text.is_some() || matches!(decode, DecodeRule::Text { .. });
    (text && !matches!(decode, DecodeRule::Bytes { .. })).then_some(AttributeKind::String)
}
