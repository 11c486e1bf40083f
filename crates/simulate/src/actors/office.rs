//! An office: many people behind one shared address, with the few browsers that the company rolls out.

use std::sync::Arc;

use fyke_types::Micros;

use super::person::Person;
use crate::addresses::{self, Network};
use crate::agents;
use crate::client::{Behaviour, Scene};
use crate::dice::Dice;
use crate::request::ActorId;

pub(super) struct Office {
    actor: ActorId,
    ip: Arc<str>,
    fleet: Vec<Arc<str>>,
    people: u32,
    dice: Dice,
}

impl Office {
    /// Mean time between two people's visits: with about 55 requests a visit this makes the office's rate.
    const VISIT_EVERY_S: f64 = 50.0;

    pub(super) fn new(actor: ActorId, mut dice: Dice) -> Self {
        let ip = addresses::address(Network::Office, &mut dice);
        let fleet = (0..dice.between(3, 7)).map(|_| agents::desktop(&mut dice)).collect();
        Self { actor, ip, fleet, people: 0, dice }
    }
}

impl Behaviour for Office {
    fn act(&mut self, now: Micros, scene: &mut Scene<'_>) -> Option<Micros> {
        self.people += 1;
        let number = (self.actor.number << 20).wrapping_add(self.people);
        let own_phone = self.dice.chance(0.15);
        let agent = match self.fleet.get(self.dice.below(self.fleet.len())) {
            Some(agent) if !own_phone => agent.clone(),
            _ => agents::mobile(&mut self.dice),
        };
        let dice = Dice::new(self.dice.bits());
        let person = Person::new(ActorId { number, ..self.actor }, scene.site, self.ip.clone(), agent, dice);
        scene.arrivals.push((now, Box::new(person)));
        Some(now + self.dice.wait(Self::VISIT_EVERY_S / scene.site.rhythm(now)))
    }
}
