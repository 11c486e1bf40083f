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

impl Desk {
    /// Takes what a member says; a generation that has ended needs nothing.
    fn hear(&self, heard: Heard) {
        match heard {
            Heard::Letter(Letter::Answer(worker, answer)) => {
                let _ = self.answers.send((worker, answer));
            }
            Heard::Letter(Letter::Order(worker, order)) => {
                if let Some(worker) = self.workers.get(worker) {
                    let _ = worker.send(order);
                }
            }
            Heard::Letter(_) => {}
            Heard::Lost(error) => {
                let _ = self.answers.send((usize::MAX, Answer::Lost(error)));
            }
        }
    }
}

/// Where a process is.
enum Place {
    /// In the room.
    Waiting,
    /// In a generation.
    Seated(Desk),
    /// Its generation has ended: nobody listens to it.
    Left,
    /// It is lost, for this reason, and nobody has been told yet.
    Gone(Error),
}

/// A process that has come.
pub(super) struct Member {
    pub(super) workers: usize,
    pub(super) graph: String,
    pub(super) link: Link,
    place: Arc<Mutex<Place>>,
    /// Which of the visits of this process this is: an older one's end is not the newer one's.
    visit: u64,
}

impl Member {
    /// Gives it a seat. One that was lost since it came is told at the desk at once: nothing else would come of it.
    pub(super) fn seat(&self, desk: Desk) {
        let mut place = locked(&self.place);
        if let Place::Gone(error) = &*place {
            // a coordinator that is gone needs no answer
            let _ = desk.answers.send((usize::MAX, Answer::Lost(error.clone())));
        } else {
            *place = Place::Seated(desk);
        }
    }

    /// Its generation has ended.
    pub(super) fn leave(&self) {
        *locked(&self.place) = Place::Left;
    }

    fn is_gone(&self) -> bool {
        matches!(&*locked(&self.place), Place::Gone(_))
    }
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
                    let place = Arc::new(Mutex::new(Place::Waiting));
                    let visit = {
                        let mut waiting = locked(&room.0);
                        waiting.visits += 1;
                        waiting.visits
                    };
                    let hear = hearing(caller.index, visit, Arc::clone(&place), Arc::clone(&room));
                    let name = format!("process {}", caller.index);
                    let Ok(link) = Link::open(stream, name, pulse, hear) else { continue };
                    let member = Member { workers, graph, link, place, visit };
                    let before = {
                        let mut waiting = locked(&room.0);
                        // one that was lost meanwhile has found nothing to remove
                        if member.is_gone() { Some(member) } else { waiting.members.insert(caller.index, member) }
                    };
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

    /// How long workers may take to answer.
    pub(super) fn worker_timeout(&self) -> std::time::Duration {
        self.settings.worker_timeout
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
    place: Arc<Mutex<Place>>,
    room: Arc<(Mutex<Waiting>, Condvar)>,
) -> impl FnMut(Heard) + Send + 'static {
    move |heard| {
        let error = match (&*locked(&place), heard) {
            (Place::Seated(desk), heard) => return desk.hear(heard),
            (Place::Waiting, Heard::Lost(error)) => error,
            // a generation that has ended hears nobody
            _ => return,
        };
        // the room before the place, as where one is put into the room
        let mut waiting = locked(&room.0);
        let mut place = locked(&place);
        if let Place::Seated(desk) = &*place {
            return desk.hear(Heard::Lost(error));
        }
        *place = Place::Gone(error);
        let gone = waiting.members.get(&index).is_some_and(|member| member.visit == visit);
        let gone = gone.then(|| waiting.members.remove(&index));
        drop((place, waiting));
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::handshake::{Caller, call};
    use super::*;

    fn desk() -> (Desk, mpsc::Receiver<(usize, Answer)>) {
        let (answers, heard) = mpsc::channel();
        (Desk { answers, workers: Vec::new() }, heard)
    }

    #[test]
    fn one_that_is_lost_between_its_coming_and_its_seat_is_told() {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let token = "0123456789abcdef";
        let mut settings = ClusterSettings::new(&format!("{port}\n127.0.0.1:1\n"), 0, token).expect("settings");
        settings.peer_wait = Duration::from_secs(5);
        let room = Room::open(settings).expect("a room");
        let caller = Caller { index: 1, purpose: Purpose::Join { workers: 1, graph: String::new() } };
        let stream = call(&port.to_string(), token.as_bytes(), &caller).expect("comes in");
        let members = room.gather();
        let member = members.get(&1).expect("is there");
        drop(stream);
        std::thread::sleep(Duration::from_millis(200));
        let (desk, heard) = desk();
        member.seat(desk);
        let (_, answer) = heard.recv_timeout(Duration::from_secs(5)).expect("is told");
        assert!(matches!(answer, Answer::Lost(_)));
    }

    #[test]
    fn one_that_goes_while_it_waits_is_not_gathered() {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let token = "0123456789abcdef";
        let mut settings = ClusterSettings::new(&format!("{port}\n127.0.0.1:1\n"), 0, token).expect("settings");
        settings.peer_wait = Duration::from_millis(500);
        let room = Room::open(settings).expect("a room");
        let caller = Caller { index: 1, purpose: Purpose::Join { workers: 1, graph: String::new() } };
        for _ in 0..20 {
            drop(call(&port.to_string(), token.as_bytes(), &caller).expect("comes in"));
        }
        std::thread::sleep(Duration::from_millis(300));
        assert!(room.gather().is_empty());
    }
}
