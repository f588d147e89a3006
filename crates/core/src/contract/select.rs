//! Which declared message a tree is: at most one, whatever the order of the file.

use super::value::Value;
use super::{Direction, MessageRule};
use crate::audit::shown;
use crate::finding::nearest;
use crate::rejection::{Reason, Violation};

/// A decoded payload that is no declared message.
#[derive(Debug)]
pub(crate) struct Unselected<'a> {
    pub(crate) violation: Violation,
    /// What it says, where no grammar had to read it.
    pub(crate) tree: Option<Value<'a>>,
}

impl From<Violation> for Unselected<'_> {
    fn from(violation: Violation) -> Self {
        Self { violation, tree: None }
    }
}

impl Direction {
    /// The declared message that a decoded payload is, among the `candidates`.
    ///
    /// Where the messages have grammars the tree comes from the one that matches.
    ///
    /// # Errors
    /// `undeclared`, `tag_missing`, `no_message`, `grammar` or `ambiguous`; with the tree, which
    /// is still read for the values of a reply, but where a grammar would have made one.
    pub(crate) fn select<'a>(
        &self,
        decoded: Value<'a>,
        candidates: impl Fn(&MessageRule) -> bool,
    ) -> Result<(usize, Value<'a>), Unselected<'a>> {
        let by_grammar = self.messages.iter().any(|message| message.grammar.is_some());
        if by_grammar {
            return self.by_grammar(decoded, candidates).map_err(Unselected::from);
        }
        let tree = match (&self.grammar, decoded) {
            (Some(grammar), Value::Text(text)) => read(grammar, &text)?,
            (_, tree) => tree,
        };
        match self.among(&tree, candidates) {
            Ok(at) => Ok((at, tree)),
            Err(violation) => Err(Unselected { violation, tree: Some(tree) }),
        }
    }

    /// The index of the one candidate that a tree is.
    fn among(
        &self,
        tree: &Value<'_>,
        candidates: impl Fn(&MessageRule) -> bool,
    ) -> Result<usize, Violation> {
        let tag = self.tag.as_ref().and_then(|tag| tag.get(tree));
        // Whether some message has this tag, with its `where` values and with other ones.
        let (mut declared, mut disagrees) = (false, false);
        let from_text = self.decode.integers_in_text();
        let mut fits = |message: &MessageRule| {
            let tagged = match (&self.tag, tag) {
                (None, _) => true,
                (Some(_), Some(tag)) => {
                    message.matches.is_empty() || message.matches.iter().any(|m| tag.same_scalar(m))
                }
                (Some(at), None) => message.matches.is_empty() && message.lacks.contains(at),
            };
            let agrees = message.wheres.iter().all(|(at, values)| {
                let value = at.get(tree);
                value.is_some_and(|value| values.iter().any(|one| value.same_scalar(one)))
            });
            declared |= tagged && agrees;
            disagrees |= tagged && !agrees;
            tagged
                && agrees
                && message.has.iter().all(|at| at.get(tree).is_some())
                && message.lacks.iter().all(|at| at.get(tree).is_none())
                && message.fields.iter().filter(|(.., rule)| rule.tells).all(|(at, _, rule)| {
                    at.get(tree).is_some_and(|value| rule.admits(value, from_text))
                })
        };
        let mut found = None;
        for (at, message) in self.messages.iter().enumerate().filter(|(_, m)| candidates(m)) {
            if fits(message) && found.replace(at).is_some() {
                return Err(Violation::new(Reason::Ambiguous, "two declared messages fit"));
            }
        }
        found.ok_or_else(|| self.nothing_fits(tag, declared, disagrees))
    }

    fn by_grammar<'a>(
        &self,
        decoded: Value<'a>,
        candidates: impl Fn(&MessageRule) -> bool,
    ) -> Result<(usize, Value<'a>), Violation> {
        let Value::Text(text) = decoded else {
            return Err(Violation::new(Reason::Grammar, "a grammar reads text only"));
        };
        let mut found = None;
        for (at, message) in self.messages.iter().enumerate().filter(|(_, m)| candidates(m)) {
            let matches = message.grammar.as_ref().is_some_and(|grammar| grammar.matches(&text));
            if matches && found.replace((at, message)).is_some() {
                return Err(Violation::new(Reason::Ambiguous, "two declared messages fit"));
            }
        }
        match found.and_then(|(at, message)| Some((at, message.grammar.as_ref()?))) {
            Some((at, grammar)) => Ok((at, read(grammar, &text)?)),
            None => Err(no_grammar(&text)),
        }
    }

    fn nothing_fits(&self, tag: Option<&Value<'_>>, declared: bool, disagrees: bool) -> Violation {
        match (&self.tag, tag) {
            // Some message is told by having no tag, but is not this one.
            (Some(_), None) if declared || disagrees => {
                Violation::new(Reason::NoMessage, "the message fits none of those declared")
            }
            (Some(at), None) => Violation::at(
                Reason::TagMissing,
                at.to_string(),
                format!("the message has no `{at}`, which says what it is"),
            ),
            _ if disagrees && !declared => {
                let sentence = "no message with such values at its `where` places is declared";
                Violation::new(Reason::Undeclared, sentence)
            }
            (Some(at), Some(tag)) if !declared => {
                let known =
                    self.messages.iter().flat_map(|m| &m.matches).filter_map(Value::as_text);
                let near = tag.as_text().and_then(|word| nearest(word, known));
                let near = near.map_or_else(String::new, |near| format!("; declared is `{near}`"));
                let sentence =
                    format!("no message with `{at}` of {} is declared{near}", tag.shown());
                Violation::at(Reason::Undeclared, at.to_string(), sentence)
            }
            _ => Violation::new(Reason::NoMessage, "the message fits none of those declared"),
        }
    }
}

/// The named groups of a text. A text that is not borrowed keeps its groups by copying them.
fn read<'a>(
    grammar: &super::pattern::Pattern,
    text: &std::borrow::Cow<'a, str>,
) -> Result<Value<'a>, Violation> {
    let tree = match text {
        std::borrow::Cow::Borrowed(text) => grammar.read(text),
        std::borrow::Cow::Owned(text) => grammar.read(text).map(Value::into_owned),
    };
    tree.ok_or_else(|| no_grammar(text))
}

fn no_grammar(text: &str) -> Violation {
    Violation::new(
        Reason::Grammar,
        format!("`{}` does not match the grammar", shown(text.as_bytes())),
    )
}
