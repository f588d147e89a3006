//! `Now`: the one instant at which a decision is made, by both clocks.

use std::time::{Duration, Instant};

/// The present, as an argument.
///
/// Waits are measured on the monotonic clock, validity and policies on the wall clock; a caller
/// reads both once and hands them down, so every step of one decision sees the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: deadlines count on it.
    pub instant: Instant,
    /// The wall clock: milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: i64,
}

impl Now {
    /// The moment `wait` later on both clocks; how a test steps over a timeout.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self { instant: self.instant + wait, unix_ms: self.unix_ms.saturating_add(ms) }
    }

    /// How long a validity still lasts that ends with this second (Unix), itself included: RFC 5280
    /// section 4.1.2.5 counts `notAfter` to it. Zero once it is over.
    #[must_use]
    pub fn until_over(self, not_after: i64) -> Duration {
        let end = not_after.saturating_add(1).saturating_mul(1000);
        Duration::from_millis(end.saturating_sub(self.unix_ms).max(0).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_second_of_a_validity_belongs_to_it() {
        let now = |unix_ms| Now { instant: start(), unix_ms };
        let left = |unix_ms| now(unix_ms).until_over(1_000).as_millis();
        let all = [999_000, 999_999, 1_000_000, 1_000_999, 1_001_000, 1_002_000].map(left);
        assert_eq!(all, [2_000, 1_001, 1_000, 1, 0, 0]);
        assert!(now(i64::MIN).until_over(i64::MAX) > Duration::from_secs(1));
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }
}
