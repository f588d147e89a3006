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
}
