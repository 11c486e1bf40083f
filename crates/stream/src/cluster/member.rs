//! A process that is not the coordinator: it lends its workers to one generation after the other, until the run ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use fyke_types::{Error, Result};

use super::ClusterSettings;
use super::handshake::{Caller, Purpose, call};
use super::link::{Heard, Link, LinkSender};
use super::listener::{Arrived, Listener};
use super::message::{Answer, Order, Post, Reply};
use super::room::pulse_of;
use super::team::{fingerprint, spawn};
use super::wire::{Letter, Seat, Start};
use super::worker::Worker;
use crate::Graph;
use crate::operators::Collected;
use crate::state::Spill;

/// How long the members of a generation have to find each other.
const MEETING: Duration = Duration::from_secs(10);
/// How long a process waits before it calls the coordinator again, at first and at most.
const CALL_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Graphs for a generation: one for each worker of this process, planned anew.
pub type Replan<'a> = &'a mut dyn FnMut() -> Result<Vec<(Graph, Vec<Collected>)>>;

/// What the coordinator says to the process, not to its workers.
enum Word {
    Start(Start),
    End,
    Lost(Error),
}

/// What a process has and is told, whatever the generation.
struct Process<'a> {
    settings: &'a ClusterSettings,
    listener: Listener,
    spill: Option<Arc<Spill>>,
    stop: &'a dyn Fn() -> bool,
}

/// Lends this process's workers to the run of the coordinator, until that has come to its end. `spill`: the state of
/// these workers has a budget. `stop` is asked now and then whether the process is to leave before; `tell` hears what happens, for a log.
///
/// # Errors
/// Where the port can't be opened, a text can't be planned, or the coordinator runs another one.
pub fn serve(
    settings: &ClusterSettings,
    spill: Option<Arc<Spill>>,
    replan: Replan<'_>,
    stop: &dyn Fn() -> bool,
    tell: &dyn Fn(&str),
) -> Result<()> {
    let listener = Listener::open(settings.host(settings.index)?, settings.token.clone())?;
    let process = Process { settings, listener, spill, stop };
    let mut graphs = replan()?;
    let mut again = CALL_AGAIN.0;
    while !stop() {
        let graph = graphs.first().map(|(graph, _)| fingerprint(graph)).unwrap_or_default();
        let purpose = Purpose::Join { workers: graphs.len(), graph };
        let caller = Caller { index: settings.index, purpose };
        let stream = match call(settings.host(0)?, &settings.token, &caller) {
            Ok(stream) => stream,
            Err(error) if error.kind() == fyke_types::Kind::Usage => return Err(error),
            Err(error) => {
                if again == CALL_AGAIN.0 {
                    tell(&format!("waits for the coordinator: {error}"));
                }
                std::thread::sleep(again);
                again = (again * 2).min(CALL_AGAIN.1);
                continue;
            }
        };
        again = CALL_AGAIN.0;
        tell("is known to the coordinator, and waits for a generation to begin");
        let (words, heard) = mpsc::channel();
        let (give_inboxes, inboxes) = mpsc::channel::<(usize, Vec<Sender<Order>>)>();
        let coordinator =
            Link::open(stream, "the coordinator".to_owned(), pulse_of(settings), hear_coordinator(words, inboxes))?;
        match wait(&heard, stop) {
            Word::Start(start) => {
                let own = std::mem::take(&mut graphs);
                tell(&format!("works in generation {}", start.generation));
                let ended = process.generation(&coordinator, &give_inboxes, &heard, start, own)?;
                process.tell_of_spill(tell);
                match ended {
                    Word::End => return Ok(()),
                    Word::Lost(error) => tell(&format!("has left its generation: {error}")),
                    Word::Start(_) => return Err(Error::internal("a generation began before the last one's end")),
                }
                graphs = replan()?;
            }
            Word::End => return Ok(()),
            Word::Lost(error) => tell(&error.to_string()),
        }
    }
    Ok(())
}

fn hear_coordinator(
    words: Sender<Word>,
    inboxes: Receiver<(usize, Vec<Sender<Order>>)>,
) -> impl FnMut(Heard) + Send + 'static {
    let mut own: Option<(usize, Vec<Sender<Order>>)> = None;
    move |heard| {
        let word = match heard {
            Heard::Letter(Letter::Order(worker, order)) => {
                if own.is_none() {
                    own = inboxes.try_recv().ok();
                }
                let inbox = own.as_ref().and_then(|(first, own)| own.get(worker.checked_sub(*first)?));
                if let Some(inbox) = inbox {
                    // a worker that has ended has said why
                    let _ = inbox.send(order);
                }
                return;
            }
            Heard::Letter(Letter::Start(start)) => Word::Start(start),
            Heard::Letter(Letter::End) => Word::End,
            Heard::Letter(_) => return,
            Heard::Lost(error) => Word::Lost(error),
        };
        let _ = words.send(word);
    }
}

fn wait(words: &Receiver<Word>, stop: &dyn Fn() -> bool) -> Word {
    loop {
        match words.recv_timeout(Duration::from_millis(100)) {
            Ok(word) => return word,
            Err(mpsc::RecvTimeoutError::Timeout) if !stop() => {}
            Err(mpsc::RecvTimeoutError::Timeout) => return Word::End,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Word::Lost(Error::unavailable("the coordinator is lost"));
            }
        }
    }
}

