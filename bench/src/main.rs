//! What a message costs: framing, validation and policy alone, without sockets or TLS.
//!
//! `cargo run --release -p segwan-bench` prints, in Markdown, nanoseconds on one core for each
//! question and for each answer, the least and the median of many short rounds, and by how much
//! the process grew while one session carried a quarter of a million of them; then the parts of
//! one message. A first argument keeps the loads with that word in their name. With a second, a
//! number, so many exchanges are had of each and nothing is printed: for a program that counts
//! instructions, which no other load of the machine changes. Gateways are compared as whole
//! programs: `bench/README.md`.

mod loads;
mod parts;

use loads::{Exchange, Load, MOST};
use segwan_core::contract::{Contract, Side};
use segwan_core::finding::Finding;
use segwan_core::identity::{CertificateFacts, Peer};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::{ConnectionFacts, Permit, Policy, PolicySource};
use segwan_core::session::{Outbox, Session, Warrant};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rounds so short that many fit between two interruptions.
const ROUNDS: usize = 201;
/// Exchanges of a round.
const ROUND: usize = 512;
/// Exchanges of the session whose growth is looked at.
const LONG: usize = 250_000;

fn main() -> Result<(), Box<dyn Error>> {
    let word = std::env::args().nth(1).unwrap_or_default();
    let loads = loads::all();
    let mut loads = loads.iter().filter(|load| load.name.contains(&word));
    if let Some(times) = std::env::args().nth(2) {
        let times = times.parse()?;
        return loads.try_for_each(|load| Speaking::begin(load)?.round(load, times).map(drop));
    }
    println!(
        "| one message, ns | bytes | request: least | median | reply: least | median | growth |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for load in loads {
        let mut speaking = Speaking::begin(load)?;
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (asking, answering) = speaking.round(load, ROUND)?;
            requests.push(each(asking, ROUND));
            replies.push(each(answering, ROUND));
        }
        let (requests, replies) = (spread(requests), spread(replies));
        let bytes =
            load.exchanges.first().map_or((0, 0), |one| (one.question.len(), one.answer.len()));
        println!(
            "| {} | {} + {} | {} | {} | {} | {} | {} KiB |",
            load.name,
            bytes.0,
            bytes.1,
            requests.0,
            requests.1,
            replies.0,
            replies.1,
            growth(load)?
        );
    }
    parts::print(&word)
}

/// Nanoseconds of one of so many.
fn each(took: Duration, times: usize) -> u128 {
    took.as_nanos() / times as u128
}

/// The least and the median.
fn spread(mut rounds: Vec<u128>) -> (u128, u128) {
    rounds.sort_unstable();
    (rounds[0], rounds[rounds.len() / 2])
}

/// By how many KiB the process grew from the first tenth of a long session to its end.
fn growth(load: &Load) -> Result<i64, Box<dyn Error>> {
    let mut speaking = Speaking::begin(load)?;
    speaking.round(load, LONG / 10)?;
    let before = resident()?;
    speaking.round(load, LONG - LONG / 10)?;
    Ok(resident()? - before)
}

/// Resident memory of this process in KiB.
fn resident() -> Result<i64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?.parse()?)
}

/// The policies of a load, and a peer that they let in.
fn admitted(contract: &Contract, text: &str, now: Now) -> Result<(Policy, Permit), Box<dyn Error>> {
    let source = PolicySource { file: "policy".to_owned(), text: text.to_owned() };
    let compiled = Policy::compile("bench", &contract.actions(), &[], &[source]);
    let (policy, _) = compiled.map_err(|findings| failed(&findings))?;
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
    let permit = policy.admit(peer, connection, now)?;
    Ok((policy, permit))
}

fn contract(text: &str) -> Result<Arc<Contract>, Box<dyn Error>> {
    let none = |_: &str| Err("no other file".to_owned());
    Ok(Contract::load("contract", text, &none).map_err(|findings| failed(&findings))?.0)
}

fn now() -> Now {
    Now { instant: Instant::now(), unix_ms: 1_800_000_000_000 }
}

fn failed(findings: &[Finding]) -> String {
    format!("{findings:?}")
}

/// One session of a load.
struct Speaking {
    policy: Policy,
    session: Session,
    now: Now,
    out: Outbox,
    /// How many exchanges it had.
    said: usize,
    /// How many questions are asked before their answers come.
    batch: usize,
    /// What it costs to look at the clock, which is no part of a message.
    clock: Duration,
}

impl Speaking {
    fn begin(load: &Load) -> Result<Self, Box<dyn Error>> {
        let (contract, now) = (contract(&load.contract)?, now());
        let (policy, permit) = admitted(&contract, load.policy, now)?;
        let batch = contract.limits().in_flight.min(MOST);
        let session = Session::open(Warrant::Permit(permit), contract, &Limits::default(), now);
        let clock = (0..1000).map(|_| Instant::now().elapsed()).min().unwrap_or_default();
        Ok(Self { policy, session, now, out: Outbox::default(), said: 0, batch, clock })
    }

    /// Asks so many questions and hears their answers, in batches; gives the time that the
    /// questions took and that of the answers.
    fn round(&mut self, load: &Load, times: usize) -> Result<(Duration, Duration), Box<dyn Error>> {
        let (mut asking, mut answering) = (Duration::ZERO, Duration::ZERO);
        let until = self.said + times;
        while self.said < until {
            let from = self.said % load.exchanges.len();
            let all = load.exchanges.get(from..).unwrap_or_default();
            let batch = all.get(..self.batch.min(until - self.said)).unwrap_or(all);
            self.said += batch.len();
            asking += self.ask(load, batch)?.saturating_sub(self.clock);
            answering += self.answer(load, batch)?.saturating_sub(self.clock);
        }
        Ok((asking, answering))
    }

    /// Asks; a function of its own, for a profile.
    #[inline(never)]
    fn ask(&mut self, load: &Load, batch: &[Exchange]) -> Result<Duration, Box<dyn Error>> {
        self.say(load, Side::Client, batch)
    }

    /// Answers; a function of its own, for a profile.
    #[inline(never)]
    fn answer(&mut self, load: &Load, batch: &[Exchange]) -> Result<Duration, Box<dyn Error>> {
        self.say(load, Side::Server, batch)
    }

    fn say(
        &mut self,
        load: &Load,
        side: Side,
        batch: &[Exchange],
    ) -> Result<Duration, Box<dyn Error>> {
        let Self { policy, session, now, out, .. } = self;
        let began = Instant::now();
        for one in batch {
            let (message, to) = match side {
                Side::Client => (&one.question, &mut out.to_server),
                Side::Server => (&one.answer, &mut out.to_client),
            };
            to.clear();
            session.receive(side, message, Some(policy), *now, out);
            if match side {
                Side::Client => out.to_server.is_empty(),
                Side::Server => out.to_client.is_empty(),
            } {
                return Err(format!(
                    "`{}` of {side:?} was refused after {} of {}: {:?}",
                    load.name,
                    session.in_flight(),
                    batch.len(),
                    out.events
                )
                .into());
            }
        }
        Ok(began.elapsed())
    }
}
