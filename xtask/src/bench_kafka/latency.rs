//! How soon a result follows the record that completes its window: 5,000 records a second, event time at about 82 times
//! wall time, Kafka to Kafka. A window is complete when each partition has a record that is `lateness` past its end; the
//! clock runs from the moment that the last such record is handed to the producer to the moment that a reader has the
//! result.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fyke_testbed::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::topics::{PARTITIONS, TOPICS, file_of, send};
use super::{Settings, early, fyke_run, logs};
use crate::process::{fyke, output, root, target};

/// Records a second.
const RATE: u64 = 5_000;
/// As the script says.
const LATENESS_US: i64 = 10_000_000;
pub(super) const MINUTE_US: i64 = 60_000_000;
/// What comes in the first seconds pays for connections.
pub(super) const WARM_UP: Duration = Duration::from_secs(5);

/// How results are promised: a name, the script, arguments.
const PROMISES: [(&str, &str, &[&str]); 3] = [
    ("at least once, no checkpoints", "live.sql", &[]),
    ("exactly once, checkpoints every 1 s", "live.sql", &["--checkpoint-every", "1s"]),
    ("at least once, first aggregation through a topic", "live_through_topic.sql", &[]),
];

/// All guarantees and numbers of clients.
pub fn measure(kafka: &Kafka, settings: &Settings) -> Result<()> {
    let binary = fyke()?;
    let mut text = format!(
        "# cargo xtask bench kafka --seconds {}: {RATE} records/s, event time at about 82 × wall time\n\
         # ms from the record that completes a window to the result's record at a reader\n\
         guarantee\tclients\trows\tp50_ms\tp95_ms\tp99_ms\tmax_ms\n",
        settings.seconds
    );
    // the first job on a broker pays for what that compiles and opens: not counted
    let (logs_of_first, _) = logs(RATE * settings.seconds, settings.clients.first().copied().unwrap_or(1.0))?;
    let warm_up: Vec<Arrival> = merged(&logs_of_first)?.into_iter().take(15 * RATE as usize).collect();
    live(kafka, &binary, "warm-up", ("live.sql", &[]), &warm_up)?;
    for (round, clients) in settings.clients.iter().enumerate() {
        let (logs, _) = logs(RATE * settings.seconds, *clients)?;
        let records = merged(&logs)?;
        for (number, (guarantee, script, arguments)) in PROMISES.iter().enumerate() {
            let prefix = format!("live-{round}-{number}");
            let delays = live(kafka, &binary, &prefix, (script, arguments), &records)?;
            writeln!(text, "{guarantee}\t{clients}\t{}", spread(&delays))?;
        }
        let delays = early::live(kafka, &binary, &format!("early-{round}"), &records)?;
        writeln!(text, "{}\t{clients}\t{}", early::WHAT, spread(&delays))?;
    }
    println!("{text}");
    std::fs::write(root().join("benches/results/kafka-latency.tsv"), text)?;
    Ok(())
}

/// How many, and some of them, of sorted delays.
fn spread(delays: &[f64]) -> String {
    let at = |share: f64| -> f64 {
        let place = ((delays.len() as f64 * share) as usize).min(delays.len().saturating_sub(1));
        delays.get(place).copied().unwrap_or(f64::NAN)
    };
    format!("{}\t{:.1}\t{:.1}\t{:.1}\t{:.1}", delays.len(), at(0.5), at(0.95), at(0.99), at(1.0))
}

/// A record in the order of its arrival.
pub(super) struct Arrival {
    topic: usize,
    /// Its place in its topic.
    at: usize,
    pub(super) time: i64,
    pub(super) line: Vec<u8>,
}

/// The customers' lines as a collector would have received them.
fn merged(logs: &Path) -> Result<Vec<Arrival>> {
    let mut all = Vec::new();
    for (topic, name) in TOPICS.iter().enumerate() {
        let mut latest = i64::MIN;
        for (at, line) in BufReader::new(File::open(file_of(logs, name))?).lines().enumerate() {
            let line = line?;
            let time = micros(line.get(9..).unwrap_or_default()).context("a line without time")?;
            latest = latest.max(time);
            all.push((latest, Arrival { topic, at, time, line: line.into_bytes() }));
        }
    }
    all.sort_by_key(|(latest, _)| *latest);
    Ok(all.into_iter().map(|(_, arrival)| arrival).collect())
}

/// Records of a topic, and when they came.
pub(super) type Arrived = Vec<(String, Instant)>;

