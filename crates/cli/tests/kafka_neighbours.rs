//! Customers side by side in Kafka: one is silent, one slow, one floods and one sends garbage. The rows of the others are
//! those of a run without them, and their delay is measured with them and without.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

mod support;
mod topics;

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fyke_testbed::Kafka;
use support::{Ended, Fyke, ended};
use topics::Writer;

const CALM: [&str; 2] = ["calm-one", "calm-two"];
/// A calm customer sends a record each tick.
const TICK: Duration = Duration::from_millis(20);
const TICKS: u64 = 500;
/// Event time goes as wall time does: a window has 25 ticks.
const WINDOW_MS: u64 = 500;
const LATENESS_MS: u64 = 100;
/// So many times a calm customer's rate.
const FLOOD: u64 = 100;
/// What nobody may wait on this test's machine; real figures are the bench's.
const DELAY_MOST_MS: i64 = 5_000;

fn time(ms: u64) -> String {
    let (minute, second) = (ms / 60_000, ms / 1_000 % 60);
    format!("2026-03-02T08:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

fn line(ms: u64, number: u64) -> String {
    format!("{{\"time\":\"{}\",\"client\":\"10.0.0.{}\",\"bytes\":{}}}", time(ms), number % 3, number % 7)
}

fn job(brokers: &str, prefix: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE dead (input VARCHAR, customer VARCHAR, line BIGINT UNSIGNED, \"offset\" BIGINT UNSIGNED, reason VARCHAR, raw BYTEA)
  STORED AS KAFKA LOCATION '{brokers}' OPTIONS ('topic' '{prefix}-dead', 'format' 'raw', 'value' 'raw', 'key' 'customer');
CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, customer VARCHAR, client VARCHAR, bytes BIGINT)
  STORED AS KAFKA LOCATION '{brokers}'
  OPTIONS ('topic_pattern' '{prefix}\\.(?<customer>.+)', 'event_time' 'time', 'lateness' '{LATENESS_MS} milliseconds',
           'idle_after' 'off', 'close_after' 'off', 'dead_to' 'dead');
CREATE VIEW clients AS SELECT tumble(time, INTERVAL '{WINDOW_MS} milliseconds') AS w, customer, client, count(*) AS n,
  sum(bytes) AS bytes FROM requests GROUP BY w, customer, client;
CREATE VIEW means AS SELECT w, customer, avg(n) AS mean FROM clients GROUP BY w, customer;
COPY (SELECT c.w, c.customer, c.client, c.n, c.bytes, c.n / m.mean AS ratio
  FROM clients c JOIN means m ON c.w = m.w AND c.customer = m.customer)
  TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' '{prefix}-out', 'key' 'customer');"
    )
}

/// Calls something at each tick.
fn at_ticks(ticks: u64, mut each: impl FnMut(u64)) {
    let began = Instant::now();
    for tick in 0..ticks {
        each(tick);
        std::thread::sleep(began.elapsed().abs_diff(TICK * (tick as u32 + 1)).min(TICK));
    }
}

/// One after another what no line of JSON with these columns is; each fourth is one.
fn garbage(tick: u64) -> Vec<u8> {
    match tick % 4 {
        0 => line(tick * 20, tick).into_bytes(),
        1 => format!("{tick} is no JSON").into_bytes(),
        2 => line(tick * 20, tick).replace("\"bytes\":", "\"bytes\":\"many\",\"bits\":").into_bytes(),
        _ => [line(tick * 20, tick).trim_end_matches('}').as_bytes(), b",\"agent\":\"\xff\xfe\"}"].concat(),
    }
}

struct Neighbours {
    sent: u64,
    broken: u64,
}

/// What the four send while the calm ones do.
fn disturb(kafka: &Kafka, prefix: &str) -> Neighbours {
    let topic = |name: &str| format!("{prefix}.{name}");
    let (flood, slow, idle, trash) = (topic("flood"), topic("slow"), topic("idle"), topic("garbage"));
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let writer = Writer::new(kafka);
            at_ticks(TICKS, |tick| {
                for number in 0..FLOOD {
                    writer.put(&flood, (number % 2) as usize, line(tick * 20, number).as_bytes());
                }
            });
            writer.flush();
            TICKS * FLOOD
        });
        let others = scope.spawn(|| {
            let writer = Writer::new(kafka);
            let (mut sent, mut broken) = (0, 0);
            at_ticks(TICKS, |tick| {
                writer.put(&trash, 0, &garbage(tick));
                (sent, broken) = (sent + 1, broken + u64::from(tick % 4 != 0));
                // ten times slower than its clock, and silent after a second
                if tick % 25 == 0 {
                    writer.put(&slow, 0, line(tick * 2, tick).as_bytes());
                    sent += 1;
                }
                if tick < 50 {
                    writer.put(&idle, 0, line(tick * 20, tick).as_bytes());
                    sent += 1;
                }
            });
            writer.flush();
            (sent, broken)
        });
        let (sent, broken) = others.join().expect("sent");
        Neighbours { sent: sent + flooding.join().expect("sent"), broken }
    })
}

