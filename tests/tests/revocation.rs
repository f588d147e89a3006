//! Trust that ends while connections run: what is closed, what is left alone, and that not a byte
//! passes afterwards.

use rustls::version::TLS13;
use segwan::agent::Installation as Who;
use segwan::{Agent, TlsFloor};
use segwan_core::audit::EventKind;
use segwan_core::limits::Limits;
use segwan_core::policy::Policy;
use segwan_core::rejection::Reason;
use segwan_gateway::gateway::{CONTRACT_GRACE, Gateway, Inspection, ServicePlan, Upstream};
use segwan_gateway::process::Process;
use segwan_gateway::record::Recorder;
use segwan_pki::authority::{Registration, Selector};
use segwan_pki::directory::StateDir;
use segwan_pki::profile::Profile;
use segwan_pki::revocation::RevocationReason;
use segwan_tests::installation::{Installation, listens, now_ms};
use segwan_tests::peer::{End, Peer};
use segwan_tests::pki::Leaf;
use segwan_tests::service::Service;
use segwan_tests::world::{ADD_TEN, Plan, loopback};
use segwan_tests::{PATIENCE, SLACK, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

#[test]
fn a_revoked_client_is_cut_and_nobody_else() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let guest = world.pki.client("guest");
    let (mut one, mut other) = (world.app(), Peer::connect(world.address, Some(&guest)));
    assert_eq!(one.say(b"5\n").hear(3).text(), "15\n");
    eventually("both are at work", || (world.status().counts.connections == 2).then_some(()));

    world.withdraw(&world.app);
    let swept = world.sweep();
    assert_eq!((swept.examined, swept.closed, swept.failed.len()), (2, 1, 0));
    assert!(swept.took < SLACK, "{:?}", swept.took);
    // Between messages, so in order.
    assert!(one.hear_all().close_notify);
    let closed = world.ended(1).remove(0);
    assert_eq!(
        (closed.event, closed.reason),
        (EventKind::Closed, Some(Reason::CertificateRevoked))
    );
    assert!(closed.sentence.starts_with("certificate with the serial "), "{}", closed.sentence);
    assert_eq!(closed.totals.unwrap().messages_to_server, 1);

    other.hear_for(Duration::from_millis(50));
    assert_eq!(other.heard().end, None, "the other one is left alone");
    let mut late = Peer::connect(world.address, Some(&world.app));
    late.hear_all();
    assert_eq!(world.ended(2)[1].reason, Some(Reason::CertificateRevoked));
    assert_eq!(world.sweep().closed, 0);
}

// PKI-41, ADV-12, TRAP-10
#[test]
fn whoever_is_revoked_after_it_began_to_speak_is_not_heard_any_more() {
    let service = Service::numbers();
    let world = Plan::add_ten().before(service.address);
    let mut peer = world.app();
    assert_eq!(peer.say(b"5\n").hear(3).text(), "15\n");
    peer.say(b"61");
    eventually("it is at work", || (world.status().counts.connections == 1).then_some(()));
    world.withdraw(&world.app);
    assert_eq!(world.sweep().closed, 1);
    peer.say(b"2\n7\n");
    peer.hear_all();
    assert_eq!(service.heard(), b"5\n");
    assert_eq!(world.ended(1)[0].totals.unwrap().messages_to_server, 1);
}

