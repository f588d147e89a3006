//! When a certificate is renewed: spread over the window between a third and half of its life.

/// The instant at which to renew, Unix milliseconds: `draw` (0 to 65535) spreads it evenly over
/// [1/3, 1/2] of the life, so that a fleet that was enrolled together does not come together.
#[must_use]
pub fn renew_at(made_ms: i64, not_after_ms: i64, draw: u16) -> i64 {
    let (after, before) = window(made_ms, not_after_ms);
    after + (before - after) * i64::from(draw) / i64::from(u16::MAX)
}

/// The window in which a certificate is renewed, Unix milliseconds.
#[must_use]
pub fn window(made_ms: i64, not_after_ms: i64) -> (i64, i64) {
    let life = (not_after_ms - made_ms).max(0);
    (made_ms + life / 3, made_ms + life / 2)
}

/// The wait before another try, in milliseconds: a minute, doubling to half an hour, each ±20 %.
#[must_use]
pub fn retry_after(failures: u32, draw: u16) -> i64 {
    let plain = 60_000_i64.saturating_mul(1 << failures.min(5)).min(30 * 60_000);
    plain * 4 / 5 + plain * 2 / 5 * i64::from(draw) / i64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // PKI-30
    #[test]
    fn renewals_are_spread_over_the_window_and_none_is_outside() {
        let (made, end) = (1_000_000, 1_000_000 + 96 * 3_600_000);
        let (after, before) = window(made, end);
        assert_eq!((after - made, before - made), (32 * 3_600_000, 48 * 3_600_000));
        let mut tenths = [0; 10];
        for draw in 0..=u16::MAX {
            let at = renew_at(made, end, draw);
            assert!((after..=before).contains(&at));
            let tenth = usize::try_from((at - after) * 10 / (before - after + 1)).unwrap();
            tenths[tenth] += 1;
        }
        assert!(tenths.iter().all(|count| (6500..6600).contains(count)), "{tenths:?}");
    }

    #[test]
    fn a_failed_renewal_is_tried_again_with_growing_waits() {
        for (failures, minutes) in [(0, 1), (1, 2), (4, 16), (5, 30), (60, 30)] {
            let plain = minutes * 60_000;
            assert_eq!(retry_after(failures, 0), plain * 4 / 5);
            assert_eq!(retry_after(failures, u16::MAX), plain * 6 / 5);
        }
    }
}
