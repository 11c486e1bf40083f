//! A server's process: its folder, ports, log, readiness, and its end.
//!
//! Who starts a server ends it: a dropped [`Server`] is killed, and one whose starter was killed itself is ended by the
//! kernel (`setpriv --pdeathsig`, where there is one).

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cache;

/// Below the ports that outgoing connections are given.
const PORTS: std::ops::Range<u32> = 20_000..32_000;
const LOG_TAIL_BYTES: usize = 6_000;
const POLL: Duration = Duration::from_millis(50);

static OUTLIVE: AtomicBool = AtomicBool::new(false);

/// From now on servers go on when this process ends, with their folders: for a developer, who ends them otherwise.
pub fn let_servers_outlive() {
    OUTLIVE.store(true, Ordering::SeqCst);
}

/// Whether servers go on when this process ends.
pub fn servers_outlive() -> bool {
    OUTLIVE.load(Ordering::SeqCst)
}

/// A free port of this host. Processes that look at once look from different ports on.
///
/// # Errors
/// When none is free.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    for _ in 0..count {
        let at = std::process::id().wrapping_mul(101).wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst)) % count;
        let port = u16::try_from(PORTS.start + at)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// An empty folder for one server's data, settings and log: removed with the [`Server`], else when another is made after
/// this process has ended.
///
/// # Errors
/// When it can't be made.
pub fn new_folder(name: &str) -> Result<PathBuf> {
    new_folder_in(&cache::folder()?.join("running"), name)
}

/// The same, elsewhere: for a server that may not go into the cache.
///
/// # Errors
/// When it can't be made.
pub fn new_folder_in(running: &Path, name: &str) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(running)?;
    remove_abandoned(running);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
    let kept = if OUTLIVE.load(Ordering::SeqCst) { "up-" } else { "" };
    let folder = running.join(format!("{kept}{process}-{name}-{number}"));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Folders of processes that are gone.
fn remove_abandoned(running: &Path) {
    for entry in fs::read_dir(running).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| Path::new("/proc").is_dir() && !is_running(process)) {
            // another test may remove it at the same time
            _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether there is such a process that has not ended.
pub fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| !text.contains(") Z "))
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    name: String,
    folder: PathBuf,
    child: Child,
    outlives: bool,
}

impl Server {
    /// Starts `command` in `folder`, where its output goes to `log`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(name: &str, command: Command, folder: &Path) -> Result<Self> {
        let outlives = OUTLIVE.load(Ordering::SeqCst);
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let mut command = if outlives { detached(command) } else { ended_with_parent(command) };
        command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = spawn(command).with_context(|| format!("{name} can't be started"))?;
        Ok(Self { name: name.to_owned(), folder: folder.to_owned(), child, outlives })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data, settings and log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until `is_ready` says so.
    ///
    /// # Errors
    /// When it ends before, or `most` is over: with the end of its log.
    pub fn wait_until_ready(&mut self, most: Duration, mut is_ready: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}):\n{}", self.name, self.log_tail());
            }
            ensure!(started.elapsed() < most, "{} is not ready after {most:?}:\n{}", self.name, self.log_tail());
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Sends a signal: `-TERM`, `-STOP` (it stands still), `-CONT` (it goes on).
    ///
    /// # Errors
    /// When it can't be sent.
    pub fn signal(&self, signal: &str) -> Result<()> {
        cache::run(Command::new("kill").args([signal, &self.pid().to_string()]))
    }

    /// Ends it at once, and waits for that; its folder stays for a start anew.
    ///
    /// # Errors
    /// When it can't be ended.
    pub fn kill(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(text.get(text.len().saturating_sub(LOG_TAIL_BYTES)..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.outlives {
            _ = self.kill();
        }
    }
}

/// A folder that is removed with its owner, unless servers shall go on.
#[derive(Debug)]
pub struct OwnFolder(pub PathBuf);

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if !OUTLIVE.load(Ordering::SeqCst) {
            _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The same command, ended by the kernel when its parent ends, even by a kill.
fn ended_with_parent(command: Command) -> Command {
    static HAS_SETPRIV: OnceLock<bool> = OnceLock::new();
    let asked = || Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).output();
    if !*HAS_SETPRIV.get_or_init(|| asked().is_ok_and(|output| output.status.success())) {
        return command;
    }
    behind(command, "setpriv", &["--pdeathsig", "KILL"])
}

/// The same command in a session of its own, which a terminal's interrupt does not reach.
fn detached(command: Command) -> Command {
    behind(command, "setsid", &[])
}

fn behind(command: Command, program: &str, arguments: &[&str]) -> Command {
    let mut wrapped = Command::new(program);
    wrapped.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

type Request = (Command, Sender<std::io::Result<Child>>);

/// Children are started by one thread that never ends: the kernel ends them with the *thread* that started them, and a
/// test's thread ends long before the tests that share its server.
fn spawn(command: Command) -> Result<Child> {
    static STARTER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (give, requests) = channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                _ = answer.send(command.spawn());
            }
        });
        Mutex::new(give)
    });
    let (answer, child) = channel();
    starter.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer))?;
    Ok(child.recv()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_server_is_killed_and_its_starter_thread_may_end_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("600");
            Server::start("sleep", command, folder.path()).expect("started")
        };
        let server = std::thread::scope(|scope| scope.spawn(start).join().expect("joined"));
        std::thread::sleep(Duration::from_millis(200));
        let pid = server.pid();
        assert!(is_running(pid), "the thread that asked for it has ended");
        drop(server);
        assert!(!is_running(pid));
    }

    #[test]
    fn server_that_ends_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such setting; exit 3"]);
        let mut server = Server::start("sh", command, folder.path()).expect("started");
        let error = server.wait_until_ready(Duration::from_secs(20), || false).expect_err("it ended").to_string();
        assert!(error.contains("no such setting"), "{error}");
    }
}
