use super::*;
use crate::failure::{Exit, Failure};
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::process::{AuthorityAtWork, Reloads};
use crate::quotas::Unwritten;
use crate::record::Recorder;
use crate::registering::Registering;
use crate::status::Status;
use segwan_pki::authority::{
    Authority, AuthorityOptions, LEAF_LIFETIME, RENEWAL_GRACE, Registration,
};
use segwan_pki::directory::StateDir;
use segwan_pki::enrollment::Token;
use segwan_pki::profile::Profile;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use wire::{
    HEALTH, Inventory, LEDGER, LIST, LedgerAnswer, METRICS, RegistrationView, RevokeAnswer,
    RevokeRequest, STATUS, TOKEN, TokenAnswer, TokenRequest,
};

const SOON: Duration = Duration::from_secs(20);

/// A process at work: an Authority, no service, the socket and an address.
struct World {
    parent: tempfile::TempDir,
    _state: Option<StateDir>,
    socket: PathBuf,
    address: String,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl World {
    async fn new(with_authority: bool, bounds: Bounds) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let (state, authority) = if with_authority {
            let state = StateDir::open(&parent.path().join("state")).unwrap();
            let authority = authority(&state).await;
            (Some(state), Some(authority))
        } else {
            (None, None)
        };
        let (recorder, _) = Recorder::new(16);
        let running = Running {
            unwritten: Unwritten::default(),
            gateway: Gateway::start(Vec::new(), Vec::new(), &recorder, 1).unwrap(),
            authority,
            agents: Vec::new(),
            rules: arc_swap::ArcSwap::from_pointee(Vec::new()),
            metrics: Arc::new(Metrics::default()),
            alarms: Arc::default(),
            recorder,
            started_ms: 1_790_000_000_000,
            reloads: Reloads::of_nothing(parent.path().to_owned()),
        };
        let socket = parent.path().join("admin.sock");
        let on_socket = socket::bind(&socket).unwrap();
        let on_address = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = on_address.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let serving =
            serve_within(Arc::new(running), on_socket, Some(on_address), stop.clone(), bounds);
        let served = tokio::spawn(serving);
        Self { parent, _state: state, socket, address, stop, served }
    }

    async fn get<T: DeserializeOwned + Send + 'static>(&self, path: &str) -> Result<T, Failure> {
        let (socket, path) = (self.socket.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || client::get(&socket, &path)).await.unwrap()
    }

    async fn post<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        body: impl Serialize + Send + 'static,
    ) -> Result<T, Failure> {
        let (socket, path) = (self.socket.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || client::post(&socket, &path, &body)).await.unwrap()
    }

    async fn token(&self, request: TokenRequest) -> Result<TokenAnswer, Failure> {
        self.post(TOKEN, request).await
    }

    /// Asks at the loopback address; gives the whole answer as text.
    async fn ask_address(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(SOON, self.served).await.expect("an end in time").unwrap();
    }
}

async fn authority(state: &StateDir) -> AuthorityAtWork {
    let options = AuthorityOptions {
        trust_domain: "segwan.internal".parse().unwrap(),
        leaf_lifetime: LEAF_LIFETIME,
        renewal_grace: RENEWAL_GRACE,
    };
    let now = jiff::Timestamp::now().as_millisecond();
    let authority = Authority::open(state, &options, now).await.unwrap();
    let addresses = vec!["10.0.0.5:7443".to_owned()];
    let orders = Registration { addresses, ..Registration::new("orders", Profile::Service) };
    authority.register(&orders, now).await.unwrap();
    AuthorityAtWork {
        authority,
        listen: "127.0.0.1:7444".parse().unwrap(),
        advertise: vec!["10.0.0.5:7444".to_owned()],
        nag: crate::ca::RootNag::Daily,
    }
}

fn request(name: &str) -> TokenRequest {
    TokenRequest { name: name.to_owned(), ..TokenRequest::default() }
}

