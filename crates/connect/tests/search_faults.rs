//! An output to a search server that fails in every way that a real one can't be made to fail on demand.
#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

#[path = "common/stub.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod stub;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use fyke_connect::{MemorySink, SearchConnector};
use fyke_types::{Connector, Kind, Result, Sink, SinkMode, SinkSpec, dead_schema, key_columns};
use stub::{Faults, Stub};

/// 2026-03-02 08:00:00 UTC
const START: i64 = 1_772_438_400_000_000;

fn rows(numbers: std::ops::Range<i64>, state: i64) -> RecordBatch {
    let customers = numbers.clone().map(|n| format!("Shop {}", n % 3));
    let times = numbers.clone().map(|n| START + n * 60_000_000);
    let columns: [(&str, ArrayRef); 4] = [
        ("time", Arc::new(TimestampMicrosecondArray::from_iter_values(times))),
        ("customer", Arc::new(StringArray::from_iter_values(customers))),
        ("n", Arc::new(Int64Array::from_iter_values(numbers.clone()))),
        ("state", Arc::new(Int64Array::from_iter_values(numbers.map(|_| state)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).expect("a batch")
}

fn spec(url: &str, options: &[(&str, &str)]) -> SinkSpec {
    let common = [("index", "fyke-{customer}"), ("retry_first", "1ms"), ("retry_most", "20ms"), ("batch_wait", "5ms")];
    let options = common.iter().chain(options).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    SinkSpec {
        format: "OPENSEARCH".into(),
        location: url.into(),
        schema: rows(0..1, 0).schema(),
        unique: None,
        mode: SinkMode::Append,
        options,
        parts: None,
        key: None,
    }
}

fn sink(url: &str, options: &[(&str, &str)]) -> Result<Box<dyn Sink>> {
    SearchConnector.sink(&spec(url, options))
}

/// `n` of each document, with how often it is there.
fn numbers(stub: &Stub) -> BTreeMap<i64, usize> {
    let mut found = BTreeMap::new();
    for document in stub.documents().values() {
        *found.entry(document["n"].as_i64().expect("a number")).or_default() += 1;
    }
    found
}

fn all_once(count: i64) -> BTreeMap<i64, usize> {
    (0..count).map(|n| (n, 1)).collect()
}

#[test]
fn server_that_fails_in_all_ways_has_every_row_once() {
    let faults = Faults { busy: 0.2, busy_document: 0.1, cut_before: 0.1, cut_after: 0.1, ..Faults::default() };
    let stub = Stub::start(faults);
    let mut sink = sink(&stub.url, &[("batch_rows", "100"), ("connections", "3"), ("gzip", "true")]).expect("a sink");
    for start in (0..20_000).step_by(1000) {
        sink.write(&rows(start..start + 1000, 0)).expect("written");
        sink.flush().expect("flushed");
    }
    sink.finish().expect("finished");
    assert_eq!(numbers(&stub), all_once(20_000));
    let kept = stub.kept.lock().expect("no panic");
    assert!(kept.faults > 500, "there were {} faults", kept.faults);
    assert_eq!(kept.compressed, kept.requests);
    let indices: Vec<&str> = kept.documents.keys().map(|(index, _)| index.as_str()).collect();
    assert!(indices.contains(&"fyke-~53hop~200"), "{:?}", indices.first());
    let health = sink.health().expect("a server is behind it");
    assert_eq!((health.taken, health.refused, health.waiting_bytes), (20_000, 0, 0));
    assert!(health.retries > 0 && health.trouble.is_none());
}

#[test]
fn rows_of_a_second_process_take_the_place_of_the_first_ones() {
    let stub = Stub::start(Faults::default());
    for _ in 0..2 {
        let mut sink = sink(&stub.url, &[]).expect("a sink");
        sink.write(&rows(0..500, 0)).expect("written");
        sink.finish().expect("finished");
    }
    assert_eq!(numbers(&stub), all_once(500));
    // an id of one's own choice does not depend on the other columns
    let mut sink = sink(&stub.url, &[("id", "n"), ("index", "by-n")]).expect("a sink");
    for state in 0..3 {
        sink.write(&rows(0..10, state)).expect("written");
    }
    sink.finish().expect("finished");
    let documents = stub.documents();
    let by_n: Vec<_> =
        documents.iter().filter(|((index, _), _)| index == "by-n").map(|(_, document)| document).collect();
    assert_eq!(by_n.len(), 10);
    assert!(by_n.iter().all(|document| document["state"] == 2));
}

#[test]
fn a_data_stream_that_has_a_row_already_counts_it_as_taken() {
    let stub = Stub::start(Faults { cut_after: 0.5, ..Faults::default() });
    let mut sink = sink(&stub.url, &[("data_stream", "true"), ("batch_rows", "10")]).expect("a sink");
    sink.write(&rows(0..500, 0)).expect("written");
    sink.finish().expect("finished");
    assert_eq!(numbers(&stub), all_once(500));
    let kept = stub.kept.lock().expect("no panic");
    assert!(kept.templates[0].1["data_stream"].is_object(), "{:?}", kept.templates);
}

/// A column that the server refuses when it holds "poison".
fn texts(texts: &[&str]) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("word", column, true)]).expect("a batch")
}