impl Process<'_> {
    /// Says what went to disk, if anything did: the coordinator's progress does not have it.
    fn tell_of_spill(&self, tell: &dyn Fn(&str)) {
        if let Some(spill) = self.spill.as_ref().filter(|spill| spill.on_disk_max() > 0) {
            let (disk, memory) = (spill.on_disk_max(), spill.weighed_max());
            tell(&format!("had up to {disk} bytes of state on disk; {memory} bytes in the memory of a worker at most"));
        }
    }

    /// One generation from the first word to the last.
    fn generation(
        &self,
        coordinator: &Link,
        give_inboxes: &Sender<(usize, Vec<Sender<Order>>)>,
        words: &Receiver<Word>,
        start: Start,
        graphs: Vec<(Graph, Vec<Collected>)>,
    ) -> Result<Word> {
        let Some(own) = start.seats.iter().find(|seat| seat.index == self.settings.index).copied() else {
            return Err(Error::internal("the coordinator has given this process no seat"));
        };
        let (posts, inboxes): (Vec<_>, Vec<_>) = graphs.iter().map(|_| mpsc::channel::<Order>()).unzip();
        let links = match self.meet(&start, own, &posts, &coordinator.sender()) {
            Ok(links) => links,
            Err(error) => {
                // a coordinator that is gone says so itself
                let _ = coordinator.sender().reply(own.first_worker, Answer::Lost(error));
                return Ok(wait(words, self.stop));
            }
        };
        let mut threads = Vec::with_capacity(graphs.len());
        let share = self.spill.as_ref().map(|spill| (Arc::clone(spill), spill.budget() / graphs.len().max(1)));
        for (number, ((graph, outlets), inbox)) in graphs.into_iter().zip(inboxes).enumerate() {
            let me = own.first_worker + number;
            let peers = peers(&start, own, &posts, coordinator, &links)?;
            let worker = Worker::new(me, graph, outlets, peers, Box::new(coordinator.sender()));
            threads.push(spawn(me, worker.with_spill(share.clone()), inbox)?);
        }
        let _ = give_inboxes.send((own.first_worker, posts.clone()));
        let _ = coordinator.sender().reply(own.first_worker, Answer::Ready);
        let word = wait(words, self.stop);
        for post in &posts {
            // one that has ended needs no order
            let _ = post.send(Order::Stop);
        }
        threads.into_iter().for_each(|thread| drop(thread.join()));
        Ok(word)
    }

    /// Connects with the other members: each calls those before it in the hosts file, and is called by those behind it.
    fn meet(
        &self,
        start: &Start,
        own: Seat,
        posts: &[Sender<Order>],
        coordinator: &LinkSender,
    ) -> Result<BTreeMap<usize, Link>> {
        let (began, settings) = (Instant::now(), self.settings);
        let purpose = Purpose::Exchange { generation: start.generation, attempt: start.attempt };
        let mut links = BTreeMap::new();
        let mut open = |index: usize, stream| -> Result<()> {
            let hear = hear_member(own.first_worker, posts.to_vec(), coordinator.clone());
            links.insert(index, Link::open(stream, format!("process {index}"), pulse_of(settings), hear)?);
            Ok(())
        };
        for seat in start.seats.iter().filter(|seat| seat.index > 0 && seat.index < own.index) {
            let caller = Caller { index: own.index, purpose: purpose.clone() };
            open(seat.index, call(settings.host(seat.index)?, &settings.token, &caller)?)?;
        }
        let behind = start.seats.iter().map(|seat| seat.index).filter(|index| *index > own.index);
        let mut missing: Vec<usize> = behind.collect();
        while !missing.is_empty() {
            let left = MEETING.saturating_sub(began.elapsed());
            let Ok(Arrived { caller, stream }) = self.listener.arrived.recv_timeout(left) else {
                return Err(Error::unavailable(format!("processes {missing:?} of the cluster have not called")));
            };
            // who calls for another generation is too late, or comes again
            if caller.purpose == purpose && missing.contains(&caller.index) {
                open(caller.index, stream)?;
                missing.retain(|index| *index != caller.index);
            }
        }
        Ok(links)
    }
}

fn hear_member(first: usize, posts: Vec<Sender<Order>>, coordinator: LinkSender) -> impl FnMut(Heard) + Send + 'static {
    move |heard| match heard {
        Heard::Letter(Letter::Order(worker, order)) => {
            if let Some(post) = worker.checked_sub(first).and_then(|number| posts.get(number)) {
                let _ = post.send(order);
            }
        }
        Heard::Letter(_) => {}
        // if the coordinator is gone as well, the process hears it from its own link
        Heard::Lost(error) => drop(coordinator.reply(first, Answer::Lost(error))),
    }
}

/// By number of the worker, who brings it its orders.
fn peers(
    start: &Start,
    own: Seat,
    posts: &[Sender<Order>],
    coordinator: &Link,
    links: &BTreeMap<usize, Link>,
) -> Result<Vec<Box<dyn Post>>> {
    let mut peers: Vec<Box<dyn Post>> = Vec::new();
    for seat in &start.seats {
        for number in 0..seat.workers {
            let worker = seat.first_worker + number;
            peers.push(if seat.index == own.index {
                let Some(post) = posts.get(number) else { return Err(Error::internal("a worker without an inbox")) };
                Box::new(post.clone())
            } else if seat.index == 0 {
                Box::new(coordinator.sender().to_worker(worker))
            } else {
                let link = links.get(&seat.index).ok_or_else(|| Error::internal("a member without a connection"))?;
                Box::new(link.sender().to_worker(worker))
            });
        }
    }
    Ok(peers)
}
