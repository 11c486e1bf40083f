//! The Kafka sink against a real broker: what readers of committed records see, whatever dies when.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use fyke_connect::KafkaConnector;
use fyke_testbed::Kafka;
use fyke_testbed::kafka::KafkaSettings;
use fyke_types::{Connector, PartsOf, Result, Sink, SinkMode, SinkSpec};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Headers;
use rdkafka::{Offset, TopicPartitionList};

/// Rows `from..to`, of three customers in turn.
fn rows(from: i64, to: i64) -> RecordBatch {
    let numbers: Vec<i64> = (from..to).collect();
    let customers = numbers.iter().map(|number| format!("c{}", number % 3));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("customer", Arc::new(StringArray::from_iter_values(customers))),
        ("n", Arc::new(Int64Array::from(numbers.clone()))),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(numbers.iter().map(|number| number * 1_000_000)))),
    ];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

/// A run's output into `topic`, or as `options` say; with a spool in `folder` it has checkpoints.
struct Output<'a> {
    kafka: &'a Kafka,
    folder: Option<&'a Path>,
    options: BTreeMap<String, String>,
}

impl<'a> Output<'a> {
    fn new(kafka: &'a Kafka, folder: Option<&'a Path>, options: &[(&str, &str)]) -> Self {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { kafka, folder, options }
    }

    fn open_of(&self, run: &str, generation: u64, resumed: bool) -> Result<Box<dyn Sink>> {
        let parts = self.folder.map(|folder| PartsOf {
            run: run.to_owned(),
            generation,
            resumed,
            output: "out".to_owned(),
            spool: Some(folder.to_path_buf()),
            every: None,
        });
        KafkaConnector.sink(&SinkSpec {
            format: "KAFKA".into(),
            location: self.kafka.bootstrap(),
            schema: rows(0, 1).schema(),
            unique: None,
            key: None,
            mode: SinkMode::Append,
            options: self.options.clone(),
            parts,
        })
    }

    /// The run is called like its folder, so that tests share a broker.
    fn open(&self, generation: u64, resumed: bool) -> Result<Box<dyn Sink>> {
        let run = self.folder.map(|folder| folder.display().to_string().replace('/', "-")).unwrap_or_default();
        self.open_of(&run, generation, resumed)
    }
}

/// A record as it came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    value: String,
    key: Option<String>,
    partition: i32,
    timestamp: Option<i64>,
    headers: Vec<(String, Option<String>)>,
}

impl Seen {
    fn number(&self) -> i64 {
        let row: serde_json::Value = serde_json::from_str(&self.value).expect("JSON");
        row["n"].as_i64().expect("a number")
    }
}

/// What a topic holds for a reader of that isolation level, to its present end.
fn read(kafka: &Kafka, topic: &str, isolation: &str) -> Vec<Seen> {
    let mut config = kafka.client();
    config.set("group.id", "reader").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.set("isolation.level", isolation).create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).expect("metadata");
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning).expect("added");
    }
    consumer.assign(&list).expect("assigned");
    let (mut seen, mut ended) = (Vec::new(), 0);
    let began = Instant::now();
    while ended < partitions.len() {
        assert!(began.elapsed() < Duration::from_secs(30), "the end of {topic} did not come");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                let headers =
                    message.headers().map(|headers| headers.iter().map(|h| (h.key.to_owned(), text(h.value))));
                seen.push(Seen {
                    value: text(message.payload()).unwrap_or_default(),
                    key: text(message.key()),
                    partition: message.partition(),
                    timestamp: message.timestamp().to_millis(),
                    headers: headers.map(Iterator::collect).unwrap_or_default(),
                });
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    seen
}

fn numbers(kafka: &Kafka, topic: &str, isolation: &str) -> Vec<i64> {
    let mut numbers: Vec<i64> = read(kafka, topic, isolation).iter().map(Seen::number).collect();
    numbers.sort_unstable();
    numbers
}

