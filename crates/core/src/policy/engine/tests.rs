//! What the engine cuts, keeps and leaves out changes no decision: each is compared with plain Cedar's.

mod drawn;
mod plain;

use super::*;
use crate::contract::value::Value;
use crate::policy::schema::{Attribute, AttributeKind};
use crate::policy::{DecisionCache, Policy};
use drawn::{asks, comparing_file, policy_file};
use plain::Plain;
use proptest::prelude::*;
use std::net::IpAddr;
use std::time::Instant;

/// Values by their names.
type Named = Vec<(&'static str, Value<'static>)>;

/// What is asked: action, resources, what the message shows, and what is remembered.
type Asked = (usize, Vec<&'static str>, Named, Named);

fn actions() -> Vec<ActionShape> {
    let attribute =
        |name: &str, kind, optional| Attribute { name: name.to_owned(), kind, optional };
    let read = vec![
        attribute("addr", AttributeKind::Long, false),
        attribute("count", AttributeKind::Long, false),
        attribute("note", AttributeKind::String, true),
        attribute("a.b", AttributeKind::Bool, true),
    ];
    let mut write = read.clone();
    write.push(attribute("values", AttributeKind::Set(AttributeKind::Long.into()), false));
    let inner = vec![attribute("unit", AttributeKind::String, false)];
    write.push(attribute("at", AttributeKind::Record(inner), true));
    let shape = |name: &str, on_resource, context| {
        let name = name.to_owned();
        let session = vec![
            attribute("user", AttributeKind::String, true),
            attribute("addr", AttributeKind::Long, true),
        ];
        ActionShape { name, on_resource, context, session }
    };
    vec![
        shape("io.read", true, read),
        shape("io.write", true, write),
        shape("status", false, vec![]),
    ]
}

const NAMES: [&str; 3] = ["io.read", "io.write", "status"];
const PEERS: [&str; 3] =
    ["spiffe://a.example/hmi", "spiffe://a.example/panel", "spiffe://b.example/hmi"];

#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
fn at(unix_ms: i64) -> Now {
    Now { instant: Instant::now(), unix_ms }
}

/// Compares what a file's policies say of each question, with those of another file in force now
/// and then. Nothing is compared where a file is refused, or does not let the peer in.
fn compare(files: &[String; 2], who: usize, asked: &[(Asked, bool, i64)]) -> Option<()> {
    let compiled = files.each_ref().map(|text| {
        let source = PolicySource { file: "f".to_owned(), text: text.clone() };
        Policy::compile("plc", &actions(), &[], &[source]).ok()
    });
    // A condition that cannot hold for an action is refused at load.
    let [Some((first, _)), Some((second, _))] = compiled else { return None };
    let plain = files.each_ref().map(|text| Plain::of(text));
    let peer = Peer::called(PEERS[who]);
    let address: IpAddr = [127, 0, 0, 1].into();
    let connection = ConnectionFacts { address, started_unix_ms: 0, tls: "1.3" };
    let permit = first.admit(Arc::clone(&peer), connection.clone(), at(0)).ok()?;
    let mut cache = DecisionCache::default();
    for ((action, resources, context, session), replaced, hours) in asked {
        let now = at(1_800_000_000_000 + hours * 3_600_000);
        let (policy, plain) = if *replaced { (&second, &plain[1]) } else { (&first, &plain[0]) };
        // The peer may be one that the other file's policies would not let in.
        let reads = policy.engine.reads(&policy.engine.slice(&peer), NAMES[*action]);
        let resources: Vec<String> = resources.iter().map(|name| (*name).to_owned()).collect();
        let [context, session] = [context, session]
            .map(|named| named.iter().map(|(n, v)| (*n, v)).collect::<Vec<(&str, &Value<'_>)>>());
        let ask = Ask {
            action: NAMES[*action],
            resources: &resources,
            context: &context,
            session: &session,
        };
        let names: Vec<Option<&str>> = match resources.as_slice() {
            [] => vec![None],
            names => names.iter().map(|name| Some(name.as_str())).collect(),
        };
        let mut expected = Ok(Vec::new());
        for name in names {
            expected = plain.one(&peer, &ask, name, &connection, (now, !reads.is_empty()));
            if expected.is_err() {
                break;
            }
        }
        let decided = policy.authorize(&permit, &mut cache, &ask, now);
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        let decided = match decided {
            Ok(grant) => Ok(sorted(grant.policies.iter().map(|id| id.to_string()).collect())),
            Err(denial) => Err((denial.reason, sorted(denial.policies))),
        };
        assert_eq!(decided, expected, "{ask:?}\n{}", files[usize::from(*replaced)]);
    }
    Some(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    // AZ-1, AZ-3, AZ-5, AZ-6, AZ-8, AZ-9
    #[test]
    fn what_is_cut_kept_and_left_out_decides_as_plain_cedar_does(
        first in policy_file(),
        second in policy_file(),
        who in 0..3_usize,
        asked in prop::collection::vec((asks(), prop::bool::weighted(0.1), 0..24_i64), 1..80),
    ) {
        prop_assume!(compare(&[first, second], who, &asked).is_some());
    }

    // AZ-3, AZ-9
    #[test]
    fn what_policies_cannot_tell_apart_decides_as_plain_cedar_does(
        file in comparing_file(),
        asked in prop::collection::vec((asks(), Just(false), Just(0)), 40..70),
    ) {
        prop_assume!(compare(&[file.clone(), file], 0, &asked).is_some());
    }
}
