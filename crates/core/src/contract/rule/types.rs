//! What a rule may read, its types, and what its evaluation may cost.

use super::{Arithmetic, Compare, Expr, Node, Place, Root, RuleFault};
use crate::contract::pattern::RuleError;
use crate::contract::value::Value;
use std::borrow::Cow;

/// The type of a value that a rule may read, with the bounds that its cost is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// JSON's `null`.
    Null,
    /// True or false.
    Bool,
    /// An integer; whether the contract bounds it.
    Int {
        /// Whether it has a least and a greatest value.
        bounded: bool,
    },
    /// A text; its largest size in bytes, where that is known.
    Text(Option<usize>),
    /// Bytes; the largest size, where that is known.
    Bytes(Option<usize>),
    /// A list; the type and the largest number of its elements.
    List(Box<Self>, Option<usize>),
    /// Named values.
    Map(Vec<Member>),
    /// What a rule cannot compute with, as an operator reads it.
    Other(&'static str),
}

impl Type {
    /// Whether it is an integer without bounds, or has one in it.
    pub(crate) fn has_unbounded(&self) -> bool {
        match self {
            Self::Int { bounded } => !bounded,
            Self::List(of, _) => of.has_unbounded(),
            Self::Map(members) => members.iter().any(|member| member.kind.has_unbounded()),
            _ => false,
        }
    }
}

/// A named value of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Box<str>,
    /// What it is.
    pub kind: Type,
    /// Whether its value appears nowhere, so that no rule may read it.
    pub secret: bool,
}

/// What a rule of one message is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Types<'t> {
    /// The message's name.
    pub message: &'t str,
    /// The message.
    pub this: &'t Type,
    /// Name and type of the request that it answers, if it is a reply.
    pub request: Option<(&'t str, &'t Type)>,
    /// What the connection remembers: a map.
    pub session: &'t Type,
    /// Whether its texts can only be ASCII.
    pub ascii: bool,
    /// Values of a message, where a list has no bound of its own.
    pub nodes: usize,
    /// Bytes of a text that has no bound of its own.
    pub string: usize,
}

/// The type of `peer`.
#[must_use]
pub fn peer() -> Type {
    let member = |name: &str, kind| Member { name: name.into(), kind, secret: false };
    let text = || Type::Text(Some(2048));
    Type::Map(vec![
        member("name", text()),
        member("trust_domain", text()),
        member("last", text()),
        member("dns", Type::List(text().into(), Some(16))),
        member("roles", Type::List(text().into(), Some(16))),
    ])
}

impl Type {
    fn told(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int { .. } => "an integer",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::List(..) => "a list",
            Self::Map(_) => "an object",
            Self::Other(what) => what,
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(self, Self::Null | Self::Bool | Self::Int { .. } | Self::Text(_) | Self::Bytes(_))
    }

    /// Whether the two can be equal at all; null may stand for an absent scalar.
    fn compares(&self, other: &Self) -> bool {
        let same = std::mem::discriminant(self) == std::mem::discriminant(other);
        let null = matches!(self, Self::Null) || matches!(other, Self::Null);
        (same && self.is_scalar()) || null
    }

    /// The type of one of the two, if they are alike.
    fn join(self, other: &Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Int { bounded: a }, Self::Int { bounded: b }) => Self::Int { bounded: a && *b },
            (Self::Text(a), Self::Text(b)) => Self::Text(a.zip(*b).map(|(a, b)| a.max(b))),
            (Self::Bytes(a), Self::Bytes(b)) => Self::Bytes(a.zip(*b).map(|(a, b)| a.max(b))),
            (a, b) if a == *b => a,
            _ => return None,
        })
    }
}

const BOOL: Type = Type::Bool;
const INT: Type = Type::Int { bounded: true };

