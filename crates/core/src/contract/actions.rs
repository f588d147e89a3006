//! What the messages of a contract ask of a policy, and what it is shown.

use super::state;
use super::{Asking, Contract, MessageRule};
use crate::policy::schema::{ActionShape, Attribute};

impl Contract {
    /// The actions that its messages ask for, as a policy sees them. Messages of one action share
    /// what all of them have; what only some have is optional (`contracts.md` section 15.5).
    #[must_use]
    pub fn actions(&self) -> Vec<ActionShape> {
        let mut actions: Vec<ActionShape> = Vec::new();
        for Asking { action, shape, .. } in self.messages().filter_map(MessageRule::asking) {
            match actions.iter_mut().find(|known| known.name == *action) {
                None => actions.push(shape.clone()),
                Some(known) => merge(known, shape),
            }
        }
        actions
    }

    /// What a connection may remember, as a policy sees it.
    pub(crate) fn remembered(&self) -> Vec<Attribute> {
        state::remembered(self.messages())
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &MessageRule> {
        self.client.messages.iter().chain(&self.server.messages)
    }
}

/// Adds to an action what another message of it shows.
fn merge(known: &mut ActionShape, other: &ActionShape) {
    for attribute in &mut known.context {
        attribute.optional |=
            !other.context.iter().any(|o| o.name == attribute.name && !o.optional);
    }
    for attribute in &other.context {
        if !known.context.iter().any(|k| k.name == attribute.name) {
            known.context.push(Attribute { optional: true, ..attribute.clone() });
        }
    }
}
