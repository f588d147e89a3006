//! A contract file of any text: it loads or is refused with places inside of it, and one that
//! loads takes any bytes from both sides.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::contract::{Contract, Side};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::session::{Outbox, Session, Warrant};
use std::time::Instant;

fuzz_target!(|text: &str| {
    let none = |_: &str| Err("no file".to_owned());
    match Contract::load("fuzz.toml", text, &none) {
        Err(findings) => {
            assert!(findings.iter().any(|finding| finding.is_error()), "refused without a reason");
            let lines = text.split('\n').count();
            assert!(findings.iter().all(|finding| finding.line <= lines), "a place outside");
        }
        Ok((contract, _)) => {
            let now = Now { instant: Instant::now(), unix_ms: 0 };
            let limits = Limits::default();
            let mut session = Session::open(Warrant::NotJudged, contract, &limits, now);
            let mut out = Outbox::default();
            for side in [Side::Client, Side::Server, Side::Client] {
                session.receive(side, text.as_bytes(), None, now, &mut out);
            }
            session.end(Side::Client, true, None, now, &mut out);
        }
    }
});
