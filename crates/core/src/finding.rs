//! `Finding`: what is wrong in a file that an operator wrote, with its place and the next step.

use std::fmt;

/// Whether a finding refuses the file or only warns about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used; `--strict` makes this an error.
    Warning,
}

/// One sentence about one place of a contract, policy or configuration file.
///
/// Displays as `file:line:column: error[K-01]: what is wrong`, and the hint, if there is one, on
/// a line of its own. The message is lower case without a full stop, with the author's own words
/// in backticks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Refused, or only warned about.
    pub severity: Severity,
    /// The static check that found it (`K-01` for contracts, `C4` for configurations), if it has an id.
    pub check: Option<&'static str>,
    /// Name of the file as the operator gave it.
    pub file: String,
    /// Line, from 1. 0 where the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1. 0 where the file as a whole is meant.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Finding {
    /// An error at the byte `offset` of `text`, the content of `file`.
    #[must_use]
    pub fn error(file: &str, text: &str, offset: usize, message: impl Into<String>) -> Self {
        Self::placed(file, place(text, offset), message)
    }

    /// An error at a line and a column of a file.
    pub(crate) fn placed(
        file: &str,
        (line, column): (usize, usize),
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            check: None,
            file: file.to_owned(),
            line,
            column,
            message: message.into(),
            hint: None,
        }
    }

    /// An error about a whole file.
    #[must_use]
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, ..Self::error(file, "", 0, message) }
    }

    /// The same finding as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// The same finding with the id of its check.
    #[must_use]
    pub fn check(self, check: &'static str) -> Self {
        Self { check: Some(check), ..self }
    }

    /// The same finding with the next step.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same finding with the next step, where there is one.
    #[must_use]
    pub fn hint_if(self, hint: Option<impl Into<String>>) -> Self {
        Self { hint: hint.map(Into::into).or(self.hint), ..self }
    }

    /// Whether this finding refuses the file.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: ", self.file)?;
        } else {
            write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        }
        f.write_str(match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })?;
        if let Some(check) = self.check {
            write!(f, "[{check}]")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Line and column (both from 1, the column in characters) of the byte `offset` of `text`.
#[must_use]
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Most findings that are told of a contract.
pub const MOST: usize = 20;

/// The first `most` of what was found, and one that says how many more there are: whoever reads them
/// mends the first ones, and what is wrong in a file may be wrong ten thousand times.
#[must_use]
pub fn first(file: &str, mut findings: Vec<Finding>, most: usize) -> Vec<Finding> {
    // Errors are first: what refuses a file is not lost behind warnings.
    findings.sort_by_key(|finding| finding.severity);
    if let Some(next) = findings.get(most) {
        let message = format!("{} more, not listed", findings.len() - most);
        let more = Finding { severity: next.severity, ..Finding::whole(file, message) };
        findings.truncate(most);
        findings.push(more);
    }
    findings
}

/// Lines and columns of a text of which many places are asked for: each costs a step, and not all
/// that stands before it.
#[derive(Debug)]
pub(crate) struct Places<'t> {
    text: &'t str,
    /// A place every [`STEP`] bytes: its offset, line and column.
    marks: Vec<(usize, usize, usize)>,
}

/// Bytes between two marks, about.
const STEP: usize = 512;

impl<'t> Places<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let mut marks = Vec::with_capacity(text.len() / STEP + 1);
        let (mut line, mut column) = (1, 1);
        for (at, c) in text.char_indices() {
            if at >= marks.len() * STEP {
                marks.push((at, line, column));
            }
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Self { text, marks }
    }

    /// As [`place`].
    pub(crate) fn of(&self, offset: usize) -> (usize, usize) {
        let before = self.marks.partition_point(|(at, ..)| *at <= offset);
        let mark = before.checked_sub(1).and_then(|at| self.marks.get(at));
        let (from, line, column) = mark.copied().unwrap_or((0, 1, 1));
        let (lines, columns) = place(self.text.get(from..).unwrap_or_default(), offset - from);
        if lines == 1 { (line, column + columns - 1) } else { (line + lines - 1, columns) }
    }
}

/// The known word nearest to `word`, for `did you mean …?`; none if nothing is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let bound = (length / 3).max(2).min(length.saturating_sub(1));
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, remove, replace, swap of neighbours counted as two) from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = *cell;
            *cell = replaced.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_from_one_and_columns_in_characters() {
        assert_eq!(place("a\n가나다", 2 + "가".len()), (2, 2));
        assert_eq!(place("", 9), (1, 1));
    }

    #[test]
    fn a_place_among_many_is_the_same_place() {
        let text = format!("{}\n", "a가\n".repeat(700)) + &"나b".repeat(900) + "\n\nc";
        let places = Places::new(&text);
        for offset in 0..text.len() + 2 {
            assert_eq!(places.of(offset), place(&text, offset), "{offset}");
        }
        assert_eq!(Places::new("").of(9), (1, 1));
    }

    // contracts.md section 24
    #[test]
    fn of_many_findings_the_first_are_told_and_how_many_more_there_are() {
        let error = |at: usize| Finding::whole("a.toml", format!("fault {at}"));
        let mut found: Vec<Finding> = (0..30).map(|at| error(at).warning()).collect();
        found.push(error(30));
        let told: Vec<String> =
            first("a.toml", found.clone(), 3).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "a.toml: error: fault 30",
                "a.toml: warning: fault 0",
                "a.toml: warning: fault 1",
                "a.toml: warning: 28 more, not listed",
            ]
        );
        assert_eq!(first("a.toml", found, 31).len(), 31);
    }

    #[test]
    fn a_misspelt_key_is_answered_with_the_nearest_known_one() {
        assert_eq!(nearest("frames", ["frame", "decode"]), Some("frame"));
        assert_eq!(nearest("zebra", ["frame", "decode"]), None);
    }

    #[test]
    fn a_finding_reads_as_one_line_and_a_hint() {
        let finding = Finding::error("a.toml", "x\ny = 1", 2, "unknown key `y`")
            .check("K-01")
            .hint("did you mean `x`?");
        assert_eq!(
            finding.to_string(),
            "a.toml:2:1: error[K-01]: unknown key `y`\n  hint: did you mean `x`?"
        );
    }
}
