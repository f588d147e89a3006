//! What agents are told, and what they answer: the event stream, acknowledgements, reports.
//!
//! The store's numbered events are the truth; whoever listens is only woken. An agent that missed
//! too much, or comes from another epoch, gets everything anew.

use super::{Authority, AuthorityError};
use crate::api::{
    self, AckRequest, AgentEvent, EventLine, ReportRequest, RevokedCertificate, SIGHTINGS,
    SignedBundle, TrustAnswer,
};
use crate::bundle::Bundle;
use crate::store;
use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};
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

/// Everybody who listens now.
#[derive(Default)]
pub(super) struct Hearers {
    next: u64,
    by_agent: HashMap<(String, String), Hearer>,
}

impl Hearers {
    /// Ends the oldest streams of a name that has more than it may.
    fn make_room(&mut self, newcomer: &(String, String), most: usize) {
        loop {
            let others = self.by_agent.iter().filter(|(key, _)| key.1 == newcomer.1);
            let mut others: Vec<_> = others
                .filter(|(key, _)| *key != newcomer)
                .map(|(k, h)| (h.generation, k))
                .collect();
            if others.len() < most {
                return;
            }
            others.sort_unstable();
            let Some(oldest) = others.first().map(|(_, key)| (*key).clone()) else { return };
            self.by_agent.remove(&oldest);
        }
    }
}

struct Hearer {
    /// Which of the streams of this agent: a second one replaces the first.
    generation: u64,
    acked: i64,
    /// Connections that the last few events ended here.
    closed: Vec<(i64, u64)>,
}

/// No gateway holds more connections than that.
const MOST_CLOSED: u64 = 10_000_000;
/// How many events a count of ended connections is kept for.
const COUNTED: usize = 16;

/// What became of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Agents that listened when it was made.
    pub live: usize,
    /// Those that have it in force.
    pub confirmed: usize,
    /// Connections that they ended for it.
    pub closed: u64,
    /// From commit to the last answer.
    pub took: Duration,
    /// Who did not answer.
    pub silent: Vec<Silent>,
}

