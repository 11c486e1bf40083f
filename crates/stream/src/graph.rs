//! Operators and the arrows between them. The order of nodes is topological, so a chain of any depth closes in one pass.

mod early;

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use fyke_types::{Error, Micros, Result, WATERMARK_END, WATERMARK_START};
use twox_hash::XxHash64;

use crate::cluster::{Parcel, Router};
use crate::state::{Sealed, Spill};
use crate::{
    Customer, Marks, Memo, Operator, OperatorProgress, Output, Piece, Place, Route, Snapshot, StateSize, Tagged,
};

/// A node of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

struct Node {
    operator: Box<dyn Operator>,
    /// Who comes before, by port: a node or a source.
    inputs: Vec<From>,
    /// Who comes behind, and on which port.
    behind: Vec<(usize, usize)>,
    marks: Marks,
    work: Work,
}

/// What an operator has done so far.
#[derive(Debug, Default, Clone, Copy)]
struct Work {
    rows_in: u64,
    rows_out: u64,
    late: u64,
    busy: Duration,
}

impl Work {
    fn note(&mut self, started: Instant, out: &Output) {
        self.busy += started.elapsed();
        self.late += out.late;
        self.rows_out += out.rows.iter().map(|rows| rows.batch.num_rows() as u64).sum::<u64>();
    }
}

/// Who stands before an operator.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    Node(usize),
    Source(usize),
}

/// Takes pieces under the names of their operators.
pub type GiveOf<'a> = &'a mut dyn FnMut(&str, Piece) -> Result<()>;

/// What one operator of a graph remembers beside its pieces.
#[derive(Debug)]
pub struct NodeState {
    /// Its name: see [`Graph::snapshot`].
    pub key: String,
    /// What it does, for a person.
    pub describe: String,
    /// Whatever is no rows.
    pub memo: Memo,
}

/// A dataflow of operators.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Node>,
    /// By source: the nodes that read it.
    readers: Vec<Vec<(usize, usize)>>,
    /// Where there are many workers: which of them rows go to.
    router: Option<Router>,
    /// Update mode, where an output has it.
    early: Option<early::EarlyPlan>,
}

impl Graph {
    /// Makes this graph one worker's: rows that operators elsewhere must see leave as parcels.
    pub(crate) fn route_by(&mut self, router: Router) {
        let holds_keyless = router.holds_keyless();
        self.nodes.iter_mut().for_each(|node| node.operator.assigned(holds_keyless));
        self.router = Some(router);
    }

    /// Rows that have left for other workers since the last call.
    pub(crate) fn take_parcels(&mut self) -> Vec<Parcel> {
        self.router.as_mut().map(Router::take).unwrap_or_default()
    }

    /// Rows from another worker.
    pub(crate) fn deliver(&mut self, node: usize, port: usize, rows: Tagged) -> Result<u64> {
        self.push_rows(node, port, rows)
    }

    /// How many sources there are.
    pub(crate) fn sources(&self) -> usize {
        self.readers.len()
    }

    /// An operator in words.
    pub(crate) fn describe_node(&self, node: usize) -> String {
        self.nodes.get(node).map(|node| node.operator.describe()).unwrap_or_default()
    }

    /// How many operators there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Input ports of a node that rows of other workers come to.
    pub(crate) fn routed_ports(&self, node: usize) -> Vec<usize> {
        let ports = self.nodes.get(node).map_or(0, |node| node.inputs.len());
        (0..ports).filter(|port| matches!(self.nodes[node].operator.route(*port), Route::By(_))).collect()
    }

    /// The routed ports behind a node, or behind a source.
    pub(crate) fn routed_behind(&self, from: From) -> Vec<(usize, usize)> {
        let behind = match from {
            From::Node(node) => self.nodes.get(node).map(|node| &node.behind),
            From::Source(source) => self.readers.get(source),
        };
        let all = behind.into_iter().flatten().copied();
        all.filter(|(node, port)| matches!(self.nodes[*node].operator.route(*port), Route::By(_))).collect()
    }

    /// The mark that a node has promised.
    pub(crate) fn marks(&self, node: usize) -> Marks {
        self.nodes.get(node).map_or_else(Marks::start, |node| node.marks.clone())
    }

