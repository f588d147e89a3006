//! `World`: a gateway in this process, with the limits and rules of one test, and its record.

use crate::peer::Peer;
use crate::pki::{DOMAIN, Leaf, Pki};
use crate::{SLACK, eventually};
use segwan::tls::trust::TrustState;
use segwan::{Credentials, Expected, TlsFloor, Trust};
use segwan_core::audit::{Event, EventKind};
use segwan_core::contract::Contract;
use segwan_core::limits::Limits;
use segwan_core::policy::{Policy, PolicySource};
use segwan_core::rejection::Reason;
use segwan_gateway::gateway::{
    CONTRACT_GRACE, Change, ClientPlan, GateStatus, Gateway, Inspection, ServicePlan, Swept, Tried,
    Upstream,
};
use segwan_gateway::record::Recorder;
use segwan_pki::certificate::Certificate;
use segwan_pki::key::sha256;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The article's contract, as it is shipped.
pub const ADD_TEN: &str = include_str!("../../examples/article/add-ten.toml");

/// `app` may do everything, `guest` may connect, nobody else may anything.
pub const POLICY: &str = r#"
@id("app-connects")
permit (principal == Peer::"spiffe://shop.test/app", action == Action::"connect",
        resource == Service::"calculator");
@id("guest-connects")
permit (principal == Peer::"spiffe://shop.test/guest", action == Action::"connect",
        resource == Service::"calculator");
"#;
const APP: &str = r#"
@id("app-adds")
permit (principal == Peer::"spiffe://shop.test/app", action == Action::"add",
        resource == Service::"calculator");
"#;

/// A running gateway, and whom it believes. It ends when it is dropped.
pub struct World {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who may connect.
    pub app: Leaf,
    /// Whose root is believed.
    pub pki: Arc<Pki>,
    /// Whom it believes, as it may be changed.
    pub trust: Arc<Trust>,
    /// What it shows, as it may be replaced.
    pub credentials: Arc<Credentials>,
    gateway: Option<Gateway>,
    /// What is in force, as a reload changes it.
    in_force: Mutex<Change>,
    events: Arc<Mutex<Vec<Event>>>,
    writer: Option<JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

/// What a world is to be.
pub struct Plan {
    pki: Arc<Pki>,
    contract: Option<String>,
    beside: Option<String>,
    /// Where the contracts' schemas are.
    schemas: Option<PathBuf>,
    limits: Limits,
    tls: TlsFloor,
    threads: usize,
    contract_grace: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self::raw()
    }
}

impl Plan {
    /// A gateway that looks at no byte.
    #[must_use]
    pub fn raw() -> Self {
        Self {
            pki: Arc::new(Pki::new()),
            contract: None,
            beside: None,
            schemas: None,
            limits: Limits::default(),
            tls: TlsFloor::V13,
            threads: 2,
            contract_grace: CONTRACT_GRACE,
        }
    }

    /// A gateway under a contract.
    #[must_use]
    pub fn under(contract: &str) -> Self {
        Self { contract: Some(contract.to_owned()), ..Self::raw() }
    }

    /// Under the article's contract.
    #[must_use]
    pub fn add_ten() -> Self {
        Self::under(ADD_TEN)
    }

    /// Under the article's contract, without a rate and with as many refusals as one likes.
    #[must_use]
    pub fn patient_add_ten() -> Self {
        let rate = ADD_TEN.lines().find(|line| line.starts_with("rate")).unwrap_or_default();
        let text = ADD_TEN.replace(rate, "refusals = 10000").replace(", max = 3", ", max = 10000");
        // Its vectors say what the shipped one does at the fourth refusal.
        let vectors = text.find("[[test]]").unwrap_or(text.len());
        Self::under(&text[..vectors])
    }

    /// With another contract tried beside, under the same policy.
    #[must_use]
    pub fn trying(mut self, contract: &str) -> Self {
        self.beside = Some(contract.to_owned());
        self
    }

