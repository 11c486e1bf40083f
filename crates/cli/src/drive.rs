//! A streaming run from its start to its end: progress on the way, and Ctrl-C.

use std::sync::PoisonError;
use std::time::Duration;

use fyke::{Driver, Error, Progress, Result, StopSignal};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::terminal::{Bar, REFRESH, duration, exit, out, plural, say};

/// The runtime that plans, and that waits for signals while a run goes on in a thread of its own.
///
/// # Errors
/// When the machine gives no event queue.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::unavailable("the runtime can't start").detail(error))
}

/// The same for batch plans, which compute inside the runtime.
///
/// # Errors
/// As [`runtime`].
pub fn batch_runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores()).enable_all().build();
    runtime.map_err(|error| Error::unavailable("the runtime can't start").detail(error))
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The signals that ask for the end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::unavailable("signals can't be received").detail(error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs to the end; the first Ctrl-C drains what was read, a second one leaves at once.
///
/// `only_printed`: nothing but standard output takes rows, so that the run may end when its reader goes away.
///
/// # Errors
/// What the run failed with.
pub async fn drive(driver: Driver, bar: Bar, only_printed: bool) -> Result<Progress> {
    let (stop, progress) = (driver.stop_signal(), driver.progress_handle());
    let mut signals = Signals::new()?;
    let mut run = tokio::task::spawn_blocking(move || driver.run());
    let mut generations = 0;
    let mut told = Vec::new();
    let outcome = loop {
        tokio::select! {
            done = &mut run => break done,
            () = signals.next() => {
                if stop.is_set() {
                    leave_at_once();
                }
                say("stopping: what was read is finished (Ctrl-C again leaves at once)");
                stop.stop();
            }
            () = tokio::time::sleep(REFRESH) => {
                let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                bar.show(&progress);
                if progress.generations > generations {
                    generations = progress.generations;
                    say(generation_of(&progress));
                }
                new_troubles(&progress, &mut told).into_iter().for_each(say);
                drop(progress);
                if only_printed && out::is_gone() {
                    stop.stop();
                }
            }
        }
    };
    bar.finish();
    outcome.map_err(|error| Error::internal("the run was cut short").detail(error))?
}

/// Does something until it is done, or told to stop; a second Ctrl-C leaves at once.
///
/// # Errors
/// What it failed with.
pub async fn until_told(stop: StopSignal, work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut signals = Signals::new()?;
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = signals.next() => {
                if stop.is_set() {
                    leave_at_once();
                }
                stop.stop();
            }
        }
    }
}

/// Why a cluster's run has begun anew.
fn generation_of(progress: &Progress) -> String {
    let from = progress.resumed.map_or(String::new(), |(number, _)| format!(" from checkpoint {number}"));
    match &progress.last_loss {
        Some(loss) => format!("{loss}\n  the others go on{from}"),
        None => format!("another process has come: the run goes on with it{from}"),
    }
}

/// What went wrong since the last look and stops nobody; `told` counts by source what was told.
fn new_troubles(progress: &Progress, told: &mut Vec<u64>) -> Vec<String> {
    told.resize(progress.sources.len(), 0);
    let mut lines = Vec::new();
    for (source, told) in progress.sources.iter().zip(told) {
        if let Some(trouble) = source.trouble.as_ref().filter(|_| source.troubles > *told) {
            lines.push(format!("{}: {trouble}", source.name));
        }
        *told = source.troubles;
    }
    lines
}

fn leave_at_once() -> ! {
    say("left at once: outputs are not finished");
    std::process::exit(i32::from(exit::INTERRUPTED))
}

/// What a run did, one line a source and a sink, then the time it took.
pub fn report(progress: &Progress, elapsed: Duration) {
    if let Some((number, micros)) = progress.resumed {
        say(format!("went on from checkpoint {number}, read in {}", duration(Duration::from_micros(micros))));
    }
    lines(progress).into_iter().for_each(say);
    say(format!("done in {}", duration(elapsed)));
}

/// Read = used + late + dead, for each source.
///
/// # Errors
/// When the counters do not add up, which would be a defect.
pub fn check(progress: &Progress) -> Result<()> {
    for source in &progress.sources {
        if source.read != source.used + source.late + source.dead {
            return Err(Error::internal(format!("the counters of '{}' do not add up", source.name)).detail(format!(
                "read {} is not used {} + late {} + dead {}",
                source.read, source.used, source.late, source.dead
            )));
        }
    }
    Ok(())
}