fn sentence(refused: &Failure) -> &str {
    refused.sentence().unwrap().0
}

#[tokio::test]
async fn the_address_answers_health_and_metrics_and_nothing_else() {
    let world = World::new(false, BOUNDS).await;
    assert!(world.ask_address("GET /health").await.starts_with("HTTP/1.1 200 "));
    let metrics = world.ask_address("GET /metrics").await;
    assert!(metrics.contains(crate::metrics::CONTENT_TYPE), "{metrics}");
    assert!(metrics.contains("# TYPE segwan_build info"), "{metrics}");
    for (path, _) in routes::of_operator() {
        for method in ["GET", "POST"] {
            let answer = world.ask_address(&format!("{method} {path}")).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{method} {path}: {answer}");
        }
    }
    assert!(world.ask_address("POST /metrics").await.starts_with("HTTP/1.1 405 "));
    world.end().await;
}

#[tokio::test]
async fn the_socket_answers_everything() {
    let world = World::new(true, BOUNDS).await;
    let health: serde_json::Value = world.get(HEALTH).await.unwrap();
    assert_eq!(health, serde_json::json!({ "ok": true }));
    let status: Status = world.get(STATUS).await.unwrap();
    assert_eq!((status.pid, status.started_ms), (std::process::id(), 1_790_000_000_000));
    let authority = status.authority.unwrap();
    assert!(authority.root_key_online && authority.fault.is_none());
    assert_eq!((authority.registrations, authority.open_tokens), (1, 0));
    let all: Inventory = world.get(LIST).await.unwrap();
    assert_eq!(all.registrations[0].name, "orders");
    assert_eq!(all.registrations[0].addresses, ["10.0.0.5:7443"]);
    assert!(all.certificates.is_empty());
    let ledger: LedgerAnswer = world.get(LEDGER).await.unwrap();
    assert!(ledger.lines >= 2 && ledger.head.len() == 64, "{ledger:?}");
    // Not JSON, so the client cannot read it; it is there.
    let metrics = world.get::<serde_json::Value>(METRICS).await.unwrap_err();
    assert!(sentence(&metrics).contains("not of the form"), "{metrics:?}");
    world.end().await;
}

#[tokio::test]
async fn a_token_registers_its_name_and_tells_where_the_authority_is() {
    let world = World::new(true, BOUNDS).await;
    let answer = world.token(request("app")).await.unwrap();
    let token = Token::parse(&answer.token).unwrap();
    assert_eq!((token.name.as_str(), answer.profile.as_str()), ("app", "client"));
    assert_eq!(token.addresses, ["10.0.0.5:7444"]);
    let left = token.expires - jiff::Timestamp::now().as_second();
    assert!((1790..=1800).contains(&left), "{left}");
    assert!(!format!("{answer:?}").contains(&answer.token));

    // What is said anew of a known name is kept, the rest stays.
    let services = Some(vec!["orders".to_owned()]);
    let meant = TokenRequest { services, ttl_seconds: Some(7200), ..request("app") };
    let second = world.token(meant).await.unwrap();
    assert!(second.expires > answer.expires + 5000);
    world.token(request("app")).await.unwrap();
    let all: Inventory = world.get(LIST).await.unwrap();
    let app = all.registrations.iter().find(|row| row.name == "app").unwrap();
    assert_eq!(app.services, ["orders"]);
    world.end().await;
}

