//! A table that lies in files: its settings, its schema, and what a reading of it starts from.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use fyke_types::{Error, Format, ReadOptions, Reader, Result, Settings, Source, TableSpec};

use super::blocks::{Blocks, Heading, Limits};
use super::compression;
use super::customer::CustomerFrom;
use super::decode::{Content, Stream, Worker};
use super::discover::{Found, Location};
use super::follow::{FollowCounters, Known, SavedKnown, Tail};
use super::handle;
use super::objects;
use super::origin::identity;
use super::parquet::{self, ParquetRows};
use super::partition::{self, Layout, Partitioning};
use super::pool::Pool;
use super::position::SavedInput;
use super::reader::{FileReader, Growth};
use super::source_bytes::{ByteSource, FileBytes, Got};
use crate::event_time::{Columns, EventTime};
use crate::stdio::{Feed, FeedBytes};

const SAMPLE_BYTES: usize = 256 * 1024;
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;
const POLL: Duration = Duration::from_millis(200);
/// Each look costs a request.
const POLL_OBJECTS: Duration = Duration::from_secs(10);

/// A table over files, a folder, a glob, objects (`s3://bucket/…`) or standard input.
///
/// Settings beside the format's own: `customer_from` (`file`, the default: the file's name without extensions;
/// `folder`; `path:PATTERN`), `max_line_bytes` (16 MiB; a longer line is a dead letter), `poll` (`200ms`, of
/// objects `10s`: how often a followed location is looked at), `partition_by` (columns that stand in folders,
/// `customer=a/date=…`; those of the first file are found without it, `off` leaves them alone).
#[derive(Debug)]
pub struct FileSource {
    location: Location,
    rows: RowsFrom,
    schema: SchemaRef,
    partitioning: Option<Partitioning>,
    customer_from: CustomerFrom,
    max_line_bytes: usize,
    poll: Duration,
    feed: Option<Arc<Feed>>,
    counters: Arc<FollowCounters>,
}

/// How bytes become rows.
#[derive(Debug, Clone)]
enum RowsFrom {
    Lines(Arc<dyn Format>),
    Csv(Arc<dyn Format>),
    Parquet,
}

impl RowsFrom {
    fn directive(&self) -> Option<&'static [u8]> {
        match self {
            Self::Lines(format) => format.directive(),
            Self::Csv(_) | Self::Parquet => None,
        }
    }

    fn heading(&self) -> Heading {
        match (self, self.directive()) {
            (Self::Csv(_), _) => Heading::FirstLine,
            (_, Some(start)) => Heading::Directive(start),
            _ => Heading::None,
        }
    }
}

impl FileSource {
    /// A table as `spec` says it.
    ///
    /// # Errors
    /// `Usage` for wrong or unknown settings, and where a schema must be inferred but nothing is there.
    pub fn new(spec: &TableSpec) -> Result<Self> {
        let feed = (Location::new(&spec.location) == Location::Stdin).then(stdin);
        Self::with_feed(spec, feed, None)
    }

    /// A table whose one input is `from`, as if it were standard input. `spec`'s location is not looked at.
    ///
    /// # Errors
    /// As [`FileSource::new`].
    pub fn from_read(spec: &TableSpec, from: impl Read + Send + 'static) -> Result<Self> {
        let spec = TableSpec { location: "-".into(), ..spec.clone() };
        Self::with_feed(&spec, Some(Feed::start(from)), None)
    }

    /// A table with a format of the caller's own; `spec`'s format and schema are not looked at.
    ///
    /// # Errors
    /// `Usage` for wrong or unknown settings.
    pub fn with_format(spec: &TableSpec, format: Arc<dyn Format>) -> Result<Self> {
        let feed = (Location::new(&spec.location) == Location::Stdin).then(stdin);
        Self::with_feed(spec, feed, Some(format))
    }

    /// Both: a format and bytes of the caller's own.
    ///
    /// # Errors
    /// As [`FileSource::with_format`].
    pub fn from_read_with_format(
        spec: &TableSpec,
        format: Arc<dyn Format>,
        from: impl Read + Send + 'static,
    ) -> Result<Self> {
        let spec = TableSpec { location: "-".into(), ..spec.clone() };
        Self::with_feed(&spec, Some(Feed::start(from)), Some(format))
    }

