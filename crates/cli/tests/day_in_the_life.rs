//! `examples/day-in-the-life/day.sql`, exactly as it stands, against real servers.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

mod index;
mod support;
mod topics;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fyke_simulate::{LogFormat, World, WorldSettings, export};
use fyke_testbed::Kafka;
use fyke_testbed::search::{Product, Search};
use serde_json::Value;
use support::{Fyke, ended};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/day-in-the-life/day.sql");
const MINUTES: u32 = 12;
/// Windows that end later wait for records that do not come.
const CLOSED: &str = "2026-03-02T08:10:00Z";

/// The views of the script over the same lines in files, as batch.
fn batch(script: &str) -> String {
    let from = script.find("-- 4. ").expect("the views begin");
    let to = script.find("-- 7. ").expect("the views end");
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests STORED AS COMBINED LOCATION 'logs/*.log' OPTIONS ('event_time' 'time');
{}
COPY (SELECT * FROM verdicts) TO 'verdicts.json' STORED AS JSON;
COPY (SELECT tumble(time, INTERVAL '5 minutes') AS w, customer, count(DISTINCT client_ip) AS clients, count(*) AS requests,
  sum(bytes) AS bytes FROM requests GROUP BY w, customer) TO 'customers.json' STORED AS JSON;",
        &script[from..to]
    )
}

fn rows(lines: impl IntoIterator<Item = String>) -> Vec<Value> {
    lines.into_iter().map(|line| serde_json::from_str(&line).expect("JSON")).collect()
}

fn is_closed(row: &Value) -> bool {
    row["w"]["end"].as_str().is_some_and(|end| end <= CLOSED)
}

/// Customer, minute, client, class, score and requests of verdicts, in order.
fn told<'a>(rows: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let of = |row: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (end, score) = (text(&row["w"]["end"]), row["score"].as_f64().unwrap_or(f64::NAN));
        format!(
            "{} {end} {} {} {score:.2} {} {}",
            text(&row["customer"]),
            text(&row["client_ip"]),
            text(&row["class"]),
            row["requests"],
            row["reasons"]
        )
    };
    let mut told: Vec<String> = rows.filter(|row| is_closed(row)).map(of).collect();
    told.sort();
    told
}

/// The same of the index.
fn told_by_index(documents: &[Value]) -> Vec<String> {
    let of = |document: &Value| {
        let field = |path| index::field(document, path).clone();
        serde_json::json!({
            "w": { "end": field("event.end") }, "customer": field("organization.name"), "client_ip": field("source.address"),
            "class": field("fyke.class"), "score": field("event.risk_score"), "requests": field("fyke.requests"),
            "reasons": field("event.reason"),
        })
    };
    told(documents.iter().map(of).collect::<Vec<_>>().iter())
}

struct Day {
    kafka: Kafka,
    search: Search,
    fyke: Fyke,
    customers: Vec<String>,
    lines: u64,
}

impl Day {
    fn begin() -> Self {
        let (kafka, search) = std::thread::scope(|scope| {
            let search = scope.spawn(|| Search::start(Product::OpenSearch3).expect("a server"));
            (Kafka::start().expect("a broker"), search.join().expect("started"))
        });
        let fyke = Fyke::new();
        let settings = WorldSettings {
            seed: 8,
            minutes: MINUTES,
            customers: 3,
            requests_per_minute: 500.0,
            ..WorldSettings::default()
        };
        let world = World::new(settings).expect("a world");
        let exported = export(&world, &fyke.path("logs"), LogFormat::Combined).expect("logs");
        let customers = world.customers().iter().map(|customer| customer.name.to_string()).collect();
        Self { kafka, search, fyke, customers, lines: exported.lines }
    }

    fn verdicts(&self) -> Vec<Value> {
        let topics = self.customers.iter().map(|customer| format!("verdicts.{customer}"));
        rows(topics.filter(|topic| self.has(topic)).flat_map(|topic| topics::committed(&self.kafka, &topic)))
    }

    fn has(&self, topic: &str) -> bool {
        use rdkafka::consumer::{BaseConsumer, Consumer};
        let client: BaseConsumer = self.kafka.client().create().expect("a client");
        let all = client.fetch_metadata(None, Duration::from_secs(10)).expect("metadata");
        all.topics().iter().any(|found| found.name() == topic)
    }

