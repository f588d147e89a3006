use super::*;
use crate::api::{AckRequest, AgentEvent, EventLine, ReportRequest, Sighting};
use crate::bundle::{Bundle, BundleError};
use crate::certificate::Certificate;
use crate::revocation::RevocationReason;
use crate::store::View;

async fn agent(world: &World, instance: &str, name: &str) -> Agent {
    let issued = world.authority.issue_local(name, &csr(), NOW).await.unwrap();
    let leaf = Certificate::read(&issued.chain[0]).unwrap();
    Agent {
        instance: instance.to_owned(),
        name: name.to_owned(),
        serial: leaf.serial_hex(),
        issuer: hex(leaf.authority_key.as_deref().unwrap()),
        kind: "gateway".to_owned(),
        version: "0".to_owned(),
        host: "db1".to_owned(),
        address: "10.0.0.9".to_owned(),
    }
}

async fn fleet(world: &World) {
    let registration = Registration {
        on_reenroll: OnReenroll::Add,
        max_lineages: 10,
        ..Registration::new("edge", Profile::Service)
    };
    world.authority.register(&registration, NOW).await.unwrap();
}

async fn next(subscription: &mut Subscription) -> Option<EventLine> {
    let next = subscription.next(|| NOW);
    tokio::time::timeout(Duration::from_secs(30), next).await.unwrap().unwrap()
}

fn ack(instance: &str, seq: i64, closed: u64) -> AckRequest {
    AckRequest { instance: instance.to_owned(), seq, bundle_version: 1, closed }
}

// PKI-39, PKI-40
#[tokio::test]
async fn a_revocation_reaches_every_stream_and_the_answers_are_counted() {
    let world = World::new().await;
    fleet(&world).await;
    world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let mut streams = Vec::new();
    for instance in ["a", "b", "c"] {
        let agent = agent(&world, instance, "edge").await;
        let mut stream = world.authority.subscribe(agent, None, NOW).await.unwrap();
        assert_eq!(next(&mut stream).await.unwrap().event, AgentEvent::Hello);
        let line = next(&mut stream).await.unwrap();
        assert!(matches!(line.event, AgentEvent::Snapshot { .. }), "{line:?}");
        streams.push(stream);
    }
    let selector = Selector::Name("app".to_owned());
    let reason = RevocationReason::Unspecified;
    let done = world.authority.revoke(&selector, reason, NOW).await.unwrap();
    for (stream, (instance, closed)) in streams.iter_mut().zip([("a", 2), ("b", 5)]) {
        let line = next(stream).await.unwrap();
        assert_eq!(line.seq, done.seq);
        let AgentEvent::Revoked { certificates, crls } = line.event else { panic!("{line:?}") };
        assert_eq!(certificates[0].serial, done.certificates[0].1);
        assert_eq!((certificates.len(), crls.len()), (1, 2));
        world.authority.acknowledge("edge", &ack(instance, line.seq, closed), NOW).await.unwrap();
    }
    let wait = Duration::from_millis(50);
    let confirmation = world.authority.confirmed(done.seq, done.committed, wait).await.unwrap();
    assert_eq!((confirmation.live, confirmation.confirmed, confirmation.closed), (3, 2, 7));
    assert_eq!(confirmation.silent[0].name, "edge");
    // The third answers while the operator waits.
    let (authority, seq) = (world.authority.clone(), done.seq);
    let waiting = tokio::spawn(async move {
        authority.confirmed(seq, done.committed, Duration::from_secs(30)).await.unwrap()
    });
    world.authority.acknowledge("edge", &ack("c", seq, 0), NOW).await.unwrap();
    let confirmation = waiting.await.unwrap();
    assert_eq!((confirmation.live, confirmation.confirmed, confirmation.closed), (3, 3, 7));
    assert!(confirmation.silent.is_empty());
}

#[tokio::test]
async fn with_nobody_listening_a_revocation_waits_for_nobody() {
    let world = World::new().await;
    let selector = Selector::Name("app".to_owned());
    let reason = RevocationReason::Unspecified;
    let done = world.authority.revoke(&selector, reason, NOW).await.unwrap();
    let wait = Duration::from_secs(60);
    let confirmation = world.authority.confirmed(done.seq, done.committed, wait).await.unwrap();
    assert_eq!((confirmation.live, confirmation.confirmed), (0, 0));
}

