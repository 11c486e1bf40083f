//! Outputs of runs with checkpoints: a row is seen once a checkpoint holds it, whatever dies when.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use fyke_connect::FileConnector;
use fyke_types::{Connector, PartsOf, Result, Sink, SinkMode, SinkSpec};

fn rows(values: &[i64]) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values.to_vec())) as _)]).unwrap()
}

fn open(location: &Path, run: &str, generation: u64, resumed: bool, mode: SinkMode) -> Result<Box<dyn Sink>> {
    FileConnector.sink(&SinkSpec {
        format: "JSON".into(),
        location: location.display().to_string(),
        schema: rows(&[]).schema(),
        unique: None,
        mode,
        options: BTreeMap::new(),
        parts: Some(PartsOf { run: run.into(), generation, resumed, output: "out".into(), spool: None, every: None }),
        key: None,
    })
}

/// What a reader of the folder sees, and how many hidden files there are.
fn seen(folder: &Path) -> (Vec<String>, usize) {
    let (mut lines, mut hidden) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().unwrap().to_string_lossy().starts_with('.') {
            true => hidden += 1,
            false => lines.extend(std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned)),
        }
    }
    lines.sort();
    (lines, hidden)
}

const ONE: &str = r#"{"n":1}"#;
const TWO: &str = r#"{"n":2}"#;

#[test]
fn rows_are_hidden_until_their_part_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), "r", 1, false, SinkMode::Append).unwrap();
    sink.write(&rows(&[1])).unwrap();
    let part = sink.prepare(4, false).unwrap().unwrap();
    assert_eq!(seen(folder.path()).0.len(), 0);
    sink.commit(&part).unwrap();
    assert_eq!(seen(folder.path()).0, [ONE]);
    assert_eq!(sink.prepare(5, false).unwrap(), None, "nothing was written since");
    sink.finish().unwrap();
    assert_eq!(seen(folder.path()), (vec![ONE.to_owned()], 0));
}

#[test]
fn crash_between_manifest_and_commit_is_made_good_and_one_before_the_manifest_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path(), "r", 1, false, SinkMode::Append).unwrap();
    first.write(&rows(&[1])).unwrap();
    let in_manifest = first.prepare(1, false).unwrap().unwrap();
    first.write(&rows(&[2])).unwrap();
    let in_none = first.prepare(2, false).unwrap().unwrap();
    first.write(&rows(&[3])).unwrap();
    std::mem::forget(first);
    let mut second = open(folder.path(), "r", 2, true, SinkMode::Append).unwrap();
    second.commit(&in_manifest).unwrap();
    second.recover(1).unwrap();
    assert_eq!(seen(folder.path()).0, [ONE]);
    // committed once more by another process: no harm
    second.commit(&in_manifest).unwrap();
    assert!(second.commit(&in_none).unwrap_err().to_string().contains("missing"));
    second.write(&rows(&[2])).unwrap();
    let part = second.prepare(2, true).unwrap().unwrap();
    second.commit(&part).unwrap();
    second.finish().unwrap();
    assert_eq!(seen(folder.path()), (vec![ONE.to_owned(), TWO.to_owned()], 0));
}

#[test]
fn going_back_to_an_older_checkpoint_takes_later_parts_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), "r", 1, false, SinkMode::Append).unwrap();
    for part in [1, 2] {
        sink.write(&rows(&[part])).unwrap();
        let prepared = sink.prepare(part as u64, false).unwrap().unwrap();
        sink.commit(&prepared).unwrap();
    }
    drop(sink);
    open(folder.path(), "r", 2, true, SinkMode::Append).unwrap().recover(1).unwrap();
    assert_eq!(seen(folder.path()).0, [ONE]);
}

#[test]
fn output_of_another_run_is_refused_or_replaced_with_the_first_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = open(folder.path(), "old", 1, false, SinkMode::Append).unwrap();
    old.write(&rows(&[1])).unwrap();
    let part = old.prepare(1, true).unwrap().unwrap();
    old.commit(&part).unwrap();
    old.finish().unwrap();
    let Err(error) = open(folder.path(), "new", 1, false, SinkMode::Append) else { panic!("accepted") };
    assert!(error.to_string().contains("--overwrite"), "{error}");
    let mut new = open(folder.path(), "new", 1, false, SinkMode::Overwrite).unwrap();
    new.write(&rows(&[2])).unwrap();
    let part = new.prepare(1, false).unwrap().unwrap();
    assert_eq!(seen(folder.path()).0, [ONE], "the old rows stay until there are new ones");
    new.commit(&part).unwrap();
    assert_eq!(seen(folder.path()).0, [TWO]);
}

#[test]
fn output_without_rows_still_has_columns() {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().join("out.parquet");
    let spec = SinkSpec {
        format: "PARQUET".into(),
        location: location.display().to_string(),
        schema: rows(&[]).schema(),
        unique: None,
        mode: SinkMode::Append,
        options: BTreeMap::new(),
        parts: Some(PartsOf {
            run: "r".into(),
            generation: 1,
            resumed: false,
            output: "out".into(),
            spool: None,
            every: None,
        }),
        key: None,
    };
    let mut sink = FileConnector.sink(&spec).unwrap();
    assert_eq!(sink.prepare(1, false).unwrap(), None);
    let part = sink.prepare(2, true).unwrap().unwrap();
    sink.commit(&part).unwrap();
    sink.finish().unwrap();
    let names: Vec<_> = std::fs::read_dir(&location).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["part-r-000000000002.parquet"]);
}

#[test]
fn wrong_settings_are_said_before_the_first_row() {
    let folder = tempfile::tempdir().unwrap();
    let spec = SinkSpec {
        format: "PARQUET".into(),
        location: folder.path().display().to_string(),
        schema: rows(&[]).schema(),
        unique: None,
        mode: SinkMode::Append,
        options: BTreeMap::from([("compression".into(), "brotli".into())]),
        parts: Some(PartsOf {
            run: "r".into(),
            generation: 1,
            resumed: false,
            output: "out".into(),
            spool: None,
            every: None,
        }),
        key: None,
    };
    let Err(error) = FileConnector.sink(&spec) else { panic!("accepted") };
    assert!(error.to_string().contains("brotli"), "{error}");
}

#[test]
fn sink_that_goes_on_for_another_generation_forgets_rows_that_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), "r", 1, false, SinkMode::Append).unwrap();
    sink.write(&rows(&[1])).unwrap();
    let part = sink.prepare(2, false).unwrap().unwrap();
    sink.commit(&part).unwrap();
    sink.write(&rows(&[2])).unwrap();
    sink.recover(2).unwrap();
    sink.write(&rows(&[2])).unwrap();
    let part = sink.prepare(4, true).unwrap().unwrap();
    sink.commit(&part).unwrap();
    assert_eq!(seen(folder.path()).0, [ONE, TWO]);
}

#[test]
fn rows_of_another_run_are_replaced_by_whoever_commits_the_first_part() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("part-other-000000000001.json"), "{\"n\":9}\n").unwrap();
    let mut died = open(folder.path(), "r", 1, false, SinkMode::Overwrite).unwrap();
    died.write(&rows(&[1])).unwrap();
    let part = died.prepare(2, false).unwrap().unwrap();
    drop(died);
    let mut resumed = open(folder.path(), "r", 2, true, SinkMode::Overwrite).unwrap();
    resumed.commit(&part).unwrap();
    resumed.recover(2).unwrap();
    assert_eq!(seen(folder.path()).0, [ONE]);
}
