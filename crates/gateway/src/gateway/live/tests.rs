use super::slots::NoSlot;
use super::*;
use segwan_core::identity::CertificateFacts;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;
use std::time::Duration;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

// ADV-12
#[test]
fn a_connection_that_was_told_to_drain_is_woken_again_for_the_cut() {
    let registry = Registry::new(Limits::default());
    let arriving = registry.arrive(SocketAddr::from(([127, 0, 0, 1], 9))).unwrap();
    let woken = Arc::new(Woken::default());
    arriving.live.listen(&Waker::from(woken.clone()));
    for (order, times) in [(Order::Drain, 1), (Order::Cut, 2)] {
        registry.tell_all(order);
        assert_eq!(arriving.live.order(), Some(order));
        assert_eq!(woken.0.load(Ordering::Relaxed), times);
    }
}

fn peer() -> Arc<Peer> {
    let certificate = CertificateFacts {
        serial: "01".to_owned(),
        issuer: "aa".to_owned(),
        issuer_key: "aa".to_owned(),
        keys: vec![],
        not_before: 0,
        not_after: i64::MAX,
    };
    Arc::new(Peer::authenticated("spiffe://shop.example/app".parse().unwrap(), certificate))
}

fn establish(arriving: &Arriving) -> Result<Established, NoSlot> {
    let facts = ConnectionFacts {
        address: arriving.live.address.ip(),
        started_unix_ms: arriving.live.began_unix_ms,
        tls: "1.3",
    };
    let pin = || (Arc::default(), ());
    arriving.establish(&peer(), Some(facts), pin).map(|(established, ())| established)
}

// ADV-09
#[test]
fn whoever_is_refused_keeps_its_slot_until_it_is_gone() {
    let limits = Limits { max_connections_per_identity: 1, ..Limits::default() };
    let registry = Registry::new(limits);
    let arrive = || registry.arrive(SocketAddr::from(([127, 0, 0, 1], 9))).unwrap();
    let (first, second) = (arrive(), arrive());
    let established = establish(&first).unwrap();
    drop(first);

    let refused = establish(&second).map(|_| ()).unwrap_err();
    assert_eq!(refused.reason, Reason::IdentityLimit);
    assert_eq!((registry.counts(0).handshakes, registry.counts(0).connections), (1, 1));
    drop((second, established));
    assert_eq!((registry.counts(0).handshakes, registry.counts(0).connections), (0, 0));
}

// ADV-01
#[test]
fn a_connection_at_work_is_not_evicted_for_a_newcomer() {
    let registry = Registry::new(Limits { max_handshakes: 1, ..Limits::default() });
    let arrive = || registry.arrive(SocketAddr::from(([127, 0, 0, 1], 9)));
    let arriving = arrive().unwrap();
    // Its handshake slot is not given back yet, and it is a connection already.
    let established = establish(&arriving).unwrap();
    let newcomer = arrive().unwrap();
    assert_eq!(established.live.order(), None);
    drop((newcomer, arriving));
    assert_eq!((registry.counts(0).handshakes, registry.counts(0).connections), (0, 1));
}

/// So many connections at work, with serial numbers from 0.
fn at_work(registry: &Arc<Registry>, count: usize) -> Vec<Established> {
    let establish = |serial: usize| {
        let arriving = registry.arrive(SocketAddr::from(([127, 0, 0, 1], 9))).unwrap();
        let certificate =
            CertificateFacts { serial: format!("{serial:x}"), ..peer().certificate().clone() };
        let identity = "spiffe://shop.example/app".parse().unwrap();
        let peer = Arc::new(Peer::authenticated(identity, certificate));
        arriving.establish(&peer, None, || (Arc::default(), ())).unwrap().0
    };
    (0..count).map(establish).collect()
}

fn many() -> Arc<Registry> {
    Registry::new(Limits { max_connections: 10_000, ..Limits::default() })
}

fn revoked() -> Option<(Reason, String)> {
    Some((Reason::CertificateRevoked, "was revoked".to_owned()))
}

#[tokio::test]
async fn a_sweep_ends_those_that_no_longer_hold_and_no_other() {
    let registry = many();
    let all = at_work(&registry, 1000);
    let serial = |peer: &Peer| u64::from_str_radix(&peer.certificate().serial, 16).unwrap();
    let odd = |peer: &Peer| serial(peer) % 2 == 1;
    // They end as soon as they are told.
    let told: Vec<_> = all.iter().map(|slot| slot.live.clone()).collect();
    let ending = tokio::spawn(async move {
        while told.iter().filter(|live| live.withdrawn().is_some()).count() < 500 {
            tokio::task::yield_now().await;
        }
        for slot in all.iter().filter(|slot| slot.live.withdrawn().is_some()) {
            slot.over();
        }
        all
    });
    let swept = registry.sweep(|live| odd(live.peer().unwrap()).then(revoked).flatten()).await;
    assert_eq!(swept, Examined { examined: 1000, closed: 500, failed: false });
    let all = ending.await.unwrap();
    for slot in &all {
        let told = slot.live.withdrawn();
        assert_eq!(told.is_some(), odd(slot.live.peer.get().unwrap()));
        assert_eq!(told, told.is_some().then(revoked).flatten());
    }
    // Nobody is counted twice.
    assert_eq!(registry.sweep(|_| None).await.closed, 0);
    assert_eq!(
        registry.sweep(|live| odd(live.peer().unwrap()).then(revoked).flatten()).await.closed,
        0
    );
}

#[tokio::test]
async fn a_sweep_that_fails_ends_every_connection() {
    let registry = many();
    let all = at_work(&registry, 300);
    all.iter().for_each(Established::over);
    let swept = registry.sweep(|live| {
        if live.peer().unwrap().certificate().serial == "7" { panic!("a fault") } else { None }
    });
    assert_eq!(swept.await, Examined { examined: 300, closed: 300, failed: true });
    let reason = |slot: &Established| slot.live.withdrawn().unwrap().0;
    assert!(all.iter().all(|slot| reason(slot) == Reason::TrustWithdrawn));

    let registry = many();
    let all = at_work(&registry, 10);
    all.iter().for_each(Established::over);
    let swept = registry.sweep_within(Duration::ZERO, |_| None).await;
    assert_eq!(swept, Examined { examined: 10, closed: 10, failed: true });
}

#[tokio::test]
async fn a_sweep_does_not_wait_for_ever() {
    let registry = many();
    let _all = at_work(&registry, 3);
    let began = Instant::now();
    assert_eq!(registry.sweep(|_| revoked()).await.closed, 3);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn nothing_takes_a_withdrawal_back() {
    let registry = many();
    let all = at_work(&registry, 1);
    let live = &all[0].live;
    assert_eq!(live.withdrawn(), None);
    assert!(live.withdraw(Reason::CertificateRevoked, "first".to_owned()));
    assert!(!live.withdraw(Reason::TrustWithdrawn, "second".to_owned()));
    registry.tell_all(Order::Cut);
    assert_eq!(live.order(), Some(Order::Withdraw));
    assert_eq!(live.withdrawn(), Some((Reason::CertificateRevoked, "first".to_owned())));
}
