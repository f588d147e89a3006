//! Addresses that several tables want, and connections that would come back (C11, C21).

use segwan_core::document::Table;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// One address on which something listens.
pub(super) struct Listener {
    /// What listens: `[service.orders]`.
    pub(super) who: String,
    pub(super) address: SocketAddr,
    pub(super) span: Range<usize>,
}

/// C11: two listeners on one address.
pub(super) fn check(top: &Table<'_, '_>, listeners: &[Listener]) {
    for (at, listener) in listeners.iter().enumerate() {
        let taken = listeners.iter().take(at).find(|l| overlap(l.address, listener.address));
        if let Some(first) = taken {
            let message = format!(
                "{} listens on `{}`, where {} listens on `{}`",
                listener.who, listener.address, first.who, first.address
            );
            top.error_with_hint("C11", listener.span.clone(), message, "give it a port of its own");
        }
    }
}

/// Whether both cannot be bound by two. Port 0 is a new port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (x, y) = (a.ip(), b.ip());
    // `[::]` takes IPv4 too, unless the host says otherwise.
    let takes =
        |wide: IpAddr, other: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || other.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (x == y || takes(x, y) || takes(y, x))
}

/// C21: whether a connection to `to` arrives at `listen` again.
pub(super) fn leads_back(listen: SocketAddr, to: SocketAddr) -> bool {
    let (here, there) = (listen.ip(), to.ip());
    let arrives = here == there
        || there.is_unspecified() && (here.is_loopback() || here.is_unspecified())
        || here.is_unspecified() && there.is_loopback() && overlap(listen, to);
    listen.port() == to.port() && listen.port() != 0 && arrives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_overlaps_what_it_takes() {
        let overlap = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlap("127.0.0.1:1", "127.0.0.1:1") && overlap("0.0.0.0:1", "127.0.0.1:1"));
        assert!(overlap("127.0.0.1:1", "[::]:1") && overlap("[::]:1", "0.0.0.0:1"));
        assert!(!overlap("127.0.0.1:0", "127.0.0.1:0") && !overlap("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!overlap("0.0.0.0:1", "[::1]:1") && !overlap("127.0.0.1:1", "127.0.0.2:1"));
    }

    #[test]
    fn a_connection_that_comes_back_is_known() {
        let back = |a: &str, b: &str| leads_back(a.parse().unwrap(), b.parse().unwrap());
        assert!(back("127.0.0.1:1", "127.0.0.1:1") && back("0.0.0.0:1", "127.0.0.1:1"));
        assert!(back("[::]:1", "127.0.0.1:1") && back("127.0.0.1:1", "0.0.0.0:1"));
        assert!(!back("0.0.0.0:1", "10.0.0.9:1") && !back("127.0.0.1:1", "127.0.0.1:2"));
    }
}
