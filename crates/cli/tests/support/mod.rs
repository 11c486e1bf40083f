//! A folder of its own for each test, and the binary in it.

#![allow(dead_code, reason = "each test binary uses another part of it")]
#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A folder, and `fyke` started in it.
pub struct Fyke {
    folder: tempfile::TempDir,
}

/// How a run of the binary ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    #[track_caller]
    pub fn succeeds(&self) {
        assert_eq!(self.code, 0, "out: {}\nerr: {}", self.out, self.err);
    }
}

impl Fyke {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// With `log.json` of so many lines, and [`job`] as `job.sql`.
    pub fn with_log(count: usize) -> Self {
        let fyke = Self::new();
        fyke.write("log.json", &lines(count).concat());
        fyke.write("job.sql", &job());
        fyke
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    pub fn append(&self, name: &str, text: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path(name)).expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    pub fn sorted_lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).expect("an output");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fyke"));
        command.args(arguments).current_dir(self.folder.path()).env("XDG_STATE_HOME", self.folder.path());
        command.env_remove("OUT").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).spawn().expect("started"))
    }

    pub fn run_with(&self, arguments: &[&str], stdin: &str, environment: &[(&str, &str)]) -> Ended {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).envs(environment.iter().copied()).spawn().expect("started");
        child.stdin.take().expect("stdin").write_all(stdin.as_bytes()).expect("written");
        ended(child)
    }

    /// Code and standard error of a run whose standard output nobody reads.
    pub fn run_into_closed_pipe(&self, arguments: &[&str]) -> (i32, String) {
        let mut child = self.command(arguments).spawn().expect("started");
        drop(child.stdout.take());
        let ended = ended(child);
        (ended.code, ended.err)
    }
}

pub fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().expect("ended");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Requests, one a second from 2026-03-02T08:00Z, of three hosts and five clients.
pub fn lines(count: usize) -> Vec<String> {
    let line = |at: usize| {
        let (hour, minute, second) = (8 + at / 3_600, at / 60 % 60, at % 60);
        format!(
            "{{\"time\":\"2026-03-02T{hour:02}:{minute:02}:{second:02}Z\",\"host\":\"h{}\",\"client\":\"10.0.0.{}\",\"status\":{}}}\n",
            at % 3,
            at % 5,
            if at.is_multiple_of(7) { 404 } else { 200 },
        )
    };
    (0..count).map(line).collect()
}

/// Requests per host and minute, from `log.json` to `${OUT}`.
pub fn job() -> String {
    "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, client VARCHAR, status INT)
  STORED AS JSON LOCATION 'log.json'
  OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
COPY (
  SELECT tumble(time, INTERVAL '1 minute') AS w, host, count(*) AS n
  FROM requests GROUP BY w, host
) TO '${OUT}';
"
    .to_owned()
}
