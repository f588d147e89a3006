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
mod shadow;
mod upstream;

use crate::capture::Capture;
use crate::record::Recorder;
use live::{Examined, Order, Registry};
use segwan::agent::Sightings;
use segwan::{Acceptor, Connector, Credentials, Expected, TlsFloor, Trust};
use segwan_core::contract::Contract;
use segwan_core::limits::Limits;
use segwan_core::policy::Policy;
use shadow::Desk;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub use live::{Counts, LiveStatus};
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
    inspection: Inspection,
    beside: Option<Tried>,
    record_cleared: bool,
    limits: Limits,
    credentials: Arc<Credentials>,
    trust: Arc<Trust>,
    seen: Option<Arc<Sightings>>,
    registry: Arc<Registry>,
    recorder: Recorder,
    /// Where copies of what is said are looked at, if the contract is only tried.
    desk: Option<Desk>,
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
    Service { acceptor: Acceptor, upstream: Upstream, policy: Arc<Policy> },
    Client { connector: Connector, connect: Vec<String> },
}

/// A running gateway.
pub struct Gateway {
    gates: Vec<(Arc<Gate>, SocketAddr)>,
    accepting: CancellationToken,
    running: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    /// The one that looks at copies.
    judge: Option<JoinHandle<()>>,
}

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
        let beside = services.iter().any(|plan| plan.beside.is_some());
        let tried = services.iter().map(|plan| &plan.inspection);
        let mut tried = tried.chain(clients.iter().map(|plan| &plan.inspection));
        let (desk, judge) = if beside || tried.any(Inspection::is_shadow) {
            let (desk, judge) = Desk::start()?;
            (Some(desk), Some(judge))
        } else {
            (None, None)
        };
        let office = Office { recorder, desk: desk.as_ref(), share };
        let mut gates = Vec::new();
        let mut sockets = Vec::new();
        for plan in services {
            let (listeners, address) = bind(&plan.name, plan.listen, threads)?;
            gates.push((Arc::new(Gate::service(plan, office)?), address));
            sockets.push(listeners);
        }
        for plan in clients {
            let (listeners, address) = bind(&plan.name, plan.listen, threads)?;
            gates.push((Arc::new(Gate::client(plan, office)?), address));
            sockets.push(listeners);
        }
        let mut gateway = Self {
            gates,
            accepting: CancellationToken::new(),
            running: CancellationToken::new(),
            threads: Vec::new(),
            judge,
        };
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
            GateStatus {
                name: gate.name.clone(),
                mode,
                listen: *address,
                to,
                contract: gate.inspection.contract().map(|contract| contract.name().to_owned()),
                recorded: gate.inspection.capture().is_some(),
                shadow: gate.inspection.is_shadow(),
                beside: gate.beside.as_ref().map(|tried| tried.contract.name().to_owned()),
                uninspected: gate.inspection.contract().and_then(|of| of.uninspected()),
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
            let judge = |peer: &_| trust.judge_again(peer, live::unix_ms() / 1000);
            let Examined { examined, closed, failed } = gate.registry.sweep(judge).await;
            swept.examined += examined;
            swept.closed += closed;
            if failed {
                swept.failed.push(gate.name.clone());
            }
        }
        swept.took = began.elapsed();
        swept
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
        if let Some(judge) = self.judge.take() {
            let _ = judge.join();
        }
    }
}

/// What all tables share.
#[derive(Clone, Copy)]
struct Office<'a> {
    recorder: &'a Recorder,
    desk: Option<&'a Desk>,
    /// Most connections of one table.
    share: usize,
}

impl Gate {
    /// Why nobody is let in, if the own certificate has ended at this second (Unix).
    fn expired(&self, now: i64) -> Option<String> {
        let over = now.saturating_sub(self.credentials.not_after());
        (over > 0).then(|| format!("the own certificate of `{}` ended {over} s ago", self.name))
    }

    fn service(plan: ServicePlan, office: Office<'_>) -> io::Result<Self> {
        let acceptor = Acceptor::new(plan.credentials.clone(), plan.trust.clone(), plan.tls)
            .map_err(io::Error::other)?;
        let limits = within(plan.limits, office.share);
        Ok(Self {
            name: plan.name,
            mode: Mode::Service { acceptor, upstream: plan.upstream, policy: plan.policy },
            inspection: plan.inspection,
            beside: plan.beside,
            record_cleared: plan.record_cleared,
            registry: Registry::new(limits.clone()),
            limits,
            credentials: plan.credentials,
            trust: plan.trust,
            seen: plan.seen,
            recorder: office.recorder.clone(),
            desk: office.desk.cloned(),
        })
    }

    fn client(plan: ClientPlan, office: Office<'_>) -> io::Result<Self> {
        let connector =
            Connector::new(plan.credentials.clone(), plan.trust.clone(), plan.expected, plan.tls)
                .map_err(io::Error::other)?;
        let limits = within(plan.limits, office.share);
        Ok(Self {
            name: plan.name,
            mode: Mode::Client { connector, connect: plan.connect },
            inspection: plan.inspection,
            beside: None,
            record_cleared: false,
            registry: Registry::new(limits.clone()),
            limits,
            credentials: plan.credentials,
            trust: plan.trust,
            seen: None,
            recorder: office.recorder.clone(),
            desk: office.desk.cloned(),
        })
    }
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

fn within(mut limits: Limits, share: usize) -> Limits {
    limits.max_connections = limits.max_connections.min(share);
    limits
}

/// How long a cut may take to reach every connection.
const LAST: Duration = Duration::from_secs(2);
