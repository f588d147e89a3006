//! What an agent is told by its Authority: revocations, what it missed, what it saw.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_installed_swept_and_acknowledged_with_its_count() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let app = world.peer("app").await;
    assert_eq!(judged(&agent, &app), None);
    let stop = CancellationToken::new();
    let (followed, until, sweeps) = (agent.clone(), stop.clone(), Arc::new(AtomicU64::new(0)));
    let (counted, trust, peer) = (sweeps.clone(), agent.trust(), app.clone());
    let sweep = move || {
        let gone = trust.judge_again(&peer, now_ms() / 1000).is_some();
        counted.fetch_add(1, Ordering::Relaxed);
        async move { if gone { 3 } else { 0 } }
    };
    let following = tokio::spawn(followed.follow(who(&state), until, sweep));
    eventually("it listens", || !world.authority.listening().is_empty()).await;
    eventually("the stream is up", || agent.status().following.stream_since_ms.is_some()).await;

    let revoked = world.revoke("app").await;
    let confirmed = world.authority.confirmed(revoked.seq, revoked.committed, SOON).await.unwrap();
    assert_eq!((confirmed.live, confirmed.confirmed, confirmed.closed), (1, 1, 3));
    assert_eq!(judged(&agent, &app), Some(Reason::CertificateRevoked));
    eventually("it is noted", || agent.status().following.acked == revoked.seq).await;
    let following_status = agent.status().following;
    assert_eq!(following_status.seq, revoked.seq);
    assert!(following_status.contact_ms.is_some());

    // With its new certificate it listens again, and what follows reaches it there.
    let before = agent.credentials().serial();
    agent.renew().await.unwrap();
    assert_ne!(agent.credentials().serial(), before);
    let again = world.revoke("app").await;
    assert_eq!(again.seq, 0, "nothing is left to be revoked");
    stop.cancel();
    tokio::time::timeout(SOON, following).await.unwrap().unwrap();
    assert!(world.authority.listening().is_empty());
    assert!(sweeps.load(Ordering::Relaxed) >= 1);
}

// PKI-43: whoever is revoked is refused, whatever is wrong with the lists beside it.
#[tokio::test]
async fn a_revocation_whose_list_is_refused_is_in_force_all_the_same() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let app = world.peer("app").await;
    lines(&agent, &who(&state)).await;
    let revoked = world.revoke("app").await;
    for list in ["bm8gbGlzdA==", "!"] {
        let line = EventLine {
            epoch: 1,
            seq: revoked.seq,
            at_ms: now_ms(),
            event: AgentEvent::Revoked {
                certificates: vec![segwan_pki::api::RevokedCertificate {
                    issuer: revoked.certificates[0].0.clone(),
                    serial: revoked.certificates[0].1.clone(),
                    key: None,
                }],
                crls: vec![list.to_owned()],
            },
        };
        assert_eq!(agent.take(&line, now_ms()), Ok(Taken::Installed));
        assert_eq!(judged(&agent, &app), Some(Reason::CertificateRevoked));
        assert_eq!(raised(&agent), ["trust_refused"]);
    }
}

// PKI-40
#[tokio::test]
async fn whoever_missed_something_catches_up_by_number_or_by_everything() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let who = who(&state);
    let (app, other) = (world.peer("app").await, world.peer("other").await);
    // Nobody listens: it is durable, and nobody confirms.
    let revoked = world.revoke("app").await;
    let confirmed = world.authority.confirmed(revoked.seq, revoked.committed, SOON).await.unwrap();
    assert_eq!((confirmed.live, confirmed.confirmed), (0, 0));
    assert_eq!(judged(&agent, &app), None);

    let told = lines(&agent, &who).await;
    assert_eq!(told.iter().map(kind).collect::<Vec<_>>(), ["hello", "revoked"]);
    for line in &told {
        agent.take(line, now_ms()).unwrap();
    }
    assert_eq!(judged(&agent, &app), Some(Reason::CertificateRevoked));
    assert_eq!(lines(&agent, &who).await.len(), 1, "nothing is told twice");

    // An event of more than a week ago is forgotten, and everything comes anew.
    let (selector, reason) = (Selector::Name("other".to_owned()), RevocationReason::Unspecified);
    let long_ago = now_ms() - 8 * 24 * HOUR;
    world.authority.revoke(&selector, reason, long_ago).await.unwrap();
    world.authority.maintain(now_ms()).await.unwrap();
    let told = lines(&agent, &who).await;
    assert_eq!(told.iter().map(kind).collect::<Vec<_>>(), ["hello", "snapshot"]);
    assert_eq!(agent.take(&told[1], now_ms()), Ok(Taken::Installed));
    assert_eq!(judged(&agent, &other), Some(Reason::CertificateRevoked));
    assert_eq!(judged(&agent, &app), Some(Reason::CertificateRevoked));
}

#[tokio::test]
async fn what_was_seen_is_told_to_the_authority_by_who_listens() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let who = who(&state);
    let _stream = agent.open(&who, false).await.unwrap();
    let app = world.peer("app").await.certificate().clone();
    agent.saw(&app, [10, 0, 0, 9].into());
    agent.report(&who, now_ms()).await.unwrap();
    assert!(agent.sightings.take().is_empty());
    let strange = CertificateFacts { serial: "0bad".to_owned(), ..app };
    agent.saw(&strange, [10, 0, 0, 9].into());
    agent.report(&who, now_ms()).await.unwrap();
    assert_eq!(raised(&agent), ["unrecorded_certificate"]);

    // What could not be told is kept.
    agent.saw(&strange, [10, 0, 0, 9].into());
    world.authority.close().await;
    assert!(agent.report(&who, now_ms()).await.is_err());
    assert_eq!(agent.sightings.take().len(), 1);
}

#[test]
fn an_installation_has_one_id_for_good() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    let state = StateDir::open(&path).unwrap();
    let id = state.instance().unwrap();
    assert_eq!((id.len(), state.instance().unwrap()), (32, id.clone()));
    drop(state);
    let state = StateDir::open(&path).unwrap();
    assert_eq!(state.instance().unwrap(), id);
    std::fs::write(path.join("instance"), "half").unwrap();
    assert_ne!(state.instance().unwrap(), id);
}
