//! An Authority that is silent, and clocks that are apart.

use super::*;

#[tokio::test]
async fn silence_and_old_lists_are_told() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    drop(agent);
    // Somebody who reaches nobody.
    let agent = Agent::resume(state.credentials("orders")).unwrap().unwrap();
    let began = now_ms();
    agent.look_around(began + HOUR - 60_000);
    assert_eq!(raised(&agent), [""; 0]);
    agent.look_around(began + HOUR + 60_000);
    assert_eq!(raised(&agent), ["authority_unreachable"]);
    agent.look_around(began + 4 * 24 * HOUR);
    let words = raised(&agent);
    assert!(words.contains(&"crl_stale") && words.contains(&"credentials_expired"), "{words:?}");
    let stale = |agent: &Agent| {
        let all = agent.status().alarms;
        all.into_iter().find(|alarm| alarm.word == "crl_stale").unwrap().sentence
    };
    assert!(stale(&agent).contains("is old"), "{}", stale(&agent));
    agent.look_around(began + 8 * 24 * HOUR);
    assert!(stale(&agent).contains("ended at"), "{}", stale(&agent));
    agent.heard(began + 8 * 24 * HOUR);
    agent.look_around(began + 8 * 24 * HOUR);
    assert!(!raised(&agent).contains(&"authority_unreachable"));
}

// ADV-18
#[tokio::test]
async fn after_an_hour_of_silence_nobody_new_is_let_in_where_that_is_wanted() {
    let world = World::new().await;
    let (state, agent) = world.agent("orders").await;
    agent.remember();
    drop(agent);
    // Somebody who reaches nobody.
    let agent = Agent::resume(state.credentials("orders")).unwrap().unwrap();
    let app = world.peer("app").await;
    let began = now_ms();
    let (early, late) = (began + HOUR - 60_000, began + HOUR + 60_000);
    let newcomer = async |at| newcomer(&world, "app", &agent, at).await;

    // By default what was believed is believed on.
    agent.look_around(late);
    assert_eq!(raised(&agent), ["authority_unreachable"]);
    assert_eq!(newcomer(late).await, None);

    let when_unreachable = WhenUnreachable::RefuseNew;
    agent.set_caution(Caution { when_unreachable, ..Caution::default() });
    agent.look_around(early);
    assert_eq!(newcomer(early).await, None);
    agent.look_around(late);
    assert_eq!(newcomer(late).await, Some(Reason::AuthorityUnreachable));
    let sentence = agent.status().alarms[0].sentence.clone();
    assert!(sentence.ends_with("; nobody new is let in"), "{sentence}");
    // Who is there stays, and nothing that is put in force lets others in.
    assert_eq!(judged(&agent, &app), None);
    let known = agent.trust().in_force();
    agent.trust().install(known).unwrap();
    assert_eq!(newcomer(late).await, Some(Reason::AuthorityUnreachable));
    // Whoever would be refused anyway hears why.
    let other = World::new().await;
    let stranger = self::newcomer(&other, "app", &agent, late).await;
    assert_ne!(stranger, Some(Reason::AuthorityUnreachable));
    assert!(stranger.is_some());

    let hello = EventLine { epoch: 1, seq: 0, at_ms: late, event: AgentEvent::Keepalive };
    agent.take(&hello, late).unwrap();
    assert_eq!(newcomer(late).await, None);
    agent.look_around(late + HOUR - 1);
    assert_eq!(newcomer(late).await, None);
    agent.look_around(late + HOUR);
    assert_eq!(newcomer(late).await, Some(Reason::AuthorityUnreachable));
    // A clock that is set back counts from there.
    agent.look_around(began);
    assert_eq!(newcomer(late).await, None);
    agent.look_around(began + HOUR);
    assert_eq!(newcomer(late).await, Some(Reason::AuthorityUnreachable));
}

// ADV-18
#[tokio::test]
async fn a_restart_gives_a_silent_authority_no_other_hour() {
    // Its lists say nothing of the last two hours.
    let world = World::since(now_ms() - 2 * HOUR).await;
    let (state, agent) = world.agent("orders").await;
    let (began, minute) = (now_ms(), 60_000);
    let trust = state.credentials("orders").trust().clone();
    // What is heard is noted, though not each time.
    assert!(trust.heard_ms().is_some_and(|noted| (began - minute..=began).contains(&noted)));
    agent.heard(began + 10 * minute);
    agent.heard(began + 10 * minute + 1);
    assert_eq!(trust.heard_ms(), Some(began + 10 * minute));
    // Nor again for an answer that came after a later one's; two at once would be in each other's way.
    agent.heard(began + 10 * minute - 1);
    assert_eq!(trust.heard_ms(), Some(began + 10 * minute));
    drop(agent);

    // Restarts of somebody who reaches nobody.
    let refuse_new = Caution { when_unreachable: WhenUnreachable::RefuseNew, ..Caution::default() };
    let restarted = || {
        let agent = Agent::resume(state.credentials("orders")).unwrap().unwrap();
        agent.set_caution(refuse_new);
        agent
    };
    let newcomer = async |agent: &Agent| newcomer(&world, "app", agent, now_ms()).await;
    trust.note_heard(began - 50 * minute).unwrap();
    let agent = restarted();
    assert_eq!(newcomer(&agent).await, None);
    agent.look_around(began + 10 * minute - 1);
    assert_eq!(newcomer(&agent).await, None);
    agent.look_around(began + 10 * minute);
    assert_eq!(newcomer(&agent).await, Some(Reason::AuthorityUnreachable));

    // After an hour, or nobody knows what, newcomers wait from the first moment for its first word.
    let (hour, ahead) = (format!("{}\n", began - HOUR), format!("{}\n", began + 24 * HOUR));
    for note in ["", "none\n", &hour, &ahead] {
        std::fs::write(trust.path().join("heard"), note).unwrap();
        let agent = restarted();
        assert_eq!(newcomer(&agent).await, Some(Reason::AuthorityUnreachable), "{note}");
        agent.look_around(now_ms());
        let sentence = agent.status().alarms[0].sentence.clone();
        assert!(sentence.ends_with("; nobody new is let in"), "{sentence}");
        // Who keeps what was believed lets them in, and is alarmed an hour after the start.
        agent.set_caution(Caution::default());
        assert_eq!(newcomer(&agent).await, None, "{note}");
        agent.look_around(now_ms());
        assert_eq!(raised(&agent), [""; 0], "{note}");
        agent.set_caution(refuse_new);
        agent.heard(now_ms());
        assert_eq!(newcomer(&agent).await, None, "{note}");
        assert_eq!(newcomer(&restarted()).await, None, "{note}");
    }
    // A list that was made since was heard since.
    world.authority.maintain(now_ms()).await.unwrap();
    drop(Agent::within(state.credentials("orders"), world.authority.clone(), "orders").await);
    std::fs::remove_file(trust.path().join("heard")).unwrap();
    assert_eq!(newcomer(&restarted()).await, None);
}