fn calm(kafka: &Kafka, prefix: &str) -> u64 {
    let writer = Writer::new(kafka);
    at_ticks(TICKS, |tick| {
        for customer in CALM {
            writer.put(&format!("{prefix}.{customer}"), 0, line(tick * 20, tick).as_bytes());
        }
    });
    writer.flush();
    TICKS * CALM.len() as u64
}

/// Windows of a calm customer that its own records close.
fn closed_windows() -> u64 {
    ((TICKS - 1) * 20 - LATENESS_MS) / WINDOW_MS
}

/// The rows of a calm customer in its first windows, by hand: three clients in turn, 25 records a window.
fn expected(customer: &str, windows: u64) -> Vec<String> {
    let mut rows = Vec::new();
    for window in 0..windows {
        let of = |client: u64| (window * 25..(window + 1) * 25).filter(move |number| number % 3 == client);
        for client in 0..3 {
            let (n, bytes) = (of(client).count(), of(client).map(|number| number % 7).sum::<u64>());
            let (start, end) = (rfc(window * WINDOW_MS), rfc((window + 1) * WINDOW_MS));
            let ratio = n as f64 / (25.0 / 3.0);
            rows.push(format!("{start} {end} {customer} 10.0.0.{client} {n} {bytes} {ratio:.9}"));
        }
    }
    rows.sort();
    rows
}

/// As Fyke writes it: a fraction where there is one.
fn rfc(ms: u64) -> String {
    let text = time(ms);
    if ms.is_multiple_of(1_000) { text.replace(".000Z", "Z") } else { text.replace("Z", "000Z") }
}

struct Seen {
    /// By customer.
    rows: BTreeMap<String, Vec<String>>,
    /// From the record that completes a window of a calm customer to that window's rows, ms, sorted.
    delays: Vec<i64>,
}

fn seen(kafka: &Kafka, prefix: &str) -> Seen {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut came: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (value, at) in topics::committed_with_times(kafka, &format!("{prefix}-out")) {
        let row: serde_json::Value = serde_json::from_str(&value).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (end, customer, ratio) = (text(&row["w"]["end"]), text(&row["customer"]), row["ratio"].as_f64());
        let line = format!(
            "{} {end} {customer} {} {} {} {:.9}",
            text(&row["w"]["start"]),
            text(&row["client"]),
            row["n"],
            row["bytes"],
            ratio.unwrap_or(f64::NAN)
        );
        let last = came.entry((customer.clone(), end)).or_insert(at);
        *last = (*last).max(at);
        rows.entry(customer).or_default().push(line);
    }
    rows.values_mut().for_each(|rows| rows.sort());
    let mut delays = Vec::new();
    for customer in CALM {
        let sent: Vec<i64> = topics::records(kafka, &format!("{prefix}.{customer}")).iter().map(|r| r.time).collect();
        for window in 0..closed_windows() {
            let completing = ((window + 1) * WINDOW_MS + LATENESS_MS) / 20;
            let row = came.get(&(customer.to_owned(), rfc((window + 1) * WINDOW_MS)));
            if let (Some(row), Some(sent)) = (row, sent.get(completing as usize)) {
                delays.push(row - sent);
            }
        }
    }
    delays.sort_unstable();
    Seen { rows, delays }
}

