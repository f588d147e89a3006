//! `Slots`: how many connections the Authority's port holds, in all and for each address.

use segwan_core::rejection::Reason;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most connections in all.
const ALL: usize = 1024;
/// Most connections of one address that showed no certificate, or none yet.
const UNNAMED: usize = 16;

/// The places of one port. Never larger than the connections that it holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    unnamed: HashMap<IpAddr, usize>,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    /// Where it counts as without certificate.
    unnamed: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) reason: Reason,
    pub(super) sentence: String,
}

impl Slots {
    /// A place for a newcomer, who counts as without certificate until one was proved.
    pub(super) fn take(&self, address: IpAddr) -> Result<Slot, Full> {
        let mut counts = self.lock();
        if counts.all >= ALL {
            let sentence = format!("it already has {ALL} connections");
            return Err(Full { reason: Reason::ConnectionLimit, sentence });
        }
        let network = network(address);
        if let Some(network) = network {
            let count = counts.unnamed.entry(network).or_default();
            if *count >= UNNAMED {
                let sentence =
                    format!("{network} already has {UNNAMED} connections without certificate");
                return Err(Full { reason: Reason::AddressLimit, sentence });
            }
            *count += 1;
        }
        counts.all += 1;
        Ok(Slot { slots: self.clone(), unnamed: network })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_unnamed(counts: &mut Counts, network: IpAddr) {
        if let Some(count) = counts.unnamed.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.unnamed.remove(&network);
            }
        }
    }
}

impl Slot {
    /// The caller showed a certificate that is believed.
    pub(super) fn named(&mut self) {
        if let Some(network) = self.unnamed.take() {
            Slots::forget_unnamed(&mut self.slots.lock(), network);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.named();
        let mut counts = self.slots.lock();
        counts.all = counts.all.saturating_sub(1);
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address (ADV-10); none for
/// this host itself, where everybody has the same one.
pub(super) fn network(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        local if local.is_loopback() => None,
        IpAddr::V6(v6) => {
            let prefix = v6.to_bits() & !u128::from(u64::MAX);
            Some(IpAddr::V6(Ipv6Addr::from_bits(prefix)))
        }
        v4 => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // ADV-10
    #[test]
    fn an_address_has_sixteen_places_until_it_shows_who_it_is() {
        let slots = Slots::default();
        let address = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        let mut held: Vec<Slot> = (0..16).map(|n| slots.take(address(n)).unwrap()).collect();
        assert_eq!(slots.take(address(99)).unwrap_err().reason, Reason::AddressLimit);
        held[3].named();
        held.push(slots.take(address(99)).unwrap());
        assert!(slots.take(address(100)).is_err());
        drop(held);
        assert!(slots.lock().unnamed.is_empty() && slots.lock().all == 0);
    }

    #[test]
    fn the_port_holds_so_many_and_no_more() {
        let slots = Slots::default();
        let local: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let held: Vec<Slot> = (0..ALL).map(|_| slots.take(local).unwrap()).collect();
        assert_eq!(slots.take(local).unwrap_err().reason, Reason::ConnectionLimit);
        drop(held);
        assert!(slots.take(local).is_ok());
    }
}
