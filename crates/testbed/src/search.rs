//! Elasticsearch and OpenSearch of one node, with TLS and users by choice where the distribution has them.
//!
//! Both refuse to run as root: where the tests do, a system user of their own is made. What that user can't reach in the
//! cache (a root's home is closed) is copied to `/var/tmp/fyke-search` once, and servers have their folders there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{OwnFolder, Server, free_port, new_folder, new_folder_in, servers_outlive};
use crate::{Up, cache, java};

const START: Duration = Duration::from_secs(180);
const ACCOUNT: &str = "fyke-search";
const OPEN: &str = "/var/tmp/fyke-search";

/// Who may come in where a server has users.
pub const USER: (&str, &str) = ("fyke", "fyke-secret");
/// What `elasticsearch-users useradd` writes for that password.
const USERS: &str = "fyke:$2a$10$AdjqIKw7O2Tx4UZkal9e5upWmH5wclhtfnPOSjXhYE2PcNHJm1M.e\n";
const ROLES: &str = "superuser:fyke\n";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// 9.2.0
    Elasticsearch9,
    /// 8.19.0
    Elasticsearch8,
    /// 3.4.0
    OpenSearch3,
    /// 2.19.4
    OpenSearch2,
}

impl Product {
    /// All of them, the newest first.
    pub const ALL: [Self; 4] = [Self::OpenSearch3, Self::Elasticsearch9, Self::OpenSearch2, Self::Elasticsearch8];

    /// `opensearch-3`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch9 => "elasticsearch-9",
            Self::Elasticsearch8 => "elasticsearch-8",
            Self::OpenSearch3 => "opensearch-3",
            Self::OpenSearch2 => "opensearch-2",
        }
    }

    fn is_elastic(self) -> bool {
        matches!(self, Self::Elasticsearch9 | Self::Elasticsearch8)
    }

    fn home(self) -> Result<PathBuf> {
        let (list, folder) = match self {
            Self::Elasticsearch9 => (include_str!("../lists/elasticsearch-9.txt"), "elasticsearch-9.2.0"),
            Self::Elasticsearch8 => (include_str!("../lists/elasticsearch-8.txt"), "elasticsearch-8.19.0"),
            Self::OpenSearch3 => (include_str!("../lists/opensearch-3.txt"), "opensearch-3.4.0"),
            Self::OpenSearch2 => (include_str!("../lists/opensearch-2.txt"), "opensearch-2.19.4"),
        };
        let home = cache::unpacked(self.name(), list)?.join(folder);
        match account()? {
            Some(account) if !account.reaches(&home) => copied(&home, folder),
            _ => Ok(home),
        }
    }

    fn java(self) -> Result<PathBuf> {
        match self {
            Self::Elasticsearch9 | Self::OpenSearch3 => java::home(21),
            Self::Elasticsearch8 | Self::OpenSearch2 => java::home(17),
        }
    }
}

/// A running server. Its data lives as long as this value, across [`Search::kill`] and [`Search::restart`].
#[derive(Debug)]
pub struct Search {
    product: Product,
    server: Option<Server>,
    folder: OwnFolder,
    port: u16,
    secure: bool,
}

impl Search {
    /// A server without TLS and users.
    ///
    /// # Errors
    /// When it can't be fetched or started; with the end of its log.
    pub fn start(product: Product) -> Result<Self> {
        Self::with(product, false)
    }

    /// A server with TLS ([`Search::authority`]) and one [`USER`].
    ///
    /// # Errors
    /// As [`Search::start`]; the OpenSearch that is to be had has neither.
    pub fn secured(product: Product) -> Result<Self> {
        if !product.is_elastic() {
            bail!("this distribution of {} has no security plugin", product.name());
        }
        Self::with(product, true)
    }

    fn with(product: Product, secure: bool) -> Result<Self> {
        let folder = OwnFolder(match account()? {
            Some(account) if !account.reaches(&cache::folder()?) => {
                new_folder_in(&Path::new(OPEN).join("running"), product.name())?
            }
            _ => new_folder(product.name())?,
        });
        let port = free_port()?;
        write_settings(product, &folder.0, port, free_port()?, secure)?;
        let mut search = Self { product, server: None, folder, port, secure };
        search.restart()?;
        Ok(search)
    }

    /// `http://127.0.0.1:PORT`, or `https`.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.secure { "https" } else { "http" }, self.port)
    }

    /// The certificate of who signed the server's.
    pub fn authority(&self) -> PathBuf {
        self.folder.0.join("config/ca.pem")
    }

    /// Its process, if it runs.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When it can't be ended.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        // Elasticsearch's first process starts a second one
        for process in descendants(server.pid()) {
            _ = cache::run(Command::new("kill").args(["-KILL", &process.to_string()]));
        }
        server.kill()
    }

    /// Starts it anew with its data and ports, after ending it where it runs.
    ///
    /// # Errors
    /// As [`Search::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let mut server = Server::start(self.product.name(), self.command()?, &self.folder.0)?;
        let health = format!("{}/_cluster/health", self.url());
        let (user, password) = USER;
        let answers = || {
            let mut curl = Command::new("curl");
            curl.args(["-fsk", "--noproxy", "*", "-m", "2", "-u", &format!("{user}:{password}"), &health]);
            curl.output().is_ok_and(|output| output.status.success())
        };
        server.wait_until_ready(START, answers)?;
        self.server = Some(server);
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let prefix = if self.product.is_elastic() { "ES" } else { "OPENSEARCH" };
        let program = if self.product.is_elastic() { "bin/elasticsearch" } else { "bin/opensearch" };
        let mut command = match account()? {
            None => Command::new(self.product.home()?.join(program)),
            Some(account) => {
                let owner = format!("{}:{}", account.user, account.group);
                cache::run(Command::new("chown").arg("-R").arg(owner).arg(&self.folder.0))?;
                let mut command = account.command();
                // another user's process forgets whose end shall be its own
                if !servers_outlive() {
                    command.args(["--pdeathsig", "KILL"]);
                }
                command.arg(self.product.home()?.join(program));
                command
            }
        };
        let folder = &self.folder.0;
        command
            .env(format!("{prefix}_PATH_CONF"), folder.join("config"))
            .env(format!("{prefix}_JAVA_HOME"), self.product.java()?)
            .env(format!("{prefix}_JAVA_OPTS"), "-Xms512m -Xmx512m")
            .env(format!("{prefix}_TMPDIR"), folder.join("tmp"))
            .env_remove("JAVA_HOME");
        Ok(command)
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        _ = self.kill();
    }
}

