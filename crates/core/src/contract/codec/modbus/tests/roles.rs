//! Who may ask what: a role from the certificate, policies over it, and the exception that each
//! refusal is.

use super::*;
use crate::identity::{Extension, Peer};
use crate::policy::{ConnectionFacts, PolicySource};

const POLICY: &str = r#"
@id("connect")
permit (principal, action == Action::"connect", resource);
@id("viewers-read")
permit (principal in Role::"Viewer", action == Action::"modbus.read", resource in Service::"plc1");
@id("operators-read")
permit (principal in Role::"Operator", action == Action::"modbus.read", resource in Service::"plc1");
@id("operators-set-the-mixer")
permit (principal in Role::"Operator", action == Action::"modbus.write", resource == Resource::"plc1/unit/1")
when { context.message.addr + context.message.count <= 150 };
"#;

const ROLE: &str = "1.3.6.1.4.1.50316.802.1";

fn peer(role: Option<&str>) -> Arc<Peer> {
    let der =
        |role: &str| [&[0x0c, u8::try_from(role.len()).unwrap()][..], role.as_bytes()].concat();
    let extension = role.map(|role| Extension { oid: ROLE.to_owned(), value: der(role) });
    let peer = Peer::clone(&Peer::called("spiffe://factory.example/hmi"));
    Arc::new(peer.with_extensions(extension.into_iter().collect()))
}

fn policy(contract: &Contract) -> Arc<Policy> {
    let source = PolicySource { file: "plc1.cedar".to_owned(), text: POLICY.to_owned() };
    let (policy, _) = Policy::compile("plc1", &contract.actions(), &[], &[source]).unwrap();
    Arc::new(policy.with_roles(contract.role()))
}

fn admitted(contract: &Arc<Contract>, policy: &Arc<Policy>, role: Option<&str>) -> Run {
    let connection =
        ConnectionFacts { address: [127, 0, 0, 1].into(), started_unix_ms: 0, tls: "1.3" };
    let permit = policy.admit(peer(role), connection, start()).unwrap();
    assert_eq!(permit.role(), role);
    Run::new(Arc::clone(contract), Warrant::Permit(permit), Some(Arc::clone(policy)))
}

/// What is due to a request, found without the product: `None` if the device gets it.
fn due(role: Option<&str>, code: u8, unit: u8, addr: u32, count: u32, value: u16) -> Option<u8> {
    if role.is_none() {
        return Some(1);
    }
    let declared = match code {
        1..=4 => (unit == 1 || unit == 2) && addr <= 9999 && (1..=125).contains(&count),
        6 | 16 => {
            unit == 1 && (100..=199).contains(&addr) && (1..=100).contains(&count) && value <= 1000
        }
        _ => return Some(1),
    };
    let may = match (role, code) {
        (Some("Viewer" | "Operator"), 1..=4) => true,
        (Some("Operator"), 6 | 16) => addr + count <= 150,
        _ => false,
    };
    match (declared, may) {
        (false, _) => Some(3),
        (true, false) => Some(1),
        (true, true) => None,
    }
}

// CON-20 CON-30: every function code, each role, addresses inside, at and beyond each bound.
#[test]
fn each_refusal_is_its_exception_and_the_device_sees_nothing() {
    let contract = contract(UNITS);
    let policy = policy(&contract);
    let roles = [None, Some("Viewer"), Some("Operator"), Some("Auditor")];
    let mut forwarded = 0;
    for role in roles {
        let mut run = admitted(&contract, &policy, role);
        for code in 1..=127 {
            let deep = matches!(code, 1 | 3 | 6 | 16);
            let units: &[u8] = if deep { &[1, 2, 3] } else { &[1] };
            let places: &[(u16, u16, u16)] = match (deep, code) {
                (false, _) => &[(100, 2, 5)],
                (_, 6) => &[
                    (99, 1, 5),
                    (100, 1, 5),
                    (149, 1, 5),
                    (150, 1, 5),
                    (199, 1, 1000),
                    (199, 1, 1001),
                    (200, 1, 5),
                    (65535, 1, 5),
                ],
                _ => &[
                    (0, 1, 5),
                    (99, 2, 5),
                    (100, 50, 5),
                    (101, 50, 5),
                    (100, 51, 5),
                    (148, 2, 5),
                    (149, 2, 5),
                    (199, 1, 0),
                    (200, 1, 5),
                    (100, 100, 5),
                    (100, 101, 5),
                    (100, 2, 1001),
                    (9999, 1, 5),
                    (10000, 1, 5),
                    (65535, 1, 5),
                ],
            };
            for (unit, (addr, count, value)) in
                units.iter().flat_map(|unit| places.iter().map(move |place| (*unit, *place)))
            {
                run = match run.seen.reasons.len() {
                    0 => run,
                    _ => admitted(&contract, &policy, role),
                };
                run.seen = Seen::default();
                let frame = request(code, unit, addr, count, value);
                run.say(Side::Client, &frame, usize::MAX);
                let told = format!("{role:?} {code} unit {unit} {addr}+{count} = {value}");
                match due(role, code, unit, addr.into(), count.into(), value) {
                    None => {
                        assert_eq!(
                            (&run.seen.service, &run.seen.peer),
                            (&frame, &vec![]),
                            "{told}"
                        );
                        forwarded += 1;
                        run = admitted(&contract, &policy, role);
                    }
                    Some(exception) => {
                        let bare = adu(unit, code | 0x80, &[exception]);
                        assert_eq!((&run.seen.service, &run.seen.peer), (&vec![], &bare), "{told}");
                        assert_eq!(run.seen.ended, None, "{told}");
                    }
                }
            }
        }
    }
    assert!(forwarded > 50, "{forwarded}");
}

