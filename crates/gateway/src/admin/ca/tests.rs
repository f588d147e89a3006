use super::super::wire::{CertificateView, ListRequest, ListView, RevokeRequest};
use super::*;
use segwan_pki::api::{AckRequest, ReportRequest, Sighting};
use segwan_pki::authority::{
    Agent, AuthorityOptions, Issued, LEAF_LIFETIME, OnReenroll, RENEWAL_GRACE, Subscription,
};
use segwan_pki::directory::StateDir;
use segwan_pki::key::PrivateKey;
use segwan_pki::profile::Profile;
use segwan_pki::x509::certificate_request;
use std::time::Duration;

const T: i64 = 1_790_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// An Authority with a service `orders` and a client `app`, by a virtual clock.
struct World {
    _parent: tempfile::TempDir,
    _state: StateDir,
    authority: Authority,
}

impl World {
    async fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(&parent.path().join("state")).unwrap();
        let options = AuthorityOptions {
            trust_domain: "segwan.internal".parse().unwrap(),
            leaf_lifetime: LEAF_LIFETIME,
            renewal_grace: RENEWAL_GRACE,
        };
        let authority = Authority::open(&state, &options, T).await.unwrap();
        for (name, profile) in [("orders", Profile::Service), ("app", Profile::Client)] {
            let registration = Registration {
                on_reenroll: OnReenroll::Add,
                max_lineages: 100,
                ..Registration::new(name, profile)
            };
            authority.register(&registration, T).await.unwrap();
        }
        Self { _parent: parent, _state: state, authority }
    }

    async fn issue(&self, name: &str, at_ms: i64) -> Issued {
        let request = certificate_request(&PrivateKey::generate().unwrap()).unwrap();
        self.authority.issue_local(name, &request, at_ms).await.unwrap()
    }

    async fn renew(&self, issued: &Issued, at_ms: i64) -> Issued {
        let request = certificate_request(&PrivateKey::generate().unwrap()).unwrap();
        self.authority.renew(&issued.chain[0], &request, at_ms).await.unwrap()
    }

    /// `orders` saw a certificate in a handshake.
    async fn seen(&self, (issuer, serial): (String, String), from: &str, at_ms: i64) {
        let seen = Sighting {
            issuer,
            serial,
            first_ms: at_ms,
            last_ms: at_ms,
            count: 1,
            from: from.to_owned(),
        };
        let instance = "i1".to_owned();
        let report = ReportRequest { instance, now_ms: at_ms, bundle_version: 1, seen: vec![seen] };
        self.authority.report("orders", true, &report, at_ms).await.unwrap();
    }

    async fn view(&self, view: ListView, at_ms: i64) -> Vec<CertificateView> {
        let asked = ListRequest { view, ..ListRequest::default() };
        let mut listed = list(&self.authority, &asked, at_ms).await.unwrap().certificates;
        listed.retain(|one| one.name == "app");
        listed
    }

    async fn listen(&self, instance: &str, at_ms: i64) -> Subscription {
        let agent = Agent {
            instance: instance.to_owned(),
            name: "orders".to_owned(),
            serial: "00".to_owned(),
            issuer: "00".to_owned(),
            kind: "gateway".to_owned(),
            version: "0.1.0".to_owned(),
            host: format!("host of {instance}"),
            address: "10.0.0.5".to_owned(),
        };
        self.authority.subscribe(agent, None, at_ms).await.unwrap()
    }

    async fn ack(&self, instance: &str, seq: i64, closed: u64, at_ms: i64) {
        let ack = AckRequest { instance: instance.to_owned(), seq, bundle_version: 1, closed };
        self.authority.acknowledge("orders", &ack, at_ms).await.unwrap();
    }
}

fn id(issued: &Issued) -> (String, String) {
    let leaf = segwan_pki::certificate::Certificate::read(&issued.chain[0]).unwrap();
    (leaf.issuer_key_or_name(), leaf.serial_hex())
}

