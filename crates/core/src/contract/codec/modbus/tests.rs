//! Contracts of Modbus, a session under each, and what both sides hear of it.

mod opens;
mod pieces;
mod replies;
mod requests;
mod roles;

use super::*;
use crate::audit::EventKind;
use crate::contract::Contract;
use crate::contract::units::bytes;
use crate::limits::Limits;
use crate::now::Now;
use crate::policy::Policy;
use crate::rejection::Reason;
use crate::session::{Outbox, Session, Warrant};
use std::sync::Arc;
use std::time::Instant;

const UNITS: &str = r#"
contract = "units/1"
codec    = "modbus"

[identity]
role = { x509_extension = "1.3.6.1.4.1.50316.802.1", type = "utf8", missing = "null-role" }

[[client.message]]
name         = "read"
match        = [1, 2, 3, 4]
fields.unit  = { enum = [1, 2] }
fields.addr  = { int = [0, 9999] }
fields.count = { int = [1, 125] }
action       = "modbus.read"
resource     = "unit/${unit}"

[[client.message]]
name          = "setpoint"
match         = [6, 16]
fields.unit   = { enum = [1] }
fields.addr   = { int = [100, 199] }
fields.count  = { int = [1, 100] }
fields.values = { each_int = [0, 1000] }
action        = "modbus.write"
resource      = "unit/${unit}"
"#;

const EVERYTHING: &str = r#"
contract = "everything/1"
codec    = "modbus"

[[client.message]]
name        = "read"
match       = [1, 2, 3, 4]
fields.unit = { enum = [1] }
action      = "modbus.read"

[[client.message]]
name          = "write"
match         = [5, 6, 15, 16]
fields.unit   = { enum = [1] }
fields.addr   = { int = [0, 65535] }
fields.values = { each_int = [0, 65535] }
action        = "modbus.write"

[[client.message]]
name        = "mask"
match       = [22]
fields.unit = { enum = [1] }
fields.addr = { int = [0, 65535] }
action      = "modbus.write"

[[client.message]]
name              = "both"
match             = [23]
fields.unit       = { enum = [1] }
fields.addr       = { int = [0, 65535] }
fields.write_addr = { int = [0, 65535] }
fields.values     = { each_int = [0, 65535] }
action            = "modbus.write"

[[client.message]]
name        = "identification"
match       = [43]
hazard      = "the maintenance tool asks which firmware runs"
fields.unit = { enum = [1] }
action      = "modbus.diagnose"
"#;

fn contract(text: &str) -> Arc<Contract> {
    match load(text) {
        Ok(contract) => contract,
        Err(findings) => panic!("{findings}"),
    }
}

fn load(text: &str) -> Result<Arc<Contract>, String> {
    let loaded = Contract::load("modbus.toml", text, &|_| Err("no file".to_owned()));
    loaded
        .map(|(contract, _)| contract)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn start() -> Now {
    Now { instant: Instant::now(), unix_ms: 0 }
}

/// What came out of a session: bytes for both sides, and the reasons of its refusals.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    service: Vec<u8>,
    peer: Vec<u8>,
    reasons: Vec<Reason>,
    ended: Option<Reason>,
}

struct Run {
    session: Session,
    policy: Option<Arc<Policy>>,
    now: Now,
    seen: Seen,
}

impl Run {
    fn new(contract: Arc<Contract>, warrant: Warrant, policy: Option<Arc<Policy>>) -> Self {
        let now = start();
        let session = Session::open(warrant, contract, &Limits::default(), now);
        Self { session, policy, now, seen: Seen::default() }
    }

    fn allowed(contract: Arc<Contract>) -> Self {
        Self::new(contract, Warrant::Rehearsed(true), None)
    }

    fn say(&mut self, side: Side, said: &[u8], piece: usize) {
        for piece in said.chunks(piece) {
            let mut out = Outbox::default();
            self.session.receive(side, piece, self.policy.as_deref(), self.now, &mut out);
            self.seen.service.extend_from_slice(out.to_server.as_slice());
            self.seen.peer.extend_from_slice(out.to_client.as_slice());
            let refused = out.events.iter().filter(|event| event.event == EventKind::Rejected);
            self.seen.reasons.extend(refused.filter_map(|event| event.reason));
            self.seen.ended = self.seen.ended.or_else(|| out.end.map(|end| end.reason));
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    bytes(&format!("hex:{text}")).unwrap()
}

/// A whole frame with transaction 7: unit, function code, data.
fn adu(unit: u8, code: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).unwrap();
    [&[0, 7, 0, 0][..], &length.to_be_bytes(), &[unit, code], data].concat()
}

/// A request of any function, as long as its function has it.
fn request(code: u8, unit: u8, addr: u16, count: u16, value: u16) -> Vec<u8> {
    let pair = [addr.to_be_bytes(), count.to_be_bytes()].concat();
    let data = match code {
        1..=4 => pair,
        5 => [addr.to_be_bytes(), [0xff, 0]].concat(),
        6 => [addr.to_be_bytes(), value.to_be_bytes()].concat(),
        15 => [&pair[..], &[u8::try_from(count.div_ceil(8)).unwrap()]]
            .concat()
            .into_iter()
            .chain(std::iter::repeat_n(0, usize::from(count.div_ceil(8))))
            .collect(),
        16 => {
            let values = value.to_be_bytes().repeat(usize::from(count));
            [&pair[..], &[u8::try_from(values.len()).unwrap()], &values].concat()
        }
        22 => hex("0064 00f2 0025"),
        23 => hex("0064 0001 0064 0001 02 0005"),
        _ => pair,
    };
    adu(unit, code, &data)
}