// CON-21: without a role every request is answered alike, and the record says why.
#[test]
fn a_peer_without_a_role_is_heard_and_refused_each_time() {
    let contract = contract(UNITS);
    let mut run = admitted(&contract, &policy(&contract), None);
    let mut out = Outbox::default();
    for _ in 0..5 {
        let frame = adu(1, 3, &hex("0000 0001"));
        run.session.receive(Side::Client, &frame, run.policy.as_deref(), run.now, &mut out);
    }
    assert_eq!(out.to_client.as_slice(), adu(1, 0x83, &[1]).repeat(5));
    assert!(out.to_server.is_empty() && out.end.is_none());
    let told = &out.events[0].sentence;
    assert!(told.contains("it has no role: there is no extension"), "{told}");
}

// CON-21 CON-30: malformed requests too, as long as their frame is whole.
#[test]
fn without_a_role_a_malformed_request_is_answered_as_any_other() {
    let told = "invalid = { reply = \"exception:3\", then = \"close\" }";
    let contract = contract(&format!("{UNITS}\n[reject]\n{told}\n"));
    let policy = policy(&contract);
    let malformed = [
        (3, hex("")),
        (3, hex("0000 0001 00")),
        (3, hex("0000 0000")),
        (3, hex("ffff 007d")),
        (6, hex("0064 ffff")),
        (16, hex("0064 0002 04 0001")),
        (16, hex("0064 0002 03 0001 0002")),
        (100, hex("00")),
        (3, hex("0000 0001")),
    ];
    let mut run = admitted(&contract, &policy, None);
    let mut due = Vec::new();
    for (code, data) in &malformed {
        run.say(Side::Client, &adu(1, *code, data), usize::MAX);
        due.extend(adu(1, code | 0x80, &[1]));
    }
    assert_eq!((&run.seen.peer, run.seen.ended), (&due, None));
    assert_eq!(run.seen.service, Vec::<u8>::new());
    assert!(run.seen.reasons.contains(&Reason::Size), "the record says what was wrong");
    // Whoever has a role learns what was wrong.
    let mut run = admitted(&contract, &policy, Some("Viewer"));
    run.say(Side::Client, &adu(1, 3, &hex("0000 0000")), usize::MAX);
    assert_eq!(run.seen.peer, adu(1, 0x83, &[3]));
}

#[test]
fn a_peer_without_a_role_may_be_refused_at_once() {
    let contract = contract(&UNITS.replace("null-role", "refuse"));
    let connection =
        ConnectionFacts { address: [127, 0, 0, 1].into(), started_unix_ms: 0, tls: "1.3" };
    let denial = policy(&contract).admit(peer(None), connection, start()).unwrap_err();
    assert_eq!(denial.reason, Reason::RoleMissing);
}

// CON-20: the decisions of `contracts.md` section 26.3, through the example's own files.
#[test]
fn the_example_decides_as_its_table_says() {
    const TEN: i64 = 3_600_000;
    const ELEVEN_AT_NIGHT: i64 = 14 * 3_600_000;
    const HALF_PAST_SIX: i64 = 21 * 3_600_000 + 1_800_000;
    let contract = contract(include_str!("../../../../../../../examples/modbus/plc1.toml"));
    let text = include_str!("../../../../../../../examples/modbus/plc1.cedar").to_owned();
    let source = PolicySource { file: "plc1.cedar".to_owned(), text };
    let compiled = Policy::compile("plc1", &contract.actions(), &[], &[source]);
    let (policy, warnings) = compiled.unwrap();
    assert_eq!(warnings, []);
    let policy = Arc::new(policy.with_roles(contract.role()));
    let read = |unit| adu(unit, 3, &hex("0000 000a"));
    let write = |addr, count| request(16, 1, addr, count, 5);
    for (role, asked, at, exception) in [
        (Some("Viewer"), read(1), TEN, None),
        (Some("Viewer"), read(2), TEN, None),
        (Some("Viewer"), write(100, 2), TEN, Some(1)),
        (Some("Operator"), read(1), TEN, None),
        (Some("Operator"), write(100, 50), TEN, None),
        (Some("Operator"), write(148, 3), TEN, Some(1)),
        (Some("Operator"), request(16, 2, 100, 1, 5), TEN, Some(3)),
        (Some("Operator"), write(199, 2), TEN, Some(3)),
        (Some("Operator"), write(100, 2), ELEVEN_AT_NIGHT, Some(1)),
        (Some("Operator"), write(100, 2), HALF_PAST_SIX, None),
        (Some("Operator"), read(1), ELEVEN_AT_NIGHT, None),
        (None, read(1), TEN, Some(1)),
    ] {
        let mut run = admitted(&contract, &policy, role);
        run.now.unix_ms = at;
        run.say(Side::Client, &asked, usize::MAX);
        let answer = exception.map(|code| adu(asked[6], asked[7] | 0x80, &[code]));
        let passed = if exception.is_none() { asked.clone() } else { Vec::new() };
        let told = format!("{role:?} {asked:02x?} at {at}: {:?}", run.seen.reasons);
        assert_eq!(
            (run.seen.peer, run.seen.service),
            (answer.unwrap_or_default(), passed),
            "{told}"
        );
    }
    // Sixty writes in a minute over all connections of the identity, and two were let through.
    let asked = write(100, 2);
    let mut last = Seen::default();
    let passed = (0..100).take_while(|_| {
        let mut run = admitted(&contract, &policy, Some("Operator"));
        run.now.unix_ms = TEN;
        run.say(Side::Client, &asked, usize::MAX);
        last = run.seen;
        last.reasons.is_empty()
    });
    assert_eq!(passed.count(), 58);
    assert_eq!((last.reasons.as_slice(), last.peer), (&[Reason::Quota][..], adu(1, 0x90, &[6])));
}
