//! A live run is told to stop.

#![allow(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use support::{Fyke, ended, job, lines};

fn signal(child: &Child, name: &str) {
    let killed = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

#[test]
fn interrupt_drains_a_live_run() {
    for name in ["-INT", "-TERM"] {
        let fyke = Fyke::with_log(300);
        fyke.write("select.sql", &job().replace("COPY (", "").replace(") TO '${OUT}'", ""));
        let mut child = fyke.command(&["run", "select.sql", "--format", "json"]).spawn().expect("started");
        // the first rows say that it reads; the last minute is still open then
        let mut out = BufReader::new(child.stdout.take().expect("stdout"));
        let mut first = String::new();
        out.read_line(&mut first).expect("a row");
        fyke.append("log.json", &lines(330)[300..].concat());
        std::thread::sleep(Duration::from_millis(1_500));
        signal(&child, name);
        let rest: Vec<String> = out.lines().map(|line| line.expect("a row")).collect();
        let run = ended(child);
        run.succeeds();
        assert!(run.err.contains("requests: read 330 = used 330 + late 0 + dead 0"), "{}", run.err);
        assert_eq!(rest.len() + 1, 18, "six minutes of three hosts: {rest:?}");
    }
}

/// A live run of [`job`] over a folder, with further settings, whose rows come as they close.
struct Live {
    fyke: Fyke,
    child: Child,
    rows: std::sync::mpsc::Receiver<String>,
}

impl Live {
    fn over(logs: &[(&str, usize)], settings: &str) -> Self {
        let fyke = Fyke::new();
        std::fs::create_dir(fyke.path("logs")).expect("a folder");
        for (name, count) in logs {
            fyke.write(&format!("logs/{name}"), &lines(*count).concat());
        }
        let text = job().replace("COPY (", "").replace(") TO '${OUT}'", "");
        let text =
            text.replace("'log.json'", "'logs/'").replace("'10 seconds')", &format!("'10 seconds', {settings})"));
        fyke.write("select.sql", &text);
        let mut child = fyke.command(&["run", "select.sql", "--format", "json"]).spawn().expect("started");
        let out = BufReader::new(child.stdout.take().expect("stdout"));
        let (give, rows) = std::sync::mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| give.send(line).is_ok()));
        Self { fyke, child, rows }
    }

    /// So many rows, as soon as they come.
    fn rows(&self, count: usize) -> Vec<String> {
        let wait = Duration::from_secs(20);
        (0..count).map(|_| self.rows.recv_timeout(wait).expect("a row within the wait")).collect()
    }

    /// Stops it; what came at the end, and what it said.
    fn stop(self) -> (Vec<String>, String) {
        signal(&self.child, "-INT");
        let run = ended(self.child);
        run.succeeds();
        (self.rows.iter().collect(), run.err)
    }
}

#[test]
fn silent_input_holds_nobody_back_after_idle_after() {
    let live = Live::over(&[("a.json", 300), ("b.json", 100)], "'idle_after' '1 second', 'close_after' 'off'");
    // the mark follows b, which is at 1:40 less the lateness: one minute of three hosts
    let first = live.rows(3);
    assert!(first.iter().all(|row| row.contains("\"end\":\"2026-03-02T08:01:00Z\"")), "{first:?}");
    // b stays silent; a goes on, so that not everybody is idle
    for second in 300..330 {
        live.fyke.append("logs/a.json", &lines(second + 1)[second]);
        std::thread::sleep(Duration::from_millis(80));
    }
    let then = live.rows(12);
    assert!(then.iter().any(|row| row.contains("\"end\":\"2026-03-02T08:05:00Z\"")), "{then:?}");
    let (rest, said) = live.stop();
    assert_eq!(rest.len(), 3, "the sixth minute closes at the end: {rest:?}");
    // the last lines may have been appended after the last look at the file; what was read is used
    assert!(said.contains(" + late 0 + dead 0"), "{said}");
}

#[test]
fn silent_customers_windows_close_after_close_after() {
    let live = Live::over(&[("a.json", 100)], "'customer' 'host', 'idle_after' 'off', 'close_after' '1 second'");
    // nothing more comes, and yet the second minute of each host closes, once
    let rows = live.rows(6);
    assert_eq!(rows.iter().filter(|row| row.contains("\"end\":\"2026-03-02T08:02:00Z\"")).count(), 3, "{rows:?}");
    // a row of a closed window is late; one of a later window is not
    live.fyke.append("logs/a.json", &lines(150)[100]);
    live.fyke.append("logs/a.json", &lines(150)[130]);
    assert_eq!(live.rows(1).len(), 1, "the later window closes too");
    let (rest, said) = live.stop();
    assert!(rest.is_empty(), "{rest:?}");
    assert!(said.contains("requests: read 102 = used 101 + late 1 + dead 0"), "{said}");
}

#[test]
fn start_takes_no_long_time() {
    let fyke = Fyke::with_log(10);
    let started = Instant::now();
    fyke.run(&["run", "job.sql", "--once", "--set", "OUT=out.json"]).succeeds();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
