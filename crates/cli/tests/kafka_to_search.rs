//! Fyke between its users' Kafka and their search servers: the demo's traffic comes as a topic a customer, a customer
//! joins while it runs, and the verdicts of all are in Kafka and in the indices as batch gives them.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

mod index;
mod support;
mod topics;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use fyke::detector::detector_script;
use fyke_simulate::{LogFormat, World, WorldSettings, export};
use fyke_testbed::Kafka;
use fyke_testbed::search::{Product, Search};
use serde_json::Value;
use support::{Fyke, ended};
use topics::Writer;

const PARTITIONS: usize = 2;

struct Servers {
    kafka: Kafka,
    search: Vec<Search>,
}

impl Servers {
    /// All at once: each takes its time.
    fn start() -> Self {
        std::thread::scope(|scope| {
            let products = [Product::OpenSearch3, Product::Elasticsearch9];
            let search = products.map(|product| scope.spawn(move || Search::start(product).expect("a server")));
            let kafka = Kafka::start().expect("a broker");
            Self { kafka, search: search.into_iter().map(|one| one.join().expect("started")).collect() }
        })
    }
}

/// The views from requests to verdicts.
fn views() -> String {
    let script = detector_script("-", "combined", &BTreeMap::new()).expect("the detector");
    let (_, views) = script.split_once(";\n").expect("its table first");
    views.to_owned()
}

fn job(servers: &Servers) -> String {
    let brokers = servers.kafka.bootstrap();
    let mut text = format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests STORED AS KAFKA LOCATION '{brokers}'
  OPTIONS ('topic_pattern' 'logs\\.(?<customer>.+)', 'format' 'combined', 'event_time' 'time', 'customer' 'customer',
           'lateness' '10 seconds', 'discover_every' '200ms', 'idle_after' 'off', 'close_after' 'off');
{}
COPY (SELECT * FROM minute_verdicts) TO '{brokers}' STORED AS KAFKA
  OPTIONS ('topic' 'verdicts.{{customer}}', 'key' 'client_ip', 'create_topics' 'true');\n",
        views()
    );
    for server in &servers.search {
        text.push_str(&format!(
            "COPY (SELECT * FROM minute_verdicts) TO '{}' STORED AS OPENSEARCH OPTIONS ('index' 'fyke-verdicts-{{customer}}');\n",
            server.url()
        ));
    }
    text
}

fn batch() -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests STORED AS COMBINED LOCATION 'logs/*.log'
  OPTIONS ('event_time' 'time', 'customer' 'customer', 'lateness' '10 seconds');
{}
COPY (SELECT * FROM minute_verdicts) TO 'batch.json' STORED AS JSON;",
        views()
    )
}

/// What tells verdicts apart: the minute's end, customer, address, agent.
type Key = [String; 4];

fn by_key<'a>(
    rows: impl Iterator<Item = &'a Value>,
    path: impl Fn(&'a Value, usize) -> &'a Value,
) -> BTreeMap<Key, &'a Value> {
    let mut by = BTreeMap::new();
    for row in rows {
        let key: Key = std::array::from_fn(|at| path(row, at).as_str().unwrap_or_default().to_owned());
        assert!(by.insert(key.clone(), row).is_none(), "{key:?} is there twice");
    }
    by
}

fn of_row(row: &Value, at: usize) -> &Value {
    match at {
        0 => &row["w"]["end"],
        1 => &row["customer"],
        2 => &row["client_ip"],
        _ => &row["agent"],
    }
}

fn of_document(document: &Value, at: usize) -> &Value {
    let path = ["event.end", "organization.name", "source.address", "user_agent.original"];
    index::field(document, path[at])
}

