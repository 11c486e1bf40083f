//! One seed: processes start, step, die and start again over one store, one input and one set of outputs; then all is
//! calm, the last one comes to its end, and what came out is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fyke::checkpoint::{Every, Keeper};
use fyke::connect::{FileConnector, MemorySource};
use fyke::types::{Connector, InputId, Micros, PartsOf, ReadOptions, Sink, SinkMode, SinkSpec, Source, dead_schema};
use fyke::{Driver, Error, Kind, Progress};
use fyke_simulate::{Faults, FaultyWorld, Process};
use fyke_stream::state::Spill;
use fyke_stream::{CustomerBy, Outlet, SourceRun, TimeSettings};

use super::case::{Case, HOSTS, LATENESS, START, batch, schema};
use super::graph::execution;
use super::network::Crew;

/// What a seed came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub failure: Option<String>,
    pub history: u64,
    pub lines: Vec<String>,
    pub seeds: u64,
    pub processes: u64,
    /// Processes that another one took over from while they lived.
    pub deposed: u64,
    pub rows: u64,
    pub late: u64,
    /// Processes of clusters that died, and connections that broke.
    pub lost: u64,
    /// Generations that another one followed in the same process.
    pub followed: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.seeds += 1;
        self.processes += other.processes;
        self.deposed += other.deposed;
        self.rows += other.rows;
        self.late += other.late;
        self.lost += other.lost;
        self.followed += other.followed;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, processes, deposed, rows, late, lost, followed, .. } = self;
        write!(f, "{seeds} seeds, {processes} processes, {deposed} of them deposed, ")?;
        write!(f, "{lost} losses in their networks, {followed} generations anew, {rows} rows, {late} late")
    }
}

/// What outlives every process.
struct Env {
    world: FaultyWorld,
    case: Case,
    source: MemorySource,
    folder: PathBuf,
    counts: Mutex<(u64, u64)>,
    lost: Arc<Mutex<u64>>,
    followed: Mutex<u64>,
    /// Visible parts, by path: they stay as they are.
    parts: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
}

/// A process and what it has done.
struct Life {
    process: Process,
    driver: Driver,
    mark: Option<Micros>,
}

type Lives = Arc<Mutex<Vec<Life>>>;

enum Turn {
    /// It goes on.
    On(Box<Life>),
    /// It came to the end of the input.
    Ended(Box<Progress>),
    /// It is dead.
    Dead,
}

pub fn run(seed: u64, keep: bool) -> Outcome {
    let network = Faults { die: 8, cut: 8, hang: 3, lag: 100, ..Faults::default() };
    let faults = Faults { kill: 60, fail: 40, slow: 30, torn: 3_000, stale: 2_000, visit: 60, ..network };
    // now and then a world in which little fails, so that much is written
    let faults = if seed % 4 == 1 { Faults { kill: 12, fail: 8, visit: 20, ..faults } } else { faults };
    let case = Case::generated(seed);
    let place = folder();
    let env = Arc::new(Env {
        world: FaultyWorld::new(seed, faults, START, keep),
        source: MemorySource::new(schema(), Vec::new()).unwrap(),
        case,
        folder: place.path().to_path_buf(),
        counts: Mutex::default(),
        lost: Arc::default(),
        followed: Mutex::default(),
        parts: Mutex::default(),
    });
    let failure = live(&env).err();
    let world = &env.world;
    world.unvisited();
    let (processes, deposed) = *env.counts.lock().unwrap();
    let late = late_rows(&env.folder).len() as u64;
    let rows = env.case.rows().count() as u64;
    let (history, lines) = (world.history(), world.lines());
    let (lost, followed) = (*env.lost.lock().unwrap(), *env.followed.lock().unwrap());
    Outcome { failure, history, lines, seeds: 1, processes, deposed, rows, late, lost, followed }
}

