//! How fast topics become rows, against the floor: a client that only drains them. In turn, in one process.
//! `cargo run --release -p fyke-connect --example kafka_speed -- [RECORDS] [THREADS]`

#![expect(clippy::print_stdout, reason = "a command line")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema};
use fyke_connect::KafkaConnector;
use fyke_testbed::Kafka;
use fyke_types::window::TIME;
use fyke_types::{Connector, Event, ReadOptions, SystemClock, TableSpec};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

type Failure = Box<dyn std::error::Error>;

const TOPICS: [&str; 4] = ["speed.a", "speed.b", "speed.c", "speed.d"];
const PARTITIONS: i32 = 2;
const RUNS: usize = 5;
const LONG: Duration = Duration::from_secs(120);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let records: usize = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let threads: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let kafka = Kafka::start()?;
    let bytes = produce(&kafka, records)?;
    println!("{records} records of {} bytes in {} topics of {PARTITIONS} partitions", bytes / records, TOPICS.len());
    let (mut floor, mut rows) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        floor.push(drain(&kafka, records)?);
        rows.push(read(&kafka, records, threads)?);
    }
    let (floor, rows) = (median(&mut floor), median(&mut rows));
    println!(
        "drained in {floor:.3} s, rows in {rows:.3} s ({threads} threads): {:.2} of the floor's rate",
        floor / rows
    );
    Ok(())
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

fn produce(kafka: &Kafka, records: usize) -> Result<usize, Failure> {
    for topic in TOPICS {
        kafka.create_topic(topic, PARTITIONS, &[])?;
    }
    let mut config = kafka.client();
    config.set("linger.ms", "50").set("batch.size", "1000000").set("queue.buffering.max.messages", "2000000");
    let producer: BaseProducer = config.create()?;
    let mut bytes = 0;
    for at in 0..records {
        let (topic, partition) = (TOPICS[at % TOPICS.len()], (at / TOPICS.len()) as i32 % PARTITIONS);
        let value = line(at);
        bytes += value.len();
        loop {
            let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(&value);
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(20));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
    producer.flush(LONG)?;
    Ok(bytes)
}

/// A request of about 300 bytes.
fn line(at: usize) -> String {
    let (hour, minute, second) = (at / 360_000 % 24, at / 6_000 % 60, at / 100 % 60);
    format!(
        "{{\"time\":\"2026-03-02T{hour:02}:{minute:02}:{second:02}.{:03}Z\",\"host\":\"shop{}.example.com\",\"client_ip\":\"10.{}.{}.{}\",\
         \"method\":\"GET\",\"path\":\"/catalogue/items/{}/details\",\"status\":{},\"bytes\":{},\"referrer\":\"https://shop.example.com/catalogue\",\
         \"agent\":\"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\",\"duration\":0.0{}}}",
        at % 100 * 10,
        at % 4,
        at % 3,
        at / 7 % 250,
        at % 251,
        at * 7 % 9_973,
        if at.is_multiple_of(17) { 404 } else { 200 },
        at * 31 % 60_000,
        at % 97
    )
}

fn drain(kafka: &Kafka, records: usize) -> Result<f64, Failure> {
    let mut config = kafka.client();
    config.set("group.id", "floor").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for topic in TOPICS {
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    let started = Instant::now();
    consumer.assign(&list)?;
    let (mut count, mut bytes) = (0, 0);
    while count < records {
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            bytes += record?.payload().map_or(0, <[u8]>::len);
            count += 1;
        }
    }
    assert!(bytes > 0);
    Ok(started.elapsed().as_secs_f64())
}

fn read(kafka: &Kafka, records: usize, threads: usize) -> Result<f64, Failure> {
    let columns = [
        ("time", TIME),
        ("host", DataType::Utf8),
        ("client_ip", DataType::Utf8),
        ("path", DataType::Utf8),
        ("status", DataType::Int32),
        ("bytes", DataType::Int64),
    ];
    let fields: Vec<Field> = columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    let spec = TableSpec {
        name: "speed".into(),
        format: "KAFKA".into(),
        location: kafka.bootstrap(),
        schema: Some(Arc::new(Schema::new(fields))),
        options: BTreeMap::from([("topic".to_owned(), TOPICS.join(","))]),
    };
    let source = KafkaConnector.source(&spec)?;
    let started = Instant::now();
    let mut reader = source.open(&ReadOptions {
        projection: None,
        event_time: Some(0),
        max_ahead: 365 * 86_400_000_000,
        follow: false,
        threads,
        block_bytes: 1 << 20,
        clock: Arc::new(SystemClock),
        resume: None,
    })?;
    let mut rows = 0;
    loop {
        match reader.next(Duration::from_millis(100))? {
            Event::Rows(found) => rows += found.batch.num_rows(),
            Event::End => break,
            _ => {}
        }
    }
    assert_eq!(rows, records, "every record is a row");
    Ok(started.elapsed().as_secs_f64())
}
