//! Kafka → chained job → Kafka, while the job is killed and the broker restarts: a reader of committed records sees each
//! row once, and the rows are those of a batch over the same records.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

mod support;
mod topics;

use std::process::Child;
use std::time::{Duration, Instant};

use fyke::types::{Random, SeededRandom};
use fyke_simulate::{ChainSettings, write_chain_with};
use fyke_testbed::Kafka;
use support::{Fyke, ended};

const TOPICS: [&str; 2] = ["logs.shop-alpha", "logs.news-beta"];

const VIEWS: &str = "
CREATE VIEW clients AS
SELECT tumble(time, INTERVAL '1 minute') AS w, host, remote_addr, count(*) AS n, sum(bytes) AS bytes
FROM requests GROUP BY w, host, remote_addr;
CREATE VIEW customers AS SELECT w, host, avg(n) AS mean, sum(bytes) AS bytes FROM clients GROUP BY w, host;
";
const CHAIN: &str = "SELECT c.w, c.host, c.remote_addr, c.n, c.n / m.mean AS ratio, m.bytes
  FROM clients c JOIN customers m ON c.w = m.w AND c.host = m.host";
const SESSIONS: &str = "SELECT session(time, INTERVAL '20 seconds') AS w, host, remote_addr, count(*) AS n
  FROM requests GROUP BY w, host, remote_addr";

fn columns() -> &'static str {
    "(time TIMESTAMP, remote_addr VARCHAR, bytes BIGINT, host VARCHAR)"
}

/// The job from Kafka to Kafka.
fn job(brokers: &str) -> String {
    let topics = TOPICS.join(",");
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests {} STORED AS KAFKA LOCATION '{brokers}'
  OPTIONS ('topic' '{topics}', 'format' 'json', 'start' 'earliest', 'event_time' 'time', 'lateness' '10 seconds',
           'idle_after' 'off', 'close_after' 'off', 'dead_to' 'dead');
CREATE EXTERNAL TABLE dead (input VARCHAR, customer VARCHAR, line BIGINT UNSIGNED, \"offset\" BIGINT UNSIGNED, reason VARCHAR, raw BYTEA)
  STORED AS KAFKA LOCATION '{brokers}' OPTIONS ('topic' 'dead', 'format' 'raw', 'value' 'raw', 'headers' 'input, offset');
{VIEWS}
COPY ({CHAIN}) TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' 'rows.{{host}}', 'key' 'remote_addr', 'create_topics' 'true');
COPY ({SESSIONS}) TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' 'sessions');",
        columns()
    )
}

/// The same queries over the same lines in files.
fn batch() -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests {} STORED AS JSON LOCATION 'lines/'
  OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
{VIEWS}
COPY ({CHAIN}) TO 'chain.json' STORED AS JSON;
COPY ({SESSIONS}) TO 'sessions.json' STORED AS JSON;",
        columns()
    )
}

/// The job from files to topics of a round.
fn job_of_files(brokers: &str, round: usize) -> String {
    let whole = batch();
    let kafka = |name: &str| {
        format!("TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' '{name}-{round}', 'create_topics' 'true')")
    };
    whole
        .replace("TO 'chain.json' STORED AS JSON", &kafka("chain"))
        .replace("TO 'sessions.json' STORED AS JSON", &kafka("sessions"))
}

