//! `States`: the order in which messages may come, one machine for both directions.

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
