//! `Installation`: a state directory, and the process that `segwan serve` would run on it.

use crate::pki::{DOMAIN, Leaf};
use crate::service::Service as Plain;
use crate::world::{ADD_TEN, loopback};
use segwan::{Agent, TlsFloor};
use segwan_core::contract::Contract;
use segwan_core::limits::Limits;
use segwan_gateway::config::{
    AuthorityConfig, Config, CustodyConfig, IdentitySource, Service, Source,
};
use segwan_gateway::failure::Failure;
use segwan_gateway::gateway::{CONTRACT_GRACE, Inspection, Upstream};
use segwan_gateway::process::{Process, TOKEN_LIFETIME};
use segwan_pki::authority::{LEAF_LIFETIME, RENEWAL_GRACE};
use segwan_pki::certificate::Certificate;
use segwan_pki::directory::StateDir;
use segwan_pki::enrollment::Token;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

/// A place for states, a plain service, and a runtime for what stands between them.
pub struct Installation {
    folder: tempfile::TempDir,
    /// The plain service behind it.
    pub service: Plain,
    /// Where its processes run.
    pub runtime: Runtime,
    /// `root_fingerprint` of the Authority's table.
    pub root: Option<String>,
}

/// Each file of a tree: its mode, and what it holds.
pub type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

impl Default for Installation {
    fn default() -> Self {
        Self::new()
    }
}

