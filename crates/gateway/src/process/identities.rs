//! Whose certificates this process shows: issued by its own Authority, got by joining, or read
//! from files that somebody else looks after.

use super::authority::Opened;
use super::files::{Files, Watched};
use crate::cli::Failure;
use crate::config::{Client, IdentitySource, Service};
use segwan::agent::Sightings;
use segwan::tls::authority::{AUTHORITY_NAME, AuthorityAcceptor};
use segwan::{Agent, Credentials, Trust};
use segwan_pki::directory::StateDir;
use segwan_pki::profile::Profile;
use std::sync::Arc;

/// What a listener shows and whom it believes.
pub(super) struct Shown {
    pub(super) credentials: Arc<Credentials>,
    pub(super) trust: Arc<Trust>,
    /// Where certificates of peers are noted, if the Authority wants to know.
    pub(super) seen: Option<Arc<Sightings>>,
}

/// The identities of a process, each held once.
pub(super) struct Identities<'a> {
    state: &'a StateDir,
    authority: Option<&'a Opened>,
    agents: Vec<Arc<Agent>>,
    files: Vec<Watched>,
}

impl<'a> Identities<'a> {
    pub(super) fn new(
        state: &'a StateDir,
        authority: Option<&'a Opened>,
        enrolled: Vec<Agent>,
    ) -> Self {
        Self {
            state,
            authority,
            agents: enrolled.into_iter().map(Arc::new).collect(),
            files: Vec::new(),
        }
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
            &authority.root(),
            authority.trust_domain().clone(),
            authority.renewal_grace(),
        );
        let failed = |error| Failure::cannot_start(format!("the Authority's port: {error}"));
        acceptor.map(|acceptor| Some(Arc::new(acceptor))).map_err(failed)
    }

    /// The agents, and the files that have to be watched.
    pub(super) fn into_parts(self) -> (Vec<Arc<Agent>>, Vec<Watched>) {
        (self.agents, self.files)
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
                let seen = Some(agent.sightings());
                Ok(Shown { credentials: agent.credentials(), trust: agent.trust(), seen })
            }
            IdentitySource::Files { chain, key, roots, crls } => {
                let files = Files {
                    table: table.to_owned(),
                    chain: chain.clone(),
                    key: key.clone(),
                    roots: roots.clone(),
                    crls: crls.clone(),
                };
                let watched = Watched::begin(files)
                    .map_err(|why| Failure::cannot_start(format!("`{table}`: {why}")))?;
                let (credentials, trust) = (watched.credentials(), watched.trust());
                self.files.push(watched);
                Ok(Shown { credentials, trust, seen: None })
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
