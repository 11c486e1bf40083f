//! The driver: pulls rows, feeds the graph, closes epochs, hands results to sinks, writes checkpoints. Who carries the
//! graph out, one thread or many workers, is an [`Execution`]'s matter. Decoding may use a pool of threads behind the
//! reader.

mod after;
mod early;
mod epoch;
mod generations;
mod log;
mod reading;
mod replay;
mod resume;
mod steps;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fyke_types::{Clock, InputId, Micros, Reader, Result, Sink, WATERMARK_END, WATERMARK_START};
use hashbrown::HashMap;

use self::after::{Doubtful, OnItsWay};
use self::epoch::EpochLength;
use self::log::EpochLog;
use crate::checkpoint::{Keeper, SinkState};
use crate::state::Spill;
use crate::{
    Closing, Customer, Customers, Execution, Marks, Progress, ReloadedTable, SinkProgress, SourceProgress,
    TimeSettings, Tracker,
};

/// How long a followed source may keep the driver waiting before the epoch closes.
const EPOCH: Duration = Duration::from_millis(20);

/// How often it is looked what the operators do, µs.
const LOOK: Micros = 1_000_000;

/// Tells a run to stop; it then drains what it has and ends.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Asks for the end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A source in a run.
pub struct SourceRun {
    /// The table's name.
    pub name: String,
    /// Gives the rows, already projected.
    pub reader: Box<dyn Reader>,
    /// Event time and customers.
    pub settings: TimeSettings,
    /// Bytes to read, where that is known.
    pub bytes_total: Option<u64>,
    /// Whether some operator follows the customers' own watermarks.
    pub per_customer: bool,
    /// Dead letters go here.
    pub dead_to: Option<Box<dyn Sink>>,
    /// Late rows go here.
    pub late_to: Option<Box<dyn Sink>>,
}

/// Results on their way out.
pub struct Outlet {
    /// For progress.
    pub name: String,
    /// Where it goes.
    pub sink: Box<dyn Sink>,
}

struct SourceState {
    run: SourceRun,
    tracker: Tracker,
    marks: Marks,
    /// By input: name, customer's name, customer's number.
    inputs: HashMap<InputId, (Arc<str>, Arc<str>, Customer), foldhash::fast::FixedState>,
    /// Rows of this epoch behind the mark, by ticket: whether they were late is known when it has closed.
    doubtful: Vec<Doubtful>,
    progress: SourceProgress,
    ended: bool,
}

/// Drives a graph until its sources end or it is told to stop.
pub struct Driver {
    execution: Box<dyn Execution>,
    sources: Vec<SourceState>,
    outlets: Vec<Outlet>,
    customers: Customers,
    /// Up to where windows were closed ahead of the watermark, since their customer fell silent.
    closed_ahead: BTreeMap<Customer, Micros>,
    clock: Arc<dyn Clock>,
    follow: bool,
    progress: Progress,
    published: Arc<Mutex<Progress>>,
    looked_at: Option<Micros>,
    epoch: EpochLength,
    /// Bounded runs: the sources' marks are further than what the operators have closed.
    is_behind: bool,
    stop: StopSignal,
    /// Writes checkpoints.
    keeper: Option<Keeper>,
    /// What the sinks have prepared for the one on its way.
    prepared: Vec<SinkState>,
    /// What a changed query has no use for may be dropped.
    may_change: bool,
    /// Where state goes that memory has no room for.
    spill: Option<Arc<Spill>>,
    /// When it was last looked whether it has.
    weighed_at: Option<Instant>,
    /// Makes the driver that goes on from the last checkpoint, when a process was lost or has come.
    again: Option<Again>,
    /// Static tables that are looked at again.
    static_tables: Vec<Arc<ReloadedTable>>,
    /// Update mode: when early rows are due.
    early_due: Micros,
    /// Notes that the checkpoint on its way makes needless.
    noted: Vec<String>,
    /// What live epochs consist of.
    log: EpochLog,
    /// Whether the next epoch's rows may be read while one ends.
    reads_on: bool,
    /// The epoch that ends.
    closing: Option<OnItsWay>,
}

/// Makes another driver of the same run; it gets the outlets of the one before, whose other parts are gone.
pub type Again = Box<dyn FnMut(Vec<Outlet>) -> Result<Driver> + Send>;

/// Why a run has stopped going on.
enum Stopped {
    /// It has come to its end.
    Ended(Box<Progress>),
    /// Another driver shall go on from the last checkpoint.
    Anew,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Driver {{ {:?} }}", self.progress)
    }
}

