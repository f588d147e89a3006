//! Policy texts become checked policies, or findings with their place.

use super::Loaded;
use super::class::Sights;
use crate::finding::{Finding, nearest};
use crate::policy::PolicySource;
use crate::policy::schema::ActionShape;
use cedar_policy::{
    Effect, PolicyId, PolicySet, Schema, ValidationError, ValidationMode, Validator,
};
use miette::Diagnostic;
use serde_json::Value as Json;
use std::str::FromStr;

/// Largest policy file in bytes, deepest nesting of brackets, and most operators, selections and
/// `if`s of one policy, each of which may stand in the one before: more would exhaust the stack of
/// Cedar's parser, which ends the process (`crates.md` DEP-31).
const LARGEST: usize = 1 << 20;
const DEEPEST: usize = 64;
const OPERATORS: usize = 1000;
/// Stack of the thread on which policies are parsed.
const STACK: usize = 32 << 20;

/// A place in the context, by its names; none is the context itself.
pub(super) type Path = Vec<String>;

/// Parses and validates every source.
pub(super) fn load(
    sources: Vec<PolicySource>,
    schema: &Schema,
    actions: &[ActionShape],
) -> Result<Vec<Loaded>, Vec<Finding>> {
    let (schema, actions) = (schema.clone(), actions.to_vec());
    let work = move || {
        let mut loaded: Vec<Loaded> = Vec::new();
        let mut findings = Vec::new();
        for source in &sources {
            match parse(source, &schema, &actions) {
                Ok(policies) => {
                    for (policy, offset) in policies {
                        if loaded.iter().any(|known| known.id == policy.id) {
                            let message = format!("two policies have the id `{}`", policy.id);
                            findings.push(Finding::error(
                                &source.file,
                                &source.text,
                                offset,
                                message,
                            ));
                        } else {
                            loaded.push(policy);
                        }
                    }
                }
                Err(errors) => findings.extend(errors),
            }
        }
        if findings.is_empty() { Ok(loaded) } else { Err(findings) }
    };
    let failed = |what: String| vec![Finding::whole("policy", what)];
    let thread = std::thread::Builder::new().name("policies".to_owned()).stack_size(STACK);
    let thread =
        thread.spawn(work).map_err(|e| failed(format!("policies cannot be parsed: {e}")))?;
    thread.join().map_err(|_| failed("policies could not be parsed".to_owned()))?
}

fn parse(
    source: &PolicySource,
    schema: &Schema,
    actions: &[ActionShape],
) -> Result<Vec<(Loaded, usize)>, Vec<Finding>> {
    let finding =
        |at: usize, message: String| Finding::error(&source.file, &source.text, at, message);
    if source.text.len() > LARGEST {
        return Err(vec![Finding::whole(&source.file, "policy file is over 1 MiB")]);
    }
    if let Some((at, message, hint)) = too_deep(&source.text) {
        return Err(vec![finding(at, message).hint_if(hint)]);
    }
    let set = PolicySet::from_str(&source.text).map_err(|errors| {
        errors
            .iter()
            .take(10)
            .map(|error| finding(offset(error), sentence(error)))
            .collect::<Vec<_>>()
    })?;
    if set.templates().next().is_some() {
        return Err(vec![finding(
            0,
            "policy file holds a template; write the principal".to_owned(),
        )]);
    }
    let mut errors = Vec::new();
    let mut policies = Vec::new();
    for policy in set.policies() {
        let at = place_of(&source.text, policy.id());
        match policy.annotation("id") {
            Some(id) if !id.is_empty() => match loaded(policy, id) {
                Some(loaded) => policies.push((loaded, at)),
                None => errors.push(finding(at, "the policy cannot be read back".to_owned())),
            },
            _ => errors.push(
                finding(at, "policy has no `@id`".to_owned())
                    .hint("`@id(\"app-reads\")` before it"),
            ),
        }
    }
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    // Of an action that is none nothing else can be said of its policy.
    let strange: Vec<&PolicyId> = result
        .validation_errors()
        .filter(|error| matches!(error, ValidationError::UnrecognizedActionId(_)))
        .map(ValidationError::policy_id)
        .collect();
    let own = |error: &&ValidationError| {
        matches!(error, ValidationError::UnrecognizedActionId(_))
            || !strange.contains(&error.policy_id())
    };
    let warned = result.validation_warnings().filter(|w| !strange.contains(&w.policy_id()));
    errors.extend(result.validation_errors().filter(own).map(|error| {
        let hint = error.help().map(|help| help.to_string()).or_else(|| hint(error, actions));
        finding(offset(error), sentence(error)).hint_if(hint)
    }));
    // A condition that can never hold is a mistake: a `forbid` with it forbids nothing.
    errors.extend(warned.map(|w| finding(offset(w), sentence(w))));
    policies.sort_by_key(|(_, at)| *at);
    if errors.is_empty() { Ok(policies) } else { Err(errors) }
}

