//! What changes while connections live: what a reload puts in force, and whom nobody believes any more.
//! What is prepared cannot fail, and when a change comes back nothing is decided by what was before.

use super::gate::Gate;
use super::live::{Examined, Live, unix_ms};
use super::setting::Setting;
use super::shadow::Desk;
use super::{Change, Gateway, LAST, lock};
use segwan::Trust;
use segwan_core::contract::accounts::Accounts;
use segwan_core::now::Now;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a reload puts in force: each part was read and checked, and nothing of it can fail.
#[must_use = "it is not in force before it is installed"]
pub struct Prepared(Vec<(Arc<Gate>, Setting)>);

/// What a look at live connections found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Connections that were judged again.
    pub examined: usize,
    /// Those that were ended.
    pub closed: u64,
    /// How long it took, until nothing passed through them any more.
    pub took: Duration,
    /// Tables whose connections could not be judged: all of these were ended.
    pub failed: Vec<String>,
}

impl Gateway {
    /// Judges again every live connection under this trust, and ends those whose peer is not
    /// believed any more (`trust.md` section 4).
    pub async fn sweep(&self, trust: &Arc<Trust>) -> Swept {
        let began = Instant::now();
        let mut swept = Swept::default();
        for (gate, _) in &self.gates {
            if !Arc::ptr_eq(&gate.trust, trust) {
                continue;
            }
            let judge = |live: &Live| {
                let peer = live.peer()?;
                trust.judge_again(peer, unix_ms() / 1000)
            };
            swept.add(gate, gate.registry.sweep(judge).await);
        }
        swept.took = began.elapsed();
        swept
    }

    /// Makes ready what a reload puts in force; what it does not name stays as it is. Contracts go on
    /// with the accounts of their table.
    ///
    /// # Errors
    /// If there is no such table, or a thread that is needed cannot be started.
    pub fn prepare(&self, changes: Vec<Change>) -> io::Result<Prepared> {
        let prepared = |change: Change| {
            let missing = || io::Error::other(format!("there is no table `{}`", change.table));
            let gate = self.gate(&change.table).ok_or_else(missing)?.clone();
            if let (Some(accounts), Some(contract)) =
                (self.accounts(&change.table), change.inspection.enforced())
            {
                contract.continue_with(&accounts);
            }
            let desk = self.desk_of(&change)?;
            Ok((gate, Setting::new(change, self.share, desk)))
        };
        changes.into_iter().map(prepared).collect::<io::Result<_>>().map(Prepared)
    }

    /// Puts in force what was prepared, and comes back when nothing is decided by what was in force
    /// before: neither in a message that is looked at now, nor at a connection that would not be let
    /// in any more.
    pub async fn install(&self, prepared: Prepared) -> Swept {
        let began = Instant::now();
        let mut judged = Vec::new();
        for (gate, setting) in prepared.0 {
            let gate_judges = gate.put_in_force(setting);
            judged.extend(gate_judges.then_some(gate));
        }
        self.settled().await;
        let mut swept = Swept::default();
        for gate in judged {
            let Some(policy) = gate.setting.load().policy.clone() else { continue };
            let judge = |live: &Live| {
                let (peer, facts) = live.admitted()?;
                let now = Now { instant: Instant::now(), unix_ms: unix_ms() };
                let denial = policy.admit(peer.clone(), facts.clone(), now).err()?;
                Some((denial.reason, denial.sentence))
            };
            swept.add(&gate, gate.registry.sweep(judge).await);
        }
        swept.took = began.elapsed();
        swept
    }

    /// Waits until every thread has ended what it was doing, for a while.
    async fn settled(&self) {
        let turns: Vec<_> = self.runtimes.iter().map(|thread| thread.spawn(async {})).collect();
        let all = async {
            for turn in turns {
                let _ = turn.await;
            }
        };
        let _ = tokio::time::timeout(LAST, all).await;
    }

    /// What the clients of a table have used up, once it had a contract.
    #[must_use]
    pub fn accounts(&self, table: &str) -> Option<Arc<Accounts>> {
        lock(&self.gate(table)?.accounts).clone()
    }

    fn gate(&self, table: &str) -> Option<&Arc<Gate>> {
        self.gates.iter().map(|(gate, _)| gate).find(|gate| gate.name == table)
    }

    /// Where copies are handed in, for a table that tries something.
    pub(super) fn desk_of(&self, change: &Change) -> io::Result<Option<Desk>> {
        if change.beside.is_none() && !change.inspection.is_shadow() {
            return Ok(None);
        }
        let mut judge = lock(&self.judge);
        if let Some((desk, _)) = &*judge {
            return Ok(Some(desk.clone()));
        }
        let (desk, thread) = Desk::start()?;
        *judge = Some((desk.clone(), thread));
        Ok(Some(desk))
    }
}

impl Gate {
    /// Swaps what is in force in one step; whether live connections have to be admitted again.
    fn put_in_force(&self, mut setting: Setting) -> bool {
        let before = self.setting.load_full();
        let same = setting.enforces_the_same(&before);
        if same {
            setting.tenure = before.tenure.clone();
        } else if let Some(contract) = setting.inspection.enforced() {
            contract.come_into_force();
            lock(&self.accounts).get_or_insert_with(|| contract.accounts());
        }
        let is_same_policy = match (&before.policy, &setting.policy) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => true,
        };
        let setting = Arc::new(setting);
        self.registry.change(&setting.limits, || {
            if !same {
                before.give_way_to(&setting, Instant::now());
            }
            self.setting.store(setting.clone());
        });
        !is_same_policy
    }
}

impl Swept {
    fn add(&mut self, gate: &Gate, examined: Examined) {
        self.examined += examined.examined;
        self.closed += examined.closed;
        if examined.failed {
            self.failed.push(gate.name.clone());
        }
    }
}
