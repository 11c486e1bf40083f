//! The coordinator's side of many workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use fyke_types::{Error, Micros, Result};

use super::message::{Answer, Answers, Order, Origin, Post};
use super::room::{Member, Room};
use super::seats::Seated;
use super::shares::{Share, name_of, restored_for};
use super::stepped::{Fate, Stepped};
use super::wire::Letter;
use super::worker::Worker;
use crate::execution::{Closing, Execution, Saved};
use crate::operators::Collected;
use crate::state::Spill;
use crate::{Customer, GiveOf, Graph, Marks, NodeState, OperatorProgress, Tagged};

/// Blocks of a bounded run's epoch.
const BLOCKS: usize = 16;

/// A graph carried out by several workers.
pub struct Team {
    /// A graph that takes no rows: what there is to remember, and where.
    pattern: Graph,
    workers: Vec<Box<dyn Post>>,
    answers: Box<dyn Answers>,
    /// By worker, the process that it is in; 0 is this one.
    processes: Vec<usize>,
    outlets: usize,
    /// Who gets the next rows of a source.
    turn: usize,
    threads: Vec<JoinHandle<()>>,
    /// Other processes, where there are some.
    others: Vec<Member>,
    room: Option<Arc<Room>>,
    /// How long a worker may take to answer; none: for ever.
    patience: Option<Duration>,
    /// How often all workers were asked whether they are there.
    asked: u64,
    lost: bool,
    /// A worker of this process does not answer: nobody waits for its end.
    hangs: bool,
}

impl Team {
    fn new(
        pattern: Graph,
        outlets: usize,
        workers: Vec<Box<dyn Post>>,
        processes: Vec<usize>,
        answers: Box<dyn Answers>,
    ) -> Self {
        let (threads, others, room, patience) = Default::default();
        let (turn, asked, lost, hangs) = Default::default();
        Self {
            pattern,
            workers,
            answers,
            processes,
            outlets,
            turn,
            threads,
            others,
            room,
            patience,
            asked,
            lost,
            hangs,
        }
    }

    /// Workers as threads of this process, one for each graph; all graphs are planned from the same text. `pattern` is
    /// one more of them.
    ///
    /// # Errors
    /// `Unavailable` where the system gives no thread.
    pub fn of_threads(pattern: Graph, graphs: Vec<(Graph, Vec<Collected>)>) -> Result<Self> {
        let outlets = outlets_of(&graphs);
        let (reply, answers) = mpsc::channel();
        let (posts, inboxes): (Vec<_>, Vec<_>) = graphs.iter().map(|_| mpsc::channel::<Order>()).unzip();
        let everybody = || posts.iter().map(|post| Box::new(post.clone()) as Box<dyn Post>).collect::<Vec<_>>();
        let processes = vec![0; graphs.len()];
        let mut team = Self::new(pattern, outlets, everybody(), processes, Box::new(answers));
        for (me, ((graph, outlets), inbox)) in graphs.into_iter().zip(inboxes).enumerate() {
            let worker = Worker::new(me, graph, outlets, everybody(), Box::new(reply.clone()));
            team.threads.push(spawn(me, worker, inbox)?);
        }
        Ok(team)
    }

    /// The same with the workers of other processes beside those of this one: who is in the room takes part in this
    /// generation, whose number no other has.
    ///
    /// # Errors
    /// `Usage` for a process that runs another text, `Unavailable` where the system gives no thread.
    pub fn of_cluster(
        room: Arc<Room>,
        generation: u64,
        pattern: Graph,
        graphs: Vec<(Graph, Vec<Collected>)>,
    ) -> Result<Self> {
        let seated = Seated::all(&room, generation, graphs.len(), &fingerprint(&pattern))?;
        let (workers, processes) = (seated.everybody(), seated.processes());
        let peers: Vec<_> = graphs.iter().map(|_| seated.everybody()).collect();
        let Seated { members, inboxes, reply, answers, .. } = seated;
        let mut team = Self::new(pattern, outlets_of(&graphs), workers, processes, Box::new(answers));
        team.patience = Some(room.worker_timeout());
        (team.others, team.room) = (members, Some(room));
        for (me, (((graph, outlets), inbox), peers)) in graphs.into_iter().zip(inboxes).zip(peers).enumerate() {
            let worker = Worker::new(me, graph, outlets, peers, Box::new(reply.clone()));
            team.threads.push(spawn(me, worker, inbox)?);
        }
        Ok(team)
    }

