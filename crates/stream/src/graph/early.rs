//! The walk through the graph that asks for early rows.

use std::collections::BTreeSet;

use datafusion::arrow::array::RecordBatch;
use fyke_types::{Error, Micros, Result};

use super::{From, Graph, NodeId};
use crate::{Ask, Customer, Early, Output, Tagged};

/// Which operators take part in update mode.
pub(super) struct EarlyPlan {
    /// At most so often, in microseconds of wall time.
    every: Micros,
    /// By output: its end, if it has update mode.
    ends: Vec<Option<NodeId>>,
    /// In the order of the graph.
    nodes: Vec<usize>,
    /// Those of `nodes` that are asked for all rows of a customer.
    whole: Vec<usize>,
    /// Whether rows of several customers meet in one of `whole`.
    spans_customers: bool,
}

impl Graph {
    /// Turns update mode on for those of the outputs that are said here, the others append: changed groups are given at most every so many microseconds.
    ///
    /// # Errors
    /// `Unsupported` for an operator before them that can't say what open windows would give.
    pub fn begin_early(&mut self, every: Micros, outputs: &[Option<NodeId>]) -> Result<()> {
        let ends: Vec<NodeId> = outputs.iter().flatten().copied().collect();
        let count = self.nodes.len();
        let mut wanted = vec![false; count];
        // whether an operator behind needs complete input
        let mut whole_below = vec![false; count];
        ends.iter().for_each(|end| wanted[end.0] = true);
        for node in (0..count).rev().filter(|node| !ends.iter().any(|end| end.0 == *node)) {
            for at in 0..self.nodes[node].behind.len() {
                let (next, _) = self.nodes[node].behind[at];
                wanted[node] |= wanted[next];
                let is_end = ends.iter().any(|end| end.0 == next);
                let has_memory = !is_end && self.nodes[next].operator.as_early().is_some();
                whole_below[node] |= wanted[next] && (has_memory || whole_below[next]);
            }
        }
        let mut plan =
            EarlyPlan { every, ends: outputs.to_vec(), nodes: Vec::new(), whole: Vec::new(), spans_customers: false };
        let mut gives = vec![false; count];
        for node in (0..count).filter(|node| wanted[*node]) {
            let is_end = ends.iter().any(|end| end.0 == node);
            let from_before =
                self.nodes[node].inputs.iter().any(|from| matches!(from, From::Node(before) if gives[*before]));
            let operator = &mut self.nodes[node].operator;
            if from_before && operator.remembers().is_some() && operator.as_early().is_none() {
                return Err(Error::unsupported(format!("early results through {}", operator.describe()))
                    .hint("leave out 'emit', so that rows come when their windows close"));
            }
            gives[node] = from_before || (!is_end && operator.as_early().is_some());
            if gives[node] || is_end {
                plan.nodes.push(node);
            }
            if let Some(early) = operator.as_early() {
                let whole = !is_end && (whole_below[node] || from_before);
                early.begin_early(whole);
                if whole {
                    plan.spans_customers |= early.spans_customers();
                    plan.whole.push(node);
                }
            }
        }
        self.early = Some(plan);
        Ok(())
    }

    /// The outputs with update mode, by the number that [`Graph::begin_early`] was given; see there.
    pub fn early_ends(&self) -> &[Option<NodeId>] {
        self.early.as_ref().map_or(&[], |plan| &plan.ends)
    }

    /// How often early rows are wanted, if any output wants them: microseconds of wall time.
    pub fn early_every(&self) -> Option<Micros> {
        self.early.as_ref().map(|plan| plan.every)
    }

    /// What an operator does in update mode, for EXPLAIN.
    pub(super) fn early_words(&self, node: usize) -> &'static str {
        match &self.early {
            Some(plan) if plan.whole.contains(&node) => {
                "; early: all that is open of a customer of whom anything changed"
            }
            Some(plan) if plan.ends.contains(&Some(NodeId(node))) => "; early: rows that differ from what was given",
            Some(plan) if plan.nodes.contains(&node) && self.nodes[node].operator.remembers().is_some() => {
                "; early: groups that changed"
            }
            _ => "",
        }
    }

    /// Asks for early rows, which go to the outputs that want them.
    ///
    /// # Errors
    /// The operators'.
    pub fn early(&mut self) -> Result<()> {
        let Some(plan) = self.early.take() else { return Ok(()) };
        let outcome = self.ask(&plan);
        self.early = Some(plan);
        outcome
    }

    /// An earlier process may have given these keys early after its last checkpoint, at the output with this name in
    /// [`Graph::find`].
    ///
    /// # Errors
    /// When they are not of its columns.
    pub fn recall(&mut self, end: NodeId, customer: Customer, keys: &RecordBatch) -> Result<()> {
        match self.nodes.get_mut(end.0).and_then(|node| node.operator.as_early()) {
            Some(early) => early.recall(customer, keys),
            None => Ok(()),
        }
    }

    fn ask(&mut self, plan: &EarlyPlan) -> Result<()> {
        let mut changed = BTreeSet::new();
        for node in &plan.whole {
            if let Some(early) = self.nodes[*node].operator.as_early() {
                changed.extend(early.take_changed());
            }
        }
        let all = plan.spans_customers && !changed.is_empty();
        let ask = Ask { customers: (!all).then_some(changed) };
        let mut given: Vec<Option<Early>> = (0..self.nodes.len()).map(|_| None).collect();
        for node in plan.nodes.iter().copied() {
            let inputs = self.nodes[node].inputs.iter().map(|from| match from {
                From::Node(before) => given.get(*before).and_then(Clone::clone).unwrap_or_else(Early::nothing),
                From::Source(_) => Early::nothing(),
            });
            let inputs: Vec<Early> = inputs.collect();
            let early = match self.nodes[node].operator.as_early() {
                Some(early) => early.early(inputs, &ask)?,
                None => self.without_memory(node, inputs)?,
            };
            given[node] = Some(early);
        }
        Ok(())
    }

    /// Early rows are rows as any others to an operator without memory.
    fn without_memory(&mut self, node: usize, inputs: Vec<Early>) -> Result<Early> {
        let mut out = Output::default();
        let mut scope = None;
        for (port, input) in inputs.into_iter().enumerate() {
            scope = scope.or(Some(input.scope));
            for Tagged { customer, batch } in input.rows {
                self.nodes[node].operator.on_batch(port, Tagged { customer, batch }, &mut out)?;
            }
        }
        Ok(Early { rows: out.rows, scope: scope.unwrap_or_else(|| Early::nothing().scope) })
    }
}
