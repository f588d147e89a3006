//! Who may say what is asked anew for each message: when it is cleared, of what is sent, and of all
//! that it names.

use super::*;
use crate::audit::EventKind;
use crate::identity::Peer;
use crate::policy::{ConnectionFacts, Policy, PolicySource};

const WHO: &str = "spiffe://a.example/app";
const ALL: &str = "@id(\"all\") permit (principal, action, resource);";

/// A policy for the service `s`: `app` may connect, and what else is said here.
fn policy(contract: &Contract, more: &str) -> Policy {
    let text =
        format!("@id(\"in\") permit (principal, action == Action::\"connect\", resource);\n{more}");
    let source = PolicySource { file: "s.cedar".to_owned(), text };
    let compiled = Policy::compile("s", &contract.actions(), &[], &[source]);
    compiled.unwrap_or_else(|findings| panic!("{findings:?}")).0
}

fn open(contract: &Arc<Contract>, policy: &Policy, now: Now) -> Session {
    let peer = Peer::called(WHO);
    let facts = ConnectionFacts { address: [127, 0, 0, 1].into(), started_unix_ms: 0, tls: "1.3" };
    let permit = policy.admit(peer, facts, now).unwrap();
    let warrant = Warrant::Permit(permit);
    Session::open(warrant, Arc::clone(contract), &Limits::default(), now).recording_cleared()
}

fn refusals(out: &Outbox) -> Vec<Reason> {
    out.events.iter().filter_map(|event| event.reason).collect()
}

// TRAP-10: the policy changes between the first and the last byte of a frame, at each byte of it,
// after the same was allowed before.
#[test]
fn a_message_is_judged_by_the_policy_at_its_last_byte() {
    let now = start();
    for (text, frame) in
        [(ADD_TEN, &b"12345\n"[..]), (INVENTORY, b"{\"id\":1,\"op\":\"get\",\"part\":\"a\"}\n")]
    {
        let contract = contract(text);
        let may = policy(&contract, ALL);
        let may_not = policy(&contract, "");
        for cut in 1..frame.len() {
            let (mut session, mut out) = (open(&contract, &may, now), Outbox::default());
            let first = if text == ADD_TEN { b"1\n" } else { &b""[..] };
            session.receive(Side::Client, first, Some(&may), now, &mut out);
            assert_eq!(out.to_server.as_slice(), first);
            session.receive(Side::Client, &frame[..cut], Some(&may), now, &mut out);
            session.receive(Side::Client, &frame[cut..], Some(&may_not), now, &mut out);
            assert_eq!(out.to_server.as_slice(), first, "{cut}");
            assert_eq!(refusals(&out), [Reason::PolicyDenied]);
        }
        // And the other way round: what is allowed now was not yet when it began.
        let (mut session, mut out) = (open(&contract, &may, now), Outbox::default());
        session.receive(Side::Client, &frame[..2], Some(&may_not), now, &mut out);
        session.receive(Side::Client, &frame[2..], Some(&may), now, &mut out);
        assert_eq!(out.to_server.as_slice().len(), frame.len());
        // Without a policy there is no permission.
        session.receive(Side::Client, frame, None, now, &mut out);
        assert_eq!(out.to_server.as_slice().len(), frame.len());
    }
}

// TRAP-10: a whole frame that waits for room, or for its rate, is judged when its turn comes.
#[test]
fn a_message_that_waits_is_judged_by_the_policy_of_its_turn() {
    let contract = contract(ADD_TEN);
    let may = policy(&contract, ALL);
    let may_not = policy(&contract, "");
    let now = start();
    let (mut session, mut out) = (open(&contract, &may, now), Outbox::default());
    session.receive(Side::Client, b"1\n2\n3\n4\n5\n6\n7\n8\n9\n", Some(&may), now, &mut out);
    assert_eq!(out.to_server.as_slice(), b"1\n2\n3\n4\n5\n6\n7\n8\n");
    session.receive(Side::Server, b"11\n", Some(&may_not), now, &mut out);
    assert_eq!(out.to_server.as_slice(), b"1\n2\n3\n4\n5\n6\n7\n8\n");
    assert_eq!(refusals(&out), [Reason::PolicyDenied]);

    let text = ADD_TEN.replace("messages = \"20/s\", burst = 40", "messages = \"1/s\", burst = 1");
    let contract = super::contract(&text);
    let (mut session, mut out) = (open(&contract, &may, now), Outbox::default());
    session.receive(Side::Client, b"1\n2\n", Some(&may), now, &mut out);
    assert_eq!(out.to_server.as_slice(), b"1\n");
    session.tick(Some(&may_not), now.after(Duration::from_secs(2)), &mut out);
    assert_eq!(
        (out.to_server.as_slice(), refusals(&out)),
        (&b"1\n"[..], vec![Reason::PolicyDenied])
    );
}

