//! `Limits`: how long a connection may wait, and how many there may be.
//!
//! Every wait has a name, a default, bounds and a price; none can be switched off. A contract may
//! tighten some of them (`contracts.md` section 16), never widen.

use std::time::Duration;

/// Deadlines of one connection and the numbers of a listener (`trust.md` sections 2 and 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Accept to verified peer. Default 10 s.
    pub handshake_timeout: Duration,
    /// Decision whether a peer may connect. Default 1 s.
    pub admit_timeout: Duration,
    /// Reaching the protected service. Default 5 s.
    pub connect_timeout: Duration,
    /// First byte of a first message, from either side. Default 30 s.
    pub first_message_timeout: Duration,
    /// One message, first byte to last. Default 30 s.
    pub message_timeout: Duration,
    /// Silence in both directions. Default 10 min; a shorter one frees a slot earlier.
    pub idle_timeout: Duration,
    /// One write to a side that does not read. Default 60 s.
    pub write_timeout: Duration,
    /// A whole session, however busy. Default 24 h.
    pub session_lifetime: Duration,
    /// Silence after one side has closed. Default 60 s.
    pub half_close_idle_timeout: Duration,
    /// Last bytes and close_notify. Default 5 s.
    pub close_timeout: Duration,
    /// Waiting for connections when the gateway stops. Default 30 s.
    pub drain_timeout: Duration,
    /// Connections of a listener. Default 10,000, or what the descriptors allow.
    pub max_connections: usize,
    /// Handshakes in progress of a listener. Default 512.
    pub max_handshakes: usize,
    /// Handshakes in progress of one address (IPv4 /32, IPv6 /64; loopback is exempt). Default 64.
    pub max_handshakes_per_address: usize,
    /// Connections of one address. Default half of `max_connections`.
    pub max_connections_per_address: usize,
    /// Connections of one identity. Default half of `max_connections`.
    pub max_connections_per_identity: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            handshake_timeout: s(10),
            admit_timeout: s(1),
            connect_timeout: s(5),
            first_message_timeout: s(30),
            message_timeout: s(30),
            idle_timeout: s(600),
            write_timeout: s(60),
            session_lifetime: s(24 * 3600),
            half_close_idle_timeout: s(60),
            close_timeout: s(5),
            drain_timeout: s(30),
            max_connections: 10_000,
            max_handshakes: 512,
            max_handshakes_per_address: 64,
            max_connections_per_address: 5_000,
            max_connections_per_identity: 5_000,
        }
    }
}

/// A deadline's key in a configuration file, and its bounds, both inclusive.
pub const WAITS: [(&str, Duration, Duration); 11] = {
    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }
    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }
    [
        ("handshake_timeout", s(1), s(60)),
        ("admit_timeout", ms(10), s(5)),
        ("connect_timeout", ms(100), s(60)),
        ("first_message_timeout", s(1), s(600)),
        ("message_timeout", ms(100), s(600)),
        ("idle_timeout", s(1), s(24 * 3600)),
        ("write_timeout", s(1), s(600)),
        ("session_lifetime", s(60), s(30 * 24 * 3600)),
        ("half_close_idle_timeout", s(1), s(600)),
        ("close_timeout", ms(100), s(60)),
        ("drain_timeout", s(0), s(3600)),
    ]
};
