//! The coordinator's side of many workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use fyke_types::{Error, Micros, Result};

use super::message::{Answer, Order, Origin, Post};
use super::shares::{Share, name_of, restored_for};
use super::worker::Worker;
use crate::execution::{Closing, Execution, Saved};
use crate::operators::Collected;
use crate::{Customer, GiveOf, Graph, Marks, NodeState, OperatorProgress, Tagged};

/// A graph carried out by several workers.
pub struct Team {
    /// A graph that takes no rows: what there is to remember, and where.
    pattern: Graph,
    workers: Vec<Box<dyn Post>>,
    answers: Receiver<(usize, Answer)>,
    outlets: usize,
    /// Who gets the next rows of a source.
    turn: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Team {
    /// Workers as threads of this process, one for each graph; all graphs are planned from the same text. `pattern` is
    /// one more of them.
    ///
    /// # Errors
    /// `Unavailable` where the system gives no thread.
    pub fn of_threads(pattern: Graph, graphs: Vec<(Graph, Vec<Collected>)>) -> Result<Self> {
        let outlets = graphs.first().map_or(0, |(_, outlets)| outlets.len());
        let (reply, answers) = mpsc::channel();
        let (posts, inboxes): (Vec<_>, Vec<_>) = graphs.iter().map(|_| mpsc::channel::<Order>()).unzip();
        let mut threads = Vec::with_capacity(graphs.len());
        for (me, ((graph, outlets), inbox)) in graphs.into_iter().zip(inboxes).enumerate() {
            let peers = posts.iter().map(|post| Box::new(post.clone()) as Box<dyn Post>).collect();
            let worker = Worker::new(me, graph, outlets, inbox, peers, Box::new(reply.clone()));
            threads.push(spawn(me, worker)?);
        }
        let workers = posts.into_iter().map(|post| Box::new(post) as Box<dyn Post>).collect();
        Ok(Self { pattern, workers, answers, outlets, turn: 0, threads })
    }

    fn tell_all(&self, order: impl Fn() -> Order) -> Result<()> {
        self.workers.iter().try_for_each(|worker| worker.post(order())).map_err(|error| self.reason(error))
    }

    /// Why a worker is gone, if it had the time to say so.
    fn reason(&self, error: Error) -> Error {
        let failed = self.answers.try_iter().find_map(|(_, answer)| match answer {
            Answer::Failed(reason) => Some(reason),
            _ => None,
        });
        failed.unwrap_or(error)
    }

    fn next_answer(&self) -> Result<(usize, Answer)> {
        match self.answers.recv() {
            Ok((_, Answer::Failed(error))) => Err(error),
            Ok(answer) => Ok(answer),
            Err(_) => Err(Error::unavailable("all workers have ended")),
        }
    }

    /// An answer of each worker.
    fn answers(&self, mut take: impl FnMut(usize, Answer) -> Result<()>) -> Result<()> {
        let mut missing: BTreeSet<usize> = (0..self.workers.len()).collect();
        while !missing.is_empty() {
            let (worker, answer) = self.next_answer()?;
            missing.remove(&worker);
            take(worker, answer)?;
        }
        Ok(())
    }

    fn share(&self, worker: usize) -> Share {
        Share { worker, of: self.workers.len() }
    }

    fn give_rows(&mut self, source: usize, rows: Tagged, origin: Origin) -> Result<()> {
        let worker = &self.workers[self.turn % self.workers.len()];
        worker.post(Order::Rows { source, rows, origin }).map_err(|error| self.reason(error))
    }
}

impl Execution for Team {
    fn feed(&mut self, source: usize, rows: Tagged) -> Result<()> {
        self.turn += 1;
        self.give_rows(source, rows, Origin::InTime)
    }

    fn feed_doubtful(&mut self, source: usize, row: Tagged, ticket: u64) -> Result<()> {
        // after the rows of its batch, in their worker: their order is kept
        self.give_rows(source, row, Origin::Doubtful(ticket))
    }

