//! What a schema must say before it is used: K-33 to K-39 of `contracts.md` section 22.

use super::SchemaFinding;
use crate::contract::pattern::{Pattern, has_one_meaning, is_anchored};
use crate::finding::nearest;
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
            _ => return self.error("K-33", at, format!("a schema at `{at}` is no object"), None),
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
                let message = format!("keyword `{key}` at `{at}` is not available in contracts");
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
                    format!("`{branch}` at `{at}` stands without `if`, so nothing meets it");
                self.error("K-33", at, message, Some("`\"if\": { .. }` beside it, or `allOf`"));
            }
        }
        if object.contains_key("$id") && !at.is_empty() {
            self.error("K-33", at, format!("`$id` at `{at}` would rebase references"), None);
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
                format!("there is no type `{unknown}`, as at `{at}`"),
                Some(&hint),
            );
        }
        if let Some(format) = object.get("format").and_then(Json::as_str)
            && !FORMATS.contains(&format)
        {
            let message = format!("format `{format}` at `{at}` would not be checked");
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

    /// K-36: silence would mean that anything may be said.
    fn openness(&mut self, object: &Map<String, Json>, at: &str) {
        let says = |key: &str| object.contains_key(key);
        let is_object = may_be(object, "object");
        if is_object && !says("additionalProperties") && !says("unevaluatedProperties") {
            let message =
                format!("object at `{at}` does not say whether other members are allowed");
            self.error("K-36", at, message, Some("`\"additionalProperties\": false`"));
        }
        let open = object.get("additionalProperties").is_some_and(|v| v != &Json::Bool(false));
        if is_object && open && !says("maxProperties") {
            let message = format!("open object at `{at}` has no `maxProperties`");
            self.warn(at, message, "`limits.nodes` is its only bound");
        }
    }

    /// K-36: an array of anything is as open as an object of anything.
    fn elements(&mut self, object: &Map<String, Json>, at: &str) {
        let size = |key: &str| object.get(key).and_then(Json::as_u64);
        let first = object.get("prefixItems").and_then(Json::as_array).map_or(0, Vec::len) as u64;
        let whole = size("maxItems").is_some_and(|most| most <= first);
        let says = ["items", "unevaluatedItems", "const", "enum"];
        let says = whole || says.iter().any(|key| object.contains_key(*key));
        if may_be(object, "array") && !says {
            let message = format!("array at `{at}` does not say what its elements are");
            self.error("K-36", at, message, Some("`\"items\": { .. }`"));
        }
    }

    /// K-36: what a member or an element is must be said, or it may be anything.
    fn described(&mut self, schema: &Json, at: &str) {
        self.left.set(LARGEST);
        if self.says(schema, 0) {
            return;
        }
        if self.left.get() == 0 {
            let message = format!("references at `{at}` lead back, further than 32 or to too much");
            self.error("K-35", at, message, None);
        } else {
            let message = format!("the schema at `{at}` takes a value of any type");
            self.error("K-36", at, message, Some("give it a `type`, `enum` or `const`"));
        }
    }

    /// Whether a schema says what it takes: by a type, by values, or by all of its ways.
    fn says(&self, schema: &Json, depth: usize) -> bool {
        let Json::Object(object) = schema else { return schema != &Json::Bool(true) };
        self.left.set(if depth > 32 { 0 } else { self.left.get().saturating_sub(1) });
        if self.left.get() == 0 {
            return false;
        }
        if ["type", "enum", "const"].iter().any(|key| object.contains_key(*key)) {
            return true;
        }
        let below = |schema: &Json| self.says(schema, depth + 1);
        let list = |key: &str| object.get(key).and_then(Json::as_array);
        let one = |key: &str| object.get(key).is_some_and(below);
        let target = object.get("$ref").and_then(Json::as_str).map(|reference| {
            reference.strip_prefix('#').and_then(|place| self.source.pointer(place))
        });
        // A reference that leads nowhere is K-33's.
        target.is_some_and(|target| target.is_none_or(below))
            || list("allOf").is_some_and(|all| all.iter().any(below))
            || list("anyOf").is_some_and(|ways| ways.iter().all(below))
            || list("oneOf").is_some_and(|ways| ways.iter().all(below))
            || (object.contains_key("if") && one("then") && one("else"))
    }

    /// K-38: the bounds that the work bound is made of.
    fn bounds(&mut self, object: &Map<String, Json>, at: &str) {
        let says = |key: &str| object.contains_key(key);
        let is = |kind: &str| may_be(object, kind);
        let ends = |pattern: &str| {
            Pattern::compile(pattern, false).map_or(true, |pattern| pattern.longest().is_some())
        };
        let bounded = ["enum", "const", "maxLength", "format"].iter().any(|key| says(key))
            || object.get("pattern").and_then(Json::as_str).is_some_and(ends);
        if is("string") && !bounded {
            self.warn(
                at,
                format!("string at `{at}` has no `maxLength`"),
                "`limits.string` is its only bound",
            );
        }
        if is("array") && !says("maxItems") && !says("enum") && !says("const") {
            self.warn(
                at,
                format!("array at `{at}` has no `maxItems`"),
                "`limits.nodes` is its only bound",
            );
        }
        let few = object.get("maxItems").and_then(Json::as_u64).is_some_and(|most| most <= 1000);
        if object.get("uniqueItems") == Some(&Json::Bool(true)) && !few {
            let message = format!("`uniqueItems` at `{at}` needs `maxItems` of at most 1000");
            self.error("K-38", at, message, Some("`\"maxItems\": 1000`"));
        }
    }

    /// K-37 and K-41: anchored, linear, and of one meaning in every script and in both dialects.
    fn pattern(&mut self, object: &Map<String, Json>, at: &str) {
        let own = object.get("pattern").and_then(Json::as_str);
        let names = object.get("patternProperties").and_then(Json::as_object);
        let all =
            own.into_iter().chain(names.into_iter().flat_map(|n| n.keys().map(String::as_str)));
        for pattern in all {
            if !is_anchored(pattern) {
                let message = format!("pattern `{pattern}` matches anywhere in the value");
                self.error("K-37", at, message, Some(&anchored(pattern)));
            } else if let Err(error) =
                Pattern::compile(pattern, false).and_then(|_| has_one_meaning(pattern))
            {
                // What has a next step means every script; the rest the linear engine does not take.
                let check = if error.hint.is_some() { error.check } else { "K-34" };
                self.error(check, at, error.message, error.hint.as_deref());
            }
        }
    }

    /// K-35: subschemas after every reference was followed; circles are refused.
    fn size(&mut self, schema: &'s Json, way: &mut Vec<String>) -> usize {
        let Json::Object(object) = schema else { return 1 };
        let mut size = 1;
        if let Some(reference) = object.get("$ref").and_then(Json::as_str) {
            if way.iter().any(|seen| seen == reference) {
                self.error(
                    "K-35",
                    "",
                    format!("`$ref` to `{reference}` leads back to itself"),
                    None,
                );
                return size;
            }
            let known = self.sizes.get(reference).copied();
            size += known.unwrap_or_else(|| {
                let target = reference.strip_prefix('#').and_then(|p| self.source.pointer(p));
                way.push(reference.to_owned());
                let below = target.map_or(0, |target| self.size(target, way));
                way.pop();
                self.sizes.insert(reference.to_owned(), below);
                below
            });
        }
        for (place, below) in children(object) {
            // Definitions count where they are used.
            if !place.starts_with("/$defs/") {
                size += self.size(below, way);
            }
        }
        if size > LARGEST && way.is_empty() && self.errors.is_empty() {
            let message = format!("the schema expands to {size} subschemas; at most {LARGEST}");
            self.error("K-35", "", message, None);
        }
        size.min(LARGEST * 2)
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

/// The schemas of the members and elements of what a schema describes. `true` for the members that
/// no other keyword names is an open object that says so; in a branch that is no object by its own
/// `type`, it would open another one that is closed.
fn values(object: &Map<String, Json>) -> impl Iterator<Item = (String, &Json)> {
    let of_elements = !object.contains_key("items");
    let is_object = may_be(object, "object");
    children(object).into_iter().filter(move |(place, below)| {
        let key = place.split('/').nth(1).unwrap_or_default();
        match key {
            "properties" | "patternProperties" | "prefixItems" | "items" | "unevaluatedItems" => {
                true
            }
            "additionalProperties" | "unevaluatedProperties" => !is_object || !below.is_boolean(),
            // What is found is described by nothing else then.
            "contains" => of_elements,
            _ => false,
        }
    })
}

/// The pattern between anchors; alternatives need a group, or each anchor holds for one alone.
fn anchored(pattern: &str) -> String {
    let inside = pattern.strip_prefix('^').unwrap_or(pattern);
    let inside = match inside.strip_suffix('$') {
        Some(before) if !before.ends_with('\\') => before,
        _ => inside,
    };
    if inside.contains('|') { format!("`^(?:{inside})$`") } else { format!("`^{inside}$`") }
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
