use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use routes::routes;
use segwan::tls::authority::{AUTHORITY_NAME, AuthorityConnector};
use segwan::{Agent, AgentError, Credentials};
use segwan_pki::api::{ENROLL, ErrorAnswer, HEALTH, IssuedAnswer, RENEW};
use segwan_pki::authority::{AuthorityOptions, LEAF_LIFETIME, RENEWAL_GRACE, Registration};
use segwan_pki::certificate::{Certificate, Name};
use segwan_pki::directory::{Meta, StateDir, StoredCredentials};
use segwan_pki::enrollment::Token;
use segwan_pki::key::PrivateKey;
use segwan_pki::profile::Profile;
use segwan_pki::x509::certificate_request;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const HOUR: i64 = 3_600_000;
const SOON: Duration = Duration::from_secs(20);

/// A request with `CA:TRUE` and a foreign name, and one with foreign names alone, both well signed.
const WOULD_BE_CA: &str = "MIIBGTCBvwIBADAPMQ0wCwYDVQQDDARyb290MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2UDUa8jUVhpWJ9K5/qOXzq/27awAdPnqcsTRyzQzMK5xH1VBr1BgMcbT6aikjUdTNmxE8XNSbK4Mg2ZUDj6C/aBOMEwGCSqGSIb3DQEJDjE/MD0wDwYDVR0TAQH/BAUwAwEB/zAqBgNVHREEIzAhhh9zcGlmZmU6Ly9zZWd3YW4uaW50ZXJuYWwvb3JkZXJzMAoGCCqGSM49BAMCA0kAMEYCIQDURdVAI3F8OuA54vjiYgjHHGAlW2NBoImiZ8Nu5+HQcwIhAMROei2EVtL7K24NsG8d5eykk4CRDJkxlHfJkkMhNddK";
const OTHER_NAMES: &str = "MIIBJDCBywIBADARMQ8wDQYDVQQDDAZvcmRlcnMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATZQNRryNRWGlYn0rn+o5fOr/btrAB0+epyxNHLNDMwrnEfVUGvUGAxxtPpqKSNR1M2bETxc1JsrgyDZlQOPoL9oFgwVgYJKoZIhvcNAQkOMUkwRzA4BgNVHREEMTAvhh9zcGlmZmU6Ly9zZWd3YW4uaW50ZXJuYWwvb3JkZXJzggxldmlsLmV4YW1wbGUwCwYDVR0PBAQDAgIEMAoGCCqGSM49BAMCA0gAMEUCIQDHfJsv1qMFpy33RdYnQlwGxt+X0eSzyvuL2JSdEfxDLwIgd14LuUQohY3ag+feVG0J8mCIb7Ar8NX4h8WOl0y2ByQ=";

