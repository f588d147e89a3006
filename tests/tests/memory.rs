//! What is measured of the whole process: here no other test takes memory meanwhile, for each
//! waits for its turn.

use segwan_tests::service::Service;
use segwan_tests::world::Plan;
use segwan_tests::{PATIENCE, eventually, pause};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

static TURN: Mutex<()> = Mutex::new(());

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4096
}

// ADV-23, ADV-24, H9
#[test]
fn twenty_who_never_read_before_an_endless_service_cost_no_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (service, answering) = (Service::endless(), Service::numbers());
    let (endless, good) = (Plan::raw().before(service.address), Plan::add_ten());
    let good = good.before(answering.address);
    let before = resident();
    let mut peers: Vec<_> = (0..20).map(|_| endless.app()).collect();
    for peer in &mut peers {
        peer.say(b"go");
    }
    // Until every buffer on the way is full, and then no more.
    eventually("the service is not read any more", || {
        let said = service.said();
        pause(Duration::from_secs(1));
        (service.said() == said).then_some(())
    });
    assert!(resident().saturating_sub(before) < 64 << 20, "{before} -> {}", resident());
    good.serves();
    assert_eq!(endless.status().counts.connections, 20);
}

// ADV-24: the mirror, a peer that speaks without end to a service that never reads
#[test]
fn a_peer_without_end_before_a_service_that_never_reads_is_not_read() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let service = Service::start(|_| pause(PATIENCE));
    let world = Plan::raw().before(service.address);
    let mut peer = world.app();
    peer.tcp().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let before = resident();
    let mut said = 0;
    while !peer.is_full() && said < 64 << 20 {
        peer.say(&[b'x'; 64 * 1024]);
        said += 64 * 1024;
    }
    assert!(peer.is_full(), "{said} bytes were taken");
    assert!(resident().saturating_sub(before) < 64 << 20);
    drop(peer);
}
