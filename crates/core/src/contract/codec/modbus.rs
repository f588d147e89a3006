//! `modbus`: Modbus/TCP and what is built on it (`contracts.md` section 25.1).
//!
//! Eight functions are read in full; every other one is opaque and needs a `hazard`. A refusal is
//! the protocol's own exception, made of the refused frame's header alone, so that nothing else
//! of it can come back.

pub(crate) mod decode;
pub(crate) mod frame;
mod range;
pub(crate) mod reply;
#[cfg(test)]
mod tests;

use super::{Known, free_name, plain_reply};
use crate::contract::pattern::RuleError;
use crate::contract::reject::{Form, Reject, Reply, Then};
use crate::contract::value::{Pointer, Value};
use crate::contract::{ContractLimits, MessageRule, Role, Side};
use crate::policy::schema::AttributeKind;
use crate::rejection::Class;
use decode::Function;
use std::time::Duration;

/// Largest frame, in bytes: 7 of header, 253 of function code and data.
pub(crate) const ADU: usize = 260;
/// Most values of one message: the coils of one read.
pub(crate) const LIST: usize = 2000;

/// The codec; Modbus has nothing to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Modbus;

impl Modbus {
    pub(super) fn limits(self) -> ContractLimits {
        let mut limits = ContractLimits { server_message: ADU, ..ContractLimits::default() };
        limits.wire.message = ADU;
        limits.reply_timeout = Duration::from_secs(5);
        limits.in_flight = 16;
        limits.refusals = 10_000;
        limits
    }

    /// What cannot be said, and what may not be, is an illegal function; a wrong value is an
    /// illegal value; too much is busy. The rest closes, as everywhere.
    pub(super) fn rejects(self) -> Vec<(Class, Reject)> {
        let exception = |code| Reject {
            reply: Some(Reply::Codec(Form::Exception(code))),
            then: Then::Continue,
            max: u32::MAX,
            ..Reject::CLOSE
        };
        vec![
            (Class::Undeclared, exception(1)),
            (Class::Denied, exception(1)),
            (Class::Invalid, exception(3)),
            (Class::Limit, exception(6)),
        ]
    }

