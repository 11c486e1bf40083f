//! Real servers: OpenSearch 3 and Elasticsearch 9, and with `FYKE_SEARCH_ALL=1` OpenSearch 2 and Elasticsearch 8 too.
#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use fyke_connect::{MemorySink, SearchConnector};
use fyke_testbed::search::{Product, Search, USER};
use fyke_types::window::{TIME, window_type, windows};
use fyke_types::{Connector, Event, Kind, ReadOptions, SinkMode, SinkSpec, Source, SystemClock, TableSpec};
use serde_json::{Value, json};

/// 2026-03-02 08:00:00 UTC
const START: i64 = 1_772_438_400_000_000;

fn products() -> &'static [Product] {
    let all = std::env::var_os("FYKE_SEARCH_ALL").is_some();
    if all { &Product::ALL } else { &Product::ALL[..2] }
}

/// One server of each product for all tests of this file; each test has indices of its own.
fn server(product: Product) -> Arc<Search> {
    static SERVERS: OnceLock<Mutex<BTreeMap<&'static str, Arc<Search>>>> = OnceLock::new();
    let mut servers = SERVERS.get_or_init(Mutex::default).lock().expect("no panic");
    let start = || Arc::new(Search::start(product).expect("a server"));
    Arc::clone(servers.entry(product.name()).or_insert_with(start))
}

fn ask(url: &str, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut request = reqwest::Client::new().request(method, format!("{url}{path}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = request.send().await.expect("an answer");
        serde_json::from_slice(&reply.bytes().await.expect("an answer")).expect("JSON")
    })
}

fn count(url: &str, index: &str) -> i64 {
    ask(url, reqwest::Method::POST, &format!("/{index}/_refresh"), None);
    ask(url, reqwest::Method::GET, &format!("/{index}/_count"), None)["count"].as_i64().unwrap_or(-1)
}

fn spec(url: &str, schema: SchemaRef, options: &[(&str, &str)]) -> SinkSpec {
    SinkSpec {
        format: "OPENSEARCH".into(),
        location: url.into(),
        schema,
        unique: None,
        mode: SinkMode::Append,
        options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        parts: None,
        key: None,
    }
}

