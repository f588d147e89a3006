//! `Form`: texts that have exactly one spelling: decimal numbers, dates, identifiers, bytes as text.

use crate::contract::calendar::{is_day, is_rfc3339, is_short_day, is_time};
use crate::contract::pattern::RuleError;
use crate::contract::value::Value;
use crate::policy::schema::AttributeKind;
use crate::rejection::Reason;
use std::borrow::Cow;

/// What the text of a field is written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A decimal number.
    Decimal(Decimal),
    /// A day, `YYYYMMDD`.
    Day,
    /// A day, `YYMMDD`.
    ShortDay,
    /// A date and time of RFC 3339, in capitals.
    Rfc3339,
    /// A time of day, `hhmmss`.
    Time,
    /// A UUID in small letters, 8-4-4-4-12.
    Uuid,
    /// Bytes as pairs of small hexadecimal digits; so many bytes.
    Hex(usize, usize),
    /// Bytes in Base64 with padding (RFC 4648 section 4); so many bytes.
    Base64(usize, usize),
}

/// A decimal number: how many digits it may have, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// Most digits before the point, 1 to 18.
    digits: usize,
    /// Most digits after the point, 0 to 18.
    scale: usize,
    /// The bounds, in units of the last place.
    min: Option<i128>,
    max: Option<i128>,
}

impl Decimal {
    /// A rule of these keys.
    ///
    /// # Errors
    /// K-02 for digits out of range, or a bound that is no such number itself.
    pub fn new(
        digits: i64,
        scale: i64,
        min: Option<&str>,
        max: Option<&str>,
    ) -> Result<Self, RuleError> {
        let bad = |message: String| RuleError::new("K-02", message);
        let within = |n: i64, lo| usize::try_from(n).ok().filter(|n| (lo..=18).contains(n));
        let (Some(digits), Some(scale)) = (within(digits, 1), within(scale, 0)) else {
            return Err(bad("a decimal has 1 to 18 `digits` and a `scale` of 0 to 18".to_owned()));
        };
        let mut made = Self { digits, scale, min: None, max: None };
        let bound = |text: &str| {
            made.units(text).ok_or_else(|| bad(format!("the bound `{text}` is no such decimal")))
        };
        let (min, max) = (min.map(bound).transpose()?, max.map(bound).transpose()?);
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(bad("`min` is above `max`".to_owned()));
        }
        (made.min, made.max) = (min, max);
        Ok(made)
    }

    /// What it is, for people.
    fn told(&self) -> String {
        let digits = if self.digits == 1 { "digit" } else { "digits" };
        let mut of = format!("a decimal of at most {} {digits}", self.digits);
        if self.scale > 0 {
            of = format!("{of} before the point and {} behind it", self.scale);
        }
        match (self.min.map(|n| self.spelled(n)), self.max.map(|n| self.spelled(n))) {
            (Some(min), Some(max)) => format!("{of}, {min} to {max}"),
            (Some(min), None) => format!("{of}, at least {min}"),
            (None, Some(max)) => format!("{of}, at most {max}"),
            (None, None) => of,
        }
    }

    /// A bound as a contract may write it.
    fn spelled(&self, units: i128) -> String {
        let digits = format!("{:0>width$}", units.unsigned_abs(), width = self.scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.scale);
        let sign = if units < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }

    /// Whether each such number is a `decimal` of Cedar: at most four digits behind the point, and
    /// a count of ten-thousandths that fits 64 bits.
    fn fits_policies(&self) -> bool {
        let ten = |digits: usize| 10_i128.saturating_pow(u32::try_from(digits).unwrap_or(u32::MAX));
        let (most, unit) =
            (ten(self.digits + self.scale) - 1, ten(4_usize.saturating_sub(self.scale)));
        let bounds = [self.min.unwrap_or(-most).max(-most), self.max.unwrap_or(most).min(most)];
        let fits = |units: &i128| i64::try_from(units.saturating_mul(unit)).is_ok();
        self.scale <= 4 && bounds.iter().all(fits)
    }

    fn holds(&self, text: &str) -> bool {
        self.units(text).is_some_and(|n| {
            self.min.is_none_or(|min| n >= min) && self.max.is_none_or(|max| n <= max)
        })
    }

    /// The number in units of the last place, if it is written canonically: no leading zero, no
    /// sign but `-`, no negative zero, no bare point.
    fn units(&self, text: &str) -> Option<i128> {
        let bare = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match bare.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (bare, ""),
        };
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let canonical = digits(whole)
            && digits(fraction)
            && (1..=self.digits).contains(&whole.len())
            && fraction.len() <= self.scale
            && (whole == "0" || !whole.starts_with('0'));
        if !canonical {
            return None;
        }
        let scale = self.scale;
        let units: i128 = format!("{whole}{fraction:0<scale$}").parse().ok()?;
        match text.starts_with('-') {
            true if units == 0 => None,
            true => Some(-units),
            false => Some(units),
        }
    }
}

