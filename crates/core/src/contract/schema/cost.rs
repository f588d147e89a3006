//! What judging a message by its schema may cost at worst.

use super::Schema;
use crate::contract::decode::WireLimits;
use crate::contract::pattern::Pattern;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

impl Schema {
    /// Units of `contracts.md` section 23, and what would lower them most. The lint has refused
    /// circles and what expands to too much.
    pub(crate) fn cost(&self, wire: &WireLimits) -> (u64, String) {
        let mut count =
            Count { schema: self, wire, units: 0, dearest: (0, None), patterns: BTreeMap::new() };
        count.at(&self.source, "", &Times { values: 1, open: None });
        let mend = match count.dearest.1 {
            Some(open) => format!("{open}, or a smaller `limits.nodes`"),
            None => "a smaller `maxLength` or `maxItems`, or fewer alternatives".to_owned(),
        };
        (count.units, mend)
    }
}

/// How many values a subschema can be applied to.
#[derive(Clone)]
struct Times {
    values: u64,
    /// The bound that is missing on the way, if one is.
    open: Option<String>,
}

struct Count<'s> {
    schema: &'s Schema,
    wire: &'s WireLimits,
    units: u64,
    dearest: (u64, Option<String>),
    patterns: BTreeMap<&'s str, u64>,
}

impl<'s> Count<'s> {
    fn at(&mut self, at: &'s Json, place: &str, times: &Times) {
        let Json::Object(object) = at else { return self.spend(4, times) };
        self.spend(times.values.saturating_mul(4), times);
        self.patterns(object, times);
        let reference = object.get("$ref").and_then(Json::as_str);
        let schema = self.schema;
        if let Some(target) = reference.and_then(|r| schema.source.pointer(r.strip_prefix('#')?)) {
            self.at(target, place, times);
        }
        for (key, value) in object {
            let below = |name: &str| format!("{place}/{key}/{name}");
            match key.as_str() {
                "not" | "if" | "then" | "else" => self.at(value, &format!("{place}/{key}"), times),
                "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                    for (at, schema) in value.as_array().into_iter().flatten().enumerate() {
                        self.at(schema, &below(&at.to_string()), times);
                    }
                }
                "properties" | "dependentSchemas" => {
                    for (name, schema) in value.as_object().into_iter().flatten() {
                        self.at(schema, &below(name), times);
                    }
                }
                "items" | "contains" | "unevaluatedItems" => {
                    let each = self.times(object, "maxItems", place, times);
                    self.at(value, &format!("{place}/{key}"), &each);
                }
                "additionalProperties" | "unevaluatedProperties" | "propertyNames" => {
                    let each = self.times(object, "maxProperties", place, times);
                    self.at(value, &format!("{place}/{key}"), &each);
                }
                "patternProperties" => {
                    let each = self.times(object, "maxProperties", place, times);
                    for (name, schema) in value.as_object().into_iter().flatten() {
                        let keys = each.values.saturating_mul(self.wire.key as u64);
                        self.pattern(name, keys, &each);
                        self.at(schema, &below(name), &each);
                    }
                }
                _ => {}
            }
        }
    }

    /// A message has no more values than `limits.nodes`, so no product of bounds is larger.
    fn times(&self, object: &Map<String, Json>, bound: &str, place: &str, times: &Times) -> Times {
        let most = object.get(bound).and_then(Json::as_u64);
        let all = self.wire.nodes.min(self.wire.message) as u64;
        let values = times.values.saturating_mul(most.unwrap_or(all)).min(all).max(1);
        let open = match most {
            None => {
                Some(format!("a `{bound}` at `{}`", if place.is_empty() { "/" } else { place }))
            }
            Some(_) => times.open.clone(),
        };
        Times { values, open }
    }

    fn patterns(&mut self, object: &'s Map<String, Json>, times: &Times) {
        if let Some(pattern) = object.get("pattern").and_then(Json::as_str) {
            let most = object.get("maxLength").and_then(Json::as_u64);
            let most = most.map_or(self.wire.string as u64, |most| most.saturating_mul(4));
            self.pattern(pattern, times.values.saturating_mul(most), times);
        }
        if object.get("uniqueItems") == Some(&Json::Bool(true)) {
            let items = object.get("maxItems").and_then(Json::as_u64).unwrap_or(1000);
            self.spend(times.values.saturating_mul(items).saturating_mul(16), times);
        }
    }

    /// A match over so many bytes in all; there are never more than those of the message.
    fn pattern(&mut self, source: &'s str, bytes: u64, times: &Times) {
        let bytes = bytes.min(self.wire.message as u64);
        // Units of one KiB, kept because a schema may name one pattern many times.
        let unit = *self.patterns.entry(source).or_insert_with(|| {
            Pattern::compile(source, false).map_or(u64::MAX, |pattern| pattern.units(1024))
        });
        self.spend(bytes.div_ceil(1024).saturating_mul(unit), times);
    }

    fn spend(&mut self, units: u64, times: &Times) {
        self.units = self.units.saturating_add(units);
        if units > self.dearest.0 {
            self.dearest = (units, times.open.clone());
        }
    }
}
