//! One worker: its copy of the graph, fed by the coordinator and by the other workers.
//!
//! An epoch ends operator by operator, in the order of the graph. An operator whose rows come from everywhere waits
//! until each of the others has said that nothing more comes to it in this epoch; until then it goes on taking rows.
//! All walk in the same order, so that nobody waits for ever. What is of the next epoch is kept until this one has ended:
//! the coordinator, and workers that are through, may be an epoch ahead. No order makes a worker wait: one that has to wait for
//! others remembers where it stands and goes on with the next order, so that it can be carried by a thread of its own
//! or, order by order, by a test.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use fyke_types::{Error, Result};

use super::message::{Answer, FromPeer, Order, Origin, Post, Reply};
use super::slots::{Parcel, Router};
use crate::graph::From;
use crate::operators::Collected;
use crate::state::{Spill, WEIGH};
use crate::{Graph, Marks, NodeState};

/// See the module.
pub(crate) struct Worker {
    me: usize,
    graph: Graph,
    outlets: Vec<Collected>,
    /// By worker; its own place is not used.
    peers: Vec<Box<dyn Post>>,
    coordinator: Box<dyn Reply>,
    sources: usize,
    late: Vec<u64>,
    late_inside: u64,
    /// In a process that is not the coordinator's: where state goes that memory has no room for, and how much it may take.
    spill: Option<(Arc<Spill>, usize)>,
    weighed_at: Option<Instant>,
    /// By node and port, what the others have said of this epoch.
    through: HashMap<(usize, usize), Vec<Marks>, foldhash::fast::FixedState>,
    /// The epoch that is about to end.
    closing: Option<Closing>,
    /// How many epochs have ended.
    ended: u64,
    /// What came for the epoch behind this one.
    later: VecDeque<Order>,
    /// Another worker, or the coordinator, can't be reached.
    has_lost: bool,
}

/// How far the end of an epoch has come.
struct Closing {
    sources: Arc<[Marks]>,
    /// The next operator to close.
    node: usize,
}

/// Whether a worker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// With its next order.
    GoOn,
    /// It was told to stop, or has failed and said so.
    Stop,
}

impl Worker {
    pub(crate) fn new(
        me: usize,
        mut graph: Graph,
        outlets: Vec<Collected>,
        peers: Vec<Box<dyn Post>>,
        coordinator: Box<dyn Reply>,
    ) -> Self {
        graph.route_by(Router::new(me, peers.len()));
        let sources = graph.sources();
        let (late, late_inside, through, closing, spill, weighed_at, ended, later) = Default::default();
        Self {
            me,
            graph,
            outlets,
            peers,
            coordinator,
            sources,
            late,
            late_inside,
            spill,
            weighed_at,
            through,
            closing,
            ended,
            later,
            has_lost: false,
        }
    }

    /// The same with a budget of its own: nobody has to tell it.
    pub(crate) fn with_spill(self, spill: Option<(Arc<Spill>, usize)>) -> Self {
        Self { spill, ..self }
    }

    /// Works until it is told to stop, or fails.
    pub(crate) fn run(mut self, inbox: &Receiver<Order>) {
        // an inbox that nobody can write to any more ends the worker
        while let Ok(order) = inbox.recv() {
            if self.take(order) == Then::Stop {
                return;
            }
        }
    }

