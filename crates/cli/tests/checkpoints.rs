//! Checkpoints from the command line: a stop keeps what is open, a run goes on, and what is kept can be looked at.

#![allow(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::{Fyke, ended, job, lines};

/// The rows of all parts in a folder.
fn rows(fyke: &Fyke, folder: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(fyke.path(folder)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("part-") {
            let text = std::fs::read_to_string(entry.path()).expect("a part");
            rows.extend(text.lines().map(str::to_owned));
        }
    }
    rows.sort();
    rows
}

#[test]
fn stop_keeps_open_windows_and_the_next_run_goes_on_with_them() {
    let fyke = Fyke::with_log(90);
    let live = ["run", "job.sql", "--set", "OUT=out.json", "--checkpoint", "state", "--checkpoint-every", "50ms"];
    for (seen, total) in [(3, 90), (9, 210)] {
        let child = fyke.command(&live).spawn().expect("started");
        if total > 90 {
            fyke.append("log.json", &lines(total)[90..].concat());
        }
        let started = Instant::now();
        // all lines read, and a checkpoint that says so
        while !fyke.run(&["checkpoints", "state", "--last"]).out.contains(&format!("read {total} ")) {
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", rows(&fyke, "out.json"));
            std::thread::sleep(Duration::from_millis(20));
        }
        let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(stopped.is_ok_and(|status| status.success()));
        let run = ended(child);
        run.succeeds();
        assert!(run.err.contains(&format!("requests: read {total} = used {total} + late 0 + dead 0")), "{}", run.err);
        assert_eq!(run.err.contains("went on from checkpoint"), total > 90, "{}", run.err);
        assert_eq!(rows(&fyke, "out.json").len(), seen, "the minute at hand stays open");
    }
    // over what exists now, every window closes
    let once = [&live[..], &["--once"]].concat();
    fyke.run(&once).succeeds();
    let found = rows(&fyke, "out.json");
    fyke.run(&["run", "job.sql", "--once", "--set", "OUT=whole.json"]).succeeds();
    assert_eq!(found, fyke.sorted_lines("whole.json"));
    // and then there is nothing left to do
    fyke.run(&once).succeeds();
    assert_eq!(rows(&fyke, "out.json"), found);
    let again = fyke.run(&live);
    assert!(again.code == 3 && again.err.contains("complete"), "{}", again.err);
    let listed = fyke.run(&["checkpoints", "state"]);
    listed.succeeds();
    assert!(listed.out.contains("complete") && listed.out.contains("210"), "{}", listed.out);
}

#[test]
fn what_is_kept_can_be_looked_at() {
    let fyke = Fyke::with_log(90);
    let arguments = ["run", "job.sql", "--set", "OUT=out.json", "--checkpoint", "state", "--checkpoint-every", "20ms"];
    let child = fyke.command(&arguments).spawn().expect("started");
    let started = Instant::now();
    let shown = loop {
        let shown = fyke.run(&["checkpoints", "state", "--last"]);
        if shown.out.contains("read 90") || started.elapsed() > Duration::from_secs(10) {
            break shown;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let stopped = Command::new("kill").args(["-KILL", &child.id().to_string()]).status();
    assert!(stopped.is_ok_and(|status| status.success()));
    _ = ended(child);
    for words in ["source requests: read 90 = used 90", "operator WindowAggregate tumble", "sink out.json: 3 rows"] {
        assert!(shown.out.contains(words), "{}", shown.out);
    }
    let json = fyke.run(&["checkpoints", "state", "--last", "--format", "json"]);
    let manifest: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((manifest["version"].as_u64(), manifest["complete"].as_bool()), (Some(1), Some(false)));
    let query = "SELECT customer, start, state FROM state('state') ORDER BY state";
    let state = fyke.run(&["batch", "-e", query, "--format", "json"]);
    state.succeeds();
    assert_eq!(state.out.lines().count(), 3, "the open minute of three hosts: {}", state.out);
    let export = ["checkpoints", "state", "--export", "state.json", "--operator", "WindowAggregate"];
    let exported = fyke.run(&export);
    exported.succeeds();
    assert!(exported.err.contains("state.json: 3 rows"), "{}", exported.err);
    assert_eq!(fyke.sorted_lines("state.json").len(), 3);
    let again = fyke.run(&export);
    assert!(again.code == 3 && again.err.contains("--overwrite"), "{}", again.err);
    let other = fyke.run(&["checkpoints", "state", "--export", "none.json", "--operator", "SessionAggregate"]);
    assert!(other.err.contains("none.json: 0 rows"), "{}", other.err);
    let nothing = fyke.run(&["checkpoints", "nowhere"]);
    assert!(nothing.code == 3 && nothing.err.contains("--checkpoint"), "{}", nothing.err);
}

#[test]
fn checkpoint_is_refused_for_another_query_and_for_standard_input() {
    let fyke = Fyke::with_log(90);
    let run = |more: &[&str]| {
        let arguments = ["run", "job.sql", "--once", "--set", "OUT=out.json", "--checkpoint", "state"];
        fyke.run(&[&arguments[..], more].concat())
    };
    let live = ["run", "job.sql", "--set", "OUT=out.json", "--checkpoint", "state", "--checkpoint-every", "20ms"];
    let child = fyke.command(&live).spawn().expect("started");
    let started = Instant::now();
    while rows(&fyke, "out.json").len() < 3 && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let stopped = Command::new("kill").args(["-KILL", &child.id().to_string()]).status();
    assert!(stopped.is_ok_and(|status| status.success()));
    _ = ended(child);
    fyke.write("job.sql", &job().replace("count(*)", "max(status)"));
    let refused = run(&[]);
    assert!(refused.code == 3 && refused.err.contains("max(requests.status)"), "{}", refused.err);
    assert!(refused.err.contains("--changed-query"), "{}", refused.err);
    run(&["--changed-query"]).succeeds();
    fyke.write("job.sql", &job().replace("'log.json'", "'-'"));
    let arguments = ["run", "job.sql", "--once", "--set", "OUT=other.json", "--checkpoint", "other"];
    let piped = fyke.run_with(&arguments, &lines(10).concat(), &[]);
    assert!(piped.code == 3 && piped.err.contains("standard input"), "{}", piped.err);
}