    /// Workers in so many processes, the first of which is the coordinator, all in the caller's thread: `fate` decides
    /// what happens. For tests.
    pub fn of_fate(pattern: Graph, processes: Vec<Vec<(Graph, Vec<Collected>)>>, fate: Box<dyn Fate>) -> Self {
        let outlets = processes.iter().flatten().next().map_or(0, |(_, outlets)| outlets.len());
        let (stepped, workers, processes) = Stepped::new(processes, fate);
        let mut team = Self::new(pattern, outlets, workers, processes, Box::new(stepped));
        team.patience = Some(Duration::ZERO);
        team
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
        let said =
            self.answers.ready().into_iter().find(|(_, answer)| matches!(answer, Answer::Failed(_) | Answer::Lost(_)));
        match said {
            Some((_, Answer::Failed(reason))) => reason,
            Some((_, Answer::Lost(reason))) => {
                self.lost = true;
                reason
            }
            _ => {
                // a process whose connection is closed
                self.lost = self.has_others();
                error
            }
        }
    }

    fn has_others(&self) -> bool {
        self.processes.iter().any(|process| *process > 0)
    }

    fn next_answer(&mut self) -> Result<(usize, Answer)> {
        let mut silent: Option<BTreeSet<usize>> = None;
        loop {
            match self.answers.next(self.patience)? {
                Some((_, Answer::Failed(error))) => return Err(error),
                Some((_, Answer::Lost(error))) => {
                    self.lost = true;
                    return Err(error);
                }
                Some((worker, Answer::Here(number))) => {
                    if let Some(silent) = silent.as_mut().filter(|_| number == self.asked) {
                        silent.remove(&worker);
                    }
                }
                Some(answer) => return Ok(answer),
                None => {
                    if let Some(worker) = silent.and_then(|silent| silent.first().copied()) {
                        return Err(self.hangs(worker));
                    }
                    // who waits for others still answers
                    self.asked += 1;
                    let number = self.asked;
                    self.tell_all(|| Order::Ask(number))?;
                    silent = Some((0..self.workers.len()).collect());
                }
            }
        }
    }

    /// A worker has not answered in time: its process is lost.
    fn hangs(&mut self, worker: usize) -> Error {
        let process = self.processes.get(worker).copied().unwrap_or_default();
        let seconds = self.patience.unwrap_or_default().as_secs_f64();
        self.lost = process > 0;
        self.hangs = process == 0;
        Error::unavailable(format!("worker {worker}, in process {process} of the cluster, does not answer"))
            .detail(format!("it was asked whether it still works, and said nothing for {seconds} s"))
            .hint("start that process again; --worker-timeout says how long workers may take")
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
    fn blocks_at_once(&self) -> usize {
        BLOCKS
    }

    fn next_block(&mut self) {
        self.turn += 1;
    }

    fn feed(&mut self, source: usize, rows: Tagged) -> Result<()> {
        self.give_rows(source, rows, Origin::InTime)
    }

    fn feed_doubtful(&mut self, source: usize, row: Tagged, ticket: u64) -> Result<()> {
        // after the rows of its batch, in their worker: their order is kept
        self.give_rows(source, row, Origin::Doubtful(ticket))
    }

    fn begin_closing(&mut self, marks: &[Marks]) -> Result<()> {
        let marks: Arc<[Marks]> = marks.into();
        self.tell_all(|| Order::Close(Arc::clone(&marks)))
    }

    fn finish_closing(&mut self) -> Result<Closing> {
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
        let own = self.processes.iter().filter(|process| **process == 0).count();
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
        self.answers.has_newcomers() || self.room.as_ref().is_some_and(|room| room.has_newcomers())
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
        for thread in self.threads.drain(..).filter(|_| !self.hangs) {
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

fn outlets_of(graphs: &[(Graph, Vec<Collected>)]) -> usize {
    graphs.first().map_or(0, |(_, outlets)| outlets.len())
}

pub(crate) fn spawn(me: usize, worker: Worker, inbox: Receiver<Order>) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("worker {me}"))
        .spawn(move || worker.run(&inbox))
        .map_err(|error| Error::unavailable("a worker's thread can't be started").detail(error))
}

fn unexpected() -> Error {
    Error::internal("a worker has answered something else")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Condvar, Mutex};
    use std::time::Instant;

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::super::handshake::{Caller, Purpose, call};
    use super::super::wire::read_letter;
    use super::super::{ClusterSettings, serve};
    use super::*;
    use crate::{Operator, Output, Route};

    /// Holds up whoever comes, as long as it is shut.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<bool>, Condvar)>);

    impl Gate {
        fn open() -> Self {
            let gate = Self::default();
            gate.let_through();
            gate
        }

        fn let_through(&self) {
            *self.0.0.lock().expect("lock") = true;
            self.0.1.notify_all();
        }
    }

    struct Gated(Gate);

    impl Operator for Gated {
        fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
            let (open, changed) = &*self.0.0;
            drop(changed.wait_while(open.lock().expect("lock"), |open| !*open).expect("lock"));
            out.rows.push(rows);
            Ok(())
        }

        fn route(&self, _: usize) -> Route {
            Route::Here
        }

        fn describe(&self) -> String {
            "Gated".to_owned()
        }
    }

    /// Wants all rows in one place: no worker is through with it before all have passed the gate.
    struct Together;

