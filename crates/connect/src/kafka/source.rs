//! A table in Kafka: its columns, and what a reading of it starts from.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke_types::{Error, Format, Micros, ReadOptions, Reader, Result, Settings, Source, TableSpec};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Watch;
use super::cluster::{Cluster, Found, missing};
use super::decode::{Build, Worker};
use super::layout::{From, Layout, Own};
use super::options::{At, Options, Topics};
use super::position::{Saved, SavedPartition};
use super::reader::{KafkaReader, Start};
use super::records::Wanted;
use crate::event_time::{Columns, EventTime};
use crate::files::pool::Pool;

const SAMPLE_BYTES: usize = 256 * 1024;
const SAMPLE_WAIT: Duration = Duration::from_secs(5);
/// What is fetched ahead of a partition is no less.
const QUEUE_KB_MIN: u64 = 1_000;
/// Records fetched ahead, over all partitions.
const QUEUE_RECORDS: usize = 200_000;

/// A table over topics. Its settings are those of [`super::KAFKA_SETTINGS`], and the format's own.
#[derive(Debug)]
pub(super) struct KafkaSource {
    options: Options,
    layout: Layout,
    /// None where values stay as they are.
    format: Option<Arc<dyn Format>>,
}

impl KafkaSource {
    /// A table as `spec` says it. The cluster is asked only where columns must be found out.
    ///
    /// # Errors
    /// `Usage` for wrong or unknown settings.
    pub(super) fn new(spec: &TableSpec) -> Result<Self> {
        let (options, mut settings) = Options::take(spec)?;
        let (name, prefix) = (options.name.clone(), options.record_prefix.clone());
        let declared = spec.schema.as_ref().map(|schema| (schema, Layout::value_columns(schema, &prefix)));
        let (format, value) = match options.format.as_str() {
            "RAW" => (None, raw_columns(&name, declared.as_ref().map(|(_, value)| value))?),
            _ => {
                let format = format_of(&options, declared.as_ref().map(|(_, value)| value), &mut settings)?;
                let schema = format.schema();
                (Some(format), schema)
            }
        };
        settings.finish()?;
        let layout = match declared {
            Some((declared, _)) => Layout::declared(&name, declared, &value, &prefix)?,
            None => Layout::found(&name, &value, &prefix)?,
        };
        Ok(Self { options, layout, format })
    }

    fn workers(&self, columns: &Columns, options: &ReadOptions, bytes: &Arc<AtomicU64>) -> Result<Vec<Worker>> {
        let built: Vec<usize> = match &columns.built {
            Some(built) => built.clone(),
            None => (0..self.layout.from.len()).collect(),
        };
        let from: Vec<From> = built.iter().filter_map(|index| self.layout.from.get(*index).copied()).collect();
        let value = |from: &From| match from {
            From::Value(index) => Some(*index),
            From::Record(_) => None,
        };
        let projection: Vec<usize> = from.iter().filter_map(value).collect();
        let has = |own: Own| from.contains(&From::Record(own));
        let wanted = Wanted {
            raw: self.format.is_none(),
            text_value: self.value_type() == Some(&DataType::Utf8),
            json: self.options.format == "JSON",
            keys: has(Own::Key),
            text_key: self.layout.has_text_key(),
            headers: has(Own::Headers),
        };
        let schema = Arc::new(self.layout.schema.project(&built)?);
        let build =
            Arc::new(Build { schema, from, wanted, block_bytes: options.block_bytes, bytes: Arc::clone(bytes) });
        let one = || {
            let decoders = match &self.format {
                Some(format) => Some((format.decoder(Some(&projection))?, format.decoder(Some(&[]))?)),
                None => None,
            };
            Ok(Worker::new(Arc::clone(&build), decoders, EventTime::new(columns.clone(), options)))
        };
        (0..options.threads.max(1)).map(|_| one()).collect()
    }

    fn value_type(&self) -> Option<&DataType> {
        let at = self.layout.from.iter().position(|from| matches!(from, From::Value(_)))?;
        Some(self.layout.schema.field(at).data_type())
    }
}

