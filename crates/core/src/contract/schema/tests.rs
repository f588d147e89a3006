mod patterns;

use super::*;
use crate::contract::decode::{JsonRule, Numbers, WireLimits};
use serde_json::json;

fn checks(schema: &Json) -> Vec<&'static str> {
    match Schema::compile(schema) {
        Ok((_, warnings)) => warnings.iter().map(|w| w.check).collect(),
        Err(errors) => errors.iter().map(|e| e.check).collect(),
    }
}

fn order() -> Json {
    json!({ "type": "object", "additionalProperties": false, "required": ["id", "items"],
      "properties": {
        "id": { "type": "integer", "minimum": 1, "maximum": 99 },
        "memo": { "$ref": "#/$defs/text" },
        "items": { "type": "array", "maxItems": 3, "uniqueItems": true, "items": { "$ref": "#/$defs/text" } },
        "place": { "type": "object", "additionalProperties": false, "required": ["n"],
                   "properties": { "n": { "enum": ["a", "b"] } } } },
      "$defs": { "text": { "type": "string", "maxLength": 4, "pattern": "^[a-z]*$" } } })
}

fn judge(schema: &Schema, text: &str) -> Option<String> {
    let rule = JsonRule { numbers: Numbers::IJson, top_any: true, nul_allowed: false };
    let value = rule.read(text.as_bytes(), &WireLimits::default()).unwrap();
    schema.check(&value).err().map(|violation| violation.pointer.unwrap())
}

