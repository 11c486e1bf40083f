//! A place in a text that a person wrote.

use std::fmt;

/// Line and column (both from 1) of a file or of a text that has no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's path, or what the text is called ("<prompt>").
    pub file: String,
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
