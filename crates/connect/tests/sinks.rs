//! Results in files: what they hold, and when they can be seen.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use common::{options, read_all};
use fyke_connect::FileConnector;
use fyke_types::window::windows;
use fyke_types::{Connector, Kind, ReadOptions, Sink, SinkMode, SinkSpec, TableSpec};

fn batch() -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_000_000), None])) as ArrayRef, true),
        ("word", Arc::new(StringArray::from(vec![Some("a \"b\", c"), Some("")])), true),
        ("n", Arc::new(Int64Array::from(vec![None, Some(-1)])), true),
        ("f", Arc::new(Float64Array::from(vec![1.5, f64::NAN])), true),
        ("w", Arc::new(windows(vec![0, 0], vec![60_000_000, 0], Some(vec![true, false].into()))), true),
    ])
    .unwrap()
}

fn sink_to(
    format: &str,
    location: &Path,
    mode: SinkMode,
    settings: &[(&str, &str)],
) -> fyke_types::Result<Box<dyn Sink>> {
    let options = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<BTreeMap<_, _>>();
    let (format, location) = (format.to_owned(), location.display().to_string());
    FileConnector.sink(&SinkSpec {
        format,
        location,
        schema: batch().schema(),
        unique: None,
        mode,
        options,
        parts: None,
        key: None,
    })
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn json_has_explicit_nulls_and_windows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/out.json");
    let mut sink = sink_to("JSON", &path, SinkMode::Append, &[]).unwrap();
    sink.write(&batch()).unwrap();
    sink.finish().unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"time\":\"1970-01-01T00:00:01Z\",\"word\":\"a \\\"b\\\", c\",\"n\":null,\"f\":1.5,\
         \"w\":{\"start\":\"1970-01-01T00:00:00Z\",\"end\":\"1970-01-01T00:01:00Z\"}}\n\
         {\"time\":null,\"word\":\"\",\"n\":-1,\"f\":null,\"w\":null}\n"
    );
}

#[test]
fn csv_flattens_structs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let mut sink = sink_to("CSV", &path, SinkMode::Append, &[]).unwrap();
    sink.write(&batch()).unwrap();
    sink.finish().unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "time,word,n,f,w.start,w.end\n\
         1970-01-01T00:00:01Z,\"a \"\"b\"\", c\",,1.5,1970-01-01T00:00:00Z,1970-01-01T00:01:00Z\n\
         ,\"\",-1,,,\n"
    );
}

#[test]
fn parquet_is_read_back_equal_through_the_source() {
    let folder = tempfile::tempdir().unwrap();
    for compression in ["snappy", "zstd", "none"] {
        let path = folder.path().join(format!("{compression}.parquet"));
        let settings = [("compression", compression), ("row_group_rows", "1")];
        let mut sink = sink_to("PARQUET", &path, SinkMode::Append, &settings).unwrap();
        sink.write(&batch()).unwrap();
        sink.finish().unwrap();
        let spec = TableSpec {
            name: "t".into(),
            format: "PARQUET".into(),
            location: path.display().to_string(),
            schema: None,
            options: BTreeMap::new(),
        };
        let source = FileConnector.source(&spec).unwrap();
        assert_eq!(source.schema(), batch().schema());
        let mut reader = source.open(&ReadOptions { event_time: None, ..options(0, 1) }).unwrap();
        let mut batches = Vec::new();
        loop {
            match reader.next(std::time::Duration::ZERO).unwrap() {
                fyke_types::Event::Rows(rows) => batches.push(rows.batch),
                fyke_types::Event::End => break,
                _ => {}
            }
        }
        let back = arrow::compute::concat_batches(&batch().schema(), &batches).unwrap();
        // NaN differs from itself
        assert_eq!(back.project(&[0, 1, 2, 4]).unwrap(), batch().project(&[0, 1, 2, 4]).unwrap());
        assert_eq!(reader.bytes_read(), fs::metadata(&path).unwrap().len());

        let timed = read_all(source.as_ref(), &options(2, 1));
        assert_eq!((timed.rows.len(), timed.read, timed.dead.len()), (1, 2, 1));
        assert_eq!(timed.dead[0].1.line, 2);
    }
}

#[test]
fn nothing_is_seen_before_the_end_and_nothing_is_left_without_it() {
    for format in ["JSON", "CSV", "PARQUET"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut sink = sink_to(format, &path, SinkMode::Append, &[]).unwrap();
        sink.write(&batch()).unwrap();
        sink.flush().unwrap();
        assert!(!path.exists(), "{format}");
        assert!(files(folder.path()).iter().all(|name| name.starts_with('.')), "{format}");
        drop(sink);
        assert!(files(folder.path()).is_empty(), "{format}: {:?}", files(folder.path()));
    }
}

#[test]
fn rows_of_another_run_are_refused_unless_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.json");
    fs::write(&path, "old\n").unwrap();
    let error = sink_to("JSON", &path, SinkMode::Append, &[]).err().unwrap();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("already holds rows of another run"), "{error}");
    assert!(error.hint_text().unwrap().contains("--overwrite"));

    let mut sink = sink_to("JSON", &path, SinkMode::Overwrite, &[]).unwrap();
    sink.write(&batch().slice(0, 0)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old\n");
    sink.finish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    // an empty file was only made for its name
    assert!(sink_to("JSON", &path, SinkMode::Append, &[]).is_ok());
}

#[test]
fn folder_gets_a_part_and_overwriting_replaces_all_parts() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let as_folder = format!("{}/", out.display());
    let mut sink = sink_to("PARQUET", Path::new(&as_folder), SinkMode::Append, &[]);
    if let Ok(sink) = &mut sink {
        sink.write(&batch()).unwrap();
        sink.finish().unwrap();
    }
    assert_eq!(files(&out), ["part-00000.parquet"]);
    assert!(sink_to("PARQUET", &out, SinkMode::Append, &[]).is_err());
    fs::write(out.join("part-00001.parquet"), "old").unwrap();
    let mut sink = sink_to("PARQUET", &out, SinkMode::Overwrite, &[]).unwrap();
    sink.write(&batch()).unwrap();
    assert_eq!(files(&out).iter().filter(|name| name.starts_with("part")).count(), 2);
    sink.finish().unwrap();
    assert_eq!(files(&out), ["part-00000.parquet"]);
}

#[test]
fn wrong_settings_and_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    for (format, settings) in [
        ("PARQUET", ("compression", "lz77")),
        ("PARQUET", ("row_group_rows", "0")),
        ("PARQUET", ("speed", "1")),
        ("JSON", ("compression", "zstd")),
        ("CSV", ("header", "false")),
    ] {
        let error = sink_to(format, &path, SinkMode::Append, &[settings]).err().unwrap();
        assert_eq!(error.kind(), Kind::Usage, "{error}");
    }
    assert_eq!(sink_to("COMBINED", &path, SinkMode::Append, &[]).err().unwrap().kind(), Kind::Unsupported);
    assert_eq!(sink_to("PARQUET", Path::new("-"), SinkMode::Append, &[]).err().unwrap().kind(), Kind::Usage);
    assert!(files(folder.path()).is_empty());
}
