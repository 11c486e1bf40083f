//! A world in which everything fails: a store, sinks, readers and a clock for processes that die at any moment.
//!
//! All of it is decided by one seed in one thread: the same seed gives the same history, and [`FaultyWorld::history`]
//! is a hash of it. The engine under test is the real one; this is what it stands on.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use fyke_types::{Clock, Error, Event, ManualClock, Micros, Reader, Result, Sink, Store, StoreWriter};

use crate::dice::{Dice, mix};

/// How often, in 10,000 steps of a process, something goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The process dies, before or after the step had its effect.
    pub kill: usize,
    /// The step fails, before or after it had its effect.
    pub fail: usize,
    /// The step takes up to a minute.
    pub slow: usize,
    /// Of those deaths that come while an object is created: half of it is there.
    pub torn: usize,
    /// A list of state files is the one before.
    pub stale: usize,
    /// The visitor comes in between: see [`FaultyWorld::visited_by`].
    pub visit: usize,
    /// Of so many turns of a network: one of its processes dies.
    pub die: usize,
    /// The connection between two of its processes breaks.
    pub cut: usize,
    /// One of its workers does nothing any more, while its process says that it is alive.
    pub hang: usize,
    /// One of its connections or workers becomes slower than all others.
    pub lag: usize,
}

/// Called between two steps of a process.
pub type Visitor = Box<dyn FnMut() + Send>;

/// See the module.
#[derive(Clone)]
pub struct FaultyWorld {
    shared: Arc<Mutex<Shared>>,
    clock: Arc<ManualClock>,
}

struct Shared {
    dice: Dice,
    faults: Faults,
    objects: BTreeMap<String, Vec<u8>>,
    /// By folder, what the last list but one said.
    listed: BTreeMap<String, Vec<String>>,
    visitor: Option<Visitor>,
    processes: u64,
    history: u64,
    lines: Option<Vec<String>>,
}

impl std::fmt::Debug for FaultyWorld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultyWorld {{ history: {:016x} }}", self.history())
    }
}

impl FaultyWorld {
    /// A world of `seed`, whose clock stands at `now`. `keep`: the history can be read, not only compared.
    pub fn new(seed: u64, faults: Faults, now: Micros, keep: bool) -> Self {
        let shared = Shared {
            dice: Dice::for_name(seed, &[0xfa_17]),
            faults,
            objects: BTreeMap::new(),
            listed: BTreeMap::new(),
            visitor: None,
            processes: 0,
            history: seed,
            lines: keep.then(Vec::new),
        };
        Self { shared: Arc::new(Mutex::new(shared)), clock: Arc::new(ManualClock::new(now)) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wall clock.
    pub fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// Moves the wall clock.
    pub fn pass(&self, by: Duration) {
        self.clock.set(self.clock.now().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)));
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        self.shared().faults = Faults::default();
    }

    /// Who comes in between two steps of a process, as often as the faults say; not while it is there already.
    pub fn visited_by(&self, visitor: Visitor) {
        self.shared().visitor = Some(visitor);
    }

    /// Nobody comes any more.
    pub fn unvisited(&self) {
        self.shared().visitor = None;
    }

    /// Whether a fault comes now, for parts of a world that are not made here.
    pub fn happens(&self, of: fn(&Faults) -> usize) -> bool {
        self.shared().happens(of)
    }

    /// Uniform in `0..bound`.
    pub fn below(&self, bound: usize) -> usize {
        self.shared().dice.below(bound)
    }

    /// Adds to the history.
    pub fn note(&self, what: &str) {
        self.shared().note(what);
    }

    /// A hash of all that happened.
    pub fn history(&self) -> u64 {
        self.shared().history
    }

    /// What happened, if it was to be kept.
    pub fn lines(&self) -> Vec<String> {
        self.shared().lines.clone().unwrap_or_default()
    }

    /// A new process.
    pub fn process(&self) -> Process {
        let mut shared = self.shared();
        shared.processes += 1;
        let number = shared.processes;
        shared.note(&format!("process {number} starts"));
        Process { world: self.clone(), number, alive: Arc::new(AtomicBool::new(true)) }
    }

    /// The objects' names.
    pub fn objects(&self) -> Vec<String> {
        self.shared().objects.keys().cloned().collect()
    }

    /// Removes an object by hand.
    pub fn remove(&self, name: &str) {
        self.note(&format!("{name} is removed by hand"));
        self.shared().objects.remove(name);
    }
}

impl Shared {
    fn note(&mut self, what: &str) {
        self.history = what.bytes().fold(self.history, |hash, byte| mix(hash ^ u64::from(byte)));
        if let Some(lines) = &mut self.lines {
            lines.push(what.to_owned());
        }
    }