// PKI-74
#[tokio::test]
async fn each_view_of_the_inventory_fills_and_empties_as_it_should() {
    let world = World::new().await;
    let first = world.issue("app", T).await;
    // Never used: from a day after the issue to the first handshake.
    assert!(world.view(ListView::NeverUsed, T + 23 * HOUR).await.is_empty());
    assert_eq!(world.view(ListView::NeverUsed, T + 25 * HOUR).await[0].serial, id(&first).1);
    world.seen(id(&first), "10.0.0.1", T + 26 * HOUR).await;
    assert!(world.view(ListView::NeverUsed, T + 27 * HOUR).await.is_empty());
    let row = world.view(ListView::Live, T + 27 * HOUR).await.remove(0);
    assert_eq!(
        (row.seen_by.as_deref(), row.seen_from.as_deref()),
        (Some("orders"), Some("10.0.0.1"))
    );

    // Superseded, still used: once the successor was seen, and the old one after it.
    let second = world.renew(&first, T + 40 * HOUR).await;
    world.seen(id(&first), "10.0.0.1", T + 41 * HOUR).await;
    assert!(world.view(ListView::Superseded, T + 41 * HOUR).await.is_empty());
    world.seen(id(&second), "10.0.0.1", T + 42 * HOUR).await;
    assert!(world.view(ListView::Superseded, T + 42 * HOUR).await.is_empty());
    world.seen(id(&first), "10.0.0.1", T + 43 * HOUR).await;
    let rows = world.view(ListView::Superseded, T + 43 * HOUR).await;
    assert_eq!((rows.len(), rows[0].serial.as_str()), (1, id(&first).1.as_str()));
    assert!(world.view(ListView::Superseded, T + 97 * HOUR).await.is_empty());

    // Two places: two addresses within five minutes, for a day; not for a name that is shared.
    world.seen(id(&second), "10.0.0.1", T + 50 * HOUR).await;
    world.seen(id(&second), "10.0.0.2", T + 50 * HOUR + 6 * MINUTE).await;
    assert!(world.view(ListView::TwoPlaces, T + 51 * HOUR).await.is_empty());
    world.seen(id(&second), "10.0.0.1", T + 50 * HOUR + 8 * MINUTE).await;
    assert_eq!(world.view(ListView::TwoPlaces, T + 51 * HOUR).await[0].serial, id(&second).1);
    let known = world.authority.registration("app").await.unwrap().unwrap();
    let known = Registration::of(&known).unwrap();
    world.authority.register(&Registration { shared: true, ..known.clone() }, T).await.unwrap();
    assert!(world.view(ListView::TwoPlaces, T + 51 * HOUR).await.is_empty());
    world.authority.register(&known, T).await.unwrap();
    assert!(world.view(ListView::TwoPlaces, T + 75 * HOUR).await.is_empty());

    // Seen, and not on the record.
    let asked = ListRequest { view: ListView::Unrecorded, ..ListRequest::default() };
    assert!(list(&world.authority, &asked, T).await.unwrap().unrecorded.is_empty());
    let (issuer, _) = id(&second);
    world.seen((issuer, "41".repeat(16)), "10.0.0.9", T + 52 * HOUR).await;
    // Under a key that is not ours it says nothing.
    world.seen(("00".repeat(20), "42".repeat(16)), "10.0.0.9", T + 52 * HOUR).await;
    let unrecorded = list(&world.authority, &asked, T + 53 * HOUR).await.unwrap().unrecorded;
    assert_eq!((unrecorded.len(), unrecorded[0].serial.as_str()), (1, &*"41".repeat(16)));

    // Revoked, until it ends.
    let what = format!("serial:{}", id(&second).1);
    let asked = RevokeRequest { what, ..RevokeRequest::default() };
    revoke(&world.authority, &asked, T + 53 * HOUR).await.unwrap();
    let revoked = world.view(ListView::Revoked, T + 53 * HOUR).await;
    assert_eq!(
        (revoked[0].state.as_str(), revoked[0].reason.as_deref()),
        ("revoked", Some("unspecified"))
    );
    assert!(world.view(ListView::Revoked, T + 200 * HOUR).await.is_empty());
}

