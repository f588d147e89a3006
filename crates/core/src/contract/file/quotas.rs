//! `quota` as written, with K-48.

use super::actions::View;
use super::{fields, limits};
use crate::contract::limit::Per;
use crate::contract::quota::{Amount, Quota};
use crate::document::{Placed, Table};
use crate::policy::schema::AttributeKind;
use std::time::Duration;

/// The quota of a client's message.
pub(super) fn quota(message: &Table<'_, '_>, view: &View<'_>) -> Option<Quota> {
    let table = message.table("quota")?;
    let per = match table.text("per").map(|per| (per.value, per.span)) {
        Some(("connection", _)) => Some(Per::Connection),
        Some(("identity", _)) => Some(Per::Identity),
        Some(("service", _)) => Some(Per::Service),
        Some((other, span)) => {
            let text = format!("`per` is `{other}`, not `connection`, `identity` or `service`");
            table.error("K-02", span, text);
            None
        }
        None => {
            table.missing("K-02", "per", "`per = \"identity\"`");
            None
        }
    };
    let persist = table.boolean("persist").is_some_and(|flag| flag.value);
    if persist && per == Some(Per::Connection) {
        let text = "a count of one connection ends with it, and has nothing to `persist`";
        let hint = "`per = \"identity\"`, or no `persist`";
        table.error_with_hint("K-48", table.key_span("persist"), text, hint);
    }
    let amount = amount(&table, view);
    let max = table.integer("max").and_then(|max| match u64::try_from(max.value) {
        Ok(most) if most > 0 => Some(most),
        _ => {
            table.error("K-02", max.span, format!("`max` is {}, not above 0", max.value));
            None
        }
    });
    if !table.has("max") {
        table.missing("K-02", "max", "`max = 1000`");
    }
    let (second, month) = (Duration::from_secs(1), Duration::from_secs(31 * 86_400));
    let window = limits::wait(&table, "window", second, month);
    if !table.has("window") {
        table.missing("K-02", "window", "`window = \"24h\"`");
    }
    table.finish();
    Some(Quota { per: per?, amount: amount?, max: max?, window: window?, persist })
}

fn amount(table: &Table<'_, '_>, view: &View<'_>) -> Option<Amount> {
    let count = table.boolean("count").is_some_and(|flag| flag.value);
    match (table.text("sum"), count) {
        (None, true) => Some(Amount::Count),
        (Some(text), false) => sum(table, view, &text),
        _ => {
            let text = "a quota counts exactly one of `sum = \"/place\"` and `count = true`";
            table.error("K-02", table.span(), text);
            None
        }
    }
}

/// What is summed is an integer that every message has, that is never negative, and no secret.
fn sum(table: &Table<'_, '_>, view: &View<'_>, text: &Placed<&str>) -> Option<Amount> {
    let at = fields::pointer(table, text)?;
    let (check, fault) = match view.shown(&at) {
        None => ("K-30", format!("the quota sums `{at}`, which the message does not have")),
        Some(shown) if shown.secret => ("K-60", format!("`{at}` is secret, and is not summed")),
        Some(shown) if shown.kind != Some(AttributeKind::Long) => {
            ("K-48", format!("`{at}` is no integer"))
        }
        Some(shown) if !shown.required => ("K-48", format!("`{at}` may be absent")),
        Some(shown) if shown.unbounded => ("K-31", format!("`{at}` has no bounds")),
        Some(shown) if shown.lower.is_none_or(|lower| lower < 0) => {
            ("K-48", format!("`{at}` may be negative, which would give back what was asked for"))
        }
        Some(_) => return Some(Amount::Sum(at)),
    };
    table.error_with_hint(
        check,
        text.span.clone(),
        fault,
        "`int = [0, 1000]`, or `minimum` and `maximum`",
    );
    None
}