/// Starts a server for a developer.
///
/// # Errors
/// As [`Search::start`].
pub fn up(product: Product) -> Result<Up> {
    let search = std::mem::ManuallyDrop::new(Search::start(product)?);
    let server = search.server().context("it does not run")?;
    Ok(Up { address: search.url(), pid: server.pid(), folder: server.folder().to_owned() })
}

fn write_settings(product: Product, folder: &Path, http: u16, transport: u16, secure: bool) -> Result<()> {
    let config = folder.join("config");
    cache::run(Command::new("cp").arg("-r").arg(product.home()?.join("config")).arg(&config))?;
    for name in ["data", "logs", "tmp"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    let mut text = format!(
        "cluster.name: fyke
discovery.type: single-node
network.host: 127.0.0.1
http.port: {http}
transport.port: {transport}
path.data: {0}/data
path.logs: {0}/logs
cluster.routing.allocation.disk.threshold_enabled: false
",
        folder.display()
    );
    if product.is_elastic() {
        text.push_str(&format!("xpack.security.enabled: {secure}\n"));
    }
    if secure {
        certificates(&config)?;
        std::fs::write(config.join("users"), USERS)?;
        std::fs::write(config.join("users_roles"), ROLES)?;
        text.push_str(
            "xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.key: server.key
xpack.security.http.ssl.certificate: server.pem
",
        );
    }
    let name = if product.is_elastic() { "elasticsearch.yml" } else { "opensearch.yml" };
    std::fs::write(config.join(name), text)?;
    // what the virtual machine would write beside the program, where it may not
    let options = std::fs::read_to_string(config.join("jvm.options"))?;
    let kept = options.lines().filter(|line| !["HeapDump", "ErrorFile", "gc.log"].iter().any(|w| line.contains(w)));
    Ok(std::fs::write(config.join("jvm.options"), kept.collect::<Vec<_>>().join("\n"))?)
}

/// An authority of our own, and the server's certificate for 127.0.0.1 and localhost.
fn certificates(folder: &Path) -> Result<()> {
    let openssl =
        |arguments: &str| cache::run(Command::new("openssl").current_dir(folder).args(arguments.split_whitespace()));
    let new_key = "-newkey rsa:2048 -noenc";
    openssl(&format!("req -x509 {new_key} -days 3650 -subj /CN=fyke-test-ca -keyout ca.key -out ca.pem"))?;
    std::fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost")?;
    openssl(&format!("req -new {new_key} -subj /CN=server -keyout server.key -out server.csr"))?;
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile server.ext -out server.pem",
    )
}

/// The system user's numbers.
struct Account {
    user: String,
    group: String,
}

impl Account {
    /// The beginning of a command that this user runs.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.user, "--regid", &self.group, "--clear-groups"]);
        command
    }

    fn reaches(&self, folder: &Path) -> bool {
        self.command().args(["test", "-r"]).arg(folder).output().is_ok_and(|output| output.status.success())
    }
}

/// A copy of a server's program where everybody reaches it, made once for all processes.
fn copied(home: &Path, name: &str) -> Result<PathBuf> {
    let wanted = Path::new(OPEN).join(name);
    std::fs::create_dir_all(OPEN)?;
    let lock = std::fs::File::create(Path::new(OPEN).join(format!("{name}.lock")))?;
    lock.lock()?;
    if !wanted.is_dir() {
        let unfinished = Path::new(OPEN).join(format!("{name}.unfinished"));
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)?;
        }
        cache::run(Command::new("cp").arg("-r").arg(home).arg(&unfinished))?;
        std::fs::rename(&unfinished, &wanted)?;
    }
    Ok(wanted)
}

/// The system user, where this process is root's.
fn account() -> Result<Option<Account>> {
    static MAKE: Mutex<()> = Mutex::new(());
    let id = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("id").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if id(&["-u"]).as_deref() != Some("0") {
        return Ok(None);
    }
    let _one_at_a_time = MAKE.lock().unwrap_or_else(PoisonError::into_inner);
    if id(&["-u", ACCOUNT]).is_none() {
        let arguments = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT];
        let made = cache::run(Command::new("useradd").args(arguments));
        // another process may have been faster
        if id(&["-u", ACCOUNT]).is_none() {
            made.context("search servers refuse to run as root, and no user can be made for them")?;
        }
    }
    let (user, group) = (id(&["-u", ACCOUNT]), id(&["-g", ACCOUNT]));
    Ok(Some(Account { user: user.context("the user is gone")?, group: group.context("the group is gone")? }))
}

/// All processes that a process has started, and that those have started.
fn descendants(pid: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(text) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // the name may hold anything, but ends with the last parenthesis
        let parent = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (process, parent)));
    }
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
        at += 1;
    }
    found.remove(0);
    found
}
