//! `resp`: Redis and Valkey (`contracts.md` section 25.3).
//!
//! A command is known by its name, and where its keys are is known with it, so that a policy can be
//! asked for each key. A command of which that is not known cannot be declared without saying it.

pub(crate) mod commands;
pub(crate) mod decode;
pub(crate) mod frame;
mod keys;
pub(crate) mod subscriptions;
#[cfg(test)]
mod tests;

use super::{Known, answer_the_rest};
use crate::contract::decode::WireLimits;
use crate::contract::pattern::RuleError;
use crate::contract::reject::{Form, Reject, Reply, Then};
use crate::contract::value::{Pointer, Value};
use crate::contract::{ContractLimits, MessageRule, Role, Side};
use crate::policy::schema::AttributeKind;
use crate::rejection::Class;
use commands::{Keys, Positions};
use frame::RespFrame;
use subscriptions::{EVENTS, Kind, SUBSCRIBING, is_subscribing};

/// Most bytes of a refusal's text.
const LONGEST_ERROR: usize = 200;

/// The codec, with the sizes that its frames hold to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resp {
    args: usize,
    string: usize,
    nodes: usize,
}

impl Resp {
    /// Most arguments that a contract may allow; as many as servers take.
    pub(crate) const MOST_ARGS: usize = 1 << 20;
    /// Arguments of a command where the contract gives no number.
    pub(crate) const DEFAULT_ARGS: usize = 1024;

    /// A codec for commands of so many words.
    pub(crate) fn new(args: usize) -> Self {
        let wire = WireLimits::default();
        Self { args, string: wire.string, nodes: wire.nodes }
    }

    /// The same within a contract's limits.
    pub(super) fn within(self, limits: &ContractLimits) -> Self {
        Self { string: limits.wire.string, nodes: limits.wire.nodes, ..self }
    }

    pub(super) fn frame(&self, side: Side) -> RespFrame {
        RespFrame { side, args: self.args, string: self.string, nodes: self.nodes }
    }

    pub(in crate::contract) fn args(&self) -> usize {
        self.args
    }

    /// Two megabytes for either side, one for a string, and pipelines of a thousand commands.
    pub(super) fn limits(&self) -> ContractLimits {
        let mut limits = ContractLimits { server_message: 2 << 20, ..ContractLimits::default() };
        limits.wire.message = 2 << 20;
        limits.wire.string = 1 << 20;
        limits.in_flight = 1024;
        limits
    }

    /// Whether some of these messages begin a transaction.
    pub(super) fn has_transactions(requests: &[&MessageRule]) -> bool {
        requests.iter().any(|message| names(message).any(|name| name == "MULTI"))
    }

    /// A denial as clients know it, a general error for the rest. Within a transaction a command
    /// that is left out would not stop the others, so where there are some a refusal closes.
    pub(super) fn rejects(&self, requests: &[&MessageRule]) -> Vec<(Class, Reject)> {
        let then = if Self::has_transactions(requests) { Then::Close } else { Then::Continue };
        let error = |text: &str| Reject {
            reply: Some(Reply::Codec(Form::Error(text.into()))),
            then,
            ..Reject::CLOSE
        };
        vec![
            (Class::Denied, error("NOPERM not allowed")),
            (Class::Invalid, error("ERR not accepted")),
            (Class::Undeclared, error("ERR not accepted")),
        ]
    }

