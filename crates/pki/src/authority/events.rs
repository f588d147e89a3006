//! What agents are told: the event stream.
//!
//! The store's numbered events are the truth; whoever listens is only woken. An agent that missed
//! too much, or comes from another epoch, gets everything anew.

mod answers;
mod hearers;
mod trust;

pub use answers::{Confirmation, Silent};
pub(super) use hearers::Hearers;

use super::{Authority, AuthorityError};
use crate::api::{AgentEvent, EventLine};
use crate::store;
use hearers::Hearer;
use std::sync::{MutexGuard, PoisonError};
use tokio::sync::watch;

/// A name may listen from so many installations more than machines may hold it: for one that was
/// rebuilt.
const SPARE_PLACES: i64 = 3;
/// Most agents that listen at once.
const HEARERS: usize = 20_000;

/// Who listens: one identity at one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The installation: 1 to 64 characters.
    pub instance: String,
    /// Name of the registration, as the certificate proves it.
    pub name: String,
    /// Serial number of that certificate.
    pub serial: String,
    /// Key id of its issuer.
    pub issuer: String,
    /// `gateway`, `client` or `library`.
    pub kind: String,
    /// Its version of Segwan.
    pub version: String,
    /// What its host calls itself.
    pub host: String,
    /// Its address.
    pub address: String,
}

/// One agent's stream; the agent counts as listening while this exists.
pub struct Subscription {
    authority: Authority,
    agent: Agent,
    generation: u64,
    head: watch::Receiver<i64>,
    after: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// `hello` is due, then what follows this event; `None`: everything anew.
    Hello(Option<i64>),
    /// Everything anew is due.
    Everything,
    /// What follows this event.
    Event(i64),
    /// Nothing more: its certificate was revoked.
    Over,
}

impl Authority {
    /// Lets an agent listen. `after` is epoch and number of the last event that it has in force.
    ///
    /// # Errors
    /// If too many listen, or the store cannot be read.
    pub async fn subscribe(
        &self,
        agent: Agent,
        after: Option<(i64, i64)>,
        now_ms: i64,
    ) -> Result<Subscription, AuthorityError> {
        let head = self.0.head.subscribe();
        let last = *head.borrow();
        let after = match after {
            Some((epoch, seq)) if epoch == self.0.epoch && (0..=last).contains(&seq) => {
                // A gap means that events were forgotten.
                let kept = seq == last || self.0.store.event(seq + 1).await?.is_some();
                kept.then_some(seq)
            }
            _ => None,
        };
        let known = store::Agent {
            instance: &agent.instance,
            name: &agent.name,
            kind: &agent.kind,
            version: &agent.version,
            host: &agent.host,
            address: &agent.address,
        };
        let row = self.0.store.registration(&agent.name).await?;
        let most = row.map_or(1, |row| row.max_lineages).max(1) + SPARE_PLACES;
        // Being heard of is worth a line in the store, and no refusal where the disk is full.
        if let Ok(mut writing) = self.0.store.write().await {
            writing.heard(&known, after.unwrap_or(0), now_ms).await?;
            writing.keep_agents(&agent.name, most).await?;
            writing.arrived(&agent.issuer, &agent.serial, now_ms).await?;
            writing.commit().await?;
        }
        let generation = {
            let mut hearers = self.hearers();
            let key = (agent.instance.clone(), agent.name.clone());
            hearers.make_room(&key, usize::try_from(most).unwrap_or(usize::MAX));
            if hearers.by_agent.len() >= HEARERS && !hearers.by_agent.contains_key(&key) {
                let why = format!("{HEARERS} agents listen already");
                return Err(store::StoreError::Unavailable(why).into());
            }
            hearers.next += 1;
            let generation = hearers.next;
            let hearer = Hearer { generation, acked: after.unwrap_or(0), closed: Vec::new() };
            hearers.by_agent.insert(key, hearer);
            generation
        };
        let after = After::Hello(after);
        Ok(Subscription { authority: self.clone(), agent, generation, head, after })
    }

    /// Number of the last event.
    #[must_use]
    pub fn last_event(&self) -> i64 {
        *self.0.head.borrow()
    }

