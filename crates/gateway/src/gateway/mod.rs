//! `Gateway`: everything that listens, started as one and stopped as one.
//!
//! Each worker thread has a runtime of its own and a listening socket of each table, so a
//! connection lives and dies on one thread.

mod account;
mod connection;
mod end;
mod listener;
mod live;
mod relay;
mod setting;
mod shadow;
mod upstream;

use crate::capture::Capture;
use crate::record::Recorder;
use arc_swap::ArcSwap;
use live::{Examined, Live, Order, Registry};
use segwan::agent::Sightings;
use segwan::{Acceptor, Connector, Credentials, Expected, TlsFloor, Trust};
use segwan_core::contract::Contract;
use segwan_core::contract::accounts::Accounts;
use segwan_core::limits::Limits;
use segwan_core::now::Now;
use segwan_core::policy::Policy;
use setting::Setting;
use shadow::Desk;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use live::{Counts, LiveStatus, Replaced};
pub use setting::{CONTRACT_GRACE, Change};
pub(crate) use shadow::HIDDEN;
pub use shadow::Tried;
pub use upstream::{Upstream, UpstreamError};

/// What is looked at in the messages of a connection.
#[derive(Clone)]
pub enum Inspection {
    /// Nothing: bytes pass as they are.
    Raw,
    /// Nothing, and what passes is recorded for a contract to be drafted from it.
    Recorded(Arc<Capture>),
    /// Every message, in both directions.
    Contract(Arc<Contract>),
    /// Bytes pass as they are; a copy of every message is judged, for the record.
    Shadow(Arc<Contract>),
}

impl Inspection {
    /// What binding this contract means: its `mode` decides.
    #[must_use]
    pub fn by(contract: Arc<Contract>) -> Self {
        if contract.is_shadow() { Self::Shadow(contract) } else { Self::Contract(contract) }
    }

    /// The contract that messages are judged by, enforced or not; none where nothing is looked at.
    #[must_use]
    pub fn contract(&self) -> Option<&Arc<Contract>> {
        match self {
            Self::Raw | Self::Recorded(_) => None,
            Self::Contract(contract) | Self::Shadow(contract) => Some(contract),
        }
    }

    /// Where what passes is recorded, if it is.
    #[must_use]
    pub fn capture(&self) -> Option<&Arc<Capture>> {
        match self {
            Self::Recorded(capture) => Some(capture),
            Self::Raw | Self::Contract(_) | Self::Shadow(_) => None,
        }
    }

    /// Whether it is only tried.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        matches!(self, Self::Shadow(_))
    }
}

/// What is said beside the name of a contract that is only tried.
pub const NOT_ENFORCED: &str = "shadow, not enforced";

/// What is said behind what is in force, of a contract that is tried beside it.
#[must_use]
pub fn and_beside(contract: Option<&str>) -> String {
    contract.map(|name| format!("; beside it {name} ({NOT_ENFORCED})")).unwrap_or_default()
}

/// A protected service: TLS and an identity outside, a plain service behind.
pub struct ServicePlan {
    /// Name of its table.
    pub name: String,
    /// Where peers connect.
    pub listen: SocketAddr,
    /// Where the service is.
    pub upstream: Upstream,
    /// What is looked at.
    pub inspection: Inspection,
    /// What is tried beside it, on copies. Default nothing.
    pub beside: Option<Tried>,
    /// Who may connect, and who may do what.
    pub policy: Arc<Policy>,
    /// Also record every message that is let through.
    pub record_cleared: bool,
    /// Waits and numbers.
    pub limits: Limits,
    /// How long connections under a contract that a reload replaces go on. Default 5 min.
    pub contract_grace: Duration,
    /// What it shows.
    pub credentials: Arc<Credentials>,
    /// Whom it believes.
    pub trust: Arc<Trust>,
    /// Least TLS version.
    pub tls: TlsFloor,
    /// Where certificates of peers that were let in are noted, if anybody wants to know.
    pub seen: Option<Arc<Sightings>>,
}

