//! `Gateway`: everything that listens, started as one and stopped as one.
//!
//! Each worker thread has a runtime of its own and a listening socket of each table, so a
//! connection lives and dies on one thread.

mod account;
mod changing;
mod connection;
mod end;
mod gate;
mod inspection;
mod listener;
mod live;
mod relay;
mod setting;
mod shadow;
mod status;
mod upstream;

use crate::record::Recorder;
use gate::{Gate, Mode};
use live::Order;
use shadow::Desk;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use changing::{Prepared, Swept};
pub use gate::{ClientPlan, ServicePlan};
pub use inspection::{Inspection, NOT_ENFORCED, and_beside};
pub use live::{Counts, LiveStatus, Replaced};
pub use setting::{CONTRACT_GRACE, Change};
pub(crate) use shadow::HIDDEN;
pub use shadow::Tried;
pub use status::GateStatus;
pub use upstream::{Upstream, UpstreamError};

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

    /// Whether it ends, so that nothing of it is changed any more.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.accepting.is_cancelled()
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
