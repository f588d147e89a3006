use super::custody::{permitted, root};
use super::*;
use crate::api::AckRequest;
use crate::bundle::{Bundle, BundleError};
use crate::certificate::Certificate;
use crate::custody::Root;
use crate::x509::Authority as Signing;

const DAY: i64 = 24 * HOUR;

/// A second root, and the first one's word for it.
pub(super) fn second(world: &World) -> (Root, Vec<u8>) {
    let key = PrivateKey::generate_root().unwrap();
    let new = Root::made(Signing::root("segwan.internal", key, [0x42; 16], NOW / 1000).unwrap());
    let cross = root(world).authority().cross_sign(new.certificate(), [0x43; 16], NOW / 1000);
    (new, cross.unwrap())
}

pub(super) async fn issuing_under(world: &World, root: &Root, now: i64) {
    let asked = world.authority.request_issuing(permitted(&[])).await.unwrap();
    let der = root.sign_issuing(&asked.request, &asked.permitted, 548, now).unwrap();
    world.authority.import_issuing(&[der, root.certificate().to_vec()], now).await.unwrap();
}

struct Node {
    stream: Subscription,
    instance: &'static str,
    chain: Vec<Vec<u8>>,
}

async fn node(world: &World, instance: &'static str, now: i64) -> Node {
    let token = world
        .authority
        .mint_token("app", vec!["h:1".to_owned()], Duration::from_secs(600), now)
        .await
        .unwrap();
    let issued = world.authority.enroll(&token.secret(), &csr(), "10.0.0.9", now).await.unwrap();
    let stream = come(world, instance, &issued.chain, now).await;
    Node { stream, instance, chain: issued.chain }
}

/// An agent comes with a certificate: it has taken it.
async fn come(world: &World, instance: &str, chain: &[Vec<u8>], now: i64) -> Subscription {
    let leaf = Certificate::read(&chain[0]).unwrap();
    let agent = Agent {
        instance: instance.to_owned(),
        name: "app".to_owned(),
        serial: leaf.serial_hex(),
        issuer: hex(leaf.authority_key.as_deref().unwrap()),
        kind: "client".to_owned(),
        version: "0".to_owned(),
        host: "db1".to_owned(),
        address: "10.0.0.9".to_owned(),
    };
    world.authority.subscribe(agent, None, now).await.unwrap()
}

async fn acknowledge(world: &World, node: &Node, now: i64) {
    let (bundle_version, _) = world.authority.bundle(now).await.unwrap();
    let seq = world.authority.last_event();
    let instance = node.instance.to_owned();
    let ack = AckRequest { instance, seq, bundle_version, closed: 0 };
    world.authority.acknowledge("app", &ack, now).await.unwrap();
}

pub(super) async fn step(world: &World, to: Step, now: i64) -> Stepped {
    world.authority.next_step(to, &[], ROTATION_WINDOW, now).await.unwrap()
}

fn is_blocked(stepped: &Stepped) -> bool {
    matches!(stepped, Stepped::Blocked(rotation) if rotation.missing.len() == 1
        && rotation.missing[0].name == "app" || rotation.waits.is_some())
}

pub(super) async fn believed(
    world: &World,
    roots: &[&[u8]],
    now: i64,
) -> Result<Bundle, BundleError> {
    let (_, signed) = world.authority.bundle(now).await.unwrap();
    let roots: Vec<_> = roots.iter().map(|root| root.to_vec()).collect();
    Bundle::accept(&signed, &roots, world.authority.trust_domain(), (None, &[]), now)
}

