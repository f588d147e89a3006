//! `Journal`: where the bookings of a quota with `persist` outlive the process.
//!
//! Core has no disk, so it says what must be durable and when: a booking is handed to the journal
//! after its check and before anything changes, and a journal that fails refuses the message. The
//! gateway owns the file; at its start it gives back what the file holds (`contracts.md` section
//! 16.3).

use super::limit::Per;
use super::quota::{Base, Counts, Full, Quota};
use super::{Contract, MessageRule};
use crate::now::Now;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Most counts that are kept in a journal: all of them are written when it is written anew, while
/// a message waits.
const COUNTS: usize = 10_000;

/// What was booked at one time: a message, or all of a step when a journal is written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// Milliseconds since 1970, rounded up, by a clock that never goes behind the journal.
    pub at_ms: u64,
    /// Name of the client's message.
    pub message: String,
    /// Whose it is, where identities count apart.
    pub identity: Option<String>,
    /// How much.
    pub amount: u64,
}

/// Where bookings are durable.
///
/// It is called under the lock of the counts, one call at a time, on the thread of a connection.
pub trait Journal: Debug + Send {
    /// Adds a booking, and returns once it outlives a crash.
    ///
    /// # Errors
    /// A sentence, if it may not be durable. The message is then refused.
    fn append(&mut self, booked: &Booked) -> Result<(), String>;

    /// Whether it must be written anew before anything is added: it has grown, or it failed.
    fn is_due(&self) -> bool;

    /// Holds just `booked` from now on; if that fails, what it held before.
    ///
    /// # Errors
    /// A sentence, if it could not be written.
    fn replace(&mut self, booked: &mut dyn Iterator<Item = Booked>) -> Result<(), String>;
}

/// The counts of quotas with `persist`, once there is a journal for them.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<Keeper>>);

#[derive(Debug)]
struct Keeper {
    journal: Box<dyn Journal>,
    base: Base,
    counts: Counts,
}

impl Kept {
    /// As [`Quotas::book`](super::quota::Quotas::book), and in the journal first.
    pub(crate) fn book(
        &self,
        contract: &Contract,
        message: usize,
        identity: Option<&str>,
        amount: u64,
        now: Now,
    ) -> Result<(), Full> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Keeper { journal, base, counts }) = &mut *kept else {
            return Err(Full::Unkept("nothing here keeps its journal".to_owned()));
        };
        let Some((rule, quota)) = contract.counted(message) else {
            return Err(Full::Unkept("the message has no quota that persists".to_owned()));
        };
        let since = base.until(now);
        let holder = (message, identity.map(Box::from));
        counts.check(&holder, quota, amount, since, COUNTS)?;
        if journal.is_due() {
            journal.replace(&mut standing(counts, contract, since)).map_err(Full::Unkept)?;
        }
        let booked = Booked {
            at_ms: ceiled(since),
            message: rule.name.clone(),
            identity: identity.map(str::to_owned),
            amount,
        };
        journal.append(&booked).map_err(Full::Unkept)?;
        counts.add(&holder, quota, amount, since);
        Ok(())
    }
}

impl Contract {
    /// Whether a quota of it has `persist`, so that [`keep_quotas`](Self::keep_quotas) is needed
    /// before messages under it can pass.
    #[must_use]
    pub fn persists_quotas(&self) -> bool {
        (0..self.client.messages.len()).any(|message| self.counted(message).is_some())
    }

    /// Goes on with what was booked before, and keeps what is booked from now on in `journal`.
    ///
    /// Amounts that left their window are dropped, and so are those of messages that have no such
    /// quota any more, or whose quota is now counted `per` something else. Time between two runs is
    /// told by the wall clock; one that stands behind the journal stands still there.
    ///
    /// # Errors
    /// A sentence, if the journal cannot be written, holds more than 10,000 counts, or the contract
    /// has one already.
    pub fn keep_quotas(
        &self,
        mut journal: Box<dyn Journal>,
        past: &[Booked],
        now: Now,
    ) -> Result<(), String> {
        let mut kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_some() {
            return Err(format!("`{}` keeps its quotas in a journal already", self.name));
        }
        let newest = past.iter().map(|booked| booked.at_ms).max().unwrap_or_default();
        let base = Base::new(now).no_earlier_than(Duration::from_millis(newest));
        let since = base.until(now);
        let mut counts = Counts::default();
        for booked in past {
            let named = |rule: &MessageRule| rule.name == booked.message;
            let Some(message) = self.client.messages.iter().position(named) else { continue };
            let Some((_, quota)) = self.counted(message) else { continue };
            if (quota.per == Per::Identity) != booked.identity.is_some() {
                continue;
            }
            let holder = (message, booked.identity.as_deref().map(Box::from));
            let at = Duration::from_millis(booked.at_ms);
            if !counts.restore(&holder, quota, booked.amount, at, since, COUNTS) {
                return Err(format!("there are over {COUNTS} counts in it"));
            }
        }
        journal.replace(&mut standing(&counts, self, since))?;
        *kept = Some(Keeper { journal, base, counts });
        Ok(())
    }

    /// The client's message of this number, if its quota persists.
    fn counted(&self, message: usize) -> Option<(&MessageRule, &Quota)> {
        let rule = self.client.messages.get(message)?;
        let quota = rule.request()?.quota.as_ref().filter(|quota| quota.persist)?;
        Some((rule, quota))
    }
}

/// All that still counts, by step.
fn standing<'c>(
    counts: &'c Counts,
    contract: &'c Contract,
    since: Duration,
) -> impl Iterator<Item = Booked> + 'c {
    counts.holders().flat_map(move |(holder, count)| {
        let counted = contract.counted(holder.0).into_iter();
        counted.flat_map(move |(rule, quota)| {
            count.standing(quota.window, since).map(move |(began, amount)| Booked {
                at_ms: ceiled(began),
                message: rule.name.clone(),
                identity: holder.1.as_deref().map(str::to_owned),
                amount,
            })
        })
    })
}

/// In milliseconds, rounded up: never earlier than it was.
fn ceiled(since: Duration) -> u64 {
    u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
