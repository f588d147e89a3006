use super::custody::root;
use super::rotating::{believed, issuing_under, second, step};
use super::*;
use crate::certificate::Certificate;

async fn prepared() -> (World, crate::custody::Root) {
    let world = World::new().await;
    let (new, cross) = second(&world);
    world.authority.prepare_root(new.certificate(), Some(&cross), NOW).await.unwrap();
    issuing_under(&world, &new, NOW).await;
    (world, new)
}

// PKI-49: the day on which a key is stolen does not wait for a rotation to end.
#[tokio::test]
async fn a_root_is_expelled_from_wherever_a_rotation_is() {
    for (steps, grace_ms) in [
        (&[][..], 0),
        (&[Step::Active][..], 0),
        (&[Step::Active][..], HOUR),
        (&[Step::Active, Step::Tainted][..], 0),
        (&[Step::Active, Step::Tainted][..], HOUR),
    ] {
        let (world, new) = prepared().await;
        let lost = root(&world);
        for to in steps {
            assert!(matches!(step(&world, *to, NOW).await, Stepped::Done(_)), "{to:?}");
        }
        world.authority.expel_root(grace_ms, EXPULSION_WINDOW, NOW).await.unwrap();
        if grace_ms > 0 {
            let rotation = world.authority.rotation(NOW).await.unwrap();
            assert_eq!((rotation.step, rotation.roots.len()), (Step::Tainted, 2), "{steps:?}");
            // Repeated without the grace, it ends at once.
            world.authority.expel_root(0, EXPULSION_WINDOW, NOW).await.unwrap();
        }
        let rotation = world.authority.rotation(NOW).await.unwrap();
        assert_eq!(rotation.step, Step::Steady, "{steps:?}");
        assert_eq!(rotation.roots, [new.certificate().to_vec()], "{steps:?}");
        let bundle = believed(&world, &[new.certificate()], NOW).await.unwrap();
        let key = Certificate::read(lost.certificate()).unwrap().public_key;
        assert!(bundle.distrusted.contains(&hex(&sha256(&key))), "{steps:?}");
        assert!(bundle.cross.is_empty(), "{steps:?}");
        assert!(believed(&world, &[lost.certificate()], NOW).await.is_err(), "{steps:?}");
        world.authority.issue_local("orders", &csr(), NOW).await.unwrap();
        // There is nothing more to expel.
        let again = world.authority.expel_root(0, EXPULSION_WINDOW, NOW).await.unwrap_err();
        assert!(again.to_string().contains("no new root was prepared"), "{again}");
    }
}

// PKI-49: the key of a root that is believed no more goes with it, also where something ended the
// process between the two.
#[tokio::test]
async fn the_key_of_an_expelled_root_does_not_stay_on_the_host() {
    let (world, new) = prepared().await;
    let place = world.authority.place().join("root");
    let path = world.authority.place().join("root.pem");
    let (key, before) = (place.join("root.key.pem"), std::fs::read(&path).unwrap());
    assert!(key.exists());
    world.authority.expel_root(0, EXPULSION_WINDOW, NOW).await.unwrap();
    assert!(!place.exists());
    // As a kill in between leaves it.
    std::fs::create_dir(&place).unwrap();
    std::fs::write(&key, "the lost one").unwrap();
    std::fs::write(&path, before).unwrap();
    world.authority.maintain(NOW).await.unwrap();
    assert!(!place.exists());
    // What belongs to a root that is believed stays.
    std::fs::create_dir(&place).unwrap();
    std::fs::write(&key, new.authority().key.to_pem().unwrap().as_bytes()).unwrap();
    world.authority.maintain(NOW).await.unwrap();
    assert!(key.exists());
}

// Section 12: what is said of the keys is said under the lock of what changes them.
#[tokio::test]
async fn a_bundle_is_not_made_of_keys_that_are_being_changed() {
    let world = World::new().await;
    world.authority.bundle(NOW).await.unwrap();
    let (authority, seq) = (world.authority.clone(), world.authority.last_event());
    let granting = world.authority.0.granting.lock().await;
    let at = vec!["ca.example:7440".to_owned()];
    let telling = tokio::spawn(async move { authority.advertise(at, NOW).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!telling.is_finished());
    assert_eq!(world.authority.last_event(), seq);
    drop(granting);
    telling.await.unwrap().unwrap();
    let (_, body) = world.authority.0.store.bundle().await.unwrap().unwrap();
    assert!(body.contains("ca.example:7440"), "{body}");
}

// PKI-49: whatever became of the new root's issuing keys meanwhile, somebody signs afterwards.
#[tokio::test]
async fn an_expulsion_leaves_a_key_that_signs() {
    for grace_ms in [0, HOUR] {
        for steps in [&[][..], &[Step::Active][..], &[Step::Active, Step::Tainted][..]] {
            let (world, new) = prepared().await;
            issuing_under(&world, &new, NOW + 1).await;
            for to in steps {
                assert!(matches!(step(&world, *to, NOW).await, Stepped::Done(_)), "{to:?}");
            }
            let authority = &world.authority;
            let own = authority.root();
            let active = authority.keys().active().unwrap().id.clone();
            authority.distrust_issuing(&active, NOW).await.unwrap();
            // Nobody signs before the step at which everybody believes its root.
            assert_eq!(authority.keys().active().unwrap().root, own, "{steps:?}");
            authority.expel_root(grace_ms, EXPULSION_WINDOW, NOW).await.unwrap();
            authority.maintain(NOW + 2 * HOUR).await.unwrap();
            let issued = authority.issue_local("orders", &csr(), NOW + 2 * HOUR).await;
            assert!(issued.is_ok(), "{steps:?}: {issued:?}");
        }
    }
}

// PKI-49: where nothing under the new root could sign any more, the key in force stays.
#[tokio::test]
async fn an_expulsion_does_not_take_the_last_key_that_signs() {
    let (world, new) = prepared().await;
    assert!(matches!(step(&world, Step::Active, NOW).await, Stepped::Done(_)));
    let authority = &world.authority;
    let active = authority.keys().active().unwrap().id.clone();
    let refused = authority.distrust_issuing(&active, NOW).await.unwrap_err();
    assert!(refused.to_string().contains("there is no spare to take over"), "{refused}");
    assert_eq!(authority.keys().active().unwrap().id, active);
    issuing_under(&world, &new, NOW).await;
    authority.distrust_issuing(&active, NOW).await.unwrap();
    authority.expel_root(0, EXPULSION_WINDOW, NOW).await.unwrap();
    authority.issue_local("orders", &csr(), NOW).await.unwrap();
}
