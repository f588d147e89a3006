//! What an agent keeps: over restarts, over a disk that takes nothing, against older bundles and lists.

use super::*;

#[tokio::test]
async fn who_was_revoked_is_known_after_a_start_without_the_authority() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let who_it_is = who(&state);
    let app = world.peer("app").await;
    world.revoke("app").await;
    for line in lines(&agent, &who_it_is).await {
        agent.take(&line, now_ms()).unwrap();
    }
    agent.remember();
    let seq = agent.status().following.seq;
    drop(agent);

    let resumed = || Agent::resume(state.credentials("orders")).unwrap().unwrap();
    let agent = resumed();
    assert_eq!(judged(&agent, &app), Some(Reason::CertificateRevoked));
    assert_eq!(agent.status().following.seq, seq);
    assert_eq!(raised(&agent), [""; 0]);

    // The version before knows less, and that is told.
    let place = state.credentials("orders").trust().path().join("current/revoked.json");
    std::fs::write(place, "[{").unwrap();
    let agent = resumed();
    assert_eq!(raised(&agent), ["credentials_fell_back"]);
    assert!(agent.status().alarms[0].sentence.contains("revoked.json"), "{:?}", agent.status());

    // Without any there is no list, so nobody is believed.
    std::fs::remove_dir_all(state.credentials("orders").trust().path()).unwrap();
    let agent = resumed();
    assert!(agent.trust().in_force().crls.is_empty() && agent.trust().in_force().needs_crl);
    assert_eq!(agent.status().following.bundle_version, 0);
    assert_eq!(raised(&agent), ["trust_missing"]);
    let told = agent.status().alarms[0].sentence.clone();
    let place = state.credentials("orders").trust().path().display().to_string();
    assert!(told.starts_with(&format!("{place} is not there, so ")), "{told}");
    assert!(told.ends_with("nobody is let in until the Authority is heard"), "{told}");
    let trust = world.authority.trust(now_ms()).await.unwrap();
    let snapshot = AgentEvent::Snapshot { trust };
    let line = EventLine { epoch: 1, seq: 0, at_ms: now_ms(), event: snapshot };
    agent.take(&line, now_ms()).unwrap();
    assert_eq!(raised(&agent), [""; 0]);
}

// Section 8: beside an Authority, what is missing is made anew from its store.
#[tokio::test]
async fn beside_an_authority_credentials_and_trust_that_are_missing_are_made_anew() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let app = world.peer("app").await;
    world.revoke("app").await;
    let serial = agent.credentials().serial();
    drop(agent);
    let again = async || {
        let store = state.credentials("orders");
        Agent::within(store, world.authority.clone(), "orders").await.unwrap()
    };
    let is_whole = |agent: &Agent| {
        assert_eq!(judged(agent, &app), Some(Reason::CertificateRevoked));
        assert!(!agent.trust().in_force().crls.is_empty());
        assert_eq!(raised(agent), [""; 0]);
        let stored = state.credentials("orders").trust().current().unwrap().unwrap().stored;
        assert_eq!(stored.meta.version, agent.status().following.bundle_version);
    };
    std::fs::remove_dir_all(state.path().join("trust")).unwrap();
    let agent = again().await;
    is_whole(&agent);
    assert_eq!(agent.credentials().serial(), serial);
    drop(agent);
    std::fs::remove_dir_all(state.path().join("credentials")).unwrap();
    let agent = again().await;
    is_whole(&agent);
    assert_ne!(agent.credentials().serial(), serial);
    drop(agent);
    std::fs::remove_dir_all(state.path().join("trust")).unwrap();
    std::fs::remove_dir_all(state.path().join("credentials")).unwrap();
    is_whole(&again().await);
}

// PKI-38
#[tokio::test]
async fn what_cannot_be_written_is_in_force_and_written_later() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let store = state.credentials("orders");
    let trust = store.trust().path().to_owned();
    let number = |place: &std::path::Path| {
        let link = std::fs::read_link(place.join("current")).unwrap();
        link.to_string_lossy().trim_start_matches('v').parse::<u64>().unwrap()
    };
    let blocked = |place: &std::path::Path| place.join(format!("v{}.tmp", number(place) + 1));
    // A file in the way does what a full disk does.
    let (first, second) = (blocked(&trust), blocked(store.path()));
    std::fs::write(&first, "").unwrap();
    std::fs::write(&second, "").unwrap();
    agent.remember();
    assert_eq!(raised(&agent), ["trust_not_saved"]);
    let serial = agent.credentials().serial();
    assert!(agent.renew().await.is_err());
    assert_eq!(agent.credentials().serial(), serial);
    assert_eq!(store.current().unwrap().unwrap().meta.not_after_ms, agent.status().not_after_ms);

    std::fs::remove_file(first).unwrap();
    std::fs::remove_file(second).unwrap();
    agent.renew().await.unwrap();
    assert_ne!(agent.credentials().serial(), serial);
    assert_eq!(raised(&agent), [""; 0]);
}