    fn with_feed(spec: &TableSpec, feed: Option<Arc<Feed>>, format: Option<Arc<dyn Format>>) -> Result<Self> {
        let mut settings = Settings::new(format!("table {}", spec.name), spec.options.clone());
        let customer_from = CustomerFrom::new(settings.text("customer_from").as_deref())?;
        let max_line_bytes = settings.number("max_line_bytes")?.unwrap_or(MAX_LINE_BYTES);
        let location = Location::new(&spec.location);
        let usual = if matches!(location, Location::Objects(_)) { POLL_OBJECTS } else { POLL };
        let poll = settings.duration("poll")?.map_or(usual, |us| Duration::from_micros(us.max(1_000).unsigned_abs()));
        let partition_by = settings.text("partition_by");
        let in_folders = match &format {
            Some(_) => Vec::new(),
            None => partition_names(spec, &location, partition_by.as_deref())?,
        };
        let of_files = Partitioning::without(&in_folders, spec);
        let rows = match format {
            Some(format) => RowsFrom::Lines(format),
            None => rows_from(&of_files, &location, feed.as_deref(), &mut settings)?,
        };
        settings.finish()?;
        let schema = match &rows {
            RowsFrom::Lines(format) | RowsFrom::Csv(format) => format.schema(),
            RowsFrom::Parquet => parquet_schema(&of_files, &location)?,
        };
        let partitioning = Partitioning::new(&in_folders, spec.schema.as_ref(), &schema);
        let schema = partitioning.as_ref().map_or(schema, |partitioning| Arc::clone(&partitioning.schema));
        let counters = Arc::default();
        Ok(Self { location, rows, schema, partitioning, customer_from, max_line_bytes, poll, feed, counters })
    }

    /// Rotations and truncations of followed files.
    pub fn counters(&self) -> &FollowCounters {
        &self.counters
    }

    fn workers(&self, built: Option<&[usize]>, columns: &Columns, options: &ReadOptions) -> Result<Vec<Worker>> {
        let one = || {
            let decoders = match &self.rows {
                RowsFrom::Lines(format) | RowsFrom::Csv(format) => {
                    Some((format.decoder(built)?, format.decoder(Some(&[]))?))
                }
                RowsFrom::Parquet => None,
            };
            Ok(Worker::new(decoders, EventTime::new(columns.clone(), options)).with_directive(self.rows.directive()))
        };
        (0..options.threads.max(1)).map(|_| one()).collect()
    }
}

impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn is_customer_of_input(&self, column: &str) -> bool {
        let RowsFrom::Lines(format) = &self.rows else { return false };
        column == "customer" && self.partitioning.is_none() && format.customer_is_input()
    }

    fn fingerprint(&self) -> Result<Option<String>> {
        use std::fmt::Write;
        if !matches!(self.location, Location::File(_) | Location::Folder(_) | Location::Glob(_)) {
            return Ok(None);
        }
        let paths = self.location.paths()?;
        if paths.is_empty() {
            return Err(self.location.nothing());
        }
        let mut text = String::new();
        for path in paths {
            let about = std::fs::metadata(&path).and_then(|about| Ok((about.len(), about.modified()?)));
            let (bytes, modified) = about.map_err(|error| super::unreadable(&path, &error))?;
            // writing to a text does not fail
            let _ = write!(text, "{} {bytes} {modified:?};", path.display());
        }
        Ok(Some(text))
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        let columns = Columns::new(&self.schema, options)?;
        let (built, layout) = match &self.partitioning {
            Some(partitioning) => {
                let (built, layout) = partitioning.plan(columns.built.as_deref())?;
                (Some(built), Some(layout))
            }
            None => (columns.built.clone(), None),
        };
        let pool = Pool::new(options.threads == 0, self.workers(built.as_deref(), &columns, options)?)?;
        let of_files = self.partitioning.as_ref().map_or_else(|| Arc::clone(&self.schema), Partitioning::of_files);
        let wanted = match &built {
            Some(built) => Arc::new(of_files.project(built)?),
            None => of_files,
        };
        let maker = InputMaker {
            rows: self.rows.clone(),
            wanted,
            layout,
            customer_from: self.customer_from.clone(),
            limits: Limits::new(options.block_bytes, self.max_line_bytes),
            follow: options.follow,
            known: Arc::default(),
            counters: Arc::clone(&self.counters),
        };
        let growth = options.follow.then(|| Growth::new(self.location.clone(), self.poll));
        let mut reader = FileReader::new(pool, options.threads, maker, growth);
        match (&self.feed, &options.resume) {
            (Some(feed), None) if feed.claim() => reader.add_feed(Arc::clone(feed)),
            (Some(_), _) => return Err(self.location.nothing()),
            (None, resume) => {
                let found = Location::inputs(self.location.paths()?)?;
                match resume {
                    Some(position) => reader.resume(position)?,
                    None if found.is_empty() && !(options.follow && self.location.may_grow()) => {
                        return Err(self.location.nothing());
                    }
                    None => {}
                }
                let resumed = reader.names();
                for found in found {
                    // a file that was rotated, or that is called otherwise now, is known under its former name
                    let known = resumed.contains(&found.name()) || (resume.is_some() && reader.was_read(&found));
                    if !known {
                        reader.add(found);
                    }
                }
            }
        }
        Ok(Box::new(reader))
    }

    fn bytes_total(&self) -> Option<u64> {
        let found = self.location.paths().and_then(Location::inputs).ok()?;
        (!found.is_empty()).then(|| found.iter().map(Found::bytes).sum())
    }
}

/// Standard input exists once in a process.
fn stdin() -> Arc<Feed> {
    static STDIN: OnceLock<Arc<Feed>> = OnceLock::new();
    Arc::clone(STDIN.get_or_init(|| Feed::start(std::io::stdin())))
}

/// The columns that stand in folders: those that are named, else those of the first file that the table may have.
fn partition_names(spec: &TableSpec, location: &Location, setting: Option<&str>) -> Result<Vec<String>> {
    if !matches!(spec.format.as_str(), "JSON" | "CSV" | "PARQUET") {
        // a log of requests has its own columns; its customer is found in the folder all the same
        return setting.map_or(Ok(Vec::new()), |_| {
            let message = format!("a table of {} has the columns of a request, none from folders", spec.format);
            Err(Error::unsupported(message)
                .hint("leave out 'partition_by'; a folder customer=… is its customer anyway"))
        });
    }
    let declared = |name: &str| spec.schema.as_ref().is_none_or(|schema| schema.column_with_name(name).is_some());
    match setting {
        Some("off") => Ok(Vec::new()),
        Some(text) => {
            let names = partition::names(text)?;
            match names.iter().find(|name| !declared(name)) {
                Some(name) => Err(Error::usage(format!("column '{name}' of 'partition_by' is not declared"))),
                None => Ok(names),
            }
        }
        None => {
            let folders = location.paths()?.first().map(|path| partition::of_path(path)).unwrap_or_default();
            let mut names: Vec<String> = Vec::new();
            for (name, _) in folders {
                if declared(&name) && !names.contains(&name) {
                    names.push(name);
                }
            }
            Ok(names)
        }
    }
}

fn rows_from(spec: &TableSpec, location: &Location, feed: Option<&Feed>, settings: &mut Settings) -> Result<RowsFrom> {
    if spec.format == "PARQUET" {
        return match feed {
            Some(_) => Err(Error::unsupported("Parquet can't be read from standard input").hint("name its file")),
            None => Ok(RowsFrom::Parquet),
        };
    }
    let needs_sample = match spec.format.as_str() {
        "JSON" | "CSV" => spec.schema.is_none(),
        "REQUESTS" => true,
        _ => false,
    };
    let sample = match feed {
        // waiting for lines is worth it only where the table depends on them
        Some(feed) if needs_sample => Some(feed.sample(SAMPLE_BYTES)),
        Some(_) => None,
        None => sample_of(location, SAMPLE_BYTES)?,
    };
    if sample.is_none() && needs_sample {
        return Err(location.nothing().hint("there must be lines before the columns can be found out"));
    }
    if spec.format == "CSV" {
        let format = super::csv::CsvFormat::new(spec.schema.clone(), sample.as_deref().unwrap_or_default(), settings)?;
        return Ok(RowsFrom::Csv(Arc::new(format)));
    }
    let format = fyke_formats::format(&spec.format, spec.schema.clone(), sample.as_deref(), settings)?;
    Ok(RowsFrom::Lines(format))
}

