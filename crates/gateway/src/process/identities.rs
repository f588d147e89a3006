//! Whose certificates this process shows: issued by its own Authority, got by joining, or read
//! from files that somebody else looks after.

use super::authority::Opened;
use crate::cli::Failure;
use crate::config::{Client, IdentitySource, Service};
use segwan::tls::authority::{AUTHORITY_NAME, AuthorityAcceptor};
use segwan::{Agent, Credentials, Trust};
use segwan_pki::directory::StateDir;
use segwan_pki::profile::Profile;
use std::path::Path;
use std::sync::Arc;

/// Largest PEM file, in bytes (`pki.md` section 1).
const LARGEST: u64 = 64 * 1024;

/// What a listener shows and whom it believes.
pub(super) struct Shown {
    pub(super) credentials: Arc<Credentials>,
    pub(super) trust: Arc<Trust>,
}

/// The identities of a process, each held once.
pub(super) struct Identities<'a> {
    state: &'a StateDir,
    authority: Option<&'a Opened>,
    agents: Vec<Arc<Agent>>,
}

impl<'a> Identities<'a> {
    pub(super) fn new(
        state: &'a StateDir,
        authority: Option<&'a Opened>,
        enrolled: Vec<Agent>,
    ) -> Self {
        Self { state, authority, agents: enrolled.into_iter().map(Arc::new).collect() }
    }

    pub(super) async fn of_service(&mut self, service: &Service) -> Result<Shown, Failure> {
        self.shown(&service.identity, &service.name, Profile::Service).await
    }

    pub(super) async fn of_client(&mut self, client: &Client) -> Result<Shown, Failure> {
        self.shown(&client.identity, &client.name, Profile::Client).await
    }

    /// The Authority's own port shows an identity of its own.
    pub(super) async fn of_authority(&mut self) -> Result<Option<Arc<AuthorityAcceptor>>, Failure> {
        let Some(opened) = self.authority else { return Ok(None) };
        let agent = self.agent(AUTHORITY_NAME, Profile::Authority).await?;
        let authority = opened.authority();
        let acceptor = AuthorityAcceptor::new(
            &agent.credentials(),
            authority.root(),
            authority.trust_domain().clone(),
            authority.renewal_grace(),
        );
        let failed = |error| Failure::cannot_start(format!("the Authority's port: {error}"));
        acceptor.map(|acceptor| Some(Arc::new(acceptor))).map_err(failed)
    }

    pub(super) fn into_agents(self) -> Vec<Arc<Agent>> {
        self.agents
    }

    async fn shown(
        &mut self,
        source: &IdentitySource,
        table: &str,
        profile: Profile,
    ) -> Result<Shown, Failure> {
        match source {
            IdentitySource::State(name) => {
                let agent = self.agent(name, profile).await?;
                Ok(Shown { credentials: agent.credentials(), trust: agent.trust() })
            }
            IdentitySource::Files { chain, key, roots } => {
                let bad = |error: String| Failure::cannot_start(format!("`{table}`: {error}"));
                let credentials = Credentials::from_pem(&read(chain)?, &read(key)?)
                    .map_err(|error| bad(format!("`{}`: {error}", chain.display())))?;
                let trust = Trust::files(&read(roots)?)
                    .map_err(|error| bad(format!("`{}`: {error}", roots.display())))?;
                Ok(Shown { credentials: Arc::new(credentials), trust: Arc::new(trust) })
            }
        }
    }

    async fn agent(&mut self, name: &str, profile: Profile) -> Result<Arc<Agent>, Failure> {
        if let Some(known) = self.agents.iter().find(|agent| agent.identity().path() == Some(name))
        {
            return Ok(known.clone());
        }
        let store = self.state.credentials(name);
        let stored = store.current().map_err(|error| match self.authority {
            // Another Authority is the last thing that is wanted here.
            Some(_) => Failure::cannot_start(error.to_string()).hint(format!(
                "remove `{}`; the Authority of this state issues anew",
                store.path().display()
            )),
            None => error.into(),
        })?;
        let elsewhere = stored.is_some_and(|stored| !stored.meta.authority.is_empty());
        let agent = match self.authority {
            Some(opened) if !elsewhere => {
                opened.know(name, profile).await?;
                Agent::within(store, opened.authority().clone(), name).await?
            }
            _ => Agent::resume(store)?.ok_or_else(|| {
                Failure::cannot_start(format!("there are no credentials of `{name}` here"))
                    .hint(format!("`segwan join TOKEN --as {name}` gets them, once"))
            })?,
        };
        let agent = Arc::new(agent);
        self.agents.push(agent.clone());
        Ok(agent)
    }
}

/// A file of certificates or a key, if it is of a sensible size.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable =
        |why: String| Failure::cannot_start(format!("`{}` cannot be read: {why}", path.display()));
    let size = path.metadata().map_err(|error| unreadable(error.kind().to_string()))?.len();
    if size > LARGEST {
        return Err(unreadable(format!("{size} bytes are over the limit of {LARGEST}")));
    }
    std::fs::read(path).map_err(|error| unreadable(error.kind().to_string()))
}
