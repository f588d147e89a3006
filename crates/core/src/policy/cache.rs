//! `DecisionCache`: the decisions of one connection, by all that they were made of.

use super::engine::{Class, Place, Placed, Sights};
use super::{Ask, Decision};
use crate::contract::value::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Most decisions that a connection keeps, and the longest key that is kept, in bytes.
const ENTRIES: usize = 256;
const LONGEST_KEY: usize = 384;

/// Decisions by action, resource and the values that a policy reads, as far as it tells them apart;
/// least recently used out (AZ-3 to AZ-5).
///
/// It belongs to one connection, so it needs no lock; an empty one owns no memory. Entries of
/// another epoch of the policy are misses, and drop the rest with them.
#[derive(Debug, Default)]
pub struct DecisionCache(Option<Box<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    epoch: u64,
    tick: u64,
    slots: Vec<Slot>,
    places: HashMap<Arc<[u8]>, usize>,
    /// The slot that was used last: the next message often asks the same.
    last: usize,
    /// Room for the next key.
    room: Vec<u8>,
    /// The resource of the last decision that was made.
    placed: Option<Placed>,
}

#[derive(Debug)]
struct Slot {
    key: Arc<[u8]>,
    decision: Decision,
    /// The tick at which it was last used.
    used: u64,
}

