//! `Document`: a TOML file as an operator wrote it, every value with its place.
//!
//! Contracts and configurations are read through [`Table`]: a key is asked for by name and type,
//! what is wrong becomes a [`Finding`] at its place, and what nobody asked for is an unknown key.
//! So all independent errors of a file are found in one run. The language is TOML 1.0; what 1.1
//! adds is refused, so that every editor and parser reads the file alike (K-01).

mod dialect;
mod inside;

use crate::finding::{Finding, Places, nearest};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest file, in bytes.
pub(crate) const LARGEST: usize = 1 << 20;

/// The file's name and text, and what was found wrong in it so far.
#[derive(Debug)]
pub struct Document<'t> {
    file: &'t str,
    text: &'t str,
    findings: RefCell<Vec<Finding>>,
    errors: Cell<usize>,
    places: OnceCell<Places<'t>>,
}

impl<'t> Document<'t> {
    /// A document of this text. `file` is the name by which the operator knows it.
    #[must_use]
    pub fn new(file: &'t str, text: &'t str) -> Self {
        let (findings, errors, places) = Default::default();
        Self { file, text, findings, errors, places }
    }

    /// Parses the text as TOML 1.0.
    ///
    /// # Errors
    /// Every place at which it is not, up to ten.
    pub fn parse(&self) -> Result<DeTable<'t>, Vec<Finding>> {
        if self.text.len() > LARGEST {
            return Err(vec![Finding::whole(self.file, "file is over 1 MiB").check("K-01")]);
        }
        if let Some((offset, message)) = dialect::beyond_toml_1_0(self.text) {
            return Err(vec![self.error("K-01", offset..offset, message)]);
        }
        let (table, errors) = DeTable::parse_recoverable(self.text);
        if errors.is_empty() {
            return Ok(table.into_inner());
        }
        let finding = |error: &toml::de::Error| {
            let span = error.span().unwrap_or(0..0);
            let mut message = error.message().trim().to_lowercase();
            if message == "duplicate key"
                && let Some(key) = self.text.get(span.clone())
            {
                message = format!("duplicate key `{key}`");
            }
            let bare = message.starts_with("string values must be quoted");
            let hint = bare.then_some("quotes around a text, commas between the values of a list");
            self.error("K-01", span, message).hint_if(hint)
        };
        Err(errors.iter().take(10).map(finding).collect())
    }

    /// Adds what is wrong at a place.
    pub fn find(&self, finding: Finding) {
        self.errors.set(self.errors.get() + usize::from(finding.is_error()));
        self.findings.borrow_mut().push(finding);
    }

    /// An error at a place, not yet added.
    #[must_use]
    pub fn error(
        &self,
        check: &'static str,
        at: Range<usize>,
        message: impl Into<String>,
    ) -> Finding {
        let places = self.places.get_or_init(|| Places::new(self.text));
        Finding::placed(self.file, places.of(at.start), message).check(check)
    }

    /// Whether an error was found.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors were found.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors.get()
    }

    /// Everything found, each once: errors, then warnings, in the order of the file.
    #[must_use]
    pub fn into_findings(self) -> Vec<Finding> {
        let mut found = self.findings.into_inner();
        let place = |finding: &Finding| (finding.severity, finding.line, finding.column);
        found.sort_by_key(place);
        let mut told = HashSet::new();
        found.retain(|finding| told.insert(finding.clone()));
        found
    }
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Bytes of the file at which it stands.
    pub span: Range<usize>,
}

/// One table of a document, read key by key.
pub struct Table<'d, 't> {
    document: &'d Document<'t>,
    /// How the table is called in sentences: `[client]`, or nothing for the file itself.
    name: String,
    span: Range<usize>,
    table: &'d DeTable<'t>,
    asked: RefCell<Vec<&'static str>>,
    /// The check that an unknown key breaks.
    unknown: &'static str,
}

impl<'d, 't> Table<'d, 't> {
    /// The top level of a document.
    #[must_use]
    pub fn top(document: &'d Document<'t>, table: &'d DeTable<'t>, unknown: &'static str) -> Self {
        Self {
            document,
            name: String::new(),
            span: 0..0,
            table,
            asked: RefCell::default(),
            unknown,
        }
    }

