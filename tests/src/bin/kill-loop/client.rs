//! `Client`: enrolls, renews and is revoked without end, and notes what it was given.
//!
//! A cut answer is asked for again with the same key, as every agent does. Whatever the kill hit, a
//! good token and a good certificate are never refused.

use crate::record::Record;
use crate::server::Server;
use segwan::{Agent, AgentError};
use segwan_gateway::admin::client;
use segwan_gateway::admin::wire::{
    ENABLE, REVOKE, RegistrationView, RevokeAnswer, RevokeRequest, TOKEN, TokenAnswer,
    TokenRequest, Whose,
};
use segwan_pki::directory::{CredentialStore, StateDir};
use segwan_pki::enrollment::Token;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// Whoever is cut off asks again after so long.
const PAUSE: Duration = Duration::from_millis(20);
/// A step that did not come to its end within this time never will.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    name: String,
    place: PathBuf,
    server: Server,
    record: Arc<Record>,
}

/// One enrollment and its renewals.
struct Life {
    agent: Agent,
    store: CredentialStore,
    serials: Vec<String>,
}

impl Client {
    pub(crate) fn new(number: usize, place: PathBuf, server: Server, record: Arc<Record>) -> Self {
        Self { name: format!("client-{number}"), place, server, record }
    }

    /// Lives until told to end; the step at work is brought to its end.
    pub(crate) async fn live(self, until: CancellationToken) {
        let mut before = Vec::new();
        let mut turn = 0_u32;
        while !until.is_cancelled() {
            turn += 1;
            match self.turn(turn, &mut before, &until).await {
                Ok(()) => {}
                Err(error) => return self.record.wrong(format!("`{}`: {error}", self.name)),
            }
        }
    }

    /// Enrolls, renews a few times, and now and then is revoked.
    async fn turn(
        &self,
        turn: u32,
        before: &mut Vec<String>,
        until: &CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut life = self.enroll(turn).await?;
        // The new machine took the place of the old one.
        self.record.ended(before.drain(..));
        for _ in 0..turn % 4 {
            if until.is_cancelled() {
                break;
            }
            self.renew(&mut life).await?;
        }
        self.revoke(turn, &life.serials).await?;
        *before = life.serials;
        Ok(())
    }

    /// Now and then the operator revokes: the last certificate, the lineage, or the whole name.
    async fn revoke(
        &self,
        turn: u32,
        serials: &[String],
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (what, ended) = match (turn % 5, serials) {
            (1, [.., last]) => (format!("serial:{last}"), std::slice::from_ref(last)),
            (2 | 3, all) => (self.name.clone(), all),
            _ => return Ok(()),
        };
        let by_name = what == self.name;
        let request = RevokeRequest { what, wait_ms: Some(1), ..RevokeRequest::default() };
        self.operate(REVOKE, request, |answer: Result<RevokeAnswer, String>| match answer {
            // It was done, and the answer cut off.
            Err(why) if why.contains("no certificate in force") => Some(()),
            answer => answer.ok().map(drop),
        })
        .await?;
        self.record.revoked();
        self.record.ended(ended.to_vec());
        if by_name {
            let request = Whose { what: self.name.clone() };
            let enabled = |answer: Result<RegistrationView, String>| answer.ok().map(|a| a.enabled);
            if !self.operate(ENABLE, request, enabled).await? {
                return Err("it is not enabled".into());
            }
        }
        Ok(())
    }

    async fn enroll(&self, turn: u32) -> Result<Life, Box<dyn Error + Send + Sync>> {
        let token = self.token().await?;
        let state = StateDir::open(&self.place.join(turn.to_string()))?;
        let store = state.credentials(&self.name);
        let agent = self.persist(async || Agent::enroll(store.clone(), &token, None).await).await?;
        self.record.enrolled();
        let mut life = Life { agent, store, serials: Vec::new() };
        self.note(&mut life)?;
        Ok(life)
    }

    async fn renew(&self, life: &mut Life) -> Result<(), Box<dyn Error + Send + Sync>> {
        let agent = &life.agent;
        self.persist(async || agent.renew().await).await?;
        self.record.renewed();
        self.note(life)
    }

    /// What came is on the disk: it is put on the record.
    fn note(&self, life: &mut Life) -> Result<(), Box<dyn Error + Send + Sync>> {
        let stored = life.store.current()?.ok_or("what was received is not on the disk")?;
        life.serials.push(self.record.received(&self.name, &stored));
        Ok(())
    }

    /// Asks until there is an answer; a refusal is a fault.
    async fn persist<T>(
        &self,
        mut ask: impl AsyncFnMut() -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match ask().await {
                Err(error) if error.is_passing() && Instant::now() < until => {
                    self.record.lost();
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn token(&self) -> Result<Token, Box<dyn Error + Send + Sync>> {
        let request = TokenRequest { name: self.name.clone(), ..TokenRequest::default() };
        let made = |answer: Result<TokenAnswer, String>| answer.ok().map(|made| made.token);
        Ok(Token::parse(&self.operate(TOKEN, request, made).await?)?)
    }

    /// Asks as an operator does, until `settled` is content with the answer.
    async fn operate<A: DeserializeOwned + Send + 'static, T>(
        &self,
        path: &'static str,
        request: impl Serialize + Clone + Send + 'static,
        settled: impl Fn(Result<A, String>) -> Option<T>,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (socket, request) = (self.server.socket(), request.clone());
            let asked = spawn_blocking(move || client::post::<A>(&socket, path, &request));
            let answer = asked.await?.map_err(|error| error.to_string());
            let why = answer.as_ref().err().cloned();
            if let Some(settled) = settled(answer) {
                return Ok(settled);
            }
            if Instant::now() > until {
                return Err(format!("{path}: {}", why.unwrap_or_default()).into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
