//! `Process`: everything that a configuration asks for, started in order and stopped in order.
//!
//! Order of the start: state and its lock, the record, the Authority and the identities, the
//! listeners, and at the end whoever asks how things stand. On any error nothing listens.

mod authority;
mod files;
mod identities;
mod reload;
mod upkeep;

pub use authority::{AuthorityAtWork, TOKEN_LIFETIME};

use crate::alarms::Alarms;
use crate::audit::AuditLog;
use crate::cli::{Exit, Failure};
use crate::config::{self, Client, Config, Service};
use crate::explain::Rules;
use crate::gateway::{ClientPlan, Gateway, Inspection, ServicePlan};
use crate::metrics::Metrics;
use crate::quotas::{self, Unwritten};
use crate::record::Recorder;
use crate::{admin, ca};
use arc_swap::ArcSwap;
use identities::{Identities, Shown};
pub(crate) use reload::Reloads;
use segwan::Agent;
use segwan::agent::Installation;
use segwan_core::audit::{Event, EventKind};
use segwan_core::finding::Finding;
use segwan_core::now::Now;
use segwan_core::policy::Policy;
use segwan_pki::authority::Authority;
use segwan_pki::directory::StateDir;
use segwan_pki::enrollment::Token;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a running process shows to its admin socket.
pub struct Running {
    /// All listeners.
    pub gateway: Gateway,
    /// The Authority, if it runs here.
    pub authority: Option<AuthorityAtWork>,
    /// Identities that are kept fresh here.
    pub agents: Vec<Arc<Agent>>,
    /// What decides at each service.
    pub rules: ArcSwap<Vec<Rules>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What an operator should know now.
    pub alarms: Arc<Alarms>,
    /// Where events go.
    pub recorder: Recorder,
    /// When it started, Unix milliseconds.
    pub started_ms: i64,
    /// Journals of quotas that cannot be written.
    pub(crate) unwritten: Unwritten,
    /// What may be put in force in place of what is.
    pub(crate) reloads: Reloads,
}

/// A process at work, with what has to be ended in order.
pub struct Process {
    running: Arc<Running>,
    /// Tokens that were made at this start, each for a name that nobody had registered before.
    tokens: Vec<Token>,
    /// Warnings of policies.
    warnings: Vec<Finding>,
    recorder: Recorder,
    audit: AuditLog,
    tasks: TaskTracker,
    stop: CancellationToken,
    socket: PathBuf,
    drain_timeout: Duration,
    // Last: the lock of the state directory outlives everything that writes there.
    _state: Option<StateDir>,
}

impl Process {
    /// Starts what `config` asks for. `enrolled` are identities that have just joined.
    ///
    /// # Errors
    /// If anything of it cannot be: then nothing listens, and the state is as whole as before.
    pub async fn start(
        state: StateDir,
        config: Config,
        enrolled: Vec<Agent>,
    ) -> Result<Self, Failure> {
        Self::start_telling(state, config, enrolled, |_| Ok(())).await
    }

    /// As [`start`](Self::start); `tell` is called when everything serves and before anybody can
    /// ask how things stand, so that whoever has an answer also finds what was told.
    ///
    /// # Errors
    /// As [`start`](Self::start), and what `tell` says.
    pub async fn start_telling(
        state: StateDir,
        config: Config,
        enrolled: Vec<Agent>,
        tell: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut authority = None;
        match Self::begin(&state, &config, enrolled, tell, &mut authority).await {
            Ok(process) => Ok(Self { _state: Some(state), ..process }),
            Err(failure) => {
                // Closed while the lock is held, so that nothing half-open is left beside the store.
                if let Some(authority) = authority {
                    authority.close().await;
                }
                Err(failure)
            }
        }
    }

