//! Our tree as the schema crate sees it: borrowed nodes, nothing copied.

use crate::contract::value::Value;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object};
use jsonschema::types::JsonType;
use serde_json::{Number, Value as Other};
use std::borrow::Cow;

/// The representation.
pub(super) struct Tree;

/// One node: a value, or the name of a member where names are judged.
#[derive(Debug, Clone, Copy)]
pub(super) enum TreeNode<'a> {
    Value(&'a Value<'a>),
    Name(&'a str),
}

impl Json for Tree {
    type Node<'a> = TreeNode<'a>;
    type PreparedKey = String;
    type StringBuffer = ();
    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(TreeNode<'_>) -> T) -> T {
        f(TreeNode::Name(string))
    }
}

/// A number, read without making one of serde_json's.
pub(super) enum Num {
    Int(i64),
    Float(f64),
}

impl JsonNumber for Num {
    fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            Self::Float(_) => None,
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Float(_) => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "what a double of this integer is")]
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
        }
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_number().to_string())
    }

    fn to_number(&self) -> Cow<'_, Number> {
        Cow::Owned(match self {
            Self::Int(value) => Number::from(*value),
            Self::Float(value) => Number::from_f64(*value).unwrap_or_else(|| Number::from(0)),
        })
    }

    fn is_integer(&self) -> bool {
        match self {
            Self::Int(_) => true,
            Self::Float(value) => value.fract() == 0.0,
        }
    }

    fn is_written_as_integer(&self) -> bool {
        matches!(self, Self::Int(_))
    }
}

type Members<'a> = &'a [(Cow<'a, str>, Value<'a>)];

impl<'a> Node<'a, Tree> for TreeNode<'a> {
    type Object = ObjectNode<'a>;
    type Array = ArrayNode<'a>;
    type Number = Num;

    fn as_object(&self) -> Option<ObjectNode<'a>> {
        match self {
            Self::Value(Value::Map(members)) => Some(ObjectNode(members)),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<ArrayNode<'a>> {
        match self {
            Self::Value(Value::List(list)) => Some(ArrayNode(list)),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Name(name) => Some(Cow::Borrowed(name)),
            Self::Value(Value::Text(text)) => Some(Cow::Borrowed(text)),
            Self::Value(_) => None,
        }
    }

    fn as_number(&self) -> Option<Num> {
        match self {
            Self::Value(Value::Int(value)) => Some(Num::Int(*value)),
            Self::Value(Value::Float(value)) => Some(Num::Float(*value)),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Value(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Value(Value::Null))
    }

    fn json_type(&self) -> JsonType {
        match self {
            Self::Name(_) | Self::Value(Value::Text(_) | Value::Bytes(_)) => JsonType::String,
            Self::Value(Value::Null) => JsonType::Null,
            Self::Value(Value::Bool(_)) => JsonType::Boolean,
            Self::Value(Value::Int(_) | Value::Float(_)) => JsonType::Number,
            Self::Value(Value::List(_)) => JsonType::Array,
            Self::Value(Value::Map(_)) => JsonType::Object,
        }
    }

    fn string_length(&self) -> Option<u64> {
        let text = match self {
            Self::Name(name) => name,
            Self::Value(Value::Text(text)) => &**text,
            Self::Value(_) => return None,
        };
        Some(if text.is_ascii() { text.len() } else { text.chars().count() } as u64)
    }

    fn equals_value(&self, expected: &Other) -> bool {
        match self {
            Self::Name(name) => expected.as_str() == Some(name),
            Self::Value(value) => equal(value, expected),
        }
    }

    fn to_value(&self) -> Cow<'a, Other> {
        Cow::Owned(match self {
            Self::Name(name) => Other::String((*name).to_owned()),
            Self::Value(value) => copied(value),
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        match self {
            Self::Value(value) => Some(NodeIdentity::new(std::ptr::from_ref(*value) as usize)),
            Self::Name(_) => None,
        }
    }
}

/// The members of an object.
pub(super) struct ObjectNode<'a>(Members<'a>);

/// The members, one after the other.
pub(super) struct MembersIter<'a>(std::slice::Iter<'a, (Cow<'a, str>, Value<'a>)>);

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, TreeNode<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key.as_ref(), TreeNode::Value(value)))
    }
}

impl<'a> Object<'a, Tree> for ObjectNode<'a> {
    type Node = TreeNode<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<TreeNode<'a>> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| TreeNode::Value(value))
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter(self.0.iter())
    }
}

/// The elements of an array.
pub(super) struct ArrayNode<'a>(&'a [Value<'a>]);

/// The elements, one after the other.
pub(super) struct ElementsIter<'a>(std::slice::Iter<'a, Value<'a>>);

impl<'a> Iterator for ElementsIter<'a> {
    type Item = TreeNode<'a>;

    fn next(&mut self) -> Option<TreeNode<'a>> {
        self.0.next().map(TreeNode::Value)
    }
}

impl<'a> Array<'a, Tree> for ArrayNode<'a> {
    type Node = TreeNode<'a>;
    type ElementsIter = ElementsIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> ElementsIter<'a> {
        ElementsIter(self.0.iter())
    }
}

/// Equality as JSON Schema has it: numbers by what they are worth.
fn equal(ours: &Value<'_>, theirs: &Other) -> bool {
    match (ours, theirs) {
        (Value::Null, Other::Null) => true,
        (Value::Bool(a), Other::Bool(b)) => a == b,
        (Value::Int(a), Other::Number(b)) => match b.as_i64() {
            Some(b) => *a == b,
            None => Num::Int(*a).as_f64() == b.as_f64(),
        },
        (Value::Float(a), Other::Number(b)) => Some(*a) == b.as_f64(),
        (Value::Text(a), Other::String(b)) => a == b,
        (Value::List(a), Other::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Map(a), Other::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key.as_ref()).is_some_and(|b| equal(a, b)))
        }
        _ => false,
    }
}

/// A copy in serde_json's tree; only where an error or `uniqueItems` needs one.
fn copied(value: &Value<'_>) -> Other {
    match value {
        Value::Null => Other::Null,
        Value::Bool(value) => Other::Bool(*value),
        Value::Int(value) => Other::Number((*value).into()),
        Value::Float(value) => Number::from_f64(*value).map_or(Other::Null, Other::Number),
        Value::Text(text) => Other::String(text.clone().into_owned()),
        Value::Bytes(bytes) => Other::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::List(list) => Other::Array(list.iter().map(copied).collect()),
        Value::Map(members) => Other::Object(
            members.iter().map(|(k, v)| (k.clone().into_owned(), copied(v))).collect(),
        ),
    }
}
