//! `Report`: how `segwan` talks to people; the only place that formats errors.
//!
//! On a terminal: color, and the line of the file below a finding with a caret under the fault.
//! Piped: plain text, one line for each thing, so that it can be searched. What came from a peer
//! has passed [`segwan_core::audit::shown`] before it gets here.

use super::Failure;
use segwan_core::finding::{Finding, Severity};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// When output is colored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The two streams and how they look.
#[derive(Debug, Clone)]
pub struct Report {
    out: bool,
    errors: bool,
    terminal: bool,
}

/// How a word looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// As it is.
    Plain,
    /// For headings and names.
    Bold,
    /// Behind the rest.
    Dim,
    /// Good news.
    Good,
    /// Mind this.
    Warning,
    /// Bad news.
    Bad,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "1;31",
        }
    }
}

/// Text with its look; plain where the stream has no color.
#[derive(Debug, Clone)]
pub struct Styled(String, Option<Look>);

impl fmt::Display for Styled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(look) if look != Look::Plain => {
                write!(f, "\u{1b}[{}m", look.code())?;
                f.pad(&self.0)?;
                f.write_str("\u{1b}[0m")
            }
            _ => f.pad(&self.0),
        }
    }
}

impl Report {
    /// A report on this process' streams.
    #[must_use]
    pub fn new(color: ColorChoice) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match color {
            ColorChoice::Auto => terminal && !no_color && !dumb,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        let (out, errors) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        Self { out: wanted(out), errors: wanted(errors), terminal: errors }
    }

    /// Whether stderr is colored.
    #[must_use]
    pub fn colors_errors(&self) -> bool {
        self.errors
    }

    /// Whether somebody watches stderr.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Text for stdout with a look.
    #[must_use]
    pub fn style(&self, look: Look, text: impl Into<String>) -> Styled {
        Styled(text.into(), self.out.then_some(look))
    }

    /// Writes one line to stdout. A closed pipe is no error: whoever closed it has seen enough.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// Writes text to stdout as it is.
    pub fn text(&self, text: &str) {
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    /// Writes one line to stderr: what a person should see beside the result.
    pub fn note(&self, text: fmt::Arguments<'_>) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Writes a warning to stderr.
    pub fn warning(&self, text: &str) {
        self.note(format_args!("{}: {text}", self.error_style(Look::Warning, "warning")));
    }

    /// Writes a failure to stderr.
    pub fn failure(&self, failure: &Failure) {
        if let Some((sentence, hint)) = failure.sentence() {
            self.note(format_args!("{}: {sentence}", self.error_style(Look::Bad, "error")));
            if let Some(hint) = hint {
                self.note(format_args!("  {}: {hint}", self.error_style(Look::Bold, "hint")));
            }
        }
        self.findings(failure.places());
    }

    /// Writes findings to stderr, each with its place.
    pub fn findings(&self, findings: &[Finding]) {
        for finding in findings {
            self.finding(finding);
        }
    }

    fn finding(&self, finding: &Finding) {
        if !self.terminal && !self.errors {
            self.note(format_args!("{finding}"));
            return;
        }
        let place = if finding.line == 0 {
            finding.file.clone()
        } else {
            format!("{}:{}:{}", finding.file, finding.line, finding.column)
        };
        let check = finding.check.map(|check| format!("[{check}]")).unwrap_or_default();
        let (look, word) = match finding.severity {
            Severity::Error => (Look::Bad, "error"),
            Severity::Warning => (Look::Warning, "warning"),
        };
        self.note(format_args!(
            "{}: {}: {}",
            self.error_style(Look::Bold, place),
            self.error_style(look, format!("{word}{check}")),
            finding.message
        ));
        if let Some(excerpt) = excerpt(finding) {
            let number = finding.line.to_string();
            let bar = self.error_style(Look::Dim, "|");
            let pad = " ".repeat(number.len());
            let before: String =
                excerpt.chars().take(finding.column.saturating_sub(1)).map(blank).collect();
            self.note(format_args!(
                "  {} {bar} {}",
                self.error_style(Look::Dim, number),
                excerpt.replace('\t', " ")
            ));
            self.note(format_args!("  {pad} {bar} {before}{}", self.error_style(look, "^")));
        }
        if let Some(hint) = &finding.hint {
            self.note(format_args!("  {}: {hint}", self.error_style(Look::Bold, "hint")));
        }
    }

    fn error_style(&self, look: Look, text: impl Into<String>) -> Styled {
        Styled(text.into(), self.errors.then_some(look))
    }
}

/// The line of the file that a finding is about, made harmless and short.
fn excerpt(finding: &Finding) -> Option<String> {
    const LONGEST: usize = 200;
    if finding.line == 0 {
        return None;
    }
    let size = std::fs::metadata(&finding.file).ok()?.len();
    let text = (size <= 1 << 20).then(|| std::fs::read_to_string(&finding.file).ok())??;
    let line = text.lines().nth(finding.line - 1)?;
    let harmless = |c: char| if c.is_control() && c != '\t' { ' ' } else { c };
    let shown: String = line.chars().take(LONGEST).map(harmless).collect();
    (finding.column <= LONGEST && !shown.trim().is_empty()).then_some(shown)
}

/// A blank as wide as `c`, so that the caret stands below its character.
fn blank(c: char) -> &'static str {
    // Hangul, Han and the full-width forms take two columns.
    let wide = matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}');
    if wide { "  " } else { " " }
}

/// Writes what clap has to say: help and version to stdout, mistakes to stderr.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_written_only_where_there_is_color() {
        let plain = Report { out: false, errors: false, terminal: false };
        let colored = Report { out: true, errors: true, terminal: true };
        assert_eq!(plain.style(Look::Bad, "no").to_string(), "no");
        assert_eq!(colored.style(Look::Bad, "no").to_string(), "\u{1b}[1;31mno\u{1b}[0m");
    }

    #[test]
    fn a_caret_stands_below_wide_characters() {
        let before: String = "가a".chars().map(blank).collect();
        assert_eq!(before, "   ");
    }
}
