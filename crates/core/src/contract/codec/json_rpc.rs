//! `json-rpc`: JSON-RPC 2.0, and the Model Context Protocol on it (`contracts.md` section 25.2).
//!
//! A contract describes what a method is given and what it gives; the envelope around that is the
//! codec's own. A refusal gives nothing back of what was refused but a valid id, and a
//! notification is never answered.

pub(crate) mod envelope;
#[cfg(test)]
mod tests;

use super::plain_reply;
use crate::contract::charset::Charset;
use crate::contract::decode::{JsonRule, Numbers, write_json};
use crate::contract::field::FieldRule;
use crate::contract::frame::{AtEof, FrameRule, Headers, Lines};
use crate::contract::pattern::RuleError;
use crate::contract::reject::{Form, Reject, Reply, Then};
use crate::contract::value::{Pointer, Value};
use crate::contract::{MessageRule, Request, Reuse, Role, Side};
use crate::rejection::Class;
use envelope::Envelope;

/// Codes of JSON-RPC 2.0 section 5.1, and two of the range that is left to servers.
const ERRORS: [(i32, &str); 7] = [
    (PARSE, "parse error"),
    (INVALID, "invalid request"),
    (-32601, "method not found"),
    (PARAMS, "invalid params"),
    (-32603, "internal error"),
    (-32001, "not allowed"),
    (-32002, "limit reached"),
];
const PARSE: i32 = -32700;
const INVALID: i32 = -32600;
const PARAMS: i32 = -32602;

/// The messages that every MCP connection has, in the words of a contract.
const MCP: &str = include_str!("json_rpc/mcp.toml");

/// The codec with what a contract chooses of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonRpc {
    /// What stands around an object.
    pub(crate) framing: Framing,
    /// What every message must have around what the contract describes.
    pub(crate) envelope: Envelope,
    /// The protocol above, where it is one that Segwan knows.
    pub(crate) profile: Option<Mcp>,
}

/// `framing`: how a stream becomes objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each on a line of its own.
    Lines,
    /// Each behind a header `Content-Length` and an empty line.
    Headers,
}

/// `profile = "mcp"`: the life cycle of the Model Context Protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mcp {
    /// The revisions that may be agreed upon, as dates.
    pub(crate) versions: Vec<String>,
}

/// The name of a method, as far as one can be declared.
pub(crate) fn is_method(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'$' | b'-');
    (1..=128).contains(&name.len()) && name.bytes().all(plain)
}

/// Numbers as RFC 7493 has them; a batch is no object, so it is refused.
pub(super) fn decode() -> JsonRule {
    JsonRule { numbers: Numbers::IJson, top_any: false, nul_allowed: false }
}

impl JsonRpc {
    /// One object a line, which ends with a line feed alone; or behind headers, as the Language
    /// Server Protocol and the Debug Adapter Protocol have it.
    pub(super) fn frame(&self) -> FrameRule {
        let at_eof = AtEof::Reject;
        match self.framing {
            Framing::Headers => FrameRule::Headers(Headers::default().read_in(Some(Charset::Utf8))),
            Framing::Lines => FrameRule::Lines(Lines {
                lf: true,
                crlf: false,
                writes_crlf: false,
                at_eof,
                skip_empty: false,
            }),
        }
    }

    /// A requestor of MCP may not use an id twice in a session.
    pub(super) fn reuse(&self) -> Reuse {
        if self.profile.is_some() { Reuse::Recent } else { Reuse::AfterReply }
    }

