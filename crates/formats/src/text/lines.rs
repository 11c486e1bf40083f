//! A block of bytes as lines: numbers, offsets, `\r\n`, blanks, and which of them are UTF-8.

use fyke_types::DeadLetter;

/// One line of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub number: u64,
    /// The byte of the block at which it starts.
    pub offset: u64,
    /// Without its newline.
    pub raw: &'a [u8],
}

impl Line<'_> {
    /// The line as a dead letter.
    pub fn dead(&self, reason: impl Into<String>) -> DeadLetter {
        DeadLetter { line: self.number, offset: self.offset, reason: reason.into(), raw: self.raw.to_vec() }
    }
}

/// The lines of a block, the last one perhaps without its newline.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    block: &'a [u8],
    at: usize,
    number: u64,
}

impl<'a> Lines<'a> {
    pub fn new(block: &'a [u8]) -> Self {
        Self { block, at: 0, number: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[inline]
    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.block.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let offset = self.at as u64;
        self.at += end + 1;
        self.number += 1;
        Some(Line { number: self.number, offset, raw: rest.get(..end)? })
    }
}

/// What a line holds for a parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// Nothing but white space.
    Blank,
    /// Text without byte-order mark and without `\r` at its end.
    Text(&'a str),
    /// Not UTF-8, from this byte on.
    NotUtf8(usize),
}

/// Reads lines of a block that was checked as a whole where possible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Utf8Block<'a> {
    text: Option<&'a str>,
    block: &'a [u8],
}

impl<'a> Utf8Block<'a> {
    /// Checks the block once; only if that fails is each line checked by itself.
    pub fn new(block: &'a [u8]) -> Self {
        Self { text: simdutf8::basic::from_utf8(block).ok(), block }
    }

    /// The block's lines.
    pub fn lines(&self) -> Lines<'a> {
        Lines::new(self.block)
    }

    /// The content of a line of this block.
    #[inline]
    pub fn content(&self, line: &Line<'a>) -> Content<'a> {
        let start = usize::try_from(line.offset).unwrap_or(usize::MAX);
        let whole = match self.text {
            Some(text) => text.get(start..start.saturating_add(line.raw.len())),
            None => match simdutf8::compat::from_utf8(line.raw) {
                Ok(text) => Some(text),
                Err(error) => return Content::NotUtf8(error.valid_up_to()),
            },
        };
        // a line ends at a newline, so both ends are character boundaries
        let Some(mut text) = whole else { return Content::NotUtf8(0) };
        text = text.strip_suffix('\r').unwrap_or(text);
        text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match text.as_bytes().first() {
            Some(first) if *first > b' ' => Content::Text(text),
            _ if text.trim_ascii().is_empty() => Content::Blank,
            _ => Content::Text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(block: &[u8]) -> Vec<(u64, u64, Content<'_>)> {
        let utf8 = Utf8Block::new(block);
        utf8.lines().map(|line| (line.number, line.offset, utf8.content(&line))).collect()
    }

    #[test]
    fn last_line_may_lack_its_newline() {
        assert_eq!(contents(b"a\nb"), [(1, 0, Content::Text("a")), (2, 2, Content::Text("b"))]);
        assert_eq!(contents(b"a\n"), [(1, 0, Content::Text("a"))]);
        assert_eq!(contents(b""), []);
    }

    #[test]
    fn carriage_returns_marks_and_blanks_are_no_content() {
        assert_eq!(
            contents("\u{feff}a\r\n \t\r\n\n b".as_bytes()),
            [(1, 0, Content::Text("a")), (2, 6, Content::Blank), (3, 10, Content::Blank), (4, 11, Content::Text(" b"))]
        );
    }

    #[test]
    fn one_bad_line_leaves_the_others_readable() {
        assert_eq!(
            contents(b"a\nb\xff\nc"),
            [(1, 0, Content::Text("a")), (2, 2, Content::NotUtf8(1)), (3, 5, Content::Text("c"))]
        );
    }
}
