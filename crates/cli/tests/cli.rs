//! The built binary on small logs: what it prints, writes, refuses, and its exit codes.

mod support;

use support::{Fyke, job};

#[test]
fn run_once_batch_and_parity_agree() {
    let fyke = Fyke::with_log(2_000);
    let run = fyke.run(&["run", "job.sql", "--once", "--set", "OUT=stream.json"]);
    run.succeeds();
    assert!(run.err.contains("requests: read 2000 = used 2000 + late 0 + dead 0"), "{}", run.err);
    assert!(run.err.contains("stream.json: ") && run.err.contains("done in "), "{}", run.err);
    let batch = fyke.run(&["batch", "job.sql", "--set", "OUT=batch.json"]);
    batch.succeeds();
    assert!(batch.err.contains("requests: read 2000 = used 2000 + late 0 + dead 0"), "{}", batch.err);
    assert_eq!(fyke.sorted_lines("stream.json"), fyke.sorted_lines("batch.json"));
    assert!(!fyke.sorted_lines("batch.json").is_empty());
    let parity = fyke.run(&["parity", "job.sql", "--set", "OUT=unused.json"]);
    parity.succeeds();
    assert!(parity.out.contains("unused.json: equal: "), "{}", parity.out);
    assert!(!fyke.path("unused.json").exists(), "parity writes to no output");
}

#[test]
fn late_rows_are_counted_and_the_lateness_that_would_do_is_said() {
    let fyke = Fyke::new();
    let mut lines = support::lines(30_000);
    // the first minute comes last; more than a block lies between, since rows are sorted within a block
    lines.rotate_left(60);
    fyke.write("log.json", &lines.concat());
    fyke.write("job.sql", &job());
    let run = fyke.run(&["run", "job.sql", "--once", "--set", "OUT=out.json"]);
    run.succeeds();
    assert!(run.err.contains("requests: read 30000 = used 29940 + late 60 + dead 0"), "{}", run.err);
    assert!(run.err.contains("raise 'lateness'"), "{}", run.err);
    let parity = fyke.run(&["parity", "job.sql", "--set", "OUT=out.json"]);
    assert_eq!(parity.code, 2, "{}", parity.out);
    assert!(parity.out.contains("raise 'lateness'"), "{}", parity.out);
}

#[test]
fn broken_lines_are_dead_letters_and_counted() {
    let fyke = Fyke::new();
    let mut log = support::lines(50).concat();
    log.push_str("this is no JSON\n{\"time\":\"yesterday\",\"host\":\"a\"}\n");
    fyke.write("log.json", &log);
    fyke.write(
        "job.sql",
        &format!(
            "CREATE EXTERNAL TABLE dead STORED AS JSON LOCATION 'dead.json';\n{}",
            job().replace("'lateness'", "'dead_to' 'dead', 'lateness'")
        ),
    );
    for command in [&["run", "job.sql", "--once"][..], &["batch", "job.sql"]] {
        let run = fyke.run(&[command, &["--set", "OUT=out.json", "--overwrite"]].concat());
        run.succeeds();
        assert!(run.err.contains("requests: read 52 = used 50 + late 0 + dead 2"), "{}", run.err);
        let dead = fyke.sorted_lines("dead.json");
        assert_eq!(dead.len(), 2, "{dead:?}");
        assert!(
            dead.iter().any(|letter| letter.contains("this is no JSON") && letter.contains("\"line\":51")),
            "{dead:?}"
        );
    }
}

#[test]
fn mistake_is_shown_with_its_line() {
    let fyke = Fyke::with_log(10);
    fyke.write("wrong.sql", &job().replace("count(*) AS n", "count(*) AS n,\n  sum(no_such_column) AS x"));
    for command in [&["run", "wrong.sql", "--once"][..], &["batch", "wrong.sql"], &["parity", "wrong.sql"]] {
        let run = fyke.run(&[command, &["--set", "OUT=out.json"]].concat());
        assert_eq!(run.code, 3, "{}", run.err);
        assert!(run.err.contains("at wrong.sql:6:"), "{}", run.err);
        assert!(run.err.contains("  |   sum(no_such_column) AS x\n  |       ^"), "{}", run.err);
    }
}

#[test]
fn syntax_errors_and_missing_files_are_usage_errors() {
    let fyke = Fyke::with_log(10);
    let run = fyke.run(&["run", "-e", "SELECT 1;\nSELEC 2", "--once"]);
    assert_eq!(run.code, 3);
    assert!(run.err.contains("<command line>:2:"), "{}", run.err);
    let run = fyke.run(&["run", "nowhere.sql", "--once"]);
    assert_eq!(run.code, 3);
    assert!(run.err.contains("nowhere.sql"), "{}", run.err);
    assert_eq!(fyke.run(&["run", "job.sql", "--no-such-option"]).code, 3);
    assert_eq!(fyke.run(&["run", "job.sql", "--once"]).code, 3, "${{OUT}} has no value");
}

