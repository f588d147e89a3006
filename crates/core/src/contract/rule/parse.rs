//! A rule's syntax tree, by CEL's precedence, and the refusal of what is outside the subset.

use super::lex::{Token, words};
use super::{Affix, Arithmetic, Compare, Expr, LONGEST, Node, Place, Quantifier, Root, RuleFault};
use crate::contract::pattern::Pattern;
use crate::contract::value::{Pointer, Value};

/// Most brackets inside each other, and most nodes on one way down.
const NESTED: usize = 24;
const DEEPEST: usize = 64;
/// Quantifiers inside each other: one, nested at most once.
const QUANTIFIED: usize = 2;
const FUNCTIONS: &str =
    "`size`, `has`, `startsWith`, `endsWith`, `contains`, `matches`, `all`, `exists`, `exists_one`";

/// Parses a whole rule. `ascii` says how its patterns are read.
pub(super) fn parse(text: &str, ascii: bool) -> Result<Node, RuleFault> {
    let words = words(text)?;
    let mut parser = Parser { words: &words, next: 0, nested: 0, locals: Vec::new(), ascii };
    let node = parser.expression()?;
    match parser.word() {
        (_, Token::End) => Ok(node),
        (at, _) => Err(RuleFault::new(at, "something follows the rule")),
    }
}

struct Parser<'p, 't> {
    words: &'p [(usize, Token<'t>)],
    next: usize,
    nested: usize,
    locals: Vec<&'t str>,
    ascii: bool,
}

type Parsed = Result<Node, RuleFault>;

