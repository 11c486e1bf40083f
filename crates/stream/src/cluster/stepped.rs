//! A cluster in one thread: a test decides what happens next. Workers, letters and the coordinator's side are the real
//! ones; between processes letters are bytes on connections that keep their order, and that a test delays, breaks, or
//! loses together with their process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fyke_types::{Error, Result};

use super::message::{Answer, Answers, Order, Post, Reply};
use super::wire::{Letter, read_letter, write_letter};
use super::worker::{Then, Worker};
use crate::Graph;
use crate::operators::Collected;

/// What happens next. Processes count from 0, the coordinator; workers count over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// A worker carries out the first order of its inbox.
    Work(usize),
    /// What is first under way from one process to another arrives: a letter, or the news that the connection is broken.
    Arrive(usize, usize),
    /// A process other than the coordinator dies.
    Die(usize),
    /// The connection between two processes breaks.
    Break(usize, usize),
    /// Nothing, for longer than the coordinator waits for an answer.
    Nothing,
}

/// Decides what happens in a cluster.
pub trait Fate: Send {
    /// What is next: one of `turns` (workers with orders, connections with letters; in order, maybe none), or anything
    /// else of [`Turn`].
    fn next(&mut self, turns: &[Turn]) -> Turn;

    /// How many of the letters under way still arrive where a connection breaks.
    fn arrive(&mut self, letters: usize) -> usize;

    /// Whether the next letter over a connection that is broken, which its sender has not been told, fails at once; else
    /// it goes nowhere.
    fn refuse(&mut self) -> bool;

    /// Whether processes wait to take part.
    fn has_newcomers(&self) -> bool {
        false
    }
}

/// On a connection.
enum Parcel {
    Letter(Vec<u8>),
    Broken,
}

/// A connection, one way.
#[derive(Default)]
struct Way {
    parcels: VecDeque<Parcel>,
    is_broken: bool,
    /// The sender knows.
    is_known: bool,
}

struct Shared {
    fate: Box<dyn Fate>,
    /// By worker, its process.
    processes: Vec<usize>,
    inboxes: Vec<VecDeque<Order>>,
    answers: VecDeque<(usize, Answer)>,
    ways: BTreeMap<(usize, usize), Way>,
}

#[derive(Clone)]
struct World(Arc<Mutex<Shared>>);

impl World {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_gone(process: usize) -> Error {
    Error::unavailable(format!("process {process} of the cluster is lost"))
}

impl Shared {
    fn send(&mut self, from: usize, to: usize, letter: Letter) -> Result<()> {
        let Self { ways, fate, .. } = self;
        let way = ways.entry((from, to)).or_default();
        if way.is_broken {
            return if way.is_known || fate.refuse() { Err(is_gone(to)) } else { Ok(()) };
        }
        let mut bytes = Vec::new();
        write_letter(&mut bytes, letter)?;
        way.parcels.push_back(Parcel::Letter(bytes));
        Ok(())
    }

    fn post(&mut self, from: usize, worker: usize, order: Order) -> Result<()> {
        let to = self.processes.get(worker).copied().unwrap_or_default();
        if to != from {
            return self.send(from, to, Letter::Order(worker, order));
        }
        self.deliver(worker, order);
        Ok(())
    }

    fn deliver(&mut self, worker: usize, order: Order) {
        if let Some(inbox) = self.inboxes.get_mut(worker) {
            inbox.push_back(order);
        }
    }

    fn reply(&mut self, from: usize, worker: usize, answer: Answer) -> Result<()> {
        if from != 0 {
            return self.send(from, 0, Letter::Answer(worker, answer));
        }
        self.answers.push_back((worker, answer));
        Ok(())
    }

    fn break_way(&mut self, from: usize, to: usize) {
        let Self { ways, fate, .. } = self;
        let way = ways.entry((from, to)).or_default();
        if !way.is_broken {
            way.is_broken = true;
            way.parcels.truncate(fate.arrive(way.parcels.len()));
            way.parcels.push_back(Parcel::Broken);
        }
    }

    fn all_processes(&self) -> BTreeSet<usize> {
        self.processes.iter().copied().collect()
    }

    fn die(&mut self, process: usize) {
        for other in self.all_processes().into_iter().filter(|other| *other != process) {
            self.break_way(process, other);
            self.break_way(other, process);
            // nobody is there to read
            self.ways.entry((other, process)).or_default().parcels.clear();
        }
        self.inboxes_of(process).for_each(|inbox| inbox.clear());
    }

    fn inboxes_of(&mut self, process: usize) -> impl Iterator<Item = &mut VecDeque<Order>> {
        self.processes.iter().zip(&mut self.inboxes).filter(move |(of, _)| **of == process).map(|(_, inbox)| inbox)
    }

