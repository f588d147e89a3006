//! A command as `{ cmd, sub, args, keys, channels }`, a reply as `{ kind, value, .. }`, and a command
//! written anew.
//!
//! Arguments, keys and strings are bytes, whatever they hold; only names are text. A member is there
//! for all calls of a command or for none, so that a policy can rely on it.

use super::commands::{self, Positions};
use super::frame::{Element, Elements, parsed};
use super::keys;
use super::subscriptions::is_subscribing;
use crate::audit::shown;
use crate::contract::Side;
use crate::contract::decode::WireLimits;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;
use std::sync::Arc;

/// How one side's frames are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RespDecode {
    side: Side,
    /// Where the keys are of commands that the contract knows and this build does not.
    declared: Arc<[(Box<str>, Positions)]>,
}

impl RespDecode {
    pub(crate) fn new(side: Side, declared: Vec<(Box<str>, Positions)>) -> Self {
        Self { side, declared: declared.into() }
    }

    /// Whether the frames are commands, which have one spelling.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    pub(crate) fn is_command(&self) -> bool {
        self.side == Side::Client
    }

    pub(crate) fn read<'a>(
        &self,
        frame: &'a [u8],
        limits: &WireLimits,
    ) -> Result<Value<'a>, Violation> {
        match self.side {
            Side::Client => self.command(frame),
            Side::Server => reply(frame, limits),
        }
    }

    /// A command written anew: its name in upper case, its arguments as they came. Replies pass as
    /// they are.
    pub(crate) fn write(&self, tree: &Value<'_>) -> Option<Vec<u8>> {
        let (Value::Text(name), Value::List(args)) = (tree.member("cmd")?, tree.member("args")?)
        else {
            return None;
        };
        let mut out = format!("*{}\r\n", args.len() + 1).into_bytes();
        bulk(name.as_bytes(), &mut out);
        for arg in args {
            let Value::Bytes(bytes) = arg else { return None };
            bulk(bytes, &mut out);
        }
        Some(out)
    }

    fn command<'a>(&self, frame: &'a [u8]) -> Result<Value<'a>, Violation> {
        let mut elements = Elements::new(Side::Client, frame);
        let count = elements.next()?.holds;
        let mut words: Vec<&[u8]> = Vec::with_capacity(count);
        for _ in 0..count {
            words.push(elements.next()?.content.unwrap_or_default());
        }
        elements.end()?;
        let name = word(words.first().copied().unwrap_or_default())?;
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(5);
        let known = commands::find(&name);
        if let Some(known) = known {
            known.check_arity(words.len())?;
        }
        if commands::CONTAINERS.contains(&&*name)
            && let Some(sub) = words.get(1)
        {
            let sub = word(sub)?;
            if commands::ALWAYS_REFUSED_SUBS.contains(&(&*name, &*sub)) {
                let sentence = format!("`{name} {sub}` changes what replies mean");
                return Err(Violation::new(Reason::Undeclared, sentence));
            }
            members.push(("sub".into(), Value::Text(sub)));
        }
        if name == "HELLO" && words.get(1).is_some_and(|version| !matches!(*version, b"2" | b"3")) {
            let sentence = "`HELLO` asks for a protocol that is neither 2 nor 3";
            return Err(Violation::at(Reason::Enum, "/args/0", sentence));
        }
        let declared = || self.declared.iter().find(|(of, _)| **of == *name);
        let keys = match known {
            Some(known) => keys::of(known.keys, &words)?,
            None => declared().map(|(_, at)| at.of(&words)),
        };
        let list = |of: &[&'a [u8]]| {
            Value::List(of.iter().map(|bytes| Value::Bytes(Cow::Borrowed(*bytes))).collect())
        };
        if let Some(keys) = keys {
            members.push(("keys".into(), list(&keys)));
        }
        let channels = match &*name {
            publishes if commands::PUBLISHING.contains(&publishes) => words.get(1..2),
            subscribes if is_subscribing(subscribes) => words.get(1..),
            _ => None,
        };
        if let Some(channels) = channels {
            members.push(("channels".into(), list(channels)));
        }
        members.push(("args".into(), list(words.get(1..).unwrap_or_default())));
        members.insert(0, ("cmd".into(), Value::Text(name)));
        Ok(Value::Map(members))
    }
}