fn parquet_schema(spec: &TableSpec, location: &Location) -> Result<SchemaRef> {
    if let Some(schema) = &spec.schema {
        return Ok(Arc::clone(schema));
    }
    match location.paths()?.first() {
        Some(first) => parquet::schema_of(first),
        None => Err(location.nothing().hint("declare the columns to follow a folder that is still empty")),
    }
}

/// The first bytes (decompressed) of the first file at `location` that is not empty: what a format is guessed from.
///
/// # Errors
/// `Usage` where nothing is there, `Unavailable` where it can't be read. Standard input gives nothing here.
pub fn sample(location: &str, bytes: usize) -> Result<Vec<u8>> {
    let location = Location::new(location);
    if location == Location::Stdin {
        return Ok(stdin().sample(bytes));
    }
    sample_of(&location, bytes)?.ok_or_else(|| location.nothing())
}

fn sample_of(location: &Location, bytes: usize) -> Result<Option<Vec<u8>>> {
    let found = Location::inputs(location.paths()?)?;
    let exists = !found.is_empty();
    for found in found.into_iter().filter(|found| found.entry.is_some() || handle::is_regular(&found.path)) {
        let sample = first_bytes(found.path, found.entry, bytes)?;
        if !sample.is_empty() {
            return Ok(Some(sample));
        }
    }
    Ok(exists.then(Vec::new))
}

fn first_bytes(path: PathBuf, entry: Option<compression::Entry>, bytes: usize) -> Result<Vec<u8>> {
    let mut from = FileBytes::new(path.clone(), entry, Arc::new(AtomicU64::new(0)));
    let (mut sample, mut filled) = (vec![0; bytes], 0);
    while let Some(into) = sample.get_mut(filled..).filter(|into| !into.is_empty()) {
        match from.read(into) {
            Ok(Got::Bytes(read)) => filled += read,
            Ok(_) => break,
            // what can be read of a corrupt file is sample enough; its reading will tell
            Err(_) if filled > 0 => break,
            Err(error) => return Err(super::unreadable(&path, &error)),
        }
    }
    sample.truncate(filled);
    Ok(sample)
}

/// Makes inputs of what is found: all that a reading needs to know beside the path.
pub(super) struct InputMaker {
    rows: RowsFrom,
    /// What is read of a Parquet file.
    wanted: SchemaRef,
    layout: Option<Layout>,
    customer_from: CustomerFrom,
    limits: Limits,
    follow: bool,
    known: Arc<Known>,
    counters: Arc<FollowCounters>,
}

impl InputMaker {
    /// The name of the customer.
    pub(super) fn customer(&self, found: &Found) -> String {
        self.customer_from.of(found)
    }

