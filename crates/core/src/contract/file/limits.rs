//! `[limits]` as written.

use crate::contract::ContractLimits;
use crate::contract::limit::{Bucket, EACH, Per, Rate};
use crate::contract::units;
use crate::document::{Placed, Table, integer};
use std::time::Duration;
use toml::de::DeValue;

/// Messages above this are warned of (K-92).
const LARGE: usize = 1 << 20;

pub(super) fn limits(top: &Table<'_, '_>, mut limits: ContractLimits) -> ContractLimits {
    let Some(table) = top.table("limits") else { return limits };
    let size = |key, into: &mut usize, lo: u64, hi: u64| {
        if let Some(value) = bounded_size(&table, key, lo, hi) {
            *into = value;
        }
    };
    size("message", &mut limits.wire.message, 1, 16 << 20);
    if limits.wire.message > LARGE {
        let text = "`message` is over 1 MiB, which each connection may hold of one message";
        let finding = table.document().error("K-92", table.key_span("message"), text).warning();
        table.document().find(finding.hint("a protocol that sends much sends it in parts"));
    }
    limits.server_message = limits.wire.message;
    size("server_message", &mut limits.server_message, 1, 16 << 20);
    size("depth", &mut limits.wire.depth, 1, 64);
    size("nodes", &mut limits.wire.nodes, 1, 1_000_000);
    limits.wire.string = limits.wire.message.max(limits.server_message);
    let largest = limits.wire.string as u64;
    size("string", &mut limits.wire.string, 1, largest);
    size("key", &mut limits.wire.key, 1, 4096);
    size("in_flight", &mut limits.in_flight, 1, 4096);
    size("resources", &mut limits.resources, 1, 1024);
    let mut refusals = limits.refusals as usize;
    size("refusals", &mut refusals, 1, 10_000);
    limits.refusals = u32::try_from(refusals).unwrap_or(limits.refusals);

    let s = Duration::from_secs;
    limits.first_message_timeout = wait(&table, "first_message_timeout", s(1), s(600));
    limits.message_timeout = wait(&table, "message_timeout", Duration::from_millis(100), s(600));
    limits.idle_timeout = wait(&table, "idle_timeout", s(1), s(24 * 3600));
    limits.session_lifetime = wait(&table, "session_lifetime", s(60), s(30 * 24 * 3600));
    let reply = wait(&table, "reply_timeout", Duration::from_millis(100), s(24 * 3600));
    limits.reply_timeout = reply.unwrap_or(limits.reply_timeout);
    limits.rate = rates(&table, limits.wire.message as u64);
    table.finish();
    limits
}

/// A size with its bounds: a whole number, or a text with a unit.
fn bounded_size(table: &Table<'_, '_>, key: &'static str, lo: u64, hi: u64) -> Option<usize> {
    let value = table.value(key)?;
    let size = match value.get_ref() {
        DeValue::String(text) => units::size(text).map_err(Some),
        other => integer(other).and_then(|n| u64::try_from(n).ok()).ok_or(None),
    };
    match size {
        Ok(size) if (lo..=hi).contains(&size) => return usize::try_from(size).ok(),
        Ok(size) => {
            let message = format!("`{key}` is {size}, outside {lo} to {hi}");
            table.error("K-02", value.span(), message);
        }
        Err(Some(sentence)) => table.error("K-02", value.span(), sentence),
        Err(None) => {
            let message = format!("`{key}` is not a size");
            table.error_with_hint(
                "K-02",
                value.span(),
                message,
                format!("`{key} = 1024` or `\"64KiB\"`"),
            );
        }
    }
    None
}

/// A duration with its bounds.
pub(super) fn wait(
    table: &Table<'_, '_>,
    key: &'static str,
    lo: Duration,
    hi: Duration,
) -> Option<Duration> {
    let text = table.text(key)?;
    match units::duration(text.value) {
        Ok(wait) if (lo..=hi).contains(&wait) => return Some(wait),
        Ok(wait) => {
            let (is, lo, hi) = (units::shown(wait), units::shown(lo), units::shown(hi));
            table.error("K-02", text.span, format!("`{key}` is {is}, outside {lo} to {hi}"));
        }
        Err(sentence) => table.error("K-02", text.span, sentence),
    }
    None
}

/// `rate = { … }` or a list of such tables.
fn rates(limits: &Table<'_, '_>, largest: u64) -> Vec<Rate> {
    let Some(value) = limits.value("rate") else { return Vec::new() };
    let placed = Placed { value: "rate", span: value.span() };
    let rates: Vec<Rate> = match value.get_ref() {
        DeValue::Array(list) => list
            .iter()
            .filter_map(|element| {
                limits.named(&Placed { value: "rate", span: element.span() }, element)
            })
            .filter_map(|table| rate(&table, largest))
            .collect(),
        _ => limits
            .named(&placed, value)
            .and_then(|table| rate(&table, largest))
            .into_iter()
            .collect(),
    };
    let alike = |of: &Rate| rates.iter().filter(|rate| rate.per == of.per).count();
    if rates.iter().any(|rate| alike(rate) > EACH) {
        let message = format!("over {EACH} rates of one kind of holder");
        limits.error("K-02", value.span(), message);
    }
    rates
}

fn rate(table: &Table<'_, '_>, largest: u64) -> Option<Rate> {
    let per = match table.text("per").map(|per| (per.value, per.span)) {
        Some(("connection", _)) | None => Per::Connection,
        Some(("identity", _)) => Per::Identity,
        Some(("service", _)) => Per::Service,
        Some((other, span)) => {
            let message = format!("`per` is `{other}`, not `connection`, `identity` or `service`");
            table.error("K-02", span, message);
            return None;
        }
    };
    let refuse = match table.text("over").map(|over| (over.value, over.span)) {
        None | Some(("wait", _)) => false,
        Some(("refuse", _)) => true,
        Some((other, span)) => {
            table.error("K-02", span, format!("`over` is `{other}`, not `wait` or `refuse`"));
            return None;
        }
    };
    // Of messages where there is a rate of them, else of bytes.
    let burst = bounded_size(table, "burst", 1, 1 << 40).map(|burst| burst as u64);
    let of_messages = table.has("messages");
    let messages = bucket(table, "messages", burst, 1);
    let bytes = bucket(table, "bytes", burst.filter(|_| !of_messages), largest);
    table.finish();
    if messages.is_none() && bytes.is_none() && !table.has("messages") && !table.has("bytes") {
        table.missing("K-02", "messages", "`messages = \"50/s\"` or `bytes = \"1MiB/s\"`");
    }
    Some(Rate { per, messages, bytes, refuse })
}

/// A bucket holds two seconds' worth, and never less than one largest message (K-16).
fn bucket(
    table: &Table<'_, '_>,
    key: &'static str,
    burst: Option<u64>,
    least: u64,
) -> Option<Bucket> {
    let text = table.text(key)?;
    match units::rate(text.value) {
        Ok((amount, period)) => {
            let two_seconds = amount.saturating_mul(2) / period.as_secs().max(1);
            let burst = burst.unwrap_or_else(|| two_seconds.max(least));
            if burst < least {
                let message = format!("a burst of {burst} is under one largest message ({least})");
                table.error("K-16", table.key_span("burst"), message);
                return None;
            }
            Some(Bucket { amount, period, burst })
        }
        Err(sentence) => {
            table.error("K-02", text.span, sentence);
            None
        }
    }
}
