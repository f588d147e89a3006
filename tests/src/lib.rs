//! Toy services, a throw-away Authority and scripted peers for the tests of this package.
//!
//! Peers and services are blocking programs of the standard library, so they share nothing with
//! the gateway under test. Everything that is started has a handle that ends it, and nothing
//! waits longer than [`PATIENCE`].

pub mod installation;
pub mod naughty;
pub mod peer;
pub mod pki;
pub mod server;
pub mod service;
pub mod world;

use std::time::{Duration, Instant};

/// No wait of a test is longer; whoever waits for an event goes on when it is there.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a machine that has other work too may take beyond a wait that is under test: less than the
/// default in whose place that wait stands, so that a limit that nobody obeys is still seen.
pub const SLACK: Duration = Duration::from_secs(8);

/// Asks again and again until `ask` gives something.
///
/// # Panics
/// If it gives nothing within [`PATIENCE`]; `what` says what was awaited.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        pause(Duration::from_millis(5));
    }
}

/// Waits.
pub fn pause(wait: Duration) {
    let until = Instant::now() + wait;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}
