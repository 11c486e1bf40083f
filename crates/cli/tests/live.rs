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

#[test]
fn start_takes_no_long_time() {
    let fyke = Fyke::with_log(10);
    let started = Instant::now();
    fyke.run(&["run", "job.sql", "--once", "--set", "OUT=out.json"]).succeeds();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
