//! Which question or request a message belongs to, and whether its key is free.

use crate::contract::value::Value;
use crate::contract::{Contract, Direction, MessageRule, Pairing, Request};
use crate::rejection::{Class, Reason, Violation};
use crate::session::open::Key;
use crate::session::refuse::Refusal;
use crate::session::{Asked, Session};

impl Session {
    /// The service's question that a client's message would answer: the one with its key, or the
    /// oldest.
    pub(super) fn asked_by(&self, contract: &Contract, tree: &Value<'_>) -> Option<&Asked> {
        match &contract.pairing {
            _ if self.asked.is_empty() => None,
            Pairing::None => None,
            Pairing::Order => self.asked.front(),
            Pairing::Key(pointer) => {
                let key = pointer.get(tree).and_then(|key| Key::of(key, contract.longest_key()))?;
                self.asked.iter().find(|asked| asked.key.as_ref() == Some(&key))
            }
        }
    }

    /// The key under which a request opens, if that is free.
    pub(super) fn free_key(
        &self,
        contract: &Contract,
        request: &Request,
        tree: &Value<'_>,
    ) -> Result<Option<Key>, Violation> {
        let Pairing::Key(pointer) = &contract.pairing else { return Ok(None) };
        if !request.expects && request.answers.is_empty() {
            return Ok(None);
        }
        let value = pointer.get(tree);
        let Some(key) = value.and_then(|key| Key::of(key, contract.longest_key())) else {
            let sentence = format!("`{pointer}` cannot pair a reply with this request");
            return Err(Violation::at(Reason::PairKey, pointer.to_string(), sentence));
        };
        // An answer has the key of its question.
        if !request.answers.is_empty() {
            return Ok(Some(key));
        }
        let shown = || value.map(Value::shown).unwrap_or_default();
        if self.open.has(&key) {
            let sentence = format!("a request with the key {} is open", shown());
            return Err(Violation::at(Reason::PairOpen, pointer.to_string(), sentence));
        }
        if let Err(why) = self.used.allows(contract.reuse, &key) {
            let sentence = format!("the key {} {why}", shown());
            return Err(Violation::at(Reason::PairReuse, pointer.to_string(), sentence));
        }
        Ok(Some(key))
    }

    /// Whether the service may ask one question more.
    pub(super) fn may_ask(&self, contract: &Contract, key: Option<&Key>) -> Result<(), Violation> {
        if self.asked.len() >= contract.limits.in_flight {
            let sentence = format!("{} questions are open, the most", contract.limits.in_flight);
            return Err(Violation::new(Reason::InFlight, sentence));
        }
        let Pairing::Key(pointer) = &contract.pairing else { return Ok(()) };
        let at = pointer.to_string();
        match key {
            None => {
                let sentence = format!("`{at}` cannot pair an answer with this question");
                Err(Violation::at(Reason::PairKey, at, sentence))
            }
            Some(_) if self.asked.iter().any(|asked| asked.key.as_ref() == key) => {
                Err(Violation::at(Reason::PairOpen, at, "a question with this key is open"))
            }
            Some(_) => Ok(()),
        }
    }
}

/// A message that fits none but as the answer to a question which nobody asked.
pub(super) fn unasked<'a>(direction: &Direction, refusal: Refusal<'a>) -> Refusal<'a> {
    let answers =
        |rule: &MessageRule| rule.request().is_some_and(|request| !request.answers.is_empty());
    let Some(tree) = &refusal.tree else { return refusal };
    if direction.messages.iter().any(answers) && direction.select(tree.clone(), answers).is_ok() {
        let sentence = "the client said something that answers no open question";
        let violation = Violation::new(Reason::Unasked, sentence);
        return Refusal { violation, class: Some(Class::State), ..refusal };
    }
    refusal
}
