//! `Schema`: the one door to JSON Schema 2020-12.
//!
//! A schema is linted before it is used (`contracts.md` section 10.2): what it does not say must
//! not be open, what it misspells must not be silent, and it fetches nothing. Messages are judged
//! in our own tree, without a copy.

mod cost;
mod kind;
mod lint;
mod tree;

use super::rule::Type;
use super::value::{Pointer, Value};
use crate::policy::schema::{Attribute, AttributeKind};
use crate::rejection::{Reason, Violation};
use serde_json::Value as Json;
use tree::{Tree, TreeNode};

/// A schema that was linted and compiled.
pub struct Schema {
    source: Json,
    validator: jsonschema::Validator<Tree>,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What is wrong in a schema, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFinding {
    /// Id of the static check, K-33 to K-39.
    pub check: &'static str,
    /// Pointer into the schema.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What a schema says of one place of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its type, if Cedar has one for it.
    pub kind: Option<AttributeKind>,
    /// Bounds of its integers, as far as they are given.
    pub bounds: (Option<i64>, Option<i64>),
    /// Whether every message has it.
    pub required: bool,
}

impl Schema {
    /// Lints and compiles a schema; gives it with its warnings.
    ///
    /// # Errors
    /// Every finding of K-33 to K-39 that refuses it.
    pub fn compile(source: &Json) -> Result<(Self, Vec<SchemaFinding>), Vec<SchemaFinding>> {
        let (errors, warnings) = lint::lint(source);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok((Self::build(source)?, warnings))
    }

    /// Compiles a schema that may be open, which no contract's may (K-36): for tests of how
    /// messages are judged, by the suite of JSON Schema.
    ///
    /// # Errors
    /// Every other finding that refuses it.
    #[doc(hidden)]
    pub fn danger_open(source: &Json) -> Result<Self, Vec<SchemaFinding>> {
        let (mut errors, _) = lint::lint(source);
        errors.retain(|error| error.check != "K-36");
        if errors.is_empty() { Self::build(source) } else { Err(errors) }
    }

    fn build(source: &Json) -> Result<Self, Vec<SchemaFinding>> {
        let refused = |pointer: String, message: String| {
            vec![SchemaFinding { check: "K-33", pointer, message, hint: None }]
        };
        if let Err(error) = jsonschema::draft202012::meta::validate(source) {
            let sentence = "this is not what JSON Schema 2020-12 allows here".to_owned();
            return Err(refused(error.instance_path().to_string(), sentence));
        }
        let validator = jsonschema::options_for::<Tree>()
            .with_draft(jsonschema::Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(64 << 10))
            .build(source)
            .map_err(|error| refused(String::new(), format!("schema does not compile: {error}")))?;
        Ok(Self { source: source.clone(), validator })
    }

    /// Judges a message.
    ///
    /// # Errors
    /// `schema`, with the place and the keyword; never with the value.
    pub fn check(&self, value: &Value<'_>) -> Result<(), Violation> {
        let node = TreeNode::Value(value);
        if self.validator.is_valid(node) {
            return Ok(());
        }
        let (pointer, keyword) = match self.validator.validate(node) {
            Ok(()) => (String::new(), String::new()),
            Err(error) => (error.instance_path().to_string(), error.schema_path().to_string()),
        };
        let place = if pointer.is_empty() { "the message" } else { &pointer };
        let place = crate::audit::shown(place.as_bytes());
        let sentence = format!("`{place}` breaks the schema at `{keyword}`");
        Err(Violation::at(Reason::Schema, pointer, sentence))
    }

    /// The schema as it was written.
    pub(crate) fn source(&self) -> &Json {
        &self.source
    }

    /// What the schema says of the place at `pointer`, if it says anything.
    #[must_use]
    pub fn shape(&self, pointer: &Pointer) -> Option<Shape> {
        let mut at = self.resolve(&self.source)?;
        let mut required = true;
        for segment in pointer.segments() {
            required &= at
                .get("required")
                .and_then(Json::as_array)
                .is_some_and(|names| names.iter().any(|name| name == segment));
            at = self.resolve(at.get("properties")?.get(segment)?)?;
        }
        let bound = |key: &str| at.get(key).and_then(Json::as_i64);
        let fixed = at.get("const").and_then(Json::as_i64);
        let listed: Option<Vec<i64>> = at
            .get("enum")
            .and_then(Json::as_array)
            .and_then(|all| all.iter().map(Json::as_i64).collect());
        let least = listed.as_ref().and_then(|all| all.iter().min().copied());
        let most = listed.as_ref().and_then(|all| all.iter().max().copied());
        let above = bound("exclusiveMinimum").and_then(|n| n.checked_add(1));
        let below = bound("exclusiveMaximum").and_then(|n| n.checked_sub(1));
        let lower = bound("minimum").max(above).or(fixed).or(least);
        let upper = bound("maximum").or(below).or(fixed).or(most);
        Some(Shape { kind: self.kind(at, 0), bounds: (lower, upper), required })
    }

    /// Whether the schema leaves an integer without bounds at the place, or in what lies below.
    pub(crate) fn unbounded(&self, pointer: &Pointer) -> bool {
        let kind = self.kind_tree(true);
        let at = if pointer.segments().len() == 0 {
            Some(&kind)
        } else {
            kind.at(pointer).map(|m| &m.kind)
        };
        at.is_some_and(Type::has_unbounded)
    }

    /// Follows `$ref`s within the schema; the lint has refused circles.
    fn resolve<'s>(&'s self, mut at: &'s Json) -> Option<&'s Json> {
        while let Some(reference) = at.get("$ref").and_then(Json::as_str) {
            at = self.source.pointer(reference.strip_prefix('#')?)?;
        }
        Some(at)
    }

    /// Cedar's type for a schema, if it has one.
    fn kind(&self, at: &Json, depth: usize) -> Option<AttributeKind> {
        let at = self.resolve(at)?;
        if depth > 8 {
            return None;
        }
        let of_values = |values: &[Json]| {
            let all = |test: fn(&Json) -> bool| !values.is_empty() && values.iter().all(test);
            if all(Json::is_string) {
                Some(AttributeKind::String)
            } else if all(Json::is_i64) {
                Some(AttributeKind::Long)
            } else if all(Json::is_boolean) {
                Some(AttributeKind::Bool)
            } else {
                None
            }
        };
        if let Some(values) = at.get("enum").and_then(Json::as_array) {
            return of_values(values);
        }
        if let Some(value) = at.get("const") {
            return of_values(std::slice::from_ref(value));
        }
        match at.get("type").and_then(Json::as_str)? {
            "integer" => Some(AttributeKind::Long),
            "string" => Some(AttributeKind::String),
            "boolean" => Some(AttributeKind::Bool),
            "array" => Some(AttributeKind::Set(Box::new(self.kind(at.get("items")?, depth + 1)?))),
            "object" => self.record(at, depth),
            _ => None,
        }
    }

    fn record(&self, at: &Json, depth: usize) -> Option<AttributeKind> {
        let closed = at.get("additionalProperties") == Some(&Json::Bool(false));
        let members = at.get("properties").and_then(Json::as_object)?;
        let required = at.get("required").and_then(Json::as_array);
        let attribute = |(name, schema): (&String, &Json)| {
            let optional = !required.is_some_and(|names| names.iter().any(|n| n == name.as_str()));
            Some(Attribute { name: name.clone(), kind: self.kind(schema, depth + 1)?, optional })
        };
        closed
            .then(|| members.iter().map(attribute).collect::<Option<Vec<_>>>())?
            .map(AttributeKind::Record)
    }
}

#[cfg(test)]
mod tests;