fn table(url: &str, schema: Option<SchemaRef>, options: &[(&str, &str)]) -> TableSpec {
    TableSpec {
        name: "verdicts".into(),
        format: "ELASTICSEARCH".into(),
        location: url.into(),
        schema,
        options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

fn verdicts(numbers: std::ops::Range<i64>) -> RecordBatch {
    let starts: Vec<i64> = numbers.clone().map(|n| START + n / 7 * 60_000_000).collect();
    let ends = starts.iter().map(|start| start + 60_000_000).collect();
    let texts = |text: &dyn Fn(i64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(numbers.clone().map(text)))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("w", Arc::new(windows(starts, ends, None))),
        ("customer", texts(&|n| ["shop", "Shop", "other/site"][(n % 3) as usize].to_owned())),
        ("client_ip", texts(&|n| if n % 5 == 0 { "2001:db8:1:2::/64".into() } else { format!("192.0.2.{}", n % 200) })),
        ("agent", texts(&|n| format!("agent \"{n}\" ü"))),
        ("class", texts(&|n| if n % 2 == 0 { "bot".into() } else { "human".into() })),
        ("score", Arc::new(Float64Array::from_iter_values(numbers.clone().map(|n| n as f64 / 3.0)))),
        ("status", Arc::new(Int32Array::from_iter_values(numbers.clone().map(|n| 200 + n as i32 % 300)))),
        ("n", Arc::new(Int64Array::from_iter_values(numbers.clone()))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).expect("a batch")
}

fn options(resume: Option<String>, event_time: Option<usize>) -> ReadOptions {
    ReadOptions {
        projection: None,
        event_time,
        max_ahead: 86_400_000_000 * 3650,
        follow: false,
        threads: 0,
        block_bytes: 1 << 20,
        clock: Arc::new(SystemClock),
        resume,
    }
}

/// Rows of a source, and its position after so many batches.
fn read(source: &dyn Source, options: &ReadOptions, most: usize) -> (Vec<RecordBatch>, Option<String>) {
    let mut reader = source.open(options).expect("a reader");
    let mut batches = Vec::new();
    while batches.len() < most {
        match reader.next(Duration::from_secs(1)).expect("an event") {
            Event::Rows(rows) => {
                assert!(rows.dead.is_empty(), "{:?}", rows.dead);
                batches.push(rows.batch);
            }
            Event::End => break,
            _ => {}
        }
    }
    (batches, reader.position().expect("a position"))
}

fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    batches
        .iter()
        .flat_map(|b| b.column_by_name("n").expect("n").as_primitive::<Int64Type>().values().to_vec())
        .collect()
}

#[test]
fn verdicts_arrive_in_common_schema_and_are_read_back_equal() {
    for product in products() {
        let (server, name) = (server(*product), product.name());
        let url = server.url();
        let rows = verdicts(0..3_000);
        let index = [("index", "fyke-verdicts-{customer}-{w.start|%Y.%m}"), ("gzip", "true"), ("batch_rows", "500")];
        // written twice, as after a crash
        for _ in 0..2 {
            let mut sink = SearchConnector.sink(&spec(&url, rows.schema(), &index)).expect("a sink");
            for start in (0..3_000).step_by(300) {
                sink.write(&rows.slice(start, 300)).expect("written");
            }
            sink.finish().expect("finished");
            assert_eq!(count(&url, "fyke-verdicts-*"), 3_000, "{name}");
        }
        for (customer, escaped) in [("shop", "shop"), ("Shop", "~53hop"), ("other/site", "other~2fsite")] {
            assert_eq!(count(&url, &format!("fyke-verdicts-{escaped}-2026.03")), 1_000, "{name} {customer}");
        }
        // by the template: addresses are addresses, names are words
        let range = json!({"query": {"term": {"source.ip": "192.0.2.0/25"}}, "size": 0, "track_total_hits": true,
            "aggs": {"by": {"terms": {"field": "fyke.class"}}}});
        let found = ask(&url, reqwest::Method::POST, "/fyke-verdicts-*/_search", Some(range));
        let inside = (0..3_000).filter(|n| n % 5 != 0 && n % 200 < 128).count();
        assert_eq!(found["hits"]["total"]["value"], inside, "{name}");
        assert_eq!(found["aggregations"]["by"]["buckets"].as_array().map(Vec::len), Some(2), "{name}");

        // declared, by the fields' names; in event-time order
        let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
        let declared: SchemaRef = Arc::new(Schema::new(vec![
            field("@timestamp", TIME),
            field("event.end", TIME),
            field("organization.name", DataType::Utf8),
            field("source.address", DataType::Utf8),
            field("user_agent.original", DataType::Utf8),
            field("event.risk_score", DataType::Float64),
            field("http.response.status_code", DataType::Int32),
            field("n", DataType::Int64),
        ]));
        let source = SearchConnector
            .source(&table(&url, Some(Arc::clone(&declared)), &[("index", "fyke-verdicts-*"), ("page_rows", "170")]))
            .expect("a source");
        let (batches, _) = read(source.as_ref(), &options(None, Some(0)), usize::MAX);
        let back = concat_batches(&declared, &batches).expect("one batch");
        let times = back.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        assert!(times.is_sorted(), "{name}");
        let mut order: Vec<usize> = (0..back.num_rows()).collect();
        let by_n = back.column(7).as_primitive::<Int64Type>();
        order.sort_by_key(|row| by_n.value(*row));
        assert_eq!(back.num_rows(), 3_000, "{name}");
        let take = arrow::array::UInt32Array::from_iter_values(order.iter().map(|row| *row as u32));
        let w = rows.column(0).as_struct();
        let expected = [
            w.column(0),
            w.column(1),
            rows.column(1),
            rows.column(2),
            rows.column(3),
            rows.column(5),
            rows.column(6),
            rows.column(7),
        ];
        for (at, expected) in expected.into_iter().enumerate() {
            let found = arrow::compute::take(back.column(at), &take, None).expect("taken");
            assert_eq!(&found, expected, "{name}: {}", declared.field(at).name());
        }
    }
}

#[test]
fn columns_are_found_out_and_a_query_chooses_documents() {
    for product in products() {
        let server = server(*product);
        let url = server.url();
        let rows = verdicts(0..100);
        let mut sink = SearchConnector.sink(&spec(&url, rows.schema(), &[("index", "fyke-found")])).expect("a sink");
        sink.write(&rows).expect("written");
        sink.finish().expect("finished");
        assert_eq!(count(&url, "fyke-found"), 100);
        for (query, chosen) in [
            (r#"{"term": {"fyke.class": "bot"}}"#, (0..100).filter(|n| n % 2 == 0).collect::<BTreeSet<i64>>()),
            ("n:[10 TO 19] AND fyke.class:human", (10..20).filter(|n| n % 2 == 1).collect()),
        ] {
            let spec = table(&url, None, &[("index", "fyke-found"), ("query", query), ("page_rows", "7")]);
            let source = SearchConnector.source(&spec).expect("a source");
            let schema = source.schema();
            let type_of = |name: &str| schema.field_with_name(name).map(|f| f.data_type().clone()).expect(name);
            assert_eq!((type_of("@timestamp"), type_of("event.risk_score")), (TIME, DataType::Float64));
            assert_eq!((type_of("source.ip"), type_of("n")), (DataType::Utf8, DataType::Int64));
            let (batches, position) = read(source.as_ref(), &options(None, None), usize::MAX);
            let found = numbers(&batches);
            assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), chosen, "{query}");
            assert_eq!(found.len(), chosen.len());
            assert_eq!(position, None, "without event time nobody knows where it stands");
        }
        let missing = table(&url, None, &[("index", "fyke-nowhere")]);
        let error = SearchConnector.source(&missing).expect_err("there is no such index").to_string();
        assert!(error.contains("fyke-nowhere"), "{error}");
    }
}

