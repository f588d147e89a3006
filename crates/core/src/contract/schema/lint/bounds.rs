//! What a schema costs has a bound: K-35 how much it expands to, K-38 how much a value may hold, and
//! K-37 and K-41 that a pattern is linear and has one meaning.

use super::{LARGEST, Lint, children, may_be, named};
use crate::contract::pattern::{Pattern, has_one_meaning, is_anchored};
use serde_json::{Map, Value as Json};

impl<'s> Lint<'s> {
    /// K-38: the bounds that the work bound is made of.
    pub(super) fn bounds(&mut self, object: &Map<String, Json>, at: &str) {
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
                format!("string at {} has no `maxLength`", named(at)),
                "`limits.string` is its only bound",
            );
        }
        if is("array") && !says("maxItems") && !says("enum") && !says("const") {
            self.warn(
                at,
                format!("array at {} has no `maxItems`", named(at)),
                "`limits.nodes` is its only bound",
            );
        }
        let few = object.get("maxItems").and_then(Json::as_u64).is_some_and(|most| most <= 1000);
        if object.get("uniqueItems") == Some(&Json::Bool(true)) && !few {
            let message =
                format!("`uniqueItems` at {} needs `maxItems` of at most 1000", named(at));
            self.error("K-38", at, message, Some("`\"maxItems\": 1000`"));
        }
    }

    /// K-37 and K-41: anchored, linear, and of one meaning in every script and in both dialects.
    pub(super) fn pattern(&mut self, object: &Map<String, Json>, at: &str) {
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
    pub(super) fn size(&mut self, schema: &'s Json, way: &mut Vec<String>) -> usize {
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

/// The pattern between anchors; alternatives need a group, or each anchor holds for one alone.
fn anchored(pattern: &str) -> String {
    let inside = pattern.strip_prefix('^').unwrap_or(pattern);
    let inside = match inside.strip_suffix('$') {
        Some(before) if !before.ends_with('\\') => before,
        _ => inside,
    };
    if inside.contains('|') { format!("`^(?:{inside})$`") } else { format!("`^{inside}$`") }
}
