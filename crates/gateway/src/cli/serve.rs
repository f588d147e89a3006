//! `segwan serve`: protects services, and runs the Authority that names their peers.
//!
//! The flags describe one service; they become the same `Config` that a file becomes.

use super::report::Look;
use super::{Exit, Failure, Global, runtime};
use crate::capture::Capture;
use crate::config::{
    AuthorityConfig, Config, CustodyConfig, DEFAULT_TRUST_DOMAIN, IdentitySource, Service, Source,
    TrustFiles, contract, read,
};
use crate::gateway::{CONTRACT_GRACE, Inspection, NOT_ENFORCED, Upstream, and_beside};
use crate::process::{Hangups, Process, Signals, TOKEN_LIFETIME};
use segwan::TlsFloor;
use segwan_core::identity::{Identity, IdentityError, TrustDomain};
use segwan_core::limits::Limits;
use segwan_core::policy::PolicySource;
use segwan_pki::authority::{LEAF_LIFETIME, RENEWAL_GRACE};
use segwan_pki::directory::StateDir;
use segwan_pki::enrollment::Token;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The port of an Authority, where nothing else is said.
const AUTHORITY_PORT: u16 = 7444;

/// Protect a plain service
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan serve orders --to 127.0.0.1:8000 --listen 0.0.0.0:7443 --allow app --contract orders.toml
      TLS, identity and a contract before a plain service; prints a join token for `app`
  segwan serve redis --to unix:/run/redis.sock --listen 0.0.0.0:7379 --allow app --contract raw
      the same without a look at the messages, which is asked for by the word `raw`
  segwan serve orders --to 127.0.0.1:8000 --listen 0.0.0.0:7443 --contract orders.toml \\
      --policy orders.cedar --cert chain.pem --key key.pem --roots roots.pem
      with certificates that you have; no Authority is made
  segwan serve --config segwan.toml
      several services and clients in one process

SIGTERM or Ctrl-C lets connections end for up to 30 s; a second one ends them at once.")]
pub struct Args {
    /// Name of the service, which is also its identity
    #[arg(required_unless_present = "config")]
    name: Option<String>,
    /// A configuration file in place of the flags
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    config: Option<PathBuf>,
    /// Where the plain service is: `127.0.0.1:8000` or `unix:/path`
    #[arg(long, value_name = "ADDR", required_unless_present = "config")]
    to: Option<Upstream>,
    /// Where peers connect
    #[arg(long, value_name = "ADDR", required_unless_present = "config")]
    listen: Option<SocketAddr>,
    /// What may be said: a contract file, or `raw` for a service that is not inspected
    #[arg(long, value_name = "FILE|raw", required_unless_present = "config")]
    contract: Option<PathBuf>,
    /// Record what passes, for `segwan contract learn`; beside `--contract raw` only
    #[arg(long, conflicts_with = "config")]
    record: bool,
    /// Somebody who may do everything: a name, or an identity; repeatable
    #[arg(long, value_name = "NAME")]
    allow: Vec<String>,
    /// Who may do what, in Cedar; repeatable
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Where the Authority answers [default: the host of --listen, port 7444]
    #[arg(long, value_name = "ADDR", conflicts_with = "cert")]
    authority_listen: Option<SocketAddr>,
    /// `HOST:PORT` under which other hosts reach the Authority; repeatable, at most 4
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "cert")]
    advertise: Vec<String>,
    /// The trust domain; fixed at first start [default: segwan.internal]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    trust_domain: Option<TrustDomain>,
    /// Do not make an Authority where there is none
    #[arg(long, conflicts_with = "config")]
    no_init: bool,
    /// Least TLS version
    #[arg(long, value_name = "VERSION", value_parser = ["1.3", "1.2"], default_value = "1.3")]
    tls_min: String,
    /// An existing certificate chain (PEM), leaf first, in place of the Authority's
    #[arg(long, value_name = "FILE", requires_all = ["key", "roots"])]
    cert: Option<PathBuf>,
    /// The key of --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The roots under which peers are believed, beside --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    roots: Option<PathBuf>,
    /// A loopback address for metrics and health
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Runs the command.
///
/// # Errors
/// If it cannot start.
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let hangups = Hangups::listen(&runtime)?;
    let (config, state) = match &args.config {
        Some(file) => {
            let (mut config, warnings) = Config::load(file)?;
            global.report.findings(&warnings);
            config.admin = args.admin.or(config.admin);
            config.source = Source::File { path: file.clone(), admin: args.admin };
            let state = StateDir::open(&global.state_dir(config.state_dir.as_deref())?)?;
            (config, state)
        }
        None => {
            let described = Described::read(args, global)?;
            let state = StateDir::open(&global.state_dir(None)?)?;
            (described.meant(&state)?, state)
        }
    };
    runtime.block_on(async {
        let signals = Signals::listen(hangups)?;
        let told = |process: &mut Process| {
            global.report.findings(process.warnings());
            let tokens = process.take_tokens();
            tell(global, process, &tokens)
        };
        let process = Process::start_telling(state, config, Vec::new(), told).await?;
        global.report.line(format_args!("{}", global.report.style(Look::Good, "ready")));
        Ok(process.serve(signals).await)
    })
}

