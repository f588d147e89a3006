use super::*;
use crate::audit::EventKind;
use crate::contract::Contract;
use crate::contract::units::bytes;
use crate::identity::{Extension, Peer};
use crate::limits::Limits;
use crate::now::Now;
use crate::policy::{ConnectionFacts, Policy, PolicySource};
use crate::rejection::Reason;
use crate::session::{Outbox, Session, Warrant};
use proptest::prelude::*;
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

// ---- requests ----

fn asked(request: &[u8]) -> Result<(), Reason> {
    let mut run = Run::allowed(contract(EVERYTHING));
    run.say(Side::Client, request, usize::MAX);
    match run.seen.reasons.first() {
        Some(reason) => {
            assert_eq!(run.seen.service, Vec::<u8>::new(), "nothing of it is written");
            Err(*reason)
        }
        None => {
            assert_eq!(run.seen.service, request);
            Ok(())
        }
    }
}

#[test]
fn a_request_has_the_size_and_the_bounds_of_its_function() {
    use Reason::{Filler, Range, Size, Undeclared};
    let coils = |count: u16, bytes: &[u8]| {
        let size = u8::try_from(bytes.len()).unwrap();
        [&[0, 0][..], &count.to_be_bytes(), &[size], bytes].concat()
    };
    let cases: Vec<(u8, Vec<u8>, Result<(), Reason>)> = vec![
        (1, hex("0000 07d0"), Ok(())),
        (1, hex("0000 07d1"), Err(Range)),
        (2, hex("0000 0000"), Err(Range)),
        (3, hex("0000 007d"), Ok(())),
        (3, hex("0000 007e"), Err(Range)),
        (4, hex("ffff 0001"), Ok(())),
        (4, hex("ffff 0002"), Err(Range)),
        (4, hex("0000 0001 00"), Err(Size)),
        (4, hex("0000 00"), Err(Size)),
        (4, hex(""), Err(Size)),
        (5, hex("0001 ff00"), Ok(())),
        (5, hex("0001 0000"), Ok(())),
        (5, hex("0001 0001"), Err(Range)),
        (5, hex("0001 ff"), Err(Size)),
        (6, hex("ffff ffff"), Ok(())),
        (6, hex("ffff ffff 00"), Err(Size)),
        (15, coils(9, &[0xff, 0x01]), Ok(())),
        (15, coils(9, &[0xff, 0x03]), Err(Filler)),
        (15, coils(9, &[0xff]), Err(Size)),
        (15, coils(9, &[0xff, 1, 0]), Err(Size)),
        (15, coils(1968, &[0; 246]), Ok(())),
        (15, coils(1969, &[0; 247]), Err(Range)),
        (15, coils(0, &[]), Err(Range)),
        (16, coils(2, &[0, 1, 0, 2]), Ok(())),
        (16, coils(3, &[0, 1, 0, 2]), Err(Size)),
        (16, coils(123, &[0; 246]), Ok(())),
        (16, coils(124, &[0; 246]), Err(Range)),
        (22, hex("0004 00f2 0025"), Ok(())),
        (22, hex("0004 00f2"), Err(Size)),
        (23, hex("0003 0006 000e 0001 02 00ff"), Ok(())),
        (23, hex("0003 0006 000e 0001 04 00ff 00ff"), Err(Size)),
        (23, hex("0003 007e 000e 0001 02 00ff"), Err(Range)),
        (23, [hex("0000 0001 0000 0079 f2"), vec![0; 242]].concat(), Ok(())),
        (23, [hex("0000 0001 0000 007a f2"), vec![0; 242]].concat(), Err(Range)),
        (23, hex("0000 0001 ffff 0002 04 0000 0000"), Err(Range)),
        (43, hex("0e 01 00"), Ok(())),
        (43, hex(""), Ok(())),
        (8, hex("0000 1234"), Err(Undeclared)),
        (0, hex(""), Err(Undeclared)),
        (0x81, hex("01"), Err(Undeclared)),
    ];
    for (code, data, wanted) in cases {
        assert_eq!(asked(&adu(1, code, &data)), wanted, "{code} {data:02x?}");
    }
}

