//! The Authority of a process: opened, or made at first start; its port; whom it registers.

use super::now_ms;
use crate::ca::{RootNag, root_key_since};
use crate::cli::Failure;
use crate::config::{AuthorityConfig, Config, CustodyConfig, IdentitySource, PassphraseSource};
use segwan_core::identity::Identity;
use segwan_pki::authority::{Authority, AuthorityOptions, Custody, Registration};
use segwan_pki::directory::StateDir;
use segwan_pki::enrollment::Token;
use segwan_pki::profile::Profile;
use segwan_pki::store::RegistrationRow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

/// How long a token is good.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The Authority of a running process.
pub struct AuthorityAtWork {
    /// It.
    pub authority: Authority,
    /// Where its API listens.
    pub listen: SocketAddr,
    /// `host:port` under which agents reach it, for tokens.
    pub advertise: Vec<String>,
    /// What is said of a root key on this host.
    pub nag: RootNag,
}

impl AuthorityAtWork {
    /// Whether the root's key lies on this host.
    #[must_use]
    pub fn root_key_online(&self) -> bool {
        root_key_since(self.authority.place()).is_some()
    }
}

/// The Authority, open, with its port bound and nobody served yet.
pub(super) struct Opened {
    at: AuthorityAtWork,
    listener: TcpListener,
}

/// Opens the Authority of `state`, or makes it if nothing speaks against that.
pub(super) async fn open(
    state: &StateDir,
    wanted: &AuthorityConfig,
    config: &Config,
) -> Result<Opened, Failure> {
    refuse_a_lost_authority(state, wanted)?;
    let listener = TcpListener::bind(wanted.listen).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => "is in use already".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "needs a right that this user has not".to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => "is no address of this host".to_owned(),
            _ => format!("cannot be bound: {error}"),
        };
        Failure::cannot_start(format!("the Authority's address `{}` {what}", wanted.listen))
            .hint("`--authority-listen ADDR`, or `listen` in `[authority]`, names another")
    })?;
    let failed = |error: std::io::Error| Failure::cannot_start(error.to_string());
    listener.set_nonblocking(true).map_err(failed)?;
    let listen = listener.local_addr().map_err(failed)?;
    let options = AuthorityOptions {
        trust_domain: config.trust_domain.clone(),
        leaf_lifetime: wanted.leaf_lifetime,
        renewal_grace: wanted.renewal_grace,
    };
    let CustodyConfig { key_passphrase, permitted } = &wanted.custody;
    let key_passphrase = key_passphrase.as_ref().map(PassphraseSource::read).transpose()?;
    let custody = Custody { key_passphrase, permitted: permitted.clone(), ..Custody::default() };
    let authority = Authority::open_with(state, &options, &custody, now_ms()).await?;
    if let Some(root) = wanted.root_fingerprint.as_ref()
        && *root != authority.root_fingerprint()
    {
        let is = authority.root_fingerprint();
        let sentence = format!("the root here is `sha256:{is}`, not `sha256:{root}`");
        return Err(Failure::cannot_start(sentence));
    }
    let advertise = match wanted.advertise.as_slice() {
        [] => vec![reachable(listen).to_string()],
        named => named.to_vec(),
    };
    let nag = if wanted.danger_root_online { RootNag::Silent } else { RootNag::Daily };
    Ok(Opened { at: AuthorityAtWork { authority, listen, advertise, nag }, listener })
}

/// A state directory that should hold an Authority and does not is a lost one, not a new one
/// (PKI-03).
fn refuse_a_lost_authority(state: &StateDir, wanted: &AuthorityConfig) -> Result<(), Failure> {
    if state.has_authority() || (wanted.root_fingerprint.is_none() && !wanted.must_exist) {
        return Ok(());
    }
    let place = state.path().display();
    Err(Failure::cannot_start(format!("there is no Authority in `{place}`, and none may be made"))
        .hint("is the volume mounted? Without `root_fingerprint` and `init` a new one is made"))
}

impl Opened {
    pub(super) fn authority(&self) -> &Authority {
        &self.at.authority
    }

    pub(super) fn at_work(self) -> (AuthorityAtWork, TcpListener) {
        (self.at, self.listener)
    }

    /// Says in the bundle where agents reach the Authority.
    pub(super) async fn advertise(&self) -> Result<(), Failure> {
        Ok(self.at.authority.advertise(self.at.advertise.clone(), now_ms()).await?)
    }

