//! The sweep: every live connection judged again, and those ended that no longer hold.
//!
//! It runs off the accept path, with lookups alone. If it fails it ends all: a gateway that does
//! not know whom to believe believes nobody (`trust.md` section 4, rule 7).

use super::{Live, Registry, lock};
use segwan_core::rejection::Reason;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Connections that are judged before others on the thread have their turn.
const SLICE: usize = 256;
/// A sweep that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long it is waited until those that were told have ended.
const ENDING: Duration = Duration::from_millis(900);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(2);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Examined {
    pub(in crate::gateway) examined: usize,
    pub(in crate::gateway) closed: u64,
    pub(in crate::gateway) failed: bool,
}

impl Registry {
    /// Judges every connection again, tells those that no longer hold, and waits until nothing
    /// passes through them.
    pub(in crate::gateway) async fn sweep(
        &self,
        judge: impl Fn(&Live) -> Option<(Reason, String)>,
    ) -> Examined {
        self.sweep_within(DEADLINE, judge).await
    }

    pub(super) async fn sweep_within(
        &self,
        deadline: Duration,
        judge: impl Fn(&Live) -> Option<(Reason, String)>,
    ) -> Examined {
        let began = Instant::now();
        let all = self.at_work();
        let mut told = Vec::new();
        let mut failed = false;
        for slice in all.chunks(SLICE) {
            let judged = catch_unwind(AssertUnwindSafe(|| {
                slice.iter().filter(|live| live.is_withdrawn_by(&judge)).cloned().collect()
            }));
            let judged: Vec<_> = judged.unwrap_or_else(|_| {
                failed = true;
                Vec::new()
            });
            told.extend(judged);
            failed |= began.elapsed() > deadline;
            if failed {
                break;
            }
            tokio::task::yield_now().await;
        }
        if failed {
            // Also those that came meanwhile.
            let ended = |live: &Arc<Live>| {
                let sentence = "the connections could not be judged again, so all were ended";
                live.withdraw(Reason::TrustWithdrawn, sentence.to_owned())
            };
            told.extend(self.at_work().into_iter().filter(ended));
        }
        ended(&told).await;
        Examined { examined: all.len(), closed: told.len() as u64, failed }
    }

    fn at_work(&self) -> Vec<Arc<Live>> {
        lock(&self.state).connections.values().cloned().collect()
    }
}

impl Live {
    /// Judges it; whether this told it to end.
    fn is_withdrawn_by(&self, judge: &impl Fn(&Self) -> Option<(Reason, String)>) -> bool {
        judge(self).is_some_and(|(reason, sentence)| self.withdraw(reason, sentence))
    }
}

/// Waits for them, for a while.
async fn ended(told: &[Arc<Live>]) {
    let until = Instant::now() + ENDING;
    for live in told {
        while !live.over.load(Ordering::Acquire) && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }
}
