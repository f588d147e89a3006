//! The draft of a contract for Modbus/TCP, by function codes and ranges of addresses.

use super::Entry;
use super::toml::{aligned, message, test};
use crate::contract::Side;
use crate::contract::decode::{DecodeRule, WireLimits};
use crate::contract::learn::{Manner, Message, modbus};
use crate::contract::value::Value;
use std::fmt::Write;

pub(super) fn draft(text: &mut String, client: &[&Message], server: &[&Message], manner: Manner) {
    let _ = writeln!(
        text,
        "codec    = \"modbus\"  # all {} messages of the client and {} of the server are Modbus/TCP\n\n[client]\ntag = \"/fc\"",
        client.len(),
        server.len()
    );
    let rule = DecodeRule::Modbus(Side::Client);
    let read = |message: &&Message| {
        let tree = rule.read(&message.payload, &WireLimits::default());
        tree.map_or(Value::Null, Value::into_owned)
    };
    let trees: Vec<Value<'static>> = client.iter().map(read).collect();
    let functions = modbus::functions(&trees);
    for function in &functions {
        let mut body = vec![format!("match   = [{}]", function.code)];
        body.extend(aligned(&function.fields));
        if function.opaque {
            body.push(
                "hazard  = \"the content of this function is not read; it was used in the record\""
                    .to_owned(),
            );
        }
        let action = if function.writes { "write" } else { "read" };
        let action = if function.opaque { &function.group.name } else { action };
        let role = format!("action   = \"modbus.{action}\"\nresource = \"unit/${{unit}}\"");
        let entry = Entry { group: function.group.clone(), body, secret: false };
        message(text, "client", &entry, &role, client.len());
    }
    let first = functions.iter().filter_map(|function| function.group.members.first());
    let vectors: Vec<&[u8]> =
        first.filter_map(|at| client.get(*at)).map(|message| message.frame.as_slice()).collect();
    test(text, "what the client was heard to say", "client", None, &vectors, "forward");
    if manner.refusals {
        let codes: Vec<i64> = functions.iter().map(|function| function.code).collect();
        if !codes.contains(&8) {
            let diagnostics: &[u8] = &[0, 1, 0, 0, 0, 6, 1, 8, 0, 1, 0, 0];
            test(
                text,
                "diagnostics, which were not heard",
                "client",
                None,
                &[diagnostics],
                "undeclared",
            );
        }
    }
}
