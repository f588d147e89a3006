//! Durations, sizes, rates and bytes as files write them.

use std::time::Duration;

/// A duration: one whole number and one unit of `ms`, `s`, `m`, `h`, `d` (DEP-60).
///
/// # Errors
/// A sentence, if the text is anything else.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("`{text}` is not a duration: a whole number and `ms`, `s`, `m`, `h` or `d`");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (digits, unit) = text.split_at_checked(split).ok_or_else(bad)?;
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(bad)
}

/// A duration as people write it: the largest unit that leaves a whole number.
#[must_use]
pub fn shown(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if ms >= size && ms.is_multiple_of(size) {
            return format!("{} {unit}", ms / size).replace(" m", " min");
        }
    }
    format!("{ms} ms")
}

/// A number as people read it, in groups of three digits.
#[must_use]
pub fn counted(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes: digits, or digits with `KiB` or `MiB`.
///
/// # Errors
/// A sentence, if the text is anything else; `kB` and `MB` mean two things.
pub fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size: bytes, or a whole number with `KiB` or `MiB`");
    let (digits, factor) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(digits), _) => (digits, 1 << 10),
        (_, Some(digits)) => (digits, 1 << 20),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(bad)
}

/// So much in each period: `20/s`, `100/m`, `1MiB/s`.
///
/// # Errors
/// A sentence, if the text is anything else.
pub fn rate(text: &str) -> Result<(u64, Duration), String> {
    let bad = || format!("`{text}` is not a rate: an amount and `/s`, `/m` or `/h`");
    let (amount, unit) = text.split_once('/').ok_or_else(bad)?;
    let period = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(bad()),
    };
    match size(amount) {
        Ok(amount) if amount > 0 => Ok((amount, Duration::from_secs(period))),
        _ => Err(bad()),
    }
}

/// Bytes that a text stands for: its UTF-8, or the digits after `hex:`.
///
/// # Errors
/// A sentence, if what follows `hex:` are no pairs of hexadecimal digits.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let Some(hex) = text.strip_prefix("hex:") else { return Ok(text.as_bytes().to_vec()) };
    let digits: Vec<u32> = hex
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).ok_or_else(|| format!("`{c}` is no hexadecimal digit")))
        .collect::<Result<_, _>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err("an odd number of hexadecimal digits".to_owned());
    }
    let byte = |pair: &[u32]| pair.iter().fold(0, |n, d| n * 16 + d);
    Ok(digits.chunks(2).filter_map(|pair| u8::try_from(byte(pair)).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_one_number_and_one_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("8h"), Ok(Duration::from_secs(28_800)));
        for bad in
            ["", "5", "s", "-5s", "1.5h", "10 s", "1h5m", "99999999999999999999s", "5S", "never"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(shown(Duration::from_secs(600)), "10 min");
        assert_eq!(shown(Duration::from_millis(1500)), "1500 ms");
    }

    #[test]
    fn sizes_and_rates_have_units_that_mean_one_thing() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("16"), Ok(16));
        for bad in ["64kB", "64MB", "1 KiB", "-1", "", "KiB", "1.5MiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(rate("1MiB/s"), Ok((1 << 20, Duration::from_secs(1))));
        assert_eq!(rate("100/m"), Ok((100, Duration::from_secs(60))));
        for bad in ["100", "0/s", "1/d", "/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_are_utf8_or_hex() {
        assert_eq!(bytes("5\n"), Ok(b"5\n".to_vec()));
        assert_eq!(bytes("hex: ff 0a"), Ok(vec![0xff, 0x0a]));
        assert!(bytes("hex: f").is_err() && bytes("hex: xx").is_err());
    }
}
