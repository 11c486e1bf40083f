//! Rows that have left can't be taken back: a live run that dies carries out the same epochs again, whatever its sources
//! give first the second time and whatever the clock says then.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use fyke_connect::MemorySink;
use fyke_query::checkpoint::Every;
use fyke_query::{CheckpointSettings, Context, Progress, RunSettings, Script, TableSettings};
use fyke_stream::TimeSettings;
use fyke_types::{Clock, Event, Input, InputId, Micros, ReadOptions, Reader, Result, Rows, Sink, Source};
use support::{Row, SECOND, batch};

#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Micros {
        self.0.load(Ordering::SeqCst)
    }
}

/// What happens next to a reader.
#[derive(Debug, Clone)]
enum Step {
    Rows(u32, Vec<i64>),
    /// So many seconds pass, and nothing comes.
    Silence(i64),
}

#[derive(Debug)]
struct Play {
    inputs: &'static [&'static str],
    steps: Vec<Step>,
    clock: Arc<Hand>,
}

struct Playing {
    events: VecDeque<Event>,
    steps: VecDeque<Step>,
    clock: Arc<Hand>,
    projection: Option<Vec<usize>>,
    given: [usize; 2],
}

impl Source for Play {
    fn schema(&self) -> SchemaRef {
        batch(&[]).schema()
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        assert!(options.follow, "the epochs of a bounded run follow from its input");
        let input = |(number, name): (usize, &&str)| {
            let (id, name) = (InputId(u32::try_from(number).expect("few")), Arc::from(*name));
            Event::Opened(Input { id, name, customer: "c".into() })
        };
        let events = self.inputs.iter().enumerate().map(input).collect();
        let (mut steps, clock, mut given) = (self.steps.clone(), Arc::clone(&self.clock), [0; 2]);
        for (count, text) in given.iter_mut().zip(options.resume.iter().flat_map(|resume| resume.split(' '))) {
            *count = text.parse().expect("a number");
        }
        let mut skip = given;
        for step in &mut steps {
            if let Step::Rows(input, seconds) = step {
                let skip = &mut skip[*input as usize];
                let known = seconds.drain(..seconds.len().min(*skip)).count();
                *skip -= known;
            }
        }
        steps.retain(|step| !matches!(step, Step::Rows(_, seconds) if seconds.is_empty()));
        Ok(Box::new(Playing { events, steps: steps.into(), clock, projection: options.projection.clone(), given }))
    }
}

impl Reader for Playing {
    /// How many rows were given, by input.
    fn position(&self) -> Result<Option<String>> {
        Ok(Some(self.given.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")))
    }

    fn next(&mut self, _: Duration) -> Result<Event> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        Ok(match self.steps.pop_front() {
            Some(Step::Rows(input, seconds)) => {
                let row = |second: &i64| Row {
                    time: second * SECOND,
                    host: "h".to_owned(),
                    addr: "a".to_owned(),
                    n: None,
                    x: 0.0,
                };
                let batch = batch(&seconds.iter().map(row).collect::<Vec<_>>());
                let batch = batch.project(self.projection.as_deref().unwrap_or(&[0, 1, 2, 3, 4]))?;
                let read = batch.num_rows() as u64;
                self.given[input as usize] += batch.num_rows();
                Event::Rows(Rows { input: InputId(input), batch, dead: Vec::new(), read, position: 0 })
            }
            Some(Step::Silence(seconds)) => {
                self.clock.0.fetch_add(seconds * SECOND, Ordering::SeqCst);
                Event::Waiting
            }
            None => Event::End,
        })
    }
}

const COUNT: &str = "SELECT tumble(time, INTERVAL '10 seconds') AS w, count(*) AS c FROM requests GROUP BY w";

struct World {
    folder: tempfile::TempDir,
    sink: MemorySink,
    clock: Arc<Hand>,
}

impl World {
    fn new(sink: MemorySink) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), sink, clock: Arc::default() }
    }

    /// A process whose only checkpoint is the one ahead of all rows; it dies after so many epochs.
    fn run(&self, inputs: &'static [&'static str], steps: &[Step], epochs: u64) -> Option<Progress> {
        self.run_with(inputs, steps, epochs, 1_000)
    }

    /// The same with a checkpoint after every so many epochs.
    fn run_with(&self, inputs: &'static [&'static str], steps: &[Step], epochs: u64, every: u64) -> Option<Progress> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let context = Context::builder().clock(Arc::clone(&self.clock) as _).build();
            let time = TimeSettings {
                event_time: Some("time".to_owned()),
                idle_after: Some(5 * SECOND),
                close_after: None,
                ..TimeSettings::default()
            };
            let source = Play { inputs, steps: steps.to_vec(), clock: Arc::clone(&self.clock) };
            let settings = TableSettings { time, ..TableSettings::default() };
            context.register_source("requests", Arc::new(source), settings, true).expect("registers");
            let every = Every::Epochs(every);
            let checkpoint = CheckpointSettings { every, ..CheckpointSettings::new(self.folder.path()) };
            let settings = RunSettings { checkpoint: Some(checkpoint), follow: true, ..RunSettings::default() };
            let script = Script::parse(COUNT, "<test>", &BTreeMap::new()).expect("parses");
            let select = |_: &SchemaRef| -> Result<Box<dyn Sink>> { Ok(Box::new(self.sink.clone())) };
            let driver = context.stream_script(&script, &settings, &select, &mut |_| {}).await.expect("a plan");
            let run = tokio::task::spawn_blocking(move || driver.run_until_crash(epochs)).await;
            run.expect("runs").expect("runs")
        })
    }

    /// Window starts in seconds, and counts, as they came.
    fn seen(&self) -> Vec<(i64, i64)> {
        let rows = |batch: &RecordBatch| {
            let starts = batch.column(0).as_struct().column(0).as_primitive::<TimestampMicrosecondType>().clone();
            let counts = batch.column(1).as_primitive::<Int64Type>().clone();
            let rows = 0..batch.num_rows();
            rows.map(|row| (starts.value(row) / SECOND, counts.value(row))).collect::<Vec<_>>()
        };
        self.sink.batches().iter().flat_map(rows).collect()
    }
}