#[test]
fn what_is_not_modbus_ends_at_the_byte_that_says_so() {
    for (said, reason) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Reason::ProtocolId),
        (hex("1603 0100 c8"), Reason::ProtocolId),
        (hex("0001 0001"), Reason::ProtocolId),
        (hex("0001 0000 0001"), Reason::LengthRange),
        (hex("0001 0000 0000"), Reason::LengthRange),
        (hex("0001 0000 00ff"), Reason::LengthRange),
        (hex("0001 0000 01"), Reason::LengthRange),
    ] {
        for piece in [1, usize::MAX] {
            let mut run = Run::allowed(contract(UNITS));
            run.say(Side::Client, &said, piece);
            assert_eq!(
                (run.seen.reasons.as_slice(), run.seen.ended),
                (&[reason][..], Some(reason))
            );
            assert!(run.seen.service.is_empty() && run.seen.peer.is_empty(), "{said:02x?}");
        }
    }
    // The third byte decides; two say nothing yet.
    let mut run = Run::allowed(contract(UNITS));
    run.say(Side::Client, b"GE", 1);
    assert_eq!(run.seen.ended, None);
    run.say(Side::Client, b"T", 1);
    assert_eq!(run.seen.ended, Some(Reason::ProtocolId));
}

// K-80: where a request may begin is where it must end, too.
#[test]
fn a_request_touches_no_address_that_its_message_does_not_have() {
    use Reason::Rule;
    let bits = |addr: u16, count: u16| {
        let bytes = vec![0; usize::from(count.div_ceil(8))];
        let size = u8::try_from(bytes.len()).unwrap();
        [&addr.to_be_bytes()[..], &count.to_be_bytes(), &[size], &bytes].concat()
    };
    let words = |addr: u16, count: u16| {
        let size = u8::try_from(2 * count).unwrap();
        let bytes = vec![0; 2 * usize::from(count)];
        [&addr.to_be_bytes()[..], &count.to_be_bytes(), &[size], &bytes].concat()
    };
    let read = |addr: u16, count: u16| [addr.to_be_bytes(), count.to_be_bytes()].concat();
    let both =
        |addr: u16, count: u16, at: u16, many: u16| [read(addr, count), words(at, many)].concat();
    let say = |fields: &str, code: u8, data: &[u8]| {
        let addr = "fields.addr   = { int = [0, 65535] }\n";
        let text = EVERYTHING
            .replace("match       = [1, 2, 3, 4]\n", &format!("match = [1, 2, 3, 4]\n{fields}\n"))
            .replace(addr, &format!("{fields}\n"))
            .replace("fields.addr       = { int = [0, 65535] }\n", &format!("{fields}\n"))
            .replace(
                "fields.write_addr = { int = [0, 65535] }\n",
                "fields.write_addr = { int = [5, 8] }\n",
            );
        let mut run = Run::allowed(contract(&text));
        run.say(Side::Client, &adu(1, code, data), usize::MAX);
        assert_eq!(run.seen.reasons.is_empty(), !run.seen.service.is_empty());
        run.seen.reasons.first().copied().map_or(Ok(()), Err)
    };
    let range = "fields.addr = { int = [0, 10] }";
    let listed = "fields.addr = { enum = [0, 20, 2, 1, 40] }";
    let one = "fields.addr = { const = 7 }";
    for (fields, code, data, wanted) in [
        (range, 16, words(10, 1), Ok(())),
        (range, 16, words(8, 3), Ok(())),
        (range, 16, words(10, 4), Err(Rule)),
        (range, 16, words(0, 12), Err(Rule)),
        (range, 15, bits(0, 11), Ok(())),
        (range, 15, bits(10, 2), Err(Rule)),
        (range, 6, read(10, 0), Ok(())),
        (range, 3, read(0, 11), Ok(())),
        (range, 3, read(0, 12), Err(Rule)),
        (range, 1, read(10, 2000), Err(Rule)),
        (range, 23, both(0, 11, 5, 4), Ok(())),
        (range, 23, both(0, 12, 5, 4), Err(Rule)),
        (range, 23, both(0, 11, 5, 5), Err(Rule)),
        (range, 23, both(0, 11, 8, 1), Ok(())),
        (listed, 16, words(0, 3), Ok(())),
        (listed, 16, words(0, 4), Err(Rule)),
        (listed, 16, words(20, 1), Ok(())),
        (listed, 16, words(20, 2), Err(Rule)),
        (listed, 16, words(40, 2), Err(Rule)),
        (listed, 4, read(2, 1), Ok(())),
        (listed, 4, read(1, 3), Err(Rule)),
        (one, 3, read(7, 1), Ok(())),
        (one, 3, read(7, 2), Err(Rule)),
        (one, 16, words(7, 2), Err(Rule)),
    ] {
        assert_eq!(say(fields, code, &data), wanted, "{fields}: {code} {data:02x?}");
    }
}

