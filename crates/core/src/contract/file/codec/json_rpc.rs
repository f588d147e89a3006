//! `json-rpc` as written: its keys, the envelope around what a message describes, its profile.

use super::super::direction::Draft;
use super::super::messages::Reader;
use super::super::states::Names;
use crate::contract::codec::Codec;
use crate::contract::codec::json_rpc::envelope::{Envelope, ID, Ids, SAFE};
use crate::contract::codec::json_rpc::{Framing, JsonRpc, Mcp};
use crate::contract::field::FieldRule;
use crate::contract::schema::Schema;
use crate::contract::value::{Pointer, Value};
use crate::contract::{Pairing, Reuse, Side};
use crate::document::{Document, Placed, Table};
use serde_json::{Map, Value as Json, json};
use std::ops::Range;

/// The keys of `codec = { kind = "json-rpc", .. }`.
pub(super) fn json_rpc(keys: Option<&Table<'_, '_>>) -> Option<JsonRpc> {
    let envelope = Envelope { ids: Ids::Any, error_data: false };
    let mut codec = JsonRpc { framing: Framing::Lines, envelope, profile: None };
    let Some(keys) = keys else { return Some(codec) };
    match keys.text("framing").map(|text| (text.value, text.span)) {
        None | Some(("lines", _)) => {}
        Some(("headers", _)) => codec.framing = Framing::Headers,
        Some((other, span)) => {
            let text = format!("`framing` is `{other}`, not `lines` or `headers`");
            keys.error("K-02", span, text);
        }
    }
    if let Some(ids) = keys.text("ids") {
        match Ids::NAMES.iter().find(|(name, _)| *name == ids.value) {
            Some((_, known)) => codec.envelope.ids = *known,
            None => {
                let text = format!("`ids` is `{}`, not `integer`, `string` or `any`", ids.value);
                keys.error("K-02", ids.span, text);
            }
        }
    }
    match keys.text("error_data").map(|text| (text.value, text.span)) {
        None | Some(("reject", _)) => {}
        Some(("allow", _)) => codec.envelope.error_data = true,
        Some((other, span)) => {
            let text = format!("`error_data` is `{other}`, not `reject` or `allow`");
            keys.error("K-02", span, text);
        }
    }
    codec.profile = profile(keys);
    Some(codec)
}