// PKI-48
#[tokio::test]
async fn each_step_waits_for_an_agent_that_is_silent() {
    let world = World::new().await;
    let old = world.authority.root();
    let (new, cross) = second(&world);
    let node = node(&world, "a", NOW).await;
    acknowledge(&world, &node, NOW).await;
    let port = world.authority.issue_local("segwan/authority", &csr(), NOW).await;
    let port = match port {
        Ok(issued) => issued,
        Err(_) => {
            let own = Registration::new("segwan/authority", Profile::Authority);
            world.authority.register(&own, NOW).await.unwrap();
            world.authority.issue_local("segwan/authority", &csr(), NOW).await.unwrap()
        }
    };

    let prepared =
        world.authority.prepare_root(new.certificate(), Some(&cross), NOW).await.unwrap();
    assert_eq!((prepared.step, prepared.roots.len()), (Step::Prepared, 2));
    acknowledge(&world, &node, NOW).await;
    // No issuing certificate is under the new root.
    assert!(is_blocked(&step(&world, Step::Active, NOW).await));
    issuing_under(&world, &new, NOW).await;
    issuing_under(&world, &new, NOW).await;
    let again = world.authority.prepare_root(new.certificate(), Some(&cross), NOW).await;
    assert!(again.unwrap_err().to_string().contains("is under way"));
    // The old one still signs, also when it is due to roll over.
    let bundle = believed(&world, &[&old], NOW).await.unwrap();
    assert_eq!((bundle.roots.len(), bundle.cross.len(), bundle.issuing.len()), (2, 1, 4));
    assert!(is_blocked(&step(&world, Step::Active, NOW).await));
    let wrong = world.authority.next_step(Step::Tainted, &[], ROTATION_WINDOW, NOW).await;
    assert!(wrong.unwrap_err().to_string().contains("not the step that follows"));
    acknowledge(&world, &node, NOW).await;

    let active = step(&world, Step::Active, NOW + HOUR).await;
    assert!(matches!(active, Stepped::Done(_)), "{active:?}");
    assert_eq!(world.authority.root(), new.certificate());
    // Who slept since the first day believes it by the cross certificate.
    let bundle = believed(&world, &[&old], NOW + HOUR).await.unwrap();
    assert_eq!(bundle.roots, [new.certificate().to_vec(), old.clone()]);
    acknowledge(&world, &node, NOW + HOUR).await;
    let waits = step(&world, Step::Tainted, NOW + HOUR).await;
    assert!(matches!(&waits, Stepped::Blocked(r) if r.waits.is_some()), "{waits:?}");
    let renewed = world.authority.renew(&port.chain[0], &csr(), NOW + HOUR).await.unwrap();
    // The port takes what is signed for it. Leaf, issuing certificate, and what leads on to the old root.
    assert_eq!(renewed.chain.len(), 3);
    for root in [&old, &new.certificate().to_vec()] {
        let at = (NOW + HOUR) / 1000;
        crate::x509::verify_chain(&renewed.chain, root, true, at).unwrap();
    }

    assert!(matches!(step(&world, Step::Tainted, NOW + HOUR).await, Stepped::Done(_)));
    // The node has not renewed.
    assert!(is_blocked(&step(&world, Step::Steady, NOW + 2 * HOUR).await));
    let renewed = world.authority.renew(&node.chain[0], &csr(), NOW + 2 * HOUR).await.unwrap();
    // It still shows the one of before, which nobody would believe after the step.
    assert!(is_blocked(&step(&world, Step::Steady, NOW + 2 * HOUR).await));
    let again = come(&world, node.instance, &renewed.chain, NOW + 2 * HOUR).await;
    let done = step(&world, Step::Steady, NOW + 2 * HOUR).await;
    let Stepped::Done(rotation) = done else { panic!("{done:?}") };
    assert_eq!((rotation.step, rotation.roots.len()), (Step::Steady, 1));
    // The old root is believed nowhere; who slept through all of it comes back by its last word.
    let bundle = believed(&world, &[new.certificate()], NOW + 2 * HOUR).await.unwrap();
    let spki = Certificate::read(&old).unwrap().public_key;
    assert!(bundle.distrusted.contains(&hex(&sha256(&spki))));
    assert_eq!((bundle.issuing.len(), bundle.cross.len()), (2, 1));
    let slept = believed(&world, &[&old], NOW + 2 * HOUR).await.unwrap();
    assert_eq!(slept.roots, [new.certificate().to_vec()]);
    assert!(world.authority.verify_ledger().await.is_ok());
    drop((node.stream, again));
    // It is the Authority's root after a restart as well.
    let (_parent, path) = world.reopen().await;
    let state = StateDir::open(&path).unwrap();
    let again = Authority::open(&state, &options(), NOW + DAY).await.unwrap();
    assert_eq!(again.root(), new.certificate());
    again.issue_local("orders", &csr(), NOW + DAY).await.unwrap();
    again.close().await;
}

