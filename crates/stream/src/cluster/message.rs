//! What workers and their coordinator say to each other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use fyke_types::{Error, Micros, Result};

use crate::state::Spill;
use crate::{Customer, Marks, NodeId, OperatorProgress, Piece, Place, Snapshot, Tagged};

/// What follows for the counters if an operator finds rows late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Origin {
    /// Rows of a source that are not behind the mark: they count as used.
    InTime,
    /// A row of a source that is: the coordinator wants to know, under this ticket.
    Doubtful(u64),
    /// Rows that an operator gave when the epoch closed.
    Inside,
}

/// To a worker.
#[derive(Debug)]
pub(crate) enum Order {
    /// Rows of a source, from the coordinator.
    Rows { source: usize, rows: Tagged, origin: Origin },
    /// For an operator, from another worker, in the epoch that follows so many.
    FromPeer { epoch: u64, node: usize, what: FromPeer },
    /// The epoch ends with these marks, by source.
    Close(Arc<[Marks]>),
    /// Asks whether the worker still takes orders.
    Ask(u64),
    /// Asks up to where windows were closed ahead.
    Ahead,
    /// What all workers have closed ahead, taken together.
    CloseAhead(Vec<(usize, Customer, Micros)>),
    /// Asks for all that the operators remember.
    Snapshot,
    /// Gives an operator its state back.
    Restore { node: NodeId, snapshot: Snapshot },
    /// Asks what the operators have done.
    Progress,
    /// Moves state to disk where it takes more memory than so much. Only to workers of the coordinator's process: others
    /// have a memory of their own, and weigh by themselves.
    KeepWithin { budget: usize, spill: Arc<Spill> },
    /// Ends the worker.
    Stop,
}

/// From one worker to another.
#[derive(Debug)]
pub(crate) enum FromPeer {
    /// Rows.
    Rows { port: usize, rows: Tagged, origin: Origin },
    /// Groups that it has gathered in this epoch.
    Groups { place: Place, states: RecordBatch },
    /// It has no more rows for this port in this epoch; its marks there.
    Through { port: usize, marks: Marks },
}

/// To the coordinator.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The epoch is closed.
    Closed { late: Vec<u64>, late_inside: u64, rows: Vec<Vec<RecordBatch>> },
    /// To the [`Order::Ask`] of that number.
    Here(u64),
    /// To [`Order::Ahead`], by node.
    Ahead(Vec<(usize, Customer, Micros)>),
    /// A piece of what the operator of this number remembers.
    Piece { node: usize, piece: Piece },
    /// The end of the pieces: by operator's number what is no rows.
    Memos(Vec<(usize, crate::Memo)>),
    /// To [`Order::Restore`].
    Restored,
    /// To [`Order::Progress`].
    Progress(Vec<OperatorProgress>),
    /// A member has taken its seat.
    Ready,
    /// The worker has failed: so has the run.
    Failed(Error),
    /// A process is gone: the run goes on from the last checkpoint.
    Lost(Error),
}

/// Brings orders to a worker, wherever it is.
pub(crate) trait Post: Send {
    /// Hands over; never waits.
    fn post(&self, order: Order) -> Result<()>;
}

/// Brings answers to the coordinator, wherever it is.
pub(crate) trait Reply: Send {
    /// Hands over; never waits.
    fn reply(&self, worker: usize, answer: Answer) -> Result<()>;
}

impl Post for std::sync::mpsc::Sender<Order> {
    fn post(&self, order: Order) -> Result<()> {
        self.send(order).map_err(|_| Error::unavailable("a worker of this process has ended"))
    }
}

impl Reply for std::sync::mpsc::Sender<(usize, Answer)> {
    fn reply(&self, worker: usize, answer: Answer) -> Result<()> {
        self.send((worker, answer)).map_err(|_| Error::unavailable("the coordinator has ended"))
    }
}

/// Where the coordinator hears its workers.
pub(crate) trait Answers: Send {
    /// The next answer, of which worker; none where `patience` is over before one comes.
    fn next(&mut self, patience: Option<Duration>) -> Result<Option<(usize, Answer)>>;

    /// Those that are there already.
    fn ready(&mut self) -> Vec<(usize, Answer)>;

    /// Whether processes wait to take part.
    fn has_newcomers(&self) -> bool {
        false
    }
}

impl Answers for Receiver<(usize, Answer)> {
    fn next(&mut self, patience: Option<Duration>) -> Result<Option<(usize, Answer)>> {
        let ended = || Error::unavailable("all workers have ended");
        match patience {
            None => self.recv().map(Some).map_err(|_| ended()),
            Some(patience) => match self.recv_timeout(patience) {
                Ok(answer) => Ok(Some(answer)),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(ended()),
            },
        }
    }

    fn ready(&mut self) -> Vec<(usize, Answer)> {
        self.try_iter().collect()
    }
}