    /// The start; `at_hand` is told of the Authority as soon as it is open.
    async fn begin(
        state: &StateDir,
        config: &Config,
        enrolled: Vec<Agent>,
        tell: impl FnOnce(&mut Self) -> Result<(), Failure>,
        at_hand: &mut Option<Authority>,
    ) -> Result<Self, Failure> {
        let services = config.services.iter().map(|service| service.name.clone());
        let names = services.chain(config.clients.iter().map(|client| client.name.clone()));
        let metrics = Arc::new(Metrics::for_services(names));
        let alarms = Arc::new(Alarms::default());
        let (recorder, audit) = AuditLog::open(&state.audit(), metrics.clone())
            .map_err(|error| Failure::cannot_start(error.to_string()))?;
        let opened = match &config.authority {
            Some(wanted) => Some(authority::open(state, wanted, config).await?),
            None => None,
        };
        *at_hand = opened.as_ref().map(|opened| opened.authority().clone());
        let (caution, foreign) = (config.caution, &config.foreign);
        let mut identities = Identities::new(state, opened.as_ref(), enrolled, caution, foreign)?;
        let unwritten = Unwritten::default();
        for service in &config.services {
            if let Some(capture) = service.inspection.capture() {
                capture.open(state.path(), &service.name).map_err(|error| {
                    let name = &service.name;
                    Failure::cannot_start(format!(
                        "the record of `{name}` cannot be written: {error}"
                    ))
                })?;
            }
            if let Inspection::Contract(contract) = &service.inspection
                && contract.persists_quotas()
            {
                let now = Now { instant: Instant::now(), unix_ms: now_ms() };
                quotas::keep(state.path(), &service.name, contract, now, &unwritten)?;
            }
        }
        let plans = Plans::of(config, &mut identities).await?;
        let acceptor = identities.of_authority().await?;
        let (agents, files) = identities.into_parts();

        let threads = config.threads.unwrap_or_else(config::default_threads);
        let gateway = Gateway::start(plans.services, plans.clients, &recorder, threads)
            .map_err(|error| Failure::cannot_start(error.to_string()))?;
        let tokens = match &opened {
            Some(opened) => opened.register(config, &gateway.addresses()).await?,
            None => Vec::new(),
        };
        if let Some(opened) = &opened {
            opened.advertise().await?;
        }
        let kind = if config.services.is_empty() { "client" } else { "gateway" };
        let who = Installation::of(state, kind)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        upkeep::keep_fresh(&agents, &tasks, &stop);
        let mut at_work = None;
        if let (Some(opened), Some(acceptor)) = (opened, acceptor) {
            let (at, listener) = opened.at_work();
            let told = ca::Told {
                recorder: recorder.clone(),
                metrics: metrics.clone(),
                alarms: alarms.clone(),
            };
            let (authority, nag) = (at.authority.clone(), at.nag);
            let serving = ca::serve(authority, acceptor, listener, told, nag, stop.clone());
            tasks.spawn(async move {
                if let Err(error) = serving.await {
                    tracing::error!("the Authority's port cannot be served: {error}");
                }
            });
            at_work = Some(at);
        }
        let socket = state.admin_socket();
        let running = Running {
            unwritten,
            gateway,
            authority: at_work,
            agents,
            rules: ArcSwap::from_pointee(plans.rules),
            metrics,
            alarms,
            recorder: recorder.clone(),
            started_ms: now_ms(),
            reloads: Reloads::new(state.path().to_owned(), config.clone(), tasks.clone()),
        };
        let running = Arc::new(running);
        upkeep::begin(&running, files, &who, &tasks, &stop);
        let mut process = Self {
            running,
            tokens,
            warnings: plans.warnings,
            recorder,
            audit,
            tasks,
            stop,
            socket,
            drain_timeout: config.drain_timeout,
            _state: None,
        };
        let told = tell(&mut process);
        let opened = match told {
            Ok(()) => process.open_admin(config.admin).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = opened {
            process.stop().await;
            return Err(failure);
        }
        process.record_start();
        Ok(process)
    }

    async fn open_admin(&self, address: Option<SocketAddr>) -> Result<(), Failure> {
        let unusable = |what: String, error: std::io::Error| {
            Failure::cannot_start(format!("{what} cannot be used: {error}"))
        };
        let socket = admin::socket::bind(&self.socket)
            .map_err(|error| unusable(format!("`{}`", self.socket.display()), error))?;
        let listener = match address {
            Some(address) => {
                let bound = tokio::net::TcpListener::bind(address).await;
                Some(bound.map_err(|e| unusable(format!("the admin address `{address}`"), e))?)
            }
            None => None,
        };
        let (running, stop) = (self.running.clone(), self.stop.clone());
        self.tasks.spawn(admin::serve(running, socket, listener, stop));
        Ok(())
    }

    /// One event for each listener: what began to serve.
    fn record_start(&self) {
        for gate in self.running.gateway.status(0) {
            let mut event = Event::new(EventKind::Started);
            event.sentence = format!("{} {} → {}", gate.mode, gate.listen, gate.to);
            if let Some(what) = gate.uninspected {
                event.sentence += &format!("; {what}");
            }
            event.service = gate.name;
            event.contract = gate.contract;
            event.contract_hash = gate.contract_hash;
            self.recorder.record(event);
        }
    }

    /// What runs.
    #[must_use]
    pub fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Tokens that were made at this start; each is told once.
    pub fn take_tokens(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.tokens)
    }

    /// Warnings of policies.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Serves until SIGTERM or SIGINT, then drains; a second signal ends every connection at once.
    ///
    /// SIGHUP reads the configuration again; while it stops it does not.
    pub async fn serve(self, mut signals: Signals) -> Exit {
        let asked = Arc::new(Notify::new());
        let reloading = tokio::spawn(reload_when(self.running.clone(), asked.clone()));
        while let Signal::Reload = signals.any().await {
            asked.notify_one();
        }
        reloading.abort();
        let gates = self.running.gateway.status(0);
        let open: usize = gates.iter().map(|gate| gate.counts.connections).sum();
        tracing::info!("stopping; {open} connections are open, a second signal ends them at once");
        // Where nothing is open there is nothing that a second signal could cut.
        let drained = tokio::select! {
            biased;
            drained = self.running.gateway.drain(self.drain_timeout) => drained,
            () = signals.next() => false,
        };
        self.end(!drained).await;
        if drained { Exit::Done } else { Exit::DrainedLate }
    }