    /// The operator of a node.
    pub(crate) fn operator(&self, node: NodeId) -> Option<&dyn Operator> {
        self.nodes.get(node.0).map(|node| node.operator.as_ref())
    }

    /// Announces a source; returns its number.
    pub fn add_source(&mut self) -> usize {
        self.readers.push(Vec::new());
        self.readers.len() - 1
    }

    /// Adds an operator that reads a source.
    pub fn add_reader(&mut self, source: usize, operator: Box<dyn Operator>) -> NodeId {
        let node = self.push(operator, vec![From::Source(source)]);
        if let Some(readers) = self.readers.get_mut(source) {
            readers.push((node.0, 0));
        }
        node
    }

    /// Adds an operator behind others; the order of `inputs` gives the ports.
    pub fn add(&mut self, operator: Box<dyn Operator>, inputs: &[NodeId]) -> NodeId {
        let node = self.push(operator, inputs.iter().map(|input| From::Node(input.0)).collect());
        for (port, input) in inputs.iter().enumerate() {
            if let Some(before) = self.nodes.get_mut(input.0) {
                before.behind.push((node.0, port));
            }
        }
        node
    }

    fn push(&mut self, operator: Box<dyn Operator>, inputs: Vec<From>) -> NodeId {
        self.nodes.push(Node { operator, inputs, behind: Vec::new(), marks: Marks::start(), work: Work::default() });
        NodeId(self.nodes.len() - 1)
    }

    /// Feeds rows of a source to all its readers. Returns how many rows some operator found late.
    ///
    /// # Errors
    /// The operators'.
    pub fn feed(&mut self, source: usize, rows: &Tagged) -> Result<u64> {
        let mut late = 0;
        for at in 0..self.readers.get(source).map_or(0, Vec::len) {
            let (node, port) = self.readers[source][at];
            late += self.send(node, port, rows.clone())?;
        }
        Ok(late)
    }

    /// To the operator of this worker, or in parts to those of others.
    fn send(&mut self, node: usize, port: usize, rows: Tagged) -> Result<u64> {
        if self.router.is_none() {
            return self.push_rows(node, port, rows);
        }
        if let Some(late) = self.gather(node, &rows)? {
            return Ok(late);
        }
        let Some(router) = &mut self.router else { return self.push_rows(node, port, rows) };
        match self.nodes.get(node).map(|node| node.operator.route(port)) {
            Some(Route::By(keys)) => match router.split(node, port, &keys, rows)? {
                Some(own) => self.push_rows(node, port, own),
                None => Ok(0),
            },
            _ => self.push_rows(node, port, rows),
        }
    }

    /// Aggregates rows here, whoever holds their keys, if that is worth it; says how many were late.
    fn gather(&mut self, node: usize, rows: &Tagged) -> Result<Option<u64>> {
        let Some(target) = self.nodes.get_mut(node) else { return Ok(None) };
        let Some(gatherer) = target.operator.as_gatherer() else { return Ok(None) };
        let (started, mut out) = (Instant::now(), Output::default());
        if !gatherer.gather(rows, &mut out)? {
            return Ok(None);
        }
        target.work.rows_in += rows.batch.num_rows() as u64;
        target.work.note(started, &out);
        Ok(Some(out.late))
    }

    /// What was gathered for an operator: those of this worker's keys go into it, the others' are given, by worker.
    pub(crate) fn leave(&mut self, node: usize) -> Result<Vec<(usize, Place, RecordBatch)>> {
        let Some(router) = &self.router else { return Ok(Vec::new()) };
        let Some(gatherer) = self.nodes.get_mut(node).and_then(|node| node.operator.as_gatherer()) else {
            return Ok(Vec::new());
        };
        let mut leaving = Vec::new();
        for (place, groups) in gatherer.leave()? {
            for (to, states) in router.split_groups(&groups)? {
                match router.is_me(to) {
                    true => gatherer.arrive(place, &Sealed::from_batch(&states)?)?,
                    false => leaving.push((to, place, states)),
                }
            }
        }
        Ok(leaving)
    }