    /// What all calls of these commands have, or all replies.
    pub(crate) fn fields(side: Side, matches: &[Value<'_>]) -> Vec<Known> {
        let text = || Some(AttributeKind::String);
        let list = || Some(AttributeKind::Set(Box::new(AttributeKind::String)));
        // Of the server's messages only pushes have a `match`.
        if side == Side::Server && !matches.is_empty() {
            let mut fields = vec![("event", text()), ("channel", text()), ("payload", None)];
            if matches.iter().all(|event| event.as_text() == Some("pmessage")) {
                fields.push(("pattern", text()));
            }
            return fields;
        }
        if side == Side::Server {
            return vec![("kind", text()), ("code", text()), ("value", None)];
        }
        let all = |holds: fn(&str) -> bool| {
            !matches.is_empty() && matches.iter().filter_map(Value::as_text).all(holds)
        };
        let mut fields = vec![("cmd", text()), ("args", None)];
        if all(|name| commands::CONTAINERS.contains(&name)) {
            fields.push(("sub", text()));
        }
        // Of a command that is not known the contract says where its keys are.
        if all(|name| commands::find(name).is_none_or(|command| command.keys != Keys::None)) {
            fields.push(("keys", list()));
        }
        if all(|name| commands::PUBLISHING.contains(&name) || is_subscribing(name)) {
            fields.push(("channels", list()));
        }
        fields
    }

    pub(super) fn lint(&self, side: Side, message: &MessageRule) -> Vec<RuleError> {
        let mut errors = Vec::new();
        if side == Side::Server {
            return lint_of_server(message);
        }
        let Some(request) = message.request() else {
            return errors;
        };
        let name = &message.name;
        let mut fault = |text: String, hint: &str| {
            errors.push(RuleError::new("K-80", text).hint(hint));
        };
        let upper = |value: &Value<'_>| {
            value.as_text().is_some_and(|text| !text.bytes().any(|b| b.is_ascii_lowercase()))
        };
        if message.matches.is_empty() || !message.matches.iter().all(upper) {
            let text = format!("`{name}` does not say which commands it is");
            fault(text, "`match = [\"GET\", \"MGET\"]`, in upper case");
        }
        if !request.expects {
            fault(
                format!("`{name}` expects no reply, but every command has one"),
                "leave `expects` out",
            );
        }
        for command in names(message) {
            if commands::ALWAYS_REFUSED.contains(&command) {
                let text =
                    format!("`{command}` changes what replies mean, so it cannot be declared");
                fault(text, "leave it out");
            }
            if is_subscribing(command) && request.many {
                let text = format!("how many answers `{command}` has is known");
                fault(text, "leave `expects` out");
            }
            if commands::HAZARDS.contains(&command) && message.hazard.is_none() {
                let text = format!("`{command}` reaches beyond the keys that it names");
                fault(text, "`hazard` says why it is needed");
            }
            for (_, sub) in commands::HAZARD_SUBS.iter().filter(|(of, _)| *of == command) {
                if message.hazard.is_none() && listed_subs(message).any(|listed| listed == *sub) {
                    let text = format!("`{command} {sub}` reaches other connections");
                    fault(text, "`hazard` says why it is needed");
                }
            }
            if commands::BLOCKING.contains(&command) && request.reply_timeout.is_none() {
                let text = format!("`{command}` may wait, and the message does not say how long");
                fault(text, "`reply_timeout = \"60s\"`");
            }
            if commands::CONTAINERS.contains(&command) && !narrows_sub(message) {
                let text = format!("`{name}` does not say which subcommands of `{command}` it is");
                fault(text, "`fields.sub = { enum = [\"ID\", \"SETNAME\"] }`, in upper case");
            }
        }
        errors
    }

    /// K-80 for what a message says about its keys; gives what the decoder is to know.
    pub(crate) fn declared_keys(
        &self,
        message: &MessageRule,
        positions: Option<Positions>,
    ) -> Result<Vec<(Box<str>, Positions)>, RuleError> {
        let Some(positions) = positions else {
            return match names(message).find(|name| !is_known(name)) {
                Some(name) => {
                    let text = format!("where the keys of `{name}` are is not known");
                    let hint = "`keys = { first = 1, last = 1, step = 1 }`";
                    Err(RuleError::new("K-80", text).hint(hint))
                }
                None => Ok(Vec::new()),
            };
        };
        match names(message).find(|name| is_known(name)) {
            Some(name) => {
                let text = format!("where the keys of `{name}` are is known already");
                Err(RuleError::new("K-80", text).hint("leave `keys` out"))
            }
            None => Ok(names(message).map(|name| (name.into(), positions)).collect()),
        }
    }

    /// What is pushed answers nobody, and is told by its event.
    pub(super) fn complete(&self, requests: &[&MessageRule], replies: &mut Vec<MessageRule>) {
        answer_the_rest(requests, replies);
        for reply in replies.iter_mut().filter(|reply| !matches!(reply.role, Role::Push(_))) {
            reply.lacks.push(Pointer::name("event"));
        }
    }

    /// What is kept of open requests: where the client subscribes, which command it was.
    pub(super) fn keeps(requests: &[MessageRule]) -> Vec<Pointer> {
        let subscribes = requests.iter().any(|m| subscriptions::commands(m).next().is_some());
        subscribes.then(|| Pointer::name("cmd")).into_iter().collect()
    }

