//! What agents answer: acknowledgements, and what they have seen. A revocation is confirmed once all
//! who listened when it was made have it in force.

use crate::api::{AckRequest, ReportRequest, SIGHTINGS};
use crate::authority::{Authority, AuthorityError};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

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

impl Authority {
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
}
