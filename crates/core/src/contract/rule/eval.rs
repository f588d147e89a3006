//! The evaluation of a rule that was checked: no allocation but for lists written in the rule, no
//! recursion over what a peer sent, every operation checked.

use super::{Affix, Arithmetic, Compare, Expr, Node, Place, Quantifier, Root};
use crate::contract::value::{Pointer, Value};

/// A tree, or what was kept of one, in which places are looked up.
pub trait Look {
    /// What stands at a place.
    fn look<'s>(&'s self, at: &Pointer) -> Option<&'s Value<'s>>;
}

impl Look for Value<'_> {
    fn look<'s>(&'s self, at: &Pointer) -> Option<&'s Value<'s>> {
        at.get(self)
    }
}

/// The four trees that a rule may read. What is not there is absent.
#[derive(Clone, Copy)]
pub struct Scope<'v> {
    /// The message.
    pub this: &'v dyn Look,
    /// What is kept of the request that it answers.
    pub request: Option<&'v dyn Look>,
    /// What the connection remembers.
    pub session: Option<&'v dyn Look>,
    /// Who is at the other end.
    pub peer: Option<&'v dyn Look>,
}

impl<'v> Scope<'v> {
    /// A scope of a message alone.
    #[must_use]
    pub fn of(this: &'v dyn Look) -> Self {
        Self { this, request: None, session: None, peer: None }
    }

    pub(super) fn get(&self, place: &Place) -> Option<&'v Value<'v>> {
        let tree = match place.root {
            Root::This => Some(self.this),
            Root::Request => self.request,
            Root::Session => self.session,
            Root::Peer => self.peer,
        };
        tree?.look(&place.pointer)
    }
}

/// A value on its way; what a message holds is borrowed from it.
#[derive(Debug, Clone, PartialEq)]
enum Val<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Text(&'v str),
    Bytes(&'v [u8]),
    List(&'v [Value<'v>]),
    /// A list that is written in the rule.
    Written(Vec<Self>),
    Map(&'v Value<'v>),
    /// A number with a fraction, which equals nothing.
    Other,
}

/// Whole numbers that a double holds exactly: JSON may write the integer 1 as `1.0`.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl<'v> Val<'v> {
    fn of(value: &'v Value<'v>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Int(number) => Self::Int(*number),
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            Value::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => {
                Self::Int(*number as i64)
            }
            Value::Float(_) => Self::Other,
            Value::Text(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::List(list) => Self::List(list),
            Value::Map(_) => Self::Map(value),
        }
    }

    fn told(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "an integer",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::List(_) | Self::Written(_) => "a list",
            Self::Map(_) => "an object",
            Self::Other => "a number with a fraction",
        }
    }

    /// The element at an index, or the number of elements.
    fn element(&self, at: usize) -> Result<Option<Self>, String> {
        match self {
            Self::List(list) => Ok(list.get(at).map(Self::of)),
            Self::Written(list) => Ok(list.get(at).cloned()),
            other => Err(format!("{} is no list", other.told())),
        }
    }

    fn len(&self) -> Result<usize, String> {
        match self {
            Self::Text(text) => Ok(text.chars().count()),
            Self::Bytes(bytes) => Ok(bytes.len()),
            Self::List(list) => Ok(list.len()),
            Self::Written(list) => Ok(list.len()),
            Self::Map(Value::Map(members)) => Ok(members.len()),
            other => Err(format!("{} has no size", other.told())),
        }
    }
}

/// Whether a rule holds.
pub(super) fn holds(root: &Node, scope: &Scope<'_>) -> Result<bool, String> {
    Evaluation { scope, locals: Vec::new() }.truth(root)
}

struct Evaluation<'v, 's> {
    scope: &'s Scope<'v>,
    locals: Vec<Val<'v>>,
}