fn loaded(policy: &cedar_policy::Policy, id: &str) -> Option<Loaded> {
    let json = policy.to_json().ok()?;
    let conditions = json.get("conditions")?;
    let mut reads = Vec::new();
    read_paths(conditions, &mut reads);
    reads.sort();
    reads.dedup();
    Some(Loaded {
        id: id.into(),
        policy: policy.new_id(PolicyId::new(id)),
        principal: policy.principal_constraint(),
        action: policy.action_constraint(),
        permits: policy.effect() == Effect::Permit,
        reads,
        sights: Sights::of(conditions, &policy.resource_constraint()),
    })
}

/// What conditions read of the context: `message.count`, `now`. Record and attribute names and
/// string literals cannot be confused with the variable, because they are wrapped (AZ-2).
fn read_paths(json: &Json, reads: &mut Vec<Path>) {
    if let Some(path) = path(json) {
        reads.push(path);
        return;
    }
    match json {
        Json::Array(list) => list.iter().for_each(|below| read_paths(below, reads)),
        Json::Object(object) => object.values().for_each(|below| read_paths(below, reads)),
        _ => {}
    }
}

fn path(json: &Json) -> Option<Path> {
    let object = json.as_object()?;
    if object.get("Var").and_then(Json::as_str) == Some("context") {
        return Some(Vec::new());
    }
    let inner = object.get(".").or_else(|| object.get("has"))?;
    let mut path = path(inner.get("left")?)?;
    path.push(inner.get("attr")?.as_str()?.to_owned());
    Some(path)
}

/// The first bracket that is nested too deep, or the first operator of a policy that has too many.
fn too_deep(text: &str) -> Option<(usize, String, Option<&'static str>)> {
    let bytes = text.as_bytes();
    let (mut depth, mut operators, mut at) = (0_usize, 0_usize, 0);
    while let Some(byte) = bytes.get(at).copied() {
        let rest = bytes.get(at..).unwrap_or_default();
        let mut size = 1;
        match byte {
            b'"' => size = quoted(rest),
            b'/' if rest.starts_with(b"//") => {
                size = rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => operators = 0,
            b'+' | b'*' | b'-' | b'.' | b'!' => operators += 1,
            b'&' | b'|' => (operators, size) = (operators + 1, 2),
            b if b.is_ascii_alphanumeric() || b == b'_' => {
                let in_word = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
                size = rest.iter().take_while(in_word).count();
                operators += usize::from(rest.get(..size) == Some(b"if"));
            }
            _ => {}
        }
        if depth > DEEPEST {
            return Some((at, format!("brackets are nested deeper than {DEEPEST}"), None));
        }
        if operators > OPERATORS {
            let hint = "a set, as in `[1, 2].contains(context.message.n)`, or several policies";
            return Some((at, format!("a policy has over {OPERATORS} operators"), Some(hint)));
        }
        at += size;
    }
    None
}

/// Bytes of the text in quotes that begins here.
fn quoted(text: &[u8]) -> usize {
    let mut size = 1;
    while let Some(byte) = text.get(size) {
        match byte {
            b'"' => return size + 1,
            // An escape covers the byte behind it.
            b'\\' => size += 2,
            _ => size += 1,
        }
    }
    size
}

/// Where Cedar says that something is wrong.
fn offset(error: &dyn Diagnostic) -> usize {
    error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset())
}

/// Cedar's sentence without the name of the policy, which the place tells.
fn sentence(error: &(impl Diagnostic + ?Sized)) -> String {
    let text = error.to_string();
    let own = text.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, "));
    own.map_or(text.as_str(), |(_, rest)| rest).to_owned()
}

/// The nearest action or attribute to a word that Cedar does not know.
fn hint(error: &ValidationError, actions: &[ActionShape]) -> Option<String> {
    let text = error.to_string();
    let word = text.split('`').nth(3)?;
    let bare = word.trim_start_matches("Action::").trim_matches('"');
    let names = actions.iter().map(|a| a.name.as_str()).chain(["connect"]);
    if let Some(near) = nearest(bare, names) {
        return Some(format!("did you mean `{near}`?"));
    }
    let attributes: Vec<&str> =
        actions.iter().flat_map(|a| &a.context).map(|a| a.name.as_str()).collect();
    (!attributes.is_empty()).then(|| format!("context.message has {}", attributes.join(", ")))
}

/// Where a policy begins: its number in the file is in the id that Cedar gave it.
fn place_of(text: &str, id: &PolicyId) -> usize {
    let number: usize = id.to_string().trim_start_matches("policy").parse().unwrap_or(0);
    let (mut count, mut quoted, mut start, mut comment) = (0, false, 0, false);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\n' => comment = false,
            '/' if !quoted && text.get(at..).is_some_and(|t| t.starts_with("//")) => comment = true,
            '"' if !comment => quoted = !quoted,
            ';' if !quoted && !comment => {
                count += 1;
                if count == number {
                    start = at + 1;
                }
            }
            _ => {}
        }
    }
    let rest = text.get(start..).unwrap_or_default();
    let mut offset = start;
    for line in rest.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if !trimmed.is_empty() && !trimmed.starts_with("//") {
            return offset + line.len() - trimmed.len();
        }
        offset += line.len();
    }
    start
}
