//! A reply against its request: unit, function, sizes, echoes (`contracts.md` section 25.1).

use super::super::mismatch;
use super::decode::Function;
use crate::contract::value::{Pointer, Value};
use crate::rejection::Violation;
use crate::session::Kept;

/// The exception codes that there are.
pub(super) const EXCEPTIONS: [u8; 9] = [1, 2, 3, 4, 5, 6, 8, 10, 11];

const UNIT: &[&str] = &["unit"];
const FC: &[&str] = &["fc"];
const ADDR: &[&str] = &["addr"];
const COUNT: &[&str] = &["count"];
const VALUE: &[&str] = &["values", "0"];
const AND_MASK: &[&str] = &["and_mask"];
const OR_MASK: &[&str] = &["or_mask"];

/// What a reply repeats of its request, or is as long as that says, beside unit and function. Only
/// functions 5 and 6 repeat a value, and they have one.
fn compared(function: Function) -> &'static [&'static [&'static str]] {
    match function {
        Function::ReadBits | Function::ReadRegisters | Function::ReadWrite => &[COUNT],
        Function::WriteBit | Function::WriteRegister => &[ADDR, VALUE],
        Function::WriteBits | Function::WriteRegisters => &[ADDR, COUNT],
        Function::Mask => &[ADDR, AND_MASK, OR_MASK],
        Function::Opaque => &[],
    }
}

/// Values of a request of these functions that its reply is checked against.
pub(super) fn keeps(functions: impl Iterator<Item = Function>) -> Vec<Pointer> {
    let mut paths = vec![UNIT, FC];
    for path in functions.flat_map(compared) {
        if !paths.contains(path) {
            paths.push(path);
        }
    }
    let place = |path: &[&str]| path.iter().fold(Pointer::whole(), |at, name| at.below(name));
    paths.into_iter().map(place).collect()
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
    let function = Function::of(code);
    match function {
        Function::ReadBits => {
            holds(count.div_ceil(8) * 8)?;
            let Some(Value::List(list)) = reply.member("values") else { return Ok(()) };
            match list.iter().skip(count).all(|bit| *bit == Value::Int(0)) {
                true => Ok(()),
                false => Err(mismatch(format!("bits beyond the {count} asked for are set"))),
            }
        }
        Function::ReadRegisters | Function::ReadWrite => holds(count),
        _ => compared(function).iter().try_for_each(|path| same(path)),
    }
}

fn integer(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_what_its_reply_is_compared_with_and_no_more() {
        let kept = |codes: &[u8]| {
            let places = keeps(codes.iter().map(|code| Function::of(*code)));
            places.iter().map(Pointer::to_string).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[1, 2, 3, 4, 23]), ["/unit", "/fc", "/count"]);
        assert_eq!(kept(&[6, 16]), ["/unit", "/fc", "/addr", "/values/0", "/count"]);
        assert_eq!(kept(&[22]), ["/unit", "/fc", "/addr", "/and_mask", "/or_mask"]);
        assert_eq!(kept(&[43]), ["/unit", "/fc"]);
    }
}