// An agent whose own certificate is revoked hears of it, and is no agent any more.
#[tokio::test]
async fn a_revoked_agent_is_told_and_its_stream_ends() {
    let world = World::new().await;
    fleet(&world).await;
    let first = agent(&world, "a", "edge").await;
    let mut stream = world.authority.subscribe(first.clone(), Some((1, 99)), NOW).await.unwrap();
    next(&mut stream).await;
    assert!(matches!(next(&mut stream).await.unwrap().event, AgentEvent::Snapshot { .. }));
    let selector = Selector::Serial(first.serial);
    let reason = RevocationReason::Unspecified;
    let done = world.authority.revoke(&selector, reason, NOW).await.unwrap();
    assert!(matches!(next(&mut stream).await.unwrap().event, AgentEvent::Revoked { .. }));
    assert_eq!(next(&mut stream).await, None);
    drop(stream);
    let wait = Duration::from_secs(60);
    let confirmation = world.authority.confirmed(done.seq, done.committed, wait).await.unwrap();
    assert_eq!(confirmation.live, 0);
}

// PKI-40: an agent that was away catches up by number, or gets everything anew.
#[tokio::test]
async fn who_was_away_catches_up() {
    let world = World::new().await;
    fleet(&world).await;
    let me = agent(&world, "a", "edge").await;
    let seen = world.authority.last_event();
    for _ in 0..3 {
        world.authority.enable("app", NOW).await.unwrap();
        world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
        let selector = Selector::Name("app".to_owned());
        let reason = RevocationReason::Unspecified;
        world.authority.revoke(&selector, reason, NOW).await.unwrap();
    }
    let mut stream = world.authority.subscribe(me.clone(), Some((1, seen)), NOW).await.unwrap();
    assert_eq!(next(&mut stream).await.unwrap().event, AgentEvent::Hello);
    for seq in seen + 1..=seen + 3 {
        assert_eq!(next(&mut stream).await.unwrap().seq, seq);
    }
    // A second stream of the same agent takes the place of the first.
    let mut second = world.authority.subscribe(me.clone(), Some((1, seen + 3)), NOW).await.unwrap();
    assert_eq!(next(&mut stream).await, None);
    drop(stream);
    assert_eq!(next(&mut second).await.unwrap().event, AgentEvent::Hello);
    assert_eq!(world.authority.listening().len(), 1);
    drop(second);
    // Another epoch, a number of the future, and a gap of a week: everything anew.
    world.authority.maintain(NOW + 8 * 24 * HOUR).await.unwrap();
    for after in [(2, seen), (1, 1 << 40), (1, seen)] {
        let mut stream = world.authority.subscribe(me.clone(), Some(after), NOW).await.unwrap();
        next(&mut stream).await;
        let line = next(&mut stream).await.unwrap();
        assert!(matches!(line.event, AgentEvent::Snapshot { .. }), "{after:?}: {line:?}");
        assert_eq!(line.seq, world.authority.last_event());
    }
}

// PKI-42, PKI-48: nobody waits for a machine that another one took the place of, or that was revoked.
#[tokio::test]
async fn a_machine_that_was_replaced_or_revoked_is_no_agent_any_more() {
    let world = World::new().await;
    for instance in ["a", "b"] {
        let me = agent(&world, instance, "orders").await;
        drop(world.authority.subscribe(me, None, NOW).await.unwrap());
        let known = world.authority.agents(0).await.unwrap();
        assert_eq!(known.iter().map(|row| row.instance.as_str()).collect::<Vec<_>>(), [instance]);
    }
    let selector = Selector::Name("orders".to_owned());
    let reason = RevocationReason::Unspecified;
    world.authority.revoke(&selector, reason, NOW).await.unwrap();
    assert!(world.authority.agents(0).await.unwrap().is_empty());
}

// An agent counts once for an event, and cannot make the sum overflow.
#[tokio::test]
async fn an_agent_that_answers_twice_or_nonsense_is_counted_once_and_bounded() {
    let world = World::new().await;
    fleet(&world).await;
    let me = agent(&world, "a", "edge").await;
    let _stream = world.authority.subscribe(me, None, NOW).await.unwrap();
    world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let selector = Selector::Name("app".to_owned());
    let reason = RevocationReason::Unspecified;
    let done = world.authority.revoke(&selector, reason, NOW).await.unwrap();
    for closed in [u64::MAX, u64::MAX, 3] {
        world.authority.acknowledge("edge", &ack("a", done.seq, closed), NOW).await.unwrap();
    }
    let wait = Duration::from_secs(30);
    let told = world.authority.confirmed(done.seq, done.committed, wait).await.unwrap();
    assert_eq!((told.confirmed, told.closed), (1, 3));
}

