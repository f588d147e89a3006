use super::belief::Refused;
use super::follow::Taken;
use super::*;
use crate::tls::trust::{StaleCrl, WhenUnreachable};
use crate::tls::verify::{Judge as _, Jury};
use rustls::pki_types::{CertificateDer, UnixTime};
use segwan_core::identity::Peer;
use segwan_core::rejection::Reason;
use segwan_pki::api::{AgentEvent, EventLine};
use segwan_pki::authority::{
    AuthorityOptions, LEAF_LIFETIME, RENEWAL_GRACE, Registration, Selector,
};
use segwan_pki::directory::StateDir;
use segwan_pki::profile::Profile;
use segwan_pki::revocation::RevocationReason;
use segwan_pki::x509::certificate_request;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const HOUR: i64 = 3_600_000;
const SOON: Duration = Duration::from_secs(20);

/// An Authority, and agents that reach it in this process.
struct World {
    parent: tempfile::TempDir,
    state: StateDir,
    authority: Authority,
}

impl World {
    async fn new() -> Self {
        Self::since(now_ms()).await
    }

    async fn since(now_ms: i64) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(&parent.path().join("authority")).unwrap();
        let authority = open_at(&state, now_ms).await;
        for (name, profile) in [
            (AUTHORITY_NAME, Profile::Authority),
            ("orders", Profile::Service),
            ("app", Profile::Client),
            ("other", Profile::Client),
        ] {
            authority.register(&Registration::new(name, profile), now_ms).await.unwrap();
        }
        Self { parent, state, authority }
    }

    async fn agent(&self, name: &str) -> (StateDir, Arc<Agent>) {
        let state = StateDir::open(&self.parent.path().join(name)).unwrap();
        let agent = Agent::within(state.credentials(name), self.authority.clone(), name).await;
        (state, Arc::new(agent.unwrap()))
    }

    /// What a peer with a new certificate of this name is judged by.
    async fn peer(&self, name: &str) -> Peer {
        let request = certificate_request(&segwan_pki::key::PrivateKey::generate().unwrap());
        let issued = self.authority.issue_local(name, &request.unwrap(), now_ms()).await.unwrap();
        let [leaf, issuing] = [&issued.chain[0], &issued.chain[1]];
        let (leaf, issuing) = (Certificate::read(leaf), Certificate::read(issuing));
        let (leaf, issuing) = (leaf.unwrap(), issuing.unwrap());
        let root = Certificate::read(&self.authority.root()).unwrap();
        let facts = CertificateFacts {
            serial: leaf.serial_hex(),
            issuer: leaf.issuer_key_or_name(),
            issuer_key: hex(issuing.subject_key.as_deref().unwrap()),
            keys: [&leaf, &issuing, &root].map(|it| sha256(&it.public_key)).to_vec(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
        };
        Peer::authenticated(self.authority.trust_domain().identity(name).unwrap(), facts)
    }

    async fn revoke(&self, name: &str) -> segwan_pki::authority::Revocation {
        let selector = Selector::Name(name.to_owned());
        let reason = RevocationReason::Unspecified;
        self.authority.revoke(&selector, reason, now_ms()).await.unwrap()
    }
}

async fn open(state: &StateDir) -> Authority {
    open_at(state, now_ms()).await
}

async fn open_at(state: &StateDir, now_ms: i64) -> Authority {
    let options = AuthorityOptions {
        trust_domain: "segwan.internal".parse().unwrap(),
        leaf_lifetime: LEAF_LIFETIME,
        renewal_grace: RENEWAL_GRACE,
    };
    Authority::open(state, &options, now_ms).await.unwrap()
}

fn who(state: &StateDir) -> Installation {
    Installation::of(state, "gateway").unwrap()
}

fn judged(agent: &Agent, peer: &Peer) -> Option<Reason> {
    agent.trust().judge_again(peer, now_ms() / 1000).map(|(reason, _)| reason)
}

fn raised(agent: &Agent) -> Vec<&'static str> {
    agent.status().alarms.iter().map(|alarm| alarm.word).collect()
}

/// The lines that come without a wait.
async fn lines(agent: &Agent, who: &Installation) -> Vec<EventLine> {
    let mut stream = agent.open(who, false).await.unwrap();
    let mut all = Vec::new();
    let quiet = Duration::from_millis(200);
    while let Ok(line) = tokio::time::timeout(quiet, stream.next()).await {
        all.push(line.unwrap().unwrap());
    }
    all
}

fn kind(line: &EventLine) -> &'static str {
    match line.event {
        AgentEvent::Hello => "hello",
        AgentEvent::Revoked { .. } => "revoked",
        AgentEvent::Bundle { .. } => "bundle",
        AgentEvent::RenewNow { .. } => "renew_now",
        AgentEvent::Snapshot { .. } => "snapshot",
        AgentEvent::Keepalive => "keepalive",
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < until, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

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

/// Whether a newcomer with a new certificate of this name would be let in, at a time.
async fn newcomer(world: &World, name: &str, agent: &Agent, at: i64) -> Option<Reason> {
    let request = certificate_request(&segwan_pki::key::PrivateKey::generate().unwrap()).unwrap();
    let issued = world.authority.issue_local(name, &request, now_ms()).await.unwrap();
    let chain: Vec<_> = issued.chain.into_iter().map(CertificateDer::from).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(at.try_into().unwrap()));
    let jury = Jury::of_clients(&agent.trust.whole(), agent.trust.rule());
    jury.judge(&chain[0], &chain[1..], at).err().map(|fault| fault.reason)
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
