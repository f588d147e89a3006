//! `ForeignTrust`: a foreign authority as it is given; `InForce`: all that handshakes are judged by
//! at one moment.

use super::{Rule, State, Tolerate, TrustError, TrustState};
use crate::tls::verify::Mapping;
use segwan_core::identity::Identity;
use std::sync::Arc;

/// An authority that is not ours: whom it vouches for is known by `mapping`, below names of its own,
/// and by nothing else.
#[derive(Debug, Clone)]
pub struct ForeignTrust {
    /// The names that its certificates have here.
    pub mapping: Mapping,
    /// What its certificates are let off; nobody else's.
    pub tolerate: Tolerate,
    /// Its roots and lists.
    pub state: TrustState,
}

/// One foreign authority with its roots read.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    mapping: Arc<Mapping>,
    tolerate: Tolerate,
    pub(crate) state: Arc<State>,
}

impl Foreign {
    pub(crate) fn rule(&self) -> Rule {
        Rule::Mapped(self.mapping.clone(), self.tolerate)
    }
}

/// The own state, and one of each foreign authority.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) own: Arc<State>,
    pub(crate) foreign: Vec<Foreign>,
}

impl InForce {
    /// The same with this authority, in its old place if it had one.
    pub(super) fn believing(&self, trust: ForeignTrust, now: i64) -> Result<Self, TrustError> {
        let ForeignTrust { mapping, tolerate, state } = trust;
        let known = self.foreign.iter().position(|it| it.mapping.realm() == mapping.realm());
        let state = match known.and_then(|at| self.foreign.get(at)) {
            Some(before) => State::after(&before.state, state, now)?,
            None => State::new(state)?.under(&self.own),
        };
        for other in self.foreign.iter().filter(|it| it.mapping.realm() != mapping.realm()) {
            if let Some(at) = state.root_of(&other.state) {
                let name = other.mapping.realm().name().to_owned();
                return Err(TrustError::Shared(at + 1, name));
            }
        }
        let next = Foreign { mapping: Arc::new(mapping), tolerate, state: Arc::new(state) };
        let mut foreign = self.foreign.clone();
        match known.and_then(|at| foreign.get_mut(at)) {
            Some(place) => *place = next,
            None => foreign.push(next),
        }
        Ok(Self { own: self.own.clone(), foreign })
    }

    /// The state by which a peer of this identity was believed: that of the foreign authority whose
    /// name it is, or the own one.
    pub(super) fn state_of(&self, rule: &Rule, identity: &Identity) -> Option<&State> {
        if !matches!(rule, Rule::Authority(_)) || !identity.is_foreign() {
            return Some(&self.own);
        }
        let of = |it: &&Foreign| it.mapping.realm().holds(identity);
        self.foreign.iter().find(of).map(|it| &*it.state)
    }
}
