//! Folders called after values, both ways: `customer=a/date=2026-01-01/`.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use common::{options, spec};
use fyke_connect::FileConnector;
use fyke_types::{Connector, Event, PartsOf, ReadOptions, Result, Sink, SinkMode, SinkSpec, TableSpec};

/// 2026-01-01 is day 20,454 since 1970.
const DAY: i32 = 20_454;

fn rows(values: &[(Option<&str>, i32, i64)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("customer", Arc::new(values.iter().map(|(customer, ..)| *customer).collect::<StringArray>()) as _, true),
        ("n", Arc::new(values.iter().map(|(_, _, n)| Some(*n)).collect::<Int64Array>()) as _, true),
        ("date", Arc::new(values.iter().map(|(_, day, _)| Some(*day)).collect::<Date32Array>()) as _, true),
    ])
    .unwrap()
}

fn open(format: &str, to: &Path, by: &str, mode: SinkMode, parts: Option<PartsOf>) -> Result<Box<dyn Sink>> {
    FileConnector.sink(&SinkSpec {
        format: format.into(),
        location: to.display().to_string(),
        schema: rows(&[]).schema(),
        unique: None,
        mode,
        options: BTreeMap::from([("partition_by".to_owned(), by.to_owned())]),
        parts,
        key: None,
    })
}

fn write(format: &str, to: &Path, mode: SinkMode, values: &[(Option<&str>, i32, i64)]) {
    let mut sink = open(format, to, "customer, date", mode, None).unwrap();
    sink.write(&rows(values)).unwrap();
    sink.finish().unwrap();
}

/// Files below a folder, hidden ones too.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

/// Customers of inputs, and rows as text.
fn read(table: &TableSpec, projection: Option<Vec<usize>>) -> (Vec<String>, Vec<String>) {
    let source = FileConnector.source(table).unwrap();
    let (mut customers, mut found) = (Vec::new(), Vec::new());
    for threads in [0, 2] {
        let options = ReadOptions { event_time: None, projection: projection.clone(), ..options(threads, 1 << 20) };
        let mut reader = source.open(&options).unwrap();
        (customers, found) = (Vec::new(), Vec::new());
        loop {
            match reader.next(Duration::ZERO).unwrap() {
                Event::Opened(input) => customers.push(input.customer.to_string()),
                Event::Rows(rows) => {
                    let text = |row: usize| -> String {
                        let shown = |column| array_value_to_string(column, row).unwrap();
                        rows.batch.columns().iter().map(|column| shown(column)).collect::<Vec<_>>().join(" ")
                    };
                    found.extend((0..rows.batch.num_rows()).map(text));
                }
                Event::End => break,
                _ => {}
            }
        }
        found.sort();
    }
    (customers, found)
}

const VALUES: &[(Option<&str>, i32, i64)] = &[
    (Some("a"), DAY, 1),
    (Some("a"), DAY, 2),
    (Some("b/c =%"), DAY, 3),
    (Some("a"), DAY + 1, 4),
    (None, DAY, 5),
    (Some("a"), DAY, 6),
];

#[test]
fn rows_come_back_from_their_folders_in_every_format() {
    for (format, extension) in [("PARQUET", "parquet"), ("JSON", "json"), ("CSV", "csv")] {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out");
        write(format, &to, SinkMode::Append, VALUES);
        let expected = [
            "customer=__HIVE_DEFAULT_PARTITION__/date=2026-01-01",
            "customer=a/date=2026-01-01",
            "customer=a/date=2026-01-02",
            "customer=b%2Fc %3D%25/date=2026-01-01",
        ];
        assert_eq!(files(&to), expected.map(|path| format!("{path}/part-00000.{extension}")), "{format}");
        assert_eq!(files(folder.path()).len(), 4, "no hidden file is left");
        let fields = [("date", DataType::Date32), ("n", DataType::Int64), ("customer", DataType::Utf8)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        let declared = TableSpec { schema: Some(Arc::new(Schema::new(fields.to_vec()))), ..spec(format, &to, &[]) };
        let (customers, found) = read(&declared, None);
        assert_eq!(customers, ["part-00000", "a", "a", "b/c =%"], "{format}");
        let all = [
            "2026-01-01 1 a",
            "2026-01-01 2 a",
            "2026-01-01 3 b/c =%",
            "2026-01-01 5 ",
            "2026-01-01 6 a",
            "2026-01-02 4 a",
        ];
        assert_eq!(found, all, "{format}");
        let (_, found) = read(&declared, Some(vec![2, 0]));
        assert_eq!(found[0], " 2026-01-01", "{format}");
        assert_eq!(read(&declared, Some(vec![1])).1, ["1", "2", "3", "4", "5", "6"], "{format}");
        assert_eq!(read(&declared, Some(vec![])).1.len(), 6, "{format}");
        // without a declaration the folders' values are texts behind the files' columns
        let inferred = spec(format, &to, &[]);
        assert_eq!(read(&inferred, None).1[0], "1 a 2026-01-01", "{format}");
        let alone = spec(format, &to, &[("partition_by", "off")]);
        assert_eq!(read(&alone, None).1, ["1", "2", "3", "4", "5", "6"], "{format}");
    }
}

#[test]
fn a_folder_is_believed_over_a_column_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("customer=a");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("x.json"), "{\"n\":1,\"customer\":\"other\"}\n").unwrap();
    assert_eq!(read(&spec("JSON", folder.path(), &[]), None).1, ["1 a"]);
}

