//! Topics of a real broker through the whole program.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::process::Child;
use std::time::{Duration, Instant};

use fyke_testbed::Kafka;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use support::{Fyke, ended, lines};

const LONG: Duration = Duration::from_secs(30);

fn broker() -> &'static Kafka {
    Kafka::shared().expect("a broker")
}

/// Sends lines to the topics' partitions in turn.
fn send(topics: &[&str], partitions: usize, lines: &[String]) {
    let producer: BaseProducer = broker().client().create().expect("a producer");
    for (at, line) in lines.iter().enumerate() {
        let topic = topics[at % topics.len()];
        let partition = (at / topics.len() % partitions) as i32;
        let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(line.trim_end());
        producer.send(record).map_err(|(error, _)| error).expect("sent");
    }
    producer.flush(LONG).expect("flushed");
}

/// Requests per host and minute, from topics to `${OUT}`.
fn job(settings: &str) -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, client VARCHAR, status INT)
  STORED AS KAFKA LOCATION '{}'
  OPTIONS ({settings}, 'event_time' 'time', 'lateness' '10 seconds', 'dead_to' 'dead.json');
COPY (
  SELECT tumble(time, INTERVAL '1 minute') AS w, host, count(*) AS n
  FROM requests GROUP BY w, host
) TO '${{OUT}}';
",
        broker().bootstrap()
    )
}

fn signal(child: &Child, name: &str) {
    let killed = std::process::Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_there() {
        assert!(started.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_backlog_over_many_partitions_gives_the_rows_of_the_same_lines_in_files() {
    let fyke = Fyke::with_log(6_000);
    for topic in ["e2e.a", "e2e.b"] {
        broker().create_topic(topic, 3, &[]).expect("a topic");
    }
    send(&["e2e.a", "e2e.b"], 3, &lines(6_000));
    fyke.write("kafka.sql", &job("'topic_pattern' 'e2e\\.(.+)'"));
    fyke.run(&["batch", "job.sql", "--set", "OUT=files.json"]).succeeds();
    let expected = fyke.sorted_lines("files.json");
    assert_eq!(expected.len(), 300, "a hundred minutes of three hosts");
    let run = fyke.run(&["run", "kafka.sql", "--once", "--set", "OUT=stream.json"]);
    run.succeeds();
    assert!(run.err.contains("requests: read 6000 = used 6000 + late 0 + dead 0"), "{}", run.err);
    assert_eq!(fyke.sorted_lines("stream.json"), expected);
    fyke.run(&["batch", "kafka.sql", "--set", "OUT=batch.json"]).succeeds();
    assert_eq!(fyke.sorted_lines("batch.json"), expected);
    fyke.run(&["parity", "kafka.sql", "--set", "OUT=-"]).succeeds();
}

#[test]
fn a_killed_live_run_goes_on_from_its_checkpoint_and_finds_a_new_topic() {
    let fyke = Fyke::with_log(1_200);
    broker().create_topic("kill.a", 2, &[]).expect("a topic");
    let all = lines(1_200);
    fyke.write("kafka.sql", &job("'topic_pattern' 'kill\\.(.+)', 'discover_every' '200ms'"));
    fyke.run(&["batch", "job.sql", "--set", "OUT=files.json"]).succeeds();
    let arguments = ["run", "kafka.sql", "--checkpoint", "state", "--checkpoint-every", "100ms", "--set", "OUT=out"];
    let rows = || {
        let parts = std::fs::read_dir(fyke.path("out")).into_iter().flatten().flatten();
        let text: String = parts.filter_map(|part| std::fs::read_to_string(part.path()).ok()).collect();
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    };
    let text = fyke_sql(&fyke).replace("TO '${OUT}'", "TO '${OUT}' STORED AS JSON");
    fyke.write("kafka.sql", &text);
    for (round, part) in all[..900].chunks(300).enumerate() {
        let mut child = fyke.command(&arguments).spawn().expect("started");
        send(&["kill.a"], 2, part);
        wait_for("rows of this round", || rows().len() >= 12 * (round + 1));
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    let child = fyke.command(&arguments).spawn().expect("started");
    broker().create_topic("kill.b", 1, &[]).expect("a topic");
    send(&["kill.b"], 1, &all[900..]);
    // groups that span topics follow the mark over all: rows of a topic that is found after others have moved on are late
    std::thread::sleep(Duration::from_secs(5));
    send(&["kill.a"], 2, &lines(1_300)[1_200..]);
    let expected = fyke.sorted_lines("files.json");
    // the last minutes stay open: the mark follows the slowest partition
    wait_for("rows of the new topic", || rows().len() >= expected.len() - 6);
    signal(&child, "-TERM");
    let run = ended(child);
    run.succeeds();
    let (found, mut closed) = (rows(), expected);
    closed.retain(|row| {
        !["08:18:00", "08:19:00"].iter().any(|start| row.contains(&format!("\"start\":\"2026-03-02T{start}")))
    });
    let found: Vec<String> = found.into_iter().filter(|row| closed.contains(row)).collect();
    assert_eq!(found, closed, "each window once, and whole");
    assert!(run.err.contains("+ late 0 + dead 0"), "{}", run.err);
}

fn fyke_sql(fyke: &Fyke) -> String {
    std::fs::read_to_string(fyke.path("kafka.sql")).expect("a script")
}

#[test]
fn garbage_is_written_to_dead_letters_with_its_place() {
    let fyke = Fyke::new();
    broker().create_topic("dead", 1, &[]).expect("a topic");
    let mut sent = lines(20);
    sent.insert(5, "no JSON".to_owned());
    send(&["dead"], 1, &sent);
    fyke.write("kafka.sql", &job("'topic' 'dead'"));
    let run = fyke.run(&["run", "kafka.sql", "--once", "--set", "OUT=out.json"]);
    run.succeeds();
    assert!(run.err.contains("read 21 = used 20 + late 0 + dead 1"), "{}", run.err);
    let dead = fyke.sorted_lines("dead.json");
    assert!(dead[0].contains("\"input\":\"dead-0\"") && dead[0].contains("\"offset\":5"), "{dead:?}");
}

#[test]
fn what_is_wrong_with_a_topic_is_said_with_its_remedy() {
    let fyke = Fyke::new();
    fyke.write("kafka.sql", &job("'topic' 'nowhere'"));
    let run = fyke.run(&["run", "kafka.sql", "--once", "--set", "OUT=out.json"]);
    assert_ne!(run.code, 0);
    assert!(run.err.contains("there is no topic 'nowhere'"), "{}", run.err);
    // a topic that goes while another is read is said at once, and counted
    for topic in ["remains", "goes"] {
        broker().create_topic(topic, 1, &[]).expect("a topic");
        send(&[topic], 1, &lines(200));
    }
    fyke.write("live.sql", &job("'topic' 'remains,goes', 'discover_every' '200ms'"));
    let child = fyke.command(&["run", "live.sql", "--set", "OUT=live.json"]).spawn().expect("started");
    std::thread::sleep(Duration::from_secs(2));
    broker().delete_topic("goes").expect("deleted");
    std::thread::sleep(Duration::from_secs(3));
    signal(&child, "-INT");
    let run = ended(child);
    run.succeeds();
    assert!(run.err.contains("topic 'goes' was deleted") && run.err.contains("1 trouble"), "{}", run.err);
    assert!(run.err.contains("read 400 = used 400"), "{}", run.err);
}
