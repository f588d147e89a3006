//! `Quota`: how much of something a client may ask for in any window of time.
//!
//! A window is counted in 24 steps. An amount counts until its whole step is older than the
//! window, so no interval of that length ever exceeds the most; it may count up to a 24th of the
//! window too long, never too short (`contracts.md` section 16.3).

use super::limit::Per;
use super::value::{Pointer, Value};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
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
struct Count {
    /// The step that now runs, counted from the base.
    newest: u64,
    /// Amounts by step, the newest first.
    amounts: [u64; SLOTS],
    /// When all of it has left its window, counted from the base.
    over: Duration,
}

impl Count {
    fn new(step: u64) -> Self {
        Self { newest: step, amounts: [0; SLOTS], over: Duration::ZERO }
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
}

/// The counts of a contract, of all its connections; or of one connection alone.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    base: OnceLock<Instant>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_holder: HashMap<Holder, Count>,
    /// When counts that are over were last looked for.
    swept: Duration,
}

impl Counts {
    /// Whether there is room for one more, after those that are over were forgotten.
    fn has_room(&mut self, now: Duration) -> bool {
        if self.by_holder.len() >= COUNTS && now >= self.swept + SWEEP {
            self.swept = now;
            self.by_holder.retain(|_, count| count.over > now);
        }
        self.by_holder.len() < COUNTS
    }
}

/// Whose count it is: which message of the client, and the identity where that matters.
type Holder = (usize, Option<Box<str>>);

/// Why nothing was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// So much was asked for in the window that now ends.
    Used(u64),
    /// There are too many counts already.
    Counts,
}

impl Quotas {
    /// Checks and books an amount as one act.
    ///
    /// # Errors
    /// What was asked for already, if the window has no room for it.
    pub(crate) fn book(
        &self,
        message: usize,
        identity: Option<&str>,
        quota: &Quota,
        amount: u64,
        now: Instant,
    ) -> Result<(), Full> {
        let base = *self.base.get_or_init(|| now);
        let long = u128::from(STEPS);
        let since = now.saturating_duration_since(base);
        let step = since.as_nanos() * long / quota.window.as_nanos().max(1);
        let step = u64::try_from(step).unwrap_or(u64::MAX);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = (message, identity.map(Box::from));
        if !counts.by_holder.contains_key(&holder) && !counts.has_room(since) {
            // Forgetting a count that is in use would let its holder begin anew.
            return Err(Full::Counts);
        }
        let count = counts.by_holder.entry(holder).or_insert_with(|| Count::new(step));
        count.advance(step);
        let used = count.sum();
        if used.checked_add(amount).is_none_or(|sum| sum > quota.max) {
            return Err(Full::Used(used));
        }
        let [newest, ..] = &mut count.amounts;
        *newest += amount;
        count.over = since.saturating_add(quota.window).saturating_add(quota.window / 12);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn quota(max: u64, window: u64) -> Quota {
        let window = Duration::from_secs(window);
        Quota { per: Per::Identity, amount: Amount::Count, max, window }
    }

    // CON-25, TRAP-27
    #[test]
    fn an_amount_counts_for_its_window_and_a_24th_at_most() {
        let (quotas, rule, start) = (Quotas::default(), quota(10, 24), start());
        let book = |amount, ms| {
            let now = start + Duration::from_millis(ms);
            quotas.book(0, Some("app"), &rule, amount, now)
        };
        assert_eq!(book(10, 500), Ok(()));
        assert_eq!(book(1, 24_400), Err(Full::Used(10)));
        assert_eq!(book(1, 25_499), Err(Full::Used(10)));
        assert_eq!(book(10, 25_500), Ok(()));
        // Long silence empties all of it, and a clock that was read before is no harm.
        assert_eq!(book(10, 1_000_000), Ok(()));
        assert_eq!(book(1, 999_000), Err(Full::Used(10)));
        assert_eq!(book(u64::MAX, 2_000_000), Err(Full::Used(0)));
    }

    // TRAP-27
    #[test]
    fn identities_and_messages_count_apart() {
        let (quotas, rule, now) = (Quotas::default(), quota(1, 60), start());
        for (message, identity) in [(0, Some("app")), (1, Some("app")), (0, Some("web")), (0, None)]
        {
            assert_eq!(quotas.book(message, identity, &rule, 1, now), Ok(()));
            assert_eq!(quotas.book(message, identity, &rule, 1, now), Err(Full::Used(1)));
        }
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
                let now = start + Duration::from_millis(at);
                if quotas.book(0, None, &rule, amount, now).is_ok() {
                    booked.push((at, amount));
                }
                let window: u64 =
                    booked.iter().filter(|(then, _)| at - then < 10_000).map(|(_, a)| a).sum();
                prop_assert!(window <= 100, "{window} at {at}");
            }
        }
    }
}