    fn summaries(&self) -> Vec<Value> {
        index::documents(&self.search.url(), "fyke-customers")
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(90), "{what} did not come");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn parquet_rows(fyke: &Fyke, folder: &str, columns: &str) -> Vec<Value> {
    let name = format!("{}.json", folder.replace('/', "-"));
    let script = format!(
        "CREATE EXTERNAL TABLE back STORED AS PARQUET LOCATION '{folder}';
COPY (SELECT {columns} FROM back) TO '{name}' STORED AS JSON;"
    );
    fyke.write("back.sql", &script);
    fyke.run(&["batch", "back.sql"]).succeeds();
    rows(fyke.sorted_lines(&name))
}

#[test]
fn the_day_goes_from_logs_to_verdicts_everywhere_and_equals_batch() {
    let day = Day::begin();
    let script = std::fs::read_to_string(Path::new(SCRIPT)).expect("the example");
    day.fyke.write("batch.sql", &batch(&script));
    day.fyke.run(&["batch", "batch.sql"]).succeeds();
    let expected = rows(day.fyke.sorted_lines("verdicts.json"));
    let by_batch = told(expected.iter());
    assert!(by_batch.len() > 200, "{} verdicts", by_batch.len());
    for class in ["bot", "suspect", "human", "declared_bot"] {
        assert!(expected.iter().any(|row| row["class"] == class), "somebody is {class}");
    }

    let (kafka, search) = (format!("KAFKA={}", day.kafka.bootstrap()), format!("SEARCH={}", day.search.url()));
    let mut arguments = vec!["run", SCRIPT, "--checkpoint", "state", "--checkpoint-every", "1s"];
    for set in ["LOGS=logs", &kafka, &search, "OUT=out"] {
        arguments.extend(["--set", set]);
    }
    let run = day.fyke.command(&arguments).spawn().expect("started");
    wait_for("verdicts in Kafka", || told(day.verdicts().iter()).len() >= by_batch.len());
    // what is wrong: no JSON, and a minute that is long closed
    let (topic, old) = (format!("logs.{}", day.customers[0]), "2026-03-02T08:00:30Z");
    let late = format!("{{\"time\":\"{old}\",\"client_ip\":\"192.0.2.7\",\"path\":\"/\",\"status\":200,\"bytes\":1}}");
    topics::send(&day.kafka, &topic, 1, 0, &["no JSON at all".to_owned(), late]);
    wait_for("the dead letter", || day.has("dead") && !topics::committed(&day.kafka, "dead").is_empty());
    wait_for("what came through a topic and back", || day.summaries().len() >= day.customers.len());
    // and the late row
    std::thread::sleep(Duration::from_secs(3));
    assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().expect("kill").success());
    let run = ended(run);
    run.succeeds();

    // what is told if something differs
    let late = parquet_rows(&day.fyke, "out/late/", "time, customer, client_ip");
    assert!(told(day.verdicts().iter()) == by_batch, "verdicts in Kafka; late {late:?}\n{}", run.err);
    let documents = index::documents(&day.search.url(), "fyke-verdicts-*");
    assert!(told_by_index(&documents) == by_batch, "verdicts in the index");
    let columns = "w, customer, client_ip, requests, score, class, reasons";
    let parquet = parquet_rows(&day.fyke, "out/verdicts/", columns);
    assert!(told(parquet.iter()) == by_batch, "verdicts in Parquet");
    // one customer, one topic
    for customer in &day.customers {
        let own = rows(topics::committed(&day.kafka, &format!("verdicts.{customer}")));
        assert!(!own.is_empty() && own.iter().all(|row| row["customer"] == **customer), "{customer}");
    }
    let summed = rows(day.fyke.sorted_lines("customers.json"));
    let first = |row: &Value| row["w"]["end"] == "2026-03-02T08:05:00Z";
    for summary in summed.iter().filter(|row| first(row)) {
        let found = day.summaries().into_iter().find(|document| {
            index::field(document, "organization.name") == &summary["customer"]
                && index::field(document, "event.end") == &summary["w"]["end"]
        });
        let found = found.unwrap_or_else(|| panic!("{summary} is not in the index"));
        let field = |path| index::field(&found, path);
        assert_eq!((field("fyke.requests"), field("clients")), (&summary["requests"], &summary["clients"]), "{found}");
    }
    let dead = rows(topics::committed(&day.kafka, "dead"));
    assert_eq!((dead.len(), dead[0]["raw"].as_str()), (1, Some("no JSON at all")), "{dead:?}");
    assert_eq!((late.len(), late[0]["time"].as_str()), (1, Some(old)), "{late:?}");
    let whole = format!("requests: read {} = used {} + late 1 + dead 1", day.lines + 2, day.lines);
    assert!(run.err.contains(&whole), "{whole}: {}", run.err);
    println!("{} verdicts of {} lines in a topic each, an index and Parquet", by_batch.len(), day.lines);
}
