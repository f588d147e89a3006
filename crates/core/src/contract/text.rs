//! `TextRule`: which text is acceptable. Text is judged, never changed.

use super::scan::Odd;
use super::value::Value;
use crate::audit::shown;
use crate::rejection::{Reason, Violation};
use unicode_normalization::is_nfc;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};
use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

/// What a text may hold (`contracts.md` section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRule {
    /// Whether text must already be in Unicode's composed normal form.
    pub nfc: bool,
    /// Classes of characters that may not occur.
    pub deny: Vec<TextClass>,
    /// The scripts that its characters may be of; all, if none is listed.
    pub scripts: Vec<ScriptName>,
    /// How far scripts may be mixed.
    pub confusables: Confusables,
}

/// A script of Unicode, such as `Hangul`, or `Common` for what many scripts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptName(Script);

impl ScriptName {
    /// The script of this name, as Unicode writes it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Script::from_full_name(name).map(Self)
    }

    /// Its name, as Unicode writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.full_name()
    }
}

/// How far the scripts of one text may be mixed: the restriction levels of UTS #39 section 5.2.
///
/// Punctuation, blanks and symbols of ASCII are in no script and imitate nothing, so they take no
/// part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confusables {
    /// No restriction.
    Any,
    /// All characters are of one script.
    SingleScript,
    /// One script, or Latin with what is written in Korea, Japan or China.
    HighlyRestrictive,
    /// ASCII alone.
    Ascii,
}

impl Confusables {
    /// The levels by their names in a contract.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("any", Self::Any),
        ("single-script", Self::SingleScript),
        ("highly-restrictive", Self::HighlyRestrictive),
        ("ascii", Self::Ascii),
    ];

    fn hold(self, text: &str) -> bool {
        let most = match self {
            Self::Any => return true,
            Self::Ascii => return text.is_ascii(),
            Self::SingleScript => RestrictionLevel::SingleScript,
            Self::HighlyRestrictive => RestrictionLevel::HighlyRestrictive,
        };
        let written = |c: &char| !c.is_ascii() || c.is_ascii_alphanumeric();
        let letters: String = text.chars().filter(written).collect();
        text.is_ascii() || letters.as_str().check_restriction_level(most)
    }
}

/// A class of characters that a contract can deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextClass {
    /// General category Cc, but for tab, line feed and carriage return.
    Control,
    /// Everything that ends a line somewhere.
    Line,
    /// The tab.
    Tab,
    /// Characters that reorder what is read.
    Bidi,
    /// Characters that cannot be seen.
    ZeroWidth,
    /// All of Cf.
    Format,
    /// Co.
    PrivateUse,
    /// Cn in this build's version of Unicode.
    Unassigned,
    /// U+FDD0..FDEF and the last two code points of each plane.
    Noncharacter,
}

impl TextClass {
    /// The classes by their names in a contract.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("control", Self::Control),
        ("line", Self::Line),
        ("tab", Self::Tab),
        ("bidi", Self::Bidi),
        ("zero-width", Self::ZeroWidth),
        ("format", Self::Format),
        ("private-use", Self::PrivateUse),
        ("unassigned", Self::Unassigned),
        ("noncharacter", Self::Noncharacter),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, class)| *class == self).map_or("", |(name, _)| name)
    }

    fn holds(self, c: char) -> bool {
        let category = || c.general_category();
        match self {
            Self::Control => c.is_control() && !matches!(c, '\t' | '\n' | '\r'),
            Self::Line => matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'),
            Self::Tab => c == '\t',
            Self::Bidi => {
                matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
                    || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            }
            Self::ZeroWidth => {
                matches!(
                    c,
                    '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'
                )
            }
            Self::Format => category() == GeneralCategory::Format,
            Self::PrivateUse => category() == GeneralCategory::PrivateUse,
            Self::Unassigned => category() == GeneralCategory::Unassigned && !is_noncharacter(c),
            Self::Noncharacter => is_noncharacter(c),
        }
    }
}

/// U+FDD0..FDEF, U+xxFFFE, U+xxFFFF: never text in interchange.
pub(crate) fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