/// Memory, where the machine has it as a folder: syncing costs nothing there.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn live(env: &Arc<Env>) -> Result<(), String> {
    let lives: Lives = Arc::default();
    let inputs: Vec<InputId> = (0..env.case.inputs.len()).map(|input| env.source.add_input(HOSTS[input])).collect();
    let mut given = vec![0; inputs.len()];
    let failures: Arc<Mutex<Vec<String>>> = Arc::default();
    {
        let (env_in, lives, failures) = (Arc::clone(env), Arc::clone(&lives), Arc::clone(&failures));
        env.world.visited_by(Box::new(move || {
            // another process takes over while this one is in the middle of something
            if let Err(failure) = begin(&env_in, &lives) {
                failures.lock().unwrap().push(failure);
            }
        }));
    }
    let world = &env.world;
    for _ in 0..60 + world.below(120) {
        match world.below(100) {
            0..30 => {
                let input = world.below(inputs.len());
                push(env, inputs[input], input, &mut given);
            }
            30..34 => world.pass(Duration::from_secs(world.below(90) as u64)),
            34 => world.pass(Duration::from_secs(60 * world.below(30) as u64)),
            // so that a customer falls silent
            35 if env.case.unruly => world.pass(Duration::from_secs(700)),
            35..37 => begin(env, &lives)?,
            37..40 => {
                let killed = { take(env, &lives) };
                killed.iter().for_each(|life| life.process.kill());
            }
            _ => match take(env, &lives) {
                Some(life) => {
                    if let Turn::On(life) = turn(env, life)? {
                        lives.lock().unwrap().push(*life);
                    }
                }
                None => begin(env, &lives)?,
            },
        }
        if let Some(failure) = failures.lock().unwrap().pop() {
            return Err(failure);
        }
    }
    world.note("calm");
    world.calm();
    world.unvisited();
    for (at, input) in inputs.iter().enumerate() {
        while push(env, *input, at, &mut given) {}
    }
    env.source.close();
    let progress = to_the_end(env)?;
    // whoever is left was deposed: it goes on for a while, and must not be seen
    while let Some(life) = take(env, &lives) {
        let mut life = Some(life);
        for _ in 0..20 {
            match life.take().map(|life| turn(env, life)).transpose()? {
                Some(Turn::On(on)) => life = Some(*on),
                Some(Turn::Ended(_)) => return Err("a deposed process came to its end".to_owned()),
                Some(Turn::Dead) | None => break,
            }
        }
    }
    compare(env, progress.as_ref())
}

fn push(env: &Env, id: InputId, input: usize, given: &mut [usize]) -> bool {
    let Some(rows) = env.case.inputs[input].get(given[input]) else { return false };
    given[input] += 1;
    env.world.note(&format!("{} rows for input {input}", rows.len()));
    env.source.push(id, batch(rows)).unwrap();
    true
}

/// One of those that live, at random.
fn take(env: &Env, lives: &Lives) -> Option<Life> {
    let mut lives = lives.lock().unwrap();
    if lives.is_empty() {
        return None;
    }
    let at = env.world.below(lives.len());
    Some(lives.swap_remove(at))
}

/// Starts a process, unless enough of them live.
fn begin(env: &Arc<Env>, lives: &Lives) -> Result<(), String> {
    let living = lives.lock().unwrap().len();
    if living >= 3 {
        return Ok(());
    }
    let process = env.world.process();
    {
        let mut counts = env.counts.lock().unwrap();
        counts.0 += 1;
        counts.1 += living as u64;
    }
    match start(env, &process) {
        Ok(Some(driver)) => lives.lock().unwrap().push(Life { process, driver, mark: None }),
        Ok(None) => {}
        Err(error) => judge(env, &process, &error)?,
    }
    parts_stay(env)
}

/// Starts a process as a run does; none where the run is complete.
fn start(env: &Arc<Env>, process: &Process) -> fyke::Result<Option<Driver>> {
    // any number of workers goes on with what any other number has left
    let crew = (env.world.below(4) > 0).then(|| Crew::chosen(&env.world, &env.lost));
    let Some(driver) = generation(env, process, crew.as_ref())? else { return Ok(None) };
    let mut driver = match crew {
        None => driver,
        Some(crew) => {
            let (env, process) = (Arc::clone(env), process.clone());
            driver.with_others(Box::new(move |outlets| {
                drop(outlets);
                *env.followed.lock().unwrap() += 1;
                env.world.note(&format!("{}: another generation", process.number()));
                let next = generation(&env, &process, Some(&crew))?;
                next.ok_or_else(|| Error::unavailable("another process has completed the run"))
            }))
        }
    };
    match driver.begin() {
        Ok(()) => Ok(Some(driver)),
        Err(error) => driver.go_on(Some(error)).map(Some),
    }
}