    /// The state of a message that names none.
    pub(super) fn usual_state(&self) -> Option<&'static str> {
        self.profile.as_ref().map(|_| "ready")
    }

    /// The messages of the profile as a contract writes them.
    pub(super) fn profile(&self) -> Option<String> {
        let versions = &self.profile.as_ref()?.versions;
        let listed: Vec<String> = versions.iter().map(|of| format!("\"{of}\"")).collect();
        Some(MCP.replace("VERSIONS", &format!("[{}]", listed.join(", "))))
    }

    /// The section's table; `frame` and `state` close, as everywhere.
    pub(super) fn rejects(&self) -> Vec<(Class, Reject)> {
        let error = |code| Reject {
            reply: Some(Reply::Codec(Form::Code(code))),
            then: Then::Continue,
            ..Reject::CLOSE
        };
        vec![
            (Class::Invalid, error(None)),
            (Class::Undeclared, error(Some(-32601))),
            (Class::Denied, error(Some(-32001))),
            (Class::Limit, error(Some(-32002))),
            (Class::Server, Reject { alert: true, ..error(Some(-32603)) }),
        ]
    }

    pub(super) fn lint(&self, message: &MessageRule) -> Vec<RuleError> {
        let name = &message.name;
        let named = |value: &Value<'_>| value.as_text().is_some_and(is_method);
        let fault = if is_answer(message) {
            (!message.matches.is_empty()).then(|| {
                let text = format!("`{name}` is an answer, which names no method");
                RuleError::new("K-80", text).hint("leave `match` out")
            })
        } else if message.matches.is_empty() || !message.matches.iter().all(named) {
            let text = format!("`{name}` does not say which methods it is");
            let hint = "`match = [\"tools/list\"]`: 1 to 128 of letters, digits and `_ . / $ -`";
            Some(RuleError::new("K-80", text).hint(hint))
        } else {
            None
        };
        fault.into_iter().collect()
    }

    /// An error may always be the answer, unless the contract says of a request what its error is.
    pub(super) fn complete(&self, requests: &[&MessageRule], replies: &mut Vec<MessageRule>) {
        let error = Pointer::name("error");
        let told = |name: &String| {
            let mut errors = replies.iter().filter(|reply| reply.has.contains(&error));
            errors.any(|reply| matches!(&reply.role, Role::Reply(of) if of.contains(name)))
        };
        let expect = requests.iter().filter(|m| m.request().is_some_and(|r| r.expects));
        let open: Vec<String> = expect.map(|m| m.name.clone()).filter(|n| !told(n)).collect();
        if !open.is_empty() {
            replies.push(MessageRule { last: true, ..error_answer(Role::Reply(open)) });
        }
    }

    /// The error by which a client may answer each of the service's questions.
    pub(super) fn answers(&self, said: &[MessageRule], asked: &[MessageRule]) -> Vec<MessageRule> {
        let error = Pointer::name("error");
        let told = |name: &String| {
            let mut errors = said.iter().filter(|answer| answer.has.contains(&error));
            errors.any(|answer| answer.request().is_some_and(|r| r.answers.contains(name)))
        };
        let questions = asked.iter().filter(|m| matches!(m.role, Role::Ask));
        let open: Vec<String> = questions.map(|m| m.name.clone()).filter(|n| !told(n)).collect();
        if open.is_empty() {
            return Vec::new();
        }
        let role = Role::Request(Box::new(Request {
            asking: None,
            expects: false,
            many: false,
            answers: open,
            keeps: [].into(),
            quota: None,
            reply_timeout: None,
            rejects: Vec::new(),
        }));
        vec![error_answer(role)]
    }

    pub(super) fn parse_reply(&self, form: &str) -> Result<Form, RuleError> {
        if form == "error" {
            return Ok(Form::Code(None));
        }
        let code = form.strip_prefix("error:").and_then(|code| code.parse().ok());
        let code = code.filter(|code| ERRORS.iter().any(|(known, _)| known == code));
        code.map(|code| Form::Code(Some(code))).ok_or_else(|| {
            let text = format!("`{form}` is no answer of JSON-RPC");
            let known: Vec<String> =
                ERRORS.iter().map(|(code, means)| format!("`error:{code}` ({means})")).collect();
            RuleError::new("K-74", text).hint(format!("`error`, {}", known.join(", ")))
        })
    }

    /// Whether a refused message is answered: not what asks nothing, nor what is itself an answer.
    /// Of the service only answers are, by what stands in for them.
    pub(super) fn is_answered(&self, side: Side, tree: &Value<'_>) -> bool {
        let has = |name| tree.member(name).is_some();
        match side {
            Side::Client if has("method") => has("id"),
            Side::Client => !has("result") && !has("error"),
            Side::Server => !has("method"),
        }
    }

    /// The error that refuses a message, with its id if that is one.
    pub(super) fn refusal(&self, code: Option<i32>, tree: Option<&Value<'_>>) -> Vec<u8> {
        let code = code.unwrap_or_else(|| match tree {
            None => PARSE,
            Some(tree) if tree.member("method").is_none() => INVALID,
            Some(tree) if self.envelope.check(tree).is_err() => INVALID,
            Some(_) => PARAMS,
        });
        let means = ERRORS.iter().find(|(known, _)| *known == code).map_or("", |(_, means)| means);
        let id = tree.and_then(|tree| tree.member("id")).filter(|id| self.envelope.ids.holds(id));
        let mut payload = br#"{"jsonrpc":"2.0","id":"#.to_vec();
        write_json(id.unwrap_or(&Value::Null), &mut payload);
        let rest = format!(",\"error\":{{\"code\":{code},\"message\":\"{means}\"}}}}");
        payload.extend_from_slice(rest.as_bytes());
        payload
    }
}

/// Whether a message is the answer of either side to the other.
fn is_answer(message: &MessageRule) -> bool {
    match &message.role {
        Role::Reply(_) => true,
        Role::Request(request) => !request.answers.is_empty(),
        Role::Push(_) | Role::Ask => false,
    }
}

/// An answer that is an error, of which the envelope says all.
fn error_answer(role: Role) -> MessageRule {
    let listed = |name| (Pointer::name(name), format!("/{name}"), FieldRule::default());
    MessageRule {
        has: vec![Pointer::name("error")],
        lacks: vec![Pointer::name("method"), Pointer::name("result")],
        fields: vec![listed("jsonrpc"), listed("id"), listed("error")],
        role,
        ..plain_reply("error", Vec::new())
    }
}
