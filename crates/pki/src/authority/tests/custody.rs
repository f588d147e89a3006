use super::*;
use crate::api::AgentEvent;
use crate::bundle::Bundle;
use crate::custody::{Passphrase, Permitted, Root, certificates, chain_text};

const DAY: i64 = 24 * HOUR;

/// The root as `segwan ca root export` would find it.
pub(super) fn root(world: &World) -> Root {
    let place = world.state.path().join("authority/root");
    let passphrase = Passphrase::read(&place.join("passphrase")).unwrap();
    let key = place.join("root.key.pem");
    Root::open(&key, Some(&passphrase), &world.authority.root()).unwrap()
}

pub(super) fn permitted(dns: &[&str]) -> Permitted {
    let dns = dns.iter().map(|name| (*name).to_owned()).collect();
    Permitted { dns, ips: Vec::new() }
}

async fn signed(world: &World, dns: &[&str], now: i64) -> Vec<u8> {
    let asked = world.authority.request_issuing(permitted(dns)).await.unwrap();
    root(world).sign_issuing(&asked.request, &asked.permitted, 548, now).unwrap()
}

async fn bundle(world: &World, now: i64) -> Bundle {
    let (_, signed) = world.authority.bundle(now).await.unwrap();
    let roots = [world.authority.root()];
    Bundle::accept(&signed, &roots, world.authority.trust_domain(), (None, &[]), now).unwrap()
}

async fn states(world: &World) -> Vec<&'static str> {
    world.authority.issuing(NOW).await.unwrap().iter().map(|key| key.state).collect()
}

// PKI-12
#[tokio::test]
async fn what_was_signed_where_the_root_is_becomes_a_spare() {
    let world = World::new().await;
    let before = bundle(&world, NOW).await;
    let der = signed(&world, &["shop.example"], NOW + DAY).await;
    assert!(world.authority.custody().await.unwrap().request_is_open);
    // Through the file that travels.
    let chain = certificates(&chain_text(&[der, world.authority.root()])).unwrap();
    let imported = world.authority.import_issuing(&chain, NOW + DAY).await.unwrap();
    assert_eq!((imported.state, imported.not_after_ms), ("spare", NOW + DAY + 548 * DAY));
    assert!(!world.authority.custody().await.unwrap().request_is_open);
    let after = bundle(&world, NOW + DAY).await;
    assert_eq!((after.issuing.len(), after.version), (3, before.version + 1));
    // Its list is there with it.
    assert!(world.authority.crl(&imported.id).await.unwrap().is_some());
    // What it may speak for holds on until it is said otherwise.
    let next = world.authority.request_issuing(Permitted::default()).await.unwrap();
    assert_eq!(next.permitted, permitted(&["shop.example"]));
    std::fs::remove_dir_all(world.state.path().join("authority/issuing/pending")).unwrap();
    // Nothing is open any more.
    let refused = world.authority.import_issuing(&chain, NOW + DAY).await.unwrap_err();
    assert_eq!(refused.to_string(), "no request for an issuing certificate is open");
    assert!(world.authority.verify_ledger().await.is_ok());
    let (_parent, path) = world.reopen().await;
    let state = StateDir::open(&path).unwrap();
    let again = Authority::open(&state, &options(), NOW + DAY).await.unwrap();
    assert_eq!(again.issuing(NOW + DAY).await.unwrap().len(), 3);
}

// PKI-12
#[tokio::test]
async fn a_chain_that_breaks_a_rule_is_refused_by_it_and_the_key_waits_on() {
    let world = World::new().await;
    let good = signed(&world, &["shop.example"], NOW).await;
    let root = root(&world);
    let refused = async |chain: Vec<Vec<u8>>| {
        world.authority.import_issuing(&chain, NOW).await.unwrap_err().to_string()
    };
    let named = |sentence: &str, rule: &str| {
        assert!(sentence.contains(&format!("{rule}: ")), "{rule} is not in `{sentence}`");
    };
    // Another key.
    let narrow = permitted(&["shop.example"]);
    let constraints = narrow.constraints("segwan.internal").unwrap();
    let other = PrivateKey::generate().unwrap();
    let request = crate::x509::issuing_request(&other, "segwan.internal", &constraints).unwrap();
    let der = root.sign_issuing(&request, &narrow, 548, NOW).unwrap();
    named(&refused(vec![der]).await, "K7");
    // Other constraints than were asked for.
    let wider = permitted(&["example"]);
    let asked = world.authority.request_issuing(narrow.clone()).await;
    let asked = asked.unwrap().request;
    named(&refused(vec![root.sign_issuing(&asked, &wider, 548, NOW).unwrap()]).await, "K16");
    // Another root.
    let stranger = PrivateKey::generate_root().unwrap();
    let stranger =
        crate::x509::Authority::root("segwan.internal", stranger, [0x41; 16], NOW / 1000);
    let stranger = Root::made(stranger.unwrap());
    let foreign = stranger.sign_issuing(&asked, &narrow, 548, NOW).unwrap();
    named(&refused(vec![foreign.clone()]).await, "K13");
    let sentence = refused(vec![foreign, stranger.certificate().to_vec()]).await;
    assert!(sentence.ends_with("is no root of this Authority"), "{sentence}");
    // A path of another length: a cross certificate may have one more below it.
    let cross = root.authority().cross_sign(stranger.certificate(), [0x42; 16], NOW / 1000);
    named(&refused(vec![cross.unwrap()]).await, "K17");
    // Ended already.
    let early = root.sign_issuing(&asked, &narrow, 1, NOW - 3 * DAY).unwrap();
    named(&refused(vec![early]).await, "K5");
    assert_eq!(refused(Vec::new()).await, "it is empty");
    // The same key still waits, and the good one is taken.
    world.authority.import_issuing(&[good], NOW).await.unwrap();
}