fn committed(kafka: &Kafka, topic: &str) -> Vec<i64> {
    numbers(kafka, topic, "read_committed")
}

fn shared() -> &'static Kafka {
    Kafka::shared().expect("a broker")
}

fn topic(kafka: &Kafka, name: &str, partitions: i32) {
    kafka.create_topic(name, partitions, &[]).expect("a topic");
}

fn said(result: Result<impl Sized>) -> String {
    result.err().map(|error| error.to_string()).expect("an error")
}

#[test]
fn prepared_rows_are_invisible_until_they_are_committed() {
    let (kafka, folder) = (shared(), tempfile::tempdir().expect("a folder"));
    topic(kafka, "invisible", 2);
    let output = Output::new(kafka, Some(folder.path()), &[("topic", "invisible")]);
    let mut sink = output.open(1, false).expect("open");
    assert_eq!(sink.prepare(1, false).expect("nothing"), None, "a part without rows needs no commit");
    sink.write(&rows(0, 100)).expect("written");
    let prepared = sink.prepare(2, false).expect("prepared").expect("a part");
    assert_eq!(committed(kafka, "invisible"), [0_i64; 0]);
    assert_eq!(numbers(kafka, "invisible", "read_uncommitted"), (0..100).collect::<Vec<_>>());
    sink.commit(&prepared).expect("committed");
    assert_eq!(committed(kafka, "invisible"), (0..100).collect::<Vec<_>>());
    sink.commit(&prepared).expect("asked again, by the same process");
    sink.write(&rows(100, 200)).expect("written");
    let prepared = sink.prepare(3, true).expect("prepared").expect("a part");
    sink.commit(&prepared).expect("committed");
    sink.finish().expect("finished");
    assert_eq!(committed(kafka, "invisible"), (0..200).collect::<Vec<_>>());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a spool").count(), 0, "nothing is left in the spool");
    // somebody has removed the newest checkpoint: its rows can't be taken back
    let told = said(output.open(2, true).expect("open").recover(2));
    assert!(told.contains("rows of checkpoint 3 already"), "{told}");
}

#[test]
fn rows_that_come_while_a_checkpoint_is_on_its_way_belong_to_the_next() {
    let (kafka, folder) = (shared(), tempfile::tempdir().expect("a folder"));
    topic(kafka, "overlap", 2);
    let output = Output::new(kafka, Some(folder.path()), &[("topic", "overlap")]);
    let mut sink = output.open(1, false).expect("open");
    sink.write(&rows(0, 10)).expect("written");
    let first = sink.prepare(2, false).expect("prepared").expect("a part");
    sink.write(&rows(10, 20)).expect("written");
    sink.flush().expect("flushed");
    sink.commit(&first).expect("committed");
    assert_eq!(committed(kafka, "overlap"), (0..10).collect::<Vec<_>>());
    sink.write(&rows(20, 30)).expect("written");
    let second = sink.prepare(3, false).expect("prepared").expect("a part");
    sink.write(&rows(30, 40)).expect("written");
    drop(sink);
    // it died before its second checkpoint was committed: what came after that is read again
    let mut sink = output.open(2, true).expect("open");
    sink.commit(&second).expect("committed");
    sink.recover(3).expect("recovered");
    assert_eq!(committed(kafka, "overlap"), (0..30).collect::<Vec<_>>());
    sink.write(&rows(30, 40)).expect("written");
    let third = sink.prepare(5, true).expect("prepared").expect("a part");
    sink.commit(&third).expect("committed");
    sink.finish().expect("finished");
    assert_eq!(committed(kafka, "overlap"), (0..40).collect::<Vec<_>>());
}

