//! The processes that lend their workers to a coordinator, and the network between them, as the seed wants it.

use std::sync::{Arc, Mutex};

use fyke_simulate::FaultyWorld;
use fyke_stream::cluster::{Fate, Turn};

/// By process, the coordinator first: how many workers it has.
const CREWS: [&[usize]; 8] = [&[2], &[3], &[1, 1], &[2, 1], &[1, 2], &[1, 1, 1], &[2, 2], &[1, 1, 2]];

/// A coordinator's processes over all generations of its run.
#[derive(Clone)]
pub struct Crew {
    world: FaultyWorld,
    workers: &'static [usize],
    /// Whether a process is there.
    present: Arc<Mutex<Vec<bool>>>,
    /// Generations that were lost, over the whole world.
    lost: Arc<Mutex<u64>>,
}

impl Crew {
    /// Of one coordinator that has just started; `lost` counts deaths and broken connections.
    pub fn chosen(world: &FaultyWorld, lost: &Arc<Mutex<u64>>) -> Self {
        let workers = CREWS[world.below(CREWS.len())];
        let present = Arc::new(Mutex::new(vec![true; workers.len()]));
        Self { world: world.clone(), workers, present, lost: Arc::clone(lost) }
    }

    /// Who takes part in the next generation: the workers of each process, none of one that is not there.
    pub fn gather(&self) -> Vec<usize> {
        let mut present = self.present.lock().unwrap();
        for (process, is_there) in present.iter_mut().enumerate().skip(1) {
            // while the coordinator waits for it, a process may come back
            *is_there = *is_there || self.world.below(2) == 0;
            self.world.note(&format!("process .{process} is there: {is_there}"));
        }
        self.workers
            .iter()
            .zip(present.iter())
            .map(|(workers, is_there)| if *is_there { *workers } else { 0 })
            .collect()
    }

    /// What happens to a generation of those.
    pub fn fate(&self, gathered: Vec<usize>) -> Box<dyn Fate> {
        Box::new(Seeded { crew: self.clone(), gathered, slow: None, hung: None })
    }
}

struct Seeded {
    crew: Crew,
    gathered: Vec<usize>,
    /// What happens only if nothing else can.
    slow: Option<Turn>,
    /// A worker that does nothing any more.
    hung: Option<usize>,
}

impl Seeded {
    /// One of the processes that take part, and are still there.
    fn process(&self) -> Option<usize> {
        let present = self.crew.present.lock().unwrap();
        let others = (0..self.gathered.len()).filter(|process| self.gathered[*process] > 0 && present[*process]);
        let others: Vec<usize> = others.collect();
        (!others.is_empty()).then(|| others[self.crew.world.below(others.len())])
    }

    /// What goes wrong now, if anything does.
    fn fault(&mut self) -> Option<Turn> {
        let world = self.crew.world.clone();
        let turn = if world.happens(|faults| faults.die) {
            self.process().filter(|process| *process > 0).map(Turn::Die)
        } else if world.happens(|faults| faults.cut) {
            match (self.process(), self.process()) {
                (Some(one), Some(other)) if one != other => Some(Turn::Break(one, other)),
                _ => None,
            }
        } else {
            None
        };
        if let Some(turn) = turn {
            world.note(&format!("{turn:?}"));
            *self.crew.lost.lock().unwrap() += 1;
        }
        if let Some(Turn::Die(process)) = turn {
            self.crew.present.lock().unwrap()[process] = false;
        }
        if self.hung.is_none() && world.happens(|faults| faults.hang) {
            let worker = world.below(self.gathered.iter().sum());
            world.note(&format!("worker {worker} hangs"));
            self.hung = Some(worker);
        }
        turn
    }
}

impl Fate for Seeded {
    fn next(&mut self, turns: &[Turn]) -> Turn {
        if let Some(fault) = self.fault() {
            return fault;
        }
        let world = &self.crew.world;
        let works = |turn: &&Turn| self.hung.is_none_or(|hung| **turn != Turn::Work(hung));
        let mut turns: Vec<Turn> = turns.iter().filter(works).copied().collect();
        if turns.is_empty() {
            assert!(self.hung.is_some(), "the coordinator waits for an answer, and nobody has anything to do");
            world.note("nothing happens");
            return Turn::Nothing;
        }
        if world.happens(|faults| faults.lag) {
            self.slow = turns.get(world.below(turns.len())).copied();
        }
        if turns.len() > 1 {
            turns.retain(|turn| Some(*turn) != self.slow);
        }
        let turn = turns[world.below(turns.len())];
        world.note(match turn {
            Turn::Work(_) => "w",
            _ => "a",
        });
        turn
    }

    fn arrive(&mut self, letters: usize) -> usize {
        self.crew.world.below(letters + 1)
    }

    fn refuse(&mut self) -> bool {
        self.crew.world.below(2) == 0
    }

    fn has_newcomers(&self) -> bool {
        let mut present = self.crew.present.lock().unwrap();
        for is_there in &mut *present {
            *is_there = *is_there || self.crew.world.below(4) == 0;
        }
        present.iter().zip(&self.gathered).any(|(is_there, workers)| *is_there && *workers == 0)
    }
}
