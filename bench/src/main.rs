//! What a message costs: framing, validation and policy alone, without sockets or TLS.
//!
//! `cargo run --release -p segwan-bench` prints nanoseconds for each question and its answer on one
//! core, the least, the median and the most of several rounds, and by how much the process grew
//! while one session carried a million of them. Gateways are compared as whole programs:
//! `bench/README.md`.

mod loads;

use loads::Load;
use segwan_core::contract::{Contract, Side};
use segwan_core::finding::Finding;
use segwan_core::identity::{CertificateFacts, Peer};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::{ConnectionFacts, Policy, PolicySource};
use segwan_core::session::{Outbox, Session, Warrant};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

const ROUNDS: usize = 9;
const MESSAGES: u32 = 100_000;
/// Messages of the session whose growth is looked at.
const LONG: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let title = "nanoseconds: one message and its reply";
    println!(
        "{title:<50} {:>6} {:>6} {:>7} {:>7} {:>9}",
        "bytes", "min", "median", "max", "growth"
    );
    for load in loads::all() {
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let mut speaking = Speaking::begin(&load)?;
            let began = Instant::now();
            speaking.say(&load, MESSAGES)?;
            rounds.push(began.elapsed().as_nanos() / u128::from(MESSAGES));
        }
        rounds.sort_unstable();
        let (min, median, max) = (rounds[0], rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
        let (name, size, growth) = (load.name, load.question.len(), growth(&load)?);
        println!("{name:<50} {size:>6} {min:>6} {median:>6} {max:>7} {growth:>5} KiB");
    }
    Ok(())
}

/// By how many KiB the process grew from the first tenth of a long session to its end.
fn growth(load: &Load) -> Result<i64, Box<dyn Error>> {
    let mut speaking = Speaking::begin(load)?;
    speaking.say(load, LONG / 10)?;
    let before = resident()?;
    speaking.say(load, LONG - LONG / 10)?;
    Ok(resident()? - before)
}

/// Resident memory of this process in KiB.
fn resident() -> Result<i64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?.parse()?)
}

/// One session of a load.
struct Speaking {
    policy: Policy,
    session: Session,
    now: Now,
    out: Outbox,
}

impl Speaking {
    fn begin(load: &Load) -> Result<Self, Box<dyn Error>> {
        let failed = |findings: Vec<Finding>| format!("{findings:?}");
        let none = |_: &str| Err("no other file".to_owned());
        let (contract, _) = Contract::load("contract", &load.contract, &none).map_err(failed)?;
        let source = PolicySource { file: "policy".to_owned(), text: load.policy.to_owned() };
        let compiled = Policy::compile("bench", &contract.actions(), &[], &[source]);
        let (policy, _) = compiled.map_err(failed)?;
        let facts = CertificateFacts {
            serial: "01".to_owned(),
            issuer: "aa".to_owned(),
            issuer_key: "aa".to_owned(),
            keys: vec![],
            not_before: 0,
            not_after: i64::MAX / 1000,
        };
        let peer = Arc::new(Peer::authenticated("spiffe://bench.test/client".parse()?, facts));
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let connection = ConnectionFacts { address, started_unix_ms: 0, tls: "1.3" };
        let now = Now { instant: Instant::now(), unix_ms: 1_800_000_000_000 };
        let permit = policy.admit(peer, connection, now)?;
        let session = Session::open(Warrant::Permit(permit), contract, &Limits::default(), now);
        Ok(Self { policy, session, now, out: Outbox::default() })
    }

    /// Asks, and is answered, so many times.
    fn say(&mut self, load: &Load, times: u32) -> Result<(), Box<dyn Error>> {
        let Self { policy, session, now, out } = self;
        for _ in 0..times {
            session.receive(Side::Client, &load.question, Some(policy), *now, out);
            session.receive(Side::Server, &load.answer, Some(policy), *now, out);
            if out.to_server.is_empty() || out.to_client.is_empty() {
                return Err(format!("`{}` was refused: {:?}", load.name, out.events).into());
            }
            out.to_server.clear();
            out.to_client.clear();
        }
        Ok(())
    }
}