// PKI-48: `--force` is recorded.
#[tokio::test]
async fn an_agent_that_is_named_is_not_waited_for_and_that_is_recorded() {
    let world = World::new().await;
    let (new, cross) = second(&world);
    let node = node(&world, "a", NOW).await;
    world.authority.prepare_root(new.certificate(), Some(&cross), NOW).await.unwrap();
    issuing_under(&world, &new, NOW).await;
    assert!(is_blocked(&step(&world, Step::Active, NOW).await));
    let others = ["orders".to_owned()];
    let blocked = world.authority.next_step(Step::Active, &others, ROTATION_WINDOW, NOW).await;
    assert!(is_blocked(&blocked.unwrap()));
    let named = ["app".to_owned()];
    let done = world.authority.next_step(Step::Active, &named, ROTATION_WINDOW, NOW).await;
    assert!(matches!(done.unwrap(), Stepped::Done(_)));
    let lines = world.authority.0.store.ledger_after(0).await.unwrap();
    let forced = |line: &crate::ledger::Line| {
        line.entry.contains("\"rotation\"") && line.entry.contains("\"forced\"")
    };
    assert_eq!(lines.iter().filter(|line| forced(line)).count(), 1);
    drop(node);
}

// PKI-49
#[tokio::test]
async fn under_an_expelled_root_only_what_is_recorded_renews() {
    let world = World::new().await;
    let old = root(&world);
    let node = node(&world, "a", NOW).await;
    acknowledge(&world, &node, NOW).await;
    let (new, _) = second(&world);
    assert!(world.authority.expel_root(0, EXPULSION_WINDOW, NOW).await.is_err());
    world.authority.prepare_root(new.certificate(), None, NOW).await.unwrap();
    issuing_under(&world, &new, NOW).await;
    acknowledge(&world, &node, NOW).await;
    let from = world.authority.last_event();
    let without = world.authority.expel_root(0, EXPULSION_WINDOW, NOW).await.unwrap();
    assert!(without.is_empty(), "{without:?}");
    let bundle = believed(&world, &[new.certificate()], NOW).await.unwrap();
    assert_eq!(bundle.roots, [new.certificate().to_vec()]);
    let slept = believed(&world, &[old.certificate()], NOW).await.unwrap_err();
    assert!(matches!(slept, BundleError::Signer(_)), "{slept}");
    let lost = Certificate::read(old.certificate()).unwrap().public_key;
    assert!(bundle.distrusted.contains(&hex(&sha256(&lost))) && bundle.cross.is_empty());
    let mut kinds = Vec::new();
    for seq in from + 1..=world.authority.last_event() {
        kinds.push(world.authority.0.store.event(seq).await.unwrap().unwrap().kind);
    }
    assert_eq!(kinds.last().map(String::as_str), Some("renew_now"));
    // Whoever has the lost root's key makes an issuing certificate and a leaf of its own.
    let key = PrivateKey::generate().unwrap();
    let forged =
        old.authority().issuing("segwan.internal", key, [0x44; 16], NOW / 1000, 100).unwrap();
    let leaf = crate::x509::Leaf::new(
        "spiffe://segwan.internal/app".parse().unwrap(),
        Profile::Client,
        [0x45; 16],
        NOW / 1000 - 300,
        NOW / 1000 + 3600,
    );
    let requested = crate::x509::RequestedKey::read(&csr()).unwrap();
    let intent = forged.intent(&leaf, &requested).unwrap();
    let leaf = forged.sign(&leaf, &requested, intent, old.certificate()).unwrap();
    let refused = world.authority.renew(&leaf, &csr(), NOW).await.unwrap_err();
    assert!(matches!(refused, AuthorityError::Unrecorded { .. }), "{refused}");
    let chain = [leaf, forged.der];
    for root in &bundle.roots {
        assert!(crate::x509::verify_chain(&chain, root, false, NOW / 1000).is_err());
    }
    // What was recorded comes back within the window.
    let renewed = world.authority.renew(&node.chain[0], &csr(), NOW + HOUR / 30).await.unwrap();
    let at = (NOW + HOUR / 30) / 1000;
    crate::x509::verify_chain(&renewed.chain, &bundle.roots[0], false, at).unwrap();
    let anchors = world.authority.anchors();
    assert_eq!(anchors.believed, [new.certificate().to_vec()]);
    assert_eq!(anchors.former, [old.certificate().to_vec()]);
    // Active and spare of the lost root.
    assert_eq!(anchors.distrusted.len(), 2);
}

