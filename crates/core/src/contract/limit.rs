//! `Rate`: how fast a client may speak, by the generic cell rate algorithm.
//!
//! A bucket is one number, the time at which it would be full again, so it needs no timer. Buckets
//! of identities are shared by their connections, in a table that has a bound.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What a bucket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// One connection.
    Connection,
    /// All connections of one identity.
    Identity,
    /// All connections of the service.
    Service,
}

/// One bucket's rule (`contracts.md` section 16.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// What it belongs to.
    pub per: Per,
    /// Messages in a period, and how many at once.
    pub messages: Option<Bucket>,
    /// Bytes in a period, and how many at once.
    pub bytes: Option<Bucket>,
    /// Whether what comes too fast is refused; otherwise reading waits.
    pub refuse: bool,
}

/// So much in each period, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Amount in a period.
    pub amount: u64,
    /// The period.
    pub period: Duration,
    /// Amount at once.
    pub burst: u64,
}

impl Bucket {
    /// Nanoseconds that `amount` takes at this rate.
    fn nanos(&self, amount: u64) -> u64 {
        let nanos = self.period.as_nanos() * u128::from(amount) / u128::from(self.amount.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// When the bucket would be full again after `amount` at `now`, or how long until it is there.
    fn after(&self, full_at: u64, amount: u64, now: u64) -> Result<u64, Duration> {
        let next = full_at.max(now).saturating_add(self.nanos(amount));
        let earliest = next.saturating_sub(self.nanos(self.burst));
        if earliest > now { Err(Duration::from_nanos(earliest - now)) } else { Ok(next) }
    }

    /// Whether there is `amount` at `now`, or how long until there is.
    fn check(&self, full_at: &AtomicU64, amount: u64, now: u64) -> Result<(), Duration> {
        self.after(self.settled(full_at, now), amount, now).map(|_| ())
    }

    /// When the bucket would be full again, never later than an empty one: a slower rate that held
    /// before takes longer to fill it than this one ever does.
    fn settled(&self, full_at: &AtomicU64, now: u64) -> u64 {
        let empty = now.saturating_add(self.nanos(self.burst));
        let seen = full_at.load(Ordering::Relaxed);
        if seen > empty {
            full_at.fetch_min(empty, Ordering::Relaxed);
        }
        seen.min(empty)
    }

    /// Gives back what was taken for a message that another bucket had no room for.
    fn give_back(&self, full_at: &AtomicU64, amount: u64, left: u64) {
        let nanos = self.nanos(amount);
        // One that is lower than what the taking left was cut down meanwhile to what an empty one
        // is under a faster rate: all of it was given back then.
        let _ = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            (seen >= left).then(|| seen.saturating_sub(nanos))
        });
    }

    /// Takes `amount` at `now`, and says when the bucket would be full again; or how long until it
    /// is there.
    fn take(&self, full_at: &AtomicU64, amount: u64, now: u64) -> Result<u64, Duration> {
        let mut seen = self.settled(full_at, now);
        loop {
            let next = self.after(seen, amount, now)?;
            match full_at.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(next),
                Err(changed) => seen = changed,
            }
        }
    }
}

/// Most identities that have a bucket; older ones are forgotten, which fills their bucket.
const IDENTITIES: usize = 100_000;

/// Most rules that one kind of holder has, each with a level of its own.
pub(crate) const EACH: usize = 4;
/// Most buckets that one message draws from: of messages and of bytes, for three kinds of holder.
const DRAWS: usize = 2 * 3 * EACH;

/// The levels of one holder, by the place of a rule among those of its kind of holder: under other
/// rules they stand for those at the same places.
type Held = Arc<[Levels; EACH]>;

/// The shared buckets of one service, and the rules by which they fill.
#[derive(Debug, Default)]
pub struct Rates {
    /// The rules in force, and how often they changed.
    rules: Mutex<Arc<[Rate]>>,
    epoch: AtomicU64,
    base: OnceLock<Instant>,
    service: Held,
    identities: Mutex<[HashMap<String, Held>; 2]>,
}

/// When a bucket of messages and one of bytes would be full again, in nanoseconds from the base.
#[derive(Debug, Default)]
pub struct Levels {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// The buckets that one connection draws from, each by its rule.
#[derive(Debug)]
pub struct Meter {
    rules: Arc<[Rate]>,
    levels: Vec<Held>,
    /// Those of the connection alone, if a rule has one.
    own: Option<Held>,
}

/// One bucket that a message draws from.
struct Draw<'m> {
    rate: &'m Rate,
    bucket: &'m Bucket,
    level: &'m AtomicU64,
    amount: u64,
}

impl Rates {
    /// Full buckets under these rules.
    #[must_use]
    pub fn of(rules: &[Rate]) -> Self {
        Self { rules: Mutex::new(rules.into()), ..Self::default() }
    }