impl Source for KafkaSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.layout.schema)
    }

    fn is_customer_of_input(&self, column: &str) -> bool {
        let at = self.layout.schema.index_of(column).ok().and_then(|at| self.layout.from.get(at));
        match at {
            Some(From::Record(Own::Topic)) => self.options.topics.are_customers(),
            Some(From::Value(_)) => {
                column == "customer" && self.format.as_ref().is_some_and(|format| format.customer_is_input())
            }
            _ => false,
        }
    }

    fn open(&self, read: &ReadOptions) -> Result<Box<dyn Reader>> {
        let columns = Columns::new(&self.layout.schema, read)?;
        let options = &self.options;
        let saved = read.resume.as_deref().map(Saved::read).transpose()?.unwrap_or_default().partitions;
        let bounded = !read.follow || options.end.is_some();
        let (asking, found) = find(options)?;
        let partitions: usize = found.topics.values().map(Vec::len).sum();
        let consumer = Arc::new(consumer(options, partitions.max(saved.len()).max(1))?);
        let cluster = Cluster { consumer: &asking, connection: &options.connection, most: options.connect_timeout };
        if !found.missing.is_empty() && (found.topics.is_empty() || !read.follow) && saved.is_empty() {
            return Err(missing(&options.name, &options.connection.brokers, &found.missing, &cluster.names()));
        }
        if let (Topics::Pattern(pattern), true, false) = (&options.topics, found.topics.is_empty(), read.follow) {
            let pattern = format!("matching {}", pattern.as_str());
            return Err(missing(&options.name, &options.connection.brokers, &[pattern], &cluster.names()));
        }
        let all = begin(options, &cluster, &found, saved, bounded)?;
        drop(asking);
        let bytes = Arc::default();
        let pool = Pool::new(read.threads == 0, self.workers(&columns, read, &bytes)?)?;
        let (threads, commits) = (read.threads, options.commits && read.follow);
        let mut reader =
            KafkaReader::new(Start { consumer, options: options.clone(), pool, threads, bounded, commits, bytes });
        reader.add(all)?;
        for topic in &found.missing {
            let error = missing(&options.name, &options.connection.brokers, std::slice::from_ref(topic), &[]);
            reader.tell(None, error);
        }
        if let (Some(every), false) = (options.discover_every, bounded) {
            reader.discover(every)?;
        }
        Ok(Box::new(reader))
    }
}

/// The partitions of a reading: those that were read before with their numbers, then those that are new.
fn begin(
    options: &Options,
    cluster: &Cluster<'_>,
    found: &Found,
    mut all: Vec<SavedPartition>,
    bounded: bool,
) -> Result<Vec<SavedPartition>> {
    let resumed = !all.is_empty();
    let known = |topic: &str, partition: i32| all.iter().any(|p| p.topic == topic && p.partition == partition);
    let places: Vec<_> = found.places().into_iter().filter(|(topic, partition)| !known(topic, *partition)).collect();
    // what appeared while nobody read is read from its beginning
    let start = if resumed { &At::Earliest } else { &options.start };
    let starts = cluster.offsets(&places, start, &At::Earliest)?;
    // a bounded run that was killed ends where it would have ended; what a live one has read ends where it ends now
    let endless = all.iter().filter(|known| bounded && !known.ended && known.end.is_none());
    let endless: Vec<(String, i32)> = endless.map(|known| (known.topic.clone(), known.partition)).collect();
    let ends = match bounded {
        true => {
            let of: Vec<(String, i32)> = places.iter().chain(&endless).cloned().collect();
            cluster.offsets(&of, options.end.as_ref().unwrap_or(&At::Latest), &At::Latest)?
        }
        false => Default::default(),
    };
    for known in &mut all {
        let place = (known.topic.clone(), known.partition);
        if endless.contains(&place) {
            known.end = ends.get(&place).copied();
        }
    }
    for place in places {
        let Some(customer) = options.topics.customer(&place.0) else { continue };
        let (next, end) = (starts.get(&place).copied().unwrap_or(0), ends.get(&place).copied());
        let (latest, ended) = (Micros::MIN, false);
        all.push(SavedPartition { topic: place.0, partition: place.1, customer, next, end, latest, ended });
    }
    Ok(all)
}

/// What there is to read, and the client that was asked.
fn find(options: &Options) -> Result<(BaseConsumer<Watch>, Found)> {
    let asking = consumer(options, 1)?;
    let cluster = Cluster { consumer: &asking, connection: &options.connection, most: options.connect_timeout };
    let found = cluster.find(&options.topics)?;
    Ok((asking, found))
}