// TRAP-10: the certificate ends between the first and the last byte of a frame, and while a whole
// one waits for its turn.
#[test]
fn of_whose_certificate_ends_meanwhile_nothing_is_heard_any_more() {
    let waits = ADD_TEN.replace("\"5s\"", "\"30s\"").replace("\"2s\"", "\"30s\"");
    let begin = |service: &Service, said: &[u8]| {
        let plan = Plan::under(&waits);
        let app = plan.pki().leaf("app", segwan_tests::pki::ending_in(10));
        let world = plan.before(service.address);
        let mut peer = Peer::connect(world.address, Some(&app));
        peer.say(said);
        (world, peer)
    };
    let (numbers, silent) = (Service::numbers(), Service::silent());
    let (eight, nine) = (b"1\n2\n3\n4\n5\n6\n7\n8\n", b"1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let both = [begin(&numbers, b"61"), begin(&silent, nine)];
    eventually("the ninth waits", || (silent.heard() == eight).then_some(()));
    for (world, mut peer) in both {
        assert_eq!(world.ending().0, Some(Reason::CertificateExpired));
        peer.say(b"2\n7\n").hear_all();
    }
    assert_eq!((numbers.heard(), silent.heard()), (vec![], eight.to_vec()));
}

// PKI-41, ADV-12: the fault points before the verifier and behind it. The sweep finds nothing,
// because the connection is not registered yet; the look after the registration does.
#[test]
fn a_revocation_during_a_handshake_is_seen_whoever_is_first() {
    for floor in [TlsFloor::V13, TlsFloor::V12] {
        let service = Service::echo();
        let plan = Plan::raw();
        let plan = if floor == TlsFloor::V12 { plan.tls_12() } else { plan };
        let world = plan.before(service.address);
        // The gateway has begun under the old trust, and waits for the client's certificate.
        let version = if floor == TlsFloor::V12 { &rustls::version::TLS12 } else { &TLS13 };
        let mut peer = Peer::begin(world.address, Some(&world.app), version);
        let hello = peer.pending();
        peer.send_raw(&hello).unwrap();
        eventually("it shakes hands", || (world.status().counts.handshakes == 1).then_some(()));
        world.withdraw(&world.app);
        assert_eq!(world.sweep().examined, 0);
        let _ = peer.shake_hands();
        peer.say(b"a message");
        peer.hear_all();
        let refused = world.ended(1).remove(0);
        assert_eq!(refused.event, EventKind::Refused);
        assert_eq!(refused.reason, Some(Reason::CertificateRevoked));
        assert_eq!((service.accepts(), service.heard().len()), (0, 0));
    }
}

// ADV-12: after the admission, where nobody inspects what passes.
#[test]
fn a_raw_stream_is_reset_so_that_nothing_looks_whole() {
    let service = Service::echo();
    let world = Plan::raw().before(service.address);
    let mut peer = world.app();
    peer.say(b"some bytes").hear(10);
    world.withdraw(&world.app);
    assert_eq!(world.sweep().closed, 1);
    assert_eq!(peer.hear_all().end, Some(End::Reset));
    assert!(!peer.heard().close_notify);
    assert_eq!(service.heard(), b"some bytes");
}

#[test]
fn a_client_half_leaves_a_server_that_was_revoked() {
    use segwan_tests::server::TlsServer;
    let plan = Plan::raw();
    let pki = plan.pki();
    let leaf = pki.service("calculator");
    let server = TlsServer::start(&leaf, &TLS13);
    let world = plan.towards(server.address);
    let mut local = segwan_tests::peer::plain(world.address);
    local.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    local.read_exact(&mut answer).unwrap();
    world.withdraw(&leaf);
    let swept = world.sweep();
    assert_eq!((swept.examined, swept.closed), (1, 1));
    assert!(!matches!(local.read(&mut answer), Ok(1..)));
    assert_eq!(world.ended(1)[0].reason, Some(Reason::CertificateRevoked));
}

#[test]
fn an_expired_certificate_of_ones_own_is_never_shown() {
    let service = Service::echo();
    let world = Plan::raw().before(service.address);
    let mut early = world.app();
    assert_eq!(early.say(b"x").hear(1).text(), "x");
    assert!(world.not_ready().is_empty());
    let ended = world.pki.leaf("calculator", segwan_tests::pki::expired);
    world.credentials.replace(ended.chain.as_bytes(), ended.key.as_bytes()).unwrap();
    assert_eq!(world.not_ready(), ["calculator"]);
    assert_eq!(heard_at(world.address), 0, "closed at accept");
    let refused = world.ended(1).remove(0);
    assert_eq!(refused.reason, Some(Reason::CertificateExpired));
    assert!(refused.sentence.contains("own certificate of `calculator` ended"), "{refused:?}");
    assert!(is_open(&mut early), "what runs ends with the certificate it began with");

    let good = world.pki.service("calculator");
    world.credentials.replace(good.chain.as_bytes(), good.key.as_bytes()).unwrap();
    assert!(world.not_ready().is_empty());
    assert_eq!(world.app().say(b"x").hear(1).text(), "x");
}

#[test]
fn a_client_half_with_an_expired_certificate_closes_local_connections() {
    use segwan_tests::server::TlsServer;
    let plan = Plan::raw();
    let server = TlsServer::start(&plan.pki().service("calculator"), &TLS13);
    let world = plan.towards(server.address);
    let ended = world.pki.leaf("app", segwan_tests::pki::expired);
    world.credentials.replace(ended.chain.as_bytes(), ended.key.as_bytes()).unwrap();
    assert_eq!(heard_at(world.address), 0);
    assert_eq!(world.ended(1)[0].reason, Some(Reason::CertificateExpired));
    assert!(server.wire().is_empty());
}

/// How many bytes somebody gets who connects and only listens; it is reset at once.
fn heard_at(address: SocketAddr) -> usize {
    let stream = TcpStream::connect(address);
    stream.and_then(|mut stream| stream.read(&mut [0; 8])).unwrap_or(0)
}

// PKI-46
#[test]
fn nobody_comes_back_by_a_resumed_session() {
    for floor in [TlsFloor::V13, TlsFloor::V12] {
        let service = Service::numbers();
        let plan = Plan::add_ten();
        let plan = if floor == TlsFloor::V12 { plan.tls_12() } else { plan };
        let world = plan.before(service.address);
        let version = if floor == TlsFloor::V12 { &rustls::version::TLS12 } else { &TLS13 };
        let config = segwan_tests::peer::config(Some(&world.app), version);
        for _ in 0..3 {
            let mut peer = Peer::with(world.address, config.clone());
            peer.shake_hands().unwrap();
            assert_eq!(peer.say(b"5\n").hear(3).text(), "15\n");
            assert_eq!(peer.handshake(), Some(rustls::HandshakeKind::Full));
            peer.close_notify().hear_all();
        }
        world.withdraw(&world.app);
        let mut peer = Peer::with(world.address, config);
        let _ = peer.shake_hands();
        peer.hear_all();
        let ended = world.ended(4);
        assert_eq!(ended[3].reason, Some(Reason::CertificateRevoked));
        assert!(ended.iter().all(|event| event.reason != Some(Reason::ResumptionSeen)));
    }
}

/// A gateway elsewhere, that joined over the Authority's port and follows it there.
struct Edge {
    gateway: Arc<Gateway>,
    address: SocketAddr,
    agent: Arc<Agent>,
    who: Who,
    following: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
    events: std::sync::mpsc::Receiver<segwan_core::audit::Event>,
}

impl Edge {
    fn new(installation: &Installation, process: &Process, name: &str, at: &Service) -> Self {
        let authority = &process.running().authority.as_ref().unwrap().authority;
        let registration = Registration::new(name, Profile::Service);
        let registered = authority.register(&registration, now_ms());
        installation.runtime.block_on(registered).unwrap();
        let token = installation.token(process, name);
        let agent = Arc::new(installation.join(&token, name, name).unwrap());
        let state = StateDir::open_shared(&installation.place(name)).unwrap();
        let who = Who::of(&state, "gateway").unwrap();
        let allow = ["app", "guest"].map(|name| agent.trust_domain().identity(name).unwrap());
        let (policy, _) = Policy::compile(name, &[], &allow, &[]).unwrap();
        let plan = ServicePlan {
            name: name.to_owned(),
            listen: loopback(),
            upstream: Upstream::Tcp(at.address),
            inspection: Inspection::Raw,
            beside: None,
            policy: Arc::new(policy),
            record_cleared: false,
            limits: Limits::default(),
            contract_grace: CONTRACT_GRACE,
            credentials: agent.credentials(),
            trust: agent.trust(),
            tls: TlsFloor::V13,
            seen: Some(agent.sightings()),
        };
        let (recorder, events) = Recorder::new(64 * 1024);
        let gateway = Arc::new(Gateway::start(vec![plan], vec![], &recorder, 1).unwrap());
        let address = gateway.addresses()[0].1;
        Self { gateway, address, agent, who, following: None, events }
    }

    fn follow(&mut self, installation: &Installation) {
        let stop = CancellationToken::new();
        let (gateway, trust) = (self.gateway.clone(), self.agent.trust());
        let sweep = move || {
            let (gateway, trust) = (gateway.clone(), trust.clone());
            async move { gateway.sweep(&trust).await.closed }
        };
        let following = self.agent.clone().follow(self.who.clone(), stop.clone(), sweep);
        self.following = Some((stop, installation.runtime.spawn(following)));
        eventually("its stream is up", || {
            self.agent.status().following.stream_since_ms.map(|_| ())
        });
    }

    fn fall_silent(&mut self, installation: &Installation) {
        let Some((stop, following)) = self.following.take() else { return };
        stop.cancel();
        installation.runtime.block_on(following).unwrap();
    }

    fn connect(&self, leaf: &Leaf, count: usize) -> Vec<Peer> {
        let connect = || {
            let mut peer = Peer::connect(self.address, Some(leaf));
            assert_eq!(peer.say(b"x").hear(1).text(), "x");
            peer
        };
        std::iter::repeat_with(connect).take(count).collect()
    }
}

fn is_open(peer: &mut Peer) -> bool {
    let before = peer.heard().plain.len();
    peer.say(b"y");
    peer.hear(before + 1).plain.len() == before + 1
}

/// An echo that outlasts the silence of hundreds of connections made one after the other.
fn patient_echo() -> Service {
    Service::start(|conversation| {
        let mut silent = 0;
        while silent < 10 {
            let heard = conversation.hear();
            silent = if heard.is_empty() { silent + 1 } else { 0 };
            if conversation.say(&heard).is_err() {
                return;
            }
        }
    })
}

// PKI-39
#[test]
fn each_way_to_revoke_closes_what_it_names_at_three_gateways_and_counts_it() {
    let installation = Installation::used();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let authority = process.running().authority.as_ref().unwrap().authority.clone();
    let service = patient_echo();
    let mut edges: Vec<_> = ["edge-1", "edge-2", "edge-3"]
        .map(|name| Edge::new(&installation, &process, name, &service))
        .into();
    edges.iter_mut().for_each(|edge| edge.follow(&installation));
    let guest = Registration::new("guest", Profile::Client);
    installation.runtime.block_on(authority.register(&guest, now_ms())).unwrap();
    let joined = |name: &str, place: &str| {
        let token = installation.token(&process, name);
        installation.join(&token, name, place).unwrap();
        installation.leaf(name, place)
    };
    let guest = joined("guest", "guest");
    let mut others: Vec<_> = edges.iter().flat_map(|edge| edge.connect(&guest, 3)).collect();

    for (round, (kind, count)) in
        [("serial", 10), ("key", 10), ("lineage", 10), ("name", 100)].into_iter().enumerate()
    {
        let leaf = joined("app", &format!("app-{round}"));
        let mut peers: Vec<_> = edges.iter().flat_map(|edge| edge.connect(&leaf, count)).collect();
        let (read, lineage) = installation.facts("app", &format!("app-{round}"));
        let key = segwan_pki::key::hex(&segwan_pki::key::sha256(&read.public_key));
        let selector = match kind {
            "serial" => Selector::Serial(read.serial_hex()),
            "key" => Selector::Key(key),
            "lineage" => Selector::Lineage(lineage),
            _ => Selector::Name("app".to_owned()),
        };
        let began = Instant::now();
        let confirmation = installation.runtime.block_on(async {
            let reason = RevocationReason::Unspecified;
            let revoked = authority.revoke(&selector, reason, now_ms()).await.unwrap();
            authority.confirmed(revoked.seq, revoked.committed, PATIENCE).await.unwrap()
        });
        println!("{kind}: {confirmation:?} in {:?}", began.elapsed());
        // This process's own gateway is one of the four.
        assert_eq!((confirmation.live, confirmation.confirmed), (4, 4), "{kind}: {confirmation:?}");
        assert_eq!(confirmation.closed, 3 * count as u64, "{kind}");
        for peer in &mut peers {
            assert!(peer.hear_all().end.is_some(), "{kind}");
        }
        assert!(others.iter_mut().all(is_open), "{kind}: the others are untouched");
    }
    edges.iter_mut().for_each(|edge| edge.fall_silent(&installation));
    installation.stop(process);
}

// PKI-40 (the catching up; who is missing is the Authority's to say)
#[test]
fn a_gateway_whose_stream_was_cut_catches_up_when_it_is_back() {
    let installation = Installation::used();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let authority = process.running().authority.as_ref().unwrap().authority.clone();
    let service = Service::echo();
    let mut edge = Edge::new(&installation, &process, "edge", &service);
    edge.follow(&installation);
    installation.join(&installation.token(&process, "app"), "app", "app").unwrap();
    let mut peers = edge.connect(&installation.leaf("app", "app"), 2);

    // It takes nothing in any more, and does not say so.
    edge.fall_silent(&installation);
    let confirmation = installation.runtime.block_on(async {
        let (what, why) = (Selector::Name("app".to_owned()), RevocationReason::Unspecified);
        let revoked = authority.revoke(&what, why, now_ms()).await.unwrap();
        authority.confirmed(revoked.seq, revoked.committed, Duration::from_secs(1)).await.unwrap()
    });
    assert_eq!(confirmation.closed, 0);
    assert!(peers.iter_mut().all(is_open), "nobody told it");

    edge.follow(&installation);
    for peer in &mut peers {
        peer.hear_all();
    }
    eventually("it has said so", || {
        let following = edge.agent.status().following;
        (following.acked == authority.last_event()).then_some(())
    });
    edge.fall_silent(&installation);
    installation.stop(process);
}

#[test]
fn a_process_cuts_whom_its_own_authority_revokes() {
    let installation = Installation::used();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let authority = process.running().authority.as_ref().unwrap().authority.clone();
    installation.join(&installation.token(&process, "app"), "app", "app").unwrap();
    let mut peer = Peer::connect(listens(&process), Some(&installation.leaf("app", "app")));
    assert_eq!(peer.say(b"5\n").hear(3).text(), "15\n");
    eventually("it listens", || (!authority.listening().is_empty()).then_some(()));
    let confirmation = installation.runtime.block_on(async {
        let (what, why) = (Selector::Name("app".to_owned()), RevocationReason::Unspecified);
        let revoked = authority.revoke(&what, why, now_ms()).await.unwrap();
        authority.confirmed(revoked.seq, revoked.committed, PATIENCE).await.unwrap()
    });
    assert_eq!((confirmation.live, confirmation.confirmed, confirmation.closed), (1, 1, 1));
    assert!(confirmation.took < SLACK, "{confirmation:?}");
    assert!(peer.hear_all().close_notify);
    installation.stop(process);
}

// PKI-17, for who is there already: an issuing key that is believed nowhere any more.
#[test]
fn a_distrusted_issuing_key_cuts_whom_it_signed_and_they_come_back_under_the_other() {
    let installation = Installation::used();
    let process = installation.start().map_err(|failure| failure.to_string()).unwrap();
    let authority = process.running().authority.as_ref().unwrap().authority.clone();
    let service = Service::echo();
    let mut edge = Edge::new(&installation, &process, "edge", &service);
    edge.follow(&installation);
    let app = installation.join(&installation.token(&process, "app"), "app", "app");
    let (app, stop) = (Arc::new(app.unwrap()), CancellationToken::new());
    let state = StateDir::open_shared(&installation.place("app")).unwrap();
    let who = Who::of(&state, "client").unwrap();
    let following = app.clone().follow(who, stop.clone(), || async { 0 });
    let following = installation.runtime.spawn(following);
    eventually("it listens", || app.status().following.stream_since_ms.map(|_| ()));
    let (leaf, shown) = (installation.leaf("app", "app"), installation.leaf("edge", "edge").chain);
    let mut peers = edge.connect(&leaf, 3);
    let believes = |chain: &str| {
        let judged = app.trust().judge(chain.as_bytes(), true, now_ms() / 1000);
        judged.err().map(|error| error.reason)
    };
    assert_eq!(believes(&shown), None);

    let signer = app.credentials().issuer();
    let done = installation.runtime.block_on(authority.distrust_issuing(&signer, now_ms()));
    let successor = done.unwrap().successor.unwrap();
    for peer in &mut peers {
        assert!(peer.hear_all().end.is_some());
    }
    let told = || edge.events.recv_timeout(PATIENCE).ok();
    let closed = std::iter::from_fn(told).filter(|event| event.event == EventKind::Closed);
    let cut: Vec<_> = closed.take(3).map(|event| event.reason).collect();
    assert_eq!(cut, [Some(Reason::TrustWithdrawn); 3]);
    let mut late = Peer::connect(edge.address, Some(&leaf));
    assert!(late.say(b"x").hear_all().plain.is_empty());
    eventually("the other side knows", || believes(&shown).map(|_| ()));
    assert_eq!(believes(&shown), Some(Reason::TrustWithdrawn));

    // Each has an instant of the next five minutes; what it does then is done now.
    for agent in [&app, &edge.agent] {
        let soon = || agent.status().renew_at_ms <= now_ms() + 5 * 60_000;
        eventually("it is told to renew", || soon().then_some(()));
        // The Authority's own port gets its certificate under the other key within a second.
        eventually("it is renewed", || installation.runtime.block_on(agent.renew()).ok());
        assert_eq!(agent.credentials().issuer(), successor);
    }
    assert_eq!(believes(&installation.leaf("edge", "edge").chain), None);
    let mut back = edge.connect(&installation.leaf("app", "app"), 2);
    assert!(back.iter_mut().all(is_open));
    let mut late = Peer::connect(edge.address, Some(&leaf));
    assert!(late.say(b"x").hear_all().plain.is_empty());

    stop.cancel();
    installation.runtime.block_on(following).unwrap();
    edge.fall_silent(&installation);
    installation.stop(process);
}
