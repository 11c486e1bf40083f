//! Lines gathered into statements: where does one end? Not a parser: it knows quotes and comments alone.

/// Lines that make no whole statement yet.
#[derive(Debug, Default)]
pub struct Pending {
    text: String,
    ended: bool,
}

impl Pending {
    /// Takes a line.
    pub fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.text.clear();
    }

    /// Nothing more comes: what is left is a statement, `;` or not.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether no statement has begun.
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// The first whole statement: up to and with its `;`, or a line that begins with `\`.
    pub fn take(&mut self) -> Option<String> {
        if self.is_empty() {
            self.text.clear();
            return None;
        }
        let indent = self.text.len() - self.text.trim_start().len();
        let rest = self.text.get(indent..).unwrap_or_default();
        let length = if rest.starts_with('\\') { rest.find('\n').map(|at| at + 1) } else { end_of_statement(rest) };
        let end = match length {
            Some(length) => indent + length,
            None if self.ended => self.text.len(),
            None => return None,
        };
        let after = self.text.split_off(end);
        Some(std::mem::replace(&mut self.text, after))
    }
}

/// The length of the first statement with its `;`, where there is one outside of quotes and comments.
fn end_of_statement(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let skip = |open: usize, close: &str| {
            let found = rest.get(open..).and_then(|inside| inside.find(close));
            found.map(|length| open + length + close.len())
        };
        at += match rest.as_bytes() {
            [b';', ..] => return Some(at + 1),
            // a doubled quote ends one text and begins the next, which is the same here
            [b'\'', ..] => skip(1, "'")?,
            [b'"', ..] => skip(1, "\"")?,
            [b'-', b'-', ..] => skip(2, "\n")?,
            [b'/', b'*', ..] => skip(2, "*/")?,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(lines: &[&str]) -> (Vec<String>, bool) {
        let mut pending = Pending::default();
        let mut found = Vec::new();
        for line in lines {
            pending.push(line);
            while let Some(statement) = pending.take() {
                found.push(statement.trim().to_owned());
            }
        }
        (found, pending.is_empty())
    }

    #[test]
    fn statement_goes_on_until_its_semicolon() {
        let (found, empty) = statements(&["SELECT 1,", " 2; SELECT", "3;"]);
        assert_eq!((found, empty), (vec!["SELECT 1,\n 2;".to_owned(), "SELECT\n3;".to_owned()], true));
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        for text in ["SELECT ';', 'it''s;' -- ;", "SELECT \"a;b\"", "SELECT /* ; */ 1", "SELECT 'é;"] {
            assert_eq!(statements(&[text]), (vec![], false), "{text}");
        }
        assert_eq!(statements(&["SELECT ';' -- ;", ";"]).0.len(), 1);
    }

    #[test]
    fn backslash_command_needs_no_semicolon() {
        assert_eq!(statements(&["\\d", "  \\timing"]).0, ["\\d", "\\timing"]);
    }

    #[test]
    fn end_of_input_ends_a_statement() {
        let mut pending = Pending::default();
        pending.push("SELECT 1");
        assert_eq!(pending.take(), None);
        pending.end();
        assert_eq!(pending.take().as_deref(), Some("SELECT 1\n"));
        assert_eq!(pending.take(), None);
    }
}