#[test]
fn crash_between_any_two_steps_loses_no_row_and_repeats_none() {
    let kafka = shared();
    for (at, step) in ["write", "prepare", "manifest", "kafka commit", "commit"].iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = format!("crash-{at}");
        topic(kafka, &name, 3);
        let output = Output::new(kafka, Some(folder.path()), &[("topic", &name)]);
        let mut sink = output.open(1, false).expect("open");
        sink.write(&rows(0, 10)).expect("written");
        let first = sink.prepare(2, false).expect("prepared").expect("a part");
        sink.commit(&first).expect("committed");
        // this is what dies after the step
        sink.write(&rows(10, 20)).expect("written");
        let mut manifest = (2, first);
        if at >= 1 {
            let prepared = sink.prepare(3, false).expect("prepared").expect("a part");
            if at >= 2 {
                manifest = (3, prepared);
            }
            if at >= 3 {
                let spool = std::fs::read_dir(folder.path()).expect("a spool").flatten().next().expect("a file").path();
                let bytes = std::fs::read(&spool).expect("read");
                sink.commit(&manifest.1).expect("committed");
                if at == 3 {
                    // it died before it could remove the spool
                    std::fs::write(&spool, bytes).expect("written");
                }
            }
        }
        drop(sink);
        // two more processes, the first of which does not live long
        for generation in 2..=3 {
            let mut sink = output.open(generation, true).expect("open");
            sink.commit(&manifest.1).expect("committed again");
            sink.recover(manifest.0).expect("recovered");
            if generation == 3 {
                // the engine reads again what the checkpoint does not hold
                let again = if manifest.0 == 3 { 20 } else { 10 };
                sink.write(&rows(again, 30)).expect("written");
                let prepared = sink.prepare(6, true).expect("prepared").expect("a part");
                sink.commit(&prepared).expect("committed");
                sink.finish().expect("finished");
            }
        }
        assert_eq!(committed(kafka, &name), (0..30).collect::<Vec<_>>(), "crash after {step}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a spool").count(), 0, "spool after {step}");
    }
}

#[test]
fn older_process_is_told_that_another_has_taken_over() {
    let (kafka, folder) = (shared(), tempfile::tempdir().expect("a folder"));
    topic(kafka, "fenced", 1);
    let output = Output::new(kafka, Some(folder.path()), &[("topic", "fenced")]);
    let mut older = output.open(1, false).expect("open");
    older.write(&rows(0, 10)).expect("written");
    let mut newer = output.open(2, false).expect("open");
    newer.write(&rows(0, 10)).expect("written");
    let prepared = newer.prepare(3, false).expect("prepared").expect("a part");
    newer.commit(&prepared).expect("committed");
    let told = older
        .write(&rows(10, 20))
        .and_then(|()| older.prepare(2, false))
        .and_then(|prepared| older.commit(&prepared.expect("a part")));
    let told = said(told);
    assert!(told.contains("another process has taken over") && told.contains("transactional_id"), "{told}");
    // the newer one was not disturbed
    newer.write(&rows(10, 20)).expect("written");
    let prepared = newer.prepare(4, false).expect("prepared").expect("a part");
    newer.commit(&prepared).expect("committed");
    assert_eq!(committed(kafka, "fenced"), (0..20).collect::<Vec<_>>());
}

#[test]
fn run_that_uses_anothers_transactional_id_ends_the_other() {
    let (kafka, folder) = (shared(), tempfile::tempdir().expect("a folder"));
    topic(kafka, "own-id", 1);
    let options = [("topic", "own-id"), ("transactional_id", "verdicts-of-shop")];
    let output = Output::new(kafka, Some(folder.path()), &options);
    let mut one = output.open_of("one", 1, false).expect("open");
    one.write(&rows(0, 10)).expect("written");
    let prepared = one.prepare(9, false).expect("prepared").expect("a part");
    one.commit(&prepared).expect("committed");
    let folder_of_two = tempfile::tempdir().expect("a folder");
    let of_two = Output::new(kafka, Some(folder_of_two.path()), &options);
    let mut two = of_two.open_of("two", 1, false).expect("open");
    two.write(&rows(10, 20)).expect("written");
    // part 2 of another run is not part 9 of the first
    let prepared = two.prepare(2, false).expect("prepared").expect("a part");
    two.commit(&prepared).expect("committed");
    let told = said(one.write(&rows(90, 95)).and_then(|()| one.prepare(10, false)));
    assert!(told.contains("taken over") && told.contains("run two"), "{told}");
    assert_eq!(committed(kafka, "own-id"), (0..20).collect::<Vec<_>>());
}