#[tokio::test]
async fn clocks_that_are_apart_are_told_with_both_times() {
    let world = World::new().await;
    let (_state, agent) = world.agent("orders").await;
    let hello = |at_ms| EventLine { epoch: 1, seq: 0, at_ms, event: AgentEvent::Hello };
    agent.take(&hello(now_ms() - 4 * 60_000), now_ms()).unwrap();
    assert_eq!(raised(&agent), [""; 0]);
    agent.take(&hello(0), now_ms()).unwrap();
    assert_eq!(raised(&agent), ["clock_skew"]);
    let sentence = agent.status().alarms[0].sentence.clone();
    assert!(
        sentence.starts_with("the Authority's clock says 1970-01-01T00:00:00Z, "),
        "{sentence}"
    );
    agent.take(&hello(now_ms()), now_ms()).unwrap();
    assert_eq!(raised(&agent), [""; 0]);
}

// PKI-36
#[tokio::test]
async fn a_wrong_clock_is_a_clear_error_and_no_loop_of_renewals() {
    const YEAR: i64 = 365 * 24 * HOUR;
    // A little behind, the certificate is valid by the time of another try.
    for (shift, fails, recovers) in [
        (-YEAR, true, false),
        (YEAR, true, false),
        (-6 * 60_000, true, true),
        (6 * 60_000, false, true),
    ] {
        let world = World::new().await;
        let (_state, agent) = world.agent("orders").await;
        // In this process the Authority is told the agent's time, so its own is put in between.
        let mut tries = 0;
        let mut now = now_ms() + shift;
        agent.known().due_ms = now;
        let end = now + HOUR;
        while now < end {
            let renewed = agent.renew_by(now, now - shift).await;
            tries += 1;
            match renewed {
                Ok(()) => {
                    assert!(recovers && (tries > 1 || !fails), "{shift}");
                    break;
                }
                Err(error) => {
                    assert!(fails, "{shift}: {error}");
                    let said = error.to_string();
                    assert!(said.contains("the Authority's clock says"), "{said}");
                    assert!(said.contains("this host's"), "{said}");
                    now += agent.known().failed(&error, now);
                }
            }
        }
        assert!((1..=6).contains(&tries) && (recovers || tries > 3), "{tries} tries in an hour");
        assert!(raised(&agent).contains(&"clock_skew"), "{:?}", raised(&agent));
    }
}

// PKI-35
#[tokio::test]
async fn after_two_days_without_the_authority_all_renew_without_a_burst() {
    const FLEET: usize = 24;
    const MINUTE: i64 = 60_000;
    let world = World::new().await;
    let mut fleet = Vec::new();
    for number in 0..FLEET {
        let name = format!("edge-{number}");
        world
            .authority
            .register(&Registration::new(&name, Profile::Service), now_ms())
            .await
            .unwrap();
        let (state, agent) = world.agent(&name).await;
        fleet.push((state, Arc::into_inner(agent).unwrap()));
    }
    let began = now_ms();
    world.authority.close().await;
    let (back, mut minute) = (began + 47 * HOUR, 0);
    let mut renewed = std::collections::BTreeMap::<i64, usize>::new();
    let mut authority = None;
    while minute < 49 * 60 {
        let now = began + minute * MINUTE;
        if now >= back && authority.is_none() {
            let opened = open(&world.state).await;
            for (_, agent) in &mut fleet {
                agent.reach = Reach::Process(Box::new(opened.clone()));
            }
            authority = Some(opened);
        }
        for (_, agent) in &fleet {
            let before = agent.credentials().serial();
            agent.tend(now).await;
            assert!(agent.credentials().not_after() * 1000 > now, "nothing stops");
            if agent.credentials().serial() != before {
                assert!(now >= back);
                *renewed.entry(minute).or_default() += 1;
            }
        }
        minute += 1;
    }
    assert_eq!(renewed.values().sum::<usize>(), FLEET);
    let most = renewed.values().max().copied().unwrap_or_default();
    assert!(most <= FLEET / 2, "{renewed:?}");
    assert!(fleet.iter().all(|(_, agent)| agent.status().failures == 0));
}
