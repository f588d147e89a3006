//! `state`, `initial_state` as written, with K-50 to K-52.

use super::direction::Draft;
use crate::contract::state::{StateRule, States};
use crate::contract::{MessageRule, Role, Side};
use crate::document::{Placed, Table};
use crate::finding::nearest;
use std::cell::RefCell;
use std::ops::Range;

/// The names of states, in the order in which they are met; the initial one stands first.
pub(super) struct Names {
    all: RefCell<Vec<String>>,
    given: Option<Range<usize>>,
}

impl Names {
    /// Begins with `initial_state`, or `new`.
    pub(super) fn new(top: &Table<'_, '_>) -> Self {
        let given = top.text("initial_state");
        if let Some(name) = &given {
            word(top, name);
        }
        let initial = given.as_ref().map_or("new", |name| name.value).to_owned();
        Self { all: RefCell::new(vec![initial]), given: given.map(|name| name.span) }
    }

    /// The `state` of a message.
    pub(super) fn rule(&self, message: &Table<'_, '_>) -> Option<StateRule> {
        let table = message.table("state")?;
        let from = table.texts("from");
        let to = table.text("to").filter(|name| word(&table, name));
        table.finish();
        let Some(from) = from.filter(|from| !from.is_empty()) else {
            table.missing(
                "K-50",
                "from",
                "`from = [\"new\"]`, or `from = [\"*\"]` for every state",
            );
            return None;
        };
        let any = from.iter().any(|name| name.value == "*");
        let from = from.iter().filter(|name| name.value != "*" && word(&table, name));
        let from: Vec<usize> = from.map(|name| self.place(name.value)).collect();
        if any && !from.is_empty() {
            table.error("K-50", table.key_span("from"), "`*` is every state, so no other is named");
        }
        let to = to.map(|name| self.place(name.value));
        Some(StateRule { from: (!any).then_some(from), to })
    }

    /// The rule of a message that may be said in one state, and stays there.
    pub(super) fn only_in(&self, name: &str) -> StateRule {
        StateRule { from: Some(vec![self.place(name)]), to: None }
    }

    fn place(&self, name: &str) -> usize {
        let mut all = self.all.borrow_mut();
        all.iter().position(|known| known == name).unwrap_or_else(|| {
            all.push(name.to_owned());
            all.len() - 1
        })
    }

    /// The states of a contract, once all its messages are known.
    pub(super) fn check(self, top: &Table<'_, '_>, client: &Draft, server: &Draft) -> States {
        let machine = Machine { names: self.all.into_inner(), client, server };
        let has_states = machine.all().any(|(_, message, _)| message.state.is_some());
        setups(top, &machine, has_states);
        if !has_states {
            if let Some(at) = self.given {
                top.error("K-51", at, "there is an initial state, but no message has a `state`");
            }
            return States::default();
        }
        // When an answer may be said is said by its request.
        let unplaced = |m: &MessageRule| m.state.is_none() && !matches!(m.role, Role::Reply(_));
        for (_, message, span) in machine.all().filter(|(_, m, _)| unplaced(m)) {
            let text = format!("`{}` does not say in which state it may be said", message.name);
            let hint = "`state = { from = [\"*\"] }` for every state";
            top.error_with_hint("K-50", span.clone(), text, hint);
        }
        // A message that could not be read may be the one that leads there.
        if client.whole && server.whole {
            machine.reachable(top);
        }
        let speaks = |state| machine.legal(state).any(|(side, ..)| side == Side::Client);
        let client_speaks = (0..machine.names.len()).map(speaks).collect();
        States { names: machine.names, initial: 0, client_speaks }
    }
}

/// The states and the messages of both directions.
struct Machine<'m> {
    names: Vec<String>,
    client: &'m Draft,
    server: &'m Draft,
}

impl Machine<'_> {
    fn all(&self) -> impl Iterator<Item = (Side, &MessageRule, &Range<usize>)> {
        [(Side::Client, self.client), (Side::Server, self.server)].into_iter().flat_map(
            |(side, draft)| {
                let messages = draft.rule.messages.iter().zip(&draft.spans);
                messages.map(move |(message, span)| (side, message, span))
            },
        )
    }

    fn legal(&self, state: usize) -> impl Iterator<Item = (Side, &MessageRule, &Range<usize>)> {
        self.all()
            .filter(move |(_, message, _)| message.state.is_some() && is_legal(message, state))
    }

    /// K-51: every state is reached, and in each something may be said.
    fn reachable(&self, top: &Table<'_, '_>) {
        let mut reached = vec![0];
        let mut at = 0;
        while let Some(state) = reached.get(at).copied() {
            at += 1;
            for (_, message, _) in self.legal(state) {
                if let Some(to) = message.state.as_ref().and_then(|rule| rule.to)
                    && !reached.contains(&to)
                {
                    reached.push(to);
                }
            }
        }
        for (state, name) in self.names.iter().enumerate() {
            let names_it = |message: &MessageRule| {
                message.state.as_ref().is_some_and(|rule| {
                    rule.to == Some(state)
                        || rule.from.as_ref().is_some_and(|from| from.contains(&state))
                })
            };
            let place = self.all().find(|(_, message, _)| names_it(message));
            let place = place.map_or_else(|| top.span(), |(_, _, span)| span.clone());
            if !reached.contains(&state) {
                let others = self.names.iter().map(String::as_str).filter(|other| other != name);
                let hint = nearest(name, others).map(|near| format!("did you mean `{near}`?"));
                let text = format!("no message leads to the state `{name}`");
                top.document().find(top.document().error("K-51", place, text).hint_if(hint));
            } else if self.legal(state).next().is_none() {
                top.error("K-51", place, format!("in the state `{name}` nothing may be said"));
            }
        }
    }
}

fn is_legal(message: &MessageRule, state: usize) -> bool {
    let from = message.state.as_ref().and_then(|rule| rule.from.as_ref());
    from.is_none_or(|from| from.contains(&state))
}

/// K-52: what no policy is asked about should be said only where nothing else may be.
fn setups(top: &Table<'_, '_>, machine: &Machine<'_>, has_states: bool) {
    let is_setup = |m: &MessageRule| m.request().is_some_and(|request| request.asking.is_none());
    let client = || machine.all().filter(|(side, ..)| *side == Side::Client);
    // What a codec adds stands where the codec does, and is as the protocol has it.
    let of_codec = top.has("codec").then(|| top.key_span("codec"));
    let declared = |span: &Range<usize>| of_codec.as_ref() != Some(span);
    for (_, setup, span) in client().filter(|(_, m, at)| is_setup(m) && declared(at)) {
        let beside = (0..machine.names.len())
            .filter(|state| is_legal(setup, *state))
            .find(|state| client().any(|(_, m, _)| !is_setup(m) && is_legal(m, *state)));
        let Some(state) = beside else { continue };
        let name = machine.names.get(state).map_or("", String::as_str);
        let place = if has_states { format!(" in state `{name}`") } else { String::new() };
        let text =
            format!("`{}` asks no policy, and may be said where others may be{place}", setup.name);
        let finding = top.document().error("K-52", span.clone(), text).warning();
        top.document().find(finding.hint("give it an `action`, or a `state` of its own"));
    }
}

/// Whether a name is a state's.
fn word(table: &Table<'_, '_>, name: &Placed<&str>) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    let good = name.value.len() <= 64
        && name.value.starts_with(|c: char| c.is_ascii_lowercase())
        && name.value.bytes().all(letter);
    if !good {
        let text =
            format!("`{}` is not a state's name: small letters, digits, `_`, `-`", name.value);
        table.error("K-02", name.span.clone(), text);
    }
    good
}