// CON-30: a master that may not ask is told so each time, and stays.
#[test]
fn a_refused_master_is_not_cut_off() {
    let mut run = Run::new(contract(UNITS), Warrant::Rehearsed(false), None);
    let read = adu(1, 3, &hex("0000 0001"));
    for _ in 0..200 {
        run.say(Side::Client, &read, usize::MAX);
    }
    assert_eq!((run.seen.service.len(), run.seen.ended), (0, None));
    assert_eq!(run.seen.peer, hex("0007 0000 0003 01 83 01").repeat(200));
}

// ---- replies ----

fn answered(request: &[u8], reply: &[u8]) -> Result<(), Reason> {
    let mut run = Run::allowed(contract(EVERYTHING));
    run.say(Side::Client, request, usize::MAX);
    assert_eq!(run.seen.service, request);
    run.say(Side::Server, reply, 1);
    match run.seen.reasons.first() {
        Some(reason) => {
            assert!(run.seen.peer.is_empty(), "nothing of it is delivered");
            Err(*reason)
        }
        None => {
            assert_eq!(run.seen.peer, reply);
            Ok(())
        }
    }
}

// CON-30 (mutants of each reply)
#[test]
fn a_reply_fits_its_request_in_unit_function_size_and_echo() {
    use Reason::{ReplyMismatch, Size, Unasked};
    let exchanges: [(u8, &str, &str); 11] = [
        (1, "0000 0009", "02 ff01"),
        (2, "0000 0008", "01 ff"),
        (3, "0000 0002", "04 000a 000b"),
        (4, "0000 0001", "02 ffff"),
        (5, "0001 ff00", "0001 ff00"),
        (6, "0064 0005", "0064 0005"),
        (15, "0013 000a 02 cd01", "0013 000a"),
        (16, "0001 0002 04 000a 0102", "0001 0002"),
        (22, "0004 00f2 0025", "0004 00f2 0025"),
        (23, "0003 0002 000e 0001 02 00ff", "04 00fe 0acd"),
        (43, "0e 01 00", "0e 01 01 00 00 00"),
    ];
    for (code, request, reply) in exchanges {
        let (request, data) = (adu(1, code, &hex(request)), hex(reply));
        let good = adu(1, code, &data);
        assert_eq!(answered(&request, &good), Ok(()), "{code}");
        for exception in 0..=12 {
            let wanted = if [1, 2, 3, 4, 5, 6, 8, 10, 11].contains(&exception) {
                Ok(())
            } else {
                Err(ReplyMismatch)
            };
            assert_eq!(answered(&request, &adu(1, code | 0x80, &[exception])), wanted, "{code}");
        }
        assert_eq!(answered(&request, &adu(1, code | 0x80, &[1, 0])), Err(Size));
        assert_eq!(answered(&request, &adu(1, (code + 1) | 0x80, &[1])), Err(ReplyMismatch));
        assert_eq!(answered(&request, &adu(2, code, &data)), Err(ReplyMismatch));
        assert!(answered(&request, &adu(1, code ^ 0x40, &data)).is_err());
        let mut other = good.clone();
        other[1] = 8;
        assert_eq!(answered(&request, &other), Err(Unasked));
        if code == 43 {
            continue;
        }
        let longer = adu(1, code, &[&data[..], &[0]].concat());
        assert!(answered(&request, &longer).is_err(), "{code} longer");
        assert!(answered(&request, &adu(1, code, &data[..data.len() - 1])).is_err(), "{code}");
        // What is read may be anything; what is echoed may not, nor any count.
        let echoes = if matches!(code, 1..=4 | 23) { 1 } else { data.len() };
        for at in 0..echoes {
            let mut changed = data.clone();
            changed[at] ^= 1;
            assert!(answered(&request, &adu(1, code, &changed)).is_err(), "{code} byte {at}");
        }
    }
    // Another count that is whole in itself.
    let request = adu(1, 3, &hex("0000 0002"));
    assert_eq!(answered(&request, &adu(1, 3, &hex("06 000a 000b 000c"))), Err(ReplyMismatch));
    assert_eq!(answered(&request, &adu(1, 3, &hex("02 000a"))), Err(ReplyMismatch));
}

