//! Rows that are known before a job starts, as a source of it.

use std::collections::VecDeque;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use fyke_types::{Error, Event, Input, InputId, Reader, Result, Rows};

/// What a source of known rows is called.
pub(crate) const STATIC_ROWS: &str = "static rows";

/// Rows that are known already, as a source.
pub(crate) struct StaticReader {
    events: VecDeque<Event>,
    given: usize,
}

impl StaticReader {
    /// A reader of `rows`; `resume` is the position of another one.
    ///
    /// # Errors
    /// `Data` where that can't be read.
    pub(crate) fn new(rows: Vec<RecordBatch>, resume: Option<&str>) -> Result<Self> {
        let given = match resume.map(str::parse::<usize>).transpose() {
            Ok(given) => given.unwrap_or(0),
            Err(error) => return Err(Error::data("the position of static rows can't be read").detail(error)),
        };
        let input = Input { id: InputId(0), name: STATIC_ROWS.into(), customer: "".into() };
        let mut events = VecDeque::from([Event::Opened(input)]);
        for batch in rows.into_iter().skip(given) {
            let read = batch.num_rows() as u64;
            events.push_back(Event::Rows(Rows { input: InputId(0), batch, dead: Vec::new(), read, position: 0 }));
        }
        Ok(Self { events, given })
    }
}

impl Reader for StaticReader {
    fn next(&mut self, _: Duration) -> Result<Event> {
        let event = self.events.pop_front().unwrap_or(Event::End);
        self.given += usize::from(matches!(event, Event::Rows(_)));
        Ok(event)
    }

    fn position(&self) -> Result<Option<String>> {
        Ok(Some(self.given.to_string()))
    }
}
