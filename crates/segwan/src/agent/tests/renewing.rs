//! When an agent renews before its time, and who goes first.

use super::*;

// PKI-49: who missed that its root was given up hears it by a refusal, and renews.
#[tokio::test]
async fn whose_certificate_is_good_for_its_renewal_alone_renews_soon() {
    let world = World::new().await;
    let (_state, agent) = world.agent("orders").await;
    let refused = |status, reason: &str| AgentError::Refused {
        status,
        reason: reason.to_owned(),
        request: String::new(),
        retry: None,
    };
    assert!(refused(401, "certificate_required").wants_another_certificate());
    assert!(!refused(403, "revoked").wants_another_certificate());
    let planned = agent.status().renew_at_ms;
    agent.renew_unasked(now_ms());
    let moved = agent.status().renew_at_ms;
    assert!(moved <= now_ms() + 60_000 && moved < planned);
    // One that was tried in vain waits as long as any other.
    let wait = agent.known().failed(&refused(403, "renewal_refused"), now_ms());
    let due = agent.status().renew_at_ms;
    agent.renew_unasked(now_ms());
    assert!(wait > 0 && agent.status().renew_at_ms == due);
}

// PKI-17
#[tokio::test]
async fn who_stands_on_a_distrusted_key_renews_under_the_other_by_itself() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let (_other, agent_by_bundle) = world.agent("other").await;
    let (app, signer) = (world.peer("app").await, agent.credentials().issuer());
    assert_eq!(judged(&agent, &app), None);
    let done = world.authority.distrust_issuing(&signer, now_ms()).await.unwrap();
    // What is believed is enough: the word to renew may come later.
    for line in lines(&agent, &who(&state)).await.iter().filter(|line| kind(line) != "renew_now") {
        agent.take(line, now_ms()).unwrap();
    }
    assert_eq!(judged(&agent, &app), Some(Reason::TrustWithdrawn));
    // At once: nobody believes it meanwhile. Elsewhere after the Authority's own.
    assert!(agent.status().renew_at_ms <= now_ms());
    agent.remember();
    let elsewhere = Agent::resume(state.credentials("orders")).unwrap().unwrap();
    let wait = elsewhere.status().renew_at_ms - now_ms();
    assert!((1_000..=7_000).contains(&wait), "{wait}");
    // By a bundle that is fetched, too, where no event comes through.
    agent_by_bundle.fetch_bundle(now_ms()).await.unwrap();
    assert!(agent_by_bundle.status().renew_at_ms <= now_ms());

    agent.tend(now_ms()).await;
    assert_eq!(Some(agent.credentials().issuer()), done.successor);
    assert_eq!(newcomer(&world, "app", &agent, now_ms()).await, None);
    // Who stands on another key is not hurried.
    world.authority.advertise(vec!["10.0.0.5:7444".to_owned()], now_ms()).await.unwrap();
    agent.fetch_bundle(now_ms()).await.unwrap();
    assert!(agent.status().renew_at_ms > now_ms() + HOUR);
}

#[tokio::test]
async fn the_authority_may_move_a_renewal_and_a_restart_does_not_forget_it() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let planned = agent.status().renew_at_ms;
    let line = |lineages: Vec<String>| {
        let event = AgentEvent::RenewNow { window_ms: 60_000, lineages };
        EventLine { epoch: 1, seq: 7, at_ms: now_ms(), event }
    };
    assert_eq!(agent.take(&line(vec!["of another".to_owned()]), now_ms()), Ok(Taken::Noted));
    assert_eq!(agent.status().renew_at_ms, planned);
    let own = agent.known().meta.lineage.clone();
    assert_eq!(own.len(), 32, "{own}");
    agent.take(&line(vec![own]), now_ms()).unwrap();
    let moved = agent.status().renew_at_ms;
    assert!(moved <= now_ms() + 60_000 && moved < planned);
    agent.remember();
    let again = Agent::resume(state.credentials("orders")).unwrap().unwrap();
    assert_eq!(again.status().renew_at_ms, moved);

    let serial = agent.credentials().serial();
    agent.tend(moved + 1).await;
    assert_ne!(agent.credentials().serial(), serial);
    assert!(agent.status().renew_at_ms > moved + HOUR);
}

// PKI-48, PKI-49: who renews at the Authority's port finds the port renewed.
#[tokio::test]
async fn what_is_where_the_authority_is_renews_before_everybody_else() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    let now = now_ms();
    let event = AgentEvent::RenewNow { window_ms: 60_000, lineages: Vec::new() };
    let line = EventLine { epoch: 1, seq: 7, at_ms: now, event };
    agent.take(&line, now).unwrap();
    assert_eq!(agent.status().renew_at_ms, now);
    let elsewhere = Agent::resume(state.credentials("orders")).unwrap().unwrap();
    for window_ms in [60_000, 4_000, 0, -1, i64::MAX] {
        let event = AgentEvent::RenewNow { window_ms, lineages: Vec::new() };
        elsewhere.known().due_ms = i64::MAX;
        elsewhere.take(&EventLine { event, ..line.clone() }, now).unwrap();
        let least = (window_ms / 4).clamp(0, 2_000);
        let at = elsewhere.status().renew_at_ms;
        assert!(at >= now + least && at <= now.saturating_add(window_ms.max(0)), "{window_ms}");
    }
}
