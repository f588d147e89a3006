//! A tree is held to its message: every field to its rule, the whole to its schema, and nothing else
//! is in it.

use crate::contract::decode::DecodeRule;
use crate::contract::field::{FieldRule, unknown_field};
use crate::contract::quota::{Amount, Quota};
use crate::contract::value::{Pointer, Value};
use crate::contract::{Direction, MessageRule};
use crate::rejection::{Reason, Violation};

/// Holds every field to its rule, and the whole to its schema.
pub(super) fn check(
    rule: &MessageRule,
    tree: &mut Value<'_>,
    direction: &Direction,
) -> Result<(), Violation> {
    let from_text = direction.decode.integers_in_text();
    if let Some(segments) = &rule.segments {
        segments.check(tree)?;
    }
    if let Some(schema) = &rule.schema {
        schema.check(tree)?;
        whole_numbers(rule, tree);
    } else if direction.decode.lists_its_fields() {
        closed(rule, tree, direction)?;
    }
    let plain = rule.schema.is_none() && matches!(direction.decode, DecodeRule::Json(_));
    for (pointer, place, field) in &rule.fields {
        match at_mut(tree, pointer) {
            Some(value) => {
                if plain {
                    described(place, value, field)?;
                }
                field.check(place, value, from_text)?;
            }
            None if field.optional => {}
            None => {
                let sentence = format!("`{place}` is missing");
                return Err(Violation::at(Reason::FieldMissing, place, sentence));
            }
        }
    }
    Ok(())
}

/// What is named by an integer, counted, shown or kept is one, however JSON wrote it.
fn whole_numbers(rule: &MessageRule, tree: &mut Value<'_>) {
    let asking = rule.asking();
    let shown = asking.into_iter().flat_map(|asking| &asking.context).map(|(_, at)| at);
    let named = asking.and_then(|asking| asking.resource.as_ref());
    let named = named.into_iter().flat_map(|template| template.pointers()).map(|(at, _)| at);
    let summed = match rule.request().and_then(|request| request.quota.as_ref()) {
        Some(Quota { amount: Amount::Sum(at), .. }) => Some(at),
        _ => None,
    };
    let kept = rule.remember.iter().map(|of| &of.at);
    for at in shown.chain(named).chain(summed).chain(kept) {
        if let Some(value) = at_mut(tree, at) {
            value.make_whole();
        }
    }
}

/// A list whose length alone is bounded would hold anything.
fn described(place: &str, value: &Value<'_>, field: &FieldRule) -> Result<(), Violation> {
    match value {
        Value::List(_) if field.len.is_some() && field.each.is_none() => {
            let sentence = format!("`{place}` is a list, whose elements no rule describes");
            Err(Violation::at(Reason::FieldUnknown, place, sentence))
        }
        _ => Ok(()),
    }
}

/// Refuses what no rule of the message lists. Outside JSON the tag is known without a rule, and
/// a list that may be left out may be empty.
fn closed(rule: &MessageRule, tree: &Value<'_>, direction: &Direction) -> Result<(), Violation> {
    let json = matches!(direction.decode, DecodeRule::Json(_));
    let tag = direction.tag.as_ref().filter(|_| !json).and_then(|tag| tag.top());
    let leads = |at: &Pointer, name: &str| at.segments().next() == Some(name);
    let listed = |name: &str| {
        tag == Some(name)
            || rule.fields.iter().any(|(at, ..)| at.top() == Some(name) || json && leads(at, name))
    };
    let empty = |value: &Value<'_>| !json && matches!(value, Value::List(l) if l.is_empty());
    let unknown = match tree {
        Value::Map(members) => members
            .iter()
            .find(|(name, value)| !listed(name) && !empty(value))
            .map(|(name, _)| unknown_field(name)),
        Value::List(list) if !json => (0..list.len())
            .map(|at| at.to_string())
            .find(|at| !listed(at))
            .map(|at| unknown_field(&at)),
        _ => None,
    };
    match (unknown, tree) {
        (Some(unknown), _) => Err(unknown),
        (None, Value::Map(members)) if json => {
            members.iter().try_for_each(|(name, member)| closed_inside(rule, name, member))
        }
        (None, _) => Ok(()),
    }
}

/// The same inside a member of which rules say what it holds, as those of a codec do.
fn closed_inside(rule: &MessageRule, name: &str, member: &Value<'_>) -> Result<(), Violation> {
    let leads = |at: &&Pointer| at.segments().next() == Some(name);
    let places = || rule.fields.iter().map(|(at, ..)| at).filter(leads);
    // A rule of the member itself says all of it.
    if places().any(|at| at.top().is_some()) {
        return Ok(());
    }
    let Value::Map(members) = member else {
        let sentence = format!("`/{name}` is {}, not an object", member.kind());
        return Err(Violation::at(Reason::Schema, format!("/{name}"), sentence));
    };
    let listed = |key: &str| places().any(|at| at.segments().nth(1) == Some(key));
    match members.iter().find(|(key, _)| !listed(key)) {
        Some((key, _)) => Err(unknown_field(&format!("{name}/{key}"))),
        None => Ok(()),
    }
}

fn at_mut<'v, 'a>(tree: &'v mut Value<'a>, pointer: &Pointer) -> Option<&'v mut Value<'a>> {
    let mut at = tree;
    for segment in pointer.segments() {
        at = match at {
            Value::Map(members) => {
                members.iter_mut().find(|(key, _)| key == segment).map(|(_, value)| value)?
            }
            Value::List(list) => list.get_mut(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(at)
}
