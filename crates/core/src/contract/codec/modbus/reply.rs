//! A reply against its request: unit, function, sizes, echoes (`contracts.md` section 25.1).

use super::super::mismatch;
use super::decode::Function;
use crate::contract::value::{Pointer, Value};
use crate::rejection::Violation;
use crate::session::Kept;

/// The exception codes that there are.
pub(super) const EXCEPTIONS: [u8; 9] = [1, 2, 3, 4, 5, 6, 8, 10, 11];

/// What an echo repeats. Only functions 5 and 6 repeat a value, and they have one.
const KEEPS: [&[&str]; 7] = [UNIT, FC, ADDR, COUNT, VALUE, AND_MASK, OR_MASK];

const UNIT: &[&str] = &["unit"];
const FC: &[&str] = &["fc"];
const ADDR: &[&str] = &["addr"];
const COUNT: &[&str] = &["count"];
const VALUE: &[&str] = &["values", "0"];
const AND_MASK: &[&str] = &["and_mask"];
const OR_MASK: &[&str] = &["or_mask"];

/// Values of a request that its reply is checked against.
pub(crate) fn keeps() -> Vec<Pointer> {
    let place = |path: &&[&str]| path.iter().fold(Pointer::whole(), |at, name| at.below(name));
    KEEPS.iter().map(place).collect()
}

/// Checks a reply against what is kept of its request.
pub(crate) fn check(kept: &Kept, reply: &Value<'_>) -> Result<(), Violation> {
    let asked = |at: &[&str]| integer(kept.at(at)?);
    let said = |at: &[&str]| integer(reply.at(at)?);
    let same = |at: &[&str]| match (asked(at), said(at)) {
        (Some(asked), Some(said)) if asked == said => Ok(()),
        (asked, said) => {
            let word =
                |value: Option<i64>| value.map_or_else(|| "absent".to_owned(), |v| v.to_string());
            Err(mismatch(format!(
                "`/{}` of the answer is {}, and the request's is {}",
                at.join("/"),
                word(said),
                word(asked)
            )))
        }
    };
    same(UNIT)?;
    if let Some(exception) = said(&["exception"]) {
        let function = said(FC).map(|fc| fc & 0x7f);
        if function != asked(FC) {
            return Err(mismatch("the exception is of another function than the request"));
        }
        if !EXCEPTIONS.iter().any(|known| i64::from(*known) == exception) {
            return Err(mismatch(format!("there is no exception {exception}")));
        }
        return Ok(());
    }
    same(FC)?;
    let count = asked(COUNT).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let held = match reply.member("values") {
        Some(Value::List(list)) => list.len(),
        _ => 0,
    };
    let holds = |wanted: usize| {
        if held == wanted {
            return Ok(());
        }
        Err(mismatch(format!("the answer holds {held} values, and {wanted} were due")))
    };
    let code = said(FC).and_then(|code| u8::try_from(code).ok()).unwrap_or(0);
    match Function::of(code) {
        Function::ReadBits => {
            holds(count.div_ceil(8) * 8)?;
            let Some(Value::List(list)) = reply.member("values") else { return Ok(()) };
            match list.iter().skip(count).all(|bit| *bit == Value::Int(0)) {
                true => Ok(()),
                false => Err(mismatch(format!("bits beyond the {count} asked for are set"))),
            }
        }
        Function::ReadRegisters | Function::ReadWrite => holds(count),
        Function::WriteBit | Function::WriteRegister => same(ADDR).and_then(|()| same(VALUE)),
        Function::WriteBits | Function::WriteRegisters => same(ADDR).and_then(|()| same(COUNT)),
        Function::Mask => same(ADDR).and_then(|()| same(AND_MASK)).and_then(|()| same(OR_MASK)),
        Function::Opaque => Ok(()),
    }
}

fn integer(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}
