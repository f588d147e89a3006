//! `Used`: the keys of requests that came before, where a contract forbids to use them again.

use super::open::Key;
use crate::contract::Reuse;
use std::collections::VecDeque;

/// Keys that `reuse = "recent"` looks back on.
const RECENT: usize = 1024;

/// The keys that were used; owns nothing with `reuse = "after-reply"`.
#[derive(Debug, Default)]
pub(super) struct Used {
    recent: VecDeque<Key>,
    largest: Option<i64>,
}

impl Used {
    /// Whether a key that is not open may be used, or why not.
    pub(super) fn allows(&self, reuse: Reuse, key: &Key) -> Result<(), String> {
        match (reuse, key) {
            (Reuse::AfterReply, _) => Ok(()),
            (Reuse::Recent, key) if self.recent.contains(key) => {
                Err(format!("was used among the last {RECENT}"))
            }
            (Reuse::Recent, _) => Ok(()),
            (Reuse::Increasing, Key::Int(number)) => match self.largest {
                Some(largest) if *number <= largest => Err(format!("is not above {largest}")),
                _ => Ok(()),
            },
            (Reuse::Increasing, _) => Err("is no integer".to_owned()),
        }
    }

    /// Notes the key of a request that was cleared.
    pub(super) fn note(&mut self, reuse: Reuse, key: &Key) {
        match (reuse, key) {
            (Reuse::Recent, key) => {
                if self.recent.len() >= RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back(key.clone());
            }
            (Reuse::Increasing, Key::Int(number)) => self.largest = Some(*number),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // CON-17
    #[test]
    fn a_key_comes_again_when_its_rule_allows() {
        let mut used = Used::default();
        let allows = |used: &Used, reuse, n| used.allows(reuse, &Key::Int(n)).is_ok();
        for n in 0..1025 {
            assert!(allows(&used, Reuse::Recent, n));
            used.note(Reuse::Recent, &Key::Int(n));
        }
        assert!(allows(&used, Reuse::Recent, 0) && !allows(&used, Reuse::Recent, 1));
        assert_eq!(used.recent.len(), RECENT);
        used.note(Reuse::Increasing, &Key::Int(7));
        for (n, may) in [(6, false), (7, false), (8, true)] {
            assert_eq!(allows(&used, Reuse::Increasing, n), may, "{n}");
        }
        assert!(used.allows(Reuse::Increasing, &Key::Bool(true)).is_err());
        assert!(allows(&used, Reuse::AfterReply, 7));
    }
}