/// Opens everything from the last checkpoint; none where the run is complete.
fn generation(env: &Env, process: &Process, crew: Option<&Crew>) -> fyke::Result<Option<Driver>> {
    let (case, clock) = (&env.case, env.world.clock());
    let keeper = Keeper::open(process.store(), Every::Epochs(u64::MAX / 2), Arc::clone(&clock) as _)?;
    if keeper.manifest().complete {
        return Ok(None);
    }
    let of = keeper.parts();
    let resume = keeper.manifest().sources.first().and_then(|source| source.position.clone());
    let options = ReadOptions {
        projection: None,
        event_time: Some(0),
        max_ahead: 365 * 86_400_000_000,
        follow: true,
        threads: 0,
        block_bytes: 1 << 16,
        clock: Arc::clone(&clock) as _,
        resume,
    };
    let (execution, outputs) = execution(case, crew);
    let minutes = |minutes: Micros| case.unruly.then_some(minutes * 60_000_000);
    let settings = TimeSettings {
        event_time: Some("time".into()),
        lateness: LATENESS,
        customer: if case.by_column { CustomerBy::Column("host".into()) } else { CustomerBy::Input },
        idle_after: minutes(1),
        close_after: minutes(10),
        max_ahead: options.max_ahead,
    };
    let source = SourceRun {
        name: "requests".into(),
        reader: process.reader(env.source.open(&options)?),
        settings,
        bytes_total: None,
        per_customer: case.pipelines.iter().any(|pipeline| *pipeline != super::case::Pipeline::Everybody),
        dead_to: Some(sink(env, process, "dead", dead_schema(), &of)?),
        late_to: Some(sink(env, process, "late", schema(), &of)?),
    };
    let outlets = outputs.iter().map(|(pipeline, columns)| {
        let name = format!("{pipeline:?}");
        Ok(Outlet { sink: sink(env, process, &name, Arc::clone(columns), &of)?, name })
    });
    let outlets = outlets.collect::<fyke::Result<Vec<_>>>()?;
    let driver = Driver::new(execution, vec![source], outlets, clock, true).with_short_epochs();
    // without memory to speak of, what can go to disk does so after each epoch
    let driver = match env.world.below(3) {
        0 => driver.with_spill(Spill::open(None, 1)?),
        _ => driver,
    };
    Ok(Some(driver.with_checkpoints(keeper, false)))
}

fn sink(
    env: &Env,
    process: &Process,
    name: &str,
    schema: fyke::arrow::datatypes::SchemaRef,
    of: &PartsOf,
) -> fyke::Result<Box<dyn Sink>> {
    let spec = SinkSpec {
        format: "JSON".into(),
        location: env.folder.join(name).display().to_string(),
        schema,
        mode: SinkMode::Append,
        options: BTreeMap::new(),
        parts: Some(of.clone()),
        key: None,
        unique: None,
    };
    Ok(process.sink(name, FileConnector.sink(&spec)?))
}

/// One thing that a process does next.
fn turn(env: &Env, life: Life) -> Result<Turn, String> {
    let Life { process, mut driver, mark } = life;
    let done = match env.world.below(10) {
        0..7 => driver.step_once(),
        7..9 => driver.start_checkpoint().map(|()| true),
        _ => driver.settle_checkpoint().map(|()| true),
    };
    let done = match done {
        Ok(false) => driver.finish().map(|progress| Some(Box::new(progress))),
        Ok(true) => Ok(None),
        Err(error) => Err(error),
    };
    parts_stay(env)?;
    let followed = *env.followed.lock().unwrap();
    let driver = match done {
        Ok(Some(progress)) => return Ok(Turn::Ended(progress)),
        Ok(None) => driver.go_on(None),
        Err(error) => driver.go_on(Some(error)),
    };
    let driver = match driver {
        Ok(driver) => driver,
        Err(error) => return judge(env, &process, &error).map(|()| Turn::Dead),
    };
    let progress = driver.progress_handle().lock().unwrap().clone();
    add_up(&progress)?;
    let now = progress.sources[0].watermark;
    // another generation goes on from the last checkpoint
    let before = mark.filter(|_| *env.followed.lock().unwrap() == followed);
    if before.zip(now).is_some_and(|(before, now)| now < before) {
        return Err(format!("a watermark went back from {before:?} to {now:?}"));
    }
    Ok(Turn::On(Box::new(Life { process, driver, mark: now.or(before) })))
}

/// Whether a process may die of this error; what the hint says is done.
fn judge(env: &Env, process: &Process, error: &Error) -> Result<(), String> {
    // the folder has another name each time
    // nor do details belong to a history: where half a manifest ends follows from the names of processes of this machine
    let told = error.message().replace(&env.folder.display().to_string(), "");
    env.world.note(&format!("{}: {told}", process.number()));
    process.kill();
    let is_newest = env.counts.lock().unwrap().0 <= process.number();
    let text = error.to_string();
    match error.kind() {
        // a generation follows another one: the loss of a process is no reason to die
        Kind::Unavailable if text.contains("of the cluster is lost") => {
            Err(format!("process {} has died of another one's loss: {error}", process.number()))
        }
        Kind::Unavailable => Ok(()),
        Kind::Data if text.contains("manifest") && text.contains("corrupt") => {
            let newest = env.world.objects().into_iter().rfind(|name| name.starts_with("manifests/"));
            newest.iter().for_each(|newest| env.world.remove(newest));
            Ok(())
        }
        // what an old process looks for the new one may have removed
        Kind::Data if !is_newest => Ok(()),
        _ => Err(format!("process {} failed with {error}", process.number())),
    }
}

