//! What a schema must say before it is used: K-33 to K-39 of `contracts.md` section 22.

mod bounds;
mod open;

use super::SchemaFinding;
use crate::finding::nearest;
use open::values;
use serde_json::{Map, Value as Json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Keywords that a schema may use. What else 2020-12 has is refused: `default` fills nothing in,
/// dynamic references and vocabularies change what others mean.
const KEYWORDS: [&str; 48] = [
    "$schema",
    "$id",
    "$ref",
    "$defs",
    "$comment",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "prefixItems",
    "items",
    "contains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "type",
    "const",
    "enum",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
    "title",
    "description",
    "examples",
    "deprecated",
    "readOnly",
];
/// What a `type` may be.
const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];
/// Formats that are asserted; any other would be a silent annotation.
const FORMATS: [&str; 6] = ["date-time", "date", "time", "uuid", "ipv4", "ipv6"];
/// Subschemas after every reference was followed.
const LARGEST: usize = 5_000;
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// All errors and all warnings of a schema.
pub(super) fn lint(source: &Json) -> (Vec<SchemaFinding>, Vec<SchemaFinding>) {
    let mut lint = Lint {
        source,
        errors: Vec::new(),
        warnings: Vec::new(),
        sizes: BTreeMap::new(),
        describing: BTreeSet::new(),
        references: Vec::new(),
        left: Cell::new(0),
    };
    lint.schema(source, "", 0, true);
    lint.targets();
    if source.is_object() || source.is_boolean() {
        lint.described(source, "");
    }
    if lint.errors.is_empty() {
        lint.size(source, &mut Vec::new());
    }
    (lint.errors, lint.warnings)
}

struct Lint<'s> {
    source: &'s Json,
    errors: Vec<SchemaFinding>,
    warnings: Vec<SchemaFinding>,
    /// Expanded size of what a reference leads to.
    sizes: BTreeMap<String, usize>,
    /// Addresses of what was read as a schema, and as one that describes: all that a reference may
    /// lead to.
    describing: BTreeSet<usize>,
    /// Where each reference stands, what it is, and what it leads to.
    references: Vec<(String, &'s str, &'s Json)>,
    /// Subschemas that may still be looked at for what one place says; none once it is given up.
    left: Cell<usize>,
}

/// A place of a schema in a sentence.
fn named(at: &str) -> String {
    if at.is_empty() { "the root".to_owned() } else { format!("`{at}`") }
}

impl<'s> Lint<'s> {
    fn error(&mut self, check: &'static str, at: &str, message: String, hint: Option<&str>) {
        let hint = hint.map(str::to_owned);
        self.errors.push(SchemaFinding { check, pointer: at.to_owned(), message, hint });
    }

    fn warn(&mut self, at: &str, message: String, hint: &str) {
        let (check, hint) = ("K-38", Some(hint.to_owned()));
        self.warnings.push(SchemaFinding { check, pointer: at.to_owned(), message, hint });
    }

    /// Lints a schema and all below. What only says what may not be `describes` nothing.
    fn schema(&mut self, schema: &'s Json, at: &str, depth: usize, describes: bool) {
        if describes {
            self.describing.insert(address(schema));
        }
        let object = match schema {
            Json::Bool(_) => return,
            Json::Object(object) => object,
            _ => {
                return self.error(
                    "K-33",
                    at,
                    format!("a schema at {} is no object", named(at)),
                    None,
                );
            }
        };
        if depth > 32 {
            return self.error("K-35", at, "the schema is nested deeper than 32".to_owned(), None);
        }
        self.keywords(object, at);
        self.reference(object, at);
        self.openness(object, at);
        self.elements(object, at);
        self.bounds(object, at);
        self.pattern(object, at);
        for (place, below) in values(object).filter(|_| describes) {
            self.described(below, &format!("{at}{place}"));
        }
        for (place, below) in children(object) {
            let describes = describes && place != "/not" && place != "/propertyNames";
            self.schema(below, &format!("{at}{place}"), depth + 1, describes);
        }
    }