/// The flags, with the files that they name read; nothing is written before that.
struct Described {
    args: Args,
    name: String,
    to: Upstream,
    listen: SocketAddr,
    inspection: Inspection,
    policies: Vec<PolicySource>,
    source: Source,
}

impl Described {
    fn read(mut args: Args, global: &Global) -> Result<Self, Failure> {
        let (Some(name), Some(to), Some(listen), Some(contract)) =
            (args.name.take(), args.to.take(), args.listen.take(), args.contract.take())
        else {
            let sentence = "a service has a name, `--to`, `--listen` and `--contract`";
            return Err(Failure::cannot_start(sentence));
        };
        if !to.is_local() {
            let sentence = format!(
                "upstream `{to}` is not on this host, so messages would cross the network in the \
                 clear"
            );
            return Err(Failure::cannot_start(sentence).hint(
                "run segwan beside the service; `danger_plaintext_upstream` in a configuration \
                 file allows it",
            ));
        }
        if args.allow.is_empty() && args.policy.is_empty() {
            return Err(Failure::cannot_start(format!("nobody may use `{name}`"))
                .hint("`--allow NAME` lets a name do everything, `--policy FILE` says more"));
        }
        if args.advertise.len() > 4 {
            return Err(Failure::cannot_start("`--advertise` names at most 4 addresses"));
        }
        let inspection = match inspection(&contract, global)? {
            Inspection::Raw if args.record => Inspection::Recorded(Capture::masking(Vec::new())),
            Inspection::Contract(_) if args.record => {
                return Err(Failure::cannot_start("`--record` has no meaning beside a contract")
                    .hint("`--contract raw` records what is not inspected"));
            }
            inspection => inspection,
        };
        let policies = args.policy.iter().map(|file| policy(file)).collect::<Result<_, _>>()?;
        let source = Source::Flags { contract: named(contract), policies: args.policy.clone() };
        Ok(Self { args, name, to, listen, inspection, policies, source })
    }

    /// The flags as a configuration with one service.
    fn meant(self, state: &StateDir) -> Result<Config, Failure> {
        let Self { args, name, to, listen, inspection, policies, source } = self;
        let files = match (args.cert, args.key, args.roots) {
            (Some(chain), Some(key), Some(roots)) => {
                let trust = TrustFiles { roots, ..TrustFiles::default() };
                Some(IdentitySource::Files { chain, key, trust, mapping: None })
            }
            _ => None,
        };
        let trust_domain = match args.trust_domain {
            Some(domain) => domain,
            None => known_domain(state).map_err(|e| Failure::cannot_start(e.to_string()))?,
        };
        trust_domain.identity(&name).map_err(|error| Failure::cannot_start(error.to_string()))?;
        let own = SocketAddr::new(listen.ip(), AUTHORITY_PORT);
        let authority = files.is_none().then(|| AuthorityConfig {
            listen: args.authority_listen.unwrap_or(own),
            advertise: args.advertise,
            must_exist: args.no_init,
            root_fingerprint: None,
            leaf_lifetime: LEAF_LIFETIME,
            renewal_grace: RENEWAL_GRACE,
            registrations: Vec::new(),
            danger_root_online: false,
            custody: CustodyConfig::default(),
        });
        let allow = args.allow.iter().map(|name| meant(name, &trust_domain));
        let service = Service {
            identity: files.unwrap_or_else(|| IdentitySource::State(name.clone())),
            name,
            listen,
            upstream: to,
            inspection,
            beside: None,
            allow: allow.collect::<Result<_, _>>()?,
            policies,
            limits: Limits::default(),
            contract_grace: CONTRACT_GRACE,
            tls: if args.tls_min == "1.2" { TlsFloor::V12 } else { TlsFloor::V13 },
            audit_all: false,
        };
        Ok(Config {
            state_dir: None,
            threads: args.threads.map(usize::from),
            admin: args.admin,
            trust_domain,
            caution: segwan::Caution::default(),
            authority,
            drain_timeout: service.limits.drain_timeout,
            foreign: Vec::new(),
            services: vec![service],
            clients: Vec::new(),
            source,
        })
    }
}

