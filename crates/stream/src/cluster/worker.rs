//! One worker: its copy of the graph, fed by the coordinator and by the other workers.
//!
//! An epoch ends operator by operator, in the order of the graph. An operator whose rows come from everywhere waits
//! until each of the others has said that nothing more comes to it in this epoch; until then it goes on taking rows.
//! All walk in the same order, so that nobody waits for ever.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

use fyke_types::{Error, Result};

use super::message::{Answer, Order, Origin, Post, Reply};
use super::slots::{Parcel, Router};
use crate::graph::From;
use crate::operators::Collected;
use crate::{Graph, Marks, NodeState};

/// See the module.
pub(crate) struct Worker {
    me: usize,
    graph: Graph,
    outlets: Vec<Collected>,
    inbox: Receiver<Order>,
    /// By worker; its own place is not used.
    peers: Vec<Box<dyn Post>>,
    coordinator: Box<dyn Reply>,
    sources: usize,
    late: Vec<u64>,
    late_inside: u64,
    /// By node and port, what the others have said of this epoch.
    through: HashMap<(usize, usize), Vec<Marks>, foldhash::fast::FixedState>,
}

/// Whether a worker goes on.
enum Then {
    GoOn,
    Stop,
}

impl Worker {
    pub(crate) fn new(
        me: usize,
        mut graph: Graph,
        outlets: Vec<Collected>,
        inbox: Receiver<Order>,
        peers: Vec<Box<dyn Post>>,
        coordinator: Box<dyn Reply>,
    ) -> Self {
        graph.route_by(Router::new(me, peers.len()));
        let sources = graph.sources();
        let (late, late_inside, through) = Default::default();
        Self { me, graph, outlets, inbox, peers, coordinator, sources, late, late_inside, through }
    }

