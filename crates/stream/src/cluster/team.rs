//! The coordinator's side of many workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use fyke_types::{Error, Micros, Result};

use super::message::{Answer, Order, Origin, Post};
use super::room::{Desk, Member, Room};
use super::shares::{Share, name_of, restored_for};
use super::wire::{Letter, Seat, Start};
use super::worker::Worker;
use crate::execution::{Closing, Execution, Saved};
use crate::operators::Collected;
use crate::state::Spill;
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
    /// Other processes, where there are some.
    others: Vec<Member>,
    room: Option<Arc<Room>>,
    lost: bool,
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
        let (room, others) = (None, Vec::new());
        let (posts, inboxes): (Vec<_>, Vec<_>) = graphs.iter().map(|_| mpsc::channel::<Order>()).unzip();
        let mut threads = Vec::with_capacity(graphs.len());
        for (me, ((graph, outlets), inbox)) in graphs.into_iter().zip(inboxes).enumerate() {
            let peers = posts.iter().map(|post| Box::new(post.clone()) as Box<dyn Post>).collect();
            let worker = Worker::new(me, graph, outlets, inbox, peers, Box::new(reply.clone()));
            threads.push(spawn(me, worker)?);
        }
        let workers = posts.into_iter().map(|post| Box::new(post) as Box<dyn Post>).collect();
        Ok(Self { pattern, workers, answers, outlets, turn: 0, threads, others, room, lost: false })
    }

    /// The same with the workers of other processes beside those of this one: who is in the room takes part in this
    /// generation, whose number no other has.
    ///
    /// # Errors
    /// `Usage` for a process that runs another text, `Unavailable` where one is lost before the generation has begun.
    pub fn of_cluster(
        room: Arc<Room>,
        generation: u64,
        pattern: Graph,
        graphs: Vec<(Graph, Vec<Collected>)>,
    ) -> Result<Self> {
        let outlets = graphs.first().map_or(0, |(_, outlets)| outlets.len());
        let members = room.gather();
        let graph = fingerprint(&pattern);
        if let Some((index, _)) = members.iter().find(|(_, member)| member.graph != graph) {
            return Err(Error::usage(format!(
                "process {index} of the cluster runs another text, or reads other tables"
            ))
            .hint("start all processes with the same script and settings; declare the columns of tables"));
        }
        let mut seats = vec![Seat { index: 0, first_worker: 0, workers: graphs.len() }];
        for (index, member) in &members {
            let first_worker = seats.iter().map(|seat| seat.workers).sum();
            seats.push(Seat { index: *index, first_worker, workers: member.workers });
        }
        let start = Start { generation, seats };
        let (reply, answers) = mpsc::channel();
        let (posts, inboxes): (Vec<_>, Vec<_>) = graphs.iter().map(|_| mpsc::channel::<Order>()).unzip();
        for member in members.values() {
            let desk = Desk { answers: reply.clone(), workers: posts.clone() };
            member.seat(desk);
            member.link.sender().send(Letter::Start(start.clone()))?;
        }
        let everybody = || -> Vec<Box<dyn Post>> {
            let own = posts.iter().map(|post| Box::new(post.clone()) as Box<dyn Post>);
            let far = members.values().zip(start.seats.iter().skip(1)).flat_map(|(member, seat)| {
                let workers = seat.first_worker..seat.first_worker + seat.workers;
                workers.map(|worker| Box::new(member.link.sender().to_worker(worker)) as Box<dyn Post>)
            });
            own.chain(far).collect()
        };
        let mut threads = Vec::with_capacity(graphs.len());
        for (me, ((graph, outlets), inbox)) in graphs.into_iter().zip(inboxes).enumerate() {
            threads.push(spawn(me, Worker::new(me, graph, outlets, inbox, everybody(), Box::new(reply.clone())))?);
        }
        let workers = everybody();
        let others: Vec<Member> = members.into_values().collect();
        let mut team =
            Self { pattern, workers, answers, outlets, turn: 0, threads, others, room: Some(room), lost: false };
        for _ in 0..team.others.len() {
            match team.next_answer()? {
                (_, Answer::Ready) => {}
                _ => return Err(unexpected()),
            }
        }
        Ok(team)
    }

    fn post(&mut self, worker: usize, order: Order) -> Result<()> {
        let posted = self.workers[worker].post(order);
        posted.map_err(|error| self.reason(error))
    }

    fn tell_all(&mut self, order: impl Fn() -> Order) -> Result<()> {
        (0..self.workers.len()).try_for_each(|worker| self.post(worker, order()))
    }

    /// Why a worker is gone, if it had the time to say so.
    fn reason(&mut self, error: Error) -> Error {
        let said = self.answers.try_iter().find(|(_, answer)| matches!(answer, Answer::Failed(_) | Answer::Lost(_)));
        match said {
            Some((_, Answer::Failed(reason))) => reason,
            Some((_, Answer::Lost(reason))) => {
                self.lost = true;
                reason
            }
            _ => {
                // a process whose connection is closed
                self.lost = !self.others.is_empty();
                error
            }
        }
    }

    fn next_answer(&mut self) -> Result<(usize, Answer)> {
        match self.answers.recv() {
            Ok((_, Answer::Failed(error))) => Err(error),
            Ok((_, Answer::Lost(error))) => {
                self.lost = true;
                Err(error)
            }
            Ok(answer) => Ok(answer),
            Err(_) => Err(Error::unavailable("all workers have ended")),
        }
    }

    /// An answer of each worker.
    fn answers(&mut self, mut take: impl FnMut(usize, Answer) -> Result<()>) -> Result<()> {
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
        self.post(self.turn % self.workers.len(), Order::Rows { source, rows, origin })
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
        let mut by_node: BTreeMap<(usize, Customer), Micros> = BTreeMap::new();
        self.answers(|_, answer| {
            let Answer::Ahead(own) = answer else { return Err(unexpected()) };
            for (node, customer, to) in own {
                let known = by_node.entry((node, customer)).or_insert(to);
                *known = to.max(*known);
            }
            Ok(())
        })?;
        // whether a window is closed must not depend on who has the key
        let all: Vec<(usize, Customer, Micros)> = by_node.iter().map(|((node, c), to)| (*node, *c, *to)).collect();
        self.tell_all(|| Order::CloseAhead(all.clone()))?;
        let mut ahead = BTreeMap::new();
        for ((_, customer), to) in by_node {
            let known = ahead.entry(customer).or_insert(to);
            *known = to.max(*known);
        }
        Ok(ahead)
    }

    fn snapshot(&mut self, give: GiveOf<'_>) -> Result<Vec<NodeState>> {
        let keys = self.pattern.keys();
        let mut states = Vec::new();
        // one after the other, so that the pieces of an operator stand together
        for worker in 0..self.workers.len() {
            let share = Some(self.share(worker));
            self.post(worker, Order::Snapshot)?;
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
                self.post(worker, Order::Restore { node, snapshot })?;
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

    fn keep_within(&mut self, spill: &Arc<Spill>) -> Result<()> {
        let own = self.threads.len();
        for worker in 0..own {
            let budget = spill.budget() / own.max(1);
            self.post(worker, Order::KeepWithin { budget, spill: Arc::clone(spill) })?;
        }
        Ok(())
    }

    fn has_lost_a_process(&self) -> bool {
        self.lost
    }

    fn has_newcomers(&self) -> bool {
        self.room.as_ref().is_some_and(|room| room.has_newcomers())
    }

    fn end(&mut self) {
        for member in &self.others {
            // one that is gone needs no word
            let _ = member.link.sender().send(Letter::End);
        }
        if let Some(room) = &self.room {
            room.dismiss();
        }
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
        // nobody holds a sender any more, so that the connections close when all is sent
        self.workers.clear();
        for member in self.others.drain(..) {
            member.leave();
            drop(member);
        }
    }
}

/// Two processes whose graphs have the same one do the same.
pub(super) fn fingerprint(graph: &Graph) -> String {
    graph.keys().join(",")
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
