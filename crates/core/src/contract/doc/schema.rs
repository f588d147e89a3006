//! A JSON Schema as lines of a table, one for each place that it describes.

use super::code;
use serde_json::{Map, Value as Json};

/// Keys that ask nothing.
const ANNOTATIONS: [&str; 4] = ["title", "description", "$comment", "examples"];

/// Most places that are listed.
const LINES: usize = 40;

/// What is said of a place of which the schema says nothing.
const OPEN: &str = "any value, **not inspected**";

/// What a schema says, place by place.
pub(super) fn lines(schema: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    walk(schema, schema, "", true, &mut lines, 0);
    if lines.len() > LINES {
        lines.truncate(LINES);
        lines.push("and more, as its schema says".to_owned());
    }
    lines
}

fn walk(
    root: &Json,
    at: &Json,
    place: &str,
    required: bool,
    lines: &mut Vec<String>,
    depth: usize,
) {
    let object = match at {
        Json::Object(object) => object,
        Json::Bool(true) => return lines.push(format!("{} {OPEN}", code(place))),
        _ => return,
    };
    if depth > 16 || lines.len() > LINES {
        return;
    }
    if let Some(target) = object.get("$ref").and_then(Json::as_str) {
        // The lint has refused circles.
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        if let Some(target) = target {
            walk(root, target, place, required, lines, depth + 1);
        }
        return;
    }
    let says = says(object, required);
    if !place.is_empty() && !says.is_empty() {
        lines.push(format!("{} {says}", code(place)));
    }
    let names: Vec<&str> = object
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    for (name, below) in object.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let below_place = format!("{place}/{name}");
        walk(root, below, &below_place, names.contains(&name.as_str()), lines, depth + 1);
    }
    if let Some(items) = object.get("items") {
        walk(root, items, &format!("{place}/*"), true, lines, depth + 1);
    }
    if let Some(open) =
        object.get("additionalProperties").filter(|open| *open != &Json::Bool(false))
    {
        lines.push(format!("{} members of any name", code(&format!("{place}/…"))));
        walk(root, open, &format!("{place}/…"), true, lines, depth + 1);
    }
    if ["allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas", "patternProperties"]
        .iter()
        .any(|key| object.contains_key(*key))
    {
        let place = if place.is_empty() { "/" } else { place };
        lines.push(format!("{} and what its schema says beside", code(place)));
    }
}

/// What is asked of one value.
fn says(object: &Map<String, Json>, required: bool) -> String {
    let mut says: Vec<String> = Vec::new();
    if object.keys().all(|key| ANNOTATIONS.contains(&key.as_str())) {
        says.push(OPEN.to_owned());
    }
    let bound = |key: &str| object.get(key).map(ToString::to_string);
    let range = |lo: &str, hi: &str, unit: &str| match (bound(lo), bound(hi)) {
        (Some(lo), Some(hi)) => Some(format!("{lo} to {hi}{unit}")),
        (None, Some(hi)) => Some(format!("up to {hi}{unit}")),
        (Some(lo), None) => Some(format!("at least {lo}{unit}")),
        (None, None) => None,
    };
    match object.get("type") {
        Some(Json::String(one)) => says.push(one.clone()),
        Some(Json::Array(all)) => {
            says.push(all.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "));
        }
        _ => {}
    }
    if let Some(one) = object.get("const") {
        says.push(format!("always {}", code(&one.to_string())));
    }
    if let Some(Json::Array(all)) = object.get("enum") {
        let all: Vec<String> = all.iter().map(|one| code(&one.to_string())).collect();
        says.push(format!("one of {}", all.join(", ")));
    }
    says.extend(range("minimum", "maximum", ""));
    says.extend(range("minLength", "maxLength", " long"));
    says.extend(range("minItems", "maxItems", " elements"));
    says.extend(range("minProperties", "maxProperties", " members"));
    if let Some(pattern) = object.get("pattern").and_then(Json::as_str) {
        says.push(format!("matches {}", code(pattern)));
    }
    if let Some(format) = object.get("format").and_then(Json::as_str) {
        says.push(format!("a {format}"));
    }
    if !required {
        says.push("may be absent".to_owned());
    }
    says.join(", ")
}
