//! From what was seen to what is allowed: outward, to round numbers.

use super::{SAFE, Shape, TIMES};

impl Shape {
    pub(super) fn lowest(&self) -> i64 {
        match self.int_range {
            Some((lo, _)) if lo >= 1 => 1,
            Some((0, _)) | None => 0,
            _ => -SAFE,
        }
    }

    pub(in super::super) fn rounded_ints(&self) -> (i64, i64) {
        let (lo, hi) = self.int_range.unwrap_or_default();
        let down = |n: i64| match n {
            1 => 1,
            n if n < 0 => -outward(-n),
            n if n < 100 => 0,
            n => inward(n),
        };
        let up = |n: i64| if n < 0 { -inward(-n) } else { outward(n) };
        (down(lo), up(hi))
    }

    pub(in super::super) fn rounded_lengths(&self) -> (usize, usize) {
        let (lo, hi) = self.lengths.unwrap_or_default();
        if lo == hi && self.texts >= 2 * TIMES {
            return (lo, hi);
        }
        (lo.min(1), hi.next_power_of_two().max(8))
    }

    pub(in super::super) fn bytes(&self) -> (usize, usize) {
        let (lo, hi) = self.bytes.unwrap_or_default();
        (lo.min(1), hi.next_power_of_two().max(8))
    }

    pub(super) fn rounded_elements(&self) -> usize {
        self.elements.next_power_of_two().max(8)
    }
}

/// The next of 1, 2 or 5 times a power of ten that is not below `n`.
pub(super) fn outward(n: i64) -> i64 {
    steps().find(|step| *step >= n).unwrap_or(SAFE).max(n)
}

/// The last of them that is not above `n`.
pub(super) fn inward(n: i64) -> i64 {
    steps().take_while(|step| *step <= n).last().unwrap_or(0)
}

fn steps() -> impl Iterator<Item = i64> {
    let powers = std::iter::successors(Some(1_i64), |power| power.checked_mul(10)).take(15);
    std::iter::once(0).chain(powers.flat_map(|power| [power, 2 * power, 5 * power]))
}

pub(super) fn outward_float(x: f64) -> f64 {
    if x <= 0.0 {
        return -inward_float(-x);
    }
    let power = 10_f64.powf(x.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= x).unwrap_or(x)
}

fn inward_float(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let power = 10_f64.powf(x.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|step| step * power).find(|step| *step <= x).unwrap_or(0.0)
}

#[allow(clippy::cast_precision_loss, reason = "a bound that is rounded outward anyway")]
pub(super) fn as_float(n: i64) -> f64 {
    n as f64
}