    /// Registers an identity of this process, if nobody did.
    pub(super) async fn know(&self, name: &str, profile: Profile) -> Result<(), Failure> {
        let known = self.at.authority.registrations().await?;
        if known.iter().any(|row| row.name == name && row.profile == profile.as_str()) {
            return Ok(());
        }
        let registration = Registration::new(name, profile);
        Ok(self.at.authority.register(&registration, now_ms()).await?)
    }

    /// Registers services with the addresses at which they are reached, and everybody who is
    /// allowed; gives a token for each name that was not known before.
    pub(super) async fn register(
        &self,
        config: &Config,
        addresses: &[(String, SocketAddr)],
    ) -> Result<Vec<Token>, Failure> {
        let authority = &self.at.authority;
        let mut clients: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for service in &config.services {
            let IdentitySource::State(identity) = &service.identity else { continue };
            let at = addresses.iter().find(|(name, _)| *name == service.name);
            let known = authority.registration(identity).await?;
            let known = known.as_ref().and_then(Registration::of);
            let known = known.unwrap_or_else(|| Registration::new(identity, Profile::Service));
            let addresses = at.map(|(_, at)| self.advertised(*at)).unwrap_or_default();
            // A registration of another use is refused by its own sentence.
            let registration = Registration { addresses, profile: Profile::Service, ..known };
            authority.register(&registration, now_ms()).await?;
            for name in service.allow.iter().filter_map(|allowed| self.own_name(allowed)) {
                clients.entry(name.to_owned()).or_default().push(identity.clone());
            }
        }
        let known = authority.registrations().await?;
        let is_new = |name: &&String| known.iter().all(|row| row.name != **name);
        let fresh: Vec<_> = clients.keys().filter(is_new).cloned().collect();
        // Before those of `allow`, whose use it may say.
        for said in config.authority.iter().flat_map(|wanted| &wanted.registrations) {
            let known = authority.registration(&said.name).await?;
            let known = known.as_ref().and_then(Registration::of);
            let registration = said.clone().over(known).map_err(Failure::cannot_start)?;
            authority.register(&registration, now_ms()).await?;
        }
        let known = authority.registrations().await?;
        let row = |name: &str| known.iter().find(|row| row.name == name);
        for (name, services) in clients {
            self.register_client(row(&name), name, Profile::Client, services).await?;
        }
        let mut tokens = Vec::new();
        for name in fresh {
            let advertise = self.at.advertise.clone();
            tokens.push(authority.mint_token(&name, advertise, TOKEN_LIFETIME, now_ms()).await?);
        }
        Ok(tokens)
    }

    /// A name keeps the use that it was registered for, and the services it had.
    async fn register_client(
        &self,
        known: Option<&RegistrationRow>,
        name: String,
        profile: Profile,
        mut services: Vec<String>,
    ) -> Result<(), Failure> {
        let known = known.and_then(Registration::of);
        let known = known.unwrap_or_else(|| Registration::new(&name, profile));
        services.extend(known.services.iter().cloned());
        services.sort();
        services.dedup();
        let registration = Registration { services, ..known };
        Ok(self.at.authority.register(&registration, now_ms()).await?)
    }

    /// The registration name of an identity of this Authority.
    fn own_name<'i>(&self, identity: &'i Identity) -> Option<&'i str> {
        let own = self.at.authority.trust_domain();
        let ours = identity.trust_domain() == Some(own.as_str()) && !identity.is_foreign();
        identity.path().filter(|_| ours)
    }

    /// `host:port` of a listener, by the hosts under which the Authority is reached.
    fn advertised(&self, at: SocketAddr) -> Vec<String> {
        if !at.ip().is_unspecified() {
            return vec![at.to_string()];
        }
        let host = |address: &String| {
            address.rsplit_once(':').map(|(host, _)| format!("{host}:{}", at.port()))
        };
        self.at.advertise.iter().filter_map(host).collect()
    }
}

/// The address under which a listener is reached: its own if that is specific, else the source
/// address that the kernel picks for the default route, else loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    // Documentation addresses (RFC 5737, RFC 3849): connecting a datagram socket sends nothing.
    let (any, far, loopback): (IpAddr, IpAddr, IpAddr) = match listen {
        SocketAddr::V4(_) => (
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Ipv4Addr::LOCALHOST.into(),
        ),
        SocketAddr::V6(_) => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::LOCALHOST.into(),
        ),
    };
    let picked = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((far, 9))?;
        socket.local_addr()
    });
    SocketAddr::new(picked.map_or(loopback, |address| address.ip()), listen.port())
}
