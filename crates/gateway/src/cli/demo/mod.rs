//! `segwan demo`: the whole story in one process and a temporary directory.
//!
//! It starts what two commands would start on three hosts (a gateway with its Authority before a
//! plain service, two client halves that join with tokens), plays one exchange of each kind, and
//! stays up for whoever wants to try. Nothing is simulated.

mod service;
mod story;

use super::report::Look;
use super::{Exit, Failure, Global, runtime};
use crate::config::{
    AuthorityConfig, Client, Config, CustodyConfig, DEFAULT_TRUST_DOMAIN, IdentitySource, Service,
    Source,
};
use crate::gateway::{CONTRACT_GRACE, Inspection, Upstream};
use crate::process::{Hangups, Process, Signals, TOKEN_LIFETIME, now_ms};
use crate::registering::Registering;
use segwan::{Agent, Expected, TlsFloor};
use segwan_core::contract::Contract;
use segwan_core::identity::TrustDomain;
use segwan_core::limits::Limits;
use segwan_core::policy::PolicySource;
use segwan_pki::authority::{LEAF_LIFETIME, RENEWAL_GRACE};
use segwan_pki::directory::{StateDir, make_private};
use segwan_pki::key::{hex, random};
use segwan_pki::profile::Profile;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// See the whole story in one process
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan demo
      plays the story, then stays up and prints lines to try from another terminal
  segwan demo --once
      plays the story and ends

It needs nothing but this program, listens on loopback alone, and removes its files at the end.")]
pub struct Args {
    /// End after the story
    #[arg(long)]
    once: bool,
}

const CONTRACT: &str = include_str!("../../../../../examples/article/add-ten.toml");
/// `app` may add; `guest` may connect and nothing else.
const POLICY: &str = r#"@id("both-connect")
permit (principal, action == Action::"connect", resource == Service::"calculator");
@id("app-adds")
permit (principal == Peer::"spiffe://segwan.internal/app", action == Action::"add",
        resource == Service::"calculator");
"#;

/// What was started, and where.
struct Stage {
    service: SocketAddr,
    app: SocketAddr,
    guest: SocketAddr,
    processes: Vec<Process>,
    // Last: the files go when nothing uses them any more.
    folder: Folder,
}

/// Runs the command.
///
/// # Errors
/// If something of it cannot be started, or an exchange does not end as it must.
pub fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let hangups = Hangups::listen(&runtime)?;
    runtime.block_on(async {
        let mut signals = Signals::listen(hangups)?;
        let stage = set_up(global).await?;
        let told = story::tell(&stage, global).await;
        if told.is_ok() && !args.once {
            invite(&stage, global);
            signals.next().await;
        }
        stage.end().await;
        told.map(|()| Exit::Done)
    })
}

impl Stage {
    /// Client halves first, then the gateway, then the files.
    async fn end(mut self) {
        while let Some(process) = self.processes.pop() {
            process.stop().await;
        }
    }
}

async fn set_up(global: &Global) -> Result<Stage, Failure> {
    let folder = Folder::new()?;
    let plain = service::start().map_err(|error| {
        Failure::cannot_start(format!("the plain service cannot be started: {error}"))
    })?;
    let report = &global.report;
    report.line(format_args!("{}", report.style(Look::Bold, "On one host")));
    report.line(format_args!(
        "  a plain service on {plain} adds ten to each number; it knows nothing of security"
    ));
    let gateway = gateway(&folder, plain).await?;
    let service = listens(&gateway);
    report.line(format_args!(
        "  segwan serve calculator --to {plain} --listen {service} --contract add-ten.toml …"
    ));
    let Some(at) = &gateway.running().authority else {
        return Err(Failure::cannot_start("the Authority did not start"));
    };
    let root = at.authority.root_fingerprint();
    let root = root.get(..16).unwrap_or_default();
    report.line(format_args!("    made its Authority (root {root}…) and two tokens"));
    report.line(format_args!("{}", report.style(Look::Bold, "On two others")));
    let mut processes = Vec::new();
    for name in ["app", "guest"] {
        let addresses = at.advertise.clone();
        let token = at.authority.mint_token(name, addresses, TOKEN_LIFETIME, now_ms()).await?;
        let state = StateDir::open(&folder.path(name))?;
        let agent = Agent::enroll(state.credentials(name), &token, None).await?;
        let half = Process::start(state, half(name, service)?, vec![agent]).await?;
        let listen = listens(&half);
        report.line(format_args!("  segwan join TOKEN --as {name} --listen {listen}"));
        processes.push(half);
    }
    let [app, guest] = [0, 1].map(|half| processes.get(half).map_or_else(loopback, listens));
    processes.insert(0, gateway);
    Ok(Stage { service, app, guest, processes, folder })
}

