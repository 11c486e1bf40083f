//! Logs, results and checkpoints in a bucket of a real S3 server, across kills of the run and of the server.

#![allow(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fyke::checkpoint::Objects;
use fyke::types::Store;
use fyke_testbed::S3;
use support::{Ended, Fyke, ended, job, lines};

/// A server, and `fyke` started with the variables that name it.
struct World {
    s3: S3,
    fyke: Fyke,
}

impl World {
    fn new() -> Self {
        let s3 = S3::start().expect("an S3 server");
        s3.create_bucket("bucket").expect("a bucket");
        Self { s3, fyke: Fyke::new() }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let environment = self.s3.environment();
        self.fyke.command(arguments).envs(environment).spawn().expect("started")
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.start(arguments))
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.s3.put("bucket", key, bytes).expect("put");
    }

    /// The keys below a prefix.
    fn keys(&self, prefix: &str) -> Vec<String> {
        let folder = std::fs::read_dir(self.s3.path("bucket", prefix)).into_iter().flatten().flatten();
        let mut keys: Vec<String> = folder.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        keys.sort();
        keys
    }

    /// The lines of all objects below a prefix.
    fn rows(&self, prefix: &str) -> Vec<String> {
        let mut rows = Vec::new();
        for key in self.keys(prefix) {
            let text = std::fs::read_to_string(self.s3.path("bucket", &format!("{prefix}/{key}"))).expect("a part");
            rows.extend(text.lines().map(str::to_owned));
        }
        rows.sort();
        rows
    }

    /// What the same query makes of local files.
    fn expected(&self, lines: &[String], name: &str) -> Vec<String> {
        self.fyke.write(&format!("{name}.log"), &lines.concat());
        self.fyke.write(&format!("{name}.sql"), &job().replace("log.json", &format!("{name}.log")));
        self.fyke.run(&["run", &format!("{name}.sql"), "--once", "--set", &format!("OUT={name}.json")]).succeeds();
        self.fyke.sorted_lines(&format!("{name}.json"))
    }
}

fn gzip(text: &str, fyke: &Fyke) -> Vec<u8> {
    fyke.write("plain", text);
    let zipped = Command::new("gzip").arg("-c").arg(fyke.path("plain")).output().expect("gzip");
    zipped.stdout
}