impl TextRule {
    /// The default: control characters and noncharacters are denied.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            nfc: false,
            deny: vec![TextClass::Control, TextClass::Noncharacter],
            scripts: Vec::new(),
            confusables: Confusables::Any,
        }
    }

    /// For names and codes that people compare: composed, and no class but `unassigned`.
    #[must_use]
    pub fn strict() -> Self {
        let all = TextClass::NAMES.iter().map(|(_, class)| *class);
        let deny = all.filter(|c| *c != TextClass::Unassigned).collect();
        Self { nfc: true, deny, ..Self::plain() }
    }

    /// For names that must not imitate each other: `strict`, and no more than the scripts that are
    /// written together.
    #[must_use]
    pub fn identifier() -> Self {
        Self { confusables: Confusables::HighlyRestrictive, ..Self::strict() }
    }

    /// Whether it asks of each character of which script it is.
    pub(super) fn asks_for_scripts(&self) -> bool {
        !self.scripts.is_empty() || self.confusables != Confusables::Any
    }

    /// What a text may hold, in words for a reviewer.
    #[must_use]
    pub fn told(&self) -> String {
        let mut says: Vec<String> = Vec::new();
        if self.nfc {
            says.push("in Unicode's composed form (NFC)".to_owned());
        }
        if !self.deny.is_empty() {
            let classes: Vec<&str> = self.deny.iter().map(|class| class.name()).collect();
            says.push(format!("no characters of the classes {}", classes.join(", ")));
        }
        if !self.scripts.is_empty() {
            let scripts: Vec<&str> = self.scripts.iter().map(|script| script.name()).collect();
            says.push(format!("of the scripts {}", scripts.join(", ")));
        }
        match self.confusables {
            Confusables::Any => {}
            Confusables::SingleScript => says.push("one script in each".to_owned()),
            Confusables::HighlyRestrictive => says.push(
                "one script in each, or Latin with what is written in Korea, Japan or China"
                    .to_owned(),
            ),
            Confusables::Ascii => says.push("ASCII alone".to_owned()),
        }
        if says.is_empty() { "any character".to_owned() } else { says.join("; ") }
    }

    /// Judges every text and key of a tree.
    ///
    /// # Errors
    /// As [`TextRule::text`], at the first text that the rule does not take.
    pub fn check(&self, tree: &Value<'_>) -> Result<(), Violation> {
        match tree {
            Value::Text(text) => self.text(text, ""),
            Value::List(list) => list.iter().enumerate().try_for_each(|(at, element)| {
                self.check(element).map_err(|fault| below(&at.to_string(), fault))
            }),
            Value::Map(members) => members.iter().try_for_each(|(name, member)| {
                self.text(name, "")?;
                self.check(member).map_err(|fault| below(name, fault))
            }),
            _ => Ok(()),
        }
    }

    /// Judges one text, which stands at `pointer`.
    ///
    /// # Errors
    /// `text_denied`, `text_form`, `text_script` or `text_confusable`.
    #[inline]
    pub fn text(&self, text: &str, pointer: &str) -> Result<(), Violation> {
        // Printable ASCII is in no class, in every normal form and imitates nothing.
        if self.scripts.is_empty() && !Odd::Unprintable.any(text.as_bytes()) {
            return Ok(());
        }
        self.characters(text, pointer)
    }

    fn characters(&self, text: &str, pointer: &str) -> Result<(), Violation> {
        for c in text.chars() {
            if let Some(class) = self.deny.iter().find(|class| class.holds(c)) {
                let (code, class) = (u32::from(c), class.name());
                let sentence = format!("text holds U+{code:04X}, of the denied class `{class}`");
                return Err(Violation::at(Reason::TextDenied, pointer, sentence));
            }
        }
        if self.nfc && !is_nfc(text) {
            let sentence = format!(
                "text `{}` is not composed (Unicode NFC), as macOS writes file names",
                shown(text.as_bytes())
            );
            return Err(Violation::at(Reason::TextForm, pointer, sentence));
        }
        self.scripts(text, pointer)
    }

    fn scripts(&self, text: &str, pointer: &str) -> Result<(), Violation> {
        let listed = |c: &char| self.scripts.iter().any(|script| script.0 == c.script());
        if !self.scripts.is_empty()
            && let Some(c) = text.chars().find(|c| !listed(c))
        {
            let (code, script) = (u32::from(c), c.script().full_name());
            let sentence =
                format!("text holds U+{code:04X} of the script `{script}`, which is not listed");
            return Err(Violation::at(Reason::TextScript, pointer, sentence));
        }
        if !self.confusables.hold(text) {
            let sentence = "text mixes scripts, or holds characters that no identifier has";
            return Err(Violation::at(Reason::TextConfusable, pointer, sentence));
        }
        Ok(())
    }
}