/// A client half: a plain client inside, TLS and an identity towards the far side.
pub struct ClientPlan {
    /// Name of its table.
    pub name: String,
    /// Where the plain client connects.
    pub listen: SocketAddr,
    /// Where the far side is: `host:port`, tried in this order.
    pub connect: Vec<String>,
    /// Who the far side must be.
    pub expected: Expected,
    /// What is looked at.
    pub inspection: Inspection,
    /// Waits and numbers.
    pub limits: Limits,
    /// How long connections under a contract that a reload replaces go on. Default 5 min.
    pub contract_grace: Duration,
    /// What it shows.
    pub credentials: Arc<Credentials>,
    /// Whom it believes.
    pub trust: Arc<Trust>,
    /// Least TLS version.
    pub tls: TlsFloor,
}

/// One table at work.
struct Gate {
    name: String,
    mode: Mode,
    /// What a reload can change. It is changed under the lock of the registry alone, so that a
    /// connection is registered under what is in force, or its sweep sees it.
    setting: ArcSwap<Setting>,
    /// What its clients have used up, once there was a contract.
    accounts: Mutex<Option<Arc<Accounts>>>,
    credentials: Arc<Credentials>,
    trust: Arc<Trust>,
    seen: Option<Arc<Sightings>>,
    registry: Arc<Registry>,
    recorder: Recorder,
}

/// What a look at live connections found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Connections that were judged again.
    pub examined: usize,
    /// Those that were ended.
    pub closed: u64,
    /// How long it took, until nothing passed through them any more.
    pub took: Duration,
    /// Tables whose connections could not be judged: all of these were ended.
    pub failed: Vec<String>,
}

enum Mode {
    Service { acceptor: Acceptor, upstream: Upstream },
    Client { connector: Connector, connect: Vec<String> },
}

/// A running gateway.
pub struct Gateway {
    gates: Vec<(Arc<Gate>, SocketAddr)>,
    accepting: CancellationToken,
    running: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    /// Where each of them can be given something to do.
    runtimes: Vec<Handle>,
    /// Where copies are handed in, and the thread that looks at them, once something is tried.
    judge: Mutex<Option<(Desk, JoinHandle<()>)>>,
    /// Most connections of one table.
    share: usize,
}

/// What a reload puts in force: each part was read and checked, and nothing of it can fail.
#[must_use = "it is not in force before it is installed"]
pub struct Prepared(Vec<(Arc<Gate>, Setting)>);

/// One table, as `segwan status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateStatus {
    /// Name of the table.
    pub name: String,
    /// `service` or `client`.
    pub mode: &'static str,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it leads.
    pub to: String,
    /// Name of the contract; none for `contract = "raw"`.
    pub contract: Option<String>,
    /// The first 16 digits of its hash.
    pub contract_hash: Option<String>,
    /// Whether what passes is recorded.
    pub recorded: bool,
    /// The contract is tried, and not enforced.
    pub shadow: bool,
    /// Name of the contract that is tried beside what is in force.
    pub beside: Option<String>,
    /// What the contract lets pass uninspected, and why.
    pub uninspected: Option<String>,
    /// Its numbers.
    pub counts: Counts,
}

impl Gateway {
    /// Binds every address, or none, and serves on `threads` threads.
    ///
    /// # Errors
    /// If an address cannot be bound or TLS refuses the settings; then nothing listens.
    pub fn start(
        services: Vec<ServicePlan>,
        clients: Vec<ClientPlan>,
        recorder: &Recorder,
        threads: usize,
    ) -> io::Result<Self> {
        let threads = threads.max(1);
        let share = descriptors() / (services.len() + clients.len()).max(1);
        let mut gateway = Self {
            gates: Vec::new(),
            accepting: CancellationToken::new(),
            running: CancellationToken::new(),
            threads: Vec::new(),
            runtimes: Vec::new(),
            judge: Mutex::default(),
            share,
        };
        let mut sockets = Vec::new();
        for plan in services {
            let (listeners, address) = bind(&plan.name, plan.listen, threads)?;
            let gate = gateway.service(plan, recorder)?;
            gateway.gates.push((Arc::new(gate), address));
            sockets.push(listeners);
        }
        for plan in clients {
            let (listeners, address) = bind(&plan.name, plan.listen, threads)?;
            let gate = gateway.client(plan, recorder)?;
            gateway.gates.push((Arc::new(gate), address));
            sockets.push(listeners);
        }
        for number in 0..threads {
            let mine = sockets.iter_mut().filter_map(Vec::pop);
            let work = gateway.gates.iter().map(|(gate, _)| gate.clone()).zip(mine).collect();
            gateway.spawn(number, work)?;
        }
        Ok(gateway)
    }

