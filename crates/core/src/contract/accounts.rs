//! `Accounts`: what the clients of one service have used up, whatever contract it was under.
//!
//! A contract that takes the place of another goes on with its accounts, so a reload gives nobody a
//! second quota or a full bucket. The rates and quotas of the contract in force hold for every
//! connection of the service, also for one that was opened under the contract before it
//! (`trust.md` section 4: new limits hold for new messages).

use super::journal::Kept;
use super::limit::{Per, Rate, Rates};
use super::quota::{Full, Quota, Quotas};
use super::{Contract, MessageRule};
use crate::now::Now;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Most quotas that are remembered of contracts that are not in force any more.
const REMEMBERED: usize = 4096;

/// Rates and quotas of one service. It is made with its first contract.
#[derive(Debug, Default)]
pub struct Accounts {
    pub(crate) rates: Rates,
    quotas: Quotas,
    pub(super) kept: Kept,
    /// Quotas by the name of the client's message. Messages that only older contracts have keep
    /// the one that they had last.
    in_force: RwLock<HashMap<Box<str>, Quota>>,
}

/// Where a contract has its accounts: its own, until it takes the place of another.
#[derive(Debug)]
pub(crate) struct Held(Mutex<Arc<Accounts>>);

impl Held {
    pub(super) fn new(rates: &[Rate]) -> Self {
        let accounts = Accounts { rates: Rates::of(rates), ..Accounts::default() };
        Self(Mutex::new(Arc::new(accounts)))
    }
}

impl Accounts {
    /// Checks and books an amount as one act, by the quota of that message that is in force; by
    /// `own`, the one of the contract that the connection is under, where there is none.
    ///
    /// # Errors
    /// Why nothing was booked, and the quota that decided.
    pub(crate) fn book(
        &self,
        message: &str,
        identity: Option<&str>,
        own: &Quota,
        amount: u64,
        now: Now,
    ) -> Result<(), (Full, Quota)> {
        // Held until it is booked, so that no count moves between journal and memory meanwhile.
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        let same_holder = |quota: &&Quota| quota.per == own.per;
        let quota = in_force.get(message).filter(same_holder).unwrap_or(own);
        let booked = if quota.persist {
            self.kept.book(message, identity, quota, amount, now)
        } else {
            self.quotas.book(message, identity, quota, amount, now)
        };
        booked.map_err(|full| (full, quota.clone()))
    }

    /// Rates and quotas are those of `contract` from now on.
    fn put_in_force(&self, contract: &Contract) {
        self.rates.put_in_force(&contract.limits.rate);
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        if in_force.len() > REMEMBERED {
            in_force.clear();
        }
        for (message, quota) in contract.quotas() {
            // What is counted for another kind of holder begins anew, as it does at a restart.
            if quota.per != Per::Connection {
                self.kept.settle(message, quota, &self.quotas);
                in_force.insert(message.into(), quota.clone());
            }
        }
    }
}

impl Contract {
    /// What its clients have used up. Connections that were opened under it count there.
    #[must_use]
    pub fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&self.accounts.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on with the accounts of the service that it is for; nothing of them changes before it
    /// [comes into force](Self::come_into_force).
    pub fn continue_with(&self, accounts: &Arc<Accounts>) {
        *self.accounts.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(accounts);
    }

    /// From now on its rates and quotas hold for everybody with these accounts, also for connections
    /// that are under the contract before it.
    pub fn come_into_force(&self) {
        self.accounts().put_in_force(self);
    }

    /// The quotas of the client's messages, by their names.
    pub(super) fn quotas(&self) -> impl Iterator<Item = (&str, &Quota)> {
        let quota = |rule| MessageRule::request(rule)?.quota.as_ref();
        self.client.messages.iter().filter_map(move |rule| Some((rule.name.as_str(), quota(rule)?)))
    }
}

#[cfg(test)]
mod tests;