/// One live run over the records, each of which is told to `sent`; what came out of it.
pub(super) fn observe(
    kafka: &Kafka,
    binary: &Path,
    prefix: &str,
    (script, arguments): (&str, &[&str]),
    records: &[Arrival],
    sent: impl FnMut(&Arrival),
) -> Result<Arrived> {
    let topics: Vec<String> = TOPICS.iter().map(|topic| format!("{prefix}.{topic}")).collect();
    let out = format!("{prefix}-out");
    topics.iter().try_for_each(|topic| kafka.create_topic(topic, PARTITIONS, &[]))?;
    kafka.create_topic(&out, 1, &[])?;
    kafka.create_topic(&format!("{out}-clients"), 1, &[])?;
    let mut command = fyke_run(binary, kafka, script, &out);
    command.arg("--set").arg(format!("TOPICS={}", topics.join(",")));
    if !arguments.is_empty() {
        let folder = target().join(format!("bench-kafka/{prefix}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        command.args(arguments).arg("--checkpoint").arg(folder);
    }
    let job = command.arg("--quiet").stderr(Stdio::piped()).spawn()?;
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (done, kafka) = (Arc::clone(&done), kafka.client());
        move || watch(kafka, &out, &done)
    });
    std::thread::sleep(Duration::from_secs(3));
    pace(kafka, &topics, records, sent)?;
    std::thread::sleep(Duration::from_secs(3));
    end(job)?;
    done.store(true, Ordering::Relaxed);
    reader.join().map_err(|_| anyhow::anyhow!("the reader failed"))?
}

/// Milliseconds from the record that completes a window to each of its rows, sorted.
fn live(kafka: &Kafka, binary: &Path, prefix: &str, job: (&str, &[&str]), records: &[Arrival]) -> Result<Vec<f64>> {
    let mut complete = Complete::default();
    let arrived = observe(kafka, binary, prefix, job, records, |record| complete.note(record))?;
    let first = complete.at.values().min().copied().context("no window was completed")?;
    let mut delays: Vec<f64> = Vec::new();
    for (row, came) in &arrived {
        let window = row.split("\"end\":\"").nth(1).and_then(micros).context("a result without a window")?;
        if let Some(complete) = complete.at.get(&window).filter(|complete| **complete > first + WARM_UP) {
            delays.push(1e3 * came.saturating_duration_since(*complete).as_secs_f64());
        }
    }
    if delays.is_empty() {
        bail!("no result came in time");
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

/// When each window was complete.
struct Complete {
    latest: [[i64; PARTITIONS as usize]; TOPICS.len()],
    at: BTreeMap<i64, Instant>,
}

impl Default for Complete {
    fn default() -> Self {
        Self { latest: [[i64::MIN; PARTITIONS as usize]; TOPICS.len()], at: BTreeMap::new() }
    }
}

impl Complete {
    fn note(&mut self, record: &Arrival) {
        let of_topic = self.latest.get_mut(record.topic);
        if let Some(latest) = of_topic.and_then(|of| of.get_mut(record.at % PARTITIONS as usize)) {
            *latest = record.time.max(*latest);
        }
        let mark = self.latest.iter().flatten().copied().min().unwrap_or(i64::MIN);
        if mark > i64::MIN {
            let window = (mark - LATENESS_US).div_euclid(MINUTE_US) * MINUTE_US;
            self.at.entry(window).or_insert_with(Instant::now);
        }
    }
}

/// Sends the records at their rate, and says so.
fn pace(kafka: &Kafka, topics: &[String], records: &[Arrival], mut sent: impl FnMut(&Arrival)) -> Result<()> {
    let producer: BaseProducer = kafka.client().set("linger.ms", "0").create()?;
    let began = Instant::now();
    for (number, record) in (0u64..).zip(records) {
        let due = Duration::from_micros(number * 1_000_000 / RATE);
        while began.elapsed() < due {
            std::thread::sleep(Duration::from_micros(200));
        }
        let Some(topic) = topics.get(record.topic) else { bail!("a record of no topic") };
        send(&producer, topic, record.at, &record.line)?;
        sent(record);
        if number % 100 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(30))?;
    Ok(())
}

/// Reads a topic until it is done with.
fn watch(mut kafka: rdkafka::ClientConfig, topic: &str, done: &AtomicBool) -> Result<Arrived> {
    kafka.set("group.id", "bench-live").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = kafka.create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&list)?;
    let mut arrived = Arrived::new();
    while !done.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(50)) else { continue };
        let (message, came) = (message?, Instant::now());
        // a row that was taken back has no content
        if let Some(content) = message.payload() {
            arrived.push((std::str::from_utf8(content)?.to_owned(), came));
        }
    }
    Ok(arrived)
}

fn end(mut job: Child) -> Result<()> {
    if let Some(status) = job.try_wait()? {
        bail!("the job ended by itself: {status}, {}", String::from_utf8(job.wait_with_output()?.stderr)?);
    }
    output(std::process::Command::new("kill").args(["-INT", &job.id().to_string()]))?;
    let ended = job.wait_with_output()?;
    if !ended.status.success() {
        bail!("the job failed: {}", String::from_utf8(ended.stderr)?);
    }
    Ok(())
}

/// Microseconds since 1970 of `2026-03-02T08:00:00.385Z` at the start of a text.
pub(super) fn micros(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // days from civil, after Howard Hinnant
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let fraction = text.get(19..)?.strip_prefix('.').map_or("", |rest| rest.split('Z').next().unwrap_or_default());
    let fraction: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + fraction)
}
