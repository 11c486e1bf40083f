//! How soon a request is in an early row of its client: from the moment that it is handed to the producer to the moment
//! that a reader has a row which counts it.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fyke_testbed::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;

use super::fyke_run;
use super::latency::{Arrival, MINUTE_US, WARM_UP, end, micros, pace};
use super::topics::{PARTITIONS, TOPICS};

/// For the table.
pub(super) const WHAT: &str = "update mode every 10 ms, at least once: each request to the first row that counts it";

/// Minute, customer, address, agent.
type Client = (i64, String, String, String);

fn client(row: &Value, time: &str) -> Result<Client> {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let minute = micros(time).context("a row without time")?.div_euclid(MINUTE_US);
    Ok((minute, text("host"), text("remote_addr"), text("user_agent")))
}

/// One live run; milliseconds of each request, sorted.
pub(super) fn live(kafka: &Kafka, binary: &Path, prefix: &str, records: &[Arrival]) -> Result<Vec<f64>> {
    let topics: Vec<String> = TOPICS.iter().map(|topic| format!("{prefix}.{topic}")).collect();
    let out = format!("{prefix}-out");
    topics.iter().try_for_each(|topic| kafka.create_topic(topic, PARTITIONS, &[]))?;
    kafka.create_topic(&out, 1, &[])?;
    // parsed ahead: the producer has a rate to keep
    let clients = records.iter().map(|record| {
        let row: Value = serde_json::from_slice(&record.line)?;
        client(&row, row["time"].as_str().unwrap_or_default())
    });
    let clients = clients.collect::<Result<Vec<Client>>>()?;
    let mut command = fyke_run(binary, kafka, "live_early.sql", &out);
    command.arg("--set").arg(format!("TOPICS={}", topics.join(",")));
    let job = command.arg("--quiet").stderr(Stdio::piped()).spawn()?;
    let (done, rows) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let reader = std::thread::spawn({
        let (done, rows, kafka) = (Arc::clone(&done), Arc::clone(&rows), kafka.client());
        move || watch(kafka, &out, &done, &rows)
    });
    std::thread::sleep(Duration::from_secs(3));
    let mut sent: Vec<Instant> = Vec::with_capacity(records.len());
    pace(kafka, &topics, records, |_| sent.push(Instant::now()))?;
    std::thread::sleep(Duration::from_secs(3));
    end(job)?;
    done.store(true, Ordering::Relaxed);
    reader.join().map_err(|_| anyhow::anyhow!("the reader failed"))??;
    let rows = rows.lock().map_err(|_| anyhow::anyhow!("the reader failed"))?;
    let mut of: HashMap<&Client, (Vec<Instant>, usize)> = HashMap::new();
    for (client, sent) in clients.iter().zip(&sent) {
        of.entry(client).or_default().0.push(*sent);
    }
    let first = sent.first().copied().context("nothing was sent")?;
    let mut delays = Vec::with_capacity(records.len());
    for (text, came) in rows.iter() {
        let row: Value = serde_json::from_str(text)?;
        let client = client(&row, row["w"]["start"].as_str().unwrap_or_default())?;
        let count = row["n"].as_u64().context("a row without its count")? as usize;
        let Some((sent, counted)) = of.get_mut(&client) else { bail!("a row of nobody: {text}") };
        for sent in sent.iter().take(count).skip(*counted).filter(|sent| **sent > first + WARM_UP) {
            delays.push(1e3 * came.saturating_duration_since(*sent).as_secs_f64());
        }
        *counted = count.max(*counted);
    }
    if let Some((client, (sent, counted))) = of.iter().find(|(_, (sent, counted))| sent.len() != *counted) {
        bail!("{counted} of {} requests of {client:?} were counted", sent.len());
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

/// Keeps the rows, and when they came.
fn watch(
    mut kafka: rdkafka::ClientConfig,
    topic: &str,
    done: &AtomicBool,
    rows: &Mutex<Vec<(String, Instant)>>,
) -> Result<()> {
    kafka.set("group.id", "bench-early").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "5");
    let consumer: BaseConsumer = kafka.create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&list)?;
    while !done.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(50)) else { continue };
        let (message, came) = (message?, Instant::now());
        // what was taken back counts nothing
        let Some(payload) = message.payload() else { continue };
        let text = std::str::from_utf8(payload)?.to_owned();
        rows.lock().map_err(|_| anyhow::anyhow!("the bench failed"))?.push((text, came));
    }
    Ok(())
}
