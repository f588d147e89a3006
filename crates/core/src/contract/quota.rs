//! `Quota`: how much of something a client may ask for in any window of time.
//!
//! A window is counted in 24 steps. An amount counts until its whole step is older than the
//! window, so no interval of that length ever exceeds the most; it may count up to a 24th of the
//! window too long, never too short (`contracts.md` section 16.3).

use super::limit::Per;
use super::value::{Pointer, Value};
use crate::now::Now;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Steps of a window.
const STEPS: u64 = 24;
/// Slots of a count: the steps of a window, and the one that now runs.
const SLOTS: usize = 25;
/// Most counts that are kept. When all of them are in use, a new one is refused.
const COUNTS: usize = 100_000;
/// How often counts that are over are looked for, once there is no room.
const SWEEP: Duration = Duration::from_secs(10);

/// How much messages of one kind may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Who shares one count.
    pub(crate) per: Per,
    /// What of a message counts.
    pub(crate) amount: Amount,
    /// The most of it in any window.
    pub(crate) max: u64,
    /// The length of a window, 1 s to 31 d.
    pub(crate) window: Duration,
    /// Whether a restart forgets nothing of it: bookings go to a journal first.
    pub(crate) persist: bool,
}

/// What of a message counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Amount {
    /// The integer at this place, which is never negative.
    Sum(Pointer),
    /// One for each message.
    Count,
}

impl Amount {
    /// How much a message asks for; none if it cannot be told, which refuses it.
    pub(crate) fn of(&self, tree: &Value<'_>) -> Option<u64> {
        match self {
            Self::Count => Some(1),
            Self::Sum(at) => match at.get(tree)? {
                Value::Int(number) => u64::try_from(*number).ok(),
                _ => None,
            },
        }
    }
}

/// What was asked for in one window, by step.
#[derive(Debug, Clone)]
pub(super) struct Count {
    /// The window that its steps are of.
    window: Duration,
    /// The step that now runs, counted from 1970.
    newest: u64,
    /// Amounts by step, the newest first.
    amounts: [u64; SLOTS],
    /// When all of it has left its window, counted from 1970.
    over: Duration,
}

impl Count {
    fn new(step: u64, window: Duration) -> Self {
        Self { window, newest: step, amounts: [0; SLOTS], over: Duration::ZERO }
    }

    /// Goes on in steps of another window: another contract counts by it. An amount then counts
    /// until the end of its old step is older than the new window, so never too short.
    fn fit(&mut self, window: Duration, since: Duration) {
        if self.window == window {
            return;
        }
        let mut fitted = Self::new(step(since, window), window);
        for (began, amount) in self.standing(since) {
            let ended = (began + self.window / 24).min(since);
            fitted.add_at(amount, ended, since);
        }
        *self = fitted;
    }

    /// Adds what was asked for at a time, if it still counts.
    fn add_at(&mut self, amount: u64, at: Duration, since: Duration) {
        let age = step(since, self.window).saturating_sub(step(at, self.window));
        let then = usize::try_from(age).ok().and_then(|age| self.amounts.get_mut(age));
        if let Some(then) = then {
            *then = then.saturating_add(amount);
            let over = at.saturating_add(self.window).saturating_add(self.window / 12);
            self.over = self.over.max(over);
        }
    }

    /// Takes in what the same holder asked for elsewhere, by step.
    fn merge(&mut self, mut other: Self, window: Duration, since: Duration) {
        self.fit(window, since);
        other.fit(window, since);
        let newest = self.newest.max(other.newest);
        self.advance(newest);
        other.advance(newest);
        for (mine, its) in self.amounts.iter_mut().zip(other.amounts) {
            *mine = mine.saturating_add(its);
        }
        self.over = self.over.max(other.over);
    }

    /// Forgets the steps that left the window.
    fn advance(&mut self, step: u64) {
        let passed = step.saturating_sub(self.newest).min(SLOTS as u64);
        // The newest stands first; what falls off the end left the window.
        for _ in 0..passed {
            self.amounts.rotate_right(1);
            let [newest, ..] = &mut self.amounts;
            *newest = 0;
        }
        self.newest = self.newest.max(step);
    }

    fn sum(&self) -> u64 {
        self.amounts.iter().fold(0, |sum, amount| sum.saturating_add(*amount))
    }

    /// When each step that still counts began, and what was asked for in it.
    pub(super) fn standing(&self, since: Duration) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let window = self.window;
        let now = step(since, window);
        let steps = self.amounts.iter().enumerate().filter(|(_, amount)| **amount > 0);
        steps.filter_map(move |(age, amount)| {
            let step = self.newest.checked_sub(age as u64)?;
            (now.saturating_sub(step) < SLOTS as u64).then(|| (began(step, window), *amount))
        })
    }
}

/// The step of a window that runs at a time, counted from 1970 as that is.
fn step(since: Duration, window: Duration) -> u64 {
    let step = since.as_nanos() * u128::from(STEPS) / window.as_nanos().max(1);
    u64::try_from(step).unwrap_or(u64::MAX)
}