// Whoever holds one certificate does not invent hosts that everybody waits for.
#[tokio::test]
async fn a_name_listens_from_as_many_hosts_as_it_may_have_machines() {
    let world = World::new().await;
    let me = agent(&world, "0", "orders").await;
    let mut streams = Vec::new();
    for number in 0..20 {
        let me = Agent { instance: number.to_string(), ..me.clone() };
        streams.push(world.authority.subscribe(me, None, NOW + number).await.unwrap());
    }
    assert_eq!(world.authority.listening().len(), 4);
    assert_eq!(world.authority.agents(0).await.unwrap().len(), 4);
    // The oldest were told so.
    assert_eq!(next(&mut streams[0]).await, None);
    assert!(next(&mut streams[19]).await.is_some());
}

// PKI-47
#[tokio::test]
async fn a_bundle_is_believed_under_a_known_root_and_never_an_older_one() {
    let (world, other) = (World::new().await, World::new().await);
    let (version, signed) = world.authority.bundle(NOW).await.unwrap();
    let domain = world.authority.trust_domain().clone();
    let roots = [world.authority.root()];
    let bundle = Bundle::accept(&signed, &roots, &domain, (None, &[]), NOW).unwrap();
    assert_eq!((bundle.version, bundle.epoch, bundle.issuing.len()), (version, 1, 2));
    assert!(Bundle::accept(&signed, &roots, &domain, (Some((1, version)), &[]), NOW).is_ok());

    let refused = |result: Result<Bundle, BundleError>| result.unwrap_err();
    let older = Bundle::accept(&signed, &roots, &domain, (Some((1, version + 1)), &[]), NOW);
    assert!(matches!(refused(older), BundleError::Rollback { .. }));
    let older = Bundle::accept(&signed, &roots, &domain, (Some((2, 1)), &[]), NOW);
    assert!(matches!(refused(older), BundleError::Rollback { .. }));
    let elsewhere = "elsewhere.example".parse().unwrap();
    let foreign = Bundle::accept(&signed, &roots, &elsewhere, (None, &[]), NOW);
    assert!(matches!(refused(foreign), BundleError::Signer(_)));
    let unknown = [other.authority.root()];
    let unknown = Bundle::accept(&signed, &unknown, &domain, (None, &[]), NOW);
    assert!(matches!(refused(unknown), BundleError::Signer(_)));
    let decade = 11 * 365 * 24 * HOUR;
    let expired = Bundle::accept(&signed, &roots, &domain, (None, &[]), NOW + decade);
    assert!(matches!(refused(expired), BundleError::Signer(_)));

    // Signed by the Authority, and still not fit: no root, and a leaf as a root.
    let (_, empty) = forged(&world, |bundle| bundle.roots.clear()).await;
    let empty = Bundle::accept(&empty, &roots, &domain, (None, &[]), NOW);
    assert!(matches!(refused(empty), BundleError::Unreadable(_)));
    let (leaf, forged) = forged(&world, |_| {}).await;
    assert!(Bundle::accept(&forged, &roots, &domain, (None, &[]), NOW).is_ok());
    let (_, forged) = self::forged(&world, |bundle| bundle.roots.push(leaf)).await;
    let no_root = Bundle::accept(&forged, &roots, &domain, (None, &[]), NOW);
    assert!(matches!(refused(no_root), BundleError::Root(2, _)));

    // Any other body, and any other signer than the Authority's own name.
    let mut changed = signed.clone();
    changed.body = crate::api::text(bundle.body().replace("\"epoch\":1", "\"epoch\":2").as_bytes());
    assert!(matches!(
        refused(Bundle::accept(&changed, &roots, &domain, (None, &[]), NOW)),
        BundleError::Signer(_)
    ));
    let key = PrivateKey::generate().unwrap();
    let orders =
        world.authority.issue_local("orders", &certificate_request(&key).unwrap(), NOW).await;
    let by_orders = Bundle::sign(&bundle.body(), &orders.unwrap().chain, &key).unwrap();
    let why = refused(Bundle::accept(&by_orders, &roots, &domain, (None, &[]), NOW)).to_string();
    assert!(why.contains("is not of spiffe://segwan.internal/segwan/authority"), "{why}");
}