#[test]
fn each_row_goes_to_its_topic_with_key_headers_and_time() {
    let kafka = shared();
    topic(kafka, "else", 1);
    let options = [
        ("topic", "verdicts.{customer}"),
        ("create_topics", "true"),
        ("create_partitions", "4"),
        ("other_topic", "else"),
        ("key", "n"),
        ("headers", "customer"),
        ("timestamp", "at"),
        ("compression", "zstd"),
    ];
    let output = Output::new(kafka, None, &options);
    let mut sink = output.open(1, false).expect("open");
    sink.write(&rows(0, 30)).expect("written");
    let strange = StringArray::from(vec!["no topic", "", "../up"]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(strange),
        Arc::new(Int64Array::from(vec![100, 101, 102])),
        Arc::new(TimestampMicrosecondArray::from(vec![0, 0, 0])),
    ];
    sink.write(&RecordBatch::try_new(rows(0, 1).schema(), columns).expect("a batch")).expect("written");
    sink.finish().expect("finished");
    for customer in 0..3 {
        let seen = read(kafka, &format!("verdicts.c{customer}"), "read_committed");
        let mut found: Vec<i64> = seen.iter().map(Seen::number).collect();
        found.sort_unstable();
        assert_eq!(found, (0..30).filter(|number| number % 3 == customer).collect::<Vec<_>>());
        for seen in &seen {
            assert_eq!(seen.key, Some(seen.number().to_string()));
            assert_eq!(seen.headers, [("customer".to_owned(), Some(format!("c{customer}")))]);
            // the client would read 0 as "now"
            assert_eq!(seen.timestamp, Some((seen.number() * 1_000).max(1)));
            assert_eq!(seen.partition, murmur2_partition(seen.number().to_string().as_bytes(), 4));
        }
    }
    // an empty column still makes a topic's name: 'verdicts.'
    assert_eq!(numbers(kafka, "else", "read_committed"), [100, 102]);
    assert_eq!(numbers(kafka, "verdicts.", "read_committed"), [101]);
}

/// Where Java's clients put a key: `Utils.toPositive(Utils.murmur2(key)) % partitions`, written from its description.
fn murmur2_partition(key: &[u8], partitions: i32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    ((hash & 0x7fff_ffff) as i32) % partitions
}

#[test]
fn topic_of_each_row_is_exactly_once_too() {
    let (kafka, folder) = (shared(), tempfile::tempdir().expect("a folder"));
    let options = [("topic_column", "customer"), ("create_topics", "true")];
    let output = Output::new(kafka, Some(folder.path()), &options);
    let mut sink = output.open(1, false).expect("open");
    sink.write(&rows(0, 30)).expect("written");
    let prepared = sink.prepare(2, false).expect("prepared").expect("a part");
    drop(sink);
    let mut sink = output.open(2, true).expect("open");
    sink.commit(&prepared).expect("committed");
    sink.recover(2).expect("recovered");
    sink.finish().expect("finished");
    for customer in 0..3 {
        let expected: Vec<i64> = (0..30).filter(|number| number % 3 == customer).collect();
        assert_eq!(committed(kafka, &format!("c{customer}")), expected);
    }
}