/// A client that reads so many partitions.
fn consumer(options: &Options, partitions: usize) -> Result<BaseConsumer<Watch>> {
    let group = format!("fyke-{}", options.name.trim_start_matches("table "));
    let queue_kb = (options.queue_bytes / 1_000 / partitions as u64).max(QUEUE_KB_MIN).to_string();
    // a queued record costs some 250 bytes beside its own
    let queue_records = (QUEUE_RECORDS / partitions).max(1_000).to_string();
    let mut config = options.connection.config(&[
        ("group.id", &group),
        ("isolation.level", "read_committed"),
        // a full queue is looked at again soon, and an empty partition says so soon
        ("fetch.queue.backoff.ms", "5"),
        ("fetch.wait.max.ms", "100"),
        ("queued.min.messages", &queue_records),
        ("queued.max.messages.kbytes", &queue_kb),
    ]);
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true").set("auto.offset.reset", "error");
    let watch = options.connection.watch();
    config.create_with_context(watch.clone()).map_err(|error| options.connection.refused(&error, &watch))
}

fn raw_columns(name: &str, declared: Option<&SchemaRef>) -> Result<SchemaRef> {
    let own = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]));
    let Some(declared) = declared else { return Ok(own) };
    let fits =
        |field: &Field| field.name() == "value" && matches!(field.data_type(), DataType::Utf8 | DataType::Binary);
    match declared.fields().iter().find(|field| !fits(field)) {
        Some(field) => {
            Err(Error::usage(format!("{name} is raw and declares '{}' as {}", field.name(), field.data_type()))
                .hint("raw values have one column, value VARCHAR or value BYTEA; for others set 'format'"))
        }
        None => Ok(Arc::clone(declared)),
    }
}

fn format_of(options: &Options, declared: Option<&SchemaRef>, settings: &mut Settings) -> Result<Arc<dyn Format>> {
    let known = || fyke_formats::format_names().collect::<Vec<_>>().join(", ");
    if !fyke_formats::format_names().any(|name| name == options.format) {
        return Err(Error::usage(format!("'format' of {} is '{}'", options.name, options.format.to_lowercase()))
            .hint(format!("known formats: RAW, {}", known())));
    }
    let needs_sample = match options.format.as_str() {
        "JSON" => declared.is_none(),
        name => name == "REQUESTS",
    };
    let sample = if needs_sample { Some(sample(options)?) } else { None };
    if sample.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::usage(format!("the columns of {} can't be found out: its topics are empty", options.name))
            .hint("declare the columns"));
    }
    // a record's own columns are no format's: declared alone they ask nothing of the values
    let declared = declared.filter(|declared| !declared.fields().is_empty() || options.format == "JSON").cloned();
    fyke_formats::format(&options.format, declared, sample.as_deref(), settings)
}

/// The first values of the topics as lines, to find out what they look like.
fn sample(options: &Options) -> Result<Vec<u8>> {
    let (asking, found) = find(options)?;
    let cluster = Cluster { consumer: &asking, connection: &options.connection, most: options.connect_timeout };
    let places = found.places();
    if places.is_empty() {
        let absent = if found.missing.is_empty() { vec!["that matches".to_owned()] } else { found.missing.clone() };
        return Err(missing(&options.name, &options.connection.brokers, &absent, &cluster.names()));
    }
    let (starts, ends) =
        (cluster.offsets(&places, &At::Earliest, &At::Earliest)?, cluster.offsets(&places, &At::Latest, &At::Latest)?);
    let mut list = TopicPartitionList::new();
    let mut left = 0;
    for (place, start) in starts.iter().filter(|(place, start)| ends.get(*place) > Some(*start)) {
        list.add_partition_offset(&place.0, place.1, Offset::Offset(*start))
            .map_err(|error| Error::internal("an offset can't be assigned").detail(error))?;
        left += 1;
    }
    if left == 0 {
        return Ok(Vec::new());
    }
    asking.assign(&list).map_err(|error| options.connection.refused(&error, asking.client().context()))?;
    let (mut lines, started) = (Vec::new(), Instant::now());
    while left > 0 && lines.len() < SAMPLE_BYTES && started.elapsed() < SAMPLE_WAIT {
        match asking.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                let value = record.payload().unwrap_or_default();
                // JSON over several lines is one line of a sample
                lines.extend(value.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
                lines.push(b'\n');
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => left -= 1,
            _ => {}
        }
    }
    Ok(lines)
}
