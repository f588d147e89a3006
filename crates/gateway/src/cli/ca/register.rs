//! `segwan ca register` and `enable`: who may have certificates, and with which names.

use super::{now_ms, tell};
use crate::admin::ca;
use crate::admin::wire::{self, RegistrationView, Whose};
use crate::cli::{Exit, Failure, Global};
use crate::registering::Registering;
use segwan_core::contract::units;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Register a name, or change what is known of it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name, such as `edge`
    name: String,
    /// What its certificates are for: a client dials, a service listens, a peer does both
    #[arg(long, value_parser = ["client", "service", "peer"])]
    profile: String,
    /// A DNS name of its certificates; repeatable
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// An IP address of its certificates; repeatable
    #[arg(long, value_name = "ADDR")]
    ip: Vec<IpAddr>,
    /// Life of its certificates: 5m to 90d [default: the Authority's]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    leaf_lifetime: Option<Duration>,
    /// How many machines may hold it at once, with `--on-reenroll add` [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_lineages: Option<u32>,
    /// What a further enrollment does: add a machine, or replace the one before [default: replace]
    #[arg(long, value_name = "WHAT", value_parser = ["add", "replace"])]
    on_reenroll: Option<String>,
    /// Put the name into certificates for humans, too
    #[arg(long)]
    display_name: bool,
    /// One certificate may be used in several places; no alarm then
    #[arg(long)]
    shared: bool,
}

/// Let a name enroll and renew again, after it was revoked
#[derive(Debug, clap::Args)]
pub(super) struct Enable {
    /// The name
    name: String,
}

pub(super) fn run(args: Args, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let said = Registering {
        name: args.name,
        profile: args.profile,
        dns: (!args.dns.is_empty()).then_some(args.dns),
        ips: (!args.ip.is_empty()).then_some(args.ip),
        leaf_lifetime: args.leaf_lifetime,
        max_lineages: args.max_lineages,
        on_reenroll: args.on_reenroll,
        display_name: args.display_name.then_some(true),
        shared: args.shared.then_some(true),
    };
    let itself = async |authority: &_| ca::register(authority, said.clone(), now_ms()).await;
    let made: RegistrationView = tell(state, wire::REGISTER, &said, Duration::ZERO, itself)?;
    let RegistrationView { name, profile, enabled, .. } = made;
    global.report.line(format_args!("`{name}` is registered as {profile}"));
    if enabled {
        global.report.note(format_args!("`segwan token new {name}` makes a token for it"));
    } else {
        global.report.note(format_args!("it is disabled; `segwan ca enable {name}` enables it"));
    }
    Ok(Exit::Done)
}

pub(super) fn enable(args: Enable, state: &Path, global: &Global) -> Result<Exit, Failure> {
    let asked = Whose { what: args.name };
    let itself = async |authority: &_| ca::enable(authority, &asked.what, now_ms()).await;
    let made: RegistrationView = tell(state, wire::ENABLE, &asked, Duration::ZERO, itself)?;
    global.report.line(format_args!("`{}` is enabled", made.name));
    global.report.note(format_args!(
        "what was revoked stays revoked; `segwan token new {}` makes a token for it",
        made.name
    ));
    Ok(Exit::Done)
}