    /// Where each table listens, with the port that port 0 became.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.gates.iter().map(|(gate, address)| (gate.name.clone(), *address)).collect()
    }

    /// A look at every table, with at most `list` live connections of each.
    #[must_use]
    pub fn status(&self, list: usize) -> Vec<GateStatus> {
        let status = |(gate, address): &(Arc<Gate>, SocketAddr)| {
            let (mode, to) = match &gate.mode {
                Mode::Service { upstream, .. } => ("service", upstream.to_string()),
                Mode::Client { connect, .. } => ("client", connect.join(", ")),
            };
            let setting = gate.setting.load();
            let Setting { inspection, beside, .. } = &**setting;
            GateStatus {
                name: gate.name.clone(),
                mode,
                listen: *address,
                to,
                contract: inspection.contract().map(|contract| contract.name().to_owned()),
                contract_hash: inspection.contract().map(|of| of.short_hash().to_owned()),
                recorded: inspection.capture().is_some(),
                shadow: inspection.is_shadow(),
                beside: beside.as_ref().map(|tried| tried.contract.name().to_owned()),
                uninspected: inspection.contract().and_then(|of| of.uninspected()),
                counts: gate.registry.counts(list),
            }
        };
        self.gates.iter().map(status).collect()
    }

    /// Judges again every live connection under this trust, and ends those whose peer is not
    /// believed any more (`trust.md` section 4).
    pub async fn sweep(&self, trust: &Arc<Trust>) -> Swept {
        let began = Instant::now();
        let mut swept = Swept::default();
        for (gate, _) in &self.gates {
            if !Arc::ptr_eq(&gate.trust, trust) {
                continue;
            }
            let judge = |live: &Live| {
                let peer = live.peer()?;
                trust.judge_again(peer, live::unix_ms() / 1000)
            };
            swept.add(gate, gate.registry.sweep(judge).await);
        }
        swept.took = began.elapsed();
        swept
    }

    /// Makes ready what a reload puts in force; what it does not name stays as it is. Contracts go on
    /// with the accounts of their table.
    ///
    /// # Errors
    /// If there is no such table, or a thread that is needed cannot be started.
    pub fn prepare(&self, changes: Vec<Change>) -> io::Result<Prepared> {
        let prepared = |change: Change| {
            let missing = || io::Error::other(format!("there is no table `{}`", change.table));
            let gate = self.gate(&change.table).ok_or_else(missing)?.clone();
            if let (Some(accounts), Some(contract)) =
                (self.accounts(&change.table), change.inspection.enforced())
            {
                contract.continue_with(&accounts);
            }
            let desk = self.desk_of(&change)?;
            Ok((gate, Setting::new(change, self.share, desk)))
        };
        changes.into_iter().map(prepared).collect::<io::Result<_>>().map(Prepared)
    }

    /// Puts in force what was prepared, and comes back when nothing is decided by what was in force
    /// before: neither in a message that is looked at now, nor at a connection that would not be let
    /// in any more.
    pub async fn install(&self, prepared: Prepared) -> Swept {
        let began = Instant::now();
        let mut judged = Vec::new();
        for (gate, setting) in prepared.0 {
            let gate_judges = gate.put_in_force(setting);
            judged.extend(gate_judges.then_some(gate));
        }
        self.settled().await;
        let mut swept = Swept::default();
        for gate in judged {
            let Some(policy) = gate.setting.load().policy.clone() else { continue };
            let judge = |live: &Live| {
                let (peer, facts) = live.admitted()?;
                let now = Now { instant: Instant::now(), unix_ms: live::unix_ms() };
                let denial = policy.admit(peer.clone(), facts.clone(), now).err()?;
                Some((denial.reason, denial.sentence))
            };
            swept.add(&gate, gate.registry.sweep(judge).await);
        }
        swept.took = began.elapsed();
        swept
    }

    /// Waits until every thread has ended what it was doing, for a while.
    async fn settled(&self) {
        let turns: Vec<_> = self.runtimes.iter().map(|thread| thread.spawn(async {})).collect();
        let all = async {
            for turn in turns {
                let _ = turn.await;
            }
        };
        let _ = tokio::time::timeout(LAST, all).await;
    }

    /// What the clients of a table have used up, once it had a contract.
    #[must_use]
    pub fn accounts(&self, table: &str) -> Option<Arc<Accounts>> {
        lock(&self.gate(table)?.accounts).clone()
    }

    /// Whether it ends, so that nothing of it is changed any more.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.accepting.is_cancelled()
    }

    fn gate(&self, table: &str) -> Option<&Arc<Gate>> {
        self.gates.iter().map(|(gate, _)| gate).find(|gate| gate.name == table)
    }

    /// Where copies are handed in, for a table that tries something.
    fn desk_of(&self, change: &Change) -> io::Result<Option<Desk>> {
        if change.beside.is_none() && !change.inspection.is_shadow() {
            return Ok(None);
        }
        let mut judge = lock(&self.judge);
        if let Some((desk, _)) = &*judge {
            return Ok(Some(desk.clone()));
        }
        let (desk, thread) = Desk::start()?;
        *judge = Some((desk.clone(), thread));
        Ok(Some(desk))
    }

    /// Tables that let nobody in, because their own certificate has ended.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let now = live::unix_ms() / 1000;
        let over = self.gates.iter().filter(|(gate, _)| gate.expired(now).is_some());
        over.map(|(gate, _)| gate.name.clone()).collect()
    }

    /// Accepts no more, and waits for connections to end; whether all did within `wait`.
    pub async fn drain(&self, wait: Duration) -> bool {
        self.accepting.cancel();
        self.tell_all(Order::Drain);
        tokio::time::timeout(wait, self.empty()).await.is_ok()
    }

    /// Ends every connection now.
    pub async fn cut(&self) {
        self.accepting.cancel();
        self.tell_all(Order::Cut);
        let _ = tokio::time::timeout(LAST, self.empty()).await;
        self.running.cancel();
    }

    fn tell_all(&self, order: Order) {
        for (gate, _) in &self.gates {
            gate.registry.tell_all(order);
        }
    }

    async fn empty(&self) {
        for (gate, _) in &self.gates {
            gate.registry.empty().await;
        }
    }

    fn spawn(&mut self, number: usize, work: Vec<(Arc<Gate>, TcpListener)>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        self.runtimes.push(runtime.handle().clone());
        let accepting = self.accepting.clone();
        let running = self.running.clone();
        let gates: Vec<_> = work.iter().map(|(gate, _)| gate.clone()).collect();
        let serve = move || {
            runtime.block_on(async move {
                for (gate, listener) in work {
                    tokio::spawn(listener::run(gate, listener, accepting.clone()));
                }
                running.cancelled().await;
                // What was told to end may still say so.
                for gate in gates {
                    let _ = tokio::time::timeout(LAST, gate.registry.empty()).await;
                }
            });
        };
        let thread = std::thread::Builder::new().name(format!("segwan-{number}")).spawn(serve)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.accepting.cancel();
        self.tell_all(Order::Cut);
        self.running.cancel();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // With the last desk the judge has all that there is to look at.
        self.gates.clear();
        if let Some((desk, judge)) = lock(&self.judge).take() {
            drop(desk);
            let _ = judge.join();
        }
    }
}

