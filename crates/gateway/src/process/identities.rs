//! Whose certificates this process shows: issued by its own Authority, got by joining, or read
//! from files that somebody else looks after.

use super::authority::Opened;
use super::files::{Pair, Watched};
use crate::cli::Failure;
use crate::config::{Client, Foreign, IdentitySource, Service};
use segwan::agent::Sightings;
use segwan::tls::authority::{AUTHORITY_NAME, AuthorityAcceptor};
use segwan::{Agent, Caution, Credentials, Trust};
use segwan_core::identity::FOREIGN;
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
    caution: Caution,
    agents: Vec<Arc<Agent>>,
    files: Vec<Watched>,
    /// Foreign authorities, believed beside ours.
    foreign: Vec<Watched>,
}

impl<'a> Identities<'a> {
    pub(super) fn new(
        state: &'a StateDir,
        authority: Option<&'a Opened>,
        enrolled: Vec<Agent>,
        caution: Caution,
        foreign: &[Foreign],
    ) -> Result<Self, Failure> {
        let read = |foreign: &Foreign| {
            let failed =
                |why| Failure::cannot_start(format!("`{FOREIGN}/{}`: {why}", foreign.name()));
            Watched::foreign(foreign).map_err(failed)
        };
        let mut foreign = foreign.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let agents: Vec<_> = enrolled.into_iter().map(Arc::new).collect();
        agents.iter().for_each(|agent| agent.set_caution(caution));
        for foreign in &mut foreign {
            for agent in &agents {
                foreign.stand_beside(agent.trust()).map_err(Failure::cannot_start)?;
            }
        }
        Ok(Self { state, authority, caution, agents, files: Vec::new(), foreign })
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
        let mut files = self.files;
        files.extend(self.foreign);
        (self.agents, files)
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
            IdentitySource::Files { chain, key, trust, mapping } => {
                let pair = Pair { chain: chain.clone(), key: key.clone() };
                let failed = |why| Failure::cannot_start(format!("`{table}`: {why}"));
                let (trust, mapping) = (trust.clone(), mapping.clone());
                let stale_crl = self.caution.stale_crl;
                let watched = Watched::begin(table.to_owned(), &pair, trust, mapping, stale_crl)
                    .map_err(failed)?;
                let nothing = || failed("it shows nothing".to_owned());
                let (credentials, trust) = watched.of_table().ok_or_else(nothing)?;
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
        agent.set_caution(self.caution);
        let agent = Arc::new(agent);
        // The Authority's own port knows its agents alone.
        if profile != Profile::Authority {
            for foreign in &mut self.foreign {
                foreign.stand_beside(agent.trust()).map_err(Failure::cannot_start)?;
            }
        }
        self.agents.push(agent.clone());
        Ok(agent)
    }
}
