//! A contract that is tried: what it makes of a connection is on record, and nothing else is.

use proptest::prelude::*;
use segwan_core::audit::{Event, EventKind};
use segwan_core::contract::test::exchanges;
use segwan_core::contract::{Contract, Side};
use segwan_core::rejection::{Class, Reason};
use segwan_tests::eventually;
use segwan_tests::naughty;
use segwan_tests::service::Service;
use segwan_tests::world::{ADD_TEN, Plan, World};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

fn tried() -> Plan {
    Plan::under(&format!("mode = \"shadow\"\n{ADD_TEN}"))
}

fn would_reject(world: &World) -> Vec<Event> {
    let mut events = world.events();
    events.retain(|event| event.event == EventKind::WouldReject);
    events
}

/// What a peer hears who says these pieces and closes, and how its stream ended.
fn heard(world: &World, pieces: &[&[u8]]) -> (Vec<u8>, bool, Option<segwan_tests::peer::End>) {
    let mut peer = world.app();
    for piece in pieces {
        peer.say(piece);
    }
    let heard = peer.close_notify().hear_all();
    (heard.plain.clone(), heard.close_notify, heard.end)
}

// Section 20, TRAP-24: it reaches the service, is answered, and is on record.
#[test]
fn what_would_be_refused_passes_and_is_recorded() {
    let service = Service::numbers();
    let world = tried().before(service.address);
    let mut peer = world.app();
    peer.say(b"5\nfive\n6\n");
    let mut answer = String::new();
    while !answer.ends_with("16\n") {
        let heard = peer.hear(answer.len() + 1);
        assert_eq!(heard.end, None, "{answer}");
        answer = heard.text();
    }
    assert!(answer.starts_with("15\nTraceback"), "{answer}");
    peer.close_notify().hear_all();
    let told = eventually("a verdict", || Some(would_reject(&world)).filter(|t| !t.is_empty()));
    // The answer to what would not have come is nobody's fault, though it is no frame.
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((told[0].reason, told[0].class), (Some(Reason::Grammar), Some(Class::Invalid)));
    assert_eq!((told[0].frame, told[0].alarm), (Some(2), false));
    assert_eq!(told[0].peer.as_deref(), Some("spiffe://shop.test/app"));
    assert_eq!(
        (told[0].service.as_str(), &told[0].contract),
        ("calculator", &Some("add-ten/1".into()))
    );
    let closed = world.ended(1).remove(0);
    assert_eq!((closed.reason, closed.totals.unwrap().refused), (Some(Reason::Closed), 0));
    assert!(world.rejections().is_empty());
    assert_eq!(service.heard(), b"5\nfive\n6\n");
    let status = world.status();
    assert_eq!((status.contract.as_deref(), status.shadow), (Some("add-ten/1"), true));
}

// Section 20: a policy is asked, and decides of messages as little; admission is in force.
#[test]
fn a_denial_of_a_message_is_recorded_and_one_of_a_connection_holds() {
    let service = Service::numbers();
    let world = tried().before(service.address);
    let mut guest = world.guest();
    assert_eq!(guest.say(b"5\n").hear(3).text(), "15\n");
    let told = eventually("a verdict", || would_reject(&world).pop());
    assert_eq!((told.reason, told.class), (Some(Reason::PolicyDenied), Some(Class::Denied)));
    assert_eq!(told.action.as_deref(), Some("add"));
    let mallory = world.pki.client("mallory");
    let mut mallory = segwan_tests::peer::Peer::connect(world.address, Some(&mallory));
    assert!(mallory.say(b"5\n").hear_all().plain.is_empty());
}

/// The article's contract, and beside it one for numbers of two digits.
fn beside() -> Plan {
    Plan::add_ten().trying(&narrow())
}

fn narrow() -> String {
    let vectors = ADD_TEN.find("[[test]]").unwrap_or(ADD_TEN.len());
    ADD_TEN[..vectors]
        .replace("add-ten/1", "add-ten/2")
        .replace("[-999999999, 999999999]", "[-99, 99]")
}

fn lost(world: &World) -> Vec<Event> {
    let mut events = world.events();
    events.retain(|event| event.event == EventKind::ShadowLost);
    events
}

