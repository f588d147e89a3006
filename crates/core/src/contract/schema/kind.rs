//! A schema as the type tree that rules are checked against.

use super::Schema;
use crate::contract::rule::{Member, Type};
use serde_json::Value as Json;

/// Deepest place of which a rule knows the type; the lint bounds what a schema expands to.
const DEEPEST: usize = 32;

impl Schema {
    /// What a rule may read of a message. `wide` says that its integers are bounded by nothing but
    /// the schema.
    pub(crate) fn kind_tree(&self, wide: bool) -> Type {
        self.kind_at(&self.source, wide, 0)
    }

    fn kind_at(&self, at: &Json, wide: bool, depth: usize) -> Type {
        let Some(at) = self.resolve(at).filter(|_| depth < DEEPEST) else {
            return Type::Other("of no type that the schema says");
        };
        if let Some(values) = at.get("enum").and_then(Json::as_array) {
            return of_values(values);
        }
        if let Some(value) = at.get("const") {
            return of_values(std::slice::from_ref(value));
        }
        let size = |key| at.get(key).and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        match one_type(at) {
            Some("integer") => {
                let says = |key: &str| at.get(key).is_some_and(Json::is_i64);
                let lower = says("minimum") || says("exclusiveMinimum");
                let upper = says("maximum") || says("exclusiveMaximum");
                Type::Int { bounded: !wide || (lower && upper) }
            }
            Some("string") => Type::Text(size("maxLength").map(|most| most.saturating_mul(4))),
            Some("boolean") => Type::Bool,
            Some("null") => Type::Null,
            Some("number") => Type::Other("a number that may have a fraction"),
            Some("array") => {
                let element =
                    at.get("items").map_or(Type::Other("an element of no type"), |items| {
                        self.kind_at(items, wide, depth + 1)
                    });
                Type::List(element.into(), size("maxItems"))
            }
            Some("object") => {
                let members = at.get("properties").and_then(Json::as_object);
                let member = |(name, schema): (&String, &Json)| Member {
                    name: name.as_str().into(),
                    kind: self.kind_at(schema, wide, depth + 1),
                    secret: false,
                };
                Type::Map(members.into_iter().flatten().map(member).collect())
            }
            _ => Type::Other("of no one type that the schema says"),
        }
    }
}

/// The type, where there is one beside null.
fn one_type(at: &Json) -> Option<&str> {
    match at.get("type")? {
        Json::String(one) => Some(one),
        Json::Array(all) => {
            let mut others = all.iter().filter_map(Json::as_str).filter(|name| *name != "null");
            let one = others.next()?;
            others.next().is_none().then_some(one)
        }
        _ => None,
    }
}

fn of_values(values: &[Json]) -> Type {
    let all = |test: fn(&Json) -> bool| !values.is_empty() && values.iter().all(test);
    if all(Json::is_i64) {
        Type::Int { bounded: true }
    } else if all(Json::is_string) {
        Type::Text(values.iter().filter_map(Json::as_str).map(str::len).max())
    } else if all(Json::is_boolean) {
        Type::Bool
    } else {
        Type::Other("of several types")
    }
}