/// What a decision is made of, in bytes: two questions with one key have one answer.
#[derive(Debug)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// The key of an action on one resource, for policies that look at these values of a message and
    /// at these of what is remembered.
    ///
    /// Every text stands behind its length and every value behind its kind, so that no two
    /// questions are written alike that the policies tell apart. `room` is written over.
    pub(super) fn of<'v>(
        ask: &Ask<'_>,
        resource: Option<&str>,
        (read, remembered): (
            impl Iterator<Item = (&'v str, &'v Value<'v>)>,
            impl Iterator<Item = (&'v str, &'v Value<'v>)>,
        ),
        sights: &Sights,
        mut room: Vec<u8>,
    ) -> Self {
        room.clear();
        let mut key = Self(room);
        key.text(ask.action);
        match resource.map(|name| sights.place(name)) {
            None => key.0.push(0),
            Some(Place::Elsewhere) => key.0.push(1),
            Some(Place::Name(name)) => {
                key.0.push(2);
                key.text(name);
            }
            Some(Place::Below(name)) => {
                key.0.push(3);
                key.text(name);
            }
        }
        for (name, value) in read {
            key.text(name);
            match sights.class(name, value) {
                Class::Value(value) => key.value(value),
                Class::Other => key.0.push(8),
                Class::Above(None) => key.0.push(9),
                Class::Above(Some(literal)) => {
                    key.0.push(10);
                    key.0.extend_from_slice(&literal.to_le_bytes());
                }
            }
        }
        let mut remembered = remembered.peekable();
        if remembered.peek().is_some() {
            // No name is so long, so no value of the message reads like this border.
            key.size(usize::MAX);
        }
        for (name, value) in remembered {
            key.text(name);
            key.value(value);
        }
        key
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        // What is too long is not kept, whatever it says.
        self.0.extend_from_slice(bytes.get(..=LONGEST_KEY).unwrap_or(bytes));
    }

    fn size(&mut self, size: usize) {
        self.0.extend_from_slice(&size.to_le_bytes());
    }

    fn value(&mut self, value: &Value<'_>) {
        if self.0.len() > LONGEST_KEY {
            return;
        }
        match value {
            Value::Null => self.0.push(0),
            Value::Bool(flag) => self.0.extend_from_slice(&[1, u8::from(*flag)]),
            Value::Int(number) => {
                self.0.push(2);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
            Value::Float(number) => {
                self.0.push(3);
                self.0.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Value::Text(text) => {
                self.0.push(4);
                self.text(text);
            }
            Value::Bytes(bytes) => {
                self.0.push(5);
                self.bytes(bytes);
            }
            Value::List(list) => {
                self.0.push(6);
                self.size(list.len());
                list.iter().for_each(|element| self.value(element));
            }
            Value::Map(members) => {
                self.0.push(7);
                self.size(members.len());
                for (name, member) in members {
                    self.text(name);
                    self.value(member);
                }
            }
        }
    }
}

impl DecisionCache {
    pub(super) fn get(&mut self, epoch: u64, key: &Key) -> Option<&Decision> {
        let entries = self.0.as_mut().filter(|entries| entries.epoch == epoch)?;
        entries.tick += 1;
        if entries.slots.get(entries.last).is_none_or(|last| *last.key != *key.0) {
            entries.last = *entries.places.get(key.0.as_slice())?;
        }
        let slot = entries.slots.get_mut(entries.last)?;
        slot.used = entries.tick;
        Some(&slot.decision)
    }

    /// Room to write a key into; a cache that was never used has none.
    pub(super) fn room(&mut self) -> Vec<u8> {
        self.0.as_mut().map(|entries| std::mem::take(&mut entries.room)).unwrap_or_default()
    }

    /// Takes the room of a key back.
    pub(super) fn give_back(&mut self, key: Key) {
        if let Some(entries) = self.0.as_mut() {
            entries.room = key.0;
            entries.room.shrink_to(2 * LONGEST_KEY);
        }
    }

    pub(super) fn put(&mut self, epoch: u64, key: &Key, decision: Decision) {
        if key.0.len() > LONGEST_KEY {
            return;
        }
        let entries = self.of(epoch);
        entries.tick += 1;
        let slot = Slot { key: key.0.as_slice().into(), decision, used: entries.tick };
        let known = entries.places.get(&slot.key).copied();
        let place = known.unwrap_or_else(|| entries.free());
        entries.places.insert(Arc::clone(&slot.key), place);
        match entries.slots.get_mut(place) {
            Some(old) => *old = slot,
            None => entries.slots.push(slot),
        }
    }

    /// The resource of the last decision, for the next one to be made.
    pub(super) fn placed(&mut self, epoch: u64) -> &mut Option<Placed> {
        &mut self.of(epoch).placed
    }

    fn of(&mut self, epoch: u64) -> &mut Entries {
        let entries = self.0.get_or_insert_default();
        if entries.epoch != epoch {
            **entries = Entries { epoch, ..Entries::default() };
        }
        entries
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

impl Entries {
    /// The place of one decision more: behind the others, or that of the least recently used.
    fn free(&mut self) -> usize {
        if self.slots.len() < ENTRIES {
            return self.slots.len();
        }
        let oldest = self.slots.iter().enumerate().min_by_key(|(_, slot)| slot.used);
        let Some((place, slot)) = oldest else { return 0 };
        self.places.remove(&slot.key);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(id: &str) -> Decision {
        Decision::Permit([id.into()].into())
    }

    fn key(resource: &str) -> Key {
        let ask = Ask { action: "read", resources: &[], context: &[], session: &[] };
        let read = (std::iter::empty(), std::iter::empty());
        Key::of(&ask, Some(resource), read, &Sights::each(), Vec::new())
    }

    // AZ-4, AZ-5
    #[test]
    fn the_least_recently_used_decision_leaves_and_another_epoch_is_a_miss() {
        let mut cache = DecisionCache::default();
        for n in 0..ENTRIES {
            cache.put(1, &key(&n.to_string()), permit("p"));
        }
        assert!(cache.get(1, &key("0")).is_some());
        cache.put(1, &key("one more"), permit("p"));
        assert!(cache.get(1, &key("0")).is_some());
        assert!(cache.get(1, &key("1")).is_none());
        assert!(cache.get(1, &key("one more")).is_some());
        for n in 0..10 * ENTRIES {
            cache.put(1, &key(&format!("more/{n}")), permit("p"));
        }
        let entries = cache.0.as_ref().unwrap();
        assert_eq!((entries.slots.len(), entries.places.len()), (ENTRIES, ENTRIES));
        assert!(cache.get(2, &key("0")).is_none());
        cache.put(2, &key("x"), permit("q"));
        assert!(cache.get(1, &key("0")).is_none());
        cache.put(2, &key(&"x".repeat(400)), permit("q"));
        assert!(cache.get(2, &key(&"x".repeat(400))).is_none());
    }

    #[test]
    fn a_decision_that_is_known_is_replaced_in_its_place() {
        let mut cache = DecisionCache::default();
        cache.put(1, &key("x"), permit("p"));
        cache.put(1, &key("x"), permit("q"));
        assert_eq!(cache.get(1, &key("x")), Some(&permit("q")));
        assert_eq!(cache.0.as_ref().unwrap().slots.len(), 1);
    }

    // AZ-3: no two classes share a key, and values of one class do.
    #[test]
    fn values_that_policies_cannot_tell_apart_share_a_key() {
        let condition = "context.message.n < 5 && context.message.t == \"a\"";
        let text = format!(
            "permit (principal, action, resource in Resource::\"s/r\") when {{ {condition} }};"
        );
        let sights = Sights::of_text(&text).below("s");
        let mut keys = Vec::new();
        for (n, t, resource) in [
            (4, "a", None),
            (4, "a", Some("r")),
            (4, "a", Some("r/x")),
            (4, "a", Some("x")),
            (5, "a", Some("x")),
            (6, "a", Some("x")),
            (6, "b", Some("x")),
            // Known already.
            (i64::MIN, "a", Some("y")),
            (i64::MAX, "c", Some("rx")),
            (3, "a", Some("r/y/z")),
        ] {
            let ask = Ask { action: "a", resources: &[], context: &[], session: &[] };
            let (n, t) = (Value::Int(n), Value::Text(t.into()));
            let read = ([("n", &n), ("t", &t)].into_iter(), std::iter::empty());
            keys.push(Key::of(&ask, resource, read, &sights, Vec::new()).0);
        }
        assert_eq!((&keys[7], &keys[8], &keys[9]), (&keys[3], &keys[6], &keys[2]));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 7);
    }

    // AZ-3: no two questions share a key.
    #[test]
    fn questions_that_differ_have_different_keys() {
        let (text, list) = (Value::Text("1".into()), Value::List(vec![Value::Int(1)]));
        let inner = Value::Map(vec![("a".into(), Value::Int(1))]);
        let values = [
            Value::Null,
            Value::Bool(false),
            Value::Bool(true),
            Value::Int(0),
            Value::Int(1),
            Value::Float(1.0),
            Value::Bytes(b"1".as_slice().into()),
            Value::List(vec![list.clone()]),
            Value::List(vec![Value::Int(1), Value::Int(1)]),
            Value::Map(vec![("a".into(), text.clone())]),
            text,
            list,
            inner,
        ];
        let mut keys = Vec::new();
        for (action, resource) in
            [("a", None), ("a", Some("")), ("ab", Some("c")), ("a", Some("bc")), ("", Some("abc"))]
        {
            let ask = Ask { action, resources: &[], context: &[], session: &[] };
            let of = |message: &[(&'static str, &Value<'static>)],
                      session: &[(&'static str, &Value<'static>)]| {
                let read = (message.iter().copied(), session.iter().copied());
                Key::of(&ask, resource, read, &Sights::each(), vec![0; 7]).0
            };
            keys.push(of(&[], &[]));
            for value in &values {
                let (n, m) = (("n", value), ("m", value));
                keys.extend([of(&[n], &[]), of(&[m], &[]), of(&[n, m], &[])]);
                keys.extend([of(&[], &[n]), of(&[n], &[m]), of(&[], &[n, m])]);
            }
        }
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }
}