impl Driver {
    /// A driver of a graph whose sources are numbered as in `sources`. `follow`: the sources go on when all is read.
    pub fn new(
        mut execution: Box<dyn Execution>,
        sources: Vec<SourceRun>,
        outlets: Vec<Outlet>,
        clock: Arc<dyn Clock>,
        follow: bool,
    ) -> Self {
        let sources: Vec<SourceState> = sources
            .into_iter()
            .map(|run| SourceState {
                tracker: Tracker::new(run.settings.clone(), run.per_customer),
                marks: Marks::start(),
                inputs: HashMap::default(),
                doubtful: Vec::new(),
                progress: SourceProgress {
                    name: run.name.clone(),
                    bytes_total: run.bytes_total,
                    ..SourceProgress::default()
                },
                ended: false,
                run,
            })
            .collect();
        let progress = Progress {
            sources: sources.iter().map(|source| source.progress.clone()).collect(),
            sinks: outlets.iter().map(|o| SinkProgress { name: o.name.clone(), ..SinkProgress::default() }).collect(),
            ..Progress::default()
        };
        // live, and in update mode, results wait for nothing
        let is_early = execution.pattern().early_every().is_some();
        let reads_on = !follow && !is_early && execution.blocks_at_once() > 1;
        let epoch = if follow { EpochLength::new() } else { EpochLength::of_blocks(execution.blocks_at_once()) };
        Self {
            execution,
            sources,
            outlets,
            customers: Customers::default(),
            closed_ahead: BTreeMap::new(),
            clock,
            follow,
            published: Arc::new(Mutex::new(progress.clone())),
            progress,
            looked_at: None,
            epoch,
            is_behind: false,
            stop: StopSignal::default(),
            keeper: None,
            prepared: Vec::new(),
            may_change: false,
            spill: None,
            weighed_at: None,
            static_tables: Vec::new(),
            again: None,
            early_due: Micros::MIN,
            noted: Vec::new(),
            log: EpochLog::default(),
            reads_on,
            closing: None,
        }
    }

    /// The same with checkpoints: it goes on from the last one of `keeper`, which was opened before the sources and
    /// sinks, and writes more. `may_change`: a checkpoint of another query is no error; what fits is used.
    #[must_use]
    pub fn with_checkpoints(self, keeper: Keeper, may_change: bool) -> Self {
        Self { keeper: Some(keeper), may_change, ..self }
    }

    /// The same with a budget for the memory that state takes: what is beyond goes to disk.
    #[must_use]
    pub fn with_spill(mut self, spill: Arc<Spill>) -> Self {
        self.epoch.keep_to(spill.budget());
        Self { spill: Some(spill), ..self }
    }

    /// The same in a cluster: when a process is lost, or one has come, `again` makes the driver that goes on.
    #[must_use]
    pub fn with_others(self, again: Again) -> Self {
        Self { again: Some(again), ..self }
    }

    /// The same with the progress of static tables that are looked at again.
    #[must_use]
    pub fn with_static_tables(self, static_tables: Vec<Arc<ReloadedTable>>) -> Self {
        Self { static_tables, ..self }
    }

    /// The same with epochs as short as can be, one for each block of rows, whatever they cost: for tests.
    #[must_use]
    pub fn with_short_epochs(self) -> Self {
        Self { epoch: EpochLength::short(), ..self }
    }

    /// Tells this run to stop.
    pub fn stop_signal(&self) -> StopSignal {
        self.stop.clone()
    }

    /// The last progress, to be read from elsewhere.
    pub fn progress_handle(&self) -> Arc<Mutex<Progress>> {
        Arc::clone(&self.published)
    }

    /// Bytes to read over all sources, where that is known: for progress bars.
    pub fn bytes_total(&self) -> Option<u64> {
        self.progress.bytes_total()
    }

    /// The plan in words.
    pub fn describe(&mut self) -> String {
        self.execution.pattern().describe()
    }

    /// Runs to the end. Without checkpoints results are published by the sinks only if it succeeds. With checkpoints a
    /// run that is told to stop leaves its open windows in the last one, and one that is complete has nothing to do.
    ///
    /// # Errors
    /// What a source, an operator or a sink failed with; `Usage` for a checkpoint of another query.
    pub fn run(mut self) -> Result<Progress> {
        loop {
            match self.run_generation() {
                Ok(Stopped::Ended(progress)) => return Ok(*progress),
                Ok(Stopped::Anew) => {}
                Err(error) => self.note_loss(error)?,
            }
            self = self.next_generation()?;
        }
    }

    fn run_generation(&mut self) -> Result<Stopped> {
        if self.resume()? {
            self.execution.end();
            return Ok(Stopped::Ended(Box::new(self.progress.clone())));
        }
        while !self.stop.is_set() && self.has_more() {
            self.step(EPOCH)?;
            if self.checkpoint_if_due()? && self.lets_newcomers_in()? {
                return Ok(Stopped::Anew);
            }
        }
        self.close().map(|progress| Stopped::Ended(Box::new(progress)))
    }

