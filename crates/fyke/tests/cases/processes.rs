//! The modes that need processes: two of them over real connections, and some that are killed with SIGKILL at random
//! moments and started again until the case has come to its end.
//!
//! A process is this test binary, told by its environment which case it carries out and as whom. Blocks are so small that
//! each line of the input is an epoch.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fyke::types::{Random, SeededRandom, Sink};
use fyke::{CheckpointSettings, ClusterSettings, Error, RunSettings, StopSignal, checkpoint};
use serde::{Deserialize, Serialize};

use super::{cases, compare, parse, text};

/// The variable by which a process knows what it is; where it is missing, the test that is one has nothing to do.
const ROLE: &str = "FYKE_TEST_ROLE";
/// The test that is a process.
const PROCESS: &str = "processes::a_process_carries_out_its_case";
/// What all of them know.
const TOKEN: &str = "a token that only they know";
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Role {
    case: PathBuf,
    /// Where parts and checkpoints lie.
    folder: PathBuf,
    workers: usize,
    /// Of all processes; empty where there is one.
    hosts: String,
    index: usize,
}

impl Role {
    fn start(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args([PROCESS, "--exact", "--nocapture"]);
        command.env(ROLE, serde_json::to_string(self).expect("written"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
    }

    fn settings(&self) -> fyke::Result<RunSettings> {
        let every = checkpoint::Every::Epochs(3);
        let checkpoint = CheckpointSettings { every, ..CheckpointSettings::new(self.folder.join("checkpoint")) };
        let cluster = match self.hosts.as_str() {
            "" => None,
            hosts => {
                let settings = ClusterSettings::new(hosts, self.index, TOKEN)?;
                Some(ClusterSettings { peer_wait: Duration::from_secs(10), ..settings })
            }
        };
        Ok(RunSettings { checkpoint: Some(checkpoint), cluster, ..RunSettings::default() })
    }

    /// The case's text with its rows in parts, which a kill leaves whole or not there.
    fn script(&self) -> fyke::Result<fyke::Script> {
        let text = text(&self.case);
        let text = text.trim().trim_end_matches(';');
        let (before, select) = text.rsplit_once(';').expect("a table, then what is selected of it");
        let out = self.folder.join("out");
        parse(&format!("{before}; COPY ({select}) TO '{}' STORED AS JSON;", out.display()), &self.case)
    }

    async fn carry_out(&self) -> fyke::Result<()> {
        let context = fyke::context_with(|builder| {
            builder.short_epochs(true).block_bytes(40).decode_threads(1).workers(self.workers)
        });
        let (script, settings) = (self.script()?, self.settings()?);
        if self.index > 0 {
            return context.serve_script(&script, &settings, StopSignal::default(), |_| {}).await;
        }
        let no_select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Err(Error::internal("nothing is printed")) };
        let driver = context.stream_script(&script, &settings, &no_select, &mut |_| {}).await?;
        let progress = tokio::task::spawn_blocking(move || driver.run()).await.expect("runs")?;
        let (read, used, late, dead) = progress.totals();
        assert!(read == used + dead && late == 0, "read {read}, used {used}, late {late}, dead {dead}");
        Ok(())
    }

    fn rows(&self) -> String {
        let parts = std::fs::read_dir(self.folder.join("out")).expect("parts").flatten();
        let parts = parts.filter(|part| part.file_name().to_string_lossy().starts_with("part-"));
        parts.map(|part| std::fs::read_to_string(part.path()).expect("a part")).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_carries_out_its_case() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let role: Role = serde_json::from_str(&role).expect("a role");
    role.carry_out().await.expect("carried out");
}

/// The processes of a case. Those that still live are killed with it.
struct Crew {
    roles: Vec<Role>,
    children: Vec<Child>,
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &mut self.children {
            // one that has ended needs no end
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Crew {
    /// So many workers in each process.
    fn start(case: &Path, folder: &Path, workers: &[usize]) -> Self {
        // kept until all are chosen, so that no port is chosen twice
        let ports: Vec<_> = workers.iter().map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let hosts = match workers.len() {
            1 => String::new(),
            _ => ports.iter().map(|port| format!("{}\n", port.local_addr().expect("an address"))).collect(),
        };
        drop(ports);
        let role = |(index, workers): (usize, &usize)| Role {
            case: case.to_owned(),
            folder: folder.to_owned(),
            workers: *workers,
            hosts: hosts.clone(),
            index,
        };
        let roles: Vec<Role> = workers.iter().enumerate().map(role).collect();
        let children = roles.iter().map(Role::start).collect();
        Self { roles, children }
    }

    /// Kills one with SIGKILL, and starts it again with another number of workers.
    fn replace(&mut self, at: usize) {
        self.children[at].kill().expect("killed");
        self.children[at].wait().expect("dead");
        self.roles[at].workers = self.roles[at].workers % 3 + 1;
        self.children[at] = self.roles[at].start();
    }

    /// Waits so long for the coordinator's end. None: it goes on.
    fn is_over(&mut self, patience: Duration) -> Option<Result<(), String>> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.children[0].try_wait().expect("asked") {
                return Some(if status.success() { Ok(()) } else { Err(self.said()) });
            }
            // a member ends with the run alone
            let member = self
                .children
                .iter_mut()
                .skip(1)
                .any(|child| child.try_wait().expect("asked").is_some_and(|status| !status.success()));
            if member {
                return Some(Err(self.said()));
            }
            if began.elapsed() >= patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What the processes that have failed have said.
    fn said(&mut self) -> String {
        let mut said = String::new();
        for mut child in self.children.drain(..) {
            let _ = child.kill();
            if let Ok(output) = child.wait_with_output() {
                said += &String::from_utf8_lossy(&output.stdout);
                said += &String::from_utf8_lossy(&output.stderr);
            }
        }
        said
    }
}

/// A case by processes with so many workers each, of which `kills` are killed, at moments of a life of `whole`.
fn carried_out(case: &Path, workers: &[usize], kills: usize, whole: Duration) -> Result<Duration, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = SeededRandom::new(case.as_os_str().len() as u64 + workers.len() as u64);
    let began = Instant::now();
    let mut crew = Crew::start(case, folder.path(), workers);
    let mut killed = 0;
    let ended = loop {
        let life = if killed < kills { whole.mul_f64(random.next_f64()) } else { PATIENCE };
        if let Some(ended) = crew.is_over(life) {
            break ended;
        }
        if killed == kills {
            break Err(format!("it does not come to its end: {}", crew.said()));
        }
        killed += 1;
        let victim = (random.next_u64() % workers.len() as u64) as usize;
        crew.replace(victim);
    };
    let mode = format!("{} processes, workers {workers:?}, {killed} killed", workers.len());
    let name = case.file_name().unwrap_or_default().display();
    ended.map_err(|error| format!("{name} [{mode}]: {error}"))?;
    let rows = Role { folder: folder.path().to_owned(), ..crew.roles[0].clone() }.rows();
    compare(case, &mode, &rows).map(|()| began.elapsed())
}

/// Does something with each case, in as many threads as there are cores, and says what failed.
fn with_each_case(does: impl Fn(&Path) -> Result<(), String> + Sync) {
    let cases: Vec<PathBuf> = cases().into_iter().filter(|case| case.join("expected.jsonl").exists()).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Err(failure) = does(case) {
                        failures.lock().expect("lock").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("lock");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_case_in_two_processes_gives_its_expected_rows() {
    with_each_case(|case| carried_out(case, &[1, 2], 0, PATIENCE).map(drop));
}

/// Of each case, alone and in two processes; more with `FYKE_KILLS`.
fn kills() -> usize {
    std::env::var("FYKE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

#[test]
fn every_case_whose_processes_are_killed_at_random_moments_gives_its_expected_rows_once() {
    let began = Instant::now();
    with_each_case(|case| {
        for workers in [&[1][..], &[2, 1]] {
            // as long as nobody disturbs it; any moment of it, its start and its end included
            let whole = carried_out(case, workers, 0, PATIENCE)?;
            carried_out(case, workers, kills(), whole)?;
        }
        Ok(())
    });
    println!("{} kills of each case in {:.1} s", 2 * kills(), began.elapsed().as_secs_f64());
}