/// An Authority at work on a port of this host.
struct World {
    parent: tempfile::TempDir,
    state: StateDir,
    authority: Authority,
    address: String,
    events: Mutex<Receiver<Event>>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        Self::with(BOUNDS).await
    }

    async fn with(bounds: Bounds) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(&parent.path().join("state")).unwrap();
        let options = AuthorityOptions {
            trust_domain: "segwan.internal".parse().unwrap(),
            leaf_lifetime: LEAF_LIFETIME,
            renewal_grace: RENEWAL_GRACE,
        };
        // Old enough to have issued what has ended by now.
        let authority = Authority::open(&state, &options, now() - 400 * HOUR).await.unwrap();
        for (name, profile, services) in [
            (AUTHORITY_NAME, Profile::Authority, vec![]),
            ("orders", Profile::Service, vec![]),
            ("app", Profile::Client, vec!["orders".to_owned()]),
        ] {
            let addresses = vec!["127.0.0.1:7443".to_owned()];
            let registration = Registration { name: name.to_owned(), profile, addresses, services };
            authority.register(&registration, now()).await.unwrap();
        }
        let own = state.credentials(AUTHORITY_NAME);
        let own = Agent::within(own, authority.clone(), AUTHORITY_NAME).await.unwrap();
        let acceptor = AuthorityAcceptor::new(
            &own.credentials(),
            authority.root(),
            authority.trust_domain().clone(),
            authority.renewal_grace(),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (recorder, events) = Recorder::new(4096);
        let stop = CancellationToken::new();
        let port = Port {
            api: Api::new(authority.clone(), recorder, bounds),
            acceptor: Arc::new(acceptor.unwrap()),
            stop: stop.clone(),
        };
        let served = tokio::spawn(async move { port.accept(&listener).await });
        Self { parent, state, authority, address, events: Mutex::new(events), stop, served }
    }

    async fn token(&self) -> Token {
        let addresses = vec![self.address.clone()];
        let ttl = Duration::from_secs(1800);
        self.authority.mint_token("app", addresses, ttl, now()).await.unwrap()
    }

    /// A state directory of somebody elsewhere.
    fn elsewhere(&self, name: &str) -> StateDir {
        StateDir::open(&self.parent.path().join(name)).unwrap()
    }

    /// Somebody who holds a certificate of `app` that ended so long ago, or has still so long.
    async fn holder(&self, hours_left: i64) -> Credentials {
        let key = PrivateKey::generate().unwrap();
        let made = now() + (hours_left - 96) * HOUR;
        let request = certificate_request(&key).unwrap();
        let issued = self.authority.issue_local("app", &request, made).await.unwrap();
        let pem = key.to_pem().unwrap();
        let meta = Meta {
            identity: issued.identity.to_string(),
            not_after_ms: issued.not_after_ms,
            renew_at_ms: 0,
            trust_domain: issued.trust_domain.clone(),
            authority: Vec::new(),
            root: self.authority.root_fingerprint(),
            services: Vec::new(),
        };
        let stored = StoredCredentials { chain: issued.chain, roots: issued.roots, key, meta };
        Credentials::from_pem(stored.chain_pem().as_bytes(), pem.as_bytes()).unwrap()
    }

    async fn connect(
        &self,
        credentials: Option<&Credentials>,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let root = self.authority.root_fingerprint();
        let domain = self.authority.trust_domain().clone();
        let connector = AuthorityConnector::new(&root, domain, credentials).unwrap();
        let stream = TcpStream::connect(&self.address).await.unwrap();
        connector.connect(stream, &self.address, Instant::now() + SOON).await.unwrap()
    }

    /// Says `request` as it is, and reads until the end or a whole answer.
    async fn say(&self, credentials: Option<&Credentials>, request: &[u8]) -> Answer {
        let mut stream = self.connect(credentials).await;
        // The other side may have had enough before it has read all.
        let _ = stream.write_all(request).await;
        let _ = stream.flush().await;
        timeout(SOON, Answer::read(&mut stream)).await.expect("an answer or an end in time")
    }

    async fn post(&self, credentials: Option<&Credentials>, path: &str, body: &str) -> Answer {
        self.say(credentials, post(path, "", body).as_bytes()).await
    }

    async fn enroll(&self, secret: &str, csr: &str) -> Answer {
        let body = format!(r#"{{"token":"{secret}","csr":"{csr}"}}"#);
        self.post(None, ENROLL, &body).await
    }

    fn recorded(&self) -> Vec<Event> {
        self.events.lock().unwrap().try_iter().collect()
    }

    async fn certificates(&self) -> usize {
        let all = self.authority.list(now()).await.unwrap();
        all.iter().filter(|row| row.name == "app" && row.state == "issued").count()
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(SOON, self.served).await.expect("an end in time").unwrap();
    }
}

