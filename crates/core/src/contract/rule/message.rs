//! The type of a message, by its decoder, grammar, field rules and schema.

use super::types::{Member, Type};
use crate::contract::codec::resp::Resp;
use crate::contract::codec::{hl7::Hl7, modbus};
use crate::contract::decode::{DecodeRule, FieldType, Numbers};
use crate::contract::field::FieldRule;
use crate::contract::value::{Pointer, Value};
use crate::contract::{Direction, MessageRule};
use crate::policy::schema::AttributeKind;

impl Type {
    /// What a rule may read of a message; what is secret is marked.
    pub(crate) fn of_message(direction: &Direction, message: &MessageRule) -> Self {
        let decode = &direction.decode;
        let wide = matches!(decode, DecodeRule::Json(rule) if rule.numbers == Numbers::I64);
        let mut whole = match &message.schema {
            Some(schema) => schema.kind_tree(wide),
            None => Self::Map(Vec::new()),
        };
        let grammars = [&direction.grammar, &message.grammar].into_iter().flatten();
        for name in grammars.flat_map(|grammar| grammar.groups()) {
            if whole.member(name).is_none() {
                whole.put(&Pointer::name(name), Self::Text(None), false);
            }
        }
        if let DecodeRule::Bytes { name } = decode {
            whole.put(&Pointer::name(name), Self::Bytes(None), false);
        }
        let layout = message.layout.as_ref();
        for name in decode.names(layout) {
            let at = Pointer::name(name);
            if let Some(known) = decode.field_type(layout, &at) {
                whole.put(&at, of_item(&known), false);
            }
        }
        let of_codec = match decode {
            DecodeRule::Modbus(side) => modbus::Modbus.fields(*side, &message.matches),
            DecodeRule::Hl7(rule) => Hl7::fields(rule.side()),
            // Lists of words have no type of their own.
            DecodeRule::Resp(rule) => {
                let known = Resp::fields(rule.side(), &message.matches);
                known.into_iter().filter(|(_, kind)| kind.is_some()).collect()
            }
            _ => Vec::new(),
        };
        for (name, kind) in of_codec {
            whole.put(&Pointer::name(name), of_known(kind.as_ref()), false);
        }
        for (at, _, rule) in &message.fields {
            let item = decode.field_type(layout, at).map(|known| of_item(&known));
            let known = whole.at(at).map(|member| &member.kind).or(item.as_ref());
            let kind = of_field(rule, decode, known);
            whole.put(at, kind, rule.secret);
        }
        for at in &message.secrets {
            whole.hide(at);
        }
        whole
    }

    fn member(&self, name: &str) -> Option<&Member> {
        match self {
            Self::Map(members) => members.iter().find(|member| *member.name == *name),
            _ => None,
        }
    }

    /// The member at a place below this type.
    pub(crate) fn at(&self, pointer: &Pointer) -> Option<&Member> {
        let mut segments = pointer.segments();
        let first = self.member(segments.next()?)?;
        segments.try_fold(first, |member, name| member.kind.member(name))
    }

    /// Puts a type at a place whose way there is known, in place of what stood there.
    fn put(&mut self, pointer: &Pointer, kind: Self, secret: bool) {
        let mut at = self;
        let mut segments = pointer.segments().peekable();
        while let Some(name) = segments.next() {
            let Self::Map(members) = at else { return };
            let found = members.iter().position(|member| *member.name == *name);
            let place = found.unwrap_or(members.len());
            if found.is_none() {
                let kind = Self::Map(Vec::new());
                members.push(Member { name: name.into(), kind, secret: false });
            }
            let Some(member) = members.get_mut(place) else { return };
            if segments.peek().is_none() {
                member.kind = kind;
                member.secret |= secret;
                return;
            }
            at = &mut member.kind;
        }
    }

    /// Marks a place as secret, with all below it.
    fn hide(&mut self, pointer: &Pointer) {
        let mut at = self;
        let mut segments = pointer.segments().peekable();
        while let Some(name) = segments.next() {
            let Self::Map(members) = at else { return };
            let Some(member) = members.iter_mut().find(|m| *m.name == *name) else { return };
            if segments.peek().is_none() {
                member.secret = true;
                return;
            }
            at = &mut member.kind;
        }
    }
}

/// The type of what a decoder knows by itself.
fn of_item(known: &FieldType) -> Type {
    match known {
        FieldType::Int(..) => Type::Int { bounded: true },
        FieldType::Float => Type::Other("a number that may have a fraction"),
        FieldType::Bool => Type::Bool,
        FieldType::Text => Type::Text(None),
        FieldType::Bytes => Type::Bytes(None),
        FieldType::List(of) => Type::List(of_item(of).into(), None),
    }
}

/// The type of a field that a codec knows; its integers are bounded by their size on the wire.
fn of_known(kind: Option<&AttributeKind>) -> Type {
    match kind {
        Some(AttributeKind::Long) => Type::Int { bounded: true },
        Some(AttributeKind::Set(element)) => {
            Type::List(of_known(Some(element)).into(), Some(modbus::LIST))
        }
        Some(AttributeKind::Bool) => Type::Bool,
        Some(AttributeKind::String | AttributeKind::Decimal | AttributeKind::Datetime) => {
            Type::Text(None)
        }
        Some(AttributeKind::Record(_)) => Type::Other("of no type that a rule reads"),
        None => Type::Bytes(Some(modbus::ADU)),
    }
}

/// The type of a field by its short rules, beside what a schema says of it.
fn of_field(rule: &FieldRule, decode: &DecodeRule, known: Option<&Type>) -> Type {
    if rule.int.is_some() || rule.int_bounds().is_some() {
        return Type::Int { bounded: true };
    }
    if let Some(each) = &rule.each {
        let element = of_field(each, decode, None);
        return Type::List(element.into(), rule.len.map(|(_, most)| most));
    }
    let most = rule.bytes.map(|(_, most)| most);
    let most = most.or_else(|| rule.len.map(|(_, most)| most.saturating_mul(4)));
    let listed =
        rule.one_of.as_deref().or_else(|| rule.constant.as_ref().map(std::slice::from_ref));
    match listed {
        Some([Value::Text(first), rest @ ..]) => {
            let size = |value: &Value<'_>| value.as_text().map(str::len);
            let longest = rest.iter().try_fold(first.len(), |most, v| Some(size(v)?.max(most)));
            return match longest {
                Some(longest) => Type::Text(Some(longest)),
                None => Type::Other("of several types"),
            };
        }
        Some(all) if !all.is_empty() && all.iter().all(|v| matches!(v, Value::Bool(_))) => {
            return Type::Bool;
        }
        Some(_) => return Type::Other("of several types"),
        None => {}
    }
    let binary = matches!(decode, DecodeRule::Bytes { .. });
    match known {
        Some(Type::Text(bound)) => return Type::Text(most.or(*bound)),
        Some(Type::List(element, bound)) => {
            let own = rule.len.map(|(_, most)| most);
            return Type::List(element.clone(), own.or(*bound));
        }
        Some(Type::Bytes(bound)) => return Type::Bytes(most.or(*bound)),
        Some(Type::Null | Type::Other(_)) | None => {}
        Some(other) => return other.clone(),
    }
    let text = matches!(decode, DecodeRule::Text { .. });
    if binary {
        Type::Bytes(most)
    } else if text
        || rule.regex.is_some()
        || rule.text.is_some()
        || rule.bytes.is_some()
        || rule.form.is_some()
    {
        Type::Text(most)
    } else {
        Type::Other("of no type that the contract says")
    }
}