#[test]
fn a_resumed_reading_gives_each_document_once() {
    for product in products() {
        let server = server(*product);
        let url = server.url();
        // seven rows share each time; pages cut between them
        let rows = verdicts(0..500);
        let mut sink = SearchConnector.sink(&spec(&url, rows.schema(), &[("index", "fyke-resume")])).expect("a sink");
        sink.write(&rows).expect("written");
        sink.finish().expect("finished");
        assert_eq!(count(&url, "fyke-resume"), 500);
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("@timestamp", TIME, true),
            Field::new("n", DataType::Int64, true),
            Field::new("_id", DataType::Utf8, true),
        ]));
        let spec = table(&url, Some(schema), &[("index", "fyke-resume"), ("page_rows", "11")]);
        let source = SearchConnector.source(&spec).expect("a source");
        let (mut position, mut found, mut ids) = (None, Vec::new(), BTreeSet::new());
        for _ in 0..100 {
            let (batches, stands) = read(source.as_ref(), &options(position, Some(0)), 2);
            if batches.is_empty() {
                break;
            }
            found.extend(numbers(&batches));
            for batch in &batches {
                ids.extend(batch.column(2).as_string::<i32>().iter().flatten().map(str::to_owned));
            }
            position = stands;
        }
        found.sort_unstable();
        assert_eq!(found, (0..500).collect::<Vec<_>>(), "{}", product.name());
        assert_eq!(ids.len(), 500);
    }
}

#[test]
fn refused_documents_are_dead_letters_and_the_others_arrive() {
    for product in products() {
        let server = server(*product);
        let url = server.url();
        let mapping = json!({"mappings": {"properties": {"word": {"type": "long"}}}});
        ask(&url, reqwest::Method::PUT, "/fyke-refuse", Some(mapping));
        let column: ArrayRef = Arc::new(StringArray::from(vec!["1", "two", "3"]));
        let rows = RecordBatch::try_from_iter_with_nullable([("word", column, true)]).expect("a batch");
        let options = [("index", "fyke-refuse"), ("template", "off")];
        let mut sink = SearchConnector.sink(&spec(&url, rows.schema(), &options)).expect("a sink");
        let dead = MemorySink::new();
        sink.dead_letters_to(Box::new(dead.clone())).expect("it may refuse");
        sink.write(&rows).expect("written");
        sink.finish().expect("finished");
        assert_eq!(count(&url, "fyke-refuse"), 2, "{}", product.name());
        let letters = dead.batches();
        let text =
            |name: &str| letters[0].column_by_name(name).expect("a column").as_string::<i32>().value(0).to_owned();
        assert!(text("reason").contains("word") && text("reason").contains("two"), "{}", text("reason"));
        assert!(text("input").starts_with("fyke-refuse/"));
    }
}

#[test]
fn data_streams_take_a_row_once_and_update_mode_replaces_it() {
    for product in products() {
        let server = server(*product);
        let (url, rows) = (server.url(), verdicts(0..200));
        for _ in 0..2 {
            let options = [("index", "fyke-stream-all"), ("data_stream", "true")];
            let mut sink = SearchConnector.sink(&spec(&url, rows.schema(), &options)).expect("a sink");
            sink.write(&rows).expect("written");
            sink.finish().expect("finished");
            assert_eq!(count(&url, "fyke-stream-all"), 200, "{}", product.name());
        }
        // the stream's documents lie in an index behind it
        let found = ask(&url, reqwest::Method::GET, "/fyke-stream-all/_search?size=1", None);
        let index = found["hits"]["hits"][0]["_index"].as_str().unwrap_or_default().to_owned();
        assert!(index.starts_with(".ds-fyke-stream-all"), "{index}");

        let key = vec!["w.start".to_owned(), "n".to_owned()];
        let options = [("index", "fyke-update-{w.start|%Y}")];
        let with_key = SinkSpec { key: Some(key.clone()), ..spec(&url, rows.schema(), &options) };
        let mut sink = SearchConnector.sink(&with_key).expect("a sink");
        sink.write(&rows).expect("written");
        sink.write(&rows).expect("written");
        sink.prepare(1, false).expect("prepared");
        assert_eq!(count(&url, "fyke-update-2026"), 200);
        sink.delete(&fyke_types::key_columns(&rows.slice(0, 50), &key).expect("keys")).expect("taken back");
        sink.delete(&fyke_types::key_columns(&verdicts(900..910), &key).expect("keys")).expect("never there");
        sink.finish().expect("finished");
        assert_eq!(count(&url, "fyke-update-2026"), 150, "{}", product.name());
    }
}

