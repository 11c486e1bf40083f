//! Documents of an index as rows: bounded, in event-time order, for batch and `--once`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use fyke_formats::format;
use fyke_types::{
    DeadLetter, Decoded, Decoder, Error, Event, Format, Input, InputId, ReadOptions, Reader, Result, Rows, Settings,
    Source, TableSpec,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::mapping;
use super::pages::{After, Hit, Pages, Wanted, path_of};
use super::server::Server;
use crate::event_time::{Columns, EventTime};
use crate::outbound::{ClientSettings, duration, runtime, wait_for};

const PAGE_ROWS: usize = 1000;
const KEEP_ALIVE: Duration = Duration::from_secs(300);
const SAMPLE_ROWS: usize = 200;

/// A table over indices.
#[derive(Debug)]
pub(super) struct SearchSource {
    client: ClientSettings,
    wanted: Wanted,
    format: Arc<dyn Format>,
    schema: SchemaRef,
}

impl SearchSource {
    /// A table as `spec` says it.
    ///
    /// # Errors
    /// `Usage` for wrong settings; without declared columns also what the server says.
    pub(super) fn new(spec: &TableSpec) -> Result<Self> {
        let mut settings = Settings::new(format!("table {}", spec.name), spec.options.clone());
        let client = ClientSettings::from_settings(&spec.location, &mut settings)?;
        let Some(index) = settings.text("index") else {
            return Err(
                Error::usage(format!("table {} needs an index", spec.name)).hint("OPTIONS ('index' 'fyke-verdicts-*')")
            );
        };
        let query = query(settings.text("query"))?;
        let page_rows = settings.number("page_rows")?.unwrap_or(PAGE_ROWS);
        if !(1..=10_000).contains(&page_rows) {
            return Err(Error::usage(format!("setting 'page_rows' is {page_rows}")).hint("it takes 1 to 10000"));
        }
        let keep_alive_seconds = duration(&mut settings, "keep_alive", KEEP_ALIVE)?.as_secs().max(1);
        let declared = match &spec.schema {
            Some(schema) => Arc::clone(schema),
            None => wait_for(found_columns(&client, &index, &query))?,
        };
        let format = format("JSON", Some(declared), None, &mut settings)?;
        settings.finish()?;
        let schema = format.schema();
        let with_place = ["_id", "_index"].iter().any(|name| schema.index_of(name).is_ok());
        let wanted = Wanted { index, query, time: None, page_rows, keep_alive_seconds, with_place };
        Ok(Self { client, wanted, format, schema })
    }
}

/// A query: JSON in the server's language, or words as in its search bar.
fn query(text: Option<String>) -> Result<Value> {
    match text {
        None => Ok(json!({"match_all": {}})),
        Some(text) if text.trim_start().starts_with('{') => {
            serde_json::from_str(&text).map_err(|error| Error::usage("setting 'query' is no JSON").detail(error))
        }
        Some(text) => Ok(json!({"query_string": {"query": text}})),
    }
}

async fn found_columns(client: &ClientSettings, index: &str, query: &Value) -> Result<SchemaRef> {
    let server = Server::meet(client).await?;
    let path = path_of(index);
    let mappings = server.ask(Method::GET, &format!("/{path}/_mapping"), None).await?;
    let body = json!({"size": SAMPLE_ROWS, "query": query, "track_total_hits": false});
    let sample = server.ask(Method::POST, &format!("/{path}/_search"), Some(&body)).await?;
    mapping::columns(&mappings, &sample, index)
}

impl Source for SearchSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        if options.follow {
            return Err(Error::unsupported(format!("index '{}' can't be followed", self.wanted.index))
                .detail("a search server does not say what is new")
                .hint("read it as batch or with --once, or take what fills it as the source"));
        }
        let columns = Columns::new(&self.schema, options)?;
        let decoder = self.format.decoder(columns.built.as_deref())?;
        let saved = match &options.resume {
            None => Saved::default(),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Error::data("the position of a reading of an index can't be read").detail(error))?,
        };
        let time = options.event_time.and_then(|at| self.schema.fields().get(at)).map(|field| field.name().clone());
        let wanted = Wanted { time, ..self.wanted.clone() };
        let has_time = wanted.time.is_some();
        // one page is decoded while the next one is asked for
        let (give, pages) = sync_channel(1);
        let (client, after, index) = (self.client.clone(), saved.after.clone(), self.wanted.index.clone());
        let ended = saved.ended;
        std::thread::Builder::new()
            .name("fyke-pages".into())
            .spawn(move || {
                if !ended {
                    read_pages(&client, wanted, &after, &give);
                }
            })
            .map_err(|error| Error::unavailable("no thread for a reading").detail(error))?;
        let event_time = EventTime::new(columns, options);
        Ok(Box::new(SearchReader { pages, decoder, event_time, saved, index, has_time, opened: false }))
    }
}

