//! `Config`: everything that one process runs, as meant.
//!
//! A file is read twice: `file.rs` holds it as written, with places; this module holds what it
//! means. A `Config` that exists is usable: addresses are parsed, contracts are loaded and their
//! vectors hold, limits agree with each other. Flags of `serve` and `join` become the same type.

pub mod contract;
mod file;
pub(crate) mod places;
pub(crate) mod read;

use crate::failure::Failure;
use crate::gateway::{Inspection, Tried, Upstream};
use crate::registering::Registering;
use segwan::{Caution, Expected, Mapping, TlsFloor, Tolerate};
use segwan_core::contract::Contract;
use segwan_core::finding::Finding;
use segwan_core::identity::{Identity, TrustDomain};
use segwan_core::limits::Limits;
use segwan_core::policy::{Policy, PolicySource};
use segwan_pki::custody::{Passphrase, Permitted};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What one process runs.
#[derive(Clone)]
pub struct Config {
    /// `state_dir`, if the file names one.
    pub state_dir: Option<PathBuf>,
    /// Worker threads. Default: one for each core at the start.
    pub threads: Option<usize>,
    /// A loopback address for metrics and health, beside the unix socket. Default none.
    pub admin: Option<SocketAddr>,
    /// The trust domain by which short names are meant. Default `segwan.internal`.
    pub trust_domain: TrustDomain,
    /// How careful this node is where it knows less than it should. Default: what was believed is
    /// kept.
    pub caution: Caution,
    /// The Authority of this process, if it runs one.
    pub authority: Option<AuthorityConfig>,
    /// Foreign authorities, believed wherever the Authority's certificates are.
    pub foreign: Vec<Foreign>,
    /// Protected services.
    pub services: Vec<Service>,
    /// Client halves.
    pub clients: Vec<Client>,
    /// How long connections may take to end when the process stops. Default 30 s.
    pub drain_timeout: Duration,
    /// Where it comes from, so that it can be read again.
    pub source: Source,
}

/// Where a configuration is read again for a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: what runs stays as it is.
    #[default]
    Nowhere,
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The admin address that was named beside it.
        admin: Option<SocketAddr>,
    },
    /// Flags, which stay as they were given; the files that they name are read again.
    Flags {
        /// Of `--contract`; none for `raw`.
        contract: Option<PathBuf>,
        /// Of `--policy`.
        policies: Vec<PathBuf>,
    },
}

impl Source {
    /// The file that findings are about; where there is none, the program.
    pub(crate) fn file(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Flags { .. } | Self::Nowhere => "segwan".to_owned(),
        }
    }
}

/// `[authority]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityConfig {
    /// Its own HTTPS port, never a data port.
    pub listen: SocketAddr,
    /// `host:port` under which agents reach it, at most 4; empty: found out at start.
    pub advertise: Vec<String>,
    /// `init = "never"`: it must exist already.
    pub must_exist: bool,
    /// Refuse to start without this root: SHA-256, lower-case hex.
    pub root_fingerprint: Option<String>,
    /// Life of a leaf. Default 96 h.
    pub leaf_lifetime: Duration,
    /// How long after its end a certificate may still renew. Default 7 d.
    pub renewal_grace: Duration,
    /// Names beside those of `allow` that may enroll.
    pub registrations: Vec<Registering>,
    /// Say less of a root key on this host. Default no.
    pub danger_root_online: bool,
    /// What seals its keys, and what its first certificates may speak for.
    pub custody: CustodyConfig,
}

/// What is said of an Authority's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustodyConfig {
    /// Where the passphrase that seals the issuing keys on the disk comes from. Default none: file
    /// mode alone protects them.
    pub key_passphrase: Option<PassphraseSource>,
    /// What the first issuing certificates may speak for beside SPIFFE identities.
    pub permitted: Permitted,
}

/// Where a passphrase comes from. It is never in the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassphraseSource {
    /// A file.
    File(PathBuf),
    /// A credential that systemd hands over, by its name (`LoadCredential=`).
    Credential(String),
}

impl PassphraseSource {
    /// Reads it.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(&self) -> Result<Passphrase, Failure> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => {
                let place = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    Failure::cannot_start(format!("there is no credential `{name}`"))
                        .hint("`LoadCredential=` in the unit of systemd hands it over")
                })?;
                Path::new(&place).join(name)
            }
        };
        Passphrase::read(&path).map_err(|error| {
            Failure::cannot_start(format!("the passphrase of the issuing keys: {error}"))
        })
    }
}