/// Checks that a rule is of type bool and reads what there is; gives what it may cost.
pub(super) fn check(root: &Node, types: &Types<'_>) -> Result<u64, RuleFault> {
    let peer = peer();
    let mut checker = Checker { types, peer: &peer, locals: Vec::new(), units: 0 };
    let kind = checker.node(root)?;
    expect(root, &kind, &BOOL)?;
    Ok(checker.units)
}

struct Checker<'t> {
    types: &'t Types<'t>,
    peer: &'t Type,
    locals: Vec<Cow<'t, Type>>,
    units: u64,
}

type Checked<'t> = Result<Cow<'t, Type>, RuleFault>;

impl<'t> Checker<'t> {
    fn node(&mut self, node: &Node) -> Checked<'t> {
        self.spend(1);
        let kind = match &node.expr {
            Expr::Literal(value) => Cow::Owned(of_literal(value)),
            Expr::List(elements) => self.list(node, elements)?,
            Expr::Place(place, steps) => {
                let kind = self.place(place, steps, node.at)?;
                bounded(kind, &place.to_string(), node.at)?;
                Cow::Borrowed(kind)
            }
            Expr::Local(at) => {
                let kind = self.locals.get(*at).cloned().unwrap_or(Cow::Owned(Type::Null));
                bounded(&kind, "an element", node.at)?;
                kind
            }
            Expr::Member(of, name) => self.member(node, of, name)?,
            Expr::Index(list, index) => {
                let (of, index_kind) = (self.node(list)?, self.node(index)?);
                let element = element(list, of)?;
                expect(index, &index_kind, &INT)?;
                bounded(&element, "an element", node.at)?;
                element
            }
            Expr::Has(selected) => {
                match &selected.expr {
                    Expr::Place(place, steps) => drop(self.place(place, steps, selected.at)?),
                    _ => drop(self.node(selected)?),
                }
                Cow::Owned(BOOL)
            }
            Expr::Not(a) => self.all(&[(a, &BOOL)], BOOL)?,
            Expr::Negate(a) => self.all(&[(a, &INT)], INT)?,
            Expr::Arithmetic(operator, a, b) => self.arithmetic(node, *operator, a, b)?,
            Expr::Compare(compare, a, b) => self.compare(node, *compare, a, b)?,
            Expr::And(a, b) | Expr::Or(a, b) => self.all(&[(a, &BOOL), (b, &BOOL)], BOOL)?,
            Expr::If(condition, a, b) => {
                let kind = self.node(condition)?;
                expect(condition, &kind, &BOOL)?;
                let (a, other) = (self.node(a)?.into_owned(), self.node(b)?);
                let joined = a.clone().join(&other);
                let unlike = || {
                    let (a, b) = (a.told(), other.told());
                    RuleFault::new(
                        node.at,
                        format!("the rule is {a} in one case and {b} in the other"),
                    )
                };
                Cow::Owned(joined.ok_or_else(unlike)?)
            }
            Expr::In(a, list) => {
                let (kind, of) = (self.node(a)?, self.node(list)?);
                let length = self.length(&of);
                let element = element(list, of)?;
                if !kind.compares(&element) {
                    return Err(unlike(node.at, &kind, &element));
                }
                self.spend(length.saturating_mul(1 + self.bytes(&kind) / 64));
                Cow::Owned(BOOL)
            }
            Expr::Size(a) => {
                let kind = self.node(a)?;
                match &*kind {
                    Type::Text(_) | Type::Bytes(_) => self.spend(self.bytes(&kind) / 64),
                    Type::List(..) | Type::Map(_) => {}
                    other => {
                        return Err(RuleFault::new(a.at, format!("{} has no size", other.told())));
                    }
                }
                Cow::Owned(INT)
            }
            Expr::Affix(_, a, b) => {
                let text = Type::Text(None);
                let (kind, part) = (self.node(a)?, self.node(b)?);
                expect(a, &kind, &text)?;
                expect(b, &part, &text)?;
                self.spend((self.bytes(&kind) + self.bytes(&part)) / 64);
                Cow::Owned(BOOL)
            }
            Expr::Matches(a, pattern) => {
                let kind = self.node(a)?;
                expect(a, &kind, &Type::Text(None))?;
                self.spend(pattern.units(self.bytes(&kind)));
                Cow::Owned(BOOL)
            }
            Expr::Quantified(_, list, body) => {
                let of = self.node(list)?;
                let length = self.length(&of);
                let element = element(list, of)?;
                let before = std::mem::take(&mut self.units);
                self.locals.push(element);
                let kind = self.node(body)?;
                self.locals.pop();
                expect(body, &kind, &BOOL)?;
                self.units = before.saturating_add(self.units.saturating_mul(length));
                Cow::Owned(BOOL)
            }
        };
        Ok(kind)
    }

    fn all(&mut self, parts: &[(&Node, &Type)], gives: Type) -> Checked<'t> {
        for (node, wanted) in parts {
            let kind = self.node(node)?;
            expect(node, &kind, wanted)?;
        }
        Ok(Cow::Owned(gives))
    }

    fn arithmetic(&mut self, node: &Node, operator: Arithmetic, a: &Node, b: &Node) -> Checked<'t> {
        let (left, right) = (self.node(a)?, self.node(b)?);
        let text = |kind: &Type| matches!(kind, Type::Text(_) | Type::Bytes(_) | Type::List(..));
        if operator == Arithmetic::Add && text(&left) && text(&right) {
            return Err(RuleFault::new(
                node.at,
                "`+` adds integers; texts and lists are not joined",
            ));
        }
        expect(a, &left, &INT)?;
        expect(b, &right, &INT)?;
        Ok(Cow::Owned(INT))
    }

    fn compare(&mut self, node: &Node, compare: Compare, a: &Node, b: &Node) -> Checked<'t> {
        let (left, right) = (self.node(a)?, self.node(b)?);
        let fits = match compare {
            Compare::Equal | Compare::Unequal => left.compares(&right),
            _ => {
                let has_order = |kind: &Type| !matches!(kind, Type::Null | Type::Bool);
                left.compares(&right) && has_order(&left) && has_order(&right)
            }
        };
        if !fits {
            return Err(unlike(node.at, &left, &right));
        }
        self.spend(self.bytes(&left).min(self.bytes(&right)) / 64);
        Ok(Cow::Owned(BOOL))
    }

    fn list(&mut self, node: &Node, elements: &[Node]) -> Checked<'t> {
        let mut joined: Option<Type> = None;
        for element in elements {
            let kind = self.node(element)?;
            if !kind.is_scalar() {
                let message = format!("a list in a rule holds plain values, not {}", kind.told());
                return Err(RuleFault::new(element.at, message));
            }
            joined = Some(match joined {
                None => kind.into_owned(),
                Some(known) => {
                    let fault = unlike(element.at, &known, &kind);
                    known.join(&kind).ok_or(fault)?
                }
            });
        }
        let kind = joined.ok_or_else(|| RuleFault::new(node.at, "the list is empty"))?;
        Ok(Cow::Owned(Type::List(kind.into(), Some(elements.len()))))
    }

    /// The type at a place, each of whose steps must be there.
    fn place(&self, place: &Place, steps: &[usize], at: usize) -> Result<&'t Type, RuleFault> {
        let (root, of) = match place.root {
            Root::This => (self.types.this, format!("message `{}`", self.types.message)),
            Root::Request => match self.types.request {
                Some((name, request)) => (request, format!("request `{name}`")),
                None => {
                    return Err(RuleFault::new(at, "there is no `request`")
                        .hint("only a reply has one: a server's message with `answers`"));
                }
            },
            Root::Session => (self.types.session, "`session`".to_owned()),
            Root::Peer => (self.peer, "`peer`".to_owned()),
        };
        let mut kind = root;
        let mut way = place.root.as_str().to_owned();
        for (depth, (name, at)) in place.pointer.segments().zip(steps).enumerate() {
            let of = if depth == 0 { of.clone() } else { format!("`{way}`") };
            kind = &find(kind, name, &of, *at)?.kind;
            way = format!("{way}.{name}");
        }
        Ok(kind)
    }

    fn member(&mut self, node: &Node, of: &Node, name: &str) -> Checked<'t> {
        let kind = match self.node(of)? {
            Cow::Borrowed(kind) => Cow::Borrowed(&find(kind, name, "this object", node.at)?.kind),
            Cow::Owned(kind) => Cow::Owned(find(&kind, name, "this object", node.at)?.kind.clone()),
        };
        bounded(&kind, &format!("`{name}`"), node.at)?;
        Ok(kind)
    }

    fn spend(&mut self, units: u64) {
        self.units = self.units.saturating_add(units);
    }

    /// Most bytes of a value.
    fn bytes(&self, kind: &Type) -> u64 {
        match kind {
            Type::Text(most) | Type::Bytes(most) => most.unwrap_or(self.types.string) as u64,
            _ => 0,
        }
    }

    /// Most elements of a list.
    fn length(&self, kind: &Type) -> u64 {
        match kind {
            Type::List(_, most) => most.unwrap_or(self.types.nodes) as u64,
            _ => 1,
        }
    }
}

