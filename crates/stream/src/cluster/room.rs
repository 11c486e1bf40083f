//! The coordinator's port, and the processes that wait behind it for the next generation.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fyke_types::{Error, Result};

use super::ClusterSettings;
use super::handshake::Purpose;
use super::link::{Heard, Link, Pulse};
use super::listener::{Arrived, Listener};
use super::message::{Answer, Order};
use super::wire::Letter;

/// Where what a member says goes to, once it has a seat.
pub(super) struct Desk {
    pub(super) answers: Sender<(usize, Answer)>,
    /// The coordinator's own workers, numbered from 0.
    pub(super) workers: Vec<Sender<Order>>,
}

/// A process that has come.
pub(super) struct Member {
    pub(super) workers: usize,
    pub(super) graph: String,
    pub(super) link: Link,
    /// Set when its generation begins.
    pub(super) desk: Arc<Mutex<Option<Desk>>>,
    /// Which of the visits of this process this is: an older one's end is not the newer one's.
    visit: u64,
}

#[derive(Default)]
struct Waiting {
    members: BTreeMap<usize, Member>,
    visits: u64,
}

/// See the module. Lives as long as the run, over all its generations.
pub struct Room {
    settings: ClusterSettings,
    waiting: Arc<(Mutex<Waiting>, Condvar)>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Room of {:?}", self.settings)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Room {
    /// Opens the coordinator's port.
    ///
    /// # Errors
    /// `Unavailable` where it can't be opened.
    pub fn open(settings: ClusterSettings) -> Result<Self> {
        let listener = Listener::open(settings.host(settings.index)?, settings.token.clone())?;
        let waiting: Arc<(Mutex<Waiting>, Condvar)> = Arc::default();
        let (room, pulse) = (Arc::clone(&waiting), pulse_of(&settings));
        let hosts = settings.hosts.len();
        std::thread::Builder::new()
            .name("cluster room".to_owned())
            .spawn(move || {
                for Arrived { caller, stream } in listener.arrived {
                    let Purpose::Join { workers, graph } = caller.purpose else { continue };
                    if caller.index == 0 || caller.index >= hosts {
                        continue;
                    }
                    let desk: Arc<Mutex<Option<Desk>>> = Arc::default();
                    let visit = {
                        let mut waiting = locked(&room.0);
                        waiting.visits += 1;
                        waiting.visits
                    };
                    let hear = hearing(caller.index, visit, Arc::clone(&desk), Arc::clone(&room));
                    let name = format!("process {}", caller.index);
                    let Ok(link) = Link::open(stream, name, pulse, hear) else { continue };
                    let member = Member { workers, graph, link, desk, visit };
                    let before = locked(&room.0).members.insert(caller.index, member);
                    drop(before);
                    room.1.notify_all();
                }
            })
            .map_err(|error| Error::unavailable("the cluster's room has no thread").detail(error))?;
        Ok(Self { settings, waiting })
    }

    /// Those that are there, as soon as it is all of them, or when the time to wait is over.
    pub(super) fn gather(&self) -> BTreeMap<usize, Member> {
        let all = self.settings.hosts.len() - 1;
        let began = Instant::now();
        let mut waiting = locked(&self.waiting.0);
        while waiting.members.len() < all {
            let Some(left) = self.settings.peer_wait.checked_sub(began.elapsed()) else { break };
            waiting = match self.waiting.1.wait_timeout(waiting, left) {
                Ok((waiting, _)) => waiting,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        std::mem::take(&mut waiting.members)
    }

    /// Whether somebody has come since the generation began.
    pub(super) fn has_newcomers(&self) -> bool {
        !locked(&self.waiting.0).members.is_empty()
    }

    /// Tells those that wait that the run has come to its end.
    pub(super) fn dismiss(&self) {
        for member in std::mem::take(&mut locked(&self.waiting.0).members).into_values() {
            // one that is gone needs no word
            let _ = member.link.sender().send(Letter::End);
        }
    }
}

pub(super) fn pulse_of(settings: &ClusterSettings) -> Pulse {
    Pulse { heartbeat: settings.heartbeat, timeout: settings.peer_timeout }
}

/// What becomes of what a member says: its desk takes it; a member that goes before it has one leaves the room.
fn hearing(
    index: usize,
    visit: u64,
    desk: Arc<Mutex<Option<Desk>>>,
    room: Arc<(Mutex<Waiting>, Condvar)>,
) -> impl FnMut(Heard) + Send + 'static {
    move |heard| {
        let taken = {
            let desk = locked(&desk);
            match (&*desk, heard) {
                // a generation that has ended hears nobody
                (Some(desk), Heard::Letter(Letter::Answer(worker, answer))) => {
                    let _ = desk.answers.send((worker, answer));
                    true
                }
                (Some(desk), Heard::Letter(Letter::Order(worker, order))) => {
                    if let Some(worker) = desk.workers.get(worker) {
                        let _ = worker.send(order);
                    }
                    true
                }
                (Some(desk), Heard::Lost(error)) => {
                    let _ = desk.answers.send((usize::MAX, Answer::Lost(error)));
                    true
                }
                (None, Heard::Lost(_)) => false,
                (_, Heard::Letter(_)) => true,
            }
        };
        if !taken {
            let mut waiting = locked(&room.0);
            let gone = waiting.members.get(&index).is_some_and(|member| member.visit == visit);
            let gone = gone.then(|| waiting.members.remove(&index));
            drop(waiting);
            drop(gone);
        }
    }
}
