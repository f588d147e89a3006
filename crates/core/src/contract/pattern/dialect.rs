//! What of a schema's pattern means the same in two dialects: ours, in which it is checked, and that
//! of JSON Schema (ECMA-262), in which it judges messages. An allow-list: what is not named is
//! refused, however well it parses.

use super::RuleError;
use regex_syntax::ast::{self, Ast, ClassSetItem, ClassUnicodeKind, LiteralKind};
use std::convert::Infallible;

/// Refuses what the two dialects read, or may read, differently. What does not parse is refused by
/// [`super::Pattern::compile`], and so are the shorthands of every script.
///
/// # Errors
/// K-41, with what to write instead.
pub(crate) fn has_one_meaning(source: &str) -> Result<(), RuleError> {
    let Ok(tree) = ast::parse::Parser::new().parse(source) else { return Ok(()) };
    let walk = Dialect { source, first: None };
    let found = ast::visit(&tree, walk).unwrap_or_else(|never| match never {});
    match found {
        None => Ok(()),
        Some((part, hint)) => {
            let message = format!("`{part}` has another meaning in the patterns of JSON Schema");
            Err(RuleError::new("K-41", message).hint(hint))
        }
    }
}

struct Dialect<'s> {
    source: &'s str,
    /// The first part that is refused, and what to write.
    first: Option<(String, &'static str)>,
}

impl<'s> Dialect<'s> {
    fn text(&self, span: &ast::Span) -> &'s str {
        self.source.get(span.start.offset..span.end.offset).unwrap_or_default()
    }

    fn refuse(&mut self, span: &ast::Span, hint: &'static str) {
        if self.first.is_none() {
            self.first = Some((self.text(span).to_owned(), hint));
        }
    }

    fn literal(&mut self, literal: &ast::Literal, in_class: bool) {
        use ast::{HexLiteralKind, SpecialLiteralKind as Special};
        let span = &literal.span;
        match &literal.kind {
            LiteralKind::Verbatim => {
                // Outside a class the braces are those of a count that is none.
                let brackets = if in_class { "[]" } else { "[]{}" };
                if brackets.contains(literal.c) {
                    self.refuse(span, "write a backslash before it");
                }
                let before = self.source.get(..span.start.offset).unwrap_or_default();
                let after = self.source.get(span.end.offset..).unwrap_or_default();
                let doubled = before.ends_with(literal.c) || after.starts_with(literal.c);
                if in_class && doubled && "-&~".contains(literal.c) {
                    self.refuse(span, "write it once, with a backslash before it");
                }
            }
            // Of letters no escape is superfluous, so this is punctuation.
            LiteralKind::Meta | LiteralKind::Superfluous => {}
            LiteralKind::HexFixed(HexLiteralKind::X | HexLiteralKind::UnicodeShort) => {}
            LiteralKind::Special(
                Special::FormFeed
                | Special::Tab
                | Special::LineFeed
                | Special::CarriageReturn
                | Special::VerticalTab,
            ) => {}
            _ => self.refuse(span, "write the character itself, `\\xNN` or `\\uNNNN`"),
        }
    }

    fn unicode(&mut self, class: &ast::ClassUnicode) {
        use ast::ClassUnicodeOpKind::Equal;
        match &class.kind {
            ClassUnicodeKind::Named(_) | ClassUnicodeKind::NamedValue { op: Equal, .. } => {}
            _ => self.refuse(&class.span, "write `\\p{..}` or `\\P{..}`"),
        }
    }

    fn group(&mut self, group: &ast::Group) {
        let plain = match &group.kind {
            ast::GroupKind::CaptureIndex(_) => true,
            ast::GroupKind::NonCapturing(flags) => flags.items.is_empty(),
            ast::GroupKind::CaptureName { .. } => false,
        };
        if !plain {
            self.refuse(&group.span, "write the group as `(?:..)`, without a name or flags");
        }
    }

    fn repetition(&mut self, of: &ast::Repetition) {
        let count = self.text(&of.op.span);
        let plain = count.chars().all(|c| c.is_ascii_digit() || "{},*+?".contains(c));
        if !plain || count.starts_with("{,") {
            self.refuse(&of.op.span, "write a count as `{n}`, `{n,}` or `{n,m}`");
        }
        if matches!(*of.ast, Ast::Repetition(_) | Ast::Assertion(_) | Ast::Empty(_)) {
            self.refuse(&of.span, "write what is repeated as a group");
        }
    }
}

impl ast::Visitor for Dialect<'_> {
    type Output = Option<(String, &'static str)>;
    type Err = Infallible;

    fn finish(self) -> Result<Self::Output, Infallible> {
        Ok(self.first)
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), Infallible> {
        use ast::AssertionKind::{EndLine, StartLine};
        match tree {
            // A dot leaves out every end of a line there, and the line feed alone here: what judges
            // is the narrower one.
            Ast::Empty(_) | Ast::Dot(_) | Ast::Alternation(_) | Ast::Concat(_) => {}
            Ast::Literal(literal) => self.literal(literal, false),
            Ast::ClassUnicode(class) => self.unicode(class),
            // What stands inside is visited item by item.
            Ast::ClassBracketed(_) => {}
            Ast::Repetition(of) => self.repetition(of),
            Ast::Group(group) => self.group(group),
            Ast::Assertion(at) if matches!(at.kind, StartLine | EndLine) => {}
            Ast::Assertion(at) => {
                self.refuse(&at.span, "write `^` at the start and `$` at the end")
            }
            Ast::Flags(flags) => self.refuse(&flags.span, "write both cases: `[Aa]`"),
            Ast::ClassPerl(class) => self.refuse(&class.span, "write a class: `[0-9]`"),
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        match item {
            ClassSetItem::Empty(_) | ClassSetItem::Union(_) => {}
            ClassSetItem::Literal(literal) => self.literal(literal, true),
            ClassSetItem::Range(range) => {
                self.literal(&range.start, true);
                self.literal(&range.end, true);
            }
            ClassSetItem::Unicode(class) => self.unicode(class),
            ClassSetItem::Perl(class) => self.refuse(&class.span, "write a class: `[0-9]`"),
            ClassSetItem::Ascii(class) => self.refuse(&class.span, "write its ranges: `[A-Za-z]`"),
            ClassSetItem::Bracketed(class) => {
                self.refuse(&class.span, "write one class, with a backslash before each `[`");
            }
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(
        &mut self,
        op: &ast::ClassSetBinaryOp,
    ) -> Result<(), Infallible> {
        self.refuse(&op.span, "write the characters that remain");
        Ok(())
    }
}