    /// Whether a file that appeared while following was read under another name.
    pub(super) fn was_read(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| self.known.was_read(path, &metadata))
    }

    /// Which files were read under other names.
    pub(super) fn known(&self) -> SavedKnown {
        self.known.save()
    }

    /// Adds what another reading knew.
    pub(super) fn restore(&self, known: SavedKnown) {
        self.known.restore(known);
    }

    /// The rest of an input that was given in part.
    ///
    /// # Errors
    /// `Data` where it can't be found.
    pub(super) fn rest(&self, given: &SavedInput) -> Result<(Arc<Mutex<Stream>>, Arc<AtomicU64>)> {
        let read = Arc::new(AtomicU64::new(0));
        let entry = match &given.entry {
            Some(name) if !given.ended => {
                compression::entries(&given.path)?.into_iter().find(|entry| entry.name == *name)
            }
            _ => None,
        };
        let found = Found { path: given.path.clone(), entry };
        let bytes = || FileBytes::new(found.path.clone(), found.entry.clone(), Arc::clone(&read));
        if given.ended {
            let ended = self.lines(given.name(), Box::new(bytes()));
            return Ok((Arc::new(Mutex::new(Stream::new(ended))), read));
        }
        let content = match (&self.rows, self.grows(&found)) {
            (RowsFrom::Parquet, _) => {
                let rows = ParquetRows::new(found.path.clone(), Arc::clone(&self.wanted), Arc::clone(&read));
                Content::Rows(rows.resumed(given.offset))
            }
            (rows, grows) => {
                let from: Box<dyn ByteSource> = if grows {
                    given.rest_of_tail(|from| {
                        let (known, counters) = (Arc::clone(&self.known), Arc::clone(&self.counters));
                        let (path, read) = (found.path.clone(), Arc::clone(&read));
                        match from {
                            Some(from) => Tail::resumed(path, known, counters, read, from),
                            None => Tail::new(path, known, counters, read),
                        }
                    })?
                } else {
                    Box::new(given.rest_of_file(bytes())?)
                };
                let header = match rows.heading() {
                    Heading::FirstLine if given.offset > 0 => Some(Arc::from(given.first_line()?)),
                    Heading::Directive(_) => given.directive.as_ref().map(|line| Arc::from(line.as_bytes())),
                    _ => None,
                };
                self.blocks(given.name(), from, given.offset, header)
            }
        };
        let stream = Stream::new(content).assembled(self.layout.as_ref().map(|layout| layout.of(&given.path)));
        Ok((Arc::new(Mutex::new(stream)), read))
    }

    /// The input's content, and where the number of its bytes read is counted.
    pub(super) fn stream(&self, found: Found) -> (Arc<Mutex<Stream>>, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        let name = found.name();
        // a resumed reading must know it again, whatever its location is spelt like then
        if let Ok(metadata) = std::fs::metadata(&found.path) {
            self.known.add(identity(&metadata));
        }
        let assembly = self.layout.as_ref().map(|layout| layout.of(&found.path));
        let content = match (&self.rows, self.grows(&found)) {
            (RowsFrom::Parquet, _) => {
                Content::Rows(ParquetRows::new(found.path, Arc::clone(&self.wanted), Arc::clone(&read)))
            }
            (_, true) => {
                let (known, counters) = (Arc::clone(&self.known), Arc::clone(&self.counters));
                self.lines(name, Box::new(Tail::new(found.path, known, counters, Arc::clone(&read))))
            }
            (_, false) => self.lines(name, Box::new(FileBytes::new(found.path, found.entry, Arc::clone(&read)))),
        };
        (Arc::new(Mutex::new(Stream::new(content).assembled(assembly))), read)
    }

    /// Standard input's content.
    pub(super) fn feed(&self, feed: Arc<Feed>) -> Arc<Mutex<Stream>> {
        let content = self.lines("standard input".to_owned(), Box::new(FeedBytes::new(feed)));
        Arc::new(Mutex::new(Stream::new(content)))
    }

    fn lines(&self, name: String, from: Box<dyn ByteSource>) -> Content {
        self.blocks(name, from, 0, None)
    }

    fn blocks(&self, name: String, from: Box<dyn ByteSource>, offset: u64, header: Option<Arc<[u8]>>) -> Content {
        let blocks = Blocks::new(name, from, self.limits, self.follow).with_heading(self.rows.heading());
        Content::Lines(blocks.resumed(offset, header))
    }

    /// Whether lines may be appended: compressed files, archives and objects are complete.
    fn grows(&self, found: &Found) -> bool {
        let compressed = || compression::detect(&found.path).is_ok_and(|codec| codec.is_some());
        self.follow
            && !objects::is_object(&found.path)
            && found.entry.is_none()
            && !compression::is_compressed_name(&found.path)
            && !compressed()
    }
}