// PKI-10
#[tokio::test]
async fn issuing_keys_are_sealed_where_a_passphrase_is_given() {
    let (_parent, path) = World::new().await.reopen().await;
    let state = StateDir::open(&path).unwrap();
    let passphrase = Passphrase::new("correct horse battery".to_owned()).unwrap();
    let custody = Custody { key_passphrase: Some(passphrase.clone()), ..Custody::default() };
    let authority = Authority::open_with(&state, &options(), &custody, NOW).await.unwrap();
    assert!(authority.custody().await.unwrap().issuing_keys_sealed);
    authority.request_issuing(Permitted::default()).await.unwrap();
    let ids: Vec<_> = authority.issuing(NOW).await.unwrap().into_iter().map(|k| k.id).collect();
    authority.close().await;
    let mut folders = ids.clone();
    folders.push("pending".to_owned());
    for folder in folders {
        let file = path.join("authority/issuing").join(folder).join("key.pem");
        let pem = std::fs::read_to_string(file).unwrap();
        // `unseal` takes nothing but the parameters that were specified.
        assert!(PrivateKey::unseal(&pem, passphrase.reveal()).is_ok());
    }
    let refused = Authority::open(&state, &options(), NOW).await.err().unwrap();
    assert!(refused.to_string().contains("no passphrase was given"), "{refused}");
    let wrong = Custody {
        key_passphrase: Some(Passphrase::new("another passphrase".to_owned()).unwrap()),
        ..Custody::default()
    };
    let refused = Authority::open_with(&state, &options(), &wrong, NOW).await.err().unwrap();
    assert!(refused.to_string().ends_with("its passphrase does not fit"), "{refused}");
    let again = Authority::open_with(&state, &options(), &custody, NOW).await.unwrap();
    again.issue_local("orders", &csr(), NOW).await.unwrap();
}

// PKI-06
#[tokio::test]
async fn a_clock_before_the_build_makes_no_authority() {
    let parent = tempfile::tempdir().unwrap();
    let state = StateDir::open(&parent.path().join("state")).unwrap();
    let refused = Authority::open(&state, &options(), 1_000_000).await.err().unwrap();
    assert!(refused.to_string().ends_with("clock_before_build"), "{refused}");
    assert!(!state.path().join("authority").exists());
    // Ten years ahead is nothing that could be known to be wrong.
    let ahead = NOW + 3652 * DAY;
    assert!(Authority::open(&state, &options(), ahead).await.is_ok());
}

// PKI-07
#[tokio::test]
async fn a_root_that_starts_offline_never_lies_on_this_host() {
    let parent = tempfile::tempdir().unwrap();
    let medium = parent.path().join("medium");
    std::fs::create_dir(&medium).unwrap();
    let passphrase = Passphrase::new("correct horse battery".to_owned()).unwrap();
    let state = StateDir::open(&parent.path().join("state")).unwrap();
    let custody = Custody {
        permitted: permitted(&["shop.example"]),
        root_key: RootKeyPlace::Exported { to: medium.clone(), passphrase: passphrase.clone() },
        ..Custody::default()
    };
    let authority = Authority::open_with(&state, &options(), &custody, NOW).await.unwrap();
    assert!(!authority.custody().await.unwrap().root_key_online);
    assert!(!state.path().join("authority/root").exists());
    let key = medium.join("root.key.pem");
    let root = Root::open(&key, Some(&passphrase), &authority.root()).unwrap();
    let permitted = Registration {
        dns: vec!["web.shop.example".to_owned()],
        ..Registration::new("web", Profile::Service)
    };
    authority.register(&permitted, NOW).await.unwrap();
    let list = root.sign_list(authority.root_list(NOW).await.unwrap().number, &[], NOW).unwrap();
    authority.import_root_list(&list, NOW).await.unwrap();
    // Where the medium cannot be written there is no Authority either.
    let state = StateDir::open(&parent.path().join("other")).unwrap();
    assert!(Authority::open_with(&state, &options(), &custody, NOW).await.is_err());
    assert!(!state.path().join("authority").exists());
}