    /// Works until it is told to stop, or fails; a failure (a panic too) is told to the coordinator.
    pub(crate) fn run(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.work()));
        let failure = match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason");
                Error::internal(format!("worker {} has panicked", self.me)).detail(text)
            }
        };
        // if the coordinator is gone as well there is nobody to tell
        let _ = self.coordinator.reply(self.me, Answer::Failed(failure));
    }

    fn work(&mut self) -> Result<()> {
        // an inbox that nobody can write to any more ends the worker
        while let Ok(order) = self.inbox.recv() {
            if matches!(self.carry_out(order)?, Then::Stop) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, order: Order) -> Result<Then> {
        match order {
            Order::Rows { source, rows, origin } => {
                let late = self.graph.feed(source, &rows)?;
                self.note_late(origin, late);
                self.send_parcels(origin)?;
            }
            Order::Parcel { node, port, rows, origin } => {
                let late = self.graph.deliver(node, port, rows)?;
                self.note_late(origin, late);
                self.send_parcels(origin)?;
            }
            Order::Groups { node, place, states } => self.graph.arrive(node, place, &states)?,
            Order::Through { node, port, marks } => self.through.entry((node, port)).or_default().push(marks),
            Order::Close(marks) => return self.close_epoch(&marks),
            Order::Ahead => self.reply(Answer::Ahead(self.graph.closed_ahead_by_node()))?,
            Order::CloseAhead(ahead) => self.graph.close_ahead(&ahead),
            Order::Snapshot => self.snapshot()?,
            Order::Restore { node, snapshot } => {
                self.graph.restore(node, snapshot)?;
                self.reply(Answer::Restored)?;
            }
            Order::Progress => self.reply(Answer::Progress(self.graph.progress()))?,
            Order::KeepWithin { budget, spill } => self.graph.keep_within(budget, &spill)?,
            Order::Stop => return Ok(Then::Stop),
        }
        Ok(Then::GoOn)
    }

    fn reply(&self, answer: Answer) -> Result<()> {
        self.coordinator.reply(self.me, answer)
    }

    fn note_late(&mut self, origin: Origin, late: u64) {
        match origin {
            Origin::InTime => {}
            Origin::Doubtful(ticket) if late > 0 => self.late.push(ticket),
            Origin::Doubtful(_) => {}
            Origin::Inside => self.late_inside += late,
        }
    }

    fn send_parcels(&mut self, origin: Origin) -> Result<()> {
        for parcel in self.graph.take_parcels() {
            let Parcel { to, node, port, rows } = parcel;
            self.peer(to)?.post(Order::Parcel { node, port, rows, origin })?;
        }
        Ok(())
    }

    fn peer(&self, worker: usize) -> Result<&dyn Post> {
        let peer = self.peers.get(worker).map(AsRef::as_ref);
        peer.ok_or_else(|| Error::internal(format!("there is no worker {worker}")))
    }

    fn close_epoch(&mut self, sources: &[Marks]) -> Result<Then> {
        for source in 0..self.sources {
            let marks = sources.get(source).cloned().unwrap_or_else(Marks::start);
            self.say_through(From::Source(source), &marks)?;
        }
        for node in 0..self.graph.len() {
            let mut inputs = self.graph.inputs(node, sources);
            for port in self.graph.routed_ports(node) {
                let Some(others) = self.wait_for_all(node, port)? else { return Ok(Then::Stop) };
                if let Some(own) = inputs.get_mut(port) {
                    *own = others.iter().fold(own.clone(), |marks, other| marks.min(other));
                }
            }
            let late = self.graph.close_node(node, &inputs)?;
            self.note_late(Origin::Inside, late);
            self.send_parcels(Origin::Inside)?;
            let marks = self.graph.marks(node);
            self.say_through(From::Node(node), &marks)?;
        }
        let rows = self.outlets.iter().map(Collected::take).collect();
        let (late, late_inside) = (std::mem::take(&mut self.late), std::mem::take(&mut self.late_inside));
        self.reply(Answer::Closed { late, late_inside, rows })?;
        Ok(Then::GoOn)
    }

    /// Tells the others that nothing more comes from here through the operator (or source) `from` in this epoch.
    fn say_through(&mut self, from: From, marks: &Marks) -> Result<()> {
        for (node, port) in self.graph.routed_behind(from) {
            for (to, place, states) in self.graph.leave(node)? {
                self.peer(to)?.post(Order::Groups { node, place, states })?;
            }
            for peer in self.peers.iter().enumerate().filter(|(worker, _)| *worker != self.me).map(|(_, peer)| peer) {
                peer.post(Order::Through { node, port, marks: marks.clone() })?;
            }
        }
        Ok(())
    }

    /// Waits until all others are through with a port, and takes what they said; none if it is to stop.
    fn wait_for_all(&mut self, node: usize, port: usize) -> Result<Option<Vec<Marks>>> {
        let others = self.peers.len() - 1;
        while self.through.get(&(node, port)).map_or(0, Vec::len) < others {
            let Ok(order) = self.inbox.recv() else { return Ok(None) };
            if matches!(order, Order::Close(_)) {
                return Err(Error::internal("an epoch ends before the one before it has"));
            }
            if matches!(self.carry_out(order)?, Then::Stop) {
                return Ok(None);
            }
        }
        Ok(Some(self.through.remove(&(node, port)).unwrap_or_default()))
    }

    fn snapshot(&mut self) -> Result<()> {
        let (me, coordinator) = (self.me, &self.coordinator);
        let numbers: HashMap<String, usize> = self.graph.keys().into_iter().zip(0..).collect();
        let number = |key: &str| {
            numbers.get(key).copied().ok_or_else(|| Error::internal(format!("the dataflow has no operator {key}")))
        };
        let states = self
            .graph
            .snapshot(&mut |key, piece| coordinator.reply(me, Answer::Piece { node: number(key)?, piece }))?;
        let memos = states.into_iter().map(|NodeState { key, memo, .. }| Ok((number(&key)?, memo)));
        let memos = memos.collect::<Result<Vec<_>>>()?;
        self.reply(Answer::Memos(memos))
    }
}
