//! Bytes become the items of a layout.

use super::{Constant, Count, Item, Kind, Layout, VARINT};
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;

type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

impl Layout {
    /// A message that is these items and nothing more.
    pub(super) fn read<'a>(&self, bytes: &'a [u8], nodes: usize) -> Result<Value<'a>, Violation> {
        let (tree, rest) = self.read_start(bytes, nodes)?;
        if rest.is_empty() {
            return Ok(tree);
        }
        let sentence = format!("{} bytes follow the last item of the layout", rest.len());
        Err(Violation::new(Reason::TrailingBytes, sentence))
    }

    /// The items at the start of a message, and the bytes behind them.
    pub(super) fn read_start<'a>(
        &self,
        bytes: &'a [u8],
        nodes: usize,
    ) -> Result<(Value<'a>, &'a [u8]), Violation> {
        let mut rest = bytes;
        let mut left = nodes;
        let mut members: Members<'a> = Vec::with_capacity(self.0.len());
        for item in &self.0 {
            let value = item.read(&mut rest, &members, &mut left)?;
            item.hold_constant(&value)?;
            members.push((Cow::Owned(item.name.to_string()), value));
        }
        Ok((Value::Map(members), rest))
    }
}

impl Item {
    fn read<'a>(
        &self,
        rest: &mut &'a [u8],
        before: &Members<'a>,
        left: &mut usize,
    ) -> Result<Value<'a>, Violation> {
        let count = match self.count {
            Count::One => return self.element(rest),
            Count::Fixed(count) => count,
            Count::Item(at) => match before.get(at) {
                Some((_, Value::Int(count))) => usize::try_from(*count)
                    .map_err(|_| self.fault(Reason::Range, format!("has a count of {count}")))?,
                _ => return Err(self.fault(Reason::Size, "has no count")),
            },
            Count::Rest if matches!(self.kind, Kind::Bytes | Kind::Text(_)) => rest.len(),
            Count::Rest => return self.list(rest, None, left),
        };
        match self.kind {
            Kind::Bytes => Ok(Value::Bytes(Cow::Borrowed(self.take(rest, count)?))),
            Kind::Text(charset) => {
                let bytes = self.take(rest, count)?;
                // No byte of it is shown: the item may be secret.
                charset.decode(bytes).map(Value::Text).map_err(|_| {
                    self.fault(Reason::Charset, "is not whole text in the charset of the layout")
                })
            }
            _ => self.list(rest, Some(count), left),
        }
    }

    /// So many elements, or as many as there are. What is announced is held against the bytes that
    /// are there before anything grows (TRAP-08).
    fn list<'a>(
        &self,
        rest: &mut &'a [u8],
        count: Option<usize>,
        left: &mut usize,
    ) -> Result<Value<'a>, Violation> {
        let least = self.kind.least();
        if count.is_some_and(|count| count > rest.len() / least) {
            let sentence = format!(
                "announces {} elements, and {} bytes are left",
                count.unwrap_or_default(),
                rest.len()
            );
            return Err(self.fault(Reason::Size, sentence));
        }
        let mut list = Vec::with_capacity(count.unwrap_or(rest.len() / least).min(*left));
        while count.map_or(!rest.is_empty(), |count| list.len() < count) {
            *left = left.checked_sub(1).ok_or_else(|| {
                self.fault(Reason::JsonNodes, "goes on beyond the limit of values in one message")
            })?;
            list.push(self.element(rest)?);
        }
        Ok(Value::List(list))
    }

    fn element<'a>(&self, rest: &mut &'a [u8]) -> Result<Value<'a>, Violation> {
        match self.kind {
            Kind::Int { width, signed, little } => {
                let bits = unsigned(self.take(rest, width)?, little);
                let value = if signed {
                    let unused = 64 - 8 * u32::try_from(width).unwrap_or(8);
                    bits.cast_signed().wrapping_shl(unused).wrapping_shr(unused)
                } else {
                    i64::try_from(bits).map_err(|_| self.fault(Reason::Range, "is over 2^63-1"))?
                };
                Ok(Value::Int(value))
            }
            Kind::Float { width, little } => {
                let bits = unsigned(self.take(rest, width)?, little);
                let value = match u32::try_from(bits) {
                    Ok(bits) if width == 4 => f64::from(f32::from_bits(bits)),
                    _ => f64::from_bits(bits),
                };
                if value.is_finite() {
                    Ok(Value::Float(value))
                } else {
                    Err(self.fault(Reason::Range, "is no finite number"))
                }
            }
            Kind::Bool => match self.take(rest, 1)? {
                [0] => Ok(Value::Bool(false)),
                [1] => Ok(Value::Bool(true)),
                _ => Err(self.fault(Reason::Range, "is neither 0 nor 1")),
            },
            Kind::Varint => self.varint(rest),
            // They always have a count.
            Kind::Bytes | Kind::Text(_) => Err(self.fault(Reason::Size, "has no count")),
        }
    }

    fn varint<'a>(&self, rest: &mut &'a [u8]) -> Result<Value<'a>, Violation> {
        let mut value = 0_i64;
        for at in 0..VARINT {
            let [byte] = self.take(rest, 1)? else { break };
            value |= i64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                if *byte == 0 && at > 0 {
                    return Err(self.fault(Reason::IntegerForm, "is not in its shortest form"));
                }
                return Ok(Value::Int(value));
            }
        }
        Err(self.fault(Reason::IntegerForm, format!("is over {VARINT} bytes long")))
    }

    fn take<'a>(&self, rest: &mut &'a [u8], size: usize) -> Result<&'a [u8], Violation> {
        let Some((taken, behind)) = rest.split_at_checked(size) else {
            let sentence = format!("needs {size} bytes, and {} are left", rest.len());
            return Err(self.fault(Reason::Size, sentence));
        };
        *rest = behind;
        Ok(taken)
    }

    fn hold_constant(&self, value: &Value<'_>) -> Result<(), Violation> {
        let holds = match (&self.constant, value) {
            (None, _) => true,
            (Some(Constant::Int(constant)), Value::Int(is)) => constant == is,
            (Some(Constant::Bytes(constant)), Value::Bytes(is)) => **constant == **is,
            _ => false,
        };
        if holds {
            return Ok(());
        }
        Err(self.fault(Reason::Constant, format!("is {}, not its constant", value.shown())))
    }

    fn fault(&self, reason: Reason, what: impl std::fmt::Display) -> Violation {
        let name = &self.name;
        Violation::at(reason, format!("/{name}"), format!("item `{name}` {what}"))
    }
}

fn unsigned(bytes: &[u8], little: bool) -> u64 {
    let push = |n: u64, b: &u8| n << 8 | u64::from(*b);
    if little { bytes.iter().rev().fold(0, push) } else { bytes.iter().fold(0, push) }
}
