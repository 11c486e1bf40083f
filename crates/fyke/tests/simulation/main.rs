//! The simulation: real operators, workers, coordinators, driver, keeper and file sinks in a world where stores, sinks,
//! readers and clocks fail, processes die between any two steps, and deposed ones go on writing. A coordinator may have
//! other processes, of one to four workers in all: their letters are delayed, connections break, processes die and come
//! back, workers hang. Whatever happens, the rows are those of plain arithmetic over the input: none lost, none twice.
//!
//! `FYKE_SEED=17 cargo test --test simulation` replays one seed and prints its history;
//! `FYKE_SEEDS=100000 cargo test --test simulation` runs so many.

#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

mod case;
mod graph;
mod network;
mod run;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use run::{Outcome, run};

/// Seeds of a usual run, which may take so long.
const SEEDS: u64 = 4_000;
const AT_MOST: Duration = Duration::from_secs(50);
/// Those that have found a defect come first: a worker closed by its own mark alone (43); windows of a silent customer
/// closed on one worker and stayed open on another (295 and 3021); a worker that could not reach a lost process ended the
/// run instead of the generation (3021). Worlds change with what is drawn in them, so each of these has a test of its own
/// in `stream/src/cluster/stepped.rs`.
const REMEMBERED: [u64; 3] = [43, 295, 3_021];
/// Of so many seeds one is run twice.
const TWICE: u64 = 8;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn outcome(seed: u64, keep: bool) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(seed, keep))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome { failure: Some(format!("it panicked: {}", text.unwrap_or_default())), ..Outcome::default() }
    })
}

/// Runs a seed; what is wrong with it.
fn check(seed: u64) -> Result<Outcome, String> {
    let found = outcome(seed, false);
    let failed = |what: &str| {
        Err(format!("seed {seed}: {what}\nreplay it with FYKE_SEED={seed} cargo test --workspace --test simulation"))
    };
    if let Some(failure) = &found.failure {
        return failed(failure);
    }
    if seed.is_multiple_of(TWICE) && outcome(seed, false).history != found.history {
        return failed("the same seed gave another history");
    }
    Ok(found)
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_whatever_fails() {
    if let Some(seed) = number("FYKE_SEED") {
        let found = outcome(seed, true);
        println!("{}\nseed {seed}: history {:016x}", found.lines.join("\n"), found.history);
        assert_eq!(found.failure, None, "seed {seed}");
        return;
    }
    let asked = number("FYKE_SEEDS");
    let (seeds, started) = (asked.unwrap_or(SEEDS), Instant::now());
    let remembered = REMEMBERED.len() as u64;
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let sum = Mutex::new(Outcome::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::SeqCst);
                    let seed = REMEMBERED.get(turn as usize).copied().unwrap_or(turn.saturating_sub(remembered));
                    let late = asked.is_none() && started.elapsed() > AT_MOST;
                    if turn >= seeds + remembered || late || !failures.lock().unwrap().is_empty() {
                        return;
                    }
                    match check(seed) {
                        Ok(found) => sum.lock().unwrap().add(&found),
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let sum = sum.into_inner().unwrap();
    println!("{sum} in {:.1} s", started.elapsed().as_secs_f64());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // a simulation in which nothing happens shows nothing
    assert!(sum.seeds < 500 || (sum.processes > 2 * sum.seeds && sum.deposed > 0 && sum.late > 0), "{sum}");
    assert!(sum.seeds < 500 || (sum.lost > sum.seeds && sum.followed > sum.seeds), "{sum}");
}

#[test]
fn same_seed_has_the_same_history_and_another_one_another() {
    let histories: Vec<u64> = (0..20).map(|seed| outcome(seed, false).history).collect();
    let again: Vec<u64> = (0..20).map(|seed| outcome(seed, true).history).collect();
    assert_eq!(histories, again);
    let mut different = histories;
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 20);
}