#[test]
fn a_message_is_judged_in_our_own_tree() {
    let (schema, warnings) = Schema::compile(&order()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(judge(&schema, r#"{"id":1,"items":["a","b"],"memo":"x","place":{"n":"a"}}"#), None);
    for (text, pointer) in [
        (r#"{"id":1}"#, ""),
        (r#"{"id":100,"items":[]}"#, "/id"),
        (r#"{"id":1.5,"items":[]}"#, "/id"),
        (r#"{"id":"1","items":[]}"#, "/id"),
        (r#"{"id":1,"items":["a","a"]}"#, "/items"),
        (r#"{"id":1,"items":["A"]}"#, "/items/0"),
        (r#"{"id":1,"items":[],"memo":"xxxxx"}"#, "/memo"),
        (r#"{"id":1,"items":[],"admin":true}"#, ""),
        (r#"{"id":1,"items":[],"place":{"n":"c"}}"#, "/place/n"),
    ] {
        assert_eq!(judge(&schema, text).as_deref(), Some(pointer), "{text}");
    }
}

// DEP-46: the sentence has the place and the keyword, not the peer's value.
#[test]
fn a_violation_does_not_quote_the_peer() {
    let (schema, _) = Schema::compile(&order()).unwrap();
    let rule = JsonRule { numbers: Numbers::IJson, top_any: true, nul_allowed: false };
    let value = rule.read(br#"{"id":1,"items":["SECRET"]}"#, &WireLimits::default()).unwrap();
    let violation = schema.check(&value).unwrap_err();
    assert_eq!(violation.reason, Reason::Schema);
    assert!(!violation.sentence.contains("SECRET"), "{violation}");
}

// K-33 to K-39, DEP-44
#[test]
fn a_schema_that_leaves_a_door_open_is_refused() {
    let object = |extra: Json| {
        let mut schema = json!({ "type": "object", "additionalProperties": false });
        schema.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        schema
    };
    let p = |schema: Json| object(json!({ "properties": { "x": schema } }));
    let rows = [
        (json!({ "type": "object" }), "K-36"),
        (object(json!({ "requird": ["x"] })), "K-33"),
        (object(json!({ "default": {} })), "K-33"),
        (object(json!({ "$schema": "http://json-schema.org/draft-07/schema#" })), "K-33"),
        (p(json!({ "$ref": "http://example.com/x.json" })), "K-33"),
        (p(json!({ "$ref": "file:///etc/passwd" })), "K-33"),
        (p(json!({ "$ref": "#/$defs/none" })), "K-33"),
        (p(json!({ "type": "string", "pattern": "[0-9]{3}" })), "K-37"),
        (p(json!({ "type": "string", "pattern": "^a|b$" })), "K-37"),
        (p(json!({ "type": "string", "pattern": "^(?m)a$" })), "K-37"),
        (p(json!({ "type": "string", "pattern": "^\\d$" })), "K-41"),
        (p(json!({ "type": "string", "pattern": "^(?=a)a$" })), "K-34"),
        (p(json!({ "type": "string", "pattern": "^(?:a{900}){900}$" })), "K-34"),
        (p(json!({ "type": "null", "$anchor": "here" })), "K-33"),
        (object(json!({ "$id": "http://example.com/order.json" })), "K-33"),
        (object(json!({ "$id": "urn:example:order" })), "K-33"),
        (p(json!({ "type": "string", "format": "email" })), "K-39"),
        (p(json!({ "type": "array", "uniqueItems": true, "items": {} })), "K-38"),
        (p(json!({ "$ref": "#" })), "K-35"),
        (p(json!({ "$ref": "#/$defs/a%20b", "$defs": { "a b": { "type": "null" } } })), "K-33"),
        (p(json!({ "type": 5 })), "K-33"),
        (json!([]), "K-33"),
    ];
    for (schema, check) in rows {
        let errors = Schema::compile(&schema).map(|_| ()).expect_err(&schema.to_string());
        assert!(errors.iter().any(|e| e.check == check), "{schema}: {errors:?}");
    }
    assert_eq!(checks(&p(json!({ "type": "string" }))), ["K-38"]);
}

// K-36, P2: silence is no schema, wherever it stands.
#[test]
fn a_schema_that_does_not_say_what_it_takes_is_open() {
    let with = |property: Json| json!({ "type": "object", "additionalProperties": false, "properties": { "not": property } });
    let open = [
        json!({}),
        json!(true),
        json!({ "required": ["id"] }),
        json!({ "properties": { "id": { "type": "integer" } }, "additionalProperties": false }),
        json!({ "anyOf": [{ "type": "null" }, { "minimum": 1 }] }),
        json!({ "if": { "type": "null" }, "then": { "type": "null" } }),
        json!({ "if": { "type": "null" }, "else": { "type": "null" } }),
        json!({ "if": { "type": "null" }, "then": { "type": "null" }, "else": {} }),
        json!({ "$ref": "#/$defs/any", "$defs": { "any": {} } }),
        json!({ "not": { "type": "null" } }),
        json!({ "type": "array", "maxItems": 3 }),
        json!({ "type": ["array", "null"], "maxItems": 3 }),
        json!({ "type": "array", "maxItems": 3, "items": true }),
        json!({ "type": "array", "maxItems": 3, "prefixItems": [{ "type": "null" }] }),
        json!({ "type": "array", "maxItems": 3, "contains": {}, "unevaluatedItems": false }),
        json!({ "type": "object", "additionalProperties": {}, "maxProperties": 1 }),
        json!({ "type": "object", "unevaluatedProperties": false, "allOf": [{ "properties": { "a": {} } }] }),
        json!({ "type": "object", "unevaluatedProperties": false, "if": { "properties": { "a": true } } }),
    ];
    for schema in open {
        for schema in [schema.clone(), with(schema)] {
            if schema.pointer("/properties/not/$ref").is_some() {
                continue;
            }
            let errors = Schema::compile(&schema).map(|_| ()).expect_err(&schema.to_string());
            assert_eq!(errors.first().unwrap().check, "K-36", "{schema}: {errors:?}");
        }
    }
    for said in [
        json!(false),
        json!({ "const": { "any": [1, "x"] } }),
        json!({ "enum": [null, 1] }),
        json!({ "oneOf": [{ "type": "null" }, { "const": 1 }] }),
        json!({ "allOf": [{ "minimum": 1 }, { "type": "integer" }] }),
        json!({ "type": "integer", "not": { "properties": { "a": {} } } }),
        json!({ "if": { "const": 1 }, "then": { "type": "integer" }, "else": { "type": "null" } }),
        json!({ "type": "array", "maxItems": 1, "prefixItems": [{ "type": "null" }] }),
        json!({ "type": "array", "maxItems": 3, "items": { "type": "null" }, "contains": {} }),
        json!({ "type": "object", "additionalProperties": true, "maxProperties": 1 }),
    ] {
        assert_eq!(checks(&with(said.clone())), [""; 0], "{said}");
    }
}

// K-33, K-36: without `if`, neither is ever looked at.
#[test]
fn then_and_else_need_an_if() {
    let nothing = json!({ "type": "null" });
    for schema in [
        json!({ "then": nothing, "else": nothing }),
        json!({ "type": "null", "then": nothing }),
        json!({ "type": "null", "else": nothing }),
        json!({ "anyOf": [nothing, { "then": nothing, "else": nothing }] }),
        json!({ "type": "array", "maxItems": 3, "items": { "then": nothing, "else": nothing } }),
    ] {
        assert!(checks(&schema).contains(&"K-33"), "{schema}");
        let said = schema.get("type").is_some() && schema.get("items").is_none();
        assert_eq!(checks(&schema).contains(&"K-36"), !said, "{schema}");
    }
}

// K-36: a branch that may hold alone says what it takes, and what it lets through.
#[test]
fn each_branch_that_may_hold_alone_is_closed() {
    let nothing = json!({ "type": "null" });
    let object = |extra: Json| {
        let mut schema = json!({ "type": "object", "unevaluatedProperties": false });
        schema.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        schema
    };
    let list = |extra: Json| {
        let mut schema = json!({ "type": "array", "maxItems": 3, "unevaluatedItems": false });
        schema.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        schema
    };
    for schema in [
        object(json!({ "dependentSchemas": { "a": { "properties": { "b": {} } } } })),
        object(json!({ "anyOf": [nothing, { "properties": { "b": { "minimum": 1 } } }] })),
        object(json!({ "oneOf": [{ "patternProperties": { "^b$": {} } }] })),
        object(json!({ "allOf": [{ "additionalProperties": {} }] })),
        object(json!({ "allOf": [{ "additionalProperties": true }] })),
        object(json!({ "if": { "unevaluatedProperties": true } })),
        list(json!({ "contains": {}, "minContains": 0 })),
        list(json!({ "anyOf": [{ "items": true }, { "prefixItems": [nothing] }] })),
        list(json!({ "if": { "prefixItems": [{}] } })),
        list(json!({ "allOf": [{ "unevaluatedItems": true }] })),
        json!({ "propertyNames": nothing }),
        json!({ "contains": nothing }),
        json!({ "dependentSchemas": { "a": nothing } }),
        json!({ "prefixItems": [nothing] }),
    ] {
        assert!(checks(&schema).contains(&"K-36"), "{schema}: {:?}", checks(&schema));
    }
    // What says only what may not be lets nothing through.
    for (schema, text) in [
        (
            object(json!({ "maxProperties": 3, "not": { "not": { "properties": { "a": {} } } } })),
            r#"{"a":1}"#,
        ),
        (list(json!({ "not": { "not": { "items": {} } } })), "[1]"),
        (object(json!({ "propertyNames": { "maxLength": 3 } })), r#"{"a":1}"#),
    ] {
        let (compiled, _) = Schema::compile(&schema).unwrap();
        assert!(judge(&compiled, text).is_some(), "{schema}");
    }
}

// K-33, K-36: a reference leads to what was read as a schema, and as one that describes.
#[test]
fn a_reference_to_what_was_never_read_is_refused() {
    let with = |y: Json, target: &str| {
        json!({ "type": "object", "additionalProperties": false,
                "properties": { "x": { "$ref": target }, "y": y } })
    };
    let open = json!({ "type": "object", "properties": { "z": {} } });
    for (y, target) in [
        (json!({ "type": "null", "examples": [open] }), "#/properties/y/examples/0"),
        (json!({ "const": open }), "#/properties/y/const"),
        (json!({ "const": { "type": "object", "properties": {} } }), "#/properties/y/const"),
        (json!({ "enum": [open] }), "#/properties/y/enum/0"),
        (
            json!({ "type": "null", "not": { "properties": { "z": open } } }),
            "#/properties/y/not/properties/z",
        ),
        (
            json!({ "type": "null", "not": { "properties": { "z": { "type": "null" } } } }),
            "#/properties/y/not/properties/z",
        ),
        (
            json!({ "type": "null", "not": { "$defs": { "z": { "type": "null" } } } }),
            "#/properties/y/not/$defs/z",
        ),
        (json!({ "type": "null", "not": { "type": "null" } }), "#/properties/y/not"),
        (
            json!({ "type": "object", "additionalProperties": false, "propertyNames": { "type": "string", "maxLength": 9 } }),
            "#/properties/y/propertyNames",
        ),
        (json!({ "type": "null" }), "#/properties"),
        (json!({ "type": "null" }), "#/properties/%79"),
        (json!({ "type": "null" }), "#/%70roperties/y"),
    ] {
        let found = checks(&with(y, target));
        assert!(found.contains(&"K-33"), "{target}: {found:?}");
    }
    for (y, target) in [
        (json!({ "type": "null" }), "#/properties/y"),
        (json!({ "anyOf": [{ "type": "null" }] }), "#/properties/y/anyOf/0"),
        (
            json!({ "type": "array", "maxItems": 3, "items": { "type": "null" } }),
            "#/properties/y/items",
        ),
    ] {
        assert_eq!(checks(&with(y, target)), [""; 0], "{target}");
    }
    let mut named = with(json!({ "type": "null" }), "#/$defs/a~1b~0c.json");
    named["$defs"] = json!({ "a/b~c.json": { "type": "null" } });
    assert_eq!(checks(&named), [""; 0]);
    // A circle that is found by neither name.
    let circle =
        json!({ "$ref": "#/$defs/a%20b", "$defs": { "a b": { "$ref": "#/$defs/a%20b" } } });
    assert_eq!(checks(&circle), ["K-33", "K-33"]);
}

// K-35, K-36: a way of references that is too long to follow says nothing.
#[test]
fn a_long_way_of_references_is_not_believed() {
    let mut defs = serde_json::Map::new();
    for n in 0..40 {
        defs.insert(format!("d{n}"), json!({ "$ref": format!("#/$defs/d{}", n + 1) }));
    }
    defs.insert("d40".to_owned(), json!({}));
    let schema = json!({ "$ref": "#/$defs/d0", "$defs": defs });
    assert!(checks(&schema).contains(&"K-35"), "{:?}", checks(&schema));
}

// K-38: a type among others has a bound too, and a pattern only if it ends somewhere.
#[test]
fn what_has_no_bound_is_warned_of() {
    for schema in [
        json!({ "type": "string", "pattern": "^a*$" }),
        json!({ "type": ["string", "null"] }),
        json!({ "type": ["array", "null"], "items": { "type": "null" } }),
    ] {
        assert_eq!(checks(&schema), ["K-38"], "{schema}");
    }
    assert_eq!(checks(&json!({ "type": "string", "pattern": "^a{1,9}$" })), [""; 0]);
}

// K-35, TRAP-12: thirty lines that expand to a billion
#[test]
fn a_schema_that_explodes_is_refused() {
    let mut defs = serde_json::Map::new();
    for n in 0..30 {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        defs.insert(format!("d{n}"), json!({ "anyOf": [next, next] }));
    }
    defs.insert("d30".to_owned(), json!({ "type": "null" }));
    assert_eq!(checks(&json!({ "$ref": "#/$defs/d0", "$defs": defs })), ["K-35"]);
}

#[test]
fn a_place_has_the_shape_that_policies_see() {
    let (schema, _) = Schema::compile(&order()).unwrap();
    let shape = |text: &str| schema.shape(&text.parse().unwrap());
    let id = shape("/id").unwrap();
    assert_eq!(
        (id.kind, id.bounds, id.required),
        (Some(AttributeKind::Long), (Some(1), Some(99)), true)
    );
    assert!(!shape("/memo").unwrap().required);
    let items = shape("/items").unwrap().kind;
    assert_eq!(items, Some(AttributeKind::Set(AttributeKind::String.into())));
    assert_eq!(shape("/place/n").unwrap().kind, Some(AttributeKind::String));
    assert_eq!(shape("/nowhere"), None);
}
