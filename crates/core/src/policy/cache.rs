//! `DecisionCache`: the decisions of one connection that read no message.

use super::Decision;
use std::collections::HashMap;

/// Most decisions that a connection keeps, and the longest resource name that is kept.
const ENTRIES: usize = 256;
const LONGEST_NAME: usize = 256;

/// Decisions by action and resource, least recently used out (AZ-3 to AZ-5).
///
/// It belongs to one connection, so it needs no lock; an empty one owns no memory. Entries of
/// another epoch of the policy are misses, and drop the rest with them.
#[derive(Debug, Default)]
pub struct DecisionCache(Option<Box<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    epoch: u64,
    tick: u64,
    count: usize,
    by_action: HashMap<Box<str>, ByName>,
}

/// Decisions of one action by resource, each with the tick at which it was last used.
type ByName = HashMap<Box<str>, (Decision, u64)>;

impl DecisionCache {
    pub(super) fn get(&mut self, epoch: u64, action: &str, name: &str) -> Option<&Decision> {
        let entries = self.0.as_mut().filter(|entries| entries.epoch == epoch)?;
        entries.tick += 1;
        let (decision, used) = entries.by_action.get_mut(action)?.get_mut(name)?;
        *used = entries.tick;
        Some(decision)
    }

    pub(super) fn put(&mut self, epoch: u64, action: &str, name: &str, decision: Decision) {
        if name.len() > LONGEST_NAME {
            return;
        }
        let entries = self.0.get_or_insert_default();
        if entries.epoch != epoch {
            **entries = Entries { epoch, ..Entries::default() };
        }
        if entries.count >= ENTRIES {
            entries.evict();
        }
        entries.tick += 1;
        let (tick, of_action) = (entries.tick, entries.by_action.entry(action.into()).or_default());
        if of_action.insert(name.into(), (decision, tick)).is_none() {
            entries.count += 1;
        }
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

impl Entries {
    fn evict(&mut self) {
        let oldest = self.by_action.iter().flat_map(|(action, names)| {
            names.iter().map(move |(name, (_, used))| (*used, action.clone(), name.clone()))
        });
        if let Some((_, action, name)) = oldest.min_by_key(|(used, ..)| *used)
            && let Some(names) = self.by_action.get_mut(&action)
        {
            self.count -= usize::from(names.remove(&name).is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(id: &str) -> Decision {
        Decision::Permit([id.into()].into())
    }

    // AZ-4, AZ-5
    #[test]
    fn the_least_recently_used_decision_leaves_and_another_epoch_is_a_miss() {
        let mut cache = DecisionCache::default();
        for n in 0..ENTRIES {
            cache.put(1, "read", &n.to_string(), permit("p"));
        }
        assert!(cache.get(1, "read", "0").is_some());
        cache.put(1, "read", "one more", permit("p"));
        assert!(cache.get(1, "read", "0").is_some());
        assert!(cache.get(1, "read", "1").is_none());
        assert!(cache.get(2, "read", "0").is_none());
        cache.put(2, "read", "x", permit("q"));
        assert!(cache.get(1, "read", "0").is_none());
        cache.put(2, "read", &"x".repeat(300), permit("q"));
        assert!(cache.get(2, "read", &"x".repeat(300)).is_none());
    }
}
