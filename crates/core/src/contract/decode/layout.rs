//! `Layout`: the items of a binary message, one after the other.
//!
//! An item is written `name: type[count] = constant`. Every byte of a message belongs to exactly
//! one item, and a tree has exactly one spelling, so nothing can hide between two readings.

mod parse;
mod read;
mod write;

use super::FieldType;
use super::checksum::Checksum;
use crate::contract::charset::Charset;
use crate::contract::pattern::RuleError;
use crate::contract::value::Value;

/// What `decode` says of a binary direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructRule {
    /// The items that all messages begin with; the tag is one of them.
    pub head: Layout,
    /// Whether the whole frame is read, or its payload.
    pub from_frame: bool,
    /// The item that is the checksum of all bytes before it.
    pub check: Option<(Box<str>, Checksum)>,
    /// How items are written that do not say it themselves.
    pub writing: Writing,
}

/// How the items of a direction are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// Whether the least significant byte comes first.
    pub little: bool,
    /// The charset of texts, if there are any.
    pub charset: Option<Charset>,
}

/// Items in the order of the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout(Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    name: Box<str>,
    kind: Kind,
    count: Count,
    constant: Option<Constant>,
}

/// The type of one element of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An integer of so many bytes.
    Int { width: usize, signed: bool, little: bool },
    /// A finite IEEE 754 number of four or eight bytes.
    Float { width: usize, little: bool },
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned LEB128 in its shortest form, of at most five bytes.
    Varint,
    /// Bytes, as many as the count says.
    Bytes,
    /// Text, of as many bytes as the count says.
    Text(Charset),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// One value, not a list.
    One,
    /// So many.
    Fixed(usize),
    /// As many as an earlier item says, by its place.
    Item(usize),
    /// All that is left.
    Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Constant {
    Int(i64),
    Bytes(Vec<u8>),
}

/// Longest varint, in bytes.
const VARINT: usize = 5;

impl Layout {
    /// The layout of these items behind `head`, whose items they may count by.
    ///
    /// # Errors
    /// K-02 for an item that cannot be read, is there twice, or stands where it cannot.
    pub fn parse(items: &[&str], head: &Self, writing: Writing) -> Result<Self, RuleError> {
        let mut layout = head.clone();
        for text in items {
            let item = parse::item(text, &layout, writing)?;
            layout.0.push(item);
        }
        Ok(layout)
    }

    /// The type of an item, if there is one of this name.
    #[must_use]
    pub fn field_type(&self, name: &str) -> Option<FieldType> {
        self.0.iter().find(|item| *item.name == *name).map(Item::field_type)
    }

    /// The names of the items whose value is not fixed.
    pub fn variable(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|item| item.constant.is_none()).map(|item| &*item.name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|item| &*item.name)
    }

    /// Bytes of the shortest message of this layout.
    #[must_use]
    pub fn least(&self) -> usize {
        let least = |item: &Item| match item.count {
            Count::One => item.kind.least(),
            Count::Fixed(count) => item.kind.least().saturating_mul(count),
            Count::Item(_) | Count::Rest => 0,
        };
        self.0.iter().fold(0, |sum, item| sum.saturating_add(least(item)))
    }

    /// Whether an item is a float, whose spelling is not one for each value.
    #[must_use]
    pub fn has_floats(&self) -> bool {
        self.0.iter().any(|item| matches!(item.kind, Kind::Float { .. }))
    }

    /// Each item by its name with its type, in the order of the wire, for people.
    pub(in crate::contract) fn told(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|item| (&*item.name, self.item_told(item)))
    }

    fn item_told(&self, item: &Item) -> String {
        let many = match item.count {
            Count::One => String::new(),
            Count::Fixed(count) => format!(", {count} of them"),
            Count::Item(at) => {
                let of = self.0.get(at).map_or("", |item| &*item.name);
                format!(", as many as `{of}` says")
            }
            Count::Rest => ", all that is left".to_owned(),
        };
        let constant = match &item.constant {
            None => String::new(),
            Some(Constant::Int(number @ 10..)) => format!(", always {number} (0x{number:x})"),
            Some(Constant::Int(number)) => format!(", always {number}"),
            Some(Constant::Bytes(bytes)) => format!(", always `{}`", crate::audit::named(bytes)),
        };
        let kind = item.kind.told();
        match item.count {
            Count::Fixed(count) if matches!(item.kind, Kind::Bytes | Kind::Text(_)) => {
                format!("{count} {kind}{constant}")
            }
            _ => format!("{kind}{many}{constant}"),
        }
    }

    fn last(&self) -> Option<&Item> {
        self.0.last()
    }
}