    /// K-80 across messages: what is subscribed to is pushed, what is pushed is subscribed to, and
    /// neither within a transaction. Each error is told at a message, by its name.
    pub(crate) fn lint_subscriptions(
        requests: &[MessageRule],
        replies: &[MessageRule],
    ) -> Vec<(Side, String, RuleError)> {
        let mut errors = Vec::new();
        let pushes = |event: &str| {
            let mut pushes = replies.iter().filter(|reply| matches!(reply.role, Role::Push(_)));
            pushes.find(|push| names(push).any(|name| name == event))
        };
        let adds = |kind: Kind| {
            let listens = move |name: &str| {
                SUBSCRIBING.iter().any(|(of, _, its, adds)| *of == name && *its == kind && *adds)
            };
            requests
                .iter()
                .find_map(|m| Some((m, subscriptions::commands(m).find(|n| listens(n))?)))
        };
        for (event, kind) in EVENTS {
            match (adds(kind), pushes(event)) {
                (Some((message, command)), None) => {
                    let text =
                        format!("`{command}` leads to `{event}`, which the server may not push");
                    let hint = format!(
                        "a `[[server.message]]` with `match = [\"{event}\"]`, `pushes = true`"
                    );
                    let error = RuleError::new("K-80", text).hint(hint);
                    errors.push((Side::Client, message.name.clone(), error));
                }
                (None, Some(push)) => {
                    let text =
                        format!("`{}` is pushed to nobody: no message subscribes", push.name);
                    errors.push((Side::Server, push.name.clone(), RuleError::new("K-80", text)));
                }
                _ => {}
            }
        }
        let all: Vec<&MessageRule> = requests.iter().collect();
        if let Some(message) = requests.iter().find(|m| subscriptions::commands(m).next().is_some())
            && Self::has_transactions(&all)
        {
            let text = "within a transaction the answers to a subscription cannot be counted";
            let error = RuleError::new("K-80", text).hint("leave `MULTI` or the subscriptions out");
            errors.push((Side::Client, message.name.clone(), error));
        }
        errors
    }

    /// The places of a command's passwords.
    pub(super) fn secrets(&self, message: &MessageRule) -> Vec<Pointer> {
        let secret = names(message).any(|name| commands::SECRET.contains(&name));
        secret.then(|| Pointer::name("args")).into_iter().collect()
    }

    pub(super) fn parse_reply(&self, class: Class, form: &str) -> Result<Form, RuleError> {
        let hint = "`error:NOPERM not allowed`: a word in upper case, then text";
        let Some(text) = form.strip_prefix("error:") else {
            let text = format!("`{form}` is no answer of Redis");
            return Err(RuleError::new("K-74", text).hint(hint));
        };
        let word = text.split(' ').next().unwrap_or_default();
        let good = text.len() <= LONGEST_ERROR
            && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
            && !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !good {
            let text = format!("`{text}` is no error that clients can read");
            return Err(RuleError::new("K-74", text).hint(hint));
        }
        match class {
            Class::Frame => {
                let text = "after a bad frame nobody knows what an error would answer";
                Err(RuleError::new("K-74", text).hint("leave `reply` out"))
            }
            _ => Ok(Form::Error(text.into())),
        }
    }
}

/// A refusal as Redis says it.
pub(super) fn error(text: &str) -> Vec<u8> {
    format!("-{text}\r\n").into_bytes()
}

fn names(message: &MessageRule) -> impl Iterator<Item = &str> {
    message.matches.iter().filter_map(Value::as_text)
}

/// K-80 for a server's message: a push is what comes in on a subscription, an answer has no tag.
fn lint_of_server(message: &MessageRule) -> Vec<RuleError> {
    let name = &message.name;
    let known = |value: &Value<'_>| {
        value.as_text().is_some_and(|text| EVENTS.iter().any(|(event, _)| *event == text))
    };
    let fault = |text: String, hint: &str| vec![RuleError::new("K-80", text).hint(hint)];
    match message.role {
        Role::Push(_) if message.matches.is_empty() || !message.matches.iter().all(known) => fault(
            format!("`{name}` does not say what comes in on a subscription"),
            "`match = [\"message\"]`, or `pmessage`, `smessage`",
        ),
        Role::Reply(_) if !message.matches.is_empty() => {
            fault(format!("`{name}` is an answer, and only pushes have a `match`"), "leave it out")
        }
        _ => Vec::new(),
    }
}

/// Whether the table, or one of the lists of what is refused, has the command.
fn is_known(name: &str) -> bool {
    commands::find(name).is_some() || commands::ALWAYS_REFUSED.contains(&name)
}

/// The subcommands that a message lists.
fn listed_subs(message: &MessageRule) -> impl Iterator<Item = &str> {
    let of_sub = message.fields.iter().filter(|(at, ..)| at.top() == Some("sub"));
    let listed = of_sub.flat_map(|(_, _, rule)| rule.one_of.iter().flatten().chain(&rule.constant));
    listed.filter_map(Value::as_text)
}

fn narrows_sub(message: &MessageRule) -> bool {
    let upper = |value: &Value<'_>| {
        let refused = |sub: &str| {
            let of = |name| commands::ALWAYS_REFUSED_SUBS.contains(&(name, sub));
            names(message).any(of)
        };
        value
            .as_text()
            .is_some_and(|sub| !sub.bytes().any(|b| b.is_ascii_lowercase()) && !refused(sub))
    };
    message.fields.iter().any(|(at, _, rule)| {
        let listed =
            rule.one_of.as_deref().or_else(|| rule.constant.as_ref().map(std::slice::from_ref));
        at.top() == Some("sub") && listed.is_some_and(|listed| listed.iter().all(upper))
    })
}
