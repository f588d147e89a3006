//! A reply against its request: unit, function, sizes, echoes (`contracts.md` section 25.1).

use super::super::mismatch;
use super::decode::Function;
use crate::contract::value::{Pointer, Value};
use crate::rejection::Violation;
use crate::session::Kept;

/// The exception codes that there are.
pub(super) const EXCEPTIONS: [u8; 9] = [1, 2, 3, 4, 5, 6, 8, 10, 11];

/// What an echo repeats. Only functions 5 and 6 repeat a value, and they have one.
const KEEPS: [&str; 7] = ["/unit", "/fc", "/addr", "/count", "/values/0", "/and_mask", "/or_mask"];

/// Values of a request that its reply is checked against.
pub(crate) fn keeps() -> Vec<Pointer> {
    KEEPS.iter().filter_map(|at| at.parse().ok()).collect()
}

/// Checks a reply against what is kept of its request.
pub(crate) fn check(kept: &Kept, reply: &Value<'_>) -> Result<(), Violation> {
    let asked = |at: &str| integer(kept.get(&at.parse().ok()?)?);
    let said = |at: &str| integer(at.parse::<Pointer>().ok()?.get(reply)?);
    let same = |at: &str| match (asked(at), said(at)) {
        (Some(asked), Some(said)) if asked == said => Ok(()),
        (asked, said) => {
            let word =
                |value: Option<i64>| value.map_or_else(|| "absent".to_owned(), |v| v.to_string());
            Err(mismatch(format!(
                "`{at}` of the answer is {}, and the request's is {}",
                word(said),
                word(asked)
            )))
        }
    };
    same("/unit")?;
    if let Some(exception) = said("/exception") {
        let function = said("/fc").map(|fc| fc & 0x7f);
        if function != asked("/fc") {
            return Err(mismatch("the exception is of another function than the request"));
        }
        if !EXCEPTIONS.iter().any(|known| i64::from(*known) == exception) {
            return Err(mismatch(format!("there is no exception {exception}")));
        }
        return Ok(());
    }
    same("/fc")?;
    let count = asked("/count").and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
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
    let code = said("/fc").and_then(|code| u8::try_from(code).ok()).unwrap_or(0);
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
        Function::WriteBit | Function::WriteRegister => {
            same("/addr").and_then(|()| same("/values/0"))
        }
        Function::WriteBits | Function::WriteRegisters => {
            same("/addr").and_then(|()| same("/count"))
        }
        Function::Mask => {
            same("/addr").and_then(|()| same("/and_mask")).and_then(|()| same("/or_mask"))
        }
        Function::Opaque => Ok(()),
    }
}

fn integer(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}
