//! Dates and times as messages write them: only those that a calendar and a clock have.

/// Whether eight digits are a day of the Gregorian calendar, as `YYYYMMDD`.
#[must_use]
pub(crate) fn is_day(digits: &[u8]) -> bool {
    let (Some(year), Some(month), Some(day)) =
        (number(digits, 0, 4), number(digits, 4, 6), number(digits, 6, 8))
    else {
        return false;
    };
    digits.len() == 8 && year > 0 && exists(year, month, day)
}

/// Whether six digits are a day, as `YYMMDD`. Every fourth year of two digits is a leap year.
#[must_use]
pub(crate) fn is_short_day(digits: &[u8]) -> bool {
    let (Some(year), Some(month), Some(day)) =
        (number(digits, 0, 2), number(digits, 2, 4), number(digits, 4, 6))
    else {
        return false;
    };
    digits.len() == 6 && exists(2000 + year, month, day)
}

/// Whether six digits are a time of day, as `hhmmss`. A leap second is refused: most services do
/// not know it.
#[must_use]
pub(crate) fn is_time(digits: &[u8]) -> bool {
    let (Some(hour), Some(minute), Some(second)) =
        (number(digits, 0, 2), number(digits, 2, 4), number(digits, 4, 6))
    else {
        return false;
    };
    digits.len() == 6 && hour < 24 && minute < 60 && second < 60
}

/// Whether a text is a date and time of RFC 3339, in capitals: `2026-11-26T05:34:29.5+09:00`.
#[must_use]
pub(crate) fn is_rfc3339(text: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', rest @ ..] = text else { return false };
    let [h1, h2, b':', n1, n2, b':', s1, s2, rest @ ..] = rest else { return false };
    let zone = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        zone => zone,
    };
    let zone_holds = match zone {
        b"Z" => true,
        // `-00:00` says that the zone is not known (RFC 3339 section 4.3).
        b"-00:00" => false,
        [b'+' | b'-', h1, h2, b':', m1, m2] => is_time(&[*h1, *h2, *m1, *m2, b'0', b'0']),
        _ => false,
    };
    zone_holds
        && is_day(&[*y1, *y2, *y3, *y4, *m1, *m2, *d1, *d2])
        && is_time(&[*h1, *h2, *n1, *n2, *s1, *s2])
}

fn exists(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// The number that the digits of this range are.
fn number(digits: &[u8], from: usize, to: usize) -> Option<u32> {
    let digits = digits.get(from..to)?;
    digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    // CON-13
    #[test]
    fn only_days_that_exist_are_days() {
        for good in ["20240229", "20000229", "20261126", "00010101"] {
            assert!(is_day(good.as_bytes()), "{good}");
        }
        for bad in [
            "20230229",
            "19000229",
            "20261301",
            "20260431",
            "20260100",
            "00000101",
            "2026112",
            "202611260",
            "2026112６",
            "20 61126",
            "+0261126",
        ] {
            assert!(!is_day(bad.as_bytes()), "{bad}");
        }
        assert!(is_short_day(b"240229") && is_short_day(b"000229"));
        assert!(!is_short_day(b"230229") && !is_short_day(b"20240229"));
    }

    #[test]
    fn a_leap_second_is_no_time() {
        assert!(is_time(b"235959") && is_time(b"000000"));
        for bad in ["235960", "240000", "236000", "23595", "2359590"] {
            assert!(!is_time(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn rfc_3339_has_one_spelling_here() {
        for good in [
            "2026-11-26T05:34:29Z",
            "2026-11-26T05:34:29.123456789+09:00",
            "2024-02-29T00:00:00-23:59",
        ] {
            assert!(is_rfc3339(good.as_bytes()), "{good}");
        }
        for bad in [
            "2026-11-26t05:34:29z",
            "2026-11-26 05:34:29Z",
            "2026-11-26T05:34:29",
            "2026-11-26T05:34:60Z",
            "2026-11-26T05:34:29.Z",
            "2026-11-26T05:34:29.1234567890Z",
            "2026-11-26T05:34:29+24:00",
            "2026-11-26T05:34:29-00:00",
            "2026-11-26T05:34:29+0900",
            "2023-02-29T05:34:29Z",
            "",
        ] {
            assert!(!is_rfc3339(bad.as_bytes()), "{bad}");
        }
    }
}