/// A name in upper case; what is none is no command that anybody declared.
fn word(bytes: &[u8]) -> Result<Cow<'_, str>, Violation> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match std::str::from_utf8(bytes) {
        Ok(text) if (1..=64).contains(&text.len()) && bytes.iter().all(plain) => {
            if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
                Ok(Cow::Owned(text.to_ascii_uppercase()))
            } else {
                Ok(Cow::Borrowed(text))
            }
        }
        _ => {
            let sentence = format!("`{}` is no name of a command", shown(bytes));
            Err(Violation::at(Reason::Undeclared, "/cmd", sentence))
        }
    }
}

fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// What is due of a reply.
struct Budget {
    nodes: usize,
    depth: usize,
}

fn reply<'a>(frame: &'a [u8], limits: &WireLimits) -> Result<Value<'a>, Violation> {
    let mut elements = Elements::new(Side::Server, frame);
    let mut budget = Budget { nodes: limits.nodes, depth: limits.depth };
    let element = value_or_attribute(&mut elements, &mut budget)?;
    let (kind, content) = (element.kind, element.content.unwrap_or_default());
    let value = value(&element, &mut elements, &mut budget)?;
    elements.end()?;
    let mut members = vec![("kind".into(), Value::Text(name(kind).into()))];
    if matches!(kind, b'-' | b'!')
        && let Some(code) = content.split(|byte| *byte == b' ').next()
        && let Ok(code) = word(code)
    {
        members.push(("code".into(), Value::Text(code)));
    }
    if kind == b'>' {
        members.push(("event".into(), Value::Text(event(&value))));
    }
    members.push(("value".into(), value));
    Ok(Value::Map(members))
}

/// What a push says that it is.
fn event<'a>(value: &Value<'a>) -> Cow<'a, str> {
    match value {
        Value::List(list) => match list.first() {
            Some(Value::Bytes(name)) => Cow::Owned(String::from_utf8_lossy(name).into_owned()),
            _ => "".into(),
        },
        _ => "".into(),
    }
}

/// The next value, past the attributes before it, which only comment on it.
fn value_or_attribute<'a>(
    elements: &mut Elements<'a>,
    budget: &mut Budget,
) -> Result<Element<'a>, Violation> {
    loop {
        budget.nodes = budget.nodes.checked_sub(1).ok_or_else(|| {
            Violation::new(Reason::LengthRange, "the reply has more values than the limit")
        })?;
        let element = elements.next()?;
        if element.kind != b'|' {
            return Ok(element);
        }
        held(element.holds, elements, budget)?;
    }
}

fn value<'a>(
    element: &Element<'a>,
    elements: &mut Elements<'a>,
    budget: &mut Budget,
) -> Result<Value<'a>, Violation> {
    let Some(content) = element.content else {
        return held(element.holds, elements, budget).map(Value::List);
    };
    Ok(match element.kind {
        b'_' => Value::Null,
        b'#' => Value::Bool(content == b"t"),
        b':' => parsed(content).map_or(Value::Null, Value::Int),
        b'=' => match content.split_at_checked(4) {
            Some(([.., b':'], text)) => Value::Bytes(Cow::Borrowed(text)),
            _ => {
                let sentence = "a verbatim string does not say its format in three letters";
                return Err(Violation::new(Reason::LengthForm, sentence));
            }
        },
        _ => Value::Bytes(Cow::Borrowed(content)),
    })
}

/// The values inside another; a map's keys and values alternate.
fn held<'a>(
    count: usize,
    elements: &mut Elements<'a>,
    budget: &mut Budget,
) -> Result<Vec<Value<'a>>, Violation> {
    budget.depth = budget.depth.checked_sub(1).ok_or_else(|| {
        Violation::new(Reason::LengthRange, "the reply is nested deeper than the limit")
    })?;
    let mut values = Vec::with_capacity(count.min(budget.nodes));
    for _ in 0..count {
        let element = value_or_attribute(elements, budget)?;
        if element.kind == b'>' {
            // Who listens would hear it, wherever it stands.
            let sentence = "a push stands inside of another value";
            return Err(Violation::new(Reason::LengthForm, sentence));
        }
        values.push(value(&element, elements, budget)?);
    }
    budget.depth += 1;
    Ok(values)
}

/// A type's name in `kind`.
fn name(kind: u8) -> &'static str {
    match kind {
        b'+' => "simple",
        b'-' | b'!' => "error",
        b':' => "integer",
        b'$' => "bulk",
        b'_' => "null",
        b'#' => "boolean",
        b',' => "double",
        b'(' => "big",
        b'=' => "verbatim",
        b'%' => "map",
        b'~' => "set",
        b'>' => "push",
        _ => "array",
    }
}