#[test]
fn script_comes_from_standard_input_too() {
    let fyke = Fyke::new();
    let run =
        fyke.run_with(&["batch", "-", "--format", "json"], "SELECT 1 AS one, '${WORD}' AS word", &[("WORD", "hello")]);
    run.succeeds();
    assert_eq!(run.out, "{\"one\":1,\"word\":\"hello\"}\n");
    let run =
        fyke.run(&["batch", "-e", "SELECT '${WORD}' AS word", "--set", "WORD=a", "--set", "WORD=b", "--format", "csv"]);
    assert_eq!(run.out, "word\nb\n");
}

#[test]
fn bare_select_prints_rows_in_the_asked_format() {
    let fyke = Fyke::with_log(120);
    let select = |format: &str| {
        let text = job().replace("COPY (", "").replace(") TO '${OUT}'", "");
        fyke.write("select.sql", &text);
        let run = fyke.run(&["run", "select.sql", "--once", "--format", format]);
        run.succeeds();
        run.out
    };
    let json = select("json");
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{json}");
    assert!(json.contains("{\"w\":{\"start\":\"2026-03-02T08:00:00Z\",\"end\":\"2026-03-02T08:01:00Z\"}"), "{json}");
    let csv = select("csv");
    assert!(csv.starts_with("w.start,w.end,host,n\n"), "{csv}");
    assert_eq!(csv.lines().count(), json.lines().count() + 1);
    let table = select("table");
    assert!(table.contains("2026-03-02 08:00:00 – 08:01:00"), "{table}");
    assert_eq!(table.lines().count(), json.lines().count() + 2);
}

#[test]
fn output_of_another_run_is_replaced_only_when_asked() {
    let fyke = Fyke::with_log(100);
    let arguments = ["run", "job.sql", "--once", "--set", "OUT=out.parquet"];
    fyke.run(&arguments).succeeds();
    let again = fyke.run(&arguments);
    assert_eq!(again.code, 3, "{}", again.err);
    assert!(again.err.contains("--overwrite"), "{}", again.err);
    fyke.run(&[&arguments[..], &["--overwrite"]].concat()).succeeds();
}

#[test]
fn unknown_setting_is_refused_by_name() {
    let fyke = Fyke::with_log(10);
    fyke.write("wrong.sql", &job().replace("'lateness'", "'latenes'"));
    let run = fyke.run(&["run", "wrong.sql", "--once", "--set", "OUT=out.json"]);
    assert_eq!(run.code, 3);
    assert!(run.err.contains("latenes") && run.err.contains("wrong.sql:1:1"), "{}", run.err);
}

#[test]
fn quiet_run_says_nothing() {
    let fyke = Fyke::with_log(10);
    let run = fyke.run(&["run", "job.sql", "--once", "--quiet", "--set", "OUT=out.json"]);
    run.succeeds();
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
}

#[test]
fn explain_prints_the_plan_and_runs_nothing() {
    let fyke = Fyke::with_log(10);
    fyke.write("explain.sql", &job().replace("COPY (", "EXPLAIN ").replace(") TO '${OUT}'", ""));
    let run = fyke.run(&["run", "explain.sql", "--once"]);
    run.succeeds();
    assert!(run.out.contains("source 0: table requests"), "{}", run.out);
    assert!(!run.err.contains("read"), "{}", run.err);
}

#[test]
fn references_and_completions_are_printed() {
    let fyke = Fyke::new();
    assert!(fyke.run(&["settings"]).out.contains("lateness"));
    assert!(fyke.run(&["functions"]).out.contains("url_path"));
    assert!(!fyke.run(&["functions", "agent"]).out.contains("tumble"));
    for shell in ["bash", "zsh", "fish"] {
        let run = fyke.run(&["completions", shell]);
        run.succeeds();
        assert!(run.out.contains("parity"), "{shell}");
    }
    let help = fyke.run(&["help", "run"]);
    help.succeeds();
    assert!(help.out.contains("--decode-threads") && help.out.contains("Examples:"), "{}", help.out);
}

#[test]
fn reader_that_goes_away_is_no_failure() {
    let fyke = Fyke::with_log(5_000);
    let text = job().replace("COPY (", "").replace(") TO '${OUT}'", "").replace("1 minute", "1 second");
    fyke.write("select.sql", &text);
    for format in ["json", "csv", "table"] {
        let (code, err) = fyke.run_into_closed_pipe(&["run", "select.sql", "--once", "--format", format]);
        assert_eq!(code, 0, "{format}: {err}");
    }
}
