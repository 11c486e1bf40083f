//! Errors that point at the line of the text that holds the mistake.

use std::fmt;
use std::io::IsTerminal;

use fyke::{Error, Kind, Place};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::out::say;
use crate::script::Text;

/// An error, and the text that it may point into.
#[derive(Debug)]
pub struct Failure {
    error: Error,
    text: Option<Text>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, text: None }
    }
}

impl Failure {
    /// An error in a text that a person wrote.
    pub fn in_text(error: Error, text: &Text) -> Self {
        Self { error, text: Some(text.clone()) }
    }

    /// What failed.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Tells the person, drawn on a terminal and plainly elsewhere.
    pub fn say(&self) {
        say(if std::io::stderr().is_terminal() { self.drawn() } else { self.plain() });
    }

    /// The error for a log: the message, the place and its line, the detail, the hint.
    fn plain(&self) -> String {
        let error = &self.error;
        let mut text = format!("error: {}", error.message());
        if let Some(place) = error.place() {
            text.push_str(&format!("\n  at {place}"));
            if let Some(line) = self.line(place) {
                let before = line.chars().take(column_of(place)).map(|c| if c == '\t' { '\t' } else { ' ' });
                text.push_str(&format!("\n  | {line}\n  | {}^", before.collect::<String>()));
            }
        }
        if let Some(detail) = error.detail_text() {
            text.push_str(&format!("\n  detail: {detail}"));
        }
        if let Some(hint) = error.hint_text() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        if error.kind() == Kind::Internal {
            text.push_str(&format!("\n  {DEFECT}"));
        }
        text
    }

    fn drawn(&self) -> String {
        let colours = std::env::var_os("NO_COLOR").is_none();
        let theme = if colours { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        match GraphicalReportHandler::new_themed(theme).render_report(&mut text, &Report::new(self)) {
            Ok(()) => text.trim_end().to_owned(),
            Err(fmt::Error) => self.plain(),
        }
    }

    /// The text that a place is in, if it is the one at hand.
    fn text_of(&self, place: &Place) -> Option<&Text> {
        self.text.as_ref().filter(|text| text.name == place.file)
    }

    fn line(&self, place: &Place) -> Option<&str> {
        self.text_of(place)?.content.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?)
    }

    /// The bytes of the word at a place: (start, length).
    fn span(&self, place: &Place) -> Option<(usize, usize)> {
        let content = &self.text_of(place)?.content;
        let line = self.line(place)?;
        let lines_before = usize::try_from(place.line).ok()?.checked_sub(1)?;
        let line_start: usize = content.split_inclusive('\n').take(lines_before).map(str::len).sum();
        let column = line.char_indices().nth(column_of(place)).map_or(line.len(), |(at, _)| at);
        let rest = line.get(column..).unwrap_or_default();
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        Some((line_start + column, word.max(usize::from(!rest.is_empty()))))
    }
}

const DEFECT: &str = "this is a defect of fyke: please report it with the script and, if you can, some of the data";

/// A place's column from 0.
fn column_of(place: &Place) -> usize {
    usize::try_from(place.column).unwrap_or(1).saturating_sub(1)
}

/// A failure as miette draws it.
#[derive(Debug)]
struct Report {
    message: String,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    span: Option<(usize, usize)>,
}

impl Report {
    fn new(failure: &Failure) -> Self {
        let error = &failure.error;
        let place = error.place();
        let span = place.and_then(|place| failure.span(place));
        let text = place.and_then(|place| failure.text_of(place)).filter(|_| span.is_some());
        let mut message = error.message().to_owned();
        if let (Some(place), None) = (place, text) {
            message.push_str(&format!(" (at {place})"));
        }
        if let Some(detail) = error.detail_text() {
            message.push_str(&format!("\n{detail}"));
        }
        let defect = (error.kind() == Kind::Internal).then_some(DEFECT);
        Self {
            message,
            help: error.hint_text().or(defect).map(str::to_owned),
            source: text.map(|text| NamedSource::new(&text.name, text.content.clone())),
            span,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (start, length) = self.span?;
        Some(Box::new(std::iter::once(LabeledSpan::new(Some("here".to_owned()), start, length))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(line: u64, column: u64) -> Failure {
        let text =
            Text { name: "job.sql".to_owned(), content: "SELECT 1;\nSELECT naïve, colour FROM t;\n".to_owned() };
        let error = Error::usage("no column 'colour'").hint("its columns: color");
        Failure::in_text(error.at(Place { file: "job.sql".to_owned(), line, column }), &text)
    }

    #[test]
    fn plain_error_shows_place_line_and_caret() {
        let text = failure(2, 15).plain();
        assert!(text.contains("at job.sql:2:15"), "{text}");
        assert!(text.contains("  | SELECT naïve, colour FROM t;\n  |               ^"), "{text}");
        assert!(text.contains("hint: its columns"), "{text}");
    }

    #[test]
    fn drawn_error_marks_the_word() {
        let failure = failure(2, 15);
        let place = failure.error().place().cloned().expect("place");
        let (start, length) = failure.span(&place).expect("span");
        let content = &failure.text.as_ref().expect("text").content;
        assert_eq!(&content[start..start + length], "colour");
        assert!(failure.drawn().contains("job.sql:2:") && failure.drawn().contains("here"), "{}", failure.drawn());
    }

    #[test]
    fn place_behind_the_end_is_no_panic() {
        for (line, column) in [(0, 0), (2, 400), (3, 1), (99, 1)] {
            let failure = failure(line, column);
            assert!(failure.plain().contains("no column"));
            assert!(failure.drawn().contains("no column"));
        }
    }
}
