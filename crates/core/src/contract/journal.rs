//! `Journal`: where the bookings of a quota with `persist` outlive the process.
//!
//! Core has no disk, so it says what must be durable and when: a booking is handed to the journal
//! after its check and before anything changes, and a journal that fails refuses the message. The
//! gateway owns the file; at its start it gives back what the file holds (`contracts.md` section
//! 16.3).

use super::Contract;
use super::limit::Per;
use super::quota::{Base, Counts, Full, Quota, Quotas};
use crate::now::Now;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Most counts that are kept in a journal: all of them are written when it is written anew, while
/// a message waits.
const COUNTS: usize = 10_000;
/// How long bookings of a message that has no quota now are kept at least.
const UNKNOWN: Duration = Duration::from_secs(24 * 3600);

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
    /// It does not hold all of the counts: it is written anew before anything is added.
    behind: bool,
    base: Base,
    counts: Counts,
}

/// A journal that was read, and what of it counts under a contract; nothing is written yet.
#[derive(Debug)]
#[must_use = "nothing is kept before the contract keeps it"]
pub struct Ready(Keeper);

impl Kept {
    /// As [`Quotas::book`], and in the journal first.
    pub(super) fn book(
        &self,
        message: &str,
        identity: Option<&str>,
        quota: &Quota,
        amount: u64,
        now: Now,
    ) -> Result<(), Full> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Keeper { journal, behind, base, counts }) = &mut *kept else {
            return Err(Full::Unkept("nothing here keeps its journal".to_owned()));
        };
        let since = base.until(now);
        let holder = (message.into(), identity.map(Box::from));
        counts.check(&holder, quota, amount, since, COUNTS)?;
        if *behind || journal.is_due() {
            journal.replace(&mut standing(counts, since)).map_err(Full::Unkept)?;
            *behind = false;
        }
        let booked = Booked {
            at_ms: ceiled(since),
            message: message.to_owned(),
            identity: identity.map(str::to_owned),
            amount,
        };
        journal.append(&booked).map_err(Full::Unkept)?;
        counts.add(&holder, quota, amount, since);
        Ok(())
    }

    /// Has the counts of a message where its quota now wants them: here, or only in memory.
    pub(super) fn settle(&self, message: &str, quota: &Quota, memory: &Quotas) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Keeper { behind, counts, .. }) = &mut *kept else { return };
        let mut memory = memory.counts();
        let (from, to) =
            if quota.persist { (&mut *memory, counts) } else { (counts, &mut *memory) };
        let moved = from.take(message);
        *behind |= !moved.is_empty();
        to.put(moved, quota.window, from);
    }
}

impl Contract {
    /// Whether a quota of it has `persist`, so that [`keep_quotas`](Self::keep_quotas) is needed
    /// before messages under it can pass.
    #[must_use]
    pub fn persists_quotas(&self) -> bool {
        self.quotas().any(|(_, quota)| quota.persist)
    }

    /// Whether its accounts have a journal.
    #[must_use]
    pub fn keeps_quotas(&self) -> bool {
        self.accounts().kept.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Makes ready to go on with what was booked before, and to keep what is booked from now on in
    /// `journal`. Changes nothing, neither there nor here.
    ///
    /// Amounts that left their window are dropped. Those of messages that have no such quota now, or
    /// whose quota is counted `per` something else, are kept for 24 h, or for the longest window of
    /// the contract if that is longer: another reload may ask for them. Time between two runs is told
    /// by the wall clock; one that stands behind the journal stands still there.
    ///
    /// # Errors
    /// A sentence, if the journal holds more than 10,000 counts, or the contract has one already.
    pub fn ready_quotas(
        &self,
        journal: Box<dyn Journal>,
        past: &[Booked],
        now: Now,
    ) -> Result<Ready, String> {
        if self.keeps_quotas() {
            return Err(self.has_a_journal());
        }
        let newest = past.iter().map(|booked| booked.at_ms).max().unwrap_or_default();
        let base = Base::new(now).no_earlier_than(Duration::from_millis(newest));
        let since = base.until(now);
        let unknown = self.quotas().map(|(_, quota)| quota.window).fold(UNKNOWN, Duration::max);
        let mut counts = Counts::default();
        for booked in past {
            let per = if booked.identity.is_some() { Per::Identity } else { Per::Service };
            let is_its = |name: &str, quota: &Quota| name == booked.message && quota.per == per;
            let quota = self.quotas().find(|(name, quota)| is_its(name, quota));
            let window = quota.map_or(unknown, |(_, quota)| quota.window);
            let holder =
                (booked.message.as_str().into(), booked.identity.as_deref().map(Box::from));
            let at = Duration::from_millis(booked.at_ms);
            if !counts.restore(&holder, window, booked.amount, at, since, COUNTS) {
                return Err(format!("there are over {COUNTS} counts in it"));
            }
        }
        Ok(Ready(Keeper { journal, behind: true, base, counts }))
    }

    /// Keeps quotas in a journal from now on, which is written anew. Where that fails it is kept
    /// all the same: its messages are refused until it can be written.
    ///
    /// # Errors
    /// A sentence, if the journal cannot be written now, or the contract has one already.
    pub fn keep_quotas(&self, ready: Ready, now: Now) -> Result<(), String> {
        let accounts = self.accounts();
        let mut kept = accounts.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_some() {
            return Err(self.has_a_journal());
        }
        let Keeper { journal, behind, base, counts } = &mut kept.insert(ready.0);
        journal.replace(&mut standing(counts, base.until(now)))?;
        *behind = false;
        Ok(())
    }

    fn has_a_journal(&self) -> String {
        format!("`{}` keeps its quotas in a journal already", self.name)
    }
}

/// All that still counts, by step.
fn standing(counts: &Counts, since: Duration) -> impl Iterator<Item = Booked> + '_ {
    counts.holders().flat_map(move |((message, identity), count)| {
        count.standing(since).map(move |(began, amount)| Booked {
            at_ms: ceiled(began),
            message: message.to_string(),
            identity: identity.as_deref().map(str::to_owned),
            amount,
        })
    })
}

/// In milliseconds, rounded up: never earlier than it was.
fn ceiled(since: Duration) -> u64 {
    u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// As at a start.
#[cfg(test)]
pub(crate) fn keep(
    contract: &Contract,
    journal: Box<dyn Journal>,
    past: &[Booked],
    now: Now,
) -> Result<(), String> {
    contract.keep_quotas(contract.ready_quotas(journal, past, now)?, now)
}

#[cfg(test)]
mod tests;