    fn happens(&mut self, of: fn(&Faults) -> usize) -> bool {
        let often = of(&self.faults);
        often > 0 && self.dice.below(10_000) < often
    }
}

/// A process of the world: what it does through the parts below may fail, and may be the last that it does.
#[derive(Debug, Clone)]
pub struct Process {
    world: FaultyWorld,
    number: u64,
    alive: Arc<AtomicBool>,
}

impl Process {
    /// Which one it is, counted from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// Ends it: nothing that it tries has an effect any more.
    pub fn kill(&self) {
        if self.alive.swap(false, Ordering::SeqCst) {
            self.world.note(&format!("process {} is killed", self.number));
        }
    }

    /// Its way to the one store.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(FaultyStore(self.clone()))
    }

    /// A sink whose every call may fail.
    pub fn sink(&self, name: &str, of: Box<dyn Sink>) -> Box<dyn Sink> {
        Box::new(FaultySink { of, name: name.to_owned(), process: self.clone() })
    }

    /// A reader whose every call may fail.
    pub fn reader(&self, of: Box<dyn Reader>) -> Box<dyn Reader> {
        Box::new(FaultyReader { of, process: self.clone() })
    }

    fn dead(&self) -> Error {
        Error::unavailable(format!("process {} is dead", self.number))
    }

    /// Does `act` unless the world is against it: whether it had its effect the caller can't know from an error.
    fn step<T>(&self, what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.before(what)?;
        let done = act();
        let outcome = if done.is_ok() { "done" } else { "refused" };
        self.world.note(&format!("{}: {what} {outcome}", self.number));
        self.trouble(what, "after")?;
        done
    }

    fn before(&self, what: &str) -> Result<()> {
        if !self.is_alive() {
            return Err(self.dead());
        }
        let visitor = {
            let mut shared = self.world.shared();
            if shared.happens(|faults| faults.slow) {
                let seconds = shared.dice.between(1, 60) as u64;
                self.world.pass(Duration::from_secs(seconds));
                shared.note(&format!("{}: {what} takes {seconds} s", self.number));
            }
            if shared.happens(|faults| faults.visit) { shared.visitor.take() } else { None }
        };
        if let Some(mut visitor) = visitor {
            visitor();
            self.world.shared().visitor = Some(visitor);
        }
        self.trouble(what, "before")
    }

    fn trouble(&self, what: &str, when: &str) -> Result<()> {
        let mut shared = self.world.shared();
        if shared.happens(|faults| faults.kill) {
            self.alive.store(false, Ordering::SeqCst);
            shared.note(&format!("{}: dies {when} {what}", self.number));
            return Err(self.dead());
        }
        if shared.happens(|faults| faults.fail) {
            shared.note(&format!("{}: fails {when} {what}", self.number));
            return Err(Error::unavailable(format!("{what} failed")).detail("so the simulation wants it"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyStore(Process);

impl FaultyStore {
    /// Creates an object; a process that dies of it may leave half of it.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let world = &self.0.world;
        let was_alive = self.0.is_alive();
        let put = self.0.step(&format!("create {name}"), || {
            let mut shared = world.shared();
            if shared.objects.contains_key(name) {
                return Ok(false);
            }
            shared.objects.insert(name.to_owned(), bytes.to_vec());
            Ok(true)
        });
        let mut shared = world.shared();
        let died = was_alive && !self.0.is_alive();
        if died && !shared.objects.contains_key(name) && shared.happens(|faults| faults.torn) {
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
            shared.objects.insert(name.to_owned(), half);
            shared.note(&format!("half of {name} is there"));
        }
        put
    }
}

impl Store for FaultyStore {
    fn place(&self, name: &str) -> String {
        format!("world:{name}")
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.put(name, bytes)
    }

    fn writer(&self, name: &str) -> Result<Box<dyn StoreWriter>> {
        let store = Self(self.0.clone());
        Ok(Box::new(FaultyWriter { store, name: name.to_owned(), bytes: Vec::new() }))
    }

    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        self.0.step(&format!("read {name}"), || {
            let shared = self.0.world.shared();
            let Some(bytes) = shared.objects.get(name) else { return Ok(None) };
            let range = range.unwrap_or(0..u64::MAX);
            let end = bytes.len().min(usize::try_from(range.end).unwrap_or(usize::MAX));
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            Ok(Some(bytes.get(start..end).unwrap_or_default().to_vec()))
        })
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        self.0.step(&format!("list {folder}"), || {
            let mut shared = self.0.world.shared();
            let below = format!("{folder}/");
            let names: Vec<String> =
                shared.objects.keys().filter_map(|name| name.strip_prefix(&below).map(str::to_owned)).collect();
            // what was written is listed at once by every store that manifests may lie in
            let stale = folder == "state" && shared.happens(|faults| faults.stale);
            let before = shared.listed.insert(folder.to_owned(), names.clone());
            Ok(if stale { before.unwrap_or_default() } else { names })
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.0.step(&format!("remove {name}"), || {
            self.0.world.shared().objects.remove(name);
            Ok(())
        })
    }
}

struct FaultyWriter {
    store: FaultyStore,
    name: String,
    bytes: Vec<u8>,
}

impl Write for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Self { store, name, bytes: kept } = self;
        // a write may take less than it is given; how many draws it takes must not depend on the bytes
        let half = store.0.world.below(2) == 0 && bytes.len() > 64;
        let taken = if half { bytes.len() / 2 } else { bytes.len() };
        let step = store.0.step(&format!("write {name}"), || {
            kept.extend_from_slice(bytes.get(..taken).unwrap_or_default());
            Ok(taken)
        });
        step.map_err(std::io::Error::other)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl StoreWriter for FaultyWriter {
    fn publish(self: Box<Self>) -> Result<bool> {
        self.store.put(&self.name, &self.bytes)
    }
}

struct FaultySink {
    of: Box<dyn Sink>,
    name: String,
    process: Process,
}

impl Sink for FaultySink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.process.step(&format!("write {} rows to {}", batch.num_rows(), self.name), || self.of.write(batch))
    }

    fn flush(&mut self) -> Result<()> {
        self.of.flush()
    }

    fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        self.process.step(&format!("prepare part {part} of {}", self.name), || self.of.prepare(part, last))
    }

    fn waits_for_commit(&self) -> bool {
        self.of.waits_for_commit()
    }

    fn shows_at_once(&self) -> bool {
        self.of.shows_at_once()
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        self.process.step(&format!("commit a part of {}", self.name), || self.of.commit(prepared))
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        self.process.step(&format!("recover {} behind part {part}", self.name), || self.of.recover(part))
    }

    fn finish(&mut self) -> Result<()> {
        self.process.step(&format!("finish {}", self.name), || self.of.finish())
    }
}

struct FaultyReader {
    of: Box<dyn Reader>,
    process: Process,
}

impl Reader for FaultyReader {
    fn next(&mut self, wait: Duration) -> Result<Event> {
        self.process.step("read rows", || self.of.next(wait))
    }

    fn position(&self) -> Result<Option<String>> {
        self.of.position()
    }

    fn bytes_read(&self) -> u64 {
        self.of.bytes_read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(faults: Faults) -> FaultyWorld {
        FaultyWorld::new(7, faults, 0, true)
    }

    #[test]
    fn object_is_created_once_and_read_in_part() {
        let store = world(Faults::default()).process().store();
        assert!(store.create("state/1", b"abcdef").unwrap() && !store.create("state/1", b"other").unwrap());
        assert_eq!(store.read("state/1", Some(2..4)).unwrap().unwrap(), b"cd");
        assert_eq!(store.read("state/1", Some(4..40)).unwrap().unwrap(), b"ef");
        assert_eq!(store.read("state/2", None).unwrap(), None);
        assert_eq!(store.names("state").unwrap(), ["1"]);
        let mut writer = store.writer("state/2").unwrap();
        writer.write_all(&[7; 1_000]).unwrap();
        assert_eq!(store.names("state").unwrap(), ["1"], "not before it is whole");
        assert!(writer.publish().unwrap());
        assert_eq!(store.read("state/2", None).unwrap().unwrap(), [7; 1_000]);
    }

    #[test]
    fn dead_process_changes_nothing() {
        let world = world(Faults::default());
        let (process, other) = (world.process(), world.process());
        process.kill();
        assert!(process.store().create("a/1", b"x").is_err() && process.store().names("a").is_err());
        assert!(other.store().create("a/1", b"y").unwrap());
    }

    #[test]
    fn failure_comes_before_or_after_the_effect() {
        let world = world(Faults { fail: 5_000, ..Faults::default() });
        let store = world.process().store();
        let (mut with, mut without) = (0, 0);
        for number in 0..200 {
            let name = format!("a/{number}");
            if store.create(&name, b"x").is_err() {
                match world.objects().contains(&name) {
                    true => with += 1,
                    false => without += 1,
                }
            }
        }
        assert!(with > 20 && without > 50, "{with} {without}");
    }
}
