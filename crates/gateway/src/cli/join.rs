//! `segwan join`: enrolls this host, then carries plain clients to the far side.

use super::report::Look;
use super::serve::{inspection, meant, named};
use super::{Exit, Failure, Global, runtime};
use crate::config::{Client, Config, IdentitySource, Source};
use crate::gateway::{CONTRACT_GRACE, Inspection};
use crate::process::{Hangups, Process, Signals};
use segwan::{Agent, Expected, TlsFloor};
use segwan_core::limits::Limits;
use segwan_pki::directory::{ServiceHint, StateDir};
use segwan_pki::enrollment::{Token, TokenError};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Enroll with a token, then let plain clients reach a protected service
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan join TOKEN --as app --listen 127.0.0.1:8000
      any plain client of 127.0.0.1:8000 now talks to the service, as `app`
  segwan join - --as app --listen 127.0.0.1:8000 < app.token
      the same; the token is not seen in the list of processes
  segwan join --as app --listen 127.0.0.1:8000
      again, later: the credentials are there
  segwan join TOKEN --as app
      only enroll; credentials/app/current/ in the state directory has chain, key and roots

The key is made here and never leaves. The certificate renews itself while this runs.")]
pub struct Args {
    /// The token that `segwan serve` or `segwan token new` printed; `-` reads it from stdin
    token: Option<String>,
    /// The name to enroll as; the token is for this one
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// Where plain clients connect; without it the command ends once it has enrolled
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Which service, if the name is meant for several
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// `HOST:PORT` of the service, in place of what the Authority says; repeatable
    #[arg(long, value_name = "HOST:PORT")]
    connect: Vec<String>,
    /// Who the far side must be, in place of what the Authority says
    #[arg(long, value_name = "IDENTITY")]
    peer: Option<String>,
    /// `HOST:PORT` of the Authority, in place of those in the token; the root stays pinned
    #[arg(long, value_name = "HOST:PORT")]
    authority: Vec<String>,
    /// Hold messages to a contract on this side too
    #[arg(long, value_name = "FILE")]
    contract: Option<PathBuf>,
    /// A loopback address for metrics and health
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
}

/// Runs the command.
///
/// # Errors
/// If it cannot enroll or start.
pub fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let hangups = Hangups::listen(&runtime)?;
    let token = token(args.token.as_deref(), &args.name)?;
    let inspection = match &args.contract {
        Some(file) => inspection(file, global)?,
        None => Inspection::Raw,
    };
    let state = StateDir::open(&global.state_dir(None)?)?;
    runtime.block_on(async {
        let mut signals = Signals::listen(hangups)?;
        let agent = tokio::select! {
            agent = enrolled(args, token.as_ref(), &state) => agent?,
            () = signals.next() => {
                return Err(Failure::refused("stopped before it had enrolled")
                    .hint("the same command goes on where this one stopped"));
            }
        };
        let identity = agent.identity().to_string();
        let Some(listen) = args.listen else {
            let place = state.credentials(&args.name).path().join("current");
            global.report.line(format_args!("enrolled as {identity}"));
            global.report.line(format_args!("  {}/{{chain,key,roots}}.pem", place.display()));
            return Ok(Exit::Done);
        };
        let config = config(args, &agent, listen, inspection)?;
        let process = Process::start(state, config, vec![agent]).await?;
        let report = &global.report;
        for gate in process.running().gateway.status(0) {
            let inspected = match gate.contract {
                Some(contract) => format!("contract {contract}"),
                None => "judged by the far side".to_owned(),
            };
            let name = report.style(Look::Bold, format!("{} {}", gate.mode, gate.name));
            let (listen, to) = (gate.listen, gate.to);
            report.line(format_args!("{name}  {listen} → {to}  {inspected}  as {identity}"));
        }
        report.line(format_args!("{}", report.style(Look::Good, "ready")));
        Ok(process.serve(signals).await)
    })
}