    fn below(&self, name: String, span: Range<usize>, table: &'d DeTable<'t>) -> Self {
        let (document, unknown) = (self.document, self.unknown);
        Self { document, name, span, table, asked: RefCell::default(), unknown }
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &'d Document<'t> {
        self.document
    }

    /// How the table is called in sentences.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the table begins.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Where the key stands, if it is there.
    #[must_use]
    pub fn key_span(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or_else(|| self.span(), |(key, _)| key.span())
    }

    /// The value of a key, as TOML has it.
    #[must_use]
    pub fn value(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// Every key and its value, for tables whose keys are the operator's own names.
    pub fn entries(&self) -> impl Iterator<Item = (Placed<&'d str>, &'d Spanned<DeValue<'t>>)> {
        self.table
            .iter()
            .map(|(key, value)| (Placed { value: key.get_ref().as_ref(), span: key.span() }, value))
    }

    /// A text.
    pub fn text(&self, key: &'static str) -> Option<Placed<&'d str>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Placed { value: text.as_ref(), span: value.span() }),
            other => self.wrong(key, value, other, "a text in quotes"),
        }
    }

    /// A whole number.
    pub fn integer(&self, key: &'static str) -> Option<Placed<i64>> {
        let value = self.value(key)?;
        match integer(value.get_ref()) {
            Some(number) => Some(Placed { value: number, span: value.span() }),
            None if matches!(value.get_ref(), DeValue::Integer(_)) => {
                let message = format!("`{key}` is {}", kind(value.get_ref()));
                self.error(self.unknown, value.span(), message);
                None
            }
            None => self.wrong(key, value, value.get_ref(), "a whole number"),
        }
    }

    /// True or false.
    pub fn boolean(&self, key: &'static str) -> Option<Placed<bool>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(Placed { value: *flag, span: value.span() }),
            other => self.wrong(key, value, other, "true or false"),
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &'static str) -> Option<Vec<Placed<&'d str>>> {
        let value = self.value(key)?;
        let DeValue::Array(list) = value.get_ref() else {
            return self.wrong(key, value, value.get_ref(), "a list of texts");
        };
        let mut texts = Vec::new();
        for element in list.iter() {
            match element.get_ref() {
                DeValue::String(text) => {
                    texts.push(Placed { value: text.as_ref(), span: element.span() });
                }
                other => return self.wrong(key, element, other, "a text in quotes"),
            }
        }
        Some(texts)
    }

    /// A table below this one.
    pub fn table(&self, key: &'static str) -> Option<Self> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.below(self.path(key), value.span(), table)),
            other => self.wrong(key, value, other, "a table"),
        }
    }

    /// A table below this one that stands under a name of the operator's.
    #[must_use]
    pub fn named(&self, key: &Placed<&'d str>, value: &'d Spanned<DeValue<'t>>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(self.below(self.path(key.value), key.span.clone(), table))
            }
            other => self.wrong(key.value, value, other, "a table"),
        }
    }

    /// A list of tables, as `[[…]]` writes it.
    pub fn tables(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong::<()>(key, value, value.get_ref(), "a list of tables");
            return Vec::new();
        };
        let table = |element: &'d Spanned<DeValue<'t>>| match element.get_ref() {
            DeValue::Table(table) => {
                Some(self.below(format!("[{}]", self.path(key)), element.span(), table))
            }
            other => self.wrong(key, element, other, "a table"),
        };
        list.iter().filter_map(table).collect()
    }

    /// Refuses every key that was not asked for.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !asked.contains(&name) {
                let place = if self.name.is_empty() {
                    String::new()
                } else {
                    format!(" in `{}`", self.name)
                };
                let message = format!("unknown key `{name}`{place}");
                let finding = self.document.error(self.unknown, key.span(), message);
                self.document.find(match nearest(name, asked.iter().copied()) {
                    Some(near) => finding.hint(format!("did you mean `{near}`?")),
                    None => finding,
                });
            }
        }
    }

    /// Adds an error at a place of this document.
    pub fn error(&self, check: &'static str, at: Range<usize>, message: impl Into<String>) {
        self.document.find(self.document.error(check, at, message));
    }

    /// Adds an error with its next step.
    pub fn error_with_hint(
        &self,
        check: &'static str,
        at: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.document.find(self.document.error(check, at, message).hint(hint));
    }

    /// Adds the error that a key of this table is missing.
    pub fn missing(&self, check: &'static str, key: &str, hint: impl Into<String>) {
        let place =
            if self.name.is_empty() { "the file".to_owned() } else { format!("`{}`", self.name) };
        self.error_with_hint(check, self.span(), format!("{place} has no `{key}`"), hint);
    }

    fn path(&self, key: &str) -> String {
        let name = self.name.trim_matches(['[', ']']);
        if name.is_empty() { format!("[{key}]") } else { format!("[{name}.{key}]") }
    }

    fn wrong<T>(
        &self,
        key: &str,
        at: &Spanned<DeValue<'t>>,
        is: &DeValue<'_>,
        expected: &str,
    ) -> Option<T> {
        let message = format!("`{key}` is {}, not {expected}", kind(is));
        self.error(self.unknown, at.span(), message);
        None
    }
}