    /// Groups that another worker has gathered.
    pub(crate) fn arrive(&mut self, node: usize, place: Place, states: &RecordBatch) -> Result<()> {
        match self.nodes.get_mut(node).and_then(|node| node.operator.as_gatherer()) {
            Some(gatherer) => gatherer.arrive(place, &Sealed::from_batch(states)?),
            None => Err(Error::internal(format!("the operator {node} takes no groups"))),
        }
    }

    fn push_rows(&mut self, node: usize, port: usize, rows: Tagged) -> Result<u64> {
        let mut out = Output::default();
        let Some(target) = self.nodes.get_mut(node) else {
            return Err(Error::internal(format!("the dataflow has no node {node}")));
        };
        target.work.rows_in += rows.batch.num_rows() as u64;
        let started = Instant::now();
        target.operator.on_batch(port, rows, &mut out)?;
        target.work.note(started, &out);
        Ok(out.late + self.pass_on(node, out.rows)?)
    }

    fn pass_on(&mut self, node: usize, rows: Vec<Tagged>) -> Result<u64> {
        let mut late = 0;
        for rows in rows {
            let behind = self.nodes[node].behind.len();
            for at in 0..behind {
                let (next, port) = self.nodes[node].behind[at];
                // the last one takes the rows themselves
                late += self.send(next, port, rows.clone())?;
            }
        }
        Ok(late)
    }

    /// Ends an epoch: marks by source. Returns rows that came out of an operator too late for the next one, which the
    /// algebra of marks rules out for rows within the lateness.
    ///
    /// # Errors
    /// The operators'.
    pub fn close_epoch(&mut self, sources: &[Marks]) -> Result<u64> {
        let mut late = 0;
        for node in 0..self.nodes.len() {
            let inputs = self.inputs(node, sources);
            late += self.close_node(node, &inputs)?;
        }
        Ok(late)
    }

    /// The marks in force at a node's input ports, as far as this graph knows.
    pub(crate) fn inputs(&self, node: usize, sources: &[Marks]) -> Vec<Marks> {
        let of = |from: &From| match from {
            From::Node(before) => self.nodes[*before].marks.clone(),
            From::Source(source) => sources.get(*source).cloned().unwrap_or_else(Marks::start),
        };
        self.nodes.get(node).map_or_else(Vec::new, |node| node.inputs.iter().map(of).collect())
    }

    /// Ends an epoch at one node; those before it have ended theirs.
    pub(crate) fn close_node(&mut self, node: usize, inputs: &[Marks]) -> Result<u64> {
        let Some(target) = self.nodes.get_mut(node) else {
            return Err(Error::internal(format!("the dataflow has no node {node}")));
        };
        let mut out = Output::default();
        let started = Instant::now();
        target.marks = target.operator.on_epoch_close(inputs, &mut out)?;
        target.work.note(started, &out);
        Ok(out.late + self.pass_on(node, out.rows)?)
    }

    /// Up to where windows were closed ahead of the watermark, by node.
    pub(crate) fn closed_ahead_by_node(&self) -> Vec<(usize, Customer, Micros)> {
        let of = |(at, node): (usize, &Node)| node.operator.closed_ahead().into_iter().map(move |(c, to)| (at, c, to));
        self.nodes.iter().enumerate().flat_map(of).collect()
    }

    /// Takes over up to where operators of other workers have closed.
    pub(crate) fn close_ahead(&mut self, ahead: &[(usize, Customer, Micros)]) {
        for (at, customer, to) in ahead {
            if let Some(node) = self.nodes.get_mut(*at) {
                node.operator.close_ahead(*customer, *to);
            }
        }
    }

    /// Up to where windows were closed ahead of the watermark, by customer.
    pub fn closed_ahead(&self) -> BTreeMap<Customer, Micros> {
        let mut ahead = BTreeMap::new();
        for (customer, to) in self.nodes.iter().flat_map(|node| node.operator.closed_ahead()) {
            let own = ahead.entry(customer).or_insert(to);
            *own = to.max(*own);
        }
        ahead
    }