/// The token, if one was given; it is for the name that was asked for.
fn token(text: Option<&str>, name: &str) -> Result<Option<Token>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let mut read = String::new();
    let text = if text == "-" {
        std::io::stdin()
            .take(4096)
            .read_to_string(&mut read)
            .map_err(|error| Failure::cannot_start(format!("stdin cannot be read: {error}")))?;
        read.as_str()
    } else {
        text
    };
    let token = Token::parse(text).map_err(|error| {
        let file = matches!(error, TokenError::Prefix) && Path::new(text.trim()).exists();
        let hint = format!("of a file: `segwan join - --as {name} < FILE`");
        Failure::cannot_start(error.to_string()).hint_if(file.then_some(hint))
    })?;
    if token.name != name {
        let sentence = format!("the token is for `{}`, not for `{name}`", token.name);
        return Err(Failure::cannot_start(sentence).hint(format!("--as {}", token.name)));
    }
    Ok(Some(token))
}

async fn enrolled(args: &Args, token: Option<&Token>, state: &StateDir) -> Result<Agent, Failure> {
    let store = state.credentials(&args.name);
    if let Some(token) = token {
        let addresses = (!args.authority.is_empty()).then(|| args.authority.clone());
        return Ok(Agent::enroll(store, token, addresses).await?);
    }
    Agent::resume(store)?.ok_or_else(|| {
        Failure::cannot_start(format!("there are no credentials of `{}` here", args.name))
            .hint(format!("the first time, join with a token: `segwan token new {}` makes one where the Authority is", args.name))
    })
}

fn config(
    args: &Args,
    agent: &Agent,
    listen: SocketAddr,
    inspection: Inspection,
) -> Result<Config, Failure> {
    let (name, connect, peer) = far_side(args, agent)?;
    let limits = Limits::default();
    let client = Client {
        name,
        listen,
        connect,
        peer,
        inspection,
        limits: limits.clone(),
        contract_grace: CONTRACT_GRACE,
        tls: TlsFloor::V13,
        identity: IdentitySource::State(args.name.clone()),
    };
    Ok(Config {
        state_dir: None,
        threads: None,
        admin: args.admin,
        trust_domain: agent.trust_domain().clone(),
        caution: segwan::Caution::default(),
        authority: None,
        foreign: Vec::new(),
        services: Vec::new(),
        clients: vec![client],
        drain_timeout: limits.drain_timeout,
        source: Source::Flags {
            contract: args.contract.clone().and_then(named),
            policies: Vec::new(),
        },
    })
}

/// Name, addresses and identity of the far side. Who is expected there is never left open (F1,
/// PKI-67).
fn far_side(args: &Args, agent: &Agent) -> Result<(String, Vec<String>, Expected), Failure> {
    let hints = agent.services();
    let hint = match chosen(&hints, args.service.as_deref()) {
        Ok(hint) => Some(hint),
        // Everything was said by hand.
        Err(_) if args.peer.is_some() && !args.connect.is_empty() => None,
        Err(failure) => return Err(failure),
    };
    let told = hint.map(|hint| hint.identity.as_str());
    let peer = meant(args.peer.as_deref().or(told).unwrap_or_default(), agent.trust_domain())?;
    let addresses = hint.map(|hint| hint.addresses.clone()).unwrap_or_default();
    let connect = if args.connect.is_empty() { addresses } else { args.connect.clone() };
    if connect.is_empty() {
        return Err(Failure::cannot_start(format!("the Authority knows no address of `{peer}`"))
            .hint("`--connect HOST:PORT` names one"));
    }
    let name = hint.map_or_else(|| peer.last().to_owned(), |hint| hint.name.clone());
    Ok((name, connect, Expected::one(peer)))
}

fn chosen<'h>(hints: &'h [ServiceHint], name: Option<&str>) -> Result<&'h ServiceHint, Failure> {
    let names: Vec<_> = hints.iter().map(|hint| format!("`{}`", hint.name)).collect();
    let names = names.join(", ");
    match (hints, name) {
        ([only], None) => Ok(only),
        ([], _) => {
            let sentence = "the Authority names no service that this identity is meant for";
            Err(Failure::cannot_start(sentence)
                .hint("`--connect HOST:PORT` and `--peer IDENTITY` name the far side"))
        }
        (_, None) => {
            let sentence = format!("this identity is meant for several services: {names}");
            Err(Failure::cannot_start(sentence).hint("`--service NAME` chooses one"))
        }
        (_, Some(name)) => hints.iter().find(|hint| hint.name == name).ok_or_else(|| {
            Failure::cannot_start(format!("`{name}` is none of the services here: {names}"))
        }),
    }
}