#[test]
fn refused_document_becomes_a_dead_letter_with_its_reason() {
    let stub = Stub::start(Faults { busy: 0.3, ..Faults::default() });
    let spec = SinkSpec { schema: texts(&["a"]).schema(), ..spec(&stub.url, &[("index", "words")]) };
    let mut sink = SearchConnector.sink(&spec).expect("a sink");
    let dead = MemorySink::new();
    sink.dead_letters_to(Box::new(dead.clone())).expect("it may refuse");
    sink.write(&texts(&["a", "poison", "b"])).expect("written");
    sink.prepare(1, false).expect("prepared");
    assert_eq!(stub.documents().len(), 2);
    sink.finish().expect("finished");
    let letters = dead.batches();
    assert_eq!(letters.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    let letter = &letters[0];
    assert_eq!(letter.schema(), dead_schema());
    let text = |name: &str| letter.column_by_name(name).expect("a column").as_string::<i32>().value(0).to_owned();
    assert!(text("input").starts_with("words/"), "{}", text("input"));
    assert_eq!(text("reason"), "status 400: mapper_parsing_exception: no number: For input string");
    let raw = letter.column_by_name("raw").expect("a column").as_binary::<i32>().value(0);
    assert_eq!(raw, br#"{"word":"poison"}"#);
    let health = sink.health().expect("a server is behind it");
    assert_eq!((health.taken, health.refused, health.waiting_bytes), (2, 1, 0));
    assert!(health.last_refusal.expect("a reason").contains("mapper_parsing_exception"));
}

#[test]
fn refused_document_without_a_place_for_it_is_counted() {
    let stub = Stub::start(Faults::default());
    let spec = SinkSpec { schema: texts(&["a"]).schema(), ..spec(&stub.url, &[("index", "words")]) };
    let mut sink = SearchConnector.sink(&spec).expect("a sink");
    sink.write(&texts(&["poison", "b"])).expect("written");
    sink.finish().expect("finished");
    assert_eq!(sink.health().map(|health| (health.taken, health.refused)), Some((1, 1)));
}

#[test]
fn queue_stays_within_its_bytes_and_its_maker_waits() {
    let stub = Stub::start(Faults::default());
    stub.kept.lock().expect("no panic").closed = true;
    let limit = 200_000;
    let mut sink = sink(&stub.url, &[("queue_bytes", "200kB"), ("batch_bytes", "20kB")]).expect("a sink");
    let (give, health) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        for start in (0..30_000).step_by(100) {
            sink.write(&rows(start..start + 100, 0)).expect("written");
            give.send((start, sink.health().expect("a server is behind it").waiting_bytes)).expect("the test waits");
        }
        sink.finish().expect("finished");
    });
    // the maker gets so far and no further
    let started = Instant::now();
    let mut last = (0, 0);
    while let Ok(seen) = health.recv_timeout(Duration::from_millis(500)) {
        assert!(seen.1 <= limit + 500, "{} bytes wait", seen.1);
        last = seen;
        assert!(started.elapsed() < Duration::from_secs(60));
    }
    assert!(last.0 < 5_000, "{} rows went into a closed server's queue", last.0);
    assert!(!writer.is_finished());
    stub.kept.lock().expect("no panic").closed = false;
    for (_, waiting) in health.iter() {
        assert!(waiting <= limit + 500, "{waiting} bytes wait");
    }
    writer.join().expect("joined");
    assert_eq!(numbers(&stub), all_once(30_000));
}

#[test]
fn prepare_returns_only_when_every_row_was_taken() {
    let stub = Stub::start(Faults { slow: Some(Duration::from_millis(100)), busy: 0.3, ..Faults::default() });
    let mut sink = sink(&stub.url, &[("batch_wait", "10 minutes")]).expect("a sink");
    for part in 1..6_i64 {
        sink.write(&rows((part - 1) * 50..part * 50, 0)).expect("written");
        let started = Instant::now();
        sink.flush().expect("flushed");
        assert!(started.elapsed() < Duration::from_millis(50), "flush waits for nobody");
        sink.prepare(part as u64, false).expect("prepared");
        assert_eq!(numbers(&stub), all_once(part * 50));
    }
}

