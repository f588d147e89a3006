//! Messages of Modbus: one for each function that was used, within the units, addresses and
//! values that were.

use super::grouping::{Group, named};
use super::shape::Shape;
use crate::contract::value::Value;
use std::collections::BTreeMap;

/// A function that was used, and what is written in the contract for it.
pub(super) struct Function {
    pub(super) group: Group,
    pub(super) code: i64,
    pub(super) writes: bool,
    /// Whether the codec does not read its content.
    pub(super) opaque: bool,
    /// Field, rule, and what the rule rests on.
    pub(super) fields: Vec<(String, Vec<String>, String)>,
}

/// The functions of the client's messages.
pub(super) fn functions(trees: &[Value<'static>]) -> Vec<Function> {
    let mut by_code: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (at, tree) in trees.iter().enumerate() {
        if let Some(Value::Int(code)) = tree.member("fc") {
            by_code.entry(*code).or_default().push(at);
        }
    }
    let group = |(code, members): (&i64, &Vec<usize>)| Group {
        name: name(*code),
        members: members.clone(),
        ..Group::default()
    };
    let groups = named(by_code.iter().map(group).collect());
    let function = |(group, code): (Group, &i64)| {
        let own: Vec<&Value<'static>> =
            group.members.iter().filter_map(|at| trees.get(*at)).collect();
        let opaque = own.iter().any(|tree| tree.member("data").is_some());
        let shape = Shape::of(own.iter().copied());
        let fields = shape.members().filter_map(|(name, seen)| {
            let found = match name {
                "addr" => reach(&own, name, "count"),
                "write_addr" => reach(&own, name, "write_count"),
                _ => None,
            };
            Some((name.to_owned(), found.or_else(|| rule(name, seen))?))
        });
        let fields = fields.map(|(name, (rule, words))| (name, vec![rule], words)).collect();
        let writes = matches!(code, 5 | 6 | 15 | 16 | 22 | 23);
        Function { group, code: *code, writes, opaque, fields }
    };
    groups.into_iter().zip(by_code.keys()).map(function).collect()
}

/// The rule of a field; `None` where the codec itself says enough.
fn rule(name: &str, seen: &Shape) -> Option<(String, String)> {
    let (keys, words) = seen.rule("", false);
    match name {
        "tid" | "fc" => None,
        // Units are listed, however many: each is a device.
        "unit" => {
            let units: Vec<String> = seen.int_values().iter().map(ToString::to_string).collect();
            Some((format!("enum = [{}]", units.join(", ")), words))
        }
        "data" => {
            let (lo, hi) = seen.bytes();
            Some((format!("bytes = [{lo}, {}]", hi.min(252)), words))
        }
        "values" => {
            let (lo, hi) = seen.each().map(Shape::rounded_ints).unwrap_or_default();
            Some((format!("each_int = [{}, {}]", lo.max(0), hi.min(65_535)), words))
        }
        _ => {
            let (lo, hi) = seen.rounded_ints();
            let rule = keys.into_iter().find(|rule| rule.starts_with("enum"));
            Some((
                rule.unwrap_or_else(|| format!("int = [{}, {}]", lo.max(0), hi.min(65_535))),
                words,
            ))
        }
    }
}

/// The addresses that were touched, where some request touched more than one: their rule bounds
/// the last one too.
fn reach(own: &[&Value<'static>], addr: &str, count: &str) -> Option<(String, String)> {
    let int = |tree: &Value<'static>, name: &str| match tree.member(name) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    let ends = own.iter().filter_map(|tree| Some((int(tree, addr)?, int(tree, count)? - 1)));
    let ends: Vec<(i64, i64)> = ends.map(|(first, more)| (first, first + more)).collect();
    if ends.iter().all(|(first, last)| first == last) {
        return None;
    }
    let both: Vec<Value<'static>> =
        ends.iter().flat_map(|(first, last)| [Value::Int(*first), Value::Int(*last)]).collect();
    let (lo, hi) = Shape::of(&both).rounded_ints();
    let (low, high) = (ends.iter().map(|end| end.0).min()?, ends.iter().map(|end| end.1).max()?);
    let words = format!("{} samples, which touch {low} to {high}", ends.len());
    Some((format!("int = [{}, {}]", lo.max(0), hi.min(65_535)), words))
}

fn name(code: i64) -> String {
    let known = match code {
        1 => "read-coils",
        2 => "read-discrete-inputs",
        3 => "read-holding-registers",
        4 => "read-input-registers",
        5 => "write-coil",
        6 => "write-register",
        15 => "write-coils",
        16 => "write-registers",
        22 => "mask-register",
        23 => "read-write-registers",
        other => return format!("function-{other}"),
    };
    known.to_owned()
}
