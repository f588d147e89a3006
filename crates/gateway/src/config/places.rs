//! `Places`: where something stands in a configuration file, for what is found after loading.
//!
//! A `Config` holds what is meant, so it may as well come from flags; then a finding has no place.

use super::read;
use segwan_core::document::Document;
use segwan_core::finding::Finding;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configuration file, read again for its places.
pub(crate) struct Places {
    file: String,
    text: String,
}

impl Places {
    /// Of this file; of nothing, if it cannot be read.
    pub(crate) fn of(file: &str) -> Self {
        let text = read::text(Path::new(file)).unwrap_or_default();
        Self { file: file.to_owned(), text }
    }

    /// Of no file: what is found is about the whole.
    pub(crate) fn of_nothing() -> Self {
        Self { file: "segwan".to_owned(), text: String::new() }
    }

    /// An error about the key at the end of `path`, or about what is there of the path.
    pub(crate) fn error(&self, path: &[&str], message: impl Into<String>) -> Finding {
        self.at(self.span(path, None), message)
    }

    /// An error about the element `text` of the list at `path`.
    pub(crate) fn element(&self, path: &[&str], text: &str, message: impl Into<String>) -> Finding {
        self.at(self.span(path, Some(text)), message)
    }

    /// Whether the file itself says something at `path`.
    pub(crate) fn has(&self, path: &[&str]) -> bool {
        let Ok(table) = Document::new(&self.file, &self.text).parse() else { return false };
        let Some((last, tables)) = path.split_last() else { return false };
        let mut inner = Some(&table);
        for part in tables {
            inner = inner.and_then(|table| table.get(*part)).and_then(|v| v.get_ref().as_table());
        }
        inner.is_some_and(|table| table.contains_key(*last))
    }

    fn at(&self, span: Option<Range<usize>>, message: impl Into<String>) -> Finding {
        match span {
            Some(span) => Finding::error(&self.file, &self.text, span.start, message),
            None => Finding::whole(&self.file, message),
        }
    }

    fn span(&self, path: &[&str], element: Option<&str>) -> Option<Range<usize>> {
        let table = Document::new(&self.file, &self.text).parse().ok()?;
        let mut found = None;
        let mut inner: Option<&DeTable<'_>> = Some(&table);
        let mut last: Option<&Spanned<DeValue<'_>>> = None;
        for part in path {
            let Some((key, value)) = inner.and_then(|table| table.get_key_value(*part)) else {
                return found;
            };
            inner = value.get_ref().as_table();
            found = Some(if inner.is_some() { key.span() } else { value.span() });
            last = Some(value);
        }
        if let (Some(list), Some(text)) = (last.and_then(|v| v.get_ref().as_array()), element)
            && let Some(value) = list.iter().find(|v| v.get_ref().as_str() == Some(text))
        {
            return Some(value.span());
        }
        found
    }
}
