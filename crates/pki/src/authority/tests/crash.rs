use super::*;
use crate::certificate::Certificate;
use crate::revocation::{Crl, RevocationReason};
use std::path::Path;

/// The store of an Authority at rest, for reading what it holds.
async fn store(path: &Path) -> Store {
    Store::open(&path.join("authority/store/authority.db"), false).await.unwrap()
}

async fn open(path: &Path, now: i64) -> (StateDir, Authority) {
    let state = StateDir::open(path).unwrap();
    let authority = Authority::open(&state, &options(), now).await.unwrap();
    (state, authority)
}

// PKI-23, PKI-52: a serial that was meant and not issued is on the list after the next start.
#[tokio::test]
async fn a_serial_that_a_crash_left_is_on_the_list() {
    let world = World::new().await;
    let issued = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let leaf = Certificate::read(&issued.chain[0]).unwrap();
    let issuer = hex(leaf.authority_key.as_deref().unwrap());
    let mut writing = world.authority.0.store.write().await.unwrap();
    writing.unissue(&issuer, &leaf.serial_hex()).await.unwrap();
    writing.commit().await.unwrap();
    let (_parent, path) = world.reopen().await;
    let (_state, authority) = open(&path, NOW + 1000).await;
    let (_, der) = authority.crl(&issuer).await.unwrap().unwrap();
    assert!(Crl::read(&der).unwrap().revokes(&leaf.serial));
    assert!(authority.verify_ledger().await.is_ok());
}

// PKI-54
#[tokio::test]
async fn a_store_of_the_first_schema_is_brought_forward_and_a_newer_one_is_refused() {
    let world = World::new().await;
    let (active, spare) = {
        let keys = world.authority.keys();
        let spare = keys.in_state(IssuingState::Spare).next().unwrap().id.clone();
        (keys.active().unwrap().id.clone(), spare)
    };
    let (_parent, path) = world.reopen().await;
    let database = path.join("authority/store/authority.db");
    std::fs::remove_file(&database).unwrap();
    let meta = [
        ("trust_domain", "segwan.internal"),
        ("active", active.as_str()),
        ("spare", spare.as_str()),
    ];
    Store::of_first_schema(&database, &meta).await.unwrap().close().await;
    {
        let (_state, authority) = open(&path, NOW).await;
        let states: Vec<_> = authority.issuing_keys().await.unwrap();
        assert_eq!(states.len(), 2);
        assert!(authority.crl(&active).await.unwrap().is_some());
        let registration = Registration::new("orders", Profile::Service);
        authority.register(&registration, NOW).await.unwrap();
        assert!(authority.issue_local("orders", &csr(), NOW).await.is_ok());
        assert!(authority.verify_ledger().await.is_ok());
        authority.close().await;
    }
    let store = store(&path).await;
    let mut writing = store.write().await.unwrap();
    writing.set_meta("schema", "4").await.unwrap();
    writing.commit().await.unwrap();
    store.close().await;
    let state = StateDir::open(&path).unwrap();
    let refused = Authority::open(&state, &options(), NOW).await.err().unwrap();
    let expected = "the Authority's store has the schema 4; this build knows 3";
    assert_eq!(refused.to_string(), expected);
}

// PKI-55
#[tokio::test]
async fn a_ledger_that_lost_a_certificate_says_which() {
    let world = World::new().await;
    let issued = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    assert!(world.authority.verify_ledger().await.is_ok());
    // A certificate that slipped past the record.
    let mut writing = world.authority.0.store.write().await.unwrap();
    let (der, spki) = (issued.chain[0].clone(), [7; 32]);
    let intent = crate::store::Intent {
        issuer: "ab",
        serial: "4711",
        name: "app",
        lineage: &issued.lineage,
        predecessor: None,
        spki: &spki,
        tbs: &spki,
        made_ms: NOW,
        not_after_ms: NOW + HOUR,
    };
    writing.adopt(&intent, &der).await.unwrap();
    writing.commit().await.unwrap();
    let broken = world.authority.verify_ledger().await.unwrap_err().to_string();
    assert!(broken.ends_with("the ledger does not know the certificate 4711"), "{broken}");
}

// PKI-55: an end that was cut off is missed, and so is a revocation without its line.
#[tokio::test]
async fn a_ledger_whose_end_was_cut_off_says_how_much_is_missing() {
    let world = World::new().await;
    world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let lines = world.authority.verify_ledger().await.unwrap();
    world.authority.0.store.cut_ledger(i64::try_from(lines).unwrap() - 2).await.unwrap();
    let broken = world.authority.verify_ledger().await.unwrap_err().to_string();
    let expected =
        format!("the ledger ends with line {}; 2 that were written after it are gone", lines - 2);
    assert!(broken.ends_with(&expected), "{broken}");
}