/// Equal but for the last digits of numbers: sums of doubles depend on the order of rows.
fn is_close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) + 1e-12
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_close(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_close(a, b)))
        }
        _ => a == b,
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn rows(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn verdicts_of_topics_and_of_one_that_joins_are_in_kafka_and_indices_as_in_batch() {
    let began = Instant::now();
    let servers = Servers::start();
    let (kafka, fyke) = (&servers.kafka, Fyke::new());
    let settings =
        WorldSettings { seed: 21, minutes: 10, customers: 6, requests_per_minute: 700.0, ..WorldSettings::default() };
    let world = World::new(settings).expect("a world");
    let exported = export(&world, &fyke.path("logs"), LogFormat::Combined).expect("logs");
    let customers: Vec<String> = world.customers().iter().map(|customer| customer.name.to_string()).collect();
    let logs: Vec<Vec<String>> = customers
        .iter()
        .map(|name| {
            let text = std::fs::read_to_string(fyke.path(&format!("logs/{name}.log"))).expect("a log");
            text.lines().map(str::to_owned).collect()
        })
        .collect();
    println!("{} lines of {} customers; servers after {:?}", exported.lines, customers.len(), began.elapsed());

    let writer = Writer::new(kafka);
    let send = |of: std::ops::Range<usize>, first: bool| {
        for at in of {
            let (topic, lines) = (format!("logs.{}", customers[at]), &logs[at]);
            let half = lines.len() / 2;
            match first {
                true => writer.send(&topic, PARTITIONS, 0, &lines[..half]),
                false => writer.send(&topic, PARTITIONS, half, &lines[half..]),
            }
        }
    };
    let create =
        |at: usize| kafka.create_topic(&format!("logs.{}", customers[at]), PARTITIONS as i32, &[]).expect("made");
    (0..5).for_each(create);
    send(0..5, true);
    fyke.write("job.sql", &job(&servers));
    fyke.write("batch.sql", &batch());
    let arguments = ["run", "job.sql", "--checkpoint", "state", "--checkpoint-every", "500ms"];
    let run = fyke.command(&arguments).spawn().expect("started");
    let metadata = |topic: &str| {
        let client: rdkafka::consumer::BaseConsumer = kafka.client().create().expect("a client");
        let all =
            rdkafka::consumer::Consumer::fetch_metadata(&client, None, Duration::from_secs(10)).expect("metadata");
        all.topics().iter().any(|found| found.name() == topic)
    };
    let committed = |at: usize| {
        let topic = format!("verdicts.{}", customers[at]);
        if metadata(&topic) { topics::committed(kafka, &topic) } else { Vec::new() }
    };
    let indexed = |at: usize| {
        servers.search.iter().all(|server| index::count(&server.url(), &format!("fyke-verdicts-{}", customers[at])) > 0)
    };
    wait_for("verdicts of five customers", || (0..5).all(|at| !committed(at).is_empty() && indexed(at)));
    println!("live verdicts of five after {:?}", began.elapsed());
    // the sixth customer comes
    create(5);
    send(5..6, true);
    send(0..6, false);
    wait_for("verdicts of the sixth customer", || !committed(5).is_empty() && indexed(5));
    println!("live verdicts of the sixth after {:?}", began.elapsed());
    let killed = Command::new("kill").args(["-TERM", &run.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    ended(run).succeeds();
    // the same run reads to the end, and closes the last windows
    let last = fyke.run(&[&arguments[..], &["--once"]].concat());
    last.succeeds();
    let whole = format!("read {0} = used {0} + late 0 + dead 0", exported.lines);
    assert!(last.err.contains(&whole), "{whole}: {}", last.err);

    fyke.run(&["batch", "batch.sql"]).succeeds();
    let expected = rows(&fyke.sorted_lines("batch.json"));
    let expected = by_key(expected.iter(), of_row);
    assert!(expected.len() > 500, "{} verdicts", expected.len());
    let lines: Vec<String> = (0..6).flat_map(committed).collect();
    let found = rows(&lines);
    assert_eq!(found.len(), expected.len(), "verdicts in Kafka");
    let found = by_key(found.iter(), of_row);
    for (key, expected) in &expected {
        let found = found.get(key).unwrap_or_else(|| panic!("{key:?} is not in Kafka"));
        assert!(is_close(found, expected), "in Kafka {found}\nin batch {expected}");
    }
    for server in &servers.search {
        let documents = index::documents(&server.url(), "fyke-verdicts-*");
        assert_eq!(documents.len(), expected.len(), "documents in {}", server.url());
        let documents = by_key(documents.iter(), of_document);
        for (key, expected) in &expected {
            let document = documents.get(key).unwrap_or_else(|| panic!("{key:?} is in no index"));
            for (field, column) in [
                ("event.risk_score", "score"),
                ("event.reason", "reasons"),
                ("fyke.class", "class"),
                ("fyke.requests", "requests"),
                ("fyke.version", "version"),
            ] {
                let (found, wanted) = (index::field(document, field), &expected[column]);
                assert!(is_close(found, wanted), "{column} of {key:?}: {found} in the index, {wanted} in batch");
            }
        }
    }
    println!("{} verdicts equal in batch, Kafka and 2 search servers after {:?}", expected.len(), began.elapsed());
}