// Section 20: what is in force lets it pass, and what is tried is told of it.
#[test]
fn what_only_the_tried_contract_would_refuse_arrives_and_is_recorded() {
    let service = Service::numbers();
    let world = beside().before(service.address);
    let mut peer = world.app();
    assert_eq!(peer.say(b"5\n").hear(3).text(), "15\n");
    assert_eq!(peer.say(b"500\n").hear(7).text(), "15\n510\n");
    assert_eq!(peer.say(b"6\n").hear(10).text(), "15\n510\n16\n");
    peer.close_notify().hear_all();
    let told = eventually("a verdict", || Some(would_reject(&world)).filter(|t| !t.is_empty()));
    assert_eq!(world.ended(1)[0].totals.unwrap().refused, 0);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((told[0].class, told[0].direction), (Some(Class::Invalid), Some("client")));
    assert_eq!((told[0].contract.as_deref(), told[0].frame), (Some("add-ten/2"), Some(2)));
    assert_eq!(told[0].service, "calculator");
    assert!(world.rejections().is_empty() && lost(&world).is_empty());
    assert_eq!(service.heard(), b"5\n500\n6\n");
    let status = world.status();
    assert_eq!((status.contract.as_deref(), status.shadow), (Some("add-ten/1"), false));
    assert_eq!(status.beside.as_deref(), Some("add-ten/2"));
}

// Section 20: it is looked at as it was said, and is still refused. What comes then is no
// exchange that would have been under the new contract, and is not judged: not wrongly either.
#[test]
fn what_the_contract_in_force_refuses_stays_refused() {
    let service = Service::numbers();
    let world = beside().before(service.address);
    let mut peer = world.app();
    assert_eq!(peer.say(b"five\n").hear(13).text(), "Invalid data\n");
    assert_eq!(peer.say(b"500\n").hear(17).text(), "Invalid data\n510\n");
    peer.close_notify().hear_all();
    assert_eq!(service.heard(), b"500\n");
    assert_eq!(world.ended(1)[0].totals.unwrap().refused, 1);
    assert_eq!(world.rejections(), [Reason::Grammar]);
    let told = eventually("a verdict", || Some(would_reject(&world)).filter(|t| !t.is_empty()));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (told[0].reason, told[0].contract.as_deref()),
        (Some(Reason::Grammar), Some("add-ten/2"))
    );
    let lost = eventually("the loss", || Some(lost(&world)).filter(|lost| !lost.is_empty()));
    assert_eq!((lost.len(), lost[0].contract.as_deref()), (1, Some("add-ten/2")));
    assert!(lost[0].sentence.contains("in force refused a message"), "{}", lost[0].sentence);
}

// Section 20: under `raw`, admission by what is in force, messages by what is tried.
#[test]
fn beside_raw_a_contract_is_tried_under_its_own_policy() {
    let service = Service::numbers();
    let world = Plan::raw().trying(&narrow()).before(service.address);
    let mut guest = world.guest();
    assert!(guest.say(b"five\n").hear(9).text().starts_with("Traceback"));
    let told = eventually("a verdict", || would_reject(&world).pop());
    assert_eq!(told.contract.as_deref(), Some("add-ten/2"));
    let mut guest = world.guest();
    assert_eq!(guest.say(b"5\n").hear(3).text(), "15\n");
    let denied = || would_reject(&world).into_iter().find(|t| t.class == Some(Class::Denied));
    let told = eventually("a denial", denied);
    assert_eq!(told.action.as_deref(), Some("add"));
    let status = world.status();
    assert_eq!((status.contract, status.beside.as_deref()), (None, Some("add-ten/2")));
}

// CON-28, TRAP-24: lines that no contract takes, a line over its limit, more than has room.
#[test]
fn hundreds_of_naughty_lines_pass_as_through_a_plain_relay() {
    let mut stream = naughty::lines().join(&b'\n');
    stream.extend_from_slice(&vec![b'9'; 3 << 20]);
    let service = Service::echo();
    let world = tried().before(service.address);
    let mut peer = world.app();
    let sent = stream.clone();
    for piece in sent.chunks(16 * 1024) {
        let before = peer.hear(0).plain.len();
        peer.say(piece).hear(before + piece.len());
    }
    assert!(peer.close_notify().hear_all().plain == stream);
    assert!(service.heard() == stream);
    eventually("a verdict", || (!would_reject(&world).is_empty()).then_some(()));
    assert_eq!(world.ended(1)[0].reason, Some(Reason::Closed));
}