    /// Ends everything now.
    pub async fn stop(self) {
        self.end(true).await;
    }

    async fn end(self, cut: bool) {
        let Self { running, recorder, audit, tasks, stop, socket, _state, .. } = self;
        if cut {
            running.gateway.cut().await;
        }
        let mut event = Event::new(EventKind::Stopped);
        event.sentence =
            if cut { "what was open was cut" } else { "every connection had ended" }.to_owned();
        recorder.record(event);
        stop.cancel();
        tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await;
        if let Some(at_work) = &running.authority {
            at_work.authority.close().await;
        }
        let _ = std::fs::remove_file(socket);
        // The gateway's threads are joined off the runtime, and the record is written last.
        let ended = tokio::task::spawn_blocking(move || {
            drop(running);
            drop(recorder);
            audit.close();
        });
        let _ = tokio::time::timeout(Duration::from_secs(10), ended).await;
    }
}

/// What the listeners are made from.
struct Plans {
    services: Vec<ServicePlan>,
    clients: Vec<ClientPlan>,
    rules: Vec<Rules>,
    warnings: Vec<Finding>,
}

impl Plans {
    async fn of(config: &Config, identities: &mut Identities<'_>) -> Result<Self, Failure> {
        let (services, clients) = (Vec::new(), Vec::new());
        let mut plans = Self { services, clients, rules: Vec::new(), warnings: Vec::new() };
        for service in &config.services {
            let (policy, warnings) = config::policy(service)?;
            plans.warnings.extend(warnings);
            let policy = Arc::new(policy);
            plans.rules.push(Rules {
                service: service.name.clone(),
                inspection: service.inspection.clone(),
                beside: service.beside.clone(),
                policy: policy.clone(),
                limits: service.limits.clone(),
            });
            let shown = identities.of_service(service).await?;
            plans.services.push(service_plan(service.clone(), policy, shown));
        }
        for client in &config.clients {
            let shown = identities.of_client(client).await?;
            plans.clients.push(client_plan(client.clone(), shown));
        }
        Ok(plans)
    }
}

fn service_plan(service: Service, policy: Arc<Policy>, shown: Shown) -> ServicePlan {
    ServicePlan {
        name: service.name,
        listen: service.listen,
        upstream: service.upstream,
        inspection: service.inspection,
        beside: service.beside,
        policy,
        record_cleared: service.audit_all,
        limits: service.limits,
        contract_grace: service.contract_grace,
        credentials: shown.credentials,
        trust: shown.trust,
        tls: service.tls,
        seen: shown.seen,
    }
}

fn client_plan(client: Client, shown: Shown) -> ClientPlan {
    ClientPlan {
        name: client.name,
        listen: client.listen,
        connect: client.connect,
        expected: client.peer,
        inspection: client.inspection,
        limits: client.limits,
        contract_grace: client.contract_grace,
        credentials: shown.credentials,
        trust: shown.trust,
        tls: client.tls,
    }
}

/// Reloads whenever it is asked to; what was asked while one ran is one more.
async fn reload_when(running: Arc<Running>, asked: Arc<Notify>) {
    loop {
        asked.notified().await;
        // The record and the log say what came of it.
        running.reload().await;
    }
}

/// What a signal means.
enum Signal {
    Stop,
    Reload,
}

/// SIGHUP, which reloads, heard from its making on: also while the files are read, so that it neither
/// ends a process that starts nor is lost. What stops goes on doing so until [`Signals`] hears it.
pub struct Hangups(tokio::signal::unix::Signal);

impl Hangups {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn listen(runtime: &tokio::runtime::Runtime) -> Result<Self, Failure> {
        let _within = runtime.enter();
        heard(tokio::signal::unix::SignalKind::hangup()).map(Self)
    }
}

fn heard(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    tokio::signal::unix::signal(kind)
        .map_err(|error| Failure::cannot_start(format!("signals cannot be heard: {error}")))
}

/// SIGTERM and SIGINT, which stop, heard from its making on, and SIGHUP.
pub struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn listen(Hangups(hup): Hangups) -> Result<Self, Failure> {
        use tokio::signal::unix::SignalKind;
        let (term, int) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
        Ok(Self { term, int, hup })
    }

    /// Waits for the next one that means to stop.
    pub async fn next(&mut self) {
        while let Signal::Reload = self.any().await {
            tracing::warn!("SIGHUP is ignored: nothing is served that could be reloaded");
        }
    }

    async fn any(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::Stop,
            _ = self.int.recv() => Signal::Stop,
            _ = self.hup.recv() => Signal::Reload,
        }
    }
}

/// The wall clock, Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
