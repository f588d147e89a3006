//! `States`: the order in which messages may come, one machine for both directions.

use super::MessageRule;
use super::value::Pointer;
use crate::policy::schema::{Attribute, AttributeKind};
use crate::rejection::{Reason, Violation};

/// The states of a contract; none where no message has a `state` (`contracts.md` section 13).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct States {
    /// Names in the order in which they are met; a state is its place here.
    pub(crate) names: Vec<String>,
    /// Where a connection begins.
    pub(crate) initial: usize,
    /// For each state, whether the client may say anything in it.
    pub(crate) client_speaks: Vec<bool>,
}

/// When a message may be said, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateRule {
    /// The states in which it may be said; none for every state.
    pub(crate) from: Option<Vec<usize>>,
    /// The state after it; none to stay.
    pub(crate) to: Option<usize>,
}

/// A value of a message that the connection keeps under a name (`contracts.md` section 13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remember {
    pub(crate) name: String,
    pub(crate) at: Pointer,
    /// Its type in a policy, if it has one.
    pub(crate) kind: Option<AttributeKind>,
}

/// What a connection may remember of these messages, as a policy sees it. Nothing is there before
/// its message came, so each is optional; what has no type in a policy is for rules and resources
/// alone (K-47).
pub(crate) fn remembered<'m>(messages: impl Iterator<Item = &'m MessageRule>) -> Vec<Attribute> {
    let mut all: Vec<Attribute> = Vec::new();
    for Remember { name, kind, .. } in messages.flat_map(|message| &message.remember) {
        let Some(kind) = kind else { continue };
        if !all.iter().any(|known| known.name == *name) {
            all.push(Attribute { name: name.clone(), kind: kind.clone(), optional: true });
        }
    }
    all
}

impl States {
    /// The state of this name.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The name of a state.
    pub(crate) fn name(&self, state: usize) -> &str {
        self.names.get(state).map_or("", String::as_str)
    }

    /// Whether the client may say anything in a state.
    pub(crate) fn client_speaks(&self, state: usize) -> bool {
        self.client_speaks.get(state).copied().unwrap_or(true)
    }

    /// Whether a message may be said in a state.
    ///
    /// # Errors
    /// `state`, with the states in which it may.
    pub(crate) fn legal(
        &self,
        rule: Option<&StateRule>,
        message: &str,
        state: usize,
    ) -> Result<(), Violation> {
        let Some(from) = rule.and_then(|rule| rule.from.as_ref()) else { return Ok(()) };
        if from.contains(&state) {
            return Ok(());
        }
        let may: Vec<_> = from.iter().map(|at| format!("`{}`", self.name(*at))).collect();
        let is = self.name(state);
        let sentence =
            format!("`{message}` may not be said in state `{is}`, only in {}", may.join(", "));
        Err(Violation::new(Reason::State, sentence))
    }
}