impl Installation {
    /// An empty one.
    ///
    /// # Panics
    /// If there is no place for it.
    #[must_use]
    pub fn new() -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a directory");
        Self { folder, service: Plain::numbers(), runtime, root: None }
    }

    /// One whose process ran once. The Authority is made once for all tests of a program, because
    /// the passphrase of its root key is slow by intent; each test has its own copy.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn used() -> Self {
        static FIRST: OnceLock<Tree> = OnceLock::new();
        let first = FIRST.get_or_init(|| {
            let first = Self::new();
            let process = first.start().map_err(|failure| failure.to_string()).expect("a start");
            first.stop(process);
            let within = |(path, file): (PathBuf, _)| {
                (path.strip_prefix(first.state()).expect("a path").to_owned(), file)
            };
            first.tree().into_iter().map(within).collect()
        });
        let used = Self::new();
        make(&used.state(), S_IFDIR | 0o700, b"");
        for (path, (mode, holds)) in first {
            make(&used.state().join(path), *mode, holds);
        }
        used
    }

    /// The state directory of the gateway.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts what `segwan serve calculator --allow app` would.
    ///
    /// # Errors
    /// What the operator would read.
    ///
    /// # Panics
    /// If the article's contract does not load.
    pub fn start(&self) -> Result<Process, Failure> {
        self.start_telling(|_| Ok(()))
    }

    /// As [`start`](Self::start); `tell` hears of it before anybody can ask how things stand.
    ///
    /// # Errors
    /// What the operator would read.
    ///
    /// # Panics
    /// If the article's contract does not load.
    pub fn start_telling(
        &self,
        tell: impl FnOnce(&mut Process) -> Result<(), Failure>,
    ) -> Result<Process, Failure> {
        let alone = |_: &str| Err("there is no other file".to_owned());
        let (contract, _) = Contract::load("add-ten.toml", ADD_TEN, &alone).expect("a contract");
        let domain: segwan::TrustDomain = DOMAIN.parse().expect("a trust domain");
        let service = Service {
            name: "calculator".to_owned(),
            listen: loopback(),
            upstream: Upstream::Tcp(self.service.address),
            inspection: Inspection::Contract(contract),
            beside: None,
            allow: vec![domain.identity("app").expect("a name")],
            policies: Vec::new(),
            limits: Limits::default(),
            contract_grace: CONTRACT_GRACE,
            tls: TlsFloor::V13,
            identity: IdentitySource::State("calculator".to_owned()),
            audit_all: false,
        };
        let authority = AuthorityConfig {
            listen: loopback(),
            advertise: Vec::new(),
            must_exist: false,
            root_fingerprint: self.root.clone(),
            leaf_lifetime: LEAF_LIFETIME,
            renewal_grace: RENEWAL_GRACE,
            registrations: Vec::new(),
            danger_root_online: false,
            custody: CustodyConfig::default(),
        };
        let config = Config {
            state_dir: None,
            threads: Some(1),
            admin: None,
            trust_domain: domain,
            caution: segwan::Caution::default(),
            authority: Some(authority),
            foreign: Vec::new(),
            services: vec![service],
            clients: Vec::new(),
            source: Source::Nowhere,
            drain_timeout: Limits::default().drain_timeout,
        };
        let state = StateDir::open(&self.state())?;
        self.runtime.block_on(Process::start_telling(state, config, Vec::new(), tell))
    }

    /// Stops a process, and waits until it did.
    pub fn stop(&self, process: Process) {
        self.runtime.block_on(process.stop());
    }

    /// A token for a name.
    ///
    /// # Panics
    /// If the Authority makes none.
    #[must_use]
    pub fn token(&self, process: &Process, name: &str) -> Token {
        let at = process.running().authority.as_ref().expect("an Authority");
        let minted = at.authority.mint_token(name, at.advertise.clone(), TOKEN_LIFETIME, now_ms());
        self.runtime.block_on(minted).expect("a token")
    }

    /// Joins as `name` in a state directory of its own, over the Authority's port.
    ///
    /// # Errors
    /// Why it may not.
    ///
    /// # Panics
    /// If there is no place for its state.
    pub fn join(
        &self,
        token: &Token,
        name: &str,
        place: &str,
    ) -> Result<Agent, segwan::AgentError> {
        let state = StateDir::open(&self.folder.path().join(place)).expect("a state");
        self.runtime.block_on(Agent::enroll(state.credentials(name), token, None))
    }

    /// The certificate of a name that joined in `place`.
    ///
    /// # Panics
    /// If it did not.
    #[must_use]
    pub fn leaf(&self, name: &str, place: &str) -> Leaf {
        let current = self.folder.path().join(place).join("credentials").join(name).join("current");
        let read = |file: &str| std::fs::read_to_string(current.join(file)).expect("a file");
        Leaf { chain: read("chain.pem"), key: read("key.pem") }
    }

    /// The state directory of whoever joined in `place`.
    #[must_use]
    pub fn place(&self, place: &str) -> PathBuf {
        self.folder.path().join(place)
    }

    /// The certificate of whoever joined in `place`, and the lineage that it belongs to.
    ///
    /// # Panics
    /// If nobody did.
    #[must_use]
    pub fn facts(&self, name: &str, place: &str) -> (Certificate, String) {
        let state = StateDir::open_shared(&self.place(place)).expect("a state");
        let stored = state.credentials(name).current().expect("credentials").expect("some");
        (Certificate::read(&stored.chain[0]).expect("a certificate"), stored.meta.lineage)
    }

    /// All that the gateway's state holds.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        walk(&self.state(), &mut tree);
        tree
    }
}

/// Where the service of a process listens.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn listens(process: &Process) -> SocketAddr {
    process.running().gateway.addresses().first().expect("a listener").1
}

fn walk(path: &Path, tree: &mut Tree) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        let mode = path.symlink_metadata().expect("metadata").mode();
        let holds = if kind.is_symlink() {
            std::fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
        } else if kind.is_file() {
            std::fs::read(&path).expect("bytes")
        } else {
            Vec::new()
        };
        if kind.is_dir() {
            walk(&path, tree);
        }
        tree.insert(path, (mode, holds));
    }
}

/// Kinds of files, in what `stat` calls a mode.
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFLNK: u32 = 0o120_000;

fn make(path: &Path, mode: u32, holds: &[u8]) {
    let made = match mode & S_IFMT {
        S_IFDIR => std::fs::create_dir(path),
        S_IFLNK => return symlink(OsStr::from_bytes(holds), path).expect("a link"),
        _ => std::fs::write(path, holds),
    };
    made.expect("a file");
    let permissions = Permissions::from_mode(mode & 0o7777);
    std::fs::set_permissions(path, permissions).expect("a mode");
}

/// The wall clock, Unix milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
