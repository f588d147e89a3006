//! `Open`: requests that wait for their reply, and refusals that keep their place among them.

use crate::contract::value::Value;
use crate::contract::{Contract, Pairing, Side};
use std::collections::VecDeque;
use std::time::Instant;

/// The open requests of a connection, oldest first; owns nothing while there are none.
#[derive(Debug, Default)]
pub(super) struct Open(VecDeque<Slot>);

#[derive(Debug)]
enum Slot {
    Request(Waiting),
    /// The framed answer to a refused request, due when all before it were answered.
    Refusal(Vec<u8>),
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
}

/// A value by which a reply is paired: a scalar of at most 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Int(i64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Bool(bool),
}

impl Key {
    pub(super) fn of(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Int(number) => Some(Self::Int(*number)),
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Text(text) if text.len() <= 64 => Some(Self::Text(text.as_ref().into())),
            Value::Bytes(bytes) if bytes.len() <= 64 => Some(Self::Bytes(bytes.as_ref().into())),
            _ => None,
        }
    }
}

impl Open {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn requests(&self) -> usize {
        self.0.iter().filter(|slot| matches!(slot, Slot::Request(_))).count()
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.0.push_back(Slot::Request(waiting));
    }

    /// Whether a request with this key is open.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.find(Some(key)).is_some()
    }

    /// The request that a reply answers: the one with its key, or the oldest.
    pub(super) fn find(&self, key: Option<&Key>) -> Option<&Waiting> {
        self.0.iter().find_map(|slot| match slot {
            Slot::Request(waiting) if key.is_none() || waiting.key.as_ref() == key => Some(waiting),
            _ => None,
        })
    }

    /// Closes the request that a reply answered.
    pub(super) fn close(&mut self, key: Option<&Key>) {
        let at = self.0.iter().position(|slot| match slot {
            Slot::Request(waiting) => key.is_none() || waiting.key.as_ref() == key,
            Slot::Refusal(_) => false,
        });
        if let Some(at) = at {
            self.0.remove(at);
        }
        self.give_back();
    }

    /// An answer to a refused request: at once where replies have keys, else in its place.
    pub(super) fn answer(&mut self, contract: &Contract, payload: &[u8], out: &mut Vec<u8>) {
        let frame = &contract.direction(Side::Server).frame;
        if contract.pairing != Pairing::Order || self.0.is_empty() {
            // The reply was checked to be a frame when the contract was loaded; one that is not,
            // for a value that came in, is not said.
            let _ = frame.put(payload, out);
            return;
        }
        let mut framed = Vec::new();
        if frame.put(payload, &mut framed).is_ok() {
            self.0.push_back(Slot::Refusal(framed));
        }
    }

    /// Writes the refusals that are due.
    pub(super) fn flush(&mut self, contract: &Contract, out: &mut Vec<u8>) {
        if contract.pairing == Pairing::Order {
            while let Some(Slot::Refusal(framed)) = self.0.front() {
                out.extend_from_slice(framed);
                self.0.pop_front();
            }
        }
        self.give_back();
    }

    /// Writes every refusal: the connection ends, and no other answer will come.
    pub(super) fn flush_all(&mut self, _contract: &Contract, out: &mut Vec<u8>) {
        for slot in self.0.drain(..) {
            if let Slot::Refusal(framed) = slot {
                out.extend_from_slice(&framed);
            }
        }
        self.give_back();
    }

    /// The earliest instant at which a reply is late.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0
            .iter()
            .filter_map(|slot| match slot {
                Slot::Request(waiting) => Some(waiting.due),
                Slot::Refusal(_) => None,
            })
            .min()
    }

    fn give_back(&mut self) {
        if self.0.is_empty() && self.0.capacity() > 16 {
            self.0 = VecDeque::new();
        }
    }
}