    fn arrive(&mut self, from: usize, to: usize) -> Result<()> {
        let Some(parcel) = self.ways.get_mut(&(from, to)).and_then(|way| way.parcels.pop_front()) else {
            return Ok(());
        };
        let Parcel::Letter(bytes) = parcel else { return self.hear_of_loss(from, to) };
        match read_letter(&mut bytes.as_slice())? {
            Letter::Order(worker, order) => self.deliver(worker, order),
            Letter::Answer(worker, answer) => self.answers.push_back((worker, answer)),
            Letter::Start(_) | Letter::Beat | Letter::End => {}
        }
        Ok(())
    }

    fn hear_of_loss(&mut self, of: usize, by: usize) -> Result<()> {
        self.ways.entry((by, of)).or_default().is_known = true;
        let first_worker = self.processes.iter().position(|process| *process == by).unwrap_or_default();
        match (of, by) {
            // a member without coordinator is in no generation any more
            (0, member) => self.inboxes_of(member).for_each(|inbox| inbox.push_back(Order::Stop)),
            // if the coordinator is gone as well there is nobody to tell
            _ => drop(self.reply(by, first_worker, Answer::Lost(is_gone(of)))),
        }
        Ok(())
    }

    fn turns(&self, works: impl Fn(usize) -> bool) -> Vec<Turn> {
        let inboxes = self.inboxes.iter().enumerate();
        let work =
            inboxes.filter(|(worker, inbox)| !inbox.is_empty() && works(*worker)).map(|(worker, _)| Turn::Work(worker));
        let under_way = self.ways.iter().filter(|(_, way)| !way.parcels.is_empty());
        work.chain(under_way.map(|((from, to), _)| Turn::Arrive(*from, *to))).collect()
    }
}

/// To a worker, from a process.
pub(super) struct StepPost {
    world: World,
    from: usize,
    worker: usize,
}

impl Post for StepPost {
    fn post(&self, order: Order) -> Result<()> {
        self.world.shared().post(self.from, self.worker, order)
    }
}

struct StepReply {
    world: World,
    from: usize,
}

impl Reply for StepReply {
    fn reply(&self, worker: usize, answer: Answer) -> Result<()> {
        self.world.shared().reply(self.from, worker, answer)
    }
}

/// All workers, stepped whenever the coordinator waits for an answer.
pub(super) struct Stepped {
    world: World,
    workers: Vec<Option<Worker>>,
}

impl Stepped {
    /// Workers by process, and who brings them the coordinator's orders.
    pub(super) fn new(
        processes: Vec<Vec<(Graph, Vec<Collected>)>>,
        fate: Box<dyn Fate>,
    ) -> (Self, Vec<Box<dyn Post>>, Vec<usize>) {
        let of: Vec<usize> =
            processes.iter().enumerate().flat_map(|(process, own)| own.iter().map(move |_| process)).collect();
        let world = World(Arc::new(Mutex::new(Shared {
            fate,
            inboxes: of.iter().map(|_| VecDeque::new()).collect(),
            processes: of.clone(),
            answers: VecDeque::new(),
            ways: BTreeMap::new(),
        })));
        let posts = |from: usize| -> Vec<Box<dyn Post>> {
            let post = |worker| Box::new(StepPost { world: world.clone(), from, worker }) as Box<dyn Post>;
            (0..of.len()).map(post).collect()
        };
        let graphs = processes.into_iter().flatten().zip(&of).enumerate();
        let workers = graphs.map(|(me, ((graph, outlets), process))| {
            let reply = StepReply { world: world.clone(), from: *process };
            Some(Worker::new(me, graph, outlets, posts(*process), Box::new(reply)))
        });
        let workers = workers.collect();
        let coordinator = posts(0);
        (Self { world, workers }, coordinator, of)
    }

    fn work(&mut self, worker: usize) {
        let Some(order) = self.world.shared().inboxes.get_mut(worker).and_then(VecDeque::pop_front) else { return };
        let Some(slot) = self.workers.get_mut(worker) else { return };
        // orders to one that has ended go nowhere
        if slot.as_mut().is_some_and(|worker| worker.take(order) == Then::Stop) {
            *slot = None;
        }
    }
}

impl Answers for Stepped {
    fn next(&mut self, _: Option<Duration>) -> Result<Option<(usize, Answer)>> {
        loop {
            let turn = {
                let mut shared = self.world.shared();
                if let Some(answer) = shared.answers.pop_front() {
                    return Ok(Some(answer));
                }
                let turns = shared.turns(|worker| self.workers.get(worker).is_some_and(Option::is_some));
                shared.fate.next(&turns)
            };
            match turn {
                Turn::Work(worker) => self.work(worker),
                Turn::Arrive(from, to) => self.world.shared().arrive(from, to)?,
                Turn::Die(process) => self.world.shared().die(process),
                Turn::Break(one, other) => {
                    let mut shared = self.world.shared();
                    shared.break_way(one, other);
                    shared.break_way(other, one);
                }
                Turn::Nothing => return Ok(None),
            }
        }
    }