/// What `segwan serve` would run, with a policy in place of `--allow`.
async fn gateway(folder: &Folder, plain: SocketAddr) -> Result<Process, Failure> {
    let alone = |_: &str| Err("this contract names no other file".to_owned());
    let (contract, _) = Contract::load("add-ten.toml", CONTRACT, &alone)?;
    let policy = PolicySource { file: "calculator.cedar".to_owned(), text: POLICY.to_owned() };
    let limits = Limits::default();
    let service = Service {
        name: "calculator".to_owned(),
        listen: loopback(),
        upstream: Upstream::Tcp(plain),
        inspection: Inspection::Contract(contract),
        beside: None,
        allow: Vec::new(),
        policies: vec![policy],
        limits: limits.clone(),
        contract_grace: CONTRACT_GRACE,
        tls: TlsFloor::V13,
        identity: IdentitySource::State("calculator".to_owned()),
        audit_all: false,
    };
    let authority = AuthorityConfig {
        listen: loopback(),
        advertise: Vec::new(),
        must_exist: false,
        root_fingerprint: None,
        leaf_lifetime: LEAF_LIFETIME,
        renewal_grace: RENEWAL_GRACE,
        registrations: ["app", "guest"]
            .map(|name| Registering::new(name, Profile::Client))
            .to_vec(),
        danger_root_online: true,
        custody: CustodyConfig::default(),
    };
    let config = Config {
        state_dir: None,
        threads: None,
        admin: None,
        trust_domain: domain()?,
        caution: segwan::Caution::default(),
        authority: Some(authority),
        foreign: Vec::new(),
        services: vec![service],
        clients: Vec::new(),
        drain_timeout: limits.drain_timeout,
        source: Source::Nowhere,
    };
    Process::start(StateDir::open(&folder.path("gateway"))?, config, Vec::new()).await
}

/// What `segwan join` would run.
fn half(name: &str, service: SocketAddr) -> Result<Config, Failure> {
    let peer = domain()?.identity("calculator");
    let peer = peer.map_err(|error| Failure::cannot_start(error.to_string()))?;
    let limits = Limits::default();
    let client = Client {
        name: "calculator".to_owned(),
        listen: loopback(),
        connect: vec![service.to_string()],
        peer: Expected::one(peer),
        inspection: Inspection::Raw,
        limits: limits.clone(),
        contract_grace: CONTRACT_GRACE,
        tls: TlsFloor::V13,
        identity: IdentitySource::State(name.to_owned()),
    };
    Ok(Config {
        state_dir: None,
        threads: Some(1),
        admin: None,
        trust_domain: domain()?,
        caution: segwan::Caution::default(),
        authority: None,
        foreign: Vec::new(),
        services: Vec::new(),
        clients: vec![client],
        drain_timeout: limits.drain_timeout,
        source: Source::Nowhere,
    })
}

/// Lines to try from another terminal.
fn invite(stage: &Stage, global: &Global) {
    let report = &global.report;
    let (host, service) = (stage.service.ip(), stage.service.port());
    let own = stage.folder.path("app").join("credentials/app/current");
    let own = own.display();
    let state = stage.folder.path("gateway");
    let state = state.display();
    let heading = "Try it from another terminal; Ctrl-C ends it and removes its files";
    report.line(format_args!("\n{}", report.style(Look::Bold, heading)));
    let lines = [
        ("a plain client, through the half of app", {
            format!("printf '5\\n' | nc -N {host} {}", stage.app.port())
        }),
        ("the same as guest, who may not add", {
            format!("printf '5\\n' | nc -N {host} {}", stage.guest.port())
        }),
        ("openssl, with the certificate of app", {
            format!(
                "(printf '5\\n'; sleep 1) | openssl s_client -quiet -connect {host}:{service} \
                 -CAfile {own}/roots.pem -cert {own}/chain.pem -cert_chain {own}/chain.pem \
                 -key {own}/key.pem"
            )
        }),
        ("Python, with the certificate of app", {
            format!(
                "python3 -c \"import ssl, socket; c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); \
                 c.check_hostname = False; c.load_verify_locations('{own}/roots.pem'); \
                 c.load_cert_chain('{own}/chain.pem', '{own}/key.pem'); \
                 s = c.wrap_socket(socket.create_connection(('{host}', {service}))); \
                 s.sendall(b'5\\n'); print(s.recv(99))\""
            )
        }),
        ("openssl, without a certificate", {
            format!(
                "openssl s_client -connect {host}:{service} -CAfile {own}/roots.pem -quiet \
                 < /dev/null"
            )
        }),
        ("why guest may not", {
            format!(
                "segwan explain --state {state} --service calculator --peer guest --text '5\\n'"
            )
        }),
        ("how it stands", format!("segwan status --state {state}")),
    ];
    for (what, command) in lines {
        report.line(format_args!("  {}\n    {command}", report.style(Look::Dim, what)));
    }
}

fn listens(process: &Process) -> SocketAddr {
    let addresses = process.running().gateway.addresses();
    addresses.first().map_or_else(loopback, |(_, address)| *address)
}

fn loopback() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

fn domain() -> Result<TrustDomain, Failure> {
    let unusable =
        |_| Failure::cannot_start(format!("`{DEFAULT_TRUST_DOMAIN}` is no trust domain"));
    DEFAULT_TRUST_DOMAIN.parse().map_err(unusable)
}

/// A private directory that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let name = random::<8>().map_err(|error| {
            Failure::cannot_start(format!("there is no temporary directory: {error}"))
        })?;
        let path = std::env::temp_dir().join(format!("segwan-demo-{}", hex(&name)));
        make_private(&path)?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
