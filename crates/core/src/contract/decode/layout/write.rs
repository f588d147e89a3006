//! The items of a layout become bytes, in the one spelling that is read.

use super::{Constant, Count, Item, Kind, Layout, VARINT};
use crate::contract::value::Value;

impl Layout {
    /// The bytes of a tree, if it is one of this layout: all items, no others, each within its
    /// type, and each list as long as its count says.
    pub(super) fn write(&self, tree: &Value<'_>) -> Option<Vec<u8>> {
        let Value::Map(members) = tree else { return None };
        if members.len() != self.0.len() {
            return None;
        }
        let mut bytes = Vec::new();
        for item in &self.0 {
            let value = tree.member(&item.name)?;
            let size = match value {
                Value::List(list) => list.len(),
                Value::Bytes(is) => is.len(),
                Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => 0,
                Value::Null | Value::Map(_) => return None,
            };
            let before = bytes.len();
            item.put(value, &mut bytes)?;
            let size = if let Kind::Text(_) = item.kind { bytes.len() - before } else { size };
            let fits = match item.count {
                Count::One | Count::Rest => true,
                Count::Fixed(count) => count == size,
                Count::Item(at) => {
                    let count = self.0.get(at).and_then(|counter| tree.member(&counter.name));
                    matches!(count, Some(Value::Int(count)) if usize::try_from(*count) == Ok(size))
                }
            };
            if !fits {
                return None;
            }
        }
        Some(bytes)
    }
}

impl Layout {
    /// A value as the item of this name holds it, in the item's own width; none where the width
    /// depends on another item.
    #[must_use]
    pub(crate) fn spelled(&self, name: &str, value: &Value<'_>) -> Option<Vec<u8>> {
        let item = self.0.iter().find(|item| *item.name == *name)?;
        let mut bytes = Vec::new();
        item.put(value, &mut bytes)?;
        match (item.count, item.kind) {
            (Count::One, _) => Some(bytes),
            (Count::Fixed(count), Kind::Bytes | Kind::Text(_)) if count == bytes.len() => {
                Some(bytes)
            }
            _ => None,
        }
    }
}

impl Item {
    pub(super) fn put(&self, value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
        match (&self.constant, value) {
            (Some(Constant::Int(constant)), Value::Int(is)) if constant != is => return None,
            (Some(Constant::Bytes(constant)), Value::Bytes(is)) if **constant != **is => {
                return None;
            }
            _ => {}
        }
        match (self.kind, value) {
            (Kind::Bytes, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
            (Kind::Text(charset), Value::Text(text)) => {
                out.extend_from_slice(&charset.encode(text)?);
            }
            (_, Value::List(list)) if self.count != Count::One => {
                list.iter().try_for_each(|element| self.put_element(element, out))?;
            }
            (_, value) if self.count == Count::One => self.put_element(value, out)?,
            _ => return None,
        }
        Some(())
    }

    fn put_element(&self, value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
        match (self.kind, value) {
            (Kind::Int { width, little, .. }, Value::Int(number)) => {
                let (lo, hi) = self.kind.bounds();
                if *number < lo || *number > hi {
                    return None;
                }
                put(&number.to_le_bytes(), width, little, out)
            }
            (Kind::Float { width: 4, little }, Value::Float(number)) => {
                #[expect(clippy::cast_possible_truncation, reason = "compared with what it was")]
                let short = *number as f32;
                (f64::from(short) == *number).then_some(())?;
                put(&short.to_le_bytes(), 4, little, out)
            }
            (Kind::Float { width, little }, Value::Float(number)) => {
                put(&number.to_le_bytes(), width, little, out)
            }
            (Kind::Bool, Value::Bool(flag)) => {
                out.push(u8::from(*flag));
                Some(())
            }
            (Kind::Varint, Value::Int(number)) => {
                let mut rest = u64::try_from(*number).ok()?;
                for _ in 0..VARINT {
                    let group = u8::try_from(rest & 0x7f).ok()?;
                    rest >>= 7;
                    out.push(if rest == 0 { group } else { group | 0x80 });
                    if rest == 0 {
                        return Some(());
                    }
                }
                None
            }
            _ => None,
        }
    }
}

/// The low bytes of a number that is written with the least significant byte first.
fn put(bytes: &[u8], width: usize, little: bool, out: &mut Vec<u8>) -> Option<()> {
    let low = bytes.get(..width)?;
    if little {
        out.extend(low)
    } else {
        out.extend(low.iter().rev())
    }
    Some(())
}
