//! K-36: a schema says what it takes, everywhere, because where JSON Schema is silent anything may be
//! said.

use super::{LARGEST, Lint, children, may_be, named};
use serde_json::{Map, Value as Json};

impl Lint<'_> {
    /// K-36: silence would mean that anything may be said.
    pub(super) fn openness(&mut self, object: &Map<String, Json>, at: &str) {
        let says = |key: &str| object.contains_key(key);
        let is_object = may_be(object, "object");
        if is_object && !says("additionalProperties") && !says("unevaluatedProperties") {
            let message =
                format!("object at {} does not say whether other members are allowed", named(at));
            self.error("K-36", at, message, Some("`\"additionalProperties\": false`"));
        }
        let open = object.get("additionalProperties").is_some_and(|v| v != &Json::Bool(false));
        if is_object && open && !says("maxProperties") {
            let message = format!("open object at {} has no `maxProperties`", named(at));
            self.warn(at, message, "`limits.nodes` is its only bound");
        }
    }

    /// K-36: an array of anything is as open as an object of anything.
    pub(super) fn elements(&mut self, object: &Map<String, Json>, at: &str) {
        let size = |key: &str| object.get(key).and_then(Json::as_u64);
        let first = object.get("prefixItems").and_then(Json::as_array).map_or(0, Vec::len) as u64;
        let whole = size("maxItems").is_some_and(|most| most <= first);
        let says = ["items", "unevaluatedItems", "const", "enum"];
        let says = whole || says.iter().any(|key| object.contains_key(*key));
        if may_be(object, "array") && !says {
            let message = format!("array at {} does not say what its elements are", named(at));
            self.error("K-36", at, message, Some("`\"items\": { .. }`"));
        }
    }

    /// K-36: what a member or an element is must be said, or it may be anything.
    pub(super) fn described(&mut self, schema: &Json, at: &str) {
        self.left.set(LARGEST);
        if self.says(schema, 0) {
            return;
        }
        if self.left.get() == 0 {
            let message =
                format!("references at {} lead back, further than 32 or to too much", named(at));
            self.error("K-35", at, message, None);
        } else {
            let message = format!("the schema at {} takes a value of any type", named(at));
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
}

/// The schemas of the members and elements of what a schema describes. `true` for the members that
/// no other keyword names is an open object that says so; in a branch that is no object by its own
/// `type`, it would open another one that is closed.
pub(super) fn values(object: &Map<String, Json>) -> impl Iterator<Item = (String, &Json)> {
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
