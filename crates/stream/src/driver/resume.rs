//! The driver's checkpoints: what is written into one, and how a run goes on from it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use fyke_types::{Error, Result, Sink};

use super::Driver;
use crate::checkpoint::{Manifest, OperatorState, SinkState, SourceState};
use crate::cluster::operator_of;
use crate::{Marks, NodeId, NodeState};

impl Driver {
    /// Goes on from the last checkpoint, if there is one with something in it. True: the run is complete already.
    pub(super) fn resume(&mut self) -> Result<bool> {
        let started = Instant::now();
        self.log.is_kept =
            self.follow && self.keeper.is_some() && self.sinks().any(|(_, _, sink)| sink.shows_at_once());
        let Some(keeper) = &self.keeper else { return Ok(false) };
        let manifest = keeper.manifest().clone();
        let Some(resumed_from) = keeper.resumed_from() else {
            // from now on the outputs are known to be this run's
            self.checkpoint(false)?;
            return Ok(false);
        };
        if manifest.complete && self.follow {
            return Err(Error::usage("the run of this checkpoint is complete: every window has closed")
                .hint("a live run can't go on from there: give it another --checkpoint and output"));
        }
        self.progress.epochs = manifest.epochs;
        self.progress.late_inside = manifest.late_inside;
        for name in &manifest.customers {
            self.customers.number(name);
        }
        self.resume_sinks(&manifest, resumed_from)?;
        self.resume_sources(&manifest)?;
        let took = || u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if manifest.complete {
            self.progress.resumed = Some((resumed_from, took()));
            self.publish()?;
            return Ok(true);
        }
        self.resume_operators(&manifest)?;
        self.recall_early()?;
        // operators learn the marks in force; nothing closes by them that had not closed before
        let marks: Vec<Marks> = self.sources.iter().map(|source| source.marks.clone()).collect();
        self.execution.close_epoch(&marks)?;
        self.closed_ahead = self.execution.closed_ahead()?;
        self.replay(&manifest)?;
        self.progress.resumed = Some((resumed_from, took()));
        self.publish()?;
        Ok(false)
    }

    fn resume_sources(&mut self, manifest: &Manifest) -> Result<()> {
        let mut saved = by_name(manifest.sources.iter().map(|source| (source.name.clone(), source.clone())));
        for source in &mut self.sources {
            let known = saved.get_mut(&source.run.name).and_then(VecDeque::pop_front);
            let Some(SourceState { tracker, progress, ended, .. }) = known else {
                if self.may_change {
                    continue;
                }
                return Err(Error::usage(format!("the checkpoint knows no table '{}'", source.run.name))
                    .hint("resume with the former text, or start over in another folder"));
            };
            source.progress = progress;
            source.ended = ended;
            tracker.into_iter().for_each(|tracker| source.tracker.restore(tracker));
            if ended {
                source.tracker.end();
            }
            source.marks = source.tracker.in_force();
        }
        Ok(())
    }

    fn resume_sinks(&mut self, manifest: &Manifest, resumed_from: u64) -> Result<()> {
        let mut saved = by_name(manifest.sinks.iter().map(|sink| (sink.name.clone(), sink.clone())));
        for (name, rows, sink) in self.sinks() {
            if let Some(known) = saved.get_mut(&name).and_then(VecDeque::pop_front) {
                if let Some(prepared) = &known.prepared {
                    sink.commit(prepared)?;
                }
                rows.into_iter().for_each(|rows| *rows = known.rows);
            }
            sink.recover(resumed_from)?;
        }
        Ok(())
    }

    fn resume_operators(&mut self, manifest: &Manifest) -> Result<()> {
        let pattern = self.execution.pattern();
        // a worker's part of an operator's state has a name of its own
        let of = |state: &OperatorState| operator_of(&state.key).to_owned();
        let fits: Vec<(&OperatorState, Option<NodeId>)> =
            manifest.operators.iter().map(|state| (state, pattern.find(&of(state)))).collect();
        let mut own: BTreeMap<String, String> = pattern
            .snapshot(&mut |_, _| Ok(()))?
            .into_iter()
            .map(|NodeState { key, describe, .. }| (key, describe))
            .collect();
        let mut differences = Vec::new();
        for (state, node) in &fits {
            own.remove(&of(state));
            if node.is_none() {
                differences.push(format!("\n  - in the checkpoint: {}", state.describe));
            }
        }
        differences.extend(own.values().map(|describe| format!("\n  - in the query: {describe}")));
        if !differences.is_empty() && !self.may_change {
            return Err(Error::usage("the query is not the one of the checkpoint")
                .detail(format!("these have no counterpart:{}", differences.concat()))
                .hint("resume with the former text; or resume what fits and let the rest start empty (--changed-query); or start over in another folder"));
        }
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let mut saved = Vec::with_capacity(fits.len());
        for (state, node) in fits {
            if let Some(node) = node {
                saved.push((state.key.clone(), node, keeper.state(state)?));
            }
        }
        self.execution.restore(saved)
    }

