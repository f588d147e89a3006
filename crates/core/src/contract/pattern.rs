//! `Pattern`: the one door to regular expressions, always matched against the whole value.

mod dialect;

use super::value::Value;
pub(crate) use dialect::has_one_meaning;
use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::{Hir, Look};
use std::borrow::Cow;
use std::convert::Infallible;

/// A rule in a contract that cannot be taken: which check, what is wrong, and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// Id of the static check (`contracts.md` section 22).
    pub check: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl RuleError {
    pub(crate) fn new(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Longest pattern, in characters, and largest compiled program, in bytes (K-41).
const LONGEST: usize = 1024;
const LARGEST: usize = 64 << 10;

/// A regular expression in linear time that must match a whole value.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: Box<str>,
    regex: regex::Regex,
    /// Size of the compiled program, of which the work bound is made.
    states: usize,
    /// Bytes of the shortest text that matches; none where nothing can.
    shortest: Option<usize>,
    /// Bytes of the longest one; none where it has no bound.
    longest: Option<usize>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Pattern {
    /// Compiles a pattern. `ascii` says that the text can only be ASCII; elsewhere the shorthand
    /// classes and `(?i)` are refused, because they are Unicode there (`\d` takes `٣`).
    ///
    /// # Errors
    /// K-41, with the next step where there is one.
    pub fn compile(source: &str, ascii: bool) -> Result<Self, RuleError> {
        if source.chars().count() > LONGEST {
            return Err(RuleError::new("K-41", format!("pattern is over {LONGEST} characters")));
        }
        if !ascii && let Some(unicode) = unicode_class(source) {
            let (message, hint) = match unicode {
                "(?i)" => ("`(?i)` folds the case of every script", "list both cases: `[Aa]`"),
                "\\d" => ("`\\d` matches digits of every script", "write `[0-9]`"),
                "\\w" => ("`\\w` matches letters of every script", "write `[A-Za-z0-9_]`"),
                "\\s" => ("`\\s` matches every kind of space", "write `[ ]`, or what you mean"),
                _ => ("`\\b` depends on letters of every script", "write what may stand there"),
            };
            return Err(RuleError::new("K-41", message).hint(hint));
        }
        let whole = format!(r"\A(?:{source})\z");
        let length = regex_syntax::parse(source).ok();
        let length = length.as_ref().map(Hir::properties);
        let regex = regex::RegexBuilder::new(&whole)
            .size_limit(LARGEST)
            .build()
            .map_err(|error| RuleError::new("K-41", sentence(&error)))?;
        // The same program as the engine's own, only to count it.
        let states = regex_automata::nfa::thompson::NFA::new(&whole)
            .map_err(|_| RuleError::new("K-41", "pattern has no program of its own"))?
            .states()
            .len();
        let shortest = length.and_then(|of| of.minimum_len());
        let longest = length.and_then(|of| of.maximum_len());
        Ok(Self { source: source.into(), regex, states, shortest, longest })
    }

    /// Bytes of the shortest text that matches; `None` where no text does.
    #[must_use]
    pub fn shortest(&self) -> Option<usize> {
        self.shortest
    }

    /// Bytes of the longest text that matches; `None` where it has no bound.
    #[must_use]
    pub fn longest(&self) -> Option<usize> {
        self.longest
    }

    /// What a match over so many bytes may cost, in units of `contracts.md` section 23: at worst
    /// every state is looked at for every byte.
    #[must_use]
    pub fn units(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(self.states as u64) / 64 + 1
    }

    /// The pattern as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the whole text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Names of the groups, in order.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }

    /// The named groups of a text that matches, as a flat tree. A group that took no part in the
    /// match is absent.
    #[must_use]
    pub fn read<'a>(&self, text: &'a str) -> Option<Value<'a>> {
        let found = self.regex.captures(text)?;
        let member = |name: &str| {
            let part = found.name(name)?.as_str();
            Some((Cow::Owned(name.to_owned()), Value::Text(Cow::Borrowed(part))))
        };
        Some(Value::Map(self.groups().filter_map(member).collect()))
    }
}

/// Whether a pattern that may match anywhere matches nothing but whole values, as those of a
/// schema must (K-37). One that does not parse is K-41's.
pub(crate) fn is_anchored(source: &str) -> bool {
    let Ok(tree) = regex_syntax::parse(source) else { return true };
    let looks = tree.properties();
    looks.look_set_prefix().contains(Look::Start) && looks.look_set_suffix().contains(Look::End)
}

/// The first shorthand class, boundary or flag whose meaning is Unicode, without a word that says
/// so. A class that names its script (`\p{Hangul}`) is meant as it reads.
fn unicode_class(source: &str) -> Option<&'static str> {
    // What does not parse is refused later, with the engine's own sentence.
    let tree = ast::parse::Parser::new().parse(source).ok()?;
    let found = ast::visit(&tree, Shorthands::default());
    found.unwrap_or_else(|never| match never {})
}

/// Looks for shorthands in a pattern's syntax tree.
#[derive(Default)]
struct Shorthands {
    first: Option<&'static str>,
}

impl Shorthands {
    fn class(&mut self, class: &ast::ClassPerl) {
        self.first.get_or_insert(match class.kind {
            ast::ClassPerlKind::Digit => "\\d",
            ast::ClassPerlKind::Word => "\\w",
            ast::ClassPerlKind::Space => "\\s",
        });
    }

    fn flags(&mut self, flags: &ast::Flags) {
        if flags.flag_state(ast::Flag::CaseInsensitive) == Some(true) {
            self.first.get_or_insert("(?i)");
        }
    }
}

impl ast::Visitor for Shorthands {
    type Output = Option<&'static str>;
    type Err = Infallible;

