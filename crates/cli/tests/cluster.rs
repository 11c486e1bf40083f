//! Several processes over one chained job that writes files: whatever becomes of them, each row comes once.

#![allow(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fyke::types::{Random, SeededRandom};
use fyke_simulate::{ChainSettings, write_chain_with};
use support::{Fyke, ended};

/// Columns are declared: every process plans the same, whatever it finds in the folder.
const CHAIN: &str = "
CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, remote_addr VARCHAR, bytes BIGINT)
  STORED AS JSON LOCATION 'logs/*.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
CREATE VIEW clients AS
  SELECT tumble(time, INTERVAL '1 minute') AS w, host, remote_addr, count(*) AS n, sum(bytes) AS bytes
  FROM requests GROUP BY w, host, remote_addr;
CREATE VIEW customers AS SELECT w, host, avg(n) AS mean, sum(bytes) AS bytes FROM clients GROUP BY w, host;
COPY (
  SELECT c.w, c.host, c.remote_addr, c.n, c.n / m.mean AS ratio, m.bytes
  FROM clients c JOIN customers m ON c.w = m.w AND c.host = m.host
) TO '${OUT}' STORED AS JSON;
COPY (
  SELECT session(time, INTERVAL '20 seconds') AS w, host, remote_addr, count(*) AS n FROM requests GROUP BY w, host, remote_addr
) TO '${OUT}-sessions' STORED AS JSON;
";

/// A process that was not heard of for so long is lost.
const PEER_TIMEOUT: Duration = Duration::from_secs(1);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// A log, the rows that a single process makes of it, and hosts.
struct Site {
    fyke: Fyke,
    expected: [Vec<String>; 2],
    ports: Vec<u16>,
}

impl Site {
    fn new(lines: u64, processes: usize) -> Self {
        let fyke = Fyke::new();
        write_chain_with(&fyke.path("logs"), &ChainSettings { seed: 3, lines, ..ChainSettings::default() })
            .expect("logs");
        fyke.write("chain.sql", CHAIN);
        fyke.write("token", "a token that only they know");
        let ports: Vec<u16> = (0..processes).map(|_| free_port()).collect();
        let hosts: String = ports.iter().map(|port| format!("127.0.0.1:{port}\n")).collect();
        fyke.write("hosts", &hosts);
        fyke.run(&["run", "chain.sql", "--once", "--set", "OUT=whole"]).succeeds();
        let expected = ["", "-sessions"].map(|name| fyke.sorted_lines(&format!("whole{name}")));
        assert!(expected.iter().all(|rows| rows.len() > 100), "each output has rows");
        Self { fyke, expected, ports }
    }

    fn start(&self, index: usize, round: u32, workers: &str, hosts: &str) -> Child {
        self.start_with(index, round, workers, hosts, &[])
    }

    fn start_with(&self, index: usize, round: u32, workers: &str, hosts: &str, more: &[&str]) -> Child {
        let (checkpoint, out, index) = (format!("checkpoint-{round}"), format!("OUT=out-{round}"), index.to_string());
        let mut arguments = vec!["run", "chain.sql", "--once", "--set", &out, "--workers", workers];
        arguments.extend(["--checkpoint", &checkpoint, "--checkpoint-every", "20ms"]);
        arguments.extend(["--hosts", hosts, "--index", &index, "--token-file", "token"]);
        arguments.extend(["--peer-timeout", "1s", "--peer-wait", "3s"]);
        arguments.extend(more);
        self.fyke.command(&arguments).spawn().expect("started")
    }

