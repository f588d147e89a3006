//! `Hearers`: who listens now, one stream of each agent; in memory alone, because a stream ends with
//! the process.

use std::collections::HashMap;

/// Everybody who listens now.
#[derive(Default)]
pub(in crate::authority) struct Hearers {
    pub(super) next: u64,
    pub(super) by_agent: HashMap<(String, String), Hearer>,
}

impl Hearers {
    /// Ends the oldest streams of a name that has more than it may.
    pub(super) fn make_room(&mut self, newcomer: &(String, String), most: usize) {
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

pub(super) struct Hearer {
    /// Which of the streams of this agent: a second one replaces the first.
    pub(super) generation: u64,
    pub(super) acked: i64,
    /// Connections that the last few events ended here.
    pub(super) closed: Vec<(i64, u64)>,
}