#[test]
fn missing_topic_and_unreachable_broker_are_named() {
    let kafka = shared();
    let told = said(Output::new(kafka, None, &[("topic", "nowhere")]).open(1, false));
    assert!(told.contains("no topic 'nowhere'") && told.contains("'create_topics'"), "{told}");
    let folder = tempfile::tempdir().expect("a folder");
    let told = said(Output::new(kafka, Some(folder.path()), &[("topic", "nowhere")]).open(1, false));
    assert!(told.contains("no topic 'nowhere'"), "{told}");
    let mut sink = Output::new(kafka, None, &[("topic", "to.{customer}")]).open(1, false).expect("open");
    let told = said(sink.write(&rows(0, 1)));
    assert!(told.contains("no topic 'to.c0'"), "{told}");
    for folder in [None, Some(folder.path())] {
        let spec = Output::new(kafka, folder, &[("topic", "t"), ("connect_timeout", "1s")]);
        let mut spec = SinkSpec {
            format: "KAFKA".into(),
            location: "127.0.0.1:1".into(),
            schema: rows(0, 1).schema(),
            unique: None,
            key: None,
            mode: SinkMode::Append,
            options: spec.options,
            parts: None,
        };
        spec.parts = folder.map(|folder| PartsOf {
            run: "r".into(),
            generation: 1,
            resumed: false,
            output: "o".into(),
            spool: Some(folder.to_path_buf()),
            every: None,
        });
        let began = Instant::now();
        let told = said(KafkaConnector.sink(&spec));
        assert!(told.contains("127.0.0.1:1"), "{told}");
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    }
}

#[test]
fn record_that_the_topic_refuses_fails_before_a_checkpoint_has_it() {
    let (kafka, folder) = (shared(), tempfile::tempdir().expect("a folder"));
    kafka.create_topic("small", 1, &[("max.message.bytes", "500")]).expect("a topic");
    let long = RecordBatch::try_new(
        rows(0, 1).schema(),
        vec![
            Arc::new(StringArray::from(vec!["x".repeat(2_000)])) as ArrayRef,
            Arc::new(Int64Array::from(vec![1])),
            Arc::new(TimestampMicrosecondArray::from(vec![0])),
        ],
    )
    .expect("a batch");
    for guarantee in ["exactly_once", "at_least_once"] {
        let output = Output::new(kafka, Some(folder.path()), &[("topic", "small"), ("guarantee", guarantee)]);
        let mut sink = output.open(1, false).expect("open");
        let told = said(sink.write(&long).and_then(|()| sink.prepare(2, false)));
        assert!(told.contains("topic 'small'") && told.contains("max.message.bytes"), "{guarantee}: {told}");
    }
}

/// Sends 0..rows in batches of 100 while `meanwhile` does something to the broker; a part each 1,000 rows.
fn send_while(sink: &mut dyn Sink, total: i64, pause: Duration) {
    let mut part = 2;
    for from in (0..total).step_by(100) {
        sink.write(&rows(from, from + 100)).expect("written");
        sink.flush().expect("flushed");
        if (from + 100) % 1_000 == 0 {
            if let Some(prepared) = sink.prepare(part, false).expect("prepared") {
                sink.commit(&prepared).expect("committed");
            }
            part += 1;
        }
        std::thread::sleep(pause);
    }
    sink.finish().expect("finished");
}

#[test]
fn restart_of_the_broker_in_the_middle_loses_nothing_and_repeats_nothing() {
    let mut kafka = Kafka::start().expect("a broker");
    for name in ["exactly", "at-least"] {
        topic(&kafka, name, 2);
    }
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let exactly = Output::new(&kafka, Some(folders[0].path()), &[("topic", "exactly")]).open(1, false).expect("open");
    let at_least = [("topic", "at-least"), ("guarantee", "at_least_once")];
    let at_least = Output::new(&kafka, Some(folders[1].path()), &at_least).open(1, false).expect("open");
    let threads = [exactly, at_least]
        .map(|mut sink| std::thread::spawn(move || send_while(sink.as_mut(), 20_000, Duration::from_millis(15))));
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(700));
        kafka.kill().expect("killed");
        kafka.restart().expect("restarted");
    }
    for thread in threads {
        thread.join().expect("sent");
    }
    assert!(committed(&kafka, "exactly") == (0..20_000).collect::<Vec<_>>(), "each row once");
    // an idempotent producer repeats nothing as long as it lives
    assert!(committed(&kafka, "at-least") == (0..20_000).collect::<Vec<_>>(), "each row once");
}

