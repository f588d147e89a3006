//! The addresses of a request, from the first to the last one that it touches.
//!
//! `fields.addr` is where a request may begin; device and operator mean all that it reaches. So the
//! same addresses bound its end too, by rules that are written out here and stand in the contract
//! as if its author had written them. A rule of the author's can only narrow further.

use super::decode::Function;
use crate::contract::MessageRule;
use crate::contract::field::FieldRule;
use crate::contract::value::{Pointer, Value};

/// Whether a message says at which addresses.
pub(super) fn is_placed(message: &MessageRule) -> bool {
    ["addr", "write_addr"].iter().any(|name| of(message, name).is_some())
}

/// A rule for each range that has a count, unless one of the message's own says as much.
pub(super) fn bounds(message: &MessageRule, functions: &[Function]) -> Vec<String> {
    if functions.contains(&Function::Opaque) {
        return Vec::new();
    }
    let any = |wanted: fn(Function) -> bool| functions.iter().any(|function| wanted(*function));
    let read = any(Function::counts).then(|| bound(message, "addr", "count"));
    let both = |function| function == Function::ReadWrite;
    let write = any(both).then(|| bound(message, "write_addr", "write_count"));
    read.flatten().into_iter().chain(write.flatten()).collect()
}

fn bound(message: &MessageRule, addr: &str, count: &str) -> Option<String> {
    let end = format!("this.{addr} + this.{count} <= ");
    let mut runs = runs(of(message, addr)?);
    let last = runs.pop()?;
    let says_as_much = |rule: &str| {
        let most = rule.strip_prefix(&end).and_then(|most| most.parse::<i64>().ok());
        most.is_some_and(|most| runs.is_empty() && most <= last.1 + 1)
    };
    if runs.is_empty() && last.1 >= 65_535 || message.rules.iter().any(|r| says_as_much(r.text())) {
        return None;
    }
    // Where a request begins is judged before; here it is only which run that is.
    let mut text: String =
        runs.iter().map(|(_, to)| format!("this.{addr} <= {to} ? {end}{} : ", to + 1)).collect();
    text.push_str(&format!("{end}{}", last.1 + 1));
    Some(text)
}

fn of<'m>(message: &'m MessageRule, name: &str) -> Option<&'m FieldRule> {
    let at = Pointer::name(name);
    message.fields.iter().find(|(place, ..)| *place == at).map(|(_, _, rule)| rule)
}

/// The addresses of a rule as ranges that do not touch, the lowest first.
fn runs(rule: &FieldRule) -> Vec<(i64, i64)> {
    let listed = rule.one_of.iter().flatten().chain(&rule.constant);
    let mut listed: Vec<i64> = listed
        .filter_map(|value| match value {
            Value::Int(address) => Some(*address),
            _ => None,
        })
        .collect();
    if listed.is_empty() {
        return rule.int.into_iter().collect();
    }
    let (low, high) = rule.int.unwrap_or((0, 65_535));
    listed.retain(|address| (low..=high).contains(address));
    listed.sort_unstable();
    listed.dedup();
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for address in listed {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == address => *to = address,
            _ => runs.push((address, address)),
        }
    }
    runs
}