    /// With contracts that name schemas of this folder.
    #[must_use]
    pub fn schemas_in(mut self, folder: &Path) -> Self {
        self.schemas = Some(folder.to_owned());
        self
    }

    /// With other limits.
    #[must_use]
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Under a contract that, once replaced, goes on for so long.
    #[must_use]
    pub fn contract_grace(self, contract_grace: Duration) -> Self {
        Self { contract_grace, ..self }
    }

    /// With TLS 1.2.
    #[must_use]
    pub fn tls_12(mut self) -> Self {
        self.tls = TlsFloor::V12;
        self
    }

    /// Whose root is believed.
    #[must_use]
    pub fn pki(&self) -> Arc<Pki> {
        self.pki.clone()
    }

    /// Believing another root than its own.
    #[must_use]
    pub fn believing(mut self, pki: Arc<Pki>) -> Self {
        self.pki = pki;
        self
    }

    /// Starts it before a plain service.
    ///
    /// # Panics
    /// If something of it is wrong.
    #[must_use]
    pub fn before(self, upstream: SocketAddr) -> World {
        let inspection = self.inspection();
        let beside = self.beside.as_deref().map(|text| {
            let contract = self.loaded(text);
            let policy = Arc::new(policy(Some(&contract)));
            Tried { contract, policy }
        });
        let policy = policy(inspection.contract().map(|contract| &**contract));
        let trust = self.pki.trust();
        let credentials = self.pki.service("calculator").credentials();
        let plan = ServicePlan {
            name: "calculator".to_owned(),
            listen: loopback(),
            upstream: Upstream::Tcp(upstream),
            inspection,
            beside,
            policy: Arc::new(policy),
            record_cleared: false,
            limits: self.limits.clone(),
            contract_grace: self.contract_grace,
            credentials: credentials.clone(),
            trust: trust.clone(),
            tls: self.tls,
            seen: None,
        };
        self.start(vec![plan], Vec::new(), (credentials, trust))
    }

    /// Starts a client half towards a TLS server that must be `calculator`.
    ///
    /// # Panics
    /// If something of it is wrong.
    #[must_use]
    pub fn towards(self, far: SocketAddr) -> World {
        let trust = self.pki.trust();
        let credentials = self.pki.client("app").credentials();
        let expected = format!("spiffe://{DOMAIN}/calculator").parse().expect("an identity");
        let plan = ClientPlan {
            name: "calculator".to_owned(),
            listen: loopback(),
            connect: vec![far.to_string()],
            expected: Expected::one(expected),
            inspection: self.inspection(),
            limits: self.limits.clone(),
            contract_grace: self.contract_grace,
            credentials: credentials.clone(),
            trust: trust.clone(),
            tls: self.tls,
        };
        self.start(Vec::new(), vec![plan], (credentials, trust))
    }

    fn inspection(&self) -> Inspection {
        self.contract.as_deref().map_or(Inspection::Raw, |text| Inspection::by(self.loaded(text)))
    }