// PKI-47 (a lower version and another signer; the roots in it are `Bundle::accept`'s to judge)
#[tokio::test]
async fn a_bundle_that_is_older_or_of_somebody_else_changes_nothing() {
    let world = World::new().await;
    let (_state, agent) = world.agent("orders").await;
    let (_, old) = world.authority.bundle(now_ms()).await.unwrap();
    world.authority.advertise(vec!["10.0.0.5:7444".to_owned()], now_ms()).await.unwrap();
    agent.fetch_bundle(now_ms()).await.unwrap();
    let version = agent.status().following.bundle_version;
    let line = |bundle| {
        let event = AgentEvent::Bundle { bundle, crls: vec![] };
        EventLine { epoch: 1, seq: 99, at_ms: now_ms(), event }
    };
    let refused = agent.take(&line(old), now_ms()).unwrap_err();
    assert_eq!(refused.alarm(), "bundle_rollback");

    let other = World::new().await;
    let (_, foreign) = other.authority.bundle(now_ms()).await.unwrap();
    let refused = agent.take(&line(foreign), now_ms()).unwrap_err();
    assert!(matches!(refused, Refused::Bundle(_)), "{refused}");
    assert_eq!(refused.alarm(), "trust_refused");
    assert_eq!(agent.status().following.bundle_version, version);
    assert_ne!(agent.status().following.seq, 99);
}

#[tokio::test]
async fn an_older_list_or_another_of_its_number_is_refused_and_told() {
    let world = World::new().await;
    let (_state, agent) = world.agent("orders").await;
    let issuer = lock(&agent.belief).as_ref().unwrap().issuers().remove(0);
    let (_, old) = world.authority.crl(&issuer).await.unwrap().unwrap();
    world.authority.maintain(now_ms() + 2 * HOUR).await.unwrap();
    agent.fetch_lists(now_ms() + 2 * HOUR).await.unwrap();
    let refused =
        agent.install(now_ms(), |judge, known| judge.list(&old, known.unwrap())).unwrap_err();
    assert_eq!(refused.alarm(), "crl_fork");
    assert!(refused.to_string().contains("is in force"), "{refused}");
    let same = agent.fetch_lists(now_ms() + 2 * HOUR).await;
    assert!(same.is_ok() && raised(&agent).is_empty());
}

// PKI-44
#[tokio::test]
async fn what_a_lapsed_list_means_outlives_every_list_and_bundle() {
    let world = World::new().await;
    let (_state, agent) = world.agent("orders").await;
    let lapsed = now_ms() + 9 * 24 * HOUR;
    // The list goes by the wall clock, so a certificate that lives as long is judged by both.
    let registration = Registration {
        leaf_lifetime: Some(Duration::from_secs(30 * 24 * 3600)),
        ..Registration::new("app", Profile::Client)
    };
    world.authority.register(&registration, now_ms()).await.unwrap();
    assert_eq!(newcomer(&world, "app", &agent, lapsed).await, None);
    agent.set_caution(Caution { stale_crl: StaleCrl::Refuse, ..Caution::default() });
    assert_eq!(newcomer(&world, "app", &agent, lapsed).await, Some(Reason::CrlStale));
    agent.look_around(lapsed);
    let alarms = agent.status().alarms;
    let stale = alarms.iter().find(|alarm| alarm.word == "crl_stale").unwrap();
    assert!(stale.sentence.ends_with("by that key is let in"), "{}", stale.sentence);

    world.authority.advertise(vec!["10.0.0.5:7444".to_owned()], now_ms()).await.unwrap();
    agent.fetch_bundle(now_ms()).await.unwrap();
    world.revoke("other").await;
    agent.fetch_lists(now_ms()).await.unwrap();
    assert_eq!(newcomer(&world, "app", &agent, lapsed).await, Some(Reason::CrlStale));
    assert_eq!(newcomer(&world, "app", &agent, now_ms()).await, None);
    agent.renew().await.unwrap();
    assert_eq!(newcomer(&world, "app", &agent, lapsed).await, Some(Reason::CrlStale));
    // A newer list lets them in.
    world.authority.maintain(now_ms() + 4 * 24 * HOUR).await.unwrap();
    agent.fetch_lists(now_ms() + 4 * 24 * HOUR).await.unwrap();
    assert_eq!(newcomer(&world, "app", &agent, lapsed).await, None);
}
