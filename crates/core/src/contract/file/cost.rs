//! K-95: a message that may cost too much is refused with the bound that would mend it.

use super::direction::Draft;
use crate::contract::cost::{BUDGET, cost};
use crate::contract::units::counted;
use crate::contract::{ContractLimits, Pairing, Side};
use crate::document::Table;

pub(super) fn check(
    top: &Table<'_, '_>,
    side: Side,
    draft: &Draft,
    limits: &ContractLimits,
    pairing: &Pairing,
) {
    for (message, span) in draft.rule.messages.iter().zip(&draft.spans) {
        let cost = cost(side, &draft.rule, message, limits, pairing);
        let units = cost.units();
        let Some(dearest) = cost.dearest().filter(|_| units > BUDGET) else { continue };
        let sentence = format!(
            "message `{}` may cost {} units of work; at most {}",
            message.name,
            counted(units),
            counted(BUDGET)
        );
        let hint = format!(
            "most of it is {} ({}): {}",
            dearest.name,
            counted(dearest.units),
            dearest.mend
        );
        top.error_with_hint("K-95", span.clone(), sentence, hint);
    }
}