fn kill(child: Child) {
    let killed = Command::new("kill").args(["-KILL", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    _ = ended(child);
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn objects_are_read_by_glob_prefix_and_name_whatever_their_compression() {
    let world = World::new();
    let all = lines(600);
    world.put("logs/day=1/a.json", all[..200].concat().as_bytes());
    world.put("logs/day=1/b.json.gz", &gzip(&all[200..400].concat(), &world.fyke));
    world.put("logs/day=2/c.json.gz", &gzip(&all[400..].concat(), &world.fyke));
    world.put("logs/day=2/_hidden.json", b"{}\n");
    world.put("other/d.json", all[..100].concat().as_bytes());
    let expected = world.expected(&all, "all");
    for (location, out) in [("s3://bucket/logs/", "prefix.json"), ("s3://bucket/logs/*/?.json*", "glob.json")] {
        world.fyke.write("job.sql", &job().replace("log.json", location));
        world.run(&["run", "job.sql", "--once", "--set", &format!("OUT={out}")]).succeeds();
        assert_eq!(world.fyke.sorted_lines(out), expected, "{location}");
        world.run(&["batch", "job.sql", "--set", &format!("OUT=batch-{out}")]).succeeds();
        assert_eq!(world.fyke.sorted_lines(&format!("batch-{out}")), expected, "{location}");
    }
    world.fyke.write("job.sql", &job().replace("log.json", "s3://bucket/logs/day=1/b.json.gz"));
    world.run(&["run", "job.sql", "--once", "--set", "OUT=one.json"]).succeeds();
    assert_eq!(world.fyke.sorted_lines("one.json"), world.expected(&all[200..400], "middle"));
    for (location, words) in [
        ("s3://bucket/nothing/*.json", "there is no object at s3://bucket/nothing/*.json"),
        ("s3://no-bucket/logs/", "s3://no-bucket/logs/"),
    ] {
        world.fyke.write("job.sql", &job().replace("log.json", location));
        let refused = world.run(&["run", "job.sql", "--once", "--set", "OUT=none.json"]);
        assert!(refused.code != 0 && refused.err.contains(words), "{}", refused.err);
    }
}

#[test]
fn results_are_objects_and_are_not_replaced_unasked() {
    let world = World::new();
    let all = lines(300);
    world.put("logs/a.json", all.concat().as_bytes());
    let expected = world.expected(&all, "all");
    world.fyke.write("job.sql", &job().replace("log.json", "s3://bucket/logs/"));
    let run = ["run", "job.sql", "--once", "--set", "OUT=s3://bucket/out/rows.json"];
    world.run(&run).succeeds();
    assert_eq!(world.rows("out"), expected);
    let again = world.run(&run);
    assert!(again.code == 3 && again.err.contains("already holds rows"), "{}", again.err);
    world.run(&[&run[..], &["--overwrite"]].concat()).succeeds();
    assert_eq!(world.rows("out"), expected);
    world.run(&["run", "job.sql", "--once", "--set", "OUT=s3://bucket/parquet/rows.parquet"]).succeeds();
    world.fyke.write(
        "read.sql",
        "CREATE EXTERNAL TABLE rows STORED AS PARQUET LOCATION 's3://bucket/parquet/';
         COPY (SELECT * FROM rows) TO 'back.json';",
    );
    world.run(&["batch", "read.sql"]).succeeds();
    assert_eq!(world.fyke.sorted_lines("back.json"), expected);
}

#[test]
fn run_killed_and_resumed_over_objects_gives_each_row_once() {
    let mut world = World::new();
    let all = lines(3_000);
    let expected = world.expected(&all, "all");
    world.fyke.write(
        "job.sql",
        &job().replace("log.json", "s3://bucket/logs/*.json").replace("'lateness'", "'poll' '100ms', 'lateness'"),
    );
    let live = [
        "run",
        "job.sql",
        "--set",
        "OUT=s3://bucket/out.json",
        "--checkpoint",
        "s3://bucket/state/run-1",
        "--checkpoint-every",
        "100ms",
    ];
    let read = |world: &World, count: usize| {
        let shown = world.run(&["checkpoints", "s3://bucket/state/run-1", "--last"]);
        shown.out.contains(&format!("read {count} "))
    };
    for (part, chunk) in all.chunks(500).enumerate() {
        world.put(&format!("logs/{part}.json"), chunk.concat().as_bytes());
        let child = world.start(&live);
        if part == 2 {
            // a server that is gone for a moment is waited for
            until("the run began", || read(&world, 500 * (part + 1)));
            world.s3.kill().expect("killed");
            std::thread::sleep(Duration::from_secs(1));
            world.s3.restart().expect("started again");
        }
        until("all was read", || read(&world, 500 * (part + 1)));
        kill(child);
    }
    assert!(world.rows("out.json").len() < expected.len(), "the last minutes are open");
    let exported = world.run(&["checkpoints", "s3://bucket/state/run-1", "--export", "state.json"]);
    exported.succeeds();
    assert!(!world.fyke.sorted_lines("state.json").is_empty());
    let query = "SELECT count(*) AS n FROM state('s3://bucket/state/run-1')";
    world.run(&["batch", "-e", query, "--format", "json"]).succeeds();
    world.run(&[&live[..], &["--once"]].concat()).succeeds();
    assert_eq!(world.rows("out.json"), expected);
    assert!(world.keys("state/run-1/manifests").len() <= 2, "{:?}", world.keys("state/run-1/manifests"));
    assert!(Path::new(&world.s3.path("bucket", "state/run-1/manifests")).is_dir());
}

#[test]
fn store_over_the_server_keeps_its_promises() {
    let world = World::new();
    let open = || {
        let client = world.s3.client("bucket").expect("a client");
        Objects::new(Arc::new(client), "some/run", "s3://bucket/some/run")
    };
    let (one, other) = (open(), open());
    assert!(one.create("manifests/1.json", b"mine").expect("created"));
    assert!(!other.create("manifests/1.json", b"theirs").expect("asked"), "a name is taken once");
    let bytes: Vec<u8> = (0..20_000_000_u32).flat_map(|at| (at % 251).to_le_bytes()).take(20_000_000).collect();
    let mut writer = one.writer("state/1.arrow").expect("a writer");
    bytes.chunks(700_000).for_each(|chunk| writer.write_all(chunk).expect("written"));
    assert_eq!(other.read("state/1.arrow", None).expect("asked"), None, "not before it is whole");
    assert!(writer.publish().expect("published"));
    let found = other.read("state/1.arrow", None).expect("read").expect("there");
    assert!(found == bytes, "an upload in parts is one object");
    let range = other.read("state/1.arrow", Some(9_999_990..10_000_010)).expect("read").expect("there");
    assert_eq!(range, bytes[9_999_990..10_000_010]);
    let mut given_up = one.writer("state/2.arrow").expect("a writer");
    given_up.write_all(&bytes).expect("written");
    drop(given_up);
    assert_eq!(other.names("state").expect("listed"), ["1.arrow"], "what was given up is not there");
    other.remove("state/1.arrow").expect("removed");
    other.remove("state/1.arrow").expect("removed again");
    assert!(other.names("state").expect("listed").is_empty());
}

#[test]
fn second_process_deposes_the_first_one() {
    let world = World::new();
    world.put("logs/a.json", lines(300).concat().as_bytes());
    world.fyke.write("job.sql", &job().replace("log.json", "s3://bucket/logs/"));
    let live = [
        "run",
        "job.sql",
        "--set",
        "OUT=s3://bucket/out.json",
        "--checkpoint",
        "s3://bucket/state",
        "--checkpoint-every",
        "50ms",
    ];
    let first = world.start(&live);
    until("it writes", || world.keys("state/manifests").len() >= 2);
    let second = world.start(&live);
    let deposed = ended(first);
    assert!(deposed.code != 0 && deposed.err.contains("another process has taken over"), "{}", deposed.err);
    assert!(deposed.err.contains("s3://bucket/state"), "{}", deposed.err);
    kill(second);
}

#[test]
fn server_that_refuses_or_is_not_there_is_named_with_the_remedy() {
    let world = World::new();
    world.fyke.write("log.json", &lines(30).concat());
    world.fyke.write("job.sql", &job());
    let run = ["run", "job.sql", "--once", "--set", "OUT=out.json", "--checkpoint", "s3://bucket/state"];
    let wrong = world.fyke.command(&run).envs(world.s3.environment()).env("AWS_SECRET_ACCESS_KEY", "wrong").spawn();
    let refused = ended(wrong.expect("started"));
    assert!(refused.code != 0 && refused.err.contains("AWS_SECRET_ACCESS_KEY"), "{}", refused.err);
    assert!(refused.err.contains("s3://bucket/state"), "{}", refused.err);
}