/// The last process, with which nothing goes wrong.
fn to_the_end(env: &Arc<Env>) -> Result<Option<Progress>, String> {
    for _ in 0..3 {
        let process = env.world.process();
        env.counts.lock().unwrap().0 += 1;
        let driver = match start(env, &process) {
            Ok(Some(driver)) => driver,
            Ok(None) => return Ok(None),
            Err(error) => {
                judge(env, &process, &error)?;
                if !error.to_string().contains("corrupt") {
                    return Err(format!("the last process can't start: {error}"));
                }
                continue;
            }
        };
        let mut life = Life { process, driver, mark: None };
        for _ in 0..10_000 {
            match turn(env, life)? {
                Turn::On(on) => life = *on,
                Turn::Ended(progress) => return Ok(Some(*progress)),
                Turn::Dead => return Err("the last process died".to_owned()),
            }
        }
        return Err("the last process does not come to its end".to_owned());
    }
    Err("the last process can't start: everything is corrupt".to_owned())
}

fn add_up(progress: &Progress) -> Result<(), String> {
    let (read, used, late, dead) = progress.totals();
    if read == used + late + dead {
        return Ok(());
    }
    Err(format!("read {read} is not used {used} + late {late} + dead {dead}"))
}

/// The lines of all visible parts of an output.
fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    for (path, bytes) in visible(folder) {
        let text = String::from_utf8(bytes).unwrap();
        let parsed = text.lines().map(|line| serde_json::from_str(line).map_err(|error| (path.clone(), error)));
        lines.extend(parsed.collect::<Result<Vec<serde_json::Value>, _>>().unwrap());
    }
    lines
}

fn visible(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let parts = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    parts.map(|entry| (entry.path(), std::fs::read(entry.path()).unwrap())).collect()
}

/// What was visible once is visible for ever, and does not change.
fn parts_stay(env: &Env) -> Result<(), String> {
    let mut known = env.parts.lock().unwrap();
    let mut now = BTreeMap::new();
    for folder in std::fs::read_dir(&env.folder).into_iter().flatten().flatten() {
        now.extend(visible(&folder.path()));
    }
    for (path, bytes) in known.iter() {
        if now.get(path) != Some(bytes) {
            return Err(format!("the part {} was taken back or changed", path.display()));
        }
    }
    *known = now;
    Ok(())
}

fn late_rows(folder: &Path) -> Vec<i64> {
    lines(&folder.join("late")).iter().map(|row| row["n"].as_i64().unwrap()).collect()
}

fn compare(env: &Env, progress: Option<&Progress>) -> Result<(), String> {
    parts_stay(env)?;
    let late = late_rows(&env.folder);
    let mut found = Vec::new();
    for pipeline in &env.case.pipelines {
        for row in lines(&env.folder.join(format!("{pipeline:?}"))) {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let (start, end) = (text(&row["w"]["start"]), text(&row["w"]["end"]));
            let (host, client) = (text(&row["host"]), text(&row["client"]));
            let (count, sum) = (&row["c"], &row["s"]);
            found.push(format!("{pipeline:?} {start} {end} host={host} client={client} c={count} s={sum}"));
        }
    }
    found.sort();
    found.iter().for_each(|line| env.world.note(line));
    let expected = env.case.expected(&late);
    if found != expected {
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            let mut those = those.to_vec();
            let is_only = |line: &&String| match those.iter().position(|other| other == *line) {
                Some(at) => {
                    those.swap_remove(at);
                    false
                }
                None => true,
            };
            these.iter().filter(is_only).cloned().collect()
        };
        let (lost, more) = (only(&expected, &found), only(&found, &expected));
        return Err(format!("lost:\n  {}\ntoo many:\n  {}", lost.join("\n  "), more.join("\n  ")));
    }
    let dead = lines(&env.folder.join("dead")).len();
    let without_time = env.case.rows().filter(|row| row.time.is_none()).count();
    if dead != without_time {
        return Err(format!("{dead} dead letters, {without_time} rows without a time"));
    }
    if !env.case.unruly && !late.is_empty() {
        return Err(format!("{} rows were late", late.len()));
    }
    let Some(progress) = progress else { return Ok(()) };
    let counted = progress.totals();
    let rows = env.case.rows().count() as u64;
    let wanted = (rows, rows - late.len() as u64 - dead as u64, late.len() as u64, dead as u64);
    if counted != wanted {
        return Err(format!("the counters say {counted:?}, the outputs {wanted:?}"));
    }
    let given: u64 = progress.sinks.iter().map(|sink| sink.rows).sum();
    if given != found.len() as u64 {
        return Err(format!("{given} rows were counted, {} are there", found.len()));
    }
    env.world.note(&format!("{counted:?}"));
    Ok(())
}
