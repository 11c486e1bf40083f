//! Early results into compacted topics: whoever keeps the last record of each key ends with the rows of batch, whatever
//! was killed.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

mod support;
mod topics;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fyke::types::{Random, SeededRandom};
use fyke_simulate::{ChainSettings, write_chain_with};
use fyke_testbed::Kafka;
use support::{Fyke, ended};

const TOPIC: &str = "logs.news-beta";
const VIEWS: &str = "
CREATE VIEW minutes AS
SELECT tumble(time, INTERVAL '1 minute') AS w, host, remote_addr, count(*) AS n
FROM requests GROUP BY w, host, remote_addr;
CREATE VIEW means AS SELECT w, host, avg(n) AS mean FROM minutes GROUP BY w, host;
CREATE VIEW ratios AS SELECT c.w, c.host, c.remote_addr, c.n, c.n / m.mean AS ratio
FROM minutes c JOIN means m ON c.w = m.w AND c.host = m.host;
";
/// Sessions' starts move when earlier lines come, and quiet clients become loud: both take rows back.
const QUERIES: [(&str, &str); 3] = [
    ("ratios", "SELECT * FROM ratios"),
    ("quiet", "SELECT w, host, remote_addr, n FROM minutes WHERE n < 12"),
    (
        "sessions",
        "SELECT session(time, INTERVAL '20 seconds') AS w, host, remote_addr, count(*) AS n \
         FROM requests GROUP BY w, host, remote_addr",
    ),
];
const GUARANTEES: [&str; 2] = ["exactly_once", "at_least_once"];

fn table(stored: &str) -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, remote_addr VARCHAR, host VARCHAR) {stored};\n{VIEWS}"
    )
}

fn job(brokers: &str) -> String {
    let mut text = table(&format!(
        "STORED AS KAFKA LOCATION '{brokers}'
  OPTIONS ('topic' '{TOPIC}', 'event_time' 'time', 'lateness' '10 seconds', 'idle_after' 'off', 'close_after' 'off')"
    ));
    for (name, query) in QUERIES {
        for guarantee in GUARANTEES {
            text.push_str(&format!(
                "COPY ({query}) TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' '{name}.{guarantee}.{{host}}',
  'guarantee' '{guarantee}', 'create_topics' 'true', 'create_partitions' '3', 'emit' 'update',
  'every' '30 milliseconds', 'final' 'is_final');\n"
            ));
        }
    }
    text
}

fn batch() -> String {
    let mut text = table("STORED AS JSON LOCATION 'lines.json' OPTIONS ('event_time' 'time')");
    for (name, query) in QUERIES {
        text.push_str(&format!("COPY ({query}) TO '{name}.json' STORED AS JSON OPTIONS ('final' 'is_final', 'emit' 'update', 'every' '1 second');\n"));
    }
    text
}

#[test]
fn last_record_of_each_key_is_the_row_of_batch_across_kills() {
    let broker = Kafka::start().expect("a broker");
    let fyke = Fyke::new();
    let settings = ChainSettings { seed: 3, lines: 12_000, ..ChainSettings::default() };
    write_chain_with(&fyke.path("logs"), &settings).expect("logs");
    let log = std::fs::read_to_string(fyke.path("logs/news-beta.json")).expect("a log");
    fyke.write("lines.json", &log);
    let lines: Vec<String> = log.lines().map(str::to_owned).collect();
    broker.create_topic(TOPIC, 2, &[]).expect("a topic");
    fyke.write("job.sql", &job(&broker.bootstrap()));
    fyke.write("batch.sql", &batch());
    fyke.run(&["batch", "batch.sql"]).succeeds();

    let start = |more: &[&str]| {
        let every = ["run", "job.sql", "--checkpoint", "state", "--checkpoint-every", "100ms"];
        fyke.command(&[&every[..], more].concat()).spawn().expect("started")
    };
    let (mut random, writer) = (SeededRandom::new(17), topics::Writer::new(&broker));
    let rounds = 4;
    for round in 0..rounds {
        let mut job = start(&[]);
        let of_round = &lines[lines.len() * round / rounds..lines.len() * (round + 1) / rounds];
        // in pieces, so that windows are open while early rows come
        for (at, piece) in of_round.chunks(of_round.len() / 20 + 1).enumerate() {
            writer.send(TOPIC, 2, at, piece);
            std::thread::sleep(Duration::from_millis(60));
        }
        std::thread::sleep(Duration::from_secs_f64(random.next_f64()));
        if job.try_wait().expect("asked").is_some() {
            panic!("a live run ended by itself: {}", ended(job).err);
        }
        job.kill().expect("killed");
        job.wait().expect("dead");
    }
    let began = Instant::now();
    ended(start(&["--once"])).succeeds();
    let mut seen = BTreeMap::new();
    for (name, _) in QUERIES {
        let expected = fyke.sorted_lines(&format!("{name}.json"));
        assert!(expected.len() > 50, "{name} has rows");
        for guarantee in GUARANTEES {
            let topic = format!("{name}.{guarantee}.news-beta.example");
            let records = topics::records(&broker, &topic);
            let mut held: Vec<String> = topics::last_by_key(&records).into_values().collect();
            held.sort();
            assert_eq!(held.len(), expected.len(), "{topic}");
            assert!(held == expected, "rows of {topic} differ");
            let deleted = records.iter().filter(|record| record.value.is_none()).count();
            println!("{topic}: {} rows of {} records, {deleted} of them tombstones", held.len(), records.len());
            seen.insert((name, guarantee), (records.len() - held.len(), deleted));
        }
    }
    println!("the last process took {:?}", began.elapsed());
    for (of, (replaced, deleted)) in seen {
        assert!(replaced > 50, "{of:?}: there were early rows");
        assert!(of.0 == "ratios" || deleted > 0, "{of:?}: rows were taken back");
    }
}

#[test]
fn topic_that_is_made_for_upserts_is_compacted() {
    let broker = Kafka::start().expect("a broker");
    let fyke = Fyke::with_log(120);
    let text = std::fs::read_to_string(fyke.path("job.sql")).expect("a script");
    let brokers = broker.bootstrap();
    let to = format!(
        "TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' 'made', 'create_topics' 'true', 'emit' 'update', 'every' '1 second')"
    );
    fyke.write("job.sql", &text.replace("TO '${OUT}'", &to));
    fyke.run(&["run", "job.sql", "--once"]).succeeds();
    let held = topics::last_by_key(&topics::records(&broker, "made"));
    assert_eq!(held.len(), 6, "two minutes of three hosts: {held:?}");
    let first = "[\"2026-03-02T08:00:00Z\",\"h0\"]";
    let row = "{\"w\":{\"start\":\"2026-03-02T08:00:00Z\",\"end\":\"2026-03-02T08:01:00Z\"},\"host\":\"h0\",\"n\":20}";
    assert_eq!(held.get(first).map(String::as_str), Some(row));
    // such a topic takes no record without a key
    let refused = text.replace("TO '${OUT}'", &format!("TO '{brokers}' STORED AS KAFKA OPTIONS ('topic' 'made')"));
    fyke.write("job.sql", &refused);
    let run = fyke.run(&["run", "job.sql", "--once"]);
    assert_ne!(run.code, 0);
    assert!(run.err.contains("'made'") && run.err.contains("InvalidRecord"), "{}", run.err);
}