impl<'v> Evaluation<'v, '_> {
    fn node(&mut self, node: &'v Node) -> Result<Val<'v>, String> {
        Ok(match &node.expr {
            Expr::Literal(value) => Val::of(value),
            Expr::List(elements) => {
                Val::Written(elements.iter().map(|e| self.node(e)).collect::<Result<_, _>>()?)
            }
            Expr::Place(place, _) => match self.scope.get(place) {
                Some(value) => Val::of(value),
                None => return Err(format!("{place} is absent")),
            },
            Expr::Local(at) => self.locals.get(*at).cloned().unwrap_or(Val::Other),
            Expr::Member(of, name) => match self.member(of, name)? {
                Some(value) => value,
                None => return Err(format!("`{name}` is absent")),
            },
            Expr::Index(list, index) => {
                let (list, index) = (self.node(list)?, self.int(index)?);
                let at = usize::try_from(index).ok().map(|at| list.element(at)).transpose()?;
                let outside = || Err(format!("index {index} is outside a list of {}", list.len()?));
                at.flatten().map_or_else(outside, Ok)?
            }
            Expr::Has(selected) => Val::Bool(match &selected.expr {
                Expr::Place(place, _) => self.scope.get(place).is_some(),
                Expr::Member(of, name) => self.member(of, name)?.is_some(),
                _ => false,
            }),
            Expr::Not(a) => Val::Bool(!self.truth(a)?),
            Expr::Negate(a) => Val::Int(self.int(a)?.checked_neg().ok_or_else(overflow)?),
            Expr::Arithmetic(operator, a, b) => {
                Val::Int(compute(*operator, self.int(a)?, self.int(b)?)?)
            }
            Expr::Compare(compare, a, b) => {
                let (a, b) = (self.node(a)?, self.node(b)?);
                Val::Bool(ordered(*compare, &a, &b)?)
            }
            Expr::And(a, b) => Val::Bool(self.both(a, b, false)?),
            Expr::Or(a, b) => Val::Bool(self.both(a, b, true)?),
            Expr::If(condition, a, b) => {
                if self.truth(condition)? {
                    self.node(a)?
                } else {
                    self.node(b)?
                }
            }
            Expr::In(a, list) => {
                let (a, list) = (self.node(a)?, self.node(list)?);
                let mut found = false;
                for at in 0..list.len()? {
                    if let Some(element) = list.element(at)? {
                        found |= equal(&element, &a)?;
                    }
                }
                Val::Bool(found)
            }
            Expr::Size(a) => Val::Int(i64::try_from(self.node(a)?.len()?).map_err(|_| overflow())?),
            Expr::Affix(affix, a, b) => {
                let (a, b) = (self.text(a)?, self.text(b)?);
                Val::Bool(match affix {
                    Affix::Starts => a.starts_with(b),
                    Affix::Ends => a.ends_with(b),
                    Affix::Contains => a.contains(b),
                })
            }
            Expr::Matches(a, pattern) => Val::Bool(pattern.matches(self.text(a)?)),
            Expr::Quantified(quantifier, list, body) => {
                Val::Bool(self.quantified(*quantifier, list, body)?)
            }
        })
    }

    fn member(&mut self, of: &'v Node, name: &str) -> Result<Option<Val<'v>>, String> {
        match self.node(of)? {
            Val::Map(map) => Ok(map.member(name).map(Val::of)),
            other => Err(format!("{} has no field `{name}`", other.told())),
        }
    }

    /// `&&` and `||` of CEL: a side that decides alone absorbs an error of the other.
    fn both(&mut self, a: &'v Node, b: &'v Node, decides: bool) -> Result<bool, String> {
        let first = self.truth(a);
        if first == Ok(decides) {
            return Ok(decides);
        }
        let second = self.truth(b);
        if second == Ok(decides) {
            return Ok(decides);
        }
        first.and(second)
    }

    /// `all` is an `&&` over the elements and `exists` an `||`; `exists_one` absorbs no error.
    fn quantified(
        &mut self,
        quantifier: Quantifier,
        list: &'v Node,
        body: &'v Node,
    ) -> Result<bool, String> {
        let list = self.node(list)?;
        let (mut failed, mut count) = (None, 0_usize);
        for at in 0..list.len()? {
            let Some(element) = list.element(at)? else { break };
            self.locals.push(element);
            let holds = self.truth(body);
            self.locals.pop();
            match (quantifier, holds) {
                (Quantifier::All, Ok(false)) => return Ok(false),
                (Quantifier::Exists, Ok(true)) => return Ok(true),
                (Quantifier::ExistsOne, Err(error)) => return Err(error),
                (_, Ok(holds)) => count += usize::from(holds),
                (_, Err(error)) => failed = failed.or(Some(error)),
            }
        }
        match (failed, quantifier) {
            (Some(error), _) => Err(error),
            (None, Quantifier::All) => Ok(true),
            (None, Quantifier::Exists) => Ok(false),
            (None, Quantifier::ExistsOne) => Ok(count == 1),
        }
    }

    fn truth(&mut self, node: &'v Node) -> Result<bool, String> {
        match self.node(node)? {
            Val::Bool(flag) => Ok(flag),
            other => Err(format!("{} is not true or false", other.told())),
        }
    }

    fn int(&mut self, node: &'v Node) -> Result<i64, String> {
        match self.node(node)? {
            Val::Int(number) => Ok(number),
            other => Err(format!("{} is no integer", other.told())),
        }
    }

    fn text(&mut self, node: &'v Node) -> Result<&'v str, String> {
        match self.node(node)? {
            Val::Text(text) => Ok(text),
            other => Err(format!("{} is no text", other.told())),
        }
    }
}

fn overflow() -> String {
    "an integer overflows 64 bits".to_owned()
}

fn compute(operator: Arithmetic, a: i64, b: i64) -> Result<i64, String> {
    let made = match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide | Arithmetic::Remainder if b == 0 => {
            return Err(format!("{a} is divided by zero"));
        }
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Remainder => a.checked_rem(b),
    };
    made.ok_or_else(overflow)
}

fn ordered(compare: Compare, a: &Val<'_>, b: &Val<'_>) -> Result<bool, String> {
    let order = match (a, b) {
        _ if compare == Compare::Equal => return equal(a, b),
        _ if compare == Compare::Unequal => return equal(a, b).map(|is| !is),
        (Val::Int(a), Val::Int(b)) => a.cmp(b),
        (Val::Text(a), Val::Text(b)) => a.cmp(b),
        (Val::Bytes(a), Val::Bytes(b)) => a.cmp(b),
        _ => return Err(format!("{} and {} have no order", a.told(), b.told())),
    };
    Ok(match compare {
        Compare::Less => order.is_lt(),
        Compare::LessOrEqual => order.is_le(),
        Compare::Greater => order.is_gt(),
        Compare::GreaterOrEqual => order.is_ge(),
        Compare::Equal | Compare::Unequal => order.is_eq(),
    })
}

fn equal(a: &Val<'_>, b: &Val<'_>) -> Result<bool, String> {
    let alike = std::mem::discriminant(a) == std::mem::discriminant(b);
    match (a, b) {
        (Val::Other, _) | (_, Val::Other) => {
            Err(format!("{} and {} do not compare", a.told(), b.told()))
        }
        (Val::Null, _) | (_, Val::Null) => Ok(alike),
        _ if alike => Ok(a == b),
        _ => Err(format!("{} and {} do not compare", a.told(), b.told())),
    }
}