/// When a step began.
fn began(step: u64, window: Duration) -> Duration {
    let nanos = (u128::from(step) * window.as_nanos()).div_ceil(u128::from(STEPS));
    Duration::from_nanos_u128(nanos)
}

/// A clock that goes as the monotonic one does, and tells the time since 1970, so that the steps of
/// two runs are the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    instant: Instant,
    since_1970: Duration,
}

impl Base {
    /// Right at this moment.
    pub(super) fn new(now: Now) -> Self {
        let ms = u64::try_from(now.unix_ms).unwrap_or_default();
        Self { instant: now.instant, since_1970: Duration::from_millis(ms) }
    }

    /// Not behind what was told before.
    pub(super) fn no_earlier_than(self, since_1970: Duration) -> Self {
        Self { since_1970: self.since_1970.max(since_1970), ..self }
    }

    /// The time since 1970.
    pub(super) fn until(&self, now: Now) -> Duration {
        self.since_1970.saturating_add(now.instant.saturating_duration_since(self.instant))
    }
}

/// The counts of a service, of all its connections; or of one connection alone.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    base: OnceLock<Base>,
    counts: Mutex<Counts>,
}

/// Counts by their holders.
#[derive(Debug, Default)]
pub(super) struct Counts {
    by_holder: HashMap<Holder, Count>,
    /// When counts that are over were last looked for.
    swept: Duration,
    /// The latest time that was told: nothing was booked after it.
    seen: Duration,
}

/// Whose count it is: the name of the client's message, and the identity where that matters.
pub(super) type Holder = (Box<str>, Option<Box<str>>);

impl Counts {
    /// Whether there is room for one more, after those that are over were forgotten.
    fn has_room(&mut self, now: Duration, most: usize) -> bool {
        if self.by_holder.len() >= most && now >= self.swept + SWEEP {
            self.swept = now;
            self.by_holder.retain(|_, count| count.over > now);
        }
        self.by_holder.len() < most
    }

    /// Whether the window has room for an amount; there are at most so many counts.
    pub(super) fn check(
        &mut self,
        holder: &Holder,
        quota: &Quota,
        amount: u64,
        since: Duration,
        most: usize,
    ) -> Result<(), Full> {
        let step = step(since, quota.window);
        let used = self.by_holder.get_mut(holder).map(|count| {
            count.fit(quota.window, since);
            count.advance(step);
            count.sum()
        });
        if used.is_none() && !self.has_room(since, most) {
            // Forgetting a count that is in use would let its holder begin anew.
            return Err(Full::Counts);
        }
        let used = used.unwrap_or_default();
        match used.checked_add(amount) {
            Some(sum) if sum <= quota.max => Ok(()),
            _ => Err(Full::Used(used)),
        }
    }

    /// Books what was checked.
    pub(super) fn add(&mut self, holder: &Holder, quota: &Quota, amount: u64, since: Duration) {
        let step = step(since, quota.window);
        self.seen = self.seen.max(since);
        let new = || Count::new(step, quota.window);
        let count = self.by_holder.entry(holder.clone()).or_insert_with(new);
        count.fit(quota.window, since);
        count.advance(step);
        let [newest, ..] = &mut count.amounts;
        *newest = newest.saturating_add(amount);
        count.over = since.saturating_add(quota.window).saturating_add(quota.window / 12);
    }

    /// Books what was asked for at an earlier time, if it still counts; whether there was room.
    pub(super) fn restore(
        &mut self,
        holder: &Holder,
        window: Duration,
        amount: u64,
        at: Duration,
        since: Duration,
        most: usize,
    ) -> bool {
        self.seen = self.seen.max(since);
        let now = step(since, window);
        if now.saturating_sub(step(at, window)) >= SLOTS as u64 {
            return true;
        }
        if !self.by_holder.contains_key(holder) && self.by_holder.len() >= most {
            return false;
        }
        let new = || Count::new(now, window);
        let count = self.by_holder.entry(holder.clone()).or_insert_with(new);
        count.add_at(amount, at, since);
        true
    }

    /// Takes out the counts of a message.
    pub(super) fn take(&mut self, message: &str) -> Vec<(Holder, Count)> {
        self.by_holder.extract_if(|(name, _), _| **name == *message).collect()
    }

    /// Puts in counts that were taken out of `from`, beside what their holders have here.
    pub(super) fn put(&mut self, counts: Vec<(Holder, Count)>, window: Duration, from: &Self) {
        let since = self.seen.max(from.seen);
        self.seen = since;
        for (holder, count) in counts {
            match self.by_holder.entry(holder) {
                Entry::Vacant(free) => drop(free.insert(count)),
                Entry::Occupied(mut here) => here.get_mut().merge(count, window, since),
            }
        }
    }

    /// All of them.
    pub(super) fn holders(&self) -> impl Iterator<Item = (&Holder, &Count)> {
        self.by_holder.iter()
    }
}