/// What came back: a status, or 0 for an end without one.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Self {
        let mut bytes = Vec::new();
        loop {
            if let Some(whole) = Self::parse(&bytes) {
                return whole;
            }
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => {
                    let head = String::from_utf8_lossy(&bytes).into_owned();
                    return Self { status: 0, head, body: Vec::new() };
                }
                Ok(_) => {}
            }
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, body })
    }

    fn reason(&self) -> String {
        let answer = serde_json::from_slice::<ErrorAnswer>(&self.body);
        answer.map(|answer| answer.error.reason).unwrap_or_default()
    }

    fn refused(&self) -> (u16, String) {
        (self.status, self.reason())
    }

    fn leaf(&self) -> Certificate {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let issued: IssuedAnswer = serde_json::from_slice(&self.body).unwrap();
        Certificate::read(&STANDARD.decode(&issued.certificate[0]).unwrap()).unwrap()
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: authority\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn csr() -> String {
    STANDARD.encode(certificate_request(&PrivateKey::generate().unwrap()).unwrap())
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn refusal(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[tokio::test]
async fn an_agent_enrolls_and_renews_over_the_wire() {
    let world = World::new().await;
    let state = world.elsewhere("app");
    let token = world.token().await;
    let agent = Agent::enroll(state.credentials("app"), &token, None).await.unwrap();
    assert_eq!(agent.identity().to_string(), "spiffe://segwan.internal/app");
    assert_eq!(agent.services()[0].addresses, ["127.0.0.1:7443"]);
    let first = agent.credentials().serial();
    agent.renew().await.unwrap();
    assert_ne!(agent.credentials().serial(), first);
    assert_eq!(agent.status().failures, 0);

    let told: Vec<_> = world.recorded();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].sentence.contains("enrolled from 127.0.0.1, until"), "{told:?}");
    assert!(told[1].sentence.contains("renewed from 127.0.0.1, until"), "{told:?}");
    assert_eq!(told[1].serial, Some(agent.credentials().serial()));
    world.end().await;
}

// PKI-20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_keys_with_one_token_one_gets_the_certificate() {
    let world = Arc::new(World::new().await);
    let secret = world.token().await.secret().to_string();
    let mut tasks = Vec::new();
    for _ in 0..100 {
        let (world, secret) = (world.clone(), secret.clone());
        tasks.push(tokio::spawn(async move { world.enroll(&secret, &csr()).await.refused() }));
    }
    let mut answers = BTreeMap::<(u16, String), usize>::new();
    for task in tasks {
        *answers.entry(task.await.unwrap()).or_default() += 1;
    }
    let expected = [(refusal(200, ""), 1), (refusal(403, "token_refused"), 99)];
    assert_eq!(answers, BTreeMap::from(expected));
    assert_eq!(world.certificates().await, 1);
    let alarms = world.recorded().into_iter().filter(|event| event.event == EventKind::Alarm);
    assert_eq!(alarms.count(), 99);
    Arc::into_inner(world).unwrap().end().await;
}

// PKI-21, PKI-22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_gets_the_same_certificate_in_a_row_and_at_once() {
    let world = Arc::new(World::new().await);
    let (secret, csr) = (world.token().await.secret().to_string(), csr());
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let (world, secret, csr) = (world.clone(), secret.clone(), csr.clone());
        tasks.push(tokio::spawn(async move { world.enroll(&secret, &csr).await }));
    }
    let mut serials = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        if answer.refused() == refusal(409, "in_progress") {
            assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
        } else {
            serials.push(answer.leaf().serial);
        }
    }
    assert!(!serials.is_empty());
    for _ in 0..10 {
        serials.push(world.enroll(&secret, &csr).await.leaf().serial);
    }
    serials.dedup();
    assert_eq!(serials.len(), 1);
    assert_eq!(world.certificates().await, 1);
    Arc::into_inner(world).unwrap().end().await;
}

// PKI-24: one answer for the peer; the operator reads which, under the id of the answer.
#[tokio::test]
async fn every_bad_token_gets_one_answer_and_the_operator_reads_which() {
    let world = World::new().await;
    let used = world.token().await;
    assert_eq!(world.enroll(&used.secret(), &csr()).await.status, 200);
    let addresses = vec![world.address.clone()];
    let second = Duration::from_secs(1);
    let long_ago = now() - HOUR;
    let expired = world.authority.mint_token("app", addresses, second, long_ago).await.unwrap();
    let unknown = STANDARD.encode([7; 32]).replace('=', "");
    world.recorded();
    let mut told = Vec::new();
    for secret in [&*used.secret(), &*expired.secret(), &unknown, &"x".to_owned(), &String::new()] {
        let answer = world.enroll(secret, &csr()).await;
        assert_eq!(answer.refused(), refusal(403, "token_refused"), "{secret}");
        let error = serde_json::from_slice::<ErrorAnswer>(&answer.body).unwrap().error;
        assert_eq!(error.request.len(), 16);
        let event = world.recorded().pop().unwrap();
        assert!(event.sentence.contains(&error.request), "{}", event.sentence);
        assert!(secret.len() < 2 || !event.sentence.contains(secret));
        told.push((event.event, event.sentence));
    }
    assert_eq!(told[0].0, EventKind::Alarm);
    assert!(told[0].1.contains("`app` was used a second time, with another key"), "{told:?}");
    assert!(told[1..].iter().all(|told| told.1.contains("unknown or expired")), "{told:?}");
    world.end().await;
}