/// An agent that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// Name of the registration.
    pub name: String,
    /// What its host calls itself.
    pub host: String,
    /// When it was heard last, Unix milliseconds.
    pub heard_ms: i64,
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

    /// Notes that an agent has an event in force, and how many connections that ended.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn acknowledge(
        &self,
        name: &str,
        ack: &AckRequest,
        now_ms: i64,
    ) -> Result<(), AuthorityError> {
        let AckRequest { instance, seq, bundle_version, closed } = ack;
        let seq = (*seq).min(*self.0.head.borrow());
        if let Some(hearer) = self.hearers().by_agent.get_mut(&(instance.clone(), name.to_owned()))
        {
            hearer.acked = hearer.acked.max(seq);
            // One answer for each event: an agent that says it again replaces what it said.
            hearer.closed.retain(|(of, _)| *of != seq);
            hearer.closed.push((seq, (*closed).min(MOST_CLOSED)));
            let excess = hearer.closed.len().saturating_sub(COUNTED);
            hearer.closed.drain(..excess);
        }
        // Whoever waits for answers looks again.
        self.0.head.send_modify(|_| {});
        if let Ok(mut writing) = self.0.store.write().await {
            writing.acknowledged((instance, name), seq, *bundle_version, None, now_ms).await?;
            writing.commit().await?;
        }
        Ok(())
    }

    /// Notes what an agent has seen. Only who listens for peers is believed about what it saw.
    /// Gives the certificates that carry our signature and that the store does not know.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn report(
        &self,
        name: &str,
        listens: bool,
        report: &ReportRequest,
        now_ms: i64,
    ) -> Result<Vec<String>, AuthorityError> {
        let mut new = Vec::new();
        let mut writing = self.0.store.write().await?;
        let skew = report.now_ms.saturating_sub(now_ms);
        writing
            .acknowledged((&report.instance, name), 0, report.bundle_version, Some(skew), now_ms)
            .await?;
        for seen in report.seen.iter().take(if listens { SIGHTINGS } else { 0 }) {
            // The clock of an agent may be wrong, but nothing was seen in the future.
            let when = (seen.first_ms.min(now_ms), seen.last_ms.min(now_ms));
            let from: String = seen.from.chars().take(64).collect();
            let known = writing.saw(&seen.issuer, &seen.serial, when, name, &from).await?;
            let ours = self.keys().get(&seen.issuer).is_some();
            let sound =
                seen.serial.len() <= 40 && seen.serial.bytes().all(|b| b.is_ascii_hexdigit());
            if !known
                && ours
                && sound
                && writing.saw_unrecorded(&seen.issuer, &seen.serial, when, name).await?
            {
                new.push(seen.serial.clone());
            }
        }
        writing.commit().await?;
        Ok(new)
    }

    /// Waits until everybody who listened at `revocation` has it in force, at most `wait`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn confirmed(
        &self,
        seq: i64,
        committed: Instant,
        wait: Duration,
    ) -> Result<Confirmation, AuthorityError> {
        let mut head = self.0.head.subscribe();
        let deadline = committed + wait;
        // Who goes away after an answer has answered; who goes away before is silent.
        let asked: Vec<_> = self.hearers().by_agent.keys().cloned().collect();
        let mut answers: HashMap<(String, String), u64> = HashMap::new();
        let mut over: Vec<(String, String)> = Vec::new();
        loop {
            head.mark_unchanged();
            {
                let hearers = self.hearers();
                for key in &asked {
                    match hearers.by_agent.get(key) {
                        Some(hearer) if hearer.acked >= seq => {
                            let ended = hearer.closed.iter().filter(|(of, _)| *of == seq);
                            let ended = ended.map(|(_, closed)| *closed);
                            answers.insert(key.clone(), ended.fold(0, u64::saturating_add));
                        }
                        // Its own certificate was revoked: it is told, and is no agent any more.
                        None if !answers.contains_key(key) && !over.contains(key) => {
                            over.push(key.clone());
                        }
                        _ => {}
                    }
                }
            }
            if answers.len() + over.len() >= asked.len() {
                break;
            }
            let changed = tokio::time::timeout_at(deadline.into(), head.changed());
            if !matches!(changed.await, Ok(Ok(()))) {
                break;
            }
        }
        let took = committed.elapsed();
        over.retain(|key| !answers.contains_key(key));
        let missing: Vec<_> =
            asked.iter().filter(|key| !answers.contains_key(*key) && !over.contains(key)).collect();
        let known = self.0.store.agents(0).await?;
        let silent = missing.iter().map(|(instance, name)| {
            let row = known.iter().find(|row| row.instance == *instance && row.name == *name);
            Silent {
                name: name.clone(),
                host: row.map(|row| row.host.clone()).unwrap_or_default(),
                heard_ms: row.map_or(0, |row| row.heard_ms),
            }
        });
        // A process with two identities is one agent.
        let instances = |of: &mut dyn Iterator<Item = &(String, String)>| {
            of.map(|(instance, _)| instance.clone()).collect::<HashSet<_>>().len()
        };
        let live = instances(&mut asked.iter().filter(|key| !over.contains(key)));
        let late = instances(&mut missing.iter().copied());
        Ok(Confirmation {
            live,
            confirmed: live.saturating_sub(late),
            closed: answers.values().fold(0, |all, one| all.saturating_add(*one)),
            took,
            silent: silent.collect(),
        })
    }

    /// Everything that decides who is believed.
    ///
    /// # Errors
    /// If the store cannot be read, or no certificate of the Authority can sign yet.
    pub async fn trust(&self, now_ms: i64) -> Result<TrustAnswer, AuthorityError> {
        // Read first: what happens meanwhile is told again by its event.
        let seq = *self.0.head.borrow();
        let (_, bundle) = self.bundle(now_ms).await?;
        // The lists say which certificates; a key that is denied stands in none.
        let denied = self.0.store.denied_keys().await?;
        let revoked = denied.iter().map(|spki| RevokedCertificate {
            issuer: String::new(),
            serial: String::new(),
            key: Some(crate::key::hex(spki)),
        });
        let revoked = revoked.collect();
        let crls = self.crls().await?;
        Ok(TrustAnswer { bundle, crls, revoked, epoch: self.0.epoch, seq })
    }

    /// The list of each issuing key that certificates may be under, DER in base64. One that is
    /// distrusted is in no bundle, so nobody could take its list.
    async fn crls(&self) -> Result<Vec<String>, AuthorityError> {
        let keys = self.keys();
        let all = self.0.store.crls().await?;
        // Nobody takes the list of a key that is believed nowhere.
        let believed =
            |id: &str| keys.get(id).is_some_and(|key| key.state != store::IssuingState::Distrusted);
        let of_issuing = all.iter().filter(|list| believed(&list.issuer));
        Ok(of_issuing.map(|list| api::text(&list.der)).collect())
    }

    /// The list of one key, with its number.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn crl(&self, issuer: &str) -> Result<Option<(i64, Vec<u8>)>, AuthorityError> {
        let all = self.0.store.crls().await?;
        let found = all.into_iter().find(|list| list.issuer == issuer);
        Ok(found.map(|list| (list.number, list.der)))
    }

    /// The bundle in force and its version, signed.
    ///
    /// # Errors
    /// If there is none, or no certificate of the Authority can sign yet.
    pub async fn bundle(&self, now_ms: i64) -> Result<(i64, SignedBundle), AuthorityError> {
        let none = || AuthorityError::Broken("there is no trust bundle".to_owned());
        let (version, body) = self.0.store.bundle().await?.ok_or_else(none)?;
        let mut speaker = self.0.speaker.lock().await;
        let speaker = self.speaking(&mut speaker, now_ms).await?;
        Ok((version, Bundle::sign(&body, &speaker.chain, &speaker.key)?))
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
