//! `[service.NAME.limits]` and `[client.NAME.limits]` as written.
//!
//! What is written has to fit together; what is not written follows from what is.

use super::values::{count, wait};
use segwan_core::contract::units;
use segwan_core::document::Table;
use segwan_core::limits::{Limits, WAITS};
use std::ops::Range;
use std::time::Duration;

/// Most connections or handshakes that can be asked for.
const MOST: usize = 1_000_000;

/// Waits that lie inside a session.
const INSIDE: [&str; 5] = [
    "first_message_timeout",
    "message_timeout",
    "idle_timeout",
    "write_timeout",
    "half_close_idle_timeout",
];

/// Reads the limits of one table. `drain` is the process' own.
pub(super) fn limits(table: &Table<'_, '_>, drain: Duration) -> Limits {
    let mut limits = Limits { drain_timeout: drain, ..Limits::default() };
    let Some(table) = table.table("limits") else { return limits };
    waits(&table, &mut limits);
    numbers(&table, &mut limits);
    table.finish();
    limits
}

fn waits(table: &Table<'_, '_>, limits: &mut Limits) {
    let mut written: Vec<(&str, Duration, Range<usize>)> = Vec::new();
    for (key, lo, hi) in WAITS {
        if let Some(wait) = wait(table, key, lo, hi)
            && let Some(field) = field(limits, key)
        {
            *field = wait.value;
            written.push((key, wait.value, wait.span));
        }
    }
    let session = limits.session_lifetime;
    for key in INSIDE {
        match written.iter().find(|(known, ..)| *known == key) {
            Some((_, wait, span)) if *wait > session => {
                let (wait, session) = (units::shown(*wait), units::shown(session));
                let message = format!(
                    "`{key}` is {wait}, longer than `session_lifetime`, which is {session}"
                );
                table.error("C9", span.clone(), message);
            }
            Some(_) => {}
            None => {
                if let Some(field) = field(limits, key) {
                    *field = session.min(*field);
                }
            }
        }
    }
}

fn numbers(table: &Table<'_, '_>, limits: &mut Limits) {
    let number = |key| count(table, "C10", key, MOST);
    let connections = number("max_connections").map(|count| count.value);
    let handshakes = number("max_handshakes").map(|count| count.value);
    limits.max_connections = connections.unwrap_or(limits.max_connections);
    limits.max_handshakes = handshakes.unwrap_or(limits.max_handshakes);
    let half = (limits.max_connections / 2).max(1);
    let part = |key: &'static str, whole_key: &str, whole: usize, default: usize| {
        let Some(part) = number(key) else { return default };
        if part.value > whole {
            let message =
                format!("`{key}` is {}, over `{whole_key}`, which is {whole}", part.value);
            table.error("C10", part.span, message);
        }
        part.value
    };
    let (connections, handshakes) = (limits.max_connections, limits.max_handshakes);
    limits.max_connections_per_address =
        part("max_connections_per_address", "max_connections", connections, half);
    limits.max_connections_per_identity =
        part("max_connections_per_identity", "max_connections", connections, half);
    let few = limits.max_handshakes_per_address.min(handshakes);
    limits.max_handshakes_per_address =
        part("max_handshakes_per_address", "max_handshakes", handshakes, few);
}

/// The wait that a key names.
fn field<'l>(limits: &'l mut Limits, key: &str) -> Option<&'l mut Duration> {
    Some(match key {
        "handshake_timeout" => &mut limits.handshake_timeout,
        "admit_timeout" => &mut limits.admit_timeout,
        "connect_timeout" => &mut limits.connect_timeout,
        "first_message_timeout" => &mut limits.first_message_timeout,
        "message_timeout" => &mut limits.message_timeout,
        "idle_timeout" => &mut limits.idle_timeout,
        "write_timeout" => &mut limits.write_timeout,
        "session_lifetime" => &mut limits.session_lifetime,
        "half_close_idle_timeout" => &mut limits.half_close_idle_timeout,
        "close_timeout" => &mut limits.close_timeout,
        "drain_timeout" => &mut limits.drain_timeout,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_has_its_field() {
        let mut limits = Limits::default();
        for (key, lo, hi) in WAITS {
            let wait = *field(&mut limits, key).unwrap();
            assert!((lo..=hi).contains(&wait), "{key}");
        }
    }
}
