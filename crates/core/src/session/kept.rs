//! `Kept`: what a connection keeps of what was said, beside its frames; both kinds have a bound.

use crate::contract::rule::Look;
use crate::contract::state::Remember;
use crate::contract::value::{Pointer, Value};
use crate::rejection::{Reason, Violation};
use std::sync::Arc;

/// Most bytes that are kept of one open request.
const REQUEST_BYTES: usize = 1 << 10;

/// The values of an open request that its reply is checked against: what rules read of `request`,
/// and what a codec needs.
///
/// Found when the contract is loaded (`Request::keeps`), so nothing else of a request outlives it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kept {
    /// Shared with the contract.
    places: Arc<[Pointer]>,
    /// What stood there.
    values: Vec<Option<Value<'static>>>,
}

impl Kept {
    /// Takes the values at `places` out of a request; an optional one may be absent.
    ///
    /// # Errors
    /// `length`, if they take more than 1 KiB together.
    pub(crate) fn of(places: &Arc<[Pointer]>, tree: &Value<'_>) -> Result<Self, Violation> {
        let mut values = Vec::with_capacity(places.len());
        let mut size = 0;
        for at in places.iter() {
            let value = at.get(tree);
            size += value.map_or(0, Value::size);
            if size > REQUEST_BYTES {
                return Err(too_much(places, tree));
            }
            values.push(value.cloned().map(Value::into_owned));
        }
        Ok(Self { places: Arc::clone(places), values })
    }

    /// The value that the request had at this place, if it is kept.
    pub(crate) fn get(&self, at: &Pointer) -> Option<&Value<'static>> {
        self.find(|known| known == at)
    }

    /// The same by the names on the way.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Value<'static>> {
        self.find(|known| known.is(path))
    }

    fn find(&self, is: impl Fn(&Pointer) -> bool) -> Option<&Value<'static>> {
        let place = self.places.iter().position(is)?;
        self.values.get(place)?.as_ref()
    }
}

fn too_much(places: &[Pointer], tree: &Value<'_>) -> Violation {
    let size: usize = places.iter().filter_map(|at| at.get(tree)).map(Value::size).sum();
    let sentence = format!(
        "what the reply is checked against takes {size} bytes, over the {REQUEST_BYTES} that \
         are kept of a request"
    );
    Violation::new(Reason::Length, sentence)
}

impl Look for Kept {
    fn look<'s>(&'s self, at: &Pointer) -> Option<&'s Value<'s>> {
        self.get(at)
    }
}

/// Most bytes of one remembered text or byte string.
pub(super) const REMEMBERED_BYTES: usize = 256;

/// What `remember` keeps of cleared messages, by name (`contracts.md` section 13): the loader
/// allows 16 names, and each value is a scalar of at most 256 bytes.
#[derive(Debug)]
pub(super) struct Remembered(Value<'static>);

impl Default for Remembered {
    fn default() -> Self {
        Self(Value::Map(Vec::new()))
    }
}

impl Remembered {
    /// What a rehearsal supposes that earlier messages left.
    pub(super) fn supposed(values: &[(String, Value<'static>)]) -> Self {
        let member =
            |(name, value): &(String, Value<'static>)| (name.clone().into(), value.clone());
        Self(Value::Map(values.iter().map(member).collect()))
    }

    /// All of it, as one map.
    pub(super) fn as_value(&self) -> &Value<'static> {
        &self.0
    }

    /// Whether the values of a message can be remembered.
    ///
    /// # Errors
    /// `length` for one that is no scalar, or too long.
    pub(super) fn takes(rule: &[Remember], tree: &Value<'_>) -> Result<(), Violation> {
        for Remember { name, at, .. } in rule {
            let fits = match at.get(tree) {
                Some(Value::Text(text)) => text.len() <= REMEMBERED_BYTES,
                Some(Value::Bytes(bytes)) => bytes.len() <= REMEMBERED_BYTES,
                Some(Value::Int(_) | Value::Bool(_)) => true,
                _ => false,
            };
            if !fits {
                let sentence = format!(
                    "`{at}` cannot be remembered as `{name}`: no scalar of at most \
                     {REMEMBERED_BYTES} bytes"
                );
                return Err(Violation::at(Reason::Length, at.to_string(), sentence));
            }
        }
        Ok(())
    }

    /// Remembers the values of a message; one of the same name is replaced.
    pub(super) fn remember(&mut self, rule: &[Remember], tree: &Value<'_>) {
        let Value::Map(known) = &mut self.0 else { return };
        for Remember { name, at, .. } in rule {
            let Some(value) = at.get(tree).cloned().map(Value::into_owned) else { continue };
            match known.iter_mut().find(|(of, _)| of == name) {
                Some((_, old)) => *old = value,
                None => known.push((name.clone().into(), value)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_leaves_what_its_reply_is_checked_against_and_no_more() {
        let tree = Value::Map(vec![
            ("count".into(), Value::Int(3)),
            ("note".into(), Value::Text("x".repeat(2000).into())),
        ]);
        let (count, absent) = (Pointer::name("count"), Pointer::name("absent"));
        let kept = Kept::of(&[count.clone(), absent.clone()].into(), &tree).unwrap();
        assert_eq!(kept.get(&count), Some(&Value::Int(3)));
        assert_eq!((kept.get(&absent), kept.get(&Pointer::name("note"))), (None, None));
        let refused = Kept::of(&[Pointer::name("note")].into(), &tree).unwrap_err();
        assert_eq!(refused.reason, Reason::Length);
    }
}