#[test]
fn a_single_row_leaves_without_being_asked_for() {
    let stub = Stub::start(Faults::default());
    let mut sink = sink(&stub.url, &[]).expect("a sink");
    sink.write(&rows(0..1, 0)).expect("written");
    sink.flush().expect("flushed");
    let started = Instant::now();
    while stub.documents().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(10), "it never left");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn too_large_a_request_is_halved_until_it_fits() {
    let stub = Stub::start(Faults { most_bytes: Some(2_000), ..Faults::default() });
    let mut sink = sink(&stub.url, &[]).expect("a sink");
    sink.write(&rows(0..1_000, 0)).expect("written");
    sink.finish().expect("finished");
    assert_eq!(numbers(&stub), all_once(1_000));
    // a document that is too large by itself is a dead letter
    let spec = SinkSpec { schema: texts(&["a"]).schema(), ..spec(&stub.url, &[("index", "words")]) };
    let mut sink = SearchConnector.sink(&spec).expect("a sink");
    sink.write(&texts(&["small", &"large".repeat(1_000)])).expect("written");
    sink.finish().expect("finished");
    assert_eq!(sink.health().map(|health| (health.taken, health.refused)), Some((1, 1)));
}

#[test]
fn later_state_of_a_row_wins_whatever_is_tried_again() {
    let stub = Stub::start(Faults { busy: 0.2, busy_document: 0.3, cut_after: 0.1, ..Faults::default() });
    let key = vec!["customer".to_owned(), "n".to_owned()];
    let spec = SinkSpec {
        key: Some(key.clone()),
        ..spec(&stub.url, &[("batch_rows", "7"), ("connections", "3"), ("batch_wait", "0ms")])
    };
    let mut sink = SearchConnector.sink(&spec).expect("a sink");
    for state in 0..60 {
        let states = rows(0..40, state);
        sink.write(&states).expect("written");
        // every third state takes half of the rows back, and the last one does so too
        if state % 3 == 2 {
            sink.delete(&key_columns(&states.slice(0, 20), &key).expect("keys")).expect("taken back");
        }
        sink.flush().expect("flushed");
    }
    sink.finish().expect("finished");
    let found: BTreeMap<i64, i64> = stub
        .documents()
        .values()
        .map(|document| (document["n"].as_i64().expect("a number"), document["state"].as_i64().expect("a number")))
        .collect();
    assert_eq!(found, (20..40).map(|n| (n, 59)).collect());
}

#[test]
fn in_update_mode_an_index_is_named_by_the_key_alone() {
    let stub = Stub::start(Faults::default());
    let with = |key: &str, index: &str| {
        let spec = SinkSpec { key: Some(vec![key.to_owned()]), ..spec(&stub.url, &[("index", index)]) };
        SearchConnector.sink(&spec).map(|_| ())
    };
    assert!(with("customer", "fyke-{customer}").is_ok());
    let error = with("n", "fyke-{customer}").expect_err("it can't be named").to_string();
    assert!(error.contains("columns of the key alone") && error.contains("(n)"), "{error}");
    assert!(SearchConnector.takes_upserts("OPENSEARCH"));
}

#[test]
fn wrong_credentials_end_the_start_with_the_remedy() {
    let stub = Stub::start(Faults { stranger: true, ..Faults::default() });
    let error = sink(&stub.url, &[]).err().expect("we are strangers");
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("'user' and 'password'"), "{error}");
}

#[test]
fn a_limit_of_patience_ends_the_run() {
    let stub = Stub::start(Faults { busy: 1.0, ..Faults::default() });
    let mut sink = sink(&stub.url, &[("give_up_after", "100ms")]).expect("a sink");
    sink.write(&rows(0..10, 0)).expect("written");
    let error = sink.finish().expect_err("nobody takes them");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("'give_up_after'") && error.to_string().contains("busy"), "{error}");
}

#[test]
fn template_has_a_field_for_every_column() {
    let stub = Stub::start(Faults::default());
    drop(sink(&stub.url, &[]).expect("a sink"));
    let kept = stub.kept.lock().expect("no panic");
    let (name, template) = &kept.templates[0];
    assert_eq!(name, "fyke");
    assert_eq!(template["index_patterns"][0], "fyke-*");
    let properties = &template["template"]["mappings"]["properties"];
    assert_eq!(properties["@timestamp"]["type"], "date");
    assert_eq!(properties["organization"]["properties"]["name"]["type"], "keyword");
    assert_eq!(properties["n"]["type"], "long");
}

#[test]
fn wrong_settings_are_refused_with_the_remedy() {
    let stub = Stub::start(Faults::default());
    for (options, said) in [
        (vec![("indx", "x")], "unknown setting 'indx'"),
        (vec![("id", "m")], "no column"),
        (vec![("batch_bytes", "0")], "at least 1"),
        (vec![("queue_bytes", "much")], "a size"),
        (vec![("timestamp", "customer")], "a time or a window"),
    ] {
        let error = sink(&stub.url, &options).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(said), "{options:?}: {error}");
    }
    let spec = SinkSpec { options: BTreeMap::new(), ..spec(&stub.url, &[]) };
    let error = SearchConnector.sink(&spec).err().expect("no index").to_string();
    assert!(error.contains("needs an index"), "{error}");
}

#[test]
fn numbers_are_those_of_the_rows() {
    // a guard of this file's own helper
    let batch = rows(3..5, 7);
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().values(), &[3, 4]);
    assert_eq!(batch.column(0).null_count(), 0);
}