fn profile(keys: &Table<'_, '_>) -> Option<Mcp> {
    let profile = keys.text("profile");
    let versions = keys.texts("versions");
    match profile {
        None => {
            if versions.is_some() {
                let text = "`versions` are those of a profile";
                keys.error_with_hint(
                    "K-80",
                    keys.key_span("versions"),
                    text,
                    "`profile = \"mcp\"`",
                );
            }
            None
        }
        Some(profile) if profile.value == "mcp" => {
            let versions = versions.unwrap_or_default();
            if versions.is_empty() {
                let hint = "`versions = [\"2025-06-18\", \"2025-11-25\"]`";
                keys.missing("K-80", "versions", hint);
            }
            for version in versions.iter().filter(|version| !is_date(version.value)) {
                let text = format!("`{}` is no revision of MCP, which is a date", version.value);
                keys.error_with_hint("K-80", version.span.clone(), text, "`2025-11-25`");
            }
            Some(Mcp { versions: versions.iter().map(|v| v.value.to_owned()).collect() })
        }
        Some(profile) => {
            let text = format!("there is no profile `{}`", profile.value);
            keys.error_with_hint("K-10", profile.span, text, "`mcp`");
            None
        }
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// What stands around that which a message describes.
pub(in crate::contract::file) struct Wrapping {
    /// The member that is described: `params`, `result` or `error`.
    body: &'static str,
    /// The methods; none of an answer.
    methods: Vec<Value<'static>>,
    has_id: bool,
    ids: Ids,
}

impl Wrapping {
    /// The wrapping of a message of this table, and what it says of the message's members.
    pub(in crate::contract::file) fn of(
        codec: Option<&Codec>,
        side: Side,
        table: &Table<'_, '_>,
        methods: &[Value<'static>],
        has: &mut Vec<Pointer>,
        lacks: &mut Vec<Pointer>,
    ) -> Option<Self> {
        let Some(Codec::JsonRpc(codec)) = codec else { return None };
        let name = |name| Pointer::name(name);
        let answer = table.has("answers");
        let is = |key, word| table.text(key).is_some_and(|text| text.value == word);
        let asks_nothing = match side {
            Side::Client => is("expects", "none"),
            Side::Server => table.boolean("pushes").is_some_and(|flag| flag.value),
        };
        let has_id = answer || !asks_nothing;
        let body = match answer {
            false => "params",
            true if has.contains(&name("error")) => "error",
            true => "result",
        };
        if answer {
            let other = if body == "error" { "result" } else { "error" };
            if !has.contains(&name(body)) {
                has.push(name(body));
            }
            lacks.extend([name(other), name("method")]);
        } else if has_id {
            has.push(name("id"));
        } else {
            lacks.push(name("id"));
        }
        Some(Self { body, methods: methods.to_vec(), has_id, ids: codec.envelope.ids })
    }

    /// Rules of fields are rules of what the message describes; the envelope is added where no
    /// schema says it.
    pub(in crate::contract::file) fn place(
        &self,
        table: &Table<'_, '_>,
        rules: &mut Vec<(Pointer, FieldRule, Range<usize>)>,
    ) {
        for (at, ..) in rules.iter_mut() {
            let body = Pointer::name(self.body);
            *at = at.segments().fold(body, |above, name| above.below(name));
        }
        let described = table.has("schema") || !rules.is_empty();
        if !described && self.body == "result" {
            let text = "the answer does not say what its result holds";
            table.error_with_hint("K-30", table.span(), text, "give it `fields` or a `schema`");
        }
        if table.has("schema") {
            return;
        }
        let mut add = |name: &str, rule| rules.push((Pointer::name(name), rule, table.span()));
        let version = Some(Value::Text("2.0".into()));
        add("jsonrpc", FieldRule { constant: version, ..FieldRule::default() });
        if self.has_id {
            add("id", FieldRule::default());
        }
        if !self.methods.is_empty() {
            let one_of = Some(self.methods.clone());
            add("method", FieldRule { one_of, ..FieldRule::default() });
        }
        if !described && self.body == "error" {
            add("error", FieldRule::default());
        }
    }

    /// The schema of the whole message, by that of what it describes. Params may be left out if
    /// none would be accepted in their place: a service takes one for the other.
    pub(in crate::contract::file) fn schema(&self, mut inner: Json) -> Json {
        let mut required = vec![json!("jsonrpc")];
        let mut properties = Map::new();
        properties.insert("jsonrpc".to_owned(), json!({ "const": "2.0" }));
        if self.has_id {
            required.push(json!("id"));
            properties.insert("id".to_owned(), id(self.ids));
        }
        if !self.methods.is_empty() {
            required.push(json!("method"));
            let methods: Vec<&str> = self.methods.iter().filter_map(Value::as_text).collect();
            properties.insert("method".to_owned(), json!({ "enum": methods }));
        }
        if self.body != "params" || !accepts_nothing(&inner) {
            required.push(json!(self.body));
        }
        let mut outer = Map::new();
        // What references and drafts are resolved against stands at the top.
        for key in ["$defs", "$schema", "$id"] {
            if let Some(value) = inner.as_object_mut().and_then(|inner| inner.remove(key)) {
                outer.insert(key.to_owned(), value);
            }
        }
        properties.insert(self.body.to_owned(), inner);
        outer.insert("type".to_owned(), json!("object"));
        outer.insert("additionalProperties".to_owned(), json!(false));
        outer.insert("required".to_owned(), Json::Array(required));
        outer.insert("properties".to_owned(), Json::Object(properties));
        Json::Object(outer)
    }
}

/// Whether the schema accepts `{}`; one that does not compile says nothing about it.
fn accepts_nothing(inner: &Json) -> bool {
    let compiled = Schema::compile(inner);
    compiled.is_ok_and(|(schema, _)| schema.check(&Value::Map(Vec::new())).is_ok())
}

fn id(ids: Ids) -> Json {
    match ids {
        Ids::Integer => json!({ "type": "integer", "minimum": -SAFE, "maximum": SAFE }),
        Ids::Text => json!({ "type": "string", "minLength": 1, "maxLength": ID }),
        Ids::Any => json!({ "type": ["integer", "string"], "minimum": -SAFE, "maximum": SAFE,
                            "minLength": 1, "maxLength": ID }),
    }
}

/// Adds the messages of the codec's profile that the contract does not say itself.
pub(in crate::contract::file) fn add_profile(
    top: &Table<'_, '_>,
    side: Side,
    (pairing, reuse): (&Pairing, Reuse),
    codec: &Codec,
    states: &Names,
    draft: &mut Draft,
) {
    let Some(text) = codec.profile() else { return };
    let document = Document::new("profile", &text);
    let read = |_: &str| Err("a profile reads no files".to_owned());
    let mut added = Vec::new();
    if let Ok(parsed) = document.parse() {
        let of = Table::top(&document, &parsed, "K-01");
        let reader = Reader {
            side: side.as_str(),
            decode: &draft.rule.decode,
            grammar: None,
            ascii: false,
            tag: draft.rule.tag.as_ref(),
            pairing,
            codec: Some(codec),
            reuse,
            states,
            read: &read,
        };
        let tables = of.table(side.as_str()).map(|of| of.tables("message")).unwrap_or_default();
        let known = |name: Option<Placed<&str>>| {
            name.is_some_and(|name| draft.rule.messages.iter().any(|m| m.name == name.value))
        };
        let new = tables.iter().filter(|table| !known(table.text("name")));
        added.extend(new.filter_map(|table| reader.message(table)));
    }
    for finding in document.into_findings() {
        top.error("K-80", top.key_span("codec"), finding.to_string());
    }
    draft.rule.messages.extend(added);
    draft.spans.resize(draft.rule.messages.len(), top.key_span("codec"));
}

#[cfg(test)]
mod tests {
    use super::*;

    // A message without params is not judged by what describes them.
    #[test]
    fn params_are_left_out_only_where_an_empty_object_would_be_accepted() {
        let closed = |more: Json| {
            let mut schema = json!({ "type": "object", "additionalProperties": false,
                "properties": { "a": { "type": "integer", "minimum": 0, "maximum": 9 },
                                "b": { "type": "integer", "minimum": 0, "maximum": 9 } } });
            let members = schema.as_object_mut().unwrap();
            members.extend(more.as_object().unwrap().clone());
            schema
        };
        let below = |schema: Json| json!({ "$ref": "#/$defs/p", "$defs": { "p": schema } });
        let wrapping =
            Wrapping { body: "params", methods: Vec::new(), has_id: false, ids: Ids::Any };
        let either = json!({ "anyOf": [{ "required": ["a"] }, { "required": ["b"] }] });
        for (inner, left_out) in [
            (closed(json!({})), true),
            (closed(json!({ "required": [] })), true),
            (closed(json!({ "required": ["a"] })), false),
            (closed(either.clone()), false),
            (closed(json!({ "minProperties": 1 })), false),
            (below(closed(json!({}))), true),
            (below(closed(json!({ "required": ["a"] }))), false),
            (below(closed(either)), false),
            (json!({ "type": "array", "maxItems": 0 }), false),
            (json!({ "type": "no type" }), false),
        ] {
            let whole = wrapping.schema(inner.clone());
            let required = whole["required"].as_array().unwrap();
            assert_eq!(!required.contains(&json!("params")), left_out, "{inner}");
            if let Ok((schema, _)) = Schema::compile(&whole) {
                let bare = Value::Map(vec![("jsonrpc".into(), Value::Text("2.0".into()))]);
                assert_eq!(schema.check(&bare).is_ok(), left_out, "{inner}");
            }
        }
    }
}