    /// Makes visible what a checkpoint that became durable meanwhile holds, and begins the next one if it is time. Whether
    /// one became durable.
    pub(super) fn checkpoint_if_due(&mut self) -> Result<bool> {
        let durable = self.commit_checkpoint(false)?;
        match &self.keeper {
            Some(keeper) if keeper.is_due(self.progress.epochs) => self.begin_checkpoint(false).map(|()| durable),
            _ => Ok(durable),
        }
    }

    /// Writes a checkpoint and waits until what it holds is visible.
    pub(super) fn checkpoint(&mut self, complete: bool) -> Result<()> {
        self.commit_checkpoint(true)?;
        self.begin_checkpoint(complete)?;
        self.commit_checkpoint(true).map(|_| ())
    }

    /// Prepares what the sinks have and begins a checkpoint that says so. It becomes durable while the next epochs run.
    pub(super) fn begin_checkpoint(&mut self, complete: bool) -> Result<()> {
        let Some(number) = self.keeper.as_ref().map(|keeper| keeper.next_number()) else { return Ok(()) };
        self.finish_closing()?;
        let mut sinks = Vec::new();
        for (name, rows, sink) in self.sinks() {
            let prepared = sink.prepare(number, complete)?;
            sinks.push(SinkState { name, rows: rows.map_or(0, |rows| *rows), prepared });
        }
        self.noted = self.early_notes()?;
        self.log.written = self.logged_epochs()?;
        self.log.covered = self.progress.epochs;
        let sources = self.sources.iter().map(|source| {
            let Some(position) = source.run.reader.position()? else {
                return Err(Error::usage(format!("table '{}' can't be read with checkpoints", source.run.name))
                    .detail("what it gave can't be read again")
                    .hint("write standard input to a file first, or run without --checkpoint"));
            };
            Ok(SourceState {
                name: source.run.name.clone(),
                position: Some(position),
                tracker: Some(source.tracker.save()),
                progress: source.progress.clone(),
                ended: source.ended,
            })
        });
        let draft = Manifest {
            notes_to: self.noted.last().cloned().unwrap_or_default(),
            epochs: self.progress.epochs,
            late_inside: self.progress.late_inside,
            complete,
            customers: self.customers.names().iter().map(|name| name.to_string()).collect(),
            sources: sources.collect::<Result<_>>()?,
            sinks: sinks.clone(),
            ..Manifest::default()
        };
        if let Some(keeper) = &mut self.keeper {
            let execution = &mut self.execution;
            keeper.begin(draft, |give| if complete { Ok(Vec::new()) } else { execution.snapshot(give) })?;
        }
        self.prepared = sinks;
        let waits = self.sinks().any(|(_, _, sink)| sink.waits_for_commit());
        if waits { self.commit_checkpoint(true).map(|_| ()) } else { Ok(()) }
    }

    /// Makes visible what the checkpoint on its way holds, if it is durable, and says so. `wait`: once it is.
    pub(super) fn commit_checkpoint(&mut self, wait: bool) -> Result<bool> {
        let Some(keeper) = &mut self.keeper else { return Ok(false) };
        if !keeper.settle(wait)? {
            return Ok(false);
        }
        let prepared = std::mem::take(&mut self.prepared);
        for ((_, _, sink), state) in self.sinks().zip(&prepared) {
            if let Some(prepared) = &state.prepared {
                sink.commit(prepared)?;
            }
        }
        self.forget_early_notes()?;
        self.forget_logged_epochs()?;
        Ok(true)
    }

    /// All sinks by name, with the counter of those that count: results, then dead letters and late rows.
    pub(super) fn sinks(&mut self) -> impl Iterator<Item = (String, Option<&mut u64>, &mut Box<dyn Sink>)> {
        let results = self.outlets.iter_mut().zip(&mut self.progress.sinks);
        let results =
            results.map(|(outlet, progress)| (outlet.name.clone(), Some(&mut progress.rows), &mut outlet.sink));
        let side = self.sources.iter_mut().flat_map(|source| {
            let name = &source.run.name;
            let dead = source.run.dead_to.as_mut().map(|sink| (format!("dead letters of {name}"), None, sink));
            let late = source.run.late_to.as_mut().map(|sink| (format!("late rows of {name}"), None, sink));
            dead.into_iter().chain(late)
        });
        results.chain(side)
    }
}

/// Of several of one name the first comes first.
fn by_name<T>(named: impl Iterator<Item = (String, T)>) -> BTreeMap<String, VecDeque<T>> {
    let mut all: BTreeMap<String, VecDeque<T>> = BTreeMap::new();
    for (name, value) in named {
        all.entry(name).or_default().push_back(value);
    }
    all
}