/// Each example's contract: its folder, its text, and what its tests say of the client.
fn examples() -> Vec<(PathBuf, String, Vec<Vec<u8>>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut examples = Vec::new();
    for folder in folders.filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let toml = file.extension().is_some_and(|of| of == "toml");
            let text = if toml { std::fs::read_to_string(&file).unwrap() } else { continue };
            let read = |name: &str| {
                std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())
            };
            let Ok((contract, _)) = Contract::load("e.toml", &text, &read) else { continue };
            let said = exchanges(&contract).into_iter().flatten();
            let client = said.filter(|(side, _)| *side == Side::Client).map(|(_, bytes)| bytes);
            examples.push((folder.clone(), text, client.collect()));
        }
    }
    examples
}

// CON-28, TRAP-24: each example's contract, tried: all that its tests say, good and bad, whole and
// in pieces, passes as through a plain relay.
#[test]
fn what_the_tests_of_each_example_say_passes_as_through_a_plain_relay() {
    let examples = examples();
    assert!(examples.len() >= 9, "{}", examples.len());
    let service = Service::echo();
    for (folder, contract, said) in examples {
        let world = Plan::raw().schemas_in(&folder).trying(&contract).before(service.address);
        let whole: Vec<&[u8]> = said.iter().map(Vec::as_slice).collect();
        let joined = said.concat();
        let small: Vec<&[u8]> = joined.chunks(joined.len().div_ceil(50)).collect();
        for pieces in [whole, small] {
            let (plain, close_notify, _) = heard(&world, &pieces);
            assert!(plain == joined && close_notify, "{}", folder.display());
        }
        let ended: Vec<_> = world.ended(2).into_iter().map(|event| event.reason).collect();
        assert_eq!(ended, [Some(Reason::Closed), Some(Reason::Closed)], "{}", folder.display());
        let told = eventually("a verdict", || Some(would_reject(&world)).filter(|t| !t.is_empty()));
        assert!(told.iter().all(|event| event.contract.is_some()));
        assert!(world.rejections().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    // CON-28, TRAP-24: any bytes, in any pieces, with the same answer and the same end.
    #[test]
    fn any_bytes_pass_as_through_a_plain_relay(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 1..200),
                "-?[0-9]{1,12}\r?\n".prop_map(String::into_bytes),
                "[0-9a-z\n]{1,9}".prop_map(String::into_bytes),
            ],
            1..12,
        ),
    ) {
        static SERVICE: LazyLock<Service> = LazyLock::new(Service::echo);
        static PLAIN: LazyLock<World> = LazyLock::new(|| Plan::raw().before(SERVICE.address));
        static TRIED: LazyLock<World> = LazyLock::new(|| tried().before(SERVICE.address));
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let plain = heard(&PLAIN, &pieces);
        prop_assert_eq!(&plain.0, &pieces.concat());
        prop_assert_eq!(heard(&TRIED, &pieces), plain);
    }

    // CON-28 beside a contract in force: it decides as it does alone.
    #[test]
    fn any_bytes_are_judged_as_by_the_contract_in_force_alone(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 1..200),
                "-?[0-9]{1,12}\r?\n".prop_map(String::into_bytes),
                "[0-9a-z\n]{1,9}".prop_map(String::into_bytes),
            ],
            1..12,
        ),
    ) {
        static SERVICE: LazyLock<Service> = LazyLock::new(Service::numbers);
        static ALONE: LazyLock<World> =
            LazyLock::new(|| Plan::patient_add_ten().before(SERVICE.address));
        static TRIED: LazyLock<World> =
            LazyLock::new(|| Plan::patient_add_ten().trying(&narrow()).before(SERVICE.address));
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(heard(&TRIED, &pieces), heard(&ALONE, &pieces));
    }
}