    /// Carries out an order; a failure (a panic too) is told to the coordinator.
    pub(crate) fn take(&mut self, order: Order) -> Then {
        let done = catch_unwind(AssertUnwindSafe(|| self.carry_out(order)));
        let failure = match done {
            Ok(Ok(then)) => return then,
            // whoever can't be reached is lost, and with it the generation, not the run
            Ok(Err(error)) if self.has_lost => Answer::Lost(error),
            Ok(Err(error)) => Answer::Failed(error),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason");
                Answer::Failed(Error::internal(format!("worker {} has panicked", self.me)).detail(text))
            }
        };
        // if the coordinator is gone as well there is nobody to tell
        let _ = self.coordinator.reply(self.me, failure);
        Then::Stop
    }

    fn carry_out(&mut self, order: Order) -> Result<Then> {
        if self.is_early(&order) {
            self.later.push_back(order);
            return Ok(Then::GoOn);
        }
        let ended = self.ended;
        let then = self.carry_out_now(order)?;
        if self.ended > ended {
            for order in std::mem::take(&mut self.later) {
                self.carry_out(order)?;
            }
        }
        Ok(then)
    }

    /// Whether an order is of the epoch behind this one.
    fn is_early(&self, order: &Order) -> bool {
        match order {
            Order::Rows { .. } | Order::Close(_) => self.closing.is_some(),
            Order::FromPeer { epoch, .. } => *epoch > self.ended,
            _ => false,
        }
    }

    fn carry_out_now(&mut self, order: Order) -> Result<Then> {
        match order {
            Order::Rows { source, rows, origin } => {
                let late = self.graph.feed(source, &rows)?;
                self.note_late(origin, late);
                self.send_parcels(origin)?;
            }
            Order::FromPeer { node, what, .. } => match what {
                FromPeer::Rows { port, rows, origin } => {
                    let late = self.graph.deliver(node, port, rows)?;
                    self.note_late(origin, late);
                    self.send_parcels(origin)?;
                }
                FromPeer::Groups { place, states } => self.graph.arrive(node, place, &states)?,
                FromPeer::Through { port, marks } => {
                    self.through.entry((node, port)).or_default().push(marks);
                    self.go_on_closing()?;
                }
            },
            Order::Close(sources) => self.begin_closing(sources)?,
            Order::Ask(number) => self.reply(Answer::Here(number))?,
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

    fn tell(&mut self, worker: usize, node: usize, what: FromPeer) -> Result<()> {
        let order = Order::FromPeer { epoch: self.ended, node, what };
        let Some(peer) = self.peers.get(worker) else {
            return Err(Error::internal(format!("there is no worker {worker}")));
        };
        peer.post(order).inspect_err(|_| self.has_lost = true)
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
        for Parcel { to, node, port, rows } in self.graph.take_parcels() {
            self.tell(to, node, FromPeer::Rows { port, rows, origin })?;
        }
        Ok(())
    }

    fn begin_closing(&mut self, sources: Arc<[Marks]>) -> Result<()> {
        if self.closing.is_some() {
            return Err(Error::internal("an epoch ends before the one before it has"));
        }
        for source in 0..self.sources {
            let marks = sources.get(source).cloned().unwrap_or_else(Marks::start);
            self.say_through(From::Source(source), &marks)?;
        }
        self.closing = Some(Closing { sources, node: 0 });
        self.go_on_closing()
    }

    /// Closes operators as far as all others are through with what stands before them.
    fn go_on_closing(&mut self) -> Result<()> {
        while let Some(Closing { sources, node }) = &self.closing {
            let (node, sources) = (*node, Arc::clone(sources));
            if node == self.graph.len() {
                self.closing = None;
                return self.end_closing();
            }
            let ports = self.graph.routed_ports(node);
            let others = self.peers.len() - 1;
            if ports.iter().any(|port| self.through.get(&(node, *port)).map_or(0, Vec::len) < others) {
                return Ok(());
            }
            let mut inputs = self.graph.inputs(node, &sources);
            for port in ports {
                let said = self.through.remove(&(node, port)).unwrap_or_default();
                if let Some(own) = inputs.get_mut(port) {
                    *own = said.iter().fold(own.clone(), |marks, other| marks.min(other));
                }
            }
            let late = self.graph.close_node(node, &inputs)?;
            self.note_late(Origin::Inside, late);
            self.send_parcels(Origin::Inside)?;
            let marks = self.graph.marks(node);
            self.say_through(From::Node(node), &marks)?;
            self.closing = Some(Closing { sources, node: node + 1 });
        }
        Ok(())
    }

    fn end_closing(&mut self) -> Result<()> {
        let rows = self.outlets.iter().map(Collected::take).collect();
        let (late, late_inside) = (std::mem::take(&mut self.late), std::mem::take(&mut self.late_inside));
        self.ended += 1;
        self.reply(Answer::Closed { late, late_inside, rows })?;
        if let Some((spill, budget)) = &self.spill
            && self.weighed_at.is_none_or(|at| at.elapsed() >= WEIGH)
        {
            self.graph.keep_within(*budget, spill)?;
            self.weighed_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Tells the others that nothing more comes from here through the operator (or source) `from` in this epoch.
    fn say_through(&mut self, from: From, marks: &Marks) -> Result<()> {
        for (node, port) in self.graph.routed_behind(from) {
            for (to, place, states) in self.graph.leave(node)? {
                self.tell(to, node, FromPeer::Groups { place, states })?;
            }
            let me = self.me;
            for peer in (0..self.peers.len()).filter(|peer| *peer != me) {
                self.tell(peer, node, FromPeer::Through { port, marks: marks.clone() })?;
            }
        }
        Ok(())
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