    /// Gives what each stateful operator remembers, piece by piece under the operator's name.
    ///
    /// # Errors
    /// The operators', and what `give` fails with.
    pub fn snapshot(&mut self, give: GiveOf<'_>) -> Result<Vec<NodeState>> {
        let mut states = Vec::new();
        for (key, node) in self.keys().into_iter().zip(&mut self.nodes) {
            if let Some(memo) = node.operator.snapshot(&mut |piece| give(&key, piece))? {
                states.push(NodeState { key, describe: node.operator.describe(), memo });
            }
        }
        Ok(states)
    }

    /// The number of the operator that [`Graph::snapshot`] calls `key`.
    pub fn find(&self, key: &str) -> Option<NodeId> {
        self.keys().iter().position(|own| own == key).map(NodeId)
    }

    /// What [`Graph::snapshot`] calls an operator.
    pub fn key(&self, node: NodeId) -> String {
        self.keys().get(node.0).cloned().unwrap_or_default()
    }

    /// Gives an operator its state back, before the first rows.
    ///
    /// # Errors
    /// `Data` where the state is not of its shape.
    pub fn restore(&mut self, node: NodeId, snapshot: Snapshot) -> Result<()> {
        match self.nodes.get_mut(node.0) {
            Some(node) => node.operator.restore(snapshot),
            None => Err(Error::internal(format!("the dataflow has no node {}", node.0))),
        }
    }

    /// A name for each operator that follows from what it does and from all that stands before it, so that a changed
    /// query finds the state of what did not change. Equal operators are counted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::with_capacity(self.nodes.len());
        let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
        for node in &self.nodes {
            let mut hash = XxHash64::with_seed(0);
            hash.write(node.operator.describe().as_bytes());
            for input in &node.inputs {
                match input {
                    From::Node(before) => hash.write(keys.get(*before).map(String::as_bytes).unwrap_or_default()),
                    From::Source(source) => hash.write(&source.to_le_bytes()),
                }
            }
            let hash = hash.finish();
            let count = seen.entry(hash).or_default();
            keys.push(format!("{hash:016x}-{count}"));
            *count += 1;
        }
        keys
    }

    /// Moves state to disk where all of it takes more memory than its budget: that of the largest operators first, until
    /// a quarter of the budget is free. Walks all state.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails.
    pub fn keep_within(&mut self, budget: usize, spill: &Arc<Spill>) -> Result<()> {
        let mut sizes: Vec<(usize, usize)> =
            self.nodes.iter().enumerate().map(|(at, node)| (node.operator.state_size().bytes, at)).collect();
        let all: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
        spill.note_weighed(all);
        if all <= budget {
            return Ok(());
        }
        let mut too_much = all - budget / 4 * 3;
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        for (_, at) in sizes {
            if too_much == 0 {
                break;
            }
            too_much = too_much.saturating_sub(self.nodes[at].operator.spill(spill, too_much)?);
        }
        Ok(())
    }

    /// What each operator has done, and what it remembers. Walks all state.
    pub fn progress(&self) -> Vec<OperatorProgress> {
        let of = |(number, node): (usize, &Node)| {
            let StateSize { rows: state_rows, bytes: state_bytes } = node.operator.state_size();
            let Work { rows_in, rows_out, late, busy } = node.work;
            let mark = node.marks.all;
            OperatorProgress {
                number,
                name: node.operator.describe(),
                rows_in,
                rows_out,
                late,
                busy_us: u64::try_from(busy.as_micros()).unwrap_or(u64::MAX),
                watermark: (mark > WATERMARK_START && mark < WATERMARK_END).then_some(mark),
                state_rows,
                state_bytes,
            }
        };
        self.nodes.iter().enumerate().map(of).collect()
    }

    /// The plan in words, a line a node, for EXPLAIN.
    pub fn describe(&self) -> String {
        let mut lines = Vec::with_capacity(self.nodes.len());
        for (number, node) in self.nodes.iter().enumerate() {
            let from: Vec<String> = node
                .inputs
                .iter()
                .map(|from| match from {
                    From::Node(before) => format!("#{before}"),
                    From::Source(source) => format!("source {source}"),
                })
                .collect();
            let state = node.operator.remembers().map_or(String::new(), |what| format!("; state: {what}"));
            let early = self.early_words(number);
            lines.push(format!("#{number} {}{state}{early} <- {}", node.operator.describe(), from.join(", ")));
        }
        lines.join("\n")
    }
}
