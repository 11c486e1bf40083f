//! Dead letters and late rows go to any output, and can be replayed from there.
#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fyke::arrow::array::RecordBatch;
use fyke::types::Sink;
use fyke::{Progress, RunSettings, Script, SinkMode};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<RecordBatch>>>);

impl Sink for Kept {
    fn write(&mut self, batch: &RecordBatch) -> fyke::Result<()> {
        self.0.lock().expect("no panic").push(batch.clone());
        Ok(())
    }

    fn finish(&mut self) -> fyke::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn lines(&self) -> Vec<String> {
        let mut text = Vec::new();
        for batch in self.0.lock().expect("no panic").iter() {
            fyke::connect::batch_to_json_lines(batch, &mut text).expect("JSON");
        }
        let mut lines: Vec<String> = String::from_utf8(text).expect("UTF-8").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// Runs a script as a stream over what is there.
async fn stream(text: &str) -> fyke::Result<(Vec<String>, Progress)> {
    let script = Script::parse(text, "test.sql", &BTreeMap::new())?;
    let kept = Kept::default();
    let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(kept.clone())) };
    let settings = RunSettings { mode: SinkMode::Overwrite, ..RunSettings::default() };
    let driver = fyke::context().stream_script(&script, &settings, &select, &mut |_| {}).await?;
    let progress = tokio::task::spawn_blocking(move || driver.run()).await.expect("runs")?;
    Ok((kept.lines(), progress))
}

/// Runs a script as batch.
async fn batch(text: &str) -> fyke::Result<Vec<String>> {
    let script = Script::parse(text, "test.sql", &BTreeMap::new())?;
    let kept = Kept::default();
    let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(kept.clone())) };
    fyke::context().batch_script(&script, SinkMode::Overwrite, &select, &mut |_| {}).await?;
    Ok(kept.lines())
}

/// Five lines, three of which are no rows of a table whose `n` is a number.
const LOG: &str = "\
{\"time\":\"2026-01-01T00:00:01Z\",\"host\":\"a\",\"n\":1}
{\"time\":\"2026-01-01T00:00:02Z\",\"host\":\"a\",\"n\":\"two\"}
{\"time\":\"2026-01-01T00:00:03Z\",\"host\":\"b\",\"n\":3}
{\"time\":\"2026-01-01T00:00:04Z\",\"host\":\"b\",\"n\":\"four\"}
this is no JSON
";

fn first_reading(folder: &Path, stored_as: &str, location: &str) -> String {
    let folder = folder.display();
    // the output's columns are those of dead letters: nobody declares them
    format!(
        "CREATE EXTERNAL TABLE dead STORED AS {stored_as} LOCATION '{location}';
         CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, n BIGINT) STORED AS JSON \
           LOCATION '{folder}/log.json' OPTIONS ('event_time' 'time', 'dead_to' 'dead');
         SELECT host, n FROM requests"
    )
}

fn replay(stored_as: &str, location: &str) -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE again (time TIMESTAMP, host VARCHAR, n VARCHAR) STORED AS DEAD_LETTERS \
           LOCATION '{location}' OPTIONS ('stored_as' '{stored_as}', 'format' 'JSON', 'event_time' 'time', \
           'lateness' '1 day', 'dead_to' '{location}-still.json');
         SELECT host, n FROM again"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_any_file_output_are_replayed_after_a_fix() {
    for stored_as in ["PARQUET", "JSON", "CSV"] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("log.json"), LOG).expect("written");
        let location = format!("{}/dead.{}", folder.path().display(), stored_as.to_lowercase());
        let (rows, progress) = stream(&first_reading(folder.path(), stored_as, &location)).await.expect("runs");
        assert_eq!(rows, [r#"{"host":"a","n":1}"#, r#"{"host":"b","n":3}"#]);
        assert_eq!(progress.totals(), (5, 2, 0, 3));
        // a text holds what no number could
        let again = replay(stored_as, &location);
        let expected = [r#"{"host":"a","n":"two"}"#, r#"{"host":"b","n":"four"}"#];
        let (rows, progress) = stream(&again).await.expect("runs");
        assert_eq!(rows, expected, "{stored_as}");
        assert_eq!(progress.totals(), (3, 2, 0, 1), "{stored_as}");
        assert_eq!(batch(&again).await.expect("runs"), expected, "{stored_as}");
        // what is dead again still knows where it stood
        let still = std::fs::read_to_string(format!("{location}-still.json")).expect("still dead");
        let letter: serde_json::Value = serde_json::from_str(still.trim()).expect("one letter");
        assert_eq!((&letter["line"], &letter["raw"]), (&5.into(), &"this is no JSON".into()), "{letter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_columns_is_a_way_out_and_says_why_it_is_no_way_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let define =
        format!("CREATE EXTERNAL TABLE later STORED AS PARQUET LOCATION '{}/no.parquet';", folder.path().display());
    let error = stream(&format!("{define} SELECT * FROM later")).await.expect_err("nothing is there").to_string();
    assert!(error.contains("no.parquet") && error.contains("test.sql"), "{error}");
    // written to, it is a table like any other
    let (rows, _) =
        stream(&format!("{define} INSERT INTO later SELECT 1 AS one; SELECT 2 AS two")).await.expect("runs");
    assert_eq!(rows, [r#"{"two":2}"#]);
    assert_eq!(batch(&format!("{define} SELECT * FROM later")).await.expect("runs"), [r#"{"one":1}"#]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_replays_are_refused_with_the_remedy() {
    for (options, said) in [
        ("'stored_as' 'PARQUET'", "needs the format"),
        ("'stored_as' 'TAPE', 'format' 'JSON'", "'TAPE'"),
        ("'format' 'JSON'", "'stored_as'"),
        ("'stored_as' 'JSON', 'format' 'JSON', 'fromat' 'x'", "unknown setting 'fromat'"),
    ] {
        let text = format!(
            "CREATE UNBOUNDED EXTERNAL TABLE again (n VARCHAR) STORED AS DEAD_LETTERS LOCATION '/nowhere/dead' \
             OPTIONS ({options}); SELECT n FROM again"
        );
        let error = stream(&text).await.expect_err("wrong").to_string();
        assert!(error.contains(said), "{options}: {error}");
    }
    let text = "COPY (SELECT 1 AS one) TO '/tmp/never.json' OPTIONS ('dead_to' 'x.json')";
    let error = stream(text).await.expect_err("a file refuses nothing").to_string();
    assert!(error.contains("refuses no single rows"), "{error}");
}