impl StructRule {
    /// Whether a message of this layout ends with its checksum, where the direction has one.
    ///
    /// # Errors
    /// K-02, if it does not.
    pub fn checked(&self, layout: &Layout) -> Result<(), RuleError> {
        let Some((name, _)) = &self.check else { return Ok(()) };
        let number = |item: &&Item| {
            *item.name == **name && matches!(item.kind, Kind::Int { signed: false, .. })
        };
        if layout.last().filter(number).is_some_and(|item| item.count == Count::One) {
            return Ok(());
        }
        let message = format!("the layout does not end with its checksum `{name}`");
        Err(RuleError::new("K-02", message).hint(format!("`\"{name}: u16le\"` as its last item")))
    }

    /// The head of a message, before it is known which one it is.
    ///
    /// # Errors
    /// The first item that does not hold.
    pub fn read_head<'a>(
        &self,
        bytes: &'a [u8],
        nodes: usize,
    ) -> Result<Value<'a>, crate::rejection::Violation> {
        self.head.read_start(bytes, nodes).map(|(tree, _)| tree)
    }

    /// A whole message of this layout.
    ///
    /// # Errors
    /// The first item that does not hold, bytes behind the last, or a wrong checksum.
    pub fn read<'a>(
        &self,
        layout: &Layout,
        bytes: &'a [u8],
        nodes: usize,
    ) -> Result<Value<'a>, crate::rejection::Violation> {
        let tree = layout.read(bytes, nodes)?;
        if let Some((name, checksum)) = &self.check {
            let width = layout.last().map_or(0, |item| item.kind.least());
            let before = bytes.get(..bytes.len().saturating_sub(width)).unwrap_or_default();
            checksum.hold(name, tree.member(name), before)?;
        }
        Ok(tree)
    }

    /// The bytes of a tree of this layout, if it is one. A checksum is made, not taken.
    #[must_use]
    pub fn write(&self, layout: &Layout, tree: &Value<'_>) -> Option<Vec<u8>> {
        let Some((name, checksum)) = &self.check else { return layout.write(tree) };
        let last = layout.last()?;
        let Value::Map(members) = tree else { return None };
        let before = Layout(layout.0.split_last()?.1.to_vec());
        let others = members.iter().filter(|(key, _)| **key != **name).cloned().collect();
        let mut bytes = before.write(&Value::Map(others))?;
        let sum = Value::Int(checksum.of(&bytes));
        Layout(vec![last.clone()]).0.first()?.put(&sum, &mut bytes)?;
        Some(bytes)
    }
}

impl Item {
    fn field_type(&self) -> FieldType {
        let one = match self.kind {
            Kind::Int { .. } | Kind::Varint => {
                let (lo, hi) = self.kind.bounds();
                FieldType::Int(lo, hi)
            }
            Kind::Float { .. } => FieldType::Float,
            Kind::Bool => FieldType::Bool,
            Kind::Bytes => return FieldType::Bytes,
            Kind::Text(_) => return FieldType::Text,
        };
        if self.count == Count::One { one } else { FieldType::List(Box::new(one)) }
    }
}

impl Kind {
    /// What one element is, for people.
    fn told(self) -> String {
        let first = |width: usize, little: bool| match (width, little) {
            (1, _) => " of 1 byte".to_owned(),
            (_, true) => format!(" of {width} bytes, least significant first"),
            (_, false) => format!(" of {width} bytes, most significant first"),
        };
        match self {
            Self::Int { width, signed: true, little } => {
                format!("a signed integer{}", first(width, little))
            }
            Self::Int { width, signed: false, little } => {
                format!("an unsigned integer{}", first(width, little))
            }
            Self::Float { width, little } => format!("a finite number{}", first(width, little)),
            Self::Bool => "one byte, 0 or 1".to_owned(),
            Self::Varint => format!("a shortest LEB128 of at most {VARINT} bytes"),
            Self::Bytes => "bytes".to_owned(),
            Self::Text(charset) => format!("bytes of text in `{}`", charset.name()),
        }
    }

    /// Bytes of the shortest element.
    fn least(self) -> usize {
        match self {
            Self::Int { width, .. } | Self::Float { width, .. } => width,
            Self::Bool | Self::Varint | Self::Bytes | Self::Text(_) => 1,
        }
    }

    /// The integers that the type can hold. What is above 2^63-1 is refused, so a `u64` ends there.
    fn bounds(self) -> (i64, i64) {
        match self {
            Self::Int { width: 8, signed: false, .. } => (0, i64::MAX),
            Self::Int { width: 8, signed: true, .. } => (i64::MIN, i64::MAX),
            Self::Int { width, signed: false, .. } => (0, (1 << (8 * width)) - 1),
            Self::Int { width, .. } => {
                let half = 1_i64 << (8 * width - 1);
                (-half, half - 1)
            }
            Self::Varint => (0, (1 << (7 * VARINT)) - 1),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests;