/// More with `FYKE_KAFKA_KILLS`: 50 take about two minutes.
fn kills() -> usize {
    std::env::var("FYKE_KAFKA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// Kills the broker at about every fifth kill of the job.
const BROKER_EVERY: usize = 5;

struct Lines {
    /// By topic.
    of: Vec<Vec<String>>,
    broken: usize,
}

impl Lines {
    /// Two customers' traffic, with a broken line behind every 997th.
    fn new(fyke: &Fyke, lines: u64) -> Self {
        write_chain_with(&fyke.path("logs"), &ChainSettings { seed: 5, lines, ..ChainSettings::default() })
            .expect("logs");
        std::fs::create_dir(fyke.path("lines")).expect("a folder");
        let mut broken = 0;
        let of = TOPICS.map(|topic| {
            let name = topic.trim_start_matches("logs.");
            let text = std::fs::read_to_string(fyke.path(&format!("logs/{name}.json"))).expect("a log");
            let mut lines = Vec::new();
            for (at, line) in text.lines().enumerate() {
                lines.push(line.to_owned());
                if at % 997 == 996 {
                    broken += 1;
                    lines.push(format!("{{\"time\": broken {at} of {name}"));
                }
            }
            fyke.write(&format!("lines/{name}.json"), &(lines.join("\n") + "\n"));
            lines
        });
        Self { of: of.into(), broken }
    }

    /// The part of each topic's lines that belongs to a round.
    fn of_round(&self, round: usize, rounds: usize) -> Vec<(&'static str, usize, &[String])> {
        let part = |lines: &[String], round: usize| lines.len() * round / rounds;
        let of = TOPICS.iter().zip(&self.of);
        of.map(|(topic, lines)| {
            let from = part(lines, round);
            (*topic, from, &lines[from..part(lines, round + 1)])
        })
        .collect()
    }
}

fn kill(mut job: Child) {
    if job.try_wait().expect("asked").is_some() {
        ended(job).succeeds();
        panic!("a live run ended by itself");
    }
    job.kill().expect("killed");
    job.wait().expect("dead");
}

#[test]
fn killed_job_and_restarted_broker_show_each_row_once() {
    let mut broker = Kafka::start().expect("a broker");
    let fyke = Fyke::new();
    let lines = Lines::new(&fyke, 30_000);
    for topic in TOPICS {
        broker.create_topic(topic, 2, &[]).expect("a topic");
    }
    for topic in ["dead", "sessions"] {
        broker.create_topic(topic, 2, &[]).expect("a topic");
    }
    fyke.write("job.sql", &job(&broker.bootstrap()));
    fyke.write("batch.sql", &batch());
    fyke.run(&["batch", "batch.sql"]).succeeds();
    let kills = kills();
    let mut random = SeededRandom::new(7);
    let start = |more: &[&str]| {
        let every = ["run", "job.sql", "--checkpoint", "state", "--checkpoint-every", "50ms"];
        fyke.command(&[&every[..], more].concat()).spawn().expect("started")
    };
    let began = Instant::now();
    let mut restarts = 0;
    for round in 0..kills {
        for (topic, from, lines) in lines.of_round(round, kills) {
            topics::send(&broker, topic, 2, from, lines);
        }
        let job = start(&[]);
        std::thread::sleep(Duration::from_secs_f64(random.next_f64() * 1.5));
        if round % BROKER_EVERY == BROKER_EVERY / 2 {
            restarts += 1;
            broker.kill().expect("killed");
            if round % (2 * BROKER_EVERY) < BROKER_EVERY {
                kill(job);
                broker.restart().expect("restarted");
            } else {
                // the job lives through it
                broker.restart().expect("restarted");
                std::thread::sleep(Duration::from_secs_f64(random.next_f64()));
                kill(job);
            }
        } else {
            kill(job);
        }
    }
    let last = ended(start(&["--once"]));
    if last.code != 0 {
        println!("{}", broker.server().map(fyke_testbed::process::Server::log_tail).unwrap_or_default());
    }
    last.succeeds();
    println!("{kills} kills of the job and {restarts} of the broker in {:?}: {}", began.elapsed(), last.err);
    let rows = |topics: &[&str]| -> Vec<String> {
        let mut rows: Vec<String> = topics.iter().flat_map(|topic| topics::committed(&broker, topic)).collect();
        rows.sort();
        rows
    };
    let chain = rows(&["rows.shop-alpha.example", "rows.news-beta.example"]);
    for (found, expected) in [(chain, "chain.json"), (rows(&["sessions"]), "sessions.json")] {
        let expected_rows = fyke.sorted_lines(expected);
        assert!(expected_rows.len() > 100, "{expected} has rows");
        assert_eq!(found.len(), expected_rows.len(), "rows of {expected}");
        assert!(found == expected_rows, "rows of {expected} differ");
    }
    let dead = rows(&["dead"]);
    assert_eq!(dead.len(), lines.broken, "each broken line once");
    assert!(dead.windows(2).all(|two| two[0] != two[1]), "a dead letter came twice");
}

#[test]
fn killed_run_over_files_shows_each_row_once_in_topics() {
    let broker = Kafka::start().expect("a broker");
    let fyke = Fyke::new();
    Lines::new(&fyke, 20_000);
    fyke.write("batch.sql", &batch());
    fyke.run(&["batch", "batch.sql"]).succeeds();
    let run = |round: usize| {
        fyke.write("job.sql", &job_of_files(&broker.bootstrap(), round));
        let state = format!("state-{round}");
        let every = ["run", "job.sql", "--once", "--checkpoint", &state, "--checkpoint-every", "20ms"];
        fyke.command(&every).spawn().expect("started")
    };
    let began = Instant::now();
    ended(run(0)).succeeds();
    let whole = began.elapsed();
    let mut random = SeededRandom::new(11);
    let (mut killed, mut round) = (0, 0);
    while killed < kills() {
        round += 1;
        loop {
            let mut job = run(round);
            let life = whole.mul_f64(random.next_f64());
            let began = Instant::now();
            while began.elapsed() < life && job.try_wait().expect("asked").is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if job.try_wait().expect("asked").is_some() {
                ended(job).succeeds();
                break;
            }
            kill(job);
            killed += 1;
        }
        for name in ["chain", "sessions"] {
            let mut found = topics::committed(&broker, &format!("{name}-{round}"));
            found.sort();
            let expected = fyke.sorted_lines(&format!("{name}.json"));
            assert!(expected.len() > 100, "{name} has rows");
            assert_eq!(found.len(), expected.len(), "{name} of run {round}");
            assert!(found == expected, "{name} of run {round}: rows differ");
        }
    }
    println!("{killed} kills in {round} runs of {whole:?}");
}

#[test]
fn aggregation_through_a_topic_gives_the_rows_of_the_direct_chain() {
    let broker = Kafka::start().expect("a broker");
    let fyke = Fyke::new();
    let lines = Lines::new(&fyke, 40_000);
    for topic in TOPICS {
        broker.create_topic(topic, 2, &[]).expect("a topic");
    }
    for topic in ["clients", "direct", "through"] {
        broker.create_topic(topic, 1, &[]).expect("a topic");
    }
    let brokers = broker.bootstrap();
    let topics = TOPICS.join(",");
    // the workaround of other engines in one file: the first aggregation goes out and comes back in
    fyke.write(
        "job.sql",
        &format!(
            "CREATE UNBOUNDED EXTERNAL TABLE requests {} STORED AS KAFKA LOCATION '{brokers}'
  OPTIONS ('topic' '{topics}', 'format' 'json', 'start' 'earliest', 'event_time' 'time', 'lateness' '10 seconds',
           'idle_after' 'off', 'close_after' 'off');
{VIEWS}
COPY (SELECT w['end'] - INTERVAL '1 microsecond' AS time, host, remote_addr, n, bytes FROM clients)
  TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' 'clients', 'guarantee' 'at_least_once');
CREATE UNBOUNDED EXTERNAL TABLE clients_again (time TIMESTAMP, host VARCHAR, remote_addr VARCHAR, n BIGINT, bytes BIGINT)
  STORED AS KAFKA LOCATION '{brokers}'
  OPTIONS ('topic' 'clients', 'format' 'json', 'start' 'earliest', 'event_time' 'time', 'idle_after' 'off', 'close_after' 'off');
COPY (SELECT w, host, mean, bytes FROM customers) TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' 'direct');
COPY (SELECT tumble(time, INTERVAL '1 minute') AS w, host, avg(n) AS mean, sum(bytes) AS bytes
  FROM clients_again GROUP BY w, host) TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' 'through');",
            columns()
        ),
    );
    let job = fyke.command(&["run", "job.sql"]).spawn().expect("started");
    for (topic, from, lines) in lines.of_round(0, 1) {
        topics::send(&broker, topic, 2, from, lines);
    }
    // both are there as soon as the direct one's rows stand still and the other has all but the newest window's
    let began = Instant::now();
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    let mut still = 0;
    while still < 5 {
        assert!(began.elapsed() < Duration::from_secs(60), "{} rows direct, {} through", direct.len(), through.len());
        std::thread::sleep(Duration::from_millis(200));
        let (now, behind) =
            (topics::committed_with_times(&broker, "direct"), topics::committed_with_times(&broker, "through"));
        still =
            if !now.is_empty() && now.len() == direct.len() && behind.len() == through.len() { still + 1 } else { 0 };
        (direct, through) = (now, behind);
    }
    kill(job);
    let delays: Vec<i64> = through
        .iter()
        .map(|(row, at)| {
            let (_, before) = direct.iter().find(|(same, _)| same == row).expect("a row of the direct chain");
            at - before
        })
        .collect();
    let values = |rows: &[(String, i64)]| -> Vec<String> {
        let mut rows: Vec<String> = rows.iter().map(|(row, _)| row.clone()).collect();
        rows.sort();
        rows.dedup();
        rows
    };
    let (direct, through) = (values(&direct), values(&through));
    // through the topic a window closes only when the next one's rows come: one window behind, for each customer
    assert!(through.len() + 2 * TOPICS.len() >= direct.len() && through.len() > 4, "{through:?} of {direct:?}");
    assert!(through.iter().all(|row| direct.contains(row)));
    let mut sorted = delays;
    sorted.sort_unstable();
    println!(
        "{} rows through a topic, median delay behind the direct chain {} ms",
        through.len(),
        sorted[sorted.len() / 2]
    );
}
