//! The requests of a world, merged over its actors.
//!
//! One heap holds the moments when actors act, another the lines under way to the log. Memory follows the actors that
//! are present and the lines that are delayed, never the length of the world.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use fyke_types::Micros;

use crate::client::{Behaviour, Scene};
use crate::dice::mix;
use crate::request::{ActorId, Request};
use crate::site::Site;

/// An actor and when it acts next.
struct Turn {
    at: Micros,
    /// Breaks ties.
    born: u64,
    site: usize,
    behaviour: Box<dyn Behaviour>,
}

/// A line and when it reaches the log. Ties go by actor, so that one actor's absence changes no other's order.
struct Line {
    arrival: Micros,
    number: u64,
    request: Request,
}

impl Turn {
    fn key(&self) -> (Micros, u64) {
        (self.at, self.born)
    }
}

impl Line {
    fn key(&self) -> (Micros, ActorId, u64) {
        (self.arrival, self.request.actor, self.number)
    }
}

macro_rules! ordered_by_key {
    ($name:ident) => {
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.key().cmp(&other.key())
            }
        }
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.key() == other.key()
            }
        }
        impl Eq for $name {}
    };
}
ordered_by_key!(Turn);
ordered_by_key!(Line);

/// The requests of a [`crate::World`] in the order in which they reach the log: by time, but for delays up to the
/// configured disorder. All customers are merged; each customer's own lines are in the same order.
pub struct Requests {
    sites: Arc<[Site]>,
    turns: BinaryHeap<Reverse<Turn>>,
    lines: BinaryHeap<Reverse<Line>>,
    sent: Vec<Request>,
    arrivals: Vec<(Micros, Box<dyn Behaviour>)>,
    span: (Micros, Micros),
    delays: Delays,
    born: u64,
    number: u64,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("actors", &self.turns.len()).field("lines", &self.lines.len()).finish()
    }
}

/// How long lines take to the log: a function of the line alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delays {
    pub(crate) seed: u64,
    pub(crate) most_ms: u32,
}

impl Delays {
    /// Mostly short, at most the configured disorder.
    fn delay(&self, request: &Request) -> Micros {
        let actor = (request.actor.kind as u64) << 32 | u64::from(request.actor.number);
        let bits = mix(self.seed ^ mix(request.time as u64) ^ mix(actor) ^ request.bytes);
        let unit = (bits >> 11) as f64 / (1u64 << 53) as f64;
        (unit * unit * (f64::from(self.most_ms) + 1.0)) as Micros * 1_000
    }
}

impl Requests {
    pub(crate) fn new(sites: Arc<[Site]>, span: (Micros, Micros), delays: Delays) -> Self {
        Self {
            sites,
            turns: BinaryHeap::new(),
            lines: BinaryHeap::new(),
            sent: Vec::new(),
            arrivals: Vec::new(),
            span,
            delays,
            born: 0,
            number: 0,
        }
    }

    pub(crate) fn add(&mut self, site: usize, at: Micros, behaviour: Box<dyn Behaviour>) {
        self.born += 1;
        self.turns.push(Reverse(Turn { at, born: self.born, site, behaviour }));
    }

    /// How many actors are present now.
    pub fn actors(&self) -> usize {
        self.turns.len()
    }

    /// Lets the next actor act.
    fn step(&mut self) {
        let Some(Reverse(mut turn)) = self.turns.pop() else { return };
        if turn.at >= self.span.1 {
            return;
        }
        let Some(site) = self.sites.get(turn.site) else { return };
        let mut scene = Scene { site, sent: &mut self.sent, arrivals: &mut self.arrivals };
        let next = turn.behaviour.act(turn.at, &mut scene);
        self.dispatch();
        while let Some((at, behaviour)) = self.arrivals.pop() {
            self.add(turn.site, at, behaviour);
        }
        if let Some(at) = next {
            turn.at = at;
            self.turns.push(Reverse(turn));
        }
    }

    /// Sends the lines on their way, without those outside the world's span.
    fn dispatch(&mut self) {
        for request in self.sent.drain(..) {
            if request.time < self.span.0 || request.time >= self.span.1 {
                continue;
            }
            let arrival = request.time + self.delays.delay(&request);
            self.number += 1;
            self.lines.push(Reverse(Line { arrival, number: self.number, request }));
        }
    }
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        loop {
            let arrival = self.lines.peek().map(|Reverse(line)| line.arrival);
            let next_turn = self.turns.peek().map(|Reverse(turn)| turn.at);
            match (arrival, next_turn) {
                (None, None) => return None,
                // whoever acts later sends later: this line is the next one for certain
                (Some(arrival), turn) if turn.is_none_or(|at| arrival < at) => {
                    return self.lines.pop().map(|Reverse(line)| line.request);
                }
                _ => self.step(),
            }
        }
    }
}
