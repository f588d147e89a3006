//! `Columns`: rows whose cells stand below each other.

use super::report::{Look, Report};

/// One cell: a text and how it looks.
pub(super) type Cell = (Look, String);

/// Rows of one table. A row may have fewer cells than others; the last cell of a row is not padded.
#[derive(Debug, Default)]
pub(super) struct Columns(Vec<Vec<Cell>>);

impl Columns {
    /// A table with a heading.
    pub(super) fn headed(names: &[&str]) -> Self {
        Self(vec![names.iter().map(|name| (Look::Dim, (*name).to_owned())).collect()])
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.0.push(cells.into_iter().collect());
    }

    /// Writes the table, each line after so many blanks.
    pub(super) fn print(&self, report: &Report, indent: usize) {
        for line in self.lines(report, indent) {
            report.line(format_args!("{line}"));
        }
    }

    fn lines(&self, report: &Report, indent: usize) -> Vec<String> {
        let widths = self.widths();
        let line = |row: &Vec<Cell>| {
            let mut line = " ".repeat(indent);
            for (at, (look, text)) in row.iter().enumerate() {
                let text = report.style(*look, text.as_str());
                if at + 1 == row.len() {
                    line.push_str(&text.to_string());
                } else {
                    let width = widths.get(at).copied().unwrap_or_default();
                    line.push_str(&format!("{text:width$}  "));
                }
            }
            line
        };
        self.0.iter().map(line).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let count = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |at: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(at));
            cells.map(|(_, text)| text.chars().count()).max().unwrap_or_default()
        };
        (0..count).map(width).collect()
    }
}

/// A cell as it is.
pub(super) fn plain(text: impl Into<String>) -> Cell {
    (Look::Plain, text.into())
}

#[cfg(test)]
mod tests {
    use super::super::report::ColorChoice;
    use super::*;

    #[test]
    fn cells_stand_below_each_other_with_and_without_color() {
        let mut table = Columns::headed(&["NAME", "TO"]);
        table.row([(Look::Bold, "orders".to_owned()), plain("127.0.0.1:8000")]);
        table.row([plain("a"), plain("b")]);
        let lines = table.lines(&Report::new(ColorChoice::Never), 2);
        assert_eq!(lines, ["  NAME    TO", "  orders  127.0.0.1:8000", "  a       b"]);
        let colored = table.lines(&Report::new(ColorChoice::Always), 2);
        assert_eq!(colored[1], "  \u{1b}[1morders\u{1b}[0m  127.0.0.1:8000");
    }
}