    /// The parts of a round hold what a single process gives.
    fn has_each_row_once(&self, round: u32) {
        for (name, expected) in ["", "-sessions"].iter().zip(&self.expected) {
            let folder = self.fyke.path(&format!("out-{round}{name}"));
            let mut found = Vec::new();
            for entry in std::fs::read_dir(folder).expect("a folder of parts").flatten() {
                let text = std::fs::read_to_string(entry.path()).expect("a part");
                found.extend(text.lines().map(str::to_owned));
            }
            found.sort();
            assert_eq!(found.len(), expected.len(), "out{name} of round {round}");
            assert!(found == *expected, "out{name} of round {round}: rows differ");
        }
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// Ends by itself, soon.
fn is_over(child: &mut Child, patience: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < patience {
        if child.try_wait().expect("asked").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn several_processes_give_the_rows_of_one_and_end_with_it() {
    let site = Site::new(60_000, 3);
    let members: Vec<Child> = [1, 2].map(|index| site.start(index, 1, "1", "hosts")).into();
    // strangers at every port while the run goes on
    let stop = Arc::new(AtomicBool::new(false));
    let (ports, told) = (site.ports.clone(), Arc::clone(&stop));
    let strangers = std::thread::spawn(move || {
        let mut calls = 0_u32;
        while !told.load(Ordering::SeqCst) {
            for port in &ports {
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", *port)) {
                    calls += u32::from(stream.write_all(&[0xff; 4_096]).is_ok());
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        calls
    });
    let coordinator = ended(site.start(0, 1, "2", "hosts"));
    stop.store(true, Ordering::SeqCst);
    coordinator.succeeds();
    for mut member in members {
        assert!(is_over(&mut member, Duration::from_secs(10)), "a member stays");
        ended(member).succeeds();
    }
    assert!(strangers.join().expect("strangers") > 10, "strangers have called");
    site.has_each_row_once(1);
}

#[test]
fn member_keeps_to_a_memory_budget_of_its_own() {
    let site = Site::new(150_000, 2);
    std::fs::create_dir(site.fyke.path("spills")).expect("a folder");
    let budget = ["--memory-budget", "200KB", "--spill-folder", "spills"];
    let member = site.start_with(1, 1, "2", "hosts", &budget);
    ended(site.start(0, 1, "1", "hosts")).succeeds();
    let member = ended(member);
    member.succeeds();
    let said = member.err;
    let bytes = said.split("had up to ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(bytes.is_some_and(|bytes| bytes > 10_000), "{said}");
    site.has_each_row_once(1);
    assert_eq!(std::fs::read_dir(site.fyke.path("spills")).expect("there").count(), 0, "nothing stays behind");
}

/// More with `FYKE_KILLS`.
fn faults() -> u32 {
    std::env::var("FYKE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn processes_that_are_killed_or_stopped_at_random_moments_cost_no_row() {
    let site = Site::new(150_000, 3);
    let mut random = SeededRandom::new(2);
    let (mut done, mut round) = (0, 0);
    while done < faults() {
        round += 1;
        let mut processes: Vec<Child> =
            [(0, "1"), (1, "2"), (2, "1")].map(|(index, workers)| site.start(index, round, workers, "hosts")).into();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < Duration::from_secs(180), "round {round} does not come to its end");
            if is_over(&mut processes[0], Duration::from_secs_f64(0.2 + 1.5 * random.next_f64())) {
                break;
            }
            let victim = (random.next_u64() % 3) as usize;
            done += 1;
            if random.next_u64().is_multiple_of(3) && victim > 0 {
                // longer than the time after which it is lost
                signal(&processes[victim], "-STOP");
                std::thread::sleep(PEER_TIMEOUT * 2);
                signal(&processes[victim], "-CONT");
            } else {
                processes[victim].kill().expect("killed");
                processes[victim].wait().expect("dead");
                let workers = ["3", "1", "2"][victim];
                processes[victim] = site.start(victim, round, workers, "hosts");
            }
        }
        let mut processes = processes.into_iter();
        ended(processes.next().expect("the coordinator")).succeeds();
        for mut member in processes {
            // one that came too late for the run's end waits for the next one
            if !is_over(&mut member, Duration::from_secs(2)) {
                member.kill().expect("killed");
                member.wait().expect("dead");
            }
        }
        site.has_each_row_once(round);
    }
    println!("{done} faults in {round} rounds");
}

/// A connection that can be cut without being closed, as a network does it.
struct Cable {
    port: u16,
    cut: Arc<AtomicBool>,
}

impl Cable {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::clone(&cut);
        std::thread::spawn(move || {
            for here in listener.incoming().flatten() {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(there) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to) in [(&here, &there), (&there, &here)] {
                    let (from, to) = (from.try_clone().expect("cloned"), to.try_clone().expect("cloned"));
                    let is_cut = Arc::clone(&is_cut);
                    std::thread::spawn(move || carry(from, to, &is_cut));
                }
            }
        });
        Self { port: own, cut }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    let mut bytes = [0; 65_536];
    while let Ok(count) = from.read(&mut bytes) {
        while is_cut.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_process_that_is_cut_off_is_given_up_within_the_timeout() {
    let site = Site::new(150_000, 2);
    let cable = Cable::to(site.ports[0]);
    site.fyke.write("hosts-by-cable", &format!("127.0.0.1:{}\n127.0.0.1:{}\n", cable.port, site.ports[1]));
    let mut member = site.start(1, 1, "1", "hosts-by-cable");
    let mut coordinator = site.start(0, 1, "1", "hosts");
    let written = |round: u32| {
        let folder = site.fyke.path(&format!("out-{round}"));
        std::fs::read_dir(folder).map_or(0, |entries| entries.flatten().count())
    };
    let began = Instant::now();
    while written(1) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "no part is written");
        std::thread::sleep(Duration::from_millis(5));
    }
    cable.cut.store(true, Ordering::SeqCst);
    let cut = Instant::now();
    // the coordinator notices after the timeout, waits three seconds for the process to come back, and ends alone
    assert!(is_over(&mut coordinator, Duration::from_secs(60)), "the coordinator does not end");
    ended(coordinator).succeeds();
    println!("over {:?} after the cut", cut.elapsed());
    site.has_each_row_once(1);
    member.kill().expect("killed");
    member.wait().expect("dead");
}

#[test]
fn wrong_settings_are_refused_with_the_remedy() {
    let site = Site::new(2_000, 2);
    let run = |arguments: &[&str]| {
        let all = [&["run", "chain.sql", "--once", "--set", "OUT=refused"], arguments].concat();
        let ended = site.fyke.run(&all);
        assert_ne!(ended.code, 0);
        ended.err
    };
    let hosts = ["--hosts", "hosts", "--token-file", "token", "--peer-wait", "1s"];
    let without = run(&[&hosts[..], &["--index", "0"]].concat());
    assert!(without.contains("needs checkpoints") && without.contains("--checkpoint"), "{without}");
    let outside = run(&[&hosts[..], &["--index", "7"]].concat());
    assert!(outside.contains("no host 7"), "{outside}");
    site.fyke.write("short", "x");
    let short = run(&["--hosts", "hosts", "--token-file", "short", "--index", "0"]);
    assert!(short.contains("token"), "{short}");
}
