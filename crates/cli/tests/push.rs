//! Lines that are sent to a run by HTTP while it is killed again and again: what was acknowledged is there, and lies in
//! the folder of its customer.

#![allow(clippy::expect_used, reason = "a test that can not go on has failed")]
#![cfg(unix)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fyke::types::{Random, SeededRandom};
use support::{Fyke, ended};

/// An address that nobody listens at.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address")
}

/// Whether a body was acknowledged.
fn post(to: SocketAddr, path: &str, body: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(to) else { return false };
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    let mut answer = String::new();
    let sent = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    sent.is_ok() && answer.starts_with("HTTP/1.1 202 ")
}

/// How often each number lies in each customer's folder.
fn found(fyke: &Fyke) -> BTreeMap<(String, u64), usize> {
    let mut found = BTreeMap::new();
    for folder in std::fs::read_dir(fyke.path("out")).into_iter().flatten().flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let customer = name.strip_prefix("customer=").expect("a folder of a customer").to_owned();
        for part in std::fs::read_dir(folder.path()).expect("parts").flatten() {
            if part.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            for line in std::fs::read_to_string(part.path()).expect("a part").lines() {
                let number = line.strip_prefix("{\"n\":").and_then(|rest| rest.strip_suffix('}'));
                let number = number.and_then(|number| number.parse().ok()).expect("a row without its customer");
                *found.entry((customer.clone(), number)).or_insert(0) += 1;
            }
        }
    }
    found
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let fyke = Fyke::new();
    let address = free_address();
    fyke.write(
        "job.sql",
        &format!(
            "CREATE UNBOUNDED EXTERNAL TABLE sent (n BIGINT, customer VARCHAR) STORED AS HTTP
               LOCATION 'http://{address}/logs' OPTIONS ('spool' 'spool');
             COPY (SELECT n, customer FROM sent) TO 'out' STORED AS JSON PARTITIONED BY (customer);"
        ),
    );
    let arguments = ["run", "job.sql", "--checkpoint", "state", "--checkpoint-every", "30ms"];
    let mut random = SeededRandom::new(5);
    let (mut acknowledged, mut repeated) = (BTreeSet::new(), BTreeSet::new());
    let mut number = 0;
    for _ in 0..8 {
        let mut child = fyke.command(&arguments).spawn().expect("started");
        let started = Instant::now();
        let life = Duration::from_millis(300 + random.next_u64() % 400);
        while started.elapsed() < life {
            let key = (["a", "b", "c"][number as usize % 3].to_owned(), number);
            if post(address, &format!("/logs/{}", key.0), &format!("{{\"n\":{number}}}\n")) {
                acknowledged.insert(key);
                number += 1;
            } else {
                // perhaps it was accepted and killed before it could say so
                repeated.insert(key);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        signal(&child, "-KILL");
        child.wait().expect("dead");
    }
    let child = fyke.command(&arguments).spawn().expect("started");
    let started = Instant::now();
    loop {
        let found = found(&fyke);
        if acknowledged.iter().all(|key| found.contains_key(key)) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{} of {}", found.len(), acknowledged.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    signal(&child, "-INT");
    let run = ended(child);
    run.succeeds();
    let found = found(&fyke);
    assert!(acknowledged.len() > 100, "{} lines were acknowledged", acknowledged.len());
    for (key, times) in &found {
        assert!(*times == 1 || repeated.contains(key), "{key:?} came {times} times");
        assert!(acknowledged.contains(key) || repeated.contains(key), "{key:?} was never sent");
    }
}

#[test]
fn a_table_that_is_sent_to_has_no_end() {
    let fyke = Fyke::new();
    fyke.write(
        "job.sql",
        "CREATE UNBOUNDED EXTERNAL TABLE sent (n BIGINT) STORED AS HTTP LOCATION '127.0.0.1:0';
         SELECT n FROM sent;",
    );
    for arguments in [&["run", "job.sql", "--once"][..], &["batch", "job.sql"]] {
        let run = fyke.run(arguments);
        assert!(run.code != 0 && run.err.contains("no end") && run.err.contains("--once"), "{}", run.err);
    }
}

#[test]
fn folders_by_customer_and_date_are_written_and_read_by_sql() {
    let fyke = Fyke::with_log(90);
    fyke.write(
        "write.sql",
        "CREATE EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, client VARCHAR, status INT)
           STORED AS JSON LOCATION 'log.json' OPTIONS ('event_time' 'time');
         COPY (SELECT host AS customer, CAST(time AS DATE) AS date, client, status FROM requests)
           TO 'folders' STORED AS PARQUET PARTITIONED BY (customer, date);",
    );
    fyke.run(&["run", "write.sql", "--once"]).succeeds();
    assert!(fyke.path("folders/customer=h1/date=2026-03-02").is_dir());
    fyke.write(
        "read.sql",
        "CREATE EXTERNAL TABLE requests (customer VARCHAR, date DATE, status INT) STORED AS PARQUET LOCATION 'folders';
         SELECT customer, date, count(*) AS n, sum(CASE WHEN status = 404 THEN 1 ELSE 0 END) AS missing
         FROM requests GROUP BY customer, date ORDER BY customer;",
    );
    let run = fyke.run(&["batch", "read.sql", "--format", "csv"]);
    run.succeeds();
    // 90 requests of three hosts in turn; every seventh is missing: 13 of them, which are 0, 7, 14, … mod 3 in turn
    assert_eq!(run.out, "customer,date,n,missing\nh0,2026-03-02,30,5\nh1,2026-03-02,30,4\nh2,2026-03-02,30,4\n");
}
