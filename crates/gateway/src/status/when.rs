//! Instants as people read them: in UTC, and as a distance from now.

/// `2026-03-01 02:00:05Z`, to the second.
#[must_use]
pub fn instant(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000))
        .map_or_else(|_| format!("{ms} ms"), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// `in 31 h`, `3 min ago`: the largest unit of which there are at least two.
#[must_use]
pub fn distance(ms: i64, now_ms: i64) -> String {
    let seconds = (ms.saturating_sub(now_ms) / 1000).unsigned_abs();
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds >= 2 * size).unwrap_or((1, "s"));
    if ms < now_ms {
        format!("{} {unit} ago", seconds / size)
    } else {
        format!("in {} {unit}", seconds / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_a_unit_that_says_something() {
        let hour = 3_600_000;
        for (ms, text) in [
            (31 * hour, "in 31 h"),
            (96 * hour, "in 4 d"),
            (hour, "in 60 min"),
            (1500, "in 1 s"),
            (-90_000, "90 s ago"),
            (-3 * hour, "3 h ago"),
        ] {
            assert_eq!(distance(1_790_000_000_000 + ms, 1_790_000_000_000), text);
        }
        assert_eq!(instant(1_790_000_000_000), "2026-09-21 14:13:20Z");
        assert_eq!(instant(i64::MAX), "9223372036854775807 ms");
    }
}