// PKI-49: with a grace the old root is believed for so long.
#[tokio::test]
async fn a_grace_ends_by_itself() {
    let world = World::new().await;
    let (new, _) = second(&world);
    world.authority.prepare_root(new.certificate(), None, NOW).await.unwrap();
    issuing_under(&world, &new, NOW).await;
    world.authority.expel_root(HOUR / 6, EXPULSION_WINDOW, NOW).await.unwrap();
    assert_eq!(believed(&world, &[new.certificate()], NOW).await.unwrap().roots.len(), 2);
    world.authority.maintain(NOW + HOUR / 12).await.unwrap();
    assert_eq!(world.authority.rotation(NOW).await.unwrap().roots.len(), 2);
    world.authority.maintain(NOW + HOUR / 6).await.unwrap();
    let rotation = world.authority.rotation(NOW).await.unwrap();
    assert_eq!((rotation.step, rotation.roots.len()), (Step::Steady, 1));
}

// Section 12.1, section 14.
#[tokio::test]
async fn a_new_root_that_breaks_a_rule_is_not_taken() {
    let world = World::new().await;
    let (new, cross) = second(&world);
    let (other, _) = second(&world);
    let refused = async |new: &[u8], cross: &[u8]| {
        world.authority.prepare_root(new, Some(cross), NOW).await.unwrap_err().to_string()
    };
    let own = world.authority.root();
    let sentence = refused(other.certificate(), &cross).await;
    assert!(sentence.contains("K7: "), "{sentence}");
    assert!(!refused(&cross, &cross).await.is_empty());
    assert!(!refused(b"no certificate", &cross).await.is_empty());
    let again = world.authority.prepare_root(&own, None, NOW).await.unwrap_err().to_string();
    assert!(again.ends_with("has the key of the present one"), "{again}");
    assert_eq!(world.authority.rotation(NOW).await.unwrap().step, Step::Steady);
    world.authority.prepare_root(new.certificate(), Some(&cross), NOW).await.unwrap();
}

// A root of before, whose key somebody else may have, does not come back.
#[tokio::test]
async fn a_root_that_was_expelled_is_not_taken_again() {
    let world = World::new().await;
    let old = world.authority.root();
    let (new, _) = second(&world);
    world.authority.prepare_root(new.certificate(), None, NOW).await.unwrap();
    issuing_under(&world, &new, NOW).await;
    world.authority.expel_root(0, EXPULSION_WINDOW, NOW).await.unwrap();
    let again = world.authority.prepare_root(&old, None, NOW).await.unwrap_err().to_string();
    assert!(again.ends_with("has a key that is believed no more"), "{again}");
    assert_eq!(world.authority.rotation(NOW).await.unwrap().step, Step::Steady);
}

// The file of the root says nothing that the store does not: what is due is done without it.
#[tokio::test]
async fn a_broken_root_file_is_an_alarm_and_ends_no_maintenance() {
    let world = World::new().await;
    let (new, _) = second(&world);
    world.authority.prepare_root(new.certificate(), None, NOW).await.unwrap();
    issuing_under(&world, &new, NOW).await;
    world.authority.expel_root(HOUR / 6, EXPULSION_WINDOW, NOW).await.unwrap();
    let raised = async |now| {
        let alarms = world.authority.maintain(now).await.unwrap();
        alarms.into_iter().find(|alarm| alarm.word == "root_file")
    };
    assert_eq!(raised(NOW).await, None);
    let path = world.authority.place().join("root.pem");
    let before = std::fs::read(&path).unwrap();
    std::fs::write(&path, "no certificate").unwrap();
    let alarm = raised(NOW + HOUR / 6).await.unwrap();
    assert!(alarm.sentence.contains("root.pem holds no certificate"), "{}", alarm.sentence);
    assert_eq!(world.authority.rotation(NOW).await.unwrap().roots.len(), 1);
    std::fs::write(&path, before).unwrap();
    assert_eq!(raised(NOW + HOUR / 6).await, None);
}