/// A bundle that the Authority signed and that says something else; and the signer's certificate.
async fn forged(
    world: &World,
    edit: impl FnOnce(&mut Bundle),
) -> (Vec<u8>, crate::api::SignedBundle) {
    let (_, signed) = world.authority.bundle(NOW).await.unwrap();
    let body = crate::api::der(&signed.body, 1 << 20).unwrap();
    let mut bundle = Bundle::read(&body).unwrap();
    edit(&mut bundle);
    let mut speaker = world.authority.0.speaker.lock().await;
    let speaker = world.authority.speaking(&mut speaker, NOW).await.unwrap();
    let signed = Bundle::sign(&bundle.body(), &speaker.chain, &speaker.key).unwrap();
    (speaker.chain[0].clone(), signed)
}

// PKI-74
#[tokio::test]
async fn views_of_the_inventory_appear_and_disappear() {
    let world = World::new().await;
    let first = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let view = async |view, now| {
        let filter = Filter { view, name: Some("app".to_owned()), ..Filter::default() };
        world.authority.list(&filter, now).await.unwrap().len()
    };
    // Issued and never used, a day later; until a gateway sees it.
    assert_eq!(view(View::NeverUsed, NOW + HOUR).await, 0);
    assert_eq!(view(View::NeverUsed, NOW + 25 * HOUR).await, 1);
    let leaf = Certificate::read(&first.chain[0]).unwrap();
    let sighting = |serial: String, at_ms, from: &str| Sighting {
        issuer: hex(leaf.authority_key.as_deref().unwrap()),
        serial,
        first_ms: at_ms,
        last_ms: at_ms,
        count: 1,
        from: from.to_owned(),
    };
    let report = async |seen: Vec<Sighting>, now| {
        let report =
            ReportRequest { instance: "a".to_owned(), now_ms: now, bundle_version: 1, seen };
        world.authority.report("orders", true, &report, now).await.unwrap()
    };
    let serial = leaf.serial_hex();
    assert!(
        report(vec![sighting(serial.clone(), NOW + HOUR, "10.0.0.1")], NOW + HOUR).await.is_empty()
    );
    assert_eq!(view(View::NeverUsed, NOW + 25 * HOUR).await, 0);
    // One identity, several places.
    assert_eq!(view(View::TwoPlaces, NOW + 2 * HOUR).await, 0);
    let later = NOW + HOUR + 60_000;
    report(vec![sighting(serial.clone(), later, "10.0.0.2")], later).await;
    assert_eq!(view(View::TwoPlaces, NOW + 2 * HOUR).await, 1);
    let shared = Registration { shared: true, ..Registration::new("app", Profile::Client) };
    world.authority.register(&shared, NOW).await.unwrap();
    assert_eq!(view(View::TwoPlaces, NOW + 2 * HOUR).await, 0);
    // Superseded, and still used after its successor was.
    let second = world.authority.renew(&first.chain[0], &csr(), NOW + 2 * HOUR).await.unwrap();
    let successor = Certificate::read(&second.chain[0]).unwrap().serial_hex();
    report(vec![sighting(successor, NOW + 3 * HOUR, "10.0.0.1")], NOW + 3 * HOUR).await;
    assert_eq!(view(View::SupersededStillUsed, NOW + 3 * HOUR).await, 0);
    report(vec![sighting(serial, NOW + 4 * HOUR, "10.0.0.1")], NOW + 4 * HOUR).await;
    assert_eq!(view(View::SupersededStillUsed, NOW + 4 * HOUR).await, 1);
    assert_eq!(view(View::SupersededStillUsed, NOW + 97 * HOUR).await, 0);
    // A certificate under our key that was never recorded is told of once.
    let ghost = || vec![sighting("40c0ffee".to_owned(), NOW, "10.0.0.3")];
    assert_eq!(report(ghost(), NOW).await, ["40c0ffee"]);
    assert!(report(ghost(), NOW).await.is_empty());
    assert_eq!(world.authority.unrecorded().await.unwrap().len(), 1);
    // Who does not listen is not believed about what it saw.
    let report = ReportRequest {
        instance: "a".to_owned(),
        now_ms: NOW,
        bundle_version: 1,
        seen: vec![sighting("40c0ffef".to_owned(), NOW, "10.0.0.3")],
    };
    assert!(world.authority.report("app", false, &report, NOW).await.unwrap().is_empty());
}
