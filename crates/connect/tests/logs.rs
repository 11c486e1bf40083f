//! Logs in their real formats, through the connector as the engine calls it.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use common::{options, spec};
use fyke_connect::{FileConnector, sample};
use fyke_types::{Connector, DeadLetter, Event, ReadOptions, Source, SystemClock};

/// The folder of real logs, unless it is absent.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn data() -> Option<PathBuf> {
    let fallback = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("FYKE_DATA").map_or(fallback, PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: no folder {} (set FYKE_DATA)", folder.display());
        return None;
    }
    Some(folder)
}

fn live(threads: usize, projection: Option<Vec<usize>>) -> ReadOptions {
    ReadOptions { projection, clock: Arc::new(SystemClock), ..options(threads, 1 << 20) }
}

/// Rows, dead letters and read, and rows by customer.
fn count(source: &dyn Source, options: &ReadOptions) -> (usize, Vec<DeadLetter>, u64, BTreeMap<String, usize>) {
    let mut reader = source.open(options).unwrap();
    let (mut rows, mut dead, mut read, mut customers, mut of_input) =
        (0, Vec::new(), 0, BTreeMap::new(), BTreeMap::new());
    loop {
        match reader.next(Duration::ZERO).unwrap() {
            Event::Opened(input) => _ = of_input.insert(input.id, input.customer.to_string()),
            Event::Rows(given) => {
                rows += given.batch.num_rows();
                dead.extend(given.dead);
                read += given.read;
                *customers.entry(of_input[&given.input].clone()).or_default() += given.batch.num_rows();
            }
            Event::End => return (rows, dead, read, customers),
            _ => {}
        }
    }
}

#[test]
fn combined_log_in_a_folder_gives_requests_of_its_customer() {
    let folder = tempfile::tempdir().unwrap();
    let line = |second: u32, path: &str| {
        format!(
            "203.0.113.9 - - [23/Nov/2025:19:02:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n"
        )
    };
    fs::write(folder.path().join("shop.log"), line(1, "/a") + &line(3, "/c") + "garbage\n").unwrap();
    fs::write(folder.path().join("blog.log"), line(2, "/b")).unwrap();
    let source = FileConnector.source(&spec("COMBINED", folder.path(), &[])).unwrap();
    let schema = source.schema();
    let (time, customer) = (schema.index_of("time").unwrap(), schema.index_of("customer").unwrap());
    let options = ReadOptions { event_time: Some(time), ..live(1, Some(vec![customer])) };
    let mut reader = source.open(&options).unwrap();
    let mut customers = Vec::new();
    loop {
        match reader.next(Duration::ZERO).unwrap() {
            Event::Rows(rows) => {
                customers.extend(rows.batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
                for letter in rows.dead {
                    assert_eq!((letter.line, letter.raw.as_slice()), (3, b"garbage".as_slice()));
                }
            }
            Event::End => break,
            _ => {}
        }
    }
    assert_eq!(customers, ["blog", "shop", "shop"]);
    assert!(String::from_utf8(sample(&folder.path().display().to_string(), 20).unwrap()).unwrap().starts_with("203."));
}

#[test]
fn json_schema_is_inferred_from_the_first_file_that_is_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), "").unwrap();
    fs::write(folder.path().join("b.json"), "{\"n\":1,\"word\":\"x\"}\n{\"n\":2,\"word\":null}\n").unwrap();
    let source = FileConnector.source(&spec("JSON", folder.path(), &[])).unwrap();
    let names: Vec<String> = source.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["n", "word"]);
    let options = ReadOptions { event_time: None, ..live(2, None) };
    assert_eq!(count(source.as_ref(), &options).0, 2);
}

#[test]
fn missing_log_is_named_even_where_columns_would_be_inferred() {
    for format in ["JSON", "REQUESTS", "CSV", "PARQUET"] {
        let error = FileConnector.source(&spec(format, "/nowhere/app.log", &[])).err().unwrap().to_string();
        assert!(error.contains("/nowhere/app.log"), "{format}: {error}");
    }
}

#[test]
fn real_logs_are_read_whole() {
    let Some(data) = data() else { return };
    for (file, rows) in [
        ("wordpress-2016.combined.log.zip", 206_860),
        ("blog-2015.combined.log.gz", 10_000),
        ("honeypot-2015.combined.log.gz", 3_456),
    ] {
        for format in ["COMBINED", "REQUESTS"] {
            let source = FileConnector.source(&spec(format, data.join("logs").join(file), &[])).unwrap();
            let (given, dead, read, _) = count(source.as_ref(), &live(2, None));
            assert_eq!((given + dead.len(), read), (rows, rows as u64), "{file} as {format}");
            // the blog's log holds a line that its server cut off
            assert!(dead.len() <= 1, "{file} as {format}: {dead:?}");
        }
    }
    let glob = data.join("logs").join("*.combined.log.*");
    let (rows, _, _, customers) =
        count(FileConnector.source(&spec("COMBINED", glob, &[])).unwrap().as_ref(), &live(1, None));
    assert!(rows >= 220_315, "{rows}");
    assert!(customers["blog-2015"] >= 9_999 && customers.contains_key("honeypot-2015"), "{customers:?}");
}