#[tokio::test]
async fn a_distrusted_key_is_followed_by_the_spare_and_everybody_renews() {
    let world = World::new().await;
    let old = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let active = world.authority.issuing(NOW).await.unwrap();
    let active = active.iter().find(|key| key.state == "active").unwrap().clone();
    let from = world.authority.last_event();
    let done = world.authority.distrust_issuing(&active.id[..8], NOW + HOUR).await.unwrap();
    assert_eq!((done.id.as_str(), done.last), (active.id.as_str(), true));
    assert!(done.certificates >= 1);
    let told = bundle(&world, NOW + HOUR).await;
    assert_eq!(told.issuing.len(), 1);
    let spki = crate::certificate::Certificate::read(&active.der).unwrap().public_key;
    assert_eq!(told.distrusted, [hex(&sha256(&spki))]);
    // Nobody is given the list of a key that is believed nowhere.
    let trust = world.authority.trust(NOW + HOUR).await.unwrap();
    assert_eq!(trust.crls.len(), told.issuing.len());
    let mut kinds = Vec::new();
    for seq in from + 1..=world.authority.last_event() {
        kinds.push(world.authority.0.store.event(seq).await.unwrap().unwrap());
    }
    assert!(kinds.iter().any(|event| event.kind == "bundle"));
    let last = kinds.last().unwrap();
    let event: AgentEvent = serde_json::from_str(&last.body).unwrap();
    assert_eq!(event, AgentEvent::RenewNow { window_ms: 300_000, lineages: Vec::new() });
    // Who held a certificate under it gets one under the spare.
    let renewed = world.authority.renew(&old.chain[0], &csr(), NOW + HOUR).await.unwrap();
    assert_eq!(renewed.chain[1], told.issuing[0]);
    // Without a spare, distrust would end the Authority.
    let refused =
        world.authority.distrust_issuing(&done.successor.unwrap(), NOW).await.unwrap_err();
    assert!(refused.to_string().contains("there is no spare to take over"), "{refused}");
    for unknown in ["", "00000000", &active.id[..4]] {
        assert!(world.authority.distrust_issuing(unknown, NOW).await.is_err());
    }
    // The root's list has to name it.
    let wanted = world.authority.root_list(NOW + HOUR).await.unwrap();
    assert_eq!(wanted.revoked[0].1, NOW + HOUR);
    let root = root(&world);
    let without = root.sign_list(wanted.number, &[], NOW + HOUR).unwrap();
    let refused = world.authority.import_root_list(&without, NOW + HOUR).await.unwrap_err();
    assert!(refused.to_string().contains("does not name the distrusted"), "{refused}");
    let list = root.sign_list(wanted.number, &wanted.entries(), NOW + HOUR).unwrap();
    world.authority.import_root_list(&list, NOW + HOUR).await.unwrap();
    let refused = world.authority.import_root_list(&list, NOW + HOUR).await.unwrap_err();
    assert!(refused.to_string().ends_with("is not newer"), "{refused}");
}

#[tokio::test]
async fn an_issuing_certificate_that_ended_is_repaired_by_a_new_one() {
    let world = World::new().await;
    // Both have ended.
    let late = NOW + 600 * DAY;
    let refused = world.authority.issue_local("orders", &csr(), late).await.unwrap_err();
    assert!(matches!(refused, AuthorityError::IssuerExpiring(_)), "{refused}");
    assert!(refused.hint().unwrap().contains("segwan ca issuing renew"));
    let der = signed(&world, &[], late).await;
    let imported = world.authority.import_issuing(&[der], late).await.unwrap();
    assert_eq!(imported.state, "active");
    world.authority.issue_local("orders", &csr(), late).await.unwrap();
    // What ended is forgotten, on the disk too.
    world.authority.maintain(late).await.unwrap();
    assert_eq!(states(&world).await, ["active"]);
    let folders = std::fs::read_dir(world.state.path().join("authority/issuing")).unwrap();
    assert_eq!(folders.count(), 1);
    assert!(world.authority.verify_ledger().await.is_ok());
}

#[tokio::test]
async fn who_never_backs_up_is_reminded() {
    let world = World::new().await;
    let words = async |now| {
        let alarms = world.authority.maintain(now).await.unwrap();
        alarms.into_iter().map(|alarm| alarm.word).collect::<Vec<_>>()
    };
    assert!(words(NOW + 6 * DAY).await.is_empty());
    assert_eq!(words(NOW + 8 * DAY).await, ["no_backup"]);
    world.authority.note_backup(NOW + 8 * DAY).await.unwrap();
    assert!(words(NOW + 14 * DAY).await.is_empty());
    assert_eq!(words(NOW + 15 * DAY).await, ["no_backup"]);
}
