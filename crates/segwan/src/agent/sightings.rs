//! `Sightings`: which certificates came to a listener, counted until the Authority was told.

use segwan_core::identity::CertificateFacts;
use segwan_pki::api::{SIGHTINGS, Sighting};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Most certificates that are remembered at once; more are not counted until some were told.
const REMEMBERED: usize = 10 * SIGHTINGS;

/// Certificates of peers in handshakes, by issuer and serial. Cheap to call on the data path: one
/// lock, no wait.
#[derive(Debug, Default)]
pub struct Sightings(Mutex<HashMap<(String, String), Seen>>);

#[derive(Debug, Clone)]
struct Seen {
    first_ms: i64,
    last_ms: i64,
    count: u64,
    from: IpAddr,
}

impl Sightings {
    /// Notes that the holder of this certificate came from this address.
    pub fn saw(&self, certificate: &CertificateFacts, from: IpAddr) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let key = (certificate.issuer_key.clone(), certificate.serial.clone());
        self.add(key, Seen { first_ms: now, last_ms: now, count: 1, from });
    }

    /// Takes as many as one report may hold.
    pub(super) fn take(&self) -> Vec<Sighting> {
        let mut all = self.lock();
        let keys: Vec<_> = all.keys().take(SIGHTINGS).cloned().collect();
        let taken = keys.into_iter().filter_map(|key| all.remove_entry(&key));
        let sighting = |((issuer, serial), seen): ((String, String), Seen)| Sighting {
            issuer,
            serial,
            first_ms: seen.first_ms,
            last_ms: seen.last_ms,
            count: seen.count,
            from: seen.from.to_string(),
        };
        taken.map(sighting).collect()
    }

    /// Puts back what could not be told.
    pub(super) fn put_back(&self, sightings: Vec<Sighting>) {
        for Sighting { issuer, serial, first_ms, last_ms, count, from } in sightings {
            let Ok(from) = from.parse() else { continue };
            self.add((issuer, serial), Seen { first_ms, last_ms, count, from });
        }
    }

    fn add(&self, key: (String, String), seen: Seen) {
        let mut all = self.lock();
        if let Some(known) = all.get_mut(&key) {
            if seen.last_ms >= known.last_ms {
                known.from = seen.from;
            }
            known.first_ms = known.first_ms.min(seen.first_ms);
            known.last_ms = known.last_ms.max(seen.last_ms);
            known.count = known.count.saturating_add(seen.count);
        } else if all.len() < REMEMBERED {
            all.insert(key, seen);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(serial: usize) -> CertificateFacts {
        CertificateFacts {
            serial: format!("{serial:x}"),
            issuer: String::new(),
            issuer_key: "aa".to_owned(),
            keys: vec![],
            not_before: 0,
            not_after: 0,
        }
    }

    #[test]
    fn sightings_are_counted_kept_over_a_failure_and_bounded() {
        let sightings = Sightings::default();
        let from: IpAddr = [10, 0, 0, 9].into();
        sightings.saw(&facts(1), from);
        sightings.saw(&facts(1), [10, 0, 0, 8].into());
        let taken = sightings.take();
        assert_eq!((taken.len(), taken[0].count, taken[0].from.as_str()), (1, 2, "10.0.0.8"));
        assert!(sightings.take().is_empty());
        sightings.put_back(taken);
        sightings.saw(&facts(1), from);
        let again = sightings.take();
        assert_eq!((again.len(), again[0].count, again[0].from.as_str()), (1, 3, "10.0.0.9"));

        for serial in 0..REMEMBERED + 5 {
            sightings.saw(&facts(serial), from);
        }
        assert_eq!(sightings.take().len(), SIGHTINGS);
        assert_eq!(sightings.lock().len(), REMEMBERED - SIGHTINGS);
    }
}
