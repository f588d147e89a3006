//! `Beside`: what the contract in a service's shadow slot would have made of the same.
//!
//! It is asked as it is beside a real connection: its own policy admits, and a `Shadow` judges,
//! which leads to verdicts alone. So it is told behind what decides, and decides nothing.

use super::{ACCEPTED, REFUSED, verdict};
use crate::gateway::{HIDDEN, Tried};
use segwan_core::audit::Event;
use segwan_core::contract::Side;
use segwan_core::identity::Peer;
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::ConnectionFacts;
use segwan_core::rejection::Reason;
use segwan_core::session::{Shadow, Warrant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a contract that is tried beside the one in force would say. Nothing of it is enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// The contract that is tried.
    pub contract: String,
    /// As of [`Explanation`](super::Explanation).
    pub verdict: String,
    /// The reason word of what it would refuse; none where all would pass.
    pub reason: Option<String>,
    /// The sentence of it.
    pub sentence: String,
}

impl Beside {
    fn new(tried: &Tried, verdict: &str, reason: Option<&str>, sentence: String) -> Self {
        let contract = tried.contract.name().to_owned();
        let (verdict, reason) = (verdict.to_owned(), reason.map(str::to_owned));
        Self { contract, verdict, reason, sentence }
    }

    /// What would be said of a peer that connects, and says `message`. `hidden`: the contract in
    /// force keeps secret what the tried one may not know to be one.
    pub(super) fn of(
        tried: &Tried,
        (peer, facts): (Arc<Peer>, ConnectionFacts),
        (message, hidden): (Option<&[u8]>, bool),
        limits: &Limits,
        now: Now,
    ) -> Self {
        let permit = match tried.policy.admit(peer, facts, now) {
            Ok(permit) => permit,
            Err(denial) => {
                let reason = denial.reason.as_str();
                return Self::new(tried, REFUSED, Some(reason), denial.sentence);
            }
        };
        let Some(message) = message else {
            return Self::new(tried, ACCEPTED, None, "the peer may connect".to_owned());
        };
        let warrant = Warrant::Permit(permit);
        let mut shadow = Shadow::open(warrant, tried.contract.clone(), limits, now);
        let (policy, mut told) = (Some(&*tried.policy), Vec::new());
        shadow.receive(Side::Client, message, policy, now, &mut told);
        shadow.end(Side::Client, true, policy, now, &mut told);
        let Some(first) = told.into_iter().next() else {
            return Self::new(tried, ACCEPTED, None, "nothing of it would be refused".to_owned());
        };
        let Event { class, reason, sentence, .. } = first.into_event();
        let sentence = if hidden { HIDDEN.to_owned() } else { sentence };
        Self::new(tried, verdict(class), reason.map(Reason::as_str), sentence)
    }
}
