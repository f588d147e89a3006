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
        count.at(&self.source, "", &Times { values: 1, judged: 1, walked: 0, open: None });
        let mend = match count.dearest.1 {
            Some(open) => format!("{open}, or a smaller `limits.nodes`"),
            None => "a smaller `maxLength` or `maxItems`, or fewer alternatives".to_owned(),
        };
        (count.units, mend)
    }
}

/// How many values a subschema can be applied to, and how often to each of them.
///
/// An `unevaluated` keyword asks its neighbours what they looked at: it judges each of them once more
/// and walks through them, and what stands below an `unevaluated` of theirs is asked again. So the
/// work grows by a factor with each one that stands in another.
#[derive(Clone)]
struct Times {
    values: u64,
    /// How often it judges one value.
    judged: u64,
    /// How often it is asked what of one value it looked at.
    walked: u64,
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
        let asks = ["unevaluatedProperties", "unevaluatedItems"];
        let asks = asks.iter().filter(|key| object.contains_key(**key)).count() as u64;
        let walked = times.walked.saturating_add(times.judged.saturating_mul(asks));
        let times = &Times { walked, ..times.clone() };
        // What judges a part of the same value, what is looked up, and what judges a part of it.
        let judged = times.judged.saturating_add(walked);
        let beside = &Times { judged, ..times.clone() };
        let inside = &Times { walked: 0, ..times.clone() };
        let asked = &Times { judged, walked: 0, ..times.clone() };
        self.spend(times.values.saturating_mul(4), times);
        self.walk(object, times);
        self.patterns(object, times);
        self.values(object, times);
        let reference = object.get("$ref").and_then(Json::as_str);
        let schema = self.schema;
        if let Some(target) = reference.and_then(|r| schema.source.pointer(r.strip_prefix('#')?)) {
            self.at(target, place, times);
        }
        for (key, value) in object {
            let below = |name: &str| format!("{place}/{key}/{name}");
            match key.as_str() {
                "not" | "if" | "then" | "else" => {
                    self.at(value, &format!("{place}/{key}"), beside);
                }
                "allOf" | "anyOf" | "oneOf" => {
                    for (at, schema) in value.as_array().into_iter().flatten().enumerate() {
                        self.at(schema, &below(&at.to_string()), beside);
                    }
                }
                "prefixItems" => {
                    for (at, schema) in value.as_array().into_iter().flatten().enumerate() {
                        self.at(schema, &below(&at.to_string()), inside);
                    }
                }
                "properties" | "dependentSchemas" => {
                    let times = if key == "properties" { inside } else { beside };
                    for (name, schema) in value.as_object().into_iter().flatten() {
                        self.at(schema, &below(name), times);
                    }
                }
                "items" | "contains" | "unevaluatedItems" => {
                    let times = if key == "items" { inside } else { asked };
                    let each = self.times(object, "maxItems", place, times);
                    self.at(value, &format!("{place}/{key}"), &each);
                }
                "additionalProperties" | "unevaluatedProperties" | "propertyNames" => {
                    let times = if key == "unevaluatedProperties" { asked } else { inside };
                    let each = self.times(object, "maxProperties", place, times);
                    self.at(value, &format!("{place}/{key}"), &each);
                }
                "patternProperties" => {
                    let each = self.times(object, "maxProperties", place, inside);
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
        Times { values, open, ..times.clone() }
    }

    /// Asked what it looked at, a subschema looks at every member or element.
    fn walk(&mut self, object: &Map<String, Json>, times: &Times) {
        if times.walked > 0 {
            let bounds = ["maxProperties", "maxItems"].map(|bound| object.get(bound));
            let most = bounds.into_iter().flatten().filter_map(Json::as_u64).max();
            let all = self.wire.nodes.min(self.wire.message) as u64;
            let units = times.values.saturating_mul(most.unwrap_or(all)).min(all);
            self.spend(units, &Times { judged: times.walked, walked: 0, ..times.clone() });
        }
    }

    /// Values that are compared one by one: those of an `enum` that are not all texts or all whole
    /// numbers, which are looked up, and those that hold others.
    fn values(&mut self, object: &Map<String, Json>, times: &Times) {
        let listed = object.get("enum").and_then(Json::as_array);
        let looked_up = |all: &Vec<Json>| {
            all.iter().all(Json::is_string) || all.iter().all(|one| one.is_i64() || one.is_u64())
        };
        let listed = listed.filter(|all| !looked_up(all)).into_iter().flatten();
        let compared: u64 = listed.chain(object.get("const")).map(parts).sum();
        self.spend(times.values.saturating_mul(compared).div_ceil(2), times);
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
        let units = units.saturating_mul(times.judged.saturating_add(times.walked));
        self.units = self.units.saturating_add(units);
        if units > self.dearest.0 {
            self.dearest = (units, times.open.clone());
        }
    }
}

/// A value and all that it holds.
fn parts(value: &Json) -> u64 {
    match value {
        Json::Array(list) => 1 + list.iter().map(parts).sum::<u64>(),
        Json::Object(members) => 1 + members.values().map(parts).sum::<u64>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn units(schema: &Json) -> u64 {
        let schema = Schema { source: schema.clone(), ..Schema::compile(schema).unwrap().0 };
        schema.cost(&WireLimits::default()).0
    }

    /// `unevaluatedProperties` around itself, so many times.
    fn nested(times: usize) -> Json {
        (0..times).fold(json!({ "properties": { "x": { "type": "null" } } }), |inner, at| {
            let beside = json!({ "properties": { format!("p{at}"): { "type": "null" } } });
            let all = json!([beside, inner]);
            json!({ "type": "object", "unevaluatedProperties": false, "allOf": all })
        })
    }

    // K-95, TRAP-12: each one asks all below it again, so the work grows with every one.
    #[test]
    fn an_unevaluated_within_another_multiplies_what_is_below() {
        let flat = json!({ "type": "object", "additionalProperties": false, "allOf": [
            { "properties": { "x": { "type": "null" } } },
        ] });
        assert!(units(&flat) < 100, "{}", units(&flat));
        assert!(units(&nested(2)) < 200_000, "{}", units(&nested(2)));
        assert!(units(&nested(13)) > 5_000_000, "{}", units(&nested(13)));
        assert!(units(&nested(12)) > 2 * units(&nested(11)));
        let list = |inner: Json| json!({ "type": "array", "maxItems": 9, "unevaluatedItems": false, "allOf": [inner] });
        let lists = (0..15).fold(json!({ "maxItems": 9 }), |inner, _| list(inner));
        assert!(units(&lists) > 5_000_000, "{}", units(&lists));
    }

    // K-95, TRAP-12
    #[test]
    fn listed_values_that_are_compared_one_by_one_cost_each() {
        let of = |values: Vec<Json>| {
            units(&json!({ "type": "array", "maxItems": 1000, "items": { "enum": values } }))
        };
        let plain = of((0..200).map(|n| json!(n)).collect());
        assert_eq!(plain, of((0..200).map(|n| json!(n.to_string())).collect()));
        let mixed = of((0..199).map(|n| json!(n)).chain([json!(null)]).collect());
        assert_eq!(mixed - plain, 1000 * 200 / 2);
        let lists = of((0..200).map(|n| json!([1, 2, n])).collect());
        assert_eq!(lists - plain, 1000 * 800 / 2);
    }
}