    fn keywords(&mut self, object: &Map<String, Json>, at: &str) {
        for key in object.keys() {
            if !KEYWORDS.contains(&key.as_str()) {
                let hint = nearest(key, KEYWORDS).map(|near| format!("did you mean `{near}`?"));
                let message =
                    format!("keyword `{key}` at {} is not available in contracts", named(at));
                self.error("K-33", at, message, hint.as_deref());
            }
        }
        if let Some(draft) = object.get("$schema")
            && draft.as_str().map(|d| d.trim_end_matches('#')) != Some(DRAFT)
        {
            self.error("K-33", at, "`$schema` is not JSON Schema 2020-12".to_owned(), Some(DRAFT));
        }
        for branch in ["then", "else"] {
            if object.contains_key(branch) && !object.contains_key("if") {
                let message =
                    format!("`{branch}` at {} stands without `if`, so nothing meets it", named(at));
                self.error("K-33", at, message, Some("`\"if\": { .. }` beside it, or `allOf`"));
            }
        }
        if object.contains_key("$id") && !at.is_empty() {
            self.error("K-33", at, format!("`$id` at {} would rebase references", named(at)), None);
        }
        if let Some(id) = object.get("$id").and_then(Json::as_str)
            && id.contains(':')
        {
            let message = format!("`$id` is `{id}`, of which references would be a part");
            self.error("K-33", at, message, Some("a name without a scheme, or none"));
        }
        let types = match object.get("type") {
            Some(Json::Array(all)) => all.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        for unknown in types.iter().filter_map(Json::as_str).filter(|name| !TYPES.contains(name)) {
            let near = nearest(unknown, TYPES).map(|near| format!("did you mean `{near}`?"));
            let hint = near.unwrap_or_else(|| TYPES.join(", "));
            self.error(
                "K-33",
                at,
                format!("there is no type `{unknown}`, as at {}", named(at)),
                Some(&hint),
            );
        }
        if let Some(format) = object.get("format").and_then(Json::as_str)
            && !FORMATS.contains(&format)
        {
            let message = format!("format `{format}` at {} would not be checked", named(at));
            let hint = format!("formats that are checked: {}", FORMATS.join(", "));
            self.error("K-39", at, message, Some(&hint));
        }
    }

    fn reference(&mut self, object: &'s Map<String, Json>, at: &str) {
        let Some(reference) = object.get("$ref").and_then(Json::as_str) else { return };
        let local = reference == "#" || reference.starts_with("#/");
        let target = reference.strip_prefix('#').and_then(|p| self.source.pointer(p));
        if !local {
            let message = format!("`$ref` to `{reference}` leads out of the schema");
            self.error("K-33", at, message, Some("copy it below `$defs` and write `#/$defs/NAME`"));
        } else if reference.contains('%') {
            let message = format!("`$ref` to `{reference}` is percent-encoded");
            self.error(
                "K-33",
                at,
                message,
                Some("name what it leads to without `%`, in plain letters"),
            );
        } else if let Some(target) = target {
            self.references.push((at.to_owned(), reference, target));
        } else {
            self.error("K-33", at, format!("`$ref` to `{reference}` leads nowhere"), None);
        }
    }

    /// K-33: what no check has read as a schema that describes, nothing may refer to: a value, or
    /// what may not be.
    fn targets(&mut self) {
        for (at, reference, target) in std::mem::take(&mut self.references) {
            if !self.describing.contains(&address(target)) {
                let message =
                    format!("`$ref` to `{reference}` leads to what is no schema of a value");
                self.error("K-33", &at, message, Some("write it below `$defs`: `#/$defs/NAME`"));
            }
        }
    }
}

/// Which value of the schema this is; it does not move while it is read.
fn address(schema: &Json) -> usize {
    std::ptr::from_ref(schema) as usize
}

/// Whether its type is this one, or has it among others.
fn may_be(object: &Map<String, Json>, kind: &str) -> bool {
    match object.get("type") {
        Some(Json::String(one)) => one == kind,
        Some(Json::Array(all)) => all.iter().any(|one| one == kind),
        _ => false,
    }
}

/// The schemas directly inside a schema, with their places.
fn children(object: &Map<String, Json>) -> Vec<(String, &Json)> {
    let mut all = Vec::new();
    for (key, value) in object {
        match key.as_str() {
            "not"
            | "if"
            | "then"
            | "else"
            | "items"
            | "contains"
            | "additionalProperties"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties" => {
                all.push((format!("/{key}"), value));
            }
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                let list = value.as_array().into_iter().flatten().enumerate();
                all.extend(list.map(|(at, below)| (format!("/{key}/{at}"), below)));
            }
            "$defs" | "properties" | "patternProperties" | "dependentSchemas" => {
                let members = value.as_object().into_iter().flatten();
                all.extend(members.map(|(name, below)| (format!("/{key}/{name}"), below)));
            }
            _ => {}
        }
    }
    all
}