impl Form {
    /// Why a value does not have this form, if it does not.
    pub(super) fn fault(&self, value: &Value<'_>) -> Option<(Reason, &'static str)> {
        let text = match (self, value) {
            (_, Value::Text(text)) => Cow::Borrowed(&**text),
            (Self::Decimal(_), Value::Int(number)) => Cow::Owned(number.to_string()),
            (Self::Decimal(_), Value::Float(_)) => {
                let mut spelled = Vec::new();
                crate::contract::decode::write_json(value, &mut spelled);
                String::from_utf8(spelled).map_or(Cow::Borrowed(""), Cow::Owned)
            }
            _ => Cow::Borrowed(""),
        };
        let bytes = text.as_bytes();
        let (holds, reason, what) = match self {
            Self::Decimal(rule) => {
                (rule.holds(&text), Reason::Decimal, "a decimal number within its bounds")
            }
            Self::Day => (is_day(bytes), Reason::Date, "a day of the calendar, `YYYYMMDD`"),
            Self::ShortDay => {
                (is_short_day(bytes), Reason::Date, "a day of the calendar, `YYMMDD`")
            }
            Self::Rfc3339 => {
                (is_rfc3339(bytes), Reason::Date, "a date and time as RFC 3339 writes it")
            }
            Self::Time => (is_time(bytes), Reason::Date, "a time of day, `hhmmss`"),
            Self::Uuid => (is_uuid(bytes), Reason::Encoding, "a UUID in small letters"),
            Self::Hex(lo, hi) => {
                let holds = hex(bytes).is_some_and(|size| (*lo..=*hi).contains(&size));
                (holds, Reason::Encoding, "hexadecimal digits of the allowed size")
            }
            Self::Base64(lo, hi) => {
                let holds = base64(bytes).is_some_and(|size| (*lo..=*hi).contains(&size));
                (holds, Reason::Encoding, "Base64 of the allowed size")
            }
        };
        (!holds).then_some((reason, what))
    }

    /// The type that it has in a policy, where it has one of its own: `Some(None)` for what no
    /// policy can read. Numbers of JSON are no texts.
    pub(crate) fn attribute_kind(&self, json: bool) -> Option<Option<AttributeKind>> {
        match self {
            Self::Decimal(rule) if rule.fits_policies() => Some(Some(AttributeKind::Decimal)),
            Self::Decimal(_) if json => Some(None),
            Self::Day | Self::Rfc3339 => Some(Some(AttributeKind::Datetime)),
            _ => None,
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Decimal(rule) => rule.told(),
            Self::Day => "a day `YYYYMMDD`".to_owned(),
            Self::ShortDay => "a day `YYMMDD`".to_owned(),
            Self::Rfc3339 => "a date and time of RFC 3339".to_owned(),
            Self::Time => "a time `hhmmss`".to_owned(),
            Self::Uuid => "a UUID".to_owned(),
            Self::Hex(lo, hi) => format!("{lo} to {hi} bytes in hexadecimal digits"),
            Self::Base64(lo, hi) => format!("{lo} to {hi} bytes in Base64"),
        }
    }
}

fn is_small_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_uuid(text: &[u8]) -> bool {
    let good = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => is_small_hex(*byte),
    };
    text.len() == 36 && text.iter().enumerate().all(good)
}

/// The bytes that hexadecimal digits stand for, counted.
fn hex(text: &[u8]) -> Option<usize> {
    let good = text.len().is_multiple_of(2) && text.iter().all(|b| is_small_hex(*b));
    good.then_some(text.len() / 2)
}

