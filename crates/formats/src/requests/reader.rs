//! Logs that are read line by line: the loop over a block that all of them share.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use fyke_types::request::request_schema;
use fyke_types::{Decoded, Decoder, Format, Result};

use crate::access::RequestSettings;
use crate::text::lines::{Content, Utf8Block};

use super::rows::{CustomerFrom, Request, RequestRows, check_size};

/// What a line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// A request, which was pushed.
    Row,
    /// A comment, or a directive.
    Skipped,
}

/// Where the requests of a block go.
pub(crate) struct Rows<'r> {
    rows: &'r mut RequestRows,
    customer: &'r str,
}

impl Rows<'_> {
    /// Appends a request.
    pub fn push(&mut self, request: &Request<'_>) {
        self.rows.push(request, self.customer);
    }

    /// Whether anybody looks at what has no column of its own.
    pub fn want_extra(&self) -> bool {
        self.rows.want_extra()
    }
}

/// Reads the lines of a log. Pure: what it remembers of a line may make the next one faster, and a directive holds for
/// the lines behind it in its block; nothing else.
pub(crate) trait LineReader: Send {
    /// A block begins: directives of the one before no longer hold.
    fn begin(&mut self) {}

    /// Pushes the request of a line that is not blank.
    ///
    /// # Errors
    /// Why it makes no row: the dead letter's reason.
    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String>;
}

impl LineReader for Box<dyn LineReader> {
    fn begin(&mut self) {
        (**self).begin();
    }

    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        (**self).read(line, rows)
    }
}

/// Decodes blocks by a [`LineReader`].
pub(crate) struct LinesDecoder<R> {
    reader: R,
    rows: RequestRows,
}

impl<R: LineReader> LinesDecoder<R> {
    /// A decoder of the canonical columns `projection`.
    pub fn new(reader: R, projection: Option<&[usize]>, settings: &RequestSettings) -> Result<Self> {
        let rows = RequestRows::new(projection, settings.rule.clone(), settings.customer)?;
        Ok(Self { reader, rows })
    }
}

impl<R: LineReader> Decoder for LinesDecoder<R> {
    fn decode(&mut self, block: &[u8], customer: &str) -> Result<Decoded> {
        check_size(block, customer)?;
        self.reader.begin();
        let utf8 = Utf8Block::new(block);
        let (mut lines, mut skipped, mut dead) = (0, 0, Vec::new());
        let mut rows = Rows { rows: &mut self.rows, customer };
        for line in utf8.lines() {
            lines += 1;
            match utf8.content(&line) {
                Content::Blank => skipped += 1,
                Content::NotUtf8(at) => dead.push(line.dead(format!("not UTF-8 at byte {at}"))),
                Content::Text(text) => match self.reader.read(text, &mut rows) {
                    Ok(Line::Row) => {}
                    Ok(Line::Skipped) => skipped += 1,
                    Err(reason) => dead.push(line.dead(reason)),
                },
            }
        }
        Ok(Decoded { batch: self.rows.finish()?, dead, lines, skipped })
    }
}

/// A format of requests that makes a reader for each of its decoders.
pub(crate) struct LinesFormat {
    name: &'static str,
    make: Arc<dyn Fn() -> Box<dyn LineReader> + Send + Sync>,
    settings: RequestSettings,
    directive: Option<&'static [u8]>,
}

impl LinesFormat {
    /// The format `name`, read by what `make` makes.
    pub fn new(
        name: &'static str,
        settings: &RequestSettings,
        make: impl Fn() -> Box<dyn LineReader> + Send + Sync + 'static,
    ) -> Self {
        Self { name, make: Arc::new(make), settings: settings.clone(), directive: None }
    }

    /// The same, where lines that begin so hold for the lines behind them.
    pub fn with_directive(self, directive: &'static [u8]) -> Self {
        Self { directive: Some(directive), ..self }
    }
}

impl fmt::Debug for LinesFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LinesFormat").field(&self.name).finish()
    }
}

impl Format for LinesFormat {
    fn schema(&self) -> SchemaRef {
        request_schema()
    }

    fn decoder(&self, projection: Option<&[usize]>) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(LinesDecoder::new((self.make)(), projection, &self.settings)?))
    }

    fn directive(&self) -> Option<&'static [u8]> {
        self.directive
    }

    fn customer_is_input(&self) -> bool {
        self.settings.customer == CustomerFrom::Input
    }
}