#[test]
fn a_declared_reply_narrows_and_an_exception_still_passes() {
    let text = format!(
        "{UNITS}\n[[server.message]]\nname = \"reading\"\nanswers = [\"read\"]\nmatch = [3]\n\
         fields.values = {{ each_int = [0, 4000] }}\n"
    );
    let said = |reply: &str| {
        let mut run = Run::allowed(contract(&text));
        run.say(Side::Client, &adu(1, 3, &hex("0000 0001")), usize::MAX);
        run.say(Side::Server, &hex(reply), usize::MAX);
        run.seen.reasons.first().copied()
    };
    assert_eq!(said("0007 0000 0005 01 03 02 0fa0"), None);
    assert_eq!(said("0007 0000 0005 01 03 02 ffff"), Some(Reason::Each));
    assert_eq!(said("0007 0000 0003 01 83 04"), None);
}

// CON-30: a declared reply is about the functions that it names, and closes no other one.
#[test]
fn a_declared_reply_leaves_the_other_functions_of_its_request_alone() {
    let about = |messages: &str, code: u8, reply: &str| {
        let mut run = Run::allowed(contract(&format!("{UNITS}\n{messages}")));
        run.say(Side::Client, &adu(1, code, &hex("0000 0001")), usize::MAX);
        run.say(Side::Server, &hex(reply), usize::MAX);
        run.seen.reasons.first().copied()
    };
    let reading = "[[server.message]]\nname = \"reply\"\nanswers = [\"read\"]\nmatch = [3]\n\
                   fields.values = { each_int = [0, 4000] }\n";
    for (code, reply, wanted) in [
        (3, "0007 0000 0005 01 03 02 0fa0", None),
        (3, "0007 0000 0005 01 03 02 ffff", Some(Reason::Each)),
        (4, "0007 0000 0005 01 04 02 ffff", None),
        (1, "0007 0000 0004 01 01 01 01", None),
        (2, "0007 0000 0003 01 82 02", None),
        (1, "0007 0000 0004 01 02 01 01", Some(Reason::ReplyMismatch)),
    ] {
        assert_eq!(about(reading, code, reply), wanted, "{reply}");
    }
    let refused = "[[server.message]]\nname = \"refused\"\nanswers = [\"read\"]\n\
                   has = [\"/exception\"]\n";
    for (reply, wanted) in
        [("0007 0000 0005 01 03 02 ffff", None), ("0007 0000 0003 01 83 02", None)]
    {
        assert_eq!(about(refused, 3, reply), wanted, "{reply}");
    }
}

// CON-30: bits that nobody asked for carry nothing.
#[test]
fn the_bits_behind_the_last_coil_are_zero() {
    let request = adu(1, 1, &hex("0000 0003"));
    assert_eq!(answered(&request, &adu(1, 1, &hex("01 07"))), Ok(()));
    assert_eq!(answered(&request, &adu(1, 1, &hex("01 0f"))), Err(Reason::ReplyMismatch));
    assert_eq!(answered(&request, &adu(1, 1, &hex("01 80"))), Err(Reason::ReplyMismatch));
}

#[test]
fn a_transaction_is_not_used_twice_at_once() {
    let mut run = Run::allowed(contract(UNITS));
    let request = adu(1, 3, &hex("0000 0001"));
    run.say(Side::Client, &request, usize::MAX);
    run.say(Side::Server, &adu(1, 3, &hex("02 0001")), usize::MAX);
    run.say(Side::Client, &request, usize::MAX);
    assert!(run.seen.reasons.is_empty(), "one at a time works");
    run.say(Side::Client, &request, usize::MAX);
    assert_eq!(run.seen.reasons, [Reason::PairOpen]);
}

// A reviewer reads the whole bound of a request, and where a role comes from (P12).
#[test]
fn the_document_shows_ends_of_ranges_and_roles() {
    let document = contract(UNITS).document();
    for says in [
        "`this.addr + this.count <= 200`",
        "| denied | exception 1 | continue | any number of times |",
        "A peer's role is the one UTF8String in extension 1.3.6.1.4.1.50316.802.1 of its certificate",
    ] {
        assert!(document.contains(says), "{says}\n{document}");
    }
    let listed =
        UNITS.replace("missing =", "allow = [\"Viewer\"], issuers = [\"plant\"], missing =");
    let document = contract(&listed).document();
    assert!(document.contains("one of `Viewer`. `plant` may vouch for it."), "{document}");
}

// ---- K-80 ----

