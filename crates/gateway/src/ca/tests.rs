use super::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use routes::routes;
use segwan::tls::authority::{AUTHORITY_NAME, AuthorityConnector};
use segwan::{Agent, AgentError, Credentials};
use segwan_pki::api::{
    ACK, AgentEvent, BUNDLE, CRL, ENROLL, EVENTS, ErrorAnswer, EventLine, HEALTH, IssuedAnswer,
    RENEW, RENEWAL, REPORT, RenewalInfo, SignedBundle,
};
use segwan_pki::authority::{
    AuthorityOptions, LEAF_LIFETIME, OnReenroll, RENEWAL_GRACE, Registration, Revocation, Selector,
};
use segwan_pki::bundle::Bundle;
use segwan_pki::certificate::{Certificate, Name};
use segwan_pki::directory::StateDir;
use segwan_pki::enrollment::Token;
use segwan_pki::key::{PrivateKey, from_hex, hex};
use segwan_pki::profile::Profile;
use segwan_pki::revocation::RevocationReason;
use segwan_pki::store::Filter;
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
    /// The port's own identity.
    own: Agent,
    address: String,
    metrics: Arc<Metrics>,
    alarms: Arc<Alarms>,
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
            ("other", Profile::Client, vec![]),
        ] {
            let addresses = vec!["127.0.0.1:7443".to_owned()];
            let registration = Registration {
                addresses,
                services,
                max_lineages: 200,
                on_reenroll: OnReenroll::Add,
                ..Registration::new(name, profile)
            };
            authority.register(&registration, now()).await.unwrap();
        }
        let own = state.credentials(AUTHORITY_NAME);
        let own = Agent::within(own, authority.clone(), AUTHORITY_NAME).await.unwrap();
        let acceptor = AuthorityAcceptor::new(
            &own.credentials(),
            &authority.root(),
            authority.trust_domain().clone(),
            authority.renewal_grace(),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (recorder, events) = Recorder::new(4096);
        let stop = CancellationToken::new();
        let told = told(recorder);
        let (metrics, alarms) = (told.metrics.clone(), told.alarms.clone());
        let port = Port {
            api: Api::new(authority.clone(), told, bounds, stop.clone()),
            acceptor: Arc::new(acceptor.unwrap()),
            stop: stop.clone(),
        };
        let served = tokio::spawn(async move { port.accept(&listener).await });
        let events = Mutex::new(events);
        Self { parent, state, authority, own, address, metrics, alarms, events, stop, served }
    }

    /// Gives up the root for another one, as somebody else may have its key; gives it.
    async fn expel_root(&self) -> segwan_pki::custody::Root {
        use segwan_pki::custody::{Passphrase, Root};
        let place = self.authority.place().join("root");
        let passphrase = Passphrase::read(&place.join("passphrase")).unwrap();
        let key = place.join("root.key.pem");
        let lost = Root::open(&key, Some(&passphrase), &self.authority.root()).unwrap();
        let new = Root::generate("segwan.internal", now()).unwrap();
        self.authority.prepare_root(new.certificate(), None, now()).await.unwrap();
        let asked = self.authority.request_issuing(Default::default()).await.unwrap();
        let der = new.sign_issuing(&asked.request, &asked.permitted, 548, now()).unwrap();
        let chain = [der, new.certificate().to_vec()];
        self.authority.import_issuing(&chain, now()).await.unwrap();
        // As the process does when the roots are others, and when others sign.
        self.own.renew().await.unwrap();
        self.authority.expel_root(0, 300_000, now()).await.unwrap();
        self.own.renew().await.unwrap();
        lost
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
        self.holder_of("app", hours_left).await
    }

    async fn holder_of(&self, name: &str, hours_left: i64) -> Credentials {
        let key = PrivateKey::generate().unwrap();
        let made = now() + (hours_left - 96) * HOUR;
        let request = certificate_request(&key).unwrap();
        let issued = self.authority.issue_local(name, &request, made).await.unwrap();
        let chain: String = issued.chain.iter().map(|der| pem(der)).collect();
        Credentials::from_pem(chain.as_bytes(), key.to_pem().unwrap().as_bytes()).unwrap()
    }

    async fn connect(
        &self,
        credentials: Option<&Credentials>,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let root = self.authority.root_fingerprint();
        let domain = self.authority.trust_domain().clone();
        let connector =
            AuthorityConnector::new(&[root.as_str()], domain, credentials, Default::default())
                .unwrap();
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

    async fn get(&self, credentials: Option<&Credentials>, path: &str, headers: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
        self.say(credentials, request.as_bytes()).await
    }

    async fn revoke(&self, what: &str) -> Revocation {
        let selector = Selector::parse(what, self.authority.trust_domain()).unwrap();
        let reason = RevocationReason::Unspecified;
        self.authority.revoke(&selector, reason, now()).await.unwrap()
    }

    fn recorded(&self) -> Vec<Event> {
        self.events.lock().unwrap().try_iter().collect()
    }

    async fn certificates(&self) -> usize {
        let all = self.authority.list(&Filter::default(), now()).await.unwrap();
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

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn told(recorder: Recorder) -> Told {
    let metrics = Arc::new(Metrics::for_services(Vec::new()));
    Told { recorder, metrics, alarms: Arc::default() }
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
    let revoked = world.token().await;
    world.revoke(&format!("token:{}", hex(&revoked.secret_sha256()[..8]))).await;
    let short = used.secret()[1..].to_owned();
    world.recorded();
    for secret in [
        &*used.secret(),
        &*expired.secret(),
        &*revoked.secret(),
        &unknown,
        &short,
        &"x".to_owned(),
        &String::new(),
    ] {
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
    for (told, which) in told[1..].iter().zip(["ended at", "was revoked", "it is unknown"]) {
        assert!(told.1.contains(which), "{told:?}");
    }
    let raised = world.alarms.list(now());
    assert_eq!((raised.len(), raised[0].alarm.as_str()), (1, "token_reused"));
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
        &other.authority.root(),
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
    // A report may be larger, up to a bound of its own.
    let agent = world.holder(90).await;
    for (bytes, expected) in [(200 * 1024, 400), (257 * 1024, 413)] {
        let body = format!(r#"{{"instance":"{}"}}"#, "a".repeat(bytes));
        assert_eq!(world.post(Some(&agent), REPORT, &body).await.status, expected, "{bytes}");
    }
    let seen = r#"{"issuer":"a1","serial":"b2","first_ms":1,"last_ms":1,"count":1,"from":"x"}"#;
    let many = vec![seen; 1001].join(",");
    for body in [
        format!(r#"{{"instance":"i","now_ms":1,"bundle_version":1,"seen":[{many}]}}"#),
        r#"{"instance":"i","now_ms":1,"bundle_version":1,"seen":[],"more":1}"#.to_owned(),
        r#"{"instance":"../i","now_ms":1,"bundle_version":1,"seen":[]}"#.to_owned(),
    ] {
        let answer = world.post(Some(&agent), REPORT, &body).await;
        assert_eq!(answer.refused(), refusal(400, "malformed"), "{answer:?}");
    }
    for ack in [
        r#"{"instance":"","seq":1,"bundle_version":1,"closed":0}"#,
        r#"{"instance":"i","seq":-1,"bundle_version":1,"closed":0}"#,
        r#"{"instance":"i","seq":1,"bundle_version":1,"closed":-1}"#,
    ] {
        let answer = world.post(Some(&agent), ACK, ack).await;
        assert_eq!(answer.refused(), refusal(400, "malformed"), "{ack}");
    }
    let good = "instance=i&kind=gateway&version=1&host=h";
    for query in [
        "instance=i&kind=gateway&version=1",
        &format!("{good}&more=1"),
        &format!("{good}&epoch=1"),
        &good.replace("gateway", "toaster"),
        &good.replace("host=h", "host=a%0ab"),
        &good.replace("instance=i", &format!("instance={}", "i".repeat(65))),
    ] {
        let answer = world.get(Some(&agent), &format!("{EVENTS}?{query}"), "").await;
        assert_eq!(answer.refused(), refusal(400, "malformed"), "{query}");
    }
    // The port is as well as before.
    assert_eq!(world.say(None, b"GET /v1/health HTTP/1.1\r\nhost: a\r\n\r\n").await.status, 200);
    world.end().await;
}

// PKI-29: a route without a row fails, and so does a row without a route.
#[tokio::test]
async fn each_route_takes_those_callers_who_are_listed_for_it() {
    let world = World::new().await;
    let (client, service) = (world.holder(90).await, world.holder_of("orders", 90).await);
    let (expired, revoked) = (world.holder(-24).await, world.holder_of("other", 90).await);
    world.revoke("other").await;
    let callers = [None, Some(&client), Some(&service), Some(&expired), Some(&revoked)];
    // What nobody, a client, a service, the holder of an ended certificate and of a revoked one
    // hear; 400 and 404 are past the question who may call.
    let rows: BTreeMap<&str, (&str, [u16; 5])> = BTreeMap::from([
        (ENROLL, ("POST", [400, 400, 400, 401, 400])),
        (RENEW, ("POST", [401, 400, 400, 400, 400])),
        (HEALTH, ("GET", [200, 200, 200, 401, 200])),
        (BUNDLE, ("GET", [200, 200, 200, 401, 200])),
        ("/v1/crl/{issuer}", ("GET", [404, 404, 404, 401, 404])),
        ("/v1/renewal/{certificate}", ("GET", [400, 400, 400, 401, 400])),
        (EVENTS, ("GET", [401, 400, 400, 401, 403])),
        (ACK, ("POST", [401, 400, 400, 401, 403])),
        (REPORT, ("POST", [401, 400, 400, 401, 403])),
    ]);
    let paths: Vec<&str> = routes().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths.len(), rows.len());
    for path in paths {
        let (method, expected) = rows.get(path).expect("a row for each route");
        for (caller, expected) in callers.into_iter().zip(expected) {
            let request = post(path, "", "{}").replacen("POST", method, 1);
            let answer = world.say(caller, request.as_bytes()).await;
            assert_eq!(answer.status, *expected, "{path} {answer:?}");
            match expected {
                401 => assert_eq!(answer.reason(), "certificate_required"),
                403 => assert_eq!(answer.reason(), "revoked"),
                _ => {}
            }
        }
        let other = post(path, "", "{}").replacen("POST", "DELETE", 1);
        assert_eq!(world.say(None, other.as_bytes()).await.refused(), refusal(405, "method"));
    }
    let nowhere = world.post(None, "/v1/nowhere", "{}").await;
    assert_eq!(nowhere.refused(), refusal(404, "not_found"));
    world.end().await;
}

// PKI-29, PKI-49: after the root was given up, what is under it may renew where it is on the record,
// and has no other route; what the old root's key forges has none at all.
#[tokio::test]
async fn under_a_root_that_was_given_up_what_is_recorded_renews_and_nothing_else_passes() {
    let world = World::new().await;
    let (recorded, ended) = (world.holder(90).await, world.holder(-24).await);
    let lost = world.expel_root().await;
    let (forged, forged_to_renew) = (forge(&lost), forge(&lost));
    let rows: BTreeMap<&str, (&str, u16)> = BTreeMap::from([
        (ENROLL, ("POST", 401)),
        (RENEW, ("POST", 400)),
        (HEALTH, ("GET", 401)),
        (BUNDLE, ("GET", 401)),
        ("/v1/crl/{issuer}", ("GET", 401)),
        ("/v1/renewal/{certificate}", ("GET", 401)),
        (EVENTS, ("GET", 401)),
        (ACK, ("POST", 401)),
        (REPORT, ("POST", 401)),
    ]);
    assert_eq!(routes().len(), rows.len());
    for (path, _) in routes() {
        let (method, expected) = rows.get(path).expect("a row for each route");
        let request = post(path, "", "{}").replacen("POST", method, 1);
        for holder in [&recorded, &ended, &forged] {
            let answer = world.say(Some(holder), request.as_bytes()).await;
            assert_eq!(answer.status, *expected, "{path} {answer:?}");
        }
        assert_ne!(world.say(None, request.as_bytes()).await.status, 0, "{path}");
    }
    world.recorded();
    let token = world.token().await;
    let body = format!(r#"{{"token":"{}","csr":"{}"}}"#, &*token.secret(), csr());
    let refused = world.post(Some(&forged), ENROLL, &body).await;
    assert_eq!(refused.refused(), refusal(401, "certificate_required"));
    let told = world.recorded().pop().unwrap();
    assert!(told.sentence.contains("believed no more"), "{told:?}");

    let body = || format!(r#"{{"csr":"{}"}}"#, csr());
    let refused = world.post(Some(&forged_to_renew), RENEW, &body()).await;
    assert_eq!(refused.refused(), refusal(403, "renewal_refused"));
    let told = world.recorded();
    assert!(told.iter().any(|event| event.sentence.contains("(unrecorded)")), "{told:?}");
    // Whoever has no certificate is as welcome as before.
    assert_eq!(world.enroll(&token.secret(), &csr()).await.status, 200);
    for holder in [&recorded, &ended] {
        let (key, body) = renewal();
        let answer = world.post(Some(holder), RENEW, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let issued: IssuedAnswer = serde_json::from_slice(&answer.body).unwrap();
        let chain = issued.certificate.iter().map(|der| pem(&STANDARD.decode(der).unwrap()));
        let chain: String = chain.collect();
        let renewed = Credentials::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(world.get(Some(&renewed), HEALTH, "").await.status, 200);
        assert_eq!(world.get(Some(&renewed), EVENTS, "").await.status, 400);
    }
    world.end().await;
}

// PKI-49: whoever holds a distrusted issuing key gets no further.
#[tokio::test]
async fn under_a_distrusted_issuing_key_there_is_a_renewal_and_nothing_else() {
    let world = World::new().await;
    let recorded = world.holder(90).await;
    assert_eq!(world.get(Some(&recorded), HEALTH, "").await.status, 200);
    let signs = world.authority.signing_key().unwrap();
    world.authority.distrust_issuing(&signs, now()).await.unwrap();
    world.own.renew().await.unwrap();
    for path in [HEALTH, BUNDLE, EVENTS] {
        let answer = world.get(Some(&recorded), path, "").await;
        assert_eq!(answer.refused(), refusal(401, "certificate_required"), "{path}");
    }
    assert_eq!(world.post(Some(&recorded), RENEW, &renewal().1).await.status, 200);
    world.end().await;
}

/// A new key in PEM, and a request for its certificate.
fn renewal() -> (String, String) {
    let key = PrivateKey::generate().unwrap();
    let csr = STANDARD.encode(certificate_request(&key).unwrap());
    (key.to_pem().unwrap().to_string(), format!(r#"{{"csr":"{csr}"}}"#))
}

/// What whoever has a root's key makes of it: an issuing certificate, and `app` under it.
fn forge(root: &segwan_pki::custody::Root) -> Credentials {
    let (issuing, key) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let domain = "segwan.internal";
    let constraints = segwan_pki::x509::Constraints::of(domain);
    let request = segwan_pki::x509::issuing_request(&issuing, domain, &constraints).unwrap();
    let der = root.sign_issuing(&request, &Default::default(), 100, now()).unwrap();
    let issuing = segwan_pki::x509::Authority { der: der.clone(), key: issuing };
    let leaf = segwan_pki::x509::Leaf::new(
        "spiffe://segwan.internal/app".parse().unwrap(),
        Profile::Client,
        [0x45; 16],
        now() / 1000 - 240,
        now() / 1000 + 3600,
    );
    let requested = certificate_request(&key).unwrap();
    let requested = segwan_pki::x509::RequestedKey::read(&requested).unwrap();
    let intent = issuing.intent(&leaf, &requested).unwrap();
    let leaf = issuing.sign(&leaf, &requested, intent, root.certificate()).unwrap();
    let chain = format!("{}{}", pem(&leaf), pem(&der));
    Credentials::from_pem(chain.as_bytes(), key.to_pem().unwrap().as_bytes()).unwrap()
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
        api: Api::new(
            world.authority.clone(),
            told(recorder.clone()),
            BOUNDS,
            CancellationToken::new(),
        ),
        acceptor: Arc::new(
            AuthorityAcceptor::new(
                &world.holder(90).await,
                &world.authority.root(),
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

/// An event stream, read line by line.
struct Listening(tokio_rustls::client::TlsStream<TcpStream>, Vec<u8>);

impl Listening {
    async fn to(world: &World, credentials: &Credentials, more: &str) -> Self {
        let mut stream = world.connect(Some(credentials)).await;
        let path = format!("{EVENTS}?instance=i1&kind=gateway&version=0.1.0&host=db1{more}");
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(stream, Vec::new())
    }

    /// The next line; none at the end of the stream.
    async fn next(&mut self) -> Option<EventLine> {
        loop {
            // Chunks are lines here: what is no JSON is framing.
            while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                if let Ok(line) = serde_json::from_slice(&line) {
                    return Some(line);
                }
            }
            match timeout(SOON, self.0.read_buf(&mut self.1)).await.expect("a line in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn an_agent_hears_of_a_revocation_and_its_answer_is_counted() {
    let world = World::new().await;
    let (gateway, victim) = (world.holder_of("orders", 90).await, world.holder(90).await);
    let mut listening = Listening::to(&world, &gateway, "").await;
    assert_eq!(listening.next().await.unwrap().event, AgentEvent::Hello);
    let snapshot = listening.next().await.unwrap();
    assert!(matches!(snapshot.event, AgentEvent::Snapshot { .. }), "{snapshot:?}");
    let revoked = world.revoke("app").await;
    let line = listening.next().await.unwrap();
    assert_eq!((line.seq, line.epoch), (revoked.seq, snapshot.epoch));
    let AgentEvent::Revoked { certificates, crls } = line.event else { panic!("{line:?}") };
    assert_eq!(certificates[0].serial, victim.serial());
    assert!(!crls.is_empty());

    let authority = world.authority.clone();
    let wait = Duration::from_secs(10);
    let waiting = tokio::spawn(async move {
        authority.confirmed(revoked.seq, revoked.committed, wait).await.unwrap()
    });
    let seq = line.seq;
    let ack = format!(r#"{{"instance":"i1","seq":{seq},"bundle_version":1,"closed":3}}"#);
    assert_eq!(world.post(Some(&gateway), ACK, &ack).await.status, 204);
    let confirmation = waiting.await.unwrap();
    assert_eq!((confirmation.live, confirmation.confirmed, confirmation.closed), (1, 1, 3));
    assert!(confirmation.silent.is_empty() && confirmation.took < wait);

    // It goes on where it was, and the second stream of an agent takes the place of the first.
    let epoch = snapshot.epoch;
    let again = format!("&epoch={epoch}&after={seq}");
    let mut second = Listening::to(&world, &gateway, &again).await;
    assert_eq!(second.next().await.unwrap().event, AgentEvent::Hello);
    world.revoke("other").await;
    assert_eq!(world.authority.listening().len(), 1);
    // Nothing was in force of `other`, so the next word is of the agent's own end.
    world.revoke("orders").await;
    let last = second.next().await.unwrap();
    assert!(matches!(last.event, AgentEvent::Revoked { .. }), "{last:?}");
    assert_eq!(second.next().await, None);
    assert_eq!(listening.next().await, None);
    let refused = Listening::to(&world, &gateway, &again).await.next().await;
    assert_eq!(refused, None);
    let answer = world.post(Some(&gateway), ACK, &ack).await;
    assert_eq!(answer.refused(), refusal(403, "revoked"));
    world.end().await;
}

#[tokio::test]
async fn a_stream_outlives_its_connections_bound_and_ends_at_once_with_the_stop() {
    let short = Duration::from_millis(300);
    let world = World::with(Bounds { connection: short, head: short, ..BOUNDS }).await;
    let gateway = world.holder_of("orders", 90).await;
    let mut listening = Listening::to(&world, &gateway, "").await;
    assert_eq!(listening.next().await.unwrap().event, AgentEvent::Hello);
    listening.next().await.unwrap();
    tokio::time::sleep(2 * short).await;
    world.holder(90).await;
    world.revoke("app").await;
    let line = listening.next().await.unwrap();
    assert!(matches!(line.event, AgentEvent::Revoked { .. }), "{line:?}");
    let begun = std::time::Instant::now();
    world.end().await;
    assert_eq!(listening.next().await, None);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_anybody_may_read_is_not_sent_twice() {
    let world = World::new().await;
    let bundle = world.get(None, BUNDLE, "").await;
    assert!(bundle.head.contains("etag: \"1\""), "{}", bundle.head);
    let signed: SignedBundle = serde_json::from_slice(&bundle.body).unwrap();
    let roots = [world.authority.root()];
    let domain = world.authority.trust_domain();
    let read = Bundle::accept(&signed, &roots, domain, (None, &[]), now()).unwrap();
    assert_eq!(read.version, 1);
    for known in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
        let headers = format!("if-none-match: {known}\r\n");
        let answer = world.get(None, BUNDLE, &headers).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
    }
    let other = world.get(None, BUNDLE, "if-none-match: \"2\"\r\n").await;
    assert_eq!(other.status, 200);

    let keys = world.authority.issuing_keys().await.unwrap();
    let path = format!("{CRL}{}", keys[0].id);
    let list = world.get(None, &path, "").await;
    assert!(list.head.contains("content-type: application/pkix-crl"), "{}", list.head);
    let number = world.authority.crl(&keys[0].id).await.unwrap().unwrap().0;
    assert!(list.head.contains(&format!("etag: \"{number}\"")), "{}", list.head);
    let headers = format!("if-none-match: \"{number}\"\r\n");
    assert_eq!(world.get(None, &path, &headers).await.status, 304);
    let none = world.get(None, &format!("{CRL}00"), "").await;
    assert_eq!(none.refused(), refusal(404, "not_found"));
    world.end().await;
}

#[tokio::test]
async fn a_renewal_window_is_told_by_the_rfcs_name_of_a_certificate_and_in_hex() {
    let world = World::new().await;
    let holder = world.holder(90).await;
    let row = world.authority.list(&Filter::default(), now()).await.unwrap();
    let row = row.into_iter().find(|row| row.serial == holder.serial()).unwrap();
    let base64 = |hex: &str| URL_SAFE_NO_PAD.encode(from_hex(hex).unwrap());
    let window = |answer: &Answer| -> RenewalInfo { serde_json::from_slice(&answer.body).unwrap() };
    let mut told = Vec::new();
    for name in [
        format!("{}.{}", base64(&row.issuer), base64(&row.serial)),
        format!("{}.{}", row.issuer, row.serial),
    ] {
        let answer = world.get(None, &format!("{RENEWAL}{name}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("retry-after: 21600"), "{}", answer.head);
        told.push(window(&answer));
    }
    assert_eq!(told[0], told[1]);
    let start: jiff::Timestamp = told[0].suggested_window.start.parse().unwrap();
    assert!((start.as_millisecond() - row.made_ms - 32 * HOUR).abs() < HOUR);
    // What was revoked should be renewed at once.
    world.revoke("app").await;
    let name = format!("{RENEWAL}{}.{}", row.issuer, row.serial);
    let end: jiff::Timestamp =
        window(&world.get(None, &name, "").await).suggested_window.end.parse().unwrap();
    assert!(end.as_millisecond() <= now());
    for (name, expected) in [("00.00", 404), ("a", 400), ("=.=", 400), (&"a".repeat(300), 400)] {
        assert_eq!(world.get(None, &format!("{RENEWAL}{name}"), "").await.status, expected);
    }
    world.end().await;
}

#[tokio::test]
async fn a_report_tells_of_certificates_that_were_never_recorded_and_only_listeners_are_believed() {
    let world = World::new().await;
    let (client, service) = (world.holder(90).await, world.holder_of("orders", 90).await);
    let issuer = world.authority.issuing_keys().await.unwrap()[0].id.clone();
    let (serial, at) = ("41".repeat(16), now());
    let body = format!(
        r#"{{"instance":"i1","now_ms":{at},"bundle_version":1,"seen":[{{"issuer":"{issuer}","serial":
        "{serial}","first_ms":{at},"last_ms":{at},"count":1,"from":"10.0.0.9"}}]}}"#
    );
    assert_eq!(world.post(Some(&client), REPORT, &body).await.status, 204);
    assert!(world.authority.unrecorded().await.unwrap().is_empty());
    for _ in 0..2 {
        assert_eq!(world.post(Some(&service), REPORT, &body).await.status, 204);
    }
    assert_eq!(world.authority.unrecorded().await.unwrap()[0].serial, serial);
    let raised = world.alarms.list(now());
    assert_eq!((raised.len(), raised[0].alarm.as_str()), (1, "unrecorded_certificate"));
    let alarms = world.recorded().into_iter().filter(|event| event.event == EventKind::Alarm);
    assert_eq!(alarms.count(), 1);
    world.end().await;
}

// PKI-34
#[tokio::test]
async fn a_registration_that_changes_between_issue_and_renewal_decides_the_renewal() {
    let world = World::new().await;
    let (first, second) = (world.holder(90).await, world.holder_of("orders", 90).await);
    // Narrowed: other names and a shorter life from now on.
    let known = world.authority.registration("orders").await.unwrap().unwrap();
    let narrow = Registration {
        dns: vec!["orders.segwan.internal".to_owned()],
        leaf_lifetime: Some(Duration::from_secs(3600)),
        ..Registration::of(&known).unwrap()
    };
    world.authority.register(&narrow, now()).await.unwrap();
    let body = format!(r#"{{"csr":"{}"}}"#, csr());
    let leaf = world.post(Some(&second), RENEW, &body).await.leaf();
    assert!(leaf.names.contains(&Name::Dns("orders.segwan.internal".to_owned())), "{leaf:?}");
    assert!(leaf.not_after <= now() / 1000 + 3601);
    // Disabled: refused, and enabling it does not bring back what was revoked.
    world.revoke("app").await;
    for _ in 0..2 {
        let body = format!(r#"{{"csr":"{}"}}"#, csr());
        let answer = world.post(Some(&first), RENEW, &body).await;
        assert_eq!(answer.refused(), refusal(403, "renewal_refused"));
        world.authority.enable("app", now()).await.unwrap();
    }
    world.end().await;
}

#[tokio::test]
async fn a_lineage_renews_six_times_an_hour_at_most() {
    let world = World::new().await;
    let holder = world.holder(90).await;
    let body = format!(r#"{{"csr":"{}"}}"#, csr());
    for _ in 0..6 {
        assert_eq!(world.post(Some(&holder), RENEW, &body).await.status, 200);
    }
    let answer = world.post(Some(&holder), RENEW, &body).await;
    assert_eq!(answer.refused(), refusal(429, "slow_down"));
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    // Another one is not concerned.
    let other = world.holder(90).await;
    let body = format!(r#"{{"csr":"{}"}}"#, csr());
    assert_eq!(world.post(Some(&other), RENEW, &body).await.status, 200);
    let page = world.metrics.render(crate::metrics::Standing::default());
    for line in [
        "segwan_renewals_total{outcome=\"issued\"} 7",
        "segwan_renewals_total{outcome=\"slow_down\"} 1",
    ] {
        assert!(page.contains(line), "{page}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_hundred_bad_tokens_are_one_alarm_and_lock_nobody_out() {
    let world = World::new().await;
    let unknown = STANDARD.encode([7; 32]).replace('=', "");
    let mut stream = world.connect(None).await;
    for n in 0..105 {
        let body = format!(r#"{{"token":"{unknown}","csr":"{OTHER_NAMES}"}}"#);
        stream.write_all(post(ENROLL, "", &body).as_bytes()).await.unwrap();
        let answer = timeout(SOON, Answer::read(&mut stream)).await.unwrap();
        assert_eq!(answer.refused(), refusal(403, "token_refused"), "{n}");
    }
    let raised = world.alarms.list(now());
    assert_eq!((raised.len(), raised[0].alarm.as_str()), (1, "enrollment_attack"));
    assert!(world.alarms.list(now() + 11 * 60_000).is_empty());
    let alarms = world.recorded().into_iter().filter(|event| event.event == EventKind::Alarm);
    assert_eq!(alarms.count(), 1);
    assert_eq!(world.enroll(&world.token().await.secret(), &csr()).await.status, 200);
    world.end().await;
}