impl Swept {
    fn add(&mut self, gate: &Gate, examined: Examined) {
        self.examined += examined.examined;
        self.closed += examined.closed;
        if examined.failed {
            self.failed.push(gate.name.clone());
        }
    }
}

impl Gate {
    /// Why nobody is let in, if the own certificate has ended at this second (Unix).
    fn expired(&self, now: i64) -> Option<String> {
        let over = now.saturating_sub(self.credentials.not_after());
        (over > 0).then(|| format!("the own certificate of `{}` ended {over} s ago", self.name))
    }

    fn new(
        parts: (String, Mode),
        setting: Setting,
        believes: (Arc<Credentials>, Arc<Trust>),
        seen: Option<Arc<Sightings>>,
        recorder: &Recorder,
    ) -> Self {
        let ((name, mode), (credentials, trust)) = (parts, believes);
        let accounts = setting.inspection.enforced().map(|contract| contract.accounts());
        Self {
            name,
            mode,
            accounts: Mutex::new(accounts),
            registry: Registry::new(Limits::clone(&setting.limits)),
            setting: ArcSwap::from_pointee(setting),
            credentials,
            trust,
            seen,
            recorder: recorder.clone(),
        }
    }

    /// Swaps what is in force in one step; whether live connections have to be admitted again.
    fn put_in_force(&self, mut setting: Setting) -> bool {
        let before = self.setting.load_full();
        let same = setting.enforces_the_same(&before);
        if same {
            setting.tenure = before.tenure.clone();
        } else if let Some(contract) = setting.inspection.enforced() {
            contract.come_into_force();
            lock(&self.accounts).get_or_insert_with(|| contract.accounts());
        }
        let is_same_policy = match (&before.policy, &setting.policy) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => true,
        };
        let setting = Arc::new(setting);
        self.registry.change(&setting.limits, || {
            if !same {
                before.give_way_to(&setting, Instant::now());
            }
            self.setting.store(setting.clone());
        });
        !is_same_policy
    }
}