/// One protected service: where peers arrive, and what stands behind it.
#[derive(Clone)]
pub struct Service {
    /// Name of its table.
    pub name: String,
    /// Where peers connect over TLS.
    pub listen: SocketAddr,
    /// Where cleared messages go, in the clear.
    pub upstream: Upstream,
    /// What is looked at.
    pub inspection: Inspection,
    /// What is tried beside it. Default nothing.
    pub beside: Option<Tried>,
    /// Identities that may do everything.
    pub allow: Vec<Identity>,
    /// Policies in Cedar.
    pub policies: Vec<PolicySource>,
    /// Waits and numbers.
    pub limits: Limits,
    /// How long connections under a contract that a reload replaces go on. Default 5 min.
    pub contract_grace: Duration,
    /// Least TLS version.
    pub tls: TlsFloor,
    /// What it shows and whom it believes.
    pub identity: IdentitySource,
    /// Also record every message that is let through. Default only refusals.
    pub audit_all: bool,
}

/// One client half: where plain clients connect, and which far side they reach.
#[derive(Clone)]
pub struct Client {
    /// Name of its table.
    pub name: String,
    /// Where the plain client connects.
    pub listen: SocketAddr,
    /// `host:port` of the far side, tried in this order.
    pub connect: Vec<String>,
    /// Who the far side must be; there is no default (F1).
    pub peer: Expected,
    /// What is looked at.
    pub inspection: Inspection,
    /// Waits and numbers.
    pub limits: Limits,
    /// How long connections under a contract that a reload replaces go on. Default 5 min.
    pub contract_grace: Duration,
    /// Least TLS version.
    pub tls: TlsFloor,
    /// What it shows and whom it believes.
    pub identity: IdentitySource,
}

/// Where certificate, key and roots come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// A name in the state directory: issued by the Authority of this process, or by joining.
    State(String),
    /// Existing certificates: PEM files.
    Files {
        /// Chain, leaf first.
        chain: PathBuf,
        /// The leaf's key.
        key: PathBuf,
        /// Whom it believes.
        trust: TrustFiles,
        /// The names that peers have here. Default none: those in their certificates.
        mapping: Option<Mapping>,
    },
}

/// Files that say whom to believe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustFiles {
    /// Roots that are believed, in PEM.
    pub roots: PathBuf,
    /// Revocation lists, PEM or DER, at most one of each issuer.
    pub crls: Vec<PathBuf>,
    /// What certificates under these roots are let off. Default nothing.
    pub danger_tolerate: Tolerate,
}

/// `[[trust.foreign]]`: another authority whose certificates are believed beside the own one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its files.
    pub trust: TrustFiles,
    /// Who its peers are here; its realm is the authority's name.
    pub mapping: Mapping,
}

/// The trust domain where nothing else is said.
pub const DEFAULT_TRUST_DOMAIN: &str = "segwan.internal";

/// One worker thread for each core.
#[must_use]
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Config {
    /// Reads a configuration file and everything that it names; gives it with its warnings.
    ///
    /// # Errors
    /// Every independent error, each with its place.
    pub fn load(path: &Path) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        file::load(path)
    }
}

/// Compiles what `allow` and the policies of a service say, against the actions of its contract;
/// gives it with its warnings.
///
/// # Errors
/// Every independent error, each with its place in a policy file; what is wrong with `allow` or
/// the set as a whole has no place.
pub fn policy(service: &Service) -> Result<(Policy, Vec<Finding>), Vec<Finding>> {
    let contract = service.inspection.contract().map(|contract| &**contract);
    compile(&service.name, contract, &service.allow, &service.policies)
}

fn compile(
    service: &str,
    contract: Option<&Contract>,
    allow: &[Identity],
    policies: &[PolicySource],
) -> Result<(Policy, Vec<Finding>), Vec<Finding>> {
    let actions = contract.map(Contract::actions).unwrap_or_default();
    let named = |finding: Finding| Finding { check: finding.check.or(Some("C13")), ..finding };
    let role = contract.and_then(Contract::role);
    Policy::compile(service, &actions, allow, policies)
        .map(|(policy, warnings)| (policy.with_roles(role), warnings))
        .map_err(|findings| findings.into_iter().map(named).collect())
}

#[cfg(test)]
mod tests;
