//! What an agent's operator should know: each word raised once, and ended once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The alarms that are raised now. The words are those of `pki.md` section 19, so there are few.
#[derive(Debug, Default)]
pub(super) struct Alarms(Mutex<BTreeMap<&'static str, String>>);

/// Something that the operator should know, raised as long as it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAlarm {
    /// Its word, as in the reference manual.
    pub word: &'static str,
    /// The sentence, with the values that decided.
    pub sentence: String,
}

impl Alarms {
    /// Raises an alarm, or renews the sentence of one that is raised; the log has it once.
    pub(super) fn raise(&self, word: &'static str, sentence: String) {
        let mut raised = self.lock();
        if !raised.contains_key(word) {
            tracing::warn!(alarm = word, "{sentence}");
        }
        raised.insert(word, sentence);
    }

    /// Ends an alarm, if it is raised.
    pub(super) fn end(&self, word: &'static str) {
        if self.lock().remove(word).is_some() {
            tracing::info!(alarm = word, "it is over");
        }
    }

    /// Raises or ends it, by whether there is a sentence.
    pub(super) fn set(&self, word: &'static str, sentence: Option<String>) {
        match sentence {
            Some(sentence) => self.raise(word, sentence),
            None => self.end(word),
        }
    }

    pub(super) fn list(&self) -> Vec<AgentAlarm> {
        let raised = self.lock();
        let alarm = |(word, sentence): (&&'static str, &String)| AgentAlarm {
            word,
            sentence: sentence.clone(),
        };
        raised.iter().map(alarm).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
