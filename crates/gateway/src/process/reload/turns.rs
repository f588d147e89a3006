//! `Reloads`: one reload at a time. Who asks for one while another runs waits for the next, and all
//! who wait share it: a hundred signals are a reload or two.

use super::Running;
use crate::admin::wire::ReloadAnswer;
use crate::config::Config;
use segwan_core::finding::Finding;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

/// The turns of a process.
pub(crate) struct Reloads {
    /// The state directory.
    state: PathBuf,
    /// What is in force; held by the reload that runs.
    in_force: tokio::sync::Mutex<Config>,
    /// The reload that has not begun to read yet, if somebody asked for one.
    next: Mutex<Option<Turn>>,
    tasks: TaskTracker,
}

type Turn = Arc<OnceCell<ReloadAnswer>>;

impl Reloads {
    pub(in crate::process) fn new(state: PathBuf, in_force: Config, tasks: TaskTracker) -> Self {
        let in_force = tokio::sync::Mutex::new(in_force);
        Self { state, in_force, next: Mutex::default(), tasks }
    }

    /// Of a process that nothing configured.
    #[cfg(test)]
    pub(crate) fn of_nothing(state: PathBuf) -> Self {
        let config = Config {
            state_dir: None,
            threads: None,
            admin: None,
            trust_domain: crate::config::DEFAULT_TRUST_DOMAIN.parse().unwrap(),
            caution: segwan::Caution::default(),
            authority: None,
            foreign: Vec::new(),
            services: Vec::new(),
            clients: Vec::new(),
            drain_timeout: std::time::Duration::ZERO,
            source: crate::config::Source::Nowhere,
        };
        Self::new(state, config, TaskTracker::new())
    }

    /// The turn of whoever asks now.
    fn next(&self) -> Turn {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.get_or_insert_default().clone()
    }

    /// It reads from here on: who asks now may have changed something since, and has the next.
    fn begins(&self) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Running {
    /// Reads the configuration again and puts it in force, or says why not. It comes back when all
    /// that was written before the call is in force, or was refused.
    pub async fn reload(self: &Arc<Self>) -> ReloadAnswer {
        let turn = self.reloads.next();
        turn.get_or_init(|| self.clone().take_turn()).await.clone()
    }

    async fn take_turn(self: Arc<Self>) -> ReloadAnswer {
        let tasks = self.reloads.tasks.clone();
        // On a task of its own: whoever asked may go away, and it is never left half done.
        let turn = tasks.spawn(async move {
            let mut in_force = self.reloads.in_force.lock().await;
            self.reloads.begins();
            self.reload_now(&self.reloads.state, &mut in_force).await
        });
        let fault = |_| {
            let finding = Finding::whole("segwan", "the reload was given up: a fault of ours");
            ReloadAnswer::refused(&[finding])
        };
        turn.await.unwrap_or_else(fault)
    }
}