// PKI-51: on a full disk nothing is issued, and revoking works.
#[tokio::test]
async fn on_a_full_disk_nothing_is_issued_and_revoking_works() {
    let world = World::new().await;
    let issued = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
    let token = world.token().await;
    world.authority.0.store.fill_the_disk().await.unwrap();
    let mut met = None;
    for _ in 0..200 {
        if let Err(error) = world.authority.issue_local("orders", &csr(), NOW).await {
            met = Some(error);
            break;
        }
    }
    let met = met.unwrap();
    assert_eq!(met.refusal(), (503, "unavailable"), "{met}");
    assert_eq!(met.alarm(), Some("store_read_only"));
    let refused = world.enroll(&token, &csr(), NOW).await.unwrap_err();
    assert_eq!(refused.refusal(), (503, "unavailable"), "{refused}");

    let selector = Selector::Name("app".to_owned());
    let reason = RevocationReason::KeyCompromise;
    let done = world.authority.revoke(&selector, reason, NOW).await.unwrap();
    assert_eq!(done.certificates.len(), 1);
    let refused = world.authority.renew(&issued.chain[0], &csr(), NOW).await.unwrap_err();
    assert_eq!(refused.refusal(), (403, "renewal_refused"), "{refused}");
    let (_parent, path) = world.reopen().await;
    let (_state, authority) = open(&path, NOW).await;
    assert!(authority.verify_ledger().await.is_ok());
    // There is room again: the same token is good.
    assert!(authority.issue_local("orders", &csr(), NOW).await.is_ok());
}

// PKI-02: whatever a crash leaves of a first start, the next start finds nothing or everything.
#[tokio::test]
async fn a_first_start_that_broke_off_anywhere_is_begun_anew_or_was_complete() {
    let parent = tempfile::tempdir().unwrap();
    let (path, copies) = (parent.path().join("state"), parent.path().join("copies"));
    let state = StateDir::open(&path).unwrap();
    crate::watching::begin(&path, &copies);
    let authority = Authority::open(&state, &options(), NOW).await.unwrap();
    let copies = crate::watching::end();
    assert!(copies.len() > 15, "{}", copies.len());
    let mut complete = 0;
    for copy in &copies {
        let whole = copy.join("authority").exists();
        let (_state, again) = open(copy, NOW).await;
        assert_eq!(again.root() == authority.root(), whole, "{}", copy.display());
        assert!(!copy.join("authority.init").exists());
        assert!(again.verify_ledger().await.is_ok());
        again.close().await;
        complete += usize::from(whole);
    }
    assert!(complete > 0 && complete < copies.len());
}

// PKI-23, PKI-52: a power loss at any write leaves a store that opens, a ledger that is whole,
// every certificate that anybody got, and every revocation that was told of.
#[tokio::test]
async fn a_power_loss_at_any_write_loses_nothing_that_was_promised() {
    let world = World::new().await;
    let parent = tempfile::tempdir().unwrap();
    crate::watching::begin(world.state.path(), parent.path());
    // What was promised, and after how many writes.
    let mut issued: Vec<(usize, Certificate)> = Vec::new();
    let mut revoked: Vec<(usize, (String, String))> = Vec::new();
    let read = |issued: &Issued| Certificate::read(&issued.chain[0]).unwrap();
    for round in 0..4 {
        world.authority.enable("app", NOW).await.unwrap();
        let first = world.enroll(&world.token().await, &csr(), NOW).await.unwrap();
        issued.push((crate::watching::taken(), read(&first)));
        let second = world.authority.renew(&first.chain[0], &csr(), NOW + round).await.unwrap();
        issued.push((crate::watching::taken(), read(&second)));
        let selector = match round % 2 {
            0 => Selector::Serial(read(&second).serial_hex()),
            _ => Selector::Name("app".to_owned()),
        };
        let reason = RevocationReason::Unspecified;
        let done = world.authority.revoke(&selector, reason, NOW).await.unwrap();
        let now = crate::watching::taken();
        revoked.extend(done.certificates.into_iter().map(|one| (now, one)));
    }
    let copies = crate::watching::end();
    assert!(copies.len() > 60, "{}", copies.len());
    for (taken, copy) in copies.iter().enumerate() {
        let (_state, authority) = open(copy, NOW + 1000).await;
        authority.verify_ledger().await.unwrap();
        let filter = Filter { name: Some("app".to_owned()), ..Filter::default() };
        let listed = authority.list(&filter, NOW).await.unwrap();
        assert!(listed.iter().all(|row| row.state != "intent"), "{taken}");
        for (_, certificate) in issued.iter().filter(|(before, _)| *before <= taken) {
            let serial = certificate.serial_hex();
            let row = listed.iter().find(|row| row.serial == serial).unwrap();
            assert!(matches!(row.state.as_str(), "issued" | "revoked"), "{taken}: {row:?}");
        }
        for (_, (issuer, serial)) in revoked.iter().filter(|(before, _)| *before <= taken) {
            let (_, der) = authority.crl(issuer).await.unwrap().unwrap();
            let serial = crate::key::from_hex(serial).unwrap();
            assert!(Crl::read(&der).unwrap().revokes(&serial), "{taken}");
        }
        authority.close().await;
    }
}
