mod callers;
mod enrolling;
mod listening;
mod renewing;

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