    fn loaded(&self, text: &str) -> Arc<Contract> {
        let read = |name: &str| match &self.schemas {
            Some(folder) => {
                std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())
            }
            None => Err("there is no other file".to_owned()),
        };
        let loaded = Contract::load("contract.toml", text, &read);
        loaded.map_err(|findings| segwan::report(&findings)).expect("a contract").0
    }

    fn start(
        self,
        services: Vec<ServicePlan>,
        clients: Vec<ClientPlan>,
        (credentials, trust): (Arc<Credentials>, Arc<Trust>),
    ) -> World {
        let in_force = Mutex::new(match (services.first(), clients.first()) {
            (Some(plan), _) => Change {
                table: plan.name.clone(),
                inspection: plan.inspection.clone(),
                beside: plan.beside.clone(),
                policy: Some(plan.policy.clone()),
                record_cleared: plan.record_cleared,
                limits: plan.limits.clone(),
                contract_grace: plan.contract_grace,
            },
            (None, Some(plan)) => Change {
                table: plan.name.clone(),
                inspection: plan.inspection.clone(),
                beside: None,
                policy: None,
                record_cleared: false,
                limits: plan.limits.clone(),
                contract_grace: plan.contract_grace,
            },
            (None, None) => unreachable!("a world has a table"),
        });
        let (recorder, queue) = Recorder::new(64 * 1024);
        let events = Arc::new(Mutex::new(Vec::new()));
        let writer = {
            let events = events.clone();
            std::thread::spawn(move || {
                for event in queue {
                    events.lock().expect("a list").push(event);
                }
            })
        };
        let gateway = Gateway::start(services, clients, &recorder, self.threads).expect("a start");
        let address = gateway.addresses().first().expect("a listener").1;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        World {
            address,
            app: self.pki.client("app"),
            pki: self.pki,
            trust,
            credentials,
            gateway: Some(gateway),
            in_force,
            events,
            writer: Some(writer),
            runtime: runtime.expect("a runtime"),
        }
    }
}

/// A contract.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn loaded(text: &str) -> Arc<Contract> {
    let alone = |_: &str| Err("there is no other file".to_owned());
    let loaded = Contract::load("contract.toml", text, &alone);
    loaded.map_err(|findings| segwan::report(&findings)).expect("a contract").0
}

fn policy(contract: Option<&Contract>) -> Policy {
    let adds = contract.is_some_and(|it| it.actions().iter().any(|action| action.name == "add"));
    let text = if adds { format!("{POLICY}{APP}") } else { POLICY.to_owned() };
    policy_of(contract, text)
}

/// A policy of `calculator` under a contract.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn policy_of(contract: Option<&Contract>, text: String) -> Policy {
    let actions = contract.map(Contract::actions).unwrap_or_default();
    let policy = PolicySource { file: "calculator.cedar".to_owned(), text };
    let compiled = Policy::compile("calculator", &actions, &[], &[policy]);
    compiled.map_err(|findings| segwan::report(&findings)).expect("a policy").0
}

impl World {
    /// A connection of `app`.
    #[must_use]
    pub fn app(&self) -> Peer {
        Peer::connect(self.address, Some(&self.app))
    }

    /// A connection of `guest`, who may connect and nothing else.
    #[must_use]
    pub fn guest(&self) -> Peer {
        Peer::connect(self.address, Some(&self.pki.client("guest")))
    }

