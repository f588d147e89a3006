use super::part::AGAIN;
use super::*;
use crate::config::TrustFiles;
use segwan_core::identity::ForeignRealm;
use segwan_pki::key::PrivateKey;
use segwan_pki::revocation::sign;
use segwan_pki::x509::Authority;
use std::fs::{File, write};

fn root() -> Authority {
    let key = PrivateKey::generate_root().unwrap();
    Authority::root("plant.example", key, [7; 16], now_ms() / 1000).unwrap()
}

/// A list that nobody at hand has signed, and what becomes of it after the one in force.
fn after(
    installed: &[Arc<Crl>],
    root: &Authority,
    number: u64,
    made_ms: i64,
) -> Result<Arc<Crl>, String> {
    let der = sign(root, number, made_ms, made_ms + 86_400_000, &[]).unwrap();
    list(der, &[], installed)
}

#[test]
fn a_list_of_an_issuer_not_at_hand_is_not_rolled_back() {
    let (root, now) = (root(), now_ms());
    let second = after(&[], &root, 2, now).unwrap();
    let installed = [second.clone()];
    let older = after(&installed, &root, 1, now).unwrap_err();
    assert!(older.contains("has the number 1, and 2 is in force"), "{older}");
    let fork = after(&installed, &root, 2, now - 60_000).unwrap_err();
    assert!(fork.contains("crl_fork"), "{fork}");
    let future = after(&installed, &root, 3, now + 3_600_000).unwrap_err();
    assert!(future.contains("in the future"), "{future}");
    let same = list(second.der.clone(), &[], &installed).unwrap();
    assert!(Arc::ptr_eq(&same, &second));
    assert_eq!(after(&installed, &root, 3, now).unwrap().number, 3);
    // One of another key is not compared with it.
    assert_eq!(after(&installed, &self::root(), 1, now).unwrap().number, 1);
}

#[test]
fn what_was_refused_is_tried_again_although_nothing_changed() {
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    let good = segwan_pki::custody::chain_text(&[root().der]);
    write(&roots, &good).unwrap();
    let trust =
        TrustFiles { roots: roots.clone(), crls: vec![], danger_tolerate: Default::default() };
    let realm = ForeignRealm::new(&"shop.example".parse().unwrap(), "plant").unwrap();
    let foreign = Foreign { trust, mapping: Mapping::new(realm) };
    let mut watched = Watched::foreign(&foreign).unwrap();
    let start = Instant::now();
    assert!(watched.look(start).is_none());

    // As long, at the same place, and of the same time: by its stamp it is the same file.
    write(&roots, good.replace('M', "!")).unwrap();
    let changed = roots.metadata().unwrap().modified().unwrap();
    assert!(watched.look(start).is_none(), "it may be changing still");
    assert!(watched.look(start).unwrap().fault.is_some());
    assert!(watched.look(start + AGAIN / 2).is_none());
    assert!(watched.look(start + AGAIN).unwrap().fault.is_some());
    write(&roots, &good).unwrap();
    File::options().write(true).open(&roots).unwrap().set_modified(changed).unwrap();
    assert!(watched.look(start + AGAIN + LOOK).is_none());
    let good = watched.look(start + AGAIN * 2).unwrap();
    assert!(good.judges && good.fault.is_none(), "{good:?}");
    assert!(watched.look(start + AGAIN * 4).is_none(), "what is in force is left alone");
}

// pki.md section 11.4: never a silent lock-out
#[test]
fn an_old_list_in_a_file_is_an_alarm_until_there_is_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let (roots, lists) = (dir.path().join("roots.pem"), dir.path().join("plant.crl"));
    let (root, now, hour) = (root(), now_ms(), 3_600_000);
    write(&roots, segwan_pki::custody::chain_text(std::slice::from_ref(&root.der))).unwrap();
    write(&lists, sign(&root, 1, now - hour, now + hour, &[]).unwrap()).unwrap();
    let trust = TrustFiles { roots, crls: vec![lists], danger_tolerate: Default::default() };
    let realm = ForeignRealm::new(&"shop.example".parse().unwrap(), "plant").unwrap();
    let watched = Watched::foreign(&Foreign { trust, mapping: Mapping::new(realm) }).unwrap();
    let alarms = Alarms::default();
    let told = |at| {
        watched.tell_of_old_lists(&alarms, at);
        alarms.list(at).into_iter().map(|alarm| alarm.sentence).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(told(now - hour / 2), "");
    assert!(told(now + hour / 2).contains("is old; it ends at"), "{}", told(now + hour / 2));
    assert!(told(now + 2 * hour).contains("the last one stays in force"));
    assert_eq!(told(now - hour / 2), "");
}