/// The trust domain that this state belongs to, or the default one at first start.
fn known_domain(state: &StateDir) -> Result<TrustDomain, IdentityError> {
    for name in state.credential_names() {
        if let Ok(Some(stored)) = state.credentials(&name).current()
            && let Ok(domain) = stored.meta.trust_domain.parse()
        {
            return Ok(domain);
        }
    }
    DEFAULT_TRUST_DOMAIN.parse()
}

/// A name as an operator writes it: an identity, or short for one of our trust domain.
pub(super) fn meant(name: &str, domain: &TrustDomain) -> Result<Identity, Failure> {
    let identity = if name.starts_with("spiffe://") || name.starts_with("dns:") {
        name.parse()
    } else {
        domain.identity(name)
    };
    identity.map_err(|error| Failure::cannot_start(error.to_string()))
}

/// The contract file, unless it is the word `raw`.
pub(super) fn named(contract: PathBuf) -> Option<PathBuf> {
    (contract != Path::new("raw")).then_some(contract)
}

/// `raw`, or a contract file; its warnings are told.
pub(super) fn inspection(file: &Path, global: &Global) -> Result<Inspection, Failure> {
    if file == Path::new("raw") {
        return Ok(Inspection::Raw);
    }
    let (contract, warnings) = contract::load_contract(file)?;
    global.report.findings(&warnings);
    if let Some(longer) = contract.limits().longer_than(&Limits::default()).into_iter().next() {
        let hint = "a shorter wait in the contract; `[service.NAME.limits]` of a configuration allows more";
        return Err(Failure::cannot_start(longer).hint(hint));
    }
    Ok(Inspection::by(contract))
}

/// A policy file.
pub(crate) fn policy(file: &Path) -> Result<PolicySource, Failure> {
    let text = read::text(file).map_err(Failure::cannot_start)?;
    Ok(PolicySource { file: file.display().to_string(), text })
}

/// What runs, who may join, and what the operator should know. Tokens are shown on a terminal
/// only: journals are kept and shipped (`pki.md` section 5).
fn tell(global: &Global, process: &Process, tokens: &[Token]) -> Result<(), Failure> {
    let report = &global.report;
    let running = process.running();
    for gate in running.gateway.status(0) {
        let inspected = match &gate.contract {
            Some(contract) if gate.shadow => {
                let tried = report.style(Look::Warning, NOT_ENFORCED);
                format!("contract {contract} ({tried})")
            }
            Some(contract) => match &gate.uninspected {
                Some(what) => {
                    format!("contract {contract} ({})", report.style(Look::Warning, what))
                }
                None => format!("contract {contract}"),
            },
            None if gate.recorded => {
                report.style(Look::Warning, "uninspected, recorded").to_string()
            }
            None => report.style(Look::Warning, "uninspected").to_string(),
        };
        let name = report.style(Look::Bold, format!("{} {}", gate.mode, gate.name));
        let beside = report.style(Look::Warning, and_beside(gate.beside.as_deref()));
        report.line(format_args!("{name}  {} → {}  {inspected}{beside}", gate.listen, gate.to));
    }
    if let Some(at) = &running.authority {
        let domain = at.authority.trust_domain();
        let name = report.style(Look::Bold, "authority");
        report.line(format_args!("{name}  {}  trust domain {domain}", at.advertise.join(", ")));
        report.line(format_args!("  root sha256:{}", at.authority.root_fingerprint()));
        if at.root_key_online() {
            report.warning(
                "the root key lies on this host, protected by file mode only: whoever takes the host \
                 takes the Authority; `segwan ca root export --to DIR` moves it away",
            );
        }
        for token in tokens {
            if std::io::stdout().is_terminal() {
                let minutes = TOKEN_LIFETIME.as_secs() / 60;
                let name = report.style(Look::Bold, token.name.as_str());
                report.line(format_args!("\njoin as {name}, once, within {minutes} min:"));
                report.line(format_args!(
                    "  segwan join {} --as {} --listen 127.0.0.1:PORT\n",
                    *token.reveal(),
                    token.name
                ));
            } else {
                let file = at.authority.leave_token(token)?;
                report.line(format_args!("join token of {}: {}", token.name, file.display()));
            }
        }
    }
    Ok(())
}