    /// What is on record until now.
    ///
    /// # Panics
    /// If the writing thread did.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().expect("a list").clone()
    }

    /// Waits for `count` connections to have ended, by an event each; gives these.
    ///
    /// # Panics
    /// If there are more, or not as many in time.
    #[must_use]
    pub fn ended(&self, count: usize) -> Vec<Event> {
        let kinds = [EventKind::Closed, EventKind::Refused];
        let ended = || {
            let mut events = self.events();
            events.retain(|event| kinds.contains(&event.event));
            events
        };
        let what = format!("{count} ended connections");
        let found = eventually(&what, || Some(ended()).filter(|found| found.len() >= count));
        crate::pause(Duration::from_millis(20));
        assert_eq!(ended().len(), count, "one closing event each: {:#?}", ended());
        for event in &found {
            assert!(!names_a_type(&event.sentence), "{:?}", event.sentence);
        }
        found
    }

    /// Waits for the only connection to have ended; why it did, and the sentence.
    ///
    /// # Panics
    /// If there was another, or it does not end in time.
    #[must_use]
    pub fn ending(&self) -> (Option<Reason>, String) {
        let ended = self.ended(1);
        (ended[0].reason, ended[0].sentence.clone())
    }

    /// Why messages were refused, in their order.
    #[must_use]
    pub fn rejections(&self) -> Vec<Reason> {
        let events = self.events();
        let rejected = events.iter().filter(|event| event.event == EventKind::Rejected);
        rejected.filter_map(|event| event.reason).collect()
    }

    /// The numbers of the listener.
    ///
    /// # Panics
    /// After the world stopped.
    #[must_use]
    pub fn status(&self) -> GateStatus {
        self.gateway().status(1000).remove(0)
    }

    /// Lets connections end for at most `wait`; whether all did.
    #[must_use]
    pub fn drain(&self, wait: Duration) -> bool {
        self.runtime.block_on(self.gateway().drain(wait))
    }

    /// Ends every connection now.
    pub fn cut(&self) {
        self.runtime.block_on(self.gateway().cut());
    }

    /// Revokes the key of a certificate, for whoever is judged from now on.
    ///
    /// # Panics
    /// If it is no certificate.
    pub fn withdraw(&self, leaf: &Leaf) {
        let (chain, _) = leaf.parts();
        let read = Certificate::read(&chain[0]).expect("a certificate");
        let revoke = |state: &mut TrustState| {
            let set = Arc::make_mut(&mut state.revoked);
            set.insert_key(sha256(&read.public_key)).expect("room");
        };
        self.trust.change(revoke).expect("a state");
    }

    /// Tables that let nobody in.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        self.gateway().not_ready()
    }

    /// Judges every live connection again.
    #[must_use]
    pub fn sweep(&self) -> Swept {
        self.runtime.block_on(self.gateway().sweep(&self.trust))
    }

    /// Has something else in force, as a reload does; comes back when nothing is decided by what
    /// was before.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn reload(&self, change: impl FnOnce(&mut Change)) -> Swept {
        let mut in_force = self.in_force.lock().expect("what is in force");
        change(&mut in_force);
        let prepared = self.gateway().prepare(vec![in_force.clone()]).expect("a change");
        self.runtime.block_on(self.gateway().install(prepared))
    }

    /// Has another contract in force.
    ///
    /// # Panics
    /// If it is none.
    pub fn reload_contract(&self, text: &str) -> Swept {
        self.reload(|change| change.inspection = Inspection::by(loaded(text)))
    }

    /// Waits until nothing is connected.
    ///
    /// # Panics
    /// If something stays.
    pub fn empty(&self) {
        eventually("an empty listener", || {
            let counts = self.status().counts;
            (counts.connections == 0 && counts.handshakes == 0).then_some(())
        });
    }

    /// Shows that a good peer is served meanwhile. That it is within a second is measured of the
    /// binary (`tests/interop/test_attacks.py`), where a slow machine can be given another try.
    ///
    /// # Panics
    /// If it is not.
    pub fn serves(&self) {
        let began = std::time::Instant::now();
        let mut good = self.app();
        good.say(b"5\n");
        let heard = good.hear(2).text();
        assert!(heard == "15\n" || heard == "5\n", "{heard:?}");
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
        good.close_notify().hear_all();
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("a running gateway")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.gateway.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// What must not be in any byte that a peer gets: words of the inside.
///
/// # Panics
/// If one of them is.
pub fn says_nothing_of_the_inside(wire: &[u8]) {
    let text = String::from_utf8_lossy(wire).to_ascii_lowercase();
    let words = Reason::ALL.iter().map(|reason| reason.as_str());
    let words = words.filter(|word| word.contains('_') || word.len() > 8);
    for word in
        words.chain(["segwan", "policy", "app-connects", "rustls", "cedar", "/work/", "127.0.0.1"])
    {
        assert!(!text.contains(word), "a peer reads `{word}` in {text:?}");
    }
}

/// Whether a sentence holds a name out of the code, such as `InvalidContentType`.
fn names_a_type(sentence: &str) -> bool {
    let name = |word: &str| {
        let letters = word.as_bytes();
        letters.first().is_some_and(u8::is_ascii_uppercase)
            && letters.windows(2).any(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase())
    };
    sentence.split(|letter: char| !letter.is_ascii_alphanumeric()).any(name)
}

/// A free loopback port.
#[must_use]
pub fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