/// How a run gets on, in one line.
pub fn line_of(progress: &Progress) -> String {
    let (read, used, late, dead) = progress.totals();
    let given: u64 = progress.sinks.iter().map(|sink| sink.rows).sum();
    let mark = progress.sources.iter().filter_map(|source| source.watermark).min();
    let mark = mark.map_or("none".to_owned(), fyke::connect::time_to_text);
    let epoch_ms = progress.epoch_us as f64 / 1_000.0;
    format!(
        "epoch {}: read {read} = used {used} + late {late} + dead {dead}, {}, watermark {mark}, state {} rows {} bytes, \
         last epoch {epoch_ms:.1} ms",
        progress.epochs,
        plural(given, "row"),
        progress.state_rows,
        progress.state_bytes
    )
}

/// What a run did, one line a source and a sink.
pub fn lines(progress: &Progress) -> Vec<String> {
    let mut lines = source_lines(progress);
    for sink in &progress.sinks {
        lines.push(format!("{}: {}", sink.name, plural(sink.rows, "row")));
        if let Some(health) = sink.health.as_ref().filter(|health| health.refused > 0) {
            lines.push(refusals(&sink.name, health.refused, health.last_refusal.as_deref().unwrap_or_default()));
        }
    }
    lines
}

/// Rows that an output's server refused.
pub fn refusals(name: &str, refused: u64, last: &str) -> String {
    format!("{name}: {} refused by the server, the last one: {last}", plural(refused, "row"))
}

/// The lines about sources alone, where sinks are the command's own.
pub fn source_lines(progress: &Progress) -> Vec<String> {
    let mut lines = Vec::new();
    for source in &progress.sources {
        let (name, read, used, late, dead) = (&source.name, source.read, source.used, source.late, source.dead);
        lines.push(format!("{name}: read {read} = used {used} + late {late} + dead {dead}"));
        if late > 0 {
            lines.push(format!("{name}: {}", late_advice(source.late_by_us)));
        }
        if let Some(trouble) = &source.trouble {
            lines.push(format!("{name}: {}, the last: {trouble}", plural(source.troubles, "trouble")));
        }
    }
    if progress.late_inside > 0 {
        lines.push(format!("{} came too late for a later step", plural(progress.late_inside, "row")));
    }
    lines
}

/// By how much the lateness should be raised.
pub fn late_advice(late_by_us: i64) -> String {
    // whole seconds, rounded up: nobody sets a lateness of 171.3 s
    let seconds = late_by_us.div_euclid(1_000_000) + i64::from(late_by_us.rem_euclid(1_000_000) > 0);
    let ending = if seconds == 1 { "" } else { "s" };
    format!(
        "the latest row came {seconds} second{ending} behind the watermark: raise 'lateness' by that to use all rows"
    )
}

#[cfg(test)]
mod tests {
    use fyke::{SinkProgress, SourceProgress};

    use super::*;

    fn progress() -> Progress {
        let source =
            SourceProgress { name: "requests".into(), read: 10, used: 7, late: 2, dead: 1, ..Default::default() };
        let source = SourceProgress { late_by_us: 2_000_001, ..source };
        let sink = SinkProgress { name: "out.parquet".into(), rows: 69_526, health: None };
        Progress { sources: vec![source], sinks: vec![sink], ..Progress::default() }
    }

    #[test]
    fn report_counts_every_row_and_says_which_lateness_would_do() {
        let lines = lines(&progress());
        assert_eq!(lines[0], "requests: read 10 = used 7 + late 2 + dead 1");
        assert!(lines[1].contains("3 seconds behind"), "{lines:?}");
        assert_eq!(lines[2], "out.parquet: 69,526 rows");
    }

    #[test]
    fn counters_that_do_not_add_up_are_a_defect() {
        assert!(check(&progress()).is_ok());
        let mut wrong = progress();
        wrong.sources[0].used = 6;
        assert_eq!(check(&wrong).expect_err("does not add up").kind(), fyke::Kind::Internal);
    }
}