#[test]
fn full_queue_holds_the_writer_back_and_loses_nothing() {
    let kafka = Kafka::start().expect("a broker");
    topic(&kafka, "slow", 1);
    let options = [("topic", "slow"), ("kafka.queue.buffering.max.messages", "50")];
    let mut sink = Output::new(&kafka, None, &options).open(1, false).expect("open");
    sink.write(&rows(0, 10)).expect("written");
    kafka.pause().expect("paused");
    let began = Instant::now();
    let writer = std::thread::spawn(move || {
        sink.write(&rows(10, 1_000)).expect("written");
        let took = began.elapsed();
        sink.finish().expect("finished");
        took
    });
    std::thread::sleep(Duration::from_millis(1_500));
    kafka.resume().expect("resumed");
    let took = writer.join().expect("sent");
    assert!(took > Duration::from_millis(1_400), "it did not wait: {took:?}");
    assert_eq!(committed(&kafka, "slow"), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn transaction_that_the_broker_has_ended_is_made_again() {
    let settings = KafkaSettings {
        properties: vec!["transaction.abort.timed.out.transaction.cleanup.interval.ms=100".into()],
        ..KafkaSettings::default()
    };
    let kafka = Kafka::with(&settings).expect("a broker");
    topic(&kafka, "timed-out", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        [("topic", "timed-out"), ("kafka.transaction.timeout.ms", "1000"), ("kafka.socket.timeout.ms", "900")];
    let mut sink = Output::new(&kafka, Some(folder.path()), &options).open(1, false).expect("open");
    // once between two writes, once between prepare and commit
    sink.write(&rows(0, 10)).expect("written");
    std::thread::sleep(Duration::from_millis(2_500));
    sink.write(&rows(10, 20)).expect("written");
    let prepared = sink.prepare(2, false).expect("prepared").expect("a part");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(committed(&kafka, "timed-out"), [0_i64; 0]);
    sink.commit(&prepared).expect("committed");
    assert_eq!(committed(&kafka, "timed-out"), (0..20).collect::<Vec<_>>());
}

#[test]
fn lost_progress_is_said_and_at_least_once_is_the_way_on() {
    let (kafka, folder) = (shared(), tempfile::tempdir().expect("a folder"));
    topic(kafka, "lost", 1);
    let options = [("topic", "lost"), ("transactional_id", "lost-progress")];
    let output = Output::new(kafka, Some(folder.path()), &options);
    let mut sink = output.open(1, false).expect("open");
    sink.write(&rows(0, 10)).expect("written");
    let prepared = sink.prepare(2, false).expect("prepared").expect("a part");
    drop(sink);
    // as after a week: an id that knows nothing of this run
    let forgotten = [("topic", "lost"), ("transactional_id", "lost-progress-2")];
    let forgotten = Output::new(kafka, Some(folder.path()), &forgotten);
    let mut sink = forgotten.open(2, true).expect("open");
    let told = said(sink.commit(&prepared));
    assert!(told.contains("no longer knows") && told.contains("at_least_once"), "{told}");
    drop(sink);
    let told = said(forgotten.open(3, true).expect("open").commit(&prepared));
    assert!(told.contains("no longer knows"), "it does not forget that it does not know: {told}");
    let content = [("topic", "lost"), ("transactional_id", "lost-progress-2"), ("guarantee", "at_least_once")];
    let mut sink = Output::new(kafka, Some(folder.path()), &content).open(4, true).expect("open");
    sink.commit(&prepared).expect("sent");
    sink.recover(2).expect("recovered");
    sink.finish().expect("finished");
    // the first process's transaction is still open: it hides what is behind it until it is ended
    _ = output.open(5, true).expect("open");
    assert_eq!(committed(kafka, "lost"), (0..10).collect::<Vec<_>>());
}
