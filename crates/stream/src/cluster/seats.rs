//! The beginning of a generation: who is in the room gets a seat, and says when it is ready to work.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};

use fyke_types::{Error, Result};

use super::message::{Answer, Answers, Order, Post};
use super::room::{Desk, Member, Room};
use super::wire::{Letter, Seat, Start};

/// The processes of a generation, all of them ready.
pub(super) struct Seated {
    start: Start,
    pub(super) members: Vec<Member>,
    /// To the coordinator's own workers, whose inboxes are the next.
    posts: Vec<Sender<Order>>,
    pub(super) inboxes: Vec<Receiver<Order>>,
    pub(super) reply: Sender<(usize, Answer)>,
    pub(super) answers: Receiver<(usize, Answer)>,
}

impl Seated {
    /// A seat for everybody in the room, beside so many workers of the coordinator's. A process that is lost before it is
    /// ready costs one more attempt, not the run.
    pub(super) fn all(room: &Room, generation: u64, workers: usize, graph: &str) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let members = room.gather();
            if let Some((index, _)) = members.iter().find(|(_, member)| member.graph != graph) {
                return Err(Error::usage(format!(
                    "process {index} of the cluster runs another text, or reads other tables"
                ))
                .hint("start all processes with the same script and settings; declare the columns of tables"));
            }
            let mut seated = Self::of(members, generation, attempt, workers);
            if seated.is_ready(room)? {
                return Ok(seated);
            }
            // they come again when their connection is closed
            seated.members.iter().for_each(Member::leave);
            attempt += 1;
        }
    }

    fn of(members: BTreeMap<usize, Member>, generation: u64, attempt: u64, workers: usize) -> Self {
        let mut seats = vec![Seat { index: 0, first_worker: 0, workers }];
        for (index, member) in &members {
            let first_worker = seats.iter().map(|seat| seat.workers).sum();
            seats.push(Seat { index: *index, first_worker, workers: member.workers });
        }
        let (reply, answers) = mpsc::channel();
        let (posts, inboxes) = (0..workers).map(|_| mpsc::channel()).unzip();
        let (start, members) = (Start { generation, attempt, seats }, members.into_values().collect());
        Self { start, members, posts, inboxes, reply, answers }
    }

    /// Waits until all are ready; false if one of them is lost.
    fn is_ready(&mut self, room: &Room) -> Result<bool> {
        for member in &self.members {
            member.seat(Desk { answers: self.reply.clone(), workers: self.posts.clone() });
            if member.link.sender().send(Letter::Start(self.start.clone())).is_err() {
                return Ok(false);
            }
        }
        for _ in 0..self.members.len() {
            match self.answers.next(Some(room.worker_timeout()))? {
                Some((_, Answer::Ready)) => {}
                Some((_, Answer::Lost(_))) | None => return Ok(false),
                Some((_, Answer::Failed(error))) => return Err(error),
                Some(_) => return Err(Error::internal("a process has answered before it was ready")),
            }
        }
        Ok(true)
    }

    /// By number of the worker, who brings it its orders.
    pub(super) fn everybody(&self) -> Vec<Box<dyn Post>> {
        let own = self.posts.iter().map(|post| Box::new(post.clone()) as Box<dyn Post>);
        let far = self.members.iter().zip(self.start.seats.iter().skip(1)).flat_map(|(member, seat)| {
            let workers = seat.first_worker..seat.first_worker + seat.workers;
            workers.map(|worker| Box::new(member.link.sender().to_worker(worker)) as Box<dyn Post>)
        });
        own.chain(far).collect()
    }

    /// By number of the worker, the process that it is in.
    pub(super) fn processes(&self) -> Vec<usize> {
        let seats = self.start.seats.iter();
        seats.flat_map(|seat| std::iter::repeat_n(seat.index, seat.workers)).collect()
    }
}
