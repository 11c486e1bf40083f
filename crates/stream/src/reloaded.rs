//! Static tables that change while a run goes on: which version of one is in force.
//!
//! A version is in force from the beginning of an epoch, for all operators and workers of the process that ask for that
//! epoch, so it is known which version joined which rows. A checkpoint holds the version, and a resumed run goes on with
//! it until it sees another one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use fyke_types::{Clock, Micros, Result};
use serde::Serialize;

/// Changes that are remembered for workers that lag behind; they lag by an epoch at most.
const REMEMBERED: usize = 16;

/// Where the versions come from.
pub trait LoadTable: Send + Sync {
    /// A text that differs when the content does, found out without reading it.
    ///
    /// # Errors
    /// Where the table can't be reached.
    fn fingerprint(&self) -> Result<String>;

    /// All rows, as the join wants them.
    ///
    /// # Errors
    /// Where anything in it can't be read: such a version does not come into force.
    fn load(&self) -> Result<Vec<RecordBatch>>;
}

/// The rows of a table at some time.
#[derive(Debug, Clone)]
pub struct Version {
    /// From 1.
    pub number: u64,
    /// When it was read, µs since 1970.
    pub loaded_at: Micros,
    /// What [`LoadTable::fingerprint`] said of it.
    pub fingerprint: String,
    /// The rows.
    pub rows: Vec<RecordBatch>,
}

/// How a table has fared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StaticTableProgress {
    /// The table, or tables.
    pub name: String,
    /// The version in force, from 1.
    pub version: u64,
    /// The epoch of this process from whose beginning it has been in force.
    pub since_epoch: u64,
    /// When it was read, µs since 1970.
    pub loaded_at: Micros,
    /// Its rows.
    pub rows: usize,
    /// Versions that did not come into force, since they could not be read.
    pub broken: u64,
    /// Why the last of them did not.
    pub warning: Option<String>,
}

struct State {
    /// From which epoch on which version.
    changes: VecDeque<(u64, Arc<Version>)>,
    decided: u64,
    next_look: Micros,
    /// Seen once: it is read if it is still the same at the next look, so that nothing is read while it is written.
    candidate: Option<String>,
    refused: Option<String>,
    broken: u64,
    warning: Option<String>,
}

/// See the module.
pub struct ReloadedTable {
    name: String,
    loader: Box<dyn LoadTable>,
    every: Micros,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl std::fmt::Debug for ReloadedTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReloadedTable {}", self.name)
    }
}