/// Runs the job until it has the calm ones' rows.
fn run(kafka: &Kafka, prefix: &str, customers: &[&str], send: impl FnOnce()) -> (Seen, Ended) {
    for customer in customers {
        let partitions = if *customer == "flood" { 2 } else { 1 };
        kafka.create_topic(&format!("{prefix}.{customer}"), partitions, &[]).expect("a topic");
    }
    for topic in ["dead", "out"] {
        // when the broker has it, not when it was sent
        let settings = [("message.timestamp.type", "LogAppendTime")];
        kafka.create_topic(&format!("{prefix}-{topic}"), 1, &settings).expect("a topic");
    }
    let fyke = Fyke::new();
    fyke.write("job.sql", &job(&kafka.bootstrap(), prefix));
    let child = fyke.command(&["run", "job.sql"]).spawn().expect("started");
    // it reads before the first record comes
    std::thread::sleep(Duration::from_secs(2));
    send();
    let began = Instant::now();
    let rows = closed_windows() as usize * 3;
    let all = |seen: &Seen| CALM.iter().all(|name| seen.rows.get(*name).map_or(0, Vec::len) >= rows);
    while !all(&seen(kafka, prefix)) {
        if began.elapsed() > Duration::from_secs(60) {
            panic!("rows are missing: {:?}", stop(child).err);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    let ended = stop(child);
    ended.succeeds();
    (seen(kafka, prefix), ended)
}

fn stop(child: Child) -> Ended {
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(told.success());
    ended(child)
}

fn show(delays: &[i64]) -> String {
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share).round() as usize];
    format!("p50 {} ms, p95 {} ms, most {} ms of {}", at(0.5), at(0.95), at(1.0), delays.len())
}

#[test]
fn silent_slow_flooding_and_broken_customers_change_no_row_of_the_others() {
    let kafka = Kafka::start().expect("a broker");
    let (alone, _) = run(&kafka, "alone", &CALM, || _ = calm(&kafka, "alone"));
    let crowd = [&CALM[..], &["idle", "slow", "flood", "garbage"]].concat();
    let mut neighbours = Neighbours { sent: 0, broken: 0 };
    let mut sent = 0;
    let (together, ended) = run(&kafka, "crowd", &crowd, || {
        std::thread::scope(|scope| {
            let others = scope.spawn(|| disturb(&kafka, "crowd"));
            sent = calm(&kafka, "crowd");
            neighbours = others.join().expect("sent");
        });
        // all of it is read before the run is told to stop
        std::thread::sleep(Duration::from_secs(2));
    });
    println!("delay from the record that completes a window to its rows, at least once, no checkpoints:");
    println!("  without the others: {}", show(&alone.delays));
    println!("  beside them:        {}", show(&together.delays));
    for customer in CALM {
        let (without, with) = (&alone.rows[customer], &together.rows[customer]);
        assert!(without == with, "rows of {customer} with and without the others");
        // a run that is told to stop closes what is open
        let by_hand = expected(customer, TICKS * 20 / WINDOW_MS);
        assert!(*with == by_hand, "rows of {customer}: {with:?}\nby hand: {by_hand:?}");
    }
    let counted = |customer: &str| -> u64 {
        let count = |row: &String| row.split(' ').nth(4).and_then(|n| n.parse::<u64>().ok());
        together.rows[customer].iter().filter_map(count).sum()
    };
    let (slow, idle) = (TICKS / 25, 50);
    assert_eq!(["flood", "slow", "idle"].map(counted), [TICKS * FLOOD, slow, idle], "nobody loses a record");
    assert_eq!(counted("garbage"), TICKS - neighbours.broken);
    let all = sent + neighbours.sent;
    let (used, dead) = (all - neighbours.broken, neighbours.broken);
    let whole = format!("read {all} = used {used} + late 0 + dead {dead}");
    assert!(ended.err.contains(&whole), "{whole}: {}", ended.err);
    let letters = topics::records(&kafka, "crowd-dead");
    assert_eq!(letters.len() as u64, neighbours.broken, "each broken record is a dead letter");
    assert!(letters.iter().all(|letter| letter.key.as_deref() == Some("garbage")), "and nobody else's");
    for delays in [&alone.delays, &together.delays] {
        assert_eq!(delays.len() as u64, closed_windows() * CALM.len() as u64);
        assert!(delays.last().is_some_and(|most| *most < DELAY_MOST_MS), "{}", show(delays));
    }
}