// PKI-25
#[tokio::test]
async fn a_server_under_another_root_gets_no_byte_of_the_token() {
    let (world, other) = (World::new().await, World::new().await);
    let token = world.token().await;
    // The other Authority, behind a wire on which all that it decrypts can be read: it has a name
    // like ours, and a root of its own.
    let own = Agent::within(
        other.state.credentials(AUTHORITY_NAME),
        other.authority.clone(),
        AUTHORITY_NAME,
    );
    let acceptor = AuthorityAcceptor::new(
        &own.await.unwrap().credentials(),
        other.authority.root(),
        other.authority.trust_domain().clone(),
        Duration::ZERO,
    )
    .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        if let Ok((mut stream, _)) = acceptor.accept(stream, Instant::now() + SOON).await {
            let _ = stream.read_to_end(&mut heard).await;
        }
        heard
    });
    let state = world.elsewhere("app");
    let refused = Agent::enroll(state.credentials("app"), &token, Some(vec![address])).await;
    assert!(matches!(refused, Err(AgentError::NotTheAuthority(_))));
    assert_eq!(timeout(SOON, heard).await.unwrap().unwrap(), b"");
    // The token is as good as before.
    assert!(Agent::enroll(state.credentials("app"), &token, None).await.is_ok());
    world.end().await;
    other.end().await;
}

// PKI-26
#[tokio::test]
async fn what_a_request_asks_for_beside_its_key_is_refused_or_not_granted() {
    let world = World::new().await;
    let secret = world.token().await.secret().to_string();
    let mut broken = STANDARD.decode(OTHER_NAMES).unwrap();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let answer = world.enroll(&secret, &STANDARD.encode(&broken)).await;
    assert_eq!(answer.refused(), refusal(422, "request_refused"));
    assert_eq!(world.enroll(&secret, "no base64!").await.refused(), refusal(400, "malformed"));
    assert_eq!(world.certificates().await, 0);

    // Both are of one key, so both get the one certificate that holds none of it.
    for request in [WOULD_BE_CA, OTHER_NAMES] {
        let leaf = world.enroll(&secret, request).await.leaf();
        assert_eq!(leaf.names, [Name::Uri("spiffe://segwan.internal/app".to_owned())]);
        assert!(!leaf.is_ca && leaf.subject_is_empty);
        assert_ne!(leaf.may_sign_certificates, Some(true));
    }
    assert_eq!(world.certificates().await, 1);
    world.end().await;
}

