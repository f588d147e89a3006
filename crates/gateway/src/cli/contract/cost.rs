//! The work bounds of a contract as a table, in Markdown like all that a contract prints.

use segwan_core::contract::cost::{BUDGET, Cost};
use segwan_core::contract::units::counted;
use std::fmt::Write as _;

/// One block of rows for each message: its steps and their sum.
pub(super) fn table(costs: &[Cost]) -> String {
    let mut text = String::from("| side | message | step | units |\n|---|---|---|---:|\n");
    for cost in costs {
        let side = cost.side.as_str();
        for part in &cost.parts {
            let (name, units) = (part.name, counted(part.units));
            let _ = writeln!(text, "| {side} | `{}` | {name} | {units} |", cost.message);
        }
        let all = counted(cost.units());
        let _ = writeln!(text, "| {side} | `{}` | **all** | **{all}** |", cost.message);
    }
    let _ = writeln!(text, "\nA unit is about 10 ns; at most {} for one message.", counted(BUDGET));
    text
}