    /// Runs for at most so many epochs, short ones, then drops everything as a crash would: for tests of what a run with
    /// checkpoints goes on with. None where it crashed, the progress where it came to its end before.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn run_until_crash(mut self, epochs: u64) -> Result<Option<Progress>> {
        self.epoch = EpochLength::short();
        if self.resume()? {
            return Ok(Some(self.progress));
        }
        for _ in 0..epochs {
            if !self.has_more() {
                return self.close().map(Some);
            }
            self.step(EPOCH)?;
            self.checkpoint_if_due()?;
        }
        Ok(None)
    }

    fn close(&mut self) -> Result<Progress> {
        if self.keeper.is_some() && self.has_more() {
            self.checkpoint(false)?;
        } else {
            for source in &mut self.sources {
                source.tracker.end();
                source.marks = Marks::end();
            }
            self.close_epoch()?;
            self.finish_closing()?;
            self.checkpoint(true)?;
        }
        self.sinks().try_for_each(|(_, _, sink)| sink.finish())?;
        for (outlet, progress) in self.outlets.iter().zip(&mut self.progress.sinks) {
            progress.health = outlet.sink.health();
        }
        self.look_at_operators()?;
        self.publish()?;
        self.execution.end();
        Ok(self.progress.clone())
    }

    fn has_more(&self) -> bool {
        self.sources.iter().any(|source| !source.ended)
    }

    /// Gathers an epoch's rows, for the first of which it waits at most so long, and closes it.
    fn step(&mut self, longest: Duration) -> Result<()> {
        let mut wait = longest;
        while self.read_next(wait)? && !self.epoch.is_over() && !self.stop.is_set() {
            // what comes later than now is the next epoch's
            wait = Duration::ZERO;
        }
        self.close_epoch()
    }

    /// Reads from the source that is furthest behind; false if there is nothing now.
    fn read_next(&mut self, longest: Duration) -> Result<bool> {
        let mut order: Vec<usize> = (0..self.sources.len()).filter(|at| !self.sources[*at].ended).collect();
        order.sort_by_key(|at| self.sources[*at].tracker.all());
        let waiting_for = order.len();
        for (turn, at) in order.into_iter().enumerate() {
            // only the last one may wait: the others have been found empty
            let wait = if turn + 1 == waiting_for { longest } else { Duration::ZERO };
            if self.read(at, wait)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends an epoch; its results may come with the end of the next one.
    fn close_epoch(&mut self) -> Result<()> {
        self.finish_closing()?;
        if self.follow {
            let now = self.log.close(self.progress.epochs + 1, self.clock.as_ref());
            self.sources.iter_mut().for_each(|source| source.marks = source.tracker.marks(Some(now)));
        }
        self.is_behind = false;
        let marks: Vec<Marks> = self.sources.iter().map(|source| source.marks.clone()).collect();
        let began = Instant::now();
        self.execution.begin_closing(&marks)?;
        self.progress.epochs += 1;
        self.epoch.is_ending();
        let doubtful = self.sources.iter_mut().map(|source| std::mem::take(&mut source.doubtful)).collect();
        self.closing = Some(OnItsWay { marks, began, doubtful });
        if self.reads_on { Ok(()) } else { self.finish_closing() }
    }

    /// Takes what the epoch that ends gives.
    fn finish_closing(&mut self) -> Result<()> {
        let Some(OnItsWay { marks, began, doubtful }) = self.closing.take() else { return Ok(()) };
        let Closing { late_inside, mut late, rows } = self.execution.finish_closing()?;
        self.progress.late_inside += late_inside;
        late.sort_unstable();
        if !late.is_empty() || rows.iter().any(|rows| !rows.is_empty()) {
            self.write_log()?;
        }
        self.settle_doubtful(doubtful, &late)?;
        if marks.iter().any(|marks| !marks.silent.is_empty()) {
            self.closed_ahead = self.execution.closed_ahead()?;
        }
        for ((outlet, progress), batches) in self.outlets.iter_mut().zip(&mut self.progress.sinks).zip(rows) {
            for batch in &batches {
                outlet.sink.write(batch)?;
                progress.rows += batch.num_rows() as u64;
            }
            if !batches.is_empty() {
                outlet.sink.flush()?;
            }
            progress.health = outlet.sink.health();
        }
        self.early_if_due(&marks)?;
        self.keep_within_budget()?;
        if let Some(length) = self.epoch.has_ended(began.elapsed()) {
            self.progress.epoch_us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        }
        self.publish()
    }

    fn look_at_operators(&mut self) -> Result<()> {
        self.looked_at = Some(self.clock.now());
        self.progress.operators = self.execution.progress()?;
        for source in &mut self.sources {
            source.progress.idle_inputs = source.tracker.idle_inputs();
            source.progress.silent_customers = source.tracker.silent_customers();
        }
        self.progress.state_rows = self.progress.operators.iter().map(|operator| operator.state_rows).sum();
        self.progress.state_bytes = self.progress.operators.iter().map(|operator| operator.state_bytes).sum();
        Ok(())
    }

    fn publish(&mut self) -> Result<()> {
        // this walks all stores: now and then is enough
        let now = self.clock.now();
        if self.looked_at.is_none_or(|at| now < at || now - at >= LOOK) {
            self.look_at_operators()?;
        }
        for (progress, source) in self.progress.sources.iter_mut().zip(&mut self.sources) {
            source.progress.bytes = source.run.reader.bytes_read();
            let mark = source.marks.all;
            source.progress.watermark = (mark > WATERMARK_START && mark < WATERMARK_END).then_some(mark);
            progress.clone_from(&source.progress);
            // what becomes of them is not known yet
            progress.read -= source.doubtful.len() as u64;
        }
        self.progress.static_tables = self.static_tables.iter().map(|table| table.progress()).collect();
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&self.progress);
        Ok(())
    }
}
