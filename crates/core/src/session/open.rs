//! `Open`: requests that wait for their reply, and refusals that keep their place among them.

use super::Kept;
use crate::contract::value::Value;
use crate::contract::{Contract, Pairing, Side};
use std::collections::VecDeque;
use std::time::Instant;

/// The open requests of a connection, oldest first; owns nothing while there are none.
#[derive(Debug, Default)]
pub(super) struct Open {
    slots: VecDeque<Slot>,
    /// Bytes of the refusals among them.
    answers: usize,
}

#[derive(Debug)]
enum Slot {
    Request(Waiting),
    /// The framed answer to a refused request, due when all before it were answered, and not
    /// before an instant.
    Refusal(Vec<u8>, Option<Instant>),
}

/// A request that was let through and has no reply yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Index of its message in the client direction.
    pub(super) message: usize,
    /// Its key, where replies are paired by key.
    pub(super) key: Option<Key>,
    /// When its reply is late.
    pub(super) due: Instant,
    /// What its reply is checked against.
    pub(super) kept: Kept,
    /// It only passed because its contract is tried: what is answered to it is nobody's fault.
    pub(super) undue: bool,
}

/// A value by which a reply is paired: a scalar, of at most 64 bytes unless the codec knows better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Int(i64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Bool(bool),
}

impl Key {
    pub(super) fn of(value: &Value<'_>, longest: usize) -> Option<Self> {
        match value {
            Value::Int(number) => Some(Self::Int(*number)),
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Text(text) if text.len() <= longest => Some(Self::Text(text.as_ref().into())),
            Value::Bytes(bytes) if bytes.len() <= longest => {
                Some(Self::Bytes(bytes.as_ref().into()))
            }
            _ => None,
        }
    }
}

impl Open {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of refusals that wait for their turn.
    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    /// The refusals that wait for their turn, in their order.
    pub(super) fn in_line(&self) -> Vec<u8> {
        let framed = |slot: &Slot| match slot {
            Slot::Refusal(framed, _) => framed.clone(),
            Slot::Request(_) => Vec::new(),
        };
        self.slots.iter().flat_map(framed).collect()
    }

    pub(super) fn requests(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Request(_))).count()
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.slots.push_back(Slot::Request(waiting));
    }

    /// Whether a request with this key is open.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.find(Some(key)).is_some()
    }

    /// The request that a reply answers: the one with its key, or the oldest.
    pub(super) fn find(&self, key: Option<&Key>) -> Option<&Waiting> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Request(waiting) if key.is_none() || waiting.key.as_ref() == key => Some(waiting),
            _ => None,
        })
    }

    /// Closes the request that a reply answered.
    pub(super) fn close(&mut self, key: Option<&Key>) {
        if let Some(at) = self.place(key) {
            self.slots.remove(at);
        }
        self.give_back();
    }

    /// Closes the oldest request that only passed because its contract is tried, if there is one.
    pub(super) fn close_undue(&mut self) -> bool {
        let undue = |slot: &Slot| matches!(slot, Slot::Request(waiting) if waiting.undue);
        let at = self.slots.iter().position(undue);
        if let Some(at) = at {
            self.slots.remove(at);
        }
        at.is_some()
    }

    fn place(&self, key: Option<&Key>) -> Option<usize> {
        self.slots.iter().position(|slot| match slot {
            Slot::Request(waiting) => key.is_none() || waiting.key.as_ref() == key,
            Slot::Refusal(..) => false,
        })
    }

    /// An answer to a refused request: at once where replies have keys, else in its place; in
    /// either case not before `due`.
    pub(super) fn answer(&mut self, contract: &Contract, payload: &[u8], due: Option<Instant>) {
        // The reply was checked to be a frame when the contract was loaded; one that is not, for a
        // value that came in, is not said.
        let mut framed = Vec::new();
        if contract.direction(Side::Server).frame.put(payload, &mut framed).is_ok() {
            self.answers += framed.len();
            self.slots.push_back(Slot::Refusal(framed, due));
        }
    }

    /// Closes a request that the service answered badly, with the contract's own answer in its
    /// place.
    pub(super) fn stand_in(&mut self, contract: &Contract, key: Option<&Key>, payload: &[u8]) {
        let Some(at) = self.place(key) else { return };
        let mut framed = Vec::new();
        let put = contract.direction(Side::Server).frame.put(payload, &mut framed);
        if let Some(slot) = self.slots.get_mut(at).filter(|_| put.is_ok()) {
            self.answers += framed.len();
            *slot = Slot::Refusal(framed, None);
        }
    }

    /// Writes the refusals that are due; gives how many bytes they were.
    pub(super) fn flush(&mut self, contract: &Contract, now: Instant, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        let is_due = |due: &Option<Instant>| due.is_none_or(|due| now >= due);
        if contract.pairing == Pairing::Order {
            while let Some(Slot::Refusal(framed, due)) = self.slots.front()
                && is_due(due)
            {
                out.extend_from_slice(framed);
                self.slots.pop_front();
            }
        } else if self.answers > 0 {
            self.slots.retain(|slot| match slot {
                Slot::Refusal(framed, due) if is_due(due) => {
                    out.extend_from_slice(framed);
                    false
                }
                _ => true,
            });
        }
        let written = out.len() - before;
        self.answers = self.answers.saturating_sub(written);
        self.give_back();
        written
    }

    /// Writes every refusal that has its place: the connection ends, and no other answer will
    /// come. In order, what stands behind an open request would be taken for its answer.
    pub(super) fn flush_all(&mut self, contract: &Contract, out: &mut Vec<u8>) {
        let mut placed = true;
        for slot in self.slots.drain(..) {
            match slot {
                Slot::Refusal(framed, _) if placed => out.extend_from_slice(&framed),
                Slot::Request(_) if contract.pairing == Pairing::Order => placed = false,
                _ => {}
            }
        }
        self.answers = 0;
        self.give_back();
    }

    /// The earliest instant at which a reply is late.
    pub(super) fn due(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Request(waiting) => Some(waiting.due),
                Slot::Refusal(..) => None,
            })
            .min()
    }

    fn give_back(&mut self) {
        if self.slots.is_empty() && self.slots.capacity() > 16 {
            self.slots = VecDeque::new();
        }
    }
}
