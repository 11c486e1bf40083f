//! Who carries a graph out: one thread, or many workers. The driver sees this alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use fyke_types::{Micros, Result};

use crate::cluster::restored_for;
use crate::operators::Collected;
use crate::state::Spill;
use crate::{Customer, EarlyRows, GiveOf, Graph, Marks, NodeId, NodeState, OperatorProgress, Snapshot, Tagged};

/// What the end of an epoch gave.
#[derive(Debug, Default)]
pub struct Closing {
    /// Rows that came out of an operator too late for the next one.
    pub late_inside: u64,
    /// Of the rows given to [`Execution::feed_doubtful`] since the last epoch: the tickets of those that were late.
    pub late: Vec<u64>,
    /// Results, by outlet.
    pub rows: Vec<Vec<RecordBatch>>,
}

/// State of an operator on its way back: under which name it was saved, whose it is, and what.
pub type Saved = (String, NodeId, Snapshot);

/// A graph at work. All calls come from one thread, in order.
pub trait Execution: Send {
    /// How many blocks of a bounded run are given between two closings. One thread has the least to remember where it closes
    /// after each; several need enough to do between them.
    fn blocks_at_once(&self) -> usize {
        1
    }

    /// What follows is another block of rows: whose turn it is takes all of it, so that its order is kept.
    fn next_block(&mut self) {}

    /// Takes rows of a source that are in time.
    ///
    /// # Errors
    /// The operators'.
    fn feed(&mut self, source: usize, rows: Tagged) -> Result<()>;

    /// Takes a row that may be late; the end of the epoch says whether it was, under its ticket.
    ///
    /// # Errors
    /// The operators'.
    fn feed_doubtful(&mut self, source: usize, row: Tagged, ticket: u64) -> Result<()>;

    /// Begins to end an epoch: the marks in force, by source. Rows that are fed from now on are the next epoch's; nothing
    /// else may be asked before [`Execution::finish_closing`].
    ///
    /// # Errors
    /// The operators', and where a worker is lost.
    fn begin_closing(&mut self, marks: &[Marks]) -> Result<()>;

    /// What the end of the epoch gave, once it has come.
    ///
    /// # Errors
    /// The operators', and where a worker is lost.
    fn finish_closing(&mut self) -> Result<Closing>;

    /// Ends an epoch.
    ///
    /// # Errors
    /// The operators', and where a worker is lost.
    fn close_epoch(&mut self, marks: &[Marks]) -> Result<Closing> {
        self.begin_closing(marks)?;
        self.finish_closing()
    }

    /// Update mode: what changed groups would give if their windows closed now, by outlet.
    ///
    /// # Errors
    /// The operators'.
    fn early(&mut self) -> Result<Vec<EarlyRows>> {
        Ok(Vec::new())
    }

    /// Up to where windows were closed ahead of the watermark, by customer.
    ///
    /// # Errors
    /// Where a worker is lost.
    fn closed_ahead(&mut self) -> Result<BTreeMap<Customer, Micros>>;

    /// Gives what each stateful operator remembers, piece by piece under a name of its own.
    ///
    /// # Errors
    /// The operators', and what `give` fails with.
    fn snapshot(&mut self, give: GiveOf<'_>) -> Result<Vec<NodeState>>;

    /// The graph of one worker: what there is to remember, and where.
    fn pattern(&mut self) -> &mut Graph;

    /// Gives the operators their state back, whoever had it before; ahead of the first rows.
    ///
    /// # Errors
    /// `Data` where the state is not of an operator's shape.
    fn restore(&mut self, saved: Vec<Saved>) -> Result<()>;

    /// What each operator has done, and what it remembers.
    ///
    /// # Errors
    /// Where a worker is lost.
    fn progress(&mut self) -> Result<Vec<OperatorProgress>>;

    /// Moves state to disk where memory has no room for it; may take effect later.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails.
    fn keep_within(&mut self, spill: &Arc<Spill>) -> Result<()>;

    /// Whether a process was lost, so that the run must go on from its last checkpoint with those that are left.
    fn has_lost_a_process(&self) -> bool {
        false
    }

    /// Whether processes wait to take part, so that the run may go on from a checkpoint with them.
    fn has_newcomers(&self) -> bool {
        false
    }

    /// The run has come to its end: other processes need not wait for more.
    fn end(&mut self) {}
}

/// A graph in the caller's thread: the reference.
pub struct Alone {
    graph: Graph,
    outlets: Vec<Collected>,
    late: Vec<u64>,
    closing: Closing,
}

impl Alone {
    /// `outlets` are what the graph collects its results in.
    pub fn new(graph: Graph, outlets: Vec<Collected>) -> Self {
        Self { graph, outlets, late: Vec::new(), closing: Closing::default() }
    }
}

impl Execution for Alone {
    fn feed(&mut self, source: usize, rows: Tagged) -> Result<()> {
        self.graph.feed(source, &rows).map(|_| ())
    }

    fn feed_doubtful(&mut self, source: usize, row: Tagged, ticket: u64) -> Result<()> {
        if self.graph.feed(source, &row)? > 0 {
            self.late.push(ticket);
        }
        Ok(())
    }

    fn begin_closing(&mut self, marks: &[Marks]) -> Result<()> {
        let late_inside = self.graph.close_epoch(marks)?;
        let rows = self.outlets.iter().map(Collected::take).collect();
        self.closing = Closing { late_inside, late: std::mem::take(&mut self.late), rows };
        Ok(())
    }

    fn finish_closing(&mut self) -> Result<Closing> {
        Ok(std::mem::take(&mut self.closing))
    }

    fn early(&mut self) -> Result<Vec<EarlyRows>> {
        self.graph.early()?;
        Ok(self.outlets.iter().map(Collected::take_early).collect())
    }

    fn closed_ahead(&mut self) -> Result<BTreeMap<Customer, Micros>> {
        Ok(self.graph.closed_ahead())
    }

    fn snapshot(&mut self, give: GiveOf<'_>) -> Result<Vec<NodeState>> {
        self.graph.snapshot(give)
    }

    fn pattern(&mut self) -> &mut Graph {
        &mut self.graph
    }

    fn restore(&mut self, saved: Vec<Saved>) -> Result<()> {
        for (node, snapshot) in restored_for(&self.graph, saved, None)? {
            self.graph.restore(node, snapshot)?;
        }
        Ok(())
    }

    fn progress(&mut self) -> Result<Vec<OperatorProgress>> {
        Ok(self.graph.progress())
    }

    fn keep_within(&mut self, spill: &Arc<Spill>) -> Result<()> {
        self.graph.keep_within(spill.budget(), spill)
    }
}