    fn ready(&mut self) -> Vec<(usize, Answer)> {
        self.world.shared().answers.drain(..).collect()
    }

    fn has_newcomers(&self) -> bool {
        self.world.shared().fate.has_newcomers()
    }
}

#[cfg(test)]
mod tests {
    use fyke_types::Micros;

    use super::*;
    use crate::cluster::Team;
    use crate::{Customer, Execution, Marks, Operator, Output, Route, Tagged};

    /// What operators were told, by their worker.
    type Told = Arc<Mutex<Vec<(usize, Micros)>>>;

    /// Holds the mark behind it at `mark`, up to which it has closed ahead.
    struct Holds {
        me: usize,
        mark: Micros,
        ahead: Told,
    }

    impl Operator for Holds {
        fn on_batch(&mut self, _: usize, _: Tagged, _: &mut Output) -> Result<()> {
            Ok(())
        }

        fn on_epoch_close(&mut self, _: &[Marks], _: &mut Output) -> Result<Marks> {
            Ok(Marks::same(self.mark))
        }

        fn route(&self, _: usize) -> Route {
            Route::Here
        }

        fn closed_ahead(&self) -> Vec<(Customer, Micros)> {
            vec![(Customer::ALL, self.mark)]
        }

        fn close_ahead(&mut self, _: Customer, to: Micros) {
            self.ahead.lock().expect("lock").push((self.me, to));
        }

        fn describe(&self) -> String {
            "Holds".to_owned()
        }
    }

    /// Wants all rows in one place, and notes by which mark it closes.
    struct Closes {
        me: usize,
        marks: Told,
    }

    impl Operator for Closes {
        fn on_batch(&mut self, _: usize, _: Tagged, _: &mut Output) -> Result<()> {
            Ok(())
        }

        fn on_epoch_close(&mut self, inputs: &[Marks], _: &mut Output) -> Result<Marks> {
            self.marks.lock().expect("lock").push((self.me, inputs[0].all));
            Ok(inputs[0].clone())
        }

        fn describe(&self) -> String {
            "Closes".to_owned()
        }
    }

    /// Takes the turns as they come, behind the break of a connection.
    struct InOrder(Option<Turn>);

    impl Fate for InOrder {
        fn next(&mut self, turns: &[Turn]) -> Turn {
            self.0.take().unwrap_or_else(|| turns.first().copied().unwrap_or(Turn::Nothing))
        }

        fn arrive(&mut self, _: usize) -> usize {
            0
        }

        fn refuse(&mut self) -> bool {
            true
        }
    }

    /// A worker in each of three processes, whose marks are held at 30, 10 and 20.
    fn team(first: Option<Turn>) -> (Team, Told, Told) {
        let (ahead, marks) = (Told::default(), Told::default());
        let graph = |me: usize| {
            let mut graph = Graph::default();
            let source = graph.add_source();
            let holds = Holds { me, mark: [30, 10, 20][me], ahead: Arc::clone(&ahead) };
            let holds = graph.add_reader(source, Box::new(holds));
            graph.add(Box::new(Closes { me, marks: Arc::clone(&marks) }), &[holds]);
            graph
        };
        let processes = (0..3).map(|me| vec![(graph(me), Vec::new())]).collect();
        (Team::of_fate(graph(0), processes, Box::new(InOrder(first))), ahead, marks)
    }

    fn sorted(told: &Told) -> Vec<(usize, Micros)> {
        let mut told = told.lock().expect("lock").clone();
        told.sort_unstable();
        told
    }

    #[test]
    fn every_worker_closes_by_the_mark_of_the_one_furthest_behind() {
        let (mut team, _, marks) = team(None);
        team.close_epoch(&[Marks::same(40)]).expect("closes");
        assert_eq!(sorted(&marks), [(0, 10), (1, 10), (2, 10)]);
    }

    #[test]
    fn what_one_worker_has_closed_ahead_is_closed_on_all() {
        let (mut team, ahead, _) = team(None);
        assert_eq!(team.closed_ahead().expect("asked").get(&Customer::ALL), Some(&30));
        // an answer behind the orders: all of them were carried out
        team.progress().expect("asked");
        assert_eq!(sorted(&ahead), [(0, 30), (1, 30), (2, 30)]);
    }

    #[test]
    fn a_worker_that_can_not_reach_another_process_ends_the_generation_and_not_the_run() {
        let (mut team, ..) = team(Some(Turn::Break(1, 2)));
        let error = team.close_epoch(&[Marks::same(40)]).expect_err("a process is lost").to_string();
        assert!(team.has_lost_a_process() && error.contains("process 2 of the cluster is lost"), "{error}");
    }

    #[test]
    fn a_process_that_dies_ends_the_generation() {
        let (mut team, ..) = team(Some(Turn::Die(2)));
        team.close_epoch(&[Marks::same(40)]).expect_err("a process is lost");
        assert!(team.has_lost_a_process());
    }
}