    fn close_epoch(&mut self, marks: &[Marks]) -> Result<Closing> {
        let marks: Arc<[Marks]> = marks.into();
        self.tell_all(|| Order::Close(Arc::clone(&marks)))?;
        let mut closing = Closing { rows: vec![Vec::new(); self.outlets], ..Closing::default() };
        self.answers(|_, answer| {
            let Answer::Closed { late, late_inside, rows } = answer else { return Err(unexpected()) };
            closing.late_inside += late_inside;
            closing.late.extend(late);
            closing.rows.iter_mut().zip(rows).for_each(|(all, own)| all.extend(own));
            Ok(())
        })?;
        closing.late.sort_unstable();
        closing.late.dedup();
        Ok(closing)
    }

    fn closed_ahead(&mut self) -> Result<BTreeMap<Customer, Micros>> {
        self.tell_all(|| Order::Ahead)?;
        let mut ahead = BTreeMap::new();
        self.answers(|_, answer| {
            let Answer::Ahead(own) = answer else { return Err(unexpected()) };
            for (customer, to) in own {
                let known = ahead.entry(customer).or_insert(to);
                *known = to.max(*known);
            }
            Ok(())
        })?;
        Ok(ahead)
    }

    fn snapshot(&mut self, give: GiveOf<'_>) -> Result<Vec<NodeState>> {
        let keys = self.pattern.keys();
        let mut states = Vec::new();
        // one after the other, so that the pieces of an operator stand together
        for worker in 0..self.workers.len() {
            let share = Some(self.share(worker));
            self.workers[worker].post(Order::Snapshot).map_err(|error| self.reason(error))?;
            let name = |node: usize| keys.get(node).map(|key| name_of(key, share)).unwrap_or_default();
            loop {
                match self.next_answer()?.1 {
                    Answer::Piece { node, piece } => give(&name(node), piece)?,
                    Answer::Memos(memos) => {
                        states.extend(memos.into_iter().map(|(node, memo)| NodeState {
                            key: name(node),
                            describe: self.pattern.describe_node(node),
                            memo,
                        }));
                        break;
                    }
                    _ => return Err(unexpected()),
                }
            }
        }
        Ok(states)
    }

    fn pattern(&mut self) -> &mut Graph {
        &mut self.pattern
    }

    fn restore(&mut self, saved: Vec<Saved>) -> Result<()> {
        for worker in 0..self.workers.len() {
            for (node, snapshot) in restored_for(&self.pattern, saved.clone(), Some(self.share(worker)))? {
                let order = Order::Restore { node, snapshot };
                self.workers[worker].post(order).map_err(|error| self.reason(error))?;
                match self.next_answer()?.1 {
                    Answer::Restored => {}
                    _ => return Err(unexpected()),
                }
            }
        }
        Ok(())
    }

    fn progress(&mut self) -> Result<Vec<OperatorProgress>> {
        self.tell_all(|| Order::Progress)?;
        let mut sum: Vec<OperatorProgress> = Vec::new();
        self.answers(|_, answer| {
            let Answer::Progress(own) = answer else { return Err(unexpected()) };
            if sum.is_empty() {
                sum = own;
                return Ok(());
            }
            sum.iter_mut().zip(own).for_each(|(sum, own)| sum.add(&own));
            Ok(())
        })?;
        Ok(sum)
    }

    fn workers(&self) -> usize {
        self.workers.len()
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for worker in &self.workers {
            // one that has ended needs no order
            let _ = worker.post(Order::Stop);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

pub(crate) fn spawn(me: usize, worker: Worker) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("worker {me}"))
        .spawn(move || worker.run())
        .map_err(|error| Error::unavailable("a worker's thread can't be started").detail(error))
}

fn unexpected() -> Error {
    Error::internal("a worker has answered something else")
}