/// What an Authority believes, what it has told, and the file of its root.
async fn held(authority: &Authority, path: &std::path::Path) -> Vec<String> {
    let rotation = authority.rotation(NOW).await.unwrap();
    let keys = authority.issuing(NOW).await.unwrap();
    let (version, body) = authority.0.store.bundle().await.unwrap().unwrap();
    let last = authority.last_event();
    let event = authority.0.store.event(last).await.unwrap().unwrap();
    let lines = authority.verify_ledger().await.unwrap();
    let file = std::fs::read_to_string(path.join("authority/root.pem")).unwrap();
    let mut held = vec![
        format!("{} {} {:?}", rotation.step.as_str(), rotation.since_ms, rotation.roots),
        format!("{version} {body}"),
        format!("{last} {} {}", event.kind, event.body),
        format!("{lines} {file}"),
        format!("root's key here: {}", path.join("authority/root").exists()),
    ];
    held.extend(keys.iter().map(|key| format!("{} {}", key.id, key.state)));
    held
}

/// What is done while the power may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Activate,
    Taint,
    Retire,
    Expel,
    ExpelLater,
    EndGrace,
    Distrust,
}

impl Deed {
    async fn on(self, authority: &Authority) {
        let next = async |to| {
            let done = authority.next_step(to, &[], ROTATION_WINDOW, NOW).await.unwrap();
            assert!(matches!(done, Stepped::Done(_)), "{done:?}");
        };
        match self {
            Self::Activate => next(Step::Active).await,
            Self::Taint => next(Step::Tainted).await,
            Self::Retire => next(Step::Steady).await,
            Self::Expel => drop(authority.expel_root(0, EXPULSION_WINDOW, NOW).await.unwrap()),
            Self::ExpelLater => drop(authority.expel_root(1, EXPULSION_WINDOW, NOW).await.unwrap()),
            Self::EndGrace => drop(authority.maintain(NOW + 1).await.unwrap()),
            Self::Distrust => {
                let signs = authority.signing_key().unwrap();
                drop(authority.distrust_issuing(&signs, NOW).await.unwrap());
            }
        }
    }

    /// What comes before it.
    fn after(self) -> &'static [Self] {
        match self {
            Self::Activate | Self::Expel | Self::ExpelLater | Self::Distrust => &[],
            Self::Taint => &[Self::Activate],
            Self::Retire => &[Self::Activate, Self::Taint],
            Self::EndGrace => &[Self::ExpelLater],
        }
    }
}

// PKI-48, PKI-49, PKI-52: no half of a step is ever found, whenever the power goes.
#[tokio::test]
async fn a_power_loss_in_a_step_leaves_what_was_before_or_what_is_after() {
    for deed in [
        Deed::Activate,
        Deed::Taint,
        Deed::Retire,
        Deed::Expel,
        Deed::ExpelLater,
        Deed::EndGrace,
        Deed::Distrust,
    ] {
        let world = World::new().await;
        let (new, cross) = second(&world);
        world.authority.prepare_root(new.certificate(), Some(&cross), NOW).await.unwrap();
        issuing_under(&world, &new, NOW).await;
        // It signs bundles, as where somebody listens.
        world.authority.bundle(NOW).await.unwrap();
        for earlier in deed.after() {
            earlier.on(&world.authority).await;
        }
        let (path, parent) = (world.state.path(), tempfile::tempdir().unwrap());
        let before = held(&world.authority, path).await;
        crate::watching::begin(path, parent.path());
        deed.on(&world.authority).await;
        let copies = crate::watching::end();
        let after = held(&world.authority, path).await;
        assert_ne!(before, after, "{deed:?}");
        let (mut earlier, mut later) = (0, 0);
        for copy in &copies {
            let state = StateDir::open(copy).unwrap();
            let authority = Authority::open(&state, &options(), NOW).await.unwrap();
            let found = held(&authority, copy).await;
            assert!(found == before || found == after, "{deed:?} {}: {found:#?}", copy.display());
            earlier += usize::from(found == before);
            later += usize::from(found == after);
            authority.issue_local("orders", &csr(), NOW).await.unwrap();
            authority.bundle(NOW).await.unwrap();
            authority.verify_ledger().await.unwrap();
            authority.close().await;
        }
        assert!(earlier > 0 && later > 0, "{deed:?}: {earlier} before, {later} after");
    }
}