#[test]
fn a_contract_says_what_it_opens() {
    let with = |from: &str, to: &str| {
        assert!(EVERYTHING.contains(from), "{from}");
        load(&EVERYTHING.replacen(from, to, 1)).unwrap_err()
    };
    for (from, to, sentence) in [
        ("fields.unit = { enum = [1] }\n", "", "which units it may reach"),
        ("fields.unit = { enum = [1] }\n", "fields.unit = { int = [0, 255] }\n", "which units"),
        ("match       = [1, 2, 3, 4]\n", "", "which functions it is"),
        ("match       = [1, 2, 3, 4]\n", "match = [3, 131]\n", "which functions it is"),
        ("fields.addr   = { int = [0, 65535] }\n", "", "does not say where"),
        ("fields.values = { each_int = [0, 65535] }\n", "", "which values"),
        ("fields.write_addr = { int = [0, 65535] }\n", "", "does not say where"),
        ("match       = [1, 2, 3, 4]\n", "match = [3, 23]\n", "a write within a read"),
        (
            "match       = [1, 2, 3, 4]\n",
            "match = [3, 8]\nhazard = \"x\"\nfields.addr = { int = [0, 9], optional = true }\n",
            "functions without an address",
        ),
        ("hazard      = \"the maintenance tool asks which firmware runs\"\n", "", "not read"),
        ("codec    = \"modbus\"\n", "codec = \"modbus\"\ntitle = 1\n", "title"),
        ("codec    = \"modbus\"\n", "codec = \"mudbus\"\n", "did you mean `modbus`?"),
        ("codec    = \"modbus\"\n", "codec = { kind = \"modbus\", port = 502 }\n", "port"),
        (
            "codec    = \"modbus\"\n",
            "codec = \"modbus\"\npair = { by = \"order\" }\n",
            "fixes `pair`",
        ),
        ("\n[[client", "\n[client]\nframe = { kind = \"lines\" }\n[[client", "fixes `frame`"),
        ("\n[[client", "\n[client]\ntag = \"/unit\"\n[[client", "the codec's tag is `/fc`"),
        ("\n[[client", "\n[limits]\nmessage = 261\n[[client", "no message over 260 bytes"),
        (
            "\n[[client",
            "\n[reject]\ndenied = { reply = \"exception:7\" }\n[[client",
            "is no answer of Modbus",
        ),
        (
            "\n[[client",
            "\n[reject]\nframe = { reply = \"exception:1\" }\n[[client",
            "answers a request",
        ),
        (
            "fields.addr = { int = [0, 65535] }\n",
            "fields.addr = { int = [0, 65535] }\nfields.values = { each_int = [0, 1] }\n",
            "no field `/values`",
        ),
    ] {
        let told = with(from, to);
        assert!(told.contains(sentence), "{sentence}\n{told}");
    }
}

// ---- roles ----

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
    let contract = contract(include_str!("../../../../../../examples/modbus/plc1.toml"));
    let text = include_str!("../../../../../../examples/modbus/plc1.cedar").to_owned();
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

// ---- however the bytes come ----

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let request = (1..=24u8, 1..=3u8, any::<u16>(), 0..=130u16, any::<u16>()).prop_map(
        |(code, unit, addr, count, value)| {
            let count = count.min(if code == 16 { 120 } else { 130 });
            request(code, unit, addr % 300, count, value % 1500)
        },
    );
    let own = |frame: Vec<u8>, tid: u8| {
        let mut frame = frame;
        frame[1] = tid;
        frame
    };
    let mutated =
        (request.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(f, at, b)| {
            let mut frame = f;
            let at = at.index(frame.len());
            frame[at] = b;
            frame
        });
    prop_oneof![
        4 => (request, any::<u8>()).prop_map(move |(frame, tid)| own(frame, tid)),
        1 => mutated,
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_does_not_depend_on_how_bytes_arrive(
        frames in prop::collection::vec(frame(), 1..8),
        piece in 1..40usize,
    ) {
        let contract = contract(UNITS);
        let run = |said: &[Vec<u8>], piece: usize| {
            let mut run = Run::allowed(Arc::clone(&contract));
            said.iter().for_each(|said| run.say(Side::Client, said, piece));
            run.seen
        };
        let joined = [frames.concat()];
        let whole = run(&joined, usize::MAX);
        prop_assert_eq!(&run(&joined, 1), &whole);
        prop_assert_eq!(&run(&joined, piece), &whole);
        prop_assert_eq!(&run(&frames, usize::MAX), &whole);
    }
}