/// Why nothing was booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Full {
    /// So much was asked for in the window that now ends.
    Used(u64),
    /// There are too many counts already.
    Counts,
    /// The journal does not hold it: this went wrong.
    Unkept(String),
}

impl Quotas {
    /// Checks and books an amount as one act.
    ///
    /// # Errors
    /// What was asked for already, if the window has no room for it.
    pub(crate) fn book(
        &self,
        message: &str,
        identity: Option<&str>,
        quota: &Quota,
        amount: u64,
        now: Now,
    ) -> Result<(), Full> {
        let since = self.base.get_or_init(|| Base::new(now)).until(now);
        let holder = (message.into(), identity.map(Box::from));
        let mut counts = self.counts();
        counts.check(&holder, quota, amount, since, COUNTS)?;
        counts.add(&holder, quota, amount, since);
        Ok(())
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
    fn start() -> Now {
        Now { instant: Instant::now(), unix_ms: 0 }
    }

    fn quota(max: u64, window: u64) -> Quota {
        let window = Duration::from_secs(window);
        Quota { per: Per::Identity, amount: Amount::Count, max, window, persist: false }
    }

    // CON-25, TRAP-27
    #[test]
    fn an_amount_counts_for_its_window_and_a_24th_at_most() {
        let (quotas, rule, start) = (Quotas::default(), quota(10, 24), start());
        let book = |amount, ms| {
            let now = start.after(Duration::from_millis(ms));
            quotas.book("spend", Some("app"), &rule, amount, now)
        };
        assert_eq!(book(10, 1_000), Ok(()));
        assert_eq!(book(1, 24_900), Err(Full::Used(10)));
        assert_eq!(book(1, 25_999), Err(Full::Used(10)));
        assert_eq!(book(10, 26_000), Ok(()));
        // Long silence empties all of it, and a clock that was read before is no harm.
        assert_eq!(book(10, 1_000_000), Ok(()));
        assert_eq!(book(1, 999_000), Err(Full::Used(10)));
        assert_eq!(book(u64::MAX, 2_000_000), Err(Full::Used(0)));
    }

    // TRAP-27
    #[test]
    fn identities_and_messages_count_apart() {
        let (quotas, rule, now) = (Quotas::default(), quota(1, 60), start());
        for (message, identity) in
            [("buy", Some("app")), ("sell", Some("app")), ("buy", Some("web")), ("buy", None)]
        {
            assert_eq!(quotas.book(message, identity, &rule, 1, now), Ok(()));
            assert_eq!(quotas.book(message, identity, &rule, 1, now), Err(Full::Used(1)));
        }
    }

    // TRAP-27
    #[test]
    fn another_window_counts_what_was_asked_for_and_never_too_short() {
        let (quotas, start) = (Quotas::default(), start());
        let book = |rule: &Quota, amount, ms| {
            let now = start.after(Duration::from_millis(ms));
            quotas.book("spend", Some("app"), rule, amount, now)
        };
        assert_eq!(book(&quota(10, 24), 10, 1_000), Ok(()));
        // Longer: it counts until it has left that window too.
        assert_eq!(book(&quota(10, 240), 1, 2_000), Err(Full::Used(10)));
        assert_eq!(book(&quota(10, 240), 1, 240_999), Err(Full::Used(10)));
        assert_eq!(book(&quota(10, 240), 10, 260_000), Ok(()));
        // Shorter: until its whole step is older than that.
        assert_eq!(book(&quota(10, 24), 1, 283_999), Err(Full::Used(10)));
        assert_eq!(book(&quota(10, 24), 10, 300_000), Ok(()));
    }

    // TRAP-11
    #[test]
    fn an_amount_that_is_no_whole_number_counts_for_nothing() {
        let sum = Amount::Sum(Pointer::name("won"));
        let tree = |value| Value::Map(vec![("won".into(), value)]);
        assert_eq!(sum.of(&tree(Value::Int(5))), Some(5));
        assert_eq!(sum.of(&tree(Value::Int(-5))), None);
        assert_eq!(sum.of(&tree(Value::Text("5".into()))), None);
        assert_eq!(sum.of(&Value::Map(Vec::new())), None);
    }

    proptest! {
        // CON-25, TRAP-27
        #[test]
        fn no_window_exceeds_the_most(
            asked in prop::collection::vec((0u64..40, 0u64..5_000), 1..120),
        ) {
            let (quotas, rule, start) = (Quotas::default(), quota(100, 10), start());
            let (mut at, mut booked) = (0, Vec::new());
            for (amount, later) in asked {
                at += later;
                let now = start.after(Duration::from_millis(at));
                if quotas.book("spend", None, &rule, amount, now).is_ok() {
                    booked.push((at, amount));
                }
                let window: u64 =
                    booked.iter().filter(|(then, _)| at - then < 10_000).map(|(_, a)| a).sum();
                prop_assert!(window <= 100, "{window} at {at}");
            }
        }
    }
}