    impl Operator for Together {
        fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
            out.rows.push(rows);
            Ok(())
        }

        fn describe(&self) -> String {
            "Together".to_owned()
        }
    }

    fn graph(gate: &Gate) -> (Graph, Vec<Collected>) {
        let mut graph = Graph::default();
        let source = graph.add_source();
        let gated = graph.add_reader(source, Box::new(Gated(gate.clone())));
        graph.add(Box::new(Together), &[gated]);
        (graph, Vec::new())
    }

    fn rows() -> Tagged {
        let column = Arc::new(Int64Array::from(vec![1])) as ArrayRef;
        Tagged { customer: Customer::ALL, batch: RecordBatch::try_from_iter([("n", column)]).expect("rows") }
    }

    const TOKEN: &str = "0123456789abcdef";

    /// Of two processes, with time enough for everything but a worker's answer.
    fn settings() -> [ClusterSettings; 2] {
        let ports = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let hosts = ports.map(|port| format!("{}\n", port.local_addr().expect("an address"))).concat();
        [0, 1].map(|index| ClusterSettings {
            heartbeat: Duration::from_millis(100),
            peer_wait: Duration::from_secs(5),
            worker_timeout: Duration::from_millis(300),
            ..ClusterSettings::new(&hosts, index, TOKEN).expect("settings")
        })
    }

    /// The error of an epoch in which a worker of each process gets a row, those of this one behind `own`, those of the
    /// other one behind `other`; whether a process is lost.
    fn epoch(own: &Gate, other: &Gate) -> (Error, bool) {
        let [coordinator, member] = settings();
        let stop = Arc::new(AtomicBool::new(false));
        let (is_stopped, gate) = (Arc::clone(&stop), other.clone());
        let served = std::thread::spawn(move || {
            let mut replan = || Ok(vec![graph(&gate)]);
            serve(&member, None, &mut replan, &|| is_stopped.load(Ordering::SeqCst), &|_| {})
        });
        let room = Arc::new(Room::open(coordinator).expect("a room"));
        let mut team = Team::of_cluster(room, 1, graph(own).0, vec![graph(own)]).expect("a team");
        for _ in 0..2 {
            team.next_block();
            team.feed(0, rows()).expect("given");
        }
        let began = Instant::now();
        let error = team.close_epoch(&[Marks::start()]).expect_err("a worker hangs");
        assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(4), "{error}");
        let lost = team.has_lost_a_process();
        drop(team);
        [own, other].iter().for_each(|gate| gate.let_through());
        stop.store(true, Ordering::SeqCst);
        served.join().expect("ends").expect("served");
        (error, lost)
    }

    #[test]
    fn a_process_whose_worker_hangs_is_lost_although_it_says_that_it_is_alive() {
        let (error, lost) = epoch(&Gate::open(), &Gate::default());
        assert!(lost && error.to_string().contains("worker 1, in process 1"), "{error}");
    }

    #[test]
    fn a_coordinator_whose_own_worker_hangs_ends_with_the_reason_and_waits_for_nobody() {
        let (error, lost) = epoch(&Gate::default(), &Gate::open());
        assert!(!lost && error.to_string().contains("worker 0, in process 0"), "{error}");
    }

    #[test]
    fn a_worker_that_answers_after_it_was_asked_is_not_taken_for_one_that_hangs() {
        let gates = [Gate::default(), Gate::open()];
        let graphs = gates.iter().map(graph).collect();
        let mut team = Team::of_threads(graph(&gates[1]).0, graphs).expect("a team");
        team.patience = Some(Duration::from_secs(1));
        for _ in 0..2 {
            team.next_block();
            team.feed(0, rows()).expect("given");
        }
        let gate = gates[0].clone();
        // behind the first question, and before the second one
        let opens = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(1_500));
            gate.let_through();
        });
        team.close_epoch(&[Marks::start()]).expect("closes");
        opens.join().expect("opens");
    }

    #[test]
    fn a_process_that_is_lost_before_it_is_ready_costs_an_attempt_and_not_the_run() {
        let [coordinator, _] = settings();
        let host = coordinator.hosts[0].clone();
        let coordinator = ClusterSettings { peer_wait: Duration::from_secs(1), ..coordinator };
        let room = Arc::new(Room::open(coordinator).expect("a room"));
        let (pattern, own) = (graph(&Gate::open()).0, graph(&Gate::open()));
        let caller = Caller { index: 1, purpose: Purpose::Join { workers: 3, graph: fingerprint(&pattern) } };
        let comes = std::thread::spawn(move || {
            let mut stream = call(&host, TOKEN.as_bytes(), &caller).expect("comes in");
            while !matches!(read_letter(&mut stream).expect("hears"), Letter::Start(_)) {}
        });
        let team = Team::of_cluster(room, 1, pattern, vec![own]).expect("a team");
        comes.join().expect("has come and gone");
        assert_eq!(team.processes, [0], "the coordinator works alone");
    }
}