    /// The store's epoch: it rises with a restore.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.0.epoch
    }

    /// How many agents listen now, by installation and name.
    #[must_use]
    pub fn listening(&self) -> Vec<(String, String)> {
        self.hearers().by_agent.keys().cloned().collect()
    }

    /// Wakes whoever listens.
    pub(super) fn tell(&self, seq: i64) {
        self.0.head.send_modify(|head| *head = (*head).max(seq));
    }

    fn hearers(&self) -> MutexGuard<'_, Hearers> {
        self.0.hearers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One event as it is sent.
    async fn line(&self, stored: store::Stored, now_ms: i64) -> Result<EventLine, AuthorityError> {
        let broken = |what: &str| AuthorityError::Broken(what.to_owned());
        let event = match stored.kind.as_str() {
            "revoked" => AgentEvent::Revoked {
                certificates: serde_json::from_str(&stored.body)
                    .map_err(|_| broken("an event in the store cannot be read"))?,
                crls: self.crls().await?,
            },
            "bundle" => AgentEvent::Bundle {
                bundle: self.bundle(now_ms).await?.1,
                crls: self.crls().await?,
            },
            "renew_now" => serde_json::from_str(&stored.body)
                .map_err(|_| broken("an event in the store cannot be read"))?,
            other => return Err(broken(&format!("the store has an event `{other}`"))),
        };
        Ok(EventLine { epoch: self.0.epoch, seq: stored.seq, at_ms: stored.at_ms, event })
    }
}

impl Subscription {
    /// The next line; waits for one. `None`: the stream is over, because another one of the same
    /// agent took its place, or its certificate was revoked.
    ///
    /// May be dropped while it waits: nothing is lost then.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn next(
        &mut self,
        now_ms: impl Fn() -> i64,
    ) -> Result<Option<EventLine>, AuthorityError> {
        loop {
            let last = *self.head.borrow_and_update();
            if !self.is_current() {
                return Ok(None);
            }
            match self.after {
                After::Over => return Ok(None),
                After::Hello(after) => {
                    self.after = after.map_or(After::Everything, After::Event);
                    return Ok(Some(self.mark(last, now_ms(), AgentEvent::Hello)));
                }
                After::Everything => {
                    let trust = self.authority.trust(now_ms()).await?;
                    let seq = trust.seq;
                    self.after = After::Event(seq);
                    let event = AgentEvent::Snapshot { trust };
                    return Ok(Some(self.mark(seq, now_ms(), event)));
                }
                After::Event(seq) if seq < last => {
                    let Some(stored) = self.authority.0.store.event(seq + 1).await? else {
                        self.after = After::Everything;
                        continue;
                    };
                    let line = self.authority.line(stored, now_ms()).await?;
                    let ends = matches!(&line.event, AgentEvent::Revoked { certificates, .. }
                        if certificates.iter().any(|one| one.serial == self.agent.serial
                            && one.issuer == self.agent.issuer));
                    self.after = if ends { After::Over } else { After::Event(seq + 1) };
                    return Ok(Some(line));
                }
                After::Event(_) => {}
            }
            if self.head.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// A line that says that the stream lives.
    #[must_use]
    pub fn keepalive(&self, now_ms: i64) -> EventLine {
        self.mark(*self.head.borrow(), now_ms, AgentEvent::Keepalive)
    }

    fn mark(&self, seq: i64, at_ms: i64, event: AgentEvent) -> EventLine {
        EventLine { epoch: self.authority.0.epoch, seq, at_ms, event }
    }

    fn is_current(&self) -> bool {
        let key = (self.agent.instance.clone(), self.agent.name.clone());
        let hearers = self.authority.hearers();
        hearers.by_agent.get(&key).is_some_and(|hearer| hearer.generation == self.generation)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let key = (self.agent.instance.clone(), self.agent.name.clone());
        let mut hearers = self.authority.hearers();
        if hearers.by_agent.get(&key).is_some_and(|hearer| hearer.generation == self.generation) {
            hearers.by_agent.remove(&key);
        }
        drop(hearers);
        self.authority.0.head.send_modify(|_| {});
    }
}