impl ReloadedTable {
    /// A table whose first version is `rows`, looked at `every` so many µs.
    pub fn new(
        name: impl Into<String>,
        loader: Box<dyn LoadTable>,
        (fingerprint, rows): (String, Vec<RecordBatch>),
        every: Micros,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let loaded_at = clock.now();
        let first = Arc::new(Version { number: 1, loaded_at, fingerprint, rows });
        let state = State {
            changes: VecDeque::from([(0, first)]),
            decided: 0,
            next_look: loaded_at.saturating_add(every),
            candidate: None,
            refused: None,
            broken: 0,
            warning: None,
        };
        Self { name: name.into(), loader, every, clock, state: Mutex::new(state) }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often it is looked at, µs.
    pub fn every(&self) -> Micros {
        self.every
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version in force in an epoch, counted from the start of the process. Whoever asks first for an epoch has the
    /// table looked at, if it is time; all others get the same answer.
    pub fn in_epoch(&self, epoch: u64) -> Option<Arc<Version>> {
        let mut state = self.locked();
        if epoch > state.decided {
            state.decided = epoch;
            if let Some(version) = self.look(&mut state) {
                state.changes.push_back((epoch, Arc::new(version)));
                while state.changes.len() > REMEMBERED {
                    state.changes.pop_front();
                }
            }
        }
        state.changes.iter().rev().find(|(from, _)| *from <= epoch).map(|(_, version)| Arc::clone(version))
    }

    /// A newer version, if it is time to look, and there is one that nobody is writing any more.
    fn look(&self, state: &mut State) -> Option<Version> {
        let now = self.clock.now();
        if now < state.next_look {
            return None;
        }
        state.next_look = now.saturating_add(self.every);
        let in_force = state.changes.back().map(|(_, version)| Arc::clone(version))?;
        let seen = match self.loader.fingerprint() {
            Ok(seen) => seen,
            Err(error) => return self.keep(state, "unreachable".to_owned(), &in_force, &error.to_string()),
        };
        if seen == in_force.fingerprint || state.refused.as_ref() == Some(&seen) {
            state.candidate = None;
            return None;
        }
        if state.candidate.as_ref() != Some(&seen) {
            state.candidate = Some(seen);
            return None;
        }
        state.candidate = None;
        let rows = match self.loader.load() {
            Ok(rows) => rows,
            Err(error) => return self.keep(state, seen, &in_force, &error.to_string()),
        };
        // written while it was read: it is looked at again
        if self.loader.fingerprint().ok().as_ref() != Some(&seen) {
            return None;
        }
        state.refused = None;
        Some(Version { number: in_force.number + 1, loaded_at: now, fingerprint: seen, rows })
    }

    /// A version that can't be read: the one before stays in force, and it is said once.
    fn keep(&self, state: &mut State, seen: String, in_force: &Version, why: &str) -> Option<Version> {
        if state.refused.as_ref() != Some(&seen) {
            state.broken += 1;
            state.warning = Some(format!("{}: version {} stays in force: {why}", self.name, in_force.number));
            state.refused = Some(seen);
        }
        state.candidate = None;
        None
    }

    /// Goes on with the version that a checkpoint holds.
    pub fn restore(&self, version: Version) {
        let mut state = self.locked();
        // what was read at the start of this process is found again when it is looked at
        state.changes = VecDeque::from([(0, Arc::new(version))]);
    }

    /// How it has fared.
    pub fn progress(&self) -> StaticTableProgress {
        let state = self.locked();
        let Some((since_epoch, version)) = state.changes.back() else { return StaticTableProgress::default() };
        StaticTableProgress {
            name: self.name.clone(),
            version: version.number,
            since_epoch: *since_epoch,
            loaded_at: version.loaded_at,
            rows: version.rows.iter().map(RecordBatch::num_rows).sum(),
            broken: state.broken,
            warning: state.warning.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use fyke_types::{Error, ManualClock};

    use super::*;

    struct Text(Arc<Mutex<(String, bool)>>);

    impl LoadTable for Text {
        fn fingerprint(&self) -> Result<String> {
            Ok(self.0.lock().expect("lock").0.clone())
        }

        fn load(&self) -> Result<Vec<RecordBatch>> {
            if self.0.lock().expect("lock").1 { Ok(Vec::new()) } else { Err(Error::data("line 3 is broken")) }
        }
    }

    #[test]
    fn a_version_comes_into_force_when_it_has_been_still_for_a_look_and_for_all_who_ask_alike() {
        let (text, clock) = (Arc::new(Mutex::new(("one".to_owned(), true))), Arc::new(ManualClock::new(0)));
        let loader = Box::new(Text(Arc::clone(&text)));
        let table = ReloadedTable::new("lists", loader, ("one".to_owned(), Vec::new()), 10, Arc::clone(&clock) as _);
        let number = |epoch| table.in_epoch(epoch).expect("a version").number;
        assert_eq!(number(1), 1);
        text.lock().expect("lock").0 = "tw".to_owned();
        clock.set(10);
        assert_eq!(number(2), 1, "seen for the first time");
        text.lock().expect("lock").0 = "two".to_owned();
        clock.set(20);
        assert_eq!(number(3), 1, "still being written");
        clock.set(29);
        assert_eq!(number(4), 1, "not looked at yet");
        clock.set(30);
        assert_eq!(number(5), 2);
        assert_eq!((number(4), number(3), number(5)), (1, 1, 2), "another worker, an epoch behind");
        *text.lock().expect("lock") = ("three".to_owned(), false);
        for (epoch, now) in [(6, 40), (7, 50), (8, 60), (9, 70)] {
            clock.set(now);
            assert_eq!(number(epoch), 2);
        }
        let progress = table.progress();
        assert_eq!((progress.version, progress.since_epoch, progress.broken), (2, 5, 1));
        let warning = progress.warning.expect("a warning");
        assert!(warning.contains("version 2 stays in force") && warning.contains("line 3"), "{warning}");
        *text.lock().expect("lock") = ("four".to_owned(), true);
        for (epoch, now, expected) in [(10, 80, 2), (11, 90, 3)] {
            clock.set(now);
            assert_eq!(number(epoch), expected);
        }
    }
}
