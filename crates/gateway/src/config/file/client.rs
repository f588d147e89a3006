//! `[client.NAME]` as written.

use super::{Reading, VALUE, half, limits, listeners, values};
use crate::config::Client;
use segwan::Expected;
use segwan_core::document::{Placed, Table};
use std::net::SocketAddr;

/// Most addresses of one far side, and most identities that it may have.
const MOST: usize = 16;

/// Reads one client half.
pub(super) fn client(table: &Table<'_, '_>, name: &str, reading: &Reading<'_>) -> Option<Client> {
    let name = half::name(table, name, reading);
    let listen = values::needed_address(table, "listen", "127.0.0.1:8000");
    if let Some(listen) = &listen {
        reading.listens(format!("`{}`", table.name()), listen);
    }
    let connect = connect(table, listen.as_ref());
    let peer = peer(table, reading);
    let inspection = half::inspection(table, reading);
    let limits = limits::limits(table, reading.drain);
    let contract_grace = half::contract_grace(table);
    half::waits(table, inspection.as_ref(), &limits);
    let tls = half::tls(table);
    let identity = half::source(table, name.as_deref().unwrap_or_default(), reading);
    Some(Client {
        name: name?,
        listen: listen?.value,
        connect: connect?,
        peer: peer?,
        inspection: inspection?,
        limits,
        contract_grace,
        tls: tls?,
        identity: identity?,
    })
}

/// Where the far side is. C21: not where the client half itself listens.
fn connect(table: &Table<'_, '_>, listen: Option<&Placed<SocketAddr>>) -> Option<Vec<String>> {
    if !table.has("connect") {
        let hint = "`connect = \"gateway.example:7443\"`";
        table.missing(VALUE, "connect", hint);
    }
    let hosts = values::hosts(table, "connect", MOST)?;
    for host in &hosts {
        let address = host.value.replace("localhost:", "127.0.0.1:").parse();
        if let (Some(listen), Ok(to)) = (listen, address)
            && listeners::leads_back(listen.value, to)
        {
            let message = format!("`{}` is where `{}` itself listens", host.value, table.name());
            table.error("C21", host.span.clone(), message);
        }
    }
    Some(hosts.into_iter().map(|host| host.value).collect())
}

/// Who the far side must be (C1, F1): there is no default, because any holder of a certificate of
/// the same Authority could stand there.
fn peer(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<Expected> {
    if !table.has("peer") {
        let message = format!("`{}` does not say who the far side must be", table.name());
        let hint = "`peer = \"orders\"`, or whole: `peer = \"spiffe://shop.example/orders\"`";
        table.error_with_hint("C1", table.span(), message, hint);
        return None;
    }
    let texts = values::texts(table, "peer", MOST)?;
    Expected::any_of(half::identities(table, &texts, "C1", reading)?)
}