#[tokio::test]
async fn a_token_that_cannot_be_meant_is_refused_with_a_sentence() {
    let world = World::new(true, BOUNDS).await;
    world.token(request("app")).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (request("../app"), "`../app` is not a name"),
        (request("segwan/authority"), "`segwan/authority` is not a name"),
        (TokenRequest { profile: some("authority"), ..request("b") }, "is no profile"),
        (TokenRequest { profile: some("peer"), ..request("app") }, "is registered as a client"),
        (TokenRequest { ttl_seconds: Some(299), ..request("app") }, "for 5 min to 24 h"),
        (TokenRequest { ttl_seconds: Some(86_401), ..request("app") }, "for 5 min to 24 h"),
        (TokenRequest { ttl_seconds: Some(u64::MAX), ..request("app") }, "for 5 min to 24 h"),
        (
            TokenRequest { services: Some(vec!["nowhere".to_owned()]), ..request("app") },
            "no service is called `nowhere`",
        ),
        (
            TokenRequest { addresses: Some(vec!["nowhere".to_owned()]), ..request("app") },
            "1 to 4 times `host:port`",
        ),
        (TokenRequest { addresses: Some(Vec::new()), ..request("app") }, "1 to 4 times"),
    ];
    for (asked, expected) in cases {
        let refused = world.token(asked.clone()).await.unwrap_err();
        assert!(sentence(&refused).contains(expected), "{asked:?}: {refused:?}");
        assert_eq!(refused.exit(), Exit::Refused);
    }
    let status: Status = world.get(STATUS).await.unwrap();
    let authority = status.authority.unwrap();
    assert_eq!((authority.registrations, authority.open_tokens), (2, 1));
    let unknown = serde_json::json!({ "name": "app", "more": 1 });
    let refused = world.post::<TokenAnswer>(TOKEN, unknown).await.unwrap_err();
    assert!(sentence(&refused).contains("unknown field"), "{refused:?}");
    world.end().await;
}

#[tokio::test]
async fn a_process_without_authority_says_so() {
    let world = World::new(false, BOUNDS).await;
    let refused = world.token(request("app")).await.unwrap_err();
    let (sentence, hint) = refused.sentence().unwrap();
    assert_eq!(sentence, "no Authority runs in this process");
    assert!(hint.is_some());
    world.end().await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let world = World::new(true, BOUNDS).await;
    let large = TokenRequest { name: "x".repeat(2 << 20), ..TokenRequest::default() };
    let refused = world.token(large).await.unwrap_err();
    // The process may have closed before all of it was sent.
    let sentence = sentence(&refused);
    assert!(sentence.contains("1 MiB") || sentence.contains("broke off"), "{sentence}");
    assert!(world.get::<serde_json::Value>(HEALTH).await.is_ok());
    world.end().await;
}

#[tokio::test]
async fn who_connects_and_stays_silent_is_dropped() {
    let short = Duration::from_secs(1);
    let world = World::new(false, Bounds { head: short, body: short, ..BOUNDS }).await;
    let mut on_address = TcpStream::connect(&world.address).await.unwrap();
    let mut on_socket = UnixStream::connect(&world.socket).await.unwrap();
    // One that begins, and one that never sends the body it announced.
    on_address.write_all(b"GET /hea").await.unwrap();
    let mut half = UnixStream::connect(&world.socket).await.unwrap();
    half.write_all(b"POST /v1/explain HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{")
        .await
        .unwrap();
    let mut heard = Vec::new();
    timeout(SOON, on_address.read_to_end(&mut heard)).await.unwrap().unwrap();
    timeout(SOON, on_socket.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&heard).contains(" 200 "));
    heard.clear();
    let _ = timeout(SOON, half.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&heard));
    world.end().await;
}

#[tokio::test]
async fn connections_over_the_limit_are_dropped_and_do_not_reach_the_operator() {
    let world = World::new(false, BOUNDS).await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(TcpStream::connect(&world.address).await.unwrap());
    }
    let mut one_more = TcpStream::connect(&world.address).await.unwrap();
    let mut heard = Vec::new();
    let ended = timeout(SOON, one_more.read_to_end(&mut heard)).await.unwrap();
    assert!(ended.is_err() || heard.is_empty());
    assert!(world.get::<serde_json::Value>(HEALTH).await.is_ok());
    world.end().await;
}

