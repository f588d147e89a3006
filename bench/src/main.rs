//! What a message costs: framing, validation and policy alone, without sockets or TLS.
//!
//! `cargo run --release -p segwan-bench` prints nanoseconds for each message and its reply on one
//! core, the median of several rounds. Gateways are compared as whole programs: `bench/README.md`.

use segwan_core::contract::{Contract, Side};
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

/// A protocol with one question and its answer.
struct Load {
    name: &'static str,
    contract: String,
    policy: &'static str,
    question: String,
    answer: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let payload = "x".repeat(256 - r#"{"seq":1000000000,"action":"echo","payload":""}"#.len() - 1);
    let line = format!("{{\"seq\":1000000000,\"action\":\"echo\",\"payload\":\"{payload}\"}}\n");
    // The number service has a rate of its own, which is not what is measured.
    let rated = include_str!("../../examples/article/add-ten.toml");
    let unrated: Vec<_> = rated.lines().filter(|line| !line.starts_with("rate ")).collect();
    let loads = [
        Load {
            name: "add-ten, a line of 2 bytes",
            contract: unrated.join("\n"),
            policy: r#"@id("adds") permit (principal, action, resource);"#,
            question: "5\n".to_owned(),
            answer: "15\n".to_owned(),
        },
        Load {
            name: "JSON lines of 256 bytes, field rules, policy",
            contract: include_str!("../compare/lines.toml").to_owned(),
            policy: include_str!("../compare/lines.cedar"),
            question: line.clone(),
            answer: line,
        },
    ];
    println!(
        "{:<48} {:>10} {:>10} {:>10}",
        "message and its reply", "min ns", "median ns", "max ns"
    );
    for load in loads {
        let mut rounds = (0..ROUNDS).map(|_| round(&load)).collect::<Result<Vec<_>, _>>()?;
        rounds.sort_unstable();
        let (min, median, max) = (rounds[0], rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
        println!("{:<48} {min:>10} {median:>10} {max:>10}", load.name);
    }
    Ok(())
}

/// Nanoseconds for a question and its answer through one session.
fn round(load: &Load) -> Result<u128, Box<dyn Error>> {
    let failed = |findings: Vec<segwan_core::finding::Finding>| format!("{findings:?}");
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
    let began = Instant::now();
    let now = Now { instant: began, unix_ms: 1_800_000_000_000 };
    let permit = policy.admit(peer, connection, now)?;
    let mut session = Session::open(Warrant::Permit(permit), contract, &Limits::default(), now);
    let mut out = Outbox::default();
    for _ in 0..MESSAGES {
        session.receive(Side::Client, load.question.as_bytes(), Some(&policy), now, &mut out);
        session.receive(Side::Server, load.answer.as_bytes(), Some(&policy), now, &mut out);
        if out.to_server.is_empty() || out.to_client.is_empty() {
            return Err(format!("`{}` was refused: {:?}", load.name, out.events).into());
        }
        out.to_server.clear();
        out.to_client.clear();
    }
    Ok(began.elapsed().as_nanos() / u128::from(MESSAGES))
}
