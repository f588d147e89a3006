//! `rules` of messages as written: K-40, and what of each request its replies need.

use super::direction::Draft;
use crate::contract::codec::Codec;
use crate::contract::pattern::RuleError;
use crate::contract::rule::{self, Place, Root, Rule, RuleFault, Type, Types};
use crate::contract::state::Remember;
use crate::contract::value::Pointer;
use crate::contract::{Contract, Direction, MessageRule, Role, Side};
use crate::document::{Placed, Table};

/// Reads the rules of all messages, once every type that they may name is known.
pub(super) fn rules(
    top: &Table<'_, '_>,
    codec: Option<&Codec>,
    client: &mut Draft,
    server: &mut Draft,
    limits: &crate::contract::ContractLimits,
) {
    let view = View { session: session(&client.rule, &server.rule), limits };
    let none: &[MessageRule] = &[];
    let own = view.direction(top, Side::Client, &client.rule, (&client.rule, none));
    let replies = (&client.rule, client.rule.messages.as_slice());
    let other = view.direction(top, Side::Server, &server.rule, replies);
    for (at, rules) in own {
        if let Some(message) = client.rule.messages.get_mut(at) {
            message.rules = rules;
        }
    }
    if let Some(codec) = codec {
        let bounds = view.bounds(top, codec, client);
        for (message, rules) in client.rule.messages.iter_mut().zip(bounds) {
            message.rules.extend(rules);
        }
    }
    for (at, rules) in other {
        if let Some(message) = server.rule.messages.get_mut(at) {
            keep(&mut client.rule, message, &rules);
            message.rules = rules;
        }
    }
}

/// What a reply is compared with is kept of the requests that it answers.
fn keep(client: &mut Direction, reply: &MessageRule, rules: &[Rule]) {
    let Role::Reply(answers) = &reply.role else { return };
    let read = rules.iter().flat_map(Rule::places).filter(|place| place.root == Root::Request);
    let read: Vec<&Pointer> = read.map(|Place { pointer, .. }| pointer).collect();
    for message in client.messages.iter_mut().filter(|m| answers.contains(&m.name)) {
        let Role::Request(request) = &mut message.role else { continue };
        let mut all = request.keeps.to_vec();
        for pointer in &read {
            if !all.contains(pointer) {
                all.push((*pointer).clone());
            }
        }
        request.keeps = all.into();
    }
}

/// Everything that some message leaves behind, by its name.
fn session(client: &Direction, server: &Direction) -> Type {
    let mut members: Vec<rule::Member> = Vec::new();
    for direction in [client, server] {
        for message in &direction.messages {
            if message.remember.is_empty() {
                continue;
            }
            let whole = Type::of_message(direction, message);
            for Remember { name, at, .. } in &message.remember {
                let Some(found) = whole.at(at) else { continue };
                let (kind, secret) = (found.kind.clone(), found.secret);
                match members.iter_mut().find(|known| *known.name == **name) {
                    None => members.push(rule::Member { name: name.as_str().into(), kind, secret }),
                    Some(known) if known.kind == kind => {}
                    Some(known) => known.kind = Type::Other("of several types"),
                }
            }
        }
    }
    Type::Map(members)
}

struct View<'v> {
    session: Type,
    limits: &'v crate::contract::ContractLimits,
}

impl View<'_> {
    /// The rules of a direction, by the place of their message.
    fn direction(
        &self,
        top: &Table<'_, '_>,
        side: Side,
        direction: &Direction,
        (asking, requests): (&Direction, &[MessageRule]),
    ) -> Vec<(usize, Vec<Rule>)> {
        let Some(table) = top.table(side.as_str()) else { return Vec::new() };
        let mut all = Vec::new();
        for written in table.tables("message") {
            let Some(texts) = written.texts("rules") else { continue };
            let name = written.text("name").map_or("", |name| name.value);
            let at = direction.messages.iter().position(|message| message.name == name);
            let Some((at, message)) = at.and_then(|at| Some((at, direction.messages.get(at)?)))
            else {
                continue;
            };
            if texts.len() > rule::MOST {
                let message = format!("`{name}` has {} rules; at most {}", texts.len(), rule::MOST);
                written.error("K-40", written.key_span("rules"), message);
                continue;
            }
            let is_read = |name: &String| requests.iter().any(|request| request.name == *name);
            if let Role::Reply(names) = &message.role
                && !names.iter().all(is_read)
            {
                // A request that could not be read, or is not there, was told already.
                continue;
            }
            let this = Type::of_message(direction, message);
            let answered: Vec<(&str, Type)> = match &message.role {
                Role::Reply(names) => requests
                    .iter()
                    .filter(|request| names.contains(&request.name))
                    .map(|request| (request.name.as_str(), Type::of_message(asking, request)))
                    .collect(),
                _ => Vec::new(),
            };
            let made = texts.iter().enumerate().filter_map(|(number, text)| {
                let compiled = self.compile(side, direction, (name, &this), &answered, text.value);
                compiled.map_err(|fault| fail(&written, number + 1, text, fault)).ok()
            });
            all.push((at, made.collect()));
        }
        all
    }

    /// What the codec holds each request to, in the order of the messages.
    fn bounds(&self, top: &Table<'_, '_>, codec: &Codec, client: &Draft) -> Vec<Vec<Rule>> {
        let direction = &client.rule;
        let of = |(message, span): (&MessageRule, &std::ops::Range<usize>)| {
            let this = Type::of_message(direction, message);
            let name = message.name.as_str();
            let compile = |text: String| {
                let made = self.compile(Side::Client, direction, (name, &this), &[], &text);
                let fail = |fault: RuleFault| {
                    let why = fault.error.message;
                    let text = format!("`{name}` cannot be held to its addresses: {why}");
                    let hint = "one range: `int = [100, 199]`";
                    super::rule_error(top, span.clone(), RuleError::new("K-80", text).hint(hint));
                };
                made.map_err(fail).ok()
            };
            codec.bounds(message).into_iter().filter_map(compile).collect()
        };
        direction.messages.iter().zip(&client.spans).map(of).collect()
    }

    /// A rule, held to each request that its message may answer.
    fn compile(
        &self,
        side: Side,
        direction: &Direction,
        (message, this): (&str, &Type),
        answered: &[(&str, Type)],
        text: &str,
    ) -> Result<Rule, RuleFault> {
        let wire = Contract::wire_of(self.limits, side);
        let types = Types {
            message,
            this,
            request: None,
            session: &self.session,
            ascii: direction.is_ascii(),
            nodes: wire.nodes.min(wire.message),
            string: wire.string.min(wire.message),
        };
        let mut compiled = None;
        for (name, request) in answered {
            let types = Types { request: Some((name, request)), ..types };
            compiled = Some(Rule::compile(text, &types)?);
        }
        compiled.map_or_else(|| Rule::compile(text, &types), Ok)
    }
}

/// The error, at its place inside the text.
fn fail(table: &Table<'_, '_>, number: usize, text: &Placed<&str>, fault: RuleFault) {
    let at = table.document().inside(&text.span, fault.at);
    let error = fault.error;
    let message = format!("rule {number}: {}", error.message);
    super::rule_error(table, at..at, RuleError { message, ..error });
}

#[cfg(test)]
mod tests;