#[tokio::test]
async fn a_state_that_nobody_serves_is_named() {
    let world = World::new(false, BOUNDS).await;
    let state = world.parent.path().join("other");
    let socket = state.join("run/admin.sock");
    let stale = world.socket.clone();
    world.stop.cancel();
    timeout(SOON, world.served).await.unwrap().unwrap();
    for socket in [socket, stale] {
        assert!(!client::is_served(&socket));
        let asked = tokio::task::spawn_blocking(move || client::get::<Status>(&socket, STATUS));
        let refused = asked.await.unwrap().unwrap_err();
        assert!(sentence(&refused).starts_with("no process serves `"), "{refused:?}");
        assert_eq!(refused.exit(), Exit::CannotStart);
    }
}

#[tokio::test]
async fn a_name_is_registered_revoked_and_enabled_over_the_socket() {
    let world = World::new(true, BOUNDS).await;
    let mut said = Registering::new("edge", Profile::Service);
    said.max_lineages = Some(50);
    said.on_reenroll = Some("add".to_owned());
    let made: RegistrationView = world.post(wire::REGISTER, said.clone()).await.unwrap();
    assert_eq!((made.max_lineages, made.on_reenroll.as_str()), (50, "add"));
    // PKI-18: what the issuing certificate does not allow is refused when it is written.
    said.dns = Some(vec!["edge.elsewhere.example".to_owned()]);
    let refused = world.post::<RegistrationView>(wire::REGISTER, said).await.unwrap_err();
    assert!(sentence(&refused).contains("outside the issuing certificate's constraints"));

    world.token(request("edge")).await.unwrap();
    let tokens: Vec<wire::TokenView> = world.get(wire::TOKENS).await.unwrap();
    assert_eq!((tokens.len(), tokens[0].name.as_str()), (1, "edge"));
    let what = |what: &str| RevokeRequest { what: what.to_owned(), ..RevokeRequest::default() };
    let answer: RevokeAnswer = world.post(REVOKE, what("edge")).await.unwrap();
    assert_eq!((answer.seq, answer.tokens, answer.disabled.as_deref()), (0, 1, Some("edge")));
    let history: wire::History = world.get("/v1/ca/show?what=edge").await.unwrap();
    assert!(!history.registration.enabled && history.certificates.is_empty());
    let refused = world.token(request("edge")).await.unwrap_err();
    assert!(sentence(&refused).contains("it is disabled"), "{refused:?}");
    let whose = wire::Whose { what: "edge".to_owned() };
    let made: RegistrationView = world.post(wire::ENABLE, whose).await.unwrap();
    assert!(made.enabled);

    for (asked, expected) in [
        (what("nobody"), "no registration is called `nobody`"),
        (what("serial:40c3"), "no certificate in force has the serial number `40c3`"),
        (what("serial:xyz"), "names no serial number"),
        (what("token:0000"), "no open token is called `0000`"),
        (what("color:red"), "`color:` is unknown"),
        (what("before:yesterday"), "`yesterday` is no time"),
        (what("before:2030-01-01T00:00:00Z"), "certificates would be revoked; the number was not"),
        (what("spiffe://elsewhere.example/app"), "is not of the trust domain"),
        (RevokeRequest { reason: Some("anger".to_owned()), ..what("edge") }, "is no reason"),
        (RevokeRequest { wait_ms: Some(60_001), ..what("edge") }, "up to a minute"),
    ] {
        let refused = world.post::<RevokeAnswer>(REVOKE, asked.clone()).await.unwrap_err();
        assert!(sentence(&refused).contains(expected), "{asked:?} {refused:?}");
    }
    let refused = world.get::<wire::SpreadAnswer>(wire::REVOCATION).await.unwrap_err();
    assert!(sentence(&refused).contains("nothing was revoked"), "{refused:?}");
    let refused = world.get::<Inventory>("/v1/ca/list?view=all").await.unwrap_err();
    assert!(sentence(&refused).contains("the query is not well-formed"), "{refused:?}");
    world.end().await;
}
