//! Lines into topics, and what a reader of committed records sees.

#![allow(dead_code, reason = "each test binary uses another part of it")]

use std::time::{Duration, Instant};

use fyke_testbed::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

/// Sends lines, in turn to the partitions; `from` is the first one's number in its topic.
pub fn send(kafka: &Kafka, topic: &str, partitions: usize, from: usize, lines: &[String]) {
    let producer: BaseProducer = kafka.client().set("enable.idempotence", "true").create().expect("a producer");
    for (at, line) in (from..).zip(lines) {
        let record = BaseRecord::<str, str>::to(topic).payload(line).partition((at % partitions) as i32);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(30)).expect("sent");
}

/// The committed records of a topic.
pub fn committed(kafka: &Kafka, topic: &str) -> Vec<String> {
    committed_with_times(kafka, topic).into_iter().map(|(value, _)| value).collect()
}

/// The committed records of a topic, with the records' times in milliseconds.
pub fn committed_with_times(kafka: &Kafka, topic: &str) -> Vec<(String, i64)> {
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
                let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
                found.push((value, message.timestamp().to_millis().unwrap_or_default()));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    found
}