type Page = Result<Vec<Hit>>;

fn read_pages(client: &ClientSettings, wanted: Wanted, after: &After, give: &SyncSender<Page>) {
    let read = async {
        let mut pages = Pages::open(Server::meet(client).await?, wanted, after).await?;
        let done = loop {
            match pages.next().await {
                Ok(None) => break Ok(()),
                Ok(Some(hits)) => {
                    // the reader may be gone
                    if give.send(Ok(hits)).is_err() {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        pages.close().await;
        done
    };
    let done = runtime().and_then(|runtime| {
        let done = runtime.block_on(read);
        runtime.shutdown_background();
        done
    });
    if let Err(error) = done {
        _ = give.send(Err(error));
    }
}

/// How far a reading came.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    after: After,
    documents: u64,
    ended: bool,
}

struct SearchReader {
    pages: Receiver<Page>,
    decoder: Box<dyn Decoder>,
    event_time: EventTime,
    saved: Saved,
    index: String,
    has_time: bool,
    opened: bool,
}

const INPUT: InputId = InputId(0);

impl SearchReader {
    fn rows(&mut self, hits: &[Hit]) -> Result<Rows> {
        let block = hits.iter().map(|hit| hit.line.as_slice()).collect::<Vec<_>>().join(&b'\n');
        let Decoded { batch, mut dead, .. } = self.decoder.decode(&block, &self.index)?;
        let checked = self.event_time.check(batch)?;
        if !checked.refused.is_empty() {
            let is_dead = |at: &usize| dead.binary_search_by_key(&(*at as u64 + 1), |letter| letter.line).is_ok();
            let row_hits: Vec<usize> = (0..hits.len()).filter(|at| !is_dead(at)).collect();
            for (row, reason) in checked.refused {
                let (Some(at), Some(hit)) = (row_hits.get(row), row_hits.get(row).and_then(|at| hits.get(*at))) else {
                    return Err(Error::internal("rows of a page do not follow its documents"));
                };
                dead.push(DeadLetter { line: *at as u64 + 1, offset: 0, reason, raw: hit.line.clone() });
            }
            dead.sort_by_key(|letter| letter.line);
        }
        for letter in &mut dead {
            // its place in the order of reading
            letter.line += self.saved.documents;
            letter.offset = 0;
        }
        let read = hits.len() as u64;
        self.saved.documents += read;
        for hit in hits {
            self.saved.after.gave(hit.time, &hit.place);
        }
        Ok(Rows { input: INPUT, batch: checked.batch, dead, read, position: self.saved.documents })
    }
}

impl Reader for SearchReader {
    fn next(&mut self, wait: Duration) -> Result<Event> {
        if !self.opened {
            self.opened = true;
            let name: Arc<str> = self.index.as_str().into();
            return Ok(Event::Opened(Input { id: INPUT, name: Arc::clone(&name), customer: name }));
        }
        if self.saved.ended {
            return Ok(Event::End);
        }
        match self.pages.recv_timeout(wait) {
            Ok(page) => Ok(Event::Rows(self.rows(&page?)?)),
            Err(RecvTimeoutError::Timeout) => Ok(Event::Waiting),
            Err(RecvTimeoutError::Disconnected) => {
                self.saved.ended = true;
                Ok(Event::Ended(INPUT))
            }
        }
    }

    fn position(&self) -> Result<Option<String>> {
        if !self.has_time {
            return Ok(None);
        }
        let text = serde_json::to_string(&self.saved);
        text.map(Some).map_err(|error| Error::internal("a position can't be written").detail(error))
    }
}
