use super::*;
use crate::api::AckRequest;
use crate::certificate::Certificate;
use crate::revocation::{Crl, RevocationReason};

const DAY: i64 = 24 * HOUR;
/// At two thirds of a year the active certificate is due.
const DUE: i64 = NOW + 241 * DAY;

async fn listens(world: &World, instance: &str, now: i64) -> Subscription {
    let issued = world.authority.issue_local("orders", &csr(), now).await.unwrap();
    let leaf = Certificate::read(&issued.chain[0]).unwrap();
    let agent = Agent {
        instance: instance.to_owned(),
        name: "orders".to_owned(),
        serial: leaf.serial_hex(),
        issuer: hex(leaf.authority_key.as_deref().unwrap()),
        kind: "gateway".to_owned(),
        version: "0".to_owned(),
        host: "db1".to_owned(),
        address: "10.0.0.9".to_owned(),
    };
    world.authority.subscribe(agent, None, now).await.unwrap()
}

async fn acknowledge(world: &World, instance: &str, now: i64) {
    let (bundle_version, _) = world.authority.bundle(now).await.unwrap();
    let seq = world.authority.last_event();
    let ack = AckRequest { instance: instance.to_owned(), seq, bundle_version, closed: 0 };
    world.authority.acknowledge("orders", &ack, now).await.unwrap();
}

async fn signer(world: &World, now: i64) -> String {
    let issued = world.authority.issue_local("orders", &csr(), now).await.unwrap();
    hex(Certificate::read(&issued.chain[0]).unwrap().authority_key.as_deref().unwrap())
}

async fn waits(world: &World, now: i64) -> Option<String> {
    let alarms = world.authority.maintain(now).await.unwrap();
    alarms.into_iter().find(|alarm| alarm.word == "rotation_blocked").map(|alarm| alarm.sentence)
}

// PKI-42
#[tokio::test]
async fn no_leaf_is_signed_by_the_spare_before_every_known_agent_has_it() {
    let world = World::new().await;
    let keys = world.authority.issuing(NOW).await.unwrap();
    let id = |state| keys.iter().find(|key| key.state == state).unwrap().id.clone();
    let (active, spare) = (id("active"), id("spare"));
    // Both lists are with the agents from the first day.
    let trust = world.authority.trust(NOW).await.unwrap();
    assert_eq!(trust.crls.len(), 2);
    assert_eq!(waits(&world, DUE - 2 * DAY).await, None);
    assert_eq!(signer(&world, DUE - 2 * DAY).await, active);

    let _a = listens(&world, "a", DUE).await;
    let _b = listens(&world, "b", DUE).await;
    let sentence = waits(&world, DUE).await.unwrap();
    assert!(sentence.contains("orders at db1"), "{sentence}");
    acknowledge(&world, "a", DUE).await;
    assert!(waits(&world, DUE + HOUR).await.unwrap().contains("waits for 1 "));
    assert_eq!(signer(&world, DUE + HOUR).await, active);
    acknowledge(&world, "b", DUE + HOUR).await;
    assert_eq!(waits(&world, DUE + HOUR).await, None);
    assert_eq!(signer(&world, DUE + HOUR).await, spare);
    // The one before still signs its list, so what is revoked under it stays revoked.
    let before = world.authority.crl(&active).await.unwrap().unwrap().0;
    world.authority.maintain(DUE + 3 * HOUR).await.unwrap();
    assert!(world.authority.crl(&active).await.unwrap().unwrap().0 > before);
    let states: Vec<_> =
        world.authority.issuing(DUE).await.unwrap().iter().map(|key| key.state).collect();
    assert!(states.contains(&"retiring") && states.contains(&"active"));
}

// PKI-42: who was not heard of for a week holds nothing up.
#[tokio::test]
async fn an_agent_that_went_away_does_not_hold_the_rollover_up() {
    let world = World::new().await;
    drop(listens(&world, "a", DUE).await);
    assert!(waits(&world, DUE + 6 * DAY).await.is_some());
    assert_eq!(waits(&world, DUE + 8 * DAY).await, None);
}

#[tokio::test]
async fn without_a_spare_the_operator_hears_of_it_in_time() {
    let world = World::new().await;
    world.authority.maintain(DUE).await.unwrap();
    // The spare signs now; it is due itself at two thirds of its own life.
    let due = NOW + 548 * DAY * 66 / 100 + DAY;
    let sentence = waits(&world, due).await.unwrap();
    assert!(sentence.contains("there is no spare"), "{sentence}");
    let alarms = world.authority.maintain(NOW + 450 * DAY).await.unwrap();
    let words: Vec<_> = alarms.iter().map(|alarm| alarm.word).collect();
    assert!(words.contains(&"issuing_expiring") && words.contains(&"no_spare"), "{words:?}");
}

// PKI-15
#[tokio::test]
async fn the_list_of_one_issuing_key_never_answers_for_another() {
    let world = World::new().await;
    let keys = world.authority.issuing(NOW).await.unwrap();
    let read: Vec<_> = keys.iter().map(|key| Certificate::read(&key.der).unwrap()).collect();
    assert_ne!(read[0].subject, read[1].subject);
    let issued = world.authority.issue_local("orders", &csr(), NOW).await.unwrap();
    let serial = Certificate::read(&issued.chain[0]).unwrap().serial;
    let selector = Selector::Serial(hex(&serial));
    world.authority.revoke(&selector, RevocationReason::Unspecified, NOW).await.unwrap();
    for key in &keys {
        let list = world.authority.crl(&key.id).await.unwrap().unwrap().1;
        let others: Vec<_> =
            keys.iter().filter(|other| other.id != key.id).map(|other| &other.der).collect();
        assert!(Crl::accept(&list, &[&key.der], None, NOW).is_ok());
        assert!(Crl::accept(&list, &others, None, NOW).is_err());
        let names = Crl::read(&list).unwrap().revokes(&serial);
        assert_eq!(names, key.state == "active");
    }
}