// PKI-75
#[tokio::test]
async fn the_outage_budget_is_the_least_remaining_life_of_a_fleet() {
    let world = World::new().await;
    let now = T + 40 * HOUR;
    let (_, none) = world.authority.outage_budget(now).await.unwrap();
    assert_eq!(none, None);
    let mut fleet = Vec::new();
    for n in 0..12 {
        fleet.push(world.issue("app", T + n * 3 * HOUR).await);
    }
    let least = |fleet: &[Issued], now: i64| fleet.iter().map(|one| one.not_after_ms - now).min();
    let budget = async |now: i64| world.authority.outage_budget(now).await.unwrap();
    assert_eq!(budget(now).await, (12, least(&fleet, now)));
    // While the Authority is down it falls.
    assert_eq!(budget(now + HOUR).await.1, least(&fleet, now).map(|ms| ms - HOUR));
    // A renewal raises it, and what is revoked does not count.
    fleet[0] = world.renew(&fleet[0], now).await;
    assert_eq!(budget(now).await, (12, least(&fleet, now)));
    let what = format!("serial:{}", id(&fleet.remove(1)).1);
    let asked = RevokeRequest { what, ..RevokeRequest::default() };
    revoke(&world.authority, &asked, now).await.unwrap();
    assert_eq!(budget(now).await, (11, least(&fleet, now)));
}

#[tokio::test]
async fn a_list_is_bounded_and_says_what_it_left_out() {
    let world = World::new().await;
    for n in 0..5 {
        world.issue("app", T + n * HOUR).await;
    }
    let name = Some("app".to_owned());
    let asked = ListRequest { most: Some(3), name, ..ListRequest::default() };
    let all = list(&world.authority, &asked, T + 6 * HOUR).await.unwrap();
    assert_eq!((all.certificates.len(), all.registrations.len(), all.more), (3, 1, true));
    let asked = ListRequest { most: Some(5), ..asked };
    assert!(!list(&world.authority, &asked, T + 6 * HOUR).await.unwrap().more);
    let soon = ListRequest { expiring_seconds: Some(92 * 3600), most: None, ..asked };
    assert_eq!(list(&world.authority, &soon, T + 6 * HOUR).await.unwrap().certificates.len(), 2);
    for most in [0, 10_001] {
        let asked = ListRequest { most: Some(most), ..ListRequest::default() };
        assert!(list(&world.authority, &asked, T).await.is_err());
    }
    let calendar = calendar(&world.authority, T + 6 * HOUR).await.unwrap();
    let total: usize = calendar.days.iter().map(|day| day.certificates).sum();
    assert!(total >= 5 && calendar.issuing.len() == 2 && calendar.root_ends_ms > T);
}

// PKI-40
#[tokio::test]
async fn a_revocation_names_whoever_did_not_answer_connected_or_not() {
    let world = World::new().await;
    let victim = world.issue("app", T).await;
    drop(world.listen("gone", T + HOUR).await);
    let (_one, _two) =
        (world.listen("i1", T + 2 * HOUR).await, world.listen("i2", T + 2 * HOUR).await);
    let seq = world.authority.last_event() + 1;
    let what = format!("serial:{}", id(&victim).1);
    let asked = RevokeRequest { what, wait_ms: Some(2000), ..RevokeRequest::default() };
    let acknowledging = async {
        let revoked = async {
            while world.authority.last_event() < seq {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), revoked).await.unwrap();
        world.ack("i1", seq, 3, T + 2 * HOUR).await;
    };
    let (answer, ()) = tokio::join!(revoke(&world.authority, &asked, T + 2 * HOUR), acknowledging);
    let answer = answer.unwrap();
    assert_eq!((answer.seq, answer.live, answer.confirmed, answer.closed), (seq, 2, 1, 3));
    let silent: Vec<_> = answer.not_heard.iter().map(|one| (one.host.as_str(), one.live)).collect();
    assert_eq!(silent, [("host of i2", true), ("host of gone", false)]);
    assert_eq!(answer.not_heard[1].heard_ms, T + HOUR);

    // Later it is asked again.
    world.ack("i2", seq, 0, T + 3 * HOUR).await;
    let later = spread(&world.authority, None, T + 3 * HOUR).await.unwrap();
    assert_eq!((later.seq, later.in_force.len(), later.missing.len()), (seq, 2, 1));
    assert_eq!(later.certificates[0].serial, id(&victim).1);
    assert!(spread(&world.authority, Some(seq + 1), T).await.is_err());
}
