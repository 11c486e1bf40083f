//! Tables of text that come row by row: widths are settled by the first rows and only grow.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A cell is padded up to this many columns; a longer one pushes its neighbours aside, but only in its own row.
const WIDEST: usize = 60;

/// A table in the making.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    started: bool,
}

#[derive(Debug)]
struct Column {
    name: String,
    width: usize,
    right: bool,
}

impl Table {
    /// A table with these columns: name, and whether it is set to the right (numbers).
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = (N, bool)>) -> Self {
        let column = |(name, right): (N, bool)| {
            let name = printable(&name.into());
            Column { width: name.width(), name, right }
        };
        Self { columns: columns.into_iter().map(column).collect(), started: false }
    }

    /// The text of some rows; before the first ones the header.
    pub fn rows(&mut self, rows: &[Vec<String>]) -> String {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
        for row in &rows {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                column.width = column.width.max(cell.width().min(WIDEST));
            }
        }
        let mut text = if self.started { String::new() } else { self.header() };
        self.started = true;
        for row in &rows {
            self.line(row.iter().map(String::as_str), &mut text);
        }
        text
    }

    /// The header, where no row has come.
    pub fn finish(&mut self) -> String {
        if std::mem::replace(&mut self.started, true) { String::new() } else { self.header() }
    }

    fn header(&self) -> String {
        let mut text = String::new();
        self.line(self.columns.iter().map(|column| column.name.as_str()), &mut text);
        let rules: Vec<String> = self.columns.iter().map(|column| "─".repeat(column.width)).collect();
        self.line(rules.iter().map(String::as_str), &mut text);
        text
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, text: &mut String) {
        let start = text.len();
        for (at, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            let padding = " ".repeat(column.width.saturating_sub(cell.width()));
            text.push_str(if at > 0 { "  " } else { "" });
            let (before, after) = if column.right { (padding.as_str(), "") } else { ("", padding.as_str()) };
            text.extend([before, cell, after]);
        }
        let end = text.get(start..).map_or(start, |line| start + line.trim_end().len());
        text.truncate(end);
        text.push('\n');
    }
}

/// Text as one line that can't steer a terminal: a log's agents may hold escape sequences.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c.width().is_none() { '\u{fffd}' } else { c }).collect()
}

/// At most `width` columns of a text, with `…` where it was cut.
pub fn shortened(text: &str, width: usize) -> String {
    let text = printable(text);
    if text.width() <= width {
        return text;
    }
    let mut short = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= width {
            break;
        }
        short.push(c);
    }
    if width > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn header_comes_once_and_numbers_are_set_to_the_right() {
        let mut table = Table::new([("name", false), ("n", true)]);
        assert_eq!(
            table.rows(&[row(&["ab", "1"]), row(&["c", "100"])]),
            "name    n\n────  ───\nab      1\nc     100\n"
        );
        assert_eq!(table.rows(&[row(&["d", "2"])]), "d       2\n");
        assert_eq!(table.finish(), "");
        assert_eq!(Table::new([("a", false)]).finish(), "a\n─\n");
    }

    #[test]
    fn log_text_cannot_steer_the_terminal() {
        let mut table = Table::new([("agent", false)]);
        let text = table.rows(&[row(&["evil\u{1b}[2Jagent\r\n"])]);
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn shortened_text_fits_and_says_so() {
        assert_eq!(shortened("Mozilla/5.0", 20), "Mozilla/5.0");
        assert_eq!(shortened("Mozilla/5.0", 8), "Mozilla…");
        assert_eq!(shortened("日本語", 4), "日…");
    }
}