/// A member, which must be there and no secret.
fn find<'m>(kind: &'m Type, name: &str, of: &str, at: usize) -> Result<&'m Member, RuleFault> {
    let Type::Map(members) = kind else {
        return Err(RuleFault::new(at, format!("{} has no field `{name}`", kind.told())));
    };
    let Some(member) = members.iter().find(|member| *member.name == *name) else {
        let names: Vec<&str> = members.iter().take(20).map(|member| &*member.name).collect();
        let fault = RuleFault::new(at, format!("no field `{name}` in {of}"));
        return Err(match names.as_slice() {
            [] => fault.hint("it has no fields that are known here"),
            [only] => fault.hint(format!("its only field is {only}")),
            _ => fault.hint(format!("fields are {}", names.join(", "))),
        });
    };
    if member.secret {
        let error = RuleError::new("K-60", format!("`{name}` is secret, so no rule reads it"));
        return Err(RuleFault { at, error });
    }
    Ok(member)
}

/// K-31: what a rule computes with has bounds.
fn bounded(kind: &Type, place: &str, at: usize) -> Result<(), RuleFault> {
    if !matches!(kind, Type::Int { bounded: false }) {
        return Ok(());
    }
    let error = RuleError::new("K-31", format!("{place} has no bounds, and a rule reads it"))
        .hint("give it `int = [lo, hi]`, or `minimum` and `maximum` in the schema");
    Err(RuleFault { at, error })
}

fn element<'t>(list: &Node, of: Cow<'t, Type>) -> Checked<'t> {
    match of {
        Cow::Borrowed(Type::List(element, _)) => Ok(Cow::Borrowed(element)),
        Cow::Owned(Type::List(element, _)) => Ok(Cow::Owned(*element)),
        other => Err(RuleFault::new(list.at, format!("this is {}, not a list", other.told()))),
    }
}

fn expect(node: &Node, is: &Type, wanted: &Type) -> Result<(), RuleFault> {
    if std::mem::discriminant(is) == std::mem::discriminant(wanted) {
        return Ok(());
    }
    Err(RuleFault::new(node.at, format!("this is {}, not {}", is.told(), wanted.told())))
}

fn unlike(at: usize, a: &Type, b: &Type) -> RuleFault {
    RuleFault::new(at, format!("{} and {} do not compare so", a.told(), b.told()))
}

fn of_literal(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => INT,
        Value::Text(text) => Type::Text(Some(text.len())),
        Value::Bytes(bytes) => Type::Bytes(Some(bytes.len())),
        Value::Float(_) | Value::List(_) | Value::Map(_) => Type::Other("no literal of a rule"),
    }
}
