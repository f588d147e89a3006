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

/// The instant, in Unix milliseconds, of a day (`YYYYMMDD`, its beginning in UTC) or of a date and
/// time of RFC 3339, within the years 1 to 9999. What is below a millisecond is left out.
#[must_use]
pub(crate) fn unix_ms(text: &[u8]) -> Option<i64> {
    if is_day(text) {
        return Some(days(text, 0, 4, 6)? * DAY_MS);
    }
    if !is_rfc3339(text) {
        return None;
    }
    let clock = |from: usize| {
        let (hour, minute) = (number(text, from, from + 2)?, number(text, from + 3, from + 5)?);
        Some(i64::from(hour * 60 + minute) * 60_000)
    };
    let seconds = i64::from(number(text, 17, 19)?) * 1000;
    let fraction = text.get(20..).filter(|_| text.get(19) == Some(&b'.')).unwrap_or_default();
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).chain(b"000").take(3);
    let ms = digits.fold(0, |n, byte| n * 10 + i64::from(byte - b'0'));
    let zone = text.len().saturating_sub(6);
    let ahead = match text.get(zone) {
        Some(b'+') => clock(zone + 1)?,
        Some(b'-') if text.last() != Some(&b'Z') => -clock(zone + 1)?,
        _ => 0,
    };
    let instant = days(text, 0, 5, 8)? * DAY_MS + clock(11)? + seconds + ms - ahead;
    (FIRST_MS..=LAST_MS).contains(&instant).then_some(instant)
}

const DAY_MS: i64 = 86_400_000;
/// The first instant of the year 1 and the last one of 9999.
const FIRST_MS: i64 = -62_135_596_800_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// The days since 1970-01-01 of the day that stands at these places (Howard Hinnant's
/// days-from-civil).
fn days(text: &[u8], year: usize, month: usize, day: usize) -> Option<i64> {
    let two = |at: usize| number(text, at, at + 2).map(i64::from);
    let (year, month, day) = (i64::from(number(text, year, year + 4)?), two(month)?, two(day)?);
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
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
    fn a_date_is_an_instant() {
        for (text, instant) in [
            ("19700101", 0),
            ("20261126", 1_795_651_200_000),
            ("20240229", 1_709_164_800_000),
            ("00010101", FIRST_MS),
            ("2026-11-26T05:34:29Z", 1_795_671_269_000),
            ("2026-11-26T05:34:29.5Z", 1_795_671_269_500),
            ("2026-11-26T05:34:29.1239+09:00", 1_795_638_869_123),
            ("2026-11-26T05:34:29-00:30", 1_795_673_069_000),
            ("9999-12-31T23:59:59.999Z", LAST_MS),
        ] {
            assert_eq!(unix_ms(text.as_bytes()), Some(instant), "{text}");
        }
        for none in ["261126", "20230229", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01"]
        {
            assert_eq!(unix_ms(none.as_bytes()), None, "{none}");
        }
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