    fn finish(self) -> Result<Self::Output, Infallible> {
        Ok(self.first)
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), Infallible> {
        use ast::AssertionKind::{EndLine, EndText, StartLine, StartText};
        match tree {
            Ast::ClassPerl(class) => self.class(class),
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Group(group) => {
                if let ast::GroupKind::NonCapturing(flags) = &group.kind {
                    self.flags(flags);
                }
            }
            Ast::Assertion(at) if !matches!(at.kind, StartLine | EndLine | StartText | EndText) => {
                self.first.get_or_insert("\\b");
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), Infallible> {
        if let ast::ClassSetItem::Perl(class) = item {
            self.class(class);
        }
        Ok(())
    }
}

/// The engine's complaint on one line.
fn sentence(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("pattern compiles to more than {limit} bytes")
        }
        other => {
            let text = other.to_string();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            format!("pattern does not parse: {}", last.trim().trim_start_matches("error: "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_value_even_with_alternatives() {
        let pattern = Pattern::compile("a|b", true).unwrap();
        assert!(pattern.matches("a") && pattern.matches("b"));
        assert!(!pattern.matches("ab") && !pattern.matches("a\n"));
    }

    // DEP-45, K-41
    #[test]
    fn shorthand_classes_are_refused_where_they_are_unicode() {
        for bad in [r"\d", r"[\w]", r"x\s", r"\b", "(?i)a", "(?i:a)", "(", "a{1001}{1001}"] {
            assert_eq!(Pattern::compile(bad, false).unwrap_err().check, "K-41", "{bad}");
        }
        assert!(Pattern::compile(r"\d", true).is_ok());
        assert!(Pattern::compile(r"\\d(?P<in>x)", false).is_ok());
        assert_eq!(Pattern::compile(r"\d", false).unwrap_err().hint.unwrap(), "write `[0-9]`");
    }

    // K-41: by the syntax tree, so a class that holds the letters of a flag is none.
    #[test]
    fn what_only_looks_like_a_shorthand_is_taken() {
        for good in
            ["[(?i]", r"[\\d]", "(?P<i>a)", "(?-i:a)", r"\p{Hangul}+", r"\Aa\z", "[[:word:]]"]
        {
            assert!(Pattern::compile(good, false).is_ok(), "{good}");
        }
        for bad in [r"\<a", r"a\>", r"\b{start}a", "(?s-u:(?mi:a))", r"[a&&\D]", "(?x) a (?i) # b"]
        {
            assert_eq!(Pattern::compile(bad, false).unwrap_err().check, "K-41", "{bad}");
        }
    }

    // K-37: whatever the letters at its ends are.
    #[test]
    fn a_pattern_is_anchored_if_nothing_may_stand_around_it() {
        for good in ["^a$", r"^a\\$", "^(?:a|b)$", "^a$|^b$", "^(a$)", "^$", r"\Aa\z"] {
            assert!(is_anchored(good), "{good}");
        }
        for bad in [
            "a", "^", "$", "^a|b$", "(?m)^a$", "^(?m)a$", r"^a\$", "^(a|b$)", "^?a$", "(^a)*b$",
            "(?m:^)a$",
        ] {
            assert!(!is_anchored(bad), "{bad}");
        }
    }

    // K-15, K-38
    #[test]
    fn a_pattern_knows_how_long_a_text_may_be() {
        let lengths = |source| {
            let pattern = Pattern::compile(source, false).unwrap();
            (pattern.shortest(), pattern.longest())
        };
        assert_eq!(lengths("[a-z]{2,5}"), (Some(2), Some(5)));
        assert_eq!(lengths("a*"), (Some(0), None));
        assert_eq!(lengths("[a&&b]").0, None);
    }

    // CON-10
    #[test]
    fn a_pattern_that_would_backtrack_stays_linear() {
        let pattern = Pattern::compile("(a*)*b|(x+x+)+y", true).unwrap();
        assert!(!pattern.matches(&"a".repeat(60_000)));
        assert!(!pattern.matches(&"x".repeat(60_000)));
    }

    // CON-10, TRAP-12: an engine that goes back would take longer than the sun has. Time is linear
    // because there is no such engine here; that it ends at all is what is shown.
    #[test]
    fn patterns_that_are_known_to_explode_end_at_once() {
        let rows = [
            ("(a+)+", "a", "!"),
            ("([a-zA-Z]+)*", "a", "!"),
            ("(a|aa)+", "a", "!"),
            ("(a|a?)+", "a", "!"),
            ("(.*a){20}", "a", "!"),
            ("([a-z]+[a-z]+)+x", "y", "!"),
            ("(([a-z])+.)+[A-Z]([a-z])+", "a", "!"),
            ("(0|1|00|11|01|10)*2", "01", "3"),
            ("([a-z0-9]+[._-]?)+@[a-z]+", "a.", " "),
            ("a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a{16}b", "a", "!"),
        ];
        for (text, piece, end) in rows {
            let pattern = Pattern::compile(text, true).unwrap();
            let hostile = format!("{}{end}", piece.repeat(20_000));
            assert!(!pattern.matches(&hostile), "{text}");
            assert_eq!(pattern.read(&hostile), None, "{text}");
        }
    }

    #[test]
    fn named_groups_become_members() {
        let pattern = Pattern::compile(r"(?P<verb>[A-Z]+)(?: (?P<n>-?[0-9]+))?", true).unwrap();
        let tree = pattern.read("ADD 5").unwrap();
        assert_eq!(tree.member("n").and_then(Value::as_text), Some("5"));
        assert_eq!(pattern.read("ADD").unwrap().member("n"), None);
        assert_eq!(pattern.read("add"), None);
    }
}