/// The whole number that a value is.
#[must_use]
pub fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// What kind of value this is, as an operator reads it.
#[must_use]
pub fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) if integer(value).is_none() => "a whole number over 64 bits",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, with: impl Fn(&Table<'_, '_>)) -> Vec<String> {
        let document = Document::new("a.toml", text);
        match document.parse() {
            Ok(table) => {
                let top = Table::top(&document, &table, "K-01");
                with(&top);
                top.finish();
            }
            Err(findings) => findings.into_iter().for_each(|f| document.find(f)),
        }
        document.into_findings().iter().map(ToString::to_string).collect()
    }

    // K-01: all independent errors of a file in one run.
    #[test]
    fn every_error_has_its_place_and_its_hint() {
        let found = read("nmae = \"x\"\nsize = \"5\"\n\n[client]\nframes = 1\n", |top| {
            top.text("name");
            top.integer("size");
            if let Some(client) = top.table("client") {
                client.text("frame");
                client.finish();
            }
        });
        assert_eq!(
            found,
            [
                "a.toml:1:1: error[K-01]: unknown key `nmae`\n  hint: did you mean `name`?",
                "a.toml:2:8: error[K-01]: `size` is a text, not a whole number",
                "a.toml:5:1: error[K-01]: unknown key `frames` in `[client]`\n  hint: did you mean `frame`?",
            ]
        );
    }

    // K-01: a file of faults is read in a time that grows as it does, on many lines or on one.
    #[test]
    fn ten_thousands_of_unknown_keys_have_their_places() {
        for (head, between, tail) in [("", "\n", ""), ("t = { ", ", ", " }")] {
            let keys: Vec<String> = (0..40_000).map(|n| format!("key{n:05} = 1")).collect();
            let text = format!("{head}{}{tail}", keys.join(between));
            let found = read(&text, |top| {
                if let Some(table) = top.table("t") {
                    table.finish();
                }
            });
            assert_eq!(found.len(), keys.len());
            let (line, column) = crate::finding::place(&text, text.find("key39999").unwrap());
            let last = format!("a.toml:{line}:{column}: error[K-01]: unknown key `key39999`");
            assert!(found[39_999].starts_with(&last), "{}", found[39_999]);
        }
    }

    #[test]
    fn a_file_that_is_no_toml_says_where() {
        let found = read("a = \nb = 1\nb = 2\n", |_| {});
        assert!(found[0].starts_with("a.toml:1:5: error[K-01]: "), "{found:?}");
    }

    // DEP-61
    #[test]
    fn what_only_toml_1_1_has_is_refused() {
        for (text, place) in [
            ("\u{feff}a = 1", "a.toml:1:1"),
            ("a = { b = 1,\n c = 2 }", "a.toml:1:13"),
            ("a = { b = 1, }", "a.toml:1:14"),
            ("a = \"\\e\"", "a.toml:1:6"),
            ("a = \"\\x41\"", "a.toml:1:6"),
        ] {
            let found = read(text, |_| {});
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with(place), "{text}: {found:?}");
        }
        let fine = "a = \"\\\\e # {\"\nb = '''\n{,}\\e\n'''\nc = [ { d = 1 },\n { d = 2 },\n]\n";
        assert_eq!(
            read(fine, |t| {
                let _ = t.value("a");
                let _ = t.value("b");
                let _ = t.value("c");
            }),
            [""; 0]
        );
    }
}
