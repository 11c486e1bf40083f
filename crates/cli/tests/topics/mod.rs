//! Lines into topics, and what a reader of committed records sees.

#![allow(dead_code, reason = "each test binary uses another part of it")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fyke_testbed::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

/// Sends to topics.
pub struct Writer(BaseProducer);

impl Writer {
    pub fn new(kafka: &Kafka) -> Self {
        Self(kafka.client().set("enable.idempotence", "true").set("linger.ms", "1").create().expect("a producer"))
    }

    /// Queues a value.
    pub fn put(&self, topic: &str, partition: usize, value: &[u8]) {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value).partition(partition as i32);
        while let Err((error, again)) = self.0.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            self.0.poll(Duration::from_millis(1));
            record = again;
        }
        self.0.poll(Duration::ZERO);
    }

    /// Waits until all is there.
    pub fn flush(&self) {
        self.0.flush(Duration::from_secs(30)).expect("sent");
    }

    /// Sends lines, in turn to the partitions; `from` is the first one's number in its topic.
    pub fn send(&self, topic: &str, partitions: usize, from: usize, lines: &[String]) {
        (from..).zip(lines).for_each(|(at, line)| self.put(topic, at % partitions, line.as_bytes()));
        self.flush();
    }
}

/// Sends lines, in turn to the partitions; `from` is the first one's number in its topic.
pub fn send(kafka: &Kafka, topic: &str, partitions: usize, from: usize, lines: &[String]) {
    Writer::new(kafka).send(topic, partitions, from, lines);
}

/// A committed record.
#[derive(Debug, Clone)]
pub struct Record {
    pub partition: i32,
    pub key: Option<String>,
    /// None: a tombstone.
    pub value: Option<String>,
    /// Milliseconds.
    pub time: i64,
}

/// The committed records' values of a topic.
pub fn committed(kafka: &Kafka, topic: &str) -> Vec<String> {
    committed_with_times(kafka, topic).into_iter().map(|(value, _)| value).collect()
}

/// The same with the records' times in milliseconds.
pub fn committed_with_times(kafka: &Kafka, topic: &str) -> Vec<(String, i64)> {
    records(kafka, topic).into_iter().map(|record| (record.value.unwrap_or_default(), record.time)).collect()
}

/// What a consumer holds that keeps the last value of each key and forgets keys without one.
pub fn last_by_key(records: &[Record]) -> BTreeMap<String, String> {
    let mut held = BTreeMap::new();
    let mut partitions = BTreeMap::new();
    for Record { partition, key, value, .. } in records {
        let key = key.clone().expect("a key");
        let first = *partitions.entry(key.clone()).or_insert(*partition);
        assert_eq!(first, *partition, "the records of {key} are in order: they are in one partition");
        match value {
            Some(value) => _ = held.insert(key, value.clone()),
            None => _ = held.remove(&key),
        }
    }
    held
}

/// The committed records of a topic, each partition's in their order.
pub fn records(kafka: &Kafka, topic: &str) -> Vec<Record> {
    let mut config = kafka.client();
    config.set("group.id", "reader").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.set("isolation.level", "read_committed").create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).expect("metadata");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("added");
    }
    consumer.assign(&list).expect("assigned");
    let (mut found, mut left) = (Vec::new(), list.count());
    let began = Instant::now();
    while left > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the end of {topic} did not come");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                found.push(Record {
                    partition: message.partition(),
                    key: text(message.key()),
                    value: text(message.payload()),
                    time: message.timestamp().to_millis().unwrap_or_default(),
                });
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            // a connection was lost; the client makes another, and the time above is its limit
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
            ))) => {}
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    found
}