// PKI-28
#[tokio::test]
async fn what_is_no_request_is_refused_within_the_limits() {
    let short = Duration::from_millis(300);
    let world = World::with(Bounds { head: short, body: short, ..BOUNDS }).await;
    let large = format!(r#"{{"token":"t","csr":"{}"}}"#, "A".repeat(64 * 1024));
    let deep = "[".repeat(10_000);
    let cases: [(&str, String, &[u16]); 15] = [
        ("no byte", post(ENROLL, "", ""), &[400]),
        ("too large", post(ENROLL, "", &large), &[413]),
        ("no JSON", post(ENROLL, "", "token=x"), &[400]),
        ("unknown key", post(ENROLL, "", r#"{"token":"t","csr":"","x":1}"#), &[400]),
        ("key twice", post(ENROLL, "", r#"{"token":"t","token":"t","csr":""}"#), &[400]),
        ("a value more", post(ENROLL, "", r#"{"token":"t","csr":""}{}"#), &[400]),
        ("deep", post(ENROLL, "", &deep), &[400]),
        ("two lengths", post(ENROLL, "content-length: 3\r\n", "{}"), &[400]),
        ("a length twice", post(ENROLL, "content-length: 2\r\n", "{}"), &[400]),
        ("a body that stops", post(ENROLL, "", "{}").replace(": 2\r", ": 9\r"), &[408]),
        ("HTTP/1.0", post(ENROLL, "", "{}").replace("1.1", "1.0"), &[400]),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[0, 400, 505]),
        ("a head that stops", "POST /v1/enroll HT".to_owned(), &[0, 408]),
        ("a large head", post(ENROLL, &format!("x: {}\r\n", "y".repeat(9000)), "{}"), &[431]),
        ("many headers", post(ENROLL, &"x: y\r\n".repeat(40), "{}"), &[431]),
    ];
    for (case, request, expected) in cases {
        let answer = world.say(None, request.as_bytes()).await;
        assert!(expected.contains(&answer.status), "{case}: {answer:?}");
    }
    let form = post(ENROLL, "", "{}").replace("application/json", "text/plain");
    let answer = world.say(None, form.as_bytes()).await;
    assert_eq!(answer.refused(), refusal(415, "media_type"));
    // A body may come in pieces, and may not come without end.
    let chunked = "POST /v1/enroll HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n";
    let pieces = |count| format!("{chunked}{}0\r\n\r\n", "1\r\n[\r\n".repeat(count));
    let answer = world.say(None, pieces(10).as_bytes()).await;
    assert_eq!(answer.refused(), refusal(400, "malformed"));
    let answer = world.say(None, pieces(70_000).as_bytes()).await;
    assert!([0, 408, 413].contains(&answer.status), "{answer:?}");
    // The port is as well as before.
    assert_eq!(world.say(None, b"GET /v1/health HTTP/1.1\r\nhost: a\r\n\r\n").await.status, 200);
    world.end().await;
}

// PKI-29: a route without a row fails, and so does a row without a route.
#[tokio::test]
async fn each_route_takes_those_callers_who_are_listed_for_it() {
    let world = World::new().await;
    let agent = world.holder(90).await;
    let expired = world.holder(-24).await;
    let callers = [None, Some(&agent), Some(&expired)];
    // What nobody, an agent and an expired agent hear; 400 is past the question who may call.
    let rows: BTreeMap<&str, (&str, [u16; 3])> = BTreeMap::from([
        (ENROLL, ("POST", [400, 400, 401])),
        (RENEW, ("POST", [401, 400, 400])),
        (HEALTH, ("GET", [200, 200, 401])),
    ]);
    let paths: Vec<&str> = routes().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths.len(), rows.len());
    for path in paths {
        let (method, expected) = rows.get(path).expect("a row for each route");
        for (caller, expected) in callers.into_iter().zip(expected) {
            let request = post(path, "", "{}").replacen("POST", method, 1);
            let answer = world.say(caller, request.as_bytes()).await;
            assert_eq!(answer.status, *expected, "{path} {answer:?}");
            if *expected == 401 {
                assert_eq!(answer.reason(), "certificate_required");
            }
        }
        let other = post(path, "", "{}").replacen("POST", "DELETE", 1);
        assert_eq!(world.say(None, other.as_bytes()).await.refused(), refusal(405, "method"));
    }
    let nowhere = world.post(None, "/v1/nowhere", "{}").await;
    assert_eq!(nowhere.refused(), refusal(404, "not_found"));
    world.end().await;
}

// PKI-29, PKI-31: a certificate that has ended renews within the grace; one of a foreign Authority,
// or past the grace, does not even finish the handshake.
#[tokio::test]
async fn who_holds_an_ended_certificate_may_renew_while_the_grace_lasts() {
    let (world, other) = (World::new().await, World::new().await);
    let expired = world.holder(-24).await;
    let body = format!(r#"{{"csr":"{}"}}"#, csr());
    let leaf = world.post(Some(&expired), RENEW, &body).await.leaf();
    assert!(leaf.not_after > now() / 1000 + 90 * 3600);
    for stranger in [world.holder(-200).await, other.holder(90).await] {
        world.recorded();
        let answer = world.post(Some(&stranger), RENEW, &body).await;
        assert_eq!(answer.status, 0, "{answer:?}");
        let event = world.recorded().pop().unwrap();
        assert_eq!(event.event, EventKind::Refused);
        assert!(event.reason.is_some(), "{event:?}");
    }
    world.end().await;
    other.end().await;
}

#[tokio::test]
async fn the_port_stops_although_somebody_holds_a_connection() {
    let world = World::new().await;
    let _silent = TcpStream::connect(&world.address).await.unwrap();
    let _idle = world.connect(None).await;
    let mut half = world.connect(None).await;
    half.write_all(post(ENROLL, "", "{}").replace(": 2\r", ": 9\r").as_bytes()).await.unwrap();
    world.end().await;
}

// ADV-08: nothing is let in that could not be put on the record.
#[tokio::test]
async fn while_the_record_cannot_be_written_nobody_is_let_in() {
    let world = World::new().await;
    let (recorder, _kept) = Recorder::new(1);
    let port = Port {
        api: Api::new(world.authority.clone(), recorder.clone(), BOUNDS),
        acceptor: Arc::new(
            AuthorityAcceptor::new(
                &world.holder(90).await,
                world.authority.root(),
                world.authority.trust_domain().clone(),
                Duration::ZERO,
            )
            .unwrap(),
        ),
        stop: CancellationToken::new(),
    };
    let address = "127.0.0.1:9".parse().unwrap();
    assert!(port.take(&Slots::default(), address).is_some());
    recorder.record(Event::new(EventKind::Admin));
    recorder.record(Event::new(EventKind::Admin));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(port.take(&Slots::default(), address).is_none());
    world.end().await;
}
