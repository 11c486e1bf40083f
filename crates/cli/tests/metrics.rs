//! A live run is looked at over HTTP.

#![allow(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Fyke, ended, job};

/// Status and body of a GET.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut to = TcpStream::connect(address).expect("connected");
    write!(to, "GET {path} HTTP/1.1\r\nHost: fyke\r\nConnection: close\r\n\r\n").expect("asked");
    let mut answer = String::new();
    to.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), body.to_owned())
}

#[test]
fn live_run_says_over_http_how_it_is() {
    let fyke = Fyke::with_log(300);
    fyke.write("job.sql", &job());
    let arguments =
        ["run", "job.sql", "--set", "OUT=out.json", "--metrics", "127.0.0.1:0", "--progress-every", "100ms"];
    let mut child = fyke.command(&[&arguments[..], &["--progress-format", "json"]].concat()).spawn().expect("started");
    let mut said = BufReader::new(child.stderr.take().expect("stderr"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    let address = line.trim().rsplit("http://").next().and_then(|rest| rest.split('/').next()).expect("an address");
    let address = address.to_owned();
    let started = Instant::now();
    while get(&address, "/readyz").0 != 200
        || !get(&address, "/metrics").1.contains("fyke_rows_read_total{source=\"requests\"} 300")
    {
        assert!(started.elapsed() < Duration::from_secs(10), "{}", get(&address, "/metrics").1);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(get(&address, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get(&address, "/nothing").0, 404);
    let (_, text) = get(&address, "/progress");
    let progress: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(progress["sources"][0]["read"], 300);
    let operators = progress["operators"].as_array().expect("operators");
    assert!(
        operators.iter().any(|operator| operator["name"].as_str().is_some_and(|n| n.starts_with("WindowAggregate")))
    );
    // the first lines of the log were taken; within a second operators are looked at again
    while !get(&address, "/metrics").1.contains("fyke_operator_rows_in_total{operator=\"0\",name=\"Project\"} 300") {
        assert!(started.elapsed() < Duration::from_secs(10), "{}", get(&address, "/metrics").1);
        std::thread::sleep(Duration::from_millis(50));
    }
    let (_, text) = get(&address, "/metrics");
    for words in
        ["# TYPE fyke_rows_read_total counter", "fyke_watermark_seconds{source=\"requests\"}", "fyke_epoch_seconds"]
    {
        assert!(text.contains(words), "{text}");
    }
    line.clear();
    said.read_line(&mut line).expect("a line");
    let logged: serde_json::Value = serde_json::from_str(&line).expect(&line);
    assert!(logged["epochs"].is_u64(), "{line}");
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(stopped.is_ok_and(|status| status.success()));
    std::thread::spawn(move || said.lines().for_each(drop));
    ended(child).succeeds();
}

#[test]
fn address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    let fyke = Fyke::with_log(10);
    let run = fyke.run(&["run", "job.sql", "--once", "--set", "OUT=out.json", "--metrics", &address]);
    assert_eq!(run.code, 3, "{}", run.err);
    assert!(run.err.contains(&address) && run.err.contains("in use"), "{}", run.err);
}