/// A fault of what stands below, as seen from one place above. Its place is only put together
/// where there is a fault, since most texts have none.
fn below(segment: &str, fault: Violation) -> Violation {
    let segment = segment.replace('~', "~0").replace('/', "~1");
    let pointer = format!("/{segment}{}", fault.pointer.unwrap_or_default());
    Violation { pointer: Some(pointer), ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    // CON-14, KR-10
    #[test]
    fn each_class_denies_its_characters() {
        let rows = [
            (TextClass::Control, '\u{1b}'),
            (TextClass::Control, '\0'),
            (TextClass::Line, '\u{2028}'),
            (TextClass::Tab, '\t'),
            (TextClass::Bidi, '\u{202e}'),
            (TextClass::ZeroWidth, '\u{200b}'),
            (TextClass::Format, '\u{ad}'),
            (TextClass::PrivateUse, '\u{e000}'),
            (TextClass::Unassigned, '\u{378}'),
            (TextClass::Noncharacter, '\u{fdd0}'),
            (TextClass::Noncharacter, '\u{10ffff}'),
        ];
        for (class, c) in rows {
            let rule = TextRule { deny: vec![class], ..TextRule::plain() };
            let refused = rule.text(&c.to_string(), "/x").unwrap_err();
            assert_eq!(refused.reason, Reason::TextDenied, "{class:?}");
            assert_eq!(rule.text("가 a", "/x"), Ok(()));
        }
        assert_eq!(TextRule::plain().text("a\tb\n", ""), Ok(()));
    }

    #[test]
    fn decomposed_hangul_is_refused_and_never_composed() {
        let decomposed = "\u{1112}\u{1161}\u{11ab}";
        let refused = TextRule::strict().text(decomposed, "/name").unwrap_err();
        assert_eq!(refused.reason, Reason::TextForm);
        assert_eq!(TextRule::strict().text("한", "/name"), Ok(()));
        assert_eq!(TextRule::plain().text(decomposed, "/name"), Ok(()));
    }

    #[test]
    fn keys_and_nested_texts_are_judged_with_their_place() {
        let inner = Value::Map(vec![("b".into(), Value::Text("\u{7}".into()))]);
        let tree = Value::Map(vec![("a".into(), Value::List(vec![Value::Null, inner]))]);
        let refused = TextRule::plain().check(&tree).unwrap_err();
        assert_eq!(refused.pointer.as_deref(), Some("/a/1/b"));
        let bad_key = Value::Map(vec![("\u{7}".into(), Value::Null)]);
        assert!(TextRule::plain().check(&bad_key).is_err());
    }

    // CON-14, KR-12
    #[test]
    fn characters_of_other_scripts_are_refused() {
        let scripts = ["Hangul", "Latin"].map(|name| ScriptName::named(name).unwrap()).to_vec();
        let rule = TextRule { scripts, ..TextRule::plain() };
        assert_eq!(rule.text("홍길동Hong", ""), Ok(()));
        for bad in ["\u{430}", "漢", "5", " ", "\u{3000}", "e\u{301}"] {
            assert_eq!(rule.text(bad, "/x").unwrap_err().reason, Reason::TextScript, "{bad}");
        }
        assert!(ScriptName::named("hangul").is_none());
    }

    // CON-14
    #[test]
    fn text_that_imitates_other_text_is_refused() {
        let rule = |confusables| TextRule { confusables, ..TextRule::plain() };
        let rows: [(&str, bool, bool, bool); 7] = [
            // single-script, highly-restrictive, ascii
            ("paypal-1 @x/y", true, true, true),
            ("p\u{430}ypal", false, false, false),
            ("\u{440}\u{430}\u{443}", true, true, false),
            ("홍길동", true, true, false),
            ("홍길동 1 Hong", false, true, false),
            ("東京タワー TV", false, true, false),
            ("홍\u{2126}", false, false, false),
        ];
        for (text, single, highly, ascii) in rows {
            let levels = [
                (Confusables::SingleScript, single),
                (Confusables::HighlyRestrictive, highly),
                (Confusables::Ascii, ascii),
                (Confusables::Any, true),
            ];
            for (level, holds) in levels {
                let judged = rule(level).text(text, "/x").map_err(|v| v.reason);
                let expected = if holds { Ok(()) } else { Err(Reason::TextConfusable) };
                assert_eq!(judged, expected, "{text} {level:?}");
            }
        }
        let identifier = TextRule::identifier();
        assert_eq!(identifier.text("p\u{430}ypal", "").unwrap_err().reason, Reason::TextConfusable);
        assert_eq!(identifier.text("\u{200b}x", "").unwrap_err().reason, Reason::TextDenied);
    }

    // DEP-4A
    #[test]
    fn all_unicode_tables_are_of_one_version() {
        let normal = unicode_normalization::UNICODE_VERSION;
        let (a, b, c) = unicode_properties::UNICODE_VERSION;
        assert_eq!((u64::from(normal.0), u64::from(normal.1), u64::from(normal.2)), (a, b, c));
        assert_eq!(unicode_script::UNICODE_VERSION, (a, b, c));
        assert_eq!(unicode_security::UNICODE_VERSION, (a, b, c));
    }
}