impl Gateway {
    fn service(&self, plan: ServicePlan, recorder: &Recorder) -> io::Result<Gate> {
        let acceptor = Acceptor::new(plan.credentials.clone(), plan.trust.clone(), plan.tls)
            .map_err(io::Error::other)?;
        let change = Change {
            table: plan.name.clone(),
            inspection: plan.inspection,
            beside: plan.beside,
            policy: Some(plan.policy),
            record_cleared: plan.record_cleared,
            limits: plan.limits,
            contract_grace: plan.contract_grace,
        };
        let desk = self.desk_of(&change)?;
        let mode = Mode::Service { acceptor, upstream: plan.upstream };
        let setting = Setting::new(change, self.share, desk);
        let believes = (plan.credentials, plan.trust);
        Ok(Gate::new((plan.name, mode), setting, believes, plan.seen, recorder))
    }

    fn client(&self, plan: ClientPlan, recorder: &Recorder) -> io::Result<Gate> {
        let connector =
            Connector::new(plan.credentials.clone(), plan.trust.clone(), plan.expected, plan.tls)
                .map_err(io::Error::other)?;
        let change = Change {
            table: plan.name.clone(),
            inspection: plan.inspection,
            beside: None,
            policy: None,
            record_cleared: false,
            limits: plan.limits,
            contract_grace: plan.contract_grace,
        };
        let desk = self.desk_of(&change)?;
        let mode = Mode::Client { connector, connect: plan.connect };
        let setting = Setting::new(change, self.share, desk);
        Ok(Gate::new((plan.name, mode), setting, (plan.credentials, plan.trust), None, recorder))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bind(
    name: &str,
    address: SocketAddr,
    count: usize,
) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    listener::bind(address, count).map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::AddrInUse => "is in use already".to_owned(),
            io::ErrorKind::PermissionDenied => "needs a right that this user has not".to_owned(),
            io::ErrorKind::AddrNotAvailable => "is no address of this host".to_owned(),
            _ => format!("cannot be bound: {error}"),
        };
        io::Error::new(error.kind(), format!("`{name}`: address `{address}` {what}"))
    })
}

/// Raises the descriptors of this process to what it may have; half of them, less what the rest
/// needs, are connections.
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most.saturating_sub(128) / 2).unwrap_or(usize::MAX).max(1)
}

/// How long a cut may take to reach every connection.
const LAST: Duration = Duration::from_secs(2);
