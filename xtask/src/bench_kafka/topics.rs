//! Records of the bench into topics and out of them.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fyke_testbed::Kafka;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

/// A topic for each customer.
pub const TOPICS: [&str; 4] = ["logs.shop-alpha", "logs.news-beta", "logs.bank-gamma", "logs.travel-delta"];
/// Partitions of each.
pub const PARTITIONS: i32 = 2;

/// Records taken at once.
const BATCH: usize = 1024;

/// What was read.
pub struct Drained {
    /// Records.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// The file of a topic's records.
pub fn file_of(logs: &Path, topic: &str) -> std::path::PathBuf {
    logs.join(format!("{}.json", topic.trim_start_matches("logs.")))
}

/// Sends each customer's lines, in turn to the partitions of its topic.
pub fn produce(kafka: &Kafka, logs: &Path) -> Result<()> {
    let mut config = kafka.client();
    config.set("linger.ms", "20").set("queue.buffering.max.messages", "200000");
    let producer: BaseProducer = config.create()?;
    for topic in TOPICS {
        for (at, line) in BufReader::new(File::open(file_of(logs, topic))?).lines().enumerate() {
            send(&producer, topic, at, line?.as_bytes())?;
        }
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}

/// Sends one line; waits while the queue is full.
pub fn send(producer: &BaseProducer, topic: &str, at: usize, line: &[u8]) -> Result<()> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(line).partition((at % PARTITIONS as usize) as i32);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                producer.poll(Duration::from_millis(1));
                record = again;
            }
            Err((error, _)) => bail!(error),
        }
    }
}

/// Reads all that the topics hold now, with the settings and the batched call of Fyke's source, and does nothing with it.
pub fn drain(brokers: &str) -> Result<Drained> {
    let consumer = reader(brokers, &TOPICS)?;
    let mut drained = Drained { records: 0, bytes: 0 };
    let (mut left, mut came) = (TOPICS.len() * PARTITIONS as usize, Instant::now());
    let mut messages: Vec<*mut native::rd_kafka_message_t> = vec![std::ptr::null_mut(); BATCH];
    // SAFETY: the client lives until the end of this function, where the queue is given back.
    let queue = unsafe { native::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    while left > 0 {
        // the call waits until its array is full or its time is over
        // SAFETY: there is room for BATCH pointers; each message that the call gave is read and destroyed once.
        let taken = unsafe {
            let taken = native::rd_kafka_consume_batch_queue(queue, 5, messages.as_mut_ptr(), BATCH);
            for message in messages.iter().take(usize::try_from(taken).unwrap_or(0)) {
                match RDKafkaErrorCode::from((**message).err) {
                    RDKafkaErrorCode::NoError => {
                        drained.records += 1;
                        drained.bytes += (**message).len as u64;
                    }
                    RDKafkaErrorCode::PartitionEOF => left -= 1,
                    code => bail!(code),
                }
                native::rd_kafka_message_destroy(*message);
            }
            taken
        };
        if taken > 0 {
            came = Instant::now();
        } else if came.elapsed() > Duration::from_secs(10) {
            bail!("nothing came for ten seconds");
        }
    }
    // SAFETY: see above.
    unsafe { native::rd_kafka_queue_destroy(queue) };
    Ok(drained)
}

/// Writes a topic's values to a file, one a line.
pub fn save(brokers: &str, topic: &str, path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    to_end(brokers, &[topic], &mut |value| {
        file.write_all(value)?;
        Ok(file.write_all(b"\n")?)
    })?;
    Ok(file.flush()?)
}

/// A consumer of all partitions, from their beginning.
fn reader(brokers: &str, topics: &[&str]) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "bench").set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
    config.set("fetch.queue.backoff.ms", "5").set("fetch.wait.max.ms", "100");
    // as the source's 64 MB over eight partitions
    config.set("queued.min.messages", "1000000").set("queued.max.messages.kbytes", "8000");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

fn to_end(brokers: &str, topics: &[&str], give: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let consumer = reader(brokers, topics)?;
    let mut left = topics.len() * PARTITIONS as usize;
    while left > 0 {
        match consumer.poll(Duration::from_secs(10)) {
            Some(Ok(message)) => give(message.payload().unwrap_or_default())?,
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => bail!(error),
            None => bail!("nothing came for ten seconds"),
        }
    }
    Ok(())
}