/// The bytes that a text in Base64 stands for, counted. The bits that the last character has over
/// are zero, so that no two texts stand for the same bytes.
fn base64(text: &[u8]) -> Option<usize> {
    let bare = match text {
        [bare @ .., b'=', b'='] | [bare @ .., b'='] => bare,
        bare => bare,
    };
    let value = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let known = bare.iter().all(|b| value(b).is_some());
    let over = match text.len() - bare.len() {
        0 => 0,
        1 => 0b11,
        _ => 0b1111,
    };
    let clean = bare.last().and_then(value).unwrap_or(0) & over == 0;
    (text.len().is_multiple_of(4) && known && clean).then_some(bare.len() * 3 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(form: &Form, text: &str) -> Option<Reason> {
        form.fault(&Value::Text(text.into())).map(|(reason, _)| reason)
    }

    // CON-13, TRAP-18
    #[test]
    fn a_decimal_has_one_spelling_for_its_digits() {
        let form = Form::Decimal(Decimal::new(9, 2, Some("-0.50"), Some("500.00")).unwrap());
        for good in ["0", "0.01", "500", "500.00", "499.9", "-0.5", "-0.50", "12.30"] {
            assert_eq!(reason(&form, good), None, "{good}");
        }
        for bad in [
            "",
            "-",
            ".5",
            "5.",
            "05",
            "00.5",
            "+5",
            "-0",
            "-0.00",
            "0.001",
            "500.01",
            "-0.51",
            "1e2",
            "1,0",
            " 5",
            "５",
            "5.٣",
            "1_0",
            "1234567890",
            "1.2.3",
            "NaN",
            "--5",
        ] {
            assert_eq!(reason(&form, bad), Some(Reason::Decimal), "{bad}");
        }
        assert_eq!(form.fault(&Value::Float(0.25)), None);
        assert_eq!(form.fault(&Value::Int(500)), None);
        for bad in [Value::Float(0.125), Value::Float(1e-7), Value::Bool(true), Value::Int(501)] {
            assert_eq!(
                form.fault(&bad).map(|(reason, _)| reason),
                Some(Reason::Decimal),
                "{bad:?}"
            );
        }
        assert!(Decimal::new(19, 0, None, None).is_err());
        assert!(Decimal::new(2, 0, Some("100"), None).is_err());
        assert!(Decimal::new(2, 1, Some("1.5"), Some("1")).is_err());
    }

    #[test]
    fn the_widest_decimal_is_compared_exactly() {
        let nines = "999999999999999999";
        let most = format!("{nines}.{nines}");
        let form = Form::Decimal(Decimal::new(18, 18, Some("0"), Some(&most)).unwrap());
        assert_eq!(reason(&form, &most), None);
        assert_eq!(reason(&form, &format!("{nines}0")), Some(Reason::Decimal));
    }

    // CON-13
    #[test]
    fn dates_are_days_that_exist() {
        assert_eq!(reason(&Form::Day, "20240229"), None);
        assert_eq!(reason(&Form::Day, "20230229"), Some(Reason::Date));
        assert_eq!(reason(&Form::ShortDay, "991231"), None);
        assert_eq!(reason(&Form::Time, "235960"), Some(Reason::Date));
        assert_eq!(reason(&Form::Rfc3339, "2026-11-26T05:34:29Z"), None);
        assert_eq!(Form::Day.fault(&Value::Int(20_240_229)).unwrap().0, Reason::Date);
    }

    // CON-13
    #[test]
    fn bytes_in_text_have_one_spelling() {
        assert_eq!(reason(&Form::Uuid, "6ba7b810-9dad-11d1-80b4-00c04fd430c8"), None);
        for bad in [
            "6BA7B810-9dad-11d1-80b4-00c04fd430c8",
            "6ba7b8109dad11d180b400c04fd430c8",
            "{6ba7b810-9dad-11d1-80b4-00c04fd430c}",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c",
        ] {
            assert_eq!(reason(&Form::Uuid, bad), Some(Reason::Encoding), "{bad}");
        }
        let hex = Form::Hex(1, 2);
        assert_eq!(reason(&hex, "0aff"), None);
        for bad in ["", "0", "0A", "0aff00", "0x0a", "0a ff"] {
            assert_eq!(reason(&hex, bad), Some(Reason::Encoding), "{bad}");
        }
        let base64 = Form::Base64(1, 3);
        for good in ["YQ==", "YWI=", "YWJj", "+/8="] {
            assert_eq!(reason(&base64, good), None, "{good}");
        }
        // No padding, bits over, the alphabet for addresses, padding alone, too long.
        for bad in ["YQ", "YQ=", "YR==", "YWJ=", "-_8=", "====", "", "YWJjZA==", "YQ==YQ==", "YQ=Q"]
        {
            assert_eq!(reason(&base64, bad), Some(Reason::Encoding), "{bad}");
        }
    }
}