    /// The fields that all functions of a message have.
    pub(crate) fn fields(self, side: Side, matches: &[Value<'_>]) -> Vec<Known> {
        let long = || Some(AttributeKind::Long);
        let mut fields = vec![("tid", long()), ("unit", long()), ("fc", long())];
        let of = |value: &Value<'_>| Some(decode::fields(side, Function::of(code(value)?)));
        let mut each = matches.iter().map(|value| of(value).unwrap_or_default());
        let mut common = each.next().unwrap_or_default();
        for other in each {
            common.retain(|field| other.contains(field));
        }
        fields.append(&mut common);
        fields
    }

    pub(super) fn lint(self, side: Side, message: &MessageRule) -> Vec<RuleError> {
        let mut errors = Vec::new();
        let mut fault = |text: String, hint: &str| {
            errors.push(RuleError::new("K-80", text).hint(hint));
        };
        let name = &message.name;
        let codes: Vec<u8> = message.matches.iter().filter_map(code).collect();
        if codes.len() != message.matches.len() || (side == Side::Client && codes.is_empty()) {
            let text = format!("`{name}` does not say which functions it is");
            fault(text, "`match = [3, 4]`: codes of 1 to 127");
        }
        if side == Side::Server {
            return errors;
        }
        if !narrows(message, "unit") {
            let text = format!("`{name}` does not say which units it may reach");
            fault(text, "`fields.unit = { enum = [1] }`");
        }
        let functions: Vec<Function> = codes.iter().map(|code| Function::of(*code)).collect();
        let any = |wanted: fn(Function) -> bool| functions.iter().any(|f| wanted(*f));
        if any(Function::writes) && !narrows(message, "addr") {
            let text = format!("`{name}` writes, and does not say where");
            fault(text, "`fields.addr = { int = [100, 199] }`");
        }
        if any(Function::writes_values) && !narrows(message, "values") {
            let text = format!("`{name}` writes, and does not say which values");
            fault(text, "`fields.values = { each_int = [0, 1000] }`");
        }
        if any(|f| f == Function::ReadWrite) {
            if functions.len() > 1 {
                let text = format!("`{name}` has function 23, a write within a read, with others");
                fault(text, "a message of its own for 23");
            }
            if !narrows(message, "write_addr") {
                let text = format!("`{name}` writes, and does not say where");
                fault(text, "`fields.write_addr = { int = [100, 199] }`");
            }
        }
        if any(|f| f == Function::Opaque) && range::is_placed(message) {
            let text = format!("`{name}` says where, and has functions without an address");
            fault(text, "a message of its own for them");
        }
        if any(|f| f == Function::Opaque) && message.hazard.is_none() {
            let text = format!("`{name}` has functions whose content is not read");
            fault(text, "`hazard` says why they are needed");
        }
        errors
    }

    /// The rules that hold a request to its addresses up to the last one that it touches.
    pub(super) fn bounds(self, message: &MessageRule) -> Vec<String> {
        let functions = message.matches.iter().filter_map(code).map(Function::of);
        range::bounds(message, &functions.collect::<Vec<_>>())
    }

    /// Values of a request that its reply is checked against.
    pub(super) fn keeps(request: &MessageRule) -> Vec<Pointer> {
        reply::keeps(request.matches.iter().filter_map(code).map(Function::of))
    }

    /// A reply narrows the functions that it names; the others of its request have their own reply
    /// still. An exception may always be the answer, whatever a declared reply asks of its values.
    pub(super) fn complete(self, requests: &[&MessageRule], replies: &mut Vec<MessageRule>) {
        let exception = Pointer::name("exception");
        let declared = replies.iter().any(|reply| reply.has.contains(&exception));
        let expect = || requests.iter().filter(|m| m.request().is_some_and(|r| r.expects));
        let mut unanswered = Vec::new();
        for request in expect() {
            let open = open(request, replies, &exception);
            if open.len() == request.matches.len() {
                unanswered.push(request.name.clone());
            } else if !open.is_empty() {
                let name = free_name(&format!("reply-{}", request.name), replies);
                let plain = plain_reply(&name, vec![request.name.clone()]);
                replies.push(MessageRule { matches: open, ..plain });
            }
        }
        if !unanswered.is_empty() {
            let name = free_name("reply", replies);
            replies.push(plain_reply(&name, unanswered));
        }
        for reply in replies.iter_mut().filter(|reply| !reply.has.contains(&exception)) {
            reply.lacks.push(exception.clone());
        }
        let names: Vec<String> = expect().map(|m| m.name.clone()).collect();
        if !names.is_empty() && !declared {
            let name = free_name("exception", replies);
            replies.push(MessageRule { has: vec![exception], ..plain_reply(&name, names) });
        }
    }

    pub(super) fn parse_reply(self, class: Class, form: &str) -> Result<Form, RuleError> {
        let code = form.strip_prefix("exception:").and_then(|code| code.parse().ok());
        let Some(code) = code.filter(|code| reply::EXCEPTIONS.contains(code)) else {
            let text = format!("`{form}` is no answer of Modbus");
            let hint = "`exception:1` (illegal function), `exception:2` (address), `exception:3` \
                        (value), `exception:6` (busy)";
            return Err(RuleError::new("K-74", text).hint(hint));
        };
        match class {
            Class::Frame | Class::Server => {
                let text = format!("an exception answers a request, which class `{class}` has not");
                Err(RuleError::new("K-74", text).hint("leave `reply` out"))
            }
            _ => Ok(Form::Exception(code)),
        }
    }

    /// Transaction and unit of the refused frame, its function code with the high bit, the code.
    pub(super) fn exception(self, code: u8, frame: &[u8]) -> Option<Vec<u8>> {
        let [t0, t1, 0, 0, _, _, unit, function, ..] = frame else { return None };
        Some(vec![*t0, *t1, 0, 0, 0, 3, *unit, *function | 0x80, code])
    }
}

/// The functions of a request that no declared reply is about.
fn open(
    request: &MessageRule,
    replies: &[MessageRule],
    exception: &Pointer,
) -> Vec<Value<'static>> {
    let narrows = |reply: &&MessageRule, code: &Value<'_>| {
        let answers = matches!(&reply.role, Role::Reply(names) if names.contains(&request.name));
        let of = reply.matches.is_empty() || reply.matches.iter().any(|is| is.same_scalar(code));
        answers && of && !reply.has.contains(exception)
    };
    let codes = request.matches.iter();
    codes.filter(|code| !replies.iter().any(|reply| narrows(&reply, code))).cloned().collect()
}

/// A function code that can be declared.
fn code(value: &Value<'_>) -> Option<u8> {
    match value {
        Value::Int(code) => u8::try_from(*code).ok().filter(|code| (1..=127).contains(code)),
        _ => None,
    }
}

fn narrows(message: &MessageRule, name: &str) -> bool {
    message.fields.iter().any(|(at, _, rule)| {
        let scalar = |rule: &crate::contract::field::FieldRule| {
            rule.one_of.is_some() || rule.constant.is_some() || rule.int.is_some()
        };
        let listed = name != "unit" || rule.int.is_none();
        let narrow = scalar(rule) || rule.each.as_deref().is_some_and(scalar);
        at.top() == Some(name) && listed && narrow && !rule.optional
    })
}
