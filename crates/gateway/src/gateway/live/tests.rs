use super::*;
use segwan_core::identity::CertificateFacts;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

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
    let (serial, issuer) = ("01".to_owned(), "aa".to_owned());
    let certificate = CertificateFacts { serial, issuer, not_before: 0, not_after: i64::MAX };
    Arc::new(Peer::authenticated("spiffe://shop.example/app".parse().unwrap(), certificate))
}

// ADV-09
#[test]
fn whoever_is_refused_keeps_its_slot_until_it_is_gone() {
    let limits = Limits { max_connections_per_identity: 1, ..Limits::default() };
    let registry = Registry::new(limits);
    let arrive = || registry.arrive(SocketAddr::from(([127, 0, 0, 1], 9))).unwrap();
    let (first, second) = (arrive(), arrive());
    let established = first.establish(&peer(), true).unwrap();
    drop(first);

    let refused = second.establish(&peer(), true).map(|_| ()).unwrap_err();
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
    let established = arriving.establish(&peer(), true).unwrap();
    let newcomer = arrive().unwrap();
    assert_eq!(established.live.order(), None);
    drop((newcomer, arriving));
    assert_eq!((registry.counts(0).handshakes, registry.counts(0).connections), (0, 1));
}
