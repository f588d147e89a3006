//! What can be learned from each example: a draft that loads and lets pass all that it was drafted
//! from, or a sentence that says why there is none.

use segwan_core::contract::learn::{Conversation, learn, refused};
use segwan_core::contract::test::exchanges;
use segwan_core::contract::{Contract, Side};
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::session::{Outbox, Session, Warrant};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn load(file: &Path) -> Arc<Contract> {
    let text = std::fs::read_to_string(file).unwrap();
    let read = |name: &str| {
        std::fs::read_to_string(file.parent().unwrap().join(name)).map_err(|e| e.to_string())
    };
    Contract::load("e.toml", &text, &read).unwrap_or_else(|findings| panic!("{findings:?}")).0
}

/// What a contract's tests say and it lets pass: a record of what two programs said.
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn record(contract: &Arc<Contract>) -> Vec<Conversation> {
    let mut record = Vec::new();
    for exchange in exchanges(contract) {
        let now = Now { instant: Instant::now(), unix_ms: 0 };
        let warrant = Warrant::Rehearsed(true);
        let session = Session::open(warrant, Arc::clone(contract), &Limits::default(), now);
        let (mut session, mut said) = (session.listing_passed(), Vec::new());
        let mut took = |out: &Outbox| {
            for passed in &out.passed {
                let bytes = match passed.by {
                    Side::Client => out.to_server.as_slice(),
                    Side::Server => out.to_client.as_slice(),
                };
                said.push((passed.by, bytes[passed.frame.clone()].to_vec()));
            }
        };
        for (side, bytes) in exchange {
            let mut out = Outbox::default();
            session.receive(side, &bytes, None, now, &mut out);
            took(&out);
        }
        let mut out = Outbox::default();
        session.end(Side::Client, true, None, now, &mut out);
        took(&out);
        if !said.is_empty() {
            record.push(Conversation { said, whole: true });
        }
    }
    record
}

/// What the draft has of each example, or what is said instead of one.
const EXAMPLES: [(&str, Result<&str, &str>); 9] = [
    ("article/add-ten.toml", Ok("grammar = ")),
    ("article/add-ten-once.toml", Err("no framing cuts all that was said")),
    ("hl7/admit.toml", Err("is HL7 v2 over MLLP, and no draft is made for it")),
    ("jsonl/inventory.toml", Ok("tag    = \"/op\"")),
    ("ledger/ledger.toml", Ok("kind = \"json\"")),
    ("mcp/tools.toml", Ok("kind = \"json\"")),
    ("modbus/plc1.toml", Ok("codec    = \"modbus\"")),
    ("redis/cache.toml", Err("is RESP, the protocol of Redis, and no draft is made for it")),
    ("transfer-ko/transfer-ko.toml", Ok("type = \"ascii-dec\", digits = 4")),
];

// CON-29
#[test]
fn of_each_example_a_contract_is_learned_or_it_is_said_why_not() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for (file, expected) in EXAMPLES {
        let record = record(&load(&examples.join(file)));
        match (learn("learned", &record), expected) {
            (Ok(draft), Ok(has)) => {
                assert!(draft.text.contains(has), "{file}: {}", draft.text);
                let loaded = Contract::load("draft", &draft.text, &|_| Err(String::new()));
                let learned = loaded.unwrap_or_else(|findings| panic!("{file}: {findings:?}")).0;
                assert_eq!(refused(&learned, &record), [], "{file}");
            }
            (Err(why), Err(says)) => assert!(why.to_string().contains(says), "{file}: {why}"),
            (Ok(draft), Err(_)) => panic!("{file}: a draft\n{}", draft.text),
            (Err(why), Ok(_)) => panic!("{file}: {why}\n{:#?}", why.evidence),
        }
    }
}
