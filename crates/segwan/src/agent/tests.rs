mod kept;
mod renewing;
mod silence;
mod told;

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
    let quiet = Duration::from_secs(2);
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

/// Whether a newcomer with a new certificate of this name would be let in, at a time.
async fn newcomer(world: &World, name: &str, agent: &Agent, at: i64) -> Option<Reason> {
    let request = certificate_request(&segwan_pki::key::PrivateKey::generate().unwrap()).unwrap();
    let issued = world.authority.issue_local(name, &request, now_ms()).await.unwrap();
    let chain: Vec<_> = issued.chain.into_iter().map(CertificateDer::from).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(at.try_into().unwrap()));
    let jury = Jury::of_clients(&agent.trust.whole(), agent.trust.rule());
    jury.judge(&chain[0], &chain[1..], at).err().map(|fault| fault.reason)
}
