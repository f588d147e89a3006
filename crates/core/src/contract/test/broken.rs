//! Cleared vectors cut short and broken: what a peer that fails, or lies, makes of them.
//!
//! Cut at any byte and ended, a vector gets the first verdicts of the whole one, then at most that
//! of a frame that was cut. With a bit turned it gets a verdict that is one, the same in all cuttings.
//! The places are the same in every run.

use super::rehearsal::{Seen, told};
use super::runner::Runner;
use super::{Expect, Source};
use crate::audit::{Event, EventKind};
use crate::contract::Side;
use crate::contract::frame::{AtEof, FrameRule};
use crate::rejection::Reason;

/// Most places at which one vector is cut.
const CUTS: usize = 256;
/// Bits that are turned in the vectors of one test, and the least of each vector.
const FLIPS: usize = 256;
const LEAST: usize = 8;

impl Runner<'_> {
    /// Cuts and breaks every vector that is cleared.
    pub(super) fn broken(&self) -> Result<(), String> {
        let Source::Vectors(side, inputs, Expect::Forward) = &self.vector.source else {
            return Ok(());
        };
        if self.contract.direction(*side).frame.uninspected().is_some() {
            return Ok(());
        }
        let flips = (FLIPS / inputs.len().max(1)).max(LEAST);
        for (at, input) in inputs.iter().enumerate() {
            let failed = |failure| format!("vector {} {failure}", at + 1);
            self.cut_short(*side, input).map_err(failed)?;
            self.turned(*side, input, flips).map_err(failed)?;
        }
        Ok(())
    }

    fn cut_short(&self, side: Side, input: &[u8]) -> Result<(), String> {
        let whole_at_end = match &self.contract.direction(side).frame {
            FrameRule::Eof => true,
            FrameRule::Lines(lines) => lines.at_eof == AtEof::Accept,
            _ => false,
        };
        if whole_at_end {
            // A cut with a clean end cannot be seen.
            return Ok(());
        }
        let whole = self.rehearse(side, input, usize::MAX);
        for at in places(input.len()) {
            let mut seen = self.rehearse(side, input.get(..at).unwrap_or_default(), usize::MAX);
            if seen.verdicts.last().is_some_and(is_of_a_cut) {
                seen.verdicts.pop();
            }
            if !begins(&whole, &seen) {
                let is = seen.verdicts.last().map_or_else(|| "nothing".to_owned(), told);
                return Err(format!("cut after {at} bytes gets another verdict: {is}"));
            }
        }
        Ok(())
    }

    fn turned(&self, side: Side, input: &[u8], flips: usize) -> Result<(), String> {
        let mut random = 0x5e67_7761_6e21;
        let bits = input.len() as u64 * 8;
        for _ in 0..flips {
            random = next(random);
            let bit = (random >> 16) % bits.max(1);
            let place = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            let mut broken = input.to_vec();
            if let Some(byte) = broken.get_mut(place) {
                *byte ^= 1 << (bit % 8);
            }
            let seen = self.rehearse(side, &broken, usize::MAX);
            let turned = format!("with bit {} of byte {place} turned", bit % 8);
            if let Some(event) = seen.verdicts.iter().find(|event| !is_verdict(event)) {
                return Err(format!("{turned} gets no verdict: {}", told(event)));
            }
            if self.rehearse(side, &broken, 1) != seen {
                return Err(format!("{turned} gets another verdict byte by byte"));
            }
        }
        Ok(())
    }
}

/// Where an input of so many bytes is cut: everywhere, or evenly.
fn places(size: usize) -> impl Iterator<Item = usize> {
    (1..size).step_by(size.div_ceil(CUTS).max(1))
}

fn begins(whole: &Seen, seen: &Seen) -> bool {
    whole.verdicts.starts_with(&seen.verdicts)
        && whole.service.starts_with(&seen.service)
        && whole.peer.starts_with(&seen.peer)
}

fn is_of_a_cut(event: &Event) -> bool {
    matches!(
        event.reason,
        Some(Reason::TruncatedFrame | Reason::TruncatedStream | Reason::TruncatedAnswer)
    )
}

fn is_verdict(event: &Event) -> bool {
    match event.event {
        EventKind::Rejected => event.class.is_some(),
        EventKind::Cleared => event.class.is_none(),
        _ => false,
    }
}

/// The linear congruential generator of Knuth's MMIX.
fn next(random: u64) -> u64 {
    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}
