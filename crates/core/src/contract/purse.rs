//! A contract that says what may be spent, for the tests of what is used up, written down and read
//! back.

use super::Contract;
use crate::now::Now;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// 100 won in 24 s for each identity.
pub(super) const SPENDS: &str = r#"
contract = "purse/1"
pair     = { by = "none" }

[client]
frame  = { kind = "lines" }
decode = { kind = "json" }
tag    = "/op"

[server]
frame  = { kind = "lines" }
decode = { kind = "json" }
tag    = "/op"

[[client.message]]
name    = "spend"
match   = ["spend"]
expects = "none"
action  = "spend"
fields.won = { int = [0, 1000] }
quota   = { per = "identity", sum = "/won", max = 100, window = "24s" }

[[server.message]]
name   = "tell"
match  = ["tell"]
pushes = true
fields.at = { int = [0, 9] }
"#;

pub(super) fn contract(text: &str) -> Arc<Contract> {
    let read = Contract::read("purse.toml", text, &|_| Err(String::new()));
    read.map_err(|findings| format!("{findings:#?}")).unwrap().0
}

/// [`SPENDS`] with a window of this length, whose counts are kept in a journal.
pub(super) fn persistent(window: &str) -> String {
    SPENDS.replace("window = \"24s\"", &format!("window = \"{window}\", persist = true"))
}

/// The same instant each time, so that what is written can be read back later.
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
pub(super) fn start() -> Now {
    static NOW: OnceLock<Instant> = OnceLock::new();
    Now { instant: *NOW.get_or_init(Instant::now), unix_ms: 1_800_000_000_000 }
}
