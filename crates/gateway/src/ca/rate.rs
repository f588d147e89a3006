//! `Rate`: how often one address may enroll and one lineage renew; `Attempts`: how often tokens were
//! refused. Both by a virtual clock.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Most keys that are remembered.
const KEYS: usize = 100_000;
/// The least time between two looks for keys that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// A leaky bucket for each key: `burst` at once, then one in each `interval`.
#[derive(Debug)]
pub(super) struct Rate<K> {
    interval: Duration,
    burst: u32,
    /// When the bucket of a key has run empty.
    empty_at: HashMap<K, Instant>,
    swept: Option<Instant>,
}

impl<K: Eq + Hash> Rate<K> {
    /// A limit of one in each `interval`, after `burst` at once.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, empty_at: HashMap::new(), swept: None }
    }

    /// Counts one, or says how long to wait. While no key can be forgotten, new ones wait: a bound
    /// that gives way is none.
    pub(super) fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        if self.empty_at.len() >= KEYS && !self.empty_at.contains_key(&key) {
            self.sweep(now);
            if self.empty_at.len() >= KEYS {
                return Err(self.interval);
            }
        }
        let empty_at = self.empty_at.entry(key).or_insert(now);
        let begins = (*empty_at).max(now);
        let room = self.interval * self.burst.saturating_sub(1);
        if begins.duration_since(now) > room {
            return Err(begins.duration_since(now).saturating_sub(room));
        }
        *empty_at = begins + self.interval;
        Ok(())
    }

    /// Forgets who is as good as new.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP) {
            self.swept = Some(now);
            self.empty_at.retain(|_, empty_at| *empty_at > now);
        }
    }
}

/// So many refused tokens within so long are an attack.
const ATTACK: usize = 100;
const WINDOW: Duration = Duration::from_secs(600);

/// When tokens were refused, the last hundred of them.
#[derive(Debug, Default)]
pub(super) struct Attempts(VecDeque<Instant>);

impl Attempts {
    /// Counts one; if there were a hundred within ten minutes, says how long that will be so.
    pub(super) fn count(&mut self, now: Instant) -> Option<Duration> {
        self.0.push_back(now);
        while self.0.len() > ATTACK {
            self.0.pop_front();
        }
        let first = self.0.front().filter(|_| self.0.len() == ATTACK)?;
        (now.duration_since(*first) <= WINDOW).then_some(WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const SIX: Duration = Duration::from_secs(6);

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let (mut rate, start) = (Rate::new(SIX, 20), Instant::now());
        for _ in 0..20 {
            assert_eq!(rate.take(address(1), start), Ok(()));
        }
        assert_eq!(rate.take(address(1), start), Err(SIX));
        // Another address is not concerned.
        assert_eq!(rate.take(address(2), start), Ok(()));
        // Ten in the next minute.
        let granted = (1..=60).filter(|s| {
            let now = start + Duration::from_secs(*s);
            rate.take(address(1), now).is_ok()
        });
        assert_eq!(granted.count(), 10);
    }

    #[test]
    fn the_table_of_addresses_is_bounded_and_forgets() {
        let (mut rate, start) = (Rate::new(SIX, 20), Instant::now());
        for n in 0..u32::try_from(KEYS).unwrap() {
            assert_eq!(rate.take(address(n), start), Ok(()));
        }
        assert_eq!(rate.take(address(200_000), start), Err(SIX));
        assert_eq!(rate.empty_at.len(), KEYS);
        // One that is known still has its burst.
        assert_eq!(rate.take(address(5), start), Ok(()));
        assert_eq!(rate.take(address(200_000), start + SIX), Ok(()));
        assert_eq!(rate.empty_at.len(), 2);
    }

    #[test]
    fn a_hundred_refused_tokens_in_ten_minutes_are_an_attack() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!((0..99).all(|n| attempts.count(at(7 * n)).is_none()));
        // The hundredth comes too late for the first.
        assert_eq!(attempts.count(at(700)), None);
        assert!((0..40).any(|_| attempts.count(at(701)).is_some()));
        assert!(attempts.0.len() <= ATTACK);
    }
}