// TRAP-29: a command over several keys of which one is forbidden, wherever it stands, is refused as
// a whole.
#[test]
fn of_several_resources_one_that_is_refused_refuses_them_all() {
    let text = include_str!("../../../../../examples/redis/cache.toml");
    let contract = contract(text);
    let may = policy(
        &contract,
        "@id(\"all\") permit (principal, action, resource);\n\
         @id(\"b\") forbid (principal, action, resource == Resource::\"s/key/b\");",
    );
    let now = start();
    for command in ["DEL", "MGET", "EXISTS"] {
        for keys in [["b", "a", "c"], ["a", "b", "c"], ["a", "c", "b"], ["a", "c", "d"]] {
            let said = format!(
                "*4\r\n${}\r\n{command}\r\n{}",
                command.len(),
                keys.map(|key| format!("$1\r\n{key}\r\n")).concat()
            );
            let (mut session, mut out) = (open(&contract, &may, now), Outbox::default());
            session.receive(Side::Client, said.as_bytes(), Some(&may), now, &mut out);
            if keys.contains(&"b") {
                assert_eq!(out.to_server.as_slice(), b"", "{said}");
                assert_eq!(out.to_client.as_slice(), b"-NOPERM not allowed\r\n");
                assert_eq!(refusals(&out), [Reason::PolicyDenied]);
                assert!(out.events[0].sentence.contains("s/key/b"), "{}", out.events[0].sentence);
            } else {
                assert_eq!(out.to_server.as_slice(), said.as_bytes());
                assert_eq!(out.events[0].resources.len(), 3);
            }
        }
    }
}

/// An object of the inventory in any spelling: members in any order, blanks, escapes.
fn spelled() -> impl Strategy<Value = String> {
    let text = |plain: String| {
        proptest::collection::vec(any::<u8>(), plain.chars().count()).prop_map(move |how| {
            let spell = |(c, how): (char, u8)| match how % 4 {
                0 => format!("\\u{:04x}", u32::from(c)),
                1 => format!("\\u{:04X}", u32::from(c)),
                _ => c.to_string(),
            };
            format!("\"{}\"", plain.chars().zip(how).map(spell).collect::<String>())
        })
    };
    let blank = || proptest::sample::select(vec!["", " ", "\t", " \t "]);
    let op = proptest::sample::select(vec!["get", "put", "list", "debug"]);
    let part = "[a-z0-9-]{1,6}|\\.\\./x|가";
    (op, part, 1..2000_i64, 0..200_000_i64, any::<bool>()).prop_flat_map(
        move |(op, part, id, count, whole)| {
            let member = |name: &str, value: BoxedStrategy<String>| {
                (text(name.to_owned()), blank(), blank(), value, blank())
                    .prop_map(|(name, a, b, value, c)| format!("{a}{name}{b}:{value}{c}"))
                    .boxed()
            };
            let mut members = vec![
                member("op", text(op.to_owned()).boxed()),
                member("id", Just(id.to_string()).boxed()),
            ];
            if op != "list" || !whole {
                members.push(member("part", text(part).boxed()));
            }
            if op == "put" || !whole {
                members.push(member("count", Just(count.to_string()).boxed()));
            }
            members.prop_shuffle().prop_map(|members| format!("{{{}}}\n", members.join(",")))
        },
    )
}

/// What was decided of a message, and the bytes that were sent.
type Decided = (Option<String>, Option<String>, Vec<String>, Vec<String>);

fn decided(contract: &Arc<Contract>, policy: &Policy, said: &[u8]) -> (Vec<Decided>, Vec<u8>) {
    let now = start();
    let (mut session, mut out) = (open(contract, policy, now), Outbox::default());
    session.receive(Side::Client, said, Some(policy), now, &mut out);
    let cleared = out.events.iter().filter(|event| event.event == EventKind::Cleared);
    let told = cleared.map(|event| {
        (
            event.message.clone(),
            event.action.clone(),
            event.resources.clone(),
            event.policies.clone(),
        )
    });
    (told.collect(), out.to_server.as_slice().to_vec())
}

proptest! {
    // TRAP-23: message, action, resource and deciding policy are those of the bytes that the service
    // gets, judged anew; and they are in their one spelling.
    #[test]
    fn what_was_authorized_is_what_the_service_reads(said in spelled()) {
        use std::sync::LazyLock;
        static UNDER: LazyLock<(Arc<Contract>, Policy)> = LazyLock::new(|| {
            let contract = contract(INVENTORY);
            let policy = policy(
                &contract,
                "@id(\"looks\") permit (principal, action in [Action::\"part.read\", Action::\"part.list\"], resource);\n\
                 @id(\"few\") permit (principal, action == Action::\"part.write\", resource) when { context.message.count <= 1000 };\n\
                 @id(\"bolts\") permit (principal, action == Action::\"part.write\", resource == Resource::\"s/part/bolt\");",
            );
            (contract, policy)
        });
        let (contract, policy) = &*UNDER;
        let (told, sent) = decided(contract, policy, said.as_bytes());
        prop_assert_eq!(told.is_empty(), sent.is_empty());
        prop_assert!(told.len() <= 1);
        let again = decided(contract, policy, &sent);
        prop_assert_eq!(&again, &(told, sent.clone()));
        // What another parser reads in what came is what is sent.
        if !sent.is_empty() {
            let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
            prop_assert_eq!(read(&sent), read(said.as_bytes()));
        }
    }
}