#[test]
fn a_log_in_a_folder_of_its_customer_is_the_customers() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("customer=acme/date=2026-01-01");
    std::fs::create_dir_all(&inner).unwrap();
    let line = "203.0.113.9 - - [23/Nov/2025:19:02:01 +0000] \"GET / HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n";
    std::fs::write(inner.join("access.log"), line).unwrap();
    let (customers, found) = read(&spec("COMBINED", folder.path(), &[]), Some(vec![1]));
    assert_eq!((customers, found), (vec!["acme".to_owned()], vec!["acme".to_owned()]));
    let refused = FileConnector.source(&spec("COMBINED", folder.path(), &[("partition_by", "date")])).err().unwrap();
    assert!(refused.to_string().contains("partition_by"), "{refused}");
}

#[test]
fn a_folder_whose_name_is_no_value_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write("JSON", folder.path(), SinkMode::Overwrite, &VALUES[..1]);
    std::fs::rename(folder.path().join("customer=a/date=2026-01-01"), folder.path().join("customer=a/date=today"))
        .unwrap();
    let fields = vec![Field::new("n", DataType::Int64, true), Field::new("date", DataType::Date32, true)];
    let table = TableSpec { schema: Some(Arc::new(Schema::new(fields))), ..spec("JSON", folder.path(), &[]) };
    let mut reader =
        FileConnector.source(&table).unwrap().open(&ReadOptions { event_time: None, ..options(0, 99) }).unwrap();
    let error = loop {
        match reader.next(Duration::ZERO) {
            Err(error) => break error.to_string(),
            Ok(Event::End) => panic!("no error"),
            Ok(_) => {}
        }
    };
    assert!(error.contains("date=today") && error.contains("Date32"), "{error}");
}

#[test]
fn other_runs_rows_are_refused_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    write("JSON", folder.path(), SinkMode::Append, VALUES);
    let held = open("JSON", folder.path(), "customer", SinkMode::Append, None).err().unwrap().to_string();
    assert!(held.contains("--overwrite"), "{held}");
    write("JSON", folder.path(), SinkMode::Overwrite, &[(Some("a"), DAY, 7), (Some("z"), DAY, 8)]);
    assert_eq!(
        files(folder.path()),
        ["customer=a/date=2026-01-01/part-00000.json", "customer=z/date=2026-01-01/part-00000.json"]
    );
    assert_eq!(read(&spec("JSON", folder.path(), &[]), None).1, ["7 a 2026-01-01", "8 z 2026-01-01"]);
    for (by, said) in [
        ("n, n", "partition_by"),
        ("customer,", "partition_by"),
        ("nobody", "the columns are"),
        ("n, customer, date", "none is left"),
    ] {
        let refused = open("JSON", &folder.path().join("other"), by, SinkMode::Append, None).err().unwrap().to_string();
        assert!(refused.contains(said), "{by}: {refused}");
    }
    assert!(!folder.path().join("other").exists());
    let objects =
        open("JSON", Path::new("s3://bucket/out"), "customer", SinkMode::Append, None).err().unwrap().to_string();
    assert!(objects.contains("folder of its own machine"), "{objects}");
}

#[test]
fn with_checkpoints_rows_are_seen_once_whatever_dies_when() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    write("JSON", &to, SinkMode::Append, &[(Some("old"), DAY, 0)]);
    let parts = |generation, resumed| {
        Some(PartsOf { run: "r".into(), generation, resumed, output: "out".into(), spool: None, every: None })
    };
    let by = "customer";
    let seen = || read(&spec("JSON", &to, &[]), Some(vec![0])).1;
    assert!(open("JSON", &to, by, SinkMode::Append, parts(1, false)).is_err());
    let mut sink = open("JSON", &to, by, SinkMode::Overwrite, parts(1, false)).unwrap();
    sink.write(&rows(&VALUES[..3])).unwrap();
    let first = sink.prepare(1, false).unwrap().unwrap();
    sink.write(&rows(&[(Some("a"), DAY, 10)])).unwrap();
    let second = sink.prepare(2, false).unwrap().unwrap();
    assert_eq!(seen(), ["0"], "nothing is seen before it is committed");
    sink.commit(&first).unwrap();
    assert_eq!(seen(), ["1", "2", "3"], "the other run's are replaced");
    // it dies with a part prepared that no checkpoint names, and one written to
    sink.write(&rows(&[(Some("lost"), DAY, 11)])).unwrap();
    sink.prepare(3, false).unwrap().unwrap();
    sink.write(&rows(&[(Some("a"), DAY, 12)])).unwrap();
    std::mem::forget(sink);
    let mut sink = open("JSON", &to, by, SinkMode::Overwrite, parts(2, true)).unwrap();
    sink.commit(&second).unwrap();
    sink.commit(&second).unwrap();
    sink.recover(2).unwrap();
    assert_eq!(seen(), ["1", "10", "2", "3"]);
    assert!(files(&to).iter().all(|path| !path.contains("/.part")), "{:?}", files(&to));
    sink.write(&rows(&[(Some("lost"), DAY, 11), (Some("a"), DAY, 12)])).unwrap();
    let third = sink.prepare(3, true).unwrap().unwrap();
    sink.commit(&third).unwrap();
    sink.finish().unwrap();
    drop(sink);
    assert_eq!(seen(), ["1", "10", "11", "12", "2", "3"]);
    assert!(files(&to).iter().all(|path| !path.contains("/.part")), "{:?}", files(&to));
}
