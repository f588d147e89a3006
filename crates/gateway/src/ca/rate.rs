//! `Rate`: how often one address may enroll, by a virtual clock.

use super::slots::network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Most addresses that are remembered.
const ADDRESSES: usize = 100_000;
/// The least time between two looks for addresses that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// A leaky bucket for each address: `burst` at once, then one in each `interval`.
#[derive(Debug)]
pub(super) struct Rate {
    interval: Duration,
    burst: u32,
    /// When the bucket of an address has run empty.
    empty_at: HashMap<IpAddr, Instant>,
    swept: Option<Instant>,
}

impl Rate {
    /// A limit of one in each `interval`, after `burst` at once.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, empty_at: HashMap::new(), swept: None }
    }

    /// Counts one, or says how long to wait. This host itself is not limited. While no address
    /// can be forgotten, new ones wait: a bound that gives way is none.
    pub(super) fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let Some(network) = network(address) else { return Ok(()) };
        if self.empty_at.len() >= ADDRESSES && !self.empty_at.contains_key(&network) {
            self.sweep(now);
            if self.empty_at.len() >= ADDRESSES {
                return Err(self.interval);
            }
        }
        let empty_at = self.empty_at.entry(network).or_insert(now);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

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
        // Another address is not concerned, and this host itself never.
        assert_eq!(rate.take(address(2), start), Ok(()));
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!((0..1000).all(|_| rate.take(local, start).is_ok()));
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
        for n in 0..u32::try_from(ADDRESSES).unwrap() {
            assert_eq!(rate.take(address(n), start), Ok(()));
        }
        assert_eq!(rate.take(address(200_000), start), Err(SIX));
        assert_eq!(rate.empty_at.len(), ADDRESSES);
        // One that is known still has its burst.
        assert_eq!(rate.take(address(5), start), Ok(()));
        assert_eq!(rate.take(address(200_000), start + SIX), Ok(()));
        assert_eq!(rate.empty_at.len(), 2);
    }
}