/// The server is killed in the middle of a stream, stays away (`FYKE_AWAY_SECONDS`, 5), and comes back.
#[test]
fn server_that_dies_and_comes_back_has_every_row_once() {
    let away = std::env::var("FYKE_AWAY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    for product in products() {
        let mut server = Search::start(*product).expect("a server");
        let url = server.url();
        let limit = 1_000_000;
        let options =
            [("index", "fyke-kill-{customer}"), ("queue_bytes", "1MB"), ("batch_bytes", "100kB"), ("retry_most", "1s")];
        let mut sink = SearchConnector.sink(&spec(&url, verdicts(0..1).schema(), &options)).expect("a sink");
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writer = std::thread::spawn(move || {
            let (mut written, mut most_waiting, mut part) = (0, 0, 0);
            while !stopped.load(std::sync::atomic::Ordering::SeqCst) {
                sink.write(&verdicts(written..written + 200)).expect("written");
                sink.flush().expect("flushed");
                written += 200;
                most_waiting = most_waiting.max(sink.health().expect("a server is behind it").waiting_bytes);
                if written % 4_000 == 0 {
                    part += 1;
                    sink.prepare(part, false).expect("prepared");
                }
            }
            sink.finish().expect("finished");
            (written, most_waiting, sink.health().expect("a server is behind it"))
        });
        std::thread::sleep(Duration::from_secs(2));
        server.kill().expect("killed");
        std::thread::sleep(Duration::from_secs(away));
        let back = Instant::now();
        server.restart().expect("it is back");
        std::thread::sleep(Duration::from_secs(2));
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        let (written, most_waiting, health) = writer.join().expect("joined");
        assert_eq!(count(&url, "fyke-kill-*"), written, "{}", product.name());
        let sums = json!({"size": 0, "aggs": {"sum": {"sum": {"field": "n"}}, "most": {"max": {"field": "n"}}}});
        let found = ask(&url, reqwest::Method::POST, "/fyke-kill-*/_search", Some(sums));
        assert_eq!(found["aggregations"]["sum"]["value"], (written * (written - 1) / 2) as f64);
        assert_eq!(found["aggregations"]["most"]["value"], (written - 1) as f64);
        assert!(health.retries > 0, "it was away");
        assert!(most_waiting <= limit + 2_000, "{most_waiting} bytes waited");
        eprintln!(
            "{}: {written} rows, away {away} s and {:.1?} to start, {} retries, at most {most_waiting} bytes waited",
            product.name(),
            back.elapsed(),
            health.retries
        );
    }
}

#[test]
fn server_with_tls_and_users_lets_in_whom_it_knows() {
    for product in products().iter().filter(|product| product.name().starts_with("elastic")) {
        let server = Search::secured(*product).expect("a server");
        let (url, rows) = (server.url(), verdicts(0..50));
        let authority = server.authority().display().to_string();
        let (user, password) = USER;
        let known = [("index", "fyke-secret"), ("ca_file", authority.as_str()), ("user", user)];
        let with = |options: &[(&str, &str)]| SearchConnector.sink(&spec(&url, rows.schema(), options));

        let stranger = with(&[&known[..], &[("password", "wrong")]].concat()).err().expect("a stranger");
        assert_eq!(stranger.kind(), Kind::Usage);
        assert!(stranger.to_string().contains("does not let us in"), "{stranger}");

        let mut sink = with(&[&known[..], &[("password", password)]].concat()).expect("a sink");
        sink.write(&rows).expect("written");
        sink.finish().expect("finished");

        // a search sees what was written before the last refresh: at most a second ago
        std::thread::sleep(Duration::from_millis(1_500));
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let options = [&known[..], &[("password", password)]].concat();
        let source = SearchConnector.source(&table(&url, Some(schema), &options)).expect("a source");
        let (batches, _) = read(source.as_ref(), &self::options(None, None), usize::MAX);
        assert_eq!(numbers(&batches).len(), 50, "{}", product.name());

        // its certificate is signed by nobody that the machine knows
        let unknown = [("index", "fyke-secret"), ("user", user), ("password", password)];
        let error = with(&unknown).err().expect("an unknown authority");
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[test]
fn windows_of_this_file_are_windows() {
    // a guard of this file's own helper
    assert_eq!(verdicts(0..1).schema().field(0).data_type(), &window_type());
}
