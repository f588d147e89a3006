//! `Rule`: a truth across the fields of a message, in a closed subset of CEL.
//!
//! Lexer, parser, type checker and evaluator are our own (`contracts.md` section 11): the subset is
//! small, every construct has a cost that is known at load, and no grammar engine enters `core`.
//! What a rule reads was typed when the contract was loaded; what still fails while it is evaluated
//! (an overflow, an absent value) is a refusal and never a pass.

mod eval;
mod lex;
mod message;
mod parse;
mod types;

pub use eval::{Look, Scope};
pub use types::{Member, Type, Types, peer};

use super::pattern::{Pattern, RuleError};
use super::value::{Pointer, Value};
use crate::rejection::{Reason, Violation};
use std::fmt;

/// Longest rule, in bytes, and most rules of one message (K-40).
pub(super) const LONGEST: usize = 512;
pub(super) const MOST: usize = 16;
/// Values that a refusal shows.
const SHOWN: usize = 8;

/// One rule that parsed, is of type bool and reads only what its message has.
#[derive(Debug)]
pub struct Rule {
    text: Box<str>,
    root: Node,
    places: Vec<Place>,
    units: u64,
}

/// What is wrong in a rule, and at which byte of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    /// Byte of the rule's text.
    pub at: usize,
    /// The check, the sentence and the next step.
    pub error: RuleError,
}

impl RuleFault {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, error: RuleError::new("K-40", message) }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { error: self.error.hint(hint), ..self }
    }
}

/// What a rule's first word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The message itself.
    This,
    /// The request that a reply answers.
    Request,
    /// What the connection remembers.
    Session,
    /// Who is at the other end.
    Peer,
}

impl Root {
    const ALL: [Self; 4] = [Self::This, Self::Request, Self::Session, Self::Peer];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::This => "this",
            Self::Request => "request",
            Self::Session => "session",
            Self::Peer => "peer",
        }
    }
}

/// A place that a rule reads, such as `request.n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of which tree.
    pub root: Root,
    /// Where in it.
    pub pointer: Pointer,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.root.as_str())?;
        self.pointer.segments().try_for_each(|segment| write!(f, ".{segment}"))
    }
}

/// One node of a rule's syntax tree.
#[derive(Debug)]
struct Node {
    /// Byte of the rule's text at which it stands.
    at: usize,
    /// Nodes on the longest way down, itself included.
    depth: usize,
    expr: Expr,
}

#[derive(Debug)]
enum Expr {
    Literal(Value<'static>),
    List(Vec<Node>),
    /// A chain of names from a root, with the byte of each name.
    Place(Place, Vec<usize>),
    /// A variable of `all`, `exists` or `exists_one`, counted from the outermost.
    Local(usize),
    Member(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    Has(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Compare(Compare, Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Size(Box<Node>),
    Affix(Affix, Box<Node>, Box<Node>),
    Matches(Box<Node>, Pattern),
    Quantified(Quantifier, Box<Node>, Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affix {
    Starts,
    Ends,
    Contains,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    All,
    Exists,
    ExistsOne,
}

impl Rule {
    /// Parses a rule and checks it against what its message, and the request that it may answer,
    /// are made of.
    ///
    /// # Errors
    /// K-40 for syntax, what is outside the subset, types and lengths; K-41 for a pattern; K-60 for
    /// a secret; K-31 for an integer without bounds. Each with its byte in the text.
    pub fn compile(text: &str, types: &Types<'_>) -> Result<Self, RuleFault> {
        if text.len() > LONGEST {
            let message = format!("the rule has {} bytes; at most {LONGEST}", text.len());
            return Err(RuleFault::new(0, message).hint("write two rules: all of them must hold"));
        }
        let root = parse::parse(text, types.ascii)?;
        let units = types::check(&root, types)?;
        let mut places = Vec::new();
        root.collect(&mut places);
        Ok(Self { text: text.into(), root, places, units })
    }

    /// The rule as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it reads, each place once.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether it reads something of this tree.
    #[must_use]
    pub fn reads(&self, root: Root) -> bool {
        self.places.iter().any(|place| place.root == root)
    }

    /// What it may cost, in units of `contracts.md` section 23.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// A sentence, if it has no answer: an overflow, a division by zero, an index out of range, a
    /// value that is absent.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, String> {
        eval::holds(&self.root, scope)
    }

    /// Judges a message by it.
    ///
    /// # Errors
    /// `rule` with the values that decided it, or `rule_error`.
    pub fn check(&self, scope: &Scope<'_>) -> Result<(), Violation> {
        let (reason, sentence) = match self.holds(scope) {
            Ok(true) => return Ok(()),
            Ok(false) => {
                let values: Vec<String> =
                    self.places.iter().take(SHOWN).map(|place| told(place, scope)).collect();
                let values = values.join(", ");
                let colon = if values.is_empty() { "" } else { ": " };
                (Reason::Rule, format!("rule `{}` does not hold{colon}{values}", self.text))
            }
            Err(why) => (Reason::RuleError, format!("rule `{}` has no answer: {why}", self.text)),
        };
        let own = self.places.iter().find(|place| place.root == Root::This);
        let pointer = own.map(|place| place.pointer.to_string()).filter(|p| !p.is_empty());
        Err(Violation { pointer, ..Violation::new(reason, sentence) })
    }
}

/// A place and what stands there; a rule names no secret, so its value may be told.
fn told(place: &Place, scope: &Scope<'_>) -> String {
    match scope.get(place) {
        Some(value) => format!("{place} is {}", value.shown()),
        None => format!("{place} is absent"),
    }
}

impl Node {
    fn children(&self) -> Vec<&Self> {
        match &self.expr {
            Expr::Literal(_) | Expr::Place(..) | Expr::Local(_) => Vec::new(),
            Expr::List(nodes) => nodes.iter().collect(),
            Expr::Member(a, _)
            | Expr::Has(a)
            | Expr::Not(a)
            | Expr::Negate(a)
            | Expr::Size(a)
            | Expr::Matches(a, _) => vec![a],
            Expr::Index(a, b)
            | Expr::Arithmetic(_, a, b)
            | Expr::Compare(_, a, b)
            | Expr::And(a, b)
            | Expr::Or(a, b)
            | Expr::In(a, b)
            | Expr::Affix(_, a, b)
            | Expr::Quantified(_, a, b) => vec![a, b],
            Expr::If(a, b, c) => vec![a, b, c],
        }
    }

    fn collect(&self, places: &mut Vec<Place>) {
        if let Expr::Place(place, _) = &self.expr
            && !places.contains(place)
        {
            places.push(place.clone());
        }
        self.children().into_iter().for_each(|child| child.collect(places));
    }
}

#[cfg(test)]
mod tests;