impl<'t> Parser<'_, 't> {
    /// `a ? b : c`, and all that binds tighter.
    fn expression(&mut self) -> Parsed {
        self.nested += 1;
        if self.nested > NESTED {
            let message = format!("the rule is nested deeper than {NESTED}");
            return Err(RuleFault::new(self.word().0, message));
        }
        let condition = self.or()?;
        let node = match self.sign("?") {
            None => condition,
            Some(at) => {
                let then = self.or()?;
                self.need(":")?;
                let other = self.expression()?;
                node(at, Expr::If(condition.into(), then.into(), other.into()))?
            }
        };
        self.nested -= 1;
        Ok(node)
    }

    fn or(&mut self) -> Parsed {
        let mut left = self.and()?;
        while let Some(at) = self.sign("||") {
            let right = self.and()?;
            left = node(at, Expr::Or(left.into(), right.into()))?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed {
        let mut left = self.relation()?;
        while let Some(at) = self.sign("&&") {
            let right = self.relation()?;
            left = node(at, Expr::And(left.into(), right.into()))?;
        }
        Ok(left)
    }

    fn relation(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            let (at, word) = self.word();
            let compare = match word {
                Token::Sign("==") => Some(Compare::Equal),
                Token::Sign("!=") => Some(Compare::Unequal),
                Token::Sign("<") => Some(Compare::Less),
                Token::Sign("<=") => Some(Compare::LessOrEqual),
                Token::Sign(">") => Some(Compare::Greater),
                Token::Sign(">=") => Some(Compare::GreaterOrEqual),
                Token::Name("in") => None,
                _ => return Ok(left),
            };
            self.next += 1;
            let (a, b) = (left.into(), self.sum()?.into());
            left = node(
                at,
                match compare {
                    Some(compare) => Expr::Compare(compare, a, b),
                    None => Expr::In(a, b),
                },
            )?;
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let (at, word) = self.word();
            let operator = match word {
                Token::Sign("+") => Arithmetic::Add,
                Token::Sign("-") => Arithmetic::Subtract,
                _ => return Ok(left),
            };
            self.next += 1;
            left = node(at, Expr::Arithmetic(operator, left.into(), self.product()?.into()))?;
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let (at, word) = self.word();
            let operator = match word {
                Token::Sign("*") => Arithmetic::Multiply,
                Token::Sign("/") => Arithmetic::Divide,
                Token::Sign("%") => Arithmetic::Remainder,
                _ => return Ok(left),
            };
            self.next += 1;
            left = node(at, Expr::Arithmetic(operator, left.into(), self.unary()?.into()))?;
        }
    }

    /// A row of `!` or of `-` before one operand.
    fn unary(&mut self) -> Parsed {
        let mut signs = Vec::new();
        while let (at, Token::Sign(sign @ ("!" | "-"))) = self.word() {
            signs.push((at, *sign));
            self.next += 1;
        }
        // The least integer is a literal only together with its minus.
        let least = matches!(self.word().1, Token::Int(number) if *number == 1 << 63);
        let mut operand = if least && signs.last().is_some_and(|(_, sign)| *sign == "-") {
            self.next += 1;
            let at = signs.pop().map_or(0, |(at, _)| at);
            self.selected(node(at, Expr::Literal(Value::Int(i64::MIN)))?)?
        } else {
            let primary = self.primary()?;
            self.selected(primary)?
        };
        for (at, sign) in signs.into_iter().rev() {
            let expr = if sign == "!" { Expr::Not } else { Expr::Negate };
            operand = node(at, expr(operand.into()))?;
        }
        Ok(operand)
    }

    fn primary(&mut self) -> Parsed {
        let (at, word) = self.word();
        let word = word.clone();
        self.next += 1;
        let literal = |value| node(at, Expr::Literal(value));
        match word {
            Token::Int(number) => match i64::try_from(number) {
                Ok(number) => literal(Value::Int(number)),
                Err(_) => Err(RuleFault::new(at, "the number does not fit 64 bits")),
            },
            Token::Text(text) => literal(Value::Text(text.into())),
            Token::Bytes(bytes) => literal(Value::Bytes(bytes.into())),
            Token::Name("true") => literal(Value::Bool(true)),
            Token::Name("false") => literal(Value::Bool(false)),
            Token::Name("null") => literal(Value::Null),
            Token::Name(name) if self.sign("(").is_some() => self.function(at, name),
            Token::Name(name) => self.variable(at, name),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.need(")")?;
                Ok(inner)
            }
            Token::Sign("[") => {
                let mut elements = Vec::new();
                while self.sign("]").is_none() {
                    if !elements.is_empty() {
                        self.need(",")?;
                    }
                    elements.push(self.expression()?);
                }
                node(at, Expr::List(elements))
            }
            Token::Sign("{") => Err(RuleFault::new(at, "a map is not available in rules")),
            Token::Sign(sign) => {
                Err(RuleFault::new(at, format!("`{sign}` stands where a value should")))
            }
            Token::End => Err(RuleFault::new(at, "the rule ends where a value should stand")),
        }
    }

    fn variable(&mut self, at: usize, name: &str) -> Parsed {
        if let Some(local) = self.locals.iter().position(|known| *known == name) {
            return node(at, Expr::Local(local));
        }
        match Root::ALL.into_iter().find(|root| root.as_str() == name) {
            Some(root) => {
                node(at, Expr::Place(Place { root, pointer: Pointer::whole() }, Vec::new()))
            }
            None => Err(RuleFault::new(at, format!("there is no variable `{name}`"))
                .hint("`this`, `request`, `session`, `peer`; a field is `this.NAME`")),
        }
    }

    /// `has(a.b)` and `size(a)`; the opening bracket is behind us.
    fn function(&mut self, at: usize, name: &str) -> Parsed {
        if !matches!(name, "has" | "size") {
            return Err(RuleFault::new(at, format!("`{name}` is not available in rules"))
                .hint(format!("available are {FUNCTIONS}")));
        }
        let argument = self.expression()?;
        self.need(")")?;
        if name == "size" {
            return node(at, Expr::Size(argument.into()));
        }
        let selects = match &argument.expr {
            Expr::Place(place, _) => place.pointer.segments().len() > 0,
            Expr::Member(..) => true,
            _ => false,
        };
        if !selects {
            return Err(RuleFault::new(at, "`has` asks for a field").hint("`has(this.NAME)`"));
        }
        node(at, Expr::Has(argument.into()))
    }

    /// What is selected of a value: `.name`, `[index]`, and calls on it.
    fn selected(&mut self, mut value: Node) -> Parsed {
        loop {
            if self.sign(".").is_some() {
                let (at, name) = self.name()?;
                value = match self.sign("(") {
                    Some(_) => self.call(value, at, name)?,
                    None => member(value, at, name)?,
                };
            } else if let Some(at) = self.sign("[") {
                let literal = match self.word() {
                    (at, Token::Text(name)) if matches!(self.after(), Token::Sign("]")) => {
                        Some((at, name.clone()))
                    }
                    _ => None,
                };
                value = match literal {
                    Some((at, name)) => {
                        self.next += 1;
                        member(value, at, &name)?
                    }
                    None => node(at, Expr::Index(value.into(), self.expression()?.into()))?,
                };
                self.need("]")?;
            } else {
                return Ok(value);
            }
        }
    }

    /// A call on a value; the opening bracket is behind us.
    fn call(&mut self, value: Node, at: usize, name: &str) -> Parsed {
        let affix = match name {
            "size" => {
                self.need(")")?;
                return node(at, Expr::Size(value.into()));
            }
            "matches" => return self.pattern(value, at),
            "all" => return self.quantified(Quantifier::All, value, at),
            "exists" => return self.quantified(Quantifier::Exists, value, at),
            "exists_one" => return self.quantified(Quantifier::ExistsOne, value, at),
            "startsWith" => Affix::Starts,
            "endsWith" => Affix::Ends,
            "contains" => Affix::Contains,
            _ => {
                return Err(RuleFault::new(at, format!("`{name}` is not available in rules"))
                    .hint(format!("available are {FUNCTIONS}")));
            }
        };
        let argument = self.expression()?;
        self.need(")")?;
        node(at, Expr::Affix(affix, value.into(), argument.into()))
    }

    fn pattern(&mut self, value: Node, at: usize) -> Parsed {
        let (place, Token::Text(source)) = self.word() else {
            return Err(RuleFault::new(self.word().0, "`matches` takes a pattern in quotes"));
        };
        let pattern =
            Pattern::compile(source, self.ascii).map_err(|error| RuleFault { at: place, error })?;
        self.next += 1;
        self.need(")")?;
        node(at, Expr::Matches(value.into(), pattern))
    }

    fn quantified(&mut self, quantifier: Quantifier, list: Node, at: usize) -> Parsed {
        if self.locals.len() == QUANTIFIED {
            let message = "`all`, `exists` and `exists_one` nest at most once";
            return Err(RuleFault::new(at, message));
        }
        let (place, name) = self.name()?;
        let taken = Root::ALL.iter().any(|root| root.as_str() == name);
        if taken || self.locals.contains(&name) || matches!(name, "true" | "false" | "null" | "in")
        {
            return Err(RuleFault::new(place, format!("the name `{name}` is taken")));
        }
        self.need(",")?;
        self.locals.push(name);
        let body = self.expression()?;
        self.locals.pop();
        self.need(")")?;
        node(at, Expr::Quantified(quantifier, list.into(), body.into()))
    }

    fn word(&self) -> (usize, &Token<'t>) {
        self.words.get(self.next).map_or((LONGEST, &Token::End), |(at, token)| (*at, token))
    }

    fn after(&self) -> &Token<'t> {
        self.words.get(self.next + 1).map_or(&Token::End, |(_, token)| token)
    }

    /// Takes a sign, if it stands here.
    fn sign(&mut self, wanted: &str) -> Option<usize> {
        let (at, word) = self.word();
        let is = matches!(word, Token::Sign(sign) if *sign == wanted);
        is.then(|| {
            self.next += 1;
            at
        })
    }

    fn need(&mut self, wanted: &str) -> Result<(), RuleFault> {
        let at = self.word().0;
        let missing = || RuleFault::new(at, format!("`{wanted}` is missing here"));
        self.sign(wanted).map(|_| ()).ok_or_else(missing)
    }

    fn name(&mut self) -> Result<(usize, &'t str), RuleFault> {
        match self.words.get(self.next) {
            Some((at, Token::Name(name))) => {
                self.next += 1;
                Ok((*at, name))
            }
            _ => Err(RuleFault::new(self.word().0, "a name is missing here")),
        }
    }
}

/// A member of a value: one more step of a place, or a selection from what was computed.
fn member(value: Node, at: usize, name: &str) -> Parsed {
    match value.expr {
        Expr::Place(Place { root, pointer }, mut steps) => {
            steps.push(at);
            let place = Place { root, pointer: pointer.below(name) };
            node(value.at, Expr::Place(place, steps))
        }
        _ => node(at, Expr::Member(value.into(), name.into())),
    }
}

/// A node, if it does not lie too deep for the walks over it.
fn node(at: usize, expr: Expr) -> Parsed {
    let mut node = Node { at, depth: 1, expr };
    node.depth += node.children().iter().map(|child| child.depth).max().unwrap_or(0);
    if node.depth > DEEPEST {
        return Err(RuleFault::new(at, format!("the rule is deeper than {DEEPEST} steps")));
    }
    Ok(node)
}