/// Input b is silent for so long that nobody waits for it, and its row comes too late.
fn first_life() -> Vec<Step> {
    vec![
        Step::Rows(0, vec![1, 2]),
        Step::Rows(0, vec![15]),
        Step::Silence(100),
        Step::Rows(1, vec![3]),
        Step::Rows(0, vec![25]),
        // input b has caught up by now
        Step::Rows(1, vec![26]),
    ]
}

/// The same rows: those of b come first, those of a are cut otherwise, and the clock stands still. Then there is more.
fn second_life() -> Vec<Step> {
    vec![Step::Rows(1, vec![3, 26, 27]), Step::Rows(0, vec![1, 2, 15, 25, 28])]
}

#[test]
fn epochs_whose_rows_have_left_give_the_same_rows_again() {
    let world = World::new(MemorySink::new());
    assert!(world.run(&["a", "b"], &first_life(), 6).is_none());
    assert_eq!(world.seen(), [(0, 2), (10, 1)]);
    let progress = world.run(&["a", "b"], &second_life(), 1_000).expect("it ends");
    assert_eq!(world.seen(), [(0, 2), (10, 1), (0, 2), (10, 1), (20, 4)]);
    assert_eq!(progress.totals(), (8, 7, 1, 0), "read, used, late, dead");
    assert!(progress.replayed >= 5, "{progress:?}");
    assert_eq!(progress.sources[0].trouble, None);
}

#[test]
fn a_crash_while_epochs_are_carried_out_again_changes_nothing() {
    let world = World::new(MemorySink::new());
    assert!(world.run(&["a", "b"], &first_life(), 6).is_none());
    // dies at once, and again
    assert!(world.run(&["a", "b"], &second_life(), 0).is_none());
    assert!(world.run(&["a", "b"], &second_life(), 0).is_none());
    let progress = world.run(&["a", "b"], &second_life(), 1_000).expect("it ends");
    let lives = [[(0, 2), (10, 1)]; 4].concat();
    assert_eq!(world.seen(), [lives, vec![(20, 4)]].concat());
    assert_eq!(progress.totals(), (8, 7, 1, 0), "read, used, late, dead");
}

/// Whatever checkpoint is the last one that became durable, and whatever was on its way: no window ever has another count.
#[test]
fn rows_that_have_left_stay_true_wherever_the_run_dies_between_checkpoints() {
    for every in 1..=4 {
        for epochs in 1..=6 {
            for again in 0..=1 {
                let world = World::new(MemorySink::new());
                assert!(world.run_with(&["a", "b"], &first_life(), epochs, every).is_none());
                let lost = world.seen();
                assert!(world.run_with(&["a", "b"], &second_life(), again, every).is_none());
                let progress = world.run_with(&["a", "b"], &second_life(), 1_000, every).expect("it ends");
                let mut seen = world.seen();
                seen.sort_unstable();
                seen.dedup();
                assert!(lost.iter().all(|row| seen.contains(row)));
                let counts = seen.iter().map(|(start, _)| start).collect::<std::collections::BTreeSet<_>>();
                assert_eq!(counts.len(), seen.len(), "every {every}, {epochs} and {again} epochs: {seen:?}");
                let (read, used, late, dead) = progress.totals();
                assert_eq!((read, used + late, dead), (8, 8, 0), "every {every}, {epochs} and {again} epochs");
            }
        }
    }
}

#[test]
fn inputs_that_were_found_after_the_checkpoint_are_known_by_name() {
    let world = World::new(MemorySink::new());
    assert!(world.run(&["a", "b"], &first_life(), 6).is_none());
    // a and b have changed their numbers
    let steps = [Step::Rows(0, vec![3, 26, 27]), Step::Rows(1, vec![1, 2, 15, 25, 28])];
    let progress = world.run(&["b", "a"], &steps, 1_000).expect("it ends");
    assert_eq!(world.seen(), [(0, 2), (10, 1), (0, 2), (10, 1), (20, 4)]);
    assert_eq!(progress.totals(), (8, 7, 1, 0), "read, used, late, dead");
}

#[test]
fn rows_that_are_gone_are_told_and_the_run_goes_on() {
    let world = World::new(MemorySink::new());
    assert!(world.run(&["a", "b"], &first_life(), 6).is_none());
    let progress = world.run(&["a", "b"], &[Step::Rows(0, vec![15, 25])], 1_000).expect("it ends");
    let trouble = progress.sources[0].trouble.clone().expect("it is told");
    assert!(trouble.contains("does not give again") && trouble.contains("rows of input"), "{trouble}");
}

#[test]
fn where_nothing_leaves_before_a_checkpoint_no_log_is_kept() {
    let world = World::new(MemorySink::exactly_once());
    assert!(world.run(&["a", "b"], &first_life(), 6).is_none());
    assert!(!world.folder.path().join("epochs").exists());
    let kept = World::new(MemorySink::new());
    assert!(kept.run(&["a", "b"], &first_life(), 6).is_none());
    assert!(kept.folder.path().join("epochs").exists());
}