    /// From now on these rules hold, for all connections. What was taken stays taken.
    pub fn put_in_force(&self, rules: &[Rate]) {
        let mut in_force = self.rules();
        if **in_force != *rules {
            *in_force = rules.into();
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// How often the rules changed: a meter of another number is out of date.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn rules(&self) -> MutexGuard<'_, Arc<[Rate]>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buckets of one connection of this identity, in the order of the rules; none if there are
    /// no rules, nor were any for the connection alone. `before` is what it drew from until now.
    #[must_use]
    pub fn meter(&self, identity: &dyn Display, before: Option<Meter>) -> Option<Meter> {
        let rules = Arc::clone(&self.rules());
        let mut own = before.and_then(|meter| meter.own);
        // What it took stays taken when there are rules again.
        if rules.is_empty() && own.is_none() {
            return None;
        }
        let levels = |rate: &Rate| match rate.per {
            Per::Connection => Arc::clone(own.get_or_insert_default()),
            Per::Service => Arc::clone(&self.service),
            Per::Identity => self.of_identity(&identity.to_string()),
        };
        let levels = rules.iter().map(levels).collect();
        Some(Meter { rules, levels, own })
    }

    /// Two generations: when the young one is full the old one is dropped, so nothing is scanned.
    fn of_identity(&self, identity: &str) -> Held {
        let mut guard = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *guard;
        if let Some(levels) = young.get(identity) {
            return Arc::clone(levels);
        }
        if young.len() >= IDENTITIES / 2 {
            *old = std::mem::take(young);
        }
        let levels = old.remove(identity).unwrap_or_default();
        young.insert(identity.to_owned(), Arc::clone(&levels));
        levels
    }

    /// Takes one message of `size` bytes from every bucket, or from none: then it says which rule
    /// it is too fast for, one that refuses before one that waits, and how long until there is room.
    ///
    /// # Errors
    /// The rule, and the wait.
    pub fn take<'m>(
        &self,
        meter: &'m Meter,
        size: usize,
        now: Instant,
    ) -> Result<(), (&'m Rate, Duration)> {
        let base = *self.base.get_or_init(|| now);
        // An hour ahead, so that a bucket that was never used is full.
        let nanos = now.saturating_duration_since(base) + Duration::from_secs(3600);
        let nanos = u64::try_from(nanos.as_nanos()).unwrap_or(u64::MAX);
        let draws = || meter.draws(size as u64);
        let short = draws().filter_map(|draw| {
            let wait = draw.bucket.check(draw.level, draw.amount, nanos).err()?;
            Some((draw.rate, wait))
        });
        if let Some(short) = short.max_by_key(|(rate, wait)| (rate.refuse, *wait)) {
            return Err(short);
        }
        let mut taken = [u64::MAX; DRAWS];
        for (at, draw) in draws().enumerate() {
            match draw.bucket.take(draw.level, draw.amount, nanos) {
                Ok(left) => taken.iter_mut().skip(at).take(1).for_each(|it| *it = left),
                // Another connection of the holder may have been faster.
                Err(wait) => {
                    let back = draws().zip(taken).take(at);
                    back.for_each(|(one, left)| one.bucket.give_back(one.level, one.amount, left));
                    return Err((draw.rate, wait));
                }
            }
        }
        Ok(())
    }
}

impl Meter {
    /// The buckets that a message of `size` bytes draws from.
    fn draws(&self, size: u64) -> impl Iterator<Item = Draw<'_>> {
        let held = self.rules.iter().zip(&self.levels).enumerate();
        let held = held.filter_map(|(at, (rate, held))| {
            let before = self.rules.iter().take(at).filter(|other| other.per == rate.per).count();
            // No contract has more (K-02); they would share, which lets less pass.
            Some((rate, held.get(before.min(EACH - 1))?))
        });
        held.flat_map(move |(rate, level)| {
            let messages = rate.messages.as_ref().map(|bucket| (bucket, &level.messages, 1));
            let bytes = rate.bytes.as_ref().map(|bucket| (bucket, &level.bytes, size));
            let draw = move |(bucket, level, amount)| Draw { rate, bucket, level, amount };
            messages.into_iter().chain(bytes).map(draw)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn rate(per: Per) -> Vec<Rate> {
        let bucket = Bucket { amount: 10, period: Duration::from_secs(1), burst: 5 };
        vec![Rate { per, messages: Some(bucket), bytes: None, refuse: false }]
    }

    // CON-24
    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (rates, mut now) = (Rates::of(&rate(Per::Connection)), start());
        let meter = rates.meter(&"app", None).unwrap();
        for _ in 0..5 {
            assert!(rates.take(&meter, 1, now).is_ok());
        }
        let (_, wait) = rates.take(&meter, 1, now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        let mut passed = 0;
        for _ in 0..1000 {
            now += Duration::from_millis(10);
            passed += u32::from(rates.take(&meter, 1, now).is_ok());
        }
        assert_eq!(passed, 100);
    }

    // TRAP-27
    #[test]
    fn connections_of_one_identity_share_its_bucket() {
        let (rates, now) = (Rates::of(&rate(Per::Identity)), start());
        let meter = |name: &str| rates.meter(&name, None).unwrap();
        let (one, two, other) = (meter("app"), meter("app"), meter("web"));
        for _ in 0..5 {
            assert!(rates.take(&one, 1, now).is_ok());
        }
        assert!(rates.take(&two, 1, now).is_err());
        assert!(rates.take(&other, 1, now).is_ok());
    }

    // TRAP-27
    #[test]
    fn other_rules_find_the_buckets_as_they_are() {
        for per in [Per::Connection, Per::Identity, Per::Service] {
            let (rates, now) = (Rates::of(&rate(per)), start());
            let meter = rates.meter(&"app", None).unwrap();
            for _ in 0..5 {
                assert!(rates.take(&meter, 1, now).is_ok());
            }
            rates.put_in_force(&rate(per));
            assert_eq!(rates.epoch(), 0);
            // A faster rate: empty, and not behind what it fills in its own time.
            let bucket = Bucket { amount: 1000, period: Duration::from_secs(1), burst: 10 };
            let faster = Rate { messages: Some(bucket), ..rate(per).remove(0) };
            rates.put_in_force(&[faster]);
            assert_eq!(rates.epoch(), 1);
            let meter = rates.meter(&"app", Some(meter)).unwrap();
            let (_, wait) = rates.take(&meter, 1, now).unwrap_err();
            assert_eq!(wait, Duration::from_millis(1));
            assert!(rates.take(&meter, 1, now + wait).is_ok());
            // None, and back: nothing was given back.
            rates.put_in_force(&[]);
            assert!(rates.meter(&"web", None).is_none());
            let meter = rates.meter(&"app", Some(meter));
            assert_eq!(meter.is_some(), per == Per::Connection);
            if let Some(meter) = &meter {
                assert!((0..50).all(|_| rates.take(meter, 1, now + wait).is_ok()));
            }
            rates.put_in_force(&rate(per));
            let meter = rates.meter(&"app", meter).unwrap();
            assert!((0..5).any(|_| rates.take(&meter, 1, now + wait).is_err()));
        }
    }

    // TRAP-27
    #[test]
    fn what_is_given_back_is_not_given_twice() {
        let bucket = |amount| Bucket { amount, period: Duration::from_secs(1), burst: 1 };
        let (slow, fast, level, now) = (bucket(1), bucket(1000), AtomicU64::new(0), 1 << 40);
        let left = slow.take(&level, 1, now).unwrap();
        slow.give_back(&level, 1, left);
        assert_eq!(level.load(Ordering::Relaxed), now);
        let left = slow.take(&level, 1, now).unwrap();
        // Another thread already sees the faster rate.
        assert!(fast.check(&level, 1, now).is_err());
        let empty = level.load(Ordering::Relaxed);
        slow.give_back(&level, 1, left);
        assert_eq!(level.load(Ordering::Relaxed), empty);
    }

    fn each(per: Per, amounts: [u64; 2], refuse: [bool; 2]) -> Rates {
        let rule = |(amount, refuse)| {
            let bucket = Bucket { amount, period: Duration::from_secs(60), burst: amount };
            Rate { per, messages: Some(bucket), bytes: None, refuse }
        };
        Rates::of(&amounts.into_iter().zip(refuse).map(rule).collect::<Vec<_>>())
    }

    // TRAP-27: every rule counts for itself, also beside another of the same holder.
    #[test]
    fn two_rules_of_one_holder_do_not_count_for_each_other() {
        for per in [Per::Connection, Per::Identity, Per::Service] {
            let (rates, now) = (each(per, [100, 100], [false; 2]), start());
            let meter = rates.meter(&"app", None).unwrap();
            let passed = (0..200).filter(|_| rates.take(&meter, 1, now).is_ok()).count();
            assert_eq!(passed, 100, "{per:?}");
        }
    }

    // TRAP-27: what one rule has no room for is taken from none.
    #[test]
    fn a_message_is_taken_from_every_bucket_or_from_none() {
        let (rates, mut now) = (each(Per::Identity, [10, 2], [false; 2]), start());
        let meter = rates.meter(&"app", None).unwrap();
        let passed = (0..50).filter(|_| rates.take(&meter, 1, now).is_ok()).count();
        assert_eq!(passed, 2);
        // The wider rule still has eight, so the narrower one alone says when more may pass.
        for _ in 0..4 {
            now += Duration::from_secs(30);
            assert!(rates.take(&meter, 1, now).is_ok());
            assert!(rates.take(&meter, 1, now).is_err());
        }
    }

    // CON-24: `refuse` never waits, whatever else would.
    #[test]
    fn a_rule_that_refuses_is_told_before_one_that_waits() {
        let (rates, now) = (each(Per::Service, [1, 1], [false, true]), start());
        let meter = rates.meter(&"app", None).unwrap();
        assert!(rates.take(&meter, 1, now).is_ok());
        assert!(rates.take(&meter, 1, now).unwrap_err().0.refuse);
    }
}
